"""Single layers with masks of real weights: which share of the processor's multiply-adds they reach on the nonzeros."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from prune.bench import ours, programs
from prune.bench.compare import (TOLERANCE, cores_for, difference, prune_flag, scratch_folder, settings_of,
                                 title)
from prune.bench.report import Table, write_html
from prune.bench.timing import Quiet, interleave
from prune.console import Steps
from prune.files import write_json

# MiniLM's own layers and those of BERT-base, rows by columns.
SHAPES = ((384, 384), (1536, 384), (384, 1536), (768, 768), (3072, 768), (768, 3072))
# Multiply-adds of the loop that measures the peak: 12 independent chains hide their latency.
CHAINS, TURNS = 12, 100_000
# Every sample is the mean over calls that take about this long together.
SAMPLE_MS = 2.0


@dataclass
class Settings:
    """What to run and how."""

    folder: Path
    shapes: Sequence[tuple[int, int]] = SHAPES
    weights: Sequence[str] = ("unstructured", "4x1", "2:4", "dense")
    sparsity: Sequence[float] = (0.8, 0.9, 0.95)
    tokens: Sequence[int] = (128,)
    sparsifier: bool = True
    runs: int = 30
    timeout: float = 900.0
    quiet: Quiet = field(default_factory=Quiet)


@dataclass
class Result:
    """One layer. Shares are of the peak measured in turn with it."""

    label: dict[str, object]
    milliseconds: float
    share: float
    peak: float
    upstream: float | None
    worst: float


def weight(n: int, k: int) -> np.ndarray:
    """A matrix of n x k of the encoder's own values: the layers' matrices of the nearest form, side by side."""
    from prune.models import minilm
    kind = "intermediate.dense" if n >= 2 * k else "output.dense" if k >= 2 * n else "attention.self.query"
    layers = [v for name, v in sorted(minilm.load_weights().items()) if name.endswith(f"{kind}.weight")
              and "attention.output" not in name]
    down, across = -(-n // layers[0].shape[0]), -(-k // layers[0].shape[1])
    rows = [np.hstack([layers[(i * across + j) % len(layers)] for j in range(across)]) for i in range(down)]
    return np.ascontiguousarray(np.vstack(rows)[:n, :k])


def layer_module(value: np.ndarray, tokens: int) -> str:
    """The layer as the compiler has it inside a model, tokens innermost."""
    n, k = value.shape
    return f"""
