"""Perceptrons, recurrent nets, embeddings."""

from __future__ import annotations

import numpy as np

from structured.builder import Net


def perceptron():
    """Batch norm between two linear layers; the last output is fixed."""
    n = Net(x=[4, 10])
    y = n.relu(n.bn("n1", n.gemm("f1", "x", 10, 24), 24))
    y = n.add("Tanh", n.gemm("f2", y, 24, 16))
    return n.model(n.gemm("f3", y, 16, 3))


def mixer():
    """Linear layers over places and over channels in turn."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("patch", "x", 3, 12, k=2, stride=2, pad=0, bias=True)
    y = n.transpose(n.reshape(y, 1, 12, 16), 0, 2, 1)
    for i in range(2):
        a = n.transpose(n.layer_norm(f"b{i}.n1", y, 12), 0, 2, 1)
        a = n.linear(f"b{i}.t2", n.gelu(n.linear(f"b{i}.t1", a, 16, 10)), 10, 16)
        y = n.add("Add", y, n.transpose(a, 0, 2, 1))
        a = n.linear(f"b{i}.c1", n.layer_norm(f"b{i}.n2", y, 12), 12, 24)
        y = n.add("Add", y, n.linear(f"b{i}.c2", n.gelu(a), 24, 12))
    return n.model(n.gemm("fc", n.add("ReduceMean", n.layer_norm("n", y, 12), axes=[1], keepdims=0), 12, 4))


def recommender():
    """Embeddings and a dense part, joined with the products of all pairs."""
    n = Net(ids=("i", [1, 2]), x=[1, 6])
    e = n.add("Gather", n.random("table", [30, 8], 0.7), "ids")
    d = n.relu(n.gemm("bottom.2", n.relu(n.gemm("bottom.1", "x", 6, 12)), 12, 8))
    z = n.concat(n.reshape(d, 1, 1, 8), e, axis=1)
    p = n.add("Flatten", n.add("MatMul", z, n.transpose(z, 0, 2, 1)), axis=1)
    return n.model(n.gemm("top.2", n.relu(n.gemm("top.1", n.concat(d, p), 17, 12)), 12, 1))


def bag_of_words():
    """Mean of embeddings, two linear layers."""
    n = Net(ids=("i", [1, 5]))
    e = n.add("ReduceMean", n.add("Gather", n.random("table", [30, 12], 1.0), "ids"), axes=[1], keepdims=0)
    return n.model(n.gemm("f2", n.relu(n.gemm("f1", e, 12, 16)), 16, 3))


def autoencoder_tied():
    """The decoder's weight is the encoder's, transposed."""
    n = Net(x=[2, 10])
    w = n.random("w", [8, 10], 10 ** -0.5)
    h = n.relu(n.add("Gemm", "x", w, n.random("b1", [8], 0.1), transB=1))
    return n.model(n.add("Gemm", h, w, n.random("b2", [10], 0.1)))


def highway():
    """A gate mixes a layer's result with its input."""
    n = Net(x=[2, 10])
    y = n.gemm("in", "x", 10, 12)
    for i in range(2):
        g = n.add("Sigmoid", n.gemm(f"g{i}", y, 12, 12))
        h = n.relu(n.gemm(f"h{i}", y, 12, 12))
        y = n.add("Add", n.add("Mul", g, h), n.add("Mul", n.add("Sub", n.scalar(1.0), g), y))
    return n.model(n.gemm("out", y, 12, 3))


def maxout():
    """The largest of two pieces of each neuron."""
    n = Net(x=[2, 10])
    y = n.add("ReduceMax", n.reshape(n.gemm("f1", "x", 10, 24), 2, 12, 2), axes=[2], keepdims=0)
    return n.model(n.gemm("f2", y, 12, 3))


def _cell(n, name, x, h, c, fan_in, width):
    """One step of an LSTM written out."""
    gates = n.add("Add", n.gemm(f"{name}.ih", x, fan_in, 4 * width), n.gemm(f"{name}.hh", h, width, 4 * width))
    i, f, g, o = n.split(gates, 1, width, width, width, width)
    c = n.add("Add", n.add("Mul", n.add("Sigmoid", f), c), n.add("Mul", n.add("Sigmoid", i), n.add("Tanh", g)))
    return n.add("Mul", n.add("Sigmoid", o), n.add("Tanh", c)), c


def recurrent_unrolled():
    """Three steps of an LSTM cell with shared weights, starting from zero."""
    n = Net(x=[1, 3, 6])
    h = c = n.constant("zeros", np.zeros((1, 8)), np.float32)
    for t in range(3):
        h, c = _cell(n, "cell", n.reshape(n.slice("x", 1, t, t + 1), 1, 6), h, c, 6, 8)
    return n.model(n.gemm("out", h, 8, 3))


def recurrent():
    """Convolutions, columns as a sequence, the LSTM operator in both directions."""
    n = Net(x=[1, 1, 8, 12])
    y = n.conv_bn("c1", "x", 1, 8, stride=2)
    y = n.transpose(n.reshape(n.conv_bn("c2", y, 8, 6), 1, 6 * 4, 6), 2, 0, 1)
    width = 8
    y = n.add("LSTM", y, n.random("lstm.w", [2, 4 * width, 24], 0.2), n.random("lstm.r", [2, 4 * width, width], 0.3),
              n.random("lstm.b", [2, 8 * width], 0.1), hidden_size=width, direction="bidirectional", outputs=1)
    y = n.reshape(n.transpose(y, 0, 2, 1, 3), 6, 1, 2 * width)
    return n.model(n.linear("out", y, 2 * width, 7))
