# SPDX-License-Identifier: Apache-2.0
"""penstock convert: every kind of source, read back by the oracle; breaks, and what is refused."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import array_oracle as oracle

X = numpy.random.default_rng(5).normal(size=(997, 7, 3)).astype("f4")
Y = numpy.arange(997) ** 3
TEXT = ["w\N{CAT}" * (i % 4) for i in range(997)]
LISTS = [[0.5 * i] * (i % 3) for i in range(997)]


def arrow_table() -> Any:
    pa = pytest.importorskip("pyarrow")
    flat = pa.array(X.reshape(-1))
    inner = pa.FixedSizeListArray.from_arrays(flat, 3)
    return pa.table(
        {
            "x": pa.FixedSizeListArray.from_arrays(inner, 7),
            "y": Y,
            "text": pa.array(TEXT).dictionary_encode(),
            "lists": pa.array(LISTS, pa.list_(pa.float64())),
            "odd": pa.array([i % 2 == 1 for i in range(997)]),
        }
    )


def write_npy(path: Path) -> None:
    numpy.save(path, X)


def write_fortran(path: Path) -> None:
    numpy.save(path, numpy.asfortranarray(X.astype(">f8")))


def write_fields(path: Path) -> None:
    rows = numpy.zeros(997, [("x", "f4", (7, 3)), ("y", ">i8")])
    rows["x"], rows["y"] = X, Y
    numpy.save(path, rows)


def write_npz(path: Path) -> None:
    numpy.savez(path, x=X, y=Y)


def write_packed(path: Path) -> None:
    numpy.savez_compressed(path, x=numpy.asfortranarray(X), y=Y)


def write_safetensors(path: Path) -> None:
    pytest.importorskip("safetensors.numpy").save_file({"x": X, "y": Y}, path)


def write_hdf5(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["x"] = X.astype(">f4")
        file["deep/y"] = Y
        lists = file.create_dataset("lists", (997,), h5py.vlen_dtype("f8"))
        for i, row in enumerate(LISTS):
            lists[i] = row


def write_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow.parquet").write_table(arrow_table(), path, row_group_size=300)


def write_feather(path: Path) -> None:
    pytest.importorskip("pyarrow.feather").write_feather(arrow_table(), path, chunksize=100)


def write_stream(path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = arrow_table()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=100)


def write_csv(path: Path) -> None:
    pytest.importorskip("pyarrow")
    delimiter = "\t" if path.suffix == ".tsv" else ","
    lines = [["y", "half", "text", "day", "odd", "mixed"]]
    for i in range(997):
        # "half" is of whole numbers for a while, and "mixed" says what it is in the last row.
        half, mixed = i if i < 900 else i + 0.5, i if i < 996 else "end"
        text = f'"{TEXT[i]}{delimiter}\n"' if i % 5 == 0 else TEXT[i]
        odd = "true" if i % 2 else "false"
        lines.append([Y[i], half, text, "2020-01-01", odd, mixed])
    path.write_text("\n".join(delimiter.join(map(str, line)) for line in lines) + "\n")


def texts(rows: list[Any]) -> list[str]:
    return [row.tobytes().decode() for row in rows]


def check_x_and_y(values: Any) -> None:
    assert values["x"].tobytes() == X.tobytes()
    assert values["y"].tolist() == Y.tolist()


def check_data(values: Any) -> None:
    assert values["data"].tolist() == X.tolist()


def check_table(values: Any) -> None:
    check_x_and_y(values)
    assert values["x"].shape == X.shape
    assert texts(values["text"]) == TEXT
    assert [row.tolist() for row in values["lists"]] == LISTS
    assert values["odd"].dtype == bool
    assert values["odd"].tolist() == [i % 2 == 1 for i in range(997)]


def check_hdf5(values: Any) -> None:
    check_x_and_y({"x": values["x"], "y": values["deep/y"]})
    assert [row.tolist() for row in values["lists"]] == LISTS


def check_csv(values: Any) -> None:
    assert values["y"].tolist() == Y.tolist()
    assert values["half"].tolist() == [i if i < 900 else i + 0.5 for i in range(997)]
    expected = [text + (values["_d"] + "\n" if i % 5 == 0 else "") for i, text in enumerate(TEXT)]
    assert texts(values["text"]) == expected
    assert texts(values["day"]) == ["2020-01-01"] * 997
    assert texts(values["mixed"][-2:]) == ["995", "end"]
    assert values["odd"].dtype == bool


SOURCES = {
    "x.npy": (write_npy, check_data),
    "fortran.npy": (write_fortran, check_data),
    "fields.npy": (write_fields, check_x_and_y),
    "x.npz": (write_npz, check_x_and_y),
    "packed.npz": (write_packed, check_x_and_y),
    "x.safetensors": (write_safetensors, check_x_and_y),
    "x.h5": (write_hdf5, check_hdf5),
    "x.parquet": (write_parquet, check_table),
    "x.feather": (write_feather, check_table),
    "x.arrows": (write_stream, check_table),
    "x.csv": (write_csv, check_csv),
    "x.tsv": (write_csv, check_csv),
}

# Small parts and a checkpoint behind each, then the end of the process in the middle.
BREAKS = """
import os, sys
from penstock.array_writer import ArrayWriter
from penstock.cli import array_sources, convert_command, main, table_sources

