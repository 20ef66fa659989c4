"""One model in our compiler and in the peers: outputs compared, runs timed in turn, results reported as they come."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence

import numpy as np

from prune.bench import ours, programs
from prune.bench.report import Table, ratio, write_html
from prune.bench.timing import Distance, Quiet, Timing, interleave
from prune.console import Steps
from prune.errors import PruneError
from prune.files import write_json

# Largest difference to the reference.
TOLERANCE = 1e-4
# The peer that decides whether outputs are right, if it is there; else all of them do.
REFERENCE = "onnxruntime"


@dataclass
class Settings:
    """What every benchmark needs; `folder` holds the peers' environments and scratch files."""

    folder: Path
    weights: Sequence[str]
    sparsity: Sequence[float]
    threads: Sequence[int] = (1,)
    peers: Sequence[str] = tuple(programs.PEERS)
    runs: int = 30
    timeout: float = 900.0
    quiet: Quiet = field(default_factory=Quiet)
    # Peers that cannot be installed or cannot run a model are left out with a note.
    optional: bool = False
    # The tolerance is relative to the largest output where that is above 1: random weights make values of any size.
    relative: bool = False
    # Who decides whether outputs are right, and how far from it they may be.
    judge: str = REFERENCE
    tolerance: float = TOLERANCE
    # Programs besides the peers, and what the linear layers of ours compute with.
    rivals: Sequence[str] = ()
    numbers: str = "f32"

    @property
    def others(self) -> list[str]:
        """All that is timed in turn with ours."""
        return [*self.peers, *self.rivals]


@dataclass(frozen=True)
class Rival:
    """A program besides the peers: a model of its own in one of their programs, or in ours."""

    kind: str
    model: Path


@dataclass
class Result:
    """One setting, timed together with all peers."""

    label: dict[str, object]
    ours: Timing
    peers: dict[str, Timing]
    differences: dict[str, float]
    # What the tolerance is multiplied by.
    scale: float
    compiled: ours.Compiled
    versions: dict[str, str]
    # Nanoseconds between the cores and back; 0 for one core.
    distance: float
    judge: str = REFERENCE
    tolerance: float = TOLERANCE

    @property
    def difference(self) -> float:
        """The largest difference to the judge, or to all others where there is none."""
        return self.differences.get(self.judge, max(self.differences.values(), default=0.0))

    @property
    def right(self) -> bool:
        """Whether the judge agrees."""
        return self.difference <= self.tolerance * self.scale

    def rows(self) -> list[dict[str, object]]:
        """The rows of the JSON report, one for each peer."""
        return [{**self.label, "peer": name, "ours_ms": round(self.ours.median, 4), "peer_ms": round(t.median, 4),
                 "max_abs_diff": self.differences[name]} for name, t in self.peers.items()]

    def compile_row(self) -> dict[str, object]:
        """What compiling took."""
        return {**self.label, "seconds": round(self.compiled.seconds, 2), "peak_bytes": self.compiled.peak_bytes,
                "library_bytes": self.compiled.library_bytes, "weight_bytes": self.compiled.weight_bytes}


