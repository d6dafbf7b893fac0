# SPDX-License-Identifier: Apache-2.0
"""DataLoader(progress=...): the line, the callable, and that neither changes a batch."""

import contextlib
import gc
import io
import itertools
import os
import pty
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from penstock import Progress, ProgressLine, _core, meter
from penstock.watched import Watched
from torch.utils.data import IterableDataset


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


class Count(IterableDataset[int]):
    def __init__(self, n: int, length: int | None = None) -> None:
        self.n, self.length = n, length

    def __iter__(self) -> Any:
        return iter(range(self.n))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("unknown")
        return self.length


def seen_of(make: Callable[..., Any], most: int | None = None) -> list[Progress]:
    seen: list[Progress] = []
    loader = make(progress=seen.append)
    iterator = iter(loader)
    for _ in range(most) if most is not None else iter(int, 1):
        if next(iterator, None) is None:
            break
    del iterator
    gc.collect()
    return seen


@pytest.fixture
def every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_EVERY_NS", 0)


@pytest.mark.usefixtures("every_batch")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_native_lane(root: Path, num_workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    seen = seen_of(lambda **given: kit.OURS(dataset, 4, num_workers=num_workers, **given))
    assert [p.batches for p in seen] == [1, 2, 3, 4, 5, 5]
    assert [p.samples for p in seen] == [4, 8, 12, 16, 17, 17]
    assert [p.state for p in seen] == ["running"] * 5 + ["complete"]
    last = seen[-1]
    assert (last.lane, last.n_batches) == ("native", 5)
    assert last.doubts == 2  # TIFF and PPM
    assert 0 < last.wait_share <= 1
    assert last.samples_per_s == pytest.approx(17 / last.seconds)
    assert last.batches_per_s == pytest.approx(5 / last.seconds)


@pytest.mark.usefixtures("every_batch")
@pytest.mark.parametrize(
    ("make", "batches", "n_batches", "samples"),
    [
        (lambda **given: kit.OURS(list(range(10)), 4, **given), 3, 3, 10),
        (lambda **given: kit.OURS(list(range(10)), 4, num_workers=1, **given), 3, 3, 10),
        (lambda **given: kit.OURS(list(range(10)), 4, drop_last=True, **given), 2, 2, 8),
        (lambda **given: kit.OURS(list(range(3)), None, **given), 3, 3, 3),
        (lambda **given: kit.OURS(range(9), batch_sampler=[[1], [2, 3]], **given), 2, 2, None),
        (lambda **given: kit.OURS(Count(10), 4, **given), 3, None, None),
        (lambda **given: kit.OURS(Count(10, 10), 4, **given), 3, 3, None),
        (lambda **given: kit.OURS(Count(10, 10), 4, drop_last=True, **given), 2, 2, 8),
    ],
)
def test_torchs_lane(
    make: Callable[..., Any], batches: int, n_batches: int | None, samples: int | None
) -> None:
    last = seen_of(make)[-1]
    assert (last.lane, last.state, last.doubts) == ("python", "complete", 0)
    assert (last.batches, last.n_batches, last.samples) == (batches, n_batches, samples)
    assert (last.samples_per_s is None) == (samples is None)


def test_torch_is_not_asked_for_a_length_that_it_would_hold_against_the_dataset() -> None:
    """len(loader) makes torch warn of every batch that comes after it."""
    loader = kit.OURS(Count(10, 4), 4, progress=lambda progress: None)
    for _ in loader:  # list() would ask, too
        pass
    assert loader._IterableDataset_len_called is None


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_batches_and_generators_are_the_same(
    root: Path, num_workers: int, persistent: bool
) -> None:
    def make(progress: Any) -> Any:
        loader = kit.OURS(
            kit.folder_of(root, kit.train_v1()),
            3,
            shuffle=True,
            num_workers=num_workers,
            persistent_workers=persistent and num_workers > 0,
            progress=progress,
        )
        return loader, ()

    plain = kit.run(lambda: make(False), epochs=3)
    for progress in (lambda progress: None, ProgressLine(io.StringIO(), force=True)):
        kit.assert_same(plain, kit.run(lambda p=progress: make(p), epochs=3))  # type: ignore[misc]


def test_off_it_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    for progress in (False, True):  # stderr is no terminal
        iterator = iter(kit.OURS(dataset, progress=progress))
        assert kit.is_native(iterator)
        assert type(iter(kit.OURS([1], progress=progress))) is type(iter(kit.STOCK([1])))
    list(kit.OURS(dataset, 4, progress=True))
    assert capsys.readouterr().err == ""


def test_a_watched_iterator_is_the_iterator_otherwise(root: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, progress=lambda progress: None)
    iterator = iter(loader)
    assert type(iterator) is Watched
    assert iter(iterator) is iterator
    assert len(iterator) == 5
    assert iterator._num_workers == 0
    with pytest.raises(AttributeError):
        _ = iterator.nothing
    iterator._shutdown_workers()


def test_at_most_ten_times_a_second_and_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of the test's own, which moves a millisecond with each look."""
    now = 0

    def clock() -> int:
        nonlocal now
        now += 1_000_000
        return now

    monkeypatch.setattr(time, "monotonic_ns", clock)
    before = threading.active_count()
    times: list[int] = []

    def report(progress: Progress) -> None:
        assert threading.active_count() == before
        times.append(now)

    for _ in kit.OURS(list(range(2000)), progress=report):
        pass
    gaps = [b - a for a, b in itertools.pairwise(times[:-1])]  # the last one is the end
    assert len(gaps) > 10
    assert min(gaps) >= 100_000_000


@pytest.mark.usefixtures("every_batch")
def test_break_and_exception_end_it_once(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    for make in (
        lambda **given: kit.OURS(dataset, 4, num_workers=2, **given),
        lambda **given: kit.OURS(list(range(20)), 4, **given),
    ):
        seen = seen_of(make, most=2)
        assert [p.state for p in seen] == ["running", "running", "stopped"]
        seen = []

        def run(loader: Any) -> None:
            for _ in loader:
                raise KeyError("the training's own")

        with pytest.raises(KeyError):
            run(make(progress=seen.append))
        assert [p.state for p in seen] == ["running", "stopped"]


@pytest.mark.usefixtures("every_batch")
def test_an_error_of_next_stops_and_the_rest_goes_on(tmp_path: Path) -> None:
    dataset = kit.folder_of(kit.make_folder(tmp_path), kit.eval_v1())
    Path(dataset.samples[5][0]).unlink()
    seen: list[Progress] = []
    iterator = iter(kit.OURS(dataset, 4, progress=seen.append))
    next(iterator)
    with pytest.raises(FileNotFoundError):
        next(iterator)
    assert len(list(iterator)) == 3
    states = [p.state for p in seen]
    assert states == ["running", "stopped", "running", "running", "running", "complete"]


def test_a_callable_that_raises_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def report(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(kit.OURS([1], progress=report))
    gc.collect()
    assert told == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_callable_that_raises_where_an_iterator_is_dropped(
    root: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[type[BaseException], str, str]] = []
    monkeypatch.setattr(
        sys,
        "unraisablehook",
        lambda args: told.append((args.exc_type, str(args.exc_value), repr(args.object))),
    )

    def report(progress: Progress) -> None:
        if progress.state == "stopped":
            raise ZeroDivisionError("of the user's")

    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=num_workers)
    loader.progress = report
    iterator = iter(loader)
    next(iterator)
    assert told == []
    del iterator
    gc.collect()
    assert told == [(ZeroDivisionError, "of the user's", f"<progress={report!r}>")]
    assert len(list(kit.OURS([1, 2], progress=report))) == 2
    assert len(told) == 1


def test_the_other_watchers_are_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.object))

    class Watcher:
        def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None: ...

        def ended(self, iterator: Any, is_whole: bool) -> None:
            told.append(is_whole)
            raise ValueError

    watchers = [Watcher(), Watcher()]
    watched = Watched(iter([1]), watchers)
    del watched
    assert told == [False, watchers[0], False, watchers[1]]


