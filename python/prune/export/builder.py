"""An ONNX graph under construction: values with known shapes, distinct names, and the reshapes between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


class Builder:
    """Nodes and initializers in order; every name is taken once."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.producers: dict[str, NodeProto] = {}
        self.layer = ""
        self._values: dict[str, Value] = {}
        self._taken: dict[str, int] = {}
        self._small: dict[tuple, Value] = {}

    def name(self, wanted: str) -> str:
        """The name, or the name with a number where it is taken."""
        candidate, count = wanted, self._taken.get(wanted, 0)
        while candidate in self._taken:
            count += 1
            candidate = f"{wanted}_{count}"
        self._taken[wanted] = count
        self._taken.setdefault(candidate, 0)
        return candidate

    def input(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Value:
        """An argument of the graph."""
        return self._value(self.name(name), shape, dtype)

    def constant(self, array: np.ndarray, name: str) -> Value:
        """A new initializer."""
        taken = self.name(name)
        self.initializers[taken] = array
        return self._value(taken, array.shape, array.dtype)

    def small(self, array, dtype=None) -> Value:
        """A constant without a name of its own, one for equal ones."""
        array = np.asarray(array, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._small:
            self._small[key] = self.constant(array, "constant")
        return self._small[key]

    def node(self, op: str, inputs: Sequence[Value | None], shape: Sequence[int], dtype: np.dtype,
             **attributes) -> Value:
        """The only result of a new node, named after the layer that is translated."""
        name = self.name(self.layer or op)
        result = self.name(f"{name}_output")
        node = helper.make_node(op, [v.name if v else "" for v in inputs], [result], name=name, **attributes)
        self.nodes.append(node)
        self.producers[result] = node
        return self._value(result, tuple(shape), np.dtype(dtype))

    def _value(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Value:
        self._values[name] = Value(name, tuple(shape), np.dtype(dtype))
        return self._values[name]

    def producer(self, value: Value, *ops: str) -> NodeProto | None:
        """The node that makes a value, if it is one of these operators."""
        node = self.producers.get(value.name)
        return node if node is not None and node.op_type in ops else None

    def operands(self, node: NodeProto) -> list[Value]:
        """What a node reads."""
        return [self._values[n] for n in node.input if n]

    def number(self, value: Value) -> float | None:
        """The number that a constant of one element is."""
        array = self.initializers.get(value.name)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    # Views

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The value in another shape; a chain of reshapes becomes one."""
        node = self.producer(value, "Reshape")
        if node is not None:
            value = self.operands(node)[0]
        shape = tuple(shape)
        if value.shape == shape:
            return value
        return self.node("Reshape", [value, self.small(shape, np.int64)], shape, value.dtype)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Dimension i of the result is dimension order[i] of the value."""
        if list(order) == sorted(order):
            return value
        if sum(s > 1 for s in value.shape) < 2 or _keeps_order(value.shape, order):
            return self.reshape(value, [value.shape[i] for i in order])
        return self.node("Transpose", [value], [value.shape[i] for i in order], value.dtype, perm=list(order))

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """Repeated to the shape."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        return self.node("Expand", [value, self.small(shape, np.int64)], shape, value.dtype)

    def slice(self, value: Value, bounds: Sequence[tuple[int, int, int]]) -> Value:
        """Begin, number and step for every dimension."""
        axes = [i for i, ((b, n, t), size) in enumerate(zip(bounds, value.shape)) if (b, n, t) != (0, size, 1)]
        if not axes:
            return value
        columns = zip(*((bounds[i][0], bounds[i][0] + (bounds[i][1] - 1) * bounds[i][2] + 1, i, bounds[i][2])
                        for i in axes))
        return self.node("Slice", [value, *(self.small(c, np.int64) for c in columns)], [n for _, n, _ in bounds],
                         value.dtype)

    def pad(self, value: Value, low: Sequence[int], high: Sequence[int], fill: Value) -> Value:
        """With a constant around it."""
        if not any(low) and not any(high):
            return value
        shape = [b + s + e for b, s, e in zip(low, value.shape, high)]
        return self.node("Pad", [value, self.small([*low, *high], np.int64), fill], shape, value.dtype)

    def cast(self, value: Value, dtype: np.dtype) -> Value:
        """In another element type."""
        if value.dtype == dtype:
            return value
        return self.node("Cast", [value], value.shape, dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def elementwise(self, op: str, *values: Value, dtype=None, **attributes) -> Value:
        """An operator that broadcasts; its type is that of the last operand unless given."""
        shape = np.broadcast_shapes(*(v.shape for v in values))
        return self.node(op, values, shape, dtype or values[-1].dtype, **attributes)


def _keeps_order(shape: Sequence[int], order: Sequence[int]) -> bool:
    """Whether only unit dimensions move."""
    real = [i for i in order if shape[i] != 1]
    return real == sorted(real)


def sparse_tensor(name: str, array: np.ndarray):
    """The array as a SparseTensorProto, if that takes fewer bytes than the array; else None."""
    flat = array.reshape(-1)
    at = np.flatnonzero(flat)
    if array.ndim == 0 or len(at) * (flat.itemsize + 8) >= flat.nbytes:
        return None
    values = numpy_helper.from_array(np.ascontiguousarray(flat[at]), name)
    indices = numpy_helper.from_array(at.astype(np.int64), f"{name}.indices")
    return helper.make_sparse_tensor(values, indices, list(array.shape))


def dense_tensor(name: str, array: np.ndarray) -> TensorProto:
    """The array as an initializer."""
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
