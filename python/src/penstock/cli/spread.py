# SPDX-License-Identifier: Apache-2.0
"""One function over many items, on threads, with results as they come."""

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 16  # items a thread takes at a time
_JOIN_S = 5.0


def spread(
    work: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[list[Result]]:
    """Lists of results, in any order. The first exception ends it. Ending the iterator early, as
    Ctrl-C does, stops the threads after the item they are at."""
    starts = iter(range(0, len(items), _CHUNK))
    lock, stop = threading.Lock(), threading.Event()
    # At most so many lists wait: a slow consumer does not let them pile up.
    room = threading.Semaphore(4 * threads)
    results: SimpleQueue[list[Result] | BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            while True:
                room.acquire()
                with lock:
                    start = next(starts, None)
                if start is None or stop.is_set():
                    return
                done: list[Result] = []
                for item in items[start : start + _CHUNK]:
                    if stop.is_set():
                        return
                    done.append(work(item))
                results.put(done)
        except BaseException as error:
            results.put(error)
        finally:
            results.put(None)

    workers = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield from _arrivals(results, threads, room)
    finally:
        stop.set()
        for _ in workers:
            room.release()
        for worker in workers:
            worker.join(_JOIN_S)


def _arrivals(
    results: "SimpleQueue[list[Result] | BaseException | None]",
    threads: int,
    room: threading.Semaphore,
) -> Iterator[list[Result]]:
    running = threads
    while running:
        try:
            arrived = results.get(timeout=0.2)
        except Empty:
            continue
        if arrived is None:
            running -= 1
            room.release()  # for one who waits only to see that nothing is left
        elif isinstance(arrived, BaseException):
            raise arrived
        else:
            room.release()
            yield arrived
