# SPDX-License-Identifier: Apache-2.0
"""state_dict() and load_state_dict(); see tests/campaigns/resume.py for thousands of points."""

import contextlib
import copy
import gc
import json
import pickle
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import campaigns
import kit
import numpy
import penstock
import pytest
import torch
from penstock import engines, fingerprint, rng, state
from torch.utils.data import (
    ConcatDataset,
    DistributedSampler,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torchvision import datasets
from torchvision.transforms import v2

resume = campaigns.load("resume")
EPOCHS = 3

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def dataset(root: Path) -> Any:
    return kit.folder_of(root, kit.train_v1(8))


def seen(batch: Any) -> str:
    return repr(kit.visible(batch))


Make = Callable[..., Any]


def plain(dataset: Any, **options: Any) -> Make:
    def make(cls: type = kit.OURS, **more: Any) -> Any:
        return cls(dataset, 3, **{**options, **more})

    return make


def torch_state() -> bytes:
    return bytes(torch.get_rng_state().numpy().tobytes())


def life(make: Make, cls: type = kit.OURS, seed: int = 7) -> tuple[list[Any], list[Any]]:
    """The batches of some epochs with their epoch, and after each (and at each end) how many there
    were, the state, and that of torch's generator."""
    kit.seed_all(seed)
    loader = make(cls)
    batches: list[Any] = []
    states: list[Any] = []

    def note() -> None:
        taken = loader.state_dict() if cls is kit.OURS else None
        states.append((len(batches), taken, torch_state()))

    note()
    for epoch in range(EPOCHS):
        for batch in loader:
            batches.append((epoch, seen(batch)))
            note()
        note()
    return batches, states


def rest(make: Make, taken: Any, seed: int = 99, **more: Any) -> tuple[list[Any], bytes]:
    """What a loader that goes on from a state gives until the last epoch's end, and torch's
    generator when its first iterator was made."""
    kit.seed_all(seed)
    loader = make(**more)
    loader.load_state_dict(taken)
    found: list[Any] = []
    started = b""
    for epoch in range(taken["epoch"], EPOCHS):
        iterator = iter(loader)
        started = started or torch_state()
        found += [(epoch, seen(batch)) for batch in iterator]
    return found, started


# Its draws leave a normal behind, which a state has to keep.
MIXED = penstock.collate_with(
    v2.RandomChoice([v2.MixUp(alpha=0.3, num_classes=3), v2.CutMix(num_classes=3)])
)
WAYS: dict[str, dict[str, Any]] = {
    "in order": {},
    "shuffled": {"shuffle": True},
    "shuffled, last dropped": {"shuffle": True, "drop_last": True},
    "2 workers": {"num_workers": 2},
    "2 workers, shuffled": {"num_workers": 2, "shuffle": True, "prefetch_factor": 1},
    "3 persistent workers, shuffled": {
        "num_workers": 3,
        "shuffle": True,
        "persistent_workers": True,
    },
    "mixed": {"collate_fn": MIXED, "shuffle": True},
    "mixed, 2 workers": {"collate_fn": MIXED, "num_workers": 2},
    "mixed, 3 persistent workers": {
        "collate_fn": MIXED,
        "num_workers": 3,
        "shuffle": True,
        "persistent_workers": True,
    },
    "mixed, sample": {"collate_fn": MIXED, "rng": "sample", "shuffle": True},
    "sample": {"rng": "sample"},
    "sample, shuffled": {"rng": "sample", "shuffle": True},
    "sample, blocks, 2 workers": {
        "rng": "sample",
        "shuffle": True,
        "num_workers": 2,
        "shuffle_block": 2,
    },
    "sample, 2 persistent workers": {
        "rng": "sample",
        "shuffle": True,
        "num_workers": 2,
        "persistent_workers": True,
        "drop_last": True,
    },
}


@pytest.mark.fault("R23")
@pytest.mark.parametrize("way", WAYS)
def test_each_boundary_of_three_epochs(
    dataset: Any, way: str, tried: Callable[[int], None]
) -> None:
    make = plain(dataset, **WAYS[way])
    batches, states = life(make)
    if WAYS[way].get("rng") != "sample":
        stock, stocks = life(make, kit.STOCK)
        assert stock == batches
        assert [one[2] for one in stocks] == [one[2] for one in states]
    for number, (at, taken, generator) in enumerate(states):
        threads = (1, 2, 3, 8)[number % 4]
        again = json.loads(json.dumps(taken))
        found, started = rest(make, again, threads=threads)
        assert found == batches[at:], (way, at, taken["is_started"])
        if taken["order"] == "sampler" and taken["is_started"]:
            assert started == generator
    tried(len(states))


@pytest.mark.fault("R23")
@pytest.mark.parametrize("way", WAYS)
def test_chains_of_states(dataset: Any, way: str, tried: Callable[[int], None]) -> None:
    make = plain(dataset, **WAYS[way])
    batches, _ = life(make)
    for seed in range(4):
        assert resume.chain(make, random.Random(f"{way} {seed}"), 5, EPOCHS, seen) == batches
    tried(4)


def test_a_state_is_the_same_however_often_and_until_the_next_batch(dataset: Any) -> None:
    for options in WAYS.values():
        kit.seed_all(3)
        make = plain(dataset, **options)
        loader = make()
        before = kit.states()
        assert loader.state_dict() == loader.state_dict()
        assert kit.states() == before
        iterator = iter(loader)
        next(iterator)
        before = kit.states()
        taken = loader.state_dict()
        assert loader.state_dict() == taken
        assert kit.states() == before
        other = make(threads=3)
        other.load_state_dict(taken)
        assert other.state_dict() == taken  # right after it was loaded
        del iterator
        assert loader.state_dict() == taken  # of an epoch that was left
        iterator = iter(other)
        assert other.state_dict() == taken  # and with nothing delivered since
        next(iterator)
        assert other.state_dict()["delivered"] == 2
        taken["delivered"] = 77
        assert other.state_dict()["delivered"] == 2  # each is a copy
        del iterator


def test_what_is_delivered_last_is_not_the_end(dataset: Any) -> None:
    """With all batches delivered and the end not seen, what is left of the epoch is nothing."""
    for options in WAYS.values():
        make = plain(dataset, **options)
        batches, _ = life(make)
        kit.seed_all(7)
        loader = make()
        iterator = iter(loader)
        for _ in range(len(loader)):
            next(iterator)
        under_way = loader.state_dict()
        assert next(iterator, None) is None
        ended = loader.state_dict()
        del iterator
        assert under_way["is_started"]
        assert under_way["delivered"] == len(loader)
        assert not ended["is_started"]
        assert (under_way["epoch"], ended["epoch"]) == (0, 1)
        other = make()
        other.load_state_dict(under_way)
        assert list(other) == []
        assert [seen(batch) for batch in other] == [b for e, b in batches if e == 1]


# --- generators


def generators() -> Iterator[tuple[str, Callable[[Any], dict[str, Any]]]]:
    """Options with a generator of the user's; each call makes them anew."""

    def own() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    yield "of the loader", lambda dataset: {"shuffle": True, "generator": own()}
    yield (
        "with replacement",
        lambda dataset: {"sampler": RandomSampler(dataset, True, 40, own())},
    )
    yield "more than all", lambda dataset: {"sampler": RandomSampler(dataset, False, 40, own())}
    yield (
        "of one sampler, and another of the loader",
        lambda dataset: {
            "sampler": SubsetRandomSampler([4, 2, 9, 1, 16, 5, 7], own()),
            "generator": torch.Generator().manual_seed(6),
        },
    )
    yield (
        "weights, global",
        lambda dataset: {"sampler": WeightedRandomSampler([1.0 + i for i in range(17)], 19)},
    )
    yield "global", lambda dataset: {"shuffle": True, "generator": torch.default_generator}


@pytest.mark.parametrize("rng", ["torch", "sample"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("name", "options"), [*generators()])
def test_generators_of_the_users(
    dataset: Any, name: str, options: Callable[[Any], dict[str, Any]], workers: int, rng: Any
) -> None:
    def make(cls: type = kit.OURS, **more: Any) -> Any:
        chosen = {"rng": rng} if cls is kit.OURS else {}
        return cls(dataset, num_workers=workers, **chosen, **options(dataset), **more)

    batches, states = life(make)
    if rng == "torch":
        assert life(make, kit.STOCK)[0] == batches
    for at, taken, _ in states[:: 5 if len(states) > 60 else 2]:
        assert rest(make, taken)[0] == batches[at:], at


class Foreign:
    """Draws from all that it can reach."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        first = random.randrange(self.n)
        second = int(numpy.random.randint(self.n))
        yield from (first, second)
        order = torch.randperm(self.n).tolist()
        yield from order[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_of_the_users(dataset: Any, workers: int) -> None:
    make = plain(dataset, num_workers=workers, sampler=Foreign(17))
    batches, states = life(make)
    for at, taken, _ in states:
        assert rest(make, taken)[0] == batches[at:]


def test_a_sampler_that_cannot_be_run_again_is_noticed(dataset: Any) -> None:
    hidden = random.Random(1)

    class Hidden(Foreign):
        def __iter__(self) -> Iterator[int]:
            return iter(hidden.sample(range(self.n), self.n))

    make = plain(dataset, num_workers=2, sampler=Hidden(17))
    loader = make()
    iterator = iter(loader)
    next(iterator)
    other = make()
    other.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match="the sampler gives other indices than in the epoch of"):
        iter(other)
    shorter = plain(dataset, num_workers=2, sampler=Foreign(2))()
    shorter.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match="the sampler gives 1 batches only"):
        iter(shorter)


def test_an_epoch_of_a_distributed_sampler(dataset: Any) -> None:
    def make(cls: type = kit.OURS, **more: Any) -> Any:
        return cls(dataset, 2, sampler=DistributedSampler(dataset, 2, 1), num_workers=2, **more)

    for options in ({}, {"rng": "sample"}):
        kit.seed_all(4)
        loader = make(**options)
        loader.sampler.set_epoch(3)
        iterator = iter(loader)
        next(iterator)
        taken = loader.state_dict()
        left = [seen(batch) for batch in iterator]
        other = make(**options)
        other.load_state_dict(taken)
        with pytest.raises(ValueError, match=r"call its set_epoch\(3\) before iterating"):
            iter(other)
        other.sampler.set_epoch(3)
        assert [seen(batch) for batch in other] == left


# --- what comes with a batch


@pytest.mark.parametrize("on_error", ["skip", "substitute"])
@pytest.mark.parametrize("options", [{"rng": "sample"}, {"num_workers": 2}, {}])
def test_samples_that_cannot_be_had(tmp_path: Path, on_error: str, options: dict[str, Any]) -> None:
    root = kit.make_folder(tmp_path)
    broken = kit.folder_of(root, kit.train_v1(8))
    for path, _ in broken.samples[1::4]:
        Path(path).write_bytes(b"\xff\xd8 no image")
    make = plain(broken, shuffle=True, on_error=on_error, max_errors=5, **options)
    batches, states = life(make)
    for at, taken, _ in states:
        assert rest(make, taken, threads=3)[0] == batches[at:]
    few = plain(broken, shuffle=True, on_error=on_error, max_errors=3, **options)
    kit.seed_all(7)
    loader = few()
    iterator = iter(loader)
    taken = loader.state_dict()
    with contextlib.suppress(penstock.TooManyErrors):
        for _ in iterator:
            taken = loader.state_dict()
    assert taken["refused"] > 0
    other = few()
    other.load_state_dict(taken)  # the count of those before goes on
    with pytest.raises(penstock.TooManyErrors, match="4 of 1"):
        list(other)


def test_a_batch_that_failed_was_delivered(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path)
    broken = kit.folder_of(root, kit.train_v1(8))
    Path(broken.samples[7][0]).write_bytes(b"no image")
    for options in ({}, {"num_workers": 2}, {"rng": "sample"}):
        make = plain(broken, **options)
        kit.seed_all(2)
        loader = make()
        iterator = iter(loader)
        results = []
        for _ in range(6):
            try:
                results.append(seen(next(iterator)))
            except Exception as error:
                results.append(type(error).__name__)
                taken = loader.state_dict()
        assert results[2] == "UnidentifiedImageError"
        assert taken["delivered"] == 3
        other = make()
        other.load_state_dict(taken)
        assert [seen(batch) for batch in other] == results[3:]


def test_rows() -> None:
    tensors = torch.arange(70.0).reshape(35, 2), torch.arange(35)
    table = TensorDataset(*tensors)
    ways: list[dict[str, Any]] = [{}, {"num_workers": 2}, {"rng": "sample", "num_workers": 2}]
    ways.append({"num_workers": 2, "persistent_workers": True})
    for options in ways:
        for data in (table, Subset(table, range(30, 3, -1)), tensors[0].numpy()):
            make = plain(data, shuffle=True, **options)
            assert make().explain().lane == "native"
            batches, states = life(make)
            if "rng" not in options:
                assert life(make, kit.STOCK)[0] == batches
            for at, taken, _ in states[::3]:
                assert rest(make, json.loads(json.dumps(taken)))[0] == batches[at:]
    taken = plain(table)().state_dict()
    plain(TensorDataset(*(one.clone() for one in tensors)))().load_state_dict(taken)
    changed = tensors[0].clone()
    changed[17, 1] += 1
    for other in (
        TensorDataset(changed, tensors[1]),
        TensorDataset(tensors[0]),
        TensorDataset(tensors[0].double(), tensors[1]),
        TensorDataset(tensors[0][:, :1], tensors[1]),
        Subset(table, [*range(1, 35), 0]),
    ):
        with pytest.raises(ValueError, match="fingerprint was"):
            plain(other)().load_state_dict(taken)


def test_rows_in_files(tmp_path: Path) -> None:
    numpy.save(tmp_path / "rows.npy", numpy.arange(120).reshape(40, 3))
    numpy.arange(4000, dtype=numpy.uint16).tofile(tmp_path / "tokens.bin")

    def tokens() -> Any:
        return penstock.datasets.Tokens(tmp_path / "tokens.bin", 90, dtype="uint16")

    def array() -> Any:
        return penstock.datasets.Array(tmp_path / "rows.npy")

    for data in (tokens, array):
        for options in ({"num_workers": 2}, {"rng": "sample", "shuffle_block": 4}):
            make = plain(data(), shuffle=True, **options)
            assert make().explain().lane == "native"
            batches, states = life(make)
            assert len(batches) > 3 * 12
            for at, taken, _ in states[::4]:
                assert rest(make, taken)[0] == batches[at:]
        taken = plain(data())().state_dict()
        plain(data())().load_state_dict(taken)
    numpy.save(tmp_path / "rows.npy", numpy.arange(1, 121).reshape(40, 3))
    with pytest.raises(ValueError, match="fingerprint was"):
        plain(array())().load_state_dict(taken)


def test_many_rows_are_looked_at_in_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SMALL", 1 << 20)
    many = torch.zeros(3 << 18, dtype=torch.int32).reshape(-1, 3)
    taken = plain(many)().state_dict()
    plain(many.clone())().load_state_dict(taken)
    for row in (0, -1):
        other = many.clone()
        other[row, 1] = 1
        with pytest.raises(ValueError, match="fingerprint was"):
            plain(other)().load_state_dict(taken)


def test_images_in_memory_and_parts(root: Path) -> None:
    images = numpy.random.RandomState(0).randint(0, 256, (40, 32, 32, 3), dtype=numpy.uint8)
    cifar = kit.bare(
        datasets.CIFAR10, kit.PIPELINES["cifar_v1"](), data=images, targets=list(range(40))
    )
    cifar.train = True
    folder = kit.folder_of(root, kit.train_v1(8))
    parts = [Subset(cifar, range(3, 30)), ConcatDataset([folder, Subset(folder, [3, 1, 16])])]
    for data in parts:
        for options in ({"num_workers": 2}, {}):
            make = plain(data, shuffle=True, **options)
            batches, states = life(make)
            for at, taken, _ in states[::4]:
                assert rest(make, taken)[0] == batches[at:]
    for changed in (Subset(cifar, range(4, 31)), Subset(cifar, [*range(3, 29), 28])):
        taken = plain(parts[0])().state_dict()
        with pytest.raises(ValueError, match="fingerprint was"):
            plain(changed)().load_state_dict(taken)
    taken = plain(cifar, num_workers=2)().state_dict()
    cifar.data = images.copy()
    plain(cifar, num_workers=2)().load_state_dict(taken)
    cifar.data[20, 1, 2, 0] ^= 1
    with pytest.raises(ValueError, match="fingerprint was"):
        plain(cifar, num_workers=2)().load_state_dict(taken)


# --- as data


def test_a_state_is_plain_and_small(dataset: Any, tmp_path: Path) -> None:
    for options in WAYS.values():
        loader = plain(dataset, **options)()
        iterator = iter(loader)
        next(iterator)
        taken = loader.state_dict()
        del iterator
        assert type(taken) is dict
        assert json.loads(json.dumps(taken)) == taken
        torch.save({"loader": taken}, tmp_path / "state.pt")
        assert torch.load(tmp_path / "state.pt", weights_only=True) == {"loader": taken}
        size = max(len(json.dumps(taken)), len(pickle.dumps(taken)))
        assert size < (1024 if options.get("rng") == "sample" else 8192)


def test_the_engines_own_order_is_gone_on_from_at_once() -> None:
    """As many samples as no list could hold: nothing is counted up to the place."""
    order = penstock.ordering.Order(2**40, 256, False, True)
    first = next(order.batches(5, 2**31))
    assert len(first) == 256
    assert first == next(order.batches(5, 2**31))


def test_the_words_of_a_long_epoch_are_passed_over() -> None:
    plain, skipped = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    for _ in range(3):
        rng.advance(plain, 1_000_003)
    rng.skip(skipped, 3_000_009)
    assert torch.equal(plain.get_state(), skipped.get_state())


def test_another_process_goes_on(dataset: Any, root: Path, tmp_path: Path) -> None:
    script = tmp_path / "go_on.py"
    script.write_text(
        "import sys, json, torch\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "import kit\n"
        "root, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])\n"
        "loader = kit.OURS(kit.folder_of(root, kit.train_v1(8)), 3, threads=3, **options)\n"
        "loader.load_state_dict(torch.load(path, weights_only=True))\n"
        "print(json.dumps([[repr(kit.visible(b)) for b in loader] for _ in range(2)]))\n"
    )
    for options in ({"shuffle": True, "num_workers": 2}, {"shuffle": True, "rng": "sample"}):
        kit.seed_all(12)
        loader = plain(dataset, **options)()
        iterator = iter(loader)
        next(iterator)
        path = tmp_path / "state.pt"
        torch.save(loader.state_dict(), path)
        expected = [[seen(batch) for batch in iterator], [seen(batch) for batch in loader]]
        arguments = [str(script), str(root), str(path), json.dumps(options)]
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.stderr == ""
        assert json.loads(done.stdout) == expected


# --- wrong use


def mutations(dataset: Any, root: Path) -> Iterator[tuple[str, Any]]:
    """Datasets that are not the one of the state."""

    def other(change: Callable[[Any], None]) -> Any:
        made = kit.folder_of(root, kit.train_v1(8))
        change(made)
        return made

    samples = list(dataset.samples)
    swapped = [samples[1], samples[0], *samples[2:]]
    relabelled = [*samples[:5], (samples[5][0], 2), *samples[6:]]
    renamed = [*samples[:5], (samples[5][0] + "x", samples[5][1]), *samples[6:]]
    yield "a sample less", other(lambda made: made.samples.pop())
    yield "a sample more", other(lambda made: made.samples.append(samples[0]))
    yield "the first one gone", other(lambda made: made.samples.pop(0))
    yield "two swapped", other(lambda made: setattr(made, "samples", swapped))
    yield "backwards", other(lambda made: made.samples.reverse())
    yield "another label", other(lambda made: setattr(made, "samples", relabelled))
    yield "another name", other(lambda made: setattr(made, "samples", renamed))
    yield "one twice", other(lambda made: made.samples.__setitem__(3, samples[4]))
    others = {0: 0, 1: 2, 2: 1}.__getitem__
    yield "other labels", other(lambda made: setattr(made, "target_transform", others))
    yield "a part", Subset(dataset, list(range(16)))
    yield "a part in another order", Subset(dataset, list(range(16, -1, -1)))
    yield "twice", ConcatDataset([dataset, dataset])


@pytest.mark.fault("R24")
@pytest.mark.parametrize("order", ["sampler", "own"])
def test_a_dataset_that_changed_is_refused(
    dataset: Any, root: Path, order: str, tried: Callable[[int], None]
) -> None:
    options: dict[str, Any] = {"rng": "sample"} if order == "own" else {}
    taken = plain(dataset, shuffle=True, **options)().state_dict()
    n = 0
    for name, changed in mutations(dataset, root):
        loader = plain(changed, shuffle=True, **options)()
        with pytest.raises(ValueError, match=r"length was|fingerprint was"):
            loader.load_state_dict(taken)
        assert loader.state_dict() != taken, name
        n += 1
    tried(n)
    plain(kit.folder_of(root, kit.train_v1(8)), shuffle=True, **options)().load_state_dict(taken)


def test_a_dataset_may_move(dataset: Any, tmp_path: Path) -> None:
    taken = plain(dataset)().state_dict()
    moved = kit.folder_of(kit.make_folder(tmp_path / "elsewhere"), kit.train_v1(8))
    plain(moved)().load_state_dict(taken)


def test_states_of_other_loaders_are_refused_with_the_difference(dataset: Any) -> None:
    base: dict[str, Any] = {"shuffle": True, "num_workers": 2}
    own: dict[str, Any] = {"shuffle": True, "rng": "sample"}

    def check(options: dict[str, Any], change: dict[str, Any], match: str) -> None:
        taken = kit.OURS(dataset, **{"batch_size": 3, **options}).state_dict()
        loader = kit.OURS(dataset, **{"batch_size": 3, **options, **change})
        with pytest.raises(ValueError, match=match):
            loader.load_state_dict(taken)
        assert loader.state_dict()["delivered"] == 0

    for options in (base, own):
        check(options, {"batch_size": 4}, "batch_size was 3 and is 4")
        check(options, {"drop_last": True}, "drop_last was False and is True")
    check(base, {"num_workers": 3}, "num_workers was 2 and is 3")
    check(base, {"num_workers": 0}, "num_workers was 2 and is 0")
    check(base, {"persistent_workers": True}, "persistent_workers was False and is True")
    check(base, {"rng": "sample"}, "rng was 'torch' and is 'sample'; order was 'sampler'")
    check(own, {"shuffle": False}, "order was 'permutation' and is 'sequential'")
    check(own, {"shuffle_block": 4}, "shuffle_block was None and is 4")
    check(own, {"rng": "torch"}, "rng was 'sample' and is 'torch'")


def test_what_is_no_state_is_refused(dataset: Any) -> None:
    loader = plain(dataset, shuffle=True)()
    iterator = iter(loader)
    next(iterator)
    taken = loader.state_dict()
    del iterator
    wrong: list[tuple[Any, type[Exception], str]] = [
        (None, TypeError, "a state is a dict, not NoneType"),
        ({}, ValueError, "it has nothing"),
        ({"_snapshot": {}}, ValueError, "it has _snapshot"),
        ({**taken, "version": 2}, ValueError, "of version 2, and this Penstock reads 1"),
        ({**taken, "version": "1"}, ValueError, "of version '1'"),
        ({**taken, "epoch": -1}, ValueError, "'epoch' is -1"),
        ({**taken, "epoch": True}, ValueError, "'epoch' is True, not int"),
        ({**taken, "delivered": 2.5}, ValueError, "'delivered' is 2.5"),
        ({**taken, "delivered": taken["asked"] + 1}, ValueError, "more batches delivered than"),
        ({**taken, "is_started": 1}, ValueError, "'is_started' is 1, not bool"),
        ({**taken, "seed": None}, ValueError, "'seed' is None"),
        ({**taken, "now": []}, ValueError, "'now' is damaged"),
        ({**taken, "now": [1, 2, 3]}, ValueError, "'now' is damaged"),
        ({**taken, "start": ["", "", "QUJD"]}, ValueError, "'start' is damaged"),
        ({**taken, "start": [*taken["start"][:2], "A"]}, ValueError, "'start' is damaged"),
        ({**taken, "words": [1]}, ValueError, "has 1 workers, not 0"),
        ({**taken, "is_first": False, "base_seed": None}, ValueError, "no base seed"),
    ]
    wrong += [
        ({name: value for name, value in taken.items() if name != left}, ValueError, left)
        for left in ("rng", "batch_size", "epoch", "delivered", "asked", "now", "start", "length")
    ]
    for value, kind, match in wrong:
        other = plain(dataset, shuffle=True)()
        with pytest.raises(kind, match=match):
            other.load_state_dict(value)
        assert other.state_dict()["delivered"] == 0
    own = plain(dataset, shuffle=True, rng="sample")()
    with pytest.raises(ValueError, match="'delivered' is 7, an epoch has 6 batches"):
        own.load_state_dict({**own.state_dict(), "is_started": True, "delivered": 7})


def test_generators_that_do_not_fit(dataset: Any) -> None:
    def own() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    loader = plain(dataset, shuffle=True, generator=own())()
    iterator = iter(loader)
    next(iterator)
    taken = loader.state_dict()
    del iterator
    other = plain(dataset, shuffle=True)()
    other.load_state_dict(taken)
    with pytest.raises(ValueError, match="the state has 2 generators"):
        iter(other)
    damaged = state.Generators.unpacked(taken["start"])
    short = state.Generators((damaged.torch[0][:100], damaged.torch[1])).packed()
    other = plain(dataset, shuffle=True, generator=own())()
    other.load_state_dict({**taken, "start": short})
    with pytest.raises(ValueError, match="a generator does not take its state"):
        iter(other)


def test_other_keys_are_passed_over(dataset: Any) -> None:
    """Frameworks add theirs."""
    loader = plain(dataset)()
    taken = loader.state_dict()
    loader.load_state_dict({**taken, "_iterator_finished": False})
    assert loader.state_dict() == taken


def test_a_loader_that_is_iterated_takes_no_state(dataset: Any) -> None:
    for options in ({}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}):
        loader = plain(dataset, **options)()
        taken = loader.state_dict()
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(RuntimeError, match="while the loader is iterated"):
            loader.load_state_dict(taken)
        assert loader.state_dict()["delivered"] == 1
        for _ in iterator:
            pass
        loader.load_state_dict(taken)
        if not options.get("persistent_workers"):
            next(iter(loader))  # dropped at once
            loader.load_state_dict(taken)


def test_the_python_lane_has_no_state(dataset: Any) -> None:
    unknown = plain([1, 2, 3])()
    taken = plain(dataset)().state_dict()
    for _ in range(2):
        assert not hasattr(unknown, "state_dict")  # as Accelerate asks
        for name in ("state_dict", "load_state_dict"):
            with pytest.raises(AttributeError, match=r"on the python lane, .*: list is not a"):
                getattr(unknown, name)
        list(unknown)
    loader = plain(dataset)()
    assert hasattr(loader, "load_state_dict")
    loader.load_state_dict(taken)
    loader.collate_fn = lambda samples: samples
    with pytest.raises(RuntimeError, match=r"cannot be gone on from.*python lane.*collate_fn"):
        iter(loader)
    loader = plain(dataset)()
    known, loader.collate_fn = loader.collate_fn, lambda samples: samples
    iterator = iter(loader)
    loader.collate_fn = known
    with pytest.raises(AttributeError, match=r"python lane.*collate_fn"):
        loader.state_dict()  # of an iterator that is torch's
    del iterator
    loader.load_state_dict(taken)
    assert loader.state_dict() == taken
    next(iter(loader))
    assert loader.state_dict()["delivered"] == 1


def test_ctrl_c_loses_no_batch(dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({}, {"num_workers": 2}):
        make = plain(dataset, **options)
        batches, _ = life(make)
        kit.seed_all(7)
        loader = make()
        iterator = iter(loader)
        assert seen(next(iterator)) == batches[0][1]
        with monkeypatch.context() as patch:
            patch.setattr(iterator, "_collect" if options else "_native", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(iterator)
        taken = loader.state_dict()
        del iterator
        assert taken["delivered"] == 1
        assert rest(make, taken)[0] == batches[1:]


@pytest.mark.parametrize("workers", [0, 2])
def test_within_next_there_is_no_state(dataset: Any, workers: int) -> None:
    """As in a signal's handler, which may run anywhere."""
    found: list[str] = []

    class Asks(Foreign):
        def __iter__(self) -> Iterator[int]:
            for index in range(self.n):
                try:
                    loader.state_dict()
                    found.append("state")
                except RuntimeError as error:
                    found.append(str(error))
                yield index

    loader = plain(dataset, num_workers=workers, prefetch_factor=1 if workers else None)(
        sampler=Asks(17)
    )
    iterator = iter(loader)
    n = len(found)
    next(iterator)
    assert len(found) == n + 3
    assert all("the loader is in next(): take its state between" in one for one in found[n:])
    assert loader.state_dict()["delivered"] == 1


def interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


# --- beside everything else


def test_verify_and_report_leave_it_alone(dataset: Any, tmp_path: Path) -> None:
    for options in ({"shuffle": True}, {"num_workers": 2, "rng": "sample"}):
        loader = plain(dataset, **options)()
        iterator = iter(loader)
        next(iterator)
        taken = loader.state_dict()
        assert bool(penstock.verify(loader)) == (options.get("rng") is None)
        penstock.report(loader, tmp_path / "page.html")
        assert loader.state_dict() == taken
        left = [seen(batch) for batch in iterator]
        other = plain(dataset, **options)()
        other.load_state_dict(taken)
        penstock.verify(other)
        penstock.report(other, tmp_path / "page.html")
        assert other.state_dict() == taken
        assert [seen(batch) for batch in other] == left


def test_copies_begin_at_the_beginning(dataset: Any) -> None:
    loader = plain(dataset, rng="sample", shuffle=True)()
    first = [seen(batch) for batch in copy.deepcopy(loader)]
    iterator = iter(loader)
    next(iterator)
    again = pickle.loads(pickle.dumps(plain(dataset, rng="sample", shuffle=True)()))
    assert [seen(batch) for batch in again] == first
    del iterator


def test_a_loader_goes_when_it_is_dropped(dataset: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        for options in WAYS.values():
            loader = plain(dataset, **options)()
            iterator = iter(loader)
            next(iterator)
            taken = loader.state_dict()
            other = plain(dataset, **options)()
            other.load_state_dict(taken)
            next(iter(other))
            records = [weakref.ref(engines.record_of(one)) for one in (loader, other)]
            del iterator, loader, other
            assert [record() for record in records] == [None, None], options
    finally:
        gc.enable()
