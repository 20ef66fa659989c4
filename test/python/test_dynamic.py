"""Dynamic masks against NumPy: what is kept of random and adversarial activations, and products that skip the rest."""

from __future__ import annotations

import itertools
import re
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from conftest import ROOT
from prune.bench import dynamic
from prune.console import Steps
from prune.train.runner import Function

NUMBERS = itertools.count()
NAN, INF = np.float32(np.nan), np.float32(np.inf)


def compiled(tools, folder, text, *options) -> Function:
    """A module as a function."""
    # A library from a path that one was loaded from before would not be loaded again.
    library = folder / f"f{next(NUMBERS)}.so"
    (folder / "m.mlir").write_text(text)
    finished = subprocess.run([tools / "prune-compile", folder / "m.mlir", "-o", library, "--name=f", *options],
                              capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return Function("f", library)


def call(function, inputs, outputs) -> list[np.ndarray]:
    """Outputs are shapes and types, filled with ones before."""
    results = [np.ones(shape, kind) for shape, kind in outputs]
    function.run(function.pointers(inputs), function.pointers(results))
    return results


def run(tools, folder, text, inputs, outputs, *options) -> list[np.ndarray]:
    """Compiles a module and calls it once."""
    function = compiled(tools, folder, text, *options)
    results = call(function, inputs, outputs)
    function.close()
    return results


def scores_of(x, along, unit, whole, signed):
    """Means over units, and a function that spreads what units get over their elements."""
    values = (x if signed else np.abs(x)).astype(np.float64)
    shape = [*x.shape[:along], x.shape[along] // unit, unit, *x.shape[along + 1:]]
    axes = tuple([along + 1] + [d if d < along else d + 1 for d in whole])
    split = values.reshape(shape)
    return split.mean(axis=axes, keepdims=True), lambda kept: np.broadcast_to(kept, shape).reshape(x.shape)


def expected_mask(x, along, unit=1, whole=(), signed=False, threshold=None, keep=None, of=None):
    """What `prune.dynamic_mask` says, by sorting."""
    scores, spread = scores_of(x, along, unit, whole, signed)
    if keep is None:
        return spread(~(scores <= threshold))
    rows = np.moveaxis(scores, along, -1)
    groups = rows.reshape(-1, of or rows.shape[-1])
    kept = np.zeros(groups.shape, bool)
    for group, row in zip(groups, kept):
        # Stable: of equal scores the lower index comes first.
        order = sorted(range(len(group)), key=lambda i: (0, 0.0) if np.isnan(group[i]) else (1, -group[i]))
        row[order[:keep]] = True
    return spread(np.moveaxis(kept.reshape(rows.shape), -1, along))


def spell(along, unit=1, whole=(), signed=False, threshold=None, keep=None, of=None):
    """The same as text."""
    parts = [f"along {along}", f"unit({unit})" if unit > 1 else "", f"whole {list(whole)}" if whole else "",
             "signed" if signed else "", f"threshold({threshold:.8e})" if threshold is not None else "",
             f"keep({keep})" if keep else "", f"of({of})" if of else ""]
    return " ".join(part for part in parts if part)


def adversarial(shape):
    """Random numbers, ties, zeros of both signs, NaN and infinities."""
    generator = np.random.default_rng(0)
    # Multiples of a quarter, whose sums are exact in any order.
    x = (np.round(4 * generator.standard_normal(shape)) / 4).astype(np.float32).ravel()
    x[::7], x[3::11], x[5::13] = 0.0, -0.0, 0.5
    x[2], x[-3], x[9], x[-1] = NAN, -NAN, INF, -INF
    return x.reshape(shape)


MASKS = [
    ((3, 40), dict(along=1, threshold=0.5)),
    ((3, 40), dict(along=1, threshold=0)),
    ((3, 40), dict(along=1, threshold=1e30)),
    ((3, 40), dict(along=1, signed=True, threshold=-0.25)),
    ((3, 40), dict(along=1, keep=7)),
    ((3, 40), dict(along=1, keep=39)),
    ((3, 40), dict(along=1, signed=True, keep=5)),
    ((3, 40), dict(along=1, keep=2, of=4)),
    ((40, 3), dict(along=0, keep=3, of=5)),
    ((40, 3), dict(along=0, keep=9)),
    ((2, 300), dict(along=1, keep=1)),
    ((2, 300), dict(along=1, keep=150)),
    ((2, 300), dict(along=1, signed=True, keep=299)),
    ((2, 3, 100), dict(along=2, keep=33)),
    ((90,), dict(along=0, keep=20)),
    ((2, 5, 24), dict(along=2, unit=4, keep=2)),
    ((2, 5, 24), dict(along=2, unit=4, whole=(1,), keep=3)),
    ((2, 5, 24), dict(along=1, whole=(2,), keep=2)),
    ((2, 6, 4, 5), dict(along=1, whole=(2, 3), threshold=0.75)),
    ((2, 6, 4, 5), dict(along=1, unit=2, whole=(0, 2, 3), keep=1)),
]


@pytest.mark.parametrize("shape, settings", MASKS, ids=lambda v: "-".join(map(str, v)) if isinstance(v, tuple) else spell(**v))
def test_masks_keep_what_numpy_says(tools, tmp_path, shape, settings):
    x = adversarial(shape)
    kept = expected_mask(x, **settings)
    size = "x".join(map(str, shape))
    text = f"""
func.func @main(%x: tensor<{size}xf32>) -> (tensor<{size}xi1>, tensor<{size}xf32>) {{
  %m = prune.dynamic_mask %x {spell(**settings)} : tensor<{size}xf32>
  %y = prune.gate %x, %m : tensor<{size}xf32>
  return %m, %y : tensor<{size}xi1>, tensor<{size}xf32>
}}"""
    mask, gated = run(tools, tmp_path, text, [x], [(shape, bool), (shape, np.float32)])
    np.testing.assert_array_equal(mask, kept)
    assert gated.tobytes() == np.where(kept, x, np.float32(0)).tobytes()


def test_half_precision_and_doubles(tools, tmp_path):
    x = np.round(np.random.default_rng(1).standard_normal((4, 70)), 2)
    text = """
func.func @main(%x: tensor<4x70xf16>, %z: tensor<4x70xf64>) -> (tensor<4x70xf16>, tensor<4x70xf64>) {
  %a = prune.dynamic_mask %x along 1 keep(9) : tensor<4x70xf16>
  %b = prune.dynamic_mask %z along 1 keep(9) : tensor<4x70xf64>
  %y = prune.gate %x, %a : tensor<4x70xf16>
  %w = prune.gate %z, %b : tensor<4x70xf64>
  return %y, %w : tensor<4x70xf16>, tensor<4x70xf64>
}"""
    half, double = run(tools, tmp_path, text, [x.astype(np.float16), x], [(x.shape, np.float16), (x.shape, np.float64)])
    for found, given in ((half, x.astype(np.float16)), (double, x)):
        np.testing.assert_array_equal(found, np.where(expected_mask(given, 1, keep=9), given, 0))


def network(weights, tokens, gate=None):
    """Layers one after the other; the input of the first passes a gate."""
    lines, value = [], "x"
    if gate:
        size = f"tensor<{tokens}x{weights[0].shape[1]}xf32>"
        lines += [f"%mask = prune.dynamic_mask %x {gate} : {size}", f"%gated = prune.gate %x, %mask : {size}"]
        value = "gated"
    for i, weight in enumerate(weights):
        n, k = weight.shape
        x, w, y = (f"tensor<{size}xf32>" for size in (f"{tokens}x{k}", f"{n}x{k}", f"{tokens}x{n}"))
        lines += [f"%w{i} = arith.constant dense_resource<w{i}> : {w}", f"%e{i} = tensor.empty() : {y}",
                  f"%f{i} = linalg.fill ins(%zero : f32) outs(%e{i} : {y}) -> {y}",
                  f"%y{i} = linalg.contract indexing_maps = [#x, #w, #y] ins(%{value}, %w{i} : {x}, {w}) outs(%f{i} : {y}) -> {y}"]
        value = f"y{i}"
    resources = ", ".join(f'w{i}: "0x10000000{weight.tobytes().hex()}"' for i, weight in enumerate(weights))
    body = "\n  ".join(lines)
    return f"""
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<{tokens}x{weights[0].shape[1]}xf32>) -> {y} {{
  %zero = arith.constant 0.0 : f32
  {body}
  return %{value} : {y}
}}
{{-# dialect_resources: {{ builtin: {{ {resources} }} }} #-}}"""


SPARSE = "--pipeline-options=kernel=sparse"


def summed_in_order(x, weight):
    """x weightᵀ by one multiply-add after the other, ascending, without what is zero in x."""
    sums = np.zeros((x.shape[0], weight.shape[0]), np.float32)
    for t, n in np.ndindex(sums.shape):
        total = Fraction(0)
        for k in np.flatnonzero(x[t]):
            total = Fraction(float(np.float32(float(total + Fraction(float(x[t, k])) * Fraction(float(weight[n, k]))))))
        sums[t, n] = float(total)
    return sums


@pytest.mark.parametrize("tokens", [1, 2, 3, 13])
def test_sums_in_the_order_of_the_columns(tools, tmp_path, tokens):
    """To the last bit: some kept, none, all. Where each call decides, both codes give the same."""
    generator = np.random.default_rng(2)
    weight = generator.standard_normal((13, 37)).astype(np.float32)
    some = generator.standard_normal((tokens, 37)).astype(np.float32)
    text = network([weight], tokens, "along 1 threshold(0.5) sparsity(0.9)")
    kept = []
    function = compiled(tools, tmp_path, text, SPARSE)
    for x in (some, 0.1 * np.sign(some), 2 * np.sign(some) + some):
        found, = call(function, [x], [((tokens, 13), np.float32)])
        gated = np.where(np.abs(x) > 0.5, x, 0)
        kept.append(np.count_nonzero(gated))
        assert found.tobytes() == summed_in_order(gated, weight).tobytes()
    function.close()
    assert kept[1] == 0 and kept[2] == some.size


@pytest.mark.parametrize("tokens, rows, columns, threads, options", [
    (1, 300, 200, 1, []), (1, 301, 203, 2, []), (16, 96, 64, 1, []), (5, 33, 1, 1, []), (1, 1, 77, 2, []),
    (2, 500, 129, 2, ["--cpu=x86-64"]), (1, 300, 200, 1, ["--cpu=x86-64-v3"]), (7, 300, 300, 2, []), (16, 77, 600, 1, [])])
def test_products_agree_with_numpy(tools, tmp_path, tokens, rows, columns, threads, options):
    generator = np.random.default_rng(3)
    weight = generator.standard_normal((rows, columns)).astype(np.float32)
    x = generator.standard_normal((tokens, columns)).astype(np.float32)
    function = compiled(tools, tmp_path, network([weight], tokens, "along 1 threshold(0.7) sparsity(0.5)"),
                        f"--threads={threads}", SPARSE, *options)
    for size in (1, 1e3):  # half of them are kept, or nearly all
        found, = call(function, [x * np.float32(size)], [((tokens, rows), np.float32)])
        kept = np.where(np.abs(x * np.float32(size)) > np.float32(0.7), x * np.float32(size), 0)
        np.testing.assert_allclose(found, kept.astype(np.float64) @ weight.T.astype(np.float64), rtol=1e-5, atol=3e-5 * size)
    function.close()


@pytest.mark.parametrize("tokens, rows, columns, threads", [(1, 300, 130, 2), (1, 29, 64, 1), (1, 1, 7, 1), (4, 301, 130, 2), (16, 40, 33, 1)])
def test_predicted_rows_agree_with_numpy(tools, tmp_path, tokens, rows, columns, threads):
    """Other activations decide which results are needed: none, all, ties, NaN. What is not finite in pruned ones is not seen."""
    generator = np.random.default_rng(10)
    weight = generator.standard_normal((rows, columns)).astype(np.float32)
    weight[0] = NAN
    x = generator.standard_normal((tokens, columns)).astype(np.float32)
    keep = (rows + 1) // 2
    size, y = f"tensor<{tokens}x{columns}xf32>", f"tensor<{tokens}x{rows}xf32>"
    text = f"""
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#i = affine_map<(m, n) -> (m, n)>
func.func @main(%x: {size}, %scores: {y}) -> ({y}, {y}) {{
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %w = arith.constant dense_resource<w> : tensor<{rows}x{columns}xf32>
  %e = tensor.empty() : {y}
  %f = linalg.fill ins(%zero : f32) outs(%e : {y}) -> {y}
  %p = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : {size}, tensor<{rows}x{columns}xf32>) outs(%f : {y}) -> {y}
  %h = linalg.generic {{indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]}} ins(%p : {y}) outs(%e : {y}) {{
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %one : f32
    linalg.yield %0 : f32
  }} -> {y}
  %m = prune.dynamic_mask %scores along 1 MASK : {y}
  %g = prune.gate %h, %m : {y}
  %d = arith.addf %h, %h : {y}
  %k = prune.gate %d, %m : {y}
  return %g, %k : {y}, {y}
}}
{{-# dialect_resources: {{ builtin: {{ w: "0x10000000{weight.tobytes().hex()}" }} }} #-}}"""
    dense = (x.astype(np.float64) @ weight.T.astype(np.float64)) + 1
    ties = np.zeros((tokens, rows), np.float32)
    ties[:, 0] = -1 if rows > 1 else 0
    uneven = np.where(np.arange(rows) % (np.arange(tokens)[:, None] + 1) == 0, ties + 2, ties)  # fewer for each next token
    uneven[:, 0] = ties[:, 0]
    for mask, settings, inputs in (("threshold(0.5)", dict(threshold=0.5), [ties, ties + 2, -ties, uneven]),
                                   (f"signed keep({keep})", dict(keep=keep, signed=True), [ties, np.full_like(ties, NAN)])):
        function = compiled(tools, tmp_path, text.replace("MASK", mask), f"--threads={threads}", SPARSE)
        for scores in inputs:
            found, twice = call(function, [x, scores], [((tokens, rows), np.float32)] * 2)
            kept = expected_mask(scores, 1, **settings)
            np.testing.assert_allclose(found, np.where(kept, dense, 0), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(twice, np.where(kept, 2 * dense, 0), rtol=1e-5, atol=1e-5)
            assert not np.signbit(found[~kept]).any() and not found[~kept].any()
        function.close()


@pytest.mark.parametrize("mask, settings", [("threshold(1.0)", dict(threshold=1.0)), ("keep(2)", dict(keep=2))])
def test_heads_that_are_pruned_are_not_seen(tools, tmp_path, mask, settings):
    """An attention of three heads of four columns, one of which holds NaN."""
    source = ROOT / "test" / "Transforms" / "Dynamic" / "skip-units.mlir"
    text = source.read_text().split("// -----")[0].replace("keep(2)", mask)
    generator = np.random.default_rng(11)
    q, k, v = (generator.standard_normal((1, 5, 12)).astype(np.float32) for _ in range(3))
    v[0, 2, 4:8] = NAN
    heads = [np.moveaxis(t.reshape(5, 3, 4), 1, 0).astype(np.float64) for t in (q, k, v)]
    weights = np.exp(heads[0] @ np.swapaxes(heads[1], 1, 2))
    weights /= weights.sum(axis=2, keepdims=True)
    dense = np.moveaxis(weights @ heads[2], 0, 1).reshape(1, 5, 12)
    for threads in (1, 2):
        function = compiled(tools, tmp_path, text, f"--threads={threads}")
        for sizes in ((2, 0.5, 3), (1, 1, 1), (0, 0, 0), (2, 2, 2), (5, NAN, 0)):
            scores = np.repeat(np.array(sizes, np.float32), 4) * np.ones((1, 5, 1), np.float32)
            found, = call(function, [q, k, v, scores], [((1, 5, 12), np.float32)])
            kept = expected_mask(scores, 2, unit=4, whole=(1,), **settings)
            np.testing.assert_allclose(found, np.where(kept, dense, 0), rtol=1e-5, atol=1e-5)
            assert not found[~kept].any()
        function.close()


def test_kept_nan_reaches_the_result_and_pruned_nan_does_not(tools, tmp_path):
    weight = np.random.default_rng(4).standard_normal((9, 20)).astype(np.float32)
    x = np.random.default_rng(5).standard_normal((2, 20)).astype(np.float32)
    x[0, 3] = NAN
    top, = run(tools, tmp_path, network([weight], 2, "along 1 keep(4)"), [x], [((2, 9), np.float32)], SPARSE)
    assert np.isnan(top[0]).all() and np.isfinite(top[1]).all()
    # Other activations decide: all but the NaN are kept.
    text = network([weight], 2, "along 1 signed keep(19)").replace("dynamic_mask %x", "dynamic_mask %scores")
    text = text.replace("(%x: tensor<2x20xf32>)", "(%x: tensor<2x20xf32>, %scores: tensor<2x20xf32>)")
    scores = np.tile(np.arange(20, 0, -1, dtype=np.float32), (2, 1))
    scores[0, 3] = -1
    found, = run(tools, tmp_path, text, [x, scores], [((2, 9), np.float32)], SPARSE)
    kept = np.ones((2, 20), bool)
    kept[0, 3] = kept[1, 19] = False
    np.testing.assert_allclose(found, np.where(kept, x, 0) @ weight.T, rtol=1e-5, atol=1e-5)


def test_masked_weights_skip_too(tools, tmp_path):
    """A static mask and a gate: the columns that are read hold zeros."""
    weight = np.random.default_rng(6).standard_normal((64, 128)).astype(np.float32)
    x = np.random.default_rng(7).standard_normal((1, 128)).astype(np.float32)
    (tmp_path / "dense.mlir").write_text(network([weight], 1, "along 1 keep(13)"))
    subprocess.run([tools / "prune-opt", tmp_path / "dense.mlir", "--prune=sparsity=0.2", "-o", tmp_path / "pruned.mlir"],
                   check=True, capture_output=True)
    text = (tmp_path / "pruned.mlir").read_text()
    report = subprocess.run([tools / "prune-opt", tmp_path / "pruned.mlir", "--prune-pack=kernel=sparse",
                             "--remarks-filter=prune-pack", "--remark-format=emitRemark", "-o", tmp_path / "packed.mlir"],
                            capture_output=True, text=True)
    assert "columns of nonzero activations" in report.stderr
    found, = run(tools, tmp_path, text, [x], [((1, 64), np.float32)], SPARSE)
    size = np.abs(weight).ravel()
    masked = weight * (size >= np.sort(size)[round(0.2 * size.size)]).reshape(weight.shape)
    np.testing.assert_allclose(found, np.where(expected_mask(x, 1, keep=13), x, 0) @ masked.T, rtol=1e-5, atol=1e-5)


def test_thresholds_are_quantiles_of_what_the_network_gives(tools, tmp_path):
    """Two layers of random weights: NumPy runs them, and takes the quantiles by sorting."""
    generator = np.random.default_rng(8)
    first, second = (generator.standard_normal(shape).astype(np.float32) for shape in ((24, 16), (8, 24)))
    x = generator.standard_normal((50, 16)).astype(np.float32)
    (tmp_path / "m.mlir").write_text(network([first, second], 4))
    np.savez(tmp_path / "x.npz", in0=x)
    finished = subprocess.run([tools / "prune-opt", tmp_path / "m.mlir",
                               f"--prune-dynamic=sparsity=0.3 calibration={tmp_path}/x.npz"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = [float(t) for t in re.findall(r"threshold\(([^)]*)\) sparsity", finished.stdout)]
    # Batches of 4: the last one begins again with the first two examples.
    rows = np.concatenate([x, x[:2]])
    for threshold, activations in zip(found, (rows, rows @ first.T), strict=True):
        scores = np.sort(np.abs(activations).ravel())
        assert threshold == pytest.approx(scores[round(0.3 * scores.size) - 1], rel=1e-5)


def test_greedy_allocation_is_that_of_numpy(tools, tmp_path):
    """Steps of 0.1, each to the mask that adds least error for what it skips, beside those that were taken before."""
    generator = np.random.default_rng(9)
    # The last layer hardly sees half of its activations.
    weights = [generator.standard_normal(shape).astype(np.float32) for shape in ((48, 16), (32, 48), (8, 32))]
    weights[2][:, :16] *= 0.01
    x = generator.standard_normal((32, 16)).astype(np.float32)
    (tmp_path / "m.mlir").write_text(network(weights, 4))
    np.savez(tmp_path / "x.npz", in0=x)
    finished = subprocess.run([tools / "prune-opt", tmp_path / "m.mlir",
                               f"--prune-dynamic=sparsity=0.4 calibration={tmp_path}/x.npz allocation=greedy",
                               "--remarks-filter=dynamic", "--remark-format=emitRemark"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = [float(s) for s in re.findall(r"mask %.* sparsity\(([^)]*)\)", finished.stdout)]

    def run_with(thresholds):
        values = x.astype(np.float64)
        for weight, threshold in zip(weights, thresholds):
            values = np.where(np.abs(values) <= threshold, 0, values) @ weight.astype(np.float64).T
        return values

    dense, scores, values = run_with([-1, -1, -1]), [], x.astype(np.float64)
    for weight in weights:
        scores.append(np.sort(np.abs(values).ravel()))
        values = values @ weight.astype(np.float64).T

    def error_of(sparsities):
        thresholds = [s[round(sparsity * s.size) - 1] if sparsity > 0 else -1 for s, sparsity in zip(scores, sparsities)]
        return np.square(run_with(thresholds) - dense).sum() / np.square(dense).sum()

    work = [weight.size for weight in weights]
    target, steps = 0.4 * sum(work), [0, 0, 0]
    prices, found_after, taken, error = [-np.inf] * 3, [-1] * 3, 0, 0.0
    while (saved := sum(w * n / 10 for w, n in zip(work, steps))) < target:
        best = int(np.argmin(prices))
        trial = error_of([(n + (i == best)) / 10 for i, n in enumerate(steps)])
        if found_after[best] < taken:
            prices[best], found_after[best] = (trial - error) / work[best], taken
            continue
        steps[best], error, taken, last = steps[best] + 1, trial, taken + 1, saved
    expected = [n / 10 for n in steps]
    expected[best] = expected[best] - 0.1 + (target - last) / work[best]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.ptp(found) > 0.2 and np.dot(found, work) == pytest.approx(target)
    # The remark gives both errors, and the smaller one is taken.
    by_steps, given = map(float, re.search(r"error (\S+) by steps, (\S+) as given: sparsities by steps", finished.stderr).groups())
    assert by_steps == pytest.approx(error, rel=0.01) and given == pytest.approx(error_of([0.4] * 3), rel=0.01)
    assert by_steps < given


def test_the_benchmark_is_right(tools, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNE_BIN", str(tools))
    rows = []
    for kinds, tokens in ((dynamic.KINDS, 1), (("none",), 4)):
        settings = dynamic.Settings(tmp_path, [(48, 96)], kinds, [0.5], [tokens], runs=1, peer=False)
        rows += [result.row() for result in dynamic.run(settings, Steps("test"))]
    assert [(row["kind"], row["tokens"]) for row in rows] == [*((kind, 1) for kind in dynamic.KINDS), ("none", 4)]
    assert all(row["max_abs_diff"] < 1e-5 and row["peer_ms"] is None and row["ours_ms"] > 0 for row in rows)
    assert [row["sparsity"] for row in rows] == [*[0.5] * 4, 0.0, 0.0]


@pytest.mark.parametrize("marks", [[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1]])
def test_later_layers_see_fewer_tokens(tools, tmp_path, marks):
    """A product of each token with each, behind a layer after which one of four tokens goes."""
    source = ROOT / "test" / "Transforms" / "Dynamic" / "drop-tokens.mlir"
    dropped = subprocess.run([tools / "prune-opt", source, "--prune-drop-tokens=before=second keep=3 padding=in1"],
                             capture_output=True, text=True, check=True)
    x = np.random.default_rng(9).standard_normal((1, 4, 2)).astype(np.float32)
    marks = np.array([marks])
    tokens, mean = run(tools, tmp_path, dropped.stdout, [x, marks], [((1, 4, 2), np.float32), ((1, 2), np.float32)])
    h = x[0].astype(np.float64) @ np.array([[1, 3], [2, 4]])
    scores = np.where(marks[0] == 0, -1, np.abs(h).mean(axis=1))
    kept = np.sort(np.argsort(-scores, kind="stable")[:3])
    y = h[kept] @ np.array([[5, 7], [6, 8]])
    z = (y @ y.T * marks[0, kept]) @ y
    expected = h.copy()
    expected[kept] = z
    np.testing.assert_allclose(tokens[0], expected, rtol=1e-5)
    np.testing.assert_allclose(mean[0], z.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("marks", [[1, 1, 1, 1], [1, 0, 1, 1]])
def test_tokens_that_receive_little_attention_go(tools, tmp_path, marks):
    source = ROOT / "test" / "Transforms" / "Dynamic" / "drop-tokens-attention.mlir"
    dropped = subprocess.run([tools / "prune-opt", source, "--prune-drop-tokens=before=w keep=2 padding=in2 score=attention"],
                             capture_output=True, text=True, check=True)
    generator = np.random.default_rng(12)
    e, values = generator.random((2, 4, 4), np.float32), generator.standard_normal((2, 4, 4)).astype(np.float32)
    marks = np.array([marks])
    found, = run(tools, tmp_path, dropped.stdout, [e, values, marks], [((4, 8), np.float32)])
    shares = e.astype(np.float64) / e.astype(np.float64).sum(axis=2, keepdims=True)
    x = np.moveaxis(shares @ values, 0, 1).reshape(4, 8)
    scores = np.where(marks[0] == 0, -1, (shares * marks[0][None, :, None]).sum(axis=(0, 1)))
    kept = np.sort(np.argsort(-scores, kind="stable")[:2])
    expected = x.copy()
    expected[kept] += x[kept] @ np.arange(1, 9)[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
