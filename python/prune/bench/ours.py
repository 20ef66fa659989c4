"""Our side: a module pruned by the compiler's passes and compiled to a C library, with what that cost."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from prune import toolchain
from prune.errors import PruneError
from prune.train import data
from prune.train.runner import Function


@dataclass(frozen=True)
class Compiled:
    """A library that prune-compile wrote, with the seconds and the peak memory of doing so."""

    library: Path
    seconds: float
    peak_bytes: int
    library_bytes: int
    weight_bytes: int


def prune_opt(source: Path, target: Path, flags: list[str], timeout: float) -> None:
    """One step of the compiler, bytecode to bytecode."""
    toolchain.checked("prune-opt", [source, *flags, "--emit-bytecode", "-o", target], timeout, str(source),
                      f"prune-opt {flags[0].split('=')[0]}")


def compile_library(source: Path, target: Path, threads: int, timeout: float, options: str = "",
                    chip: str = "") -> Compiled:
    """prune-compile, measured; with `chip` for that GPU."""
    command = [toolchain.find_tool("prune-compile"), source, "-o", target, f"--gpu={chip}" if chip else f"--threads={threads}"]
    if options:
        command.append(f"--pipeline-options={options}")
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        child = toolchain.start(command, stdout=log, stderr=log)
        try:
            # wait4, for the memory that this child alone took.
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() - begin > timeout:
                    raise PruneError(str(source), "time limit", f"no end of prune-compile within {timeout:g} s",
                                     "a larger --timeout")
                time.sleep(0.01)
        except BaseException:
            toolchain.stop(child)
            raise
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        if child.returncode != 0:
            log.seek(0)
            raise PruneError(str(source), "prune-compile", toolchain.describe_failure(
                toolchain.Finished(child.returncode, "", log.read())))
    weights = target.with_suffix(".weights")
    return Compiled(target, seconds, usage.ru_maxrss * 1024, target.stat().st_size,
                    weights.stat().st_size if weights.exists() else 0)


def run_library(name: str, library: Path, arrays: Mapping[str, np.ndarray], place: str,
                module: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All examples through the function of a library: the results by name, and the inputs of the first batch. `place`
    is what the arrays are called in errors, `module` the function."""
    function = Function(name, library)
    try:
        examples = data.Arrays(arrays, function.inputs, place)
        bound = function.bind()
        found: dict[str, list[np.ndarray]] = {t.name: [] for t in function.outputs}
        first: dict[str, np.ndarray] = {}
        for batch, count in examples.blocks():
            first = first or batch
            for output, value in bound(batch).items():
                if value.ndim == 0 or len(value) != examples.size:
                    raise PruneError(str(module), f"output '{output}'", f"shape {list(value.shape)}",
                                     f"{examples.size} examples first, as the inputs have")
                found[output].append(value[:count].copy())
    finally:
        function.close()
    return {output: np.concatenate(parts) for output, parts in found.items()}, first


def run_module(module: Path, arrays: Mapping[str, np.ndarray], folder: Path, threads: int,
               timeout: float) -> dict[str, np.ndarray]:
    """The results of a module on tensors for all examples, by name."""
    # A library from a path that one was loaded from before would not be loaded again.
    with tempfile.TemporaryDirectory(dir=folder) as own:
        compiled = compile_library(module, Path(own) / "module.so", threads, timeout)
        return run_library("module", compiled.library, arrays, "examples", module)[0]
