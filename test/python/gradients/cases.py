"""One small function for each gradient rule, as text in f64.

A case is the body of a function from named tensors to one tensor `%r`. `module` puts all of them into one module, each
with a function `NAME_gradient` of its arguments and of a cotangent `%u`: the loss is the sum of `%u * NAME(...)`, so
that its gradient is what the transposed Jacobian makes of `%u`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Case:
    name: str
    # Shapes of the arguments as MLIR writes them ("2x3", "" for rank 0), with a type if it is not f64 ("4xi64").
    inputs: dict[str, str]
    result: str
    body: str
    # In all arguments that are differentiated together: differences are then exact.
    linear: bool = False
    # Bounds of random numbers, for all arguments or by name; integers exclude the upper one.
    domain: tuple | dict = (-2.0, 2.0)
    # Arguments that are only read, besides integers.
    constant: tuple = ()
    functions: str = ""

    def types(self) -> dict[str, str]:
        return {n: tensor(s) for n, s in self.inputs.items()}

    def active(self) -> list[int]:
        return [i for i, (n, t) in enumerate(self.types().items()) if "f64" in t and n not in self.constant]

    def draw(self, generator) -> list[np.ndarray]:
        values = []
        for name, kind in self.types().items():
            low, high = self.domain.get(name, (-2.0, 2.0)) if isinstance(self.domain, dict) else self.domain
            *sizes, element = kind[7:-1].split("x")
            shape = [int(s) for s in sizes]
            if element == "i1":
                values.append(generator.random(shape) < 0.5)
            elif element == "i64":
                values.append(generator.integers(int(low), int(high), shape))
            else:
                values.append(spread(generator, low, high, shape))
        return values


def spread(generator, low, high, shape) -> np.ndarray:
    """Random numbers in [low, high) of which no two are close: maxima have no kink nearby."""
    count = int(np.prod(shape))
    return low + (high - low) * (generator.permutation(count) + generator.uniform(0.3, 0.7, count)).reshape(shape) / count


CASES: dict[str, Case] = {}


def add(name, inputs, result, body, **options):
    assert name not in CASES, name
    CASES[name] = Case(name, inputs, result, body, **options)


def tensor(shape: str) -> str:
    if shape.rsplit("x", 1)[-1] in ("i1", "i64", "f32"):
        return f"tensor<{shape}>"
    return f"tensor<{shape}xf64>" if shape else "tensor<f64>"


def zeros(name: str, shape: str) -> str:
    return f"%{name} = arith.constant dense<0.0> : {tensor(shape)}\n"


def generic(result: str, operands: dict[str, tuple[str, str]], out: tuple[str, str, str], iterators: str, body: str,
            loops: str | None = None) -> str:
    """`%result = linalg.generic`; operands are name: (map results, shape), out is (init, map results, shape)."""
    loops = loops or ", ".join(f"d{i}" for i in range(len(iterators)))
    maps = ", ".join(f"affine_map<({loops}) -> ({m})>" for m in [*(o[0] for o in operands.values()), out[1]])
    kinds = ", ".join(f'"{"parallel" if i == "p" else "reduction"}"' for i in iterators)
    elements = [tensor(o[1])[7:-1].rsplit("x", 1)[-1] for o in operands.values()]
    arguments = ", ".join([*(f"%{n}_: {e}" for n, e in zip(operands, elements)), "%out_: f64"])
    ins = ", ".join(f"%{n}" for n in operands)
    types = ", ".join(tensor(o[1]) for o in operands.values())
    inputs = f"ins({ins} : {types})" if operands else ""
    kind = tensor(out[2])
    return (f"%{result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}} {inputs} "
            f"outs(%{out[0]} : {kind}) {{\n^bb0({arguments}):\n{body}\n}} -> {kind}\n")


def named(op: str, operands: dict[str, str], result: str, attributes: str = "", init: str | None = None) -> str:
    names, types = ", ".join(f"%{n}" for n in operands), ", ".join(tensor(s) for s in operands.values())
    start = "" if init else zeros("zero_init", result)
    return (f"{start}%r = linalg.{op} {attributes} ins({names} : {types}) "
            f"outs(%{init or 'zero_init'} : {tensor(result)}) -> {tensor(result)}\n")


def elementwise(expression: str, operands=("x",), shape="2x3") -> str:
    return zeros("i", shape) + generic("r", {n: ("d0, d1", shape) for n in operands}, ("i", "d0, d1", shape), "pp",
                                       f"{expression}\nlinalg.yield %y : f64")


def module(cases) -> str:
    parts = []
    for case in cases:
        types = case.types()
        arguments = ", ".join(f"%{n}: {t}" for n, t in types.items())
        kind = tensor(case.result)
        rank = case.result.count("x") + bool(case.result)
        dims = ", ".join(f"d{i}" for i in range(rank))
        operands = ", ".join(f"%{n}" for n in types)
        active = case.active()
        gradients = [list(types.values())[i] for i in active]
        sum_up = generic("loss", {"r": (dims, case.result), "u": (dims, case.result)}, ("zero", "", ""), "r" * rank,
                         "%p_ = arith.mulf %r_, %u_ : f64\n%s_ = arith.addf %out_, %p_ : f64\nlinalg.yield %s_ : f64",
                         loops=dims) if rank else generic(
                             "loss", {"r": ("", ""), "u": ("", "")}, ("zero", "", ""), "",
                             "%p = arith.mulf %r_, %u_ : f64\nlinalg.yield %p : f64")
        values = ", ".join(f"%g{i}" for i in active)
        parts.append(f"""{case.functions}
