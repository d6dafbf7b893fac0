# SPDX-License-Identifier: Apache-2.0
"""penstock inspect on files of arrays and of tokens."""

import hashlib
import json
import struct
import sys

import numpy
import pytest
from cli_kit import ROOT
from penstock.array_writer import ArrayColumn, ArrayWriter, Ragged

sys.path.insert(0, str(ROOT / "tests" / "python"))  # for the writers of token files

from token_files import write_datatrove, write_megatron, write_raw

DTYPES = ["u1", "i1", "<u2", "<i2", ">i4", "<u4", "<i8", ">u8", "<f2", ">f4", "<f8", "?"]


def inspected(penstock, *arguments, status=0):
    """The one file's entry."""
    done = penstock("inspect", "--json", *arguments)
    assert (done.status, done.err) == (status, "")
    (found,) = done.json["files"]
    assert (found["error"] is None) == (status == 0)
    assert found["lane"] == ("broken" if status else "other")
    return found


def values(dtype, shape, seed=0):
    """Any bits but for bools; floats with NaN, infinities and zeros."""
    random = numpy.random.default_rng(seed)
    kind = numpy.dtype(dtype)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if kind.kind == "f":
        made = random.normal(0, 3, shape).astype(dtype)
        flat = made.reshape(-1)
        flat[::7], flat[::11], flat[3::11], flat[5::13] = 0, numpy.nan, numpy.inf, -numpy.inf
        return made
    info = numpy.iinfo(kind)
    made = random.integers(info.min, info.max, shape, kind.newbyteorder("="), endpoint=True)
    made.reshape(-1)[::5] = 0
    return made.astype(dtype)


def check(found, array, data):
    """Beside NumPy, with whole numbers added up by Python."""
    assert found["shape"] == list(array.shape)
    assert (found["rows"], found["bytes"]) == (len(array), array.nbytes)
    finite = array[numpy.isfinite(array)] if array.dtype.kind == "f" else array
    assert (found["min"], found["max"]) == (finite.min(), finite.max())
    numbers = finite.reshape(-1).tolist()
    assert found["mean"] == pytest.approx(sum(numbers) / len(numbers), rel=1e-9, abs=1e-12)
    assert found["zeros"] == int((array == 0).sum())
    if array.dtype.kind in "ui":
        assert (found["nan"], found["inf"]) == (None, None)
    else:
        assert found["nan"] == int((array != array).sum())
        assert found["inf"] == array.size - finite.size - found["nan"]
    assert found["sha256"] == hashlib.sha256(data).hexdigest()


def test_npy(several, tmp_path):
    made = {f"{i}.npy": values(dtype, (29, 5), i) for i, dtype in enumerate(DTYPES)}
    for name, array in made.items():
        numpy.save(tmp_path / name, array)
    numpy.save(tmp_path / "fortran.npy", numpy.asfortranarray(made["3.npy"]))
    done, text = several(
        ("inspect", "--json", *[tmp_path / name for name in made], tmp_path / "fortran.npy"),
        ("inspect", tmp_path / "10.npy"),
    )
    assert (done.status, done.err, text.status, text.err) == (0, "", 0, "")
    *files, fortran = json.loads(done.out)["files"]
    for found, (name, array) in zip(files, made.items(), strict=True):
        assert (found["path"], found["format"]) == (str(tmp_path / name), "npy")
        (one,) = found["arrays"]
        kind = "bool" if array.dtype.kind == "b" else f"{array.dtype.kind}{8 * array.itemsize}"
        assert (one["name"], one["dtype"]) == ("data", kind)
        check(one, array, array.tobytes())
    check(fortran["arrays"][0], made["3.npy"], made["3.npy"].tobytes("F"))
    assert "29 x 5" in text.out
    assert "f64" in text.out


def test_npz(several, tmp_path):
    made = {f"a{i}": values(dtype, (29, 5), i) for i, dtype in enumerate(DTYPES)}
    path, damaged, packed = (tmp_path / f"{name}.npz" for name in ("whole", "damaged", "packed"))
    numpy.savez(path, **made)
    data = bytearray(path.read_bytes())
    data[data.find(made["a4"].tobytes()) + 7] ^= 1
    damaged.write_bytes(data)
    numpy.savez_compressed(packed, a=made["a0"])
    done, *wrong = several(
        ("inspect", "--json", path), ("inspect", "--json", damaged), ("inspect", "--json", packed)
    )
    assert (done.status, done.err) == (0, "")
    (found,) = done.json["files"]
    assert found["format"] == "npz"
    for one, (name, array) in zip(found["arrays"], made.items(), strict=True):
        assert (one["name"], one["verified"]) == (name, True)
        check(one, array, array.tobytes())
    for one, words in zip(wrong, ("Bad CRC-32", "is compressed"), strict=True):
        assert one.status == 1
        assert words in one.json["files"][0]["error"]


