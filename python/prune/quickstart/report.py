"""The quickstart's table on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Sequence

from prune import __version__
from prune.quickstart.job import QuickstartOptions, Row

_HEAD = ("weights", "parameters", "nonzeros", "bytes", "MFLOP", "median ms", "vs ONNX Runtime", "max difference",
         "cosine to unpruned")


def machine() -> dict[str, str | int]:
    """The processor that the figures belong to."""
    model, flags = platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = " ".join(f for f in value.split() if f in ("avx2", "fma", "avx512f", "avx512_vnni"))
    except OSError:
        pass
    return {"cpu": model, "features": flags, "cores": os.cpu_count() or 1}


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The table as text, the heading first."""
    body = [(row.weights if not row.sparsity else f"{row.weights} {row.sparsity:.0%}", f"{row.parameters:,}",
             f"{row.nonzeros:,}", f"{row.bytes:,}", f"{row.flops / 1e6:.0f}", f"{row.ours_ms:.2f}",
             f"{row.ratio:.2f}x", f"{row.max_abs_diff:.1e}", f"{row.cosine:.3f}") for row in rows]
    return [_HEAD, *body]


def verdict(rows: Sequence[Row]) -> list[str]:
    """What the figures say, good or bad."""
    dense, *pruned = rows
    lines = [f"ONNX Runtime needs {dense.peer_ms:.2f} ms for the dense model with the same number of threads."]
    worst = max(row.max_abs_diff for row in rows)
    lines.append(f"Largest difference to ONNX Runtime on the same weights: {worst:.1e} "
                 f"({'within' if worst <= 1e-4 else 'ABOVE'} 1e-4).")
    for row in pruned:
        word = "faster than" if row.ratio > 1 else "NOT faster than"
        lines.append(f"{row.weights} at {row.sparsity:.0%}: {row.ratio:.2f}x the speed of dense ONNX Runtime ({word} "
                     f"it), {dense.ours_ms / row.ours_ms:.2f}x our own dense.")
    lines.append(f"ACCURACY: zeroing {pruned[0].sparsity:.0%} of the weights without fine-tuning ruins the embedding: "
                 "its cosine similarity to the unpruned one is "
                 + " and ".join(f"{row.cosine:.3f} ({row.weights}, lowest {row.lowest_cosine:.3f})" for row in pruned)
                 + ", where 1 is the same. These models are fast, not useful, until they are fine-tuned.")
    return lines


def text_table(rows: Sequence[Row]) -> str:
    """Aligned columns for a terminal."""
    table = cells(rows)
    widths = [max(len(line[k]) for line in table) for k in range(len(_HEAD))]
    return "\n".join("  ".join(cell.ljust(w) if k == 0 else cell.rjust(w)
                               for k, (cell, w) in enumerate(zip(line, widths))) for line in table)


def write(rows: Sequence[Row], options: QuickstartOptions, peer: str) -> tuple[Path, Path]:
    """Writes report.json and report.md; returns their paths."""
    about = machine()
    data = {"prune": __version__, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": about,
            "model": "all-MiniLM-L6-v2", "batch": 1, "tokens": options.tokens, "threads": options.threads, "peer": peer,
            "rows": [dict(asdict(row), ratio=row.ratio) for row in rows], "verdict": verdict(rows)}
    as_json, as_markdown = options.folder / "report.json", options.folder / "report.md"
    as_json.write_text(json.dumps(data, indent=2) + "\n")
    table = cells(rows)
    lines = ["# Quickstart: all-MiniLM-L6-v2, pruned and compiled", "",
             f"1 x {options.tokens} tokens, f32, {options.threads} thread(s), {about['cpu']} ({about['features']}); "
             f"{peer}; {data['time']}.", "",
             "| " + " | ".join(table[0]) + " |", "|---" + "|---:" * (len(_HEAD) - 1) + "|",
             *("| " + " | ".join(line) + " |" for line in table[1:]), "", *(f"- {v}" for v in verdict(rows)), ""]
    as_markdown.write_text("\n".join(lines))
    return as_json, as_markdown
