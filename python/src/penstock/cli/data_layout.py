# SPDX-License-Identifier: Apache-2.0
"""What files of arrays and of tokens say of themselves: names, dtypes, shapes, places."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

from penstock import _core
from penstock.cli.arguments import DTYPES

# numbers of penstock/array.h and penstock/tokens.h
ARRAY_KINDS = {"raw": 1, "npy": 2, "safetensors": 3, "penstock": 4, "npz": 5}
TOKEN_KINDS = {"raw tokens": 1, "megatron": 2, "datatrove": 3}
MAP, READ = 1, 2

# The engine's dtypes, as NumPy reads them from a file.
ON_DISK = {
    **{f"{kind}{n}": f"<{kind}{n // 8}" for kind in "ui" for n in (8, 16, 32, 64)},
    **{f"f{n}": f"<f{n // 8}" for n in (16, 32, 64)},
    "bf16": "<u2",
    "bool": "|u1",
}
_SAFETENSORS = {
    **{f"{kind.upper()}{n}": f"{kind}{n}" for kind in "ui" for n in (8, 16, 32, 64)},
    **{f"F{n}": f"f{n}" for n in (16, 32, 64)},
    "BF16": "bf16",
    "BOOL": "bool",
}
_CODES = (
    *("", "u8", "i64", "f32", "i8", "i16", "i32"),
    *("f16", "bf16", "f64", "bool", "u16", "u32", "u64"),
)
_MEGATRON = ("", "u8", "i8", "i16", "i32", "i64", "f64", "f32", "u16")


class Damaged(Exception):
    """What is wrong, with the file's name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One array. `begin` is -1 where its bytes are not in one piece."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int = -1
    n_bytes: int = 0
    on_disk: str | None = None  # NumPy's dtype; None: nothing is known of its elements
    is_ragged: bool = False


def head_of(path: str) -> bytes:
    """Enough to tell the kind. O_NONBLOCK: a FIFO cannot make it wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return file.read(4104) or b""


def kind_of_data(path: str) -> str | None:
    """None: no array file and no token file. By the first bytes, or, where these are damaged or
    are any bytes, by the name."""
    if not os.path.isfile(path):
        return None
    try:
        head = head_of(path)
    except OSError:
        return None
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\3\4") and path.endswith(".npz"):
        return "npz"
    if b"PSTARR\r\n" in (head[:8], head[4096:]):
        return "penstock"
    base, extension = os.path.splitext(path)
    if extension == ".idx" and head.startswith(b"MMIDIDX\0\0"):
        return "megatron"
    if extension == ".bin" and os.path.isfile(base + ".idx"):
        return "megatron"
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    by_name = {".npy": "npy", ".npz": "npz", ".safetensors": "safetensors", ".ds": "datatrove"}
    return by_name.get(extension)


def elements(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


def check_with_engine(path: str, kind: str, layout: Layout) -> _core.Dataset:
    """The engine opens the array as a training would, and says what is wrong with the file."""
    name = layout.name.encode() if kind in ("safetensors", "penstock", "npz") else None
    source = (
        os.fsencode(os.path.abspath(path)),
        name,
        ARRAY_KINDS[kind],
        None,
        (),
        0,
        0,
        0,
        0,
        0,
    )
    # Elements that are swapped or in another order can only be mapped, which reads nothing yet.
    return _core.array((source,), READ if kind == "penstock" else MAP, 0, False)


# --- one function for each kind


def raw_layouts(path: str, dtype: str, shape: Sequence[int]) -> list[Layout]:
    item = ITEM_BYTES[dtype]
    row, size = item * elements(shape[1:]), os.path.getsize(path)
    rows = shape[0] if shape[0] >= 0 else size // max(row, 1)
    if rows * row != size:
        raise Damaged(
            f"'{path}' has {size} bytes, expected {rows * row}: {rows} rows of {row} bytes"
        )
    return [Layout("data", dtype, (rows, *shape[1:]), 0, size, ON_DISK[dtype])]


def _npy_layout(file: IO[bytes], shown: str, name: str) -> Layout:
    """Of a file that numpy.save() wrote. `begin` counts from its first byte."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise Damaged(f"{shown}: at byte 0: {error}") from None
    begin, n_bytes = file.tell(), dtype.itemsize * elements(shape)
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "uifb":
        return Layout(name, str(dtype), shape, begin, n_bytes)
    said = "bool" if dtype.kind == "b" else f"{dtype.kind}{8 * dtype.itemsize}"
    on_disk = "|u1" if dtype.kind == "b" else dtype.str
    return Layout(name, said, shape, begin, n_bytes, on_disk)


def npy_layouts(path: str) -> list[Layout]:
    with open(path, "rb") as file:
        layout = _npy_layout(file, f"'{path}'", "data")
    if layout.on_disk is not None:
        _check_size(path, layout)
    return [layout]


@contextmanager
def _member(path: str, name: str) -> Iterator[IO[bytes]]:
    """A member of a zip file; its checksum is looked at where its end is read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            yield file
    except (zipfile.BadZipFile, EOFError) as error:
        raise Damaged(f"'{path}': {error}") from None


def npz_layouts(path: str) -> list[Layout]:
    """The engine has checked the zip file."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    found = []
    for name in names:
        with _member(path, name) as file:
            found.append(_npy_layout(file, f"'{path}': {name!r}", name.removesuffix(".npy")))
    return found


