# SPDX-License-Identifier: Apache-2.0
"""What the engine is given for a dataset: the paths and labels of all its samples, in one table
that is kept as long as the datasets live."""

import os
import sys
import weakref
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from penstock import _core
from penstock._torch import default_collate
from penstock.kept import Kept
from penstock.refusal import describe, refuse
from penstock.registry import PATH_TYPES, Files, Leaf
from penstock.sources import Source


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Table:
    """The samples of some leaves as they were read; the leaves are copies."""

    leaves: tuple[Leaf, ...]
    starts: tuple[int, ...]
    folder: str | None  # the working directory, where a path is relative to it
    dataset: _core.Dataset
    label_dtype: torch.dtype  # of a batch; the engine's is int64
    origin: list[int] | None  # the places of the engine's samples, where they are not all in order

    def __len__(self) -> int:
        return len(self.dataset)

    def _find(self, index: int) -> tuple[Leaf, int]:
        place = index if self.origin is None else self.origin[index]
        number = bisect_right(self.starts, place) - 1
        return self.leaves[number], place - self.starts[number]

    def path(self, index: int) -> str:
        """Of one of the engine's samples."""
        leaf, at = self._find(index)
        path: str = os.fspath(leaf.path(at))
        return path

    def load(self, index: int, data: bytes | None) -> Any:
        """What stock's dataset makes of a sample's file: an image, or the exception."""
        leaf, at = self._find(index)
        return leaf.load(at, data)

    def indices(self, source: Source, batch: Any) -> tuple[list[int], list[int], Exception | None]:
        """The engine's indices of a batch's samples, their places, and what ended them."""
        if self.origin is None:
            places, error = source.places(batch)
            return places, places, error
        try:
            batch = list(batch)
        except Exception as failure:
            return [], [], failure
        places, error = source.places(batch)
        positions = range(len(source.tree))
        return [positions[which] for which in batch[: len(places)]], places, error

    def is_current(self, source: Source) -> bool:
        return (
            len(source.leaves) == len(self.leaves)
            and (self.folder is None or self.folder == os.getcwd())
            and all(
                live.is_same(copy) for live, copy in zip(source.leaves, self.leaves, strict=True)
            )
        )

    def holds(self, source: Source, indices: list[int], places: list[int]) -> bool:
        """Whether the engine's samples are still those that the dataset has at these places."""
        if self.origin is not None:
            if max(indices) >= len(self.origin) or places != [self.origin[i] for i in indices]:
                return False
        if source.starts != self.starts or not all(
            live.is_alike(copy) for live, copy in zip(source.leaves, self.leaves, strict=True)
        ):
            return False
        if len(self.leaves) == 1:
            return source.leaves[0].holds(self.leaves[0], places)
        by_leaf: dict[int, list[int]] = {}
        for place in places:
            number = bisect_right(self.starts, place) - 1
            by_leaf.setdefault(number, []).append(place - self.starts[number])
        return all(
            source.leaves[number].holds(self.leaves[number], at) for number, at in by_leaf.items()
        )


# --- kept

_tables: Kept[Table] = Kept()
_live_images: Kept[weakref.ref[Table]] = Kept()
_copied_images: Kept[weakref.ref[Table]] = Kept()
_ordered: Kept[tuple[Table, Table]] = Kept()  # (in order of positions, the leaves' own)


# --- made


