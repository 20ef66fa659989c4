"""Small transformers, one for each way of writing attention."""

from __future__ import annotations

import numpy as np

from structured.builder import Net

T, D, H = 6, 16, 4
W = D // H


def _attend(n, q, k, v, scale=W ** -0.5, bias=None):
    """q, v: [1, H, T, W], k: [1, H, W, T]; returns [1, T, H * W] of static shape."""
    s = n.add("MatMul", q, k)
    if scale != 1.0:
        s = n.add("Mul", s, n.scalar(scale))
    if bias:
        s = n.add("Add", s, bias)
    return n.add("MatMul", n.add("Softmax", s, axis=-1), v)


def _merge(n, y, t=T, d=D):
    return n.reshape(n.transpose(y, 0, 2, 1, 3), 1, t, d)


def _heads(n, x, *perm, t=T, h=H, w=W):
    return n.transpose(n.reshape(x, 1, t, h, w), *perm)


def _qkv(n, name, x, xk=None, tk=T):
    """Three projections and the reshapes to heads."""
    xk = xk or x
    q = _heads(n, n.linear(f"{name}.q", x, D, D), 0, 2, 1, 3)
    k = _heads(n, n.linear(f"{name}.k", xk, D, D), 0, 2, 3, 1, t=tk)
    return q, k, _heads(n, n.linear(f"{name}.v", xk, D, D), 0, 2, 1, 3, t=tk)


def _feed_forward(n, name, x, act="gelu", width=32, bias=True):
    return n.linear(f"{name}.down", getattr(n, act)(n.linear(f"{name}.up", x, D, width, bias)), width, D, bias)


def bert():
    """Post-norm encoder with embeddings and an attention mask."""
    n = Net(ids=("i", [1, T]), mask=("i", [1, T]))
    y = n.add("Gather", n.random("embeddings.word", [50, D], 1.0), "ids")
    y = n.add("Add", y, n.random("embeddings.position", [1, T, D], 0.5))
    y = n.layer_norm("embeddings.norm", y, D)
    m = n.add("Cast", n.add("Unsqueeze", "mask", n.ints(1, 2)), to=1)
    m = n.add("Mul", n.add("Sub", n.scalar(1.0), m), n.scalar(-10000.0))
    for i in range(2):
        a = _merge(n, _attend(n, *_qkv(n, f"l{i}", y), bias=m))
        y = n.layer_norm(f"l{i}.norm1", n.add("Add", n.linear(f"l{i}.o", a, D, D), y), D)
        y = n.layer_norm(f"l{i}.norm2", n.add("Add", _feed_forward(n, f"l{i}", y), y), D)
    first = n.add("Gather", y, n.constant("first", 0, np.int64), axis=1)
    return n.model(y, n.gemm("classifier", n.add("Tanh", n.gemm("pooler", first, D, D)), D, 2))


def packed_split():
    """One projection to Q, K and V, split; layer norm written out, before each block."""
    n = Net(x=[1, T, D])
    y = "x"
    for i in range(2):
        qkv = n.linear(f"l{i}.qkv", n.layer_norm(f"l{i}.norm1", y, D, decomposed=True), D, 3 * D)
        q, k, v = n.split(qkv, 2, D, D, D)
        a = _attend(n, _heads(n, q, 0, 2, 1, 3), _heads(n, k, 0, 2, 3, 1), _heads(n, v, 0, 2, 1, 3))
        y = n.add("Add", n.linear(f"l{i}.o", _merge(n, a), D, D), y)
        y = n.add("Add", _feed_forward(n, f"l{i}", n.layer_norm(f"l{i}.norm2", y, D, decomposed=True)), y)
    return n.model(n.layer_norm("norm", y, D, decomposed=True))


def _packed(n, name, x, t=T):
    """A projection to [T, 3, H, W], taken apart by Gather (timm)."""
    qkv = n.transpose(n.reshape(n.linear(f"{name}.qkv", x, D, 3 * D), 1, t, 3, H, W), 2, 0, 3, 1, 4)
    q, k, v = (n.add("Gather", qkv, n.constant(f"index.{i}", i, np.int64), axis=0) for i in range(3))
    return q, n.transpose(k, 0, 1, 3, 2), v


