# SPDX-License-Identifier: Apache-2.0
"""torchvision's GaussianNoise on the sample: in which order torch draws its normals, and what
stands behind it.

torch fills a contiguous tensor plane after plane, and any other one by one in the order of its
memory. So it is known what made the tensor and which steps came in between. Behind the noise values
are no table of 256 any more: what the engine does there is one Normalize.
"""

from typing import Any

import torch
from penstock import ops, rng, steps
from penstock.refusal import refuse

Key = tuple[Any, ...]
Tail = tuple[Any, ...]

_CLIPPED, _ONE_BY_ONE = 1, 2  # enum pst_noise
# They leave a tensor in the order that it has in memory.
_KEEP_ORDER = ("ToImage", "ToDtype", "ConvertImageDtype", "Normalize")


def _place(key: Key) -> int | None:
    """Of the noise among the steps that were read."""
    return next((place for place, entry in enumerate(key) if entry[0] == "noise"), None)


def before(key: Key) -> Key:
    """What was read of the steps in front of the noise, if there is any."""
    return key[: _place(key)]


def split(tail: Tail) -> tuple[Tail, Tail]:
    """The objects in front of the noise, and those behind it."""
    for place, step in enumerate(tail):
        kind = steps.kinds().get(type(step))
        if kind is not None and kind.group == "noise":
            return tail[:place], tail[place + 1 :]
    return tail, ()


def check(key: Key) -> None:
    """What stands around the noise. Raises Refusal."""
    place = _place(key)
    if place is None:
        return
    start = next(i for i, entry in enumerate(key) if entry[0] == "convert")
    for group, cls, *_ in key[start + 1 : place]:
        if group != "random" and cls.__name__ not in _KEEP_ORDER:
            refuse("transform", f"{cls.__name__} comes between the tensor and GaussianNoise")
    for i, (_, cls, *_) in enumerate(key[place + 1 :]):
        if cls.__name__ != "Normalize" or i > 0:
            refuse("transform", f"{cls.__name__} comes after GaussianNoise")


def _normalized(step: Any, entry: tuple[Any, ...], channels: int) -> tuple[float, ...]:
    """Means and deviations of three channels, as torch has them in float32."""
    image = torch.zeros(channels, 4, 4, dtype=torch.float32, device="cpu")
    try:
        made = step(image)
    except (RuntimeError, TypeError, ValueError) as error:
        refuse("transform", f"Normalize raises {type(error).__name__}: {error}")
    if made.shape != image.shape or made.dtype != torch.float32:
        refuse("transform", f"Normalize gives shape {tuple(made.shape)} of {made.dtype}")
    table: list[float] = []
    for values in entry[2:4]:
        rounded = torch.tensor(values, dtype=torch.float32, device="cpu").tolist()
        table += (rounded * 3)[:3]
    return tuple(table)


def op(key: Key, tail: Tail, channels: int, dtype: str) -> ops.Op:
    """The op, for a sample of so many channels whose table of values in front of the noise is of
    this dtype. Raises Refusal."""
    if dtype != "f32":
        refuse("transform", "GaussianNoise works on a tensor here that is not of float32")
    place = _place(key) or 0
    conversion = next(entry[1].__name__ for entry in key if entry[0] == "convert")
    is_together = channels == 3 and conversion != "ToTensor"
    refusal = rng.pairs_refusal() if is_together else rng.normal_refusal()
    if refusal is not None:
        refuse("transform", f"GaussianNoise: {refusal}")
    table: tuple[float, ...] = ()
    for step, entry in zip(split(tail)[1], key[place + 1 :], strict=True):
        table = _normalized(step, entry, channels)
    made: ops.Op = key[place][2]
    return ops.with_table(ops.with_count(made, made[-2] | _ONE_BY_ONE * is_together), table)
