# SPDX-License-Identifier: Apache-2.0
"""What inspect writes of a file of arrays or tokens."""

from typing import Any

from penstock.cli.console import Console, count, rate, show, size


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def write_data(found: dict[str, Any], console: Console) -> None:
    console.title(show(found["path"]))
    n_bytes, seconds = found["bytes"], found["seconds"]
    rows = [("size", f"{size(n_bytes)} ({count(n_bytes, 'byte')})"), ("format", found["format"])]
    if found["error"] is None:
        speed = f"{size(n_bytes / seconds)}/s" if seconds > 0 else ""
        rows.append(("read in", f"{seconds:.1f} s, {speed}"))
    else:
        rows.append(("data", console.style("broken", "red") + f": {show(found['error'])}"))
    if found["format"] == "penstock" and found["error"] is None:
        rows.append(("checksums", _sums(found["arrays"], console)))
    console.table(rows)
    if found["arrays"]:
        _write_arrays(found["arrays"], console)
    if found["tokens"] is not None:
        _write_tokens(found["tokens"], console)


def _sums(arrays: list[dict[str, Any]], console: Console) -> str:
    left = [array["name"] for array in arrays if not array["verified"]]
    right = console.style("all blocks right", "green")
    return right if not left else f"not looked at, ragged: {', '.join(map(show, left))}"


def _write_arrays(arrays: list[dict[str, Any]], console: Console) -> None:
    console.line()
    console.title("arrays")
    head = ("name", "dtype", "shape", "min", "max", "mean", "zeros", "NaN", "Inf", "sha256")
    rows: list[tuple[str, ...]] = [head]
    for array in arrays:
        shape = " x ".join(map(str, array["shape"])) or "a number"
        figures = [_value(array.get(key)) for key in ("min", "max", "mean", "zeros", "nan", "inf")]
        what = f"ragged, of {shape}" if array["ragged"] else shape
        sha = array.get("sha256", "")[:16]
        rows.append((show(array["name"]), show(array["dtype"]), what, *figures, sha))
    console.table(rows, numbers=range(3, 9))


def _write_tokens(tokens: dict[str, Any], console: Console) -> None:
    console.line()
    console.title("tokens")
    rows = [("tokens", f"{tokens['tokens']:,} of {tokens['dtype']}")]
    if "sha256" in tokens:
        rows.append(("smallest, largest", f"{_value(tokens['min'])}, {_value(tokens['max'])}"))
        rows.append(("zeros", _value(tokens["zeros"])))
        rows.append(("sha256", tokens["sha256"]))
    lengths = tokens["lengths"]
    if tokens["documents"] is not None:
        rows.append(("documents", f"{tokens['documents']:,}"))
    if lengths is not None and lengths["mean"] is not None:
        said = f"{lengths['min']:,} to {lengths['max']:,}, mean {rate(lengths['mean'])}"
        rows.append(("tokens in each", said))
    console.table(rows)
    if lengths is not None and lengths["histogram"]:
        console.line()
        console.title("documents by their tokens")
        console.bars([(_step(step), step["documents"]) for step in lengths["histogram"]])


def _step(step: dict[str, int]) -> str:
    first, last = step["from"], step["to"] - 1
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
