"""What test_criteria_references.py leaves of prune-calibrate-masks: shapes, dead columns, damping, order of the layers, convolutions."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from calibration import layers, oracle
from calibration.layers import Calibrated, calibrate, check, correlated, integers


@pytest.mark.parametrize("shape, pattern, sparsity", [
    ((6, 130), "unstructured", 0.5), ((8, 6), "2:4", 0.34), ((4, 7), "unstructured", 0.37),
    ((1, 3), "unstructured", 0.5), ((12, 200), "4x3", 0.4), ((5, 131), "3:5", None)])
def test_shapes_that_do_not_divide(tools, tmp_path, shape, pattern, sparsity):
    random = np.random.default_rng(6)
    weight, x = random.standard_normal(shape).astype(np.float32), correlated(random, 3 * shape[1], shape[1])
    if pattern == "4x3":
        weight, x = weight[:, :198], x[:, :198]  # ragged units have another mean: not part of the statement
    target = "" if sparsity is None else f" sparsity={sparsity}"
    result = calibrate(tools, tmp_path, weight, x, 3, f"criterion=sparsegpt pattern={pattern}{target}")
    if pattern in ("4x3", "3:5"):
        # Blocks of columns are whole units: 129 and 130 of them.
        oracle_block, oracle.BLOCK = oracle.BLOCK, {"4x3": 129, "3:5": 130}[pattern]
        try:
            expected = oracle.sparsegpt(weight, [x], pattern, sparsity)
        finally:
            oracle.BLOCK = oracle_block
    else:
        expected = oracle.sparsegpt(weight, [x], pattern, sparsity)
    check(result, *expected)


def test_dead_columns_are_pruned_first_and_become_zero(tools, tmp_path):
    random = np.random.default_rng(7)
    weight, x = random.standard_normal((16, 64)).astype(np.float32), correlated(random, 256, 64)
    x[:, [3, 40]] = 0
    result = calibrate(tools, tmp_path, weight, x, 32, "criterion=sparsegpt sparsity=0.25")
    keep, expected = oracle.sparsegpt(weight, [x], "unstructured", 0.25)
    check(result, keep, expected)
    assert not keep[:, [3, 40]].any() and "2 dead columns" in result.remarks
    # They become zero even where nothing is pruned; nothing else changes.
    result = calibrate(tools, tmp_path, weight, x, 32, "criterion=sparsegpt sparsity=0")
    assert result.masks["w"].all() and not result.weights["w"][:, [3, 40]].any()
    rest = np.setdiff1d(np.arange(64), [3, 40])
    np.testing.assert_array_equal(result.weights["w"][:, rest], weight[:, rest])


def test_equal_scores_keep_the_lower_index(tools, tmp_path):
    # Inputs without correlation: every column has the same diagonal, and all scores are equal.
    x = np.concatenate([np.eye(32)] * 2).astype(np.float32)
    weight = np.where(np.arange(8 * 32).reshape(8, 32) % 3, 2.0, -2.0).astype(np.float32)
    result = calibrate(tools, tmp_path, weight, x, 8, "criterion=sparsegpt sparsity=0.4")
    keep = np.arange(weight.size).reshape(weight.shape) < weight.size - round(0.4 * weight.size)
    check(result, keep, weight * keep, 0)


def test_sparsity_of_one_keeps_nothing(tools, tmp_path):
    random = np.random.default_rng(8)
    weight, x = random.standard_normal((4, 16)).astype(np.float32), correlated(random, 32, 16)
    result = calibrate(tools, tmp_path, weight, x, 4, "criterion=sparsegpt sparsity=1")
    assert not result.masks["w"].any() and not result.weights["w"].any()
    result = calibrate(tools, tmp_path, weight, x, 4, "criterion=sparsegpt sparsity=0.999")
    assert result.masks["w"].sum() == 1


def test_singular_statistics_raise_the_damping(tools, tmp_path):
    random = np.random.default_rng(9)
    weight, x = random.standard_normal((16, 96)).astype(np.float32), integers(random, 24, 96)
    result = calibrate(tools, tmp_path, weight, x, 24, "criterion=sparsegpt sparsity=0.5", "damping=1e-18")
    assert "raised from 1e-18 to 1e-1" in result.remarks
    assert np.isfinite(result.weights["w"]).all() and result.masks["w"].sum() == weight.size // 2
    # 24 rows in 96 dimensions: half of the weights give the same results.
    assert result.errors()[0][1] < 1e-6
    result = calibrate(tools, tmp_path, weight, x, 24, "criterion=sparsegpt sparsity=0.5")
    assert "raised" not in result.remarks
    check(result, *oracle.sparsegpt(weight, [x], "unstructured", 0.5))


CONVOLUTIONS = {
    "plain": ("conv_2d_nchw_fchw", (4, 6, 9, 10), (8, 6, 3, 3), {}),
    "strides": ("conv_2d_nchw_fchw", (4, 5, 12, 11), (8, 5, 3, 3), {"stride": 2}),
    "dilations": ("conv_2d_nchw_fchw", (4, 5, 12, 11), (8, 5, 3, 3), {"dilation": 2}),
    "wide": ("conv_2d_nchw_fchw", (2, 3, 40, 60), (8, 3, 3, 3), {}),
    "nhwc": ("conv_2d_nhwc_fhwc", (4, 9, 10, 6), (8, 3, 3, 6), {}),
    "depthwise": ("depthwise_conv_2d_nchw_chw", (4, 8, 9, 10), (8, 3, 3), {}),
    "grouped": ("conv_2d_ngchw_gfchw", (4, 2, 5, 9, 10), (8, 5, 3, 3), {"groups": 2}),
}


@pytest.mark.parametrize("name, pattern", [
    *((name, "unstructured") for name in CONVOLUTIONS), ("plain", "4x1"), ("depthwise", "4x1"), ("grouped", "4x1")])
def test_convolutions(tools, tmp_path, name, pattern):
    op, input_shape, weight_shape, options = CONVOLUTIONS[name]
    random = np.random.default_rng(11)
    x, weight = integers(random, 2 * input_shape[0], *input_shape[1:]), random.standard_normal(weight_shape)
    weight = weight.astype(np.float32)
    stride, dilation = options.get("stride", 1), options.get("dilation", 1)
    if name == "nhwc":
        rows = oracle.windows(x.transpose(0, 3, 1, 2), 3)
        rows = rows.reshape(len(rows), 6, 9).transpose(0, 2, 1).reshape(len(rows), 54)
        inputs = [rows]
    elif name == "depthwise":
        inputs = [oracle.windows(x[:, c:c + 1], 3) for c in range(8)]
    elif name == "grouped":
        inputs = [oracle.windows(x[:, g], 3) for g in range(2)]
    else:
        inputs = [oracle.windows(x, 3, stride, dilation)]
    high, wide = (size - 2 * dilation for size in (input_shape[1:3] if name == "nhwc" else input_shape[-2:]))
    high, wide = -(-high // stride), -(-wide // stride)
    result = {"nhwc": (input_shape[0], high, wide, 8), "grouped": (input_shape[0], 2, 4, high, wide)}.get(
        name, (input_shape[0], 8, high, wide))
    module = layers.convolution(op, x[:input_shape[0]], weight, result, **options)
    np.savez(tmp_path / "x.npz", x=x)
    found = Calibrated(tools, module, tmp_path / "x.npz", f"criterion=sparsegpt pattern={pattern} sparsity=0.5")
    check(found, *oracle.sparsegpt(weight.reshape(8, -1), inputs, pattern, 0.5))
    assert f"{sum(map(len, inputs)) // len(inputs)} rows" in found.remarks


@pytest.mark.parametrize("independent", [False, True])
def test_layers_see_what_pruned_layers_give_or_unpruned_ones(tools, tmp_path, independent):
    random = np.random.default_rng(12)
    weights = {"a": random.standard_normal((48, 64)), "b": random.standard_normal((32, 48)),
               "c": random.standard_normal((8, 32))}
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    x = correlated(random, 256, 64)
    np.savez(tmp_path / "x.npz", x=x)
    result = Calibrated(tools, layers.linear_chain(weights, 64), tmp_path / "x.npz", "criterion=sparsegpt sparsity=0.6",
                        f"independent={str(independent).lower()}")
    for name, weight in weights.items():
        keep, expected = oracle.sparsegpt(weight, [x], "unstructured", 0.6)
        np.testing.assert_array_equal(result.masks[name], keep, name)
        np.testing.assert_allclose(result.weights[name], expected, rtol=0, atol=1e-4, err_msg=name)
        x = np.maximum(x @ (weight if independent else expected.astype(np.float32)).T, 0)


@pytest.mark.parametrize("split", ["lamp", "erk"])
def test_layer_splits_say_how_much_each_layer_prunes(tools, tmp_path, split):
    random = np.random.default_rng(13)
    weights = {"a": random.standard_normal((48, 64)) * 2, "b": random.standard_normal((32, 48))}
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    x = correlated(random, 256, 64)
    np.savez(tmp_path / "x.npz", x=x)
    chain = layers.linear_chain(weights, 64)
    options = f"sparsity=0.6 layer-split={split}"
    result = Calibrated(tools, chain, tmp_path / "x.npz", "criterion=sparsegpt " + options)
    (tmp_path / "m.mlir").write_text(chain)
    by_magnitude = subprocess.run(
        [tools / "prune-opt", tmp_path / "m.mlir", f"--prune-create-masks={options}", "--prune-evaluate-masks"],
        capture_output=True, text=True, check=True).stdout
    for name, weight in weights.items():
        kept = int(result.masks[name].sum())
        assert f'prune.record "{name}" as(#prune.unstructured) keeps {kept} of {weight.size}' in by_magnitude
        keep, expected = oracle.sparsegpt(weight, [x], "unstructured", 1 - kept / weight.size)
        np.testing.assert_array_equal(result.masks[name], keep, name)
        x = np.maximum(x @ expected.astype(np.float32).T, 0)
    assert sum(mask.sum() for mask in result.masks.values()) == pytest.approx(0.4 * (48 * 64 + 32 * 48), abs=1)


def test_padding_and_the_rest_of_a_batch(tools, tmp_path):
    """Rows where the named input is zero do not count; the last batch is filled with the first examples."""
    random = np.random.default_rng(14)
    weight, x = random.standard_normal((12, 24)).astype(np.float32), integers(random, 10, 7, 24)
    mask = (np.arange(7) < random.integers(1, 8, (10, 1))).astype(np.int64)
    module = "\n".join([
        "#x = affine_map<(b, t, n, k) -> (b, t, k)>", "#w = affine_map<(b, t, n, k) -> (n, k)>",
        "#y = affine_map<(b, t, n, k) -> (b, t, n)>",
        'func.func @main(%x: tensor<4x7x24xf32> {prune.name = "x"}, %m: tensor<4x7xi64> {prune.name = "mask"}) '
        "-> tensor<4x7x12xf32> {", "  %w = arith.constant dense_resource<w> : tensor<12x24xf32>",
        "  %f = arith.constant dense<0.0> : tensor<4x7x12xf32>",
        "  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<4x7x24xf32>, tensor<12x24xf32>) "
        "outs(%f : tensor<4x7x12xf32>) -> tensor<4x7x12xf32>", "  return %y : tensor<4x7x12xf32>", "}",
        layers.resources({"w": weight})])
    np.savez(tmp_path / "x.npz", x=x, mask=mask, labels=np.zeros(3))
    seen = np.concatenate([x, x[:2]]).reshape(-1, 24)
    counted = np.concatenate([mask, mask[:2]]).ravel() != 0
    for extra, rows in (("padding=mask", seen[counted]), ("", seen)):
        result = Calibrated(tools, module, tmp_path / "x.npz", "criterion=sparsegpt sparsity=0.5", extra)
        check(result, *oracle.sparsegpt(weight, [rows], "unstructured", 0.5))
        assert f"{len(rows)} rows" in result.remarks


@pytest.mark.parametrize("extra", ["", "refit=true column-counts=ranked"])
def test_any_number_of_threads_gives_the_same_bytes(tools, tmp_path, extra):
    random = np.random.default_rng(15)
    weights = {"a": random.standard_normal((96, 200)), "b": random.standard_normal((40, 96))}
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    np.savez(tmp_path / "x.npz", x=random.standard_normal((1000, 200)).astype(np.float32))
    texts = {Calibrated(tools, layers.linear_chain(weights, 24), tmp_path / "x.npz",
                        "criterion=sparsegpt sparsity=0.6", f"threads={threads} {extra}").text for threads in (1, 2, 5)}
    assert len(texts) == 1
