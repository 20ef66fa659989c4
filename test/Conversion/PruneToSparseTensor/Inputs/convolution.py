#!/usr/bin/env python3
"""Prints a module with one convolution of random weights, zeros around its images.

Usage: convolution.py FILTERS CHANNELS KERNEL SIZE STRIDE DILATION GROUPS
"""
import random
import struct
import sys

filters, channels, kernel, size, stride, dilation, groups = map(int, sys.argv[1:])
random.seed(1)
pad = (kernel - 1) * dilation // 2
result = (size + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1
own = [filters, channels // groups, kernel, kernel]
count = own[0] * own[1] * kernel * kernel
data = struct.pack(f"<{count}f", *(random.gauss(0, 1) for _ in range(count)))


def tensor(*shape):
    return "tensor<" + "x".join(map(str, shape)) + "xf32>"


def images(planes, pixels):
    return [1, planes, pixels, pixels] if groups == 1 else [1, groups, planes // groups, pixels, pixels]


x, padded, y = images(channels, size), images(channels, size + 2 * pad), images(filters, result)
zeros = ", ".join(["0"] * (len(x) - 2) + [str(pad)] * 2)
indices = ", ".join(f"%i{dim}: index" for dim in range(len(x)))
name, filter_type, split = "conv_2d_nchw_fchw", tensor(*own), "%w"
expand = ""
if groups > 1:
    name, split = "conv_2d_ngchw_gfchw", "%g"
    filter_type = tensor(groups, filters // groups, *own[1:])
    expand = (f"  %g = tensor.expand_shape %w [[0, 1], [2], [3], [4]] output_shape [{groups}, {filters // groups}, "
              f"{', '.join(map(str, own[1:]))}] : {tensor(*own)} into {filter_type}\n")
print(f"""func.func @main(%x: {tensor(*x)}) -> {tensor(*y)} {{
  %w = arith.constant dense_resource<w> : {tensor(*own)}
{expand}  %zero = arith.constant 0.0 : f32
  %padded = tensor.pad %x low[{zeros}] high[{zeros}] {{
  ^bb0({indices}):
    tensor.yield %zero : f32
  }} : {tensor(*x)} to {tensor(*padded)}
  %empty = tensor.empty() : {tensor(*y)}
  %init = linalg.fill ins(%zero : f32) outs(%empty : {tensor(*y)}) -> {tensor(*y)}
  %y = linalg.{name} {{dilations = dense<{dilation}> : vector<2xi64>, strides = dense<{stride}> : vector<2xi64>}}
    ins(%padded, {split} : {tensor(*padded)}, {filter_type}) outs(%init : {tensor(*y)}) -> {tensor(*y)}
  return %y : {tensor(*y)}
}}
{{-#
  dialect_resources: {{ builtin: {{ w: "0x04000000{data.hex().upper()}" }} }}
#-}}""")
