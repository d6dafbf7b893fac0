# SPDX-License-Identifier: Apache-2.0
"""Random pipelines of torchvision's transforms, v1 and v2."""

import random
from typing import Any

import torch
from PIL import ImageOps
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from twins import kit

FILTERS = [
    InterpolationMode.NEAREST,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
    InterpolationMode.BOX,
    InterpolationMode.HAMMING,
    InterpolationMode.LANCZOS,
]


def _range(rng: random.Random, low: float, middle: float, high: float) -> tuple[float, float]:
    if rng.random() < 0.1:
        value = rng.uniform(low, high)
        return value, value
    return rng.uniform(low, middle), rng.uniform(middle, high)


def _crop(rng: random.Random, family: Any) -> Any:
    """RandomResizedCrop."""
    size = rng.randint(1, 160) if rng.random() < 0.5 else (rng.randint(1, 160), rng.randint(1, 160))
    options: dict[str, Any] = {}
    if rng.random() < 0.6:
        options["scale"] = _range(rng, 0.01, rng.uniform(0.05, 1.0), 1.4)
    if rng.random() < 0.6:
        options["ratio"] = _range(rng, 0.1, 1.0, 6.0)
    if rng.random() < 0.7:
        options["interpolation"] = rng.choice(FILTERS)
    return family.RandomResizedCrop(size, **options)


def _resize(rng: random.Random, family: Any) -> Any:
    options: dict[str, Any] = {}
    kind = rng.random()
    if kind < 0.4:
        size: Any = (rng.randint(1, 160), rng.randint(1, 160))
    else:
        # The long side of a strip becomes up to 400 times this.
        size = rng.randint(1, 64)
        if kind < 0.7:
            options["max_size"] = size + rng.randint(1, 100)
        size = [size] if rng.random() < 0.3 else size
    if rng.random() < 0.8:
        options["interpolation"] = rng.choice(FILTERS)
    return family.Resize(size, **options)


def _center(rng: random.Random, family: Any) -> Any:
    size = rng.randint(1, 200) if rng.random() < 0.5 else (rng.randint(1, 200), rng.randint(1, 200))
    return family.CenterCrop(size)


MODES = ["constant", "edge", "reflect", "symmetric"]
SMOOTH = FILTERS[:3]


def _fill(rng: random.Random) -> Any:
    one = rng.randint(0, 255)
    return rng.choice(
        [0, one, one + 0.5 if one < 255 else 255.0, tuple(rng.choices(range(256), k=3))]
    )


def _padding(rng: random.Random) -> Any:
    sides = [rng.randint(0, 20) for _ in range(4)]
    return rng.choice([sides[0], sides[:1], sides[:2], tuple(sides)])


def _place(rng: random.Random, family: Any) -> Any:
    """RandomCrop."""
    size = rng.randint(1, 120) if rng.random() < 0.5 else (rng.randint(1, 120), rng.randint(1, 120))
    padding = _padding(rng) if rng.random() < 0.5 else None
    mode = rng.choice(MODES) if rng.random() < 0.5 else "constant"
    return family.RandomCrop(size, padding, rng.random() < 0.8, _fill(rng), mode)


def _pad(rng: random.Random, family: Any) -> Any:
    return family.Pad(_padding(rng), _fill(rng), rng.choice(MODES))


def _angles(rng: random.Random) -> Any:
    return rng.choice(
        [rng.uniform(0, 30), rng.uniform(0, 180), (90, 90), _range(rng, -180, 0, 180)]
    )


def _center_of(rng: random.Random) -> Any:
    return (rng.uniform(-5, 100), rng.randint(0, 60)) if rng.random() < 0.15 else None


def _rotation(rng: random.Random, family: Any) -> Any:
    expand = rng.random() < 0.3
    return family.RandomRotation(
        _angles(rng), rng.choice(SMOOTH), expand, _center_of(rng), _fill(rng)
    )


def _affine(rng: random.Random, family: Any) -> Any:
    return family.RandomAffine(
        _angles(rng) if rng.random() < 0.7 else 0,
        (rng.random(), rng.random()) if rng.random() < 0.5 else None,
        _range(rng, 0.2, 1.0, 3.0) if rng.random() < 0.5 else None,
        rng.choice([None, rng.uniform(0, 40), [-10, 20], [-10, 10, -30, 5]]),
        rng.choice(SMOOTH),
        _fill(rng),
        _center_of(rng),
    )


def _perspective(rng: random.Random, family: Any) -> Any:
    return family.RandomPerspective(rng.random(), rng.random(), rng.choice(SMOOTH), _fill(rng))


