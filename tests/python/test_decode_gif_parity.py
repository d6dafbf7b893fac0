# SPDX-License-Identifier: Apache-2.0
"""Native GIF decoding against Pillow: where the decoder vouches for a file, Pillow opens it and has
the same pixels in its first frame. The files are made here, down to their codes."""

from __future__ import annotations

import io
import random
import struct
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
    mutate_head,
    native,
    picture,
    vouches,
)
from penstock import _core


def codes_of(
    rng: random.Random, samples: bytes, bits: int, end: bool = True
) -> list[tuple[int, int]]:
    """LZW: (code, its bits). Clear codes come now and then, or the table stays full."""
    clear = 1 << bits
    often = rng.choice([0, 0, 0.001, 0.05])
    stays_full = rng.random() < 0.5
    codes = [(clear, bits + 1)] if rng.random() < 0.8 else []
    table = {bytes([i]): i for i in range(clear)}
    width, following, string = bits + 1, clear + 2, b""
    made = 0  # codes since the table was cleared

    def emit(code: int) -> None:
        nonlocal width, following, made
        codes.append((code, width))
        # The decoder is one entry behind the encoder.
        made += 1
        if made > 1 and following < 4096:
            following += 1
            if following == 1 << width and width < 12:
                width += 1

    for i, value in enumerate(samples):
        longer = string + bytes([value])
        if longer in table:
            string = longer
            continue
        emit(table[string])
        if len(table) + 2 < 4096:
            table[longer] = len(table) + 2
        full = len(table) + 2 >= 4096 and not stays_full
        string = bytes([value])
        if full or rng.random() < often:
            emit(table[string])
            codes.append((clear, width))
            table = {bytes([i]): i for i in range(clear)}
            width, following, string, made = bits + 1, clear + 2, b"", 0
    if string:
        emit(table[string])
    return [*codes, (clear + 1, width)] if end else codes


