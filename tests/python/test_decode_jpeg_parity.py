# SPDX-License-Identifier: Apache-2.0
"""Native JPEG decoding against Pillow: where the decoder vouches for a file, or for a region of it,
Pillow opens the file and has the same pixels."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decode_kit import (
    Mutation,
    Region,
    crop,
    each_mutation,
    native,
    pillow,
)
from penstock import _core
from PIL import Image

SOI, EOI, SOS = b"\xff\xd8", b"\xff\xd9", 0xDA


def picture(rng: random.Random, mode: str, w: int, h: int) -> Image.Image:
    """Waves under noise, so that blocks have all kinds of coefficients."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    y, x = np.mgrid[0:h, 0:w]
    waves = [127 + 100 * np.sin(x / (3 + i) + y / (7 - i)) for i in range(bands)]
    noise = np.random.default_rng(rng.randrange(2**32)).integers(-30, 30, (h, w, bands))
    pixels = np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return Image.frombytes(mode, (w, h), pixels.tobytes())


def encode(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def make_any(rng: random.Random, most: int = 40) -> bytes:
    mode = rng.choice(["RGB", "RGB", "RGB", "L", "CMYK"])
    options: dict[str, Any] = {"quality": rng.choice([30, 75, 95])}
    if mode != "L":
        options["subsampling"] = rng.choice([0, 1, 2])
    if mode == "RGB" and rng.random() < 0.1:
        options["keep_rgb"] = True
        options["subsampling"] = 0
    if rng.random() < 0.3:
        options["progressive"] = True
    if rng.random() < 0.3:
        options["restart_marker_rows"] = 1
    elif rng.random() < 0.2:
        options["restart_marker_blocks"] = rng.choice([1, 2, 5])
    if rng.random() < 0.3:
        options["optimize"] = True
    if rng.random() < 0.3:
        options["dpi"] = (72, 72)
    if rng.random() < 0.3:
        options["exif"] = exif(rng)
    if rng.random() < 0.2:
        options["comment"] = b"made for a test"
    if rng.random() < 0.2:
        options["icc_profile"] = rng.randbytes(300)
    w, h = rng.randint(1, most), rng.randint(1, most)
    return encode(picture(rng, mode, w, h), **options)


def exif(rng: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = rng.randint(1, 8)
    exif[0x010F] = "a camera"
    if rng.random() < 0.5:
        exif[0x011A] = 72.0
        exif[0x0128] = 2
    return exif.tobytes()


def some_region(rng: random.Random, w: int, h: int) -> Region:
    rw, rh = rng.randint(1, w), rng.randint(1, h)
    kind = rng.randrange(4)
    if kind == 0:
        rw = min(rw, 4)
    elif kind == 1:
        rh = min(rh, 4)
    return rng.randint(0, w - rw), rng.randint(0, h - rh), rw, rh


def assert_equal(data: bytes, rng: random.Random, regions: int) -> None:
    expected = pillow(data, "jpeg")
    h, w, _ = expected.shape
    assert _core.probe(data) == ("jpeg", w, h)
    np.testing.assert_array_equal(native(data), expected)
    for _ in range(regions):
        region = some_region(rng, w, h)
        np.testing.assert_array_equal(native(data, region), crop(expected, region), str(region))


def vouches(data: bytes, rng: random.Random, regions: int = 3) -> int:
    """How many of the whole and some regions are vouched for; each of these is Pillow's."""
    try:
        _, w, h = _core.probe(data)
    except (_core.DecodeError, _core.LimitError):
        return 0
    vouched = 0
    places = [None, *(some_region(rng, w, h) for _ in range(regions))]
    for region in places:
        try:
            pixels = native(data, region)
        except (_core.DecodeError, _core.LimitError):
            continue
        vouched += 1
        expected = pillow(data, "jpeg")
        assert expected.shape == (h, w, 3)
        np.testing.assert_array_equal(pixels, crop(expected, region or (0, 0, w, h)))
    return vouched


def segments(data: bytes) -> tuple[list[bytes], bytes]:
    """The segments before the first scan, and the rest."""
    at, found = 2, []
    while data[at + 1] != SOS:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(data[at:end])
        at = end
    return found, data[at:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_file_has_the_pixels_of_pillow(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        assert_equal(make_any(rng), rng, regions=6)
    assert_equal(make_any(rng, most=400), rng, regions=10)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_odd_sizes(subsampling: int, progressive: bool) -> None:
    rng = random.Random(subsampling)
    for w in range(1, 41):
        h = (w * 7) % 40 + 1
        image = picture(rng, "RGB", w, h)
        data = encode(image, subsampling=subsampling, progressive=progressive)
        assert_equal(data, rng, regions=2)


def test_large_files_in_pieces_of_pillow() -> None:
    """Pillow feeds libjpeg 64 KiB at a time."""
    rng = random.Random(5)
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 3}):
        data = encode(picture(rng, "RGB", 700, 500), quality=97, subsampling=2, **options)
        assert len(data) > 200_000
        assert_equal(data, rng, regions=6)


def cut(rng: random.Random, data: bytes) -> bytes:
    n = rng.choice([rng.randrange(1, len(data)), len(data) - rng.randint(1, 64)])
    return data[: max(n, 1)]


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    low, high = rng.choice([(0, len(data)), (0, data.index(b"\xff\xda") + 14)])
    for _ in range(rng.choice([1, 1, 2, 8])):
        out[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    return bytes(out)


def blank(rng: random.Random, data: bytes) -> bytes:
    at, n = rng.randrange(len(data)), rng.choice([1, 4, 16, 512])
    return data[:at] + bytes(min(n, len(data) - at)) + data[at + n :]


def insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    what = rng.choice(
        [rng.randbytes(rng.choice([1, 2, 17])), b"\xff", EOI, b"\xff\xd0", bytes(2), b"\xff\xda"]
    )
    return data[:at] + what + data[at:]


def remove(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice([1, 1, 2, 40]) :]


def change_marker(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    places = [i for i in range(len(data) - 1) if data[i] == 0xFF and data[i + 1] not in (0, 0xFF)]
    known = [0xC0, 0xC2, 0xC4, 0xD0, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE1, 0xED, 0xFE]
    out[rng.choice(places) + 1] = rng.choice([*known, rng.randrange(256)])
    return bytes(out)


def move_segments(rng: random.Random, data: bytes) -> bytes:
    parts, rest = segments(data)
    kind = rng.randrange(4)
    i = rng.randrange(len(parts))
    if kind == 0:
        rng.shuffle(parts)
    elif kind == 1:
        del parts[i]
    elif kind == 2:
        parts.insert(rng.randrange(len(parts)), parts[i])
    else:
        content = bytearray(parts[i])
        content[rng.randrange(1, len(content))] = rng.choice([0, 1, 2, 255, rng.randrange(256)])
        parts[i] = bytes(content)
    return SOI + b"".join(parts) + rest


def add_after(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice([b"", EOI, SOI, rng.randbytes(9), data])


def add_segment(rng: random.Random, data: bytes) -> bytes:
    """A segment that Pillow looks into, right or cut or with a byte changed."""
    marker, content = rng.choice(
        [
            (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            (0xE1, exif(rng)),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            (0xE2, b"ICC_PROFILE\0\1\1profile"),
            (0xE2, b"MPF\0" + bytes(20)),
            (0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\2ab8BIM\3\xed\0\0\0\0\0\0"),
            (0xEE, b"Adobe\0d\0\0\0\0" + bytes([rng.randrange(4)])),
        ]
    )
    kind = rng.randrange(3)
    if kind == 0:
        content = content[: rng.randrange(len(content) + 1)]
    elif kind == 1:
        changed = bytearray(content)
        changed[rng.randrange(len(content))] = rng.choice([0, 1, 2, 255, rng.randrange(256)])
        content = bytes(changed)
    parts, rest = segments(data)
    parts.insert(rng.randrange(len(parts) + 1), segment(marker, content))
    return SOI + b"".join(parts) + rest


MUTATIONS = [
    cut,
    flip_bits,
    blank,
    insert,
    remove,
    change_marker,
    move_segments,
    add_after,
    add_segment,
]


@pytest.mark.fault("R13")
@each_mutation(MUTATIONS)
def test_what_is_vouched_for_has_the_pixels_of_pillow(mutate: Mutation, seed: int) -> None:
    rng = random.Random(seed)
    vouches(mutate(rng, make_any(rng)), rng)


def test_damage_is_refused_and_what_is_harmless_is_not() -> None:
    """Each mutation gives both, except for those that always damage."""
    rng = random.Random(11)
    for mutate in MUTATIONS:
        counts = [vouches(mutate(rng, make_any(rng)), rng) for _ in range(60)]
        assert any(count == 0 for count in counts) or mutate is add_after, mutate.__name__
        assert any(count > 0 for count in counts) or mutate is cut, mutate.__name__


@pytest.mark.fault("R1")
def test_every_cut_is_refused() -> None:
    rng = random.Random(3)
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}):
        data = encode(picture(rng, "RGB", 20, 15), **options)
        for n in range(len(data)):
            assert vouches(data[:n], rng, regions=1) == 0, n


@pytest.mark.parametrize("n_scans", [1, 2, 5, 9])
def test_an_incomplete_progressive_file_is_refused(n_scans: int) -> None:
    data = encode(picture(random.Random(1), "RGB", 50, 40), progressive=True)
    at = 0
    for _ in range(n_scans + 1):
        at = data.index(b"\xff\xda", at + 1)
    with pytest.raises(_core.DecodeError) as info:
        _core.probe(data[:at] + EOI)
    assert info.value.status == "EUNCLEAN"
    assert pillow(data[:at] + EOI, "jpeg").shape == (40, 50, 3)


@pytest.mark.fault("R14")
def test_bombs_are_refused_by_their_header() -> None:
    data = bytearray(encode(Image.new("RGB", (8, 8))))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    with pytest.raises(_core.LimitError):
        _core.probe(bytes(data))


def test_photos_have_the_pixels_of_pillow(photos: Path) -> None:
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    assert files
    rng = random.Random(7)
    for path in files[::4]:
        assert_equal(path.read_bytes(), rng, regions=3)


def test_the_zoo_has_the_pixels_of_pillow(zoo: Path) -> None:
    rng = random.Random(8)
    files = [path for path in sorted(zoo.iterdir()) if path.read_bytes()[:3] == b"\xff\xd8\xff"]
    vouched = sum(vouches(path.read_bytes(), rng, regions=5) > 0 for path in files)
    assert vouched > len(files) / 2
