# SPDX-License-Identifier: Apache-2.0
"""Penstock's own datasets in the native lane: the engine has their files already."""

import os
from dataclasses import dataclass, field, replace
from typing import Any

from penstock import reference
from penstock.datasets import files, image_folder, image_list
from penstock.refusal import refuse
from penstock.registry import Files, Leaf
from penstock.targets import Target

_Methods = tuple[Any, ...]


def _methods(cls: Any) -> _Methods:
    return (cls.__getitem__, cls.samples, cls.__len__)


_CLASSES: dict[type, _Methods] = {
    cls: _methods(cls) for cls in (image_folder.ImageFolder, image_list.ImageList)
}
_LOAD = files.load_image


@dataclass(frozen=True, slots=True, eq=False)
class Own(Files):
    """A dataset whose list never changes, so that no copy of it is made, nor Python objects."""

    listed: files.Files = field(kw_only=True)
    mode: files.Mode = field(kw_only=True)

    @property
    def channels(self) -> int:
        return 1 if self.mode == "L" else 3

    def __len__(self) -> int:
        return len(self.listed.core)

    def frozen(self) -> Leaf:
        return replace(self, transform=None)

    def is_alike(self, other: Leaf) -> bool:
        # Without arguments super() does not find a class with slots that a decorator made anew.
        return (
            super(Own, self).is_alike(other)
            and self.listed is getattr(other, "listed", None)
            and self.mode == getattr(other, "mode", None)
        )

    def is_same(self, other: Leaf) -> bool:
        return self.is_alike(other)

    def holds(self, other: Leaf, indices: list[int]) -> bool:
        return max(indices) < len(self)

    def ask(self, index: Any) -> None:
        path, _ = files.Samples(self.listed)[index]
        if not isinstance(path, str):  # a slice of two samples
            files.load_image(path, self.mode)

    def load(self, index: int, data: bytes | None) -> Any:
        return reference.load(self.path(index), data, mode=self.mode)

    def path(self, index: int) -> Any:
        return self.listed.path(index)

    def paths_and_labels(self) -> tuple[list[Any], list[Any]]:
        paths = [self.listed.path(index) for index in range(len(self))]
        return paths, memoryview(self.listed.core.labels()).cast("q").tolist()


def read(dataset: Any) -> Own:
    """What one of our datasets is now. Raises Refusal."""
    cls = type(dataset)
    known = _CLASSES.get(cls)
    if known is None:
        refuse("dataset", f"{cls.__name__} is not one of penstock.datasets itself")
    if _methods(cls) != known:
        refuse("dataset", f"a method of {cls.__name__} was replaced")
    if files.load_image is not _LOAD:
        refuse("decode", f"{files.__name__}.load_image was replaced")
    if hasattr(dataset, "__getitems__"):
        refuse("dataset", "the dataset has __getitems__")
    listed: files.Files = dataset._files
    if listed.folder is not None and listed.folder != os.getcwd():
        refuse(
            "dataset",
            "its paths are relative, and the working directory is no longer " + listed.folder,
        )
    target = dataset.target_transform
    return Own(
        cls.__name__,
        (),
        dataset.transform,
        None if target is None else Target(target),
        by_path=False,
        listed=listed,
        mode=dataset.mode,
    )
