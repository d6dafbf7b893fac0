# SPDX-License-Identifier: Apache-2.0
"""The transforms that have a native counterpart: how each is read, and what it is to the engine."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import FunctionType
from typing import Any, Literal

import torch
from penstock import augment, augmix, blurring, python_random, rng
from penstock.refusal import describe, is_from

# enum pst_op_kind
RESIZE_SHORT, RESIZE, CENTER_CROP, RANDOM_RESIZED_CROP, HFLIP, VFLIP = 1, 2, 3, 4, 5, 6
RANDOM_APPLY, RANDOM_CHOICE, RANDOM_ORDER, PYTHON_CHOICE, PYTHON_ORDER = 7, 8, 9, 10, 11
_IN_PARTS = (RANDOM_CHOICE, RANDOM_ORDER, PYTHON_CHOICE, PYTHON_ORDER)
PAD, RANDOM_CROP, RANDOM_ERASING, RANDOM_ROTATION, RANDOM_AFFINE = 30, 31, 32, 33, 34
RANDOM_PERSPECTIVE, EXIF_TRANSPOSE, CORNER_CROPS = 35, 36, 37
COLOR_JITTER, GRAYSCALE, RANDOM_COLOUR, AUGMENT, AUTO_AUGMENT = 50, 51, 52, 53, 54
RANDOM_DISTORT, RANDOM_CHANNELS, RGB, GAUSSIAN_NOISE = 55, 56, 60, 80
MAX_SIDE = 65500

# enum pst_colour
BRIGHTNESS, CONTRAST, SATURATION, HUE, SHARPNESS, POSTERIZE, SOLARIZE = range(1, 8)
INVERT, AUTOCONTRAST, EQUALIZE, GREY = range(8, 12)

# Fields of struct pst_op in the order of _op().
Op = tuple[Any, ...]
# An op of the engine: geometry, a flip, a change of an image's colours, random (which of the steps
# in it are taken, or in which order, is drawn), erase and noise (of the sample), crops (several
# images of one). Objects that make numbers of the image: convert, pixels. Pillow's own
# exif_transpose(): upright. What leaves images of PIL as they are, and tensors not: picture.
Group = Literal[
    "container",
    "random",
    "geometry",
    "flip",
    "colour",
    "erase",
    "noise",
    "crops",
    "convert",
    "pixels",
    "upright",
    "picture",
    "nothing",
]
OPS = ("random", "geometry", "flip", "colour", "erase", "noise", "crops")


class Unknown(Exception):
    """An argument that the engine does not do."""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    group: Group
    read: Callable[[Any], tuple[Any, ...]]  # hashable values; one of OPS: an op
    on_tensors: Group | None = None  # in the place of group, where the image is one already


def _op(
    kind: int,
    *,
    filter: int = 0,
    h: int = 0,
    w: int = 0,
    max_size: int = 0,
    threshold: int = 0,
    scale: tuple[float, float] = (0.0, 0.0),
    ratio: tuple[float, float] = (0.0, 0.0),
    log_ratio: tuple[float, float] = (0.0, 0.0),
    number: tuple[float, ...] = (),
    count: int = 0,
    table: tuple[float, ...] = (),
) -> Op:
    head = (kind, filter, h, w, max_size, threshold)
    return (*head, *scale, *ratio, *log_ratio, number, count, table)


def exif_transpose(*, is_pillows: bool = False) -> Op:
    """is_pillows: by the user's own call, which has exceptions of its own."""
    return _op(EXIF_TRANSPOSE, count=is_pillows)


def is_exif_transpose(thing: Any) -> bool:
    """Whether it is the function ImageOps.exif_transpose itself."""
    home = sys.modules.get("PIL.ImageOps")
    return (
        isinstance(thing, FunctionType)
        and home is not None
        and is_from(thing, home)
        and thing.__kwdefaults__ == {"in_place": False}
        and getattr(home, "exif_transpose", None) is thing
    )


