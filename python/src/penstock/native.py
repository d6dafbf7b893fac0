# SPDX-License-Identifier: Apache-2.0
"""The iterators of the native lane: torch's two, with the engine in the place of the fetching.

Order, the moments at which the sampler is asked and generators are drawn from, and what comes after
an error follow torch's _SingleProcessDataLoaderIter and _MultiProcessingDataLoaderIter line by
line, because a user's samplers and generators can see all of it.
"""

import dataclasses
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from penstock import _core, mixing, pinned, python_random, rng, worker_init
from penstock._torch import (
    default_collate,
    make_fetcher,
    no_fetcher,
    pin_memory,
    unwrap_error,
    wrap_error,
)
from penstock.capture import Reading, Refusal, check_main_process, examine
from penstock.doubts import Event, decide, is_of_sample, is_refusal
from penstock.engines import Engine, Record, RowSpec, Spec, enlist, park_at_exit
from penstock.policy import Pair, Places, Policy, Tally, TooManyErrors
from penstock.position import Position
from penstock.prepare import Prepared, prepare
from penstock.sources import Source
from torch._utils import ExceptionWrapper
from torch.utils.data.dataloader import _BaseDataLoaderIter


def wrap(array: Any, dtype: torch.dtype, layout: int = 0) -> torch.Tensor:
    """A tensor over a batch's memory, which lives as long as the tensor."""
    with torch._C.DisableTorchFunction():
        tensor = pinned.over(array, dtype)
        return tensor.movedim(-1, -3) if layout else tensor


def wrap_images(array: Any, prepared: Prepared) -> torch.Tensor | list[torch.Tensor]:
    """The images of a batch; a tensor for each crop, where they were not stacked."""
    dtype, layout = prepared.dtype, prepared.output.layout
    if not prepared.is_apart:
        return wrap(array, dtype, layout)
    return [wrap(array[which], dtype, layout) for which in range(prepared.n_images)]


def _ragged(
    core: _core.Loader, ticket: int, slots: Sequence[int], prepared: Prepared, worker: bool
) -> None:
    """Raises what default_collate says of samples of these shapes."""
    dtype = prepared.dtype
    pixel = torch.empty((), dtype=dtype, device="cpu")
    shapes = [(prepared.channels, *core.slot_shape(ticket, slot)) for slot in slots]
    samples = [pixel.expand(shape) for shape in shapes]
    if worker:
        # There it writes into shared memory that has room for the samples' sum.
        size = sum(sample.numel() for sample in samples)
        out = torch.frombuffer(bytearray(size * dtype.itemsize), dtype=dtype)
        torch.stack(samples, 0, out=out.resize_(len(samples), *samples[0].shape))
    default_collate([(sample, 0) for sample in samples])


