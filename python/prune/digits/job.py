"""`python -m prune digits`: the whole way of a pruned model on small images, from random weights to an exported
library.

baseline      train the net dense
identify      which layers can be pruned and what they hold
prune         decide masks while the net learns from its dense self: half of the weights first, then more and more
export        compile to a C library
validate      run the library on the test images: accuracy, calibration, size, time
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune import files, metrics, toolchain
from prune.console import Steps
from prune.digits import images, nets
from prune.errors import PruneError
from prune.importer.driver import ImportOptions, import_model
from prune.train import data
from prune.train.finetune import FinetuneOptions, finetune
from prune.train.job import Outcome, TrainOptions
from prune.train.runner import Function

BATCH = 64
# Of an exported net, for its time.
CALLS = 200
FILTERS = "filters"
# Chosen on parts of the training images: long and hot, and the teacher's answers instead of the labels.
RATE = "optimizer=adamw lr=1e-2 lr-schedule=cosine"
# Where the sparsity begins, and the share of the steps in which it rises.
FIRST, RAMP = 0.5, 0.5
# N:m patterns prune what they prune at once: pruned weights train on, and change places with others for longer.
N_OF_M_RATE = "optimizer=adamw lr=3e-3 lr-schedule=cosine update=straight-through"
N_OF_M_FIRST, N_OF_M_RAMP = 0.0, 0.9
TEACHER = "temperature=4 hardness=0.9"
_PATTERN = re.compile(r"\d+:\d+")


@dataclass
class DigitsOptions:
    """`pattern` is a pattern of masks or `filters`, which takes whole filters out of the convolutions. `epochs` are
    those of pruning, `dense_epochs` those of the baseline. `folder` keeps what is made (None: nothing is kept)."""

    model: str = "cnn"
    pattern: str = "unstructured"
    sparsity: float = 0.95
    layer_split: str | None = None
    seed: int = 0
    dense_epochs: float = 120.0
    epochs: float = 240.0
    folder: Path | None = None
    report: Path | None = None
    threads: int = 1
    timeout: float = 600.0

    def check(self) -> None:
        """Raises PruneError for what needs no computation to be wrong."""
        if self.model not in nets.NETS:
            raise PruneError("--model", "net", self.model, " or ".join(nets.NETS))
        if self.pattern == FILTERS and self.model != "cnn":
            raise PruneError("--pattern", "pattern", FILTERS, "another one for a net without convolutions")
        if not 0.0 < self.sparsity < 1.0:
            raise PruneError("--sparsity", "range", f"{self.sparsity:g}", "more than 0 and less than 1")
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise PruneError("--folder", "folder", f"'{self.folder}', a file", "a folder")
        files.check_target(self.report, "--json")


@dataclass(frozen=True)
class Validated:
    """An exported net on the test images. `bytes` are those of its weights as stored; `time_ms` is the median of a call
    for `BATCH` images on one thread."""

    quality: metrics.Quality
    parameters: int
    nonzeros: int
    bytes: int
    time_ms: float

    def as_dict(self) -> dict[str, float]:
        return {**self.quality.as_dict(), "parameters": self.parameters, "nonzeros": self.nonzeros, "bytes": self.bytes,
                "time_ms": self.time_ms}


@dataclass(frozen=True)
class Result:
    """`sparsity` is the share of the prunable weights that is gone."""

    layers: list[dict]
    training: Outcome
    pruning: Outcome
    sparsity: float
    baseline: Validated
    pruned: Validated

    def as_dict(self, options: DigitsOptions) -> dict:
        return {"model": options.model, "pattern": options.pattern, "seed": options.seed,
                "baseline": self.baseline.as_dict(), "pruned": {"sparsity": self.sparsity, **self.pruned.as_dict()},
                "steps": [{"step": step, "sparsity": sparsity, **scores.as_dict()}
                          for step, sparsity, scores in self.pruning.trace]}


def default_sparsity(pattern: str) -> float:
    """What a pattern is usually good for here: n:m at what it imposes, filters at one half."""
    if match := _PATTERN.fullmatch(pattern):
        n, m = map(int, match.group().split(":"))
        return 1 - n / m if 0 < n < m else 0.5
    return 0.5 if pattern == FILTERS else 0.95 if pattern == "unstructured" else 0.8


def digits(options: DigitsOptions, steps: Steps) -> Result:
    """Goes the whole way. Raises PruneError."""
    options.check()
    if options.folder is None:
        with tempfile.TemporaryDirectory(prefix="prune-digits-") as scratch:
            return _digits(options, Path(scratch), steps)
    options.folder.mkdir(parents=True, exist_ok=True)
    return _digits(options, options.folder, steps)


def _digits(options: DigitsOptions, folder: Path, steps: Steps) -> Result:
    import onnx

    source, raw, dense, pruned = (folder / n for n in ("net.onnx", "net.mlirbc", "dense.mlirbc", "pruned.mlirbc"))
    train_file, test_file = folder / "train.npz", folder / "test.npz"
    training, tests = images.load()
    for path, arrays in ((train_file, training), (test_file, tests)):
        np.savez(path, **arrays)
    with steps.step("build and import the net with random weights"):
        onnx.save(nets.build(options.model, BATCH, options.seed), source)
        import_model(source, raw, ImportOptions(keep_batch_norm=True, timeout=options.timeout))

    def run(epochs: float, trace: int = 0) -> TrainOptions:
        return TrainOptions(raw, train_file, raw, test_file, epochs, options.seed, trace=trace, threads=options.threads,
                            timeout=options.timeout)

    baseline = finetune(FinetuneOptions(raw, dense, None, RATE, 0.0, run(options.dense_epochs)), steps)
    with steps.step("identify layers"):
        _prune_opt([dense, f"--prune-identify=json={folder / 'layers.json'} table=none", "-o", "/dev/null"], options)
        layers = json.loads((folder / "layers.json").read_text())["layers"]

    settings = FinetuneOptions(dense, pruned, None, f"{RATE} {TEACHER} teacher={dense}", 0.0,
                               run(options.epochs, trace=8))
    if options.pattern == FILTERS:
        settings.model = folder / "shrunk.mlirbc"
        with steps.step("remove filters"):
            _prune_opt([dense, f"--prune-select-groups=ratio={options.sparsity} kinds=channels criterion=l2 round-to=1",
                        "--prune-shrink", "--emit-bytecode", "-o", settings.model], options)
    else:
        n_of_m = _PATTERN.fullmatch(options.pattern) is not None
        split = options.layer_split or ("uniform" if n_of_m else "lamp")
        settings.masks = f"pattern={options.pattern} sparsity={options.sparsity} layer-split={split}"
        settings.first, settings.ramp = (N_OF_M_FIRST, N_OF_M_RAMP) if n_of_m else (FIRST, RAMP)
        if n_of_m:
            settings.training = f"{N_OF_M_RATE} {TEACHER} teacher={dense}"
    pruning = finetune(settings, steps)

    validated = [_validate(path, tests, options, folder, steps) for path in (dense, pruned)]
    sparsity = pruning.trained.sparsity
    if options.pattern == FILTERS:
        sparsity = 1 - validated[1].parameters / validated[0].parameters
    result = Result(layers, baseline, pruning, sparsity, *validated)
    if options.report:
        files.write_json(options.report, result.as_dict(options))
    return result


def _validate(model: Path, tests: dict[str, np.ndarray], options: DigitsOptions, folder: Path,
              steps: Steps) -> Validated:
    """Compiles the model to a library and looks at what that answers."""
    name = model.stem
    with steps.step(f"export and validate ({name})"):
        toolchain.checked("prune-compile", [model, "-o", folder / f"{name}.so", "--name", name], options.timeout,
                          str(model))
        _prune_opt([model, f"--prune-identify=json={folder / name}.json table=none", "-o", "/dev/null"], options)
        report = json.loads((folder / f"{name}.json").read_text())
        gone = sum(layer["parameters"] - layer.get("kept", layer["parameters"]) for layer in report["layers"])
        function = Function(name, folder / f"{name}.so")
        try:
            bound = function.bind()
            logits = []
            for batch, count in data.Arrays({"x": tests["x"]}, function.inputs, name).blocks():
                logits.append(next(iter(bound(batch).values()))[:count].copy())
            times = []
            for _ in range(CALLS):
                begin = time.perf_counter()
                bound({})
                times.append(time.perf_counter() - begin)
        finally:
            function.close()
    return Validated(metrics.quality(np.concatenate(logits), tests["labels"]), report["parameters"],
                     report["parameters"] - gone, (folder / f"{name}.weights").stat().st_size,
                     1e3 * float(np.median(times)))


def _prune_opt(arguments: list, options: DigitsOptions) -> None:
    toolchain.checked("prune-opt", arguments, options.timeout, str(arguments[0]))
