# SPDX-License-Identifier: Apache-2.0
"""Random images through random pipelines, beside torch's own loader, at zero tolerance.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/properties.py --cases 10000

A case is one image that the engine decoded and transformed: those that it leaves to Pillow, and
pipelines that it leaves to torch, are counted apart. Each group of images and its pipeline follow
from --seed and the group's number alone: --only N repeats group N.
"""

import random
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
import twins
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from twins import kit

IMAGES = 20  # in a group

FILTERS = [
    InterpolationMode.NEAREST,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
    InterpolationMode.BOX,
    InterpolationMode.HAMMING,
    InterpolationMode.LANCZOS,
]


# --- images


def _sides(rng: random.Random) -> tuple[int, int]:
    kind = rng.random()
    if kind < 0.7:
        return rng.randint(1, 400), rng.randint(1, 400)
    if kind < 0.85:
        sides = [rng.randint(1, 4), rng.randint(1, 400)]
        rng.shuffle(sides)
        return sides[0], sides[1]
    return rng.randint(1, 20), rng.randint(1, 20)


def _save_jpeg(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "RGB", "RGB", "L", "CMYK"])
    options: dict[str, Any] = {"quality": rng.randint(1, 100), "progressive": rng.random() < 0.3}
    if mode == "RGB":
        if rng.random() < 0.05:
            options["keep_rgb"] = True
        else:
            options["subsampling"] = rng.choice(["4:4:4", "4:2:2", "4:2:0"])
    extra: list[tuple[str, Any]] = [
        ("optimize", True),
        ("restart_marker_blocks", rng.randint(1, 9)),
        ("restart_marker_rows", rng.randint(1, 3)),
        ("comment", b"a comment"),
        ("exif", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
        ("icc_profile", rng.randbytes(rng.randint(1, 300))),
        ("dpi", (72, 72)),
    ]
    for name, value in extra:
        if rng.random() < 0.12:
            options[name] = value
    w, h = _sides(rng)
    image = kit.picture(mode, w, h, rng.getrandbits(32))
    try:
        image.save(path, "JPEG", **options)
    except OSError:  # Pillow's buffer is too small for some scripts of scans
        options["progressive"] = options["optimize"] = False
        image.save(path, "JPEG", **options)
    return f"{path.name}: JPEG {mode} {w}x{h} {options}"


def _save_deep_png(rng: random.Random, path: Path, w: int, h: int) -> str:
    """16 bits a channel, which Pillow writes for grey alone."""
    color, channels = rng.choice([(0, 1), (2, 3), (4, 2), (6, 4)])
    state = numpy.random.RandomState(rng.getrandbits(32))
    rows = state.randint(0, 65536, (h, w * channels)).astype(">u2")
    if rng.random() < 0.5:  # more like a photograph than noise is
        rows = (numpy.cumsum(rows.astype(numpy.int64) // 64, axis=1) % 65536).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", w, h, 16, color, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    return f"{path.name}: PNG 16 bits, colour type {color}, {w}x{h}"


def _save_png(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "L", "RGBA", "P", "P", "1", "LA", "I;16", "deep"])
    w, h = _sides(rng)
    if mode == "deep":
        return _save_deep_png(rng, path, w, h)
    image = kit.picture("RGB" if mode == "P" else mode, w, h, rng.getrandbits(32))
    options: dict[str, Any] = {"compress_level": rng.randint(0, 9)}
    if mode == "P":
        image = image.quantize(rng.choice([2, 3, 4, 13, 16, 100, 256]))
    if rng.random() < 0.2:
        options["optimize"] = True
    if rng.random() < 0.3 and mode in ("L", "P", "RGB"):
        options["transparency"] = (1, 2, 3) if mode == "RGB" else rng.randint(0, 1)
    if rng.random() < 0.1:
        options["icc_profile"] = rng.randbytes(rng.randint(1, 300))
    image.save(path, "PNG", **options)
    return f"{path.name}: PNG {mode} {w}x{h} {options}"


def make_images(rng: random.Random, root: Path) -> list[str]:
    said = []
    for number in range(IMAGES):
        folder = root / rng.choice(["one", "two"])
        folder.mkdir(parents=True, exist_ok=True)
        if rng.random() < 0.6:
            said.append(_save_jpeg(rng, folder / f"{number:02}.jpg"))
        else:
            said.append(_save_png(rng, folder / f"{number:02}.png"))
    return said


# --- pipelines


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
        rng.choice([0, rng.uniform(-2, 2), (1, 0.5, 0)]),
        rng.random() < 0.3,
    )


def _flip(rng: random.Random, family: Any) -> Any:
    cls = rng.choice([family.RandomHorizontalFlip, family.RandomVerticalFlip])
    return cls(rng.choice([0.0, 1.0, 0.5, rng.random(), rng.random()]))


def _normalize(rng: random.Random, family: Any) -> Any:
    n = 1 if rng.random() < 0.15 else 3
    if rng.random() < 0.3:
        mean, std = list(kit.MEAN), list(kit.STD)
    else:
        mean = [rng.uniform(-1, 1) for _ in range(n)]
        std = [rng.uniform(0.01, 2) for _ in range(n)]
    return family.Normalize(mean, std, inplace=rng.random() < 0.3)


def _numbers(rng: random.Random, family: Any) -> list[Any]:
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
        steps.append(_normalize(rng, family))
    return steps


def _nested(rng: random.Random, steps: list[Any], family: Any) -> Any:
    if len(steps) > 2 and rng.random() < 0.2:
        cut = rng.randint(1, len(steps) - 1)
        tail = steps[cut:]
        whole = all(isinstance(step, nn.Module) for step in tail)
        make = nn.Sequential if whole and rng.random() < 0.5 else lambda *s: family.Compose(list(s))
        steps = [*steps[:cut], make(*tail)]
    return family.Compose(steps)


def _colour(rng: random.Random, family: Any) -> Any:
    p = rng.choice([0.0, 1.0, 0.5, rng.random(), rng.random()])
    kind = rng.randrange(10)
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
    ][kind - 3]()


