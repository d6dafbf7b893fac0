# SPDX-License-Identifier: Apache-2.0
"""Random images through random pipelines, beside torch's own loader, at zero tolerance.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/properties.py --cases 10000

A case is one image that the engine decoded and transformed: those that it leaves to Pillow, and
pipelines that it leaves to torch, are counted apart. Each group of images and its pipeline follow
from --seed and the group's number alone: --only N repeats group N. --tally FILE writes how many
cases went through each transform, format and dataset; docs/native.md is made of such files.
"""

import json
import platform
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import PIL
import torch
import torchvision
import twins
from PIL import Image, ImageOps
from random_datasets import FOLDERS, GREY_FOLDER, MAKERS, make_dataset
from random_images import FORMATS, IMAGES, make_images
from random_pipelines import CONVERSIONS, flat, is_even, loader_options, make_pipeline
from torch import nn
from torch.utils.data import default_collate
from torchvision import transforms
from torchvision.transforms import v2
from twins import kit

__all__ = ["IMAGES", "Group", "Result", "make_images", "run"]


# Which of torchvision's functions they call depends on the image.
ON_TENSORS = (
    *("CenterCrop", "Pad", "RandomCrop", "RandomResizedCrop", "Resize", "ColorJitter", "Grayscale"),
    *("RandomGrayscale", "RandomInvert", "RandomPosterize", "RandomSolarize"),
    *("RandomAdjustSharpness", "RandomAutocontrast", "RandomEqualize", "GaussianBlur"),
    *("AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide", "FiveCrop", "TenCrop"),
)


@dataclass
class Result:
    cases: int = 0
    by_pillow: int = 0
    on_torch: int = 0
    errors: int = 0
    groups: int = 0
    differences: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    # Cases by what they went through: "transform v1.Pad", "dataset MNIST", "output float16", ...
    by_thing: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.cases} cases in {self.groups} groups, {len(self.differences)} differences "
            f"(apart: {self.by_pillow} images decided by Pillow, {self.on_torch} in pipelines left "
            f"to torch, {self.errors} exceptions)"
        )


@dataclass(frozen=True)
class Output:
    """Options of Penstock's own, and how torch's loader comes to the same."""

    dtype: torch.dtype | None = None
    layout: torch.memory_format | None = None
    exif: bool = False

    def ours(self) -> dict[str, Any]:
        return {"out_dtype": self.dtype, "memory_format": self.layout, "exif": self.exif}

    def pipeline_of_stock(self, pipeline: Any) -> Any:
        return transforms.Compose([ImageOps.exif_transpose, pipeline]) if self.exif else pipeline

    def collate(self, samples: list[Any], mix: Any = None) -> Any:
        images, labels = default_collate(samples)
        if mix is not None:
            images, labels = mix(images, labels)
        # Of crops that nothing stacks there is a list of tensors.
        images = [*map(self._made, images)] if isinstance(images, list) else self._made(images)
        return [images, labels] if mix is None else (images, labels)

    def _made(self, images: torch.Tensor) -> torch.Tensor:
        if self.dtype is not None:
            images = images.to(self.dtype)
        if self.layout is not None:
            flat = images.reshape(-1, *images.shape[-3:]).contiguous(memory_format=self.layout)
            images = flat.view(images.shape)
        return images

    def things(self) -> list[str]:
        named = {"dtype": self.dtype, "memory format": self.layout}
        things = [f"output {value}" for value in named.values() if value is not None]
        return [*things, "output exif=True"] if self.exif else things


def _draw_output(rng: random.Random) -> Output:
    dtypes = [torch.float32, torch.float16, torch.bfloat16]
    return Output(
        rng.choice(dtypes) if rng.random() < 0.15 else None,
        torch.channels_last if rng.random() < 0.1 else None,
        rng.random() < 0.15,
    )


def _draw_mix(rng: random.Random) -> Any:
    """What batches are mixed by, now and then."""
    if rng.random() >= 0.1:
        return None
    parts = [
        rng.choice([v2.CutMix, v2.MixUp])(alpha=rng.uniform(0.1, 3.0), num_classes=1000)
        for _ in range(rng.randint(1, 3))
    ]
    if len(parts) == 1 and rng.random() < 0.7:
        return parts[0]
    return v2.RandomChoice(parts, [rng.uniform(0.1, 1) for _ in parts])


def _mixes(mix: Any) -> list[Any]:
    return [] if mix is None else list(getattr(mix, "transforms", [mix]))


