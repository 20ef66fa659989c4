#!/usr/bin/env python3
"""Prints a module of random linalg operations on memrefs, filled with small integers and printed at the end.

Sums and products of small integers are exact in every float type used, so two correct lowerings print the same text
whatever their order of summation. Usage: random-linalg.py SEED COUNT
"""
import random
import sys

rng = random.Random(int(sys.argv[1]))
count = int(sys.argv[2])
functions, calls = [], []
elements = {"f32": "F32", "f64": "F64", "i32": "I32", "i64": "I64"}


def memref(shape, type="f32"):
    return "memref<" + "x".join([str(s) for s in shape] + [type]) + ">"


def fill(name, shape, type, factor):
    """A generic that fills a buffer with values between -3 and 3 made from its indices."""
    rank = len(shape)
    dims = ", ".join(f"d{i}" for i in range(rank))
    body = [f"%c{name} = arith.constant {factor} : index", f"%seven{name} = arith.constant 7 : index",
            f"%three{name} = arith.constant 3 : i64", f"%a{name}0 = arith.constant {factor % 5} : index"]
    for i in range(rank):
        body += [f"%i{name}{i} = linalg.index {i} : index", f"%p{name}{i} = arith.muli %a{name}{i}, %c{name} : index",
                 f"%a{name}{i + 1} = arith.addi %p{name}{i}, %i{name}{i} : index"]
    body += [f"%r{name} = arith.remui %a{name}{rank}, %seven{name} : index",
             f"%x{name} = arith.index_cast %r{name} : index to i64",
             f"%y{name} = arith.subi %x{name}, %three{name} : i64"]
    if type.startswith("f") or type.startswith("bf"):
        body.append(f"%z{name} = arith.sitofp %y{name} : i64 to {type}")
    elif type == "i64":
        body.append(f"%z{name} = arith.addi %y{name}, %three{name} : i64")
    elif type == "i1":
        body.append(f"%z{name} = arith.cmpi sgt, %y{name}, %three{name} : i64")
    else:
        body.append(f"%z{name} = arith.trunci %y{name} : i64 to {type}")
    kinds = ", ".join(['"parallel"'] * rank)
    return (f"    linalg.generic {{indexing_maps = [affine_map<({dims}) -> ({dims})>], iterator_types = [{kinds}]}}"
            f" outs(%{name} : {memref(shape, type)}) {{\n    ^bb0(%o{name}: {type}):\n      " + "\n      ".join(body)
            + f"\n      linalg.yield %z{name} : {type}\n    }}\n")


def program(buffers, text):
    """buffers: (name, shape, type, print)."""
    n = len(functions)
    body = ""
    for i, (name, shape, type, _) in enumerate(buffers):
        body += f"    %{name} = memref.alloc() : {memref(shape, type)}\n" + fill(name, shape, type, 3 + i)
    functions.append(f"  func.func @case{n}({', '.join(f'%{b[0]}: {memref(b[1], b[2])}' for b in buffers)}) {{\n"
                     + text + "    return\n  }\n")
    body += f"    call @case{n}({', '.join('%' + b[0] for b in buffers)}) : ({', '.join(memref(b[1], b[2]) for b in buffers)}) -> ()\n"
    for name, shape, type, show in buffers:
        if show:
            body += (f"    %u{name} = memref.cast %{name} : {memref(shape, type)} to memref<*x{type}>\n"
                     f"    call @printMemref{elements[type]}(%u{name}) : (memref<*x{type}>) -> ()\n")
    for name, shape, type, _ in buffers:
        body += f"    memref.dealloc %{name} : {memref(shape, type)}\n"
    functions.append(f"  func.func @run{n}() {{\n{body}    return\n  }}\n")
    calls.append(f"    call @run{n}() : () -> ()\n")


def size():
    return rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 24, 31, 32, 33, 40, 65, 100])


def maps(exprs, dims):
    d = ", ".join(f"d{i}" for i in range(dims))
    return ", ".join(f"affine_map<({d}) -> ({', '.join(e)})>" for e in exprs)


def generic(exprs, kinds, buffers, body):
    ins, outs = buffers[:-body[0]], buffers[-body[0]:]
    names = lambda bs: ", ".join("%" + b[0] for b in bs)
    types = lambda bs: ", ".join(memref(b[1], b[2]) for b in bs)
    args = ", ".join(f"%v{b[0]}: {b[2]}" for b in buffers)
    it = ", ".join('"reduction"' if k == "r" else '"parallel"' for k in kinds)
    inputs = f"ins({names(ins)} : {types(ins)}) " if ins else ""
    return (f"    linalg.generic {{indexing_maps = [{maps(exprs, len(kinds))}], iterator_types = [{it}]}} {inputs}"
            f"outs({names(outs)} : {types(outs)}) {{\n    ^bb0({args}):\n      {body[1]}\n    }}\n")


