"""What `python -m prune digits` prints."""

from __future__ import annotations

from prune.console import columns
from prune.digits.job import BATCH, DigitsOptions, Result, Validated


def text(result: Result, options: DigitsOptions) -> str:
    """The layers, the way of the sparsity, and both nets as they were exported."""
    lines = [f"{options.model}, {options.pattern}, seed {options.seed}", "", "Layers that can be pruned:"]
    lines += _table(("weight", "shape", "parameters", "share", "of the work"), [
        (layer["name"], "x".join(map(str, layer["shape"])), f"{layer['parameters']:,}",
         f"{layer['parameter_share']:.1%}", f"{layer['flop_share']:.1%}")
        for layer in result.layers if layer["prunable"]])
    lines += ["", "Pruning and fine-tuning:"]
    lines += _table(("step", "sparsity", "test accuracy", "test loss"), [
        (str(step), f"{sparsity:.1%}", f"{scores.quality.accuracy:.2%}", f"{scores.loss:.4f}")
        for step, sparsity, scores in result.pruning.trace])
    lines += ["", f"Exported as C libraries, {BATCH} images a call:"]
    lines += _table(("net", "accuracy", "NLL", "Brier", "ECE", "nonzeros", "bytes", "ms"), [
        _row("dense", result.baseline), _row(f"pruned {result.sparsity:.1%}", result.pruned)])
    drop = 100 * (result.baseline.quality.accuracy - result.pruned.quality.accuracy)
    lines += ["", f"Accuracy falls by {drop:.2f} points." if drop > 0 else f"Accuracy rises by {-drop:.2f} points."]
    return "\n".join(lines)


def _row(name: str, net: Validated) -> tuple[str, ...]:
    quality = net.quality
    return (name, f"{quality.accuracy:.2%}", f"{quality.nll:.4f}", f"{quality.brier:.4f}", f"{quality.ece:.4f}",
            f"{net.nonzeros:,}", f"{net.bytes:,}", f"{net.time_ms:.3f}")


def _table(heads, rows) -> list[str]:
    """Aligned columns, the first to the left."""
    return ["  " + line for line in columns([heads, *rows])]
