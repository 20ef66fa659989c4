"""Constant folding of an ONNX graph, only as far as an import needs it.

Exporters leave the arithmetic on shapes in the graph (Shape, Gather, Concat, Reshape with a computed target); shape
inference of ONNX stops there, and a tensor without a shape cannot be imported. Shapes and values are therefore
computed in turns until nothing changes. Values come from ONNX's own reference implementation.
"""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Everything deterministic that shape arithmetic and weight preparation use. Convolutions and the like are left: their
# reference is slow, and constants seldom reach them.
_FOLDABLE = set("""Identity Cast CastLike Shape Size Reshape Squeeze Unsqueeze Flatten Transpose Concat Slice Gather
  GatherElements GatherND ScatterND ScatterElements Split Expand Tile ConstantOfShape Range Where Equal Greater Less
  GreaterOrEqual LessOrEqual Not And Or Xor Add Sub Mul Div Mod Pow Sqrt Neg Abs Sign Reciprocal Floor Ceil Round Exp
  Log Sin Cos Tanh Min Max Sum Mean Clip ReduceSum ReduceProd ReduceMax ReduceMin ReduceMean ReduceL2 ReduceSumSquare
  CumSum Trilu EyeLike MatMul Gemm""".split())
# May turn a few numbers into a great many: their size is computed first.
_GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "EyeLike"}
# Results above this many elements stay in the graph unless they are no larger than their inputs.
MAX_GROWTH = 1 << 22
MAX_ELEMENTS = 1 << 28
# Tensors up to this size stay in the model that shape inference sees; data of larger ones is set aside.
SMALL = 1024


class Folder:
    """Folds `model` in place."""

    def __init__(self, model: ModelProto):
        self.model = model
        self.graph = model.graph
        self.folded = 0
        self.outputs = {v.name for v in self.graph.output}
        self.values: dict[str, np.ndarray] = {}
        self.failed: set[str] = set()

    def run(self, rounds: int = 200) -> int:
        """Folds and infers in turns; returns the number of nodes removed."""
        constants_to_initializers(self.graph)
        for _ in range(rounds):
            infer_shapes(self.model)
            if not self._pass():
                break
        remove_dead(self.graph)
        return self.folded

    def _pass(self) -> bool:
        shapes = static_shapes(self.graph)
        self.tensors = {t.name: t for t in self.graph.initializer}
        kept: list[NodeProto] = []
        before = self.folded
        inlined = False
        for node in self.graph.node:
            branch = self._constant_branch(node)
            if branch is not None:
                kept.extend(branch)
                inlined = True
            elif not self._fold(node, shapes):
                kept.append(node)
        if self.folded == before and not inlined:
            return False
        del self.graph.node[:]
        self.graph.node.extend(kept)
        constants_to_initializers(self.graph)
        return True

    def _value(self, name: str) -> np.ndarray | None:
        if name not in self.values and name in self.tensors:
            try:
                self.values[name] = numpy_helper.to_array(self.tensors[name])
            except (ValueError, TypeError):
                return None
        return self.values.get(name)

    def _constant_branch(self, node: NodeProto) -> list[NodeProto] | None:
        """The nodes of the branch that an If with a constant condition takes."""
        if node.op_type != "If" or node.input[0] not in self.tensors:
            return None
        condition = self._value(node.input[0])
        if condition is None or condition.size != 1:
            return None
        wanted = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        for attribute in node.attribute:
            if attribute.name == wanted and len(attribute.g.output) == len(node.output):
                self.graph.initializer.extend(attribute.g.initializer)
                renames = [helper.make_node("Identity", [inner.name], [outer], name=f"{node.name}/Identity")
                           for inner, outer in zip(attribute.g.output, node.output) if outer]
                self.folded += 1
                return list(attribute.g.node) + renames
        return None

    def _fold(self, node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> bool:
        if node.domain not in ("", "ai.onnx") or node.op_type not in _FOLDABLE or not node.output:
            return False
        if any(name in self.outputs for name in node.output) or node.output[0] in self.failed:
            return False
        if node.op_type in ("Shape", "Size"):
            shape = shapes.get(node.input[0])
            if shape is None:
                return False
            results = [np.asarray(np.prod(shape, dtype=np.int64))] if node.op_type == "Size" else [_slice(node, shape)]
        else:
            inputs = []
            for name in node.input:
                value = self._value(name) if name else None
                if name and value is None:
                    return False
                inputs.append(value)
            elements = sum(v.size for v in inputs if v is not None)
            if node.op_type in _GROWING and _predicted(node, inputs) > max(MAX_GROWTH, elements):
                return False
            if elements > MAX_ELEMENTS:
                return False
            results = evaluate(node, inputs, self.model)
            if results is None or any(r.size > max(MAX_GROWTH, elements) for r in results):
                self.failed.add(node.output[0])
                return False
        for name, result in zip(node.output, results):
            if name:
                tensor = numpy_helper.from_array(np.ascontiguousarray(result).reshape(result.shape), name)
                self.graph.initializer.append(tensor)
                self.tensors[name] = tensor
                self.values[name] = result
        self.folded += 1
        return True


def _slice(node: NodeProto, shape: tuple[int, ...]) -> np.ndarray:
    bounds = {a.name: a.i for a in node.attribute}
    return np.asarray(shape[bounds.get("start", 0):bounds.get("end", len(shape))], dtype=np.int64)


def _predicted(node: NodeProto, inputs: list[np.ndarray | None]) -> float:
    """Elements of the result, as a float so that absurd sizes stay comparable."""
    flat = [np.asarray(v, dtype=np.float64).reshape(-1) if v is not None else np.zeros(0) for v in inputs]
    if node.op_type == "ConstantOfShape":
        return float(np.prod(flat[0])) if flat[0].size else 1.0
    if node.op_type == "Expand":
        return float(np.prod(np.maximum(flat[1], 1)) * flat[0].size)
    if node.op_type == "Tile":
        return float(np.prod(flat[1]) * flat[0].size)
    if node.op_type == "Range":
        start, limit, step = (float(f[0]) if f.size else 0.0 for f in flat[:3])
        return abs((limit - start) / step) if step else float("inf")
    return float(inputs[0].size) if inputs and inputs[0] is not None else 0.0


def evaluate(node: NodeProto, inputs: list[np.ndarray | None], model: ModelProto) -> list[np.ndarray] | None:
    """The results of one node on constants; None if the reference cannot tell."""
    names = [n for n in dict.fromkeys(node.input) if n]
    feeds = {n: v for n, v in zip(node.input, inputs) if n}
    graph = helper.make_graph(
        [node], "fold",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(feeds[n].dtype), feeds[n].shape)
         for n in names],
        [onnx.ValueInfoProto(name=n) for n in node.output if n])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import))
            results = [np.asarray(r) for r in evaluator.run(None, feeds)]
    except Exception:  # the reference raises whatever numpy raises; an unfolded node is no error
        return None
    by_name = dict(zip([n for n in node.output if n], results))
    return [by_name.get(n, np.zeros(0)) for n in node.output]


