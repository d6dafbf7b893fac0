# SPDX-License-Identifier: Apache-2.0
"""torch's Subset and ConcatDataset over what the registry knows, in each other, beside torch's own
loader, bit for bit."""

import copy
import gc
import pickle
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
import trees
from penstock import sources, tables
from torch.utils.data import ConcatDataset, Dataset, Sampler, Subset, random_split


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def food_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("food")


@pytest.fixture
def folder(root: Path) -> Any:
    return kit.folder_of(root, kit.train_v1(12))


@pytest.fixture
def food(food_root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return trees.food101(food_root, monkeypatch, transform=kit.train_v1(12))


def lives(dataset: Any, native: bool = True, **options: Any) -> None:
    options.setdefault("batch_size", 3)
    if "batch_sampler" in options:
        del options["batch_size"]
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()))
    kit.assert_same(stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), native=native))


INDICES: dict[str, Any] = {
    "list": [5, 1, 1, -1, 16, 0, -17, 3],
    "tuple": (2, 9, -2, 2),
    "range": range(15, 1, -3),
    "tensor": torch.tensor([4, -3, 0, 16, 4]),
    "numpy": numpy.array([4, -3, 0, 16, 4]),
    "numpy view": numpy.arange(17)[::-2],
    "tensor view": torch.arange(17)[1::3],
    "numpy items": list(numpy.array([1, -2, 3])),
    "tensor items": list(torch.randperm(17, generator=torch.Generator().manual_seed(1))),
    "bools": [True, False, 3],
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", list(INDICES))
def test_indices(folder: Any, name: str, num_workers: int) -> None:
    lives(Subset(folder, INDICES[name]), shuffle=True, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_random_split(folder: Any, num_workers: int) -> None:
    parts = random_split(folder, [0.7, 0.3], torch.Generator().manual_seed(3))
    for part in parts:
        lives(part, shuffle=True, num_workers=num_workers)
    first, second = (tables.table_of(sources.read(part)) for part in parts)
    assert first is second


def nested(name: str, folder: Any, food: Any) -> Any:
    half = Subset(folder, range(0, 17, 2))
    return {
        "concat": lambda: ConcatDataset([folder, food]),
        "subset of subset": lambda: Subset(Subset(half, [8, 0, 3, 3]), [-1, 2, 0]),
        "concat of subsets": lambda: ConcatDataset([half, Subset(food, [3, 1]), half]),
        "the same twice": lambda: ConcatDataset([folder, folder]),
        "subset of concat": lambda: Subset(
            ConcatDataset([food, half]), [19, 0, -1, 11, 10, 5, -20]
        ),
        "all": lambda: ConcatDataset(
            [
                Subset(ConcatDataset([half, Subset(food, torch.tensor([2, 5]))]), (10, 2, 9, -3)),
                food,
                Subset(Subset(folder, [16, 15, 14]), numpy.array([2, 0])),
            ]
        ),
        "with empty parts": lambda: ConcatDataset([Subset(food, []), half, Subset(folder, [])]),
    }[name]()


NESTED = [
    "concat",
    "subset of subset",
    "concat of subsets",
    "the same twice",
    "subset of concat",
    "all",
    "with empty parts",
]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", NESTED)
def test_nesting(folder: Any, food: Any, name: str, num_workers: int) -> None:
    lives(nested(name, folder, food), shuffle=True, num_workers=num_workers)


BAD: list[Any] = [[3, 99], [99], [1, -99, 0], [0, "x"], [2, 1.5], [0, None], [], 5, [slice(0, 2)]]
BAD += [[[0, 1]], [0, [1]], [torch.tensor([1])], [torch.tensor(1), numpy.int64(-1)], (0, 1), [True]]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["concat", "subset of subset", "subset of concat", "all"])
def test_indices_that_make_no_sense(folder: Any, food: Any, name: str, num_workers: int) -> None:
    """Where in a batch stock fails shows in the draws of the batches after it."""
    batches = [item for bad in BAD for item in ([0, 1], bad)]
    dataset = nested(name, folder, food)
    stock = kit.run(lambda: (kit.STOCK(dataset, batch_sampler=batches), ()), epochs=1)
    assert sum(step[0] == "error" for step in stock) >= 8
    lives(dataset, batch_sampler=batches, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "indices", [[0, 99, 1], (0, -18, 1), torch.tensor([0, 99, 1]), numpy.array([0, 99, 1])]
)
def test_a_subset_with_wrong_indices(folder: Any, indices: Any, num_workers: int) -> None:
    for dataset in (
        Subset(folder, indices),
        Subset(Subset(folder, indices), [2, 1, 0, 7]),
        ConcatDataset([Subset(folder, indices), folder]),
        Subset(ConcatDataset([folder, folder]), [*indices, 40, -41]),
    ):
        lives(dataset, batch_size=2, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    """Each leaf's own way of opening shows in what is said."""
    made = [
        trees.TREES[name](tmp_path / name, monkeypatch, transform=kit.train_v1(12))
        for name in ("image_folder", "pets", "food101")
    ]
    for dataset in made:
        paths = sorted(Path(dataset.root).rglob("*.jpg"))
        paths[2].unlink()
        paths[4].write_bytes(b"this is not an image")
        paths[7].write_bytes(paths[7].read_bytes()[:-40])
    lives(ConcatDataset(made), batch_size=1, num_workers=num_workers)
    lives(Subset(ConcatDataset(made), range(32, 0, -1)), batch_size=2, num_workers=num_workers)


def change(dataset: Any, folder: Any, step: int) -> None:
    indices = dataset.indices
    if step == 0:
        indices[4] = indices[0]
    elif step == 1:
        indices[:] = [index for index in indices if index != indices[1]] + [3, 3, 3]
    elif step == 2:
        dataset.indices = torch.arange(len(dataset))
    elif step == 3:
        folder.samples.reverse()
    elif step == 4:
        folder.samples.append(folder.samples[3])
        dataset.indices[-1] = -1
    elif step == 5:
        dataset.dataset = Subset(folder, list(range(17, 0, -1)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_changes_between_epochs_and_batches(root: Path, num_workers: int) -> None:
    def life(cls: type, within: bool) -> list[Any]:
        kit.seed_all(2)
        folder = kit.folder_of(root, kit.train_v1(12))
        dataset = Subset(folder, [5, 1, 9, 16, 0, 3, 12])
        loader = cls(dataset, 2, num_workers=num_workers)
        seen = []
        for step in range(7):
            for number, batch in enumerate(loader):
                seen.append((kit.visible(batch), kit.states()))
                if within and number == 0:
                    change(dataset, folder, step)
            if not within:
                change(dataset, folder, step)
        return seen

    for within in (False, True):
        assert life(kit.OURS, within) == life(kit.STOCK, within)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_parts_that_change(root: Path, food: Any, num_workers: int) -> None:
    def life(cls: type) -> list[Any]:
        kit.seed_all(2)
        folder = kit.folder_of(root, kit.train_v1(12))
        dataset = ConcatDataset([Subset(folder, range(3)), food, folder])
        loader = cls(dataset, 4, num_workers=num_workers)
        seen = []
        for epoch in range(4):
            for number, step in enumerate(kit.walk(iter(loader), 100, kit.states)):
                seen.append(step)
                if epoch == 1 and number == 1:
                    folder.samples.insert(0, folder.samples[5])  # sizes are of before
                if epoch == 2 and number == 2:
                    dataset.datasets[2] = Subset(food, [5] * 17)
            dataset.datasets.reverse()
            dataset.cumulative_sizes[:] = ConcatDataset.cumsum(dataset.datasets)
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


def test_parts_with_equal_transforms_of_their_own(root: Path, food_root: Path) -> None:
    def parts(other: Callable[[], Any]) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            first = kit.folder_of(root, kit.train_v1(12))
            return ConcatDataset([first, trees.food101(food_root, patch, transform=other())])

    for num_workers in (0, 2):
        lives(parts(lambda: kit.train_v1(12)), shuffle=True, num_workers=num_workers)
        lives(parts(lambda: kit.train_v1(13)), native=False, batch_size=1, num_workers=num_workers)
    dataset = parts(lambda: kit.train_v1(12))
    loader = kit.OURS(dataset, batch_size=1)
    assert loader.explain().lane == "native"
    dataset.datasets[1].transform.transforms[0].size = (5, 5)
    assert "different transforms" in loader.explain().reason


def test_a_transform_that_changes_between_two_batches(root: Path, food_root: Path) -> None:
    def life(cls: type) -> list[Any]:
        kit.seed_all(2)
        with pytest.MonkeyPatch.context() as patch:
            food = trees.food101(food_root, patch, transform=kit.train_v1(12))
        folder = kit.folder_of(root, kit.train_v1(12))
        dataset = Subset(ConcatDataset([folder, food]), range(27, 0, -2))
        seen = []
        for number, batch in enumerate(cls(dataset, 1)):
            seen.append((kit.visible(batch), kit.states()))
            if number in (1, 3):
                folder.transform.transforms[0].size = (9, 15)
            if number in (2, 3):
                food.transform.transforms[0].size = (9, 15)
            if number == 6:
                folder.transform = food.transform = kit.eval_v1()
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_target_transforms_of_the_parts(root: Path, food: Any, num_workers: int) -> None:
    one = kit.folder_of(root, food.transform, target_transform=[7, 8, 9].__getitem__)
    food.target_transform = {0: 100, 1: 200}.get
    lives(ConcatDataset([one, food]), num_workers=num_workers)
    one.target_transform = None
    one.samples = [(path, numpy.uint8(label)) for path, label in one.samples]
    assert "numpy.uint8" in kit.OURS(ConcatDataset([one, food])).explain().reason


class Random(Sampler[int]):
    """Indices of either sign, sometimes too large."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.random = random.Random(seed)

    def __len__(self) -> int:
        return 12

    def __iter__(self) -> Iterator[int]:
        for _ in range(12):
            beyond = int(self.random.random() < 0.3)
            yield self.random.randrange(-self.n - beyond, self.n + beyond)


def random_dataset(chance: random.Random, leaves: list[Any], depth: int) -> Any:
    kind = chance.randrange(3) if depth else 0
    if kind == 0:
        return chance.choice(leaves)
    if kind == 1:
        parts = [random_dataset(chance, leaves, depth - 1) for _ in range(chance.randint(1, 3))]
        return ConcatDataset(parts)
    inner = random_dataset(chance, leaves, depth - 1)
    n = len(inner)
    indices: Any = [
        chance.randrange(-n, n + (chance.random() < 0.02)) if n else 0
        for _ in range(chance.randint(0, 12))
    ]
    make = chance.choice([list, tuple, torch.LongTensor, lambda i: numpy.array(i, numpy.int64)])
    return Subset(inner, make(indices))


def test_random_nestings(root: Path, food: Any) -> None:
    """The places of samples, and what ends them, beside stock's own fetching."""
    chance = random.Random(7)
    folder = kit.folder_of(root, kit.eval_v1())
    food.transform = folder.transform

    class Paths(Dataset[Any]):
        def __init__(self, paths: list[str]) -> None:
            self.paths = paths

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: Any) -> str:
            seen.append(self.paths[index])
            return seen[-1]

    named = {
        id(folder): Paths([path for path, _ in folder.samples]),
        id(food): Paths(list(map(str, food._image_files))),
    }

    def mirrored(dataset: Any) -> Any:
        if isinstance(dataset, Subset):
            return Subset(mirrored(dataset.dataset), dataset.indices)
        if isinstance(dataset, ConcatDataset):
            return ConcatDataset(map(mirrored, dataset.datasets))
        return named[id(dataset)]

    n_errors = n_samples = 0
    for _ in range(300):
        dataset = random_dataset(chance, [folder, food], chance.randint(1, 4))
        if len(dataset) == 0:
            continue
        source = sources.read(dataset)
        table = tables.table_of(source)
        fetcher = torch.utils.data._utils.fetch._MapDatasetFetcher
        stock = fetcher(mirrored(dataset), True, lambda data: data, False)
        for frozen in (source, source.frozen(table.leaves)):
            batch = list(Random(len(dataset), chance.randrange(1000)))[: chance.randint(1, 12)]
            seen: list[str] = []
            expected = None
            try:
                stock.fetch(batch)
            except (IndexError, ValueError) as error:
                expected = error
                n_errors += 1
            indices, _, found = table.indices(frozen, batch)
            assert [table.path(index) for index in indices] == seen
            n_samples += len(seen)
            assert (type(found), str(found)) == (type(expected), str(expected))
    assert n_errors > 60
    assert n_samples > 1000


@pytest.mark.parametrize("name", NESTED)
def test_draws_by_index_are_of_the_datasets_own_index(folder: Any, food: Any, name: str) -> None:
    """rng="sample": of the index that the sampler gives, whatever the batch, also where a sample is
    in the dataset twice."""
    dataset = nested(name, folder, food)
    n = len(dataset)

    def by_index(**options: Any) -> dict[int, Any]:
        kit.seed_all(4)
        order = torch.randperm(n).tolist()
        loader = kit.OURS(dataset, sampler=order, rng="sample", **options)
        iterator = iter(loader)
        assert kit.is_native(iterator), loader.explain().reason
        rows = [row for images, labels in iterator for row in zip(images, labels, strict=True)]
        return {i: kit.visible(list(row)) for i, row in zip(order, rows, strict=True)}

    found = by_index(batch_size=3)
    for options in ({"batch_size": 1}, {"batch_size": 4, "num_workers": 2}):
        assert by_index(**options) == found
    labels = kit.STOCK(dataset, batch_size=n, shuffle=False)
    expected = [kit.visible(label) for label in next(iter(labels))[1]]
    assert [found[i][1][1] for i in range(n)] == expected
    if name == "the same twice":
        white = next(i for i, (path, _) in enumerate(folder.samples) if path.endswith("c2.png"))
        assert [i for i in range(17) if found[i] == found[i + 17]] == [white]


def test_draws_by_index_see_changes(folder: Any) -> None:
    subset = Subset(folder, [3, 4, 5])
    for num_workers in (0, 1):
        loader = kit.OURS(subset, 3, rng="sample", num_workers=num_workers)
        subset.indices = [3, 4, 5]
        assert next(iter(loader))[1].tolist() == [folder.samples[i][1] for i in (3, 4, 5)]
        subset.indices = [16, 0, 7]
        assert next(iter(loader))[1].tolist() == [folder.samples[i][1] for i in (16, 0, 7)]
        subset.indices = [16, 99]
        assert "not all its samples can be found (IndexError" in loader.explain().reason


# --- refusals


def reason(dataset: Any) -> str:
    explanation = kit.OURS(dataset).explain()
    assert explanation.lane == "python"
    assert not kit.is_native(kit.OURS(dataset)._get_iterator())
    return explanation.reason


class Own(Subset[Any]):
    pass


class Indices(list[int]):
    pass


def test_parts_that_are_not_known(folder: Any) -> None:
    own: Any = Own(folder, [0])
    other = Subset(folder, [0])
    other.__dict__["__getitems__"] = lambda indices: [folder[0] for _ in indices]
    concat = ConcatDataset([folder])
    concat.__dict__["__getitems__"] = lambda indices: [folder[0] for _ in indices]
    for dataset, said in (
        (own, "Own is not a dataset that the engine knows"),
        (ConcatDataset([folder, own]), "Own is not a dataset"),
        (Subset([1, 2, 3], [0]), "list is not a dataset"),
        (other, "__getitems__ is set on the instance"),
        (concat, "has __getitems__"),
        (Subset(folder, Indices([0])), "indices are a Indices"),
        (Subset(folder, {0: 0}), "indices are a dict"),
        (Subset(folder, torch.tensor([0], dtype=torch.int32)), "torch.int32"),
        (Subset(folder, torch.tensor([[0]])), "2 dimensions"),
        (Subset(folder, torch.tensor([True])), "torch.bool"),
        (Subset(folder, numpy.array([0], numpy.uint8)), "uint8"),
        (Subset(folder, numpy.array([[0]])), "2 dimensions"),
        (Subset(folder, numpy.matrix([0])), "matrix"),
    ):
        assert said in reason(dataset)


def test_nesting_has_bounds(folder: Any) -> None:
    deep = folder
    for _ in range(16):
        deep = Subset(deep, range(17))
    assert kit.OURS(deep).explain().lane == "native"
    assert "16 deep" in reason(Subset(deep, range(17)))
    wide = ConcatDataset([folder] * 1023)
    assert kit.OURS(wide).explain().lane == "native"
    assert "1024 parts" in reason(ConcatDataset([folder] * 1024))
    endless = Subset(folder, [0])
    endless.dataset = endless
    assert "16 deep" in kit.OURS(endless).explain().reason


def test_sizes_that_are_no_sizes(folder: Any) -> None:
    dataset = ConcatDataset([folder, folder])
    for attribute, value, said in (
        ("cumulative_sizes", [17.0, 34], "do not go with its parts"),
        ("cumulative_sizes", [34], "do not go with its parts"),
        ("cumulative_sizes", (17, 34), "not a list"),
        ("datasets", (folder, folder), "not a list"),
    ):
        changed = copy.copy(dataset)
        setattr(changed, attribute, value)
        assert said in reason(changed)


@pytest.mark.parametrize(
    ("cls", "name"),
    [(Subset, "__getitems__"), (Subset, "__getitem__"), (ConcatDataset, "__getitem__")],
)
def test_methods_that_were_replaced(
    folder: Any, monkeypatch: pytest.MonkeyPatch, cls: Any, name: str
) -> None:
    dataset = ConcatDataset([Subset(folder, [0, 1])])
    assert kit.OURS(dataset).explain().lane == "native"
    monkeypatch.setattr(cls, name, lambda self, index: None)
    assert f"{cls.__name__}.{name} was replaced" in kit.OURS(dataset).explain().reason


# --- what it says, holds and costs


def test_explain_names_the_parts(folder: Any, food: Any) -> None:
    dataset = Subset(ConcatDataset([Subset(folder, [1]), food, *[folder] * 5]), [0, 5])
    explanation = kit.OURS(dataset).explain()
    why = {stage.name: stage.why for stage in explanation.stages}
    assert why["dataset"] == (
        "Subset of ConcatDataset of (Subset of ImageFolder, Food101, ImageFolder, ImageFolder, "
        "3 more), 2 samples"
    )
    assert why["read"] == "28 files by path"


def test_verify_names_the_index_and_the_file(
    folder: Any, food: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Subset(ConcatDataset([food, folder]), [11, -1, 12, -2, 11])
    bad = next(i for i, (path, _) in enumerate(folder.samples) if Path(path).stem == "b4")
    dataset.indices[2] = len(food) + bad
    real = penstock.reference.pixels

    def wrong(image: Any) -> Any:
        data, width, height = real(image)
        return bytes(byte ^ 1 for byte in data), width, height

    for num_workers in (0, 2):
        for rng in ("torch", "sample"):
            loader = kit.OURS(dataset, 2, num_workers=num_workers, rng=rng)
            if rng == "torch":
                assert penstock.verify(loader, batches=None).ok
                with monkeypatch.context() as patch:
                    patch.setattr(penstock.reference, "pixels", wrong)
                    difference = penstock.verify(loader, batches=None).difference
                assert difference is not None
                assert (difference.batch, difference.slot, difference.index) == (1, 0, 2)
                assert difference.path == folder.samples[bad][0]


def test_nothing_keeps_datasets(root: Path, food: Any) -> None:
    folder = kit.folder_of(root, kit.eval_v1())
    food.transform = folder.transform
    gc.collect()
    before = len(tables._tables), len(tables._ordered)
    dataset = Subset(ConcatDataset([folder, food]), range(20))
    for num_workers in (0, 2):
        for rng in ("torch", "sample"):
            for _ in kit.OURS(dataset, 6, num_workers=num_workers, rng=rng):
                pass
    assert (len(tables._tables), len(tables._ordered)) == (before[0] + 1, before[1] + 1)
    del dataset, folder
    gc.collect()
    assert (len(tables._tables), len(tables._ordered)) == before


def test_copies_and_pickles_are_datasets_of_their_own(folder: Any) -> None:
    dataset = Subset(folder, [3, 1, 2])
    for again in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        again.dataset.samples.reverse()
        lives(again, num_workers=1)
        lives(dataset, num_workers=1)


def best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_large_subset_is_cheap_to_ask_again(root: Path) -> None:
    """What an epoch costs beside the work: a fraction of the permutation that the sampler makes."""
    folder = kit.folder_of(root, kit.eval_v1())
    folder.samples = [(f"/nowhere/{i}.jpg", i % 1000) for i in range(400_000)]
    dataset = Subset(folder, torch.randperm(400_000).tolist())

    def again() -> None:
        source = sources.read(dataset)
        source.frozen(tables.table_of(source).leaves)

    again()
    assert best(again) < best(lambda: torch.randperm(400_000).tolist())
