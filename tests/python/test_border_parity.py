# SPDX-License-Identifier: Apache-2.0
"""RandomCrop and Pad against torchvision."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import parity_kit
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import _core, capture

MANY = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
sides = st.integers(0, 12)
paddings = (
    sides
    | st.tuples(sides)
    | st.tuples(sides, sides)
    | st.lists(sides, min_size=4, max_size=4)
    | st.tuples(sides, sides, sides, sides)
)
levels = st.integers(0, 255)
fills = (
    levels
    | st.floats(0, 255)
    | st.tuples(levels, levels, levels)
    | st.lists(levels, min_size=1, max_size=1)
)
modes = st.sampled_from(["constant", "edge", "reflect", "symmetric"])
MIRRORED = "are mirrored, at most|of an image of"


def check(family: ModuleType, steps: list[Any], size: tuple[int, int], seed: int) -> None:
    pipeline = family.Compose([*steps, family.PILToTensor()])
    pixels = parity_kit.noise(*size, seed)
    try:
        parity_kit.check(pipeline, pixels, seed, fails=MIRRORED)
    except _core.Error as error:  # the reference decides
        assert "are mirrored" in str(error)  # noqa: PT017


@MANY
@given(families, paddings, fills, modes, sizes, seeds)
@example(v1, 4, 0, "constant", (32, 32), 1)
@example(v1, 5, 0, "reflect", (5, 6), 1)
@example(v1, 6, 0, "symmetric", (5, 6), 1)
def test_pad(
    family: ModuleType, padding: Any, fill: Any, mode: str, size: tuple[int, int], seed: int
) -> None:
    check(family, [family.Pad(padding, fill, mode)], size, seed)


@MANY
@given(
    families,
    st.tuples(st.integers(1, 50), st.integers(1, 50)) | st.integers(1, 50),
    st.none() | paddings,
    st.booleans(),
    fills,
    modes,
    sizes,
    seeds,
)
@example(v1, 32, 4, False, 0, "constant", (32, 32), 1)
@example(v2, 32, 4, False, 0, "reflect", (32, 32), 1)
@example(v1, (20, 20), 3, True, 0, "reflect", (14, 15), 1)  # mirrored twice
@example(v2, (20, 20), 3, True, 0, "reflect", (14, 15), 1)
@example(v1, (9, 30), None, False, 0, "constant", (9, 30), 1)  # nothing is drawn, or not both
@example(v2, (9, 30), None, False, 0, "constant", (31, 9), 1)
def test_random_crop(
    family: ModuleType,
    crop: Any,
    padding: Any,
    if_needed: bool,
    fill: Any,
    mode: str,
    size: tuple[int, int],
    seed: int,
) -> None:
    check(family, [family.RandomCrop(crop, padding, if_needed, fill, mode)], size, seed)


@MANY
@given(families, st.data(), sizes, seeds)
def test_borders_among_other_steps(
    family: ModuleType, data: st.DataObject, size: tuple[int, int], seed: int
) -> None:
    border = st.builds(
        lambda padding, fill, mode: family.Pad(padding, fill, mode), paddings, fills, modes
    ) | st.builds(
        lambda h, w, padding, fill, mode: family.RandomCrop((h, w), padding, True, fill, mode),
        st.integers(1, 50),
        st.integers(1, 50),
        paddings,
        fills,
        modes,
    )
    other = st.sampled_from(
        [
            family.RandomHorizontalFlip(),
            family.RandomVerticalFlip(),
            family.CenterCrop((17, 30)),
            family.Resize((21, 19)),
        ]
    )
    check(family, data.draw(st.lists(border | other, max_size=4)), size, seed)


def test_grey_images_have_a_colour_of_one_value() -> None:
    grey = [v1.Pad(3, (9,)), v1.PILToTensor()]
    reading = capture.read_transform(v1.Compose(grey))
    transform = _core.Transform(
        [entry[2] for entry in reading.key if entry[0] == "geometry"],
        dtype="u8",
        lut=None,
        mean=(0.0, 0.0, 0.0),
        std=(0.0, 0.0, 0.0),
        era=3,
        channels=1,
        layout=0,
    )
    pixels = parity_kit.noise(5, 4, 1)
    pixels[:] = pixels[:, :, :1]
    array, _ = transform.apply(pixels, 5, 4, b"")
    stock = v1.Compose(grey)(parity_kit.Image.fromarray(pixels).convert("L"))
    assert parity_kit.as_numpy(array).tobytes() == stock.numpy().tobytes()


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (v1.Pad(-1), "padding is -1"),
        (v1.Pad(1, (1, 2)), "not one value or three"),
        (v1.Pad(1, 256), "not from 0 to 255"),
        (v1.Pad(1, True), "fill is True"),
        (v2.Pad(1, {torch.Tensor: 3, "others": 0}), "fill is"),
        (v1.RandomCrop(3, 1.0), "padding is 1.0"),
        (v1.RandomCrop(3, (1, 2, 3)), "padding is"),
        (v1.RandomCrop(3, 1, padding_mode="wrap"), "padding_mode is 'wrap'"),
    ],
)
def test_refused(step: Any, says: str) -> None:
    with pytest.raises(capture.Refusal, match=says):
        capture.read_transform(v1.Compose([step, v1.ToTensor()]))
