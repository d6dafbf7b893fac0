# SPDX-License-Identifier: Apache-2.0
"""How fast something goes on some threads, and what CPU time it takes."""

import itertools
import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Speed:
    items: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.items / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def cpu_ms(self) -> float:
        """Of one item."""
        return self.cpu_s / self.items * 1e3 if self.items else 0.0


def own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid: int) -> float:
    """User and system time of a process that lives, from /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def measure(
    work: Callable[[Item], object],
    items: Sequence[Item],
    threads: int,
    seconds: float,
    *,
    once: bool = False,
) -> Speed:
    """Goes round and round over the items until the time is up; once: at most one round."""
    numbers = itertools.count()
    counts = [0] * threads
    errors: list[BaseException] = []
    deadline = time.monotonic() + seconds
    stop = threading.Event()

    def run(thread: int) -> None:
        try:
            while True:  # at least one: a thread may come to run after the deadline
                number = next(numbers)
                if once and number >= len(items):
                    return
                work(items[number % len(items)])
                counts[thread] += 1
                if stop.is_set() or time.monotonic() >= deadline:
                    return
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(threads)]
    cpu, wall = own_cpu_s(), time.monotonic()
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        stop.set()
    speed = Speed(sum(counts), time.monotonic() - wall, own_cpu_s() - cpu)
    if errors:
        raise errors[0]
    return speed
