# SPDX-License-Identifier: Apache-2.0
"""Pillow changed the order of its resampling passes twice. Each era's pixels beside the Pillow that
has them: 11.3, 12.2 and 13.0, in environments of their own."""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import _core
from torchvision import transforms
from torchvision.transforms import InterpolationMode

WORKER = Path(__file__).with_name("pillow_worker.py")
ERAS = {"11.3": 1, "12.2": 2, "13.0": 3}
PROFILES = {"11.3": "pillow-9", "12.2": "pillow-12.2", "13.0": "pillow-13"}
RESIZE = 2
FILTERS = range(6)

Job = tuple[int, ...]

# (width, height) before and after, with the eras that begin with the vertical pass.
SHAPES = [
    ((40, 30), (20, 15), ()),
    ((37, 90), (36, 20), (3,)),  # 70 > 2 * 1
    ((90, 37), (20, 36), ()),
    ((50, 50), (49, 47), (3,)),  # 3 > 2 * 1
    ((50, 50), (49, 48), ()),  # 2 = 2 * 1
    ((50, 50), (60, 49), (3,)),  # wider and less high
    ((50, 50), (49, 60), ()),
    ((3, 301), (2, 40), (2, 3)),  # 301 > 100 * 3
    ((3, 300), (2, 40), (3,)),
    ((3, 301), (2, 301), ()),
    ((3, 301), (5, 302), ()),
    ((2, 201), (150, 200), (2, 3)),
    ((1, 150), (1, 7), ()),  # one pass is all there is
    ((64, 500), (10, 400), ()),  # 100 < 2 * 54
    ((64, 500), (15, 400), (3,)),  # 100 > 2 * 49
]


def _pixels(width: int, height: int, seed: int) -> Any:
    state = numpy.random.RandomState(seed)
    return state.randint(0, 256, (height, width, 3), dtype=numpy.uint8)


def by_pillow(python: Path, folder: Path, images: Sequence[Any], jobs: Sequence[Job]) -> list[Any]:
    names = {f"image{number}": image for number, image in enumerate(images)}
    numpy.savez(folder / "jobs.npz", jobs=numpy.array(jobs), **names)
    subprocess.run(
        [python, "-W", "ignore", WORKER, folder / "jobs.npz", folder / "results.npz"], check=True
    )
    results = numpy.load(folder / "results.npz")
    return [results[f"result{row}"] for row in range(len(jobs))]


