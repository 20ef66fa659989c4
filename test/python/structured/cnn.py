"""Small convolutional nets, one for each way in which channels hang together."""

from __future__ import annotations

from structured.builder import Net


def residual():
    """Basic blocks with batch norm, the second with stride and a projection of the shortcut."""
    n = Net(x=[1, 3, 16, 16])
    y = n.add("MaxPool", n.conv_bn("stem", "x", 3, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    a = n.conv_bn("l1.b", n.conv_bn("l1.a", y, 8, 8), 8, 8, act=None)
    y = n.relu(n.add("Add", a, y))
    a = n.conv_bn("l2.b", n.conv_bn("l2.a", y, 8, 16, stride=2), 16, 16, act=None)
    y = n.relu(n.add("Add", a, n.conv_bn("l2.down", y, 8, 16, k=1, stride=2, act=None)))
    return n.model(n.classifier(y, 16))


def residual_padded_shortcut():
    """ResNets for CIFAR: the shortcut is strided by slices, its new channels are zero."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 8)
    a = n.conv_bn("b", n.conv_bn("a", y, 8, 16, stride=2), 16, 16, act=None)
    s = n.slice(n.slice(y, 2, 0, 8, 2), 3, 0, 8, 2)
    s = n.add("Pad", s, n.ints(0, 4, 0, 0, 0, 4, 0, 0))
    return n.model(n.classifier(n.relu(n.add("Add", a, s)), 16))


def pre_activation():
    """Batch norm before the convolution: nothing to fold it into."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("stem", "x", 3, 8)
    for i in range(2):
        a = n.conv(f"b{i}.c1", n.relu(n.bn(f"b{i}.n1", y, 8)), 8, 12)
        y = n.add("Add", n.conv(f"b{i}.c2", n.relu(n.bn(f"b{i}.n2", a, 12)), 12, 8), y)
    return n.model(n.classifier(n.relu(n.bn("last", y, 8)), 8))


def resnext():
    """A grouped convolution between two pointwise ones."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 16)
    a = n.conv_bn("b", n.conv_bn("a", y, 16, 32, k=1), 32, 32, groups=4)
    y = n.relu(n.add("Add", n.conv_bn("c", a, 32, 16, k=1, act=None), y))
    return n.model(n.classifier(y, 16))


def depthwise():
    """Inverted residuals: expand, depthwise, project."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 8, act="relu6")
    for i in range(2):
        a = n.conv_bn(f"b{i}.dw", n.conv_bn(f"b{i}.up", y, 8, 24, k=1, act="relu6"), 24, 24, groups=24, act="relu6")
        y = n.add("Add", n.conv_bn(f"b{i}.down", a, 24, 8, k=1, act=None), y)
    return n.model(n.classifier(y, 8))


def depth_multiplier():
    """A depthwise convolution with two filters for each channel."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 8)
    y = n.conv_bn("out", n.conv_bn("dw", y, 8, 16, groups=8), 16, 8, k=1)
    return n.model(n.classifier(y, 8))


def _shuffle(n, x, groups, c, size):
    y = n.transpose(n.reshape(x, 1, groups, c // groups, size, size), 0, 2, 1, 3, 4)
    return n.reshape(y, 1, c, size, size)


def shuffle_v2():
    """Two units with channel split, concatenation and shuffle."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 16)
    for i in range(2):
        keep, work = n.split(y, 1, 8, 8)
        work = n.conv_bn(f"u{i}.a", work, 8, 8, k=1)
        work = n.conv_bn(f"u{i}.c", n.conv_bn(f"u{i}.dw", work, 8, 8, groups=8, act=None), 8, 8, k=1)
        y = _shuffle(n, n.concat(keep, work), 2, 16, 8)
    return n.model(n.classifier(n.conv_bn("last", y, 16, 16, k=1), 16))


def shuffle_v1():
    """Grouped pointwise convolutions with a shuffle between."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 12)
    a = _shuffle(n, n.conv_bn("a", y, 12, 12, k=1, groups=3), 3, 12, 8)
    a = n.conv_bn("c", n.conv_bn("dw", a, 12, 12, groups=12, act=None), 12, 12, k=1, groups=3, act=None)
    return n.model(n.classifier(n.relu(n.add("Add", a, y)), 12))


def dense_block():
    """Every layer reads all before it; a transition halves the channels."""
    n = Net(x=[1, 3, 8, 8])
    y, c = n.conv_bn("stem", "x", 3, 8), 8
    for block in range(2):
        for i in range(3):
            name = f"b{block}.l{i}"
            a = n.conv(f"{name}.c1", n.relu(n.bn(f"{name}.n1", y, c)), c, 16, k=1)
            y = n.concat(y, n.conv(f"{name}.c2", n.relu(n.bn(f"{name}.n2", a, 16)), 16, 4))
            c += 4
        y = n.conv(f"t{block}", n.relu(n.bn(f"tn{block}", y, c)), c, c // 2, k=1)
        c //= 2
        y = n.add("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    return n.model(n.classifier(n.relu(n.bn("last", y, c)), c))


def inception():
    """Four branches, one with a pool, joined; twice."""
    n = Net(x=[1, 3, 8, 8])
    y, c = n.conv_bn("stem", "x", 3, 8), 8
    for i in range(2):
        a = n.conv_bn(f"i{i}.a", y, c, 8, k=1)
        b = n.conv_bn(f"i{i}.b2", n.conv_bn(f"i{i}.b1", y, c, 4, k=1), 4, 8)
        d = n.conv_bn(f"i{i}.d2", n.conv_bn(f"i{i}.d1", y, c, 4, k=1), 4, 4, k=5)
        p = n.add("MaxPool", y, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        y, c = n.concat(a, b, d, n.conv_bn(f"i{i}.p", p, c, 4, k=1)), 24
    return n.model(n.classifier(y, c))


def squeeze_excite(gate="HardSigmoid"):
    """A gate computed from the means of the channels it scales."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 8, act="silu")
    a = n.conv_bn("dw", n.conv_bn("up", y, 8, 16, k=1, act="silu"), 16, 16, groups=16, act="silu")
    g = n.relu(n.conv("se.reduce", n.add("GlobalAveragePool", a), 16, 4, k=1, bias=True))
    g = n.add(gate, n.conv("se.expand", g, 4, 16, k=1, bias=True))
    y = n.add("Add", n.conv_bn("down", n.add("Mul", a, g), 16, 8, k=1, act=None), y)
    return n.model(n.classifier(y, 8))


def squeeze_excite_linear():
    """The gate through Reshape and Gemm, as the first squeeze-and-excite nets had it."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 16)
    g = n.reshape(n.add("ReduceMean", y, axes=[2, 3], keepdims=0), 1, 16)
    g = n.add("Sigmoid", n.gemm("se.2", n.relu(n.gemm("se.1", g, 16, 4)), 4, 16))
    return n.model(n.classifier(n.conv_bn("c", n.add("Mul", y, n.reshape(g, 1, 16, 1, 1)), 16, 8), 8))


def unet():
    """Transposed convolutions up, joined with what came down."""
    n = Net(x=[1, 3, 16, 16])
    pool = dict(kernel_shape=[2, 2], strides=[2, 2])
    a = n.conv_bn("d1", "x", 3, 8)
    b = n.conv_bn("d2", n.add("MaxPool", a, **pool), 8, 16)
    c = n.conv_bn("mid", n.add("MaxPool", b, **pool), 16, 24)
    b = n.conv_bn("u2", n.concat(n.deconv("up2", c, 24, 16), b), 32, 16)
    a = n.conv_bn("u1", n.concat(n.deconv("up1", b, 16, 8, k=4, pad=1), a), 16, 8)
    return n.model(n.conv("head", a, 8, 2, k=1, bias=True))


def deconv_depthwise():
    """Depthwise transposed convolution between pointwise ones."""
    n = Net(x=[1, 3, 6, 6])
    y = n.deconv("up", n.conv_bn("stem", "x", 3, 8), 8, 8, k=4, pad=1, groups=8)
    return n.model(n.conv("head", n.relu(y), 8, 3, bias=True))


def dilated():
    """Dilated branches and a pooled one stretched to their size (ASPP)."""
    n = Net(x=[1, 3, 9, 9])
    y = n.conv_bn("stem", "x", 3, 8)
    branches = [n.conv_bn("a0", y, 8, 8, k=1)] + [n.conv_bn(f"a{d}", y, 8, 8, dilation=d) for d in (2, 3)]
    p = n.conv_bn("pool", n.add("GlobalAveragePool", y), 8, 8, k=1)
    branches.append(n.add("Expand", p, n.ints(1, 8, 9, 9)))
    y = n.conv_bn("project", n.concat(*branches), 32, 12, k=1)
    return n.model(n.conv("head", y, 12, 4, k=1, bias=True))


def pyramid():
    """A feature pyramid: levels resized and added, a head shared by two levels, four outputs."""
    n = Net(x=[1, 3, 16, 16])
    a = n.conv_bn("c1", "x", 3, 8, stride=2)
    b = n.conv_bn("c2", a, 8, 16, stride=2)
    top = n.conv("lat2", b, 16, 8, k=1, bias=True)
    up = n.add("Resize", top, "", n.constant("scales", [1, 1, 2, 2], "float32"), mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")
    low = n.add("Add", n.conv("lat1", a, 8, 8, k=1, bias=True), up)
    outputs = []
    for level in (low, top):
        h = n.relu(n.conv("head", level, 8, 8, bias=True))
        outputs += [n.conv("cls", h, 8, 3, bias=True), n.conv("box", h, 8, 4, bias=True)]
    return n.model(*outputs)


def flatten_classifier():
    """Channels x height x width read as one vector."""
    n = Net(x=[1, 1, 8, 8])
    pool = dict(kernel_shape=[2, 2], strides=[2, 2])
    y = n.add("MaxPool", n.relu(n.conv("c1", "x", 1, 8, bias=True)), **pool)
    y = n.add("MaxPool", n.relu(n.conv("c2", y, 8, 12, bias=True)), **pool)
    y = n.relu(n.gemm("f1", n.add("Flatten", y, axis=1), 48, 16))
    return n.model(n.gemm("f2", y, 16, 5))


def flatten_channels_height():
    """Text recognition: channels x height become the features of a column."""
    n = Net(x=[1, 1, 8, 16])
    y = n.add("MaxPool", n.conv_bn("c1", "x", 1, 8), kernel_shape=[2, 2], strides=[2, 2])
    y = n.conv_bn("c2", y, 8, 12)
    y = n.transpose(n.reshape(y, 1, 12 * 4, 8), 0, 2, 1)
    return n.model(n.linear("out", n.relu(n.linear("fc", y, 48, 16)), 16, 7))


def flatten_height_channels():
    """The same with the height outside: index = height x channels + channel."""
    n = Net(x=[1, 1, 8, 16])
    y = n.conv_bn("c", "x", 1, 12, stride=2)
    y = n.reshape(n.transpose(y, 0, 3, 2, 1), 1, 8, 4 * 12)
    return n.model(n.linear("out", y, 48, 7))


def shared_layers():
    """One convolution on two inputs, one on its own output, and one linear layer on both."""
    n = Net(a=[1, 3, 8, 8], b=[1, 3, 8, 8])
    def tower(x):
        y = n.relu(n.conv("c1", x, 3, 8, bias=True))
        y = n.relu(n.conv("c2", n.relu(n.conv("c2", y, 8, 8, bias=True)), 8, 8, bias=True))
        return n.gemm("f", n.add("Flatten", n.add("GlobalAveragePool", n.relu(n.conv("c3", y, 8, 16))), axis=1), 16, 12)
    u, v = tower("a"), tower("b")
    return n.model(n.gemm("out", n.concat(n.add("Mul", u, v), n.add("Sub", u, v)), 24, 3))


def select_kernels():
    """Branches of two kernels, weighed by a softmax over the branches."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("stem", "x", 3, 8)
    branches = [n.conv_bn("k3", y, 8, 12), n.conv_bn("k5", y, 8, 12, dilation=2)]
    s = n.add("GlobalAveragePool", n.add("Add", *branches))
    z = n.relu(n.conv("reduce", s, 12, 4, k=1, bias=True))
    logits = [n.add("Unsqueeze", n.conv(f"att{i}", z, 4, 12, k=1, bias=True), n.ints(1)) for i in range(2)]
    weights = n.add("Softmax", n.concat(*logits), axis=1)
    parts = [n.add("Mul", b, n.add("Squeeze", w, n.ints(1))) for b, w in zip(branches, n.split(weights, 1, 1, 1))]
    return n.model(n.classifier(n.add("Add", *parts), 12))


def group_norm():
    """As exported for opset 17: reshape to groups, instance norm, reshape, scale."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("c1", "x", 3, 16)
    g = n.add("InstanceNormalization", n.reshape(y, 1, 4, -1), n.constant("ones", [1] * 4, "float32"),
              n.constant("zeros", [0] * 4, "float32"), epsilon=1e-5)
    g = n.add("Add", n.add("Mul", n.reshape(g, 1, 16, 8, 8), n.random("gn.weight", [16, 1, 1], 0.1, 1.0)),
              n.random("gn.bias", [16, 1, 1], 0.1))
    return n.model(n.classifier(n.conv_bn("c2", n.relu(g), 16, 8), 8))


def instance_norm():
    """Statistics of each channel over space: channels stay independent."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("c1", "x", 3, 8)
    y = n.add("InstanceNormalization", y, n.random("in.weight", [8], 0.1, 1.0), n.random("in.bias", [8], 0.1))
    y = n.conv("c2", n.relu(y), 8, 12)
    y = n.add("InstanceNormalization", y, n.random("in2.weight", [12], 0.1, 1.0), n.random("in2.bias", [12], 0.1))
    return n.model(n.conv("head", n.relu(y), 12, 3, bias=True))


def convnext():
    """Depthwise convolution, layer norm over channels behind a transpose, two linear layers, a scale, a residual."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("stem", "x", 3, 8, k=2, stride=2, pad=0, bias=True)
    for i in range(2):
        a = n.transpose(n.conv(f"b{i}.dw", y, 8, 8, k=5, groups=8, bias=True), 0, 2, 3, 1)
        a = n.linear(f"b{i}.up", n.layer_norm(f"b{i}.norm", a, 8), 8, 32)
        a = n.linear(f"b{i}.down", n.gelu(a), 32, 8)
        a = n.transpose(n.add("Mul", n.random(f"b{i}.gamma", [8], 0.1, 1.0), a), 0, 3, 1, 2)
        y = n.add("Add", y, a)
    return n.model(n.classifier(y, 8))


def gated_halves():
    """Channels halved, one half gating the other; then a split whose parts are joined again with more (CSP)."""
    n = Net(x=[1, 3, 8, 8])
    a, b = n.split(n.conv("c1", "x", 3, 16, bias=True), 1, 8, 8)
    y = n.add("Mul", a, n.add("Sigmoid", b))
    p, q = n.split(n.conv_bn("c2", y, 8, 16, k=1, act="silu"), 1, 8, 8)
    r = n.conv_bn("m2", n.conv_bn("m1", q, 8, 8, act="silu"), 8, 8, act="silu")
    y = n.conv_bn("c3", n.concat(p, q, n.add("Add", q, r)), 24, 12, k=1, act="silu")
    return n.model(n.classifier(y, 12))


def pixel_shuffle():
    """Slices of space become channels at the start, channels become space at the end."""
    n = Net(x=[1, 3, 8, 8])
    parts = [n.slice(n.slice("x", 2, i, 8, 2), 3, j, 8, 2) for j in (0, 1) for i in (0, 1)]
    y = n.conv_bn("c1", n.concat(*parts), 12, 16)
    y = n.conv("c2", y, 16, 32, bias=True)
    y = n.add("DepthToSpace", y, blocksize=2, mode="CRD")
    return n.model(n.conv("head", n.relu(y), 8, 3, bias=True))


def prelu():
    """One slope for each channel; reflected borders."""
    n = Net(x=[1, 3, 8, 8])
    y = n.add("PRelu", n.conv("c1", "x", 3, 8, bias=True), n.random("slope", [8, 1, 1], 0.1, 0.25))
    y = n.add("Pad", y, n.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    y = n.add("LeakyRelu", n.conv("c2", y, 8, 12, pad=0, bias=True), alpha=0.1)
    return n.model(n.classifier(y, 12))


def modulated():
    """Scale and shift of channels computed from another input (FiLM)."""
    n = Net(x=[1, 3, 8, 8], z=[1, 6])
    y = n.conv_bn("c1", "x", 3, 8)
    s, t = n.split(n.gemm("film", n.relu(n.gemm("f", "z", 6, 10)), 10, 16), 1, 8, 8)
    y = n.add("Add", n.add("Mul", y, n.reshape(s, 1, 8, 1, 1)), n.reshape(t, 1, 8, 1, 1))
    return n.model(n.classifier(n.conv_bn("c2", n.relu(y), 8, 12), 12))


def temporal():
    """One-dimensional dilated convolutions, padded on the left and cropped, with residuals."""
    n = Net(x=[1, 4, 24])
    y = n.relu(n.conv("c0", "x", 4, 8, k=1, rank=1, bias=True))
    for d in (1, 2, 4):
        a = n.slice(n.conv(f"t{d}.a", y, 8, 12, rank=1, dilation=d, pad=2 * d, bias=True), 2, 0, 24)
        y = n.relu(n.add("Add", n.conv(f"t{d}.b", n.relu(a), 12, 8, k=1, rank=1, bias=True), y))
    return n.model(n.gemm("fc", n.add("ReduceMean", y, axes=[2], keepdims=0), 8, 3))


def volume():
    """Three-dimensional convolutions."""
    n = Net(x=[1, 2, 4, 6, 6])
    y = n.relu(n.bn("n1", n.conv("c1", "x", 2, 8, rank=3), 8))
    y = n.relu(n.conv("c2", y, 8, 8, rank=3, stride=2, bias=True))
    return n.model(n.gemm("fc", n.add("ReduceMean", y, axes=[2, 3, 4], keepdims=0), 8, 3))


def one_output_of_two_inside():
    """An inner feature map is an output too, so its channels must stay; others need not."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv_bn("c1", "x", 3, 8)
    z = n.conv_bn("c2", y, 8, 8)
    return n.model(n.classifier(n.conv_bn("c3", z, 8, 8), 8), z)