for module in (array_sources, table_sources):
    module.PART_BYTES = 1000
convert_command._CHECKPOINT_BYTES = 1
write, left = ArrayWriter.write, int(os.environ["LEFT"])

def broken(self, rows):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    write(self, rows)

ArrayWriter.write = broken
sys.exit(main())
"""


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / request.param
    SOURCES[request.param][0](path)
    return path


def values_of(path: Path, name: str) -> Any:
    return {**oracle.read(path).values, "_d": "\t" if name.endswith(".tsv") else ","}


@pytest.mark.parametrize("made", SOURCES, indirect=True)
def test_each_kind(penstock, made, tmp_path):
    done = penstock("convert", "--json", "--note", "why", made, tmp_path / "a.pst")
    assert (done.status, done.err) == (0, "")
    table = oracle.read(tmp_path / "a.pst")
    SOURCES[made.name][1](values_of(tmp_path / "a.pst", made.name))
    assert table.note == "why"
    assert done.json["rows"] == table.n_rows == 997
    assert done.json["resumed_at"] == 0
    assert [column["name"] for column in done.json["columns"]] == [c.name for c in table.columns]
    assert sorted(os.listdir(tmp_path)) == sorted(["a.pst", made.name])
    if not any(column.ragged for column in table.columns):
        assert {oracle.runs(table, column.name) for column in table.columns} == {1}


@pytest.mark.parametrize("made", SOURCES, indirect=True)
def test_resumed(penstock, made, tmp_path):
    goal = tmp_path / "a.pst"
    broken = penstock("convert", made, goal, code=BREAKS, env={"LEFT": "7"})
    assert broken.status == 9
    assert not goal.exists()
    again = penstock("convert", "--resume", made, goal, code=BREAKS, env={"LEFT": "9"})
    assert again.status == 9
    done = penstock("convert", "--json", "--resume", made, goal)
    assert (done.status, done.err) == (0, "")
    assert 0 < done.json["resumed_at"] < 997
    SOURCES[made.name][1](values_of(goal, made.name))
    assert oracle.read(goal).note == ""
    assert sorted(os.listdir(tmp_path)) == sorted(["a.pst", made.name])


def test_what_is_resumed_is_the_same(penstock, tmp_path):
    source, goal = tmp_path / "x.npy", tmp_path / "a.pst"
    write_npy(source)
    assert penstock("convert", source, goal, code=BREAKS, env={"LEFT": "7"}).status == 9
    numpy.save(source, X + 1)
    done = penstock("convert", "--resume", source, goal)
    assert (done.status, done.out) == (2, "")
    assert "was made of another file" in done.err
    assert penstock("convert", source, goal).status == 0
    assert oracle.read(goal).values["data"].tolist() == (X + 1).tolist()


# The end comes when all is written, and the file has not got its name yet.
AT_THE_END = """
import os, sys
from penstock.array_writer import ArrayWriter
from penstock.cli import main