@dataclass
class Group:
    """A drawn group; make() gives a twin of the loader each time."""

    key: str
    root: Path
    images: list[str]
    output: Output = Output()

    def __post_init__(self) -> None:
        rng = random.Random(f"{self.key} dataset")
        self.dataset = rng.choices(MAKERS, [7, 1, 1, 1, 1])[0]
        self.drawn_output = _draw_output(rng)
        steps = [*_mixes(self.mix()), *flat(self.pipeline())]
        if any(type(one) in (v2.MixUp, v2.GaussianNoise) for one in steps):  # of float32 alone
            self.drawn_output = replace(self.drawn_output, dtype=None)

    def _rng(self, what: str) -> random.Random:
        return random.Random(f"{self.key} {what}")

    def pipeline(self) -> Any:
        is_grey = self.dataset in (GREY_FOLDER, "MNIST")
        return make_pipeline(self._rng("pipeline"), 1 if is_grey else 3)

    def mix(self) -> Any:
        return _draw_mix(self._rng("mix"))

    def _collate(self, cls: type) -> dict[str, Any]:
        mix = self.mix()
        if cls is twins.STOCK and self.output != Output():
            return {"collate_fn": partial(self.output.collate, mix=mix)}
        return {} if mix is None else {"collate_fn": lambda batch: mix(*default_collate(batch))}

    def make(self, cls: type, **more: Any) -> Any:
        rng = self._rng("options")
        pipeline = self.pipeline()
        options = loader_options(rng, is_even(pipeline) or self.dataset not in FOLDERS)
        if cls is twins.STOCK:
            pipeline = self.output.pipeline_of_stock(pipeline)
        else:
            more |= self.output.ours()
        dataset = make_dataset(
            self._rng("parts"), self.dataset, self.root, pipeline, is_stock=cls is twins.STOCK
        )
        kit.seed_all(rng.getrandbits(62))
        return cls(dataset, **options, **self._collate(cls), **more)

    def words(self) -> str:
        pipeline = self.pipeline()
        options = loader_options(self._rng("options"), is_even(pipeline))
        return f"group {self.key}: {self.dataset} {self.output} {pipeline} {self.mix()} {options}"

    def things(self) -> list[str]:
        """What its images go through."""
        found = {f"dataset {self.dataset}", *self.output.things()}
        is_tensor = False
        for step in flat(self.pipeline()):
            if not isinstance(step, nn.Sequential):
                name = type(step).__name__
                family = "v2" if ".v2." in type(step).__module__ else "v1"
                found.add(f"transform {family}.{name}")
                if is_tensor and name in ON_TENSORS:
                    found.add(f"tensor {family}.{name}")
                is_tensor = is_tensor or name in CONVERSIONS
        found |= {f"transform v2.{type(one).__name__}" for one in _mixes(self.mix())}
        return sorted(found)

    def formats(self) -> Counter[str]:
        """How many of its files are of each format."""
        if self.dataset not in FOLDERS:
            return Counter()
        named = [name for line in self.images for name in FORMATS if f": {name} " in line]
        return Counter(f"format {name}" for name in named)


def _compare(group: Group, result: Result, say: Callable[[str], None]) -> None:
    threads = random.Random(group.key).choice([1, 1, 2, 2, 3, 5])
    is_native = twins.is_native(group.make(twins.OURS))
    if is_native:  # its own options are the engine's alone
        group.output = group.drawn_output
    loader = group.make(twins.OURS, threads=threads)
    is_native = is_native and twins.is_native(loader)
    ours = twins.live(loader)
    stock = twins.live(group.make(twins.STOCK))
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
        cases = max(images - doubts, 0)
        result.cases += cases
        for thing in group.things() if cases else ():
            result.by_thing[thing] += cases
        result.by_thing += group.formats()
        return
    result.differences.append(f"{group.words()}: {found}")
    say(f"DIFFERENT {group.words()}\n  threads {threads}\n  {found}")
    if not group.output.exif:
        again = group.make(twins.OURS, threads=threads)
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


def _tally(result: Result, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "pillow": PIL.__version__,
        "torch": torch.__version__.partition("+")[0],
        "torchvision": torchvision.__version__.partition("+")[0],
        "machine": platform.machine(),
        "kernels": twins.penstock._core.kernels(),
        "cases": result.cases,
        "groups": result.groups,
        "by_pillow": result.by_pillow,
        "on_torch": result.on_torch,
        "errors": result.errors,
        "differences": len(result.differences),
        "by_thing": dict(sorted(result.by_thing.items())),
    }


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--only", type=int, help="one group, by its number")
    parser.add_argument("--tally", type=Path, help="a file for tools/make_native.py")
    parser.add_argument("--keep", type=Path, help="where the images of differences are left")
    options = twins.begin(parser)
    warnings.simplefilter("ignore")
    Image.init()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run(options.cases, options.seed, Path(scratch), options.only, options.keep)
    for reason, count in result.reasons.most_common():
        print(f"left to torch, {count} groups: {reason}")
    if options.tally is not None:
        options.tally.write_text(json.dumps(_tally(result, options.seed), indent=1) + "\n")
    print(f"{time.monotonic() - start:.0f} s")
    print(result)
    return 1 if result.differences or not result.cases else 0


if __name__ == "__main__":
    sys.exit(main())
