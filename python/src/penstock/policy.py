# SPDX-License-Identifier: Apache-2.0
"""What becomes of a sample that cannot be had: the error is raised, or the sample is left out of
its batch, or another one stands in for it; and the report of those that could not be had.

The batches are those that torch's loader would make, had the sampler asked for them so: without the
samples that are left out, and with others in the place of those that are substituted.
"""

import contextlib
import errno
import fcntl
import json
import math
import operator
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from penstock import rng
from penstock.tables import Table
from penstock.text import table as columns

OnError = Literal["raise", "skip", "substitute"]
KINDS = ("raise", "skip", "substitute")
MOST_TRIES = 16  # samples tried in the place of one
MOST_BEFORE = 64  # samples of earlier batches that may stand in for one
MOST_KEPT = 10_000  # refusals that a report holds
MOST_TEXT = 500  # characters of an error's text
_LOCK_S = 5.0  # how long a writer of the quarantine waits for the others
_TOLD = 5  # refusals that an error names


class TooManyErrors(RuntimeError):
    """More samples could not be had than max_errors allows, or none could in the place of one."""


@dataclass(frozen=True, slots=True)
class Policy:
    on_error: OnError = "raise"
    max_errors: int | float | None = None
    quarantine: str | None = None
    strict: bool = False

    @property
    def raises(self) -> bool:
        return self.on_error == "raise"

    @property
    def is_stocks(self) -> bool:
        return self.raises and not self.strict


def check(on_error: Any, max_errors: Any, quarantine: Any, strict: Any) -> None:
    """Refuses what no loader could use, where the mistake was made."""
    if on_error not in KINDS:
        raise ValueError(f"on_error should be one of {list(KINDS)}, got {on_error!r}")
    if max_errors is not None:
        if isinstance(max_errors, bool) or not isinstance(max_errors, int | float):
            raise TypeError(
                f"max_errors should be an int, a float or None, not {type(max_errors).__name__}"
            )
        if isinstance(max_errors, int) and max_errors < 0:
            raise ValueError(f"max_errors should not be negative, got {max_errors}")
        if isinstance(max_errors, float) and not 0.0 < max_errors < 1.0:
            raise ValueError(f"max_errors is a share between 0.0 and 1.0, got {max_errors}")
    if quarantine is not None and not isinstance(quarantine, str | os.PathLike):
        raise TypeError(f"quarantine should be a path or None, not {type(quarantine).__name__}")
    if on_error == "raise" and (max_errors is not None or quarantine is not None):
        raise ValueError("max_errors and quarantine need on_error='skip' or 'substitute'")
    if not isinstance(strict, bool):
        raise TypeError(f"strict should be a bool, not {type(strict).__name__}")


def of(loader: Any) -> Policy:
    check(loader.on_error, loader.max_errors, loader.quarantine, loader.strict)
    path = None if loader.quarantine is None else os.path.abspath(os.fsdecode(loader.quarantine))
    return Policy(loader.on_error, loader.max_errors, path, loader.strict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample that could not be had. `substitute` is the index of the one in its place."""

    epoch: int
    index: int
    path: str
    error: str
    message: str
    policy: str
    substitute: int | None = None


@dataclass(slots=True)
class ErrorReport:
    """Which samples could not be had so far, and why. str() is a table."""

    samples: int = 0  # asked for, in batches that were delivered
    count: int = 0  # of them, not to be had
    refused: list[Refused] = field(default_factory=list)  # the first of them

    def add(self, samples: int, refused: list[Refused]) -> None:
        self.samples += samples
        self.count += len(refused)
        self.refused += refused[: max(0, MOST_KEPT - len(self.refused))]

    def copy(self) -> "ErrorReport":
        return ErrorReport(self.samples, self.count, list(self.refused))

    def as_dict(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "count": self.count,
            "refused": [asdict(one) for one in self.refused],
        }

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        head = f"penstock: {self.count} of {self.samples} samples could not be had"
        if not self.refused:
            return head
        rows = [("epoch", "index", "policy", "file", "why")]
        for one in self.refused:
            policy = one.policy
            if one.substitute is not None:
                policy += f" by {one.substitute}"
            why = f"{one.error}: {one.message}"
            rows.append((str(one.epoch), str(one.index), policy, one.path, why))
        if self.count > len(self.refused):
            rows.append(("...", "", "", "", f"{self.count - len(self.refused)} more"))
        return "\n".join((head, columns(rows)))


def _line(one: Refused) -> bytes:
    return json.dumps(asdict(one), ensure_ascii=True).encode() + b"\n"


def _ends_torn(fd: int) -> bool:
    """Whether a file's last line has no end: the disk was full when it was written."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return False
    return os.pread(fd, 1, status.st_size - 1) != b"\n"


@contextlib.contextmanager
def _alone(fd: int) -> Iterator[None]:
    """While others write to the file its last byte says nothing. Without a lock in time, or on a
    file system that has none, the worst is an empty line between two."""
    deadline = time.monotonic() + _LOCK_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.001)  # flock() waits for ever or not at all
        except OSError:
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


