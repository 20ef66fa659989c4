"""Finds the programs of the compiler and runs them with a limit on time and memory."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from prune.errors import PruneError, one_line


@dataclass
class Finished:
    """What a program left behind: exit status (negative: signal) and its two output streams."""

    status: int
    stdout: str
    stderr: str


def find_tool(name: str) -> Path:
    """The program `name`: below $PRUNE_BIN, beside the virtual environment (build/venv -> build/bin), or on PATH."""
    places = [Path(os.environ["PRUNE_BIN"])] if os.environ.get("PRUNE_BIN") else []
    places.append(Path(sys.prefix).parent / "bin")
    places.append(Path(__file__).resolve().parents[2] / "build" / "bin")
    for place in places:
        if (place / name).is_file() and os.access(place / name, os.X_OK):
            return place / name
    found = shutil.which(name)
    if found:
        return Path(found)
    raise PruneError(name, "program", f"none in {', '.join(map(str, places))} nor on PATH",
                     "a built tree (cmake --build build), or PRUNE_BIN set to its bin folder")


def memory_limit() -> int:
    """The address space a child may use: the machine's memory and a fixed allowance for mapped libraries and stacks."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") + (8 << 30)


def _limit_child() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit(), resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def start(command: Sequence[str | Path], **options) -> subprocess.Popen:
    """A child in its own process group, under the memory limit, without core dumps."""
    return subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, start_new_session=True,
                            preexec_fn=_limit_child, **options)


def stop(child: subprocess.Popen) -> None:
    """Ends a child and all its own children."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def run(command: Sequence[str | Path], timeout: float, place: str, env: dict[str, str] | None = None) -> Finished:
    """Runs a program to its end; past `timeout` seconds it is stopped and a PruneError names it."""
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        child = start(command, stdout=out, stderr=err, env=env)
        try:
            child.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            stop(child)
            raise PruneError(place, "time limit", f"no end of {Path(command[0]).name} within {timeout:g} s",
                             "a smaller or valid file, or a larger --timeout") from None
        except BaseException:
            stop(child)
            raise
        out.seek(0), err.seek(0)
        return Finished(child.returncode, out.read(), err.read())


def checked(tool: str, arguments: Sequence[str | Path], timeout: float, place: str, rule: str = "", expected: str = "",
            env: dict[str, str] | None = None) -> Finished:
    """Runs a program of the compiler. If it fails, its first diagnostic is the PruneError of `place`; `rule` is the
    program if nothing is given."""
    finished = run([find_tool(tool), *arguments], timeout, place, env)
    if finished.status != 0:
        raise PruneError(place, rule or tool, describe_failure(finished), expected)
    return finished


def describe_failure(finished: Finished) -> str:
    """The first diagnostic of a failed program in one line; how it ended if it printed none."""
    for line in finished.stderr.splitlines():
        if "error:" in line:
            return one_line(line.split("error:", 1)[1], 300)
    if finished.status < 0:
        return f"end by signal {signal.Signals(-finished.status).name}"
    lines = [line for line in finished.stderr.splitlines() if line.strip()]
    return one_line(lines[0], 300) if lines else f"exit status {finished.status}"
