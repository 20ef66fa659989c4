"""`python -m prune gradients`: gradients of the loss by the weights of a model, for criteria that rank by them."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

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
    `fisher_block` says how weights are cut for the Fisher information ("50", "4x12"; empty: there is none), and
    `fisher_memory` how many GB of it are in memory at a time."""

    model: Path
    output: Path
    data: Path
    training: str = ""
    batches: int = 0
    fisher_block: str = ""
    fisher_memory: float = 1.0
    threads: int = 1
    timeout: float = 600.0


def gradients(options: GradientOptions, steps: Steps) -> int:
    """Writes for each weight NAME the mean of its gradients over the batches of the data, and the mean of their squares as
    NAME:squared, both f32, added up in f64; returns the number of batches. With `fisher_block`, for which batches must be
    single examples, also their products in blocks as NAME:fisher (f64), for weights of two and more dimensions. Examples
    that fill no batch are left out; they run once for each part of the weights whose blocks fit in memory together. Batch
    norms use their statistics. Raises PruneError; the output is either complete or untouched."""
    files.check_target(options.output, "-o")
    if options.output.suffix != ".npz":
        raise PruneError("-o", "output", f"'{options.output}'", "a .npz file")
    if options.batches < 0:
        raise PruneError("--batches", "range", str(options.batches), "0 or more")
    if not 0 < options.fisher_memory < np.inf:
        raise PruneError("--fisher-memory", "range", f"{options.fisher_memory:g}", "more than 0")
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
        parts = _parts(program, source.size, size, options, steps) if size else []
        program.call("init")
        rounds = max(1, len(parts))
        with files.replacing(options.output) as stream, zipfile.ZipFile(stream, "w") as archive, \
                Progress("gradients", count * rounds, steps.stream) as progress:
            for turn in range(rounds):
                sums: dict[str, np.ndarray] = {}
                fisher = {name: FisherBlocks(shape, size) for name, shape in parts[turn].items()} if parts else {}
                for index, (batch, _) in zip(range(count), source.blocks()):
                    found = _gradients(program, batch, f"{options.data}: batch {index}")
                    for name, blocks in fisher.items():
                        blocks.add(found[name])
                    if turn == 0:
                        _add(sums, found)
                    progress.advance(turn * count + index + 1)
                for name, total in sums.items():
                    _write(archive, name, (total / count).astype(np.float32))
                for name in list(fisher):
                    _write(archive, f"{name}:fisher", fisher.pop(name).mean(count))
    finally:
        program.close()
    return count


def _parts(program: Program, batch: int, size: BlockSize, options: GradientOptions,
           steps: Steps) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of the weights that have blocks, by name, in parts that fit in memory; one weight always does."""
    if batch != 1:
        raise PruneError("--fisher-block", "batch of the model", str(batch), "1: gradients of single examples")
    shapes = {t.name.removeprefix(_PREFIX): t.shape for t in program.functions[GRADIENTS].outputs
              if t.name.startswith(_PREFIX) and len(t.shape) > 1}
    parts: list[dict[str, tuple[int, ...]]] = []
    whole = used = 0
    for name, shape in shapes.items():
        own = FisherBlocks.count_bytes(shape, size)
        if not parts or used + own > 1e9 * options.fisher_memory:
            parts.append({})
            used = 0
        parts[-1][name] = shape
        used, whole = used + own, whole + own
    steps.note(f"Fisher blocks of {options.fisher_block}: {whole / 1e6:.1f} MB for {len(shapes)} weights; passes over "
               f"the examples: {len(parts)}")
    return parts


def _gradients(program: Program, batch: Mapping[str, np.ndarray], place: str) -> dict[str, np.ndarray]:
    """Those of one batch by the names of the weights."""
    found = program.call(GRADIENTS, batch)
    if not np.isfinite(found["loss"]):
        raise PruneError(place, "loss", str(found["loss"]), "a finite number")
    return {key.removeprefix(_PREFIX): value for key, value in found.items() if key.startswith(_PREFIX)}


def _add(sums: dict[str, np.ndarray], gradients: Mapping[str, np.ndarray]) -> None:
    for name, value in gradients.items():
        wide = value.astype(np.float64)
        for kind, term in ((name, wide), (f"{name}:squared", wide * wide)):
            sums[kind] = sums[kind] + term if kind in sums else term


def _write(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """As np.savez does, but one array after the other: all together may be more than fits in memory."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
