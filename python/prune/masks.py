"""Masks made elsewhere, put on the weights of a module: by name from a file, or where the module's weights are zero
already.

A file (.safetensors or .npz) may hold for a weight W
- `W_mask`, as torch.nn.utils.prune keeps it beside `W_orig`, `mask:W` or `W.mask`: numbers or bools of the weight's
shape;
- `W.mask` as bytes that hold eight elements each, as `python -m prune export` packs them.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import files, toolchain
from prune.console import Steps
from prune.errors import PruneError, one_line
from prune.export import tensors
from prune.export.source import Mask, Source
from prune.train import data

AUTO = "auto"
# With them the rest of a file's names are those of its weights.
_SUFFIXES, _PREFIX = ("_mask", tensors.MASK), "mask:"


@dataclass
class MaskOptions:
    """`masks` is a file, or None for the zeros of the module's own weights; then weights with a smaller share of zeros
    than `least` are left alone. `pattern` is what all masks obey, or AUTO. `values` loads weights from the file as
    well."""

    module: Path
    output: Path
    masks: Path | None
    pattern: str = AUTO
    least: float = 0.1
    values: bool = False
    timeout: float = 600.0


def put_masks(options: MaskOptions, steps: Steps) -> dict[str, Mask]:
    """Writes the module with its masks decided. Raises PruneError; the output is complete or untouched."""
    if not 0 < options.least <= 1:
        raise PruneError("--min-sparsity", "range", f"{options.least:g}", "more than 0, at most 1")
    if options.values and options.masks is None:
        raise PruneError("--weights", "file", "none", "--from=FILE")
    files.check_target(options.output, "-o")
    with tempfile.TemporaryDirectory(prefix=".prune-masks-", dir=options.output.absolute().parent) as scratch:
        folder = Path(scratch)
        with steps.step("read weights and masks"):
            layers = _prunable(options.module, folder, options.timeout)
            source = Source(options.module, options.timeout)
            weights = {name: source.constants[name] for name in layers if name in source.constants}
            arrays = read(options.masks) if options.masks else {}
            place = str(options.masks or options.module)
            found = named(arrays, weights, place) if options.masks else zeros(weights, options.least)
            if not found:
                raise PruneError(place, "masks", "none", "arrays called W_mask, W.mask or mask:W" if options.masks else
                                 f"a weight with at least {options.least:.0%} zeros")
            masks = {name: Mask(recognise(kept) if options.pattern == AUTO else options.pattern, kept)
                     for name, kept in found.items()}
            loaded = {f"mask:{name}": mask.kept for name, mask in masks.items()}
            if options.values:
                loaded.update(values(arrays, weights, masks, place))
        (folder / "recipe.yaml").write_text(tensors.recipe({n: (m.pattern, m.sparsity) for n, m in masks.items()}))
        np.savez(folder / "arrays.npz", **loaded)
        form = "--mlir-print-debuginfo" if options.output.suffix == ".mlir" else "--emit-bytecode"
        result = folder / options.output.name
        with steps.step("put the masks on the weights"):
            finished = toolchain.run(
                [toolchain.find_tool("prune-opt"), options.module,
                 f"--prune-create-masks=recipe={folder / 'recipe.yaml'}",
                 f"--prune-load-weights=file={folder / 'arrays.npz'}", "--prune-verify-masks", form, "-o", result],
                options.timeout, str(options.module))
            if finished.status != 0:
                # The arrays that were named are those of the file.
                reason = toolchain.describe_failure(finished).replace(f"{folder}/arrays.npz: ", "")
                raise PruneError(place, "prune-opt", reason)
        os.replace(result, options.output)
    return masks


def _prunable(module: Path, folder: Path, timeout: float) -> list[str]:
    listed = folder / "layers.json"
    toolchain.checked("prune-opt", [module, f"--prune-identify=json={listed} table=none", "-o", "/dev/null"], timeout,
                      str(module), expected="a module of linalg on tensors")
    return [layer["name"] for layer in json.loads(listed.read_text())["layers"] if layer["prunable"]]


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    if path.suffix != ".safetensors":
        return data.load(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    try:
        return load_file(path)
    except FileNotFoundError:
        raise PruneError(str(path), "masks", "no such file", "a .safetensors or .npz file") from None
    except (SafetensorError, KeyError) as error:
        raise PruneError(str(path), "safetensors", one_line(str(error), 200),
                         "a complete file of types that NumPy has") from None


def named(arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], place: str) -> dict[str, np.ndarray]:
    """The masks of a file, in the form of the weights of their names."""
    found: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        suffix = next((s for s in _SUFFIXES if key.endswith(s)), "")
        name = key[len(_PREFIX):] if key.startswith(_PREFIX) else key[:-len(suffix)] if suffix else ""
        if not name:
            continue
        if name not in weights:
            raise PruneError(place, f"mask '{one_line(key, 80)}'", f"no prunable weight '{one_line(name, 80)}'",
                             f"one of {len(weights)}, such as '{next(iter(weights), '')}'")
        if name in found:
            raise PruneError(place, f"mask '{one_line(key, 80)}'", f"a second mask of '{name}'", "one")
        found[name] = _shaped(array, weights[name].shape, f"mask '{one_line(key, 80)}'", place)
    return found


def _shaped(array: np.ndarray, shape: tuple[int, ...], what: str, place: str) -> np.ndarray:
    """A mask in the shape of its weight: as it is, with unit dimensions more or less, or unpacked."""
    size = int(np.prod(shape))
    if array.dtype == np.uint8 and array.shape == (-(-size // 8),) and array.shape != shape:
        return tensors.unpack(array, shape)
    if [d for d in array.shape if d != 1] != [d for d in shape if d != 1]:
        raise PruneError(place, what, f"shape {list(array.shape)}",
                         f"{list(shape)} as the weight has, or its bits packed")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        raise PruneError(place, what, f"{array[tuple(wrong[0])]} at {wrong[0].tolist()}", "0 and 1")
    return (array != 0).reshape(shape)


def zeros(weights: Mapping[str, np.ndarray], least: float) -> dict[str, np.ndarray]:
    """Masks that keep what is not zero, of the weights with at least that share of zeros."""
    return {name: value != 0 for name, value in weights.items()
            if value.size and np.count_nonzero(value == 0) >= least * value.size}


def recognise(kept: np.ndarray) -> str:
    """The strictest of the patterns with kernels that a mask obeys: blocks of four rows, 2:4, or any."""
    matrix = kept.reshape(len(kept), -1)
    if len(matrix) >= 4 and all((matrix[r:r + 4] == matrix[r]).all() for r in range(0, len(matrix), 4)):
        return "4x1"
    groups = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % 4))).reshape(len(matrix), -1, 4)
    return "2:4" if groups.sum(axis=2).max() <= 2 else "unstructured"


def values(arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], masks: Mapping[str, Mask],
           place: str) -> dict[str, np.ndarray]:
    """What the file holds for the masked weights themselves, for prune-load-weights: `W`, or `W_orig` beside a
    `W_mask`."""
    found = {}
    for name in masks:
        value = arrays.get(name, arrays.get(f"{name}_orig"))
        if value is None:
            raise PruneError(place, f"weight '{name}'", f"neither '{name}' nor '{name}_orig'",
                             "its values, for --weights")
        weight = weights[name]
        if [d for d in value.shape if d != 1] != [d for d in weight.shape if d != 1]:
            raise PruneError(place, f"weight '{name}'", f"shape {list(value.shape)}",
                             f"{list(weight.shape)} as in the module")
        found[name] = np.ascontiguousarray(value.reshape(weight.shape), weight.dtype)
    return found
