# SPDX-License-Identifier: Apache-2.0
"""Where the samples of a loader's dataset come from: one dataset that the registry knows, or
torch's Subset and ConcatDataset over several, in each other.

The indices of Subset and ConcatDataset are resolved by torch's own classes, over stand-ins for the
datasets below: so negative, wrong and odd indices do what they do in stock. Only plain indices that
are right take a shorter way.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.data.dataset as torch_dataset
from penstock import registry
from penstock._torch import default_collate, make_fetcher
from penstock.kept import Kept
from penstock.refusal import is_from, refuse
from penstock.registry import Leaf, is_same_list

_Subset: Any = torch_dataset.Subset
_Concat: Any = torch_dataset.ConcatDataset
_MOST_DEEP = 16
_MOST_PARTS = 1024


class _Stand:
    """Stands for a leaf: its samples are their places among all samples of all leaves."""

    def __init__(self, leaf: Leaf, start: int, number: int, seen: list[int]) -> None:
        self.leaf = leaf
        self.start = start
        self.number = number
        self.seen = seen

    def __len__(self) -> int:
        return len(self.leaf)

    def __getitem__(self, index: Any) -> int:
        self.leaf.ask(index)
        place: int = self.start + range(len(self.leaf))[index]
        self.seen.append(place)
        return place


def _plain_places(node: Any, batch: Any) -> list[int] | None:
    while type(batch) is list and batch and set(map(type, batch)) == {int}:
        if type(node) is _Stand:
            if min(batch) < 0 or max(batch) >= len(node):
                return None
            return [node.start + index for index in batch] if node.start else list(batch)
        if type(node) is not _Subset:
            return _places_in_parts(node, batch)
        indices, node = node.indices, node.dataset
        try:
            if type(indices) in (list, tuple, range):
                batch = [indices[index] for index in batch]
            else:
                batch = indices[batch].tolist()
        except IndexError:
            return None
    return None


def _places_in_parts(node: Any, batch: list[int]) -> list[int] | None:
    """The same of a ConcatDataset: each part is asked once."""
    sizes = node.cumulative_sizes
    if min(batch) < 0 or max(batch) >= sizes[-1]:
        return None
    parts = [bisect_right(sizes, index) for index in batch]
    asked: dict[int, list[int]] = {part: [] for part in parts}
    for part, index in zip(parts, batch, strict=True):
        asked[part].append(index - sizes[part - 1] if part else index)
    places = {}
    for part, indices in asked.items():
        found = _plain_places(node.datasets[part], indices)
        if found is None:
            return None
        places[part] = iter(found)
    return [next(places[part]) for part in parts]


def _collate(data: list[int]) -> list[int]:
    if not data:
        default_collate(data)  # which has an exception for this
    return data


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A dataset as it is now, or a copy of it (`frozen`)."""

    dataset: Any  # the loader's; None in a copy
    owners: tuple[Any, ...]  # the datasets of the leaves; none in a copy
    leaves: tuple[Leaf, ...]  # each once
    starts: tuple[int, ...]  # the place of each one's first sample
    transforms: tuple[Any, ...]  # each object once
    tree: Any
    seen: list[int]  # where the stands write

    @property
    def is_plain(self) -> bool:
        """A leaf by itself: a place is an index."""
        return type(self.tree) is _Stand

    def places(self, batch: Any) -> tuple[list[int], Exception | None]:
        """The places of a batch's samples; with an exception, of those that stock would have loaded
        before it."""
        found = self.plain_places(batch)
        if found is not None:
            return found, None
        self.seen.clear()
        try:
            make_fetcher(self.tree, True, _collate, False).fetch(batch)
        except Exception as error:  # in no local variable: its traceback holds this frame
            return list(self.seen), error
        return list(self.seen), None

    def plain_places(self, batch: Any) -> list[int] | None:
        """Those of plain indices that are right, else None."""
        return _plain_places(self.tree, batch)

    def frozen(self, leaves: tuple[Leaf, ...]) -> "Source":
        """A copy that the user's changes do not reach; `leaves` are copies of the leaves."""
        seen: list[int] = []

        def copy(node: Any) -> Any:
            if type(node) is _Stand:
                return _Stand(leaves[node.number], node.start, node.number, seen)
            if type(node) is _Subset:
                return _Subset(copy(node.dataset), _copy_indices(node))
            return _concat(map(copy, node.datasets), list(node.cumulative_sizes))

        tree = copy(self.tree)
        return Source(None, (), leaves, self.starts, self.transforms, tree, seen)

    def rebuilt(self, datasets: Sequence[Any]) -> Any:
        """A dataset like the user's over these in the place of the leaves."""

        def build(node: Any) -> Any:
            if type(node) is _Stand:
                return datasets[node.number]
            if type(node) is _Subset:
                return _Subset(build(node.dataset), _copy_indices(node))
            return _concat(map(build, node.datasets), list(node.cumulative_sizes))

        return build(self.tree)

    def describe(self) -> str:
        def words(node: Any) -> str:
            if type(node) is _Stand:
                return node.leaf.name
            if type(node) is _Subset:
                return f"Subset of {words(node.dataset)}"
            parts = [words(part) for part in node.datasets[:4]]
            if len(node.datasets) > 4:
                parts.append(f"{len(node.datasets) - 4} more")
            return f"ConcatDataset of ({', '.join(parts)})"

        return f"{words(self.tree)}, {len(self.tree)} samples"


