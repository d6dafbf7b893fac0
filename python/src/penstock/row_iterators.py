# SPDX-License-Identifier: Apache-2.0
"""The iterators of the native lane over rows. As those of images (native.py) they follow torch's
own in when the sampler is asked and what comes after an error; nothing is drawn and nothing is in
doubt."""

import sys
import time
from array import array
from collections import deque
from dataclasses import replace
from typing import Any

from penstock import _core, pinned, sources
from penstock._torch import make_fetcher, unwrap_error, wrap_error
from penstock.engines import Engine, Record, RowSpec
from penstock.native import _NativeIter
from penstock.policy import Policy
from penstock.rows import AT_ONCE, RowTable, leaf_of, parts_of, table_of
from penstock.sources import Source
from torch._utils import ExceptionWrapper


def _plain_places(source: Source, batch: Any) -> list[int] | None:
    """The rows of a batch of plain integers that are in the dataset, else None."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(batch) is list:
        kinds = set(map(type, batch))
        if kinds != {int} and all(kind is int or issubclass(kind, numpy.integer) for kind in kinds):
            batch = list(map(int, batch))
    return source.plain_places(batch)


class _RowsIter(_NativeIter):
    def _gather(self, engine: Engine, places: list[int]) -> tuple[_core.Tensor, ...]:
        """A batch at once, on this thread."""
        if not self._pin_memory:
            return engine.core.gather(places)
        fields = pinned.gather(engine.core, places)
        self._is_in_place = _core.owner(fields[0]) is not None
        return fields


class RowsSingleIter(_RowsIter):
    """num_workers=0: all is read anew in next(), on the caller's thread."""

    def __init__(
        self, loader: Any, record: Record, spec: RowSpec, source: Source, policy: Policy
    ) -> None:
        super().__init__(loader, record, spec, source, policy)
        self._dataset_fetcher = make_fetcher(
            self._dataset, self._auto_collation, self._collate_fn, self._drop_last
        )
        self._begin(loader)

    def _next_data(self) -> Any:
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            self._finish()
            raise
        return self._pinned(self._fetch(index))

    def _fetch(self, index: Any) -> Any:
        table = self._table()
        places = None if table is None else _plain_places(self._source, index)
        if table is None or places is None:
            # As stock does it, with what stock says of it.
            return self._dataset_fetcher.fetch(index)
        engine = self._engine
        if engine is None or not engine.is_usable:
            engine = self._engine = self._record.acquire(self._spec)
        return table.batch(self._gather(engine, places))

    def _table(self) -> RowTable | None:
        """That of the dataset as it is now; None where it is no longer one that is known."""
        table: RowTable = self._spec.table
        try:
            source = sources.read(self._dataset)
            leaf = leaf_of(source)
            if not leaf.is_rows:
                return None
            self._source = source
            if leaf.is_in_place(table.leaf):
                return table
            table = table_of(leaf, source.owners, live=True, most=0)
        except Exception:  # stock's fetcher says what is wrong
            return None
        if self._engine is not None:
            self._record.close(self._engine)
            self._engine = None
        self._spec = replace(self._spec, table=table)
        return table


class _Task:
    """One batch that was asked for."""

    __slots__ = ("asked", "is_sent", "places", "worker")

    def __init__(self, worker: int, asked: Any, places: list[int] | None) -> None:
        self.worker = worker
        self.asked = asked
        self.places = places  # None: stock's fetcher makes the batch, or says what is wrong
        self.is_sent = False  # to the threads; else it is copied in next()


