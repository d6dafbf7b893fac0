# SPDX-License-Identifier: Apache-2.0
"""One file: what it is, who decodes it, and what is wrong with it."""

import errno
import importlib.util
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from penstock import _core, reference
from penstock.cli.console import CommandError
from penstock.cli.tree import has_image_name, kind_of

HEAD = 1 << 16  # bytes in which most headers end
MAX_RECORD = 1 << 30  # the engine's own limit for an encoded sample

# native: Penstock decodes it. pillow: Pillow decides. broken: neither gives pixels.
# other: not an image. unknown: Pillow would have to decide, and is not installed.
Lane = Literal["native", "pillow", "broken", "other", "unknown"]


@dataclass(slots=True)
class Finding:
    path: str
    bytes: int = 0
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    lane: Lane = "other"
    reason: str | None = None  # why Pillow decides
    error: str | None = None  # why it is broken

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# --- what the first bytes say

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL ", "jxl"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"8BPS", "psd"),
    (b"DDS ", "dds"),
    (b"qoif", "qoi"),
)
_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heif", b"heix": "heif", b"mif1": "heif"}


def sniff(head: bytes) -> str | None:
    """The format by the first bytes; None: no image that is known."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "ppm"
    return None


def _jpeg_mode(head: bytes) -> str | None:
    """From the frame header. The markers before it were found sound by the probe."""
    at = 2
    while at + 10 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return {1: "L", 3: "RGB", 4: "CMYK"}.get(head[at + 9])
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _png_mode(head: bytes) -> str | None:
    if len(head) < 26:
        return None
    depth, colour = head[24], head[25]
    if colour == 0:
        return {1: "1", 16: "I;16"}.get(depth, "L")
    return {2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}.get(colour)


# --- Pillow

_lock = threading.Lock()
_pillow: list[Any] = []  # the module PIL.Image or None, once it was looked for


def pillow() -> Any:
    """PIL.Image with all of its plugins, or None where Pillow is not installed."""
    with _lock:
        if not _pillow:
            _pillow.append(_load_pillow())
        return _pillow[0]


def _load_pillow() -> Any:
    if importlib.util.find_spec("PIL") is None:
        return None
    from PIL import Image

    Image.preinit()
    Image.init()
    # What Pillow has to say about an odd image is in its exception, or does not matter here.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    return Image


def _say(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _ask_pillow(found: Finding, data: bytes | None, deep: bool) -> None:
    """What torchvision's loader would do with the file, from the bytes that were read."""
    image = pillow()
    if image is None:
        found.lane = "unknown"
        return
    found.lane = "pillow"
    try:
        with open(found.path, "rb") if data is None else reference._File(data, found.path) as file:
            opened = image.open(file)
            found.format = (opened.format or "").lower() or found.format
            found.mode, (found.width, found.height) = opened.mode, opened.size
            if deep:
                opened.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:
        found.lane, found.error = "broken", _say(error)


# --- the file


def _open(path: str) -> int:
    """A descriptor of a regular file. Opening never waits, whatever lies there."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise OSError(errno.EINVAL, f"is {kind_of(mode)}, not a file")
    return fd


def read_file(path: str) -> bytes:
    """A whole regular file. Raises OSError."""
    with os.fdopen(_open(path), "rb") as file:
        return file.read()


def _native(data: bytes, deep: bool) -> tuple[str, int, int]:
    probed = _core.probe(data)
    if deep:
        _core.decode(data)
    return probed


def _look(found: Finding, head: bytes, rest: Callable[[], bytes], deep: bool) -> None:
    """`rest` reads what comes after the head; it is called only where that is needed."""
    found.format = sniff(head)
    if found.format is None and not has_image_name(found.path):
        return
    if found.format not in ("jpeg", "png"):
        found.reason = f"{found.format or 'this format'} has no native decoder"
        _ask_pillow(found, None, deep)
        return
    if found.bytes > MAX_RECORD:
        found.reason = "the file is larger than 1 GiB"
        _ask_pillow(found, None, deep)
        return
    data = _try_native(found, head, rest, deep)
    if found.reason is not None:
        _ask_pillow(found, data, deep)


def _try_native(found: Finding, head: bytes, rest: Callable[[], bytes], deep: bool) -> bytes:
    """Finds the reason for a doubt, if there is one. Returns what had to be read for it."""
    is_whole = len(head) >= found.bytes
    data = head if is_whole or not deep else head + rest()
    is_whole = is_whole or deep
    while True:
        try:
            name, found.width, found.height = _native(data, deep)
        except (_core.Error, ValueError) as error:
            if is_whole:
                found.reason = str(error)
                return data
            data, is_whole = head + rest(), True
            continue
        found.lane = "native"
        found.mode = _jpeg_mode(data) if name == "jpeg" else _png_mode(data)
        return data


def examine(path: str, deep: bool = False) -> Finding:
    """Never raises for what a file holds, nor for one that cannot be read."""
    found = Finding(path)
    try:
        with os.fdopen(_open(path), "rb", buffering=0) as file:
            found.bytes = os.fstat(file.fileno()).st_size
            _look(found, file.read(HEAD), file.readall, deep)
    except OSError as error:
        found.lane, found.error = "broken", _say(error)
    except MemoryError:
        raise CommandError(f"memory is out at {path}") from None
    return found


def orientation(path: str) -> int | None:
    """The EXIF orientation, 1 to 8; None: no such entry, or nobody to read it."""
    image = pillow()
    if image is None:
        return None
    try:
        with image.open(path) as opened:
            value = opened.getexif().get(0x0112)
    except Exception:
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None
