# SPDX-License-Identifier: Apache-2.0
"""penstock doctor: one line that says what holds a training back, and what to change."""

import os
import threading
from dataclasses import asdict
from typing import Any

from penstock import _core
from penstock.cli import environment
from penstock.cli.arguments import Arguments
from penstock.cli.console import (
    BAD,
    FINE,
    INTERRUPTED,
    CommandError,
    Console,
    count,
    percent,
    rate,
    show,
    size,
)
from penstock.cli.folder_check import Run, Verdict, judge, run_folder
from penstock.cli.pipelines import need_torch
from penstock.cli.script_check import Report, Watched, run_script

_SMALL = 0.05  # a wait that is not worth a change
_SCRIPT_S = 60.0


def run(args: Arguments, console: Console) -> int:
    if args.target is None:
        return _environment(args, console)
    if not os.path.lexists(args.target):
        raise CommandError(f"no such script or folder: {args.target}")
    need_torch("doctor")
    if os.path.isdir(args.target):
        if args.rest:
            raise CommandError(f"a folder takes no arguments: {' '.join(args.rest)}")
        return _folder(args.target, args, console)
    if not os.path.isfile(args.target):  # to open a FIFO would wait for ever
        raise CommandError(f"not a script or folder: {args.target}")
    return _script(args.target, args, console)


def _say(console: Console, line: str, is_bad: bool) -> None:
    console.line(console.style(show(line), "yellow" if is_bad else "green"))


# --- the machine


def _environment(args: Arguments, console: Console) -> int:
    facts = environment.describe()
    problems = environment.problems(facts)
    cores = facts["cores"]["usable"]
    if problems:
        more = f" (and {len(problems) - 1} more with -v)" if len(problems) > 1 else ""
        line = f"{problems[0]}{more}"
    else:
        line = f"nothing to change here: {facts['kernels']} kernels on {count(cores, 'core')}"
    if console.wants_json:
        console.result(
            "doctor",
            {
                "target": None,
                "kind": "environment",
                "verdict": line,
                "ok": not problems,
                "problems": problems,
                "environment": facts,
            },
        )
    else:
        _say(console, line, bool(problems))
        if args.verbose:
            _environment_details(facts, problems, console)
    return BAD if problems else FINE


def _environment_details(facts: dict[str, Any], problems: list[str], console: Console) -> None:
    for problem in problems[1:]:
        console.line(show(problem))
    cores, memory, shared = facts["cores"], facts["memory"], facts["shared_memory"]
    limits = {name: "unlimited" if n is None else f"{n:,}" for name, n in facts["limits"].items()}
    rows = [
        ("penstock", f"{facts['penstock']}, {facts['kernels']} kernels, {facts['libraries']}"),
        ("python", f"{facts['python']} on {facts['system']}, {facts['machine']}"),
        *((name, version or "not installed") for name, version in facts["packages"].items()),
        ("native lane", facts["native_refusal"] or "possible"),
        (
            "cores",
            f"{cores['usable']} to use: {cores['online']} online, {cores['affinity']} by affinity, "
            f"quota {cores['quota'] or 'none'}",
        ),
        *((f"memory {name}", size(n)) for name, n in memory.items() if n is not None),
        (
            "/dev/shm",
            f"{size(shared['free'])} of {size(shared['size'])} free" if shared else "none",
        ),
        ("limits", ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in limits.items())),
        ("accelerators", ", ".join(facts["accelerators"]) or "none that torch sees"),
    ]
    console.table([(name, show(text)) for name, text in rows])


# --- a folder


def _folder(path: str, args: Arguments, console: Console) -> int:
    measured, explanation = run_folder(path, args)
    verdict = judge(measured)
    is_enough = None if args.need is None else measured.per_s >= args.need
    is_bad = verdict.is_bad if is_enough is None else not is_enough
    line = _folder_line(measured, verdict, args.need)
    if measured.failed_batches:
        is_bad = True
        failed = count(measured.failed_batches, "batch", "batches")
        line += f" ({failed} failed: 'penstock inspect --deep' finds the broken files)"
    if console.wants_json:
        console.result(
            "doctor",
            {
                "target": path,
                "kind": "folder",
                "verdict": line,
                "ok": not is_bad,
                **verdict.as_dict(),
                "images_per_s": measured.per_s,
                "need": args.need,
                "measured": asdict(measured),
                "explanation": explanation.as_dict(),
            },
        )
    else:
        _say(console, line, is_bad)
        if args.verbose:
            _folder_details(measured, console)
            console.line(str(explanation))
    return BAD if is_bad else FINE


def _folder_line(measured: Run, verdict: Verdict, need: float | None) -> str:
    head = f"{rate(measured.per_s)} images/s"
    if need is not None and measured.per_s >= need:
        return f"{head}, enough for {rate(need)}; bound by {verdict.bound}: {verdict.why}"
    if need is not None:
        head += f", too few for {rate(need)}"
    return f"{head}, bound by {verdict.bound}: {verdict.why}; to change it: {verdict.change}"


def _folder_details(measured: Run, console: Console) -> None:
    stages = {
        "read": measured.read_s,
        "decode": measured.decode_s,
        "transform": measured.transform_s,
    }
    wall, samples = measured.wall_s, measured.samples
    cold = "not measured: the page cache could not be emptied"
    if measured.cold_per_s is not None:
        cold = f"{rate(measured.cold_per_s)} files/s"
    memory = "unknown" if measured.cache_bytes is None else size(measured.cache_bytes)
    rows = [
        ("ran", f"{wall:.1f} s, {samples:,} images, {count(measured.threads, 'thread')}"),
        ("cores", f"{measured.cores}, {percent(min(measured.busy, 1.0))} in use by this process"),
        *(
            (
                name,
                f"{measured.ms(s):.3f} ms an image, {percent(measured.of_threads(s))} of threads",
            )
            for name, s in stages.items()
        ),
        ("Pillow", f"{measured.by_pillow:,} images, {measured.pillow_s:.2f} s"),
        ("disk, cold", cold),
        ("data", f"about {size(measured.dataset_bytes)}; memory has room for {memory}"),
        ("throttled", f"{measured.throttled_s:.2f} s by the CPU quota"),
    ]
    if measured.failure:
        rows.append(("failed", f"{measured.failed_batches}, last: {measured.failure}"))
    console.table([(name, show(text)) for name, text in rows])


