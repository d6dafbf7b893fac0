# SPDX-License-Identifier: Apache-2.0
"""What stats() says: where a loader's time and memory went."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock import exposition
from penstock.text import table


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
            "stage_s": {name: count[f"{name}_ns"] / 1e9 for name in exposition.STAGES},
            "bytes_read": count["bytes_read"],
            "doubts": count["doubts"],
            "replans": count["replans"],
            "threads": count["threads"],
            "memory": {
                "slabs": count["slab_bytes"],
                "slabs_peak": count["slab_peak_bytes"],
                "held_peak": count["held_peak_bytes"],
                "budget": count["memory_budget"],
                "records": count["record_bytes"],
                "scratch": count["scratch_bytes"],
                "heap": count["heap_bytes"],
            },
            "pinned": {
                "in_place": count["pinned_in_place"],
                "copied": count["pinned_copies"],
            },
            "slab_allocs": count["slab_allocs"],
            "over_budget": count["over_budget"],
        }

    def prometheus(self, labels: Mapping[str, str] | None = None) -> str:
        """The counters as a page that Prometheus scrapes: text format 0.0.4, to be served as
        `text/plain; version=0.0.4; charset=utf-8`. `labels` are put on every sample."""
        return exposition.render(self.counters, labels or {})

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
