# SPDX-License-Identifier: Apache-2.0
"""docs/format-array.md once more, in Python alone: reads and writes array files, to hold the
engine's reader and writer against."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

MAGIC = b"PSTARR\r\n"
ROOT, PAGE, DATA, SUMS = 128, 4096, 8192, 1023
_DTYPES = "u8 i64 f32 i8 i16 i32 f16 bf16 f64 bool u16 u32 u64".split()
DTYPES = dict(enumerate(_DTYPES, 1))
NUMBERS = {name: number for number, name in DTYPES.items()}
# bf16 as bits: NumPy has no bfloat16.
_NUMPY = "u1 <i8 <f4 i1 <i2 <i4 <f2 <u2 <f8 ? <u2 <u4 <u8".split()
NUMPY = dict(zip(_DTYPES, _NUMPY, strict=True))


class Damaged(Exception):
    pass


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass
class Column:
    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = False

    @property
    def numpy(self) -> numpy.dtype[Any]:
        return numpy.dtype(NUMPY[self.dtype])

    @property
    def elements(self) -> list[int]:
        """Bytes of an element of each of its streams."""
        element = self.numpy.itemsize * int(numpy.prod(self.shape, dtype=object))
        return [8, element] if self.ragged else [element]


@dataclass
class Extent:
    offset: int
    n: int
    block: int
    sums: int


@dataclass
class Table:
    """What is in a file: of a fixed column an array, of a ragged one a list of arrays."""

    columns: list[Column]
    values: dict[str, Any] = field(default_factory=dict)
    n_rows: int = 0
    note: str = ""
    sequence: int = 0
    segments: list[list[Extent]] = field(default_factory=list)


def _require(condition: object, what: str) -> None:
    if not condition:
        raise Damaged(what)


def _root(data: bytes) -> tuple[int, int, int, int, int]:
    """Sequence, footer, its size, the file's size, the footer's CRC; of the newer good copy."""
    good = []
    for at in (0, PAGE):
        root = data[at : at + ROOT]
        if len(root) < ROOT or root[:8] != MAGIC:
            continue
        if struct.unpack("<I", root[124:])[0] != crc32c(root[:124]):
            continue
        major, minor, *numbers, crc = struct.unpack("<2I4QI", root[8:52])
        _require(major == 1, "another version")
        _require(minor > 0 or not any(root[52:124]), "zeros that are none")
        good.append((*numbers, crc))
    _require(good, "no good root")
    return max(good, key=lambda root: root[0])


def _columns(footer: bytes, n: int) -> tuple[list[Column], int]:
    columns, at = [], 32
    for _ in range(n):
        dtype, ragged, ndim, length, zeros = struct.unpack_from("<4BI", footer, at)
        _require(dtype in DTYPES and ragged < 2 and ndim <= 8 and length and not zeros, "a column")
        shape = struct.unpack_from(f"<{ndim}Q", footer, at + 8)
        at += 8 + 8 * ndim
        columns.append(
            Column(footer[at : at + length].decode(), DTYPES[dtype], shape, bool(ragged))
        )
        at += length
    _require(len({column.name for column in columns}) == n, "two columns of a name")
    return columns, at


def _sums(data: bytes, at: int, blocks: list[bytes]) -> None:
    for first in range(0, len(blocks), SUMS):
        page = b"".join(struct.pack("<I", crc32c(b)) for b in blocks[first : first + SUMS])
        page += struct.pack("<I", crc32c(page))
        _require(data[at : at + len(page)] == page, f"a checksum of those at {at}")
        at += len(page)


def _stream(data: bytes, extent: Extent, element: int, end: int | None) -> bytes:
    size = extent.n * element
    if size == 0:
        _require(extent.offset == 0 and extent.sums == 0, "a place of no bytes")
        return b""
    _require(extent.offset >= DATA and (extent.offset % PAGE == 0 or extent.offset == end), "place")
    bytes_ = data[extent.offset : extent.offset + size]
    _require(len(bytes_) == size, "data behind the end")
    block = extent.block * element
    _sums(data, extent.sums, [bytes_[i : i + block] for i in range(0, size, block)])
    return bytes_


def _split(column: Column, ends: bytes, items: bytes) -> list[numpy.ndarray[Any, Any]]:
    all_ends = numpy.frombuffer(ends, "<i8")
    count = int(all_ends[-1]) if len(all_ends) else 0
    whole = numpy.frombuffer(items, column.numpy).reshape(count, *column.shape)
    begins = numpy.concatenate([[0], all_ends[:-1]]) if len(all_ends) else []
    _require(all(a <= b for a, b in zip(begins, all_ends, strict=True)), "ends out of order")
    return [whole[a:b] for a, b in zip(begins, all_ends, strict=True)]


def read(path: Path) -> Table:
    data = path.read_bytes()
    sequence, at, size, file_size, crc = _root(data)
    _require(len(data) >= file_size, "the file was cut")
    data = data[:file_size]
    footer = data[at : at + size]
    _require(len(footer) == size and crc32c(footer) == crc, "the footer")
    n_rows, n_segments, n_columns, note, zeros = struct.unpack_from("<2Q2IQ", footer)
    _require(zeros == 0, "zeros that are none")
    columns, at = _columns(footer, n_columns)
    table = Table(columns, n_rows=n_rows, sequence=sequence)
    table.note = footer[at : at + note].decode()
    at += note
    elements = [element for column in columns for element in column.elements]
    streams, ends = [bytearray() for _ in elements], [None] * len(elements)
    counts = [0] * len(elements)
    total = 0
    for _ in range(n_segments):
        rows = struct.unpack_from("<Q", footer, at)[0]
        _require(rows > 0, "a segment of no rows")
        total += rows
        at += 8
        extents = [
            Extent(*struct.unpack_from("<4Q", footer, at + 32 * s)) for s in range(len(elements))
        ]
        at += 32 * len(elements)
        for s, extent in enumerate(extents):
            streams[s] += _stream(data, extent, elements[s], ends[s])
            counts[s] += extent.n
            if extent.offset:
                ends[s] = extent.offset + extent.n * elements[s]
        table.segments.append(extents)
        _check_segment(columns, extents, streams, rows, counts)
    _require(total == n_rows and at == size, "rows that do not add up")
    s = 0
    for column in columns:
        if column.ragged:
            table.values[column.name] = _split(column, bytes(streams[s]), bytes(streams[s + 1]))
        else:
            whole = numpy.frombuffer(bytes(streams[s]), column.numpy)
            table.values[column.name] = whole.reshape(n_rows, *column.shape)
        s += len(column.elements)
    return table


def _check_segment(
    columns: list[Column],
    extents: list[Extent],
    streams: list[bytearray],
    rows: int,
    counts: list[int],
) -> None:
    s = 0
    for column in columns:
        _require(extents[s].n == rows, "rows of a column")
        if column.ragged:
            last = struct.unpack("<q", streams[s][-8:])[0]
            _require(last == counts[s + 1], "the items of a segment")
        s += len(column.elements)


def runs(table: Table, name: str) -> int:
    """In how many pieces the rows of a fixed column lie."""
    s = 0
    for column in table.columns:
        if column.name == name:
            break
        s += len(column.elements)
    element, n, end = table.columns[table.columns.index(column)].elements[0], 0, None
    for extents in table.segments:
        n += extents[s].offset != end
        end = extents[s].offset + extents[s].n * element
    return n


# --- writing


class Writer:
    """Segments as they are given, each commit with a footer; `block` elements to a block. A commit
    of one copy of the root alone is what a writer leaves that dies there."""

    def __init__(self, columns: list[Column], block: int = 5, note: str = "") -> None:
        self._columns, self._block, self._note = columns, block, note
        self._data = bytearray(DATA)
        self._segments: list[bytes] = []
        self._n_rows = self._sequence = 0
        self._items = dict.fromkeys((column.name for column in columns), 0)

    def _put(self, data: bytes, element: int) -> bytes:
        n = len(data) // element if element else 0
        if not data:
            return struct.pack("<4Q", 0, n, self._block, 0)
        self._data += bytes(-len(self._data) % PAGE)
        begin, step = len(self._data), self._block * element
        self._data += data
        crcs = [crc32c(data[i : i + step]) for i in range(0, len(data), step)]
        sums = len(self._data)
        for first in range(0, len(crcs), SUMS):
            page = struct.pack(f"<{len(crcs[first : first + SUMS])}I", *crcs[first : first + SUMS])
            self._data += page + struct.pack("<I", crc32c(page))
        return struct.pack("<4Q", begin, n, self._block, sums)

    def segment(self, values: dict[str, Any]) -> None:
        parts, n_rows = [], 0
        for column in self._columns:
            rows = values[column.name]
            n_rows = len(rows)
            if column.ragged:
                ends = self._items[column.name] + numpy.cumsum([len(row) for row in rows])
                parts.append(self._put(ends.astype("<i8").tobytes(), 8))
                items = b"".join(row.tobytes() for row in rows)
                n_items = int(ends[-1]) - self._items[column.name]
                self._items[column.name] = int(ends[-1])
                part = self._put(items, column.elements[1])
                parts.append(part[:8] + struct.pack("<Q", n_items) + part[16:])
            else:
                part = self._put(rows.tobytes(), column.elements[0])
                parts.append(part[:8] + struct.pack("<Q", n_rows) + part[16:])
        self._n_rows += n_rows
        self._segments.append(struct.pack("<Q", n_rows) + b"".join(parts))

    def commit(self, *, copies: tuple[int, ...] = (0, PAGE)) -> None:
        columns = b""
        for column in self._columns:
            name, shape = column.name.encode(), column.shape
            head = (NUMBERS[column.dtype], column.ragged, len(shape), len(name), 0)
            columns += struct.pack(f"<4BI{len(shape)}Q", *head, *shape) + name
        note = self._note.encode()
        counts = (self._n_rows, len(self._segments), len(self._columns), len(note), 0)
        footer = struct.pack("<2Q2IQ", *counts) + columns + note + b"".join(self._segments)
        self._sequence += 1
        at = len(self._data)
        self._data += footer
        places = (self._sequence, at, len(footer), len(self._data), crc32c(footer))
        root = (MAGIC + struct.pack("<2I4QI", 1, 0, *places)).ljust(124, b"\0")
        root += struct.pack("<I", crc32c(root))
        for copy in copies:
            self._data[copy : copy + ROOT] = root

    def save(self, path: Path) -> None:
        path.write_bytes(self._data)
