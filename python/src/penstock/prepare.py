# SPDX-License-Identifier: Apache-2.0
"""What the engine is given for a transform: ops and a table of values."""

import os
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from penstock import _core, noising, ops, rng, steps, tensor_steps
from penstock.capture import Reading, refuse
from penstock.options import AS_STOCK, ERAS, Output


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A transform that the engine does; one object for one reading, so it compares by identity."""

    key: tuple[Any, ...]
    transform: _core.Transform
    dtype: torch.dtype
    profile: str
    draws: bool
    draws_python: bool  # from Python's random
    channels: int
    output: Output
    n_images: int  # of a sample
    is_apart: bool  # and a batch has a tensor for each
    pillow_turns: bool  # images go through the user's own exif_transpose() first


_lock = threading.Lock()
_prepared: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()
_MOST_PREPARED = 64


def _all_values(channels: int) -> Any:
    """A PIL image of one row whose pixel v has the value v in every channel."""
    image = sys.modules["PIL.Image"]
    values = bytes(v for v in range(256) for _ in range(channels))
    return image.frombytes("RGB" if channels == 3 else "L", (256, 1), values)


def _is_erasing(step: Any) -> bool:
    kind = steps.kinds().get(type(step))
    return kind is not None and kind.group == "erase"


def _erase(image: torch.Tensor, value: tuple[float, ...]) -> torch.Tensor:
    """All of an image, as torchvision does it."""
    if len(value) not in (1, image.shape[0]):
        refuse("transform", f"RandomErasing has {len(value)} values for {image.shape[0]} channels")
    if not image.is_floating_point() and not all(0 <= one <= 255 for one in value):
        refuse("transform", f"RandomErasing puts {value} into {image.dtype}")
    image = image.clone()
    image[...] = torch.tensor(value)[:, None, None]
    return image


def _bits(image: torch.Tensor) -> torch.Tensor:
    return image.as_subclass(torch.Tensor).contiguous().view(torch.uint8)


def _one_of(made: Any, n: int) -> torch.Tensor:
    """What each image of a sample of n has become: all the same."""
    images: Any = made
    if isinstance(made, torch.Tensor) and made.dim() == 4:
        images = list(made.as_subclass(torch.Tensor))
    if type(images) not in (list, tuple) or len(images) != n:
        refuse("transform", f"the transforms make a {type(made).__name__} of {n} crops")
    first: torch.Tensor = images[0]
    for other in images:
        if not isinstance(other, torch.Tensor):
            refuse("transform", f"the transforms make a {type(other).__name__} of a crop")
        if other.dtype != first.dtype or not torch.equal(_bits(first), _bits(other)):
            refuse("transform", "the transforms do not make the same of all crops")
    return first


def _is_crops(step: Any) -> bool:
    kind = steps.kinds().get(type(step))
    return kind is not None and kind.group == "crops"


def _crops_of(image: Any, step: Any) -> Any:
    """As many crops as the step makes, by an object of its class that cuts nothing off: upside
    down one row is itself."""
    whole = {"vertical_flip": True} if hasattr(step, "vertical_flip") else {}
    return type(step)((1, 256), **whole)(image)


def _run_tail(tail: tuple[Any, ...], channels: int, erasing: int | None = None) -> torch.Tensor:
    """The user's own objects on all values: what they give is the specification. What erases is
    left out, but one of the objects, by its place, which erases all."""
    image = _all_values(channels)
    n_images = 1
    with torch.no_grad():
        for place, step in enumerate(tail):
            if place == erasing:
                image = _erase(image, steps.erased_value(step))
            elif _is_crops(step):
                image = _crops_of(image, step)
                n_images = len(image)
            elif not _is_erasing(step):
                image = step(image)
    if n_images > 1:
        image = _one_of(image, n_images)
    if not isinstance(image, torch.Tensor):
        refuse("transform", f"the transforms give a {type(image).__name__}")
    return image.as_subclass(torch.Tensor)


def values_of(reading: Reading, channels: int) -> torch.Tensor:
    """What each of the 256 values of a channel becomes: (channels, 256)."""
    front, behind = noising.split(reading.tail)
    return _run_tail(front + behind, channels).reshape(channels, 256)


def _table_of_values(tail: tuple[Any, ...], channels: int) -> tuple[str, bytes | None]:
    before = torch.default_generator.get_state()
    try:
        values = _run_tail(tail, channels)
    except (RuntimeError, TypeError, ValueError) as error:
        refuse("transform", f"the transforms raise {type(error).__name__}: {error}")
    finally:
        if not torch.equal(before, torch.default_generator.get_state()):
            torch.default_generator.set_state(before)
            refuse("transform", "the conversion to numbers draws from torch's generator")
    if (
        tuple(values.shape) != (channels, 1, 256)
        or values.device.type != "cpu"
        or values.requires_grad
    ):
        refuse("transform", f"the transforms give shape {tuple(values.shape)} on {values.device}")
    if values.dtype == torch.uint8:
        if not torch.equal(values, torch.arange(256, dtype=torch.uint8).expand(channels, 1, 256)):
            refuse("transform", "the transforms change uint8 values")
        return "u8", None
    if values.dtype != torch.float32:
        refuse("transform", f"the output is {values.dtype}, not float32 or uint8")
    buffer = bytearray(3 * 256 * 4)
    torch.frombuffer(buffer, dtype=torch.float32).view(3, 256).copy_(values.view(channels, 256))
    return "f32", bytes(buffer)


_NAMES = {
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.uint8: "u8",
}


def _converted(dtype: str, lut: bytes | None, wanted: torch.dtype) -> tuple[str, bytes | None]:
    """What the table becomes for another dtype of the output."""
    if wanted is torch.uint8:
        return "u8", None
    if dtype == "u8":
        ramp = bytearray(3 * 256 * 4)
        values = torch.arange(256, dtype=torch.float32, device="cpu")
        torch.frombuffer(ramp, dtype=torch.float32).view(3, 256).copy_(values)
        lut = bytes(ramp)
    return _NAMES[wanted], lut


def _erased(tail: tuple[Any, ...], channels: int) -> list[tuple[float, ...]]:
    """What is written where an object of the tail has erased something, for each that does."""
    written: list[tuple[float, ...]] = []
    for place, step in enumerate(tail):
        if not _is_erasing(step):
            continue
        if steps.erases_at_random(step):
            later = next((other for other in tail[place:] if not _is_erasing(other)), None)
            if later is not None:
                refuse("transform", f"{type(later).__name__} comes after normals that were drawn")
            written.append(())
            continue
        pixels = _run_tail(tail, channels, place).reshape(channels, -1)[:, 0]
        written.append(tuple(map(float, pixels.tolist())))
    return written


def _check_normals(given: list[ops.Op]) -> None:
    """Then exponentials are not torch's own."""
    for op in given:
        refusal = None if op[10:12] == (0.0, 0.0) else rng.exp_refusal(*op[10:12])
        if refusal is not None:
            refuse("transform", refusal)


