"""The report as one HTML page on its own: no network, no scripts, readable on a phone and on paper."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from typing import Mapping, Sequence

import numpy as np

from prune.export.source import Mask

# Masks that are drawn, the largest, and the sides of a picture in elements.
PICTURES, PICTURE_ROWS, PICTURE_COLUMNS = 12, 96, 160
_STYLE = """
:root { --text: #1c2330; --soft: #56606f; --line: #d5dbe3; --field: #eef1f5; --old: #9aa7b8; --new: #1769c4; --bad: #b3261e;
  --good: #1b7f4d; --warm: #d98200; --paper: #fff }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --soft: #9aa7b8; --line: #333c49; --field: #232a35;
  --old: #66748a; --new: #4c9bf0; --bad: #ff8a80; --good: #5fd39a; --warm: #ffb74d; --paper: #14181f } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 64em; margin: 1.5em auto; padding: 0 1em; color: var(--text);
  background: var(--paper) }
h1 { font-size: 1.5em; margin: 0 } h2 { font-size: 1.15em; margin: 2em 0 .5em } h3 { font-size: 1em; margin: .4em 0 }
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
.axis { stroke: var(--soft); fill: none } .over { fill: var(--bad) } .under { fill: var(--warm) }
.masks { display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: 1em }
.masks img { width: 100%; max-height: 11em; object-fit: contain; object-position: left; image-rendering: pixelated; }
figure { margin: 0; overflow-wrap: anywhere; break-inside: avoid } figcaption { font-size: .87em; color: var(--soft) }
@media (max-width: 34em) { td, th { padding-right: .5em; font-size: .9em } }
@media print { body { max-width: none; margin: 0; font-size: 10.5pt } section, tr, svg { break-inside: avoid }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def page(report: Mapping, masks: Mapping[str, Mask]) -> str:
    """The whole page."""
    parts = [_head(report), _checklist(report["checklist"]), _figures(report)]
    if "classification" in report:
        parts += [_quality(report["classification"]), _reliability(report["classification"])]
    else:
        parts.append(_embedding(report["embedding"]))
    parts += [_sparsity(report["layers"]), _pictures(masks), _compatibility(report["layers"])]
    title = f"Pruned: {report['module']}"
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{_text(title)}</title>\n<style>{_STYLE}</style></head>'
            f'<body>\n<h1>{_text(title)}</h1>\n{chr(10).join(filter(None, parts))}\n</body></html>\n')


def _text(value) -> str:
    return html.escape(str(value))


def _head(report: Mapping) -> str:
    about, ratios = report["machine"], report["ratios"]
    tiles = [("faster than the baseline", f"{ratios['speedup']:.2f}x", ratios["speedup"] >= 1),
             ("of its size", f"{ratios['size_bytes']:.1%}", ratios["size_bytes"] <= 1),
             ("of its memory", f"{ratios['memory_bytes']:.1%}", ratios["memory_bytes"] <= 1),
             ("of its operations", f"{ratios['flops']:.1%}", ratios["flops"] <= 1)]
    if "classification" in report:
        found = report["classification"]
        change = found["pruned"]["accuracy"] - found["baseline"]["accuracy"]
        verdict = found["pruned"]["calibration"]["verdict"]
        tiles += [("points of accuracy", f"{100 * change:+.2f}", change >= 0),
                  ("confidence", verdict, verdict == "calibrated")]
    else:
        tiles.append(("mean cosine to the baseline", f"{report['embedding']['cosine']:.3f}", True))
    gates = "".join(f"<li class={'good' if g['passed'] else 'bad'}>{_text(g['option'])}: {_text(g['what'])} "
                    f"{g['value']:.4g}, limit {g['limit']:g}: {'passed' if g['passed'] else 'FAILED'}</li>"
                    for g in report["gates"])
    cells = "".join(f'<div class=tile><b class={"good" if good else "bad"}>{_text(value)}</b>{_text(name)}</div>'
                    for name, value, good in tiles)
    return (f"<p>against {_text(report['baseline'])} on {report['examples']:,} examples of {_text(report['data'])}; "
            f"{_text(about['cpu'])} ({_text(about['features'])}), {report['threads']} thread(s), "
            f"prune {_text(report['prune'])}</p>"
            f"<div class=tiles>{cells}</div>{f'<ul>{gates}</ul>' if gates else ''}")


