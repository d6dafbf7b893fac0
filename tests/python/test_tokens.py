# SPDX-License-Identifier: Apache-2.0
"""Windows of token files, beside what is written in them."""

import copy
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import penstock
import pytest
import torch
import torch.utils.data
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock.datasets import Tokens
from token_files import WRITERS, windows, write_datatrove, write_megatron, write_raw

RAW = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"]
DTYPES = {
    ".npy": RAW,
    ".bin": RAW,
    ".idx": ["uint8", "int8", "uint16", "int16", "int32", "int64"],
    ".ds": ["uint16", "uint32"],
}


def documents(dtype, sizes, seed=0):
    """Random tokens, the extremes among them."""
    info = numpy.iinfo(dtype)
    random = numpy.random.default_rng(seed)
    made = []
    for size in sizes:
        tokens = random.integers(info.min, info.max, size, dtype, endpoint=True)
        tokens[random.integers(0, 8, size) == 0] = info.max
        tokens[random.integers(0, 8, size) == 0] = info.min
        made.append(tokens)
    return made


def listed(dataset):
    """Every sample, one by one and as one batch."""
    x, y = dataset.gather(range(len(dataset)))
    assert x.dtype == y.dtype == dataset.out_dtype
    batch = list(zip(x.tolist(), y.tolist(), strict=True))
    assert batch == [
        (x.tolist(), y.tolist()) for x, y in map(dataset.__getitem__, range(len(dataset)))
    ]
    return batch


@pytest.fixture
def raw(tmp_path):
    """1,000 tokens of uint16 in a file, and they themselves."""
    (tokens,) = documents("uint16", [1000])
    return write_raw(tmp_path / "a.bin", [tokens], "uint16"), tokens


# --- the model


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(list(WRITERS)))
    dtype = draw(st.sampled_from(DTYPES[kind]))
    sizes = st.lists(st.integers(0, 40), max_size=30)
    files = draw(st.lists(sizes, min_size=1, max_size=4))
    within = kind in (".idx", ".ds") and draw(st.booleans())
    window = draw(st.integers(1, 20))
    return {
        "kind": kind,
        "dtype": dtype,
        "files": [documents(dtype, sizes, seed) for seed, sizes in enumerate(files)],
        "window": window,
        "stride": draw(st.none() | st.integers(1, 30)),
        "documents": "within" if within else "ignore",
        "pad": draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        "access": draw(st.sampled_from(["mmap", "pread", "direct", "auto"])),
        "narrow": dtype not in ("uint32", "int64") and draw(st.booleans()),
    }


@settings(max_examples=1000, deadline=None)
@given(case=cases())
def test_windows_are_the_models(case):
    with tempfile.TemporaryDirectory() as folder:
        paths, expected, n_dropped, n_padded = [], [], 0, 0
        stride = case["stride"] or case["window"]
        for number, made in enumerate(case["files"]):
            path = Path(folder) / f"{number}{case['kind']}"
            WRITERS[case["kind"]](path, made, case["dtype"])
            paths.append(path)
            if case["documents"] == "ignore":
                made = [numpy.concatenate([numpy.empty(0, case["dtype"]), *made])]
            for document in made:
                here = windows([document], case["window"], stride, pad=case["pad"])
                whole = windows([document], case["window"], stride)
                expected += here
                n_dropped += not here
                n_padded += len(here) - len(whole)
        dataset = Tokens(
            paths,
            case["window"],
            stride=case["stride"],
            dtype=case["dtype"] if case["kind"] in (".bin", ".ds") else None,
            out_dtype=torch.int32 if case["narrow"] else torch.int64,
            documents=case["documents"],
            pad=case["pad"],
            access=case["access"],
        )
        assert len(dataset) == dataset.n_windows == len(expected)
        assert listed(dataset) == expected
        assert dataset.n_tokens == sum(len(one) for made in case["files"] for one in made)
        assert dataset.n_dropped == n_dropped
        assert dataset.n_padded == n_padded
        if case["kind"] in (".idx", ".ds"):
            assert dataset.n_documents == sum(map(len, case["files"]))
        alone = Tokens(
            paths,
            case["window"],
            stride=case["stride"],
            dtype=case["dtype"],
            documents=case["documents"],
            targets=False,
            access=case["access"],
        )
        xs = [x for made in case["files"] for x, _ in _without_targets(made, case, stride)]
        assert alone.gather(range(len(alone))).tolist() == xs


