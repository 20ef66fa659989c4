"""The ONNX model of a translated module, and its comparison with the compiled one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from prune import __version__
from prune.errors import PruneError, one_line
from prune.export.builder import Value, dense_tensor, sparse_tensor
from prune.export.source import Mask, Source
from prune.export.translate import Translator
from prune.importer.fold import remove_dead, rename_values

OPSET = 17
IR_VERSION = 9
# Of the largest value of an output, or of 1 where that is less.
TOLERANCE = 1e-5
CASES = 2
# Key of the metadata under which the masks are described.
METADATA = "prune.weights"


def build(source: Source, sparse: bool) -> onnx.ModelProto:
    """The module as ONNX. With `sparse` weights are sparse initializers where that takes fewer bytes."""
    translated = Translator(source)
    graph = helper.make_graph(
        translated.build.nodes, "main", [_info(v) for v in translated.inputs], [],
        [dense_tensor(name, array) for name, array in _in_order(source, translated.build.initializers)])
    names = source.names("res_attrs", len(translated.outputs), "output")
    _name_outputs(graph, translated.outputs, names)
    graph.output.extend(_info(Value(name, v.shape, v.dtype)) for name, v in zip(names, translated.outputs))
    remove_dead(graph)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="prune", producer_version=__version__)
    if source.masks:
        helper.set_model_props(model, {METADATA: json.dumps(describe(source.masks))})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise PruneError(source.place, "onnx.checker", one_line(str(error), 200), "a valid model") from None
    if sparse:
        # The checker above takes no sparse weight where the operator is defined on dense ones; runtimes do.
        _make_sparse(model.graph, translated.build.initializers)
    return model


def describe(masks: dict[str, Mask]) -> dict[str, dict]:
    """For each masked weight what its values do not say: the pattern, and the share that is pruned."""
    return {name: {"pattern": mask.pattern, "sparsity": mask.sparsity} for name, mask in masks.items()}


def _in_order(source: Source, initializers: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Those with names in the order by which import brings them back into the order of the module: last to first."""
    places = {name: -place for place, name in enumerate(source.constants)}
    return sorted(initializers.items(), key=lambda item: places.get(item[0], 1))


def _info(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _name_outputs(graph: onnx.GraphProto, outputs: list[Value], names: list[str]) -> None:
    """Results get their names: the value itself where it can, a copy where it has a name already."""
    made = {o for n in graph.node for o in n.output}
    # A value inside that happens to be called like a result gives way.
    taken = {name: f"{name}/inside" for name in names if name in made and name not in [v.name for v in outputs]}
    renames: dict[str, str] = {}
    for value, name in zip(outputs, names):
        if value.name in made and value.name not in renames:
            renames[value.name] = name
        else:
            graph.node.append(helper.make_node("Identity", [value.name], [name], name=f"{name}/Identity"))
    renames.update(taken)
    rename_values(graph, renames)
    for node in graph.node:
        node.output[:] = [renames.get(o, o) for o in node.output]


def _make_sparse(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> None:
    dense = []
    for tensor in graph.initializer:
        found = sparse_tensor(tensor.name, arrays[tensor.name])
        if found is None:
            dense.append(tensor)
        else:
            graph.sparse_initializer.append(found)
    del graph.initializer[:]
    graph.initializer.extend(dense)


def verify(model: Path, module: Path, timeout: float) -> dict[str, float]:
    """Runs the file in ONNX Runtime and the module as compiled code on the same random inputs; the largest difference
    of each output as a share of its largest value (at least 1). Raises PruneError beyond TOLERANCE."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    from prune.quickstart.peers import Compiled, OnnxRuntime
    try:
        session = OnnxRuntime(model, 1)
        inputs = {v.name: _random(v.shape, v.type) for v in session.session.get_inputs()}
        found = session.outputs(inputs)
    except (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
            state.RuntimeException) as error:
        raise PruneError(str(module), "ONNX Runtime", one_line(str(error), 200), "a model that it runs") from None
    expected = Compiled(module, 1, timeout).outputs(inputs)
    differences = {}
    for name, value in found.items():
        reference = expected[name].astype(np.float64)
        scale = max(1.0, float(np.abs(reference).max(initial=0.0)))
        differences[name] = float(np.abs(value.astype(np.float64) - reference).max(initial=0.0)) / scale
        if not differences[name] <= TOLERANCE:
            raise PruneError(str(module), f"output '{name}' in ONNX Runtime",
                             f"a difference of {differences[name]:.3g}",
                             f"at most {TOLERANCE:g} of the compiled module's largest value")
    return differences


def _random(shape: list[int], kind: str) -> np.ndarray:
    """Inputs for CASES cases, always the same: numbers of a standard normal distribution; integers 0 and 1, which every
    table has."""
    random = np.random.Generator(np.random.Philox(key=[0, 0]))
    if "float" in kind or "double" in kind:
        dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(kind, np.float32)
        return random.standard_normal((CASES, *shape)).astype(dtype)
    return random.integers(0, 2, (CASES, *shape)).astype({"tensor(bool)": np.bool_, "tensor(int32)": np.int32,
                                                          "tensor(int8)": np.int8}.get(kind, np.int64))
