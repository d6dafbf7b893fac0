# SPDX-License-Identifier: Apache-2.0
"""What the parity tests of the decoders share: the native pixels, Pillow's, damage, and the tests
that every format has."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import _core
from PIL import Image

Region = tuple[int, int, int, int]
Mutation = Callable[[random.Random, bytes], bytes]


def pillow(data: bytes, format: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == format.upper()
            return np.asarray(image.convert("RGB"))


def native(data: bytes, region: Region | None = None) -> np.ndarray:
    return np.asarray(memoryview(_core.decode(data, region)))


def some_region(rng: random.Random, w: int, h: int) -> Region:
    x, y = rng.randrange(w), rng.randrange(h)
    return x, y, rng.randint(1, w - x), rng.randint(1, h - y)


def crop(pixels: np.ndarray, region: Region) -> np.ndarray:
    x, y, w, h = region
    return pixels[y : y + h, x : x + w]


def assert_equal(data: bytes, format: str, rng: random.Random) -> None:
    """The native decoder takes the file, whole and in part, and Pillow has the same pixels."""
    expected = pillow(data, format)
    h, w = expected.shape[:2]
    assert _core.probe(data) == (format, w, h)
    np.testing.assert_array_equal(native(data), expected)
    for region in {some_region(rng, w, h), (0, 0, w, 1), (w - 1, h - 1, 1, 1)}:
        np.testing.assert_array_equal(native(data, region), crop(expected, region))


def vouches(data: bytes, format: str, rng: random.Random) -> bool:
    """False for a doubt. Otherwise the pixels must be Pillow's."""
    try:
        found, w, h = _core.probe(data)
        region = some_region(rng, w, h)
        part, whole = native(data, region), native(data)
    except (_core.DecodeError, _core.LimitError):
        return False
    assert found == format
    expected = pillow(data, format)
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(part, crop(expected, region))
    return True


def assert_refused(data: bytes) -> None:
    with pytest.raises((_core.DecodeError, _core.LimitError)) as caught:
        native(data)
    assert str(caught.value)


def assert_most_vouched(zoo: Path, format: str, pattern: str) -> None:
    """Broken files and animations may be doubts; most of the others must not be."""
    paths = sorted(zoo.glob(pattern))
    assert paths
    rng = random.Random(11)
    taken = [path.name for path in paths if vouches(path.read_bytes(), format, rng)]
    assert len(taken) > len(paths) // 2, f"only {taken} of {len(paths)}"


def flipped_bits(data: bytes, most: int | None = None) -> Iterator[bytes]:
    """With each bit of the first bytes flipped, one at a time."""
    for bit in range(8 * len(data[:most])):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def each_mutation(
    mutations: Sequence[Mutation], examples: int = 150
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test of (mutate, seed) with each mutation, many times."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        fuzzed = given(seed=st.integers(0, 2**63))(test)
        options = settings(
            max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
        )
        names = [mutate.__name__ for mutate in mutations]
        return pytest.mark.parametrize("mutate", mutations, ids=names)(options(fuzzed))

    return decorate


def scribble(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, zeroed, put in or taken out."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice([0, 1, 255, rng.randrange(256)])
        elif kind == 2:
            n = rng.randint(1, 6)
            out[at : at + n] = bytes(len(out[at : at + n]))
        elif rng.random() < 0.5:
            out[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            del out[at : at + rng.randint(1, 4)]
    return bytes(out)


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.2:
        return data[: rng.randrange(len(data))]
    return scribble(rng, data)


def mutate_head(rng: random.Random, data: bytes) -> bytes:
    """One of the first bytes, where the structure is."""
    out = bytearray(data)
    at = rng.randrange(min(64, len(out)))
    out[at] = rng.choice([0, 1, 2, 255, out[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    return bytes(out)


def picture(rng: random.Random, mode: str, w: int, h: int) -> Image.Image:
    """Noise, flat or smooth; every mode from the same kinds of samples."""
    kind = rng.randrange(4)
    bands = Image.getmodebands(mode)
    numbers = np.random.default_rng(rng.getrandbits(32))
    if kind == 0:
        samples = numbers.integers(0, 256, (h, w, bands), np.uint8)
    elif kind == 1:
        samples = np.full((h, w, bands), numbers.integers(0, 256, bands), np.uint8)
    elif kind == 2:
        few = numbers.integers(0, 256, (rng.randint(1, 6), bands), np.uint8)
        samples = few[numbers.integers(0, len(few), (h, w))]
    else:
        coarse = numbers.integers(0, 256, (h // 8 + 1, w // 8 + 1, bands), np.uint8)
        planes = [
            np.asarray(Image.fromarray(coarse[..., i]).resize((w, h), Image.Resampling.BICUBIC))
            for i in range(bands)
        ]
        samples = np.stack(planes, axis=-1)
    if bands == 1:
        image = Image.fromarray(np.ascontiguousarray(samples[..., 0]))
        return image if mode == "L" else image.convert(mode)
    return Image.fromarray(np.ascontiguousarray(samples), mode)
