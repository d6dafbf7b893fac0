# SPDX-License-Identifier: Apache-2.0
"""What `penstock convert` reads: files of arrays. Rows come in parts, of which memory holds one."""

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.array_writer import ArrayColumn, Ragged
from penstock.cli.console import BAD, CommandError

PART_BYTES = 16 << 20

Part = dict[str, Any]

_DTYPES = {
    **{f"u{n}": f"u{8 * n}" for n in (1, 2, 4, 8)},
    **{f"i{n}": f"i{8 * n}" for n in (1, 2, 4, 8)},
    **{f"f{n}": f"f{8 * n}" for n in (2, 4, 8)},
    "b1": "bool",
}


class Source:
    """An open file. `parts(first)` gives its rows from `first` on."""

    columns: dict[str, ArrayColumn]
    rows: int

    def parts(self, first: int) -> Iterator[Part]:
        raise NotImplementedError

    def close(self) -> None:
        """The file."""


def bad(text: str) -> CommandError:
    return CommandError(text, BAD)


def need(module: str, what: str) -> Any:
    """An optional package."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        package = module.split(".")[0]
        raise CommandError(
            f"{what} needs {package}, which is not installed (pip install 'penstock[convert]')"
        ) from None


def dtype_of(dtype: Any, name: str) -> str:
    """Ours for a NumPy dtype."""
    found = _DTYPES.get(f"{dtype.kind}{dtype.itemsize}")
    if found is None:
        raise bad(f"column {name!r} has elements of {dtype}, which an array file does not have")
    return found


def keep_columns(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return list(names)
    missing = [name for name in wanted if name not in names]
    if missing:
        there = ", ".join(map(repr, names))
        raise CommandError(f"there is no column {missing[0]!r}; there are {there}")
    return list(wanted)


def same_rows(counts: Mapping[str, int]) -> int:
    if not counts:
        raise bad("there are no arrays in it")
    if len(set(counts.values())) > 1:
        what = ", ".join(f"{name!r} {n}" for name, n in counts.items())
        raise bad(f"arrays have different numbers of rows ({what}): choose some with --columns")
    return next(iter(counts.values()))


def rows_at_once(columns: Mapping[str, ArrayColumn], item_bytes: Mapping[str, int]) -> int:
    """How many rows a part has."""
    each = 0
    for name, column in columns.items():
        n = item_bytes[name]
        for size in column.shape:
            n *= size
        each += n
    return max(PART_BYTES // max(each, 1), 1)


class _Sliced(Source):
    """Arrays that can be sliced by rows, whole at any place."""

    _item_bytes: dict[str, int]

    def _slice(self, name: str, first: int, end: int) -> Any:
        raise NotImplementedError

    def parts(self, first: int) -> Iterator[Part]:
        n = rows_at_once(self.columns, self._item_bytes)
        while first < self.rows:
            end = min(first + n, self.rows)
            yield {name: self._slice(name, first, end) for name in self.columns}
            first = end


# --- .npy and .npz


def _native(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _from_dtype(dtype: Any, shape: Sequence[int], name: str) -> dict[str, ArrayColumn]:
    """The array as one column, or each of its fields."""
    if dtype.names is None:
        return {name: ArrayColumn(dtype_of(dtype, name), tuple(shape))}
    columns = {}
    for field in dtype.names:
        inner = dtype.fields[field][0]
        if inner.names is not None:
            raise bad(f"field {field!r} has fields of its own")
        base, more = inner.base, inner.shape
        columns[field] = ArrayColumn(dtype_of(base, field), (*shape, *more))
    return columns


class NpySource(Source):
    """One array, or a structured one, each of whose fields is a column."""

    def __init__(self, path: str, wanted: Sequence[str] | None, name: str = "data") -> None:
        import numpy

        self._numpy, self._path = numpy, path
        array = self._open()
        if array.ndim == 0:
            raise bad("the array has no dimensions, and so no rows")
        self.rows = int(array.shape[0])
        found = _from_dtype(array.dtype, array.shape[1:], name)
        self._is_structured = array.dtype.names is not None
        self._row_bytes = array.dtype.itemsize * (array[:1].size if self.rows else 1)
        self.columns = {name: found[name] for name in keep_columns(list(found), wanted)}

    def _open(self) -> Any:
        try:
            return self._numpy.load(self._path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:  # objects, or a header that is none
            raise bad(str(error)) from None

    def parts(self, first: int) -> Iterator[Part]:
        n = max(PART_BYTES // max(self._row_bytes, 1), 1)
        while first < self.rows:
            # Mapped anew for each part: pages that were read would stay in this process.
            rows = self._open()[first : first + n]
            if self._is_structured:
                yield {name: _native(rows[name]) for name in self.columns}
            else:
                yield {name: _native(rows) for name in self.columns}
            first += n


class _Member:
    """One array of an .npz, as a stream."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        import numpy
        from numpy.lib import format as npy

        self._stream = archive.open(name)
        version = npy.read_magic(self._stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, is_fortran, self.dtype = read(self._stream)
        self._numpy, self._whole = numpy, None
        if self.dtype.hasobject:
            raise bad(f"{name!r} holds Python objects, which are not read")
        if is_fortran and len(self.shape) > 1:
            # Its rows are spread over all of it.
            with archive.open(name) as again:
                self._whole = npy.read_array(again, allow_pickle=False)
        self._row = self.dtype.itemsize * int(numpy.prod(self.shape[1:], dtype=object))
        self._at = 0

    def take(self, n: int) -> Any:
        first, self._at = self._at, self._at + n
        if self._whole is not None:
            return self._whole[first : first + n]
        data = self._stream.read(n * self._row)
        if len(data) != n * self._row:
            raise bad("an array ends too early")
        return self._numpy.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])

    def close(self) -> None:
        self._stream.close()


