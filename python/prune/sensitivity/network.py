"""A model whose weights are arguments: compiled once, run with whatever is pruned of them.

The `@eval_step` of a training module takes all weights, so no point of a sweep needs a compilation of its own. What it
computes as a loss is not looked at; everything is measured on the outputs, in double precision.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import metrics, toolchain
from prune.console import Steps
from prune.errors import PruneError
from prune.evaluate.job import check_finite, check_labels, choose_output, pool
from prune.export.source import Mask, Source
from prune.train import data
from prune.train.loop import EVALUATE
from prune.train.runner import compile_functions

# What a layer costs is told by these, without and with classes: they are 0 for the unpruned model and add up roughly.
VECTORS, CLASSES = "cosine_distance", "divergence"
# Criteria that need more than a weight.
_OTHERS = re.compile(r"((soft[-_])?movement|wanda|sparsegpt|obs)\b")
_TARGET = "target"


def normalize(module: Path, folder: Path, timeout: float) -> Path:
    """The module in normal form with its batch norms, as masks are put on it and as it is trained."""
    base = folder / "base.mlirbc"
    toolchain.checked("prune-opt", [module, "--prune-normalize=fold-batch-norm=false", "--emit-bytecode", "-o", base],
                      timeout, str(module))
    return base


def check_criterion(criterion: str) -> None:
    """Raises PruneError for criteria that a weight alone does not decide."""
    if _OTHERS.match(criterion.removeprefix("#prune.")):
        raise PruneError("--criterion", "criterion", criterion, "one that sees weights alone, such as magnitude")


def masked(base: Path, options: str, target: Path, module: Path, timeout: float) -> Path:
    """The module with the masks that prune-create-masks makes by `options`, decided."""
    toolchain.checked("prune-opt", [base, f"--prune-create-masks={options}", "--prune-evaluate-masks", "--emit-bytecode",
                                    "-o", target], timeout, str(module))
    return target


class Network:
    """The compiled model and the examples it is judged on. `classes` says that outputs are scores of classes; `labels`
    are the right ones, if they are known."""

    def __init__(self, module: Path, base: Path, folder: Path, examples: Path, labels: np.ndarray | None, classes: bool,
                 output: str | None, timeout: float, steps: Steps):
        self.module, self.labels, self.classes = module, labels, classes or labels is not None
        self.arrays = data.load(examples)
        training = folder / "training.mlirbc"
        with steps.step("build the functions"):
            toolchain.checked("prune-opt", [base, "--prune-train=loss=mse optimizer=sgd momentum=0", "--emit-bytecode",
                                            "-o", training], timeout, str(module))
        self.program = compile_functions(training, ["init", EVALUATE], 1, timeout, steps)
        self.program.call("init")
        self.weights = {n.removeprefix("param:"): v for n, v in self.program.values.items() if n.startswith("param:")}
        if any(name.startswith("mask:") for name in (*self.program.values, *self.program.fixed_masks)):
            raise PruneError(str(module), "masks", "some that are there already", "a model before pruning")
        inputs = [t for t in self.program.feeds(EVALUATE) if t.name != _TARGET]
        self.examples = data.Arrays(self.arrays, inputs, str(examples))
        self._unused = {t.name: np.zeros(t.shape, t.dtype) for t in self.program.feeds(EVALUATE) if t.name == _TARGET}
        found = self._outputs()
        self._output = choose_output([found, found], output, module, self.classes)
        self._scale = 1.0
        self.dense = self._scores(found)
        self._scale = float((self.dense**2).sum(axis=1).mean()) or 1.0
        if labels is not None:
            check_labels(labels, self.dense, str(examples))

    @property
    def measure(self) -> str:
        """The name of the measure that curves show and a search adds up."""
        return CLASSES if self.classes else VECTORS

    def judge(self, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What it costs to prune the weights by these masks: the measures, for each example."""
        saved = {name: self.weights[name].copy() for name in masks}
        try:
            for name, kept in masks.items():
                self.weights[name][~kept] = 0
            now = self._scores(self._outputs())
        finally:
            for name, value in saved.items():
                self.weights[name][...] = value
        found = {"squared_error": ((now - self.dense)**2).sum(axis=1) / self._scale}
        if self.classes:
            found[CLASSES] = metrics.divergences(self.dense, now)
        else:
            found[VECTORS] = 1 - metrics.cosines(self.dense, now)
        if self.labels is not None:
            found["loss_increase"] = _losses(now, self.labels) - _losses(self.dense, self.labels)
            found["accuracy_drop"] = (self.dense.argmax(axis=1) == self.labels).astype(np.float64) - (
                now.argmax(axis=1) == self.labels)
        return found

    def baseline(self) -> dict[str, float]:
        """Quality of the unpruned model, where labels are known."""
        if self.labels is None:
            return {}
        return {"loss": metrics.nll(self.dense, self.labels), "accuracy": metrics.accuracy(self.dense, self.labels)}

    def close(self) -> None:
        self.program.close()

    def _scores(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return pool(check_finite(outputs[self._output], self._output, self.module), self.arrays).astype(np.float64)

    def _outputs(self) -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {}
        for batch, count in self.examples.blocks():
            for name, value in self.program.call(EVALUATE, {**batch, **self._unused}).items():
                if value.ndim and len(value) == self.examples.size:
                    found.setdefault(name, []).append(value[:count].copy())
        return {name: np.concatenate(parts) for name, parts in found.items()}


def _losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -metrics.log_softmax(scores)[np.arange(len(labels)), labels]


def masks_at(base: Path, options: str, network: Network, folder: Path, timeout: float) -> dict[str, Mask]:
    """The masks that prune-create-masks makes by `options`, of weights that the network takes."""
    place = masked(base, options, folder / "masked.mlirbc", network.module, timeout)
    return {name: mask for name, mask in Source(place, timeout).masks.items() if name in network.weights}
