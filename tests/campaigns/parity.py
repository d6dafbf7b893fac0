# SPDX-License-Identifier: Apache-2.0
"""Every photo and every JPEG and PNG of the zoo through the train and the eval pipeline: batches,
labels and global generators beside torch's own loader, at zero tolerance.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/parity.py

One life of torch's loader serves all numbers of threads. A line is one combination; files that
Pillow opens and then refuses have a folder of their own, one to a batch, for their exceptions.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import twins
from twins import kit

EPOCHS = 2


@dataclass
class Plan:
    folders: dict[str, tuple[Path, int]]  # image folder and batch size
    workers: tuple[int, ...] = (0, 1, 2, 3)
    threads: tuple[int, ...] = (1, 2, 5)
    pipelines: tuple[str, ...] = tuple(twins.PIPELINES)


@dataclass
class Result:
    combinations: int = 0
    batches: int = 0
    images: int = 0
    errors: int = 0
    doubts: int = 0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.combinations} combinations, {self.batches} batches, {self.images} images, "
            f"{len(self.differences)} differences ({self.errors} exceptions compared, "
            f"{self.doubts} images decided by Pillow)"
        )


def full_plan(root: Path, where: Path | None = None) -> Plan:
    zoo = twins.sort_zoo(sorted(twins.data("zoo", where).iterdir()))
    return Plan(
        {
            "photos": (twins.data("photos", where), 32),
            "zoo": (twins.link(zoo.whole, root / "whole"), 16),
            "broken": (twins.link(zoo.broken, root / "broken"), 1),
            "other": (twins.link(_in_folder(zoo.other), root / "other"), 8),
        }
    )


def quick_plan(root: Path, where: Path | None = None) -> Plan:
    plan = full_plan(root, where)
    del plan.folders["other"]
    few = twins.photo_files(where)[::10]
    plan.folders["photos"] = (twins.link(few, root / "photos"), 8)
    plan.workers, plan.threads = (0, 2), (2,)
    return plan


def _in_folder(files: list[Path]) -> list[Path]:
    """Those that ImageFolder takes by their names."""
    endings = twins.datasets.folder.IMG_EXTENSIONS
    return [file for file in files if file.suffix.lower() in endings]


def _live(cls: type, root: Path, pipeline: str, **options: Any) -> tuple[Any, twins.Life]:
    dataset = twins.datasets.ImageFolder(str(root), twins.PIPELINES[pipeline]())
    kit.seed_all(20 + options["num_workers"])
    loader = cls(dataset, shuffle="train" in pipeline, **options)
    return loader, twins.live(loader, EPOCHS)


def _combinations(plan: Plan) -> Iterator[tuple[str, str, int, bool]]:
    for folder in plan.folders:
        for pipeline in plan.pipelines:
            for workers in plan.workers:
                for persistent in (False, True) if workers else (False,):
                    yield folder, pipeline, workers, persistent


def _compare(stock: twins.Life, loader: Any, ours: twins.Life, what: str, result: Result) -> None:
    found = twins.difference(stock, ours)
    if found is None and not twins.is_native(loader):
        found = f"not on the native lane: {twins.penstock.explain(loader).reason}"
    batches, images, errors = twins.n_batches(ours), twins.n_images(ours), twins.n_errors(ours)
    doubts = twins.doubts(loader)
    result.combinations += 1
    result.batches += batches
    result.images += images
    result.errors += errors
    result.doubts += doubts
    counted = f"{batches} batches, {images} images, {errors} exceptions, {doubts} by Pillow"
    if found is None:
        print(f"{what}: {counted}, equal", flush=True)
        return
    print(f"{what}: {counted}, DIFFERENT\n  {found}", flush=True)
    print(f"  {twins.penstock.verify(loader, batches=None)}", flush=True)
    result.differences.append(f"{what}: {found}")


def run(plan: Plan) -> Result:
    result = Result()
    for folder, pipeline, workers, persistent in _combinations(plan):
        root, batch_size = plan.folders[folder]
        options = {"num_workers": workers, "batch_size": batch_size}
        if persistent:
            options["persistent_workers"] = True
        _, stock = _live(twins.STOCK, root, pipeline, **options)
        for threads in plan.threads:
            loader, ours = _live(twins.OURS, root, pipeline, threads=threads, **options)
            what = f"{folder} {pipeline} workers {workers}{' persistent' * persistent}"
            _compare(stock, loader, ours, f"{what} threads {threads}", result)
    return result


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="few photos, one number of threads")
    options = twins.begin(parser)
    warnings.simplefilter("ignore")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        plan = (quick_plan if options.quick else full_plan)(Path(root), options.data)
        result = run(plan)
    print(f"{time.monotonic() - start:.0f} s")
    print(result)
    return 1 if result.differences or not result.images else 0


if __name__ == "__main__":
    sys.exit(main())
