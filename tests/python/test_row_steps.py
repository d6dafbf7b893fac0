# SPDX-License-Identifier: Apache-2.0
"""Steps on rows of arrays beside what torch makes of each row: the same bits, but that a NaN may be
another one where 16-bit floats are, of which torch itself has several."""

import copy
import pickle
import random

import numpy
import penstock
import pytest
import torch
import torch.utils.data
from penstock.datasets import Array
from penstock.datasets.dtypes import DTYPES
from penstock.datasets.row_steps import Divide, Normalize, OneHot, Reshape, Scale, ToDtype

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = tuple(one for one in DTYPES.values() if one not in (*FLOATS, torch.bool))
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPECIALS = (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1e-45, 6e-8, 65504.0)


def bits(tensor):
    return tensor.contiguous().view(BITS[tensor.element_size()])


def assert_same(mine, theirs, *, any_nan=True):
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    differ = bits(mine) != bits(theirs)
    if any_nan and mine.dtype.is_floating_point:
        differ &= ~(mine.isnan() & theirs.isnan())
    assert not differ.any(), (mine[differ][:5], theirs[differ][:5])


def elements(dtype, shape, seed, *, to=None):
    """Random bits; of floats also numbers near 1 and specials, and for an integer `to` none whose
    truncated value C leaves open."""
    rng = numpy.random.default_rng(seed)
    n = int(numpy.prod(shape))
    raw = torch.from_numpy(rng.integers(0, 256, n * dtype.itemsize, numpy.uint8))
    if dtype == torch.bool:
        return (raw % 2).view(torch.bool).reshape(shape)
    found = raw.view(dtype).clone()
    if dtype.is_floating_point:
        pick = torch.from_numpy(rng.integers(0, 4, n))
        near = torch.from_numpy(rng.standard_normal(n) * 10.0 ** rng.integers(-3, 6, n))
        special = torch.tensor([SPECIALS[i] for i in rng.integers(0, len(SPECIALS), n)])
        found = torch.where(pick == 1, near.to(dtype), found)
        found = torch.where(pick == 2, special.to(dtype), found)
        if to is not None and to in INTEGERS:
            limit = 2.0**63 if to in (torch.int64, torch.uint64, torch.uint8) else 2.0**31
            wide = found.double()
            found = torch.where((wide > -limit) & (wide < limit), found, torch.ones_like(found))
    return found.reshape(shape)


def array_of(path, data, steps, **options):
    bits(data).numpy().tofile(path)
    return Array(path, dtype=data.dtype, shape=data.shape, steps=steps, **options)


def torchs(data, steps):
    rows = []
    for row in data:
        for step in steps:
            row = step(row)
        rows.append(row)
    return torch.stack(rows)


def check(path, data, steps, **options):
    dataset = array_of(path, data, steps)
    expected = torchs(data, steps)
    assert dataset.fields["data"] == (expected.dtype, tuple(expected.shape[1:]))
    n = len(data)
    order = torch.randperm(n)
    assert_same(dataset.gather(order), expected[order], **options)
    assert_same(dataset[n - 1], expected[n - 1], **options)


@pytest.mark.parametrize("to", DTYPES.values(), ids=str)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_to_dtype(tmp_path, dtype, to):
    for shape in ((50,), (9, 700), (5, 3, 41)):
        data = elements(dtype, shape, 3, to=to)
        narrow = {dtype, to} & {torch.float16, torch.bfloat16}
        check(tmp_path / "x", data, [ToDtype(to)], any_nan=bool(narrow))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_arithmetic(tmp_path, dtype):
    """-0.0, NaN, infinities and subnormal numbers among them."""
    for number, shape in enumerate([(60,), (40, 257), (7, 3, 5, 90), (6, 4, 3), (4, 2000)]):
        data = elements(dtype, shape, number)
        narrow = dtype.itemsize == 2
        for steps in (
            [Scale(1 / 255)],
            [Scale(0.1234567891234, bias=-3.3)],
            [Scale(-2.5, bias=0)],
            [Divide(255)],
            [Divide(0.3)],
        ):
            check(tmp_path / "x", data, steps, any_nan=narrow)
        for dim in range(-len(shape) + 1, len(shape) - 1):
            n = shape[1:][dim]
            mean = [(i * 0.37) % 2 - 0.9 for i in range(n)]
            std = [(i * 0.71) % 2 + 0.05 for i in range(n)]
            check(tmp_path / "x", data, [Normalize(mean, std, dim=dim)], any_nan=narrow)
            check(tmp_path / "x", data, [Normalize(0.1, 0.3, dim=dim)], any_nan=narrow)


