"""Fixes the input shapes of a model and brings it to the operator set the importer knows best."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from prune.errors import PruneError, one_line
from prune.importer.fold import Lightened

# Older models are converted up to this version; newer ones are taken as they are.
OPSET = 17


def inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs a caller has to give: old files list their weights as inputs too."""
    weights = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights]


def describe(value: onnx.ValueInfoProto) -> str:
    """`1xbatchx?`"""
    dims = value.type.tensor_type.shape.dim
    return "x".join(str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in dims)


def fix(model: ModelProto, shapes: dict[str, list[int]], dims: dict[str, int], place: str) -> None:
    """Replaces dynamic sizes of the inputs. Shapes of intermediate values are forgotten: they are inferred again."""
    values = {v.name: v for v in inputs(model)}
    names = {d.dim_param for v in values.values() for d in v.type.tensor_type.shape.dim if d.dim_param}
    for name in shapes.keys() - values.keys():
        raise PruneError(place, "--shape", f"unknown input '{name}'", f"one of {', '.join(sorted(values))}")
    for name in dims.keys() - names:
        raise PruneError(place, "--dim", f"unknown dimension '{name}'",
                         f"one of {', '.join(sorted(names))}" if names else "a model with named dimensions")
    for name, value in values.items():
        shape = value.type.tensor_type.shape
        if name in shapes:
            wanted = shapes[name]
            fits = len(wanted) == len(shape.dim) and all(
                not d.HasField("dim_value") or d.dim_value == w for d, w in zip(shape.dim, wanted))
            if value.type.tensor_type.HasField("shape") and not fits:
                raise PruneError(place, f"--shape of '{name}'", "x".join(map(str, wanted)),
                                 f"something that fits {describe(value)}")
            del shape.dim[:]
            for size in wanted:
                shape.dim.add().dim_value = size
        for dim in shape.dim:
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
    if shapes or dims:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
            # An empty shape field would read as rank 0.


def dynamic_inputs(model: ModelProto) -> list[str]:
    """Inputs that still have an open size, as `name: 1x?`."""
    open_inputs = []
    for value in inputs(model):
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            open_inputs.append(f"{value.name}: no shape")
        elif not all(d.HasField("dim_value") for d in kind.shape.dim):
            open_inputs.append(f"{value.name}: {describe(value)}")
    return open_inputs


def convert_opset(model: ModelProto) -> tuple[ModelProto, str]:
    """The model at opset 17 or newer, and a note when the converter of ONNX cannot do it (the model stays)."""
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            if entry.version >= OPSET:
                return model, ""
            version = entry.version
            break
    else:
        return model, ""
    light = Lightened(model)
    with light:
        try:
            converted = onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter throws C++ exceptions of many kinds
            return model, f"opset {version} kept: {one_line(str(error), 160)}"
    light.restore(converted)
    return converted, ""
