"""prune.observe, expanded and compiled, against NumPy in float64."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from calibration import oracle

# Name: shape of the activation, view, rows, columns, groups, and the matrices that it stands for.
VIEWS = {
    "linear": ((8, 64, 24), "(g, b, t, k) -> (b, t, k)", (8, 64), (24,), lambda x: [x.reshape(-1, 24)]),
    "transposed": ((24, 50), "(g, m, k) -> (k, m)", (50,), (24,), lambda x: [x.T]),
    "blocks with a rest": ((5, 500, 24), "(g, b, t, k) -> (b, t, k)", (5, 500), (24,), lambda x: [x.reshape(-1, 24)]),
    "prime": ((1, 2503, 8), "(g, b, t, k) -> (b, t, k)", (1, 2503), (8,), lambda x: [x.reshape(-1, 8)]),
    "one row": ((16,), "(g, m, k) -> (k)", (1,), (16,), lambda x: [x[None]]),
    "window": ((2, 3, 13, 12), "(g, n, y, x, c, i, j) -> (n, c, y + i, x + j)", (2, 11, 10), (3, 3, 3),
               lambda x: [oracle.windows(x, 3)]),
    "stride": ((2, 3, 41, 71), "(g, n, y, x, c, i, j) -> (n, c, y * 2 + i, x * 2 + j)", (2, 20, 35), (3, 3, 3),
               lambda x: [oracle.windows(x, 3, 2)]),
    "bands": ((1, 2, 66, 66), "(g, n, y, x, c, i, j) -> (n, c, y + i, x + j)", (1, 64, 64), (2, 3, 3),
              lambda x: [oracle.windows(x, 3)]),
    "dilation": ((2, 3, 13, 12), "(g, n, y, x, c, i, j) -> (n, c, y + i * 2, x + j * 2)", (2, 9, 8), (3, 3, 3),
                 lambda x: [oracle.windows(x, 3, 1, 2)]),
    "shifted": ((10, 9), "(g, m, k) -> (m + 2, k + 1)", (6,), (5,), lambda x: [x[2:8, 1:6]]),
    "depthwise": ((2, 4, 9, 9), "(g, n, y, x, i, j) -> (n, g, y + i, x + j)", (2, 7, 7), (3, 3),
                  lambda x: [oracle.windows(x[:, c:c + 1], 3) for c in range(4)]),
    "grouped": ((2, 2, 3, 40, 40), "(g, n, y, x, c, i, j) -> (n, g, c, y + i, x + j)", (2, 38, 38), (3, 3, 3),
                lambda x: [oracle.windows(x[:, g], 3) for g in range(2)]),
}


def observe(tools, folder, case, statistic, x, selected=None) -> np.ndarray:
    shape, view, rows, columns, matrices = case
    groups, size = len(matrices(x)), int(np.prod(columns))
    kind = "x".join(map(str, shape)) + "xf32"
    result = "x".join(map(str, (groups, size, size) if statistic == "gram" else (groups, size))) + "xf64"
    inputs, where = f'%x: tensor<{kind}> {{prune.name = "x"}}', ""
    arrays = {"x": x}
    if selected is not None:
        element = {"int64": "i64", "bool": "i1", "float32": "f32"}[selected.dtype.name]
        mask = f"tensor<{'x'.join(map(str, selected.shape))}x{element}>"
        inputs, where = inputs + f', %m: {mask} {{prune.name = "m"}}', f" where(%m : {mask})"
        arrays["m"] = selected
    (folder / "m.mlir").write_text(
        f"func.func @main({inputs}) -> tensor<{result}> {{\n  %0 = prune.observe {statistic} %x view(affine_map<{view}>) "
        f"rows {list(rows)} columns {list(columns)}{where} : tensor<{kind}> -> tensor<{result}>\n"
        f"  return %0 : tensor<{result}>\n}}\n")
    np.savez(folder / "x.npz", **arrays)
    subprocess.run([tools / "prune-opt", folder / "m.mlir", "--prune-expand-observations", "--prune-to-cpu",
                    "--emit-bytecode", "-o", folder / "m.mlirbc"], check=True)
    subprocess.run([tools / "prune-run", folder / "m.mlirbc", f"--inputs={folder}/x.npz", f"--outputs={folder}/y.npz"],
                   check=True)
    with np.load(folder / "y.npz") as found:
        return found["out0"]


def expected(matrices, statistic, counts=slice(None)):
    grams = [m[counts].astype(np.float64).T @ m[counts] for m in matrices]
    return np.stack(grams if statistic == "gram" else [np.diag(g) for g in grams])


@pytest.mark.parametrize("statistic", ["gram", "norms"])
@pytest.mark.parametrize("name", VIEWS)
def test_views(tools, tmp_path, name, statistic):
    shape, *_, matrices = VIEWS[name]
    # Small integers: f32 is exact.
    x = np.random.default_rng(3).integers(-3, 4, shape).astype(np.float32)
    np.testing.assert_array_equal(observe(tools, tmp_path, VIEWS[name], statistic, x), expected(matrices(x), statistic))


@pytest.mark.parametrize("name, shape, dtype", [
    ("linear", (8, 64), np.int64), ("blocks with a rest", (2500,), np.bool_), ("prime", (2503,), np.float32),
    ("depthwise", (98,), np.int64)])
def test_rows_that_do_not_count(tools, tmp_path, name, shape, dtype):
    x = np.random.default_rng(4).integers(-3, 4, VIEWS[name][0]).astype(np.float32)
    selected = (np.random.default_rng(5).integers(0, 3, shape) * 2).astype(dtype)
    found = observe(tools, tmp_path, VIEWS[name], "gram", x, selected)
    np.testing.assert_array_equal(found, expected(VIEWS[name][-1](x), "gram", selected.ravel() != 0))


def test_many_rows_are_accurate(tools, tmp_path):
    """100,000 rows: sums in f32 alone would lose four digits."""
    case = ((100, 1000, 16), "(g, b, t, k) -> (b, t, k)", (100, 1000), (16,), lambda x: [x.reshape(-1, 16)])
    x = np.random.default_rng(6).standard_normal(case[0]).astype(np.float32) + 1
    exact = expected([x.reshape(-1, 16)], "gram")
    assert np.abs(observe(tools, tmp_path, case, "gram", x) - exact).max() <= 1e-6 * np.abs(exact).max()
