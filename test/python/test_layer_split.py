"""Layer splits against oracles in float64: how much each weight keeps (ERK, L2, LAMP), and which of its elements."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret

SHAPES = {"conv": (8, 4, 3, 3), "wide": (12, 64), "tall": (40, 12), "head": (10, 40), "tiny": (3, 4)}


def draw(kind: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    weights = {}
    for scale, (name, shape) in enumerate(SHAPES.items(), 1):
        values = random.standard_normal(shape) * scale
        weights[name] = (np.round(values) if kind == "ties" else values).astype(np.float32)
    if kind == "zeros":
        weights["tall"][...] = 0
    return weights


def module_of(weights: dict[str, np.ndarray]) -> str:
    """A function that uses each weight in a layer of its own."""
    arguments, body, resources = [], [], []
    for name, value in weights.items():
        shape = "x".join(map(str, value.shape))
        if value.ndim == 2:
            rows, columns = value.shape
            types = [f"tensor<2x{columns}xf32>", f"tensor<{shape}xf32>", f"tensor<2x{rows}xf32>"]
            op = "linalg.contract indexing_maps = [#x, #w, #y]"
        else:
            types = [f"tensor<1x{value.shape[1]}x5x5xf32>", f"tensor<{shape}xf32>", f"tensor<1x{value.shape[0]}x3x3xf32>"]
            op = "linalg.conv_2d_nchw_fchw"
        arguments += [f"%x_{name}: {types[0]}", f"%y_{name}: {types[2]}"]
        body.append(f"  %{name} = arith.constant dense_resource<{name}> : {types[1]}")
        body.append(f"  %r_{name} = {op} ins(%x_{name}, %{name} : {types[0]}, {types[1]}) "
                    f"outs(%y_{name} : {types[2]}) -> {types[2]}")
        resources.append(f'{name}: "0x04000000{value.tobytes().hex().upper()}"')
    results = [a.split(": ")[1] for a in arguments[1::2]]
    values = ", ".join(f"%r_{n}" for n in weights)
    return "\n".join([
        "#x = affine_map<(m, n, k) -> (m, k)>", "#w = affine_map<(m, n, k) -> (n, k)>",
        "#y = affine_map<(m, n, k) -> (m, n)>",
        f"func.func @main({', '.join(arguments)}) -> ({', '.join(results)}) {{", *body,
        f"  return {values} : {', '.join(results)}", "}",
        "{-# dialect_resources: { builtin: {", ",\n".join(resources), "} } #-}"])


def prune(tools, weights, options: str) -> dict[str, np.ndarray]:
    result = subprocess.run([tools / "prune-opt", "-", f"--prune-create-masks={options.split('threads')[0]}",
                             f"--prune-evaluate-masks=threads={options.partition('threads=')[2] or 1}",
                             "--mlir-print-op-generic", "--mlir-print-debuginfo"],
                            input=module_of(weights), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    module = interpret.Module(result.stdout)
    return {interpret.ir.StringAttr(op.attributes["name"]).value: module.value_of(op.operands[1])
            for op in module.walk("prune.apply")}


# Oracles

def erk_densities(weights, sparsity) -> dict[str, float]:
    """As RigL does it: the largest densities above 1 become dense until none is."""
    raw = {n: sum(w.shape) / w.size for n, w in weights.items()}
    dense = set()
    while True:
        budget = (1 - sparsity) * sum(w.size for w in weights.values()) - sum(weights[n].size for n in dense)
        scale = budget / sum(raw[n] * w.size for n, w in weights.items() if n not in dense)
        largest = max((raw[n] for n in weights if n not in dense))
        if scale * largest <= 1:
            return {n: 1.0 if n in dense else scale * raw[n] for n in weights}
        dense |= {n for n in weights if raw[n] == largest}


def units(weight, pattern) -> np.ndarray:
    matrix = np.abs(weight.reshape(len(weight), -1).astype(np.float64))
    if pattern != "4x1":
        return matrix.astype(np.float32)
    return np.array([[matrix[r:r + 4, c].mean() for c in range(matrix.shape[1])]
                     for r in range(0, len(matrix), 4)]).astype(np.float32)


def expand(kept, weight, pattern) -> np.ndarray:
    if pattern == "4x1":
        kept = np.repeat(kept, 4, axis=0)[:len(weight)]
    return kept.reshape(weight.shape)


def candidates(scores, pattern) -> np.ndarray:
    """What 2:4 leaves: the better two of four, lower ones among equals."""
    if pattern != "2:4":
        return np.ones_like(scores, bool)
    left = np.zeros_like(scores, bool)
    for row, group in np.ndindex(len(scores), -(-scores.shape[1] // 4)):
        part = scores[row, 4 * group:4 * group + 4]
        left[row, 4 * group + np.argsort(-part, kind="stable")[:2]] = True
    return left


def normalized(scores, normalization) -> np.ndarray:
    squares = scores.astype(np.float64) ** 2
    if normalization == "l2":
        norm = np.sqrt(np.cumsum(np.sort(squares)[::-1])[-1])
        return scores.astype(np.float64) / norm if norm else squares
    ordered = np.sort(squares)[::-1]
    sums = np.cumsum(ordered)
    return np.array([s / sums[np.searchsorted(-ordered, -s, side="right") - 1] if s else 0.0 for s in squares])


def ranked(weights, sparsity, pattern, normalization) -> dict[str, np.ndarray]:
    entries, kept, total = [], {}, 0
    for tensor, (name, weight) in enumerate(weights.items()):
        scores = units(weight, pattern)
        kept[name] = np.zeros(scores.shape, bool)
        total += scores.size
        left = candidates(scores, pattern).ravel()
        values = normalized(scores.ravel(), normalization)
        order = [i for i in np.lexsort((np.arange(scores.size), -scores.ravel())) if left[i]]
        # The best of each weight stays.
        entries += [(-(np.inf if rank == 0 else values[i]), tensor, rank, name, i) for rank, i in enumerate(order)]
    for *_, name, index in sorted(entries)[:total - int(np.round(sparsity * total))]:
        kept[name].flat[index] = True
    return {n: expand(kept[n], w, pattern) for n, w in weights.items()}


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.9, 0.95])
def test_erk(tools, sparsity):
    weights = draw("plain")
    masks = prune(tools, weights, f"layer-split=erk sparsity={sparsity}")
    densities = erk_densities(weights, sparsity)
    for name, weight in weights.items():
        order = np.argsort(-np.abs(weight), axis=None, kind="stable")
        keep = weight.size - int(np.round((1 - densities[name]) * weight.size))
        expected = np.zeros(weight.size, bool)
        expected[order[:keep]] = True
        np.testing.assert_array_equal(masks[name].ravel(), expected, name)
    total = sum(w.size for w in weights.values())
    assert abs(sum(m.sum() for m in masks.values()) - (1 - sparsity) * total) <= len(weights) / 2


@pytest.mark.parametrize("pattern", ["unstructured", "4x1", "2:4"])
@pytest.mark.parametrize("normalization", ["l2", "lamp"])
@pytest.mark.parametrize("kind", ["plain", "ties", "zeros"])
def test_common_rankings(tools, kind, normalization, pattern):
    weights = draw(kind)
    for sparsity in (0.6, 0.95):
        options = f"layer-split={normalization} sparsity={sparsity} pattern={pattern}"
        masks = prune(tools, weights, options)
        for name, expected in ranked(weights, sparsity, pattern, normalization).items():
            np.testing.assert_array_equal(masks[name], expected, f"{name} at {sparsity}")
        again = prune(tools, weights, options + " threads=3")
        assert all((masks[n] == again[n]).all() for n in masks)
