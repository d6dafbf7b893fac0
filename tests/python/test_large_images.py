# SPDX-License-Identifier: Apache-2.0
"""Images beyond the native decoders' limits: Pillow decodes them, the engine does the rest."""

from pathlib import Path

import kit
import pytest
import torch
from PIL import Image
from torchvision import transforms


def write(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = Image.linear_gradient("L").resize((width, height))
    strip.save(path, compress_level=1)


@pytest.mark.fault("R14")
@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("pipeline", ["train", "eval", "long"])
def test_a_side_that_libjpeg_does_not_have(tmp_path: Path, num_workers: int, pipeline: str) -> None:
    write(tmp_path / "a" / "wide.png", 70000, 30)
    write(tmp_path / "a" / "high.png", 30, 70000)
    steps = {
        "train": [transforms.RandomResizedCrop(24), transforms.RandomHorizontalFlip()],
        "eval": [transforms.Resize((40, 40)), transforms.CenterCrop(24)],
        "long": [transforms.Resize(32), transforms.CenterCrop(24)],  # 74,666 pixels in between
    }[pipeline]
    dataset = kit.folder_of(tmp_path, transforms.Compose([*steps, transforms.ToTensor()]))
    batches = []
    for kind in (kit.STOCK, kit.OURS):
        torch.manual_seed(3)
        batches.append(list(kind(dataset, batch_size=2, num_workers=num_workers)))
    (stock,), (ours,) = batches
    assert torch.equal(stock[0], ours[0])


@pytest.mark.fault("R14")
@pytest.mark.slow
def test_more_pixels_than_pillow_likes(tmp_path: Path) -> None:
    write(tmp_path / "a" / "large.png", 9700, 9300)
    dataset = kit.folder_of(
        tmp_path, transforms.Compose([transforms.Resize((9, 9)), transforms.ToTensor()])
    )
    with pytest.warns(Image.DecompressionBombWarning):
        (stock,) = list(kit.STOCK(dataset))
    with pytest.warns(Image.DecompressionBombWarning):
        (ours,) = list(kit.OURS(dataset))
    assert torch.equal(stock[0], ours[0])