def pack(codes: list[tuple[int, int]]) -> bytes:
    value = at = 0
    for code, width in codes:
        value |= code << at
        at += width
    return value.to_bytes((at + 7) // 8, "little")


def blocks(rng: random.Random, data: bytes) -> bytes:
    out, at = b"", 0
    most = rng.choice([255, 255, 1, 7])
    while at < len(data):
        n = rng.randint(1, most) if rng.random() < 0.3 else most
        part = data[at : at + n]
        out += bytes([len(part)]) + part
        at += n
    return out + b"\0"


def random_palette(rng: random.Random, bits: int) -> bytes:
    if rng.random() < 0.15:
        return b"".join(bytes([i] * 3) for i in range(1 << bits))
    return rng.randbytes(3 << bits)


def extensions(rng: random.Random) -> bytes:
    some = [
        b"\xfe" + blocks(rng, b"a comment"),
        b"\xfe\0",
        b"\xff\x0bNETSCAPE2.0\3\1\0\0\0",
        b"\xff\x0bXMP DataXMP" + blocks(rng, rng.randbytes(300)),
        b"\x01\x0c" + bytes(12) + blocks(rng, b"text"),
    ]
    out = b"".join(b"!" + e for e in some if rng.random() < 0.2)
    if rng.random() < 0.5:
        flags = rng.choice([0, 1, 1, 4, 8, 12, 9, 13])
        out += b"!\xf9\4" + struct.pack("<BHB", flags, 5, rng.randrange(256)) + b"\0"
    return out


def samples_of(rng: random.Random, n: int, most: int) -> bytes:
    kind = rng.randrange(3)
    if kind == 0:
        return bytes(rng.randrange(most) for _ in range(n))
    if kind == 1:
        return bytes([rng.randrange(most)]) * n
    run = bytes(rng.randrange(most) for _ in range(rng.randint(1, 9)))
    return (run * n)[:n]


def image(
    rng: random.Random, w: int, h: int, bits: int, x: int = 0, y: int = 0, local: int = 0
) -> bytes:
    interlaced = rng.random() < 0.4
    flags = interlaced << 6 | (0x80 | (local - 1) if local else 0)
    codes = codes_of(rng, samples_of(rng, w * h, 1 << bits), bits, rng.random() < 0.9)
    return (
        b","
        + struct.pack("<4HB", x, y, w, h, flags)
        + (random_palette(rng, local) if local else b"")
        + bytes([bits])
        + blocks(rng, pack(codes))
    )


def make(rng: random.Random, w: int | None = None, h: int | None = None) -> bytes:
    w, h = w or rng.randint(1, 40), h or rng.randint(1, 40)
    palette = rng.choice([0, 1, 2, 4, 8, 8])
    flags = 0x80 | (palette - 1) if palette else 0
    out = b"GIF89a" + struct.pack("<HHBBB", w, h, flags, rng.randrange(256), 0)
    if palette:
        out += random_palette(rng, palette)
    out += extensions(rng)
    x = y = 0
    if rng.random() < 0.4:
        x, y = rng.randrange(w), rng.randrange(h)
        w, h = rng.randint(1, w - x), rng.randint(1, h - y)
    bits = rng.choice([2, 3, 5, 8])
    out += image(rng, w, h, bits, x, y, rng.choice([0, 0, 2, 8]))
    if rng.random() < 0.3:
        out += extensions(rng) + image(rng, w, h, bits)
    return out + rng.choice([b";", b"", b"\0;"])


def test_every_kind_of_image_has_the_pixels_of_pillow() -> None:
    rng = random.Random(1)
    taken = 0
    for _ in range(300):
        data = make(rng)
        try:
            _core.probe(data)
        except _core.DecodeError:
            continue  # greys in a frame of a file with colours
        assert_equal(data, "gif", rng)
        taken += 1
    assert taken > 250
    for size in ((1, 1), (1, 9), (7, 1), (300, 5), (256, 200), (90, 90)):
        for _ in range(4):
            vouches(make(rng, *size), "gif", rng)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_pillow_writes_has_its_pixels(mode: str) -> None:
    rng = random.Random(mode)
    for _ in range(30):
        first = picture(rng, mode if mode not in ("1", "P") else "L", 50, 40).convert(mode)
        out = io.BytesIO()
        others = [first.rotate(90 * i) for i in range(rng.randrange(3))]
        options = {"save_all": True, "append_images": others} if others else {}
        first.save(out, "GIF", interlace=rng.randrange(2), **options)
        assert_equal(out.getvalue(), "gif", rng)


def test_the_outside_of_a_frame_is_the_transparent_colour_or_the_first() -> None:
    rng = random.Random(2)
    palette = bytes(range(12))
    head = b"GIF89a" + struct.pack("<HHBBB", 9, 8, 0x81, 3, 0) + palette
    frame = image(rng, 2, 2, 2, 4, 4)
    for control, index in ((b"", 0), (b"!\xf9\4\1\0\0\2\0", 2), (b"!\xf9\4\0\0\0\2\0", 0)):
        data = head + control + frame + b";"
        assert native(data)[0, 0].tolist() == list(palette[3 * index : 3 * index + 3])
        assert_equal(data, "gif", rng)


def test_the_table_may_stay_full() -> None:
    rng = random.Random(3)
    samples = np.random.default_rng(3).integers(0, 256, 200 * 200, np.uint8).tobytes()
    for _ in range(6):
        body = blocks(rng, pack(codes_of(rng, samples, 8)))
        data = b"GIF89a" + struct.pack("<HHBBB", 200, 200, 0, 0, 0)
        data += b"," + struct.pack("<4HB", 0, 0, 200, 200, 0) + b"\x08" + body
        expected = np.frombuffer(samples, np.uint8).reshape(200, 200)
        np.testing.assert_array_equal(native(data)[..., 0], expected)
        assert_equal(data, "gif", rng)


def one(
    before: bytes = b"",
    codes: list[tuple[int, int]] | None = None,
    bits: int = 2,
    place: tuple[int, ...] = (0, 0, 2, 2, 0),
    screen: tuple[int, int] = (2, 2),
    tail: bytes = b"",
) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0)
    codes = codes if codes is not None else [(4, 3), (0, 3), (1, 3), (2, 3), (3, 4), (5, 4)]
    body = pack(codes)
    return (
        head
        + before
        + b","
        + struct.pack("<4HB", *place)
        + bytes([bits, len(body)])
        + body
        + b"\0"
        + tail
    )


