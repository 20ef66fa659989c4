"""Masks that compiled code decides, byte for byte those that prune-evaluate-masks decides on the same weights."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret
from test_layer_split import ranked
from prune.train.runner import Function, aligned_copy

SHAPES = {"conv": (6, 3, 3, 2), "wide": (12, 37), "tall": (30, 10), "tiny": (3, 4)}
PATTERNS = {"unstructured": "#prune.unstructured", "2:4": "#prune.n_of_m<2, 4>", "3:5": "#prune.n_of_m<3, 5>",
            "4x1": "#prune.block<4, 1>", "2x3": "#prune.block<2, 3>", "slice0": "#prune.slice<dim = 0>",
            "slice1": "#prune.slice<dim = 1, group = 3>"}
SPLITS = ("layer", "global", "l2", "lamp")
SPARSITIES = (0.0, 0.3, 0.5, 0.625, 0.9, 0.999, 1.0)


def draw(kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    weights = {}
    for scale, (name, shape) in enumerate(SHAPES.items(), 1):
        values = (random.standard_normal(shape) * scale).astype(np.float32)
        if kind == "ties":
            values = np.round(values)
        elif kind == "signed zeros":
            values[random.random(shape) < 0.8] = 0.0
            values[random.random(shape) < 0.5] *= np.float32(-1)
        elif kind == "infinities":
            values[random.random(shape) < 0.1] = np.inf
            values[random.random(shape) < 0.1] = -np.inf
            values[random.random(shape) < 0.1] = np.finfo(np.float32).max
        elif kind == "all equal":
            values[...] = -0.25 if name == "wide" else 0.25
        elif kind == "wide range":
            values *= np.exp2(random.integers(-140, 120, shape)).astype(np.float32)
        weights[name] = values
    if kind == "empty weight":
        weights["tall"][...] = 0
    return weights


KINDS = ("plain", "ties", "signed zeros", "infinities", "all equal", "wide range", "empty weight")


def cases():
    """What is decided: label, pattern, norm, how weights share the sparsity, min_keep, the weights of each group."""
    alone, together = [[n] for n in SHAPES], [list(SHAPES)]
    for pattern in PATTERNS:
        for split in SPLITS:
            # The norms differ in units of several elements only.
            norms = ("l1", "l2", "linf") if pattern == "2x3" and split != "l2" else ("l1",)
            for norm in norms:
                yield f"{pattern}.{split}.{norm}", pattern, norm, split, None, alone if split == "layer" else together
    yield "2x3.global.keep", "2x3", "l1", "global", 3, together
    yield "unstructured.lamp.keep", "unstructured", "l1", "lamp", 11, together
    # Minima that exceed what a pattern leaves.
    yield "2:4.layer.keep", "2:4", "l1", "layer", 12, [["wide"], ["tiny"]]


def tensor(name: str, element: str = "f32") -> str:
    return f"tensor<{'x'.join(map(str, SHAPES[name]))}x{element}>"


def select_op(group, text: str, results: list, label: str) -> list[str]:
    """Lines that decide the masks of a group; appends label, value and type of each to `results`."""
    begin = len(results)
    results += [(f"{label}.{n}", f"%m{begin + i}", tensor(n, "i1")) for i, n in enumerate(group)]
    inits = [f"%e{begin + i}" for i in range(len(group))]
    types = ", ".join(tensor(n, "i1") for n in group)
    return [*(f"  {e} = tensor.empty() : {tensor(n, 'i1')}" for e, n in zip(inits, group)),
            f"  {', '.join(r[1] for r in results[begin:])} = prune.select_masks {text} "
            f"ins({', '.join('%' + n for n in group)} : {', '.join(map(tensor, group))}) "
            f"outs({', '.join(inits)} : {types}) -> {types}"]


def function(name: str, body: list[str], results: list) -> str:
    """A function of all weights and the sparsity."""
    arguments = ", ".join(f'%{n}: {tensor(n)} {{prune.name = "{n}"}}' for n in SHAPES)
    named = ", ".join(f'{t} {{prune.name = "{n}"}}' for n, _, t in results)
    return "\n".join([f'func.func @{name}({arguments}, %t: tensor<f64> {{prune.name = "s"}}) -> ({named}) {{',
                      "  %s = tensor.extract %t[] : tensor<f64>", *body,
                      f"  return {', '.join(r[1] for r in results)} : {', '.join(r[2] for r in results)}", "}"])


def selections() -> str:
    """A function with an op for each group of each case."""
    body, results = [], []
    for label, pattern, norm, split, keep, groups in cases():
        for group in groups:
            text = f"by(#prune.magnitude<{norm}>) as({PATTERNS[pattern]}) sparsity(%s)"
            text += f" normalize({split})" if split in ("l2", "lamp") else ""
            text += f" min_keep {[keep] * len(group)}" if keep is not None else ""
            body += select_op(group, text, results, label)
    return function("select", body, results)


def constants(weights) -> tuple[list[str], str]:
    lines = [f"  %{n} = arith.constant dense_resource<{n}> : {tensor(n)}" for n in weights]
    blobs = ",\n".join(f'{n}: "0x04000000{w.tobytes().hex().upper()}"' for n, w in weights.items())
    return lines, "{-# dialect_resources: { builtin: {" + blobs + "} } #-}"


def decided(tools, weights, clauses) -> dict[str, np.ndarray]:
    """Masks that prune-evaluate-masks decides: `clauses` lists label, group, weight and what stands behind it."""
    lines, resources = constants(weights)
    for i, (_, weight, text) in enumerate(clauses):
        lines.append(f"  %m{i} = prune.mask %{weight} {text} : {tensor(weight)}")
    types = ", ".join(tensor(w, "i1") for _, w, _ in clauses)
    source = "\n".join([f"func.func @main() -> ({types}) {{", *lines,
                        f"  return {', '.join(f'%m{i}' for i in range(len(clauses)))} : {types}", "}", resources])
    result = subprocess.run([tools / "prune-opt", "-", "--prune-evaluate-masks=threads=1", "--mlir-print-op-generic"],
                            input=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    module = interpret.Module(result.stdout)
    returned = module.walk("func.return")[0]
    return {label: module.value_of(v) for (label, _, _), v in zip(clauses, returned.operands)}


def expected(tools, weights, sparsity) -> dict[str, np.ndarray]:
    clauses = []
    for label, pattern, norm, split, keep, groups in cases():
        # What a pattern imposes is refused as a target.
        if pattern in ("2:4", "3:5") and sparsity < 0.5:
            continue
        for group in groups:
            text = f"by(#prune.magnitude<{norm}>) as({PATTERNS[pattern]}) sparsity({sparsity:e})"
            text += f" min_keep({keep})" if keep is not None else ""
            text += f' group("{label}")' if split != "layer" else ""
            text += f" normalize({split})" if split in ("l2", "lamp") else ""
            clauses += [(f"{label}.{n}", n, text) for n in group]
    return decided(tools, weights, clauses)


class Compiled:
    """A function of a module, compiled."""

    def __init__(self, tools, folder, source: str, name: str, threads: int = 1):
        (folder / "m.mlir").write_text(source)
        library = folder / f"{name}{threads}.so"
        subprocess.run([tools / "prune-compile", folder / "m.mlir", "-o", library, "--name", name,
                        f"--pipeline-options=entry={name}", f"--threads={threads}"], check=True)
        self.function = Function(name, library)

    def __call__(self, **arguments) -> dict[str, np.ndarray]:
        inputs = [aligned_copy(np.asarray(arguments[t.name], t.dtype)) for t in self.function.inputs]
        outputs = [aligned_copy(np.ones(t.shape, t.dtype)) for t in self.function.outputs]
        self.function.run(self.function.pointers(inputs), self.function.pointers(outputs))
        return {t.name: o for t, o in zip(self.function.outputs, outputs)}


@pytest.fixture(scope="module")
def select(tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("select")
    return [Compiled(tools, folder, selections(), "select", threads) for threads in (1, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_the_compiler(tools, select, kind):
    for seed, sparsity in enumerate(SPARSITIES):
        weights = draw(kind, seed)
        found = select[0](s=sparsity, **weights)
        for label, mask in expected(tools, weights, sparsity).items():
            np.testing.assert_array_equal(found[label], mask, f"{label} at {sparsity}")
        assert all(found[n].tobytes() == m.tobytes() for n, m in select[1](s=sparsity, **weights).items())


def fixed():
    """Masks without a sparsity: label, and what stands behind the weight in prune.mask and prune.select_masks alike."""
    for number, threshold in enumerate(("0.5", "-1.0", "0.0", "1.0e+300", "0x7FF0000000000000", "0.1")):
        for pattern in ("unstructured", "2:4", "2x3"):
            yield f"t{number}.{pattern}", f"by(#prune.magnitude<l1>) as({PATTERNS[pattern]}) threshold({threshold})"
    for pattern in ("2:4", "3:5"):
        yield f"alone.{pattern}", f"by(#prune.magnitude<l1>) as({PATTERNS[pattern]})"


def test_thresholds_and_patterns_alone_are_those_of_the_compiler(tools, tmp_path):
    body, results = [], []
    for label, text in fixed():
        for name in SHAPES:
            body += select_op([name], text, results, label)
    compiled = Compiled(tools, tmp_path, function("fixed", body, results), "fixed")
    for kind in KINDS:
        weights = draw(kind)
        found = compiled(s=0.0, **weights)
        clauses = [(f"{label}.{n}", n, text) for label, text in fixed() for n in SHAPES]
        for label, mask in decided(tools, weights, clauses).items():
            np.testing.assert_array_equal(found[label], mask, f"{label} of {kind}")


def test_common_rankings_match_numpy(select):
    """The same oracle in float64 that layer splits are held to at compile time."""
    for kind in ("plain", "ties", "empty weight"):
        weights = draw(kind, seed=5)
        for sparsity in (0.6, 0.95):
            found = select[0](s=sparsity, **weights)
            for split in ("l2", "lamp"):
                for pattern in ("unstructured", "4x1", "2:4"):
                    for name, mask in ranked(weights, sparsity, pattern, split).items():
                        np.testing.assert_array_equal(found[f"{pattern}.{split}.l1.{name}"], mask, f"{name} {split}")


def test_signed_scores_match_numpy(tools, tmp_path):
    """Scores that compare as numbers, NaN above all of them, and sparsities outside of [0, 1]."""
    body, results = [], []
    for pattern in ("unstructured", "2x3"):
        text = f"by(#prune.movement) as({PATTERNS[pattern]}) sparsity(%s)"
        body += select_op(["wide"], text, results, pattern)
    compiled = Compiled(tools, tmp_path, function("ordered", body, results), "ordered")
    weights = draw("ties")
    weights["wide"][:, 5] = np.copysign(np.float32(0), weights["wide"][:, 5])
    for sparsity, share in ((0.4, 0.4), (0.75, 0.75), (-1.0, 0.0), (np.nan, 0.0), (2.0, 1.0)):
        found = compiled(s=sparsity, **weights)
        scores = weights["wide"].astype(np.float64)
        order = np.argsort(-scores.ravel(), kind="stable")
        kept = np.zeros(scores.size, bool)
        kept[order[:scores.size - int(np.round(share * scores.size))]] = True
        np.testing.assert_array_equal(found["unstructured.wide"].ravel(), kept)
        blocks = np.array([[scores[r:r + 2, c:c + 3].mean() for c in range(0, 37, 3)] for r in range(0, 12, 2)])
        order = np.argsort(-blocks.astype(np.float32).ravel(), kind="stable")
        kept = np.zeros(blocks.size, bool)
        kept[order[:blocks.size - int(np.round(share * blocks.size))]] = True
        whole = np.repeat(np.repeat(kept.reshape(blocks.shape), 2, 0), 3, 1)[:12, :37]
        np.testing.assert_array_equal(found["2x3.wide"], whole)
    weights["wide"][3, 7], weights["wide"][0, 0] = np.nan, -np.nan
    found = compiled(s=(444 - 2) / 444, **weights)
    assert np.argwhere(found["unstructured.wide"]).tolist() == [[0, 0], [3, 7]]


def test_regrown_masks_match_numpy(tools, tmp_path):
    """RigL: the smallest kept are exchanged for the largest gradients; as many units are kept as before."""
    body, results = [], []
    for pattern in ("unstructured", "2x3", "slice1"):
        name = f"%m{len(results)}"
        kind, mask = tensor("wide"), tensor("wide", "i1")
        body += [f"  %e{len(results)} = tensor.empty() : {mask}",
                 f"  {name} = prune.regrow_mask as({PATTERNS[pattern]}) share(%s) ins(%w, %g, %{pattern} : {kind}, "
                 f"{kind}, {mask}) outs(%e{len(results)} : {mask}) -> {mask}"]
        results.append((pattern, name, mask))
    source = function("regrow", body, results)
    arguments = ", ".join(f'%{n}: {t} {{prune.name = "old.{n}"}}' for n, _, t in results)
    begin, end = source.index("("), source.index("%t: tensor<f64>")
    source = (source[:begin + 1] + f'{arguments}, %w: {tensor("wide")} {{prune.name = "w"}}, '
              f'%g: {tensor("wide")} {{prune.name = "g"}}, ' + source[end:])
    source = source.replace("%2x3", "%block").replace("2x3 :", "block :")
    compiled = Compiled(tools, tmp_path, source, "regrow")
    random = np.random.default_rng(3)
    boxes = {"unstructured": (1, 1), "2x3": (2, 3), "slice1": (12, 3)}
    for share in (0.0, 0.3, 0.5, 1.0):
        weight = np.round(random.standard_normal((12, 37)), 1).astype(np.float32)
        gradient = np.round(random.standard_normal((12, 37)), 1).astype(np.float32)
        old, wanted = {}, {}
        for pattern, (rows, columns) in boxes.items():
            def spread(units):
                return np.repeat(np.repeat(units, rows, 0), columns, 1)[:12, :37]

            def score(values):
                return np.array([[np.abs(values[r:r + rows, c:c + columns].astype(np.float64)).mean()
                                  for c in range(0, 37, columns)] for r in range(0, 12, rows)]).astype(np.float32)
            kept = random.random(score(weight).shape) < 0.4
            old[pattern] = spread(kept)
            masked = np.where(old[pattern], weight, 0)
            inside = np.flatnonzero(kept)
            leaves = int(np.round(share * len(inside)))
            order = inside[np.argsort(-score(masked).ravel()[inside], kind="stable")]
            new = np.zeros(kept.size, bool)
            new[order[:len(inside) - leaves]] = True
            outside = np.flatnonzero(~new)
            new[outside[np.argsort(-score(gradient).ravel()[outside], kind="stable")][:leaves]] = True
            assert new.sum() == kept.sum()
            wanted[pattern] = spread(new.reshape(kept.shape))
        found = compiled(s=share, w=weight, g=gradient, **{f"old.{p}": m for p, m in old.items()})
        for pattern, mask in wanted.items():
            np.testing.assert_array_equal(found[pattern], mask, f"{pattern} at {share}")
