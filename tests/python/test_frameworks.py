# SPDX-License-Identifier: Apache-2.0
"""What frameworks do to a loader, with stand-ins that do it in the same way."""

import copy
import gc
import inspect
import pickle
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
import torch.utils.data
from penstock import lanes
from torch.utils.data import DistributedSampler, Sampler, SequentialSampler
from torch.utils.data.dataloader import _BaseDataLoaderIter


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def dataset(root: Path) -> Any:
    return kit.folder_of(root, kit.train_v1(12))


def batches(loader: Any, seed: int = 4) -> list[Any]:
    kit.seed_all(seed)
    return [kit.visible(batch) for batch in loader]


def test_it_is_a_generic_subclass() -> None:
    assert issubclass(penstock.DataLoader, torch.utils.data.DataLoader)
    assert penstock.DataLoader[int] is not None
    assert inspect.isfunction(penstock.DataLoader.__dict__["__init__"])


def test_torchs_signature_comes_first() -> None:
    theirs = list(inspect.signature(torch.utils.data.DataLoader.__init__).parameters.values())
    ours = list(inspect.signature(penstock.DataLoader.__init__).parameters.values())
    plain = [(p.name, p.kind, p.default) for p in ours[: len(theirs)]]
    assert plain == [(p.name, p.kind, p.default) for p in theirs]
    extras = ours[len(theirs) :]
    own = ["threads", "rng", "memory_budget", "profile", "out_dtype", "memory_format", "exif"]
    own += ["progress", "on_error", "max_errors", "quarantine", "strict", "shuffle_block"]
    assert [p.name for p in extras] == own
    assert all(p.kind is p.KEYWORD_ONLY for p in extras)


def test_every_argument_is_kept_under_its_name(dataset: Any) -> None:
    given = {
        "threads": 3,
        "rng": "sample",
        "memory_budget": "64MB",
        "profile": "pillow-12.2",
        "out_dtype": torch.bfloat16,
        "memory_format": torch.channels_last,
        "exif": True,
        "progress": True,
        "on_error": "skip",
        "max_errors": 0.5,
        "quarantine": "refused",
        "strict": True,
        "shuffle_block": 8,
    }
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=2, **given)
    assert {name: getattr(loader, name) for name in given} == given
    stock = kit.STOCK(dataset, 4, num_workers=2)
    assert set(vars(loader)) - set(vars(stock)) == set(given)
    for _ in loader:
        pass
    assert set(vars(loader)) - set(vars(stock)) == set(given)


def rebuild(loader: Any, **changes: Any) -> Any:
    """As Lightning does: from the attributes that the signature names."""
    cls = type(loader)
    parameters = dict(inspect.signature(cls.__init__).parameters)
    values = {name: v for name, v in vars(loader).items() if not name.startswith("_")}
    values["multiprocessing_context"] = loader.multiprocessing_context
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and name not in values and name != "self"
    ]
    assert missing == []
    kwargs = {
        name: values[name]
        for name, p in parameters.items()
        if name in values and values[name] is not p.default
    }
    kwargs["dataset"] = loader.dataset
    kwargs.update(changes)
    return cls(**kwargs)


def test_rebuilding_from_attributes(dataset: Any) -> None:
    for options in (
        {"num_workers": 2, "prefetch_factor": 3, "persistent_workers": True, "threads": 1},
        {"num_workers": 0, "rng": "sample", "memory_budget": 10**8, "profile": "pillow-9"},
    ):
        loader = kit.OURS(dataset, 4, drop_last=True, **options)
        sampler = DistributedSampler(dataset, 2, 0)
        again = rebuild(loader, sampler=sampler, shuffle=False, batch_sampler=None)
        assert again.sampler is sampler
        for name in ("batch_size", "drop_last", *options):
            assert getattr(again, name) == getattr(loader, name), name
        third = rebuild(again, sampler=sampler, shuffle=False, batch_sampler=None)
        assert batches(third) == batches(again)


