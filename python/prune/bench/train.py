"""A training step against JAX: the digits CNN and MiniLM-L6, dense and pruned, with Adam."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Sequence

import numpy as np

from prune.bench import compare, ours, programs
from prune.bench.nets import apply_masks
from prune.bench.report import Table, ratio
from prune.bench.timing import Distance, Timing, interleave
from prune.console import Steps
from prune.errors import PruneError
from prune.files import write_json

BATCHES = {"cnn": 64, "minilm": 16}
# Relative difference of the losses of the first three steps.
TOLERANCE = 1e-4


@dataclass
class Settings(compare.Settings):
    """What to run and how; `tokens` are those of a sentence."""

    nets: Sequence[str] = ("cnn", "minilm")
    tokens: int = 64


@dataclass(frozen=True)
class Net:
    """An ONNX graph, its inputs, labels or a target, and what is pruned and frozen."""

    model: object
    inputs: Mapping[str, np.ndarray]
    answer: tuple[str, np.ndarray]
    include: str
    train: str
    lr: float


@dataclass(frozen=True)
class Row:
    """One of our steps beside JAX's on the same weights, and beside our dense one."""

    label: dict[str, object]
    ours: Timing
    dense: Timing | None
    peer: Timing | None
    difference: float | None
    distance: float

    @property
    def right(self) -> bool:
        return self.difference is None or self.difference <= TOLERANCE

    def as_json(self) -> dict[str, object]:
        return {**self.label, "ours_ms": round(self.ours.median, 4), "ours_p10_ms": round(self.ours.low, 4),
                "ours_p90_ms": round(self.ours.high, 4), "dense_ms": self.dense and round(self.dense.median, 4),
                "jax_ms": self.peer and round(self.peer.median, 4), "loss_difference": self.difference,
                "core_distance_ns": round(self.distance)}


def build_cnn(settings: Settings) -> Net:
    from prune.digits import nets
    random = np.random.default_rng(0)
    batch = BATCHES["cnn"]
    return Net(nets.build("cnn", batch, 0), {"x": random.uniform(0, 1, (batch, 1, 8, 8)).astype(np.float32)},
               ("labels", random.integers(0, 10, batch)), r"^(conv2|dense1)\.", "freeze=norm", 1e-3)


def build_minilm(settings: Settings) -> Net:
    from prune.models import minilm
    from prune.quickstart.job import sentences
    lines, batch = sentences(), BATCHES["minilm"]
    target = np.random.default_rng(0).normal(0, 0.1, (batch, settings.tokens, 384)).astype(np.float32)
    return Net(minilm.build(batch, settings.tokens),
               minilm.tokenize([lines[i % len(lines)] for i in range(batch)], settings.tokens), ("target", target),
               r"^encoder\.", "loss=mse freeze=embedding", 1e-4)


BUILD: dict[str, Callable[[Settings], Net]] = {"cnn": build_cnn, "minilm": build_minilm}


