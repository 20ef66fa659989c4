"""Feed-forward blocks for few tokens whose activations are pruned while they run, against the same blocks dense."""

from __future__ import annotations

import itertools
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from prune import toolchain
from prune.bench import ours, programs
from prune.bench.compare import cores_for, difference, scratch_folder
from prune.bench.report import Table
from prune.bench.timing import Quiet, interleave
from prune.console import Steps
from prune.errors import PruneError
from prune.files import write_json

# Hidden and inner size: BERT-base, and a language model of 7 billion weights.
SHAPES = ((768, 3072), (4096, 11008))
# `none` has gates that were calibrated with activations a millionth the size, and prune next to nothing; the activation of `relu`
# gives the zeros itself, after one dense product.
# That of `predictor` is a product of two small matrices, whose largest results say which inner activations are needed.
KINDS = ("threshold", "top-k", "predictor", "relu", "none")
PREDICTOR_RANK = 32
TOLERANCE = 1e-4
SAMPLE_MS = 2.0
EXAMPLES = 16
# What gates of `none` were calibrated to prune.
NONE_EXPECTS = 0.9
# Distance of an activation from its threshold within which rounding decides.
NEAR = 1e-5
PEER = "onnxruntime"


@dataclass
class Settings:
    """What to run and how."""

    folder: Path
    shapes: Sequence[tuple[int, int]] = SHAPES
    kinds: Sequence[str] = KINDS
    sparsity: Sequence[float] = (0.5, 0.7, 0.9)
    tokens: Sequence[int] = (1,)
    threads: int = 1
    runs: int = 30
    timeout: float = 900.0
    quiet: Quiet = field(default_factory=Quiet)
    # Whether ONNX Runtime runs too, and whether it may be left out.
    peer: bool = True
    optional: bool = True


