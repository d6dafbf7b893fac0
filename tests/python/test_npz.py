# SPDX-License-Identifier: Apache-2.0
"""Files of numpy.savez(): mapped and as rows, beside numpy.load(); and zip files that lie."""

import io
import struct
import zipfile

import numpy
import penstock
import pytest
import torch
from penstock import mem_map
from penstock.datasets import Array

DTYPES = ["u1", "i1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "?", ">i4"]
REFUSALS = (ValueError, OSError, penstock.Error)


def arrays(rng, n_rows=None):
    found = {}
    for number in range(int(rng.integers(1, 6))):
        dtype = numpy.dtype(DTYPES[rng.integers(len(DTYPES))])
        shape = tuple(map(int, rng.integers(0, 5, rng.integers(0, 5))))
        if n_rows is not None:
            shape = (n_rows, *shape[1:])
        data = rng.integers(0, 256, int(numpy.prod(shape)) * dtype.itemsize, "u1")
        data = data % 2 if dtype.kind == "b" else data
        array = numpy.frombuffer(data.tobytes(), dtype).reshape(shape)
        if rng.integers(3) == 0:
            array = numpy.asfortranarray(array)
        found[f"part/{number}" if number % 2 else f"a.npy{number}"] = array
    return found


def same(tensor, array):
    native = array.astype(array.dtype.newbyteorder("="))
    return tensor.numpy().tobytes() == native.tobytes() and tuple(tensor.shape) == array.shape


@pytest.mark.parametrize("seed", range(60))
def test_arrays_are_those_of_numpy(tmp_path, seed):
    rng = numpy.random.default_rng(seed)
    file, expected = tmp_path / "x.npz", arrays(rng)
    numpy.savez(file, **expected)
    with numpy.load(file) as loaded:
        assert set(loaded) == set(expected)
        for name, array in loaded.items():
            for mode in ("r", "c"):
                assert same(mem_map(file, mode=mode, name=name), array), name
    if len(expected) > 1:
        with pytest.raises(ValueError, match=f"has {len(expected)} arrays"):
            mem_map(file)


@pytest.mark.parametrize("access", ["mmap", "pread"])
@pytest.mark.parametrize("seed", range(10))
def test_rows(tmp_path, seed, access):
    rng = numpy.random.default_rng(seed)
    expected = {
        name: array
        for name, array in arrays(rng, 20).items()
        if access == "mmap" or not array.flags.f_contiguous or array.flags.c_contiguous
    }
    numpy.savez(tmp_path / "x.npz", **expected)
    if not expected:
        return
    dataset = Array(tmp_path / "x.npz", access=access)
    index = torch.from_numpy(rng.permutation(20)[:7])
    batch = next(iter(penstock.DataLoader(dataset, batch_sampler=[index.tolist()])))
    if len(expected) == 1:
        batch = {next(iter(expected)): batch}
    assert set(batch) == set(expected)
    for name, array in expected.items():
        assert same(batch[name], array[index.numpy()])


def test_what_cannot_be_mapped(tmp_path):
    numpy.savez_compressed(tmp_path / "c.npz", a=numpy.arange(5))
    with pytest.raises(REFUSALS, match=r"'a\.npy' in .* is compressed"):
        mem_map(tmp_path / "c.npz")
    numpy.savez(tmp_path / "o.npz", a=numpy.array([{}], object), b=numpy.arange(3))
    assert mem_map(tmp_path / "o.npz", name="b").tolist() == [0, 1, 2]
    with pytest.raises(REFUSALS, match="'a' is of dtype unknown"):
        mem_map(tmp_path / "o.npz", name="a")
    with pytest.raises(REFUSALS, match="belie its checksums"):
        mem_map(tmp_path / "o.npz", mode="r+", name="b")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as made:
        made.writestr("readme.txt", "words")
    with pytest.raises(ValueError, match=r"without a member NAME\.npy"):
        mem_map(tmp_path / "t.zip")
    torch.save(torch.arange(3), tmp_path / "t.pt")
    with pytest.raises(ValueError, match="only its pickle says where"):
        Array(tmp_path / "t.pt")


def lies():
    """Zip files of one array each, and what is said of them."""
    npy = io.BytesIO()
    numpy.save(npy, numpy.arange(6))

    def zipped(names=("a.npy", "b.npy"), comment=b""):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            for name in names:
                made.writestr(name, npy.getvalue())
            made.comment = comment
        return bytearray(out.getvalue())

    whole = zipped()
    end = len(whole) - 22
    first, second = whole.find(b"PK\1\2"), whole.rfind(b"PK\1\2")

    def changed(at, form, value):
        made = bytearray(whole)
        struct.pack_into(form, made, at, value)
        return made

    yield zipped(comment=b"x"), "without a comment"
    yield whole + b"\0", "without a comment"
    yield b"PK\3\4" + whole, "directory in front"
    yield whole[:-30], "without a comment"
    yield whole[:10], "at least 22 bytes"
    yield changed(end + 4, "<H", 1), "of one disk"
    yield changed(end + 8, "<H", 1), "of one disk"
    yield changed(end + 16, "<I", 5), "directory in front"
    yield changed(first + 8, "<H", 1), "encrypted"
    yield changed(first + 10, "<H", 99), "header of the member"
    yield changed(first + 20, "<I", 7), "as large as it is stored"
    yield changed(first + 28, "<H", 0), "a name of 1"
    yield changed(first + 30, "<H", 9), "whole|another entry"
    yield changed(first + 34, "<H", 1), "one disk"
    yield changed(first + 42, "<I", 4), "header of the member"
    yield changed(second + 42, "<I", 0), "header of the member"
    yield changed(first + 42, "<I", len(whole)), "ends too early"
    yield changed(28, "<H", 60000), "before the directory begins"
    yield changed(28, "<H", 30), "overlap"
    yield zipped(("a.npy", "a.npy")), "are named 'a.npy'"
    # A 64-bit end record that tells another story.
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, second - first, first)
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    yield whole[:end] + end64 + locator + whole[end:], "what the end of the file says"
    yield whole[:end] + locator + whole[end:], "64-bit end record in front"
    yield changed(end + 20, "<H", 3), "without a comment"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_files_that_lie(tmp_path):
    file = tmp_path / "lie.npz"
    n = 0
    for data, words in lies():
        file.write_bytes(data)
        with pytest.raises(REFUSALS, match=words):
            mem_map(file, name="a")
        n += 1
    assert n == 23


