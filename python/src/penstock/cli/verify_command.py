# SPDX-License-Identifier: Apache-2.0
"""penstock verify: the user's own data through PyTorch's loader and Penstock's, bit for bit."""

import random
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from penstock.cli.arguments import Arguments
from penstock.cli.console import BAD, FINE, CommandError, Console, count, rate, show
from penstock.cli.pipelines import choose, image_folder, keep, need_torch
from penstock.cli.progress import Progress

_AT_ONCE = 4  # batches that are held in memory


def _pieces(samples: list[tuple[str, int]], n: int) -> list[list[tuple[str, int]]]:
    return [samples[i : i + n] for i in range(0, len(samples), n)]


@dataclass(slots=True)
class Result:
    pipeline: str
    batches: int = 0
    samples: int = 0
    difference: Any = None  # penstock.Difference
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.difference is None}


def _piece(dataset: Any, seed: int, args: Arguments, result: Result) -> None:
    """Compares one epoch over what the dataset now holds."""
    import penstock
    import torch

    torch.manual_seed(seed)
    loader = penstock.DataLoader(
        dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers
    )
    explanation = loader.explain()
    if explanation.lane != "native":
        raise CommandError(f"the loader is not native here: {explanation.reason}")
    found = penstock.verify(loader, batches=None)
    if found.difference is not None:
        number = found.difference.batch + result.batches
        result.difference = replace(found.difference, batch=number)
    result.batches += found.batches
    result.samples += found.samples


def _verify(name: str, args: Arguments) -> Result:
    """Goes piece by piece, so that memory holds some batches and not an epoch."""
    dataset = image_folder(args.path, name, args.size)
    choose(dataset, None if args.batches is None else args.batches * args.batch_size)
    samples = list(dataset.samples)
    random.Random(args.seed).shuffle(samples)
    result, since = Result(name), time.monotonic()
    with Progress(f"verify {name}", len(samples), "images") as progress:
        for number, piece in enumerate(_pieces(samples, _AT_ONCE * args.batch_size)):
            keep(dataset, piece)
            _piece(dataset, args.seed + number, args, result)
            if result.difference is not None:
                break
            progress.advance(len(piece))
    result.seconds = time.monotonic() - since
    return result


def run(args: Arguments, console: Console) -> int:
    need_torch("verify")
    results = []
    for name in [args.pipeline] if args.pipeline else ("eval", "train"):
        results.append(_verify(name, args))
        if not console.wants_json:
            _write(results[-1], console)
    is_equal = all(result.difference is None for result in results)
    if console.wants_json:
        console.result(
            "verify",
            {
                "root": args.path,
                "equal": is_equal,
                "seed": args.seed,
                "profile": _profile(),
                "versions": _versions(),
                "pipelines": [result.as_dict() for result in results],
            },
        )
    return FINE if is_equal else BAD


def _versions() -> dict[str, str | None]:
    from penstock.cli.environment import version_of

    return {name: version_of(name) for name in ("torch", "torchvision", "pillow")}


def _profile() -> str:
    from penstock.options import era_of_pillow

    return era_of_pillow(_versions()["pillow"] or "")


def _write(result: Result, console: Console) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    seen = (
        f"{count(result.batches, 'batch', 'batches')}, {count(result.samples, 'image')}, "
        f"{rate(result.samples / max(result.seconds, 1e-9))} images/s"
    )
    if result.difference is None:
        equal = console.style("equal, every bit", "green")
        console.line(f"{result.pipeline}: {equal} ({seen}; {versions})")
        return
    differs = console.style("not equal", "red")
    console.line(f"{result.pipeline}: {differs} ({seen} equal before; {versions})")
    for line in str(result.difference).splitlines():
        console.line(f"  {show(line)}")
