"""The ten points of pruning in production, answered from the report."""

from __future__ import annotations

from typing import Mapping, Sequence

from prune.console import milliseconds
from prune.evaluate.history import Round
from prune.evaluate.layers import same_values
from prune.evaluate.models import Model

# A larger loss of accuracy, or a smaller mean cosine, is worth a look.
ACCURACY_LOST = 0.01
COSINE = 0.9


def answers(report: Mapping, baseline: Model, pruned: Model, rounds: Sequence[Round] = ()) -> list[dict]:
    """For each point whether it is `done`, `warning` or `not measured`, and the answer. `rounds` are what led to the pruned
    model, as far as it is known."""
    common, changed = same_values(pruned, baseline)
    points = (("Baseline", _baseline(report)), ("Key layers", _key_layers(report)),
              ("Method", _method(report, baseline, pruned)), ("Masks", _masks(report)),
              ("Fine-tuning", _tuning(common, changed)), ("Iteration", _iteration(rounds, common, changed)),
              ("Export",
               ("done", f"compiled to a C library of {pruned.library_bytes + pruned.weight_bytes:,} bytes with "
                                  "weights; ONNX and safetensors: `python -m prune export`")),
              ("Latency and accuracy", _benchmark(report)), ("Calibration and confidence", _calibration(report)),
              ("Hardware and libraries", _hardware(report)))
    return [{"step": step, "status": status, "answer": answer} for step, (status, answer) in points]


def _quality(report: Mapping, which: str) -> str:
    if "classification" in report:
        return f"accuracy {report['classification'][which]['accuracy']:.2%}"
    return "the vectors that the pruned ones are compared with"


def _baseline(report: Mapping) -> tuple[str, str]:
    figures = report["models"]["baseline"]
    return "done", (f"{report['baseline']}: {_quality(report, 'baseline')}, "
                    f"{milliseconds(figures['latency_ms']['median'])} a call, {figures['parameters']:,} parameters")


def _key_layers(report: Mapping) -> tuple[str, str]:
    prunable = [layer for layer in report["layers"] if layer["prunable"]]
    if not prunable:
        return "warning", "no layer can be pruned"
    top = sorted(prunable, key=lambda layer: -layer["flop_share"])[:3]
    share = sum(layer["parameter_share"] for layer in prunable)
    said = (f"{len(prunable)} layers can be pruned, {share:.0%} of the parameters; most work: "
            + ", ".join(f"{layer['name']} ({layer['flop_share']:.0%})" for layer in top))
    if found := report.get("sensitivity"):
        measure = found["measure"]
        dear = sorted(found["layers"], key=lambda layer: -layer["points"][-1][measure]["mean"])[:3]
        said += (f"; most sensitive at {found['sparsities'][-1]:.0%} ({measure.replace('_', ' ')}): "
                 + ", ".join(f"{layer['name']} ({layer['points'][-1][measure]['mean']:.4f})" for layer in dear))
    return "done", said


def _method(report: Mapping, baseline: Model, pruned: Model) -> tuple[str, str]:
    patterns = sorted({layer["pattern"] for layer in report["layers"] if layer["pattern"]})
    said = [f"masks: {', '.join(patterns)}"] if patterns else []
    if pruned.parameters < baseline.parameters:
        said.append(f"smaller shapes: {pruned.parameters / baseline.parameters:.0%} of the parameters are there")
    return ("done", "; ".join(said)) if said else ("warning",
                                                   "neither masks nor smaller shapes: the model is not pruned")


def _masks(report: Mapping) -> tuple[str, str]:
    masked = [layer for layer in report["layers"] if layer["pattern"]]
    if not masked:
        return "not measured", "because the module has no masks"
    total = sum(layer["parameters"] for layer in masked)
    zeros = sum(layer["sparsity"] * layer["parameters"] for layer in masked) / total
    least, most = (f(layer["sparsity"] for layer in masked) for f in (min, max))
    return "done", (f"{len(masked)} weights are masked, {zeros:.1%} of their {total:,} elements are zero ({least:.1%} "
                    f"to {most:.1%}); the masks were verified against their records. Where they began is not recorded")


def _tuning(common: int, changed: int) -> tuple[str, str]:
    if not common:
        return "not measured", "because no constant has the name and shape of one in the baseline"
    if changed:
        return "done", f"kept elements differ from the baseline in {changed} of {common} constants of the same shape"
    return "warning", (f"kept elements are those of the baseline in all {common} constants of the same shape: "
                       "no fine-tuning")


def _iteration(rounds: Sequence[Round], common: int, changed: int) -> tuple[str, str]:
    if rounds:
        said = "; then ".join(f"{r.answer} ({r.place})" for r in rounds)
        if sum(r.decisions for r in rounds) > 1:
            return "done", said
        return "warning", f"{said}: not step by step"
    if common and not changed:
        return "warning", "masks at one stroke: nothing was trained between the baseline and them"
    return "not measured", "because no --history=FILE says in how many rounds the model came about"


def _benchmark(report: Mapping) -> tuple[str, str]:
    slower, worse = report["ratios"]["speedup"] < 1, False
    times = [report["models"][m]["latency_ms"]["median"] for m in ("baseline", "pruned")]
    said = f"{milliseconds(times[0])} become {milliseconds(times[1])} ({report['ratios']['speedup']:.2f}x)"
    if "classification" in report:
        both = [report["classification"][m]["accuracy"] for m in ("baseline", "pruned")]
        worse = both[0] - both[1] > ACCURACY_LOST
        said += f"; accuracy {both[0]:.2%} becomes {both[1]:.2%}"
    else:
        worse = report["embedding"]["cosine"] < COSINE
        said += f"; mean cosine to the baseline {report['embedding']['cosine']:.4f}"
    return ("warning" if slower or worse else "done"), said


def _calibration(report: Mapping) -> tuple[str, str]:
    if "classification" not in report:
        return "not measured", "because there are no labels"
    found = report["classification"]
    both = [found[m]["calibration"] for m in ("baseline", "pruned")]
    said = (f"error {both[0]['ece']:.4f} becomes {both[1]['ece']:.4f} (chance: up to {both[1]['limit']:.4f}): "
            f"{both[1]['verdict']}; {found['agreement']['flips']:.2%} of the answers became right or wrong, "
            f"{found['agreement']['churn']:.2%} changed")
    return ("done" if both[1]["verdict"] == "calibrated" else "warning"), said


def _hardware(report: Mapping) -> tuple[str, str]:
    masked = [layer for layer in report["layers"] if layer["pattern"]]
    if not masked:
        return "done", "dense code of smaller or unchanged shapes runs everywhere"
    counts: dict[str, int] = {}
    for layer in masked:
        for verdict in layer["compatibility"]:
            counts[verdict["target"]] = counts.get(verdict["target"], 0) + (verdict["status"] == "fast")
    said = "; ".join(f"{target}: {count} of {len(masked)} masked layers have a fast kernel" for target,
                     count in counts.items())
    return ("done" if counts.get("host") == len(masked) else "warning"), said
