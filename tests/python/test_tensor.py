# SPDX-License-Identifier: Apache-2.0
"""penstock.Tensor beside NumPy's array and torch's tensor: views, casts, both exchange protocols,
lifetimes, random numbers."""

import array
import ctypes
import gc
import itertools
import pickle
import platform
import subprocess
import sys
import threading
import weakref

import numpy as np
import penstock
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock import Generator, Tensor, from_dlpack, tensor

NUMPY = {
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "bool": np.bool_,
}
TORCH = {name: getattr(torch, np.dtype(kind).name) for name, kind in NUMPY.items()}
TORCH["bf16"] = torch.bfloat16
FLOATS = ("f16", "bf16", "f32", "f64")
quick = settings(max_examples=150, deadline=None)

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
full_shapes = st.lists(st.integers(1, 4), max_size=4).map(tuple)


def numbers(shape, dtype="i32", seed=0):
    """Random bits; 0 and 1 for bool."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(NUMPY[dtype])
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(kind)
    n = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    return np.frombuffer(bytearray(rng.bytes(n)), kind).reshape(shape)


def address(a):
    return a.__array_interface__["data"][0]


def assert_same(mine, theirs):
    """The same memory under the same shape, as far as there are elements."""
    assert mine.shape == theirs.shape
    assert mine.nbytes == theirs.nbytes
    if theirs.size:
        assert mine.data_ptr() == address(theirs)
        for size, a, b in zip(theirs.shape, mine.strides, theirs.strides, strict=True):
            assert size == 1 or a == b
    back = np.asarray(mine)
    assert back.dtype == theirs.dtype
    assert back.tobytes() == theirs.tobytes()
    assert mine.readonly == (not theirs.flags.writeable)


ends = st.none() | st.integers(-6, 6)
slices = st.builds(slice, ends, ends, st.none() | st.integers(-3, 3).filter(bool))
indices = st.lists(st.integers(-4, 3) | slices | st.none(), max_size=5).flatmap(
    lambda items: st.integers(0, len(items)).map(
        lambda at: (*items[:at], ..., *items[at:]) if at % 2 else tuple(items)
    )
)


# --- views ---


@quick
@given(shapes, st.sampled_from(sorted(NUMPY)), st.lists(indices | st.just("T"), max_size=4))
def test_views_follow_numpy(shape, dtype, steps):
    theirs = numbers(shape, dtype)
    mine = tensor(theirs)
    assert mine.dtype == dtype
    for step in steps:
        try:
            after = theirs.T if step == "T" else theirs[step]
        except IndexError:
            # With over 8 dimensions on the way, which NumPy has, that is said first.
            n_dims = theirs.ndim + sum(item is None for item in step)
            with pytest.raises(IndexError if n_dims <= 8 else (IndexError, ValueError)):
                mine[step]
            continue
        if not isinstance(after, np.ndarray):  # NumPy makes a scalar of it
            after = theirs[(*step, ...)] if ... not in step else after
        if after.ndim > 8 or not isinstance(after, np.ndarray):
            continue
        mine = mine.T if step == "T" else mine[step]
        theirs = after
        assert_same(mine, theirs)
        assert mine.is_contiguous() == theirs.flags.c_contiguous
    assert mine.tolist() == theirs.tolist() or np.isnan(theirs.astype(np.float64)).any()
    clone = mine.clone()
    assert clone.is_contiguous()
    assert not clone.readonly
    assert np.asarray(clone).tobytes() == theirs.tobytes()
    assert clone.equal(mine)


@quick
@given(full_shapes, st.data())
def test_reshapes_follow_torch(shape, data):
    theirs = torch.from_numpy(numbers(shape))
    mine = tensor(theirs)
    dims = data.draw(st.permutations(range(theirs.ndim)))
    theirs, mine = theirs.permute(dims), mine.permute(dims)
    sizes = data.draw(st.lists(st.sampled_from([-1, 1, 2, 3, 4, 6, 8, 12]), max_size=4))
    for method in ("view", "reshape"):
        try:
            expected = getattr(theirs, method)(sizes)
        except RuntimeError:
            with pytest.raises(ValueError, match=r"view|size|dimension"):
                getattr(mine, method)(sizes)
            continue
        got = getattr(mine, method)(*sizes) if sizes else getattr(mine, method)(())
        assert got.shape == expected.shape
        assert (got.data_ptr() == mine.data_ptr()) == (expected.data_ptr() == theirs.data_ptr())
        assert torch.equal(got.contiguous().torch(), expected)


@quick
@given(full_shapes, st.lists(st.sampled_from([-1, 1, 2, 3, 4]), max_size=6))
def test_expansions_follow_torch(shape, sizes):
    theirs = torch.from_numpy(numbers(shape))
    mine = tensor(theirs)
    try:
        expected = theirs.expand(sizes)
    except RuntimeError:
        with pytest.raises(ValueError, match=r"expanded|dimension"):
            mine.expand(sizes)
        return
    got = mine.expand(sizes)
    assert got.shape == expected.shape
    assert torch.equal(got.torch(), expected)


def test_iteration_and_length():
    theirs = numbers((3, 2))
    mine = tensor(theirs)
    assert len(mine) == 3
    for row, expected in zip(mine, theirs, strict=True):
        assert_same(row, expected)
    assert list(tensor(numbers((0, 2)))) == []
    scalar = mine[0, 0]
    assert (scalar.shape, scalar.ndim, scalar.item()) == ((), 0, int(theirs[0, 0]))
    for refused in (len, iter, lambda t: t[0]):
        with pytest.raises((TypeError, IndexError)):
            refused(scalar)


@pytest.mark.parametrize("key", [True, 1.0, "0", [0], np.array([0]), (0, [1])])
def test_keys_that_are_no_view(key):
    with pytest.raises(TypeError, match=r"indexed with|integer"):
        tensor(numbers((2, 2)))[key]


def test_misuse():
    t = tensor(numbers((2, 3)))
    for exception, call in [
        (IndexError, lambda: t[2]),
        (IndexError, lambda: t[0, 0, 0]),
        (IndexError, lambda: t[..., ...]),
        (IndexError, lambda: t[2**70]),
        (ValueError, lambda: t[::0]),
        (ValueError, lambda: t[(None,) * 7]),
        (ValueError, lambda: t.view(1, 1, 1, 1, 1, 1, 1, 1, 6)),
        (TypeError, lambda: t.view("6")),
        (OverflowError, lambda: t.view(2**70)),
        (ValueError, lambda: t.permute(0)),
        (ValueError, lambda: t.permute(0, 2**40)),
        (ValueError, lambda: t.transpose(0, 2)),
        (ValueError, lambda: t.to("f8")),
        (TypeError, lambda: t.to(torch.float32)),
        (TypeError, lambda: t.equal(np.zeros(1))),
        (TypeError, lambda: t in t),
        (TypeError, lambda: pickle.dumps(t)),
        (TypeError, lambda: t + t),
        (TypeError, lambda: Tensor()),
        (ValueError, lambda: t.item()),
        (ValueError, lambda: bool(t)),
        (TypeError, lambda: tensor([1, 2])),
        (TypeError, lambda: from_dlpack(7)),
    ]:
        with pytest.raises((exception, AttributeError) if exception is TypeError else exception):
            call()
    assert bool(t[0, :1] == t[0, :1]) is False  # identity, as for any object
    assert t == t
    assert len({t, t}) == 1
    assert not tensor(np.zeros(1))
    assert tensor(np.ones((1, 1)))


# --- values ---


def castable(dtype, bits, to):
    """Bits of dtype as torch's tensor, without what C leaves open on the way to an integer."""
    kind = torch.int16 if dtype in ("bf16", "f16") else None
    if kind:
        values = torch.from_numpy(bits.view(np.int16).copy()).view(TORCH[dtype])
    else:
        values = torch.from_numpy(bits.view(NUMPY[dtype]).copy())
    if dtype in FLOATS and to not in (*FLOATS, "bool"):
        limit = 2.0**31 if to not in ("i64", "u8", "u64") else 2.0**63
        wide = values.double()
        keep = (wide > -limit) & (wide < limit)
        values = torch.where(keep, values, torch.full_like(values, 3))
    return values


