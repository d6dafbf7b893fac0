# SPDX-License-Identifier: Apache-2.0
"""Counters in Prometheus' text exposition format, version 0.0.4."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
STAGES = ("read", "probe", "plan", "decode", "transform", "reference")
_MEMORY = {
    "slabs": "slab_bytes",
    "records": "record_bytes",
    "scratch": "scratch_bytes",
    "heap": "heap_bytes",
}
_PEAKS = {"slabs": "slab_peak_bytes", "held": "held_peak_bytes"}

Sample = tuple[Mapping[str, str], int | float]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its samples, which differ in their labels."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    samples: tuple[Sample, ...]


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


def families(count: Mapping[str, int]) -> Iterable[Family]:
    """The counters of a loader's record, in base units."""

    def total(name: str, meaning: str, value: int | float) -> Family:
        return Family(f"penstock_{name}_total", "counter", meaning, (({}, value),))

    def split(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Family:
        samples = tuple(({label: key}, value) for key, value in values.items())
        return Family(f"penstock_{name}", "gauge", meaning, samples)

    yield Family(
        "penstock_epochs_total",
        "counter",
        "Iterators started, by lane.",
        (({"lane": "native"}, count["epochs"]), ({"lane": "python"}, count["stock_epochs"])),
    )
    yield total("batches", "Batches delivered by the native lane.", count["batches"])
    yield total("samples", "Samples in those batches.", count["samples"])
    yield total("read_bytes", "Bytes of records read.", count["bytes_read"])
    yield total("doubts", "Samples that Pillow decided.", count["doubts"])
    yield total("replans", "Batches planned again after a failed sample.", count["replans"])
    yield Family(
        "penstock_stage_seconds_total",
        "counter",
        "Time of the threads by stage, summed over them.",
        tuple(({"stage": name}, _seconds(count[f"{name}_ns"])) for name in STAGES),
    )
    yield total(
        "wait_seconds", "Time that next() waited for the engine.", _seconds(count["wait_ns"])
    )
    yield total(
        "active_seconds", "Time between iterators' start and end.", _seconds(count["active_ns"])
    )
    yield Family(
        "penstock_pinned_batches_total",
        "counter",
        "Pinned batches, by whether they were written there or copied.",
        (
            ({"how": "in_place"}, count["pinned_in_place"]),
            ({"how": "copied"}, count["pinned_copies"]),
        ),
    )
    yield total("slab_allocations", "Batch memory mapped.", count["slab_allocs"])
    yield total("over_budget_batches", "Batches let through a full budget.", count["over_budget"])
    yield Family("penstock_threads", "gauge", "Threads of the engine.", (({}, count["threads"]),))
    held = {key: count[name] for key, name in _MEMORY.items()}
    yield split("memory_bytes", "Memory held now, by kind.", "kind", held)
    peaks = {key: count[name] for key, name in _PEAKS.items()}
    yield split("memory_peak_bytes", "Most memory held, by kind.", "kind", peaks)
    yield Family(
        "penstock_memory_budget_bytes",
        "gauge",
        "Bytes that the engine may hold; 0 without one.",
        (({}, count["memory_budget"]),),
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _check(labels: Mapping[str, str], taken: set[str]) -> None:
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"labels should be text, got {name!r}: {value!r}")
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f"a label's name is letters, digits and _, and does not begin with a digit or __; "
                f"got {name!r}"
            )
        if name in taken:
            raise ValueError(f"the label {name!r} is one of the loader's own: take another name")


def render(count: Mapping[str, int], labels: Mapping[str, str]) -> str:
    """The page. `labels` are put on every sample."""
    found = tuple(families(count))
    _check(labels, {name for family in found for own, _ in family.samples for name in own})
    lines: list[str] = []
    for family in found:
        lines.append(f"# HELP {family.name} {family.meaning}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for own, value in family.samples:
            pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in {**labels, **own}.items())
            lines.append(
                f"{family.name}{{{pairs}}} {value!r}" if pairs else f"{family.name} {value!r}"
            )
    return "\n".join(lines) + "\n"
