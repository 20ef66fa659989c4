"""`python -m prune train`: from a training module and files of examples to trained values."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import files, metrics, toolchain
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.train import checkpoint, data
from prune.train.loop import (ESTIMATE, EVALUATE, SCHEDULE, STEP, UPDATE, LoopOptions, Trained, estimate_statistics,
                              evaluate,
                              mask_sparsity, train)
from prune.train.runner import Program, compile_functions

_FUNCTION = re.compile(r"^\s*func\.func (?:public )?@([\w$.]+)\(", re.MULTILINE)
_NEEDED = ("init", STEP)
_OPTIONAL = (EVALUATE, UPDATE, SCHEDULE, ESTIMATE)


@dataclass
class TrainOptions:
    """What to train and how. `output` receives the arrays by name as `.npz`; `test` names examples to evaluate on;
    `epochs` counts passes over the training examples, rounded up to whole steps; `estimate` is the number of batches
    that statistics of batch norms are averaged over at the end (0: they stay what the steps left); `trace` is how often
    the test examples are looked at on the way; `timeout` (seconds) bounds the compilation."""

    module: Path
    data: Path
    output: Path
    test: Path | None = None
    epochs: float = 10.0
    seed: int = 0
    estimate: int = 0
    trace: int = 0
    checkpoint: Path | None = None
    save_every: int = 0
    resume: bool = False
    threads: int = 1
    timeout: float = 600.0

    def check(self) -> None:
        """Raises PruneError for what is wrong whatever the module is."""
        if self.epochs < 0 or not np.isfinite(self.epochs):
            raise PruneError("--epochs", "range", f"{self.epochs:g}", "0 or more")
        for name, value in (("--save-every", self.save_every), ("--estimate-statistics", self.estimate)):
            if value < 0:
                raise PruneError(name, "range", str(value), "0 or more")
        if self.threads < 1:
            raise PruneError("--threads", "range", str(self.threads), "1 or more")
        if self.resume and self.checkpoint is None:
            raise PruneError("--resume", "checkpoint", "none", "--checkpoint=FILE")


@dataclass(frozen=True)
class Scores:
    """How good a model is on test examples; `quality` is None where answers are no classes."""

    loss: float
    quality: metrics.Quality | None

    def as_dict(self) -> dict[str, float]:
        return {"loss": self.loss, **(self.quality.as_dict() if self.quality else {})}


@dataclass(frozen=True)
class Outcome:
    """A run: how it ended, scores before its first step and after its last (None without test examples), and on the
    way: steps made, sparsity, scores."""

    trained: Trained
    before: Scores | None
    after: Scores | None
    trace: tuple[tuple[int, float, Scores], ...]


def run(options: TrainOptions, steps: Steps) -> Outcome:
    """Trains, writes the values, and evaluates where there are examples for it. Raises PruneError."""
    options.check()
    files.check_target(options.output, "-o")
    if options.output.suffix != ".npz":
        raise PruneError("-o", "output", f"'{options.output}'", "a .npz file")
    present = functions(options.module, options.timeout)
    for name in (*_NEEDED, *((EVALUATE,) if options.test else ())):
        if name not in present:
            raise PruneError(str(options.module), "training module", f"no function @{name}", f"@{name} in it")
    names = [n for n in (*_NEEDED, *_OPTIONAL) if n in present and (n != ESTIMATE or options.estimate)]
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
            steps=count_steps(options.epochs, source.examples, source.size), seed=options.seed,
            checkpoint=options.checkpoint, save_every=options.save_every, resume=options.resume,
            digest=checkpoint.digest(options.module, {"threads": options.threads, "data": data_digest(source)}))
        before = None
        if examples is not None:
            program.call("init")
            before = score(program, examples)
        trace = []
        marks = {settings.steps * (i + 1) // options.trace
                 for i in range(options.trace)} if examples is not None else set()

        def look(step: int) -> None:
            if step in marks:
                trace.append((step, mask_sparsity(program), score(program, examples)))
        trained = train(program, source, settings, Progress("train", settings.steps, steps.stream), look)
        if ESTIMATE in program.functions:
            estimate_statistics(program, source, options.estimate)
        write(options.output, program.weights)
        after = score(program, examples) if examples is not None else None
        return Outcome(trained, before, after, tuple(trace))
    finally:
        program.close()


def count_steps(epochs: float, examples: int, batch: int) -> int:
    """Whole steps for so many passes over the examples."""
    return -(-int(np.ceil(epochs * examples)) // batch)


def score(program: Program, examples: data.Arrays) -> Scores:
    """Scores of the current values."""
    evaluation = evaluate(program, examples)
    if evaluation.accuracy is None:
        return Scores(evaluation.loss, None)
    logits = next(v for v in evaluation.outputs.values() if v.ndim == 2)
    return Scores(evaluation.loss, metrics.quality(logits, examples.arrays[data.LABELS]))


def functions(module: Path, timeout: float) -> set[str]:
    """Names of the public functions of a module."""
    finished = toolchain.checked("prune-opt", [module, "--mlir-elide-elementsattrs-if-larger=16",
                                               "--mlir-elide-resource-strings-if-larger=16"], timeout, str(module),
                                 "module")
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


def write(path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Parameters with zeros where they are pruned, statistics and masks by name; complete or not at all."""
    kept = {n: v for n, v in values.items() if n.split(":")[0] in ("param", "stat", "mask")}
    for name, value in kept.items():
        mask = kept.get(name.replace("param:", "mask:", 1))
        if name.startswith("param:") and mask is not None:
            kept[name] = np.where(mask, value, np.zeros((), value.dtype))
    with files.replacing(path) as stream:
        np.savez(stream, **kept)
