"""prune-compensate-groups against least squares in float64: weights behind removed units, layer by layer."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret
from calibration import layers
from calibration.layers import integers

DAMPING = 0.01


def compensate(tools, folder, module: str, x: np.ndarray, select: str, options: str = "", after=()):
    """(module, remarks) of a module whose units were selected and made up for."""
    np.savez(folder / "x.npz", x=x)
    (folder / "model.mlir").write_text(module)
    finished = subprocess.run(
        [tools / "prune-opt", folder / "model.mlir", f"--prune-select-groups={select}",
         f"--prune-compensate-groups=data={folder}/x.npz {options}", "--prune-verify-masks", *after,
         "--mlir-print-op-generic", "--mlir-print-debuginfo", "--remarks-filter=calibrate", "--remark-format=emitRemark"],
        capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return interpret.Module(finished.stdout), finished.stderr


def masked_weights(module) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and mask of each masked weight, by name and dimension."""
    found = {}
    for op in module.walk("prune.apply"):
        weight, mask = op.operands
        while weight.owner.name == "prune.apply":
            weight = weight.owner.operands[0]
        found[interpret.ir.StringAttr(op.attributes["name"]).value] = module.value_of(weight), module.value_of(mask)
    return found


def least_squares(weight, x, kept, damping=DAMPING):
    """W H[:,K] H[K,K]^-1 with H = 2/N XᵀX + damping mean(diagonal)."""
    x = x.astype(np.float64)
    gram = 2 / len(x) * x.T @ x
    gram += damping * np.diag(gram).mean() * np.eye(len(gram))
    result = np.zeros(weight.shape)
    result[:, kept] = np.linalg.solve(gram[np.ix_(kept, kept)], (weight.astype(np.float64) @ gram)[:, kept].T).T
    return result


def test_layers_make_up_for_neurons(tools, tmp_path):
    """The second hidden layer is observed with the compensated weights of the first and all of its own units alive."""
    random = np.random.default_rng(3)
    weights = {"a": random.standard_normal((24, 16)), "b": random.standard_normal((20, 24)), "c": random.standard_normal((6, 20))}
    weights = {n: w.astype(np.float32) for n, w in weights.items()}
    x = integers(random, 96, 16)
    module, remarks = compensate(tools, tmp_path, layers.linear_chain(weights, 8), x, "ratio=0.5")
    found = masked_weights(module)
    assert set(found) == {"a:0", "b:0", "b:1", "c:1"}
    np.testing.assert_array_equal(found["a:0"][0], weights["a"])
    first = found["b:1"][1].all(axis=0)
    assert first.sum() == 12 and not found["a:0"][1][~first].any()
    hidden = np.maximum(x.astype(np.float64) @ weights["a"].T, 0)
    second = found["c:1"][1].all(axis=0)
    expected = least_squares(weights["b"], hidden, first)
    np.testing.assert_allclose(found["b:1"][0], expected, atol=1e-4)
    hidden = np.maximum(hidden @ expected.T, 0)
    np.testing.assert_allclose(found["c:1"][0], least_squares(weights["c"], hidden, second), atol=1e-4)
    assert remarks.count("with the update") == 2 and "2 masks decided by 2 inputs on 96 examples" in remarks


def optimal_brain_surgeon(weight, x, units, count, damping=DAMPING):
    """Which of `units`, lists of columns, go one after the other."""
    x = x.astype(np.float64)
    gram = 2 / len(x) * x.T @ x
    inverse = np.linalg.inv(gram + damping * np.diag(gram).mean() * np.eye(len(gram)))
    weight, gone = weight.astype(np.float64), []
    for _ in range(count):
        losses = [np.trace(weight[:, u] @ np.linalg.solve(inverse[np.ix_(u, u)], weight[:, u].T)) if i not in gone else np.inf
                  for i, u in enumerate(units)]
        gone.append(int(np.argmin(losses)))
        u = units[gone[-1]]
        step = np.linalg.solve(inverse[np.ix_(u, u)], inverse[u])
        weight, inverse = weight - weight[:, u] @ step, inverse - inverse[:, u] @ step
    return sorted(gone)