def _without_targets(made, case, stride):
    if case["documents"] == "ignore":
        made = [numpy.concatenate([numpy.empty(0, case["dtype"]), *made])]
    return windows(made, case["window"], stride, targets=False)


@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_windows_longer_than_a_piece(tmp_path, access):
    (tokens,) = documents("uint32", [50000])
    path = write_raw(tmp_path / "a", [tokens], "uint32")
    dataset = Tokens(path, 20000, stride=7001, dtype="uint32", pad=3, access=access)
    assert listed(dataset) == windows([tokens], 20000, 7001, pad=3)


def test_megatron_by_each_of_its_names(tmp_path):
    made = documents("int32", [5, 0, 17, 9])
    write_megatron(tmp_path / "a", made, "int32", cuts=3, modes=True)
    expected = windows(made, 4, 4)
    for name in ("a.bin", "a.idx"):
        assert listed(Tokens(tmp_path / name, 4, documents="within")) == expected
    as_told = Tokens(tmp_path / "a", 4, documents="within", format="megatron", dtype="int32")
    assert listed(as_told) == expected
    raw = Tokens(tmp_path / "a.bin", 4, format="raw", dtype="int32")
    assert raw.n_documents is None
    assert listed(raw) == windows([numpy.concatenate(made)], 4, 4)


def test_datatrove_without_its_index(tmp_path):
    made = documents("uint32", [5, 8])
    path = write_datatrove(tmp_path / "a.ds", made, "uint32")
    assert listed(Tokens(path, 3, documents="within")) == windows(made, 3, 3)
    os.remove(f"{path}.index")
    with pytest.raises(ValueError, match=r"a\.ds' does not say what type"):
        Tokens(path, 3)
    assert len(Tokens(path, 3, dtype="uint32")) == 4


def test_arrays_of_numpy(tmp_path):
    (tokens,) = documents("int32", [50])
    path = tmp_path / "a.npy"
    numpy.save(path, tokens)
    with pytest.raises(penstock._core.DecodeError, match=r"a\.npy' has int32, expected uint16"):
        Tokens(path, 8, dtype="uint16")
    with pytest.raises(penstock._core.DecodeError, match="begins with the header of an array"):
        Tokens(path, 8, dtype="int32", format="raw")
    for array in (tokens.reshape(5, 10), tokens.astype(">i4"), tokens.astype(float)):
        numpy.save(path, array)
        with pytest.raises(penstock._core.DecodeError, match=r"a\.npy' is no array of tokens"):
            Tokens(path, 8)
    # OLMo's files have the name and no header.
    write_raw(path, [tokens], "int32")
    with pytest.raises(penstock._core.DecodeError, match=r"a\.npy"):
        Tokens(path, 8)
    assert listed(Tokens(path, 8, dtype="int32", format="raw")) == windows([tokens], 8, 8)


def test_what_a_header_of_another_format_takes(tmp_path):
    (tokens,) = documents("uint16", [100])
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(1024) + tokens.tobytes())
    dataset = Tokens(path, 9, dtype=torch.uint16, offset=1024)
    assert listed(dataset) == windows([tokens], 9, 9)


# --- mixtures


