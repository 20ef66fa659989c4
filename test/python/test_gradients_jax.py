"""Gradients of whole models by their weights against jax.grad.

JAX runs the ONNX graph in float32 on the same weights. The module is evaluated in float64, where the tables of embeddings are
left out (the evaluator copies them for each token), and compiled by `prune-train` and run in float32, with the batch norm in
the form that trains.
"""

from __future__ import annotations

import subprocess

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("iree.compiler")

import jax
import jax.numpy as jnp

from conftest import SHARED
from gradients import operators
from interpret import GENERIC, Module, ir, name_of
from prune.bench import jax_step
from prune.digits import nets
from prune.importer import fold, lower, rewrite, shapes
from prune.importer.driver import ImportOptions, import_model
from prune.train.runner import compile_functions


def _batch_norm(node, x, scale, bias, mean, variance):
    """As training has it: by the mean and variance of the batch."""
    shape = (1, -1, 1, 1)
    centred = x - x.mean((0, 2, 3), keepdims=True)
    deviation = jnp.sqrt((centred ** 2).mean((0, 2, 3), keepdims=True) + node["epsilon"])
    return centred / deviation * scale.reshape(shape) + bias.reshape(shape)


OPERATORS = {**jax_step.OPERATORS, "BatchNormalization": _batch_norm}


def run_in_jax(model, weights: dict, inputs: dict):
    return jax_step.run_graph(model, weights, inputs, OPERATORS)


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
    result = run_in_jax(model, weights, inputs)
    cotangent = np.random.default_rng(3).uniform(-1, 1, result.shape).astype(np.float32)
    expected = jax.grad(lambda w: jnp.sum(run_in_jax(model, w, inputs) * cotangent))(weights)
    found = gradients_of(tools, model, inputs, cotangent, weights)
    assert found
    # The gradients of the biases of keys are zero but for rounding, as softmax ignores what all scores share.
    least = 1e-3 * max(np.abs(g).max() for g in found.values())
    errors = {n: np.abs(g - np.asarray(expected[n])).max() / max(np.abs(g).max(), least) for n, g in found.items()}
    worst = max(errors, key=errors.get)
    print(f"{name}: {len(found)} of {len(weights)} weights, largest error {errors[worst]:.1e} in {worst}")
    assert errors[worst] <= 1e-4


@pytest.mark.shared_models
@pytest.mark.parametrize("name", ["digits_mlp", "digits_lenet"])
def test_small_nets(tools, name):
    model, inputs = load(name)
    compare(tools, name, model, inputs)


@pytest.mark.shared_models
def test_minilm(tools):
    """Two of its six layers."""
    model, inputs = load("minilm")
    norms = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    model = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(
        [i.name for i in model.graph.input], [norms[4].output[0]])
    tables = [t.name for t in model.graph.initializer if len(t.dims) == 2 and "embeddings" in t.name]
    compare(tools, "minilm", model, inputs, tables)


def compare_compiled(tools, tmp_path, model, inputs, options=""):
    """The momentum that a first step leaves is the gradient: here of the mean square to random targets."""
    onnx.save(model, tmp_path / "m.onnx")
    import_model(tmp_path / "m.onnx", tmp_path / "m.mlirbc", ImportOptions(keep_batch_norm=True))
    result = subprocess.run([tools / "prune-opt", tmp_path / "m.mlirbc", f"--prune-train=loss=mse optimizer=sgd momentum=0.9 {options}",
                             "--emit-bytecode", "-o", tmp_path / "t.mlirbc"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    program = compile_functions(tmp_path / "t.mlirbc", ["init", "train_step"])
    program.call("init")
    weights = {name.split(":", 1)[1]: value.copy() for name, value in program.values.items() if name[:6] == "param:"}
    shape = next(t.shape for t in program.feeds("train_step") if t.name == "target")
    target = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    loss = float(program.call("train_step", {**inputs, "target": target})["loss"])
    found = {name: program.values[f"state:{name}:momentum"] for name in weights}

    graph = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    arguments = {n: jnp.asarray(graph[n]) for n in weights if n in graph}
    # The compiler turns a matrix to [outputs, inputs].
    turned = {n for n in arguments if graph[n].ndim == 2 and np.array_equal(graph[n].T, weights[n])}

    def jax_loss(values):
        return jnp.mean((run_in_jax(model, values, inputs) - target) ** 2)
    value, expected = jax.value_and_grad(jax_loss)(arguments)
    assert abs(loss - float(value)) <= 1e-5 * abs(loss)
    assert len(arguments) >= len(weights) - 1
    # The gradient of a bias in front of a batch norm, and of those of keys, is zero but for rounding.
    least = 1e-2 * max(np.abs(g).max() for g in found.values())
    errors = {}
    for name, gradient in expected.items():
        gradient = np.asarray(gradient)
        gradient = gradient.T if name in turned else gradient
        scale = max(np.abs(gradient).max(), least)
        errors[name] = float(np.abs(found[name].reshape(gradient.shape) - gradient).max() / scale)
    worst = max(errors, key=errors.get)
    print(f"compiled: {len(errors)} of {len(weights)} weights, largest error {errors[worst]:.1e} in {worst}")
    assert errors[worst] <= 1e-4
    program.close()


@pytest.mark.parametrize("net, options", [("mlp", ""), ("cnn", ""), ("cnn", "recompute=elementwise")])
def test_compiled_digits(tools, tmp_path, net, options):
    x = np.random.default_rng(2).uniform(0, 1, (32, 1, 8, 8)).astype(np.float32)
    compare_compiled(tools, tmp_path, nets.build(net, 32, 1), {"x": x}, options)


def test_compiled_minilm(tools, tmp_path):
    """All six layers and the embedding tables, 4 sentences of 24 tokens with padding."""
    from prune.models import minilm
    from prune.quickstart.job import sentences
    compare_compiled(tools, tmp_path, minilm.build(4, 24), minilm.tokenize(sentences()[:4], 24))