def test_a_directory_of_64_bits(tmp_path):
    """As large files have it, and as torch writes every one."""
    file, expected = tmp_path / "x.npz", numpy.arange(7)
    numpy.savez(file, a=expected)
    data = bytearray(file.read_bytes())
    end, first = len(data) - 22, data.find(b"PK\1\2")
    offset = struct.unpack_from("<I", data, first + 42)[0]
    n_bytes = struct.unpack_from("<I", data, first + 20)[0]
    entry = bytearray(data[first:end])
    struct.pack_into("<II", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<I", entry, 42, 0xFFFFFFFF)
    extra = struct.pack("<HHQQQ", 1, 24, n_bytes, n_bytes, offset)
    struct.pack_into("<H", entry, 30, len(extra))
    name = 46 + struct.unpack_from("<H", entry, 28)[0]
    entry[name:name] = extra
    at = first + len(entry)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(entry), first)
    locator = struct.pack("<IIQI", 0x07064B50, 0, at, 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    file.write_bytes(data[:first] + entry + end64 + locator + last)
    with numpy.load(file) as loaded:
        assert loaded["a"].tolist() == expected.tolist()
    assert mem_map(file).tolist() == expected.tolist()


@pytest.mark.fault("R12")
def test_damaged_files(tmp_path, tried):
    """Cut at each byte, two bits turned: refused, or what numpy.load() gives of the same bytes but
    for the sums of elements, which a map does not read."""
    file = tmp_path / "x.npz"
    numpy.savez(file, a=numpy.arange(4), b=numpy.ones((2, 3), "f4"))
    data = file.read_bytes()
    n = 0
    for size in range(len(data)):
        file.write_bytes(data[:size])
        with pytest.raises(REFUSALS):
            mem_map(file, name="a")
        n += 1
    rng = numpy.random.default_rng(5)
    for _ in range(1500):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            changed[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        n += 1
        try:
            mapped = mem_map(file, name="a")
        except REFUSALS:
            continue
        with zipfile.ZipFile(file) as opened:
            info = opened.getinfo("a.npy")
            start = info.header_offset
            head = struct.unpack_from("<HH", changed, start + 26)
            begin = start + 30 + sum(head)
            member = bytes(changed[begin : begin + info.file_size])
        assert same(mapped, numpy.load(io.BytesIO(member)))
    tried(n)
