# SPDX-License-Identifier: Apache-2.0
"""FiveCrop and TenCrop against torchvision and torch's loader: pixels, what batches look like, and
which of the functions that users put behind them are known."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy as np
import parity_kit
import penstock
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import capture, doubts
from penstock.datasets import ImageFolder
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, Subset
from torchvision import datasets, transforms
from torchvision.transforms import functional, v2
from torchvision.transforms import functional as tf

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SIDE = 20
FIRST = "may change the first alone of several pure tensors"
SCALE = v2.ToDtype(torch.float32, scale=True)
MEANS, STDS = [0.1, 0.2, 0.3], (0.5, 0.6, 0.7)
normalize = transforms.Normalize(kit.MEAN, kit.STD)
to_tensor = transforms.ToTensor()
both = transforms.Compose([transforms.ToTensor(), v2.Identity(), normalize])
unwrapped = v2.Compose([v2.ToImage(), v2.ToPureTensor()])


def stack_them(crops: Any) -> torch.Tensor:
    return torch.stack([both(crop) for crop in crops])


def described(crops: Any) -> torch.Tensor:
    """A docstring is no part of what a function does."""
    return torch.stack([functional.pil_to_tensor(crop) for crop in crops])


def in_a_closure() -> Callable[[Any], torch.Tensor]:
    to_numbers, norm = v2.ToImage(), transforms.Normalize([0.5], [0.25])
    scale = v2.ToDtype(torch.float32, scale=True)
    return lambda crops: torch.stack([norm(scale(to_numbers(crop))) for crop in crops], dim=0)


def v1(*steps: Any, vertical: bool | None = None, size: Any = SIDE) -> Any:
    crops = transforms.FiveCrop(size) if vertical is None else transforms.TenCrop(size, vertical)
    return transforms.Compose([transforms.Resize(24), crops, *steps])


def fn(function: Any) -> Any:
    return transforms.Lambda(function)


# Behind a tuple of crops; the results are stacked, and so a batch has one tensor of them.
STACKED: dict[str, Callable[[], Any]] = {
    "docstring": lambda: v1(
        fn(lambda crops: torch.stack([transforms.PILToTensor()(crop) for crop in crops]))
    ),
    "ten": lambda: v1(
        fn(lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops])),
        vertical=False,
    ),
    "upside_down": lambda: v1(
        fn(lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops])),
        vertical=True,
        size=(13, 24),
    ),
    "then_normalize": lambda: v1(
        fn(lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops])),
        fn(lambda tensors: torch.stack([normalize(t) for t in tensors])),
        vertical=False,
    ),
    "normalize_inside": lambda: v1(
        fn(lambda crops: torch.stack([normalize(transforms.ToTensor()(crop)) for crop in crops]))
    ),
    "a_list_between": lambda: v1(
        fn(lambda crops: [transforms.ToTensor()(crop) for crop in crops]),
        fn(lambda crops: torch.stack([normalize(crop) for crop in crops])),
    ),
    "a_list_stacked": lambda: v1(
        fn(lambda crops: [to_tensor(crop) for crop in crops]),
        fn(lambda crops: torch.stack(crops)),
    ),
    "constants": lambda: v1(
        fn(
            lambda crops: torch.stack(
                [
                    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(
                        transforms.ToTensor()(crop)
                    )
                    for crop in crops
                ]
            )
        )
    ),
    "keywords": lambda: v1(
        fn(lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops])),
        fn(
            lambda tensors: torch.stack(
                [transforms.Normalize(mean=(0.5,), std=(0.25,))(t) for t in tensors]
            )
        ),
    ),
    "names": lambda: v1(
        fn(lambda crops: torch.stack([tf.to_tensor(crop) for crop in crops])),
        fn(
            lambda ts: torch.stack(
                [transforms.Normalize(mean=MEANS, std=STDS, inplace=True)(t) for t in ts], 0
            )
        ),
    ),
    "def": lambda: v1(fn(stack_them)),
    "no_lambda": lambda: v1(stack_them, vertical=True),
    "docstrings": lambda: v1(described),
    "closure": lambda: v1(fn(in_a_closure())),
    "normalize_behind": lambda: v1(
        fn(lambda crops: torch.stack([tf.to_tensor(crop) for crop in crops])), normalize
    ),
    "v2_functions": lambda: v2.Compose(
        [
            v2.Resize(24),
            v2.TenCrop([SIDE]),
            lambda crops: torch.stack([v2.functional.to_image(crop) for crop in crops]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    ),
    "behind_draws": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(40),
            transforms.ColorJitter(0.3, 0.3),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.RandomRotation(20)]),
            transforms.TenCrop(SIDE),
            fn(lambda crops: torch.stack([transforms.PILToTensor()(crop) for crop in crops])),
        ]
    ),
    "grey": lambda: transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(30),
            transforms.TenCrop(28),
            fn(lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops])),
            fn(
                lambda tensors: torch.stack(
                    [transforms.Normalize(mean=(0.5,), std=(0.5,))(t) for t in tensors]
                )
            ),
        ]
    ),
    "nested": lambda: transforms.Compose(
        [
            transforms.Resize(24),
            transforms.Compose([transforms.FiveCrop(SIDE), nn.Sequential(v2.Identity())]),
            transforms.Compose([fn(stack_them)]),
        ]
    ),
}
# The image is a tensor already when it is cut.
OF_TENSORS: dict[str, Callable[[], Any]] = {
    "stack": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(30),
            transforms.ToTensor(),
            transforms.RandomHorizontalFlip(),
            transforms.TenCrop(SIDE),
            fn(lambda crops: torch.stack(crops)),
        ]
    ),
    "normalized_before": lambda: transforms.Compose(
        [
            transforms.Resize(24),
            both,
            transforms.TenCrop((20, 24), vertical_flip=True),
            lambda crops: torch.stack([crop for crop in crops]),  # noqa: C416
        ]
    ),
    "normalized_behind": lambda: transforms.Compose(
        [
            transforms.Resize(24),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
            transforms.FiveCrop(SIDE),
            fn(lambda crops: torch.stack([normalize(crop) for crop in crops])),
        ]
    ),
    "v1_apart": lambda: transforms.Compose(
        [transforms.Resize(24), transforms.ToTensor(), transforms.FiveCrop(SIDE)]
    ),
    "v2": lambda: v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(24, antialias=True),
            v2.TenCrop(SIDE),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    ),
    "v2_last": lambda: v2.Compose(
        [
            v2.Resize(24),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomVerticalFlip(),
            v2.FiveCrop(SIDE),
        ]
    ),
    "v2_pure_before": lambda: v2.Compose([v2.Resize(24), v2.PILToTensor(), v2.FiveCrop(SIDE)]),
}
# Nothing stacks them: a batch has a list of tensors.
APART: dict[str, Callable[[], Any]] = {
    "v2": lambda: v2.Compose(
        [
            v2.Resize(24),
            v2.FiveCrop(SIDE),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    ),
    "v2_pure": lambda: v2.Compose(
        [
            v2.RandomResizedCrop(30),
            v2.TenCrop(SIDE, vertical_flip=True),
            v2.Compose([v2.ToImage(), v2.ConvertImageDtype(torch.float32)]),
            v2.ToPureTensor(),
            v2.Identity(),
        ]
    ),
    "v2_pixels": lambda: v2.Compose([v2.Resize(24), v2.TenCrop((5, 24)), v2.PILToTensor()]),
    "v2_uint8": lambda: v2.Compose([v2.Resize((24, 22)), v2.FiveCrop((24, 22)), v2.ToImage()]),
    "v1_list": lambda: v1(fn(lambda crops: [normalize(tf.to_tensor(crop)) for crop in crops])),
    "mixed": lambda: transforms.Compose(
        [transforms.Resize(24), transforms.TenCrop(SIDE), v2.ToImage(), v2.ToDtype(torch.float32)]
    ),
}
ALL = {**STACKED, **APART, **{f"of_tensors_{name}": make for name, make in OF_TENSORS.items()}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def compare(make: Callable[[type], Any], *, native: bool = True, epochs: int = 2) -> None:
    def life(cls: type, is_native: bool) -> list[tuple[Any, ...]]:
        return kit.run(lambda: (make(cls), ()), epochs=epochs, native=is_native)

    kit.assert_same(life(kit.STOCK, False), life(kit.OURS, native))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ALL)
def test_batches(root: Path, name: str, workers: int) -> None:
    dataset = kit.folder_of(root, ALL[name]())
    compare(lambda cls: cls(dataset, 4, shuffle=True, num_workers=workers))


@pytest.mark.parametrize("name", ["ten", "v2_pure", "behind_draws"])
def test_epochs_of_persistent_workers(root: Path, name: str) -> None:
    dataset = kit.folder_of(root, ALL[name]())
    more: dict[str, Any] = {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 1}
    compare(lambda cls: cls(dataset, 3, shuffle=True, drop_last=True, **more), epochs=3)


@pytest.mark.parametrize("name", ["then_normalize", "v2"])
@pytest.mark.parametrize("workers", [0, 2])
def test_parts(root: Path, name: str, workers: int) -> None:
    whole = kit.folder_of(root, ALL[name]())
    parts = ConcatDataset([Subset(whole, [3, 1, 4, 1, 5]), Subset(whole, range(9))])
    compare(lambda cls: cls(parts, 4, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["ten", "v2"])
def test_images_in_memory(name: str, workers: int) -> None:
    data = np.random.default_rng(3).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    dataset = kit.bare(datasets.CIFAR10, ALL[name](), data=data, targets=[0, 1] * 20)
    compare(lambda cls: cls(dataset, 16, shuffle=True, num_workers=workers))
    bare = ALL[name]()
    bare.transforms.pop(0)  # of the image itself
    dataset = kit.bare(datasets.CIFAR10, bare, data=data, targets=[0, 1] * 20)
    compare(lambda cls: cls(dataset, 16, shuffle=True, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["docstring", "grey", "keywords", "v2_pixels"])
def test_grey_images(root: Path, name: str, workers: int) -> None:
    data = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (30, 28, 28), np.uint8))
    dataset = kit.bare(datasets.MNIST, ALL[name](), data=data, targets=torch.arange(30) % 10)
    compare(lambda cls: cls(dataset, 8, num_workers=workers))

    def make(cls: type) -> Any:
        if cls is kit.OURS:
            return cls(ImageFolder(root, ALL[name](), mode="L"), 4, num_workers=workers)
        folder = kit.folder_of(root, ALL[name](), loader=lambda path: Image.open(path).convert("L"))
        return cls(folder, 4, num_workers=workers)

    compare(make)


def brought_to(batch: Any, dtype: torch.dtype) -> Any:
    images, labels = batch
    if isinstance(images, list):
        return [[image.to(dtype) for image in images], labels]
    return [images.to(dtype), labels]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["docstring", "ten", "v2", "v2_pixels"])
def test_dtypes(root: Path, name: str, dtype: torch.dtype) -> None:
    dataset = kit.folder_of(root, ALL[name]())
    stock = [kit.visible(brought_to(batch, dtype)) for batch in kit.STOCK(dataset, 4)]
    ours = [kit.visible(batch) for batch in kit.OURS(dataset, 4, out_dtype=dtype)]
    assert ours == stock


@pytest.mark.parametrize("name", ["docstring", "ten", "v2", "v2_pixels"])
def test_channels_last(root: Path, name: str) -> None:
    """Of each image: where several are in one tensor they make one batch of such images."""
    dataset = kit.folder_of(root, ALL[name]())
    stock = list(kit.STOCK(dataset, 4))
    ours = list(kit.OURS(dataset, 4, memory_format=torch.channels_last))
    for (expected, _), (found, _) in zip(stock, ours, strict=True):
        pairs = [(expected, found)]
        if isinstance(expected, list):
            pairs = list(zip(expected, found, strict=True))
        for one, other in pairs:
            assert torch.equal(one, other)
            flat = other.view(-1, *other.shape[-3:])
            assert flat.is_contiguous(memory_format=torch.channels_last)


def test_draws_of_a_sample_alone(root: Path) -> None:
    dataset = kit.folder_of(root, APART["v2_pure"]())
    batches = [
        list(kit.OURS(dataset, size, rng="sample", num_workers=workers))
        for size, workers in ((4, 0), (17, 2))
    ]
    first = [torch.cat(crop) for crop in zip(*(images for images, _ in batches[0]), strict=True)]
    assert all(map(torch.equal, first, batches[1][0][0]))


def test_tensors_of_their_own(root: Path) -> None:
    """As the default collate makes them: nothing is shared but the memory's owner."""
    (images, _), *_ = kit.OURS(kit.folder_of(root, APART["v2"]()), 4)
    before = [image.clone() for image in images]
    images[0].zero_()
    assert images[1]._version == 0
    assert images[1].untyped_storage().nbytes() == images[1].numel() * 4
    assert all(map(torch.equal, images[1:], before[1:]))
    last = images[-1]
    del images
    gc.collect()
    assert torch.equal(last, before[-1])


