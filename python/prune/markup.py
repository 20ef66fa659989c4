"""Pages on their own: HTML without scripts and without anything to load, readable on a phone and on paper."""

from __future__ import annotations

import html
from typing import Sequence

_STYLE = """
:root { --text: #1c2330; --soft: #56606f; --line: #d5dbe3; --field: #eef1f5; --old: #9aa7b8; --new: #1769c4;
  --bad: #b3261e; --good: #1b7f4d; --warm: #d98200; --paper: #fff }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --soft: #9aa7b8; --line: #333c49;
  --field: #232a35; --old: #66748a; --new: #4c9bf0; --bad: #ff8a80; --good: #5fd39a;
  --warm: #ffb74d; --paper: #14181f } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 64em; margin: 1.5em auto; padding: 0 1em; color: var(--text);
  background: var(--paper) }
h1 { font-size: 1.5em; margin: 0 } h1, p, td:last-child { overflow-wrap: anywhere } h2 { font-size: 1.15em; margin: 2em 0 .5em } h3 { font-size: 1em; margin: .4em 0 }
p, .soft { color: var(--soft) } .good { color: var(--good) } .bad { color: var(--bad) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11em, 1fr)); gap: .7em; margin: 1em 0 }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .6em .8em; color: var(--soft) }
.tile b { display: block; font-size: 1.15em; overflow-wrap: anywhere }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(17em, 1fr)); gap: 1.2em }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25em .8em .25em 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; color: var(--soft) } td.n, th.n { text-align: right }
td.name { overflow-wrap: anywhere; min-width: 7em }
svg { width: 100%; max-width: 42em; height: auto; display: block }
svg text { fill: var(--text); font: 12px system-ui, sans-serif } svg text.soft { fill: var(--soft) }
svg text.name { font-size: 10px } .old { fill: var(--old) } .new { fill: var(--new) } .field { fill: var(--field) }
.axis { stroke: var(--soft); fill: none } .line { stroke: var(--new); stroke-width: 1.5; fill: none }
.over { fill: var(--bad) } .under { fill: var(--warm) }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5em, 1fr)); gap: .6em }
.masks { display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: 1em }
.masks img { width: 100%; max-height: 11em; object-fit: contain; object-position: left; image-rendering: pixelated; }
figure { margin: 0; overflow-wrap: anywhere; break-inside: avoid } figcaption { font-size: .87em; color: var(--soft) }
@media (max-width: 34em) { td, th { padding-right: .5em; font-size: .9em } }
@media print { body { max-width: none; margin: 0; font-size: 10.5pt } section, tr, svg { break-inside: avoid }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def document(title: str, body: Sequence[str]) -> str:
    """The whole page, of sections that are HTML already; empty ones are left out."""
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title>\n'
            f'<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n'
            f'{chr(10).join(filter(None, body))}\n</body></html>\n')


def escape(value: object) -> str:
    return html.escape(str(value))


def section(title: str, body: str, note: str = "") -> str:
    return f"<section><h2>{escape(title)}</h2>{f'<p>{escape(note)}</p>' if note else ''}{body}</section>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML already."""
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}{' class=n' if i in numbers else ' class=name' if i == 0 else ''}>{c}</{tag}>"
                                for i, c in enumerate(cells)) + "</tr>"
    return f"<div class=scroll><table>{line(heads, 'th')}{''.join(line(r, 'td') for r in rows)}</table></div>"


def bars(groups: Sequence[tuple[str, Sequence[tuple[str, float, str, str]]]], longest: float | None = None) -> str:
    """Groups of bars (name, length, text, class), each with a scale of its own unless `longest` sets it."""
    parts, y = [], 0
    for title, lines in groups:
        scale = longest or max((v for _, v, _, _ in lines), default=0) or 1
        if title:
            parts.append(f'<text x="0" y="{y + 13}">{escape(title)}</text>')
            y += 20
        for name, value, text, kind in lines:
            parts.append(f'<text class="soft name" x="136" y="{y + 13}" text-anchor="end"><title>{escape(name)}</title>'
                         f'{escape(shortened(name))}</text>'
                         f'<rect class="field" x="140" y="{y + 2}" width="160" height="14" rx="2"/>'
                         f'<rect class="{kind}" x="140" y="{y + 2}" width="{160 * value / scale:.1f}" height="14" '
                         'rx="2"/>'
                         f'<text x="306" y="{y + 13}">{escape(text)}</text>')
            y += 19
        y += 8
    return f'<svg viewBox="0 0 440 {max(1, y)}" role="img">{"".join(parts)}</svg>'


def shortened(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else f"{name[:limit // 2 - 1]}…{name[-(limit // 2):]}"


def short_names(names: Sequence[str]) -> list[str]:
    """The names without the path that all of them begin with and the `.weight` that all of them end with."""
    parts = [name.split(".") for name in names]
    least = min(map(len, parts), default=0)
    first = next((i for i in range(least) if len({p[i] for p in parts}) > 1), 0)
    same_end = least - first > 1 and all(p[-1] == "weight" for p in parts)
    return [".".join(p[first:-1] if same_end else p[first:]) for p in parts]
