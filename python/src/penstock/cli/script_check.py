# SPDX-License-Identifier: Apache-2.0
"""A training script, run for a while: how long it waits for each of its DataLoaders.

All iterators of torch, the native ones too, go through one base class, so its __init__ and __next__
are where everything can be seen without putting an object of ours into the script's hands.
"""

import os
import signal
import sys
import threading
import time
import traceback
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.console import BAD, CommandError

_AGAIN_S = 2.0  # a script that swallows the end is told again


class Enough(BaseException):
    """Ends the script from within, as Ctrl-C would."""


@dataclass(slots=True)
class Watched:
    """One DataLoader, or several that are made alike."""

    name: str
    dataset: str
    length: int | None
    batch_size: int | None
    workers: int
    native: bool
    could_be_native: bool
    reason: str
    threads: int | None
    persistent: bool
    in_main_thread: bool = True
    epochs: int = 0
    batches: int = 0
    start_s: float = 0.0  # waits for the first batch of an epoch
    wait_s: float = 0.0  # waits for the others
    work_s: float = 0.0  # between batches
    device_checks: int = 0
    device_busy: int = 0  # batches that came while the GPU still had work

    @property
    def share(self) -> float:
        """Of the time in the loop, the first batches left out, how much was spent waiting."""
        total = self.wait_s + self.work_s
        return self.wait_s / total if total > 0 else 0.0

    @property
    def busy_share(self) -> float | None:
        return self.device_busy / self.device_checks if self.device_checks else None

    def as_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        return {**data, "wait_share": self.share, "device_busy_share": self.busy_share}


