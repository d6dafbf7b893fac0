# SPDX-License-Identifier: Apache-2.0
"""Traces in Chrome's trace event format, which chrome://tracing and ui.perfetto.dev show.

Times are microseconds from the trace's start. Each thread is a track of nested spans; a batch is an
asynchronous span from its submission until it was taken; a counter says how many batches are being
worked on and how many are ready."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import whole_file

if TYPE_CHECKING:
    from penstock.tracing import Event, Part, Recorder

Row = dict[str, Any]
_CONSUMER = 0
_NAMES = {"plan": "plan", "reference": "Pillow", "wait": "wait for the batch"}


class _Track:
    """Where rows are put: a process and a moment that is zero."""

    def __init__(self, zero_ns: int) -> None:
        self.pid = os.getpid()
        self.zero_ns = zero_ns

    def at(self, ns: int) -> float:
        return (ns - self.zero_ns) / 1000

    def row(self, phase: str, name: str, tid: int, ns: int, **more: Any) -> Row:
        return {"ph": phase, "name": name, "pid": self.pid, "tid": tid, "ts": self.at(ns), **more}

    def span(self, name: str, tid: int, ns: int, duration_ns: int, **more: Any) -> Row:
        return self.row("X", name, tid, ns, dur=duration_ns / 1000, cat="loader", args=more)

    def named(self, what: str, tid: int, **values: Any) -> Row:
        return {"ph": "M", "name": what, "pid": self.pid, "tid": tid, "args": values}


def _of_sample(event: "Event") -> dict[str, int]:
    return {"index": event.index, "batch": event.ticket, "slot": event.slot}


def _worker_rows(track: _Track, tid: int, events: Sequence["Event"]) -> Iterator[Row]:
    """Spans of one thread in the order of their ends. A decode and the transform that follows it
    are parts of one span, the sample's."""
    decode: Event | None = None
    for event in events:
        span = (tid, event.start_ns, event.duration_ns)
        if event.kind == "ready":
            yield track.row("i", "ready", tid, event.start_ns, s="t", args={"batch": event.ticket})
        elif event.kind == "plan":
            more = _of_sample(event) if event.slot >= 0 else {}
            yield track.span("plan", *span, samples=event.count, **more)
        elif event.kind == "transform" and decode is not None:
            whole = event.end_ns - decode.start_ns
            yield track.span("sample", tid, decode.start_ns, whole, **_of_sample(event))
            for part in (decode, event):
                yield track.span(
                    part.kind, tid, part.start_ns, part.duration_ns, **_of_sample(part)
                )
        elif event.kind != "decode":
            yield track.span(event.kind, *span, **_of_sample(event))
        decode = event if event.kind == "decode" else None


def _consumer_rows(track: _Track, events: Iterable["Event"]) -> Iterator[Row]:
    for event in events:
        name = _NAMES.get(event.kind)
        if name is not None:
            more = {"batch": event.ticket} if event.slot < 0 else _of_sample(event)
            if event.kind == "plan":
                more["samples"] = event.count
            yield track.span(name, _CONSUMER, event.start_ns, event.duration_ns, **more)


def _batch_rows(track: _Track, number: int, events: Iterable["Event"]) -> Iterator[Row]:
    for event in events:
        if event.kind != "batch":
            continue
        name = f"batch {event.ticket}"
        common = {"cat": "batch", "id": f"{number}.{event.ticket}"}
        args = {"samples": event.count}
        yield track.row("b", name, _CONSUMER, event.start_ns, **common, args=args)
        yield track.row("e", name, _CONSUMER, event.end_ns, **common, args={})


def ready_times(events: Iterable["Event"]) -> dict[int, int]:
    """When each batch was complete. One that was planned again may be so twice."""
    return {event.ticket: event.start_ns for event in events if event.kind == "ready"}


def depths(events: Sequence["Event"]) -> list[tuple[int, int, int]]:
    """How many batches were being worked on and how many were ready, at each moment at which that
    changed: (ns, working, ready)."""
    ready = ready_times(events)
    came = {event.ticket: event.start_ns for event in events if event.kind in ("submit", "batch")}
    left = {event.ticket: event.end_ns for event in events if event.kind == "batch"}
    steps: list[tuple[int, int, int]] = []
    for ticket, start in came.items():
        steps.append((start, 1, 0))
        end = left.get(ticket)  # None: it was there to the end
        done = ready.get(ticket, end)  # one that failed was never ready
        if done is not None:
            steps.append((done if end is None else min(done, end), -1, 1))
        if end is not None:
            steps.append((end, 0, -1))
    found: list[tuple[int, int, int]] = []
    working = waiting = 0
    for ns, more_working, more_ready in sorted(steps, key=lambda step: step[0]):
        working += more_working
        waiting += more_ready
        if found and found[-1][0] == ns:
            found.pop()
        found.append((ns, working, waiting))
    return found


def _counter_rows(track: _Track, number: int, events: Sequence["Event"]) -> Iterator[Row]:
    name = "batches" if number == 0 else f"batches of engine {number}"
    for ns, working, ready in depths(events):
        args = {"in work": working, "ready": ready}
        yield track.row("C", name, _CONSUMER, ns, args=args)


def _part_rows(track: _Track, number: int, first_tid: int, part: "Part") -> Iterator[Row]:
    by_thread: list[list[Event]] = [[] for _ in range(part.threads + 1)]
    for event in part.events:
        by_thread[event.thread].append(event)
    consumer = by_thread.pop()
    for thread, events in enumerate(by_thread):
        tid = first_tid + thread
        name = f"thread {thread}" if number == 0 else f"thread {thread} of engine {number}"
        yield track.named("thread_name", tid, name=name)
        yield track.named("thread_sort_index", tid, sort_index=tid)
        yield from _worker_rows(track, tid, events)
    yield from _consumer_rows(track, consumer)
    yield from _batch_rows(track, number, consumer)
    yield from _counter_rows(track, number, part.events)


def _zero_ns(recorder: "Recorder") -> int:
    """A thread may have begun before the trace what it notes in it."""
    starts = (event.start_ns for part in recorder.parts for event in part.events)
    return min(recorder.start_ns, min(starts, default=recorder.start_ns))


def rows(recorder: "Recorder") -> Iterator[Row]:
    track = _Track(_zero_ns(recorder))
    yield track.named("process_name", _CONSUMER, name="penstock")
    if recorder.lost:
        labels = f"the oldest {recorder.lost} events are lost"
        yield track.named("process_labels", _CONSUMER, labels=labels)
    yield track.named("thread_name", _CONSUMER, name="next()")
    yield track.named("thread_sort_index", _CONSUMER, sort_index=_CONSUMER)
    number = recorder.n_calls - len(recorder.calls)
    for start, end in recorder.calls:
        yield track.span("next()", _CONSUMER, start, end - start, number=number)
        number += 1
    first_tid = _CONSUMER + 1
    for number, part in enumerate(recorder.parts):
        yield from _part_rows(track, number, first_tid, part)
        first_tid += part.threads


def write(recorder: "Recorder", path: Path, about: Row) -> None:
    about = {**about, "lost_events": recorder.lost, "unread_engines": recorder.n_unread}
    with whole_file.written(path) as file:
        file.write('{"displayTimeUnit":"ms","otherData":')
        json.dump(about, file)
        file.write(',"traceEvents":[\n')
        for number, row in enumerate(rows(recorder)):
            file.write(",\n" if number else "")
            json.dump(row, file, separators=(",", ":"))
        file.write("\n]}\n")
