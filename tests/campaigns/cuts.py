# SPDX-License-Identifier: Apache-2.0
"""Files that are cut at random moments while torch and NumPy read their maps, and while the loader
reads their rows, mapped, by pread() and around the page cache.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/cuts.py --count 1000

Each time an OSError with EIO, the file's name and an offset behind the cut has to come, and the
process to live.
"""

import argparse
import errno
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from penstock import DataLoader, mem_map
from penstock.datasets import Array

BYTES = 8 << 20
ACCESSES: tuple[Literal["mmap", "pread", "direct"], ...] = ("mmap", "pread", "direct")


def read_until_told(mapped: Any, how: int) -> OSError:
    """Reads the map until the error comes."""
    limit = time.monotonic() + 60
    try:
        while time.monotonic() < limit:
            if how == 0:
                mapped.sum()
            elif how == 1:
                np.add.reduce(mapped.numpy(), axis=0)
            elif how == 2:
                for row in mapped[:: len(mapped) // 50]:
                    row.clone()
            else:
                (mapped.view(-1)[:: 4096 // mapped.itemsize] > 0).any()
    except OSError as error:
        return error
    raise AssertionError("the cut was never told")


def load_until_told(rows: Array, seed: int) -> OSError:
    """Loads batches until the error comes; what comes before it is the file's."""
    limit = time.monotonic() + 60
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(rows, 16, shuffle=True, num_workers=seed % 3, generator=generator)
    try:
        while time.monotonic() < limit:
            for batch in loader:
                assert bool((batch == 1).all()), "bytes that are not the file's"
    except OSError as error:
        return error
    raise AssertionError("the cut was never told")


def cut_once(file: Path, rng: random.Random) -> str:
    """Returns which way of reading met the cut."""
    array = np.ones((BYTES // 4096, 1024), np.float32)
    np.save(file, array)
    how, size = rng.randrange(4 + len(ACCESSES)), rng.randrange(BYTES // 2)
    if how < 4:
        mapped = mem_map(file, mode=rng.choice(["r", "c", "r+"]))
    else:
        rows = Array(file, access=ACCESSES[how - 4])
    seed = rng.randrange(1000)
    delay = rng.random() * 0.01

    def cut() -> None:
        time.sleep(delay)
        os.truncate(file, size)

    thread = threading.Thread(target=cut)
    thread.start()
    error = read_until_told(mapped, how) if how < 4 else load_until_told(rows, seed)
    thread.join()
    # Of a file that the engine itself finds cut no system call has failed.
    assert error.errno == errno.EIO or how >= 4, error
    assert file.name in str(error), error
    offset = getattr(error, "offset", -1)
    assert size - 4096 < offset <= BYTES + 128, (size, offset)
    return ("sum", "NumPy", "rows", "strided", *ACCESSES)[how]


def run(count: int, seed: int = 0, first: int = 0) -> int:
    with tempfile.TemporaryDirectory(prefix="penstock-cuts-") as folder:
        for number in range(first, first + count):
            rng = random.Random(f"{seed} {number}")
            try:
                cut_once(Path(folder) / f"cut{number}.npy", rng)
            except Exception:
                print(f"cut {number} of seed {seed}", file=sys.stderr)
                raise
            os.unlink(Path(folder) / f"cut{number}.npy")
    return count


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    told = run(options.count, options.seed, options.first)
    print(f"{told} files cut while they were read, {told} exceptions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
