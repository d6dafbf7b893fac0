# SPDX-License-Identifier: Apache-2.0
"""Datasets of rows on the native lane, beside torch's own loader: bit for bit."""

import os
import pickle

import numpy
import penstock
import pytest
import torch
import torch.utils.data
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock import rows
from torch.utils.data import StackDataset, Subset, TensorDataset

DTYPES = [
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.bool, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def values(dtype, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    n = torch.Size(shape).numel() * dtype.itemsize
    bits = torch.randint(0, 256, (max(n, 1),), dtype=torch.uint8, generator=generator)[:n]
    return bits.clone().view(dtype).view(shape) if n else torch.empty(shape, dtype=dtype)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.stride() == other.stride()
        and one.numpy(force=True).tobytes() == other.numpy(force=True).tobytes()
        if one.dtype is not torch.bfloat16
        else same(one.view(torch.int16), other.view(torch.int16))
    )


def epoch(cls, dataset, seed=5, **options):
    """Batches, or the exception that ended them, and what the generator gives then."""
    torch.manual_seed(seed)
    loader = cls(dataset, **options)
    if cls is penstock.DataLoader:
        assert loader.explain().lane == "native", loader.explain()
    found = []
    try:
        found.extend(loader)
    except Exception as error:
        found.append((type(error), str(error).splitlines()[-1]))
    return found, torch.rand(3).tolist()


def check(dataset, **options):
    theirs, after = epoch(torch.utils.data.DataLoader, dataset, **options)
    ours, after_ours = epoch(penstock.DataLoader, dataset, **options)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one == other if isinstance(one, tuple) else same(one, other)
    assert after_ours == after
    return ours


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (2, 0, 3)])
def test_dtypes_and_shapes(dtype, shape):
    data = values(dtype, (37, *shape))
    if shape != (2, 0, 3):
        check(TensorDataset(data, torch.arange(37)), batch_size=8, shuffle=True)
    check(data, batch_size=8)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_random_datasets(data):
    n = data.draw(st.integers(1, 60))
    tensors = []
    for seed in range(data.draw(st.integers(1, 4))):
        shape = data.draw(st.lists(st.integers(1, 5), max_size=3))
        tensor = values(data.draw(st.sampled_from(DTYPES)), (n, *shape), seed)
        look = data.draw(st.sampled_from(["dense", "step", "turned", "expanded"]))
        if look == "step":
            tensor = tensor.repeat_interleave(2, 0)[::2]
        elif look == "turned" and tensor.dim() > 2:
            tensor = tensor.transpose(1, 2)
        elif look == "expanded":
            tensor = tensor[:1].expand(n, *shape)
        tensors.append(tensor)
    dataset = TensorDataset(*tensors)
    if data.draw(st.booleans()):
        picks = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=40))
        dataset = Subset(dataset, picks)
    check(
        dataset,
        batch_size=data.draw(st.integers(1, 20)),
        shuffle=data.draw(st.booleans()),
        drop_last=data.draw(st.booleans()),
    )


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers(workers, large, monkeypatch):
    """Small batches are copied in next(), larger ones by threads."""
    monkeypatch.setattr(rows, "COPIED", 0 if large else 1 << 30)
    data = values(torch.float32, (300, 8000 if large else 3))
    dataset = TensorDataset(data, torch.arange(300))
    for shuffle in (False, True):
        check(dataset, batch_size=16, shuffle=shuffle, num_workers=workers)
    loader = penstock.DataLoader(dataset, batch_size=16, num_workers=workers)
    list(loader)
    assert "300 in" in str(loader.stats())


