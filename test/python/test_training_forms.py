"""Batch norms that train, teachers and row weights: the functions of a training module, evaluated in float64, against NumPy.

The model is `train/batch_norm.mlir`. With plain gradient descent at rate 1 a step shows its gradients, which are compared
with differences of a loss that is written down here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("iree.compiler")

from interpret import GENERIC, Module

MODEL = Path(__file__).parent / "train" / "batch_norm.mlir"
SGD = "optimizer=sgd momentum=0 lr=1"
RANDOM = np.random.default_rng(11)
X = RANDOM.standard_normal((6, 3)) * 2
LABELS = np.array([0, 2, 1, 1, 0, 2])
WEIGHTS = np.array([1, 0, 3, 1, 0, 2])


class Training:
    """A training module whose functions take and give values by name."""

    def __init__(self, tools, options: str, text: str | None = None):
        result = subprocess.run([tools / "prune-opt", "-", f"--prune-train={options}", *GENERIC],
                                input=text or MODEL.read_text(), capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        self.module = Module(result.stdout)
        self.first = self.call("init")

    def call(self, function: str, **values) -> dict[str, np.ndarray]:
        takes, gives = (self.module.names(which, function) for which in ("arg_attrs", "res_attrs"))
        return dict(zip(gives, self.module.call(function, *(values[name] for name in takes))))

    def step(self, **values):
        return self.call("train_step", **{**self.first, **values})


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def forward(values, x, mean=None, variance=None):
    """The outputs, and the activations in front of the batch norm. Without statistics those of the batch."""
    h = x @ (values["param:first.weight"] * values["mask:first.weight"]).T
    mean, variance = (h.mean(0), h.var(0)) if mean is None else (mean, variance)
    n = (h - mean) / np.sqrt(variance + np.float64(np.float32(1e-5))) * values["param:norm.weight"] + values["param:norm.bias"]
    return n @ values["param:second.weight"].T, n, h


def cross_entropy(y, labels):
    return -np.log(softmax(y))[np.arange(len(labels)), labels]


def divergence(taught, y, temperature):
    p, q = softmax(taught / temperature), softmax(y / temperature)
    return temperature ** 2 * (p * np.log(p / q)).sum(-1)


def teach(values, x):
    """What the dense model gives that the training started from."""
    dense = {**values, "mask:first.weight": True, "param:first.weight": np.array(
        [[0.5, -0.25, 1.0], [0.75, 0.5, -1.5], [-0.5, 1.25, 0.25], [1.0, 0.5, 0.75]])}
    return forward(dense, x, values["stat:norm.running_mean"], values["stat:norm.running_var"])


def check_gradients(training, loss, **given):
    """`loss` is a function of the values; the step's own loss and its changes must fit."""
    results = training.step(**given)
    values = training.first
    np.testing.assert_allclose(results["loss"], loss(values), rtol=1e-6)
    for name in [n for n in values if n.startswith("param:")]:
        mask = values.get(name.replace("param:", "mask:"), np.ones(values[name].shape, bool))
        for place in np.ndindex(values[name].shape):
            def at(distance):
                moved = values[name].copy()
                moved[place] += distance
                return loss({**values, name: moved})
            h = 1e-3
            expected = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h) if mask[place] else 0.0
            found = values[name][place] - results[name][place]
            assert abs(found - expected) <= 1e-7 + 1e-5 * abs(expected), (name, place, found, expected)
    return results


def test_a_batch_norm_trains_by_the_batch(tools):
    training = Training(tools, f"{SGD} batch-norm-momentum=0.25")
    given = {"x": X, "weights": WEIGHTS, "labels": LABELS}
    results = check_gradients(training, lambda v: cross_entropy(forward(v, X)[0], LABELS).mean(), **given)
    h = forward(training.first, X)[2]
    for name, batch in (("mean", h.mean(0)), ("var", h.var(0, ddof=1))):
        old = training.first[f"stat:norm.running_{name}"]
        np.testing.assert_allclose(results[f"stat:norm.running_{name}"], 0.75 * old + 0.25 * batch, rtol=1e-6)


def test_recomputed_values_change_nothing(tools):
    options, given = f"{SGD} teacher=self", {"x": X, "weights": WEIGHTS, "labels": LABELS}
    stored, recomputed = (Training(tools, f"{options} recompute={how}").step(**given) for how in ("none", "elementwise"))
    assert all(np.array_equal(stored[name], recomputed[name]) for name in stored)


def test_evaluation_uses_the_statistics(tools):
    training = Training(tools, SGD)
    values = training.first
    y, hidden, _ = forward(values, X, values["stat:norm.running_mean"], values["stat:norm.running_var"])
    found = training.call("eval_step", **values, x=X, weights=WEIGHTS, labels=LABELS)
    np.testing.assert_allclose(found["y"], y, rtol=1e-6)
    np.testing.assert_allclose(found["hidden"], hidden, rtol=1e-6)
    np.testing.assert_allclose(found["loss"], cross_entropy(y, LABELS).mean(), rtol=1e-6)


def test_statistics_are_averaged_over_batches(tools):
    training = Training(tools, SGD)
    values, batches = dict(training.first), [X, X * 2 + 1, X[::-1] - 3]
    for count, x in enumerate(batches):
        values |= training.call("estimate_statistics", **values, x=x, weights=WEIGHTS, batches=np.int64(count))
    activations = [forward(values, x)[2] for x in batches]
    np.testing.assert_allclose(values["stat:norm.running_mean"], np.mean([h.mean(0) for h in activations], 0), rtol=1e-5)
    np.testing.assert_allclose(values["stat:norm.running_var"], np.mean([h.var(0, ddof=1) for h in activations], 0),
                               rtol=1e-5)


