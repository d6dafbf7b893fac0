# SPDX-License-Identifier: Apache-2.0
"""RandomErasing against torchvision."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

import kit
import parity_kit
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from penstock import capture

MANY = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
numbers = st.floats(-10, 10) | st.integers(-5, 5)
values = numbers | st.tuples(numbers, numbers, numbers) | st.lists(numbers, min_size=1, max_size=1)
scales = st.sampled_from([(0.02, 0.33), (0.0, 1.0), (0.9, 1.0), (0.5, 0.5), (0.0, 0.0)])
ratios = st.sampled_from([(0.3, 3.3), (1.0, 1.0), (0.01, 0.02), (5.0, 100.0)])
NORMALIZE = (kit.MEAN, kit.STD)
before = {
    "v1": lambda: [v1.ToTensor()],
    "v2": lambda: [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)],
    "normalized": lambda: [v1.ToTensor(), v1.Normalize(*NORMALIZE, inplace=True)],
}


@MANY
@given(
    families,
    st.sampled_from(list(before)),
    st.sampled_from([0.0, 0.5, 1.0]),
    scales,
    ratios,
    values,
    st.booleans(),
    st.booleans(),
    sizes,
    st.integers(0, 2**32 - 1),
)
@example(v1, "normalized", 1.0, (0.02, 0.33), (0.3, 3.3), 0, False, False, (224, 224), 1)
@example(v2, "v2", 1.0, (0.02, 0.33), (0.3, 3.3), (1, 2, 3), True, True, (31, 17), 1)
def test_random_erasing(
    family: ModuleType,
    start: str,
    p: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    value: Any,
    inplace: bool,
    normalizes: bool,
    size: tuple[int, int],
    seed: int,
) -> None:
    erasing = family.RandomErasing(p, scale, ratio, value, inplace)
    after = [family.Normalize(*NORMALIZE)] if normalizes else []
    steps = [family.RandomHorizontalFlip(), *before[start](), erasing, *after]
    assume(parity_kit.check(family.Compose(steps), parity_kit.noise(*size, seed), seed))


@MANY
@given(families, st.lists(st.integers(0, 255), min_size=3, max_size=3), st.booleans(), sizes)
def test_of_bytes(
    family: ModuleType, value: list[int], floats: bool, size: tuple[int, int]
) -> None:
    after = [family.ConvertImageDtype(torch.float32)] if floats else []
    steps = [family.PILToTensor(), family.RandomErasing(0.8, value=value), *after]
    seed = sum(value)
    assume(parity_kit.check(family.Compose(steps), parity_kit.noise(*size, seed), seed))


def test_more_than_one() -> None:
    compared = 0
    for seed, family in itertools.product(range(30), (v1, v2)):
        first = family.RandomErasing(0.9, value=0.25)
        steps = [
            family.RandomCrop(20, padding=4),
            v1.ToTensor(),
            first,
            family.Normalize(*NORMALIZE),
            family.RandomErasing(0.9, ratio=(0.5, 2.0), value=(1, 2, 3)),
            first,
        ]
        compared += parity_kit.check(family.Compose(steps), parity_kit.noise(22, 20, seed), seed)
    assert compared >= 30


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([v2.RandomErasing(), v1.ToTensor()], "before the image is a tensor"),
        ([v1.ToTensor(), v1.RandomErasing(value=(1, 2))], "not one number or three"),
        ([v1.ToTensor(), v1.RandomErasing(scale=(0.5, 0.1))], "scale is"),
        ([v1.ToTensor(), v1.RandomErasing(ratio=(0.0, 0.1))], "ratio is"),
    ],
)
@pytest.mark.filterwarnings("ignore:Scale and ratio")
def test_refused(steps: list[Any], says: str) -> None:
    with pytest.raises(capture.Refusal, match=says):
        capture.read_transform(v1.Compose(steps))


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([v1.ToTensor(), v1.RandomErasing(), v1.RandomHorizontalFlip()], "after random erasing"),
        ([v1.PILToTensor(), v1.RandomErasing(value=300)], r"puts \(300.0,\) into torch.uint8"),
    ],
)
def test_refused_when_it_is_made(steps: list[Any], says: str) -> None:
    with pytest.raises(capture.Refusal, match=says):
        parity_kit.native(v1.Compose(steps))
