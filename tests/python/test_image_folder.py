# SPDX-License-Identifier: Apache-2.0
"""penstock.datasets.ImageFolder: torchvision's samples, the same batches, and its index."""

import copy
import os
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import _core
from penstock.datasets import ImageFolder
from torchvision import datasets

PIECES = ["a", "b", "A", ".", "-", "0", " ", "\n", "\udcff", "\udc80", "é", "€", "\ufffd", "😀"]
ENDS = ["", ".jpg", ".JPG", ".jpeg", ".tIf", ".txt", ".webp", ".png.bak"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settled() -> Iterator[None]:
    """The engine's clock an hour ahead of the files': times of folders count as settled."""
    if not hasattr(_core, "_fault_arm"):
        pytest.skip("a build without -Dchecks=true")
    _core._fault_arm(1 << 7, 1, 0, 0)
    _core.folder(os.fsencode(os.path.dirname(__file__) + "/.."), allow_empty=True, extensions=None)
    _core._fault_disarm()
    yield
    _core._fault_clock_set_right()


def random_name(state: random.Random) -> str:
    name = "".join(state.choices(PIECES, k=state.randint(1, 4)))
    return "dots" if name in (".", "..") else name


SHARED = os.path.dirname(os.path.realpath(__file__))  # a folder that links lead to


def fill(folder: str, state: random.Random, depth: int) -> None:
    for _ in range(3 if depth == 0 else state.randint(0, 5)):
        path = os.path.join(folder, random_name(state))
        kind = 0 if depth == 0 else state.randint(0, 7)
        if kind < 3 and depth < 4:
            if not os.path.lexists(path):
                os.mkdir(path)
                fill(path, state, depth + 1)
            continue
        path += state.choice(ENDS)
        if os.path.lexists(path):
            continue
        if kind == 3:
            os.symlink(state.choice(["nowhere", "/etc/hostname", SHARED]), path)
        else:
            Path(path).touch()


def same(stock: Any, ours: Any) -> None:
    assert list(ours.samples) == stock.samples
    assert ours.samples == stock.samples
    assert ours.samples[-3:] == stock.samples[-3:]
    assert list(ours.imgs) == stock.imgs
    assert list(ours.targets) == stock.targets
    assert numpy.asarray(ours.targets).tolist() == stock.targets
    assert ours.classes == stock.classes
    assert ours.class_to_idx == stock.class_to_idx
    assert len(ours) == len(stock)
    assert ours.root == stock.root
    assert ours.extensions == stock.extensions


@pytest.mark.fault("R38")
@pytest.mark.parametrize("seed", range(8))
def test_random_trees(seed: int, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    state = random.Random(seed)
    fill(str(root), state, 0)
    for _ in range(4):
        same(
            datasets.ImageFolder(str(root), allow_empty=True),
            ImageFolder(root.as_posix(), allow_empty=True),
        )
        below = [str(path) for path in root.iterdir() if path.is_dir()]
        fill(state.choice(below), state, 2)


@pytest.mark.parametrize("form", ["absolute", "slash", "relative", "dot", "path", "home"])
def test_the_root_is_spelled_as_the_user_does(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.make_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    root: Any = {
        "absolute": str(tmp_path / "images"),
        "slash": str(tmp_path / "images") + "/",
        "relative": "images",
        "dot": "./images//",
        "path": Path("images"),
        "home": "~/images",
    }[form]
    stock, ours = datasets.ImageFolder(root, kit.eval_v1()), ImageFolder(root, kit.eval_v1())
    same(stock, ours)
    assert repr(ours).splitlines()[:3] == repr(stock).splitlines()[:3]
    assert torch.equal(ours[3][0], stock[3][0])
    assert ours[-1][1] == stock[-1][1]
    loader = penstock.DataLoader(ours, batch_size=4)
    assert loader.explain().lane == "native"
    monkeypatch.chdir("/")
    expected = "python" if form in ("relative", "dot", "path") else "native"
    assert loader.explain().lane == expected


def test_errors(tmp_path: Path) -> None:
    tmp_path = tmp_path / "root"
    tmp_path.mkdir()
    for make in (datasets.ImageFolder, ImageFolder):
        with pytest.raises(FileNotFoundError, match="No such file"):
            make(str(tmp_path / "absent"))
        with pytest.raises(FileNotFoundError, match="No such file"):
            make("")
        with pytest.raises(FileNotFoundError, match="Couldn't find any class folder in "):
            make(str(tmp_path))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.txt").touch()
    words = []
    for make in (datasets.ImageFolder, ImageFolder):
        with pytest.raises(FileNotFoundError) as raised:
            make(str(tmp_path))
        words.append(str(raised.value))
    assert words[0] == words[1]
    assert len(ImageFolder(tmp_path, extensions=(".txt",))) == 1
    for bad in ([], ["JPG"], [".jpg .png"], [""], ["é"]):
        with pytest.raises(ValueError, match="extension"):
            ImageFolder(tmp_path, extensions=bad)
    with pytest.raises(IndexError):
        ImageFolder(tmp_path, extensions=(".txt",)).samples[1]


def test_extensions_are_compared_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "root/c").mkdir(parents=True)
    for name in ("a.MKV", "b.m\u212av", "c.m\u0130v", "d.mkv.x", "e.mkv", "\u212a"):
        (tmp_path / "root/c" / name).touch()
    expected = datasets.DatasetFolder(str(tmp_path / "root"), str, extensions=(".mkv", "k"))
    assert ImageFolder(tmp_path / "root", extensions=(".mkv", "k")).samples == expected.samples


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v2"])
def test_batches(pipeline: str, workers: int, tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "num_workers": workers}
    if pipeline == "eval_v2":
        options["batch_size"] = 1

    def stock() -> Any:
        dataset = datasets.ImageFolder(str(root), kit.PIPELINES[pipeline]())
        return kit.STOCK(dataset, **options), ()

    def ours() -> Any:
        return kit.OURS(ImageFolder(root.as_posix(), kit.PIPELINES[pipeline]()), **options), ()

    def ours_in_stock() -> Any:
        return kit.STOCK(ImageFolder(root.as_posix(), kit.PIPELINES[pipeline]()), **options), ()

    expected = kit.run(stock, epochs=2)
    kit.assert_same(expected, kit.run(ours, epochs=2, native=True))
    kit.assert_same(expected, kit.run(ours_in_stock, epochs=2))


def test_damaged_files_are_as_in_stock(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    (root / "ant/a0.jpg").write_bytes((root / "ant/a0.jpg").read_bytes()[:200])
    (root / "bee/b2.png").unlink()

    def make(cls: Any, loader: Any) -> Any:
        dataset = cls(str(root), kit.eval_v1())
        if cls is datasets.ImageFolder:
            dataset.samples.insert(8, (str(root / "bee/b2.png"), 1))
        return lambda: (loader(dataset, batch_size=3), ())

    ours = ImageFolder(root, kit.eval_v1())
    (root / "bee/b2.png").touch()
    ours = ImageFolder(root, kit.eval_v1())
    (root / "bee/b2.png").unlink()
    expected = kit.run(make(datasets.ImageFolder, kit.STOCK), epochs=1)
    found = kit.run(lambda: (kit.OURS(ours, batch_size=3), ()), epochs=1, native=True)
    kit.assert_same(expected, found)


def test_what_is_not_native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = kit.make_folder(tmp_path / "images")

    def reason(dataset: Any) -> str:
        return penstock.DataLoader(dataset, batch_size=2).explain().reason

    assert "target_transform" in reason(ImageFolder(root, kit.eval_v1(), str))

    class Sub(ImageFolder):
        pass

    assert "not a dataset that the engine knows" in reason(Sub(root, kit.eval_v1()))
    monkeypatch.setattr(ImageFolder, "__len__", lambda self: 3)
    assert "was replaced" in reason(ImageFolder(root, kit.eval_v1()))
    monkeypatch.undo()
    monkeypatch.setattr(penstock.datasets.files, "load_image", lambda path, mode: None)
    assert "load_image was replaced" in reason(ImageFolder(root, kit.eval_v1()))


def test_pickles_and_copies(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    dataset = ImageFolder(root.as_posix(), kit.eval_v1())
    samples = list(dataset.samples)
    (root / "ant/a0.jpg").rename(root / "ant/other.jpg")  # the list stays what it was
    for other in (pickle.loads(pickle.dumps(dataset)), copy.copy(dataset), copy.deepcopy(dataset)):
        assert list(other.samples) == samples
        assert list(other.targets) == list(dataset.targets)
        assert other.classes == dataset.classes
    assert copy.deepcopy(dataset)._files is dataset._files


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_stock(method: str, tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    dataset = ImageFolder(root, kit.eval_v1())
    plain = [batch[1] for batch in kit.STOCK(dataset, batch_size=4)]
    loader = kit.STOCK(dataset, batch_size=4, num_workers=1, multiprocessing_context=method)
    assert torch.equal(torch.cat([batch[1] for batch in loader]), torch.cat(plain))


# --- the index

MASK = 2**64 - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def xxh64(data: bytes) -> int:
    def rotate(value: int, by: int) -> int:
        value &= MASK
        return (value << by | value >> (64 - by)) & MASK

    def lane(acc: int, value: int) -> int:
        return rotate(acc + value * P2, 31) * P1 & MASK

    at = 0
    if len(data) >= 32:
        lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        for at in range(0, len(data) - 31, 32):
            lanes = [
                lane(one, value)
                for one, value in zip(lanes, struct.unpack_from("<4Q", data, at), strict=True)
            ]
        at += 32
        total = sum(rotate(one, by) for one, by in zip(lanes, (1, 7, 12, 18), strict=True))
        for one in lanes:
            total = ((total ^ lane(0, one)) * P1 + P4) & MASK
    else:
        total = P5
    total = (total + len(data)) & MASK
    for place in range(at, len(data) - 7, 8):
        value = struct.unpack_from("<Q", data, place)[0]
        total = (rotate(total ^ lane(0, value), 27) * P1 + P4) & MASK
    at = len(data) - len(data) % 8
    if len(data) - at >= 4:
        value = struct.unpack_from("<I", data, at)[0]
        total = (rotate(total ^ (value * P1 & MASK), 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        total = rotate(total ^ (byte * P5 & MASK), 11) * P1 & MASK
    total = (total ^ total >> 33) * P2 & MASK
    total = (total ^ total >> 29) * P3 & MASK
    return total ^ total >> 32


def read_index(data: bytes) -> tuple[str, list[tuple[str, int]]]:
    """By docs/format-index.md alone: the root, and the samples with their labels."""
    assert data[:8] == b"PSTIDX\r\n"
    version, size, n_folders, n_samples, user = struct.unpack_from("<2I3Q", data, 8)
    assert (version, size, user) == (1, 128, os.geteuid())
    assert struct.unpack_from("<Q", data, 120)[0] == xxh64(data[:120])
    sections = []
    at = 128
    for length, digest in struct.iter_unpack("<2Q", data[40:104]):
        sections.append(data[at : at + length])
        assert xxh64(sections[-1]) == digest
        at += length
    assert at == len(data)
    key, folders, own_names, names = sections
    root = os.fsdecode(key.split(b"\0")[0])
    paths: list[str] = []
    samples = []
    label = -1
    for record, own in zip(
        struct.iter_unpack("<6Q2I2Q", folders), own_names.split(b"\0")[:-1], strict=True
    ):
        parent, n, length = record[6], record[8], record[9]
        label += bool(paths) and parent == 0
        paths.append(os.path.join(paths[parent], os.fsdecode(own)) if paths else root)
        mine, names = names[:length].split(b"\0")[:-1], names[length:]
        assert len(mine) == n
        samples += [(os.path.join(paths[-1], os.fsdecode(name)), label) for name in mine]
    assert len(samples) == n_samples
    assert len(paths) == n_folders
    return root, samples


@pytest.mark.parametrize("seed", range(3))
def test_the_format_is_what_is_written_down(seed: int, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    fill(str(tmp_path / "root"), random.Random(seed), 0)
    index = tmp_path / "index"
    ours = ImageFolder(tmp_path / "root", allow_empty=True, cache=index)
    assert read_index(index.read_bytes()) == (str(tmp_path / "root"), list(ours.samples))


@pytest.mark.fault("R22")
def test_states(settled: None, tmp_path: Path, cache: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    first = ImageFolder(root).index
    assert (first.state, first.written, first.listed) == ("new", True, first.folders)
    assert Path(first.path).parent == cache
    again = ImageFolder(root).index
    assert (again.state, again.listed) == ("kept", 0)
    (root / "bee/one.more.jpg").touch()
    changed = ImageFolder(root).index
    assert (changed.state, changed.listed) == ("changed", 1)
    Path(first.path).write_bytes(b"damage")
    rebuilt = ImageFolder(root).index
    assert rebuilt.state == "rebuilt"
    assert rebuilt.damage
    assert rebuilt.written
    assert ImageFolder(root).index.state == "kept"
    assert ImageFolder(root, cache=False).index.state == "none"
    # Other extensions are another index.
    assert ImageFolder(root, extensions=(".png",), allow_empty=True).index.state == "new"
    assert ImageFolder(root).index.state == "kept"


@pytest.mark.fault("R36")
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = kit.make_folder(tmp_path / "images")
    monkeypatch.setenv("PENSTOCK_CACHE", "/proc/nothing/here")
    ours = ImageFolder(root)
    same(datasets.ImageFolder(root), ours)
    assert not ours.index.written
    assert "/proc/nothing" in ours.index.not_written


def test_a_file_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    table = tmp_path / "table.csv"
    table.write_text("path,label\n")
    report = ImageFolder(root, cache=table).index
    assert table.read_text() == "path,label\n"
    assert not report.written
    assert "is no index" in report.not_written


@pytest.mark.fault("R11", "R36")
def test_processes_beside_each_other(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    code = (
        "import sys\nfrom penstock.datasets import ImageFolder\n"
        "print({(len(d), d.index.state) for d in (ImageFolder(sys.argv[1]) for _ in range(20))})"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, root], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        out = process.communicate()[0]
        assert process.returncode == 0
        assert "rebuilt" not in out
        assert f"({len(kit.FILES)}, " in out
