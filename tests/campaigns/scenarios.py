# SPDX-License-Identifier: Apache-2.0
"""What a process may do with a loader before it ends. Each returns its exit status."""

import gc
import itertools
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import nursery
import twins
from torch.utils.data import RandomSampler
from twins import kit

warnings.simplefilter("ignore")  # of torch about forks and threads
twins.torch.set_num_threads(1)

KEPT: list[Any] = []


def _loader(
    root: str, workers: int, cls: type = twins.OURS, endless: bool = False, **more: Any
) -> Any:
    pipeline = twins.PIPELINES["train_v2"]()
    dataset = twins.datasets.ImageFolder(root, pipeline)
    kit.seed_all(11)
    if cls is twins.OURS:
        more.setdefault("threads", 2)
    if endless:
        more["sampler"] = RandomSampler(dataset, replacement=True, num_samples=1 << 40)
    else:
        more["shuffle"] = True
    loader = cls(dataset, batch_size=4, num_workers=workers, **more)
    if not twins.is_native(loader):
        raise RuntimeError(twins.penstock.explain(loader).reason)
    return loader


def hashes(root: str, workers: int) -> list[str]:
    """torch's own epoch."""
    return [repr(kit.visible(batch)) for batch in _loader(root, workers, twins.STOCK)]


# --- signals


def iterate(root: str, workers: int, seed: int, how: str) -> int:
    """Goes on for ever, through all that a loader's life has."""
    if how == "handler":
        signal.signal(signal.SIGTERM, _exit_on_signal)
    rng = random.Random(seed)
    # Once before: a first use imports modules, and Python loses what a handler raises in there.
    next(iter(_loader(root, workers)))
    nursery.ready()
    while True:
        loader = _loader(root, workers)
        for _ in range(rng.randint(1, 3)):
            most = rng.randint(0, 8)
            for number, _batch in enumerate(loader):
                if number == most:
                    break


def wait() -> int:
    nursery.ready()
    while True:
        signal.pause()


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


# --- fork


def _reap(child: int, seconds: float) -> int:
    """The child's exit status; 124 where it had to be killed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def _next_in_child(iterator: Any, expected: list[str], at: int, workers: int) -> int:
    try:
        batch = next(iterator)
    except StopIteration:
        return 0 if at == len(expected) else 41
    except twins.penstock.ForkError:
        return 0 if workers else 42
    return 0 if repr(kit.visible(batch)) == expected[at] else 43


def _new_in_child(root: str, workers: int, expected: list[str]) -> int:
    found = [repr(kit.visible(batch)) for batch in _loader(root, workers)]
    return 0 if found == expected else 44


def fork(root: str, workers: int, at: int, child: str, expected: list[str]) -> int:
    """Forks after `at` batches. Both sides run at once; the parent must get the right batches."""
    loader = _loader(root, workers)
    iterator = iter(loader)
    batch = None
    found = []
    for _ in range(at):
        batch = next(iterator)
        found.append(repr(kit.visible(batch)))
    pid = os.fork()
    if pid == 0:
        if child == "_exit":
            os._exit(0)
        if child == "drop":
            del iterator, loader, batch
            gc.collect()
        elif child == "keep" and at:
            sys.exit(0 if repr(kit.visible(batch)) == expected[at - 1] else 45)
        elif child == "next":
            sys.exit(_next_in_child(iterator, expected, at, workers))
        elif child == "new":
            del iterator, loader
            sys.exit(_new_in_child(root, workers, expected))
        sys.exit(0)
    found += [repr(kit.visible(batch)) for batch in iterator]
    status = _reap(pid, 15)
    if status:
        print(f"the child ended with {status}", file=sys.stderr)
        return 51
    return 0 if found == expected else 52


# --- ends


def leave(root: str, workers: int) -> int:
    for _ in _loader(root, workers):
        break
    return 0


def drop(root: str, workers: int) -> int:
    iterator = iter(_loader(root, workers))
    next(iterator)
    del iterator
    return 0


def untouched(root: str, workers: int) -> int:
    KEPT.append(iter(_loader(root, workers)))
    return 0


def two(root: str, workers: int) -> int:
    loader = _loader(root, workers)
    one, other = iter(loader), iter(loader)
    for _ in range(3):
        next(one)
        next(other)
    del one
    next(other)
    KEPT.append(other)
    return 0


def orders(root: str, workers: int) -> int:
    """Drops a loader, two iterators and a batch in each order."""
    for order in itertools.permutations(("loader", "one", "other", "batch")):
        things: dict[str, Any] = {"loader": _loader(root, workers)}
        things["one"], things["other"] = iter(things["loader"]), iter(things["loader"])
        next(things["one"])
        things["batch"] = next(things["other"])
        expected = repr(kit.visible(things["batch"]))
        for name in order:
            if "batch" in things and repr(kit.visible(things["batch"])) != expected:
                return 61
            del things[name]
    return 0


def held(root: str, workers: int) -> int:
    iterator = iter(_loader(root, workers))
    next(iterator)
    KEPT.append(iterator)
    return 0


def persistent(root: str, workers: int) -> int:
    loader = _loader(root, workers, persistent_workers=workers > 0)
    KEPT.append(loader)
    for _ in range(2):
        for _batch in loader:
            pass
    next(iter(loader))
    return 0


def batch(root: str, workers: int) -> int:
    KEPT.append(next(iter(_loader(root, workers))))
    return 0


class _Ring:
    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.itself = self


def cycle(root: str, workers: int) -> int:
    iterator = iter(_loader(root, workers))
    next(iterator)
    ring = _Ring(iterator)
    del ring, iterator
    return 0


def in_thread(root: str, workers: int) -> int:
    """Held by a thread that the interpreter ends in the middle of an epoch without an end. (Any
    daemon thread that is in torch's own code then takes the process down, with or without us.)"""
    begun = threading.Event()
    loader = _loader(root, workers, endless=True)

    def run() -> None:
        for _ in loader:
            begun.set()

    threading.Thread(target=run, daemon=True).start()
    begun.wait()
    return 0


def by_thread(root: str, workers: int) -> int:
    """The interpreter waits for a thread that is at work."""
    begun = threading.Event()

    def run() -> None:
        for _ in _loader(root, workers):
            begun.set()

    threading.Thread(target=run).start()
    begun.wait()
    return 0


def of_thread(root: str, workers: int) -> int:
    """Begun in a thread that is over, held here."""

    def run() -> None:
        KEPT.append(iter(_loader(root, workers)))
        next(KEPT[-1])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    next(KEPT[-1])
    return 0


def exit_inside(root: str, workers: int) -> int:
    for _ in _loader(root, workers):
        sys.exit(0)
    return 1


def error_inside(root: str, workers: int) -> int:
    for _ in _loader(root, workers):
        raise LookupError("on purpose")
    return 1


# Those that hold nothing but what Python itself ends; error_inside is apart, for its status.
ENDS: dict[str, Callable[[str, int], int]] = {
    function.__name__: function
    for function in (
        leave,
        drop,
        untouched,
        two,
        orders,
        held,
        persistent,
        batch,
        cycle,
        in_thread,
        by_thread,
        of_thread,
        exit_inside,
    )
}
SCENARIOS: dict[str, Callable[..., int]] = {
    **ENDS,
    "wait": wait,
    "iterate": iterate,
    "fork": fork,
    "error_inside": error_inside,
}
