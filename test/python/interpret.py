"""A slow evaluator of linalg on tensors, in float64 and in plain numpy: the reference for what a module computes.

Reads the generic text that prune-opt prints with the options `GENERIC`, where every structured op is a linalg.generic. The
importer's wheel parses it; operations of the prune dialect are unknown to it, of which those that mask weights are understood here.
"""

from __future__ import annotations

import ast
import math
import re

import numpy as np
from iree.compiler import ir
from numpy.lib.stride_tricks import as_strided

# What prune-opt needs to print a module for `Module`.
GENERIC = ["--linalg-generalize-named-ops", "--mlir-print-op-generic", "--mlir-print-debuginfo"]
_RESOURCE = re.compile(r'^ {6}"?([^"\n]+?)"?: "0x([0-9A-F]+)",?$', re.MULTILINE)
_NAMED = re.compile(r"dense_resource<\"?([^\">]+)\"?>")
_LABELS = "abcdefghijklmnopqrstuvwxyz"
_DYNAMIC = -(1 << 63)
_DTYPES = {"f32": np.float32, "f64": np.float64, "i1": np.bool_, "i8": np.int8, "i32": np.int32, "i64": np.int64,
           "index": np.int64}


class Unsupported(Exception):
    """The module holds what this evaluator does not know."""


def _erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x) if np.size(x) else x


def _unsigned(compare):
    return lambda a, b: compare(np.asarray(a).astype(np.uint64), np.asarray(b).astype(np.uint64))


_COMPARE = [lambda a, b: np.zeros(np.broadcast(a, b).shape, bool), np.equal, np.greater, np.greater_equal, np.less,
            np.less_equal, np.not_equal, lambda a, b: ~(np.isnan(a) | np.isnan(b))]
_COMPARE_INT = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
                *map(_unsigned, (np.less, np.less_equal, np.greater, np.greater_equal))]
_SCALAR = {
    "arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply, "arith.divf": np.divide,
    "arith.negf": np.negative, "arith.maximumf": np.maximum, "arith.minimumf": np.minimum, "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin, "arith.addi": np.add, "arith.subi": np.subtract, "arith.muli": np.multiply,
    "arith.andi": np.bitwise_and, "arith.ori": np.bitwise_or, "arith.xori": np.bitwise_xor,
    "arith.maxsi": np.maximum, "arith.minsi": np.minimum, "arith.select": np.where,
    "arith.floordivsi": np.floor_divide, "arith.divsi": lambda a, b: np.trunc(np.divide(a, b)).astype(np.int64),
    "arith.remsi": np.fmod,
    "math.exp": np.exp, "math.log": np.log, "math.sqrt": np.sqrt, "math.tanh": np.tanh, "math.cos": np.cos,
    "math.sin": np.sin, "math.floor": np.floor, "math.ceil": np.ceil, "math.erf": _erf, "math.absf": np.abs,
    "math.rsqrt": lambda x: 1 / np.sqrt(x), "math.powf": np.power, "math.log1p": np.log1p, "math.exp2": np.exp2,
    "math.fpowi": lambda x, n: np.power(x, np.asarray(n, np.float64)), "math.expm1": np.expm1,
    "math.roundeven": np.round, "math.round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "math.trunc": np.trunc, "math.log2": np.log2, "math.log10": np.log10, "math.cbrt": np.cbrt,
    "math.erfc": lambda x: 1 - _erf(x), "math.tan": np.tan, "math.asin": np.arcsin, "math.acos": np.arccos,
    "math.atan": np.arctan, "math.sinh": np.sinh, "math.cosh": np.cosh, "math.asinh": np.arcsinh,
    "math.acosh": np.arccosh, "math.atanh": np.arctanh, "math.atan2": np.arctan2, "math.copysign": np.copysign,
    "math.fma": lambda a, b, c: a * b + c, "arith.remf": np.fmod,
    "arith.index_cast": lambda x: x, "arith.extf": lambda x: x, "arith.truncf": lambda x: x,
    "arith.extsi": lambda x: np.asarray(x, np.int64), "arith.trunci": lambda x: x,
    "arith.extui": lambda x: np.asarray(x, np.int64), "arith.sitofp": lambda x: np.asarray(x, np.float64),
    "arith.uitofp": lambda x: np.asarray(x, np.float64), "arith.fptosi": lambda x: np.asarray(np.trunc(x), np.int64),
}


