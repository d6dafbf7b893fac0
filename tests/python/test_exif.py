# SPDX-License-Identifier: Apache-2.0
"""exif=True against torchvision's ImageFolder with ImageOps.exif_transpose() in front of its
transforms, and that call in front of them."""

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import _core, capture, verification
from PIL import Image, ImageOps
from torch.utils.data import ConcatDataset, Subset
from torchvision import datasets, transforms
from torchvision.transforms import v2

ORIENTATION = 0x0112
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def encoded(number: int, orientation: Any, format: str, **options: Any) -> bytes:
    image = kit.picture("RGB", 30 + number % 17, 21 + number % 11, number)
    if orientation is not None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        exif[0x010F] = "a maker with a longer name"  # data behind the directory
        options["exif"] = exif
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def doubtful() -> dict[str, bytes]:
    """What Pillow decides, of the way up or of the pixels."""
    twice = encoded(3, 6, "JPEG")
    length = int.from_bytes(twice[4:6], "big")
    tiff = encoded(4, 6, "TIFF")
    cut = encoded(5, 8, "JPEG", quality=95)
    sixteen = io.BytesIO()
    grey = Image.new("I;16", (31, 22), 200)
    exif = Image.Exif()
    exif[ORIENTATION] = 5
    grey.save(sixteen, "PNG", exif=exif)
    return {
        "twice.jpg": twice[:2] + twice[2 : 4 + length] + twice[2:],
        "tiff.tif": tiff,
        "cut.jpg": cut[:-40],
        "sixteen.png": sixteen.getvalue(),
        "deflated.png": encoded(6, None, "PNG", pnginfo=raw_profile(7)),
    }


def raw_profile(orientation: int) -> Any:
    from PIL.PngImagePlugin import PngInfo

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    info = PngInfo()
    body = exif.tobytes().hex()
    info.add_text("Raw profile type exif", f"\nexif\n{len(body) // 2:8}\n{body}\n", zip=True)
    return info


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("turned")
    for number in range(27):
        ending = random.Random(number).choice(list(FORMATS))
        path = root / f"class{number % 3}" / f"{number:02}.{ending}"
        path.parent.mkdir(exist_ok=True)
        orientation = None if number >= 24 else number % 8 + 1
        path.write_bytes(encoded(number, orientation, FORMATS[ending]))
    for name, data in doubtful().items():
        (root / "class1" / name).write_bytes(data)
    return root


PIPELINES: dict[str, Callable[[], list[Any]]] = {
    "train": lambda: kit.train_v1(12).transforms,
    "eval": lambda: kit.eval_v1().transforms,
    "v2": lambda: kit.train_v2().transforms,
    "colour": lambda: [
        transforms.RandomRotation(30, expand=True),
        transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
        v2.Resize((18, 26)),
        transforms.ToTensor(),
        transforms.RandomErasing(),
    ],
    # Too large a mirror for some: the engine refuses them and the transform itself finishes.
    "refused": lambda: [
        transforms.RandomHorizontalFlip(),
        transforms.Pad((24, 3), padding_mode="reflect"),
        transforms.RandomCrop((18, 19)),
        transforms.ToTensor(),
    ],
    "ragged": lambda: [transforms.Resize(15), transforms.ToTensor()],
}


