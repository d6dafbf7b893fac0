# SPDX-License-Identifier: Apache-2.0
"""datasets.Array and datasets.Tokens, alone and through both loaders."""

import copy
import os
import pickle

import numpy
import penstock
import pytest
import torch
import torch.utils.data
from penstock.datasets import Array, Tokens
from torch.utils.data import Subset

DTYPES = ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?", "u2", "u4", "u8"]


def values(dtype, shape):
    n = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
    bits = numpy.random.default_rng(3).integers(0, 2 if dtype == "?" else 256, n, numpy.uint8)
    return bits.view(dtype).reshape(shape)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(map(same, one, other))
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.numpy().tobytes() == other.numpy().tobytes()
    )


def check_loaders(dataset, **options):
    torch.manual_seed(1)
    theirs = list(torch.utils.data.DataLoader(dataset, batch_size=7, shuffle=True, **options))
    torch.manual_seed(1)
    loader = penstock.DataLoader(dataset, batch_size=7, shuffle=True, **options)
    assert loader.explain().lane == "native", loader.explain()
    ours = list(loader)
    assert len(ours) == len(theirs)
    assert all(map(same, ours, theirs))
    return ours


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_npy(tmp_path, dtype, access):
    for shape in ((40,), (40, 3), (40, 2, 5)):
        data = values(dtype, shape)
        numpy.save(tmp_path / "x.npy", data)
        dataset = Array(tmp_path / "x.npy", access=access)
        assert len(dataset) == 40
        assert dataset.access == access
        for index in (0, 39, -1, numpy.int64(7)):
            assert dataset[index].numpy().tobytes() == data[index].tobytes()
        assert dataset.gather([3, 3, 0]).numpy().tobytes() == data[[3, 3, 0]].tobytes()
        check_loaders(dataset)


@pytest.mark.parametrize("workers", [0, 2])
def test_several_files(tmp_path, workers):
    x, y = values("f4", (100, 20000)), numpy.arange(100)
    numpy.save(tmp_path / "x.npy", x)
    numpy.save(tmp_path / "y.npy", numpy.asfortranarray(y))
    files = {"x": tmp_path / "x.npy", "y": tmp_path / "y.npy"}
    batch = check_loaders(Array(files), num_workers=workers)[0]
    assert list(batch) == ["x", "y"]
    pairs = Array(files, columns=["y", "x"])
    batch = check_loaders(pairs, num_workers=workers)[0]
    assert same(batch[1], torch.from_numpy(x[batch[0].numpy()]))
    check_loaders(Subset(pairs, list(range(5, 90, 2))), num_workers=workers)


def test_other_layouts(tmp_path):
    data = values("i4", (30, 4, 3))
    numpy.save(tmp_path / "f.npy", numpy.asfortranarray(data))
    numpy.save(tmp_path / "b.npy", data.astype(">i4"))
    data.tofile(tmp_path / "raw")
    for dataset in (
        Array(tmp_path / "f.npy"),
        Array(tmp_path / "b.npy"),
        Array(tmp_path / "raw", dtype="int32", shape=(-1, 4, 3)),
        Array(tmp_path / "raw", dtype=torch.int32, shape=(29, 4, 3), offset=48),
    ):
        last = dataset[len(dataset) - 1]
        assert last.numpy().tobytes() == data[29].tobytes()
        check_loaders(dataset)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_tokens_through_the_loader(tmp_path, access, workers):
    values("u2", (20000,)).tofile(tmp_path / "tokens.bin")
    dataset = Tokens(tmp_path / "tokens.bin", 64, dtype="uint16", stride=30, access=access)
    assert len(check_loaders(dataset, num_workers=workers)[0]) == 2
    alone = Tokens(tmp_path / "tokens.bin", 64, dtype="uint16", targets=False, access=access)
    check_loaders(alone, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
@pytest.mark.parametrize("size", [100, 50000])
def test_a_file_that_is_cut(tmp_path, access, workers, size):
    """What can be read is; then there is an error with the file's name and the place."""
    path = tmp_path / "x.npy"
    numpy.save(path, values("u1", (200, size)))
    loader = penstock.DataLoader(Array(path, access=access), batch_size=10, num_workers=workers)
    iterator = iter(loader)
    next(iterator)
    os.truncate(path, 128 + 60 * size)
    with pytest.raises(OSError, match=r"x\.npy' was cut while it was open") as caught:
        list(iterator)
    assert caught.value.record >= 60
    with pytest.raises(OSError, match="was cut"):
        loader.dataset[199]


def test_what_is_refused(tmp_path):
    numpy.save(tmp_path / "x.npy", values("u1", (5, 2)))
    numpy.save(tmp_path / "y.npy", values("u1", (6, 2)))
    numpy.save(tmp_path / "o.npy", numpy.array([1, "a", None], dtype=object), allow_pickle=True)
    numpy.save(tmp_path / "c.npy", numpy.zeros((3, 2), complex))
    with pytest.raises(ValueError, match="6 rows, the first column has 5"):
        Array({"x": tmp_path / "x.npy", "y": tmp_path / "y.npy"})
    for name in ("o", "c"):
        with pytest.raises(penstock.DecodeError, match=rf"{name}\.npy"):
            Array(tmp_path / f"{name}.npy")
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        Array(tmp_path / "none.npy")
    with pytest.raises(ValueError, match="both dtype and shape"):
        Array(tmp_path / "x.npy", dtype="uint8")
    with pytest.raises(ValueError, match="are none of"):
        Array({"x": tmp_path / "x.npy"}, columns=["z"])
    with pytest.raises(ValueError, match="access should be one of"):
        Array(tmp_path / "x.npy", access="uncached")
    dataset = Array(tmp_path / "x.npy")
    for bad in (5, -6):
        with pytest.raises(IndexError):
            dataset[bad]
    with pytest.raises(IndexError):
        dataset.gather([5])


def test_copies_open_the_files_again(tmp_path):
    data = values("f4", (9, 4))
    numpy.save(tmp_path / "x.npy", data)
    dataset = Array(tmp_path / "x.npy", columns=None)
    for again in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert again[4].numpy().tobytes() == data[4].tobytes()
        assert repr(again) == repr(dataset)
    saved = pickle.dumps(dataset)
    numpy.save(tmp_path / "x.npy", data[:, :2])
    with pytest.raises(OSError, match="are not what they were"):
        pickle.loads(saved)


def test_subclasses_go_to_stock(tmp_path):
    numpy.save(tmp_path / "x.npy", values("f4", (9, 4)))

    class Mine(Array):
        def __getitem__(self, index):
            return super().__getitem__(index) + 1

    assert penstock.DataLoader(Mine(tmp_path / "x.npy")).explain().lane == "python"
