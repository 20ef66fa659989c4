"""`python -m prune export`: a module as a file that other programs read, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from prune import files
from prune.console import Steps
from prune.errors import PruneError
from prune.importer.load import MAX_PROTOBUF

SUFFIXES = (".onnx", ".safetensors")


@dataclass
class ExportOptions:
    """`sparse_initializers` stores weights of ONNX files sparsely where that is smaller; `timeout` (seconds) bounds
    each program that is run."""

    sparse_initializers: bool = False
    timeout: float = 600.0


@dataclass(frozen=True)
class Exported:
    """What was written. `differences` are those of each output in ONNX Runtime from the compiled module, as shares of
    its largest value; None for files that hold no program."""

    tensors: int
    masks: int
    bytes: int
    differences: dict[str, float] | None = None


def export(module: Path, target: Path, options: ExportOptions, steps: Steps) -> Exported:
    """Writes `target` in the format of its suffix. Raises PruneError; an ONNX file that ONNX Runtime does not agree
    with is not written."""
    if target.suffix not in SUFFIXES:
        raise PruneError("-o", "file name", f"'{target}'", f"an end of {' or '.join(SUFFIXES)}")
    if options.sparse_initializers and target.suffix != ".onnx":
        raise PruneError("--sparse-initializers", "output", f"'{target}'", "an ONNX file")
    files.check_target(target, "-o")
    if not module.is_file():
        raise PruneError(str(module), "input file", "no such file", "a module of linalg on tensors")
    with steps.step("read the module"):
        from prune.export.source import Source
        source = Source(module, options.timeout)
    with tempfile.TemporaryDirectory(prefix=".prune-export-", dir=target.absolute().parent) as scratch:
        written = Path(scratch) / target.name
        if target.suffix == ".safetensors":
            from prune.export import tensors
            with steps.step("write"):
                count = tensors.save(source, written)
            result = Exported(count, len(source.masks), written.stat().st_size)
        else:
            result = _onnx(source, module, written, options, steps)
        os.replace(written, target)
    return result


def _onnx(source, module: Path, written: Path, options: ExportOptions, steps: Steps) -> Exported:
    from prune.export import onnx_file
    with steps.step("translate to ONNX"):
        model = onnx_file.build(source, options.sparse_initializers)
        size = model.ByteSize()
        if size > MAX_PROTOBUF:
            raise PruneError(str(module), "ONNX file size", f"{size} bytes", f"at most {MAX_PROTOBUF}")
        written.write_bytes(model.SerializeToString())
    with steps.step("compare ONNX Runtime with the compiled module"):
        differences = onnx_file.verify(written, module, options.timeout)
    count = len(model.graph.initializer) + len(model.graph.sparse_initializer)
    return Exported(count, len(source.masks), size, differences)
