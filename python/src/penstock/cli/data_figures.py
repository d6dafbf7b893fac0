# SPDX-License-Identifier: Apache-2.0
"""Statistics and checksums of the data in array files and token files, in one pass and in memory
that does not grow with them."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from penstock import _core
from penstock.cli.array_sources import need
from penstock.cli.console import CommandError
from penstock.cli.data_layout import (
    ITEM_BYTES,
    ON_DISK,
    Damaged,
    Layout,
    TokenLayout,
    check_with_engine,
    kind_of_data,
    npy_layouts,
    npz_layouts,
    npz_parts,
    penstock_layouts,
    raw_layouts,
    safetensors_layouts,
    token_layout,
)
from penstock.cli.progress import Progress

PART_BYTES = 4 << 20  # a multiple of each item's size
_ROWS = 1 << 17  # whose numbers are in memory at once
_DOCUMENTS = 1 << 16  # whose bounds are in memory at once


class Figures:
    """Grows by parts of one array."""

    def __init__(self, layout_dtype: str, on_disk: str | None) -> None:
        self._dtype, self._on_disk = layout_dtype, on_disk
        self._sha = hashlib.sha256()
        self.n = self.nans = self.infinities = self.zeros = self._finite = 0
        self._sum: int | float = 0
        self.least: int | float | None = None
        self.most: int | float | None = None

    def add(self, part: Any) -> None:
        """The bytes of whole elements."""
        self._sha.update(part)
        if self._on_disk is None:
            return
        import numpy

        values = numpy.frombuffer(part, self._on_disk)
        if self._dtype == "bf16":
            values = (values.astype("<u4") << 16).view("<f4")
        self.n += values.size
        self.zeros += values.size - int(numpy.count_nonzero(values))
        if values.dtype.kind == "f":
            finite = numpy.isfinite(values)
            n = int(numpy.count_nonzero(finite))
            nans = int(numpy.count_nonzero(numpy.isnan(values)))
            self.nans += nans
            self.infinities += values.size - n - nans
            values = values if n == values.size else values[finite]
        self._add_finite(numpy, values)

    def _add_finite(self, numpy: Any, values: Any) -> None:
        if not values.size:
            return
        is_float = values.dtype.kind == "f"
        least, most = values.min().item(), values.max().item()
        self.least = least if self.least is None else min(self.least, least)
        self.most = most if self.most is None else max(self.most, most)
        self._finite += values.size
        if is_float:
            with numpy.errstate(over="ignore"):
                self._sum += float(values.sum(dtype="f8"))
        elif values.dtype.itemsize < 8:  # 2^19 of 32 bits fit an int64
            self._sum += int(values.sum(dtype="i8"))
        else:  # the halves, since whole ones may not fit
            self._sum += int((values & 0xFFFFFFFF).sum(dtype="u8"))
            high = values >> 32
            self._sum += int(high.sum(dtype=f"{values.dtype.kind}8")) << 32

    def as_dict(self) -> dict[str, Any]:
        known = self._on_disk is not None
        mean = self._sum / self._finite if self._finite else None
        is_whole = self._dtype[0] in "ui"
        return {
            "min": _number(self.least),
            "max": _number(self.most),
            "mean": _number(mean),
            "zeros": self.zeros if known else None,
            "nan": self.nans if known and not is_whole else None,
            "inf": self.infinities if known and not is_whole else None,
            "sha256": self._sha.hexdigest(),
        }


def _number(value: int | float | None) -> int | float | None:
    """JSON has no infinity, which a sum may come to."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- bytes in parts


def _pieces(path: str, begin: int, n_bytes: int) -> Iterator[memoryview]:
    """Each is written over by the next."""
    room = memoryview(bytearray(min(PART_BYTES, n_bytes)))
    at = 0
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        while at < n_bytes:
            wanted = min(len(room), n_bytes - at)
            got = 0
            while got < wanted:
                n = file.readinto(room[got:wanted])
                if not n:
                    raise Damaged(
                        f"'{path}' ends at byte {begin + at + got}, expected "
                        f"{begin + n_bytes}: it was cut while it was read"
                    )
                got += n
            yield room[:wanted]
            at += wanted


