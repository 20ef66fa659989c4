"""Real models through the whole compiler: imported, lowered, run, equal to ONNX Runtime.

They lie beside the source tree; without them these tests are skipped. PRUNE_ALL_MODELS=1 also takes the large ones.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess

import numpy as np
import onnx
import pytest

from conftest import SHARED

pytestmark = pytest.mark.shared_models
onnxruntime = pytest.importorskip("onnxruntime")

RECORDED = {"digits_mlp": "y", "digits_lenet": "y", "digits_resnet": "y", "minilm": "last_hidden_state"}
GRAPHS = ["ocr_cnn", "mobilenet_v2", "gpt2_2l", "llama2l_sim", "llama2l"]
LARGE = ["googlenet", "unet", "resnet50", "densenet121", "vgg16_bn", "distilbert", "bert_base", "bert_base_sim",
         "vit_b_16_sim", "vit_b_16"]
if os.environ.get("PRUNE_ALL_MODELS"):
    GRAPHS += LARGE


def run_tool(*command, timeout=600):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stderr[-2000:]


def compile_and_run(tools, source, inputs, folder, kernel="auto"):
    """The outputs of a module in prune-run."""
    np.savez(folder / "x.npz", **inputs)
    run_tool(tools / "prune-opt", source, f"--prune-to-cpu=threads=1 kernel={kernel}", "--emit-bytecode", "-o",
             folder / "cpu.mlirbc")
    run_tool(tools / "prune-run", folder / "cpu.mlirbc", f"--inputs={folder}/x.npz", f"--outputs={folder}/y.npz")
    with np.load(folder / "y.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def import_model(source, folder):
    from prune.importer.driver import import_model
    import_model(source, folder / "m.mlirbc")
    return folder / "m.mlirbc"


@pytest.fixture(scope="module", params=RECORDED)
def recorded(request, tmp_path_factory):
    """A model as PyTorch's exporter writes it: its name, the imported module, inputs and what they give."""
    source = SHARED / "models" / f"{request.param}.onnx"
    arrays = np.load(SHARED / "models" / f"{request.param}_io.npz")
    inputs = {v.name: arrays[v.name] for v in onnx.load(source, load_external_data=False).graph.input}
    return request.param, import_model(source, tmp_path_factory.mktemp(request.param)), inputs, arrays["y"]


def test_recorded_outputs(tools, tmp_path, recorded):
    """Recorded outputs to 1e-4."""
    name, imported, inputs, expected = recorded
    assert np.abs(compile_and_run(tools, imported, inputs, tmp_path)[RECORDED[name]] - expected).max() <= 1e-4


@pytest.mark.parametrize("pattern", ["unstructured", "4x1", "2:4"])
def test_sparse_code_equals_dense_code(tools, tmp_path, recorded, pattern):
    """The same pruned module by sparse kernels and by dense ones."""
    name, imported, inputs, _ = recorded
    sparsity = 0.5 if pattern == "2:4" else 0.8
    exclude = "" if name == "minilm" else " exclude=" + r"^(st|c\.0|f|f\.3|f\.5)\.weight$"
    run_tool(tools / "prune-opt", imported, f"--prune=criterion=magnitude pattern={pattern} sparsity={sparsity} "
             f"scope=layer{exclude}", "--emit-bytecode", "-o", tmp_path / "p.mlirbc")
    results = []
    for kernel in ("auto", "dense"):
        (tmp_path / kernel).mkdir()
        results.append(compile_and_run(tools, tmp_path / "p.mlirbc", inputs, tmp_path / kernel, kernel))
    for output, sparse in results[0].items():
        assert np.abs(sparse - results[1][output]).max() <= 1e-4


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_equal_onnx_runtime(tools, tmp_path, name):
    """Well-known nets with random weights: relative 1e-3."""
    spec = importlib.util.spec_from_file_location("fill_weights", SHARED / "graphs" / "fill_weights.py")
    fill_weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill_weights)
    model = onnx.load(SHARED / "graphs" / f"{name}.onnx")
    fill_weights.fill_model(model, 0)
    onnx.save(model, tmp_path / "filled.onnx")
    inputs = fill_weights.rand_inputs(model, 1)
    session = onnxruntime.InferenceSession(str(tmp_path / "filled.onnx"), providers=["CPUExecutionProvider"])
    expected = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
    outputs = compile_and_run(tools, import_model(tmp_path / "filled.onnx", tmp_path), inputs, tmp_path)
    assert outputs.keys() == expected.keys()
    for output, reference in expected.items():
        assert np.abs(outputs[output] - reference).max() <= 1e-3 * np.abs(reference).max()
    for file in tmp_path.iterdir():
        if file.is_file():
            file.unlink()