@pytest.mark.parametrize("dtype", sorted(TORCH))
@pytest.mark.parametrize("to", sorted(TORCH))
def test_casts_are_torchs(dtype, to):
    rng = np.random.default_rng(1)
    bits = np.frombuffer(rng.bytes(8 * 20000), np.int64).copy()
    if dtype in FLOATS:  # half of them near the integers
        scale = 10.0 ** rng.integers(-3, 5 if dtype == "f16" else 9, 40000)
        near = (rng.standard_normal(40000) * scale).astype(np.float32)
        bits[:20000].view(np.float32)[:20000] = near[:20000]
        if dtype == "f64":
            bits[:10000] = near[:10000].astype(np.float64).view(np.int64)
        elif dtype == "f16":
            bits.view(np.float16)[:40000] = near.clip(-65504, 65504)
    if dtype == "bool":
        bits = bits & 0x0101010101010101
    theirs = castable(dtype, bits, to)
    expected = theirs.to(TORCH[to])
    got = tensor(theirs, dtype=to)
    assert got.dtype == to
    got = got.torch()
    assert got.dtype == expected.dtype
    if to in FLOATS:
        nan = torch.isnan(expected)
        assert torch.equal(torch.isnan(got), nan)
        got, expected = (torch.where(nan, 0, x) for x in (got, expected))
    assert torch.equal(got.contiguous().view(torch.uint8), expected.contiguous().view(torch.uint8))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what x86-64 makes of it")
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("to", ["u8", "u16", "u64", "i8", "i16", "i32", "i64"])
def test_casts_out_of_range_are_torchs_too(dtype, to):
    values = [
        np.nan,
        np.inf,
        -np.inf,
        3e9,
        3000000001.0,
        -3e9,
        1e19,
        -1e19,
        2**63,
        -(2.0**63),
        1e30,
        1.8e19,
        2.0**64,
    ]
    theirs = torch.tensor(values * 40, dtype=TORCH[dtype])
    expected = theirs.to(TORCH[to])
    assert torch.equal(tensor(theirs, dtype=to).torch(), expected)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what x86-64 makes of it")