def test_units_are_chosen_by_what_is_left_of_the_error(tools, tmp_path):
    """Masks and records of all members follow the choice."""
    random = np.random.default_rng(8)
    weights = {"a": random.standard_normal((24, 16)), "b": random.standard_normal((10, 24))}
    weights = {n: w.astype(np.float32) for n, w in weights.items()}
    x = integers(random, 96, 16)
    text = layers.linear_chain(weights, 8)
    module, remarks = compensate(tools, tmp_path, text, x, "ratio=0.5", "units=obs")
    found = masked_weights(module)
    hidden = np.maximum(x.astype(np.float64) @ weights["a"].T, 0)
    gone = optimal_brain_surgeon(weights["b"], hidden, [[i] for i in range(24)], 12)
    kept = np.setdiff1d(np.arange(24), gone)
    np.testing.assert_array_equal(np.flatnonzero(found["b:1"][1].all(axis=0)), kept)
    np.testing.assert_array_equal(np.flatnonzero(found["a:0"][1].all(axis=1)), kept)
    np.testing.assert_allclose(found["b:1"][0], least_squares(weights["b"], hidden, kept), atol=1e-4)
    by_norm = masked_weights(compensate(tools, tmp_path, text, x, "ratio=0.5")[0])["b:1"][1]
    assert not np.array_equal(by_norm, found["b:1"][1])
    shrunk, _ = compensate(tools, tmp_path, text, x, "ratio=0.5", "units=obs", ["--prune-shrink=check-equivalence"])
    assert not list(shrunk.walk("prune.apply")) and not list(shrunk.walk("prune.record"))


def test_channels_are_chosen_whole(tools, tmp_path):
    """Channels of a convolution have nine columns each."""
    random = np.random.default_rng(9)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((8, 2, 1, 1), (3, 8, 3, 3)))
    x = integers(random, 24, 2, 6, 6)
    module, _ = compensate(tools, tmp_path, convolutions(a, b, 1), x, "ratio=0.5 round-to=1", "units=obs")
    rows = windows_of(x, a, 1)
    gone = optimal_brain_surgeon(b.reshape(3, -1), rows, [list(range(9 * i, 9 * i + 9)) for i in range(8)], 4)
    found = masked_weights(module)
    np.testing.assert_array_equal(np.flatnonzero(~found["b:1"][1].any(axis=(0, 2, 3))), gone)
    np.testing.assert_array_equal(np.flatnonzero(~found["a:0"][1].any(axis=(1, 2, 3))), gone)


def test_shrunk_model_is_nearer(tools, tmp_path):
    """What is left computes what the masked model computes, and that is nearer to the dense one than without."""
    random = np.random.default_rng(4)
    weights = {"a": random.standard_normal((32, 8)).astype(np.float32), "b": random.standard_normal((4, 32)).astype(np.float32)}
    x = integers(random, 128, 8)
    text = layers.linear_chain(weights, 128)
    module, _ = compensate(tools, tmp_path, text, x, "ratio=0.5", after=["--prune-shrink=check-equivalence", "--linalg-generalize-named-ops"])
    dense = np.maximum(x @ weights["a"].T, 0) @ weights["b"].T
    kept = np.sort(np.argsort(-sum(np.linalg.norm(w, axis=axis) / np.linalg.norm(w, axis=axis).mean()
                                   for w, axis in ((weights["a"], 1), (weights["b"], 0))), kind="stable")[:16])
    plain = np.maximum(x @ weights["a"][kept].T, 0) @ weights["b"][:, kept].T
    (result,) = module.call("main", x)
    error, plain_error = (np.square(y - dense).mean() / np.square(dense).mean() for y in (result, plain))
    assert error < 0.5 * plain_error


def convolutions(a, b, stride) -> str:
    """relu of a 1x1 convolution, then a 3x3 one."""
    side = (6 - 3) // stride + 1
    return f'''
func.func @main(%x: tensor<4x2x6x6xf32> {{prune.name = "x"}}) -> tensor<4x3x{side}x{side}xf32> {{
  %zero = arith.constant 0.0 : f32
  %a = arith.constant dense_resource<a> : tensor<8x2x1x1xf32>
  %b = arith.constant dense_resource<b> : tensor<3x8x3x3xf32>
  %z = arith.constant dense<0.0> : tensor<4x8x6x6xf32>
  %e0 = tensor.empty() : tensor<4x8x6x6xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<4x8x6x6xf32>) -> tensor<4x8x6x6xf32>
  %y0 = linalg.conv_2d_nchw_fchw {{{layers.CONV.format(d=1, s=1)}}} ins(%x, %a : tensor<4x2x6x6xf32>, tensor<8x2x1x1xf32>)
      outs(%f0 : tensor<4x8x6x6xf32>) -> tensor<4x8x6x6xf32>
  %r = arith.maximumf %y0, %z : tensor<4x8x6x6xf32>
  %e1 = tensor.empty() : tensor<4x3x{side}x{side}xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4x3x{side}x{side}xf32>) -> tensor<4x3x{side}x{side}xf32>
  %y1 = linalg.conv_2d_nchw_fchw {{{layers.CONV.format(d=1, s=stride)}}} ins(%r, %b : tensor<4x8x6x6xf32>, tensor<3x8x3x3xf32>)
      outs(%f1 : tensor<4x3x{side}x{side}xf32>) -> tensor<4x3x{side}x{side}xf32>
  return %y1 : tensor<4x3x{side}x{side}xf32>
}}
''' + layers.resources({"a": a, "b": b})


