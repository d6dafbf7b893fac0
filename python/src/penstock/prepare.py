# SPDX-License-Identifier: Apache-2.0
"""What the engine is given for a transform: ops and a table of values."""

import os
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from penstock import _core
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


_lock = threading.Lock()
_prepared: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()
_MOST_PREPARED = 64


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