class _NativeIter(_core.Finalized, _BaseDataLoaderIter):
    """What both have in common: whom the engine belongs to."""

    def __init__(
        self, loader: Any, record: Record, spec: Spec | RowSpec, source: Source, policy: Policy
    ) -> None:
        self.lock = threading.RLock()
        self._engine: Engine | None = None
        self._record = record
        self._spec: Any = spec
        self._source = source
        self._workers: list[Any] = []  # frameworks look for processes here
        self._shutdown = False
        # For verify: the last batch's samples, as asked for and as the engine has them, and what
        # was drawn for them where it asks.
        self._asked: Any = ()
        self._indices: list[int] = []
        self._notes: list[str] | None = None
        self._is_in_place = False  # whether the last batch lies in memory that was pinned for it
        resume = record.resume
        self._position = Position(loader, resume)
        enlist(self)
        with self.lock:  # see enlist
            super().__init__(loader)
        self._base_seed: int = self._position.seeded(loader, int(self._base_seed))
        record.epochs += 1
        if resume is not None:
            record.seed, record.first_epoch = resume.seed, resume.epoch - record.epochs + 1
        record.starts(self)
        self._tally = Tally(policy, record.note_errors, self._key(loader), record.epoch)
        if resume is not None:
            self._tally.samples, self._tally.n_refused = self._position.counts

    def __next__(self) -> Any:
        park_at_exit()
        with self.lock:
            position = self._position
            before = position.asks()
            try:
                return super().__next__()
            except StopIteration:
                position.is_over = True
                raise
            except Exception:
                raise
            except BaseException:  # Ctrl-C
                position.is_interrupted(before)
                raise
            finally:
                position.counts = self._tally.samples, self._tally.n_refused
                position.is_busy = False

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        if not first_iter:
            self._position.next_epoch(loader)
        super()._reset(loader, first_iter)

    def _key(self, loader: Any) -> int:
        """Of the epoch: what all that is not drawn as torch would draw it depends on."""
        record, position = self._record, self._position
        position.epoch = record.epoch
        position.seed = seed_of(loader) if record.seed is None else record.seed
        epoch = position.sampler_epoch
        return rng.mix(position.seed, record.epoch if epoch is None else epoch)

    def _begin(self, loader: Any) -> None:
        """In front of an epoch's first index, or of the first that a state has left."""
        position = self._position
        self._sampler_iter: Any
        self._sampler_iter, last = position.begin(loader, self._sampler_iter, self._tally.key)
        if self._tally.policy.on_error == "substitute":
            for index in last:  # these may stand in for samples to come
                self._tally.places(index, self._spec.table.indices(self._source, index)[0])
        position.samples_are(self._source, self._spec.table)
        self._record.position, self._record.resume = position, None
        self._record.refusal = None

    def _count_epoch(self, loader: Any) -> None:
        """Another epoch of an iterator that stays."""
        self._record.epochs += 1
        self._record.starts(self)
        self._tally.begin(self._key(loader), self._record.epoch)

    def _note(self, core: _core.Loader, ticket: int, places: Places) -> None:
        if self._notes is not None:
            self._notes[:] = [core.describe_slot(ticket, slot) for slot in places.present()]

    def _take(
        self, engine: Engine, ticket: int, places: Places
    ) -> list[Any] | tuple[Any, ...] | None:
        """A batch, None if none of its samples could be had."""
        self._note(engine.core, ticket, places)
        if places.is_changed:
            delivered = places.delivered()
            self._asked = [pair.asked for pair in delivered]
            self._indices = [pair.place for pair in delivered]
        batch = engine.core.take(ticket)
        if batch is None and not places.present():
            return None
        if batch is None:
            raise RuntimeError(f"batch {ticket} of the engine is empty")
        self._is_in_place = _core.owner(batch[0]) is not None
        images = wrap_images(batch[0], engine.spec.prepared)
        if engine.spec.mix is not None:
            # What CutMix and MixUp give of two arguments.
            return images, wrap(batch[1], torch.float32)
        labels = wrap(batch[1], torch.int64)
        if engine.spec.table.label_dtype != torch.int64:
            with torch._C.DisableTorchFunction():
                labels = labels.to(engine.spec.table.label_dtype)
        return [images, labels]

    def _replace(
        self, engine: Engine, places: Places, event: Event, error: Exception
    ) -> tuple[Exception | None, int]:
        """What the policy does about a sample: the error for which its batch is to be given up, and
        how many later batches begin anew."""
        core, tally = engine.core, self._tally
        if tally.policy.raises or not is_of_sample(core, event, error):
            return error, 0
        try:
            other = places.decide(tally, event[2], error)
            while other is not None and not self._has(other):
                other = places.decide(tally, event[2], error)
        except TooManyErrors as failure:
            return failure, 0
        return None, core.replace(event[1], event[2], -1 if other is None else other.place)

    def _has(self, _: Pair) -> bool:
        """Whether a sample is still the dataset's."""
        return True

    def _supply(self, engine: Engine | None) -> None:
        """Pinned memory to what was submitted, where that is asked for."""
        if self._pin_memory and engine is not None:
            pinned.supply(engine.core)

    def _pinned(self, data: Any) -> Any:
        """torch leaves alone what is pinned, and copies the rest."""
        if not self._pin_memory:
            return data
        data = pin_memory(data, self._pin_memory_device)
        self._record.note_pinned(self._is_in_place)
        self._is_in_place = False
        return data

    def _finish(self) -> None:
        """The epoch is over: the next one may take the engine."""
        engine, self._engine = self._engine, None
        self._record.stops(self)
        if engine is not None:
            self._record.park(engine)

    def _shutdown_workers(self) -> None:
        """Ends the threads. Any number of times, at any moment."""
        self._shutdown = True
        engine, self._engine = self._engine, None
        self._record.stops(self)
        if engine is not None:
            self._record.close(engine)

    def _finalize(self) -> None:
        # The threads are joined after it, when the engine dies with us.
        if sys.is_finalizing() or not hasattr(self, "_record"):  # half-built
            return
        self._record.stops(self)
        if self._engine is not None:
            self._record.retire(self._engine)