def _augment(rng: random.Random, family: Any) -> Any:
    options: dict[str, Any] = {
        "interpolation": rng.choice([InterpolationMode.NEAREST, InterpolationMode.BILINEAR]),
        "fill": rng.choice([None, 0, 200]),
    }
    kind = rng.randrange(3)
    if kind == 0:
        return family.TrivialAugmentWide(**options)
    if kind == 1:
        return family.RandAugment(rng.randint(0, 4), rng.randint(0, 30), **options)
    return family.AutoAugment(rng.choice(list(transforms.AutoAugmentPolicy)), **options)


def make_pipeline(rng: random.Random) -> Any:
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
        steps.insert(rng.randint(0, len(steps)), step)
    steps += _numbers(rng, other)
    if rng.random() < 0.2:
        steps.append(_erasing(rng, other))
        if rng.random() < 0.3:
            steps.append(_normalize(rng, other))
    if rng.random() < 0.05:
        steps.append(_flip(rng, other))
    return _nested(rng, steps, family)


def _is_even(pipeline: Any) -> bool:
    """Whether all images come out with one size."""
    even = False
    for step in pipeline.modules() if isinstance(pipeline, nn.Module) else _flat(pipeline):
        name = type(step).__name__
        if name in ("CenterCrop", "RandomResizedCrop", "RandomCrop"):
            even = True
        elif name == "RandomRotation" and step.expand:
            even = False
        elif name == "Resize":
            even = even or (isinstance(step.size, list | tuple) and len(step.size) == 2)
    return even


def _flat(step: Any) -> list[Any]:
    inner = getattr(step, "transforms", None)
    if inner is None:
        return list(step.modules()) if isinstance(step, nn.Sequential) else [step]
    return [one for part in inner for one in _flat(part)]


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


# --- the search


@dataclass
class Result:
    cases: int = 0
    by_pillow: int = 0
    on_torch: int = 0
    errors: int = 0
    groups: int = 0
    differences: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.cases} cases in {self.groups} groups, {len(self.differences)} differences "
            f"(apart: {self.by_pillow} images decided by Pillow, {self.on_torch} in pipelines left "
            f"to torch, {self.errors} exceptions)"
        )


@dataclass
class Group:
    """A drawn group; make() gives a twin of the loader each time."""

    key: str
    root: Path
    images: list[str]

    def make(self, cls: type, **more: Any) -> Any:
        rng = random.Random(f"{self.key} pipeline")
        pipeline = make_pipeline(rng)
        options = loader_options(rng, _is_even(pipeline))
        dataset = twins.datasets.ImageFolder(str(self.root), pipeline)
        kit.seed_all(rng.getrandbits(62))
        return cls(dataset, **options, **more)

    def words(self) -> str:
        loader = self.make(twins.STOCK)
        rng = random.Random(f"{self.key} pipeline")
        pipeline = make_pipeline(rng)
        options = loader_options(rng, _is_even(pipeline))
        return f"group {self.key}: {loader.dataset.transform} {options}"


def _compare(group: Group, result: Result, say: Callable[[str], None]) -> None:
    stock = twins.live(group.make(twins.STOCK))
    threads = random.Random(group.key).choice([1, 1, 2, 2, 3, 5])
    loader = group.make(twins.OURS, threads=threads)
    is_native = twins.is_native(loader)
    ours = twins.live(loader)
    images, doubts = twins.n_images(ours), twins.doubts(loader)
    result.groups += 1
    if not is_native:
        result.on_torch += images
        result.reasons[twins.penstock.explain(loader).reason] += 1
        doubts = images
    else:
        result.by_pillow += doubts
    result.errors += twins.n_errors(ours)
    found = twins.difference(stock, ours)
    if found is None:
        # Images in batches that ended in an error do not count; their doubts may be among these.
        result.cases += max(images - doubts, 0)
        return
    result.differences.append(f"{group.words()}: {found}")
    again = group.make(twins.OURS, threads=threads)
    say(f"DIFFERENT {group.words()}\n  threads {threads}\n  {found}")
    say(f"  {twins.penstock.verify(again, batches=None)}")
    for line in group.images:
        say(f"  {line}")


def run(
    cases: int, seed: int, scratch: Path, only: int | None = None, keep: Path | None = None
) -> Result:
    result = Result()
    number = only or 0
    start = time.monotonic()
    while result.cases < cases:
        key = f"{seed}-{number}"
        root = (keep or scratch) / key
        group = Group(key, root, make_images(random.Random(f"{key} images"), root))
        before = len(result.differences)
        _compare(group, result, lambda text: print(text, flush=True))
        if keep is None or len(result.differences) == before:
            for path in root.glob("*/*"):
                path.unlink()
        number += 1
        if only is not None:
            break
        if result.groups % 50 == 0:
            print(f"{time.monotonic() - start:5.0f} s: {result}", flush=True)
    return result


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--only", type=int, help="one group, by its number")
    parser.add_argument("--keep", type=Path, help="where the images of differences are left")
    options = twins.begin(parser)
    warnings.simplefilter("ignore")
    Image.init()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run(options.cases, options.seed, Path(scratch), options.only, options.keep)
    for reason, count in result.reasons.most_common():
        print(f"left to torch, {count} groups: {reason}")
    print(f"{time.monotonic() - start:.0f} s")
    print(result)
    return 1 if result.differences or not result.cases else 0


if __name__ == "__main__":
    sys.exit(main())
