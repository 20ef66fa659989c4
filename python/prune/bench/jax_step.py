"""An ONNX graph in JAX, and a training step of it. Runs in an environment with jax and onnx, without this package."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from onnx import helper, numpy_helper

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def _pool(node, x):
    size, strides = node["kernel_shape"], node["strides"]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *size), (1, 1, *strides), "VALID")


def _layer_norm(node, x, scale, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred ** 2).mean(-1, keepdims=True) + node.get("epsilon", 1e-5)) * scale + bias


def _batch_norm(node, x, scale, bias, mean, variance):
    scale, bias, mean, variance = (v[:, None, None] for v in (scale, bias, mean, variance))
    return (x - mean) / jnp.sqrt(variance + node.get("epsilon", 1e-5)) * scale + bias


def _conv(node, x, w, b):
    pads, strides = node["pads"], node.get("strides", [1, 1])
    return lax.conv_general_dilated(x, w, strides, [(pads[0], pads[2]), (pads[1], pads[3])]) + b[:, None, None]


OPERATORS = {
    "Gemm": lambda n, a, b, c: a @ (b.T if n.get("transB") else b) + c, "Relu": lambda n, x: jnp.maximum(x, 0),
    "Flatten": lambda n, x: x.reshape(x.shape[0], -1), "Conv": _conv, "MaxPool": _pool,
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm,
    "Gather": lambda n, x, i: jnp.take(x, i, n.get("axis", 0)), "Add": lambda n, a, b: a + b,
    "Sub": lambda n, a, b: a - b, "Mul": lambda n, a, b: a * b, "Div": lambda n, a, b: a / b,
    "MatMul": lambda n, a, b: a @ b, "Erf": lambda n, x: lax.erf(x), "Cast": lambda n, x: x.astype(jnp.float32),
    "Softmax": lambda n, x: jax.nn.softmax(x, n.get("axis", -1)), "Transpose": lambda n, x: x.transpose(n["perm"]),
    "Reshape": lambda n, x, s: x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(np.asarray(s))]),
    "Unsqueeze": lambda n, x, axes: jnp.expand_dims(x, tuple(int(a) for a in np.asarray(axes))),
}


def run_graph(model, weights: dict, inputs: dict, operators: dict = OPERATORS):
    """The first output of an ONNX model where `weights` stand for some of its constants."""
    values = {**{t.name: numpy_helper.to_array(t) for t in model.graph.initializer}, **inputs, **weights}
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        values[node.output[0]] = operators[node.op_type](attributes, *(values[i] for i in node.input if i))
    return values[model.graph.output[0].name]


def make_step(model, masks: dict, lr: float):
    """A compiled step of Adam: (weights, m, v, step, inputs, answer) -> the same four of the next step, and the loss.
    `masks` prune weights by name, in each step. An integer answer is a label (cross-entropy), a float a target (mean
    square)."""
    def loss_of(weights, inputs, answer):
        result = run_graph(model, {n: w * masks[n] if n in masks else w for n, w in weights.items()}, inputs)
        if answer.dtype.kind == "f":
            return jnp.mean((result - answer) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(result), answer[:, None], axis=1))

    def step(weights, m, v, count, inputs, answer):
        loss, gradients = jax.value_and_grad(loss_of)(weights, inputs, answer)
        count = count + 1
        first, second = (1 - beta ** count.astype(jnp.float32) for beta in (BETA1, BETA2))
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
        weights = jax.tree.map(lambda w, m, v: w - lr * (m / first) / (jnp.sqrt(v / second) + EPSILON), weights, m, v)
        return weights, m, v, count, loss
    return jax.jit(step, donate_argnums=(0, 1, 2, 3))