def _hints(key: tuple[Any, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for group, cls, *values in key:
        if group == "pixels" and cls.__name__ == "Normalize":
            mean, std = values[0], values[1]
            return (mean * 3)[:3] if len(mean) == 1 else mean, (std * 3)[:3] if len(
                std
            ) == 1 else std
    return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


# Steps whose pixels of grey images tests/python/test_grey_parity.py compares with torchvision's.
_GREY_STEPS = frozenset(
    (
        "AutoAugment",
        "CenterCrop",
        "ColorJitter",
        "FiveCrop",
        "GaussianNoise",
        "Grayscale",
        "Pad",
        "RGB",
        "RandAugment",
        "RandomAdjustSharpness",
        "RandomAffine",
        "RandomApply",
        "RandomAutocontrast",
        "RandomChannelPermutation",
        "RandomChoice",
        "RandomCrop",
        "RandomEqualize",
        "RandomErasing",
        "RandomGrayscale",
        "RandomHorizontalFlip",
        "RandomInvert",
        "RandomOrder",
        "RandomPerspective",
        "RandomPhotometricDistort",
        "RandomPosterize",
        "RandomResizedCrop",
        "RandomRotation",
        "RandomSolarize",
        "RandomVerticalFlip",
        "Resize",
        "TenCrop",
        "TrivialAugmentWide",
    )
)


def _check_grey(reading: Reading) -> None:
    for group, cls, *rest in reading.key:
        if group not in steps.OPS:
            continue
        if cls.__name__ not in _GREY_STEPS or tensor_steps.is_of_tensor(rest[0]):
            refuse("transform", f"{cls.__name__} is not proven on grey images")
    for thing, attributes in reading.seen:
        # Others have one number a channel, or are a dict.
        if type(attributes.get("fill", 0)) not in (int, type(None)):
            refuse("transform", f"{type(thing).__name__}'s fill is not an int, on grey images")


def _channels(given: list[ops.Op], profile: str, images: int) -> int:
    plain: tuple[float, float, float] = (0.0, 0.0, 0.0)
    return _core.Transform(
        [ops.without_normals(op) for op in given],  # of which there are none of uint8
        dtype="u8",
        lut=None,
        mean=plain,
        std=plain,
        era=ERAS[profile],
        channels=images,
        layout=0,
    ).channels


def _build(reading: Reading, profile: str, output: Output) -> Prepared:
    if reading.channels == 1:
        _check_grey(reading)
    noising.check(reading.key)
    mean, std = _hints(noising.before(reading.key))
    tail, _ = noising.split(reading.tail)
    entries = [entry for entry in reading.key if entry[0] in steps.OPS]
    n_images, is_apart = steps.crops(reading.key)
    given = [
        ops.with_number(entry[2], (float(is_apart),)) if entry[0] == "crops" else entry[2]
        for entry in entries
    ]
    # After the engine's there is nothing left to turn.
    pillow_turns = not output.exif and any(entry[0] == "upright" for entry in reading.key)
    turns = output.exif or pillow_turns
    turn = [ops.exif_transpose(is_pillows=pillow_turns)] if turns else []
    try:
        # What the steps make of an image says which values there are.
        channels = _channels(given, profile, reading.channels)
        dtype, lut = _table_of_values(tail, channels)
        erased = iter(_erased(tail, channels))
        for place, entry in enumerate(entries):
            if entry[0] == "erase":
                given[place] = ops.with_number(entry[2], next(erased))
            if entry[0] == "noise":
                given[place] = noising.op(reading.key, reading.tail, channels, dtype)
        if output.dtype is not None:
            if (
                output.dtype is torch.uint8
                and dtype != "u8"
                and any(entry[0] == "erase" for entry in entries)
            ):
                refuse("transform", "what is erased has no value before the conversion to numbers")
            dtype, lut = _converted(dtype, lut, output.dtype)
        transform = _core.Transform(
            turn + given,
            dtype=dtype,
            lut=lut,
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            era=ERAS[profile],
            channels=reading.channels,
            layout=output.layout,
        )
    except (ValueError, _core.Error) as error:
        refuse("transform", f"the engine does not do it: {error}")
    if transform.draws_normals:
        _check_normals(given)
    if transform.max_words > rng.MOST_AHEAD:  # what torch's generator can be given ahead
        refuse("transform", f"it may draw {transform.max_words} random numbers for one image")
    return Prepared(
        reading.key,
        transform,
        next(which for which, name in _NAMES.items() if name == dtype),
        profile,
        transform.max_words > 0,
        transform.draws_python,
        channels,
        output,
        n_images,
        is_apart,
        pillow_turns,
    )


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)


def prepare(reading: Reading, profile: str, output: Output = AS_STOCK) -> Prepared:
    """The transform of a reading, from a small cache. Raises Refusal."""
    key = (reading.key, profile, output, reading.channels)
    with _lock:
        found = _prepared.get(key)
        if found is not None:
            _prepared.move_to_end(key)
            return found
    made = _build(reading, profile, output)
    with _lock:
        made = _prepared.setdefault(key, made)
        while len(_prepared) > _MOST_PREPARED:
            _prepared.popitem(last=False)
    return made