def _linear(node) -> tuple[dict[int, int], int]:
    """An affine expression, as Python reads it, as coefficients of its dimensions and a constant."""
    if isinstance(node, ast.Name):
        return {int(node.id[1:]): 1}, 0
    if isinstance(node, ast.Constant):
        return {}, node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        terms, constant = _linear(node.operand)
        return {k: -v for k, v in terms.items()}, -constant
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        (a, c), (b, d) = _linear(node.left), _linear(node.right)
        if isinstance(node.op, ast.Mult) and not (a and b):
            scale, terms, other = (c, b, d) if not a else (d, a, c)
            return {k: scale * v for k, v in terms.items()}, scale * other
        if not isinstance(node.op, ast.Mult):
            sign = 1 if isinstance(node.op, ast.Add) else -1
            return {k: a.get(k, 0) + sign * b.get(k, 0) for k in {*a, *b}}, c + sign * d
    raise Unsupported(f"affine expression {ast.unparse(node)}")


class _Map:
    """Where an operand is read in a loop nest: for each of its dimensions the coefficients of the loops."""

    def __init__(self, text: str):
        loops, results = re.fullmatch(r"affine_map<\((.*?)\) -> \((.*)\)>", text).groups()
        self.loops = len(loops.split(",")) if loops else 0
        self.results = [_linear(r) for r in ast.parse(f"({results},)" if results else "()", mode="eval").body.elts]

    def view(self, array: np.ndarray, sizes: list[int]) -> np.ndarray:
        """The operand for every point of the nest; loops that do not matter have stride 0."""
        strides, start = [0] * self.loops, []
        for (terms, constant), stride in zip(self.results, array.strides):
            start.append(slice(constant, None))
            for loop, coefficient in terms.items():
                strides[loop] += coefficient * stride
        return as_strided(array[(*start, ...)], sizes, strides)


