"""Interleaved timing: short blocks of runs of each program in turn, and the statistics over them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Mapping, Sequence

import numpy as np

from prune.errors import PruneError

# Timed runs of a block, after the first ones that find caches full of another program's data and clocks low.
BLOCK = 6
WARM_UP = 2


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a program: the median and its surroundings."""

    median: float
    low: float
    high: float
    samples: int


def summarize(milliseconds: Sequence[float]) -> Timing:
    """Median, 10th and 90th percentile, interpolated between neighbours."""
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return Timing(float(median), float(low), float(high), len(milliseconds))


def blocks(runs: int) -> tuple[int, int]:
    """How many rounds of how many timed runs give at least `runs` samples."""
    size = min(BLOCK, runs)
    return -(-runs // size), size


@dataclass(frozen=True)
class Quiet:
    """How others are kept away during a timed block: a file to lock, a real-time priority (0: none)."""

    lock: Path | None = None
    priority: int = 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the lock."""
        if self.lock is None:
            yield
            return
        try:
            stream = open(self.lock, "a")
        except OSError as error:
            raise PruneError(str(self.lock), "--lock", os.strerror(error.errno), "a file that can be written") from None
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def interleave(programs: Mapping[str, object], runs: int, timeout: float, quiet: Quiet) -> dict[str, Timing]:
    """Times all programs in turn, each round beginning with another one; those whose turn it is not are halted."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    rounds, size = blocks(runs)
    for program in programs.values():
        program.set_priority(quiet.priority)
        program.rest()
    for index in range(rounds):
        turn = index % len(names)
        with quiet.hold():
            for name in names[turn:] + names[:turn]:
                programs[name].wake()
                times[name] += programs[name].run(size + WARM_UP, timeout)[WARM_UP:]
                programs[name].rest()
    for program in programs.values():
        program.wake()
    return {name: summarize(values) for name, values in times.items()}
