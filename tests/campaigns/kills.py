# SPDX-License-Identifier: Apache-2.0
"""Writers of array files that are killed.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/kills.py --count 1000

SIGKILL at --count random moments of appending (a process that opens the file, writes some rows and
commits, again and again) and at as many of converting (`penstock convert`, with a checkpoint behind
each part, onto a file that is there). After each the file is read whole by the oracle: it is the
old one or the new one, never a part. Every third conversion that was killed is resumed to its end,
and killed again on the way.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import array_oracle as oracle
from penstock import ArrayColumn, ArrayWriter
from penstock.cli import array_sources, convert_command
from penstock.cli import main as penstock

ROWS = 40  # of a commit
MOST = 1000  # rows that appending begins anew with


@dataclass
class Result:
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = ", ".join(f"{n} {what}" for what, n in sorted(self.counts.items()))
        return f"{found}; {len(self.problems)} files that are neither old nor new"


def rows(first: int, n: int, salt: int = 0) -> dict[str, object]:
    """What rows hold follows from their numbers."""
    numbers = numpy.arange(first, first + n)
    return {
        "x": (numbers[:, None] * 7 + numpy.arange(50) + salt).astype("f4"),
        "words": [numpy.full(i % 5, i % 251, "u1") for i in range(first, first + n)],
        "y": numbers + salt,
    }


def rows_in(path: Path, salt: int = 0) -> int:
    """How many rows a file has, all of them right; raises where they are not."""
    table = oracle.read(path)
    expected = rows(0, table.n_rows, salt)
    for name, values in expected.items():
        found = table.values[name]
        good = (
            all(map(numpy.array_equal, found, values))
            if isinstance(values, list)
            else numpy.array_equal(found, values)
        )
        if not good:
            raise oracle.Damaged(f"column {name} of {table.n_rows} rows")
    return table.n_rows


def _child(work: Callable[[], object]) -> int:
    """A process that does nothing but work, with nothing on stderr."""
    pid = os.fork()
    if pid:
        return pid
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 1)
    os.dup2(nobody, 2)
    with contextlib.suppress(BaseException):
        work()
        os._exit(0)
    os._exit(1)


def _kill_after(pid: int, seconds: float) -> bool:
    """Whether it was still at work; the moment is what is random here."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


# --- append


def append(path: Path) -> None:
    columns = {
        "x": ArrayColumn("f32", (50,)),
        "words": ArrayColumn("u8", ragged=True),
        "y": ArrayColumn("i64"),
    }
    for turn in range(10**9):
        with ArrayWriter(path, columns, mode="append", buffer_bytes=1) as writer:
            if writer.rows >= MOST:
                break
            for _ in range(1 + turn % 3):
                writer.write(rows(writer.rows, ROWS))
                if turn % 2:
                    writer.commit()
    with ArrayWriter(path, columns) as writer:
        writer.write(rows(0, ROWS))
    append(path)


def run_append(count: int, seed: int, folder: Path, say: Callable[[str], None]) -> Result:
    result, draw = Result(), random.Random(f"append {seed}")
    path = folder / "appended.pst"
    with ArrayWriter(path) as writer:
        writer.write(rows(0, ROWS))
    before = ROWS
    for number in range(count):
        _kill_after(_child(lambda: append(path)), draw.random() * 0.05)
        try:
            n = rows_in(path)
            if n % ROWS:
                raise oracle.Damaged(f"{n} rows, which no commit had")
            result.counts["old" if n == before else "new"] += 1
            before = n
        except (oracle.Damaged, OSError) as error:
            result.problems.append(f"append, kill {number}: {error}")
            say(result.problems[-1])
            break
        if (number + 1) % 100 == 0:
            say(f"append: {number + 1} of {count}: {result}")
    return result


# --- convert


def _source(path: Path, salt: int) -> None:
    made = rows(0, 400, salt)
    numpy.savez(path, x=made["x"], y=made["y"])


def convert(source: Path, target: Path, *options: str) -> int:
    array_sources.PART_BYTES = 4000
    convert_command._CHECKPOINT_BYTES = 1
    return penstock(["convert", "--force", *options, str(source), str(target)])


def _salt_of(path: Path, salts: tuple[int, int]) -> int:
    """Which of two files it is."""
    table = oracle.read(path)
    for salt in salts:
        made = rows(0, 400, salt)
        if all(numpy.array_equal(table.values[name], made[name]) for name in ("x", "y")):
            return salt
    raise oracle.Damaged(f"{table.n_rows} rows that are of neither file")


def _duration(source: Path, target: Path) -> float:
    start = time.monotonic()
    _, status = os.waitpid(_child(lambda: convert(source, target)), 0)
    if status != 0:
        raise RuntimeError("a conversion without a kill failed")
    return time.monotonic() - start


def _convert_once(
    number: int, whole: float, draw: random.Random, folder: Path, result: Result
) -> None:
    target, old, new = folder / "converted.pst", number, number + 1
    source = folder / f"source{number % 2}.npz"
    _source(source, new)
    resume = ("--resume",) if number % 3 == 0 else ()
    for turn in range(4 if resume else 1):
        options = resume if turn else ()
        pid = _child(partial(convert, source, target, *options))
        was_at_work = _kill_after(pid, draw.random() * whole)
        found = _salt_of(target, (old, new))
        result.counts["old" if found == old else "new"] += 1
        result.counts["killed" if was_at_work else "ended before"] += 1
        if found == new:
            result.counts["ended by a resumed run"] += turn > 0
            return
    pid = _child(partial(convert, source, target, *resume))
    if os.waitpid(pid, 0)[1] != 0 or _salt_of(target, (old, new)) != new:
        raise oracle.Damaged("what was killed could not be done again")
    result.counts["ended by a resumed run" if resume else "done again"] += 1


def run_convert(count: int, seed: int, folder: Path, say: Callable[[str], None]) -> Result:
    result, draw = Result(), random.Random(f"convert {seed}")
    _source(folder / "first.npz", 0)
    whole = min(_duration(folder / "first.npz", folder / "converted.pst") for _ in range(3))
    number = 0
    while result.counts["old"] + result.counts["new"] < count:
        try:
            _convert_once(number, 1.1 * whole, draw, folder, result)
        except (oracle.Damaged, OSError, KeyError) as error:
            result.problems.append(f"convert, file {number}: {error!r}")
            say(result.problems[-1])
            break
        number += 1
        if number % 100 == 0:
            say(f"convert: {result}")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files are (default: in TMPDIR)")
    options = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for name, run in (("append", run_append), ("convert", run_convert)):
            start = time.monotonic()
            result = run(
                options.count, options.seed, Path(scratch), lambda text: print(text, flush=True)
            )
            print(f"{name}: {result}, {time.monotonic() - start:.0f} s", flush=True)
            bad |= bool(result.problems) or not result.counts["old"] or not result.counts["new"]
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
