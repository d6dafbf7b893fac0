# SPDX-License-Identifier: Apache-2.0
"""Native PNG decoding against Pillow: where the decoder vouches for a file, Pillow opens it and has
the same pixels. The files are made here, since Pillow writes few of the kinds that exist."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from decode_kit import (
    Mutation,
    assert_equal,
    assert_most_vouched,
    assert_refused,
    each_mutation,
    flipped_bits,
    mutate_bytes,
    native,
    pillow,
    scribble,
    vouches,
)
from penstock import _core

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
KINDS = [
    (color, depth)
    for color, depths in {
        GREY: (1, 2, 4, 8, 16),
        RGB: (8, 16),
        PALETTE: (1, 2, 4, 8),
        GREY_ALPHA: (8, 16),
        RGBA: (8, 16),
    }.items()
    for depth in depths
]
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [
    (0, 8, 0, 8),
    (4, 8, 0, 8),
    (0, 4, 4, 8),
    (2, 4, 0, 4),
    (0, 2, 2, 4),
    (1, 2, 0, 2),
    (0, 1, 1, 2),
]

Chunk = tuple[bytes, bytes]


def pack(kind: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


def join(chunks: list[Chunk], tail: bytes = b"") -> bytes:
    return SIGNATURE + b"".join(pack(*chunk) for chunk in chunks) + tail


def split(data: bytes) -> list[Chunk]:
    chunks, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def header(w: int, h: int, color: int, depth: int, interlaced: int = 0) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlaced)


def scanlines(w: int, h: int, color: int, depth: int, interlaced: int) -> list[int]:
    """The bytes of each scanline, its filter byte not counted."""
    bits = CHANNELS[color] * depth
    if not interlaced:
        return [(w * bits + 7) // 8] * h
    lines = []
    for x0, dx, y0, dy in ADAM7:
        across, down = len(range(x0, w, dx)), len(range(y0, h, dy))
        if across:
            lines += [(across * bits + 7) // 8] * down
    return lines


def noise(rng: random.Random, n: int) -> bytes:
    """Bytes that are random, few-valued or runs, so that all of deflate's devices are met."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(n)
    if kind == 1:
        return bytes([rng.randrange(256)]) * n
    if kind == 2:
        values = rng.randbytes(rng.randint(1, 4))
        return bytes(rng.choice(values) for _ in range(n))
    return (rng.randbytes(rng.randint(1, 70)) * (n + 1))[:n]


def filtered(rng: random.Random, lines: list[int]) -> bytes:
    """Scanlines as they stand in the stream. Any bytes under any filter are some image."""
    only = rng.choice([None, None, 0, 1, 2, 3, 4])
    return b"".join(
        bytes([rng.randrange(5) if only is None else only]) + noise(rng, n) for n in lines
    )


def deflate(rng: random.Random, raw: bytes) -> bytes:
    c = zlib.compressobj(
        rng.choice([0, 1, 6, 9]),
        zlib.DEFLATED,
        rng.choice([9, 12, 15]),
        rng.choice([1, 8, 9]),
        rng.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]),
    )
    if rng.random() < 0.3:
        at = rng.randint(0, len(raw))
        mode = rng.choice([zlib.Z_FULL_FLUSH, zlib.Z_SYNC_FLUSH])
        return c.compress(raw[:at]) + c.flush(mode) + c.compress(raw[at:]) + c.flush()
    return c.compress(raw) + c.flush()


def idats(rng: random.Random, stream: bytes) -> list[Chunk]:
    kind = rng.randrange(4)
    if kind == 0:
        return [(b"IDAT", stream)]
    if kind == 1 and len(stream) < 2000:
        return [(b"IDAT", stream[i : i + 1]) for i in range(len(stream))]
    chunks, at = [], 0
    while at < len(stream):
        n = rng.choice([0, 1, 2, 3, 7, 50, 400, 9000])
        chunks.append((b"IDAT", stream[at : at + n]))
        at += n
    return chunks + [(b"IDAT", b"")] * rng.randrange(2)


def random_palette(rng: random.Random, depth: int) -> bytes:
    return rng.randbytes(3 * rng.choice([1, 1 << depth, rng.randint(1, 1 << depth)]))


