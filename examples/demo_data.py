# SPDX-License-Identifier: Apache-2.0
"""Image folders of real pictures that need no download, cut from what two packages ship.

digits(root): the 1,797 handwritten digits of scikit-learn as 8x8 PNG files, ten class folders each
under train/ and test/. tiles(root): JPEG tiles of about 500x375 cut at random places and scales
from the photographs of scikit-learn and scikit-image, a class folder per photograph.
"""

import os
import random
import shutil
from pathlib import Path

from PIL import Image

PHOTOS = {
    "sklearn": ["china.jpg", "flower.jpg"],
    "skimage": [
        "astronaut.png",
        "coffee.png",
        "chelsea.png",
        "rocket.jpg",
        "hubble_deep_field.jpg",
        "retina.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
    ],
}


def _publish(make, root: Path) -> Path:
    """Makes a folder beside its name and renames it there, so that a broken run leaves no half."""
    if not root.exists():
        part = root.with_name(root.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        make(part)
        os.replace(part, root)
    return root


def _write_digits(root: Path, held_out: int) -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    order = list(range(len(data.target)))
    random.Random(0).shuffle(order)
    for place, i in enumerate(order):
        part = "test" if place < held_out else "train"
        folder = root / part / str(data.target[i])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (data.images[i] * (255 / 16)).round().astype("uint8")
        Image.fromarray(pixels).save(folder / f"{i:04}.png")


def digits(root: Path, held_out: int = 297) -> Path:
    return _publish(lambda part: _write_digits(part, held_out), root)


def photographs() -> list[Path]:
    import skimage
    import sklearn

    folders = {
        "sklearn": Path(sklearn.__file__).parent / "datasets" / "images",
        "skimage": Path(skimage.__file__).parent / "data",
    }
    return [folders[package] / name for package, names in PHOTOS.items() for name in names]


def _write_tiles(root: Path, count: int) -> None:
    draw = random.Random(1)
    pictures = [(path.stem, Image.open(path).convert("RGB")) for path in photographs()]
    for i in range(count):
        name, picture = pictures[i % len(pictures)]
        width, height = draw.choice([(500, 375), (500, 333), (375, 500), (500, 400)])
        most = min(picture.width / width, picture.height / height)
        scale = most * draw.uniform(0.45, 1.0)
        w, h = int(width * scale), int(height * scale)
        x, y = draw.randint(0, picture.width - w), draw.randint(0, picture.height - h)
        tile = picture.crop((x, y, x + w, y + h)).resize((width, height), Image.Resampling.LANCZOS)
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        tile.save(folder / f"{i:05}.jpg", quality=95, subsampling=draw.choice([0, 0, 0, 2]))


def tiles(root: Path, count: int = 550) -> Path:
    return _publish(lambda part: _write_tiles(part, count), root)
