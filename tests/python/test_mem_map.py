# SPDX-License-Identifier: Apache-2.0
"""penstock.mem_map(): arrays in files as tensors."""

import copy
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import campaigns
import numpy as np
import penstock
import pytest
import torch
from penstock import MappedTensor, mem_map
from torch.utils.data import DataLoader

arrays = campaigns.load("mapped_arrays")
cuts = campaigns.load("cuts")
full_disks = campaigns.load("full_disks")
kills = campaigns.load("killed_appends")

REFUSALS = (ValueError, OSError, penstock.Error)


@pytest.fixture
def grid(tmp_path):
    file = tmp_path / "grid.npy"
    np.save(file, np.arange(24, dtype=np.float32).reshape(4, 6))
    return file


# --- what is in the files ---


@pytest.mark.parametrize("part", range(6))
def test_arrays_are_those_of_the_packages(part):
    assert arrays.run_cases(50 * part, 50, seed=5).total() == 50


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", arrays.KINDS)
def test_every_dtype(kind, order, tmp_path):
    for byte_order in "<>":
        array = np.arange(24).reshape(2, 3, 4).astype(byte_order + kind, order=order)
        np.save(tmp_path / "x.npy", array)
        mapped = mem_map(tmp_path / "x.npy")
        native = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        arrays.same(mapped, native, kind)


def test_dtypes_are_taken_as_torch_numpy_and_names(tmp_path):
    file = tmp_path / "x.bin"
    np.arange(12, dtype=np.uint16).tofile(file)
    for dtype in (torch.uint16, np.uint16, np.dtype("u2"), "u16", "uint16", "<u2"):
        assert mem_map(file, dtype).tolist() == list(range(12))
    assert mem_map(file, "bf16").dtype == torch.bfloat16
    assert mem_map(file, "u16", (-1, 3)).shape == (4, 3)
    assert mem_map(file, "u16", 4, offset=2).tolist() == [1, 2, 3, 4]
    assert mem_map(file, "u16", (), offset=4).item() == 2
    for dtype, shape, offset, words in [
        ("u16", (13,), 0, "ends too early"),
        ("u16", (-1, 5), 0, "rows of 10"),
        ("u16", None, 1, "rows of 2"),
        ("u16", None, 100, "ends too early"),
        ("u16", (2, -1), 0, "dimension 1"),
        ("u16", (1 << 40, 1 << 40), 0, "2\\^62"),
        ("u16", (1,) * 9, 0, "at most 8"),
        ("u64", (0, 1 << 62), 0, "2\\^62"),
        (">u2", None, 0, "byte order"),
        ("c8", None, 0, "no dtype"),
    ]:
        with pytest.raises(REFUSALS, match=words):
            mem_map(file, dtype, shape, offset=offset)
    with pytest.raises(ValueError, match="need a dtype"):
        mem_map(file, shape=(3,))
    with pytest.raises(ValueError, match="need a dtype"):
        mem_map(file, offset=3)
    with pytest.raises(ValueError, match="mode is 'w'"):
        mem_map(file, mode="w")


@pytest.mark.parametrize("way", ["npy", "raw", "safetensors"])
def test_files_over_4_gib(way, tmp_path):
    """Sparse: they take no space."""
    rows, file = (5 << 30) // 1000, tmp_path / way
    last = np.arange(1000, dtype=np.uint8)
    if way == "npy":
        np.lib.format.open_memmap(file, "w+", np.uint8, (rows, 1000))[-1] = last
    else:
        told = {"x": {"dtype": "U8", "shape": [rows, 1000], "data_offsets": [0, rows * 1000]}}
        head = json.dumps(told).encode()
        with file.open("wb") as out:
            if way == "safetensors":
                out.write(struct.pack("<Q", len(head)) + head)
            out.seek((rows - 1) * 1000, 1)
            out.write(last.tobytes())
    mapped = mem_map(file, "u8", (-1, 1000)) if way == "raw" else mem_map(file)
    assert mapped.shape == (rows, 1000)
    assert torch.equal(mapped[-1], torch.from_numpy(last))
    assert not mapped[1 << 20].any()


