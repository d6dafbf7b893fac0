# SPDX-License-Identifier: Apache-2.0
"""Loaders that go on from states, beside lives that were not interrupted.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/resume.py --points 500

Each boundary of three epochs of each way to shuffle and to have workers; then random points of
random loaders, several states one after the other on other numbers of threads. With rng="torch"
what has to come is what torch's own loader gives. Every state goes through JSON.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import twins
from torch.utils.data import RandomSampler, WeightedRandomSampler
from twins import kit

EPOCHS = 3
THREADS = (1, 2, 3, 8)

Make = Callable[..., Any]
Look = Callable[[Any], str]


def look(batch: Any) -> str:
    return repr(kit.visible(batch))


def chain(make: Make, rng: random.Random, most: int, epochs: int, seen: Look) -> list[Any]:
    """A life with up to `most` interruptions, each going on in another loader, that was seeded
    otherwise. The batches with their epochs."""
    kit.seed_all(7)
    loader = make(threads=rng.choice(THREADS))
    found: list[Any] = []
    taken = loader.state_dict()
    for _ in range(most):
        epoch, stop = taken["epoch"], rng.randrange(2 * len(loader) + 2)
        while stop > 0 and epoch < epochs:
            iterator = iter(loader)
            for batch in iterator:
                found.append((epoch, seen(batch)))
                stop -= 1
                if stop == 0:
                    break
            else:
                epoch += 1
                stop -= 1
        taken = json.loads(json.dumps(loader.state_dict()))
        kit.seed_all(rng.randrange(10**6))
        loader = make(threads=rng.choice(THREADS))
        loader.load_state_dict(taken)
    for epoch in range(taken["epoch"], epochs):
        found += [(epoch, seen(batch)) for batch in loader]
    return found


@dataclass
class Result:
    points: int = 0
    differences: list[str] = field(default_factory=list)
    sizes: dict[str, set[int]] = field(default_factory=dict)
    take_s: float = 0.0
    n_taken: int = 0

    def add(self, way: str, found: list[Any], expected: list[Any]) -> None:
        self.points += 1
        if found != expected:
            self.differences.append(way)


def ways() -> Iterator[tuple[str, dict[str, Any]]]:
    for rng in ("torch", "sample"):
        for shuffle in (False, True):
            for workers in (0, 2):
                for persistent in (False, True)[: 1 + (workers > 0)]:
                    options: dict[str, Any] = {"rng": rng, "shuffle": shuffle}
                    options["num_workers"] = workers
                    options["persistent_workers"] = persistent
                    name = f"rng {rng}, shuffle {shuffle}, workers {workers}"
                    yield name + ", persistent" * persistent, options


def life(make: Make, cls: type, result: Result) -> tuple[list[Any], list[tuple[int, Any]]]:
    """Without an interruption: the batches, and after each and at each end the state."""
    kit.seed_all(7)
    loader = make(cls)
    batches: list[Any] = []
    states: list[tuple[int, Any]] = []

    def note() -> None:
        if cls is twins.OURS:
            start = time.perf_counter()
            taken = loader.state_dict()
            result.take_s += time.perf_counter() - start
            result.n_taken += 1
            states.append((len(batches), taken))

    note()
    for epoch in range(EPOCHS):
        for batch in loader:
            batches.append((epoch, look(batch)))
            note()
        note()
    return batches, states


def maker(dataset: Any, options: dict[str, Any], batch_size: int) -> Make:
    def make(cls: type = twins.OURS, **more: Any) -> Any:
        chosen = {**options, **more}
        if cls is not twins.OURS:
            chosen.pop("rng", None)
        return cls(dataset, batch_size, **chosen)

    return make


def boundaries(dataset: Any, result: Result, batch_size: int) -> None:
    for name, options in ways():
        make = maker(dataset, options, batch_size)
        batches, states = life(make, twins.OURS, result)
        if options["rng"] == "torch":
            result.add(f"{name}: torch's own", batches, life(make, twins.STOCK, result)[0])
        for at, taken in states:
            text = json.dumps(taken)
            result.sizes.setdefault(name, set()).add(len(text))
            for threads in THREADS:
                kit.seed_all(99 + at)
                loader = make(threads=threads)
                loader.load_state_dict(json.loads(text))
                found = []
                for epoch in range(taken["epoch"], EPOCHS):
                    found += [(epoch, look(batch)) for batch in loader]
                result.add(f"{name}: batch {at}, {threads} threads", found, batches[at:])


def draw(rng: random.Random, dataset: Any) -> tuple[dict[str, Any], int]:
    """Options of a random loader."""
    options: dict[str, Any] = {"rng": rng.choice(["torch", "sample"])}
    options["num_workers"] = rng.choice([0, 1, 2, 3])
    if options["num_workers"]:
        options["prefetch_factor"] = rng.choice([1, 2, 5])
        options["persistent_workers"] = rng.random() < 0.5
    options["drop_last"] = rng.random() < 0.3
    kind = rng.choice(["order", "shuffle", "blocks", "replacement", "weights", "generator"])
    seed = rng.randrange(10**6)
    n = len(dataset)
    if kind in ("shuffle", "blocks", "generator"):
        options["shuffle"] = True
    if kind == "blocks":
        options["rng"], options["shuffle_block"] = "sample", rng.randrange(1, 9)
    if kind == "replacement":
        options["sampler"] = lambda: RandomSampler(dataset, True, n, _generator(seed))
    if kind == "weights":
        options["sampler"] = lambda: WeightedRandomSampler([1.0] * n, n)
    if kind == "generator":
        options["generator"] = lambda: _generator(seed)
    return options, rng.randrange(1, 8)


def _generator(seed: int) -> Any:
    return twins.torch.Generator().manual_seed(seed)


def random_points(root: Path, result: Result, points: int, seed: int) -> None:
    rng = random.Random(seed)
    while points > 0:
        pipeline = rng.choice(["train_v1", "train_v2", "simclr_v2", "erasing_v1", "augment_v1"])
        dataset = kit.folder_of(root, kit.PIPELINES[pipeline]())
        if pipeline in ("erasing_v1",):
            dataset = twins.torch.utils.data.Subset(dataset, list(range(13, -1, -2)))
        options, batch_size = draw(rng, dataset)

        def make(cls: type = twins.OURS, **more: Any) -> Any:
            chosen = {k: v() if callable(v) else v for k, v in options.items()}  # noqa: B023
            return maker(dataset, chosen, batch_size)(cls, **more)  # noqa: B023

        own = options["rng"] == "sample"
        expected, _ = life(make, twins.OURS if own else twins.STOCK, Result())
        for _ in range(min(points, 4)):
            most = rng.randrange(1, 6)
            way = f"{pipeline} {options} batches of {batch_size}, {most} states"
            result.add(way, chain(make, rng, most, EPOCHS, look), expected)
            points -= 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=500, help="random ones, after the boundaries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    twins.torch.set_num_threads(1)
    result = Result()
    with tempfile.TemporaryDirectory() as scratch:
        root = kit.make_folder(Path(scratch))
        boundaries(kit.folder_of(root, kit.train_v1()), result, options.batch)
        print(f"boundaries: {result.points} lives, {len(result.differences)} differ", flush=True)
        for name, sizes in result.sizes.items():
            print(f"  {name}: {min(sizes)} to {max(sizes)} bytes of JSON")
        print(f"  state_dict(): {result.take_s / result.n_taken * 1e6:.0f} us")
        random_points(root, result, options.points, options.seed)
    for way in result.differences[:20]:
        print(f"DIFFERENT: {way}")
    print(f"{result.points} lives that went on from states, {len(result.differences)} differ")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
