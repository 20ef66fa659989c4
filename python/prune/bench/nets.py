"""Networks that the user has as ONNX files: dense, and with most weights of 1x1, 3x3 and linear layers pruned."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

import numpy as np

from prune import toolchain
from prune.bench import compare, ours
from prune.console import Steps
from prune.errors import PruneError, one_line
from prune.importer import names


@dataclass
class Settings(compare.Settings):
    """What to run and how; `named` are files whose failure is an error, `found` those of a folder."""

    named: Sequence[Path] = ()
    found: Sequence[Path] = ()
    shapes: dict[str, list[int]] = field(default_factory=dict)
    dims: dict[str, int] = field(default_factory=dict)


def load(path: Path):
    """An ONNX model; float weights without data, as graphs are passed on without them, get random numbers."""
    import onnx
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx have no common class of errors
        raise PruneError(str(path), "ONNX file", one_line(str(error), 200), "a readable one") from None
    fill(model)
    rename(model)
    return model


def rename(model) -> None:
    """Gives initializers the readable names that the importer gives them, so that masks find their weights again."""
    new = names.recover(model)
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        return
    for tensor in model.graph.initializer:
        tensor.name = new[tensor.name]
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
    for value in model.graph.input:
        value.name = new.get(value.name, value.name)


def fill(model) -> int:
    """Random numbers for float tensors without data, such that values neither die nor grow; returns how many."""
    from onnx import TensorProto, numpy_helper
    users = {}
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            users.setdefault(name, (node.op_type, slot))
    filled = 0
    for tensor in model.graph.initializer:
        empty = not (tensor.raw_data or tensor.float_data or tensor.external_data)
        shape = tuple(tensor.dims)
        if tensor.data_type != TensorProto.FLOAT or not empty or not shape or 0 in shape:
            continue
        random = np.random.default_rng(zlib.crc32(tensor.name.encode()))
        op, slot = users.get(tensor.name, ("", 0))
        if op == "BatchNormalization":
            value = random.uniform(0.6, 1.4, shape) if slot in (1, 4) else random.normal(0, 0.1, shape)
        elif op in ("Mul", "Div") or (op == "LayerNormalization" and slot == 1):
            value = random.normal(1, 0.1, shape)
        elif len(shape) >= 2 and op in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            fan_in = shape[0] if op == "MatMul" else int(np.prod(shape[1:]))
            value = random.normal(0, np.sqrt((1.0 if op == "MatMul" else 2.0) / fan_in), shape)
        else:
            value = random.normal(0, 0.05, shape)
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
        filled += 1
    return filled


def inputs_of(model, settings: Settings) -> dict[str, np.ndarray]:
    """Random inputs: normal floats; integers that any table has; masks that hide nothing."""
    from onnx import helper
    random = np.random.default_rng(0)
    constants = {t.name for t in model.graph.initializer}
    result = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        shape = settings.shapes.get(value.name) or [
            d.dim_value or settings.dims.get(d.dim_param, 0) for d in value.type.tensor_type.shape.dim]
        if 0 in shape:
            raise PruneError(value.name, "input shape", "a dynamic one", "--shape NAME=1x128 or --dim NAME=1")
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if np.issubdtype(kind, np.floating):
            result[value.name] = random.standard_normal(shape).astype(kind)
        elif "mask" in value.name or kind == np.bool_:
            result[value.name] = np.ones(shape, kind)
        else:
            result[value.name] = random.integers(0, 2 if "type" in value.name else 100, shape).astype(kind)
    return result


def layers_to_prune(module: Path, scratch: Path, timeout: float) -> list[str]:
    """Weights of linear layers and of 1x1 and 3x3 convolutions, except depthwise ones and the first."""
    report = scratch / "layers.json"
    toolchain.checked("prune-opt", [module, f"--prune-identify=json={report} table=none", "-o", "/dev/null"], timeout,
                      str(module), "prune-identify")
    found = []
    for layer in json.loads(report.read_text())["layers"]:
        shape = layer["shape"]
        if layer["prunable"] and "depthwise" not in layer["kind"] and len(shape) in (2, 4) and shape[1] > 4 and (
                len(shape) == 2 or shape[2:] in ([1, 1], [3, 3])):
            found.append(layer["name"])
    return found


def write_recipe(path: Path, layers: Sequence[str]) -> None:
    """Only these weights are pruned."""
    quoted = ["^" + re.sub(r"([^\w/:-])", r"\\\1", name) + "$" for name in layers]
    entries = "".join(f"  - match: '{q}'\n" for q in quoted)
    path.write_text(f"layers:\n{entries}  - match: '.'\n    skip: true\n")


def apply_masks(model, masked: dict[str, np.ndarray]) -> None:
    """Zeros where a mask has them. The values stay: the compiler's may have a batch norm folded in."""
    from onnx import numpy_helper
    left = dict(masked)
    for tensor in model.graph.initializer:
        value = left.pop(tensor.name, None)
        if value is None:
            continue
        original = numpy_helper.to_array(tensor)
        kept = value != 0
        if kept.size == original.size and original.ndim > 2:
            kept = kept.reshape(original.shape)
        elif kept.shape != original.shape or (
                kept.shape[0] == kept.shape[1] and not np.array_equal(original[kept], value[kept])):
            kept = kept.T
        if kept.shape != original.shape:
            raise PruneError(tensor.name, "weight shape", str(value.shape), str(original.shape))
        tensor.CopyFrom(numpy_helper.from_array(np.where(kept, original, 0), tensor.name))
    if left:
        raise PruneError(next(iter(left)), "pruned weight", "no ONNX initializer of this name", "one for each")


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None, as_html: Path | None) -> int:
    """Runs all networks; returns the exit status."""
    with compare.scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        arena = compare.Arena(settings, scratch, steps)
        columns = [("model", 16, lambda label: label["model"]), ("weights", 16, compare.title)]
        report = compare.Reporter("networks", columns, machine, settings, as_json, as_html)
        failed = 0
        for path in [*settings.named, *settings.found]:
            try:
                _run_one(path, settings, arena, scratch, steps, report)
            except PruneError as error:
                if path in settings.named:
                    raise
                steps.note(f"prune-bench: left out: {path.name}: {error}")
                failed += 1
    status = report.finish()
    return 1 if failed and not report.results else status