def test_no_elements_and_one(several, tmp_path):
    numpy.save(tmp_path / "none.npy", numpy.empty((0, 3), "f4"))
    numpy.save(tmp_path / "one.npy", numpy.float32(2.5))
    done, text = several(
        *[
            ("inspect", *more, tmp_path / "none.npy", tmp_path / "one.npy")
            for more in (["--json"], [])
        ]
    )
    assert (text.status, text.err) == (0, "")
    none, one = (found["arrays"][0] for found in done.json["files"])
    assert (none["rows"], none["min"], none["mean"], none["zeros"]) == (0, None, None, 0)
    assert (one["rows"], one["shape"], one["mean"]) == (None, [], 2.5)


def safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, part) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(part)],
        }
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_safetensors(penstock, tmp_path):
    array = values("<f4", (6, 4))
    halves = (array.view("<u4") >> 16).astype("<u2")
    path = safetensors(
        tmp_path / "a.safetensors",
        {
            "f": ("F32", [6, 4], array.tobytes()),
            "b": ("BF16", [24], halves.tobytes()),
            "e": ("F8_E4M3", [3], b"abc"),
        },
    )
    found = inspected(penstock, path)
    assert found["format"] == "safetensors"
    f, b, e = found["arrays"]
    check(f, array, array.tobytes())
    widened = (halves.astype("<u4") << 16).view("<f4")
    assert b["dtype"] == "bf16"
    check({**b, "bytes": 2 * b["bytes"]}, widened.reshape(-1), halves.tobytes())
    assert (e["dtype"], e["shape"], e["min"], e["zeros"]) == ("F8_E4M3", [3], None, None)
    assert e["sha256"] == hashlib.sha256(b"abc").hexdigest()


def write_pst(path):
    array = values("<f8", (5000, 3))
    lengths = [i % 4 for i in range(5000)]
    columns = {
        "x": ArrayColumn("f64", (3,)),
        "words": ArrayColumn("i32", ragged=True),
        "y": ArrayColumn("u8"),
    }
    labels = values("u1", 5000)
    with ArrayWriter(path, columns) as writer:
        words = Ragged(numpy.arange(sum(lengths), dtype="i4"), lengths)
        writer.write({"x": array, "words": words, "y": labels})
        writer.commit()
    return array, labels


def test_penstock_file(several, tmp_path):
    path = tmp_path / "a.pst"
    array, labels = write_pst(path)
    done, text = several(("inspect", "--json", path), ("inspect", path))
    assert (done.status, text.status, text.err) == (0, 0, "")
    (found,) = done.json["files"]
    assert found["format"] == "penstock"
    by_name = {one["name"]: one for one in found["arrays"]}
    assert list(by_name) == ["x", "words", "y"]
    check(by_name["x"], array, array.tobytes())
    check(by_name["y"], labels, labels.tobytes())
    assert by_name["x"]["verified"]
    assert by_name["words"]["ragged"]


def test_a_block_is_damaged(several, tmp_path):
    path = tmp_path / "a.pst"
    array, _ = write_pst(path)
    data = bytearray(path.read_bytes())
    at = bytes(data).index(array[4000].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    done, text = several(("inspect", "--json", path), ("inspect", path))
    (found,) = done.json["files"]
    assert (done.status, text.status, found["lane"]) == (1, 1, "broken")
    for words in (str(path), "at byte 90032", "CRC", "column 'x'", "rows"):
        assert words in found["error"]
    assert found["error"] in text.out


def test_roots_and_footers(penstock, tmp_path):
    """One root may be damaged, not both."""
    path = tmp_path / "a.pst"
    write_pst(path)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert len(inspected(penstock, path)["arrays"]) == 3
    data[4096 + 20] ^= 1
    path.write_bytes(data)
    assert str(path) in inspected(penstock, path, status=1)["error"]


@pytest.mark.parametrize("kind", ["npy", "safetensors", "pst", "raw"])
def test_a_file_that_was_cut(penstock, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    array = values("<f4", (100, 5))
    if kind == "npy":
        numpy.save(path, array)
    elif kind == "safetensors":
        safetensors(path, {"a": ("F32", [100, 5], array.tobytes())})
    elif kind == "raw":
        path.write_bytes(array.tobytes())
    else:
        write_pst(path)
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.truncate(size - 1)
    more = ["--dtype", "float32", "--shape", "100,5"] if kind == "raw" else []
    error = inspected(penstock, *more, path, status=1)["error"]
    assert str(path) in error
    assert str(size - 1) in error


def test_raw(several, tmp_path):
    path = tmp_path / "a.raw"
    array = values("<f4", (20, 3))
    path.write_bytes(array.tobytes())
    raw = ("inspect", "--json", "--dtype", "float32")
    done, *wrong = several(
        (*raw, "--shape=-1,3", path),
        (*raw, path),
        ("inspect", "--shape", "3", path),
        ("inspect", "--dtype", "float33", path),
        (*raw, "--shape", "3,-1", path),
        (*raw, "--shape", "3", tmp_path),
    )
    (found,) = done.json["files"]
    assert found["format"] == "raw"
    check(found["arrays"][0], array, array.tobytes())
    for one in wrong:
        assert (one.status, one.out) == (2, "")
        assert one.err.startswith("penstock: ")
        assert one.err.count("\n") == 1


PEAK = """
import sys
from penstock.cli import main

status = main()
with open("/proc/self/status") as file:
    sys.stderr.write(next(line.split()[1] for line in file if line.startswith("VmHWM")))
sys.exit(status)
"""


def test_memory_does_not_grow(penstock, tmp_path):
    """A sparse file of 512 MiB."""
    path = tmp_path / "zeros.npy"
    with path.open("wb") as file:
        numpy.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 26, 1)}
        )
        file.truncate(file.tell() + (8 << 26))
    done = penstock("inspect", "--json", path, code=PEAK)
    assert done.status == 0
    assert done.json["files"][0]["arrays"][0]["zeros"] == 1 << 26
    assert int(done.err) < 400 << 10


