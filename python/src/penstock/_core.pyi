# SPDX-License-Identifier: Apache-2.0
"""The C engine, one to one. Nothing here has features of its own; see include/penstock/."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any, Final, Never, SupportsIndex, TypeAlias, final, overload

from numpy.typing import DTypeLike, NDArray
from torch import Tensor as TorchTensor
from typing_extensions import Buffer, CapsuleType

__version__: Final[str]

class Error(Exception):
    """Base of the engine's own errors. `status` is the name of the status, such as "EFORMAT"."""

    status: str
    record: int
    offset: int

class DecodeError(Error, ValueError): ...
class LimitError(Error, ValueError): ...
class ForkError(Error, RuntimeError): ...

# n_classes; whether a part is drawn; (kind, alpha, p) of each: enum pst_mix_kind
_Mix: TypeAlias = tuple[int, bool, tuple[tuple[int, float, float], ...]]

_Index: TypeAlias = SupportsIndex | slice | EllipsisType | None

@final
class Tensor:
    """An array that shares memory with whoever made it: the engine, or an object given to tensor().
    Views, copies, casts, and the ways out: the buffer protocol, DLPack, numpy(), torch(). It has no
    arithmetic, and == compares identity."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next, by dimension."""

    @property
    def dtype(self) -> str:
        """ "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64" or
        "bool".
        """

    @property
    def ndim(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def T(self) -> Tensor:
        """A view with the dimensions in reverse order."""

    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __contains__(self, item: Never, /) -> bool: ...
    def __getitem__(self, index: _Index | tuple[_Index, ...], /) -> Tensor:
        """A view; an integer takes its dimension away, even the last."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> CapsuleType: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    @overload
    def view(self, shape: Sequence[int], /) -> Tensor: ...
    @overload
    def view(self, *shape: int) -> Tensor:
        """The same memory in another shape, one size of which may be -1. ValueError where that
        needs a copy."""

    @overload
    def reshape(self, shape: Sequence[int], /) -> Tensor: ...
    @overload
    def reshape(self, *shape: int) -> Tensor:
        """view(), of a contiguous copy where it must be."""

    @overload
    def permute(self, dims: Sequence[int], /) -> Tensor: ...
    @overload
    def permute(self, *dims: int) -> Tensor: ...
    def transpose(self, dim0: int, dim1: int, /) -> Tensor: ...
    @overload
    def expand(self, shape: Sequence[int], /) -> Tensor: ...
    @overload
    def expand(self, *shape: int) -> Tensor:
        """A view that repeats dimensions of size 1; -1 keeps a size."""

    def is_contiguous(self) -> bool: ...
    def contiguous(self) -> Tensor:
        """The tensor, or a copy of it that is C-contiguous."""

    def clone(self) -> Tensor:
        """A C-contiguous copy that may be written."""

    def to(self, dtype: str, /) -> Tensor:
        """The tensor, or a copy of it in another dtype by torch's rules."""

    def equal(self, other: Tensor, /) -> bool:
        """Whether dtype, shape and every byte are the same."""

    def data_ptr(self) -> int: ...
    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a tensor of 0 dimensions."""

    def item(self) -> int | float | bool: ...
    def numpy(self) -> NDArray[Any]:
        """A NumPy array on the same memory. TypeError for bf16, which NumPy does not have."""

    def torch(self) -> TorchTensor:
        """A torch tensor on the same memory. BufferError for what torch does not have: memory that
        is read-only, strides below zero."""

def tensor(obj: Any, /, *, dtype: str | None = None, copy: bool = False) -> Tensor:
    """A Tensor on the memory of obj, which has a buffer or DLPack; a copy where dtype or copy asks
    for it. bytes and what else is read-only gives a read-only Tensor."""

def from_dlpack(obj: Any, /, *, copy: bool = False) -> Tensor:
    """A Tensor on the memory of obj, through DLPack; obj may also be a capsule."""

@final
class Generator:
    """A seeded source of random tensors, with torch's numbers: rand, randint and randperm equal
    torch's with a torch.Generator of the same seed; randn does not."""

    def __new__(cls, seed: int, /) -> Generator: ...
    def seed(self, seed: int, /) -> None: ...
    def rand(self, shape: Sequence[int] | int, /, *, dtype: str = "f32") -> Tensor: ...
    def randint(
        self, low: int, high: int, shape: Sequence[int] | int, /, *, dtype: str = "i64"
    ) -> Tensor: ...
    def randperm(self, n: int, /) -> Tensor: ...
    def randn(self, shape: Sequence[int] | int, /, *, dtype: str = "f32") -> Tensor: ...

@final
class ArrayWriter:
    """A writer of an array file. A column: name, dtype, shape of a row or an item, whether it is
    ragged, and how many items will be written (0: not known). mode: 0 create, 1 append, 2 resume.
    """

    def __new__(
        cls,
        path: bytes,
        columns: Sequence[tuple[str, str, Sequence[int], bool, int]] | None,
        /,
        *,
        mode: int = 0,
        rows: int = -1,
        note: str | None = None,
        keep: bool = False,
        block_bytes: int = 0,
        buffer_bytes: int = 0,
    ) -> ArrayWriter: ...
    @property
    def columns(self) -> builtins.list[tuple[str, str, tuple[int, ...], bool]]: ...
    @property
    def rows(self) -> int:
        """Rows written so far, those that were there among them."""

    def write(self, columns: Sequence[Tensor | tuple[Tensor, Tensor]], n_rows: int, /) -> None:
        """A contiguous Tensor of rows for each column, or for a ragged one its items and the
        lengths of the rows (i64)."""

    @property
    def note(self) -> str: ...
    @note.setter
    def note(self, text: str, /) -> None: ...
    def checkpoint(self) -> None: ...
    def commit(self) -> None: ...
    def close(self) -> None:
        """Drops what was not committed. Idempotent."""

class Finalized:
    """A base whose _finalize() runs where a __del__ would.

    What a signal's handler raises in it is raised in the main thread as soon as the destructor is
    through, and _finalize() is called again: it can be called any number of times, and does not
    raise by itself."""

    def _finalize(self) -> None: ...

@final
class Dataset:
    def __len__(self) -> int: ...
    @property
    def classes(self) -> builtins.list[bytes]: ...
    def label(self, index: int, /) -> int: ...
    def name(self, index: int, /) -> bytes: ...
    def labels(self) -> bytes:
        """All labels, as int64 of this machine."""

    def save(self) -> bytes: ...
    @property
    def report(self) -> tuple[int, bool, int, int, bytes, str, str] | None:
        """(index, written, folders, listed, path, damage, not_written) of a folder."""

    def fields(self) -> builtins.list[tuple[str, str, tuple[int, ...]]]:
        """(name, dtype, shape of a sample) of each field of a dataset of rows; else empty."""

    def lengths(self, indices: Buffer, /) -> tuple[int, ...]:
        """Of each field whose first dimension is -1 what that is in a batch of these rows."""

    def gather(
        self,
        indices: Buffer,
        buffers: builtins.list[Any],
        lengths: tuple[int, ...] = ...,
        /,
    ) -> None:
        """Copies the rows at these indices (int64 of this machine), field f to buffers[f], which
        has room for exactly them. Without the GIL where it is much. lengths: for each field whose
        first dimension is -1 what it is to be."""

    def intend(self, indices: Buffer, /) -> None:
        """Rows that will be asked for soon: the system begins to fetch them."""

def folder(
    root: bytes,
    /,
    *,
    allow_empty: bool,
    extensions: bytes | None,
    index: bytes | None = None,
) -> Dataset: ...
def list(
    path: bytes,
    root: bytes,
    columns: tuple[bytes, bytes] | tuple[int, int],
    kind: int,
    delimiter: int,
    /,
) -> Dataset:
    """kind: 0 by the name, 1 CSV, 2 JSONL. delimiter: of CSV, a byte; 0: the kind's own."""

def restore(saved: bytes, /) -> Dataset: ...
def paths(names: Sequence[bytes], labels: Sequence[int], /) -> Dataset: ...
def pixels(array: Buffer, axis: int, labels: Buffer, /) -> Dataset:
    """uint8 images (n, h, w, channels) with axis 3, (n, channels, h, w) with axis 1, or grey ones
    (n, h, w) with axis -1; any strides. labels: n int64. The array is kept and not copied."""

def tokens(
    sources: tuple[tuple[bytes, int, str | None, int, int], ...],
    /,
    *,
    window: int,
    stride: int,
    targets: bool,
    dtype: str,
    within: bool,
    pad: int | None,
    access: int,
    budget: int,
    weights: Sequence[float] | None,
    seed: int,
    length: int,
) -> Dataset:
    """sources: (path, kind, dtype or None, offset, group) each. The rest are fields of struct
    pst_tokens_config; pad None: short windows are dropped."""

def tokens_report(dataset: Dataset, /) -> tuple[int, int, int, int, int, int] | None:
    """(access, n_tokens, n_documents, n_windows, n_padded, n_dropped); None for a dataset that is
    not of tokens."""

@final
class Transform:
    """ops: one tuple (kind, filter, h, w, max_size, threshold, scale0, scale1, ratio0, ratio1,
    log_ratio0, log_ratio1) each, and after it numbers, count, table if one of them is needed:
    fields of struct pst_op. lut: 768 float32 for the dtypes of floats. channels: of the images,
    3 or 1. layout: 0 for planes, 1 for pixels."""

    def __new__(
        cls,
        ops: Sequence[tuple[Any, ...]],
        /,
        *,
        dtype: str,
        lut: Buffer | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        era: int,
        channels: int,
        layout: int,
    ) -> Transform: ...
    @property
    def max_words(self) -> int: ...
    @property
    def draws_python(self) -> bool: ...
    @property
    def draws_normals(self) -> bool: ...
    @property
    def channels(self) -> int: ...
    def apply(
        self, rgb: Buffer, width: int, height: int, words: Buffer, /
    ) -> tuple[Tensor, int]: ...

@final
class Loader:
    def __new__(
        cls,
        dataset: Dataset,
        transform: Transform | None,
        /,
        *,
        threads: int,
        batch_size: int,
        ahead: int,
        n_streams: int,
        memory_budget: int,
        rng: str,
        nice: int,
        exp: Callable[[memoryview], object] | None,
        strict: bool,
        blur: Callable[[memoryview, int, bool], object] | None,
        mix: _Mix | None,
    ) -> Loader: ...
    @property
    def closed(self) -> bool: ...
    def seed(self, stream: int, seed: int, /) -> None: ...
    def set_state(self, stream: int, words: Buffer, position: int, /) -> None: ...
    def set_python(self, stream: int, words: Buffer, position: int, /) -> None: ...
    def set_normal(self, stream: int, normal: float | None, /) -> None: ...
    def submit(self, indices: Sequence[int], stream: int, supplied: bool = False, /) -> int | None:
        """The ticket, or None when `ahead` batches are waiting already. supplied: where its size is
        known, the batch waits for its memory."""

    def wanted(self) -> tuple[int, int] | None:
        """(ticket, bytes) of a batch that waits for memory and for which there is room."""

    def supply(
        self,
        ticket: int,
        address: int | None = None,
        size: int | None = None,
        owner: object = None,
        /,
    ) -> bool:
        """Gives a batch memory, which belongs to owner: that lives at least as long as anything
        of the engine looks at it. Without: the engine's own. False: there is no room now."""

    def batch_bytes(self, n: int, /) -> int:
        """Of a batch of n samples; 0 where that is not known before they are read."""

    def wait(
        self, timeout_ms: int, /
    ) -> (
        tuple[str, int, int, int, int, bytes | None, tuple[str, int, str], int, float | None] | None
    ):
        """(kind, ticket, slot, index, words, data, (status, os_errno, message), words of Python's
        random, normal that is kept), kind one of "batch", "doubt", "failed", "ragged"; None after
        timeout_ms. Releases the GIL, lets signals through. Raises StopIteration when nothing is
        submitted."""

    def resolve(
        self, ticket: int, slot: int, rgbx: Buffer, width: int, height: int, orientation: int, /
    ) -> None: ...
    def words(self, ticket: int, slot: int, n: int, /) -> bytes: ...
    def python(self, ticket: int, slot: int, /) -> tuple[bytes, int]:
        """Python's random as a doubt that was refused draws from it."""

    def generator(self, ticket: int, slot: int, /) -> tuple[bytes, int]:
        """torch's generator likewise, where the transform draws normals."""

    def normal(self, ticket: int, slot: int, /) -> float | None:
        """The normal that the generator keeps as a doubt that was refused draws."""

    def leave_normal(self, ticket: int, slot: int, normal: float | None, /) -> None:
        """The one that it keeps after it; before finish()."""

    def finish(
        self,
        ticket: int,
        slot: int,
        data: Buffer,
        height: int,
        width: int,
        words: int,
        python_words: int,
        /,
    ) -> None: ...
    def fail(self, ticket: int, slot: int, /) -> None: ...
    def replace(self, ticket: int, slot: int, index: int, /) -> int:
        """Another record stands in for a doubt; with index -1 none does. Returns how many later
        batches of the stream begin anew; decisions about them are void."""

    def slot_shape(self, ticket: int, slot: int, /) -> tuple[int, int]: ...
    def describe_slot(self, ticket: int, slot: int, /) -> str: ...
    def take(self, ticket: int, /) -> tuple[Tensor, Tensor] | None: ...
    def take_fields(self, ticket: int, /) -> tuple[Tensor, ...]:
        """A batch of a dataset of rows; raises what one failed for, which is dropped."""

    def gather(
        self,
        indices: Sequence[int],
        address: int | None = None,
        size: int | None = None,
        owner: object = None,
        /,
    ) -> tuple[Tensor, ...]:
        """A batch of a dataset of rows at once, on this thread; in memory as of supply() where it
        is given."""

    def cancel(self) -> None: ...
    def stats(self) -> dict[str, int]: ...
    def trace_start(self, capacity: int, /) -> None: ...
    def trace_stop(self) -> None: ...
    def trace(self) -> tuple[builtins.list[tuple[str, int, int, int, int, int, int, int]], int]:
        """(kind, thread, start_ns, duration_ns, index, ticket, slot, count) of each event, those
        of a thread in the order of their ends; and how many were overwritten."""

    def close(self) -> None: ...

def owner(tensor: Tensor, /) -> Any:
    """The object whose memory a batch's tensor lies in, where that was supplied; else None."""

def array(
    sources: tuple[
        tuple[bytes, bytes | None, int, str | None, tuple[int, ...], int, int, int, int, int], ...
    ],
    access: int,
    budget: int,
    unverified: bool,
    /,
) -> Dataset:
    """The rows of arrays in files. A source is (path, name, kind, dtype, shape, offset, ragged,
    pad, most, multiple); numbers are those of <penstock/array.h>, budget 0 is the default."""

_Step: TypeAlias = tuple[int, str | None, float, bytes, int, tuple[int, ...], int]

def row_steps(rows: Dataset, fields: tuple[tuple[bytes, tuple[_Step, ...]], ...], /) -> Dataset:
    """The rows of a dataset after steps: of each field that has some its name and a tuple of (kind,
    dtype, number, numbers, dim, shape, classes). numbers are doubles: all of the mean, then all of
    the std."""

def array_access(dataset: Dataset, /) -> int:
    """1: mapped, 2: read, 3: around the page cache, 0: not of files of arrays."""

def reading_why(dataset: Dataset, /) -> str:
    """Why files of arrays or tokens are read as they are; empty for another dataset."""

def array_check(dataset: Dataset, /) -> None:
    """Raises OSError where a file is no longer what was opened."""

def rows(tensors: tuple[Tensor, ...], /) -> Dataset:
    """The rows of tensors, which are shared."""

def concat(datasets: tuple[Dataset, ...], /) -> Dataset:
    """The rows of datasets with equal fields, one after the other; they are shared."""

_Array: TypeAlias = tuple[bytes, bytes | None, int, str | None, tuple[int, ...], int]

def array_detect(path: bytes, /) -> int:
    """enum pst_array_kind, by a file's first bytes or a zip file's directory."""

def array_map(source: _Array, mode: int, /) -> Tensor:
    """An array in a file as a Tensor over the mapped file. source is path, name, kind, dtype, shape
    and offset; kinds and modes are those of penstock/array.h."""

def array_create(source: _Array, /) -> None:
    """Makes a file of zeros, all of whose space is taken."""

def array_append(path: bytes, rows: Tensor, /) -> int:
    """Adds rows to a file of NumPy. Returns how many there are now."""

def array_sync(tensor: Tensor, /) -> None:
    """Waits until what was written to an edited map is on the disk."""

def probe(data: Buffer, /) -> tuple[str, int, int]:
    """(format, width, height); raises DecodeError where the native decoders do not vouch."""

def orientation(data: Buffer, /) -> int:
    """EXIF's 1 to 8 as exif_transpose() finds it, 0 where only Pillow can tell.

    Raises as probe() does."""

def check(data: Buffer, /) -> None:
    """Raises DecodeError where anything is wrong with an image, or behind it."""

def decode(data: Buffer, region: tuple[int, int, int, int] | None = None, /) -> Tensor: ...
def mix_draw(
    mix: _Mix, height: int, width: int, words: Buffer, normal: float | None, /
) -> tuple[int, float, tuple[int, int, int, int], float | None, int]:
    """What is drawn for a batch: (kind, own, (x, y, w, h), normal, used). normal: what the
    generator keeps for the next call, before and after."""

def permutation(n: int, key: int, start: int, count: int, block: int, /) -> Tensor:
    """What is at places start .. start + count - 1 of a shuffled order of 0 .. n - 1, int64. block:
    rows that stay near each other; 0: none."""

def normals(words: Buffer, n: int, /) -> bytes:
    """What torch's normal_() makes of n words, and where n is not a multiple of 16 of 16 more."""

def normal_pairs(words: Buffer, n: int, /) -> bytes:
    """What torch's normal_() makes one by one of 2 n words, n even."""

def kernels() -> str: ...
def build_info() -> str: ...
def cpu_count() -> int: ...
def write_unraisable(error: BaseException, where: object, /) -> None: ...
