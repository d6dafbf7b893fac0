# SPDX-License-Identifier: Apache-2.0
"""penstock inspect, on folders with all that a file system can hold."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_kit import picture
from penstock import _core
from penstock.cli.examine import examine
from PIL import Image

TREE_KEYS = {
    *("root", "deep", "files", "images", "bytes", "classes", "formats", "modes", "width"),
    *("height", "pixels", "short_side", "lanes", "native_share", "reasons", "broken"),
    *("misnamed", "ignored", "duplicates", "threads", "seconds"),
}
FILE_KEYS = {
    *("path", "bytes", "format", "mode", "width", "height", "lane", "reason", "error"),
    "orientation",
}


def tree_of(penstock, *arguments, status=0):
    done = penstock("inspect", "--json", *arguments)
    assert (done.status, done.err) == (status, "")
    data = done.json
    assert {"schema", "penstock", "command", "trees", "files"} == data.keys()
    assert (data["schema"], data["command"], data["files"]) == (1, "inspect", [])
    (tree,) = data["trees"]
    assert tree.keys() == TREE_KEYS
    return tree


@pytest.mark.parametrize("deep", [False, True])
def test_folder(penstock, folder, deep):
    tree = tree_of(penstock, folder, *(["--deep"] if deep else []))
    assert (tree["files"], tree["images"], tree["deep"]) == (9, 8, deep)
    assert tree["classes"] == {"ant": 3, "bee": 4}
    assert tree["formats"] == {"jpeg": 6, "png": 1, "dds": 1}
    assert tree["modes"] == {"RGB": 7, "P": 1}
    assert tree["width"] == {"min": 20, "median": 60, "max": 80}
    assert tree["lanes"] == {"native": 7, "pillow": 1, "unknown": 0, "broken": 0}
    (reason,) = tree["reasons"]
    assert reason["reason"] == "dds has no native decoder"
    assert tree["ignored"] == [str(folder / "bee" / "g.dds")]
    assert sum(entry["images"] for entry in tree["short_side"]) == 8
    assert tree["bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert (tree["broken"], tree["duplicates"], tree["misnamed"]) == ([], [], [])


def test_text(penstock, folder):
    done = penstock("inspect", folder)
    assert (done.status, done.err) == (0, "")
    for words in ("8 in 2 classes", "ant", "jpeg  6  75.0 %", "dds has no native decoder"):
        assert words in done.out


def test_several_paths(penstock, folder):
    done = penstock("inspect", "--json", folder, folder / "ant", folder / "ant" / "0.jpg")
    data = done.json
    assert [tree["root"] for tree in data["trees"]] == [str(folder), str(folder / "ant")]
    assert [file["path"] for file in data["files"]] == [str(folder / "ant" / "0.jpg")]
    assert penstock("inspect", folder, folder / "ant" / "0.jpg").status == 0


def test_broken_files(penstock, folder):
    data = (folder / "ant" / "0.jpg").read_bytes()
    (folder / "ant" / "cut.jpg").write_bytes(data[:-40])
    (folder / "ant" / "empty.jpg").write_bytes(b"")
    (folder / "ant" / "text.png").write_text("<html>not found</html>")
    tree = tree_of(penstock, folder, status=1)
    names = [os.path.basename(entry["path"]) for entry in tree["broken"]]
    assert names == ["empty.jpg", "text.png"]  # by the headers the other is sound
    deep = tree_of(penstock, "--deep", folder, status=1)
    broken = {os.path.basename(entry["path"]): entry["reason"] for entry in deep["broken"]}
    assert broken.keys() == {"cut.jpg", "empty.jpg", "text.png"}
    assert "truncated" in broken["cut.jpg"]
    assert "cut.jpg" in penstock("inspect", "--deep", folder).out


def test_what_is_no_file(penstock, folder):
    """Nothing of it is opened: a FIFO without a writer would wait for ever."""
    os.mkfifo(folder / "ant" / "fifo.jpg")
    os.symlink("nowhere", folder / "ant" / "link.jpg")
    os.symlink("/proc/self/mem", folder / "ant" / "unreadable.jpg")  # for root, too
    os.symlink("..", folder / "ant" / "loop")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    try:
        os.chdir(folder)  # the path of a socket is short
        server.bind("bee/socket.jpg")
    finally:
        os.chdir(here)
        server.close()
    tree = tree_of(penstock, folder, status=1)
    broken = {entry["path"][len(str(folder)) + 1 :]: entry["reason"] for entry in tree["broken"]}
    assert broken.pop("ant/unreadable.jpg") == "Input/output error"
    assert broken == {
        "ant/loop": "is a link to a folder that it lies in",
        "ant/fifo.jpg": "is a FIFO, not a file",
        "ant/link.jpg": "is a link to nothing",
        "bee/socket.jpg": "is a socket, not a file",
    }


def test_a_fifo_alone(penstock, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    done = penstock("inspect", "--json", tmp_path / "fifo")
    assert done.status == 1
    assert done.json["files"][0]["error"].startswith("is a FIFO")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission(penstock, folder):
    (folder / "ant" / "0.jpg").chmod(0)
    (folder / "bee").chmod(0)
    try:
        tree = tree_of(penstock, folder, status=1)
    finally:
        (folder / "bee").chmod(0o700)
    reasons = {entry["path"]: entry["reason"] for entry in tree["broken"]}
    assert reasons[str(folder / "ant" / "0.jpg")] == "Permission denied"
    assert "cannot be read" in reasons[str(folder / "bee")]


def test_names_that_are_no_text(penstock, folder):
    source = (folder / "ant" / "0.jpg").read_bytes()
    names = [b"\xff\xfe.jpg", b"esc\x1b[31m.jpg", b"line\nbreak.jpg"]
    for name in names:
        path = os.path.join(os.fsencode(folder / "ant"), name)
        Path(os.fsdecode(path)).write_bytes(source)
    tree = tree_of(penstock, folder)
    (group,) = tree["duplicates"]
    assert {os.path.basename(os.fsencode(path)) for path in group["paths"]} == {b"0.jpg", *names}
    done = penstock("inspect", folder, env={"LC_ALL": "C.UTF-8"})
    assert r"\xff\xfe.jpg" in done.out
    assert r"esc\x1b[31m.jpg" in done.out
    assert r"line\nbreak.jpg" in done.out
    assert "\x1b" not in done.out
    path = os.path.join(os.fsencode(folder / "ant"), names[0])
    alone = penstock("inspect", os.fsdecode(path))
    assert alone.status == 0
    assert r"\xff\xfe.jpg" in alone.out


def test_empty_folder(penstock, tmp_path):
    done = penstock("inspect", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "no images in 0 files" in done.out
    tree = tree_of(penstock, tmp_path)
    assert (tree["files"], tree["width"], tree["native_share"]) == (0, None, None)


def test_duplicates(penstock, folder):
    data = (folder / "ant" / "1.jpg").read_bytes()
    (folder / "bee" / "again.jpg").write_bytes(data)
    changed = bytearray(data)
    changed[-3] ^= 1
    (folder / "bee" / "other.jpg").write_bytes(changed)  # of the same size
    tree = tree_of(penstock, folder)
    paths = [str(folder / "ant" / "1.jpg"), str(folder / "bee" / "again.jpg")]
    assert tree["duplicates"] == [{"bytes": len(data), "paths": paths}]
    assert tree_of(penstock, "--no-duplicates", folder)["duplicates"] is None


def test_names_that_lie(penstock, folder):
    picture(30, 30).save(folder / "ant" / "really.jpg", "PNG")
    (entry,) = tree_of(penstock, folder)["misnamed"]
    assert entry == {"path": str(folder / "ant" / "really.jpg"), "format": "png"}


def test_one_file(penstock, tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(50, 40).save(path, exif=exif)
    done = penstock("inspect", "--json", path)
    (found,) = done.json["files"]
    assert found.keys() == FILE_KEYS
    assert (found["width"], found["height"], found["mode"]) == (50, 40, "RGB")
    assert found["orientation"] == 6
    text = penstock("inspect", path).out
    assert "50 x 40" in text
    assert "6, turned by 90 degrees" in text


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        *[(mode, "i.png", {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[(mode, "i.jpg", {}) for mode in ("L", "RGB", "CMYK")],
        ("RGB", "i.jpg", {"progressive": True}),
        ("P", "i.png", {"bits": 2}),
    ],
)
def test_modes_are_pillows(tmp_path, mode, name, options):
    path = tmp_path / name
    image = picture(30, 20)
    image = Image.new("I;16", (30, 20), 7) if mode == "I;16" else image.convert(mode)
    image.save(path, **options)
    found = examine(str(path), deep=True)
    with Image.open(path) as opened:
        assert (found.mode, found.width, found.height) == (opened.mode, *opened.size)


def lane_of(path: Path, deep: bool) -> str:
    """By the functions themselves, from the whole file."""
    data = path.read_bytes()
    try:
        (_core.decode if deep else _core.probe)(data)
    except (_core.Error, ValueError):
        pass
    else:
        return "native"
    try:
        with Image.open(path) as opened:
            if deep:
                opened.convert("RGB")
    except Exception:
        return "broken"
    return "pillow"


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.filterwarnings("ignore::Warning")
def test_rare_files(zoo, deep):
    """The head of a file is enough for what the whole would say."""
    n = 0
    for path in sorted(zoo.iterdir()):
        found = examine(str(path), deep)
        if found.lane == "other":
            continue
        assert (path.name, found.lane) == (path.name, lane_of(path, deep))
        if found.lane == "native":
            with Image.open(path) as opened:
                assert (path.name, found.mode) == (path.name, opened.mode)
        n += 1
    assert n > 200


# --- long work


@pytest.fixture
def long_folder(tmp_path) -> Path:
    """Minutes of decoding, for the price of one file: its links."""
    root = tmp_path / "long" / "class"
    root.mkdir(parents=True)
    picture(3000, 2000).save(root / "0.jpg", quality=95)
    for i in range(1, 3000):
        os.link(root / "0.jpg", root / f"{i}.jpg")
    return root.parent


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c(long_folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "inspect", "--deep", str(long_folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        wait_for(lambda: len(os.listdir(f"/proc/{process.pid}/task")) > 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"penstock: interrupted\n")


@pytest.mark.parametrize("bars", [True, False])
def test_progress_on_a_terminal(long_folder, bars):
    """On stderr alone, with a rate and the time left; with tqdm and without."""
    if bars:
        pytest.importorskip("tqdm")
    block = "" if bars else "sys.modules['tqdm'] = None; "
    code = f"import sys; {block}from penstock.cli import main; sys.exit(main())"
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "inspect", "--json", "--deep", str(long_folder)],
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    with process:
        while b"%" not in seen or (b"left" not in seen and b"files/s" not in seen):
            seen += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        try:
            while more := os.read(master, 4096):
                seen += more
        except OSError:
            pass  # nobody has the terminal open any more
    os.close(master)
    assert b"inspect" in seen
    assert b"penstock: interrupted" in seen
    assert (process.returncode, out) == (130, b"")
