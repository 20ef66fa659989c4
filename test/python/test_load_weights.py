"""Trained arrays back into a model by `prune-load-weights`: what is loaded, and what is refused."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

MODEL = """
func.func @main(%x: tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("fc.weight")
  %b = arith.constant dense_resource<fc.bias> : tensor<3x2xf32>
  %f = arith.constant dense_resource<folded> : tensor<2x2xf32>
  %m = arith.constant dense<[[true, false], [false, true]]> : tensor<2x2xi1>
  %p = prune.apply %w, %m as(PATTERN) name("fc.weight") : tensor<2x2xf32>
  %e = tensor.empty() : tensor<3x2xf32>
  %g = linalg.matmul ins(%x, %f : tensor<3x2xf32>, tensor<2x2xf32>) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.matmul ins(%g, %p : tensor<3x2xf32>, tensor<2x2xf32>) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %z = arith.addf %y, %b : tensor<3x2xf32>
  return %z : tensor<3x2xf32>
}
{-#
  dialect_resources: {
    builtin: {
      fc.bias: "0x040000000000003F0000003F0000003F0000003F0000003F0000803F",
      folded: "0x040000000000803F00000000000000000000803F"
    }
  }
#-}
"""
WEIGHT = np.array([[5, 6], [7, 8]], np.float32)
BIAS = np.arange(6, dtype=np.float32).reshape(3, 2)
MASK = np.array([[False, True], [True, False]])


@pytest.fixture
def load(tools, tmp_path):
    """Loads `arrays` into the model; returns the finished process of prune-opt."""
    def run(arrays, pattern="#prune.unstructured", model=MODEL):
        (tmp_path / "m.mlir").write_text(model.replace("PATTERN", pattern))
        np.savez(tmp_path / "x.npz", **arrays)
        return subprocess.run([tools / "prune-opt", tmp_path / "m.mlir", "--mlir-print-debuginfo",
                               f"--prune-load-weights=file={tmp_path}/x.npz", "--prune-verify-masks"],
                              capture_output=True, text=True)
    return run


def test_weights_and_masks_get_their_values_and_keep_their_names(load):
    result = load({"param:fc.weight": WEIGHT, "fc.bias": BIAS, "mask:fc.weight": MASK})
    assert result.returncode == 0, result.stderr
    assert "dense<[[5.000000e+00, 6.000000e+00], [7.000000e+00, 8.000000e+00]]>" in result.stdout
    assert "dense<[[false, true], [true, false]]>" in result.stdout and "dense<[[true, false]" not in result.stdout
    assert "dense_resource<fc.bias>" in result.stdout and BIAS.tobytes().hex().upper() in result.stdout
    assert 'prune.record "fc.weight" as(#prune.unstructured) keeps 2 of 4' in result.stdout


def test_records_follow_the_mask(load):
    masked = load({}).stdout
    assert "prune.record" not in masked
    # Each load writes the only record of the weight, and the next verification compares with it.
    for mask, kept in ((MASK, 2), (np.array([[True, False], [False, False]]), 1)):
        result = load({"mask:fc.weight": mask}, model=masked)
        masked = result.stdout
        assert result.returncode == 0, result.stderr
        assert masked.count("prune.record") == 1 and f"keeps {kept} of 4" in masked


def test_a_weight_with_a_folded_mask_keeps_its_zeros(load):
    name = 'prune.record "folded" as(#prune.unstructured) keeps 2 of 4 digest "DIGEST" stored "folded" digest "DIGEST"\n'
    digest = load({"mask:fc.weight": np.eye(2, dtype=bool)}).stdout.split('digest "')[1][:16]
    model = MODEL.replace("func.func", name.replace("DIGEST", digest) + "func.func", 1)
    assert load({"folded": np.diag([3.0, 4.0]).astype(np.float32)}, model=model).returncode == 0
    error = load({"folded": WEIGHT}, model=model)
    assert error.returncode == 1
    assert "x.npz: array 'folded': expected zeros where the mask of 'folded' was folded into the weight" in error.stderr
    assert f"digest {digest}), got 4 nonzero" in error.stderr


def test_large_masks_and_weights_are_resources(load):
    model = """
func.func @main() -> tensor<64x64xf32> {
  %w = arith.constant dense<2.0> : tensor<64x64xf32> loc("w")
  %m = arith.constant dense<true> : tensor<64x64xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<64x64xf32>
  return %p : tensor<64x64xf32>
}"""
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    result = load({"w": weight, "mask:w": weight > 0}, model=model)
    assert result.returncode == 0, result.stderr
    again = load({"w": -weight, "mask:w": weight < 0}, model=result.stdout)
    assert again.returncode == 0, again.stderr
    assert (weight < 0).tobytes().hex().upper() in again.stdout and (-weight).tobytes().hex().upper() in again.stdout
    assert (weight > 0).tobytes().hex().upper() not in again.stdout


@pytest.mark.parametrize("arrays, message", [
    ({"param:fc.wait": WEIGHT}, "array 'param:fc.wait': expected one of the 3 weights of 'main' (the first is 'fc.weight'), "
                                "got 'fc.wait'"),
    ({"param:fc.weight": BIAS}, "array 'param:fc.weight': expected float32[2, 2], got float32[3, 2]"),
    ({"fc.bias": BIAS.astype(np.float64)}, "array 'fc.bias': expected float32[3, 2], got float64[3, 2]"),
    ({"mask:fc.weight": MASK.astype(np.uint8)}, "array 'mask:fc.weight': expected bool[2, 2], got uint8[2, 2]"),
    ({"mask:fc.bias": BIAS > 1}, "array 'mask:fc.bias': expected a mask of a weight with prune.apply, got one of 'fc.bias', "
                                 "which has none"),
    ({"mask:fc.weight": MASK & False}, "array 'mask:fc.weight': mask keeps none of 4 weights, and allow_empty is not set"),
    ({"param:fc.bias": BIAS, "fc.bias": BIAS}, "array 'fc.bias': expected one array for 'fc.bias', got another in "
                                               "'param:fc.bias'"),
])
def test_wrong_arrays_are_named(load, arrays, message):
    result = load(arrays)
    assert result.returncode == 1
    assert f"x.npz: {message}" in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3


def test_a_mask_must_obey_the_pattern(load):
    result = load({"mask:fc.weight": np.array([[True, True], [False, True]])}, pattern="#prune.n_of_m<1, 2>")
    assert result.returncode == 1 and "x.npz: array 'mask:fc.weight': " in result.stderr, result.stderr
