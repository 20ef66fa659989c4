"""prune-quantize against NumPy's integers and against ONNX Runtime's QuantizeLinear and DequantizeLinear, masks included."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.layers import linear_chain

BATCH = 33


def quantize(tools, folder, weights: dict, examples: np.ndarray, prune: str = "", options: str = ""):
    """A chain of layers quantized; the module's path and its remarks."""
    (folder / "f32.mlir").write_text(linear_chain(weights, BATCH))
    np.savez(folder / "examples.npz", x=examples)
    finished = subprocess.run(
        [tools / "prune-opt", folder / "f32.mlir", *([f"--prune={prune}"] if prune else []),
         f"--prune-quantize=data={folder / 'examples.npz'} {options}", "--prune-verify-masks", "--remarks-filter=quantize",
         "--remark-format=emitRemark", "--emit-bytecode", "-o", folder / "int8.mlirbc"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return folder / "int8.mlirbc", finished.stderr


def run(tools, folder, module, x: np.ndarray, options: str = "") -> np.ndarray:
    np.savez(folder / "x.npz", x=x)
    subprocess.run([tools / "prune-opt", module, f"--prune-to-cpu={options}", "--emit-bytecode", "-o",
                    folder / "m.cpu.mlirbc"], check=True, capture_output=True)
    subprocess.run([tools / "prune-run", folder / "m.cpu.mlirbc", f"--inputs={folder / 'x.npz'}",
                    f"--outputs={folder / 'y.npz'}"], check=True, capture_output=True)
    return next(iter(np.load(folder / "y.npz").values()))


def scale_of(values: np.ndarray) -> tuple[np.float32, int]:
    """As the pass has it: a range that holds 0, in f32."""
    low, high = np.float32(min(values.min(), 0)), np.float32(max(values.max(), 0))
    scale = (high - low) / np.float32(255)
    return scale, int(np.rint(-low / scale))


def to_integers(x: np.ndarray, scale, zero) -> np.ndarray:
    return np.clip(np.rint(x / scale) + np.float32(zero), 0, 255).astype(np.uint8)


def rows_to_integers(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(weight).max(axis=1)
    scales = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    return np.clip(np.rint(weight / scales[:, None]), -127, 127).astype(np.int8), scales


def masked(tools, folder, weights: dict, prune: str) -> dict:
    """The weights as `prune` leaves them, magnitude and ties as the compiler has them."""
    from prune.weights import masked_weights
    source = folder / "masked.mlirbc"
    (folder / "f32.mlir").write_text(linear_chain(weights, BATCH))
    subprocess.run([tools / "prune-opt", folder / "f32.mlir", *([f"--prune={prune}"] if prune else []), "--emit-bytecode",
                    "-o", source], check=True)
    return {**weights, **(masked_weights(source, 60) if prune else {})}


def make_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"a": random.standard_normal((48, 30)).astype(np.float32), "b": random.standard_normal((21, 48)).astype(np.float32)}


def integer_chain(weights: dict, scales: list, x: np.ndarray) -> np.ndarray:
    """The whole chain in integers: what the compiled net has to give but for the last bits of f32."""
    for index, (weight, (scale, zero)) in enumerate(zip(weights.values(), scales)):
        integers, steps = rows_to_integers(weight)
        sums = to_integers(x, scale, zero).astype(np.int32) @ integers.T.astype(np.int32)
        sums -= zero * integers.astype(np.int32).sum(axis=1)
        x = sums.astype(np.float32) * (np.float32(scale) * steps)
        if index + 1 < len(weights):
            x = np.maximum(x, 0)
    return x


def observe(weights: dict, examples: np.ndarray) -> list:
    """Scales of the inputs of all layers, of the net in f32."""
    scales = []
    for weight in weights.values():
        scales.append(scale_of(examples))
        examples = np.maximum(examples @ weight.T, 0)
    return scales


def onnx_chain(weights: dict, scales: list, by_row: bool = True, signed: bool = False) -> bytes:
    """As ONNX Runtime's static quantizer writes it: QDQ around each product, weights int8 by row or with one scale,
    activations uint8 or int8."""
    nodes, constants, value = [], [], "x"
    for index, ((name, weight), (scale, zero)) in enumerate(zip(weights.items(), scales)):
        integers, steps = rows_to_integers(weight)
        zeros = np.zeros(len(steps), np.int8)
        if not by_row:
            steps, zeros = np.abs(weight).max() / np.float32(127), np.int8(0)
            integers = np.rint(weight / steps).astype(np.int8)
        constants += [numpy_helper.from_array(v, f"{name}.{n}") for n, v in {
            "scale": np.float32(scale), "zero": np.int8(zero - 128) if signed else np.uint8(zero),
            "weight_quantized": np.ascontiguousarray(integers.T), "steps": steps, "zeros": zeros}.items()]
        nodes += [helper.make_node("QuantizeLinear", [value, f"{name}.scale", f"{name}.zero"], [f"{name}.q"]),
                  helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.scale", f"{name}.zero"], [f"{name}.x"]),
                  helper.make_node("DequantizeLinear", [f"{name}.weight_quantized", f"{name}.steps", f"{name}.zeros"], [f"{name}.w"],
                                   axis=1),
                  helper.make_node("MatMul", [f"{name}.x", f"{name}.w"], [f"{name}.y"])]
        value = f"{name}.y"
        if index + 1 < len(weights):
            nodes.append(helper.make_node("Relu", [value], [f"{name}.r"]))
            value = f"{name}.r"
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [BATCH, 30])],
                              [helper.make_tensor_value_info(value, TensorProto.FLOAT, [BATCH, 21])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run_onnx(model: bytes, x: np.ndarray) -> np.ndarray:
    """Without ONNX Runtime's own int8 kernels, which saturate at 16 bits on processors without VNNI."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("prune", ["", "sparsity=0.8", "pattern=4x1 sparsity=0.75 include=a", "pattern=2:4"])
def test_layers(tools, tmp_path, prune):
    """One difference of a step in an activation is what rounding elsewhere may cause; sums themselves are exact, and so in f32
    as on words."""
    random = np.random.default_rng(1)
    examples, x = (random.standard_normal((n, 30)).astype(np.float32) for n in (4 * BATCH, BATCH))
    weights = make_weights()
    module, _ = quantize(tools, tmp_path, weights, examples, prune)
    weights = masked(tools, tmp_path, weights, prune)
    scales = observe(weights, examples)
    found = run(tools, tmp_path, module, x)
    for options in ("kernel=sparse word-columns=4", "features=-avx512vnni,-avxvnni"):
        np.testing.assert_array_equal(found, run(tools, tmp_path, module, x, options))
    step = scales[1][0] * np.abs(weights["b"]).max()
    expected = integer_chain(weights, scales, x)
    differences = np.abs(found - expected)
    assert differences.max() <= 1.01 * step
    assert np.mean(differences > 1e-4) < 0.02
    assert np.abs(found - run_onnx(onnx_chain(weights, scales), x)).max() <= 1.01 * step
    # And the integers are near what they stand for.
    exact = np.maximum(x @ weights["a"].T, 0) @ weights["b"].T
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)


def test_empty_rows_and_constant_activations(tools, tmp_path):
    """A row without weights has no largest one, an activation that is always 0 no range."""
    weights = make_weights()
    weights["a"][3] = 0
    examples = np.zeros((BATCH, 30), np.float32)
    module, remarks = quantize(tools, tmp_path, weights, examples)
    assert "activations [0, 255] in steps of 1 with zero point 0" in remarks
    assert not run(tools, tmp_path, module, examples).any()


def test_values_beyond_the_range_and_nan(tools, tmp_path):
    weights = {"a": make_weights()["a"]}
    examples = np.random.default_rng(2).uniform(-1, 1, (BATCH, 30)).astype(np.float32)
    module, _ = quantize(tools, tmp_path, weights, examples)
    x = examples.copy()
    x[0], x[1], x[2] = 1e30, -1e30, np.nan
    found = run(tools, tmp_path, module, x)
    x[2] = -1e30  # NaN is not above the least value
    np.testing.assert_allclose(found, integer_chain(weights, [scale_of(examples)], x), rtol=1e-5, atol=1e-6)


def test_report_and_remarks(tools, tmp_path):
    weights = make_weights()
    examples = np.random.default_rng(2).uniform(-1, 1, (BATCH, 30)).astype(np.float32)
    module, _ = quantize(tools, tmp_path, weights, examples, "sparsity=0.8")
    finished = subprocess.run(
        [tools / "prune-opt", module, f"--prune-to-cpu=report={tmp_path / 'layers.json'} cpu=znver4",
         "--remarks-filter=prune-pack", "--remark-format=emitRemark", "-o", "/dev/null"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    layers = json.loads((tmp_path / "layers.json").read_text())["layers"]
    assert [(layer["type"], layer["word_columns"], layer["columns"]) for layer in layers] == [("int8", 4, 30), ("int8", 4, 48)]
    assert len(re.findall(r"int8, density 0\.20 in words of 4 columns: \w+.* us estimated.*; f32 would take [\d.]+ us",
                          finished.stderr)) == 2


@pytest.mark.parametrize("by_row, signed, prune", [(True, False, "sparsity=0.7"), (False, True, "")],
                         ids=["rows-uint8-pruned", "tensor-int8"])
def test_imports_quantized_models(tools, tmp_path, by_row, signed, prune):
    """A model with QuantizeLinear and DequantizeLinear keeps its integers: no examples are needed, nothing is rounded again."""
    pytest.importorskip("iree.compiler")
    from prune.importer.driver import import_model
    random = np.random.default_rng(3)
    weights = make_weights()
    scales = observe(weights, random.standard_normal((4 * BATCH, 30)).astype(np.float32))
    (tmp_path / "m.onnx").write_bytes(onnx_chain(weights, scales, by_row, signed))
    import_model(tmp_path / "m.onnx", tmp_path / "imported.mlirbc")
    x = random.standard_normal((BATCH, 30)).astype(np.float32)
    flags = [f"--prune={prune}"] if prune else []
    finished = subprocess.run([tools / "prune-opt", tmp_path / "imported.mlirbc", *flags, "--prune-quantize",
                               "--remarks-filter=quantize", "--remark-format=emitRemark", "--emit-bytecode", "-o",
                               tmp_path / "int8.mlirbc"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    errors = [float(e) for e in re.findall(r"relative error of the weight ([\d.e-]+)", finished.stderr)]
    assert len(errors) == 2 and max(errors) < 1e-6
    assert "'a.weight': activations" in finished.stderr
    subprocess.run([tools / "prune-opt", tmp_path / "imported.mlirbc", *flags, "--emit-bytecode", "-o", tmp_path / "f32.mlirbc"],
                   check=True)
    found = run(tools, tmp_path, tmp_path / "int8.mlirbc", x)
    step = scales[1][0] * np.abs(weights["b"]).max()
    expected = run(tools, tmp_path, tmp_path / "f32.mlirbc", x)
    if not prune:
        expected = run_onnx((tmp_path / "m.onnx").read_bytes(), x)
    differences = np.abs(found - expected)
    assert differences.max() <= 1.01 * step
    assert np.mean(differences > 1e-4) < 0.02
