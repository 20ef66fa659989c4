"""Gradients of whole models by their weights against jax.grad; skipped where jax is not installed.

The module is evaluated in float64, JAX runs the ONNX graph in float32 on the same weights. The tables of embeddings are
left out: the evaluator copies them for each token.
"""

from __future__ import annotations

import subprocess

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

jax = pytest.importorskip("jax", reason="jax is not installed: gradients of whole models are not compared with it")
pytest.importorskip("iree.compiler")

import jax.numpy as jnp

from conftest import SHARED
from gradients import operators
from prune.bench.jax_step import run_graph
from prune.importer import fold, lower, rewrite, shapes
from interpret import GENERIC, Module, ir, name_of

pytestmark = pytest.mark.shared_models


def load(name: str) -> tuple[onnx.ModelProto, dict]:
    model = onnx.load(SHARED / "models" / f"{name}.onnx")
    inputs = np.load(SHARED / "models" / f"{name}_io.npz")
    return model, {i.name: inputs[next(k for k in inputs.files if k.endswith(i.name))] for i in model.graph.input}


def weights_to_arguments(module, wanted) -> list[str]:
    """Constants with a name in `wanted` become arguments of @main, behind its own; returns their names."""
    main = next(o for o in module.body.operations if o.operation.name == "func.func")
    names = []
    for operation in [o.operation for o in main.operation.regions[0].blocks[0].operations]:
        if operation.name != "arith.constant" or not ir.RankedTensorType.isinstance(operation.results[0].type):
            continue
        name = name_of(operation)
        if name not in wanted:
            continue
        with operation.location:
            argument = main.operation.regions[0].blocks[0].add_argument(operation.results[0].type, operation.location)
        operation.results[0].replace_all_uses_with(argument)
        operation.erase()
        names.append(name)
    with module.context:
        arguments = [a.type for a in main.operation.regions[0].blocks[0].arguments]
        main.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(arguments, main.type.results))
        main.operation.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get({}) for _ in arguments])
    return names


def gradients_of(tools, model, inputs, cotangent, wanted) -> dict[str, np.ndarray]:
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    prepared, _ = shapes.convert_opset(prepared)
    fold.Folder(prepared).run()
    rewrite.rewrite(prepared, "model")
    module = lower.lower(prepared)
    weights = weights_to_arguments(module, wanted)
    result = subprocess.run([tools / "prune-opt", "-", "--prune-expand-gradients", *GENERIC],
                            input=operators.wrap(module), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    constants = {t.name: numpy_helper.to_array(t) for t in prepared.graph.initializer}
    arguments = [np.asarray(v, np.float64) if v.dtype.kind == "f" else v for v in inputs.values()]
    arguments += [constants[n].astype(np.float64) for n in weights]
    found = Module(result.stdout).call("gradient", *arguments, cotangent.astype(np.float64))
    return dict(zip(weights, found[-len(weights):]))


def compare(tools, name, model, inputs, skip=()):
    weights = {t.name: jnp.asarray(numpy_helper.to_array(t)) for t in model.graph.initializer
               if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) and t.name not in skip}
    result = run_graph(model, weights, inputs)
    cotangent = np.random.default_rng(3).uniform(-1, 1, result.shape).astype(np.float32)
    expected = jax.grad(lambda w: jnp.sum(run_graph(model, w, inputs) * cotangent))(weights)
    found = gradients_of(tools, model, inputs, cotangent, weights)
    assert found
    # The gradients of the biases of keys are zero but for rounding, as softmax ignores what all scores share.
    least = 1e-3 * max(np.abs(g).max() for g in found.values())
    errors = {n: np.abs(g - np.asarray(expected[n])).max() / max(np.abs(g).max(), least) for n, g in found.items()}
    worst = max(errors, key=errors.get)
    print(f"{name}: {len(found)} of {len(weights)} weights, largest error {errors[worst]:.1e} in {worst}")
    assert errors[worst] <= 1e-4


@pytest.mark.parametrize("name", ["digits_mlp", "digits_lenet"])
def test_small_nets(tools, name):
    model, inputs = load(name)
    compare(tools, name, model, inputs)


def test_minilm(tools):
    """Two of its six layers."""
    model, inputs = load("minilm")
    norms = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    model = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(
        [i.name for i in model.graph.input], [norms[4].output[0]])
    tables = [t.name for t in model.graph.initializer if len(t.dims) == 2 and "embeddings" in t.name]
    compare(tools, "minilm", model, inputs, tables)
