# SPDX-License-Identifier: Apache-2.0
"""Steps on an image that is a tensor already: torchvision has other functions for those than for
images of PIL.

Crops and borders move values, whatever they are; what lies outside of an image is 0 in the tensor,
which is black until something has changed what 0 stands for. A resize of uint8 by v2 is torch's
interpolate(), whose coefficients are not Pillow's.
"""

import sys
from functools import lru_cache
from typing import Any, Literal

import torch
from penstock import _core, steps

# uint8, as the image had them; numbers of which 0 is black; others.
Values = Literal["pixels", "scaled", "other"]

# PST_FILTER_OF_TENSOR, enum pst_filter
_OF_TENSOR = 8
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_MOVES = ("CenterCrop", "RandomCrop", "Pad")
_RESIZES = ("Resize", "RandomResizedCrop")


def is_known(thing: Any, kind: steps.Kind) -> bool:
    """Whether read() may know the step. v1's Resize computes in float32."""
    is_v2 = type(thing).__module__.startswith("torchvision.transforms.v2.")
    return kind.name in (*_MOVES, "GaussianBlur") or (is_v2 and kind.name in _RESIZES)


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
        return (op[0] if kind.name == "CenterCrop" else steps.with_count(op[0], 1),)
    if values != "pixels":
        raise steps.Unknown("it works on a tensor here that is not of uint8")
    return op


def _check_outside(thing: Any, kind: steps.Kind, values: Values) -> None:
    """What lies outside of the image has the value that it has in an image of PIL."""
    if kind.name == "RandomCrop" and thing.padding is None and not thing.pad_if_needed:
        return
    if getattr(thing, "padding_mode", "constant") != "constant":
        return  # pixels of the image
    if values == "other":
        raise steps.Unknown("it puts 0 around a tensor, in which 0 is not black here")
    fill = getattr(thing, "fill", 0)
    if type(fill) not in (int, type(None)):
        raise steps.Unknown(f"fill is {fill!r}, not an int, around a tensor")
    if fill and values != "pixels":
        raise steps.Unknown(f"fill is {fill!r}, around a tensor that is not of uint8")


def _resized(thing: Any, op: steps.Op, values: Values) -> steps.Op:
    if values != "pixels":
        raise steps.Unknown("it works on a tensor here that is not of uint8")
    if thing.antialias is not True:
        raise steps.Unknown(f"antialias is {thing.antialias!r}, of a tensor")
    filter = op[1]
    if filter not in _FILTERS:
        raise steps.Unknown(f"interpolation is {thing.interpolation!r}, of a tensor")
    refusal = resize_refusal(filter)
    if refusal is not None:
        raise steps.Unknown(refusal)
    return steps.with_filter(op, filter | _OF_TENSOR)


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
        op = (steps.RESIZE, filter | _OF_TENSOR, new_h, new_w, 0, 0, *[0.0] * 6, (), 0, ())
        engine = _core.Transform(
            [op], dtype="u8", lut=None, mean=plain, std=plain, era=0, channels=3, layout=1
        )
        got = bytes(memoryview(engine.apply(bytes(image.flatten().tolist()), w, h, bytes(4))[0]))
        mode = functional.InterpolationMode(_FILTERS[filter])
        for pixels in (image.permute(2, 0, 1), image.permute(2, 0, 1).contiguous()):
            theirs = functional.resize(pixels, [new_h, new_w], mode, antialias=True)
            if got != bytes(theirs.permute(1, 2, 0).flatten().tolist()):
                raise ValueError(f"{h} x {w} pixels to {new_h} x {new_w}")


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
