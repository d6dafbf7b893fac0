# SPDX-License-Identifier: Apache-2.0
"""The transforms that have a native counterpart: how each is read, and what it is to the engine."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import FunctionType
from typing import Any, Literal

import torch
from penstock import augment, augmix, blurring, ops, python_random, rng, step_arguments
from penstock.refusal import describe, is_from

# An op of the engine: geometry, a flip, a change of an image's colours, random (which of the steps
# in it are taken, or in which order, is drawn), erase and noise (of the sample), crops (several
# images of one). Objects that make numbers of the image: convert, pixels. Pillow's own
# ops.exif_transpose(): upright. What leaves images of PIL as they are, and tensors not: picture.
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


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    group: Group
    read: Callable[[Any], tuple[Any, ...]]  # hashable values; one of OPS: an op
    on_tensors: Group | None = None  # in the place of group, where the image is one already


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


def _read_resize(thing: Any, v2: bool) -> tuple[Any, ...]:
    size, longest = thing.size, thing.max_size
    if type(size) is int:
        size = (size,)
    if type(size) not in (list, tuple) or len(size) not in (1, 2):
        raise step_arguments.Unknown(f"size is {thing.size!r}")
    filter = step_arguments.filter_of(thing.interpolation, v2)
    if len(size) == 2:
        if longest is not None:
            raise step_arguments.Unknown("max_size beside a pair")
        return (
            ops.make(
                ops.RESIZE,
                filter=filter,
                h=step_arguments.side(size[0], "size"),
                w=step_arguments.side(size[1], "size"),
            ),
        )
    short = step_arguments.side(size[0], "size")
    if longest is not None and step_arguments.side(longest, "max_size") <= short:
        raise step_arguments.Unknown(f"max_size {longest} is not above size {short}")
    return (ops.make(ops.RESIZE_SHORT, filter=filter, h=short, max_size=longest or 0),)


def _read_center_crop(thing: Any) -> tuple[Any, ...]:
    h, w = step_arguments.crop_size(thing)
    return (ops.make(ops.CENTER_CROP, h=h, w=w),)


def _read_corner_crops(thing: Any, count: int = 0) -> tuple[Any, ...]:
    h, w = step_arguments.crop_size(thing)
    return (ops.make(ops.CORNER_CROPS, h=h, w=w, count=count),)


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
    h, w = step_arguments.crop_size(thing)
    scale, ratio = (
        step_arguments.pair(thing.scale, "scale"),
        step_arguments.pair(thing.ratio, "ratio"),
    )
    for what, (low, high) in (("scale", scale), ("ratio", ratio)):
        # Outside of these bounds torchvision's own arithmetic can fail.
        if not 1e-6 <= low <= high <= 1e6:
            raise step_arguments.Unknown(f"{what} is {low}, {high}")
    filter = step_arguments.filter_of(thing.interpolation, v2)
    return (
        ops.make(
            ops.RANDOM_RESIZED_CROP,
            filter=filter,
            h=h,
            w=w,
            scale=scale,
            ratio=ratio,
            log_ratio=step_arguments.ratio_logs(thing, ratio, v2),
        ),
    )


def _read_flip(thing: Any, kind: int, v2: bool) -> tuple[Any, ...]:
    return (ops.make(kind, threshold=rng.flip_threshold(step_arguments.number(thing.p, "p"), v2)),)


def _read_random_apply(thing: Any, v2: bool) -> tuple[Any, ...]:
    return (
        ops.make(
            ops.RANDOM_APPLY, threshold=rng.apply_threshold(step_arguments.number(thing.p, "p"), v2)
        ),
    )


# PST_MAX_OPS
_MOST_PARTS = 64


def _read_random_choice(thing: Any) -> tuple[Any, ...]:
    p = thing.p
    if type(p) is not list or len(p) != len(thing.transforms) or len(p) > _MOST_PARTS:
        raise step_arguments.Unknown(f"p is {p!r}")
    for value in p:
        # Of NumPy's numbers torch makes a tensor of float64.
        if type(value) is not float or not 0 <= value <= 1:
            raise step_arguments.Unknown(f"a probability is {value!r}")
    refusal = rng.choice_refusal()
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    return (ops.make(ops.RANDOM_CHOICE, table=tuple(torch.tensor(p, device="cpu").tolist())),)


def _parts(thing: Any) -> int:
    n = len(thing.transforms)
    if not 1 <= n <= _MOST_PARTS:
        raise step_arguments.Unknown(f"it has {n} transforms")
    return n


def _read_random_order(thing: Any) -> tuple[Any, ...]:
    _parts(thing)
    return (ops.make(ops.RANDOM_ORDER),)


def _expect_python() -> None:
    refusal = python_random.refusal() or python_random.replaced()
    if refusal is not None:
        raise step_arguments.Unknown(refusal)


def _sums(p: Any, n: int) -> tuple[float, ...]:
    """What random.choices() makes of weights."""
    if type(p) not in (list, tuple) or len(p) != n:
        raise step_arguments.Unknown(f"p is {p!r}")
    for value in p:
        # Integers that a float does not hold are compared as what they are.
        if type(value) not in (int, float) or not 0 <= value <= 2.0**40:
            raise step_arguments.Unknown(f"a weight is {value!r}")
    return tuple(map(float, accumulate(p)))


def _read_python_choice(thing: Any) -> tuple[Any, ...]:
    n = _parts(thing)
    _expect_python()
    if thing.p is None:
        return (ops.make(ops.PYTHON_CHOICE),)
    return (ops.make(ops.PYTHON_CHOICE, number=(1.0,), table=_sums(thing.p, n)),)


def _read_python_order(thing: Any) -> tuple[Any, ...]:
    _parts(thing)
    _expect_python()
    return (ops.make(ops.PYTHON_ORDER),)


def _read_dtype(thing: Any) -> tuple[Any, ...]:
    if type(thing.dtype) is not torch.dtype:
        raise step_arguments.Unknown(f"dtype is {thing.dtype!r}")
    return (thing.dtype, bool(getattr(thing, "scale", True)))


def _read_normalize(thing: Any) -> tuple[Any, ...]:
    values = []
    for what, sequence in (("mean", thing.mean), ("std", thing.std)):
        if type(sequence) not in (list, tuple) or len(sequence) not in (1, 3):
            raise step_arguments.Unknown(f"{what} is {sequence!r}, not three numbers")
        values.append(tuple(step_arguments.number(value, what) for value in sequence))
    return (*values, bool(thing.inplace))


_PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def _padded_op(thing: Any, kind: int, padding: Any, v2: bool, **more: Any) -> tuple[Any, ...]:
    mode = thing.padding_mode
    if mode not in _PADDING_MODES:
        raise step_arguments.Unknown(f"padding_mode is {mode!r}")
    number = (*padding, float(_PADDING_MODES.index(mode)), *more.pop("flags", ()))
    fill = step_arguments.fill(thing, v2) if mode == "constant" else ()
    return (ops.make(kind, number=number, table=fill, **more),)


def _read_pad(thing: Any, v2: bool) -> tuple[Any, ...]:
    return _padded_op(thing, ops.PAD, step_arguments.padding(thing.padding), v2)


def _read_random_crop(thing: Any, v2: bool) -> tuple[Any, ...]:
    h, w = step_arguments.crop_size(thing)
    padding = thing.padding
    if v2 and padding is not None:  # in an order of its own
        left, right, top, bottom = padding
        padding = (left, top, right, bottom)
    sides = (0, 0, 0, 0) if padding is None else step_arguments.padding(padding)
    flags = (bool(thing.pad_if_needed), v2)
    return _padded_op(thing, ops.RANDOM_CROP, sides, v2, h=h, w=w, flags=flags)


def erased_value(thing: Any) -> tuple[float, ...]:
    """What RandomErasing puts in the place of pixels: one value, or three."""
    value = thing.value
    if type(value) is str or value is None:
        raise step_arguments.Unknown("value is 'random'")
    values = value if type(value) in (list, tuple) else (value,)
    if len(values) not in (1, 3):
        raise step_arguments.Unknown(f"value is {value!r}, not one number or three")
    return tuple(step_arguments.number(one, "value") for one in values)


def erases_at_random(thing: Any) -> bool:
    """Whether RandomErasing puts normals in the place of pixels."""
    return type(thing.value) is str or thing.value is None


def _read_random_erasing(thing: Any, v2: bool) -> tuple[Any, ...]:
    """The op's numbers are put in when it is known what becomes of the value after it."""
    scale, ratio = (
        step_arguments.pair(thing.scale, "scale"),
        step_arguments.pair(thing.ratio, "ratio"),
    )
    if not 0 <= scale[0] <= scale[1] <= 1:
        raise step_arguments.Unknown(f"scale is {scale[0]}, {scale[1]}")
    if not 1e-6 <= ratio[0] <= ratio[1] <= 1e6:
        raise step_arguments.Unknown(f"ratio is {ratio[0]}, {ratio[1]}")
    op = ops.make(
        ops.RANDOM_ERASING,
        threshold=rng.flip_threshold(step_arguments.number(thing.p, "p"), v2),
        scale=scale,
        ratio=ratio,
        log_ratio=step_arguments.ratio_logs(thing, ratio, v2),
        count=erases_at_random(thing),
    )
    if not erases_at_random(thing):
        return (op, erased_value(thing))
    refusal = rng.normal_refusal()
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    return (op, ())