class Module:
    """A parsed module; `run` evaluates its function `main`, `call` any."""

    def __init__(self, text: str):
        self.context = ir.Context()
        self.context.allow_unregistered_dialects = True
        begin = text.rfind("{-#")
        self.resources = dict(_RESOURCE.findall(text[begin:])) if begin >= 0 else {}
        self.module = ir.Module.parse(text, self.context)
        self.functions = {o.name.value: o for o in self.module.body.operations if o.operation.name == "func.func"}
        self.main = self.functions.get("main")
        self._maps: dict[str, _Map] = {}

    def names(self, which: str, function: str = "main") -> list[str]:
        """prune.name of arguments ("arg_attrs") or results ("res_attrs")."""
        attributes = self.functions[function].attributes
        return [ir.StringAttr(a["prune.name"]).value for a in map(ir.DictAttr, attributes[which])] \
            if which in attributes else []

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        arguments = [np.asarray(inputs[n], np.float64 if inputs[n].dtype.kind == "f" else None)
                     for n in self.names("arg_attrs")]
        with np.errstate(all="ignore"):
            return dict(zip(self.names("res_attrs"), self._call(self.main, arguments)))

    def call(self, name: str, *arguments: np.ndarray) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            return self._call(self.functions[name], arguments)

    def constants(self) -> dict[str, list[np.ndarray]]:
        """All constant tensors of floats of more than one element, by the names in their locations."""
        found: dict[str, list[np.ndarray]] = {}
        for operation in self.walk("arith.constant"):
            kind = operation.results[0].type
            if ir.RankedTensorType.isinstance(kind) and str(ir.RankedTensorType(kind).element_type)[0] in "fb":
                value = self._constant(operation)
                if value.size > 1:
                    found.setdefault(name_of(operation), []).append(value)
        return found

    def walk(self, name: str) -> list:
        found = []

        def visit(operation):
            if operation.name == name:
                found.append(operation)
            return ir.WalkResult.ADVANCE
        self.module.operation.walk(visit)
        return found

    def value_of(self, value) -> np.ndarray | None:
        """The constant that an SSA value holds; None if it is no constant."""
        if isinstance(value.owner, ir.Block) or value.owner.name != "arith.constant":
            return None
        return self._constant(value.owner)

    def _constant(self, operation) -> np.ndarray:
        attribute, kind = operation.attributes["value"], operation.results[0].type
        if not ir.RankedTensorType.isinstance(kind):
            text = str(attribute).split(" : ")[0]
            if text in ("true", "false"):
                return np.bool_(text == "true")
            if str(kind)[0] == "f":
                return np.float64(ir.FloatAttr(attribute).value)
            return np.int64(ir.IntegerAttr(attribute).value)
        tensor = ir.RankedTensorType(kind)
        element = _DTYPES[str(tensor.element_type)]
        resource = _NAMED.match(str(attribute)[:400]) if "dense_resource" in str(attribute)[:20] else None
        if resource:
            array = np.frombuffer(bytes.fromhex(self.resources[resource.group(1)])[4:], element).reshape(tensor.shape)
        elif element is np.bool_ and ir.DenseElementsAttr(attribute).is_splat:
            # The array that the attribute gives has one byte.
            array = np.full(tensor.shape, str(ir.DenseElementsAttr(attribute).get_splat_value()).startswith("true"))
        else:
            array = np.array(attribute).reshape(tensor.shape)
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    def _call(self, function, arguments):
        return self._block(function.operation.regions[0].blocks[0], arguments, {})

    def _block(self, block, arguments, values):
        """Runs a block; returns the operands of its terminator."""
        values.update(zip(block.arguments, arguments))
        for operation in block.operations:
            operation = operation.operation
            operands = [values[o] for o in operation.operands]
            if operation.name in ("func.return", "linalg.yield", "tensor.yield", "scf.yield"):
                return operands
            results = self._operation(operation, operands, values)
            values.update(zip(operation.results, results))
        raise Unsupported("block without terminator")

    def _operation(self, op, operands, values):
        name = op.name
        if name in _SCALAR:
            return [_SCALAR[name](*operands)]
        if name in ("arith.cmpf", "arith.cmpi"):
            predicate = ir.IntegerAttr(op.attributes["predicate"]).value
            if name == "arith.cmpi":
                return [_COMPARE_INT[predicate](*operands)]
            # Unordered comparisons (8 and up) differ in NaN only.
            return [_COMPARE[predicate if predicate < 8 else predicate - 7](*operands)]
        method = getattr(self, "_" + name.replace(".", "_"), None)
        if method is None:
            raise Unsupported(f"operation {name}")
        return method(op, operands, values)

    def _arith_constant(self, op, operands, values):
        return [self._constant(op)]

    def _func_call(self, op, operands, values):
        return self._call(self.functions[ir.FlatSymbolRefAttr(op.attributes["callee"]).value], operands)

    def _cf_assert(self, op, operands, values):
        if not np.all(operands[0]):
            raise Unsupported("an assertion that fails")
        return []

    def _prune_gate(self, op, operands, values):
        x, mask = operands
        return [np.where(mask, x, 0)]

    def _prune_apply(self, op, operands, values):
        weight, mask = operands
        return [np.where(mask, weight, 0)]

    def _prune_barrier(self, op, operands, values):
        return operands

    def _prune_decompress(self, op, operands, values):
        kept, mask = operands
        result = np.zeros(mask.shape)
        result[mask] = kept
        return [result]

    def _prune_compress(self, op, operands, values):
        weight, mask = operands
        return [weight[mask]]

    def _prune_record(self, op, operands, values):
        return []

    def _tensor_empty(self, op, operands, values):
        kind = _shaped(op)
        return [np.full(kind.shape, np.nan) if str(kind.element_type)[0] in "fb" else np.zeros(kind.shape, np.int64)]

    def _reshaped(self, op, operands, values):
        return [operands[0].reshape(_shaped(op).shape)]

    _tensor_expand_shape = _tensor_collapse_shape = _tensor_reshape = _tensor_cast = _reshaped

    def _tensor_extract(self, op, operands, values):
        source, *indices = operands
        return [source[tuple(np.asarray(i, np.int64) for i in indices)]]

    def _tensor_insert(self, op, operands, values):
        scalar, target, *indices = operands
        result = np.array(target, copy=True)
        result[tuple(int(i) for i in indices)] = scalar
        return [result]

    def _tensor_concat(self, op, operands, values):
        return [np.concatenate(operands, ir.IntegerAttr(op.attributes["dim"]).value)]

    def _tensor_splat(self, op, operands, values):
        return [np.full(_shaped(op).shape, operands[0])]

    def _tensor_from_elements(self, op, operands, values):
        return [np.array(operands).reshape(_shaped(op).shape)]

    def _slices(self, op, operands):
        dynamic = iter(operands)
        offsets, sizes, strides = ([int(next(dynamic)) if v == _DYNAMIC else v for v in op.attributes[f"static_{key}"]]
                                   for key in ("offsets", "sizes", "strides"))
        return tuple(slice(o, o + (s - 1) * t + 1, t) for o, s, t in zip(offsets, sizes, strides))

    def _tensor_extract_slice(self, op, operands, values):
        return [operands[0][self._slices(op, operands[1:])].reshape(_shaped(op).shape)]

    def _tensor_insert_slice(self, op, operands, values):
        result = operands[1].copy()
        where = self._slices(op, operands[2:])
        result[where] = operands[0].reshape(result[where].shape)
        return [result]

    def _tensor_pad(self, op, operands, values):
        kind = _shaped(op)
        low = list(op.attributes["static_low"])
        yielded = op.regions[0].blocks[0].operations[-1].operands[0]
        if yielded not in values:
            raise Unsupported("padding with values of the place")
        result = np.full(kind.shape, values[yielded])
        result[tuple(slice(b, b + s) for b, s in zip(low, operands[0].shape))] = operands[0]
        return [result]

    def _scf_for(self, op, operands, values):
        low, high, step, *carried = operands
        for i in range(int(low), int(high), int(step)):
            carried = self._block(op.regions[0].blocks[0], [np.int64(i), *carried], _Chain(values))
        return carried

    def _scf_if(self, op, operands, values):
        taken = op.regions[0 if operands[0] else 1]
        return self._block(taken.blocks[0], [], _Chain(values)) if len(taken.blocks) else []

    def _linalg_softmax(self, op, operands, values):
        axis = ir.IntegerAttr(op.attributes["dimension"]).value
        powers = np.exp(operands[0] - operands[0].max(axis, keepdims=True))
        return [powers / powers.sum(axis, keepdims=True)]

    # Loop nests

    def _linalg_generic(self, op, operands, values):
        segments = list(op.attributes["operandSegmentSizes"])
        maps = [self._map(str(a)) for a in ir.ArrayAttr(op.attributes["indexing_maps"])]
        parallel = ["parallel" in str(t) for t in op.attributes["iterator_types"]]
        sizes = _loop_sizes(maps, operands)
        count = segments[0]
        inputs, inits = operands[:count], operands[count:]
        block = op.regions[0].blocks[0]
        if not all(parallel):
            fast = _contract(block, maps, inputs, inits, parallel, sizes)
            if fast is not None:
                return fast
        results = [np.array(i, copy=True) for i in inits]
        # Parallel loops are whole arrays, reductions are steps.
        views = [m.view(np.asarray(x), sizes) for m, x in zip(maps, inputs)]
        places = [m.view(r, [s if p else 1 for s, p in zip(sizes, parallel)]) for m, r in zip(maps[count:], results)]
        reduced = [s if not p else 1 for s, p in zip(sizes, parallel)]
        for point in np.ndindex(*reduced):
            at = tuple(slice(None) if p else slice(i, i + 1) for i, p in zip(point, parallel))
            arguments = [v[at] for v in views] + places
            scope = _Scope(values, point, sizes, parallel)
            for place, value in zip(places, self._body(block, arguments, scope)):
                place[...] = value
        return results

    def _map(self, text: str) -> _Map:
        if text not in self._maps:
            self._maps[text] = _Map(text)
        return self._maps[text]

    def _body(self, block, arguments, scope):
        values = scope.values
        values.update(zip(block.arguments, arguments))
        for operation in block.operations:
            operation = operation.operation
            if operation.name == "linalg.yield":
                return [values[o] for o in operation.operands]
            if operation.name == "linalg.index":
                results = [scope.index(ir.IntegerAttr(operation.attributes["dim"]).value)]
            else:
                results = self._operation(operation, [values[o] for o in operation.operands], values)
            values.update(zip(operation.results, results))
        raise Unsupported("body without yield")


