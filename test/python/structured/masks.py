"""What a masked module removes, the same zeros in the ONNX model, and a count of what is left by the ONNX graph."""

from __future__ import annotations

import re

import numpy as np
from iree.compiler import ir
from onnx import ModelProto, NodeProto, helper, numpy_helper

from interpret import Module, name_of


def removed(module: Module) -> dict[str, dict[int, list[int]]]:
    """Weight -> dimension -> indices whose slice a mask of `prune.apply` takes out as a whole."""
    found: dict[str, dict[int, list[int]]] = {}
    for apply in module.walk("prune.apply"):
        weight, mask = apply.operands
        while weight.owner.name == "prune.apply":
            weight = weight.owner.operands[0]
        keeps = module.value_of(mask)
        for dim in range(keeps.ndim):
            gone = ~keeps.any(axis=tuple(d for d in range(keeps.ndim) if d != dim))
            # A mask takes out slices of one dimension and nothing else.
            if gone.any():
                assert keeps.sum() * keeps.shape[dim] == keeps.size * (~gone).sum(), name_of(apply)
                known = found.setdefault(name_of(weight.owner), {}).setdefault(dim, [])
                known[:] = sorted({*known, *np.flatnonzero(gone).tolist()})
    return found


def clean(name: str) -> str:
    """A name of the ONNX model as modules have it."""
    return re.sub(r"[/:]+", ".", name)


class Weights:
    """The weights of an ONNX model, with the axes that make up each dimension of the compiler's [out, in] order."""

    def __init__(self, model: ModelProto):
        self.model = model
        self.arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.orders: dict[str, tuple[tuple[int, ...], ...]] = {}
        users: dict[str, list] = {}
        for node in model.graph.node:
            for slot, name in enumerate(node.input):
                users.setdefault(name, []).append((node, slot))
        for name, array in self.arrays.items():
            for node, slot in users.get(name, []):
                order = _order(node, slot, array.shape)
                if order:
                    self.orders.setdefault(name, order)
        # Vectors keep name and order.
        self.vectors = {name for name, array in self.arrays.items() if array.ndim == 1}

    def zeroed(self, gone: dict[str, dict[int, list[int]]]) -> ModelProto:
        """The model with zeros at all removed indices of weights and biases."""
        result = ModelProto()
        result.CopyFrom(self.model)
        for tensor in result.graph.initializer:
            indices_of = gone.get(clean(tensor.name))
            if indices_of and tensor.name in self.orders.keys() | self.vectors:
                array = self.arrays[tensor.name].copy()
                for dim, indices in indices_of.items():
                    # Vectors may have got dimensions of size 1.
                    _zero(array, self.orders[tensor.name][dim] if tensor.name in self.orders else (0,), indices)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return result

    def kept(self, gone: dict[str, dict[int, list[int]]]) -> dict[str, int]:
        """Elements left of each weight of a layer or table."""
        result = {}
        for name, order in self.orders.items():
            shape = [int(np.prod([self.arrays[name].shape[axis] for axis in axes])) for axes in order]
            for dim, indices in gone.get(clean(name), {}).items():
                shape[dim] -= len(indices)
            result[name] = int(np.prod(shape))
        return result

    def multiply_adds(self, kept: dict[str, int]) -> dict[str, int]:
        """Multiply-adds of the weight of each layer in one call: its elements times the places it is used at."""
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
                  for v in (*self.model.graph.value_info, *self.model.graph.output, *self.model.graph.input)}
        result: dict[str, int] = {}
        for node in self.model.graph.node:
            name = node.input[1] if len(node.input) > 1 else ""
            if name not in kept or node.op_type == "Gather":
                continue
            shape = shapes[node.output[0]]
            if "Conv" in node.op_type:
                # Transposed convolutions insert zeros: their products run over all places of the output too.
                places = shape[0] * np.prod(shape[2:])
            elif node.op_type == "Einsum":
                places = np.prod(shape[:2])
            else:
                places = np.prod(shape[:-1])
            result[name] = result.get(name, 0) + int(places) * kept[name]
        return result


