"""How a pruned model came about, from the files that `finetune` and `search` wrote on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from prune.errors import PruneError

_EXPECTED = "the JSON of `prune finetune` or `prune search`"


@dataclass(frozen=True)
class Round:
    """What one command did: how often masks were decided, and what to say of it. `masks` are the digests that it ended
    with, by weight."""

    place: Path
    decisions: int
    answer: str
    masks: Mapping[str, str]


def load(path: Path) -> Round:
    """The round that a file tells of. Raises PruneError for other files."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise PruneError(str(path), "history", "no such file", _EXPECTED) from None
    except (OSError, ValueError) as error:
        raise PruneError(str(path), "history", f"'{error}'", _EXPECTED) from None
    try:
        masks = {str(mask["weight"]): str(mask["digest"]) for mask in found["masks"]}
        decisions, answer = _tuned(found) if "updates" in found else _searched(found)
        return Round(path, decisions, answer, masks)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise PruneError(str(path), "history", "other content", _EXPECTED) from None


def check(rounds: Sequence[Round], masks: Mapping[str, str], module: Path) -> None:
    """Raises PruneError unless the last round ended with these masks of `module`; earlier ones had others."""
    last = rounds[-1]
    for name in sorted(masks.keys() | last.masks.keys()):
        if masks.get(name) != last.masks.get(name):
            raise PruneError(str(last.place), f"digest of the mask of '{name}'", last.masks.get(name, "none"),
                             f"{masks.get(name, 'none')} of {module}")


def _tuned(found: Mapping) -> tuple[int, str]:
    updates = found["updates"]
    said = f"{found['steps']} steps of fine-tuning"
    if found["begin"]:
        said += f" (those from {found['begin']} on in this run)"
    if updates:
        first, last = updates[0], updates[-1]
        said += (f", masks decided {len(updates)} times from step {first['step']} to {last['step']}: {first['sparsity']:.1%} to "
                 f"{last['sparsity']:.1%} pruned")
    else:
        said += f" with masks that stay: {found['sparsity']:.1%} pruned"
    if found["after"] and "accuracy" in found["after"]:
        said += f", accuracy {found['before']['accuracy']:.2%} before and {found['after']['accuracy']:.2%} after"
    return len(updates), said


def _searched(found: Mapping) -> tuple[int, str]:
    trials, target = found["trials"], found["target"]
    least, most = (f(trial["sparsity"] for trial in trials) for f in (min, max))
    return len(trials), (f"{len(trials)} models tried for {target['kind']}:{target['value']:g}, {least:.1%} to {most:.1%} "
                         f"pruned: {'met' if found['met'] else 'missed'} with {found['achieved'][target['kind']]:.4g}")
