#!/usr/bin/env python3
"""Writes a module of random convolutions, masked ones and depthwise ones, its inputs and its results as NumPy computes them.

Usage: random-convolutions.py SEED COUNT MODULE.mlir INPUTS.npz RESULTS.npz [2:4]

With 2:4 all masks keep two of four, and no convolution is depthwise.
"""
import sys

import numpy

seed, count = int(sys.argv[1]), int(sys.argv[2])
two_of_four = sys.argv[6:] == ["2:4"]
rng = numpy.random.default_rng(seed)
resources, body, results, result_types, arguments = [], [], [], [], []
inputs, expected = {}, {}


def tensor(shape, element="f32"):
    return "tensor<" + "x".join(map(str, shape)) + f"x{element}>"


def pick(*values):
    return values[rng.integers(len(values))]


def resource(name, array):
    resources.append(f'      {name}: "0x04000000{array.tobytes().hex().upper()}"')


def convolve(x, w, strides, dilations, low, high):
    """w: [filters, channels, ...], or [channels, ...] of a depthwise convolution."""
    equation = "bchw,fc->bfhw" if w.ndim == 4 else "bchw,c->bchw"
    x = numpy.pad(x, ((0, 0), (0, 0), (low[0], high[0]), (low[1], high[1]))).astype("f8")
    size = [(x.shape[2 + d] - dilations[d] * (w.shape[d - 2] - 1) - 1) // strides[d] + 1 for d in range(2)]
    y = numpy.zeros((x.shape[0], w.shape[0], *size))
    for i in range(w.shape[-2]):
        for j in range(w.shape[-1]):
            top, left = i * dilations[0], j * dilations[1]
            part = x[:, :, top:top + (size[0] - 1) * strides[0] + 1:strides[0],
                     left:left + (size[1] - 1) * strides[1] + 1:strides[1]]
            y += numpy.einsum(equation, part, w[..., i, j])
    return y


def case(n):
    while True:
        kernel = [int(rng.integers(1, 8)), int(rng.integers(1, 8))] if n % 3 == 0 else [pick(1, 3, 3, 5)] * 2
        strides = [pick(1, 1, 1, 2, 3), pick(1, 1, 1, 2, 3)] if n % 2 else [pick(1, 2)] * 2
        dilations = [pick(1, 1, 1, 2), pick(1, 1, 1, 3)]
        low, high = rng.integers(0, 4, 2).tolist(), rng.integers(0, 4, 2).tolist()
        batch, channels, filters = pick(1, 1, 2, 3), int(rng.integers(1, 41)), int(rng.integers(1, 38))
        image = [int(rng.integers(1, 30)), int(rng.integers(1, 70))]
        size = [(image[d] + low[d] + high[d] - dilations[d] * (kernel[d] - 1) - 1) // strides[d] + 1 for d in range(2)]
        if min(size) >= 1:
            break
    blocks = pick(1, 1, 4)
    filters = -(-filters // blocks) * blocks
    if two_of_four:
        channels, filters, blocks = channels + -channels % 8, filters + 8, 1
    depthwise = n % 4 == 3 and not two_of_four
    if depthwise:
        filters, kernel = channels, [min(kernel[0], 5), min(kernel[1], 5)]
        size = [(image[d] + low[d] + high[d] - dilations[d] * (kernel[d] - 1) - 1) // strides[d] + 1 for d in range(2)]
    w = rng.standard_normal((filters, *([] if depthwise else [channels]), *kernel)).astype("f4")
    density = pick(0.0, 0.05, 0.1, 0.3, 0.5)
    mask = numpy.repeat(rng.random((-(-filters // blocks), channels, *kernel)) < density, blocks, 0)
    if depthwise:
        mask = numpy.ones(w.shape, bool)
    pattern = "unstructured" if blocks == 1 else f"block<{blocks}, 1>"
    if two_of_four:
        mask = (rng.random((mask.size // 4, 4)).argsort(1) < 2).reshape(mask.shape)
        pattern = "n_of_m<2, 4>"
    x = rng.standard_normal((batch, channels, *image)).astype("f4")
    bias = rng.standard_normal(filters).astype("f4")
    shape = [batch, filters, *size]
    residual = rng.standard_normal(shape).astype("f4") if rng.random() < 0.5 else None
    y = convolve(x, w * mask, strides, dilations, low, high) + bias[:, None, None]
    if residual is not None:
        y = y + residual
    inputs[f"in{len(arguments)}"] = x
    arguments.append((f"%x{n}", tensor(x.shape)))
    if residual is not None:
        inputs[f"in{len(arguments)}"] = residual
        arguments.append((f"%r{n}", tensor(shape)))
    expected[f"out{n}"] = numpy.maximum(y, 0).astype("f4")
    results.append(f"%y{n}")
    result_types.append(tensor(shape))
    resource(f"w{n}", w)
    if not depthwise:
        resource(f"m{n}", mask.astype("u1"))
    resource(f"b{n}", bias)

    source, source_shape = f"%x{n}", x.shape
    if any(low + high):
        source = f"%p{n}"
        source_shape = [batch, channels, image[0] + low[0] + high[0], image[1] + low[1] + high[1]]
        body.append(f"""    {source} = tensor.pad %x{n} low[0, 0, {low[0]}, {low[1]}] high[0, 0, {high[0]}, {high[1]}] {{
    ^bb0(%i0: index, %i1: index, %i2: index, %i3: index):
      tensor.yield %zero : f32
    }} : {tensor(x.shape)} to {tensor(source_shape)}""")
    extra, extra_type, extra_argument, add = "", "", "", "    %t = arith.addf %s, %b : f32\n"
    maps = ["(b, f, y, x) -> (b, f, y, x)", "(b, f, y, x) -> (f)", "(b, f, y, x) -> (b, f, y, x)"]
    if residual is not None:
        maps.insert(2, maps[0])
        extra, extra_type, extra_argument = f", %r{n}", ", " + tensor(shape), "%e: f32, "
        add = "    %u = arith.addf %s, %b : f32\n    %t = arith.addf %u, %e : f32\n"
    name, weight, masking = "depthwise_conv_2d_nchw_chw", f"%w{n}", ""
    if not depthwise:
        name, weight = "conv_2d_nchw_fchw", f"%a{n}"
        masking = f"""
    %m{n} = arith.constant dense_resource<m{n}> : {tensor(w.shape, "i1")}
    %a{n} = prune.apply %w{n}, %m{n} as(#prune.{pattern}){"" if mask.any() else " allow_empty"} : {tensor(w.shape)}"""
    body.append(f"""    %w{n} = arith.constant dense_resource<w{n}> : {tensor(w.shape)}{masking}
    %b{n} = arith.constant dense_resource<b{n}> : {tensor([filters])}
    %e{n} = tensor.empty() : {tensor(shape)}
    %f{n} = linalg.fill ins(%zero : f32) outs(%e{n} : {tensor(shape)}) -> {tensor(shape)}
    %c{n} = linalg.{name} {{dilations = dense<{dilations}> : vector<2xi64>, strides = dense<{strides}> : vector<2xi64>}}
      ins({source}, {weight} : {tensor(source_shape)}, {tensor(w.shape)}) outs(%f{n} : {tensor(shape)}) -> {tensor(shape)}
    %y{n} = linalg.generic {{indexing_maps = [{", ".join(f"affine_map<{m}>" for m in maps)}],
        iterator_types = ["parallel", "parallel", "parallel", "parallel"]}}
      ins(%c{n}, %b{n}{extra} : {tensor(shape)}, {tensor([filters])}{extra_type}) outs(%e{n} : {tensor(shape)}) {{
    ^bb0(%s: f32, %b: f32, {extra_argument}%o: f32):
  {add}      %v = arith.maximumf %t, %zero : f32
      linalg.yield %v : f32
    }} -> {tensor(shape)}""")


for n in range(count):
    case(n)
with open(sys.argv[3], "w") as file:
    file.write("func.func @main(" + ", ".join(f"{name}: {kind}" for name, kind in arguments) + ") -> ("
               + ", ".join(result_types) + ") {\n    %zero = arith.constant 0.0 : f32\n" + "\n".join(body)
               + f"\n    return {', '.join(results)} : {', '.join(result_types)}\n}}\n"
               + "{-#\n  dialect_resources: {\n    builtin: {\n" + ",\n".join(resources) + "\n    }\n  }\n#-}\n")
numpy.savez(sys.argv[4], **inputs)
numpy.savez(sys.argv[5], **expected)
