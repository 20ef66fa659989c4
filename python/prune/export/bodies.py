"""Scalar arithmetic of loop bodies as elementwise ONNX operators."""

from __future__ import annotations

import numpy as np
from iree.compiler import ir

from prune.export.builder import Builder, Value
from prune.export.operands import Unsupported

_DIRECT = {
    "arith.addf": "Add", "arith.addi": "Add", "arith.subf": "Sub", "arith.subi": "Sub", "arith.mulf": "Mul",
    "arith.muli": "Mul", "arith.divf": "Div", "arith.divsi": "Div", "arith.negf": "Neg", "arith.maximumf": "Max",
    "arith.maxnumf": "Max", "arith.maxsi": "Max", "arith.minimumf": "Min", "arith.minnumf": "Min", "arith.minsi": "Min",
    "math.exp": "Exp", "math.log": "Log", "math.sqrt": "Sqrt", "math.tanh": "Tanh", "math.erf": "Erf",
    "math.absf": "Abs",
    "math.absi": "Abs", "math.ceil": "Ceil", "math.floor": "Floor", "math.roundeven": "Round", "math.sin": "Sin",
    "math.cos": "Cos", "math.tan": "Tan", "math.asin": "Asin", "math.acos": "Acos", "math.atan": "Atan",
    "math.sinh": "Sinh", "math.cosh": "Cosh", "math.asinh": "Asinh", "math.acosh": "Acosh", "math.atanh": "Atanh",
}
_LOGICAL = {"arith.andi": "And", "arith.ori": "Or", "arith.xori": "Xor"}
_CASTS = {"arith.sitofp", "arith.uitofp", "arith.fptosi", "arith.extf", "arith.truncf", "arith.extsi", "arith.extui",
          "arith.trunci", "arith.index_cast"}
# By predicate number, ordered ones; the unordered ones that follow are the negation of the opposite.
_FLOAT = {1: "Equal", 2: "Greater", 3: "GreaterOrEqual", 4: "Less", 5: "LessOrEqual"}
_NEGATED = {9: "LessOrEqual", 10: "Less", 11: "GreaterOrEqual", 12: "Greater", 13: "Equal"}
_INTEGER = {0: "Equal", 2: "Less", 3: "LessOrEqual", 4: "Greater", 5: "GreaterOrEqual"}


def scalar(build: Builder, operation, operands: list[Value], dtype: np.dtype) -> Value:
    """One operation of a body on broadcast operands; `dtype` is the element type of its result."""
    name = operation.name
    if name in _DIRECT:
        return _direct(build, name, operands)
    if name in _LOGICAL and dtype == np.bool_:
        return build.elementwise(_LOGICAL[name], *operands)
    if name in _CASTS:
        if name in ("arith.uitofp", "arith.extui") and operands[0].dtype != np.bool_:
            raise Unsupported(f"'{name}' of {operands[0].dtype}")
        return build.cast(operands[0], dtype)
    if name in ("arith.cmpf", "arith.cmpi"):
        return _compare(build, operation, operands)
    if name == "arith.select":
        return _select(build, operands)
    if name == "math.rsqrt":
        return build.elementwise("Reciprocal", build.elementwise("Sqrt", operands[0]))
    if name in ("math.powf", "math.fpowi"):
        return build.elementwise("Pow", *operands, dtype=dtype)
    if name == "math.fma":
        return build.elementwise("Add", build.elementwise("Mul", *operands[:2]), operands[2])
    if name == "arith.floordivsi":
        quotient = build.elementwise("Div", *(build.cast(v, np.float64) for v in operands))
        return build.cast(build.elementwise("Floor", quotient), dtype)
    if name == "arith.remsi":
        return build.elementwise("Mod", *operands, fmod=1)
    if name == "math.log1p":
        return build.elementwise("Log", build.elementwise("Add", operands[0], build.small(1, dtype)))
    if name == "math.expm1":
        return build.elementwise("Sub", build.elementwise("Exp", operands[0]), build.small(1, dtype))
    raise Unsupported(f"'{name}'")


