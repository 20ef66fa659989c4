"""What each layer's weights look like, and which hardware and kernels they suit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Container, Mapping, Sequence

import numpy as np

from prune.evaluate.models import Model

# Rows and columns that NVIDIA's sparse matrix instructions (mma.sp on f16, f32 as tf32) want multiples of.
TENSOR_CORE_ROWS, TENSOR_CORE_COLUMNS = 16, 32
# Columns of one 2:4 group, and how many of them may be kept.
GROUP, KEPT = 4, 2


@dataclass(frozen=True)
class Verdict:
    """Whether a layer is fast on a target: `fast`, `dense` (runs, masks save nothing there), or `no`; and why."""

    target: str
    status: str
    reason: str


def describe(model: Model, baseline: Model) -> list[dict]:
    """The layers with weights: shapes now and before, sparsity, the shares of the whole, and verdicts for each
    target."""
    before = {layer["name"]: layer for layer in baseline.layers}
    taken: dict[str, set[int]] = {}
    found, seen = [], set()
    for layer in model.layers:
        if not layer["shape"] or layer["name"] in seen:
            continue
        seen.add(layer["name"])
        mask = model.source.masks.get(layer["name"])
        verdicts = [_cpu(layer, target, model, taken.setdefault(target, set())) for target in model.choices]
        if layer["prunable"] and len(layer["shape"]) > 1:
            verdicts.append(tensor_core(model.source.constants.get(layer["name"])))
        elif not layer["prunable"]:
            verdicts = []
        found.append({
            "name": layer["name"], "kind": layer["kind"], "shape": layer["shape"],
            "baseline_shape": before.get(layer["name"], {}).get("shape"), "parameters": layer["parameters"],
            "parameter_share": layer["parameter_share"], "flop_share": layer["flop_share"],
            "prunable": layer["prunable"], "reason": layer.get("reason", ""),
            "pattern": mask.pattern if mask else None, "sparsity": layer.get("sparsity") or 0.0,
            "compatibility": [asdict(v) for v in verdicts]})
    return found


def _cpu(layer: Mapping, target: str, model: Model, taken: set[int]) -> Verdict:
    """What the compiler chose."""
    choices = model.choices[target]
    place = find_choice(layer, choices, model.source.constants, taken)
    masked = layer["name"] in model.source.masks
    if place is None:
        return Verdict(target, "dense", "no fast kernel for this here: the compiler keeps its loops dense"
                       if masked else
                       "no mask: dense code")
    chosen = choices[place]["choice"]
    return Verdict(target, "dense" if chosen.startswith("dense") else "fast", chosen)


def find_choice(layer: Mapping, choices: Sequence[Mapping], known: Container[str], taken: set[int]) -> int | None:
    """Which of the compiler's choices is for a layer; it is then `taken`. Weights too small for a resource are called
    after their form there, by a name that is not `known`, so the shape decides."""
    shape = layer["shape"][0], int(np.prod(layer["shape"][1:]))
    place = next((i for i, c in enumerate(choices) if i not in taken and c["name"] == layer["name"]), None)
    if place is None:
        place = next((i for i, c in enumerate(choices) if i not in taken and (c["rows"], c["columns"]) == shape
                      and c["name"] not in known), None)
    if place is not None:
        taken.add(place)
    return place


def tensor_core(weight: np.ndarray | None) -> Verdict:
    """Whether a GPU with 2:4 instructions could skip half of a weight: its zeros and its sizes, not what was asked
    for."""
    target = "2:4 GPU"
    if weight is None:
        return Verdict(target, "no", "the weight is not a constant of this name")
    matrix = weight.reshape(len(weight), -1)
    (rows, columns), unit = matrix.shape, f"{TENSOR_CORE_ROWS}x{TENSOR_CORE_COLUMNS}"
    padded = np.pad(matrix != 0, ((0, 0), (0, -columns % GROUP)))
    most = padded.reshape(rows, -1, GROUP).sum(axis=2)
    bad = np.argwhere(most > KEPT)
    if len(bad):
        row, group = map(int, bad[0])
        return Verdict(target, "dense", f"not 2:4: {int(most[row, group])} nonzeros at row {row}, columns "
                       f"{GROUP * group} to {min(columns, GROUP * group + GROUP) - 1}")
    if rows % TENSOR_CORE_ROWS or columns % TENSOR_CORE_COLUMNS:
        return Verdict(target, "no", f"2:4, but {rows}x{columns} is not a multiple of {unit}")
    return Verdict(target, "fast",
                   f"2:4, and {rows}x{columns} is a multiple of {unit}: legal; prune-to-gpu takes it in f16 and bf16, "
                   "not measured here")


def same_values(model: Model, baseline: Model) -> tuple[int, int]:
    """Masked or other weights of the same name and shape as in the baseline: how many, and in how many of them a kept
    element has another value."""
    common = changed = 0
    for name, now in model.source.constants.items():
        before = baseline.source.constants.get(name)
        if before is not None and before.shape == now.shape and now.dtype.kind == "f":
            kept = now != 0
            common += 1
            changed += not np.array_equal(now[kept], before[kept])
    return common, changed
