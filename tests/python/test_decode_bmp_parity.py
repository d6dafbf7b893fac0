# SPDX-License-Identifier: Apache-2.0
"""Native BMP decoding against Pillow: where the decoder vouches for a file, Pillow opens it and has
the same pixels. The files are made here, since Pillow writes one kind of header only."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from decode_kit import (
    Mutation,
    assert_equal,
    assert_most_vouched,
    assert_refused,
    each_mutation,
    flipped_bits,
    mutate_bytes,
    mutate_head,
    native,
    vouches,
)
from penstock import _core

MASKS: dict[int, list[tuple[int, ...]]] = {
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0x0),
        (0xFF000000, 0xFF0000, 0xFF00, 0x0),
        (0xFF000000, 0xFF00, 0xFF, 0x0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0x0, 0x0, 0x0, 0x0),
    ],
    24: [(0xFF0000, 0xFF00, 0xFF, 0x0)],
    16: [(0xF800, 0x7E0, 0x1F, 0x0), (0x7C00, 0x3E0, 0x1F, 0x0)],
}


def header(size: int, w: int, h: int, bits: int, compression: int = 0, colors: int = 0) -> bytes:
    if size == 12:
        return struct.pack("<IHHHH", 12, w, h, 1, bits)
    fields = (size, w, h & 0xFFFFFFFF, 1, bits, compression, 0, 2835, 2835, colors, 0)
    return struct.pack("<IIIHHIIIIII", *fields)


def build(
    head: bytes, palette: bytes, pixels: bytes, gap: bytes = b"", offset: int | None = None
) -> bytes:
    at = 14 + len(head) + len(palette) + len(gap)
    start = struct.pack("<2sIII", b"BM", at + len(pixels), 0, at if offset is None else offset)
    return start + head + palette + gap + pixels


def random_palette(rng: random.Random, n: int, entry: int) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:  # greys, each its own index
        colors = [bytes([i, i, i]) for i in range(n)]
    elif kind == 1:  # greys from end to end
        colors = [bytes([255 * i // max(n - 1, 1)] * 3) for i in range(n)]
    else:
        colors = [rng.randbytes(3) for _ in range(n)]
    return b"".join(c + bytes([rng.randrange(256)])[: entry - 3] for c in colors)


def make(rng: random.Random, bits: int | None = None, size: int | None = None) -> bytes:
    bits = bits or rng.choice([1, 4, 8, 16, 24, 32])
    size = size or rng.choice([12, 40, 40, 52, 56, 64, 108, 124])
    w, h = rng.randint(1, 40), rng.randint(1, 20)
    stride = (w * bits + 31) // 32 * 4
    pixels = rng.randbytes(stride * h)
    gap = rng.randbytes(rng.choice([0, 0, 3, 20]))
    is_top_down = size > 12 and rng.random() < 0.3
    if bits <= 8:
        most = 1 << bits
        n = most if size == 12 else rng.choice([most, most, rng.randint(1, most), 256])
        head = header(
            size, w, -h if is_top_down else h, bits, 0, rng.choice([n, n, 0]) if n == most else n
        )
        palette = random_palette(rng, n, 3 if size == 12 else 4)
        return build(head.ljust(size, b"\0"), palette, pixels, gap)
    compression = rng.choice([0, 3]) if size not in (12, 64) else 0
    head = header(size, w, -h if is_top_down else h, bits, compression)
    if compression:
        masks = struct.pack("<4I", *rng.choice(MASKS[bits]))
        head += masks if size >= 56 else masks[:12]
    return build(head.ljust(size, b"\0"), b"", pixels + rng.randbytes(rng.choice([0, 5])), gap)


@pytest.mark.parametrize("size", [12, 40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("bits", [1, 4, 8, 16, 24, 32])
def test_every_kind_of_image_has_the_pixels_of_pillow(bits: int, size: int) -> None:
    rng = random.Random(f"{bits} {size}")
    taken = 0
    for _ in range(60):
        data = make(rng, bits, size)
        try:
            _core.probe(data)
        except _core.DecodeError:
            continue  # a grey ramp, or alpha without a place in the header
        assert_equal(data, "bmp", rng)
        taken += 1
    assert taken >= 30, f"only {taken} of 60"


@pytest.mark.parametrize("bits", sorted(MASKS))
def test_every_layout_of_masks_has_the_pixels_of_pillow(bits: int) -> None:
    rng = random.Random(bits)
    for masks in MASKS[bits]:
        for size in (40, 52, 56, 108, 124):
            if size < 56 and masks[3]:
                continue
            packed = struct.pack("<4I", *masks)[: 16 if size >= 56 else 12]
            head = (header(size, 9, 7, bits, 3) + packed).ljust(size, b"\0")
            stride = (9 * bits + 31) // 32 * 4
            assert_equal(build(head, b"", rng.randbytes(7 * stride)), "bmp", rng)


def test_every_sample_of_16_bits_has_the_pixels_of_pillow() -> None:
    pixels = struct.pack("<65536H", *range(65536))
    for masks in MASKS[16]:
        head = header(40, 256, 256, 16, 3) + struct.pack("<3I", *masks[:3])
        assert_equal(build(head, b"", pixels), "bmp", random.Random(1))


def test_a_grey_ramp_reaches_beyond_its_palette() -> None:
    palette = b"".join(bytes([i, i, i, 0]) for i in range(100))
    data = build(header(40, 4, 1, 8, 0, 100), palette, bytes([0, 99, 100, 255]))
    assert native(data)[0, :, 0].tolist() == [0, 99, 100, 255]
    assert_equal(data, "bmp", random.Random(2))


RED = b"\0\0\xff\0" * 256
GREY = b"".join(bytes([i, i, i, 0]) for i in range(256))
REFUSED: dict[str, bytes] = {
    "nothing": b"BM",
    "header unknown": build(header(41, 4, 4, 24).ljust(41, b"\0"), b"", bytes(48)),
    "header cut": build(header(40, 4, 4, 24), b"", b"")[:50],
    "larger header cut": build(header(124, 4, 4, 24), b"", bytes(48)),
    "no width": build(header(40, 0, 4, 24), b"", bytes(48)),
    "no height": build(header(40, 4, 0, 24), b"", bytes(48)),
    "too wide": build(header(40, 65501, 1, 1), bytes(8), bytes(9000)),
    "too many pixels": build(header(40, 40000, 40000, 1), bytes(8), bytes(9000)),
    "height below zero by much": build(header(40, 4, -(1 << 24) - 1, 24), b"", bytes(48)),
    "bits unknown": build(header(40, 4, 4, 2), RED[:16], bytes(48)),
    "run lengths": build(header(40, 4, 4, 8, 1), RED, bytes(48)),
    "run lengths of 4 bits": build(header(40, 4, 4, 4, 2), RED[:64], bytes(48)),
    "a PNG": build(header(40, 4, 4, 0, 5), b"", bytes(48)),
    "masks of a palette": build(header(40, 4, 4, 8, 3), RED, bytes(48)),
    "masks unknown": build(header(40, 4, 4, 32, 3) + bytes(11) + b"\1", b"", bytes(64)),
    "masks of OS/2": build(header(64, 4, 4, 24, 3).ljust(64, b"\0"), b"", bytes(48)),
    "palette of many": build(header(40, 4, 4, 8, 0, 257), RED + RED[:4], bytes(48)),
    "palette cut": build(header(40, 4, 4, 8), RED[:-4], b"")[:1000],
    "palette in the pixels": build(header(40, 4, 4, 8), RED, bytes(48), offset=54),
    "no offset": build(header(40, 4, 4, 24), b"", bytes(48), offset=0),
    "offset in the header": build(header(40, 4, 4, 24), b"", bytes(48), offset=53),
    "offset behind": build(header(40, 4, 4, 24), b"", bytes(48), offset=500),
    "offset far behind": build(header(40, 4, 4, 24), b"", bytes(48), offset=0xFFFFFFFF),
    "pixels cut": build(header(40, 4, 4, 24), b"", bytes(47)),
    "grey ramp of 4 bits": build(header(40, 4, 4, 4), GREY[:64], bytes(48)),
    "black and white of 8 bits": build(
        header(40, 4, 4, 8, 0, 2), b"\0\0\0\0\xff\xff\xff\0", bytes(48)
    ),
    "black alone": build(header(40, 4, 4, 1, 0, 1), bytes(4), bytes(48)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unclean_file_is_refused(name: str) -> None:
    assert_refused(REFUSED[name])


def test_no_cut_and_no_flipped_bit_is_taken_wrongly() -> None:
    rng = random.Random(3)
    for bits in (1, 8, 16, 32):
        data = make(rng, bits, 56)
        for n in range(0, len(data), 1 + len(data) // 300):
            vouches(data[:n], "bmp", rng)
        for flipped in flipped_bits(data, 90):
            vouches(flipped, "bmp", rng)


def mutate_fields(rng: random.Random, data: bytes) -> bytes:
    """One field of the header with a value that some header has."""
    out = bytearray(data)
    at, size = rng.choice([(10, 4), (14, 4), (18, 4), (22, 4), (28, 2), (30, 4), (46, 4), (54, 4)])
    values = [0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 52, 54, 56, 64, 108, 124, 255, 256]
    values += [0xFF, 0xFF00, 0xFF0000, 0xFF000000, 0x7C00, 0xFFFFFFFF, len(data)]
    value = rng.choice(values) & ((1 << 8 * size) - 1)
    out[at : at + size] = value.to_bytes(size, "little")
    return bytes(out)


MUTATIONS = [mutate_bytes, mutate_head, mutate_fields]


@each_mutation(MUTATIONS, examples=200)
def test_what_is_vouched_for_has_the_pixels_of_pillow(mutate: Mutation, seed: int) -> None:
    rng = random.Random(seed)
    vouches(mutate(rng, make(rng)), "bmp", rng)


def test_the_zoo_has_the_pixels_of_pillow(zoo: Path) -> None:
    assert_most_vouched(zoo, "bmp", "*.bmp")
