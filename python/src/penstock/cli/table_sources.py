# SPDX-License-Identifier: Apache-2.0
"""What `penstock convert` reads: tables, through pyarrow."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.array_writer import ArrayColumn, Ragged
from penstock.cli.array_sources import PART_BYTES, Part, Source, bad, keep_columns, need

_ROWS = 65536  # of a part, at most


@dataclass(frozen=True)
class _Kind:
    """How the values of one column become elements."""

    column: ArrayColumn
    is_text: bool = False  # bytes or text, as u8


def _arrow() -> Any:
    return need("pyarrow", "this kind of file")


_PLAIN = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


def _plain(pa: Any, kind: Any) -> str | None:
    """Our dtype for an arrow type of numbers."""
    floats = {pa.float16(): "f16", pa.float32(): "f32", pa.float64(): "f64", pa.bool_(): "bool"}
    if kind in floats:
        return floats[kind]
    text = str(kind)
    return text[0] + text.lstrip("uint") if text in _PLAIN else None


def _fixed(pa: Any, kind: Any) -> tuple[str, tuple[int, ...]] | None:
    """dtype and shape of a value that always has the same."""
    if isinstance(kind, pa.FixedShapeTensorType):
        # Rows of another order of dimensions would have to be turned.
        if kind.permutation not in (None, list(range(len(kind.shape)))):
            return None
        inner = _plain(pa, kind.value_type)
        return (inner, tuple(kind.shape)) if inner else None
    shape: list[int] = []
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    inner = _plain(pa, kind)
    return (inner, tuple(shape)) if inner else None


def _is_list(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _kind(pa: Any, name: str, kind: Any) -> _Kind:
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    if any(
        test(kind)
        for test in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    ):
        return _Kind(ArrayColumn("u8", ragged=True), is_text=True)
    is_ragged = _is_list(pa, kind)
    found = _fixed(pa, kind.value_type if is_ragged else kind)
    if found is None:
        raise bad(
            f"column {name!r} is of type {kind}, which an array file does not have: leave it out "
            "with --columns"
        )
    return _Kind(ArrayColumn(*found, ragged=is_ragged))


def _check_nulls(name: str, array: Any, first: int) -> None:
    if array.null_count:
        row = array.is_null().to_pylist().index(True)
        raise bad(f"column {name!r} has no value in row {first + row} (from 0)")


def _storage(pa: Any, array: Any) -> Any:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # an empty one
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], array.type)
    while pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _elements(pa: Any, name: str, array: Any, shape: Sequence[int], first: int) -> Any:
    """Values of one shape as a NumPy array."""
    n = len(array)
    array = _storage(pa, array)
    while pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
        if array.null_count:
            raise bad(f"column {name!r} has a null within a list, in row {first} or behind")
    return array.to_numpy(zero_copy_only=False).reshape(n, *shape)


def _bytes(pa: Any, array: Any) -> Ragged:
    import numpy

    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    ends = numpy.frombuffer(offsets, "<i8")[array.offset : array.offset + len(array) + 1]
    if len(array) == 0:
        return Ragged(numpy.empty(0, "u1"), numpy.empty(0, "i8"))
    items = numpy.frombuffer(data or b"", "u1")[ends[0] : ends[-1]]
    return Ragged(items, numpy.diff(ends))


def _values(pa: Any, name: str, kind: _Kind, array: Any, first: int) -> Any:
    _check_nulls(name, array, first)
    array = _storage(pa, array)
    _check_nulls(name, array, first)
    if kind.is_text:
        return _bytes(pa, array)
    shape = kind.column.shape
    if not kind.column.ragged:
        return _elements(pa, name, array, shape, first)
    import pyarrow.compute

    lengths = pyarrow.compute.list_value_length(array).to_numpy(zero_copy_only=False)
    items = array.flatten()
    if items.null_count:
        raise bad(f"column {name!r} has a null within a list, in row {first} or behind")
    return Ragged(_elements(pa, name, items, shape, first), lengths.astype("i8"))


class _Table(Source):
    """Batches of rows of a schema."""

    def _prepare(self, schema: Any, wanted: Sequence[str] | None) -> None:
        self._pa = _arrow()
        names = list(schema.names)
        twins = {name for name in names if names.count(name) > 1}
        if twins:
            raise bad(f"two columns have the name {min(twins)!r}")
        kept = keep_columns(names, wanted)
        if not kept:
            raise bad("there are no columns in it")
        self._kinds = {name: _kind(self._pa, name, schema.field(name).type) for name in kept}
        self.columns = {name: kind.column for name, kind in self._kinds.items()}

    def _batches(self, first: int) -> Iterator[tuple[int, Any]]:
        """The number of a batch's first row, and the batch; from that on which has `first`."""
        raise NotImplementedError

    def parts(self, first: int) -> Iterator[Part]:
        try:
            for at, batch in self._batches(first):
                skip = max(first - at, 0)
                yield from self._pieces(batch.slice(skip), at + skip)
        except self._pa.ArrowException as error:
            raise bad(str(error).strip()) from None

    def _pieces(self, batch: Any, at: int) -> Iterator[Part]:
        """No more than memory should hold at once, if rows are of one size."""
        each = max(batch.nbytes // max(batch.num_rows, 1), 1)
        n = min(max(PART_BYTES // each, 1), _ROWS)
        for first in range(0, batch.num_rows, n):
            piece = batch.slice(first, n)
            yield {
                name: _values(self._pa, name, kind, piece.column(name), at + first)
                for name, kind in self._kinds.items()
            }


class ParquetSource(_Table):
    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        pa, parquet = _arrow(), need("pyarrow.parquet", "a Parquet file")
        try:
            self._file = parquet.ParquetFile(path)
        except pa.ArrowException as error:
            raise bad(str(error).strip()) from None
        self._prepare(self._file.schema_arrow, wanted)
        self.rows = self._file.metadata.num_rows

    def _batches(self, first: int) -> Iterator[tuple[int, Any]]:
        at = 0
        for group in range(self._file.metadata.num_row_groups):
            n = self._file.metadata.row_group(group).num_rows
            if at + n <= first:
                at += n
                continue
            for batch in self._file.iter_batches(
                _ROWS // 8, row_groups=[group], columns=list(self.columns)
            ):
                if at + batch.num_rows > first:
                    yield at, batch
                at += batch.num_rows

    def close(self) -> None:
        self._file.close()


class ArrowSource(_Table):
    """Arrow's own formats, with a footer (Feather 2) or as a stream."""

    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        pa = _arrow()
        self._path, self._ipc = path, need("pyarrow.ipc", "an Arrow file")
        try:
            self.rows = 0
            for batch in self._read(pa):
                self.rows += batch.num_rows
        except pa.ArrowException as error:
            raise bad(str(error).strip()) from None
        self._prepare(self._schema, wanted)

    def _read(self, pa: Any) -> Iterator[Any]:
        with pa.memory_map(self._path) as file:
            if file.read(6) == b"ARROW1":
                file.seek(0)
                reader = self._ipc.open_file(file)
                self._schema = reader.schema
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i)
            else:
                file.seek(0)
                stream = self._ipc.open_stream(file)
                self._schema = stream.schema
                yield from stream

    def _batches(self, first: int) -> Iterator[tuple[int, Any]]:
        at = 0
        for batch in self._read(self._pa):
            if at + batch.num_rows > first:
                yield at, batch
            at += batch.num_rows


class CsvSource(_Table):
    """A header, and values whose type all of the file decides: whole numbers, numbers, true and
    false, else text. The file is read twice."""

    def __init__(self, path: str, wanted: Sequence[str] | None) -> None:
        self._csv = need("pyarrow.csv", "a CSV file")
        pa = _arrow()
        self._path, self._types = path, dict[str, Any]()
        self._delimiter = "\t" if path.lower().endswith(".tsv") else ","
        # Each round makes the type of one column wider, of three there are.
        try:
            while not self._look(pa):
                pass
        except pa.ArrowException as error:
            raise bad(str(error).strip()) from None
        self._prepare(self._schema, wanted)

    def _open(self, pa: Any) -> Any:
        return self._csv.open_csv(
            self._path,
            read_options=self._csv.ReadOptions(block_size=8 << 20),
            parse_options=self._csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True
            ),
            convert_options=self._csv.ConvertOptions(
                column_types=self._types, null_values=[""], strings_can_be_null=False
            ),
        )

    def _look(self, pa: Any) -> bool:
        """Once through the file. False: a type had to become wider."""
        self.rows = 0
        reader = self._open(pa)
        self._schema = reader.schema
        allowed = (pa.int64(), pa.float64(), pa.bool_(), pa.string())
        for field in self._schema:
            if field.type not in allowed:  # dates and such
                self._types[field.name] = pa.string()
                return False
            self._types.setdefault(field.name, field.type)
        try:
            for batch in reader:
                self.rows += batch.num_rows
        except pa.ArrowInvalid as error:
            if not self._widen(pa, str(error)):
                raise
            return False
        return True

    def _widen(self, pa: Any, message: str) -> bool:
        found = re.match(r"In CSV column #(\d+): .*conversion error to", message)
        if found is None:
            return False
        field = self._schema.field(int(found[1]))
        wider = {pa.int64(): pa.float64(), pa.float64(): pa.string(), pa.bool_(): pa.string()}
        if field.type not in wider:
            return False
        self._types[field.name] = wider[field.type]
        return True

    def _batches(self, first: int) -> Iterator[tuple[int, Any]]:
        at = 0
        for batch in self._open(self._pa):
            if at + batch.num_rows > first:
                yield at, batch
            at += batch.num_rows
