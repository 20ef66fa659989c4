"""Builds, imports, prunes, compiles, runs and compares; the report is written by `prune.quickstart.report`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from prune import toolchain
from prune.console import Steps
from prune.errors import PruneError
from prune.importer.driver import ImportOptions, import_model

# The encoder's 36 matrices; not the embedding tables.
INCLUDE = r"^encoder\."
VARIANTS = (("dense", ""), ("unstructured", "unstructured"), ("4x1", "4x1"))


@dataclass
class QuickstartOptions:
    """What to run. `folder` receives the models and the report."""

    folder: Path
    sparsity: float = 0.9
    tokens: int = 128
    threads: int = 1
    runs: int = 30
    timeout: float = 900.0


@dataclass
class Row:
    """One line of the table."""

    weights: str
    sparsity: float
    parameters: int
    nonzeros: int
    bytes: int
    flops: int
    ours_ms: float
    spread_ms: tuple[float, float]
    peer_ms: float
    max_abs_diff: float
    cosine: float
    lowest_cosine: float

    @property
    def ratio(self) -> float:
        """How many times faster than ONNX Runtime."""
        return self.peer_ms / self.ours_ms


def sentences() -> list[str]:
    """The sentences that come with the package."""
    text = resources.files("prune").joinpath("data/sentences.txt").read_text()
    return [line for line in text.splitlines() if line]


def quickstart(options: QuickstartOptions, steps: Steps) -> list[Row]:
    """Runs everything; returns the rows of the table in the order dense, unstructured, 4x1."""
    import onnx

    from prune.models import minilm
    from prune.quickstart.peers import Compiled, OnnxRuntime, interleave
    from prune.weights import masked_weights, put_into_onnx

    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder / "minilm.onnx"
    with steps.step(f"build the ONNX graph of MiniLM-L6, 1 x {options.tokens} tokens"):
        onnx.save(minilm.build(1, options.tokens), source)
        tokens = minilm.tokenize(sentences(), options.tokens)
        cases = {name: value[:, None, :] for name, value in tokens.items()}
    imported = options.folder / "minilm.mlirbc"
    with steps.step("import"):
        import_model(source, imported, ImportOptions(timeout=options.timeout))

    compiled: dict[str, Path] = {}
    onnx_files: dict[str, Path] = {}
    counts: dict[str, dict[str, int]] = {}
    for name, pattern in VARIANTS:
        pruned = imported
        onnx_files[name] = source
        model = onnx.load(source)
        if pattern:
            pruned = options.folder / f"minilm-{name}.mlirbc"
            with steps.step(f"prune {name} to {options.sparsity:.0%} zeros"):
                prune_opt(imported, pruned, f"--prune=criterion=magnitude pattern={pattern} "
                          f"sparsity={options.sparsity} scope=layer include={INCLUDE}", options)
            with steps.step(f"write the same weights as ONNX ({name})"):
                masked = masked_weights(pruned, options.timeout)
                replaced = put_into_onnx(model, masked)
                if replaced == 0 or replaced != len(masked):
                    raise PruneError(str(pruned), "pruned weights",
                                     f"{len(masked)}, {replaced} of them in the ONNX model",
                                     "every one in both")
                onnx_files[name] = options.folder / f"minilm-{name}.onnx"
                onnx.save(model, onnx_files[name])
        counts[name] = count(model, options.tokens)
        compiled[name] = options.folder / f"minilm-{name}.cpu.mlirbc"
        with steps.step(f"compile {name}"):
            prune_opt(pruned, compiled[name], f"--prune-to-cpu=threads={options.threads} kernel=auto", options)

    hidden = {}
    differences = {}
    for name, _ in VARIANTS:
        with steps.step(f"run {len(sentences())} sentences ({name}) in both"):
            reference = OnnxRuntime(onnx_files[name], options.threads).outputs(cases)["last_hidden_state"]
            result = Compiled(compiled[name], options.threads, options.timeout).outputs(cases)["last_hidden_state"]
            if not np.isfinite(result).all():
                raise PruneError(str(compiled[name]), "results", "values that are not finite", "finite ones")
            differences[name] = float(np.abs(result - reference).max())
            hidden[name] = result[:, 0]

    peer = OnnxRuntime(source, options.threads)
    one_case = {name: value[0] for name, value in cases.items()}
    programs = [Compiled(compiled[name], options.threads, options.timeout) for name, _ in VARIANTS]
    runs = 6
    blocks = max(1, -(-options.runs // runs))
    with tempfile.TemporaryDirectory(prefix="prune-quickstart-") as scratch, contextlib.ExitStack() as stack:
        with steps.step("start the programs to be timed"):
            for program in programs:
                stack.callback(program.stop)
                program.start(one_case, Path(scratch))
            peer.block(one_case, 1)
        with steps.step(f"time {blocks} alternating blocks of {runs} runs"):
            times, peer_times = interleave(programs, peer, one_case, blocks, runs)

    baseline = minilm.embed(hidden["dense"], tokens["attention_mask"])
    rows = []
    for (name, pattern), milliseconds in zip(VARIANTS, times):
        cosines = (minilm.embed(hidden[name], tokens["attention_mask"]) * baseline).sum(axis=1)
        rows.append(Row(
            weights=name, sparsity=options.sparsity if pattern else 0.0, **counts[name],
            bytes=weight_bytes(compiled[name]), ours_ms=float(np.median(milliseconds)),
            spread_ms=(float(np.percentile(milliseconds, 10)), float(np.percentile(milliseconds, 90))),
            peer_ms=float(np.median(peer_times)), max_abs_diff=differences[name], cosine=float(cosines.mean()),
            lowest_cosine=float(cosines.min())))
    return rows


def validate(options: QuickstartOptions, steps: Steps) -> tuple[dict, Path]:
    """What `python -m prune evaluate` says of the last variant beside the unpruned model, on the sentences: the report,
    and where it stands as a page. Needs the modules that `quickstart` leaves."""
    from prune.evaluate.job import EvaluateOptions, evaluate
    from prune.models import minilm

    cases, name = options.folder / "sentences.npz", VARIANTS[-1][0]
    np.savez(cases, **minilm.tokenize(sentences(), options.tokens))
    page = options.folder / "evaluation.html"
    report, _ = evaluate(EvaluateOptions(
        options.folder / f"minilm-{name}.mlirbc", options.folder / "minilm.mlirbc", cases, json=page.with_suffix(".json"),
        html=page, runs=options.runs, threads=options.threads, timeout=options.timeout), steps)
    return report, page


def prune_opt(source: Path, target: Path, flag: str, options: QuickstartOptions) -> None:
    """One step of the compiler, bytecode to bytecode."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        toolchain.checked("prune-opt", [source, flag, "--emit-bytecode", "-o", scratch], options.timeout, str(source),
                          f"prune-opt {flag.split('=')[0]}")
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def count(model, tokens: int) -> dict[str, int]:
    """Parameters and nonzeros of the whole model, and floating-point operations of its matrix products (two for each
    multiply-add, zeros of constant matrices left out)."""
    from onnx import numpy_helper
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    floats = {n: v for n, v in constants.items() if v.dtype == np.float32}
    nonzeros = {n: int(np.count_nonzero(v)) for n, v in floats.items()}
    flops = 0
    for node in model.graph.node:
        if node.op_type == "MatMul":
            # Attention: every token with every token, over the width of all heads together.
            weight = node.input[1]
            hidden = floats["embeddings.LayerNorm.weight"].size
            flops += 2 * tokens * (nonzeros[weight] if weight in floats else tokens * hidden)
    return {"parameters": sum(v.size for v in floats.values()), "nonzeros": sum(nonzeros.values()), "flops": flops}


def weight_bytes(module: Path) -> int:
    """Size of the compiled model: code and weights."""
    return module.stat().st_size
