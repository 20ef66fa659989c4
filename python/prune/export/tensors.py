"""Weights and masks as a safetensors file.

Each named constant is a tensor of its name, in the orientation of the module, its pruned elements zero. The mask of a
weight W is the tensor `W.mask`: bits in row-major order, eight to a byte, the first in the lowest bit, ones for what is
kept. The metadata holds JSON under `prune`: `producer`, `weights` with the shape, pattern and sparsity of each masked
weight, and `recipe`, which asks `prune-opt --prune` for the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Mapping

import numpy as np
from safetensors.numpy import save_file

from prune import __version__
from prune.errors import PruneError
from prune.export.source import Source

# One key alone, since the format's writer shuffles several.
METADATA = "prune"
MASK = ".mask"


def save(source: Source, path: Path) -> int:
    """Writes the file; returns the number of tensors."""
    arrays = {name: np.ascontiguousarray(array) for name, array in source.constants.items()}
    if not arrays:
        raise PruneError(source.place, "constants", "none that have a name", "a model with weights")
    for name, mask in source.masks.items():
        if name + MASK in arrays:
            raise PruneError(source.place, "name", f"a constant '{name + MASK}'",
                             f"none called like the mask of '{name}'")
        arrays[name + MASK] = pack(mask.kept)
    asked = {name: (mask.pattern, mask.sparsity) for name, mask in source.masks.items()}
    about = {"producer": f"prune {__version__}", "recipe": recipe(asked),
             "weights": {name: {"shape": list(mask.kept.shape), "pattern": mask.pattern, "sparsity": mask.sparsity}
                         for name, mask in source.masks.items()}}
    save_file(arrays, path, {METADATA: json.dumps(about)})
    return len(arrays)


def pack(kept: np.ndarray) -> np.ndarray:
    """A mask as bits."""
    return np.packbits(kept.reshape(-1), bitorder="little")


def unpack(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of a packed one."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.unpackbits(bits, count=size, bitorder="little").astype(np.bool_).reshape(shape)


def recipe(weights: Mapping[str, tuple[str, float]], criterion: str = "") -> str:
    """The recipe (YAML) by which weights of these names get masks of these patterns and sparsities, and no others
    any."""
    lines = [f"criterion: {json.dumps(criterion)}", "layers:"] if criterion else ["layers:"]
    for name, (pattern, sparsity) in weights.items():
        lines += [f"  - match: {json.dumps('^' + re.escape(name) + '$')}", f"    pattern: {json.dumps(pattern)}",
                  f"    sparsity: {sparsity!r}"]
    return "\n".join([*lines, "  - match: .", "    skip: true", ""])
