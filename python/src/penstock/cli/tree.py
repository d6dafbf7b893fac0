# SPDX-License-Identifier: Apache-2.0
"""Files below a folder, as torchvision's ImageFolder finds them, without opening any of them."""

import os
import stat
from dataclasses import dataclass, field

# The names that ImageFolder takes for images.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_SPECIAL = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def has_image_name(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS)


def kind_of(mode: int) -> str:
    return next((name for is_it, name in _SPECIAL if is_it(mode)), "no regular file")


@dataclass(slots=True)
class Tree:
    """What lies below `root`. `classes` are the folders in it, in ImageFolder's order."""

    root: str
    classes: list[str] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)  # path, class or -1
    problems: list[tuple[str, str]] = field(default_factory=list)  # path, what is wrong with it


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _entries(folder: str, tree: Tree) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        tree.problems.append((folder, f"the folder cannot be read: {_why(error)}"))
        return []


def _identity(path: str) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_dev, info.st_ino


def _sort(entry: os.DirEntry[str], tree: Tree, label: int) -> bool:
    """Notes a file; True for a folder."""
    try:
        if entry.is_dir():
            return True
        if entry.is_file():
            tree.files.append((entry.path, label))
        elif has_image_name(entry.name):
            try:
                what = f"is {kind_of(entry.stat().st_mode)}, not a file"
            except FileNotFoundError:
                what = "is a link to nothing"
            tree.problems.append((entry.path, what))
    except OSError as error:
        tree.problems.append((entry.path, _why(error)))
    return False


def _below(folder: str, tree: Tree, label: int) -> None:
    """Goes through a class. Links are followed, but not back to
    a folder that they lie in."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        path, above = waiting.pop()
        try:
            here = _identity(path)
        except OSError as error:
            tree.problems.append((path, _why(error)))
            continue
        if here in above:
            tree.problems.append((path, "is a link to a folder that it lies in"))
            continue
        inside = [e.path for e in _entries(path, tree) if _sort(e, tree, label)]
        waiting += [(name, above | {here}) for name in reversed(inside)]


def walk(root: str) -> Tree:
    tree = Tree(root)
    for entry in _entries(root, tree):
        if _sort(entry, tree, -1):
            tree.classes.append(entry.name)
    for label, name in enumerate(tree.classes):
        _below(os.path.join(root, name), tree, label)
    return tree