def quarantine(path: str, refused: list[Refused]) -> None:
    """One write for each line, at the end of the file wherever that is now: loaders of several
    processes may share it. What was written survives the machine when this returns."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with _alone(fd):
            for one in refused:
                line = b"\n" * _ends_torn(fd) + _line(one)
                if os.write(fd, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe or a device has no disk
            os.fsync(fd)
    finally:
        os.close(fd)


def shorten(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 3] + "..."


class Pair(NamedTuple):
    """A sample: as the sampler names it, and as the engine does."""

    asked: int
    place: int


class _Choice:
    """What was decided about one place of a batch."""

    __slots__ = ("error", "left", "message", "substitute")

    def __init__(self, error: Exception) -> None:
        # Not the exception itself, whose traceback and context hold frames.
        self.error = type(error).__name__
        self.message = shorten(str(error))
        self.substitute: Pair | None = None
        self.left: list[Pair] | None = None  # that may still be tried, the next one last


class Places:
    """One batch: its samples, those that may stand in for them, and what was decided."""

    def __init__(self, n: int, pairs: list[Pair], before: tuple[Pair, ...] = ()) -> None:
        self.n = n
        self.pairs = pairs  # none where there is nothing to decide
        self._before = before
        self._choices: dict[int, _Choice] = {}

    def forget(self) -> None:
        """The engine has begun with this batch anew."""
        self._choices.clear()

    def _order(self, key: int, slot: int) -> list[Pair]:
        """The other samples of the batch and those that came before it, but for those that could
        not be had in this batch, in an order that depends on the key and on the sample."""
        known = {self.pairs[slot].place}
        known |= {self.pairs[other].place for other in self._choices}
        own = rng.mix(key, self.pairs[slot].place)
        others = {pair.place: pair for pair in (*self._before, *self.pairs)}
        order = sorted(others.values(), key=lambda pair: rng.mix(own, pair.place))
        return [pair for pair in order if pair.place not in known][:MOST_TRIES][::-1]

    def decide(self, tally: "Tally", slot: int, error: Exception) -> Pair | None:
        """The sample that takes the place of one that cannot be had, or of the one that was to take
        it; None to leave it out. Raises TooManyErrors."""
        choice = self._choices.get(slot)
        if choice is None:
            choice = self._choices[slot] = _Choice(error)
        if tally.policy.on_error == "skip":
            return None
        if choice.left is None:
            choice.left = self._order(tally.key, slot)
        if not choice.left:
            choice.substitute = None
            raise TooManyErrors(
                f"sample {self.pairs[slot].asked} cannot be had, nor can those that were tried in "
                f"its place: {choice.error}: {choice.message}"
            ) from None
        choice.substitute = choice.left.pop()
        return choice.substitute

    @property
    def is_changed(self) -> bool:
        return bool(self._choices)

    def present(self) -> list[int]:
        """The slots of samples that are in the batch."""
        absent = {slot for slot, choice in self._choices.items() if choice.substitute is None}
        return [slot for slot in range(self.n) if slot not in absent]

    def delivered(self) -> list[Pair]:
        """The samples that are in the batch."""
        found = dict(enumerate(self.pairs))
        for slot, choice in self._choices.items():
            if choice.substitute is not None:
                found[slot] = choice.substitute
        return [found[slot] for slot in self.present()]

    def refused(self, tally: "Tally", table: Table) -> list[Refused]:
        return [
            Refused(
                epoch=tally.epoch,
                index=self.pairs[slot].asked,
                path=table.path(self.pairs[slot].place),
                error=choice.error,
                message=choice.message,
                policy=tally.policy.on_error,
                substitute=None if choice.substitute is None else choice.substitute.asked,
            )
            for slot, choice in sorted(self._choices.items())
        ]


def _name(asked: Any, place: int) -> int:
    try:
        return operator.index(asked)
    except TypeError:
        return place


class Tally:
    """The decisions of one iterator: counted when a batch is due, so in the order of batches."""

    def __init__(
        self, policy: Policy, note: Callable[[int, list[Refused]], None], key: int, epoch: int
    ) -> None:
        self.policy = policy
        self._note = note
        self.key = key
        self.epoch = epoch
        self.samples = 0
        self.refused: list[Refused] = []
        self.n_refused = 0
        self._is_over = False
        self._before: deque[Pair] = deque(maxlen=MOST_BEFORE)

    def places(self, asked: Any, indices: list[int]) -> Places:
        """A batch that was asked for, as far as the dataset takes its indices."""
        if self.policy.raises:
            return Places(len(indices), [])
        pairs = list(map(Pair, map(_name, asked, indices), indices))
        if len(pairs) != len(indices):  # `asked` can be gone through only once
            pairs = list(map(Pair, indices, indices))
        before: tuple[Pair, ...] = ()
        if self.policy.on_error == "substitute":
            before = tuple(self._before)
            self._before.extend(pairs)
        return Places(len(pairs), pairs, before)

    def begin(self, key: int, epoch: int) -> None:
        """Another epoch of the same iterator."""
        self.key, self.epoch = key, epoch
        self.samples = self.n_refused = 0
        self.refused = []
        self._is_over = False
        self._before.clear()

    def settle(self, places: Places, table: Table) -> None:
        """A batch is due. Raises TooManyErrors, and OSError of the quarantine."""
        if self.policy.raises:
            return
        n, choices = places.n, places.refused(self, table)
        self.samples += n
        self.n_refused += len(choices)
        self.refused += choices[: max(0, _TOLD - len(self.refused))]
        self._note(n, choices)
        if choices and self.policy.quarantine is not None:
            quarantine(self.policy.quarantine, choices)
        self._check(is_end=False)

    def end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._check(is_end=True)

    def _check(self, is_end: bool) -> None:
        most = self.policy.max_errors
        if most is None:
            return
        if isinstance(most, float):
            # A share of few samples says nothing.
            if not is_end and self.samples < math.ceil(10 / most):
                return
            allowed = most * self.samples
        else:
            allowed = most
        if self.n_refused > allowed:
            told = "".join(
                f"\n  {one.index} {one.path}: {one.error}: {one.message}" for one in self.refused
            )
            raise TooManyErrors(
                f"{self.n_refused} of {self.samples} samples could not be had, more than "
                f"max_errors={most}. The first:{told}"
            ) from None
