# SPDX-License-Identifier: Apache-2.0
"""Which lane a loader takes. One function answers for any instance of torch's class, also one whose
__init__ was never ours, and both the drop-in and whoever else hooks `_get_iterator` ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from penstock import mixing, options, ordering, policy, prepare, rng, rows, sources, state, tables
from penstock.capture import Refusal, check_loader, read_loader
from penstock.engines import Record, RowSpec, Spec, record_of
from penstock.explanation import Explanation, explain_native, explain_rows, explain_stock
from penstock.native import SingleIter, WorkersIter
from penstock.row_iterators import RowsSingleIter, RowsWorkersIter
from penstock.stats import Stats
from torch.utils.data.dataloader import _BaseDataLoaderIter


def _is_ours(loader: Any) -> bool:
    from penstock.loader import DataLoader

    # Objects that lie about their class (Accelerate's wrappers) do not have our attributes.
    return issubclass(type(loader), DataLoader)


@dataclass(frozen=True, slots=True)
class _Read:
    """A loader over images, as far as its dataset's samples are not looked at."""

    prepared: prepare.Prepared
    options: options.Options
    mix: mixing.Mix | None


def _read(loader: Any) -> _Read:
    """Raises Refusal. Draws nothing, starts nothing, reads no file."""
    mix = mixing.read(loader.collate_fn)
    reading = read_loader(loader, knows_collate=mix is not None)
    _check_order(loader)
    refusal = rng.refusal()
    if refusal is not None:
        raise Refusal("plan", refusal)
    chosen = options.of(loader, own=_is_ours(loader))
    prepared = prepare.prepare(reading, chosen.profile, chosen.output)
    if mix is not None:
        mixing.check_images(mix, prepared.dtype, prepared.n_images)
    return _Read(prepared, chosen, mix)


def _table(loader: Any, source: sources.Source, read: _Read, *, peek: bool = False) -> tables.Table:
    chosen = read.options
    table = tables.table_of(
        source,
        by_position=chosen.rng == "sample",
        live=loader.num_workers == 0,
        most=chosen.memory_budget or options.DEFAULT_BUDGET,
        peek=peek,
    )
    if read.mix is not None:
        mixing.check_labels(read.mix, table)
    return table


def _spec(loader: Any, source: sources.Source, read: _Read, *, strict: bool) -> Spec:
    workers, chosen = loader.num_workers, read.options
    # As far ahead as stock, but no further than keeps all threads busy past the longest sample:
    # threads work on the samples of one batch together.
    ahead = min(loader.prefetch_factor * workers, 2 * chosen.threads + 2) if workers > 0 else 1
    return Spec(
        table=_table(loader, source, read),
        prepared=read.prepared,
        threads=chosen.threads,
        ahead=ahead,
        n_streams=workers if workers > 0 and chosen.rng == "torch" else 1,
        memory_budget=chosen.memory_budget,
        rng=chosen.rng,
        strict=strict,
        mix=read.mix,
        in_workers=workers > 0,
    )


def _source_of_rows(loader: Any) -> sources.Source | None:
    """Of a loader whose dataset is of rows. Raises Refusal."""
    try:
        source = sources.read(loader.dataset)
    except Exception:  # whoever examines images says it, after what is wrong with the loader
        return None
    if not any(leaf.is_rows for leaf in source.leaves):
        return None
    check_loader(loader, knows_collate=rows.knows_collate(loader.collate_fn, source))
    _check_order(loader)
    return source


def _row_spec(loader: Any, source: sources.Source, *, peek: bool = False) -> RowSpec:
    """peek: only to look at, so that nothing is copied."""
    threads, budget = options.of_rows(loader, own=_is_ours(loader))
    workers = loader.num_workers
    table = rows.table_of(
        rows.leaf_of(source),
        source.owners,
        live=workers == 0 or peek,
        most=budget or options.DEFAULT_BUDGET,
    )
    return RowSpec(
        table=table,
        threads=threads,
        ahead=max(1, loader.prefetch_factor * workers) if workers > 0 else 1,
        memory_budget=budget,
    )


def on_error_of(loader: Any) -> policy.Policy:
    return policy.of(loader) if _is_ours(loader) else policy.Policy()


def _is_stocks(loader: Any) -> bool:
    """Whether torch's own loader gives what is asked for."""
    if not _is_ours(loader):
        return True
    return options.output_of(loader).is_stocks and loader.shuffle_block is None


