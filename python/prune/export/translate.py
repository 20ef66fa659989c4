"""Linalg on tensors to an ONNX graph, operation by operation; what later tools know by name (Gemm, Conv, Relu, Softmax, ...)
gets its name back where the module says exactly that."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from iree.compiler import ir

from prune.errors import PruneError, one_line
from prune.export.bodies import Unsupported, scalar
from prune.export.builder import Builder, Value
from prune.export.source import Source

_DYNAMIC = -(1 << 63)
_MAP = re.compile(r"affine_map<\((.*?)\) -> \((.*)\)>")
_CONVOLUTION = re.compile(r"linalg\.(depthwise_)?conv_[123]d_(n\w+)_(\w+)")
_POOLING = re.compile(r"linalg\.pooling_(n\w+)_(max|sum)")
_PRODUCTS = {"linalg.contract", "linalg.matmul", "linalg.batch_matmul", "linalg.matvec", "linalg.vecmat", "linalg.dot",
             "linalg.batch_matvec", "linalg.batch_vecmat"}
# Combiner of a reduction: operator, value that changes nothing.
_REDUCTIONS = {"arith.addf": ("ReduceSum", 0), "arith.addi": ("ReduceSum", 0), "arith.mulf": ("ReduceProd", 1),
               "arith.muli": ("ReduceProd", 1), "arith.maximumf": ("ReduceMax", -math.inf),
               "arith.maxnumf": ("ReduceMax", -math.inf), "arith.minimumf": ("ReduceMin", math.inf),
               "arith.minnumf": ("ReduceMin", math.inf), "arith.maxsi": ("ReduceMax", None),
               "arith.minsi": ("ReduceMin", None)}
# Its sum has its axes as an input since opset 13, the others only since 18.
_AXES_INPUT = {"ReduceSum"}


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant of the module, not in the graph until something reads it."""

    name: str
    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True)
class Splat:
    """A tensor of one number; None where any will do (`tensor.empty`)."""

    shape: tuple[int, ...]
    dtype: np.dtype
    number: float | int | None


@dataclass(frozen=True)
class Loop:
    """The number of a loop of a body."""

    number: int


def parse_map(attribute) -> tuple[int, list[int | None]]:
    """The number of loops, and for each result its loop, or None for the constant 0."""
    loops, results = _MAP.fullmatch(str(attribute)).groups()
    found: list[int | None] = []
    for result in filter(None, results.split(", ")):
        if re.fullmatch(r"d\d+", result):
            found.append(int(result[1:]))
        elif result == "0":
            found.append(None)
        else:
            raise Unsupported(f"an operand read at '{result}'")
    used = [f for f in found if f is not None]
    if len(set(used)) != len(used):
        raise Unsupported("a diagonal")
    return len(list(filter(None, loops.split(", ")))), found