def constants_to_initializers(graph: GraphProto) -> None:
    """Constant nodes become initializers of the same name: one place where constants live."""
    kept = []
    for node in graph.node:
        tensor = _constant_tensor(node) if node.op_type == "Constant" and node.domain in ("", "ai.onnx") else None
        if tensor is None:
            kept.append(node)
        else:
            graph.initializer.append(tensor)
    if len(kept) != len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _constant_tensor(node: NodeProto) -> TensorProto | None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            tensor = TensorProto()
            tensor.CopyFrom(attribute.t)
            tensor.name = node.output[0]
            return tensor
        kinds = {"value_float": (attribute.f, np.float32), "value_int": (attribute.i, np.int64),
                 "value_floats": (list(attribute.floats), np.float32), "value_ints": (list(attribute.ints), np.int64)}
        if attribute.name in kinds:
            value, dtype = kinds[attribute.name]
            return numpy_helper.from_array(np.asarray(value, dtype=dtype), node.output[0])
    return None


def remove_dead(graph: GraphProto) -> None:
    """Drops nodes and initializers that no output needs."""
    needed = {v.name for v in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(o in needed for o in node.output):
            kept.append(node)
            needed.update(node.input)
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                    needed.update(_free_names(inner))
    if len(kept) != len(graph.node):
        del graph.node[:]
        graph.node.extend(reversed(kept))
    live = [t for t in graph.initializer if t.name in needed]
    if len(live) != len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(live)


def _free_names(graph: GraphProto) -> set[str]:
    names = {v.name for v in graph.output}
    for node in graph.node:
        names.update(node.input)
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                names.update(_free_names(inner))
    return names


def merge_equal(graph: GraphProto) -> int:
    """One initializer for equal matrices: folding unties weights that a model shares. Returns how many were merged.

    Vectors are left alone: biases that are all zero are equal by accident. So are constant fills.
    """
    first: dict[tuple, str] = {}
    renames: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        raw = tensor.raw_data
        if len(tensor.dims) < 2 or len(raw) < 4 * SMALL or raw[:1024] == raw[1024:2048]:
            kept.append(tensor)
            continue
        key = (tensor.data_type, tuple(tensor.dims), hashlib.blake2b(raw, digest_size=16).digest())
        if key in first:
            renames[tensor.name] = first[key]
        else:
            first[key] = tensor.name
            kept.append(tensor)
    outputs = {v.name for v in graph.output}
    if not renames or outputs & renames.keys():
        return 0
    rename_values(graph, renames)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return len(renames)


def rename_values(graph: GraphProto, names: dict[str, str]) -> None:
    """Renames uses of values, also in inner graphs."""
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name in names:
                node.input[slot] = names[name]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                rename_values(inner, names)
    for value in graph.output:
        if value.name in names and value.name not in {o for n in graph.node for o in n.output}:
            value.name = names[value.name]


def static_shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """Values whose shape is known in full."""
    result: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.HasField("shape"):
            if all(d.HasField("dim_value") for d in kind.shape.dim):
                result[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    return result


class Lightened:
    """The model without the data of its large tensors, for tools that copy the whole file: `with Lightened(m): ...`.
    By name, so that the data finds its tensor again in a converted model (`restore`)."""

    def __init__(self, model: ModelProto):
        self.model = model
        self.data: dict[str, bytes] = {}

    def __enter__(self) -> "Lightened":
        for tensor in self.model.graph.initializer:
            if len(tensor.raw_data) > 8 * SMALL:
                self.data[tensor.name] = tensor.raw_data
                tensor.ClearField("raw_data")
        return self

    def __exit__(self, *_) -> None:
        self.restore(self.model)

    def restore(self, model: ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in self.data:
                tensor.raw_data = self.data[tensor.name]


def infer_shapes(model: ModelProto) -> None:
    """Shape inference in place, with propagation of shape values; what it cannot tell stays open."""
    with Lightened(model):
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception:  # C++ exceptions of many kinds; a missing shape is reported where it matters
            return
        del model.graph.value_info[:]
        model.graph.value_info.extend(inferred.graph.value_info)
        for value, new in zip(model.graph.output, inferred.graph.output):
            if value.name == new.name and new.type.WhichOneof("value"):
                value.type.CopyFrom(new.type)