def _check_order(loader: Any) -> None:
    if getattr(loader, "shuffle_block", None) is None:
        return
    ordering.check(loader.shuffle_block, loader.rng)
    order = ordering.own(loader)
    if order is None or not order.is_shuffled:
        raise Refusal(
            "order",
            f"shuffle_block is for the order of shuffle=True, and this loader's sampler, "
            f"{type(loader.sampler).__name__}, has its own",
        )


def iterator_for(
    loader: Any, on_error: policy.Policy | None = None, record: Record | None = None
) -> _BaseDataLoaderIter | None:
    """A native iterator, or None where stock's own has to do the work. on_error: in the place of
    the loader's own; record: whose it is, if not the loader's own."""
    record = record_of(loader) if record is None else record
    on_error = on_error_of(loader) if on_error is None else on_error
    make: Callable[..., _BaseDataLoaderIter]
    try:
        source_of_rows = _source_of_rows(loader)
        if source_of_rows is not None:
            is_plain = not _is_ours(loader) or options.output_of(loader).is_stocks
            if not (is_plain and on_error.is_stocks):
                raise Refusal("dataset", "they are for images, and its dataset is of rows")
            make = RowsWorkersIter if loader.num_workers > 0 else RowsSingleIter
            of_rows = _row_spec(loader, source_of_rows)
            return make(loader, record, of_rows, source_of_rows, on_error)
        read = _read(loader)
        source = sources.read(loader.dataset)
        spec = _spec(loader, source, read, strict=on_error.strict)
    except Refusal as refusal:
        if not (_is_stocks(loader) and on_error.is_stocks):
            raise ValueError(
                "out_dtype, memory_format, exif, on_error, strict and shuffle_block are the "
                f"engine's, and it does not do this loader: {refusal}"
            ) from None
        if record.resume is not None:
            raise RuntimeError(
                "the state that was loaded cannot be gone on from: the loader now runs on the "
                f"python lane: {refusal}"
            ) from None
        record.stock_epochs += 1
        record.position, record.refusal = None, str(refusal)
        return None
    make = WorkersIter if loader.num_workers > 0 else SingleIter
    return make(loader, record, spec, source, on_error)


def _check_native(loader: Any) -> None:
    """Raises Refusal for a loader that would be torch's."""
    if _source_of_rows(loader) is None:
        _read(loader)
        sources.read(loader.dataset)


def state_dict(loader: Any) -> Callable[[], dict[str, Any]]:
    """Raises AttributeError where the loader has none, now or when it is called."""
    record = record_of(loader)
    state.check_epoch(loader, record, _check_native)
    return partial(state.make, loader, record, _samples)


def load_state_dict(loader: Any) -> Callable[[dict[str, Any]], None]:
    """As state_dict()."""
    state.check_next(loader, _check_native)
    return partial(state.load, loader, record_of(loader), _samples)


def _samples(loader: Any) -> tuple[sources.Source, Any]:
    """The samples of a loader as they are now. Raises Refusal."""
    source_of_rows = _source_of_rows(loader)
    if source_of_rows is not None:
        return source_of_rows, _row_spec(loader, source_of_rows, peek=True).table
    read = _read(loader)
    source = sources.read(loader.dataset)
    return source, _table(loader, source, read, peek=True)


def explain(loader: Any) -> Explanation:
    """Which lane each stage of a loader takes now, and why."""
    try:
        source_of_rows = _source_of_rows(loader)
        if source_of_rows is not None:
            return explain_rows(
                loader, source_of_rows, _row_spec(loader, source_of_rows, peek=True)
            )
        read = _read(loader)
        source = sources.read(loader.dataset)
        table = _table(loader, source, read, peek=True)
    except Refusal as refusal:
        return explain_stock(loader, refusal)
    except Exception as error:  # a loader that stock, too, would not iterate
        return explain_stock(loader, Refusal("dataset", f"{type(error).__name__}: {error}"))
    return explain_native(loader, read.prepared, read.options, read.mix, source.describe(), table)


def report(loader: Any) -> policy.ErrorReport:
    """Which samples could not be had so far, where the loader goes on without them."""
    return record_of(loader).errors()


def stats(loader: Any) -> Stats:
    return Stats(record_of(loader).counters())
