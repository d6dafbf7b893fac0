# SPDX-License-Identifier: Apache-2.0
"""Checks that a wheel holds the package's files, the extension, and nothing else."""

import sys
import zipfile
from pathlib import Path

from tracked_files import tracked_files


def expected_files(package: Path) -> set[str]:
    files = tracked_files(package, "*.py", "*.pyi", "py.typed")
    names = {f"{package.name}/{path.relative_to(package).as_posix()}" for path in files}
    return names | {f"{package.name}/_core.abi3.so"}


def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    return {name for name in names if not name.split("/")[0].endswith(".dist-info")}


def main(arguments: list[str]) -> int:
    wheel, package = Path(arguments[0]), Path(arguments[1]).resolve()
    expected, found = expected_files(package), wheel_files(wheel)
    for name in sorted(expected - found):
        print(f"not in the wheel: {name}")
    for name in sorted(found - expected):
        print(f"does not belong in the wheel: {name}")
    print(f"items: {len(found)} files")
    return 1 if expected != found or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
