# SPDX-License-Identifier: Apache-2.0
"""state_dict() and load_state_dict(): a loader's place in its epochs as plain data.

A state says what it belongs to (samples, batches, options), and is refused with the differences
where that is another. With an order of the engine's own it is some numbers; else it holds the
generators at the epoch's start and now, since torch's order comes from them.
"""

import copy
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from penstock import fingerprint, ordering
from penstock.engines import Record
from penstock.native import seed_of
from penstock.position import Generators, Position, Resume
from penstock.refusal import Refusal

FORMAT = "penstock.DataLoader"
VERSION = 1

Samples = Callable[[Any], tuple[Any, Any]]  # (source, table) of a loader; raises Refusal


def _on_python_lane(refusal: Refusal | str) -> AttributeError:
    return AttributeError(
        f"there is no state: this loader runs on the python lane, on torch's own: {refusal}"
    )


def check_epoch(loader: Any, record: Record, check: Callable[[Any], object]) -> None:
    """Raises AttributeError for a loader whose epoch is torch's, or the next one would be."""
    if record.resume is not None:
        return
    if record.refusal is not None:
        raise _on_python_lane(record.refusal)
    if record.position is None or record.position.is_over:
        check_next(loader, check)


def check_next(loader: Any, check: Callable[[Any], object]) -> None:
    """Raises AttributeError where check() raises Refusal."""
    try:
        check(loader)
    except Refusal as refusal:
        raise _on_python_lane(refusal) from None


# --- taken


def _settings(loader: Any, order: ordering.Order | None) -> dict[str, Any]:
    """What has to be equal for the same batches to come."""
    settings: dict[str, Any] = {"rng": loader.rng, "order": "sampler"}
    if order is not None:
        settings["order"] = "permutation" if order.is_shuffled else "sequential"
        settings["batch_size"], settings["drop_last"] = order.batch_size, order.drop_last
        settings["shuffle_block"] = loader.shuffle_block
        return settings
    settings["batch_size"], settings["drop_last"] = loader.batch_size, loader.drop_last
    settings["persistent_workers"] = loader.persistent_workers
    if loader.rng == "torch":
        settings["num_workers"] = loader.num_workers
    return settings


def _workers(loader: Any, position: Position) -> dict[str, Any]:
    """The generators of torch's workers: where they started and how far they are."""
    workers: dict[str, Any] = {"base_seed": position.base_seed, "is_first": position.is_first}
    if loader.rng == "torch":
        workers["words"] = list(position.words)
        if any(position.python_words):
            workers["python_words"] = list(position.python_words)
        if any(normal is not None for normal in position.normals):
            workers["normals"] = list(position.normals)
    return workers


def _under_way(loader: Any, position: Position) -> dict[str, Any]:
    state: dict[str, Any] = {"is_started": True, "delivered": position.delivered}
    indices = position.indices
    if loader.on_error != "raise":
        state["samples"], state["refused"] = position.counts
    if position.start is None or indices is None:
        return state
    state["asked"], state["is_exhausted"] = indices.asked, indices.is_exhausted
    state["checksum"], state["sampler_epoch"] = indices.checksum, position.sampler_epoch
    state["start"], state["now"] = position.start.packed(), Generators.of(loader).packed()
    return {**state, **_workers(loader, position)}


def _between(loader: Any, position: Position | None) -> dict[str, Any]:
    state: dict[str, Any] = {"is_started": False, "delivered": 0}
    if ordering.own(loader) is not None:
        return state
    state["now"] = Generators.of(loader).packed()
    if position is not None and loader.persistent_workers and loader._iterator is not None:
        workers = _workers(loader, position)
        state.update(workers, is_first=False)
    return state


def _look(loader: Any, position: Position | None, samples: Samples) -> tuple[int, str]:
    """How many samples there are, and their fingerprint; once an epoch."""
    if position is not None and position.fingerprint is not None:
        return position.fingerprint
    try:
        source, table = (position and position.samples()) or samples(loader)
    except Refusal as refusal:
        raise _on_python_lane(refusal) from None
    found = len(source.tree), fingerprint.of(source, table)
    if position is not None:
        position.fingerprint = found
    return found


def make(loader: Any, record: Record, samples: Samples) -> dict[str, Any]:
    if record.resume is not None:
        return copy.deepcopy(record.resume.state)
    position = record.position
    if position is not None and position.is_busy:
        raise RuntimeError(
            "the loader is in next(): take its state between two batches (in a signal's handler, "
            "note that one is wanted)"
        )
    if position is not None and not position.is_over:
        length, print_ = _look(loader, position, samples)
        order, epoch, seed = position.order, position.epoch, position.seed
        place = _under_way(loader, position)
    else:
        length, print_ = _look(loader, None, samples)
        order, epoch = ordering.own(loader), record.epoch + 1
        seed = seed_of(loader) if record.seed is None else record.seed
        place = _between(loader, position)
    return {
        "format": FORMAT,
        "version": VERSION,
        **_settings(loader, order),
        "length": length,
        "fingerprint": print_,
        "seed": seed,
        "epoch": epoch,
        **place,
    }


