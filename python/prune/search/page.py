"""A search as one HTML page: what was chosen, the front it lies on, and the curves it was chosen by."""

from __future__ import annotations

from typing import Mapping

from prune.markup import bars, document, escape, section, short_names, table
from prune.sensitivity import page as curves_page

# Of the plot: its left and upper edge, width, height.
_X, _Y, _WIDTH, _HEIGHT = 50, 10, 360, 200


def page(found: Mapping, curves: Mapping) -> str:
    """The whole page."""
    target, achieved = found["target"], found["achieved"]
    tiles = "".join(f"<div class=tile><b>{value}</b>{escape(name)}</div>" for name, value in (
        (f"target {target['kind']}:{target['value']:g}", "met" if found["met"] else "missed"),
        (f"of the latency ({found['latency']})", f"{achieved['latency']:.1%}"),
        *((("of the latency (estimated)", f"{achieved['estimated_latency']:.1%}"),) if found["milliseconds"] else ()),
        ("of the size", f"{achieved['size']:.1%}"), ("of the operations", f"{achieved['flops']:.1%}"),
        ("drop", f"{achieved['drop']:.4f}"),
        ("of the layers' weights pruned", f"{found['sparsity']:.1%}")))
    names = short_names([layer["name"] for layer in found["layers"]])
    lines = [(name, layer["sparsity"],
              f"{layer['sparsity']:.1%} {layer['pattern']}" if layer["pattern"] else "no mask", "new")
             for name, layer in zip(names, found["layers"])]
    code = [(escape(name), escape(layer["code"])) for name, layer in zip(names, found["layers"]) if layer["code"]]
    keys = ("sparsity", "latency", "size", "flops", "drop")
    trials = [tuple(f"{trial[key]:.4f}" if key in trial else "" for key in keys) for trial in found["trials"]]
    return document(f"Search: {found['module']}", [
        f"<p>{escape(found['criterion'])}, {escape(found['pattern'])}, examples of {escape(found['data'])}; prune "
        f"{escape(found['prune'])}</p><div class=tiles>{tiles}</div>",
        section("Sparsity of the layers", bars([("", lines)], 1.0)), _front(found),
        section("Models on the way", table(keys, trials, range(len(keys)))),
        section("Code", table(("layer", "what the compiler chose"), code)) if code else "",
        *curves_page.sections(curves)])


def _front(found: Mapping) -> str:
    """Least loss over cost."""
    points, kind = found["front"], found["target"]["minimized"]
    most = max(point["loss"] for point in points) or 1
    places = [(_X + _WIDTH * point["cost"], _Y + _HEIGHT * (1 - point["loss"] / most)) for point in points]
    marks = "".join(f'<circle class="new" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    bottom = _Y + _HEIGHT
    ticks = "".join(f'<text class="soft" x="{_X + _WIDTH * v:.0f}" y="{bottom + 16}" text-anchor="middle">{v:g}</text>'
                    for v in (0, 0.25, 0.5, 0.75, 1))
    drawn = (f'<svg viewBox="0 0 440 250" role="img"><rect class="field" x="{_X}" y="{_Y}" width="{_WIDTH}" '
             f'height="{_HEIGHT}"/><path class="line" d="M{line}"/>{marks}{ticks}'
             f'<text class="soft" x="{_X - 5}" y="{_Y + 10}" text-anchor="end">{most:.2g}</text>'
             f'<text class="soft" x="{_X - 5}" y="{bottom}" text-anchor="end">0</text>'
             f'<text class="soft" x="{_X + _WIDTH / 2}" y="{bottom + 34}" text-anchor="middle">{escape(kind)} of the '
             "unpruned model</text></svg>")
    rows = [(f"{point['cost']:.3f}", f"{point['loss']:.4f}") for point in points]
    note = (f"The least sum of the layers' {found['measure'].replace('_', ' ')} for each {kind}, before "
            "anything is measured.")
    return section("Pareto front", f"<div class=pair>{drawn}{table((kind, 'loss'), rows, (0, 1))}</div>", note)
