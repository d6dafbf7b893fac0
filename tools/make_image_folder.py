# SPDX-License-Identifier: Apache-2.0
"""Writes a small image folder: three classes, JPEG and PNG, of many sizes, always the same."""

import sys
from pathlib import Path

import numpy
from PIL import Image


def make_image_folder(root: Path, per_class: int = 12) -> int:
    random = numpy.random.default_rng(20)
    for name in ("one", "three", "two"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            height, width = random.integers(40, 400, 2)
            coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), numpy.uint8)
            image = Image.fromarray(coarse).resize((int(width), int(height)))
            image.save(root / name / (f"{i:03}.jpg" if i % 3 else f"{i:03}.png"))
    return 3 * per_class


if __name__ == "__main__":
    print(f"items: {make_image_folder(Path(sys.argv[1]))} images")
