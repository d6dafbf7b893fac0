# SPDX-License-Identifier: Apache-2.0
"""Files with labels, listed by the engine: sequences of Python objects that are made on demand, so
that a million files are not a million tuples."""

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, SupportsIndex, TypeVar, overload

from penstock import _core
from torch.utils.data import Dataset

T_co = TypeVar("T_co", covariant=True)

IndexState = Literal["none", "new", "kept", "changed", "rebuilt"]
Mode = Literal["RGB", "L"]
_STATES: tuple[IndexState, ...] = ("none", "new", "kept", "changed", "rebuilt")


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How a folder was opened.

    state: "kept" if the index was right, "changed" if folders had changed and were listed again,
        "new" if there was none, "rebuilt" if it could not be used (`damage` says why), "none" if
        there is no place for one.
    folders: how many there are; listed: how many of them were listed now.
    written: the index on disk is now right; if not, `not_written` says why.
    """

    state: IndexState
    path: str
    folders: int
    listed: int
    written: bool
    damage: str
    not_written: str


class Names(Protocol):
    """What makes an engine's name of a file that of the user."""

    def __call__(self, name: bytes, /) -> str: ...


@dataclass(frozen=True, slots=True)
class BelowRoot:
    """Files below a root that the engine knows by an absolute path, the user perhaps not."""

    absolute: bytes  # the root, with its slash
    prefix: str  # the user's root, with its slash

    def __call__(self, name: bytes, /) -> str:
        if not name.startswith(self.absolute):  # a list may name files elsewhere
            return os.fsdecode(name)
        return self.prefix + os.fsdecode(name[len(self.absolute) :])


class Files:
    """The engine's dataset, and what it takes to make the user's view of it. Never changes, so
    copies share it; a pickle holds the list itself, so that workers have the same one."""

    __slots__ = ("core", "folder", "names")

    def __init__(self, core: _core.Dataset, names: Names, folder: str | None) -> None:
        self.core = core
        self.names = names
        # The working directory when it was opened, where the user's paths are relative to it.
        self.folder = folder

    def __copy__(self) -> "Files":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Files":
        return self

    def __reduce__(self) -> tuple[Callable[..., "Files"], tuple[Any, ...]]:
        if self.core.report is not None:
            return _restored, (self.core.save(), self.names, self.folder)
        names = b"\0".join(map(self.core.name, range(len(self.core))))
        return _relisted, (names, self.core.labels(), self.names, self.folder)

    def path(self, index: int) -> str:
        return self.names(self.core.name(index))

    def report(self) -> IndexReport | None:
        found = self.core.report
        if found is None:
            return None
        index, written, folders, listed, path, damage, not_written = found
        return IndexReport(
            _STATES[index], os.fsdecode(path), folders, listed, written, damage, not_written
        )


def _restored(saved: bytes, names: Names, folder: str | None) -> Files:
    return Files(_core.restore(saved), names, folder)


def _relisted(joined: bytes, labels: bytes, names: Names, folder: str | None) -> Files:
    core = _core.paths(joined.split(b"\0") if labels else [], memoryview(labels).cast("q").tolist())
    return Files(core, names, folder)


def below(root: str) -> tuple[str, BelowRoot, str | None]:
    """The absolute root for the engine, the user's names, and the working directory where the
    user's root is relative to it."""
    folder = None if os.path.isabs(root) else os.getcwd()
    absolute = root if folder is None else os.path.join(folder, root)
    names = BelowRoot(os.fsencode(os.path.join(absolute, "")), os.path.join(root, ""))
    return absolute, names, folder


class FileDataset(Dataset[tuple[Any, Any]]):
    """What the datasets of files have in common: an image of PIL and a label, transformed."""

    root: str | os.PathLike[str]
    transform: Callable[[Any], Any] | None
    target_transform: Callable[[int], Any] | None
    classes: list[str]
    class_to_idx: dict[str, int]
    _mode: Mode = "RGB"

    def _set_mode(self, mode: Mode) -> None:
        if mode not in ("RGB", "L"):
            raise ValueError(f"mode should be 'RGB' or 'L', got {mode!r}")
        self._mode = mode

    @property
    def mode(self) -> Mode:
        """What Pillow calls the images: "RGB", or "L" for grey ones."""
        return self._mode

    def _set_files(self, files: Files) -> None:
        self._files = files
        self._samples = Samples(files)
        self.classes = [os.fsdecode(name) for name in files.core.classes]
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}

    @property
    def samples(self) -> "Samples":
        """Pairs of path and label."""
        return self._samples

    @property
    def imgs(self) -> "Samples":
        return self._samples

    @property
    def targets(self) -> "Targets":
        """Labels."""
        return Targets(self._files)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self._samples[index]
        sample = load_image(path, self._mode)
        if self.transform is not None:
            sample = self.transform(sample)
        if self.target_transform is not None:
            return sample, self.target_transform(target)
        return sample, target

    def __len__(self) -> int:
        return len(self._samples)

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}", f"Root location: {self.root}"]
        if self._mode != "RGB":
            lines.append(f"Mode: {self._mode}")
        lines += [
            f"{name}: {value!r}"
            for name, value in (
                ("Transform", self.transform),
                ("Target transform", self.target_transform),
            )
            if value is not None
        ]
        return f"Dataset {type(self).__name__}\n" + "\n".join("    " + line for line in lines)


class _Lazy(Sequence[T_co]):
    """A tuple in all but its memory."""

    __slots__ = ("_files",)

    def __init__(self, files: Files) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files.core)

    def _item(self, index: int) -> T_co:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: SupportsIndex) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> list[T_co]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T_co | list[T_co]:
        if isinstance(index, slice):
            return [self._item(i) for i in range(len(self))[index]]
        number = operator.index(index)
        n = len(self)
        if not -n <= number < n:
            raise IndexError(f"index {number} is not in a dataset of {n}")
        return self._item(number % n)

    def __iter__(self) -> Iterator[T_co]:
        return map(self._item, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, _Lazy | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        more = f", ... {len(self) - 3} more" if len(self) > 3 else ""
        return f"<{type(self).__name__} [{shown}{more}]>"


class Samples(_Lazy[tuple[str, int]]):
    """Pairs of a path and a label."""

    __slots__ = ()

    def _item(self, index: int) -> tuple[str, int]:
        return self._files.path(index), self._files.core.label(index)


class Targets(_Lazy[int]):
    """Labels."""

    __slots__ = ()

    def _item(self, index: int) -> int:
        return self._files.core.label(index)

    def _all(self) -> memoryview:
        return memoryview(self._files.core.labels()).cast("q")

    def __iter__(self) -> Iterator[int]:
        return iter(self._all())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy

        if copy is False:
            raise ValueError("the labels are made on demand: an array of them is a copy")
        return numpy.array(self._all(), dtype=dtype)


def load_image(path: str, mode: Mode) -> Any:
    """An image of PIL; of RGB as torchvision's loader makes it."""
    from PIL import Image

    with open(path, "rb") as file:
        return Image.open(file).convert(mode)