class Bench:
    """The nets of one run; `scratch` holds their files."""

    def __init__(self, settings: Settings, scratch: Path, steps: Steps):
        self.settings, self.scratch, self.steps = settings, scratch, steps
        self.pythons = programs.pythons_of(settings.peers, settings.folder, settings.optional, steps)
        self.loop = programs.timed_loop(settings.folder)
        self.libraries = 0

    def run(self, name: str, threads: int) -> list[Row]:
        """All kinds of weights of a net, timed in turn."""
        import onnx

        from prune.importer.driver import ImportOptions, import_model
        net = BUILD[name](self.settings)
        source, imported = self.scratch / f"{name}.onnx", self.scratch / f"{name}.mlirbc"
        with self.steps.step(f"{name}: import"):
            onnx.save(net.model, source)
            import_model(source, imported, ImportOptions(timeout=self.settings.timeout))
        labels = [{"net": name, "weights": weights, "sparsity": round(sparsity, 4), "threads": threads}
                  for weights, sparsity in compare.settings_of(self.settings.weights, self.settings.sparsity)]
        apart = Distance(lambda: programs.round_trip(self.loop, compare.cores_for(threads)))
        with ExitStack() as stack:
            started, differences = {}, []
            for index, label in enumerate(labels):
                with self.steps.step(f"{name} {compare.title(label)}: compile for {threads} thread(s), compare losses"):
                    differences.append(self._start(stack, started, index, net, imported, label))
            with self.steps.step(f"{name}: time {', '.join(compare.title(label) for label in labels)}"):
                times, distance = interleave(started, self.settings.runs, self.settings.timeout, self.settings.quiet,
                                             distance=apart)
        dense = next((times[f"{i} ours"] for i, label in enumerate(labels) if label["weights"] == "dense"), None)
        return [Row(label, times[f"{i} ours"], dense, times.get(f"{i} jax"), differences[i], distance)
                for i, label in enumerate(labels)]

    def _start(self, stack: ExitStack, started: dict, index: int, net: Net, imported: Path,
               label: dict) -> float | None:
        """Compiles our step and starts it and the peer's; returns how far their losses are apart."""
        pruned, model, masks = self._prune(net, imported, label)
        module = self.scratch / "training.mlirbc"
        options = f"optimizer=adam lr={net.lr} {net.train}" + (" sparse=true" if masks else "")
        ours.prune_opt(pruned, module, [f"--prune-train={options}"], self.settings.timeout)
        program, library = self._compile(module, label["threads"])
        try:
            program.call("init")
            inputs = {n: v.copy() for n, v in program.values.items()}
            batch = {**net.inputs, net.answer[0]: net.answer[1]}
            losses = np.array([float(program.call("train_step", batch)["loss"]) for _ in range(3)])
        finally:
            program.close()
        cores = compare.cores_for(label["threads"])
        peers = {"ours": ("prune", Path(sys.executable), library, {**inputs, **batch})}
        names = np.array([n.removeprefix("param:") for n in inputs if n.startswith("param:")])
        for peer, python in self.pythons.items():
            peers[peer] = (peer, python, model, {**net.inputs, "answer": net.answer[1], "names": names,
                                                 "lr": np.array(net.lr), **{f"mask:{n}": m for n, m in masks.items()}})
        difference = None
        for peer, (kind, python, source, arrays) in peers.items():
            process = programs.Program(kind, python, source, cores, arrays, self.scratch, self.loop)
            stack.callback(process.stop)
            process.ready(self.settings.timeout)
            started[f"{index} {peer}"] = process
            if peer != "ours":
                difference = float(np.max(np.abs(losses / process.outputs["losses"] - 1)))
        return difference

    def _prune(self, net: Net, imported: Path, label: dict) -> tuple[Path, Path, dict[str, np.ndarray]]:
        """The pruned module, an ONNX file with the same zeros, and the masks as that has them."""
        import onnx
        from onnx import numpy_helper

        from prune.weights import masked_weights
        if label["weights"] == "dense":
            return imported, imported.with_suffix(".onnx"), {}
        pruned, path = self.scratch / "pruned.mlirbc", self.scratch / "pruned.onnx"
        flag = compare.prune_flag(label["weights"], label["sparsity"], f"include={net.include}")
        ours.prune_opt(imported, pruned, [flag], self.settings.timeout)
        masked = masked_weights(pruned, self.settings.timeout)
        if not masked:
            raise PruneError(str(imported), "weights to prune", "none", f"some in whose name {net.include} is found")
        model = onnx.load(imported.with_suffix(".onnx"))
        apply_masks(model, masked)
        onnx.save(model, path)
        masks = {t.name: (numpy_helper.to_array(t) != 0).astype(np.float32) for t in model.graph.initializer
                 if t.name in masked}
        return pruned, path, masks

    def _compile(self, module: Path, threads: int):
        """The functions of a module as a program, and the library of its step. Loaded ones stay: each has its own name."""
        from prune.train.runner import Function, Program
        functions = {}
        for name in ("init", "train_step"):
            self.libraries += 1
            library = self.scratch / f"{name}_{self.libraries}.so"
            ours.compile_library(module, library, threads, self.settings.timeout, f"entry={name}")
            functions[name] = Function(library.stem, library)
        return Program(functions), library


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None) -> int:
    """Runs all settings; returns the exit status: 2 if losses differed."""
    print(f"training steps (Adam), f32, {machine['cpu']} ({machine['features']}); medians of at least {settings.runs} "
          "interleaved runs; x dense: times as fast as our dense step; x jax: as jax.jit on the same weights and masks")
    table = Table([("net", 8), ("weights", 16), ("threads", 7), ("ours ms", 9), ("p10-p90", 15), ("apart", 7),
                   ("x dense", 7), ("jax ms", 9), ("x jax", 12), ("losses", 8)], left=2)
    rows: list[Row] = []
    with compare.scratch_folder(settings.folder) as folder:
        bench = Bench(settings, Path(folder), steps)
        for name in settings.nets:
            for threads in settings.threads:
                for row in bench.run(name, threads):
                    rows.append(row)
                    table.line(_cells(row))
                if as_json:
                    write_json(as_json, {"machine": machine, "rows": [row.as_json() for row in rows]})
    wrong = [f"{r.label['net']} {compare.title(r.label)}" for r in rows if not r.right]
    print(f"losses: within {TOLERANCE:g} of JAX" if not wrong else
          f"losses: MORE THAN {TOLERANCE:g} from JAX: {', '.join(wrong)}")
    return 2 if wrong else 0


def _cells(row: Row) -> list[str]:
    ours_ms = row.ours.median
    return [row.label["net"], compare.title(row.label), str(row.label["threads"]), f"{ours_ms:.2f}",
            f"{row.ours.low:.2f}-{row.ours.high:.2f}", f"{row.distance:.0f} ns" if row.distance else "-",
            ratio(ours_ms, row.dense.median) if row.dense else "-", f"{row.peer.median:.2f}" if row.peer else "-",
            ratio(ours_ms, row.peer.median) if row.peer else "-",
            f"{row.difference:.0e}{'' if row.right else ' WRONG'}" if row.difference is not None else "-"]
