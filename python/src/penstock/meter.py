# SPDX-License-Identifier: Apache-2.0
"""How an iteration goes: DataLoader(progress=...)."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from penstock import engines, native
from torch.utils.data import BatchSampler, IterableDataset

_EVERY_NS = 100_000_000
_WINDOW = 30  # updates that the rate of a moment is of


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an iterator stands. Rates and the share of waiting are those of the last seconds, and
    once the iteration is over those of all of it. str() is a line."""

    lane: Literal["native", "python"]
    batches: int  # delivered
    n_batches: int | None  # in all, where that is known
    samples: int | None  # delivered, where that is known
    seconds: float  # since the start
    batches_per_s: float
    samples_per_s: float | None
    wait_share: float  # of the time, how much was spent in next()
    doubts: int  # samples that Pillow decided
    state: Literal["running", "stopped", "complete"]

    def __str__(self) -> str:
        parts = [f"{self.batches} batches"]
        if self.n_batches:
            share = 100 * self.batches // self.n_batches
            parts = [f"{self.batches}/{self.n_batches} batches {share} %"]
        if self.samples_per_s is None:
            parts.append(f"{self.batches_per_s:.1f} batches/s")
        else:
            parts.append(f"{self.samples_per_s:.0f} samples/s")
        parts.append(f"waiting {100 * self.wait_share:.0f} %")
        if self.doubts:
            parts.append(f"{self.doubts} by Pillow")
        parts.append(_clock(self.seconds))
        if self.state == "running" and self.n_batches and self.batches_per_s > 0:
            left = max(self.n_batches - self.batches, 0) / self.batches_per_s
            parts[-1] += f", {_clock(left)} left"
        if self.state == "stopped":
            parts.append("stopped")
        return "penstock: " + " | ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """One line that is written over and over: what progress=True means. stream: None is sys.stderr,
    as it is when the iteration starts. Silent where that is no terminal, unless force is set."""

    def __init__(self, stream: TextIO | None = None, *, force: bool = False) -> None:
        self.stream = stream
        self.force = force

    def _stream(self) -> TextIO | None:
        return sys.stderr if self.stream is None else self.stream

    @property
    def is_seen(self) -> bool:
        stream = self._stream()
        try:
            return stream is not None and (self.force or stream.isatty())
        except ValueError:  # closed
            return False

    def __call__(self, progress: Progress) -> None:
        stream = self._stream()
        if stream is None:
            return
        text = str(progress)
        # A terminal would break a longer line, and then \r would not come back to its start.
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(stream.fileno()).columns
            if columns > 0:
                text = text[: columns - 1]
        end = "" if progress.state == "running" else "\n"
        # A training does not end because nobody can see how it goes.
        with contextlib.suppress(OSError, ValueError):
            stream.write(f"\r{text}\x1b[K{end}")
            stream.flush()


Progressing = bool | Callable[[Progress], object]


def check(progress: Any) -> None:
    if not isinstance(progress, bool) and not callable(progress):
        raise TypeError(
            f"progress should be True, False or a callable, not {type(progress).__name__}"
        )


def _n_batches(loader: Any) -> int | None:
    """len(loader), without what torch notes down when it is asked for it."""
    try:
        if not isinstance(loader.dataset, IterableDataset):
            return len(loader)
        n: int = len(loader.dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None
    size: int | None = loader.batch_size
    if size is None:
        return n
    return n // size if loader.drop_last else -(-n // size)


class Meter:
    """Watches one iterator and tells `report` at most ten times a second, and at the end."""

    def __init__(self, loader: Any, iterator: Any, report: Callable[[Progress], object]) -> None:
        self._report = report
        self._record = engines.record_of(loader)
        self._is_native = isinstance(iterator, native.SingleIter | native.WorkersIter)
        self._n_batches = _n_batches(loader)
        self._size, self._most = _samples_of(loader)
        self._doubts_before = self._doubts()
        self._batches = 0
        self._samples: int | None = 0
        self._waited_ns = 0
        self._start_ns = self._next_ns = time.monotonic_ns()
        self._marks = deque([(self._start_ns, 0, 0, 0)], maxlen=_WINDOW)

    def __repr__(self) -> str:
        return f"<progress={self._report!r}>"

    def _doubts(self) -> int:
        return self._record.counters()["doubts"] if self._is_native else 0

    def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None:
        self._batches += 1
        self._waited_ns += end_ns - start_ns
        if self._samples is not None:
            self._count(iterator)
        if end_ns >= self._next_ns:
            self._next_ns = end_ns + _EVERY_NS
            since = self._marks[0]
            self._marks.append((end_ns, self._batches, self._samples or 0, self._waited_ns))
            self._report(self._progress(since, end_ns, "running"))

    def _count(self, iterator: Any) -> None:
        assert self._samples is not None
        if self._is_native:
            self._samples += len(iterator._indices)
        elif self._size is None:
            self._samples = None
        else:
            self._samples = self._batches * self._size
            if self._most is not None:
                self._samples = min(self._samples, self._most)

    def ended(self, iterator: Any, is_whole: bool) -> None:
        start = (self._start_ns, 0, 0, 0)
        state: Literal["complete", "stopped"] = "complete" if is_whole else "stopped"
        self._report(self._progress(start, time.monotonic_ns(), state))

    def _progress(
        self,
        since: tuple[int, int, int, int],
        now_ns: int,
        state: Literal["running", "stopped", "complete"],
    ) -> Progress:
        then_ns, batches, samples, waited_ns = since
        elapsed_ns = max(now_ns - then_ns, 1)
        per_s = 1e9 / elapsed_ns
        known = self._samples
        return Progress(
            lane="native" if self._is_native else "python",
            batches=self._batches,
            n_batches=self._n_batches,
            samples=known,
            seconds=(now_ns - self._start_ns) / 1e9,
            batches_per_s=(self._batches - batches) * per_s,
            samples_per_s=None if known is None else (known - samples) * per_s,
            wait_share=min((self._waited_ns - waited_ns) / elapsed_ns, 1.0),
            doubts=self._doubts() - self._doubts_before,
            state=state,
        )


def _samples_of(loader: Any) -> tuple[int | None, int | None]:
    """On torch's own lane: samples in a batch, None where that is not known; and most in all."""
    if loader.batch_size is None:
        return (None, None) if loader.batch_sampler is not None else (1, None)
    if isinstance(loader.dataset, IterableDataset):
        return (loader.batch_size, None) if loader.drop_last else (None, None)
    if type(loader.batch_sampler) is not BatchSampler:
        return None, None
    if loader.drop_last:
        return loader.batch_size, None
    try:
        return loader.batch_size, len(loader.sampler)
    except (TypeError, NotImplementedError):
        return None, None


def meter_of(loader: Any, iterator: Any) -> Meter | None:
    """Who watches an iterator for loader.progress, or None where nobody would see it."""
    wanted = loader.progress
    check(wanted)
    if wanted is False:
        return None
    report = ProgressLine() if wanted is True else wanted
    if isinstance(report, ProgressLine) and not report.is_seen:
        return None
    return Meter(loader, iterator, report)
