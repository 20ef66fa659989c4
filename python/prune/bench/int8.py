"""A pruned model in int8: ours, and the same masked weights as ONNX Runtime's quantizers write them for the peers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping

import numpy as np

from prune.bench import ours
from prune.bench.compare import Rival
from prune.errors import PruneError

# Programs besides the peers, which get the static form: ours in f32, ours in int8 without VNNI, which decides whether the
# bits are right, and the form that measures the ranges of activations in each run.
RIVALS = ("prune-f32", "prune-no-vnni", "onnxruntime-dynamic")
JUDGE = "prune-no-vnni"
_WITHOUT_VNNI = "features=-avx512vnni,-avxvnni"


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The quantizers recommend steps that change nothing here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _drop_unused_domains(path: Path) -> None:
    """Some peers refuse versions of operator sets that they do not know, used or not."""
    import onnx
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    for entry in [entry for entry in model.opset_import if entry.domain and entry.domain not in used]:
        model.opset_import.remove(entry)
    onnx.save(model, path)


def write_onnx(model: Path, examples: Mapping[str, np.ndarray], batch: int, static: Path, dynamic: Path) -> None:
    """Both forms of `model`: weights int8 by row, only products with weights. Ranges of the static one are those of the
    examples, `batch` at a time."""
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    except ModuleNotFoundError:
        raise PruneError("--int8", "quantizer", "no Python package onnxruntime", "pip install onnxruntime") from None

    class Reader(CalibrationDataReader):
        """The examples in order."""

        def __init__(self):
            size = len(next(iter(examples.values())))
            self.blocks = ({name: value[first:first + batch] for name, value in examples.items()}
                           for first in range(0, size - batch + 1, batch))

        def get_next(self):
            return next(self.blocks, None)

    common = {"per_channel": True, "weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul", "Gemm"],
              "extra_options": {"MatMulConstBOnly": True}}
    with _without_warnings():
        quantize_static(model, static, Reader(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, **common)
        quantize_dynamic(model, dynamic, **common)
    _drop_unused_domains(static)
    _drop_unused_domains(dynamic)


def quantize(pruned: Path, target: Path, examples: Mapping[str, np.ndarray], include: str, timeout: float) -> None:
    """Ours, with the same examples."""
    data = target.with_suffix(".npz")
    np.savez(data, **examples)
    ours.prune_opt(pruned, target, [f"--prune-quantize=data={data} {include}"], timeout)


def make_rivals(pruned: Path, quantized: Path, dynamic: Path, folder: Path, timeout: float, threads: int) -> dict[str, Rival]:
    """Compiles ours in the forms to compare with."""
    def compiled(name: str, source: Path, options: str = "") -> Rival:
        own = folder / name
        own.mkdir(exist_ok=True)
        return Rival("prune", ours.compile_library(source, own / "ours.so", threads, timeout, options).library)
    return {"prune-f32": compiled("f32", pruned), "prune-no-vnni": compiled("no-vnni", quantized, _WITHOUT_VNNI),
            "onnxruntime-dynamic": Rival("onnxruntime", dynamic)}
