# SPDX-License-Identifier: Apache-2.0
"""Processes that are interrupted, forked or ended with a loader at work.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/signals.py

sigint, sigterm: a signal at --count random moments; the process ends as Python ends by it, at most
2 s later than one with the same imports and no loader, and leaves no other process. fork: os.fork()
after random batches; the child ends well whatever it does, the parent gets the right batches. exit:
each way to end with a loader, within 20 s, with status 0 and nothing on stderr. One process in ten
is an interpreter of its own, the others are forked from one that has done its imports.
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import twins
from twins import kit

NURSERY = Path(__file__).with_name("nursery.py")
CHILDREN = ("drop", "_exit", "exit", "next", "new", "keep")


@dataclass
class Outcome:
    status: int | None  # None: it hung and was killed
    seconds: float  # since the signal, or else since the start
    stderr: str
    orphans: bool


class Lines:
    """JSON lines from a pipe, with a deadline."""

    def __init__(self, pipe: Any) -> None:
        self._fd = pipe.fileno()
        self._rest = b""

    def next(self, until: float) -> dict[str, Any] | None:
        """None: nothing came in time, or the pipe is closed."""
        while b"\n" not in self._rest:
            left = max(until - time.monotonic(), 0)
            if not select.select([self._fd], [], [], left)[0]:
                return None
            data = os.read(self._fd, 65536)
            if not data:
                return None
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def find(self, key: str, until: float) -> Any:
        while (line := self.next(until)) is not None:
            if key in line:
                return line[key]
        return None


def _has_orphans(session: int) -> bool:
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Nursery:
    """See nursery.py. Used as a context; a process that hangs is killed."""

    def __init__(self, scratch: Path) -> None:
        self._stderr = scratch / "stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Lines | None = None
        self._idle: float | None = None

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> Lines:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._lines = Lines(self._process.stdout)
            if self._lines.find("nursery", time.monotonic() + 120) is None:
                raise RuntimeError("the nursery did not start")
        assert self._lines is not None
        return self._lines

    def _request(self, scenario: str, arguments: dict[str, Any]) -> str:
        self._stderr.write_bytes(b"")
        return json.dumps(
            {"scenario": scenario, "stderr": str(self._stderr), "arguments": arguments}
        )

    def run(
        self,
        scenario: str,
        arguments: dict[str, Any],
        *,
        limit: float,
        send: tuple[int, float] | None = None,
        alone: bool = False,
    ) -> Outcome:
        """send: a signal, and how long after the process is ready."""
        request = self._request(scenario, arguments)
        if alone:
            process = subprocess.Popen(
                [sys.executable, NURSERY, request], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
            )
            lines = Lines(process.stdout)
        else:
            lines = self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()
        pid = lines.find("pid", time.monotonic() + 120)
        if pid is None:
            raise RuntimeError(f"{scenario} did not start: {self._stderr.read_text()}")
        start = time.monotonic()
        if send is not None:
            if lines.find("ready", time.monotonic() + 60) is None:
                raise RuntimeError(f"{scenario} was not ready: {self._stderr.read_text()}")
            time.sleep(send[1])  # the random moment
            start = time.monotonic()
            os.kill(pid, send[0])
        if alone:
            status = self._wait_alone(process, start + limit)
        else:
            status = lines.find("exit", start + limit)
        seconds = time.monotonic() - start
        if status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if not alone:
                lines.find("exit", time.monotonic() + 60)
        text = self._stderr.read_text()
        return Outcome(status, seconds, text, _has_orphans(pid))

    def idle(self) -> float:
        """What an interpreter full of torch takes to end by a signal, here and now."""
        if self._idle is None:
            send = (signal.SIGINT, 0.0)
            runs = [self.run("wait", {}, limit=60, send=send, alone=i == 2) for i in range(3)]
            self._idle = max(outcome.seconds for outcome in runs)
        return self._idle

    @staticmethod
    def _wait_alone(process: subprocess.Popen[bytes], until: float) -> int | None:
        try:
            return process.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


# --- judging


@dataclass
class Result:
    runs: int = 0
    slowest: float = 0.0
    idle: float | None = None
    bad: list[str] = field(default_factory=list)

    def add(self, what: str, outcome: Outcome, wrong: str | None) -> None:
        self.runs += 1
        self.slowest = max(self.slowest, outcome.seconds)
        if wrong is None and outcome.orphans:
            wrong = "it left a process"
        if wrong is not None:
            tail = outcome.stderr.strip()[-1500:]
            self.bad.append(f"{what}: {wrong} after {outcome.seconds:.2f} s\n{tail}")
            print(f"BAD {self.bad[-1]}", flush=True)

    def __str__(self) -> str:
        idle = "" if self.idle is None else f", {self.idle:.2f} s without a loader"
        return f"{self.runs} runs, {len(self.bad)} bad, slowest {self.slowest:.2f} s{idle}"


def _status(outcome: Outcome, expected: int) -> str | None:
    if outcome.status is None:
        return "it hung"
    if outcome.status != expected:
        return f"status {outcome.status}, not {expected}"
    return None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def _of_interrupt(outcome: Outcome, idle: float) -> str | None:
    wrong = _status(outcome, -signal.SIGINT)
    if wrong is None and _last_line(outcome.stderr) != "KeyboardInterrupt":
        wrong = "no KeyboardInterrupt"
    return wrong or ("too late" if outcome.seconds > idle + 2 else None)


def _of_term(outcome: Outcome, how: str, idle: float) -> str | None:
    expected = 128 + signal.SIGTERM if how == "handler" else -signal.SIGTERM
    wrong = _status(outcome, expected)
    if wrong is None and outcome.stderr:
        wrong = "stderr is not empty"
    return wrong or ("too late" if outcome.seconds > idle + 2 else None)


def _of_end(outcome: Outcome) -> str | None:
    return _status(outcome, 0) or ("stderr is not empty" if outcome.stderr else None)


def _of_error(outcome: Outcome) -> str | None:
    wrong = _status(outcome, 1)
    lines = outcome.stderr.splitlines()
    if wrong is None and (
        _last_line(outcome.stderr) != "LookupError: on purpose"
        or lines[0] != "Traceback (most recent call last):"
        or sum(not line.startswith("  ") for line in lines) != 2
    ):
        wrong = "stderr is not the traceback alone"
    return wrong


# --- the campaigns


def interrupt(nursery: Nursery, root: Path, count: int, seed: int) -> Result:
    idle = nursery.idle()
    result = Result(idle=idle)
    for number in range(count):
        rng = random.Random(f"{seed} sigint {number}")
        workers, moment = rng.choice([0, 2]), rng.uniform(0, 0.6)
        arguments = {"root": str(root), "workers": workers, "seed": number, "how": "default"}
        outcome = nursery.run(
            "iterate",
            arguments,
            limit=20,
            send=(signal.SIGINT, moment),
            alone=number % 10 == 9,
        )
        what = f"SIGINT {number} after {moment:.3f} s, workers {workers}"
        result.add(what, outcome, _of_interrupt(outcome, idle))
    return result


def terminate(nursery: Nursery, root: Path, count: int, seed: int) -> Result:
    idle = nursery.idle()
    result = Result(idle=idle)
    for number in range(count):
        rng = random.Random(f"{seed} sigterm {number}")
        workers, moment = rng.choice([0, 2]), rng.uniform(0, 0.6)
        how = "handler" if number % 2 else "default"
        arguments = {"root": str(root), "workers": workers, "seed": number, "how": how}
        outcome = nursery.run(
            "iterate",
            arguments,
            limit=20,
            send=(signal.SIGTERM, moment),
            alone=number % 10 == 9,
        )
        what = f"SIGTERM {number} ({how}) after {moment:.3f} s, workers {workers}"
        result.add(what, outcome, _of_term(outcome, how, idle))
    return result


def _expected(root: Path) -> dict[int, list[str]]:
    import scenarios

    return {workers: scenarios.hashes(str(root), workers) for workers in (0, 2)}


def fork(nursery: Nursery, root: Path, count: int, seed: int) -> Result:
    result = Result()
    expected = _expected(root)
    for number in range(count):
        rng = random.Random(f"{seed} fork {number}")
        workers = rng.choice([0, 2])
        at = rng.randint(0, len(expected[workers]))
        child = CHILDREN[number % len(CHILDREN)]
        arguments = {
            "root": str(root),
            "workers": workers,
            "at": at,
            "child": child,
            "expected": expected[workers],
        }
        outcome = nursery.run("fork", arguments, limit=30, alone=number % 10 == 9)
        what = f"fork {number} ({child}) after {at} batches, workers {workers}"
        result.add(what, outcome, _of_end(outcome))
    return result


def end(nursery: Nursery, root: Path, rounds: int, alone: bool) -> Result:
    """alone: each also once in an interpreter of its own."""
    import scenarios

    result = Result()
    for turn in range(rounds + alone):
        for name in (*scenarios.ENDS, "error_inside"):
            for workers in (0, 2):
                arguments = {"root": str(root), "workers": workers}
                outcome = nursery.run(name, arguments, limit=20, alone=turn == rounds)
                judge = _of_error if name == "error_inside" else _of_end
                result.add(f"{name}, workers {workers}", outcome, judge(outcome))
    return result


def some_photos(where: Path | None, scratch: Path) -> Path:
    """A folder of 48 photos, or of pictures made here where they are missing."""
    with contextlib.suppress(SystemExit):
        return twins.link(twins.photo_files(where)[::8][:48], scratch / "photos")
    return Path(kit.make_folder(scratch / "pictures"))


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--count", type=int, default=50, help="of signals and of forks, each")
    parser.add_argument("--rounds", type=int, default=3, help="of each way to end")
    parts = ("sigint", "sigterm", "fork", "exit")
    parser.add_argument("--only", choices=parts)
    options = twins.begin(parser)
    bad = 0
    with tempfile.TemporaryDirectory() as scratch, Nursery(Path(scratch)) as nursery:
        root = some_photos(options.data, Path(scratch))
        run: dict[str, Callable[[], Result]] = {
            "sigint": lambda: interrupt(nursery, root, options.count, options.seed),
            "sigterm": lambda: terminate(nursery, root, options.count, options.seed),
            "fork": lambda: fork(nursery, root, options.count, options.seed),
            "exit": lambda: end(nursery, root, options.rounds, alone=True),
        }
        for name in parts:
            if options.only in (None, name):
                result = run[name]()
                print(f"{name}: {result}", flush=True)
                bad += len(result.bad) + (result.runs == 0)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
