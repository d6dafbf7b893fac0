# SPDX-License-Identifier: Apache-2.0
"""A page of HTML in one file, without scripts. Text from outside goes through text()."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.sheet import Picture

# The page may load nothing, whatever gets into it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'"

_STYLE = """
:root { color-scheme: light dark;
  --page: #fbfaf7; --card: #ffffff; --ink: #1d2330; --soft: #566072; --line: #d8dbe2;
  --c1: #2563ab; --c2: #b4540a; --c3: #6b7280; --c4: #14795c; --c5: #8a3ea8; --c6: #b3243c; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171d; --card: #1c2028; --ink: #e8eaf0; --soft: #a4adbd; --line: #39404d;
  --c1: #6aa9f2; --c2: #f0a058; --c3: #9aa3b2; --c4: #4cc6a0; --c5: #cf95ea; --c6: #f4849a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 24px 16px 48px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 18px; margin: 0; }
p { margin: 4px 0; } p, li { overflow-wrap: anywhere; } .said { color: var(--soft); }
section, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
section { margin-top: 16px; padding: 14px 16px; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
  margin: 16px 0; }
.tile { padding: 10px 14px; } .tile b { display: block; font-size: 22px; }
.tile span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; height: auto; max-width: 900px; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); }
.c4 { fill: var(--c4); } .c5 { fill: var(--c5); } .c6 { fill: var(--c6); }
.line { fill: none; stroke-width: 1.8; } .line.c1 { stroke: var(--c1); }
.line.c2 { stroke: var(--c2); stroke-dasharray: 5 3; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; padding: 0;
  margin: 6px 0 0; font-size: 13px; } .legend li { display: flex; align-items: center; gap: 6px; }
.key { width: 12px; height: 12px; }
.sheet { display: grid; gap: 14px; margin-top: 10px;
  grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
figure { margin: 0; font-size: 12.5px; overflow-wrap: anywhere; }
figure img { display: block; max-width: 100%; min-width: 96px; border: 1px solid var(--line);
  border-radius: 4px; image-rendering: auto; }
figcaption b { display: block; font-size: 14px; } figcaption span { display: block; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; margin-top: 8px; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px 5px 0;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
"""


def text(value: str) -> str:
    """Text of anybody's, as it is to be seen: what cannot be seen, or would turn the line around,
    is written out."""
    seen = "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode("ascii")
        for one in value
    )
    return escape(seen)


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    inner = "".join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span></div>'
        for value, name in entries
    )
    return f'<div class="tiles">{inner}</div>'


def note(words: str) -> str:
    return f'<p class="said">{text(words)}</p>'


def section(title: str, words: str, inner: str, cls: str = "plot") -> str:
    return (
        f"<section><h2>{text(title)}</h2>{note(words)}"
        f'<div class="{escape(cls)}">{inner}</div></section>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{text(cell)}</th>" for cell in head)
    inner = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{inner}</tbody></table>"


def figure(picture: "Picture") -> str:
    height, width = picture.size
    place = f"batch {picture.batch}"
    if picture.index is not None:
        place = f"index {picture.index}, {place}"
    lines = [f"<b>{text(picture.label)}</b>"] if picture.label else []
    if picture.path:
        short = "/".join(picture.path.split("/")[-2:])
        lines.append(f'<span title="{text(picture.path)}">{text(short)}</span>')
    if picture.parameters:
        lines.append(f"<span>{text(picture.parameters)}</span>")
    lines.append(f'<span class="said">{text(place)}, {width} x {height}</span>')
    return (
        f'<figure><img src="{picture.uri}" alt="{text(picture.label or place)}">'
        f"<figcaption>{''.join(lines)}</figcaption></figure>"
    )


def whole(title: str, body: str) -> str:
    """`body` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{text(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
