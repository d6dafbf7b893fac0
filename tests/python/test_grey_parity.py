# SPDX-License-Identifier: Apache-2.0
"""Grey images (Pillow's mode L) against torchvision: each step that the engine takes for them, and
the datasets that make them of files of all formats and modes."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import campaigns
import kit
import numpy as np
import parity_kit
import penstock
import pytest
import torch
from penstock import _core, capture, prepare, steps
from penstock.datasets import ImageFolder, ImageList
from PIL import Image, ImageOps
from torch.utils.data import ConcatDataset, Subset
from torchvision import datasets, transforms
from torchvision.transforms import v2

images = campaigns.load("random_images")
pipelines = campaigns.load("random_pipelines")

pytestmark = pytest.mark.filterwarnings("ignore")


def random_step(rng: random.Random, family: Any) -> Any:
    geometry = [
        pipelines._crop,
        pipelines._resize,
        pipelines._center,
        pipelines._place,
        pipelines._pad,
        pipelines._rotation,
        pipelines._affine,
        pipelines._perspective,
        pipelines._flip,
    ]
    kinds = [*geometry, pipelines._colour, pipelines._colour, pipelines._colour, pipelines._augment]
    step = rng.choice(kinds)(rng, family)
    if rng.random() < 0.05:
        return v2.RGB() if family is v2 and rng.random() < 0.5 else family.Grayscale(1)
    if rng.random() < 0.1 and family is v2:
        parts = [step, pipelines._colour(rng, family)]
        return rng.choice([v2.RandomChoice(parts), v2.RandomOrder(parts)])
    return family.RandomApply([step], rng.random()) if rng.random() < 0.1 else step


def random_pipeline(rng: random.Random) -> Any:
    family = rng.choice([transforms, v2])
    picked = [random_step(rng, family) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.1:
        stack = transforms.Lambda(
            lambda crops: torch.stack([transforms.PILToTensor()(crop) for crop in crops])
        )
        return family.Compose([*picked, pipelines.crops(rng, family), stack])
    picked.append(family.PILToTensor())
    if rng.random() < 0.2:
        picked.append(family.RandomErasing(0.7, value=rng.choice([0, 7])))
    return family.Compose(picked)


def check(pipeline: Any, pixels: Any, seed: int) -> str | None:
    """Colours through a transform for grey images; why it was not compared, or None."""
    image = Image.fromarray(pixels)
    torch.manual_seed(seed)
    try:
        reading = replace(capture.read_transform(pipeline), channels=1)
        transform = prepare.prepare(reading, "pillow-13").transform
    except capture.Refusal as refusal:
        return refusal.reason
    words = parity_kit.words_ahead(transform.max_words + 2)
    h, w = pixels.shape[:2]
    try:
        array, used = transform.apply(pixels, w, h, words)
    except (_core.Error, ValueError) as error:  # the loader asks Pillow then
        return f"{type(error).__name__}: {error}"
    ops = [entry[2] for entry in reading.key if entry[0] in steps.OPS]
    if not parity_kit.exp_is_exact([op for op in ops if op[10:12] != (0.0, 0.0)], words[:used]):
        return "exp"
    expected = np.asarray(pipeline(image.convert("L")))
    found = parity_kit.as_numpy(array)
    assert found.shape == expected.shape, pipeline
    assert found.tobytes() == expected.tobytes(), pipeline
    assert list(parity_kit.words_ahead(2)) == list(words[used : used + 2])
    return None


def name_of(cls: type) -> str:
    return "v2." * (".v2." in cls.__module__) + cls.__name__


def test_every_step_that_is_taken() -> None:
    compared: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for number in range(2500):
        rng = random.Random(number)
        pipeline = random_pipeline(rng)
        pixels = parity_kit.noise(rng.randint(1, 60), rng.randint(1, 60), number)
        if number % 3 == 0:
            pixels = pixels // 64 * 64
        reason = check(pipeline, pixels, number)
        if reason is not None:
            reasons[reason] += 1
            continue
        for step in pipelines.flat(pipeline):
            compared[name_of(type(step))] += 1
    kinds = {cls: kind for cls, kind in steps.kinds().items() if kind.group in steps.OPS}
    for family in (transforms, v2):  # they are refused: torch adds in another order there
        del kinds[family.GaussianBlur], kinds[family.AugMix]
    assert {kind.name for kind in kinds.values()} == prepare._GREY_STEPS
    # They need a loader: what they draw is not in an image's words. Grey images with noise are in
    # test_noise_parity.py.
    for cls in (transforms.RandomChoice, transforms.RandomOrder, v2.GaussianNoise):
        del kinds[cls]
    for cls in kinds:
        assert compared[name_of(cls)] >= 10, (cls, compared, reasons)
    unproven = {reason for reason in reasons if "not proven on grey" in reason}
    assert unproven <= {
        f"{name} is not proven on grey images" for name in ("AugMix", "GaussianBlur")
    }


def test_a_step_that_is_not_proven_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_GREY_STEPS", prepare._GREY_STEPS - {"RandomPosterize"})
    pipeline = transforms.Compose([transforms.RandomPosterize(3), transforms.PILToTensor()])
    reading = replace(capture.read_transform(pipeline), channels=1)
    with pytest.raises(capture.Refusal, match="RandomPosterize is not proven on grey images"):
        prepare.prepare(reading, "pillow-12.2")


def test_all_colours() -> None:
    pixels = np.arange(2**24, dtype=np.uint32)
    planes = [pixels >> 16, pixels >> 8 & 255, pixels & 255]
    colours = np.stack(planes, axis=-1).astype(np.uint8).reshape(4096, 4096, 3)
    assert check(transforms.Compose([transforms.PILToTensor()]), colours, 1) is None


# --- datasets


def grey_loader(path: str) -> Any:
    with open(path, "rb") as file:
        return Image.open(file).convert("L")


def stock_folder(root: Path, transform: Any) -> Any:
    return datasets.ImageFolder(str(root), transform, loader=grey_loader)


def pipeline_v1() -> Any:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(24, (0.3, 1.0)),
            transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.25]),
        ]
    )


def pipeline_of_parts() -> Any:
    colours = [transforms.RandomInvert(0.5), transforms.RandomSolarize(99), transforms.Pad(2, 7)]
    return transforms.Compose(
        [
            transforms.RandomOrder(colours),
            transforms.RandomChoice([transforms.RandomCrop(9), transforms.Resize(9)], [3, 1]),
            transforms.CenterCrop(9),
            transforms.ToTensor(),
        ]
    )


def pipeline_v2() -> Any:
    return v2.Compose(
        [
            v2.Resize((40, 40)),
            v2.RandomCrop(32, 4),
            v2.Grayscale(3),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    )


def whole() -> Any:
    return transforms.PILToTensor()


@pytest.mark.parametrize("seed", range(10))
def test_files_of_every_format_and_mode(seed: int, tmp_path: Path) -> None:
    root = tmp_path / "images"
    lines = images.make_images(random.Random(f"grey {seed}"), root)

    def stock() -> Any:
        return kit.STOCK(stock_folder(root, whole()), batch_size=1), ()

    def ours() -> Any:
        return kit.OURS(ImageFolder(root.as_posix(), whole(), mode="L"), batch_size=1), ()

    kit.assert_same(kit.run(stock, epochs=1), kit.run(ours, epochs=1, native=True))
    loader, _ = ours()
    list(loader)
    counters = loader.stats().counters
    assert counters["samples"] == len(lines)
    assert counters["doubts"] < len(lines) / 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pipeline", [pipeline_v1, pipeline_v2, pipeline_of_parts])
def test_batches(pipeline: Any, workers: int, tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "num_workers": workers}

    def stock() -> Any:
        return kit.STOCK(stock_folder(root, pipeline()), **options), ()

    def ours() -> Any:
        return kit.OURS(ImageFolder(root.as_posix(), pipeline(), mode="L"), **options), ()

    def ours_in_stock() -> Any:
        return kit.STOCK(ImageFolder(root.as_posix(), pipeline(), mode="L"), **options), ()

    def listed() -> Any:
        pairs = stock_folder(root, None).samples
        return kit.OURS(ImageList(pairs, transform=pipeline(), mode="L"), **options), ()

    expected = kit.run(stock, epochs=2)
    kit.assert_same(expected, kit.run(ours, epochs=2, native=True))
    kit.assert_same(expected, kit.run(listed, epochs=2, native=True))
    kit.assert_same(expected, kit.run(ours_in_stock, epochs=2))


def test_samples_without_a_loader(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    expected = stock_folder(root, None)
    for dataset in (
        ImageFolder(root, mode="L"),
        ImageList(expected.samples, mode="L"),
    ):
        assert dataset.mode == "L"
        assert "Mode: L" in repr(dataset)
        for index in range(len(expected)):
            image, label = dataset[index]
            assert (image.mode, label) == ("L", expected[index][1])
            assert image.tobytes() == expected[index][0].tobytes()
    assert "Mode" not in repr(ImageFolder(root))
    for make in (lambda: ImageFolder(root, mode="I;16"), lambda: ImageList([], mode=None)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="mode should be 'RGB' or 'L'"):
            make()


def test_damaged_files_and_orientation(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    exif = Image.Exif()
    exif[0x0112] = 6
    kit.picture("RGB", 50, 30, 7).save(root / "ant/a0.jpg", exif=exif.tobytes())
    cut = root / "bee/b2.png"
    cut.write_bytes(cut.read_bytes()[:300])

    def make(cls: Any, folder: Any, **more: Any) -> Any:
        return lambda: (cls(folder, batch_size=3, **more), ())

    expected = kit.run(make(kit.STOCK, stock_folder(root, pipeline_v1())), epochs=1)
    ours = ImageFolder(root.as_posix(), pipeline_v1(), mode="L")
    kit.assert_same(expected, kit.run(make(kit.OURS, ours), epochs=1, native=True))
    upright = transforms.Compose([ImageOps.exif_transpose, pipeline_v1()])
    expected = kit.run(make(kit.STOCK, stock_folder(root, upright)), epochs=1)
    kit.assert_same(expected, kit.run(make(kit.OURS, ours, exif=True), epochs=1, native=True))


def test_parts_and_sums(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")

    def joined(cls: Any, **more: Any) -> Any:
        first, second = (cls(root, pipeline_v1(), **more) for _ in range(2))
        return ConcatDataset([Subset(first, [5, 1, 3]), second])

    expected = kit.run(lambda: (kit.STOCK(joined(stock_folder), batch_size=4), ()))
    ours = kit.run(lambda: (kit.OURS(joined(ImageFolder, mode="L"), batch_size=4), ()), native=True)
    kit.assert_same(expected, ours)
    plain = transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()])
    mixed = ConcatDataset([ImageFolder(root, plain, mode="L"), ImageFolder(root, plain)])
    assert "some of its images are grey" in penstock.explain(kit.OURS(mixed)).reason


def test_states_and_reports_know_the_mode(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    steps_of_both = transforms.Compose([transforms.Resize((9, 9)), transforms.ToTensor()])

    def loader(mode: Any) -> Any:
        return kit.OURS(ImageFolder(root, steps_of_both, mode=mode), batch_size=2)

    grey = loader("L")
    iterator = iter(grey)
    next(iterator)
    state = grey.state_dict()
    again = loader("L")
    again.load_state_dict(state)
    assert torch.equal(next(iter(again))[0], next(iterator)[0])
    with pytest.raises(ValueError, match="fingerprint"):
        loader("RGB").load_state_dict(state)
    assert penstock.verify(loader("L"), batches=3).ok
    page = tmp_path / "report.html"
    penstock.report(loader("L"), page, batches=2)
    assert "the levels that they were before" in page.read_text()