def ancillary(rng: random.Random, color: int, n_palette: int) -> list[Chunk]:
    """Well-formed chunks that may stand between the palette and the pixels."""
    some: list[Chunk] = [
        (b"gAMA", struct.pack(">I", rng.choice([0, 45455, 100000]))),
        (b"cHRM", rng.randbytes(32)),
        (b"sRGB", bytes([rng.randrange(5)])),
        (b"pHYs", rng.randbytes(8) + bytes([rng.randrange(3)])),
        (b"bKGD", rng.randbytes({PALETTE: 1, GREY: 2, GREY_ALPHA: 2}.get(color, 6))),
        (b"sBIT", rng.randbytes(CHANNELS[color])),
        (b"tIME", rng.randbytes(7)),
        (b"eXIf", b"MM\0*" + rng.randbytes(rng.randrange(30))),
        (b"sPLT", b"name\0\x08" + rng.randbytes(12)),
        (b"iCCP", b"icc\0\0" + zlib.compress(rng.randbytes(rng.choice([20, 3000])))),
        (b"tEXt", b"Comment\0" + rng.randbytes(rng.randrange(40))),
        (b"zTXt", b"Long\0\0" + zlib.compress(noise(rng, rng.choice([10, 60000])))),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
        (b"iTXt", b"Title\0\1\0en\0T\xc3\xaftel\0" + zlib.compress(b"\xc3\xa9" * 2000)),
        (b"vpAg", rng.randbytes(9)),
    ]
    if color == GREY or color == RGB:
        v = [rng.choice([0, 1, 3, 255, 256, 65535]) for _ in range(CHANNELS[color])]
        some.append((b"tRNS", struct.pack(f">{len(v)}H", *v)))
    if color == PALETTE:
        n = rng.randint(1, n_palette)
        some.append((b"tRNS", rng.choice([rng.randbytes(n), b"\xff" * (n - 1) + b"\0"])))
    return rng.sample(some, rng.randrange(4))


def make(
    rng: random.Random,
    color: int,
    depth: int,
    interlaced: int,
    w: int,
    h: int,
    *,
    bare: bool = False,
) -> bytes:
    chunks = [header(w, h, color, depth, interlaced)]
    n_palette = 0
    if color == PALETTE:
        palette = random_palette(rng, depth)
        n_palette = len(palette) // 3
        chunks.append((b"PLTE", palette))
    elif color in (RGB, RGBA) and not bare and rng.random() < 0.1:
        chunks.append((b"PLTE", random_palette(rng, 8)))
    if not bare:
        chunks += ancillary(rng, color, n_palette)
    chunks += idats(rng, deflate(rng, filtered(rng, scanlines(w, h, color, depth, interlaced))))
    if not bare and rng.random() < 0.3:
        chunks.append((b"tEXt", b"After\0the pixels"))
    chunks.append((b"IEND", b""))
    return join(chunks, rng.randbytes(rng.choice([0, 0, 0, 5])))


def make_any(rng: random.Random) -> bytes:
    color, depth = rng.choice(KINDS)
    return make(rng, color, depth, rng.randrange(2), rng.randint(1, 40), rng.randint(1, 40))


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("color", "depth"), KINDS)
def test_every_kind_of_image_has_the_pixels_of_pillow(
    color: int, depth: int, interlaced: int
) -> None:
    rng = random.Random(f"{color} {depth} {interlaced}")
    sizes = [(w, h) for w in range(1, 10) for h in range(1, 10)]
    sizes += [(rng.randint(1, 40), rng.randint(1, 40)) for _ in range(20)]
    for w, h in sizes:
        assert_equal(make(rng, color, depth, interlaced, w, h), "png", rng)


def test_rows_wider_than_the_inflate_window_have_the_pixels_of_pillow() -> None:
    rng = random.Random(1)
    for interlaced in (0, 1):
        assert_equal(make(rng, RGBA, 16, interlaced, 9001, 3), "png", rng)
        assert_equal(make(rng, GREY, 1, interlaced, 3, 9001), "png", rng)


def test_a_16_bit_grey_image_is_clipped() -> None:
    values = [0, 5, 255, 256, 0x1200, 65535]
    raw = b"\0" + struct.pack(">6H", *values)
    data = join([header(6, 1, GREY, 16), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])
    assert native(data)[0, :, 0].tolist() == [min(v, 255) for v in values]
    assert_equal(data, "png", random.Random(2))


