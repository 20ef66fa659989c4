"""`python -m prune finetune`: from a model to the same model with masks and weights that were trained with them."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from prune import files, toolchain
from prune.console import Steps
from prune.errors import PruneError
from prune.train import data
from prune.train.job import Outcome, TrainOptions, count_steps, run

# Decisions about masks on the way to the target.
UPDATES = 50
_ENTRY = re.compile(r"^\s*func\.func (?:public )?@([\w$.]+)\(%\w+: tensor<(\d+)", re.MULTILINE)
# Weight and digest of a mask that is not folded.
_RECORD = re.compile(r'^\s*prune\.record "(.*)" as\(.* digest "([0-9a-f]{16})"$', re.MULTILINE)
_UNDECIDED = re.compile(r"^\s*%\S+ = prune\.mask ", re.MULTILINE)


@dataclass
class FinetuneOptions:
    """`masks` and `training` are options of prune-create-masks (None: the masks that the model has) and prune-train;
    `ramp` is the share of the steps in which sparsity rises, from `first` on. `run` says what to train on and how long;
    its module and output are not looked at."""

    model: Path
    output: Path
    masks: str | None
    training: str
    ramp: float
    run: TrainOptions
    first: float = 0.0
    weights: Path | None = None
    report: Path | None = None


def finetune(options: FinetuneOptions, steps: Steps) -> Outcome:
    """Trains the model and writes it. Raises PruneError; the output is either complete or untouched."""
    settings = options.run
    settings.check()
    if not 0.0 <= options.ramp <= 1.0:
        raise PruneError("--ramp", "range", f"{options.ramp:g}", "0 to 1")
    if not 0.0 <= options.first < 1.0:
        raise PruneError("--first", "range", f"{options.first:g}", "0 or more and less than 1")
    for name, path in (("-o", options.output), ("--weights", options.weights), ("--json", options.report)):
        files.check_target(path, name)
    arrays = data.load(settings.data)
    if not arrays:
        raise PruneError(str(settings.data), "arrays", "none", "one for each input of the model")
    with tempfile.TemporaryDirectory(prefix=".prune-finetune-", dir=options.output.resolve().parent) as scratch:
        folder = Path(scratch)
        base, training, trained = folder / "base.mlirbc", folder / "training.mlirbc", folder / "trained.npz"
        form = "--emit-bytecode" if options.output.suffix != ".mlir" else "--mlir-print-debuginfo"
        with steps.step("build the training module"):
            passes = ["--prune-normalize=fold-batch-norm=false"]
            if options.masks is not None:
                passes.append(f"--prune-create-masks={options.masks}")
            prune_opt(options.model, base, [*passes, "--emit-bytecode"], options)
            text = _print(base, options)
            count = count_steps(settings.epochs, len(next(iter(arrays.values()))), batch_size(text, options))
            has_undecided = _UNDECIDED.search(text) is not None
            prune_opt(base, training, [f"--prune-train={complete(options, count, has_undecided)}", "--emit-bytecode"],
                      options)
        outcome = run(dataclasses.replace(settings, module=training, output=trained), steps)
        with steps.step("write the model"):
            result = folder / f"result{options.output.suffix}"
            prune_opt(base, result, [f"--prune-load-weights=file={trained}", "--prune-verify-masks", form], options)
            if options.weights:
                with files.replacing(options.weights) as stream:
                    stream.write(trained.read_bytes())
            if options.report:
                files.write_json(options.report, {
                    "loss": outcome.trained.loss, "sparsity": outcome.trained.sparsity, "steps": count,
                    "begin": outcome.trained.begin,
                    "updates": [{"step": step, "sparsity": sparsity} for step, sparsity in outcome.trained.updates],
                    "masks": [{"weight": w, "digest": d} for w, d in _RECORD.findall(_print(result, options))],
                    "before": outcome.before and outcome.before.as_dict(),
                    "after": outcome.after and outcome.after.as_dict()})
            os.replace(result, options.output)
    return outcome


def complete(options: FinetuneOptions, steps: int, has_undecided: bool) -> str:
    """The options of prune-train with what follows from the number of steps, unless they are there already; a schedule
    only where there are masks to decide."""
    given = {part.partition("=")[0] for part in options.training.split()}
    parts = [options.training] if given else []
    if "steps" not in given:
        parts.append(f"steps={steps}")
    end = int(options.ramp * steps)
    if "schedule" not in given and has_undecided and end > 0:
        parts.append(f"schedule=polynomial:initial={options.first:g}:end={end}:every={max(1, end // UPDATES)}")
    return " ".join(parts)


def batch_size(module: str, options: FinetuneOptions) -> int:
    """The first dimension of the first argument of the model's function."""
    entry = re.search(r"(?:^|\s)entry=(\S+)", options.training)
    name = entry.group(1) if entry else "main"
    sizes = dict(_ENTRY.findall(module))
    if name not in sizes or int(sizes[name]) < 1:
        raise PruneError(str(options.model), f"function @{name}", "none with a batch of examples first",
                         "one whose arguments begin with the batch")
    return int(sizes[name])


def prune_opt(source: Path, target: Path, arguments: list[str], options: FinetuneOptions) -> None:
    _run([source, *arguments, "-o", target], options)


def _print(module: Path, options: FinetuneOptions) -> str:
    """The text of a module without large constants."""
    return _run([module, "--mlir-elide-elementsattrs-if-larger=16", "--mlir-elide-resource-strings-if-larger=16"],
                options).stdout


def _run(arguments: list, options: FinetuneOptions) -> toolchain.Finished:
    return toolchain.checked("prune-opt", arguments, options.run.timeout, str(options.model),
                             expected="a model that can be trained")
