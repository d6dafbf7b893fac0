# SPDX-License-Identifier: Apache-2.0
"""The engine's own order of samples, in the place of a sampler that has nothing of the user's.

With rng="sample" a shuffled epoch is a permutation that its seed and number decide: nothing is
drawn, no list is made, and the indices of any batch are computed by themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock import _core, rng
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

# On the sampler and not on the loader: it goes where copies, pickles and rebuilt loaders take it.
_MARK = "_penstock_shuffle"
_PURPOSE = 1  # of an epoch's key: draws of samples have the key itself
BLOCKS = 64  # mixed at a time, see penstock/order.h


def check(shuffle_block: Any, rng_mode: Any) -> None:
    """Refuses what no loader could use, where the mistake was made."""
    if shuffle_block is None:
        return
    if isinstance(shuffle_block, bool) or not isinstance(shuffle_block, int):
        raise TypeError(
            f"shuffle_block should be an int or None, not {type(shuffle_block).__name__}"
        )
    if not 1 <= shuffle_block < 2**63:
        raise ValueError(f"shuffle_block should be a positive number of rows, got {shuffle_block}")
    if rng_mode != "sample":
        raise ValueError(
            "shuffle_block is for the engine's own order: it needs rng='sample', and "
            f"rng={rng_mode!r} has torch's order"
        )


def mark(loader: Any, shuffle: Any) -> None:
    """Tells the sampler that torch's loader made for shuffle=True from one that a user made."""
    if shuffle and type(getattr(loader, "sampler", None)) is RandomSampler:
        setattr(loader.sampler, _MARK, True)
    elif loader.shuffle_block is not None and type(loader.sampler) is SequentialSampler:
        raise ValueError("shuffle_block is for a shuffled order: it needs shuffle=True")


@dataclass(frozen=True, slots=True)
class Order:
    """The batches of an epoch, each computed on its own."""

    n: int
    batch_size: int
    drop_last: bool
    is_shuffled: bool
    block: int = 0  # rows of one that stay near each other, 0: none

    def __len__(self) -> int:
        return (self.n if self.drop_last else self.n + self.batch_size - 1) // self.batch_size

    def batch(self, key: int, number: int) -> list[int]:
        start = number * self.batch_size
        stop = min(start + self.batch_size, self.n)
        if not self.is_shuffled:
            return list(range(start, stop))
        rows = _core.permutation(self.n, key, start, stop - start, self.block)
        indices: list[int] = rows.tolist()
        return indices

    def batches(
        self, epoch_key: int, first: int = 0, stop: int | None = None
    ) -> Iterator[list[int]]:
        key = rng.mix(epoch_key, _PURPOSE)
        numbers = range(first, len(self) if stop is None else stop)
        return (self.batch(key, number) for number in numbers)

    def __str__(self) -> str:
        if not self.is_shuffled:
            return f"0 to {self.n - 1}, one after the other"
        how = f"a permutation of {self.n}, of which seed and epoch decide each place"
        if self.block:
            how += f", in blocks of {self.block} rows of which {BLOCKS} are mixed at a time"
        return how


def own(loader: Any) -> Order | None:
    """The order of a loader with rng="sample", unless a sampler of the user's says it."""
    if getattr(loader, "rng", "torch") != "sample":
        return None
    batch_sampler, sampler = loader.batch_sampler, loader.sampler
    if type(batch_sampler) is not BatchSampler or batch_sampler.sampler is not sampler:
        return None
    sizes = batch_sampler.batch_size, batch_sampler.drop_last
    if type(sampler) is SequentialSampler:
        return Order(len(sampler.data_source), *sizes, is_shuffled=False)
    if type(sampler) is not RandomSampler or not getattr(sampler, _MARK, False):
        return None
    if sampler.replacement or sampler._num_samples is not None:
        return None
    block = loader.shuffle_block or 0
    return Order(len(sampler.data_source), *sizes, is_shuffled=True, block=block)