def vision():
    """Patches by a convolution, class token, positions; Q, K and V packed as [3, heads, width]."""
    n = Net(x=[1, 3, 8, 8])
    y = n.conv("patch", "x", 3, D, k=4, stride=4, pad=0, bias=True)
    y = n.transpose(n.reshape(y, 1, D, 4), 0, 2, 1)
    y = n.concat(n.random("cls", [1, 1, D], 0.5), y, axis=1)
    y = n.add("Add", y, n.random("positions", [1, 5, D], 0.5))
    for i in range(2):
        a = _merge(n, _attend(n, *_packed(n, f"l{i}", n.layer_norm(f"l{i}.norm1", y, D), t=5)), t=5)
        y = n.add("Add", y, n.linear(f"l{i}.o", a, D, D))
        y = n.add("Add", y, _feed_forward(n, f"l{i}", n.layer_norm(f"l{i}.norm2", y, D)))
    first = n.add("Gather", n.layer_norm("norm", y, D), n.constant("first", 0, np.int64), axis=1)
    return n.model(n.gemm("head", first, D, 5))


def _rotate(n, x, cos, sin, w):
    """x * cos + rotate_half(x) * sin"""
    a, b = n.slice(x, 3, 0, w // 2), n.slice(x, 3, w // 2, w)
    return n.add("Add", n.add("Mul", x, cos), n.add("Mul", n.concat(n.add("Neg", b), a, axis=-1), sin))


def llama():
    """Grouped-query attention with rotary embedding, RMS norm, gated feed-forward, causal mask."""
    heads, kv, w = 8, 2, 4
    n = Net(ids=("i", [1, T]))
    y = n.add("Gather", n.random("embed", [50, D], 1.0), "ids")
    angle = np.outer(np.arange(T), 100.0 ** (-np.arange(w // 2) / (w // 2)))
    angle = np.concatenate([angle, angle], 1)[None, None]
    cos, sin = n.constant("cos", np.cos(angle), np.float32), n.constant("sin", np.sin(angle), np.float32)
    causal = n.constant("causal", np.triu(np.full((T, T), -1e9), 1)[None, None], np.float32)
    for i in range(2):
        h = n.rms_norm(f"l{i}.norm1", y, D)
        q = _heads(n, n.linear(f"l{i}.q", h, D, heads * w, False), 0, 2, 1, 3, h=heads, w=w)
        k = _heads(n, n.linear(f"l{i}.k", h, D, kv * w, False), 0, 2, 1, 3, h=kv, w=w)
        v = _heads(n, n.linear(f"l{i}.v", h, D, kv * w, False), 0, 2, 1, 3, h=kv, w=w)
        q, k = _rotate(n, q, cos, sin, w), _rotate(n, k, cos, sin, w)
        k, v = (n.reshape(n.add("Expand", n.add("Unsqueeze", z, n.ints(2)), n.ints(1, kv, heads // kv, T, w)),
                          1, heads, T, w) for z in (k, v))
        a = _merge(n, _attend(n, q, n.transpose(k, 0, 1, 3, 2), v, w ** -0.5, causal), d=heads * w)
        y = n.add("Add", y, n.linear(f"l{i}.o", a, heads * w, D, False))
        h = n.rms_norm(f"l{i}.norm2", y, D)
        h = n.add("Mul", n.silu(n.linear(f"l{i}.gate", h, D, 24, False)), n.linear(f"l{i}.up", h, D, 24, False))
        y = n.add("Add", y, n.linear(f"l{i}.down", h, 24, D, False))
    return n.model(n.linear("lm_head", n.rms_norm("norm", y, D), D, 50, False))


def _roll(n, x, shift, size):
    for axis in (1, 2):
        cut = shift % size
        x = n.concat(n.slice(x, axis, cut, size), n.slice(x, axis, 0, cut), axis=axis)
    return x


def swin():
    """Two blocks of windowed attention, the second shifted; position bias gathered from a table; patch merging."""
    size, win, t = 4, 2, 4
    n = Net(x=[1, 3, 8, 8])
    y = n.transpose(n.conv("patch", "x", 3, D, k=2, stride=2, pad=0, bias=True), 0, 2, 3, 1)
    grid = np.stack(np.meshgrid(range(win), range(win), indexing="ij")).reshape(2, -1)
    offset = grid[:, :, None] - grid[:, None, :] + win - 1
    index = n.constant("relative_index", (offset[0] * (2 * win - 1) + offset[1]).reshape(-1), np.int64)
    region = np.zeros((size, size))
    for i, a in enumerate((slice(0, -win), slice(-win, -1), slice(-1, None))):
        for j, b in enumerate((slice(0, -win), slice(-win, -1), slice(-1, None))):
            region[a, b] = 3 * i + j
    region = region.reshape(2, win, 2, win).transpose(0, 2, 1, 3).reshape(4, t)
    mask = np.where(region[:, None] == region[:, :, None], 0.0, -100.0)[None, :, None]
    for i in range(2):
        h = n.layer_norm(f"l{i}.norm1", y, D)
        h = _roll(n, h, 1, size) if i else h
        h = n.reshape(n.transpose(n.reshape(h, 1, 2, win, 2, win, D), 0, 1, 3, 2, 4, 5), 4, t, D)
        qkv = n.transpose(n.reshape(n.linear(f"l{i}.qkv", h, D, 3 * D), 4, t, 3, H, W), 2, 0, 3, 1, 4)
        q, k, v = (n.add("Gather", qkv, n.constant(f"index.{j}", j, np.int64), axis=0) for j in range(3))
        table = n.random(f"l{i}.bias_table", [(2 * win - 1) ** 2, H], 0.5)
        bias = n.reshape(n.transpose(n.reshape(n.add("Gather", table, index), t, t, H), 2, 0, 1), 1, H, t, t)
        s = n.add("Add", n.add("MatMul", n.add("Mul", q, n.scalar(W ** -0.5)), n.transpose(k, 0, 1, 3, 2)), bias)
        if i:
            s = n.add("Add", n.reshape(s, 1, 4, H, t, t), n.constant("shift_mask", mask[:, :, :, :, :], np.float32))
            s = n.reshape(s, 4, H, t, t)
        a = n.reshape(n.transpose(n.add("MatMul", n.add("Softmax", s, axis=-1), v), 0, 2, 1, 3), 4, t, D)
        a = n.linear(f"l{i}.o", a, D, D)
        a = n.reshape(n.transpose(n.reshape(a, 1, 2, 2, win, win, D), 0, 1, 3, 2, 4, 5), 1, size, size, D)
        a = _roll(n, a, -1, size) if i else a
        y = n.add("Add", y, a)
        y = n.add("Add", y, _feed_forward(n, f"l{i}", n.layer_norm(f"l{i}.norm2", y, D)))
    parts = [n.slice(n.slice(y, 1, i, size, 2), 2, j, size, 2) for j in (0, 1) for i in (0, 1)]
    y = n.linear("merge", n.layer_norm("merge.norm", n.concat(*parts, axis=-1), 4 * D), 4 * D, 2 * D, False)
    y = n.add("ReduceMean", n.layer_norm("norm", y, 2 * D), axes=[1, 2], keepdims=0)
    return n.model(n.gemm("head", y, 2 * D, 5))


def t5():
    """Two layers that share one table of relative-position biases; no scaling of scores, no biases."""
    n = Net(ids=("i", [1, T]))
    y = n.add("Gather", n.random("shared", [40, D], 1.0), "ids")
    buckets = np.clip(np.arange(T)[None] - np.arange(T)[:, None], -3, 3) + 3
    bias = n.add("Gather", n.random("relative_attention_bias", [7, H], 0.5), n.constant("buckets", buckets, np.int64))
    bias = n.add("Unsqueeze", n.transpose(bias, 2, 0, 1), n.ints(0))
    for i in range(2):
        h = n.rms_norm(f"l{i}.norm1", y, D)
        q = _heads(n, n.linear(f"l{i}.q", h, D, D, False), 0, 2, 1, 3)
        k = _heads(n, n.linear(f"l{i}.k", h, D, D, False), 0, 2, 3, 1)
        v = _heads(n, n.linear(f"l{i}.v", h, D, D, False), 0, 2, 1, 3)
        a = _merge(n, _attend(n, q, k, v, 1.0, bias))
        y = n.add("Add", y, n.linear(f"l{i}.o", a, D, D, False))
        y = n.add("Add", y, _feed_forward(n, f"l{i}", n.rms_norm(f"l{i}.norm2", y, D), "relu", bias=False))
    return n.model(n.rms_norm("norm", y, D))


def gpt2():
    """Packed projection by Gemm on rows, causal mask by Where, the embedding used again as the last layer."""
    n = Net(ids=("i", [1, T]))
    table = n.random("wte", [40, D], 1.0)
    y = n.add("Add", n.add("Gather", table, "ids"), n.random("wpe", [1, T, D], 0.3))
    causal = n.constant("causal", np.tril(np.ones((1, 1, T, T), bool)))
    def rows(name, x, a, b):
        z = n.add("Gemm", n.reshape(x, -1, a), n.random(f"{name}.weight", [a, b], a ** -0.5),
                  n.random(f"{name}.bias", [b], 0.1))
        return n.reshape(z, 1, T, b)
    for i in range(2):
        q, k, v = n.split(rows(f"h{i}.attn", n.layer_norm(f"h{i}.ln1", y, D), D, 3 * D), 2, D, D, D)
        s = n.add("MatMul", _heads(n, q, 0, 2, 1, 3), _heads(n, k, 0, 2, 3, 1))
        s = n.add("Where", causal, n.add("Div", s, n.scalar(W ** 0.5)), n.scalar(-1e9))
        a = n.add("MatMul", n.add("Softmax", s, axis=-1), _heads(n, v, 0, 2, 1, 3))
        y = n.add("Add", rows(f"h{i}.proj", _merge(n, a), D, D), y)
        h = n.gelu_tanh(rows(f"h{i}.fc", n.layer_norm(f"h{i}.ln2", y, D), D, 32))
        y = n.add("Add", y, rows(f"h{i}.out", h, 32, D))
    return n.model(n.add("MatMul", n.layer_norm("ln_f", y, D), n.transpose(table, 1, 0)))


def decoder():
    """Self-attention and attention to another sequence."""
    n = Net(x=[1, T, D], memory=[1, 9, D])
    y = n.layer_norm("n1", n.add("Add", "x", n.linear("o1", _merge(n, _attend(n, *_qkv(n, "self", "x"))), D, D)), D)
    a = _attend(n, *_qkv(n, "cross", y, "memory", 9))
    y = n.layer_norm("n2", n.add("Add", y, n.linear("o2", _merge(n, a), D, D)), D)
    return n.model(n.layer_norm("n3", n.add("Add", y, _feed_forward(n, "ff", y, "relu")), D))


def multi_query():
    """One head of keys and values for all heads of queries."""
    n = Net(x=[1, T, D])
    q = _heads(n, n.linear("q", "x", D, D), 0, 2, 1, 3)
    k = _heads(n, n.linear("k", "x", D, W), 0, 2, 3, 1, h=1)
    v = _heads(n, n.linear("v", "x", D, W), 0, 2, 1, 3, h=1)
    return n.model(n.linear("o", _merge(n, _attend(n, q, k, v)), D, D))


def heads_in_batch():
    """nn.MultiheadAttention: [T, B * H, W], three-dimensional products."""
    n = Net(x=[T, 1, D])
    qkv = n.linear("in_proj", "x", D, 3 * D)
    qkv = n.add("Squeeze", n.transpose(n.reshape(qkv, T, 1, 1, 3, D), 3, 0, 1, 2, 4), n.ints(3))
    q, k, v = (n.add("Gather", qkv, n.constant(f"index.{i}", i, np.int64), axis=0) for i in range(3))
    q, k, v = (n.transpose(n.reshape(z, T, H, W), 1, 0, 2) for z in (q, k, v))
    s = n.add("MatMul", n.add("Mul", q, n.scalar(W ** -0.5)), n.transpose(k, 0, 2, 1))
    a = n.add("MatMul", n.add("Softmax", s, axis=-1), v)
    a = n.reshape(n.transpose(a, 1, 0, 2), T, D)
    return n.model(n.gemm("out", a, D, D))


def einsum_heads():
    """Projections that have heads as a dimension of the weight."""
    n = Net(x=[1, T, D])
    q, k, v = (n.add("Einsum", "x", n.random(f"{p}.weight", [D, H, W], D ** -0.5), equation="btd,dhw->bthw")
               for p in "qkv")
    s = n.add("Softmax", n.add("Mul", n.add("Einsum", q, k, equation="bqhw,bkhw->bhqk"), n.scalar(0.5)), axis=-1)
    a = n.add("Einsum", s, v, equation="bhqk,bkhw->bqhw")
    return n.model(n.add("Einsum", a, n.random("o.weight", [H, W, D], D ** -0.5), equation="bqhw,hwd->bqd"))


def linear_attention():
    """Softmax over features and over time, products in the other order."""
    n = Net(x=[1, T, D])
    q, k, v = _qkv(n, "a", "x")
    context = n.add("MatMul", n.add("Softmax", k, axis=-1), v)
    y = _merge(n, n.add("MatMul", n.add("Softmax", q, axis=-1), context))
    return n.model(n.linear("o", y, D, D))


def non_local():
    """Attention over the pixels of a feature map, with a narrower width inside."""
    n = Net(x=[1, 3, 6, 6])
    y = n.conv_bn("stem", "x", 3, 12)
    q, k, v = (n.reshape(n.conv(p, y, 12, 6, k=1, bias=True), 1, 6, 36) for p in "qkv")
    s = n.add("Softmax", n.add("MatMul", n.transpose(q, 0, 2, 1), k), axis=-1)
    a = n.reshape(n.transpose(n.add("MatMul", s, n.transpose(v, 0, 2, 1)), 0, 2, 1), 1, 6, 6, 6)
    y = n.add("Add", y, n.conv("out", a, 6, 12, k=1, bias=True))
    return n.model(n.classifier(n.conv_bn("last", y, 12, 12), 12))
