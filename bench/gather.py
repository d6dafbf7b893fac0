# SPDX-License-Identifier: Apache-2.0
"""Rows of a file in page cache, in turn in one process: a loop of memcpy in C, numpy.take(out=) on
a memmap, and Array.gather()'s C call into the same memory; microseconds a row.

    PYTHONPATH=build/release/site .venv/bin/python bench/gather.py [--rounds N]
        [--cold FILE_MIB | --sequential FILE_MIB [--workers N]] [--file FILE]

--cold: 400 random rows of 16 KiB of a file that is not in page cache: the intent probe
(MADV_RANDOM, MADV_WILLNEED for all rows, then a copy), and gather by both ways to read;
milliseconds, and the MB that are in page cache afterwards.

--sequential: all rows of 16 KiB of such a file, through the loader in batches of 64, in turn with
fio (1 MiB, 16 at a time, direct), if it is installed: MB/s, the CPU's share, and the median of what
a round's MB/s are of fio's in that round.
"""

import argparse
import ctypes
import gc
import json
import mmap
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy
import penstock
from penstock.datasets import Array

Access = Literal["mmap", "pread", "direct"]
ACCESSES: tuple[Access, ...] = get_args(Access)
ROW_BYTES = (1 << 10, 4 << 10, 16 << 10, 64 << 10, 150 << 10)
LOOP = """
#include <stddef.h>
#include <stdint.h>
#include <string.h>
void copy_rows(char *to, const char *from, const int64_t *rows, size_t n, size_t bytes)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * bytes, from + (size_t)rows[i] * bytes, bytes);
}
"""


def compile_loop(folder: str) -> Any:
    source, library = f"{folder}/loop.c", f"{folder}/loop.so"
    Path(source).write_text(LOOP, encoding="ascii")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    loop = ctypes.CDLL(library).copy_rows
    loop.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t] * 2
    return loop


def in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of this thread, round by round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begun = time.thread_time()
            way()
            if number > 0:
                found[name].append(time.thread_time() - begun)
    return found


def ways_of(loop: Any, rows: Any, dataset: Any, indices: Any, outs: Any) -> dict[str, Any]:
    _, batch, size = outs.shape
    base = rows.ctypes.data

    def by_loop() -> None:
        for index, out in zip(indices, outs, strict=True):
            loop(out.ctypes.data, base, index.ctypes.data, batch, size)

    def by_take() -> None:
        for index, out in zip(indices, outs, strict=True):
            numpy.take(rows, index, axis=0, out=out, mode="clip")

    def by_gather() -> None:
        for index, out in zip(indices, outs, strict=True):
            dataset._rows.gather(index, [out])

    return {"memcpy": by_loop, "np.take": by_take, "gather": by_gather}


def warm(folder: str, rounds: int) -> None:
    loop = compile_loop(folder)
    print("     row    memcpy   np.take    gather   us a row; gather by memcpy, by np.take")
    for size in ROW_BYTES:
        path, batch = Path(folder) / "rows", 64
        n_rows, n_batches = (1 << 29) // size, max(4, (1 << 26) // (batch * size))
        numpy.random.default_rng(0).integers(0, 256, n_rows * size, numpy.uint8).tofile(path)
        rows = numpy.memmap(path, numpy.uint8, "r", shape=(n_rows, size))
        dataset = Array(path, dtype="uint8", shape=(-1, size), access="mmap")
        indices = numpy.random.default_rng(1).integers(0, n_rows, (n_batches, batch))
        outs = numpy.empty((n_batches, batch, size), numpy.uint8)
        ways = ways_of(loop, rows, dataset, indices, outs)
        ways["memcpy"]()
        expected = outs.copy()
        ways["gather"]()
        assert numpy.array_equal(outs, expected)
        del expected
        found = in_turn(ways, rounds)
        line = f"{size >> 10:>5} KB"
        for times in found.values():
            line += f" {statistics.median(times) / n_batches / batch * 1e6:>9.3f}"
        for name in ("memcpy", "np.take"):
            pairs = zip(found["gather"], found[name], strict=True)
            line += f"   {statistics.median(a / b for a, b in pairs):.2f}"
        print(line, flush=True)


def cached(path: Path) -> float:
    """MB of a file that are in page cache."""
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        view = numpy.frombuffer(mapped, numpy.uint8)
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        vector = (ctypes.c_ubyte * pages)()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mincore(ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), vector) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        del view
        return float((numpy.frombuffer(vector, numpy.uint8) & 1).sum()) * mmap.PAGESIZE / 1e6


