# SPDX-License-Identifier: Apache-2.0
"""Datasets over random images: folders, images in memory, parts and sums of them."""

import random
from pathlib import Path
from typing import Any

import numpy
import torch
from penstock.datasets import ImageFolder
from PIL import Image
from torch.utils.data import ConcatDataset, Subset
from torchvision import datasets
from twins import kit

GREY_FOLDER = 'penstock.datasets.ImageFolder(mode="L")'
MAKERS = ("ImageFolder", "CIFAR10", "MNIST", "SVHN", GREY_FOLDER)
FOLDERS = ("ImageFolder", GREY_FOLDER)


def _in_memory(name: str, rng: random.Random, n: int, transform: Any) -> Any:
    state = numpy.random.RandomState(rng.getrandbits(32))
    shape = {"CIFAR10": (n, 32, 32, 3), "MNIST": (n, 28, 28), "SVHN": (n, 3, 32, 32)}[name]
    data: Any = state.randint(0, 256, shape, dtype=numpy.uint8)
    labels: Any = state.randint(0, 10, n)
    if name == "MNIST":
        data, labels = torch.from_numpy(data), torch.from_numpy(labels)
        return kit.bare(datasets.MNIST, transform, data=data, targets=labels)
    if name == "SVHN":
        return kit.bare(datasets.SVHN, transform, data=data, labels=labels)
    return kit.bare(datasets.CIFAR10, transform, data=data, targets=labels.tolist())


def _load_grey(path: str) -> Any:
    with open(path, "rb") as file:
        return Image.open(file).convert("L")


def make_dataset(
    rng: random.Random, name: str, root: Path, transform: Any, *, is_stock: bool
) -> Any:
    """name: one of MAKERS. Of Penstock's own classes stock's loader has torchvision's."""
    if name == "ImageFolder":
        whole: Any = datasets.ImageFolder(str(root), transform)
    elif name == GREY_FOLDER and is_stock:
        whole = datasets.ImageFolder(str(root), transform, loader=_load_grey)
    elif name == GREY_FOLDER:
        whole = ImageFolder(str(root), transform, mode="L", cache=False)
    else:
        whole = _in_memory(name, rng, 20, transform)
    kind = rng.random()
    if kind < 0.8:
        return whole
    places = rng.choices(range(len(whole)), k=rng.randint(1, 25))
    if kind < 0.9:
        return Subset(whole, places)
    return ConcatDataset([Subset(whole, places), whole])
