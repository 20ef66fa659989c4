"""MiniLM distilled against its dense self on sentences: how near the pruned encoder's embeddings come to the dense one's.

The figure is the mean cosine similarity of mean-pooled embeddings on sentences that were not trained on. The student learns
the hidden states of all layers and the embedding of the teacher, in batches of sentences of about one length.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune import toolchain
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.files import write_json
from prune.importer.driver import ImportOptions, import_model
from prune.models import minilm, sentences
from prune.train import data
from prune.train.job import write
from prune.train.loop import LoopOptions, train
from prune.train.runner import Function, Program, aligned, compile_program

# The 36 matrices of the layers; the embedding tables stay as they are.
INCLUDE = "include=^encoder"
TRAINING = ("loss=mse optimizer=adam lr-schedule=cosine hardness=1 distill=hidden.*=mse,embedding=cosine:4 "
            "row-weights=attention_mask freeze=^embeddings")
# Tokens of a sentence at most, in training by buckets, and sentences at once.
LENGTHS, BATCH = (16, 24, 32, 48), 16
TEST_LENGTH = 64
NEURONS = "neurons"


@dataclass
class DistillSettings:
    """`pattern` is one of masks, or `neurons`, which takes them out of the feed-forward layers. `start` says how masks and
    weights begin, `text` is a file of sentences (None: those of the Python that runs), whose first `held_out` are only
    tested on."""

    folder: Path
    pattern: str
    sparsity: float
    start: str
    split: str
    steps: int
    rate: float
    threads: int
    held_out: int
    text: Path | None
    timeout: float
    report: Path | None


class _Encoder:
    """Files of the encoder for one shape of input."""

    def __init__(self, settings: DistillSettings, batch: int, tokens: int):
        import onnx
        self.settings = settings
        self.name = f"{batch}x{tokens}"
        self.dense = self.file("dense")
        if not self.dense.exists():
            source = self.file("onnx").with_suffix(".onnx")
            onnx.save(minilm.build(batch, tokens, hidden_states=True), source)
            import_model(source, self.dense, ImportOptions(timeout=settings.timeout))

    def file(self, kind: str) -> Path:
        return self.settings.folder / f"{kind}-{self.name}.mlirbc"

    def opt(self, source: Path, target: Path, *passes: str) -> Path:
        """Runs passes of the compiler."""
        finished = toolchain.run([toolchain.find_tool("prune-opt"), source, *passes, "--emit-bytecode", "-o", target],
                                 self.settings.timeout, str(source))
        if finished.status != 0:
            raise PruneError(str(source), "prune-opt", toolchain.describe_failure(finished))
        return target

    def pruned(self, values: Path | None) -> Path:
        """The student with undecided masks, or with the masks and weights of `values`."""
        settings = self.settings
        if settings.pattern == NEURONS:
            passes = [f"--prune-select-groups=ratio={settings.sparsity} kinds=neurons", "--prune-shrink"]
        else:
            passes = [f"--prune-create-masks={masks(settings)}"]
        if values is not None:
            passes.append(f"--prune-load-weights=file={values}")
        return self.opt(self.dense, self.file("pruned"), *passes)

    def training(self, student: Path, steps: int) -> Path:
        return self.opt(student, self.file("training"),
                        f"--prune-train={TRAINING} lr={self.settings.rate:g} steps={steps} teacher={self.dense}")

    def embed(self, model: Path, tokens: dict[str, np.ndarray]) -> np.ndarray:
        """The embeddings, of length 1, that the compiled model gives."""
        library = self.settings.folder / f"{model.stem}.so"
        finished = toolchain.run([toolchain.find_tool("prune-compile"), model, "-o", library, "--name", "encoder",
                                  f"--threads={self.settings.threads}"], self.settings.timeout, str(model))
        if finished.status != 0:
            raise PruneError(str(model), "prune-compile", toolchain.describe_failure(finished))
        function = Function("encoder", library)
        inputs = [aligned(t.shape, t.dtype) for t in function.inputs]
        outputs = {t.name: aligned(t.shape, t.dtype) for t in function.outputs}
        call = function.pointers(inputs), function.pointers(outputs.values())
        parts = []
        for batch, count in data.Arrays(tokens, function.inputs, "sentences").blocks():
            for buffer, tensor in zip(inputs, function.inputs):
                buffer[...] = batch[tensor.name]
            function.run(*call)
            parts.append(outputs["embedding"][:count].copy())
        function.close()
        embeddings = np.concatenate(parts)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def masks(settings: DistillSettings) -> str:
    """Options of prune-create-masks."""
    return (f"pattern={settings.pattern} sparsity={settings.sparsity} layer-split={settings.split} "
            f"criterion={settings.start} {INCLUDE}")
