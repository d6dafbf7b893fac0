# SPDX-License-Identifier: Apache-2.0
"""penstock.datasets.ImageList: what Python's csv and json read from the same files, and batches."""

import csv
import io
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
from penstock import _core
from penstock.datasets import ImageList

LETTERS = [
    "a",
    "b",
    '"',
    "'",
    ",",
    ";",
    "\n",
    "\r\n",
    " ",
    "é",
    "€",
    "😀",
    "\udcff",
    "\\",
    "/",
    "{",
]


def text(state: random.Random) -> str:
    return "".join(state.choices(LETTERS, k=state.randint(1, 6))).strip("/") or "x"


def random_rows(state: random.Random) -> tuple[list[tuple[str, Any]], list[str] | None]:
    """Paths, labels; the classes where the labels are texts."""
    paths = [text(state) for _ in range(state.randint(0, 30))]
    if state.random() < 0.5:
        return [(path, state.randint(-(2**63), 2**63 - 1)) for path in paths], None
    rows = [(path, "c" + text(state)) for path in paths]
    return rows, sorted({label for _, label in rows})


def expected(rows: list[tuple[str, Any]], classes: list[str] | None, root: str) -> Any:
    number = {name: i for i, name in enumerate(classes or [])}
    return [(os.path.join(root, path), number.get(label, label)) for path, label in rows]


@pytest.mark.parametrize("seed", range(60))
def test_csv_as_python_writes_it(seed: int, tmp_path: Path) -> None:
    state = random.Random(seed)
    rows, classes = random_rows(state)
    ends = state.choice(["\n", "\r\n"])
    delimiter = state.choice([",", ";", "\t", "|"])
    columns = ["label", "more", "path"]
    state.shuffle(columns)
    table = io.StringIO()
    quoting = state.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(table, delimiter=delimiter, lineterminator=ends, quoting=quoting)
    has_header = state.random() < 0.7
    if has_header:
        writer.writerow(columns)
    for path, label in rows:
        values = {"path": path, "label": label, "more": text(state)}
        writer.writerow([values[name] for name in columns])
    data = table.getvalue().encode("utf-8", "surrogateescape")
    if state.random() < 0.3:
        data = b"\xef\xbb\xbf" + data
    if state.random() < 0.3:
        data = data.removesuffix(ends.encode())
    file = tmp_path / "list.csv"
    file.write_bytes(data)
    names: dict[str, Any] = {}
    if not has_header:
        names = {"path": columns.index("path"), "label": columns.index("label")}
    ours = ImageList(file, "root", delimiter=delimiter, **names)
    assert list(ours.samples) == expected(rows, classes, "root")
    assert ours.classes == (classes or [])
    # And Python reads back what we did.
    read = csv.reader(
        io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""), delimiter=delimiter
    )
    back = [row for row in read if row][has_header:]
    assert [row[columns.index("path")] for row in back] == [path for path, _ in rows]


@pytest.mark.parametrize("seed", range(60))
def test_jsonl_as_python_writes_it(seed: int, tmp_path: Path) -> None:
    state = random.Random(seed)
    rows, classes = random_rows(state)
    lines = []
    for path, label in rows:
        row = {
            "path": path,
            "label": label,
            "more": [1.5e-3, {"x": None, "y": [True, text(state)]}],
        }
        items = list(row.items())
        state.shuffle(items)
        line = json.dumps(dict(items), indent=None if state.random() < 0.8 else 0)
        lines.append(line.replace("\n", " "))
        if state.random() < 0.1:
            lines.append(" \t")
    ends = state.choice(["\n", "\r\n"])
    file = tmp_path / "list.jsonl"
    file.write_bytes((ends.join(lines) + ends * state.randint(0, 1)).encode())
    ours = ImageList(file)
    assert list(ours.samples) == expected(rows, classes, str(tmp_path))
    assert ours.classes == (classes or [])


@pytest.mark.fault("R12")
@pytest.mark.parametrize("seed", range(10))
def test_damaged_json_is_refused_where_python_refuses(seed: int, tmp_path: Path) -> None:
    state = random.Random(seed)
    file = tmp_path / "list.jsonl"
    good = json.dumps({"path": "é\n.jpg", "label": -12, "n": [1, 2.5e3, {"a": "b"}]})
    n_good = unnamed = 0
    for _ in range(200):
        data = bytearray(good.encode())
        for _ in range(state.randint(1, 3)):
            data[state.randrange(len(data))] = state.choice(
                b'"\\{}[]:,0123456789eE+-. tfnu\xc3\x80'
            )
        file.write_bytes(data)
        try:
            ours: Any = list(ImageList(file).samples)
        except (_core.Error, ValueError) as error:
            ours = None
            unnamed += str(file) not in str(error)
        try:
            row = json.loads(data.decode())
            is_good = (
                type(row.get("path")) is str
                and type(row.get("label")) in (int, str)
                and row["path"]
                and "\0" not in row["path"]
                and row["label"] != ""
            )
            if is_good and type(row["label"]) is str:
                row["label"] = 0
        except (ValueError, AttributeError):
            is_good = False
        # What Python takes beyond the standard (a member twice, half a pair) is refused.
        if ours is not None:
            assert is_good
            assert ours == [(os.path.join(str(tmp_path), row["path"]), row["label"])]
            n_good += 1
    assert n_good > 0
    assert unnamed == 0


