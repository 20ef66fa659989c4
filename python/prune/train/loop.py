"""The training loop over the functions of a training module.

The step knows the optimizer and the masks; the loop only feeds batches, asks the schedule when masks change, watches
the loss and keeps checkpoints.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from prune.console import Progress
from prune.errors import PruneError
from prune.train import checkpoint
from prune.train.data import STEP, Arrays, Source
from prune.train.runner import Program

EVALUATE, UPDATE, SCHEDULE = "eval_step", "update_masks", "schedule"
ESTIMATE = "estimate_statistics"


@dataclass
class LoopOptions:
    """`steps` to make in all; a checkpoint at `checkpoint` every `save_every` steps (0: only at an end), and a run goes
    on from it where `resume` is set. `digest` identifies module and options, `seed` the order of the data."""

    steps: int
    seed: int = 0
    checkpoint: Path | None = None
    save_every: int = 0
    resume: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Trained:
    """How a run ended: loss of the last step (NaN if none was made), sparsity, and the step it began at. `updates` are the
    decisions about masks since then: step and sparsity."""

    loss: float
    sparsity: float
    begin: int
    updates: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Mean loss over all examples, share of right answers (None without classes), and the outputs of the model."""

    loss: float
    accuracy: float | None
    outputs: dict[str, np.ndarray]


def train(program: Program, source: Source, options: LoopOptions, progress: Progress | None = None,
          after_step: Callable[[int], None] | None = None) -> Trained:
    """Makes the steps that are missing. `after_step` is called with the number of steps made so far.

    A loss that is not finite raises PruneError naming the step; the values are then those before it, and the checkpoint
    is the last one that was good.
    A checkpoint holds the values before the masks that belong to its step are decided, so that they are decided once
    whether a run ends there or goes on.
    Ctrl-C ends the step, writes a checkpoint and raises KeyboardInterrupt.
    """
    if options.steps < 0:
        raise PruneError("--steps", "range", str(options.steps), "0 or more")
    program.call("init")
    begin, sparsity, loss = 0, mask_sparsity(program), math.nan
    if options.resume and options.checkpoint is not None:
        begin, sparsity = _resume(program, options)
    progress = progress or Progress("train", options.steps)
    progress.begin(begin)
    scheduled = SCHEDULE in program.functions
    updates: list[tuple[int, float]] = []
    saved = -1

    def save(step: int) -> None:
        nonlocal saved
        if options.checkpoint is not None and step != saved:
            _check_finite(program, options, step)
            checkpoint.save(options.checkpoint, program.values,
                            checkpoint.Position(step, options.seed, options.digest, sparsity))
            saved = step

    with _interrupts() as interrupted, progress:
        for step in range(begin, options.steps):
            batch = source.batch(step)
            if scheduled and bool(program.call(SCHEDULE)["update"]):
                sparsity = float(program.call(UPDATE, batch)["sparsity"])
                updates.append((step, sparsity))
            loss = float(program.call(source.function(step), batch)["loss"])
            if not math.isfinite(loss):
                program.undo()
                raise PruneError("train", f"loss at step {step}", f"{loss}", f"a finite one; {_kept(options)}")
            progress.advance(step + 1, f"loss {loss:.4f}", f"sparsity {sparsity:.1%}" if scheduled else "")
            if options.save_every and (step + 1) % options.save_every == 0:
                save(step + 1)
            if after_step is not None:
                after_step(step + 1)
            if interrupted():
                save(step + 1)
                raise KeyboardInterrupt
        save(options.steps)
        # The masks that the schedule wants at the end, where its last update is at the last step. An update that needs
        # a batch exchanges weights for new ones, which nothing would train.
        if scheduled and not program.feeds(UPDATE) and bool(program.call(SCHEDULE)["update"]):
            sparsity = float(program.call(UPDATE)["sparsity"])
            updates.append((options.steps, sparsity))
    return Trained(loss, sparsity, begin, tuple(updates))


def evaluate(program: Program, examples: Arrays) -> Evaluation:
    """Runs all examples once. The batch that is filled up counts only its own rows: the repeated example's loss is
    measured by a batch of nothing else and taken off, and its answers are not counted."""
    total, correct, outputs = 0.0, 0, {}
    classes = False
    for batch, count in examples.blocks():
        results = program.call(EVALUATE, batch)
        loss = float(results["loss"]) * examples.size
        right = int(results["correct"]) if "correct" in results else 0
        classes = "correct" in results
        for name, value in results.items():
            if value.ndim and value.shape[0] == examples.size:
                outputs.setdefault(name, []).append(value[:count].copy())
        if count < examples.size:
            alone = program.call(EVALUATE, {n: np.repeat(a[-1:], examples.size, axis=0) for n, a in batch.items()})
            extra = examples.size - count
            loss -= extra * float(alone["loss"])
            right -= extra * int(alone["correct"]) // examples.size if classes else 0
        total, correct = total + loss, correct + right
    return Evaluation(total / examples.examples, correct / examples.examples if classes else None,
                      {name: np.concatenate(parts) for name, parts in outputs.items()})


def mask_sparsity(program: Program) -> float:
    """Share of what masks prune of the weights that have masks; 0 without masks."""
    masks = [value for name, value in (*program.values.items(), *program.fixed_masks.items())
             if name.startswith("mask:")]
    total = sum(mask.size for mask in masks)
    return 1.0 - sum(int(np.count_nonzero(mask)) for mask in masks) / total if total else 0.0


def estimate_statistics(program: Program, source: Source, batches: int) -> None:
    """Statistics of batch norms from nothing but the first `batches` batches, by the weights as they are."""
    for index in range(batches):
        program.call(ESTIMATE, {**source.batch(index), "batches": np.int64(index)})


def _resume(program: Program, options: LoopOptions) -> tuple[int, float]:
    assert options.checkpoint is not None
    values, position = checkpoint.load(options.checkpoint)
    place = str(options.checkpoint)
    if position.digest != options.digest:
        raise PruneError(place, "digest of module and options", position.digest[:12] or "none",
                         f"{options.digest[:12] or 'none'} of this run")
    if position.seed != options.seed:
        raise PruneError(place, "seed", str(position.seed), f"{options.seed} of this run")
    if position.step > options.steps:
        raise PruneError(place, "step", str(position.step), f"at most {options.steps} of this run")
    program.load(values, place)
    return position.step, position.sparsity


def _check_finite(program: Program, options: LoopOptions, step: int) -> None:
    """What is not finite is no good checkpoint, although the loss of the step before it was."""
    for name, value in program.values.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            at = np.argwhere(~np.isfinite(value))[0]
            raise PruneError("train", f"'{name}' after step {step - 1}", f"{value[tuple(at)]} at {at.tolist()}",
                             f"finite values; {_kept(options)}")


def _kept(options: LoopOptions) -> str:
    if options.checkpoint is not None and options.checkpoint.exists():
        return f"the last good checkpoint is {options.checkpoint}"
    return "no checkpoint was written"


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C is only noted; a second one acts as ever."""
    seen: list[Any] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def note(number, frame) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
