"""Writes a module of layers for a GPU, its inputs and what NumPy makes of them in float64.

layers.py KIND MODULE INPUTS.npz REFERENCE.npz [i8 | bare | gelu]

Each layer is max(x w' + bias + residual, 0) for one mask, shape and number of tokens; bare is x w', gelu is GELU (with tanh)
in place of the maximum. With i8 the reference quantizes tokens and rows of weights as precision=i8 does.
"""
import sys

import numpy as np

# Of each kind: pattern (none: no mask), rows, columns, and tokens.
KINDS = {
    # Rows and columns that divide nothing, several chunks, and more groups of rows than one.
    "csr": [("unstructured", 33, 70, [9, "2x37"]), ("unstructured", 300, 700, [64, 130]), ("all_pruned", 9, 40, [20]),
            ("unstructured_infinite", 40, 96, [33])],
    "csr_few_tokens": [("unstructured", 33, 70, [1, 3, 8, "2x3"]), ("unstructured", 70, 900, [4]),
                       ("all_pruned", 5, 12, [2])],
    # A chunk that takes more than half of the most shared memory, and bundles of rows for 32 warps.
    "csr_many_warps": [("unstructured", 300, 1000, [33])],
    "block": [("block<16, 16>", 40, 70, [5, "2x50"]), ("block<32, 32>", 64, 96, [33]), ("block<4, 1>", 22, 33, [70]),
              ("block<8, 4>", 24, 50, [65]), ("block<64, 32>", 100, 130, [10]), ("all_pruned_block", 32, 32, [4])],
    # More tokens than the kernel for few takes, rows of several groups, columns that end inside of a block, and a row of
    # blocks that two warps share.
    "block_many_tokens": [("uneven_block<16, 16>", 300, 150, [519, "2x270"]), ("block<32, 32>", 64, 264, [530]),
                          ("all_pruned_block", 32, 32, [520])],
    # More chunks than the ring has stages, which a row of blocks fills that two warps or more share, chunks that no row has
    # blocks in, one chunk, and rows that are no multiple of those of a store.
    "block_ring": [("uneven_block<16, 16>", 300, 1096, [519, "2x270"]), ("gap_block<16, 16>", 70, 520, [530]),
                   ("block<16, 16>", 64, 64, [520]), ("all_pruned_block", 32, 32, [520])],
    "matrix": [(None, 33, 70, [17, "2x50"]), (None, 130, 64, [200]), (None, 50, 16, [50])],
    "matrix_few_tokens": [(None, 33, 70, [1, "2x8"]), (None, 40, 256, [4, 16])],
    # Groups of four with two, one or no weight; rows and tokens that divide nothing, and few tokens.
    "two_of_four": [("n_of_m<2, 4>", 37, 72, [5, "2x40"]), ("n_of_m<2, 4>", 150, 200, [9, 70, 130]),
                    ("all_pruned_two_of_four", 20, 24, [3])],
    # As two_of_four, dense.
    "tiles": [(None, 37, 70, [5, "2x40"]), (None, 150, 200, [9, 70, 130])],
    "tiles_warp_groups": [(None, 40, 72, [5, "2x70"]), (None, 150, 200, [130])],
    # Whole tiles of columns: as many as warps, more, and fewer.
    "tiles_few_tokens": [(None, 37, 128, [1, "2x15"]), (None, 64, 1152, [8, 17])],
    "two_of_four_few_tokens": [("n_of_m<2, 4>", 37, 128, [1, "2x15"]), ("n_of_m<2, 4>", 64, 1152, [8, 17])],
    "one_of_two_few_tokens": [("n_of_m<1, 2>", 37, 128, [1, "2x15"]), ("n_of_m<1, 2>", 64, 288, [8, 17])],
    "two_of_four_warp_groups": [("n_of_m<2, 4>", 40, 72, [5, "2x70"]), ("n_of_m<2, 4>", 150, 200, [130])],
    # At most one of two, for tf32.
    "one_of_two": [("n_of_m<1, 2>", 37, 72, [5, "2x40"]), ("n_of_m<1, 2>", 150, 200, [9, 130])],
    "library": [("n_of_m<2, 4>", 32, 64, [8])],
    # Enough tiles for those of 128 x 128.
    "matrix_large": [(None, 1790, 20, [1800])],
}


