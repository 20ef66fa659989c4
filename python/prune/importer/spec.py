"""The forms of `--shape` and `--dim`."""

from __future__ import annotations

from prune.errors import PruneError


def parse_shape(text: str) -> tuple[str, list[int]]:
    """`name=1x128` -> ("name", [1, 128])."""
    name, sep, dims = text.rpartition("=")
    try:
        shape = [int(d) for d in dims.split("x")] if dims else []
    except ValueError:
        shape = [0]
    if not sep or not name or any(d < 1 for d in shape):
        raise PruneError("--shape", "form", f"'{text}'", "name=1x128 with positive sizes")
    return name, shape


def parse_dim(text: str) -> tuple[str, int]:
    """`batch=1` -> ("batch", 1)."""
    name, sep, size = text.rpartition("=")
    if not sep or not name or not size.isdigit() or int(size) < 1:
        raise PruneError("--dim", "form", f"'{text}'", "name=1 with a positive size")
    return name, int(size)
