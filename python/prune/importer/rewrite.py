"""Rewrites of ONNX operators that the pinned importer cannot take, into ones that it can. Exact, on the graph only."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from prune.errors import PruneError, one_line
from prune.importer.fold import infer_shapes, static_shapes

# The result has type and shape of the first input; ONNX's inference leaves some of them open.
_SAME_SHAPE = {"GroupNormalization", "MeanVarianceNormalization", "InstanceNormalization", "LpNormalization", "Softsign",
               "Swish", "RMSNormalization", "Mish", "Gelu", "Celu", "HardSwish", "LRN", "Dropout"}


def inline_functions(model: ModelProto) -> ModelProto:
    """Functions that a model defines itself are put in the place of their calls."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def rewrite(model: ModelProto, place: str) -> None:
    """All rewrites, after shapes are known."""
    _complete_shapes(model.graph)
    shapes = static_shapes(model.graph)
    constants = {t.name: t for t in model.graph.initializer}
    result: list[NodeProto] = []
    for node in model.graph.node:
        replacement = [node]
        if node.domain not in ("", "ai.onnx"):
            pass
        elif node.op_type == "ConvTranspose":
            _explicit_padding(node, shapes)
            replacement = _grouped_transposed(node, shapes, constants, model.graph)
            if not replacement:
                crop = _even_padding(node, shapes, model.graph)
                replacement = [node, crop] if crop is not None else [node]
        elif node.op_type == "Softsign" and _is_float(node, model.graph):
            replacement = _softsign(node, model.graph)
        elif node.op_type == "DepthToSpace" and _attributes(node).get("mode") == b"CRD" and node.input[0] in shapes:
            replacement = _depth_to_space(node, shapes[node.input[0]], model.graph)
        elif node.op_type == "DequantizeLinear" and all(name in constants for name in node.input):
            _dequantize(node, constants, model.graph)
        elif node.op_type == "Pad" and _attributes(node).get("mode") == b"wrap":
            # The importer's pipeline does not come to an end on it.
            raise PruneError(place, "operators", f"Pad with mode=wrap (first '{one_line(node.name, 80)}')",
                             "mode constant, reflect or edge")
        result += replacement
    if len(result) != len(model.graph.node):
        del model.graph.node[:]
        model.graph.node.extend(result)
        infer_shapes(model)
        _complete_shapes(model.graph)


def _is_float(node: NodeProto, graph: GraphProto) -> bool:
    values = (*graph.input, *graph.value_info, *graph.output)
    return any(v.name == node.output[0] and v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for v in values)


def _attributes(node: NodeProto) -> dict:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _set(node: NodeProto, **values) -> None:
    kept = [a for a in node.attribute if a.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(n, v) for n, v in values.items() if v is not None)


def _complete_shapes(graph: GraphProto) -> None:
    """Shapes of operators that keep them, where inference gave none: at most a whole chain of them."""
    types = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    for node in graph.node:
        if node.op_type not in _SAME_SHAPE or node.input[0] not in types:
            continue
        source, target = types[node.input[0]], types.get(node.output[0])
        if target is None:
            target = graph.value_info.add(name=node.output[0])
            types[node.output[0]] = target
        if not target.type.tensor_type.HasField("shape"):
            target.type.CopyFrom(source.type)


def _explicit_padding(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """auto_pad and output_shape of a transposed convolution as pads."""
    values = _attributes(node)
    auto = values.get("auto_pad", b"NOTSET").decode()
    if auto not in ("SAME_UPPER", "SAME_LOWER") and not values.get("output_shape"):
        if auto == "VALID":
            _set(node, auto_pad=None)
        return
    source, weight = shapes.get(node.input[0]), shapes.get(node.input[1])
    if source is None or weight is None:
        return
    rank = len(source) - 2
    strides = list(values.get("strides", [1] * rank))
    dilations = list(values.get("dilations", [1] * rank))
    extra = list(values.get("output_padding", [0] * rank))
    wanted = list(values.get("output_shape", []))[-rank:] or [s * t for s, t in zip(source[2:], strides)]
    begins, ends = [], []
    for k in range(rank):
        full = strides[k] * (source[2 + k] - 1) + extra[k] + (weight[2 + k] - 1) * dilations[k] + 1
        total = full - wanted[k]
        if total < 0:
            # More output than the convolution has: the rest is padding of the output.
            extra[k] -= total
            total = 0
        less, more = total // 2, total - total // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    _set(node, auto_pad=None, output_shape=None, pads=begins + ends, output_padding=extra)


def _even_padding(node: NodeProto, shapes: dict[str, tuple[int, ...]], graph: GraphProto) -> NodeProto | None:
    """Uneven pads of a transposed convolution crop its output: they become a Slice of the uncropped one."""
    pads = list(_attributes(node).get("pads", []))
    rank = len(pads) // 2
    begins, ends = pads[:rank], pads[rank:]
    shape = shapes.get(node.output[0])
    if begins == ends or shape is None:
        return None
    result, whole = node.output[0], f"{node.output[0]}.uncropped"
    bounds = {"starts": begins, "ends": [b + d for b, d in zip(begins, shape[2:])], "axes": range(2, 2 + rank)}
    names = [f"{result}.{key}" for key in bounds]
    graph.initializer.extend(numpy_helper.from_array(np.array(list(v), np.int64), n)
                             for v, n in zip(bounds.values(), names))
    node.output[0] = whole
    _set(node, pads=[0] * (2 * rank))
    return helper.make_node("Slice", [whole, *names], [result], name=f"{node.name}/Slice")


def _dequantize(node: NodeProto, constants: dict, graph: GraphProto) -> None:
    """A weight that is stored as integers becomes floats, multiples of its scale, under its own name. Otherwise the pipeline
    merges some of them into products of integers, which cannot be pruned; prune-quantize finds the integers again."""
    integers, scale, *zero = (numpy_helper.to_array(constants[name]) for name in node.input)
    values = _attributes(node)
    if (integers.dtype not in (np.int8, np.uint8, np.int32) or scale.dtype != np.float32 or scale.ndim > 1
            or values.get("block_size")):
        return
    axis = values.get("axis", 1)

    def spread(value: np.ndarray) -> np.ndarray:
        return np.moveaxis(value.reshape(-1, *[1] * (integers.ndim - 1)), 0, axis) if value.size > 1 else value.reshape(())

    shifted = integers.astype(np.int32) - (spread(zero[0].astype(np.int32)) if zero else 0)
    name = re.sub(r"_quantized$", "", constants[node.input[0]].name)
    while name in constants:
        name += ".dequantized"
    constants[name] = numpy_helper.from_array(shifted.astype(np.float32) * spread(scale), name)
    graph.initializer.append(constants[name])
    node.CopyFrom(helper.make_node("Identity", [name], [node.output[0]], name=node.name))


def _softsign(node: NodeProto, graph: GraphProto) -> list[NodeProto]:
    """x / (1 + |x|)"""
    x, y = node.input[0], node.output[0]
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), f"{y}.one"))
    return [helper.make_node("Abs", [x], [f"{y}.abs"], name=f"{node.name}/Abs"),
            helper.make_node("Add", [f"{y}.abs", f"{y}.one"], [f"{y}.sum"], name=f"{node.name}/Add"),
            helper.make_node("Div", [x, f"{y}.sum"], [y], name=f"{node.name}/Div")]


