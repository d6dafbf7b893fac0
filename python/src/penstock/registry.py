# SPDX-License-Identifier: Apache-2.0
"""The dataset classes that are known, a row each: how exactly that class is recognised, and where
it keeps its paths and labels.

A row says which names the class's __getitem__ uses: with another version of torchvision, whose
method does something else, the class is not known.
"""

import os
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import is_, itemgetter
from types import ModuleType
from typing import Any, ClassVar, NoReturn

from penstock import reference, targets
from penstock.refusal import describe, is_from, refuse
from penstock.targets import Target

PATH_TYPES = frozenset((str, type(pathlib.Path())))


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A dataset that holds samples, as its lists are now: `columns` are the very lists, whose items
    at one index are one sample. Other kinds of datasets derive from it."""

    name: str
    columns: tuple[list[Any], ...]
    transform: Any
    target: Target | None

    def __len__(self) -> int:
        return len(self.columns[0])

    def frozen(self) -> "Leaf":
        """With copies of the lists, and without what may refer back to the dataset."""
        return replace(self, columns=tuple(map(list.copy, self.columns)), transform=None)

    def is_alike(self, other: "Leaf") -> bool:
        """Whether `other`, a copy, does the same with its samples."""
        return (
            type(self) is type(other)
            and self.name == other.name
            and len(self.columns) == len(other.columns)
            and targets.is_same(self.target, other.target)
        )

    def is_same(self, other: "Leaf") -> bool:
        """Whether `other`, a copy, is still what this is."""
        return self.is_alike(other) and all(map(is_same_list, self.columns, other.columns))

    def ask(self, index: Any) -> None:
        """Raises what __getitem__ raises for an index that it does not take."""
        for column in self.columns:
            column[index]

    is_array: ClassVar[bool] = False  # arrays.Images
    is_rows: ClassVar[bool] = False  # rows.Rows, and its like
    is_file: ClassVar[bool] = False  # rows in files, which the system can be told of

    @property
    def is_waited_for(self) -> bool:
        """Of rows in files: whether to copy them is to wait for the disk, whatever was told."""
        return False

    @property
    def channels(self) -> int:
        """Of its images: 3, or 1 for grey ones."""
        return 3

    def is_in_place(self, other: "Leaf") -> bool:
        """Of rows: whether `other` is of the very same memory or file, seen alike."""
        return False

    def path(self, index: int) -> Any:
        """Of a sample's file; "" where it is none."""
        return ""

    def load(self, index: int, data: bytes | None) -> Any:
        """What __getitem__ makes of a sample before any transform: an image, or the exception."""
        raise TypeError(f"a sample of {self.name} is no image")

    def holds(self, other: "Leaf", indices: list[int]) -> bool:
        """Whether samples of `other`, a copy that is alike, are still those of this."""
        if max(indices) >= min(len(self), len(other)):
            return False
        return all(
            all(map(is_, map(mine.__getitem__, indices), map(theirs.__getitem__, indices)))
            for mine, theirs in zip(self.columns, other.columns, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Files(Leaf):
    """Files with labels: a list of pairs, or a list of paths and a list of labels."""

    by_path: bool = field(kw_only=True)  # Pillow gets the path, not an open file

    def ask(self, index: Any) -> None:
        if len(self.columns) == 1:
            path, _ = self.columns[0][index]
        else:
            path, _ = self.columns[0][index], self.columns[1][index]
        if not isinstance(path, str | os.PathLike):  # a slice, which only the opening refuses
            reference.load(path, None, by_path=self.by_path)
            raise TypeError(f"expected one path, got {type(path).__name__}")

    def load(self, index: int, data: bytes | None) -> Any:
        return reference.load(self.path(index), data, by_path=self.by_path)

    def path(self, index: int) -> Any:
        first = self.columns[0][index]
        return first if len(self.columns) == 2 else first[0]

    def paths_and_labels(self) -> tuple[list[Any], list[Any]]:
        if len(self.columns) == 2:
            return self.columns
        samples = self.columns[0]
        if not samples:
            return [], []
        if set(map(type, samples)) != {tuple} or set(map(len, samples)) != {2}:
            refuse("dataset", "its samples are not all pairs")
        return list(map(itemgetter(0), samples)), list(map(itemgetter(1), samples))


def is_same_list(live: list[Any], copy: list[Any]) -> bool:
    """Comparing lists asks for identity first, so a list that did not change costs 1 ns an item.
    But values of two classes may be equal (1 and 1.0), so some items are asked for identity alone:
    lists that were made anew hold other objects."""
    n = len(live)
    if n != len(copy) or live != copy:
        return False
    return all(live[i] is copy[i] for i in range(0, n, n // 64 + 1))


# --- rows


@dataclass(frozen=True, slots=True)
class _Row:
    columns: Callable[[Any], tuple[Any, ...]]
    names: frozenset[str]  # that __getitem__ uses
    home: str | None = None  # the module of __getitem__, if not the class's own
    loader: str | None = "loader"  # the attribute that opens a path; None: Image.open itself
    joint: bool = False  # transforms are taken from `transforms`


_IMAGES = "opens images without converting them to RGB"


def _of(*attributes: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda dataset: tuple(getattr(dataset, name) for name in attributes)


def _pets(dataset: Any) -> tuple[Any, ...]:
    labels = {"category": "_labels", "binary-category": "_bin_labels"}
    kinds = dataset._target_types
    if type(kinds) is not list or len(kinds) != 1 or kinds[0] not in labels:
        refuse("dataset", f"OxfordIIITPet's target_types are {kinds}, not one kind of class")
    return dataset._images, getattr(dataset, labels[kinds[0]])


_APART = ("transform", "target_transform")


def _folder() -> _Row:
    return _Row(_of("samples"), frozenset(("samples", "loader", *_APART)), "folder")


def _pairs(loader: str = "loader") -> _Row:
    return _Row(_of("_samples"), frozenset(("_samples", loader, *_APART)), loader=loader)


def _two(paths: str = "_image_files", labels: str = "_labels", loader: str = "loader") -> _Row:
    names = frozenset((paths, labels, loader, *_APART))
    return _Row(_of(paths, labels), names, loader=loader)


_PET_NAMES = (
    "Image open convert _images _labels _bin_labels _segs _target_types append len tuple transforms"
)
# By module, below torchvision.datasets, and name.
_ROWS: dict[tuple[str, str], _Row] = {
    ("country211", "Country211"): _folder(),
    ("dtd", "DTD"): _two(),
    ("eurosat", "EuroSAT"): _folder(),
    ("fgvc_aircraft", "FGVCAircraft"): _two(),
    ("flowers102", "Flowers102"): _two(),
    ("folder", "DatasetFolder"): _folder(),
    ("folder", "ImageFolder"): _folder(),
    ("food101", "Food101"): _two(),
    ("gtsrb", "GTSRB"): _Row(
        _of("_samples"),
        frozenset(("PIL", "Image", "open", "convert", "_samples", *_APART)),
        loader=None,
    ),
    ("imagenet", "ImageNet"): _folder(),
    ("imagenette", "Imagenette"): _pairs(),
    ("lfw", "LFWPeople"): _two("data", "targets", "_loader"),
    ("oxford_iiit_pet", "OxfordIIITPet"): _Row(
        _pets, frozenset(_PET_NAMES.split()), loader=None, joint=True
    ),
    ("places365", "Places365"): _Row(
        _of("imgs"), frozenset(("imgs", "loader", "transforms")), joint=True
    ),
    ("rendered_sst2", "RenderedSST2"): _pairs(),
    ("stanford_cars", "StanfordCars"): _pairs(),
    ("sun397", "SUN397"): _two(),
}
# Classes that cannot be known, with what they do.
_OTHERS: dict[tuple[str, str], str] = {
    ("caltech", "Caltech101"): _IMAGES,
    ("caltech", "Caltech256"): _IMAGES,
    ("celeba", "CelebA"): _IMAGES,
    ("inaturalist", "INaturalist"): _IMAGES,
}
_PACKAGE = "torchvision.datasets."


def _key(cls: type) -> tuple[str, str]:
    return cls.__module__.removeprefix(_PACKAGE), cls.__qualname__


def _is_itself(cls: type) -> bool:
    """Whether torchvision's module has this very class under its name."""
    module = sys.modules.get(cls.__module__)
    return cls.__module__.startswith(_PACKAGE) and getattr(module, cls.__name__, None) is cls


def _refuse_unknown(cls: type) -> NoReturn:
    if _is_itself(cls) and _key(cls) in _OTHERS:
        refuse("dataset", f"{describe(cls)} {_OTHERS[_key(cls)]}")
    for base in cls.__mro__[1:]:
        if _is_itself(base) and _key(base) in _ROWS:
            refuse("dataset", f"{describe(cls)} is a subclass of {describe(base)}")
    refuse("dataset", f"{describe(cls)} is not a dataset that the engine knows")


_methods_seen: dict[type, Any] = {}  # the __getitem__ that was found to be the known one


def _check_method(cls: type, row: _Row) -> None:
    method: Any = getattr(cls, "__getitem__", None)
    if _methods_seen.get(cls) is method:
        return
    home = sys.modules[_PACKAGE + row.home if row.home else cls.__module__]
    if not is_from(method, home):
        refuse("dataset", f"{cls.__name__}.__getitem__ was replaced")
    if frozenset(method.__code__.co_names) != row.names:
        refuse("dataset", f"{cls.__name__} of this torchvision reads its samples in another way")
    _methods_seen[cls] = method


def _folder_module() -> ModuleType:
    return sys.modules[_PACKAGE + "folder"]


# Functions by which loaders do their work; another one in the place of any of them is not known.
_LOADERS = ("pil_loader", "default_loader")


def _check_loader(loader: Any) -> None:
    folder = _folder_module()
    for name in _LOADERS:
        if not is_from(getattr(folder, name), folder):
            refuse("dataset", f"torchvision.datasets.folder.{name} was replaced")
    if loader is not folder.default_loader and loader is not folder.pil_loader:
        refuse("decode", f"the loader function is {describe(loader)}")


def _transforms(dataset: Any, row: _Row) -> tuple[Any, Any]:
    """(transform, target_transform), from where the class takes them."""
    if not row.joint:
        return dataset.transform, dataset.target_transform
    both = dataset.transforms
    if both is None:
        return None, None
    vision = sys.modules[_PACKAGE + "vision"]
    if type(both) is not vision.StandardTransform:
        refuse("transform", f"{describe(both)} transforms image and target together")
    if not is_from(vision.StandardTransform.__call__, vision):
        refuse("transform", "StandardTransform.__call__ was replaced")
    return both.transform, both.target_transform


def read(dataset: Any) -> Leaf:
    """What a dataset of a known class is now. Raises Refusal."""
    from penstock import rows

    found = rows.read(dataset)
    if found is not None:
        return found
    cls = type(dataset)
    if cls.__module__.startswith(_PACKAGE):
        from penstock import arrays  # with NumPy, which torchvision needs

        images = arrays.read(dataset)
        if images is not None:
            return images
    if cls.__module__.startswith("penstock.datasets."):
        from penstock import own

        return own.read(dataset)
    row = _ROWS.get(_key(cls)) if _is_itself(cls) else None
    if row is None:
        _refuse_unknown(cls)
    _check_method(cls, row)
    if hasattr(dataset, "__getitems__"):
        refuse("dataset", "the dataset has __getitems__")
    if row.loader is not None:
        _check_loader(getattr(dataset, row.loader))
    transform, target_transform = _transforms(dataset, row)
    columns = row.columns(dataset)
    for column in columns:
        if type(column) is not list:
            refuse("dataset", f"its samples are in a {describe(column)}, not a list")
    if len(set(map(len, columns))) > 1:
        refuse("dataset", "it has not as many labels as paths")
    target = None if target_transform is None else Target(target_transform)
    return Files(cls.__name__, columns, transform, target, by_path=row.loader is None)
