"""The products at kept elements (`prune.weight_gradient`) against NumPy: layouts, ragged tiles, registers, threads."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from prune.train.runner import Function

ROWS, COLUMNS = 13, 250  # two chunks of columns with the widest tile, none of them whole
# Shape of what surrounds the rows or columns (marked 0), and its loops.
LAYOUTS = {
    "panels": ([3, 64, 0], "b, m, {}"),
    "short_sequences": ([7, 5, 0], "b, m, {}"),
    "ragged": ([2, 45, 0], "b, m, {}"),
    "one_sequence": ([1, 96, 0], "b, m, {}"),
    "pixels": ([2, 0, 6, 7], "b, {}, h, w"),
}
MODULE = """
func.func @main(%dy: tensor<{dy}xf32> {{prune.name = "dy"}}, %x: tensor<{x}xf32> {{prune.name = "x"}}) -> tensor<{kept}xf32> {{
  %m = arith.constant dense_resource<mask> : tensor<{weight}xi1>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<{weight}xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<{weight}xf32>) -> tensor<{weight}xf32>
  %w = linalg.contract indexing_maps = [affine_map<({loops}) -> ({dy_map})>, affine_map<({loops}) -> ({x_map})>,
                                        affine_map<({loops}) -> (n, k)>]
      ins(%dy, %x : tensor<{dy}xf32>, tensor<{x}xf32>) outs(%z : tensor<{weight}xf32>) -> tensor<{weight}xf32>
  %v = prune.compress %w, %m : tensor<{weight}xf32> to tensor<{kept}xf32>
  return %v : tensor<{kept}xf32>
}}
{{-# dialect_resources: {{ builtin: {{ mask: "0x01000000{mask}" }} }} #-}}
"""


def run(tools, folder, layout, mask, *options) -> tuple[np.ndarray, np.ndarray]:
    """The kept elements of the gradient, and what NumPy says they are."""
    shape, loops = LAYOUTS[layout]
    at = shape.index(0)
    generator = np.random.default_rng(0)
    sizes = [[size if i != at else rows for i, size in enumerate(shape)] for rows in mask.shape]
    dy, x = (generator.uniform(-1, 1, size).astype(np.float32) for size in sizes)
    names = [loop for loop in loops.format("n").split(", ") if loop != "n"]
    (folder / "m.mlir").write_text(MODULE.format(
        dy="x".join(map(str, sizes[0])), x="x".join(map(str, sizes[1])), kept=mask.sum(), weight=f"{ROWS}x{COLUMNS}",
        loops=", ".join(["n", "k", *names]), dy_map=loops.format("n"), x_map=loops.format("k"),
        mask=mask.tobytes().hex().upper()))
    subprocess.run([tools / "prune-compile", folder / "m.mlir", "-o", folder / "f.so", "--name=f", *options], check=True,
                   capture_output=True)
    function = Function("f", folder / "f.so")
    result = np.full(mask.sum(), np.nan, np.float32)
    inputs = [{"dy": dy, "x": x}[t.name] for t in function.inputs]
    function.run(function.pointers(inputs), function.pointers([result]))
    function.close()
    moved = [np.moveaxis(a.astype(np.float64), at, 0).reshape(a.shape[at], -1) for a in (dy, x)]
    return result, (moved[0] @ moved[1].T)[mask]


def make_mask() -> np.ndarray:
    mask = np.random.default_rng(1).random((ROWS, COLUMNS)) < 0.15
    mask[3] = False
    mask[4] = True
    return mask


@pytest.mark.parametrize("options", [(), ("--cpu=x86-64",), ("--threads=2",)], ids=["host", "sse", "threads"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kept_elements_are_exact(tools, tmp_path, layout, options):
    found, expected = run(tools, tmp_path, layout, make_mask(), "--pipeline-options=kernel=sparse", *options)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_dense_gradients_are_the_same(tools, tmp_path):
    found, expected = run(tools, tmp_path, "panels", make_mask(), "--pipeline-options=kernel=dense")
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_threads_do_not_change_the_bytes(tools, tmp_path):
    one, two = (run(tools, tmp_path, "ragged", make_mask(), "--pipeline-options=kernel=sparse", f"--threads={n}")[0]
                for n in (1, 2))
    assert one.tobytes() == two.tobytes()
