# SPDX-License-Identifier: Apache-2.0
"""Steps as the engine has them: struct pst_op as a tuple."""

from typing import Any

from penstock import rng

# enum pst_op_kind
RESIZE_SHORT, RESIZE, CENTER_CROP, RANDOM_RESIZED_CROP, HFLIP, VFLIP = 1, 2, 3, 4, 5, 6
RANDOM_APPLY, RANDOM_CHOICE, RANDOM_ORDER, PYTHON_CHOICE, PYTHON_ORDER = 7, 8, 9, 10, 11
_IN_PARTS = (RANDOM_CHOICE, RANDOM_ORDER, PYTHON_CHOICE, PYTHON_ORDER)
PAD, RANDOM_CROP, RANDOM_ERASING, RANDOM_ROTATION, RANDOM_AFFINE = 30, 31, 32, 33, 34
RANDOM_PERSPECTIVE, EXIF_TRANSPOSE, CORNER_CROPS = 35, 36, 37
COLOR_JITTER, GRAYSCALE, RANDOM_COLOUR, AUGMENT, AUTO_AUGMENT = 50, 51, 52, 53, 54
RANDOM_DISTORT, RANDOM_CHANNELS, RGB = 55, 56, 60
GAUSSIAN_BLUR, AUGMIX, GAUSSIAN_NOISE = 70, 71, 80

# enum pst_colour
BRIGHTNESS, CONTRAST, SATURATION, HUE, SHARPNESS, POSTERIZE, SOLARIZE = range(1, 8)
INVERT, AUTOCONTRAST, EQUALIZE, GREY = range(8, 12)

# Fields of struct pst_op in the order of make().
Op = tuple[Any, ...]


def make(
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
    """What is not given is 0, or nothing."""
    head = (kind, filter, h, w, max_size, threshold)
    return (*head, *scale, *ratio, *log_ratio, number, count, table)


def exif_transpose(*, is_pillows: bool = False) -> Op:
    """is_pillows: by the user's own call, which has exceptions of its own."""
    return make(EXIF_TRANSPOSE, count=is_pillows)


def always_coloured(colour: int, amount: float) -> Op:
    """A change of colours by this amount."""
    return make(
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
        return make(HFLIP)  # never
    return with_count(op, 0) if op[0] == RANDOM_ERASING else op


def draws_python(op: Op) -> bool:
    """Whether the op draws from Python's random."""
    return op[0] in (PYTHON_CHOICE, PYTHON_ORDER)
