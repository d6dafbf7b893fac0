# SPDX-License-Identifier: Apache-2.0
"""The drop-in beside torch's own loader on the same seeds: batches, generators, ends, at zero
tolerance."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@functools.cache
def stock_life(root: Path, pipeline: str, options: tuple[tuple[str, Any], ...]) -> Any:
    dataset = kit.folder_of(root, kit.PIPELINES[pipeline]())
    return kit.run(lambda: (kit.STOCK(dataset, **dict(options)), ()))


def compare(root: Path, pipeline: str, threads: tuple[int, ...] = (2,), **options: Any) -> None:
    expected = stock_life(root, pipeline, tuple(options.items()))
    assert sum(step[0] == "batch" for step in expected) > 2
    for n in threads:
        dataset = kit.folder_of(root, kit.PIPELINES[pipeline]())

        def make(dataset: Any = dataset, n: int = n) -> Any:
            return kit.OURS(dataset, threads=n, **options), ()

        kit.assert_same(expected, kit.run(make, native=True))


@pytest.mark.fault("R26")
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
@pytest.mark.parametrize("pipeline", ["train_v1", "train_v2"])
def test_batches_do_not_depend_on_threads(root: Path, pipeline: str, num_workers: int) -> None:
    compare(root, pipeline, (1, 2, 5), batch_size=3, shuffle=True, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("pipeline", [name for name in kit.PIPELINES if "train" not in name])
def test_pipelines(root: Path, pipeline: str, num_workers: int) -> None:
    compare(root, pipeline, batch_size=4, shuffle=True, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_persistent_workers_go_on_with_their_generators(root: Path, num_workers: int) -> None:
    compare(
        root,
        "train_v1",
        (1, 5),
        batch_size=2,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=True,
    )


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 5, 17, 100])
def test_drop_last_and_odd_batch_sizes(root: Path, batch_size: int, num_workers: int) -> None:
    for drop_last in (False, True):
        options = {"batch_size": batch_size, "drop_last": drop_last, "num_workers": num_workers}
        dataset = kit.folder_of(root, kit.train_v1(12))
        stock = kit.run(lambda d=dataset, o=options: (kit.STOCK(d, **o), ()))
        ours = kit.run(lambda d=dataset, o=options: (kit.OURS(d, **o), ()), native=True)
        kit.assert_same(stock, ours)


@pytest.mark.parametrize("prefetch_factor", [1, 4])
def test_prefetch_factor(root: Path, prefetch_factor: int) -> None:
    compare(
        root,
        "train_v2",
        batch_size=2,
        shuffle=True,
        num_workers=2,
        prefetch_factor=prefetch_factor,
    )


class Counting(Sampler[int]):
    """Draws from Python's and NumPy's generators as it is pulled, and counts."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.pulled = 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        import random

        for _ in range(self.n):
            self.pulled += 1
            yield (random.randrange(self.n) + int(numpy.random.randint(self.n))) % self.n


def samplers(name: str, dataset: Any) -> tuple[dict[str, Any], tuple[torch.Generator, ...]]:
    generator = torch.Generator().manual_seed(77)
    n = len(dataset)
    made: dict[str, dict[str, Any]] = {
        "generator": {"shuffle": True, "generator": generator, "batch_size": 3},
        "random": {"sampler": RandomSampler(dataset, generator=generator), "batch_size": 4},
        "replacement": {
            "sampler": RandomSampler(dataset, replacement=True, num_samples=21),
            "batch_size": 4,
        },
        "subset": {"sampler": SubsetRandomSampler(range(2, n, 2)), "batch_size": 2},
        "weighted": {
            "sampler": WeightedRandomSampler([1.0 + i for i in range(n)], 13),
            "batch_size": 5,
        },
        "distributed": {
            "sampler": DistributedSampler(dataset, num_replicas=3, rank=1, seed=4),
            "batch_size": 2,
        },
        "batch_sampler": {
            "batch_sampler": BatchSampler(SequentialSampler(dataset), 6, drop_last=True)
        },
        "lists": {"batch_sampler": [[0, 3], (5,), [7, 8, 9, 10], [-1, -2]]},
        "numpy": {"batch_sampler": [list(numpy.arange(3)), numpy.arange(4, 6), torch.arange(3)]},
        "counting": {"sampler": Counting(n), "batch_size": 3},
    }
    used = (generator,) if name in ("generator", "random") else ()
    return made[name], used


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "name",
    [
        "generator",
        "random",
        "replacement",
        "subset",
        "weighted",
        "distributed",
        "batch_sampler",
        "lists",
        "numpy",
        "counting",
    ],
)
def test_samplers(root: Path, name: str, num_workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))

    def make(cls: type) -> Any:
        options, generators = samplers(name, dataset)
        return cls(dataset, num_workers=num_workers, **options), generators

    stock = kit.run(lambda: make(kit.STOCK), epochs=3)
    kit.assert_same(stock, kit.run(lambda: make(kit.OURS), epochs=3, native=True))


