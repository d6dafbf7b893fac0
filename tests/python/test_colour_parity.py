# SPDX-License-Identifier: Apache-2.0
"""The engine's changes of colours against torchvision on PIL images: every bit of every pixel, and
how far the random stream has moved; all colours there are; each era's Pillow."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import parity_kit
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import _core, augment, capture
from PIL import Image
from torchvision.transforms import InterpolationMode

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from(
    [(1, 1), (2, 9), (9, 2), (3, 3), (300, 2), (2, 300), (64, 64)]
)
chances = st.sampled_from([0.0, 1.0, 0.5, 0.3, 1 / 3, 0.1 + 2**-30]) | st.floats(0, 1)


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Noise, or what has few values, or few that differ from each other."""
    pixels = parity_kit.noise(*size, seed)
    which = seed % 5
    if which == 1:
        pixels = pixels // 64 * 64
    elif which == 2:
        pixels = (pixels % 3 + seed % 250).astype(np.uint8)
    elif which == 3:
        pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
    elif which == 4:
        pixels = np.full_like(pixels, seed % 256)
    return np.ascontiguousarray(pixels)


def check(family: ModuleType, steps: list[Any], size: tuple[int, int], seed: int) -> None:
    pipeline = family.Compose([*steps, family.PILToTensor()])
    assert parity_kit.check(pipeline, picture(size, seed), seed)


def jitters(low: float, high: float) -> st.SearchStrategy[Any]:
    ends = st.floats(low, high) | st.sampled_from([low, high])
    return st.builds(lambda a, b: (min(a, b), max(a, b)), ends, ends)


factors = st.just(0.0) | st.sampled_from([0.4, 1, 2.5]) | jitters(0, 3) | st.just((1.2, 1.2))
hues = st.just(0.0) | st.sampled_from([0.1, 0.5]) | jitters(-0.5, 0.5)


@MANY
@given(families, factors, factors, factors, hues, sizes, seeds)
@example(v1, 0.4, 0.4, 0.4, 0.1, (64, 48), 1)
@example(v2, 0.4, 0.4, 0.4, 0.1, (64, 48), 1)
@example(v1, 0.0, 0.0, 0.0, 0.0, (5, 4), 1)
@example(v2, (3000.0, 4000.0), (0.0, 1e5), (0.0, 1e5), (0.5, 0.5), (20, 20), 1)
def test_color_jitter(
    family: ModuleType, b: Any, c: Any, s: Any, h: Any, size: tuple[int, int], seed: int
) -> None:
    check(family, [family.ColorJitter(b, c, s, h)], size, seed)


def randoms(family: ModuleType) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(family.RandomGrayscale, chances),
        st.builds(family.RandomInvert, chances),
        st.builds(family.RandomPosterize, st.integers(1, 8), chances),
        st.builds(family.RandomSolarize, st.floats(-5, 300) | st.integers(0, 256), chances),
        st.builds(family.RandomAdjustSharpness, st.floats(0, 4) | st.integers(0, 2), chances),
        st.builds(family.RandomAutocontrast, chances),
        st.builds(family.RandomEqualize, chances),
        st.builds(family.Grayscale, st.just(3)),
    )


@MANY
@given(
    families.flatmap(lambda f: st.tuples(st.just(f), st.lists(randoms(f), max_size=24))),
    sizes,
    seeds,
)
def test_steps_that_change_colours_or_not(
    steps: tuple[ModuleType, list[Any]], size: tuple[int, int], seed: int
) -> None:
    check(steps[0], steps[1], size, seed)


distorts = st.builds(
    v2.RandomPhotometricDistort,
    jitters(0, 3),
    jitters(0, 3),
    jitters(0, 3) | st.just([0.5, 1.5]),
    jitters(-0.5, 0.5),
    chances | st.sampled_from([0.9, 1.5, -1.0]),
)


@MANY
@given(st.lists(distorts | st.just(v2.RandomChannelPermutation()), max_size=3), sizes, seeds)
@example([v2.RandomPhotometricDistort()], (64, 48), 1)
@example([v2.RandomPhotometricDistort(p=1.0)], (64, 48), 2)
def test_photometric_distort_and_channels(
    steps: list[Any], size: tuple[int, int], seed: int
) -> None:
    check(v2, steps, size, seed)


