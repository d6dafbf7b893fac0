# SPDX-License-Identifier: Apache-2.0
"""Datasets of rows: samples that are copied as they are, of tensors, arrays and files of arrays.

torch's TensorDataset is known, a tensor, and a NumPy array or memmap as a dataset, and
penstock.datasets' own. Without workers stock reads in next(), and so does the engine, in place.
Workers of stock see memory as it was when the iterator was made. Memory that processes share, and
files, they see as it is, and so does the engine. Of NumPy's arrays, and of tensors that are not
large, the native lane takes a copy when the iterator is made, which epochs share as long as it is
equal to the user's. A large tensor is read in place: if torch writes to it meanwhile, next() says
so.
"""

import sys
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any, ClassVar, Literal

import torch
import torch.utils.data
import torch.utils.data.dataset as torch_dataset
from penstock import _core, collation, pinned
from penstock.datasets.array_rows import Array
from penstock.datasets.dtypes import DTYPES
from penstock.datasets.tokens import Tokens
from penstock.kept import Kept
from penstock.refusal import describe, is_from, refuse
from penstock.registry import Leaf
from penstock.sources import Source

# What a batch is: the tensors of all fields in a list, or the one field's tensor, or a dict.
Form = Literal["list", "single", "dict"]

_TensorDataset: Any = torch.utils.data.TensorDataset
_GETITEM = _TensorDataset.__getitem__
# To copy a batch of so many bytes costs the consumer about what it costs to get it from a thread.
AT_ONCE = 5 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Rows(Leaf):
    """Tensors whose first dimension counts samples: the user's own, or copies."""

    tensors: tuple[torch.Tensor, ...] = field(kw_only=True)
    form: Form = field(kw_only=True)
    where: tuple[tuple[Any, ...], ...] = field(kw_only=True)  # of each one's elements
    is_shared: bool = field(kw_only=True)  # processes see what the others write
    is_array_of_numpy: bool = field(kw_only=True, default=False)  # nobody counts the writes

    is_rows: ClassVar[bool] = True

    def __len__(self) -> int:
        n: int = self.where[0][2][0]
        return n

    @property
    def copied_bytes(self) -> int:
        return sum(_nbytes(one) for one in self.tensors if not self._is_read_in_place(one))

    def _is_read_in_place(self, tensor: torch.Tensor) -> bool:
        return self.is_shared or (not self.is_array_of_numpy and _nbytes(tensor) > COPIED)

    def frozen(self) -> Leaf:
        """As workers see it."""
        with torch.no_grad():
            mine = tuple(
                tensor if self._is_read_in_place(tensor) else tensor.clone()
                for tensor in self.tensors
            )
        return replace(self, tensors=mine, where=_where(mine))

    def watched(self) -> list[tuple[torch.Tensor, int]]:
        """Tensors that nobody may write to while workers of stock would have them, with torch's
        count of writes."""
        if self.is_shared:
            return []
        large = filter(self._is_read_in_place, self.tensors)
        return [(tensor, tensor._version) for tensor in large]

    def is_in_place(self, other: Leaf) -> bool:
        return isinstance(other, Rows) and self.form == other.form and self.where == other.where

    def is_same(self, other: Leaf) -> bool:
        """Whether `other`, a copy, holds what this does, bit for bit."""
        if not isinstance(other, Rows) or self.form != other.form:
            return False
        if len(self.tensors) != len(other.tensors):
            return False
        return all(
            mine == theirs if self._is_read_in_place(tensor) else _is_equal(tensor, copy)
            for tensor, copy, mine, theirs in zip(
                self.tensors, other.tensors, self.where, other.where, strict=True
            )
        )

    def dataset(self) -> Any:
        """What stock would index in the place of the user's dataset."""
        if self.form == "list":
            return _TensorDataset(*self.tensors)
        return self.tensors[0].numpy() if self.is_array_of_numpy else self.tensors[0]

    def reading(self, loader: Any) -> str:
        if self.is_shared:
            return "in memory that processes share, in place"
        if loader.num_workers > 0 and self.copied_bytes:
            return f"{self.copied_bytes} bytes of them in a copy, made with the iterator"
        return "in memory, in place"

    def open(self) -> _core.Dataset:
        with torch._C.DisableTorchFunction():
            return _core.rows(tuple(map(_core_tensor, self.tensors)))


