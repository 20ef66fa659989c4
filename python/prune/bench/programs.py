"""The programs that are timed against each other: each in a process of its own that runs on request.

Peers are installed on demand, each with its own environment, because their requirements exclude each other.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np

from prune.console import Steps
from prune.errors import PruneError, one_line

# What pip installs for each peer.
PEERS = {"onnxruntime": ["onnxruntime==1.32.0"], "openvino": ["openvino==2026.4.1"],
         "deepsparse": ["deepsparse==1.8.0", "numpy<2"]}
# The same for those that train; the graph comes as ONNX.
TRAINERS = {"jax": ["jax[cpu]==0.10.2", "onnx==1.23.2"]}
# Peers that this Python runs if it has their modules.
_MODULES = {"onnxruntime": ("onnxruntime",), "jax": ("jax", "onnx")}
# Versions of Python that have wheels of a peer; others take any.
_PYTHONS = {"deepsparse": ((3, 8), (3, 11))}
_WORKER = Path(__file__).with_name("worker.py")


def python_of(peer: str, folder: Path, steps: Steps) -> Path:
    """The Python that can import `peer`: this one, or that of an environment below `folder`, made if it is missing."""
    modules = _MODULES.get(peer, ())
    if modules and all(importlib.util.find_spec(module) for module in modules):
        return Path(sys.executable)
    wanted = {**PEERS, **TRAINERS}[peer]
    venv = folder / peer
    python, stamp = venv / "bin" / "python", venv / "prune-requirements"
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text() == digest:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{peer}.log"
    with steps.step(f"install {wanted[0]} into {venv}"), open(log, "w") as stream:
        environment = dict(os.environ)
        environment.setdefault("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt")
        for command in ([_base_python(peer), "-m", "venv", "--clear", venv],
                        [python, "-m", "pip", "install", "--only-binary", ":all:", "--no-input",
                         "--disable-pip-version-check", *wanted]):
            finished = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=stream,
                                      stderr=subprocess.STDOUT, env=environment)
            if finished.returncode != 0:
                raise PruneError(peer, "installation", _complaint(log), f"a network for pip (the log is {log})")
    stamp.write_text(digest)
    return python


def pythons_of(peers: Sequence[str], folder: Path, optional: bool, steps: Steps) -> dict[str, Path]:
    """The Python of each peer; those that cannot be installed are left out with a note if they are `optional`."""
    result = {}
    for peer in peers:
        try:
            result[peer] = python_of(peer, folder, steps)
        except PruneError as error:
            if not optional:
                raise
            steps.note(f"prune-bench: left out: {error}")
    return result


def _base_python(peer: str) -> str:
    low, high = _PYTHONS.get(peer, ((3, 0), (3, 999)))
    if low <= sys.version_info[:2] <= high:
        return sys.executable
    for minor in range(high[1], low[1] - 1, -1) if high[1] < 999 else ():
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    raise PruneError(peer, "installation", f"Python {sys.version_info[0]}.{sys.version_info[1]}",
                     f"one from {low[0]}.{low[1]} to {high[0]}.{high[1]}, which has wheels of it")


def _complaint(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return one_line((errors or lines or ["an error without words"])[0], 300)


def timed_loop(folder: Path) -> Path:
    """The loop around our code as a library."""
    target = folder / "loop.so"
    source = _WORKER.with_name("loop.c")
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".loop.{os.getpid()}.so"
        command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-pthread", "-o", str(scratch), str(source)]
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode != 0:
            raise PruneError("cc", "timed loop", one_line(finished.stderr, 200), "a C compiler")
        os.replace(scratch, target)
    return target


def round_trip(loop: Path, cores: Sequence[int]) -> float:
    """Nanoseconds from the first core to the last and back; 0 for a single core."""
    if len(cores) < 2:
        return 0.0
    function = ctypes.CDLL(str(loop)).prune_bench_round_trip
    function.restype = ctypes.c_double
    return function(cores[0], cores[-1])


class Program:
    """A model in one program: compared by `outputs`, timed by `run`. `cores` are the only ones it may use."""

    def __init__(self, kind: str, python: Path, model: Path, cores: Sequence[int], inputs: Mapping[str, np.ndarray],
                 scratch: Path, loop: Path | None = None):
        self.kind, self.model = kind, model
        source, target = scratch / f"{kind}-x.npz", scratch / f"{kind}-y.npz"
        np.savez(source, **inputs)
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        environment = dict(os.environ, OMP_NUM_THREADS=str(len(cores)), NM_DISABLE_ANALYTICS="1")
        self.process = subprocess.Popen(
            [str(python), str(_WORKER), kind, str(model), str(len(cores)), str(source), str(target),
             *([str(loop)] if loop else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self._source, self._target = source, target

    def ready(self, timeout: float) -> None:
        """Waits until the model is loaded and has run once."""
        self.version = self._answer(timeout)["version"]
        with np.load(self._target) as arrays:
            self.outputs = {name: arrays[name] for name in arrays.files}
        for path in (self._source, self._target):
            path.unlink()

    def run(self, runs: int, timeout: float) -> list[float]:
        """Milliseconds of each of `runs` runs."""
        try:
            self.process.stdin.write(f"{runs}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer(timeout)["ms"]

    def set_priority(self, priority: int) -> None:
        """Real-time priority of all threads; 0: the usual class."""
        policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                os.sched_setscheduler(int(task), policy, os.sched_param(priority))
            except ProcessLookupError:
                pass
            except PermissionError:
                raise PruneError("--priority", "permission", f"none for real-time priority {priority}",
                                 "the right to set it (root, or CAP_SYS_NICE)") from None

    def rest(self) -> None:
        """Halts all threads: those of some programs spin for a while after a run, on cores that others are to have."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Undoes `rest`."""
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def _answer(self, timeout: float) -> dict:
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            raise PruneError(self.kind, "time limit", f"no answer within {timeout:g} s", "a smaller model or a larger "
                             "--timeout")
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.log.seek(0)
            lines = [line for line in self.log.read().splitlines() if line.strip()]
            raise PruneError(self.kind, self.model.name, one_line(lines[-1], 300) if lines else f"exit status {status}")
        return json.loads(line)
