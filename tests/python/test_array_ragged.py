# SPDX-License-Identifier: Apache-2.0
"""Ragged columns of array files as padded rows, alone and through both loaders."""

import copy
import itertools
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

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path, columns, parts=1):
    n = len(next(iter(columns.values())))
    with penstock.ArrayWriter(path) as writer:
        for part in range(parts):
            rows = slice(n * part // parts, n * (part + 1) // parts)
            writer.write({name: values[rows] for name, values in columns.items()})
            writer.commit()
    return path


def padded(rows, items, pad=0):
    """As numpy does it, and the lengths."""
    out = numpy.full((len(rows), items, *rows[0].shape[1:]), pad, rows[0].dtype)
    for to, row in zip(out, rows, strict=True):
        to[: len(row)] = row[:items]
    return out, numpy.array([min(len(row), items) for row in rows])


def bits(batch):
    parts = batch.items() if isinstance(batch, dict) else enumerate(batch)
    return [(key, x.dtype, tuple(x.shape), x.numpy().tobytes()) for key, x in parts]


def check_loaders(dataset, **options):
    torch.manual_seed(1)
    theirs = list(torch.utils.data.DataLoader(dataset, batch_size=7, shuffle=True, **options))
    torch.manual_seed(1)
    loader = penstock.DataLoader(dataset, batch_size=7, shuffle=True, **options)
    assert loader.explain().lane == "native", loader.explain()
    ours = list(loader)
    assert list(map(bits, ours)) == list(map(bits, theirs))
    assert all(type(one) is type(other) for one, other in zip(ours, theirs, strict=True))
    return ours


def texts(n, dtype="i8", shape=()):
    random = numpy.random.default_rng(5)
    lengths = random.integers(0, 30, n)
    lengths[::9] = 0
    lengths[3] = 5000  # over a block
    return [random.integers(0, 100, (length, *shape)).astype(dtype) for length in lengths]


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_values(tmp_path, access, parts):
    rows, labels = texts(80), numpy.arange(80)
    path = write(tmp_path / "x.pst", {"text": rows, "y": labels}, parts)
    dataset = Array(path, pad_to=12, access=access)
    assert dataset.access == access
    assert dataset.fields == {
        "text": (torch.int64, (12,)),
        "text_length": (torch.int64, ()),
        "y": (torch.int64, ()),
    }
    expected, lengths = padded(rows, 12)
    batch = dataset.gather(range(80))
    assert batch["text"].numpy().tobytes() == expected.tobytes()
    assert batch["text_length"].tolist() == lengths.tolist()
    assert batch["y"].tolist() == labels.tolist()
    for index in (0, 3, 79, -1):
        sample = dataset[index]
        assert sample["text"].tolist() == expected[index].tolist()
        assert sample["text_length"].shape == ()
        assert int(sample["text_length"]) == lengths[index]
    mixed = [5, 79, 3, 3, 0, 40]
    assert dataset.gather(mixed)["text"].numpy().tobytes() == expected[mixed].tobytes()
    whole, _ = padded(rows, 5000)
    all_of_it = Array(path, pad_to=5000, access=access).gather(range(80))
    assert all_of_it["text"].numpy().tobytes() == whole.tobytes()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_both_loaders(tmp_path, access, workers):
    columns = {"y": numpy.arange(60), "text": texts(60, "i4"), "box": texts(60, "f4", (2, 3))}
    path = write(tmp_path / "x.pst", columns, 3)
    batch = check_loaders(Array(path, pad_to=20, access=access), num_workers=workers)[0]
    assert list(batch) == ["y", "text", "text_length", "box", "box_length"]
    assert batch["box"].shape == (7, 20, 2, 3)
    each = Array(path, pad_to={"text": 4, "box": 30}, access=access)
    batch = check_loaders(each, num_workers=workers)[0]
    assert batch["text"].shape == (7, 4)
    assert batch["box"].shape == (7, 30, 2, 3)
    rows = Array(path, columns=["text", "y"], pad_to=9, pad=-100, access=access)
    text, length, y = check_loaders(rows, num_workers=workers)[0]
    expected, lengths = padded([columns["text"][i] for i in y], 9, -100)
    assert text.numpy().tobytes() == expected.tobytes()
    assert length.tolist() == lengths.tolist()
    files = Array({"text": path, "y": path}, pad_to={"text": 3}, access=access)
    assert list(check_loaders(files, num_workers=workers)[0]) == ["text", "text_length", "y"]


@SETTINGS
@given(
    lengths=st.lists(st.integers(0, 70) | st.integers(2000, 9000), min_size=1, max_size=20),
    items=st.integers(1, 80) | st.integers(1000, 9000),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "i4", "i8", "u4"]),
    pad=st.integers(0, 127),
    access=st.sampled_from(["mmap", "pread", "direct"]),
    data=st.data(),
)
def test_any_lengths(tmp_path, lengths, items, dtype, pad, access, data):
    parts = data.draw(st.integers(1, len(lengths)))
    values = numpy.arange(sum(lengths)).astype(dtype)
    rows = numpy.split(values, numpy.cumsum(lengths)[:-1])
    path = write(tmp_path / "x.pst", {"x": rows}, parts)
    dataset = Array(path, pad_to=items, pad=pad, access=access)
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=50))
    expected, kept = padded([rows[i] for i in indices], items, pad)
    batch = dataset.gather(indices)
    assert batch["x"].numpy().tobytes() == expected.tobytes()
    assert batch["x_length"].tolist() == kept.tolist()


