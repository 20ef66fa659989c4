"""Linalg on tensors to an ONNX graph, operation by operation. What later tools know by name (Gemm, Conv, Relu, Softmax)
gets its name back where the module says exactly that."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np
from iree.compiler import ir
from onnx import helper

from prune.errors import PruneError, one_line
from prune.export.bodies import scalar
from prune.export.builder import Builder, Value
from prune.export.operands import Constant, Loop, Splat, Unsupported, parse_map
from prune.export.products import CONVOLUTION, POOLING, PRODUCTS, convolution, pooling, product
from prune.export.source import Source

_DYNAMIC = -(1 << 63)
# Combiner of a reduction: operator, value that changes nothing.
_REDUCTIONS = {"arith.addf": ("ReduceSum", 0), "arith.addi": ("ReduceSum", 0), "arith.mulf": ("ReduceProd", 1),
               "arith.muli": ("ReduceProd", 1), "arith.maximumf": ("ReduceMax", -math.inf),
               "arith.maxnumf": ("ReduceMax", -math.inf), "arith.minimumf": ("ReduceMin", math.inf),
               "arith.minnumf": ("ReduceMin", math.inf), "arith.maxsi": ("ReduceMax", None),
               "arith.minsi": ("ReduceMin", None)}
# Its sum has its axes as an input since opset 13, the others only since 18.
_AXES_INPUT = {"ReduceSum"}


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
            elif len(operation.results) != 1:
                raise Unsupported(f"{len(operation.results)} results")
            else:
                self.values[operation.results[0]] = self._result(operation)
        except Unsupported as reason:
            where = f" at '{one_line(self.build.layer, 80)}'" if self.build.layer else ""
            raise PruneError(self.source.place, "export to ONNX", f"{reason} in '{name}'{where}",
                             "operations that ONNX has a counterpart for") from None

    def _result(self, operation):
        """What an operation computes: a value, or a constant."""
        name = operation.name
        if name in PRODUCTS:
            return product(self, operation)
        if match := CONVOLUTION.fullmatch(name):
            return convolution(self, operation, bool(match[1]), match[2], match[3])
        if match := POOLING.fullmatch(name):
            return pooling(self, operation, match[1], match[2])
        method = getattr(self, "_" + name.replace(".", "_"), None)
        if method is not None:
            return method(operation)
        # Scalars outside of bodies, such as casts of constants.
        return scalar(self.build, operation, [self.data(v) for v in operation.operands],
                      self.source.tensor(operation.results[0])[1])

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
        """A constant, reshaped or transposed: stored in the form that is asked for first, others are made of it."""
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

    def reshaped(self, value, shape: Sequence[int]) -> Value:
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
            return self.reshaped(value, wanted)
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

    def plus_init(self, result: Value, init, neutral: float | None) -> Value:
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
        return self.reshaped(operation.operands[0], self.source.tensor(operation.results[0])[0])

    _tensor_collapse_shape = _tensor_cast = _tensor_reshape = _tensor_expand_shape

    def _linalg_transpose(self, operation):
        return self.build.transpose(self.data(operation.operands[0]), list(operation.attributes["permutation"]))

    def _linalg_broadcast(self, operation):
        shape, _ = self.source.tensor(operation.results[0])
        added = list(operation.attributes["dimensions"])
        unit = [1 if i in added else s for i, s in enumerate(shape)]
        return self.build.expand(self.reshaped(operation.operands[0], unit), shape)

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
        data, base = self.reshaped(source, [n for _, n, _ in bounds]), self.values[target]
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

    # Loop nests

    def _linalg_generic(self, operation):
        # The body once, on whole tensors that broadcast against the loops.
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
        block = operation.regions[0].blocks[0]
        *body, last = [o.operation for o in block.operations]
        fused = self._with_bias(operation, body, maps) if len(body) == 1 and inputs == 2 else None
        if fused is not None:
            return fused
        scope = {a: self.aligned(o, results, loops)
                                 for a, o, (_, results) in zip(block.arguments, operands, maps[:inputs])}
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
        if isinstance(combiner, ir.Block) or combiner.name not in _REDUCTIONS or len(list(own.uses)) != 1 or \
                own not in list(combiner.operands):
            raise Unsupported("a reduction that is no sum, product, maximum or minimum")
        operator, neutral = _REDUCTIONS[combiner.name]
        term = next(o for o in combiner.operands if o != own)
        value = build.expand(self._body([o for o in body if o != combiner], term, scope, sizes), sizes)
        order = [d for d in out if d is not None]
        keep = None in out and order == sorted(order) and [i for i, d in enumerate(out) if d is None] == reduced
        shape = [1 if i in reduced else s for i, s in enumerate(sizes) if keep or i not in reduced]
        if operator in _AXES_INPUT:
            result = build.node(operator, [value, build.small(reduced, np.int64)],
                                shape, value.dtype, keepdims=int(keep))
        else:
            result = build.node(operator, [value], shape, value.dtype, axes=reduced, keepdims=int(keep))
        if not keep:
            left = [i for i in range(len(sizes)) if i not in reduced]
            result = build.transpose(result, [left.index(d) for d in order])
            result = build.reshape(result, [1 if d is None else sizes[d] for d in out])
        found = self.values[init]
        if isinstance(found, Splat) and found.number is not None and found.number == neutral:
            return result
        return scalar(build, combiner, [result, self.data(init)], result.dtype)

    def _with_bias(self, operation, body, maps) -> Value | None:
        """The sum of a convolution or product and a constant along its outputs, which the operator adds by itself."""
        arguments = list(operation.regions[0].blocks[0].arguments)[:2]
        if body[0].name != "arith.addf" or set(body[0].operands) != set(arguments):
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
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
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
