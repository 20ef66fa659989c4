"""Import of a model file: drives the steps, owns the limits, writes the result in one move."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from prune import toolchain
from prune.console import Steps
from prune.errors import PruneError, one_line

# What files of MLIR begin with, or hold within their first bytes, in contrast to protocol buffers.
_BYTECODE = b"ML\xefR"
# The parser of MLIR recurses; a nesting this deep is never a model.
MAX_NESTING = 500
# TOSA to linalg on tensors, in the order upstream's own pipeline has; casts of shapes become tensor and arith.
_TOSA = ("builtin.module(func.func(tosa-optional-decompositions,tosa-make-broadcastable,tosa-to-linalg-named,"
         "canonicalize,tosa-layerwise-constant-fold,tosa-make-broadcastable,tosa-to-linalg,tosa-to-arith,"
         "tosa-to-tensor,tosa-to-scf))")


@dataclass
class ImportOptions:
    """How to import. `shapes` and `dims` fix dynamic inputs; `keep_batch_norm` leaves batch norms that could be folded
    into weights, as training wants them; `timeout` (seconds) bounds each program that is run."""

    shapes: dict[str, list[int]] = field(default_factory=dict)
    dims: dict[str, int] = field(default_factory=dict)
    normalize: bool = True
    keep_batch_norm: bool = False
    timeout: float = 600.0


def import_model(source: Path, target: Path, options: ImportOptions | None = None, steps: Steps | None = None) -> None:
    """Writes `source` (ONNX; linalg or TOSA as MLIR text or bytecode) to `target` as MLIR: bytecode, or text if the
    name ends in `.mlir`. Raises PruneError; `target` is either complete or untouched."""
    options = options or ImportOptions()
    steps = steps or Steps("import")
    place = str(source)
    target = Path(target)
    if not target.parent.is_dir():
        raise PruneError(str(target), "output folder", f"no folder '{target.parent}'", "an existing folder")
    if target.is_dir():
        raise PruneError(str(target), "output", "a folder", "a file name")
    head = _head(source)
    with tempfile.TemporaryDirectory(prefix=".prune-import-", dir=_scratch(target)) as scratch:
        result = Path(scratch) / ("result.mlir" if target.suffix == ".mlir" else "result.mlirbc")
        if _is_mlir(source, head):
            _from_mlir(source, result, options, steps)
        else:
            linalg = Path(scratch) / "linalg.mlirbc" if options.normalize else result
            _from_onnx(source, linalg, Path(scratch), options, steps)
            if options.normalize:
                with steps.step("normalize and write"):
                    _prune_opt(linalg, result, _passes(options), place, options)
        os.replace(result, target)


def _passes(options: ImportOptions) -> list[str]:
    if not options.normalize:
        return []
    return ["--prune-normalize" + ("=fold-batch-norm=false" if options.keep_batch_norm else "")]


def _head(source: Path) -> bytes:
    try:
        with open(source, "rb") as stream:
            return stream.read(4096)
    except FileNotFoundError:
        raise PruneError(str(source), "input file", "no such file", "an ONNX or MLIR file") from None
    except OSError as error:
        raise PruneError(str(source), "input file", error.strerror or str(error), "a readable file") from None


def _scratch(target: Path) -> Path:
    """The folder of the target, so that the last step is a rename."""
    folder = target.resolve().parent
    if not os.access(folder, os.W_OK):
        raise PruneError(str(target), "output folder", f"'{folder}' without write permission", "a writable folder")
    return folder


def _is_mlir(source: Path, head: bytes) -> bool:
    if head.startswith(_BYTECODE):
        return True
    return source.suffix in (".mlir", ".mlirbc") or (source.suffix != ".onnx" and head.lstrip().startswith(
        (b"module", b"func.func", b"//", b"#", b"builtin.module", b'"builtin.module"')))


def _from_mlir(source: Path, result: Path, options: ImportOptions, steps: Steps) -> None:
    place = str(source)
    if options.shapes or options.dims:
        raise PruneError(place, "--shape/--dim", "an MLIR file", "an ONNX file: an MLIR module is taken as it is")
    with steps.step("check"):
        data = source.read_bytes()
        if not data:
            raise PruneError(place, "file size", "0 bytes", "an MLIR module")
        if not data.startswith(_BYTECODE):
            depth = _nesting(data)
            if depth > MAX_NESTING:
                raise PruneError(place, "nesting", f"{depth} levels", f"at most {MAX_NESTING}")
    passes = [f"--pass-pipeline={_TOSA}"] if b"tosa" in data else []
    with steps.step("normalize and write"):
        if passes:
            lowered = result.with_name("lowered.mlirbc")
            _prune_opt(source, lowered, passes, place, options)
            source = lowered
        _prune_opt(source, result, _passes(options), place, options)


def _nesting(data: bytes) -> int:
    """The deepest nesting of brackets, strings left out; large constants are skipped quickly."""
    depth = deepest = 0
    in_string = False
    for position, byte in _brackets(data):
        if byte == 0x22:
            if not (in_string and data[position - 1] == 0x5C):
                in_string = not in_string
        elif not in_string:
            depth = depth + 1 if byte in b"([{<" else max(0, depth - 1)
            deepest = max(deepest, depth)
    return deepest


def _brackets(data: bytes):
    # An arrow closes nothing.
    for match in re.finditer(rb'->|[(\[{<>}\])"]', data):
        if match.end() - match.start() == 1:
            yield match.start(), data[match.start()]


def _prune_opt(source: Path, result: Path, passes: list[str], place: str, options: ImportOptions) -> None:
    # Small weights have their names in locations.
    emit = ["--mlir-print-debuginfo" if result.suffix == ".mlir" else "--emit-bytecode"]
    toolchain.checked("prune-opt", [source, *passes, *emit, "-o", result], options.timeout, place,
                      expected="a valid module")


def _from_onnx(source: Path, result: Path, scratch: Path, options: ImportOptions, steps: Steps) -> None:
    """Runs the worker, forwards its progress, and turns its end into a result or a PruneError."""
    place = str(source)
    job = scratch / "job.json"
    job.write_text(json.dumps({"place": place, "input": str(source.resolve()), "output": str(result),
                               "text": result.suffix == ".mlir", "shapes": options.shapes, "dims": options.dims}))
    read, write = os.pipe()
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(
        [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]))
    with tempfile.TemporaryFile() as noise:
        worker = toolchain.start([sys.executable, "-m", "prune.importer.worker", job, str(write)], stdout=noise,
                                 stderr=noise, pass_fds=[write], env=env)
        os.close(write)
        try:
            failure = _follow(read, time.monotonic() + options.timeout, options, steps, place)
        except BaseException:
            toolchain.stop(worker)
            raise
        finally:
            os.close(read)
        status = _wait(worker, options)
        noise.seek(0)
        tail = noise.read()[-4096:].decode(errors="replace").strip().splitlines()
    if failure:
        raise _Reported(failure)
    if status < 0:
        raise PruneError(place, "import", f"a crash of the ONNX importer ({signal.Signals(-status).name})",
                         "a valid ONNX file")
    if status != 0 or not result.exists():
        raise PruneError(place, "import", one_line(tail[-1], 300) if tail else f"exit status {status}")


class _Reported(PruneError):
    """An error line that the worker has already put together."""

    def __init__(self, line: str):
        self.line = line
        super().__init__("", "", "")

    def __str__(self) -> str:
        return self.line


def _wait(worker: subprocess.Popen, options: ImportOptions) -> int:
    try:
        return worker.wait(timeout=30)
    except subprocess.TimeoutExpired:
        toolchain.stop(worker)
        return worker.returncode


def _follow(read: int, deadline: float, options: ImportOptions, steps: Steps, place: str) -> str:
    """Reads events until the worker closes its end; returns its error line or ""."""
    pending, failure, current = b"", "", "start"
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise PruneError(place, "time limit", f"no end of '{current}' within {options.timeout:g} s",
                             "a smaller or valid file, or a larger --timeout")
        chunk = os.read(read, 65536)
        if not chunk:
            return failure
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "start" in event:
                current = event["start"]
                steps.start(current)
            elif "done" in event:
                steps.done(event["done"], event["seconds"])
            elif "warning" in event:
                steps.note(f"prune import: {place}: warning: {event['warning']}")
            elif "error" in event:
                failure = event["error"]
