"""prune-permute-channels against exhaustive search in NumPy, and on a real encoder."""

from __future__ import annotations

import itertools
import re

import numpy as np
import onnx
import pytest

pytest.importorskip("iree.compiler")

from conftest import SHARED, Graph
from prune import toolchain
from prune.export.source import Source
from prune.importer.driver import import_model


def kept(weight: np.ndarray, n: int, m: int) -> float:
    matrix = np.abs(weight.reshape(len(weight), -1)).astype(float)
    matrix = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % m)))
    return np.sort(matrix.reshape(-1, m))[:, m - n:].sum()


def permute(module, target, options="", limit=120):
    """Runs the pass; returns its remarks."""
    return toolchain.checked("prune-opt", [module, f"--prune-permute-channels={options}", "--emit-bytecode", "-o", target,
                                           "--remark-format=emitRemark", "--remarks-filter=prune-permute-channels"],
                             limit, str(module)).stderr


def mlp(folder, inner: int, seed: int, out: int = 6):
    g = Graph(seed=seed, x=[3, 5])
    y = g.add("Relu", g.add("Gemm", "x", g.weight("a.weight", inner, 5), g.weight("a.bias", inner), transB=1))
    y = g.add("Gemm", y, g.weight("b.weight", out, inner), g.weight("b.bias", out), transB=1)
    onnx.save(g.model(y, shapes={y: [3, out]}), folder / "m.onnx")
    import_model(folder / "m.onnx", folder / "m.mlirbc")
    return folder / "m.mlirbc"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("channels, n, m", [(8, 2, 4), (8, 1, 4), (8, 3, 4), (4, 1, 2), (6, 2, 3), (7, 2, 4), (5, 2, 4)])
def test_two_stripes_are_ordered_in_the_best_way(tmp_path, channels, n, m, seed):
    """All orders of up to eight channels: the sum of what is kept is the largest there is, and the net computes the same."""
    module = mlp(tmp_path, channels, seed)
    before = Source(module, 60).constants
    permute(module, tmp_path / "p.mlirbc", f"pattern={n}:{m}")
    after = Source(tmp_path / "p.mlirbc", 60).constants
    weight = before["b.weight"]
    best = max(kept(weight[:, list(first) + [i for i in range(channels) if i not in first]], n, m)
               for first in itertools.combinations(range(channels), m))
    assert kept(after["b.weight"], n, m) == pytest.approx(best, rel=1e-6)
    # The order of the columns is that of the rows and of the bias.
    order = [int(np.flatnonzero((before["a.weight"] == row).all(axis=1))[0]) for row in after["a.weight"]]
    assert sorted(order) == list(range(channels))
    assert np.array_equal(after["a.bias"], before["a.bias"][order])
    assert np.array_equal(after["b.weight"], weight[:, order]) and np.array_equal(after["b.bias"], before["b.bias"])


def test_many_stripes_come_close_to_the_bound(tmp_path):
    """Twelve channels, of which all 5775 divisions are tried here."""
    module = mlp(tmp_path, 12, seed=5)
    weight = Source(module, 60).constants["b.weight"]
    permute(module, tmp_path / "p.mlirbc")
    found = kept(Source(tmp_path / "p.mlirbc", 60).constants["b.weight"], 2, 4)
    sums = {c: kept(weight[:, list(c)], 2, 4) for c in itertools.combinations(range(12), 4)}
    best = max(sums[a] + sums[b] + sums[tuple(sorted(set(range(12)) - set(a) - set(b)))]
               for a in sums if 0 in a for b in sums if not set(a) & set(b))
    assert found == pytest.approx(best, rel=1e-6)


def test_filters_move_with_all_their_taps(tmp_path):
    """Nine columns for each channel: groups of four reach from one channel into the next, so order matters within four."""
    g = Graph(seed=2, x=[1, 3, 8, 8])
    y = g.add("Relu", g.add("Conv", "x", g.weight("a.weight", 16, 3, 3, 3), g.weight("a.bias", 16), kernel_shape=[3, 3]))
    y = g.add("Conv", y, g.weight("b.weight", 4, 16, 3, 3), g.weight("b.bias", 4), kernel_shape=[3, 3])
    onnx.save(g.model(y, shapes={y: [1, 4, 4, 4]}), tmp_path / "m.onnx")
    import_model(tmp_path / "m.onnx", tmp_path / "m.mlirbc")
    before = Source(tmp_path / "m.mlirbc", 60).constants
    remarks = permute(tmp_path / "m.mlirbc", tmp_path / "p.mlirbc")
    after = Source(tmp_path / "p.mlirbc", 60).constants
    order = [int(np.flatnonzero(before["a.bias"] == b)[0]) for b in after["a.bias"]]
    assert np.array_equal(after["a.weight"], before["a.weight"][order])
    assert np.array_equal(after["b.weight"], before["b.weight"][:, order])
    shares = [kept(w["b.weight"], 2, 4) / np.abs(w["b.weight"]).sum(dtype=float) for w in (after, before)]
    assert shares[0] > shares[1]
    assert f"'b.weight' keeps {100 * shares[0]:.2f} % of its magnitude as 2:4, {100 * shares[1]:.2f} % before" in remarks


def test_the_bytes_do_not_depend_on_threads(tmp_path):
    module = mlp(tmp_path, 96, seed=1, out=40)
    for threads in (1, 2, 5):
        permute(module, tmp_path / f"{threads}.mlirbc", f"threads={threads}")
    files = [(tmp_path / f"{threads}.mlirbc").read_bytes() for threads in (1, 2, 5)]
    assert files[0] == files[1] == files[2]


@pytest.mark.shared_models
@pytest.mark.parametrize("name, weights", [("digits_mlp", 2), ("digits_lenet", 2), ("digits_resnet", 3), ("minilm", 12)])
def test_real_models_keep_more_and_compute_the_same(tools, tmp_path, name, weights):
    pytest.importorskip("onnxruntime")
    from test_models import RECORDED, compile_and_run
    recorded = np.load(SHARED / "models" / f"{name}_io.npz")
    import_model(SHARED / "models" / f"{name}.onnx", tmp_path / "m.mlirbc")
    remarks = permute(tmp_path / "m.mlirbc", tmp_path / "p.mlirbc", "effort=0.1")
    shares = re.findall(r"' keeps (\S+) % of its magnitude as 2:4, (\S+) % before", remarks)
    assert len(shares) == weights and all(float(after) > float(before) for after, before in shares)
    inputs = {v.name: recorded[v.name] for v in onnx.load(SHARED / "models" / f"{name}.onnx").graph.input}
    outputs = []
    for module in ("m", "p"):
        (tmp_path / module).mkdir()
        outputs.append(compile_and_run(tools, tmp_path / f"{module}.mlirbc", inputs, tmp_path / module)[RECORDED[name]])
    assert np.abs(outputs[0] - outputs[1]).max() <= 1e-5 * np.abs(outputs[0]).max()
    assert np.abs(outputs[1] - recorded["y"]).max() <= 1e-4
