# SPDX-License-Identifier: Apache-2.0
"""Windows of token files, which are read where they lie."""

import operator
import os
from array import array
from collections.abc import Iterable, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    SupportsIndex,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

import torch
from penstock import _core
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

Path = str | os.PathLike[str]
TokenFormat = Literal["auto", "raw", "megatron", "datatrove", "npy"]
TokenDocuments = Literal["ignore", "within"]
Access = Literal["auto", "mmap", "pread", "direct"]
Item = TypeVar("Item")

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")
_OUT = {torch.int64: "i64", torch.int32: "i32"}
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# Numbers of the C library.
_FORMATS: dict[str, int] = {"auto": 0, "raw": 1, "megatron": 2, "datatrove": 3, "npy": 4}
_ACCESS: dict[str, int] = {"auto": 0, "mmap": 1, "pread": 2, "direct": 3}
_WAYS: tuple[Literal["mmap", "pread", "direct"], ...] = ("mmap", "pread", "direct")
_DOCUMENTS: dict[str, bool] = {"ignore": False, "within": True}


class _Options(TypedDict, total=False):
    stride: int | None
    dtype: Any
    out_dtype: torch.dtype
    documents: TokenDocuments
    pad: int | None
    weights: Sequence[float] | None
    length: int | None
    seed: int
    format: TokenFormat
    offset: int
    access: Access
    memory_budget: int | None


