# SPDX-License-Identifier: Apache-2.0
"""What many files are, added up."""

import hashlib
import os
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.examine import Finding, examine, read_file
from penstock.cli.spread import spread
from penstock.cli.tree import Tree, has_image_name

_EDGES = (0, 32, 64, 128, 256, 384, 512, 768, 1024, 2048, 4096, 8192)  # of the short side
# Names that say another format than the bytes.
_NAMES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "mpo": (".jpg", ".jpeg", ".jpe", ".mpo"),
    "png": (".png", ".apng"),
    "webp": (".webp",),
    "bmp": (".bmp", ".dib"),
    "gif": (".gif",),
    "tiff": (".tif", ".tiff"),
    "ppm": (".ppm", ".pgm", ".pbm", ".pnm"),
}
_ALL_NAMES = frozenset(name for names in _NAMES.values() for name in names)

Advance = Callable[[int], None]


def _general(reason: str) -> str:
    """A reason without the numbers of the one file."""
    return re.sub(r"\b(?:[0-9a-f]{8}|\d+)\b", "N", reason)


def _median(values: "array[int]") -> int:
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def _spread_of(values: "array[int]") -> dict[str, int] | None:
    if not values:
        return None
    return {"min": min(values), "median": _median(values), "max": max(values)}


@dataclass(slots=True)
class Reason:
    files: int
    example: str


@dataclass
class Census:
    """Of one tree. add() takes a finding and its class; as_dict() is what --json gives."""

    tree: Tree
    deep: bool
    threads: int
    files: int = 0
    bytes: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    lanes: Counter[str] = field(default_factory=Counter)
    per_class: Counter[int] = field(default_factory=Counter)
    reasons: dict[str, Reason] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    misnamed: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # images that ImageFolder does not see
    widths: "array[int]" = field(default_factory=lambda: array("q"))
    heights: "array[int]" = field(default_factory=lambda: array("q"))
    pixels: int = 0
    by_size: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    duplicates: list[tuple[int, list[str]]] | None = None
    seconds: float = 0.0

    @property
    def images(self) -> int:
        """Files that are images, or should be."""
        return sum(n for lane, n in self.lanes.items() if lane != "other")

    @property
    def native_share(self) -> float | None:
        decoded = self.lanes["native"] + self.lanes["pillow"] + self.lanes["unknown"]
        return self.lanes["native"] / decoded if decoded else None

    def add(self, found: Finding, label: int) -> None:
        self.files += 1
        self.bytes += found.bytes
        self.lanes[found.lane] += 1
        if found.bytes:
            self.by_size[found.bytes].append(found.path)
        if found.lane == "other":
            return
        if found.lane == "broken":
            self.broken.append((found.path, found.error or "unknown"))
        # In a tree without classes the names are all that ImageFolder could go by.
        if has_image_name(found.path) and (label >= 0 or not self.tree.classes):
            self.per_class[label] += 1
        elif found.lane != "broken":
            self.ignored.append(found.path)
        self._add_image(found)

    def _add_image(self, found: Finding) -> None:
        if found.format:
            self.formats[found.format] += 1
            names = _NAMES.get(found.format)
            ending = os.path.splitext(found.path)[1].lower()
            if names and ending in _ALL_NAMES and ending not in names:
                self.misnamed.append((found.path, found.format))
        if found.lane in ("pillow", "unknown") and found.reason:
            reason = self.reasons.setdefault(_general(found.reason), Reason(0, found.path))
            reason.files += 1
            reason.example = min(reason.example, found.path)
        if found.lane != "broken" and found.width and found.height:
            self.modes[found.mode or "unknown"] += 1
            self.widths.append(found.width)
            self.heights.append(found.height)
            self.pixels += found.width * found.height

    def finish(self) -> None:
        """Threads bring findings in any order; what is shown has one."""
        self.broken += self.tree.problems
        for paths in (self.broken, self.misnamed, self.ignored):
            paths.sort()

    def classes(self) -> dict[str, int]:
        return {name: self.per_class[i] for i, name in enumerate(self.tree.classes)}

    def short_sides(self) -> list[tuple[int, int | None, int]]:
        """(from, to, images); the last bin has no end."""
        bins = [0] * len(_EDGES)
        for width, height in zip(self.widths, self.heights, strict=True):
            side = min(width, height)
            bins[sum(edge <= side for edge in _EDGES) - 1] += 1
        ends = (*_EDGES[1:], None)
        found = [i for i, n in enumerate(bins) if n]
        if not found:
            return []
        rows = list(zip(_EDGES, ends, bins, strict=True))
        return rows[found[0] : found[-1] + 1]

    def as_dict(self) -> dict[str, Any]:
        lanes = {name: self.lanes[name] for name in ("native", "pillow", "unknown", "broken")}
        reasons = sorted(self.reasons.items(), key=lambda item: (-item[1].files, item[0]))
        duplicates = None
        if self.duplicates is not None:
            duplicates = [{"bytes": n, "paths": paths} for n, paths in self.duplicates]
        return {
            "root": self.tree.root,
            "deep": self.deep,
            "files": self.files,
            "images": self.images,
            "bytes": self.bytes,
            "classes": self.classes(),
            "formats": dict(self.formats.most_common()),
            "modes": dict(self.modes.most_common()),
            "width": _spread_of(self.widths),
            "height": _spread_of(self.heights),
            "pixels": self.pixels,
            "short_side": [{"from": a, "to": b, "images": n} for a, b, n in self.short_sides()],
            "lanes": lanes,
            "native_share": self.native_share,
            "reasons": [
                {"reason": what, "files": one.files, "example": one.example}
                for what, one in reasons
            ],
            "broken": [{"path": path, "reason": why} for path, why in self.broken],
            "misnamed": [{"path": path, "format": what} for path, what in self.misnamed],
            "ignored": self.ignored,
            "duplicates": duplicates,
            "threads": self.threads,
            "seconds": round(self.seconds, 3),
        }


def take_census(tree: Tree, deep: bool, threads: int, advance: Advance) -> Census:
    census = Census(tree, deep, threads)

    def look(item: tuple[str, int]) -> tuple[Finding, int]:
        return examine(item[0], deep), item[1]

    for results in spread(look, tree.files, threads):
        for found, label in results:
            census.add(found, label)
        advance(len(results))
    census.finish()
    return census


# --- equal files


def _digest(path: str) -> tuple[bytes, str] | None:
    try:
        return hashlib.blake2b(read_file(path), digest_size=20).digest(), path
    except OSError:
        return None  # it went away, or was found broken already


def _groups(pairs: Sequence[tuple[bytes, str] | None]) -> list[list[str]]:
    equal: defaultdict[bytes, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair is not None:
            equal[pair[0]].append(pair[1])
    return [sorted(paths) for paths in equal.values() if len(paths) > 1]


def find_duplicates(census: Census, advance: Advance) -> None:
    """Files whose content is the same; only files of one size are read."""
    same_size = {n: paths for n, paths in census.by_size.items() if len(paths) > 1}
    names = [path for paths in same_size.values() for path in paths]
    pairs: list[tuple[bytes, str] | None] = []
    for results in spread(_digest, names, census.threads):
        pairs += results
        advance(len(results))
    size_of = {path: n for n, paths in same_size.items() for path in paths}
    groups = sorted(_groups(pairs))
    census.duplicates = [(size_of[paths[0]], paths) for paths in groups]


def n_to_compare(census: Census) -> int:
    return sum(len(paths) for paths in census.by_size.values() if len(paths) > 1)
