"""MiniLM-L6 with real weights, pruned in several ways, against the peers on the same masked weights."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence

import numpy as np

from prune.bench import ours, programs
from prune.bench.report import Table, ratio, write_html, write_json
from prune.bench.timing import Distance, Quiet, Timing, interleave
from prune.console import Steps
from prune.errors import PruneError

# The encoder's 36 matrices; not the embedding tables.
INCLUDE = r"^encoder\."
TOLERANCE = 1e-4


@dataclass
class Settings:
    """What to run and how; `folder` holds the peers' environments and scratch files."""

    folder: Path
    weights: Sequence[str] = ("unstructured", "4x1", "2:4", "dense")
    sparsity: Sequence[float] = (0.5, 0.8, 0.9, 0.95)
    batch: Sequence[int] = (1, 16)
    tokens: int = 128
    threads: Sequence[int] = (1, 2)
    peers: Sequence[str] = ("onnxruntime", "openvino", "deepsparse")
    runs: int = 30
    timeout: float = 900.0
    quiet: Quiet = field(default_factory=Quiet)
    # Peers that cannot be installed or cannot run a model are left out with a note.
    optional: bool = False


@dataclass
class Result:
    """One setting, timed together with all peers."""

    label: dict[str, object]
    ours: Timing
    peers: dict[str, Timing]
    differences: dict[str, float]
    compiled: ours.Compiled
    versions: dict[str, str]
    # Nanoseconds between the cores and back; 0 for one core.
    distance: float

    def compile_row(self) -> dict[str, object]:
        """What compiling took."""
        return {**self.label, "seconds": round(self.compiled.seconds, 2), "peak_bytes": self.compiled.peak_bytes,
                "library_bytes": self.compiled.library_bytes, "weight_bytes": self.compiled.weight_bytes}

    def rows(self) -> list[dict[str, object]]:
        """The rows of the JSON report, one for each peer."""
        return [{**self.label, "peer": name, "ours_ms": round(self.ours.median, 4), "peer_ms": round(t.median, 4),
                 "max_abs_diff": self.differences[name]} for name, t in self.peers.items()]


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


def prune_flag(weights: str, sparsity: float, include: str = "") -> str:
    """The pipeline that makes such weights."""
    target = "" if ":" in weights else f" sparsity={sparsity}"
    return f"--prune=criterion=magnitude pattern={weights}{target} scope=layer" + (f" include={include}" if include else "")


def cores_for(threads: int) -> list[int]:
    """The cores that every program is bound to: the last ones, as interrupts often go to the first."""
    return sorted(os.sched_getaffinity(0))[-threads:]


def distances_of(threads: Sequence[int], folder: Path) -> dict[int, Distance]:
    """What measures how far the cores of so many threads are apart."""
    loop = programs.timed_loop(folder)
    return {n: Distance(partial(programs.round_trip, loop, cores_for(n))) for n in threads}


def difference(kind: str, found: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> float:
    """The largest absolute difference over all outputs, which must have the same names or the same order."""
    pairs = [(found[n], reference[n]) for n in reference] if set(found) == set(reference) else \
        list(zip(found.values(), reference.values()))
    if len(found) != len(reference) or any(a.shape != b.shape for a, b in pairs):
        raise PruneError(kind, "outputs", str([v.shape for v in found.values()]), str([v.shape for v in reference.values()]))
    result = max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs)
    if not np.isfinite(result):
        raise PruneError(kind, "outputs", "values that are not finite", "finite ones")
    return result


def compare_and_time(pythons: Mapping[str, Path], compiled: ours.Compiled, model: Path, inputs: Mapping[str, np.ndarray],
                     threads: int, settings, scratch: Path, label: dict, distance: Distance, steps: Steps) -> Result:
    """Starts our library and all peers, compares outputs, then times them in turn."""
    cores = cores_for(threads)
    with ExitStack() as stack:
        started = {}
        with steps.step("start the programs and compare outputs"):
            loop = programs.timed_loop(settings.folder)
            for name, python in {"prune": Path(sys.executable), **pythons}.items():
                source = compiled.library if name == "prune" else model
                program = programs.Program(name, python, source, cores, inputs, scratch, loop)
                stack.callback(program.stop)
                try:
                    program.ready(settings.timeout)
                except PruneError as error:
                    if name == "prune" or not settings.optional:
                        raise
                    steps.note(f"prune-bench: left out: {error}")
                    continue
                started[name] = program
        peers = [name for name in started if name != "prune"]
        found = started["prune"].outputs
        differences = {name: difference(name, found, started[name].outputs) for name in peers}
        with steps.step("time"):
            times, apart = interleave(started, settings.runs, settings.timeout, settings.quiet, distance=distance)
    versions = {name: started[name].version for name in peers}
    return Result(label, times.pop("prune"), times, differences, compiled, versions, apart)


def print_result(table: Table, peers: Sequence[str], result: Result) -> None:
    """One line of the table: ours, then each peer with the ratio."""
    label = result.label
    cells = [title(label), f"{label['batch']} x {label['tokens']}", str(label["threads"]), f"{result.ours.median:.2f}",
             f"{result.ours.low:.2f}-{result.ours.high:.2f}", f"{result.distance:.0f} ns" if result.distance else "-"]
    for name in peers:
        timing = result.peers.get(name)
        cells += [f"{timing.median:.2f}", ratio(result.ours.median, timing.median)] if timing else ["-", "-"]
    worst = max(result.differences.values(), default=0.0)
    cells.append(f"{worst:.1e}" + ("" if worst <= TOLERANCE else " DIFFERENT") if result.peers else "-")
    table.line(cells)


