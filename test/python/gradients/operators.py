"""One-operator ONNX models, and what has to be done to check the gradient of each by differences.

Every operator is imported by itself, in this process; `wrap` adds the function that takes the gradient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

import numpy as np


@dataclass
class Operator:
    inputs: dict[str, list[int]]
    build: Callable
    domain: tuple = (-2.0, 2.0)
    opset: int = 17


OPERATORS: dict[str, Operator] = {}


def one(name: str, domain=(-2.0, 2.0), opset=17, shape=(2, 3), **attributes):
    """An operator of one argument."""
    OPERATORS[name] = Operator({"x": list(shape)}, lambda g: g.add(name, "x", **attributes), domain, opset)


def more(name: str, shapes, domain=(-2.0, 2.0), opset=17, **attributes):
    """An operator whose arguments are all differentiated."""
    inputs = {f"x{i}": list(s) for i, s in enumerate(shapes)}
    OPERATORS[name] = Operator(inputs, lambda g: g.add(name, *inputs, **attributes), domain, opset)


def built(name: str, shape, domain=(-2.0, 2.0), opset=17):
    """Registers a function that builds the nodes on the input x."""
    def register(build):
        OPERATORS[name] = Operator({"x": list(shape)}, build, domain, opset)
        return build
    return register


def ints(g, name, *values):
    return g.constant(name, np.array(values, np.int64))


for _name in ("Cos", "Cosh", "Elu", "Erf", "Exp", "HardSwish", "Identity", "LeakyRelu", "LogSoftmax",
              "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Tanh", "Atan",
              "Asinh", "Celu", "HardSigmoid"):
    one(_name)
for _name, _domain in {"Abs": (0.2, 2), "Acos": (-.8, .8), "Asin": (-.8, .8), "Acosh": (1.3, 3), "Atanh": (-.8, .8),
                       "Log": (.3, 3), "Ceil": (.1, .9), "Floor": (.1, .9), "Sqrt": (.3, 3),
                       "Reciprocal": (.3, 3), "Round": (.6, 1.4), "Tan": (-1, 1)}.items():
    one(_name, _domain)
one("Mish", opset=18)
one("Gelu", opset=20)
one("ThresholdedRelu", alpha=0.5)
one("Shrink", lambd=0.5, bias=0.25)
one("LpNormalization", (.3, 2), axis=1, p=2)
one("MeanVarianceNormalization", shape=(2, 3, 2, 2))
one("Flatten", shape=(2, 3, 2))
one("Transpose", shape=(2, 3, 4), perm=[2, 0, 1])
one("DepthToSpace", shape=(1, 8, 2, 3), blocksize=2)
one("SpaceToDepth", shape=(1, 2, 4, 6), blocksize=2)
one("GlobalAveragePool", shape=(2, 3, 4, 4))
one("GlobalMaxPool", shape=(2, 3, 4, 4))
one("GlobalLpPool", (.3, 2), shape=(2, 3, 4, 4), p=2)
one("AveragePool", shape=(1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0])
one("MaxPool", shape=(1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0])
one("LRN", shape=(1, 5, 3, 3), size=3)
for _name in ("ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean",
              "ReduceSumSquare"):
    one(_name, (.3, 2), axes=[1], shape=(2, 3, 2))
for _name in ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean", "PRelu"):
    more(_name, [(2, 3), (3,)])
more("Div", [(2, 3), (3,)], (.4, 2))
more("Pow", [(2, 3), (3,)], (.4, 2))
more("MatMul", [(2, 3, 4), (4, 2)])
more("Gemm", [(2, 3), (4, 3), (4,)], transB=1, alpha=0.5, beta=2.0)
more("Einsum", [(2, 3), (3, 4)], equation="ij,jk->ki")
more("Conv", [(1, 4, 7, 6), (6, 2, 3, 2), (6,)], group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 1, 1, 1])
more("ConvTranspose", [(1, 3, 4, 3), (3, 2, 3, 2), (2,)], strides=[2, 1], pads=[1, 0, 1, 0])
more("Concat", [(2, 3), (2, 2)], axis=1)
more("LayerNormalization", [(2, 3, 4), (4,), (4,)], axis=-1)
more("InstanceNormalization", [(2, 3, 4), (3,), (3,)])
more("GroupNormalization", [(2, 4, 3), (4,), (4,)], opset=21, num_groups=2)
more("Attention", [(1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)], (-1, 1), opset=23)


@built("BatchNormalization", (2, 3, 4))
def _batch_norm(g):
    return g.add("BatchNormalization", "x", g.weight("g", 3), g.weight("b", 3), g.weight("m", 3),
                 g.constant("v", np.full(3, .5, np.float32)))


@built("Clip", (2, 3))
def _clip(g):
    return g.add("Clip", "x", g.constant("low", np.float32(-1)), g.constant("high", np.float32(1)))


@built("Cast", (2, 3))
def _cast(g):
    return g.add("Cast", g.add("Cast", "x", to=11), to=1)


@built("Dropout", (2, 3))
def _dropout(g):
    return g.add("Mul", g.add("Dropout", "x"), "x")


@built("Where", (2, 3))
def _where(g):
    return g.add("Where", g.constant("c", np.array([[1, 0, 1], [0, 0, 1]], bool)), g.add("Mul", "x", "x"), "x")


@built("Mod", (2, 3), (2.2, 2.8))
def _mod(g):
    return g.add("Mod", "x", g.constant("n", np.float32(1.1)), fmod=1)


@built("ReduceSum", (2, 3, 2))
def _reduce_sum(g):
    return g.add("ReduceSum", "x", ints(g, "axes", 1))


@built("Split", (2, 4))
def _split(g):
    left, right = g.add("Split", "x", outputs=2, axis=1)
    return g.add("Mul", left, right)


@built("Slice", (4, 6))
def _slice(g):
    return g.add("Slice", "x", ints(g, "b", 1, 0), ints(g, "e", 4, 6), ints(g, "a", 0, 1), ints(g, "s", 1, 2))


@built("Reshape", (2, 6))
def _reshape(g):
    return g.add("Reshape", "x", ints(g, "s", 3, 4))


@built("Squeeze", (2, 1, 3))
def _squeeze(g):
    return g.add("Squeeze", "x", ints(g, "a", 1))


@built("Unsqueeze", (2, 3))
def _unsqueeze(g):
    return g.add("Unsqueeze", "x", ints(g, "a", 1))


@built("Expand", (2, 1))
def _expand(g):
    return g.add("Expand", "x", ints(g, "s", 2, 3))


@built("Tile", (2, 3))
def _tile(g):
    return g.add("Tile", "x", ints(g, "n", 1, 2))


@built("Pad", (2, 3))
def _pad(g):
    return g.add("Pad", "x", ints(g, "p", 0, 1, 2, 0), g.constant("v", np.float32(1)))


@built("Gather", (4, 3))
def _gather(g):
    return g.add("Gather", "x", g.constant("i", np.array([[0, 2], [2, 3]])), axis=0)


@built("GatherElements", (3, 3))
def _gather_elements(g):
    return g.add("GatherElements", "x", g.constant("i", np.array([[0, 2, 1], [1, 1, 0]])), axis=0)


@built("GatherND", (3, 2, 2))
def _gather_nd(g):
    return g.add("GatherND", "x", g.constant("i", np.array([[0, 1], [2, 0]])))


@built("Trilu", (3, 3))
def _trilu(g):
    return g.add("Trilu", "x", upper=0)


@built("Resize", (1, 2, 3, 3))
def _resize(g):
    return g.add("Resize", "x", "", g.constant("s", np.array([1, 1, 2, 2], np.float32)), mode="nearest",
                 nearest_mode="floor", coordinate_transformation_mode="asymmetric")


@built("NegativeLogLikelihoodLoss", (2, 3))
def _nll(g):
    return g.add("NegativeLogLikelihoodLoss", "x", g.constant("t", np.array([2, 0])))


@built("SoftmaxCrossEntropyLoss", (2, 3))
def _cross_entropy(g):
    return g.add("SoftmaxCrossEntropyLoss", "x", g.constant("t", np.array([2, 0])))


# Operators that the always-run part checks; the full list takes longer.
QUICK = ["Conv", "ConvTranspose", "MaxPool", "AveragePool", "Gemm", "MatMul", "Softmax", "LayerNormalization",
         "BatchNormalization", "Gather", "Slice", "Erf", "Where", "ReduceMax", "SoftmaxCrossEntropyLoss"]


def lower(name: str, graph_class):
    """The module of one operator as `python -m prune import --no-normalize` makes it, as text."""
    from prune.importer import fold, lower, rewrite, shapes
    operator = OPERATORS[name]
    graph = graph_class(opset=operator.opset, **operator.inputs)
    model = graph.model(operator.build(graph))
    model, _ = shapes.convert_opset(model)
    fold.Folder(model).run()
    rewrite.rewrite(model, name)
    module = lower.lower(model)
    return wrap(module)


def wrap(module) -> str:
    """Adds @loss, the sum of the first result times a cotangent, and @gradient of it by all float arguments."""
    main = next(o for o in module.body.operations if o.operation.name == "func.func" and o.name.value == "main")
    kinds = [str(t) for t in main.type.inputs]
    results = [str(t) for t in main.type.results]
    kind = results[0]
    *sizes, element = kind[7:-1].split("x")
    arguments = ", ".join(f"%a{i}: {t}" for i, t in enumerate(kinds))
    operands = ", ".join(f"%a{i}" for i in range(len(kinds)))
    active = [i for i, t in enumerate(kinds) if re.search(r"f\d+>$", t)]
    gradients = ", ".join(kinds[i] for i in active)
    values = ", ".join(f"%g{i}" for i in active)
    dims = ", ".join(f"d{i}" for i in range(len(sizes)))
    maps = f"[affine_map<({dims}) -> ({dims})>, affine_map<({dims}) -> ({dims})>, affine_map<({dims}) -> ()>]"
    added = f"""
