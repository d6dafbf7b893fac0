# SPDX-License-Identifier: Apache-2.0
"""RandomRotation and RandomAffine against torchvision, and the pixels of each era of Pillow."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import parity_kit
import pytest
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import capture
from torchvision.transforms import InterpolationMode

MANY = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([v1, v2])
sizes = (
    st.tuples(st.integers(1, 60), st.integers(1, 60))
    | st.tuples(st.integers(1, 4), st.integers(1, 300))
    | st.tuples(st.integers(1, 300), st.integers(1, 4))
)
seeds = st.integers(0, 2**32 - 1)
filters = st.sampled_from(
    [InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]
)
levels = st.integers(0, 255)
fills = st.sampled_from([0, 255, 12.7, None]) | st.tuples(levels, levels, levels)
rights = st.sampled_from([-360, -180, -90, 0, 45, 90, 180, 270, 360, 450])
angles = rights | st.floats(-400, 400)
degrees = st.builds(lambda a, b: sorted((a, b)), angles, angles) | rights.map(lambda a: [a, a])
places = st.floats(-50, 350) | st.integers(-5, 60)
centers = st.none() | st.tuples(places, places) | st.just((0, 0))


def check(family: ModuleType, steps: list[Any], size: tuple[int, int], seed: int) -> None:
    pipeline = family.Compose([*steps, family.PILToTensor()])
    assert parity_kit.check(pipeline, parity_kit.noise(*size, seed), seed)


@MANY
@given(families, degrees, filters, st.booleans(), centers, fills, sizes, seeds)
@example(v1, [90, 90], InterpolationMode.BILINEAR, False, None, 7, (20, 31), 1)  # no quarter turn
@example(v1, [90, 90], InterpolationMode.BILINEAR, True, None, 7, (20, 31), 1)
@example(v2, [270, 270], InterpolationMode.NEAREST, False, None, 7, (31, 31), 1)
@example(v2, [180, 180], InterpolationMode.BICUBIC, False, (0, 0), (1, 2, 3), (31, 30), 1)
def test_random_rotation(
    family: ModuleType,
    degrees: Any,
    filter: Any,
    expand: bool,
    center: Any,
    fill: Any,
    size: tuple[int, int],
    seed: int,
) -> None:
    check(family, [family.RandomRotation(degrees, filter, expand, center, fill)], size, seed)


shares = st.floats(0, 1)
scales = st.builds(lambda a, b: sorted((a, b)), st.floats(0.01, 10), st.floats(0.5, 2))
shears = (
    st.none()
    | st.floats(0, 90)
    | st.builds(lambda a, b: sorted((a, b)), st.floats(-90, 90), st.floats(-30, 30))
    | st.builds(lambda a, b: [-a, a, *sorted((b, 5))], st.floats(0, 60), st.floats(-60, 60))
)


@MANY
@given(
    families,
    st.just(0) | degrees,
    st.none() | st.tuples(shares, shares),
    st.none() | scales,
    shears,
    filters,
    fills,
    centers,
    sizes,
    seeds,
)
@example(v1, 0, (0.1, 0.2), None, None, InterpolationMode.NEAREST, 0, None, (33, 32), 1)
@example(v1, 0, (1.0, 1.0), None, None, InterpolationMode.BILINEAR, 9, None, (33, 32), 1)
@example(v2, 0, None, (0.5, 0.5), None, InterpolationMode.NEAREST, 9, None, (300, 320), 1)
@example(v2, 0, None, (1e-4, 1e-4), [10, 10], InterpolationMode.NEAREST, 9, None, (30, 32), 1)
def test_random_affine(
    family: ModuleType,
    degrees: Any,
    translate: Any,
    scale: Any,
    shear: Any,
    filter: Any,
    fill: Any,
    center: Any,
    size: tuple[int, int],
    seed: int,
) -> None:
    step = family.RandomAffine(degrees, translate, scale, shear, filter, fill, center)
    check(family, [step], size, seed)


@MANY
@given(families, st.data(), sizes, seeds)
def test_warps_among_other_steps(
    family: ModuleType, data: st.DataObject, size: tuple[int, int], seed: int
) -> None:
    warp = st.builds(
        lambda d, f, expand: family.RandomRotation(d, f, expand, fill=3),
        degrees,
        filters,
        st.booleans(),
    ) | st.builds(
        lambda d, t, f: family.RandomAffine(d, (t, t), (0.5, 1.5), 20, f), degrees, shares, filters
    )
    other = st.sampled_from(
        [
            family.RandomHorizontalFlip(),
            family.CenterCrop((27, 30)),
            family.Resize((21, 39)),
            family.RandomCrop(25, 4, True, 8),
        ]
    )
    check(family, data.draw(st.lists(warp | other, max_size=4)), size, seed)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (v1.RandomRotation(5, InterpolationMode.BOX), "interpolation is"),
        (v2.RandomRotation(5, "lanczos"), "interpolation is"),
        (v1.RandomRotation((5, 1)), "degrees is"),
        (v1.RandomRotation(1, fill=(1, 2)), "fill is"),
        (v1.RandomAffine(1e7), "degrees is"),
        (v1.RandomAffine(1, scale=(1.0, 0.5)), "scale is"),
        (v1.RandomAffine(1, shear=(1.0, 0.5)), "shear is"),
        (v1.RandomPerspective(), "no native counterpart"),
    ],
)
def test_refused(step: Any, says: str) -> None:
    with pytest.raises(capture.Refusal, match=says):
        capture.read_transform(v1.Compose([step, v1.ToTensor()]))


IN_PILLOW = """
import sys
import numpy as np
from PIL import Image
given = np.load(sys.argv[1])
results = {}
for name in given.files:
    seed, w, h, angle, resample, expand, fill = given[name]
    w, h = int(w), int(h)
    pixels = np.random.default_rng(int(seed)).integers(0, 256, (h, w, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    results[name] = np.asarray(
        image.rotate(angle, int(resample), bool(expand), fillcolor=(int(fill),) * 3)
    )
np.savez(sys.argv[2], **results)
"""


def era_cases() -> list[tuple[float, ...]]:
    rng = np.random.default_rng(5)
    cases = []
    for seed in range(500):
        w, h = rng.integers(1, 80, 2)
        angle = float(np.float32(rng.uniform(-400, 400)))
        if seed % 5 == 0:
            angle = float(rng.integers(-4, 5) * 90)
        filter = (0, 2, 3)[int(rng.integers(0, 3))]
        cases.append((seed, w, h, angle, filter, rng.integers(0, 2), rng.integers(0, 256)))
    return cases


def test_eras_of_pillow(era_python: tuple[str, Path], tmp_path: Path) -> None:
    """A warp is the same in all of them."""
    _, python = era_python
    cases = {str(case[0]): case for case in era_cases()}
    np.savez(tmp_path / "given.npz", **{name: np.array(case) for name, case in cases.items()})
    files = [tmp_path / "given.npz", tmp_path / "results.npz"]
    subprocess.run([python, "-c", IN_PILLOW, *files], check=True)
    modes = {
        0: InterpolationMode.NEAREST,
        2: InterpolationMode.BILINEAR,
        3: InterpolationMode.BICUBIC,
    }
    with np.load(files[1]) as results:
        for name, (seed, w, h, angle, filter, expand, fill) in cases.items():
            turn = v1.RandomRotation((angle, angle), modes[filter], bool(expand), fill=int(fill))
            transform = parity_kit.native(v1.Compose([turn, v1.PILToTensor()]))
            pixels = parity_kit.noise(int(w), int(h), int(seed))
            array, _ = transform.apply(pixels, int(w), int(h), bytes(4))
            assert np.array_equal(parity_kit.as_numpy(array), results[name].transpose(2, 0, 1)), (
                cases[name]
            )
