"""Examples for training and evaluation, in batches of the one size that a compiled function takes.

The order is a pure function of seed and step, so that a run goes on after an interruption exactly where it was. Epochs
follow each other without a gap: where the examples of one end within a batch, the batch is filled from the next, so
every example is seen equally often and none is left out.
"""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Protocol, Sequence

import numpy as np

from prune.errors import PruneError
from prune.train.runner import Tensor

# The argument of a training module that holds classes.
LABELS = "labels"
# The function that a batch is for, unless its source says another.
STEP = "train_step"


class Source(Protocol):
    """Where training batches come from. `examples` is None where the number is not known."""

    examples: int | None

    def batch(self, step: int) -> Mapping[str, np.ndarray]:
        """The batch of a step, counted from 0."""

    def function(self, step: int) -> str:
        """The function that makes the step."""


class Arrays:
    """Examples in memory, one array for each argument that a function has to be given: [examples, ...].

    `arguments` are those of the function, the first dimension of each is the batch; `classes` is the number of classes
    that labels may name, if known. Raises PruneError that names `place`, the array, the rule and both values.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], arguments: Sequence[Tensor], place: str,
                 classes: int | None = None, seed: int = 0):
        self.seed, self.place = seed, place
        self.size = _batch_size(arguments)
        self.arrays = {t.name: _checked(arrays, t, place, classes) for t in arguments}
        counts = {name: len(array) for name, array in self.arrays.items()}
        first = next(iter(counts))
        for name, count in counts.items():
            if count != counts[first]:
                raise PruneError(place, f"examples of '{name}'", str(count), f"{counts[first]} as in '{first}'")
        self.examples = counts[first]
        if self.examples == 0:
            raise PruneError(place, "examples", "0", "at least one")
        self._orders: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step in the shuffled order."""
        chosen = self.indices(step)
        return {name: array[chosen] for name, array in self.arrays.items()}

    def function(self, step: int) -> str:
        return STEP

    def indices(self, step: int) -> np.ndarray:
        """The examples of a step: positions step·size to (step + 1)·size of the epochs' orders, end to end."""
        begin, end = step * self.size, (step + 1) * self.size
        parts = []
        while begin < end:
            epoch, offset = divmod(begin, self.examples)
            part = self._order(epoch)[offset:offset + end - begin]
            parts.append(part)
            begin += len(part)
        return np.concatenate(parts)

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            # A batch larger than the examples needs several.
            while len(self._orders) > 1 + self.size // self.examples:
                del self._orders[min(self._orders)]
            self._orders[epoch] = order(self.seed, epoch, self.examples)
        return self._orders[epoch]

    def blocks(self) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        """All examples once, in their order: batches, each with the number of its rows that count. The last one is
        filled up by repeating its last example."""
        for begin in range(0, self.examples, self.size):
            count = min(self.size, self.examples - begin)
            chosen = np.minimum(np.arange(begin, begin + self.size), self.examples - 1)
            yield {name: array[chosen] for name, array in self.arrays.items()}, count