def by_engine(image: Any, resample: int, width: int, height: int, era: int) -> Any:
    """The box that was cut out, resized, as rows of RGB."""
    op = (RESIZE, resample, height, width, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    transform = _core.Transform(
        [op],
        dtype="u8",
        lut=None,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        era=era,
        channels=3,
    )
    rgb = numpy.ascontiguousarray(image)
    words = bytes(4 * transform.max_words)
    result, _ = transform.apply(rgb, image.shape[1], image.shape[0], words)
    return numpy.asarray(memoryview(result)).transpose(1, 2, 0)


def _shape_jobs() -> tuple[list[Any], list[Job]]:
    images = [_pixels(*before, seed) for seed, (before, _, _) in enumerate(SHAPES)]
    jobs = [
        (number, 0, 0, *before, resample, *after)
        for number, (before, after, _) in enumerate(SHAPES)
        for resample in FILTERS
    ]
    return images, jobs


def _random_jobs(n: int) -> tuple[list[Any], list[Job]]:
    """Crops out of one image, of all ratios, to all sizes."""
    rng = random.Random(3)
    jobs = []
    for _ in range(n):
        x, y = sorted(rng.sample(range(260), 2)), sorted(rng.sample(range(260), 2))
        if rng.random() < 0.3:
            x[1] = x[0] + rng.randint(1, 3)
        size = (rng.randint(1, 120), rng.randint(1, 120))
        if rng.random() < 0.2:
            size = (x[1] - x[0], size[1])
        jobs.append((0, x[0], y[0], x[1], y[1], rng.choice(FILTERS), *size))
    return [_pixels(263, 260, 99)], jobs


def _matches(images: Sequence[Any], jobs: Sequence[Job], results: Sequence[Any], era: int) -> Any:
    found = []
    for (number, left, top, right, bottom, resample, width, height), expected in zip(
        jobs, results, strict=True
    ):
        image = images[number][top:bottom, left:right]
        found.append(numpy.array_equal(by_engine(image, resample, width, height, era), expected))
    return found


def test_shapes(era_python: tuple[str, Path], tmp_path: Path) -> None:
    version, python = era_python
    images, jobs = _shape_jobs()
    results = by_pillow(python, tmp_path, images, jobs)
    assert all(_matches(images, jobs, results, ERAS[version]))


def test_random_crops(era_python: tuple[str, Path], tmp_path: Path) -> None:
    version, python = era_python
    images, jobs = _random_jobs(600)
    results = by_pillow(python, tmp_path, images, jobs)
    own = ERAS[version]
    assert all(_matches(images, jobs, results, own))
    # The same jobs tell this Pillow from the others.
    for era in set(ERAS.values()) - {own}:
        assert not all(_matches(images, jobs, results, era))


@pytest.mark.parametrize(("era", "other"), [(1, 2), (1, 3), (2, 3)])
def test_eras_differ_where_their_rules_do(era: int, other: int) -> None:
    """NEAREST has no passes; a filter of one tap in a pass gives no rounding to tell them by."""
    for number, (before, after, vertical) in enumerate(SHAPES):
        image = _pixels(*before, number)
        equal = [
            numpy.array_equal(by_engine(image, f, *after, era), by_engine(image, f, *after, other))
            for f in FILTERS
        ]
        if (era in vertical) == (other in vertical):
            assert all(equal), SHAPES[number]
        else:
            assert not all(equal), SHAPES[number]


# --- end to end


@pytest.fixture(scope="module")
def tall_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNGs, which every Pillow decodes alike, of shapes that tell the eras apart."""
    from PIL import Image

    root = tmp_path_factory.mktemp("tall")
    (root / "one").mkdir()
    for number, (before, _, _) in enumerate(SHAPES):
        Image.fromarray(_pixels(*before, number)).save(root / "one" / f"{number:02}.png")
    for number in range(12):
        Image.fromarray(_pixels(30 + 3 * number, 290 - number, 50 + number)).save(
            root / "one" / f"x{number:02}.png"
        )
    return root


def _read(path: str) -> Any:
    from PIL import Image

    return numpy.asarray(Image.open(path).convert("RGB"))


def _planar(result: Any) -> torch.Tensor:
    return torch.from_numpy(result.copy()).permute(2, 0, 1)


def test_a_pinned_profile_resizes_as_its_pillow(
    era_python: tuple[str, Path], tall_folder: Path, tmp_path: Path
) -> None:
    version, python = era_python
    pipeline = transforms.Compose(
        [transforms.Resize((45, 28), InterpolationMode.BICUBIC), transforms.PILToTensor()]
    )
    dataset = kit.folder_of(tall_folder, pipeline)
    loader = penstock.DataLoader(dataset, batch_size=5, num_workers=2, profile=PROFILES[version])
    assert loader.explain().settings["profile"] == PROFILES[version]
    images = [_read(path) for path, _ in dataset.samples]
    jobs = [(n, 0, 0, i.shape[1], i.shape[0], 3, 28, 45) for n, i in enumerate(images)]
    expected = torch.stack([_planar(one) for one in by_pillow(python, tmp_path, images, jobs)])
    assert torch.equal(torch.cat([batch for batch, _ in loader]), expected)


def test_a_pinned_profile_crops_as_its_pillow(
    era_python: tuple[str, Path], tall_folder: Path, tmp_path: Path
) -> None:
    from PIL import Image

    version, python = era_python
    crop = transforms.RandomResizedCrop(24, scale=(0.1, 1.0), ratio=(0.1, 3.0))
    dataset = kit.folder_of(tall_folder, transforms.Compose([crop, transforms.PILToTensor()]))
    kit.seed_all(4)
    loader = penstock.DataLoader(dataset, batch_size=4, threads=2, profile=PROFILES[version])
    found = torch.cat([batch for batch, _ in loader])
    assert penstock.explain(loader).lane == "native"

    images = [_read(path) for path, _ in dataset.samples]
    kit.seed_all(4)
    torch.empty((), dtype=torch.int64).random_()  # as an iterator does
    jobs = []
    for number, image in enumerate(images):
        top, left, height, width = crop.get_params(Image.fromarray(image), crop.scale, crop.ratio)
        jobs.append((number, left, top, left + width, top + height, 2, 24, 24))
    expected = torch.stack([_planar(one) for one in by_pillow(python, tmp_path, images, jobs)])
    assert torch.equal(found, expected)


def test_the_default_is_the_installed_pillows(tall_folder: Path) -> None:
    import PIL

    loader = penstock.DataLoader(kit.folder_of(tall_folder, kit.eval_v1()))
    wanted = PROFILES.get(".".join(PIL.__version__.split(".")[:2]))
    if wanted is None:
        pytest.skip(f"Pillow {PIL.__version__} is not one of {list(PROFILES)}")
    assert loader.explain().settings["profile"] == wanted
