# SPDX-License-Identifier: Apache-2.0
"""Files that are read around the page cache, with a ring and where the system refuses one."""

import ctypes
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy
import penstock
import pytest
import torch
from penstock.datasets import Array, Tokens

# Hashes of all batches of three datasets, by every way and number of threads. The first argument
# says what is taken from the process before.
SCRIPT = '''
import ctypes, hashlib, json, resource, struct, sys

def without_ring():
    """Of system calls that have one number everywhere: io_uring_setup is EPERM."""
    steps = (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)
    filter = b"".join(struct.pack("HBBI", *one) for one in steps)
    memory = ctypes.create_string_buffer(filter, len(filter))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(memory)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0

taken, folder = sys.argv[1:]
if taken == "ring":
    without_ring()
if taken == "memlock":
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))

import penstock, torch
from penstock.datasets import Array, Tokens

def opened(access):
    yield Array(f"{folder}/rows.npy", access=access)
    yield Tokens(f"{folder}/tokens.bin", 700, dtype="uint16", stride=331, access=access)
    yield Array(f"{folder}/ragged.pst", pad_to=50, access=access)

def flat(batch):
    if isinstance(batch, dict):
        return list(batch.values())
    return [batch] if isinstance(batch, torch.Tensor) else list(batch)

found = {}
for access in ("mmap", "pread", "direct"):
    for workers in (0, 1, 2, 8):
        sums = []
        for dataset in opened(access):
            torch.manual_seed(7)
            loader = penstock.DataLoader(dataset, 33, shuffle=True, num_workers=workers)
            sum = hashlib.sha256()
            for batch in loader:
                for tensor in flat(batch):
                    sum.update(tensor.numpy().tobytes())
            sums.append(sum.hexdigest())
        found[f"{dataset.access} {workers}"] = sums
print(json.dumps({"found": found, "said": str(loader.explain())}))
'''


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("direct")
    random = numpy.random.default_rng(3)
    numpy.save(folder / "rows.npy", random.integers(0, 256, (900, 3001), numpy.uint8))
    random.integers(0, 50000, 150000, numpy.uint16).tofile(folder / "tokens.bin")
    lengths = random.integers(0, 80, 700)
    with penstock.ArrayWriter(folder / "ragged.pst") as writer:
        writer.write(
            {
                "items": [random.integers(-9, 9, int(n), numpy.int32) for n in lengths],
                "label": numpy.arange(700),
            }
        )
    return folder


def run(files: Path, taken: str) -> tuple[dict[str, list[str]], str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, taken, str(files)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = json.loads(done.stdout)
    return told["found"], told["said"]


@pytest.mark.fault("R26")
def test_every_way_gives_the_same_bytes(files, tried):
    sums: set[str] = set()
    for taken in ("nothing", "ring", "memlock"):
        found, said = run(files, taken)
        assert len(found) >= 8
        sums |= {"".join(one) for one in found.values()}
        tried(len(found))
        if taken == "ring" and "direct 2" in found:
            assert "one read at a time, there is no io_uring: Operation not permitted" in said
    assert len(sums) == 1


def test_what_is_said(files):
    dataset = Array(files / "rows.npy", access="direct")
    if dataset.access != "direct":
        pytest.skip("the file system cannot be read around the page cache")
    said = str(penstock.DataLoader(dataset, 4, num_workers=2).explain())
    assert "around the page cache: as asked for" in said
    assert "batches on threads ahead" in said
    small = Array(files / "rows.npy")
    assert small.access == "mmap"
    assert "fit the budget of" in str(penstock.DataLoader(small, 4).explain())
    read = Tokens(files / "tokens.bin", 16, dtype="uint16", memory_budget=1000)
    assert "but the page cache" in str(penstock.DataLoader(read, 4).explain())


def cached_pages(file: Path) -> int:
    size = file.stat().st_size
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        view = numpy.frombuffer(mapped, numpy.uint8)
        pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
        address, n_bytes = ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size)
        assert ctypes.CDLL(None).mincore(address, n_bytes, pages) == 0
        del view
    return sum(page & 1 for page in pages)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_page_cache_stays_as_it_was(tmp_path, workers):
    file = tmp_path / "x.npy"
    rows = numpy.random.default_rng(workers).integers(0, 256, (500, 5000), numpy.uint8)
    with file.open("wb") as opened:
        numpy.save(opened, rows)
        opened.flush()
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    dataset = Array(file, access="direct")
    if dataset.access != "direct":
        pytest.skip("the file system cannot be read around the page cache")
    before = cached_pages(file)
    if before > 300:  # of 611
        pytest.skip("the file system does not let go of its pages")
    batches = list(penstock.DataLoader(dataset, 20, shuffle=True, num_workers=workers))
    assert sum(map(len, batches)) == 500
    assert cached_pages(file) <= before
    list(penstock.DataLoader(Array(file, access="pread"), 20))
    assert cached_pages(file) == 611


@pytest.mark.fault("R34")
def test_in_a_forked_child(files):
    """A child of torch's own loader reads what its parent had open, and so does the parent."""
    dataset = Array(files / "rows.npy", access="direct")
    expected = dataset.gather(range(900))
    loader = torch.utils.data.DataLoader(
        dataset, 100, num_workers=2, multiprocessing_context="fork"
    )
    for turn in range(2):
        assert torch.equal(torch.cat(list(loader)), expected), turn
        assert torch.equal(dataset.gather([899, 5]), expected[[899, 5]])


@pytest.mark.parametrize("n_parts", [1, 2])
def test_the_threads_memory_counts(files, n_parts):
    for access in ("pread", "direct"):
        part = Array(files / "rows.npy", access=access)
        dataset = torch.utils.data.ConcatDataset([part] * n_parts) if n_parts > 1 else part
        loader = penstock.DataLoader(dataset, 33, num_workers=2, memory_budget=64 << 20)
        list(loader)
        assert loader.explain().lane == "native"
        memory = loader.stats().as_dict()["memory"]
        threads = 2 << 20 if part.access == "direct" else 0
        assert memory["held_peak"] == memory["slabs_peak"] + threads
