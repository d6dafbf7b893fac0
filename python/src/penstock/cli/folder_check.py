# SPDX-License-Identifier: Apache-2.0
"""What bounds the loader on a folder of images."""

import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from penstock import _core
from penstock.cli import environment, storage
from penstock.cli.arguments import Arguments
from penstock.cli.console import CommandError, count, percent, rate, size
from penstock.cli.pipelines import choose, evenly, image_folder
from penstock.cli.stopwatch import measure, own_cpu_s

_MOST = 20_000  # images that the loader goes round in
_COLD = 64  # files that are read from the disk
_SUMS = (
    "samples",
    "bytes_read",
    "doubts",
    "over_budget",
    "read_ns",
    "probe_ns",
    "plan_ns",
    "decode_ns",
    "transform_ns",
    "reference_ns",
)


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured. Times of stages are summed over the threads."""

    samples: int
    wall_s: float
    cpu_s: float
    cores: int
    threads: int
    read_s: float = 0.0
    decode_s: float = 0.0
    transform_s: float = 0.0
    pillow_s: float = 0.0  # in the consumer's thread
    by_pillow: int = 0
    bytes_read: int = 0
    over_budget: int = 0
    throttled_s: float = 0.0
    failed_batches: int = 0
    failure: str | None = None
    dataset_bytes: int = 0  # estimated from the files that were read
    cache_bytes: int | None = None  # what memory has room for
    cold_per_s: float | None = None  # files from the disk

    @property
    def per_s(self) -> float:
        return self.samples / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def busy(self) -> float:
        """Of the cores that the threads could use, how much this process used."""
        return self.cpu_s / (min(self.threads, self.cores) * max(self.wall_s, 1e-9))

    def of_threads(self, seconds: float) -> float:
        return seconds / (self.threads * max(self.wall_s, 1e-9))

    def ms(self, seconds: float) -> float:
        return 1e3 * seconds / max(self.samples, 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    bound: str
    why: str
    change: str
    is_bad: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _pillow(run: Run) -> Verdict:
    return Verdict(
        "pillow",
        f"{percent(run.by_pillow / max(run.samples, 1))} of the images are decided by Pillow in "
        f"one thread, {percent(run.pillow_s / run.wall_s)} of the time",
        "see 'penstock inspect' for which and why, and convert them to plain JPEG or PNG",
        True,
    )


def _disk(run: Run) -> Verdict:
    if run.cold_per_s is not None and run.cold_per_s < run.per_s:
        return Verdict(
            "disk",
            f"the disk gives {rate(run.cold_per_s)} files/s, and the data "
            f"({size(run.dataset_bytes)}) do not fit into memory",
            "a faster disk, more memory, or smaller files",
            True,
        )
    return Verdict(
        "disk",
        f"threads wait {percent(run.of_threads(run.read_s))} of the time for files, "
        f"{size(run.bytes_read / run.wall_s)}/s",
        "a faster disk, a local copy, or more threads than cores",
        True,
    )


def judge(run: Run) -> Verdict:
    """The one thing that a change would help most with."""
    if run.pillow_s > 0.3 * run.wall_s:
        return _pillow(run)
    is_large = run.cache_bytes is not None and run.dataset_bytes > run.cache_bytes
    if is_large and run.cold_per_s is not None and run.cold_per_s < 0.8 * run.per_s:
        return _disk(run)
    if run.of_threads(run.read_s) > 0.3 and run.busy < 0.7:
        return _disk(run)
    if run.over_budget and run.busy < 0.7:
        return Verdict(
            "memory",
            f"the memory budget was full, and {count(run.over_budget, 'batch', 'batches')} had to "
            "be let through",
            "raise memory_budget",
            True,
        )
    if run.throttled_s > 0.1 * run.wall_s:
        return Verdict(
            "quota",
            f"the CPU quota of the cgroup stopped threads for {run.throttled_s:.1f} s",
            "raise the quota, or use fewer threads",
            True,
        )
    return _processor(run)


def _processor(run: Run) -> Verdict:
    stages = {"decode": run.decode_s, "transform": run.transform_s, "read": run.read_s}
    stage = max(stages, key=lambda name: stages[name])
    each = f"{stage} takes most, {run.ms(stages[stage]):.2f} ms an image"
    if run.busy < 0.7:
        return Verdict(
            "contention",
            f"the threads got only {percent(run.busy)} of their cores: other work runs here",
            "end it, or give this process cores of its own",
            True,
        )
    if run.threads < run.cores:
        return Verdict(
            "threads",
            f"{count(run.threads, 'thread')} on {count(run.cores, 'core')}, {each}",
            f"use num_workers or threads={run.cores}",
            True,
        )
    return Verdict(
        "cores",
        f"all of {count(run.cores, 'core')} in use, {each}",
        "more cores, or images that are stored smaller",
        False,
    )


# --- the measurement


@dataclass(slots=True)
class _Tally:
    samples: int = 0
    failed: int = 0
    failure: str | None = None
    last: dict[str, int] = field(default_factory=dict)


def _next(iterator: Any, tally: _Tally) -> bool:
    """False at the end of an epoch. A broken file fails its batch, as in PyTorch."""
    try:
        batch = next(iterator)
    except StopIteration:
        return False
    except Exception as error:
        tally.failed += 1
        lines = str(error).strip().splitlines()
        tally.failure = f"{type(error).__name__}: {lines[-1] if lines else ''}"
    else:
        tally.samples += len(batch[1])
    return True


def _drain(loader: Any, seconds: float, tally: _Tally) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = tally.samples
        iterator = iter(loader)
        while _next(iterator, tally):
            if time.monotonic() >= deadline:
                break
        if tally.samples == before and tally.failed:
            raise CommandError(f"no batch can be loaded: {tally.failure}")


def _cold(paths: list[str], threads: int) -> float | None:
    some = evenly(paths, _COLD)
    try:
        if not storage.forget_all(some):
            return None
        return measure(storage.read, some, threads, 5.0, once=True).per_s
    except OSError:
        return None


def _mean_size(paths: list[str]) -> float:
    sizes = [os.path.getsize(path) for path in evenly(paths, 200) if os.path.exists(path)]
    return sum(sizes) / max(len(sizes), 1)


def run_folder(path: str, args: Arguments) -> tuple[Run, Any]:
    """Runs the loader; what was measured, and what the loader says of itself."""
    import penstock

    dataset = image_folder(path, args.pipeline or "train", args.size)
    n = len(dataset.samples)
    choose(dataset, _MOST)
    paths = [name for name, _ in dataset.samples]
    cores = _core.cpu_count()
    threads = args.threads or cores
    loader = penstock.DataLoader(
        dataset,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=threads,
        persistent_workers=True,
        threads=threads,
        memory_budget=args.memory_budget,
    )
    explanation = loader.explain()
    if explanation.lane != "native":
        raise CommandError(f"the loader is not native here: {explanation.reason}")
    tally = _Tally()
    _next(iter(loader), tally)  # starts the threads
    tally.samples = 0
    before, cpu, wall = loader.stats().counters, own_cpu_s(), time.monotonic()
    throttled = environment.throttled_s()
    _drain(loader, args.seconds or 5.0, tally)
    wall, cpu = time.monotonic() - wall, own_cpu_s() - cpu
    after = loader.stats().counters
    gain = {name: after[name] - before[name] for name in _SUMS}
    run = Run(
        samples=tally.samples,
        wall_s=wall,
        cpu_s=cpu,
        cores=cores,
        threads=threads,
        read_s=gain["read_ns"] / 1e9,
        decode_s=(gain["decode_ns"] + gain["probe_ns"]) / 1e9,
        transform_s=(gain["transform_ns"] + gain["plan_ns"]) / 1e9,
        pillow_s=gain["reference_ns"] / 1e9,
        by_pillow=gain["doubts"],
        bytes_read=gain["bytes_read"],
        over_budget=gain["over_budget"],
        throttled_s=environment.throttled_s() - throttled,
        failed_batches=tally.failed,
        failure=tally.failure,
        dataset_bytes=round(_mean_size(paths) * n),
        cache_bytes=environment.memory_for_cache(),
        cold_per_s=_cold(paths, threads),
    )
    return run, explanation
