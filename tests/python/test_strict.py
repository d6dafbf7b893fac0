# SPDX-License-Identifier: Apache-2.0
"""strict=True: what Pillow passes in silence is refused, whatever part of an image is asked for."""

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy as np
import penstock
import pytest
import torch
from penstock import _core
from PIL import Image
from torchvision import transforms

N = 12
BAD = 7


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels.repeat(2, 0).repeat(2, 1))


def encode(kind: str, seed: int = 0, **options: Any) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes, flip: int = 0) -> bytes:
    crc = zlib.crc32(name + data) ^ flip
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def idat_crc(data: bytes) -> int:
    """Where the checksum of the first IDAT is."""
    at = data.index(b"IDAT")
    return int(at + 4 + struct.unpack(">I", data[at - 4 : at])[0])


# How an image is damaged that Pillow takes as it is: what the error says, and where it says it is,
# from the front or the back of the good file.
SILENT: dict[str, tuple[str, Callable[[bytes], bytes], str, int | None]] = {
    "JPEG: bytes behind its end": ("JPEG", lambda f: f + b"\0\0\0", "3 bytes behind its end", -0),
    "JPEG: no end marker": ("JPEG", lambda f: f[:-2] + b"\0\0", "ends before its data", -0),
    "JPEG: bytes before its end marker": (
        "JPEG",
        lambda f: f[:-2] + b"abc" + f[-2:],
        "extraneous bytes",
        None,
    ),
    "JPEG: a bit of its last rows": (
        "JPEG",
        lambda f: flipped(f, len(f) - 300),
        "libjpeg: Corrupt JPEG data",
        None,
    ),
    "PNG: bytes behind its end": ("PNG", lambda f: f + b"x", "1 bytes behind its end", -0),
    "PNG: no end": ("PNG", lambda f: f[:-12], "before its IEND", -12),
    "PNG: the checksum of its pixels": (
        "PNG",
        lambda f: flipped(f, idat_crc(f)),
        "IDAT has CRC",
        None,
    ),
    "PNG: a checksum behind its pixels": (
        "PNG",
        lambda f: f[:-12] + chunk(b"tEXt", b"a\0b", 1) + f[-12:],
        "tEXt has CRC",
        -12,
    ),
    "WebP: bytes behind its end": ("WEBP", lambda f: f + b"xx", "2 bytes behind its end", -0),
    "BMP: bytes behind its end": ("BMP", lambda f: f + b"xx", "2 bytes behind its end", -0),
    "BMP: shorter than it says": (
        "BMP",
        lambda f: f[:2] + struct.pack("<I", len(f) + 9) + f[6:],
        "says that it has",
        -0,
    ),
    "GIF: bytes behind its end": ("GIF", lambda f: f + b"\0", "1 bytes behind its end", -0),
    "GIF: no end": ("GIF", lambda f: f[:-1], "ends before its data", -1),
    "GIF: something between its blocks": ("GIF", lambda f: f[:-1] + b"x;", "between its", -0),
}
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif"}


def dataset_of(root: Path, kind: str, transform: Any, bad: bytes | None = None) -> Any:
    folder = root / "only"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(N):
        data = bad if number == BAD and bad is not None else encode(kind, number)
        (folder / f"{number:02}.{ENDINGS[kind]}").write_bytes(data)
    return kit.folder_of(root, transform) if kind != "GIF" else gifs_of(root, transform)


def gifs_of(root: Path, transform: Any) -> Any:
    from torchvision.datasets import DatasetFolder
    from torchvision.datasets.folder import default_loader

    return DatasetFolder(str(root), default_loader, (".gif",), transform)


def corner() -> Any:
    """A crop that comes to no damage at an image's end."""
    return transforms.Compose([transforms.CenterCrop(24), transforms.ToTensor()])


def run(loader: Any) -> list[Any]:
    kit.seed_all(5)
    return list(kit.walk(iter(loader), 1000, kit.states))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", SILENT)
def test_what_pillow_passes_in_silence(tmp_path: Path, name: str, num_workers: int) -> None:
    kind, harm, said, where = SILENT[name]
    good = encode(kind, BAD)
    bad = harm(good)
    dataset = dataset_of(tmp_path, kind, corner(), bad)
    stock = run(kit.STOCK(dataset, batch_size=3, num_workers=num_workers))
    assert [step[0] for step in stock] == ["batch"] * 4 + ["end"]
    kit.assert_same(stock, run(kit.OURS(dataset, batch_size=3, num_workers=num_workers)))

    loader = kit.OURS(dataset, batch_size=3, num_workers=num_workers, strict=True)
    iterator = iter(loader)
    for _ in range(BAD // 3):
        next(iterator)
    with pytest.raises(penstock.DecodeError, match=said) as caught:
        next(iterator)
    assert dataset.samples[BAD][0] in str(caught.value)
    assert caught.value.status in ("EFORMAT", "ETRUNCATED", "EUNCLEAN")
    assert caught.value.record == BAD
    if where is not None:
        assert caught.value.offset == (len(good) + where if said.find("says") < 0 else len(bad))
    assert len(list(iterator)) == 4 - BAD // 3 - 1


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", ENDINGS)
def test_clean_images_pass(tmp_path: Path, kind: str, num_workers: int) -> None:
    transform = transforms.Compose([transforms.RandomResizedCrop(16), transforms.ToTensor()])
    dataset = dataset_of(tmp_path, kind, transform)
    expected = run(kit.STOCK(dataset, batch_size=4, num_workers=num_workers))
    kit.assert_same(
        expected, run(kit.OURS(dataset, batch_size=4, num_workers=num_workers, strict=True))
    )


CLEAN: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {"quality": 20}),
    ("JPEG", {"quality": 100, "subsampling": 0}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"restart_marker_rows": 1}),
    ("JPEG", {"optimize": True, "comment": "x" * 300}),
    ("PNG", {"compress_level": 1}),
    ("WEBP", {"lossless": True}),
    ("GIF", {"save_all": True, "append_images": [picture(3), picture(4)], "loop": 0}),
    ("GIF", {"comment": b"y" * 700, "interlace": 1}),
]