def _erasing(rng: random.Random, family: Any) -> Any:
    return family.RandomErasing(
        rng.random(),
        _range(rng, 0.0, 0.3, 1.0),
        _range(rng, 0.1, 1.0, 5.0),
        rng.choice([0, rng.uniform(-2, 2), (1, 0.5, 0), "random", "random"]),
        rng.random() < 0.3,
    )


def _flip(rng: random.Random, family: Any) -> Any:
    cls = rng.choice([family.RandomHorizontalFlip, family.RandomVerticalFlip])
    return cls(rng.choice([0.0, 1.0, 0.5, rng.random(), rng.random()]))


def _normalize(rng: random.Random, family: Any, channels: int) -> Any:
    n = 1 if rng.random() < 0.15 else channels
    if rng.random() < 0.3 and channels == 3:
        mean, std = list(kit.MEAN), list(kit.STD)
    else:
        mean = [rng.uniform(-1, 1) for _ in range(n)]
        std = [rng.uniform(0.01, 2) for _ in range(n)]
    return family.Normalize(mean, std, inplace=rng.random() < 0.3)


def _numbers(rng: random.Random, family: Any, channels: int) -> list[Any]:
    """From the image to the batch's dtype. Half and double floats are torch's."""
    steps: list[Any]
    if family is v2 and rng.random() < 0.8:
        steps = [v2.ToImage()]
        kind = rng.random()
        if kind < 0.15:
            return [*steps, v2.ToDtype(torch.uint8, scale=True)] if rng.random() < 0.5 else steps
        if kind < 0.2:
            return [*steps, v2.ToDtype(rng.choice([torch.float16, torch.float64]), scale=True)]
        steps.append(v2.ToDtype(torch.float32, scale=rng.random() < 0.8))
    elif rng.random() < 0.3:
        steps = [family.PILToTensor()]
        if rng.random() < 0.3:
            return steps
        steps.append(family.ConvertImageDtype(torch.float32))
    else:
        steps = [family.ToTensor()]
    if rng.random() < 0.75:
        steps.append(_normalize(rng, family, channels))
    return steps


def _noise(rng: random.Random) -> list[Any]:
    """What a Normalize, or the like, may follow."""
    noise = v2.GaussianNoise(rng.uniform(-0.2, 0.2), rng.uniform(0, 0.5), rng.random() < 0.7)
    kind = rng.random()
    if kind < 0.2:
        return [v2.RandomApply([noise], p=rng.random())]
    return [noise, noise] if kind > 0.95 else [noise]


def _nested(rng: random.Random, steps: list[Any], family: Any) -> Any:
    if len(steps) > 2 and rng.random() < 0.2:
        cut = rng.randint(1, len(steps) - 1)
        tail = steps[cut:]
        whole = all(isinstance(step, nn.Module) for step in tail)
        make = nn.Sequential if whole and rng.random() < 0.5 else lambda *s: family.Compose(list(s))
        steps = [*steps[:cut], make(*tail)]
    return family.Compose(steps)


_NOTHINGS = (v2.Identity, v2.RGB, v2.ToPILImage, v2.ToPureTensor)


def _channels(rng: random.Random) -> Any:
    step = v2.RandomChannelPermutation()
    return v2.RandomApply([step]) if rng.random() < 0.3 else step


def _blur(rng: random.Random, family: Any) -> Any:
    sides = [rng.choice([1, 3, 3, 5, 7, 9, 11]) for _ in range(2)]
    size = rng.choice([3, 3, 5, sides[0], sides, 23 if rng.random() < 0.3 else 3])
    return family.GaussianBlur(size, rng.choice([(0.1, 2.0), rng.uniform(0.05, 3), (0.5, 5)]))


def _colour(rng: random.Random, family: Any) -> Any:
    p = rng.choice([0.0, 1.0, 0.5, rng.random(), rng.random()])
    if family is v2 and rng.random() < 0.15:
        return v2.RandomPhotometricDistort(p=p) if rng.random() < 0.7 else _channels(rng)
    kind = rng.randrange(12)
    if kind < 3:
        parts = [rng.choice([0.0, 0.4, _range(rng, 0.0, 1.0, 2.5)]) for _ in range(3)]
        return family.ColorJitter(*parts, hue=rng.choice([0.0, 0.1, _range(rng, -0.5, 0.0, 0.5)]))
    return [
        lambda: family.RandomGrayscale(p),
        lambda: family.RandomInvert(p),
        lambda: family.RandomPosterize(rng.randint(1, 8), p),
        lambda: family.RandomSolarize(rng.uniform(0, 260), p),
        lambda: family.RandomAdjustSharpness(rng.uniform(0, 3), p),
        lambda: family.RandomAutocontrast(p),
        lambda: family.RandomEqualize(p),
        lambda: rng.choice(_NOTHINGS)() if rng.random() < 0.4 else family.Grayscale(3),
        lambda: _blur(rng, family),
    ][kind - 3]()


