"""Weights of a compiled model's source, read back: what the masks left, by name.

`prune-opt --prune-fold-masks` writes the zeros into the constants; the text form of the module then holds every large
constant as a named resource in hexadecimal, which is simple to read and the same in every version of MLIR.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import toolchain
from prune.errors import PruneError

_TYPES = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "i1": np.bool_, "i8": np.int8, "i16": np.int16,
          "i32": np.int32, "i64": np.int64}
_KEY = rb'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[A-Za-z_][\w$.]*))'
_USE = re.compile(rb"dense_resource<" + _KEY + rb"> : tensor<(?P<shape>(?:\d+x)*)(?P<type>[a-z]+\d+)>")
_RECORD = re.compile(rb'prune\.record "(?P<weight>[^"]*)"[^\n]* stored "(?P<stored>[^"]*)"')
_ENTRY = re.compile(rb"^\s*" + _KEY + rb': "0x(?P<hex>[0-9A-Fa-f]*)"', re.MULTILINE)


def read_resources(text: bytes) -> dict[str, np.ndarray]:
    """The named resources of a module in text form: name -> array."""
    begin = text.rfind(b"\n{-#")
    if begin < 0:
        return {}
    types = {}
    for use in _USE.finditer(text, 0, begin):
        name = (use["quoted"] or use["bare"]).decode()
        kind = _TYPES.get(use["type"].decode())
        if kind is not None:
            types[name] = (np.dtype(kind), tuple(int(d) for d in use["shape"].split(b"x") if d))
    result = {}
    for entry in _ENTRY.finditer(text, begin):
        name = (entry["quoted"] or entry["bare"]).decode()
        if name in types:
            dtype, shape = types[name]
            # The first four bytes are the alignment.
            data = bytes.fromhex(entry["hex"].decode())[4:]
            if len(data) != dtype.itemsize * int(np.prod(shape)):
                raise PruneError(name, "resource", f"{len(data)} bytes", f"{shape} of {dtype}")
            result[name] = np.frombuffer(data, dtype).reshape(shape)
    return result


def read_records(text: bytes) -> dict[str, str]:
    """Which resource holds a masked weight: name of the weight -> key, from the `prune.record` ops of a module."""
    return {r["weight"].decode(): r["stored"].decode() for r in _RECORD.finditer(text)}


def masked_weights(module: Path, timeout: float = 600.0) -> dict[str, np.ndarray]:
    """The pruned weights of a module (after `prune-opt --prune`), with the masks applied, by name."""
    with tempfile.TemporaryDirectory(prefix="prune-weights-") as scratch:
        folded = Path(scratch) / "folded.mlir"
        toolchain.checked("prune-opt", [module, "--prune-fold-masks", "-o", folded], timeout, str(module),
                          "prune-fold-masks")
        text = folded.read_bytes()
    resources = read_resources(text)
    result = {}
    for name, key in read_records(text).items():
        if key not in resources:
            raise PruneError(str(module), "masked weight", f"no constant '{key}'", f"the one recorded for '{name}'")
        result[name] = resources[key]
    return result


def put_into_onnx(model, weights: Mapping[str, np.ndarray]) -> int:
    """Replaces initializers of the same name by the weights, transposed where the module turned them; returns how many
    had a counterpart."""
    from onnx import numpy_helper
    replaced = 0
    for tensor in model.graph.initializer:
        value = weights.get(tensor.name)
        if value is None:
            continue
        shape = tuple(tensor.dims)
        if value.shape != shape:
            # A unit dimension more or less is a mere view.
            if [d for d in value.shape if d != 1] == [d for d in shape if d != 1]:
                value = value.reshape(shape)
            elif value.ndim == 2 and value.T.shape == shape:
                value = value.T
            else:
                raise PruneError(tensor.name, "weight shape", str(value.shape), str(shape))
        elif value.ndim == 2 and shape[0] == shape[1]:
            value = _oriented(tensor, value)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))
        replaced += 1
    return replaced


def _oriented(tensor, value: np.ndarray) -> np.ndarray:
    """A square matrix in the orientation of the initializer: kept elements are equal to the original's."""
    from onnx import numpy_helper
    original = numpy_helper.to_array(tensor)
    kept = value != 0
    return value if np.array_equal(original[kept], value[kept]) else value.T
