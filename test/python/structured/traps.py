"""Nets in which removing what looks removable would change results, or in which nothing can be removed."""

from __future__ import annotations

import numpy as np

from structured.builder import Net


def only_inputs_and_outputs():
    """No weight at all."""
    n = Net(x=[1, 4, 4, 4])
    return n.model(n.relu("x"))


def one_layer():
    """Inputs and outputs are both fixed."""
    n = Net(x=[1, 3, 8, 8])
    return n.model(n.conv("c", "x", 3, 8, bias=True))


def softmax_over_channels():
    """A removed channel would still count in the sum with exp(0)."""
    n = Net(x=[1, 3, 6, 6])
    y = n.add("Softmax", n.conv("c1", "x", 3, 8, bias=True), axis=1)
    return n.model(n.conv("c2", y, 8, 4, bias=True))


def max_over_channels():
    """A removed channel would still be a zero among negative numbers; behind a ReLU it would not matter."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    m = n.concat(n.add("ReduceMax", y, axes=[1]), n.add("ReduceMean", y, axes=[1]))
    y = n.add("Mul", y, n.add("Sigmoid", n.conv("attention", m, 2, 1)))
    return n.model(n.conv("c2", y, 8, 4, bias=True))


def max_over_rectified_channels():
    n = Net(x=[1, 3, 6, 6])
    y = n.relu(n.conv("c1", "x", 3, 8, bias=True))
    y = n.add("Mul", y, n.add("Sigmoid", n.conv("attention", n.add("ReduceMax", y, axes=[1]), 1, 1)))
    return n.model(n.conv("c2", y, 8, 4, bias=True))


def sum_of_sigmoids():
    """A removed channel would add sigmoid(0) = 1/2."""
    n = Net(x=[2, 6])
    y = n.add("Sigmoid", n.gemm("f1", "x", 6, 12))
    return n.model(n.add("ReduceSum", y, n.ints(1)), n.gemm("f2", y, 12, 3))


def product_of_channels():
    """A removed channel would make the product zero."""
    n = Net(x=[2, 6])
    y = n.gemm("f1", "x", 6, 8)
    return n.model(n.add("ReduceProd", y, axes=[1]), n.gemm("f2", y, 8, 3))


def norm_over_channels():
    """Features scaled to length 1: zeros add nothing to the sum of squares."""
    n = Net(x=[2, 6])
    y = n.gemm("f1", "x", 6, 12)
    length = n.add("ReduceL2", y, axes=[1])
    return n.model(n.gemm("f2", n.add("Div", y, n.add("Clip", length, n.scalar(1e-6))), 12, 3))


def cosine_to_zero():
    """cos(0) = 1, yet the layer behind has no weights for it."""
    n = Net(x=[2, 6])
    return n.model(n.gemm("f2", n.add("Cos", n.gemm("f1", "x", 6, 12)), 12, 3))


def reversed_channels():
    """Channel i is added to channel 7 - i."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    y = n.add("Add", y, n.add("Slice", y, n.ints(-1), n.ints(-100), n.ints(1), n.ints(-1)))
    return n.model(n.conv("c2", n.relu(y), 8, 4, bias=True))


def permuted_channels():
    """Channels in another order, by a Gather."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    y = n.add("Gather", y, n.constant("order", [3, 1, 4, 0, 5, 7, 2, 6], np.int64), axis=1)
    return n.model(n.conv("c2", n.relu(y), 8, 4, bias=True))


def every_second_channel():
    """Strided slices of channels."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    a, b = n.slice(y, 1, 0, 8, 2), n.slice(y, 1, 1, 8, 2)
    return n.model(n.conv("c2", n.add("Mul", a, b), 4, 4, bias=True))