def contraction():
    """Random maps over batch, m, n and k: every order of the dimensions in every operand."""
    b, m, n, k = rng.choice([1, 1, 2, 3]), size(), size(), size()
    sizes = [b, m, n, k]
    operands = [[0, 1, 3], [0, 3, 2], [0, 1, 2]]
    for o in operands:
        if rng.random() < 0.5:
            rng.shuffle(o)
    type = rng.choice(["f32", "f32", "f32", "f64", "i32"])
    bufs = [(x, [sizes[d] for d in o], type, x == "C") for x, o in zip("ABC", operands)]
    f = "f" if type[0] == "f" else "i"
    program(bufs, generic([[f"d{d}" for d in o] for o in operands], "pppr", bufs, (1,
            f"%m = arith.mul{f} %vA, %vB : {type}\n      %s = arith.add{f} %vC, %m : {type}\n      linalg.yield %s : {type}")))


def convolution():
    n, f, c, oh, ow = rng.choice([1, 2]), rng.choice([1, 3, 8, 13]), rng.choice([1, 3, 4]), rng.choice([1, 5, 8]), size()
    kh, kw, s, d = rng.choice([1, 2, 3]), rng.choice([1, 3, 5]), rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 2])
    ih, iw = (oh - 1) * s + (kh - 1) * d + 1, (ow - 1) * s + (kw - 1) * d + 1
    attrs = f"{{dilations = dense<{d}> : tensor<2xi64>, strides = dense<{s}> : tensor<2xi64>}}"
    kind = rng.choice(["conv", "depthwise", "max", "sum", "nhwc"])
    if kind == "conv":
        bufs = [("I", [n, c, ih, iw], "f32", False), ("K", [f, c, kh, kw], "f32", False), ("O", [n, f, oh, ow], "f32", True)]
        op = "linalg.conv_2d_nchw_fchw"
    elif kind == "depthwise":
        bufs = [("I", [n, c, ih, iw], "f32", False), ("K", [c, kh, kw], "f32", False), ("O", [n, c, oh, ow], "f32", True)]
        op = "linalg.depthwise_conv_2d_nchw_chw"
    elif kind == "nhwc":
        bufs = [("I", [n, ih, iw, c], "f32", False), ("K", [kh, kw, c, f], "f32", False), ("O", [n, oh, ow, f], "f32", True)]
        op = "linalg.conv_2d_nhwc_hwcf"
    else:
        bufs = [("I", [n, c, ih, iw], "f32", False), ("K", [kh, kw], "f32", False), ("O", [n, c, oh, ow], "f32", True)]
        op = f"linalg.pooling_nchw_{kind}"
    names = ", ".join("%" + b[0] for b in bufs[:2])
    types = ", ".join(memref(b[1], b[2]) for b in bufs[:2])
    program(bufs, f"    {op} {attrs} ins({names} : {types}) outs(%O : {memref(bufs[2][1])})\n")


def elementwise():
    rank = rng.choice([1, 2, 3, 4])
    shape = [size() if i > rank - 3 else rng.choice([1, 2, 3]) for i in range(rank)]
    order = list(range(rank))
    rng.shuffle(order)
    keep = sorted(rng.sample(range(rank), rng.randint(0, rank)))
    type = rng.choice(["f32", "f32", "f64", "i32", "i64"])
    f = "f" if type[0] == "f" else "i"
    cmp = "cmpf olt" if f == "f" else "cmpi slt"
    bufs = [("A", [shape[d] for d in order], type, False), ("B", [shape[d] for d in keep], type, False),
            ("C", shape, type, False), ("D", shape, type, True)]
    exprs = [[f"d{d}" for d in order], [f"d{d}" for d in keep], [f"d{d}" for d in range(rank)], [f"d{d}" for d in range(rank)]]
    program(bufs, generic(exprs, "p" * rank, bufs, (1,
            f"%t = arith.{cmp}, %vA, %vB : {type}\n      %s = arith.sub{f} %vA, %vC : {type}\n"
            f"      %w = arith.mul{f} %s, %vB : {type}\n      %u = arith.select %t, %w, %vD : {type}\n      linalg.yield %u : {type}")))


def transpose():
    rank = rng.choice([2, 3, 4])
    shape = [size() if i > rank - 3 else rng.choice([1, 2, 3, 5]) for i in range(rank)]
    order = list(range(rank))
    rng.shuffle(order)
    type = rng.choice(["f32", "f64", "i64"])
    bufs = [("A", shape, type, False), ("B", [shape[d] for d in order], type, True)]
    program(bufs, f"    linalg.transpose ins(%A : {memref(shape, type)}) outs(%B : {memref(bufs[1][1], type)}) permutation = {order}\n")


