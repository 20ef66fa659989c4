"""More small nets: pieces of detectors, segmenters, decoders and generators that combine several ties."""

from __future__ import annotations

import numpy as np

from structured.builder import Net


def bilinear_resize():
    """Levels enlarged by interpolation, joined with the image itself."""
    n = Net(x=[1, 3, 8, 8])
    a = n.conv_bn("a", "x", 3, 8, stride=2)
    up = n.add("Resize", n.conv_bn("b", a, 8, 8), "", n.constant("scales", [1, 1, 2, 2], "float32"), mode="linear",
               coordinate_transformation_mode="half_pixel")
    return n.model(n.conv("head", n.relu(n.conv("c", n.concat("x", up), 11, 8, bias=True)), 8, 2, k=1, bias=True))


def bilinear_pooling():
    """Products of all pairs of channels, flattened: a channel is both factors."""
    n = Net(x=[1, 3, 6, 6])
    y = n.reshape(n.relu(n.conv("c", "x", 3, 6, bias=True)), 1, 6, 36)
    return n.model(n.gemm("fc", n.add("Flatten", n.add("MatMul", y, n.transpose(y, 0, 2, 1)), axis=1), 36, 4))


def pair_pooling():
    """Products of the channels of two branches, flattened."""
    n = Net(x=[1, 3, 6, 6])
    a = n.reshape(n.relu(n.conv("a", "x", 3, 6, bias=True)), 1, 6, 36)
    b = n.reshape(n.relu(n.conv("b", "x", 3, 8, bias=True)), 1, 8, 36)
    return n.model(n.gemm("fc", n.add("Flatten", n.add("MatMul", a, n.transpose(b, 0, 2, 1)), axis=1), 48, 4))


def local_response_norm():
    """A norm over neighbouring channels: their order and number matter."""
    n = Net(x=[1, 3, 6, 6])
    y = n.add("LRN", n.relu(n.conv("a", "x", 3, 8, bias=True)), size=3, alpha=0.1)
    return n.model(n.classifier(n.relu(n.conv("b", y, 8, 8, bias=True)), 8))


def groups_of_two_sizes():
    """Grouped convolutions of 2 and of 4 groups, one behind the other, behind a concatenation."""
    n = Net(x=[1, 3, 6, 6])
    y = n.concat(n.conv_bn("a", "x", 3, 6), n.conv_bn("b", "x", 3, 10))
    y = n.relu(n.conv("g4", n.relu(n.conv("g2", y, 16, 16, groups=2, bias=True)), 16, 16, groups=4, bias=True))
    return n.model(n.classifier(y, 16))


def generator():
    """Noise to an image: linear layer to channels x height x width, transposed convolutions, depth to space."""
    n = Net(z=[1, 6])
    y = n.relu(n.bn("n0", n.reshape(n.gemm("fc", "z", 6, 16 * 4), 1, 16, 2, 2), 16))
    y = n.relu(n.bn("n1", n.deconv("up1", y, 16, 8, k=4, pad=1, bias=False), 8))
    y = n.relu(n.deconv("up2", y, 8, 8, k=4, pad=1, groups=2))
    y = n.add("DepthToSpace", n.conv("c", y, 8, 16, bias=True), blocksize=2, mode="DCR")
    return n.model(n.add("Tanh", n.conv("rgb", y, 4, 3, bias=True)))


def reversible():
    """Two streams that are added to in turn, joined at the end."""
    n = Net(x=[1, 3, 6, 6])
    a, b = n.split(n.conv("stem", "x", 3, 16, bias=True), 1, 8, 8)
    for i in range(2):
        a = n.add("Add", a, n.conv(f"f{i}.2", n.relu(n.conv(f"f{i}.1", b, 8, 12, bias=True)), 12, 8, bias=True))
        b = n.add("Add", b, n.conv(f"g{i}.2", n.relu(n.conv(f"g{i}.1", a, 8, 12, bias=True)), 12, 8, bias=True))
    return n.model(n.classifier(n.relu(n.concat(a, b)), 16))


