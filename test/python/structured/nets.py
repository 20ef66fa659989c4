"""The list of all small nets, and all of them as one model: the importer is started once."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import onnx
import onnx.compose
from onnx import ModelProto, helper

from structured import attention, cnn, mixed, sequence, traps


def _builders(module) -> dict:
    return {name: function for name, function in vars(module).items()
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")}


# Least share of the elements of weights that a ratio of 0.5, local, removes.
LEAST = 0.4
SHARES = {
    # Width stays whole where a layer norm takes statistics over it.
    "convnext": 0.3, "swin": 0.3, "layer_norm_after_linear": 0.0, "layer_norm_written_out": 0.35,
    # 2 of 8 heads of queries share keys and values; the ratio leaves one such group. The embedding's rows stay.
    "llama": 0.35, "multi_query": 0.35,
    # Weights behind a permutation lose what they read, those before it nothing.
    "permuted_channels": 0.25,
    # Only what lies behind such a norm, or beside the attention; one factor of the products of two branches.
    "local_response_norm": 0.3, "cached_keys": 0.2, "pair_pooling": 0.3,
    # Nothing can go: results would change.
    "softmax_over_channels": 0.0, "max_over_channels": 0.0, "sum_of_sigmoids": 0.0, "product_of_channels": 0.0,
    "channels_become_space": 0.0, "one_layer": 0.0, "largest_of_branches": 0.0,
    # Could be proved to be safe; stays whole for now.
    "max_over_rectified_channels": 0.0, "reversed_channels": 0.0, "every_second_channel": 0.0,
    "bilinear_pooling": 0.0,
}
# Weights of another layout in the module than in the ONNX model: the gates of recurrent operators, grouped transposed
# convolutions.
RENAMED = {"recurrent", "gated_recurrence", "generator"}
# Layers that work on constants alone are gone: the first step of a recurrent net, the projection of learned queries.
FOLDED = {"recurrent_unrolled", "learned_queries"}

NETS = {name: build for module in (cnn, attention, sequence, mixed, traps) for name, build in _builders(module).items()}


# Nets with a width that nothing but norms holds, each with a form of it whose norms are one operator.
WIDTHS = {**{name: NETS[name] for name in ("convnext", "swin", "mixer", "vision", "gpt2", "llama",
                                           "layer_norm_after_linear")},
          "layer_norm_written_out": functools.partial(traps.layer_norm_written_out, decomposed=False)}


def zoo(builders) -> ModelProto:
    """One model of several nets, given by name, that have nothing in common. Everything in it is called NET/NAME."""
    nodes, inputs, outputs, constants = [], [], [], []
    for name, build in builders.items():
        graph = onnx.compose.add_prefix(build(), f"{name}/").graph
        nodes += graph.node
        inputs += graph.input
        outputs += graph.output
        constants += graph.initializer
    return helper.make_model(helper.make_graph(nodes, "zoo", inputs, outputs, constants),
                             opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def random_inputs(model: ModelProto, seed: int) -> dict[str, np.ndarray]:
    """Numbers as the nets expect them: floats, indices of tables, masks that hide one token."""
    generator = np.random.default_rng(seed)
    result = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        if kind.elem_type == onnx.TensorProto.FLOAT:
            result[value.name] = generator.standard_normal(shape).astype(np.float32)
        elif value.name.endswith("mask"):
            result[value.name] = (np.arange(np.prod(shape)) < np.prod(shape) - 1).astype(np.int64).reshape(shape)
        else:
            result[value.name] = generator.integers(0, 30, shape)
    return result