CONTROL = b"!\xf9\4\0\0\0\0\0"
REFUSED: dict[str, bytes] = {
    "signature alone": b"GIF89a",
    "no frame": b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0, 0, 0) + b";",
    "no width": one(screen=(0, 2)),
    "no height": one(screen=(2, 0)),
    "frame without width": one(place=(0, 0, 0, 2, 0)),
    "frame to the right": one(place=(1, 0, 2, 2, 0)),
    "frame too low": one(place=(0, 1, 2, 2, 0)),
    "screen over the limit": one(screen=(65535, 2)),
    "too many pixels": one(screen=(9999, 9999)),
    "bytes between blocks": one(b"\0"),
    "control of another size": one(b"!\xf9\5\0\0\0\0\0\0"),
    "two controls": one(CONTROL + CONTROL),
    "empty control": one(b"!\xf9\0"),
    "empty application": one(b"!\xff\0"),
    "loop without a loop": one(b"!\xff\x0bNETSCAPE2.0\0"),
    "extension without end": one(b"!\xfe\x05abc")[:25],
    "no bits": one(bits=0),
    "1 bit": one(bits=1),
    "9 bits": one(bits=9),
    "no codes": one(codes=[]),
    "end comes early": one(codes=[(4, 3), (0, 3), (1, 3), (5, 3)]),
    "codes end early": one(codes=[(4, 3), (0, 3)]),
    "begins with a string": one(codes=[(4, 3), (6, 3), (1, 3), (2, 3), (3, 3)]),
    "a code to come": one(codes=[(4, 3), (0, 3), (7, 3), (2, 3), (3, 3)]),
    "pixels too many": one(codes=[(4, 3), (0, 3), (6, 3), (6, 3), (6, 3)]),
    "last block cut": one()[:-2],
    "a grey frame": b"GIF89a"
    + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0)
    + b"colors"
    + one(place=(0, 0, 2, 2, 0x80)).replace(b"\x02\x03", b"\0\0\0\1\1\1\x02\x03")[13:],
    "palette cut": b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x87, 0, 0) + bytes(700),
}


def test_the_smallest_file_is_native() -> None:
    assert_equal(one(), "gif", random.Random(4))
    assert_equal(one(tail=b"anything"), "gif", random.Random(4))


@pytest.mark.parametrize("name", REFUSED)
def test_an_unclean_file_is_refused(name: str) -> None:
    assert_refused(REFUSED[name])


def test_no_cut_and_no_flipped_bit_is_taken_wrongly() -> None:
    rng = random.Random(5)
    for _ in range(3):
        data = make(rng, 6, 9)
        for n in range(len(data)):
            vouches(data[:n], "gif", rng)
        for flipped in flipped_bits(data, 150):
            vouches(flipped, "gif", rng)


def mutate_codes(rng: random.Random, data: bytes) -> bytes:
    """Codes at random, most of them possible."""
    bits = rng.choice([2, 3, 8])
    clear, codes, width, following = 1 << bits, [], bits + 1, (1 << bits) + 2
    for i in range(rng.randint(1, 60)):
        top = following + (rng.random() < 0.1)
        code = rng.randrange(clear) if i == 0 else rng.randrange(top + 1)
        codes.append((min(code, (1 << width) - 1), width))
        if code == clear:
            width, following = bits + 1, clear + 2
        elif len(codes) > 1 and codes[-2][0] != clear:
            following += 1
            if following == 1 << width and width < 12:
                width += 1
    w, h = rng.randint(1, 9), rng.randint(1, 9)
    place = (0, 0, w, h, rng.choice([0, 0x40]))
    return one(codes=codes, bits=bits, place=place, screen=(w, h))


MUTATIONS = [mutate_bytes, mutate_head, mutate_codes]


@each_mutation(MUTATIONS, examples=200)
def test_what_is_vouched_for_has_the_pixels_of_pillow(mutate: Mutation, seed: int) -> None:
    rng = random.Random(seed)
    vouches(mutate(rng, make(rng)), "gif", rng)


def test_the_zoo_has_the_pixels_of_pillow(zoo: Path) -> None:
    assert_most_vouched(zoo, "gif", "*.gif")
