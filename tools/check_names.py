# SPDX-License-Identifier: Apache-2.0
"""Checks that a file's name alone says which one it is, and that each opens with its licence.

The public headers are a name space of their own: they are always written <penstock/...>.
"""

import sys
from collections import defaultdict
from pathlib import Path

from tracked_files import tracked_files

SOURCES = ("*.c", "*.h", "*.py", "*.pyi")
SEVERAL = {"__init__.py", "conftest.py"}  # names that Python and pytest give a meaning
LICENCE = "SPDX-License-Identifier: Apache-2.0"


def name_space(path: Path, root: Path) -> str:
    public = path.relative_to(root).parts[0] == "include"
    return "public" if public else path.suffix


def check(root: Path, files: list[Path]) -> list[str]:
    problems = []
    by_name: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in files:
        by_name[name_space(path, root), path.name].append(path.relative_to(root))
        first = path.read_text(encoding="utf-8").split("\n", 2)[:2]
        if not any(LICENCE in line for line in first):
            problems.append(f"{path.relative_to(root)}:1: no {LICENCE}")
    for (_, name), paths in sorted(by_name.items()):
        if len(paths) > 1 and name not in SEVERAL:
            problems.append(f"{name} is the name of {', '.join(map(str, paths))}")
    return problems


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    files = tracked_files(root, *SOURCES)
    problems = check(root, files)
    for problem in problems:
        print(problem)
    print(f"items: {len(files)} files")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