def test_a_palette_index_without_a_colour_is_black() -> None:
    chunks = [header(4, 1, PALETTE, 8), (b"PLTE", b"abcdef")]
    data = join([*chunks, (b"IDAT", zlib.compress(b"\0\0\1\2\xff")), (b"IEND", b"")])
    assert native(data)[0].tolist() == [[97, 98, 99], [100, 101, 102], [0, 0, 0], [0, 0, 0]]
    assert_equal(data, "png", random.Random(3))


def minimal(rng: random.Random) -> list[Chunk]:
    return split(make(rng, RGB, 8, 0, 7, 5, bare=True))


@pytest.mark.parametrize(
    "extra",
    [
        (b"gAMA", b"\0\0\xb1\x8f"),
        (b"sRGB", b"\0"),
        (b"cHRM", bytes(32)),
        (b"pHYs", bytes(9)),
        (b"tIME", bytes(7)),
        (b"bKGD", bytes(6)),
        (b"sBIT", b"\x08\x08\x08"),
        (b"hIST", b""),
        (b"eXIf", b"MM\0*\0\0\0\x08"),
        (b"tRNS", b"\xff\xff\0\0\0\1"),
        (b"PLTE", bytes(30)),
        (b"iCCP", b"p\0\0" + zlib.compress(random.Random(4).randbytes(5000))),
        (b"tEXt", b"no end"),
        (b"tEXt", b"Software\0here"),
        (b"zTXt", b"Software\0\0" + zlib.compress(bytes(900000))),
        (b"iTXt", b"Software\0\0\0\0\0here"),
        (b"iTXt", b"Software\0\1\0\0\0" + zlib.compress(bytes(3000))),
        (b"prIv", b"anything"),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_a_well_formed_chunk_keeps_the_file_native(extra: Chunk) -> None:
    rng = random.Random(5)
    chunks = minimal(rng)
    assert_equal(join([chunks[0], extra, *chunks[1:]]), "png", rng)


TOO_LONG = zlib.compress(bytes((1 << 20) + 1))
REFUSED: dict[str, Callable[[list[Chunk]], bytes]] = {
    "no IEND": lambda c: join(c[:-1]),
    "IEND not empty": lambda c: join([*c[:-1], (b"IEND", b"x")]),
    "no IDAT": lambda c: join([c[0], c[-1]]),
    "IDAT twice apart": lambda c: join([*c[:-1], (b"tIME", bytes(7)), (b"IDAT", b""), c[-1]]),
    "IHDR twice": lambda c: join([c[0], *c]),
    "IHDR not first": lambda c: join([(b"gAMA", bytes(4)), *c]),
    "IHDR longer": lambda c: join([(b"IHDR", c[0][1] + b"\0"), *c[1:]]),
    "no size": lambda c: join([header(0, 5, RGB, 8), *c[1:]]),
    "too wide": lambda c: join([header(65501, 5, RGB, 8), *c[1:]]),
    "too many pixels for its bytes": lambda c: join([header(60000, 1000, GREY, 1), *c[1:]]),
    "depth unknown": lambda c: join([header(7, 5, RGB, 4), *c[1:]]),
    "colour unknown": lambda c: join(
        [(b"IHDR", header(7, 5, RGB, 8)[1][:9] + b"\5\0\0\0"), *c[1:]]
    ),
    "interlace unknown": lambda c: join([header(7, 5, RGB, 8, 2), *c[1:]]),
    "filter unknown": lambda c: join([(b"IHDR", c[0][1][:11] + b"\1\0"), *c[1:]]),
    "critical unknown": lambda c: join([c[0], (b"ABCD", b""), *c[1:]]),
    "type not letters": lambda c: join([c[0], (b"ab_d", b""), *c[1:]]),
    "palette missing": lambda c: join([header(7, 5, PALETTE, 8), *c[1:]]),
    "palette empty": lambda c: join([c[0], (b"PLTE", b""), *c[1:]]),
    "palette cut": lambda c: join([c[0], (b"PLTE", b"abcd"), *c[1:]]),
    "palette twice": lambda c: join([c[0], (b"PLTE", b"abc"), (b"PLTE", b"abc"), *c[1:]]),
    "animation": lambda c: join([c[0], (b"acTL", b"\0\0\0\1\0\0\0\0"), *c[1:]]),
    "animation behind": lambda c: join([*c[:-1], (b"fcTL", bytes(26)), c[-1]]),
    "gamma cut": lambda c: join([c[0], (b"gAMA", b"\0\0"), *c[1:]]),
    "gamma cut behind": lambda c: join([*c[:-1], (b"gAMA", b"\0\0"), c[-1]]),
    "chromaticity cut": lambda c: join([c[0], (b"cHRM", bytes(31)), *c[1:]]),
    "density cut": lambda c: join([c[0], (b"pHYs", bytes(8)), *c[1:]]),
    "rendering intent missing": lambda c: join([c[0], (b"sRGB", b""), *c[1:]]),
    "transparency cut": lambda c: join([c[0], (b"tRNS", bytes(4)), *c[1:]]),
    "transparency behind": lambda c: join([*c[:-1], (b"tRNS", bytes(6)), c[-1]]),
    "profile without a name": lambda c: join([c[0], (b"iCCP", b"x"), *c[1:]]),
    "profile method unknown": lambda c: join([c[0], (b"iCCP", b"x\0\1"), *c[1:]]),
    "profile too long": lambda c: join([c[0], (b"iCCP", b"x\0\0" + TOO_LONG), *c[1:]]),
    "text too long": lambda c: join([c[0], (b"zTXt", b"x\0\0" + TOO_LONG), *c[1:]]),
    "text too long behind": lambda c: join([*c[:-1], (b"iTXt", b"x\0\1\0\0\0" + TOO_LONG), c[-1]]),
    "text method unknown": lambda c: join([c[0], (b"zTXt", b"x\0\1"), *c[1:]]),
    "keyword interlace": lambda c: join([c[0], (b"tEXt", b"interlace\0yes"), *c[1:]]),
    "keyword bbox": lambda c: join([c[0], (b"zTXt", b"bbox\0\0" + zlib.compress(b"x")), *c[1:]]),
    "keyword transparency": lambda c: join([c[0], (b"iTXt", b"transparency\0\0\0\0\0x"), *c[1:]]),
    "pixels missing": lambda c: join([c[0], (b"IDAT", zlib.compress(bytes(109))), c[-1]]),
    "pixels all missing": lambda c: join([c[0], (b"IDAT", b""), c[-1]]),
    "filter of a row unknown": lambda c: join(
        [c[0], (b"IDAT", zlib.compress(bytes(88) + b"\5" + bytes(21))), c[-1]]
    ),
    "pixels too many": lambda c: join([c[0], (b"IDAT", zlib.compress(bytes(111))), c[-1]]),
    "checksum missing": lambda c: join([c[0], (b"IDAT", zlib.compress(bytes(110))[:-4]), c[-1]]),
    "bytes behind the pixels": lambda c: join([*c[:-1], (b"IDAT", b"x"), c[-1]]),
    "checksum of the pixels": lambda c: join(
        [c[0], (b"IDAT", zlib.compress(bytes(110))[:-1] + b"!"), c[-1]]
    ),
    "checksum of the pixels apart": lambda c: join(
        [c[0], *((b"IDAT", bytes([b])) for b in zlib.compress(bytes(110))[:-1] + b"!"), c[-1]]
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unclean_file_is_refused(name: str) -> None:
    assert_refused(REFUSED[name](minimal(random.Random(6))))


def test_the_text_of_all_chunks_together_is_bounded() -> None:
    chunks = minimal(random.Random(7))
    text = (b"tEXt", b"x\0" + bytes((1 << 25) - 2))
    data = join([chunks[0], text, (b"tEXt", b"y\0" + bytes(1 << 20)), *chunks[1:]])
    np.testing.assert_array_equal(native(data), pillow(data, "png"))
    with pytest.raises(_core.LimitError):
        native(join([chunks[0], text, text, (b"tEXt", b"y\0z"), *chunks[1:]]))


@pytest.mark.fault("R1")
def test_every_cut_is_refused() -> None:
    rng = random.Random(8)
    data = make(rng, RGBA, 8, 0, 5, 4, bare=True)
    data = data[: data.index(b"IEND") + 8]
    for n in range(len(data)):
        assert not vouches(data[:n], "png", rng)


@pytest.mark.fault("R2")
def test_every_flipped_bit_is_refused() -> None:
    rng = random.Random(9)
    data = join(minimal(rng))
    for flipped in flipped_bits(data):
        assert not vouches(flipped, "png", rng)


@pytest.mark.parametrize("level", [1, 9])
def test_a_stream_cut_behind_its_last_pixels_is_refused(level: int) -> None:
    """Few bytes give many rows here. Pillow refuses such a file if the input runs out while rows
    are still to come, though inflate() has them."""
    rng = random.Random(10)
    for w in (1, 2, 40):
        for h in range(1, 300, 13):
            stream = zlib.compress(bytes((1 + w) * h), level)
            for cut in range(1, len(stream)):
                part = (b"IDAT", stream[:-cut])
                assert not vouches(join([header(w, h, GREY, 8), part, (b"IEND", b"")]), "png", rng)


def mutate_chunks(rng: random.Random, data: bytes) -> bytes:
    """Chunks moved, doubled, dropped, renamed or with other data; lengths and CRCs are right."""
    chunks = split(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        i, j = rng.randrange(len(chunks)), rng.randrange(len(chunks))
        kind = rng.randrange(6)
        if kind == 0:
            chunks.insert(j, chunks.pop(i))
        elif kind == 1:
            chunks.insert(j, chunks[i])
        elif kind == 2 and len(chunks) > 1:
            del chunks[i]
        elif kind == 3:
            names = [b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"iCCP", b"zTXt"]
            names += [b"iTXt", b"tEXt", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"DDAT"]
            chunks[i] = (rng.choice(names), chunks[i][1])
        elif kind == 4:
            chunks[i] = (chunks[i][0], scribble(rng, chunks[i][1]))
        else:
            chunks[i] = (scribble(rng, chunks[i][0])[:4].ljust(4, b"a"), chunks[i][1])
    return join(chunks)


def mutate_header(rng: random.Random, data: bytes) -> bytes:
    chunks = split(data)
    fields = bytearray(chunks[0][1])
    fields[rng.choice([3, 7, 8, 9, 10, 11, 12])] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 40])
    return join([(b"IHDR", bytes(fields)), *chunks[1:]])


def with_stream(rng: random.Random, data: bytes, stream: bytes) -> bytes:
    chunks = split(data)
    at = [i for i, chunk in enumerate(chunks) if chunk[0] == b"IDAT"]
    return join([*chunks[: at[0]], *idats(rng, stream), *chunks[at[-1] + 1 :]])


def mutate_stream(rng: random.Random, data: bytes) -> bytes:
    """The zlib stream damaged, cut or with more behind it, in chunks that are right."""
    stream = b"".join(body for kind, body in split(data) if kind == b"IDAT")
    kind = rng.randrange(4)
    if kind == 0:
        stream = scribble(rng, stream)
    elif kind == 1:
        stream = stream[: -rng.randint(1, min(8, len(stream)))]
    elif kind == 2:
        stream += rng.choice([rng.randbytes(rng.randint(1, 20)), stream, bytes(4)])
    else:
        cut = len(stream) - rng.randrange(1, min(12, len(stream)))
        stream = stream[:cut] + scribble(rng, stream[cut:])
    return with_stream(rng, data, stream)


def mutate_pixels(rng: random.Random, data: bytes) -> bytes:
    """The pixels too many or too few, or with a filter that does not exist."""
    raw = zlib.decompress(b"".join(body for kind, body in split(data) if kind == b"IDAT"))
    kind = rng.randrange(5)
    if kind == 0:
        raw = raw[: -rng.randint(1, min(40, len(raw)))]
    elif kind == 1:
        raw += rng.randbytes(rng.choice([1, 2, 30, 300, 70000]))
    elif kind == 2:
        raw = scribble(rng, raw)
    elif kind == 3:
        c = zlib.compressobj()
        stream = c.compress(raw) + c.flush(zlib.Z_FULL_FLUSH)
        blocks = [c.flush(zlib.Z_FULL_FLUSH) + bytes(rng.randrange(2)) for _ in range(9)]
        return with_stream(rng, data, stream + b"".join(blocks) + scribble(rng, c.flush()))
    else:
        c = zlib.compressobj()
        stream = c.compress(raw) + c.flush(zlib.Z_SYNC_FLUSH)
        return with_stream(rng, data, stream + rng.randbytes(rng.randint(1, 12)))
    return with_stream(rng, data, deflate(rng, raw))


MUTATIONS = [mutate_bytes, mutate_chunks, mutate_header, mutate_stream, mutate_pixels]


@pytest.mark.fault("R13")
@each_mutation(MUTATIONS)
def test_what_is_vouched_for_has_the_pixels_of_pillow(mutate: Mutation, seed: int) -> None:
    rng = random.Random(seed)
    vouches(mutate(rng, make_any(rng)), "png", rng)


def test_the_zoo_has_the_pixels_of_pillow(zoo: Path) -> None:
    assert_most_vouched(zoo, "png", "*.png")
