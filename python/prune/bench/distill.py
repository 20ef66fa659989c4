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

    def student(self, *passes: str) -> Path:
        """The pruned encoder: neurons gone, or masks that `passes` decide."""
        settings = self.settings
        if settings.pattern == NEURONS:
            first = [f"--prune-select-groups=ratio={settings.sparsity} kinds=neurons", "--prune-shrink"]
        else:
            first = [f"--prune-create-masks=pattern={settings.pattern} sparsity={settings.sparsity} "
                     f"layer-split={settings.split} criterion={settings.start} {INCLUDE}"]
        return self.opt(self.dense, self.file("student"), *first, *passes)

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


def distill(settings: DistillSettings, steps: Steps) -> dict[str, object]:
    """Runs everything; returns the row of the report."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    text = sentences.read(settings.text) if settings.text else sentences.gather(13500)
    if len(text) < settings.held_out + len(LENGTHS) * BATCH:
        raise PruneError("--sentences", "sentences", str(len(text)), f"more than the {settings.held_out} held out")
    tests = minilm.tokenize(text[:settings.held_out], TEST_LENGTH)
    tokens = minilm.tokenize(text[settings.held_out:], LENGTHS[-1])
    buckets = split(tokens)

    with steps.step("import the dense encoder and embed the sentences held out"):
        whole = _Encoder(settings, BATCH, TEST_LENGTH)
        dense = whole.embed(whole.dense, tests)
        shapes = {length: _Encoder(settings, BATCH, length) for length in buckets}

    begin = time.monotonic()
    with steps.step(f"prune at once ({settings.start})"):
        first = whole.student(*decide(settings, tokens))
        untrained = whole.file("untrained")
        first.rename(untrained)
    pruning = time.monotonic() - begin
    one_shot = cosine(dense, whole.embed(untrained, tests))
    steps.note(f"{settings.pattern} {settings.sparsity:.0%}, {settings.start}: cosine {one_shot:.3f} in {pruning:.0f} s")

    begin = time.monotonic()
    with steps.step("build the training modules"):
        # What training begins with, as the functions of all shapes know it by name.
        start = settings.folder / "start.npz"
        initial = compile_program({"init": (whole.training(untrained, settings.steps), "init")}, 1, settings.timeout)
        write(start, initial.call("init"))
        initial.close()
        modules = {length: encoder.training(encoder.student(f"--prune-load-weights=file={start}"), settings.steps)
                   for length, encoder in shapes.items()}
    shortest = modules[min(modules)]
    program = compile_program({"init": (shortest, "init"), **{
        f"train_step_{length}": (module, "train_step") for length, module in modules.items()}}, settings.threads,
        settings.timeout, steps)
    source = data.Buckets({name: data.Arrays(buckets[length], program.feeds(name), name)
                           for length in modules for name in [f"train_step_{length}"]})
    trained = settings.folder / "trained.npz"
    train(program, source, LoopOptions(settings.steps), Progress("distil", settings.steps, steps.stream))
    write(trained, program.weights)
    program.close()
    minutes = (time.monotonic() - begin + pruning) / 60
    final = cosine(dense, whole.embed(whole.student(f"--prune-load-weights=file={trained}", "--prune-verify-masks"), tests))
    return {"pattern": settings.pattern, "sparsity": settings.sparsity, "start": settings.start, "one_shot": one_shot,
            "trained": final, "steps": settings.steps, "minutes": minutes, "threads": settings.threads,
            "sentences": len(text) - settings.held_out, "held_out": settings.held_out}


def split(tokens: dict[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    """The sentences by the shortest of LENGTHS that holds them, cut to it."""
    sizes = tokens["attention_mask"].sum(axis=1)
    buckets = {}
    for shorter, length in zip((0, *LENGTHS), LENGTHS):
        chosen = (sizes > shorter) & (sizes <= length)
        if chosen.any():
            buckets[length] = {name: array[chosen, :length] for name, array in tokens.items()}
    return buckets


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the sentences, of embeddings of length 1."""
    return float((a * b).sum(axis=1).mean())


def decide(settings: DistillSettings, tokens: dict[str, np.ndarray]) -> list[str]:
    """The passes that decide masks."""
    if settings.pattern == NEURONS:
        return []
    return ["--prune-evaluate-masks"]
