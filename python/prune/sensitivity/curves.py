"""The JSON of `python -m prune sensitivity`, read back."""

from __future__ import annotations

import json
from pathlib import Path

from prune.errors import PruneError

# Of the form of the result; counts up when a key changes its meaning or goes.
SCHEMA = 1


def load(path: Path) -> dict:
    """A result of this command. Raises PruneError for other files."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise PruneError(str(path), "sensitivity", "no such file", "the JSON of `prune sensitivity`") from None
    except (OSError, ValueError) as error:
        raise PruneError(str(path), "sensitivity", f"'{error}'", "the JSON of `prune sensitivity`") from None
    form = found.get("schema") if isinstance(found, dict) and "sparsities" in found else None
    if form != SCHEMA:
        raise PruneError(str(path), "schema", str(form), f"{SCHEMA}, as `prune sensitivity` writes it")
    return found
