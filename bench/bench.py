# SPDX-License-Identifier: Apache-2.0
"""Penstock and PyTorch's own loader in turn, on the same data, in one run.

python bench/bench.py [--data DIR] [--rounds N] [--threads 2] [--workers 2] [--plot FILE]

For the ImageNet training and evaluation pipelines: wall and CPU time per image (all processes,
workers included) with the ratio round by round; for Penstock also the stages, the Python cost per
batch on the consumer's thread, the batch memory mapped after the first epochs, and resident memory.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path

import penstock
import PIL
import torch
import torch.utils.data
import torchvision
from penstock import _core
from torchvision import transforms
from torchvision.datasets import ImageFolder

NORMALIZE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PIPELINES = {
    "train": transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            NORMALIZE,
        ]
    ),
    "eval": transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALIZE]
    ),
}


def cpu_seconds() -> float:
    """User and system time of this process and of the children it has waited for."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def epoch(loader: torch.utils.data.DataLoader) -> dict[str, float]:
    """One pass; milliseconds per image, and the consumer thread's CPU microseconds per batch."""
    cpu, wall, own, images, batches = cpu_seconds(), time.perf_counter(), time.thread_time(), 0, 0
    for batch in loader:
        images += len(batch[0])
        batches += 1
    del batch
    return {
        "wall_ms": (time.perf_counter() - wall) / images * 1e3,
        "cpu_ms": (cpu_seconds() - cpu) / images * 1e3,
        "consumer_us": (time.thread_time() - own) / batches * 1e6,
    }


def make_loader(kind: type, data: Path, name: str, args: argparse.Namespace):
    own = {"threads": args.threads} if kind is penstock.DataLoader else {}
    dataset = ImageFolder(str(data), PIPELINES[name])
    return kind(dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers, **own)


def medians(rounds: dict[str, list[dict[str, float]]]) -> dict:
    """Of each figure of the two sides, and of its ratio round by round."""
    result: dict = {"rounds": rounds}
    for figure in ("wall_ms", "cpu_ms", "consumer_us"):
        a = [r[figure] for r in rounds["penstock"]]
        b = [r[figure] for r in rounds["pytorch"]]
        result[figure] = {
            "penstock": statistics.median(a),
            "pytorch": statistics.median(b),
            "ratio": statistics.median(y / x for x, y in zip(a, b, strict=True)),
        }
    return result


def take_turns(ours: penstock.DataLoader, stock: torch.utils.data.DataLoader, n: int) -> dict:
    rounds = {"penstock": [], "pytorch": []}
    for _ in range(n + 1):
        rounds["penstock"].append(epoch(ours))
        rounds["pytorch"].append(epoch(stock))
    # The first round warms the page cache, the workers' imports and the slabs.
    rounds = {side: seen[1:] for side, seen in rounds.items()}
    return medians(rounds) | {"stages": ours.stats().as_dict()}


def in_turn(data: Path, name: str, args: argparse.Namespace) -> dict:
    ours = make_loader(penstock.DataLoader, data, name, args)
    stock = make_loader(torch.utils.data.DataLoader, data, name, args)
    return take_turns(ours, stock, args.rounds)


def memory(data: Path, epochs: int, args: argparse.Namespace) -> dict:
    """Resident memory after each epoch, and batch memory mapped after the first."""
    loader = make_loader(penstock.DataLoader, data, "train", args)
    resident, mapped = [], []
    for _ in range(epochs):
        epoch(loader)
        resident.append(resident_bytes())
        mapped.append(loader.stats().as_dict()["slab_allocs"])
    settled = resident[2:]
    return {
        "epochs": epochs,
        "resident_mb": [round(r / 1e6, 1) for r in resident],
        "spread": (max(settled) - min(settled)) / min(settled),
        "slabs_mapped_after_epoch_3": mapped[-1] - mapped[2],
    }


def machine() -> dict:
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernels": _core.kernels(),
        "libraries": _core.build_info(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


def show(name: str, result: dict, count: int) -> None:
    print(f"\n{name}: {count} images, median of the rounds")
    print(f"  {'':16}{'Penstock':>10}{'PyTorch':>10}{'ratio':>8}")
    for figure, label in (("wall_ms", "wall ms/image"), ("cpu_ms", "CPU ms/image")):
        row = result[figure]
        print(f"  {label:16}{row['penstock']:>10.3f}{row['pytorch']:>10.3f}{row['ratio']:>7.2f}x")
    row = result["consumer_us"]
    print(f"  {'consumer us/batch':16}{row['penstock']:>9.0f}{row['pytorch']:>10.0f}")
    stages = result["stages"]
    if stages["samples"] == 0:
        return  # PyTorch's lane
    each = " ".join(
        f"{stage} {seconds / stages['samples'] * 1e3:.4f}"
        for stage, seconds in stages["stage_s"].items()
    )
    print(f"  stages, ms/image: {each}")


def plot(results: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 2.4))
    names = list(results["pipelines"])
    for offset, (side, colour) in enumerate((("pytorch", "#c8553d"), ("penstock", "#28666e"))):
        speed = [1e3 / results["pipelines"][name]["wall_ms"][side] for name in names]
        places = [i + 0.36 * (offset - 0.5) for i in range(len(names))]
        label = {"pytorch": "PyTorch DataLoader", "penstock": "Penstock"}[side]
        bars = axes.barh(places, speed, height=0.34, color=colour, label=label)
        axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"images per second, {results['threads']} threads or worker processes")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def find_data(given: Path | None) -> Path:
    if given:
        return given
    photos = Path(__file__).resolve().parents[2] / "shared" / "data" / "photos"
    if photos.is_dir():
        return photos
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    import demo_data

    print("The photographs of the benchmark are not here: tiles cut from scikit-image's are used.")
    return demo_data.tiles(Path("build/demo/tiles"))


def arguments(doc: str, results: str) -> argparse.ArgumentParser:
    """The options of benchmarks on a folder of images."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, help="an image folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--json", type=Path, default=Path(results))
    return parser


def main() -> None:
    parser = arguments(__doc__, "build/bench.json")
    parser.add_argument("--memory-epochs", type=int, default=20)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    data = find_data(args.data)
    results: dict = {"machine": machine(), "threads": args.threads, "pipelines": {}}
    print("\n".join(f"{key}: {value}" for key, value in results["machine"].items()))
    for name in PIPELINES:
        result = results["pipelines"][name] = in_turn(data, name, args)
        show(name, result, len(ImageFolder(str(data))))
    results["memory"] = memory(data, args.memory_epochs, args)
    kept = results["memory"]
    print(
        f"\nmemory over {kept['epochs']} epochs: spread {kept['spread']:.2%} after the second, "
        f"{kept['slabs_mapped_after_epoch_3']} slabs mapped after the third"
    )
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(results, indent=1))
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
