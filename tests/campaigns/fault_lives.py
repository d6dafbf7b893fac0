# SPDX-License-Identifier: Apache-2.0
"""Lives of loaders in which a call of the engine fails, and what may come of it."""

import errno
import faulthandler
import gc
import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import twins
from penstock import _core, reference
from penstock.datasets import ImageFolder
from twins import kit

torch = twins.torch

N, BATCH, BROKEN, FAIL = 12, 3, 7, -1
ORDER = [[3, 11, 0], [8, 1, 10], [2, 7, 5], [9, 4, 6]]

# enum pst__sys_call of src/base/sys.h
CALLS = ("alloc", "map", "open", "stat", "read", "dir", "thread", "clock", "random", "write")
_FILES = [errno.EIO, errno.ESTALE, errno.ENOENT, errno.EACCES, errno.EMFILE, errno.ENOMEM]
_FILES += [errno.ENFILE, errno.EAGAIN, errno.EINTR]
ERRNOS = {
    "alloc": [errno.ENOMEM],
    "map": [errno.ENOMEM],
    "open": _FILES,
    "stat": _FILES,
    "read": [*_FILES, 0],  # 0: a byte at a time
    "dir": _FILES,
    "thread": [errno.EAGAIN, errno.EPERM],
    "clock": [0],  # jumps
    "random": [errno.ENOSYS],
    "write": [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, 0],
}
OF_FILES = ("open", "stat", "read")
POLICIES = ("raise", "skip", "substitute")
OF_PROCESS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

Step = tuple[Any, ...]


@dataclass(frozen=True)
class Way:
    """How a loader is used; `index`: over a folder of our own, from its opening on."""

    train: bool
    workers: int
    rng: str = "torch"
    index: str | None = None  # "new" or "kept"

    @property
    def draws(self) -> bool:
        """Whether a sample's pixels depend on those before it."""
        return self.train and self.rng == "torch"


WAYS = {
    "eval, no workers": Way(False, 0),
    "train, no workers": Way(True, 0),
    "train, 2 workers": Way(True, 2),
    "train by sample, 2 workers": Way(True, 2, "sample"),
    "a folder without an index": Way(False, 2, index="new"),
    "a folder with an index": Way(False, 0, index="kept"),
}


@dataclass(frozen=True)
class Fault:
    call: str
    nth: int
    forever: bool
    errno: int
    luck: bool  # Python can open what the engine cannot

    def __str__(self) -> str:
        what = errno.errorcode.get(self.errno, "short or jumping")
        return (
            f"{self.call} {self.nth}{' and later' if self.forever else ''}: {what}"
            f"{'' if self.luck else ', for Python too'}"
        )


class Wrong(Exception):
    pass


def expect(condition: bool, text: str) -> None:
    if not condition:
        raise Wrong(text)


# --- the folder, and torch's loader over it


def make_folder(root: Path) -> Path:
    """A class for each image, so that a label says which sample it is."""
    endings = ("jpg", "png", "jpg", "webp", "jpg", "bmp")
    for number in range(N):
        ending = endings[number % len(endings)]
        path = root / f"{number:02}" / f"a.{ending}"
        path.parent.mkdir(parents=True)
        options: dict[str, Any] = {"progressive": True} if number % 4 == 0 else {}
        options = {"quality": 85, **options} if ending in ("jpg", "webp") else {}
        picture = kit.picture("RGB", 40 + 3 * number, 60 - 2 * number, number)
        if number == BROKEN:
            path = path.with_suffix(".jpg")
            picture.save(path)
            path.write_bytes(path.read_bytes()[:-300])
        elif number == 9:  # a GIF by another name
            picture.quantize(64).save(path, "GIF")
        else:
            picture.save(path, **options)
    return root


def transform_of(way: Way) -> Any:
    return kit.train_v1(16) if way.train else kit.eval_v1()


class Lists:
    """A batch sampler over given lists; its epoch is the same each time."""

    epoch = 0

    def __init__(self, lists: list[list[int]]) -> None:
        self.lists = lists
        self.sampler = self

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.lists)

    def __len__(self) -> int:
        return len(self.lists)


