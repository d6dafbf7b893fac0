# SPDX-License-Identifier: Apache-2.0
"""Random arrays in files beside the packages that wrote them, and damaged headers beside NumPy.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/mapped_arrays.py --cases 5000

A case is one array: `.npy` of every dtype, 0 to 6 dimensions, both orders of axes and of bytes, and
every version; safetensors; `torch.save()`; raw elements; tensordict. Its map, rows of it gathered
from a mapping and by reading, and what the package reads are the same bits. With --headers N, as
many headers of `.npy` with some bytes changed: what is taken, numpy.load() takes and reads the
same. A case follows from --seed and its number.
"""

import argparse
import io
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from penstock import MappedTensor, _core, mem_map

KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
TORCH = (
    *(torch.bool, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)
NPY, SAFETENSORS = 2, 3  # enum pst_array_kind


def bits(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Elements as bytes, in C order."""
    plain = tensor.clone(memory_format=torch.contiguous_format)
    return plain.reshape(-1).view(torch.uint8).numpy()


def draw_shape(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choice((0, 1, 1, 2, 2, 3, 5)) for _ in range(rng.randint(0, 6)))


def draw_array(rng: random.Random) -> np.ndarray[Any, Any]:
    dtype = np.dtype(rng.choice("<>") + rng.choice(KINDS))
    shape = draw_shape(rng)
    n = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "b":
        flat = np.array([rng.random() < 0.5 for _ in range(n)], dtype)
    else:
        flat = np.frombuffer(rng.randbytes(n * dtype.itemsize), dtype).copy()
    array = flat.reshape(shape)
    return np.asfortranarray(array) if rng.random() < 0.4 else array


def draw_tensor(rng: random.Random) -> torch.Tensor:
    dtype, shape = rng.choice(TORCH), draw_shape(rng)
    n = int(np.prod(shape, dtype=np.int64))
    if dtype == torch.bool:
        return torch.tensor([rng.random() < 0.5 for _ in range(n)], dtype=dtype).reshape(shape)
    raw = torch.tensor(list(rng.randbytes(n * dtype.itemsize)), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape) if n else torch.empty(shape, dtype=dtype)


def same(mapped: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    assert mapped.dtype == expected.dtype, (what, mapped.dtype, expected.dtype)
    assert mapped.shape == expected.shape, (what, mapped.shape, expected.shape)
    assert np.array_equal(bits(mapped), bits(expected)), what


def same_rows(
    rng: random.Random, file: Path, kind: int, name: str | None, all_: torch.Tensor
) -> None:
    """Rows that are gathered, mapped and read."""
    if all_.ndim == 0:
        return
    source = (bytes(file), None if name is None else name.encode(), kind, None, (), 0, 0, 0)
    n = len(all_)
    indices = np.array([rng.randrange(n) for _ in range(9)] if n else [], np.int64)
    for access in (0, 1, 2):
        try:
            rows = _core.array((source,), access, 1 if access == 0 else 0, False)
        except _core.Error as error:  # Fortran order can only be mapped
            if access == 2 and "only be mapped" in str(error):
                continue
            raise
        assert len(rows) == n
        (field,) = rows.fields()
        assert field[2] == tuple(all_.shape[1:])
        got = torch.empty((len(indices), *all_.shape[1:]), dtype=all_.dtype)
        flat = got.reshape(-1).view(torch.uint8)
        rows.gather(indices, [flat.numpy()])
        same(got, all_[torch.from_numpy(indices)], f"rows of {file.name}, access {access}")


def check_npy(rng: random.Random, folder: Path) -> str:
    array, file = draw_array(rng), folder / "x.npy"
    with file.open("wb") as out:
        np.lib.format.write_array(out, array, rng.choice([(1, 0), (2, 0), (3, 0)]))
    loaded = np.load(file)
    native = loaded.astype(loaded.dtype.newbyteorder("="), order="K")
    mapped = mem_map(file, mode=rng.choice("rc"))
    same(mapped, torch.from_numpy(native), f"npy {array.dtype.str} {array.shape}")
    if array.size:  # along dimensions of one element they say nothing
        for n, mine, theirs in zip(array.shape, mapped.stride(), loaded.strides, strict=True):
            assert n == 1 or mine * array.itemsize == theirs
    same_rows(
        rng, file, NPY, None, torch.from_numpy(np.ascontiguousarray(native).reshape(native.shape))
    )
    return f"npy {array.dtype.str}"


def check_safetensors(rng: random.Random, folder: Path) -> str:
    from safetensors.torch import load_file, save_file

    file = folder / "x.safetensors"
    names = [
        rng.choice(["a", "é\n", 'q"\\', "x.y", "z" * 70]) + str(i) for i in range(rng.randint(1, 5))
    ]
    metadata = {"format": "pt"} if rng.random() < 0.3 else None
    save_file({name: draw_tensor(rng) for name in names}, file, metadata)
    for name, tensor in load_file(file).items():
        same(mem_map(file, name=name), tensor, f"safetensors {name}")
        same_rows(rng, file, SAFETENSORS, name, tensor)
    return "safetensors"


def check_torch(rng: random.Random, folder: Path) -> str:
    file = folder / "x.pt"
    base = draw_tensor(rng)
    views = {"base": base, "more": {"again": base, "list": [draw_tensor(rng)]}}
    if base.ndim > 1:
        views["turned"] = base.transpose(0, -1)
    if base.ndim > 0 and len(base) > 1:
        views["tail"] = base[1:]
    torch.save(views, file)
    loaded = torch.load(file, weights_only=True)
    names = [*(name for name in views if name != "more"), "more/again", "more/list/0"]
    for name in names:
        expected = loaded
        for part in name.split("/"):
            expected = expected[int(part) if part.isdigit() else part]
        mapped = mem_map(file, name=name)
        same(mapped, expected, f"torch.save {name}")
        assert mapped.stride() == expected.stride()
    return "torch.save"


def check_raw(rng: random.Random, folder: Path) -> str:
    tensor, file, offset = draw_tensor(rng), folder / "x.bin", rng.randint(0, 70)
    file.write_bytes(
        rng.randbytes(offset) + bits(tensor).tobytes() if tensor.numel() else b"x" * offset
    )
    shape = list(tensor.shape)
    if tensor.numel() and rng.random() < 0.5:
        shape[:1] = [-1] if shape else []
    same(mem_map(file, tensor.dtype, shape, offset=offset), tensor, "raw")
    return "raw"


def tensordict_class() -> Any:
    """TensorDict. Its import tells torch how to collate them, which the loaders of other tests
    would notice: that is taken back."""
    from torch.utils.data._utils.collate import default_collate_fn_map

    before = dict(default_collate_fn_map)
    from tensordict import TensorDict

    default_collate_fn_map.clear()
    default_collate_fn_map.update(before)
    return TensorDict


def check_tensordict(rng: random.Random, folder: Path) -> str:
    file = Path(tempfile.mkdtemp(dir=folder))
    leaves = {f"t{i}": draw_tensor(rng) for i in range(rng.randint(1, 3))}
    inner = draw_tensor(rng)
    tensordict_class()({**leaves, "in": {"leaf": inner}}, batch_size=[]).memmap(file)
    for name, tensor in {**leaves, "in/leaf": inner}.items():
        same(mem_map(file, name=name), tensor, f"tensordict {name}")
    return "tensordict"


CHECKS: list[Callable[[random.Random, Path], str]] = [
    check_npy,
    check_npy,
    check_npy,
    check_safetensors,
    check_torch,
    check_raw,
    check_tensordict,
]


def run_cases(first: int, count: int, seed: int = 0) -> Counter[str]:
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="penstock-arrays-") as folder:
        for number in range(first, first + count):
            rng = random.Random(f"{seed} {number}")
            try:
                counted[rng.choice(CHECKS)(rng, Path(folder))] += 1
            except Exception:
                print(f"case {number} of seed {seed}", file=sys.stderr)
                raise
    return counted


# --- headers ---


def sample_file(rng: random.Random) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(out, draw_array(rng), rng.choice([(1, 0), (2, 0), (3, 0)]))
    return out.getvalue()


def header_end(data: bytes) -> int:
    return (
        10 + int.from_bytes(data[8:10], "little")
        if data[6] == 1
        else 12 + int.from_bytes(data[8:12], "little")
    )


def mutate(rng: random.Random, data: bytes) -> bytes:
    end = header_end(data)
    changed = bytearray(data)
    pieces = [b"'", b'"', b"(", b")", b",", b" ", b"\n", b"0", b"1", b"9" * 19, b"True", b"False"]
    pieces += [
        b"L",
        b"{",
        b"}",
        b"<f4",
        b">i8",
        b"|O",
        b"shape",
        b"descr",
        b":",
        b"\\",
        b"\0",
        b"_",
    ]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(end)
        how = rng.random()
        if how < 0.3:
            changed[at] ^= 1 << rng.randrange(8)
        elif how < 0.6:
            piece = rng.choice(pieces)
            changed[at : at + len(piece)] = piece
        elif how < 0.8:
            n = rng.randint(1, 4)  # taken out, and the text is as long as before
            changed[at : end - n] = changed[at + n : end]
            changed[end - n : end] = b" " * n
        else:
            to = rng.randrange(end)
            changed[at : at + 6], changed[to : to + 6] = changed[to : to + 6], changed[at : at + 6]
    return bytes(changed)


def taken_as_numpy(file: Path, data: bytes) -> bool:
    """Whether the file is taken; then NumPy must, and read the same."""
    file.write_bytes(data)
    try:
        mapped: MappedTensor = mem_map(file, mode="c")
    except (ValueError, OSError, _core.Error):
        return False
    if data[:6] != b"\x93NUMPY":
        return True  # of another kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = np.load(file, allow_pickle=False)
    native = loaded.astype(loaded.dtype.newbyteorder("="))
    same(mapped, torch.from_numpy(native), f"{data[:200]!r}")
    return True


def run_headers(first: int, count: int, seed: int = 0) -> int:
    """How many of the damaged headers are taken."""
    taken = 0
    with tempfile.TemporaryDirectory(prefix="penstock-headers-") as folder:
        for number in range(first, first + count):
            rng = random.Random(f"{seed} header {number}")
            data = mutate(rng, sample_file(rng))
            try:
                taken += taken_as_numpy(Path(folder) / "x.npy", data)
            except Exception:
                print(f"header {number} of seed {seed}: {data[:160]!r}", file=sys.stderr)
                raise
    return taken


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--headers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counted = run_cases(options.first, options.cases, options.seed)
    print(f"{counted.total()} cases, 0 differences: {dict(sorted(counted.items()))}")
    if options.headers:
        taken = run_headers(options.first, options.headers, options.seed)
        print(f"{options.headers} damaged headers, {taken} taken, all of them as NumPy reads them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
