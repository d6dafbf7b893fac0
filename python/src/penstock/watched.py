# SPDX-License-Identifier: Apache-2.0
"""An iterator of a loader that others watch. Only made where somebody does."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from penstock import _core


class Watcher(Protocol):
    def fetched(self, iterator: Any, start_ns: int, end_ns: int) -> None:
        """next() gave a batch, between these times of time.monotonic_ns()."""

    def ended(self, iterator: Any, is_whole: bool) -> None:
        """No batch comes for now: the epoch is over, was left, or next() raised, after which it may
        go on."""


class Watched(_core.Finalized, Iterator[Any]):
    """Everything that is not next() is the iterator's own."""

    def __init__(self, iterator: Any, watchers: Sequence[Watcher]) -> None:
        self._inner = iterator
        self._watchers = watchers
        self._is_running = True
        self._is_heard = False  # a watcher has raised in next()
        self._pid = os.getpid()

    def __iter__(self) -> "Watched":
        return self

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __next__(self) -> Any:
        start = time.monotonic_ns()
        try:
            value = next(self._inner)
        except BaseException as error:
            self._end(isinstance(error, StopIteration))
            raise
        end = time.monotonic_ns()
        self._is_running = True
        try:
            for watcher in self._watchers:
                watcher.fetched(self._inner, start, end)
        except BaseException:
            self._is_heard = True
            raise
        return value

    def _end(self, is_whole: bool) -> None:
        if self._is_running:
            self._is_running = False
            for watcher in self._watchers:
                watcher.ended(self._inner, is_whole)

    def _drop(self) -> None:
        if self._is_running:
            self._is_running = False
            for watcher in self._watchers:
                try:
                    watcher.ended(self._inner, False)
                except Exception as error:  # there is no call that it could be raised from
                    if not self._is_heard:
                        _core.write_unraisable(error, watcher)

    def _finalize(self) -> None:
        if sys.is_finalizing() or not hasattr(self, "_pid"):  # half-built
            return
        if self._pid == os.getpid():  # a child of fork() has nothing to say of it
            self._drop()
