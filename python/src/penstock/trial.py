# SPDX-License-Identifier: Apache-2.0
"""A loader that is run to look at it, as if it had not been run."""

import contextlib
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


def generators_of(loader: Any) -> list[torch.Generator]:
    """All that it can reach, the global one first, each once."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    owners = (loader, loader.sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = [torch.default_generator]
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator) and generator not in found:
            found.append(generator)
    return found


class States:
    """All generators that a loader can reach, to be put back."""

    def __init__(self, loader: Any) -> None:
        self.torch = [(g, g.get_state()) for g in generators_of(loader)]
        self.random = random.getstate()
        numpy = sys.modules.get("numpy")
        self.numpy = numpy.random.get_state() if numpy is not None else None

    def restore(self) -> None:
        for generator, state in self.torch:
            generator.set_state(state)
        random.setstate(self.random)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)

    def differ(self, other: "States") -> bool:
        pairs = zip(self.torch, other.torch, strict=True)
        return self.random != other.random or any(
            not torch.equal(mine[1], theirs[1]) for mine, theirs in pairs
        )


@dataclass(slots=True)
class Seen:
    value: Any  # a batch or an exception
    indices: list[int]  # in the dataset
    paths: list[str]
    notes: list[str]  # what was drawn
    start_ns: int  # of time.monotonic_ns(), around next()
    end_ns: int


@contextlib.contextmanager
def ended(iterator: Any) -> Iterator[Any]:
    """Ends an iterator's threads or processes afterwards."""
    try:
        yield iterator
    finally:
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()


def _samples_of(iterator: Any, dataset: Any) -> tuple[list[int], list[str]]:
    """Indices in the dataset, and paths, of the samples that a native iterator gave last."""
    places = range(len(dataset))
    asked = [places[which] for which in iterator._asked]
    return asked, [iterator._spec.table.path(index) for index in iterator._indices]


def collect(iterator: Any, most: int | None, dataset: Any = None) -> Iterator[Seen]:
    """The results of next(), exceptions too, as far as stock goes on after them."""
    notes: list[str] = []
    if hasattr(iterator, "_notes"):
        iterator._notes = notes
    n = 0
    while most is None or n < most:
        notes.clear()
        start = time.monotonic_ns()
        try:
            value = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            value = error
        end = time.monotonic_ns()
        indices: list[int] = []
        paths: list[str] = []
        if dataset is not None:
            with contextlib.suppress(IndexError, TypeError):  # of a batch that has none
                indices, paths = _samples_of(iterator, dataset)
        yield Seen(value, indices, paths, list(notes), start, end)
        n += 1
