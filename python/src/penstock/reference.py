# SPDX-License-Identifier: Apache-2.0
"""The installed Pillow decides what the engine does not vouch for, on the same bytes."""

import io
import os
import sys
from typing import Any


class _File(io.BytesIO):
    """Bytes that go by the name of the file they came from: Pillow's messages hold its repr."""

    def __init__(self, data: bytes, path: str) -> None:
        super().__init__(data)
        self._path = path

    def __repr__(self) -> str:
        return f"<_io.BufferedReader name={self._path!r}>"


def load(path: Any, data: bytes | None, *, by_path: bool = False) -> Any:
    """What torchvision's loader does with the file: an RGB image of PIL, or the exception.

    Where the engine could not read the file (no data), the file is opened as torchvision would,
    for the exception or for the better luck that it has. by_path: Pillow opens the file itself,
    which shows in its messages, and in what becomes of files that it would map.
    """
    image = sys.modules["PIL.Image"]
    if by_path:
        return image.open(path).convert("RGB")
    with open(path, "rb") if data is None else _File(data, os.fspath(path)) as file:
        return image.open(file).convert("RGB")


def pixels(image: Any) -> tuple[bytes, int, int]:
    """Rows of RGBX without gaps, width, height."""
    return image.tobytes("raw", "RGBX"), image.width, image.height