def _is_integer(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return kind is int or (numpy is not None and issubclass(kind, numpy.integer))


def _dtype_of(labels: Iterable[Any], kinds: set[type]) -> torch.dtype:
    """What the default collate makes of the labels. Raises Refusal."""
    if len(kinds) != 1 or not all(map(_is_integer, kinds)):
        refuse("dataset", f"its labels are not all int: {', '.join(sorted(map(describe, kinds)))}")
    dtype: torch.dtype = default_collate([next(iter(labels))]).dtype
    if dtype.is_floating_point or dtype.is_complex or dtype is torch.bool:
        refuse("dataset", f"its labels become {dtype}")
    return dtype


def _samples(leaf: Files) -> tuple[list[Any], list[Any]]:
    """Paths, and labels as they are delivered."""
    paths, labels = leaf.paths_and_labels()
    if not set(map(type, paths)) <= PATH_TYPES:
        refuse("dataset", "its paths are not all str or Path")
    if labels and leaf.target is not None:
        _dtype_of(labels, set(map(type, labels)))
        labels = leaf.target.labels(labels)
    return paths, labels


def _encode(paths: list[Any]) -> tuple[list[bytes], str | None]:
    """Paths for the engine, and the working directory, where they depend on it."""
    try:
        encoded = [os.fsencode(path) for path in paths]
    except UnicodeEncodeError:
        refuse("dataset", "a path cannot be encoded for the file system")
    if any(b"\0" in path for path in encoded):
        refuse("dataset", "a path holds a NUL")
    if {path[:1] for path in encoded} == {b"/"}:
        return encoded, None
    folder = os.getcwd()
    base = os.fsencode(folder)
    return [os.path.join(base, path) for path in encoded], folder


def _make(leaves: tuple[Leaf, ...], starts: tuple[int, ...], origin: list[int] | None) -> Table:
    paths: list[Any] = []
    labels: list[Any] = []
    for leaf in leaves:
        if not isinstance(leaf, Files):
            refuse("dataset", f"{leaf.name} beside other datasets")
        its_paths, its_labels = _samples(leaf)
        paths += its_paths
        labels += its_labels
    if origin is not None:
        paths = [paths[place] for place in origin]
        labels = [labels[place] for place in origin]
    if not paths:
        refuse("dataset", "it is empty")
    dtype = _dtype_of(labels, set(map(type, labels)))
    if min(labels) < -(2**63) or max(labels) >= 2**63:
        refuse("dataset", "its labels are not all int64")
    encoded, folder = _encode(paths)
    numbers = labels if type(labels[0]) is int else list(map(int, labels))
    try:
        made = _core.paths(encoded, numbers)
    except (ValueError, _core.Error) as error:
        refuse("dataset", f"the engine does not do it: {error}")
    return Table(leaves, starts, folder, made, dtype, origin)


def _as_it_is(leaves: tuple[Leaf, ...], starts: tuple[int, ...]) -> Table | None:
    """A dataset of our own by itself: the engine's list is its own, however long."""
    if len(leaves) != 1 or not type(leaves[0]).__module__.endswith(".own"):
        return None
    leaf: Any = leaves[0]
    if leaf.target is not None or len(leaf) == 0:
        return None
    return Table(leaves, starts, leaf.listed.folder, leaf.listed.core, torch.int64, None)


def _of_leaves(source: Source) -> Table:
    found = _tables.get(*source.owners)
    if found is not None and found.is_current(source):
        return found
    leaves = tuple(leaf.frozen() for leaf in source.leaves)
    table = _as_it_is(leaves, source.starts) or _make(leaves, source.starts, None)
    _tables.put(table, *source.owners)
    return table


def _of_positions(source: Source, base: Table) -> Table:
    """The samples in the order of the dataset's own indices, by which they draw."""
    origin, error = source.places(list(range(len(source.tree))))
    if error is not None:
        refuse("dataset", f"not all its samples can be found ({type(error).__name__}: {error})")
    found = _ordered.get(source.dataset)
    if found is not None and found[1] is base and found[0].origin == origin:
        return found[0]
    table = _make(base.leaves, base.starts, origin)
    _ordered.put((table, base), source.dataset)
    return table


def _of_images(source: Source, *, live: bool, most: int, peek: bool) -> Table:
    """Images in an array: copied unless `live`, and kept as long as an engine has the table."""
    from penstock import arrays

    if len(source.leaves) > 1:
        refuse("dataset", "an array of images beside other datasets")
    kept = _live_images if live else _copied_images
    reference = kept.get(*source.owners)
    found = None if reference is None else reference()
    if found is not None and found.is_current(source):
        return found
    images, made = arrays.make(source.leaves[0], live=live, most=most, peek=peek)
    table = Table((images,), source.starts, None, made, torch.int64, None)
    if not peek:
        kept.put(weakref.ref(table), *source.owners)
    return table


def table_of(
    source: Source,
    *,
    by_position: bool = False,
    live: bool = True,
    most: int = 0,
    peek: bool = False,
) -> Table:
    """by_position: the engine's samples are the dataset's, not those of its leaves. Images in an
    array are copied, up to `most` bytes, unless `live` or only looked at (`peek`).

    Raises Refusal."""
    if any(leaf.is_array for leaf in source.leaves):
        if by_position and not source.is_plain:
            refuse("dataset", "rng='sample' over a part of an array of images")
        return _of_images(source, live=live, most=most, peek=peek)
    table = _of_leaves(source)
    return _of_positions(source, table) if by_position and not source.is_plain else table
