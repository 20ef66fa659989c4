"""Small nets on images of digits, pruned in several ways over several seeds: how much accuracy each way costs."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from prune.bench.report import Table
from prune.console import Steps
from prune.files import write_json

# Net, pattern, sparsity.
WAYS = (("mlp", "unstructured", 0.95), ("mlp", "unstructured", 0.98), ("cnn", "unstructured", 0.9),
        ("cnn", "unstructured", 0.95), ("cnn", "4x1", 0.8), ("cnn", "2:4", 0.5), ("cnn", "filters", 0.5))
NETS = tuple(dict.fromkeys(way[0] for way in WAYS))


def run(ways: Sequence[tuple[str, str, float]], seeds: int, epochs: float, threads: int, timeout: float, steps: Steps,
        machine: dict, as_json: Path | None) -> int:
    """Prints a line for each way, its means over the seeds; returns 0."""
    from prune.digits.job import DigitsOptions, digits
    table = Table([("net", 4), ("weights", 13), ("sparsity", 9), ("dense %", 8), ("pruned %", 9), ("drop", 6), ("worst drop", 11),
                   ("ECE", 7)], left=2)
    rows = []
    for model, pattern, sparsity in ways:
        runs = []
        for seed in range(seeds):
            with steps.step(f"{model}, {pattern}, {sparsity:.0%}, seed {seed}"):
                runs.append(digits(DigitsOptions(model, pattern, sparsity, dense_epochs=epochs, epochs=2 * epochs, seed=seed, threads=threads, timeout=timeout),
                                   Steps("digits", stream=steps.stream if steps.terminal else None)))
        dense, pruned = ([100 * getattr(r, name).quality.accuracy for r in runs] for name in ("baseline", "pruned"))
        drops = [a - b for a, b in zip(dense, pruned)]
        rows.append({"model": model, "pattern": pattern, "sparsity": sum(r.sparsity for r in runs) / seeds,
                     "dense_accuracy": dense, "pruned_accuracy": pruned, "mean_drop": sum(drops) / seeds,
                     "ece": [r.pruned.quality.ece for r in runs]})
        table.line([model, pattern, f"{rows[-1]['sparsity']:.1%}", f"{sum(dense) / seeds:.2f}", f"{sum(pruned) / seeds:.2f}",
                    f"{rows[-1]['mean_drop']:.2f}", f"{max(drops):.2f}", f"{sum(rows[-1]['ece']) / seeds:.4f}"])
        if as_json:
            write_json(as_json, {"machine": machine, "seeds": seeds, "epochs": epochs, "rows": rows})
    return 0
