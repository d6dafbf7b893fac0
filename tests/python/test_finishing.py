# SPDX-License-Identifier: Apache-2.0
"""Samples whose transform the engine refuses for their size: the user's own transform finishes
them, from the words that are their turn, and what comes after goes on as if nothing had been."""

from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from penstock import _core, rng
from torchvision import transforms
from torchvision.transforms import v2

N = 17


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Each third image is too small to be mirrored as far as is asked for."""
    for number in range(N):
        path = tmp_path / "only" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        size = (3, 4) if number % 3 == 1 else (20 + number, 25)
        kit.picture("RGB", *size, number).save(path, "PNG")
    return tmp_path


def mirrored(*tail: Any) -> Any:
    return transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.Pad(9, padding_mode="reflect"),
            transforms.RandomCrop((18, 19)),
            transforms.RandomVerticalFlip(0.4),
            *(tail or [transforms.ToTensor()]),
        ]
    )


def lives(root: Path, transform: Any, doubts: int, **options: Any) -> None:
    def of(kind: type) -> Any:
        return lambda: (made(kind), ())

    loaders = []

    def made(kind: type) -> Any:
        loader = kind(kit.folder_of(root, transform()), **options)
        loaders.append(loader)
        return loader

    stock, ours = kit.run(of(kit.STOCK), seed=5), kit.run(of(kit.OURS), seed=5, native=True)
    kit.assert_same(stock, ours)
    assert loaders[1].stats().as_dict()["doubts"] == doubts


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_stream_goes_on(root: Path, num_workers: int) -> None:
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": num_workers}
    lives(root, mirrored, 12, **options)
    # A sample of a shape of its own, in a batch of one.
    lives(
        root,
        lambda: transforms.Compose([transforms.Pad(9, 0, "symmetric"), transforms.ToTensor()]),
        12,
        batch_size=1,
        num_workers=num_workers,
    )


@pytest.mark.fault("R19")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_users_transform(root: Path, num_workers: int) -> None:
    def transform() -> Any:
        return transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.Pad(5, padding_mode="reflect"),
                transforms.RandomVerticalFlip(),
                transforms.RandomCrop(20),  # of 13 x 14 pixels
                transforms.ToTensor(),
            ]
        )

    lives(root, transform, 12, batch_size=3, num_workers=num_workers)


def test_perspectives(root: Path) -> None:
    """Those of small images often have a coefficient that is 0."""

    def transform() -> Any:
        return v2.Compose(
            [
                v2.RandomPerspective(0.4, 0.9),
                v2.RandomResizedCrop(20),
                v2.RandomPerspective(0.2, 0.5, fill=9),
                v2.ToImage(),
            ]
        )

    def made(kind: type) -> Any:
        return kind(kit.folder_of(root, transform()), batch_size=4, num_workers=2)

    stock = kit.run(lambda: (made(kit.STOCK), ()), seed=5)
    kit.assert_same(stock, kit.run(lambda: (made(kit.OURS), ()), seed=5, native=True))


def test_of_the_sample_alone(root: Path) -> None:
    """rng="sample": whatever the order and the threads."""

    def epoch(threads: int, **options: Any) -> dict[int, bytes]:
        dataset = kit.folder_of(root, mirrored())
        dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
        torch.manual_seed(3)
        loader = kit.OURS(dataset, rng="sample", threads=threads, batch_size=3, **options)
        seen = {}
        for images, labels in loader:
            for image, label in zip(images, labels.tolist(), strict=True):
                seen[label] = image.numpy().tobytes()
        return seen

    assert epoch(1) == epoch(3, sampler=list(range(N))[::-1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_the_batchs_dtype_and_layout(root: Path, dtype: torch.dtype) -> None:
    tail = [transforms.ToTensor(), transforms.Normalize(kit.MEAN, kit.STD)]
    torch.manual_seed(2)
    stock = list(kit.STOCK(kit.folder_of(root, mirrored(*tail)), 5))
    torch.manual_seed(2)
    options = {"out_dtype": dtype, "memory_format": torch.channels_last}
    ours = list(kit.OURS(kit.folder_of(root, mirrored(*tail)), 5, **options))
    for (expected, _), (found, _) in zip(stock, ours, strict=True):
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found, expected.to(dtype))


def test_words_ahead() -> None:
    before = torch.default_generator.get_state()
    with rng.WordsAhead(bytes(range(40))) as ahead:
        assert ahead.taken() == 0
        assert torch.empty(1, dtype=torch.int32).random_().item() == 0x03020100
        torch.rand(9)
        assert ahead.taken() == 10
        torch.rand(1)
        with pytest.raises(RuntimeError, match="more words"):
            ahead.taken()
    assert torch.equal(before, torch.default_generator.get_state())


def test_as_many_words_as_there_can_be(root: Path) -> None:
    """No state of torch's generator has a whole block left."""
    with rng.WordsAhead(bytes(4 * rng.MOST_AHEAD)) as ahead:
        torch.rand(rng.MOST_AHEAD)
        assert ahead.taken() == rng.MOST_AHEAD
    with pytest.raises(RuntimeError, match="at most 623"):
        rng.WordsAhead(bytes(4 * rng.WORDS))
    # 23 words each, and one.
    erasings = [transforms.RandomErasing() for _ in range(26)]
    for n, lane in ((25, "native"), (26, "python")):
        flips = [transforms.RandomHorizontalFlip() for _ in range(n)]
        pipeline = transforms.Compose([*flips, transforms.ToTensor(), *erasings])
        assert kit.OURS(kit.folder_of(root, pipeline)).explain().lane == lane