def _class_name(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except Exception:
        return None


def _describe(loader: Any, iterator: Any) -> Watched:
    from penstock import lanes
    from penstock.native import SingleIter, WorkersIter

    explanation = lanes.explain(loader)
    return Watched(
        name=_class_name(loader),
        dataset=_class_name(loader.dataset),
        length=_length(loader.dataset),
        batch_size=loader.batch_size,
        workers=loader.num_workers,
        native=isinstance(iterator, SingleIter | WorkersIter),
        could_be_native=explanation.lane == "native",
        reason=explanation.reason,
        threads=explanation.settings.get("threads"),
        persistent=bool(getattr(loader, "persistent_workers", False)),
    )


def _device_is_busy() -> bool | None:
    """Whether the GPU has not yet done all it was given; None where there is none in use."""
    cuda = sys.modules["torch"].cuda
    if not cuda.is_initialized() or cuda.is_current_stream_capturing():
        return None
    return not cuda.current_stream().query()


@dataclass(slots=True)
class _Place:
    """Where an iterator is in its epoch."""

    watched: Watched
    left: float | None = None  # when its last batch was handed over


class Watch:
    """Sees all iterators of torch while it is on, and says when it is enough."""

    def __init__(self, most: int | None) -> None:
        self.loaders: list[Watched] = []
        self.is_over = False
        self._most = most
        self._batches = 0
        self._lock = threading.RLock()
        self._places: weakref.WeakKeyDictionary[Any, _Place] = weakref.WeakKeyDictionary()
        self._known: weakref.WeakKeyDictionary[Any, Watched] = weakref.WeakKeyDictionary()

    def _of(self, loader: Any, iterator: Any) -> Watched:
        known = self._known.get(loader)
        if known is not None:
            return known
        made = _describe(loader, iterator)
        # A script that makes its loader anew for each epoch has one loader for a person.
        same = (made.name, made.dataset, made.length, made.batch_size, made.workers, made.native)
        for other in self.loaders:
            if same == (
                other.name,
                other.dataset,
                other.length,
                other.batch_size,
                other.workers,
                other.native,
            ):
                made = other
                break
        else:
            self.loaders.append(made)
        self._known[loader] = made
        return made

    def begins(self, iterator: Any, loader: Any) -> None:
        with self._lock:
            self._places[iterator] = _Place(self._of(loader, iterator))

    def arrived(self, iterator: Any, began: float, ended: float) -> None:
        place = self._places.get(iterator)
        if place is None:
            return
        with self._lock:
            watched = place.watched
            if place.left is None:
                watched.epochs += 1
                watched.start_s += ended - began
            else:
                watched.work_s += began - place.left
                watched.wait_s += ended - began
                busy = _device_is_busy()
                watched.device_checks += busy is not None
                watched.device_busy += bool(busy)
            watched.batches += 1
            watched.in_main_thread &= threading.current_thread() is threading.main_thread()
            self._batches += 1
            if self._most is not None and self._batches >= self._most:
                self.is_over = True
            place.left = time.perf_counter()

    def ended(self, iterator: Any, began: float) -> None:
        """The epoch is over, or next() raised."""
        place = self._places.get(iterator)
        if place is not None and place.left is not None:
            with self._lock:
                place.watched.work_s += began - place.left
            place.left = None

    def shut_down(self) -> None:
        """Ends the workers of iterators that the script still holds."""
        for iterator in list(self._places):
            if hasattr(iterator, "_shutdown_workers"):
                try:
                    iterator._shutdown_workers()
                except Exception as error:  # half-built, or broken by the sudden end
                    print(f"penstock: a loader did not end cleanly: {error}", file=sys.stderr)


class _Hooked:
    """A context: torch's iterators report to the watch."""

    def __init__(self, watch: Watch) -> None:
        from torch.utils.data.dataloader import _BaseDataLoaderIter

        self._base: Any = _BaseDataLoaderIter
        self._watch = watch
        self._before: tuple[Callable[..., Any], Callable[..., Any]] = (
            self._base.__init__,
            self._base.__next__,
        )

    def __enter__(self) -> None:
        watch = self._watch
        first, step = self._before

        def init(iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
            first(iterator, loader, *args, **kwargs)
            watch.begins(iterator, loader)

        def following(iterator: Any) -> Any:
            if watch.is_over:
                raise Enough
            began = time.perf_counter()
            try:
                batch = step(iterator)
            except BaseException:
                watch.ended(iterator, began)
                raise
            watch.arrived(iterator, began, time.perf_counter())
            return batch

        self._base.__init__, self._base.__next__ = init, following

    def __exit__(self, *_: object) -> None:
        self._base.__init__, self._base.__next__ = self._before


class _Clock:
    """A context: after some seconds the watch is over, and the main thread leaves the script."""

    def __init__(self, seconds: float, watch: Watch) -> None:
        self._seconds, self._watch = seconds, watch

    def __enter__(self) -> None:
        def rings(_: int, __: types.FrameType | None) -> None:
            self._watch.is_over = True
            raise Enough

        self._before = signal.signal(signal.SIGALRM, rings)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


class _StdoutAside:
    """A context: what is written to stdout, by child processes too, goes to stderr."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._stream, self._kept = sys.stdout, os.dup(1)
        os.dup2(2, 1)

    def __exit__(self, *_: object) -> None:
        for stream in {sys.stdout, self._stream}:
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # the script closed it
        sys.stdout = self._stream
        os.dup2(self._kept, 1)
        os.close(self._kept)


@dataclass(slots=True)
class Report:
    loaders: list[Watched]
    seconds: float
    ended: str  # "by itself", "by the clock" or "by the number of batches"
    accelerator: str | None = None
    notes: list[str] = field(default_factory=list)


def _as_main(path: str, code: types.CodeType, arguments: list[str]) -> None:
    """Runs the code as `python path` would; the module stays, for what lives on."""
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __file__=path, __builtins__=__builtins__, __cached__=None, __doc__=None, __spec__=None
    )
    sys.modules["__main__"] = module
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    exec(code, module.__dict__)


def _compile(path: str) -> types.CodeType:
    try:
        with open(path, "rb") as file:
            return compile(file.read(), path, "exec", dont_inherit=True)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise CommandError(f"{path} is no Python script: {error}") from None


def _run(path: str, code: types.CodeType, arguments: list[str]) -> bool:
    """True if the script came to its own end."""
    try:
        _as_main(path, code, arguments)
    except Enough:
        return False
    except SystemExit as end:
        if end.code not in (None, 0):
            raise CommandError(f"the script ended with status {end.code}", BAD) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        traceback.print_exception(error.with_traceback(_below(error)))
        raise CommandError(f"the script failed: {type(error).__name__}: {error}", BAD) from None
    return True


def _below(error: BaseException) -> types.TracebackType | None:
    """The traceback without this file's frames at its top."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def run_script(path: str, arguments: list[str], seconds: float, batches: int | None) -> Report:
    code = _compile(path)
    watch = Watch(batches)
    with _StdoutAside(), _Hooked(watch):
        since = time.monotonic()
        try:
            with _Clock(seconds, watch):
                by_itself = _run(path, code, arguments)
        except Enough:  # rang on the way out
            by_itself = False
        seconds = time.monotonic() - since
        watch.shut_down()
    ended = "by the number of batches" if batches and watch.is_over else "by the clock"
    cuda = sys.modules["torch"].cuda
    device = cuda.get_device_name() if cuda.is_initialized() else None
    return Report(watch.loaders, seconds, "by itself" if by_itself else ended, device)