# --- given back


class _Fields:
    """The fields of a state, as they are needed; wrong ones are a ValueError."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self.seen: dict[str, Any] = {}

    def get(self, name: str, kinds: tuple[type, ...], default: Any = None) -> Any:
        value = self._state.get(name, default)
        if type(value) not in kinds:
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"the state's {name!r} is {value!r}, not {names}")
        if name in self._state:
            self.seen[name] = copy.copy(value)
        return value

    def count(self, name: str, default: int | None = None) -> int:
        value: int = self.get(name, (int,), default)
        if value < 0:
            raise ValueError(f"the state's {name!r} is {value}, which is no count")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        value: bool = self.get(name, (bool,), default)
        return value

    def generators(self, name: str) -> Generators:
        texts = self._state.get(name)
        try:
            if type(texts) is not list or len(texts) < 3:
                raise ValueError("it is no list of generators")
            found = Generators.unpacked(texts)
        except Exception as error:  # of base64, zlib, or the types of items
            raise ValueError(f"the state's {name!r} is damaged: {error}") from None
        self.seen[name] = list(texts)
        return found


def _resume(loader: Any, order: ordering.Order | None, state: Mapping[str, Any]) -> Resume:
    fields = _Fields(state)
    resume = Resume(
        state=fields.seen,
        epoch=fields.count("epoch"),
        seed=fields.get("seed", (int,)),
        is_started=fields.flag("is_started"),
        delivered=fields.count("delivered"),
        samples=fields.count("samples", 0),
        refused=fields.count("refused", 0),
    )
    if order is not None:
        if resume.delivered > len(order):
            raise ValueError(
                f"the state's 'delivered' is {resume.delivered}, an epoch has {len(order)} batches"
            )
        return resume
    resume.now = fields.generators("now")
    if resume.is_started:
        resume.start = fields.generators("start")
        resume.asked, resume.checksum = fields.count("asked"), fields.count("checksum")
        resume.is_exhausted = fields.flag("is_exhausted")
        resume.sampler_epoch = fields.get("sampler_epoch", (int, type(None)))
        if resume.asked < resume.delivered:
            raise ValueError("the state has more batches delivered than asked for")
    resume.is_first = fields.flag("is_first", True)
    resume.base_seed = fields.get("base_seed", (int, type(None)))
    if not resume.is_first and resume.base_seed is None:
        raise ValueError("the state has no base seed of the workers")
    resume.words = _counts(fields, "words", loader.num_workers)
    resume.python_words = _counts(fields, "python_words", loader.num_workers)
    resume.normals = list(fields.get("normals", (list,), []))
    if resume.normals and len(resume.normals) != len(resume.words):
        raise ValueError(f"the state has {len(resume.normals)} normals, not {len(resume.words)}")
    if not all(one is None or (type(one) is float and isfinite(one)) for one in resume.normals):
        raise ValueError("the state's 'normals' are no numbers")
    return resume


def _counts(fields: _Fields, name: str, n: int) -> list[int]:
    """One for each worker, or none."""
    counts = list(fields.get(name, (list,), []))
    if counts and len(counts) != n:
        raise ValueError(f"the state has {len(counts)} workers, not {n}")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"the state's {name!r} are no counts")
    return counts


def _check_format(state: Any) -> None:
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a dict, not {type(state).__name__}")
    if state.get("format") != FORMAT:
        names = ", ".join(sorted(map(str, state))[:6]) or "nothing"
        raise ValueError(f"this is no state of {FORMAT}: it has {names}")
    if state.get("version") != VERSION:
        raise ValueError(
            f"the state is of version {state.get('version')!r}, and this Penstock reads {VERSION}"
        )


def _check_same(state: Mapping[str, Any], expected: dict[str, Any]) -> None:
    """Refuses a state of something else, and says what is different."""
    missing = object()
    found = [
        f"{name} was {state.get(name, 'not there')!r} and is {value!r}"
        for name, value in expected.items()
        if type(state.get(name, missing)) is not type(value) or state[name] != value
    ]
    if found:
        raise ValueError(f"the state is of another loader: {'; '.join(found)}")


def load(loader: Any, record: Record, samples: Samples, state: Any) -> None:
    _check_format(state)
    if record.is_iterated:
        raise RuntimeError(
            "a state cannot be loaded while the loader is iterated: end the epoch or drop its "
            "iterator first (with persistent_workers the loader keeps it: make another loader)"
        )
    try:
        source, table = samples(loader)
    except Refusal as refusal:
        raise _on_python_lane(refusal) from None
    order = ordering.own(loader)
    expected = _settings(loader, order)
    expected["length"] = len(source.tree)
    if state.get("length") == expected["length"]:
        expected["fingerprint"] = fingerprint.of(source, table)
    _check_same(state, expected)
    resume = _resume(loader, order, state)
    head = {"format": FORMAT, "version": VERSION, **expected}
    resume.state.update(head)
    if loader._iterator is not None:  # of persistent workers, between two epochs
        loader._iterator._shutdown_workers()
        loader._iterator = None
    record.resume, record.position, record.refusal = resume, None, None
