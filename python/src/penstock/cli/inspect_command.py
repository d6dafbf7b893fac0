# SPDX-License-Identifier: Apache-2.0
"""penstock inspect: what is in folders of images and in files of images, arrays or tokens."""

import os
import time
from typing import Any

from penstock import _core
from penstock.cli.arguments import Arguments
from penstock.cli.census import Census, find_duplicates, n_to_compare, take_census
from penstock.cli.console import (
    BAD,
    FINE,
    CommandError,
    Console,
    count,
    percent,
    rate,
    show,
    size,
    without_chatter,
)
from penstock.cli.data_figures import data_kind, measure_file
from penstock.cli.data_text import write_data
from penstock.cli.examine import Finding, examine, orientation
from penstock.cli.progress import Progress
from penstock.cli.tree import walk

_FEW = 10  # lines of a list without --verbose
_BARS = 24  # classes that get a bar each

_TURNED = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned",
    6: "turned by 90 degrees",
    7: "mirrored and turned",
    8: "turned by 270 degrees",
}


def _census(root: str, args: Arguments) -> Census:
    since = time.monotonic()
    tree = walk(root)
    threads = args.threads or _core.cpu_count()
    with without_chatter(), Progress("inspect", len(tree.files), "files") as progress:
        census = take_census(tree, args.deep, threads, progress.advance)
    if args.duplicates:
        with Progress("compare", n_to_compare(census), "files") as progress:
            find_duplicates(census, progress.advance)
    census.seconds = time.monotonic() - since
    return census


def _check(args: Arguments) -> None:
    for path in args.paths:
        if not os.path.lexists(path):
            raise CommandError(f"no such file or folder: {path}")
        if args.dtype is not None and not os.path.isfile(path):
            raise CommandError(f"--dtype is for files of raw elements, which {path} is not")
    if args.shape is not None and args.dtype is None:
        raise CommandError("--shape needs --dtype")


def _data(path: str, args: Arguments, console: Console) -> dict[str, Any] | None:
    """Of a file of arrays or tokens; None: it is another."""
    kind = data_kind(path, args.dtype, args.shape)
    if kind is None:
        return None
    found = measure_file(path, kind, args.dtype, args.shape)
    if not console.wants_json:
        write_data(found, console)
    return found


def run(args: Arguments, console: Console) -> int:
    _check(args)
    trees: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    is_bad = False
    for number, path in enumerate(args.paths):
        if number and not console.wants_json:
            console.line()
        if os.path.isdir(path):
            census = _census(path, args)
            is_bad |= bool(census.broken)
            trees.append(census.as_dict())
            if not console.wants_json:
                _write_tree(census, args, console)
        elif (data := _data(path, args, console)) is not None:
            is_bad |= data["error"] is not None
            files.append(data)
        else:
            with without_chatter():
                found = examine(path, deep=True)
                turned = orientation(path) if found.lane in ("native", "pillow") else None
            is_bad |= found.lane == "broken"
            files.append({**found.as_dict(), "orientation": turned})
            if not console.wants_json:
                _write_file(found, turned, console)
    if console.wants_json:
        console.result("inspect", {"trees": trees, "files": files})
    return BAD if is_bad else FINE


# --- one file


def _write_file(found: Finding, turned: int | None, console: Console) -> None:
    console.title(show(found.path))
    rows = [("size", f"{size(found.bytes)} ({count(found.bytes, 'byte')})")]
    rows.append(("format", found.format or "not an image"))
    if found.width:
        pixels = f"{found.width} x {found.height}, {found.width * (found.height or 0) / 1e6:.2f} MP"
        rows += [("pixels", pixels), ("mode", found.mode or "unknown")]
    if turned is not None:
        what = f"{_TURNED[turned]}; ImageFolder does not turn it back" if turned > 1 else "upright"
        rows.append(("orientation", f"{turned}, {what}"))
    said = {
        "native": console.style("native", "green"),
        "pillow": console.style("by Pillow", "yellow") + f": {show(found.reason or '')}",
        "unknown": f"Pillow decides, and is not installed: {show(found.reason or '')}",
        "broken": console.style("broken", "red") + f": {show(found.error or '')}",
        "other": "",
    }[found.lane]
    if said:
        rows.append(("decode", said))
    console.table(rows)


# --- a tree


