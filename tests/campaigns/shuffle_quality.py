# SPDX-License-Identifier: Apache-2.0
"""How well an order mixes: the engine's permutation and its block shuffle beside NumPy's.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/shuffle_quality.py

displacement: |place - row| / n on average; 1/3 for an order that knows nothing of where rows were.
near pairs: consecutive places whose rows are less than a block apart. blocks: how many different
ones a batch has rows of. classes: how uneven they are in a batch, for rows sorted by class: the
variance of a class's count, divided by that of NumPy's orders; 1 is as even as chance.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
from penstock import _core

CLASSES = 100
Order = Callable[[int], Any]  # of an epoch's key


@dataclass
class Quality:
    displacement: float
    near_pairs: float
    blocks: float
    variance: float


def measure(order: Order, n: int, block: int, batch: int, epochs: int) -> Quality:
    """Means over some epochs."""
    seen = []
    places = numpy.arange(n)
    for key in range(epochs):
        rows = order(key)
        whole = rows[: n // batch * batch].reshape(-1, batch)
        blocks = numpy.sort(whole // block, axis=1)
        classes = whole * CLASSES // n
        counts = numpy.stack([(classes == one).sum(axis=1) for one in range(CLASSES)])
        seen.append(
            (
                numpy.abs(rows - places).mean() / n,
                (numpy.abs(numpy.diff(rows)) < block).mean(),
                (numpy.diff(blocks, axis=1) > 0).sum(axis=1).mean() + 1,
                counts.var(),
            )
        )
    return Quality(*(float(value) for value in numpy.mean(seen, axis=0)))


def numpys(n: int) -> Order:
    return lambda key: numpy.random.default_rng(key).permutation(n)


def engines(n: int, block: int) -> Order:
    return lambda key: _core.permutation(n, key, 0, n, block).numpy()


def table(n: int, batch: int, blocks: list[int], epochs: int) -> list[tuple[int, str, Quality]]:
    rows = []
    for block in blocks:
        for name, order in (
            ("NumPy's permutation", numpys(n)),
            ("permutation", engines(n, 0)),
            ("block shuffle", engines(n, block)),
        ):
            rows.append((block, name, measure(order, n, block, batch, epochs)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_281_167)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--blocks", type=int, nargs="+", default=[16, 256, 4096])
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    n, batch = arguments.rows, arguments.batch
    print(f"{n} rows, batches of {batch}, mean of {arguments.epochs} epochs")
    print("block  order                displacement  near pairs  blocks  classes")
    chance = math.nan
    bad = 0
    for block, name, found in table(n, batch, arguments.blocks, arguments.epochs):
        if name.startswith("NumPy"):
            chance = found.variance
        ratio = found.variance / chance
        print(
            f"{block:5}  {name:19}  {found.displacement:12.4f}  {found.near_pairs:10.5f}  "
            f"{found.blocks:6.1f}  {ratio:7.2f}"
        )
        if name == "permutation" and not (0.98 < ratio < 1.02):
            bad += 1
    print(f"{bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
