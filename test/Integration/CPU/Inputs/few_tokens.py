"""Writes a module of layers with 1 to 17 tokens, its inputs and what NumPy makes of them.

few_tokens.py MODULE INPUTS.npz REFERENCE.npz
"""
import sys

import numpy as np


def mask_of(pattern, shape, rng):
    rows, columns = shape
    if pattern == "#prune.unstructured":  # uneven rows, some without a weight
        return rng.random(shape) < np.linspace(0, 0.6, rows)[:, None]
    if pattern == "#prune.block<4, 1>":
        return np.repeat(rng.random((rows // 4, columns)) < 0.3, 4, axis=0)
    if pattern == "#prune.n_of_m<2, 4>":
        order = rng.random((rows, columns // 4, 4)).argsort(axis=2)
        return (order < 2).reshape(shape)
    raise ValueError(pattern)


def main(module, inputs, reference):
    rng = np.random.default_rng(0)
    weights = [((33, 70), "#prune.unstructured"), ((24, 300), "#prune.unstructured"), ((36, 70), "#prune.block<4, 1>"),
               ((20, 48), "#prune.n_of_m<2, 4>")]
    arguments, results, body, values, expected, resources = [], [], [], {}, {}, []
    blob = lambda array: '"0x04000000' + array.tobytes().hex() + '"'
    for index, (shape, pattern) in enumerate(weights):
        rows, columns = shape
        weight = rng.standard_normal(shape, dtype="f4")
        mask = mask_of(pattern, shape, rng)
        bias = rng.standard_normal(rows, dtype="f4")
        resources += [f"w{index}: {blob(weight)}", f"m{index}: {blob(mask.astype('u1'))}", f"b{index}: {blob(bias)}"]
        wt, mt, bt = f"tensor<{rows}x{columns}xf32>", f"tensor<{rows}x{columns}xi1>", f"tensor<{rows}xf32>"
        body += [f"%w{index} = arith.constant dense_resource<w{index}> : {wt}",
                 f"%m{index} = arith.constant dense_resource<m{index}> : {mt}",
                 f"%b{index} = arith.constant dense_resource<b{index}> : {bt}",
                 f"%a{index} = prune.apply %w{index}, %m{index} as({pattern}) : {wt}"]
        for tokens in [*range(1, 18), "3x1"] if index == 0 else [1, 3, 7, 8, 16, 17, "2x5"]:
            lead = [int(size) for size in str(tokens).split("x")]
            name = f"{index}_{tokens}"
            x = rng.standard_normal([*lead, columns], dtype="f4")
            values["x" + name] = x
            expected["y" + name] = np.maximum(x.astype("f8") @ (weight * mask).T.astype("f8") + bias, 0).astype("f4")
            dims = [f"d{i}" for i in range(len(lead))]
            maps = [f"affine_map<({', '.join([*dims, 'n', 'k'])}) -> ({', '.join(to)})>"
                    for to in ([*dims, "k"], ["n", "k"], [*dims, "n"])]
            outer = [f"affine_map<({', '.join([*dims, 'n'])}) -> ({', '.join(to)})>" for to in (["n"], [*dims, "n"])]
            xt, yt = (f"tensor<{tokens}x{size}xf32>" for size in (columns, rows))
            arguments.append(f'%x{name}: {xt} {{prune.name = "x{name}"}}')
            results.append((f"%y{name}", yt, f'{yt} {{prune.name = "y{name}"}}'))
            body.append(f"""%e{name} = tensor.empty() : {yt}
  %f{name} = linalg.fill ins(%zero : f32) outs(%e{name} : {yt}) -> {yt}
  %p{name} = linalg.contract indexing_maps = [{', '.join(maps)}]
    ins(%x{name}, %a{index} : {xt}, {wt}) outs(%f{name} : {yt}) -> {yt}
  %y{name} = linalg.generic {{indexing_maps = [{outer[0]}, {outer[1]}, {outer[1]}],
      iterator_types = [{', '.join(['"parallel"'] * (len(lead) + 1))}]}}
    ins(%b{index}, %p{name} : {bt}, {yt}) outs(%e{name} : {yt}) {{
  ^bb0(%b: f32, %p: f32, %o: f32):
    %s = arith.addf %b, %p : f32
    %r = arith.maximumf %s, %zero : f32
    linalg.yield %r : f32
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
