# SPDX-License-Identifier: Apache-2.0
"""Trains a small network from an image folder and compares Penstock with PyTorch's own loader.

python examples/demo.py [--data DIR] [--cache DIR]

Without --data: handwritten digits as PNG files, and photographs cut into JPEG tiles (demo_data.py).
With it: both parts on your own image folder (one folder per class).
"""

import argparse
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import demo_data
import penstock
import torch
import torch.utils.data
from torch import nn
from torch.utils.data import SubsetRandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from tqdm import tqdm

LOADERS = {"Penstock": penstock.DataLoader, "PyTorch": torch.utils.data.DataLoader}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WORKERS = 2


@dataclass
class Task:
    """What is trained on: two views of image folders and which of their samples count."""

    train: ImageFolder
    test: ImageFolder
    train_indices: list[int]
    test_indices: list[int]
    epochs: int


def digits_task(cache: Path) -> Task:
    root = demo_data.digits(cache / "digits")
    tail = [
        transforms.Resize(16),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ]
    train = ImageFolder(str(root / "train"), transforms.Compose(tail))
    test = ImageFolder(str(root / "test"), transforms.Compose(tail))
    return Task(train, test, list(range(len(train))), list(range(len(test))), epochs=12)


def folder_task(data: Path) -> Task:
    tail = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    crop = [transforms.RandomResizedCrop(64, scale=(0.3, 1.0)), transforms.RandomHorizontalFlip()]
    centre = [transforms.Resize(72), transforms.CenterCrop(64)]
    train = ImageFolder(str(data), transforms.Compose(crop + tail))
    test = ImageFolder(str(data), transforms.Compose(centre + tail))
    order = list(range(len(train)))
    random.Random(0).shuffle(order)
    held_out = max(1, len(order) // 6)
    return Task(train, test, order[held_out:], order[:held_out], epochs=3)


def network(classes: int) -> nn.Module:
    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    layers = stage(3, 32) + stage(32, 64) + stage(64, 64)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


@dataclass
class Run:
    losses: list[float]
    accuracy: float
    seconds: float
    waited: float


def train(task: Task, loader_class: type, name: str) -> Run:
    """One training, every draw from the same seed: with equal batches it gives equal losses."""
    torch.manual_seed(0)
    model = network(len(task.train.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    sampler = SubsetRandomSampler(task.train_indices)
    loader = loader_class(task.train, batch_size=50, sampler=sampler, num_workers=WORKERS)
    losses, waited, start = [], 0.0, time.perf_counter()
    bar = tqdm(total=task.epochs * len(loader), desc=f"  {name:9}", unit="batch", leave=True)
    for _ in range(task.epochs):
        iterator = iter(loader)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    seconds = time.perf_counter() - start
    bar.close()
    return Run(losses, test(task, model, loader_class), seconds, waited / seconds)


def test(task: Task, model: nn.Module, loader_class: type) -> float:
    model.eval()
    right = 0
    # A list of indices is a sampler too.
    indices = task.test_indices
    loader = loader_class(task.test, batch_size=100, sampler=indices, num_workers=WORKERS)
    with torch.no_grad():
        for images, labels in loader:
            right += int((model(images).argmax(1) == labels).sum())
    return right / len(indices)


def imagenet_loader(data: Path, loader_class: type) -> torch.utils.data.DataLoader:
    pipeline = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    dataset = ImageFolder(str(data), pipeline)
    options = {"threads": WORKERS} if loader_class is penstock.DataLoader else {}
    return loader_class(dataset, batch_size=64, shuffle=True, num_workers=WORKERS, **options)


def images_per_second(loader: torch.utils.data.DataLoader, name: str, epoch: int) -> float:
    torch.manual_seed(epoch)
    start, n = time.perf_counter(), 0
    for images, _ in tqdm(loader, desc=f"  {name:9}", unit="batch", leave=False):
        n += len(images)
    return n / (time.perf_counter() - start)


def throughput(data: Path, rounds: int) -> dict[str, float]:
    """Both loaders in turn; the best round of each."""
    loaders = {name: imagenet_loader(data, kind) for name, kind in LOADERS.items()}
    best = dict.fromkeys(LOADERS, 0.0)
    for epoch in range(rounds):
        for name, loader in loaders.items():
            best[name] = max(best[name], images_per_second(loader, name, epoch))
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="an image folder of your own")
    parser.add_argument("--cache", type=Path, default=Path("build/demo"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    task = folder_task(args.data) if args.data else digits_task(args.cache)
    photos = args.data or demo_data.tiles(args.cache / "tiles")

    print(f"Training on {len(task.train_indices)} images, {len(task.train.classes)} classes")
    runs = {name: train(task, kind, name) for name, kind in LOADERS.items()}
    print(f"\nThe ImageNet training pipeline on {photos}")
    speed = throughput(photos, args.rounds)
    loader = imagenet_loader(photos, penstock.DataLoader)
    report = penstock.verify(loader, batches=4)

    print(f"\n{loader.explain()}\n")
    print(f"{'':28}{'Penstock':>12}{'PyTorch':>12}")
    ours, stock = runs["Penstock"], runs["PyTorch"]
    print(f"{'held-out accuracy':28}{ours.accuracy:>12.1%}{stock.accuracy:>12.1%}")
    print(f"{'training, seconds':28}{ours.seconds:>12.1f}{stock.seconds:>12.1f}")
    print(f"{'of it waiting for data':28}{ours.waited:>12.1%}{stock.waited:>12.1%}")
    print(f"{'ImageNet pipeline, images/s':28}{speed['Penstock']:>12.0f}{speed['PyTorch']:>12.0f}")
    print(f"\nImageNet pipeline: {speed['Penstock'] / speed['PyTorch']:.1f} times PyTorch's speed")
    equal = ours.losses == stock.losses
    print(f"All {len(ours.losses)} training losses equal, bit for bit: {'yes' if equal else 'NO'}")
    print(f"Batches compared with PyTorch's: {report}")
    good = equal and bool(report.ok) and (args.data is not None or ours.accuracy > 0.95)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
