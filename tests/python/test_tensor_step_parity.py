# SPDX-License-Identifier: Apache-2.0
"""Crops, borders and v2's resize of images that are tensors already, against torchvision."""

from __future__ import annotations

import os
import subprocess
import sys
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
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import _core, capture, tensor_steps
from torch.utils.data import DataLoader
from torchvision.transforms import InterpolationMode

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))
sides = st.integers(1, 90)
filters = st.sampled_from(
    [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.LANCZOS]
)
paddings = st.integers(0, 12) | st.lists(st.integers(0, 12), min_size=4, max_size=4)
modes = st.sampled_from(["constant", "edge", "reflect", "symmetric"])
HERE = "torch resizes tensors by instructions"

needs_avx2 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch resizes uint8 in float32 here",
)


def image_of(size: tuple[int, int], seed: int) -> np.ndarray:
    """Noise, or black and white: coefficients that are off by one show there."""
    pixels = parity_kit.noise(*size, seed)
    return pixels if seed % 2 else (pixels > 127).astype(np.uint8) * np.uint8(255)


def check(steps: list[Any], size: tuple[int, int], seed: int) -> None:
    try:
        parity_kit.check(
            v2.Compose(steps), image_of(size, seed), seed, fails="mirrored|an image of"
        )
    except _core.Error as error:  # the reference decides
        assert "are mirrored" in str(error)  # noqa: PT017


@needs_avx2
@MANY
@given(st.tuples(sides, sides) | st.tuples(sides), filters, sizes, seeds)
@example((1, 1), InterpolationMode.LANCZOS, (70, 70), 2)
@example((70, 1), InterpolationMode.BICUBIC, (1, 70), 2)
@example((20, 33), InterpolationMode.BILINEAR, (33, 20), 2)  # as it is
def test_resize(size: Any, mode: InterpolationMode, shape: tuple[int, int], seed: int) -> None:
    check([v2.ToImage(), v2.Resize(size, mode)], shape, seed)


@needs_avx2
@MANY
@given(st.integers(300, 1500), st.integers(1, 300), filters, st.booleans(), seeds)
def test_resize_of_long_sides(
    n: int, new: int, mode: InterpolationMode, is_wide: bool, seed: int
) -> None:
    shape, size = ((n, 2), (2, new)) if is_wide else ((2, n), (new, 2))
    check([v2.PILToTensor(), v2.Resize(size, mode)], shape, seed)


@needs_avx2
@MANY
@given(st.tuples(sides, sides), filters, sizes, seeds)
def test_random_resized_crop(
    size: tuple[int, int], mode: InterpolationMode, shape: tuple[int, int], seed: int
) -> None:
    crop = v2.RandomResizedCrop(size, interpolation=mode, antialias=True)
    check([v2.ToImage(), crop, v2.RandomHorizontalFlip(), v2.ToDtype(torch.uint8)], shape, seed)


@MANY
@given(families, st.data(), sizes, seeds)
def test_crops_and_borders(
    family: ModuleType, data: st.DataObject, shape: tuple[int, int], seed: int
) -> None:
    """In numbers of which 0 is black, and of pixels."""
    to_tensor = data.draw(st.sampled_from([family.ToTensor(), family.PILToTensor()]))
    fills = st.integers(0, 255) if isinstance(to_tensor, family.PILToTensor) else st.just(0)
    some = data.draw(
        st.lists(
            st.builds(family.Pad, paddings, fills, modes)
            | st.builds(
                family.RandomCrop,
                st.tuples(sides, sides),
                st.none() | paddings,
                st.booleans(),
                fills,
                modes,
            )
            | st.builds(family.CenterCrop, st.tuples(sides, sides))
            | st.just(family.RandomVerticalFlip()),
            min_size=1,
            max_size=4,
        )
    )
    normalize = [family.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])]
    check(
        [to_tensor, *some, *(normalize if family.ToTensor is type(to_tensor) else [])], shape, seed
    )


@MANY
@given(families, paddings, st.sampled_from(["edge", "reflect", "symmetric"]), sizes, seeds)
def test_any_values_are_moved(
    family: ModuleType, padding: Any, mode: str, shape: tuple[int, int], seed: int
) -> None:
    normalize = family.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    steps = [family.ToTensor(), normalize, family.Pad(padding, 9, mode), family.RandomCrop(3)]
    check(steps, (max(shape[0], 3), max(shape[1], 3)), seed)