class Tokens(Dataset[Item], Generic[Item]):
    """Windows of the tokens in files: pairs (x, y) of tensors, where y is what follows each of x.

    paths: a file or several, whose windows come one after the other. Raw tokens; Megatron's .bin
        with its .idx beside it, or the .idx; datatrove's .ds; NumPy's .npy.
    window: tokens of x.
    stride: from one window to the next; None: window.
    dtype: of the tokens in the files, "uint16" and so on; None: what the file says. Raw files do
        not say it.
    out_dtype: torch.int64 or torch.int32. A token that does not fit raises when it is read.
    targets: False: x alone, and a sample is a tensor.
    documents: "ignore", or "within": no window goes over the end of a document.
    pad: None: what is left at the end of a document (with "ignore", of a file) and is shorter than
        a window is dropped. A token: it is a window, filled up with it, and with -100 in y.
    weights: a number for each of paths, which may then be lists of files themselves: they are mixed
        in these shares. What is through begins again in another order.
    length: samples of a mixture; None: as many as there are windows.
    seed: of those other orders.
    format: "raw", "megatron", "datatrove" or "npy" where the name does not tell. Files without a
        header that are named .npy (OLMo's) are raw.
    offset: bytes before the first token of raw files.
    access: "mmap", "pread", "direct" (around the page cache, many reads at a time), or "auto":
        mapped where the files fit memory_budget, by default half of the memory that the system has
        available; "direct" where they do not fit the page cache either and lie on a disk of this
        machine; else "pread".

    A file is not read when the dataset is opened, but for what says where its documents are.
    """

    @overload
    def __init__(
        self: "Tokens[tuple[torch.Tensor, torch.Tensor]]",
        paths: Path | Iterable[Path | Iterable[Path]],
        window: int,
        *,
        targets: Literal[True] = True,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: "Tokens[torch.Tensor]",
        paths: Path | Iterable[Path | Iterable[Path]],
        window: int,
        *,
        targets: Literal[False],
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: "Tokens[Any]",
        paths: Path | Iterable[Path | Iterable[Path]],
        window: int,
        *,
        targets: bool,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(
        self,
        paths: Path | Iterable[Path | Iterable[Path]],
        window: int,
        *,
        stride: int | None = None,
        dtype: Any = None,
        out_dtype: torch.dtype = torch.int64,
        targets: bool = True,
        documents: TokenDocuments = "ignore",
        pad: int | None = None,
        weights: Sequence[float] | None = None,
        length: int | None = None,
        seed: int = 0,
        format: TokenFormat = "auto",
        offset: int = 0,
        access: Access = "auto",
        memory_budget: int | None = None,
    ) -> None:
        for name, value, known in (
            ("documents", documents, _DOCUMENTS),
            ("format", format, _FORMATS),
            ("access", access, _ACCESS),
        ):
            if value not in known:
                raise ValueError(f"{name} should be one of {', '.join(known)}, got {value!r}")
        if out_dtype not in _OUT:
            raise ValueError(f"out_dtype should be torch.int64 or torch.int32, got {out_dtype}")
        if length is not None and (weights is None or operator.index(length) < 1):
            raise ValueError("length should be a positive number, of a mixture by weights")
        self.window = operator.index(window)
        self.stride = self.window if stride is None else operator.index(stride)
        if self.stride < 1 and stride is not None:
            raise ValueError(f"stride should be a positive number, got {stride}")
        self.out_dtype = out_dtype
        self.targets = bool(targets)
        self.documents: TokenDocuments = documents
        self.pad = None if pad is None else operator.index(pad)
        self.weights = None if weights is None else tuple(map(float, weights))
        self.paths = _groups(paths, self.weights)
        self._files = tuple(
            (os.fsencode(os.path.abspath(path)), _FORMATS[format], _dtype(dtype), offset, number)
            for number, group in enumerate(self.paths)
            for path in group
        )
        self._rest = (seed, 0 if length is None else operator.index(length))
        self._open(_ACCESS[access], 0 if memory_budget is None else memory_budget)

    def _open(self, access: int, budget: int) -> None:
        seed, length = self._rest
        self._rows = _core.tokens(
            self._files,
            window=self.window,
            stride=self.stride,
            targets=self.targets,
            dtype=_OUT[self.out_dtype],
            within=_DOCUMENTS[self.documents],
            pad=self.pad,
            access=access,
            budget=budget,
            weights=self.weights,
            seed=seed,
            length=length,
        )
        report = _core.tokens_report(self._rows)
        assert report is not None
        self._report = report
        self._why = _core.reading_why(self._rows)

    @property
    def access(self) -> Literal["mmap", "pread", "direct"]:
        """How the files are read."""
        return _WAYS[self._report[0] - 1]

    @property
    def n_tokens(self) -> int:
        """Of all files."""
        return self._report[1]

    @property
    def n_documents(self) -> int | None:
        """Of all files; None where one of them does not tell."""
        return None if self._report[2] < 0 else self._report[2]

    @property
    def n_windows(self) -> int:
        """Of all files, which is the length of the dataset unless it is a mixture."""
        return self._report[3]

    @property
    def n_padded(self) -> int:
        """Windows that are filled up."""
        return self._report[4]

    @property
    def n_dropped(self) -> int:
        """Documents (or files, where documents are ignored) that have no window."""
        return self._report[5]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: SupportsIndex) -> Item:
        number, n = operator.index(index), len(self._rows)
        if not -n <= number < n:
            raise IndexError(f"index {number} is not in a dataset of {n}")
        return self._made(array("q", (number % n,)), (self.window,))

    def gather(
        self,
        indices: "Sequence[int] | torch.Tensor | NDArray[Any]",
        out: Item | None = None,
    ) -> Item:
        """The samples at these indices as one batch, as the default collate would stack them; with
        targets a pair. Indices count from 0.

        out: what an earlier call returned, or like it (in pinned memory, say): written over."""
        numbers = torch.as_tensor(indices)
        if numbers.dtype is not torch.int64:
            if len(numbers) > 0 and numbers.dtype not in _INTEGERS:
                raise TypeError(f"indices should be integers, got {numbers.dtype}")
            numbers = numbers.to(torch.int64)
        if numbers.dim() != 1:
            raise TypeError(f"indices should be one row, got {numbers.dim()} dimensions")
        shape = (len(numbers), self.window)
        if out is not None:
            self._check_out(out, shape)
        return self._made(numbers.contiguous().numpy(), shape, out)

    def _check_out(self, out: Any, shape: tuple[int, ...]) -> None:
        tensors = out if self.targets else (out,)
        if len(tensors) != 1 + self.targets:
            raise ValueError(f"out should be {1 + self.targets} tensors, got {len(tensors)}")
        for one in tensors:
            if (one.dtype, one.shape) != (self.out_dtype, shape) or not one.is_contiguous():
                raise ValueError(
                    f"out should be contiguous, {self.out_dtype} of {list(shape)},"
                    f" got {one.dtype} of {list(one.shape)}"
                )

    def _made(self, indices: Any, shape: tuple[int, ...], out: Item | None = None) -> Item:
        made: Any = out
        if made is None:
            made = torch.empty(shape, dtype=self.out_dtype)
            if self.targets:
                made = made, torch.empty(shape, dtype=self.out_dtype)
        tensors = made if self.targets else (made,)
        self._rows.gather(indices, [tensor.numpy() for tensor in tensors])
        item: Item = made
        return item

    # A copy opens the files again: what is open belongs to one process.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        before, why = self._report, self._why
        self._open(before[0], 0)
        if self._report[0] == before[0]:
            self._why = why
        if self._report[1:] != before[1:]:
            names = ", ".join(os.fsdecode(path) for path, *_ in self._files[:3])
            raise OSError(f"token files are not what they were when they were pickled: {names}")

    def __repr__(self) -> str:
        files = sum(map(len, self.paths))
        lines = [
            f"Number of datapoints: {len(self)}",
            f"Files: {files}, {self.n_tokens} tokens, read by {self.access}",
            f"Window: {self.window}, stride {self.stride}, documents {self.documents}",
        ]
        if self.pad is not None:
            lines.append(f"Padded: {self.n_padded} windows, with {self.pad}")
        if self.weights is not None:
            lines.append(f"Weights: {', '.join(map(str, self.weights))}")
        return "Dataset Tokens\n" + "\n".join("    " + line for line in lines)


def _groups(
    paths: Path | Iterable[Path | Iterable[Path]], weights: tuple[float, ...] | None
) -> tuple[tuple[str, ...], ...]:
    """Files by group; without weights there is one."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    groups = [
        (os.path.expanduser(os.fspath(entry)),)
        if isinstance(entry, str | os.PathLike)
        else tuple(os.path.expanduser(os.fspath(path)) for path in entry)
        for entry in given
    ]
    if weights is None:
        if not all(isinstance(entry, str | os.PathLike) for entry in given):
            raise TypeError("groups of files need weights")
        return (tuple(path for group in groups for path in group),)
    if len(weights) != len(groups):
        raise ValueError(f"{len(weights)} weights for {len(groups)} paths")
    return tuple(groups)


def _dtype(dtype: Any) -> str | None:
    """The name of a dtype of integers, given by name or as one of NumPy or torch."""
    if dtype is None or (isinstance(dtype, str) and dtype in _DTYPES):
        return dtype
    if isinstance(dtype, torch.dtype):
        name, is_native = str(dtype).removeprefix("torch."), True
    else:
        import numpy

        made = numpy.dtype(dtype)
        name, is_native = made.name, made.isnative
    if name not in _DTYPES or not is_native:
        raise ValueError(f"dtype should be one of {', '.join(_DTYPES)}, got {dtype!r}")
    return name
