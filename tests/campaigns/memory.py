# SPDX-License-Identifier: Apache-2.0
"""Resident memory over many epochs: what it grows by must be lost in the noise.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/memory.py

Each way to use a loader runs in a process of its own: with and without workers, and with the last
batches kept. What is compared is the memory at the end of each epoch, when threads and slabs wait
for the next, and the most that was seen in each.

The first --warm epochs do not count: threads come to their largest images one by one, and malloc to
its final heaps. In the first of them the consumer waits for all batches that may be ahead, and
holds one more than later: otherwise the last of their slabs comes when a rare delay wants it, in
the worst case between taking a batch and dropping the one before. Over the
--epochs after them a line is drawn through the memory, by the median of the slopes between all
pairs of epochs, which a jump does not move. It may rise by 1 % in all.
"""

import argparse
import gc
import itertools
import json
import os
import statistics
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

MOST_GROWTH = 0.01
MOST_WAIT_S = 10.0  # for all batches that may be ahead
PREFETCH = 2
MOST_SPREAD = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Way:
    pipeline: str
    workers: int
    kept: int  # the last batches
    leaked: int = 0  # bytes an epoch: what a test is to find


WAYS = {
    "train, no workers": Way("train_v1", 0, 0),
    "train, 2 workers": Way("train_v2", 2, 0),
    "eval, 2 workers, 6 batches kept": Way("eval_v1", 2, 6),
}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def wait_for(loader: Any, slab_bytes: int) -> None:
    """Until each of the batches ahead has its memory."""
    deadline = time.monotonic() + MOST_WAIT_S
    while loader.stats().counters["slab_bytes"] < slab_bytes:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the batches ahead are not there after {MOST_WAIT_S:.0f} s")
        time.sleep(0.002)


def measure(root: str, way: Way, epochs: int, batch_size: int) -> list[tuple[int, int]]:
    """(at the end, at most) of each epoch, in bytes."""
    dataset = twins.datasets.ImageFolder(root, twins.PIPELINES[way.pipeline]())
    kit.seed_all(5)
    loader = twins.OURS(
        dataset, batch_size=batch_size, shuffle=True, num_workers=way.workers, threads=2
    )
    if not twins.is_native(loader):
        raise RuntimeError(twins.penstock.explain(loader).reason)
    ahead = PREFETCH * way.workers
    seen = []
    leak = []
    for epoch in range(epochs):
        leak.append(b"x" * way.leaked)
        is_first = epoch == 0
        last: deque[Any] = deque(maxlen=max(way.kept, 1) + 1 if is_first else way.kept)
        most = 0
        for number, batch in enumerate(loader):
            last.append(batch)
            most = max(most, resident())
            if is_first and number + ahead < len(loader) - 1:  # the last one may be smaller
                wait_for(loader, ahead * batch[0].numel() * batch[0].element_size())
        del batch
        last.clear()
        gc.collect()
        seen.append((resident(), most))
    return seen


def spread(values: list[int]) -> float:
    return (max(values) - min(values)) / min(values)


def growth(values: list[int]) -> float:
    """How much a line through the values rises, in bytes."""
    pairs = itertools.combinations(enumerate(values), 2)
    slopes = [(later - earlier) / (j - i) for (i, earlier), (j, later) in pairs]
    return statistics.median(slopes) * (len(values) - 1)


def run_alone(root: Path, way: Way, epochs: int, batch_size: int) -> list[tuple[int, int]]:
    request = json.dumps(
        {"root": str(root), "way": asdict(way), "epochs": epochs, "batch_size": batch_size}
    )
    done = subprocess.run(
        [sys.executable, __file__, "--work", request], stdout=subprocess.PIPE, text=True, check=True
    )
    return [(end, most) for end, most in json.loads(done.stdout)]


def judge(name: str, seen: list[tuple[int, int]]) -> bool:
    good, parts = True, []
    for what, values in (
        ("at their ends", [end for end, _ in seen]),
        ("at most", [most for _, most in seen]),
    ):
        risen = growth(values)
        good &= risen <= MOST_GROWTH * min(values) and spread(values) <= MOST_SPREAD
        parts.append(
            f"{what} {min(values) / 2**20:.1f} to {max(values) / 2**20:.1f} MiB (the line rises by "
            f"{risen / 2**20:+.2f} MiB, {100 * risen / min(values):+.2f} %)"
        )
    print(
        f"{name}: {len(seen)} epochs, {', '.join(parts)}{'' if good else ': NOT FLAT'}", flush=True
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
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--warm", type=int, default=30)
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