# --- tokens

SIZES = [5, 0, 1, 300, 2, 3, 7, 8]


def documents(dtype):
    info = numpy.iinfo(dtype)
    random = numpy.random.default_rng(3)
    return [random.integers(info.min, info.max, size, dtype, endpoint=True) for size in SIZES]


def check_tokens(found, made, dtype):
    tokens = numpy.concatenate(made)
    assert found["tokens"] == len(tokens)
    assert found["dtype"] == dtype
    assert (found["min"], found["max"]) == (tokens.min(), tokens.max())
    assert found["zeros"] == int((tokens == 0).sum())
    assert found["sha256"] == hashlib.sha256(tokens.tobytes()).hexdigest()


def check_documents(found):
    assert found["documents"] == len(SIZES)
    lengths = found["lengths"]
    assert (lengths["min"], lengths["max"]) == (0, 300)
    assert lengths["mean"] == sum(SIZES) / len(SIZES)
    steps = {(step["from"], step["to"]): step["documents"] for step in lengths["histogram"]}
    assert steps == {(0, 1): 1, (1, 2): 1, (2, 4): 2, (4, 8): 2, (8, 16): 1, (256, 512): 1}


@pytest.mark.parametrize("cuts", [1, 3])
def test_megatron(several, tmp_path, cuts):
    made = documents("int32")
    write_megatron(tmp_path / "a.bin", made, "int32", cuts=cuts)
    lines = [("inspect", "--json", tmp_path / f"a.{end}") for end in ("bin", "idx")]
    *both, text = several(*lines, ("inspect", tmp_path / "a.bin"))
    for done in both:
        (found,) = done.json["files"]
        assert (done.status, found["format"], found["arrays"]) == (0, "megatron", [])
        assert found["tokens"]["path"] == str(tmp_path / "a.bin")
        check_tokens(found["tokens"], made, "i32")
        check_documents(found["tokens"])
    assert (text.status, text.err) == (0, "")
    assert "256 to 511" in text.out


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_datatrove(penstock, tmp_path, dtype):
    made = documents(dtype)
    found = inspected(penstock, write_datatrove(tmp_path / "a.ds", made, dtype))
    assert found["format"] == "datatrove"
    check_tokens(found["tokens"], made, dtype.replace("uint", "u"))
    check_documents(found["tokens"])


def test_raw_tokens(penstock, tmp_path):
    made = documents("uint16")
    path = write_raw(tmp_path / "a.bin", made, "uint16")
    found = inspected(penstock, "--dtype", "uint16", path)
    assert found["format"] == "raw tokens"
    check_tokens(found["tokens"], made, "u16")
    assert found["tokens"]["lengths"] is None


def test_damaged_tokens(several, tmp_path):
    """An index that goes down, tokens that were cut, and an index that was."""
    write_datatrove(tmp_path / "a.ds", documents("uint16"), "uint16")
    index = tmp_path / "a.ds.index"
    ends = numpy.fromfile(index, "<u8")
    ends[3] = 1
    ends.tofile(index)
    write_megatron(tmp_path / "b.bin", documents("int32"), "int32")
    write_megatron(tmp_path / "c.bin", documents("int32"), "int32")
    for path in (tmp_path / "b.bin", tmp_path / "c.idx"):
        with path.open("rb+") as file:
            file.truncate(path.stat().st_size - 1)
    names = ("a.ds", "b.bin", "c.bin")
    for done, where in zip(
        several(*[("inspect", "--json", tmp_path / name) for name in names]),
        ("a.ds.index", "b.bin", "c.idx"),
        strict=True,
    ):
        (found,) = done.json["files"]
        assert (done.status, done.err, found["lane"]) == (1, "", "broken")
        assert str(tmp_path / where) in found["error"]
