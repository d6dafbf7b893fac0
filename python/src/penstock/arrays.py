# SPDX-License-Identifier: Apache-2.0
"""torchvision's datasets that hold all images in one array: how exactly each class is recognised,
and where it keeps pixels and labels.

Workers of stock see the array as it was when the iterator was made. So does the native lane: with
workers it works on a copy, made then, which epochs share as long as it is still equal to the user's
array. Without workers stock reads the array in next(), and the engine does so too, in place.
"""

import array
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy
import torch
from penstock import _core
from penstock.refusal import describe, is_from, refuse
from penstock.registry import Leaf
from penstock.targets import Target
from torch.utils.data._utils import collate

_PACKAGE = "torchvision.datasets."

# What becomes an image: data[i]; the same of three planes, transposed; the same of a tensor.
Form = Literal["array", "planes", "grey", "tensor"]


@dataclass(frozen=True, slots=True)
class _Row:
    home: str  # the module of __getitem__
    names: frozenset[str]  # that __getitem__ uses
    form: Form
    labels: str  # the attribute
    label: Callable[[Any], Any]  # what becomes of an item of it


def _as_it_is(label: Any) -> Any:
    return label


def _first(label: Any) -> int:
    return int(label[0])


def _row(home: str, names: str, form: Form, label: Callable[[Any], Any] = int) -> _Row:
    used = frozenset((*names.split(), "data", "transform", "target_transform"))
    return _Row(home, used, form, "labels" if "labels" in used else "targets", label)


_CIFAR = _row("cifar", "targets Image fromarray", "array", _as_it_is)
_MNIST = _row("mnist", "int targets _Image_fromarray numpy", "tensor")
_PLANES = "labels int Image fromarray np transpose"
_ROWS: dict[tuple[str, str], _Row] = {
    ("cifar", "CIFAR10"): _CIFAR,
    ("cifar", "CIFAR100"): _CIFAR,
    ("mnist", "MNIST"): _MNIST,
    ("mnist", "FashionMNIST"): _MNIST,
    ("mnist", "KMNIST"): _MNIST,
    ("mnist", "EMNIST"): _MNIST,
    ("mnist", "QMNIST"): _row(
        "mnist", "int targets _Image_fromarray numpy compat", "tensor", _first
    ),
    ("semeion", "SEMEION"): _row("semeion", "int labels _Image_fromarray", "grey"),
    ("stl10", "STL10"): _row("stl10", _PLANES, "planes"),
    ("svhn", "SVHN"): _row("svhn", _PLANES, "planes"),
    ("usps", "USPS"): _row("usps", "int targets _Image_fromarray", "grey"),
}


# --- recognising


def _row_of(cls: type) -> _Row | None:
    if not cls.__module__.startswith(_PACKAGE):
        return None
    row = _ROWS.get((cls.__module__.removeprefix(_PACKAGE), cls.__qualname__))
    module = sys.modules.get(cls.__module__)
    return row if getattr(module, cls.__name__, None) is cls else None


_methods_seen: dict[type, Any] = {}  # the __getitem__ that was found to be the known one


def _check_functions(cls: type, row: _Row) -> None:
    home: Any = sys.modules[_PACKAGE + row.home]
    method: Any = getattr(cls, "__getitem__", None)
    if _methods_seen.get(cls) is not method:
        if not is_from(method, home):
            refuse("dataset", f"{cls.__name__}.__getitem__ was replaced")
        if frozenset(method.__code__.co_names) != row.names:
            refuse(
                "dataset", f"{cls.__name__} of this torchvision reads its samples in another way"
            )
        _methods_seen[cls] = method
    image: ModuleType = sys.modules["PIL.Image"]
    if row.form in ("grey", "tensor"):
        if not is_from(home._Image_fromarray, sys.modules["torchvision.utils"]):
            refuse("decode", f"torchvision.datasets.{row.home}._Image_fromarray was replaced")
    elif home.Image is not image or not is_from(image.fromarray, image):
        refuse("decode", "PIL.Image.fromarray was replaced")
    if row.form == "planes" and home.np is not numpy:
        refuse("decode", f"torchvision.datasets.{row.home}.np was replaced")


