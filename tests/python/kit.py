# SPDX-License-Identifier: Apache-2.0
"""What the loader's tests share: folders of small images, pipelines, and a run of a loader written
down so that two runs can be compared."""

import gc
import hashlib
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import penstock
import torch
import torch.utils.data
from penstock.native import SingleIter, WorkersIter
from PIL import Image
from torch import nn
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode, v2

STOCK = torch.utils.data.DataLoader
OURS = penstock.DataLoader
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(mode: str, width: int, height: int, seed: int) -> Image.Image:
    """Smooth enough for a JPEG to be like a photograph's, rough enough to tell pixels apart."""
    state = numpy.random.RandomState(seed)
    small = state.randint(0, 256, (max(height // 6, 2), max(width // 6, 2), 4), dtype=numpy.uint8)
    image = Image.fromarray(small, "RGBA").resize((width, height), Image.Resampling.BICUBIC)
    noise = state.randint(0, 24, (height, width, 4), dtype=numpy.uint8)
    image = Image.fromarray(numpy.asarray(image) // 2 + noise, "RGBA")
    if mode == "I;16":
        grey = numpy.asarray(image.convert("L")).astype(numpy.uint16) * 257
        return Image.fromarray(grey)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


# (name, mode, width, height, options of save)
FILES: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("ant/a0.jpg", "RGB", 61, 47, {"quality": 90}),
    ("ant/a1.jpg", "RGB", 40, 83, {"quality": 75, "progressive": True}),
    ("ant/a2.jpeg", "L", 52, 52, {"quality": 80}),
    ("ant/a3.JPG", "CMYK", 45, 33, {"quality": 85}),
    ("ant/a4.png", "RGB", 33, 58, {}),
    ("ant/deep/a5.jpg", "RGB", 97, 31, {"quality": 60, "subsampling": 0}),
    ("bee/b0.png", "P", 48, 40, {}),
    ("bee/b1.png", "L", 37, 71, {}),
    ("bee/b2.png", "RGBA", 64, 45, {}),
    ("bee/b3.png", "1", 50, 50, {}),
    ("bee/b4.tiff", "RGB", 44, 36, {"compression": "tiff_lzw"}),
    ("bee/b5.ppm", "RGB", 36, 44, {}),
    ("cat/c0.jpg", "RGB", 120, 90, {"quality": 95, "subsampling": 1}),
    ("cat/c1.png", "LA", 41, 39, {}),
    ("cat/c2.png", "I;16", 39, 41, {}),
    ("cat/c3.jpg", "RGB", 70, 70, {"quality": 30}),
    ("cat/c4.jpg", "RGB", 24, 22, {"quality": 90}),
]


def make_folder(root: Path) -> Path:
    for number, (name, mode, width, height, options) in enumerate(FILES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(mode, width, height, number).save(path, **options)
    return root


def jpeg(width: int = 40, height: int = 30, seed: int = 0) -> bytes:
    out = io.BytesIO()
    picture("RGB", width, height, seed).save(out, "JPEG", quality=90)
    return out.getvalue()


def train_v1(size: int = 24) -> Any:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def eval_v1() -> Any:
    return transforms.Compose(
        [
            transforms.Resize(32),
            transforms.CenterCrop(24),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def train_v2() -> Any:
    return v2.Compose(
        [
            v2.RandomResizedCrop((20, 28), scale=(0.2, 1.3), ratio=(0.5, 1.5), antialias=True),
            v2.RandomHorizontalFlip(0.3),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "train_v1": train_v1,
    "eval_v1": eval_v1,
    "train_v2": train_v2,
    "eval_v2": lambda: v2.Compose(
        [
            v2.Resize(30, max_size=50, interpolation="bicubic"),
            v2.CenterCrop(34),
            v2.PILToTensor(),
            v2.ConvertImageDtype(torch.float32),
        ]
    ),
    "uint8_v2": lambda: v2.Compose(
        [v2.RandomResizedCrop(16), v2.RandomVerticalFlip(0.7), v2.ToImage()]
    ),
    "uint8_v1": lambda: transforms.Compose(
        [transforms.Resize((17, 23), InterpolationMode.LANCZOS), transforms.PILToTensor()]
    ),
    "nested": lambda: transforms.Compose(
        [
            nn.Sequential(v2.RandomVerticalFlip(0.5), transforms.Resize([20, 20])),
            transforms.Compose([v2.ToTensor(), transforms.RandomHorizontalFlip(0.9)]),
            v2.Compose([v2.Normalize([0.5], [0.25])]),
        ]
    ),
    "sometimes_v1": lambda: transforms.Compose(
        [
            transforms.RandomApply(
                [transforms.Resize((40, 50)), transforms.RandomVerticalFlip(0.3)], p=0.4
            ),
            transforms.RandomApply(
                nn.ModuleList(
                    [
                        transforms.RandomResizedCrop(30),
                        v2.RandomApply([transforms.RandomHorizontalFlip(0.6)], p=0.7),
                    ]
                ),
                p=0.5,
            ),
            transforms.CenterCrop(24),
            transforms.ToTensor(),
        ]
    ),
    "sometimes_v2": lambda: v2.Compose(
        [
            v2.RandomApply([v2.RandomResizedCrop(21), v2.RandomHorizontalFlip(1.0)], p=0.5),
            v2.RandomApply(nn.ModuleList([v2.RandomVerticalFlip()]), p=0.0),
            v2.RandomApply([v2.Resize((20, 20))], p=1.0),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "timm_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(24, interpolation=InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.4, 0.4, 0.4),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    ),
    "simclr_v2": lambda: v2.Compose(
        [
            v2.RandomResizedCrop(24),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomSolarize(128, p=0.2),
            v2.RandomAutocontrast(),
            v2.RandomEqualize(0.3),
            v2.RandomAdjustSharpness(2, p=0.3),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "augment_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(24),
            transforms.RandomHorizontalFlip(),
            transforms.TrivialAugmentWide(fill=7),
            transforms.AutoAugment(interpolation=InterpolationMode.BILINEAR),
            transforms.ToTensor(),
        ]
    ),
    "augment_v2": lambda: v2.Compose(
        [
            v2.RandAugment(3, interpolation=InterpolationMode.BILINEAR, fill=[1, 2, 3]),
            v2.RandomApply([v2.TrivialAugmentWide()], p=0.7),
            v2.Resize((20, 20)),
            v2.AutoAugment(v2.AutoAugmentPolicy.SVHN),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "grey_v1": lambda: transforms.Compose(
        [
            transforms.RandomPosterize(3),
            transforms.Grayscale(),
            transforms.RandomInvert(),
            transforms.Resize((20, 20)),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.25]),
        ]
    ),
    "cifar_v1": lambda: transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4, pad_if_needed=True),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    ),
    "erasing_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(30),
            transforms.ToTensor(),
            transforms.RandomErasing(0.7, value=0.5),
            transforms.Normalize(MEAN, STD),
        ]
    ),
    "erasing_v2": lambda: v2.Compose(
        [
            v2.RandomCrop(28, padding=3, pad_if_needed=True, fill=128),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(0.6, value=(0.0, 1.0, 2.0), inplace=True),
        ]
    ),
    "warps_v1": lambda: transforms.Compose(
        [
            transforms.Resize((36, 40)),
            transforms.RandomRotation(30, InterpolationMode.BILINEAR, expand=True, fill=(1, 2, 3)),
            transforms.RandomAffine(15, (0.1, 0.2), (0.8, 1.2), 10),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
        ]
    ),
    "warps_v2": lambda: v2.Compose(
        [
            v2.Identity(),
            v2.RandomPerspective(0.4, p=0.7),
            nn.Identity(),
            v2.RandomAffine(0, shear=(-5, 5, -20, 20), interpolation="bicubic"),
            v2.RandomResizedCrop(33),
            v2.RandomApply([v2.RandomRotation((90, 90)), v2.RandomRotation(9, center=(3, 4))]),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "borders_v2": lambda: v2.Compose(
        [
            v2.Pad((1, 2, 3, 4), fill=(7, 8, 9)),
            v2.RandomCrop((30, 40), padding=5, pad_if_needed=True, padding_mode="edge"),
            v2.Pad(6, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "box": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(18, scale=(0.5, 0.9), interpolation=InterpolationMode.BOX),
            transforms.CenterCrop((30, 10)),
            transforms.ToTensor(),
        ]
    ),
    "nearest": lambda: transforms.Compose(
        [
            transforms.Resize((15, 15), InterpolationMode.NEAREST),
            transforms.RandomHorizontalFlip(1.0),
            transforms.RandomVerticalFlip(0.0),
            transforms.ToTensor(),
        ]
    ),
    "hamming": lambda: v2.Compose(
        [
            v2.CenterCrop(200),
            v2.Resize([19], interpolation=InterpolationMode.HAMMING),
            v2.ToImage(),
            v2.ToDtype(torch.float32),
        ]
    ),
}


def folder_of(root: Path, transform: Any, **options: Any) -> Any:
    return datasets.ImageFolder(str(root), transform, **options)


def bare(cls: Any, transform: Any, **attributes: Any) -> Any:
    """An instance as the constructor leaves it, without its files."""
    dataset = cls.__new__(cls)
    datasets.VisionDataset.__init__(dataset, "nowhere", transform=transform)
    vars(dataset).update(attributes)
    return dataset


# --- what a user can see


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def states(*generators: torch.Generator) -> str:
    digest = hashlib.blake2b(digest_size=8)
    digest.update(torch.get_rng_state().numpy().tobytes())
    digest.update(repr(random.getstate()).encode())
    _, key, *rest = numpy.random.get_state()
    digest.update(key.tobytes())
    digest.update(repr(rest).encode())
    for generator in generators:
        digest.update(generator.get_state().numpy().tobytes())
    return digest.hexdigest()


def _digest(tensor: torch.Tensor) -> str:
    data = tensor.contiguous().reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
    return hashlib.blake2b(data.numpy().tobytes(), digest_size=8).hexdigest()


def visible(value: Any) -> Any:
    """All of a batch that is compared, as plain data."""
    if isinstance(value, torch.Tensor):
        strides = tuple(s for s, n in zip(value.stride(), value.shape, strict=True) if n > 1)
        return (
            type(value).__name__,
            str(value.dtype),
            tuple(value.shape),
            strides,
            str(value.device),
            str(value.layout),
            value.requires_grad,
            value.is_contiguous(),
            value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last),
            _digest(value),
        )
    if isinstance(value, list | tuple):
        return (type(value).__name__, [visible(item) for item in value])
    return (type(value).__name__, repr(value))


def error_of(error: BaseException) -> Any:
    """Type, errno, file name, the first line and the innermost original message."""
    lines = str(error).strip().splitlines() or [""]
    return (
        type(error).__name__,
        getattr(error, "errno", None),
        getattr(error, "filename", None),
        lines[0],
        lines[-1],
    )


def is_native(iterator: Any) -> bool:
    return isinstance(iterator, SingleIter | WorkersIter)


def walk(
    iterator: Any, most: int, look: Callable[[], Any], errors: int = 20
) -> Iterator[tuple[Any, ...]]:
    """next() up to `most` times, also after errors, and once more after the end."""
    n_errors = 0
    for _ in range(most):
        try:
            yield ("batch", visible(next(iterator)), look())
        except StopIteration:
            yield ("end", look())
            break
        except Exception as error:
            yield ("error", error_of(error), look())
            n_errors += 1
            if n_errors == errors:
                return


def run(
    make: Callable[[], tuple[Any, tuple[torch.Generator, ...]]],
    *,
    seed: int = 1,
    epochs: int = 2,
    most: int = 1000,
    native: bool | None = None,
) -> list[tuple[Any, ...]]:
    """A loader's life, written down. `most`: leave an epoch after so many batches."""
    seed_all(seed)
    loader, generators = make()

    def look() -> str:
        return states(*generators)

    seen: list[tuple[Any, ...]] = [("made", look(), len(loader))]
    for _ in range(epochs):
        iterator = iter(loader)
        if native is not None:
            assert is_native(iterator) == native, penstock.explain(loader).reason
        seen.append(("iter", look(), len(iterator), iter(iterator) is iterator))
        seen.extend(walk(iterator, most, look))
        if seen[-1][0] == "end":
            seen.extend(walk(iterator, 1, look))
        del iterator
        if any(step[0] == "error" for step in seen):
            gc.collect()  # stock's iterator is kept in a cycle, and holds up the next one's workers
        seen.append(("left", look()))
    return seen


def assert_same(stock: list[tuple[Any, ...]], ours: list[tuple[Any, ...]]) -> None:
    for step, (expected, found) in enumerate(zip(stock, ours, strict=False)):
        assert found == expected, f"step {step}"
    assert len(ours) == len(stock)
