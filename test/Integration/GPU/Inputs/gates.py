"""Writes a module of dynamic masks, or of products behind gates, its inputs and what NumPy makes of them.

gates.py masks|products|products_f16|products_bf16 MODULE INPUTS.npz REFERENCE.npz
"""
import sys

import numpy as np

NAN, INF = float("nan"), float("inf")
# Shape, element type, and the mask's settings.
MASKS = [
    ((3, 40), "f32", dict(along=1, threshold=0.5)),
    ((3, 40), "f32", dict(along=1, threshold=0.0)),
    ((3, 40), "f32", dict(along=1, threshold=1e30)),
    ((3, 40), "f32", dict(along=1, signed=True, threshold=-0.25)),
    ((2, 6, 4, 5), "f32", dict(along=1, whole=(2, 3), threshold=0.75)),
    # Up to 64 units are compared with each other.
    ((3, 40), "f32", dict(along=1, keep=7)),
    ((3, 40), "f32", dict(along=1, keep=2, of=4)),
    ((40, 3), "f32", dict(along=0, keep=3, of=5)),
    ((2, 5, 24), "f32", dict(along=2, unit=4, whole=(1,), keep=3)),
    # More of them have a kernel: rows shorter and longer than a block, not last, in groups, too long for shared memory.
    ((90,), "f32", dict(along=0, keep=20)),
    ((2, 3, 100), "f32", dict(along=2, keep=33)),
    ((2, 300), "f32", dict(along=1, keep=1)),
    ((2, 300), "f32", dict(along=1, signed=True, keep=299)),
    ((300, 2), "f32", dict(along=0, keep=150)),
    ((2, 260), "f32", dict(along=1, keep=17, of=130)),
    ((2, 400), "f32", dict(along=1, unit=2, keep=70)),
    ((1, 12000), "f32", dict(along=1, keep=5000)),
    ((3, 600), "f16", dict(along=1, keep=77)),
    ((3, 600), "f64", dict(along=1, keep=77)),
]
# Tokens, rows, columns, what the input is like, and the settings of the gate; none: a ReLU.
PRODUCTS = [
    ("1", 70, 200, "random", dict(threshold=0.7)),
    ("1", 40, 5000, "random", dict(keep=500)),  # several chunks of several lists
    ("3", 33, 128, "random", dict(keep=2, of=4)),
    ("16", 130, 301, "random", dict(threshold=1.5)),
    ("2x3", 50, 90, "random", dict(threshold=1e30)),  # nothing is kept
    ("1", 33, 2500, "no zeros", dict(threshold=0.0)),  # everything is kept
    ("3", 20, 100, "not finite", dict(keep=30)),  # the third token is
    ("1", 64, 96, "random", None),
]


def adversarial(shape):
    """Random numbers, ties, zeros of both signs, NaN and infinities."""
    # Multiples of a quarter, whose sums are exact in any order.
    x = np.round(4 * np.random.default_rng(0).standard_normal(shape)).ravel() / 4
    x[::7], x[3::11], x[5::13] = 0.0, -0.0, 0.5
    x[2], x[-3], x[9], x[-1] = NAN, -NAN, INF, -INF
    return x.reshape(shape)


def mask_of(x, along, unit=1, whole=(), signed=False, threshold=None, keep=None, of=None):
    """What the settings keep of x, by sorting."""
    scores = (x if signed else np.abs(x)).astype("f8")
    split = scores.reshape([*x.shape[:along], -1, unit, *x.shape[along + 1:]])
    means = split.mean(axis=(along + 1, *(d + (d > along) for d in whole)), keepdims=True)
    if keep is None:
        kept = ~(means <= threshold)
    else:
        rows = np.moveaxis(means, along, -1)
        groups = rows.reshape(-1, of or rows.shape[-1])
        # Lexsort is stable: of equal scores the lower index comes first.
        best = np.array([np.lexsort((-np.nan_to_num(g, nan=0, posinf=INF, neginf=-INF), ~np.isnan(g))) for g in groups])
        flat = np.zeros(groups.shape, bool)
        np.put_along_axis(flat, best[:, :keep], True, axis=1)
        kept = np.moveaxis(flat.reshape(rows.shape), -1, along)
    return np.broadcast_to(kept, split.shape).reshape(x.shape)


def spell(along, unit=1, whole=(), signed=False, threshold=None, keep=None, of=None):
    parts = [f"along {along}", f"unit({unit})" if unit > 1 else "", f"whole {list(whole)}" if whole else "",
             "signed" if signed else "", f"threshold({threshold:.8e})" if threshold is not None else "",
             f"keep({keep})" if keep else "", f"of({of})" if of else ""]
    return " ".join(part for part in parts if part)


class Module:
    def __init__(self):
        self.arguments, self.results, self.body, self.resources = [], [], [], []
        self.values, self.expected = {}, {}

    def argument(self, name, kind, value):
        self.arguments.append(f'%{name}: {kind} {{prune.name = "{name}"}}')
        self.values[name] = value

    def result(self, name, kind, value):
        self.results.append((f"%{name}", kind, f'{kind} {{prune.name = "{name}"}}'))
        self.expected[name] = value

    def constant(self, name, kind, value):
        self.resources.append(f'{name}: "0x04000000{value.tobytes().hex()}"')
        self.body.append(f"%{name} = arith.constant dense_resource<{name}> : {kind}")

    def write(self, module, inputs, reference):
        newline = "\n  "
        resources = f"{{-# dialect_resources: {{ builtin: {{ {', '.join(self.resources)} }} }} #-}}"
        with open(module, "w") as file:
            file.write(f"""func.func @main({', '.join(self.arguments)}) -> ({', '.join(r[2] for r in self.results)}) {{
  %zero = arith.constant 0.0 : f32
  {newline.join(self.body)}
  return {', '.join(r[0] for r in self.results)} : {', '.join(r[1] for r in self.results)}
}}
{resources if self.resources else ""}
""")
        np.savez(inputs, **self.values)
        np.savez(reference, **self.expected)


