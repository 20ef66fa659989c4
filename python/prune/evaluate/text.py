"""What `python -m prune evaluate` prints."""

from __future__ import annotations

from typing import Mapping

from prune.console import columns


def text(report: Mapping) -> str:
    """The figures of both models, and the checklist."""
    rows = [("", "baseline", "pruned")]

    def row(name, show):
        rows.append((name, *(show(m) for m in ("baseline", "pruned"))))
    models = report["models"]
    if "classification" in report:
        found = report["classification"]
        row("accuracy", lambda m: f"{found[m]['accuracy']:.2%}")
        row(f"top-{found['pruned']['k']}", lambda m: f"{found[m]['top_k']:.2%}")
        for key in ("f1", "nll", "brier"):
            row(key.upper() if key != "brier" else "Brier", lambda m, key=key: f"{found[m][key]:.4f}")
        row("ECE", lambda m: f"{found[m]['calibration']['ece']:.4f}")
        row("confidence", lambda m: found[m]["calibration"]["verdict"])
    else:
        found = report["embedding"]
        near = "-" if found["neighbours"] is None else f"{found['neighbours']:.2%}"
        rows += [("mean cosine", "1", f"{found['cosine']:.4f}"),
                 ("lowest cosine", "1", f"{found['lowest_cosine']:.4f}"),
                 ("same neighbour", "-", near)]
    row("ms a call", lambda m: f"{models[m]['latency_ms']['median']:.4g}")
    for name, key in (("bytes", "size_bytes"), ("memory", "memory_bytes"), ("nonzeros", "nonzeros"),
                      ("operations", "flops")):
        row(name, lambda m, key=key: f"{models[m][key]:,}")
    lines = columns(rows)
    marks = {"done": "x", "warning": "!", "not measured": " "}
    lines += ["", *(f"[{marks[p['status']]}] {p['step']}: {p['answer']}" for p in report["checklist"])]
    return "\n".join(lines)