class Failing(torch.utils.data.Dataset[Any]):
    """A dataset with an index that cannot be had."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        if index == FAIL:
            raise LookupError(index)
        return self.dataset[index]


def _digests(images: Any) -> tuple[str, ...]:
    return tuple(kit.visible(image)[-1] for image in images)


def walk(iterator: Any) -> Iterator[Step]:
    """The steps of an epoch, also after errors."""
    for _ in range(4 * len(ORDER)):
        try:
            batch = next(iterator)
        except StopIteration:
            yield ("end", kit.states())
            return
        except Exception as error:
            yield ("error", error.with_traceback(None))
        else:
            if batch != "none":
                yield ("batch", tuple(batch[1].tolist()), _digests(batch[0]), kit.states())


def _collate(samples: list[Any]) -> Any:
    return torch.utils.data.default_collate(samples) if samples else "none"


class Truth:
    """What torch's loader makes of lists of indices in which some cannot be had."""

    def __init__(self, root: Path, way: Way) -> None:
        self.way = way
        self.dataset = twins.datasets.ImageFolder(str(root), transform_of(way))
        self._lives: dict[Any, list[Step]] = {}

    def life(self, lists: list[list[int]]) -> list[Step]:
        key = tuple(map(tuple, lists))
        if key not in self._lives:
            self._lives[key] = self._live(lists)
        return self._lives[key]

    def _live(self, lists: list[list[int]]) -> list[Step]:
        workers = self.way.workers
        if workers == 0:  # elsewhere an empty list keeps its worker's turn
            lists = [one for one in lists if one]
        options = {"multiprocessing_context": "fork"} if workers else {}
        kit.seed_all(3)
        loader = twins.STOCK(
            Failing(self.dataset),
            batch_sampler=Lists(lists),
            num_workers=workers,
            collate_fn=_collate,
            **options,
        )
        return plain(list(walk(iter(loader))))


# --- a loader of ours with a fault


Held = tuple[int, int, int]


def _held() -> Held:
    """Blocks of the engine, descriptors, threads."""
    n_threads = len(os.listdir("/proc/self/task"))
    return _core._mem_blocks(), len(os.listdir("/proc/self/fd")), n_threads


@dataclass
class Life:
    steps: list[Step]
    refused: list[Any]
    unopened: list[int]  # samples that Python could not open
    fired: int
    error: Exception | None = None  # of opening the folder, or of iter()


class Storage:
    """What becomes of the files that Python opens in the engine's stead."""

    def __init__(self, root: Path) -> None:
        self.index_of = {str(path): int(path.parent.name) for path in root.glob("*/*")}
        self.unopened: list[int] = []
        self.errno = 0

    def open(self, path: str, mode: str) -> Any:
        if not self.errno:
            return open(path, mode)
        self.unopened.append(self.index_of[path])
        raise OSError(self.errno, os.strerror(self.errno), path)


def _epoch(life: Life, loader: Any) -> None:
    kit.seed_all(3)
    try:
        iterator = iter(loader)
    except Exception as error:
        life.error = error.with_traceback(None)
        return
    life.steps = list(walk(iterator))


def _dataset(root: Path, way: Way, index: Path) -> Any:
    if way.index is None:
        return twins.datasets.ImageFolder(str(root), transform_of(way))
    return ImageFolder(root, transform_of(way), cache=index)


