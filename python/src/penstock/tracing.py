# SPDX-License-Identifier: Apache-2.0
"""What the threads of a loader did, and when: collected from its engines, and loader.trace()."""

import os
import time
import warnings
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import penstock
from penstock import chrome, engines
from penstock.explanation import Explanation

MOST_EVENTS = 1 << 20  # PST_TRACE_MOST


@dataclass(frozen=True, slots=True)
class Event:
    """struct pst_trace_event."""

    kind: str
    thread: int
    start_ns: int
    duration_ns: int
    index: int
    ticket: int
    slot: int
    count: int

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns


@dataclass(slots=True)
class Part:
    """What one engine noted."""

    threads: int
    events: list[Event] = field(default_factory=list)
    lost: int = 0


class Recorder:
    """Collects from all engines of a loader's record, and watches its iterators. Of each thread the
    newest `events` are kept."""

    def __init__(self, record: engines.Record, events: int) -> None:
        if isinstance(events, bool) or not isinstance(events, int):
            raise TypeError(f"events should be an int, not {type(events).__name__}")
        if not 1 <= events <= MOST_EVENTS:
            raise ValueError(f"events should be 1 to {MOST_EVENTS}, got {events}")
        self.parts: list[Part] = []
        self.calls: deque[tuple[int, int]] = deque(maxlen=events)  # of next() that gave a batch
        self.n_calls = 0
        self.n_unread = 0  # engines whose events could not be had
        self.start_ns = self.end_ns = 0
        self._record = record
        self._capacity = events
        self._part_of: dict[engines.Engine, Part] = {}

    def start(self) -> None:
        if self._record.recorder is not None:
            raise RuntimeError("this loader is traced already: let that trace end first")
        self.start_ns = time.monotonic_ns()
        self._record.recorder = self
        try:
            for engine in self._record.engines():
                self._attach(engine)
        except BaseException:
            self.stop()
            raise

    @property
    def is_on(self) -> bool:
        return self._record.recorder is self

    def stop(self) -> None:
        if self.is_on:
            self._record.recorder = None
            for engine in list(self._part_of):
                self.detach(engine)
            self.end_ns = time.monotonic_ns()

    def attach(self, engine: engines.Engine) -> None:
        """An epoch that begins goes on without its trace rather than not at all."""
        try:
            self._attach(engine)
        except (RuntimeError, MemoryError) as error:
            self._miss(f"an engine is not traced: {error}")

    def _attach(self, engine: engines.Engine) -> None:
        if engine not in self._part_of:
            engine.core.trace_start(self._capacity)
            part = Part(engine.spec.threads)
            self.parts.append(part)
            self._part_of[engine] = part

    def detach(self, engine: engines.Engine) -> None:
        """Takes what an engine has noted; it may be about to go."""
        part = self._part_of.pop(engine, None)
        if part is None or not engine.is_usable:
            return
        try:
            engine.core.trace_stop()
            found, part.lost = engine.core.trace()
            part.events = [Event(*event) for event in found]
        except (RuntimeError, MemoryError) as error:
            # Another thread may be in the engine, which then notes on until its next trace or end.
            self._miss(f"what an engine did is not in the trace: {error}")

    def _miss(self, message: str) -> None:
        self.n_unread += 1
        warnings.warn(message, RuntimeWarning, stacklevel=3)

    @property
    def lost(self) -> int:
        return sum(part.lost for part in self.parts) + self.n_calls - len(self.calls)

    def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None:
        if self.is_on:
            self.n_calls += 1
            self.calls.append((start_ns, end_ns))

    def ended(self, iterator: Any, is_whole: bool) -> None:
        pass


class Trace(Recorder):
    """A file for chrome://tracing or ui.perfetto.dev, of a loader's next epoch, or of what happens
    in a `with`. It is written when that is over."""

    def __init__(
        self,
        record: engines.Record,
        explanation: Explanation,
        path: str | os.PathLike[str],
        events: int,
    ) -> None:
        super().__init__(record, events)
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.path.parent)!r} for the trace")
        self._about = {
            "penstock": penstock.__version__,
            "lane": explanation.lane,
            "reason": explanation.reason,
            "settings": explanation.settings,
        }
        self._is_block = False
        self.start()

    def __enter__(self) -> "Trace":
        if not self.is_on:
            raise RuntimeError("this trace is over: ask the loader for another one")
        self._is_block = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._write()

    def ended(self, iterator: Any, is_whole: bool) -> None:
        if not self._is_block:
            self._write()

    def _write(self) -> None:
        """A training does not end for its trace: what prevents the file is a warning."""
        if not self.is_on:
            return
        self.stop()
        try:
            chrome.write(self, self.path, self._about)
        except Exception as error:
            message = f"the trace {str(self.path)!r} is not written: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
