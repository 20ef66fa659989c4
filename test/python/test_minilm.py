"""The MiniLM graph built from the wheel computes what the framework's own export computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from conftest import SHARED

minilm = pytest.importorskip("prune.models.minilm")
onnxruntime = pytest.importorskip("onnxruntime")


def run(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.fixture(scope="module")
def model():
    built = minilm.build()
    onnx.checker.check_model(built)
    return built


def test_similar_sentences_are_near(model):
    """The embedding means something: a paraphrase is nearer than a sentence about something else."""
    sentences = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    inputs = minilm.tokenize(sentences, 128)
    vectors = [minilm.embed(run(model, {k: v[i:i + 1] for k, v in inputs.items()}), inputs["attention_mask"][i:i + 1])[0]
               for i in range(3)]
    assert np.allclose([v @ v for v in vectors], 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.4 > vectors[0] @ vectors[2]


def test_padding_does_not_matter(model):
    """The same sentence in 16 and in 128 tokens has one embedding."""
    short = minilm.build(tokens=16)
    results = []
    for built, tokens in ((model, 128), (short, 16)):
        inputs = minilm.tokenize(["Masks must not leak into the average."], tokens)
        results.append(minilm.embed(run(built, inputs), inputs["attention_mask"]))
    assert np.abs(results[0] - results[1]).max() < 1e-5


def test_batches(model):
    inputs = minilm.tokenize(["One.", "Two sentences are one batch."], 32)
    together = run(minilm.build(batch=2, tokens=32), inputs)
    alone = run(minilm.build(tokens=32), {k: v[1:] for k, v in inputs.items()})
    assert np.abs(together[1:] - alone).max() < 1e-4


def test_names_are_those_of_the_state(model):
    names = {t.name for t in model.graph.initializer}
    assert {n for n in minilm.load_weights() if n.startswith("encoder.")} <= names


@pytest.mark.shared_models
def test_equals_the_framework_export(model):
    recorded = np.load(SHARED / "models" / "minilm_io.npz")
    for prefix, result in (("", "y"), ("p_", "p_y")):
        inputs = {n: recorded[prefix + n] for n in ("input_ids", "attention_mask", "token_type_ids")}
        real = inputs["attention_mask"][..., None]
        assert np.abs((run(model, inputs) - recorded[result]) * real).max() < 1e-4


@pytest.mark.parametrize("batch, tokens", [(0, 128), (1, 0), (1, 513)])
def test_impossible_shapes_are_refused(batch, tokens):
    from prune.errors import PruneError
    with pytest.raises(PruneError, match="input shape: got"):
        minilm.build(batch, tokens)