func.func @loss({arguments}, %u: {kind}) -> tensor<{element}> {{
%r:{len(results)} = func.call @main({operands}) : ({", ".join(kinds)}) -> ({", ".join(results)})
%zero = arith.constant dense<0.0> : tensor<{element}>
%l = linalg.generic {{indexing_maps = {maps}, iterator_types = [{", ".join(['"reduction"'] * len(sizes))}]}}
  ins(%r#0, %u : {kind}, {kind}) outs(%zero : tensor<{element}>) {{
^bb0(%x: {element}, %y: {element}, %o: {element}):
%p = arith.mulf %x, %y : {element}
%s = arith.addf %o, %p : {element}
linalg.yield %s : {element}
}} -> tensor<{element}>
return %l : tensor<{element}>
}}
func.func @gradient({arguments}, %u: {kind}) -> ({gradients}) {{
%l, {values} = prune.gradient @loss({operands}, %u) by {active}
    : ({", ".join([*kinds, kind])}) -> (tensor<{element}>, {gradients})
return {values} : {gradients}
}}
"""
    text = module.operation.get_asm(enable_debug_info=True)
    head, brace, tail = re.split(r"(^module[^\n]*\{\n)", text, maxsplit=1, flags=re.MULTILINE)
    return head + brace + added + tail
