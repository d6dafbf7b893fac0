# SPDX-License-Identifier: Apache-2.0
"""What the engine is given: the transform as ops and a table of values, the dataset as paths."""

import os
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from penstock import _core, own
from penstock.capture import Reading, refuse
from penstock.options import ERAS


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A transform that the engine does; one object for one reading, so it compares by identity."""

    key: tuple[Any, ...]
    transform: _core.Transform
    dtype: torch.dtype
    profile: str
    draws: bool


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A dataset's paths and labels as they were read: `samples` is a copy of the list, or where it
    never changes the sequence itself."""

    samples: Sequence[tuple[str, int]]
    folder: str | None  # the working directory, where a path is relative to it
    dataset: _core.Dataset


_lock = threading.Lock()
_prepared: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()
_MOST_PREPARED = 64
_tables: dict[int, tuple[weakref.ref[Any], Table]] = {}


def _all_values() -> Any:
    """A PIL image of one row whose pixel v has the value v in every channel."""
    image = sys.modules["PIL.Image"]
    return image.frombytes("RGB", (256, 1), bytes(v for v in range(256) for _ in range(3)))


def _run_tail(tail: tuple[Any, ...]) -> torch.Tensor:
    """The user's own objects on all values: what they give is the specification."""
    image = _all_values()
    with torch.no_grad():
        for step in tail:
            image = step(image)
    if not isinstance(image, torch.Tensor):
        refuse("transform", f"the transforms give a {type(image).__name__}")
    return image.as_subclass(torch.Tensor)


def _table_of_values(tail: tuple[Any, ...]) -> tuple[str, bytes | None]:
    before = torch.default_generator.get_state()
    try:
        values = _run_tail(tail)
    except (RuntimeError, TypeError, ValueError) as error:
        refuse("transform", f"the transforms raise {type(error).__name__}: {error}")
    finally:
        if not torch.equal(before, torch.default_generator.get_state()):
            torch.default_generator.set_state(before)
            refuse("transform", "the conversion to numbers draws from torch's generator")
    if tuple(values.shape) != (3, 1, 256) or values.device.type != "cpu" or values.requires_grad:
        refuse("transform", f"the transforms give shape {tuple(values.shape)} on {values.device}")
    if values.dtype == torch.uint8:
        if not torch.equal(values, torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)):
            refuse("transform", "the transforms change uint8 values")
        return "u8", None
    if values.dtype != torch.float32:
        refuse("transform", f"the output is {values.dtype}, not float32 or uint8")
    buffer = bytearray(3 * 256 * 4)
    torch.frombuffer(buffer, dtype=torch.float32).copy_(values.reshape(-1))
    return "f32", bytes(buffer)


def _hints(key: tuple[Any, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for group, cls, *values in key:
        if group == "pixels" and cls.__name__ == "Normalize":
            mean, std = values[0], values[1]
            return (mean * 3)[:3] if len(mean) == 1 else mean, (std * 3)[:3] if len(
                std
            ) == 1 else std
    return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def _build(reading: Reading, profile: str) -> Prepared:
    dtype, lut = _table_of_values(reading.tail)
    mean, std = _hints(reading.key)
    ops = [entry[2] for entry in reading.key if entry[0] in ("geometry", "flip")]
    try:
        transform = _core.Transform(
            ops,
            dtype=dtype,
            lut=lut,
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            era=ERAS[profile],
        )
    except (ValueError, _core.Error) as error:
        refuse("transform", f"the engine does not do it: {error}")
    return Prepared(
        reading.key,
        transform,
        torch.float32 if dtype == "f32" else torch.uint8,
        profile,
        transform.max_words > 0,
    )


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)


def prepare(reading: Reading, profile: str) -> Prepared:
    """The transform of a reading, from a small cache. Raises Refusal."""
    key = (reading.key, profile)
    with _lock:
        found = _prepared.get(key)
        if found is not None:
            _prepared.move_to_end(key)
            return found
    made = _build(reading, profile)
    with _lock:
        made = _prepared.setdefault(key, made)
        while len(_prepared) > _MOST_PREPARED:
            _prepared.popitem(last=False)
    return made


# --- the dataset


def _encode(samples: list[tuple[str, int]], folder: str | None) -> tuple[list[bytes], list[int]]:
    if not samples:
        refuse("dataset", "it is empty")
    if set(map(type, samples)) != {tuple} or set(map(len, samples)) != {2}:
        refuse("dataset", "its samples are not all pairs")
    names, labels = zip(*samples, strict=True)
    if set(map(type, names)) != {str}:
        refuse("dataset", "its paths are not all str")
    if set(map(type, labels)) != {int} or min(labels) < -(2**63) or max(labels) >= 2**63:
        refuse("dataset", "its labels are not all int64")
    try:
        encoded = [os.fsencode(name) for name in names]
    except UnicodeEncodeError:
        refuse("dataset", "a path cannot be encoded for the file system")
    if any(b"\0" in name for name in encoded):
        refuse("dataset", "a path holds a NUL")
    if folder is not None:
        base = os.fsencode(folder)
        encoded = [os.path.join(base, name) for name in encoded]
    return encoded, list(labels)


def _make_table(dataset: Any) -> Table:
    if own.is_own(dataset):
        files = own.files_of(dataset)
        return Table(dataset.samples, files.folder, files.core)
    samples = list(dataset.samples)
    names = (sample[0] for sample in samples if type(sample) is tuple and sample)
    is_absolute = all(type(name) is str and os.path.isabs(name) for name in names)
    folder = None if is_absolute else os.getcwd()
    names_encoded, labels = _encode(samples, folder)
    try:
        return Table(samples, folder, _core.paths(names_encoded, labels))
    except (ValueError, _core.Error) as error:
        refuse("dataset", f"the engine does not do it: {error}")


def is_current(table: Table, dataset: Any) -> bool:
    # Comparing lists asks for identity first, so a list that did not change costs 5 ns an item.
    return (
        table.folder is None or table.folder == os.getcwd()
    ) and table.samples == dataset.samples


def table_of(dataset: Any) -> Table:
    """The dataset's paths for the engine, kept as long as the dataset. Raises Refusal."""
    which = id(dataset)
    with _lock:
        found = _tables.get(which)
    if found is not None and found[0]() is dataset and is_current(found[1], dataset):
        return found[1]
    table = _make_table(dataset)

    def forget(reference: weakref.ref[Any]) -> None:
        entry = _tables.get(which)
        if entry is not None and entry[0] is reference:
            del _tables[which]

    with _lock:
        _tables[which] = (weakref.ref(dataset, forget), table)
    return table
