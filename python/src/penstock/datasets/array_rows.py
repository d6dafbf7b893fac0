# SPDX-License-Identifier: Apache-2.0
"""Rows of arrays in files, which are read where they lie."""

import operator
import os
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal, SupportsIndex

import torch
from penstock import _core
from penstock.datasets.dtypes import DTYPES, dtype_name
from penstock.datasets.row_steps import Step, packed
from torch.utils.data import Dataset, default_collate

_Source = tuple[bytes, bytes | None, int, str | None, tuple[int, ...], int, int, int, int, int]
PadTo = int | Literal["longest"]
_LONGEST = -1  # as the engine has it
Path = str | os.PathLike[str]
ArrayFormat = Literal["auto", "raw", "npy", "npz", "safetensors", "penstock"]
_FORMATS: dict[str, int] = {
    "auto": 0,
    "raw": 1,
    "npy": 2,
    "safetensors": 3,
    "penstock": 4,
    "npz": 5,
}
_ACCESS: dict[str, int] = {"auto": 0, "mmap": 1, "pread": 2, "direct": 3}
_WAYS: tuple[Literal["mmap", "pread", "direct"], ...] = ("mmap", "pread", "direct")
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Array(Dataset[Any]):
    """The rows of arrays in files of any size: what indexing the first dimension gives.

    source: a .npy, .npz (not compressed), safetensors or Penstock array file, or a mapping of names
        to files. A file of several arrays gives a field for each.
    columns: which fields, in this order; a sample is then a tuple. None: all of them; a sample is a
        tensor where there is one, else a dict.
    dtype, shape, offset: of a file of raw elements; shape[0] of -1: as many rows as there are.
    format: "npy", "npz", "safetensors", "penstock" or "raw" where the file does not tell.
    access: "mmap", "pread", "direct" (around the page cache, many reads at a time), or "auto":
        mapped where the files fit memory_budget, by default half of the memory that the system has
        available; "direct" where they do not fit the page cache either and lie on a disk of this
        machine; else "pread".
    verify: the checksums of Penstock's array files are looked at, each once.
    pad_to: how many items the rows of ragged columns are padded or cut to, of all such columns or
        by their names. Such a column is two fields: its name, and its name with "_length" behind
        it, the number of items that are the row's own. None: ragged columns are refused.
        "longest": to the longest row of a batch. Samples are as long as they are then, and a loader
        needs collate_fn=dataset.collate, which pads them.
    pad: each element of the padding; other than 0 only for integers.
    pad_multiple, truncate: with "longest": rows are padded to a multiple of it; how many items of a
        row are kept, None: all.
    steps: what becomes of the rows of fields (penstock.datasets.row_steps), by their names; of the
        only field, steps alone.

    Samples and batches are copies, which may be written to. A file that is cut meanwhile is an
    OSError that names it.
    """

    def __init__(
        self,
        source: Path | Mapping[str, Path],
        *,
        columns: Sequence[str] | None = None,
        dtype: torch.dtype | str | None = None,
        shape: Sequence[int] | None = None,
        offset: int = 0,
        format: ArrayFormat = "auto",
        access: Literal["auto", "mmap", "pread", "direct"] = "auto",
        memory_budget: int | None = None,
        verify: bool = True,
        pad_to: PadTo | Mapping[str, PadTo] | None = None,
        pad: int = 0,
        pad_multiple: int = 1,
        truncate: int | None = None,
        steps: Sequence[Step] | Mapping[str, Sequence[Step]] | None = None,
    ) -> None:
        for name, value, known in (("format", format, _FORMATS), ("access", access, _ACCESS)):
            if value not in known:
                raise ValueError(f"{name} should be one of {', '.join(known)}, got {value!r}")
        if (dtype is None) != (shape is None):
            raise ValueError("a file of raw elements needs both dtype and shape")
        kind = "raw" if dtype is not None and format == "auto" else format
        number, sides = _FORMATS[kind], tuple(map(operator.index, shape or ()))
        first = operator.index(offset)
        self.pad_to, self.pad = _padding(pad_to), operator.index(pad)
        self.pad_multiple = _at_least_one("pad_multiple", pad_multiple)
        self.truncate = None if truncate is None else _at_least_one("truncate", truncate)
        is_longest = "longest" in (pad_to.values() if isinstance(pad_to, Mapping) else [pad_to])
        if not is_longest and (self.pad_multiple, self.truncate) != (1, None):
            raise ValueError('pad_multiple and truncate are for pad_to="longest"')
        files = source if isinstance(source, Mapping) else {None: source}
        self.source = {
            name: os.path.abspath(os.path.expanduser(os.fspath(path)))
            for name, path in files.items()
        }
        self._sources: tuple[_Source, ...] = tuple(
            (
                os.fsencode(path),
                None if name is None else name.encode(),
                number,
                None if dtype is None else dtype_name(dtype),
                sides,
                first,
                *self._padded(name),
            )
            for name, path in self.source.items()
        )
        self.columns = None if columns is None else tuple(columns)
        self.verify = bool(verify)
        self.steps = _steps(steps)
        self._open(_ACCESS[access], memory_budget or 0)

    def _open(self, access: int, budget: int) -> None:
        self._rows = _core.array(self._chosen(), access, budget, not self.verify)
        fields = self._rows.fields()
        self._unstepped = {name: (DTYPES[dtype], shape) for name, dtype, shape in fields}
        if self.steps:
            self._rows = _core.row_steps(self._rows, self._packed([name for name, *_ in fields]))
            fields = self._rows.fields()
        names = [name for name, _, _ in fields]
        if self.pad_to is None and self.columns is not None and names != list(self.columns):
            raise ValueError(f"columns are {list(self.columns)}, the files have {names}")
        if self.pad_to is not None and len(set(names)) < len(names):
            raise ValueError(f"two fields have one name: {names}")
        self._fields = tuple((name, DTYPES[dtype], shape) for name, dtype, shape in fields)
        self._is_varying = any(shape[:1] == (-1,) for *_, shape in self._fields)
        self._access = _core.array_access(self._rows)
        self._why = _core.reading_why(self._rows)

    def _packed(self, names: list[str]) -> tuple[Any, ...]:
        steps = self.steps
        if isinstance(steps, tuple):
            if len(names) > 1:
                raise ValueError(f"there are several fields, {names}: give steps by their names")
            steps = {names[0]: steps}
        return tuple((name.encode(), packed(some)) for name, some in steps.items())

    def _padded(self, name: str | None) -> tuple[int, int, int, int]:
        """What a row of this ragged column is padded to, and how. 0: it is refused."""
        pad_to = self.pad_to
        if isinstance(pad_to, dict):
            pad_to = None if name is None else pad_to.get(name)
        if pad_to == "longest":
            return _LONGEST, self.pad, self.truncate or 0, self.pad_multiple
        return pad_to or 0, self.pad, 0, 0

    def _chosen(self) -> tuple[_Source, ...]:
        """Of several columns a source each, so that others need be nothing that is known."""
        names = self.columns
        if names is None and None in self.source and isinstance(self.pad_to, dict):
            names = tuple(self._names_in_file())
        if names is None:
            return self._sources
        if None in self.source:
            path, _, kind, dtype, shape, offset, *_ = self._sources[0]
            return tuple(
                (path, name.encode(), kind, dtype, shape, offset, *self._padded(name))
                for name in names
            )
        by_name = dict(zip(self.source, self._sources, strict=True))
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise ValueError(f"columns {unknown} are none of {list(self.source)}")
        return tuple(by_name[name] for name in names)

    def _names_in_file(self) -> list[str]:
        """The columns of the only file. A ragged one is two fields."""
        path, _, kind, dtype, shape, offset, *_ = self._sources[0]

        def names(wanted: bytes | None) -> list[str]:
            source: _Source = (path, wanted, kind, dtype, shape, offset, 1, 0, 0, 0)
            opened = _core.array((source,), _ACCESS["pread"], 0, not self.verify)
            return [name for name, _, _ in opened.fields()]

        padded = self.pad_to if isinstance(self.pad_to, dict) else {}
        ragged = {name for name in padded if len(names(name.encode())) == 2}
        found: list[str] = []
        fields = iter(names(None))
        for name in fields:
            found.append(name)
            if name in ragged:
                next(fields)
        return found

    @property
    def fields(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Dtype and shape of each field of a sample. A size of -1 differs from sample to sample."""
        return {name: (dtype, shape) for name, dtype, shape in self._fields}

    @property
    def access(self) -> Literal["mmap", "pread", "direct"]:
        """How the files are read."""
        return _WAYS[self._access - 1]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: SupportsIndex) -> Any:
        number, n = operator.index(index), len(self._rows)
        if not -n <= number < n:
            raise IndexError(f"index {number} is not in a dataset of {n}")
        sample = self._made(array("q", (number % n,)), ())
        return self._cut(sample) if self._is_varying else sample

    def gather(self, indices: Sequence[int] | torch.Tensor) -> Any:
        """The samples at these indices as one batch: as a sample, with the batch in front of each
        shape. Indices count from 0."""
        numbers = torch.as_tensor(indices)
        if numbers.dim() != 1 or (len(numbers) > 0 and numbers.dtype not in _INTEGERS):
            raise TypeError(f"indices should be a row of integers, got {numbers.dtype}")
        numbers = numbers.to(torch.int64).contiguous()
        return self._made(numbers.numpy(), (len(numbers),))

    def collate(self, samples: Sequence[Any]) -> Any:
        """A batch of samples, for a loader's collate_fn: fields whose samples are of different
        lengths are padded to the longest, as gather() does it; others as torch's own collates
        them."""
        if not self._is_varying:
            return default_collate(list(samples))
        batch: list[Any] = []
        for number, (name, _, shape) in enumerate(self._fields):
            key: Any = number if self.columns is not None else name
            rows = [sample[key] for sample in samples]
            is_varying = shape[:1] == (-1,)
            batch.append(self._pad(name, rows) if is_varying else default_collate(rows))
        if self.columns is not None:
            return batch
        return {name: rows for (name, *_), rows in zip(self._fields, batch, strict=True)}

    def _pad(self, name: str, rows: list[torch.Tensor]) -> torch.Tensor:
        multiple = self.pad_multiple
        longest = -(-max(map(len, rows)) // multiple) * multiple
        batch = torch.empty((len(rows), longest, *rows[0].shape[1:]), dtype=rows[0].dtype)
        if any(len(row) < longest for row in rows):
            batch[:] = self._padding(name)
        for to, row in zip(batch, rows, strict=True):
            to[: len(row)] = row
        return batch

    def _padding(self, name: str) -> torch.Tensor:
        """One item of it, after the field's steps."""
        dtype, (_, *sides) = self._unstepped[name]
        item = torch.full((1, *sides), self.pad, dtype=dtype)
        steps = self.steps.get(name, ()) if isinstance(self.steps, dict) else self.steps
        for step in steps:
            item = step(item)
        return item

    def _cut(self, sample: Any) -> Any:
        """A sample without padding."""
        keys: Any = range(len(self._fields)) if self.columns is not None else sample
        by_name = dict(zip((name for name, *_ in self._fields), keys, strict=True))
        cut = dict(zip(keys, map(sample.__getitem__, keys), strict=True))
        for name, _, shape in self._fields:
            if shape[:1] == (-1,):
                n = int(sample[by_name[f"{name}_length"]])
                row = cut[by_name[name]]
                cut[by_name[name]] = row if len(row) == n else row[:n].clone()
        return tuple(cut.values()) if self.columns is not None else cut

    def _made(self, indices: Any, front: tuple[int, ...]) -> Any:
        tensors: list[torch.Tensor] = []
        buffers: list[Any] = []
        lengths = self._rows.lengths(indices) if self._is_varying else (0,) * len(self._fields)
        for (_, dtype, shape), length in zip(self._fields, lengths, strict=True):
            if shape[:1] == (-1,):
                shape = (length, *shape[1:])
            tensor = torch.empty((*front, *shape), dtype=dtype, device="cpu")
            tensors.append(tensor)
            has_bytes = tensor.numel() > 0
            buffers.append(
                tensor.reshape(-1).view(torch.uint8).numpy() if has_bytes else bytearray()
            )
        if self._is_varying:
            self._rows.gather(indices, buffers, lengths)
        else:
            self._rows.gather(indices, buffers)
        if self.columns is not None:
            return tuple(tensors)
        if len(tensors) == 1:
            return tensors[0]
        return {name: tensor for (name, *_), tensor in zip(self._fields, tensors, strict=True)}

    # A copy opens the files again: what is open belongs to one process.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        before, why = self._fields, (self._access, self._why)
        self._open(self._access, 0)
        if self._access == why[0]:
            self._why = why[1]
        if self._fields != before:
            names = ", ".join(self.source.values())
            raise OSError(f"arrays are not what they were when they were pickled: {names}")

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}", f"Files: {', '.join(self.source.values())}"]
        lines += [
            f"{name}: {str(dtype).removeprefix('torch.')} {list(shape)}"
            for name, dtype, shape in self._fields
        ]
        if self.steps:
            lines.append(f"Steps: {self.steps}")
        return "Dataset Array\n" + "\n".join("    " + line for line in lines)


def _steps(
    steps: Sequence[Step] | Mapping[str, Sequence[Step]] | None,
) -> tuple[Step, ...] | dict[str, tuple[Step, ...]]:
    if isinstance(steps, Mapping):
        return {name: tuple(some) for name, some in steps.items()}
    return tuple(steps or ())


def _padding(pad_to: PadTo | Mapping[str, PadTo] | None) -> PadTo | dict[str, PadTo] | None:
    if pad_to is None:
        return None
    if isinstance(pad_to, Mapping):
        return {name: _pad_to(items) for name, items in pad_to.items()}
    return _pad_to(pad_to)


def _pad_to(items: PadTo) -> PadTo:
    if isinstance(items, str):
        if items != "longest":
            raise ValueError(f'pad_to should be a number of items or "longest", got {items!r}')
        return "longest"
    return _at_least_one("pad_to", items)


def _at_least_one(name: str, items: int) -> int:
    number = operator.index(items)
    if number < 1:
        raise ValueError(f"{name} should be a number of items, at least 1, got {items!r}")
    return number