def always_coloured(colour: int, amount: float) -> Op:
    """A change of colours by this amount."""
    return _op(
        RANDOM_COLOUR, threshold=rng.flip_threshold(1.0, v2=False), number=(amount,), count=colour
    )


def holding(op: Op, parts: list[int]) -> Op:
    """The op of a container whose parts have so many steps."""
    table = (*map(float, parts), *op[-1]) if op[0] in _IN_PARTS else op[-1]
    return (*op[:-2], sum(parts), table)


def with_number(op: Op, number: tuple[float, ...]) -> Op:
    """The op with other numbers."""
    return (*op[:-3], number, *op[-2:])


def with_table(op: Op, table: tuple[float, ...]) -> Op:
    """The op with another table."""
    return (*op[:-1], table)


def with_count(op: Op, count: int) -> Op:
    """The op with another count."""
    return (*op[:-2], count, op[-1])


def with_filter(op: Op, filter: int) -> Op:
    """The op with another filter."""
    return (op[0], filter, *op[2:])


def without_normals(op: Op) -> Op:
    """The op, but that what it erases becomes a value, and no noise is added."""
    if op[0] == GAUSSIAN_NOISE:
        return _op(HFLIP)  # never
    return with_count(op, 0) if op[0] == RANDOM_ERASING else op


