# SPDX-License-Identifier: Apache-2.0
"""Rows through both loaders, in turn: a TensorDataset and a NumPy memmap, 2 workers against 2
threads; CPU seconds of the process and its children beside wall seconds."""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import penstock
import torch
import torch.utils.data

ROW_KB = (1, 4, 16, 64, 150)


def cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def epoch(make: Any, dataset: Any, batch: int, workers: int) -> tuple[float, float, int]:
    """Wall and CPU seconds of an epoch, the start of the workers included, and its samples."""
    torch.manual_seed(0)
    loader = make(dataset, batch_size=batch, shuffle=True, num_workers=workers)
    wall, cpu, samples = time.perf_counter(), cpu_seconds(), 0
    for data in loader:
        samples += len(data[0] if isinstance(data, list) else data)
    iterator = None  # noqa: F841
    return time.perf_counter() - wall, cpu_seconds() - cpu, samples


def measure(dataset: Any, batch: int, workers: int, rounds: int) -> dict[str, tuple[float, float]]:
    """The best of each, microseconds a sample."""
    best: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for name, make in (
            ("torch", torch.utils.data.DataLoader),
            ("penstock", penstock.DataLoader),
        ):
            wall, cpu, samples = epoch(make, dataset, batch, workers)
            found = (wall / samples * 1e6, cpu / samples * 1e6)
            before = best.get(name, found)
            best[name] = (min(before[0], found[0]), min(before[1], found[1]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=1 << 28, help="of each dataset")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'rows':>8} {'dataset':>14} {'torch wall':>11} {'cpu':>8} {'ours wall':>10} {'cpu':>8}"
          f" {'wall':>6} {'cpu':>6}   (us a sample; ratios)")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for kb in ROW_KB:
            n = max(arguments.batch * 40, min(arguments.bytes // (kb << 10), 60000))
            values = torch.randint(0, 255, (n, kb << 10), dtype=torch.uint8)
            path = Path(folder) / "rows.bin"
            values.numpy().tofile(path)
            memmap = numpy.memmap(path, numpy.uint8, "r", shape=(n, kb << 10))
            for name, dataset in (
                ("TensorDataset", torch.utils.data.TensorDataset(values, torch.arange(n))),
                ("memmap", memmap),
            ):
                best = measure(dataset, arguments.batch, arguments.workers, arguments.rounds)
                (tw, tc), (pw, pc) = best["torch"], best["penstock"]
                print(f"{kb:>5} KB {name:>15} {tw:>11.2f} {tc:>8.2f} {pw:>10.2f} {pc:>8.2f}"
                      f" {tw / pw:>5.1f}x {tc / pc:>5.1f}x", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