_WAYS = {
    "mmap": "from mapped files",
    "pread": "from files, by pread() of what is asked for",
    "direct": "from files, around the page cache",
}


@dataclass(frozen=True, slots=True, eq=False)
class FileRows(Leaf):
    """One of our own datasets over files, which are open and are not written to."""

    owner: Any = field(kw_only=True)
    core: _core.Dataset = field(kw_only=True)
    form: Form = field(kw_only=True)

    is_rows: ClassVar[bool] = True
    is_file: ClassVar[bool] = True
    is_shared: ClassVar[bool] = True
    is_array_of_numpy: ClassVar[bool] = False
    copied_bytes: ClassVar[int] = 0

    def __len__(self) -> int:
        return len(self.core)

    def frozen(self) -> Leaf:
        return self

    def watched(self) -> list[tuple[torch.Tensor, int]]:
        return []

    @property
    def is_waited_for(self) -> bool:
        return bool(self.owner.access == "direct")

    def is_in_place(self, other: Leaf) -> bool:
        return isinstance(other, FileRows) and self.core is other.core and self.form == other.form

    def dataset(self) -> Any:
        return self.owner

    def reading(self, loader: Any) -> str:
        return f"{_WAYS[self.owner.access]}: {self.owner._why}"

    def open(self) -> _core.Dataset:
        return self.core


@dataclass(frozen=True, slots=True, eq=False)
class JoinedRows(Leaf):
    """The leaves of a dataset of several, one after the other, as if they were one."""

    parts: tuple[Any, ...] = field(kw_only=True)

    is_rows: ClassVar[bool] = True

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def form(self) -> Form:
        form: Form = self.parts[0].form
        return form

    @property
    def is_file(self) -> bool:  # type: ignore[override]
        return any(part.is_file for part in self.parts)

    @property
    def is_waited_for(self) -> bool:
        return any(part.is_waited_for for part in self.parts)

    @property
    def is_shared(self) -> bool:
        return all(part.is_shared for part in self.parts)

    @property
    def copied_bytes(self) -> int:
        return sum(part.copied_bytes for part in self.parts)

    def frozen(self) -> Leaf:
        return replace(self, parts=tuple(part.frozen() for part in self.parts))

    def watched(self) -> list[tuple[torch.Tensor, int]]:
        return [entry for part in self.parts for entry in part.watched()]

    def _pairs(self, other: Leaf) -> Iterable[tuple[Any, Any]] | None:
        if not isinstance(other, JoinedRows) or len(self.parts) != len(other.parts):
            return None
        return zip(self.parts, other.parts, strict=True)

    def is_in_place(self, other: Leaf) -> bool:
        pairs = self._pairs(other)
        return pairs is not None and all(mine.is_in_place(theirs) for mine, theirs in pairs)

    def is_same(self, other: Leaf) -> bool:
        pairs = self._pairs(other)
        return pairs is not None and all(
            mine.is_in_place(theirs) if mine.is_shared else mine.is_same(theirs)
            for mine, theirs in pairs
        )

    def reading(self, loader: Any) -> str:
        return "; ".join(sorted({part.reading(loader) for part in self.parts}))

    def open(self) -> _core.Dataset:
        return _core.concat(tuple(part.open() for part in self.parts))


def parts_of(leaf: Any) -> tuple[Any, ...]:
    """The leaves that one of these stands for."""
    return leaf.parts if isinstance(leaf, JoinedRows) else (leaf,)


def leaf_of(source: Source) -> Any:
    """All rows of a source. Raises Refusal."""
    leaves: tuple[Any, ...] = source.leaves
    first, *others = leaves
    if not others:
        return first
    if not all(leaf.is_rows for leaf in leaves):
        refuse("dataset", "rows beside other datasets")
    if len({(leaf.form, leaf.is_array_of_numpy) for leaf in leaves}) > 1:
        refuse("dataset", "its parts' samples are not all of one kind")
    if first.form == "dict":
        names = [name for name, *_ in first.owner.fields]
        if any([name for name, *_ in leaf.owner.fields] != names for leaf in others):
            refuse("dataset", "its parts have different columns")
    return JoinedRows("rows", (), None, None, parts=leaves)


def _core_tensor(tensor: torch.Tensor) -> _core.Tensor:
    return _core.from_dlpack(tensor.detach())