def test_casts_to_u32_are_those_of_single_elements():
    values = [np.nan, np.inf, -np.inf, 3e9, 5e9, -3e9, -5e9, 1e19, -1e19, 1e30]
    expected = [torch.tensor([x], dtype=torch.float64).to(torch.uint32).item() for x in values]
    assert tensor(np.array(values), dtype="u32").tolist() == expected


def test_names_of_dtypes():
    t = tensor(b"\0\1\2")
    for name, kind in TORCH.items():
        assert t.to(name).dtype == name
        assert t.to(str(kind).removeprefix("torch.")).dtype == name
        assert t.to(name).itemsize == kind.itemsize
    assert t.to("u8") is t
    assert t.contiguous() is t


@pytest.mark.parametrize("dtype", sorted(TORCH))
def test_text_and_numbers(dtype):
    values = torch.tensor([[0, 1, 2], [3, 100, 5]]).to(TORCH[dtype])
    t = tensor(values)
    assert t.tolist() == values.tolist()
    assert t[1, 1].item() == values[1, 1].item()
    assert type(t[1, 1].item()) is type(values[1, 1].item())
    assert repr(t).startswith("tensor([[")
    assert repr(t).endswith(f"dtype={dtype})")


@quick
@given(st.lists(st.floats(width=32), min_size=1, max_size=5), st.sampled_from(FLOATS))
def test_text_gives_floats_back(values, dtype):
    t = tensor(torch.tensor(values, dtype=torch.float32).to(TORCH[dtype]))
    text = repr(t).removeprefix("tensor([").partition("]")[0]
    again = torch.tensor([float(part) for part in text.split(",")], dtype=torch.float64)
    assert str(again.to(TORCH[dtype]).tolist()) == str(t.tolist())


@quick
@given(st.floats(1e-4, 9e15))
def test_text_of_a_float_is_pythons(value):
    assert repr(tensor(np.array(value))) == f"tensor({value!r}, dtype=f64)"


@pytest.mark.fault("R32")
def test_equal_is_bitwise():
    a = np.array([0.0, np.nan])
    assert tensor(a).equal(tensor(a.copy()))
    assert not tensor(a).equal(tensor(np.array([-0.0, np.nan])))
    assert not tensor(a).equal(tensor(a, dtype="f32"))
    assert not tensor(a).equal(tensor(a[None]))


# --- buffers ---

FLAGS = {
    "simple": 0x0,
    "writable": 0x1,
    "format": 0x4,
    "nd": 0x8,
    "strides": 0x18,
    "c": 0x38,
    "fortran": 0x58,
    "any": 0x98,
    "both": 0x78,
    "full": 0x11D,
    "full_ro": 0x11C,
    "records": 0x1D,
    "contig": 0x9,
}


class PyBuffer(ctypes.Structure):
    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    ]


