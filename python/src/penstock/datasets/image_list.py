# SPDX-License-Identifier: Apache-2.0
"""Images that a file lists, or the user's own pairs of path and label."""

import operator
import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

from penstock import _core
from penstock.datasets.files import BelowRoot, FileDataset, Files, Mode, below

Source = str | os.PathLike[str] | Iterable[tuple[str | os.PathLike[str], int | str]]
_KINDS = {None: 0, "csv": 1, "jsonl": 2}


def _columns(path: str | int, label: str | int) -> tuple[bytes, bytes] | tuple[int, int]:
    if isinstance(path, str) and isinstance(label, str):
        return path.encode("utf-8", "surrogateescape"), label.encode("utf-8", "surrogateescape")
    if isinstance(path, str) or isinstance(label, str):
        raise TypeError(
            f"path and label should be two names or two numbers of columns, got {path!r}, {label!r}"
        )
    return operator.index(path), operator.index(label)


def _delimiter(delimiter: str | None) -> int:
    if delimiter is None:
        return 0
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise ValueError(f"delimiter should be one ASCII character, got {delimiter!r}")
    return ord(delimiter)


def _labels(labels: list[Any]) -> tuple[list[int], list[str] | None]:
    """Numbers as they are, or the numbers of sorted names."""
    kinds = set(map(type, labels))
    if kinds <= {int}:
        return labels, None
    if kinds != {str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"labels should be all int or all str, got {names}")
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    return [number[label] for label in labels], classes


class ImageList(FileDataset):
    """Images by a list of paths and labels.

    source: a CSV file with a header (.csv, .tsv), a file with a JSON object a line (.jsonl,
        .ndjson), or pairs of path and label.
    root: what relative paths are relative to; None: the folder of the file, or for pairs the
        working directory.
    path, label: names of the columns, or with two numbers, counted from 0, the columns of a CSV
        file without a header.
    transform, target_transform: called with the PIL image, and with the label.
    mode: "RGB", or "L": the images are grey, as Pillow's convert("L") makes them.
    format: "csv" or "jsonl", where the file's name does not say it.
    delimiter: of CSV; None: a comma, in a .tsv file a tab.

    Labels are integers, or texts: then these are the classes, sorted, and a label is the number of
    its class. In CSV they are integers if all of them are.
    """

    root: str

    def __init__(
        self,
        source: Source,
        root: str | os.PathLike[str] | None = None,
        path: str | int = "path",
        label: str | int = "label",
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        mode: Mode = "RGB",
        format: Literal["csv", "jsonl"] | None = None,
        delimiter: str | None = None,
    ) -> None:
        self._set_mode(mode)
        self.transform = transform
        self.target_transform = target_transform
        if format not in _KINDS:
            raise ValueError(f"format should be 'csv', 'jsonl' or None, got {format!r}")
        if isinstance(source, str | os.PathLike):
            file = os.path.expanduser(os.fspath(source))
            self.root = os.path.dirname(file) if root is None else _root(root)
            absolute, names, folder = _below(self.root)
            core = _core.list(
                os.fsencode(file),
                os.fsencode(absolute),
                _columns(path, label),
                _KINDS[format],
                _delimiter(delimiter),
            )
            self._set_files(Files(core, names, folder))
        else:
            self.root = "" if root is None else _root(root)
            self._set_pairs(list(source), *_below(self.root))

    def _set_pairs(
        self, pairs: list[Any], absolute: str, names: BelowRoot, folder: str | None
    ) -> None:
        labels, classes = _labels([label for _, label in pairs])
        if not all(os.fspath(path) for path, _ in pairs):
            raise ValueError("a path should not be empty")
        paths = [os.fsencode(os.path.join(absolute, path)) for path, _ in pairs]
        self._set_files(Files(_core.paths(paths, labels), names, folder))
        if classes is not None:
            self.classes = classes
            self.class_to_idx = {name: number for number, name in enumerate(classes)}


def _below(root: str) -> tuple[str, BelowRoot, str | None]:
    """As below(); with no root paths stay as they are."""
    absolute, names, folder = below(root or os.curdir)
    return absolute, names if root else BelowRoot(names.absolute, ""), folder


def _root(root: str | os.PathLike[str]) -> str:
    return os.path.expanduser(os.fspath(root))
