"""What operations of a module read while it is translated: values that are not in the graph yet, and maps."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_MAP = re.compile(r"affine_map<\((.*?)\) -> \((.*)\)>")


class Unsupported(Exception):
    """An operation that has no translation; the text says what about it."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant of the module, not in the graph until something reads it."""

    name: str
    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True)
class Splat:
    """A tensor of one number; None where any will do (`tensor.empty`)."""

    shape: tuple[int, ...]
    dtype: np.dtype
    number: float | int | None


@dataclass(frozen=True)
class Loop:
    """The number of a loop of a body."""

    number: int


def parse_map(attribute) -> tuple[int, list[int | None]]:
    """The number of loops, and for each result its loop, or None for the constant 0."""
    loops, results = _MAP.fullmatch(str(attribute)).groups()
    found: list[int | None] = []
    for result in filter(None, results.split(", ")):
        if re.fullmatch(r"d\d+", result):
            found.append(int(result[1:]))
        elif result == "0":
            found.append(None)
        else:
            raise Unsupported(f"an operand read at '{result}'")
    used = [f for f in found if f is not None]
    if len(set(used)) != len(used):
        raise Unsupported("a diagonal")
    return len(list(filter(None, loops.split(", ")))), found
