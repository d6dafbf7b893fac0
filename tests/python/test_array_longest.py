# SPDX-License-Identifier: Apache-2.0
"""Ragged columns that are padded to the longest row of a batch, beside the same in Python."""

import copy
import os
import pickle

import numpy
import penstock
import pytest
import torch
import torch.utils.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock.datasets import Array
from penstock.datasets.row_steps import Normalize, OneHot, Reshape, Scale, ToDtype
from torch.utils.data import ConcatDataset, Subset

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path, columns, parts=1):
    n = len(next(iter(columns.values())))
    with penstock.ArrayWriter(path) as writer:
        for part in range(parts):
            rows = slice(n * part // parts, n * (part + 1) // parts)
            writer.write({name: values[rows] for name, values in columns.items()})
            writer.commit()
    return path


def texts(n, dtype="i8", shape=(), seed=5, most=30):
    rng = numpy.random.default_rng(seed)
    lengths = rng.integers(0, most, n)
    lengths[::9] = 0
    return [rng.integers(0, 100, (length, *shape)).astype(dtype) for length in lengths]


def padded(rows, pad=0, multiple=1, truncate=None):
    """The oracle, which knows lists only."""
    rows = [row[:truncate] for row in rows]
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    while longest % multiple:
        longest += 1
    out = numpy.full((len(rows), longest, *rows[0].shape[1:]), pad, rows[0].dtype)
    for to, row in zip(out, rows, strict=True):
        to[: len(row)] = row
    return torch.from_numpy(out), torch.tensor(lengths)


def bits(batch):
    if isinstance(batch, torch.Tensor):
        return (
            batch.dtype,
            tuple(batch.shape),
            batch.numpy().tobytes(),
        )
    if isinstance(batch, dict):
        return [(key, bits(value)) for key, value in batch.items()]
    return [bits(value) for value in batch]


def check_loaders(dataset, leaf, **options):
    options = {"batch_size": 7, "shuffle": True, "collate_fn": leaf.collate, **options}
    torch.manual_seed(1)
    theirs = list(torch.utils.data.DataLoader(dataset, **options))
    torch.manual_seed(1)
    loader = penstock.DataLoader(dataset, **options)
    assert loader.explain().lane == "native", loader.explain()
    for _ in range(2):
        torch.manual_seed(1)
        ours = list(loader)
        assert list(map(bits, ours)) == list(map(bits, theirs))
        assert all(type(one) is type(other) for one, other in zip(ours, theirs, strict=True))
    return ours


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("access", ["mmap", "pread"])
def test_values(tmp_path, access, parts):
    rows, labels = texts(80), numpy.arange(80)
    path = write(tmp_path / "x.pst", {"text": rows, "y": labels}, parts)
    dataset = Array(path, pad_to="longest", pad=-1, access=access)
    assert dataset.access == access
    assert dataset.fields == {
        "text": (torch.int64, (-1,)),
        "text_length": (torch.int64, ()),
        "y": (torch.int64, ()),
    }
    for index in (0, 9, 33, -1):
        sample = dataset[index]
        assert list(sample) == ["text", "text_length", "y"]
        assert bits(sample["text"]) == bits(torch.from_numpy(rows[index]))
        assert sample["text_length"].item() == len(rows[index])
        assert sample["text"].untyped_storage().nbytes() == rows[index].nbytes
    for indices in ([3, 1, 70], range(80), [0], [0, 9, 18], []):
        batch = dataset.gather(indices)
        some = [rows[i] for i in indices]
        items, lengths = (
            padded(some, -1) if some else (torch.empty(0, 0).long(), torch.empty(0).long())
        )
        assert bits(batch["text"]) == bits(items)
        assert bits(batch["text_length"]) == bits(lengths)
        assert bits(dataset.collate([dataset[i] for i in indices])) == bits(batch) if some else True


@SETTINGS
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    order=st.lists(st.integers(0, 1 << 30), min_size=1, max_size=50),
    dtype=st.sampled_from(["i8", "u1", "i2", "u4", "f4", "f8"]),
    shape=st.sampled_from([(), (2,), (3, 1)]),
    multiple=st.sampled_from([1, 1, 8, 3, 64]),
    truncate=st.sampled_from([None, None, 1, 5, 17, 1000]),
    access=st.sampled_from(["mmap", "pread"]),
    parts=st.integers(1, 3),
)
def test_random_files(tmp_path, lengths, order, dtype, shape, multiple, truncate, access, parts):
    rng = numpy.random.default_rng(len(order))
    rows = [rng.integers(0, 100, (length, *shape)).astype(dtype) for length in lengths]
    path = tmp_path / "x.pst"
    path.unlink(missing_ok=True)
    n = len(rows)
    write(path, {"y": numpy.arange(n), "x": rows}, min(parts, n))
    pad = 0 if dtype.startswith("f") else 7
    dataset = Array(
        path,
        columns=["x", "y"],
        pad_to="longest",
        pad=pad,
        pad_multiple=multiple,
        truncate=truncate,
        access=access,
    )
    indices = [i % n for i in order]
    items, own = padded([rows[i] for i in indices], pad, multiple, truncate)
    batch = dataset.gather(indices)
    assert bits(batch) == bits((items, own, torch.tensor(indices)))
    assert bits(dataset.collate([dataset[i] for i in indices])) == bits(batch)
    for workers in (0, 2):
        loader = penstock.DataLoader(
            dataset,
            batch_size=6,
            sampler=indices,
            num_workers=workers,
            collate_fn=dataset.collate,
        )
        assert loader.explain().lane == "native"
        at = 0
        for got in loader:
            some = indices[at : at + 6]
            items, own = padded([rows[i] for i in some], pad, multiple, truncate)
            assert bits(got) == bits([items, own, torch.tensor(some)])
            at += 6
        assert at >= len(indices)


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("access", ["mmap", "pread"])
def test_both_loaders(tmp_path, workers, access):
    rows, boxes = texts(100, most=2000), texts(100, "f4", (4,), 8)
    path = write(tmp_path / "x.pst", {"text": rows, "y": numpy.arange(100), "boxes": boxes}, 3)
    for columns in (None, ["boxes", "y"], ["text", "boxes"]):
        dataset = Array(path, pad_to="longest", pad_multiple=8, access=access, columns=columns)
        check_loaders(dataset, dataset, num_workers=workers)
    mixed = Array(path, pad_to={"text": 50, "boxes": "longest"}, truncate=5, access=access)
    check_loaders(mixed, mixed, num_workers=workers, drop_last=True)
    check_loaders(Subset(mixed, range(5, 90, 3)), mixed, num_workers=workers)
    fixed = Array(path, pad_to=9, access=access)
    check_loaders(fixed, fixed, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_of_rows_of_different_lengths(tmp_path, workers):
    points = [row.astype("u1") for row in texts(90, "u1", (3,), most=700)]
    classes = [row % 7 for row in texts(90, "u2")]
    path = write(tmp_path / "x.pst", {"points": points, "classes": classes})
    steps = {
        "points": [
            ToDtype(torch.float32),
            Normalize((1, 2, 3), (4, 5, 6), dim=-1),
            Scale(0.3, bias=1),
        ],
        "classes": [OneHot(7, dtype=torch.int8)],
        "classes_length": [ToDtype(torch.int32)],
    }
    dataset = Array(path, pad_to="longest", steps=steps, pad=3, pad_multiple=4)
    assert dataset.fields["points"] == (torch.float32, (-1, 3))
    assert dataset.fields["classes"] == (torch.int8, (-1, 7))
    batch = dataset.gather([4, 30, 9])
    for name, rows in (("points", points), ("classes", classes)):
        expected, _ = padded([rows[i] for i in (4, 30, 9)], 3, 4)
        for step in steps[name]:
            expected = step(expected)
        assert bits(batch[name]) == bits(expected)
    check_loaders(dataset, dataset, num_workers=workers)
    with pytest.raises(ValueError, match="of different lengths"):
        Array(path, pad_to="longest", steps={"points": [Reshape(-1)]})
    norm = [ToDtype(torch.float32), Normalize((1, 2), (1, 2))]
    with pytest.raises(ValueError, match="2 numbers for dimension 0"):
        Array(path, pad_to="longest", steps={"points": norm})
    bad = Array(path, pad_to="longest", steps={"classes": [OneHot(6)]})
    row = next(i for i in range(90) if 6 in classes[i])
    with pytest.raises(
        penstock.DecodeError, match=f"row {row} of field 'classes': class 6"
    ) as caught:
        bad.gather([0, row])
    assert caught.value.record == row


def test_what_goes_to_stock(tmp_path):
    path = write(tmp_path / "x.pst", {"text": texts(30), "y": numpy.arange(30)})
    dataset, other = Array(path, pad_to="longest"), Array(path, pad_to="longest")

    def reason(dataset, collate_fn):
        explanation = penstock.DataLoader(dataset, batch_size=4, collate_fn=collate_fn).explain()
        assert explanation.lane == "python"
        return str(explanation)

    assert "need collate_fn=dataset.collate" in reason(dataset, None)
    assert "need collate_fn=dataset.collate" in reason(dataset, other.collate)
    assert "need collate_fn=dataset.collate" in reason(dataset, lambda samples: samples)
    reason(ConcatDataset([dataset, other]), dataset.collate)
    with pytest.raises(RuntimeError, match="stack"):
        list(penstock.DataLoader(dataset, batch_size=30))

    class Mine(Array):
        def collate(self, samples):
            return len(samples)

    mine = Mine(path, pad_to="longest")
    assert list(penstock.DataLoader(mine, batch_size=20, collate_fn=mine.collate)) == [20, 10]
    dataset.collate = len
    assert list(penstock.DataLoader(dataset, batch_size=20, collate_fn=dataset.collate)) == [20, 10]


def test_what_is_refused(tmp_path):
    path = write(tmp_path / "x.pst", {"text": texts(30, "u1"), "y": numpy.arange(30)})
    for options, text in (
        ({"pad_to": "most"}, "a number of items or"),
        ({"pad_to": 5, "truncate": 3}, "are for pad_to="),
        ({"pad_multiple": 8}, "are for pad_to="),
        ({"pad_to": "longest", "pad_multiple": 0}, "pad_multiple should be"),
        ({"pad_to": "longest", "truncate": 0}, "truncate should be"),
        ({"pad_to": "longest", "pad": 300}, "cannot be padded with 300"),
        ({"pad_to": "longest", "pad_multiple": 1 << 40}, "a multiple of 1099511627776"),
    ):
        with pytest.raises(ValueError, match=text):
            Array(path, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_budgets(tmp_path, workers):
    """A batch that does not fit is an error with both numbers, and the next one goes on."""
    rows = [numpy.zeros(100 if i != 13 else 100000, "i8") for i in range(40)]
    path = write(tmp_path / "x.pst", {"text": rows})
    dataset = Array(path, pad_to="longest")
    loader = penstock.DataLoader(
        dataset,
        batch_size=10,
        num_workers=workers,
        collate_fn=dataset.collate,
        memory_budget=1 << 20,
    )
    iterator = iter(loader)
    assert next(iterator)["text"].shape == (10, 100)
    with pytest.raises(penstock.LimitError, match=r"of 10 rows takes 8000128 bytes, .* is 1048576"):
        next(iterator)
    rest = [tuple(batch["text"].shape) for batch in iterator]
    assert rest == [(10, 100)] * 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("access", ["mmap", "pread"])
def test_a_file_that_is_cut(tmp_path, access, workers):
    rows = [numpy.full(500 + i, i, "i8") for i in range(200)]
    path = write(tmp_path / "x.pst", {"text": rows})
    dataset = Array(path, pad_to="longest", access=access)
    loader = penstock.DataLoader(
        dataset, batch_size=10, num_workers=workers, collate_fn=dataset.collate
    )
    iterator = iter(loader)
    next(iterator)
    os.truncate(path, 128 << 10)
    with pytest.raises(OSError, match=r"x\.pst' was cut while it was open"):
        list(iterator)


@pytest.mark.parametrize("workers", [0, 3])
def test_states(tmp_path, workers):
    path = write(tmp_path / "x.pst", {"text": texts(60), "y": numpy.arange(60)})
    dataset = Array(path, pad_to="longest")
    options = {"batch_size": 7, "shuffle": True, "num_workers": workers}
    options |= {"collate_fn": dataset.collate}
    loader = penstock.DataLoader(dataset, **options)
    for taken in (0, 1, 4, 8):
        torch.manual_seed(taken)
        iterator = iter(loader)
        for _ in range(taken):
            next(iterator)
        state = loader.state_dict()
        rest = list(map(bits, iterator))
        again = penstock.DataLoader(dataset, **options)
        again.load_state_dict(state)
        assert list(map(bits, again)) == rest
    other = Array(path, pad_to="longest", truncate=3)
    wrong = penstock.DataLoader(other, **{**options, "collate_fn": other.collate})
    with pytest.raises(ValueError, match="fingerprint was"):
        wrong.load_state_dict(state)


def test_copies(tmp_path):
    path = write(tmp_path / "x.pst", {"text": texts(30), "y": numpy.arange(30)})
    dataset = Array(path, pad_to="longest", pad_multiple=4, truncate=11)
    for again in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert bits(again.gather(range(30))) == bits(dataset.gather(range(30)))
        assert bits(again[3]) == bits(dataset[3])