def test_init_may_be_wrapped_and_attributes_recorded(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning swaps __init__ and __setattr__ of the class and of its subclasses."""
    recorded: list[Any] = []
    for cls in (torch.utils.data.DataLoader, penstock.DataLoader):
        init, setattr_ = cls.__init__, cls.__setattr__

        def wrapped(self: Any, *args: Any, _init: Any = init, **kwargs: Any) -> None:
            recorded.append(sorted(kwargs))
            _init(self, *args, **kwargs)

        def noted(self: Any, name: str, value: Any, _setattr: Any = setattr_) -> None:
            recorded.append(name)
            _setattr(self, name, value)

        monkeypatch.setattr(cls, "__init__", wrapped)
        monkeypatch.setattr(cls, "__setattr__", noted)
    loader = penstock.DataLoader(dataset, batch_size=4, threads=1)
    assert recorded[0] == ["batch_size", "threads"]
    assert "memory_budget" in recorded
    assert kit.is_native(iter(loader))


def test_construction_takes_nothing(dataset: Any) -> None:
    before = kit.states(), threading.active_count()
    for _ in range(3):
        loader = kit.OURS(dataset, 4, shuffle=True, num_workers=3, persistent_workers=True)
        assert loader._iterator is None
    assert (kit.states(), threading.active_count()) == before


def test_attributes_are_read_at_iter(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2)
    expected = batches(kit.STOCK(dataset, 4, num_workers=2))
    assert batches(loader) == expected
    calls: list[int] = []
    loader.worker_init_fn = calls.append
    assert not kit.is_native(iter(loader))
    loader.worker_init_fn = None
    loader.collate_fn = len
    assert list(loader) == [4, 4, 4, 4, 1]
    loader.collate_fn = torch.utils.data.default_collate
    assert batches(loader) == expected


def test_guarded_attributes_are_refused(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4)
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset"):
        with pytest.raises(ValueError, match="should not be set after DataLoader is initialized"):
            setattr(loader, name, None)


def test_accelerate_swaps_the_sampler_of_the_batch_sampler(dataset: Any) -> None:
    def life(cls: type) -> list[Any]:
        loader = cls(dataset, 4, shuffle=True, num_workers=2)
        loader.batch_sampler.sampler = SequentialSampler(dataset)
        return batches(loader)

    assert life(kit.OURS) == life(kit.STOCK)


class RepeatSampler:
    """timm's and Ultralytics': endless, without a length."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.passes = 0

    def __iter__(self) -> Iterator[Any]:
        while True:
            self.passes += 1
            yield from iter(self.sampler)


def multi_epochs(base: type) -> type:
    class MultiEpochs(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._DataLoader__initialized = False
            self.batch_sampler = RepeatSampler(self.batch_sampler)
            self._DataLoader__initialized = True
            self.iterator = super().__iter__()

        def __len__(self) -> int:
            return len(self.batch_sampler.sampler)

        def __iter__(self) -> Iterator[Any]:
            for _ in range(len(self)):
                yield next(self.iterator)

    return MultiEpochs


@pytest.mark.parametrize("num_workers", [0, 2])
def test_timms_endless_loader(dataset: Any, num_workers: int) -> None:
    def life(base: type) -> list[Any]:
        kit.seed_all(6)
        loader = multi_epochs(base)(dataset, 4, shuffle=True, num_workers=num_workers)
        seen = [(kit.visible(b), kit.states()) for _ in range(3) for b in loader]
        return [*seen, loader.batch_sampler.passes]

    assert life(kit.OURS) == life(kit.STOCK)


def infinite(base: type) -> type:
    class Infinite(base):  # type: ignore[misc]
        """Ultralytics': behind __setattr__, _get_iterator directly, terminated by hand."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            object.__setattr__(self, "batch_sampler", RepeatSampler(self.batch_sampler))
            self.iterator: Any = None

        def __len__(self) -> int:
            return len(self.batch_sampler.sampler)

        def __iter__(self) -> Iterator[Any]:
            if self.iterator is None:
                self.iterator = self._get_iterator()
            for _ in range(len(self)):
                yield next(self.iterator)

        def reset(self) -> None:
            iterator = self.iterator
            if hasattr(iterator, "_workers"):
                for worker in iterator._workers:
                    if worker.is_alive():
                        worker.terminate()
                iterator._shutdown_workers()
            self.iterator = None

    return Infinite


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ultralytics_infinite_loader(dataset: Any, num_workers: int) -> None:
    def life(base: type) -> list[Any]:
        kit.seed_all(6)
        loader = infinite(base)(dataset, 4, shuffle=True, num_workers=num_workers)
        seen = [kit.visible(b) for _ in range(2) for b in loader]
        loader.reset()
        loader.reset()
        return [*seen, *(kit.visible(b) for b in loader)]

    assert life(kit.OURS) == life(kit.STOCK)


def test_ultralytics_iterator_is_ours(dataset: Any) -> None:
    loader = infinite(kit.OURS)(dataset, 4, num_workers=2)
    next(iter(loader))
    assert kit.is_native(loader.iterator)
    assert loader.iterator._workers == []
    loader.iterator._shutdown_workers()
    loader.iterator._shutdown_workers()


def wrapped(base: type, loader: Any) -> Any:
    class Wrapped(base):  # type: ignore[misc]
        """Ray's: no __init__ of a loader ever runs for it."""

        def __init__(self, inner: Any) -> None:
            self.__dict__.update(getattr(inner, "__dict__", {}))
            self.inner = inner

        def __iter__(self) -> Iterator[Any]:
            iterator = iter(self.inner)
            while (batch := next(iterator, None)) is not None:
                yield batch

    return Wrapped(loader)


def test_rays_wrapper(dataset: Any) -> None:
    stock = wrapped(kit.STOCK, kit.STOCK(dataset, 4, shuffle=True, num_workers=2))
    ours = wrapped(kit.STOCK, kit.OURS(dataset, 4, shuffle=True, num_workers=2))
    own = wrapped(kit.OURS, kit.OURS(dataset, 4, shuffle=True, num_workers=2))
    assert len(ours) == len(own) == len(stock) == 5
    assert batches(ours) == batches(own) == batches(stock)
    assert own.explain().lane == "native"
    iterator = penstock.DataLoader._get_iterator(own)
    assert kit.is_native(iterator)


class Bare(penstock.DataLoader[Any]):
    """As torchdata's: a copy of torch's constructor in the place of ours."""

    def __init__(self, dataset: Any, num_workers: int) -> None:
        torch.utils.data.DataLoader.__init__(self, dataset, 4, num_workers=num_workers)


def test_instances_without_our_init(dataset: Any) -> None:
    for num_workers in (0, 2):
        loader = Bare(dataset, num_workers)
        assert (loader.threads, loader.rng, loader.memory_budget) == (None, "torch", None)
        assert kit.is_native(iter(loader))
        expected = batches(kit.STOCK(dataset, 4, num_workers=num_workers))
        assert batches(loader) == expected
        assert loader.explain().lane == "native"
        assert loader.stats().as_dict()["samples"] == 17


def test_one_function_answers_for_stocks_instances(dataset: Any) -> None:
    for num_workers in (0, 2):
        loader = kit.STOCK(dataset, 4, shuffle=True, num_workers=num_workers)
        expected = batches(loader)
        kit.seed_all(4)
        iterator = lanes.iterator_for(loader)
        assert kit.is_native(iterator)
        assert [kit.visible(batch) for batch in iterator or ()] == expected
    assert lanes.iterator_for(kit.STOCK([1, 2, 3])) is None


class Liar:
    """Accelerate's wrappers: they say they are a loader, and forward what they do not have."""

    def __init__(self, base: Any) -> None:
        self.base = base

    @property
    def __class__(self) -> Any:
        return type(self.base)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)


def test_a_class_that_lies(dataset: Any) -> None:
    liar: Any = Liar(kit.OURS(dataset, 4, num_workers=2, rng="sample"))
    assert isinstance(liar, penstock.DataLoader)
    assert penstock.explain(liar).lane == "native"
    assert penstock.explain(liar).settings["rng"] == "torch"


def test_iterators_are_torchs(dataset: Any) -> None:
    for num_workers in (0, 2):
        loader = kit.OURS(dataset, 4, num_workers=num_workers)
        iterator = iter(loader)
        assert isinstance(iterator, _BaseDataLoaderIter)
        assert iter(iterator) is iterator
        next(iterator)
        assert len(iterator) == 5
        with pytest.raises(NotImplementedError):
            pickle.dumps(iterator)


class Seen:
    """Lightning's in predict: no BatchSampler, iterated by its own __next__, keeps what it gave."""

    def __init__(self, sampler: Any) -> None:
        self.batch_sampler = sampler
        self.seen: list[list[int]] = []

    def __iter__(self) -> "Seen":
        self.seen = []
        self.iterator = iter(self.batch_sampler)
        return self

    def __next__(self) -> list[int]:
        indices: list[int] = next(self.iterator)
        self.seen.append(indices)
        return indices

    def __len__(self) -> int:
        return len(self.batch_sampler)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_lightnings_predict_sampler(dataset: Any, num_workers: int) -> None:
    def life(cls: type) -> list[Any]:
        kit.seed_all(4)
        inner = torch.utils.data.BatchSampler(range(len(dataset)), 4, False)
        loader = cls(dataset, batch_sampler=Seen(inner), num_workers=num_workers)
        seen = []
        for _ in range(2):
            for number, batch in enumerate(loader):
                given = loader.batch_sampler.seen
                assert given[number] == list(range(4 * number, min(4 * number + 4, 17)))
                seen.append((kit.visible(batch), len(given)))
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


class SideEffects(Sampler[int]):
    def __init__(self, fail_at: int) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 17

    def __iter__(self) -> Iterator[int]:
        for index in range(17):
            if index == self.fail_at:
                raise LookupError(f"no sample {index}")
            yield index


@pytest.mark.fault("R19")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("fail_at", [0, 2, 9, 15])
def test_errors_of_a_sampler(dataset: Any, num_workers: int, fail_at: int) -> None:
    def life(cls: type) -> list[Any]:
        kit.seed_all(1)
        loader = cls(dataset, 2, sampler=SideEffects(fail_at), num_workers=num_workers)
        try:
            iterator = iter(loader)
        except LookupError as error:
            return [kit.error_of(error), kit.states()]
        return list(kit.walk(iterator, 30, kit.states, errors=1))

    assert life(kit.OURS) == life(kit.STOCK)


def test_copies_and_pickles(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=2, threads=1, memory_budget="1GB")
    expected = batches(loader)
    for again in (copy.copy(loader), copy.deepcopy(loader), pickle.loads(pickle.dumps(loader))):
        assert batches(again) == expected
        assert (again.threads, again.memory_budget) == (1, "1GB")
        assert kit.is_native(iter(again))
    assert batches(loader) == expected


def test_two_objects_may_share_one_dict(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2, persistent_workers=True)
    expected = batches(loader)
    twin = penstock.DataLoader.__new__(penstock.DataLoader)
    twin.__dict__.update(loader.__dict__)
    assert twin._iterator is loader._iterator
    twin._iterator = None
    del twin
    gc.collect()
    assert len(batches(loader)) == len(expected)


def test_weak_references_and_equality(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4)
    reference = weakref.ref(loader)
    assert reference() is loader
    assert loader != kit.OURS(dataset, 4)
    assert hash(loader) == object.__hash__(loader)
    for _ in loader:
        break
    del loader, _
    gc.collect()
    assert reference() is None


def test_use_from_another_thread(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=2)
    expected = batches(loader)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.extend(batches(loader)))
    thread.start()
    thread.join()
    assert seen == expected


