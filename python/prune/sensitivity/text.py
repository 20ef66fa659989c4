"""What `python -m prune sensitivity` prints."""

from __future__ import annotations

from typing import Mapping

from prune.console import columns


def text(found: Mapping) -> str:
    """The measure of each layer at each sparsity, as a table."""
    rows = [("layer", *(f"{s:.4g}" for s in found["sparsities"]))]
    for layer in found["layers"]:
        rows.append((layer["name"], *(number(point[found["measure"]]) for point in layer["points"])))
    return "\n".join([f"{found['measure'].replace('_', ' ')} by sparsity, {found['pattern']}, {found['criterion']}:",
                      *columns(rows)])


def number(point: Mapping) -> str:
    """A mean with its error."""
    return f"{point['mean']:.4f}" + ("" if point["error"] is None else f" ± {point['error']:.4f}")