def test_mixture(tmp_path):
    paths = []
    for number in range(3):
        tokens = numpy.arange(number * 1000, number * 1000 + 100 * (number + 1)).astype("uint16")
        paths.append(write_raw(tmp_path / f"{number}", [tokens], "uint16"))
    dataset = Tokens(paths, 10, dtype="uint16", weights=[0.5, 0.3, 0.2], length=1000, seed=4)
    x, _ = dataset.gather(range(1000))
    file = (x[:, 0] // 1000).numpy()
    for n in range(1, 1001):
        shares = numpy.bincount(file[:n], minlength=3)
        assert (abs(shares - n * numpy.array([0.5, 0.3, 0.2])) < 1).all()
    # In order the first time, and each as often as any other.
    for number, size in enumerate((9, 19, 29)):
        starts = (x[file == number, 0] - number * 1000).numpy() // 10
        assert starts[:size].tolist() == list(range(size))[: len(starts)]
        counts = numpy.bincount(starts, minlength=size)
        assert counts.max() - counts.min() <= 1
    again = Tokens(paths, 10, dtype="uint16", weights=[5, 3, 2], length=1000, seed=4)
    assert torch.equal(again.gather(range(1000))[0], x)
    other = Tokens(paths, 10, dtype="uint16", weights=[5, 3, 2], length=1000, seed=5)
    assert not torch.equal(other.gather(range(1000))[0], x)
    assert len(Tokens(paths, 10, dtype="uint16", weights=[5, 3, 2])) == 9 + 19 + 29
    grouped = Tokens([paths[:2], paths[2]], 10, dtype="uint16", weights=[1, 1])
    assert grouped.paths == ((str(paths[0]), str(paths[1])), (str(paths[2]),))
    assert "Weights: 1.0, 1.0" in repr(grouped)


# --- as a dataset


def test_it_is_a_sequence(raw):
    path, tokens = raw
    dataset = Tokens(path, 16, dtype="uint16")
    expected = windows([tokens], 16, 16)
    assert len(dataset) == 62
    assert dataset[-1][0].tolist() == expected[-1][0]
    assert dataset[numpy.int64(3)][1].tolist() == expected[3][1]
    assert not hasattr(dataset, "__getitems__")
    for index in (62, -63):
        with pytest.raises(IndexError):
            dataset[index]
    with pytest.raises(TypeError):
        dataset["0"]
    with pytest.raises(IndexError):
        dataset.gather([62])
    with pytest.raises(TypeError):
        dataset.gather([0.5])
    with pytest.raises(TypeError):
        dataset.gather([[0]])
    assert dataset.gather([])[0].shape == (0, 16)
    assert dataset.access == "mmap"
    assert repr(dataset).splitlines()[1:] == [
        "    Number of datapoints: 62",
        "    Files: 1, 1000 tokens, read by mmap",
        "    Window: 16, stride 16, documents ignore",
    ]
    assert "Padded: 1 windows, with 0" in repr(Tokens(path, 16, dtype="uint16", pad=0))


@pytest.mark.parametrize("targets", [True, False])
def test_gather_into_tensors_of_the_callers(raw, targets):
    path, _ = raw
    dataset = Tokens(path, 16, dtype="uint16", targets=targets)
    out = dataset.gather([1, 2, 3])
    expected = dataset.gather([7, 7, 0])
    assert dataset.gather(numpy.array([7, 7, 0]), out=out) is out
    for one, other in zip(out, expected, strict=True):
        assert torch.equal(one, other)
    flat = torch.empty(3, 32, dtype=torch.int64)
    for wrong in (
        dataset.gather([1]),
        tuple(out[:1]),
        (flat[:, :16], flat[:, 16:]) if targets else flat[:, :16],
        (out[0].int(), out[1].int()) if targets else out.int(),
    ):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            dataset.gather([7, 7, 0], out=wrong)


def test_budget_decides_how_files_are_read(raw):
    path, _ = raw
    assert Tokens(path, 16, dtype="uint16", memory_budget=2000).access == "mmap"
    assert Tokens(path, 16, dtype="uint16", memory_budget=1999).access == "pread"


def batches(cls, dataset, **options):
    torch.manual_seed(3)
    return [
        [tensor.tolist() for tensor in batch] if isinstance(batch, list) else batch.tolist()
        for batch in cls(dataset, batch_size=7, shuffle=True, **options)
    ]


@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
@pytest.mark.parametrize("targets", [True, False])
def test_loaders(raw, access, targets):
    """Bit for bit what a list of the same tensors gives."""
    path, tokens = raw
    dataset = Tokens(path, 16, dtype="uint16", access=access, targets=targets)
    plain = [
        (torch.tensor(x), torch.tensor(y)) if targets else torch.tensor(x)
        for x, y in windows([tokens], 16, 16, targets=targets)
    ]
    assert penstock.DataLoader(dataset).explain().lane == "native"
    stock = torch.utils.data.DataLoader
    for options in ({}, {"num_workers": 2}):
        expected = batches(stock, plain, **options)
        assert batches(stock, dataset, **options) == expected
        assert batches(penstock.DataLoader, dataset, **options) == expected
    if targets and access == "mmap":
        options["multiprocessing_context"] = "spawn"
        assert batches(stock, dataset, **options) == expected


def test_copies(raw, tmp_path):
    path, tokens = raw
    dataset = Tokens(path, 16, dtype="uint16", access="pread", pad=7)
    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset), copy.copy(dataset)):
        assert listed(other) == windows([tokens], 16, 16, pad=7)
        assert other.access == "pread"
        assert repr(other) == repr(dataset)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 2000
    write_raw(path, [tokens[:-100]], "uint16")
    with pytest.raises(OSError, match=r"token files are not what they were.*a\.bin"):
        pickle.loads(pickled)
    os.remove(path)
    with pytest.raises(OSError, match=r"a\.bin"):
        pickle.loads(pickled)