BAD = [
    ("list.csv", b"", "expected a header, found the end of the file"),
    ("list.csv", b"path,other\n", "expected one column 'label' in the header, found 0"),
    ("list.csv", b"path,label,path\n", "expected one column 'path' in the header, found 2"),
    ("list.csv", b"path,label\na,1\nb\n", "line 3, byte 15: expected 2 fields, found 1"),
    ("list.csv", b'path,label\n"a"x,1\n', "line 2, byte 14: expected the end of the field"),
    ("list.csv", b'path,label\na"b,1\n', "expected text without quotation marks, found"),
    ("list.csv", b'path,label\n"a,1\n', "expected a closing quotation mark, found the end"),
    ("list.csv", b"path,label\na\0,1\n", "found a NUL"),
    ("list.csv", b"path,label\na\rb,1\n", "line 2, byte 12"),
    ("list.csv", b"path,label\n,1\n", "line 2, byte 11: the path is empty"),
    ("list.csv", b"path,label\na,\n", "the label is empty"),
    ("list.csv", b"path,label\n" + b"a" * 9000 + b",1\n", "a field has over"),
    ("list.jsonl", b'{"path": "a"}\n', "line 1, byte 13: expected a path and a label before this"),
    ("list.jsonl", b'\n{"path": "a", "label": 1.5}', "line 2, byte 24: expected an integer of 64"),
    ("list.jsonl", b'{"path": "a", "label": true}', "expected an integer of 64 bits, or a text"),
    ("list.jsonl", b'{"path": "a", "label": 9223372036854775808}', "expected an integer of 64"),
    ("list.jsonl", b'{"path": "a", "label": 1, "label": 1}', "the path and the label once each"),
    ("list.jsonl", b'{"path": "a", "label": 1}{}', "expected the end of the line"),
    ("list.jsonl", b'{"path": "\\ud800", "label": 1}', "second half of a surrogate pair"),
    ("list.jsonl", b'{"path": "\\u0000", "label": 1}', "no NUL"),
    ("list.jsonl", b'{"path": "\xff", "label": 1}', "expected UTF-8"),
    (
        "list.jsonl",
        b'{"path": "a", "label": 1}\n{"path": "a", "label": "1"}',
        "line 2, byte 26: lab",
    ),
    ("list.jsonl", b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}", "at most 64 values within values"),
]


@pytest.mark.fault("R12")
@pytest.mark.parametrize(("name", "data", "words"), BAD)
def test_messages_say_where(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((_core.Error, ValueError)) as raised:
        ImageList(tmp_path / name)
    assert words in str(raised.value)
    assert name in str(raised.value)


def test_arguments(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a.jpg,1\n")
    (tmp_path / "list").write_text("a.jpg,1\n")
    assert ImageList(tmp_path / "list.csv", path=0, label=1).samples == [
        (str(tmp_path / "a.jpg"), 1)
    ]
    with pytest.raises(ValueError, match="say which kind"):
        ImageList(tmp_path / "list")
    assert len(ImageList(tmp_path / "list", path=0, label=1, format="csv")) == 1
    for wrong in ({"path": 0}, {"path": "a", "label": 1}):
        with pytest.raises(TypeError, match="two names or two numbers"):
            ImageList(tmp_path / "list.csv", **wrong)
    with pytest.raises(ValueError, match="counted from 0"):
        ImageList(tmp_path / "list.csv", path=-1, label=0)
    with pytest.raises(ValueError, match="expected 3 fields, found 2"):
        ImageList(tmp_path / "list.csv", path=0, label=2)
    with pytest.raises(ValueError, match="one ASCII character"):
        ImageList(tmp_path / "list.csv", delimiter=",,")
    with pytest.raises(FileNotFoundError):
        ImageList(tmp_path / "absent.csv")
    with pytest.raises(TypeError, match="all int or all str, got int, str"):
        ImageList([("a", 1), ("b", "c")])
    pairs = ImageList([("a", "x"), (Path("/b"), "w")], "root")
    assert (pairs.classes, list(pairs.samples)) == (["w", "x"], [("root/a", 1), ("/b", 0)])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "pairs"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches(kind: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = kit.make_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    stock = kit.folder_of(root, kit.train_v1())
    rows = [
        (os.path.relpath(path, root), stock.classes[label]) for path, label in stock.samples[::-1]
    ]
    stock.samples = stock.samples[::-1]
    if kind == "csv":
        with open("list.csv", "w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
    if kind == "jsonl":
        lines = [json.dumps({"label": label, "path": path}) for path, label in rows]
        Path("list.jsonl").write_text("\n".join(lines))
    source: Any = rows if kind == "pairs" else f"list.{kind}"
    ours = ImageList(source, "images", transform=kit.train_v1())
    assert ours.classes == stock.classes
    assert list(ours.targets) == [label for _, label in stock.samples]
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": workers}
    found = kit.run(lambda: (kit.OURS(ours, **options), ()), native=True)
    kit.assert_same(kit.run(lambda: (kit.STOCK(stock, **options), ())), found)
    kit.assert_same(found, kit.run(lambda: (kit.STOCK(ours, **options), ())))
    again = pickle.loads(pickle.dumps(ours))
    assert list(again.samples) == list(ours.samples)
    assert again.classes == ours.classes
    monkeypatch.chdir("/")
    assert "working directory" in penstock.DataLoader(ours, batch_size=2).explain().reason


def test_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\r\n\r\n")
    ours = ImageList(tmp_path / "list.csv", transform=kit.eval_v1())
    assert len(ours) == 0
    assert len(pickle.loads(pickle.dumps(ours))) == 0
    assert "empty" in penstock.DataLoader(ours, batch_size=2).explain().reason
