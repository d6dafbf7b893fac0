# SPDX-License-Identifier: Apache-2.0
"""The C-API glue: arguments, exceptions, buffers, references, signals, threads, fork."""

import array
import contextlib
import ctypes
import errno
import gc
import importlib.util
import inspect
import os
import pathlib
import pickle
import re
import select
import signal
import struct
import sys
import threading
import time
import warnings
import weakref
import zlib

import pytest
from penstock import _core

CENTER_CROP = 3
RANDOM_RESIZED_CROP = 4
BILINEAR = 2

needs_checks = pytest.mark.skipif(
    not hasattr(_core, "_fault_arm"), reason="a build without -Dchecks=true"
)
main_thread_signals = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="no interval timers here"
)


# --- data ---


def pixel(x, y, c, seed):
    return (x * 7 + y * 31 + c * 101 + seed * 13) % 256


def pixels(width, height, seed=0):
    return bytes(
        pixel(x, y, c, seed) for y in range(height) for x in range(width) for c in range(3)
    )


def png(width, height, rgb):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + rgb[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def crop_op(kind, height, width):
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    log_ratio = (-0.2876820724517809, 0.2876820724517809)
    if kind == CENTER_CROP:
        scale = ratio = log_ratio = (0.0, 0.0)
    return (kind, BILINEAR, height, width, 0, 0, *scale, *ratio, *log_ratio)


def make_lut():
    return array.array("f", [v / 256 + c for c in range(3) for v in range(256)])


def make_transform(*ops, dtype="f32"):
    return _core.Transform(
        list(ops),
        dtype=dtype,
        lut=make_lut() if dtype == "f32" else None,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        era=0,
        channels=3,
        layout=0,
    )


def make_loader(dataset, transform, **options):
    config = {
        "threads": 2,
        "batch_size": 64,
        "ahead": 4,
        "n_streams": 1,
        "memory_budget": 0,
        "rng": "torch",
        "nice": 0,
        "exp": None,
        "blur": None,
        "strict": False,
        "mix": None,
    }
    return _core.Loader(dataset, transform, **{**config, **options})


SIZE = 8
N_SMALL = 6


@pytest.fixture(scope="module")
def small_paths(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    names = []
    for i in range(N_SMALL):
        path = root / f"{i}.png"
        path.write_bytes(png(SIZE, SIZE, pixels(SIZE, SIZE, seed=i)))
        names.append(os.fsencode(path))
    return names


@pytest.fixture
def small(small_paths):
    return _core.paths(small_paths, [10 * i for i in range(N_SMALL)])


@pytest.fixture
def crop8():
    return make_transform(crop_op(CENTER_CROP, SIZE, SIZE))


@pytest.fixture
def loader(small, crop8):
    with contextlib.closing(make_loader(small, crop8)) as loader:
        yield loader


@pytest.fixture(scope="module")
def large_path(tmp_path_factory):
    side = 3000
    path = tmp_path_factory.mktemp("large") / "large.png"
    path.write_bytes(png(side, side, bytes(range(256)) * (side * side * 3 // 256 + 1)))
    return os.fsencode(path)


@pytest.fixture
def busy_loader(large_path, crop8):
    """A loader with many seconds of work submitted."""
    dataset = _core.paths([large_path], [0])
    with contextlib.closing(make_loader(dataset, crop8, threads=1, batch_size=1000)) as loader:
        loader.submit([0] * 1000, 0)
        yield loader


def next_batch(loader, indices):
    ticket = loader.submit(indices, 0)
    kind, event_ticket, *_ = loader.wait(60_000)
    assert (kind, event_ticket) == ("batch", ticket)
    return loader.take(ticket)


# --- module ---


def test_module_says_what_is_in_it():
    assert re.fullmatch(r"\d+\.\d+\.\d+", _core.__version__)
    assert _core.kernels()
    assert _core.build_info()
    assert 1 <= _core.cpu_count() <= 4096


@pytest.mark.fault("R30")
def test_second_instance_shares_nothing_and_dies():
    spec = importlib.util.find_spec("penstock._core")
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert other.Loader is not _core.Loader
    assert other.Error is not _core.Error
    with pytest.raises(other.DecodeError) as info:
        other.decode(b"nothing")
    assert not isinstance(info.value, _core.Error)
    died = [weakref.ref(other.Loader), weakref.ref(other.Error)]
    del info, other, spec
    gc.collect()
    assert [ref() for ref in died] == [None, None]


@pytest.mark.parametrize("name", ["Tensor", "Dataset"])
def test_types_made_by_the_engine_only(name):
    with pytest.raises(TypeError):
        getattr(_core, name)()


@pytest.mark.parametrize("name", ["Tensor", "Dataset", "Transform", "Loader"])
def test_types_are_final(name):
    base = getattr(_core, name)
    with pytest.raises(TypeError):
        type("Sub", (base,), {})
    with pytest.raises(TypeError):
        base.extra = 1


def test_signatures_are_there():
    names = [n for n in dir(_core.Loader) if not n.startswith("_") and n != "closed"]
    assert len(names) == 29
    for name in names:
        assert inspect.signature(getattr(_core.Loader, name)).parameters
    for name in ("folder", "paths", "probe", "decode", "kernels", "build_info", "cpu_count"):
        inspect.signature(getattr(_core, name))


# --- exceptions ---


def test_exception_classes():
    assert issubclass(_core.DecodeError, _core.Error)
    assert issubclass(_core.DecodeError, ValueError)
    assert issubclass(_core.LimitError, _core.Error)
    assert issubclass(_core.LimitError, ValueError)
    assert issubclass(_core.ForkError, _core.Error)
    assert issubclass(_core.ForkError, RuntimeError)
    raised_by_hand = _core.DecodeError("text")
    assert (raised_by_hand.status, raised_by_hand.record, raised_by_hand.offset) == ("", -1, -1)


def test_decode_error_has_status_and_survives_pickle():
    with pytest.raises(_core.DecodeError) as info:
        _core.decode(b"\xff\xd8\xff")
    error = info.value
    assert error.status.startswith("E")
    assert str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is _core.DecodeError
    assert (again.args, again.status, again.offset) == (error.args, error.status, error.offset)


def test_missing_folder_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        _core.folder(os.fsencode(tmp_path / "none"), allow_empty=False, extensions=None)
    assert "none" in str(info.value)


def test_folder_without_classes_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        _core.folder(os.fsencode(tmp_path), allow_empty=False, extensions=None)


@needs_checks
def test_os_error_has_errno_and_subclass(tmp_path):
    (tmp_path / "class").mkdir()
    dir_calls = 1 << 5
    _core._fault_arm(dir_calls, 1, True, errno.EACCES)
    try:
        with pytest.raises(PermissionError) as info:
            _core.folder(os.fsencode(tmp_path), allow_empty=True, extensions=None)
        assert _core._fault_fired() >= 1
        assert _core._fault_calls() >= _core._fault_fired()
    finally:
        _core._fault_disarm()
    assert info.value.errno == errno.EACCES
    assert os.fspath(tmp_path) in str(info.value)
    assert info.value.status == "EIO"


@pytest.mark.fault("R17")
@needs_checks
def test_every_failed_allocation_is_a_memory_error(small_paths):
    def life():
        dataset = _core.paths(small_paths, range(N_SMALL))
        transform = make_transform(crop_op(CENTER_CROP, SIZE, SIZE))
        make_loader(dataset, transform, threads=1).close()

    life()
    gc.collect()
    before = _core._mem_blocks()
    nth = fired = 0
    while True:
        nth += 1
        _core._fault_arm(1 << 0, nth, False, errno.ENOMEM)
        try:
            life()
        except MemoryError:
            pass
        finally:
            was_fired = _core._fault_fired()
            _core._fault_disarm()
        gc.collect()
        assert _core._mem_blocks() == before
        if not was_fired:
            break
        fired += 1
    assert fired >= 3


# --- datasets ---


def test_folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(png(2, 2, pixels(2, 2)))
    (tmp_path / "a" / "y.txt").write_bytes(b"")
    root = os.fsencode(tmp_path)
    dataset = _core.folder(root, allow_empty=False, extensions=None)
    assert len(dataset) == 2
    assert dataset.classes == [b"a", b"b"]
    assert [dataset.label(i) for i in range(2)] == [0, 1]
    assert dataset.name(1) == root + b"/b/x.png"
    only_text = _core.folder(root, allow_empty=True, extensions=b".txt")
    assert [only_text.name(i) for i in range(len(only_text))] == [root + b"/a/y.txt"]


def test_folder_argument_types(tmp_path):
    root = os.fsencode(tmp_path)
    with pytest.raises(TypeError):
        _core.folder(str(tmp_path), allow_empty=True, extensions=None)
    with pytest.raises(TypeError):
        _core.folder(root, allow_empty=True, extensions=".png")
    with pytest.raises(TypeError):
        _core.folder(root)
    with pytest.raises(ValueError, match="null byte"):
        _core.folder(root + b"\0", allow_empty=True, extensions=None)


def test_paths():
    dataset = _core.paths([b"one", b"\xff\xfe", b""], (7, -(2**63), 2**63 - 1))
    assert len(dataset) == 3
    assert [dataset.name(i) for i in range(3)] == [b"one", b"\xff\xfe", b""]
    assert [dataset.label(i) for i in range(3)] == [7, -(2**63), 2**63 - 1]
    assert dataset.classes == []
    assert len(_core.paths([], [])) == 0


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["text"], [0], TypeError),
        ([b"a\0b"], [0], ValueError),
        ([b"a"], [], ValueError),
        ([b"a"], [2**63], OverflowError),
        ([b"a"], ["0"], TypeError),
        ([b"a"], [0.0], TypeError),
        (None, [], TypeError),
        ([b"a"], 0, TypeError),
    ],
)
def test_paths_refuses(names, labels, expected):
    with pytest.raises(expected):
        _core.paths(names, labels)


@pytest.mark.parametrize("index", [-1, N_SMALL, 2**70, -(2**70)])
def test_dataset_index_out_of_range(small, index):
    with pytest.raises(IndexError):
        small.label(index)
    with pytest.raises(IndexError):
        small.name(index)


def test_dataset_index_type(small):
    class Two:
        def __index__(self):
            return 2

    assert small.label(Two()) == 20
    with pytest.raises(TypeError):
        small.label(1.0)


# --- images ---


def test_probe_and_decode():
    rgb = pixels(5, 3)
    data = png(5, 3, rgb)
    assert _core.probe(data) == ("png", 5, 3)
    for source in (data, bytearray(data), memoryview(data), array.array("B", data)):
        image = _core.decode(source)
        assert (image.shape, image.dtype) == ((3, 5, 3), "u8")
        assert bytes(image) == rgb
    part = _core.decode(data, (1, 1, 3, 2))
    assert part.shape == (2, 3, 3)
    assert bytes(part) == b"".join(rgb[(y * 5 + 1) * 3 : (y * 5 + 4) * 3] for y in (1, 2))
    assert bytes(_core.decode(data, None)) == rgb


@pytest.mark.parametrize(
    "region", [(0, 0, 6, 1), (-1, 0, 1, 1), (0, 0, 0, 1), (2**31 - 1, 0, 1, 1)]
)
def test_decode_refuses_a_region_outside(region):
    with pytest.raises(ValueError, match="region"):
        _core.decode(png(5, 3, pixels(5, 3)), region)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("text",),
        (None,),
        (b"", (0, 0, 1)),
        (b"", [0, 0, 1, 1]),
        (b"", (0, 0, 1, "1")),
        (b"", None, None),
        (memoryview(b"abcdef")[::2],),
    ],
)
def test_decode_argument_types(arguments):
    with pytest.raises((TypeError, BufferError)):
        _core.decode(*arguments)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_probe_does_not_vouch(data):
    with pytest.raises(_core.DecodeError):
        _core.probe(data)


