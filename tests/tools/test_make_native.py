# SPDX-License-Identifier: Apache-2.0
"""The page on what is native: written from the tallies alone."""

import json
from pathlib import Path

import make_native as tool
import pytest

TALLY = {
    "seed": 3,
    "pillow": "13.0.0",
    "torch": "2.13.0",
    "torchvision": "0.28.0",
    "machine": "x86_64",
    "kernels": "avx2",
    "cases": 1200,
    "groups": 70,
    "by_pillow": 4,
    "on_torch": 5,
    "errors": 6,
    "differences": 0,
    "by_thing": {
        "transform v1.Pad": 1100,
        "transform v2.Lambda": 3,
        "format BMP": 7,
        "dataset MNIST": 2,
    },
}


def test_the_page_is_current():
    assert tool.PAGE.read_text(encoding="utf-8") == tool.write(tool.read(tool.TALLIES))


def test_tallies_are_added_up():
    page = tool.write([TALLY, TALLY])
    assert "| `Pad` | 2,200 |  |\n" in page
    assert "| `BMP` | 14 |\n" in page
    assert page.count("| 13.0.0 | 2.13.0, 0.28.0 | avx2 (x86_64) | 3 | 1,200 | 4 | 6 | 0 |") == 2
    assert "| `Lambda(ImageOps.exif_transpose)` |  | 6 |\n" in page
    others = page.partition("On PyTorch's own loader: ")[2].partition("\n")[0]
    assert "`RandomCrop`" in others
    assert "`Pad`" not in others
    assert "`MixUp`" in others


def test_a_tally_with_differences_is_refused(tmp_path: Path):
    with pytest.raises(SystemExit, match="no tallies"):
        tool.read(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({**TALLY, "differences": 1}))
    with pytest.raises(SystemExit, match="differences: 1"):
        tool.read(tmp_path)
