"""A checkpoint: everything a run needs to go on, in one file.

A `.npz` of all carried arguments by name, and beside them the position. It is written under a temporary name, flushed,
and renamed, so a file of its name is always whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from prune import files
from prune.errors import PruneError
from prune.train import data

VERSION = 1
# No argument of a module is called so.
_META = "checkpoint.json"


@dataclass(frozen=True)
class Position:
    """How far a run is: steps that were made, and the seed of the data, whose place follows from both. `digest` is
    that of the module and all options that the numbers depend on; `sparsity` that of the last update of the masks."""

    step: int
    seed: int
    digest: str
    sparsity: float = 0.0


def digest(module: Path, options: Mapping[str, Any]) -> str:
    """Of a module's bytes and of options that JSON can hold."""
    result = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    result.update(module.read_bytes())
    return result.hexdigest()


def save(path: Path, values: Mapping[str, np.ndarray], position: Position) -> None:
    """Writes a checkpoint; on any error what was there before stays."""
    meta = json.dumps({"version": VERSION, **asdict(position)}).encode()
    with files.replacing(path) as stream:
        np.savez(stream, **{_META: np.frombuffer(meta, np.uint8)}, **values)


def load(path: Path) -> tuple[dict[str, np.ndarray], Position]:
    """The values and the position. Raises PruneError for a file that is no checkpoint."""
    values = data.load(path)
    meta = values.pop(_META, None)
    if meta is None:
        raise PruneError(str(path), "checkpoint", f"no '{_META}'", "a file that a training run wrote")
    try:
        found = json.loads(meta.tobytes())
        version = found.pop("version")
        position = Position(**found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PruneError(str(path), "checkpoint", f"'{error}'", "a file that a training run wrote") from None
    if version != VERSION:
        raise PruneError(str(path), "version of the checkpoint", str(version), str(VERSION))
    return values, position
