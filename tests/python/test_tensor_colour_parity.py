# SPDX-License-Identifier: Apache-2.0
"""Colours of uint8 tensors, against torchvision."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import kit
import numpy as np
import parity_kit
import penstock
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import _core, capture, tensor_steps
from torch.utils.data import DataLoader
from torchvision.transforms import InterpolationMode

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch fuses nothing here",
)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
seeds = st.integers(0, 2**32 - 1)
# Some of a multiple of 16 pixels, which v2's contrast takes.
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60)) | st.tuples(
    st.integers(1, 4).map(lambda n: 16 * n), st.integers(1, 60)
)


def image_of(size: tuple[int, int], seed: int) -> np.ndarray:
    """Noise, colours near each other, or few of them."""
    pixels = parity_kit.noise(*size, seed)
    if seed % 3 == 1:
        pixels = pixels // 8 + 90
    if seed % 3 == 2:
        pixels = pixels // 100 * 100
    return pixels.astype(np.uint8)


def ranges(least: float, most: float) -> Any:
    return st.tuples(st.floats(least, most), st.floats(least, most)).map(
        lambda pair: (min(pair), max(pair))
    )


def colours(family: ModuleType) -> Any:
    p = st.sampled_from([1.0, 0.5])
    return st.one_of(
        st.builds(
            family.ColorJitter,
            st.just(0.0) | ranges(0, 2),
            st.just(0.0) | ranges(0, 2),
            st.just(0.0) | ranges(0, 2),
            st.just(0.0) | ranges(-0.5, 0.5),
        ),
        st.just(family.Grayscale(3)),
        st.builds(family.RandomGrayscale, p),
        st.builds(family.RandomInvert, p),
        st.builds(family.RandomPosterize, st.integers(1, 8), p),
        st.builds(family.RandomSolarize, st.floats(0, 255), p),
        st.builds(family.RandomAdjustSharpness, st.floats(0, 3), p),
        st.builds(family.RandomAutocontrast, p),
        st.builds(family.RandomEqualize, p),
    )


@MANY
@given(families, st.data(), sizes, seeds)
def test_colours(
    family: ModuleType, data: st.DataObject, shape: tuple[int, int], seed: int
) -> None:
    """Whatever the order of the tensor in memory."""
    torch.set_num_threads(1)
    steps = data.draw(
        st.lists(colours(family) | st.just(family.RandomHorizontalFlip()), max_size=3)
    )
    steps.insert(data.draw(st.integers(0, len(steps))), family.RandomCrop(shape[::-1], 1))
    pipeline = v2.Compose([family.PILToTensor(), *steps])
    try:
        parity_kit.check(pipeline, image_of(shape, seed), seed)
    except (_core.Error, capture.Refusal) as error:  # the reference decides
        assert "the contrast of" in str(error)  # noqa: PT017


def augments(family: ModuleType) -> Any:
    options = {
        "interpolation": st.sampled_from([InterpolationMode.NEAREST, InterpolationMode.BILINEAR]),
        "fill": st.sampled_from([None, 0, 127, 30.5, [1, 2.5, 255]]),
    }
    policies = st.sampled_from(list(family.AutoAugmentPolicy))
    return st.one_of(
        st.builds(family.TrivialAugmentWide, **options),
        st.builds(family.RandAugment, st.integers(1, 4), st.integers(0, 30), **options),
        st.builds(family.AutoAugment, policies, **options),
        st.builds(family.AugMix, st.integers(1, 10), **options),
    )


@MANY
@given(families, st.data(), sizes, seeds)
def test_automatic_augmentations(
    family: ModuleType, data: st.DataObject, shape: tuple[int, int], seed: int
) -> None:
    torch.set_num_threads(1)
    steps = [data.draw(augments(family)), data.draw(colours(family))]
    pipeline = v2.Compose([family.PILToTensor(), *steps, family.RandomHorizontalFlip()])
    try:
        parity_kit.check(pipeline, image_of(shape, seed), seed)
    except (_core.Error, capture.Refusal) as error:  # the reference decides
        assert "the contrast of" in str(error)  # noqa: PT017


def every_colour() -> np.ndarray:
    """One of 64 values a channel each."""
    values = np.arange(64, dtype=np.uint8) * 4 + np.arange(64, dtype=np.uint8) % 4
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(512, 512, 3)


@pytest.mark.parametrize("hue", [-0.5, -0.31, -1e-3, 0.0, 0.1, 0.25, 1 / 3, 0.5])
@pytest.mark.parametrize("family", [v1, v2])
def test_all_hues(family: ModuleType, hue: float) -> None:
    pipeline = v1.Compose([family.PILToTensor(), family.ColorJitter(hue=(hue, hue))])
    assert parity_kit.check(pipeline, every_colour(), 5)


@pytest.mark.parametrize("family", [v1, v2])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_pipeline_of_tensors(tmp_path: Path, family: ModuleType, workers: int) -> None:
    resize = [v2.RandomResizedCrop(48, antialias=True)] if family is v2 else [v1.CenterCrop(48)]
    pipeline = v1.Compose(
        [
            family.PILToTensor(),
            *resize,
            family.RandomHorizontalFlip(),
            family.RandomApply([family.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            family.RandomGrayscale(0.2),
            family.GaussianBlur(5),
            family.ConvertImageDtype(torch.float32),
        ]
    )
    dataset = kit.folder_of(kit.make_folder(tmp_path), pipeline)
    torch.set_num_threads(1)
    ours = penstock.DataLoader(dataset, 4, shuffle=True, num_workers=workers)
    assert penstock.explain(ours).lane == "native"
    stock = DataLoader(dataset, 4, shuffle=True, num_workers=workers)
    for epoch in range(3):
        torch.manual_seed(epoch)
        expected = list(stock)
        state = torch.get_rng_state()
        torch.manual_seed(epoch)
        for (x, y), (z, t) in zip(ours, expected, strict=True):
            assert torch.equal(x, z)
            assert torch.equal(y, t)
        assert torch.equal(torch.get_rng_state(), state)


def test_threads_of_the_main_process(tmp_path: Path) -> None:
    """They round the last values of v2's contrast in another way, wherever that shows."""
    steps = [v2.ToImage(), v2.ColorJitter(contrast=0.5)]
    augment = [v2.ToImage(), v2.RandAugment()]
    dataset = kit.folder_of(kit.make_folder(tmp_path), v2.Compose(steps))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert "threads" in penstock.explain(penstock.DataLoader(dataset)).reason
        assert penstock.explain(penstock.DataLoader(dataset, num_workers=1)).lane == "native"
        another = kit.folder_of(dataset.root, v2.Compose(augment))
        assert "threads" in penstock.explain(penstock.DataLoader(another)).reason
        torch.set_num_threads(1)
        assert penstock.explain(penstock.DataLoader(dataset)).lane == "native"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([v1.ToTensor(), v1.ColorJitter(0.1)], "that is not of uint8"),
        ([v2.ToImage(), v2.ToDtype(torch.float32), v2.RandomInvert()], "that is not of uint8"),
        ([v1.PILToTensor(), v1.Grayscale()], "of one channel"),
        ([v2.ToImage(), v2.RandomSolarize(300)], "threshold is 300"),
        ([v2.ToImage(), v2.RandomPhotometricDistort()], "works on a tensor here"),
        ([v2.ToImage(), v2.RandomRotation(20)], "works on a tensor here"),
        ([v1.ToTensor(), v1.RandAugment()], "that is not of uint8"),
        (
            [v2.ToImage(), v2.RandAugment(interpolation=InterpolationMode.BICUBIC)],
            "interpolation is",
        ),
    ],
)
def test_what_is_left_to_torch(tmp_path: Path, steps: list[Any], said: str) -> None:
    dataset = kit.folder_of(kit.make_folder(tmp_path), v1.Compose(steps))
    assert said in penstock.explain(penstock.DataLoader(dataset)).reason


def test_grey_images_are_left_to_torch(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path)
    pipeline = v2.Compose([v2.ToImage(), v2.RandomInvert()])
    grey = penstock.datasets.ImageFolder(root, pipeline, mode="L")
    assert "not proven on grey" in penstock.explain(penstock.DataLoader(grey)).reason


@pytest.mark.parametrize("is_v2", [False, True])
def test_other_colours_are_left_to_torch(monkeypatch: pytest.MonkeyPatch, is_v2: bool) -> None:
    family = v2 if is_v2 else v1
    tensor_steps.colour_refusal.cache_clear()
    pipeline = family.Compose([family.PILToTensor(), family.RandomInvert()])
    capture.read_transform(pipeline)
    tensor_steps.colour_refusal.cache_clear()
    equalize = family.functional.equalize
    monkeypatch.setattr(family.functional, "equalize", lambda image: equalize(image) ^ 1)
    with pytest.raises(capture.Refusal, match="are not the known ones"):
        capture.read_transform(pipeline)
    tensor_steps.colour_refusal.cache_clear()
