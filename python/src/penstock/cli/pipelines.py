# SPDX-License-Identifier: Apache-2.0
"""What bench, doctor and verify run: ImageFolder with torchvision's usual transforms."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any, TypeVar

from penstock.cli.console import CommandError

T = TypeVar("T")

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def need_torch(what: str, needed: Sequence[str] = ("torch", "torchvision", "PIL")) -> None:
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join("Pillow" if name == "PIL" else name for name in missing)
        raise CommandError(f"{what} needs {names}, not installed: pip install 'penstock[torch]'")


def transform(name: str, size: int) -> Any:
    from torchvision import transforms

    tail = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if name == "train":
        head = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
    else:
        head = [transforms.Resize(round(size * 256 / 224)), transforms.CenterCrop(size)]
    return transforms.Compose([*head, *tail])


def check_folder(path: str) -> None:
    if not os.path.lexists(path):
        raise CommandError(f"no such folder: {path}")
    if not os.path.isdir(path):
        raise CommandError(f"not a folder: {path}")


def evenly(items: Sequence[T], n: int) -> list[T]:
    """At most n of the items, in order, spread over all of them."""
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def image_folder(path: str, name: str, size: int) -> Any:
    """torchvision's ImageFolder, itself. Raises CommandError where there is none."""
    from torchvision.datasets import ImageFolder

    check_folder(path)
    try:
        dataset = ImageFolder(path, transform(name, size), allow_empty=True)
    except OSError as error:
        raise CommandError(f"not an image folder: {error}") from None
    if not dataset.samples:
        raise CommandError(f"no images in the folders of {path}")
    return dataset


def choose(dataset: Any, n: int | None) -> None:
    """Leaves at most n samples, spread over the folder, and only regular files: opening a FIFO
    would wait for ever."""
    samples = dataset.samples if n is None else evenly(dataset.samples, n)
    keep(dataset, [sample for sample in samples if os.path.isfile(sample[0])])
    if not dataset.samples:
        raise CommandError(f"no image in {dataset.root} can be read")


def keep(dataset: Any, samples: list[tuple[str, int]]) -> None:
    dataset.samples = dataset.imgs = samples
    dataset.targets = [label for _, label in samples]