def _write_tree(census: Census, args: Arguments, console: Console) -> None:
    console.title(show(census.tree.root))
    if not census.images and not census.broken:
        console.line(f"  no images in {count(census.files, 'file')}")
        return
    _write_summary(census, console)
    _write_classes(census, console)
    if census.formats:
        _write_kinds(census, console)
    _write_reasons(census, args, console)
    _write_list("broken", [f"{p}: {why}" for p, why in census.broken], args, console, "red")
    named = [f"{p}: {what}" for p, what in census.misnamed]
    _write_list("files whose name says another format", named, args, console)
    _write_list("images that ImageFolder does not see", census.ignored, args, console)
    _write_duplicates(census, args, console)


def _write_summary(census: Census, console: Console) -> None:
    share = census.native_share
    n = len(census.tree.classes)
    classes = f" in {count(n, 'class', 'classes')}" if n else ""
    rows = [
        ("images", f"{census.images:,}{classes}"),
        ("size", f"{size(census.bytes)}, {size(census.bytes / max(census.files, 1))} a file"),
    ]
    others = census.lanes["other"]
    if others:
        rows.append(("other files", f"{others:,}"))
    if not census.tree.classes:
        rows.append(("classes", "none: ImageFolder wants a folder for each class"))
    if share is not None:
        unknown = " (Pillow is not installed)" if census.lanes["unknown"] else ""
        how = "decoded" if census.deep else "by their headers"
        rows.append(("native", f"{percent(share)} {how}{unknown}"))
    if census.widths:
        figures = census.as_dict()
        w, h = figures["width"], figures["height"]
        rows.append(("width", f"{w['min']} to {w['max']}, median {w['median']}"))
        rows.append(("height", f"{h['min']} to {h['max']}, median {h['median']}"))
        rows.append(("pixels", f"{census.pixels / len(census.widths) / 1e6:.2f} MP an image"))
    speed = f"{rate(census.files / census.seconds)} files/s" if census.seconds > 0 else ""
    rows.append(("looked at in", f"{census.seconds:.1f} s, {speed}"))
    console.table(rows)


def _write_classes(census: Census, console: Console) -> None:
    classes = census.classes()
    if not classes:
        return
    ordered = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    least, most = ordered[-1][1], ordered[0][1]
    balance = f"{most / least:.1f} : 1" if least else f"{least} to {most}"
    console.line()
    console.title(f"classes (largest to smallest {balance})")
    if len(ordered) > _BARS:
        half = _BARS // 4
        middle = len(ordered) - 2 * half
        console.bars([(show(name), n) for name, n in ordered[:half]])
        console.line(f"  ... {middle:,} between them")
        console.bars([(show(name), n) for name, n in ordered[-half:]])
    else:
        console.bars([(show(name), n) for name, n in ordered])


def _write_kinds(census: Census, console: Console) -> None:
    for title, counts in (("formats", census.formats), ("modes", census.modes)):
        if counts:
            console.line()
            console.title(title)
            console.bars(counts.most_common())
    sides = census.short_sides()
    if sides:
        console.line()
        console.title("short side")
        console.bars([(f"{a} to {b - 1}" if b else f"{a} and more", n) for a, b, n in sides])


def _write_reasons(census: Census, args: Arguments, console: Console) -> None:
    if not census.reasons:
        return
    console.line()
    n = sum(reason.files for reason in census.reasons.values())
    console.title(f"decided by Pillow: {count(n, 'file')}")
    ordered = sorted(census.reasons.items(), key=lambda item: (-item[1].files, item[0]))
    kept = ordered if args.verbose else ordered[:_FEW]
    rows = [(f"{r.files:,}", show(what), f"e.g. {show(r.example)}") for what, r in kept]
    console.table(rows, numbers=(0,))
    _say_more(len(ordered) - len(kept), console)


def _say_more(n: int, console: Console) -> None:
    if n > 0:
        console.line(f"  ... {n:,} more with --verbose")


def _write_list(
    title: str, lines: list[str], args: Arguments, console: Console, *styles: str
) -> None:
    if not lines:
        return
    console.line()
    console.line(console.style(f"{title}: {len(lines):,}", "bold", *styles))
    kept = lines if args.verbose else lines[:_FEW]
    for line in kept:
        console.line(f"  {show(line)}")
    _say_more(len(lines) - len(kept), console)


def _write_duplicates(census: Census, args: Arguments, console: Console) -> None:
    if not census.duplicates:
        return
    extra = sum(n * (len(paths) - 1) for n, paths in census.duplicates)
    lines = [" = ".join(map(show, paths)) for _, paths in census.duplicates]
    _write_list(f"same content ({size(extra)} too much)", lines, args, console)
