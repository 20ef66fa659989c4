"""Sensitivity as curves: a picture for each layer, all on one scale, and the figures."""

from __future__ import annotations

from typing import Mapping, Sequence

from prune.markup import document, escape, section, short_names, table
from prune.sensitivity.text import number

# Of a picture: its left and upper edge, width, height.
_X, _Y, _WIDTH, _HEIGHT = 30, 8, 150, 80


def page(found: Mapping) -> str:
    """The whole page."""
    about = (f"<p>{escape(found['criterion'])}, {escape(found['pattern'])}, {found['examples']:,} examples of "
             f"{escape(found['data'])}; prune {escape(found['prune'])}</p>")
    return document(f"Sensitivity: {found['module']}", [about, *sections(found)])


def sections(found: Mapping) -> list[str]:
    """Curves and figures, for this page and for that of `prune evaluate`."""
    measure = found["measure"].replace("_", " ")
    names = short_names([layer["name"] for layer in found["layers"]])
    most = max((p[found["measure"]]["mean"] + (p[found["measure"]]["error"] or 0)
                for layer in found["layers"] for p in layer["points"]), default=0) or 1
    drawn = "".join(f"<figure>{curve(layer['points'], found['measure'], most)}<figcaption>{escape(name)} "
                    f"{'x'.join(map(str, layer['shape']))}</figcaption></figure>"
                    for name, layer in zip(names, found["layers"]))
    note = (f"{measure} when one layer alone is pruned ({found['pattern']}), over its sparsity; all on one scale. "
            "Bars: standard error over parts of the examples.")
    measures = [m for m in ("accuracy_drop", "loss_increase") if m in found["layers"][0]["points"][0]]
    return [section("Sensitivity", f"<div class=curves>{drawn}</div>", note),
            *(_figures(found, names, m) for m in [found["measure"], *measures])]


def curve(points: Sequence[Mapping], measure: str, most: float) -> str:
    """One measure over sparsity, from (0, 0) on."""
    places = [(_X, float(_Y + _HEIGHT))]
    bars = []
    for point in points:
        value = point[measure]
        x, y = _X + _WIDTH * point["pruned"], _height(value["mean"], most)
        places.append((x, y))
        bars.append(f'<circle class="new" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
        if value["error"] is not None:
            low, high = (_height(value["mean"] + sign * value["error"], most) for sign in (-1, 1))
            bars.append(f'<path class="axis" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    bottom = _Y + _HEIGHT
    return (f'<svg viewBox="0 0 190 106" role="img"><rect class="field" x="{_X}" y="{_Y}" width="{_WIDTH}" '
            f'height="{_HEIGHT}"/><path class="line" d="M{line}"/>{"".join(bars)}'
            f'<text class="soft name" x="{_X - 3}" y="{_Y + 8}" text-anchor="end">{most:.2g}</text>'
            f'<text class="soft name" x="{_X - 3}" y="{bottom}" text-anchor="end">0</text>'
            f'<text class="soft name" x="{_X}" y="{bottom + 14}" text-anchor="middle">0</text>'
            f'<text class="soft name" x="{_X + _WIDTH}" y="{bottom + 14}" text-anchor="middle">1</text></svg>')


def _height(value: float, most: float) -> float:
    return _Y + _HEIGHT * (1 - min(max(value, 0.0), most) / most)


def _figures(found: Mapping, names: Sequence[str], measure: str) -> str:
    rows = [(escape(name), *(escape(number(point[measure])) for point in layer["points"]))
            for name, layer in zip(names, found["layers"])]
    heads = ("layer", *(f"{s:.4g}" for s in found["sparsities"]))
    return section(f"{measure.replace('_', ' ').capitalize()} by sparsity", table(heads, rows, range(1, len(heads))))