def _direct(build: Builder, name: str, operands: list[Value]) -> Value:
    if name == "arith.divf":
        mean = _mean(build, *operands) or _softmax(build, *operands)
        if mean is not None:
            return mean
    return build.elementwise(_DIRECT[name], *operands)


def _compare(build: Builder, operation, operands: list[Value]) -> Value:
    predicate = ir.IntegerAttr(operation.attributes["predicate"]).value
    table = _FLOAT if operation.name == "arith.cmpf" else _INTEGER
    if predicate in table:
        return build.elementwise(table[predicate], *operands, dtype=np.bool_)
    if operation.name == "arith.cmpf" and predicate in _NEGATED:
        opposite = build.elementwise(_NEGATED[predicate], *operands, dtype=np.bool_)
    elif operation.name == "arith.cmpi" and predicate == 1:
        opposite = build.elementwise("Equal", *operands, dtype=np.bool_)
    elif operation.name == "arith.cmpf" and predicate == 6:
        # Different, and neither is NaN; true for NaN would be the negation of Equal.
        opposite = build.elementwise("Less", *operands, dtype=np.bool_)
        return build.elementwise("Or", opposite, build.elementwise("Greater", *operands, dtype=np.bool_))
    else:
        raise Unsupported(f"'{operation.name}' with predicate {predicate}")
    return build.elementwise("Not", opposite)


def _select(build: Builder, operands: list[Value]) -> Value:
    """Where, or Relu if that is what it says."""
    condition, yes, no = operands
    if build.number(no) == 0.0:
        node = build.producer(condition, "Not")
        inner = build.producer(build.operands(node)[0], "LessOrEqual") if node is not None else None
        greater = inner if inner is not None else build.producer(condition, "Greater")
        if greater is not None and build.operands(greater) == [yes, no]:
            return build.elementwise("Relu", yes)
    return build.elementwise("Where", *operands)


def _mean(build: Builder, total: Value, count: Value) -> Value | None:
    """A sum divided by how much it sums, as the operator for it."""
    number = build.number(count)
    node = build.producer(total, "Mul")
    if node is not None:
        pool, window = build.operands(node)
        return pool if build.producer(pool, "AveragePool") is not None and build.number(window) == number else None
    node = build.producer(total, "ReduceSum")
    if node is None or number is None:
        return None
    source, axes = build.operands(node)
    axes = build.initializers[axes.name]
    if np.prod([source.shape[a] for a in axes]) != number:
        return None
    keep = next(a.i for a in node.attribute if a.name == "keepdims")
    return build.node("ReduceMean", [source], total.shape, total.dtype, axes=axes.tolist(), keepdims=keep)


def _softmax(build: Builder, power: Value, total: Value) -> Value | None:
    """exp(x - max x) divided by its sum."""
    exponential, over = build.producer(power, "Exp"), _reduction(build, total, "ReduceSum")
    if exponential is None or over is None or over[0] != power:
        return None
    difference = build.producer(build.operands(exponential)[0], "Sub")
    if difference is None:
        return None
    x, largest = build.operands(difference)
    peak = _reduction(build, largest, "ReduceMax")
    if peak != (x, over[1]):
        return None
    return build.node("Softmax", [x], x.shape, x.dtype, axis=over[1])


def _reduction(build: Builder, value: Value, op: str) -> tuple[Value, int] | None:
    """What a value is a reduction of, if over one dimension, and which."""
    node = build.producer(value, "Reshape")
    node = build.producer(build.operands(node)[0], op) if node is not None else build.producer(value, op)
    if node is None:
        return None
    source, *rest = build.operands(node)
    axes = build.initializers[rest[0].name].tolist() if rest else [i for a in node.attribute if a.name == "axes"
                                                                   for i in a.ints]
    reduced = [1 if i == axes[0] else s for i, s in enumerate(source.shape)]
    return (source, axes[0]) if len(axes) == 1 and list(value.shape) == reduced else None
