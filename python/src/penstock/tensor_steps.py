# SPDX-License-Identifier: Apache-2.0
"""Steps on an image that is a tensor already: torchvision has other functions for those than for
images of PIL.

Crops and borders move values, whatever they are; what lies outside of an image is 0 in the tensor,
which is black until something has changed what 0 stands for. A resize of uint8 by v2 is torch's
interpolate(), whose coefficients are not Pillow's. Colours of uint8 are computed in float32, by v1
and v2 in different orders. What the installed torch and torchvision give is compared with the
engine's once per process.
"""

import random
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from penstock import _core, augment, augmix, ops, step_arguments, steps
from penstock.refusal import refuse

# uint8, as the image had them; numbers of which 0 is black; others.
Values = Literal["pixels", "scaled", "other"]

# PST_FILTER_OF_TENSOR, enum pst_filter
_OF_TENSOR = 8
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_MOVES = ("CenterCrop", "RandomCrop", "Pad")
_RESIZES = ("Resize", "RandomResizedCrop")
_COLOURS = (
    "ColorJitter",
    "Grayscale",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
)
_AUGMENTS = {
    "TrivialAugmentWide": augment.trivial_table,
    "RandAugment": augment.rand_table,
    "AutoAugment": augment.policy_table,
}
_COLOUR_OF_TENSOR, _COLOUR_V2 = 32, 64  # enum pst_colour


def is_v2(thing: Any) -> bool:
    """Whether it is one of torchvision's v2."""
    return type(thing).__module__.startswith("torchvision.transforms.v2.")


def is_known(thing: Any, kind: steps.Kind) -> bool:
    """Whether read() may know the step. v1's Resize computes in float32."""
    return kind.name in (*_MOVES, *_COLOURS, *_AUGMENTS, "AugMix", "GaussianBlur") or (
        is_v2(thing) and kind.name in _RESIZES
    )


def values_after(kind: steps.Kind, read: tuple[Any, ...], values: Values | None) -> Values:
    """What the image's values are after a step that makes numbers of it, or changes them."""
    if kind.group == "convert":
        return values or ("scaled" if kind.name == "ToTensor" else "pixels")
    if kind.name not in ("ToDtype", "ConvertImageDtype") or values is None or values == "other":
        return "other"
    return "pixels" if values == "pixels" and read[0] is torch.uint8 else "scaled"


def read(thing: Any, kind: steps.Kind, values: Values) -> tuple[Any, ...]:
    """What kind.read() gives, for a tensor of such values. Raises Unknown."""
    op = kind.read(thing)
    if kind.name in _RESIZES:
        return (_resized(thing, op[0], values),)
    if kind.name in _MOVES:
        _check_outside(thing, kind, values)
        return (op[0] if kind.name == "CenterCrop" else ops.with_count(op[0], 1),)
    if values != "pixels":
        raise step_arguments.Unknown("it works on a tensor here that is not of uint8")
    if kind.name in _AUGMENTS:
        return (_augmented(thing, kind, op[0]),)
    return (_coloured(thing, kind, op[0]),) if kind.name in _COLOURS else op


def _check_outside(thing: Any, kind: steps.Kind, values: Values) -> None:
    """What lies outside of the image has the value that it has in an image of PIL."""
    if kind.name == "RandomCrop" and thing.padding is None and not thing.pad_if_needed:
        return
    if getattr(thing, "padding_mode", "constant") != "constant":
        return  # pixels of the image
    if values == "other":
        raise step_arguments.Unknown("it puts 0 around a tensor, in which 0 is not black here")
    fill = getattr(thing, "fill", 0)
    if type(fill) not in (int, type(None)):
        raise step_arguments.Unknown(f"fill is {fill!r}, not an int, around a tensor")
    if fill and values != "pixels":
        raise step_arguments.Unknown(f"fill is {fill!r}, around a tensor that is not of uint8")


def _resized(thing: Any, op: ops.Op, values: Values) -> ops.Op:
    if values != "pixels":
        raise step_arguments.Unknown("it works on a tensor here that is not of uint8")
    if thing.antialias is not True:
        raise step_arguments.Unknown(f"antialias is {thing.antialias!r}, of a tensor")
    filter = op[1]
    if filter not in _FILTERS:
        raise step_arguments.Unknown(f"interpolation is {thing.interpolation!r}, of a tensor")
    refusal = resize_refusal(filter)
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    return ops.with_filter(op, filter | _OF_TENSOR)


