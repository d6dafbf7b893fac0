# SPDX-License-Identifier: Apache-2.0
"""Checks what the binaries export and what they need.

The shared library exports exactly what the public headers declare with PST_API. In the static core
every symbol that leaves a file has a prefix of ours. The extension exports its init function and
nothing else. Both need no library that is not named here.
"""

import re
import subprocess
import sys
from pathlib import Path

NEEDED = {
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libisal.so.2",
    "libjpeg.so.62",
    "libjpeg.so.8",
    "liburing.so.2",
    "libwebp.so.7",
    "libxxhash.so.0",
    "libz.so.1",
}
DECLARATION = re.compile(r"\bPST_API\b[^;{]*?\b(\w+)\s*\(")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported(library: Path) -> set[str]:
    """Names of the dynamic symbols that are defined; versions of symbols are left out."""
    lines = run("nm", "--dynamic", "--defined-only", "--format=posix", str(library)).splitlines()
    return {line.split()[0].split("@")[0] for line in lines}


def leaving(archive: Path) -> set[str]:
    """Names that an object file of the archive defines for other files."""
    output = run("nm", "--extern-only", "--defined-only", "--format=posix", str(archive))
    fields = [line.split() for line in output.splitlines()]
    return {field[0] for field in fields if len(field) >= 3 and len(field[1]) == 1}


def needed(library: Path) -> set[str]:
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", str(library))))


def declared(headers: Path) -> set[str]:
    names: set[str] = set()
    for header in sorted(headers.glob("*.h")):
        text = DIRECTIVE.sub("", COMMENT.sub("", header.read_text(encoding="utf-8")))
        names.update(DECLARATION.findall(text))
    return names


def compare_api(symbols: set[str], names: set[str]) -> list[str]:
    problems = [f"exported but in no public header: {name}" for name in sorted(symbols - names)]
    problems += [f"declared but not exported: {name}" for name in sorted(names - symbols)]
    problems += [
        f"public name without the prefix pst_: {name}"
        for name in sorted(names)
        if not re.fullmatch(r"pst_[a-z0-9][a-z0-9_]*", name)
    ]
    return problems


def check(build: Path, headers: Path) -> tuple[int, list[str]]:
    library = build / "src" / "libpenstock.so"
    archive = build / "src" / "libpenstock_core.a"
    extension = build / "site" / "penstock" / "_core.abi3.so"
    symbols = exported(library)
    inner = leaving(archive)
    entry = exported(extension)
    problems = compare_api(symbols, declared(headers))
    problems += [
        f"{archive.name}: without a prefix: {name}"
        for name in sorted(inner)
        if not re.match(r"pst_", name)
    ]
    if entry != {"PyInit__core"}:
        problems.append(f"{extension.name} exports {sorted(entry)}, not PyInit__core alone")
    for binary in (library, extension):
        extra = needed(binary) - NEEDED
        problems += [f"{binary.name} needs {name}" for name in sorted(extra)]
    if not symbols or not inner:
        problems.append("a library without symbols")
    return len(symbols) + len(inner) + len(entry), problems


def main(arguments: list[str]) -> int:
    root = Path(__file__).resolve().parent.parent
    build = Path(arguments[0]) if arguments else root / "build" / "release"
    seen, problems = check(build, root / "include" / "penstock")
    for problem in problems:
        print(problem)
    print(f"items: {seen} symbols")
    return 1 if problems or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