def _read_gaussian_noise(thing: Any) -> tuple[Any, ...]:
    """The order of its normals, and what stands behind, is put in when it is known."""
    if type(thing.clip) is not bool:
        raise step_arguments.Unknown(f"clip is {thing.clip!r}")
    number = (
        step_arguments.scalar(thing.mean, "mean"),
        step_arguments.scalar(thing.sigma, "sigma"),
    )
    if number[1] < 0:  # at which torchvision raises, when it is called
        raise step_arguments.Unknown(f"sigma is {thing.sigma!r}")
    return (ops.make(ops.GAUSSIAN_NOISE, number=number, count=int(thing.clip)),)


def _read_random_rotation(thing: Any, v2: bool) -> tuple[Any, ...]:
    center = step_arguments.center(thing)
    place = (0.0, 0.0, 0.0) if center is None else (1.0, *center)
    number = (
        *step_arguments.bounded_range(thing.degrees, "degrees"),
        float(bool(thing.expand)),
        *place,
    )
    filter, fill = step_arguments.warp_filter(thing, v2), step_arguments.fill(thing, v2)
    return (ops.make(ops.RANDOM_ROTATION, filter=filter, number=number, table=fill),)


def _read_random_affine(thing: Any, v2: bool) -> tuple[Any, ...]:
    none = (0.0, 0.0)
    translate, scale, shear_x, shear_y, center = (
        none,
        none,
        none,
        none,
        step_arguments.center(thing),
    )
    given = 16 if v2 else 0
    if thing.translate is not None:
        translate = step_arguments.pair(thing.translate, "translate")
        given += 1
        if not 0 <= min(translate) <= max(translate) <= 1:
            raise step_arguments.Unknown(f"translate is {thing.translate!r}")
    if thing.scale is not None:
        scale = step_arguments.pair(thing.scale, "scale")
        if not 1e-6 <= scale[0] <= scale[1] <= 1e6:
            raise step_arguments.Unknown(f"scale is {thing.scale!r}")
    if thing.shear is not None:
        if type(thing.shear) not in (list, tuple) or len(thing.shear) not in (2, 4):
            raise step_arguments.Unknown(f"shear is {thing.shear!r}")
        shear_x = step_arguments.bounded_range(thing.shear[:2], "shear")
        given += 2
        if len(thing.shear) == 4:
            shear_y = step_arguments.bounded_range(thing.shear[2:], "shear")
            given += 4
    if center is not None:
        given += 8
    op = ops.make(
        ops.RANDOM_AFFINE,
        filter=step_arguments.warp_filter(thing, v2),
        scale=scale,
        ratio=center or none,
        number=(
            *step_arguments.bounded_range(thing.degrees, "degrees"),
            *translate,
            *shear_x,
            *shear_y,
        ),
        count=given,
        table=step_arguments.fill(thing, v2),
    )
    return (op,)