def test_relative_paths_stay_where_they_were(raw, tmp_path, monkeypatch):
    path, _ = raw
    monkeypatch.chdir(path.parent)
    dataset = Tokens("a.bin", 16, dtype="uint16")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert listed(pickle.loads(pickle.dumps(dataset))) == listed(dataset)


def test_children_of_fork_read_on(raw):
    path, tokens = raw
    for access in ("mmap", "pread", "direct"):
        dataset = Tokens(path, 16, dtype="uint16", access=access)
        child = os.fork()
        if child == 0:
            os._exit(listed(dataset) != windows([tokens], 16, 16))
        assert os.waitpid(child, 0)[1] == 0
        assert listed(dataset) == windows([tokens], 16, 16)


# --- errors


def test_wrong_arguments(raw, tmp_path):
    path, _ = raw
    for options, error, text in (
        ({}, ValueError, "does not say what type its tokens have"),
        ({"dtype": "float32"}, ValueError, "dtype should be one of"),
        ({"dtype": numpy.dtype(">u2")}, ValueError, "dtype should be one of"),
        ({"dtype": torch.float32}, ValueError, "dtype should be one of"),
        ({"dtype": "uint16", "documents": "both"}, ValueError, "documents should be one of"),
        (
            {"dtype": "uint16", "documents": "within"},
            ValueError,
            "does not say where its documents",
        ),
        ({"dtype": "uint16", "format": "npz"}, ValueError, "format should be one of"),
        ({"dtype": "uint16", "access": "fast"}, ValueError, "access should be one of"),
        ({"dtype": "uint16", "out_dtype": torch.int16}, ValueError, "out_dtype should be"),
        ({"dtype": "uint16", "length": 5}, ValueError, "length should be"),
        ({"dtype": "uint16", "weights": [1, 2]}, ValueError, "2 weights for 1 paths"),
        ({"dtype": "uint16", "weights": [-1]}, ValueError, "weight -1"),
        ({"dtype": "uint16", "stride": 0}, ValueError, "stride"),
        ({"dtype": "uint16", "offset": -1}, OverflowError, "offset"),
        ({"dtype": "uint16", "out_dtype": torch.int32, "pad": 2**31}, ValueError, "int32"),
        ({"dtype": "uint16", "pad": 2**63}, OverflowError, "pad"),
    ):
        with pytest.raises(error, match=text):
            Tokens([path], 8, **options)
    with pytest.raises(ValueError, match="a window of 0"):
        Tokens(path, 0, dtype="uint16")
    with pytest.raises(TypeError, match="groups of files need weights"):
        Tokens([[path]], 8, dtype="uint16")
    with pytest.raises(ValueError, match="no file"):
        Tokens([], 8, dtype="uint16")
    with pytest.raises(OSError, match="none"):
        Tokens(tmp_path / "none", 8, dtype="uint16")
    with pytest.raises(ValueError, match=r"null|NUL"):
        Tokens("a\0b", 8, dtype="uint16")


