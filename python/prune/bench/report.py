"""Results as they come on the terminal, as JSON and as a page with bars."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Sequence

from prune import files


class Table:
    """Prints aligned lines as results arrive. `columns`: heading and width; the first ones are left-aligned."""

    def __init__(self, columns: Sequence[tuple[str, int]], left: int = 1):
        self.columns, self.left = columns, left
        self.line([name for name, _ in columns])

    def line(self, cells: Sequence[str]) -> None:
        """One line."""
        text = "  ".join(c.ljust(w) if i < self.left else c.rjust(w)
                         for i, (c, (_, w)) in enumerate(zip(cells, self.columns)))
        print(text.rstrip(), flush=True)


def ratio(ours_ms: float, peer_ms: float) -> str:
    """How many times faster than the peer; a loss is marked."""
    value = peer_ms / ours_ms
    return f"{value:.2f}x" if round(value, 2) >= 1 else f"{value:.2f}x SLOWER"


def write_html(path: Path, title: str, subtitle: str, groups: Sequence[tuple[str, Sequence[tuple[str, float, str]]]],
               notes: Sequence[str] = ()) -> None:
    """A page on its own. Each group is a title with bars (name, length, text); lengths share a scale per group, and
    bars named 'prune' stand out."""
    body = []
    for name, bars in groups:
        longest = max((value for _, value, _ in bars), default=0) or 1
        rows = "".join(
            f'<div class="n">{html.escape(label)}</div><div class="t"><div class="b{" o" if label == "prune" else ""}" '
            f'style="width:{100 * value / longest:.2f}%"></div></div><div class="v">{html.escape(text)}</div>'
            for label, value, text in bars)
        body.append(f"<section><h2>{html.escape(name)}</h2><div class=g>{rows}</div></section>")
    foot = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    files.write_text(path, f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #1c2330;
  background: #fff }}
h1 {{ font-size: 1.5em; margin-bottom: 0 }} h2 {{ font-size: 1em; margin: 1.3em 0 .3em }} p, li {{ color: #56606f }}
.g {{ display: grid; grid-template-columns: 8em 1fr 13em; gap: 3px 10px; align-items: center }}
.n {{ text-align: right; color: #56606f }} .t {{ background: #eef1f5; border-radius: 3px }}
.b {{ height: 15px; background: #9aa7b8; border-radius: 3px; min-width: 1px }} .b.o {{ background: #1769c4 }}
.v {{ font-variant-numeric: tabular-nums }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e4e8ee; background: #14181f }} p, li, .n {{ color: #9aa7b8 }}
.t {{ background: #232a35 }} .b {{ background: #66748a }} .b.o {{ background: #4c9bf0 }} }}
</style></head><body>
<h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>
{"".join(body)}
<ul>{foot}</ul>
</body></html>
""")
