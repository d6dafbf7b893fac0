# SPDX-License-Identifier: Apache-2.0
"""Who owns engines (threads and slabs): a live iterator, or a loader's record between two epochs.

Nothing lies in a loader's __dict__, which frameworks copy, pickle and share between objects. A
loader's record is found by its id and goes when the loader and its iterators go. A child of fork()
starts without records; at exit the engines that are left are closed before the interpreter goes
away.
"""

import atexit
import contextlib
import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from penstock import _core, blurring, rng
from penstock.kept import Kept
from penstock.mixing import Mix
from penstock.policy import ErrorReport, Refused
from penstock.position import Position, Resume
from penstock.prepare import Prepared
from penstock.rows import RowTable
from penstock.tables import Table

# The engine takes a batch of any size up to this.
MAX_BATCH = 1 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """Engines of equal specs do the same."""

    table: Table
    prepared: Prepared
    threads: int
    ahead: int
    n_streams: int
    memory_budget: int
    rng: Literal["torch", "sample"]
    strict: bool = False
    mix: Mix | None = None
    in_workers: bool = False  # stock's transforms run in processes, with one thread of torch each

    @property
    def transform(self) -> _core.Transform | None:
        return self.prepared.transform

    @property
    def draws(self) -> bool:
        return self.prepared.draws or self.mix is not None


@dataclass(frozen=True, slots=True)
class RowSpec:
    """The same of rows, which have no transform."""

    table: RowTable
    threads: int
    ahead: int
    memory_budget: int
    n_streams: ClassVar[int] = 1
    rng: ClassVar[Literal["torch"]] = "torch"
    strict: ClassVar[bool] = False
    mix: ClassVar[None] = None
    transform: ClassVar[None] = None


class Engine:
    """An open loader of the core."""

    __slots__ = ("core", "last", "pid", "spec")

    def __init__(self, spec: Spec | RowSpec) -> None:
        self.spec: Any = spec
        self.pid = os.getpid()
        self.last: dict[str, int] = {}
        self.core = _core.Loader(
            spec.table.dataset,
            spec.transform,
            threads=spec.threads,
            batch_size=MAX_BATCH,
            ahead=spec.ahead,
            n_streams=spec.n_streams,
            memory_budget=spec.memory_budget,
            rng=spec.rng,
            nice=0,
            exp=rng.exp_in_place,
            strict=spec.strict,
            blur=blurring.weights_in_place,
            mix=None if spec.mix is None else spec.mix.core,
        )

    @property
    def is_usable(self) -> bool:
        return self.pid == os.getpid() and not self.core.closed

    def stats(self) -> dict[str, int]:
        """The counters, or those of the last time where another thread is in the engine now."""
        try:
            self.last = self.core.stats()
        except RuntimeError:
            pass
        return self.last


_SUMS = (
    "batches",
    "samples",
    "bytes_read",
    "doubts",
    "replans",
    "read_ns",
    "probe_ns",
    "plan_ns",
    "decode_ns",
    "transform_ns",
    "wait_ns",
    "reference_ns",
    "slab_allocs",
    "over_budget",
)
_LEVELS = ("slab_bytes", "record_bytes", "scratch_bytes", "threads", "memory_budget")
_PEAKS = ("slab_peak_bytes", "held_peak_bytes")


class Recorder(Protocol):
    """Who wants to know what the threads of a record's engines do."""

    def attach(self, engine: Engine) -> None: ...
    def detach(self, engine: Engine) -> None: ...
    def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None: ...
    def ended(self, iterator: Any, is_whole: bool) -> None: ...


