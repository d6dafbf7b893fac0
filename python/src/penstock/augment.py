# SPDX-License-Identifier: Apache-2.0
"""torchvision's automatic augmentations as tables for the engine.

What they may do, and by how much, is asked of the user's own objects; nothing of it is written down
here.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from penstock import rng

# enum pst_action
ACTIONS = {
    "Identity": 0,
    "Brightness": 1,
    "Contrast": 2,
    "Color": 3,
    "Sharpness": 5,
    "Posterize": 6,
    "Solarize": 7,
    "Invert": 8,
    "AutoContrast": 9,
    "Equalize": 10,
    "ShearX": 16,
    "ShearY": 17,
    "TranslateX": 18,
    "TranslateY": 19,
    "Rotate": 22,
}
_BY_SIZE = 2  # added to a translation by a share of the side
_MOST_SIDE = 1 << 16
_BINS_UNIT = 4096

# The magnitudes of each change (None: it has none) and whether their sign is drawn.
Space = dict[str, tuple[torch.Tensor | None, bool]]


def _space(thing: Any, v2: bool, bins: int, size: tuple[int, int] | None) -> Space:
    """size: height and width, None for an object that does not ask for it."""
    if v2:
        height, width = size or (7, 9)
        return {
            name: (magnitudes(bins, height, width), signed)
            for name, (magnitudes, signed) in thing._AUGMENTATION_SPACE.items()
        }
    space = thing._augmentation_space(bins, size) if size else thing._augmentation_space(bins)
    return {
        name: (magnitudes if magnitudes.ndim > 0 else None, signed)
        for name, (magnitudes, signed) in space.items()
    }


@lru_cache(maxsize=256)
def _is_exact_share(bins: int, index: int) -> bool:
    """Whether the engine's arithmetic for an element of torch.linspace(0, 150 / 331 * side, bins)
    gives as many whole pixels as the installed torch's, for each side of an image."""
    sides = torch.arange(1, _MOST_SIDE + 1, dtype=torch.float64, device="cpu")
    value = 150.0 / 331.0 * sides * index / (bins - 1)
    # Rounding moves it by at most 2^-22 of itself: only near a whole number can that show.
    near = sides[(value - value.round()).abs() <= value * 2.0**-21]
    ends = (150.0 / 331.0 * near).tolist()
    if not ends:
        return True
    theirs = torch.stack([torch.linspace(0.0, end, bins, device="cpu")[index] for end in ends])
    end = torch.tensor(ends, dtype=torch.float32, device="cpu")
    step = end / (bins - 1)
    ours = step * index if index < bins // 2 else end - step * (bins - 1 - index)
    return torch.equal(theirs.trunc(), ours.trunc())


def _check_shares(thing: Any, v2: bool, bins: int) -> None:
    for height, width in ((224, 160), (331, 17), (1, 500)):
        space = _space(thing, v2, bins, (height, width))
        for name, side in (("TranslateX", width), ("TranslateY", height)):
            expected = torch.linspace(0.0, 150.0 / 331.0 * side, bins, device="cpu")
            if name in space and not torch.equal(torch.as_tensor(space[name][0]), expected):
                raise ValueError(f"{name} is not by the known share of a side")


def _magnitude(name: str, value: float, v2: bool, of_tensor: bool) -> float:
    if name.startswith("Shear"):
        return value if of_tensor else math.degrees(math.atan(value))
    if name == "Posterize":
        return float(int(value))
    return 255.0 * value if name == "Solarize" and v2 else value


def _action(name: str) -> int:
    if name not in ACTIONS:
        raise ValueError(f"{name} has no native counterpart")
    return ACTIONS[name]


def _chosen(
    name: str, magnitudes: torch.Tensor, index: int, v2: bool, of_tensor: bool
) -> tuple[int, float]:
    """An action and its magnitude, where translations are by a share of the side."""
    if type(index) is not int or not 0 <= index < len(magnitudes):
        raise ValueError(f"{name} has no magnitude {index!r}")
    if name.startswith("Translate"):
        if not _is_exact_share(len(magnitudes), index):
            raise ValueError(f"magnitude {index} of {len(magnitudes)} is not rounded as known")
        return _action(name) + _BY_SIZE, index + len(magnitudes) / _BINS_UNIT
    return _action(name), _magnitude(name, magnitudes[index].item(), v2, of_tensor)


def trivial_table(thing: Any, v2: bool, of_tensor: bool = False) -> tuple[float, ...]:
    """TrivialAugmentWide: for each change all its magnitudes."""
    table: list[float] = []
    for name, (magnitudes, signed) in _space(thing, v2, thing.num_magnitude_bins, None).items():
        values = [] if magnitudes is None else magnitudes.tolist()
        table += (_action(name), float(signed), float(len(values)))
        table += [_magnitude(name, value, v2, of_tensor) for value in values]
    return tuple(table)


def rand_table(thing: Any, v2: bool, of_tensor: bool = False) -> tuple[float, ...]:
    """RandAugment: for each change the one magnitude that it has."""
    bins = thing.num_magnitude_bins
    _check_shares(thing, v2, bins)
    table: list[float] = []
    for name, (magnitudes, signed) in _space(thing, v2, bins, (7, 9)).items():
        if magnitudes is None:
            table += (_action(name), float(signed), 0.0)
        else:
            action, magnitude = _chosen(name, magnitudes, thing.magnitude, v2, of_tensor)
            table += (action, float(signed), 1.0, magnitude)
    return tuple(table)


def _policy_entry(
    step: Sequence[Any], space: Space, v2: bool, of_tensor: bool
) -> tuple[float, ...]:
    name, p, index = step
    magnitudes, signed = space[name]
    if magnitudes is None or (index is None and not v2):
        action, magnitude = _action(name), 0.0
    else:
        action, magnitude = _chosen(name, magnitudes, index, v2, of_tensor)
    # v2 draws no sign where there are no magnitudes.
    is_signed = signed and not (v2 and magnitudes is None)
    return action, float(is_signed), float(rng.most_threshold(float(p))), magnitude


def policy_table(thing: Any, v2: bool, of_tensor: bool = False) -> tuple[float, ...]:
    """AutoAugment: for each policy its two changes."""
    _check_shares(thing, v2, 10)
    space = _space(thing, v2, 10, (7, 9))
    table: list[float] = []
    for first, second in thing._policies if v2 else thing.policies:
        table += _policy_entry(first, space, v2, of_tensor)
        table += _policy_entry(second, space, v2, of_tensor)
    return tuple(table)
