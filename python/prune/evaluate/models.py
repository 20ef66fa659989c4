"""One model as it is shipped: compiled to a C library, with what the compiler says of it, run on examples, timed."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np

from prune import toolchain
from prune.bench import ours, programs
from prune.bench.compare import cores_for
from prune.bench.timing import Quiet, Timing, interleave
from prune.export.source import Source

_WORKSPACE = re.compile(r"WorkspaceBytes=(\d+)")
# Milliseconds: a sample is the mean over calls that take about this long together.
SAMPLE_MS = 2.0


@dataclass
class Model:
    """A compiled module. `layers` is what prune-identify lists; `choices` which code each masked layer got, by target;
    `weights` and `masks` are those of the module, with masks applied."""

    name: str
    place: Path
    library: Path
    layers: list[dict]
    parameters: int
    kept: int
    flops: int
    library_bytes: int
    weight_bytes: int
    workspace_bytes: int
    compile_seconds: float
    choices: dict[str, list[dict]]
    source: Source

    def figures(self) -> dict[str, float]:
        """What the report compares. `flops` are those on nonzeros of masked weights; `memory_bytes` is what a call
        needs: workspace and weights."""
        return {"parameters": self.parameters, "nonzeros": self.kept, "flops": self.flops,
                "size_bytes": self.library_bytes + self.weight_bytes, "library_bytes": self.library_bytes,
                "weight_bytes": self.weight_bytes, "workspace_bytes": self.workspace_bytes,
                "memory_bytes": self.workspace_bytes + self.weight_bytes,
                "compile_seconds": round(self.compile_seconds, 3)}


def compile_model(module: Path, name: str, folder: Path, threads: int, targets: Sequence[str], timeout: float) -> Model:
    """Compiles a module on tensors for this machine; for the other targets only the choices are made."""
    source = Source(module, timeout)
    listed = folder / f"{name}-layers.json"
    toolchain.checked("prune-opt", [module, f"--prune-identify=json={listed} table=none", "-o", "/dev/null"], timeout,
                      str(module))
    report = json.loads(listed.read_text())
    choices, workspace, lowered = {}, 0, folder / f"{name}.cpu.mlirbc"
    for target in targets:
        result = lowered if target == "host" else folder / "other.mlirbc"
        chosen = folder / f"{name}-choices.json"
        finished = toolchain.checked(
            "prune-opt", [module, f"--prune-to-cpu=cpu={target} threads={threads} report={chosen}", "--emit-bytecode",
                          "-o", result, "--remarks-filter=plan-memory", "--remark-format=emitRemark"], timeout,
            str(module))
        choices[target] = json.loads(chosen.read_text())["layers"] if chosen.exists() else []
        if target == "host":
            workspace = sum(map(int, _WORKSPACE.findall(finished.stderr)))
    compiled = ours.compile_library(lowered, folder / f"{name}.so", 0, timeout)
    kept, flops = 0, 0
    seen: set[str] = set()
    for layer in report["layers"]:
        density = 1 - (layer.get("sparsity") or 0.0)
        flops += round(layer["flops"] * density)
        if layer["name"] not in seen:
            kept += layer.get("kept", layer["parameters"])
            seen.add(layer["name"])
    return Model(name, module, compiled.library, report["layers"], report["parameters"], kept, flops,
                 compiled.library_bytes, compiled.weight_bytes, workspace, compiled.seconds, choices, source)


def outputs(model: Model, arrays: Mapping[str, np.ndarray],
            place: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All examples through a model: the results by name, and the inputs of the first batch."""
    return ours.run_library(model.name, model.library, arrays, place, model.place)


def measure(models: Sequence[Model], inputs: Sequence[Mapping[str, np.ndarray]], threads: int, runs: int, folder: Path,
            timeout: float) -> list[Timing]:
    """Times the models in turn, each in a process of its own on the same cores: milliseconds of a call."""
    cores, loop = cores_for(threads), programs.timed_loop(folder)
    with ExitStack() as stack:
        started, repeats = {}, {}
        for model, arrays in zip(models, inputs):
            program = programs.Program("prune", Path(sys.executable), model.library, cores, arrays, folder, loop)
            stack.callback(program.stop)
            program.ready(timeout)
            started[model.name] = program
            repeats[model.name] = max(1, round(SAMPLE_MS / max(1e-3, min(program.run(3, timeout)))))
        times, _ = interleave(started, runs, timeout, Quiet(), repeats)
    return [times[model.name] for model in models]
