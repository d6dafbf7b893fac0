# SPDX-License-Identifier: Apache-2.0
"""Files that cannot be had, beside torch's loader: what is raised, where, and what comes after."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from PIL import Image, ImageFile
from torchvision import transforms

N = 13


def fill(root: Path) -> list[Path]:
    paths = [root / "only" / f"{number:02}.jpg" for number in range(N)]
    paths[0].parent.mkdir(parents=True)
    for number, path in enumerate(paths):
        path.write_bytes(kit.jpeg(40 + number, 30 + number, number))
    return paths


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_bits(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 30):
        data[place] ^= 0x5A
    path.write_bytes(data)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_suffix(".none"))


def png_crc(path: Path) -> None:
    kit.picture("RGB", 30, 30, 1).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[-20] ^= 0xFF
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "truncated": truncate,
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:100]) and None,
    "empty": lambda path: path.write_bytes(b"") and None,
    "text": lambda path: path.write_bytes(b"this is not an image\n" * 20) and None,
    "bits flipped": flip_bits,
    "a folder": directory,
    "a link to nowhere": link_to_nowhere,
    "a PNG with a bad checksum": png_crc,
    "bytes after the end": lambda path: path.write_bytes(path.read_bytes() + b"xyz" * 9) and None,
    "only two bytes": lambda path: path.write_bytes(b"\xff\xd8") and None,
}


def lives(dataset: Any, **options: Any) -> None:
    """Two epochs, each walked through its errors to the end, with both loaders."""
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()))
    ours = kit.run(lambda: (kit.OURS(dataset, threads=2, **options), ()), native=True)
    kit.assert_same(stock, ours)


@pytest.mark.fault("R1")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damage(tmp_path: Path, damage: str, num_workers: int) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    DAMAGE[damage](paths[4])
    lives(dataset, batch_size=3, shuffle=True, num_workers=num_workers)


@pytest.mark.fault("R20")
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_several_in_one_epoch(tmp_path: Path, num_workers: int) -> None:
    """Later batches of the same worker draw as if the samples after an error had never been."""
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    for number, damage in ((1, "missing"), (2, "text"), (6, "truncated"), (12, "empty")):
        DAMAGE[damage](paths[number])
    lives(dataset, batch_size=2, num_workers=num_workers)
    lives(dataset, batch_size=3, shuffle=True, num_workers=num_workers)


@pytest.mark.fault("R20")
def test_several_with_persistent_workers(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    for number in (0, 5, 6):
        paths[number].unlink()
    lives(dataset, batch_size=2, num_workers=2, shuffle=True, persistent_workers=True)


@pytest.mark.fault("R20")
def test_all_files_are_gone(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    for path in paths:
        path.unlink()
    for num_workers in (0, 2):
        lives(dataset, batch_size=3, num_workers=num_workers)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    paths[3].chmod(0)
    lives(dataset, batch_size=3, num_workers=2)


@pytest.mark.fault("R21")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_samples_of_different_shapes(tmp_path: Path, num_workers: int) -> None:
    fill(tmp_path)
    transform = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.Resize(20), transforms.ToTensor()]
    )
    dataset = kit.folder_of(tmp_path, transform)
    lives(dataset, batch_size=3, num_workers=num_workers)
    plain = kit.folder_of(tmp_path, transforms.PILToTensor())
    lives(plain, batch_size=2, num_workers=num_workers)
    lives(plain, batch_size=1, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_steps_before_a_refused_size_have_drawn(tmp_path: Path, num_workers: int) -> None:
    paths = fill(tmp_path)
    kit.picture("RGB", 2, 150, 1).save(paths[4], "PNG")  # its short side would be less than 1
    kit.picture("RGB", 140, 1, 1).save(paths[9], "PNG")
    whole = paths[9].read_bytes()
    steps = [transforms.RandomHorizontalFlip(0.4), transforms.Resize(20, max_size=30)]
    rest = [transforms.RandomVerticalFlip(0.7), transforms.Resize((9, 9)), transforms.ToTensor()]
    dataset = kit.folder_of(tmp_path, transforms.Compose([*steps, *rest]))
    lives(dataset, batch_size=3, num_workers=num_workers, shuffle=True)
    # Stock decodes before it transforms: nothing was drawn for what cannot be decoded.
    paths[9].write_bytes(whole[:-30])
    lives(dataset, batch_size=3, num_workers=num_workers, shuffle=True)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "bad", [[3, 99], [99], [3, -99, 4], [3, "x"], [2, 1.5], [0, None], [], 5, [slice(0, 2)]]
)
def test_indices_that_make_no_sense(tmp_path: Path, bad: Any, num_workers: int) -> None:
    fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    lives(dataset, batch_sampler=[[0, 1], bad, [2], [-1, 5], [4]], num_workers=num_workers)


def test_a_missing_sample_before_a_wrong_index(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    paths[1].unlink()
    for num_workers in (0, 2):
        lives(dataset, batch_sampler=[[0], [2, 1, 99], [3], [4]], num_workers=num_workers)


def test_truncated_images_may_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    truncate(paths[4])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for num_workers in (0, 2):
        lives(dataset, batch_size=3, num_workers=num_workers)


@pytest.mark.parametrize("limit", [None, 10**9])
def test_pillows_limit_may_be_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    fill(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    lives(kit.folder_of(tmp_path, kit.eval_v1()), batch_size=5, num_workers=1)


def test_the_message_names_the_file_as_stocks_does(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    paths[0].write_bytes(b"text")
    with pytest.raises(Image.UnidentifiedImageError) as stock:
        next(iter(kit.STOCK(dataset)))
    with pytest.raises(Image.UnidentifiedImageError) as ours:
        next(iter(kit.OURS(dataset)))
    assert str(ours.value) == str(stock.value)
    assert str(paths[0]) in str(ours.value)


def test_a_worker_is_named(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    paths[1].unlink()
    iterator = iter(kit.OURS(dataset, num_workers=2))
    next(iterator)
    with pytest.raises(FileNotFoundError, match=r"Caught FileNotFoundError in DataLoader worker "):
        next(iterator)
    assert next(iterator)[1].tolist() == [0]


@pytest.mark.fault("R1", "R20")
def test_a_failed_batch_shows_nothing_stale(tmp_path: Path) -> None:
    paths = fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    truncate(paths[5])
    loader = kit.OURS(dataset, 4, num_workers=2)
    good = kit.folder_of(tmp_path, kit.eval_v1())
    for _ in range(2):
        iterator = iter(loader)
        for number in range(4):
            if number == 1:
                with pytest.raises(OSError, match="truncated"):
                    next(iterator)
                continue
            images = next(iterator)[0]
            for slot, image in enumerate(images):
                assert torch.equal(image, good[4 * number + slot][0])


class Stuck:
    """An engine that never has anything to say."""

    def __init__(self, core: Any) -> None:
        self.core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def wait(self, timeout_ms: int) -> None:
        assert 0 <= timeout_ms <= 200


@pytest.mark.fault("R8")
def test_timeout(tmp_path: Path) -> None:
    fill(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    iterator: Any = iter(kit.OURS(dataset, 2, num_workers=1, threads=2, timeout=0.2))
    next(iterator)
    core = iterator._engine.core
    iterator._engine.core = Stuck(core)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0.2 seconds"):
            next(iterator)
    iterator._engine.core = core
    assert next(iterator)[0].shape[0] == 2
