# SPDX-License-Identifier: Apache-2.0
"""What a loader says about itself: explain() and stats()."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from penstock.capture import Refusal
from penstock.options import Options
from penstock.prepare import Prepared

Lane = Literal["native", "python"]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns, the last one as long as it likes."""
    lines = [list(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        ).rstrip()
        for line in lines
    )


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    lane: Lane
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which lane each stage takes, and why. str() is a table."""

    lane: Lane
    reason: str
    stages: tuple[Stage, ...]
    settings: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [("stage", "lane", "why")]
        rows += [(stage.name, stage.lane, stage.why) for stage in self.stages]
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        head = f"penstock: {self.lane} lane, {self.reason}"
        return "\n".join(filter(None, (head, settings, table(rows))))


def _order(loader: Any) -> Stage:
    try:
        sampler = loader._index_sampler
        name = type(sampler).__name__
        inner = getattr(sampler, "sampler", None)
        if inner is not None:
            name += f" over {type(inner).__name__}"
    except Exception:
        name = "the sampler"
    return Stage("order", "python", f"{name}, asked when and as far ahead as torch asks it")


def _transform_stage(entry: tuple[Any, ...]) -> Stage:
    group, cls, *_ = entry
    family = "v2" if ".v2." in cls.__module__ else "v1"
    why = {
        "geometry": "on the pixels, in the engine",
        "flip": "while the last pass writes",
        "colour": "on the pixels, in the engine",
        "erase": "in the sample, after its last pass",
        "random": "drawn in the engine; what it holds follows",
        "convert": "while the last pass writes",
        "pixels": "one table of 256 values a channel, made by this very object",
    }[group]
    return Stage(f"{cls.__name__} ({family})", "native", why)


def explain_native(
    loader: Any, prepared: Prepared, chosen: Options, dataset: str, n: int
) -> Explanation:
    workers = loader.num_workers
    if chosen.rng == "sample":
        plan = "draws depend on seed, epoch and index alone"
    elif not prepared.draws:
        plan = "nothing is drawn"
    elif workers > 0:
        plan = f"the generators of {workers} workers of torch, imitated word for word"
    else:
        plan = "torch's global generator, advanced as the transforms would"
    stages = [
        _order(loader),
        Stage("dataset", "native", dataset),
        Stage("read", "native", f"{n} files by path"),
        Stage("decode", "native", "JPEG and PNG; what is unclean or another format: Pillow"),
        Stage("plan", "native", plan),
        *map(_transform_stage, prepared.key),
        Stage("collate", "native", "samples are written in their place in the batch"),
        Stage("deliver", "native", "torch tensors over the engine's memory, no copy"),
    ]
    settings = {"threads": chosen.threads, "rng": chosen.rng, "profile": prepared.profile}
    return Explanation("native", "every stage is proven equal", tuple(stages), settings)


def explain_stock(loader: Any, refusal: Refusal) -> Explanation:
    stages = [_order(loader)]
    for name in ("workers", "dataset", "read", "decode", "plan", "transform", "collate", "deliver"):
        if name == refusal.stage:
            stages.append(Stage(name, "python", refusal.reason))
        elif name != "workers":
            stages.append(Stage(name, "python", f"goes with {refusal.stage}"))
    if refusal.stage == "order":
        stages[0] = Stage("order", "python", refusal.reason)
    return Explanation("python", f"torch's own: {refusal.reason}", tuple(stages), {})


_STAGES = ("read", "probe", "plan", "decode", "transform", "reference")


@dataclass(frozen=True, slots=True)
class Stats:
    """Where time and memory went. str() is a table."""

    counters: dict[str, int]

    @property
    def samples_per_s(self) -> float:
        seconds = self.counters["active_ns"] / 1e9
        return self.counters["samples"] / seconds if seconds > 0 else 0.0

    @property
    def wait_share(self) -> float:
        """Of the time between an iterator's start and end, how much the consumer waited in next().

        Pillow's work on doubts, which is done in the consumer's thread, counts as waiting."""
        active = self.counters["active_ns"]
        waited = self.counters["wait_ns"] + self.counters["reference_ns"]
        return min(waited / active, 1.0) if active > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        count = self.counters
        return {
            "epochs": count["epochs"],
            "epochs_on_torch": count["stock_epochs"],
            "batches": count["batches"],
            "samples": count["samples"],
            "samples_per_s": self.samples_per_s,
            "wait_share": self.wait_share,
            "stage_s": {name: count[f"{name}_ns"] / 1e9 for name in _STAGES},
            "bytes_read": count["bytes_read"],
            "doubts": count["doubts"],
            "replans": count["replans"],
            "threads": count["threads"],
            "memory": {
                "slabs": count["slab_bytes"],
                "slabs_peak": count["slab_peak_bytes"],
                "records": count["record_bytes"],
                "scratch": count["scratch_bytes"],
                "heap": count["heap_bytes"],
            },
            "slab_allocs": count["slab_allocs"],
            "over_budget": count["over_budget"],
        }

    def __str__(self) -> str:
        data = self.as_dict()
        per_sample = 1e3 / max(data["samples"], 1)
        rows = [
            ("samples", f"{data['samples']} in {data['batches']} batches, {data['epochs']} epochs"),
            ("speed", f"{data['samples_per_s']:.0f} samples/s, {data['threads']} threads now"),
            ("waited", f"{100 * data['wait_share']:.1f} % of the time"),
            *(
                (name, f"{seconds:.3f} s, {seconds * per_sample:.3f} ms a sample")
                for name, seconds in data["stage_s"].items()
            ),
            ("Pillow", f"decided {data['doubts']} samples"),
            *((f"{name} memory", f"{n / 2**20:.1f} MiB") for name, n in data["memory"].items()),
        ]
        return table(rows)
