# SPDX-License-Identifier: Apache-2.0
"""Rows of several datasets, one after the other, beside torch's own loader: bit for bit."""

import copy
import gc
import weakref

import numpy
import penstock
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock import rows
from penstock.datasets import Array
from test_rows import check, values
from torch.utils.data import ConcatDataset, Subset, TensorDataset, random_split

SIZES = (17, 1, 30, 4)


def tensors(sizes=SIZES, shape=(3,), dtype=torch.float32):
    """Datasets of two tensors: random values, and which row it is."""
    starts = numpy.cumsum([0, *sizes]).tolist()
    return [
        TensorDataset(values(dtype, (n, *shape), n), torch.arange(start, start + n))
        for start, n in zip(starts, sizes, strict=False)
    ]


def files(folder, sizes=SIZES, **options):
    found = []
    for number, n in enumerate(sizes):
        numpy.save(folder / f"{number}.npy", values(torch.int16, (n, 5), number).numpy())
        found.append(Array(folder / f"{number}.npy", **options))
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_trees(data):
    """Parts in parts, parts twice, subsets in between, with negative indices."""

    def tree(depth):
        kind = data.draw(st.sampled_from(["leaf", "subset", "concat"] if depth < 3 else ["leaf"]))
        if kind == "leaf":
            return data.draw(st.sampled_from(leaves))
        if kind == "subset":
            inner = tree(depth + 1)
            most = len(inner) - 1
            picks = st.lists(st.integers(-most - 1, most), min_size=1, max_size=40)
            return Subset(inner, data.draw(picks))
        return ConcatDataset([tree(depth + 1) for _ in range(data.draw(st.integers(1, 4)))])

    leaves = tensors()
    dataset = ConcatDataset([tree(1), tree(1)])
    check(
        dataset,
        batch_size=data.draw(st.integers(1, 20)),
        shuffle=data.draw(st.booleans()),
        drop_last=data.draw(st.booleans()),
    )


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers(workers, large, monkeypatch):
    monkeypatch.setattr(rows, "COPIED", 0 if large else 1 << 30)
    dataset = ConcatDataset(tensors((150, 20, 130), (8000 if large else 3,)))
    for shuffle in (False, True):
        check(dataset, batch_size=16, shuffle=shuffle, num_workers=workers)
    parts = random_split(dataset, [0.3, 0.7], torch.Generator().manual_seed(1))
    check(parts[0], batch_size=16, shuffle=True, num_workers=workers)


@pytest.mark.parametrize("access", ["mmap", "pread"])
@pytest.mark.parametrize("workers", [0, 2])
def test_files(tmp_path, workers, access):
    dataset = ConcatDataset(files(tmp_path, access=access))
    check(dataset, batch_size=7, shuffle=True, num_workers=workers)
    loader = penstock.DataLoader(dataset, batch_size=7, num_workers=workers)
    assert "ConcatDataset of (Array, Array" in str(loader.explain())


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_beside_files(tmp_path, workers):
    parts = files(tmp_path)
    dataset = ConcatDataset([*parts, values(torch.int16, (9, 5), 9)])
    check(dataset, batch_size=7, shuffle=True, num_workers=workers)


@pytest.mark.parametrize("bad", [-1, -52, 52, 1.0, True, numpy.int64(4)])
@pytest.mark.parametrize("workers", [0, 1])
def test_indices_that_are_not_plain(bad, workers):
    class Sampler(list):
        pass

    check(ConcatDataset(tensors()), batch_size=3, sampler=Sampler([0, 40, bad, 2, 3, 20]),
          num_workers=workers)  # fmt: skip


def test_writes_are_seen_as_stock_sees_them():
    def run(cls, workers):
        parts = tensors()
        loader = cls(ConcatDataset(parts), batch_size=4, num_workers=workers)
        seen = []
        for _ in range(2):
            for batch in loader:
                seen.append(batch[1].tolist())
                for part in parts:
                    part.tensors[1].add_(1)
        return seen

    for workers in (0, 1):
        ours = run(penstock.DataLoader, workers)
        assert ours == run(torch.utils.data.DataLoader, workers)


def test_epochs_share_a_copy():
    loader = penstock.DataLoader(ConcatDataset(tensors()), batch_size=4, num_workers=2)
    list(loader)
    opened = loader.stats().counters.get("samples")
    list(loader)
    assert (opened, loader.stats().counters["samples"]) == (52, 104)


def test_a_dataset_is_not_kept_alive():
    parts = tensors()
    loader = penstock.DataLoader(ConcatDataset(parts), batch_size=10, num_workers=2)
    list(loader)
    gone = [weakref.ref(part) for part in parts]
    del loader, parts
    gc.collect()
    assert not any(reference() for reference in gone)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (lambda: [torch.zeros(3, 2), torch.zeros(3, 4)], "of part 1 has another dtype or shape"),
        (lambda: [torch.zeros(3, 2), TensorDataset(torch.zeros(3, 2))], "not all of one kind"),
        (lambda: [torch.zeros(3, 2), numpy.zeros((3, 2), "f4")], "not all of one kind"),
        (lambda: [torch.zeros(3, 2), [torch.zeros(2)]], "list"),
    ],
)
def test_what_goes_to_stock(parts, reason):
    loader = penstock.DataLoader(ConcatDataset(parts()), batch_size=2)
    explanation = loader.explain()
    assert explanation.lane == "python"
    assert reason in explanation.reason


@pytest.mark.parametrize("rng", ["torch", "sample"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_goes_on(workers, rng):
    def loader():
        return penstock.DataLoader(
            ConcatDataset(tensors()), batch_size=4, shuffle=True, num_workers=workers, rng=rng
        )

    torch.manual_seed(4)
    first = loader()
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    state = copy.deepcopy(first.state_dict())
    rest = [batch[1].tolist() for batch in iterator]
    second = loader()
    second.load_state_dict(state)
    assert [batch[1].tolist() for batch in second] == rest
    other = penstock.DataLoader(
        ConcatDataset(tensors((17, 1, 30, 5))), batch_size=4, shuffle=True, num_workers=workers,
        rng=rng,
    )  # fmt: skip
    with pytest.raises(ValueError, match="length was 52 and is 53"):
        other.load_state_dict(state)
