# SPDX-License-Identifier: Apache-2.0
"""What explain() says: which lane each stage takes, and why."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from penstock import ordering, pinned
from penstock.capture import Refusal
from penstock.engines import RowSpec
from penstock.mixing import Mix
from penstock.options import Options
from penstock.prepare import Prepared
from penstock.rows import AT_ONCE
from penstock.sources import Source
from penstock.tables import Table
from penstock.text import table

Lane = Literal["native", "python"]


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    lane: Lane
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which lane each stage takes, and why. str() is a table."""

    lane: Lane
    reason: str
    stages: tuple[Stage, ...]
    settings: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [("stage", "lane", "why")]
        rows += [(stage.name, stage.lane, stage.why) for stage in self.stages]
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        head = f"penstock: {self.lane} lane, {self.reason}"
        return "\n".join(filter(None, (head, settings, table(rows))))


def _order(loader: Any, *, native: bool) -> Stage:
    order = ordering.own(loader) if native else None
    if order is not None:
        return Stage("order", "native", f"{order}; a batch's indices at a time")
    try:
        sampler = loader._index_sampler
        name = type(sampler).__name__
        inner = getattr(sampler, "sampler", None)
        if inner is not None:
            name += f" over {type(inner).__name__}"
    except Exception:
        name = "the sampler"
    if native and getattr(loader, "rng", "torch") == "sample":
        return Stage("order", "python", f"{name}: its own order, which rng='sample' leaves alone")
    return Stage("order", "python", f"{name}, asked when and as far ahead as torch asks it")


def _transform_stage(entry: tuple[Any, ...]) -> Stage:
    group, cls, *_ = entry
    if group == "upright":
        why = "upright images stay as they are; Pillow turns others, with exif=True the engine"
        return Stage("exif_transpose", "native", why)
    if group == "stack" and not entry[2]:
        why_stack = "known by its code; a tensor for each crop"
        return Stage(cls.__name__, "native", why_stack)
    family = "v2" if ".v2." in cls.__module__ else "v1"
    why = {
        "geometry": "on the pixels, in the engine",
        "flip": "while the last pass writes",
        "colour": "on the pixels, in the engine",
        "erase": "in the sample, after its last pass",
        "noise": "on the sample, after its last pass",
        "random": "drawn in the engine; what it holds follows",
        "crops": "of one image, each written in its place of the batch",
        "stack": "known by its code; the crops are written one after the other",
        "convert": "while the last pass writes",
        "pixels": "one table of 256 values a channel, made by this very object",
    }[group]
    return Stage(f"{cls.__name__} ({family})", "native", why)


def _transform_stages(key: tuple[Any, ...]) -> Iterable[Stage]:
    is_behind_noise = False
    for entry in key:
        stage = _transform_stage(entry)
        yield replace(stage, why="on the sample, after the noise") if is_behind_noise else stage
        is_behind_noise |= entry[0] == "noise"


def _reading(loader: Any, table: Table) -> Iterable[Stage]:
    n = len(table)
    if not table.leaves[0].is_array:
        yield Stage("read", "native", f"{n} files by path")
        formats = "JPEG, PNG, WebP, BMP, GIF; else, and what is unclean: Pillow"
        is_grey = table.leaves[0].channels == 1
        yield Stage("decode", "native", f"{formats}; made grey" if is_grey else formats)
        return
    where = "in a copy of the array, made with the iterator" if loader.num_workers else "in place"
    yield Stage("read", "native", f"{n} images in memory, {where}")
    yield Stage("decode", "native", "nothing to decode")


def _delivery(loader: Any) -> Stage:
    why = "torch tensors over the engine's memory, no copy"
    if pinned.is_asked(loader):
        why = (
            "in torch's pinned memory, where the engine writes it; a batch that is larger than the "
            "last one, where sizes differ, is copied there"
        )
    return Stage("deliver", "native", why)


def explain_native(
    loader: Any, prepared: Prepared, chosen: Options, mix: Mix | None, dataset: str, table: Table
) -> Explanation:
    workers = loader.num_workers
    if chosen.rng == "sample":
        plan = "draws depend on seed, epoch and index alone"
        if mix is not None:
            plan += ", those of a batch on all of its indices"
    elif not prepared.draws and not prepared.draws_python and mix is None:
        plan = "nothing is drawn"
    elif workers > 0:
        plan = f"the generators of {workers} workers of torch, imitated word for word"
    else:
        plan = "torch's global generator, advanced as the transforms would"
    if prepared.draws_python and chosen.rng == "torch":
        plan += "; Python's random likewise"
    gather = "samples are written in their place in the batch"
    if mix is not None:
        gather += f"; {mix} of it, in the engine"
    turn = [Stage("exif", "native", "turned upright, on the pixels, in the engine")]
    stages = [
        _order(loader, native=True),
        Stage("dataset", "native", dataset),
        *_reading(loader, table),
        Stage("plan", "native", plan),
        *(turn if prepared.output.exif else ()),
        *_transform_stages(prepared.key),
        Stage("collate", "native", gather),
        _delivery(loader),
    ]
    settings: dict[str, Any] = {
        "threads": chosen.threads,
        "rng": chosen.rng,
        "profile": prepared.profile,
    }
    on_error = getattr(loader, "on_error", "raise")  # another class of torch's has none
    if on_error != "raise":
        settings["on_error"] = on_error
    if getattr(loader, "strict", False):
        settings["strict"] = True
    return Explanation("native", "every stage is proven equal", tuple(stages), settings)


def explain_rows(loader: Any, source: Source, spec: RowSpec) -> Explanation:
    table = spec.table
    n_bytes = "different lengths" if table.is_varying else f"{table.row_bytes} bytes"
    what = "copied at once, in next()"
    if loader.num_workers > 0 and (table.is_varying or table.leaf.is_waited_for):
        what = "batches on threads ahead"
    elif loader.num_workers > 0:
        what = f"batches of over {AT_ONCE >> 10} KiB on threads ahead, smaller ones in next()"
    stages = (
        _order(loader, native=True),
        Stage("dataset", "native", source.describe()),
        Stage("read", "native", f"rows of {n_bytes}, {table.leaf.reading(loader)}; {what}"),
        Stage("collate", "native", "rows are copied to their place in the batch"),
        _delivery(loader),
    )
    return Explanation("native", "every stage is proven equal", stages, {"threads": spec.threads})


def explain_stock(loader: Any, refusal: Refusal) -> Explanation:
    stages = [_order(loader, native=False)]
    for name in ("workers", "dataset", "read", "decode", "plan", "transform", "collate", "deliver"):
        if name == refusal.stage:
            stages.append(Stage(name, "python", refusal.reason))
        elif name != "workers":
            stages.append(Stage(name, "python", f"goes with {refusal.stage}"))
    if refusal.stage == "order":
        stages[0] = Stage("order", "python", refusal.reason)
    return Explanation("python", f"torch's own: {refusal.reason}", tuple(stages), {})