def ask(obj, flags):
    view = PyBuffer()
    try:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(obj), ctypes.byref(view), flags)
    except (BufferError, ValueError):
        return None
    answer = (
        view.buf,
        view.len,
        view.itemsize,
        view.readonly,
        bool(view.shape),
        bool(view.strides),
    )
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    return answer


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_buffers_answer_as_numpys(name):
    base = numbers((3, 4, 2))
    views = [base, base.T, base[::2], base[:, ::-1], base.transpose(1, 0, 2), base[1], base[..., 0]]
    views += [base[:1, :, :1], base[0, 0, 0:1], base[1:2].T]
    for theirs in views:
        for fixed in (False, True):
            theirs.flags.writeable = not fixed
            mine = tensor(theirs)
            expected, got = ask(theirs, FLAGS[name]), ask(mine, FLAGS[name])
            assert (got is None) == (expected is None), (theirs.shape, theirs.strides)
            if got is not None:
                assert got == expected
            theirs.flags.writeable = True


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_buffers_of_the_array_module(code):
    source = array.array(code, [1, 2, 3])
    if code == "B":
        source = bytearray(source)
    t = tensor(source)
    assert t.tolist() == [1, 2, 3]
    assert t.itemsize == memoryview(source).itemsize
    source[1] = 7
    assert t.tolist() == [1, 7, 3]
    assert not t.readonly


@pytest.mark.parametrize(
    "source",
    [
        array.array("u", "a"),
        np.zeros(2, np.complex64),
        np.zeros(2, "S3"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, ">i4"),
        np.zeros(2, ">u4"),
        np.zeros(2, object),
    ],
    ids=lambda source: str(getattr(source, "dtype", "array")),
)
def test_elements_of_another_kind(source):
    with pytest.raises((TypeError, BufferError)):
        tensor(source)


def test_too_many_dimensions():
    with pytest.raises(ValueError, match="at most 8"):
        tensor(np.zeros((1,) * 9))
    with pytest.raises(ValueError, match="at most 8"):
        from_dlpack(torch.zeros((1,) * 9))
    assert tensor(np.zeros((1,) * 8)).ndim == 8


def test_read_only_stays_read_only():
    fixed = tensor(b"abcdef")
    assert fixed.readonly
    assert fixed.view(2, 3)[1].readonly
    assert memoryview(fixed).readonly
    assert not fixed.numpy().flags.writeable
    assert not np.from_dlpack(fixed).flags.writeable
    assert tensor(np.from_dlpack(fixed)).readonly
    assert from_dlpack(fixed).readonly
    with pytest.raises(BufferError, match="read-only"):
        fixed.torch()
    with pytest.raises(BufferError, match="read-only"):
        fixed.__dlpack__()
    assert torch.equal(fixed.clone().torch(), torch.tensor(list(b"abcdef"), dtype=torch.uint8))
    assert not tensor(b"abc", copy=True).readonly
    assert not tensor(b"abc", dtype="f32").readonly


def test_bfloat16_has_no_buffer():
    t = tensor(torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"torch\(\)"):
        t.numpy()
    with pytest.raises(TypeError, match=r"torch\(\)"):
        np.asarray(t)
    with pytest.raises(BufferError, match="bf16"):
        memoryview(t)
    assert torch.frombuffer(t, dtype=torch.bfloat16).tolist() == [1.5, -2.0]
    assert t.to("f32").numpy().tolist() == [1.5, -2.0]


def test_array_method():
    t = tensor(numbers((2, 3), "f32"))
    assert address(t.__array__()) == t.data_ptr()
    assert t.__array__(np.float64).dtype == np.float64
    assert address(t.__array__(copy=True)) != t.data_ptr()
    assert t.__array__(dtype=np.dtype("f4"), copy=None).dtype == np.float32


# --- DLPack ---


@quick
@given(shapes, st.sampled_from(sorted(TORCH)), st.data())
def test_torch_both_ways(shape, dtype, data):
    theirs = torch.zeros(shape, dtype=TORCH[dtype])
    theirs.view(torch.uint8).copy_(torch.randint(0, 2, theirs.view(torch.uint8).shape)) if (
        theirs.ndim
    ) else None
    dims = data.draw(st.permutations(range(len(shape))))
    theirs = theirs.permute(dims)
    for mine in (tensor(theirs), from_dlpack(theirs), from_dlpack(theirs.__dlpack__())):
        assert (mine.dtype, mine.shape) == (dtype, tuple(theirs.shape))
        for back in (mine.torch(), torch.from_dlpack(mine), torch.from_dlpack(mine.__dlpack__())):
            assert back.dtype == theirs.dtype
            assert back.shape == theirs.shape
            assert back.device.type == "cpu"
            if theirs.numel():
                assert mine.data_ptr() == back.data_ptr() == theirs.data_ptr()
            contents = (x.contiguous().view(-1).view(torch.uint8) for x in (back, theirs))
            assert torch.equal(*contents)