# Columns of unstructured_infinite that are pruned, and infinite in the activations: each so-manieth.
INFINITE = 3


def quantize(matrix, wide):
    """Whole numbers, 127 for the largest magnitude of a row, and these magnitudes; factors of the type `wide`."""
    largest = np.abs(matrix).max(axis=-1, keepdims=True)
    factor = np.divide(wide(127), largest.astype(wide), where=largest != 0, out=np.zeros(largest.shape, wide))
    return np.rint(matrix.astype(wide) * factor).astype("i8"), largest.astype("f8")


def mask_of(pattern, shape, rng):
    rows, columns = shape
    if pattern.startswith("all_pruned"):
        return np.zeros(shape, bool)
    if pattern.startswith("unstructured"):  # uneven rows, some without a weight
        mask = rng.random(shape) < np.linspace(0, 0.4, rows)[:, None]
        mask[:, ::INFINITE] &= pattern == "unstructured"
        return mask
    if pattern.startswith("n_of_m"):  # groups that keep none to n
        n, m = map(int, pattern[len("n_of_m<"):-1].split(","))
        groups = rng.random((rows, columns // m, m)).argsort(axis=2) < rng.integers(0, n + 1, (rows, columns // m, 1))
        return groups.reshape(shape)
    kind, _, size = pattern.partition("block<")
    r, c = map(int, size[:-1].split(","))
    grid = rng.random((-(-rows // r), -(-columns // c))) < 0.4
    grid[0] = False  # a row of blocks without any
    if kind == "uneven_":
        grid &= rng.random(grid.shape) < 0.3
        grid[1] = True
    if kind == "gap_":  # half of the columns, in the middle
        grid[:, grid.shape[1] // 4:-(grid.shape[1] // 4)] = False
    return np.kron(grid, np.ones((r, c), bool))[:rows, :columns]


RELU = "%u = arith.maximumf %t, %zero : f32"
GELU = """%c0 = arith.constant 0.044715 : f32
    %c1 = arith.constant 0.7978845608 : f32
    %c2 = arith.constant 0.5 : f32
    %c3 = arith.constant 1.0 : f32
    %t2 = arith.mulf %t, %t : f32
    %t3 = arith.mulf %t2, %t : f32
    %v0 = arith.mulf %c0, %t3 : f32
    %v1 = arith.addf %t, %v0 : f32
    %v2 = arith.mulf %c1, %v1 : f32
    %v3 = math.tanh %v2 : f32
    %v4 = arith.addf %v3, %c3 : f32
    %v5 = arith.mulf %t, %v4 : f32
    %u = arith.mulf %c2, %v5 : f32"""


def main(kind, module, inputs, reference, mode=""):
    rng = np.random.default_rng(0)
    activation = GELU if mode == "gelu" else RELU
    arguments, results, body, values, expected, resources = [], [], [], {}, {}, []
    blob = lambda array: '"0x04000000' + array.tobytes().hex() + '"'
    for index, (pattern, rows, columns, tokens_list) in enumerate(KINDS[kind]):
        weight = rng.standard_normal((rows, columns), dtype="f4")
        bias = rng.standard_normal(rows, dtype="f4")
        resources += [f"w{index}: {blob(weight)}", f"b{index}: {blob(bias)}"]
        wt, mt, bt = f"tensor<{rows}x{columns}xf32>", f"tensor<{rows}x{columns}xi1>", f"tensor<{rows}xf32>"
        body += [f"%w{index} = arith.constant dense_resource<w{index}> : {wt}",
                 f"%b{index} = arith.constant dense_resource<b{index}> : {bt}"]
        used = f"%w{index}"
        if pattern:
            mask = mask_of(pattern, weight.shape, rng)
            spelled = {"all_pruned": "unstructured", "unstructured_infinite": "unstructured", "all_pruned_block": "block<16, 16>",
                       "uneven_block<16, 16>": "block<16, 16>", "gap_block<16, 16>": "block<16, 16>",
                       "all_pruned_two_of_four": "n_of_m<2, 4>"}.get(pattern, pattern)
            empty = "" if mask.any() else " allow_empty"
            resources.append(f"m{index}: {blob(mask.astype('u1'))}")
            body += [f"%m{index} = arith.constant dense_resource<m{index}> : {mt}",
                     f"%a{index} = prune.apply %w{index}, %m{index} as(#prune.{spelled}){empty} : {wt}"]
            used, weight = f"%a{index}", weight * mask
        for tokens in tokens_list:
            lead = [int(size) for size in str(tokens).split("x")]
            name = f"{index}_{tokens}"
            x = rng.standard_normal([*lead, columns], dtype="f4")
            values["x" + name] = x
            is_bare = mode == "bare"
            r = rng.standard_normal([*lead, rows], dtype="f4")
            if not is_bare:
                values["r" + name] = r
            if mode == "i8":
                (xq, xs), (wq, ws) = quantize(x, np.float32), quantize(weight, np.float64)
                product = (xq @ wq.T) * (xs * ws.T / 127**2)
            else:
                product = x.astype("f8") @ weight.T.astype("f8")
            if pattern == "unstructured_infinite":  # after the product: NumPy does not skip them
                x[..., ::INFINITE] = np.inf
            total = product if is_bare else product + bias + r
            if mode == "gelu":
                total = 0.5 * total * (1 + np.tanh(0.7978845608 * (total + 0.044715 * total**3)))
            elif not is_bare:
                total = np.maximum(total, 0)
            expected["y" + name] = total.astype("f4")
            dims = [f"d{i}" for i in range(len(lead))]
            maps = [f"affine_map<({', '.join([*dims, 'n', 'k'])}) -> ({', '.join(to)})>"
                    for to in ([*dims, "k"], ["n", "k"], [*dims, "n"])]
            outer = [f"affine_map<({', '.join([*dims, 'n'])}) -> ({', '.join(to)})>" for to in (["n"], [*dims, "n"])]
            xt, yt = (f"tensor<{tokens}x{size}xf32>" for size in (columns, rows))
            arguments.append(f'%x{name}: {xt} {{prune.name = "x{name}"}}')
            if not is_bare:
                arguments.append(f'%r{name}: {yt} {{prune.name = "r{name}"}}')
            results.append((f"%{'p' if is_bare else 'y'}{name}", yt, f'{yt} {{prune.name = "y{name}"}}'))
            body.append(f"""%e{name} = tensor.empty() : {yt}
  %f{name} = linalg.fill ins(%zero : f32) outs(%e{name} : {yt}) -> {yt}
  %p{name} = linalg.contract indexing_maps = [{', '.join(maps)}]
    ins(%x{name}, {used} : {xt}, {wt}) outs(%f{name} : {yt}) -> {yt}""")
            if is_bare:
                continue
            body.append(f"""%y{name} = linalg.generic {{indexing_maps = [{outer[0]}, {outer[1]}, {outer[1]}, {outer[1]}],
      iterator_types = [{', '.join(['"parallel"'] * (len(lead) + 1))}]}}
    ins(%b{index}, %p{name}, %r{name} : {bt}, {yt}, {yt}) outs(%e{name} : {yt}) {{
  ^bb0(%b: f32, %p: f32, %r: f32, %o: f32):
    %s = arith.addf %b, %p : f32
    %t = arith.addf %s, %r : f32
    {activation}
    linalg.yield %u : f32
  }} -> {yt}""")
    newline = "\n  "
    with open(module, "w") as file:
        file.write(f"""func.func @main({', '.join(arguments)})
    -> ({', '.join(result[2] for result in results)}) {{
  %zero = arith.constant 0.0 : f32
  {newline.join(body)}
  return {', '.join(result[0] for result in results)} : {', '.join(result[1] for result in results)}
}}
{{-# dialect_resources: {{ builtin: {{ {', '.join(resources)} }} }} #-}}
""")
    np.savez(inputs, **values)
    np.savez(reference, **expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