# --- a script


def _short(watched: Watched) -> str:
    dataset = watched.dataset.rpartition(".")[2]
    n = f", {watched.length:,} samples" if watched.length is not None else ""
    return f"DataLoader({dataset}{n}, num_workers={watched.workers})"


def _advice(watched: Watched) -> str:
    cores = _core.cpu_count()
    if watched.native:
        if watched.threads is not None and watched.threads < cores:
            return (
                f"it runs native on {count(watched.threads, 'thread')}: use threads={cores}, "
                f"for {count(cores, 'core')}"
            )
        return f"it runs native on all {count(cores, 'core')}: see 'penstock doctor DIR'"
    if watched.could_be_native:
        return (
            "it is torch's own and could be native: use penstock.DataLoader with "
            f"num_workers={max(watched.workers, cores)}"
        )
    raise_workers = ""
    if watched.workers < cores:
        raise_workers = f"num_workers={cores} is the first thing to try; "
    why = watched.reason.removeprefix("torch's own: ")
    return f"{raise_workers}not native because {why}"


def _starts_hurt(watched: Watched, seconds: float) -> bool:
    return watched.epochs > 1 and watched.start_s > _SMALL * seconds


def judge_script(report: Report) -> tuple[str, str, bool]:
    """(what bounds it, the line, whether there is something to change)."""
    worst = max(report.loaders, key=lambda w: (w.wait_s, w.start_s))
    waits = f"the training waits {percent(worst.share)} of the time for {_short(worst)}"
    if worst.share < _SMALL or worst.wait_s < 0.01 * report.seconds:
        late = max(report.loaders, key=lambda w: w.start_s)
        if _starts_hurt(late, report.seconds) and not late.persistent and late.workers:
            each = late.start_s / late.epochs
            return (
                "start",
                f"each epoch of {_short(late)} starts {each:.2f} s late: persistent_workers=True "
                "keeps the workers",
                True,
            )
        return "training", f"the loader is not what holds this back: {waits}", False
    busy = worst.busy_share
    if busy is not None and busy > 0.9:
        return (
            "training",
            f"the loader is not what holds this back: {waits}, but the GPU still had work when "
            f"{percent(busy)} of the batches came",
            False,
        )
    bound = "loader" if worst.native else "stock loader"
    return bound, f"{waits}: {_advice(worst)}", True


def _judge(path: str, args: Arguments, console: Console) -> int:
    report = run_script(path, args.rest, args.seconds or _SCRIPT_S, args.batches)
    for unseen in report.unseen:
        console.note(f"not measured: {unseen}")
    if not any(watched.batches for watched in report.loaders):
        raise CommandError(
            f"no DataLoader gave a batch in {report.seconds:.1f} s of {path} "
            "(try --seconds, or give the script its arguments)"
        )
    bound, line, is_bad = judge_script(report)
    if console.wants_json:
        console.result(
            "doctor",
            {
                "target": path,
                "kind": "script",
                "verdict": line,
                "ok": not is_bad,
                "bound": bound,
                "seconds": report.seconds,
                "ended": report.ended,
                "accelerator": report.accelerator,
                "loaders": [watched.as_dict() for watched in report.loaders],
            },
        )
    else:
        _say(console, line, is_bad)
        if args.verbose:
            _script_details(report, console)
    return BAD if is_bad else FINE


def _script_details(report: Report, console: Console) -> None:
    console.line(f"ran {report.seconds:.1f} s, ended {report.ended}; times in seconds")
    rows = [("loader", "epochs", "batches", "starts", "waits", "works", "waits", "lane")]
    for one in report.loaders:
        lane = "native" if one.native else one.reason
        if one.could_be_native and not one.native:
            lane = "torch's own, could be native"
        if not one.in_main_thread:
            lane += ", asked from another thread: its waits may be hidden"
        rows.append(
            (
                _short(one),
                f"{one.epochs:,}",
                f"{one.batches:,}",
                f"{one.start_s:.2f}",
                f"{one.wait_s:.2f}",
                f"{one.work_s:.2f}",
                percent(one.share),
                lane,
            )
        )
    console.table([tuple(map(show, row)) for row in rows], numbers=range(1, 7))
    for one in report.loaders:
        if one.busy_share is not None:
            console.line(
                f"  {report.accelerator} still had work when {percent(one.busy_share)} of the "
                f"batches of {_short(one)} came"
            )


def _never_held(status: int) -> None:
    """The interpreter waits at its end for threads that the script left, and they may never end.
    This one goes on behind the main thread, after the last output, and leaves without them."""

    def leave() -> None:
        threading.main_thread().join()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(1.0)
        os._exit(status)

    if any(t is not threading.main_thread() and not t.daemon for t in threading.enumerate()):
        threading.Thread(target=leave, daemon=True).start()


def _script(path: str, args: Arguments, console: Console) -> int:
    status = BAD
    try:
        status = _judge(path, args, console)
    except CommandError as error:
        status = error.status
        raise
    except KeyboardInterrupt:
        status = INTERRUPTED
        raise
    finally:
        _never_held(status)
    return status