def test_names(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "two"
    save_file({"a": torch.ones(2), "b": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="2 arrays \\('a', 'b'\\): name one"):
        mem_map(file)
    with pytest.raises(FileNotFoundError, match="no array 'c'"):
        mem_map(file, name="c")
    torch.save({"a": torch.ones(2), "b": [torch.zeros(3)], "n": 3}, file)
    assert mem_map(file).tolist() == [1, 1]
    for name, words in [("c", "none of 'a', 'b', 'n'"), ("b", "a list"), ("b/1", "'1' is none")]:
        with pytest.raises(ValueError, match=words):
            mem_map(file, name=name)
    torch.save(torch.arange(3), file)
    assert mem_map(file).tolist() == [0, 1, 2]


def test_tensordict(tmp_path):
    inner = {"c": torch.ones(2, 4, dtype=torch.bfloat16), "e": torch.zeros(2, 0)}
    arrays.tensordict_class()({"a": torch.arange(6).view(2, 3), "in": inner}, [2]).memmap(
        tmp_path / "td"
    )
    assert mem_map(tmp_path / "td").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(mem_map(tmp_path / "td", name="in/c"), inner["c"])
    assert mem_map(tmp_path / "td", name="in/e").shape == (2, 0)
    for name in ("x", "../td/a", "in", "in/../a", "/etc/passwd", ""):
        with pytest.raises((ValueError, OSError)):
            mem_map(tmp_path / "td", name=name)
    meta = tmp_path / "td" / "meta.json"
    told = json.loads(meta.read_text())
    for key, value, words in [
        ("shape", [2, 4], "ends too early"),
        ("shape", [-1], "expected a shape"),
        ("dtype", "torch.complex64", "no dtype"),
        ("dtype", 3, "a dtype of torch"),
        ("is_nested", True, "nested"),
    ]:
        meta.write_text(json.dumps({"a": {**told["a"], key: value}}))
        with pytest.raises(REFUSALS, match=words):
            mem_map(tmp_path / "td", name="a")
    meta.write_text("[" * 100000)
    with pytest.raises(ValueError, match="no JSON"):
        mem_map(tmp_path / "td", name="a")
    with pytest.raises(ValueError, match=r"without the meta\.json"):
        mem_map(tmp_path)


def test_columns_of_array_files(tmp_path):
    file, rows = tmp_path / "x.pst", {"x": np.arange(12.0).reshape(4, 3), "n": np.arange(4)}
    with penstock.ArrayWriter(file) as writer:
        writer.write(rows)
    for name, array in rows.items():
        assert np.array_equal(mem_map(file, name=name).numpy(), array)
    with pytest.raises(penstock.Error, match="checksums"):
        mem_map(file, mode="r+", name="x")


# --- hostile files ---


@pytest.mark.fault("R12")
def test_every_bit_of_a_header_of_npy(tmp_path, tried):
    n = 0
    for array in (np.arange(6, dtype="<f4").reshape(2, 3), np.zeros((), ">i8"), np.zeros(9, "u1")):
        out = io.BytesIO()
        np.save(out, array)
        data = out.getvalue()
        for bit in range(8 * arrays.header_end(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            arrays.taken_as_numpy(tmp_path / "x.npy", bytes(flipped))
            n += 1
    tried(n)


@pytest.mark.fault("R12")
def test_damaged_headers_of_npy(tried):
    assert arrays.run_headers(0, 2000, seed=7) > 10
    tried(2000)


@pytest.mark.fault("R12")
def test_every_bit_of_a_header_of_safetensors(tmp_path, tried):
    """What is taken, the format's own package takes and reads the same."""
    from safetensors.torch import load, save

    data = save({"a": torch.arange(4.0), "bc": torch.arange(3, dtype=torch.int16)}, {"k": "v"})
    end = 8 + struct.unpack("<Q", data[:8])[0]
    file, taken = tmp_path / "x", 0
    for bit in range(8 * end):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            theirs = load(bytes(flipped))
        except Exception:
            with pytest.raises(REFUSALS):
                mem_map(file, name="a")
            continue
        for name, tensor in theirs.items():
            try:
                mine = mem_map(file, name=name)
            except REFUSALS:
                continue
            taken += 1
            assert mine.dtype == tensor.dtype
            assert torch.equal(mine.view(torch.uint8), tensor.view(torch.uint8))
    assert taken > 40  # of names, mostly
    tried(8 * end)


def safetensors_bytes(header, size=0):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def one(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.fault("R12")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (safetensors_bytes(one(shape=[3]), 8), "take 12 bytes, its offsets leave 8"),
        (safetensors_bytes(one(data_offsets=[0, 12]), 8), "ends too early"),
        (safetensors_bytes(one(data_offsets=[4, 12]), 12), "begins at byte"),
        (safetensors_bytes(one(), 9), "belong to no tensor"),
        (safetensors_bytes(one(data_offsets=[8, 0]), 8), "not before it"),
        (safetensors_bytes(one(data_offsets=[0]), 8), "a begin and an end"),
        (safetensors_bytes(one(data_offsets=[0, 8, 8]), 8), "over 2 numbers"),
        (safetensors_bytes(one(shape=[1] * 9), 8), "over 8 numbers"),
        (safetensors_bytes(one(shape=[-2]), 8), "from 0 to"),
        (safetensors_bytes(one(shape=[2.0]), 8), "from 0 to"),
        (safetensors_bytes(one(shape=[1 << 62, 1 << 62]), 8), "2\\^62"),
        (safetensors_bytes(one(dtype="F8_E4M3", data_offsets=[0, 2]), 2), "F8_E4M3, which is none"),
        (safetensors_bytes(one(dtype=""), 8), "dtype '', which is not known"),
        (safetensors_bytes(one(dtype="F4", shape=[3]), 8), "take 1 bytes, its offsets leave 8"),
        (safetensors_bytes(one(more=1), 8), "once each"),
        (safetensors_bytes({"x": {"dtype": "F32"}}), '"shape"'),
        (safetensors_bytes({**one(), "__metadata__": {"a": 1}}, 8), "quotation marks"),
        (safetensors_bytes(b'{"x":{},"x":{}}'), "before this"),
        (
            safetensors_bytes(
                b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                b'"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
            ),
            "two tensors are named 'x'",
        ),
        (
            safetensors_bytes(
                {
                    "x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                    "y": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
                },
                6,
            ),
            "begins at byte",
        ),
        (safetensors_bytes(b"{}"), "0 arrays"),
        (safetensors_bytes(b"{} x"), "the end of the header"),
        (safetensors_bytes(b'{"\\ud800":1}'), "surrogate"),
        (safetensors_bytes(b'{"\\udc80":1}'), "surrogate"),
        (safetensors_bytes(b'{"\xff":1}'), "UTF-8"),
        (safetensors_bytes(b"{" * 9), "quotation marks"),
        (struct.pack("<Q", 1000) + b"{", "ends within its header"),
        (struct.pack("<Q", 100_000_001) + b"{", "the limit is 100000000"),
        (b"\x93NUMPY", "ends within its header"),
        (b"\x93NUMPY\x01\0\xff\xff{", "ends within its header"),
        (b"\x93NUMPY\x09\0\x01\0{", "version 9"),
        (b"\x93NUMPY\x02\0\x11\x27\0\0" + b" " * 10001, "the limit is 10000"),
        (b"", "begins like no file"),
        (b"hello, this is no array", "begins like no file"),
        (b"PK\x03\x04" + bytes(60), "the end of the directory, without a comment"),
    ],
)
def test_files_that_are_refused(data, words, tmp_path):
    file = tmp_path / "hostile\n.bin"
    file.write_bytes(data)
    with pytest.raises(REFUSALS, match=words) as caught:
        mem_map(file)
    assert "hostile" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("R16")
def test_nothing_is_unpickled_and_nothing_run(tmp_path):
    """In a process of its own: an audit hook cannot be taken back."""
    code = """
import sys, numpy, penstock, torch
seen = []
np_file, pt_file = sys.argv[1:]
from penstock import mem_map
from torch._subclasses.fake_tensor import FakeTensorMode
mem_map(sys.argv[2], name="ok")
def hook(event, args):
    if event in ("pickle.find_class", "os.system", "subprocess.Popen", "compile", "exec"):
        seen.append((event, args))
sys.addaudithook(hook)
for file in sys.argv[1:]:
    try:
        mem_map(file, name="bad")
    except ValueError as error:
        print(error)
print("seen", [event for event in seen if "pickle" in event[0] or "os." in event[0]])
"""
    np_file, pt_file = tmp_path / "o.npy", tmp_path / "o.pt"
    np.save(np_file, np.array([Path], dtype=object), allow_pickle=True)
    torch.save({"ok": torch.ones(1), "bad": torch.zeros(2)}, pt_file)
    evil = tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    torch.save({"bad": Evil()}, evil)
    done = subprocess.run(
        [sys.executable, "-c", code, np_file, pt_file], capture_output=True, text=True, check=True
    )
    assert "pickles" in done.stdout
    assert "seen []" in done.stdout
    with pytest.raises(ValueError, match=r"no file of torch\.save"):
        mem_map(evil)
    assert not (tmp_path / "owned").exists()


@pytest.mark.fault("R12")
def test_damaged_zip_files(tmp_path, tried):
    """A record that is compressed, moved or cut is refused; what is taken is what torch reads."""
    file, expected = tmp_path / "x.pt", torch.arange(64, dtype=torch.int64)
    torch.save(expected, file)
    data = file.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(400):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            changed[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        try:
            mapped = mem_map(file)
        except REFUSALS:
            continue
        # Sums of bytes that are mapped are checked by neither.
        assert torch.equal(mapped, torch.load(file, weights_only=True, mmap=True))
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="expected a stored record"):
        mem_map(file)
    tried(401)


# --- tensors that cannot be written ---

WRITES = {
    "setitem": lambda x: x.__setitem__(0, 5.0),
    "mask": lambda x: x.__setitem__(x > 3, 0),
    "indices": lambda x: x.__setitem__(torch.tensor([0, 1]), 1),
    "add_": lambda x: x.add_(1),
    "+=": lambda x: x.__iadd__(1),
    "copy_": lambda x: x.copy_(torch.zeros(4, 6)),
    "zero_": lambda x: x.zero_(),
    "out=": lambda x: torch.add(torch.ones(4, 6), 1, out=x),
    "out= of several": lambda x: torch.sort(
        torch.zeros(4, 6), out=(x, torch.zeros(4, 6, dtype=torch.long))
    ),
    "mm out=": lambda x: torch.mm(torch.ones(4, 4), torch.ones(4, 6), out=x),
    "index_put_": lambda x: x.index_put_((torch.tensor([0]),), torch.zeros(6)),
    "index_add_": lambda x: x.index_add_(0, torch.tensor([0]), torch.ones(1, 6)),
    "scatter_": lambda x: x.scatter_(0, torch.zeros(1, 6, dtype=torch.long), 1.0),
    "put_": lambda x: x.put_(torch.tensor([0]), torch.ones(1)),
    "uniform_": lambda x: x.uniform_(),
    "init": torch.nn.init.zeros_,
    "view": lambda x: x.view(-1)[3:].zero_(),
    "detach": lambda x: x.detach().zero_(),
    "data": lambda x: x.data.zero_(),
    "data=": lambda x: setattr(x, "data", torch.zeros(4, 6)),
    "T": lambda x: x.T.mul_(2),
    "unbind": lambda x: x.unbind(0)[0].zero_(),
    "split": lambda x: torch.split(x, 2)[1].zero_(),
    "iterate": lambda x: next(iter(x)).zero_(),
    "foreach": lambda x: torch._foreach_add_([torch.zeros(1), x], 1.0),
    "resize_": lambda x: x.resize_(2, 2),
    "set_": lambda x: x.set_(torch.zeros(1)),
    "relu_": torch.relu_,
    "relu inplace": lambda x: torch.nn.functional.relu(x, inplace=True),
    "dropout inplace": lambda x: torch.nn.functional.dropout(x, inplace=True),
    "as_strided": lambda x: x.as_strided((2,), (1,)).zero_(),
    "expand": lambda x: x[:1].expand(3, 6).zero_(),
    "diagonal": lambda x: x.diagonal().zero_(),
    "unfold": lambda x: x.unfold(1, 2, 2).zero_(),
    "another dtype": lambda x: x.view(torch.int32).zero_(),
    "broadcast": lambda x: torch.broadcast_tensors(x, torch.zeros(1))[0].zero_(),
    "einsum": lambda x: torch.einsum("ij->ji", x).zero_(),
    "to itself": lambda x: x.to(torch.float32).zero_(),
    "float()": lambda x: x.float().zero_(),
    "cpu()": lambda x: x.cpu().zero_(),
    "contiguous()": lambda x: x.contiguous().zero_(),
    "ravel": lambda x: x.ravel().zero_(),
    "as_subclass": lambda x: x.as_subclass(torch.Tensor).zero_(),
    "vmap": lambda x: torch.vmap(lambda row: row.add_(1))(x),
    "parameter": lambda x: torch.nn.Parameter(x).data.zero_(),
    "np[]": lambda x: x.numpy().__setitem__(0, 1),
    "np.copyto": lambda x: np.copyto(x.numpy(), 0),
    "writeable": lambda x: setattr(x.numpy().flags, "writeable", True),
    "np.asarray": lambda x: np.asarray(x).__setitem__(0, 1),
    "np.from_dlpack": lambda x: np.from_dlpack(x).__setitem__(0, 1),
}


def train(x, kind):
    parameter = torch.nn.Parameter(x)
    (parameter * 2).sum().backward()
    getattr(torch.optim, kind)([parameter], lr=0.1).step()


for kind in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
    WRITES[kind] = lambda x, kind=kind: train(x, kind)

# What nobody can refuse. It must end neither in a crash nor in the file.
SLIPS = {
    "from_numpy": lambda x: torch.from_numpy(x.numpy()).zero_(),
    "storage": lambda x: x.untyped_storage().fill_(0),
    "from_dlpack": lambda x: torch.from_dlpack(x).zero_(),
    "to_dlpack": lambda x: torch.from_dlpack(torch.utils.dlpack.to_dlpack(x)).zero_(),
    "set_": lambda x: torch.empty(0).set_(x.untyped_storage()).zero_(),
    "share_memory_": lambda x: x.share_memory_(),
}


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("way", list(WRITES))
def test_writing_raises(way, context, grid):
    mapped, before = mem_map(grid), grid.read_bytes()
    needs_grad = way in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
    if needs_grad and context is not torch.enable_grad:
        return
    with context(), pytest.raises((RuntimeError, ValueError), match=r"(?i)read-only|writ"):
        WRITES[way](mapped)
    assert torch.equal(mapped, torch.arange(24.0).view(4, 6))
    assert grid.read_bytes() == before


@pytest.mark.parametrize("way", list(SLIPS))
def test_what_cannot_be_refused_is_harmless(way, grid):
    mapped, before = mem_map(grid), grid.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SLIPS[way](mapped)
    assert grid.read_bytes() == before
    assert torch.equal(mem_map(grid), torch.arange(24.0).view(4, 6))


def test_results_are_plain_tensors(grid):
    x = mem_map(grid)
    assert isinstance(x, MappedTensor)
    assert x.path == str(grid)
    assert x[1].path == str(grid)
    plain = torch.arange(24.0).view(4, 6)
    for function in (
        lambda t: t + 1,
        lambda t: t.clone(),
        lambda t: t.double(),
        lambda t: t[torch.tensor([2, 0])],
        lambda t: torch.stack([t, t]),
        lambda t: torch.cat(list(t)),
        lambda t: t.sum(),
        copy.copy,
        copy.deepcopy,
        lambda t: pickle.loads(pickle.dumps(t)),
        lambda t: torch.nn.functional.linear(t, torch.ones(2, 6)),
        lambda t: torch.compile(lambda a: a * 2, backend="eager")(t),
    ):
        result = function(x)
        assert type(result) is torch.Tensor
        assert torch.equal(result, function(plain))
        result.zero_()
    assert repr(x) == repr(plain)
    assert x.tolist() == plain.tolist()
    assert not x.numpy().flags.writeable
    assert np.array_equal(np.asarray(x, dtype=np.float64), plain.double().numpy())
    weight = torch.ones(6, requires_grad=True)
    (x @ weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == plain.sum(0).tolist()
    saved = io.BytesIO()
    torch.save(x, saved)
    saved.seek(0)
    assert torch.equal(torch.load(saved, weights_only=True), plain)


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_loader_takes_its_rows(workers, grid):
    batches = list(DataLoader(mem_map(grid), 2, num_workers=workers))
    assert torch.equal(torch.cat(batches), torch.arange(24.0).view(4, 6))
    assert type(batches[0]) is torch.Tensor


def test_modes_of_writing(grid):
    private = mem_map(grid, mode="c")
    private[0, 0] = 9
    assert private[0, 0] == 9
    assert np.load(grid)[0, 0] == 0
    edited = mem_map(grid, mode="r+")
    edited[0, 0] = 7
    edited.numpy()[0, 1] = 8
    assert np.load(grid)[0, :2].tolist() == [7, 8]
    assert mem_map(grid)[0, 0] == 7
    assert type(edited[0]) is torch.Tensor
    os.chmod(grid, 0o444)
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            mem_map(grid, mode="r+")


def test_the_map_outlives_its_file_and_its_tensor(grid):
    row = mem_map(grid)[1]
    grid.unlink()
    assert row.tolist() == [6, 7, 8, 9, 10, 11]


def test_maps_are_given_back(grid):
    """More maps than the guard watches at a time, and no descriptor left."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5000):
        mem_map(grid, mode="c")
    assert len(os.listdir("/proc/self/fd")) == before


# --- faults ---


@pytest.mark.fault("R4")
def test_files_that_are_cut_while_they_are_read(tried):
    tried(cuts.run(50, seed=3))


@pytest.mark.fault("R4")
@pytest.mark.parametrize("handler", ["", "before", "after"])
def test_faults_of_others_end_the_process_as_ever(handler, tmp_path):
    code = """
import faulthandler, mmap, os, sys
import numpy
import penstock, torch
handler, ours, theirs = sys.argv[1:]
if handler == "before":
    faulthandler.enable()
numpy.save(ours, numpy.ones(1 << 16))
mapped = penstock.mem_map(ours)
if handler != "after":
    os.truncate(ours, 100)
    try:
        mapped.sum()
        for _ in range(10):
            pass
    except OSError as error:
        print("told", error.errno, flush=True)
if handler == "after":
    faulthandler.enable()
with open(theirs, "w+b") as file:
    file.truncate(1 << 16)
    foreign = mmap.mmap(file.fileno(), 1 << 16)
    file.truncate(0)
    print(foreign[5000])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, handler, tmp_path / "ours.npy", tmp_path / "theirs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": ""},
    )
    assert done.returncode == -7, done.stderr
    assert ("told 5" in done.stdout) == (handler != "after")
    assert ("Bus error" in done.stderr) == bool(handler)


# --- writing ---


@pytest.mark.parametrize("name", ["new.npy", "new.bin"])
def test_files_are_made(name, tmp_path):
    file = tmp_path / name
    for dtype, shape in [("f4", (3, 4)), (torch.bool, ()), (np.uint64, (0, 2)), ("i16", 5)]:
        made = mem_map(file, dtype, shape, mode="w+")
        assert not made.any()
        assert file.stat().st_blocks * 512 >= made.nbytes
        if made.numel():
            made.view(-1)[-1] = 1
        made.flush()
        again = np.load(file) if name.endswith("npy") else np.fromfile(file, made.numpy().dtype)
        assert again.size == made.numel()
        assert again.sum() == bool(made.numel())
        assert mem_map(file, mode="r+").shape == made.shape if name.endswith("npy") else True
    shifted = mem_map(tmp_path / "shifted.bin", "u1", 3, mode="w+", offset=100)
    assert (tmp_path / "shifted.bin").stat().st_size == 103
    shifted[:] = 7
    assert list(tmp_path.glob(".*")) == []
    for arguments, words in [
        ({"dtype": "f4"}, "a dtype and a shape"),
        ({"shape": 3}, "a dtype and a shape"),
        ({"dtype": "f4", "shape": (-1,)}, "dimension 0"),
        ({"dtype": "f4", "shape": 3, "offset": 8}, "the header says the offset"),
        ({"dtype": "bf16", "shape": 3}, "no bf16"),
        ({"dtype": "f4", "shape": (1 << 40, 1 << 40)}, "2\\^62"),
    ]:
        with pytest.raises(REFUSALS, match=words):
            mem_map(tmp_path / "x.npy", mode="w+", **arguments)
    assert not (tmp_path / "x.npy").exists()


def test_a_new_file_leaves_readers_of_the_old_one_alone(grid):
    old = mem_map(grid)
    new = mem_map(grid, "f4", (2, 2), mode="w+")
    new[:] = 3
    assert torch.equal(old, torch.arange(24.0).view(4, 6))
    assert np.load(grid).tolist() == [[3, 3], [3, 3]]


def test_rows_are_added(tmp_path):
    file, rng = tmp_path / "x.npy", np.random.default_rng(1)
    whole = rng.integers(0, 255, (0, 3, 2)).astype(np.uint16)
    np.save(file, whole)
    for n in (1, 0, 7, 300, 70000):
        rows = rng.integers(0, 65535, (n, 3, 2)).astype(np.uint16)
        before = mem_map(file)
        given = torch.from_numpy(rows) if n % 2 else np.asfortranarray(rows)
        assert penstock.append(file, given) == len(whole) + n
        assert len(before) == len(whole)
        whole = np.concatenate([whole, rows])
        assert np.array_equal(np.load(file), whole)
        assert np.array_equal(mem_map(file).numpy(), whole)
    for rows, words in [
        (whole[:, :2], "3 elements along dimension 1"),
        (whole[:, :, 0], "3 dimensions, the new rows 2"),
        (whole.astype(np.int16), "elements of u16, the new rows of i16"),
        (whole[0, 0, 0], "no rows"),
    ]:
        with pytest.raises(ValueError, match=words):
            penstock.append(file, rows)
    assert np.array_equal(np.load(file), whole)
    np.save(file, np.asfortranarray(np.ones((4, 3))))
    with pytest.raises(penstock.Error, match="Fortran order"):
        penstock.append(file, np.ones((1, 3)))
    np.save(file, np.ones((4, 3), ">f8"))
    with pytest.raises(penstock.Error, match="byte order"):
        penstock.append(file, np.ones((1, 3)))
    with file.open("wb") as out:
        np.save(out, np.ones((4, 3)))
        np.save(out, np.ones((4, 3)))
    with pytest.raises(penstock.Error, match="another array behind"):
        penstock.append(file, np.ones((1, 3)))
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9,), }"  # without room
    file.write_bytes(
        b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text + b"\n" + bytes(9)
    )
    with pytest.raises(penstock.Error, match="no room for 10 rows"):
        penstock.append(file, np.ones(1, np.uint8))
    assert len(np.load(file)) == 9