def _read_random_perspective(thing: Any, v2: bool) -> tuple[Any, ...]:
    scale = step_arguments.number(thing.distortion_scale, "distortion_scale")
    if not 0 <= scale <= 1:
        raise step_arguments.Unknown(f"distortion_scale is {scale}")
    if not torch._C.has_lapack:
        raise step_arguments.Unknown("this torch has no LAPACK")
    op = ops.make(
        ops.RANDOM_PERSPECTIVE,
        filter=step_arguments.warp_filter(thing, v2),
        threshold=rng.flip_threshold(step_arguments.number(thing.p, "p"), v2),
        number=(scale,),
        table=step_arguments.fill(thing, v2),
    )
    return (op,)


def _read_color_jitter(thing: Any) -> tuple[Any, ...]:
    number: list[float] = []
    parts = 0
    for i, what in enumerate(step_arguments.JITTERS):
        value = getattr(thing, what)
        number += (0.0, 0.0) if value is None else step_arguments.jitter(value, what)
        parts |= 0 if value is None else 1 << i
    return (ops.make(ops.COLOR_JITTER, number=tuple(number), count=parts),)


def _read_random_distort(thing: Any) -> tuple[Any, ...]:
    number = [
        value
        for what in step_arguments.JITTERS
        for value in step_arguments.jitter(getattr(thing, what), what)
    ]
    threshold = rng.flip_threshold(
        step_arguments.number(thing.p, "p"), v2=False
    )  # it acts where rand < p
    return (ops.make(ops.RANDOM_DISTORT, threshold=threshold, number=tuple(number)),)


