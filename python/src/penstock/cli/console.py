# SPDX-License-Identifier: Apache-2.0
"""What goes where: results to stdout, everything else to stderr."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from penstock import __version__

FINE, BAD, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141  # exit statuses
SCHEMA = 1

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_BLOCKS = " ▏▎▍▌▋▊▉█"


class CommandError(Exception):
    """One sentence for the user, and the exit status."""

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message)
        self.status = status


def show(text: str) -> str:
    """A file's name or a message on a terminal: bytes that are no text and characters that would
    steer the terminal are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, by os.fsdecode()
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def count(n: int, noun: str, plural: str | None = None) -> str:
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def size(n: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def percent(share: float) -> str:
    """Never 100 where something is missing, nor 0 where something is there."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


def rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.1f}"


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Libraries of C that print to descriptor 2 (libtiff does, for damaged files) print to nobody;
    sys.stderr still goes where it went."""
    sys.stderr.flush()
    before = sys.stderr
    with (
        os.fdopen(os.dup(2), "w", encoding=before.encoding, errors=before.errors) as kept,
        open(os.devnull, "w") as nobody,
    ):
        sys.stderr = kept
        os.dup2(nobody.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept.fileno(), 2)
            sys.stderr = before


class Console:
    """Where one command writes."""

    def __init__(self, *, json: bool, color: str) -> None:
        self.wants_json = json
        self._color = color

    def _has_color(self, stream: TextIO) -> bool:
        if self._color != "auto":
            return self._color == "always"
        is_dumb = os.environ.get("TERM") == "dumb"
        return stream.isatty() and not os.environ.get("NO_COLOR") and not is_dumb

    def style(self, text: str, *styles: str) -> str:
        if not styles or not self._has_color(sys.stdout):
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def title(self, text: str) -> None:
        self.line(self.style(text, "bold"))

    def line(self, text: str = "") -> None:
        print(text)

    def note(self, text: str) -> None:
        """Something the user should know that is no result."""
        print(f"penstock: {show(text)}", file=sys.stderr)

    def result(self, command: str, data: Mapping[str, Any]) -> None:
        """The one document of --json."""
        head = {"schema": SCHEMA, "penstock": __version__, "command": command}
        print(json.dumps({**head, **data}, indent=2))

    def table(self, rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> None:
        """Columns, those in `numbers` to the right; the last one as long as it likes."""
        lines, right = [list(row) for row in rows], set(numbers)
        if not lines:
            return
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            cells = [
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            self.line("  " + "  ".join(cells).rstrip())

    def bars(self, rows: Sequence[tuple[str, int]], width: int = 32) -> None:
        """A histogram: a label, how many, and a bar."""
        most = max((n for _, n in rows), default=0)
        total = sum(n for _, n in rows)
        table = [
            (label, f"{n:,}", percent(n / total) if total else "", self._bar(n, most, width))
            for label, n in rows
        ]
        self.table(table, numbers=(1, 2))

    def _bar(self, n: int, most: int, width: int) -> str:
        eighths = round(8 * width * n / most) if most else 0
        if n and not eighths:
            eighths = 1
        if "utf" not in (sys.stdout.encoding or "").lower():
            return "#" * max((eighths + 4) // 8, 1 if n else 0)
        whole, rest = divmod(eighths, 8)
        return self.style("█" * whole + (_BLOCKS[rest] if rest else ""), "cyan")