def _coloured(thing: Any, kind: steps.Kind, op: ops.Op) -> ops.Op:
    v2 = is_v2(thing)
    if kind.name == "Grayscale" and thing.num_output_channels != 3:
        raise step_arguments.Unknown("it makes a tensor of one channel")
    if kind.name == "RandomSolarize" and not 0 <= thing.threshold <= 255:
        raise step_arguments.Unknown(f"threshold is {thing.threshold}, of a tensor")
    refusal = colour_refusal(v2)
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    return ops.with_count(op, op[-2] | _flags(v2))


def _augmented(thing: Any, kind: steps.Kind, op: ops.Op) -> ops.Op:
    v2 = is_v2(thing)
    filter, fill = (
        step_arguments.filter_of_tensor(thing, v2),
        step_arguments.fill_of_tensor(thing, v2),
    )
    if filter not in (0, 2):
        raise step_arguments.Unknown(f"interpolation is {thing.interpolation!r}, of a tensor")
    refusal = augmix.refusal(v2, filter, len(fill)) or colour_refusal(v2)
    if refusal is not None:
        raise step_arguments.Unknown(refusal)
    colour = (*fill, *fill, *fill)[:3] or (0.0, 0.0, 0.0)
    number = (*op[12][:2], *colour, float(len(fill)), 1.0)
    table = _AUGMENTS[kind.name](thing, v2, of_tensor=True)
    return ops.with_number(ops.with_table(op, table), number)


def _flags(v2: bool) -> int:
    return _COLOUR_OF_TENSOR | (_COLOUR_V2 if v2 else 0)


def _is_augment(op: ops.Op) -> bool:
    return op[0] in (ops.AUGMENT, ops.AUTO_AUGMENT) and len(op[12]) > 6


def is_of_tensor(op: ops.Op) -> bool:
    """Whether it is computed in float32. That is not proven of grey images."""
    kinds = (ops.COLOR_JITTER, ops.GRAYSCALE, ops.RANDOM_COLOUR)
    return _is_augment(op) or (op[0] in kinds and op[-2] & _COLOUR_OF_TENSOR != 0)


def check_threads(given: Sequence[ops.Op]) -> None:
    """In v2's contrast torch rounds the last values of each of its threads in another way. Raises
    Refusal."""
    fused = _COLOUR_V2 | 1 << (ops.CONTRAST - 1)
    has_contrast = any(
        (op[0] == ops.COLOR_JITTER and op[-2] & fused == fused)
        or (_is_augment(op) and op[12][0] == 1)
        for op in given
    )
    if has_contrast and torch.get_num_threads() > 1:
        refuse(
            "transform",
            "without workers the contrast of v2 on tensors depends on torch's number of threads"
            f" ({torch.get_num_threads()})",
        )


# --- proof

# height and width, before and after: smaller and larger, one axis alone, many taps
_SIZES = (
    ((61, 47), (23, 19)),
    ((9, 14), (40, 33)),
    ((31, 30), (31, 17)),
    ((200, 3), (7, 3)),
    ((5, 400), (11, 9)),
)


def _check_images(filter: int) -> None:
    functional = sys.modules["torchvision.transforms.v2.functional"]
    plain = (0.0, 0.0, 0.0)
    generator = torch.Generator(device="cpu")
    generator.manual_seed(filter)
    for (h, w), (new_h, new_w) in _SIZES:
        image = torch.randint(0, 256, (h, w, 3), generator=generator, dtype=torch.uint8)
        image[::2] = image[::2] // 128 * 255
        op = ops.make(ops.RESIZE, filter=filter | _OF_TENSOR, h=new_h, w=new_w)
        engine = _core.Transform(
            [op], dtype="u8", lut=None, mean=plain, std=plain, era=0, channels=3, layout=1
        )
        got = bytes(memoryview(engine.apply(bytes(image.flatten().tolist()), w, h, bytes(4))[0]))
        mode = functional.InterpolationMode(_FILTERS[filter])
        for pixels in (image.permute(2, 0, 1), image.permute(2, 0, 1).contiguous()):
            theirs = functional.resize(pixels, [new_h, new_w], mode, antialias=True)
            if got != bytes(theirs.permute(1, 2, 0).flatten().tolist()):
                raise ValueError(f"{h} x {w} pixels to {new_h} x {new_w}")


