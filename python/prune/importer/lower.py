"""From a prepared ONNX model to linalg on tensors, with the Python API of the iree-base-compiler wheel."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field

import onnx
from iree.compiler.extras import onnx_importer
from iree.compiler.ir import (ArrayAttr, Context, DictAttr, Location, MLIRError, Module, RankedTensorType, StringAttr,
                              WalkResult)
from iree.compiler.passmanager import PassManager
from onnx import ModelProto, NodeProto, helper

from prune.errors import one_line

_PIPELINE = ("builtin.module(torch-onnx-to-torch-backend-pipeline,"
             "torch-backend-to-linalg-on-tensors-backend-pipeline)")
# Dialects of the result that upstream MLIR has and the compiler lowers.
_KNOWN = {"builtin", "func", "arith", "math", "linalg", "tensor", "scf", "cf", "affine", "complex", "ml_program"}
# Operators that ONNX defines by a function of others and the pipeline cannot take whole.
_EXPANDED = {"MeanVarianceNormalization", "Softsign", "Swish", "RMSNormalization", "Attention", "RotaryEmbedding",
             "LpNormalization", "Shrink"}
_NODE = re.compile(r'onnx\.(\w+)')
_LOCATION = re.compile(r'"([^"]*)"')


class _Names(onnx_importer.ContextCache):
    """Keeps names as they are: MLIR quotes resource keys that are no identifiers."""

    def _sanitize_name(self, name: str) -> str:
        return name or "constant"


@dataclass
class Failure(Exception):
    """The pipeline stopped: its first diagnostic, and the node it points to."""

    message: str
    location: str = ""
    operator: str = ""
    dialects: list[str] = field(default_factory=list)


def lower(model: ModelProto) -> Module:
    """Entry function `main`, `prune.name` on arguments and results, constants under their initializers' names."""
    context = Context()
    # prune.name belongs to a dialect this wheel does not have.
    context.allow_unregistered_dialects = True
    info = onnx_importer.ModelInfo(model, config=onnx_importer.Config(
        function_expansion_allowlists_by_domain={"": _EXPANDED}))
    info.main_graph.graph_proto.name = "main"
    module = info.create_module(context=context)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importer = onnx_importer.NodeImporter.define_function(info.main_graph, module.operation,
                                                                  context_cache=_Names(context))
            importer.import_all()
    except (onnx_importer.OnnxImportError, AssertionError, KeyError, ValueError) as error:
        raise Failure(one_line(str(error), 300)) from None
    with context:
        function = module.body.operations[0]
        function.arg_attrs = _names(info.main_graph.input_map)
        try:
            PassManager.parse(_PIPELINE).run(module.operation)
        except MLIRError as error:
            raise _failure(error) from None
        for operation in module.body.operations:
            if operation.operation.name == "func.func" and operation.name.value == "main":
                operation.result_attrs = _names(info.main_graph.output_map)
        _name_folded_weights(module, model)
        foreign = _foreign(module)
    if foreign:
        name, location = next(iter(foreign.items()))
        raise Failure(f"'{name}' has no lowering", location, dialects=sorted(foreign))
    return module


def _names(values) -> ArrayAttr:
    return ArrayAttr.get([DictAttr.get({"prune.name": StringAttr.get(name)}) for name in values])


def _name_folded_weights(module: Module, model: ModelProto) -> None:
    """A weight that the pipeline itself reshaped (depthwise filters lose a unit dimension) carries the location of its
    layer: it gets its own name back."""
    constants = {t.name for t in model.graph.initializer}
    weights = {node.name: node.input[1] for node in model.graph.node
               if node.name and len(node.input) > 1 and node.input[1] in constants}

    def visit(operation):
        if operation.name == "arith.constant" and operation.location.is_a_name():
            layer = operation.location.name_str
            if layer in weights and RankedTensorType.isinstance(operation.results[0].type):
                if RankedTensorType(operation.results[0].type).rank > 1:
                    operation.location = Location.name(weights[layer])
        return WalkResult.ADVANCE

    module.operation.walk(visit)


def _failure(error: MLIRError) -> Failure:
    for diagnostic in error.error_diagnostics:
        text = " ".join([diagnostic.message, *(n.message for n in diagnostic.notes)])
        operator = _NODE.search(text)
        location = _LOCATION.search(str(diagnostic.location))
        return Failure(one_line(diagnostic.message, 300), location.group(1) if location else "",
                       operator.group(1) if operator else "")
    return Failure(one_line(str(error), 300))


def _foreign(module: Module) -> dict[str, str]:
    """Operations of dialects that only the wheel knows: name -> first location."""
    found: dict[str, str] = {}

    def visit(operation):
        name = operation.name
        if name.split(".")[0] not in _KNOWN and name not in found:
            location = _LOCATION.search(str(operation.location))
            found[name] = location.group(1) if location else ""
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def unsupported_operators(model: ModelProto) -> dict[str, list[str]]:
    """Every operator that does not get through the pipeline on its own: operator -> names of its nodes.

    Called when a whole model failed, because the pipeline stops at the first. One node is tried for each operator and
    set of attributes.
    """
    types = {v.name: v.type for v in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    constants = {t.name: t for t in model.graph.initializer}
    verdicts: dict[tuple, bool] = {}
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            continue
        key = (node.domain, node.op_type, len(node.input), tuple(sorted(a.name for a in node.attribute)))
        if key not in verdicts:
            verdicts[key] = _alone(node, types, constants, model)
        if not verdicts[key]:
            found.setdefault(node.op_type, []).append(node.name)
    return found


def _alone(node: NodeProto, types: dict, constants: dict, model: ModelProto) -> bool:
    """Whether the node gets through as a model of its own; True as well if its types are not known."""
    names = [n for n in dict.fromkeys(node.input) if n]
    if any(n not in types for n in (*node.output, *names) if n and n not in constants):
        return True
    copy = NodeProto()
    copy.CopyFrom(node)
    trial = helper.make_model(
        helper.make_graph(
            [copy], "main", [onnx.ValueInfoProto(name=n, type=types[n]) for n in names if n not in constants],
            [onnx.ValueInfoProto(name=n, type=types[n]) for n in node.output if n],
            [constants[n] for n in names if n in constants]),
        opset_imports=model.opset_import, functions=model.functions)
    try:
        lower(trial)
    except Failure:
        return False
    return True


def without_shape(model: ModelProto) -> str:
    """The first value whose rank shape inference could not tell, with its node; "" if there is none."""
    known = {v.name for v in (*model.graph.value_info, *model.graph.output, *model.graph.input)
             if v.type.HasField("tensor_type") and v.type.tensor_type.HasField("shape")}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                return f"'{one_line(name, 80)}' of node '{one_line(node.name, 80)}' ({node.op_type})"
    return ""