def windows_of(x, a, stride) -> np.ndarray:
    """The rows that the second convolution multiplies."""
    hidden = np.maximum(np.einsum("nchw,fc->nfhw", x, a[:, :, 0, 0]), 0)
    windows = np.lib.stride_tricks.sliding_window_view(hidden, (3, 3), (2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, len(a) * 9)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_make_up_for_channels(tools, tmp_path, stride):
    random = np.random.default_rng(5)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((8, 2, 1, 1), (3, 8, 3, 3)))
    x = integers(random, 24, 2, 6, 6)
    module, _ = compensate(tools, tmp_path, convolutions(a, b, stride), x, "ratio=0.5 round-to=1")
    weight, mask = masked_weights(module)["b:1"]
    channels = mask.all(axis=(0, 2, 3))
    assert channels.sum() == 4
    expected = least_squares(b.reshape(3, -1), windows_of(x, a, stride), np.repeat(channels, 9))
    np.testing.assert_allclose(weight.reshape(3, -1), expected, atol=1e-4)


def test_pipeline(tools, tmp_path):
    """prune-structured does the same as the passes."""
    random = np.random.default_rng(10)
    weights = {"a": random.standard_normal((24, 16)).astype(np.float32), "b": random.standard_normal((10, 24)).astype(np.float32)}
    x = integers(random, 96, 16)
    text = layers.linear_chain(weights, 8)
    module, _ = compensate(tools, tmp_path, text, x, "ratio=0.5", "units=obs", ["--prune-shrink"])
    finished = subprocess.run(
        [tools / "prune-opt", tmp_path / "model.mlir", f"--prune-structured=ratio=0.5 data={tmp_path}/x.npz units=obs",
         *interpret.GENERIC], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = interpret.Module(finished.stdout)
    constants = [[module.value_of(op.results[0]) for op in module.walk("arith.constant")] for module in (module, found)]
    first, second = ([c for c in some if c.ndim == 2 and c.any()] for some in constants)
    assert len(first) == len(second) == 2 and all(
        any(np.array_equal(a, b) for b in second) for a in first)


def test_nothing_to_make_up_for_needs_no_data(tools, tmp_path):
    (tmp_path / "model.mlir").write_text(layers.linear_chain({"a": np.ones((4, 4), np.float32)}, 2))
    finished = subprocess.run([tools / "prune-opt", tmp_path / "model.mlir", "--prune-compensate-groups", "-o", "/dev/null"],
                              capture_output=True, text=True)
    assert finished.returncode == 0 and finished.stderr == ""


@pytest.mark.parametrize("options, message", [
    ("", "data: expected an .npz file with examples for 1 weights that lose columns, got none"),
    ("data=/nowhere/x.npz", "/nowhere/x.npz"), ("data={} damping=0", "damping: expected a value in (0, 0.1], got 0"),
    ("data={} units=best", "units: expected keep or obs, got 'best'"),
    ("data={} padding=mask", "padding: expected an input of 'main', got 'mask'")])
def test_wrong_use_is_one_line(tools, tmp_path, options, message):
    random = np.random.default_rng(6)
    weights = {"a": random.standard_normal((8, 4)).astype(np.float32), "b": random.standard_normal((2, 8)).astype(np.float32)}
    (tmp_path / "model.mlir").write_text(layers.linear_chain(weights, 2))
    np.savez(tmp_path / "x.npz", x=integers(random, 4, 4))
    finished = subprocess.run(
        [tools / "prune-opt", tmp_path / "model.mlir", "--prune-select-groups=ratio=0.5",
         "--prune-compensate-groups=" + options.format(tmp_path / "x.npz"), "-o", tmp_path / "out.mlir"],
        capture_output=True, text=True)
    assert finished.returncode == 1 and message in finished.stderr and not (tmp_path / "out.mlir").exists()
    assert finished.stderr.count("error:") == 1


def test_weights_of_other_functions_are_left_alone(tools, tmp_path):
    random = np.random.default_rng(7)
    weights = {"a": random.standard_normal((8, 4)).astype(np.float32), "b": random.standard_normal((4, 8)).astype(np.float32)}
    module, remarks = compensate(tools, tmp_path, layers.linear_chain(weights, 2), integers(random, 8, 4), "ratio=0.5",
                                 "entry=other")
    np.testing.assert_array_equal(masked_weights(module)["b:1"][0], weights["b"])
    assert "'b' does not make up for the units it loses: its layer is not in 'other'" in remarks
