"""Training that holds the kept elements only (`sparse=true`): equal to training with masks, and to the module itself
evaluated in float64 by NumPy."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

pytest.importorskip("iree.compiler")

from conftest import Graph
from interpret import GENERIC, Module
from prune.importer.driver import ImportOptions, import_model
from prune.train.runner import compile_functions

STEPS = 5


def mlp(g):
    y = g.add("Relu", g.add("Gemm", "x", g.weight("a.weight", 36, 21), g.weight("a.bias", 36), transB=1))
    return g.add("Gemm", y, g.weight("b.weight", 12, 36), g.weight("b.bias", 12), transB=1)


def deep(g):
    """A layer for each pattern in RECIPE."""
    y, width = "x", 20
    for layer in ("unstructured", "blocks", "two", "dense", "last"):
        y = g.add("Gemm", y, g.weight(f"{layer}.weight", 28, width), g.weight(f"{layer}.bias", 28), transB=1)
        y, width = g.add("Tanh", y), 28
    return y


def cnn(g):
    y = g.add("Relu", g.add("Conv", "x", g.weight("conv.weight", 8, 3, 3, 3), g.weight("conv.bias", 8), pads=[1, 1, 1, 1]))
    y = g.add("Conv", y, g.weight("one.weight", 8, 8, 1, 1), g.weight("one.bias", 8))
    y = g.add("Flatten", g.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    return g.add("Gemm", y, g.weight("fc.weight", 10, 72), g.weight("fc.bias", 10), transB=1)


def attention(g):
    """4 sequences of 33 tokens of 16 numbers, which no panel divides."""
    q, k, v = (g.add("MatMul", "x", g.weight(f"{n}.weight", 16, 16)) for n in "qkv")
    scores = g.add("Softmax", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
    y = g.add("MatMul", g.add("MatMul", scores, v), g.weight("out.weight", 16, 16))
    return g.add("Gemm", g.add("Flatten", y), g.weight("fc.weight", 5, 528), g.weight("fc.bias", 5), transB=1)


NETS = {"mlp": (mlp, [64, 21]), "deep": (deep, [40, 20]), "cnn": (cnn, [16, 3, 6, 6]), "attention": (attention, [4, 33, 16])}
RECIPE = """layers:
  - match: unstructured
    sparsity: 0.9
  - match: blocks
    pattern: 4x1
    sparsity: 0.8
  - match: two
    pattern: "2:4"
  - match: dense
    sparsity: 0.2
  - match: .
    sparsity: 0.95
