# SPDX-License-Identifier: Apache-2.0
"""Penstock and PyTorch's own loader in turn on tiny images in memory, as CIFAR10 and MNIST have.

python bench/array_datasets.py [--images N] [--rounds N] [--threads 2] [--workers 2]

Wall and CPU time per image (all processes, workers included) with the ratio round by round, and the
consumer thread's CPU time per batch. Where RandomCrop has no native counterpart the pipeline that
asks for it is named as such and PyTorch's.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy
import penstock
import torch
import torch.utils.data
from torchvision import datasets, transforms

import bench

CIFAR = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
FLIP = transforms.RandomHorizontalFlip()
PIPELINES: dict[str, tuple[str, list[Any]]] = {
    "CIFAR10, RandomCrop": (
        "cifar",
        [transforms.RandomCrop(32, padding=4), FLIP, transforms.ToTensor(), CIFAR],
    ),
    "CIFAR10, flip": ("cifar", [transforms.CenterCrop(32), FLIP, transforms.ToTensor(), CIFAR]),
    "CIFAR10, eval": ("cifar", [transforms.ToTensor(), CIFAR]),
    "MNIST": ("mnist", [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]),
}


def make_dataset(kind: str, n: int, steps: list[Any]) -> Any:
    """What the class's constructor makes of its files, filled with noise."""
    cls = datasets.CIFAR10 if kind == "cifar" else datasets.MNIST
    dataset: Any = cls.__new__(cls)
    datasets.VisionDataset.__init__(dataset, "", transform=transforms.Compose(steps))
    state = numpy.random.default_rng(0)
    labels = state.integers(0, 10, n).tolist()
    if kind == "cifar":
        planes = state.integers(0, 256, (n, 3, 32, 32), dtype=numpy.uint8)
        dataset.data, dataset.targets = planes.transpose(0, 2, 3, 1), labels
    else:
        pixels = state.integers(0, 256, (n, 28, 28), dtype=numpy.uint8)
        dataset.data, dataset.targets = torch.from_numpy(pixels), torch.tensor(labels)
    return dataset


def in_turn(kind: str, steps: list[Any], args: argparse.Namespace) -> dict[str, Any]:
    options = {"batch_size": args.batch_size, "shuffle": True, "num_workers": args.workers}
    dataset = make_dataset(kind, args.images, steps)
    ours = penstock.DataLoader(dataset, **options, threads=args.threads)
    stock = torch.utils.data.DataLoader(dataset, **options)
    rounds: dict[str, list[dict[str, float]]] = {"penstock": [], "pytorch": []}
    for _ in range(args.rounds + 1):
        rounds["penstock"].append(bench.epoch(ours))
        rounds["pytorch"].append(bench.epoch(stock))
    rounds = {side: seen[1:] for side, seen in rounds.items()}  # the first one warms up
    result = bench.medians(rounds)
    return result | {"lane": penstock.explain(ours).lane, "stages": ours.stats().as_dict()}


def show(name: str, result: dict[str, Any]) -> None:
    lane = "" if result["lane"] == "native" else "  (PyTorch's lane)"
    print(f"\n{name}{lane}\n  {'':18}{'Penstock':>10}{'PyTorch':>10}{'ratio':>8}")
    for figure, label in (("wall_ms", "wall us/image"), ("cpu_ms", "CPU us/image")):
        row = result[figure]
        mine, theirs = row["penstock"] * 1e3, row["pytorch"] * 1e3
        print(f"  {label:18}{mine:>10.2f}{theirs:>10.2f}{row['ratio']:>7.1f}x")
    row = result["consumer_us"]
    print(f"  {'consumer us/batch':18}{row['penstock']:>10.0f}{row['pytorch']:>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--json", type=Path, default=Path("build/bench-arrays.json"))
    args = parser.parse_args()
    results: dict[str, Any] = {"machine": bench.machine(), "pipelines": {}}
    print("\n".join(f"{key}: {value}" for key, value in results["machine"].items()))
    for name, (kind, steps) in PIPELINES.items():
        result = results["pipelines"][name] = in_turn(kind, steps, args)
        show(name, result)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
