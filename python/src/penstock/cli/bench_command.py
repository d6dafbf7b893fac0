# SPDX-License-Identifier: Apache-2.0
"""penstock bench: the speed of each stage and of whole pipelines on this machine and these data."""

import os
from statistics import median
from typing import Any

from penstock import _core
from penstock.cli.arguments import PIPELINES, Arguments
from penstock.cli.console import FINE, CommandError, Console, count, rate, size
from penstock.cli.data_bench import bench_data
from penstock.cli.data_figures import data_kind
from penstock.cli.examine import examine
from penstock.cli.pipelines import check_folder, choose, image_folder, keep, need_torch, transform
from penstock.cli.progress import Progress


def _only_sound(dataset: Any) -> int:
    """Drops what nobody can decode, which would end a batch; says how many."""
    found = [(sample, examine(sample[0], deep=True).lane) for sample in dataset.samples]
    sound = [sample for sample, lane in found if lane in ("native", "pillow")]
    if not sound:
        raise CommandError(f"no image in {dataset.root} can be decoded")
    keep(dataset, sound)
    return len(found) - len(sound)


def _stage(name: str, threads: int, speed: Any, mean: float) -> dict[str, Any]:
    if speed is None:
        return {"stage": name, "threads": threads, "images_per_s": None}
    return {
        "stage": name,
        "threads": threads,
        "images_per_s": speed.per_s,
        "bytes_per_s": speed.per_s * mean,
        "cpu_ms_per_image": speed.cpu_ms,
    }


def _stages(dataset: Any, args: Arguments, most: int, names: list[str]) -> dict[str, Any]:
    from penstock.cli import stages

    seconds = args.seconds or 1.0
    paths = [name for name, _ in dataset.samples]
    records = stages.load(paths)
    good = stages.native(records)
    rows = [_stage(*row) for row in stages.single_stages(paths, records, most, seconds)]
    for name in names if good else ():
        dataset.transform = transform(name, args.size)
        for threads in stages.thread_counts(most):
            speed = stages.transform_speed(dataset, good, threads, seconds)
            rows.append(_stage(f"transform, {name}", threads, speed, 0.0))
    return {
        "images": len(paths),
        "native": len(good),
        "mean_bytes": sum(map(len, records)) / len(records),
        "stages": rows,
    }


def _pipeline(name: str, threads: int, dataset: Any, args: Arguments) -> dict[str, Any]:
    from penstock.cli import stages

    seconds = args.seconds or 1.0
    ours, theirs = stages.in_turn(
        dataset, threads, args.batch_size, seconds, args.rounds, args.stock
    )
    ratios = [a.per_s / b.per_s for a, b in zip(ours, theirs, strict=False) if b.per_s]
    return {
        "pipeline": name,
        "threads": threads,
        "penstock": stages.middle(ours),
        "stock": stages.middle(theirs),
        "ratio": median(ratios) if ratios else None,
        "ratio_least": min(ratios, default=None),
        "ratio_most": max(ratios, default=None),
    }


def run(args: Arguments, console: Console) -> int:
    if args.shape is not None and args.dtype is None:
        raise CommandError("--shape needs --dtype")
    is_file = os.path.isfile(args.path)
    kind = data_kind(args.path, args.dtype, args.shape) if is_file else None
    if kind is not None:
        return bench_data(args, kind, console)
    check_folder(args.path)
    need_torch("bench")
    from penstock.cli import environment, stages

    most = args.threads or _core.cpu_count()
    names = [args.pipeline] if args.pipeline else list(PIPELINES)
    counts = stages.thread_counts(most)
    with Progress("bench", 1 + len(names) * len(counts), "measurements") as progress:
        dataset = image_folder(args.path, names[0], args.size)
        choose(dataset, args.images)
        broken = _only_sound(dataset)
        single = _stages(dataset, args, most, names)
        progress.advance(1)
        stages.repeat(dataset, args.batch_size)
        pipelines = []
        for name in names:
            dataset.transform = transform(name, args.size)
            for threads in counts:
                pipelines.append(_pipeline(name, threads, dataset, args))
                progress.advance(1)
    facts = environment.describe()
    data = {"root": args.path, "broken": broken, **single, "pipelines": pipelines}
    data["environment"] = facts
    if console.wants_json:
        console.result("bench", data)
    else:
        _write(data, console)
    return FINE


# --- text


def _write(data: dict[str, Any], console: Console) -> None:
    facts = data["environment"]
    versions = ", ".join(f"{name} {facts['packages'][name]}" for name in ("torch", "pillow"))
    console.title(
        f"{count(data['images'], 'image')} of {size(data['mean_bytes'])}, "
        f"{data['native']:,} decoded natively"
    )
    cores = count(facts["cores"]["usable"], "core")
    console.line(f"  {cores}, {facts['kernels']} kernels, {versions}")
    if data["broken"]:
        console.line(f"  {count(data['broken'], 'broken file')} left out")
    console.line()
    console.title("stages")
    rows: list[tuple[str, ...]] = [("stage", "threads", "images/s", "bytes/s", "CPU ms")]
    rows += [_stage_row(stage) for stage in data["stages"]]
    console.table(rows, numbers=range(1, 5))
    console.line()
    console.title("pipelines, warm; median of the rounds")
    rows = [("pipeline", "threads", "images/s", "CPU ms", "PyTorch", "CPU ms", "ratio")]
    rows += [_pipeline_row(line) for line in data["pipelines"]]
    console.table(rows, numbers=range(1, 7))


def _stage_row(stage: dict[str, Any]) -> tuple[str, ...]:
    if stage["images_per_s"] is None:
        return stage["stage"], str(stage["threads"]), "unknown", "", ""
    moved = f"{size(stage['bytes_per_s'])}/s" if stage["bytes_per_s"] else ""
    return (
        stage["stage"],
        str(stage["threads"]),
        rate(stage["images_per_s"]),
        moved,
        f"{stage['cpu_ms_per_image']:.3f}",
    )


def _pipeline_row(line: dict[str, Any]) -> tuple[str, ...]:
    ours, theirs, ratio = line["penstock"], line["stock"], line["ratio"]
    row = (
        line["pipeline"],
        str(line["threads"]),
        rate(ours["images_per_s"]),
        f"{ours['cpu_ms_per_image']:.3f}",
    )
    if theirs is None:
        return (*row, "", "", "")
    spread = f"{ratio:.2f} ({line['ratio_least']:.2f} to {line['ratio_most']:.2f})"
    return (
        *row,
        rate(theirs["images_per_s"]),
        f"{theirs['cpu_ms_per_image']:.3f}",
        spread,
    )
