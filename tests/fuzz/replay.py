# SPDX-License-Identifier: Apache-2.0
"""Runs a fuzz target, built without libFuzzer, over each input of a kept corpus.

replay.py PROGRAM CORPUS.tar.gz
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> list[Path]:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return sorted(folder.iterdir())


def main(arguments: list[str]) -> int:
    program, archive = arguments
    with tempfile.TemporaryDirectory() as scratch:
        inputs = unpack(Path(archive), Path(scratch))
        done = subprocess.run([program, *map(str, inputs)], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    is_whole = done.stdout.endswith(f"{len(inputs)} inputs\n") and inputs
    return done.returncode if is_whole else done.returncode or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
