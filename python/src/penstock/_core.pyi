# SPDX-License-Identifier: Apache-2.0
"""The C engine, one to one. Nothing here has features of its own; see include/penstock/."""

import builtins
from collections.abc import Callable, Sequence
from typing import Final, final

from typing_extensions import Buffer

__version__: Final[str]

class Error(Exception):
    """Base of the engine's own errors. `status` is the name of the status, such as "EFORMAT"."""

    status: str
    record: int
    offset: int

class DecodeError(Error, ValueError): ...
class LimitError(Error, ValueError): ...
class ForkError(Error, RuntimeError): ...

@final
class Array:
    """A C-contiguous array that shares the engine's memory (buffer protocol, writable)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

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

@final
class Transform:
    """ops: one tuple (kind, filter, h, w, max_size, threshold, scale0, scale1, ratio0, ratio1,
    log_ratio0, log_ratio1) each, fields of struct pst_op. lut: 768 float32 for dtype "f32"."""

    def __new__(
        cls,
        ops: Sequence[
            tuple[int, int, int, int, int, int, float, float, float, float, float, float]
        ],
        /,
        *,
        dtype: str,
        lut: Buffer | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        era: int,
    ) -> Transform: ...
    @property
    def max_words(self) -> int: ...
    def apply(
        self, rgb: Buffer, width: int, height: int, words: Buffer, /
    ) -> tuple[Array, int]: ...

@final
class Loader:
    def __new__(
        cls,
        dataset: Dataset,
        transform: Transform,
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
    ) -> Loader: ...
    @property
    def closed(self) -> bool: ...
    def seed(self, stream: int, seed: int, /) -> None: ...
    def set_state(self, stream: int, words: Buffer, position: int, /) -> None: ...
    def submit(self, indices: Sequence[int], stream: int, /) -> int | None:
        """The ticket, or None when `ahead` batches are waiting already."""

    def wait(
        self, timeout_ms: int, /
    ) -> tuple[str, int, int, int, int, bytes | None, tuple[str, int, str]] | None:
        """(kind, ticket, slot, index, words, data, (status, os_errno, message)), kind one of
        "batch", "doubt", "failed", "ragged"; None after timeout_ms. Releases the GIL, lets signals
        through. Raises StopIteration when nothing is submitted."""

    def resolve(self, ticket: int, slot: int, rgbx: Buffer, width: int, height: int, /) -> None: ...
    def fail(self, ticket: int, slot: int, /) -> None: ...
    def slot_shape(self, ticket: int, slot: int, /) -> tuple[int, int]: ...
    def describe_slot(self, ticket: int, slot: int, /) -> str: ...
    def take(self, ticket: int, /) -> tuple[Array, Array] | None: ...
    def cancel(self) -> None: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...

def probe(data: Buffer, /) -> tuple[str, int, int]:
    """(format, width, height); raises DecodeError where the native decoders do not vouch."""

def decode(data: Buffer, region: tuple[int, int, int, int] | None = None, /) -> Array: ...
def kernels() -> str: ...
def build_info() -> str: ...
def cpu_count() -> int: ...
