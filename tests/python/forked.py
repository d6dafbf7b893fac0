# SPDX-License-Identifier: Apache-2.0
"""Runs programs, each in a process of its own that ends as an interpreter ends. It is forked from
one that has done the imports: those of torch and torchvision take seconds.

As a program: reads requests, one JSON a line, {"code", "arguments", "out", "err"}; forks for each
before any thread runs, and answers {"pid": N}, then {"exit": status}.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Forked:
    """A context. A program that hangs is killed, and its test fails."""

    def __init__(self, scratch: Path) -> None:
        self._out, self._err = scratch / "out", scratch / "err"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _answer(self, key: str, timeout: float) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimeoutError(key)
        line: dict[str, int] = json.loads(self._process.stdout.readline())
        return line[key]

    def run(
        self, code: str, arguments: Sequence[str] = (), timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        if self._process is None:
            flags = ["-X", "faulthandler", "-W", "error::ResourceWarning"]
            self._process = subprocess.Popen(
                [sys.executable, *flags, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        request = {"code": code, "arguments": list(arguments)}
        files = {"out": str(self._out), "err": str(self._err)}
        self._process.stdin.write(json.dumps(request | files) + "\n")
        self._process.stdin.flush()
        pid = self._answer("pid", 100)
        try:
            status = self._answer("exit", timeout)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._answer("exit", 60)
            raise
        out, err = self._out.read_text(), self._err.read_text()
        return subprocess.CompletedProcess([], status, out, err)


def tell(**words: Any) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def become(request: dict[str, Any]) -> None:
    tell(pid=os.getpid())
    for fd, name in ((1, "out"), (2, "err")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, fd)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["-c", *request["arguments"]]


def next_program() -> str | None:
    """In a new process, the code that it is to run; None at the end."""
    while line := sys.stdin.readline():
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(request)
            code: str = request["code"]
            return code
        _, status = os.waitpid(pid, 0)
        tell(exit=os.waitstatus_to_exitcode(status))
    return None


if __name__ == "__main__":
    import kit  # noqa: F401  (before the forks)

    program = next_program()
    if program is not None:
        exec(compile(program, "<program>", "exec"))  # in the globals of __main__, as `python -c`