#x = affine_map<(n, m, k) -> (k, m)>
#w = affine_map<(n, m, k) -> (n, k)>
#y = affine_map<(n, m, k) -> (n, m)>
func.func @main(%x: tensor<{k}x{tokens}xf32> {{prune.name = "x"}}) -> (tensor<{n}x{tokens}xf32> {{prune.name = "y"}}) {{
  %w = arith.constant dense_resource<layer.weight> : tensor<{n}x{k}xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{n}x{tokens}xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<{n}x{tokens}xf32>) -> tensor<{n}x{tokens}xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<{k}x{tokens}xf32>, tensor<{n}x{k}xf32>)
         outs(%fill : tensor<{n}x{tokens}xf32>) -> tensor<{n}x{tokens}xf32>
  return %y : tensor<{n}x{tokens}xf32>
}}
{{-# dialect_resources: {{ builtin: {{ layer.weight: "0x10000000{value.tobytes().hex()}" }} }} #-}}
"""


def peak_module(lanes: int) -> str:
    """Chains of fused multiply-adds in registers, and nothing else."""
    chains = range(CHAINS)
    names = ", ".join(f"%a{i} = %v" for i in chains)
    steps = "\n".join(f"    %f{i} = vector.fma %a{i}, %v, %v : vector<{lanes}xf32>" for i in chains)
    sums = "\n".join(f"  %s{i + 1} = arith.addf %{f's{i}' if i else 'r#0'}, %r#{i + 1} : vector<{lanes}xf32>"
                     for i in range(CHAINS - 1))
    types = ", ".join([f"vector<{lanes}xf32>"] * CHAINS)
    return f"""
func.func @main(%x: tensor<{lanes}xf32> {{prune.name = "x"}}) -> (tensor<{lanes}xf32> {{prune.name = "y"}}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant {TURNS} : index
  %zero = arith.constant 0.0 : f32
  %v = vector.transfer_read %x[%c0], %zero {{in_bounds = [true]}} : tensor<{lanes}xf32>, vector<{lanes}xf32>
  %r:{CHAINS} = scf.for %i = %c0 to %n step %c1 iter_args({names}) -> ({types}) {{
{steps}
    scf.yield {", ".join(f"%f{i}" for i in chains)} : {types}
  }}
{sums}
  %e = tensor.empty() : tensor<{lanes}xf32>
  %y = vector.transfer_write %s{CHAINS - 1}, %e[%c0] {{in_bounds = [true]}} : vector<{lanes}xf32>, tensor<{lanes}xf32>
  return %y : tensor<{lanes}xf32>
}}
"""


def run(settings: Settings, features: str, steps: Steps) -> Iterator[Result]:
    """Each layer in turn with the peak and with upstream's code for the same matrix."""
    from prune.weights import masked_weights
    with scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        lanes = 16 if "avx512f" in features else 8 if "avx2" in features else 4
        with steps.step("compile the loop that measures the peak"):
            source = scratch / "peak.mlir"
            source.write_text(peak_module(lanes))
            peak = ours.compile_library(source, scratch / "peak.so", 1, settings.timeout).library
        random = np.random.default_rng(0)
        for n, k in settings.shapes:
            value = weight(n, k)
            for tokens in settings.tokens:
                source = scratch / "layer.mlir"
                source.write_text(layer_module(value, tokens))
                x = random.uniform(-1, 1, (k, tokens)).astype(np.float32)
                for weights, sparsity in settings_of(settings.weights, settings.sparsity):
                    label = {"weights": weights, "sparsity": round(sparsity, 4), "n": n, "k": k, "tokens": tokens}
                    with steps.step(f"{title(label)} {n} x {k}: prune and compile"):
                        pruned, masked = source, value
                        if weights != "dense":
                            pruned = scratch / "pruned.mlirbc"
                            ours.prune_opt(source, pruned, [prune_flag(weights, sparsity)], settings.timeout)
                            masked = masked_weights(pruned, settings.timeout)["layer.weight"]
                        compiled = ours.compile_library(pruned, scratch / "ours.so", 1, settings.timeout)
                        libraries = {"peak": peak, "prune": compiled.library}
                        if settings.sparsifier and weights != "dense":
                            libraries["sparsifier"] = ours.compile_library(
                                pruned, scratch / "upstream.so", 1, settings.timeout, "kernel=sparsifier").library
                    with steps.step(f"{title(label)} {n} x {k}: time"):
                        yield _measure(label, masked, x, lanes, libraries, settings, scratch)


def _measure(label: dict, masked: np.ndarray, x: np.ndarray, lanes: int, libraries: dict[str, Path], settings: Settings,
             scratch: Path) -> Result:
    cores = cores_for(1)
    loop = programs.timed_loop(settings.folder)
    reference = {"y": masked.astype(np.float64) @ x}
    with ExitStack() as stack:
        started, repeats, worst = {}, {}, 0.0
        for name, library in libraries.items():
            inputs = {"x": np.full(lanes, 0.5, np.float32) if name == "peak" else x}
            program = programs.Program("prune", Path(sys.executable), library, cores, inputs, scratch, loop)
            stack.callback(program.stop)
            program.ready(settings.timeout)
            if name != "peak":
                worst = max(worst, difference(name, program.outputs, reference))
            started[name] = program
            repeats[name] = max(1, round(SAMPLE_MS / min(program.run(3, settings.timeout))))
        times, _ = interleave(started, settings.runs, settings.timeout, settings.quiet, repeats)
    peak = 2 * CHAINS * TURNS * lanes / times["peak"].median
    flops = 2 * int(np.count_nonzero(masked)) * x.shape[1]
    share = {name: flops / t.median / peak for name, t in times.items()}
    return Result(label, times["prune"].median, share["prune"], peak, share.get("sparsifier"), worst)


def report(settings: Settings, steps: Steps, machine: dict, as_json: Path | None, as_html: Path | None) -> int:
    """Prints a line for each layer and rewrites the reports after each; 2 if a result was wrong."""
    results: list[Result] = []
    print(f"single layers, f32, one core, {machine['cpu']} ({machine['features']}); medians of {settings.runs} "
          "interleaved samples; share of the measured peak, zeros not counted")
    table = Table([("weights", 16), ("n x k", 11), ("tokens", 6), ("ms", 8), ("GFLOP/s peak", 12),
                   ("share of peak", 13), ("--sparsifier", 12), ("x", 12), ("difference", 10)])
    for result in run(settings, machine["features"], steps):
        results.append(result)
        label, up = result.label, result.upstream
        table.line([title(label), f"{label['n']} x {label['k']}", str(label["tokens"]), f"{result.milliseconds:.3f}",
                    f"{result.peak / 1e6:.0f}", f"{result.share:.1%}", f"{up:.1%}" if up else "-",
                    f"{result.share / up:.2f}x" + (" SLOWER" if result.share < up else "") if up else "-",
                    f"{result.worst:.1e}" + ("" if result.worst <= TOLERANCE else " DIFFERENT")])
        if as_json:
            write_json(as_json, {
                "machine": machine, "rows": [{**r.label, "share_of_peak": round(r.share, 4)} for r in results],
                "sparsifier": [{**r.label, "share_of_peak": round(r.upstream, 4)} for r in results if r.upstream]})
        if as_html:
            write_html(as_html, "Sparse layers", "Share of the measured peak of multiply-adds on the nonzeros, longer "
                       f"is better. {machine['cpu']} ({machine['features']}), f32, one core.",
                       [_bars(r) for r in results])
    return 0 if all(r.worst <= TOLERANCE for r in results) else 2


def _bars(result: Result) -> tuple[str, list[tuple[str, float, str]]]:
    label = result.label
    found = [("prune", result.share), *([("--sparsifier", result.upstream)] if result.upstream else []), ("peak", 1.0)]
    return (f"{title(label)}, {label['n']} x {label['k']}, {label['tokens']} tokens",
            [(name, share, f"{share:.1%}") for name, share in found])