@MANY
@given(families, sizes, seeds, st.data())
def test_among_geometry_and_containers(
    family: ModuleType, size: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    jitter = st.builds(family.ColorJitter, factors, factors, factors, hues)
    geometry = st.one_of(
        st.builds(family.Resize, st.tuples(st.integers(1, 30), st.integers(1, 30))),
        st.builds(family.CenterCrop, st.integers(1, 50)),
        st.builds(family.RandomHorizontalFlip, chances),
        st.builds(family.RandomVerticalFlip, chances),
    )
    step = jitter | randoms(family) | geometry
    sometimes = st.builds(
        lambda inside, p: family.RandomApply(inside, p),
        st.lists(step, min_size=1, max_size=3),
        chances,
    )
    check(family, data.draw(st.lists(step | sometimes, max_size=6)), size, seed)


@MANY
@given(families, sizes, seeds, st.data())
def test_on_grey_images(
    family: ModuleType, size: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    jitter = st.just(family.ColorJitter(0.5, 0.5, 0.5, 0.2))
    steps = data.draw(st.lists(randoms(family) | jitter, max_size=6))
    last = data.draw(st.sampled_from([[], [family.Grayscale(3)], [family.Grayscale(1)]]))
    check(family, [family.Grayscale(1), *steps, *last], size, seed)


sides = st.tuples(st.integers(1, 80), st.integers(1, 80)) | st.sampled_from(
    [(224, 224), (331, 331), (331, 20), (1, 400), (662, 3)]
)
modes = st.sampled_from([InterpolationMode.NEAREST, InterpolationMode.BILINEAR])
fills = st.sampled_from([None, 0, 128, [10.0, 20.0, 30.0], [1, 2, 3]])


@MANY
@given(families, st.sampled_from([2, 5, 31]) | st.integers(2, 200), modes, fills, sides, seeds)
def test_trivial_augment_wide(
    family: ModuleType, bins: int, mode: Any, fill: Any, size: tuple[int, int], seed: int
) -> None:
    check(family, [family.TrivialAugmentWide(bins, mode, fill)], size, seed)


@MANY
@given(families, st.integers(0, 5), st.integers(0, 100), modes, fills, sides, seeds, st.data())
@example(v1, 2, 29, InterpolationMode.NEAREST, None, (331, 331), 3, None)
@example(v2, 2, 29, InterpolationMode.NEAREST, None, (331, 331), 3, None)
def test_rand_augment(
    family: ModuleType,
    n: int,
    more: int,
    mode: Any,
    fill: Any,
    size: tuple[int, int],
    seed: int,
    data: Any,
) -> None:
    bins = 2 + more
    magnitude = data.draw(st.integers(0, bins - 1)) if data else 9
    # torch rounds a few magnitudes of a few numbers of bins in another way.
    is_known = augment._is_exact_share(bins, magnitude)
    assert is_known or bins not in (10, 11, 31)
    step = family.RandAugment(n, magnitude, bins, mode, fill)
    if is_known:
        check(family, [step], size, seed)
    else:
        with pytest.raises(capture.Refusal, match="not rounded as known"):
            parity_kit.native(family.Compose([step, family.PILToTensor()]))


@MANY
@given(families, st.sampled_from(v1.AutoAugmentPolicy), modes, fills, sides, seeds)
def test_auto_augment(
    family: ModuleType, policy: Any, mode: Any, fill: Any, size: tuple[int, int], seed: int
) -> None:
    check(family, [family.AutoAugment(policy, mode, fill)], size, seed)


def all_colours() -> np.ndarray:
    colour = np.arange(2**24, dtype=np.uint32)
    planes = [colour >> 16, colour >> 8 & 255, colour & 255]
    return np.stack(planes, axis=-1).astype(np.uint8).reshape(4096, 4096, 3)


@pytest.mark.parametrize(
    "step",
    [
        v1.ColorJitter(hue=0.5),
        v1.ColorJitter(saturation=(0.3, 0.7)),
        v1.ColorJitter(saturation=(1.5, 3.0)),
        v1.Grayscale(1),
    ],
    ids=["hue", "less saturation", "more saturation", "grey"],
)
def test_all_colours(step: Any) -> None:
    pipeline = v1.Compose([step, v1.PILToTensor()])
    transform = parity_kit.native(pipeline)
    pixels = all_colours()
    for part in range(0, 4096, 1024):  # a shift and a factor of its own for each quarter
        torch.manual_seed(part)
        words = parity_kit.words_ahead(transform.max_words)
        quarter = np.ascontiguousarray(pixels[part : part + 1024])
        expected = pipeline(Image.fromarray(quarter))
        array, _ = transform.apply(quarter, 4096, 1024, words)
        assert parity_kit.as_numpy(array).tobytes() == expected.numpy().tobytes()


IN_PILLOW = """
import sys
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
def hue(image, amount):
    h, s, v = image.convert("HSV").split()
    turned = np.array(h) + np.int32(amount * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")
def enhance(cls):
    return lambda image, amount: cls(image).enhance(amount)
changes = {
    "brightness": enhance(ImageEnhance.Brightness), "contrast": enhance(ImageEnhance.Contrast),
    "saturation": enhance(ImageEnhance.Color), "sharpness": enhance(ImageEnhance.Sharpness),
    "hue": hue, "posterize": lambda image, amount: ImageOps.posterize(image, int(amount)),
    "solarize": ImageOps.solarize, "invert": lambda image, _: ImageOps.invert(image),
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "grey": lambda image, _: image.convert("L").convert("RGB"),
}
given = dict(np.load(sys.argv[1]))
for name in list(given):
    if name.startswith("image "):
        image = Image.fromarray(given[name])
        for key, amount in list(given.items()):
            if not key.startswith("image "):
                change = changes[key.split()[0]]
                given[f"{name} {key}"] = np.asarray(change(image, float(amount)))
np.savez(sys.argv[2], **given)
"""


def era_step(name: str, amount: float) -> Any:
    kind = name.split()[0]
    if kind in ("brightness", "contrast", "saturation", "hue"):
        return v1.ColorJitter(**{kind: (amount, amount)})
    return {
        "sharpness": lambda: v1.RandomAdjustSharpness(amount, 1.0),
        "posterize": lambda: v1.RandomPosterize(int(amount), 1.0),
        "solarize": lambda: v1.RandomSolarize(amount, 1.0),
        "invert": lambda: v1.RandomInvert(1.0),
        "autocontrast": lambda: v1.RandomAutocontrast(1.0),
        "equalize": lambda: v1.RandomEqualize(1.0),
        "grey": lambda: v1.RandomGrayscale(1.0),
    }[kind]()


def test_eras_of_pillow(era_python: tuple[str, Path], tmp_path: Path) -> None:
    """Colours are the same in all of them."""
    _, python = era_python
    given = {f"image {seed}": picture((50 + seed, 70 - seed), seed) for seed in range(15)}
    amounts = {"invert": 0.0, "autocontrast": 0.0, "equalize": 0.0, "grey": 0.0}
    for i, factor in enumerate(np.random.default_rng(1).uniform(0, 2, 10).astype(np.float32)):
        for kind in ("brightness", "contrast", "saturation", "sharpness"):
            amounts[f"{kind} {i}"] = float(factor)
        amounts[f"hue {i}"] = float(np.float32(factor / 2 - 0.5))
        amounts[f"solarize {i}"] = float(factor * 128)
        amounts[f"posterize {i}"] = float(i % 8 + 1)
    np.savez(tmp_path / "given.npz", **given, **amounts)
    files = [tmp_path / "given.npz", tmp_path / "results.npz"]
    subprocess.run([python, "-W", "ignore", "-c", IN_PILLOW, *files], check=True)
    with np.load(files[1]) as results:
        for name, amount in amounts.items():
            step = v1.Compose([era_step(name, amount), v1.PILToTensor()])
            transform = parity_kit.native(step)
            for image, pixels in given.items():
                h, w = pixels.shape[:2]
                array, _ = transform.apply(pixels, w, h, bytes(4 * transform.max_words))
                expected = results[f"{image} {name}"].transpose(2, 0, 1)
                assert np.array_equal(parity_kit.as_numpy(array), expected), (image, name, amount)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (v1.RandomPosterize(0), "bits is 0"),
        (v1.RandomAdjustSharpness(-1.0), "sharpness_factor is -1"),
        (v1.RandomSolarize(float("nan")), "threshold is nan"),
        (v1.RandomInvert(p="a"), "p is .a."),
        (v2.RandomPhotometricDistort(p="a"), "p is .a."),
        (v2.RandomPhotometricDistort(hue=(0.0, 0.6)), "hue is"),
        (v2.RandomPhotometricDistort(contrast=(2, 1)), "contrast is"),
        (v2.RandomPhotometricDistort(brightness=1.0), "brightness is 1.0, not a pair"),
        (v1.RandomApply([v1.Grayscale(1)]), "only sometimes"),
    ],
)
def test_what_is_not_followed(step: Any, why: str) -> None:
    with pytest.raises(capture.Refusal, match=why):
        parity_kit.native(v1.Compose([step, v1.PILToTensor()]))


