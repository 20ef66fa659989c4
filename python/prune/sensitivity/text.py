"""What `python -m prune sensitivity` prints."""

from __future__ import annotations

from typing import Mapping


def text(found: Mapping) -> str:
    """The measure of each layer at each sparsity, as a table."""
    rows = [("layer", *(f"{s:.4g}" for s in found["sparsities"]))]
    for layer in found["layers"]:
        rows.append((layer["name"], *(number(point[found["measure"]]) for point in layer["points"])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join([f"{found['measure'].replace('_', ' ')} by sparsity, {found['pattern']}, {found['criterion']}:",
                      *("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))
                        for row in rows)])


def number(point: Mapping) -> str:
    """A mean with its error."""
    return f"{point['mean']:.4f}" + ("" if point["error"] is None else f" ± {point['error']:.4f}")