class NpzSource(Source):
    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
            names = [n.removesuffix(".npy") for n in self._archive.namelist() if n.endswith(".npy")]
            kept = keep_columns(names, wanted)
            members = {name: _Member(self._archive, f"{name}.npy") for name in kept}
        except (zipfile.BadZipFile, ValueError) as error:
            raise bad(str(error)) from None
        scalars = [name for name, member in members.items() if not member.shape]
        if scalars:
            raise bad(f"array {scalars[0]!r} has no dimensions, and so no rows: use --columns")
        self.columns = {
            name: ArrayColumn(dtype_of(member.dtype, name), tuple(member.shape[1:]))
            for name, member in members.items()
        }
        self.rows = same_rows({name: member.shape[0] for name, member in members.items()})
        self._item_bytes = {name: member.dtype.itemsize for name, member in members.items()}
        for member in members.values():
            member.close()

    def parts(self, first: int) -> Iterator[Part]:
        members = {name: _Member(self._archive, f"{name}.npy") for name in self.columns}
        n, at = rows_at_once(self.columns, self._item_bytes), 0
        try:
            while at < self.rows:
                # What comes before `first` is passed over, which a compressed stream has to read.
                count = min(n, self.rows - at, first - at if at < first else self.rows)
                part = {name: _native(member.take(count)) for name, member in members.items()}
                at += count
                if at > first:
                    yield part
        except (zipfile.BadZipFile, EOFError) as error:
            raise bad(str(error)) from None
        finally:
            for member in members.values():
                member.close()

    def close(self) -> None:
        self._archive.close()


# --- safetensors

_SAFETENSORS = {
    **{f"U{n}": f"u{n}" for n in (8, 16, 32, 64)},
    **{f"I{n}": f"i{n}" for n in (8, 16, 32, 64)},
    "F16": "f16",
    "F32": "f32",
    "F64": "f64",
    "BF16": "bf16",
    "BOOL": "bool",
}
_SIZES = {"bool": 1, "bf16": 2}


class SafetensorsSource(_Sliced):
    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        safetensors = need("safetensors", "a safetensors file")
        try:
            names = self._examine(safetensors, path, wanted)
            framework = "numpy"
            if any(column.dtype == "bf16" for column in self.columns.values()):
                need("torch", "bfloat16 in a safetensors file")
                framework = "pt"
            self._file = safetensors.safe_open(path, framework)
        except safetensors.SafetensorError as error:
            raise bad(str(error)) from None
        self._slices = {name: self._file.get_slice(name) for name in names}

    def _examine(self, safetensors: Any, path: str, wanted: Sequence[str] | None) -> list[str]:
        self.columns, self._item_bytes, counts = {}, {}, {}
        with safetensors.safe_open(path, "numpy") as file:
            names = keep_columns(sorted(file.keys()), wanted)
            for name in names:
                part = file.get_slice(name)
                shape, dtype = part.get_shape(), _SAFETENSORS.get(part.get_dtype())
                if dtype is None:
                    what = part.get_dtype()
                    raise bad(f"tensor {name!r} is of {what}, which an array file does not have")
                if not shape:
                    raise bad(f"tensor {name!r} has no dimensions, and so no rows: use --columns")
                self.columns[name] = ArrayColumn(dtype, tuple(shape[1:]))
                self._item_bytes[name] = _SIZES.get(dtype) or int(dtype[1:]) // 8
                counts[name] = shape[0]
        self.rows = same_rows(counts)
        return names

    def _slice(self, name: str, first: int, end: int) -> Any:
        return self._slices[name][first:end]


