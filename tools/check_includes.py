# SPDX-License-Identifier: Apache-2.0
"""Checks that each room includes only what the table of rooms allows.

A room is a folder of src/. Its front headers are the ones that other rooms may include; all others
are its own. Outside src/ everything lives on the public headers alone.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Which rooms' front headers a room may include, besides its own headers. An entry with a slash is
# one header.
ROOMS: dict[str, set[str]] = {
    "base": set(),
    "kernels": {"base/attributes.h", "base/cpu.h", "base/half.h"},
    "buffer": {"base"},
    "sample": {"base"},
    "exec": {"base"},
    "io": {"base", "buffer", "exec"},
    "format": {"base", "buffer", "kernels", "sample", "io"},
    "decode": {"base", "buffer", "kernels"},
    "transform": {"base", "buffer", "kernels"},
    "loader": {
        "base",
        "buffer",
        "kernels",
        "sample",
        "exec",
        "io",
        "format",
        "decode",
        "transform",
    },
}
# src/*.c, above the rooms.
ABOVE = set(ROOMS)

# A room that is not listed has one front header, ROOM/ROOM.h. None: all its headers are front.
FRONTS: dict[str, set[str] | None] = {
    "base": None,
    "buffer": {"buffer/buffer.h", "buffer/cast.h", "buffer/slab_pool.h"},
    "sample": {
        "sample/block_shuffle.h",
        "sample/mixture.h",
        "sample/permutation.h",
        "sample/windows.h",
    },
    "exec": {"exec/workers.h"},
    "io": {
        "io/ahead.h",
        "io/file.h",
        "io/guard.h",
        "io/medium.h",
        "io/record.h",
        "io/replace.h",
        "io/source.h",
        "io/temporary.h",
        "io/whole.h",
    },
    "format": {"format/dataset.h"},
}

# Of a room with folders of its own: which of them each may include. What lies beside them is for
# all, and includes none.
SHELVES: dict[str, dict[str, set[str]]] = {
    "format": {
        "folder": set(),
        "list": set(),
        "layout": set(),
        "array": set(),
        "rows": {"array", "layout"},
        "tokens": {"layout"},
    },
}

# Rooms that know nothing of the public interface, and headers of others' libraries by room.
NO_PUBLIC_HEADERS = {"kernels"}
LIBRARIES: dict[str, set[str]] = {
    "jpeglib.h": {"decode"},
    "jerror.h": {"decode"},
    "jmorecfg.h": {"decode"},
    "webp/decode.h": {"decode"},
    "xxhash.h": {"format"},
    "isa-l/crc.h": {"base"},
    "liburing.h": {"base", "io"},
    "zlib.h": {"decode", "base"},
    "immintrin.h": {"kernels"},
    "arm_neon.h": {"kernels"},
    "cpuid.h": {"base"},
    "sys/auxv.h": {"base"},
}

# What stands on the public headers; the headers beside a file are its own.
USERS = ("cli", "python/src/penstock/_core", "examples", "bench")
USER_EXTRA = {"python/src/penstock/_core": {"Python.h"}}
# The kernels' benchmark shares its cases with the kernels' test, in tests/c.
BENCH_KERNELS = "bench/kernels.c"
KERNEL_HEADERS = {"kernels/kernels.h", "kernels/bench_kernels.h"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


class Include(NamedTuple):
    line: int
    local: bool  # "..." and not <...>
    path: str


def read_includes(file: Path) -> list[Include]:
    text = file.read_text(encoding="utf-8")
    return [
        Include(text.count("\n", 0, match.start(1)) + 1, match[1] == '"', match[2])
        for match in INCLUDE.finditer(text)
    ]


def is_front(header: str) -> bool:
    room = header.split("/")[0]
    fronts = FRONTS.get(room, {f"{room}/{room}.h"})
    return fronts is None or header in fronts


def shelf_of(path: str) -> str:
    """Of ROOM/SHELF/FILE the shelf, of ROOM/FILE none."""
    return path.split("/")[1] if path.count("/") == 2 else ""


def check_shelf(room: str, shelf: str, other: str) -> str | None:
    if room not in SHELVES or other in {"", shelf} | SHELVES[room].get(shelf, set()):
        return None
    return f"{'/'.join(filter(None, (room, shelf)))} may not include {room}/{other}"


def check_room_include(room: str, shelf: str, include: Include) -> str | None:
    """Says what is wrong with an include of a file of a room; "" is src/ itself."""
    if not include.local:
        if include.path.startswith("penstock/") and room in NO_PUBLIC_HEADERS:
            return f"{room} knows no public header"
        if include.path == "Python.h":
            return "the engine knows nothing of Python"
        allowed = LIBRARIES.get(include.path)
        if allowed is not None and room not in allowed:
            return f"<{include.path}> belongs to {', '.join(sorted(allowed))}"
        return None
    if "/" not in include.path:
        return "include paths start at src/"
    other = include.path.split("/")[0]
    if other not in ROOMS:
        return f"{other} is no room"
    if other == room:
        return check_shelf(room, shelf, shelf_of(include.path))
    may = ROOMS[room] if room else ABOVE
    if other not in may and include.path not in may:
        return f"{room} may not include {other}"
    if not is_front(include.path):
        return f"{include.path} is private to {other}"
    return None


def check_room_file(source: Path, src: Path) -> Iterator[tuple[int, str]]:
    relative = source.relative_to(src)
    room = relative.parts[0] if len(relative.parts) > 1 else ""
    if room and room not in ROOMS:
        yield 1, f"{room} is no room: give it a row in ROOMS"
        return
    shelf = shelf_of(relative.as_posix())
    if shelf and room in SHELVES and shelf not in SHELVES[room]:
        yield 1, f"{room}/{shelf} is no shelf: give it a row in SHELVES"
        return
    includes = read_includes(source)
    for include in includes:
        problem = check_room_include(room, shelf, include)
        if problem is None and include.local and not (src / include.path).is_file():
            problem = "no such file"
        if problem is not None:
            yield include.line, f"{include.path}: {problem}"
    own = relative.with_suffix(".h").as_posix()
    if source.suffix == ".c" and (src / own).is_file():
        if not includes or includes[0].path != own:
            yield includes[0].line if includes else 1, f"{own}, its own header, comes first"


def check_user_file(source: Path, root: Path, user: str) -> Iterator[tuple[int, str]]:
    relative = source.relative_to(root).as_posix()
    for include in read_includes(source):
        if include.local:
            kernels = relative == BENCH_KERNELS and include.path in KERNEL_HEADERS
            own = ".." not in include.path and (source.parent / include.path).is_file()
            if not kernels and not own:
                yield include.line, f"{include.path}: only <penstock/...> and its own headers"
        elif include.path == "Python.h" and "Python.h" not in USER_EXTRA.get(user, set()):
            yield include.line, "Python.h belongs to the extension"


def sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in {".c", ".h"} and p.is_file())


def check(root: Path) -> tuple[int, list[str]]:
    """Returns the number of includes seen and the problems."""
    seen = 0
    problems = []
    for source in sources(root / "src"):
        seen += len(read_includes(source))
        for line, text in check_room_file(source, root / "src"):
            problems.append(f"{source.relative_to(root)}:{line}: {text}")
    for user in USERS:
        for source in sources(root / user):
            seen += len(read_includes(source))
            for line, text in check_user_file(source, root, user):
                problems.append(f"{source.relative_to(root)}:{line}: {text}")
    for header in sources(root / "include"):
        for include in read_includes(header):
            seen += 1
            if include.local:
                problems.append(f"{header.relative_to(root)}:{include.line}: write <penstock/...>")
    return seen, problems


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    seen, problems = check(root)
    for problem in problems:
        print(problem)
    print(f"items: {seen} includes")
    return 1 if problems or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