def _read_random_channels(_: Any) -> tuple[Any, ...]:
    return (ops.make(ops.RANDOM_CHANNELS),)


def _read_grayscale(thing: Any) -> tuple[Any, ...]:
    channels = thing.num_output_channels
    if type(channels) is not int or channels not in (1, 3):
        raise step_arguments.Unknown(f"num_output_channels is {channels!r}")
    return (ops.make(ops.GRAYSCALE, count=channels),)


def _read_rgb(_: Any) -> tuple[Any, ...]:
    return (ops.make(ops.RGB),)


def _read_gaussian_blur(thing: Any, v2: bool) -> tuple[Any, ...]:
    size = thing.kernel_size
    if type(size) not in (list, tuple) or len(size) != 2:
        raise step_arguments.Unknown(f"kernel_size is {size!r}")
    width, height = (step_arguments.side(side, "kernel_size") for side in size)
    if width % 2 == 0 or height % 2 == 0 or not blurring.is_kept(width, height):
        raise step_arguments.Unknown(f"kernel_size is {size!r}, not odd numbers of at most 47")
    sigma = step_arguments.pair(thing.sigma, "sigma")
    if not 1e-6 <= sigma[0] <= sigma[1] <= 1e6:
        raise step_arguments.Unknown(f"sigma is {sigma[0]}, {sigma[1]}")
    refusal = blurring.refusal(width, height, v2)
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    return (blurring.op(sigma, width, height, v2),)


def _read_bits(thing: Any) -> float:
    if type(thing.bits) is not int:
        raise step_arguments.Unknown(f"bits is {thing.bits!r}")
    return step_arguments.amount(thing, "bits", 1, 8)


