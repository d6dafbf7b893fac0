# SPDX-License-Identifier: Apache-2.0
"""Code of the user that raises, and numbers that are no numbers: as in torch's loader."""

import asyncio
import contextlib
import gc
import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from torchvision import transforms

Tried = Callable[[int], None]


class Home(Exception):
    """Of the user's own, with an argument that must come through."""

    def __init__(self, code: int) -> None:
        super().__init__(f"home made {code}")
        self.code = code


class Pair(ValueError, LookupError):
    pass


EXCEPTIONS: list[BaseException] = [
    ValueError("v"),
    TypeError("t"),
    KeyError("k"),
    IndexError("i"),
    AttributeError("a"),
    NameError("n"),
    ZeroDivisionError("z"),
    OverflowError("o"),
    FloatingPointError("f"),
    MemoryError("m"),
    BufferError("b"),
    EOFError("e"),
    OSError(5, "os", "file"),
    PermissionError(13, "p", "file"),
    TimeoutError("t"),
    ConnectionResetError("c"),
    BlockingIOError("b"),
    InterruptedError("i"),
    RuntimeError("r"),
    RecursionError("r"),
    NotImplementedError("n"),
    AssertionError("a"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "u"),
    json.JSONDecodeError("j", "doc", 0),
    asyncio.CancelledError("c"),
    queue.Empty(),
    KeyboardInterrupt("k"),
    SystemExit(3),
    GeneratorExit("g"),
    Home(7),
    Pair("p"),
    ExceptionGroup("g", [ValueError("inner"), Home(1)]),
]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """An iterator of stock's that errors keep alive in a cycle holds up the next one's workers."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


class Raises:
    """A place in the user's code that raises when it is asked for the nth time, once."""

    def __init__(self, error: BaseException, nth: int = 3) -> None:
        self.error, self.left = error, nth

    def __call__(self, value: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return value


def of_sampler(dataset: Any, fail: Raises) -> dict[str, Any]:
    class Sampler(torch.utils.data.Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            for index in range(len(dataset)):
                fail()
                yield index

        def __len__(self) -> int:
            return len(dataset)

    return {"sampler": Sampler(), "batch_size": 2}


def of_batch_sampler(dataset: Any, fail: Raises) -> dict[str, Any]:
    class Batches:
        def __iter__(self) -> Iterator[list[int]]:
            for index in range(0, len(dataset), 2):
                fail()
                yield [index, (index + 1) % len(dataset)]

    return {"batch_sampler": Batches()}


def of_transform(dataset: Any, fail: Raises) -> dict[str, Any]:
    dataset.transform = transforms.Compose([kit.eval_v1(), fail])
    return {"batch_size": 2}


def of_target(dataset: Any, fail: Raises) -> dict[str, Any]:
    dataset.target_transform = fail
    return {"batch_size": 2}


def of_collate(dataset: Any, fail: Raises) -> dict[str, Any]:
    return {
        "batch_size": 2,
        "collate_fn": lambda batch: fail(torch.utils.data.default_collate(batch)),
    }


PLACES = {
    f.__name__: f for f in (of_sampler, of_batch_sampler, of_transform, of_target, of_collate)
}


def caught(step: Callable[[], Any]) -> Any:
    try:
        return ("value", kit.visible(step()))
    except StopIteration:
        return ("end",)
    except BaseException as error:
        error.__traceback__ = (
            None  # its frames would keep stock's iterators, and they their workers
        )
        return ("error", error, kit.error_of(error), repr(error.args))


def life(kind: type, dataset: Any, place: str, error: BaseException) -> list[Any]:
    kit.seed_all(1)
    dataset = kit.folder_of(Path(dataset.root), kit.train_v1(12))
    options = PLACES[place](dataset, Raises(error))
    loader = kind(dataset, **options)
    seen: list[Any] = []
    for _ in range(2):  # the second epoch is as good as if the first had never failed
        iterator = iter(loader)
        for _ in range(40):
            seen.append((caught(lambda it=iterator: next(it)), kit.states()))
            if seen[-1][0][0] == "end":
                break
    return seen


@pytest.mark.fault("R19")
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("place", PLACES)
def test_every_kind_of_exception(root: Path, place: str, tried: Tried) -> None:
    """The very object that was raised, at the same batch, and the same batches behind it."""
    dataset = kit.folder_of(root, None)
    for error in EXCEPTIONS:
        stock = life(kit.STOCK, dataset, place, error)
        ours = life(kit.OURS, dataset, place, error)
        assert ours == stock, repr(error)
        errors = [step[0] for step in ours if step[0][0] == "error"]
        assert errors, repr(error)
        assert errors[0][1] is error
    tried(len(EXCEPTIONS))


@pytest.mark.fault("R19")
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("place", ["of_sampler", "of_batch_sampler"])
def test_exceptions_in_front_of_workers(root: Path, place: str, tried: Tried) -> None:
    """Samplers run in the consumer, whatever the number of workers; the lane stays native."""
    some = [ValueError("v"), KeyError("k"), Home(7), KeyboardInterrupt("k"), SystemExit(3)]
    for error in some:
        lives = []
        for kind in (kit.STOCK, kit.OURS):
            kit.seed_all(1)
            dataset = kit.folder_of(root, kit.train_v1(12))
            loader = kind(dataset, num_workers=2, **PLACES[place](dataset, Raises(error, 7)))
            seen: list[Any] = []
            for _ in range(2):
                try:
                    iterator = iter(loader)
                except BaseException as raised:
                    raised.__traceback__ = None
                    seen.append(("iter", raised))
                    continue
                assert kit.is_native(iterator) == (kind is kit.OURS)
                for _ in range(40):
                    seen.append((caught(lambda it=iterator: next(it)), kit.states()))
                    if seen[-1][0][0] != "value":
                        break
                del iterator
            lives.append(seen)
        assert lives[1] == lives[0], repr(error)
    tried(len(some))


# --- R32: what is no finite number


NAN, INF, TINY = float("nan"), float("inf"), 1e-45

NUMBERS: dict[str, tuple[Any, Any]] = {
    "a mean of nan": ([NAN, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "a mean of inf": ([INF, -INF, 0.5], [0.5, 0.5, 0.5]),
    "a std of inf": ([0.5, 0.5, 0.5], [INF, -INF, NAN]),
    "denormal results": ([0.5, 0.5, 0.5], [1e38, 3e38, 2e38]),
    "a denormal std": ([0.5, 0.0, 1.0], [TINY, 1e-40, 1e-38]),
    "a denormal mean": ([TINY, -TINY, 1e-39], [1.0, 1.0, 1.0]),
    "minus zero": ([0.0, 0.0, 0.0], [-1.0, -2.0, -INF]),
}


@contextlib.contextmanager
def flushing(on: bool) -> Iterator[None]:
    if not torch.set_flush_denormal(on):
        pytest.skip("this processor does not flush denormals")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.fault("R32")
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_numbers_that_are_not_finite(root: Path, name: str, num_workers: int, flush: bool) -> None:
    """Bit for bit, payloads and signs included; also where the process flushes denormals, which is
    left to torch's loader, as are means that are no numbers."""
    mean, std = NUMBERS[name]
    steps = [transforms.RandomResizedCrop(12), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(mean, std)])
    dataset = kit.folder_of(root, transform)
    lives = []
    with flushing(flush):
        for kind in (kit.STOCK, kit.OURS):
            kit.seed_all(2)
            iterator = iter(kind(dataset, 4, num_workers=num_workers))
            if kind is kit.OURS:
                assert kit.is_native(iterator) == ("denormal" in name and not flush)
            lives.append(list(kit.walk(iterator, 99, kit.states)))
    assert lives[1] == lives[0]


@pytest.mark.fault("R32")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_flushing_that_changes(root: Path, num_workers: int) -> None:
    """Between epochs, and without workers between batches: the numbers are what the process makes
    of them now, not what it made of them before."""
    transform = transforms.Compose(
        [transforms.CenterCrop(12), transforms.ToTensor(), transforms.Normalize([0.5], [2e38])]
    )
    dataset = kit.folder_of(root, transform)

    def life(kind: type) -> list[Any]:
        kit.seed_all(1)
        loader = kind(dataset, 4, num_workers=num_workers)
        seen = []
        for epoch in range(4):
            with flushing(epoch in (1, 3)):
                iterator = iter(loader)
                seen.append(kit.visible(next(iterator)))
            with flushing(epoch in (1, 2)):
                seen += [kit.visible(batch) for batch in iterator]
        return seen

    stock = life(kit.STOCK)
    assert life(kit.OURS) == stock
    assert stock[0] != stock[5]