class _Scope:
    """Values inside the body of a nest, and the numbers of its loops."""

    def __init__(self, values, point, sizes, parallel):
        self.values = _Chain(values)
        self.point, self.sizes, self.parallel = point, sizes, parallel

    def index(self, loop: int) -> np.ndarray:
        shape = [1] * len(self.sizes)
        if not self.parallel[loop]:
            return np.full(shape, self.point[loop], np.int64)
        shape[loop] = self.sizes[loop]
        return np.arange(self.sizes[loop], dtype=np.int64).reshape(shape)


class _Chain(dict):
    """A dictionary that falls back to another one."""

    def __init__(self, outer):
        super().__init__()
        self.outer = outer

    def __missing__(self, key):
        return self.outer[key]

    def __contains__(self, key):
        return super().__contains__(key) or key in self.outer


def name_of(operation) -> str:
    """The name in the operation's location, "" if there is none."""
    found = re.match(r'loc\("([^"]*)"', str(operation.location))
    return found.group(1) if found else ""


def _shaped(op) -> ir.RankedTensorType:
    return ir.RankedTensorType(op.results[0].type)


def _loop_sizes(maps, operands) -> list[int]:
    sizes = [0] * maps[0].loops
    for affine, operand in zip(maps, operands):
        for (terms, constant), extent in zip(affine.results, np.shape(operand)):
            if len(terms) == 1 and constant == 0:
                (loop, coefficient), = terms.items()
                if coefficient == 1:
                    sizes[loop] = extent
    return sizes