def _concat(parts: Iterable[Any], sizes: list[int]) -> Any:
    # Its sizes are those of the time when the user's was made.
    made = _Concat.__new__(_Concat)
    made.datasets, made.cumulative_sizes = list(parts), sizes
    return made


# A list of a million indices is copied in 10 ms and compared with a copy in 1 ms.
_copies: Kept[list[Any]] = Kept()


def _copy_indices(node: Any) -> Any:
    indices = node.indices
    if isinstance(indices, torch.Tensor):
        return indices.detach().clone()
    if not isinstance(indices, list):
        return indices if isinstance(indices, tuple | range) else indices.copy()
    found = _copies.get(node.users)
    if found is None or not is_same_list(indices, found):
        found = indices.copy()
        _copies.put(found, node.users)
    return found


# --- reading


def _check_indices(indices: Any) -> None:
    """Only what can be asked twice, and in another process than the user's, with one answer."""
    if type(indices) in (list, tuple, range):
        return
    kind = type(indices).__name__
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(indices) is numpy.ndarray:
        if indices.dtype == numpy.int64 and indices.ndim == 1:
            return
        kind += f" of {indices.dtype} with {indices.ndim} dimensions"
    if type(indices) is torch.Tensor:
        if (
            indices.dtype == torch.int64
            and indices.dim() == 1
            and indices.device.type == "cpu"
            and indices.layout == torch.strided
        ):
            return
        kind += f" of {indices.dtype} with {indices.dim()} dimensions on {indices.device}"
    refuse("dataset", f"Subset's indices are a {kind}")


def _check_class(cls: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if not is_from(getattr(cls, name, None), torch_dataset):
            refuse("dataset", f"{cls.__name__}.{name} was replaced")


class _Walk:
    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.owners: list[Any] = []
        self.starts: list[int] = []
        self.seen: list[int] = []
        self.stands: dict[int, _Stand] = {}
        self.n_parts = 0

    def visit(self, dataset: Any, depth: int = 0) -> Any:
        self.n_parts += 1
        if depth > _MOST_DEEP:
            refuse("dataset", f"datasets are nested more than {_MOST_DEEP} deep")
        if self.n_parts > _MOST_PARTS:
            refuse("dataset", f"it has more than {_MOST_PARTS} parts")
        if type(dataset) is _Subset:
            return self._subset(dataset, depth)
        if type(dataset) is _Concat:
            return self._concatenation(dataset, depth)
        found = self.stands.get(id(dataset))
        return self._leaf(dataset) if found is None else found

    def _subset(self, dataset: Any, depth: int) -> Any:
        _check_class(_Subset, ("__init__", "__getitem__", "__getitems__", "__len__"))
        if "__getitems__" in vars(dataset):
            refuse("dataset", "Subset.__getitems__ is set on the instance")
        _check_indices(dataset.indices)
        made = _Subset(self.visit(dataset.dataset, depth + 1), dataset.indices)
        made.users = dataset
        return made

    def _concatenation(self, dataset: Any, depth: int) -> Any:
        _check_class(_Concat, ("__getitem__", "__len__"))
        if hasattr(dataset, "__getitems__"):
            refuse("dataset", "the dataset has __getitems__")
        parts, sizes = dataset.datasets, dataset.cumulative_sizes
        if type(parts) is not list or type(sizes) is not list:
            refuse("dataset", "ConcatDataset's parts or sizes are not a list")
        if set(map(type, sizes)) != {int} or len(sizes) != len(parts):
            refuse("dataset", "ConcatDataset's sizes do not go with its parts")
        return _concat([self.visit(part, depth + 1) for part in parts], sizes)

    def _leaf(self, dataset: Any) -> _Stand:
        leaf = registry.read(dataset)
        start = self.starts[-1] + len(self.leaves[-1]) if self.leaves else 0
        stand = _Stand(leaf, start, len(self.leaves), self.seen)
        self.leaves.append(leaf)
        self.owners.append(dataset)
        self.starts.append(start)
        self.stands[id(dataset)] = stand
        return stand


def read(dataset: Any) -> Source:
    """What a loader's dataset is now. Raises Refusal. Takes some µs a part."""
    walk = _Walk()
    tree = walk.visit(dataset)
    transforms = tuple({id(leaf.transform): leaf.transform for leaf in walk.leaves}.values())
    return Source(
        dataset,
        tuple(walk.owners),
        tuple(walk.leaves),
        tuple(walk.starts),
        transforms,
        tree,
        walk.seen,
    )
