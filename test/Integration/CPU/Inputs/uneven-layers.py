#!/usr/bin/env python3
"""Writes a module of layers with few tokens or pixels whose masks keep nearly everything in the first rows, its inputs, and
its results as NumPy computes them.

Usage: uneven-layers.py MODULE.mlir INPUTS.npz RESULTS.npz
"""
import sys

import numpy

rng = numpy.random.default_rng(5)
resources, body, results, types, arguments, inputs, expected = [], [], [], [], [], {}, {}


def tensor(shape, element="f32"):
    return "tensor<" + "x".join(map(str, shape)) + f"x{element}>"


def resource(name, array):
    resources.append(f'      {name}: "0x04000000{array.tobytes().hex().upper()}"')


def add(x, weight, mask, pattern, shape, y, op):
    """`op` makes %c of %x and %a; a bias and ReLU follow."""
    n = len(arguments)
    bias = rng.standard_normal(weight.shape[0]).astype("f4")
    per_row = [1] * len(shape)
    row = len(shape) - 1 if len(shape) == 2 else 1
    per_row[row] = -1
    inputs[f"in{n}"] = x
    expected[f"out{n}"] = numpy.maximum(y + bias.reshape(per_row), 0).astype("f4")
    resource(f"w{n}", weight)
    resource(f"m{n}", mask.astype("u1"))
    resource(f"b{n}", bias)
    arguments.append(f"%x{n}: {tensor(x.shape)}")
    types.append(tensor(shape))
    results.append(f"%y{n}")
    dims = [f"d{i}" for i in range(len(shape))]
    same = f"affine_map<({', '.join(dims)}) -> ({', '.join(dims)})>"
    one = f"affine_map<({', '.join(dims)}) -> ({dims[row]})>"
    body.append(f"""    %w{n} = arith.constant dense_resource<w{n}> : {tensor(weight.shape)}
    %m{n} = arith.constant dense_resource<m{n}> : {tensor(mask.shape, "i1")}
    %a{n} = prune.apply %w{n}, %m{n} as(#prune.{pattern}) : {tensor(weight.shape)}
    %b{n} = arith.constant dense_resource<b{n}> : {tensor(bias.shape)}
    %e{n} = tensor.empty() : {tensor(shape)}
    %f{n} = linalg.fill ins(%zero : f32) outs(%e{n} : {tensor(shape)}) -> {tensor(shape)}
    %c{n} = {op.format(n=n)} outs(%f{n} : {tensor(shape)}) -> {tensor(shape)}
    %y{n} = linalg.generic {{indexing_maps = [{same}, {one}, {same}],
        iterator_types = [{", ".join('"parallel"' for _ in shape)}]}}
      ins(%c{n}, %b{n} : {tensor(shape)}, {tensor(bias.shape)}) outs(%e{n} : {tensor(shape)}) {{
    ^bb0(%s: f32, %bias: f32, %o: f32):
      %t = arith.addf %s, %bias : f32
      %v = arith.maximumf %t, %zero : f32
      linalg.yield %v : f32
    }} -> {tensor(shape)}""")


def uneven(rows, columns, blocks):
    """Half of the first sixth of the rows, a hundredth of the others."""
    density = numpy.where(numpy.arange(rows // blocks) < rows // blocks // 6, 0.5, 0.01)[:, None]
    return numpy.repeat(rng.random((rows // blocks, columns)) < density, blocks, 0)


def linear(tokens, rows, columns, blocks=1):
    weight, mask = rng.standard_normal((rows, columns)).astype("f4"), uneven(rows, columns, blocks)
    x = rng.standard_normal((tokens, columns)).astype("f4")
    maps = "(m, n, k) -> (m, k)", "(m, n, k) -> (n, k)", "(m, n, k) -> (m, n)"
    add(x, weight, mask, "unstructured" if blocks == 1 else f"block<{blocks}, 1>", [tokens, rows],
        x.astype("f8") @ (weight * mask).T,
        "linalg.contract indexing_maps = [" + ", ".join(f"affine_map<{m}>" for m in maps) + "] ins(%x{n}, %a{n} : "
        + f"{tensor(x.shape)}, {tensor(weight.shape)})")


def convolution(images, filters, channels, size):
    """3 x 3, without padding."""
    weight = rng.standard_normal((filters, channels, 3, 3)).astype("f4")
    mask = uneven(filters, 9 * channels, 1).reshape(weight.shape)
    x = rng.standard_normal((images, channels, size, size)).astype("f4")
    windows = numpy.lib.stride_tricks.sliding_window_view(x.astype("f8"), (3, 3), axis=(2, 3))
    y = numpy.einsum("bcyxij,fcij->bfyx", windows, weight * mask, optimize=True)
    add(x, weight, mask, "unstructured", list(y.shape), y,
        "linalg.conv_2d_nchw_fchw {{dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}} "
        f"ins(%x{{n}}, %a{{n}} : {tensor(x.shape)}, {tensor(weight.shape)})")


linear(1, 1025, 900)
linear(8, 1024, 700)
linear(35, 771, 512)
linear(5, 1024, 700, blocks=4)
convolution(1, 130, 64, 9)
convolution(3, 96, 50, 7)
with open(sys.argv[1], "w") as file:
    file.write(f"func.func @main({', '.join(arguments)}) -> ({', '.join(types)}) {{\n"
               + "    %zero = arith.constant 0.0 : f32\n" + "\n".join(body)
               + f"\n    return {', '.join(results)} : {', '.join(types)}\n}}\n"
               + "{-#\n  dialect_resources: {\n    builtin: {\n" + ",\n".join(resources) + "\n    }\n  }\n#-}\n")
numpy.savez(sys.argv[2], **inputs)
numpy.savez(sys.argv[3], **expected)