def generated_filter():
    """A convolution whose filter another layer computes."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv_bn("stem", "x", 3, 4)
    pooled = n.add("Flatten", n.add("GlobalAveragePool", y), axis=1)
    w = n.reshape(n.gemm("hyper.2", n.relu(n.gemm("hyper.1", pooled, 4, 8)), 8, 6 * 4 * 9), 6, 4, 3, 3)
    y = n.relu(n.add("Conv", y, w, pads=[1] * 4, kernel_shape=[3, 3]))
    return n.model(n.classifier(y, 6))


def largest_of_branches():
    """The larger of two branches, the mean over everything, and the number of the best class."""
    n = Net(x=[1, 3, 6, 6])
    y = n.add("Max", n.conv("a", "x", 3, 8, bias=True), n.conv("b", "x", 3, 8, k=1, bias=True))
    classes = n.conv("head", n.relu(y), 8, 4, bias=True)
    best = n.add("Cast", n.add("ArgMax", classes, axis=1), to=1)
    return n.model(n.add("ReduceMean", n.add("Tanh", y), axes=[1, 2, 3]), classes, best)


def scores_shown():
    """Attention whose scores are an output: heads stay, the width inside them need not."""
    n = Net(x=[1, 6, 16])
    q, k, v = (n.transpose(n.reshape(n.linear(p, "x", 16, 16), 1, 6, 4, 4), 0, 2, 1, 3) for p in "qkv")
    s = n.add("Softmax", n.add("MatMul", q, n.transpose(k, 0, 1, 3, 2)), axis=-1)
    y = n.reshape(n.transpose(n.add("MatMul", s, v), 0, 2, 1, 3), 1, 6, 16)
    return n.model(n.linear("o", y, 16, 16), s)


def cached_keys():
    """Keys and values of earlier tokens are inputs, joined with the new ones: nothing of the attention may go."""
    n = Net(x=[1, 1, 16], past_k=[1, 4, 5, 4], past_v=[1, 4, 5, 4])
    q, k, v = (n.transpose(n.reshape(n.linear(p, "x", 16, 16), 1, 1, 4, 4), 0, 2, 1, 3) for p in "qkv")
    k, v = n.concat("past_k", k, axis=2), n.concat("past_v", v, axis=2)
    s = n.add("Softmax", n.add("MatMul", q, n.transpose(k, 0, 1, 3, 2)), axis=-1)
    y = n.reshape(n.transpose(n.add("MatMul", s, v), 0, 2, 1, 3), 1, 1, 16)
    y = n.add("Add", "x", n.linear("o", y, 16, 16))
    return n.model(n.linear("down", n.gelu(n.linear("up", y, 16, 32)), 32, 16), k, v)


def slopes_and_shared_scores():
    """Attention with a slope for each head (ALiBi), whose scores are added to those of the next layer."""
    n = Net(x=[1, 6, 16])
    distance = -np.abs(np.arange(6)[None] - np.arange(6)[:, None])[None, None]
    bias = n.constant("alibi", distance * (0.5 ** np.arange(1, 5))[None, :, None, None], np.float32)
    y, scores = "x", bias
    for i in range(2):
        q, k, v = (n.transpose(n.reshape(n.linear(f"l{i}.{p}", y, 16, 16), 1, 6, 4, 4), 0, 2, 1, 3) for p in "qkv")
        scores = n.add("Add", n.add("MatMul", q, n.transpose(k, 0, 1, 3, 2)), scores)
        a = n.reshape(n.transpose(n.add("MatMul", n.add("Softmax", scores, axis=-1), v), 0, 2, 1, 3), 1, 6, 16)
        y = n.add("Add", y, n.linear(f"l{i}.o", a, 16, 16))
    return n.model(y)


def learned_queries():
    """A decoder's queries are constants; they attend to the pixels of a feature map; boxes and classes come out."""
    n = Net(x=[1, 3, 8, 8])
    y = n.transpose(n.reshape(n.conv("proj", n.conv_bn("b", "x", 3, 8, stride=2), 8, 16, k=1, bias=True), 1, 16, 16), 0, 2, 1)
    queries = n.random("queries", [1, 5, 16], 0.7)
    q = n.transpose(n.reshape(n.linear("q", queries, 16, 16), 1, 5, 4, 4), 0, 2, 1, 3)
    k, v = (n.transpose(n.reshape(n.linear(p, y, 16, 16), 1, 16, 4, 4), 0, 2, 1, 3) for p in "kv")
    s = n.add("Softmax", n.add("MatMul", q, n.transpose(k, 0, 1, 3, 2)), axis=-1)
    a = n.reshape(n.transpose(n.add("MatMul", s, v), 0, 2, 1, 3), 1, 5, 16)
    h = n.relu(n.linear("ff", n.add("Add", queries, n.linear("o", a, 16, 16)), 16, 24))
    return n.model(n.linear("classes", h, 24, 3), n.add("Sigmoid", n.linear("boxes", h, 24, 4)))


def gated_recurrence():
    """The GRU operator behind an embedding."""
    n = Net(ids=("i", [4, 1]))
    y = n.add("GRU", n.add("Gather", n.random("table", [30, 8], 1.0), "ids"), n.random("gru.w", [1, 18, 8], 0.4),
              n.random("gru.r", [1, 18, 6], 0.4), n.random("gru.b", [1, 36], 0.1), hidden_size=6, outputs=1,
              linear_before_reset=1)
    return n.model(n.linear("out", n.reshape(y, 4, 1, 6), 6, 5))