class Record:
    """What is known of one loader beside its own attributes."""

    def __init__(self, loader: Any) -> None:
        self._loader = weakref.ref(loader)
        # Collecting an iterator retires its engine wherever the collector runs.
        self._lock = threading.RLock()
        self._idle: Engine | None = None
        self._live: set[Engine] = set()
        self._past = dict.fromkeys(_SUMS, 0)
        self._past_peaks = dict.fromkeys(_PEAKS, 0)
        self._active_ns = 0
        self._active: dict[int, int] = {}  # iterator's id: since when
        self.epochs = 0
        self.stock_epochs = 0
        # Where the epoch of the last iterator is, and of what state the next one goes on.
        self.position: Position | None = None
        self.resume: Resume | None = None
        self.first_epoch = 0  # the number of what was the first here
        self.seed: int | None = None  # of the state that was gone on from
        self.refusal: str | None = None  # why the last iterator is torch's own
        self.recorder: Recorder | None = None
        self._errors = ErrorReport()
        self._pinned = {True: 0, False: 0}  # batches written where they are pinned; copied there

    @property
    def epoch(self) -> int:
        """The number of the last epoch that was begun; -1 before."""
        return self.first_epoch + self.epochs - 1

    @property
    def is_iterated(self) -> bool:
        return bool(self._active)

    def apart(self) -> "Record":
        """Another record of the same loader, to run it as if it had not been run."""
        record = Record(self._loader())
        record.epochs, record.first_epoch = self.epochs, self.first_epoch
        record.seed = self.seed
        return record

    def engines(self) -> list[Engine]:
        """Those that can be used, idle or not."""
        with self._lock:
            return [engine for engine in self._live if engine.is_usable]

    def acquire(self, spec: Spec | RowSpec) -> Engine:
        """An engine for one iterator: the idle one if it does the same, else another."""
        engine = self._acquire(spec)
        if self.recorder is not None:
            self.recorder.attach(engine)
        return engine

    def _acquire(self, spec: Spec | RowSpec) -> Engine:
        with self._lock:
            engine, self._idle = self._idle, None
        if engine is not None and engine.is_usable:
            if engine.spec == spec:
                return engine
            self.close(engine)
        engine = Engine(spec)
        with self._lock:
            self._live.add(engine)
        return engine

    def park(self, engine: Engine) -> None:
        """Takes an engine with nothing submitted back for the next epoch."""
        with self._lock:
            has_loader = self._loader() is not None
            keep = self._idle is None and has_loader and engine.is_usable
            if keep:
                self._idle = engine
        if not keep:
            self.close(engine)

    def retire(self, engine: Engine) -> None:
        """Keeps an engine's counters and forgets it: it ends with its last reference."""
        stats = engine.stats() if engine.is_usable else {}
        if self.recorder is not None:
            self.recorder.detach(engine)
        with self._lock:
            if engine not in self._live:
                return
            sums = {name: past + stats.get(name, 0) for name, past in self._past.items()}
            peaks = {name: max(past, stats.get(name, 0)) for name, past in self._past_peaks.items()}
            # No call between them: a signal's handler cannot leave it half done.
            self._past = sums
            self._past_peaks = peaks
            self._live.discard(engine)

    def close(self, engine: Engine) -> None:
        self.retire(engine)
        engine.core.close()

    def close_all(self) -> None:
        self.close_idle()
        for engine in list(self._live):
            # A thread that did not come out of the engine in time keeps it.
            with contextlib.suppress(RuntimeError):
                self.close(engine)

    def forget(self) -> None:
        """In a child of fork(): all engines are the parent's, and so may be the lock."""
        self._lock = threading.RLock()
        self._idle = None
        self._live = set()
        self._active = {}
        self.recorder = None

    def close_idle(self) -> None:
        with self._lock:
            engine, self._idle = self._idle, None
        if engine is not None:
            self.close(engine)

    def note_pinned(self, is_in_place: bool) -> None:
        self._pinned[is_in_place] += 1

    def note_errors(self, samples: int, refused: list[Refused]) -> None:
        with self._lock:
            self._errors.add(samples, refused)

    def errors(self) -> ErrorReport:
        with self._lock:
            return self._errors.copy()

    def starts(self, iterator: Any) -> None:
        self._active[id(iterator)] = time.monotonic_ns()

    def stops(self, iterator: Any) -> None:
        since = self._active.pop(id(iterator), None)
        if since is not None:
            self._active_ns += time.monotonic_ns() - since

    def counters(self) -> dict[str, int]:
        """Sums over all engines this loader had, levels of those that it has."""
        with self._lock:
            live = [engine for engine in self._live if engine.is_usable]
            total = {**self._past, **dict.fromkeys(_LEVELS, 0), "heap_bytes": 0}
            total.update(self._past_peaks)
        for engine in live:
            stats = engine.stats()
            for name in (*_SUMS, *_LEVELS, *_PEAKS):
                total[name] += stats.get(name, 0)
            for name in ("record_bytes", "heap_bytes"):  # counted for the whole process
                total[name] = stats.get(name, 0)
        now = time.monotonic_ns()
        total["active_ns"] = self._active_ns + sum(now - since for since in self._active.values())
        total["pinned_in_place"], total["pinned_copies"] = self._pinned[True], self._pinned[False]
        total["epochs"] = self.epochs
        total["stock_epochs"] = self.stock_epochs
        return total


# Kept, as a WeakSet's callback is Python code, in which a signal's exception would be lost.
_lock = threading.RLock()
_records: Kept[Record] = Kept()


def record_of(loader: Any) -> Record:
    with _lock:
        record = _records.get(loader)
        if record is None:
            record = Record(loader)
            _records.put(record, loader)
        return record


# Those that exist; each has a reentrant `lock`, held while it is in next().
iterators: Kept[None] = Kept()

_is_ending = False
_EXIT_S = 2.0  # how long the exit waits for other threads in next()


def enlist(iterator: Any) -> None:
    """An iterator holds its lock wherever it calls torch, so that the exit can stop its thread."""
    iterators.put(None, iterator)
    park_at_exit()


def park_at_exit() -> None:
    """Stops another thread for good once the interpreter ends. Called in front of an iterator's
    lock: who only waits for that lock can be overtaken by a thread that takes it again at once."""
    if _is_ending and threading.current_thread() is not threading.main_thread():
        threading.Event().wait()


def _close_all() -> None:
    """At exit. Only daemon threads are left then, and one that comes back into torch's code while
    the interpreter ends takes the process down. So each is stopped in front of its next batch: the
    locks are never released."""
    global _is_ending
    _is_ending = True
    deadline = time.monotonic() + _EXIT_S
    for (iterator,), _ in iterators.items():
        iterator.lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
    for _, record in _records.items():
        record.close_all()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # a thread of the parent may have held it, as any of the others
    for (iterator,), _ in iterators.items():
        iterator.lock = threading.RLock()
    for _, record in _records.items():
        record.forget()
    _records.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
