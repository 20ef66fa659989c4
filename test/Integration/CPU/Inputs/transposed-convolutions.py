#!/usr/bin/env python3
"""Writes a module of transposed convolutions as they are imported, their inputs and their results as NumPy computes them.

Usage: transposed-convolutions.py MODULE.mlir INPUTS.npz RESULTS.npz
"""
import sys

import numpy

rng = numpy.random.default_rng(1)
resources, body, results, types, arguments = [], [], [], [], []
inputs, expected = {}, {}
# Images, channels, filters, kernel, height, width, density (1: no mask), rows of a block.
CASES = [(1, 20, 16, (2, 2), 8, 8, 1, 1), (1, 7, 5, (2, 3), 5, 9, 0.3, 1), (2, 12, 8, (3, 1), 6, 11, 0.2, 4),
         (1, 9, 6, (1, 2), 3, 17, 1, 1), (3, 16, 4, (2, 2), 9, 7, 0.5, 1)]


def tensor(*shape, element="f32"):
    return "tensor<" + "x".join(map(str, shape)) + f"x{element}>"


def resource(name, array):
    resources.append(f'      {name}: "0x04000000{array.tobytes().hex().upper()}"')


for n, (images, channels, filters, (ky, kx), height, width, density, rows) in enumerate(CASES):
    x = rng.standard_normal((images, channels, height, width)).astype("f4")
    w = rng.standard_normal((filters, channels, ky, kx)).astype("f4")
    bias = rng.standard_normal(filters).astype("f4")
    mask = numpy.repeat(rng.random((filters // rows, channels, ky, kx)) < density, rows, 0)
    y = numpy.zeros((images, filters, height * ky, width * kx))
    for i in range(ky):  # the convolution meets the kernel from its end
        for j in range(kx):
            y[:, :, ky - 1 - i::ky, kx - 1 - j::kx] = numpy.einsum("bchw,fc->bfhw", x.astype("f8"), (w * mask)[:, :, i, j])
    inputs[f"in{n}"], expected[f"out{n}"] = x, (y + bias[:, None, None]).astype("f4")
    kind, filter_type, result = tensor(*x.shape), tensor(*w.shape), tensor(*y.shape)
    spread = tensor(images, channels, height * ky + ky - 1, width * kx + kx - 1)
    arguments.append(f"%x{n}: {kind}")
    results.append(f"%y{n}")
    types.append(result)
    resource(f"w{n}", w)
    resource(f"b{n}", bias)
    weight, masking = f"%w{n}", ""
    if density < 1:
        resource(f"m{n}", mask.astype("u1"))
        pattern = "unstructured" if rows == 1 else f"block<{rows}, 1>"
        weight, masking = f"%a{n}", f"""
    %m{n} = arith.constant dense_resource<m{n}> : {tensor(*w.shape, element="i1")}
    %a{n} = prune.apply %w{n}, %m{n} as(#prune.{pattern}) : {filter_type}"""
    body.append(f"""    %w{n} = arith.constant dense_resource<w{n}> : {filter_type}{masking}
    %b{n} = arith.constant dense_resource<b{n}> : {tensor(filters)}
    %s{n} = tensor.empty() : {spread}
    %z{n} = linalg.fill ins(%zero : f32) outs(%s{n} : {spread}) -> {spread}
    %i{n} = tensor.insert_slice %x{n} into %z{n}[0, 0, {ky - 1}, {kx - 1}] [{", ".join(map(str, x.shape))}] [1, 1, {ky}, {kx}]
      : {kind} into {spread}
    %e{n} = tensor.empty() : {result}
    %f{n} = linalg.fill ins(%zero : f32) outs(%e{n} : {result}) -> {result}
    %c{n} = linalg.conv_2d_nchw_fchw {{dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}}
      ins(%i{n}, {weight} : {spread}, {filter_type}) outs(%f{n} : {result}) -> {result}
    %y{n} = linalg.generic {{indexing_maps = [affine_map<(b, f, y, x) -> (b, f, y, x)>, affine_map<(b, f, y, x) -> (f)>,
        affine_map<(b, f, y, x) -> (b, f, y, x)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}}
      ins(%c{n}, %b{n} : {result}, {tensor(filters)}) outs(%e{n} : {result}) {{
    ^bb0(%s: f32, %b: f32, %o: f32):
      %t = arith.addf %s, %b : f32
      linalg.yield %t : f32
    }} -> {result}""")

with open(sys.argv[1], "w") as file:
    file.write("func.func @main(" + ", ".join(arguments) + ") -> (" + ", ".join(types)
               + ") {\n    %zero = arith.constant 0.0 : f32\n" + "\n".join(body)
               + f"\n    return {', '.join(results)} : {', '.join(types)}\n}}\n"
               + "{-#\n  dialect_resources: {\n    builtin: {\n" + ",\n".join(resources) + "\n    }\n  }\n#-}\n")
numpy.savez(sys.argv[2], **inputs)
numpy.savez(sys.argv[3], **expected)