def twice_in_a_concat():
    """The same channels at two places."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    return n.model(n.conv("c2", n.concat(y, n.relu(y)), 16, 4, bias=True))


def added_to_itself_in_parts():
    """The halves of one tensor are added: channel i lives with channel i + 4."""
    n = Net(x=[1, 3, 6, 6])
    a, b = n.split(n.conv("c1", "x", 3, 8, bias=True), 1, 4, 4)
    return n.model(n.conv("c2", n.relu(n.add("Add", a, b)), 4, 4, bias=True))


def overlapping_slices():
    """Two slices share channels and are added."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    y = n.add("Add", n.slice(y, 1, 0, 6), n.slice(y, 1, 2, 8))
    return n.model(n.conv("c2", n.relu(y), 6, 4, bias=True))


def repeated_channels():
    """Tile makes a, b, a, b; a repeat makes a, a, b, b."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    tiled = n.conv("c2", n.add("Tile", y, n.ints(1, 2, 1, 1)), 16, 4, bias=True)
    each = n.reshape(n.add("Expand", n.add("Unsqueeze", y, n.ints(2)), n.ints(1, 8, 2, 6, 6)), 1, 16, 6, 6)
    return n.model(n.add("Add", tiled, n.conv("c3", each, 16, 4, bias=True)))


def padded_with_ones():
    """Channels are padded with a constant that is not zero."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv("c1", "x", 3, 8, bias=True)
    y = n.add("Pad", y, n.ints(0, 2, 1, 1, 0, 1, 1, 1), n.scalar(1.0))
    return n.model(n.conv("c2", n.relu(y), 11, 4, pad=0, bias=True))


def channels_become_space():
    """Channels move into space, and a convolution's window runs over them."""
    n = Net(x=[1, 3, 6, 6])
    y = n.transpose(n.conv("c1", "x", 3, 8, bias=True), 0, 2, 1, 3)
    return n.model(n.conv("c2", y, 6, 4, bias=True))


def layer_norm_after_linear():
    """The width of a layer norm that no residual holds: only with statistics over the survivors."""
    n = Net(x=[2, 6])
    y = n.relu(n.layer_norm("norm", n.gemm("f1", "x", 6, 16), 16))
    return n.model(n.gemm("f2", y, 16, 3))


def layer_norm_written_out(decomposed=True):
    """The same as a dozen operators; and twice over a residual width."""
    n = Net(x=[2, 6])
    y = n.gemm("f0", "x", 6, 16)
    for i in range(2):
        h = n.gemm(f"up{i}", n.layer_norm(f"norm{i}", y, 16, decomposed), 16, 24)
        y = n.add("Add", y, n.gemm(f"down{i}", n.relu(h), 24, 16))
    return n.model(n.gemm("out", n.layer_norm("last", y, 16, decomposed), 16, 3))


def mixed_reshape():
    """12 channels x 4 columns read as 6 x 8: no channel survives as such."""
    n = Net(x=[1, 3, 4, 4])
    y = n.reshape(n.conv("c1", "x", 3, 12, bias=True), 1, 8, 6, 4)
    return n.model(n.conv("c2", y, 8, 4, bias=True))


def equal_constants():
    """As before training: norms scale by one, biases are zero, and so equal wherever widths are equal."""
    n = Net(x=[2, 3, 8, 8])
    def norm(name, x):
        return n.add("BatchNormalization", x, *(n.constant(f"{name}.{k}", [v] * 8, np.float32) for k, v in (
            ("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1))))
    y = n.conv("c0", "x", 3, 8)
    for i in range(3):
        a = n.conv(f"b{i}.c1", n.relu(norm(f"b{i}.n1", y)), 8, 8)
        y = n.add("Add", y, n.conv(f"b{i}.c2", n.relu(norm(f"b{i}.n2", a)), 8, 8))
    y = n.add("Flatten", n.add("GlobalAveragePool", n.relu(norm("n", y))), axis=1)
    for i in range(2):
        y = n.relu(n.add("Gemm", y, n.random(f"f{i}.weight", [8, 8], 0.4), n.constant(f"f{i}.bias", [0] * 8, np.float32)))
    return n.model(n.gemm("out", y, 8, 3))
