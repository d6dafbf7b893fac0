# SPDX-License-Identifier: Apache-2.0
"""Penstock's own datasets in the native lane: the engine has their files already."""

import os
from typing import Any

from penstock.datasets import files, image_folder, image_list

_Methods = tuple[Any, ...]


def _methods(cls: Any) -> _Methods:
    return (cls.__getitem__, cls.samples, cls.__len__)


_CLASSES: dict[type, _Methods] = {
    cls: _methods(cls) for cls in (image_folder.ImageFolder, image_list.ImageList)
}
_LOAD = files.load_rgb


def is_own(dataset: Any) -> bool:
    return type(dataset) in _CLASSES


def refusal(dataset: Any) -> str | None:
    """Why one of our datasets is not for the native lane now."""
    cls = type(dataset)
    if _methods(cls) != _CLASSES[cls]:
        return f"a method of {cls.__name__} was replaced"
    if files.load_rgb is not _LOAD:
        return f"{files.__name__}.load_rgb was replaced"
    if hasattr(dataset, "__getitems__"):
        return "the dataset has __getitems__"
    if dataset.target_transform is not None:
        return "it has a target_transform"
    if len(dataset.samples) == 0:
        return "it is empty"
    folder = files_of(dataset).folder
    if folder is not None and folder != os.getcwd():
        return f"its paths are relative, and the working directory is no longer {folder}"
    return None


def files_of(dataset: Any) -> files.Files:
    found: files.Files = dataset._files
    return found