@pytest.mark.parametrize("num_workers", [0, 2, 3])
def test_the_sampler_runs_as_far_ahead_as_stocks(root: Path, num_workers: int) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())

    def pulls(cls: type) -> list[int]:
        sampler = Counting(len(dataset))
        loader = cls(dataset, sampler=sampler, batch_size=1, num_workers=num_workers)
        seen = [sampler.pulled]
        iterator = iter(loader)
        seen.append(sampler.pulled)
        for _ in iterator:
            seen.append(sampler.pulled)
        return seen

    assert pulls(kit.OURS) == pulls(kit.STOCK)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_an_early_break(root: Path, num_workers: int, persistent: bool) -> None:
    if persistent and num_workers == 0:
        pytest.skip("torch refuses it")
    dataset = kit.folder_of(root, kit.train_v1(12))
    options = {"batch_size": 2, "shuffle": True, "num_workers": num_workers}
    options["persistent_workers"] = persistent
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()), epochs=3, most=3)
    ours = kit.run(lambda: (kit.OURS(dataset, **options), ()), epochs=3, most=3, native=True)
    kit.assert_same(stock, ours)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_iterators_at_once(root: Path, num_workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))

    def life(cls: type) -> list[Any]:
        kit.seed_all(5)
        loader = cls(dataset, batch_size=4, shuffle=True, num_workers=num_workers)
        seen = []
        for _ in range(2):
            for one, other in zip(loader, loader, strict=True):
                seen.append((kit.visible(one), kit.visible(other), kit.states()))
        return seen

    expected = life(kit.STOCK)
    assert len(expected) == 10
    assert life(kit.OURS) == expected


def test_in_order_false_with_one_worker(root: Path) -> None:
    compare(root, "train_v1", batch_size=3, num_workers=1, in_order=False)


def test_the_seed_counts_in_its_low_32_bits(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    for seed in (0, 2**32 + 7, 2**63 - 1, -1):
        options = {"batch_size": 6, "num_workers": 0}
        kit.seed_all(0)
        torch.manual_seed(seed)
        expected = [kit.visible(batch) for batch in kit.STOCK(dataset, **options)]
        torch.manual_seed(seed)
        assert [kit.visible(batch) for batch in kit.OURS(dataset, **options)] == expected


def test_a_normal_that_the_generator_keeps_stays(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))

    def life(cls: type) -> Any:
        kit.seed_all(3)
        torch.randn(1)  # torch makes two and keeps one
        batches = [kit.visible(batch) for batch in cls(dataset, batch_size=6)]
        return batches, torch.randn(3).tolist()

    assert life(kit.OURS) == life(kit.STOCK)


def test_the_global_generator_may_be_passed(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))

    def make(cls: type) -> Any:
        return cls(dataset, 4, shuffle=True, generator=torch.default_generator), ()

    kit.assert_same(kit.run(lambda: make(kit.STOCK)), kit.run(lambda: make(kit.OURS), native=True))


