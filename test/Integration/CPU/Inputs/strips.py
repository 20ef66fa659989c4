#!/usr/bin/env python3
"""Writes a module of 1x1 convolutions around depthwise ones on wide images, its input and its results as NumPy computes them.

Usage: strips.py MODULE.mlir INPUTS.npz RESULTS.npz
"""
import sys

import numpy

rng = numpy.random.default_rng(1)
HEIGHT, WIDTH, CHANNELS, WIDE = 90, 77, 12, 48
resources, body, expected = [], [], {}
x = rng.standard_normal((1, CHANNELS, HEIGHT, WIDTH)).astype("f4")


def tensor(shape, element="f32"):
    return "tensor<" + "x".join(map(str, shape)) + f"x{element}>"


def constant(name, array):
    element = "i1" if array.dtype == bool else "f32"
    resources.append(f'      {name}: "0x04000000{array.tobytes().hex().upper()}"')
    body.append(f"    %{name} = arith.constant dense_resource<{name}> : {tensor(array.shape, element)}")


def layer(name, source, shape, weight, attributes, op, residual=None):
    """A convolution with bias and residual or activation."""
    bias = rng.standard_normal(shape[1]).astype("f4")
    constant(f"{name}b", bias)
    source_name, source_shape = source
    maps = ["(b, c, y, x) -> (b, c, y, x)", "(b, c, y, x) -> (c)"] + ["(b, c, y, x) -> (b, c, y, x)"] * (2 if residual else 1)
    kind = tensor(shape)
    body.append(f"""    %{name}e = tensor.empty() : {kind}
    %{name}f = linalg.fill ins(%zero : f32) outs(%{name}e : {kind}) -> {kind}
    %{name}c = linalg.{op} {{{attributes}}} ins({source_name}, {weight[0]} : {tensor(source_shape)}, {tensor(weight[1])})
      outs(%{name}f : {kind}) -> {kind}
    %{name} = linalg.generic {{indexing_maps = [{", ".join(f"affine_map<{m}>" for m in maps)}],
        iterator_types = ["parallel", "parallel", "parallel", "parallel"]}}
      ins(%{name}c, %{name}b{f", {residual}" if residual else ""} : {kind}, {tensor([shape[1]])}{f", {kind}" if residual else ""})
      outs(%{name}e : {kind}) {{
    ^bb0(%s: f32, %b: f32, {"%r: f32, " if residual else ""}%o: f32):
      %t = arith.addf %s, %b : f32
      %v = {"arith.addf %t, %r" if residual else "arith.maximumf %t, %zero"} : f32
      linalg.yield %v : f32
    }} -> {kind}""")
    return bias.astype("f8")[:, None, None]


def pointwise(name, source, value, filters, residual=None):
    shape = [1, filters, *value.shape[2:]]
    w = rng.standard_normal((filters, value.shape[1], 1, 1)).astype("f4") / 3
    mask = rng.random(w.shape) < 0.2
    constant(f"{name}w", w)
    constant(f"{name}m", mask)
    body.append(f"    %{name}a = prune.apply %{name}w, %{name}m as(#prune.unstructured) : {tensor(w.shape)}")
    bias = layer(name, (source, value.shape), shape, (f"%{name}a", w.shape),
                 "dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>", "conv_2d_nchw_fchw", residual)
    y = numpy.einsum("bchw,fc->bfhw", value, (w * mask).astype("f8")[:, :, 0, 0]) + bias
    return y + x if residual else numpy.maximum(y, 0)


def depthwise(name, source, value, kernel, stride, dilation, low, high):
    w = rng.standard_normal((WIDE, kernel, kernel)).astype("f4") / 3
    constant(f"{name}w", w)
    padded = numpy.pad(value, ((0, 0), (0, 0), (low, high), (low, high)))
    body.append(f"""    %{name}p = tensor.pad {source} low[0, 0, {low}, {low}] high[0, 0, {high}, {high}] {{
    ^bb0(%i0: index, %i1: index, %i2: index, %i3: index):
      tensor.yield %zero : f32
    }} : {tensor(value.shape)} to {tensor(padded.shape)}""")
    size = [(s - dilation * (kernel - 1) - 1) // stride + 1 for s in padded.shape[2:]]
    y = numpy.zeros((1, WIDE, *size))
    for i in range(kernel):
        for j in range(kernel):
            part = padded[:, :, i * dilation:, j * dilation:][:, :, :stride * size[0]:stride, :stride * size[1]:stride]
            y += part[:, :, :size[0], :size[1]] * w[:, i, j, None, None]
    bias = layer(name, (f"%{name}p", padded.shape), list(y.shape), (f"%{name}w", w.shape),
                 f"dilations = dense<{dilation}> : vector<2xi64>, strides = dense<{stride}> : vector<2xi64>",
                 "depthwise_conv_2d_nchw_chw")
    return numpy.maximum(y + bias, 0)


# A residual around it; a stride with uneven padding; a dilation, and no layer that narrows.
for n, (window, filters) in enumerate([((3, 1, 1, 1, 1), CHANNELS), ((5, 2, 1, 1, 4), 7), ((3, 1, 3, 3, 3), None)]):
    value = pointwise(f"e{n}", "%x", x.astype("f8"), WIDE)
    value = depthwise(f"d{n}", f"%e{n}", value, *window)
    if filters:
        value = pointwise(f"n{n}", f"%d{n}", value, filters, "%x" if filters == CHANNELS else None)
    expected[f"out{n}"] = value.astype("f4")
results = ["%n0", "%n1", "%d2"]
types = ", ".join(tensor(value.shape) for value in expected.values())
with open(sys.argv[1], "w") as file:
    file.write(f"func.func @main(%x: {tensor(x.shape)}) -> ({types}) {{\n    %zero = arith.constant 0.0 : f32\n"
               + "\n".join(body) + f"\n    return {', '.join(results)} : {types}\n}}\n"
               + "{-#\n  dialect_resources: {\n    builtin: {\n" + ",\n".join(resources) + "\n    }\n  }\n#-}\n")
numpy.savez(sys.argv[2], in0=x)
numpy.savez(sys.argv[3], **expected)
