# SPDX-License-Identifier: Apache-2.0
"""What a window of tokens costs through Python: nanoGPT's get_batch beside Tokens.gather, in turn
in one process on the same file, at batch 64: 2,049 tokens of uint16 become x and y of int64.

    PYTHONPATH=build/release/site .venv/bin/python bench/token_windows.py [FILE] [MIB] [ROUNDS]

FILE is made with random tokens if it is not there, by default in the folder for temporary files.
Times are of a round of 20 batches; the file is in the page cache. The windows are drawn anew in
each round, as many for all, outside of the time.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from penstock import _core
from penstock.datasets import Tokens

BATCH, WINDOW, BATCHES = 64, 2048, 20


def nanogpt(path: Path) -> Callable[[Any], Any]:
    def get_batch(starts: Any) -> Any:
        # nanoGPT makes the map anew for each batch, since it would hold on to memory.
        data = numpy.memmap(path, dtype=numpy.uint16, mode="r")
        x = torch.stack(
            [torch.from_numpy(data[i : i + WINDOW].astype(numpy.int64)) for i in starts]
        )
        y = torch.stack(
            [torch.from_numpy(data[i + 1 : i + 1 + WINDOW].astype(numpy.int64)) for i in starts]
        )
        return x, y

    return get_batch


def main() -> None:
    arguments = sys.argv[1:]
    path = Path(arguments[0] if arguments else f"{tempfile.gettempdir()}/penstock-tokens.bin")
    mib = int(arguments[1]) if len(arguments) > 1 else 256
    rounds = int(arguments[2]) if len(arguments) > 2 else 40
    random = numpy.random.default_rng(0)
    if not path.exists():
        random.integers(0, 50257, mib << 19, dtype=numpy.uint16).tofile(path)
    # A stride of one token: what get_batch draws from.
    mapped = Tokens(path, WINDOW, stride=1, dtype="uint16", access="mmap")
    read = Tokens(path, WINDOW, stride=1, dtype="uint16", access="pread")
    out = mapped.gather([0] * BATCH)
    ways: dict[str, Callable[[Any], Any]] = {
        "get_batch": nanogpt(path),
        "mmap": mapped.gather,
        "mmap, out=": lambda starts: mapped.gather(starts, out=out),
        "pread": read.gather,
    }
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        starts = random.integers(0, len(mapped), (BATCHES, BATCH))
        for name, way in ways.items():
            expected = None if number else ways["get_batch"](starts[0])
            if expected is not None:
                got = way(starts[0])
                assert torch.equal(got[0], expected[0])
                assert torch.equal(got[1], expected[1])
            begun, used = time.perf_counter(), time.process_time()
            for batch in starts:
                way(batch)
            if number >= 2:
                wall[name].append((time.perf_counter() - begun) * 1e6 / BATCHES / BATCH)
                cpu[name].append((time.process_time() - used) * 1e6 / BATCHES / BATCH)
    print(f"{len(mapped)} windows in {path}, {_core.kernels()}, torch {torch.__version__}")
    for name in ways:
        middle, best = statistics.median(wall[name]), min(wall[name])
        used = statistics.median(cpu[name])
        print(f"{name:11} {middle:6.2f} us a window (best {best:.2f}), CPU {used:6.2f}")
    ratio = statistics.median(a / b for a, b in zip(wall["get_batch"], wall["mmap"], strict=True))
    print(f"get_batch / mmap, median of rounds: {ratio:.1f}")


if __name__ == "__main__":
    main()
