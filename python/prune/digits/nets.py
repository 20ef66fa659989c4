"""Two classifiers of 8x8 images as ONNX graphs with random weights: input `x` [batch, 1, 8, 8], output `y` [batch, 10].

Weights and biases begin as in PyTorch: uniform within 1/sqrt(inputs of one output) on both sides of zero; norms within
1e-3 of the identity.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from prune.errors import PruneError

NETS = ("cnn", "mlp")
_OPSET = 17


class _Graph:
    """Nodes and random constants in the order they are added."""

    def __init__(self, seed: int):
        self.random = np.random.Generator(np.random.Philox(key=[seed % 2**64, 0]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, result: str = "", **attributes) -> str:
        result = result or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [result], name=f"/{result}", **attributes))
        return result

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def uniform(self, layer: str, shape: tuple[int, ...]) -> tuple[str, str]:
        """Weight and bias of a layer whose first dimension counts the outputs."""
        bound = 1.0 / math.sqrt(math.prod(shape[1:]))
        return (self.constant(f"{layer}.weight", self.random.uniform(-bound, bound, shape)),
                self.constant(f"{layer}.bias", self.random.uniform(-bound, bound, shape[:1])))

    def near(self, name: str, value: float, size: int) -> str:
        """A vector of almost one value: exactly one would become a scalar of the norm on import and lose its name."""
        return self.constant(name, value + self.random.uniform(-1e-3, 1e-3, size))

    def linear(self, layer: str, x: str, inputs: int, outputs: int, result: str = "") -> str:
        return self.add("Gemm", x, *self.uniform(layer, (outputs, inputs)), transB=1, result=result)

    def convolution(self, layer: str, x: str, inputs: int, outputs: int) -> str:
        """3x3, then batch norm, ReLU and a maximum over 2x2."""
        y = self.add("Conv", x, *self.uniform(layer, (outputs, inputs, 3, 3)), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        norm = layer.replace("conv", "norm")
        y = self.add("BatchNormalization", y, self.near(f"{norm}.weight", 1.0, outputs),
                     self.near(f"{norm}.bias", 0.0, outputs), self.near(f"{norm}.running_mean", 0.0, outputs),
                     self.near(f"{norm}.running_var", 1.0, outputs), epsilon=1e-5)
        return self.add("MaxPool", self.add("Relu", y), kernel_shape=[2, 2], strides=[2, 2])


def build(net: str, batch: int, seed: int) -> onnx.ModelProto:
    """The net with weights that depend on `seed` alone."""
    graph = _Graph(seed)
    if net == "mlp":
        y = graph.add("Flatten", "x")
        y = graph.add("Relu", graph.linear("dense1", y, 64, 256))
        y = graph.add("Relu", graph.linear("dense2", y, 256, 128))
        graph.linear("dense3", y, 128, 10, result="y")
    elif net == "cnn":
        y = graph.convolution("conv1", "x", 1, 16)
        y = graph.add("Flatten", graph.convolution("conv2", y, 16, 32))
        y = graph.add("Relu", graph.linear("dense1", y, 128, 64))
        graph.linear("dense2", y, 64, 10, result="y")
    else:
        raise PruneError("--model", "net", net, " or ".join(NETS))
    model = helper.make_model(
        helper.make_graph(graph.nodes, f"digits_{net}",
                          [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 8, 8])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
