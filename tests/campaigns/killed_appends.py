# SPDX-License-Identifier: Apache-2.0
"""Processes that append rows to a file and are killed at random moments.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/killed_appends.py --count 1000

After each kill, and all the while, whoever opens the file finds whole appends: rows in order, as
many as some number of appends have. The next process goes on from there.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from penstock import mem_map

ROWS, COLUMNS = 37, 50  # of each append

WRITER = f"""
import sys, numpy
from penstock import _core  # as penstock.append(), without waiting for torch
file = sys.argv[1]
rows = len(numpy.load(file, mmap_mode="r"))
print("go", flush=True)
while True:
    new = numpy.repeat(numpy.arange(rows, rows + {ROWS}, dtype=numpy.int64)[:, None], {COLUMNS}, 1)
    rows = _core.array_append(file.encode(), _core.tensor(new))
"""


def check(file: Path, least: int) -> int:
    """Rows of the file, which are whole; at least as many as there were."""
    rows = mem_map(file)
    n = len(rows)
    assert n >= least, (n, least)
    assert n % ROWS == 0, n
    array = rows.numpy()
    assert array.shape[1] == COLUMNS
    assert (array[:, 0] == np.arange(n)).all()
    assert (array[:, 0] == array[:, -1]).all()
    return n


def kill_once(file: Path, rng: random.Random, least: int) -> int:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, file], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"go\n"
    killer = threading.Timer(rng.random() ** 2 * 0.4, writer.kill)
    killer.start()
    while writer.poll() is None:
        least = check(file, least)
    killer.join()
    writer.stdout.close()
    assert writer.returncode == -9, writer.returncode
    return check(file, least)


def run(folder: Path, count: int, seed: int = 0) -> int:
    rng, file, rows, added = random.Random(seed), folder / "grown.npy", 0, 0
    for number in range(count):
        if number % 20 == 0:  # it gets long
            np.save(file, np.zeros((0, COLUMNS), np.int64))
            rows = 0
        before, rows = rows, kill_once(file, rng, rows)
        added += rows - before
    assert added > 0
    return count


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-kills-") as folder:
        killed = run(Path(folder), options.count, options.seed)
    print(f"{killed} appends killed, each file whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
