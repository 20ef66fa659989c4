"""The report as one HTML page on its own: no network, no scripts, readable on a phone and on paper."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Mapping, Sequence

import numpy as np

from prune.console import milliseconds
from prune.evaluate.checklist import COSINE
from prune.export.source import Mask
from prune.markup import bars, document, escape, section, short_names, table
from prune.sensitivity import page as curves

# Masks that are drawn, the largest, and the sides of a picture in elements.
PICTURES, PICTURE_ROWS, PICTURE_COLUMNS = 12, 96, 160


def page(report: Mapping, masks: Mapping[str, Mask]) -> str:
    """The whole page."""
    parts = [_head(report), _checklist(report["checklist"]), _figures(report)]
    if "classification" in report:
        parts += [_quality(report["classification"]), _reliability(report["classification"])]
    else:
        parts.append(_embedding(report["embedding"]))
    if "sensitivity" in report:
        parts += curves.sections(report["sensitivity"])
    parts += [_sparsity(report["layers"]), _pictures(masks), _compatibility(report["layers"])]
    return document(f"Pruned: {report['module']}", parts)


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
        cosine = report["embedding"]["cosine"]
        tiles.append(("mean cosine to the baseline", f"{cosine:.3f}", cosine >= COSINE))
    gates = "".join(f"<li class={'good' if g['passed'] else 'bad'}>{escape(g['option'])}: {escape(g['what'])} "
                    f"{g['value']:.4g}, limit {g['limit']:g}: {'passed' if g['passed'] else 'FAILED'}</li>"
                    for g in report["gates"])
    cells = "".join(f'<div class=tile><b class={"good" if good else "bad"}>{escape(value)}</b>{escape(name)}</div>'
                    for name, value, good in tiles)
    return (f"<p>against {escape(report['baseline'])} on {report['examples']:,} examples of {escape(report['data'])}; "
            f"{escape(about['cpu'])} ({escape(about['features'])}), {report['threads']} thread(s), "
            f"prune {escape(report['prune'])}</p>"
            f"<div class=tiles>{cells}</div>{f'<ul>{gates}</ul>' if gates else ''}")


def _checklist(points: Sequence[Mapping]) -> str:
    marks = {"done": '<span class=good>done</span>', "warning": '<span class=bad>look</span>',
             "not measured": '<span class=soft>not measured</span>'}
    rows = [(f"{i}. {escape(p['step'])}", marks[p["status"]], escape(p["answer"])) for i, p in enumerate(points, 1)]
    return section("Checklist", table(("step", "", "answer"), rows))


def _figures(report: Mapping) -> str:
    def group(title, key, show):
        return title, [(m, float(get(report["models"][m], key)), show(get(report["models"][m], key)), kind)
                       for m, kind in (("baseline", "old"), ("pruned", "new"))]

    def get(figures, key):
        return figures["latency_ms"]["median"] if key == "latency" else figures[key]

    def count(value):
        return f"{value:,}"
    groups = [group("Latency of a call (median)", "latency", milliseconds),
              group("Size: code and weights", "size_bytes", lambda v: f"{v:,} bytes"),
              group("Memory: weights and peak workspace", "memory_bytes", lambda v: f"{v:,} bytes"),
              group("Operations on nonzeros", "flops", count), group("Parameters that are not zero", "nonzeros", count)]
    spread = "; ".join(f"{m} {milliseconds(t['low'])} to {milliseconds(t['high'])} (10th to 90th percentile of {t['samples']})"
                       for m, t in ((m, report["models"][m]["latency_ms"]) for m in ("baseline", "pruned")))
    return section("Cost", bars(groups), spread)


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
    rows += [row(escape(text), lambda m, key=key: m["calibration"][key]) for key, text in names.items()]
    rows += [row("best temperature", lambda m: m["temperature"]["value"]),
             row("calibration error, held-out half", lambda m: m["temperature"]["ece_before"]),
             row("the same with temperature", lambda m: m["temperature"]["ece_after"])]
    agreed = found["agreement"]
    note = (f"{agreed['churn']:.2%} of the answers changed; {agreed['lost']:.2%} became wrong and {agreed['won']:.2%} "
            f"right; mean KL divergence from the baseline {agreed['divergence']:.4f} nats. The baseline is "
            f"{found['baseline']['calibration']['verdict']}, the pruned model "
            f"{found['pruned']['calibration']['verdict']}.")
    return section("Quality", table(("", "baseline", "pruned", "change"), rows, (1, 2, 3)), note)


def _embedding(found: Mapping) -> str:
    near = found["neighbours"]
    rows = [("mean cosine to the baseline", f"{found['cosine']:.4f}"),
            ("lowest cosine", f"{found['lowest_cosine']:.4f}"),
            ("same nearest neighbour", "not measured, because there are less than three examples" if near is None
             else f"{near:.2%}")]
    return section("Quality", table(("vectors", "value"), rows))


def _reliability(found: Mapping) -> str:
    drawn = "".join(f"<figure><h3>{m}</h3>{diagram(bins)}{histogram(bins, kind)}</figure>"
                    for m, bins, kind in ((m, found[m]["reliability"], kind)
                                          for m, kind in (("baseline", "old"), ("pruned", "new"))))
    return section("Confidence", f"<div class=pair>{drawn}</div>",
                    "Accuracy by confidence, and below how many examples have it. Red: right less often than said, by "
                    "so much; orange: more often.")


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
    return (f'<svg viewBox="0 0 300 282" role="img"><rect class="field" x="{x0}" y="{y0}" width="{size}" '
            f'height="{size}"/>{"".join(parts)}<path class="axis" stroke-dasharray="4 3" d="M{x0} '
            f'{y0 + size}L{x0 + size} {y0}"/>{marks}</svg>')


def histogram(bins: Mapping, kind: str) -> str:
    """How many examples each bin has."""
    most, (x0, size, height) = max(bins["counts"]) or 1, (34, 250, 60)
    edges = bins["edges"]
    drawn = "".join(f'<rect class="{kind}" x="{x0 + size * low:.1f}" y="{4 + height * (1 - count / most):.1f}" '
                    f'width="{size * (high - low) - 1:.1f}" height="{height * count / most:.1f}"/>'
                    for low, high, count in zip(edges, edges[1:], bins["counts"]))
    return (f'<svg viewBox="0 0 300 70" role="img"><rect class="field" x="{x0}" y="4" width="{size}" '
            f'height="{height}"/>{drawn}<text class="soft" x="{x0 - 5}" y="14" text-anchor="end">{most}</text></svg>')


def _sparsity(layers: Sequence[Mapping]) -> str:
    shown = [layer for layer in layers if layer["prunable"]]
    if not shown:
        return ""
    lines = [(name, layer["sparsity"] if layer["pattern"] else 0.0,
              (f"{layer['sparsity']:.1%} {layer['pattern']}"
               if layer["pattern"] else "no mask") + f", {_shape(layer)}", "new")
             for name, layer in zip(short_names([layer["name"] for layer in shown]), shown)]
    return section("Sparsity of the layers", bars([("", lines)], 1.0))


def _shape(layer: Mapping) -> str:
    now = "x".join(map(str, layer["shape"]))
    before = layer["baseline_shape"]
    return now if before in (None, layer["shape"]) else f"{'x'.join(map(str, before))} to {now}"


def _pictures(masks: Mapping[str, Mask]) -> str:
    largest = sorted(masks, key=lambda name: -masks[name].kept.size)[:PICTURES]
    drawn = "".join(f'<figure><img alt="mask of {escape(name)}" '
                    f'src="data:image/png;base64,{picture(mask.kept)}"><figcaption>{escape(name)} '
                    f'{"x".join(map(str, mask.kept.shape))}, {escape(mask.pattern)}</figcaption></figure>'
                    for name, mask in ((n, masks[n]) for n in masks if n in largest))
    note = "Rows are outputs, columns what they read; the darker, the more is kept."
    if len(masks) > len(largest):
        note += f" The {len(largest)} largest of {len(masks)}."
    return section("Masks", f"<div class=masks>{drawn}</div>", note) if drawn else ""


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
            rows.append((escape(layer["name"]) if i == 0 else "", escape(verdict["target"]),
                         f"<span class={kind}>{verdict['status']}</span>", escape(verdict["reason"])))
    if not rows:
        return ""
    return section("Hardware and kernels", table(("layer", "target", "", "why"), rows),
                    "What the compiler chose for each layer, and whether a GPU with 2:4 instructions could use its "
                    "zeros.")
