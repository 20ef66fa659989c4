"""Interleaved timing: short blocks of runs of each program in turn, and the statistics over them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence

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


class Distance:
    """How far the cores are apart: virtual processors move between caches, which some programs suffer from more than
    others. `measure` gives nanoseconds for a word from core to core and back (0: a single core)."""

    def __init__(self, measure: Callable[[], float] = lambda: 0.0):
        self.measure, self.best = measure, float("inf")

    def __call__(self) -> float:
        """The distance now."""
        now = self.measure()
        self.best = min(self.best, now)
        return now

    def is_near(self, distance: float) -> bool:
        """Like the least distance that was ever seen, as opposed to several times as much."""
        return distance <= 2 * self.best


def interleave(programs: Mapping[str, object], runs: int, timeout: float, quiet: Quiet,
               repeats: Mapping[str, int] | None = None, distance: Distance | None = None
               ) -> tuple[dict[str, Timing], float]:
    """Times all programs in turn, each round beginning with another one; those whose turn it is not are halted. A
    sample is the mean over `repeats` calls, which is one if it is not given.

    Rounds with the cores near each other and rounds with them apart are not mixed: up to twice as many rounds are done
    until one kind suffices, at best the near one. Returns the timings and the median distance."""
    distance = distance or Distance()
    names = list(programs)
    rounds, size = blocks(runs)
    done: list[tuple[float, dict[str, list[float]]]] = []
    chosen = done
    for program in programs.values():
        program.set_priority(quiet.priority)
        program.rest()
    for index in range(2 * rounds - 1):
        turn = index % len(names)
        times: dict[str, list[float]] = {}
        with quiet.hold():
            apart = distance()
            for name in names[turn:] + names[:turn]:
                repeat = (repeats or {}).get(name, 1)
                programs[name].wake()
                found = programs[name].run((size + WARM_UP) * repeat, timeout)
                programs[name].rest()
                times[name] = np.reshape(found, (-1, repeat)).mean(axis=1)[WARM_UP:].tolist()
        done.append((apart, times))
        chosen = [d for d in done if distance.is_near(d[0])]
        if len(chosen) >= rounds:
            break
    else:
        chosen = [d for d in done if not distance.is_near(d[0])] if len(chosen) < rounds else chosen
    for program in programs.values():
        program.wake()
    return ({name: summarize([ms for _, times in chosen for ms in times[name]]) for name in names},
            float(np.median([apart for apart, _ in chosen])))
