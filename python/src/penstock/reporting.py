# SPDX-License-Identifier: Apache-2.0
"""report(): a page that shows where a loader's time goes and what its samples look like."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import penstock
import torch.utils.data
from penstock import chrome, lanes, page, plots, sheet, whole_file
from penstock.engines import Record, record_of
from penstock.policy import ErrorReport
from penstock.stats import Stats
from penstock.tracing import Event, Recorder
from penstock.trial import Seen, States, collect, ended

_EVENTS = 1 << 16
_SHOWN = {"reference": "Pillow"}
_MOST_ERRORS = 20


@dataclass(slots=True)
class _Run:
    """What a run of some batches showed. Times are of time.monotonic_ns()."""

    start_ns: int
    end_ns: int = 0
    is_native: bool = False
    calls: list[tuple[int, int]] = field(default_factory=list)  # of iter() and next()
    n_batches: int = 0
    n_samples: int = 0
    errors: list[tuple[int, Exception]] = field(default_factory=list)
    n_errors: int = 0
    refused: ErrorReport = field(default_factory=ErrorReport)
    kept: list[tuple[int, Seen]] = field(default_factory=list)
    n_kept: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    stage_s: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    depths: list[tuple[int, int, int]] = field(default_factory=list)
    lost: int = 0

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def at(self, ns: int) -> float:
        return (ns - self.start_ns) / 1e9

    @property
    def wait_share(self) -> float:
        waited = sum(end - start for start, end in self.calls)
        return min(waited / max(self.end_ns - self.start_ns, 1), 1.0)

    def note(self, number: int, seen: Seen, images: int) -> None:
        self.calls.append((seen.start_ns, seen.end_ns))
        if isinstance(seen.value, Exception):
            self.n_errors += 1
            if len(self.errors) < _MOST_ERRORS:
                self.errors.append((number, seen.value.with_traceback(None)))
            return
        self.n_batches += 1
        pictures = sheet.images_of(seen.value)
        if pictures is not None:
            self.n_samples += len(pictures)
        if self.n_kept < images:
            one = sheet.kept(seen, images - self.n_kept)
            self.n_kept += 0 if one.value[0] is None else len(one.value[0])
            self.kept.append((number, one))


def _iterate(
    loader: Any,
    record: Record,
    recorder: Recorder,
    batches: int,
    images: int,
    step: Callable[[Any], object] | None,
) -> _Run:
    run = _Run(time.monotonic_ns())
    on_error = replace(lanes.on_error_of(loader), quarantine=None)
    iterator = lanes.iterator_for(loader, on_error, record)
    run.is_native = iterator is not None
    if iterator is None:
        iterator = torch.utils.data.DataLoader._get_iterator(loader)
    run.calls.append((run.start_ns, time.monotonic_ns()))
    with ended(iterator):
        dataset = loader.dataset if run.is_native else None
        for number, seen in enumerate(collect(iterator, batches, dataset)):
            run.note(number, seen, images)
            if step is not None and not isinstance(seen.value, Exception):
                step(seen.value)
        run.end_ns = time.monotonic_ns()
        run.counters = record.counters()
        run.refused = record.errors()
        run.stage_s = Stats(run.counters).as_dict()["stage_s"]
        recorder.stop()  # in front of the engine's end
    return run


def _run(loader: Any, batches: int, images: int, step: Callable[[Any], object] | None) -> _Run:
    # A record of its own: the loader's counters, threads and traces have nothing to do with it.
    record = record_of(loader).apart()
    recorder = Recorder(record, _EVENTS)
    before = States(loader)
    recorder.start()
    try:
        run = _iterate(loader, record, recorder, batches, images, step)
    finally:
        recorder.stop()
        before.restore()
    for part in recorder.parts:
        run.events += part.events
        run.depths += chrome.depths(part.events)
    run.lost = recorder.lost
    return run


# --- the page


def _tiles(run: _Run) -> str:
    speed = run.n_samples / run.seconds if run.seconds > 0 else 0.0
    tiles = [
        (f"{speed:,.0f}", "samples a second"),
        (f"{100 * run.wait_share:.1f} %", "of the time in iter() and next()"),
        (f"{run.n_samples:,}", f"samples in {run.n_batches:,} batches"),
        (_time(run.seconds), "from the iterator's start to the last batch"),
    ]
    if run.is_native:
        count = run.counters
        tiles += [
            (f"{count['doubts']:,}", "samples that Pillow decided"),
            (f"{count['held_peak_bytes'] / 2**20:.1f} MiB", "held at most"),
        ]
    return page.tiles(tiles)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _each(run: _Run, stage: str) -> str:
    """By the events: stats() counts the work on batches that nobody came for, not their samples."""
    events = [event for event in run.events if event.kind == stage]
    samples = sum(event.count for event in events)
    if not samples:
        return ""
    return f", {_time(sum(event.duration_ns for event in events) / samples / 1e9)} a sample"


def _stage_plot(run: _Run) -> str:
    if not run.is_native:
        return page.note(
            "The loader runs on PyTorch's own lane: of what happens there only the time in next() "
            "is known."
        )
    times = run.stage_s
    whole = sum(times.values()) or 1.0
    rows = [
        (
            _SHOWN.get(name, name),
            seconds,
            f"{_time(seconds)}, {100 * seconds / whole:.0f} %" + _each(run, name),
        )
        for name, seconds in times.items()
    ]
    return plots.bars("time of each stage, of all threads together", rows)


def _busy_plot(run: _Run) -> str:
    layers = []
    for name in run.stage_s:
        spans = [(run.at(e.start_ns), run.at(e.end_ns)) for e in run.events if e.kind == name]
        layers.append((_SHOWN.get(name, name), plots.shares(spans, 0.0, run.seconds)))
    most = max(map(sum, zip(*(values for _, values in layers), strict=True)), default=0.0)
    svg = plots.columns("threads at work in each stage over time", run.seconds, layers, most, "")
    return svg + plots.legend([name for name, _ in layers])


def _depth_plot(run: _Run) -> str:
    depths = [entry for entry in run.depths if entry[0] <= run.end_ns]
    lines = [
        ("ready", [(run.at(ns), float(ready)) for ns, _, ready in depths]),
        ("in work", [(run.at(ns), float(working)) for ns, working, _ in depths]),
    ]
    svg = plots.steps("batches ready and in work over time", run.seconds, lines)
    return svg + plots.legend([name for name, _ in lines])


def _wait_plot(run: _Run) -> str:
    spans = [(run.at(start), run.at(end)) for start, end in run.calls]
    values = [100 * min(share, 1.0) for share in plots.shares(spans, 0.0, run.seconds)]
    return plots.columns(
        "share of the time in iter() and next() over time",
        run.seconds,
        [("in iter() and next()", values)],
        100.0,
        " %",
    )


def _plots(run: _Run, step: object) -> str:
    out = page.section(
        "Time of each stage",
        "All threads together; Pillow in the one that asks for batches.",
        _stage_plot(run),
    )
    if run.events:
        out += page.section(
            "Threads at work", "How many, in which stage, over time.", _busy_plot(run)
        )
        out += page.section(
            "Batches in the queue",
            "Ready and not yet asked for, and in work. With nothing ready, next() has to wait.",
            _depth_plot(run),
        )
    if run.lost:
        out += page.note(f"{run.lost} events are lost: the plots over time begin late.")
    said = (
        "Between two batches ran the step that was given."
        if step is not None
        else "Nothing is done between two batches, so this is the loader alone: a training that "
        "takes longer for a batch than next() does not wait."
    )
    return out + page.section("Waiting for the loader", said, _wait_plot(run))


def _pictures(loader: Any, run: _Run) -> str:
    pictures, said = sheet.sheet(loader, run.kept)
    drawn = " Below each is what was drawn for it." if run.is_native and pictures else ""
    return page.section("Samples", said + drawn, "".join(map(page.figure, pictures)), "sheet")


def _errors(run: _Run) -> str:
    if not run.n_errors:
        return ""
    items = "".join(
        f"<li>batch {number}: {page.text(f'{type(error).__name__}: {error}'[:2000])}</li>"
        for number, error in run.errors
    )
    more = run.n_errors - len(run.errors)
    said = f"next() raised {run.n_errors} times." + (f" {more} are not shown." if more else "")
    return page.section("Errors", said, f"<ul>{items}</ul>")


def _refused(run: _Run) -> str:
    if not run.refused:
        return ""
    rows = [
        (str(one.index), one.path, one.policy, f"{one.error}: {one.message}")
        for one in run.refused.refused[:_MOST_ERRORS]
    ]
    more = run.refused.count - len(rows)
    said = f"{run.refused.count} of {run.refused.samples} samples." + (
        f" {more} are not shown." if more else ""
    )
    inner = page.table(("index", "file", "policy", "why"), rows)
    return page.section("Samples that could not be had", said, inner)


def _head(loader: Any, explanation: penstock.Explanation) -> str:
    settings = {
        "batch_size": getattr(loader, "batch_size", None),
        "num_workers": loader.num_workers,
        **explanation.settings,
    }
    said = ", ".join(f"{name} {value}" for name, value in settings.items())
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return (
        f"<p>{page.text(explanation.lane)} lane: {page.text(explanation.reason)}. "
        f"{page.text(said)}.</p>"
        f"<p>penstock {page.text(penstock.__version__)}, torch {page.text(torch.__version__)}, "
        f"{os.cpu_count()} processors, {page.text(when)}</p>"
    )


def _stages(explanation: penstock.Explanation) -> str:
    rows = [(stage.name, stage.lane, stage.why) for stage in explanation.stages]
    return page.section("Lanes", "What explain() says.", page.table(("stage", "lane", "why"), rows))


def _whole_number(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} should be an int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} should be at least {least}, got {value}")


def report(
    loader: torch.utils.data.DataLoader[Any],
    path: str | os.PathLike[str],
    *,
    batches: int = 16,
    images: int = 24,
    step: Callable[[Any], object] | None = None,
) -> Path:
    """Runs some batches and writes a page about them: time of each stage, queue and waiting over
    time, and the first images with what was drawn for each. Returns the page's path.

    The page is one file that needs no other and runs no script. loader is any loader of torch's
    class. batches: how many are run; images: how many are shown. step is called with each batch,
    as a training would be; without it the loader is all that is waited for.

    The run draws what the next epoch's first batches would draw: a seed for the workers and the
    order from torch's generator or the sampler's, with num_workers=0 the transforms' numbers, too.
    All of these generators, `random` and NumPy's are put back afterwards. stats(), the loader's own
    report(), its quarantine and the epochs that rng="sample" counts know nothing of it. What else a
    sampler or a dataset of yours keeps is not put back.
    """
    _whole_number("batches", batches, 1)
    _whole_number("images", images, 0)
    where = Path(path)
    if not where.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(where.parent)!r} for the report")
    explanation = lanes.explain(loader)
    run = _run(loader, batches, images, step)
    before = States(loader)
    try:
        pictures = _pictures(loader, run)
    finally:
        before.restore()
    body = (
        _head(loader, explanation)
        + _tiles(run)
        + _errors(run)
        + _refused(run)
        + _plots(run, step)
        + pictures
        + _stages(explanation)
    )
    with whole_file.written(where) as file:
        file.write(page.whole("Penstock report", body))
    return where
