"""`python -m prune gradients`: gradients of the loss by the weights of a model, for criteria that rank by them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune import files, toolchain
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.train import data
from prune.train.fisher import BlockSize, FisherBlocks
from prune.train.job import classes
from prune.train.loop import EVALUATE
from prune.train.runner import Program, compile_functions

GRADIENTS = "gradients"
_PREFIX = "gradient:"


@dataclass
class GradientOptions:
    """`training` are options of prune-train, such as the loss. `batches` is how many are taken at most (0: all).
    `fisher_block` says how weights are cut for the Fisher information ("50", "4x12"; empty: there is none)."""

    model: Path
    output: Path
    data: Path
    training: str = ""
    batches: int = 0
    fisher_block: str = ""
    threads: int = 1
    timeout: float = 600.0


def gradients(options: GradientOptions, steps: Steps) -> int:
    """Writes for each weight NAME the mean of its gradients over the batches of the data, and the mean of their squares as
    NAME:squared, both f32, added up in f64; returns the number of batches. With `fisher_block`, for which batches must be
    single examples, also their products in blocks as NAME:fisher (f64), for weights of two and more dimensions. Examples
    that fill no batch are left out. Batch norms use their statistics. Raises PruneError; the output is either complete or untouched."""
    files.check_target(options.output, "-o")
    if options.output.suffix != ".npz":
        raise PruneError("-o", "output", f"'{options.output}'", "a .npz file")
    if options.batches < 0:
        raise PruneError("--batches", "range", str(options.batches), "0 or more")
    size = BlockSize.parse(options.fisher_block) if options.fisher_block else None
    arrays = data.load(options.data)
    with tempfile.TemporaryDirectory(prefix="prune-gradients-") as scratch:
        module = Path(scratch) / "training.mlirbc"
        toolchain.checked(
            "prune-opt", [options.model, "--prune-normalize",
                          f"--prune-train=batch-norm=frozen optimizer=sgd gradients=true {options.training}", "--emit-bytecode",
                          "-o", module], options.timeout, str(options.model), expected="a model that can be trained")
        program = compile_functions(module, ["init", EVALUATE, GRADIENTS], options.threads, options.timeout, steps)
    try:
        source = data.Arrays(arrays, program.feeds(GRADIENTS), str(options.data), classes(program))
        count = source.examples // source.size
        count = min(count, options.batches) if options.batches else count
        if count == 0:
            raise PruneError(str(options.data), "examples", str(source.examples), f"at least the {source.size} of a batch")
        fisher = {}
        if size:
            if source.size != 1:
                raise PruneError("--fisher-block", "batch of the model", str(source.size), "1: gradients of single examples")
            fisher = {t.name.removeprefix(_PREFIX): FisherBlocks(t.shape, size) for t in program.functions[GRADIENTS].outputs
                      if t.name.startswith(_PREFIX) and len(t.shape) > 1}
            steps.note(f"Fisher blocks of {options.fisher_block}: {sum(f.nbytes for f in fisher.values()) / 1e6:.1f} MB for "
                       f"{len(fisher)} weights")
        program.call("init")
        sums: dict[str, np.ndarray] = {}
        with Progress("gradients", count, steps.stream) as progress:
            for index, (batch, _) in zip(range(count), source.blocks()):
                _add(sums, fisher, program, batch, f"{options.data}: batch {index}")
                progress.advance(index + 1)
    finally:
        program.close()
    with files.replacing(options.output) as stream:
        np.savez(stream, **{name: (total / count).astype(np.float32) for name, total in sums.items()},
                 **{f"{name}:fisher": blocks.mean(count) for name, blocks in fisher.items()})
    return count


def _add(sums: dict[str, np.ndarray], fisher: dict[str, FisherBlocks], program: Program, batch: dict[str, np.ndarray],
         place: str) -> None:
    found = program.call(GRADIENTS, batch)
    if not np.isfinite(found["loss"]):
        raise PruneError(place, "loss", str(found["loss"]), "a finite number")
    for key, value in found.items():
        if key.startswith(_PREFIX):
            name = key.removeprefix(_PREFIX)
            if name in fisher:
                fisher[name].add(value)
            wide = value.astype(np.float64)
            for kind, term in ((name, wide), (f"{name}:squared", wide * wide)):
                sums[kind] = sums[kind] + term if kind in sums else term
