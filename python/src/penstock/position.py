# SPDX-License-Identifier: Apache-2.0
"""How far an epoch is: what an iterator notes about itself so that a state can be made of it at any
time, and how one that goes on from a state comes to where that was.

Nothing here knows what a sample is. An epoch with an order of the engine's own goes on at any
batch. Else the sampler is run again from the generators that it had at the epoch's start, and what
was delivered is passed over; that takes as long as the sampler does.
"""

import base64
import random
import struct
import sys
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from penstock import ordering
from penstock.capture import Refusal, read_dataset
from penstock.trial import generators_of
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

_MOST_BYTES = 1 << 16  # of a generator's state
MOST_BEFORE = 64  # delivered batches that an iterator may look back at
# These draw from torch's generators alone.
_KNOWN = frozenset(
    (
        BatchSampler,
        DistributedSampler,
        RandomSampler,
        SequentialSampler,
        SubsetRandomSampler,
        WeightedRandomSampler,
        list,
        tuple,
        range,
        type(None),
    )
)


# --- generators


def _pack(data: bytes) -> str:
    # Of the 8 bytes of each word of torch's generator 4 are zero: they come together here.
    planes = b"".join(data[plane::8] for plane in range(8))
    return base64.b64encode(zlib.compress(planes, 1)).decode()


def _unpack(text: str) -> bytes:
    inflater = zlib.decompressobj()
    planes = inflater.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    if not inflater.eof:
        raise ValueError("a generator's state is cut short, or too long")
    data, start = bytearray(len(planes)), 0
    for plane in range(8):
        stop = start + len(range(plane, len(planes), 8))
        data[plane::8] = planes[start:stop]
        start = stop
    return bytes(data)


def _is_known(loader: Any) -> bool:
    batch_sampler = loader.batch_sampler
    inner = getattr(batch_sampler, "sampler", None)
    return type(batch_sampler) in _KNOWN and type(inner) in _KNOWN


def _steps_draw_python(loader: Any) -> bool:
    """From the random of this process."""
    if loader.num_workers > 0:
        return False
    try:
        return read_dataset(loader.dataset).draws_python
    except Refusal:
        return False


@dataclass(frozen=True, slots=True)
class Generators:
    """The states of all generators that a loader's sampler can reach, and without workers its
    transforms."""

    torch: tuple[bytes, ...]
    python: bytes = b""  # where it is not known that it is left alone
    numpy: bytes = b""

    @classmethod
    def of(cls, loader: Any) -> "Generators":
        states = tuple(_bytes_of(g.get_state()) for g in generators_of(loader))
        if _is_known(loader):
            return cls(states, _python_state() if _steps_draw_python(loader) else b"")
        return cls(states, _python_state(), _numpy_state())

    def restore(self, loader: Any) -> None:
        found = generators_of(loader)
        if len(found) != len(self.torch):
            raise ValueError(
                f"the state has {len(self.torch)} generators, the loader and its samplers have "
                f"{len(found)}: generator= is not as it was"
            )
        for generator, state in zip(found, self.torch, strict=True):
            try:
                generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
            except RuntimeError as error:
                raise ValueError(f"a generator does not take its state: {error}") from None
        if self.python:
            _restore_python(self.python)
        if self.numpy:
            _restore_numpy(self.numpy)

    def packed(self) -> list[str]:
        return [_pack(self.python), _pack(self.numpy), *map(_pack, self.torch)]

    @classmethod
    def unpacked(cls, texts: list[str]) -> "Generators":
        python, numpy, *states = map(_unpack, texts)
        return cls(tuple(states), python, numpy)


def _bytes_of(state: torch.Tensor) -> bytes:
    return state.numpy().tobytes()


def _python_state() -> bytes:
    version, words, kept = random.getstate()
    return struct.pack("<I625I?d", version, *words, kept is not None, kept or 0.0)


def _restore_python(data: bytes) -> None:
    version, *words, has_kept, kept = struct.unpack("<I625I?d", data)
    random.setstate((version, tuple(words), kept if has_kept else None))


def _numpy_state() -> bytes:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return b""
    kind, words, place, has_kept, kept = numpy.random.get_state()
    if kind != "MT19937":
        return b""  # put there by the user, who may put it back
    return struct.pack("<624IIId", *words.tolist(), place, has_kept, kept)


