"""Compiled training steps: what their figures are worth."""

from __future__ import annotations

import subprocess

import numpy as np

from prune.train.runner import compile_functions

SHIFT = """
func.func @main(%x: tensor<1024x256xf32> {prune.name = "x"}) -> tensor<256x1024xf32> {
  %b = arith.constant dense_resource<bias> : tensor<1024xf32>
  %e = tensor.empty() : tensor<256x1024xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]} ins(%x, %b : tensor<1024x256xf32>, tensor<1024xf32>) outs(%e : tensor<256x1024xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %s = arith.addf %a, %c : f32
    linalg.yield %s : f32
  } -> tensor<256x1024xf32>
  return %y : tensor<256x1024xf32>
}
{-# dialect_resources: { builtin: { bias: "0x04000000BIAS" } } #-}
"""


def test_a_loss_of_many_terms_is_exact(tools, tmp_path):
    """Quarter of a million terms from memory in two orders: one sum in f32 would be off by 1e-4."""
    generator = np.random.default_rng(0)
    bias = generator.normal(0, 0.1, 1024).astype(np.float32)
    (tmp_path / "m.mlir").write_text(SHIFT.replace("BIAS", bias.tobytes().hex().upper()))
    subprocess.run([tools / "prune-opt", tmp_path / "m.mlir", "--prune-train=loss=mse optimizer=sgd momentum=0", "-o",
                    tmp_path / "t.mlir"], check=True)
    x, target = (generator.normal(0, 1, shape).astype(np.float32) for shape in ((1024, 256), (256, 1024)))
    program = compile_functions(tmp_path / "t.mlir", ["init", "train_step"])
    try:
        program.call("init")
        loss = float(program.call("train_step", {"x": x, "target": target})["loss"])
    finally:
        program.close()
    expected = np.mean((x.astype(np.float64).T + bias - target) ** 2)
    assert abs(loss / expected - 1) <= 1e-6