def _random_colours(v2: bool) -> Sequence[Kind]:
    """Steps that take a change of colours or leave it."""

    def kind(name: str, colour: int, amount: Callable[[Any], float] = lambda _: 0.0) -> Kind:
        def read(thing: Any) -> tuple[Any, ...]:
            p = step_arguments.number(thing.p, "p")
            by_tensor = v2 or colour == ops.GREY
            threshold = rng.flip_threshold(p, v2) if by_tensor else rng.item_threshold(p)
            number = (amount(thing),)
            return (ops.make(ops.RANDOM_COLOUR, threshold=threshold, number=number, count=colour),)

        return Kind(name, "colour", read)

    return (
        kind("RandomGrayscale", ops.GREY),
        kind("RandomInvert", ops.INVERT),
        kind("RandomPosterize", ops.POSTERIZE, _read_bits),
        kind(
            "RandomSolarize",
            ops.SOLARIZE,
            lambda thing: step_arguments.amount(thing, "threshold", -1e6, 1e6),
        ),
        kind(
            "RandomAdjustSharpness",
            ops.SHARPNESS,
            lambda thing: step_arguments.amount(thing, "sharpness_factor", 0, 1e6),
        ),
        kind("RandomAutocontrast", ops.AUTOCONTRAST),
        kind("RandomEqualize", ops.EQUALIZE),
    )


def _augment_op(
    thing: Any, kind: int, v2: bool, make: Callable[[Any, bool], Any], **more: Any
) -> ops.Op:
    fill = step_arguments.fill(thing, v2)
    colour = (fill * 3)[:3]
    draws = float(more.pop("draws_magnitude", False))
    number = (float(v2), draws, *colour, float(len(fill)))
    try:
        table = make(thing, v2)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise step_arguments.Unknown(f"{error}") from None
    return ops.make(
        kind, filter=step_arguments.warp_filter(thing, v2), number=number, table=table, **more
    )


def _bins(thing: Any) -> None:
    bins = thing.num_magnitude_bins
    if type(bins) is not int or not 2 <= bins < 4096:
        raise step_arguments.Unknown(f"num_magnitude_bins is {bins!r}")


def _read_trivial_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    _bins(thing)
    more = {"count": 1, "draws_magnitude": True}
    return (_augment_op(thing, ops.AUGMENT, v2, augment.trivial_table, **more),)


def _read_rand_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    _bins(thing)
    if type(thing.num_ops) is not int or not 0 <= thing.num_ops <= 16:
        raise step_arguments.Unknown(f"num_ops is {thing.num_ops!r}")
    return (_augment_op(thing, ops.AUGMENT, v2, augment.rand_table, count=thing.num_ops),)


def _read_auto_augment(thing: Any, v2: bool) -> tuple[Any, ...]:
    return (_augment_op(thing, ops.AUTO_AUGMENT, v2, augment.policy_table),)


def _read_augmix(thing: Any, v2: bool) -> tuple[Any, ...]:
    try:
        return (
            augmix.op(
                thing,
                step_arguments.filter_of_tensor(thing, v2),
                step_arguments.fill_of_tensor(thing, v2),
                v2,
            ),
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise step_arguments.Unknown(f"{error}") from None


def _augments(v2: bool) -> Sequence[Kind]:
    return (
        Kind("TrivialAugmentWide", "colour", lambda thing: _read_trivial_augment(thing, v2)),
        Kind("RandAugment", "colour", lambda thing: _read_rand_augment(thing, v2)),
        Kind("AutoAugment", "colour", lambda thing: _read_auto_augment(thing, v2)),
        Kind("AugMix", "colour", lambda thing: _read_augmix(thing, v2)),
    )


def _read_lambda(thing: Any) -> tuple[Any, ...]:
    if not is_exif_transpose(thing.lambd):
        raise step_arguments.Unknown(f"it calls {describe(thing.lambd)}")
    if getattr(thing, "types", (object,)) != (object,):
        raise step_arguments.Unknown(f"types are {thing.types!r}")
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
        Kind("RandomHorizontalFlip", "flip", lambda thing: _read_flip(thing, ops.HFLIP, v2)),
        Kind("RandomVerticalFlip", "flip", lambda thing: _read_flip(thing, ops.VFLIP, v2)),
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
