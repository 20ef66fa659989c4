"""Reads an ONNX file and checks what a broken or stripped one gets wrong, before any native code sees the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from prune.errors import PruneError, one_line

# Protocol buffers cannot hold more; larger models keep their weights in external files.
MAX_PROTOBUF = 2**31 - 1


def load(path: Path, place: str) -> ModelProto:
    """The model with all tensor data in memory as raw bytes, or a PruneError."""
    size = path.stat().st_size
    if size == 0:
        raise PruneError(place, "file size", "0 bytes", "an ONNX model")
    if size > MAX_PROTOBUF:
        raise PruneError(place, "file size", f"{size} bytes", f"at most {MAX_PROTOBUF}, with weights as external data")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise PruneError(place, "ONNX protobuf", f"{size} bytes that do not parse",
                         "a complete ONNX file (truncated or not ONNX?)") from None
    if not model.HasField("graph") or not model.graph.node:
        raise PruneError(place, "ONNX graph", "no nodes", "a complete ONNX file (truncated or not ONNX?)")
    if not model.opset_import:
        raise PruneError(place, "ONNX opset", "no opset_import", "a complete ONNX file (truncated or not ONNX?)")
    if not model.graph.output:
        raise PruneError(place, "ONNX graph", "no outputs", "at least one")
    load_external(model, path.parent, place)
    fill_sparse(model.graph, place)
    for tensor in tensors(model.graph):
        check_tensor(tensor, place)
    check_order(model.graph, set(), place)
    return model


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                yield from graphs(inner)


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, also those of inner graphs."""
    for inner in graphs(graph):
        yield from inner.node


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """All constant tensors: initializers and tensor attributes."""
    for inner in graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                yield from attribute.tensors


def fill_sparse(graph: GraphProto, place: str) -> None:
    """Sparse initializers become dense ones: the importer knows no others."""
    for inner in graphs(graph):
        for sparse in inner.sparse_initializer:
            what = f"sparse initializer '{one_line(sparse.values.name, 120)}'"
            check_tensor(sparse.values, place)
            check_tensor(sparse.indices, place)
            values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
            shape = tuple(sparse.dims)
            size = int(np.prod(shape, dtype=np.int64))
            if indices.ndim == 2 and indices.shape[1] == len(shape) and shape and all(
                    ((0 <= column) & (column < s)).all() for column, s in zip(indices.T, shape)):
                indices = np.ravel_multi_index(tuple(indices.T), shape)
            if indices.shape != values.shape or values.ndim != 1 or (indices.size and not (
                    0 <= indices.min() and indices.max() < size)):
                raise PruneError(place, what, f"indices {list(indices.shape)} for values {list(values.shape)}",
                                 f"one place within {list(shape)} for each value")
            dense = np.zeros(size, values.dtype)
            dense[indices] = values
            inner.initializer.append(numpy_helper.from_array(dense.reshape(shape), sparse.values.name))
        del inner.sparse_initializer[:]


def load_external(model: ModelProto, folder: Path, place: str) -> None:
    """Reads weights kept beside the model. Only files below its folder are opened."""
    root = folder.resolve()
    for tensor in tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        name = entry.get("location", "")
        file = (root / name).resolve()
        what = f"external data of '{tensor.name}'"
        if not name or os.path.isabs(name) or root not in file.parents:
            raise PruneError(place, what, f"location '{name}'", "a path below the model's folder")
        if not file.is_file():
            raise PruneError(place, what, f"no file '{name}'", f"the weights beside the model in {folder}")
        expected = byte_size(tensor)
        try:
            offset = int(entry.get("offset", 0))
            length = int(entry.get("length", expected if expected is not None else file.stat().st_size - offset))
        except ValueError:
            raise PruneError(place, what, f"offset {entry.get('offset')}, length {entry.get('length')}",
                             "two numbers") from None
        if offset < 0 or length < 0 or offset + length > file.stat().st_size:
            raise PruneError(place, what, f"bytes {offset} to {offset + length} of '{name}'",
                             f"a range within its {file.stat().st_size} bytes")
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def byte_size(tensor: TensorProto) -> int | None:
    """The size of the tensor's data as raw bytes; None for types without a fixed one."""
    elements = 1
    for dim in tensor.dims:
        elements *= max(0, dim)
    packed = {TensorProto.INT4: 2, TensorProto.UINT4: 2, getattr(TensorProto, "FLOAT4E2M1", -1): 2}
    if tensor.data_type in packed:
        return (elements + 1) // 2
    try:
        return elements * np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, TypeError, ValueError):
        return None


def check_tensor(tensor: TensorProto, place: str) -> None:
    """Data and shape of a constant agree; typed fields become raw bytes, the form the importer can take whole."""
    what = f"initializer '{one_line(tensor.name, 120)}'"
    if tensor.data_type == TensorProto.STRING:
        return
    if any(dim < 0 for dim in tensor.dims):
        raise PruneError(place, what, f"shape {list(tensor.dims)}", "no negative dimension")
    expected = byte_size(tensor)
    if expected is None:
        raise PruneError(place, what, f"element type {tensor.data_type}", "one that ONNX defines")
    if not tensor.HasField("raw_data"):
        stored = max(len(f) for f in (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data,
                                      tensor.uint64_data))
        if stored == 0 and expected > 0:
            raise PruneError(place, what, "no data", f"{expected} bytes for shape {list(tensor.dims)}"
                             " (weights stripped?)")
        try:
            raw = numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)
        except (ValueError, TypeError, OverflowError) as error:
            raise PruneError(place, what, one_line(str(error), 120), f"data for shape {list(tensor.dims)}") from None
        tensor.CopyFrom(raw)
    if len(tensor.raw_data) != expected:
        raise PruneError(place, what, f"{len(tensor.raw_data)} bytes",
                         f"{expected} for shape {list(tensor.dims)} (truncated or stripped?)")


def check_order(graph: GraphProto, outer: set[str], place: str) -> None:
    """Each value is produced once and before its use, each output by some node."""
    known = outer | {""} | {v.name for v in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        what = f"node '{one_line(node.name, 120)}' ({one_line(node.op_type, 60)})"
        for name in node.input:
            if name not in known:
                raise PruneError(place, what, f"input '{one_line(name, 120)}' that nothing before it produces",
                                 "a topologically sorted graph")
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                check_order(inner, known, place)
        known.update(node.output)
    for value in graph.output:
        if value.name not in known:
            raise PruneError(place, "ONNX graph", f"output '{one_line(value.name, 120)}' that no node produces",
                             "a producer")


def checker_message(model: ModelProto) -> str:
    """What onnx.checker has to say against the model, "" for nothing. Not an error in itself: it is strict on matters
    that do not hinder an import."""
    if model.ByteSize() > MAX_PROTOBUF:
        return ""
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # checker.ValidationError, ValueError, and what pybind makes of C++ exceptions
        return one_line(str(error), 200)
    return ""


def unknown_operators(model: ModelProto) -> dict[str, list[str]]:
    """Operators of ONNX's own domains that ONNX does not define at any version: name -> names of the nodes."""
    own = {(f.domain, f.name) for f in model.functions}
    found: dict[str, list[str]] = {}
    for node in nodes(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in own or domain not in ("", "ai.onnx.ml", "ai.onnx.training"):
            continue
        if not onnx.defs.has(node.op_type, domain):
            found.setdefault(one_line(node.op_type, 60), []).append(node.name)
    return found