def test_persistent_workers_and_epochs_left():
    dataset = TensorDataset(values(torch.float32, (100, 7)), torch.arange(100))

    def run(cls):
        torch.manual_seed(3)
        loader = cls(dataset, batch_size=8, shuffle=True, num_workers=2, persistent_workers=True)
        found = [batch[1].tolist() for batch in loader]
        for batch, _ in zip(loader, range(3), strict=False):
            found.append(batch[1].tolist())
        return found + [batch[1].tolist() for batch in loader]

    assert run(penstock.DataLoader) == run(torch.utils.data.DataLoader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bad", [1000, -1001, 1.5, "x", None, slice(0, 2)])
def test_indices_that_the_dataset_does_not_take(bad, workers):
    data = values(torch.float32, (1000, 5))
    batches = [[0, 1], [2, bad], [3]]
    check(TensorDataset(data), batch_sampler=batches, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_indices_of_other_types(workers):
    data = values(torch.float32, (100, 5))
    for batch in ([-1, 3], (4, 5), [numpy.int64(3), numpy.int32(4)], torch.tensor([5, 6]), [True]):
        check(data, batch_sampler=[batch], num_workers=workers)


@pytest.mark.parametrize("kind", ["array", "memmap", "read-only"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_arrays_of_numpy(tmp_path, kind, workers):
    for dtype in ("u1", "i2", "u4", "i8", "f2", "f4", "f8", "?"):
        array = (numpy.arange(60 * 6) % 2).reshape(60, 2, 3).astype(dtype)
        if kind == "memmap":
            array.tofile(tmp_path / "rows")
            array = numpy.memmap(tmp_path / "rows", dtype, "r", shape=array.shape)
        elif kind == "read-only":
            array.flags.writeable = False
        check(array, batch_size=7, shuffle=True, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [100, 80000])
def test_a_memmap_whose_file_is_cut(tmp_path, workers, size):
    """With torch's loader the process, or its workers, would die."""
    numpy.zeros((600, size), numpy.uint8).tofile(tmp_path / "rows")
    data = numpy.memmap(tmp_path / "rows", numpy.uint8, "r", shape=(600, size))
    iterator = iter(penstock.DataLoader(data, batch_size=6, num_workers=workers))
    next(iterator)
    os.truncate(tmp_path / "rows", 200 * size)
    with pytest.raises(OSError, match="its memory is a mapped file that was cut") as caught:
        list(iterator)
    assert caught.value.record >= 200


def test_writes_without_workers_are_seen():
    data = torch.zeros(40, 3)
    loader = penstock.DataLoader(TensorDataset(data), batch_size=4)
    iterator = iter(loader)
    assert next(iterator)[0].sum() == 0
    data.fill_(2)
    assert next(iterator)[0].sum() == 24
    data.set_(torch.full((40, 3), 7.0).untyped_storage(), 0, (40, 3), (3, 1))
    assert next(iterator)[0].sum() == 84
    data.resize_(10, 3)
    with pytest.raises(IndexError):
        next(iterator)


@pytest.mark.parametrize("workers", [1, 2])
def test_writes_are_not_seen_by_workers(workers):
    def run(cls):
        data, labels = torch.zeros(40, 3), numpy.zeros(40, dtype=numpy.int64)
        dataset = TensorDataset(data, torch.from_numpy(labels))
        loader = cls(dataset, batch_size=4, num_workers=workers)
        seen = []
        for _ in range(2):
            for batch in loader:
                seen.append([batch[0].sum().item(), batch[1].sum().item()])
                data += 1
                labels += 1
        return seen

    assert run(penstock.DataLoader) == run(torch.utils.data.DataLoader)


def test_shared_memory_is_seen_by_workers():
    data = torch.zeros(40, 3).share_memory_()
    loader = penstock.DataLoader(TensorDataset(data), batch_size=4, num_workers=1)
    iterator = iter(loader)
    next(iterator)
    data.fill_(2)
    assert [batch[0].sum().item() for batch in iterator][-1] == 24


def test_a_write_to_a_large_tensor_is_said(monkeypatch):
    monkeypatch.setattr(rows, "COPIED", 100)
    data = torch.zeros(40, 30)
    loader = penstock.DataLoader(TensorDataset(data), batch_size=4, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    data[3] = 1
    with pytest.raises(RuntimeError, match="was written to while it is iterated"):
        next(iterator)
    assert sum(batch[0].sum().item() for batch in loader) == 30  # between epochs it may


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (lambda: TensorDataset(torch.zeros(4, 2, requires_grad=True)), "has a gradient"),
        (lambda: TensorDataset(torch.zeros(4, 2, dtype=torch.complex64)), "complex64"),
        (lambda: TensorDataset(torch.eye(4).to_sparse()), "sparse"),
        (lambda: torch.zeros(4, 2, device="meta"), "meta"),
        (lambda: numpy.zeros(5), "one dimension"),
        (lambda: numpy.zeros((5, 2), ">f4"), "array of >f4"),
        (lambda: type("Mine", (TensorDataset,), {})(torch.zeros(4, 2)), "Mine"),
        (lambda: StackDataset(torch.zeros(4, 2)), "StackDataset"),
    ],
)
def test_what_goes_to_stock(dataset, reason):
    loader = penstock.DataLoader(dataset(), batch_size=2)
    explanation = loader.explain()
    assert explanation.lane == "python"
    assert reason in explanation.reason


def test_options_of_images_are_refused():
    dataset = TensorDataset(torch.zeros(4, 2))
    loader = penstock.DataLoader(dataset, batch_size=2, out_dtype=torch.float16)
    with pytest.raises(ValueError, match="its dataset is of rows"):
        iter(loader)


def test_memory_of_a_batch_outlives_its_loader():
    data = values(torch.int64, (100, 50))
    loader = penstock.DataLoader(TensorDataset(data), batch_size=10, num_workers=2)
    kept = [batch[0] for batch in loader]
    del loader
    assert torch.equal(torch.cat(kept), data)


def test_a_dataset_is_not_kept_alive():
    import gc
    import weakref

    for workers in (0, 2):
        for make in (torch.zeros, numpy.zeros):
            data = make((100, 50))
            loader = penstock.DataLoader(data, batch_size=10, num_workers=workers)
            list(loader)
            gone = weakref.ref(data)
            del loader, data
            gc.collect()
            assert gone() is None


def test_a_budget_that_is_too_small():
    data = torch.zeros(100, 50000)
    loader = penstock.DataLoader(TensorDataset(data), batch_size=50, memory_budget="1MB")
    with pytest.raises(penstock.LimitError, match="a batch of 50 rows takes 10000000 bytes"):
        next(iter(loader))


def test_loaders_are_pickled():
    loader = penstock.DataLoader(TensorDataset(torch.arange(10)), batch_size=5)
    again = pickle.loads(pickle.dumps(loader))
    assert [batch[0].tolist() for batch in again] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_engines_own_order(workers):
    dataset = TensorDataset(torch.arange(1000))
    options = {"batch_size": 64, "shuffle": True, "rng": "sample", "num_workers": workers}
    torch.manual_seed(9)
    loader = penstock.DataLoader(dataset, persistent_workers=workers > 0, **options)
    assert loader.explain().stages[0].lane == "native"
    epochs = [torch.cat([batch[0] for batch in loader]).tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(1000))
    assert epochs[0] != epochs[1]
    torch.manual_seed(9)
    again = penstock.DataLoader(dataset, **{**options, "num_workers": 1})
    assert torch.cat([batch[0] for batch in again]).tolist() == epochs[0]
    near = penstock.DataLoader(dataset, shuffle_block=2, **options)
    assert sorted(torch.cat([batch[0] for batch in near]).tolist()) == list(range(1000))
