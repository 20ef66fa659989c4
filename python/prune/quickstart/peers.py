"""The two programs that are timed against each other: prune-run in its own process, ONNX Runtime in this one.

Both are asked for short blocks of runs in turn, so that a disturbance of the machine or a change of its clock hits
both; the first runs of a block, which find the caches full of the other's data, are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np

from prune import toolchain
from prune.errors import PruneError, one_line

# Runs at the begin of a block that are not counted.
WARM_UP = 2


class Compiled:
    """A lowered module in prune-run. Use as a context manager; `outputs` works without entering."""

    def __init__(self, module: Path, threads: int, timeout: float):
        self.module, self.timeout = module, timeout
        self.env = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process: subprocess.Popen | None = None

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs for stacked inputs [cases, *shape]."""
        with tempfile.TemporaryDirectory(prefix="prune-quickstart-") as scratch:
            source, result = Path(scratch) / "x.npz", Path(scratch) / "y.npz"
            np.savez(source, **inputs)
            toolchain.checked("prune-run", [self.module, f"--inputs={source}", "--cases", f"--outputs={result}"],
                              self.timeout, str(self.module), env=self.env)
            with np.load(result) as arrays:
                return {name: arrays[name] for name in arrays.files}

    def start(self, inputs: Mapping[str, np.ndarray], scratch: Path) -> None:
        """Compiles and waits for requests."""
        source = scratch / f"{self.module.stem}-x.npz"
        np.savez(source, **inputs)
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            [str(toolchain.find_tool("prune-run")), str(self.module), f"--inputs={source}", "--benchmark-on-request"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env)
        self.block(1)

    def block(self, runs: int) -> list[float]:
        """Times `runs` runs after the warm-up, in milliseconds."""
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{runs + WARM_UP}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise PruneError(str(self.module), "prune-run", one_line(self.log.read()) or
                             f"exit status {self.process.returncode}")
        return [float(ms) for ms in json.loads(line)["ms"]][WARM_UP:]

    def stop(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            self.log.close()


class OnnxRuntime:
    """A model in ONNX Runtime with a fixed number of threads that rest between runs."""

    def __init__(self, model: Path, threads: int):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Its threads would otherwise keep spinning on the cores while the other program is timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        self.version = onnxruntime.__version__
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs for stacked inputs [cases, *shape]."""
        count = len(next(iter(inputs.values())))
        results = [self.session.run(None, {n: v[i] for n, v in inputs.items()}) for i in range(count)]
        return {name: np.stack([r[k] for r in results]) for k, name in enumerate(self.names)}

    def block(self, inputs: Mapping[str, np.ndarray], runs: int) -> list[float]:
        """Times `runs` runs after the warm-up, in milliseconds."""
        times = []
        for _ in range(runs + WARM_UP):
            begin = time.perf_counter()
            self.session.run(None, inputs)
            times.append((time.perf_counter() - begin) * 1e3)
        return times[WARM_UP:]


def interleave(ours: Sequence[Compiled], peer: OnnxRuntime, inputs: Mapping[str, np.ndarray], blocks: int,
               runs: int) -> tuple[list[list[float]], list[float]]:
    """Alternating blocks of all; returns the times of each of ours and of the peer in milliseconds."""
    times: list[list[float]] = [[] for _ in ours]
    peer_times: list[float] = []
    for _ in range(blocks):
        peer_times += peer.block(inputs, runs)
        for program, collected in zip(ours, times):
            # OpenMP's threads stay awake for a while after a run.
            time.sleep(0.25)
            collected += program.block(runs)
        time.sleep(0.25)
    return times, peer_times