"""
CASES = {
    "patterns": ("deep", "recipe=recipe.yaml"),
    "nothing_kept": ("mlp", "sparsity=1 include=b.weight"),
    "convolutions": ("cnn", "sparsity=0.85"),
    "attention": ("attention", "sparsity=0.9"),
}


def run(*command, text: str | None = None) -> str:
    result = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The module of each net, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("imported")

    def get(net: str):
        target = folder / f"{net}.mlirbc"
        if not target.exists():
            function, shape = NETS[net]
            g = Graph(seed=7, x=shape)
            g.save(folder / f"{net}.onnx", function(g))
            import_model(folder / f"{net}.onnx", target, ImportOptions())
        return target
    return get


@pytest.fixture
def build(tools, tmp_path, imported):
    """Writes the training modules of a net, with masks and with kept elements only; returns a batch."""
    def make(net: str, masks: str, load: dict | None = None):
        shape = NETS[net][1]
        loading = []
        if load is not None:
            np.savez(tmp_path / "load.npz", **load)
            loading = [f"--prune-load-weights=file={tmp_path}/load.npz"]
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        masks = masks.replace("recipe=", f"recipe={tmp_path}/")
        run(tools / "prune-opt", imported(net), f"--prune-create-masks={masks}", "--prune-evaluate-masks", *loading,
            "--emit-bytecode", "-o", tmp_path / "pruned.mlirbc")
        for name, option in (("masked", ""), ("sparse", "sparse=true")):
            run(tools / "prune-opt", tmp_path / "pruned.mlirbc", f"--prune-train=optimizer=adam lr=0.01 clip-norm=1 {option}",
                "-o", tmp_path / f"{name}.mlir")
        generator = np.random.default_rng(3)
        return {"x": generator.standard_normal(shape).astype(np.float32),
                "labels": generator.integers(0, 5, shape[0])}
    return make


def train(module, batch, threads=1) -> tuple[dict[str, np.ndarray], list[float]]:
    """Dense parameters and states after some steps, with the losses on the way."""
    program = compile_functions(module, ["init", "train_step"], threads)
    try:
        program.call("init")
        losses = [float(program.call("train_step", batch)["loss"]) for _ in range(STEPS)]
        values = {n: v.copy() for n, v in program.values.items()}
        for name, mask in program.fixed_masks.items():
            weight = name.removeprefix("mask:")
            for kept in [n for n in values if n.split(":")[1:2] == [weight]]:
                dense = np.zeros(mask.shape, np.float32)
                dense[mask] = values[kept]
                values[kept] = dense
            values[name] = mask.copy()
        return values, losses
    finally:
        program.close()


def compare(masked, sparse):
    assert masked[0].keys() == sparse[0].keys()
    np.testing.assert_allclose(sparse[1], masked[1], rtol=1e-5)
    for name, value in masked[0].items():
        assert np.array_equal(value, sparse[0][name]) if value.dtype.kind != "f" else \
            np.abs(value - sparse[0][name]).max(initial=0) <= 1e-5, name
    assert masked[1][-1] < masked[1][0]


@pytest.mark.parametrize("case", CASES)
def test_kept_elements_train_as_masked_ones(build, tmp_path, case):
    batch = build(*CASES[case])
    compare(train(tmp_path / "masked.mlir", batch), train(tmp_path / "sparse.mlir", batch))


def test_uneven_rows(build, tmp_path, tools):
    """Empty rows, a whole block of them, one full row, and an odd number of kept elements; with two threads to the bit."""
    a = np.random.default_rng(0).random((36, 21)) < 0.1
    a[8:16] = a[3] = False
    a[17] = True
    a[35, 20] = a.sum() % 2 == 0
    b = np.zeros((12, 36), bool)
    b[11, 35] = True
    assert a.sum() % 2 == 1
    batch = build("mlp", "sparsity=0.5", {"mask:a.weight": a, "mask:b.weight": b})
    one, two = train(tmp_path / "sparse.mlir", batch), train(tmp_path / "sparse.mlir", batch, threads=2)
    compare(train(tmp_path / "masked.mlir", batch), one)
    assert all(one[0][n].tobytes() == two[0][n].tobytes() for n in one[0]) and one[1] == two[1]


def test_the_step_is_what_the_module_says(build, tmp_path, tools):
    """One compiled step against the module's own ops, in float64."""
    batch = build("mlp", "sparsity=0.9")
    module = Module(run(tools / "prune-opt", tmp_path / "sparse.mlir", *GENERIC))
    program = compile_functions(tmp_path / "sparse.mlir", ["init", "train_step"])
    try:
        program.call("init")
        function = program.functions["train_step"]
        arguments = [{**program.values, **batch}[t.name].copy() for t in function.inputs]
        figures = {n: v.copy() for n, v in program.call("train_step", batch).items()}
        expected = module.call("train_step", *(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arguments))
        assert any(t.name == "param:a.weight" and t.shape == (76,) for t in function.inputs)
        for tensor, value in zip(function.outputs, expected):
            found = {**program.values, **figures}[tensor.name]
            assert np.abs(found - value).max(initial=0) <= 1e-5, tensor.name
    finally:
        program.close()


def test_the_command_writes_whole_weights(build, tmp_path, tools, run_cli):
    """What `prune train` writes goes back into the model, zeros and masks with it."""
    batch = build("mlp", "sparsity=0.9")
    np.savez(tmp_path / "x.npz", **batch)
    result = run_cli("train", tmp_path / "sparse.mlir", f"--data={tmp_path}/x.npz", "--epochs=3", "-o", tmp_path / "t.npz",
                     f"--checkpoint={tmp_path}/c.npz")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "t.npz") as trained, np.load(tmp_path / "c.npz") as kept:
        mask, weight = trained["mask:a.weight"], trained["param:a.weight"]
        assert mask.shape == weight.shape == (36, 21) and mask.sum() == 76
        assert not weight[~mask].any() and np.array_equal(weight[mask], kept["param:a.weight"])
    loaded = run(tools / "prune-opt", tmp_path / "pruned.mlirbc", f"--prune-load-weights=file={tmp_path}/t.npz",
                 "--prune-verify-masks", *GENERIC)
    found = Module(loaded).constants()
    assert np.array_equal(found["a.weight"][0], weight)