def test_a_frozen_batch_norm_keeps_its_statistics(tools):
    training = Training(tools, f"{SGD} batch-norm=frozen")
    assert not [n for n in training.first if n.startswith("stat:")]
    mean, variance = np.array([0.125, 0.25, -0.25, 0.5]), np.array([1.0, 2.0, 0.5, 1.5])
    check_gradients(training, lambda v: cross_entropy(forward(v, X, mean, variance)[0], LABELS).mean(),
                    x=X, weights=WEIGHTS, labels=LABELS)


def test_a_teacher_and_labels(tools):
    training = Training(tools, f"{SGD} teacher=self hardness=0.75 temperature=3")
    taught = teach(training.first, X)[0]

    def loss(values):
        y = forward(values, X)[0]
        return 0.25 * cross_entropy(y, LABELS).mean() + 0.75 * divergence(taught, y, 3).mean()
    check_gradients(training, loss, x=X, weights=WEIGHTS, labels=LABELS)


def test_outputs_of_a_teacher_without_labels(tools):
    training = Training(tools, f"{SGD} teacher=self hardness=1 distill=hid.*=mse:0.5,y=cosine row-weights=weights")
    taught, hidden, _ = teach(training.first, X)

    def loss(values, statistics=()):
        y, n, _ = forward(values, X, *statistics)
        cosine = 1 - (y * taught).sum(-1) / np.linalg.norm(y, axis=-1) / np.linalg.norm(taught, axis=-1)
        squares = ((n - hidden) ** 2).mean(-1)
        return (WEIGHTS * (cosine + 0.5 * squares)).sum() / WEIGHTS.sum()
    check_gradients(training, loss, x=X, weights=WEIGHTS)
    values = training.first
    found = training.call("eval_step", **values, x=X, weights=WEIGHTS)
    statistics = values["stat:norm.running_mean"], values["stat:norm.running_var"]
    np.testing.assert_allclose(found["loss"], loss(values, statistics), rtol=1e-6)


def test_another_function_teaches(tools, tmp_path):
    teacher = """
func.func @big(%x: tensor<6x3xf32>, %w: tensor<6xi64>) -> (tensor<6x3xf32>, tensor<6x4xf32>) {
  %two = arith.constant dense<2.0> : tensor<6x3xf32>
  %e = arith.constant dense<0.0> : tensor<6x4xf32>
  %y = arith.mulf %x, %two : tensor<6x3xf32>
  return %y, %e : tensor<6x3xf32>, tensor<6x4xf32>
}
"""
    (tmp_path / "big.mlir").write_text(teacher.replace("@big", "@main"))
    for name, text in (("big", MODEL.read_text() + teacher), (tmp_path / "big.mlir", None)):
        training = Training(tools, f"{SGD} teacher={name} hardness=1 loss=mse", text)
        check_gradients(training, lambda v: ((forward(v, X)[0] - 2 * X) ** 2).mean(), x=X, weights=WEIGHTS)


def test_a_teacher_of_another_type_is_refused(tools, tmp_path):
    (tmp_path / "t.mlir").write_text("func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }")
    result = subprocess.run([tools / "prune-opt", MODEL, f"--prune-train=teacher={tmp_path}/t.mlir"], capture_output=True,
                            text=True)
    assert result.returncode == 1
    assert "teacher: expected the type of 'main', '(tensor<6x3xf32>, tensor<6xi64>) -> " in result.stderr
    assert "got '(tensor<2xf32>) -> tensor<2xf32>'" in result.stderr


@pytest.mark.parametrize("options, message", [
    ("batch-norm=off", "batch-norm: expected train or frozen, got 'off'"),
    ("batch-norm-momentum=0", "batch-norm-momentum: expected a value in (0, 1], got 0"),
    ("distill=y=kl", "distill: expected a teacher, got none"),
    ("teacher=none", "teacher: expected 'self', another function with a body, or a file .mlir or .mlirbc, got 'none'"),
    ("teacher=main", "teacher: expected 'self', another function with a body"),
    ("teacher=none.mlir", "teacher: 'none.mlir': No such file or directory"),
    ("teacher=self hardness=0", "hardness: expected a value in (0, 1], got 0"),
    ("teacher=self temperature=-1", "temperature: expected a positive number, got -1"),
    ("teacher=self distill=y", "distill: expected REGEX=KIND or REGEX=KIND:WEIGHT, got 'y'"),
    ("teacher=self distill=y=hinge", "distill: expected a kind of loss (kl, mse, bce or cosine), got 'hinge'"),
    ("teacher=self distill=y=kl:no", "distill: expected a positive weight, got 'no'"),
    ("teacher=self distill=z=kl", "expected each entry to be the first that matches an output, got 'z=kl'"),
    ("teacher=self distill=(=kl", "distill: expected a regular expression"),
    ("row-weights=y", "row-weights: expected an input of the model, got 'y'"),
    ("row-weights=x", "row-weights: expected numbers of a shape that the shape of an output in a loss begins with"),
])
def test_wrong_options_are_one_line(tools, options, message):
    result = subprocess.run([tools / "prune-opt", MODEL, f"--prune-train={options}"], capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0]


def test_shared_statistics_are_refused(tools):
    text = MODEL.read_text()
    norm = text[text.index("  %n = linalg.generic"):text.index("  %y = linalg.contract")]
    text = text.replace(norm, norm + norm.replace("%n =", "%again =").replace("ins(%h,", "ins(%n,")).replace(
        "return %y, %n", "return %y, %again")
    result = subprocess.run([tools / "prune-opt", "-", "--prune-build-training"], input=text, capture_output=True,
                            text=True)
    assert result.returncode == 1
    assert "expected a batch norm with a mean and a variance of its own, got 'norm.running_mean' with 2 uses" in result.stderr
