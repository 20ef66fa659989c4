"""`python -m prune sensitivity`: one layer at a time is pruned at each sparsity, and what that costs is measured."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import re
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from prune import __version__, files, toolchain
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.evaluate.job import load_labels
from prune.sensitivity.curves import SCHEMA
from prune.sensitivity.journal import Journal
from prune.sensitivity.masker import Masker, Pruned, calibration_options, check_criterion, digests
from prune.sensitivity.network import Network, normalize
from prune.train import checkpoint, data
from prune.train.job import data_digest

SPARSITIES = (0.5, 0.7, 0.9)


@dataclass
class SensitivityOptions:
    """What is pruned how, and judged on what. `labels` may be None where the data has them or there are none; `classes`
    says that outputs are scores of classes also then. `calibration` are options of prune-calibrate-masks for criteria
    that see activations (these are of `data` unless it says others), `gradients` is the file for those that need one.
    `subsets` are the parts of the examples that error bars come from (1: no error bars), `jobs` the processes."""

    module: Path
    data: Path
    json: Path | None
    labels: Path | None = None
    html: Path | None = None
    output: str | None = None
    classes: bool = False
    criterion: str = "magnitude"
    pattern: str = "unstructured"
    include: str = ""
    calibration: str = ""
    gradients: Path | None = None
    sparsities: Sequence[float] = SPARSITIES
    subsets: int = 4
    jobs: int = 1
    resume: bool = False
    timeout: float = 600.0

    def check(self) -> None:
        """Raises PruneError for what needs no computation to be wrong."""
        for name, value in (("--subsets", self.subsets), ("--jobs", self.jobs)):
            if value < 1:
                raise PruneError(name, "range", str(value), "1 or more")
        if not self.sparsities or list(self.sparsities) != sorted({s for s in self.sparsities if 0 < s < 1}):
            raise PruneError("--sparsity", "list", ",".join(f"{s:g}" for s in self.sparsities) or "none",
                             "rising numbers more than 0 and less than 1")
        check_criterion(self.criterion, self.gradients)
        for option, path in (("--json", self.json), ("--html", self.html)):
            files.check_target(path, option)
        if not self.module.is_file():
            raise PruneError(str(self.module), "input file", "no such file", "a module of linalg on tensors")

    def masks(self, sparsity: float, criterion: str | None = None) -> str:
        """The options of prune-create-masks for all layers at this sparsity; another criterion than the sweep's."""
        included = f" include={self.include}" if self.include else ""
        return f"criterion={criterion or self.criterion} pattern={self.pattern} sparsity={sparsity!r}{included}"


def sensitivity(options: SensitivityOptions, steps: Steps) -> dict:
    """Measures, and writes the files. Raises PruneError."""
    options.check()
    with tempfile.TemporaryDirectory(prefix="prune-sensitivity-") as scratch:
        folder = Path(scratch)
        masker, network = prepare(options, folder, steps)
        try:
            found = measure(options, masker, network, folder, steps)
        finally:
            network.close()
    if options.html:
        from prune.sensitivity import page
        files.write_text(options.html, page.page(found))
    return found


def prepare(options: SensitivityOptions, folder: Path, steps: Steps) -> tuple[Masker, Network]:
    """What decides masks on the module in normal form, and the network that is judged."""
    labels = load_labels(options.labels, data.load(options.data), options.data)
    with steps.step("normalize"):
        base = normalize(options.module, folder, options.timeout)
    network = Network(options.module, base, folder, options.data, labels, options.classes, options.output,
                      options.timeout, steps)
    calibration = calibration_options(options.calibration, options.data, network.examples.arrays)
    return Masker(options.module, base, calibration, options.gradients, options.timeout), network


def measure(options: SensitivityOptions, masker: Masker, network: Network, folder: Path, steps: Steps) -> dict:
    """The curves of all layers; written to `--json` if there is one, and until then kept in a journal beside it."""
    listed = folder / "layers.json"
    toolchain.checked("prune-opt", [masker.base, f"--prune-identify=json={listed} table=none", "-o", "/dev/null"],
                      options.timeout, str(options.module))
    layers: dict[str, dict] = {}
    for layer in json.loads(listed.read_text())["layers"]:
        if layer["name"] in layers:
            layers[layer["name"]]["flops"] += layer["flops"]
        elif layer["prunable"] and layer["name"] in network.weights and re.search(options.include, layer["name"]):
            layers[layer["name"]] = layer
    if options.subsets > network.examples.examples:
        raise PruneError("--subsets", "range", str(options.subsets), f"1 to {network.examples.examples}, the examples")
    levels: list[dict[str, Pruned]] = []
    for sparsity in options.sparsities:
        with steps.step(f"decide the masks at {sparsity:.4g}"):
            decided = masker.decide(options.masks(sparsity), folder / "level.mlirbc", independent=True)
            levels.append(masker.read(decided, network.weights))
    names = [name for name in layers if all(name in found for found in levels)]
    if not names:
        raise PruneError(str(options.module), "layers", "none that this pattern can be laid on", "one or more")
    points = [(name, level) for name in names for level in range(len(levels))]
    results = _sweep(options, network, levels, points, steps)
    found = _report(options, network, layers, names, levels, results)
    if options.json:
        files.write_json(options.json, found)
        journal_path(options.json).unlink(missing_ok=True)
    return found