def test_a_header_that_ends_at_its_brace_keeps_its_size(tmp_path):
    file = tmp_path / "x.npy"
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (8,)}"
    file.write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(8))
    assert penstock.append(file, np.ones(1, np.uint8)) == 9
    assert np.load(file).tolist() == [0] * 8 + [1]
    with pytest.raises(penstock.Error, match="no room for 10 rows"):
        penstock.append(file, np.ones(1, np.uint8))
    assert len(np.load(file)) == 9


def test_one_process_appends_at_a_time(grid):
    import fcntl

    with grid.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another process is writing"):
            penstock.append(grid, np.ones((1, 6), np.float32))
    assert penstock.append(grid, np.ones((1, 6), np.float32)) == 5


@pytest.mark.fault("R10")
def test_an_append_that_is_killed_is_whole_or_was_not(tmp_path, tried):
    tried(kills.run(tmp_path, 20, seed=1))


@pytest.mark.fault("R9")
def test_a_full_disk(tried):
    """On a tmpfs of many sizes: what does not fit is an error where the file is made or grown, and
    what was there is as it was."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs is for root")
    n = full_disks.run(100)
    if n == 0:
        pytest.skip("a tmpfs cannot be mounted here")
    tried(n)


@pytest.mark.fault("R4")
def test_flushing_a_map_whose_file_was_cut_is_an_error(tmp_path):
    file = tmp_path / "x.npy"
    mapped = mem_map(file, "u1", 1 << 16, mode="w+")
    os.truncate(file, 4096)

    def write():
        mapped[-1] = 1
        for _ in range(100):
            pass

    with pytest.raises(OSError, match=r"x\.npy"):
        write()
    with pytest.raises(OSError, match=r"x\.npy"):
        mapped.flush()
