"""Structured pruning of well-known nets with random weights, without a setting for any of them.

The masked and the shrunk model are compiled and run apart. What is left is compared with what Torch-Pruning leaves
(GroupMagnitudeImportance, one step, 0.3 and 0.5 of each group). PRUNE_ALL_MODELS=1 takes the large nets too.
"""

from __future__ import annotations

import importlib.util
import json
import os

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from conftest import SHARED
from test_models import compile_and_run, import_model, run_tool

pytestmark = pytest.mark.shared_models

NETS, RATIOS = ["ocr_cnn"], [0.5]
if os.environ.get("PRUNE_ALL_MODELS"):
    NETS += ["gpt2_2l", "mobilenet_v2", "llama2l_sim", "llama2l", "unet", "googlenet", "densenet121", "resnet50",
             "vgg16_bn", "distilbert", "bert_base", "bert_base_sim", "vit_b_16_sim", "vit_b_16"]
    RATIOS = [0.25, 0.5, 0.75]
# Kept parameters and multiply-adds in percent at 0.3 and 0.5, and the kinds of groups that were pruned there: it finds
# no heads in ViT and GPT-2.
ANCHOR = {
    "resnet50": ("", (50.6, 49.3), (27.1, 25.9)), "mobilenet_v2": ("", (57.2, 51.7), (34.9, 29.1)),
    "densenet121": ("", (51.1, 49.1), (28.5, 26.5)), "vgg16_bn": ("", (48.9, 48.7), (25.0, 25.2)),
    "googlenet": ("", (51.9, 50.1), (29.0, 27.1)), "unet": ("", (48.8, 48.2), (25.0, 25.2)),
    "vit_b_16_sim": (" kinds=neurons", (80.4, 81.0), (67.3, 68.3)), "bert_base": ("", (75.7, 68.9), (61.0, 50.0)),
    "distilbert": ("", (80.1, 68.9), (68.0, 50.0)), "llama2l_sim": ("", (76.4, 67.6), (65.3, 52.3)),
    "gpt2_2l": (" kinds=neurons", (88.1, 80.0), (80.1, 66.7)),
}


def keep_signal(model, ratio):
    """Dense convolutions with the gain that they lose with `ratio` of what they read. Without batch statistics taken
    anew, linear bottlenecks let no signal through where three quarters of the channels are gone."""
    filters = {node.input[1] for node in model.graph.node if node.op_type == "Conv" and
               not any(a.name == "group" and a.i > 1 for a in node.attribute)}
    for tensor in model.graph.initializer:
        if tensor.name in filters:
            scaled = numpy_helper.to_array(tensor) * np.float32((1 - ratio) ** -0.5)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))


class Net:
    def __init__(self, name, tools, folder, ratio=0.0):
        spec = importlib.util.spec_from_file_location("fill_weights", SHARED / "graphs" / "fill_weights.py")
        fill_weights = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fill_weights)
        model = onnx.load(SHARED / "graphs" / f"{name}.onnx")
        fill_weights.fill_model(model, 0)
        if name == "mobilenet_v2":
            keep_signal(model, ratio)
        onnx.save(model, folder / "filled.onnx")
        self.tools, self.folder = tools, folder
        self.inputs = [fill_weights.rand_inputs(model, seed) for seed in (1, 2)]
        self.module = import_model(folder / "filled.onnx", folder)
        (folder / "filled.onnx").unlink()

    def prune(self, options, shrink=True):
        """The file of the pruned module."""
        target = self.folder / f"{'shrunk' if shrink else 'masked'}.mlirbc"
        run_tool(self.tools / "prune-opt", self.module, f"--prune-structured={options}{'' if shrink else ' shrink=false'}",
                 "--emit-bytecode", "-o", target)
        return target

    def count(self, module):
        """Parameters, and multiply-adds of weights: products of two activations are left out, as in the anchor."""
        run_tool(self.tools / "prune-opt", module, f"--prune-identify=json={self.folder}/layers.json", "-o", "/dev/null")
        report = json.loads((self.folder / "layers.json").read_text())
        return np.array([report["parameters"], sum(x["flops"] for x in report["layers"] if x["kind"] != "attention")])


@pytest.fixture
def net(tools, tmp_path, request):
    yield Net(request.param, tools, tmp_path, request.node.callspec.params.get("ratio", 0.0))
    for file in tmp_path.iterdir():
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("net", NETS, indirect=True)
def test_shrunk_equals_masked(net, ratio):
    options = f"ratio={ratio} criterion=l2 scope=local"
    shrunk = net.prune(options)
    outputs = [compile_and_run(net.tools, shrunk, x, net.folder) for x in net.inputs]
    masked = compile_and_run(net.tools, net.prune(options, shrink=False), net.inputs[0], net.folder, "dense")
    assert outputs[0].keys() == masked.keys()
    for name, value in masked.items():
        scale = np.abs(value).max()
        assert np.isfinite(value).all() and np.abs(outputs[0][name] - value).max() <= 1e-5 * scale
        assert np.abs(outputs[0][name] - outputs[1][name]).max() >= 1e-3 * scale
    assert (net.count(shrunk) < (1 - 0.3 * ratio) * net.count(net.module)).all()


@pytest.mark.parametrize("net", [n for n in NETS if n in ANCHOR] or ["gpt2_2l"], indirect=True)
def test_what_is_left_is_what_the_anchor_leaves(net, request):
    name = request.node.callspec.params["net"]
    kinds, *figures = ANCHOR[name]
    # In the grouped-query net the anchor takes the same heads, 40 % of them, at both ratios.
    tolerance = 2.5 if name == "llama2l_sim" else 2
    dense = net.count(net.module)
    for ratio, expected in zip((0.3, 0.5), figures):
        share = 100 * net.count(net.prune(f"ratio={ratio} criterion=l2 scope=local{kinds}")) / dense
        assert np.abs(share - expected).max() <= tolerance, (ratio, share)