def _augmix(rng: random.Random, family: Any, options: dict[str, Any]) -> Any:
    return family.AugMix(
        severity=rng.choice([3, 3, rng.randint(1, 10)]),
        mixture_width=rng.choice([3, 3, rng.randint(1, 4)]),
        chain_depth=rng.choice([-1, -1, rng.randint(1, 3)]),
        alpha=rng.choice([1.0, rng.uniform(0.05, 3)]),
        all_ops=rng.random() < 0.6,
        **options,
    )


def _augment(rng: random.Random, family: Any) -> Any:
    options: dict[str, Any] = {
        "interpolation": rng.choice([InterpolationMode.NEAREST, InterpolationMode.BILINEAR]),
        "fill": rng.choice([None, 0, 200]),
    }
    kind = rng.randrange(4)
    if kind == 3:
        return _augmix(rng, family, options)
    if kind == 0:
        return family.TrivialAugmentWide(**options)
    if kind == 1:
        return family.RandAugment(rng.randint(0, 4), rng.randint(0, 30), **options)
    return family.AutoAugment(rng.choice(list(transforms.AutoAugmentPolicy)), **options)


CONVERSIONS = ("ToTensor", "PILToTensor", "ToImage")


def _tensor_resize(rng: random.Random) -> Any:
    h, w = rng.randint(1, 160), rng.randint(1, 160)
    mode = rng.choice([*SMOOTH[1:], InterpolationMode.LANCZOS])
    if rng.random() < 0.5:
        return v2.RandomResizedCrop((h, w), _range(rng, 0.01, 0.5, 1.4), interpolation=mode)
    return v2.Resize(rng.choice([(h, w), h % 64 + 1]), mode)


def _tensor_colour(rng: random.Random, family: Any) -> Any:
    p = rng.choice([1.0, 0.5])
    if rng.random() < 0.25:
        return _augment(rng, family)
    return rng.choice(
        [
            family.ColorJitter(0.4, rng.choice([0.0, 0.4]), 0.4, hue=rng.choice([0.0, 0.1, 0.5])),
            family.Grayscale(3),
            family.RandomGrayscale(p),
            family.RandomInvert(p),
            family.RandomPosterize(rng.randint(1, 8), p),
            family.RandomSolarize(rng.uniform(0, 255), p),
            family.RandomAdjustSharpness(rng.uniform(0, 3), p),
            family.RandomAutocontrast(p),
            family.RandomEqualize(p),
            family.GaussianBlur(3),
        ]
    )


def _of_tensors(rng: random.Random, channels: int) -> list[Any]:
    """A tensor first, then geometry."""
    family = rng.choice([transforms, v2])
    first, *numbers = _numbers(rng, family, channels)
    is_uint8 = not isinstance(first, transforms.ToTensor | v2.ToTensor)
    steps: list[Any] = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        fill = rng.choice([0, rng.randint(0, 255)]) if is_uint8 else 0
        padding, mode = _padding(rng), rng.choice(MODES)
        size = rng.randint(1, 120), rng.randint(1, 120)
        parts = [
            _flip(rng, family),
            _center(rng, family),
            family.Pad(padding, fill, mode),
            family.RandomCrop(size, rng.choice([None, padding]), True, fill, mode),
        ]
        if is_uint8 and rng.random() < 0.4:
            steps.append(_tensor_resize(rng))
        elif is_uint8 and channels == 3 and rng.random() < 0.6:
            steps.append(_tensor_colour(rng, family))
        else:
            steps.append(rng.choice(parts))
    if rng.random() < 0.2:
        steps.insert(rng.randint(0, len(steps)), rng.choice([v2.Identity, v2.ToPureTensor])())
    return [first, *steps, *numbers]


def crops(rng: random.Random, family: Any) -> Any:
    """FiveCrop or TenCrop."""
    size = rng.choice([rng.randint(1, 30), [rng.randint(1, 40)], (rng.randint(1, 50), 20)])
    if rng.random() < 0.5:
        return family.FiveCrop(size)
    return family.TenCrop(size, vertical_flip=rng.random() < 0.5)


def _cropped(rng: random.Random, family: Any, channels: int) -> list[Any]:
    """The crops, and what users put behind them: a function that stacks them, or v2's on all."""
    if rng.random() < 0.3:  # of a tensor
        behind = [lambda crops: torch.stack(crops)] if rng.random() < 0.5 else []
        return [*_numbers(rng, family, channels), crops(rng, family), *behind]
    picked = _behind_crops(rng, family, channels)
    return [crops(rng, family), *picked]


