# SPDX-License-Identifier: Apache-2.0
"""ArrayWriter: what the oracle reads is what was written, and its files are appended to."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_oracle as oracle
import numpy
import penstock
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import ArrayColumn, ArrayWriter, Ragged, _core

CASES = int(os.environ.get("PENSTOCK_CASES", "120"))
MANY = settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def random_array(column: oracle.Column, n: int, random: numpy.random.Generator) -> Any:
    """Any bits there are, but for a bool."""
    size = n * column.elements[-1]
    if column.dtype == "bool":
        return random.integers(0, 2, (n, *column.shape)).astype("?")
    bits = random.integers(0, 256, size, dtype=numpy.uint8).tobytes()
    return numpy.frombuffer(bits, column.numpy).reshape(n, *column.shape)


def random_rows(columns: list[oracle.Column], n: int, random: numpy.random.Generator) -> Any:
    return {
        column.name: [random_array(column, int(random.integers(0, 5)), random) for _ in range(n)]
        if column.ragged
        else random_array(column, n, random)
        for column in columns
    }


def to_write(columns: list[oracle.Column], values: Any) -> dict[str, Any]:
    """As a caller has it: bf16 is torch's."""
    ready: dict[str, Any] = {}
    for column in columns:
        rows, lengths = values[column.name], None
        if column.ragged:
            lengths = [len(row) for row in rows]
            empty = numpy.empty((0, *column.shape), column.numpy)
            rows = numpy.concatenate([empty, *rows])
        if column.dtype == "bf16":
            rows = torch.from_numpy(rows.view("<i2").copy()).view(torch.bfloat16)
        ready[column.name] = rows if lengths is None else Ragged(rows, lengths)
    return ready


def joined(parts: list[Any], columns: list[oracle.Column]) -> Any:
    return {
        column.name: [row for part in parts for row in part[column.name]]
        if column.ragged
        else numpy.concatenate([part[column.name] for part in parts])
        for column in columns
    }


def same_bits(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check(path: Path, columns: list[oracle.Column], parts: list[Any]) -> oracle.Table:
    table = oracle.read(path)
    assert table.columns == columns
    expected = joined(parts, columns)
    for column in columns:
        assert same_bits(table.values[column.name], expected[column.name]), column
    return table


def as_columns(
    columns: list[oracle.Column], items: dict[str, int] | None = None
) -> dict[str, ArrayColumn]:
    return {
        column.name: ArrayColumn(
            column.dtype, column.shape, column.ragged, items and items.get(column.name)
        )
        for column in columns
    }


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
COLUMNS = st.lists(
    st.builds(
        oracle.Column,
        NAMES,
        st.sampled_from(sorted(oracle.NUMPY)),
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda column: column.name,
)
PARTS = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@MANY
@given(COLUMNS, PARTS, st.integers(0, 2**32 - 1), st.data())
def test_what_is_written_is_there(
    tmp_path: Path, columns: Any, counts: list[int], seed: int, data: st.DataObject
) -> None:
    path = tmp_path / "a.pst"
    random = numpy.random.default_rng(seed)
    parts = [random_rows(columns, n, random) for n in counts]
    items = {
        column.name: sum(len(row) for part in parts for row in part[column.name])
        for column in columns
        if column.ragged
    }
    is_known = data.draw(st.booleans(), "known")
    commits = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)), "commit")
    with ArrayWriter(
        path,
        as_columns(columns, items if is_known else None),
        rows=sum(counts) if is_known else None,
        note="a note" if is_known else None,
        block_bytes=data.draw(st.sampled_from([None, 1, 50]), "block"),
        buffer_bytes=data.draw(st.sampled_from([None, 1, 500]), "buffer"),
    ) as writer:
        assert list(writer.columns) == [column.name for column in columns]
        for i, part in enumerate(parts):
            writer.write(to_write(columns, part))
            if commits[i]:
                writer.commit()
                check(path, columns, parts[: i + 1])
    table = check(path, columns, parts)
    assert table.note == ("a note" if is_known else "")
    more = random_rows(columns, 9, random)
    with ArrayWriter(path, mode="append") as writer:
        assert writer.rows == sum(counts)
        writer.write(to_write(columns, more))
    check(path, columns, [*parts, more])
    assert os.listdir(tmp_path) == ["a.pst"]


