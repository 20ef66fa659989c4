"""SparseGPT, Wanda, OBS, FPGM and LAMP on random 64 x 256 matrices against float64 NumPy written from the papers' statements:
the same masks, weights within 1e-5. What else these criteria do is tested beside what does it (test_calibrate.py,
test_layer_split.py, GroupScoresTest.cpp)."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

import interpret
import test_layer_split
from calibration import layers, oracle
from calibration.layers import calibrate, check, correlated

SHAPE = 64, 256


def draw(seed: int) -> tuple[np.random.Generator, np.ndarray]:
    random = np.random.default_rng(seed)
    return random, random.standard_normal(SHAPE).astype(np.float32)


def check_groups(pattern: str, keep) -> None:
    if ":" in pattern:
        n, m = map(int, pattern.split(":"))
        assert (keep.reshape(len(keep), -1, m).sum(axis=2) <= n).all()


def decide(tools, folder, weights, create, evaluate="") -> tuple[dict, dict, str]:
    """Masks, weights and remarks of layers one after the other."""
    (folder / "m.mlir").write_text(layers.linear_chain(weights, 1))
    finished = subprocess.run(
        [tools / "prune-opt", folder / "m.mlir", *create, f"--prune-evaluate-masks={evaluate}", "--prune-verify-masks",
         "--remarks-filter=masks", "--remark-format=emitRemark", *interpret.GENERIC], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    module, masks, found = interpret.Module(finished.stdout), {}, {}
    for op in module.walk("prune.apply"):
        name = interpret.ir.StringAttr(op.attributes["name"]).value
        found[name], masks[name] = map(module.value_of, op.operands)
    return masks, found, finished.stderr


@pytest.mark.parametrize("pattern, sparsity, extra", [
    ("unstructured", 0.6, ""), ("unstructured", 0.95, ""), ("2:4", None, ""), ("4:8", None, ""), ("2:4", 0.7, ""),
    ("4x1", 0.5, ""), ("2x2", 0.8, ""), ("unstructured", 0.6, "column-counts=ranked"), ("2:4", 0.7, "column-counts=ranked"),
    ("4x1", 0.5, "column-counts=ranked"), ("unstructured", 0.6, "refit=true"), ("2:4", None, "refit=true"),
    ("4x1", 0.5, "refit=true column-counts=ranked")])
def test_sparsegpt(tools, tmp_path, pattern, sparsity, extra):
    random, weight = draw(5)
    x = correlated(random, 512, 256)
    target = "" if sparsity is None else f" sparsity={sparsity}"
    result = calibrate(tools, tmp_path, weight, x, 64, f"criterion=sparsegpt pattern={pattern}{target}", extra)
    keep, expected = oracle.sparsegpt(weight, [x], pattern, sparsity, ranked="ranked" in extra, refit="refit" in extra)
    check(result, keep, expected)
    check_groups(pattern, keep)
    (by_mask, updated), = result.errors()
    assert by_mask == pytest.approx(oracle.squared_error(weight, weight * keep, x), rel=1e-4)
    assert updated == pytest.approx(oracle.squared_error(weight, expected, x), rel=1e-4)
    assert updated < by_mask


@pytest.mark.parametrize("pattern, sparsity", [("unstructured", 0.6), ("unstructured", 0.333), ("4x1", 0.7)])
def test_wanda(tools, tmp_path, pattern, sparsity):
    random, weight = draw(10)
    x = correlated(random, 64, 256)
    x[:, ::7] *= 4
    result = calibrate(tools, tmp_path, weight, x, 16, f"criterion=wanda pattern={pattern} sparsity={sparsity}")
    keep = oracle.wanda(weight, x, pattern, sparsity)
    np.testing.assert_array_equal(result.masks["w"], keep)
    np.testing.assert_array_equal(result.weights["w"], weight)  # the mask does the rest


def gradients_of(random, examples, shape=SHAPE) -> np.ndarray:
    """Gradients of single examples that depend on each other, as those of a layer do."""
    outputs, inputs = random.standard_normal((examples, shape[0])), random.standard_normal((examples, shape[1]))
    inputs[:, 1:] += inputs[:, :-1]
    outputs[:, 1:] += outputs[:, :-1]
    return outputs[:, :, None] * inputs[:, None]


def write_fisher(path, gradients: dict[str, np.ndarray], size: str) -> None:
    """The file that `prune gradients --fisher-block` would write."""
    arrays = {}
    for name, g in gradients.items():
        high, wide = map(int, size.split("x")) if "x" in size else (1, int(size))
        blocks = oracle.fisher_blocks(g.shape[1:], size)
        grid = (-(-g.shape[1] // high), -(-g.shape[2] // wide)) if "x" in size else (len(blocks),)
        flat, found = g.reshape(len(g), -1), np.zeros((len(blocks), high * wide, high * wide))
        for place, block in zip(found, blocks):
            first = block[0]
            rows, columns = divmod(block - first, g.shape[2]) if "x" in size else (0, block - first)
            inside = rows * wide + columns
            place[np.ix_(inside, inside)] = flat[:, block].T @ flat[:, block] / len(g)
        arrays[f"{name}:fisher"] = found.reshape(*grid, *((high, wide) * 2 if "x" in size else found.shape[1:]))
    np.savez(path, **arrays)


@pytest.mark.parametrize("pattern, sparsity, size, examples, extra", [
    ("unstructured", 0.5, "50", 96, ""), ("unstructured", 0.9, "50", 24, ""), ("unstructured", 0.5, "4x12", 60, ""),
    ("2:4", None, "50", 96, ""), ("4:8", None, "50", 24, ""), ("2:4", 0.7, "50", 96, ""), ("4x1", 0.5, "4x12", 24, ""),
    ("2x2", 0.8, "4x10", 96, ""), ("1x4", 0.5, "48", 60, ""), ("unstructured", 0.5, "50", 96, "refit"),
    ("2:4", None, "50", 24, "refit"), ("4x1", 0.8, "4x12", 60, "refit")])
def test_obs(tools, tmp_path, pattern, sparsity, size, examples, extra):
    """Blocks of more elements than examples are positive definite by the damping alone."""
    random, weight = draw(21)
    gradients = gradients_of(random, examples)
    write_fisher(tmp_path / "g.npz", {"w": gradients}, size)
    target = "" if sparsity is None else f" sparsity={sparsity}"
    masks, weights, remarks = decide(
        tools, tmp_path, {"w": weight}, [f"--prune-create-masks=criterion=obs pattern={pattern}{target}"],
        f"gradients={tmp_path}/g.npz" + (" refit=true" if extra else ""))
    keep, expected, _ = oracle.obs(weight, gradients, size, pattern, sparsity, refit=bool(extra))
    np.testing.assert_array_equal(masks["w"], keep)
    np.testing.assert_allclose(weights["w"], expected, rtol=1e-6, atol=1e-5)
    assert not weights["w"][~keep].view(np.uint32).any()  # +0.0
    check_groups(pattern, keep)
    # What the remark says of the loss is 1/2 dᵀ F d over the examples, by blocks.
    by_mask, updated = map(float, re.search(r"loss up by (\S+) by the mask alone, (\S+) with", remarks).groups())
    for figure, after in ((by_mask, weight * keep), (updated, expected)):
        change = (after - weight).ravel()
        along = [gradients.reshape(examples, -1)[:, block] @ change[block] for block in oracle.fisher_blocks(SHAPE, size)]
        assert figure == pytest.approx(np.square(along).sum() / examples / 2, rel=1e-4, abs=1e-6)
    if extra:
        assert updated < by_mask


def test_obs_damping_and_global_scope(tools, tmp_path):
    """Scores of two weights compete as they are; the damping is part of the criterion."""
    random, a = draw(22)
    weights = {"a": a, "b": random.standard_normal((32, 64)).astype(np.float32)}
    gradients = {name: gradients_of(random, 80, w.shape) * (1 if name == "a" else 0.3) for name, w in weights.items()}
    write_fisher(tmp_path / "g.npz", gradients, "50")
    masks, found, _ = decide(tools, tmp_path, weights, ["--prune-create-masks=criterion=obs:0.01 sparsity=0.7 scope=global"],
                             f"gradients={tmp_path}/g.npz")
    scores = [oracle.obs(w, gradients[n], "50", "unstructured", 0.5, 0.01)[2].ravel() for n, w in weights.items()]
    pruned = oracle.lowest(np.concatenate(scores), round(0.7 * (a.size + weights["b"].size)))
    for name, prunes in zip(weights, np.split(pruned, [a.size])):
        shape = weights[name].shape
        keep, expected, _ = oracle.obs(weights[name], gradients[name], "50", "unstructured", None, 0.01,
                                       prunes=prunes.reshape(shape))
        np.testing.assert_array_equal(masks[name], keep)
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-5)
    assert masks["a"].mean() > 1.5 * masks["b"].mean()


@pytest.mark.parametrize("size, shape", [("50", (7, 23)), ("4x12", (10, 30)), ("9", (2, 3))])
def test_obs_at_ragged_edges_and_on_any_number_of_threads(tools, tmp_path, size, shape):
    random = np.random.default_rng(23)
    weight, gradients = random.standard_normal(shape).astype(np.float32), gradients_of(random, 60, shape)
    write_fisher(tmp_path / "g.npz", {"w": gradients}, size)
    results = [decide(tools, tmp_path, {"w": weight}, ["--prune-create-masks=criterion=obs sparsity=0.5"],
                      f"gradients={tmp_path}/g.npz threads={threads}") for threads in (1, 2, 5)]
    keep, expected, _ = oracle.obs(weight, gradients, size, "unstructured", 0.5)
    np.testing.assert_array_equal(results[0][0]["w"], keep)
    np.testing.assert_allclose(results[0][1]["w"], expected, rtol=1e-6, atol=1e-5)
    assert all(result[1]["w"].tobytes() == results[0][1]["w"].tobytes() for result in results)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.8125])
def test_fpgm(tools, tmp_path, ratio):
    """The neurons with the least sum of distances to all others go, and what reads them."""
    random, weight = draw(24)
    weight[1::4] = weight[::4] * 1.5 + 0.1 * weight[1::4]  # some are close to others
    reader = random.standard_normal((3, 64)).astype(np.float32)
    (tmp_path / "m.mlir").write_text(layers.linear_chain({"w": weight, "reader": reader}, 1))
    finished = subprocess.run(
        [tools / "prune-opt", tmp_path / "m.mlir", f"--prune-select-groups=criterion=fpgm ratio={ratio} round-to=1",
         *interpret.GENERIC], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    module = interpret.Module(finished.stdout)
    masks = {op.operands[0]: module.value_of(op.operands[1]) for op in module.walk("prune.apply")}
    w = weight.astype(np.float64)
    scores = np.sqrt(np.square(w[:, None] - w[None]).sum(axis=2)).sum(axis=1)
    keep = ~oracle.lowest(scores, round(ratio * 64))
    by_shape = {mask.shape: mask for mask in masks.values()}
    np.testing.assert_array_equal(by_shape[SHAPE], np.repeat(keep[:, None], 256, axis=1))
    np.testing.assert_array_equal(by_shape[reader.shape], np.repeat(keep[None], 3, axis=0))


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "4x1"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_lamp(tools, pattern, sparsity):
    """Two matrices of different scale, ranked by u² / sum of all that are as large."""
    random, wide = draw(25)
    weights = {"wide": wide, "large": 3 * random.standard_normal(SHAPE).astype(np.float32) ** 3}
    masks = test_layer_split.prune(tools, weights, f"layer-split=lamp sparsity={sparsity} pattern={pattern}")
    for name, keep in test_layer_split.ranked(weights, sparsity, pattern, "lamp").items():
        np.testing.assert_array_equal(masks[name], keep, name)
        check_groups(pattern, keep)