def _rows(dataset: _core.Dataset, row_bytes: int) -> Iterator[memoryview]:
    """The rows of an array file, whose checksums the engine looks at as it reads them."""
    import numpy

    total = len(dataset)
    n = min(max(PART_BYTES // max(row_bytes, 1), 1), _ROWS)
    room = memoryview(bytearray(row_bytes * min(n, total)))
    for first in range(0, total, n):
        end = min(first + n, total)
        part = room[: row_bytes * (end - first)]
        dataset.gather(numpy.arange(first, end, dtype="i8").data, [part])
        yield part


# --- arrays


def _layouts(
    path: str, kind: str, dtype: str | None, shape: tuple[int, ...] | None
) -> list[Layout]:
    if kind == "raw":
        assert dtype is not None
        assert shape is not None
        return raw_layouts(path, dtype, shape)
    if kind == "penstock":
        return penstock_layouts(path)
    if kind == "npz":
        _core.array_detect(os.fsencode(path))  # all of the zip file's directory
    read = {"npy": npy_layouts, "npz": npz_layouts, "safetensors": safetensors_layouts}[kind]
    found = read(path)
    for layout in found:
        if layout.shape and layout.on_disk is not None:
            check_with_engine(path, kind, layout)  # all of the header
            break
    return found


def _parts(path: str, kind: str, layout: Layout) -> Iterator[memoryview]:
    if kind == "penstock":
        dataset = check_with_engine(path, kind, layout)
        return _rows(dataset, layout.n_bytes // max(layout.shape[0], 1))
    if kind == "npz":
        return npz_parts(path, layout, PART_BYTES)
    return _pieces(path, layout.begin, layout.n_bytes)


def _array(path: str, kind: str, layout: Layout, advance: Callable[[int], None]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": layout.name,
        "dtype": layout.dtype,
        "shape": list(layout.shape),
        "rows": layout.shape[0] if layout.shape and not layout.is_ragged else None,
        "ragged": layout.is_ragged,
        "bytes": None if layout.is_ragged else layout.n_bytes,
        "verified": False,
    }
    if layout.is_ragged:
        return found
    figures = Figures(layout.dtype, layout.on_disk)
    for part in _parts(path, kind, layout):
        figures.add(part)
        advance(len(part))
    return {**found, **figures.as_dict(), "verified": kind in ("penstock", "npz")}


def _arrays(found: dict[str, Any], layouts: list[Layout]) -> None:
    path, kind = found["path"], found["format"]
    total = sum(layout.n_bytes for layout in layouts)
    with Progress("inspect", total, "bytes") as progress:
        for layout in layouts:
            found["arrays"].append(_array(path, kind, layout, progress.advance))


# --- tokens


class _Lengths:
    """Of documents: how many are 0, 1, 2 to 3, 4 to 7, ... tokens long."""

    def __init__(self) -> None:
        self.n = self.total = self.most = 0
        self.least: int | None = None
        self._powers = [0] * 65

    def add(self, lengths: Any) -> None:
        import numpy

        if not lengths.size:
            return
        least, most = int(lengths.min()), int(lengths.max())
        self.least = least if self.least is None else min(self.least, least)
        self.most = max(self.most, most)
        self.n += lengths.size
        self.total += int(lengths.sum())
        # frexp: exact below 2^53, where no length of a document is
        powers = numpy.frexp(lengths.astype("f8"))[1]
        for power, n in enumerate(numpy.bincount(powers, minlength=65)):
            self._powers[power] += int(n)

    def as_dict(self) -> dict[str, Any]:
        steps = [
            {"from": 1 << power - 1 if power else 0, "to": 1 << power, "documents": n}
            for power, n in enumerate(self._powers)
            if n
        ]
        mean = self.total / self.n if self.n else None
        return {"min": self.least, "max": self.most, "mean": mean, "histogram": steps}


def _array_part(file: Any, place: int, dtype: str, n: int) -> Any:
    import numpy

    file.seek(place)
    part = file.read(n * numpy.dtype(dtype).itemsize)
    if len(part) < n * numpy.dtype(dtype).itemsize:
        raise Damaged(f"'{file.name}' ends at byte {place + len(part)}: it was cut")
    return numpy.frombuffer(part, dtype)


def _document_lengths(layout: TokenLayout, kind: str) -> dict[str, Any] | None:
    """From an index that the engine found sound."""
    import numpy

    n, lengths = layout.n_documents, _Lengths()
    if layout.index is None or n is None:
        return None
    item = ITEM_BYTES[layout.dtype]
    with open(layout.index, "rb") as file:
        sequences = int(_array_part(file, 18, "<u8", 1)[0]) if kind == "megatron" else 0
        before = 0
        for first in range(0, n, _DOCUMENTS):
            count = min(_DOCUMENTS, n - first)
            if kind == "megatron":
                bounds = _array_part(file, 34 + 12 * sequences + 8 * first, "<i8", count + 1)
                low, high = int(bounds[0]), int(bounds[-1])
                known = min(high + 1, sequences) - low
                starts = _array_part(file, 34 + 4 * sequences + 8 * low, "<i8", known)
                if high == sequences:
                    starts = numpy.append(starts, layout.n_tokens * item)
                lengths.add(numpy.diff(starts[bounds - low]) // item)
            else:
                ends = _array_part(file, 8 * first, "<u8", count).astype("i8")
                lengths.add(numpy.diff(ends, prepend=before))
                before = int(ends[-1])
    return lengths.as_dict()


def _tokens(found: dict[str, Any], layout: TokenLayout) -> None:
    n_bytes = layout.n_tokens * ITEM_BYTES[layout.dtype]
    figures = Figures(layout.dtype, ON_DISK[layout.dtype])
    found["tokens"] = {
        "path": layout.path,
        "dtype": layout.dtype,
        "tokens": layout.n_tokens,
        "documents": layout.n_documents,
        "lengths": _document_lengths(layout, found["format"]),
    }
    with Progress("inspect", n_bytes, "bytes") as progress:
        for part in _pieces(layout.path, 0, n_bytes):
            figures.add(part)
            progress.advance(len(part))
    kept = ("min", "max", "zeros", "sha256")
    found["tokens"].update({key: figures.as_dict()[key] for key in kept})


# --- a file


def data_kind(path: str, dtype: str | None, shape: tuple[int, ...] | None) -> str | None:
    """None: the file is none of arrays or tokens."""
    if dtype is None:
        return kind_of_data(path)
    if shape is not None:
        return "raw"
    if dtype[0] not in "ui" or dtype == "u64":
        raise CommandError(f"--dtype without --shape is of tokens, which are never {dtype}")
    return "raw tokens"


def measure_file(
    path: str, kind: str, dtype: str | None, shape: tuple[int, ...] | None
) -> dict[str, Any]:
    """What is wrong with the file is in `error`; what was read before it stays."""
    need("numpy", "a file of arrays or tokens")
    since = time.monotonic()
    found: dict[str, Any] = {"path": path, "bytes": os.path.getsize(path), "format": kind}
    found |= {"lane": "other", "error": None, "arrays": [], "tokens": None}
    try:
        if kind in ("raw tokens", "megatron", "datatrove"):
            _tokens(found, token_layout(path, kind, dtype))
        else:
            _arrays(found, _layouts(path, kind, dtype, shape))
    except (Damaged, _core.Error, OSError, ValueError) as error:
        found["error"], found["lane"] = _said(error), "broken"
    found["seconds"] = time.monotonic() - since
    return found


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return str(error)