@MANY
@given(COLUMNS, st.lists(st.integers(1, 20), max_size=4), st.integers(0, 2**32 - 1), st.data())
def test_the_oracles_files_are_appended_to(
    tmp_path: Path, columns: Any, counts: list[int], seed: int, data: st.DataObject
) -> None:
    path = tmp_path / "a.pst"
    random = numpy.random.default_rng(seed)
    twin = oracle.Writer(columns, data.draw(st.integers(1, 9), "block"), "ein \N{CAT}")
    parts = [random_rows(columns, n, random) for n in counts]
    for part in parts:
        twin.segment(part)
        if data.draw(st.booleans(), "commit"):
            twin.commit()
    twin.commit()
    if data.draw(st.booleans(), "torn"):
        twin.commit(copies=(data.draw(st.sampled_from([0, 4096]), "copy"),))
    twin.save(path)
    if data.draw(st.booleans(), "rest"):
        with path.open("ab") as file:
            file.write(bytes(5000))
    check(path, columns, [*parts, random_rows(columns, 0, random)])
    more = random_rows(columns, data.draw(st.integers(0, 9), "more"), random)
    with ArrayWriter(path, as_columns(columns), mode="append") as writer:
        assert writer.rows == sum(counts)
        assert writer.columns == as_columns(columns)
        writer.write(to_write(columns, more))
    table = check(path, columns, [*parts, more])
    assert table.note == "ein \N{CAT}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.pst"


def test_columns_come_from_the_first_rows(path: Path) -> None:
    with ArrayWriter(path) as writer:
        assert writer.columns == {}
        assert writer.rows == 0
        for start in (0, 4):
            writer.write(
                {
                    "x": numpy.arange(start, start + 4, dtype="f4"),
                    "y": torch.ones(4, 2, 3, dtype=torch.int16),
                    "words": [numpy.arange(n) for n in range(4)],
                    "t": [torch.ones(n, 2) for n in (3, 0, 1, 1)],
                }
            )
        assert writer.rows == 8
    table = oracle.read(path)
    assert table.values["x"].tolist() == list(range(8))
    assert table.values["y"].shape == (8, 2, 3)
    assert [len(row) for row in table.values["words"]] == [0, 1, 2, 3] * 2
    assert [row.shape for row in table.values["t"][:2]] == [(3, 2), (0, 2)]


def test_known_rows_lie_in_one_piece(path: Path) -> None:
    columns = {"x": ArrayColumn("f32", (50,)), "y": ArrayColumn("i64")}
    with ArrayWriter(path, columns, rows=1000, buffer_bytes=1) as writer:
        for start in range(0, 1000, 10):
            y = numpy.arange(start, start + 10)
            writer.write({"y": y, "x": numpy.repeat(y, 50).reshape(10, 50).astype("f4")})
            if start % 300 == 0:
                writer.checkpoint()
    table = oracle.read(path)
    assert oracle.runs(table, "x") == oracle.runs(table, "y") == 1
    assert len(table.segments) == 5
    assert table.values["y"].tolist() == list(range(1000))


def write_and_raise(path: Path, mode: Any) -> None:
    with ArrayWriter(path, mode=mode) as writer:
        writer.write({"x": numpy.zeros(3)})
        raise KeyError


def test_an_exception_leaves_what_was_there(path: Path) -> None:
    with pytest.raises(KeyError):
        write_and_raise(path, "create")
    assert os.listdir(path.parent) == []
    with ArrayWriter(path) as writer:
        writer.write({"x": numpy.zeros(3)})
    size = path.stat().st_size
    for mode in ("create", "append"):
        with pytest.raises(KeyError):
            write_and_raise(path, mode)
    assert path.stat().st_size == size
    assert oracle.read(path).n_rows == 3