def _section(title: str, body: str, note: str = "") -> str:
    return f"<section><h2>{_text(title)}</h2>{f'<p>{_text(note)}</p>' if note else ''}{body}</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML already."""
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}{' class=n' if i in numbers else ' class=name' if i == 0 else ''}>{c}</{tag}>"
                                for i, c in enumerate(cells)) + "</tr>"
    return f"<div class=scroll><table>{line(heads, 'th')}{''.join(line(r, 'td') for r in rows)}</table></div>"


def _checklist(points: Sequence[Mapping]) -> str:
    marks = {"done": '<span class=good>done</span>', "warning": '<span class=bad>look</span>',
             "not measured": '<span class=soft>not measured</span>'}
    rows = [(f"{i}. {_text(p['step'])}", marks[p["status"]], _text(p["answer"])) for i, p in enumerate(points, 1)]
    return _section("Checklist", _table(("step", "", "answer"), rows))


def bars(groups: Sequence[tuple[str, Sequence[tuple[str, float, str, str]]]], longest: float | None = None) -> str:
    """Groups of bars (name, length, text, class), each with a scale of its own unless `longest` sets it."""
    parts, y = [], 0
    for title, lines in groups:
        scale = longest or max((v for _, v, _, _ in lines), default=0) or 1
        if title:
            parts.append(f'<text x="0" y="{y + 13}">{_text(title)}</text>')
            y += 20
        for name, value, text, kind in lines:
            parts.append(f'<text class="soft name" x="120" y="{y + 13}" text-anchor="end"><title>{_text(name)}</title>'
                         f'{_text(_shortened(name))}</text><rect class="field" x="124" y="{y + 2}" width="170" height="14" rx="2"/>'
                         f'<rect class="{kind}" x="124" y="{y + 2}" width="{170 * value / scale:.1f}" height="14" rx="2"/>'
                         f'<text x="300" y="{y + 13}">{_text(text)}</text>')
            y += 19
        y += 8
    return f'<svg viewBox="0 0 440 {max(1, y)}" role="img">{"".join(parts)}</svg>'