def test_an_unraisable_is_an_exception() -> None:
    with pytest.raises(TypeError, match="error must be an exception"):
        _core.write_unraisable("text", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.write_unraisable(ValueError())  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [None, "yes", 1.5, ...])
def test_nonsense_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="progress should be"):
        kit.OURS([1], progress=wrong)
    loader = kit.OURS([1])
    loader.progress = wrong
    with pytest.raises(TypeError, match="progress should be"):
        iter(loader)


def test_the_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal of 40 columns gets one line that never wraps, with its end at the end."""
    import fcntl
    import struct
    import termios

    monkeypatch.setattr(meter, "_EVERY_NS", 0)
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        for number, _ in enumerate(kit.OURS(list(range(8)), 2, progress=True)):
            if number == 2:
                break
        gc.collect()
        monkeypatch.undo()
    parts = []
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(reader, 1 << 16):  # as much of it as the terminal has by now
            parts.append(part)
    os.close(reader)
    found = b"".join(parts).decode().replace("\r\n", "\n")
    assert found.endswith("\n")
    assert found.count("\n") == 1
    lines = found[:-1].removeprefix("\r").split("\r")
    assert len(lines) == 4
    for line in lines:
        assert line.endswith("\x1b[K")
        assert len(line.removesuffix("\x1b[K")) < 40
        assert re.match(r"penstock: [123]/4 batches (25|50|75) % \| ", line)


def test_the_line_goes_where_it_is_sent() -> None:
    stream = io.StringIO()
    list(kit.OURS(list(range(8)), 2, progress=ProgressLine(stream, force=True)))
    assert re.search(
        r"\rpenstock: 4/4 batches 100 % \| \d+ samples/s \| waiting \d+ % \| 0:00\x1b\[K\n$",
        stream.getvalue(),
    )
    quiet = io.StringIO()
    list(kit.OURS([1], progress=ProgressLine(quiet)))
    assert quiet.getvalue() == ""


def test_a_closed_stream_ends_no_training() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (Full(), closed):
        assert len(list(kit.OURS([1, 2], progress=ProgressLine(stream, force=True)))) == 2
    assert not ProgressLine(closed).is_seen


def test_text() -> None:
    one = Progress("native", 50, 200, 800, 20.0, 2.5, 40.0, 0.031, 3, "running")
    assert str(one) == (
        "penstock: 50/200 batches 25 % | 40 samples/s | waiting 3 % | 3 by Pillow | 0:20, 1:00 left"
    )
    two = Progress("python", 7, None, None, 3700.0, 0.5, None, 1.0, 0, "stopped")
    assert str(two) == "penstock: 7 batches | 0.5 batches/s | waiting 100 % | 1:01:40 | stopped"
    assert penstock.Progress is Progress
    assert torch.utils.data.DataLoader.__iter__ is not penstock.DataLoader.__iter__