# Larger tensors are not copied: 64 MiB are copied, or compared, in some 20 ms.
COPIED = 1 << 26


def _nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _where(tensors: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) for tensor in tensors
    )


_CHUNK = 1 << 20  # bytes compared at a time
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _is_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bits, a piece in the cache at a time."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = _INTEGERS[one.element_size()]
    one, other = one.view(bits), other.view(bits)
    row = max(1, one.numel() // max(1, len(one)) * one.element_size())
    step = max(1, _CHUNK // row)
    return all(
        torch.equal(one[i : i + step], other[i : i + step]) for i in range(0, len(one), step)
    )


# --- recognising


def _check_tensor(tensor: Any, name: str) -> None:
    if type(tensor) is not torch.Tensor:
        refuse("dataset", f"{name} holds a {describe(tensor)}, not a tensor")
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
        refuse("dataset", f"{name}'s tensor is on {tensor.device}, {tensor.layout}")
    if tensor.dtype not in DTYPES.values():
        refuse("dataset", f"{name}'s tensor is {tensor.dtype}")
    if tensor.requires_grad or tensor.is_neg() or tensor.is_conj():
        refuse("dataset", f"{name}'s tensor has a gradient, or is negated when it is read")
    if not 1 <= tensor.dim() <= 8:
        refuse("dataset", f"{name}'s tensor has {tensor.dim()} dimensions")


def _rows(
    name: str,
    tensors: tuple[Any, ...],
    form: Form,
    *,
    is_shared: bool | None = None,
    is_array: bool = False,
) -> Rows:
    if not 1 <= len(tensors) <= 64:
        refuse("dataset", f"{name} has {len(tensors)} tensors")
    for tensor in tensors:
        _check_tensor(tensor, name)
    if len(set(map(len, tensors))) > 1:
        refuse("dataset", f"{name}'s tensors have different numbers of rows")
    if len(tensors[0]) == 0:
        refuse("dataset", "it is empty")
    if is_shared is None:
        is_shared = all(tensor.is_shared() for tensor in tensors)
    return Rows(
        name,
        (),
        None,
        None,
        tensors=tensors,
        form=form,
        where=_where(tensors),
        is_shared=is_shared,
        is_array_of_numpy=is_array,
    )


def _tensor_dataset(dataset: Any) -> Rows:
    if _TensorDataset.__getitem__ is not _GETITEM or not is_from(_GETITEM, torch_dataset):
        refuse("dataset", "TensorDataset.__getitem__ was replaced")
    tensors = dataset.tensors
    if type(tensors) is not tuple:
        refuse("dataset", f"TensorDataset's tensors are a {describe(tensors)}")
    return _rows("TensorDataset", tensors, "list")


def _array(array: Any) -> Rows:
    """NumPy's rows become tensors one by one, which keeps their dtype."""
    name = type(array).__name__
    if array.ndim < 2:
        refuse("dataset", "the items of an array of one dimension are no arrays")
    if array.dtype.kind not in "biuf" or not array.dtype.isnative:
        refuse("dataset", f"an array of {array.dtype}")
    is_memmap = name == "memmap"
    if is_memmap and (array._mmap is None or array.mode == "c"):
        is_memmap = False  # the result of a computation, or a private copy
    if any(stride < 0 or stride % array.dtype.itemsize for stride in array.strides):
        refuse("dataset", "a view of an array that torch cannot look at")
    writable = array if array.flags.writeable else _as_writable(array)
    return _rows(name, (torch.from_numpy(writable),), "single", is_shared=is_memmap, is_array=True)


def _as_writable(array: Any) -> Any:
    """The same memory for torch, which warns of what may not be written. Nobody writes here."""
    import numpy

    interface = dict(array.__array_interface__)
    address, _ = interface["data"]
    interface["data"] = (address, False)
    holder = type("Memory", (), {"__array_interface__": interface, "array": array})()
    return numpy.asarray(holder)


def _methods(cls: Any) -> tuple[Any, ...]:
    others = (cls.collate, cls._pad, cls._padding, cls._cut) if cls is Array else ()
    return (cls.__getitem__, cls.__len__, cls._made, *others)


_OWN: dict[type, tuple[Any, ...]] = {cls: _methods(cls) for cls in (Array, Tokens)}
_COLLATE = Array.collate


def knows_collate(collate_fn: Any, source: Source) -> bool:
    """Whether it is the dataset's own, an Array's. Raises Refusal where only that will do."""
    owners = [getattr(leaf, "owner", None) for leaf in source.leaves]
    is_own = type(collate_fn) is MethodType and collate_fn.__func__ is _COLLATE
    if is_own and all(owner is collate_fn.__self__ for owner in owners):
        return True
    if any(type(owner) is Array and owner._is_varying for owner in owners):
        refuse("collate", "rows of different lengths need collate_fn=dataset.collate")
    return False


def _own(dataset: Any) -> FileRows:
    cls = type(dataset)
    if _methods(cls) != _OWN[cls]:
        refuse("dataset", f"a method of {cls.__name__} was replaced")
    form: Form = "list"
    if cls is Tokens and not dataset.targets:
        form = "single"
    elif cls is Array and dataset.columns is None:
        form = "single" if len(dataset.fields) == 1 else "dict"
    if len(dataset) == 0:
        refuse("dataset", "it is empty")
    return FileRows(cls.__name__, (), None, None, owner=dataset, core=dataset._rows, form=form)


def read(dataset: Any) -> Leaf | None:
    """What a dataset of these kinds is now, in microseconds; None of another. Raises Refusal."""
    cls = type(dataset)
    found: Leaf
    if cls is _TensorDataset:
        found = _tensor_dataset(dataset)
    elif cls in _OWN:
        found = _own(dataset)
    elif cls is torch.Tensor:
        found = _rows("tensor", (dataset,), "single")
    else:
        numpy = sys.modules.get("numpy")
        if numpy is None or cls not in (numpy.ndarray, numpy.memmap):
            return None
        found = _array(dataset)
    if hasattr(dataset, "__getitems__"):
        refuse("dataset", "the dataset has __getitems__")
    collation.check()
    return found


# --- what the engine is given


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RowTable:
    """A dataset of rows as the engine has it."""

    leaf: Any  # Rows, or one of our own datasets'
    dataset: _core.Dataset
    names: tuple[str, ...]
    dtypes: tuple[torch.dtype, ...]
    row_bytes: int  # of fields whose rows are of one length
    is_varying: bool  # there are others

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, tensors: tuple[_core.Tensor, ...]) -> Any:
        """What the default collate makes of a batch's samples."""
        with torch._C.DisableTorchFunction():
            made = [
                pinned.over(tensor, dtype)
                if tensor.nbytes
                else torch.empty(tensor.shape, dtype=dtype)
                for tensor, dtype in zip(tensors, self.dtypes, strict=True)
            ]
        if self.leaf.form == "dict":
            return dict(zip(self.names, made, strict=True))
        return made if self.leaf.form == "list" else made[0]


# An engine holds its table, and the table the user's memory: so only engines do.
_live: Kept[weakref.ref[RowTable]] = Kept()
_copied: Kept[weakref.ref[RowTable]] = Kept()


def table_of(leaf: Any, owners: tuple[Any, ...], *, live: bool, most: int) -> RowTable:
    """owners: the datasets of its parts. live: in place; else of a copy of at most so many bytes.
    Raises Refusal."""
    in_place = live or leaf.is_shared
    kept = _live if in_place else _copied
    reference = kept.get(*owners)
    found = None if reference is None else reference()
    if found is not None:
        if leaf.is_in_place(found.leaf) if in_place else leaf.is_same(found.leaf):
            return found
    if not in_place and leaf.copied_bytes > most:
        refuse(
            "dataset",
            f"with workers {leaf.copied_bytes} bytes of it are copied, memory_budget is {most}",
        )
    mine = leaf if in_place else leaf.frozen()
    try:
        opened = mine.open()
    except (ValueError, BufferError, _core.Error) as error:
        refuse("dataset", f"the engine does not do it: {error}")
    fields = opened.fields()
    row_bytes = 0
    is_varying = any(shape[:1] == (-1,) for *_, shape in fields)
    for _, name, shape in fields:
        size = DTYPES[name].itemsize if shape[:1] != (-1,) else 0
        for side in shape:
            size *= side
        row_bytes += size
    dtypes = tuple(DTYPES[name] for _, name, _ in fields)
    names = tuple(name for name, _, _ in fields)
    table = RowTable(mine, opened, names, dtypes, row_bytes, is_varying)
    kept.put(weakref.ref(table), *owners)
    return table
