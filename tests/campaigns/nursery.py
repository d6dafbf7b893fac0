# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios, each in a process of its own that ends as an interpreter ends.

    nursery.py                reads requests, one JSON a line, and forks for each before any thread
                              runs, so that a process costs no import of torch
    nursery.py REQUEST        runs one in this very interpreter

A request: {"scenario": NAME, "stderr": FILE, "arguments": {...}}. What comes back, one JSON a line:
{"pid": N}, then {"ready": N} where the scenario says so, and from the first form {"exit": status}.
"""

import json
import os
import signal
import sys
from typing import Any


def tell(**words: Any) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def ready() -> None:
    tell(ready=os.getpid())


def perform(request: dict[str, Any]) -> int:
    os.setsid()  # whoever is left of this session afterwards is an orphan
    # A shell's background job starts with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 2)
    os.close(file)
    tell(pid=os.getpid())
    import scenarios

    return scenarios.SCENARIOS[request["scenario"]](**request["arguments"]) or 0


def main() -> int:
    if len(sys.argv) > 1:
        return perform(json.loads(sys.argv[1]))
    import scenarios  # noqa: F401  (before the forks)

    tell(nursery=os.getpid())
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            return perform(json.loads(line))
        _, status = os.waitpid(pid, 0)
        tell(exit=os.waitstatus_to_exitcode(status))
    return 0


if __name__ == "__main__":
    sys.exit(main())