def settings_of(weights: Sequence[str], sparsity: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Kinds of weights with their sparsities: n:m patterns have one of their own, dense weights none."""
    for name in weights:
        if name == "dense":
            yield name, 0.0
        elif ":" in name:
            kept, group = map(int, name.split(":"))
            yield name, 1 - kept / group
        else:
            for value in sparsity:
                yield name, value


def prune_flag(weights: str, sparsity: float, more: str = "") -> str:
    """The pipeline that makes such weights."""
    target = "" if ":" in weights else f" sparsity={sparsity}"
    return f"--prune=criterion=magnitude pattern={weights}{target} scope=layer" + (f" {more}" if more else "")


def cores_for(threads: int) -> list[int]:
    """The cores that every program is bound to: the last ones, as interrupts often go to the first."""
    return sorted(os.sched_getaffinity(0))[-threads:]


def difference(kind: str, found: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> float:
    """The largest absolute difference over all outputs, which must have the same names or the same order."""
    pairs = [(found[n], reference[n]) for n in reference] if set(found) == set(reference) else \
        list(zip(found.values(), reference.values()))
    if len(found) != len(reference) or any(a.shape != b.shape for a, b in pairs):
        raise PruneError(kind, "outputs", str([v.shape for v in found.values()]),
                         str([v.shape for v in reference.values()]))
    result = max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs)
    if not np.isfinite(result):
        raise PruneError(kind, "outputs", "values that are not finite", "finite ones")
    return result


def scratch_folder(folder: Path) -> tempfile.TemporaryDirectory:
    """A folder of this run's own."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="run-", dir=folder)


class Arena:
    """The installed peers and the cores, for any number of models."""

    def __init__(self, settings: Settings, scratch: Path, steps: Steps):
        self.settings, self.scratch, self.steps = settings, scratch, steps
        self.pythons = programs.pythons_of(settings.peers, settings.folder, settings.optional, steps)
        self.loop = programs.timed_loop(settings.folder)
        self.distances = {n: Distance(partial(programs.round_trip, self.loop, cores_for(n))) for n in settings.threads}

    def compile_and_time(self, module: Path, model: Path, inputs: Mapping[str, np.ndarray], label: dict,
                         rivals: Callable[[int], Mapping[str, Rival]] = lambda threads: {}) -> Iterator[Result]:
        """`module` is compiled for each number of threads, compared with the peers' `model` and the rivals, then timed."""
        for threads in self.settings.threads:
            with self.steps.step(f"{title(label)}: compile for {threads} thread(s)"):
                compiled = ours.compile_library(module, self.scratch / "ours.so", threads, self.settings.timeout)
                found = rivals(threads)
            yield self._time(compiled, model, found, inputs, {**label, "threads": threads})

    def _time(self, compiled: ours.Compiled, model: Path, rivals: Mapping[str, Rival], inputs: Mapping[str, np.ndarray],
              label: dict) -> Result:
        settings, threads = self.settings, label["threads"]
        cores = cores_for(threads)
        with ExitStack() as stack:
            started: dict[str, programs.Program] = {}
            with self.steps.step(f"{title(label)}: start the programs, compare outputs"):
                contestants = {"prune": Rival("prune", compiled.library),
                               **{peer: Rival(peer, model) for peer in self.pythons}, **rivals}
                for name, rival in contestants.items():
                    if rival.kind != "prune" and rival.kind not in self.pythons:
                        continue
                    python = self.pythons.get(rival.kind, Path(sys.executable))
                    program = programs.Program(rival.kind, python, rival.model, cores, inputs, self.scratch, self.loop)
                    stack.callback(program.stop)
                    try:
                        program.ready(settings.timeout)
                    except PruneError as error:
                        if name == "prune" or not settings.optional:
                            raise
                        self.steps.note(f"prune-bench: left out: {error}")
                        continue
                    started[name] = program
            peers = [name for name in started if name != "prune"]
            found = started["prune"].outputs
            differences = {name: difference(name, found, started[name].outputs) for name in peers}
            largest = max(float(np.abs(value).max()) for value in found.values())
            scale = max(1.0, largest) if settings.relative else 1.0
            with self.steps.step(f"{title(label)}: time"):
                times, apart = interleave(started, settings.runs, settings.timeout, settings.quiet,
                                          distance=self.distances[threads])
        versions = {name: started[name].version for name in peers}
        return Result(label, times.pop("prune"), times, differences, scale, compiled, versions, apart, settings.judge,
                      settings.tolerance)


def title(label: Mapping) -> str:
    """How the weights of a setting are called."""
    return "dense" if label["weights"] == "dense" else f"{label['weights']} {label['sparsity']:.0%}"


class Reporter:
    """Prints a line for each result and rewrites the files after each. `what` are the table's first columns: a heading,
    its width, and the text for a label."""

    def __init__(self, heading: str, what: Sequence[tuple], machine: dict, settings: Settings, as_json: Path | None,
                 as_html: Path | None):
        self.heading, self.what, self.machine, self.settings = heading, what, machine, settings
        self.as_json, self.as_html = as_json, as_html
        self.results: list[Result] = []
        print(f"{heading}, {settings.numbers}, {machine['cpu']} ({machine['features']}); medians of at least {settings.runs} "
              "interleaved runs; apart: from core to core and back; x: times as fast as the peer on the same weights")
        peers = [column for other in settings.others for column in ((other, max(11, len(other))), ("x", 12))]
        self.table = Table([*((name, width) for name, width, _ in what), ("threads", 7), ("ours ms", 8),
                            ("p10-p90", 13), ("apart", 7), *peers, ("difference", 10)], left=len(what))

    def __call__(self, result: Result) -> None:
        self.results.append(result)
        cells = [*(text(result.label) for _, _, text in self.what), str(result.label["threads"]),
                 f"{result.ours.median:.2f}", f"{result.ours.low:.2f}-{result.ours.high:.2f}",
                 f"{result.distance:.0f} ns" if result.distance else "-"]
        for name in self.settings.others:
            timing = result.peers.get(name)
            cells += [f"{timing.median:.2f}", ratio(result.ours.median, timing.median)] if timing else ["-", "-"]
        cells.append((f"{result.difference:.1e}" if result.peers else "-") + ("" if result.right else " WRONG"))
        self.table.line(cells)
        self.write()

    def name(self, label: Mapping) -> str:
        """A setting in words."""
        return ", ".join([*(text(label) for _, _, text in self.what), f"{label['threads']} thread(s)"])

    def compile_note(self, result: Result) -> str:
        """What the compiler took for a setting."""
        c = result.compiled
        return (f"compile {self.name(result.label)}: {c.seconds:.1f} s, {c.peak_bytes / 1e9:.2f} GB at most; code "
                f"{c.library_bytes / 1e3:.0f} KB, weights {c.weight_bytes / 1e6:.1f} MB")

    def write(self) -> None:
        """The files that were asked for, with all results so far."""
        machine = dict(self.machine, versions={})
        for result in self.results:
            machine["versions"].update(result.versions)
        if self.as_json:
            write_json(self.as_json, {"machine": machine, "rows": [row for r in self.results for row in r.rows()],
                                      "compile": [r.compile_row() for r in self.results]})
        if self.as_html:
            versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
            write_html(self.as_html, self.heading, f"Milliseconds, shorter is better. {machine['cpu']} "
                       f"({machine['features']}), {self.settings.numbers}; {versions}; medians of interleaved runs.",
                       [self._bars(r) for r in self.results], [self.compile_note(r) for r in self.results])

    def _bars(self, result: Result) -> tuple[str, list[tuple[str, float, str]]]:
        return self.name(result.label), [
            ("prune", result.ours.median, f"{result.ours.median:.2f} ms"),
            *((name, t.median, f"{t.median:.2f} ms ({ratio(result.ours.median, t.median)})")
              for name, t in result.peers.items())]

    def finish(self) -> int:
        """The closing lines; 2 if outputs differed."""
        for result in self.results:
            print(self.compile_note(result))
        if self.settings.others:
            slower = [f"{self.name(r.label)} than {name}" for r in self.results for name, t in r.peers.items()
                      if t.median < r.ours.median]
            print("slower: " + ("; ".join(slower) or "nowhere"))
            wrong = [self.name(r.label) for r in self.results if not r.right]
            for name in self.settings.others:
                found = [r.differences[name] for r in self.results if name in r.differences]
                if found:
                    print(f"largest difference to {name}: {max(found):.1e}")
            limit = f"{self.settings.tolerance:g}" + (" of the largest output" if self.settings.relative else "")
            judge = self.settings.judge if self.settings.judge in self.settings.others else "a peer"
            print(f"outputs: within {limit} of {judge}" if not wrong else
                  f"outputs: MORE THAN {limit} from {judge}: {'; '.join(wrong)}")
        return 0 if all(r.right for r in self.results) else 2
