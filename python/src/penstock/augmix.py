# SPDX-License-Identifier: Apache-2.0
"""torchvision's AugMix: its table for the engine, and whether the installed torch and torchvision
draw and compute as the engine does.

Its steps are torchvision's functions on tensors: places and weights in float32, whose rounding
depends on what is fused, and so on how torch was compiled and what the CPU has. Both are tried once
per process against the installed ones; where they differ, AugMix is left to the reference.
"""

import struct
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from penstock import _core, ops, rng
from penstock.augment import ACTIONS, Space
from penstock.refusal import refuse

BINS = 10
_MOST_CHAINS, _MOST_STEPS, _RANDOM_DEPTH = 4, 15, 3  # PST_AUGMIX_CHAINS, PST_AUGMIX_STEPS
_MOST_SIDE = 1 << 16
_BINS_UNIT = 4096
_BY_SIZE = 2  # added to a translation by a share of the side
_NEAREST, _BILINEAR = 0, 2  # enum pst_filter


def _space(thing: Any, v2: bool, size: tuple[int, int]) -> Space:
    """size: height and width."""
    if v2:
        known = thing._AUGMENTATION_SPACE if thing.all_ops else thing._PARTIAL_AUGMENTATION_SPACE
        return {name: (make(BINS, *size), signed) for name, (make, signed) in known.items()}
    return {
        name: (magnitudes if magnitudes.ndim > 0 else None, signed)
        for name, (magnitudes, signed) in thing._augmentation_space(BINS, size).items()
    }


def _check_shares(thing: Any, v2: bool) -> None:
    for height, width in ((224, 160), (331, 17), (1, 500)):
        space = _space(thing, v2, (height, width))
        for name, side in (("TranslateX", width), ("TranslateY", height)):
            expected = torch.linspace(0.0, side / 3.0, BINS, device="cpu")
            if name in space and not torch.equal(torch.as_tensor(space[name][0]), expected):
                raise ValueError(f"{name} is not by the known share of a side")


def _magnitudes(name: str, values: torch.Tensor, v2: bool) -> list[float]:
    """What torchvision makes of them before it calls its functions."""
    if name.startswith("Translate"):
        return [n + BINS / _BINS_UNIT for n in range(len(values))]
    if name == "Posterize":
        return [float(int(value)) for value in values.tolist()]
    bound = 255.0 if name == "Solarize" and v2 else 1.0
    return [bound * value for value in values.tolist()]


def _table(space: Space, severity: int, v2: bool) -> tuple[float, ...]:
    table: list[float] = []
    for name, (magnitudes, signed) in space.items():
        if name not in ACTIONS:
            raise ValueError(f"{name} has no native counterpart")
        shift = _BY_SIZE if name.startswith("Translate") else 0
        values = [] if magnitudes is None else _magnitudes(name, magnitudes[:severity], v2)
        table += (ACTIONS[name] + shift, float(signed), float(len(values)), *values)
    return tuple(table)


def _is_kept(width: int, depth: int) -> bool:
    """Whether the engine has room for so many chains and steps."""
    steps = width * (depth if depth > 0 else _RANDOM_DEPTH)
    return 1 <= width <= _MOST_CHAINS and steps <= _MOST_STEPS


def _check_arguments(thing: Any, filter: int) -> None:
    width, depth, severity, alpha = (
        thing.mixture_width,
        thing.chain_depth,
        thing.severity,
        thing.alpha,
    )
    if type(width) is not int or type(depth) is not int or not _is_kept(width, depth):
        raise ValueError(f"{width!r} chains of {depth!r} steps, at most 4 and 15 in all")
    if type(severity) is not int or not 1 <= severity <= BINS or thing._PARAMETER_MAX != BINS:
        raise ValueError(f"severity is {severity!r}")
    # Of integers torch draws no gammas.
    if type(alpha) is not float or not 1e-3 <= alpha <= 1e3:
        raise ValueError(f"alpha is {alpha!r}")
    if filter not in (_NEAREST, _BILINEAR):
        raise ValueError("tensors are interpolated to the nearest, or bilinear")


