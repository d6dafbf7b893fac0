# SPDX-License-Identifier: Apache-2.0
"""Writes array files: rows of named columns, fixed or ragged. Needs neither torch nor NumPy, but
for ragged rows that come one by one."""

import array
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from penstock import _core

Mode: TypeAlias = Literal["create", "append", "resume"]
_MODES: dict[str, int] = {mode: number for number, mode in enumerate(get_args(Mode))}


@dataclass(frozen=True)
class ArrayColumn:
    """What the rows of a column are: elements of one dtype ("f32", "i64", ...) and shape; or, if it
    is ragged, any number of items of that shape."""

    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = False
    items: int | None = None  # of a ragged column: how many will be written, if that is known


class Ragged(NamedTuple):
    """Rows of a ragged column: all items, one row's after the other's, and how many each has."""

    items: Any
    lengths: Any


class ArrayWriter:
    """Writes an array file (docs/format-array.md).

    with ArrayWriter("train.pst") as writer:
        for images, labels in batches:
            writer.write({"image": images, "label": labels})

    Where an exception leaves the `with` block nothing is written: the file is as it was before, or
    not there. Arrays are NumPy's, torch's on the CPU, or any with a buffer or DLPack; their first
    dimension counts the rows. A list or tuple of arrays is the rows of a ragged column, and so is
    `Ragged(items, lengths)`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Mapping[str, ArrayColumn] | None = None,
        *,
        mode: Mode = "create",
        rows: int | None = None,
        note: str | None = None,
        keep: bool = False,
        block_bytes: int | None = None,
        buffer_bytes: int | None = None,
    ) -> None:
        """columns: if they are not given, those of the file, or of the first rows that are written.
        mode: "create" replaces a file that is there, with the first commit; "append" adds rows to
        it; "resume" goes on from the last checkpoint of a writer with `keep` that did not commit,
        and creates where there is none. rows: how many will be written, if that is known: then
        space is taken at once, and a column lies in one piece. note: text kept with the rows."""
        if mode not in _MODES:
            raise ValueError(f"mode is {mode!r}, not one of {', '.join(map(repr, _MODES))}")
        if columns is not None and not columns:
            raise ValueError("there are no columns")
        if rows is not None and rows < 0:
            raise ValueError(f"rows is {rows}")
        self._path = os.fsencode(path)
        self._options: dict[str, Any] = {
            "mode": _MODES[mode],
            "rows": -1 if rows is None else rows,
            "note": note,
            "keep": keep,
            "block_bytes": block_bytes or 0,
            "buffer_bytes": buffer_bytes or 0,
        }
        self._is_closed = False
        self._core: _core.ArrayWriter | None = None
        self._columns: dict[str, ArrayColumn] = {}
        if columns is not None or mode == "append":
            self._open(columns)
        elif mode == "resume":
            raise ValueError("mode 'resume' needs the columns")

    def _open(self, columns: Mapping[str, ArrayColumn] | None) -> _core.ArrayWriter:
        asked = (
            None
            if columns is None
            else [
                (name, column.dtype, column.shape, column.ragged, column.items or 0)
                for name, column in columns.items()
            ]
        )
        self._core = _core.ArrayWriter(self._path, asked, **self._options)
        self._columns = {
            name: ArrayColumn(dtype, shape, ragged)
            for name, dtype, shape, ragged in self._core.columns
        }
        return self._core

    def _opened(self) -> _core.ArrayWriter:
        if self._is_closed:
            raise ValueError("the writer is closed")
        if self._core is None:
            raise ValueError("nothing was written yet, and no columns were given")
        return self._core

    @property
    def columns(self) -> dict[str, ArrayColumn]:
        """Empty before the first rows, where no columns were given."""
        return dict(self._columns)

    @property
    def rows(self) -> int:
        """Rows written so far, those that were there among them."""
        return 0 if self._core is None and not self._is_closed else self._opened().rows

    def write(self, rows: Mapping[str, Any]) -> None:
        """Takes rows: for each column an array of as many. Nothing is kept of the memory."""
        if self._is_closed:
            raise ValueError("the writer is closed")
        parts = {name: _Part(name, values) for name, values in rows.items()}
        if self._core is None:
            if not parts:
                raise ValueError("there are no columns")
            self._open({name: part.column() for name, part in parts.items()})
        if parts.keys() != self._columns.keys():
            raise ValueError(f"columns {_names(parts)}, expected {_names(self._columns)}")
        counts = {name: part.n_rows for name, part in parts.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"columns have different numbers of rows: {counts}")
        core = self._opened()
        ready = [parts[name].checked(column) for name, column in self._columns.items()]
        core.write(ready, next(iter(counts.values())))

    @property
    def note(self) -> str:
        """Text kept with the rows. What is set counts from the next commit on."""
        return self._opened().note

    @note.setter
    def note(self, text: str) -> None:
        self._opened().note = text

    def checkpoint(self) -> None:
        """What was written is on disk for mode "resume"; nobody sees it yet. Of a file that is
        appended to it is a commit."""
        self._opened().checkpoint()

    def commit(self) -> None:
        """What was written is on disk and to be seen; more may follow."""
        self._opened().commit()

    def close(self) -> None:
        """Drops what was not committed."""
        self._is_closed = True
        if self._core is not None:
            self._core.close()

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None and not self._is_closed:
                self.commit()
        finally:
            self.close()


def _names(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"


class _Part:
    """The rows of one column in one call."""

    def __init__(self, name: str, values: Any) -> None:
        self._name = name
        self._lengths: _core.Tensor | None = None
        if not isinstance(values, Ragged) and isinstance(values, list | tuple):
            values = _joined(name, values)
        if isinstance(values, Ragged):
            self._lengths = _lengths(name, values.lengths)
            self.n_rows = self._lengths.shape[0]
            values = values.items
        self._values = _tensor(name, values)
        if self._lengths is None:
            self.n_rows = self._values.shape[0]

    def column(self) -> ArrayColumn:
        shape = self._values.shape[1:]
        return ArrayColumn(self._values.dtype, shape, self._lengths is not None)

    def checked(self, column: ArrayColumn) -> _core.Tensor | tuple[_core.Tensor, _core.Tensor]:
        own = self.column()
        if column.ragged != own.ragged:
            wanted = "is ragged: give a list of arrays, or Ragged(items, lengths)"
            kind = wanted if column.ragged else "is not ragged"
            raise ValueError(f"column {self._name!r} {kind}")
        if (own.dtype, own.shape) != (column.dtype, column.shape):
            raise ValueError(
                f"column {self._name!r} has {own.dtype} of shape {list(own.shape)}, "
                f"expected {column.dtype} of {list(column.shape)}"
            )
        values = self._values.contiguous()
        return values if self._lengths is None else (values, self._lengths)


def _tensor(name: str, values: Any) -> _core.Tensor:
    try:
        tensor = _core.tensor(values)
    except (TypeError, ValueError, BufferError) as error:
        raise type(error)(f"column {name!r}: {error}") from error
    if tensor.ndim == 0:
        raise ValueError(f"column {name!r} has no dimension of rows")
    return tensor


def _lengths(name: str, lengths: Any) -> _core.Tensor:
    if isinstance(lengths, list | tuple):
        lengths = array.array("q", lengths)
    tensor = _tensor(name, lengths)
    if tensor.ndim != 1 or tensor.dtype[0] not in "iu":
        raise ValueError(f"column {name!r}: lengths are one integer for each row")
    return tensor.to("i64").contiguous()


def _joined(name: str, rows: Sequence[Any]) -> Ragged:
    """Ragged rows that come as arrays of their own."""
    if not rows:
        raise ValueError(f"column {name!r}: a list of no rows says nothing of their dtype")
    if any(not hasattr(row, "shape") or len(row.shape) == 0 for row in rows):
        raise TypeError(f"column {name!r}: a list holds an array for each row")
    lengths = [int(row.shape[0]) for row in rows]
    if type(rows[0]).__module__.split(".")[0] == "torch":
        import torch

        return Ragged(torch.cat(list(rows)), lengths)
    import numpy

    return Ragged(numpy.concatenate([numpy.asarray(row) for row in rows]), lengths)
