# SPDX-License-Identifier: Apache-2.0
"""Arguments of torchvision's transforms, read from the objects that hold them."""

import math
import sys
from typing import Any

import torch
from penstock import rng

MAX_SIDE = 65500


class Unknown(Exception):
    """An argument that the engine does not do."""


def side(value: Any, what: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIDE:
        raise Unknown(f"{what} is {value!r}, not an int from 1 to {MAX_SIDE}")
    return value


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unknown(f"{what} is {value!r}, not a finite number")
    return float(value)


def pair(value: Any, what: str) -> tuple[float, float]:
    if type(value) not in (list, tuple) or len(value) != 2:
        raise Unknown(f"{what} is {value!r}, not a pair")
    return number(value[0], what), number(value[1], what)


def scalar(value: Any, what: str) -> float:
    """A number that torch takes for a scalar; others have a say in what a sum with a tensor is."""
    if type(value) not in (int, float) or not abs(value) <= 1e6:
        raise Unknown(f"{what} is {value!r}, not an int or a float of at most 1e6")
    return float(value)


def filter_of(value: Any, v2: bool) -> int:
    functional = sys.modules["torchvision.transforms.functional"]
    mode = functional.InterpolationMode
    if v2 and type(value) is str:
        value = next((member for member in mode if member.value == value), value)
    elif type(value) is int and 0 <= value <= 5:
        return value
    if type(value) is not mode:
        raise Unknown(f"interpolation is {value!r}")
    return int(functional.pil_modes_mapping[value])


def crop_size(thing: Any) -> tuple[int, int]:
    size = thing.size
    if type(size) not in (list, tuple) or len(size) != 2:
        raise Unknown(f"size is {size!r}")
    return side(size[0], "size"), side(size[1], "size")


def fill(thing: Any, v2: bool) -> tuple[float, ...]:
    """A colour: one value for all channels, or three."""
    fill = thing.fill
    if v2:  # what it made of it; a dict has a value for each type of input
        if type(thing._fill) is not dict or list(thing._fill) != ["others"]:
            raise Unknown(f"fill is {fill!r}")
        fill = thing._fill["others"]
    values = (0,) if fill is None else fill if type(fill) in (list, tuple) else (fill,)
    if len(values) not in (1, 3):
        raise Unknown(f"fill is {fill!r}, not one value or three")
    whole = tuple(int(number(value, "fill")) for value in values)  # as torchvision does
    if min(whole) < 0 or max(whole) > 255:
        raise Unknown(f"fill is {fill!r}, not from 0 to 255")
    return tuple(map(float, whole))


def padding(padding: Any) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    sides = padding if type(padding) in (list, tuple) else (padding,)
    if len(sides) not in (1, 2, 4):
        raise Unknown(f"padding is {padding!r}")
    for side in sides:
        if type(side) is not int or not 0 <= side <= MAX_SIDE:
            raise Unknown(f"padding is {padding!r}, not of 0 to {MAX_SIDE} pixels")
    left, top, right, bottom = (sides * (4 // len(sides)))[:4]
    return left, top, right, bottom


def ratio_logs(thing: Any, ratio: tuple[float, float], v2: bool) -> tuple[float, float]:
    """The logarithms as torch has them."""
    if v2:  # made when the transform was
        logs = thing._log_ratio
        if type(logs) is not torch.Tensor or logs.shape != (2,) or logs.dtype != torch.float32:
            raise Unknown("_log_ratio was replaced")
        low, high = logs.tolist()
    else:
        low, high = rng.log_ratio(ratio)
    if not low <= high:
        raise Unknown(f"the logarithms of ratio are {low}, {high}")
    return low, high


_MOST = 1e6  # degrees, pixels


def bounded(value: Any, what: str) -> float:
    found = number(value, what)
    if abs(found) > _MOST:
        raise Unknown(f"{what} is {value!r}")
    return found


def bounded_range(value: Any, what: str) -> tuple[float, float]:
    low, high = pair(value, what)
    if not -_MOST <= low <= high <= _MOST:
        raise Unknown(f"{what} is {value!r}")
    return low, high


def warp_filter(thing: Any, v2: bool) -> int:
    filter = filter_of(thing.interpolation, v2)
    if filter not in (0, 2, 3):
        raise Unknown(f"interpolation is {thing.interpolation!r}")
    return filter


def center(thing: Any) -> tuple[float, float] | None:
    if thing.center is None:
        return None
    x, y = pair(thing.center, "center")
    return bounded(x, "center"), bounded(y, "center")


JITTERS = ("brightness", "contrast", "saturation", "hue")


def jitter(value: Any, what: str) -> tuple[float, float]:
    low, high = pair(value, what)
    if not (-0.5 <= low <= high <= 0.5 if what == "hue" else 0 <= low <= high <= 1e6):
        raise Unknown(f"{what} is {value!r}")
    return low, high


def amount(thing: Any, what: str, low: float, high: float) -> float:
    amount = number(getattr(thing, what), what)
    if not low <= amount <= high:
        raise Unknown(f"{what} is {amount:g}, not {low:g} to {high:g}")
    return amount


def fill_of_tensor(thing: Any, v2: bool) -> tuple[float, ...]:
    """The colour for a tensor: none, one value for all channels, or three, which need be no
    integers."""
    fill = thing.fill
    if v2:
        if type(thing._fill) is not dict or list(thing._fill) != ["others"]:
            raise Unknown(f"fill is {fill!r}")
        fill = thing._fill["others"]
    values = () if fill is None else fill if type(fill) in (list, tuple) else (fill,)
    if fill is not None and len(values) not in (1, 3):
        raise Unknown(f"fill is {fill!r}, not one value or three")
    numbers = tuple(number(value, "fill") for value in values)
    if any(not 0 <= number <= 255 for number in numbers):
        raise Unknown(f"fill is {fill!r}, not from 0 to 255")
    return numbers


def filter_of_tensor(thing: Any, v2: bool) -> int:
    """The filter for a tensor, which Pillow's nearest-exact is not."""
    mode = thing.interpolation
    if getattr(mode, "value", mode) == "nearest-exact":
        raise Unknown(f"interpolation is {mode!r}")
    return filter_of(mode, v2)
