# SPDX-License-Identifier: Apache-2.0
"""The drop-in for torch.utils.data.DataLoader."""

import os
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any, Literal, TypeVar

import torch
import torch.utils.data
from penstock import lanes, meter, options, ordering, policy
from penstock.engines import record_of
from penstock.explanation import Explanation
from penstock.stats import Stats
from penstock.tracing import Trace
from penstock.watched import Watched, Watcher
from torch.utils.data import Dataset, Sampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

T_co = TypeVar("T_co", covariant=True)


class DataLoader(torch.utils.data.DataLoader[T_co]):
    """torch.utils.data.DataLoader with the same arguments and the same batches.

    Where the dataset and its transforms are known to the C engine, threads of this process do the
    work; everything else runs on torch's own loader. explain() says which it is and why.

    threads: how many threads work; None: num_workers, as far as there are cores.
    rng: "torch" draws what torch's workers would draw; with "sample" the draws of a sample depend
        on the seed, the epoch and its index alone, and so does the order of shuffle=True.
    memory_budget: bytes that batches and records may hold, also as text such as "512MB".
    profile: whose pixels: "pillow-9", "pillow-12.2", "pillow-13"; None: the installed Pillow's.
    out_dtype: images as torch.float32, float16 or bfloat16: what torch's batch would be after
        .to(out_dtype). torch.uint8: the pixels as they are before ToTensor or ToDtype, so that they
        can be normalised on the accelerator. None: what the transforms make.
    memory_format: torch.channels_last lays images out as .contiguous(memory_format=...) would.
    exif: True turns each image upright before its transforms, as its EXIF orientation says and
        ImageOps.exif_transpose() does it. False: as it lies in the file, as torchvision has it.
    progress: True shows a line on stderr while the loader is iterated, if that is a terminal; a
        callable gets a Progress at most ten times a second, and at the end.
    on_error: what becomes of a sample that cannot be had: "raise" its error, as torch does; "skip":
        its batch has a sample less; "substitute": another one of the epoch takes its place.
    max_errors: of an epoch: how many, or (a float) which share of its samples may be refused.
    quarantine: a file that gets a line of JSON for each of them.
    strict: True refuses images that Pillow passes in silence though they are damaged, or have
        something behind their end.
    shuffle_block: with rng="sample" and shuffle=True, for storage that is slow to jump: blocks of
        so many rows come in a random order, and the rows of 64 of them are mixed.
        All of these from on_error on, but for "raise", are the engine's alone, as are out_dtype,
        memory_format and exif: a loader that it does not do is refused when it is iterated.

    Nothing is taken, drawn or started before an iterator is asked for, and all that the iterator
    depends on is read then: frameworks rebuild, copy and change loaders.
    """

    # For instances whose __init__ never ran.
    threads: int | None = None
    rng: Literal["torch", "sample"] = "torch"
    memory_budget: int | str | None = None
    profile: options.Profile | None = None
    out_dtype: torch.dtype | None = None
    memory_format: torch.memory_format | None = None
    exif: bool = False
    progress: meter.Progressing = False
    on_error: policy.OnError = "raise"
    max_errors: int | float | None = None
    quarantine: str | os.PathLike[str] | None = None
    strict: bool = False
    shuffle_block: int | None = None

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[T_co]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: torch.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        threads: int | None = None,
        rng: Literal["torch", "sample"] = "torch",
        memory_budget: int | str | None = None,
        profile: options.Profile | None = None,
        out_dtype: torch.dtype | None = None,
        memory_format: torch.memory_format | None = None,
        exif: bool = False,
        progress: meter.Progressing = False,
        on_error: policy.OnError = "raise",
        max_errors: int | float | None = None,
        quarantine: str | os.PathLike[str] | None = None,
        strict: bool = False,
        shuffle_block: int | None = None,
    ) -> None:
        options.check(threads, rng, memory_budget, profile, out_dtype, memory_format, exif)
        meter.check(progress)
        policy.check(on_error, max_errors, quarantine, strict)
        ordering.check(shuffle_block, rng)
        super().__init__(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            num_workers,
            collate_fn,
            pin_memory,
            drop_last,
            timeout,
            worker_init_fn,
            multiprocessing_context,
            generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )
        self.threads = threads
        self.rng = rng
        self.memory_budget = memory_budget
        self.profile = profile
        self.out_dtype = out_dtype
        self.memory_format = memory_format
        self.exif = exif
        self.progress = progress
        self.on_error = on_error
        self.max_errors = max_errors
        self.quarantine = quarantine
        self.strict = strict
        self.shuffle_block = shuffle_block
        ordering.mark(self, shuffle)

    def __iter__(self) -> _BaseDataLoaderIter:
        iterator = super().__iter__()
        recorder = record_of(self).recorder
        if self.progress is False and recorder is None:
            return iterator
        watchers: list[Watcher] = list(filter(None, [recorder, meter.meter_of(self, iterator)]))
        watched: Any = Watched(iterator, watchers) if watchers else iterator
        return watched  # type: ignore[no-any-return]

    def _get_iterator(self) -> _BaseDataLoaderIter:
        iterator = lanes.iterator_for(self)
        return super()._get_iterator() if iterator is None else iterator

    def explain(self) -> Explanation:
        """Which lane each stage takes, and why. Starts nothing and draws nothing."""
        return lanes.explain(self)

    # Properties, so that a loader of the Python lane has neither, as torch's has not: frameworks
    # that find them call them at each batch or checkpoint.
    @property
    def state_dict(self) -> Callable[[], dict[str, Any]]:
        """state_dict() -> dict: where the epoch is, as numbers, texts and lists. Starts nothing and
        draws nothing.

        It is of the iterator that was made last; after its end, of the epoch to come. A loader that
        runs on the Python lane has none: the AttributeError says why."""
        return lanes.state_dict(self)

    @property
    def load_state_dict(self) -> Callable[[dict[str, Any]], None]:
        """load_state_dict(state): the next iterator gives the batches that were not delivered yet
        when the state was taken, bit for bit, on any number of threads, and later epochs are those
        that were to come.

        Raises ValueError for a state of other data, batches or options, RuntimeError while the
        loader is iterated. A loader that runs on the Python lane has none, as of state_dict."""
        return lanes.load_state_dict(self)

    def report(self) -> policy.ErrorReport:
        """Which samples could not be had so far, and why, with another on_error than "raise"."""
        return lanes.report(self)

    def stats(self) -> Stats:
        """Where the time and the memory of this loader went so far."""
        return lanes.stats(self)

    def trace(self, path: str | os.PathLike[str], *, events: int = 1 << 16) -> Trace:
        """Writes what each thread did, and when, for chrome://tracing and ui.perfetto.dev.

            loader.trace("run.json")  # of the next epoch; written when it ends or is left

            with loader.trace("run.json"):  # of what is iterated in here
                ...

        events: how many each thread keeps; the oldest go first, and are counted. A sample has five.
        """
        return Trace(record_of(self), self.explain(), path, events)
