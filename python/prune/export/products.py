"""Products, convolutions and pooling as operators of ONNX."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Sequence

import numpy as np
from iree.compiler import ir

from prune.export.builder import Value
from prune.export.operands import Constant, Splat, Unsupported, parse_map

if TYPE_CHECKING:
    from prune.export.translate import Translator

PRODUCTS = {"linalg.contract", "linalg.matmul", "linalg.batch_matmul", "linalg.matvec", "linalg.vecmat", "linalg.dot",
            "linalg.batch_matvec", "linalg.batch_vecmat"}
CONVOLUTION = re.compile(r"linalg\.(depthwise_)?conv_[123]d_(n\w+)_(\w+)")
POOLING = re.compile(r"linalg\.pooling_(n\w+)_(max|sum)")


def product(t: Translator, operation) -> Value:
    """`linalg.contract` and its named forms."""
    left, right, init = operation.operands
    maps = ir.ArrayAttr(operation.attributes["indexing_maps" if "indexing_maps" in operation.attributes
                                             else "linalg.memoized_indexing_maps"])
    a, b, c = (parse_map(m)[1] for m in maps)
    if None in a + b + c:
        raise Unsupported("a broadcast operand")
    return t.plus_init(_contract(t, left, right, a, b, c), init, 0)


def _contract(t: Translator, left, right, a: list[int], b: list[int], c: list[int]) -> Value:
    weight, build = t.values[right], t.build
    k = [d for d in a if d in b and d not in c]
    sizes = {**dict(zip(a, t.values[left].shape)), **dict(zip(b, weight.shape))}
    shape, dtype = [sizes[d] for d in c], t.data(left).dtype
    if isinstance(weight, Constant) and len(b) == 2 and b[1:] == k:
        if a[-1:] == k and c == a[:-1] + b[:1]:
            if len(a) == 2:
                return build.node("Gemm", [t.data(left), t.form(weight)], shape, dtype, transB=1)
            if len(a) > 2:
                return build.node("MatMul", [t.data(left), t.form(weight, "Transpose", (1, 0))], shape, dtype)
        if 3 <= len(a) <= 5 and a[1:2] == k and c == [a[0], b[0], *a[2:]]:
            ones = [1] * (len(a) - 2)
            return build.node("Conv", [t.data(left), t.form(weight, "Reshape", (*weight.shape, *ones))], shape,
                              dtype, kernel_shape=ones)
    batch = [d for d in c if d in a and d in b]
    m, n = [d for d in c if d in a and d not in b], [d for d in c if d in b and d not in a]
    if len(m) == len(n) == len(k) == 1 and c == batch + m + n and len(a) == len(b) == len(batch) + 2:
        x = build.transpose(t.data(left), [a.index(d) for d in batch + m + k])
        y = build.transpose(t.data(right), [b.index(d) for d in batch + k + n])
        return build.node("MatMul", [x, y], shape, dtype)
    text = ["".join(chr(ord("a") + d) for d in dims) for dims in (a, b, c)]
    return build.node("Einsum", [t.data(left), t.data(right)], shape, dtype,
                      equation=f"{text[0]},{text[1]}->{text[2]}")


def _first(t: Translator, value: Value, layout: str, first: str) -> tuple[Value, list[int]]:
    """The value with the dimensions named by `first` in front, those of space behind; and the way back."""
    order = [layout.index(f) for f in first] + [i for i, f in enumerate(layout) if f not in first]
    return t.build.transpose(value, order), list(np.argsort(order))


def _unpadded(t: Translator, x: Value, fill: float) -> tuple[Value, list[int]]:
    """Padding of the space that an operator can do by itself."""
    node, rank = t.build.producer(x, "Pad"), len(x.shape) - 2
    if node is not None:
        source, amounts, number = t.build.operands(node)
        pads = t.build.initializers[amounts.name].tolist()
        if t.build.number(number) == fill and not any(pads[:2] + pads[rank + 2:rank + 4]):
            return source, pads[2:rank + 2] + pads[rank + 4:]
    return x, [0] * 2 * rank


def _windows(shape: Sequence[int], kernel: Sequence[int], pads: list[int], strides: list[int],
             dilations: list[int]) -> list[int]:
    """How many windows there are along each dimension of space."""
    return [(size + low + high - (window - 1) * dilation - 1) // stride + 1 for size, window, low, high,
             stride, dilation in zip( shape, kernel, pads, pads[len(kernel):], strides, dilations)]


def convolution(t: Translator, operation, depthwise: bool, layout: str, filters: str) -> Value:
    """Of any layout, dense, grouped or depthwise."""
    build, (left, right, init) = t.build, operation.operands
    strides, dilations = (_numbers(operation.attributes[k]) for k in ("strides", "dilations"))
    data, group = t.data(left), 1
    if layout.startswith("ngc") and filters.startswith("gfc"):
        group, outputs, *rest = t.values[right].shape
        data = build.reshape(data, (data.shape[0], data.shape[1] * data.shape[2], *data.shape[3:]))
        weight, layout = t.reshaped(right, (group * outputs, *rest)), layout.replace("g", "")
    elif depthwise and filters in ("cw", "chw", "cdhw"):
        group, *rest = t.values[right].shape
        weight = t.reshaped(right, (group, 1, *rest))
    elif depthwise or "g" in layout:
        raise Unsupported(f"the layout '{layout}_{filters}'")
    else:
        weight, _ = _first(t, t.data(right), filters, "fc")
    data, back = _first(t, data, layout, "nc")
    data, pads = _unpadded(t, data, 0)
    size = _windows(data.shape[2:], weight.shape[2:], pads, strides, dilations)
    result = build.node("Conv", [data, weight], (data.shape[0], weight.shape[0], *size), data.dtype, group=group,
                        kernel_shape=weight.shape[2:], strides=strides, dilations=dilations, pads=pads)
    result = build.reshape(build.transpose(result, back), t.source.tensor(operation.results[0])[0])
    return t.plus_init(result, init, 0)


def pooling(t: Translator, operation, layout: str, kind: str) -> Value:
    """Maxima and sums over windows; a sum is a mean times its size, which a division behind it takes away."""
    build, (left, window, init) = t.build, operation.operands
    strides, dilations = (_numbers(operation.attributes[k]) for k in ("strides", "dilations"))
    kernel = t.values[window].shape
    data, back = _first(t, t.data(left), layout, "nc")
    data, pads = _unpadded(t, data, 0 if kind == "sum" else -math.inf)
    shape = (*data.shape[:2], *_windows(data.shape[2:], kernel, pads, strides, dilations))
    if kind == "max":
        result = build.node("MaxPool", [data], shape, data.dtype, kernel_shape=kernel, strides=strides, pads=pads,
                            dilations=dilations)
        result, start = build.transpose(result, back), t.values[init]
        if isinstance(start, Splat) and start.number == -math.inf:
            return result
        return build.elementwise("Max", result, t.data(init))
    if any(d != 1 for d in dilations):
        raise Unsupported("a dilated sum over windows")
    result = build.node("AveragePool", [data], shape, data.dtype, kernel_shape=kernel, strides=strides, pads=pads,
                        count_include_pad=1)
    result = build.elementwise("Mul", result, build.small(math.prod(kernel), data.dtype))
    return t.plus_init(build.transpose(result, back), init, 0)


def _numbers(attribute) -> list[int]:
    """The elements of `dense<...> : vector`."""
    dense = ir.DenseIntElementsAttr(attribute)
    return [dense[i] for i in range(len(dense))]