def _depth_to_space(node: NodeProto, shape: tuple[int, ...], graph: GraphProto) -> list[NodeProto]:
    """Mode CRD, PyTorch's pixel shuffle, by its definition: the importer takes it for mode DCR and computes nonsense."""
    x, y, block = node.input[0], node.output[0], _attributes(node)["blocksize"]
    b, c, h, w = shape
    c //= block * block
    graph.initializer.extend(
        numpy_helper.from_array(np.array(target, np.int64), f"{y}.{name}")
        for name, target in (("split", [b, c, block, block, h, w]), ("shape", [b, c, h * block, w * block])))
    return [helper.make_node("Reshape", [x, f"{y}.split"], [f"{y}.parts"], name=f"{node.name}/Split"),
            helper.make_node("Transpose", [f"{y}.parts"], [f"{y}.order"], perm=[0, 1, 4, 2, 5, 3],
                             name=f"{node.name}/Transpose"),
            helper.make_node("Reshape", [f"{y}.order", f"{y}.shape"], [y], name=f"{node.name}/Reshape")]


def _grouped_transposed(node: NodeProto, shapes: dict, constants: dict, graph: GraphProto) -> list[NodeProto]:
    """A transposed convolution of several groups by its definition: zeros between the elements, then a convolution with
    the mirrored filter. The importer takes dense ones only. Empty where that is not needed or shapes are not known."""
    values = _attributes(node)
    groups, tensor, shape = values.get("group", 1), constants.get(node.input[1]), shapes.get(node.input[0])
    if groups == 1 or tensor is None or shape is None:
        return []
    weight, y = numpy_helper.to_array(tensor), node.output[0]
    rank = weight.ndim - 2
    strides, dilations, extra = (list(values.get(key, [default] * rank)) for key, default in (
        ("strides", 1), ("dilations", 1), ("output_padding", 0)))
    pads = list(values.get("pads", [0] * 2 * rank))
    reach = [(k - 1) * d for k, d in zip(weight.shape[2:], dilations)]
    begins = [r - p for r, p in zip(reach, pads[:rank])]
    ends = [r - p + e - (s - 1) for r, p, e, s in zip(reach, pads[rank:], extra, strides)]

    parts = weight.reshape(groups, shape[1] // groups, *weight.shape[1:]).swapaxes(1, 2)
    mirrored = np.flip(parts.reshape(-1, *parts.shape[2:]), range(2, weight.ndim))
    shared = sum(list(n.input).count(tensor.name) for n in graph.node) > 1
    name = f"{tensor.name}.mirrored" if shared else tensor.name
    if shared:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(mirrored), name))
    else:
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(mirrored), name))

    result: list[NodeProto] = []

    def step(op: str, source: str, **lists) -> str:
        names = [f"{y}.{len(result)}.{key}" for key in lists]
        graph.initializer.extend(numpy_helper.from_array(np.array(list(v), np.int64), n)
                                 for v, n in zip(lists.values(), names))
        result.append(helper.make_node(op, [source, *names], [f"{y}.{len(result)}"], name=f"{node.name}/{op}_{len(result)}"))
        return result[-1].output[0]

    x = node.input[0]
    if max(strides) > 1:
        x = step("Reshape", x, shape=[*shape[:2], *(v for size in shape[2:] for v in (size, 1))])
        x = step("Pad", x, pads=[0] * (2 + 2 * rank) + [0, 0] + [v for s in strides for v in (0, s - 1)])
        x = step("Reshape", x, shape=[*shape[:2], *(size * s for size, s in zip(shape[2:], strides))])
    if min(*begins, *ends, 0) < 0:
        x = step("Slice", x, starts=[max(0, -b) for b in begins],
                 ends=[size * s + min(0, e) for size, s, e in zip(shape[2:], strides, ends)], axes=range(2, 2 + rank))
    result.append(helper.make_node("Conv", [x, name, *node.input[2:]], [y], name=node.name, group=groups,
                                   dilations=dilations, pads=[max(0, v) for v in begins + ends],
                                   kernel_shape=weight.shape[2:]))
    return result
