# SPDX-License-Identifier: Apache-2.0
"""torchvision's GaussianNoise beside stock: batches, where the random stream stands afterwards, and
the normal that an odd number of them leaves in the generator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy as np
import pytest
import torch
from penstock import capture, options, prepare, rng
from penstock.datasets import ImageFolder
from PIL import Image
from torch.utils.data import default_collate
from torchvision import datasets, transforms
from torchvision.transforms import v2


@pytest.fixture(scope="module", autouse=True)
def known() -> None:
    """Where torch runs with less than AVX2 contiguous tensors are torch's own."""
    if rng.normal_refusal() is not None:
        pytest.skip(str(rng.normal_refusal()))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


TO_FLOAT = v2.ToDtype(torch.float32, scale=True)


def recipe() -> Any:
    """As users write it; an odd number of normals."""
    return v2.Compose(
        [
            v2.RandomResizedCrop((37, 29)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(0.05, 0.2),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    )


def contiguous() -> Any:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop((37, 29)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            v2.GaussianNoise(sigma=0.3, clip=False),
            transforms.Normalize([0.4], [0.7], inplace=True),
            v2.ToPureTensor(),
        ]
    )


def sometimes() -> Any:
    return transforms.Compose(
        [
            transforms.RandomCrop((21, 33), pad_if_needed=True),
            v2.PILToTensor(),
            v2.ConvertImageDtype(torch.float32),
            v2.RandomApply([v2.GaussianNoise(), v2.Identity()], p=0.6),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    )


def scaled_first() -> Any:
    """Normalize in front of the noise, and numbers from 0 to 255."""
    return v2.Compose(
        [
            v2.Resize((24, 17)),
            v2.ToImage(),
            v2.ToDtype(torch.float32),
            v2.Normalize([3.0, 0.0, 200.0], [7.0, -2.0, 0.5]),
            v2.GaussianNoise(-0.5, 40, clip=False),
        ]
    )


def deep() -> Any:
    """Behind steps that draw a normal, too, and others that only torch can tell."""
    return v2.Compose(
        [
            v2.RandomPerspective(0.5, 0.9),
            v2.Resize((24, 24)),
            v2.AugMix(),
            v2.RandomPerspective(0.5, 0.9),
            v2.CenterCrop((23, 21)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(),
        ]
    )


PIPELINES = [recipe, contiguous, sometimes, scaled_first]


def lives(root: Path, make: Callable[[], Any], epochs: int = 3, **options: Any) -> Any:
    options = {"batch_size": 5, "shuffle": True, **options}
    loaders = []

    def made(cls: Any) -> Any:
        def both() -> Any:
            loaders.append(cls(kit.folder_of(root, make()), **options))
            return loaders[-1], ()

        return both

    expected = kit.run(made(kit.STOCK), epochs=epochs)
    kit.assert_same(expected, kit.run(made(kit.OURS), epochs=epochs, native=True))
    return loaders[-1].stats().counters


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_batches(root: Path, pipeline: Any, workers: int) -> None:
    lives(root, pipeline, num_workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_samples_that_only_torch_can_tell(root: Path, workers: int) -> None:
    assert lives(root, deep, num_workers=workers)["doubts"] > 0


def test_persistent_workers(root: Path) -> None:
    lives(root, recipe, 4, num_workers=2, persistent_workers=True)
    lives(root, sometimes, 4, num_workers=2, persistent_workers=True)


@pytest.mark.parametrize("size", [(1, 6), (6, 1), (3, 3), (64, 64), (101, 97), (231, 232)])
@pytest.mark.parametrize("is_together", [False, True])
def test_sizes(root: Path, size: tuple[int, int], is_together: bool) -> None:
    """Of all numbers modulo 16, and of several blocks."""

    def make() -> Any:
        numbers = [v2.ToImage(), TO_FLOAT] if is_together else [transforms.ToTensor()]
        return transforms.Compose([transforms.Resize(size), *numbers, v2.GaussianNoise(0, 0.5)])

    lives(root, make, 2, num_workers=2)


@pytest.mark.parametrize(
    ("mean", "sigma", "clip"),
    [(0, 0, True), (-0.0, 0.0, False), (1, 2, True), (0.1, 1e-39, True), (-1e6, 1e6, False)],
)
def test_numbers(root: Path, mean: Any, sigma: Any, clip: bool) -> None:
    def make() -> Any:
        noise = v2.GaussianNoise(mean, sigma, clip)
        last = v2.Normalize([0.0, 0.1, -0.3], [1.0, -0.7, 3.3])
        return v2.Compose([v2.CenterCrop(25), v2.ToImage(), TO_FLOAT, noise, last])

    lives(root, make, 1, num_workers=1)


def collate_of(mix: Any) -> Any:
    def collate_fn(batch: list[Any]) -> Any:
        return mix(*default_collate(batch))

    return collate_fn


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pipeline", [recipe, sometimes])
def test_batches_that_are_mixed(root: Path, pipeline: Any, workers: int) -> None:
    """The first normal of a batch's share is what its last sample left."""
    mix = v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=3), v2.CutMix(num_classes=3)])
    lives(root, pipeline, num_workers=workers, collate_fn=collate_of(mix))


def test_files_that_fail(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    cut = root / "bee/b2.png"
    cut.write_bytes(cut.read_bytes()[:300])
    for workers in (0, 2):
        lives(root, recipe, num_workers=workers, batch_size=3)


@pytest.mark.parametrize("pipeline", [recipe, sometimes])
def test_of_the_sample_alone(root: Path, pipeline: Any) -> None:
    """rng="sample": whatever the order and the threads."""

    def epoch(threads: int, **options: Any) -> dict[int, bytes]:
        dataset = kit.folder_of(root, pipeline())
        dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
        kit.seed_all(3)
        loader = kit.OURS(dataset, rng="sample", threads=threads, batch_size=3, **options)
        assert loader.explain().lane == "native"
        seen = {}
        for images, labels in loader:
            for image, label in zip(images, labels.tolist(), strict=True):
                seen[label] = image.numpy().tobytes()
        return seen

    n = len(kit.folder_of(root, None))
    assert epoch(1) == epoch(3, sampler=list(range(n))[::-1])


def grey_loader(path: str) -> Any:
    with open(path, "rb") as file:
        return Image.open(file).convert("L")


@pytest.mark.parametrize("convert", [transforms.ToTensor, v2.ToImage])
def test_grey_images(root: Path, convert: Any) -> None:
    def grey() -> Any:
        noise = [v2.GaussianNoise(0.1, 0.1), v2.Normalize([0.3], [0.6])]
        return transforms.Compose([transforms.RandomResizedCrop(31), convert(), TO_FLOAT, *noise])

    def stock() -> Any:
        dataset = datasets.ImageFolder(str(root), grey(), loader=grey_loader)
        return kit.STOCK(dataset, batch_size=4, num_workers=2), ()

    def ours() -> Any:
        dataset = ImageFolder(root.as_posix(), grey(), mode="L")
        return kit.OURS(dataset, batch_size=4, num_workers=2), ()

    kit.assert_same(kit.run(stock), kit.run(ours, native=True))


def test_images_that_a_step_makes_grey(root: Path) -> None:
    def make() -> Any:
        steps = [v2.CenterCrop((9, 31)), v2.Grayscale(1), v2.ToImage(), TO_FLOAT]
        return v2.Compose([*steps, v2.GaussianNoise()])

    lives(root, make, num_workers=2)


@pytest.mark.parametrize("pipeline", [recipe, contiguous])
def test_channels_last(root: Path, pipeline: Any) -> None:
    layout = torch.channels_last
    torch.manual_seed(4)
    stock = list(kit.STOCK(kit.folder_of(root, pipeline()), 4, num_workers=2))
    torch.manual_seed(4)
    dataset = kit.folder_of(root, pipeline())
    ours = kit.OURS(dataset, 4, num_workers=2, memory_format=layout)
    assert ours.explain().lane == "native"
    for (image, _), (expected, _) in zip(ours, stock, strict=True):
        assert torch.equal(image, expected)
        assert image.is_contiguous(memory_format=layout)


def test_arrays() -> None:
    images = np.random.default_rng(1).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)

    def cifar(numbers: list[Any]) -> Any:
        steps = [
            v2.RandomCrop(31, padding=4),
            v2.RandomHorizontalFlip(),
            *numbers,
            v2.GaussianNoise(),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
        labels = list(range(300))
        return kit.bare(
            datasets.CIFAR10, transforms.Compose(steps), data=images, targets=labels, train=True
        )

    for workers in (0, 2):
        for numbers in ([v2.ToImage(), TO_FLOAT], [transforms.ToTensor()]):
            options: dict[str, Any] = {"batch_size": 64, "shuffle": True, "num_workers": workers}
            expected = kit.run(lambda o=options, n=numbers: (kit.STOCK(cifar(n), **o), ()))
            found = kit.run(lambda o=options, n=numbers: (kit.OURS(cifar(n), **o), ()), native=True)
            kit.assert_same(expected, found)


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}])
@pytest.mark.parametrize("pipeline", [recipe, sometimes])
def test_states_go_on(root: Path, pipeline: Any, options: dict[str, Any]) -> None:
    def make() -> Any:
        return kit.OURS(kit.folder_of(root, pipeline()), batch_size=3, shuffle=True, **options)

    kit.seed_all(8)
    loader = make()
    expected: list[Any] = []
    states: list[Any] = []
    for _ in range(2):
        for batch in loader:
            expected.append(kit.visible(batch))
            states.append(loader.state_dict())
    assert not options or any("'normals'" in str(state) for state in states)
    for at, state in enumerate(states):
        kit.seed_all(1000 + at)
        again = make()
        again.load_state_dict(state)
        rest = []
        while len(rest) < len(expected) - at - 1:
            rest += [kit.visible(batch) for batch in again]
        assert rest == expected[at + 1 :], at


