# SPDX-License-Identifier: Apache-2.0
"""Compiles each public header alone, as C99 and as C++, with every compiler that is asked for."""

import subprocess
import sys
from pathlib import Path

FLAGS = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
WAYS = {
    "gcc": ["-x", "c", "-std=c99"],
    "clang": ["-x", "c", "-std=c99"],
    "g++": ["-x", "c++", "-std=c++11"],
    "clang++": ["-x", "c++", "-std=c++11"],
}


def check_header(header: Path, include: Path, compiler: str) -> str | None:
    """The compiler's words, or None if it has none.

    The header comes twice, so that its guard is met; the declaration is for a header of macros.
    """
    line = f"#include <{header.relative_to(include).as_posix()}>\n"
    command = [compiler, *FLAGS, "-I", str(include), *WAYS[compiler], "-"]
    done = subprocess.run(
        command, input=line * 2 + "extern int n;\n", capture_output=True, text=True
    )
    return None if done.returncode == 0 else done.stderr


def check(include: Path, compilers: list[str]) -> int:
    seen = 0
    failed = 0
    for header in sorted(include.rglob("*.h")):
        for compiler in compilers:
            seen += 1
            words = check_header(header, include, compiler)
            if words is not None:
                failed += 1
                print(f"{header.name} with {compiler}:\n{words}")
    print(f"items: {seen} compilations")
    return 1 if failed or seen == 0 else 0


def main() -> int:
    return check(Path(__file__).resolve().parent.parent / "include", list(WAYS))


if __name__ == "__main__":
    sys.exit(main())
