# SPDX-License-Identifier: Apache-2.0
"""The orientation that the native probe reads against what Pillow's exif_transpose() would use.
0 leaves it to Pillow; anything else must be right."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from decode_kit import scribble
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import _core
from PIL import Image, ImageOps

ORIENTATION = 0x0112
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 12: 8}


def pillow(data: bytes) -> int | None:
    """None where Pillow raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                converted = image.convert("RGB")
                image.load()
                found = {
                    image.getexif().get(ORIENTATION, 1),
                    converted.getexif().get(ORIENTATION, 1),
                }
        except Exception:
            return None
    (value,) = found
    return value if value in range(1, 9) else 1


def tiff(
    rng: random.Random, orientation: int | None, kind: int = 3, count: int = 1, others: int = 5
) -> bytes:
    """A directory of random tags, some with data behind it."""
    order = rng.choice("<>")
    tags = sorted(rng.sample(range(0x100, 0x140), rng.randint(0, others)))
    tags = [tag for tag in tags if tag not in (ORIENTATION, 0x011A, 0x0128)]
    entries, behind = [], b""
    if orientation is not None:
        tags = sorted([*tags, ORIENTATION])
    start = 8 + 2 + 12 * len(tags) + 4
    for tag in tags:
        if tag == ORIENTATION:
            value = struct.pack(order + ("H" if kind == 3 else "I"), orientation)
            entries.append(struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0"))
            continue
        typ = rng.choice(list(SIZES))
        n = rng.randint(1, 5)
        size = n * SIZES[typ]
        body = rng.randbytes(size)
        if size > 4:
            place = struct.pack(order + "I", start + len(behind))
            behind += body
        else:
            place = body.ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI", tag, typ, n) + place)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(entries) + bytes(4) + behind


def xmp(rng: random.Random, value: object) -> bytes:
    said = rng.choice(
        [f'tiff:Orientation="{value}"', f"<tiff:Orientation>{value}</tiff:Orientation>"]
    )
    return f"<x:xmpmeta>{rng.choice(['', 'tiff:Orientation '])}<a {said}/></x:xmpmeta>".encode()


def segment(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def jpeg(exif: list[bytes], packets: list[bytes]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 7)).save(out, "JPEG")
    data = out.getvalue()
    extra = [segment(b"Exif\0\0" + body) for body in exif]
    extra += [segment(b"http://ns.adobe.com/xap/1.0/\0" + body) for body in packets]
    # Behind JFIF, whose density keeps Pillow from looking into EXIF while it opens the file.
    data = data[:2] + data[2:20].replace(b"\1\1\0\0\1\0\1", b"\1\1\1\0\1\0\1") + data[20:]
    return data[:20] + b"".join(extra) + data[20:]


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png(exif: list[bytes], packets: list[bytes], behind: bool = False) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 7)).save(out, "PNG")
    data = out.getvalue()
    extra = [chunk(b"eXIf", body) for body in exif]
    extra += [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + body) for body in packets]
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(extra) + data[at:]


