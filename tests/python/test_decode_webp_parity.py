# SPDX-License-Identifier: Apache-2.0
"""Native WebP decoding against Pillow: where the decoder vouches for a file, Pillow opens it and
has the same pixels, though its own libwebp is another release."""

from __future__ import annotations

import io
import random
import struct
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
    mutate_bytes,
    mutate_head,
    native,
    picture,
    scribble,
    vouches,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

Chunk = tuple[bytes, bytes]


def pack(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def join(chunks: list[Chunk], tail: bytes = b"") -> bytes:
    body = b"WEBP" + b"".join(pack(*chunk) for chunk in chunks)
    return pack(b"RIFF", body)[: 8 + len(body)] + tail


def split(data: bytes, at: int = 12) -> list[Chunk]:
    chunks = []
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return chunks


def extended(flags: int, w: int, h: int) -> Chunk:
    size = (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + size


def encode(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", **options)
    return out.getvalue()


def some_options(rng: random.Random) -> dict[str, object]:
    options: dict[str, object] = {
        "lossless": rng.random() < 0.5,
        "quality": rng.choice([0, 1, 20, 50, 80, 100]),
        "alpha_quality": rng.choice([0, 30, 90, 100]),
        "method": rng.choice([0, 1, 4, 6]),
        "exact": rng.random() < 0.5,
    }
    for key in ("exif", "icc_profile", "xmp"):
        if rng.random() < 0.2:
            options[key] = rng.randbytes(rng.randint(1, 50))
    return options


def make(rng: random.Random) -> bytes:
    w, h = rng.randint(1, 70), rng.randint(1, 70)
    mode = rng.choice(["RGB", "RGB", "RGBA", "L"])
    options = some_options(rng)
    image = picture(rng, mode, w, h)
    if rng.random() < 0.25:
        others = [picture(rng, mode, w, h) for _ in range(rng.randint(1, 3))]
        options.pop("exact")
        options |= {"save_all": True, "append_images": others, "duration": 40}
        options["allow_mixed"] = rng.random() < 0.3
    return encode(image, **options)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_kind_of_image_has_the_pixels_of_pillow(mode: str, lossless: bool) -> None:
    rng = random.Random(f"{mode} {lossless}")
    sizes = [(w, h) for w in range(1, 6) for h in range(1, 6)]
    sizes += [(rng.randint(1, 150), rng.randint(1, 150)) for _ in range(25)]
    for w, h in sizes:
        options = some_options(rng) | {"lossless": lossless}
        assert_equal(encode(picture(rng, mode, w, h), **options), "webp", rng)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**63))
def test_a_clean_file_is_native(seed: int) -> None:
    rng = random.Random(seed)
    assert_equal(make(rng), "webp", rng)


def test_what_is_behind_the_riff_chunk_is_not_looked_at() -> None:
    rng = random.Random(1)
    data = encode(picture(rng, "RGB", 20, 20))
    for tail in (b"x", bytes(9), data):
        assert_equal(data + tail, "webp", rng)


@pytest.mark.parametrize("where", [(0, 0), (2, 0), (0, 4), (10, 6), (30, 40)])
def test_a_first_frame_smaller_than_its_canvas_stands_on_black(where: tuple[int, int]) -> None:
    rng = random.Random(2)
    for options in ({"quality": 70}, {"lossless": True}):
        frames = []
        for x, y in (where, (0, 0)):
            (image,) = split(encode(picture(rng, "RGB", 30, 25), **options))
            place = [v.to_bytes(3, "little") for v in (x // 2, y // 2, 29, 24, 100)]
            frames.append((b"ANMF", b"".join(place) + b"\0" + pack(*image)))
        data = join([extended(2, 64, 65), (b"ANIM", bytes(6)), *frames])
        assert_equal(data, "webp", rng)
        x, y = where
        pixels = native(data)
        pixels = np.delete(pixels, slice(y, y + 25), axis=0)
        assert not pixels.any()
        assert native(data, (x, y, 30, 25)).any()


def still(rng: random.Random, mode: str, **options: object) -> list[Chunk]:
    """The chunks of an image of 30 x 25 pixels, without the header that alpha brings."""
    chunks = split(encode(picture(rng, mode, 30, 25), **options))
    return [chunk for chunk in chunks if chunk[0] != b"VP8X"]


def lossy(rng: random.Random) -> Chunk:
    return still(rng, "RGB")[0]


def lossless(rng: random.Random) -> Chunk:
    return still(rng, "RGB", lossless=True)[0]


def smooth_alpha(rng: random.Random) -> tuple[Chunk, Chunk]:
    """An image with an alpha plane that is worth compressing."""
    image = picture(rng, "RGB", 30, 25)
    ramp = np.add.outer(np.arange(25), np.arange(30)).astype(np.uint8)
    image.putalpha(Image.fromarray(ramp * 3))
    _, alpha, pixels = split(encode(image))
    assert alpha[0] == b"ALPH"
    return alpha, pixels


HEAD = extended(0, 30, 25)
META = [(b"ICCP", b"profile"), (b"EXIF", b"MM"), (b"XMP ", b""), (b"abcd", b"anything")]
ACCEPTED: dict[str, Callable[[random.Random], bytes]] = {
    "metadata behind": lambda r: join([HEAD, lossy(r), *META]),
    "metadata before": lambda r: join([HEAD, *META, lossy(r)]),
    "metadata of lossless": lambda r: join([HEAD, *META, lossless(r)]),
    "alpha without its flag": lambda r: join([HEAD, *smooth_alpha(r)]),
    "raw alpha": lambda r: join([HEAD, (b"ALPH", bytes(1 + 30 * 25)), lossy(r)]),
    "raw alpha, filtered": lambda r: join([HEAD, (b"ALPH", b"\4" + bytes(751)), lossy(r)]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_well_formed_file_is_native(name: str) -> None:
    rng = random.Random(3)
    assert_equal(ACCEPTED[name](rng), "webp", rng)


def cut_alpha(rng: random.Random, n: int) -> bytes:
    alpha, pixels = smooth_alpha(rng)
    return join([HEAD, (b"ALPH", alpha[1][:-n]), pixels])


ANIM: Chunk = (b"ANIM", bytes(6))


def frame(rng: random.Random, w: int = 30, x: int = 0, extra: bytes = b"") -> Chunk:
    place = [v.to_bytes(3, "little") for v in (x // 2, 0, w - 1, 24, 100)]
    return b"ANMF", b"".join(place) + b"\0" + pack(*lossy(rng)) + extra


MOVING = extended(2, 30, 25)
REFUSED: dict[str, Callable[[random.Random], bytes]] = {
    "no chunk": lambda r: join([]),
    "an unknown first chunk": lambda r: join([(b"VP8Y", lossy(r)[1])]),
    "RIFF size too large": lambda r: join([lossy(r)])[:-2],
    "RIFF size odd": lambda r: join([HEAD, lossy(r)]).replace(b"RIFF", b"RIFF", 1)[:-1],
    "chunks behind a simple image": lambda r: join([lossy(r), *META]),
    "canvas of another size": lambda r: join([extended(0, 31, 25), lossy(r)]),
    "no image": lambda r: join([HEAD, *META]),
    "two images": lambda r: join([HEAD, lossy(r), lossy(r)]),
    "two headers": lambda r: join([HEAD, HEAD, lossy(r)]),
    "header with unknown flags": lambda r: join([extended(1, 30, 25), lossy(r)]),
    "header too short": lambda r: join([(b"VP8X", HEAD[1][:9]), lossy(r)]),
    "alpha alone": lambda r: join([HEAD, (b"ALPH", bytes(800))]),
    "alpha of a lossless image": lambda r: join([HEAD, (b"ALPH", bytes(800)), lossless(r)]),
    "alpha behind": lambda r: join([HEAD, lossy(r), (b"ALPH", bytes(800))]),
    "alpha of an unknown kind": lambda r: join([HEAD, (b"ALPH", b"\2" + bytes(800)), lossy(r)]),
    "alpha reserved bits": lambda r: join([HEAD, (b"ALPH", b"\x80" + bytes(800)), lossy(r)]),
    "alpha empty": lambda r: join([HEAD, (b"ALPH", b""), lossy(r)]),
    "raw alpha too short": lambda r: join([HEAD, (b"ALPH", bytes(750)), lossy(r)]),
    "alpha cut": lambda r: cut_alpha(r, 3),
    "alpha cut early": lambda r: cut_alpha(r, 20),
    "lossy image cut": lambda r: join([(b"VP8 ", lossy(r)[1][:-60])]),
    "lossless image cut": lambda r: join([(b"VP8L", lossless(r)[1][:-60])]),
    "not a key frame": lambda r: join([(b"VP8 ", b"\1" + lossy(r)[1][1:])]),
    "lossless version": lambda r: join([(b"VP8L", b"\x2f\0\0\0\x20" + lossless(r)[1][5:])]),
    "animation without frames": lambda r: join([MOVING, ANIM]),
    "animation without its header": lambda r: join([MOVING, frame(r)]),
    "animation not announced": lambda r: join([HEAD, ANIM, frame(r)]),
    "a still image in an animation": lambda r: join([MOVING, ANIM, frame(r), lossy(r)]),
    "frame of another size": lambda r: join([extended(2, 40, 25), ANIM, frame(r, w=31)]),
    "frame outside the canvas": lambda r: join([MOVING, ANIM, frame(r, x=2)]),
    "frame with more in it": lambda r: join([MOVING, ANIM, frame(r, extra=pack(*META[0]))]),
    "second frame not an image": lambda r: join(
        [MOVING, ANIM, frame(r), (b"ANMF", frame(r)[1][:24] + bytes(40))]
    ),
    "too many chunks": lambda r: join([HEAD, *[(b"abcd", b"")] * 5000, lossy(r)]),
    "Photo CD": lambda r: join([HEAD, (b"abcd", bytes(2010) + b"PCD_" * 8), lossy(r)]),
    "too many pixels": lambda r: join([extended(2, 60000, 60000), ANIM, frame(r)]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unclean_file_is_refused(name: str) -> None:
    assert_refused(REFUSED[name](random.Random(4)))


@pytest.mark.parametrize("size", [32831, 16448])
def test_a_file_that_the_spider_plugin_may_take_is_a_doubt(size: int) -> None:
    """Its chunk's size, as a big-endian float, is a kind of Spider image."""
    body = lossy(random.Random(5))[1]
    chunks = [(b"VP8 ", body.ljust(size, b"\0"))]
    assert not vouches(join(chunks), "webp", random.Random(5))


def test_a_file_that_the_im_plugin_may_take_is_a_doubt() -> None:
    """ "RIFF....WEBPVP8X: x" is no line of it; a chunk's size makes it one."""
    image = still(random.Random(6), "RGB", lossless=True)[0][1]
    text = b":\nName: x\nImage size (x*y): 3*3\n\0"
    data = join([(b"VP8L", image + bytes(-len(image) % 2) + text)])
    at = data.index(text)
    assert vouches(data, "webp", random.Random(6))
    moved = bytearray(data)
    moved[20 : 20 + len(text)] = text
    assert at > 100
    assert not vouches(bytes(moved), "webp", random.Random(6))


@pytest.mark.fault("R1")
def test_no_cut_is_taken_wrongly() -> None:
    rng = random.Random(8)
    for options in ({"quality": 40}, {"lossless": True}, {"alpha_quality": 50}):
        mode = "RGBA" if "alpha_quality" in options else "RGB"
        data = encode(picture(rng, mode, 33, 20), **options)
        assert vouches(data, "webp", rng)
        for n in range(len(data)):
            assert not vouches(data[:n], "webp", rng)
        # The same, with sizes that say so.
        chunks = split(data)
        for n in range(0, len(chunks[-1][1]), 1 + len(data) // 300):
            vouches(join([*chunks[:-1], (chunks[-1][0], chunks[-1][1][:n])]), "webp", rng)


def mutate_chunks(rng: random.Random, data: bytes) -> bytes:
    """Chunks moved, doubled, dropped, renamed or with other data; sizes are right."""
    chunks = split(data)
    for _ in range(rng.choice([1, 1, 2])):
        i, j = rng.randrange(len(chunks)), rng.randrange(len(chunks))
        kind = rng.randrange(6)
        if kind == 0:
            chunks.insert(j, chunks.pop(i))
        elif kind == 1:
            chunks.insert(j, chunks[i])
        elif kind == 2 and len(chunks) > 1:
            del chunks[i]
        elif kind == 3:
            names = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"abcd"]
            chunks[i] = (rng.choice(names), chunks[i][1])
        else:
            chunks[i] = (chunks[i][0], scribble(rng, chunks[i][1]))
    return join(chunks)


def mutate_stream(rng: random.Random, data: bytes) -> bytes:
    """A bitstream damaged behind its header; a lossy one often stays an image."""
    chunks = split(data)
    i = max(range(len(chunks)), key=lambda i: len(chunks[i][1]))
    kind, body = chunks[i]
    keep = rng.randint(0, min(len(body), 60))
    rest = (
        scribble(rng, body[keep:])
        if rng.random() < 0.7
        else body[keep : rng.randint(keep, len(body))]
    )
    chunks[i] = (kind, body[:keep] + rest)
    return join(chunks)


def mutate_alpha(rng: random.Random, data: bytes) -> bytes:
    alpha, pixels = smooth_alpha(rng)
    kind = rng.randrange(3)
    body = alpha[1]
    if kind == 0:
        body = body[: rng.randrange(len(body))]
    elif kind == 1:
        body = scribble(rng, body)
    else:
        body = bytes([rng.randrange(256)]) + body[1:]
    return join([HEAD, (b"ALPH", body), pixels])


MUTATIONS = [mutate_bytes, mutate_head, mutate_chunks, mutate_stream, mutate_alpha]


@pytest.mark.fault("R13")
@each_mutation(MUTATIONS)
def test_what_is_vouched_for_has_the_pixels_of_pillow(mutate: Mutation, seed: int) -> None:
    rng = random.Random(seed)
    vouches(mutate(rng, make(rng)), "webp", rng)


def test_the_zoo_has_the_pixels_of_pillow(zoo: Path) -> None:
    assert_most_vouched(zoo, "webp", "*.webp")