def test_a_state_where_there_is_one(dataset: Any) -> None:
    """Accelerate asks whether there is a state_dict, takes it at each batch, and writes to it."""
    unknown: Any = kit.OURS([1, 2, 3])
    assert not hasattr(unknown, "state_dict")
    loader: Any = kit.OURS(dataset, 4, num_workers=2)
    assert hasattr(loader, "state_dict")
    assert hasattr(loader, "load_state_dict")
    before, n_threads = kit.states(), threading.active_count()
    taken = loader.state_dict()
    assert kit.states() == before
    assert threading.active_count() == n_threads  # other tests' may still be ending
    taken["_iterator_finished"] = True
    assert "_iterator_finished" not in loader.state_dict()
    loader.load_state_dict(taken)
    assert vars(loader).keys() == vars(kit.OURS(dataset, 4, num_workers=2)).keys()


def test_profilers_find_the_data_loading(dataset: Any) -> None:
    with torch.autograd.profiler.profile() as profile:
        next(iter(kit.OURS(dataset, 4, num_workers=2)))
    names = [event.name for event in profile.function_events]
    assert any(name.startswith("enumerate(DataLoader)#") for name in names)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threads": 0}, ValueError),
        ({"threads": 513}, ValueError),
        ({"threads": 1.5}, TypeError),
        ({"threads": True}, TypeError),
        ({"rng": "numpy"}, ValueError),
        ({"memory_budget": "many"}, ValueError),
        ({"memory_budget": 0}, ValueError),
        ({"memory_budget": 1.5}, TypeError),
        ({"profile": "pillow"}, ValueError),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        kit.OURS([1, 2], **options)


def test_memory_budgets() -> None:
    from penstock.options import parse_bytes

    for text, n in (
        ("512MB", 512 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("4096", 4096),
        (" 2kb ", 2000),
        (7, 7),
    ):
        assert parse_bytes(text) == n
    assert parse_bytes(None) == 0


def test_the_era_follows_pillow() -> None:
    from penstock.options import era_of_pillow

    for version, era in (
        ("9.5.0", "pillow-9"),
        ("12.1.1", "pillow-9"),
        ("12.2.0", "pillow-12.2"),
        ("12.10.0", "pillow-12.2"),
        ("13.0.0", "pillow-13"),
        ("14.1.0.dev0", "pillow-13"),
    ):
        assert era_of_pillow(version) == era
