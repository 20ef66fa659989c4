"""`python -m prune train`: from a training module and files of examples to trained values."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune import metrics, toolchain
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.train import checkpoint, data
from prune.train.loop import EVALUATE, SCHEDULE, STEP, UPDATE, Evaluation, LoopOptions, Trained, evaluate, train
from prune.train.runner import Program, compile_functions

_FUNCTION = re.compile(r"^\s*func\.func (?:public )?@([\w$.]+)\(", re.MULTILINE)
_NEEDED = ("init", STEP)
_OPTIONAL = (EVALUATE, UPDATE, SCHEDULE)


@dataclass
class TrainOptions:
    """What to train and how. `output` receives the arrays by name as `.npz`; `test` names examples to evaluate on;
    `epochs` counts passes over the training examples, rounded up to whole steps; `timeout` (seconds) bounds the
    compilation."""

    module: Path
    data: Path
    output: Path
    test: Path | None = None
    epochs: float = 10.0
    seed: int = 0
    checkpoint: Path | None = None
    save_every: int = 0
    resume: bool = False
    threads: int = 1
    timeout: float = 600.0


def run(options: TrainOptions, steps: Steps) -> tuple[Trained, Evaluation | None, metrics.Quality | None]:
    """Trains, writes the values, and evaluates them where there are examples for it. Raises PruneError."""
    if options.epochs < 0 or not np.isfinite(options.epochs):
        raise PruneError("--epochs", "range", f"{options.epochs:g}", "0 or more")
    if options.output.suffix != ".npz" or not options.output.parent.is_dir():
        raise PruneError(str(options.output), "output", "this name", "a .npz file in an existing folder")
    if options.resume and options.checkpoint is None:
        raise PruneError("--resume", "checkpoint", "none", "--checkpoint=FILE")
    present = functions(options.module, options.timeout)
    for name in (*_NEEDED, *((EVALUATE,) if options.test else ())):
        if name not in present:
            raise PruneError(str(options.module), "training module", f"no function @{name}", f"@{name} in it")
    names = [n for n in (*_NEEDED, *_OPTIONAL) if n in present]
    if (SCHEDULE in names) != (UPDATE in names):
        raise PruneError(str(options.module), "training module", f"only one of @{SCHEDULE} and @{UPDATE}",
                         "both or neither")
    # Data first: what is wrong there is found before anything is computed.
    arrays = data.load(options.data)
    tests = data.load(options.test) if options.test else None
    program = compile_functions(options.module, names, options.threads, options.timeout, steps)
    try:
        known = classes(program)
        source = data.Arrays(arrays, program.feeds(STEP), str(options.data), known, options.seed)
        examples = data.Arrays(tests, program.feeds(EVALUATE), str(options.test), known) if tests is not None else None
        settings = LoopOptions(
            steps=-(-int(np.ceil(options.epochs * source.examples)) // source.size), seed=options.seed,
            checkpoint=options.checkpoint, save_every=options.save_every, resume=options.resume,
            digest=checkpoint.digest(options.module, {"threads": options.threads, "data": data_digest(source)}))
        trained = train(program, source, settings, Progress("train", settings.steps, steps.stream))
        write(options.output, program)
        evaluation = evaluate(program, examples) if examples is not None else None
        quality = None
        if evaluation is not None and evaluation.accuracy is not None and examples is not None:
            logits = next(v for v in evaluation.outputs.values() if v.ndim == 2)
            quality = metrics.quality(logits, examples.arrays[data.LABELS])
        return trained, evaluation, quality
    finally:
        program.close()


def functions(module: Path, timeout: float) -> set[str]:
    """Names of the public functions of a module."""
    finished = toolchain.run([toolchain.find_tool("prune-opt"), module, "--mlir-elide-elementsattrs-if-larger=16",
                              "--mlir-elide-resource-strings-if-larger=16"], timeout, str(module))
    if finished.status != 0:
        raise PruneError(str(module), "module", toolchain.describe_failure(finished))
    return set(_FUNCTION.findall(finished.stdout))


def classes(program: Program) -> int | None:
    """How many classes labels may name: the width of the model's output that has one row for each label."""
    if EVALUATE not in program.functions:
        return None
    labels = next((t.shape for t in program.feeds(EVALUATE) if t.name == data.LABELS and t.dtype.kind == "i"), None)
    if labels is None:
        return None
    return next((t.shape[-1] for t in program.functions[EVALUATE].outputs
                 if t.dtype.kind == "f" and t.shape[:-1] == labels and t.shape), None)


def data_digest(source: data.Arrays) -> str:
    """Of the examples: a run does not go on with others."""
    result = hashlib.sha256()
    for name, array in sorted(source.arrays.items()):
        result.update(f"{name}{array.dtype}{array.shape}".encode())
        result.update(array)
    return result.hexdigest()


def write(path: Path, program: Program) -> None:
    """Parameters, statistics and masks by name; complete or not at all. What holds its kept elements only is written
    with the zeros between them."""
    kept = {n: v for n, v in program.values.items() if n.split(":")[0] in ("param", "stat", "mask")}
    for name, mask in program.fixed_masks.items():
        parameter = "param:" + name.removeprefix("mask:")
        dense = np.zeros(mask.shape, kept[parameter].dtype)
        dense[mask] = kept[parameter]
        kept.update({parameter: dense, name: mask})
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            np.savez(stream, **kept)
            stream.flush()
            os.chmod(stream.name, 0o644)
            os.replace(stream.name, path)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
