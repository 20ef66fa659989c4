"""prune-calibrate-masks on whole networks: what it is good for, and weights that several layers share."""

from __future__ import annotations

import subprocess

import numpy as np
import onnx
import pytest

from calibration import layers, oracle
from calibration.layers import Calibrated, integers
from prune.digits import images, nets
from prune.importer.driver import ImportOptions, import_model

onnxruntime = pytest.importorskip("onnxruntime")
BATCH = 64


def prune_opt(tools, *arguments) -> bytes:
    finished = subprocess.run([tools / "prune-opt", *map(str, arguments)], capture_output=True)
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout


@pytest.fixture(scope="module")
def net(request, tools, tmp_path_factory):
    """A classifier with random weights, images to calibrate with and others, and what it makes of those."""
    folder = tmp_path_factory.mktemp(request.param)
    model, (train, test) = nets.build(request.param, BATCH, 1), images.load()
    onnx.save(model, folder / "net.onnx")
    import_model(folder / "net.onnx", folder / "net.mlirbc", ImportOptions())
    np.savez(folder / "train.npz", x=train["x"][:300])
    cases = test["x"][:2 * BATCH].reshape(2, BATCH, 1, 8, 8)
    np.savez(folder / "test.npz", x=cases)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return folder, np.concatenate([session.run(None, {"x": case})[0] for case in cases])


def error(tools, net, options) -> float:
    """Squared error of the pruned network's results on images it has not seen, relative to them."""
    folder, expected = net
    text = prune_opt(tools, folder / "net.mlirbc", f"--prune={options} data={folder}/train.npz", "--prune-verify-masks",
                     "--prune-to-cpu=cpu=host", "--emit-bytecode", "-o", folder / "cpu.mlirbc")
    assert not text
    subprocess.run([tools / "prune-run", folder / "cpu.mlirbc", "--cases", f"--inputs={folder}/test.npz",
                    f"--outputs={folder}/y.npz"], check=True, capture_output=True)
    with np.load(folder / "y.npz") as arrays:
        found = arrays["y"].reshape(expected.shape)
    return float(np.sum((found - expected) ** 2) / np.sum(expected ** 2))


@pytest.mark.parametrize("net, pattern", [
    ("cnn", "pattern=unstructured sparsity=0.6"), ("cnn", "pattern=2:4"), ("mlp", "pattern=4x1 sparsity=0.5")],
    indirect=["net"])
def test_activations_help(tools, net, pattern):
    magnitude, sparsegpt, refit = (error(tools, net, f"criterion={criterion} {pattern}") for criterion in (
        "magnitude", "sparsegpt", "sparsegpt refit=true column-counts=ranked"))
    assert refit < sparsegpt < 0.5 * magnitude


@pytest.mark.parametrize("net", ["mlp"], indirect=True)
def test_any_number_of_threads_gives_the_same_network(tools, net):
    folder, _ = net
    assert len({prune_opt(tools, folder / "net.mlirbc", "--emit-bytecode",
                          f"--prune=criterion=sparsegpt sparsity=0.6 data={folder}/train.npz threads={threads}")
                for threads in (1, 2, 3)}) == 1


SHARED = """
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%a: tensor<32x24xf32> {prune.name = "a"}, %b: tensor<32x24xf32> {prune.name = "b"}) -> tensor<32x24xf32> {
  %v = arith.constant dense_resource<v> : tensor<24x24xf32>
  %w = arith.constant dense_resource<w> : tensor<24x24xf32>
  %f = arith.constant dense<0.0> : tensor<32x24xf32>
"""
PRODUCT = ("  {y} = linalg.contract indexing_maps = [#x, #w, #y] ins({x}, {w} : tensor<32x24xf32>, tensor<24x24xf32>) "
           "outs(%f : tensor<32x24xf32>) -> tensor<32x24xf32>\n")


def shared(tools, folder, products, extra="") -> tuple[Calibrated, dict, dict]:
    """Calibrates v and w in products (result, input, weight); the last result is returned."""
    random = np.random.default_rng(16)
    weights = {name: random.standard_normal((24, 24)).astype(np.float32) for name in "vw"}
    inputs = {name: integers(random, 96, 24) for name in "ab"}
    np.savez(folder / "x.npz", **inputs)
    body = "".join(PRODUCT.format(y=y, x=x, w=w) for y, x, w in products)
    module = SHARED + body + extra + f"  return {products[-1][0]} : tensor<32x24xf32>\n}}\n" + layers.resources(weights)
    return Calibrated(tools, module, folder / "x.npz", "criterion=sparsegpt sparsity=0.5"), weights, inputs


def test_two_towers_share_weights(tools, tmp_path):
    """Each weight sees both towers, and the second layer of both sees the pruned first."""
    result, weights, inputs = shared(tools, tmp_path, [
        ("%a1", "%a", "%v"), ("%a2", "%a1", "%w"), ("%b1", "%b", "%v"), ("%b2", "%b1", "%w")])
    x = np.concatenate([inputs["a"], inputs["b"]])
    for name in "vw":
        keep, expected = oracle.sparsegpt(weights[name], [x], "unstructured", 0.5)
        np.testing.assert_array_equal(result.masks[name], keep, name)
        np.testing.assert_allclose(result.weights[name], expected, rtol=0, atol=1e-4)
        x = x @ expected.astype(np.float32).T
    assert "192 rows" in result.remarks and "2 inputs" in result.remarks and "unpruned" not in result.remarks


def test_a_weight_that_sees_its_own_result(tools, tmp_path):
    """v is applied twice in a row: its statistics come from itself unpruned, w's from v pruned."""
    result, weights, inputs = shared(tools, tmp_path, [("%a1", "%a", "%v"), ("%a2", "%a1", "%v"), ("%a3", "%a2", "%w")])
    x = np.concatenate([inputs["a"], inputs["a"] @ weights["v"].T])
    keep, expected = oracle.sparsegpt(weights["v"], [x], "unstructured", 0.5)
    np.testing.assert_array_equal(result.masks["v"], keep)
    np.testing.assert_allclose(result.weights["v"], expected, rtol=0, atol=1e-4)
    assert result.remarks.count("a layer runs with 'v' unpruned") == 1
    once = inputs["a"] @ weights["v"].T  # was computed before the mask was known
    keep, expected = oracle.sparsegpt(weights["w"], [once @ expected.astype(np.float32).T], "unstructured", 0.5)
    np.testing.assert_array_equal(result.masks["w"], keep)
    np.testing.assert_allclose(result.weights["w"], expected, rtol=0, atol=1e-4)