# --- HDF5


class Hdf5Source(_Sliced):
    """Datasets by their paths; those of variable length are ragged."""

    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        self._h5py = need("h5py", "an HDF5 file")
        try:
            self._file = self._h5py.File(path, "r")
        except OSError as error:
            raise bad(str(error)) from None
        found: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, self._h5py.Dataset):
                found[name] = item

        self._file.visititems(visit)
        self._datasets = {name: found[name] for name in keep_columns(list(found), wanted)}
        self.columns, self._item_bytes = {}, {}
        for name, dataset in self._datasets.items():
            if not dataset.shape:
                raise bad(f"dataset {name!r} has no dimensions, and so no rows: use --columns")
            self.columns[name] = self._column(name, dataset)
            # What a ragged row has is not known; a part of them is kept small.
            ragged = self.columns[name].ragged
            self._item_bytes[name] = 4096 if ragged else dataset.dtype.itemsize
        self.rows = same_rows({name: dataset.shape[0] for name, dataset in self._datasets.items()})

    def _column(self, name: str, dataset: Any) -> ArrayColumn:
        inner = self._h5py.check_vlen_dtype(dataset.dtype)
        if inner is None:
            if dataset.dtype.names is not None or dataset.dtype.hasobject:
                raise bad(f"dataset {name!r} has records or texts, which an array file has not")
            base, more = dataset.dtype.base, dataset.dtype.shape
            return ArrayColumn(dtype_of(base, name), (*dataset.shape[1:], *more))
        if len(dataset.shape) > 1 or not hasattr(inner, "kind"):
            raise bad(f"dataset {name!r} is ragged in more than one dimension, or of texts")
        return ArrayColumn(dtype_of(inner, name), ragged=True)

    def _slice(self, name: str, first: int, end: int) -> Any:
        try:
            rows = self._datasets[name][first:end]
        except OSError as error:
            raise bad(f"dataset {name!r}: {error}") from None
        if not self.columns[name].ragged:
            return _native(rows)
        import numpy

        inner = self._h5py.check_vlen_dtype(self._datasets[name].dtype)
        joined = numpy.concatenate([numpy.empty(0, inner), *rows])
        return Ragged(_native(joined), [len(row) for row in rows])

    def close(self) -> None:
        self._file.close()


# --- which of them


def open_source(path: str, kind: str, wanted: Sequence[str] | None) -> Source:
    from penstock.cli import table_sources as tables

    makers: dict[str, Any] = {
        "npy": NpySource,
        "npz": NpzSource,
        "safetensors": SafetensorsSource,
        "hdf5": Hdf5Source,
        "parquet": tables.ParquetSource,
        "arrow": tables.ArrowSource,
        "csv": tables.CsvSource,
    }
    if not os.path.lexists(path):
        raise CommandError(f"no such file: {path}")
    if not os.path.isfile(path):
        raise CommandError(f"{path} is not a file")
    if kind == "auto":
        kind = kind_of(path)
    source: Source = makers[kind](path, wanted)
    return source


KINDS = {
    ".npy": "npy",
    ".npz": "npz",
    ".safetensors": "safetensors",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".he5": "hdf5",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
}


def kind_of(path: str) -> str:
    """By what it begins with; CSV and safetensors by the name."""
    with open(path, "rb") as file:
        begin = file.read(8)
    for magic, kind in (
        (b"\x93NUMPY", "npy"),
        (b"PK\x03\x04", "npz"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"PAR1", "parquet"),
        (b"ARROW1", "arrow"),
        (b"\xff\xff\xff\xff", "arrow"),
    ):
        if begin.startswith(magic):
            return kind
    extension = os.path.splitext(path)[1].lower()
    if extension not in KINDS:
        raise CommandError(f"which kind of file is {path}? --format says it")
    return KINDS[extension]