class Batches:
    """Batches from an iterator of dictionaries, for data made on the fly. After an interruption `make` is called again
    and the batches that were used are drawn and dropped, so it has to give the same ones each time."""

    examples = None

    def __init__(self, make: Iterable[Mapping[str, np.ndarray]], arguments: Sequence[Tensor],
                 classes: int | None = None):
        self.make, self.arguments, self.classes = make, arguments, classes
        self.size = _batch_size(arguments)
        self._next = -1
        self._iterator: Iterator[Mapping[str, np.ndarray]] = iter(())

    def function(self, step: int) -> str:
        return STEP

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step; PruneError where the iterator ends before."""
        if step != self._next:
            self._iterator = itertools.islice(iter(self.make), step, None)
            self._next = step
        place = f"batch {step}"
        found = next(self._iterator, None)
        if found is None:
            raise PruneError("data", "batches", f"an end before {place}", "an iterator that goes on")
        self._next += 1
        result = {t.name: _checked(found, t, place, self.classes) for t in self.arguments}
        for tensor in self.arguments:
            if len(result[tensor.name]) != self.size:
                raise PruneError(place, f"examples of '{tensor.name}'", str(len(result[tensor.name])), str(self.size))
        return result


class Buckets:
    """Examples of several shapes, such as sentences by length: for each function that makes steps its own examples. An
    epoch has as many steps of each as its examples fill, in an order that depends on the seed alone."""

    def __init__(self, parts: Mapping[str, Arrays], seed: int = 0):
        self.parts, self.seed = dict(parts), seed
        self.examples = sum(part.examples for part in self.parts.values())
        self._counts = {name: -(-part.examples // part.size) for name, part in self.parts.items()}
        self.steps_per_epoch = sum(self._counts.values())
        self._turns = [(name, index) for name, count in self._counts.items() for index in range(count)]
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def _turn(self, step: int) -> tuple[str, int]:
        """The function of a step, and how many steps it made before."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = epoch, order(self.seed, epoch, self.steps_per_epoch)
        name, index = self._turns[self._order[1][place]]
        return name, epoch * self._counts[name] + index

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step."""
        name, index = self._turn(step)
        return self.parts[name].batch(index)

    def function(self, step: int) -> str:
        """The function that makes the step."""
        return self._turn(step)[0]


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order of the examples in an epoch: a permutation that depends on nothing else."""
    return np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch])).permutation(examples)


def load(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz` file. Raises PruneError for files that are damaged or hold Python objects."""
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise PruneError(str(path), "data file", "a single array", "a .npz file of named arrays")
        with arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise PruneError(str(path), "data file", "no such file", "a .npz file of named arrays") from None
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise PruneError(str(path), "data file", f"'{error}'", "a .npz file of named arrays") from None


def _batch_size(arguments: Sequence[Tensor]) -> int:
    sizes = {t.name: t.shape[0] if t.shape else 0 for t in arguments}
    if not sizes:
        raise PruneError("data", "arguments", "a function that takes none", "inputs and labels")
    first = next(iter(sizes))
    for name, size in sizes.items():
        if size < 1 or size != sizes[first]:
            raise PruneError("data", f"batch of '{name}'", str(size), f"{max(1, sizes[first])} as of '{first}'")
    return sizes[first]


def _checked(arrays: Mapping[str, np.ndarray], tensor: Tensor, place: str, classes: int | None) -> np.ndarray:
    """The array of an argument in its element type."""
    name = tensor.name
    if name not in arrays:
        names = ", ".join(f"'{n}'" for n in arrays)
        raise PruneError(place, "array", f"no '{name}' among {names or 'none'}", f"'{name}' of {tensor.dtype}")
    array = np.asarray(arrays[name])
    if array.ndim == 0 or array.shape[1:] != tensor.shape[1:]:
        wanted = ", ".join(["examples", *map(str, tensor.shape[1:])])
        raise PruneError(place, f"shape of '{name}'", f"{list(array.shape)}", f"[{wanted}]")
    if not np.can_cast(array.dtype, tensor.dtype, "same_kind") and not (
            array.dtype.kind == "u" and tensor.dtype.kind == "i"):
        raise PruneError(place, f"type of '{name}'", str(array.dtype), str(tensor.dtype))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0]
        raise PruneError(place, f"values of '{name}'", f"{array[tuple(at)]} at {at.tolist()}", "finite numbers")
    if name == LABELS and classes is not None and array.size:
        wrong = (array < 0) | (array >= classes)
        if wrong.any():
            at = np.argwhere(wrong)[0]
            raise PruneError(place, f"classes in '{name}'", f"{array[tuple(at)]} at {at.tolist()}",
                             f"0 to {classes - 1}")
    return np.ascontiguousarray(array, tensor.dtype)