class SingleIter(_NativeIter):
    """num_workers=0: nothing is read, drawn or started before next(), and everything is read anew
    there; a batch that the native lane no longer covers is fetched by torch's own fetcher."""

    def __init__(
        self, loader: Any, record: Record, spec: Spec, source: Source, policy: Policy
    ) -> None:
        super().__init__(loader, record, spec, source, policy)
        self._reading: Reading | None = None
        self._reader = rng.StateReader()
        self._dataset_fetcher = make_fetcher(
            self._dataset, self._auto_collation, self._collate_fn, self._drop_last
        )
        self._begin(loader)

    def _next_data(self) -> Any:
        while True:
            try:
                index = next(self._sampler_iter)
            except StopIteration:
                self._finish()
                self._tally.end()
                raise
            data = self._fetch(index)
            if data is not None:
                return self._pinned(data)

    def _fetch(self, index: Any) -> Any:
        indices = self._plain_indices(index) if self._is_still_native() else None
        if indices is None:
            if not (self._spec.prepared.output.is_stocks and self._tally.policy.is_stocks):
                raise RuntimeError(
                    "out_dtype, memory_format, exif, on_error and strict are the engine's, and it "
                    "does not do this batch: the dataset, its transforms or what the sampler gives "
                    "have changed"
                )
            return self._dataset_fetcher.fetch(index)
        engine = self._engine
        if engine is None or not engine.is_usable:
            engine = self._engine = self._record.acquire(self._spec)
            if self._spec.rng == "sample":
                engine.core.seed(0, self._tally.key)
        self._asked, self._indices = index, indices
        try:
            return self._native(engine, indices)
        except BaseException:
            # Ctrl-C, or an error of the engine: nothing may be left for the next call.
            engine.core.cancel()
            raise

    def _is_still_native(self) -> bool:
        folder = self._spec.table.folder
        try:
            reading, self._source = examine(self._dataset, self._reading)
            check_main_process(reading)
            if reading is not self._reading:
                prepared = prepare(reading, self._spec.prepared.profile, self._spec.prepared.output)
                if prepared is not self._spec.prepared:
                    self._respec(prepared=prepared)
                self._reading = reading
            if not self._is_still_mixed():
                return False
        except Refusal:
            return False
        return folder is None or folder == os.getcwd()

    def _is_still_mixed(self) -> bool:
        """As the user's objects mix now. Raises Refusal."""
        mix = mixing.read(self._collate_fn)
        if mix == self._spec.mix:
            return True
        if mix is None:
            return False
        mixing.check_images(mix, self._spec.prepared.dtype, self._spec.prepared.n_images)
        mixing.check_labels(mix, self._spec.table)
        self._respec(mix=mix)
        return True

    def _plain_indices(self, index: Any) -> list[int] | None:
        """The engine's indices of samples that are still those of the table, or None."""
        if type(index) not in (list, tuple) or not index or set(map(type, index)) != {int}:
            return None
        table, source = self._spec.table, self._source
        indices: list[int]
        indices, places, error = table.indices(source, list(index))
        if error is not None or not table.holds(source, indices, places):
            return None
        return indices

    def _has(self, pair: Pair) -> bool:
        return self._plain_indices([pair.asked]) == [pair.place]

    def _respec(self, **changes: Any) -> None:
        """The user's transforms changed under way."""
        if self._engine is not None:
            self._record.close(self._engine)
            self._engine = None
        self._spec = dataclasses.replace(self._spec, **changes)

    def _native(self, engine: Engine, indices: list[int]) -> Any:
        core, generator = engine.core, torch.default_generator
        draws = engine.spec.draws and engine.spec.rng == "torch"
        if draws:
            position = self._reader.read(generator)
            core.set_state(0, self._reader.words, position)
            core.set_normal(0, self._reader.normal)
        draws_python = engine.spec.prepared.draws_python and engine.spec.rng == "torch"
        if draws_python:
            core.set_python(0, *python_random.state_of(random))
        places = self._tally.places(self._asked, indices)
        ticket = core.submit(indices, 0, self._pin_memory)
        if ticket is None:
            raise RuntimeError("the engine is full, with nothing submitted")
        self._supply(engine)
        error: Exception | None = None
        while True:
            event = core.wait(-1)
            if event is None:
                continue
            if event[0] != "doubt":
                break
            error = decide(engine, self._source, event)
            if error is not None:
                error, _ = self._replace(engine, places, event, error)
            if error is not None:
                core.fail(ticket, event[2])
        if draws:
            rng.advance(generator, event[4])
            if event[8] != self._reader.normal:
                rng.keep_normal(generator, event[8])
        if draws_python:
            python_random.advance(random, event[7])
        self._tally.settle(places, engine.spec.table)
        if event[0] == "batch":
            return self._take(engine, ticket, places)
        try:
            if event[0] == "ragged":
                _ragged(core, ticket, places.present(), engine.spec.prepared, False)
        finally:
            core.take(ticket)
        try:
            raise error or RuntimeError("a batch failed without an error")
        finally:
            del error  # its traceback holds this frame