def npz_parts(path: str, layout: Layout, size: int) -> Iterator[memoryview]:
    """An array's elements."""
    with _member(path, f"{layout.name}.npy") as file:
        whole = io.BufferedReader(cast(io.RawIOBase, file))  # its own read() may give less
        whole.read(layout.begin)
        while part := whole.read(size):
            yield memoryview(part)


def _check_size(path: str, layout: Layout) -> None:
    size, end = os.path.getsize(path), layout.begin + layout.n_bytes
    if size < end:
        raise Damaged(
            f"'{path}' has {size} bytes, expected {end}: array {layout.name!r} begins at byte "
            f"{layout.begin} and has {layout.n_bytes}"
        )


def safetensors_layouts(path: str) -> list[Layout]:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        begin = file.read(8)
        n = int.from_bytes(begin, "little")
        if len(begin) < 8 or n > min(size - 8, 100_000_000):
            raise Damaged(f"'{path}': at byte 0: a header of {n} bytes, and the file has {size}")
        text = file.read(n)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        found = [
            Layout(
                name,
                _SAFETENSORS.get(entry["dtype"], entry["dtype"]),
                tuple(entry["shape"]),
                8 + n + entry["data_offsets"][0],
                entry["data_offsets"][1] - entry["data_offsets"][0],
                ON_DISK.get(_SAFETENSORS.get(entry["dtype"], "")),
            )
            for name, entry in header.items()
        ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Damaged(f"'{path}': the header at byte 8 is not one: {error}") from None
    for layout in found:
        _check_size(path, layout)
    return sorted(found, key=lambda layout: layout.begin)


def crc32c(data: bytes) -> int:
    """Of a few bytes: a bit at a time."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def penstock_layouts(path: str) -> list[Layout]:
    """From the newer of the roots whose checksum is right. What else is to be checked of the
    footer the engine checks."""
    with open(path, "rb") as file:
        roots = []
        for place in (0, 4096):
            file.seek(place)
            root = file.read(128)
            if len(root) == 128 and crc32c(root[:124]) == int.from_bytes(root[124:], "little"):
                roots.append(struct.unpack_from("<QQQ", root, 16))
        if not roots:
            raise Damaged(f"'{path}': at bytes 0 and 4096: the checksums of both roots are wrong")
        _, at, size = max(roots)
        if at + size > os.path.getsize(path):
            raise Damaged(
                f"'{path}' has {os.path.getsize(path)} bytes, expected {at + size}: it was cut"
            )
        file.seek(at)
        footer = file.read(size)
    try:
        return _columns(footer)
    except (struct.error, UnicodeDecodeError, IndexError):
        raise Damaged(f"'{path}': the footer at byte {at} is damaged") from None


def _columns(footer: bytes) -> list[Layout]:
    rows, _, count = struct.unpack_from("<QQI", footer)
    at, found = 32, []
    for _ in range(count):
        code, is_ragged, dims, n = footer[at : at + 4]
        shape = struct.unpack_from(f"<{dims}Q", footer, at + 8)
        at += 8 + 8 * dims
        dtype, name = _CODES[code], footer[at : at + n].decode()
        full = shape if is_ragged else (rows, *shape)
        n_bytes = 0 if is_ragged else ITEM_BYTES[dtype] * elements(full)
        found.append(Layout(name, dtype, full, -1, n_bytes, ON_DISK[dtype], bool(is_ragged)))
        at += n
    return found


ITEM_BYTES = {name: int(on_disk[2:]) for name, on_disk in ON_DISK.items()}


# --- tokens


@dataclass(frozen=True, slots=True)
class TokenLayout:
    path: str  # of the tokens
    index: str | None
    dtype: str
    n_tokens: int
    n_documents: int | None


def token_layout(path: str, kind: str, dtype: str | None) -> TokenLayout:
    """What the engine accepts: it checks the index, and its file's size against the tokens'."""
    long = next((name for name, short in DTYPES.items() if short == dtype), None)
    source = (os.fsencode(os.path.abspath(path)), TOKEN_KINDS[kind], long, 0, 0)
    opened = _core.tokens(
        (source,),
        window=1,
        stride=1,
        targets=False,
        dtype="i64",
        within=kind != "raw tokens",
        pad=None,
        access=READ,
        budget=0,
        weights=None,
        seed=0,
        length=0,
    )
    report = _core.tokens_report(opened)
    assert report is not None
    n_tokens, n_documents = report[1], None if report[2] < 0 else report[2]
    base = os.path.splitext(path)[0] if path.endswith((".bin", ".idx")) else path
    data = base + ".bin" if kind == "megatron" else path
    index = {"megatron": base + ".idx", "datatrove": path + ".index"}.get(kind)
    if index is not None and not os.path.exists(index):
        index = None
    return TokenLayout(
        data, index, dtype or _token_dtype(kind, index, data, n_tokens), n_tokens, n_documents
    )


def _token_dtype(kind: str, index: str | None, data: str, n_tokens: int) -> str:
    if kind == "megatron" and index is not None:
        with open(index, "rb") as file:
            return _MEGATRON[file.read(18)[17]]
    return "u32" if os.path.getsize(data) == 4 * n_tokens and n_tokens else "u16"
