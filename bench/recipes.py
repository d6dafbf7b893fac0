# SPDX-License-Identifier: Apache-2.0
"""Penstock and PyTorch's own loader in turn on recipes that people train with.

python bench/recipes.py [--data DIR] [--rounds N] [--threads 2] [--workers 2] [--only NAME...]

timm's default for training, torchvision's reference for training, also with AugMix, SimCLR's, what
torchvision's documentation of v2 shows (a tensor first), and a plain pipeline on folders of WebP
and of PNG files, which are made from the photographs. Wall and CPU time per image (all processes,
workers included) with the ratio round by round; each recipe names the lane that it took, and where
that is PyTorch's, why.
"""

import argparse
import json
import tempfile
from pathlib import Path

import penstock
import torch
import torch.utils.data
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

import bench

FLIP = transforms.RandomHorizontalFlip()
RECIPES: dict[str, tuple[str, list]] = {
    "timm": (
        "jpeg",
        [
            transforms.RandomResizedCrop(224, interpolation=InterpolationMode.BICUBIC),
            FLIP,
            transforms.ColorJitter(0.4, 0.4, 0.4),
            transforms.ToTensor(),
            bench.NORMALIZE,
            transforms.RandomErasing(0.25),
        ],
    ),
    "torchvision": (
        "jpeg",
        [
            transforms.RandomResizedCrop(224),
            FLIP,
            transforms.TrivialAugmentWide(),
            transforms.ToTensor(),
            bench.NORMALIZE,
            transforms.RandomErasing(0.1),
        ],
    ),
    "augmix": (
        "jpeg",
        [
            transforms.RandomResizedCrop(224),
            FLIP,
            transforms.AugMix(interpolation=InterpolationMode.BILINEAR, severity=3),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
            bench.NORMALIZE,
            transforms.RandomErasing(0.1),
        ],
    ),
    "simclr": (
        "jpeg",
        [
            transforms.RandomResizedCrop(224),
            FLIP,
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            transforms.RandomGrayscale(0.2),
            transforms.GaussianBlur(23),
            transforms.ToTensor(),
            bench.NORMALIZE,
        ],
    ),
    "tensor": (
        "jpeg",
        [
            v2.ToImage(),
            v2.RandomResizedCrop(224, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(bench.NORMALIZE.mean, bench.NORMALIZE.std),
        ],
    ),
    "webp": ("webp", bench.PIPELINES["train"].transforms),
    "png": ("png", bench.PIPELINES["train"].transforms),
}
SAVE = {"webp": {"quality": 90, "method": 2}, "png": {"compress_level": 6}}


def convert(photos: Path, kind: str, root: Path, most: int) -> Path:
    """The first photographs of a folder in another format."""
    for source, label in ImageFolder(str(photos)).samples[:most]:
        folder = root / kind / f"{label:04}"
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as image:
            image.convert("RGB").save(folder / f"{Path(source).stem}.{kind}", **SAVE[kind])
    return root / kind


def make_loader(kind: type, data: Path, steps: list, args: argparse.Namespace):
    own = {"threads": args.threads} if kind is penstock.DataLoader else {}
    dataset = ImageFolder(str(data), transforms.Compose(steps))
    return kind(dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers, **own)


def run(data: Path, steps: list, args: argparse.Namespace) -> dict:
    ours = make_loader(penstock.DataLoader, data, steps, args)
    stock = make_loader(torch.utils.data.DataLoader, data, steps, args)
    explanation = penstock.explain(ours)
    result = bench.take_turns(ours, stock, args.rounds)
    return result | {
        "lane": explanation.lane,
        "reason": explanation.reason,
        "images": len(ours.dataset),
    }


def main() -> None:
    parser = bench.arguments(__doc__, "build/bench-recipes.json")
    parser.add_argument("--converted", type=int, default=200, help="how many WebP and PNG files")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    args = parser.parse_args()
    photos = bench.find_data(args.data)
    results: dict = {"machine": bench.machine(), "threads": args.threads, "recipes": {}}
    print("\n".join(f"{key}: {value}" for key, value in results["machine"].items()))
    with tempfile.TemporaryDirectory(prefix="penstock-recipes-") as made:
        for name in args.only:
            kind, steps = RECIPES[name]
            data = photos
            if kind != "jpeg":
                data = convert(photos, kind, Path(made), args.converted)
            result = results["recipes"][name] = run(data, steps, args)
            bench.show(name, result, result["images"])
            print(f"  lane: {result['lane']}, {result['reason']}")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