@pytest.mark.fault("R27")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_that_are_kept_stay_as_they_are(root: Path, num_workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))

    def kept(cls: type) -> list[Any]:
        kit.seed_all(2)
        loader = cls(dataset, 2, shuffle=True, num_workers=num_workers)
        batches = [batch for _ in range(3) for batch in loader]
        del loader
        return [kit.visible(batch) for batch in batches]

    assert kept(kit.OURS) == kept(kit.STOCK)


def test_a_transform_that_changes_between_two_batches(root: Path) -> None:
    from torchvision import transforms

    def life(cls: type) -> list[Any]:
        kit.seed_all(2)
        dataset = kit.folder_of(root, kit.train_v1(12))
        seen = []
        for number, batch in enumerate(cls(dataset, 2, shuffle=True)):
            seen.append((kit.visible(batch), kit.states()))
            if number == 1:
                dataset.transform.transforms[0].size = (9, 15)
            if number == 2:
                dataset.transform.transforms[3].mean = [0.1, 0.2, 0.3]
            if number == 3:
                dataset.transform.transforms.insert(0, transforms.ColorJitter(0.5))
            if number == 5:
                dataset.transform = kit.eval_v1()
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


@pytest.mark.fault("R5")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_dataset_that_changes(root: Path, num_workers: int) -> None:
    def life(cls: type) -> list[Any]:
        kit.seed_all(2)
        dataset = kit.folder_of(root, kit.train_v1(12))
        loader = cls(dataset, 2, num_workers=num_workers)
        seen = []
        for epoch in range(3):
            for number, batch in enumerate(loader):
                seen.append(kit.visible(batch))
                if number == 1 and epoch == 0:
                    dataset.samples[14] = dataset.samples[0]
                    dataset.samples[15] = (dataset.samples[15][0], 99)
            dataset.samples.reverse()
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_relative_paths(root: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    dataset = kit.folder_of(Path(root.name), kit.eval_v1())
    options = {"batch_size": 5, "num_workers": num_workers}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()), epochs=1)
    kit.assert_same(
        stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), epochs=1, native=True)
    )


def test_a_generator_of_the_users_beside_threads_of_torch(root: Path) -> None:
    """The number of torch's own threads, its dtype and modes stay."""
    before = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
    dataset = kit.folder_of(root, kit.train_v1(12))
    for batch in kit.OURS(dataset, 4, num_workers=2):
        assert not batch[0].requires_grad
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()) == before


def test_batches_are_the_engines_memory_and_writable(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    images, labels = next(iter(kit.OURS(dataset, 4, num_workers=1)))
    images += 1
    labels[0] = 5
    assert labels[0].item() == 5
    assert images.is_contiguous()


def test_verify_agrees(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v2())
    for num_workers in (0, 2):
        loader = kit.OURS(dataset, 5, shuffle=True, num_workers=num_workers)
        before = kit.states()
        found = penstock.verify(loader, batches=None)
        assert found.ok, str(found)
        assert found
        assert (found.lane, found.batches, found.samples) == ("native", 4, 17)
        assert kit.states() == before


@pytest.fixture(scope="module")
def everything(photos: Path, zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes: photographs, and files of every kind and damage."""
    root = tmp_path_factory.mktemp("everything")
    (root / "photos").symlink_to(photos)
    (root / "zoo").symlink_to(zoo)
    return root


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v1", "train_v2", "eval_v2"])
def test_all_files_at_hand(
    everything: Path, pipeline: str, num_workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """One sample a batch, so that each file shows its pixels or its error."""
    dataset = kit.folder_of(everything, kit.PIPELINES[pipeline]())
    assert len(dataset) > 300

    def life(cls: type) -> list[Any]:
        kit.seed_all(3)
        iterator = iter(cls(dataset, 1, num_workers=num_workers))
        assert kit.is_native(iterator) == (cls is kit.OURS)
        return list(kit.walk(iterator, len(dataset) + 1, kit.states, errors=len(dataset)))

    kit.assert_same(life(kit.STOCK), life(kit.OURS))
    capfd.readouterr()  # what libtiff has to say