def lives(root: Path, name: str, **options: Any) -> None:
    def stock() -> Any:
        turned = transforms.Compose([ImageOps.exif_transpose, *PIPELINES[name]()])
        return kit.STOCK(kit.folder_of(root, turned), **options), ()

    def ours() -> Any:
        plain = transforms.Compose(PIPELINES[name]())
        return kit.OURS(kit.folder_of(root, plain), exif=True, **options), ()

    kit.assert_same(kit.run(stock, seed=3), kit.run(ours, seed=3, native=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", PIPELINES)
def test_equals_exif_transpose(root: Path, name: str, num_workers: int) -> None:
    size = 1 if name == "ragged" else 4
    lives(root, name, batch_size=size, shuffle=True, num_workers=num_workers)


@pytest.mark.filterwarnings("ignore")
def test_batches_of_several_shapes(root: Path) -> None:
    lives(root, "ragged", batch_size=2, num_workers=2)


@pytest.mark.filterwarnings("ignore")
def test_without_it_images_are_as_they_lie(root: Path) -> None:
    def make(kind: type) -> Any:
        return lambda: (kind(kit.folder_of(root, kit.eval_v1()), 4), ())

    kit.assert_same(kit.run(make(kit.STOCK)), kit.run(make(kit.OURS), native=True))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_way(tmp_path: Path, orientation: int) -> None:
    """Whole images, no pixel of which is resampled."""
    path = tmp_path / "one" / "a.png"
    path.parent.mkdir()
    path.write_bytes(encoded(2, orientation, "PNG"))
    loader = kit.OURS(kit.folder_of(tmp_path, transforms.PILToTensor()), exif=True)
    ((images, _),) = loader
    expected = ImageOps.exif_transpose(Image.open(path).convert("RGB"))
    assert images[0].equal(transforms.functional.pil_to_tensor(expected))
    assert loader.stats().as_dict()["doubts"] == 0
    assert any(stage.name == "exif" for stage in loader.explain().stages)


def test_it_is_the_engines_alone(root: Path) -> None:
    dataset = kit.folder_of(root, transforms.Lambda(lambda image: torch.zeros(1)))
    with pytest.raises(ValueError, match="exif"):
        iter(kit.OURS(dataset, exif=True))
    with pytest.raises(TypeError, match="exif should be True or False"):
        kit.OURS(dataset, exif=1)
    with pytest.raises(ValueError, match="exif"):
        penstock.verify(kit.OURS(dataset, exif=True))


def pairs(root: Path) -> Any:
    """What may be made of datasets, with torchvision's way to hold two transforms and ours."""
    whole = kit.folder_of(root, kit.train_v1(16))
    parts = [Subset(kit.folder_of(root, kit.train_v1(16)), range(0, 9, 2)), whole]
    return {
        "folder": whole,
        "parts": ConcatDataset(parts),
        "own": penstock.datasets.ImageFolder(root, kit.train_v1(16), cache=False),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["folder", "parts", "own"])
def test_verify(root: Path, name: str, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's loader over upright images it is equal; without, it would not be."""
    dataset = pairs(root)[name]
    transform = getattr(dataset, "transform", None)
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=num_workers, exif=True)
    seen = penstock.verify(loader, batches=None)
    assert seen.ok, seen
    assert seen.lane == "native"
    assert seen.samples > len(FORMATS)
    assert loader.dataset is dataset
    assert getattr(dataset, "transform", None) is transform
    monkeypatch.setattr(verification, "_stock", lambda loader: loader)
    assert not penstock.verify(loader, batches=None)


# --- exif_transpose() as a step of the user's

FRONTS: dict[str, Callable[[list[Any]], Any]] = {
    "itself": lambda steps: transforms.Compose([ImageOps.exif_transpose, *steps]),
    "nested": lambda steps: v2.Compose(
        [v2.Identity(), transforms.Compose([ImageOps.exif_transpose]), *steps]
    ),
    "lambda v1": lambda steps: transforms.Compose(
        [transforms.Lambda(ImageOps.exif_transpose), *steps]
    ),
    "lambda v2": lambda steps: v2.Compose([v2.Lambda(ImageOps.exif_transpose), *steps]),
}


def odd_exif(root: Path) -> None:
    """Turned images whose EXIF Pillow cannot write, or writes only after it has read more."""
    entries = [
        (0x0110, 9, 1, 0xFFFFFFFF),
        (0x8825, 4, 1, 0),  # directories: the file itself, and one that is not there
        (0x8769, 4, 1, 1 << 20),
        (0x8769, 4, 1, 0xFFFFFFFF),
        (0xA005, 4, 1, 8),
        (0x0111, 5, 1, 8),
        (0x9003, 3, 1, 70000),
    ]
    for number, entry in enumerate(entries):
        body = b"II*\0\x08\0\0\0\x02\0"
        for tag, kind, count, data in sorted([(ORIENTATION, 3, 1, 6), entry]):
            body += struct.pack("<HHII", tag, kind, count, data)
        kit.picture("RGB", 30, 20, number).save(
            root / f"odd{number}.jpg", exif=b"Exif\0\0" + body + b"\0\0\0\0"
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["train", "colour", "refused"])
@pytest.mark.parametrize("front", FRONTS)
def test_the_users_own_call(root: Path, front: str, name: str, num_workers: int) -> None:
    def make(kind: type) -> Any:
        def made() -> Any:
            dataset = kit.folder_of(root, FRONTS[front](PIPELINES[name]()))
            return kind(dataset, 4, shuffle=True, num_workers=num_workers), ()

        return made

    kit.assert_same(kit.run(make(kit.STOCK), seed=3), kit.run(make(kit.OURS), seed=3, native=True))


@pytest.mark.filterwarnings("ignore")
def test_exif_that_pillow_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    odd_exif(tmp_path / "one")
    pipeline = FRONTS["itself"](kit.eval_v1().transforms)

    def make(kind: type) -> Any:
        return lambda: (kind(kit.folder_of(tmp_path, pipeline), 1), ())

    stock = kit.run(make(kit.STOCK))
    kit.assert_same(stock, kit.run(make(kit.OURS), native=True))
    assert any(step[0] == "error" for step in stock)
    assert any(step[0] == "batch" for step in stock)


@pytest.mark.filterwarnings("ignore")
def test_turned_images_are_pillows_and_upright_ones_are_not(root: Path) -> None:
    steps = [transforms.Resize((9, 9)), transforms.ToTensor()]
    n_turned = sum(
        ImageOps.exif_transpose(image := Image.open(path)).getexif() != image.getexif()
        for path in root.glob("*/*")
        if path.name not in ("cut.jpg", "twice.jpg")
    )
    loader = kit.OURS(kit.folder_of(root, FRONTS["itself"](steps)), 1)
    for _ in kit.walk(iter(loader), 100, lambda: None):
        pass
    counters = loader.stats().counters
    assert n_turned <= counters["doubts"] < counters["samples"]
    assert n_turned > 20


@pytest.mark.filterwarnings("ignore")
def test_both_turn_once(root: Path) -> None:
    both = FRONTS["lambda v1"](PIPELINES["refused"]())
    loader = kit.OURS(kit.folder_of(root, both), 3, exif=True)
    assert loader.explain().lane == "native"
    assert penstock.verify(loader, batches=None).ok


@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_of_an_array_are_upright(num_workers: int) -> None:
    pixels = numpy.random.default_rng(1).integers(0, 256, (7, 8, 9, 3), dtype=numpy.uint8)
    pipeline = FRONTS["itself"]([transforms.RandomCrop(6), transforms.ToTensor()])

    def make(kind: type) -> Any:
        dataset = kit.bare(datasets.CIFAR10, pipeline, data=pixels, targets=[0] * 7)
        return lambda: (kind(dataset, 3, num_workers=num_workers), ())

    kit.assert_same(kit.run(make(kit.STOCK)), kit.run(make(kit.OURS), native=True))


def other(image: Any, *, in_place: bool = False) -> Any:
    return image


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([transforms.CenterCrop(9), ImageOps.exif_transpose], "is not the first step"),
        ([v2.RandomApply([v2.Lambda(ImageOps.exif_transpose)])], "is not the first step"),
        ([ImageOps.exif_transpose, ImageOps.exif_transpose], "is not the first step"),
        ([transforms.Lambda(other)], "Lambda: it calls .*other"),
        ([v2.Lambda(ImageOps.exif_transpose, Image.Image)], "Lambda: types are"),
        ([other], "other has no native counterpart"),
        ([transforms.ToTensor(), ImageOps.exif_transpose], "is not the first step"),
        ([transforms.ToTensor(), transforms.Lambda(other)], "Lambda: it calls .*other"),
    ],
)
def test_what_is_no_known_call(steps: list[Any], reason: str) -> None:
    with pytest.raises(capture.Refusal, match=reason):
        capture.read_transform(transforms.Compose([*steps, transforms.PILToTensor()]))


def test_refused_by_the_engine() -> None:
    op = (36, 0, 0, 0, 0, 0, *(0.0,) * 6, (), 2, ())
    none = (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="a count of 2, expected 0 or 1"):
        _core.Transform(
            [op], dtype="u8", lut=None, mean=none, std=none, era=3, channels=3, layout=0
        )


def test_a_function_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = FRONTS["itself"]([transforms.PILToTensor()])
    capture.read_transform(pipeline)
    monkeypatch.setattr(ImageOps, "exif_transpose", other)
    for function in (pipeline.transforms[0], other):
        with pytest.raises(capture.Refusal, match="has no native counterpart"):
            capture.read_transform(transforms.Compose([function, transforms.PILToTensor()]))
