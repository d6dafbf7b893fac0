# SPDX-License-Identifier: Apache-2.0
"""torchvision.datasets.ImageFolder with an index, so that a large folder opens at once."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penstock import _core
from penstock.datasets.files import FileDataset, Files, IndexReport, Mode, below

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def _check_extensions(extensions: Sequence[str] | None) -> tuple[str, ...]:
    if extensions is None:
        return IMG_EXTENSIONS
    found = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    for one in found:
        # Names are lowered before they are compared, so that another one would never match.
        if (
            not one
            or not one.isascii()
            or not one.isprintable()
            or " " in one
            or one != one.lower()
        ):
            raise ValueError(f"an extension should be lower-case ASCII like '.jpg', got {one!r}")
        if len(one) > 63:
            raise ValueError(f"an extension should have at most 63 characters, got {one!r}")
    if not found:
        raise ValueError("extensions should be None or at least one, got none")
    return found


def _check_cache(cache: bool | str | os.PathLike[str]) -> bytes | None:
    if isinstance(cache, bool):
        return b"" if cache else None
    path = os.fsencode(cache)
    if not path:
        raise ValueError("cache should be True, False or the path of a file, got an empty path")
    return os.path.abspath(path)


class ImageFolder(FileDataset):
    """A folder of images in one folder a class; the samples are those of torchvision's class.

    The list of files is kept in an index, and a folder that did not change is not listed again.
    `samples`, `imgs` and `targets` are sequences that make their items on demand; they do not
    change.

    root: the folder; "~" is the user's.
    transform, target_transform: called with the PIL image, and with the class's number.
    allow_empty: a class without a file is a class; otherwise FileNotFoundError.
    mode: "RGB", or "L": the images are grey, as Pillow's convert("L") makes them.
    extensions: which files are samples; None: torchvision's.
    cache: True: the index is in the user's cache folder ($PENSTOCK_CACHE, $XDG_CACHE_HOME/penstock
        or ~/.cache/penstock). False: none. A path: it is that file.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        allow_empty: bool = False,
        mode: Mode = "RGB",
        extensions: Sequence[str] | None = None,
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        self._set_mode(mode)
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        self.transform = transform
        self.target_transform = target_transform
        self.extensions = _check_extensions(extensions)
        self._set_files(self._open(allow_empty, _check_cache(cache)))

    def _open(self, allow_empty: bool, index: bytes | None) -> Files:
        root = os.path.expanduser(os.fspath(self.root))
        if not isinstance(root, str):
            raise TypeError(f"root should be a str or a Path, got {type(root).__name__}")
        if not root:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
        absolute, names, folder = below(root)
        core = _core.folder(
            os.fsencode(absolute),
            allow_empty=bool(allow_empty),
            extensions=" ".join(self.extensions).encode(),
            index=index,
        )
        return Files(core, names, folder)

    @property
    def index(self) -> IndexReport | None:
        """How the list of files was found."""
        return self._files.report()
