"""The Fisher information of weights in blocks: means of g gᵀ over the gradients g of single examples."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from prune.errors import PruneError

# Gradients that wait, in f32, until their products are added up together: one pass over the sums for all of them.
WAITING = 16
# Elements of a block at most.
_LARGEST = 4096
# Blocks whose products are made at a time.
_CHUNK = 512


@dataclass(frozen=True)
class BlockSize:
    """Elements of a weight that make a block: `columns` consecutive ones, or `rows` x `columns` of its matrix view."""

    columns: int
    rows: int = 0

    @staticmethod
    def parse(text: str) -> BlockSize:
        """`50` or `4x12`. Raises PruneError on anything else."""
        match = re.fullmatch(r"(?:([1-9]\d{0,3})x)?([1-9]\d{0,3})", text)
        if not match or int(match[1] or 1) * int(match[2]) > _LARGEST:
            raise PruneError("--fisher-block", "size", f"'{text}'",
                             f"a number of elements such as 50, or ROWSxCOLUMNS such as 4x12, of at most {_LARGEST} elements")
        return BlockSize(int(match[2]), int(match[1] or 0))


class FisherBlocks:
    """The sums for one weight, f64: with the usual damping of 1e-7, f32 would leave noise in the directions that no gradient
    has, which is where weights may go. 8 bytes for each element of the weight and place of a block, and 4 bytes for each
    element and waiting gradient."""

    @staticmethod
    def count_bytes(shape: tuple[int, ...], size: BlockSize) -> int:
        """What the sums of a weight and its waiting gradients take, but for the rest of blocks at edges."""
        return int(np.prod(shape, dtype=np.int64)) * (8 * size.columns * max(1, size.rows) + 4 * WAITING)

    def __init__(self, shape: tuple[int, ...], size: BlockSize):
        rows, columns = shape[0], int(np.prod(shape[1:], dtype=np.int64))
        self.view = (rows, columns) if size.rows else (1, rows * columns)
        self.block = (size.rows or 1, size.columns)
        self.grid = tuple(-(-whole // part) for whole, part in zip(self.view, self.block))
        self.flat = not size.rows
        count, elements = int(np.prod(self.grid)), int(np.prod(self.block))
        self.sums = np.zeros((count, elements, elements))
        # What the last blocks have beyond the weight stays zero.
        self._waiting = np.zeros((WAITING, self.grid[0] * self.block[0], self.grid[1] * self.block[1]), np.float32)
        self._count = 0

    def add(self, gradient: np.ndarray) -> None:
        """Adds the gradient of one example."""
        rows, columns = self.view
        self._waiting[self._count, :rows, :columns] = gradient.reshape(self.view)
        self._count += 1
        if self._count == WAITING:
            self._flush()

    def _flush(self) -> None:
        (high, wide), (rows, columns) = self.grid, self.block
        for row in range(high):
            strip = self._waiting[:self._count, row * rows:(row + 1) * rows].reshape(self._count, rows, wide, columns)
            strip = strip.transpose(2, 1, 3, 0).reshape(wide, rows * columns, self._count)
            for begin in range(0, wide, _CHUNK):
                part = strip[begin:begin + _CHUNK].astype(np.float64)
                self.sums[row * wide + begin:row * wide + begin + len(part)] += part @ part.transpose(0, 2, 1)
        self._count = 0

    def mean(self, count: int) -> np.ndarray:
        """The mean over `count` examples, as prune-evaluate-masks reads it: [blocks, n, n] or [high, wide, r, c, r, c]."""
        self._flush()
        self.sums /= count
        return self.sums if self.flat else self.sums.reshape(*self.grid, *self.block, *self.block)
