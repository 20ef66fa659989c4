"""MiniLM-L6 with real weights, pruned in several ways, against the peers on the same masked weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Sequence

from prune.bench import compare, int8, ours
from prune.console import Steps
from prune.errors import PruneError

# The encoder's 36 matrices; not the embedding tables.
INCLUDE = r"include=^encoder\."
# Sentences that the ranges of int8 activations are read off, at least.
EXAMPLES = 32


@dataclass
class Settings(compare.Settings):
    """What to run and how."""

    batch: Sequence[int] = (1, 16)
    tokens: int = 128
    int8: bool = False


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None, as_html: Path | None) -> int:
    """Runs all settings; returns the exit status."""
    import onnx

    from prune.importer.driver import ImportOptions, import_model
    from prune.models import minilm
    from prune.quickstart.job import sentences
    from prune.weights import masked_weights, put_into_onnx

    if settings.int8:
        settings.numbers, settings.rivals, settings.judge, settings.tolerance = "int8", int8.RIVALS, int8.JUDGE, 0.0
    with compare.scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        arena = compare.Arena(settings, scratch, steps)
        report = compare.Reporter(
            "all-MiniLM-L6-v2",
            [("weights", 16, compare.title), ("input", 8, lambda label: f"{label['batch']} x {label['tokens']}")],
            machine, settings, as_json, as_html)
        for batch in settings.batch:
            lines = sentences()
            inputs = minilm.tokenize([lines[i % len(lines)] for i in range(batch)], settings.tokens)
            source, imported = scratch / "dense.onnx", scratch / "dense.mlirbc"
            with steps.step(f"build and import MiniLM-L6, {batch} x {settings.tokens} tokens"):
                onnx.save(minilm.build(batch, settings.tokens), source)
                import_model(source, imported, ImportOptions(timeout=settings.timeout))
            for weights, sparsity in compare.settings_of(settings.weights, settings.sparsity):
                label = {"weights": weights, "sparsity": round(sparsity, 4), "batch": batch, "tokens": settings.tokens}
                pruned, model = imported, source
                if weights != "dense":
                    pruned, model = scratch / "pruned.mlirbc", scratch / "pruned.onnx"
                    flag = compare.prune_flag(weights, sparsity, INCLUDE)
                    with steps.step(f"{compare.title(label)}: prune, write the same weights as ONNX"):
                        ours.prune_opt(imported, pruned, [flag], settings.timeout)
                        masked = masked_weights(pruned, settings.timeout)
                        graph = onnx.load(source)
                        if not masked or put_into_onnx(graph, masked) != len(masked):
                            raise PruneError(str(pruned), "pruned weights", "some without an ONNX initializer", "none")
                        onnx.save(graph, model)
                rivals = {}
                if settings.int8:
                    label["type"] = "int8"
                    examples = minilm.tokenize([lines[i % len(lines)] for i in range(-(-EXAMPLES // batch) * batch)],
                                               settings.tokens)
                    quantized, static, dynamic = scratch / "int8.mlirbc", scratch / "static.onnx", scratch / "dynamic.onnx"
                    with steps.step(f"{compare.title(label)}: quantize, for the peers too"):
                        int8.quantize(pruned, quantized, examples, INCLUDE, settings.timeout)
                        int8.write_onnx(model, examples, batch, static, dynamic)
                    rivals = {"rivals": partial(int8.make_rivals, pruned, quantized, dynamic, scratch, settings.timeout)}
                    pruned, model = quantized, static
                for result in arena.compile_and_time(pruned, model, inputs, label, **rivals):
                    report(result)
    return report.finish()