class _Task:
    """One batch that was asked for: `indices` go to the engine; where `error` is set, they are
    those before the index that stock's worker would have failed at."""

    __slots__ = ("asked", "error", "failure", "indices", "places", "ticket", "worker")

    def __init__(
        self,
        worker: int,
        asked: Any,
        indices: list[int],
        error: ExceptionWrapper | None,
        places: Places,
    ) -> None:
        self.asked = asked
        self.places = places
        self.worker = worker
        self.indices = indices
        self.error = error
        self.failure: ExceptionWrapper | Exception | None = None
        self.ticket: int | None = None


class WorkersIter(_NativeIter):
    """num_workers > 0: each worker is a stream of random numbers, no process."""

    def __init__(
        self, loader: Any, record: Record, spec: Spec, source: Source, policy: Policy
    ) -> None:
        # Workers have the dataset as it is now.
        super().__init__(loader, record, spec, source.frozen(spec.table.leaves), policy)
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        self._tasks: deque[_Task] = deque()  # in the order of delivery
        self._unsent: deque[_Task] = deque()  # the end of _tasks that the engine has no room for
        self._by_ticket: dict[int, _Task] = {}
        # Of workers whose worker_init_fn failed: the error, which is its first result, and those
        # that have come to no fetcher.
        self._init_errors: dict[int, ExceptionWrapper] = {}
        self._without_fetcher: set[int] = set()
        self._position.tasks = self._tasks
        try:
            self._engine = record.acquire(spec)
            if spec.rng == "sample":
                self._engine.core.seed(0, self._tally.key)
            self._start_workers(loader, self._engine.core)
            self._reset(loader, first_iter=True)
        except BaseException:
            self._shutdown_workers()
            raise

    def _start_workers(self, loader: Any, core: _core.Loader) -> None:
        """The streams as they are after worker_init_fn, and after what a state says was drawn."""
        init = worker_init.read(loader.worker_init_fn)
        n = self._num_workers
        reader = rng.StateReader()
        for worker in range(n):
            seed, drawn = self._base_seed + worker, self._position.words[worker]
            generator: torch.Generator | None = None
            pythons = random.Random(seed)
            if init is not None:
                outcome = worker_init.run(init, self._base_seed, worker, n, loader.dataset)
                generator, pythons = outcome.generator, outcome.python
                if outcome.error is not None:
                    self._init_errors[worker] = outcome.error
                    self._without_fetcher.add(worker)
            if self._spec.rng == "sample":
                continue
            core.seed(worker, seed)
            if self._spec.prepared.draws_python:
                python_random.advance(pythons, self._position.python_words[worker])
                core.set_python(worker, *python_random.state_of(pythons))
            if generator is None and drawn == 0:
                continue
            if generator is None:
                generator = torch.Generator(device="cpu").manual_seed(seed)
            rng.skip(generator, drawn)
            position = reader.read(generator)
            core.set_state(worker, reader.words, position)
            core.set_normal(worker, self._position.normals[worker] if drawn else reader.normal)
        if not self._position.is_first:
            self._init_errors.clear()
            self._without_fetcher.clear()

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        super()._reset(loader, first_iter)
        if not first_iter:
            self._next_epoch(loader)
        self._begin(loader)
        self._send_idx: int = self._position.delivered
        for delivered in range(min(self._send_idx, self._num_workers)):
            self._init_errors.pop(delivered, None)
        for _ in range(self._prefetch_factor * self._num_workers):
            self._try_put_index()

    def _next_epoch(self, loader: Any) -> None:
        """Persistent workers do all that was asked for before they start on the next epoch."""
        if self._engine is None:
            raise RuntimeError("the threads of this iterator were ended")
        while self._tasks:
            self._collect(self._tasks[0], None)
            self._tasks.popleft()
        self._without_fetcher.clear()  # workers make a new one
        self._count_epoch(loader)
        if self._spec.rng == "sample":
            self._engine.core.seed(0, self._tally.key)

    def _try_put_index(self) -> None:
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            self._supply(self._engine)
            return
        worker = self._send_idx % self._num_workers
        self._send_idx += 1
        indices, error = self._plain_indices(index, worker)
        places = self._tally.places(index if indices else (), indices)
        task = _Task(worker, index, indices, error, places)
        self._tasks.append(task)
        self._unsent.append(task)
        self._submit()

    def _plain_indices(self, index: Any, worker: int) -> tuple[list[int], ExceptionWrapper | None]:
        """The engine's indices, as far as the dataset takes what the sampler gave."""
        if worker in self._init_errors:
            return [], self._init_errors.pop(worker)
        if worker in self._without_fetcher:
            return [], no_fetcher(self._where(worker))
        indices, _, error = self._spec.table.indices(self._source, index)
        return indices, None if error is None else wrap_error(error, self._where(worker))

    @staticmethod
    def _where(worker: int) -> str:
        return f"in DataLoader worker process {worker}"

    def _submit(self) -> None:
        self._send()
        self._supply(self._engine)

    def _send(self) -> None:
        """Gives the engine what it takes."""
        if self._engine is None:
            return
        core, unsent = self._engine.core, self._unsent
        while unsent:
            task = unsent[0]
            if task.indices:
                stream = task.worker if self._spec.rng == "torch" else 0
                try:
                    task.ticket = core.submit(task.indices, stream, self._pin_memory)
                except BaseException:
                    # The streams may have moved without the batch: no later one would be right.
                    self._shutdown_workers()
                    raise
                if task.ticket is None:
                    return
                self._by_ticket[task.ticket] = task
            unsent.popleft()

    def _next_data(self) -> Any:
        while True:
            data = self._next_batch()
            if data is not None:
                return data

    def _next_batch(self) -> Any:
        """A batch, None if all of its samples were left out."""
        if not self._tasks:
            self._end_epoch()
            self._tally.end()
            raise StopIteration
        if self._engine is None:
            raise AssertionError(
                "Invalid iterator state: shutdown or no outstanding tasks when fetching next data"
            )
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        data = self._collect(self._tasks[0], deadline)
        self._tasks.popleft()
        self._try_put_index()
        if isinstance(data, ExceptionWrapper | Exception):
            error = unwrap_error(data) if isinstance(data, ExceptionWrapper) else data
            del data
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return data

    def _end_epoch(self) -> None:
        if self._persistent_workers:
            self._record.stops(self)
        else:
            self._finish()

    def _collect(self, task: _Task, deadline: float | None) -> Any:
        """The oldest batch, or the exception of its worker. It can be called again after Ctrl-C."""
        engine = self._engine
        if engine is None:
            raise AssertionError("the engine is closed")
        if not task.indices:
            return task.error
        while True:
            self._submit()
            left = -1 if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            event = engine.core.wait(left)
            if event is None:
                if deadline is not None and time.monotonic() >= deadline:
                    raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            elif event[0] == "doubt":
                self._decide(engine, event)
            else:
                return self._deliver(engine, task, event)

    def _decide(self, engine: Engine, event: Event) -> None:
        error = decide(engine, self._source, event)
        if error is None:
            return
        task = self._by_ticket[event[1]]
        try:
            failure, n_anew = self._replace(engine, task.places, event, error)
        except BaseException:
            self._shutdown_workers()
            raise
        del error  # its traceback reaches this frame
        if n_anew > 0:
            self._forget_after(task)
        if failure is None:
            return
        # Another doubt of this batch may come again when an earlier batch of its stream failed.
        task.failure = (
            failure.with_traceback(None)
            if is_refusal(failure)
            else wrap_error(failure, self._where(task.worker))
        )
        del failure  # as above
        try:
            engine.core.fail(event[1], event[2])
        except BaseException:
            self._shutdown_workers()
            raise
        if engine.spec.draws and engine.spec.rng == "torch":
            self._forget_after(task)

    def _forget_after(self, task: _Task) -> None:
        """Later batches of its worker begin anew."""
        for other in self._tasks:
            if (
                other.worker == task.worker
                and other.ticket is not None
                and task.ticket is not None
                and other.ticket > task.ticket
            ):
                other.places.forget()

    def _settle(self, engine: Engine, task: _Task) -> Exception | None:
        try:
            self._tally.settle(task.places, engine.spec.table)
        except Exception as error:
            return error.with_traceback(None)
        return None

    def _deliver(self, engine: Engine, task: _Task, event: Event) -> Any:
        kind, ticket = event[0], event[1]
        self._position.words[task.worker] += event[4]
        self._position.python_words[task.worker] += event[7]
        self._position.normals[task.worker] = event[8]
        self._asked, self._indices = task.asked, task.indices
        result: Any = self._settle(engine, task)
        if result is not None:
            engine.core.take(ticket)
        elif kind == "batch" and task.error is None:
            result = self._take(engine, ticket, task.places)
        else:
            result = task.error
            if kind == "failed":
                result = task.failure
            elif kind == "ragged" and task.error is None:
                try:
                    slots = task.places.present()
                    _ragged(engine.core, ticket, slots, engine.spec.prepared, True)
                except Exception as error:
                    result = wrap_error(error, self._where(task.worker))
            engine.core.take(ticket)
        del self._by_ticket[ticket]
        if self._pin_memory and isinstance(result, list | tuple):
            try:
                result = self._pinned(result)
            except Exception as error:
                device = torch.accelerator.current_device_index()
                result = wrap_error(error, f"in pin memory thread for device {device}")
        return result


def seed_of(loader: Any) -> int:
    generator = loader.generator if loader.generator is not None else torch.default_generator
    return int(generator.initial_seed())