def _restore_numpy(data: bytes) -> None:
    import numpy

    *words, place, has_kept, kept = struct.unpack("<624IIId", data)
    key = numpy.array(words, numpy.uint32)
    numpy.random.set_state(("MT19937", key, place, has_kept, kept))


# --- indices


def _note(index: Any, before: int) -> int:
    """A checksum that another order would hardly have, at less than a microsecond a batch."""
    if type(index) in (list, tuple) and index:
        try:
            return zlib.crc32(b"%d %d %d" % (len(index), index[0], index[-1]), before)
        except TypeError:
            pass
    return zlib.crc32(type(index).__name__.encode(), before)


class Indices:
    """A sampler's iterator that knows how far it is."""

    __slots__ = ("_inner", "_kept", "asked", "checksum", "handed", "is_exhausted")

    def __init__(self, inner: Iterator[Any], first: int = 0) -> None:
        self._inner = inner
        self._kept: deque[Any] = deque()
        self.asked = self.handed = first  # batches: by the sampler, to the iterator
        self.checksum = 0  # over those that were asked for
        self.is_exhausted = False

    def __iter__(self) -> "Indices":
        return self

    def __next__(self) -> Any:
        index = self._kept.popleft() if self._kept else self._ask()
        self.handed += 1
        return index

    def _ask(self) -> Any:
        try:
            index = next(self._inner)
        except StopIteration:
            self.is_exhausted = True
            raise
        self.asked += 1
        self.checksum = _note(index, self.checksum)
        return index

    def replay(self, resume: "Resume") -> deque[Any]:
        """Asks for as many batches as were asked for, keeps those that were not delivered, and
        returns the last that were."""
        last: deque[Any] = deque(maxlen=MOST_BEFORE)
        try:
            while self.asked < resume.asked:
                index = self._ask()
                (self._kept if self.asked > resume.delivered else last).append(index)
            if resume.is_exhausted:
                next(self._inner)
                self._changed("more batches")
        except StopIteration:
            if self.asked < resume.asked:
                self._changed(f"{self.asked} batches only")
            self.is_exhausted = True
        if self.checksum != resume.checksum:
            self._changed("other indices")
        self.handed = resume.delivered
        return last

    @staticmethod
    def _changed(what: str) -> None:
        raise ValueError(
            f"the sampler gives {what} than in the epoch of the state: it, what it depends on or "
            "the batches have changed, or it draws from a generator that the loader cannot see"
        )


# --- an epoch


@dataclass(slots=True)
class Resume:
    """Where to go on, from a state."""

    state: dict[str, Any]
    epoch: int
    seed: int
    is_started: bool
    delivered: int = 0
    asked: int = 0
    is_exhausted: bool = False
    checksum: int = 0
    sampler_epoch: int | None = None
    start: Generators | None = None
    now: Generators | None = None
    base_seed: int | None = None  # of persistent workers in a later epoch, or to be drawn again
    is_first: bool = True  # the epoch in which the workers were started
    words: list[int] = field(default_factory=list)
    python_words: list[int] = field(default_factory=list)
    normals: list[float | None] = field(default_factory=list)
    samples: int = 0
    refused: int = 0


def sampler_epoch(loader: Any) -> int | None:
    """The epoch that a sampler counts by itself, or was told."""
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        epoch = getattr(sampler, "epoch", None)
        if isinstance(epoch, int):
            return epoch
    return None


