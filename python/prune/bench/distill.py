"""MiniLM distilled against its dense self on sentences: how near the pruned encoder's embeddings come to its own.

The figure is the mean cosine similarity of mean-pooled embeddings on sentences that were not trained on. The student
learns the hidden states of all layers and the embedding of the teacher, in batches of sentences of about one length.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from prune import toolchain
from prune.bench import compare, ours
from prune.bench.report import Table
from prune.console import Progress, Steps
from prune.errors import PruneError
from prune.files import write_json
from prune.importer.driver import ImportOptions, import_model
from prune.models import sentences
from prune.train import data
from prune.train.job import write
from prune.train.loop import LoopOptions, train
from prune.train.runner import compile_program

# The 36 matrices of the layers; the embedding tables stay as they are.
INCLUDE = "include=^encoder"
TRAINING = ("loss=mse optimizer=adam lr-schedule=cosine hardness=1 distill=hidden.*=mse,embedding=cosine:4 "
            "row-weights=attention_mask freeze=^embeddings")
# How masks and weights begin: a criterion of masks, and the pass that decides them from the file of examples. Neurons
# are chosen as OBS does.
STARTS = {"magnitude": ("magnitude", "--prune-evaluate-masks"),
          "sparsegpt": ("sparsegpt", "--prune-calibrate-masks=data={} padding=attention_mask refit=true "
                                     "column-counts=ranked")}
COMPENSATION = "--prune-compensate-groups=data={} padding=attention_mask units=obs"
EXAMPLES = 512
# Tokens of a sentence at most, in training by buckets, and sentences at once.
LENGTHS, BATCH = (16, 24, 32, 48), 16
TEST_LENGTH = 64
NEURONS = "neurons"
PATTERNS = ("unstructured", "4x1", "2:4", NEURONS)
# Sentences to gather where there is no file of them.
GATHERED = 13500


@dataclass
class Settings:
    """What to run. `weights` are patterns of masks, or `neurons`, which takes them out of the feed-forward layers;
    `start` says how masks and weights begin. `text` is a file of sentences (None: those of the Python that runs), whose
    first `held_out` are only tested on."""

    folder: Path
    weights: Sequence[str]
    sparsity: Sequence[float]
    start: str
    split: str
    steps: int
    rate: float
    threads: int
    held_out: int
    text: Path | None
    timeout: float


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None) -> int:
    """Runs all settings; returns the exit status."""
    text = sentences.read(settings.text) if settings.text else sentences.gather(GATHERED)
    least = settings.held_out + len(LENGTHS) * BATCH
    if len(text) < least:
        raise PruneError("--sentences", "sentences", str(len(text)),
                         f"at least {least} with {settings.held_out} held out")
    table = Table([("weights", 18), ("start", 10), ("at once", 8), ("trained", 8), ("steps", 6), ("minutes", 8)], 2)
    rows = []
    with compare.scratch_folder(settings.folder) as folder:
        for pattern in settings.weights:
            for sparsity in settings.sparsity:
                rows.append(_distill(settings, pattern, sparsity, text, Path(folder), steps))
                table.line([f"{pattern} {sparsity:.0%}", rows[-1]["start"], f"{rows[-1]['one_shot']:.3f}",
                            f"{rows[-1]['trained']:.3f}", str(settings.steps), f"{rows[-1]['minutes']:.1f}"])
                if as_json:
                    write_json(as_json, {"machine": machine, "threads": settings.threads, "held_out": settings.held_out,
                                         "sentences": len(text) - settings.held_out, "rows": rows})
    return 0


class _Encoder:
    """Files of the encoder for one shape of input."""

    def __init__(self, settings: Settings, pattern: str, sparsity: float, folder: Path, batch: int, tokens: int):
        import onnx

        from prune.models import minilm
        self.settings, self.pattern, self.sparsity, self.folder = settings, pattern, sparsity, folder
        self.name = f"{batch}x{tokens}"
        self.dense = self.file("dense")
        if not self.dense.exists():
            source = self.file("onnx").with_suffix(".onnx")
            onnx.save(minilm.build(batch, tokens, hidden_states=True), source)
            import_model(source, self.dense, ImportOptions(timeout=settings.timeout))

    def file(self, kind: str) -> Path:
        return self.folder / f"{kind}-{self.name}.mlirbc"

    def opt(self, source: Path, target: Path, *passes: str) -> Path:
        """Runs passes of the compiler."""
        toolchain.checked("prune-opt", [source, *passes, "--emit-bytecode", "-o", target], self.settings.timeout,
                          str(source))
        return target

    def student(self, *passes: str, decide: Sequence[str] = ()) -> Path:
        """The pruned encoder after `passes`: neurons gone, or masks. `decide` are passes that look at examples."""
        if self.pattern == NEURONS:
            first = [f"--prune-select-groups=ratio={self.sparsity} kinds=neurons", *decide, "--prune-shrink"]
        else:
            first = [f"--prune-create-masks=pattern={self.pattern} sparsity={self.sparsity} "
                     f"layer-split={self.settings.split} criterion={STARTS[self.settings.start][0]} {INCLUDE}", *decide]
        return self.opt(self.dense, self.file("student"), *first, *passes)

    def training(self, student: Path, sparse: bool) -> Path:
        """The functions that train; with `sparse` they hold kept elements only."""
        settings = self.settings
        return self.opt(student, self.file("training"),
                        f"--prune-train={TRAINING} lr={settings.rate:g} steps={settings.steps} teacher={self.dense}"
                        f" sparse={str(sparse).lower()}")

    def embed(self, model: Path, tokens: dict[str, np.ndarray]) -> np.ndarray:
        """The embeddings, of length 1, that the compiled model gives."""
        found = ours.run_module(model, tokens, self.folder, self.settings.threads, self.settings.timeout)
        embeddings = found["embedding"]
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def _distill(settings: Settings, pattern: str, sparsity: float, text: Sequence[str], folder: Path,
             steps: Steps) -> dict[str, object]:
    """Prunes and trains in one way; returns the row of the report."""
    from prune.models import minilm
    tests = minilm.tokenize(text[:settings.held_out], TEST_LENGTH)
    tokens = minilm.tokenize(text[settings.held_out:], LENGTHS[-1])
    buckets = split(tokens)

    with steps.step("import the dense encoder and embed the sentences held out"):
        whole = _Encoder(settings, pattern, sparsity, folder, BATCH, TEST_LENGTH)
        dense = whole.embed(whole.dense, tests)
        shapes = {length: _Encoder(settings, pattern, sparsity, folder, BATCH, length) for length in buckets}

    begin = time.monotonic()
    with steps.step(f"prune at once ({settings.start})"):
        examples = folder / "examples.npz"
        np.savez(examples, **minilm.tokenize(text[settings.held_out:][:EXAMPLES], TEST_LENGTH))
        decide = COMPENSATION if pattern == NEURONS else STARTS[settings.start][1]
        first = whole.student(decide=[decide.format(examples)])
        untrained = whole.file("untrained")
        first.rename(untrained)
    pruning = time.monotonic() - begin
    one_shot = cosine(dense, whole.embed(untrained, tests))
    steps.note(f"{pattern} {sparsity:.0%}, {settings.start}: cosine {one_shot:.3f} in {pruning:.0f} s")

    begin = time.monotonic()
    with steps.step("build the training modules"):
        # What training begins with, as the functions of all shapes know it by name.
        start = folder / "start.npz"
        initial = compile_program({"init": (whole.training(untrained, sparse=False), "init")}, 1, settings.timeout)
        write(start, initial.call("init"))
        initial.close()
        modules = {length: encoder.training(encoder.student(f"--prune-load-weights=file={start}"), sparse=True)
                   for length, encoder in shapes.items()}
    shortest = modules[min(modules)]
    program = compile_program({"init": (shortest, "init"), **{
        f"train_step_{length}": (module, "train_step") for length, module in modules.items()}}, settings.threads,
        settings.timeout, steps)
    source = data.Buckets({name: data.Arrays(buckets[length], program.feeds(name), name)
                           for length in modules for name in [f"train_step_{length}"]})
    trained = folder / "trained.npz"
    train(program, source, LoopOptions(settings.steps), Progress("distil", settings.steps, steps.stream))
    write(trained, program.weights)
    program.close()
    minutes = (time.monotonic() - begin + pruning) / 60
    last = whole.student(f"--prune-load-weights=file={trained}", "--prune-verify-masks")
    final = cosine(dense, whole.embed(last, tests))
    return {"weights": pattern, "sparsity": sparsity, "start": "obs" if pattern == NEURONS else settings.start,
            "split": settings.split, "one_shot": round(one_shot, 4), "trained": round(final, 4),
            "steps": settings.steps, "minutes": round(minutes, 2)}


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