@quick
@given(shapes, st.sampled_from(sorted(NUMPY)))
def test_numpy_both_ways(shape, dtype):
    theirs = numbers(shape, dtype)
    assert_same(from_dlpack(theirs), theirs)
    for back in (np.from_dlpack(from_dlpack(theirs)), tensor(theirs).numpy()):
        assert back.dtype == theirs.dtype
        assert back.shape == theirs.shape
        assert not theirs.size or address(back) == address(theirs)
        assert back.flags.writeable


def test_negative_strides_leave_by_buffer_only():
    t = tensor(numbers((4, 3)))[::-1, ::-2]
    assert t.numpy().strides == t.strides
    for out in (t.torch, t.__dlpack__, lambda: torch.from_dlpack(t)):
        with pytest.raises(BufferError, match="contiguous"):
            out()
    assert torch.equal(t.contiguous().torch(), torch.from_numpy(t.numpy().copy()))
    assert_same(tensor(t.numpy()), t.numpy())


def test_strides_that_are_no_multiple():
    records = np.zeros(4, [("a", "i1"), ("b", "<i4")])
    records["b"] = range(4)
    t = tensor(records["b"])
    assert (t.strides, t.tolist()) == ((5,), [0, 1, 2, 3])
    assert t.to("f64").tolist() == [0, 1, 2, 3]
    with pytest.raises(BufferError, match="5 bytes"):
        t.torch()
    assert t.contiguous().torch().tolist() == [0, 1, 2, 3]


def test_options_of_dlpack():
    t = tensor(numbers((2, 2)))
    assert t.__dlpack_device__() == (1, 0)
    assert '"dltensor"' in repr(t.__dlpack__())
    assert '"dltensor"' in repr(t.__dlpack__(max_version=(0, 8), dl_device=(1, 0), copy=False))
    assert '"dltensor_versioned"' in repr(t.__dlpack__(max_version=(1, 0)))
    assert '"dltensor_versioned"' in repr(t.__dlpack__(max_version=(7, 0)))
    assert from_dlpack(t.__dlpack__(copy=True)).data_ptr() != t.data_ptr()
    assert from_dlpack(t, copy=True).data_ptr() != t.data_ptr()
    for exception, options in [
        (BufferError, {"stream": 1}),
        (BufferError, {"dl_device": (2, 0)}),
        (TypeError, {"dl_device": 1}),
        (TypeError, {"max_version": 1}),
        (TypeError, {"max_version": ("1", 0)}),
    ]:
        with pytest.raises(exception):
            t.__dlpack__(**options)
    taken = t.__dlpack__()
    from_dlpack(taken)
    with pytest.raises(TypeError, match="taken already"):
        from_dlpack(taken)


class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class Kind(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("ndim", ctypes.c_int32),
        ("dtype", Kind),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Legacy(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]
    name = b"dltensor"


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    ]
    name = b"dltensor_versioned"


CAPSULE_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.py_object)
capsule_new = ctypes.pythonapi.PyCapsule_New
capsule_new.restype = ctypes.py_object
capsule_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, CAPSULE_DESTRUCTOR]


class Exporter:
    """A tensor of a library of our own, which counts the calls of its deleter."""

    def __init__(self, kind, *, shape=(2, 3), strides=None, major=1, flags=0, device=1, **fields):
        self.deleted = 0
        self.memory = (ctypes.c_int32 * 16)(*range(16))
        self.managed = kind()
        self.deleter = self.managed.deleter = DELETER(self.delete)
        dl = self.managed.tensor
        dl.data = fields.get("data", ctypes.addressof(self.memory))
        dl.device = Device(device, 0)
        dl.ndim = fields.get("ndim", len(shape or ()))
        dl.dtype = Kind(fields.get("code", 0), fields.get("bits", 32), fields.get("lanes", 1))
        if shape is not None:
            self.shape = (ctypes.c_int64 * 16)(*shape)
            dl.shape = ctypes.cast(self.shape, ctypes.POINTER(ctypes.c_int64))
        if strides:
            self.strides = (ctypes.c_int64 * 16)(*strides)
            dl.strides = ctypes.cast(self.strides, ctypes.POINTER(ctypes.c_int64))
        dl.byte_offset = fields.get("byte_offset", 0)
        if kind is Versioned:
            self.managed.major, self.managed.flags = major, flags

    def delete(self, _):
        self.deleted += 1

    def __dlpack__(self, **options):
        # Without a destructor: what is not taken is counted as not deleted.
        return capsule_new(
            ctypes.addressof(self.managed), type(self.managed).name, CAPSULE_DESTRUCTOR()
        )

    def __dlpack_device__(self):
        return (self.managed.tensor.device.type, 0)