@pytest.mark.parametrize("to", FLOATS, ids=str)
@pytest.mark.parametrize("dim", [0, -1])
def test_images(tmp_path, to, dim):
    """What is done to bytes, for which there are tables and formulas."""
    shape = (5, 3, 40, 33) if dim == 0 else (5, 40, 33, 3)
    data = elements(torch.uint8, shape, 1)
    for first in (Divide(255), Scale(1 / 255), Scale(0.013, bias=-1.5)):
        check(tmp_path / "x", data, [ToDtype(to), first])
        check(tmp_path / "x", data, [ToDtype(to), first, Normalize(MEAN, STD, dim=dim)])
    check(
        tmp_path / "x",
        data,
        [ToDtype(to), Normalize((123.7, 116.3, 104), (58.4, 57, 57.4), dim=dim)],
    )
    check(tmp_path / "x", data, [ToDtype(to)])
    check(tmp_path / "x", data.view(torch.int8), [ToDtype(to), Divide(255)])


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_one_hot(tmp_path, dtype):
    for shape in ((300,), (70, 3), (2, 1500), (6, 2, 3)):
        data = (elements(torch.int64, shape, 2) % 11).abs().to(dtype)
        for to in DTYPES.values():
            check(tmp_path / "x", data, [OneHot(11, dtype=to)])
        smooth = [OneHot(11, dtype=torch.float32), Scale(0.9, bias=0.1 / 11)]
        check(tmp_path / "x", data, smooth)
        spread = [OneHot(11), ToDtype(torch.float64), Normalize(range(11), range(1, 12), dim=-1)]
        check(tmp_path / "x", data, [*spread, Reshape(-1)])


def test_classes_out_of_range(tmp_path):
    data = torch.tensor([[1, 2], [0, 4], [-1, 0], [3, 0]])
    dataset = array_of(tmp_path / "x.raw", data, [OneHot(4)])
    assert_same(dataset[3], torch.nn.functional.one_hot(data[3], 4))
    for row, value in ((1, 4), (2, -1)):
        with pytest.raises(RuntimeError):
            OneHot(4)(data[row])
        with pytest.raises(penstock.DecodeError) as caught:
            dataset[row]
        assert caught.value.record == row
        for part in (f"row {row}", f"class {value}", "0 to 3", "x.raw", "'data'"):
            assert part in str(caught.value)
    for workers in (0, 2):
        loader = penstock.DataLoader(dataset, batch_size=3, num_workers=workers)
        with pytest.raises(penstock.DecodeError, match="row 1 of field 'data': class 4"):
            list(loader)


