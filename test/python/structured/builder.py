"""Layers as PyTorch's exporter writes them (opset 17), with random weights under the names of their modules."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper


class Net:
    """Builds one model: `n = Net(x=[1, 3, 8, 8]); n.conv("c", "x", 3, 8); ...; n.model(y)`.

    Inputs of int64 are marked by an "i": `Net(ids=("i", [1, 8]))`. Each weight is drawn from its own generator, seeded
    by the function that builds the net and the name of the weight: a net does not change when a layer is added, and no
    two nets have equal weights. Weights are scaled by their fan-in: neither deep nor wide nets lose their signal.
    """

    def __init__(self, **inputs):
        self.salt = sys._getframe(1).f_code.co_name
        self.inputs, self.nodes, self.constants = [], [], {}
        for name, shape in inputs.items():
            kind = TensorProto.INT64 if shape[0] == "i" else TensorProto.FLOAT
            self.inputs.append(helper.make_tensor_value_info(name, kind, shape[1] if shape[0] == "i" else shape))
        self.outputs: list[tuple[str, str]] = []

    # Constants and plain nodes

    def constant(self, name: str, value, dtype=None) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def ints(self, *values: int) -> str:
        """A constant list of integers, shared by equal lists."""
        return self.constant("ints." + ".".join(map(str, values)), values, np.int64)

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar.{value}", value, np.float32)

    def random(self, name: str, shape, scale=1.0, mean=0.0) -> str:
        return self.constant(name, mean + scale * self.generator(name).standard_normal(shape), np.float32)

    def generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.salt}/{name}".encode()))

    def add(self, op: str, *inputs: str, outputs=1, **attributes):
        """Appends a node; returns the name of its result, or a list for several."""
        results = [f"{op.lower()}.{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), results, name=f"/{op}_{len(self.nodes)}", **attributes))
        return results if outputs > 1 else results[0]

    def model(self, *outputs: str) -> ModelProto:
        """The model; outputs are renamed to y0, y1 and so on by an Identity that import removes."""
        for i, output in enumerate(outputs):
            self.nodes.append(helper.make_node("Identity", [output], [f"y{i}"], name=f"/Identity_{i}"))
        graph = helper.make_graph(
            self.nodes, "g", self.inputs,
            [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(len(outputs))],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)

    # Layers

    def conv(self, name, x, cin, cout, k=3, stride=1, groups=1, dilation=1, bias=False, pad=None, rank=2):
        weight = self.random(f"{name}.weight", [cout, cin // groups] + [k] * rank,
                             (2.0 / (cin // groups * k ** rank)) ** 0.5)
        pad = dilation * (k // 2) if pad is None else pad
        return self.add("Conv", x, weight, *([self.random(f"{name}.bias", [cout], 0.1)] if bias else []),
                        strides=[stride] * rank, pads=[pad] * 2 * rank, dilations=[dilation] * rank, group=groups,
                        kernel_shape=[k] * rank)

    def deconv(self, name, x, cin, cout, k=2, stride=2, groups=1, pad=0, bias=True):
        weight = self.random(f"{name}.weight", [cin, cout // groups, k, k],
                             (2.0 * stride ** 2 / (cin // groups * k * k)) ** 0.5)
        return self.add("ConvTranspose", x, weight, *([self.random(f"{name}.bias", [cout], 0.1)] if bias else []),
                        strides=[stride] * 2, pads=[pad] * 4, group=groups, kernel_shape=[k, k])

    def bn(self, name, x, c):
        var = self.generator(name).uniform(0.6, 1.4, c)
        return self.add("BatchNormalization", x, self.random(f"{name}.weight", [c], 0.1, 1.0),
                        self.random(f"{name}.bias", [c], 0.1), self.random(f"{name}.running_mean", [c], 0.1),
                        self.constant(f"{name}.running_var", var, np.float32), epsilon=1e-5)

    def relu(self, x):
        return self.add("Relu", x)

    def relu6(self, x):
        return self.add("Clip", x, self.scalar(0.0), self.scalar(6.0))

    def silu(self, x):
        return self.add("Mul", x, self.add("Sigmoid", x))

    def gelu(self, x):
        """By erf, in the order of the exporter."""
        e = self.add("Add", self.add("Erf", self.add("Div", x, self.scalar(2 ** 0.5))), self.scalar(1.0))
        return self.add("Mul", self.add("Mul", x, e), self.scalar(0.5))

    def gelu_tanh(self, x):
        """As GPT-2 has it."""
        cube = self.add("Mul", self.add("Pow", x, self.scalar(3.0)), self.scalar(0.044715))
        t = self.add("Tanh", self.add("Mul", self.add("Add", x, cube), self.scalar(0.7978846)))
        return self.add("Mul", self.add("Mul", x, self.scalar(0.5)), self.add("Add", t, self.scalar(1.0)))

    def conv_bn(self, name, x, cin, cout, k=3, act="relu", **options):
        y = self.bn(f"{name}.bn", self.conv(f"{name}.conv", x, cin, cout, k, **options), cout)
        return getattr(self, act)(y) if act else y

    def linear(self, name, x, fan_in, fan_out, bias=True):
        """On rank 3 and more: a MatMul, the bias first in the Add."""
        y = self.add("MatMul", x, self.random(f"{name}.weight", [fan_in, fan_out], fan_in ** -0.5))
        return self.add("Add", self.random(f"{name}.bias", [fan_out], 0.1), y) if bias else y

    def gemm(self, name, x, fan_in, fan_out):
        """On rank 2: a Gemm of a transposed weight."""
        return self.add("Gemm", x, self.random(f"{name}.weight", [fan_out, fan_in], fan_in ** -0.5),
                        self.random(f"{name}.bias", [fan_out], 0.1), transB=1)

    def layer_norm(self, name, x, d, decomposed=False):
        weight, bias = self.random(f"{name}.weight", [d], 0.1, 1.0), self.random(f"{name}.bias", [d], 0.1)
        if not decomposed:
            return self.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=1e-5)
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", centred, self.scalar(2.0)), axes=[-1])
        deviation = self.add("Sqrt", self.add("Add", variance, self.scalar(1e-5)))
        return self.add("Add", self.add("Mul", self.add("Div", centred, deviation), weight), bias)

    def rms_norm(self, name, x, d):
        square = self.add("ReduceMean", self.add("Pow", x, self.scalar(2.0)), axes=[-1])
        scale = self.add("Div", self.scalar(1.0), self.add("Sqrt", self.add("Add", square, self.scalar(1e-6))))
        return self.add("Mul", self.random(f"{name}.weight", [d], 0.1, 1.0), self.add("Mul", x, scale))

    # Shapes

    def reshape(self, x, *shape: int):
        return self.add("Reshape", x, self.ints(*shape))

    def transpose(self, x, *perm: int):
        return self.add("Transpose", x, perm=perm)

    def slice(self, x, axis: int, start: int, end: int, step: int = 1):
        return self.add("Slice", x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step))

    def concat(self, *xs, axis=1):
        return self.add("Concat", *xs, axis=axis)

    def split(self, x, axis: int, *sizes: int):
        return self.add("Split", x, self.ints(*sizes), axis=axis, outputs=len(sizes))

    def classifier(self, x, c, classes=5):
        """Global pooling, flatten, fully connected."""
        return self.gemm("fc", self.add("Flatten", self.add("GlobalAveragePool", x), axis=1), c, classes)