def test_refused_by_the_engine() -> None:
    def op(
        kind: int,
        number: tuple[float, ...],
        count: int,
        threshold: int = 0,
        table: tuple[float, ...] = (),
    ) -> Any:
        return (kind, 0, 0, 0, 0, threshold, *(0.0,) * 6, number, count, table)

    plain, nan = (0.0, 0.0, 0.0), float("nan")
    black = (0.0,) * 5 + (1.0,)
    for bad in (
        op(50, (2.0, 1.0), 1),
        op(50, (0.0, float("nan")), 1),
        op(50, (0.0,) * 6 + (-0.6, 0.1), 8),
        op(51, (), 2),
        op(52, (0.0,), 0),
        op(52, (0.0,), 12),
        op(52, (0.0,), -1),
        op(52, (2.5,), 6),
        op(52, (9.0,), 6),
        op(52, (0.0,), 8, 2**24 + 1),
        op(53, black, 1),
        op(53, black, -1, 0, (0.0, 0.0, 0.0)),
        op(53, black, 17, 0, (0.0, 0.0, 0.0)),
        op(53, (0.0,) * 6, 1, 0, (0.0, 0.0, 0.0)),
        op(53, (0.0, 0.0, 0.0, 256.0, 0.0, 3.0), 1, 0, (0.0, 0.0, 0.0)),
        op(53, black, 1, 0, (0.0, 0.0)),
        op(53, black, 1, 0, (0.0, 0.0, 1.0)),
        op(53, black, 1, 0, (0.0, 0.0, -1.0)),
        op(53, black, 1, 0, (0.0, 0.0, nan)),
        op(53, black, 1, 0, (nan, 0.0, 0.0)),
        op(53, black, 1, 0, (12.0, 0.0, 0.0)),
        op(53, black, 1, 0, (23.0, 0.0, 0.0)),
        op(53, black, 1, 0, (16.5, 0.0, 0.0)),
        op(53, black, 1, 0, (16.0, 1.0, 1.0, nan)),
        op(53, black, 1, 0, (1.0, 1.0, 1.0, 1.5)),  # a factor of 1 - 1.5
        op(53, black, 1, 0, (6.0, 0.0, 0.0)),  # posterize needs bits
        op(53, black, 1, 0, (20.0, 0.0, 1.0, 3.0)),  # element 3 of 0
        op(54, black, 0, 0, ()),
        op(54, black, 0, 0, (0.0, 0.0, 0.0, 0.0)),
        op(54, black, 0, 0, (0.0, 0.0, 2.0**24 + 1, 0.0) * 2),
        op(54, black, 0, 0, (0.0, 0.0, nan, 0.0) * 2),
        op(54, black, 0, 0, (3.0, 1.0, 0.0, 7.0) * 2),
        op(55, (2.0, 1.0), 0),
        op(55, (-1.0, 1.0), 0),
        op(55, (0.0, nan), 0),
        op(55, (0.0,) * 7 + (0.6,), 0),
        op(55, (), 0, 2**24 + 1),
    ):
        with pytest.raises((ValueError, _core.Error)):
            _core.Transform(
                [bad], dtype="u8", lut=None, mean=plain, std=plain, era=3, channels=3, layout=0
            )
