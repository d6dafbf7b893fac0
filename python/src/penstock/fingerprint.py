# SPDX-License-Identifier: Apache-2.0
"""What a state remembers a dataset by: which samples it has, in which order, with which labels.

Of images in files it is their names below the folder that they share, not what is in them: a
dataset may be moved, and nothing is read. Of images in memory it is the pixels, of rows their
fields, and what is in them or, where that is much, in some of them.
"""

import hashlib
import math
import zlib
from typing import Any

import numpy
from penstock.kept import Kept
from penstock.sources import Source

_CHUNK = 1 << 14  # images, or names, at a time
_MEBIBYTE = 1 << 20
_SMALL = 1 << 26  # bytes of rows that are all looked at
_PIECES = 64
_ROWS = 4096  # of different lengths, that are looked at
_ITEM_BYTES = {"u8": 1, "i8": 1, "bool": 1, "i16": 2, "u16": 2, "f16": 2, "bf16": 2}
_ITEM_BYTES |= {"i32": 4, "u32": 4, "f32": 4, "i64": 8, "u64": 8, "f64": 8}

_tables: Kept[bytes] = Kept()


def _root(dataset: Any, n: int) -> int:
    """How many bytes all names have in common, up to a folder's end."""
    first = last = dataset.name(0)
    for index in range(1, n):
        name = dataset.name(index)
        if name < first:
            first = name
        elif name > last:
            last = name
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    shared: bytes = first[:same]
    return shared.rfind(b"/") + 1


def _files(digest: Any, dataset: Any) -> None:
    n = len(dataset)
    root = _root(dataset, n) if n else 0
    for start in range(0, n, _CHUNK):
        names = [dataset.name(index)[root:] for index in range(start, min(start + _CHUNK, n))]
        digest.update(b"\0".join(names) + b"\0\0")
    digest.update(dataset.labels())


def _pixels(digest: Any, leaf: Any, dataset: Any) -> None:
    checksum = 0
    for start in range(0, len(leaf.view), _CHUNK):
        rows = numpy.ascontiguousarray(leaf.view[start : start + _CHUNK])
        checksum = zlib.crc32(rows.data, checksum)
    digest.update(f"{leaf.view.shape} {checksum}".encode())
    digest.update(dataset.labels())


def _rows(digest: Any, dataset: Any) -> None:
    """All of what is small, else a megabyte of it, from all over."""
    fields, n = dataset.fields(), len(dataset)
    digest.update(f"{fields} {n}".encode())
    if any(shape[:1] == (-1,) for *_, shape in fields):
        _varying_rows(digest, dataset, fields)
        return
    sizes = [math.prod(shape) * _ITEM_BYTES[dtype] for _, dtype, shape in fields]
    row_bytes = max(1, sum(sizes))
    rows = max(1, _MEBIBYTE // row_bytes)
    starts: Any = range(0, n, rows)
    if n * row_bytes > _SMALL:
        rows = max(1, rows // _PIECES)
        starts = [(n - rows) * piece // (_PIECES - 1) for piece in range(_PIECES)]
    for start in starts:
        some = min(rows, n - start)
        buffers = [bytearray(some * size) for size in sizes]
        dataset.gather(numpy.arange(start, start + some, dtype=numpy.int64), buffers)
        for buffer in buffers:
            digest.update(buffer)


def _varying_rows(digest: Any, dataset: Any, fields: Any) -> None:
    """Rows of different lengths, one by one: all of them, or some from all over."""
    n = len(dataset)
    numbers: Any = range(n)
    if n > _ROWS:
        numbers = [(n - 1) * piece // (_ROWS - 1) for piece in range(_ROWS)]
    for number in numbers:
        index = numpy.array([number], dtype=numpy.int64)
        lengths = dataset.lengths(index)
        buffers = []
        for (_, dtype, shape), length in zip(fields, lengths, strict=True):
            sides = (length, *shape[1:]) if shape[:1] == (-1,) else shape
            buffers.append(bytearray(math.prod(sides) * _ITEM_BYTES[dtype]))
        dataset.gather(index, buffers, lengths)
        for buffer in buffers:
            digest.update(buffer)


def _of_table(table: Any) -> bytes:
    found = _tables.get(table)
    if found is not None:
        return found
    digest = hashlib.blake2b(digest_size=16)
    leaf = getattr(table, "leaf", None) or table.leaves[0]
    if leaf.is_rows:
        _rows(digest, table.dataset)
    elif leaf.is_array:
        _pixels(digest, leaf, table.dataset)
    else:
        _files(digest, table.dataset)
        if leaf.channels != 3:
            digest.update(f"channels {leaf.channels}".encode())
    # Others' memory may be written to.
    if not leaf.is_rows and (not leaf.is_array or leaf.is_copy):
        _tables.put(digest.digest(), table)
    return digest.digest()


def of(source: Source, table: Any) -> str:
    """A table of files is looked at once, all else each time."""
    digest = hashlib.blake2b(_of_table(table), digest_size=16)
    if not source.is_plain and getattr(table, "origin", None) is None:
        places, error = source.places(list(range(len(source.tree))))
        digest.update(numpy.asarray(places, numpy.int64).tobytes())
        digest.update(b"" if error is None else type(error).__name__.encode())
    return digest.hexdigest()