def test_what_is_told(root: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, recipe()), 4)
    stages = {stage.name: stage.why for stage in loader.explain().stages}
    assert "after its last pass" in stages["GaussianNoise (v2)"]
    assert "after the noise" in stages["Normalize (v2)"]
    assert "table" in stages["ToDtype (v2)"]
    values = prepare.values_of(capture.read_transform(recipe()), 3)
    plain = v2.Compose([v2.ToImage(), TO_FLOAT, v2.Normalize(kit.MEAN, kit.STD)])
    ramp = Image.frombytes("RGB", (256, 1), bytes(v for v in range(256) for _ in range(3)))
    assert torch.equal(values, plain(ramp).reshape(3, 256))


# --- what is not taken

IMAGE = [v2.ToImage(), TO_FLOAT]
NOISE = v2.GaussianNoise()


class Number(float):
    pass


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([NOISE, *IMAGE], "GaussianNoise comes before the image is a tensor"),
        ([v2.ToImage(), NOISE], "not of float32"),
        ([v2.ToImage(), v2.ToDtype(torch.float16, scale=True), NOISE], "torch.float16"),
        ([v2.ToImage(), v2.RandomHorizontalFlip(), TO_FLOAT, NOISE], "RandomHorizontalFlip comes"),
        ([v2.ToImage(), v2.CenterCrop(9), TO_FLOAT, NOISE], "CenterCrop comes between"),
        ([v2.ToImage(), v2.RGB(), TO_FLOAT, NOISE], "RGB comes between"),
        ([*IMAGE, v2.RandomErasing(), NOISE], "RandomErasing comes between"),
        ([*IMAGE, v2.RandomApply([v2.RandomVerticalFlip(), NOISE])], "RandomVerticalFlip comes"),
        ([*IMAGE, v2.RandomChoice([NOISE, v2.RandomVerticalFlip()])], "RandomVerticalFlip comes"),
        ([*IMAGE, v2.RandomOrder([NOISE])], "in a random order"),
        ([*IMAGE, NOISE, NOISE], "GaussianNoise comes after"),
        ([*IMAGE, NOISE, v2.RandomErasing()], "RandomErasing comes after"),
        ([*IMAGE, NOISE, v2.RandomHorizontalFlip()], "RandomHorizontalFlip comes after"),
        ([*IMAGE, NOISE, v2.ToDtype(torch.float32)], "ToDtype comes after"),
        ([*IMAGE, NOISE, *[v2.Normalize([0.5], [0.5])] * 2], "Normalize comes after"),
        ([*IMAGE, NOISE, v2.Normalize([0.5], [0.0])], "Normalize raises ValueError"),
        ([*IMAGE, NOISE, v2.Normalize([1e39], [1.0])], "of the table is inf"),
        ([v2.Grayscale(), *IMAGE, NOISE, v2.Normalize(kit.MEAN, kit.STD)], "gives shape"),
        ([*IMAGE, v2.GaussianNoise(np.float64(0.5))], "mean is"),
        ([*IMAGE, v2.GaussianNoise(0, Number(0.5))], "sigma is"),
        ([*IMAGE, v2.GaussianNoise(0, 2e6)], "sigma is"),
        ([*IMAGE, v2.GaussianNoise(0, -0.1)], "sigma is"),
        ([*IMAGE, v2.GaussianNoise(float("nan"))], "mean is"),
        ([*IMAGE, v2.GaussianNoise(clip=1)], "clip is"),
        ([v2.FiveCrop(9), v2.ToImage(), TO_FLOAT, NOISE], "comes behind crops"),
    ],
)
def test_what_is_refused(steps: list[Any], said: str) -> None:
    pipeline = transforms.Compose([transforms.Resize((32, 32)), *steps])
    with pytest.raises(capture.Refusal, match=said):
        prepare.prepare(capture.read_transform(pipeline), "pillow-13")


@pytest.mark.parametrize(
    ("size", "said"), [(20, "no size"), ((5, 1), "less than 16"), ((1500, 1500), "more than 5000")]
)
def test_sizes_that_are_refused(size: Any, said: str) -> None:
    pipeline = transforms.Compose([transforms.Resize(size), *IMAGE, NOISE])
    with pytest.raises(capture.Refusal, match=said):
        prepare.prepare(capture.read_transform(pipeline), "pillow-13")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    output = options.Output(dtype=dtype)
    with pytest.raises(capture.Refusal, match=r"PST_U8|PST_F32 alone"):
        prepare.prepare(capture.read_transform(recipe()), "pillow-13", output)


@pytest.mark.parametrize(
    ("pipeline", "name"), [(recipe, "pairs_refusal"), (contiguous, "normal_refusal")]
)
def test_another_torch_is_left_to_itself(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, name: str
) -> None:
    prepare._prepared.clear()
    monkeypatch.setattr(rng, name, lambda: "normal_ of this torch is another one")
    with pytest.raises(capture.Refusal, match="another one"):
        prepare.prepare(capture.read_transform(pipeline()), "pillow-13")
