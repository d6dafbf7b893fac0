# SPDX-License-Identifier: Apache-2.0
"""Files that are cut, changed under way, of odd names, or larger than they look; beside Pillow and
torch's loader."""

import gc
import io
import os
import shutil
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from penstock import _core
from PIL import Image
from torchvision import transforms

Tried = Callable[[int], None]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """An iterator of stock's that errors keep alive in a cycle holds up the next one's workers."""
    yield
    gc.collect()


# --- R1: cut files


def image(format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    kit.picture("RGB", 120, 90, 5).save(out, format, **options)
    return out.getvalue()


CUT = {
    "baseline": lambda: image("JPEG", quality=90),
    "progressive": lambda: image("JPEG", quality=90, progressive=True),
    "restarts": lambda: image("JPEG", quality=90, restart_marker_blocks=3),
    "png": lambda: image("PNG", compress_level=9),
}


def outcome(make: Callable[..., torch.Tensor], *arguments: Any) -> Any:
    try:
        return make(*arguments)
    except Exception as error:
        return kit.error_of(error)


def next_image(iterator: Any) -> torch.Tensor:
    """Of a loader with batches of one."""
    return next(iterator)[0][0]


@pytest.mark.fault("R1")
@pytest.mark.parametrize("kind", CUT)
def test_a_cut_at_every_byte(tmp_path: Path, kind: str, tried: Tried) -> None:
    """Through the loader: stock's error, or all of the whole file's pixels."""
    whole = CUT[kind]()
    assert len(whole) > 2048
    sizes = list(range(2048)) + list(range(2048, len(whole), 97)) + [len(whole) - 1, len(whole)]
    (tmp_path / "only").mkdir()
    for size in sizes:
        (tmp_path / "only" / f"{size:06}.img").write_bytes(whole[:size])
    options = {"is_valid_file": lambda path: True}
    dataset = kit.folder_of(tmp_path, transforms.PILToTensor(), **options)
    pixels = dataset[len(sizes) - 1][0]
    iterator = iter(kit.OURS(dataset, num_workers=2, threads=2))
    assert kit.is_native(iterator)
    n_errors = 0
    for place, size in enumerate(sizes):
        ours = outcome(next_image, iterator)
        if isinstance(ours, torch.Tensor):
            assert torch.equal(ours, pixels), f"cut at {size}"
            continue
        stock = outcome(lambda at: dataset[at][0], place)
        assert not isinstance(stock, torch.Tensor), f"cut at {size}: {ours}"
        assert (ours[0], ours[-1].rsplit(": ", 1)[-1]) == (stock[0], stock[-1]), f"cut at {size}"
        n_errors += 1
    assert n_errors >= len(sizes) - 30
    tried(len(sizes))


# --- R4: files that shrink or go while an epoch runs


@pytest.mark.fault("R4")
@pytest.mark.parametrize("how", ["truncate", "unlink"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_that_go_under_way(tmp_path: Path, how: str, num_workers: int, tried: Tried) -> None:
    """Each sample is whole or an error; nothing dies."""
    n, rounds = 24, 13
    whole = {i: kit.jpeg(200, 160, i) for i in range(n)}
    paths = [tmp_path / "only" / f"{i:02}.jpg" for i in range(n)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        path.write_bytes(whole[i])
    dataset = kit.folder_of(tmp_path, transforms.PILToTensor())
    expected = [dataset[i][0] for i in range(n)]
    loader = kit.OURS(dataset, num_workers=num_workers, threads=2)

    def harm(path: Path) -> None:
        if how == "truncate":
            os.truncate(path, len(whole[0]) // 3)
        else:
            path.unlink()

    n_errors = 0
    for number in range(rounds):
        for i, path in enumerate(paths):
            path.write_bytes(whole[i])
        first = threading.Event()

        def away(first: threading.Event = first) -> None:
            first.wait(60)
            for path in reversed(paths):
                harm(path)

        thread = threading.Thread(target=away)
        thread.start()
        iterator = iter(loader)
        assert kit.is_native(iterator)
        for i in range(n):
            if i == number:
                first.set()
            found = outcome(next_image, iterator)
            if isinstance(found, torch.Tensor):
                assert torch.equal(found, expected[i])
            else:
                assert found[0] in ("OSError", "FileNotFoundError"), found
                n_errors += 1
        with pytest.raises(StopIteration):
            next(iterator)
        thread.join()
    assert n_errors > 0
    tried(rounds * n)


# --- R5: files replaced between two epochs


def same_size_and_time(path: Path) -> None:
    """What make and rsync would not notice."""
    before = path.stat()
    other = image("JPEG", quality=85)
    path.write_bytes(other[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed_over(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(kit.jpeg(50, 60, 99))
    os.replace(new, path)


def swapped(path: Path) -> None:
    other = path.with_name("01.jpg")
    shutil.move(other, path.with_suffix(".t"))
    shutil.move(path, other)
    shutil.move(path.with_suffix(".t"), path)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("02.jpg")


def hard_linked(path: Path) -> None:
    path.unlink()
    os.link(path.with_name("02.jpg"), path)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def grown(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"\0" * 999)


CHANGES: dict[str, Callable[[Path], Any]] = {
    "another image": lambda path: path.write_bytes(kit.jpeg(33, 44, 77)),
    "renamed over": renamed_over,
    "same size and time": same_size_and_time,
    "another format": lambda path: path.write_bytes(image("PNG")),
    "swapped with another": swapped,
    "a link": linked,
    "a hard link": hard_linked,
    "a link to itself": loop,
    "a folder": folder,
    "grown": grown,
    "shrunk": lambda path: os.truncate(path, 500),
    "emptied": lambda path: os.truncate(path, 0),
    "deleted": Path.unlink,
}


@pytest.mark.fault("R5")
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_changes_between_epochs(tmp_path: Path, change: str, num_workers: int) -> None:
    """The next epoch has what stock has: the new pixels, or the error."""

    def life(kind: type, root: Path) -> list[Any]:
        (root / "only").mkdir(parents=True)
        for i in range(7):
            (root / "only" / f"{i:02}.jpg").write_bytes(kit.jpeg(40 + i, 30 + i, i))
        dataset = kit.folder_of(root, kit.train_v1(12))
        kit.seed_all(3)
        loader = kind(dataset, 2, num_workers=num_workers)
        seen: list[Any] = []
        for epoch in range(3):
            if epoch == 1:
                CHANGES[change](root / "only" / "03.jpg")
            seen.append(list(kit.walk(iter(loader), 99, kit.states)))
        shutil.rmtree(root)
        return seen

    root = tmp_path / "images"  # the same names, since errors have them
    stock = life(kit.STOCK, root)
    ours = life(kit.OURS, root)
    assert ours == stock
    assert stock[0] != stock[1]


# --- R38: odd names

ODD = [
    b"plain.jpg",
    b"new\nline.jpg",
    b"\xff\xfe not utf-8 \x80.jpg",
    b"caf\xc3\xa9.jpg",
    b"cafe\xcc\x81.jpg",  # the same word to the eye
    b"A.jpg",
    b"a.JPG",
    b".hidden.jpg",
    b" space .jpg",
    b"-rf.jpg",
    b"%s%n%d.jpg",
    b"'quotes\"`$(x)`.jpg",
    b"back\\slash.jpg",
    b"tab\tbell\a\x1b[31m.jpg",
    b"\xf0\x9f\x90\x9d.jpg",
    b"\xef\xbb\xbfbom.jpg",
    b"x" * 251 + b".jpg",
]


@pytest.mark.fault("R38")
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("num_workers", [2, 0])
def test_odd_names(tmp_path: Path, num_workers: int, tried: Tried) -> None:
    root = os.fsencode(tmp_path)
    folders = [b"plain", b"\xff", b"new\nline", b"y" * 255]
    for place, folder in enumerate(folders):
        os.mkdir(os.path.join(root, folder))
        for seed, name in enumerate(ODD):
            with open(os.path.join(root, folder, name), "wb") as file:
                # Some are damaged: their error has the name.
                whole = kit.jpeg(30 + seed, 40 - place, seed)
                file.write(whole[:300] if (seed + place) % 5 == 4 else whole)
    os.symlink(b"plain.jpg", os.path.join(root, folders[0], b"to a file.jpg"))
    os.symlink(folders[0], os.path.join(root, b"to a folder"))
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    assert len(dataset) == len(folders) * len(ODD) + 1 + len(ODD) + 1
    lives = []
    for kind in (kit.STOCK, kit.OURS):
        kit.seed_all(1)
        loader = kind(dataset, 1, shuffle=True, num_workers=num_workers)
        iterator = iter(loader)
        assert kit.is_native(iterator) == (kind is kit.OURS)
        lives.append(list(kit.walk(iterator, 999, kit.states, errors=999)))
    assert lives[1] == lives[0]
    assert sum(step[0] == "error" for step in lives[0]) > 10
    tried(len(dataset))


@pytest.mark.fault("R38")
def test_a_deep_path(tmp_path: Path) -> None:
    """Of almost 4 KB, the kernel's limit."""
    folder = "d" * 200
    deep = os.path.join(*[folder] * 18)
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(18):
        os.mkdir(folder, dir_fd=fd)
        inner = os.open(folder, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    path = tmp_path / deep / "x.jpg"
    assert 3500 < len(os.fsencode(path)) < 4096
    path.write_bytes(kit.jpeg(40, 30, 1))
    dataset = kit.folder_of(tmp_path, transforms.PILToTensor())
    (ours,) = list(kit.OURS(dataset, num_workers=1))
    assert torch.equal(ours[0][0], dataset[0][0])
    path.write_bytes(b"text")
    stock, ours = (outcome(next_image, iter(kind(dataset))) for kind in (kit.STOCK, kit.OURS))
    assert ours == stock
    assert ours[0] == "UnidentifiedImageError"


# --- R14: bombs


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2) -> bytes:
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int, **options: Any) -> bytes:
    data = bytearray(image("JPEG", quality=20, **options))
    frame = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def many_scans(n: int) -> bytes:
    """A progressive JPEG with its last scan again and again."""
    data = image("JPEG", quality=20, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * n + data[-2:]


def gif(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    data = bytearray(out.getvalue())
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    data[6:10] = size
    at = data.index(b"\x2c")
    data[at + 5 : at + 9] = size
    return bytes(data)


def bmp(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "BMP")
    data = bytearray(out.getvalue())
    data[18:26] = width.to_bytes(4, "little", signed=True) + height.to_bytes(
        4, "little", signed=True
    )
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    """A header of VP8X with this canvas in front of a small image."""
    small = image("WEBP", lossless=True)[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas + small
    return b"RIFF" + len(body).to_bytes(4, "little") + body


ZEROS = zlib.compress(bytes(100_000_000), 9)  # 97 KB
SIDES = [(65000, 65000), (65500, 65500), (30000, 30000), (1, 65500), (65535, 65535), (40000, 9000)]
BOMBS: dict[str, Callable[[], bytes]] = {
    **{f"jpeg {w}x{h}": lambda w=w, h=h: jpeg_of(w, h) for w, h in SIDES},
    **{f"progressive {w}x{h}": lambda w=w, h=h: jpeg_of(w, h, progressive=True) for w, h in SIDES},
    **{f"png {w}x{h}": lambda w=w, h=h: png(w, h, chunk(b"IDAT", ZEROS)) for w, h in SIDES},
    **{f"gif {w}x{h}": lambda w=w, h=h: gif(w, h) for w, h in SIDES},
    **{f"bmp {w}x{h}": lambda w=w, h=h: bmp(w, h) for w, h in SIDES},
    **{f"bmp upside down {w}x{h}": lambda w=w, h=h: bmp(w, -h) for w, h in SIDES},
    **{f"webp {w}x{h}": lambda w=w, h=h: webp(w, h) for w, h in SIDES},
    **{f"{n} scans": lambda n=n: many_scans(n) for n in (100, 500, 5000)},
    "png 2^31-1": lambda: png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", ZEROS)),
    "png 2^32-1": lambda: png(2**32 - 1, 1, chunk(b"IDAT", ZEROS)),
    "png 16 bit": lambda: png(12000, 12000, chunk(b"IDAT", ZEROS), bits=16, colour=6),
    "png 1 bit": lambda: png(60000, 60000, chunk(b"IDAT", ZEROS), bits=1, colour=0),
    "png ratio": lambda: png(9000, 9000, chunk(b"IDAT", ZEROS[:100])),
    "png profile": lambda: png(
        8, 8, chunk(b"iCCP", b"x\0\0" + ZEROS), chunk(b"IDAT", zlib.compress(bytes(200)))
    ),
    "png text": lambda: png(
        8, 8, chunk(b"zTXt", b"x\0\0" + ZEROS), chunk(b"IDAT", zlib.compress(bytes(200)))
    ),
    "png texts": lambda: png(
        8, 8, *[chunk(b"zTXt", b"x\0\0" + ZEROS)] * 20, chunk(b"IDAT", zlib.compress(bytes(200)))
    ),
    "png chunk length": lambda: png(8, 8)[:-12] + b"\x7f\xff\xff\xffIDAT",
    "bmp 2^31-1": lambda: bmp(2**31 - 1, 2**31 - 1),
    "bmp -2^31": lambda: bmp(2**31 - 1, -(2**31)),
}


def most_memory() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.fault("R14")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    """The native decoders refuse within 50 ms and 64 MB."""
    data = BOMBS[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = most_memory()
    fastest = 9.0
    for _ in range(3):  # the machine has other things to do, too
        start = time.perf_counter()
        with pytest.raises((_core.DecodeError, _core.LimitError)):
            _core.decode(data)
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 0.05
    assert most_memory() - before < 64_000_000


@pytest.mark.fault("R14")
def test_bombs_through_the_loader(tmp_path: Path, tried: Tried) -> None:
    """Pillow, with its own limits, decides, and the loader goes on behind each."""
    cheap = [name for name in BOMBS if not name.startswith("png") or "65" in name]
    cheap = [n for n in cheap if not any(size in n for size in ("9000", "30000", "1x65", "scans"))]
    (tmp_path / "only").mkdir()
    for place, name in enumerate(cheap):
        (tmp_path / "only" / f"{place:02}a.img").write_bytes(BOMBS[name]())
        (tmp_path / "only" / f"{place:02}b.img").write_bytes(kit.jpeg(40, 30, place))
    dataset = kit.folder_of(tmp_path, kit.eval_v1(), is_valid_file=lambda path: True)
    lives = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for kind in (kit.STOCK, kit.OURS):
            kit.seed_all(1)
            iterator = iter(kind(dataset))
            lives.append(list(kit.walk(iterator, 999, kit.states, errors=999)))
    assert lives[1] == lives[0]
    assert sum(step[0] == "batch" for step in lives[0]) >= len(cheap)
    assert sum(step[0] == "error" for step in lives[0]) > len(cheap) // 2
    tried(len(cheap))
