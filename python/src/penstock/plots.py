# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, in the colours of the page that they stand in: c1 to c6 are its classes."""

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
COLUMNS = 60

Spans = Iterable[tuple[float, float]]


def ticks(most: float, about: int = 5) -> list[float]:
    """Round numbers from 0 to what is at most `most`."""
    if not most > 0 or not math.isfinite(most):
        return [0.0]
    rough = most / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * (1 - 1e-9))
    return [step * i for i in range(int(most / step * (1 + 1e-9)) + 1)]


def shares(spans: Spans, start: float, end: float, columns: int = COLUMNS) -> list[float]:
    """How much of each of so many equal parts of a time the spans cover; those that are there at
    once add up."""
    covered = [0.0] * columns
    width = (end - start) / columns
    if width <= 0:
        return covered
    for left, right in spans:
        left, right = max(left, start), min(right, end)
        first = int((left - start) / width)
        for column in range(first, columns):
            begin = start + column * width
            if begin >= right:
                break
            covered[column] += max(0.0, min(right, begin + width) - max(left, begin)) / width
    return covered


class _Frame:
    """Axes, and where numbers lie between them."""

    def __init__(self, x_most: float, y_most: float, y_unit: str = "") -> None:
        self.x_most = x_most if x_most > 0 else 1.0
        self.y_most = y_most if y_most > 0 else 1.0
        self.parts: list[str] = []
        for y in ticks(self.y_most, 4):
            at = self.y(y)
            self.parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" '
                f'y2="{at:.1f}"/>'
                f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}{y_unit}</text>'
            )
        for x in ticks(self.x_most, 8):
            self.parts.append(
                f'<text x="{self.x(x):.1f}" y="{HEIGHT - _BOTTOM + 16}" '
                f'text-anchor="middle">{x:g}</text>'
            )
        self.parts.append(
            f'<text x="{_LEFT + _PLOT_WIDTH / 2:.1f}" y="{HEIGHT - 4}" '
            'text-anchor="middle">seconds</text>'
        )

    def x(self, value: float) -> float:
        return _LEFT + _PLOT_WIDTH * min(max(value / self.x_most, 0.0), 1.0)

    def y(self, value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - min(max(value / self.y_most, 0.0), 1.0))

    def svg(self, title: str) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
            + "".join(self.parts)
            + "</svg>"
        )


def columns(
    title: str,
    seconds: float,
    layers: Sequence[tuple[str, Sequence[float]]],
    most: float,
    unit: str,
) -> str:
    """Columns over time, of layers that lie on each other."""
    frame = _Frame(seconds, most, unit)
    n = max((len(values) for _, values in layers), default=0)
    base = [0.0] * n
    for number, (name, values) in enumerate(layers, 1):
        for i, value in enumerate(values):
            if value > 0:
                left, right = (frame.x(frame.x_most * k / n) for k in (i, i + 1))
                low, high = frame.y(base[i]), frame.y(base[i] + value)
                frame.parts.append(
                    f'<rect class="c{number}" x="{left:.2f}" y="{high:.2f}" '
                    f'width="{max(right - left - 0.5, 0.5):.2f}" height="{low - high:.2f}">'
                    f"<title>{escape(name)}: {value:.2f}{unit}</title></rect>"
                )
            base[i] += value
    return frame.svg(title)


def steps(
    title: str, seconds: float, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]
) -> str:
    """Lines of (second, number) that keep each number until the next one."""
    frame = _Frame(seconds, max((y for _, line in lines for _, y in line), default=0) * 1.1)
    for number, (name, line) in enumerate(lines, 1):
        path, last = "", 0.0
        for x, y in line:
            path += (
                f"{'L' if path else 'M'}{frame.x(x):.1f},{frame.y(last if path else y):.1f}"
                f"V{frame.y(y):.1f}"
            )
            last = y
        if path:
            frame.parts.append(
                f'<path class="line c{number}" d="{path}H{frame.x(seconds):.1f}">'
                f"<title>{escape(name)}</title></path>"
            )
    return frame.svg(title)


def legend(names: Sequence[str]) -> str:
    items = (
        f'<li><svg class="key" viewBox="0 0 10 10" aria-hidden="true">'
        f'<rect class="c{number}" width="10" height="10"/></svg>{escape(name)}</li>'
        for number, name in enumerate(names, 1)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar for each (name, value, words)."""
    height = 26 * len(rows) + 8
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    parts = []
    for number, (name, value, words) in enumerate(rows, 1):
        top = 26 * number - 22
        width = 330 * value / most
        parts.append(
            f'<text x="84" y="{top + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="c{number}" x="92" y="{top}" width="{width:.1f}" height="20"/>'
            f'<text x="{100 + width:.1f}" y="{top + 15}">{escape(words)}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