def _step(thing: Any, filter: int, fill: Sequence[float], v2: bool) -> ops.Op:
    alpha = struct.unpack("<f", struct.pack("<f", thing.alpha))[0]
    colour = (*fill, *fill, *fill)[:3] or (0.0, 0.0, 0.0)
    number = (float(v2), alpha, float(thing.mixture_width), *colour, float(len(fill)))
    table = _table(_space(thing, v2, (7, 9)), thing.severity, v2)
    return ops.make(
        ops.AUGMIX,
        filter=filter,
        number=number,
        count=max(thing.chain_depth, 0),
        table=table,
    )


def op(thing: Any, filter: int, fill: Sequence[float], v2: bool) -> ops.Op:
    """A step of the engine; filter: enum pst_filter. Raises ValueError."""
    _check_arguments(thing, filter)
    _check_shares(thing, v2)
    why = refusal(v2, filter, len(fill)) or _shares_refusal(thing.severity)
    if why is not None:
        raise ValueError(why)
    return _step(thing, filter, fill, v2)


# --- proof


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


@lru_cache(maxsize=BINS)
def _shares_refusal(severity: int) -> str | None:
    """Whether the engine's arithmetic for the first elements of torch.linspace(0, side / 3, 10)
    gives as many whole pixels as the installed torch's, for each side of an image."""
    sides = torch.arange(1, _MOST_SIDE + 1, dtype=torch.float64, device="cpu")
    # Rounding moves a value by at most 2^-22 of itself: only near a whole number can that show.
    elements = torch.arange(1, severity, dtype=torch.float64, device="cpu")
    value = (sides / 3.0)[:, None] * elements / (BINS - 1)
    is_near = ((value - value.round()).abs() <= value * 2.0**-21).any(dim=1)
    ends = [side / 3.0 for side in sides[is_near].tolist()] or [1.0]
    theirs = torch.stack([torch.linspace(0.0, end, BINS, device="cpu")[:severity] for end in ends])
    end = torch.tensor(ends, dtype=torch.float32, device="cpu")[:, None]
    step, n = end / (BINS - 1), torch.arange(severity, device="cpu")
    ours = torch.where(n < BINS // 2, step * n, end - step * (BINS - 1 - n))
    if torch.equal(theirs.trunc(), ours.trunc()):
        return None
    return f"torch.linspace of torch {torch.__version__} is not rounded as known"


def _check_sums() -> None:
    """Gammas are added up one after the other."""
    generator = torch.Generator(device="cpu").manual_seed(3)
    for n in range(2, _MOST_CHAINS + 1):
        rows = torch.rand(200, n, dtype=torch.float64, generator=generator, device="cpu")
        for row in rows * 10.0 ** torch.arange(n, device="cpu"):
            total = 0.0
            for value in row.tolist():
                total += value
            _expect(row[None].sum(-1).item() == total, "the order of gammas")


def _check_places(generator: torch.Generator, width: int, height: int) -> None:
    """The grid of a large image: one fused multiply-add, and a sum."""
    matrix = torch.randn(3, 2, generator=generator, device="cpu")
    grid = torch.ones(1, height * width, 3, device="cpu")
    x = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, width, device="cpu")
    y = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, height, device="cpu")
    grid[0, :, 0], grid[0, :, 1] = x.repeat(height), y.repeat_interleave(width)
    _expect(torch.equal(x, torch.arange(width, device="cpu") - (width - 1) * 0.5), "linspace")
    got = grid.bmm(matrix[None])[0]
    across = grid[0, :, :1] * matrix[0]
    # The product is exact in float64, and of the sum hardly ever so much is lost that it shows.
    fused = (across.double() + grid[0, :, 1:2].double() * matrix[1].double()).float()
    _expect(torch.equal(got, fused + matrix[2]), "the order of a matrix product")


_SIZES = (
    (16, 20),
    (33, 47),
    (8, 8),
    (64, 60),
    (5, 3),
    (7, 96),
    (31, 2),
    (96, 100),
    (12, 4),
    (6, 11),
    (67, 1),
)


