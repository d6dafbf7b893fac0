# SPDX-License-Identifier: Apache-2.0
"""The engine's transforms against torchvision on PIL images: shape, every bit of every pixel, and
how far the random stream has moved. Images are noise, so that no difference can hide."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from penstock import _core
from PIL import Image
from torchvision.transforms import InterpolationMode

RESIZE_SHORT, RESIZE, CENTER_CROP, RANDOM_RESIZED_CROP, HFLIP, VFLIP = range(1, 7)
NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
MODES = {
    NEAREST: InterpolationMode.NEAREST,
    LANCZOS: InterpolationMode.LANCZOS,
    BILINEAR: InterpolationMode.BILINEAR,
    BICUBIC: InterpolationMode.BICUBIC,
    BOX: InterpolationMode.BOX,
    HAMMING: InterpolationMode.HAMMING,
}
ERAS = {"11.3": 1, "12.2": 2, "13.0": 3}
SLOW = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Step:
    """A torchvision transform and the engine's op for it."""

    kind: int
    filter: int = 0
    h: int = 0
    w: int = 0
    max_size: int = 0
    p: float = 0.0
    scale: tuple[float, float] = (0.0, 0.0)
    ratio: tuple[float, float] = (1.0, 1.0)

    @property
    def log_ratio(self) -> list[float]:
        return torch.log(torch.tensor(self.ratio)).tolist()

    def op(self) -> tuple[Any, ...]:
        threshold = math.ceil(float(np.float32(self.p)) * 2**24)
        sizes = (self.kind, self.filter, self.h, self.w, self.max_size, threshold)
        return (*sizes, *self.scale, *self.ratio, *self.log_ratio)

    def stock(self, family: ModuleType) -> Callable[..., Any]:
        mode = MODES[self.filter]
        if self.kind == RESIZE_SHORT:
            return family.Resize(self.h, mode, max_size=self.max_size or None)
        if self.kind == RESIZE:
            return family.Resize((self.h, self.w), mode)
        if self.kind == CENTER_CROP:
            return family.CenterCrop((self.h, self.w))
        if self.kind == RANDOM_RESIZED_CROP:
            return family.RandomResizedCrop((self.h, self.w), self.scale, self.ratio, mode)
        if self.kind == HFLIP:
            return family.RandomHorizontalFlip(self.p)
        return family.RandomVerticalFlip(self.p)


@dataclass(frozen=True)
class Tail:
    """What makes a tensor of the image."""

    is_v2: bool
    is_float: bool
    normalize: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None

    def stock(self) -> list[Callable[..., Any]]:
        family = v2 if self.is_v2 else v1
        if not self.is_float:
            return [family.PILToTensor()]
        steps: list[Callable[..., Any]] = [v1.ToTensor()]
        if self.is_v2:
            steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        if self.normalize:
            steps.append(family.Normalize(*self.normalize))
        return steps

    def lut(self) -> np.ndarray | None:
        if not self.is_float:
            return None
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        value: Any = Image.fromarray(ramp)
        for step in self.stock():
            value = step(value)
        return np.ascontiguousarray(np.asarray(value).reshape(3, 256))


def transform_of(steps: list[Step], tail: Tail, era: int = 0) -> _core.Transform:
    mean, std = tail.normalize or ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return _core.Transform(
        [step.op() for step in steps],
        dtype="f32" if tail.is_float else "u8",
        lut=tail.lut(),
        mean=mean,
        std=std,
        era=era,
        channels=3,
        layout=0,
    )


def words_ahead(n: int) -> np.ndarray:
    """The next n words of torch's default generator, read out of its state."""
    state = torch.get_rng_state().numpy()
    left = int(state[8:12].view(np.int32)[0])
    key = state[24 : 24 + 624 * 8].view(np.uint64).astype(np.uint32)
    generator = np.random.RandomState()
    generator.set_state(("MT19937", key, 625 - left))
    return generator.randint(0, 2**32, n, dtype=np.uint32)


