"""What a layer costs at a sparsity, before anything is measured: operations, stored bytes, time by the cost model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Container, Mapping, Sequence

import numpy as np

from prune.evaluate.layers import find_choice
from prune.search.allocate import Candidate

LATENCY, SIZE, FLOPS = "latency", "size", "flops"
KINDS = (LATENCY, SIZE, FLOPS)
# Bytes of an element and of the place of a unit in the storage of a sparse weight.
_ELEMENT, _PLACE = 4, 2
# What the compiler calls code that multiplies by all elements.
_DENSE = ("dense", "contract", "convolution", "depthwise")
# Distance of two sparsities that are tried.
GRID = 0.01
# N:m patterns impose their sparsity: 2:4, 64:2:8, transposable:2:4.
_N_OF_M = re.compile(r"(transposable:)?\d+:\d+(:\d+)?")
_COLUMN_BLOCK = re.compile(r"(\d+)x1")


@dataclass(frozen=True)
class Times:
    """Microseconds of a layer by the cost model: dense, and sparse at the sparsities of the curves (None: there is no
    sparse code for it)."""

    dense: float
    sparse: tuple[float, ...] | None


def best_times(layers: Sequence[Mapping], choices: Sequence[Mapping],
               known: Container[str]) -> dict[str, tuple[float, float]]:
    """Least estimated microseconds of each layer in the compiler's report, sparse and dense; layers that share a weight
    added up."""
    taken: set[int] = set()
    found: dict[str, tuple[float, float]] = {}
    for layer in layers:
        place = find_choice(layer, choices, known, taken) if layer["prunable"] else None
        if place is None:
            continue
        sparse, dense = found.get(layer["name"], (0.0, 0.0))
        kinds: tuple[list[float], list[float]] = [], []
        for candidate in choices[place]["candidates"]:
            kinds[candidate["kernel"] in _DENSE].append(candidate["estimated_us"])
        found[layer["name"]] = sparse + min(kinds[0], default=np.inf), dense + min(kinds[1], default=np.inf)
    return found


def times(curves: Mapping, levels: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, Times]:
    """Of all layers of the curves; `levels` are `best_times` at each of their sparsities. Layers that the compiler has no
    choice for take as long for an operation as the others do, and gain nothing."""
    known = [layer for layer in curves["layers"] if np.isfinite(levels[0].get(layer["name"], (0, np.inf))[1])]
    operations = sum(layer["flops"] for layer in known)
    rate = sum(levels[0][layer["name"]][1] for layer in known) / operations if operations else 1e-5
    found = {}
    for layer in curves["layers"]:
        name, dense = layer["name"], rate * layer["flops"]
        if layer in known:
            sparse = tuple(level.get(name, (np.inf, np.inf))[0] for level in levels)
            sparse = sparse if np.isfinite(sparse).all() else None
            found[name] = Times(levels[0][name][1], sparse)
        else:
            found[name] = Times(dense, None)
    return found


def candidates(kind: str, curves: Mapping, found: Mapping[str, Times]) -> dict[str, list[Candidate]]:
    """What each layer may become, by rising sparsity, with its loss and its cost of this kind."""
    result = {}
    for layer in curves["layers"]:
        own = found[layer["name"]]
        losses = np.maximum.accumulate([0.0, *(p[curves["measure"]]["mean"] for p in layer["points"])])
        places = [0.0, *curves["sparsities"]]
        result[layer["name"]] = [
            Candidate(s, float(np.interp(s, places, losses)),
                      cost(kind, layer, own, s, curves["sparsities"], curves["pattern"]))
            for s in (0.0, *grid(curves["sparsities"], curves["pattern"]))]
    return result


def grid(sparsities: Sequence[float], pattern: str) -> list[float]:
    """The sparsities to choose from: up to the largest that was measured; of n:m patterns those that were."""
    if _N_OF_M.fullmatch(pattern):
        return list(sparsities)
    return [round(GRID * i, 10) for i in range(1, int(round(sparsities[-1] / GRID)) + 1)]


def cost(kind: str, layer: Mapping, own: Times, sparsity: float, sparsities: Sequence[float], pattern: str) -> float:
    """Of one layer: operations, bytes or microseconds."""
    if kind == FLOPS:
        return layer["flops"] * (1 - sparsity)
    # Between two sparsities that the model was asked for it is a line; below the first no sparse code is counted on.
    sparse = np.inf
    if own.sparse is not None and sparsity >= sparsities[0]:
        sparse = float(np.interp(sparsity, sparsities, own.sparse))
    if kind == LATENCY:
        return min(own.dense, sparse)
    whole = _ELEMENT * layer["parameters"]
    if sparse >= own.dense:
        return whole
    block = _COLUMN_BLOCK.fullmatch(pattern)
    return layer["parameters"] * (1 - sparsity) * (_ELEMENT + _PLACE / (int(block[1]) if block else 1))