def _run_one(path: Path, settings: Settings, arena: compare.Arena, scratch: Path, steps: Steps,
             report: compare.Reporter) -> None:
    import onnx

    from prune.importer.driver import ImportOptions, import_model
    from prune.weights import masked_weights
    source, imported = scratch / "dense.onnx", scratch / "dense.mlirbc"
    with steps.step(f"{path.name}: import"):
        model = load(path)
        inputs = inputs_of(model, settings)
        onnx.save(model, source)
        import_model(source, imported, ImportOptions(settings.shapes, settings.dims, timeout=settings.timeout))
    layers = layers_to_prune(imported, scratch, settings.timeout)
    for weights, sparsity in compare.settings_of(settings.weights, settings.sparsity):
        label = {"model": path.stem, "weights": weights, "sparsity": round(sparsity, 4),
                 "batch": int(next(iter(inputs.values())).shape[0])}
        pruned, masked_model = imported, source
        if weights != "dense":
            if not layers:
                steps.note(f"prune-bench: left out: {path.name}: {compare.title(label)}: no layer to prune")
                continue
            with steps.step(f"{path.name} {compare.title(label)}: prune, write the same weights as ONNX"):
                pruned, masked_model = scratch / "pruned.mlirbc", scratch / "pruned.onnx"
                write_recipe(scratch / "recipe.yaml", layers)
                flag = compare.prune_flag(weights, sparsity, f"recipe={scratch / 'recipe.yaml'}")
                ours.prune_opt(imported, pruned, [flag], settings.timeout)
                graph = onnx.load(source)
                apply_masks(graph, masked_weights(pruned, settings.timeout))
                onnx.save(graph, masked_model)
        for result in arena.compile_and_time(pruned, masked_model, inputs, label):
            report(result)