# --- transforms ---


def test_transform_apply():
    rgb = pixels(4, 2)
    transform = make_transform(crop_op(CENTER_CROP, 2, 4))
    assert transform.max_words == 0
    output, used = transform.apply(rgb, 4, 2, b"")
    assert (output.shape, output.dtype, used) == ((3, 2, 4), "f32", 0)
    lut = make_lut()
    expected = [
        lut[c * 256 + pixel(x, y, c, 0)] for c in range(3) for y in range(2) for x in range(4)
    ]
    assert memoryview(output).cast("B").cast("f").tolist() == expected


def test_transform_apply_u8():
    rgb = pixels(4, 2)
    output, _ = make_transform(crop_op(CENTER_CROP, 2, 4), dtype="u8").apply(rgb, 4, 2, b"")
    assert output.dtype == "u8"
    assert bytes(output) == rgb[0::3] + rgb[1::3] + rgb[2::3]


def test_transform_apply_refuses():
    transform = make_transform(crop_op(RANDOM_RESIZED_CROP, 2, 2))
    words = bytes(4 * transform.max_words)
    assert transform.max_words > 0
    output, used = transform.apply(pixels(4, 2), 4, 2, memoryview(b"x" + words)[1:])
    assert output.shape == (3, 2, 2)
    assert 0 < used <= transform.max_words
    for rgb, width, height, given in [
        (pixels(4, 2), 4, 2, words[:-4]),
        (pixels(4, 2), 4, 2, words + b"x"),
        (pixels(4, 2)[:-1], 4, 2, words),
        (b"", 0, 2, words),
        (b"", -4, -2, words),
        (b"", 2**31 - 1, 2**31 - 1, words),
    ]:
        with pytest.raises(ValueError, match=r"words|rgb|an image cannot be"):
            transform.apply(rgb, width, height, given)
    with pytest.raises(OverflowError):
        transform.apply(b"", 2**31, 1, words)
    with pytest.raises(TypeError):
        transform.apply(pixels(4, 2), 4, 2)
    with pytest.raises(TypeError):
        transform.apply(pixels(4, 2), 4, 2.0, words)


