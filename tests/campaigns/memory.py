# SPDX-License-Identifier: Apache-2.0
"""Resident memory over many epochs, after --warm epochs: it must not spread by more than 2 %.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/memory.py

Each way to use a loader runs in a process of its own: with and without workers, and with the last
batches kept. What is compared is the memory at the end of each epoch, when threads and slabs wait
for the next, and the most that was seen in each.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import twins
from twins import kit

MOST_SPREAD = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Way:
    pipeline: str
    workers: int
    kept: int  # the last batches


WAYS = {
    "train, no workers": Way("train_v1", 0, 0),
    "train, 2 workers": Way("train_v2", 2, 0),
    "eval, 2 workers, 6 batches kept": Way("eval_v1", 2, 6),
}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def measure(root: str, way: Way, epochs: int, batch_size: int) -> list[tuple[int, int]]:
    """(at the end, at most) of each epoch, in bytes."""
    dataset = twins.datasets.ImageFolder(root, twins.PIPELINES[way.pipeline]())
    kit.seed_all(5)
    loader = twins.OURS(
        dataset, batch_size=batch_size, shuffle=True, num_workers=way.workers, threads=2
    )
    if not twins.is_native(loader):
        raise RuntimeError(twins.penstock.explain(loader).reason)
    seen = []
    for _ in range(epochs):
        last: deque[Any] = deque(maxlen=way.kept)
        most = 0
        for batch in loader:
            last.append(batch)
            most = max(most, resident())
        del batch
        last.clear()
        gc.collect()
        seen.append((resident(), most))
    return seen


def spread(values: list[int]) -> float:
    return (max(values) - min(values)) / min(values)


def run_alone(root: Path, way: Way, epochs: int, batch_size: int) -> list[tuple[int, int]]:
    request = json.dumps(
        {"root": str(root), "way": asdict(way), "epochs": epochs, "batch_size": batch_size}
    )
    done = subprocess.run(
        [sys.executable, __file__, "--work", request], stdout=subprocess.PIPE, text=True, check=True
    )
    return [(end, most) for end, most in json.loads(done.stdout)]


def judge(name: str, seen: list[tuple[int, int]]) -> bool:
    ends, peaks = [end for end, _ in seen], [most for _, most in seen]
    good = spread(ends) <= MOST_SPREAD and spread(peaks) <= MOST_SPREAD
    print(
        f"{name}: {len(seen)} epochs, at their ends {min(ends) / 2**20:.1f} to "
        f"{max(ends) / 2**20:.1f} MiB (spread {100 * spread(ends):.2f} %, last - first "
        f"{(ends[-1] - ends[0]) / 2**20:+.1f} MiB), at most {min(peaks) / 2**20:.1f} to "
        f"{max(peaks) / 2**20:.1f} MiB (spread {100 * spread(peaks):.2f} %)"
        f"{'' if good else ': NOT FLAT'}",
        flush=True,
    )
    return good


def _work(request: dict[str, Any]) -> None:
    twins.torch.set_num_threads(1)
    way = Way(**request.pop("way"))
    print(json.dumps(measure(way=way, **request)))


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        _work(json.loads(sys.argv[2]))
        return 0
    parser: argparse.ArgumentParser = twins.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    options = twins.begin(parser)
    bad = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        root = twins.link(twins.photo_files(options.data), Path(scratch))
        for name, way in WAYS.items():
            seen = run_alone(root, way, options.warm + options.epochs, options.batch_size)
            bad += not judge(name, seen[options.warm :])
    print(f"{time.monotonic() - start:.0f} s")
    print(f"{len(WAYS)} ways, {bad} not flat")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