class Position:
    """One iterator's epoch: made in front of its first draw."""

    def __init__(self, loader: Any, resume: Resume | None) -> None:
        self.order = ordering.own(loader)
        self.resume = resume
        self.is_over = False
        self.is_busy = False  # in next(), where not all of this is of one moment
        self.is_first = True
        self.base_seed: int | None = None
        # Of each worker's generator: how far it is, and the normal that it keeps.
        self.words: list[int] = [0] * loader.num_workers
        self.python_words: list[int] = [0] * loader.num_workers
        self.normals: list[float | None] = [None] * loader.num_workers
        self.indices: Indices | None = None
        self.tasks: Sized = ()  # handed out and not delivered
        self._is_lost = False  # where there are no tasks: the last one was not delivered
        self.epoch = self.seed = 0
        self.fingerprint: tuple[int, str] | None = None  # after the number of samples
        self.counts = (0, 0)  # samples, and those that could not be had
        self._source: Any = None
        self._table: Any = None
        self.sampler_epoch = sampler_epoch(loader)
        if resume is not None:
            self._go_on(loader, resume)
        self.start = None if self.order is not None else self._start_of(loader, resume)

    def _go_on(self, loader: Any, resume: Resume) -> None:
        self.is_first = resume.is_first
        self.counts = resume.samples, resume.refused
        if resume.words:
            self.words = list(resume.words)
        if resume.python_words:
            self.python_words = list(resume.python_words)
        if resume.normals:
            self.normals = list(resume.normals)
        if resume.is_started and resume.sampler_epoch != self.sampler_epoch:
            raise ValueError(
                f"the state was taken in epoch {resume.sampler_epoch} of the sampler, which is at "
                f"{self.sampler_epoch}: call its set_epoch({resume.sampler_epoch}) before iterating"
            )
        if resume.is_first:
            self._put_back(loader, resume)

    def _put_back(self, loader: Any, resume: Resume) -> None:
        """The generators as they were when the epoch began, or was to begin."""
        states = resume.start if resume.is_started else resume.now
        if states is not None:
            states.restore(loader)

    def _start_of(self, loader: Any, resume: Resume | None) -> Generators:
        if resume is not None and resume.is_started and resume.start is not None:
            return resume.start
        if resume is not None and resume.now is not None:
            return resume.now
        return Generators.of(loader)

    def seeded(self, loader: Any, base_seed: int) -> int:
        """The base seed was drawn: the one that the workers have."""
        resume = self.resume
        if resume is not None and not resume.is_first and resume.base_seed is not None:
            # A later epoch of persistent workers draws none.
            self._put_back(loader, resume)
            base_seed = resume.base_seed
        elif resume is not None and resume.is_started and resume.base_seed not in (None, base_seed):
            raise ValueError("generator= is not as it was when the state was taken")
        self.base_seed = base_seed
        return base_seed

    def next_epoch(self, loader: Any) -> None:
        """Persistent workers begin another one."""
        self.resume = None
        self.is_over = self.is_first = False
        self.indices = None
        self.counts = (0, 0)
        self.fingerprint = None
        self.order = ordering.own(loader)
        self.sampler_epoch = sampler_epoch(loader)
        self.start = None if self.order is not None else Generators.of(loader)

    def begin(self, loader: Any, sampler_iter: Iterator[Any], key: int) -> tuple[Indices, Any]:
        """In front of the first index: the indices to come, and the last ones that were delivered
        before."""
        resume, self.resume = self.resume, None
        last: Any = ()
        if self.order is not None:
            first = 0 if resume is None else resume.delivered
            self.indices = Indices(self.order.batches(key, first), first)
            last = self.order.batches(key, max(0, first - MOST_BEFORE), first)
        else:
            self.indices = Indices(sampler_iter)
            if resume is not None and resume.is_started:
                last = self.indices.replay(resume)
                if resume.now is not None:
                    resume.now.restore(loader)
        return self.indices, last

    def samples_are(self, source: Any, table: Any) -> None:
        """Those of the epoch, where it has copies of its own. Neither the user's dataset nor the
        table are held, since the loader's record holds this."""
        self._source = source if source.dataset is None else None
        self._table = weakref.ref(table)

    def samples(self) -> tuple[Any, Any] | None:
        """(source, table) of the epoch where they are not the loader's as it is now."""
        table = None if self._source is None else self._table()
        return None if table is None else (self._source, table)

    @property
    def delivered(self) -> int:
        if self.indices is None:
            return 0
        return self.indices.handed - len(self.tasks) - self._is_lost

    def asks(self) -> int:
        """In front of next(). What it lost before is not given again, but by a state."""
        self.is_busy = True
        self._is_lost = False
        return 0 if self.indices is None else self.indices.handed

    def is_interrupted(self, handed_before: int) -> None:
        """next() was left with a batch in its hands, which is lost where it is not in tasks."""
        handed = 0 if self.indices is None else self.indices.handed
        self._is_lost = handed > handed_before and type(self.tasks) is tuple