class Translator:
    """Fills a `Builder` from a `Source`; `outputs` are the values of the results."""

    def __init__(self, source: Source):
        self.source, self.build = source, Builder()
        self.values: dict = {}
        self._forms: dict[Constant, tuple[Value, str, tuple]] = {}
        block = source.block
        self.inputs = [self.build.input(name, *source.tensor(value)) for name, value in
                       zip(source.names("arg_attrs", len(block.arguments), "input"), block.arguments)]
        self.values.update(zip(block.arguments, self.inputs))
        self.outputs: list[Value] = []
        for operation in block.operations:
            self._translate(operation.operation)

    def _translate(self, operation) -> None:
        name, location = operation.name, operation.location
        self.build.layer = location.name_str if location.is_a_name() else ""
        try:
            if name == "func.return":
                self.outputs = [self.data(v) for v in operation.operands]
            elif name in _PRODUCTS:
                self._set(operation, self._product(operation))
            elif match := _CONVOLUTION.fullmatch(name):
                self._set(operation, self._convolution(operation, bool(match[1]), match[2], match[3]))
            elif match := _POOLING.fullmatch(name):
                self._set(operation, self._pooling(operation, match[1], match[2]))
            elif (method := getattr(self, "_" + name.replace(".", "_"), None)) is not None:
                self._set(operation, method(operation))
            else:
                # Scalars outside of bodies, such as casts of constants.
                self._set(operation, scalar(self.build, operation, [self.data(v) for v in operation.operands],
                                            self.source.tensor(operation.results[0])[1]))
        except Unsupported as reason:
            where = f" at '{one_line(self.build.layer, 80)}'" if self.build.layer else ""
            raise PruneError(self.source.place, "export to ONNX", f"{reason} in '{name}'{where}",
                             "operations that ONNX has a counterpart for") from None

    def _set(self, operation, *results) -> None:
        self.values.update(zip(operation.results, results))

    # Operands

    def data(self, value) -> Value:
        """The operand in the graph."""
        found = self.values[value]
        if isinstance(found, Constant):
            return self.form(found)
        if isinstance(found, Splat):
            number = self.build.small(0 if found.number is None else found.number, found.dtype)
            return self.build.expand(number, found.shape)
        return found

    def form(self, constant: Constant, kind: str = "Reshape", how: Sequence[int] | None = None) -> Value:
        """A constant, reshaped or transposed. It is stored in the form that is asked for first; others are made of it."""
        array, build = constant.array, self.build
        how = tuple(how if how is not None else array.shape)

        def change(value, kind, how):
            if isinstance(value, np.ndarray):
                return value.reshape(how) if kind == "Reshape" else value.transpose(how)
            return build.reshape(value, how) if kind == "Reshape" else build.transpose(value, how)

        if not constant.name:
            return build.small(change(array, kind, how))
        if constant not in self._forms:
            self._forms[constant] = build.constant(change(array, kind, how), constant.name), kind, how
        stored, stored_kind, stored_how = self._forms[constant]
        if (stored_kind, stored_how) == (kind, how):
            return stored
        back = array.shape if stored_kind == "Reshape" else tuple(np.argsort(stored_how))
        return change(change(stored, stored_kind, back), kind, how)

    def _reshaped(self, value, shape: Sequence[int]) -> Value:
        found = self.values[value]
        if isinstance(found, Constant):
            return self.form(found, "Reshape", shape)
        return self.build.reshape(self.data(value), shape)

    def aligned(self, value, results: Sequence[int | None], loops: int) -> Value:
        """An operand read through a map, so that it broadcasts against the loops."""
        found = self.values[value]
        if isinstance(found, Splat) and found.number is not None:
            return self.build.small(found.number, found.dtype)
        if isinstance(found, Loop):
            raise Unsupported("a loop's number as a tensor")
        shape = found.shape
        first = loops - len(shape)
        if first >= 0 and all((r is None and s == 1) or r == first + i for i, (r, s) in enumerate(zip(results, shape))):
            return self.data(value)
        kept = [i for i, r in enumerate(results) if r is not None]
        order = sorted(kept, key=lambda i: results[i])
        wanted = [1] * loops
        for i in kept:
            wanted[results[i]] = shape[i]
        wanted = wanted[min((results[i] for i in kept), default=loops):]
        if all(shape[i] == 1 for i in range(len(shape)) if i not in kept) and order == kept:
            return self._reshaped(value, wanted)
        data = self.data(value)
        for axis in reversed([i for i, r in enumerate(results) if r is None]):
            data = self._at(data, axis, 0)
        labels = [results[i] for i in kept]
        return self.build.reshape(self.build.transpose(data, [labels.index(results[i]) for i in order]), wanted)

    def _at(self, data: Value, axis: int, index: int) -> Value:
        """The slice at an index, without its dimension."""
        shape = data.shape[:axis] + data.shape[axis + 1:]
        if data.shape[axis] == 1:
            return self.build.reshape(data, shape)
        return self.build.node("Gather", [data, self.build.small(index, np.int64)], shape, data.dtype, axis=axis)

    def _fresh(self, value) -> bool:
        """Whether nothing else reads the result of an operation."""
        return len(list(value.uses)) == 1

    def _plus_init(self, result: Value, init, neutral: float | None) -> Value:
        """A result with what it was accumulated onto."""
        found = self.values[init]
        if isinstance(found, Splat) and found.number is not None and found.number == neutral:
            return result
        return self.build.elementwise("Add", result, self.data(init))

    # Constants and views

    def _arith_constant(self, operation):
        name, array = self.source.named(operation)
        return Constant(name, array) if array.shape else self.build.small(array)

    _prune_apply = _arith_constant

    def _tensor_empty(self, operation):
        return Splat(*self.source.tensor(operation.results[0]), None)

    def _linalg_fill(self, operation):
        shape, dtype = self.source.tensor(operation.results[0])
        number = self.build.initializers.get(self.values[operation.operands[0]].name)
        if number is None:
            return self.build.expand(self.data(operation.operands[0]), shape)
        return Splat(shape, dtype, number.item())

    _tensor_splat = _linalg_fill

    def _tensor_expand_shape(self, operation):
        return self._reshaped(operation.operands[0], self.source.tensor(operation.results[0])[0])

    _tensor_collapse_shape = _tensor_cast = _tensor_reshape = _tensor_expand_shape

    def _linalg_transpose(self, operation):
        return self.build.transpose(self.data(operation.operands[0]), list(operation.attributes["permutation"]))

    def _linalg_broadcast(self, operation):
        shape, _ = self.source.tensor(operation.results[0])
        added = list(operation.attributes["dimensions"])
        unit = [1 if i in added else s for i, s in enumerate(shape)]
        return self.build.expand(self._reshaped(operation.operands[0], unit), shape)

    def _tensor_concat(self, operation):
        shape, dtype = self.source.tensor(operation.results[0])
        return self.build.node("Concat", [self.data(v) for v in operation.operands], shape, dtype,
                               axis=ir.IntegerAttr(operation.attributes["dim"]).value)

    def _bounds(self, operation) -> list[tuple[int, int, int]]:
        columns = [list(operation.attributes[f"static_{k}"]) for k in ("offsets", "sizes", "strides")]
        if any(_DYNAMIC in column for column in columns):
            raise Unsupported("a slice whose place is computed")
        return list(zip(*columns))

    def _tensor_extract_slice(self, operation):
        shape, _ = self.source.tensor(operation.results[0])
        return self.build.reshape(self.build.slice(self.data(operation.operands[0]), self._bounds(operation)), shape)

    def _tensor_insert_slice(self, operation):
        source, target = operation.operands[:2]
        bounds = self._bounds(operation)
        data, base = self._reshaped(source, [n for _, n, _ in bounds]), self.values[target]
        if isinstance(base, Splat):
            return self._spread(data, base, bounds)
        if any(step != 1 for _, _, step in bounds):
            raise Unsupported("an insertion with steps")
        return self._insert(data, self.data(target), bounds, 0)

    def _spread(self, data: Value, base: Splat, bounds) -> Value:
        """Inserted into one number everywhere: padding, after the number has come between the elements."""
        build, fill = self.build, self.build.small(base.number or 0, base.dtype)
        if any(step != 1 for _, _, step in bounds):
            apart = [v for _, n, _ in bounds for v in (n, 1)]
            steps = [v for _, _, t in bounds for v in (0, t - 1)]
            data = build.pad(build.reshape(data, apart), [0] * len(steps), steps, fill)
            data = build.reshape(data, [n * t for _, n, t in bounds])
            data = build.slice(data, [(0, (n - 1) * t + 1, 1) for _, n, t in bounds])
        low = [b for b, _, _ in bounds]
        return build.pad(data, low, [s - b - n for s, b, n in zip(base.shape, low, data.shape)], fill)

    def _insert(self, data: Value, base: Value, bounds, axis: int) -> Value:
        """Dimension by dimension: what lies before, what is inserted, what lies behind."""
        if axis == len(bounds):
            return data
        begin, count, _ = bounds[axis]

        def part(first, number):
            return self.build.slice(base, [(first, number, 1) if i == axis else (0, s, 1)
                                           for i, s in enumerate(base.shape)])
        middle = self._insert(data, part(begin, count), bounds, axis + 1)
        rest = base.shape[axis] - begin - count
        parts = [*([part(0, begin)] if begin else []), middle, *([part(begin + count, rest)] if rest else [])]
        return middle if len(parts) == 1 else self.build.node("Concat", parts, base.shape, base.dtype, axis=axis)

    def _tensor_pad(self, operation):
        low, high = (list(operation.attributes[f"static_{k}"]) for k in ("low", "high"))
        fill = operation.regions[0].blocks[0].operations[-1].operands[0]
        if _DYNAMIC in low + high or fill not in self.values:
            raise Unsupported("padding with what is computed")
        return self.build.pad(self.data(operation.operands[0]), low, high, self.data(fill))

    # Products

    def _product(self, operation):
        left, right, init = operation.operands
        maps = ir.ArrayAttr(operation.attributes["indexing_maps" if "indexing_maps" in operation.attributes
                                                 else "linalg.memoized_indexing_maps"])
        a, b, c = (parse_map(m)[1] for m in maps)
        if None in a + b + c:
            raise Unsupported("a broadcast operand")
        return self._plus_init(self._contract(left, right, a, b, c), init, 0)

    def _contract(self, left, right, a: list[int], b: list[int], c: list[int]) -> Value:
        weight, build = self.values[right], self.build
        k = [d for d in a if d in b and d not in c]
        sizes = {**dict(zip(a, self.values[left].shape)), **dict(zip(b, weight.shape))}
        shape, dtype = [sizes[d] for d in c], self.data(left).dtype
        if isinstance(weight, Constant) and len(b) == 2 and b[1:] == k:
            if a[-1:] == k and c == a[:-1] + b[:1]:
                if len(a) == 2:
                    return build.node("Gemm", [self.data(left), self.form(weight)], shape, dtype, transB=1)
                if len(a) > 2:
                    return build.node("MatMul", [self.data(left), self.form(weight, "Transpose", (1, 0))], shape, dtype)
            if 3 <= len(a) <= 5 and a[1:2] == k and c == [a[0], b[0], *a[2:]]:
                ones = [1] * (len(a) - 2)
                return build.node("Conv", [self.data(left), self.form(weight, "Reshape", (*weight.shape, *ones))], shape,
                                  dtype, kernel_shape=ones)
        batch = [d for d in c if d in a and d in b]
        m, n = [d for d in c if d in a and d not in b], [d for d in c if d in b and d not in a]
        if len(m) == len(n) == len(k) == 1 and c == batch + m + n and len(a) == len(b) == len(batch) + 2:
            x = build.transpose(self.data(left), [a.index(d) for d in batch + m + k])
            y = build.transpose(self.data(right), [b.index(d) for d in batch + k + n])
            return build.node("MatMul", [x, y], shape, dtype)
        text = ["".join(chr(ord("a") + d) for d in dims) for dims in (a, b, c)]
        return build.node("Einsum", [self.data(left), self.data(right)], shape, dtype,
                          equation=f"{text[0]},{text[1]}->{text[2]}")

    # Windows

    def _first(self, value: Value, layout: str, first: str) -> tuple[Value, list[int]]:
        """The value with the dimensions named by `first` in front, those of space behind; and the way back."""
        order = [layout.index(f) for f in first] + [i for i, f in enumerate(layout) if f not in first]
        return self.build.transpose(value, order), list(np.argsort(order))

    def _unpadded(self, x: Value, fill: float) -> tuple[Value, list[int]]:
        """Padding of the space that an operator can do by itself."""
        node, rank = self.build.producer(x, "Pad"), len(x.shape) - 2
        if node is not None:
            source, amounts, number = self.build.operands(node)
            pads = self.build.initializers[amounts.name].tolist()
            if self.build.number(number) == fill and not any(pads[:2] + pads[rank + 2:rank + 4]):
                return source, pads[2:rank + 2] + pads[rank + 4:]
        return x, [0] * 2 * rank

    def _convolution(self, operation, depthwise: bool, layout: str, filters: str):
        build, (left, right, init) = self.build, operation.operands
        grouped = "g" in layout
        strides, dilations = (_numbers(operation.attributes[k]) for k in ("strides", "dilations"))
        data, shape = self.data(left), self.source.tensor(operation.results[0])[0]
        group = 1
        if grouped:
            if layout[:3] != "ngc" or filters[:3] != "gfc":
                raise Unsupported(f"the layout '{layout}_{filters}'")
            data = build.reshape(data, (data.shape[0], data.shape[1] * data.shape[2], *data.shape[3:]))
            g, f, *rest = self.values[right].shape
            weight, group, layout, back = self._reshaped(right, (g * f, *rest)), g, "nc" + layout[3:], None
        elif depthwise:
            if "c" not in filters or "m" in filters:
                raise Unsupported(f"the layout '{layout}_{filters}'")
            weight, _ = self._first(self.data(right), filters, "c")
            group = weight.shape[0]
            weight = self._reshaped(right, (group, 1, *weight.shape[1:])) if filters[0] == "c" else build.reshape(
                weight, (group, 1, *weight.shape[1:]))
        else:
            weight, _ = self._first(self.data(right), filters, "fc")
        data, back = self._first(data, layout, "nc")
        data, pads = self._unpadded(data, 0)
        size = [(s + b + e - (w - 1) * d - 1) // t + 1 for s, w, b, e, t, d in zip(
            data.shape[2:], weight.shape[2:], pads, pads[len(strides):], strides, dilations)]
        result = build.node("Conv", [data, weight], (data.shape[0], weight.shape[0], *size), data.dtype, group=group,
                            kernel_shape=weight.shape[2:], strides=strides, dilations=dilations, pads=pads)
        return self._plus_init(build.reshape(build.transpose(result, back), shape), init, 0)

    def _pooling(self, operation, layout: str, kind: str):
        build, (left, window, init) = self.build, operation.operands
        strides, dilations = (_numbers(operation.attributes[k]) for k in ("strides", "dilations"))
        kernel = self.values[window].shape
        data, back = self._first(self.data(left), layout, "nc")
        data, pads = self._unpadded(data, 0 if kind == "sum" else -math.inf)
        size = [(s + b + e - (w - 1) * d - 1) // t + 1 for s, w, b, e, t, d in zip(
            data.shape[2:], kernel, pads, pads[len(kernel):], strides, dilations)]
        shape = (*data.shape[:2], *size)
        if kind == "max":
            result = build.node("MaxPool", [data], shape, data.dtype, kernel_shape=kernel, strides=strides, pads=pads,
                                dilations=dilations)
            neutral = self.values[init]
            if not isinstance(neutral, Splat) or neutral.number != -math.inf:
                result = build.elementwise("Max", result, build.transpose(self.data(init), np.argsort(back)))
            return build.transpose(result, back)
        if any(d != 1 for d in dilations):
            raise Unsupported("a dilated sum over windows")
        result = build.node("AveragePool", [data], shape, data.dtype, kernel_shape=kernel, strides=strides, pads=pads,
                            count_include_pad=1)
        result = build.elementwise("Mul", result, build.small(math.prod(kernel), data.dtype))
        return self._plus_init(build.transpose(result, back), init, 0)

    # Loop nests


    def _linalg_generic(self, operation):
        inputs = operation.attributes["operandSegmentSizes"][0]
        operands = list(operation.operands)
        maps = [parse_map(m) for m in ir.ArrayAttr(operation.attributes["indexing_maps"])]
        loops = maps[0][0]
        sizes = [1] * loops
        for (_, results), operand in zip(maps, operands):
            for r, s in zip(results, self.source.tensor(operand)[0]):
                if r is not None:
                    sizes[r] = s
        reduced = [i for i, t in enumerate(operation.attributes["iterator_types"]) if "reduction" in str(t)]
        if len(operation.results) != 1:
            raise Unsupported("several results")
        block = operation.regions[0].blocks[0]
        *body, last = [o.operation for o in block.operations]
        fused = self._with_bias(operation, body, maps) if len(body) == 1 and inputs == 2 else None
        if fused is not None:
            return fused
        scope = {a: self.aligned(o, results, loops) for a, o, (_, results) in zip(block.arguments, operands, maps[:inputs])}
        own, init, (_, out) = block.arguments[inputs], operands[inputs], maps[inputs]
        if not reduced:
            if len(list(own.uses)):
                scope[own] = self.aligned(init, out, loops)
            return self._placed(self._body(body, last.operands[0], scope, sizes), out, sizes)
        return self._reduce(body, last, own, init, out, scope, sizes, reduced)

    def _body(self, body, yielded, scope: dict, sizes: list[int]) -> Value:
        """The value of a body for all loops at once."""
        for operation in body:
            if operation.name == "linalg.index":
                scope[operation.results[0]] = Loop(ir.IntegerAttr(operation.attributes["dim"]).value)
                continue
            if operation.name == "tensor.extract":
                scope[operation.results[0]] = self._lookup(operation, scope, sizes)
                continue
            if operation.name == "arith.index_cast" and isinstance(scope.get(operation.operands[0]), Loop):
                scope[operation.results[0]] = scope[operation.operands[0]]
                continue
            operands = [self._number(scope[v], sizes) if v in scope else self.data(v) for v in operation.operands]
            scope[operation.results[0]] = scalar(self.build, operation, operands,
                                                 self.source.tensor(operation.results[0])[1])
        return self._number(scope[yielded], sizes) if yielded in scope else self.data(yielded)

    def _number(self, value, sizes: list[int]) -> Value:
        """A loop's number as a tensor that broadcasts."""
        if not isinstance(value, Loop):
            return value
        count = np.arange(sizes[value.number], dtype=np.int64)
        return self.build.small(count.reshape(-1, *[1] * (len(sizes) - value.number - 1)))

    def _placed(self, value: Value, out: Sequence[int | None], sizes: list[int]) -> Value:
        """What a body gives for all loops, as the tensor that its map says."""
        value = self.build.expand(value, sizes)
        order = [d for d in out if d is not None]
        value = self.build.transpose(value, order + [d for d in range(len(sizes)) if d not in order])
        return self.build.reshape(value, [1 if d is None else sizes[d] for d in out])

    def _reduce(self, body, last, own, init, out, scope, sizes, reduced) -> Value:
        build = self.build
        combiner = last.operands[0].owner
        combiner = None if isinstance(combiner, ir.Block) else combiner
        if combiner is None or combiner.name not in _REDUCTIONS or len(list(own.uses)) != 1 or \
                own not in list(combiner.operands):
            raise Unsupported("a reduction that is no sum, product, maximum or minimum")
        operator, neutral = _REDUCTIONS[combiner.name]
        term = next(o for o in combiner.operands if o != own)
        value = build.expand(self._body([o for o in body if o != combiner], term, scope, sizes), sizes)
        keep = all(d is not None for d in out) is False and [d for d in out if d is not None] == sorted(
            d for d in out if d is not None) and [i for i, d in enumerate(out) if d is None] == reduced
        shape = [1 if i in reduced else s for i, s in enumerate(sizes) if keep or i not in reduced]
        if operator in _AXES_INPUT:
            result = build.node(operator, [value, build.small(reduced, np.int64)], shape, value.dtype, keepdims=int(keep))
        else:
            result = build.node(operator, [value], shape, value.dtype, axes=reduced, keepdims=int(keep))
        if not keep:
            left = [i for i in range(len(sizes)) if i not in reduced]
            result = build.transpose(result, [left.index(d) for d in out if d is not None])
            result = build.reshape(result, [1 if d is None else sizes[d] for d in out])
        found = self.values[init]
        if isinstance(found, Splat) and found.number is not None and found.number == neutral:
            return result
        return scalar(build, combiner, [result, self.data(init)], result.dtype)

    def _with_bias(self, operation, body, maps) -> Value | None:
        """The sum of a convolution or product and a constant along its outputs, which the operator adds by itself."""
        if body[0].name != "arith.addf":
            return None
        for x, b in ((0, 1), (1, 0)):
            producer = self.values[operation.operands[x]]
            bias = self.values[operation.operands[b]]
            node = self.build.producer(producer, "Conv", "Gemm") if isinstance(producer, Value) else None
            loops = maps[x][0]
            if node is None or len(node.input) > 2 or not isinstance(bias, Constant) or len(bias.shape) != 1 or \
                    maps[b][1] != [1] or maps[x][1] != list(range(loops)) or maps[2][1] != maps[x][1] or \
                    not self._fresh(operation.operands[x]):
                continue
            attributes = {a.name: _attribute(a) for a in node.attribute}
            return self.build.node(node.op_type, [*self.build.operands(node), self.form(bias)], producer.shape,
                                   producer.dtype, **attributes)
        return None

    # Tables

    def _lookup(self, operation, scope: dict, sizes: list[int]) -> Value:
        """`tensor.extract`: rows at computed places by Gather, anything else element by element."""
        table, *indices = operation.operands
        indices = [scope[i] if i in scope else self.data(i) for i in indices]
        loops = [i.number for i in indices if isinstance(i, Loop)]
        computed = [i for i in indices if not isinstance(i, Loop) and self.build.number(i) is None]
        shape = self.source.tensor(table)[0]
        varies = {len(sizes) - k for i in computed for k, s in enumerate(reversed(i.shape), 1) if s > 1}
        if len(computed) > 1 or len(set(loops)) != len(loops) or varies & set(loops) or any(
                s != sizes[i.number] for s, i in zip(shape, indices) if isinstance(i, Loop)):
            return self._elements(table, indices, sizes)
        data = self.data(table)
        for axis in reversed(range(len(indices))):
            if not isinstance(indices[axis], Loop) and indices[axis] not in computed:
                data = self._at(data, axis, int(self.build.number(indices.pop(axis))))
        labels = [i.number if isinstance(i, Loop) else -1 for i in indices]
        if computed:
            axis = labels.index(-1)
            at = self._nonnegative(computed[0], data.shape[axis])
            spread = sorted(varies)
            at = self.build.reshape(at, [sizes[d] for d in spread])
            shape = data.shape[:axis] + at.shape + data.shape[axis + 1:]
            data = self.build.node("Gather", [data, at], shape, data.dtype, axis=axis)
            labels[axis:axis + 1] = spread
        data = self.build.transpose(data, np.argsort(labels).tolist())
        return self.build.reshape(data, [sizes[d] if d in labels else 1 for d in range(len(sizes))])

    def _nonnegative(self, index: Value, size: int) -> Value:
        """Without the addition of the size to negative indices, which Gather does by itself."""
        view = self.build.producer(index, "Reshape")
        node = self.build.producer(self.build.operands(view)[0] if view is not None else index, "Where")
        if node is None:
            return index
        condition, moved, plain = self.build.operands(node)
        less, add = self.build.producer(condition, "Less"), self.build.producer(moved, "Add")
        if less is None or add is None:
            return index
        (x, zero), (y, count) = self.build.operands(less), self.build.operands(add)
        if x == y == plain and self.build.number(zero) == 0 and self.build.number(count) == size:
            return self.build.reshape(plain, index.shape)
        return index

    def _elements(self, table, indices, sizes: list[int]) -> Value:
        whole = [self.build.reshape(self.build.expand(self._number(i, sizes), sizes), (*sizes, 1)) for i in indices]
        places = whole[0] if len(whole) == 1 else self.build.node(
            "Concat", whole, (*sizes, len(whole)), np.int64, axis=len(sizes))
        data = self.data(table)
        return self.build.node("GatherND", [data, places], sizes, data.dtype)


def _numbers(attribute) -> list[int]:
    """The elements of `dense<...> : vector`."""
    dense = ir.DenseIntElementsAttr(attribute)
    return [dense[i] for i in range(len(dense))]


def _attribute(attribute):
    from onnx import helper
    return helper.get_attribute_value(attribute)