def test_a_token_that_does_not_fit(tmp_path):
    tokens = numpy.arange(100, dtype="uint32")
    tokens[57] = 2**31
    path = write_raw(tmp_path / "a", [tokens], "uint32")
    dataset = Tokens(path, 8, dtype="uint32", out_dtype=torch.int32)
    assert dataset[6][0].tolist() == list(range(48, 56))
    with pytest.raises(penstock._core.DecodeError, match="token 2147483648 at byte 228") as info:
        dataset.gather([1, 7])
    assert (info.value.record, info.value.offset) == (7, 228)
    assert Tokens(path, 8, dtype="uint32")[7][0][1] == 2**31


@pytest.mark.fault("R4")
@pytest.mark.parametrize("access", ["mmap", "pread", "direct"])
def test_file_cut_while_open(tmp_path, access, tried):
    (tokens,) = documents("uint16", [20000])
    n = 0
    for cut in range(0, 40000, 777):
        path = write_raw(tmp_path / "a.bin", [tokens], "uint16")
        dataset = Tokens(path, 100, dtype="uint16", access=access)
        os.truncate(path, cut)
        for index in range(0, len(dataset), 13):
            whole = 200 * index + 202 <= cut
            if whole:
                assert dataset[index][0].tolist() == tokens[100 * index :][:100].tolist()
                continue
            with pytest.raises(OSError, match=r"a\.bin' was cut while it was open") as info:
                dataset.gather([0, index] if cut >= 202 else [index])
            assert 200 * index <= info.value.offset < 200 * index + 202
            n += 1
    tried(n)


@pytest.mark.fault("R12")
def test_flipped_headers_of_an_index(tmp_path, tried):
    """Found, or harmless: then the windows are those of before."""
    made = documents("uint16", [30, 4, 0, 19])
    path = write_megatron(tmp_path / "a", made, "uint16", cuts=2)
    index = path.with_suffix(".idx")
    good = index.read_bytes()
    messages, harmless = [], 0
    for mode in ("ignore", "within"):
        expected = listed(Tokens(path, 4, documents=mode))
        for bit in range(8 * 34):
            damaged = bytearray(good)
            damaged[bit // 8] ^= 1 << bit % 8
            index.write_bytes(damaged)
            try:
                dataset = Tokens(path, 4, documents=mode)
            except penstock._core.DecodeError as error:
                messages.append(str(error))
                continue
            assert listed(dataset) == expected
            harmless += 1
        index.write_bytes(good)
    assert len(messages) > 500
    assert all("a.idx'" in message or "a.bin'" in message for message in messages)
    tried(len(messages) + harmless)


@pytest.mark.fault("R4")
def test_a_process_outlives_a_cut(tmp_path):
    """Where a handler was set before us, too."""
    (tokens,) = documents("uint16", [20000])
    path = write_raw(tmp_path / "a.bin", [tokens], "uint16")
    code = (
        "import faulthandler, os, sys; faulthandler.enable()\n"
        "from penstock.datasets import Tokens\n"
        "tokens = Tokens(sys.argv[1], 100, dtype='uint16', access='mmap')\n"
        "os.truncate(sys.argv[1], 0)\n"
        "try:\n    tokens[50]\n"
        "except OSError as error:\n    print(error)\n"
    )
    run = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "a.bin' was cut while it was open" in done.stdout