def _side(value: Any, what: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIDE:
        raise Unknown(f"{what} is {value!r}, not an int from 1 to {MAX_SIDE}")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unknown(f"{what} is {value!r}, not a finite number")
    return float(value)


def _pair(value: Any, what: str) -> tuple[float, float]:
    if type(value) not in (list, tuple) or len(value) != 2:
        raise Unknown(f"{what} is {value!r}, not a pair")
    return _number(value[0], what), _number(value[1], what)


def _filter(value: Any, v2: bool) -> int:
    functional = sys.modules["torchvision.transforms.functional"]
    mode = functional.InterpolationMode
    if v2 and type(value) is str:
        value = next((member for member in mode if member.value == value), value)
    elif type(value) is int and 0 <= value <= 5:
        return value
    if type(value) is not mode:
        raise Unknown(f"interpolation is {value!r}")
    return int(functional.pil_modes_mapping[value])


def _read_resize(thing: Any, v2: bool) -> tuple[Any, ...]:
    size, longest = thing.size, thing.max_size
    if type(size) is int:
        size = (size,)
    if type(size) not in (list, tuple) or len(size) not in (1, 2):
        raise Unknown(f"size is {thing.size!r}")
    filter = _filter(thing.interpolation, v2)
    if len(size) == 2:
        if longest is not None:
            raise Unknown("max_size beside a pair")
        return (_op(RESIZE, filter=filter, h=_side(size[0], "size"), w=_side(size[1], "size")),)
    short = _side(size[0], "size")
    if longest is not None and _side(longest, "max_size") <= short:
        raise Unknown(f"max_size {longest} is not above size {short}")
    return (_op(RESIZE_SHORT, filter=filter, h=short, max_size=longest or 0),)


def _crop_size(thing: Any) -> tuple[int, int]:
    size = thing.size
    if type(size) not in (list, tuple) or len(size) != 2:
        raise Unknown(f"size is {size!r}")
    return _side(size[0], "size"), _side(size[1], "size")


def _read_center_crop(thing: Any) -> tuple[Any, ...]:
    h, w = _crop_size(thing)
    return (_op(CENTER_CROP, h=h, w=w),)


def _read_corner_crops(thing: Any, count: int = 0) -> tuple[Any, ...]:
    h, w = _crop_size(thing)
    return (_op(CORNER_CROPS, h=h, w=w, count=count),)


def _read_ten_crop(thing: Any) -> tuple[Any, ...]:
    return _read_corner_crops(thing, 2 if thing.vertical_flip else 1)


def crops(key: tuple[Any, ...]) -> tuple[int, bool]:
    """How many images a sample has by what was read of a transform, and whether they are apart: a
    list of images that nothing has stacked."""
    n, is_apart = 1, False
    for entry in key:
        if entry[0] == "crops":
            n, is_apart = 10 if entry[2][-2] else 5, True
        elif entry[0] == "stack":
            is_apart = not entry[2]
    return n, is_apart


def _read_random_resized_crop(thing: Any, v2: bool) -> tuple[Any, ...]:
    h, w = _crop_size(thing)
    scale, ratio = _pair(thing.scale, "scale"), _pair(thing.ratio, "ratio")
    for what, (low, high) in (("scale", scale), ("ratio", ratio)):
        # Outside of these bounds torchvision's own arithmetic can fail.
        if not 1e-6 <= low <= high <= 1e6:
            raise Unknown(f"{what} is {low}, {high}")
    filter = _filter(thing.interpolation, v2)
    return (
        _op(
            RANDOM_RESIZED_CROP,
            filter=filter,
            h=h,
            w=w,
            scale=scale,
            ratio=ratio,
            log_ratio=_ratio_logs(thing, ratio, v2),
        ),
    )


def _read_flip(thing: Any, kind: int, v2: bool) -> tuple[Any, ...]:
    return (_op(kind, threshold=rng.flip_threshold(_number(thing.p, "p"), v2)),)


def _read_random_apply(thing: Any, v2: bool) -> tuple[Any, ...]:
    return (_op(RANDOM_APPLY, threshold=rng.apply_threshold(_number(thing.p, "p"), v2)),)


# PST_MAX_OPS
_MOST_PARTS = 64


def _read_random_choice(thing: Any) -> tuple[Any, ...]:
    p = thing.p
    if type(p) is not list or len(p) != len(thing.transforms) or len(p) > _MOST_PARTS:
        raise Unknown(f"p is {p!r}")
    for value in p:
        # Of NumPy's numbers torch makes a tensor of float64.
        if type(value) is not float or not 0 <= value <= 1:
            raise Unknown(f"a probability is {value!r}")
    refusal = rng.choice_refusal()
    if refusal is not None:
        raise Unknown(refusal)
    return (_op(RANDOM_CHOICE, table=tuple(torch.tensor(p, device="cpu").tolist())),)


def _parts(thing: Any) -> int:
    n = len(thing.transforms)
    if not 1 <= n <= _MOST_PARTS:
        raise Unknown(f"it has {n} transforms")
    return n


def _read_random_order(thing: Any) -> tuple[Any, ...]:
    _parts(thing)
    return (_op(RANDOM_ORDER),)


def _expect_python() -> None:
    refusal = python_random.refusal() or python_random.replaced()
    if refusal is not None:
        raise Unknown(refusal)


def _sums(p: Any, n: int) -> tuple[float, ...]:
    """What random.choices() makes of weights."""
    if type(p) not in (list, tuple) or len(p) != n:
        raise Unknown(f"p is {p!r}")
    for value in p:
        # Integers that a float does not hold are compared as what they are.
        if type(value) not in (int, float) or not 0 <= value <= 2.0**40:
            raise Unknown(f"a weight is {value!r}")
    return tuple(map(float, accumulate(p)))


def _read_python_choice(thing: Any) -> tuple[Any, ...]:
    n = _parts(thing)
    _expect_python()
    if thing.p is None:
        return (_op(PYTHON_CHOICE),)
    return (_op(PYTHON_CHOICE, number=(1.0,), table=_sums(thing.p, n)),)


def _read_python_order(thing: Any) -> tuple[Any, ...]:
    _parts(thing)
    _expect_python()
    return (_op(PYTHON_ORDER),)


def draws_python(op: Op) -> bool:
    """Whether the op draws from Python's random."""
    return op[0] in (PYTHON_CHOICE, PYTHON_ORDER)


def _read_dtype(thing: Any) -> tuple[Any, ...]:
    if type(thing.dtype) is not torch.dtype:
        raise Unknown(f"dtype is {thing.dtype!r}")
    return (thing.dtype, bool(getattr(thing, "scale", True)))


def _read_normalize(thing: Any) -> tuple[Any, ...]:
    values = []
    for what, sequence in (("mean", thing.mean), ("std", thing.std)):
        if type(sequence) not in (list, tuple) or len(sequence) not in (1, 3):
            raise Unknown(f"{what} is {sequence!r}, not three numbers")
        values.append(tuple(_number(value, what) for value in sequence))
    return (*values, bool(thing.inplace))


_PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def _fill(thing: Any, v2: bool) -> tuple[float, ...]:
    """A colour: one value for all channels, or three."""
    fill = thing.fill
    if v2:  # what it made of it; a dict has a value for each type of input
        if type(thing._fill) is not dict or list(thing._fill) != ["others"]:
            raise Unknown(f"fill is {fill!r}")
        fill = thing._fill["others"]
    values = (0,) if fill is None else fill if type(fill) in (list, tuple) else (fill,)
    if len(values) not in (1, 3):
        raise Unknown(f"fill is {fill!r}, not one value or three")
    whole = tuple(int(_number(value, "fill")) for value in values)  # as torchvision does
    if min(whole) < 0 or max(whole) > 255:
        raise Unknown(f"fill is {fill!r}, not from 0 to 255")
    return tuple(map(float, whole))


def _padding(padding: Any) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    sides = padding if type(padding) in (list, tuple) else (padding,)
    if len(sides) not in (1, 2, 4):
        raise Unknown(f"padding is {padding!r}")
    for side in sides:
        if type(side) is not int or not 0 <= side <= MAX_SIDE:
            raise Unknown(f"padding is {padding!r}, not of 0 to {MAX_SIDE} pixels")
    left, top, right, bottom = (sides * (4 // len(sides)))[:4]
    return left, top, right, bottom


def _padded_op(thing: Any, kind: int, padding: Any, v2: bool, **more: Any) -> tuple[Any, ...]:
    mode = thing.padding_mode
    if mode not in _PADDING_MODES:
        raise Unknown(f"padding_mode is {mode!r}")
    number = (*padding, float(_PADDING_MODES.index(mode)), *more.pop("flags", ()))
    fill = _fill(thing, v2) if mode == "constant" else ()
    return (_op(kind, number=number, table=fill, **more),)


def _read_pad(thing: Any, v2: bool) -> tuple[Any, ...]:
    return _padded_op(thing, PAD, _padding(thing.padding), v2)


def _read_random_crop(thing: Any, v2: bool) -> tuple[Any, ...]:
    h, w = _crop_size(thing)
    padding = thing.padding
    if v2 and padding is not None:  # in an order of its own
        left, right, top, bottom = padding
        padding = (left, top, right, bottom)
    sides = (0, 0, 0, 0) if padding is None else _padding(padding)
    flags = (bool(thing.pad_if_needed), v2)
    return _padded_op(thing, RANDOM_CROP, sides, v2, h=h, w=w, flags=flags)


def _ratio_logs(thing: Any, ratio: tuple[float, float], v2: bool) -> tuple[float, float]:
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


def erased_value(thing: Any) -> tuple[float, ...]:
    """What RandomErasing puts in the place of pixels: one value, or three."""
    value = thing.value
    if type(value) is str or value is None:
        raise Unknown("value is 'random'")
    values = value if type(value) in (list, tuple) else (value,)
    if len(values) not in (1, 3):
        raise Unknown(f"value is {value!r}, not one number or three")
    return tuple(_number(one, "value") for one in values)


def erases_at_random(thing: Any) -> bool:
    """Whether RandomErasing puts normals in the place of pixels."""
    return type(thing.value) is str or thing.value is None


def _read_random_erasing(thing: Any, v2: bool) -> tuple[Any, ...]:
    """The op's numbers are put in when it is known what becomes of the value after it."""
    scale, ratio = _pair(thing.scale, "scale"), _pair(thing.ratio, "ratio")
    if not 0 <= scale[0] <= scale[1] <= 1:
        raise Unknown(f"scale is {scale[0]}, {scale[1]}")
    if not 1e-6 <= ratio[0] <= ratio[1] <= 1e6:
        raise Unknown(f"ratio is {ratio[0]}, {ratio[1]}")
    op = _op(
        RANDOM_ERASING,
        threshold=rng.flip_threshold(_number(thing.p, "p"), v2),
        scale=scale,
        ratio=ratio,
        log_ratio=_ratio_logs(thing, ratio, v2),
        count=erases_at_random(thing),
    )
    if not erases_at_random(thing):
        return (op, erased_value(thing))
    refusal = rng.normal_refusal()
    if refusal is not None:
        raise Unknown(refusal)
    return (op, ())


def _scalar(value: Any, what: str) -> float:
    """A number that torch takes for a scalar; others have a say in what a sum with a tensor is."""
    if type(value) not in (int, float) or not abs(value) <= 1e6:
        raise Unknown(f"{what} is {value!r}, not an int or a float of at most 1e6")
    return float(value)


def _read_gaussian_noise(thing: Any) -> tuple[Any, ...]:
    """The order of its normals, and what stands behind, is put in when it is known."""
    if type(thing.clip) is not bool:
        raise Unknown(f"clip is {thing.clip!r}")
    number = (_scalar(thing.mean, "mean"), _scalar(thing.sigma, "sigma"))
    if number[1] < 0:  # at which torchvision raises, when it is called
        raise Unknown(f"sigma is {thing.sigma!r}")
    return (_op(GAUSSIAN_NOISE, number=number, count=int(thing.clip)),)


_MOST = 1e6  # degrees, pixels


def _bounded(value: Any, what: str) -> float:
    number = _number(value, what)
    if abs(number) > _MOST:
        raise Unknown(f"{what} is {value!r}")
    return number


def _range(value: Any, what: str) -> tuple[float, float]:
    low, high = _pair(value, what)
    if not -_MOST <= low <= high <= _MOST:
        raise Unknown(f"{what} is {value!r}")
    return low, high


def _warp_filter(thing: Any, v2: bool) -> int:
    filter = _filter(thing.interpolation, v2)
    if filter not in (0, 2, 3):
        raise Unknown(f"interpolation is {thing.interpolation!r}")
    return filter


def _center(thing: Any) -> tuple[float, float] | None:
    if thing.center is None:
        return None
    x, y = _pair(thing.center, "center")
    return _bounded(x, "center"), _bounded(y, "center")


def _read_random_rotation(thing: Any, v2: bool) -> tuple[Any, ...]:
    center = _center(thing)
    place = (0.0, 0.0, 0.0) if center is None else (1.0, *center)
    number = (*_range(thing.degrees, "degrees"), float(bool(thing.expand)), *place)
    filter, fill = _warp_filter(thing, v2), _fill(thing, v2)
    return (_op(RANDOM_ROTATION, filter=filter, number=number, table=fill),)


def _read_random_affine(thing: Any, v2: bool) -> tuple[Any, ...]:
    none = (0.0, 0.0)
    translate, scale, shear_x, shear_y, center = none, none, none, none, _center(thing)
    given = 16 if v2 else 0
    if thing.translate is not None:
        translate = _pair(thing.translate, "translate")
        given += 1
        if not 0 <= min(translate) <= max(translate) <= 1:
            raise Unknown(f"translate is {thing.translate!r}")
    if thing.scale is not None:
        scale = _pair(thing.scale, "scale")
        if not 1e-6 <= scale[0] <= scale[1] <= 1e6:
            raise Unknown(f"scale is {thing.scale!r}")
    if thing.shear is not None:
        if type(thing.shear) not in (list, tuple) or len(thing.shear) not in (2, 4):
            raise Unknown(f"shear is {thing.shear!r}")
        shear_x = _range(thing.shear[:2], "shear")
        given += 2
        if len(thing.shear) == 4:
            shear_y = _range(thing.shear[2:], "shear")
            given += 4
    if center is not None:
        given += 8
    op = _op(
        RANDOM_AFFINE,
        filter=_warp_filter(thing, v2),
        scale=scale,
        ratio=center or none,
        number=(*_range(thing.degrees, "degrees"), *translate, *shear_x, *shear_y),
        count=given,
        table=_fill(thing, v2),
    )
    return (op,)


def _read_random_perspective(thing: Any, v2: bool) -> tuple[Any, ...]:
    scale = _number(thing.distortion_scale, "distortion_scale")
    if not 0 <= scale <= 1:
        raise Unknown(f"distortion_scale is {scale}")
    if not torch._C.has_lapack:
        raise Unknown("this torch has no LAPACK")
    op = _op(
        RANDOM_PERSPECTIVE,
        filter=_warp_filter(thing, v2),
        threshold=rng.flip_threshold(_number(thing.p, "p"), v2),
        number=(scale,),
        table=_fill(thing, v2),
    )
    return (op,)


_JITTERS = ("brightness", "contrast", "saturation", "hue")


def _jitter(value: Any, what: str) -> tuple[float, float]:
    low, high = _pair(value, what)
    if not (-0.5 <= low <= high <= 0.5 if what == "hue" else 0 <= low <= high <= 1e6):
        raise Unknown(f"{what} is {value!r}")
    return low, high


def _read_color_jitter(thing: Any) -> tuple[Any, ...]:
    number: list[float] = []
    parts = 0
    for i, what in enumerate(_JITTERS):
        value = getattr(thing, what)
        number += (0.0, 0.0) if value is None else _jitter(value, what)
        parts |= 0 if value is None else 1 << i
    return (_op(COLOR_JITTER, number=tuple(number), count=parts),)


def _read_random_distort(thing: Any) -> tuple[Any, ...]:
    number = [value for what in _JITTERS for value in _jitter(getattr(thing, what), what)]
    threshold = rng.flip_threshold(_number(thing.p, "p"), v2=False)  # it acts where rand < p
    return (_op(RANDOM_DISTORT, threshold=threshold, number=tuple(number)),)


def _read_random_channels(_: Any) -> tuple[Any, ...]:
    return (_op(RANDOM_CHANNELS),)


def _read_grayscale(thing: Any) -> tuple[Any, ...]:
    channels = thing.num_output_channels
    if type(channels) is not int or channels not in (1, 3):
        raise Unknown(f"num_output_channels is {channels!r}")
    return (_op(GRAYSCALE, count=channels),)


def _read_rgb(_: Any) -> tuple[Any, ...]:
    return (_op(RGB),)


def _read_gaussian_blur(thing: Any, v2: bool) -> tuple[Any, ...]:
    size = thing.kernel_size
    if type(size) not in (list, tuple) or len(size) != 2:
        raise Unknown(f"kernel_size is {size!r}")
    width, height = (_side(side, "kernel_size") for side in size)
    if width % 2 == 0 or height % 2 == 0 or not blurring.is_kept(width, height):
        raise Unknown(f"kernel_size is {size!r}, not odd numbers of at most 47")
    sigma = _pair(thing.sigma, "sigma")
    if not 1e-6 <= sigma[0] <= sigma[1] <= 1e6:
        raise Unknown(f"sigma is {sigma[0]}, {sigma[1]}")
    refusal = blurring.refusal(width, height, v2)
    if refusal is not None:
        raise Unknown(refusal)
    return (blurring.op(sigma, width, height, v2),)


def _amount(thing: Any, what: str, low: float, high: float) -> float:
    amount = _number(getattr(thing, what), what)
    if not low <= amount <= high:
        raise Unknown(f"{what} is {amount:g}, not {low:g} to {high:g}")
    return amount


def _read_bits(thing: Any) -> float:
    if type(thing.bits) is not int:
        raise Unknown(f"bits is {thing.bits!r}")
    return _amount(thing, "bits", 1, 8)


def _random_colours(v2: bool) -> Sequence[Kind]:
    """Steps that take a change of colours or leave it."""

    def kind(name: str, colour: int, amount: Callable[[Any], float] = lambda _: 0.0) -> Kind:
        def read(thing: Any) -> tuple[Any, ...]:
            p = _number(thing.p, "p")
            by_tensor = v2 or colour == GREY
            threshold = rng.flip_threshold(p, v2) if by_tensor else rng.item_threshold(p)
            number = (amount(thing),)
            return (_op(RANDOM_COLOUR, threshold=threshold, number=number, count=colour),)

        return Kind(name, "colour", read)

    return (
        kind("RandomGrayscale", GREY),
        kind("RandomInvert", INVERT),
        kind("RandomPosterize", POSTERIZE, _read_bits),
        kind("RandomSolarize", SOLARIZE, lambda thing: _amount(thing, "threshold", -1e6, 1e6)),
        kind(
            "RandomAdjustSharpness",
            SHARPNESS,
            lambda thing: _amount(thing, "sharpness_factor", 0, 1e6),
        ),
        kind("RandomAutocontrast", AUTOCONTRAST),
        kind("RandomEqualize", EQUALIZE),
    )


def _augment_op(
    thing: Any, kind: int, v2: bool, make: Callable[[Any, bool], Any], **more: Any
) -> Op:
    fill = _fill(thing, v2)
    colour = (fill * 3)[:3]
    draws = float(more.pop("draws_magnitude", False))
    number = (float(v2), draws, *colour, float(len(fill)))
    try:
        table = make(thing, v2)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Unknown(f"{error}") from None
    return _op(kind, filter=_warp_filter(thing, v2), number=number, table=table, **more)


def _bins(thing: Any) -> None:
    bins = thing.num_magnitude_bins
    if type(bins) is not int or not 2 <= bins < 4096:
        raise Unknown(f"num_magnitude_bins is {bins!r}")


def _read_trivial_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    _bins(thing)
    more = {"count": 1, "draws_magnitude": True}
    return (_augment_op(thing, AUGMENT, v2, augment.trivial_table, **more),)


def _read_rand_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    _bins(thing)
    if type(thing.num_ops) is not int or not 0 <= thing.num_ops <= 16:
        raise Unknown(f"num_ops is {thing.num_ops!r}")
    return (_augment_op(thing, AUGMENT, v2, augment.rand_table, count=thing.num_ops),)


def _read_auto_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    return (_augment_op(thing, AUTO_AUGMENT, v2, augment.policy_table),)


def tensor_fill(thing: Any, v2: bool) -> tuple[float, ...]:
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
    numbers = tuple(_number(value, "fill") for value in values)
    if any(not 0 <= number <= 255 for number in numbers):
        raise Unknown(f"fill is {fill!r}, not from 0 to 255")
    return numbers


def tensor_filter(thing: Any, v2: bool) -> int:
    """The filter for a tensor, which Pillow's nearest-exact is not."""
    mode = thing.interpolation
    if getattr(mode, "value", mode) == "nearest-exact":
        raise Unknown(f"interpolation is {mode!r}")
    return _filter(mode, v2)


def _read_augmix(thing: Any, v2: bool) -> tuple[Any, ...]:
    try:
        return (augmix.op(thing, tensor_filter(thing, v2), tensor_fill(thing, v2), v2),)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Unknown(f"{error}") from None


def _augments(v2: bool) -> Sequence[Kind]:
    return (
        Kind("TrivialAugmentWide", "colour", lambda thing: _read_trivial_augment(thing, v2)),
        Kind("RandAugment", "colour", lambda thing: _read_rand_augment(thing, v2)),
        Kind("AutoAugment", "colour", lambda thing: _read_auto_augment(thing, v2)),
        Kind("AugMix", "colour", lambda thing: _read_augmix(thing, v2)),
    )


def _read_lambda(thing: Any) -> tuple[Any, ...]:
    if not is_exif_transpose(thing.lambd):
        raise Unknown(f"it calls {describe(thing.lambd)}")
    if getattr(thing, "types", (object,)) != (object,):
        raise Unknown(f"types are {thing.types!r}")
    return ()


def _nothing(_: Any) -> tuple[Any, ...]:
    return ()


def _family(v2: bool) -> Sequence[Kind]:
    return (
        Kind("Compose", "container", _nothing),
        Kind("RandomApply", "random", lambda thing: _read_random_apply(thing, v2)),
        Kind("Resize", "geometry", lambda thing: _read_resize(thing, v2)),
        Kind("CenterCrop", "geometry", _read_center_crop),
        Kind("FiveCrop", "crops", _read_corner_crops),
        Kind("TenCrop", "crops", _read_ten_crop),
        Kind("Pad", "geometry", lambda thing: _read_pad(thing, v2)),
        Kind("RandomCrop", "geometry", lambda thing: _read_random_crop(thing, v2)),
        Kind("RandomRotation", "geometry", lambda thing: _read_random_rotation(thing, v2)),
        Kind("RandomAffine", "geometry", lambda thing: _read_random_affine(thing, v2)),
        Kind("RandomPerspective", "geometry", lambda thing: _read_random_perspective(thing, v2)),
        Kind("RandomResizedCrop", "geometry", lambda thing: _read_random_resized_crop(thing, v2)),
        Kind("RandomHorizontalFlip", "flip", lambda thing: _read_flip(thing, HFLIP, v2)),
        Kind("RandomVerticalFlip", "flip", lambda thing: _read_flip(thing, VFLIP, v2)),
        Kind("ColorJitter", "colour", _read_color_jitter),
        Kind("Grayscale", "colour", _read_grayscale),
        Kind("GaussianBlur", "colour", lambda thing: _read_gaussian_blur(thing, v2)),
        *_random_colours(v2),
        Kind("RandomErasing", "erase", lambda thing: _read_random_erasing(thing, v2)),
        Kind("Lambda", "upright", _read_lambda),
        Kind("ToTensor", "convert", _nothing),
        Kind("PILToTensor", "convert", _nothing),
        Kind("ConvertImageDtype", "pixels", _read_dtype),
        Kind("Normalize", "pixels", _read_normalize),
    )


_IDENTITY = Kind("Identity", "nothing", _nothing)
_V2_ONLY = (
    _IDENTITY,
    Kind("RandomChoice", "random", _read_random_choice),
    Kind("RandomOrder", "random", _read_random_order),
    Kind("RandomPhotometricDistort", "colour", _read_random_distort),
    Kind("RandomChannelPermutation", "colour", _read_random_channels),
    Kind("GaussianNoise", "noise", _read_gaussian_noise),
    Kind("RGB", "colour", _read_rgb, on_tensors="pixels"),
    Kind("ToPILImage", "picture", _nothing),
    Kind("ToPureTensor", "nothing", _nothing),  # what the batch is made of is one anyway
    Kind("ToImage", "convert", _nothing),
    Kind("ToDtype", "pixels", _read_dtype),
)
_V1_ONLY = (
    Kind("RandomChoice", "random", _read_python_choice),
    Kind("RandomOrder", "random", _read_python_order),
)
_FAMILIES: tuple[tuple[str, Sequence[Kind]], ...] = (
    ("torchvision.transforms.transforms", (*_family(False), *_V1_ONLY)),
    ("torchvision.transforms.autoaugment", _augments(False)),
    ("torchvision.transforms.v2", (*_family(True), *_augments(True), *_V2_ONLY)),
)
# The function itself, as a step.
UPRIGHT = Kind("exif_transpose", "upright", _nothing)
_by_class: dict[type, Kind] = {}


def kinds() -> dict[type, Kind]:
    """The known classes of the modules that are loaded; torchvision is never imported for it."""
    _by_class.setdefault(torch.nn.Sequential, Kind("Sequential", "container", _nothing))
    _by_class.setdefault(torch.nn.Identity, _IDENTITY)
    for name, family in _FAMILIES:
        module = sys.modules.get(name)
        # A module that is being imported in another thread lacks names for a while.
        if module is not None and getattr(module, family[-1].name, None) not in _by_class:
            for kind in family:
                cls = getattr(module, kind.name, None)
                # Not a class that a user put in its place.
                if isinstance(cls, type) and cls.__module__.startswith("torchvision.transforms."):
                    _by_class[cls] = kind
    return _by_class