def broken(self):
    self.checkpoint()
    os._exit(9)

ArrayWriter.commit = broken
sys.exit(main())
"""


def test_broken_off_at_the_end(penstock, tmp_path):
    source, goal = tmp_path / "x.npy", tmp_path / "a.pst"
    write_npy(source)
    for note in ("", "a note"):
        options = ("--force", "--note", note)
        done = penstock("convert", *options, source, goal, code=AT_THE_END)
        assert (done.status, done.err) == (9, "")
        done = penstock("convert", *options, "--resume", "--json", source, goal)
        assert (done.status, done.err) == (0, "")
        table = oracle.read(goal)
        check_data(table.values)
        assert table.note == note
    assert sorted(os.listdir(tmp_path)) == ["a.pst", "x.npy"]


def test_a_target_is_replaced_by_force_alone(penstock, tmp_path):
    source, goal = tmp_path / "x.npy", tmp_path / "a.pst"
    write_npy(source)
    goal.write_text("mine")
    done = penstock("convert", source, goal)
    assert (done.status, done.out) == (2, "")
    assert "is there already; --force replaces it" in done.err
    assert goal.read_text() == "mine"
    done = penstock("convert", "--force", source, goal)
    assert (done.status, done.err) == (0, "")
    assert "997" in done.out
    assert "data  f32  7 x 3" in done.out
    assert penstock("convert", "--force", source, source).status == 2


def test_some_columns(penstock, tmp_path):
    write_npz(tmp_path / "x.npz")
    done = penstock("convert", "--columns", "y", tmp_path / "x.npz", tmp_path / "a.pst")
    assert done.status == 0
    assert list(oracle.read(tmp_path / "a.pst").values) == ["y"]
    done = penstock("convert", "--columns", "z", tmp_path / "x.npz", tmp_path / "b.pst")
    assert (done.status, done.out) == (2, "")
    assert "no column 'z'; there are 'x', 'y'" in done.err


def arrow(path: Path, **columns: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(columns), path)


def refused_npz(path: Path) -> None:
    numpy.savez(path, x=X, y=Y[:5])


def refused_scalar(path: Path) -> None:
    numpy.save(path, numpy.float32(3))


def refused_objects(path: Path) -> None:
    numpy.save(path, numpy.array([{}, []], object), allow_pickle=True)


def refused_complex(path: Path) -> None:
    numpy.save(path, numpy.zeros(3, "c8"))


def refused_cut(path: Path) -> None:
    write_npy(path)
    path.write_bytes(path.read_bytes()[:-5])


def refused_null(path: Path) -> None:
    arrow(path, a=[1, 2, None])


def refused_inner_null(path: Path) -> None:
    arrow(path, a=[[1], [None], [2]])


def refused_decimal(path: Path) -> None:
    from decimal import Decimal

    arrow(path, a=[Decimal("1.5")])


def refused_nested(path: Path) -> None:
    arrow(path, a=[[[1]], [[2], []]])


def refused_csv(path: Path) -> None:
    pytest.importorskip("pyarrow")
    path.write_text("a,b\n1,2\n,3\n")


def refused_ragged_csv(path: Path) -> None:
    pytest.importorskip("pyarrow")
    path.write_text("a,b\n1,2\n1,2,3\n")


def refused_twins(path: Path) -> None:
    pytest.importorskip("pyarrow")
    path.write_text("a,a\n1,2\n")


@pytest.mark.parametrize(
    ("name", "write", "status", "said"),
    [
        ("x.npz", refused_npz, 1, "different numbers of rows ('x' 997, 'y' 5)"),
        ("x.npy", refused_scalar, 1, "no dimensions"),
        ("x.npy", refused_objects, 1, "x.npy: Array can't be memory-mapped: Python objects"),
        ("x.npy", refused_complex, 1, "complex64, which an array file does not have"),
        ("x.npy", refused_cut, 1, "mmap length is greater than file size"),
        ("x.parquet", refused_null, 1, "column 'a' has no value in row 2"),
        ("x.parquet", refused_inner_null, 1, "column 'a' has a null within a list"),
        ("x.parquet", refused_decimal, 1, "column 'a' is of type decimal128"),
        ("x.parquet", refused_nested, 1, "column 'a' is of type list<"),
        ("x.csv", refused_csv, 1, "column 'a' has no value in row 1"),
        ("x.csv", refused_ragged_csv, 1, "Expected 2 columns, got 3"),
        ("x.csv", refused_twins, 1, "two columns have the name 'a'"),
        ("x.h5", lambda path: path.write_text("nothing"), 1, "x.h5: Unable to"),
        ("x.parquet", lambda path: path.write_text("nothing"), 1, "x.parquet: Parquet"),
        ("x.npz", lambda path: path.write_text("nothing"), 1, "not a zip file"),
        ("x.bin", lambda path: path.write_text("nothing"), 2, "--format says it"),
        ("x.npy", lambda path: path.mkdir(), 2, "is not a file"),
        ("x.npy", lambda path: None, 2, "no such file"),
    ],
)
def test_what_cannot_be_read(penstock, tmp_path, name, write, status, said):
    write(tmp_path / name)
    done = penstock("convert", tmp_path / name, tmp_path / "a.pst")
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("penstock: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert [n for n in os.listdir(tmp_path) if n != name] == []


WITHOUT = """
import sys
sys.modules[{name!r}] = None
from penstock.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("name", "package"),
    [("x.h5", "h5py"), ("x.parquet", "pyarrow"), ("x.safetensors", "safetensors")],
)
def test_without_a_package(penstock, tmp_path, name, package):
    (tmp_path / name).write_text("")
    done = penstock(
        "convert", tmp_path / name, tmp_path / "a.pst", code=WITHOUT.format(name=package)
    )
    assert (done.status, done.out) == (2, "")
    assert f"needs {package}" in done.err
    assert "pip install 'penstock[convert]'" in done.err