class Runner:
    """Lives over one folder in one way."""

    def __init__(self, root: Path, way: Way, seconds: float = 60.0) -> None:
        self.root, self.way, self.seconds = root, way, seconds
        self.patience = 10.0  # until what is held is called a leak
        self.before = (sys.maxsize, *_held()[1:])  # blocks are kept where they are in a cache
        self.truth = Truth(root, way)
        self.storage = Storage(root)
        self.index = root.parent / f"index-{os.getpid()}"
        self.clean = {policy: self._clean(policy) for policy in POLICIES}
        # The pixels of samples where they do not depend on those before.
        self.pixels: dict[int, str] = {}
        for step in self.clean["skip"].steps:
            if step[0] == "batch" and not way.draws:
                self.pixels.update(zip(step[1], step[2], strict=True))
        self.before = self.held()

    def held(self) -> "Held":
        """What is held now that all has ended. The system lists a thread a moment longer than it
        lives, and torch's queues close in threads of their own."""
        gc.collect()
        deadline = time.monotonic() + self.patience
        while True:
            held = _held()
            is_down = all(a <= b for a, b in zip(held, self.before, strict=True))
            if is_down or time.monotonic() > deadline:
                return held
            os.sched_yield()

    def _loader(self, dataset: Any, policy: str) -> Any:
        return twins.OURS(
            dataset,
            batch_sampler=Lists(ORDER),
            num_workers=self.way.workers,
            threads=2,
            on_error=policy,
            rng=self.way.rng,
        )

    def _clean(self, policy: str) -> Life:
        life = self.live(policy, None)
        expect(life.error is None, f"without a fault: {life.error!r}")
        if self.way.rng == "torch":
            self.check_files(life, policy, None)
        return life

    def live(self, policy: str, fault: Fault | None) -> Life:
        """An epoch with a fault, and one after it."""
        storage = self.storage
        life = Life([], [], [], 0)
        if self.way.index == "new":
            self.index.unlink(missing_ok=True)
        dataset = None if self.way.index else _dataset(self.root, self.way, self.index)
        if fault is not None and self.seconds:
            faulthandler.dump_traceback_later(self.seconds, exit=True)
        storage.unopened = life.unopened
        storage.errno = 0 if fault is None or fault.luck else fault.errno
        vars(reference)["open"] = storage.open
        try:
            if fault is not None:
                bit = 1 << CALLS.index(fault.call)
                _core._fault_arm(bit, fault.nth, fault.forever, fault.errno)
            try:
                if dataset is None:
                    dataset = _dataset(self.root, self.way, self.index)
            except Exception as error:
                life.error = error.with_traceback(None)
            else:
                loader = self._loader(dataset, policy)
                _epoch(life, loader)
                life.refused = loader.report().refused
        finally:
            life.fired = _core._fault_fired() if fault is not None else 0
            _core._fault_disarm()
            storage.errno = 0
        if fault is not None:
            if life.error is not None and self.way.index:
                dataset = _dataset(self.root, self.way, self.index)
                loader = self._loader(dataset, policy)
            self._check_after(loader, policy)
            del loader, dataset
            _core._fault_clock_set_right()
            faulthandler.cancel_dump_traceback_later()
        vars(reference).pop("open")
        return life

    def _check_after(self, loader: Any, policy: str) -> None:
        after = Life([], [], [], 0)
        _epoch(after, loader)
        clean = self.clean[policy]
        expect(after.error is None, f"the next epoch: {after.error!r}")
        expect(plain(after.steps) == plain(clean.steps), "the next epoch is another")

    # --- what may come of it

    def check(self, life: Life, policy: str, fault: Fault) -> None:
        if fault.call in OF_FILES and self.way.index is None:
            self.check_files(life, policy, fault)
        else:
            self.check_process(life, policy, fault)
        held = self.held()
        expect(held == self.before, f"(blocks, fds, threads): {self.before} before, {held} after")

    def check_files(self, life: Life, policy: str, fault: Fault | None) -> None:
        """Of files that cannot be read."""
        expect(life.error is None, f"iter() raised {life.error!r}")
        unopened = set(life.unopened)
        if fault is not None and fault.luck:
            expect(plain(life.steps) == plain(self.clean[policy].steps), "the epoch is another")
            return
        expect(not unopened or fault is not None, "a file could not be opened, without a fault")
        of_process = fault is not None and fault.errno in OF_PROCESS
        named = {one.index for one in life.refused}
        lists, failed = self._derive(life, policy)
        for index in {*failed.values(), *named}:
            expect(index in unopened | {BROKEN}, f"sample {index} was refused without a cause")
        if of_process:
            expect(named <= {BROKEN}, f"{named} were left out for what is the process's")
        if self.way.rng == "torch":
            truth = self.truth.life(lists)
            expect(plain(life.steps) == plain(truth), f"torch's batches of {lists} are others")
        else:
            self._check_pixels(life.steps)
        known = {*failed.values(), *named}
        missing = unopened - known
        if policy != "substitute" or of_process:
            # Otherwise some were tried in the place of others, of which nothing is said.
            expect(not missing, f"{missing} could not be had, and nothing says so")
        batch = next(one for one in ORDER if BROKEN in one)
        is_told = BROKEN in known or any(index in failed for index in batch)
        expect(is_told, "the broken image was taken")

    def _derive(self, life: Life, policy: str) -> tuple[list[list[int]], dict[int, int]]:
        """The lists that torch's loader would have to be asked for, and for whose sake batches
        failed: the sample, and the one that an exception is about, which was to stand in for it."""
        steps, refused = deque(life.steps), deque(life.refused)
        lists: list[list[int]] = []
        failed: dict[int, int] = {}
        for one in ORDER:
            mine = {}
            while refused and refused[0].index in one:
                taken = refused.popleft()
                mine[taken.index] = taken
            row = []
            for index in one:
                if index not in mine:
                    row.append((index, index))
                elif policy == "substitute":
                    row.append((index, mine[index].substitute))
            if not row:
                lists.append([])
                continue
            step = steps.popleft() if steps else ("end",)
            if step[0] == "error":
                index = self._subject(step[1], row)
                at = next((at for at, pair in enumerate(row) if index in pair), None)
                expect(at is not None, f"sample {index} failed, which is not in {one}")
                failed[row[at][0]] = index
                row = [*row[:at], (index, FAIL)]
            lists.append([put for _, put in row])
        expect(len(steps) == 1 and steps[0][0] == "end", f"the epoch goes on with {list(steps)}")
        expect(not refused, f"refused, but never asked for: {list(refused)}")
        return lists, failed

    def _subject(self, error: Exception, row: list[tuple[int, Any]]) -> int:
        """Which sample of a batch an exception is about."""
        for asked, put in row:
            if put is None:
                expect("tried in its place" in str(error), f"nothing stands in, but {error!r}")
                return asked
        # The text of a worker's exception is all that there is of it, as in torch.
        for path, index in self.storage.index_of.items():
            if repr(path) in str(error):
                return index
        expect("truncated" in str(error), f"an exception about no file: {error!r}")
        return BROKEN

    def _check_pixels(self, steps: list[Step]) -> None:
        for step in steps:
            if step[0] == "batch":
                for index, digest in zip(step[1], step[2], strict=True):
                    expect(digest == self.pixels[index], f"sample {index} has other pixels")

    def check_process(self, life: Life, policy: str, fault: Fault) -> None:
        """Of what is no sample's fault: an exception, or nothing that shows."""
        if life.error is not None:
            self._check_error(life.error, fault)
            return
        clean = self.clean[policy].steps
        named = {one.index for one in life.refused}
        expect(named <= {BROKEN}, f"{named} were left out for {fault}")
        errors = [step[1] for step in life.steps if step[0] == "error"]
        for error in errors:
            if "truncated" not in str(error):
                self._check_error(error, fault)
        if not self.way.draws:
            self._check_pixels(life.steps)
        first = next((i for i, step in enumerate(life.steps) if step[0] == "error"), None)
        if first is not None:
            expect(plain(life.steps[:first]) == plain(clean[:first]), "the batches before")
            left = iter(ORDER)
            for step in life.steps:
                if step[0] == "batch":
                    is_asked = any(_are_of(step[1], one, policy) for one in left)
                    expect(is_asked, f"{step[1]} is no batch that was asked for")
        else:
            expect(plain(life.steps) == plain(clean), "the epoch is another")

    def _check_error(self, error: Exception, fault: Fault) -> None:
        good: tuple[type[BaseException], ...] = (MemoryError,)
        if fault.call == "thread":
            good = (_core.Error, RuntimeError)
        elif fault.call not in ("alloc", "map"):
            good = (OSError, MemoryError) if fault.errno == errno.ENOMEM else (OSError,)
        is_over = isinstance(error, AssertionError) and "Invalid iterator state" in str(error)
        expect(isinstance(error, good) or is_over, f"{type(error).__name__}: {error}")


def _are_of(delivered: tuple[int, ...], asked: list[int], policy: str) -> bool:
    if policy == "skip":
        return list(delivered) == [index for index in asked if index != BROKEN]
    pairs = list(itertools.zip_longest(delivered, asked))
    return all(put == index or index == BROKEN for put, index in pairs)


def plain(steps: list[Step]) -> list[Step]:
    return [step[:1] if step[0] == "error" else step for step in steps]