def _shortened(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else f"{name[:limit // 2 - 1]}…{name[-(limit // 2):]}"


def short_names(names: Sequence[str]) -> list[str]:
    """The names without the path that all of them begin with and the `.weight` that all of them end with."""
    parts = [name.split(".") for name in names]
    least = min(map(len, parts), default=0)
    first = next((i for i in range(least) if len({p[i] for p in parts}) > 1), 0)
    same_end = least - first > 1 and all(p[-1] == "weight" for p in parts)
    return [".".join(p[first:-1] if same_end else p[first:]) for p in parts]


def _figures(report: Mapping) -> str:
    def group(title, key, show):
        return title, [(m, float(get(report["models"][m], key)), show(get(report["models"][m], key)), kind)
                       for m, kind in (("baseline", "old"), ("pruned", "new"))]

    def get(figures, key):
        return figures["latency_ms"]["median"] if key == "latency" else figures[key]

    def count(value):
        return f"{value:,}"
    groups = [group("Latency of a call (median)", "latency", lambda v: f"{v:.3g} ms"),
              group("Size: code and weights", "size_bytes", lambda v: f"{v:,} bytes"),
              group("Memory: weights and peak workspace", "memory_bytes", lambda v: f"{v:,} bytes"),
              group("Operations on nonzeros", "flops", count), group("Parameters that are not zero", "nonzeros", count)]
    spread = "; ".join(f"{m} {t['low']:.3g} to {t['high']:.3g} ms (10th to 90th percentile of {t['samples']})"
                       for m, t in ((m, report["models"][m]["latency_ms"]) for m in ("baseline", "pruned")))
    return _section("Cost", bars(groups), spread)


def _quality(found: Mapping) -> str:
    def row(name, get, form="{:.4f}"):
        before, now = (get(found[m]) for m in ("baseline", "pruned"))
        return (name, form.format(before), form.format(now), f"{now - before:+.4f}")
    rows = [row("accuracy", lambda m: m["accuracy"]), row(f"top-{found['pruned']['k']} accuracy", lambda m: m["top_k"]),
            row("F1, mean over classes", lambda m: m["f1"]), row("negative log-likelihood", lambda m: m["nll"]),
            row("Brier score", lambda m: m["brier"])]
    names = {"ece": "calibration error (15 bins)", "maximum": "its largest bin", "adaptive": "over bins of equal mass",
             "classwise": "over classes", "signed": "confidence minus accuracy", "overconfidence": "overconfidence",
             "underconfidence": "underconfidence", "limit": "what chance explains (95 %)"}
    rows += [row(_text(text), lambda m, key=key: m["calibration"][key]) for key, text in names.items()]
    rows += [row("best temperature", lambda m: m["temperature"]["value"]),
             row("calibration error, held-out half", lambda m: m["temperature"]["ece_before"]),
             row("the same with temperature", lambda m: m["temperature"]["ece_after"])]
    agreed = found["agreement"]
    note = (f"{agreed['churn']:.2%} of the answers changed; {agreed['lost']:.2%} became wrong and {agreed['won']:.2%} right; "
            f"mean KL divergence from the baseline {agreed['divergence']:.4f} nats. The baseline is "
            f"{found['baseline']['calibration']['verdict']}, the pruned model {found['pruned']['calibration']['verdict']}.")
    return _section("Quality", _table(("", "baseline", "pruned", "change"), rows, (1, 2, 3)), note)


def _embedding(found: Mapping) -> str:
    near = found["neighbours"]
    rows = [("mean cosine to the baseline", f"{found['cosine']:.4f}"),
            ("lowest cosine", f"{found['lowest_cosine']:.4f}"),
            ("same nearest neighbour", "not measured, because there are less than three examples" if near is None
             else f"{near:.2%}")]
    return _section("Quality", _table(("vectors", "value"), rows))


def _reliability(found: Mapping) -> str:
    drawn = "".join(f"<figure><h3>{m}</h3>{diagram(found[m]['reliability'])}{histogram(found[m]['reliability'], kind)}</figure>"
                    for m, kind in (("baseline", "old"), ("pruned", "new")))
    return _section("Confidence", f"<div class=pair>{drawn}</div>",
                    "Accuracy by confidence, and below how many examples have it. Red: right less often than said, by so "
                    "much; orange: more often.")


def diagram(bins: Mapping) -> str:
    """Accuracy of each bin over its confidence, with the diagonal."""
    parts, (x0, y0, size) = [], (34, 8, 250)
    edges = bins["edges"]
    for low, high, count, confidence, accuracy in zip(edges, edges[1:], bins["counts"], bins["confidence"],
                                                      bins["accuracy"]):
        if not count:
            continue
        x, width = x0 + size * low, size * (high - low) - 1
        top, bottom = max(confidence, accuracy), min(confidence, accuracy)
        kind = "over" if confidence > accuracy else "under"
        parts.append(f'<rect class="new" x="{x:.1f}" y="{y0 + size * (1 - bottom):.1f}" width="{width:.1f}" '
                     f'height="{size * bottom:.1f}"/><rect class="{kind}" x="{x:.1f}" y="{y0 + size * (1 - top):.1f}" '
                     f'width="{width:.1f}" height="{size * (top - bottom):.1f}"/>')
    marks = "".join(f'<text class="soft" x="{x0 - 5}" y="{y0 + size * (1 - v) + 4:.0f}" text-anchor="end">{v:g}</text>'
                    f'<text class="soft" x="{x0 + size * v:.0f}" y="{y0 + size + 16}" text-anchor="middle">{v:g}</text>'
                    for v in (0, 0.5, 1))
    return (f'<svg viewBox="0 0 300 282" role="img"><rect class="field" x="{x0}" y="{y0}" width="{size}" height="{size}"/>'
            f'{"".join(parts)}<path class="axis" stroke-dasharray="4 3" d="M{x0} {y0 + size}L{x0 + size} {y0}"/>{marks}</svg>')


def histogram(bins: Mapping, kind: str) -> str:
    """How many examples each bin has."""
    most, (x0, size, height) = max(bins["counts"]) or 1, (34, 250, 60)
    edges = bins["edges"]
    drawn = "".join(f'<rect class="{kind}" x="{x0 + size * low:.1f}" y="{4 + height * (1 - count / most):.1f}" '
                    f'width="{size * (high - low) - 1:.1f}" height="{height * count / most:.1f}"/>'
                    for low, high, count in zip(edges, edges[1:], bins["counts"]))
    return (f'<svg viewBox="0 0 300 70" role="img"><rect class="field" x="{x0}" y="4" width="{size}" height="{height}"/>{drawn}'
            f'<text class="soft" x="{x0 - 5}" y="14" text-anchor="end">{most}</text></svg>')


def _sparsity(layers: Sequence[Mapping]) -> str:
    shown = [layer for layer in layers if layer["prunable"]]
    if not shown:
        return ""
    lines = [(name, layer["sparsity"] if layer["pattern"] else 0.0,
              (f"{layer['sparsity']:.1%} {layer['pattern']}"
               if layer["pattern"] else "no mask") + f", {_shape(layer)}", "new")
             for name, layer in zip(short_names([layer["name"] for layer in shown]), shown)]
    return _section("Sparsity of the layers", bars([("", lines)], 1.0))


def _shape(layer: Mapping) -> str:
    now = "x".join(map(str, layer["shape"]))
    before = layer["baseline_shape"]
    return now if before in (None, layer["shape"]) else f"{'x'.join(map(str, before))} to {now}"


def _pictures(masks: Mapping[str, Mask]) -> str:
    largest = sorted(masks, key=lambda name: -masks[name].kept.size)[:PICTURES]
    drawn = "".join(f'<figure><img alt="mask of {_text(name)}" src="data:image/png;base64,{picture(mask.kept)}"><figcaption>'
                    f'{_text(name)} {"x".join(map(str, mask.kept.shape))}, {_text(mask.pattern)}</figcaption></figure>'
                    for name, mask in ((n, masks[n]) for n in masks if n in largest))
    note = "Rows are outputs, columns what they read; the darker, the more is kept."
    if len(masks) > len(largest):
        note += f" The {len(largest)} largest of {len(masks)}."
    return _section("Masks", f"<div class=masks>{drawn}</div>", note) if drawn else ""


def picture(kept: np.ndarray) -> str:
    """A mask as a small PNG in base64: the share that is kept, in shades of grey."""
    matrix = kept.reshape(len(kept), -1).astype(np.float64)
    for axis, most in ((0, PICTURE_ROWS), (1, PICTURE_COLUMNS)):
        parts = np.array_split(matrix, min(most, matrix.shape[axis]), axis=axis)
        matrix = np.stack([p.mean(axis=axis) for p in parts], axis=axis)
    grey = np.round(255 * (1 - matrix)).astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in grey)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9))
                            + chunk(b"IEND", b"")).decode()


def _compatibility(layers: Sequence[Mapping]) -> str:
    rows = []
    for layer in layers:
        for i, verdict in enumerate(layer["compatibility"]):
            kind = {"fast": "good", "no": "bad"}.get(verdict["status"], "soft")
            rows.append((_text(layer["name"]) if i == 0 else "", _text(verdict["target"]),
                         f"<span class={kind}>{verdict['status']}</span>", _text(verdict["reason"])))
    if not rows:
        return ""
    return _section("Hardware and kernels", _table(("layer", "target", "", "why"), rows),
                    "What the compiler chose for each layer, and whether a GPU with 2:4 instructions could use its zeros.")