def reduction():
    rank = rng.choice([1, 2, 3])
    shape = [size() for _ in range(rank)]
    kinds = [rng.choice("pr") for _ in range(rank)]
    out = [d for d in range(rank) if kinds[d] == "p"]
    type = rng.choice(["f32", "f32", "f64", "i32", "i64"])
    f = type[0] == "f"
    combine = rng.choice(["arith.addf", "arith.maximumf", "arith.minnumf"] if f else ["arith.addi", "arith.maxsi", "arith.xori"])
    bufs = [("A", shape, type, False), ("C", [shape[d] for d in out], type, True)]
    program(bufs, generic([[f"d{d}" for d in range(rank)], [f"d{d}" for d in out]], kinds, bufs, (1,
            f"%s = {combine} %vA, %vC : {type}\n      linalg.yield %s : {type}")))


def argmax():
    m, n = size(), size()
    dims = rng.choice([[0, 1], [1, 0]])
    bufs = [("A", [[m, n][d] for d in dims], "f32", False), ("V", [m], "f32", True), ("X", [m], "i64", True)]
    program(bufs, generic([[f"d{d}" for d in dims], ["d0"], ["d0"]], "pr", bufs, (2,
            "%i = linalg.index 1 : index\n      %j = arith.index_cast %i : index to i64\n"
            "      %m = arith.maximumf %vA, %vV : f32\n      %c = arith.cmpf ogt, %vA, %vV : f32\n"
            "      %s = arith.select %c, %j, %vX : i64\n      linalg.yield %m, %s : f32, i64")))


def gather():
    rows, cols, n = size() + 7, size(), size()
    bufs = [("T", [rows, cols], "f32", False), ("I", [n], "i64", False), ("O", [n, cols], "f32", True)]
    text = generic([["d0"], ["d0", "d1"]], "pp", bufs[1:], (1,
            "%i = arith.index_cast %vI : i64 to index\n      %j = linalg.index 1 : index\n"
            f"      %x = memref.load %T[%i, %j] : {memref(bufs[0][1])}\n      linalg.yield %x : f32"))
    program(bufs, text)


def resize():
    n, m, f = size(), size(), rng.choice([2, 3])
    bufs = [("A", [n, m], "f32", False), ("B", [n * f, m * f], "f32", True)]
    program(bufs, generic([[f"d0 floordiv {f}", f"d1 floordiv {f}"], ["d0", "d1"]], "pp", bufs, (1, "linalg.yield %vA : f32")))


def subview():
    n, m = size() + 3, size() + 3
    view = f"memref<{n - 3}x{m - 3}xf32, strided<[{m}, 1], offset: {m + 2}>>"
    bufs = [("A", [n, m], "f32", False), ("B", [m - 3, n - 3], "f32", True)]
    program(bufs, f"    %v = memref.subview %A[1, 2] [{n - 3}, {m - 3}] [1, 1] : {memref(bufs[0][1])} to {view}\n"
            f"    linalg.transpose ins(%v : {view}) outs(%B : {memref(bufs[1][1])}) permutation = [1, 0]\n"
            f"    linalg.fill ins(%c : f32) outs(%v : {view})\n".replace("linalg.fill", "linalg.fill")
            if False else
            f"    %v = memref.subview %A[1, 2] [{n - 3}, {m - 3}] [1, 1] : {memref(bufs[0][1])} to {view}\n"
            f"    linalg.transpose ins(%v : {view}) outs(%B : {memref(bufs[1][1])}) permutation = [1, 0]\n")


def dynamic():
    m, n, k = size(), size(), size()
    bufs = [("A", [m, k], "f32", False), ("B", [k, n], "f32", False), ("C", [m, n], "f32", True)]
    text = "".join(f"    %d{b[0]} = memref.cast %{b[0]} : {memref(b[1])} to memref<?x?xf32>\n" for b in bufs)
    program(bufs, text + "    linalg.matmul ins(%dA, %dB : memref<?x?xf32>, memref<?x?xf32>) outs(%dC : memref<?x?xf32>)\n")


def masks():
    n, m = size(), size()
    bufs = [("A", [n, m], "f32", False), ("M", [n, m], "i1", False), ("N", [n, m], "i1", False), ("B", [n, m], "f32", True)]
    ident = ["d0", "d1"]
    text = generic([ident, ident, ident], "pp", [bufs[0], bufs[1], bufs[2]], (1,
            "%z = arith.constant 0.0 : f32\n      %c = arith.cmpf oge, %vA, %z : f32\n      %r = arith.ori %c, %vM : i1\n      linalg.yield %r : i1"))
    text += generic([ident, ident, ident], "pp", [bufs[0], bufs[2], bufs[3]], (1,
            "%s = arith.select %vN, %vA, %vB : f32\n      linalg.yield %s : f32"))
    program(bufs, text)


makers = [contraction, contraction, contraction, convolution, convolution, elementwise, elementwise, transpose, reduction,
          reduction, argmax, gather, resize, subview, dynamic, masks]
for i in range(count):
    makers[(i + int(sys.argv[1])) % len(makers)]()
print("module {\n" + "".join(f"  func.func private @printMemref{s}(memref<*x{t}>) attributes {{llvm.emit_c_interface}}\n"
                             for t, s in elements.items()))
print("\n".join(functions))
print("  func.func @main() {\n" + "".join(calls) + "    return\n  }\n}")