def _view(data: Any, row: _Row, name: str) -> tuple[numpy.ndarray[Any, Any], int]:
    """The pixels as an array, and the axis of the channels."""
    if row.form == "tensor":
        if type(data) is not torch.Tensor or data.device.type != "cpu":
            refuse("dataset", f"{name}'s data is a {describe(data)}, not a tensor of the CPU")
        if data.dtype is not torch.uint8 or data.layout is not torch.strided:
            refuse("dataset", f"{name}'s data is {data.dtype}, not uint8")
        if data.is_shared():
            refuse("dataset", f"{name}'s data lies in memory that processes share")
        with torch._C.DisableTorchFunction():
            view = data.numpy()
    elif type(data) is numpy.ndarray:
        view = data
    else:
        refuse("dataset", f"{name}'s data is a {describe(data)}, not an array")
    if view.dtype != numpy.uint8:
        refuse("dataset", f"{name}'s data is {view.dtype}, not uint8")
    axis = {"array": 3 if view.ndim == 4 else -1, "planes": 1}.get(row.form, -1)
    ndim = 3 if axis < 0 else 4
    if view.ndim != ndim or 0 in view.shape or (axis > 0 and view.shape[axis] != 3):
        refuse("dataset", f"{name}'s data has shape {view.shape}")
    return view, axis


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _check_labels(labels: Any, row: _Row, name: str) -> None:
    """What kind of thing they are; the items of a list are looked at when they are copied."""
    ndim = 2 if row.label is _first else 1
    if type(labels) is torch.Tensor:
        is_known = (
            labels.dtype in _INTEGERS
            and labels.device.type == "cpu"
            and labels.layout is torch.strided
            and labels.dim() == ndim
            and row.label is not _as_it_is  # there they would be collated as tensors
        )
    elif type(labels) is numpy.ndarray:
        is_known = labels.ndim == ndim and labels.dtype.kind in "iu"
        is_known = is_known and labels.dtype != numpy.uint64
        if row.label is _as_it_is:
            # Scalars of int64 are collated to int64, if nobody has changed how.
            table = collate.default_collate_fn_map
            key = (numpy.bool_, numpy.number, numpy.object_)
            known = getattr(collate, "collate_numpy_scalar_fn", None)
            is_known = is_known and labels.dtype == numpy.int64 and table.get(key) is known
    else:
        is_known = type(labels) is list and row.label is not _first
    if not is_known:
        refuse("dataset", f"{name}'s labels are a {describe(labels)} that is not known")


@dataclass(frozen=True, slots=True, eq=False)
class Images(Leaf):
    """A dataset of images as it is now: `data` and `labels` are the user's own objects, or, in a
    table that is not `live`, copies."""

    row: _Row = field(kw_only=True)
    data: Any = field(kw_only=True)
    labels: Any = field(kw_only=True)
    view: numpy.ndarray[Any, Any] = field(kw_only=True)  # over data's memory
    axis: int = field(kw_only=True)  # of the channels; -1: grey images without one
    is_copy: bool = field(kw_only=True, default=False)  # of the pixels

    is_array: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.view)

    @property
    def channels(self) -> int:
        return 1 if self.axis < 0 else 3

    def load(self, index: Any, _: bytes | None = None) -> Any:
        item = self.data[index]
        home: Any = sys.modules[_PACKAGE + self.row.home]
        if self.row.form == "tensor":
            return home._Image_fromarray(item.numpy(), mode="L")
        if self.row.form == "grey":
            return home._Image_fromarray(item, mode="L")
        if self.row.form == "planes":
            item = numpy.transpose(item, (1, 2, 0))
        return home.Image.fromarray(item)

    def ask(self, index: Any) -> None:
        self.data[index]
        label = self.labels[index]
        if self.row.label is not _first:
            self.row.label(label)
        size = self.load(index).size
        self.row.label(label)
        height, width = (n for axis, n in enumerate(self.view.shape) if axis not in (0, self.axis))
        if size != (width, height):
            raise TypeError(f"an index of type {type(index).__name__} is not one sample here")

    def is_alike(self, other: Leaf) -> bool:
        """Of pixels that are not copied: whether they are at the same place, too."""
        if not isinstance(other, Images) or not super(Images, self).is_alike(other):
            return False
        mine, theirs = self.view, other.view
        if self.row is not other.row or self.axis != other.axis or mine.shape != theirs.shape:
            return False
        return other.is_copy or (
            mine.strides == theirs.strides and mine.ctypes.data == theirs.ctypes.data
        )

    def is_same(self, other: Leaf) -> bool:
        if not isinstance(other, Images) or not self.is_alike(other):
            return False
        if not _are_same_labels(self.labels, other.labels):
            return False
        return not other.is_copy or _is_equal(self.view, other.view)

    def holds(self, other: Leaf, indices: list[int]) -> bool:
        """Of samples of a table that is live."""
        if not isinstance(other, Images) or max(indices) >= len(other):
            return False
        if type(self.labels) is not type(other.labels):
            return False
        if type(self.labels) is list:
            now = list(map(self.labels.__getitem__, indices))
            then = list(map(other.labels.__getitem__, indices))
            return now == then and set(map(type, now)) == {int}
        at = numpy.array(indices)
        both = _label_array(self.labels)[at], _label_array(other.labels)[at]
        return numpy.array_equal(*both)

    def copied(self, *, live: bool) -> "Images":
        """With copies of the labels and, unless `live`, of the pixels, whose axes lie in the order
        of the user's; without what may refer back to the dataset."""
        labels = self.labels.clone() if type(self.labels) is torch.Tensor else self.labels.copy()
        if live:
            return replace(self, labels=labels, transform=None)
        view = self.view.copy(order="K")
        data = torch.from_numpy(view) if self.row.form == "tensor" else view
        return replace(self, labels=labels, transform=None, data=data, view=view, is_copy=True)