def _made(seed: int, v2: bool, filter: int, n_fill: int) -> tuple[Any, tuple[float, ...]]:
    """An object of the installed torchvision, and its colour."""
    home = sys.modules["torchvision.transforms.v2" if v2 else "torchvision.transforms"]
    mode = sys.modules["torchvision.transforms.functional"].InterpolationMode
    fill = (127.0, 30.5, 255.0)[:n_fill]
    thing = home.AugMix(
        severity=BINS,
        mixture_width=1 + seed % _MOST_CHAINS,
        chain_depth=(-1, 1, 2, 3)[seed % 5 % 4],
        alpha=(1.0, 0.3, 2.5)[seed % 3],
        interpolation=mode.NEAREST if filter == _NEAREST else mode.BILINEAR,
        fill=None if n_fill == 0 else list(fill),
    )
    return thing, fill


def _image(generator: torch.Generator, seed: int, width: int, height: int) -> bytes:
    """Noise, a slope with little noise, or one colour."""
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator)
    if seed % 3 == 1:
        slope = torch.arange(height)[:, None, None] + 2 * torch.arange(width)[None, :, None]
        pixels = (slope + pixels // 16 + 30).clamp(0, 250)
    if seed % 7 == 6:
        pixels = pixels[:1, :1].expand(height, width, 3)
    return bytes(pixels.flatten().tolist())


def _check_image(generator: torch.Generator, seed: int, v2: bool, filter: int, n_fill: int) -> None:
    thing, fill = _made(seed, v2, filter, n_fill)
    pil = sys.modules["PIL.Image"]
    plain = (0.0, 0.0, 0.0)
    width, height = _SIZES[seed % len(_SIZES)]
    rgb = _image(generator, seed, width, height)
    engine = _core.Transform(
        [_step(thing, filter, fill, v2)],
        dtype="u8",
        lut=None,
        mean=plain,
        std=plain,
        era=0,
        channels=3,
        layout=1,
    )
    words = rng.words_of(seed + (1 << 33), rng.WORDS)[: 4 * engine.max_words]
    with rng.WordsAhead(words) as ahead:
        theirs, taken = thing(pil.frombytes("RGB", (width, height), rgb)).tobytes(), ahead.taken()
    try:
        got, used = engine.apply(rgb, width, height, words)
    except _core.LimitError:  # the contrast of some sizes is the reference's
        return
    _expect(used == taken, "what is drawn")
    _expect(bytes(memoryview(got)) == theirs, "pixels")


@lru_cache(maxsize=16)
def refusal(v2: bool, filter: int, n_fill: int) -> str | None:
    """Why AugMix of the installed torch and torchvision is not the engine's, or None. Not under a
    torch function mode."""
    try:
        generator = torch.Generator(device="cpu").manual_seed(7)
        with torch.no_grad():
            _check_sums()
            for width, height in ((224, 224), (12, 7), (500, 333), (1001, 640)):
                _check_places(generator, width, height)
            for seed in range(72):
                _check_image(generator, seed, v2, filter, n_fill)
    except Exception as error:
        return f"AugMix of torch {torch.__version__} on this machine is not the known one: {error}"
    return None


# --- the process


def check_threads(given: Sequence[ops.Op]) -> None:
    """In the main process torch has many threads, and which pixels v2's contrast rounds in another
    way depends on how many. Raises Refusal."""
    for one in given:
        has_contrast = one[0] == ops.AUGMIX and one[12][0] == 1.0 and _has_contrast(one[-1])
        if has_contrast and torch.get_num_threads() > 1:
            refuse(
                "transform",
                "AugMix: without workers the contrast of v2 depends on torch's number of threads"
                f" ({torch.get_num_threads()})",
            )


def _has_contrast(table: Sequence[float]) -> bool:
    at = 0
    while at < len(table):
        if table[at] == ACTIONS["Contrast"]:
            return True
        at += 3 + int(table[at + 2])
    return False
