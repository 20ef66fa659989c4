"""`python -m prune evaluate`: what was won and what was lost by pruning, as one report, and the gates for CI."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np

from prune import __version__, files, metrics
from prune.bench.timing import Timing
from prune.console import Steps
from prune.errors import PruneError
from prune.evaluate import checklist, history, layers
from prune.evaluate.models import Model, compile_model, measure, outputs
from prune.quickstart.report import machine
from prune.sensitivity.curves import load as load_curves
from prune.train import data

# Of the report's form; counts up when a key changes its meaning or goes.
SCHEMA = 1
# Exit status when a gate is closed; 1 is an error, 2 a wrong command line.
GATE_CLOSED = 3


@dataclass
class EvaluateOptions:
    """What to compare on what. `labels` may be None where the data has them or there are none; `output` names the
    result that is judged (None: the first of numbers); `sensitivity` is a file of that command to show, `history` those of
    the commands that led to the module, in their order. The gates are shares, not points; None: no gate."""

    module: Path
    baseline: Path
    data: Path
    labels: Path | None = None
    output: str | None = None
    top_k: int = 5
    max_drop: float | None = None
    max_ece: float | None = None
    min_speedup: float | None = None
    json: Path | None = None
    html: Path | None = None
    runs: int = 30
    threads: int = 1
    targets: Sequence[str] = ("host",)
    sensitivity: Path | None = None
    history: Sequence[Path] = ()
    timeout: float = 600.0

    def check(self) -> None:
        """Raises PruneError for what needs no computation to be wrong."""
        for name, value, least, most in (("--top-k", self.top_k, 1, np.inf), ("--runs", self.runs, 1, np.inf),
                                         ("--threads", self.threads, 1, np.inf), ("--max-drop", self.max_drop, -1, 1),
                                         ("--max-ece", self.max_ece, 0, 1),
                                         ("--min-speedup", self.min_speedup, 0, np.inf)):
            if value is not None and not least <= value <= most:
                raise PruneError(name, "range", f"{value:g}", f"{least} or more"
                                 if most == np.inf else f"{least} to {most}")
        if not self.targets or self.targets[0] != "host":
            raise PruneError("--targets", "list", ",".join(self.targets),
                             "host first, then processors as LLVM names them")
        for name, path in (("--json", self.json), ("--html", self.html)):
            files.check_target(path, name)
        for path in (self.module, self.baseline):
            if not path.is_file():
                raise PruneError(str(path), "input file", "no such file", "a module of linalg on tensors")


@dataclass(frozen=True)
class Gate:
    """A condition of the command line: what was measured against which limit."""

    option: str
    what: str
    value: float
    limit: float
    passed: bool

    def __str__(self) -> str:
        kind = "at least" if self.option == "--min-speedup" else "at most"
        return f"{self.option}: {self.what}: got {self.value:.4g}, expected {kind} {self.limit:g}"


def evaluate(options: EvaluateOptions, steps: Steps) -> tuple[dict, list[Gate]]:
    """The report, which is written where the options say, and the gates. Raises PruneError."""
    options.check()
    arrays = data.load(options.data)
    labels = load_labels(options.labels, arrays, options.data)
    if labels is None and options.max_ece is not None:
        raise PruneError("--max-ece", "labels", f"none in '{options.data}'",
                         "--labels=FILE, or an array 'labels' there")
    curves = load_curves(options.sensitivity) if options.sensitivity else None
    rounds = [history.load(path) for path in options.history]
    with tempfile.TemporaryDirectory(prefix="prune-evaluate-") as scratch:
        folder = Path(scratch)
        models, results, firsts = [], [], []
        for path, name in ((options.baseline, "baseline"), (options.module, "pruned")):
            with steps.step(f"compile {path.name}"):
                models.append(compile_model(path, name, folder, options.threads, options.targets, options.timeout))
            with steps.step(f"run the examples ({name})"):
                found, first = outputs(models[-1], arrays, str(options.data))
                results.append(found)
                firsts.append(first)
        if rounds:
            history.check(rounds, models[1].source.digests, options.module)
        output = choose_output(results, options.output, options.module, labels is not None)
        scores = [check_finite(found[output], output, path)
                  for found, path in zip(results, (options.baseline, options.module))]
        if labels is not None:
            judged = {"classification": classify(*scores, labels, options.top_k, str(options.data))}
        else:
            judged = {"embedding": asdict(metrics.similarity(*(pool(s, arrays) for s in scores)))}
        with steps.step(f"time both, {options.runs} samples each"):
            times = measure(models, firsts, options.threads, options.runs, folder, options.timeout)
    report = {
        "schema": SCHEMA, "prune": __version__, "machine": machine(), "threads": options.threads,
        "module": str(options.module), "baseline": str(options.baseline), "data": str(options.data),
        "examples": len(scores[0]), "output": output, "task": "classification" if labels is not None else "embedding",
        "models": {m.name: {**m.figures(), "latency_ms": _milliseconds(t)} for m, t in zip(models, times)},
        "ratios": ratios(models, times), **judged}
    report["layers"] = layers.describe(models[1], models[0])
    if curves:
        names = {layer["name"] for layer in report["layers"]}
        if not any(layer["name"] in names for layer in curves["layers"]):
            raise PruneError(str(options.sensitivity), "layers", "none of this model", f"one of {len(names)}")
        report["sensitivity"] = curves
    report["checklist"] = checklist.answers(report, *models, rounds)
    gates = close(report, options)
    report["gates"] = [asdict(gate) for gate in gates]
    if options.json:
        files.write_json(options.json, report)
    if options.html:
        from prune.evaluate import page
        files.write_text(options.html, page.page(report, models[1].source.masks))
    return report, gates


def load_labels(path: Path | None, arrays: Mapping[str, np.ndarray], data_place: Path) -> np.ndarray | None:
    """The right class of each example: from its own file `path`, or from the data; None if there are none."""
    if path is None:
        labels, place = arrays.get(data.LABELS), str(data_place)
    else:
        found, place = data.load(path), str(path)
        labels = found.get(data.LABELS, next(iter(found.values())) if len(found) == 1 else None)
        if labels is None:
            raise PruneError(place, "array", f"no '{data.LABELS}' among {len(found)}",
                             f"'{data.LABELS}', or one array alone")
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise PruneError(place, "labels", f"{labels.dtype}{list(labels.shape)}", "a whole number for each example")
    return labels.astype(np.int64)


def choose_output(results: Sequence[Mapping[str, np.ndarray]], asked: str | None, module: Path, classes: bool) -> str:
    """The result that is judged: the one that is asked for, or the first that has a form for it, in both models."""
    ranks = (2,) if classes else (2, 3)
    fitting = [n for n, v in results[0].items() if v.dtype.kind == "f" and v.ndim in ranks and n in results[1]]
    if asked is not None:
        fitting = [n for n in fitting if n == asked]
    listed = ", ".join(f"'{n}' {list(v.shape)}" for n, v in results[0].items())
    if not fitting:
        wanted = "[examples, classes]" if classes else "[examples, size] or [examples, tokens, size]"
        raise PruneError("--output", "outputs", f"{listed} of the baseline",
                         f"{f'{asked!r}' if asked else 'one'} of numbers {wanted} in both models")
    before, now = (found[fitting[0]].shape for found in results)
    if before != now:
        raise PruneError(str(module), f"shape of output '{fitting[0]}'", str(list(now)),
                         f"{list(before)} as in the baseline")
    return fitting[0]


def check_finite(scores: np.ndarray, output: str, place: Path) -> np.ndarray:
    """Raises PruneError for NaN and infinities."""
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        raise PruneError(str(place), f"output '{output}'", f"{scores[tuple(wrong[0])]} at {wrong[0].tolist()}",
                         "finite numbers")
    return scores


def classify(before: np.ndarray, now: np.ndarray, labels: np.ndarray, top_k: int, place: str) -> dict:
    """Quality and calibration of both models, and what changed between them."""
    check_labels(labels, now, place)
    if len(labels) < 2:
        raise PruneError(place, "examples", str(len(labels)), "at least 2: temperature is fitted on every other one")
    return {"classes": now.shape[1], "baseline": judge(before, labels, top_k), "pruned": judge(now, labels, top_k),
            "agreement": {**asdict(a := metrics.agreement(before, now, labels)), "flips": a.flips}}


def check_labels(labels: np.ndarray, scores: np.ndarray, place: str) -> None:
    """Raises PruneError unless there is a class of the scores for each example."""
    if len(labels) != len(scores):
        raise PruneError(place, "labels", f"{len(labels)} for {len(scores)} examples", "one for each example")
    wrong = np.argwhere((labels < 0) | (labels >= scores.shape[1]))
    if len(wrong):
        raise PruneError(place, "labels", f"{labels[wrong[0][0]]} at {wrong[0].tolist()}",
                         f"0 to {scores.shape[1] - 1}")


def judge(logits: np.ndarray, labels: np.ndarray, top_k: int) -> dict:
    """All figures of one set of answers."""
    probabilities = np.exp(metrics.log_softmax(logits))
    found = metrics.calibration(logits, labels)
    bins = metrics.reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    # Fitted on every other example, reported on the rest.
    fit, rest = (logits[0::2], labels[0::2]), (logits[1::2], labels[1::2])
    temperature = metrics.temperature(*fit)
    scaled = rest[0].astype(np.float64) / temperature
    quality = metrics.quality(logits, labels)
    return {
        "accuracy": quality.accuracy, "top_k": metrics.top_k(logits, labels, min(top_k, logits.shape[1])),
        "k": min(top_k, logits.shape[1]), "f1": metrics.f1(logits, labels), "nll": quality.nll, "brier": quality.brier,
        "calibration": {**asdict(found), "verdict": found.verdict},
        "reliability": {key: getattr(bins, key).tolist() for key in ("edges", "counts", "confidence", "accuracy")},
        "temperature": {"value": temperature, "examples": len(rest[1]), "nll_before": metrics.nll(*rest),
                        "nll_after": metrics.nll(scaled, rest[1]),
                        "ece_before": metrics.ece(np.exp(metrics.log_softmax(rest[0])), rest[1]),
                        "ece_after": metrics.ece(np.exp(metrics.log_softmax(scaled)), rest[1])}}


def pool(vectors: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """One vector for each example: of several, the mean over the tokens that count by an `attention_mask`, else all."""
    if vectors.ndim == 2:
        return vectors
    mask = arrays.get("attention_mask")
    weights = np.ones(vectors.shape[:2]) if mask is None or mask.shape != vectors.shape[:2] else mask.astype(np.float64)
    return (vectors * weights[:, :, None]).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)[:, None]


def ratios(models: Sequence[Model], times: Sequence[Timing]) -> dict[str, float]:
    """How many times the pruned model is faster, and what share of the rest it needs."""
    before, now = (m.figures() for m in models)
    shares = {key: now[key] / before[key] if before[key] else 1.0
              for key in ("parameters", "nonzeros", "flops", "size_bytes", "memory_bytes")}
    return {"speedup": times[0].median / times[1].median, **shares}


def close(report: Mapping, options: EvaluateOptions) -> list[Gate]:
    """The gates that were asked for."""
    gates = []
    if options.max_drop is not None:
        if "classification" in report:
            both = report["classification"]
            what, drop = "accuracy lost", both["baseline"]["accuracy"] - both["pruned"]["accuracy"]
        else:
            what, drop = "1 - mean cosine", 1 - report["embedding"]["cosine"]
        gates.append(Gate("--max-drop", what, drop, options.max_drop, drop <= options.max_drop))
    if options.max_ece is not None:
        error = report["classification"]["pruned"]["calibration"]["ece"]
        gates.append(Gate("--max-ece", "calibration error", error, options.max_ece, error <= options.max_ece))
    if options.min_speedup is not None:
        speed = report["ratios"]["speedup"]
        gates.append(Gate("--min-speedup", "speed against the baseline", speed, options.min_speedup,
                          speed >= options.min_speedup))
    return gates


def _milliseconds(timing: Timing) -> dict[str, float]:
    return {"median": timing.median, "low": timing.low, "high": timing.high, "samples": timing.samples}