func.func @{case.name}({arguments}) -> {kind} {{
{case.body}return %r : {kind}
}}
func.func private @{case.name}_loss({arguments}, %u: {kind}) -> tensor<f64> {{
%r = func.call @{case.name}({operands}) : ({", ".join(types.values())}) -> {kind}
{zeros("zero", "")}{sum_up}return %loss : tensor<f64>
}}
func.func @{case.name}_gradient({arguments}, %u: {kind}) -> ({", ".join(gradients)}) {{
%loss, {values} = prune.gradient @{case.name}_loss({operands}, %u) by {active}
    : ({", ".join([*types.values(), kind])}) -> (tensor<f64>, {", ".join(gradients)})
return {values} : {", ".join(gradients)}
}}""")
    return "\n".join(parts)


# Scalar functions, in the body of a generic and on whole tensors.

_UNARY = {
    "math.absf": (0.3, 2), "math.acos": (-0.8, 0.8), "math.acosh": (1.3, 3), "math.asin": (-0.8, 0.8),
    "math.asinh": (-2, 2), "math.atan": (-2, 2), "math.atanh": (-0.8, 0.8), "math.cbrt": (0.3, 2),
    "math.ceil": (0.1, 0.9), "math.cos": (-2, 2), "math.cosh": (-2, 2), "math.erf": (-2, 2), "math.erfc": (-2, 2),
    "math.exp": (-2, 2), "math.exp2": (-2, 2), "math.expm1": (-2, 2), "math.floor": (0.1, 0.9), "math.log": (0.3, 3),
    "math.log10": (0.3, 3), "math.log1p": (-0.5, 2), "math.log2": (0.3, 3), "math.round": (0.6, 1.4),
    "math.roundeven": (0.6, 1.4), "math.rsqrt": (0.3, 3), "math.sin": (-2, 2), "math.sinh": (-2, 2),
    "math.sqrt": (0.3, 3), "math.tan": (-1, 1), "math.tanh": (-2, 2), "math.trunc": (0.1, 0.9), "arith.negf": (-2, 2)}
for _op, _domain in _UNARY.items():
    add(_op.split(".")[1], {"x": "2x3"}, "2x3", elementwise(f"%y = {_op} %x_ : f64"), domain=_domain)
_BINARY = {"arith.addf": (-2, 2), "arith.subf": (-2, 2), "arith.mulf": (-2, 2), "arith.divf": (0.5, 2),
           "arith.maximumf": (-2, 2), "arith.minimumf": (-2, 2), "arith.maxnumf": (-2, 2), "arith.minnumf": (-2, 2),
           "math.atan2": (0.3, 2), "math.copysign": (-2, 2), "math.powf": (0.3, 2)}
for _op, _domain in _BINARY.items():
    add(_op.split(".")[1], {"x": "2x3", "z": "2x3"}, "2x3", elementwise(f"%y = {_op} %x_, %z_ : f64", ("x", "z")),
        domain=_domain)
add("remf", {"x": "2x3", "z": "2x3"}, "2x3", elementwise("%y = arith.remf %x_, %z_ : f64", ("x", "z")),
    domain={"x": (2.2, 2.8), "z": (0.95, 1.05)})
add("same_operand_twice", {"x": "2x3"}, "2x3", elementwise("%y = arith.mulf %x_, %x_ : f64"))
add("fma", {"x": "2x3", "z": "2x3", "w": "2x3"}, "2x3", elementwise("%y = math.fma %x_, %z_, %w_ : f64", "xzw"))
add("fpowi", {"x": "2x3"}, "2x3",
    elementwise("%n = arith.constant -3 : i32\n%y = math.fpowi %x_, %n : f64, i32"), domain=(0.5, 2))
add("select", {"x": "2x3", "z": "2x3"}, "2x3",
    elementwise("%c = arith.cmpf ogt, %x_, %z_ : f64\n%s = arith.mulf %x_, %x_ : f64\n"
                "%y = arith.select %c, %s, %z_ : f64", ("x", "z")))
add("precision", {"x": "2x3"}, "2x3",
    elementwise("%a = arith.truncf %x_ : f64 to f32\n%b = arith.mulf %a, %a : f32\n%y = arith.extf %b : f32 to f64"))
add("chain", {"x": "2x3"}, "2x3",
    elementwise("%a = math.exp %x_ : f64\n%b = math.sin %a : f64\n%c = arith.mulf %a, %b : f64\n"
                "%d = arith.addf %c, %x_ : f64\n%y = math.tanh %d : f64"), domain=(-1, 1))
add("on_tensors", {"x": "2x3", "z": "2x3", "c": "2x3xi1"}, "2x3", """
%a = arith.mulf %x, %z : tensor<2x3xf64>
%b = math.tanh %a : tensor<2x3xf64>
%d = arith.divf %b, %x : tensor<2x3xf64>
%e = math.sqrt %z : tensor<2x3xf64>
%r = arith.select %c, %d, %e : tensor<2x3xi1>, tensor<2x3xf64>
""", domain=(0.3, 2))
add("whole_select", {"x": "3", "z": "3", "c": "i1"}, "3", """
%k = tensor.extract %c[] : tensor<i1>
%r = arith.select %k, %x, %z : tensor<3xf64>
""", linear=True)

# Loop nests.

_MAC = "%p = arith.mulf %a_, %b_ : f64\n%s = arith.addf %out_, %p : f64\nlinalg.yield %s : f64"
_SUM = "%s = arith.addf %out_, %x_ : f64\nlinalg.yield %s : f64"
add("generic_matmul", {"a": "2x3", "b": "3x4", "i": "2x4"}, "2x4",
    generic("r", {"a": ("d0, d2", "2x3"), "b": ("d2, d1", "3x4")}, ("i", "d0, d1", "2x4"), "ppr", _MAC))
add("generic_batch_matmul", {"a": "2x3x2", "b": "2x4x2"}, "2x3x4", zeros("i", "2x3x4") + generic(
    "r", {"a": ("d0, d1, d3", "2x3x2"), "b": ("d0, d2, d3", "2x4x2")}, ("i", "d0, d1, d2", "2x3x4"), "pppr", _MAC))
add("reduction_loops_first", {"a": "3x2", "b": "3x4"}, "4x2", zeros("i", "4x2") + generic(
    "r", {"a": ("d0, d1", "3x2"), "b": ("d0, d2", "3x4")}, ("i", "d2, d1", "4x2"), "rpp", _MAC))
add("broadcast", {"a": "3", "b": "2x3"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"a": ("d1", "3"), "b": ("d0, d1", "2x3")}, ("i", "d0, d1", "2x3"), "pp",
    "%p = arith.mulf %a_, %b_ : f64\nlinalg.yield %p : f64"))
add("broadcast_of_one", {"x": "2x1"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"x": ("d0, 0", "2x1")}, ("i", "d0, d1", "2x3"), "pp", "linalg.yield %x_ : f64"), linear=True)
add("broadcast_of_leading_one", {"x": "1x3"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"x": ("0, d1", "1x3")}, ("i", "d0, d1", "2x3"), "pp", "linalg.yield %x_ : f64"), linear=True)
add("broadcast_of_ones", {"x": "1x1"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"x": ("0, 0", "1x1")}, ("i", "d0, d1", "2x3"), "pp", "linalg.yield %x_ : f64"), linear=True)
add("first_row", {"x": "2x3"}, "3", zeros("i", "3") + generic(
    "r", {"x": ("0, d0", "2x3")}, ("i", "d0", "3"), "p", "linalg.yield %x_ : f64"), linear=True)
add("scalar_tensor", {"a": "", "b": "2x3"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"a": ("", ""), "b": ("d0, d1", "2x3")}, ("i", "d0, d1", "2x3"), "pp",
    "%p = arith.divf %b_, %a_ : f64\nlinalg.yield %p : f64"), domain=(0.5, 2))
add("transposed", {"x": "2x3x4"}, "4x2x3", zeros("i", "4x2x3") + generic(
    "r", {"x": ("d1, d2, d0", "2x3x4")}, ("i", "d0, d1, d2", "4x2x3"), "ppp", "linalg.yield %x_ : f64"), linear=True)
add("sum", {"x": "2x3x4", "i": "2x4"}, "2x4",
    generic("r", {"x": ("d0, d2, d1", "2x3x4")}, ("i", "d0, d1", "2x4"), "ppr", _SUM), linear=True)
add("difference", {"x": "2x3", "i": "2"}, "2", generic(
    "r", {"x": ("d0, d1", "2x3")}, ("i", "d0", "2"), "pr",
    "%s = arith.subf %out_, %x_ : f64\nlinalg.yield %s : f64"), linear=True)
for _op, _start in (("maximumf", -1e9), ("minimumf", 1e9), ("maxnumf", -1e9), ("minnumf", 1e9)):
    add(f"reduction_{_op}", {"x": "3x4"}, "3", f"%i = arith.constant dense<{_start}> : tensor<3xf64>\n" + generic(
        "r", {"x": ("d0, d1", "3x4")}, ("i", "d0", "3"), "pr",
        f"%s = arith.{_op} %out_, %x_ : f64\nlinalg.yield %s : f64"))
add("maximum_by_select", {"x": "3x4"}, "3", "%i = arith.constant dense<-1.0e9> : tensor<3xf64>\n" + generic(
    "r", {"x": ("d0, d1", "3x4")}, ("i", "d0", "3"), "pr",
    "%q = arith.mulf %x_, %x_ : f64\n%c = arith.cmpf ogt, %q, %out_ : f64\n%s = arith.select %c, %q, %out_ : f64\n"
    "linalg.yield %s : f64"))
add("all_to_one", {"x": "3x4"}, "", zeros("i", "") + generic(
    "r", {"x": ("d0, d1", "3x4")}, ("i", "", ""), "rr",
    "%q = math.exp %x_ : f64\n%s = arith.addf %out_, %q : f64\nlinalg.yield %s : f64"))
add("reads_its_place", {"x": "2x3"}, "2x3", zeros("i", "2x3") + generic(
    "r", {"x": ("d0, d1", "2x3")}, ("i", "d0, d1", "2x3"), "pp",
    "%j = linalg.index 1 : index\n%k = arith.index_cast %j : index to i64\n%f = arith.sitofp %k : i64 to f64\n"
    "%q = arith.mulf %x_, %f : f64\n%y = math.sin %q : f64\nlinalg.yield %y : f64"))
add("triangle", {"x": "3x3"}, "3x3", zeros("i", "3x3") + generic(
    "r", {"x": ("d0, d1", "3x3")}, ("i", "d0, d1", "3x3"), "pp",
    "%a = linalg.index 0 : index\n%b = linalg.index 1 : index\n%c = arith.cmpi sge, %a, %b : index\n"
    "%o = arith.constant 0.0 : f64\n%y = arith.select %c, %x_, %o : f64\nlinalg.yield %y : f64"), linear=True)
add("captured_scalar", {"x": "2x3", "s": ""}, "2x3", "%k = tensor.extract %s[] : tensor<f64>\n" + elementwise(
    "%q = arith.mulf %x_, %k : f64\n%y = math.tanh %q : f64"))
add("accumulates_into_operand", {"x": "2x3", "i": "2x3"}, "2x3", generic(
    "r", {"x": ("d0, d1", "2x3")}, ("i", "d0, d1", "2x3"), "pp",
    "%q = arith.mulf %x_, %out_ : f64\nlinalg.yield %q : f64"))
add("diagonal", {"x": "3x3"}, "3", zeros("i", "3") + generic(
    "r", {"x": ("d0, d0", "3x3")}, ("i", "d0", "3"), "p", "linalg.yield %x_ : f64"), linear=True)
add("every_second", {"x": "7"}, "3", zeros("i", "3") + generic(
    "r", {"x": ("d0 * 2 + 1", "7")}, ("i", "d0", "3"), "p", "linalg.yield %x_ : f64"), linear=True)
add("window_of_two_loops", {"a": "6", "b": "3"}, "4", zeros("i", "4") + generic(
    "r", {"a": ("d0 + d1", "6"), "b": ("d1", "3")}, ("i", "d0", "4"), "pr", _MAC))
add("gather", {"x": "5x3", "k": "4xi64"}, "4x3", zeros("i", "4x3") + generic(
    "r", {"k": ("d0", "4xi64")}, ("i", "d0, d1", "4x3"), "pp",
    "%row = arith.index_cast %k_ : i64 to index\n%column = linalg.index 1 : index\n"
    "%y = tensor.extract %x[%row, %column] : tensor<5x3xf64>\nlinalg.yield %y : f64"), linear=True,
    domain={"k": (0, 5)})
add("embedding_scaled", {"x": "5x3", "w": "3", "k": "2x2xi64"}, "2x2x3", zeros("i", "2x2x3") + generic(
    "r", {"k": ("d0, d1", "2x2xi64"), "w": ("d2", "3")}, ("i", "d0, d1, d2", "2x2x3"), "ppp",
    "%row = arith.index_cast %k_ : i64 to index\n%column = linalg.index 2 : index\n"
    "%e = tensor.extract %x[%row, %column] : tensor<5x3xf64>\n%y = arith.mulf %e, %w_ : f64\nlinalg.yield %y : f64"),
    domain={"k": (0, 5)})

# Named structured ops.

add("matmul", {"a": "2x3", "b": "3x4"}, "2x4", named("matmul", {"a": "2x3", "b": "3x4"}, "2x4"))
add("matmul_into", {"a": "2x3", "b": "3x4", "i": "2x4"}, "2x4",
    named("matmul", {"a": "2x3", "b": "3x4"}, "2x4", init="i"))
add("batch_matmul", {"a": "2x3x2", "b": "2x2x4"}, "2x3x4", named("batch_matmul", {"a": "2x3x2", "b": "2x2x4"}, "2x3x4"))
add("matvec", {"a": "2x3", "b": "3"}, "2", named("matvec", {"a": "2x3", "b": "3"}, "2"))
add("vecmat", {"a": "3", "b": "3x2"}, "2", named("vecmat", {"a": "3", "b": "3x2"}, "2"))
add("dot", {"a": "3", "b": "3"}, "", named("dot", {"a": "3", "b": "3"}, ""))
add("contract", {"a": "2x3", "b": "4x3"}, "2x4", named(
    "contract", {"a": "2x3", "b": "4x3"}, "2x4",
    "indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]"))
for _op in ("add", "sub", "mul", "div", "max", "min"):
    add(f"named_{_op}", {"a": "2x3", "b": "2x3"}, "2x3", named(_op, {"a": "2x3", "b": "2x3"}, "2x3"), domain=(0.3, 2))
for _op in ("exp", "log", "abs", "negf", "tanh", "sqrt", "rsqrt", "erf", "square", "reciprocal"):
    add(f"named_{_op}", {"a": "2x3"}, "2x3", named(_op, {"a": "2x3"}, "2x3"), domain=(0.3, 2))
add("transpose", {"x": "2x3"}, "3x2", zeros("i", "3x2") +
    "%r = linalg.transpose ins(%x : tensor<2x3xf64>) outs(%i : tensor<3x2xf64>) permutation = [1, 0]\n", linear=True)
add("named_broadcast", {"x": "3"}, "2x3", zeros("i", "2x3") +
    "%r = linalg.broadcast ins(%x : tensor<3xf64>) outs(%i : tensor<2x3xf64>) dimensions = [0]\n", linear=True)
add("reduce", {"x": "2x3"}, "2", zeros("i", "2") +
    "%r = linalg.reduce { arith.addf } ins(%x : tensor<2x3xf64>) outs(%i : tensor<2xf64>) dimensions = [1]\n",
    linear=True)
add("map", {"x": "2x3", "z": "2x3"}, "2x3", zeros("i", "2x3") +
    "%r = linalg.map { arith.mulf } ins(%x, %z : tensor<2x3xf64>, tensor<2x3xf64>) outs(%i : tensor<2x3xf64>)\n")
add("fill", {"x": ""}, "3", zeros("i", "3") +
    "%k = tensor.extract %x[] : tensor<f64>\n"
    "%r = linalg.fill ins(%k : f64) outs(%i : tensor<3xf64>) -> tensor<3xf64>\n", linear=True)
add("softmax", {"x": "2x4"}, "2x4", zeros("i", "2x4") +
    "%r = linalg.softmax dimension(1) ins(%x : tensor<2x4xf64>) outs(%i : tensor<2x4xf64>) -> tensor<2x4xf64>\n")

_CONVOLUTIONS = {
    "conv_1d_ncw_fcw": ("1x2x7", "3x2x3", "1x3x{0}", 1), "conv_1d_nwc_wcf": ("1x7x2", "3x2x3", "1x{0}x3", 1),
    "conv_2d": ("7x6", "3x2", "{0}x{1}", 0),
    "conv_2d_nchw_fchw": ("2x2x7x6", "3x2x3x2", "2x3x{0}x{1}", 2),
    "conv_2d_nhwc_hwcf": ("1x7x6x2", "3x2x2x3", "1x{0}x{1}x3", 2),
    "conv_2d_nhwc_fhwc": ("1x7x6x2", "3x3x2x2", "1x{0}x{1}x3", 2),
    "conv_2d_ngchw_fgchw": ("1x2x2x7x6", "3x2x2x3x2", "1x2x3x{0}x{1}", 2),
    "conv_2d_ngchw_gfchw": ("1x2x2x7x6", "2x3x2x3x2", "1x2x3x{0}x{1}", 2),
    "depthwise_conv_1d_nwc_wc": ("1x7x2", "3x2", "1x{0}x2", 1),
    "depthwise_conv_2d_nchw_chw": ("1x2x7x6", "2x3x2", "1x2x{0}x{1}", 2),
    "depthwise_conv_2d_nhwc_hwc": ("1x7x6x2", "3x2x2", "1x{0}x{1}x2", 2),
    "depthwise_conv_2d_nhwc_hwcm": ("1x7x6x2", "3x2x2x2", "1x{0}x{1}x2x2", 2)}
for _op, (_x, _w, _y, _rank) in _CONVOLUTIONS.items():
    for _suffix, _stride, _dilation in ("", 1, 1), ("_strided", 2, 1), ("_dilated", 1, 2), ("_both", 2, 2):
        if not _rank and _suffix:
            continue
        _sizes = [(7 - (2 * _dilation + 1)) // _stride + 1, (6 - (_dilation + 1)) // _stride + 1]
        _result = _y.format(*_sizes)
        _attributes = (f"{{strides = dense<{_stride}> : tensor<{_rank}xi64>, "
                       f"dilations = dense<{_dilation}> : tensor<{_rank}xi64>}}") if _rank else ""
        add(_op + _suffix, {"x": _x, "w": _w}, _result, named(_op, {"x": _x, "w": _w}, _result, _attributes))
for _layout, _x, _y in ("nchw", "1x2x7x6", "1x2x{0}x{1}"), ("nhwc", "1x7x6x2", "1x{0}x{1}x2"):
    for _kind, _start in ("sum", 0.0), ("max", -1e9), ("min", 1e9):
        if (_layout, _kind) == ("nchw", "min"):
            continue
        for _suffix, _stride, _dilation in ("", 1, 1), ("_strided", 2, 1), ("_dilated", 1, 2), ("_apart", 3, 1):
            _sizes = [(7 - (2 * _dilation + 1)) // _stride + 1, (6 - (_dilation + 1)) // _stride + 1]
            _result = _y.format(*_sizes)
            add(f"pooling_{_layout}_{_kind}{_suffix}", {"x": _x}, _result,
                f"%i = arith.constant dense<{_start}> : {tensor(_result)}\n%w = tensor.empty() : tensor<3x2xf64>\n"
                f"%r = linalg.pooling_{_layout}_{_kind} {{strides = dense<{_stride}> : tensor<2xi64>, "
                f"dilations = dense<{_dilation}> : tensor<2xi64>}} ins(%x, %w : {tensor(_x)}, tensor<3x2xf64>) "
                f"outs(%i : {tensor(_result)}) -> {tensor(_result)}\n", linear=_kind == "sum")

# Ops on tensors.

add("pad", {"x": "2x3"}, "5x4", "%c = arith.constant 1.0 : f64\n%r = tensor.pad %x low[1, 0] high[2, 1] {\n"
    "^bb0(%i: index, %j: index):\ntensor.yield %c : f64\n} : tensor<2x3xf64> to tensor<5x4xf64>\n", linear=True)
add("extract_slice", {"x": "5x6"}, "2x3",
    "%r = tensor.extract_slice %x[1, 0] [2, 3] [2, 2] : tensor<5x6xf64> to tensor<2x3xf64>\n", linear=True)
add("extract_row", {"x": "5x6"}, "3",
    "%r = tensor.extract_slice %x[1, 2] [1, 3] [1, 1] : tensor<5x6xf64> to tensor<3xf64>\n", linear=True)
add("insert_slice", {"x": "2x3", "z": "5x6"}, "5x6",
    "%r = tensor.insert_slice %x into %z[1, 0] [2, 3] [2, 2] : tensor<2x3xf64> into tensor<5x6xf64>\n", linear=True)
add("concat", {"x": "2x3", "z": "2x1", "w": "2x2"}, "2x6",
    "%r = tensor.concat dim(1) %x, %z, %w : (tensor<2x3xf64>, tensor<2x1xf64>, tensor<2x2xf64>) -> tensor<2x6xf64>\n",
    linear=True)
add("expand_shape", {"x": "6x2"}, "2x3x2", "%r = tensor.expand_shape %x [[0, 1], [2]] output_shape [2, 3, 2] : "
    "tensor<6x2xf64> into tensor<2x3x2xf64>\n", linear=True)
add("collapse_shape", {"x": "2x3x2"}, "6x2",
    "%r = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x3x2xf64> into tensor<6x2xf64>\n", linear=True)
add("extract_and_insert", {"x": "2x3", "z": "4"}, "4", """
%a = arith.constant 1 : index
%b = arith.constant 2 : index
%e = tensor.extract %x[%a, %b] : tensor<2x3xf64>
%f = math.sin %e : f64
%r = tensor.insert %f into %z[%b] : tensor<4xf64>
""")
add("from_elements", {"x": "2", "z": ""}, "2x2", """
%a = arith.constant 0 : index
%b = arith.constant 1 : index
%e = tensor.extract %x[%a] : tensor<2xf64>
%f = tensor.extract %x[%b] : tensor<2xf64>
%g = tensor.extract %z[] : tensor<f64>
%r = tensor.from_elements %e, %f, %g, %e : tensor<2x2xf64>
""", linear=True)
add("splat", {"x": ""}, "2x2", "%e = tensor.extract %x[] : tensor<f64>\n%r = tensor.splat %e : tensor<2x2xf64>\n",
    linear=True)
add("apply", {"x": "2x3", "m": "2x3xi1"}, "2x3",
    "%r = prune.apply %x, %m as(#prune.unstructured) : tensor<2x3xf64>\n", linear=True)
_MASK = "%m = arith.constant dense<[[true, false, true], [false, true, true]]> : tensor<2x3xi1>\n"
add("gate", {"x": "2x3", "m": "2x3xi1"}, "2x3", "%r = prune.gate %x, %m : tensor<2x3xf64>\n", linear=True)
add("decompress", {"x": "4"}, "2x3", _MASK + "%r = prune.decompress %x, %m : tensor<4xf64> to tensor<2x3xf64>\n",
    linear=True)
add("compress", {"x": "2x3"}, "4", _MASK + "%r = prune.compress %x, %m : tensor<2x3xf64> to tensor<4xf64>\n", linear=True)

# Control flow and several ops together.

_POWERS = (
    "%low = arith.constant dense<-1.0e9> : tensor<2xf64>\n" + zeros("z2", "2") + zeros("i", "2x4") +
    generic("m", {"x": ("d0, d1", "2x4")}, ("low", "d0", "2"), "pr",
            "%y = arith.maximumf %out_, %x_ : f64\nlinalg.yield %y : f64") +
    generic("e", {"x": ("d0, d1", "2x4"), "m": ("d0", "2")}, ("i", "d0, d1", "2x4"), "pp",
            "%d = arith.subf %x_, %m_ : f64\n%y = math.exp %d : f64\nlinalg.yield %y : f64"))
_EXPONENTIALS = (
    _POWERS + generic("s", {"e": ("d0, d1", "2x4")}, ("z2", "d0", "2"), "pr",
            "%y = arith.addf %out_, %e_ : f64\nlinalg.yield %y : f64") +
    generic("p", {"e": ("d0, d1", "2x4"), "s": ("d0", "2")}, ("i", "d0, d1", "2x4"), "pp",
            "%y = arith.divf %e_, %s_ : f64\nlinalg.yield %y : f64"))
# The maximum cancels in the first of these alone.
add("softmax_by_parts", {"x": "2x4"}, "2x4", _EXPONENTIALS + "%r = arith.mulf %p, %p : tensor<2x4xf64>\n")
add("exponentials_read_again", {"x": "2x4"}, "2x4", _EXPONENTIALS + generic(
    "r", {"e": ("d0, d1", "2x4"), "p": ("d0, d1", "2x4")}, ("i", "d0, d1", "2x4"), "pp",
    "%y = arith.mulf %e_, %p_ : f64\nlinalg.yield %y : f64"))
add("exponentials_read_in_a_branch", {"x": "2x4"}, "2x4", _EXPONENTIALS + """
%c = arith.constant true
%r = scf.if %c -> tensor<2x4xf64> {
  %q = arith.mulf %e, %p : tensor<2x4xf64>
  scf.yield %q : tensor<2x4xf64>
} else {
  scf.yield %p : tensor<2x4xf64>
}
""")
add("sums_of_exponentials_read_again", {"x": "2x4"}, "2", _EXPONENTIALS + generic(
    "r", {"p": ("d0, d1", "2x4"), "s": ("d0", "2")}, ("z2", "d0", "2"), "pr",
    "%q = arith.mulf %p_, %s_ : f64\n%y = arith.addf %out_, %q : f64\nlinalg.yield %y : f64"))
add("exponentials_of_all_rows", {"x": "2x4"}, "2x4", _POWERS + zeros("z", "") +
    generic("t", {"e": ("d0, d1", "2x4")}, ("z", "", ""), "rr",
            "%y = arith.addf %out_, %e_ : f64\nlinalg.yield %y : f64") +
    generic("r", {"e": ("d0, d1", "2x4"), "t": ("", "")}, ("i", "d0, d1", "2x4"), "pp",
            "%y = arith.divf %e_, %t_ : f64\nlinalg.yield %y : f64"))

_IF = """
%zero = arith.constant 0.0 : f64
%i = arith.constant 0 : index
%e = tensor.extract %s[%i] : tensor<1xf64>
%c = arith.cmpf ogt, %e, %zero : f64
%r = scf.if %c -> tensor<3xf64> {
  %a = math.exp %x : tensor<3xf64>
  %b = arith.mulf %a, %z : tensor<3xf64>
  scf.yield %b : tensor<3xf64>
} else {
  %a = math.sin %z : tensor<3xf64>
  scf.yield %a : tensor<3xf64>
}
"""
add("if_taken", {"x": "3", "z": "3", "s": "1"}, "3", _IF, domain={"s": (1, 2)}, constant=("s",))
add("if_not_taken", {"x": "3", "z": "3", "s": "1"}, "3", _IF, domain={"s": (-2, -1)}, constant=("s",))
add("calls", {"x": "3"}, "3", """
%a = func.call @calls_inner(%x) : (tensor<3xf64>) -> tensor<3xf64>
%b = func.call @calls_inner(%a) : (tensor<3xf64>) -> tensor<3xf64>
%r = arith.mulf %b, %x : tensor<3xf64>
""", functions="""func.func private @calls_inner(%x: tensor<3xf64>) -> tensor<3xf64> {
%r = math.sin %x : tensor<3xf64>
return %r : tensor<3xf64>
}""")
_ROWS = {"x": ("d0, d1", "3x4")}
_MOMENTS = (
    zeros("z3", "3") + "%n = arith.constant 4.0 : f64\n%eps = arith.constant 1.0e-5 : f64\n" +
    generic("total", _ROWS, ("z3", "d0", "3"), "pr", _SUM) +
    generic("mean", {"total": ("d0", "3")}, ("z3", "d0", "3"), "p",
            "%q = arith.divf %total_, %n : f64\nlinalg.yield %q : f64") +
    generic("squares", {**_ROWS, "mean": ("d0", "3")}, ("z3", "d0", "3"), "pr",
            "%d = arith.subf %x_, %mean_ : f64\n%q = arith.mulf %d, %d : f64\n%s = arith.addf %out_, %q : f64\n"
            "linalg.yield %s : f64"))
_NORMED = ("%v = arith.divf %squares_, %n : f64\n%ve = arith.addf %v, %eps : f64\n%k = math.rsqrt %ve : f64\n"
           "%d = arith.subf %x_, %mean_ : f64\n%e = arith.mulf %d, %k : f64\n%f = arith.mulf %e, %g_ : f64\n"
           "%y = arith.addf %f, %b_ : f64\nlinalg.yield %y : f64")
add("layer_norm", {"x": "3x4", "g": "4", "b": "4"}, "3x4", _MOMENTS + zeros("i", "3x4") + generic(
    "r", {**_ROWS, "mean": ("d0", "3"), "squares": ("d0", "3"), "g": ("d1", "4"), "b": ("d1", "4")},
    ("i", "d0, d1", "3x4"), "pp", _NORMED))
# With channels as rows.
add("batch_norm", {"x": "3x4", "g": "3", "b": "3"}, "3x4", _MOMENTS + zeros("i", "3x4") + generic(
    "r", {**_ROWS, "mean": ("d0", "3"), "squares": ("d0", "3"), "g": ("d0", "3"), "b": ("d0", "3")},
    ("i", "d0, d1", "3x4"), "pp", _NORMED))
add("used_twice", {"x": "3x3"}, "3x3",
    zeros("zero_init", "3x3") + "%a = linalg.matmul ins(%x, %x : tensor<3x3xf64>, tensor<3x3xf64>) "
    "outs(%zero_init : tensor<3x3xf64>) -> tensor<3x3xf64>\n%r = arith.addf %a, %x : tensor<3x3xf64>\n")
