"""`python -m prune search`: the sparsity of each layer for a stated target, verified on the model that comes out."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping

from prune import __version__, files, toolchain
from prune.bench.timing import Timing
from prune.console import Steps
from prune.errors import PruneError
from prune.evaluate.models import Model, compile_model, measure, outputs
from prune.export import tensors
from prune.export.source import Mask
from prune.search import costs
from prune.search.allocate import Candidate, Front
from prune.sensitivity import job as sweep
from prune.sensitivity.curves import load as load_curves
from prune.sensitivity.masker import Masker
from prune.sensitivity.network import CLASSES, Network

# Of the form of the result; counts up when a key changes its meaning or goes.
SCHEMA = 1
SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
DROP = "drop"
# How far from the target a result may be, as a share of it.
TOLERANCE = 0.02
# Models that are built and looked at, at most, on the way to a target.
TRIALS = 12
# A measured result is confirmed by so many times the samples.
CONFIRM = 4
# Points of the front that are reported.
POINTS = 24
_TARGET = re.compile(r"(\w+):([0-9.eE+-]+)")


@dataclass
class SearchOptions:
    """`target` is KIND:VALUE; `curves` says what is pruned how and judged on what, its `json` where curves are kept
    (None: nowhere). With `estimate` latency is what the cost model says of the layers, else it is measured. `minimize`
    is what a target of quality saves."""

    target: str
    output: Path
    curves: sweep.SensitivityOptions
    estimate: bool = False
    minimize: str = costs.LATENCY
    recipe: Path | None = None
    json: Path | None = None
    html: Path | None = None
    runs: int = 30
    threads: int = 1
    # Kind and value of the target.
    kind: str = field(init=False, default="")
    value: float = field(init=False, default=0.0)

    def check(self) -> None:
        """Reads the target. Raises PruneError for what needs no computation to be wrong."""
        found = _TARGET.fullmatch(self.target)
        try:
            self.kind, self.value = found[1], float(found[2])
        except (TypeError, ValueError):
            self.kind = ""
        if self.kind not in (*costs.KINDS, DROP):
            raise PruneError("--target", "target", self.target, f"{', '.join((*costs.KINDS, DROP))}, ':' and a number")
        if not 0 < self.value < 1:
            raise PruneError("--target", "range", f"{self.value:g}", "more than 0 and less than 1")
        if self.minimize not in costs.KINDS:
            raise PruneError("--minimize", "cost", self.minimize, " or ".join(costs.KINDS))
        for name, value in (("--runs", self.runs), ("--threads", self.threads)):
            if value < 1:
                raise PruneError(name, "range", str(value), "1 or more")
        self.curves.check()
        for option, path in (("-o", self.output), ("--recipe", self.recipe), ("--json", self.json),
                             ("--html", self.html)):
            files.check_target(path, option)

    @property
    def cost(self) -> str:
        """The kind of cost that the search adds up."""
        return self.minimize if self.kind == DROP else self.kind


@dataclass
class Trial:
    """A model with the masks of one choice, in the file `module`. `drop` and `ratios` (of the unpruned model's) are
    what was found; the latter only once it is compiled, like `estimated`, the latency by the cost model. `times` are those of
    the unpruned model and this one, once its latency is confirmed."""

    choice: Mapping[str, Candidate]
    recipe: str
    module: Path
    masks: dict[str, Mask]
    drop: float
    model: Model | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    estimated: float = 0.0
    times: list[Timing] = field(default_factory=list)


def search(options: SearchOptions, steps: Steps) -> dict:
    """Searches, verifies, and writes the files. Raises PruneError, also where the target cannot be met; the outputs are
    complete or untouched."""
    options.check()
    with tempfile.TemporaryDirectory(prefix="prune-search-") as scratch:
        folder = Path(scratch)
        masker, network = sweep.prepare(options.curves, folder, steps)
        try:
            if options.kind == DROP and network.measure == CLASSES and network.labels is None:
                raise PruneError("--target", "labels", "none", "--labels=FILE: a drop of classes is one of accuracy")
            curves = _curves(options, masker, network, folder, steps)
            workshop = _Workshop(options, masker, network, curves, folder, steps)
            best = workshop.within_drop() if options.kind == DROP else workshop.at_cost()
            workshop.finish(best)
            workshop.confirm(best)
        finally:
            network.close()
        found = workshop.report(best)
        _write(options, best)
    if options.recipe:
        files.write_text(options.recipe, best.recipe)
    if options.json:
        files.write_json(options.json, found)
    if options.html:
        from prune.search import page
        files.write_text(options.html, page.page(found, workshop.curves))
    return found


def _curves(options: SearchOptions, masker: Masker, network: Network, folder: Path, steps: Steps) -> dict:
    """The curves: from the file if it is there, else measured (and kept there)."""
    place = options.curves.json
    if place is None or not place.exists():
        return sweep.measure(options.curves, masker, network, folder, steps)
    found = load_curves(place)
    for key, expected in (("pattern", options.curves.pattern), ("criterion", options.curves.criterion),
                          ("calibration", options.curves.calibration), ("measure", network.measure)):
        if found.get(key, "") != expected:
            raise PruneError(str(place), key, str(found.get(key, "")) or "none", f"{expected or 'none'} of this run")
    for layer in found["layers"]:
        if layer["name"] not in network.weights or list(network.weights[layer["name"]].shape) != layer["shape"]:
            raise PruneError(str(place), "layer", f"'{layer['name']}' {layer['shape']}", "weights of the model")
    return found


class _Workshop:
    """Where models are made, compiled and judged."""

    def __init__(self, options: SearchOptions, masker: Masker, network: Network, curves: dict, folder: Path,
                 steps: Steps):
        self.options, self.masker, self.network, self.curves, self.folder, self.steps = (
            options, masker, network, curves, folder, steps)
        self.trials: list[Trial] = []
        with steps.step("compile the unpruned model"):
            self.dense = self._compile(options.curves.module, "dense")
            _, self._inputs = outputs(self.dense, network.arrays, str(options.curves.data))
        with steps.step("ask the cost model"):
            self._times = costs.times(curves, [self._best_times(s) for s in curves["sparsities"]])
        self.front = Front(costs.candidates(options.cost, curves, self._times))

    def at_cost(self) -> Trial:
        """The trial whose cost is the target's share of the unpruned model's, with the least loss."""
        target, front = self.options.value, self.front
        fixed = self._fixed()
        # Budgets whose models cost less and more than they should, with the ratios of these.
        low: tuple[float, float] | None = None
        high = front.dense, 1.0
        budget = min(max(target * (fixed + front.dense) - fixed, front.lowest), front.dense)
        for _ in range(TRIALS):
            trial = self._trial(front.choose(budget))
            self.finish(trial)
            if self._meets(trial):
                self.confirm(trial)
                if self._meets(trial):
                    break
            ratio = trial.ratios[self.options.kind]
            if ratio > target:
                if budget <= front.lowest:
                    raise PruneError("--target", self.options.kind, f"{target:g}",
                                     f"{ratio:.4f} or more: all layers are at {self.curves['sparsities'][-1]:g} then")
                other, high = (low or high), (budget, ratio)
            else:
                other, low = high, (budget, ratio)
            # Along the line through the nearest known point of the other side, or half of the way.
            step = budget + (target - ratio) * (other[0] - budget) / (other[1] - ratio) if other[1] != ratio else budget
            if step <= front.lowest and low is None:
                step = front.lowest
            elif not (low[0] if low else front.lowest) < step < high[0]:
                step = ((low[0] if low else front.lowest) + high[0]) / 2
            if front.choose(step) == trial.choice:
                break
            budget = step
        return min(self.trials, key=lambda t: (t.ratios[self.options.kind] > target * (1 + TOLERANCE),
                                               abs(t.ratios[self.options.kind] / target - 1)))

    def within_drop(self) -> Trial:
        """The trial of the least cost that loses no more than the target says."""
        front, limit = self.front, self.options.value
        best = trial = self._trial(front.choose(front.lowest))
        low, high = front.lowest, front.lowest if trial.drop <= limit else front.dense
        while high - low > TOLERANCE * front.dense:
            budget = (low + high) / 2
            trial = self._trial(front.choose(budget))
            if trial.drop <= limit:
                best, high = trial, budget
            else:
                low = budget
        if best.drop > limit:
            raise PruneError("--target", DROP, f"{limit:g}",
                             f"{trial.drop:.4f} or more: the least that pruning loses here")
        return best

    def _meets(self, trial: Trial) -> bool:
        return abs(trial.ratios[self.options.kind] / self.options.value - 1) <= TOLERANCE

    def confirm(self, trial: Trial) -> None:
        """Measures the latency of a trial for good: the samples that a search stops at are lucky ones."""
        if self.options.estimate or trial.times:
            return
        with self.steps.step(f"measure the model that is {self._sparsity(trial):.1%} pruned again"):
            trial.times = self._measure(trial.model, CONFIRM * self.options.runs)
            trial.ratios[costs.LATENCY] = trial.times[1].median / trial.times[0].median

    def finish(self, trial: Trial) -> None:
        """Compiles a trial and finds its ratios."""
        if trial.ratios:
            return
        with self.steps.step(f"compile and look at a model that is {self._sparsity(trial):.1%} pruned"):
            trial.model = self._compile(trial.module, trial.module.stem)
            before, now = self.dense.figures(), trial.model.figures()
            trial.estimated = latency = self._estimated(trial)
            if not self.options.estimate:
                times = self._measure(trial.model, self.options.runs)
                latency = times[1].median / times[0].median
            trial.ratios = {costs.LATENCY: latency, costs.SIZE: now["size_bytes"] / before["size_bytes"],
                            costs.FLOPS: now["flops"] / before["flops"]}

    def report(self, best: Trial) -> dict:
        """The result for programs."""
        options, total = self.options, self._fixed() + self.front.dense
        choices = best.model.choices["host"]
        achieved = {**best.ratios, "estimated_latency": best.estimated, DROP: best.drop,
                    "loss": sum(c.loss for c in best.choice.values())}
        missed = achieved[options.kind] > options.value * (1 if options.kind == DROP else 1 + TOLERANCE)
        taken: set[int] = set()
        layers = []
        for layer in self.curves["layers"]:
            chosen, mask = best.choice[layer["name"]], best.masks.get(layer["name"])
            place = costs.find_choice(layer, choices, best.model.source.constants, taken)
            layers.append({"name": layer["name"], "shape": layer["shape"], "sparsity": mask.sparsity if mask else 0.0,
                           "pattern": mask.pattern if mask else None, "loss": chosen.loss, "cost": chosen.cost,
                           "code": choices[place]["choice"] if place is not None else None})
        return {"schema": SCHEMA, "prune": __version__, "module": str(options.curves.module),
                "data": str(options.curves.data), "criterion": options.curves.criterion,
                "calibration": options.curves.calibration, "pattern": options.curves.pattern,
                "measure": self.network.measure,
                "target": {"kind": options.kind, "value": options.value, "minimized": options.cost},
                "latency": "estimated" if options.estimate else "measured", "met": not missed, "achieved": achieved,
                "milliseconds": {name: time.median for name, time in zip(("unpruned", "pruned"), best.times)},
                "sparsity": self._sparsity(best), "layers": layers,
                "front": [{"cost": (self._fixed() + cost) / total, "loss": loss}
                          for cost, loss in self.front.points(POINTS)],
                "trials": [{"sparsity": self._sparsity(t), DROP: t.drop, **t.ratios} for t in self.trials],
                "masks": [{"weight": w, "digest": d} for w, d in best.model.source.digests.items()],
                "recipe": best.recipe}

    def _trial(self, choice: Mapping[str, Candidate]) -> Trial:
        """The masks of a choice, and what they lose; each choice once."""
        known = next((t for t in self.trials if t.choice == choice), None)
        if known is not None:
            return known
        recipe = tensors.recipe({name: (self.options.curves.pattern, c.sparsity)
                                 for name, c in choice.items() if c.sparsity},
                                self.options.curves.criterion)
        with self.steps.step("decide masks and run the examples"):
            (self.folder / "recipe.yaml").write_text(recipe)
            module = self.masker.decide(f"recipe={self.folder / 'recipe.yaml'}",
                                        self.folder / f"trial{len(self.trials)}.mlirbc")
            pruned = self.masker.read(module, self.network.weights)
            judged = self.network.judge(pruned)
        measure = "accuracy_drop" if "accuracy_drop" in judged else self.network.measure
        self.trials.append(Trial(choice, recipe, module, {name: change.mask for name, change in pruned.items()},
                                 float(judged[measure].mean())))
        return self.trials[-1]

    def _compile(self, module: Path, name: str) -> Model:
        return compile_model(module, name, self.folder, self.options.threads, ["host"], self.options.curves.timeout)

    def _best_times(self, sparsity: float) -> dict[str, tuple[float, float]]:
        # Which elements are kept hardly matters for what they cost; magnitude is the fastest to decide.
        place = self.masker.decide(self.options.curves.masks(sparsity, "magnitude"), self.folder / "level.mlirbc")
        listed = self.folder / "choices.json"
        toolchain.checked("prune-opt", [place, f"--prune-to-cpu=threads={self.options.threads} report={listed}", "-o",
                                        "/dev/null"], self.options.curves.timeout, str(self.options.curves.module))
        return costs.best_times(self.dense.layers, json.loads(listed.read_text())["layers"], self.network.weights)

    def _fixed(self) -> float:
        """What the unpruned model costs beside the layers of the front, in the same unit. Measured latency is corrected
        by what trials take; the cost model knows the layers alone."""
        if self.options.cost == costs.LATENCY:
            return 0.0
        figures = self.dense.figures()
        return max(0.0, figures["flops" if self.options.cost == costs.FLOPS else "size_bytes"] - self.front.dense)

    def _measure(self, model: Model, runs: int) -> list[Timing]:
        """Of the unpruned model and this one, in turn."""
        return measure([self.dense, model], [self._inputs, self._inputs], self.options.threads, runs, self.folder,
                       self.options.curves.timeout)

    def _estimated(self, trial: Trial) -> float:
        found = costs.best_times(trial.model.layers, trial.model.choices["host"], trial.model.source.constants)
        total = 0.0
        for layer in self.curves["layers"]:
            name, own = layer["name"], self._times[layer["name"]]
            total += min(found[name]) if name in found else own.dense
        return total / sum(own.dense for own in self._times.values())

    def _sparsity(self, trial: Trial) -> float:
        """The share of the searched layers' weights that is pruned."""
        total = sum(layer["parameters"] for layer in self.curves["layers"])
        return sum(mask.kept.size - int(mask.kept.sum()) for mask in trial.masks.values()) / total


def _write(options: SearchOptions, best: Trial) -> None:
    """The module with its masks."""
    result = best.module
    if options.output.suffix == ".mlir":
        text = result.with_suffix(".mlir")
        toolchain.checked("prune-opt", [result, "--mlir-print-debuginfo", "-o", text], options.curves.timeout,
                          str(options.curves.module))
        result = text
    with files.replacing(options.output) as stream:
        stream.write(result.read_bytes())