def test_a_full_disk(penstock, tmp_path):
    write_npy(tmp_path / "x.npy")
    code = "import resource, sys\nfrom penstock.cli import main\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\nsys.exit(main())"
    done = penstock("convert", tmp_path / "x.npy", tmp_path / "a.pst", code=code)
    assert (done.status, done.out) == (2, "")
    assert "a.pst" in done.err
    assert os.listdir(tmp_path) == ["x.npy"]


INTERRUPTED = """
import os, signal, sys
from penstock.cli import array_sources, convert_command, main
from penstock.array_writer import ArrayWriter

array_sources.PART_BYTES = 10000
write = ArrayWriter.write

def interrupted(self, rows):
    write(self, rows)
    if self.rows > 500:
        os.kill(os.getpid(), signal.SIGINT)

ArrayWriter.write = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def test_ctrl_c_keeps_what_there_is(penstock, tmp_path):
    source, goal = tmp_path / "x.npy", tmp_path / "a.pst"
    write_npy(source)
    done = penstock("convert", source, goal, code=INTERRUPTED)
    assert (done.status, done.out) == (130, "")
    assert "rows are kept for --resume" in done.err
    assert not goal.exists()
    done = penstock("convert", "--resume", "--json", source, goal)
    assert done.status == 0
    assert json.loads(done.out)["resumed_at"] > 500
    check_data(oracle.read(goal).values)


@pytest.mark.slow
def test_memory_is_bounded(penstock, tmp_path):
    """A file of 400 MB through less than 200 MB, of which the interpreter has a good part."""
    array = numpy.lib.format.open_memmap(tmp_path / "x.npy", "w+", "f4", (100_000, 1000))
    array[::100] = 1
    del array
    # Not ru_maxrss, which begins with that of the process that started this one.
    code = "import re, sys\nfrom penstock.cli import main\nstatus = main()\n"
    code += (
        "print(re.search('VmHWM:(.*)kB', open('/proc/self/status').read())[1], file=sys.stderr)\n"
    )
    code += "sys.exit(status)"
    done = penstock("convert", tmp_path / "x.npy", tmp_path / "a.pst", code=code)
    assert done.status == 0
    assert int(done.err) < 200_000