def make_file(path: Path, mib: int) -> None:
    if path.exists() and path.stat().st_size == mib << 20:
        return
    with path.open("wb") as file:
        for _ in range(mib // 16):
            file.write(os.urandom(16 << 20))
        file.flush()
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    """Out of page cache; what is mapped somewhere stays."""
    gc.collect()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    left = cached(path)
    if left > 1:
        raise RuntimeError(f"{left:.0f} MB of {path} stay in page cache")


def by_fio(path: Path) -> tuple[float, float]:
    """MB/s, and the share of a core."""
    words = "--name=s --rw=read --bs=1M --iodepth=16 --ioengine=libaio --direct=1 --readonly"
    done = subprocess.run(
        ["fio", *words.split(), f"--filename={path}", "--output-format=json"],
        check=True,
        capture_output=True,
        text=True,
    )
    job = json.loads(done.stdout)["jobs"][0]
    return job["read"]["bw_bytes"] / 1e6, (job["usr_cpu"] + job["sys_cpu"]) / 100


def by_loader(path: Path, access: Access, workers: int) -> tuple[float, float]:
    dataset = Array(path, dtype="uint8", shape=(-1, 16 << 10), access=access)
    begun, cpu, n_bytes = time.perf_counter(), time.process_time(), 0
    for batch in penstock.DataLoader(dataset, batch_size=64, num_workers=workers):
        n_bytes += batch.numel()
    elapsed = time.perf_counter() - begun
    return n_bytes / elapsed / 1e6, (time.process_time() - cpu) / elapsed


def sequential(path: Path, mib: int, rounds: int, workers: int) -> None:
    make_file(path, mib)
    ways: dict[str, Callable[[], tuple[float, float]]] = {}
    if shutil.which("fio"):
        ways["fio"] = lambda: by_fio(path)
    for access in ACCESSES:
        ways[access] = lambda access=access: by_loader(path, access, workers)  # type: ignore[misc]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        # Each way comes after each other one: the disk is not the same from minute to minute.
        names = list(ways)[number % len(ways) :] + list(ways)[: number % len(ways)]
        for name in names:
            forget(path)
            found[name].append(ways[name]())
    for name, runs in found.items():
        speed, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        line = f"sequential {name:6} {speed:6.0f} MB/s, {cpu:.2f} of a core"
        if "fio" in found:
            pairs = zip(runs, found["fio"], strict=True)
            line += f", {statistics.median(a[0] / b[0] for a, b in pairs):.2f} of fio's"
        print(line, flush=True)


def cold(path: Path, mib: int) -> None:
    row, count = 16 << 10, 400
    make_file(path, mib)
    n_rows = (mib << 20) // row
    random = numpy.random.default_rng(2)

    def probe(indices: Any) -> None:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            mapped.madvise(mmap.MADV_RANDOM)
            for index in indices:
                mapped.madvise(mmap.MADV_WILLNEED, int(index) * row, row)
            for index in indices:
                bytes(mapped[int(index) * row : (int(index) + 1) * row])

    out = numpy.empty((count, row), numpy.uint8)

    def way_of(name: str) -> Callable[[Any], Any]:
        if name == "probe":
            return probe
        dataset = Array(path, dtype="uint8", shape=(-1, row), access=name)  # type: ignore[arg-type]
        return lambda indices: dataset._rows.gather(array("q", indices), [out])

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("probe", *ACCESSES)}
    for _ in range(7):
        for name in found:
            indices = random.integers(0, n_rows, count).tolist()
            way = None  # what it has mapped would stay in page cache
            forget(path)
            way = way_of(name)
            before = cached(path)
            begun = time.perf_counter()
            way(indices)
            elapsed = time.perf_counter() - begun
            found[name].append((elapsed * 1e3, cached(path) - before))
    asked = count * row / 1e6
    for name, runs in found.items():
        ms, mb = (statistics.median(values) for values in zip(*runs, strict=True))
        print(
            f"cold {name:6} {ms:7.1f} ms, {mb:6.1f} MB in page cache for {asked:.1f} MB asked for"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cold", type=int, metavar="MIB")
    parser.add_argument("--sequential", type=int, metavar="MIB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--file", type=Path, default=Path(tempfile.gettempdir()) / "penstock-rows.bin"
    )
    arguments = parser.parse_args()
    if arguments.cold:
        cold(arguments.file, arguments.cold)
        return
    if arguments.sequential:
        sequential(arguments.file, arguments.sequential, arguments.rounds, arguments.workers)
        return
    with tempfile.TemporaryDirectory() as folder:
        warm(folder, arguments.rounds)


if __name__ == "__main__":
    main()