@dataclass
class Block:
    """y = act(x up + bias) down, with act = ReLU, or x sigmoid(x); and scores = x predictor[0] predictor[1], if there is one."""

    up: np.ndarray
    down: np.ndarray
    bias: np.ndarray
    rectifies: bool
    predictor: Sequence[np.ndarray] = ()

    def inner(self, x: np.ndarray) -> np.ndarray:
        """What is multiplied with `down`."""
        h = x.astype(np.float64) @ self.up + self.bias
        return np.maximum(h, 0) if self.rectifies else h / (1 + np.exp(-h))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """What the predictor says."""
        return x.astype(np.float64) @ self.predictor[0] @ self.predictor[1]

    def save(self, path: Path, tokens: int, predicts: bool) -> None:
        """The block as an ONNX file, with the scores as second result or without them."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper
        hidden = self.up.shape[0]
        act = [helper.make_node("Relu", ["h"], ["a"])] if self.rectifies else \
            [helper.make_node("Sigmoid", ["h"], ["s"]), helper.make_node("Mul", ["h", "s"], ["a"])]
        nodes = [helper.make_node("MatMul", ["x", "up.weight"], ["p"]), helper.make_node("Add", ["p", "up.bias"], ["h"]),
                 *act, helper.make_node("MatMul", ["a", "down.weight"], ["y"])]
        weights = {"up.weight": self.up, "up.bias": self.bias, "down.weight": self.down}
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [tokens, hidden]) for name in ("x", "y")]
        if predicts:
            nodes += [helper.make_node("MatMul", ["x", "first.weight"], ["q"]),
                      helper.make_node("MatMul", ["q", "second.weight"], ["scores"])]
            weights.update(zip(("first.weight", "second.weight"), self.predictor))
            values.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [tokens, self.up.shape[1]]))
        graph = helper.make_graph(nodes, "block", values[:1], values[1:],
                                  [numpy_helper.from_array(value, name) for name, value in weights.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        onnx.save(model, path)


@dataclass
class Result:
    """One block, timed in turn with its dense self."""

    label: dict[str, object]
    ours: float
    dense: float
    peer: float | None
    difference: float

    def row(self) -> dict[str, object]:
        """The row of the JSON report."""
        return {**self.label, "ours_ms": round(self.ours, 4), "dense_ms": round(self.dense, 4),
                "peer_ms": None if self.peer is None else round(self.peer, 4), "max_abs_diff": self.difference}


def make_block(hidden: int, inner: int, kind: str, sparsity: float, x: np.ndarray) -> Block:
    """Random weights; the bias of a ReLU makes the share `sparsity` of the inner activations of `x` zero."""
    random = np.random.default_rng(0)
    up = random.standard_normal((hidden, inner), np.float32) / np.float32(np.sqrt(hidden))
    down = random.standard_normal((inner, hidden), np.float32) / np.float32(np.sqrt(inner))
    bias = np.zeros(inner, np.float32)
    if kind == "relu":
        bias -= np.quantile(x @ up, sparsity).astype(np.float32)
    rank = PREDICTOR_RANK
    predictor = [random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))
                 for shape in ((hidden, rank), (rank, inner))] if kind == "predictor" else []
    return Block(up, down, bias, kind == "relu", predictor)


def gates_of(module: Path, timeout: float) -> list[tuple[str, float]]:
    """Kind and number of each mask in a module: `threshold` or `keep`."""
    text = toolchain.checked("prune-opt", [module, "--mlir-elide-resource-strings-if-larger=8"], timeout, str(module),
                             "prune-opt").stdout
    return [(kind, float(number)) for kind, number in
            re.findall(r"prune\.dynamic_mask .*?(threshold|keep)\(([^)]*)\)", text)]


def gate(x: np.ndarray, kind: str, number: float, scores: np.ndarray) -> np.ndarray:
    """What a mask by scores leaves of tokens."""
    size = np.abs(scores)
    if kind == "threshold":
        return np.where(size > np.float32(number), x, 0)
    kept = np.zeros(x.shape, bool)
    np.put_along_axis(kept, np.argsort(-size, axis=1, kind="stable")[:, :int(number)], True, axis=1)
    return np.where(kept, x, 0)


def reference(block: Block, x: np.ndarray, gates: Sequence[tuple[str, float]]) -> tuple[np.ndarray, float]:
    """The result by NumPy in f64, and how near an activation is to its threshold."""
    nearest = np.inf

    def apply(value: np.ndarray, index: int) -> np.ndarray:
        nonlocal nearest
        if not gates or (block.predictor and index == 0):
            return value
        kind, number = gates[0 if block.predictor else index]
        scores = block.scores(x) if block.predictor else value
        size = np.abs(scores)
        limit = np.sort(size, axis=1)[:, -int(number)][:, None] if kind == "keep" else number
        if kind == "keep" or number > 0:
            distance = np.sort(np.abs(size - limit), axis=1)
            nearest = min(nearest, float(distance[:, 1 if kind == "keep" else 0].min()))
        return gate(value, kind, number, scores)

    inner = block.inner(apply(x, 0))
    return apply(inner, 1) @ block.down.astype(np.float64), nearest


def run(settings: Settings, steps: Steps) -> Iterator[Result]:
    """All settings."""
    with scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        pythons = programs.pythons_of([PEER] if settings.peer else [], settings.folder, settings.optional, steps)
        for (hidden, inner), tokens in itertools.product(settings.shapes, settings.tokens):
            examples = np.random.default_rng(1).standard_normal((EXAMPLES * tokens, hidden), np.float32)
            built = None
            for kind in settings.kinds:
                for sparsity in [0.0] if kind == "none" else settings.sparsity:
                    label = {"shape": f"{hidden}-{inner}-{hidden}", "kind": kind, "tokens": tokens,
                             "sparsity": round(sparsity, 4)}
                    name = f"{label['shape']} {kind} {sparsity:.0%}, {tokens} token{'s'[:tokens - 1]}"
                    block = make_block(hidden, inner, kind, sparsity, examples[:tokens])
                    model, dense, gated = (scratch / f"block.{end}" for end in ("onnx", "mlirbc", "gated.mlirbc"))
                    with steps.step(f"{name}: import and compile"):
                        # Blocks with the same activation have the same weights.
                        if built != (block.rectifies and sparsity):
                            _import(block, tokens, False, model, dense, settings)
                            dense_library = _compile(dense, scratch / "dense.so", settings, "kernel=dense")
                            built = block.rectifies and sparsity
                        source = dense
                        if kind != "relu":
                            if block.predictor:
                                source = scratch / "predicting.mlirbc"
                                _import(block, tokens, True, scratch / "predicting.onnx", source, settings)
                            np.savez(scratch / "examples.npz", x=examples * np.float32(1e-6 if kind == "none" else 1))
                            share = NONE_EXPECTS if kind == "none" else sparsity
                            how = {"top-k": "kind=top-k", "predictor": "kind=top-k include=down scores=1"}.get(
                                kind, f"kind=threshold calibration={scratch}/examples.npz")
                            ours.prune_opt(source, gated, [f"--prune-dynamic={how} sparsity={share}"], settings.timeout)
                            source = gated
                        libraries = {"prune": _compile(source, scratch / "ours.so", settings), "dense": dense_library}
                        gates = gates_of(gated, settings.timeout) if source == gated else []
                    with steps.step(f"{name}: time"):
                        yield _measure(label, block, examples, gates, libraries, model, pythons, settings, scratch)


def _import(block: Block, tokens: int, predicts: bool, model: Path, module: Path, settings: Settings) -> None:
    from prune.importer.driver import ImportOptions, import_model
    block.save(model, tokens, predicts)
    import_model(model, module, ImportOptions(timeout=settings.timeout))


def _compile(module: Path, library: Path, settings: Settings, options: str = "") -> Path:
    return ours.compile_library(module, library, settings.threads, settings.timeout, options).library


def _measure(label: dict, block: Block, examples: np.ndarray, gates: Sequence[tuple[str, float]],
             libraries: dict[str, Path], model: Path, pythons: dict[str, Path], settings: Settings,
             scratch: Path) -> Result:
    # The first tokens will do, unless one of their activations is so near to a threshold that rounding decides.
    tokens = int(label["tokens"])
    for i in range(0, len(examples), tokens):
        x = examples[i:i + tokens]
        expected, nearest = reference(block, x, gates)
        if nearest > NEAR or label["kind"] in ("relu", "none"):
            break
    else:
        raise PruneError(str(label["shape"]), "examples", "activations at the threshold in all of them", "others")
    loop = programs.timed_loop(settings.folder)
    with ExitStack() as stack:
        started, repeats = {}, {}
        for name, source in {**libraries, **{peer: model for peer in pythons}}.items():
            python = pythons.get(name, Path(sys.executable))
            program = programs.Program("prune" if name in libraries else name, python, source, cores_for(settings.threads),
                                       {"x": x}, scratch, loop)
            stack.callback(program.stop)
            program.ready(settings.timeout)
            if name == "prune":
                worst = difference(name, program.outputs, {"y": expected, **({"scores": block.scores(x)} if block.predictor else {})})
            started[name] = program
            repeats[name] = max(1, round(SAMPLE_MS / min(program.run(3, settings.timeout))))
        times, _ = interleave(started, settings.runs, settings.timeout, settings.quiet, repeats)
    return Result(label, times["prune"].median, times["dense"].median, times[PEER].median if PEER in times else None,
                  worst)


def report(settings: Settings, steps: Steps, machine: dict, as_json: Path | None) -> int:
    """Prints a line for each block and rewrites the report after each; 2 if a result was wrong."""
    results: list[Result] = []
    print(f"feed-forward blocks, f32, {settings.threads} thread(s), {machine['cpu']} ({machine['features']}); "
          f"medians of {settings.runs} interleaved samples; ideal: dense time times the share that is kept")
    table = Table([("shape", 16), ("kind", 9), ("tokens", 6), ("sparsity", 8), ("ours ms", 9), ("dense ms", 9), ("x", 7),
                   ("of ideal", 8), ("ONNX Runtime", 12), ("x", 7), ("difference", 10)], 2)
    for result in run(settings, steps):
        results.append(result)
        label, faster = result.label, result.dense / result.ours
        kept = 1 - label["sparsity"]
        ideal = 1 / ((1 + kept) / 2 if label["kind"] == "relu" else kept)
        table.line([label["shape"], label["kind"], str(label["tokens"]), f"{label['sparsity']:.0%}", f"{result.ours:.3f}",
                    f"{result.dense:.3f}", f"{faster:.2f}x", f"{faster / ideal:.2f}", f"{result.peer:.3f}" if result.peer else "-",
                    f"{result.peer / result.ours:.2f}x" if result.peer else "-",
                    f"{result.difference:.1e}" + ("" if result.difference <= TOLERANCE else " WRONG")])
        if as_json:
            write_json(as_json, {"machine": machine, "threads": settings.threads, "rows": [r.row() for r in results]})
    return 0 if all(r.difference <= TOLERANCE for r in results) else 2