@pytest.mark.parametrize("kind", [Legacy, Versioned])
def test_the_deleter_is_called_once(kind):
    exporter = Exporter(kind, strides=(1, 2), byte_offset=8)
    t = from_dlpack(exporter)
    assert t.tolist() == [[2, 4, 6], [3, 5, 7]]
    assert t.data_ptr() == ctypes.addressof(exporter.memory) + 8
    row, out, array_ = t[1], t.T.torch(), t.numpy()
    exporter.memory[3] = 50
    assert (row.tolist(), out[0, 1].item(), int(array_[1, 0])) == ([50, 5, 7], 50, 50)
    for holder in ("t", "row", "out", "array_"):
        assert exporter.deleted == 0
        if holder == "t":
            del t
        elif holder == "row":
            del row
        elif holder == "out":
            del out
        else:
            del array_
    gc.collect()
    assert exporter.deleted == 1


@pytest.mark.parametrize(
    ("exception", "fields"),
    [
        (BufferError, {"device": 2}),
        (TypeError, {"bits": 128, "code": 1}),
        (TypeError, {"lanes": 4}),
        (TypeError, {"code": 200}),
        (ValueError, {"ndim": 9}),
        (ValueError, {"ndim": -1}),
        (ValueError, {"shape": (2, -3)}),
        (ValueError, {"shape": None, "ndim": 1}),
        (ValueError, {"data": None}),
        (ValueError, {"shape": (1 << 62, 4)}),
        (ValueError, {"shape": (1 << 40, 1 << 40)}),
        (ValueError, {"strides": (1 << 62, 1)}),
        (ValueError, {"strides": (1 << 60, 1), "shape": (9, 3)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Legacy, Versioned])
def test_what_cannot_be_taken(kind, exception, fields):
    exporter = Exporter(kind, **fields)
    for attempt in (exporter, exporter.__dlpack__()):
        with pytest.raises(exception):
            from_dlpack(attempt)
    assert exporter.deleted == 0  # the capsule still owns it


def test_a_version_that_is_not_known():
    exporter = Exporter(Versioned, major=2)
    with pytest.raises(BufferError, match=r"version 2\.0"):
        from_dlpack(exporter)
    assert exporter.deleted == 0


def test_flags_and_memory_of_other_devices():
    assert from_dlpack(Exporter(Versioned, flags=1)).readonly
    assert not from_dlpack(Exporter(Versioned, flags=2)).readonly
    assert from_dlpack(Exporter(Legacy, device=3)).tolist() == [[0, 1, 2], [3, 4, 5]]  # pinned
    assert from_dlpack(Exporter(Legacy, shape=())).item() == 0


def test_an_exporter_from_before_versions():
    class Old:
        def __init__(self):
            self.inner = Exporter(Legacy)

        def __dlpack__(self, stream=None):
            return self.inner.__dlpack__()

        def __dlpack_device__(self):
            return (1, 0)

    old = Old()
    t = from_dlpack(old)
    assert t.tolist() == [[0, 1, 2], [3, 4, 5]]
    del t
    assert old.inner.deleted == 1


def test_exporters_that_fail():
    class Bad:
        def __dlpack__(self, **options):
            return self.capsule

        def __dlpack_device__(self):
            return self.device

    bad = Bad()
    for capsule, device, exception in [
        (None, (1, 0), TypeError),
        (object(), (1, 0), TypeError),
        (None, (2, 0), BufferError),
        (None, 1, TypeError),
        (None, (1,), TypeError),
        (None, ("cpu", 0), TypeError),
    ]:
        bad.capsule, bad.device = capsule, device
        with pytest.raises(exception):
            from_dlpack(bad)
    with pytest.raises(BufferError):
        tensor(torch.zeros(2, requires_grad=True))
    with pytest.raises((TypeError, ValueError, BufferError, RuntimeError)):
        tensor(torch.zeros(2, device="meta"))


def test_a_capsule_that_nobody_takes():
    source = np.arange(3)
    died = weakref.ref(source)
    capsules = [tensor(source).__dlpack__(), tensor(source).__dlpack__(max_version=(1, 0))]
    del source
    gc.collect()
    assert died() is not None
    del capsules
    gc.collect()
    assert died() is None


# --- lifetimes ---

HOLDERS = {
    "view": lambda t: t[1:],
    "memoryview": memoryview,
    "numpy": lambda t: t.numpy(),
    "torch": lambda t: t.torch(),
    "capsule": lambda t: t.__dlpack__(),
    "again": lambda t: tensor(t.numpy()),
    "dlpack": lambda t: from_dlpack(t.torch()),
}


@pytest.mark.fault("R27")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_any_holder_keeps_the_base_alive(order):
    for names in itertools.combinations(HOLDERS, 3):
        base = np.arange(12).reshape(4, 3)
        died = weakref.ref(base)
        t = tensor(base)
        gone = weakref.ref(t)
        held = [HOLDERS[name](t) for name in names]
        del base, t
        for i in order:
            assert died() is not None, names
            held[i] = None
        assert died() is None, names
        assert gone() is None, names


@pytest.mark.fault("R27")
def test_memory_of_a_dead_tensor_is_still_there():
    t = tensor(bytearray(range(100)), copy=True)
    out, array_ = t.torch(), t.numpy()
    view = t[10:20]
    del t
    gc.collect()
    blocks = [tensor(bytes(100), copy=True) for _ in range(50)]  # would be the same memory
    assert out.tolist() == array_.tolist() == list(range(100))
    assert view.tolist() == list(range(10, 20))
    out[15] = 255
    assert view.tolist()[5] == 255
    del blocks


@pytest.mark.fault("R31")
def test_threads_share_and_drop():
    base = np.arange(1000, dtype=np.int64)
    died = weakref.ref(base)
    t = tensor(base)
    errors = []
    start = threading.Barrier(4)

    def work(t):
        try:
            start.wait()
            for i in range(500):
                view = t[i : i + 100]
                assert view.torch()[0].item() == view.numpy()[0] == i
                assert view.to("f32").tolist()[1] == i + 1
                assert from_dlpack(view).T.data_ptr() == view.data_ptr()
                view.__dlpack__()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(t,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    del base, t, threads, thread
    gc.collect()
    assert died() is None


def test_the_last_reference_dies_on_another_thread():
    base = np.arange(10)
    died = weakref.ref(base)
    box = [tensor(base).torch()]
    del base
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert died() is None


def test_nothing_leaks():
    source, out = np.zeros((4, 4), np.float32), torch.zeros(3)
    engine = getattr(penstock._core, "_mem_blocks", lambda: 0)

    def life():
        t = tensor(source)
        t[1:, ::2].to("f16").tolist()
        t.view(16).torch()
        repr(t)
        from_dlpack(out, copy=True)
        for call in (lambda: t.view(7), lambda: t[9], lambda: tensor(1), lambda: t.to("x")):
            try:
                call()
            except (ValueError, IndexError, TypeError):
                continue
            raise AssertionError
        Generator(1).rand((3,))

    for _ in range(5):
        life()
    gc.collect()
    before = (sys.getrefcount(source), sys.getrefcount(out), sys.getrefcount(Tensor), engine())
    held = sys.getallocatedblocks()
    for _ in range(200):
        life()
    gc.collect()
    after = (sys.getrefcount(source), sys.getrefcount(out), sys.getrefcount(Tensor), engine())
    assert after == before
    assert sys.getallocatedblocks() - held < 100  # some of the interpreter's caches


@pytest.mark.fault("R17")
@pytest.mark.skipif(not hasattr(penstock._core, "_fault_arm"), reason="a build without checks")
def test_memory_that_runs_out():
    core = penstock._core
    t = tensor(np.arange(6.0).reshape(2, 3))
    alloc = 1  # PST_SYS_ALLOC
    calls = {
        "clone": t.clone,
        "to": lambda: t.to("f32"),
        "reshape": lambda: t.T.reshape(6),
        "tolist": t.tolist,
        "dlpack": t.__dlpack__,
        "dlpack copy": lambda: t.__dlpack__(copy=True),
        "tensor": lambda: tensor(b"abc"),
        "copy": lambda: tensor(b"abc", copy=True),
        "generator": lambda: Generator(3).rand((2,)),
    }
    for name, call in calls.items():
        blocks = core._mem_blocks()
        failed = 0
        for nth in range(1, 20):
            core._fault_arm(alloc, nth, False, 12)
            try:
                call()
            except MemoryError:
                failed += 1
            finally:
                fired = core._fault_fired()
                core._fault_disarm()
            assert core._mem_blocks() == blocks, name
            if not fired:
                break
        assert failed >= 1, name
        assert failed == nth - 1, name


# --- without the others ---

ALONE = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import penstock
t = penstock.tensor(bytearray(range(6))).view(2, 3)
assert t[1].tolist() == [3, 4, 5]
assert memoryview(t.T).tolist() == [[0, 3], [1, 4], [2, 5]]
assert repr(t.to("bf16")).endswith("dtype=bf16)")
assert penstock.from_dlpack(t).data_ptr() == t.data_ptr()
assert penstock.Generator(0).randperm(3).shape == (3,)
for name in {blocked!r}:
    try:
        getattr(t, name)()
    except ImportError:
        pass
    else:
        raise AssertionError(name)
if "torch" in {blocked!r}:
    try:
        penstock.DataLoader
    except ImportError as error:
        assert "PyTorch" in str(error)
    else:
        raise AssertionError
    try:
        penstock.nothing
    except AttributeError:
        pass
    else:
        raise AssertionError
assert not set(sys.modules) & {{"nothing"}}
"""


@pytest.mark.parametrize("blocked", [("torch",), ("torch", "numpy")])
def test_alone(blocked):
    subprocess.run([sys.executable, "-c", ALONE.format(blocked=blocked)], check=True, timeout=60)


AT_THE_END = """
import atexit, builtins, sys
import numpy, torch, penstock

class Late:
    def __init__(self, *held):
        self.held = held
    def __del__(self):
        self.held = None

source = numpy.arange(5.0)
t = penstock.tensor(source)
builtins.kept = Late(t, t.torch(), t.numpy(), t.__dlpack__(), memoryview(t))
torch.kept = t.view(5, 1).torch()
penstock.kept = penstock.from_dlpack(torch.ones(3))
atexit.register(lambda: Late(penstock.tensor(bytearray(3)).torch()))
cycle = [penstock.tensor(source).torch()]
cycle.append(cycle)
"""


def test_the_end_of_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", AT_THE_END],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- random numbers ---


@quick
@given(
    st.integers(0, 2**64 - 1),
    st.lists(
        st.sampled_from(["rand", "randint", "randperm"]).flatmap(
            lambda what: st.tuples(
                st.just(what),
                st.integers(0, 1500),
                st.sampled_from(["f32", "f64", "f16", "bf16"]),
                st.sampled_from([1, 2, 10, 2**28 - 1, 2**28, 2**28 + 1, 2**32, 2**40, 2**63 - 1]),
            )
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_numbers_are_torchs(seed, calls):
    mine, theirs = Generator(seed), torch.Generator()
    theirs.manual_seed(seed if seed < 2**63 else seed - 2**64)
    for what, n, dtype, high in calls:
        if what == "rand":
            got = mine.rand((n,), dtype=dtype)
            expected = torch.rand(n, dtype=TORCH[dtype], generator=theirs)
        elif what == "randint":
            got = mine.randint(-1, high - 1, [n])
            expected = torch.randint(-1, high - 1, (n,), generator=theirs)
        else:
            got = mine.randperm(n)
            expected = torch.randperm(n, generator=theirs)
        assert got.dtype == (dtype if what == "rand" else "i64")
        assert torch.equal(got.torch(), expected)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("u8", 0, 256), ("u8", 3, 9), ("i8", -128, 128), ("i16", -300, 7), ("i32", -(2**31), 2**31)],
)
def test_integers_of_other_dtypes_are_torchs(dtype, low, high):
    expected = torch.randint(
        low, high, (999,), dtype=TORCH[dtype], generator=torch.Generator().manual_seed(4)
    )
    assert torch.equal(Generator(4).randint(low, high, (999,), dtype=dtype).torch(), expected)


def test_a_shape_of_several_dimensions():
    generator = Generator(9)
    first = generator.rand((3, 4, 5))
    assert first.shape == (3, 4, 5)
    generator.seed(9)
    assert generator.rand(60).view(3, 4, 5).equal(first)
    generator.seed(9)
    assert torch.equal(
        generator.randint(0, 100, (7, 3)).torch(),
        torch.randint(0, 100, (7, 3), generator=torch.Generator().manual_seed(9)),
    )
    assert generator.randn((), dtype="f64").shape == ()
    for exception, call in [
        (ValueError, lambda: generator.rand((2,), dtype="i64")),
        (ValueError, lambda: generator.randint(0, 300, (2,), dtype="u8")),
        (ValueError, lambda: generator.randint(5, 5, (2,))),
        (ValueError, lambda: generator.rand((-1,))),
        (penstock.LimitError, lambda: generator.randperm(2**40)),
        (OverflowError, lambda: Generator(-1)),
        (TypeError, lambda: Generator("1")),
    ]:
        with pytest.raises(exception):
            call()


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_numbers(dtype):
    wide = Generator(11).randn((20001,), dtype="f64").torch()
    narrow = Generator(11).randn((20001,), dtype=dtype).torch()
    assert torch.equal(narrow, wide.to(TORCH[dtype]))  # the same draws, rounded
    assert abs(wide.mean().item()) < 5 / 20001**0.5
    assert abs(wide.var().item() - 1) < 5 * (2 / 20001) ** 0.5