def test_what_is_refused(tmp_path):
    columns = {"text": texts(9), "box": texts(9, "f4"), "y": numpy.arange(9)}
    path = write(tmp_path / "x.pst", columns)
    refused = (penstock.Error, ValueError)
    with pytest.raises(refused, match=r"x\.pst': column 'text' is ragged: set .*pad_to"):
        Array(path)
    with pytest.raises(refused, match=r"column 'box' is ragged: set .*pad_to"):
        Array(path, pad_to={"text": 3})
    with pytest.raises(ValueError, match="'box' cannot be padded with 7"):
        Array(path, pad_to=3, pad=7)
    with pytest.raises(penstock.Error, match="2\\^62 bytes"):
        Array(path, pad_to=1 << 60)
    with pytest.raises(FileNotFoundError, match="no array 'none'") as caught:
        Array(path, pad_to={"none": 3})
    assert "x.pst" in str(caught.value)
    for bad in (0, -1, {"text": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Array(path, pad_to=bad)
    assert Array(path, columns=["y"]).gather([3])[0].tolist() == [3]
    write(tmp_path / "y.pst", {"a": texts(9), "a_length": numpy.arange(9)})
    with pytest.raises(ValueError, match="two fields have one name"):
        Array(tmp_path / "y.pst", pad_to=3)
    for dtype, worst in (("u1", 256), ("i1", -129), ("i2", 32768), ("u4", -1), ("i4", 2**31)):
        write(tmp_path / "z.pst", {"z": texts(9, dtype)})
        with pytest.raises(ValueError, match=f"cannot be padded with {worst}"):
            Array(tmp_path / "z.pst", pad_to=2, pad=worst)
        near = worst - 1 if worst > 0 else worst + 1
        batch = Array(tmp_path / "z.pst", pad_to=2, pad=near)[0]
        assert batch["z"].tolist() == [near, near]


def test_copies_open_the_files_again(tmp_path):
    path = write(tmp_path / "x.pst", {"text": texts(9)})
    dataset = Array(path, pad_to={"text": 5}, pad=3)
    for again in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert bits(again.gather(range(9))) == bits(dataset.gather(range(9)))
        assert repr(again) == repr(dataset)
    saved = pickle.dumps(dataset)
    write(path, {"text": texts(9, "i4")})
    with pytest.raises(OSError, match="are not what they were"):
        pickle.loads(saved)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_a_file_that_is_cut(tmp_path, access, workers):
    rows = [numpy.full(3000, i, "i4") for i in range(100)]
    path = write(tmp_path / "x.pst", {"x": rows})
    dataset = Array(path, pad_to=3000, access=access, verify=False)
    at = path.read_bytes().index(rows[60].tobytes())
    iterator = iter(penstock.DataLoader(dataset, batch_size=10, num_workers=workers))
    assert next(iterator)["x"][3].tolist() == rows[3].tolist()
    os.truncate(path, at + 100)
    with pytest.raises(OSError, match=r"x\.pst' was cut while it was open"):
        list(iterator)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_a_damaged_item(tmp_path, access, workers):
    rows = [numpy.full(3000, i, "i4") for i in range(100)]
    path = write(tmp_path / "x.pst", {"x": rows})
    raw = bytearray(path.read_bytes())
    raw[raw.index(rows[60].tobytes()) + 5000] ^= 1
    path.write_bytes(raw)
    loader = penstock.DataLoader(
        Array(path, pad_to=3000, access=access), batch_size=10, num_workers=workers
    )
    good = list(itertools.islice(loader, 5))
    assert [batch["x"][0, 0].item() for batch in good] == [0, 10, 20, 30, 40]
    with pytest.raises(penstock.Error, match=r"damaged at byte .* column 'x', items") as caught:
        list(loader)
    assert 59 <= caught.value.record <= 60
