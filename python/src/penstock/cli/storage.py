# SPDX-License-Identifier: Apache-2.0
"""Files in and out of the page cache."""

import os


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def forget(path: str) -> None:
    """Asks the kernel to drop a file's pages. Needs no rights; pages in use elsewhere stay."""
    fd = _open(path)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def is_cached(path: str) -> bool | None:
    """Whether the first page of a file is in memory; None: this file system does not tell."""
    fd = _open(path)
    try:
        return os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(fd)


def forget_all(paths: list[str]) -> bool:
    """True if at most one file in ten is still in memory: then a read measures the disk."""
    for path in paths:
        forget(path)
    return sum(is_cached(path) is not False for path in paths) * 10 <= len(paths)


def read(path: str) -> bytes:
    fd = _open(path)
    with os.fdopen(fd, "rb", buffering=0) as file:
        return file.readall()