GOOD_TRANSFORM = {
    "dtype": "f32",
    "lut": make_lut(),
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "era": 0,
    "channels": 3,
    "layout": 0,
}


@pytest.mark.parametrize(
    ("ops", "changes", "expected"),
    [
        (None, {}, TypeError),
        ([1], {}, TypeError),
        ([[3] * 12], {}, TypeError),
        ([(3, 2, 8, 8)], {}, TypeError),
        ([("3", 2, 8, 8, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, TypeError),
        ([(99, 2, 8, 8, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, ValueError),
        ([(3, 2, 2**31, 8, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, OverflowError),
        ([(5, 0, 0, 0, 0, -1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, OverflowError),
        ([(5, 0, 0, 0, 0, 2**32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, OverflowError),
        ([(5, 0, 0, 0, 0, 2**32 - 1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)], {}, ValueError),
        ([], {"dtype": "f64"}, ValueError),
        ([], {"dtype": 1}, TypeError),
        ([], {"lut": None}, TypeError),
        ([], {"lut": bytes(3071)}, ValueError),
        ([], {"dtype": "u8"}, ValueError),
        ([], {"mean": (0.0, 0.0)}, TypeError),
        ([], {"std": 1.0}, TypeError),
        ([], {"era": 77}, ValueError),
        ([], {"extra": 1}, TypeError),
    ],
)
def test_transform_refuses(ops, changes, expected):
    with pytest.raises(expected):
        _core.Transform(ops, **{**GOOD_TRANSFORM, **changes})


# --- arrays ---


def take_images(loader):
    images, labels = next_batch(loader, [3, 1])
    del labels
    return images


def test_array_through_memoryview(loader):
    images, labels = next_batch(loader, [3, 1, 0])
    assert (images.shape, images.dtype) == ((3, 3, SIZE, SIZE), "f32")
    assert (labels.shape, labels.dtype) == ((3,), "i64")
    view = memoryview(images)
    assert (view.format, view.itemsize, view.ndim) == ("f", 4, 4)
    assert view.shape == (3, 3, SIZE, SIZE)
    assert view.strides == (3 * SIZE * SIZE * 4, SIZE * SIZE * 4, SIZE * 4, 4)
    assert view.c_contiguous
    assert not view.readonly
    assert view.nbytes == 3 * 3 * SIZE * SIZE * 4
    assert view.obj is images
    lut = make_lut()
    for slot, seed in enumerate([3, 1, 0]):
        for c, y, x in [(0, 0, 0), (1, 2, 3), (2, SIZE - 1, SIZE - 1)]:
            assert view[slot, c, y, x] == lut[c * 256 + pixel(x, y, c, seed)]
    assert memoryview(labels).format == "q"
    assert memoryview(labels).tolist() == [30, 10, 0]
    view[0, 0, 0, 0] = 5.0
    assert memoryview(images)[0, 0, 0, 0] == 5.0


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


@pytest.mark.parametrize(
    ("flags", "ndim", "has_format", "has_shape", "has_strides"),
    [
        (0x0000, 1, False, False, False),  # simple
        (0x0001, 1, False, False, False),  # writable
        (0x0004, 1, True, False, False),  # format
        (0x0008, 4, False, True, False),  # nd
        (0x0018, 4, False, True, True),  # strides
        (0x0038, 4, False, True, True),  # C-contiguous
        (0x0098, 4, False, True, True),  # any contiguous
        (0x011D, 4, True, True, True),  # full
    ],
)
def test_array_answers_what_was_asked(loader, flags, ndim, has_format, has_shape, has_strides):
    images = take_images(loader)
    count = sys.getrefcount(images)
    view = PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(images), ctypes.byref(view), flags)
    assert view.obj is images
    assert (view.len, view.itemsize, view.readonly) == (2 * 3 * SIZE * SIZE * 4, 4, 0)
    assert view.ndim == ndim
    assert view.format == (b"f" if has_format else None)
    assert bool(view.shape) == has_shape
    assert bool(view.strides) == has_strides
    assert not view.suboffsets
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    assert sys.getrefcount(images) == count


def test_array_refuses_fortran_order(loader):
    images = take_images(loader)
    count = sys.getrefcount(images)
    with pytest.raises(BufferError):
        ctypes.pythonapi.PyObject_GetBuffer(
            ctypes.py_object(images), ctypes.byref(PyBuffer()), 0x0058
        )
    assert sys.getrefcount(images) == count


@pytest.mark.fault("R27")
def test_views_outlive_array_and_loader(small, crop8):
    loader = make_loader(small, crop8)
    kept = [memoryview(next_batch(loader, [i])[0]) for i in range(4)]
    expected = [view.tolist() for view in kept]
    for _ in range(8):  # slabs that went back to the pool are written again
        next_batch(loader, [5])
    loader.close()
    del loader
    gc.collect()
    assert [view.tolist() for view in kept] == expected


def test_numpy_shares_memory(loader):
    np = pytest.importorskip("numpy")
    images = take_images(loader)
    first, second = np.asarray(images), np.frombuffer(images, dtype=np.float32)
    assert first.dtype == np.float32
    assert first.shape == images.shape
    assert first.flags.c_contiguous
    first[0, 0, 0, 0] = -3.0
    assert second[0] == -3.0
    count = sys.getrefcount(images)
    del first, second
    assert sys.getrefcount(images) == count - 2


def test_torch_shares_memory(loader):
    torch = pytest.importorskip("torch")
    images = take_images(loader)
    address = ctypes.addressof(ctypes.c_char.from_buffer(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of memory that is not writable
        tensor = torch.frombuffer(images, dtype=torch.float32).view(images.shape)
    assert tensor.data_ptr() == address
    assert address % 64 == 0
    died = weakref.ref(tensor)
    expected = tensor.clone()
    del images
    for _ in range(8):
        next_batch(loader, [5, 4])
    assert torch.equal(tensor, expected)
    del tensor
    assert died() is None


# --- rows ---


def test_images_are_no_rows():
    dataset = _core.paths([b"a.png"], [0])
    assert dataset.fields() == []
    dataset.intend(struct.pack("q", 0))
    with pytest.raises(ValueError, match="not of rows"):
        dataset.gather(struct.pack("q", 0), [])
    with pytest.raises(ValueError, match="1 buffers for 0 fields"):
        dataset.gather(struct.pack("q", 0), [bytearray(8)])
    with pytest.raises(ValueError, match="7 bytes"):
        dataset.gather(b"1234567", [])
    with pytest.raises(TypeError):
        dataset.gather(struct.pack("q", 0), ())
    with pytest.raises(TypeError):
        dataset.gather([0], [])
    with pytest.raises(ValueError, match="7 bytes"):
        dataset.intend(b"1234567")


# --- loader ---


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rng": "numpy"}, ValueError),
        ({"rng": None}, TypeError),
        ({"exp": 3}, TypeError),
        ({"blur": 3}, TypeError),
        ({"threads": "2"}, TypeError),
        ({"threads": -1}, ValueError),
        ({"batch_size": 2**31}, OverflowError),
        ({"batch_size": -1}, ValueError),
        ({"memory_budget": -1}, ValueError),
        ({"memory_budget": 2**64}, OverflowError),
        ({"extra": 1}, TypeError),
    ],
)
def test_loader_refuses(small, crop8, changes, expected):
    with pytest.raises(expected):
        make_loader(small, crop8, **changes)


def test_loader_wants_its_own_types(small, crop8):
    for dataset, transform in [(crop8, small), (None, crop8), (small, small)]:
        with pytest.raises(TypeError):
            make_loader(dataset, transform)
    with pytest.raises(ValueError, match="needs a dataset and a transform"):
        make_loader(small, None)
    with pytest.raises(TypeError):
        _core.Loader(small, crop8)


def test_submit_takes_any_sequence_of_integers(loader):
    class Two:
        def __index__(self):
            return 2

    for indices in ([2], (2,), range(2, 3), array.array("q", [2]), [Two()], [True + True]):
        assert memoryview(next_batch(loader, indices)[1]).tolist() == [20]


def test_submit_takes_numpy_and_torch_integers(loader):
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    for indices in (np.array([2, 1]), [np.int32(2), np.uint8(1)], torch.tensor([2, 1])):
        assert memoryview(next_batch(loader, indices)[1]).tolist() == [20, 10]


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([N_SMALL], IndexError),
        ([-1], IndexError),
        ([2**70], IndexError),
        ([1.5], TypeError),
        (["1"], TypeError),
        ([None], TypeError),
        (3, TypeError),
        ([], ValueError),
        ([0] * 65, ValueError),
    ],
)
def test_submit_refuses(loader, indices, expected):
    with pytest.raises(expected):
        loader.submit(indices, 0)
    assert memoryview(next_batch(loader, [1])[1]).tolist() == [10]


@pytest.mark.parametrize("stream", [-1, 1])
def test_stream_out_of_range(loader, stream):
    with pytest.raises(ValueError, match="stream"):
        loader.submit([0], stream)
    with pytest.raises(ValueError, match="stream"):
        loader.seed(stream, 1)
    with pytest.raises(ValueError, match="stream"):
        loader.set_state(stream, bytes(624 * 4), 0)
    with pytest.raises(ValueError, match="stream"):
        loader.set_normal(stream, None)


def test_a_list_that_shrinks_while_it_is_read(loader):
    class Shrink:
        def __index__(self):
            indices.clear()
            return 2

    indices = [Shrink(), 1, 0]
    assert memoryview(next_batch(loader, indices)[1]).tolist() == [20, 10, 0]


def test_submit_says_when_it_is_full(loader):
    tickets = [loader.submit([0], 0) for _ in range(4)]
    assert tickets == [1, 2, 3, 4]
    assert loader.submit([0], 0) is None
    assert loader.stats()["batches_ahead"] == 4


def test_event_of_a_batch(loader):
    ticket = loader.submit([4, 2], 0)
    assert loader.wait(60_000) == ("batch", ticket, -1, -1, 0, None, ("OK", 0, ""), 0, None)
    assert loader.slot_shape(ticket, 1) == (SIZE, SIZE)
    assert loader.describe_slot(ticket, 1)
    with pytest.raises(ValueError, match="slot 2"):
        loader.slot_shape(ticket, 2)
    with pytest.raises(ValueError, match="not the oldest"):
        loader.take(ticket + 1)
    assert loader.take(ticket)[0].shape == (2, 3, SIZE, SIZE)
    with pytest.raises(StopIteration):
        loader.wait(0)


def test_seed_and_set_state_arguments(loader):
    loader.seed(0, 2**64 - 1)
    for seed in (-1, 2**64):
        with pytest.raises(OverflowError):
            loader.seed(0, seed)
    with pytest.raises(TypeError):
        loader.seed(0, 1.0)
    loader.set_state(0, array.array("I", range(624)), 624)
    loader.set_state(0, memoryview(bytes(1 + 624 * 4))[1:], 0)  # not aligned
    for words in (b"", bytes(624 * 4 - 1), bytes(625 * 4)):
        with pytest.raises(ValueError, match="expected 2496"):
            loader.set_state(0, words, 0)
    for position in (-1, 625):
        with pytest.raises(ValueError, match="position"):
            loader.set_state(0, bytes(624 * 4), position)
    loader.set_normal(0, 0.25)
    loader.set_normal(0, None)
    with pytest.raises(TypeError):
        loader.set_normal(0, "1")


def test_a_mix_of_a_loader(small, crop8):
    mix = (80, True, ((1, 1.0, 0.5), (2, 0.4, 0.5)))
    with contextlib.closing(make_loader(small, crop8, mix=mix)) as loader:
        ticket = loader.submit([4, 2], 0)
        kind, *_, words, _, _, _, _ = loader.wait(60_000)
        assert kind == "batch"
        assert words > 0
        images, labels = loader.take(ticket)
        assert images.shape == (2, 3, SIZE, SIZE)
        assert (labels.shape, labels.dtype) == ((2, 80), "f32")
    with pytest.raises(ValueError, match="alpha"):
        make_loader(small, crop8, mix=(24, False, ((1, 0.0, 0.0),)))
    with pytest.raises(TypeError, match="a mix must be a tuple"):
        make_loader(small, crop8, mix=3)
    with contextlib.closing(make_loader(small, crop8, mix=(1, False, ((1, 1.0, 0.0),)))) as loader:
        ticket = loader.submit([4, 2], 0)
        assert loader.wait(60_000)[0] == "batch"
        with pytest.raises(IndexError, match="is not one of 1 classes"):
            loader.take(ticket)


def test_doubt_is_resolved(small_paths, crop8, tmp_path):
    junk = tmp_path / "junk.png"
    junk.write_bytes(b"not an image")
    dataset = _core.paths([small_paths[1], os.fsencode(junk)], [5, 6])
    with contextlib.closing(make_loader(dataset, crop8)) as loader:
        ticket = loader.submit([0, 1], 0)
        *place, words, data, (status, os_errno, message), _, normal = loader.wait(60_000)
        kind, event_ticket, slot, index = place
        assert normal is None
        assert (kind, event_ticket, slot, index, words) == ("doubt", ticket, 1, 1, 0)
        assert type(data) is bytes
        assert data == b"not an image"
        assert status.startswith("E")
        assert os_errno == 0
        assert message
        for rgbx, width, height, expected in [
            (bytes(SIZE * SIZE * 4 - 1), SIZE, SIZE, ValueError),
            (b"", 0, SIZE, ValueError),
            ("text", SIZE, SIZE, TypeError),
            (b"", 2**31, SIZE, OverflowError),
        ]:
            with pytest.raises(expected):
                loader.resolve(ticket, 1, rgbx, width, height, 1)
        with pytest.raises(ValueError, match="not in doubt"):
            loader.resolve(ticket, 0, bytes(SIZE * SIZE * 4), SIZE, SIZE, 1)
        with pytest.raises(ValueError, match="not submitted"):
            loader.fail(ticket + 1, 1)
        loader.resolve(ticket, 1, bytes([1, 2, 3, 255]) * (SIZE * SIZE), SIZE, SIZE, 1)
        assert loader.wait(60_000)[0] == "batch"
        images, labels = loader.take(ticket)
        lut = make_lut()
        assert [memoryview(images)[1, c, 0, 0] for c in range(3)] == [
            lut[c * 256 + c + 1] for c in range(3)
        ]
        assert memoryview(labels).tolist() == [5, 6]
        assert loader.stats()["doubts"] == 1


def test_missing_file_is_a_doubt_without_bytes(small_paths, crop8, tmp_path):
    gone = os.fsencode(tmp_path / "gone \udcff")
    dataset = _core.paths([small_paths[0], gone], [0, 1])
    with contextlib.closing(make_loader(dataset, crop8)) as loader:
        ticket = loader.submit([0, 1], 0)
        event = loader.wait(60_000)
        assert (event[0], event[2], event[3], event[5]) == ("doubt", 1, 1, None)
        status, os_errno, message = event[6]
        assert (status, os_errno) == ("EIO", errno.ENOENT)
        assert "gone" in message
        message.encode()  # a name that is not UTF-8 must not make a text that cannot be printed
        loader.fail(ticket, 1)
        event = loader.wait(60_000)
        assert event[:4] == ("failed", ticket, 1, 1)
        assert loader.take(ticket) is None
        assert memoryview(next_batch(loader, [0])[1]).tolist() == [0]


def test_ragged_batch(small_paths, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(png(4, 2, pixels(4, 2)))
    dataset = _core.paths([small_paths[0], os.fsencode(other)], [0, 1])
    with contextlib.closing(make_loader(dataset, make_transform(dtype="u8"))) as loader:
        ticket = loader.submit([0, 1], 0)
        assert loader.wait(60_000)[:2] == ("ragged", ticket)
        assert [loader.slot_shape(ticket, slot) for slot in (0, 1)] == [(SIZE, SIZE), (2, 4)]
        assert loader.take(ticket) is None


def test_take_before_it_is_complete(busy_loader):
    with pytest.raises(_core.Error) as info:
        busy_loader.take(1)
    assert info.value.status == "AGAIN"
    assert busy_loader.wait(1) is None
    busy_loader.cancel()
    with pytest.raises(StopIteration):
        busy_loader.wait(-1)


@pytest.mark.tree
def test_stats(loader):
    next_batch(loader, [0, 1])
    stats = loader.stats()
    assert (stats["batches"], stats["samples"], stats["threads"]) == (1, 2, 2)
    assert stats["bytes_read"] > 0
    assert stats["elapsed_ns"] > 0
    assert "struct_size" not in stats
    assert {type(value) for value in stats.values()} == {int}
    header = pathlib.Path(__file__).parents[2] / "include/penstock/stats.h"
    fields = re.findall(r"^    int(?:64|32)_t (\w+);", header.read_text(), re.MULTILINE)
    assert len(fields) > 20
    assert sorted(stats) == sorted(fields)


def use_everything(loader):
    return [
        lambda: loader.seed(0, 1),
        lambda: loader.set_state(0, bytes(624 * 4), 0),
        lambda: loader.set_normal(0, None),
        lambda: loader.submit([0], 0),
        lambda: loader.wait(0),
        lambda: loader.resolve(1, 0, bytes(4), 1, 1, 1),
        lambda: loader.fail(1, 0),
        lambda: loader.slot_shape(1, 0),
        lambda: loader.describe_slot(1, 0),
        lambda: loader.take(1),
        lambda: loader.wanted(),
        lambda: loader.supply(1),
        lambda: loader.batch_bytes(1),
        lambda: loader.cancel(),
        lambda: loader.stats(),
    ]


def test_use_after_close(loader):
    loader.submit([0], 0)
    assert loader.closed is False
    loader.close()
    loader.close()
    assert loader.closed is True
    for use in use_everything(loader):
        with pytest.raises(_core.Error) as info:
            use()
        assert info.value.status == "ECLOSED"


@pytest.mark.fault("R27")
def test_batches_survive_close(loader):
    images, labels = next_batch(loader, [2])
    before = memoryview(images).tolist()
    loader.close()
    assert memoryview(images).tolist() == before
    assert memoryview(labels).tolist() == [20]


# --- memory of Python's ---


class Block:
    """Memory that can be watched."""

    def __init__(self, size):
        self.bytes = bytearray(size + 64)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self.address = start + -start % 64
        self.size = size


BATCH = 2 * 3 * SIZE * SIZE * 4


def test_a_batch_in_memory_that_is_given(loader):
    expected = [memoryview(tensor).tolist() for tensor in next_batch(loader, [4, 1])]
    assert loader.batch_bytes(2) == BATCH
    assert loader.wanted() is None
    ticket = loader.submit([4, 1], 0, True)
    assert loader.wanted() == (ticket, BATCH)
    block = Block(BATCH)
    died = weakref.ref(block)
    assert loader.supply(ticket, block.address, block.size, block) is True
    assert loader.wanted() is None
    assert loader.wait(60_000)[0] == "batch"
    images, labels = loader.take(ticket)
    assert images.data_ptr() == block.address
    assert [memoryview(images).tolist(), memoryview(labels).tolist()] == expected
    assert _core.owner(images) is block
    assert _core.owner(images[1:].view(3, -1)) is block
    assert _core.owner(labels) is None
    loader.close()
    del block
    gc.collect()
    view = images[0]
    del images
    assert died() is not None
    del view
    assert died() is None


def test_a_batch_that_is_given_nothing(loader):
    ticket = loader.submit([3], 0, True)
    assert loader.supply(ticket) is True
    assert loader.wait(60_000)[0] == "batch"
    images, _ = loader.take(ticket)
    assert _core.owner(images) is None


@pytest.mark.parametrize("end", ["cancel", "close", "del"])
def test_memory_of_a_batch_that_is_dropped(small, crop8, end):
    loader = make_loader(small, crop8)
    died = []
    for _ in range(4):
        ticket = loader.submit([0, 1], 0, True)
        block = Block(BATCH)
        died.append(weakref.ref(block))
        loader.supply(ticket, block.address, block.size, block)
        del block
    assert None not in [ref() for ref in died]
    if end == "del":
        del loader
    else:
        getattr(loader, end)()
    assert [ref() for ref in died] == [None] * 4


def test_memory_that_is_refused(loader):
    block = Block(BATCH)
    ticket = loader.submit([0, 1], 0, True)
    refused = [
        ((), TypeError),
        ((ticket, block.address), TypeError),
        ((ticket, block.address, BATCH), TypeError),
        ((ticket, None, BATCH, block), TypeError),
        ((ticket, block.address, -1, block), OverflowError),
        ((ticket, block.address, BATCH - 1, block), ValueError),
        ((ticket, block.address + 1, BATCH, block), ValueError),
        ((ticket, 0, BATCH, block), ValueError),
        ((ticket + 1, block.address, BATCH, block), ValueError),
        ((ticket + 1,), ValueError),
    ]
    count = sys.getrefcount(block)
    for wrong, error in refused:
        with pytest.raises(error):
            loader.supply(*wrong)
        assert sys.getrefcount(block) == count
    with pytest.raises(ValueError, match="not 0"):
        loader.batch_bytes(0)
    with pytest.raises(TypeError):
        loader.batch_bytes("x")
    with pytest.raises(TypeError):
        _core.owner(block)
    with pytest.raises(TypeError):
        loader.submit([0], 0, True, 1)
    assert loader.supply(ticket, block.address, BATCH, block)
    assert sys.getrefcount(block) == count + 1
    with pytest.raises(ValueError, match="does not wait for memory"):
        loader.supply(ticket, block.address, BATCH, block)


# --- exp ---


@pytest.fixture
def random_crop():
    return make_transform(crop_op(RANDOM_RESIZED_CROP, 4, 4))


def test_exp_sees_floats_and_its_values_are_used(small, random_crop):
    np = pytest.importorskip("numpy")
    seen = []

    def exp(view):
        assert (view.format, view.ndim, view.readonly) == ("f", 1, False)
        values = np.frombuffer(view, dtype=np.float32)
        np.exp(values, out=values)
        seen.append(values)  # kept: must stay valid memory of Python's

    def ones(view):
        view[:] = array.array("f", [1.0] * len(view))

    words = []
    for function in (exp, ones, None):
        with contextlib.closing(make_loader(small, random_crop, exp=function)) as loader:
            loader.seed(0, 7)
            ticket = loader.submit(list(range(N_SMALL)), 0)
            kind, *_, count, _, _, _ = loader.wait(60_000)
            assert kind == "batch"
            words.append((count, [loader.describe_slot(ticket, i) for i in range(N_SMALL)]))
    assert seen
    assert all((0.74 < values).all() and (values < 1.34).all() for values in seen)
    assert words[0] == words[2]
    assert words[0] != words[1]


def test_weights_of_a_blur_are_asked_for_and_used(small):
    np = pytest.importorskip("numpy")
    op = (70, 0, 3, 5, 0, 0, 0.5, 1.5, 0.0, 0.0, 0.0, 0.0, (), 1, ())
    transform = make_transform(crop_op(RANDOM_RESIZED_CROP, 8, 8), op)
    seen = []

    def blur(view, taps, is_v2):
        sigma = np.frombuffer(view, dtype=np.float32).reshape(-1, taps)[:, 0]
        assert ((sigma >= 0.5) & (sigma <= 1.5)).all()
        seen.append((taps, is_v2))
        view[:] = array.array("f", ([0.0] * (taps // 2) + [1.0] + [0.0] * (taps // 2)) * len(sigma))

    def bad(view, taps, is_v2):
        view[:] = array.array("f", [0.5] * len(view))

    def fails(view, taps, is_v2):
        raise KeyError("mine")

    with contextlib.closing(make_loader(small, transform, blur=blur)) as loader:
        loader.seed(0, 7)
        ticket = loader.submit(list(range(N_SMALL)), 0)
        assert loader.wait(60_000)[0] == "batch"
        assert "gaussian blur 5 3" in loader.describe_slot(ticket, 0)
    assert seen == [(5, True), (3, True)]
    with contextlib.closing(make_loader(small, transform, blur=bad)) as loader:
        loader.submit([0], 0)
        assert loader.wait(60_000)[0] == "doubt"
    with contextlib.closing(make_loader(small, transform, blur=fails)) as loader:
        with pytest.raises(KeyError, match="mine"):
            loader.submit([0], 0)


def test_exp_raises_through_submit(small, random_crop):
    error = KeyError("mine")

    def exp(view):
        if fail:
            raise error

    fail = True
    with contextlib.closing(make_loader(small, random_crop, exp=exp)) as loader:
        for _ in range(3):
            with pytest.raises(KeyError) as info:
                loader.submit([0], 0)
            assert info.value is error
            assert info.value.__cause__ is None
            assert info.value.__context__ is None
        fail = False
        ticket = loader.submit([0], 0)
        assert ticket == 1
        assert loader.wait(60_000)[0] == "batch"


def test_exp_must_not_resize_its_argument(small, random_crop):
    def exp(view):
        owner = view.obj
        view.release()
        gc.collect()
        with contextlib.suppress(BufferError):
            owner.clear()

    with contextlib.closing(make_loader(small, random_crop, exp=exp)) as loader:
        with contextlib.suppress(BufferError):
            loader.submit([0], 0)


def test_exp_cannot_use_its_loader(small, random_crop):
    def exp(view):
        loader.stats()

    with contextlib.closing(make_loader(small, random_crop, exp=exp)) as loader:
        with pytest.raises(RuntimeError, match="still running in this thread"):
            loader.submit([0], 0)
        assert loader.stats()["batches"] == 0


def test_exp_in_a_cycle_is_collected(small, random_crop):
    class Exp:
        def __call__(self, view):
            raise AssertionError

    exp = Exp()
    exp.loader = make_loader(small, random_crop, exp=exp)
    died = weakref.ref(exp)
    del exp
    gc.collect()
    assert died() is None


# --- waiting ---


class Boom(Exception):
    pass


@contextlib.contextmanager
def alarm(handler, seconds):
    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def raise_boom(*_):
    raise Boom


@main_thread_signals
def test_wait_lets_an_exception_of_a_signal_through(busy_loader):
    start = time.monotonic()
    with alarm(raise_boom, 0.1), pytest.raises(Boom):
        busy_loader.wait(-1)
    assert time.monotonic() - start < 2
    assert busy_loader.wait(0) is None


@pytest.mark.fault("R6")
@main_thread_signals
def test_wait_goes_on_after_a_signal(busy_loader):
    seen = []
    with alarm(lambda *_: seen.append(time.monotonic()), 0.05):
        start = time.monotonic()
        assert busy_loader.wait(400) is None
        assert time.monotonic() - start >= 0.4
    assert len(seen) == 1
    assert seen[0] - start < 0.35


@main_thread_signals
def test_signal_handler_cannot_use_a_waiting_loader(busy_loader):
    with (
        alarm(lambda *_: busy_loader.close(), 0.05),
        pytest.raises(RuntimeError, match="still running in this thread"),
    ):
        busy_loader.wait(-1)
    assert not busy_loader.closed


def test_wait_argument_types(loader):
    with pytest.raises(TypeError):
        loader.wait(1.0)
    with pytest.raises(OverflowError):
        loader.wait(2**63)
    loader.submit([0], 0)
    assert loader.wait(2**63 - 1)[0] == "batch"


def wait_until_refused(loader, thread):
    """The refusal of a loader that the thread is waiting at; None if the thread ended first."""
    while thread.is_alive():
        try:
            loader.stats()
        except RuntimeError as error:
            return error
    return None


@pytest.mark.fault("R31")
def test_two_threads_do_not_share_a_loader(busy_loader):
    results = []
    thread = threading.Thread(target=lambda: results.append(busy_loader.wait(1500)))
    thread.start()
    refused = wait_until_refused(busy_loader, thread)
    assert "another thread is using this loader" in str(refused)
    with pytest.raises(RuntimeError, match="another thread"):
        busy_loader.close()
    thread.join()
    assert results == [None]
    assert busy_loader.stats()["batches"] == 0


@pytest.mark.fault("R31")
def test_many_threads_at_one_loader(loader):
    """No crash and no lost batch, whoever gets through."""
    taken, refusals = [], []
    start = threading.Barrier(4)

    def step():
        if loader.submit([1], 0) is None:
            event = loader.wait(60_000)
            taken.append(loader.take(event[1]))

    def work():
        start.wait()
        for _ in range(300):
            try:
                step()
            except (RuntimeError, ValueError, StopIteration, _core.Error) as error:
                refusals.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Busy, or another thread was first to take the batch.
    expected = "another thread is using|is not the oldest one|not ready yet"
    strange = [
        error
        for error in refusals
        if not isinstance(error, StopIteration) and not re.search(expected, str(error))
    ]
    assert strange == []
    assert taken
    assert [memoryview(labels).tolist() for _, labels in taken] == [[10]] * len(taken)
    assert loader.stats()["batches"] == len(taken)


# --- fork ---


def run_in_child(function):
    """Whether function() returns true in a forked child within 20 s."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, Python 3.12
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    descriptor = os.pidfd_open(pid)
    ready, _, _ = select.select([descriptor], [], [], 20)
    os.close(descriptor)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return ready and os.waitstatus_to_exitcode(status) == 0


def all_refused(loader):
    for use in use_everything(loader):
        try:
            use()
        except _core.ForkError as error:
            if error.status != "EFORKED":
                return False
        else:
            return False
    return True


@pytest.mark.fault("R28")
def test_child_gets_fork_errors_and_can_close(small, crop8):
    loader = make_loader(small, crop8)
    images, labels = next_batch(loader, [0, 1])
    loader.submit([2], 0)

    def child():
        nonlocal loader, images, labels
        good = all_refused(loader) and memoryview(labels).tolist() == [0, 10]
        loader.close()
        good = good and loader.closed
        del loader, images, labels
        gc.collect()
        return good

    assert run_in_child(child)
    assert loader.wait(60_000)[0] == "batch"
    assert memoryview(loader.take(2)[1]).tolist() == [20]
    loader.close()


@pytest.mark.fault("R28")
def test_child_can_drop_a_busy_loader(busy_loader):
    """The fork happens while a thread of the parent is in wait()."""
    thread = threading.Thread(target=lambda: busy_loader.wait(3000))
    thread.start()
    assert wait_until_refused(busy_loader, thread)

    def child():
        good = all_refused(busy_loader)
        busy_loader.close()
        return good and busy_loader.closed

    assert run_in_child(child)
    thread.join()


@pytest.mark.fault("R28")
def test_child_can_have_a_loader_of_its_own(small, crop8, loader):
    next_batch(loader, [0])

    def child():
        own = make_loader(small, crop8)
        labels = memoryview(next_batch(own, [3])[1]).tolist()
        own.close()
        return labels == [30]

    assert run_in_child(child)


# --- references ---


N_LIVES = 200


def leaks(function):
    """Whether calls leave blocks of Python's behind."""
    if not sys.getallocatedblocks():
        pytest.skip("this interpreter does not count its blocks (PYTHONMALLOC)")
    for _ in range(20):
        function()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(N_LIVES):
        function()
    gc.collect()
    return sys.getallocatedblocks() - before > N_LIVES // 10


def test_leaks_notices_a_leak():
    kept = []
    assert leaks(lambda: kept.append(object()))
    assert not leaks(lambda: [object()])


def expect(exception, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except exception:
        return
    raise AssertionError(f"no {exception}")


def test_nothing_leaks_in_the_loop(loader):
    indices = [0, 1000 - 995]
    types = [_core.Tensor, _core.Loader, _core.Error, _core.DecodeError]

    def life():
        images, labels = next_batch(loader, indices)
        memoryview(images).release()
        loader.stats()
        for _ in range(2):  # one that is delivered in memory of ours, one that is dropped
            ticket = loader.submit([0, 1], 0, True)
            block = Block(BATCH)
            loader.supply(loader.wanted()[0], block.address, BATCH, block)
        loader.wait(60_000)
        _core.owner(loader.take(ticket - 1)[0])
        loader.cancel()
        return images.shape, labels.dtype

    life()
    counts = [sys.getrefcount(item) for item in [indices, loader, *types]]
    nones = sys.getrefcount(None)
    assert not leaks(life)
    assert [sys.getrefcount(item) for item in [indices, loader, *types]] == counts
    assert abs(sys.getrefcount(None) - nones) < N_LIVES // 2


def test_nothing_leaks_in_lives(small_paths, tmp_path):
    junk = tmp_path / "junk.png"
    junk.write_bytes(b"junk")
    names = [*small_paths, os.fsencode(junk)]
    data = png(4, 4, pixels(4, 4))

    def life():
        dataset = _core.paths(names, range(len(names)))
        crop = make_transform(crop_op(RANDOM_RESIZED_CROP, SIZE, SIZE))
        loader = make_loader(dataset, crop, threads=1, exp=lambda view: None)
        ticket = loader.submit([0, len(names) - 1], 0)
        loader.wait(60_000)
        loader.fail(ticket, 1)
        loader.wait(60_000)
        loader.take(ticket)
        crop.apply(pixels(4, 4), 4, 4, bytes(4 * crop.max_words))
        _core.probe(data)
        _core.decode(data, (0, 0, 1, 1))
        dataset.name(0)

    engine = getattr(_core, "_mem_blocks", lambda: 0)
    life()
    gc.collect()
    blocks = engine()
    assert not leaks(life)
    assert engine() == blocks


@pytest.mark.fault("R17")
def test_nothing_leaks_in_failures(loader, crop8, tmp_path):
    root = os.fsencode(tmp_path)

    def life():
        expect(_core.DecodeError, _core.decode, b"junk")
        expect(_core.DecodeError, _core.probe, b"junk")
        expect(TypeError, _core.decode, 1)
        expect(TypeError, _core.paths, [b"a", "b"], [0, 1])
        expect(ValueError, _core.paths, [b"a", b"b"], [0])
        expect(FileNotFoundError, _core.folder, root, allow_empty=False, extensions=None)
        expect(TypeError, _core.Transform, [(1,)], **GOOD_TRANSFORM)
        expect(ValueError, _core.Transform, [], **{**GOOD_TRANSFORM, "era": 77})
        expect(ValueError, crop8.apply, b"", 1, 1, b"")
        expect(ValueError, crop8.apply, bytes(3), 1, 1, b"x")
        expect(IndexError, loader.submit, [1000], 0)
        expect(TypeError, loader.submit, ["1"], 0)
        expect(StopIteration, loader.wait, 0)
        expect(ValueError, loader.take, 1)
        expect(ValueError, loader.supply, 1, 64, 64, object())
        expect(TypeError, loader.supply, 1, None, 64, object())
        expect(TypeError, _core.owner, loader)
        expect(ValueError, loader.resolve, 1, 0, bytes(4), 1, 1, 1)

    nones = sys.getrefcount(None)
    assert not leaks(life)
    assert abs(sys.getrefcount(None) - nones) < N_LIVES // 2


# --- sources ---

RETURNS_OBJECT = re.compile(
    r"\b(Py(?:Unicode|Bytes|ByteArray|Long|Bool|List|Tuple|Dict|Object|Memory[Vv]iew|Type|Number"
    r"|Sequence|Err|Module)_"
    r"(?:New\w*|From\w+|GetItem|Call\w*|Pack|Occurred|Index|Tuple|List|GenericAlloc|InternFromString"
    r"|DecodeUTF8)|Py_NewRef|Py_BuildValue)\("
)


@pytest.mark.tree
def test_each_c_api_call_says_whose_reference_it_returns():
    sources = sorted((pathlib.Path(__file__).parents[2] / "python/src/penstock/_core").glob("*.c"))
    checked, silent = 0, []
    for source in sources:
        lines = source.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith("#define") or not RETURNS_OBJECT.search(line):
                continue
            checked += 1
            end = number
            while not re.search(r";|\{$|\)$", lines[end]):
                end += 1
            if not re.search(r"/\* (?:new|borrowed)", " ".join(lines[number : end + 1])):
                silent.append(f"{source.name}:{number + 1}: {line.strip()}")
    assert len(sources) >= 9
    assert checked > 60
    assert silent == []