def _order(node: NodeProto, slot: int, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
    """The axes of a constant that make each dimension of the weight, if it is one."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rank = len(shape)
    if node.op_type == "Conv" and slot == 1:
        return tuple((d,) for d in range(rank))
    if node.op_type == "ConvTranspose" and slot == 1:
        if attributes.get("group", 1) > 1 and shape[0] // attributes["group"] * shape[1] > 1:
            return None
        depthwise = attributes.get("group", 1) > 1
        return *(((0,), (1,)) if depthwise else ((1,), (0,))), *((d,) for d in range(2, rank))
    if node.op_type == "MatMul" and slot == 1 and rank == 2:
        return (1,), (0,)
    if node.op_type == "Gemm" and slot == 1:
        return ((0,), (1,)) if attributes.get("transB") else ((1,), (0,))
    if node.op_type == "Gather" and slot == 0 and rank == 2:
        return (0,), (1,)
    if node.op_type == "Einsum" and slot == 1:
        terms, result = attributes["equation"].decode().split("->")
        axes = terms.split(",")[1]
        return tuple(d for d in range(rank) if axes[d] in result), tuple(d for d in range(rank) if axes[d] not in result)
    return None


def _zero(array: np.ndarray, axes: tuple[int, ...], indices: list[int]) -> None:
    """Zeros where the row-major index of `axes` is one of `indices`."""
    where = np.unravel_index(indices, [array.shape[a] for a in axes])
    places = [slice(None)] * array.ndim
    for axis, index in zip(axes, where):
        places[axis] = index
    array[tuple(places)] = 0


def over_survivors(model: ModelProto, gone: dict[str, dict[int, list[int]]]) -> ModelProto:
    """The model with layer norms and RMS norms whose statistics run over the indices that their weight keeps; their
    results are zero at the others."""
    result = ModelProto()
    result.CopyFrom(model)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def lost(weight: str) -> list[int]:
        return next(iter(gone.get(clean(weight), {}).values()), [])

    nodes: list[NodeProto] = []

    def constant(name: str, value, dtype=np.float32) -> str:
        result.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    for node in result.graph.node:
        nodes.append(node)
        y = node.output[0]
        if node.op_type == "LayerNormalization" and lost(node.input[1]):
            size = arrays[node.input[1]].size
            kept = np.setdiff1d(np.arange(size), lost(node.input[1]))
            x = helper.make_node("Gather", [node.input[0], constant(f"{y}.kept", kept, np.int64)], [f"{y}.x"], axis=-1)
            node.input[:] = [f"{y}.x", *(constant(f"{y}.{name}", arrays[name][kept]) for name in node.input[1:])]
            node.output[0] = f"{y}.normal"
            spread = constant(f"{y}.spread", np.eye(size)[kept])
            nodes[-1:] = [x, node, helper.make_node("MatMul", [node.output[0], spread], [y])]
        elif node.op_type == "ReduceMean" and (weight := _rms_weight(node, users, arrays)) and lost(weight):
            node.output[0] = f"{y}.all"
            ratio = arrays[weight].size / (arrays[weight].size - len(lost(weight)))
            nodes.append(helper.make_node("Mul", [f"{y}.all", constant(f"{y}.ratio", ratio)], [y]))
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    del result.graph.value_info[:]
    return result


def _rms_weight(mean: NodeProto, users: dict[str, list[NodeProto]], arrays: dict[str, np.ndarray]) -> str:
    """The weight of the RMS norm that a mean of squares belongs to: mean, + epsilon, sqrt, 1 /, * x, * weight."""
    node = mean
    for op in ("Add", "Sqrt", "Div", "Mul", "Mul"):
        following = users.get(node.output[0], [])
        if len(following) != 1 or following[0].op_type != op:
            return ""
        node = following[0]
    return next((name for name in node.input if name in arrays and arrays[name].ndim == 1), "")
