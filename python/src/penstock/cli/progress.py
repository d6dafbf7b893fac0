# SPDX-License-Identifier: Apache-2.0
"""Progress on stderr, where a person looks at it: tqdm's bar if tqdm is installed, else lines."""

import sys
import time
from types import TracebackType
from typing import Any

_LINE_EVERY_S = 2.0


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Progress:
    """A context: advance() as the work goes. Silent where stderr is no terminal."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done = 0
        self._bar: Any = None
        self._is_on = sys.stderr.isatty()
        self._since = self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._is_on:
            try:
                from tqdm import tqdm
            except ImportError:
                return self
            self._bar = tqdm(
                total=self._total,
                desc=self._what,
                unit=f" {self._unit}",
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
            )
        return self

    def advance(self, n: int) -> None:
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        elif self._is_on and time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            print(self._line(), file=sys.stderr)

    def _line(self) -> str:
        seconds = time.monotonic() - self._since
        per_s = self._done / seconds if seconds > 0 else 0.0
        left = clock((self._total - self._done) / per_s) if per_s > 0 else "unknown"
        share = 100 * self._done // max(self._total, 1)
        return (
            f"{self._what}: {share} %, {self._done} of {self._total} {self._unit}, "
            f"{per_s:.0f} a second, {left} left"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