@pytest.mark.parametrize(("kind", "options"), CLEAN)
def test_every_sort_of_clean_image(kind: str, options: dict[str, Any]) -> None:
    data = encode(kind, 1, **options)
    _core.check(data)
    with pytest.raises(_core.DecodeError, match="behind its end") as caught:
        _core.check(data + b"\0")
    assert caught.value.offset == len(data)


def test_photographs_pass(photos: Path) -> None:
    files = [path for path in photos.rglob("*") if path.is_file()]
    assert files
    for path in files:
        _core.check(path.read_bytes())


def test_a_bmp_may_not_say_how_large_it_is() -> None:
    data = encode("BMP")
    _core.check(data[:2] + bytes(4) + data[6:])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_verdict_is_on_the_whole_image(tmp_path: Path, num_workers: int) -> None:
    """Crops come to other parts of the images each time."""
    transform = transforms.Compose([transforms.RandomResizedCrop(16), transforms.ToTensor()])
    folder = tmp_path / "only"
    folder.mkdir()
    bad = set()
    numbers = random.Random(3)
    for number in range(40):
        data = encode("JPEG", number)
        if number % 2:
            data = flipped(data, numbers.randrange(700, len(data) - 2))
        try:
            _core.check(data)
        except _core.DecodeError:
            bad.add(number)
        (folder / f"{number:02}.jpg").write_bytes(data)
    assert len(bad) > 5
    dataset = kit.folder_of(tmp_path, transform)
    loader = kit.OURS(
        dataset, batch_size=8, num_workers=num_workers, shuffle=True, strict=True, on_error="skip"
    )
    for epoch in range(4):
        assert sum(len(labels) for _, labels in loader) == 40 - len(bad)
        refused = {one.index for one in loader.report().refused if one.epoch == epoch}
        assert refused == bad


def test_it_goes_with_the_policy(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "images", "PNG", corner(), encode("PNG", BAD) + b"tail")
    path = tmp_path / "refused"
    for num_workers in (0, 2):
        loader = kit.OURS(
            dataset,
            batch_size=3,
            num_workers=num_workers,
            strict=True,
            on_error="substitute",
            quarantine=path,
        )
        assert [len(labels) for _, labels in loader] == [3] * 4
        (one,) = loader.report().refused
        assert (one.index, one.error) == (BAD, "DecodeError")
        assert "behind its end" in one.message
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [BAD] * 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pillows_own_errors_stay(tmp_path: Path, num_workers: int) -> None:
    dataset = dataset_of(tmp_path, "JPEG", corner(), b"no image\n" * 30)
    plain = run(kit.OURS(dataset, batch_size=3, num_workers=num_workers))
    assert "error" in [step[0] for step in plain]
    strict = run(kit.OURS(dataset, batch_size=3, num_workers=num_workers, strict=True))
    kit.assert_same(plain, strict)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_samples_that_the_users_transform_finishes(tmp_path: Path, num_workers: int) -> None:
    """The engine's own decoder has not come to their ends."""
    transform = transforms.Compose(
        [transforms.RandomCrop(300, padding=150, padding_mode="reflect"), transforms.ToTensor()]
    )
    dataset = dataset_of(tmp_path, "JPEG", transform, encode("JPEG", BAD) + b"tail")
    # 80 rows cannot be mirrored so far by the engine, which leaves all samples to the transform.
    plain = run(kit.OURS(dataset, batch_size=1, num_workers=num_workers))
    assert [step[0] for step in plain] == ["batch"] * N + ["end"]
    steps = run(kit.OURS(dataset, batch_size=1, num_workers=num_workers, strict=True))
    kit.assert_same(plain[:BAD], steps[:BAD])
    assert [step[0] for step in steps] == ["batch"] * BAD + ["error"] + ["batch"] * 4 + ["end"]
    assert steps[BAD][1][0] == "DecodeError"


def test_other_formats_are_pillows(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, "TIFF", corner(), encode("TIFF", BAD) + b"tail")
    for num_workers in (0, 2):
        loader = kit.OURS(dataset, batch_size=3, num_workers=num_workers, strict=True)
        assert len(list(loader)) == 4


def test_what_is_refused(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, "JPEG", corner(), encode("JPEG", BAD) + b"tail")
    with pytest.raises(TypeError, match="strict"):
        kit.OURS(dataset, strict="yes")
    with pytest.raises(ValueError, match="strict"):
        iter(kit.OURS(dataset, strict=True, collate_fn=len))
    loader = kit.OURS(dataset, batch_size=3, num_workers=2, strict=True)
    assert loader.explain().settings["strict"] is True
    # Torch's loader is not strict, and what it gives is what verify() is about.
    assert penstock.verify(loader, None)
    iterator = iter(kit.OURS(dataset, batch_size=3, strict=True))
    next(iterator)
    dataset.target_transform = str
    with pytest.raises(RuntimeError, match="strict"):
        next(iterator)


def test_check_of_what_is_no_image() -> None:
    for data in (b"", b"x", b"no image"):
        with pytest.raises(_core.DecodeError) as caught:
            _core.check(data)
        assert caught.value.status == "EUNSUPPORTED"
    with pytest.raises(TypeError):
        _core.check("text")
    _core.check(memoryview(encode("PNG")))
    assert torch.equal(_core.decode(encode("PNG")).torch(), torch.from_numpy(np.array(picture())))
