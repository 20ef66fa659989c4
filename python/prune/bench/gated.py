"""What gates and dropped tokens leave of MiniLM-L6's embeddings, and what one sentence takes then."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from prune import metrics
from prune.bench import compare, ours, programs
from prune.bench.minilm import INCLUDE
from prune.bench.oneshot import BATCH, embed
from prune.bench.report import Table
from prune.bench.timing import Quiet, interleave
from prune.console import Steps
from prune.files import write_json

# Tokens go before the first product of this layer; those of layers before it see all.
BEFORE = "encoder.layer.2.attention.self"


@dataclass
class Settings:
    """What to run. The files hold a sentence in each line."""

    folder: Path
    calibration: Path
    held_out: Path
    examples: int
    tokens: int
    sparsity: Sequence[float]
    dropped: Sequence[float]
    search: int
    runs: int
    timeout: float
    quiet: Quiet = field(default_factory=Quiet)


def _ways(settings: Settings, scratch: Path) -> Iterator[tuple[str, float, list[str]]]:
    """What is pruned, how much, and the flags of prune-opt."""
    data = f"calibration={scratch}/examples.npz padding=attention_mask {INCLUDE}"
    for sparsity in settings.sparsity:
        for allocation in ("uniform", "greedy"):
            yield f"threshold, {allocation}", sparsity, [
                f"--prune-dynamic=kind=threshold sparsity={sparsity} allocation={allocation} "
                f"search-examples={settings.search} {data}"]
        yield "top-k", sparsity, [f"--prune-dynamic=kind=top-k sparsity={sparsity} {INCLUDE}"]
    for share in settings.dropped:
        for score in ("magnitude", "attention"):
            drop = f"before={BEFORE} sparsity={share} padding=attention_mask score={score}"
            yield f"tokens, {score}", share, ["--prune-normalize", f"--prune-drop-tokens={drop}"]


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None) -> int:
    """Runs all settings; returns the exit status."""
    import onnx

    from prune.importer.driver import ImportOptions, import_model
    from prune.models import minilm, sentences

    calibration = sentences.read(settings.calibration)[:settings.examples]
    held_out = minilm.tokenize(sentences.read(settings.held_out), settings.tokens)
    table, rows = Table([("what", 20), ("share", 6), ("seconds", 8), ("cosine", 8), ("neighbours", 10), ("ms", 8),
                         ("dense ms", 8)], 1), []
    with compare.scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        with steps.step(f"build and import MiniLM-L6, {settings.tokens} tokens"):
            for batch, name in ((BATCH, "batch"), (1, "single")):
                onnx.save(minilm.build(batch, settings.tokens), scratch / "dense.onnx")
                import_model(scratch / "dense.onnx", scratch / f"{name}.mlirbc", ImportOptions(timeout=settings.timeout))
        np.savez(scratch / "examples.npz", **minilm.tokenize(calibration, settings.tokens))
        dense = embed(scratch / "batch.mlirbc", held_out, scratch, settings.timeout)
        for what, share, flags in _ways(settings, scratch):
            # One sentence at a time where tokens go; gates are calibrated and compared in batches.
            dropped = what.startswith("tokens")
            module = scratch / ("single.mlirbc" if dropped else "batch.mlirbc")
            begin = time.monotonic()
            with steps.step(f"{what} {share:.0%}"):
                ours.prune_opt(module, scratch / "pruned.mlirbc", flags, settings.timeout)
            seconds = time.monotonic() - begin
            alike = metrics.similarity(dense, embed(scratch / "pruned.mlirbc", held_out, scratch, settings.timeout))
            row = {"what": what, "share": round(share, 4), "seconds": round(seconds, 2), "cosine": round(alike.cosine, 4),
                   "neighbours": alike.neighbours}
            if dropped:
                row["ms"], row["dense_ms"] = _time(scratch, {n: v[:1] for n, v in held_out.items()}, settings)
            rows.append(row)
            same = "-" if alike.neighbours is None else f"{alike.neighbours:.1%}"
            table.line([what, f"{share:.0%}", f"{seconds:.1f}", f"{alike.cosine:.4f}", same,
                        *(f"{row[name]:.2f}" if name in row else "-" for name in ("ms", "dense_ms"))])
            if as_json:
                write_json(as_json, {"machine": machine, "examples": len(calibration), "held_out": len(dense),
                                     "tokens": settings.tokens, "rows": rows})
    return 0


def _time(scratch: Path, inputs: dict[str, np.ndarray], settings: Settings) -> tuple[float, float]:
    """Milliseconds of one sentence on one core: with fewer tokens, and with all."""
    loop, started = programs.timed_loop(settings.folder), {}
    try:
        for name in ("pruned", "single"):
            library = ours.compile_library(scratch / f"{name}.mlirbc", scratch / f"{name}.so", 1, settings.timeout).library
            started[name] = programs.Program("prune", Path(sys.executable), library, compare.cores_for(1), inputs, scratch,
                                             loop)
            started[name].ready(settings.timeout)
        times, _ = interleave(started, settings.runs, settings.timeout, settings.quiet)
    finally:
        for program in started.values():
            program.stop()
    return round(times["pruned"].median, 3), round(times["single"].median, 3)