def random_steps(draw, dtype, shape):
    """Steps that torch can do."""
    steps, hot = [], False
    for _ in range(draw.randint(1, 7)):
        kind = draw.choice(["to", "arith", "norm", "reshape", "hot"])
        if kind == "to":
            dtype = draw.choice(FLOATS)
            steps.append(ToDtype(dtype))
        elif kind == "arith" and dtype.is_floating_point:
            number = draw.uniform(-2, 2) or 1
            bias = draw.choice([None, 0, draw.uniform(-9, 9)])
            steps.append(draw.choice([Divide(number), Scale(number, bias=bias)]))
        elif kind == "norm" and dtype.is_floating_point and shape:
            dim = draw.randrange(-len(shape), len(shape))
            mean = [draw.uniform(-3, 3) for _ in range(shape[dim])]
            std = [draw.uniform(0.1, 3) for _ in range(shape[dim])]
            steps.append(Normalize(mean, std, dim=dim))
        elif kind == "reshape":
            n = int(numpy.prod(shape))
            side = draw.choice([i for i in range(1, n + 1) if n % i == 0])
            shape = draw.choice([(side, n // side), (n,), (1, side, n // side)])
            rest = list(shape)
            if draw.random() < 0.5:
                rest[draw.randrange(len(rest))] = -1
            steps.append(Reshape(*rest))
        elif kind == "hot" and not hot and dtype in INTEGERS:
            hot, dtype = True, draw.choice(list(DTYPES.values()))
            steps.append(OneHot(17, dtype=dtype))
            shape = (*shape, 17)
    return steps


def test_random_steps(tmp_path):
    draw = random.Random(5)
    for turn in range(300):
        dtype = draw.choice(list(DTYPES.values()))
        shape = tuple(draw.randint(1, 12) for _ in range(draw.randint(0, 3)))
        data = elements(dtype, (draw.randint(1, 40), *shape), turn)
        if dtype in INTEGERS:
            data = (data.to(torch.int64) % 17).abs().to(dtype)
        check(tmp_path / "x", data, random_steps(draw, dtype, shape))


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("access", ["mmap", "pread"])
@pytest.mark.parametrize("side", [8, 60])
def test_both_loaders(tmp_path, workers, access, side):
    images, labels = elements(torch.uint8, (90, side * side * 3), 7), torch.arange(90) % 10
    numpy.save(tmp_path / "i.npy", images.numpy())
    numpy.save(tmp_path / "l.npy", labels.numpy())
    steps = {
        "image": [
            Reshape(3, side, side),
            ToDtype(torch.float32),
            Divide(255),
            Normalize(MEAN, STD),
        ],
        "label": [OneHot(10, dtype=torch.float32)],
    }
    files = {"image": tmp_path / "i.npy", "label": tmp_path / "l.npy"}
    for columns in (None, ("label", "image")):
        dataset = Array(files, steps=steps, access=access, columns=columns)
        assert dataset.access == access
        options = {"batch_size": 16, "num_workers": workers, "shuffle": True}
        torch.manual_seed(3)
        theirs = list(torch.utils.data.DataLoader(dataset, **options))
        torch.manual_seed(3)
        loader = penstock.DataLoader(dataset, **options)
        assert loader.explain().lane == "native"
        for mine, batch in zip(loader, theirs, strict=True):
            pairs = zip(mine, batch, strict=True)
            if columns is None:
                assert list(mine) == list(batch) == ["image", "label"]
                pairs = zip(mine.values(), batch.values(), strict=True)
            for one, other in pairs:
                assert_same(one, other, any_nan=False)
    expected = torchs(images[:4], steps["image"])
    assert_same(Array(files, steps=steps, access=access).gather(range(4))["image"], expected)


def test_rows_larger_than_what_waits(tmp_path):
    data = elements(torch.float64, (7, 3, 20000), 9)
    check(tmp_path / "x", data, [Normalize(MEAN, STD), ToDtype(torch.float32)], any_nan=False)


def test_what_is_refused(tmp_path):
    data = elements(torch.uint8, (5, 3, 4), 1)
    one = ToDtype(torch.float32)

    def opened(*steps):
        return array_of(tmp_path / "x", data, steps)

    for steps, text in (
        ([Scale(2)], r"field 'data', step 0 \(Scale\): .*put a ToDtype"),
        ([Reshape(12), Divide(2)], r"step 1 \(Divide\): .*integers"),
        ([Normalize(MEAN, STD)], "integers"),
        ([one, Divide(0)], "divides nothing"),
        ([one, Scale(float("inf"))], "no finite number"),
        ([one, Scale(1e39)], "no finite number"),
        ([ToDtype(torch.float16), Normalize(0, 1e-9)], "divides nothing"),
        ([one, Normalize((1, 2), (1, 2))], "2 numbers for dimension 0, which has 3"),
        ([one, Normalize(MEAN, STD, dim=2)], "no dimension 2"),
        ([one, Normalize(MEAN, STD, dim=-3)], "no dimension -3"),
        ([Reshape(5, 2)], "12 elements cannot have its shape"),
        ([Reshape(-1, 5)], "cannot have its shape"),
        ([Reshape(-1, -1)], "a size of -1"),
        ([Reshape(-2, 6)], "a size of -2"),
        ([OneHot(0)], "0 classes"),
        ([one, OneHot(3)], "classes are integers"),
        ([OneHot(3), OneHot(2)], "one OneHot at most"),
    ):
        with pytest.raises(ValueError, match=text):
            opened(*steps)
    with pytest.raises(penstock.Error, match="over 2147483648 bytes"):
        opened(OneHot(1 << 40))
    with pytest.raises(penstock.Error, match="over 64 operations"):
        opened(one, *[Normalize(0, 1)] * 32)
    with pytest.raises(TypeError, match="a step should be one of"):
        opened(torch.nn.ReLU())
    with pytest.raises(ValueError, match="should be as many"):
        Normalize((1, 2), (1,))
    with pytest.raises(ValueError, match="steps for a field 'y', which there is not"):
        array_of(tmp_path / "x", data, {"y": [one]})
    for name in "ab":
        numpy.save(tmp_path / f"{name}.npy", data.numpy())
    files = {name: tmp_path / f"{name}.npy" for name in "ab"}
    with pytest.raises(ValueError, match="several fields"):
        Array(files, steps=[one])


def test_copies_keep_their_steps(tmp_path):
    data = elements(torch.uint8, (9, 3, 4), 1)
    steps = [ToDtype(torch.float32), Normalize(list(MEAN), list(STD)), Reshape(-1)]
    dataset = array_of(tmp_path / "x", data, steps)
    assert "Reshape(-1)" in repr(dataset)
    expected = torchs(data, steps)
    for again in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert repr(again) == repr(dataset)
        assert_same(again.gather(range(9)), expected)


def test_a_state_is_of_its_steps(tmp_path):
    data = elements(torch.uint8, (40, 3, 4), 1)
    one = array_of(tmp_path / "x", data, [ToDtype(torch.float32), Divide(255)])
    other = array_of(tmp_path / "x", data, [ToDtype(torch.float32), Scale(1 / 255)])
    loader = penstock.DataLoader(one, batch_size=4, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    rest = list(iterator)
    again = penstock.DataLoader(one, batch_size=4, num_workers=2)
    again.load_state_dict(state)
    for mine, theirs in zip(again, rest, strict=True):
        assert_same(mine, theirs)
    wrong = penstock.DataLoader(other, batch_size=4, num_workers=2)
    with pytest.raises(ValueError, match="fingerprint was"):
        wrong.load_state_dict(state)
