# SPDX-License-Identifier: Apache-2.0
"""penstock bench on a file of arrays or tokens: rows through both loaders."""

import math
from statistics import median
from typing import Any

from penstock import _core
from penstock.cli.arguments import DTYPES, Arguments
from penstock.cli.console import BAD, FINE, CommandError, Console, count, rate, show, size
from penstock.cli.pipelines import need_torch
from penstock.cli.progress import Progress

_TOKENS = ("megatron", "datatrove", "raw tokens")
_ORDERS = ("sequential", "shuffled")


def _open(args: Arguments, kind: str) -> tuple[Any, int]:
    """The dataset, and the bytes that one of its rows has in the file."""
    from penstock.datasets import Array, Tokens

    dtype = next((name for name, short in DTYPES.items() if short == args.dtype), None)
    try:
        if kind in _TOKENS:
            tokens: Any = Tokens(args.path, args.window, dtype=dtype)
            return tokens, args.window * _token_bytes(args, kind)
        array = Array(args.path, columns=args.columns, dtype=dtype, shape=args.shape)
    except (OSError, ValueError, _core.Error) as error:
        raise CommandError(str(error), BAD) from None
    row = sum(field.itemsize * math.prod(shape) for field, shape in array.fields.values())
    return array, row


def _token_bytes(args: Arguments, kind: str) -> int:
    from penstock.cli.data_layout import ITEM_BYTES, token_layout

    return ITEM_BYTES[token_layout(args.path, kind, args.dtype).dtype]


def _side(speeds: list[Any], row_bytes: int) -> dict[str, float] | None:
    if not speeds:
        return None
    rows = median(speed.per_s for speed in speeds)
    return {
        "rows_per_s": rows,
        "bytes_per_s": rows * row_bytes,
        "cpu_ms_per_row": median(speed.cpu_ms for speed in speeds),
    }


def _order(name: str, dataset: Any, row_bytes: int, args: Arguments) -> dict[str, Any]:
    from penstock.cli import stages

    threads, batch_size = args.threads or 2, min(args.batch_size, len(dataset))
    ours, theirs = stages.in_turn(
        dataset,
        threads,
        batch_size,
        args.seconds or 1.0,
        args.rounds,
        args.stock,
        shuffle=name == "shuffled",
    )
    ratios = [a.per_s / b.per_s for a, b in zip(ours, theirs, strict=False) if b.per_s]
    return {
        "order": name,
        "threads": threads,
        "batch_size": batch_size,
        "penstock": _side(ours, row_bytes),
        "stock": _side(theirs, row_bytes),
        "ratio": median(ratios) if ratios else None,
        "ratio_least": min(ratios, default=None),
        "ratio_most": max(ratios, default=None),
    }


def bench_data(args: Arguments, kind: str, console: Console) -> int:
    need_torch("bench", ("torch", "numpy"))
    from penstock.cli import environment

    dataset, row_bytes = _open(args, kind)
    if not len(dataset):
        what = f"no window of {args.window} tokens" if kind in _TOKENS else "no rows"
        raise CommandError(f"{args.path} has {what}")
    orders = []
    with Progress("bench", len(_ORDERS), "measurements") as progress:
        for name in _ORDERS:
            orders.append(_order(name, dataset, row_bytes, args))
            progress.advance(1)
    data = {
        "path": args.path,
        "format": kind,
        "rows": len(dataset),
        "row_bytes": row_bytes,
        "window": args.window if kind in _TOKENS else None,
        "access": dataset.access,
        "orders": orders,
        "environment": environment.describe(),
    }
    if console.wants_json:
        console.result("bench", data)
    else:
        _write(data, console)
    return FINE


def _write(data: dict[str, Any], console: Console) -> None:
    facts = data["environment"]
    what = "row" if data["window"] is None else "window"
    rows = count(data["rows"], what)
    console.title(f"{show(data['path'])}: {rows} of {size(data['row_bytes'])}")
    cores = count(facts["cores"]["usable"], "core")
    console.line(f"  {cores}, {data['access']}, torch {facts['packages']['torch']}")
    console.line()
    console.title("loaders, in turn; median of the rounds")
    head = ("order", "threads", f"{what}s/s", "bytes/s", "PyTorch", "bytes/s", "ratio")
    console.table([head, *map(_row, data["orders"])], numbers=range(1, 7))


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    cells = [line["order"], str(line["threads"])]
    for side in (line["penstock"], line["stock"]):
        if side is None:
            cells += ["", ""]
        else:
            cells += [rate(side["rows_per_s"]), f"{size(side['bytes_per_s'])}/s"]
    ratio = line["ratio"]
    spread = f"{ratio:.2f} ({line['ratio_least']:.2f} to {line['ratio_most']:.2f})" if ratio else ""
    return (*cells, spread)