def add_masks(module):
    for index, (shape, element, settings) in enumerate(MASKS):
        x = adversarial(shape).astype({"f16": "f2", "f32": "f4", "f64": "f8"}[element])
        size = "x".join(map(str, shape))
        kind, kept = f"tensor<{size}x{element}>", mask_of(x, **settings)
        module.argument(f"x{index}", kind, x)
        module.body += [f"%m{index} = prune.dynamic_mask %x{index} {spell(**settings)} : {kind}",
                        f"%y{index} = prune.gate %x{index}, %m{index} : {kind}"]
        module.result(f"m{index}", f"tensor<{size}xi1>", kept)
        module.result(f"y{index}", kind, np.where(kept, x, x.dtype.type(0)))


def rounded(weight, stored):
    """The weight as it is stored, to the nearest number of f32, f16 or bf16, halves to even."""
    if stored == "bf16":
        bits = weight.view("u4")
        return (bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000).astype("u4").view("f4").astype("f8")
    return weight.astype({"f16": "f2", "f32": "f4"}[stored]).astype("f8")


def add_products(module, stored):
    rng = np.random.default_rng(1)
    for index, (tokens, rows, columns, content, gate) in enumerate(PRODUCTS):
        lead = [int(size) for size in tokens.split("x")]
        weight, bias = rng.standard_normal((rows, columns), dtype="f4"), rng.standard_normal(rows, dtype="f4")
        x, r = rng.standard_normal([*lead, columns], dtype="f4"), rng.standard_normal([*lead, rows], dtype="f4")
        if content == "no zeros":
            x += np.where(x == 0, 1, 0)
        elif content == "not finite":
            x[0, 7], x[1, 11] = NAN, -INF
        xt, yt, wt, bt = (f"tensor<{size}xf32>" for size in (f"{tokens}x{columns}", f"{tokens}x{rows}",
                                                             f"{rows}x{columns}", rows))
        for name, kind, value in ((f"x{index}", xt, x), (f"r{index}", yt, r)):
            module.argument(name, kind, value)
        module.constant(f"w{index}", wt, weight)
        module.constant(f"b{index}", bt, bias)
        dims = [f"d{i}" for i in range(len(lead))]
        map_of = lambda loops, to: f"affine_map<({', '.join(loops)}) -> ({', '.join(to)})>"
        loops = lambda count: "iterator_types = [" + ", ".join(['"parallel"'] * count) + "]"
        if gate:
            settings = dict(along=len(lead), **gate)
            module.body += [f"%m{index} = prune.dynamic_mask %x{index} {spell(**settings)} : {xt}",
                            f"%g{index} = prune.gate %x{index}, %m{index} : {xt}"]
            gated = np.where(mask_of(x, **settings), x, 0)
        else:
            both = [*dims, "k"]
            module.body.append(f"""%h{index} = tensor.empty() : {xt}
  %g{index} = linalg.generic {{indexing_maps = [{map_of(both, both)}, {map_of(both, both)}], {loops(len(both))}}}
    ins(%x{index} : {xt}) outs(%h{index} : {xt}) {{
  ^bb0(%in: f32, %out: f32):
    %max = arith.maximumf %in, %zero : f32
    linalg.yield %max : f32
  }} -> {xt}""")
            gated = np.maximum(x, 0)
        product, outer = [*dims, "n", "k"], [*dims, "n"]
        maps = [map_of(product, to) for to in ([*dims, "k"], ["n", "k"], outer)]
        one = map_of(outer, outer)
        module.body.append(f"""%e{index} = tensor.empty() : {yt}
  %f{index} = linalg.fill ins(%zero : f32) outs(%e{index} : {yt}) -> {yt}
  %p{index} = linalg.contract indexing_maps = [{', '.join(maps)}]
    ins(%g{index}, %w{index} : {xt}, {wt}) outs(%f{index} : {yt}) -> {yt}
  %y{index} = linalg.generic {{indexing_maps = [{map_of(outer, 'n')}, {one}, {one}, {one}], {loops(len(outer))}}}
    ins(%b{index}, %p{index}, %r{index} : {bt}, {yt}, {yt}) outs(%e{index} : {yt}) {{
  ^bb0(%b: f32, %p: f32, %r: f32, %o: f32):
    %s = arith.addf %b, %p : f32
    %t = arith.addf %s, %r : f32
    linalg.yield %t : f32
  }} -> {yt}""")
        exact = rounded(weight, stored)
        module.result(f"y{index}", yt, (gated.astype("f8") @ exact.T + bias + r).astype("f4"))


if __name__ == "__main__":
    module = Module()
    if sys.argv[1] == "masks":
        add_masks(module)
    else:
        add_products(module, sys.argv[1].partition("_")[2] or "f32")
    module.write(*sys.argv[2:])