def _behind_crops(rng: random.Random, family: Any, channels: int) -> list[Any]:
    numbers = [transforms.ToTensor(), _normalize(rng, transforms, channels)]
    both, norm = transforms.Compose(numbers), numbers[1]
    ways = [
        [lambda crops: torch.stack([transforms.PILToTensor()(crop) for crop in crops])],
        [lambda crops: torch.stack([norm(transforms.ToTensor()(crop)) for crop in crops])],
        [
            lambda crops: torch.stack([transforms.ToTensor()(crop) for crop in crops]),
            lambda tensors: torch.stack([norm(tensor) for tensor in tensors]),
        ],
        [lambda crops: [both(crop) for crop in crops]],
        [lambda crops: torch.stack([v2.ToImage()(crop) for crop in crops]), v2.RGB()],
    ]
    if family is v2 and rng.random() < 0.6:
        scale = v2.ToDtype(torch.float32, scale=rng.random() < 0.8)
        return [v2.ToImage(), scale, *([_normalize(rng, v2, channels)] * rng.randint(0, 1))]
    return [
        step if isinstance(step, nn.Module) or rng.random() < 0.2 else transforms.Lambda(step)
        for step in rng.choice(ways)
    ]


def make_pipeline(rng: random.Random, channels: int = 3) -> Any:
    """For images of so many channels."""
    if rng.random() < 0.15:
        return transforms.Compose(_of_tensors(rng, channels))
    family = rng.choice([transforms, v2])
    other = rng.choice([transforms, v2]) if rng.random() < 0.1 else family
    draws = [_crop, _crop, _crop, _resize, _resize, _resize, _center, _center, _place, _place]
    draws += [_pad, _rotation, _affine, _perspective]
    steps = [rng.choice(draws)(rng, family) for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3]))]
    for _ in range(rng.choice([0, 1, 1, 2])):
        steps.insert(rng.randint(0, len(steps)), _flip(rng, family))
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        step = _augment(rng, family) if rng.random() < 0.2 else _colour(rng, family)
        if rng.random() < 0.15:
            step = family.RandomApply([step, _colour(rng, family)], p=rng.random())
        if rng.random() < 0.2:
            parts = [step, _colour(rng, family), _flip(rng, family)]
            weights = [rng.random() for _ in parts] if rng.random() < 0.5 else None
            step = rng.choice([family.RandomChoice(parts, weights), family.RandomOrder(parts)])
        steps.insert(rng.randint(0, len(steps)), step)
    if rng.random() < 0.08:
        return family.Compose([*steps, *_cropped(rng, family, channels)])
    steps += _numbers(rng, other, channels)
    if rng.random() < 0.15:
        is_last = isinstance(steps[-1], v2.Normalize | transforms.Normalize)
        at = len(steps) - (is_last and rng.random() < 0.8)
        steps[at:at] = _noise(rng)
    elif rng.random() < 0.2:
        steps.append(_erasing(rng, other))
        if rng.random() < 0.3:
            steps.append(_normalize(rng, other, channels))
    if rng.random() < 0.05:
        steps.append(_flip(rng, other))
    if other is v2 and rng.random() < 0.2:
        steps.append(v2.ToPureTensor())
    if rng.random() < 0.08:
        steps.insert(0, family.Lambda(ImageOps.exif_transpose))
    return _nested(rng, steps, family)


def is_even(pipeline: Any) -> bool:
    """Whether all images come out with one size."""
    even = False
    for step in pipeline.modules() if isinstance(pipeline, nn.Module) else flat(pipeline):
        name = type(step).__name__
        if name in ("CenterCrop", "RandomResizedCrop", "RandomCrop", "FiveCrop", "TenCrop"):
            even = True
        elif name == "RandomRotation" and step.expand:
            even = False
        elif name == "Resize":
            even = even or (isinstance(step.size, list | tuple) and len(step.size) == 2)
    return even


def flat(step: Any) -> list[Any]:
    inner = getattr(step, "transforms", None)
    if inner is None:
        return list(step.modules()) if isinstance(step, nn.Sequential) else [step]
    return [step, *(one for part in inner for one in flat(part))]


def loader_options(rng: random.Random, is_even: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"shuffle": rng.random() < 0.7, "batch_size": 1}
    if is_even or rng.random() < 0.1:
        options["batch_size"] = rng.randint(1, 8)
        options["drop_last"] = rng.random() < 0.1
    if rng.random() < 0.08:
        options["num_workers"] = rng.randint(1, 3)
        options["prefetch_factor"] = rng.randint(1, 4)
        options["persistent_workers"] = rng.random() < 0.3
    return options
