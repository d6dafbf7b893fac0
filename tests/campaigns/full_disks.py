# SPDX-License-Identifier: Apache-2.0
"""Arrays that are made and grown on disks that are too small: a tmpfs of each of many sizes.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/full_disks.py --sizes 100

Needs root. What does not fit has to be an OSError with ENOSPC where the file is made or grown,
never a fault where its elements are written; what was there stays, and no temporary file is left.
"""

import argparse
import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from penstock import append, mem_map

PAGE = 4096


def mount(folder: Path, pages: int) -> bool:
    options = f"size={pages * PAGE}"
    command = ["mount", "-t", "tmpfs", "-o", options, "penstock-test", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def try_one(folder: Path, wanted: int) -> bool:
    """Makes a file and lets it grow until there is no place. Whether something fitted."""
    file, made, told = folder / "x.npy", 0, None
    try:
        mapped = mem_map(file, "u1", (wanted, PAGE), mode="w+")
        made = wanted
        mapped[:] = 1  # each page is there
        mapped.flush()
        for _ in range(200):
            append(file, np.full((3, PAGE), 1, np.uint8))
            made += 3
    except OSError as error:
        told = error
    assert told is not None, "the disk was never full"
    assert told.errno == errno.ENOSPC, told
    assert "x.npy" in str(told), told
    assert [path.name for path in folder.iterdir()] == (["x.npy"] if made else [])
    if made:
        assert np.load(file).shape == (made, PAGE)
        assert mem_map(file).numpy().min() == 1
    return made > 0


def run(sizes: int) -> int:
    """How many sizes were tried."""
    fitted = 0
    with tempfile.TemporaryDirectory(prefix="penstock-full-") as root:
        folder = Path(root) / "disk"
        folder.mkdir()
        for pages in range(1, sizes + 1):
            if not mount(folder, pages):
                assert pages == 1
                return 0
            try:
                fitted += try_one(folder, sizes // 2)
            finally:
                subprocess.run(["umount", "-l", str(folder)], check=True)
    assert sizes // 3 < fitted < sizes
    return sizes


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, default=100)
    tried = run(parser.parse_args().sizes)
    print(f"{tried} sizes of a full disk: each an error, no fault, nothing left over")
    return 0 if tried else 1


if __name__ == "__main__":
    sys.exit(main())
