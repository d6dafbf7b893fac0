# SPDX-License-Identifier: Apache-2.0
"""What bench measures: single stages, and loaders in turn."""

import contextlib
import random
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import penstock
import torch
import torch.utils.data
from penstock import _core, capture, prepare
from penstock.cli import storage
from penstock.cli.console import CommandError
from penstock.cli.pipelines import keep
from penstock.cli.stopwatch import Speed, measure, own_cpu_s, process_cpu_s
from penstock.options import era_of_pillow

_MOST_BYTES = 256 << 20  # encoded images, and decoded ones, that are held in memory
_LEAST_SAMPLES = 1024  # in an epoch of the loaders, by repetition


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and the most itself."""
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


def load(paths: list[str]) -> list[bytes]:
    records: list[bytes] = []
    total = 0
    for path in paths:
        record = storage.read(path)
        total += len(record)
        if records and total > _MOST_BYTES:
            break
        records.append(record)
    return records


def native(records: list[bytes]) -> list[bytes]:
    """Those that the engine decodes by itself."""
    found = []
    for record in records:
        with contextlib.suppress(_core.Error, ValueError):
            _core.decode(record)
            found.append(record)
    return found


def read_cold(paths: list[str], threads: int, seconds: float) -> Speed | None:
    """None: the page cache cannot be emptied here, so the disk cannot be measured."""
    if not storage.forget_all(paths):
        return None
    return measure(storage.read, paths, threads, seconds, once=True)


def _decoded(records: list[bytes]) -> list[tuple[bytes, int, int]]:
    images, total = [], 0
    for record in records:
        array = _core.decode(record)
        height, width, _ = array.shape
        images.append((bytes(memoryview(array)), width, height))
        total += 3 * width * height
        if total > _MOST_BYTES:
            break
    return images


def transform_speed(dataset: Any, records: list[bytes], threads: int, seconds: float) -> Speed:
    """The engine's transform of decoded images, with parameters drawn anew for each."""
    import PIL

    reading = capture.read_dataset(dataset)
    made = prepare.prepare(reading, era_of_pillow(PIL.__version__)).transform
    words = random.Random(0).randbytes(4 * made.max_words)

    def apply(image: tuple[bytes, int, int]) -> None:
        rgb, width, height = image
        made.apply(rgb, width, height, words)

    return measure(apply, _decoded(records), threads, seconds)


def single_stages(paths: list[str], records: list[bytes], most: int, seconds: float) -> list[Any]:
    """(stage, threads, speed or None, bytes of an item)."""
    good = native(random.Random(0).sample(records, len(records)))  # costs without a pattern
    mean = sum(map(len, records)) / len(records)
    rows: list[Any] = [("read, disk", most, read_cold(paths, most, 5 * seconds), mean)]
    for threads in thread_counts(most):
        rows.append(("read, memory", threads, measure(storage.read, paths, threads, seconds), mean))
    if good:
        rows.append(("probe", 1, measure(_core.probe, good, 1, seconds), 0.0))
        for threads in thread_counts(most):
            rows.append(("decode", threads, measure(_core.decode, good, threads, seconds), mean))
    return rows


# --- loaders


class Running:
    """A loader that runs on from epoch to epoch."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._iterator: Any = None
        self._batches = self._endless()

    def _endless(self) -> Iterator[int]:
        while True:
            self._iterator = iter(self._loader)
            for _ in self._iterator:
                yield self._loader.batch_size  # the last one is dropped where it is smaller

    def _cpu_s(self) -> float:
        workers = getattr(self._iterator, "_workers", None) or []
        return own_cpu_s() + sum(process_cpu_s(w.pid) for w in workers if hasattr(w, "pid"))

    def warm_up(self) -> None:
        """Past what was loaded ahead while it was not measured."""
        ahead = (self._loader.prefetch_factor or 1) * max(self._loader.num_workers, 1)
        for _ in range(ahead + 1):
            next(self._batches)

    def measure(self, seconds: float) -> Speed:
        self.warm_up()
        cpu, wall = self._cpu_s(), time.monotonic()
        images = next(self._batches)
        while time.monotonic() - wall < seconds:
            images += next(self._batches)
        return Speed(images, time.monotonic() - wall, self._cpu_s() - cpu)

    def close(self) -> None:
        if hasattr(self._iterator, "_shutdown_workers"):
            self._iterator._shutdown_workers()


def _make(kind: Any, dataset: Any, workers: int, batch_size: int, shuffle: bool) -> Running:
    own = {"threads": workers} if kind is penstock.DataLoader else {}
    loader = kind(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        persistent_workers=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(0),
        **own,
    )
    if own:
        explanation = loader.explain()
        if explanation.lane != "native":
            raise CommandError(f"the loader is not native here: {explanation.reason}")
    return Running(loader)


def repeat(dataset: Any, batch_size: int) -> None:
    """Makes of a few images an epoch that is worth starting."""
    samples = dataset.samples
    keep(dataset, samples * -(-max(_LEAST_SAMPLES, 2 * batch_size) // len(samples)))


def in_turn(
    dataset: Any,
    workers: int,
    batch_size: int,
    seconds: float,
    rounds: int,
    stock: bool,
    *,
    shuffle: bool = True,
) -> tuple[list[Speed], list[Speed]]:
    """Penstock and PyTorch by turns, so that what else the machine does meets both."""
    how = (dataset, workers, batch_size, shuffle)
    ours = _make(penstock.DataLoader, *how)
    theirs = _make(torch.utils.data.DataLoader, *how) if stock else None
    speeds: tuple[list[Speed], list[Speed]] = ([], [])
    try:
        for _ in range(rounds):
            speeds[0].append(ours.measure(seconds))
            if theirs is not None:
                speeds[1].append(theirs.measure(seconds))
    finally:
        ours.close()
        if theirs is not None:
            theirs.close()
    return speeds


def middle(speeds: list[Speed]) -> dict[str, float] | None:
    if not speeds:
        return None
    return {
        "images_per_s": median(speed.per_s for speed in speeds),
        "cpu_ms_per_image": median(speed.cpu_ms for speed in speeds),
    }