# colours by enum pst_colour, with amounts
_AMOUNTS: Sequence[tuple[int, Sequence[float]]] = (
    (ops.BRIGHTNESS, (0.0, 0.3, 1.0, 1.75)),
    (ops.CONTRAST, (0.0, 0.35, 0.9, 1.6)),
    (ops.SATURATION, (0.0, 0.35, 0.9, 1.6)),
    (ops.HUE, (-0.5, -0.13, 0.0, 0.21, 0.5)),
    (ops.SHARPNESS, (0.0, 0.4, 1.0, 2.5)),
    (ops.POSTERIZE, (1.0, 4.0, 8.0)),
    (ops.SOLARIZE, (0.0, 128.0, 127.3, 255.0)),
    (ops.INVERT, (0.0,)),
    (ops.AUTOCONTRAST, (0.0,)),
    (ops.EQUALIZE, (0.0,)),
    (ops.GREY, (0.0,)),
)
# of multiples of 16 pixels
_COLOURED = ((16, 9), (33, 48), (2, 8), (80, 70))


def _theirs(v2: bool, colour: int, pixels: torch.Tensor, amount: float) -> torch.Tensor:
    home = "torchvision.transforms.v2.functional" if v2 else "torchvision.transforms.functional"
    functional = sys.modules[home]
    name = {
        ops.BRIGHTNESS: "adjust_brightness",
        ops.CONTRAST: "adjust_contrast",
        ops.SATURATION: "adjust_saturation",
        ops.HUE: "adjust_hue",
        ops.SHARPNESS: "adjust_sharpness",
        ops.POSTERIZE: "posterize",
        ops.SOLARIZE: "solarize",
        ops.INVERT: "invert",
        ops.AUTOCONTRAST: "autocontrast",
        ops.EQUALIZE: "equalize",
        ops.GREY: "rgb_to_grayscale",
    }[colour]
    if colour == ops.GREY:
        arguments: tuple[float, ...] = (3,)
    elif colour == ops.POSTERIZE:
        arguments = (int(amount),)
    else:
        arguments = () if colour in (ops.INVERT, ops.AUTOCONTRAST, ops.EQUALIZE) else (amount,)
    made: torch.Tensor = getattr(functional, name)(pixels, *arguments)
    return made


def _check_colours(v2: bool) -> None:
    plain = (0.0, 0.0, 0.0)
    numbers = random.Random(int(v2))
    for colour, amounts in _AMOUNTS:
        for amount in amounts:
            h, w = numbers.choice(_COLOURED)
            exact = torch.tensor(amount, dtype=torch.float32, device="cpu").item()
            generator = torch.Generator(device="cpu").manual_seed(colour)
            image = torch.randint(0, 256, (h, w, 3), generator=generator, dtype=torch.uint8)
            image[::3] = image[::3] // 4 + 100
            op = ops.always_coloured(colour | _flags(v2), exact)
            engine = _core.Transform(
                [op], dtype="u8", lut=None, mean=plain, std=plain, era=0, channels=3, layout=1
            )
            flat = bytes(image.flatten().tolist())
            got = bytes(memoryview(engine.apply(flat, w, h, bytes(4))[0]))
            for pixels in (image.permute(2, 0, 1), image.permute(2, 0, 1).contiguous()):
                theirs = _theirs(v2, colour, pixels, exact)
                if got != bytes(theirs.permute(1, 2, 0).flatten().tolist()):
                    raise ValueError(f"colour {colour} by {exact}")


@lru_cache(maxsize=2)
def colour_refusal(v2: bool) -> str | None:
    """Why the colours of tensors of the installed torch and torchvision are not the engine's, or
    None."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX2", "AVX512"):
        return f"torch computes colours by instructions that are not known ({capability})"
    try:
        with torch.no_grad():
            _check_colours(v2)
    except Exception as error:
        return f"colours of tensors of torch {torch.__version__} are not the known ones: {error}"
    return None


@lru_cache(maxsize=8)
def resize_refusal(filter: int) -> str | None:
    """Why the installed torch and torchvision resize tensors of uint8 in another way than the
    engine, or None."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX2", "AVX512"):
        return f"torch resizes tensors by instructions that are not known ({capability})"
    try:
        with torch.no_grad():
            _check_images(filter)
    except Exception as error:
        return (
            f"torch {torch.__version__} does not resize tensors ({_FILTERS[filter]}) on this "
            f"machine as it is known to: {error}"
        )
    return None