@needs_avx2
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_pipeline_of_torchvisions_documentation(
    tmp_path: Path, workers: int, dtype: torch.dtype
) -> None:
    numbers = [v2.ToDtype(dtype, scale=True)]
    if dtype is torch.float32:
        numbers.append(v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    pipeline = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.uint8, scale=True),
            v2.RandomResizedCrop((56, 48), antialias=True),
            v2.RandomHorizontalFlip(),
            *numbers,
        ]
    )
    dataset = kit.folder_of(kit.make_folder(tmp_path), pipeline)
    ours = penstock.DataLoader(dataset, 4, shuffle=True, num_workers=workers)
    assert penstock.explain(ours).lane == "native"
    stock = DataLoader(dataset, 4, shuffle=True, num_workers=workers)
    for epoch in range(2):
        torch.manual_seed(epoch)
        expected = list(stock)
        torch.manual_seed(epoch)
        for (x, y), (z, t) in zip(ours, expected, strict=True):
            assert torch.equal(x, z)
            assert x.stride() == z.stride()
            assert torch.equal(y, t)


LATE = v1.Normalize([0.1], [0.2])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([v1.ToTensor(), v1.Resize(8)], "Resize works on a tensor here"),
        ([v1.PILToTensor(), v1.RandomResizedCrop(8)], "RandomResizedCrop works on a tensor here"),
        ([v2.ToTensor(), v2.Resize(8)], "that is not of uint8"),
        ([v2.ToImage(), v2.ToDtype(torch.float32), v2.Resize(8)], "that is not of uint8"),
        ([v2.ToImage(), v2.Resize(8, antialias=False)], "antialias is False"),
        ([v2.ToImage(), v2.Resize(8, InterpolationMode.NEAREST)], "of a tensor"),
        ([v2.ToImage(), v2.Pad(1, (1, 2, 3))], "not an int, around a tensor"),
        ([v2.ToImage(), v2.Pad(1, 0.5)], "not an int, around a tensor"),
        ([v1.ToTensor(), v1.Pad(1, 1)], "that is not of uint8"),
        ([v1.ToTensor(), LATE, v1.CenterCrop(8)], "0 is not black here"),
        ([v1.ToTensor(), LATE, v1.RandomCrop(8, 1)], "0 is not black here"),
        ([v1.ToTensor(), v1.RandomAffine(5)], "RandomAffine works on a tensor here"),
        ([v1.ToTensor(), v1.RandomErasing(), v1.RandomCrop(8)], "it comes after random erasing"),
    ],
)
@pytest.mark.filterwarnings("ignore:The transform `ToTensor")
def test_what_is_left_to_torch(tmp_path: Path, steps: list[Any], said: str) -> None:
    dataset = kit.folder_of(kit.make_folder(tmp_path), v1.Compose(steps))
    assert said in penstock.explain(penstock.DataLoader(dataset)).reason


@needs_avx2
def test_another_resize_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = sys.modules["torchvision.transforms.v2.functional"]
    tensor_steps.resize_refusal.cache_clear()
    pipeline = v2.Compose([v2.ToImage(), v2.Resize((5, 5), InterpolationMode.BICUBIC)])
    capture.read_transform(pipeline)
    tensor_steps.resize_refusal.cache_clear()
    resize = functional.resize
    monkeypatch.setattr(functional, "resize", lambda *args, **more: resize(*args, **more) ^ 1)
    with pytest.raises(capture.Refusal, match="does not resize tensors"):
        capture.read_transform(pipeline)
    tensor_steps.resize_refusal.cache_clear()


@pytest.mark.parametrize(("capability", "is_native"), [("default", False), ("avx2", True)])
def test_other_instructions(capability: str, is_native: bool) -> None:
    code = (
        "from penstock import tensor_steps\n"
        "import torchvision.transforms.v2\n"
        "print([tensor_steps.resize_refusal(filter) for filter in (1, 2, 3)])\n"
    )
    environment = dict(os.environ, ATEN_CPU_CAPABILITY=capability)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("None") == (3 if is_native else 0)
    assert done.stdout.count(HERE) == (0 if is_native else 3)