def journal_path(path: Path) -> Path:
    """Where the results of a run are until it is done."""
    return path.with_name(f"{path.name}.partial")


def _sweep(options: SensitivityOptions, network: Network, levels: Sequence[Mapping[str, Pruned]],
           points: Sequence[tuple[str, int]], steps: Steps) -> list[dict]:
    """The results of all points, in their order."""
    work = _Work(network, levels, points, _subsets(network.examples.examples, options.subsets))
    digest = checkpoint.digest(options.module, {
        "data": data_digest(network.examples), "labels": None if network.labels is None else network.labels.tolist(),
        "classes": network.classes, "output": options.output, "masks": [options.masks(s) for s in options.sparsities],
        "calibration": options.calibration, "files": digests(options.calibration, options.gradients),
        "subsets": options.subsets, "prune": __version__})
    with contextlib.ExitStack() as stack:
        journal = None
        if options.json:
            journal = stack.enter_context(Journal(journal_path(options.json), digest, options.resume))
        done = dict(journal.done) if journal else {}
        missing = [index for index in range(len(points)) if index not in done]
        progress = stack.enter_context(Progress("prune sensitivity", len(points), steps.stream))
        progress.begin(len(done))
        for index, result in _run(work, missing, min(options.jobs, len(missing))):
            done[index] = result
            if journal:
                journal.add(index, result)
            progress.advance(len(done), points[index][0])
    return [done[index] for index in range(len(points))]


@dataclass
class _Work:
    """All that a point needs: a process that is forked has it without a copy."""

    network: Network
    levels: Sequence[Mapping[str, Pruned]]
    points: Sequence[tuple[str, int]]
    subsets: Sequence[np.ndarray]

    def __call__(self, index: int) -> dict:
        name, level = self.points[index]
        judged = self.network.judge({name: self.levels[level][name]})
        return {measure: summary(values, self.subsets) for measure, values in judged.items()}


def _run(work: _Work, indices: Sequence[int], jobs: int) -> Iterator[tuple[int, dict]]:
    """The results of these points, as they come."""
    if jobs <= 1:
        yield from ((index, work(index)) for index in indices)
        return
    with multiprocessing.get_context("fork").Pool(jobs, _adopt, (work,)) as pool:
        yield from pool.imap_unordered(_point, indices)


_adopted: list[_Work] = []


def _adopt(work: _Work) -> None:
    """In a new process: Ctrl-C is for the first one, which ends this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _adopted[:] = [work]


def _point(index: int) -> tuple[int, dict]:
    return index, _adopted[0](index)


def _subsets(examples: int, count: int) -> list[np.ndarray]:
    """Disjoint parts of the examples, of equal size within one, in an order that is always the same."""
    return np.array_split(data.order(0, 0, examples), count)


def summary(values: np.ndarray, subsets: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean over all examples, means over the subsets, and the standard error that follows from these (None for one)."""
    means = [float(values[part].mean()) for part in subsets]
    error = float(np.std(means, ddof=1) / math.sqrt(len(means))) if len(means) > 1 else None
    return {"mean": float(values.mean()), "error": error, "subsets": means}


def _report(options: SensitivityOptions, network: Network, layers: Mapping[str, Mapping], names: Sequence[str],
            levels: Sequence[Mapping[str, Pruned]], results: Sequence[Mapping]) -> dict:
    count = len(levels)
    return {
        "schema": SCHEMA, "prune": __version__, "module": str(options.module), "data": str(options.data),
        "examples": network.examples.examples, "task": "classification" if network.classes else "embedding",
        "criterion": options.criterion, "calibration": options.calibration, "pattern": options.pattern,
        "measure": network.measure,
        "sparsities": list(options.sparsities), "baseline": network.baseline(),
        "layers": [{
            "name": name, **{key: layers[name][key] for key in ("kind", "shape", "parameters", "flops")},
            "points": [{"sparsity": sparsity, "pruned": levels[level][name].mask.sparsity,
                        **results[index * count + level]}
                       for level, sparsity in enumerate(options.sparsities)]} for index, name in enumerate(names)],
        "skipped": [name for name in layers if name not in names]}
