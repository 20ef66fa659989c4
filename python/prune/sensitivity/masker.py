"""Masks of a module as criteria of any kind decide them: by weights alone, by activations, by gradients."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import toolchain
from prune.errors import PruneError
from prune.export.source import Mask, Source

# Criteria that only training decides, and those that need the file of `python -m prune gradients`.
_TRAINED, _GRADIENTS = re.compile(r"(soft[-_])?movement\b"), re.compile(r"(taylor|fisher|obs)\b")
# An input that says which tokens count, as in evaluation.
_PADDING = "attention_mask"
_DATA = re.compile(r"(?:^|\s)data=(\S+)")


@dataclass(frozen=True)
class Pruned:
    """A weight's mask, and its values with the mask if what is kept changed too."""

    mask: Mask
    values: np.ndarray | None

    def apply(self, weight: np.ndarray) -> np.ndarray:
        """What becomes of the weight."""
        return _masked(weight, self.mask) if self.values is None else self.values


@dataclass(frozen=True)
class Masker:
    """`base` is the module in normal form, `module` what it is called in errors. `calibration` are options of
    prune-calibrate-masks, `gradients` the file for criteria that need one."""

    module: Path
    base: Path
    calibration: str
    gradients: Path | None
    timeout: float

    def decide(self, masks: str, target: Path, independent: bool = False) -> Path:
        """Writes the module with the masks that prune-create-masks makes by the options `masks`, decided;
        `independent`: each one as if no other weight were pruned. Without a criterion that sees activations no
        examples are read."""
        gradients = [f"--prune-evaluate-masks=gradients={self.gradients}"] if self.gradients else []
        toolchain.checked(
            "prune-opt", [self.base, f"--prune-create-masks={masks}", *(gradients or ["--prune-evaluate-masks"]),
                          f"--prune-calibrate-masks={self.calibration} independent={str(independent).lower()}",
                          "--emit-bytecode", "-o", target], self.timeout, str(self.module))
        return target

    def read(self, decided: Path, weights: Mapping[str, np.ndarray]) -> dict[str, Pruned]:
        """What `decide` wrote, of these weights."""
        source = Source(decided, self.timeout)
        found = {}
        for name, mask in source.masks.items():
            if name in weights:
                values = source.constants[name]
                found[name] = Pruned(mask, None if np.array_equal(values, _masked(weights[name], mask)) else values)
        return found


def calibration_options(given: str, examples: Path, inputs: Mapping[str, np.ndarray]) -> str:
    """The options of prune-calibrate-masks, where they say nothing else: on these examples, without their padding."""
    parts = [given] if given else []
    if not _DATA.search(given):
        parts.append(f"data={examples}")
    if _PADDING in inputs and "padding=" not in given:
        parts.append(f"padding={_PADDING}")
    return " ".join(parts)


def digests(calibration: str, gradients: Path | None) -> list[str | None]:
    """Of the files that masks depend on beside module and data, if there are any."""
    data = _DATA.search(calibration)
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None
            for path in (Path(data[1]) if data else None, gradients)]


def check_criterion(criterion: str, gradients: Path | None) -> None:
    """Raises PruneError for criteria that cannot be decided here."""
    name = criterion.removeprefix("#prune.")
    if _TRAINED.match(name):
        raise PruneError("--criterion", "criterion", criterion,
                         "one that is decided without training, such as magnitude")
    if _GRADIENTS.match(name) and gradients is None:
        raise PruneError("--gradients", "file", f"none for criterion {criterion}",
                         "what `python -m prune gradients` writes")
    if gradients is not None and not gradients.is_file():
        raise PruneError(str(gradients), "gradients", "no such file", "what `python -m prune gradients` writes")


def _masked(weight: np.ndarray, mask: Mask) -> np.ndarray:
    return np.where(mask.kept, weight, np.zeros((), weight.dtype))