def read(dataset: Any) -> Images | None:
    """What a dataset of these classes is now, in microseconds; None of another. Raises Refusal."""
    cls = type(dataset)
    row = _row_of(cls)
    if row is None:
        return None
    name = cls.__name__
    _check_functions(cls, row)
    if hasattr(dataset, "__getitems__"):
        refuse("dataset", "the dataset has __getitems__")
    target = dataset.target_transform
    if row.label is _first and dataset.compat is not True:
        refuse("dataset", f"{name}'s compat is {dataset.compat!r}: its targets are tensors")
    attributes = vars(dataset)
    if hasattr(cls, "data") or hasattr(cls, row.labels):
        refuse("dataset", f"{name} has properties in the place of its data")
    data, labels = attributes["data"], attributes[row.labels]
    view, axis = _view(data, row, name)
    _check_labels(labels, row, name)
    if len(labels) != len(view):
        refuse("dataset", f"{name} has {len(view)} images and {len(labels)} labels")
    return Images(
        name,
        (),
        dataset.transform,
        None if target is None else Target(target),
        row=row,
        data=data,
        labels=labels,
        view=view,
        axis=axis,
    )


# --- labels


def _label_array(labels: Any) -> numpy.ndarray[Any, Any]:
    """One axis of integers over the memory of labels that are not a list."""
    found = labels.numpy() if isinstance(labels, torch.Tensor) else labels
    return found[:, 0] if found.ndim == 2 else found


def _label_bytes(images: Images) -> Any:
    """All labels as int64, as they are delivered."""
    labels = images.labels
    if type(labels) is not list:
        if images.target is None:
            return numpy.ascontiguousarray(_label_array(labels), dtype=numpy.int64)
        if images.row.label is _as_it_is:
            refuse("dataset", f"target_transform of {images.name}'s labels, which are not int")
        labels = _label_array(labels).tolist()
    if images.target is not None:
        labels = images.target.labels(labels)
    if set(map(type, labels)) != {int}:
        refuse("dataset", f"{images.name}'s labels are not all int")
    try:
        return array.array("q", labels)
    except OverflowError:
        refuse("dataset", f"{images.name}'s labels are not all int64")


def _are_same_labels(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or len(one) != len(other):
        return False
    if type(one) is list:
        # Comparing lists asks for identity first. 1.0 and True are equal to 1, too.
        return bool(one == other) and set(map(type, one)) == {int}
    return one.dtype == other.dtype and bool((one == other).all())


# --- pixels

_CHUNK = 1 << 20  # bytes compared at a time


def _is_equal(one: numpy.ndarray[Any, Any], other: numpy.ndarray[Any, Any]) -> bool:
    """Content, a piece in the cache at a time; both of one shape."""
    step = max(1, _CHUNK // max(1, one[0].size))
    return all(
        bool((one[i : i + step] == other[i : i + step]).all()) for i in range(0, len(one), step)
    )


def make(leaf: Leaf, *, live: bool, most: int, peek: bool) -> tuple[Images, _core.Dataset]:
    """A dataset as the engine has it. Without workers (`live`) the pixels are the user's own; else
    all is a copy, of at most so many bytes. peek: only to look at, so that nothing is copied.

    Raises Refusal."""
    if not isinstance(leaf, Images):
        raise TypeError(f"{leaf.name} is no array of images")
    if not live and leaf.view.nbytes > most:
        refuse(
            "dataset",
            f"with workers its {leaf.view.nbytes} bytes are copied, memory_budget is {most}",
        )
    labels = _label_bytes(leaf)
    images = leaf.copied(live=live or peek)
    pixels: Any = images.view
    try:
        return images, _core.pixels(pixels, images.axis, labels)
    except (ValueError, _core.Error) as error:
        refuse("dataset", f"the engine does not do it: {error}")
