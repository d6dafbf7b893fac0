# SPDX-License-Identifier: Apache-2.0
"""Every call that the engine makes of the system fails in turn, through whole epochs.

    PYTHONPATH=build/check/site .venv/bin/python tests/campaigns/fault_epochs.py

For each kind of call, each errno, once and for ever, each on_error policy and each way to use a
loader, the nth call fails, for every n until an epoch has none left to fail. The folder has JPEG,
PNG, WebP, BMP and GIF files, one of them cut. A file that the engine cannot read is opened again by
Python: with "luck" that works, and nothing may show; without, it fails as the engine's call did.

- What is delivered has the bits that torch's loader delivers, sample for sample, also in the random
  crops that follow; the exception or the report names the file.
- What is no fault of a sample (memory, threads, descriptors) is an exception, and no sample is left
  out or replaced for it.
- Blocks of the engine, descriptors and threads are what they were, and the same loader's next epoch
  is as if nothing had been. A run longer than --seconds ends the process with a traceback.

A build with checks is needed. --every S fails each Sth call only.
"""

import errno
import functools
import gc
import itertools
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import twins
from fault_lives import (
    CALLS,
    ERRNOS,
    OF_FILES,
    POLICIES,
    WAYS,
    Fault,
    Runner,
    Way,
    Wrong,
    make_folder,
)
from penstock import _core


@dataclass
class Result:
    runs: int = 0
    errors: int = 0  # exceptions that the user saw
    refused: int = 0  # samples left out or replaced
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.runs += other.runs
        self.errors += other.errors
        self.refused += other.refused
        self.wrong += other.wrong


# --- sweeps


def sweep(
    runner: Runner, call: str, number: int, forever: bool, luck: bool, policy: str, every: int
) -> Result:
    """Fails call after call, until an epoch has none that is left to fail."""
    result = Result()
    for nth in itertools.count(1, every):
        fault = Fault(call, nth, forever, number, luck)
        try:
            life = runner.live(policy, fault)
            if life.fired == 0:
                break
            runner.check(life, policy, fault)
        except Wrong as wrong:
            result.wrong.append(f"{policy}, {fault}: {wrong}")
            if len(result.wrong) > 20:
                break
            continue
        result.runs += 1
        result.errors += sum(step[0] == "error" for step in life.steps) + (life.error is not None)
        result.refused += len(life.refused)
    return result


def run(
    root: Path,
    way: Way,
    call: str,
    *,
    errnos: list[int] | None = None,
    every: int = 1,
    seconds: float = 60.0,
) -> Result:
    """All sweeps of one kind of call in one way."""
    result = Result()
    runner = Runner(root, way, seconds)
    luck = [True, False] if call in OF_FILES and way.index is None else [True]
    for number in ERRNOS[call] if errnos is None else errnos:
        lucks = luck if number not in (0, errno.EINTR) else [True]
        for forever, is_lucky, policy in itertools.product((False, True), lucks, POLICIES):
            part = sweep(runner, call, number, forever, is_lucky, policy, every)
            result.add(part)
    return result


def _work(root: Path, way: str, call: str, every: int, seconds: float) -> Result:
    twins.torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # each run collects
    return run(root, WAYS[way], call, every=every, seconds=seconds)


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=CALLS)
    options = twins.begin(parser)
    if not hasattr(_core, "_fault_arm"):
        raise SystemExit("this needs a build with checks (tools/build check)")
    whole, start = Result(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(os.cpu_count()) as pool:
        root = make_folder(Path(scratch) / "images")
        work = functools.partial(_work, root, every=options.every, seconds=options.seconds)
        pairs = [(way, call) for way in WAYS for call in CALLS if options.only in (None, call)]
        futures = [(pair, pool.submit(work, *pair)) for pair in pairs]
        for (way, call), future in futures:
            result = future.result()
            whole.add(result)
            print(
                f"{way}, {call}: {result.runs} runs, {result.errors} exceptions, "
                f"{result.refused} samples refused, {len(result.wrong)} wrong",
                flush=True,
            )
            for line in result.wrong[:10]:
                print(f"WRONG {way}, {line}", flush=True)
    print(
        f"{whole.runs} runs with a fault, {whole.errors} exceptions, {whole.refused} samples "
        f"refused, {len(whole.wrong)} wrong, {time.monotonic() - start:.0f} s"
    )
    return 1 if whole.wrong or not whole.runs else 0


if __name__ == "__main__":
    sys.exit(main())