def torch_rounds_exp_correctly(steps: list[Step], words: np.ndarray) -> bool:
    """The engine's own exp is rounded from double, torch's is an approximation: about one value in
    a hundred differs, and then the crops may. The loader has torch's."""
    for step in steps:
        if step.kind != RANDOM_RESIZED_CROP:
            continue
        low, high = np.float32(step.log_ratio[0]), np.float32(step.log_ratio[1])
        unit = (words & 0xFFFFFF).astype(np.float64) * 2.0**-24
        values = (unit * np.float64(high - low) + np.float64(low)).astype(np.float32)
        if (
            torch.exp(torch.from_numpy(values)).numpy()
            != np.exp(values.astype(np.float64)).astype(np.float32)
        ).any():
            return False
    return True


def noise(w: int, h: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def as_numpy(array: _core.Tensor) -> np.ndarray:
    return np.frombuffer(
        array, array.dtype.replace("u8", "uint8").replace("f32", "float32")
    ).reshape(array.shape)


def check(steps: list[Step], tail: Tail, w: int, h: int, seed: int) -> None:
    transform = transform_of(steps, tail)
    pixels = noise(w, h, seed)
    torch.manual_seed(seed)
    words = words_ahead(transform.max_words + 2)
    assume(torch_rounds_exp_correctly(steps, words))
    family = v2 if tail.is_v2 else v1
    try:
        expected = Image.fromarray(pixels)
        for step in [*(step.stock(family) for step in steps), *tail.stock()]:
            expected = step(expected)
    except ValueError:
        with pytest.raises(ValueError, match="resize"):
            transform.apply(pixels, w, h, words)
        return
    array, used = transform.apply(pixels, w, h, words)
    result = as_numpy(array)
    reference = np.asarray(expected)
    assert result.dtype == reference.dtype
    assert result.shape == reference.shape
    assert result.tobytes() == reference.tobytes()
    assert list(words_ahead(2)) == list(words[used : used + 2])


filters = st.sampled_from(list(MODES))
sides = st.integers(1, 64) | st.integers(1, 300)
sizes = (
    st.tuples(st.integers(1, 150), st.integers(1, 150))
    | st.tuples(st.integers(1, 600), st.integers(1, 600))
    | st.tuples(st.integers(1, 4), st.integers(1, 1000))
    | st.tuples(st.integers(1, 1000), st.integers(1, 4))
)
seeds = st.integers(0, 2**32 - 1)
shorts = st.builds(lambda f, h: Step(RESIZE_SHORT, f, h), filters, st.integers(1, 64)) | st.builds(
    lambda f, h, more: Step(RESIZE_SHORT, f, h, max_size=h + more),
    filters,
    sides,
    st.integers(1, 100),
)
pairs = st.builds(lambda f, h, w: Step(RESIZE, f, h, w), filters, sides, sides)
center_crops = st.builds(lambda h, w: Step(CENTER_CROP, 0, h, w), sides, sides)
random_crops = st.builds(
    lambda f, h, w, scale, ratio: Step(RANDOM_RESIZED_CROP, f, h, w, scale=scale, ratio=ratio),
    filters,
    sides,
    sides,
    st.sampled_from([(0.08, 1.0), (0.5, 1.0), (0.9, 1.5), (1.0, 4.0), (0.001, 0.01), (1.0, 1.0)]),
    st.sampled_from([(3 / 4, 4 / 3), (1.0, 1.0), (0.1, 10.0), (3.0, 5.0), (0.01, 0.02)]),
)
flips = st.builds(
    lambda kind, p: Step(kind, p=p),
    st.sampled_from([HFLIP, VFLIP]),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
tails = st.builds(
    Tail,
    st.booleans(),
    st.just(True),
    st.sampled_from(
        [
            None,
            ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ((0.1, 0.9, 0.3), (1.0, 0.01, 7.0)),
        ]
    ),
) | st.builds(Tail, st.booleans(), st.just(False))
U8 = Tail(is_v2=False, is_float=False)


@SLOW
@given(shorts | pairs, sizes, seeds)
@example(Step(RESIZE_SHORT, BILINEAR, 256), (500, 375), 1)
@example(Step(RESIZE, BICUBIC, 64, 64), (64, 64), 2)  # nothing to do
@example(Step(RESIZE, NEAREST, 999, 998), (333, 1), 3)
def test_resize(step: Step, size: tuple[int, int], seed: int) -> None:
    check([step], U8, *size, seed)


@SLOW
@given(center_crops, sizes, seeds)
@example(Step(CENTER_CROP, 0, 224, 224), (341, 227), 1)  # both offsets are a half
def test_center_crop(step: Step, size: tuple[int, int], seed: int) -> None:
    check([step], U8, *size, seed)


@SLOW
@given(random_crops, flips, sizes, seeds, st.booleans())
# Rounding leaves an empty crop of it, which Pillow resizes to a black image.
@example(
    Step(RANDOM_RESIZED_CROP, BICUBIC, 9, 8, scale=(1.0, 1.0), ratio=(0.01, 0.02)),
    Step(HFLIP),
    (701, 1),
    1,
    True,
)
def test_random_resized_crop_and_flip(
    crop: Step, flip: Step, size: tuple[int, int], seed: int, is_v2: bool
) -> None:
    check([crop, flip], Tail(is_v2, is_float=False), *size, seed)


@SLOW
@given(
    st.lists(shorts | pairs | center_crops | random_crops | flips, max_size=5), tails, sizes, seeds
)
# What a crop has cut off must not come back when a later one pads.
@example([Step(CENTER_CROP, 0, 10, 10), Step(CENTER_CROP, 0, 30, 31)], U8, (50, 50), 1)
@example(
    [Step(RESIZE, BOX, 40, 40), Step(CENTER_CROP, 0, 9, 50), Step(CENTER_CROP, 0, 50, 9)],
    U8,
    (50, 50),
    2,
)
@example([Step(HFLIP, p=1.0), Step(RESIZE, BILINEAR, 21, 20)], U8, (50, 51), 3)
def test_chains(steps: list[Step], tail: Tail, size: tuple[int, int], seed: int) -> None:
    w, h = size
    short, long = min(w, h), max(w, h)
    first_resize = next((s for s in steps if s.kind == RESIZE_SHORT), None)
    assume(not first_resize or first_resize.h * long / short < 3000)
    check(steps, tail, w, h, seed)


IN_PILLOW = """
import sys
import numpy as np
from PIL import Image
given = np.load(sys.argv[1])
results = {}
for name in given.files:
    seed, w, h, new_w, new_h, resample = (int(x) for x in given[name])
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    results[name] = np.asarray(Image.fromarray(pixels).resize((new_w, new_h), resample))
np.savez(sys.argv[2], **results)
"""


def era_cases() -> list[tuple[int, ...]]:
    rng = np.random.default_rng(99)
    cases = []
    for seed in range(600):
        w, h = rng.integers(1, 200, 2)
        if seed % 3 == 0:
            w, h = rng.integers(1, 5), rng.integers(100, 1500)
        new_w, new_h = rng.integers(1, 200, 2)
        if seed % 5 == 0:
            new_w = max(1, w - rng.integers(-10, 10))
        cases.append((seed, w, h, new_w, new_h, int(rng.integers(0, 6))))
    return cases


def test_eras_of_pillow(era_python: tuple[str, Path], tmp_path: Path) -> None:
    """Each version of Pillow has its own order of the two passes, and with it its own pixels."""
    version, python = era_python
    cases = {str(case[0]): case for case in era_cases()}
    np.savez(tmp_path / "given.npz", **{name: np.array(case) for name, case in cases.items()})
    files = [tmp_path / "given.npz", tmp_path / "results.npz"]
    subprocess.run([python, "-c", IN_PILLOW, *files], check=True)
    with np.load(files[1]) as results:
        assert len(results.files) == len(cases)
        differs = dict.fromkeys(ERAS.values(), 0)
        for name, (seed, w, h, new_w, new_h, resample) in cases.items():
            for era in differs:
                transform = transform_of([Step(RESIZE, resample, int(new_h), int(new_w))], U8, era)
                array, _ = transform.apply(noise(w, h, seed), int(w), int(h), b"")
                same = np.array_equal(as_numpy(array), results[name].transpose(2, 0, 1))
                differs[era] += not same
    assert differs.pop(ERAS[version]) == 0
    assert all(differs.values()), "the cases do not tell the eras apart"