def report(settings: Settings, steps: Steps, machine: dict, as_json: Path | None, as_html: Path | None) -> int:
    """Runs everything, prints a line for each setting and rewrites the reports after each; 2 if outputs differed."""
    results: list[Result] = []
    print(f"all-MiniLM-L6-v2, f32, {machine['cpu']} ({machine['features']}); medians of at least {settings.runs} "
          "interleaved runs; apart: from core to core and back; x: times as fast as the peer on the same weights")
    table = Table([("weights", 16), ("input", 8), ("threads", 7), ("ours ms", 8), ("p10-p90", 13), ("apart", 7),
                   *(c for p in settings.peers for c in ((p, 11), ("x", 12))), ("difference", 11)])

    def emit(result: Result) -> None:
        results.append(result)
        print_result(table, settings.peers, result)
        about = dict(machine, versions={**machine.get("versions", {}), **result.versions})
        if as_json:
            write_json(as_json, {"machine": about, "rows": [row for r in results for row in r.rows()],
                                 "compile": [r.compile_row() for r in results]})
        if as_html:
            versions = ", ".join(f"{n} {v}" for n, v in about["versions"].items())
            write_html(as_html, "all-MiniLM-L6-v2, pruned", f"Milliseconds, shorter is better. {machine['cpu']} "
                       f"({machine['features']}), f32; {versions}; medians of interleaved runs.",
                       [bars(r) for r in results], [compile_note(r) for r in results])

    run(settings, steps, emit)
    for result in results:
        print(compile_note(result))
    worst = max((d for r in results for d in r.differences.values()), default=0.0)
    if settings.peers:
        slower = [f"{title(r.label)} {r.label['batch']} x {r.label['tokens']} {r.label['threads']} thread(s) than {n}"
                  for r in results for n, t in r.peers.items() if t.median < r.ours.median]
        print("slower: " + ("nowhere" if not slower else "; ".join(slower)))
        print(f"largest difference to a peer: {worst:.1e}, {'within' if worst <= TOLERANCE else 'ABOVE'} {TOLERANCE:g}")
    return 0 if worst <= TOLERANCE else 2


def title(label: Mapping) -> str:
    """How a setting is called."""
    return "dense" if label["weights"] == "dense" else f"{label['weights']} {label['sparsity']:.0%}"


def compile_note(result: Result) -> str:
    """What the compiler took for a setting."""
    c = result.compiled
    return (f"compile {title(result.label)}, {result.label['batch']} x {result.label['tokens']}, "
            f"{result.label['threads']} thread(s): {c.seconds:.1f} s, {c.peak_bytes / 1e9:.2f} GB at most; code "
            f"{c.library_bytes / 1e3:.0f} KB, weights {c.weight_bytes / 1e6:.1f} MB")


def bars(result: Result) -> tuple[str, list[tuple[str, float, str]]]:
    """A setting as a group of bars."""
    label = result.label
    return (f"{title(label)}, {label['batch']} x {label['tokens']} tokens, {label['threads']} thread(s)",
            [("prune", result.ours.median, f"{result.ours.median:.2f} ms"),
             *((name, t.median, f"{t.median:.2f} ms ({ratio(result.ours.median, t.median)})")
               for name, t in result.peers.items())])


def run(settings: Settings, steps: Steps, emit: Callable[[Result], None]) -> None:
    """Runs all settings; `emit` gets each result as soon as it is there."""
    import onnx

    from prune.importer.driver import ImportOptions, import_model
    from prune.models import minilm
    from prune.quickstart.job import sentences
    from prune.weights import masked_weights, put_into_onnx

    pythons = programs.pythons_of(settings.peers, settings.folder, settings.optional, steps)
    scratch = settings.folder / "minilm"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    distances = distances_of(settings.threads, settings.folder)
    for batch in settings.batch:
        lines = sentences()
        tokens = minilm.tokenize([lines[i % len(lines)] for i in range(batch)], settings.tokens)
        source, imported = scratch / "dense.onnx", scratch / "dense.mlirbc"
        with steps.step(f"build and import MiniLM-L6, {batch} x {settings.tokens} tokens"):
            onnx.save(minilm.build(batch, settings.tokens), source)
            import_model(source, imported, ImportOptions(timeout=settings.timeout))
        for weights, sparsity in settings_of(settings.weights, settings.sparsity):
            label = {"weights": weights, "sparsity": round(sparsity, 4), "batch": batch, "tokens": settings.tokens}
            pruned, model = imported, source
            if weights != "dense":
                with steps.step(f"{title(label)}: prune, write the same weights as ONNX"):
                    pruned, model = scratch / "pruned.mlirbc", scratch / "pruned.onnx"
                    ours.prune_opt(imported, pruned, [prune_flag(weights, sparsity, INCLUDE)], settings.timeout)
                    masked = masked_weights(pruned, settings.timeout)
                    graph = onnx.load(source)
                    if not masked or put_into_onnx(graph, masked) != len(masked):
                        raise PruneError(str(pruned), "pruned weights", "some without an ONNX initializer", "all of them")
                    onnx.save(graph, model)
            for threads in settings.threads:
                with steps.step(f"{title(label)}: compile for {threads} thread(s)"):
                    compiled = ours.compile_library(pruned, scratch / "ours.so", threads, settings.timeout)
                emit(compare_and_time(pythons, compiled, model, tokens, threads, settings, scratch,
                                      {**label, "threads": threads}, distances[threads], steps))
    shutil.rmtree(scratch, ignore_errors=True)