def webp(exif: list[bytes], packets: list[bytes], flags: int = 12) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 7)).save(out, "WEBP")
    image = out.getvalue()[12:]
    body = b"WEBPVP8X" + struct.pack("<II", 10, flags) + b"\x08\0\0\x06\0\0" + image
    for kind, bodies in ((b"EXIF", exif), (b"XMP ", packets)):
        for each in bodies:
            body += kind + struct.pack("<I", len(each)) + each + bytes(len(each) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


WRITERS: list[Callable[[list[bytes], list[bytes]], bytes]] = [
    jpeg,
    png,
    lambda exif, packets: png(exif, packets, behind=True),
    webp,
    lambda exif, packets: webp([b"Exif\0\0" + body for body in exif], packets),
]


def agrees(data: bytes) -> bool:
    """Whether the probe knows; then Pillow must find the same."""
    try:
        found = _core.orientation(data)
    except (_core.DecodeError, _core.LimitError):
        return False
    if found == 0:
        return False
    expected = pillow(data)
    if expected is None:  # it refuses the pixels
        with pytest.raises(_core.DecodeError):
            _core.decode(data)
        return False
    assert found == expected
    return True


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", range(11))
def test_every_value_is_read(write: Callable[..., bytes], value: int) -> None:
    rng = random.Random(value)
    for _ in range(10):
        for exif, packets in (
            ([tiff(rng, value)], []),
            ([], [xmp(rng, value % 10)]),
            ([tiff(rng, None)], [xmp(rng, value % 10)]),
            ([tiff(rng, value)], [xmp(rng, 3)]),
            ([], []),
            ([], [b"no orientation"]),
            ([b""], [xmp(rng, value % 10)]),
        ):
            assert agrees(write(exif, packets))


def test_it_is_what_transposes() -> None:
    rng = random.Random(1)
    for value in range(1, 9):
        data = jpeg([tiff(rng, value, others=0)], [])
        with Image.open(io.BytesIO(data)) as image:
            turned = ImageOps.exif_transpose(image).size != image.size
        assert turned == (_core.orientation(data) >= 5)


def test_metadata_that_webp_does_not_announce_is_not_read() -> None:
    rng = random.Random(2)
    for flags in (0, 4, 8, 12):
        data = webp([tiff(rng, 6)], [xmp(rng, 8)], flags)
        assert _core.orientation(data) == {0: 1, 4: 8, 8: 6, 12: 6}[flags]
        assert agrees(data)
    assert agrees(webp([tiff(rng, 6), tiff(rng, 5)], [xmp(rng, 8), xmp(rng, 7)]))


def test_the_last_xmp_segment_of_a_jpeg_counts() -> None:
    rng = random.Random(3)
    assert _core.orientation(jpeg([], [xmp(rng, 8), xmp(rng, 6)])) == 6
    assert agrees(jpeg([], [xmp(rng, 8), xmp(rng, 6)]))


def text(kind: bytes, body: bytes) -> bytes:
    data = png([], [])
    return data[:33] + chunk(kind, body) + data[33:]


RNG = random.Random(4)
RAW = b"Raw profile type exif\0"
UNSURE: dict[str, bytes] = {
    "EXIF twice": jpeg([tiff(RNG, 6), tiff(RNG, 3)], []),
    "EXIF twice in a PNG": png([tiff(RNG, 6), tiff(RNG, 3)], []),
    "a long": jpeg([tiff(RNG, 6, 4)], []),
    "two numbers": jpeg([tiff(RNG, 6, 3, 2)], []),
    "no TIFF": jpeg([b"something else"], []),
    "TIFF cut": jpeg([tiff(RNG, 6)[:20]], []),
    "big TIFF": jpeg([b"II+\0" + tiff(RNG, 6)[4:]], []),
    "raw profile": text(b"tEXt", RAW + b"\nexif\n       4\n4d4d002a\n"),
    "raw profile, deflated": text(b"zTXt", RAW + b"\0" + zlib.compress(b"\nexif\n1\n4d")),
    "exif as text": text(b"tEXt", b"exif\0MM"),
    "xmp as text": text(b"tEXt", b"xmp\0tiff"),
    "XMP deflated": text(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(RNG, 6))),
    "XMP twice": png([], [xmp(RNG, 6), xmp(RNG, 8)]),
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_unsure_is_left_to_pillow(name: str) -> None:
    assert _core.orientation(UNSURE[name]) == 0


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**63))
def test_what_is_read_of_damaged_metadata_is_what_pillow_reads(seed: int) -> None:
    rng = random.Random(seed)
    exif = [
        tiff(rng, rng.choice([None, rng.randrange(10)])) for _ in range(rng.choice([0, 1, 1, 1, 2]))
    ]
    packets = [xmp(rng, rng.randrange(12)) for _ in range(rng.choice([0, 1, 1, 2]))]
    exif = [scribble(rng, body) if rng.random() < 0.7 else body for body in exif]
    packets = [scribble(rng, body) if rng.random() < 0.5 else body for body in packets]
    agrees(rng.choice(WRITERS)(exif, packets))


def test_photographs_and_the_zoo(photos: Path, zoo: Path) -> None:
    paths = sorted(photos.rglob("*.JPEG")) + sorted(photos.rglob("*.jp*g"))
    assert len(paths) > 100
    sure = sum(agrees(path.read_bytes()) for path in paths)
    assert sure > len(paths) * 0.9
    for path in sorted(zoo.iterdir()):
        if path.suffix in (".jpg", ".png", ".webp", ".gif", ".bmp"):
            agrees(path.read_bytes())
