# SPDX-License-Identifier: Apache-2.0
"""The installed Pillow decides what the engine does not vouch for, on the same bytes."""

import io
import os
import sys
from typing import Any, Literal


class _File(io.BytesIO):
    """Bytes that go by the name of the file they came from: Pillow's messages hold its repr."""

    def __init__(self, data: bytes, path: str) -> None:
        super().__init__(data)
        self._path = path

    def __repr__(self) -> str:
        return f"<_io.BufferedReader name={self._path!r}>"


def load(
    path: Any, data: bytes | None, *, by_path: bool = False, mode: Literal["RGB", "L"] = "RGB"
) -> Any:
    """What torchvision's loader does with the file: an image of PIL, or the exception.

    Where the engine could not read the file (no data), the file is opened as torchvision would,
    for the exception or for the better luck that it has. by_path: Pillow opens the file itself,
    which shows in its messages, and in what becomes of files that it would map.
    """
    image = sys.modules["PIL.Image"]
    if by_path:
        return image.open(path).convert(mode)
    with open(path, "rb") if data is None else _File(data, os.fspath(path)) as file:
        return image.open(file).convert(mode)


# What ImageOps.exif_transpose() does for an orientation: the number, and the name of the turn.
_TURNS: dict[Any, tuple[int, str]] = {
    2: (2, "FLIP_LEFT_RIGHT"),
    3: (3, "ROTATE_180"),
    4: (4, "FLIP_TOP_BOTTOM"),
    5: (5, "TRANSPOSE"),
    6: (6, "ROTATE_270"),
    7: (7, "TRANSVERSE"),
    8: (8, "ROTATE_90"),
}


def _turn(image: Any) -> tuple[int, str | None]:
    return _TURNS.get(image.getexif().get(0x0112), (1, None))


def orientation(image: Any) -> int:
    """EXIF's, 1 to 8, as ImageOps.exif_transpose() finds it."""
    return _turn(image)[0]


_ORIENTED_BY = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")


def upright(image: Any) -> Any:
    """The pixels of ImageOps.exif_transpose(image), which writes the EXIF anew: here it is gone."""
    _, name = _turn(image)
    if name is None:
        return image
    turned = image.transpose(sys.modules["PIL.Image"].Transpose[name])
    for key in _ORIENTED_BY:
        turned.info.pop(key, None)
    return turned


def exif_transpose(image: Any) -> Any:
    """As the user's transform calls it, for its exceptions."""
    return sys.modules["PIL.ImageOps"].exif_transpose(image)


def pixels(image: Any) -> tuple[bytes, int, int]:
    """Rows of RGBX without gaps, width, height."""
    if image.mode == "L":
        image = image.convert("RGB")
    return image.tobytes("raw", "RGBX"), image.width, image.height
