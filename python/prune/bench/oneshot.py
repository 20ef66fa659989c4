"""What pruning MiniLM-L6 at one stroke leaves of its embeddings: magnitude against criteria that see more."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from prune import metrics
from prune.bench import compare, ours
from prune.bench.minilm import INCLUDE
from prune.bench.report import Table
from prune.console import Steps
from prune.files import write_json
from prune.train.gradients import GradientOptions, gradients

OBS = "obs"
# Name and options of the pipeline `prune`.
CRITERIA = {"magnitude": "criterion=magnitude", "wanda": "criterion=wanda", "sparsegpt": "criterion=sparsegpt",
            "refit": "criterion=sparsegpt refit=true column-counts=ranked", OBS: "criterion=obs refit=true"}
# Fisher blocks: units of a pattern lie within one.
BLOCKS = {"4x1": "4x12"}
BLOCK = "50"
SPLITS = ("uniform", "lamp")
BATCH = 8


@dataclass
class Settings:
    """What to run. The files hold a sentence in each line."""

    folder: Path
    calibration: Path
    held_out: Path
    examples: int
    tokens: int
    weights: Sequence[str]
    sparsity: Sequence[float]
    splits: Sequence[str]
    criteria: Sequence[str]
    permute: bool
    timeout: float


def run(settings: Settings, steps: Steps, machine: dict, as_json: Path | None) -> int:
    """Runs all settings; returns the exit status."""
    import onnx

    from prune.importer.driver import ImportOptions, import_model
    from prune.models import minilm, sentences

    calibration = sentences.read(settings.calibration)[:settings.examples]
    held_out = minilm.tokenize(sentences.read(settings.held_out), settings.tokens)
    table, rows = Table([("weights", 16), ("split", 8), ("criterion", 10), ("seconds", 8), ("cosine", 8),
                         ("neighbours", 10)], 3), []
    with compare.scratch_folder(settings.folder) as folder:
        scratch = Path(folder)
        # Gradients are those of single examples.
        for batch in (BATCH, 1) if OBS in settings.criteria else (BATCH,):
            with steps.step(f"build and import MiniLM-L6, {batch} x {settings.tokens} tokens"):
                onnx.save(minilm.build(batch, settings.tokens), scratch / "dense.onnx")
                import_model(scratch / "dense.onnx", scratch / f"dense-{batch}.mlirbc", ImportOptions(timeout=settings.timeout))
        examples = minilm.tokenize(calibration, settings.tokens)
        np.savez(scratch / "examples.npz", **examples)
        dense = embed(scratch / f"dense-{BATCH}.mlirbc", held_out, scratch, settings.timeout)
        gathered = None
        for weights, sparsity in compare.settings_of(settings.weights, settings.sparsity):
            kind = "dense"
            permuted = settings.permute and ":" in weights
            if permuted:
                kind = "permuted"
                with steps.step(f"permute channels for {weights}"):
                    for module in scratch.glob("dense-*.mlirbc"):
                        ours.prune_opt(module, scratch / module.name.replace("dense", kind),
                                       [f"--prune-permute-channels=pattern={weights} {INCLUDE}"], settings.timeout)
            module = scratch / f"{kind}-{BATCH}.mlirbc"
            for split in settings.splits:
                for criterion in settings.criteria:
                    label = {"weights": weights, "sparsity": round(sparsity, 4), "split": split, "criterion": criterion,
                             "permuted": permuted}
                    target = "" if ":" in weights else f" sparsity={sparsity}"
                    flag = (f"--prune=pattern={weights}{target} layer-split={split} {INCLUDE} {CRITERIA[criterion]} "
                            f"data={scratch}/examples.npz padding=attention_mask")
                    if criterion == OBS:
                        block = BLOCKS.get(weights, BLOCK)
                        if gathered != (block, permuted):
                            gathered = block, permuted
                            with steps.step(f"gather Fisher blocks of {block}"):
                                _gather(scratch / f"{kind}-1.mlirbc", module, examples, block, scratch / "fisher.npz", steps,
                                        settings.timeout)
                        flag += f" gradients={scratch}/fisher.npz"
                    begin = time.monotonic()
                    with steps.step(f"{compare.title(label)}, {split}, {criterion}"):
                        ours.prune_opt(module, scratch / "pruned.mlirbc", [flag], settings.timeout)
                    seconds = time.monotonic() - begin
                    pruned = embed(scratch / "pruned.mlirbc", held_out, scratch, settings.timeout)
                    alike = metrics.similarity(dense, pruned)
                    rows.append({**label, "seconds": round(seconds, 2), "cosine": round(alike.cosine, 4),
                                 "neighbours": alike.neighbours})
                    same = "-" if alike.neighbours is None else f"{alike.neighbours:.1%}"
                    table.line([compare.title(label), split, criterion, f"{seconds:.1f}", f"{alike.cosine:.3f}", same])
                    if as_json:
                        write_json(as_json, {"machine": machine, "examples": len(calibration),
                                             "held_out": len(dense), "tokens": settings.tokens, "rows": rows})
    return 0


def _gather(single: Path, module: Path, examples: dict[str, np.ndarray], block: str, output: Path, steps: Steps,
            timeout: float) -> None:
    """Writes Fisher blocks of the embeddings of `examples`."""
    threads = len(os.sched_getaffinity(0))
    hidden = ours.run_module(module, examples, single.parent, threads, timeout)["last_hidden_state"]
    data = single.parent / "single.npz"
    np.savez(data, **examples, target=target(hidden, examples["attention_mask"]))
    gradients(GradientOptions(single, output, data, "loss=mse freeze=^embeddings", fisher_block=block, threads=threads,
                              timeout=timeout), steps)


def target(hidden: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """For `hidden` [sentences, tokens, size] a target whose mean square has the curvature of 1 - cosine as its Fisher
    information. The gradient by the weights is Jᵀ v, where v is the difference and J the Jacobian of the outputs, so
    products of gradients are Jᵀ J on the mean if v is random. All tokens of a sentence have one v, at right angles to its
    embedding e and divided by the length of e: what changes the embedding's direction, and nothing else."""
    mask = attention_mask[..., None].astype(np.float64)
    tokens = mask.sum(axis=1)
    mean = (hidden * mask).sum(axis=1) / tokens
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    off = np.random.default_rng(0).standard_normal(mean.shape)
    off -= (off * mean).sum(axis=1, keepdims=True) * mean / length ** 2
    # The gradient of the mean square by an output is 2 / size times the difference.
    off *= hidden[0].size / 2 / (tokens * length)
    return (hidden + mask * off[:, None, :]).astype(np.float32)


def embed(module: Path, inputs: dict[str, np.ndarray], scratch: Path, timeout: float) -> np.ndarray:
    """Embeddings of all sentences."""
    from prune.models import minilm
    found = ours.run_module(module, inputs, scratch, len(os.sched_getaffinity(0)), timeout)
    return minilm.embed(found["last_hidden_state"], inputs["attention_mask"])
