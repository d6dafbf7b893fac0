# SPDX-License-Identifier: Apache-2.0
"""penstock convert: an array file of another kind of file."""

import json
import os
import time
from typing import Any

from penstock import _core
from penstock.array_writer import ArrayColumn, ArrayWriter, Mode
from penstock.cli.arguments import Arguments
from penstock.cli.array_sources import Source, open_source
from penstock.cli.console import BAD, FINE, CommandError, Console, count, rate, show, size
from penstock.cli.progress import Progress

_CHECKPOINT_BYTES = 1 << 30
_CHECKPOINT_S = 30.0
_BUFFER_BYTES = 64 << 20
_MARK = "penstock convert"


def _temporary(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.penstock-tmp")


def _identity(args: Arguments) -> str:
    """The note of a file that is not finished: what it is made of, and how."""
    st = os.stat(args.source)
    made_of = {
        "source": os.path.abspath(args.source),
        "bytes": st.st_size,
        "mtime_ns": st.st_mtime_ns,
        "columns": args.columns,
        "format": args.format,
    }
    return json.dumps({_MARK: made_of})


def _open_writer(args: Arguments, source: Source, mode: Mode) -> ArrayWriter:
    identity = _identity(args)
    writer = ArrayWriter(
        args.destination,
        source.columns,
        mode=mode,
        rows=source.rows,
        keep=True,
        buffer_bytes=_BUFFER_BYTES,
    )
    note = writer.note
    # A file without a commit has no note.
    if writer.rows and note != identity:
        writer.close()
        if not note.startswith(f'{{"{_MARK}"'):
            # It has the note that it was to keep: it was broken off after its last row and before
            # it had its name, so that nothing says what it is made of.
            return _open_writer(args, source, "create")
        raise CommandError(
            f"what is there of {args.destination} was made of another file, or with other "
            "options: leave --resume away to begin anew"
        )
    writer.note = identity
    return writer


class _Copy:
    """The rows of a source to a writer."""

    def __init__(self, source: Source, writer: ArrayWriter) -> None:
        self._source, self._writer = source, writer
        self._since, self._bytes = time.monotonic(), 0
        self.first = self.kept = writer.rows

    def _checkpoint(self) -> None:
        self._writer.checkpoint()
        self.kept = self._writer.rows
        self._since, self._bytes = time.monotonic(), 0

    def run(self, progress: Progress) -> None:
        progress.advance(self.first)
        for part in self._source.parts(self.first):
            before = self._writer.rows
            self._writer.write(part)
            progress.advance(self._writer.rows - before)
            self._bytes += sum(map(_bytes_of, part.values()))
            is_late = time.monotonic() - self._since > _CHECKPOINT_S
            if self._bytes > _CHECKPOINT_BYTES or is_late:
                self._checkpoint()
        if self._writer.rows != self._source.rows:
            raise CommandError(
                f"the file has {self._writer.rows} rows, and had {self._source.rows}", BAD
            )

    def stop(self) -> None:
        """Keeps what was written, as far as the disk lets it."""
        try:
            self._checkpoint()
        except (OSError, _core.Error):
            pass
        finally:
            self._writer.close()


def _bytes_of(values: Any) -> int:
    items = getattr(values, "items", values)
    return int(getattr(items, "nbytes", 0))


def _convert(args: Arguments, source: Source, console: Console) -> _Copy:
    writer = _open_writer(args, source, "resume" if args.resume else "create")
    copy = _Copy(source, writer)
    try:
        with Progress("convert", source.rows, "rows") as progress:
            copy.run(progress)
        writer.note = args.note
        writer.commit()
    except CommandError:
        # The source is at fault, and would be again.
        writer.close()
        _remove_unfinished(args.destination)
        raise
    except BaseException:
        copy.stop()
        if copy.kept:
            console.note(f"{count(copy.kept, 'row')} are kept for --resume")
        raise
    writer.close()
    return copy


def _remove_unfinished(target: str) -> None:
    try:
        os.unlink(_temporary(target))
    except FileNotFoundError:
        pass


def _check_target(args: Arguments) -> None:
    if os.path.isdir(args.destination):
        raise CommandError(f"{args.destination} is a folder")
    if os.path.lexists(args.destination):
        if os.path.exists(args.source) and os.path.samefile(args.source, args.destination):
            raise CommandError("SRC and DST are one file")
        if not args.force:
            raise CommandError(f"{args.destination} is there already; --force replaces it")


def run(args: Arguments, console: Console) -> int:
    since = time.monotonic()
    _check_target(args)
    try:
        source = open_source(args.source, args.format, args.columns)
        try:
            copy = _convert(args, source, console)
        finally:
            source.close()
    except CommandError as error:
        if error.status != BAD:
            raise
        raise CommandError(f"{args.source}: {error}", BAD) from None
    except _core.Error as error:
        raise CommandError(str(error), BAD) from None
    except (OSError, ValueError) as error:
        raise CommandError(_said(error)) from None
    _report(args, source, copy.first, time.monotonic() - since, console)
    return FINE


def _said(error: Exception) -> str:
    """One sentence. The engine's own errors name the file; Python's have it beside the text."""
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return str(error)


def _shape(column: ArrayColumn) -> str:
    shape = " x ".join(map(str, column.shape))
    if column.ragged:
        return f"rows of any number of {shape or 'items'}"
    return shape or "a number"


def _report(args: Arguments, source: Source, first: int, seconds: float, console: Console) -> None:
    n_bytes = os.path.getsize(args.destination)
    if console.wants_json:
        columns = [
            {
                "name": name,
                "dtype": column.dtype,
                "shape": list(column.shape),
                "ragged": column.ragged,
            }
            for name, column in source.columns.items()
        ]
        console.result(
            "convert",
            {
                "source": args.source,
                "target": args.destination,
                "rows": source.rows,
                "bytes": n_bytes,
                "columns": columns,
                "resumed_at": first,
                "seconds": seconds,
            },
        )
        return
    console.title(show(args.destination))
    console.table(
        [
            ("rows", f"{source.rows:,}" + (f", {first:,} of them before" if first else "")),
            ("size", f"{size(n_bytes)} ({count(n_bytes, 'byte')})"),
            (
                "made in",
                f"{seconds:.1f} s, {rate((source.rows - first) / max(seconds, 1e-9))} rows/s",
            ),
        ]
    )
    console.line()
    console.title("columns")
    rows = [(show(name), c.dtype, _shape(c)) for name, c in source.columns.items()]
    console.table(rows)
