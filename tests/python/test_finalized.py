# SPDX-License-Identifier: Apache-2.0
"""Destructors that a signal comes into: nothing that its handler raises is lost."""

import gc
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kit
import pytest
from penstock import _core, engines
from penstock.watched import Watched

COUNT = 50_000  # instructions of a program behind the destructor, more than enough


class Bell(Exception):
    """What a handler may raise, which any `except Exception` would swallow."""


@pytest.fixture
def handler() -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise Bell

    former = signal.signal(signal.SIGUSR1, ring)
    yield
    signal.signal(signal.SIGUSR1, former)


class Dying(_core.Finalized):
    def __init__(self, log: list[str], n_signals: int, which: int) -> None:
        self.log = log
        self.left = n_signals
        self.which = which

    def _finalize(self) -> None:
        self.log.append("begins")
        if self.left:
            self.left -= 1
            signal.raise_signal(self.which)
        self.log.append("ends")


def go_on() -> None:
    for _ in range(COUNT):
        pass


def raised(drop: Callable[[], Any]) -> list[type[BaseException]]:
    """What comes while drop() runs and for some time after it."""
    found: list[type[BaseException]] = []

    def run(levels: int) -> None:
        nonlocal found  # the second may come where the first is handled
        try:
            if levels:
                run(levels - 1)
            else:
                drop()
            go_on()
        except (Bell, KeyboardInterrupt) as error:
            found += [error.__class__]  # no call, at which the next one would come

    run(4)
    return found


@pytest.mark.fault("R29")
@pytest.mark.parametrize("n_signals", [0, 1, 2])
@pytest.mark.parametrize(
    ("which", "what"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR1, Bell)]
)
def test_what_a_handler_raises_reaches_the_program(
    handler: None, which: int, what: type[BaseException], n_signals: int
) -> None:
    log: list[str] = []
    things = [Dying(log, n_signals, which)]
    assert raised(things.clear) == [what] * n_signals
    assert log == ["begins"] * n_signals + ["begins", "ends"]


def test_it_gives_up_where_it_is_always_interrupted(handler: None) -> None:
    log: list[str] = []
    things = [Dying(log, 10, signal.SIGUSR1)]
    assert raised(things.clear) == [Bell] * 3
    assert log == ["begins"] * 3


def test_in_a_cycle_too(handler: None, request: pytest.FixtureRequest) -> None:
    # Hypothesis has one, in Python: the collector drops what is raised while it runs.
    for callback in list(gc.callbacks):
        gc.callbacks.remove(callback)
        request.addfinalizer(partial(gc.callbacks.append, callback))
    log: list[str] = []
    thing: Any = Dying(log, 1, signal.SIGUSR1)
    thing.itself = thing
    del thing
    assert raised(gc.collect) == [Bell]
    assert log == ["begins", "begins", "ends"]


def test_an_exception_that_is_on_its_way_stays(handler: None) -> None:
    log: list[str] = []

    def fails() -> None:
        thing = Dying(log, 1, signal.SIGUSR1)
        try:
            raise ZeroDivisionError
        finally:
            del thing

    seen: list[type[BaseException]] = []

    def catches() -> None:
        try:
            fails()
        except ZeroDivisionError as error:
            seen.append(type(error))

    kept = raised(catches)
    assert kept == [Bell]
    assert log == ["begins", "begins", "ends"]


def test_one_without_a_method_of_its_own_just_goes() -> None:
    assert raised(lambda: _core.Finalized()) == []
    _core.Finalized()._finalize()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.mark.fault("R29")
@pytest.mark.parametrize("where", ["stops", "retire"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_iterator_that_is_dropped(
    root: Path, handler: None, monkeypatch: pytest.MonkeyPatch, num_workers: int, where: str
) -> None:
    method = getattr(engines.Record, where)
    signals = [signal.SIGUSR1]

    def interrupted(self: Any, thing: Any) -> None:
        if signals:
            signal.raise_signal(signals.pop())
        method(self, thing)

    loader = kit.OURS(kit.folder_of(root, kit.train_v1(12)), 4, num_workers=num_workers)
    iterators = [iter(loader)]
    next(iterators[0])
    monkeypatch.setattr(engines.Record, where, interrupted)
    assert raised(iterators.clear) == [Bell]
    record = engines.record_of(loader)
    assert record.counters()["samples"] >= 4
    assert record.counters()["threads"] == 0
    assert not record._live
    assert not record._active


def test_an_iterator_that_is_watched(handler: None) -> None:
    ends: list[bool] = []

    class Rings:
        def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None:
            raise AssertionError("nothing was fetched")

        def ended(self, iterator: Any, is_whole: bool) -> None:
            ends.append(is_whole)
            signal.raise_signal(signal.SIGINT)

    things = [Watched(iter([1]), [Rings()])]
    assert raised(things.clear) == [KeyboardInterrupt]
    assert ends == [False]