# --- pixels

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes, sizes, st.sampled_from([None, False, True]), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_size(
    size: tuple[int, int], crop: tuple[int, int], vertical: bool | None, is_v2: bool, seed: int
) -> None:
    family: Any = v2 if is_v2 else transforms
    crops = family.FiveCrop(crop) if vertical is None else family.TenCrop(crop, vertical)
    pipeline = family.Compose(
        [crops, lambda crops: torch.stack([transforms.PILToTensor()(crop) for crop in crops])]
    )
    assert parity_kit.check(pipeline, parity_kit.noise(*size, seed), seed, "crops of .* pixels")


# --- images that are too small


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["v1", "v2"])
def test_smaller_images(root: Path, name: str, workers: int) -> None:
    """The words of the steps before the crops are drawn; the exception is stock's."""
    family: Any = v2 if name == "v2" else transforms
    crop = family.TenCrop((40, 41))
    pipeline = family.Compose([family.RandomHorizontalFlip(), crop, stack_them])
    dataset = kit.folder_of(root, pipeline)
    compare(lambda cls: cls(dataset, 2, shuffle=True, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("on_error", ["skip", "substitute"])
@pytest.mark.parametrize("is_apart", [False, True])
def test_smaller_images_are_left_out(
    root: Path, is_apart: bool, on_error: Any, workers: int
) -> None:
    tail = [v2.PILToTensor()] if is_apart else [described]
    crops = v2.Compose([v2.FiveCrop(40), *tail])
    dataset = kit.folder_of(root, crops)
    fine = []
    for index in range(len(dataset)):
        width, height = dataset.loader(dataset.samples[index][0]).size
        if width >= 40 and height >= 40:
            fine.append(index)
    assert 4 < len(fine) < len(dataset) - 4
    loader = kit.OURS(dataset, 5, num_workers=workers, on_error=on_error)
    assert kit.is_native(iter(loader))
    seen: list[int] = []
    for images, labels in loader:
        parts = torch.stack(images, 1) if is_apart else images
        for sample, label in zip(parts, labels, strict=True):
            index = next(i for i in fine if torch.equal(whole(dataset, i), sample))
            assert dataset.targets[index] == label
            seen.append(index)
    assert {error.error for error in loader.report().refused} == {"ValueError"}
    if on_error == "skip":
        assert seen == fine
    else:
        assert len(seen) == len(dataset)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("layout", [None, torch.channels_last])
def test_samples_that_torchvision_finishes(
    root: Path, is_apart: bool, workers: int, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a border mirrors an image more than once; and in front of that a word is drawn."""
    tail = [v2.ToImage(), v2.ToDtype(torch.float32)] if is_apart else [stack_them]
    steps = [v2.RandomHorizontalFlip(), v2.Pad(44, padding_mode="reflect"), v2.TenCrop((90, 70))]
    dataset = kit.folder_of(root, v2.Compose([*steps, *tail]))
    finished: list[int] = []
    finish = doubts._finish

    def counted(*args: Any) -> None:
        finish(*args)
        finished.append(args[2][3])

    monkeypatch.setattr(doubts, "_finish", counted)
    if layout is None:
        compare(lambda cls: cls(dataset, 4, shuffle=True, num_workers=workers))
    else:
        torch.manual_seed(2)
        expected = list(kit.STOCK(dataset, 4, num_workers=workers))
        torch.manual_seed(2)
        ours = list(kit.OURS(dataset, 4, num_workers=workers, memory_format=layout))
        for (one, _), (other, _) in zip(expected, ours, strict=True):
            assert torch.equal(torch.stack([*one]), torch.stack([*other]))
    assert len(set(finished)) > 5


def whole(dataset: Any, index: int) -> torch.Tensor:
    sample = dataset[index][0]
    return sample if isinstance(sample, torch.Tensor) else torch.stack(sample)


# --- what is not known


def half(crop: Any) -> Any:
    return tf.to_tensor(crop) / 2


class Own(transforms.ToTensor):
    pass


class Box:
    stack = staticmethod(torch.stack)
    to = staticmethod(transforms.ToTensor())


def twice(crops: Any) -> torch.Tensor:
    made = [to_tensor(crop) for crop in crops]
    return torch.stack(made)


def with_default(crops: Any, step: Any = to_tensor) -> torch.Tensor:
    return torch.stack([step(crop) for crop in crops])


flip = transforms.RandomHorizontalFlip()

UNKNOWN: dict[str, tuple[Any, str]] = {
    "sum": (
        lambda crops: torch.stack([to_tensor(crop) + 1 for crop in crops]),
        "not known by its code",
    ),
    "condition": (
        lambda crops: torch.stack([to_tensor(crop) for crop in crops if crop]),
        "not known by its code",
    ),
    "reversed": (
        lambda crops: torch.stack([to_tensor(crop) for crop in crops[::-1]]),
        "not known by its code",
    ),
    "method": (
        lambda crops: torch.stack([to_tensor(crop).clone() for crop in crops]),
        "a crop than to call",
    ),
    "tuple": (
        lambda crops: torch.stack(tuple(to_tensor(crop) for crop in crops)),
        "not known by its code",
    ),
    "cat": (lambda crops: torch.cat([to_tensor(crop) for crop in crops]), "go through them"),
    "dimension": (
        lambda crops: torch.stack([to_tensor(crop) for crop in crops], 1),
        "another dimension",
    ),
    "negative": (
        lambda crops: torch.stack([to_tensor(crop) for crop in crops], dim=-1),
        "another dimension",
    ),
    "out": (
        lambda crops: torch.stack([to_tensor(crop) for crop in crops], out=None),
        "an argument out",
    ),
    "function": (lambda crops: torch.stack([half(crop) for crop in crops]), "calls .*half"),
    "subclass": (lambda crops: torch.stack([Own()(crop) for crop in crops]), "calls .*Own"),
    "class": (lambda crops: torch.stack([Own(crop) for crop in crops]), "makes a .*Own"),  # type: ignore[call-arg]
    "attribute": (lambda crops: Box.stack([to_tensor(crop) for crop in crops]), "is not known"),
    "of_a_class": (lambda crops: torch.stack([Box.to(crop) for crop in crops]), "is not known"),
    "unset": (
        lambda crops: torch.stack([unset(crop) for crop in crops]),  # noqa: F821
        "unset is not known",
    ),
    "outer": (
        lambda crops: torch.stack([to_tensor(crops) for crop in crops]),
        "looks at|more with a crop|calls",
    ),
    "argument": (
        lambda crops: torch.stack([crops(crop) for crop in crops]),
        "looks at crops",
    ),
    "two_arguments": (
        lambda crops: torch.stack([v2.functional.to_dtype(crop, torch.float32) for crop in crops]),
        "more with a crop",
    ),
    "statements": (twice, "not known by its code"),
    "default": (with_default, "not known by its code"),
    "random": (lambda crops: torch.stack([flip(tf.to_tensor(c)) for c in crops]), "behind crops"),
    "random_inside": (
        lambda crops: torch.stack([transforms.RandomHorizontalFlip()(c) for c in crops]),
        "RandomHorizontalFlip",
    ),
    "resized": (
        lambda crops: torch.stack([v2.Resize(8)(to_tensor(crop)) for crop in crops]),
        "Resize",
    ),
    "images": (lambda crops: torch.stack(crops), "stacks PIL images"),
    "nothing": (lambda crops: crops, "go through them"),
    "generator": (lambda crops: torch.stack([*map(to_tensor, crops)]), "not known by its code"),
    "unpacked": (
        lambda crops: torch.stack([to_tensor(*crop) for crop in crops]),
        "not known by its code",
    ),
    "attribute_argument": (
        lambda crops: torch.stack(
            [transforms.Normalize(normalize.mean, normalize.std)(tf.to_tensor(c)) for c in crops]
        ),
        "is not known",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_functions_that_are_torchs(name: str) -> None:
    function, said = UNKNOWN[name]
    pipeline = v1(fn(function))
    with pytest.raises(capture.Refusal, match=said):
        capture.read_transform(pipeline)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "pil": (lambda: v1(), "nothing makes a tensor"),
    "v1_on_tuple": (lambda: v1(transforms.ToTensor()), "ToTensor comes behind crops"),
    "flip": (lambda: v1(v2.RandomHorizontalFlip(), v2.ToImage()), "comes behind crops"),
    "container": (lambda: v1(v2.RandomApply([v2.ToImage()])), "comes behind crops"),
    "colour": (lambda: v1(v2.ColorJitter(0.5), v2.ToImage()), "comes behind crops"),
    "erasing": (lambda: v1(v2.ToImage(), v2.RandomErasing()), "comes behind crops"),
    "blur": (lambda: v1(v2.ToImage(), v2.GaussianBlur(3)), "comes behind crops"),
    "twice": (lambda: v1(v2.FiveCrop(3), v2.ToImage()), "FiveCrop comes behind crops"),
    "stacked_flip": (
        lambda: v1(stack_them, transforms.RandomHorizontalFlip()),
        "RandomHorizontalFlip comes behind crops",
    ),
    "v2_lambda": (lambda: v1(v2.Lambda(stack_them)), "Lambda"),
    "sometimes": (
        lambda: transforms.Compose(
            [transforms.RandomApply([transforms.FiveCrop(SIDE)]), stack_them]
        ),
        "only sometimes",
    ),
    # Of pure tensors v2 takes the first alone.
    "pure": (lambda: v1(v2.PILToTensor(), SCALE), FIRST),
    "pure_list": (
        lambda: v1(fn(lambda crops: [tf.to_tensor(c) for c in crops]), v2.Normalize([0.5], [0.5])),
        FIRST,
    ),
    "pure_in_a_list": (
        lambda: v1(fn(lambda crops: [v2.ToPureTensor()(v2.ToImage()(c)) for c in crops]), SCALE),
        "calls .*ToPureTensor",
    ),
    "pure_in_a_compose": (
        lambda: v1(fn(lambda crops: [unwrapped(crop) for crop in crops]), SCALE),
        FIRST,
    ),
    "pure_by_stacking": (
        lambda: v1(
            fn(lambda crops: torch.stack([v2.ToImage()(crop) for crop in crops])),
            fn(lambda tensors: [v2.Identity()(t) for t in tensors]),
            SCALE,
        ),
        "calls .*Identity",
    ),
    "pure_by_stacking_again": (
        lambda: v1(
            fn(lambda crops: torch.stack([v2.ToImage()(crop) for crop in crops])),
            fn(lambda tensors: [t for t in tensors]),  # noqa: C416
            SCALE,
        ),
        FIRST,
    ),
    "unwrapped": (lambda: v1(v2.ToImage(), v2.ToPureTensor(), v2.ToDtype(torch.float32)), FIRST),
    "unwrapped_before": (
        lambda: v2.Compose([v2.ToImage(), v2.ToPureTensor(), v2.FiveCrop(5), SCALE]),
        FIRST,
    ),
    "v1s_crops": (
        lambda: transforms.Compose([v2.ToImage(), transforms.FiveCrop(3), SCALE]),
        FIRST,
    ),
    "v1s_center": (
        lambda: v2.Compose([v2.ToImage(), transforms.CenterCrop(9), v2.FiveCrop(3), SCALE]),
        FIRST,
    ),
    "v1s_flip": (
        lambda: v2.Compose(
            [v2.ToImage(), transforms.RandomVerticalFlip(), v2.TenCrop(3), v2.ToImage(), SCALE]
        ),
        FIRST,
    ),
    "v1s_normalize": (
        lambda: v2.Compose(
            [v2.ToImage(), SCALE, transforms.Normalize([0.5], [0.5]), v2.FiveCrop(9), SCALE]
        ),
        FIRST,
    ),
    "subclass": (lambda: v1(Own()), "is a subclass"),
    "erased_before": (
        lambda: v2.Compose([v2.CenterCrop(9), v2.ToImage(), v2.RandomErasing(), v2.FiveCrop(3)]),
        "comes after random erasing",
    ),
    "size": (lambda: v1(stack_them, size=(0, 4)), "size is 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pipelines_that_are_torchs(root: Path, name: str) -> None:
    make, said = REFUSED[name]
    dataset = kit.folder_of(root, make())
    with pytest.raises(AssertionError, match=said):
        kit.run(lambda: (kit.OURS(dataset), ()), native=True, most=1)
    if name not in ("pil", "size", "v1_on_tuple", "v2_lambda", "subclass"):
        compare(lambda cls: cls(dataset, 3), native=False, epochs=1)


def test_a_function_that_is_not_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(tensors: Any, dim: int = 0) -> Any:
        raise AssertionError

    monkeypatch.setattr(torch, "stack", other)
    with pytest.raises(capture.Refusal, match="go through them"):
        capture.read_transform(v1(stack_them))


def test_batches_that_are_mixed(root: Path) -> None:
    mix = v2.CutMix(num_classes=3)
    for make in (STACKED["docstring"], APART["v2"]):
        dataset = kit.folder_of(root, make())
        loader = kit.OURS(dataset, 4, collate_fn=penstock.collate_with(mix))
        assert "of samples of 5 images" in penstock.explain(loader).reason


# --- what changes under way


def test_names_that_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without workers stock looks them up in next()."""

    def live(cls: type) -> list[Any]:
        nonlocal norm
        here = globals()
        norm = transforms.Normalize([0.5], [0.5])
        means = [0.5, 0.5, 0.5]
        monkeypatch.setitem(here, "MEANS", means)
        monkeypatch.setitem(here, "to_tensor", transforms.ToTensor())
        held = fn(lambda crops: torch.stack([norm(to_tensor(crop)) for crop in crops]))
        last = fn(
            lambda ts: torch.stack([transforms.Normalize(mean=MEANS, std=STDS)(t) for t in ts])
        )
        pipeline = v1(held, last)
        iterator = iter(cls(kit.folder_of(root, pipeline), 2))
        seen = [kit.visible(next(iterator))]
        norm = transforms.Normalize([0.1], [0.2])
        seen.append(kit.visible(next(iterator)))
        norm.mean[0] = 0.3
        seen.append(kit.visible(next(iterator)))
        means[1] = 0.25
        seen.append(kit.visible(next(iterator)))
        here["to_tensor"] = half
        seen.append(kit.visible(next(iterator)))
        held.lambd = lambda crops: torch.stack([tf.to_tensor(crop) for crop in crops])
        seen.append(kit.visible(next(iterator)))
        held.lambd.__code__ = (lambda crops: torch.stack([half(crop) for crop in crops])).__code__
        seen.append(kit.visible(next(iterator)))
        pipeline.transforms.pop()
        seen.append(kit.visible(next(iterator)))
        pipeline.transforms[-1] = fn(lambda crops: [tf.to_tensor(crop) for crop in crops])
        seen.append(kit.visible(next(iterator)))
        assert kit.is_native(iterator) == (cls is kit.OURS)
        return seen

    norm: Any = None
    stock, ours = live(kit.STOCK), live(kit.OURS)
    assert ours == stock
    images = [repr(batch) for batch in stock]
    assert len(set(images)) == len(images)


# --- what a loader says and keeps


@pytest.mark.parametrize("name", ["then_normalize", "v2_pure", "v1_list"])
def test_said(root: Path, name: str, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, ALL[name]()), 4, shuffle=True)
    said = str(penstock.explain(loader))
    assert "each written in its place of the batch" in said
    assert ("known by its code" in said) == (name != "v2_pure")
    found = penstock.verify(loader, batches=None)
    assert found.ok
    assert found.samples == len(loader.dataset)
    page = penstock.report(loader, tmp_path / "page.html", batches=2).read_text()
    assert page.count("data:image/png") >= 4
    assert "crops (0, 0)" in page
    half_way = kit.OURS(loader.dataset, 4, out_dtype=torch.float16)
    assert penstock.verify(half_way).ok


def test_verify_looks_at_every_crop(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = kit.OURS(kit.folder_of(root, APART["v2"]()), 4)
    take = penstock.native.wrap_images

    def spoilt(*args: Any) -> Any:
        images = take(*args)
        images[3][2, 0, 5, 5] += 1
        return images

    monkeypatch.setattr(penstock.native, "wrap_images", spoilt)
    difference = penstock.verify(loader).difference
    assert difference is not None
    assert (difference.batch, difference.slot, difference.stage) == (0, 2, "transform")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["behind_draws", "v2_pure"])
def test_states(root: Path, name: str, workers: int) -> None:
    dataset = kit.folder_of(root, ALL[name]())

    def make() -> Any:
        return kit.OURS(dataset, 2, shuffle=True, num_workers=workers)

    kit.seed_all(5)
    loader = make()
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    taken = loader.state_dict()
    rest = [kit.visible(batch) for batch in iterator]
    kit.seed_all(6)
    other = make()
    other.load_state_dict(taken)
    assert [kit.visible(batch) for batch in other] == rest


def test_memory_budget(root: Path) -> None:
    """A batch is as large as all its crops."""
    dataset = kit.folder_of(root, STACKED["ten"]())
    size = 4 * 10 * 3 * SIDE * SIDE * 4
    iterator = iter(kit.OURS(dataset, 4, memory_budget=size - 1))
    with pytest.raises(penstock.LimitError, match=f"takes {size} bytes"):
        next(iterator)
    loader = kit.OURS(dataset, 4, memory_budget=8 * size)
    assert sum(len(labels) for _, labels in loader) == len(dataset)
    assert loader.stats().as_dict()["memory"]["slabs_peak"] >= size