class RowsWorkersIter(_RowsIter):
    """num_workers > 0: no worker and no process, batches ahead on threads."""

    def __init__(
        self, loader: Any, record: Record, spec: RowSpec, source: Source, policy: Policy
    ) -> None:
        table = spec.table
        leaf = leaf_of(source)
        # Workers have the dataset as it is now.
        mine = leaf if leaf.is_in_place(table.leaf) else table.leaf
        super().__init__(loader, record, spec, source.frozen(parts_of(mine)), policy)
        self._dataset_fetcher = make_fetcher(
            source.rebuilt([part.dataset() for part in parts_of(mine)]),
            True,
            self._collate_fn,
            self._drop_last,
        )
        self._rows: RowTable = table
        self._watched = mine.watched()
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        self._tasks: deque[_Task] = deque()  # in the order of delivery
        self._unsent: deque[_Task] = deque()  # the end of _tasks that the engine has no room for
        self._position.tasks = self._tasks
        try:
            self._engine = record.acquire(spec)
            self._reset(loader, first_iter=True)
        except BaseException:
            self._shutdown_workers()
            raise

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        super()._reset(loader, first_iter)
        if not first_iter:
            self._next_epoch(loader)
        self._begin(loader)
        self._send_idx: int = self._position.delivered
        for _ in range(self._prefetch_factor * self._num_workers):
            self._try_put_index()

    def _next_epoch(self, loader: Any) -> None:
        """Persistent workers do all that was asked for before they start on the next epoch."""
        engine = self._engine
        if engine is None:
            raise RuntimeError("the threads of this iterator were ended")
        self._tasks.clear()
        self._unsent.clear()
        engine.core.cancel()
        self._count_epoch(loader)

    def _try_put_index(self) -> None:
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            self._supply(self._engine)
            return
        worker = self._send_idx % self._num_workers
        self._send_idx += 1
        task = _Task(worker, index, _plain_places(self._source, index))
        self._tasks.append(task)
        if task.places is None:
            return
        if self._is_for_threads(task.places):
            task.is_sent = True
            self._unsent.append(task)
            self._submit()
        elif self._rows.leaf.is_file:
            self._rows.dataset.intend(array("q", task.places))

    def _is_for_threads(self, places: list[int]) -> bool:
        rows = self._rows
        is_slow = rows.is_varying or rows.leaf.is_waited_for
        return bool(is_slow or len(places) * rows.row_bytes > AT_ONCE)

    def _submit(self) -> None:
        """Gives the engine what it takes."""
        if self._engine is None:
            return
        core = self._engine.core
        while self._unsent:
            if core.submit(self._unsent[0].places or (), 0, self._pin_memory) is None:
                break
            self._unsent.popleft()
        self._supply(self._engine)

    def _next_data(self) -> Any:
        if not self._tasks:
            if self._persistent_workers:
                self._record.stops(self)
            else:
                self._finish()
            raise StopIteration
        if self._engine is None:
            raise AssertionError(
                "Invalid iterator state: shutdown or no outstanding tasks when fetching next data"
            )
        data = self._collect(self._engine, self._tasks[0])
        if any(tensor._version != version for tensor, version in self._watched):
            raise RuntimeError(
                "a tensor of the dataset was written to while it is iterated, which torch's "
                "workers would not see: write between epochs, or use num_workers=0"
            )
        self._tasks.popleft()
        self._try_put_index()
        if isinstance(data, ExceptionWrapper | Exception):
            error = unwrap_error(data) if isinstance(data, ExceptionWrapper) else data
            del data
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return self._pinned(data)

    def _collect(self, engine: Engine, task: _Task) -> Any:
        """The oldest batch, or its exception. It can be called again after Ctrl-C."""
        try:
            if task.places is None:
                return self._dataset_fetcher.fetch(task.asked)
        except Exception as error:
            return wrap_error(error, f"in DataLoader worker process {task.worker}")
        try:
            if task.is_sent:
                return self._rows.batch(self._wait(engine))
            return self._rows.batch(self._gather(engine, task.places))
        except Exception as error:
            return error.with_traceback(None)

    def _wait(self, engine: Engine) -> Any:
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        while True:
            self._submit()
            left = -1 if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            event = engine.core.wait(left)
            if event is not None:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        fields = engine.core.take_fields(event[1])
        self._is_in_place = _core.owner(fields[0]) is not None
        return fields