def test_notes(path: Path) -> None:
    with ArrayWriter(path, {"x": ArrayColumn("f64")}, note="cats") as writer:
        assert writer.note == "cats"
    with ArrayWriter(path, mode="append") as writer:
        assert writer.note == "cats"
        writer.note = "dogs \N{DOG}"
        with pytest.raises(ValueError, match="NUL"):
            writer.note = "a\0b"
        with pytest.raises(UnicodeEncodeError):
            writer.note = "\udc80"
        with pytest.raises(ValueError, match="more than 1048576 bytes"):
            writer.note = "x" * (1 << 20) + "x"
    assert oracle.read(path).note == "dogs \N{DOG}"


def test_resuming(path: Path) -> None:
    columns = {"x": ArrayColumn("f64")}
    writer = ArrayWriter(path, columns, rows=9, keep=True)
    writer.write({"x": numpy.arange(4.0)})
    writer.checkpoint()
    writer.write({"x": numpy.arange(2.0)})
    writer.close()
    assert not path.exists()
    with ArrayWriter(path, columns, rows=9, mode="resume") as writer:
        assert writer.rows == 4
        writer.write({"x": numpy.arange(4.0, 9.0)})
    assert oracle.read(path).values["x"].tolist() == list(range(9))
    assert os.listdir(path.parent) == ["rows.pst"]


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ({"x": numpy.zeros((2, 3), "f4")}, ValueError, "columns 'x', expected 'x', 'text'"),
        ({"x": 0, "text": []}, ValueError, "a list of no rows"),
        ({"x": numpy.zeros((2, 3)), "text": 0}, ValueError, "has f64 of shape"),
        (
            {"x": numpy.zeros((2, 4), "f4"), "text": 0},
            ValueError,
            "has f32 of shape [[]4], expected",
        ),
        ({"x": numpy.zeros((3, 3), "f4"), "text": 0}, ValueError, "different numbers of rows"),
        ({"x": numpy.zeros((2, 3), "f4"), "text": numpy.zeros(2, "u1")}, ValueError, "is ragged"),
        ({"x": [numpy.zeros((2, 3), "f4")] * 2, "text": 0}, ValueError, "'x' is not ragged"),
        ({"x": numpy.float32(1), "text": 0}, ValueError, "no dimension of rows"),
        ({"x": numpy.zeros((2, 3), "c8"), "text": 0}, TypeError, "column 'x': no dtype"),
        ({"x": numpy.zeros((2, 3), ">f4"), "text": 0}, BufferError, "'x': .* byte order"),
        ({"x": "abc", "text": 0}, TypeError, "column 'x'"),
        ({"x": 0, "text": [1, 2]}, TypeError, "an array for each row"),
        ({"x": 0, "text": Ragged(numpy.zeros(2, "u1"), [1.5])}, TypeError, "integer"),
        ({"x": 0, "text": Ragged(numpy.zeros(2, "u1"), [[1]])}, TypeError, "integer"),
        ({"x": 0, "text": Ragged(numpy.zeros(2, "u1"), numpy.zeros(2))}, ValueError, "one integer"),
        ({"x": 0, "text": Ragged(numpy.zeros(2, "u1"), [1, 2])}, ValueError, "add up"),
        ({"x": 0, "text": Ragged(numpy.zeros(2, "u1"), [3, -1])}, ValueError, "add up"),
    ],
)
def test_rows_that_do_not_fit(path: Path, rows: Any, error: Any, words: str) -> None:
    defaults = {"x": numpy.zeros((2, 3), "f4"), "text": [numpy.zeros(1, "u1")] * 2}
    given = {
        name: defaults[name] if isinstance(value, int) and value == 0 else value
        for name, value in rows.items()
    }
    columns = {"x": ArrayColumn("f32", (3,)), "text": ArrayColumn("u8", ragged=True)}
    with ArrayWriter(path, columns) as writer:
        with pytest.raises(error, match=words):
            writer.write(given)
        assert writer.rows == 0
        writer.write(defaults)
    assert oracle.read(path).n_rows == 2


