"""`prune gradients` against NumPy, and the criteria taylor, fisher and obs by what it writes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret
from calibration import layers, oracle
from prune.train.fisher import WAITING, BlockSize, FisherBlocks

ROWS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A net of two layers, examples, and its gradients by hand."""
    folder = tmp_path_factory.mktemp("gradients")
    random = np.random.default_rng(2)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((12, 6), (3, 12)))
    x, y = (random.standard_normal((3 * ROWS + 2, n)).astype(np.float32) for n in (6, 3))
    for name, rows in (("model", ROWS), ("single", 1)):
        (folder / f"{name}.mlir").write_text(layers.linear_chain({"a": a, "b": b}, rows))
    np.savez(folder / "x.npz", x=x, target=y)
    return folder, {"a": a, "b": b}, gradients_of({"a": a, "b": b}, x, y, ROWS)


def gradients_of(weights, x, y, size) -> dict[str, np.ndarray]:
    """Those of the mean square of batches, [batches, ...], as far as examples fill them."""
    found = {"a": [], "b": []}
    for begin in range(0, len(x) - size + 1, size):
        rows, wanted = x[begin:begin + size].astype(np.float64), y[begin:begin + size].astype(np.float64)
        hidden = np.maximum(rows @ weights["a"].T.astype(np.float64), 0)
        error = 2 * (hidden @ weights["b"].T - wanted) / wanted.size
        found["b"].append(error.T @ hidden)
        found["a"].append(((error @ weights["b"]) * (hidden > 0)).T @ rows)
    return {n: np.array(g) for n, g in found.items()}


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


@pytest.mark.parametrize("size, shape", [("50", (2, 50, 50)), ("4x5", (3, 2, 4, 5, 4, 5))])
def test_fisher_blocks_are_those_of_numpy(tools, model, run_cli, tmp_path, size, shape):
    """And OBS by them is OBS by the gradients, on a real loss."""
    folder, weights, _ = model
    finished = run_cli("gradients", folder / "single.mlir", "-o", tmp_path / "g.npz", f"--data={folder}/x.npz",
                       "--training=loss=mse", f"--fisher-block={size}")
    assert finished.returncode == 0 and f"Fisher blocks of {size}: 0." in finished.stderr, finished.stderr
    with np.load(folder / "x.npz") as data:
        gradients = gradients_of(weights, data["x"], data["target"], 1)
    with np.load(tmp_path / "g.npz") as found:
        assert set(found.files) == {f"{n}{kind}" for n in "ab" for kind in ("", ":squared", ":fisher")}
        assert found["a:fisher"].shape == shape and found["a:fisher"].dtype == np.float64
        for name, g in gradients.items():
            flat, blocks = g.reshape(len(g), -1), oracle.fisher_blocks(g.shape[1:], size)
            # Elements that are there; the others are zero.
            count = np.prod(shape[-3:]) if "x" in size else shape[-1]
            array = found[f"{name}:fisher"].reshape(len(blocks), count if "x" not in size else 20, -1)
            total = 0.0
            for block, square in zip(blocks, array):
                rows, columns = divmod(block - block[0], g.shape[2]) if "x" in size else (0, block - block[0])
                inside = rows * 5 + columns
                np.testing.assert_allclose(square[np.ix_(inside, inside)], flat[:, block].T @ flat[:, block] / len(g), atol=1e-5)
                total += np.abs(square[np.ix_(inside, inside)]).sum()
            assert np.abs(array).sum() == pytest.approx(total)
    finished = subprocess.run(
        [tools / "prune-opt", folder / "model.mlir", f"--prune=criterion=obs:0.001 sparsity=0.5 gradients={tmp_path}/g.npz",
         *interpret.GENERIC], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    module = interpret.Module(finished.stdout)
    for op in module.walk("prune.apply"):
        name = interpret.ir.StringAttr(op.attributes["name"]).value
        keep, expected, _ = oracle.obs(weights[name], gradients[name], size, "unstructured", 0.5, 0.001)
        np.testing.assert_array_equal(module.value_of(op.operands[1]), keep)
        np.testing.assert_allclose(module.value_of(op.operands[0]), expected, atol=1e-4)


def test_blocks_that_do_not_fit_in_memory_come_in_parts(model, run_cli, tmp_path):
    """Two weights of 72 and 36 elements, 464 bytes each: together, or one after the other. The file is the same."""
    folder, _, _ = model
    for memory, passes in (("1", 1), ("4e-5", 2), ("1e-9", 2)):
        finished = run_cli("gradients", folder / "single.mlir", "-o", tmp_path / f"{memory}.npz", f"--data={folder}/x.npz",
                           "--training=loss=mse", "--fisher-block=50", f"--fisher-memory={memory}", "--batches=5")
        assert finished.returncode == 0 and f"passes over the examples: {passes}\n" in finished.stderr, finished.stderr
        assert (tmp_path / f"{memory}.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_many_examples_add_up():
    """More gradients than wait, blocks that do not divide the weight."""
    random = np.random.default_rng(3)
    for size in ("7", "3x4"):
        blocks = FisherBlocks((8, 3, 3), BlockSize.parse(size))
        gradients = random.standard_normal((2 * WAITING + 5, 8, 9)).astype(np.float32)
        for gradient in gradients:
            blocks.add(gradient.reshape(8, 3, 3))
        mean, flat = blocks.mean(len(gradients)), gradients.reshape(len(gradients), -1).astype(np.float64)
        full = flat.T @ flat / len(flat)
        if size == "7":
            np.testing.assert_allclose(mean[1], full[7:14, 7:14], rtol=1e-12)
            np.testing.assert_allclose(mean[10, :2, :2], full[70:, 70:], rtol=1e-12)
            assert mean.shape == (11, 7, 7) and not mean[10, 2:].any()
        else:
            rows, columns = np.divmod(np.arange(4), 4)[0] + 6, np.arange(4) + 4
            np.testing.assert_allclose(mean[2, 1, 0, :, 0, :], full[np.ix_(rows * 9 + columns, rows * 9 + columns)], rtol=1e-12)
            assert mean.shape == (3, 3, 3, 4, 3, 4) and not mean[2, 0, 2].any() and not mean[0, 2, :, 1:].any()


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
    (["--training=loss=mse entry=none"], "expected a function"), (["--fisher-block=0"], "--fisher-block: size: got '0'"),
    (["--fisher-block=65x64"], "of at most 4096 elements"),
    (["--fisher-memory=0"], "--fisher-memory: range: got 0, expected more than 0"),
    (["--training=loss=mse", "--fisher-block=50"], "--fisher-block: batch of the model: got 8, expected 1"), (["--training=loss=cross-entropy"], "no 'labels'")])
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