def _contract(block, maps, inputs, inits, parallel, sizes):
    """init + sum of a * b by einsum; None if the body is something else."""
    names = [o.operation.name for o in block.operations]
    if names != ["arith.mulf", "arith.addf", "linalg.yield"] or len(inputs) != 2 or len(sizes) > len(_LABELS):
        return None
    product, total, _ = block.operations
    arguments = list(block.arguments)
    if {*product.operation.operands} != {*arguments[:2]} or arguments[2] not in list(total.operation.operands):
        return None
    out = []
    for terms, constant in maps[2].results:
        if constant or len(terms) != 1:
            return None
        out.append(_LABELS[next(iter(terms))])
    if len(set(out)) != len(out) or len(out) != sum(parallel):
        return None
    operands, labels = [], []
    for affine, array in zip(maps, inputs):
        used = sorted({loop for terms, _ in affine.results for loop in terms})
        view = affine.view(array, sizes)
        operands.append(view[tuple(slice(None) if i in used else 0 for i in range(len(sizes)))])
        labels.append("".join(_LABELS[i] for i in used))
    missing = set(out) - set("".join(labels))
    if missing:
        return None
    return [inits[0] + np.einsum(f"{labels[0]},{labels[1]}->{''.join(out)}", *operands, optimize=True)]