def test_what_is_no_file_of_ours(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"rows\.pst"):
        ArrayWriter(path, mode="append")
    numpy.save(path.with_suffix(".npy"), numpy.zeros(9000))
    with pytest.raises(penstock.DecodeError, match="no array file"):
        ArrayWriter(path.with_suffix(".npy"), mode="append")
    with ArrayWriter(path) as writer:
        writer.write({"x": numpy.zeros(3)})
    with pytest.raises(ValueError, match="column 0"):
        ArrayWriter(path, {"x": ArrayColumn("f32")}, mode="append")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(penstock.DecodeError, match="CRC of its footer") as caught:
        ArrayWriter(path, mode="append")
    assert caught.value.offset > 8192
    with pytest.raises(FileNotFoundError):
        ArrayWriter(path.parent / "nowhere" / "a.pst", {"x": ArrayColumn("f32")})
    with pytest.raises(ValueError, match="mode is 'w'"):
        ArrayWriter(path, mode="w")  # type: ignore[arg-type]


def test_one_writer_at_a_time(path: Path) -> None:
    columns = {"x": ArrayColumn("f32")}
    with (
        ArrayWriter(path, columns) as writer,
        pytest.raises(BlockingIOError, match="another writer"),
    ):
        ArrayWriter(path, columns)
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.write({"x": numpy.zeros(1, "f4")})
    with pytest.raises(ValueError, match="is closed"):
        writer.commit()
    with pytest.raises(ValueError, match="is closed"):
        _ = writer.rows


def test_threads_take_turns_or_are_told(path: Path) -> None:
    errors: list[BaseException] = []
    rows = {"x": numpy.zeros((100, 1000))}
    with ArrayWriter(path, {"x": ArrayColumn("f64", (1000,))}, buffer_bytes=1) as writer:

        def write() -> None:
            for _ in range(20):
                try:
                    writer.write(rows)
                except RuntimeError as error:
                    errors.append(error)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert writer.rows == 100 * (80 - len(errors))
    assert all("another thread" in str(error) for error in errors)


@pytest.mark.fault("R28")
def test_a_child_leaves_the_file_alone(path: Path) -> None:
    with ArrayWriter(path) as writer:
        writer.write({"x": numpy.zeros(5)})
        pid = os.fork()
        if pid == 0:
            try:
                writer.commit()
            except penstock.ForkError:
                writer.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        writer.write({"x": numpy.zeros(5)})
    assert oracle.read(path).n_rows == 10


needs_checks = pytest.mark.skipif(
    not hasattr(_core, "_fault_arm"), reason="the build has no fault table"
)


def append_five(path: Path, nth: int) -> OSError | None:
    """With every call from the nth on failing."""
    writer = ArrayWriter(path, mode="append")
    _core._fault_arm(1 << 9, nth, True, errno.ENOSPC)
    try:
        writer.write({"x": numpy.zeros(5)})
        writer.commit()
    except OSError as error:
        _core._fault_disarm()
        with pytest.raises(penstock.Error, match=r"any more, since: .*rows\.pst"):
            writer.commit()
        return error
    finally:
        _core._fault_disarm()
        writer.close()
    return None


@needs_checks
@pytest.mark.fault("R9")
def test_a_full_disk(path: Path, tried: Callable[[int], None]) -> None:
    n, rows = 0, 5
    with ArrayWriter(path) as writer:
        writer.write({"x": numpy.zeros(5)})
    while error := append_five(path, n + 1):
        n += 1
        assert error.errno == errno.ENOSPC
        assert "rows.pst" in str(error)
        before, rows = rows, oracle.read(path).n_rows
        assert rows in (before, before + 5)
    assert oracle.read(path).n_rows == rows + 5
    assert n > 3
    tried(n)