def test_a_normal_ahead() -> None:
    """It is what normal_() takes first, and none means that there is none."""
    before = torch.default_generator.get_state()
    reader = rng.StateReader()
    position = reader.read(torch.default_generator)
    for ahead in (
        lambda normal: rng.WordsAhead(bytes(range(160)), normal),
        lambda normal: rng.StateAhead(bytes(reader.words), position, normal),
    ):
        with ahead(0.5) as state:
            assert rng.kept_normal(torch.default_generator) == 0.5
            assert torch.empty(1).normal_().item() == 0.5
            assert state.taken() == 0
        with ahead(None) as state:
            assert rng.kept_normal(torch.default_generator) is None
            torch.empty(1).normal_()
            assert rng.kept_normal(torch.default_generator) is not None
            assert state.taken() > 0
    assert torch.equal(before, torch.default_generator.get_state())


def test_what_may_be_finished(root: Path) -> None:
    """Only a sample in doubt that its plan refuses, with the right number of bytes."""
    transform = _core.Transform(
        [(30, 0, 0, 0, 0, 0, *[0.0] * 6, (9.0, 9.0, 9.0, 9.0, 2.0), 0, ())],
        dtype="u8",
        lut=None,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        era=3,
        channels=3,
        layout=0,
    )
    paths = sorted((root / "only").iterdir())
    dataset = _core.paths([bytes(paths[1])], [0])
    options: dict[str, Any] = {"threads": 1, "batch_size": 1, "ahead": 1, "n_streams": 1}
    options |= {"memory_budget": 0, "rng": "torch", "nice": 0, "exp": None, "strict": False}
    loader = _core.Loader(dataset, transform, **options, blur=None, mix=None)
    ticket = loader.submit([0], 0)
    assert ticket is not None
    while (event := loader.wait(1000)) is None:
        pass
    assert event[0] == "doubt"
    assert loader.words(ticket, 0, 0) == b""
    with pytest.raises(ValueError, match="draws at most 0"):
        loader.words(ticket, 0, 1)
    with pytest.raises(ValueError, match="expected 1386"):
        loader.finish(ticket, 0, bytes(1385), 22, 21, 0, 0)
    with pytest.raises(ValueError, match="draws at most 0"):
        loader.finish(ticket, 0, bytes(1386), 22, 21, 1, 0)
    with pytest.raises(ValueError, match="a sample of"):
        loader.finish(ticket, 0, b"1", 22, 0, 0, 0)
    loader.finish(ticket, 0, bytes(range(231)) * 6, 22, 21, 0, 0)
    while (event := loader.wait(1000)) is None:
        pass
    assert event[0] == "batch"
    with pytest.raises(ValueError, match="not in doubt"):
        loader.words(ticket, 0, 0)
    assert loader.describe_slot(ticket, 0) == "3 x 4"
    batch = loader.take(ticket)
    assert batch is not None
    assert bytes(batch[0]) == bytes(range(231)) * 6
    loader.close()
