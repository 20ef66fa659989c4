"""`prune gradients` against NumPy, and the criteria taylor and fisher by what it writes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret
from calibration import layers

ROWS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A net of two layers, examples, and its gradients by hand."""
    folder = tmp_path_factory.mktemp("gradients")
    random = np.random.default_rng(2)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((12, 6), (3, 12)))
    x, y = (random.standard_normal((3 * ROWS + 2, n)).astype(np.float32) for n in (6, 3))
    (folder / "model.mlir").write_text(layers.linear_chain({"a": a, "b": b}, ROWS))
    np.savez(folder / "x.npz", x=x, target=y)
    found = {"a": [], "b": []}
    for begin in range(0, 3 * ROWS, ROWS):
        rows, wanted = x[begin:begin + ROWS].astype(np.float64), y[begin:begin + ROWS].astype(np.float64)
        hidden = np.maximum(rows @ a.T.astype(np.float64), 0)
        error = 2 * (hidden @ b.T - wanted) / wanted.size
        found["b"].append(error.T @ hidden)
        found["a"].append(((error @ b) * (hidden > 0)).T @ rows)
    return folder, {"a": a, "b": b}, {n: np.array(g) for n, g in found.items()}


@pytest.fixture(scope="module")
def written(model, run_cli):
    folder, _, _ = model
    finished = run_cli("gradients", folder / "model.mlir", "-o", folder / "g.npz", f"--data={folder}/x.npz", "--training=loss=mse")
    assert finished.returncode == 0, finished.stderr
    assert "means over 3 batches" in finished.stderr
    return folder / "g.npz"


def test_gradients_are_those_of_numpy(model, written):
    _, weights, gradients = model
    with np.load(written) as found:
        assert set(found.files) == {"a", "b", "a:squared", "b:squared"}
        for name in weights:
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], gradients[name].mean(axis=0), atol=1e-5)
            np.testing.assert_allclose(found[f"{name}:squared"], np.square(gradients[name]).mean(axis=0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("criterion", ["taylor", "fisher"])
def test_masks_by_gradients(tools, model, written, criterion):
    folder, weights, _ = model
    finished = subprocess.run(
        [tools / "prune-opt", folder / "model.mlir", f"--prune=criterion={criterion} sparsity=0.6 gradients={written}",
         *interpret.GENERIC], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    module = interpret.Module(finished.stdout)
    masks = {interpret.ir.StringAttr(op.attributes["name"]).value: module.value_of(op.operands[1])
             for op in module.walk("prune.apply")}
    with np.load(written) as found:
        for name, weight in weights.items():
            score = np.abs(weight * found[name]) if criterion == "taylor" else weight ** 2 * found[f"{name}:squared"] / 2
            # Of equal scores the lower index stays.
            order = np.lexsort((-np.arange(weight.size), score.ravel()))
            keep = np.ones(weight.size, bool)
            keep[order[:round(0.6 * weight.size)]] = False
            np.testing.assert_array_equal(masks[name].ravel(), keep)


@pytest.mark.parametrize("edit, message", [
    (lambda g: g.pop("b"), "has no gradient of 'b' among its 3 tensors"),
    (lambda g: g.update(b=g["b"].T), "the gradient of 'b' is [12, 3], the weight [3, 12]"),
    (lambda g: g.update(b=np.where(np.arange(36).reshape(3, 12) == 14, np.nan, g["b"])), "holds NaN at index [1, 2]"),
    (lambda g: g.update(a=np.ones((12, 6), np.int32)), "'a' is int32, expected floats")])
def test_wrong_gradients_are_one_error(tools, model, written, tmp_path, edit, message):
    with np.load(written) as found:
        arrays = dict(found)
    edit(arrays)
    np.savez(tmp_path / "g.npz", **arrays)
    finished = subprocess.run(
        [tools / "prune-opt", model[0] / "model.mlir", f"--prune=criterion=taylor sparsity=0.5 gradients={tmp_path}/g.npz",
         "-o", tmp_path / "out.mlir"], capture_output=True, text=True)
    assert finished.returncode == 1 and finished.stderr.count("error:") == 1 and message in finished.stderr
    assert not (tmp_path / "out.mlir").exists()


def test_without_gradients_masks_wait(tools, model):
    finished = subprocess.run(
        [tools / "prune-opt", model[0] / "model.mlir", "--prune-create-masks=criterion=fisher sparsity=0.5", "--prune-evaluate-masks",
         "--remarks-filter=masks", "--remark-format=emitRemark"], capture_output=True, text=True)
    assert finished.returncode == 0 and "criterion fisher needs gradients=FILE" in finished.stderr
    assert finished.stdout.count("prune.mask ") == 2


@pytest.mark.parametrize("arguments, message", [
    (["-o", "{}/g.txt"], "a .npz file"), (["--batches=-1"], "--batches: range: got -1"),
    (["--training=loss=mse entry=none"], "expected a function"), (["--training=loss=cross-entropy"], "no 'labels'")])
def test_wrong_use_is_one_line(model, run_cli, arguments, message):
    folder, _, _ = model
    given = [argument.format(folder) for argument in arguments]
    output = [] if "-o" in given else ["-o", folder / "none.npz"]
    finished = run_cli("gradients", folder / "model.mlir", f"--data={folder}/x.npz", *output, *given)
    assert finished.returncode == 1 and finished.stderr.count("\n") == 1 and message in finished.stderr, finished.stderr
    assert not (folder / "none.npz").exists()


def test_too_few_examples(model, run_cli, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((ROWS - 1, 6), np.float32), target=np.ones((ROWS - 1, 3), np.float32))
    finished = run_cli("gradients", model[0] / "model.mlir", "-o", tmp_path / "g.npz", f"--data={tmp_path}/x.npz", "--training=loss=mse")
    assert finished.returncode == 1 and f"at least the {ROWS} of a batch" in finished.stderr
