"""Batches: their order, what is refused; and the figures of quality against plain definitions."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from prune import metrics
from prune.digits import images, nets
from prune.errors import PruneError
from prune.train import data
from prune.train.runner import Tensor

ARGUMENTS = (Tensor("x", np.dtype(np.float32), (4, 2)), Tensor("labels", np.dtype(np.int64), (4,)))


def arrays(count=10):
    return {"x": np.arange(2 * count, dtype=np.float32).reshape(count, 2), "labels": np.arange(count) % 3}


def test_order_depends_on_seed_and_step_alone():
    one = data.Arrays(arrays(), ARGUMENTS, "x.npz", seed=5)
    steps = [one.indices(k) for k in range(50)]
    two = data.Arrays(arrays(), ARGUMENTS, "x.npz", seed=5)
    for k in reversed(range(50)):
        assert np.array_equal(two.indices(k), steps[k])
    # 20 batches of 4 are 8 epochs of 10: each example eight times, and once in each epoch.
    stream = np.concatenate(steps[:20]).reshape(8, 10)
    assert (np.sort(stream, axis=1) == np.arange(10)).all() and len({tuple(r) for r in stream}) == 8
    assert not np.array_equal(data.Arrays(arrays(), ARGUMENTS, "x.npz", seed=6).indices(0), steps[0])
    assert np.array_equal(one.batch(7)["x"], arrays()["x"][steps[7]])
    # Fixed for all time: a checkpoint of today has to go on tomorrow.
    assert data.order(1, 2, 8).tolist() == [7, 0, 5, 4, 6, 2, 3, 1]


def test_fewer_examples_than_a_batch():
    small = data.Arrays(arrays(3), ARGUMENTS, "x.npz")
    assert np.sort(np.concatenate([small.indices(k) for k in range(3)])).tolist() == sorted([0, 1, 2] * 4)
    (batch, count), = small.blocks()
    assert count == 3 and batch["labels"].tolist() == [0, 1, 2, 2]


def test_blocks_hold_every_example_once():
    blocks = list(data.Arrays(arrays(), ARGUMENTS, "x.npz").blocks())
    assert [count for _, count in blocks] == [4, 4, 2]
    assert np.array_equal(np.concatenate([b["x"][:c] for b, c in blocks]), arrays()["x"])


def test_buckets_give_each_shape_its_share_in_any_order_of_asking():
    parts = {name: data.Arrays({"x": np.full((count, 2), index, np.float32), "labels": np.arange(count)}, ARGUMENTS, name)
             for index, (name, count) in enumerate({"short": 11, "long": 4}.items())}
    source = data.Buckets(parts, seed=5)
    assert source.steps_per_epoch == 4 and source.examples == 15
    for epoch in range(3):
        steps = range(4 * epoch, 4 * epoch + 4)
        assert sorted(map(source.function, steps)) == ["long", "short", "short", "short"]
        for step in steps:
            assert (source.batch(step)["x"] == ["short", "long"].index(source.function(step))).all()
    seen = np.concatenate([source.batch(s)["labels"] for s in range(44) if source.function(s) == "short"])
    assert np.bincount(seen).tolist() == [12] * 11
    again = data.Buckets(parts, seed=5)
    for step in (9, 2, 5):
        assert again.function(step) == source.function(step)
        assert (again.batch(step)["labels"] == source.batch(step)["labels"]).all()


def test_batches_of_an_iterator_continue_anywhere():
    def make():
        return ({"x": np.full((4, 2), k, np.float64), "labels": np.zeros(4, np.uint8)} for k in range(6))

    class Fresh:
        def __iter__(self):
            return make()

    source = data.Batches(Fresh(), ARGUMENTS)
    for step in (0, 1, 2, 5, 3):
        batch = source.batch(step)
        assert (batch["x"] == step).all() and batch["x"].dtype == np.float32 and batch["labels"].dtype == np.int64
    source.batch(5)
    with pytest.raises(PruneError, match="data: batches: got an end before batch 6"):
        source.batch(6)
    short = data.Batches([{"x": np.zeros((3, 2), np.float32), "labels": np.zeros(3, int)}], ARGUMENTS)
    with pytest.raises(PruneError, match="batch 0: examples of 'x': got 3, expected 4"):
        short.batch(0)


@pytest.mark.parametrize("change, message", [
    ({"x": np.zeros((10, 3), np.float32)}, r"x.npz: shape of 'x': got \[10, 3\], expected \[examples, 2\]"),
    ({"x": np.float32(1)}, r"shape of 'x': got \[\]"),
    ({"x": np.zeros((9, 2), np.float32)}, "examples of 'labels': got 10, expected 9 as in 'x'"),
    ({"x": np.zeros((10, 2), complex)}, "type of 'x': got complex128, expected float32"),
    ({"labels": np.zeros(10)}, "type of 'labels': got float64, expected int64"),
    ({"labels": np.arange(10)}, r"classes in 'labels': got 3 at \[3\], expected 0 to 2"),
    ({"labels": -np.ones(10, int)}, r"classes in 'labels': got -1 at \[0\], expected 0 to 2"),
    ({"x": np.full((10, 2), np.nan, np.float32)}, r"values of 'x': got nan at \[0, 0\], expected finite numbers"),
    ({"x": np.zeros((0, 2), np.float32), "labels": np.zeros(0, int)}, "examples: got 0, expected at least one"),
])
def test_wrong_arrays_are_refused(change, message):
    with pytest.raises(PruneError, match=message):
        data.Arrays({**arrays(), **change}, ARGUMENTS, "x.npz", classes=3)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(PruneError, match="no 'labels' among 'x', expected 'labels' of int64"):
        data.Arrays({"x": arrays()["x"]}, ARGUMENTS, "x.npz")
    with pytest.raises(PruneError, match="a.npz: data file: got no such file"):
        data.load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(tmp_path / "c.npz", x=np.array([object()]))
    np.save(tmp_path / "d.npy", np.zeros(3))
    for name in ("b.npz", "d.npy"):
        with pytest.raises(PruneError, match=f"{name}: data file: got"):
            data.load(tmp_path / name)
    with pytest.raises(PruneError, match="c.npz: data file: got 'Object arrays"):
        data.load(tmp_path / "c.npz")


def test_metrics_against_their_definitions():
    random = np.random.default_rng(0)
    logits = random.standard_normal((500, 7)).astype(np.float32) * 3
    labels = random.integers(0, 7, 500)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    found = metrics.quality(logits, labels)
    assert found.accuracy == sum(p[i].argmax() == labels[i] for i in range(500)) / 500
    assert found.nll == pytest.approx(-sum(np.log(p[i, labels[i]]) for i in range(500)) / 500, rel=1e-12)
    squares = [sum((p[i, k] - (k == labels[i])) ** 2 for k in range(7)) for i in range(500)]
    assert found.brier == pytest.approx(sum(squares) / 500, rel=1e-12)
    total = 0.0
    for m in range(1, 16):
        inside = [i for i in range(500) if (m - 1) / 15 < p[i].max() <= m / 15]
        if inside:
            right = np.mean([p[i].argmax() == labels[i] for i in inside])
            total += len(inside) / 500 * abs(right - np.mean([p[i].max() for i in inside]))
    assert found.ece == pytest.approx(total, rel=1e-9)


def test_metrics_at_the_edges():
    # A confidence on an edge belongs to the bin below it: these two are in different bins.
    p = np.array([[0.6, 0.4], [np.nextafter(0.6, 1), 0.4]])
    assert metrics.ece(p, np.array([0, 1])) == pytest.approx((0.4 + 0.6) / 2)
    # In one bin errors cancel.
    assert metrics.ece(np.array([[0.59, 0.41], [0.58, 0.42]]), np.array([0, 1])) == pytest.approx(0.085)
    assert metrics.ece(np.zeros((1, 2)), np.array([1])) == 0.0
    certain = metrics.quality(np.array([[1e4, 0.0]]), np.array([0]))
    assert certain == metrics.Quality(1.0, 0.0, 0.0, 0.0)
    wrong = metrics.quality(np.array([[1e4, 0.0]], np.float32), np.array([1]))
    assert wrong == metrics.Quality(0.0, 1e4, 2.0, 1.0)


def test_digits_are_those_of_scikit_learn():
    train, test = images.load()
    assert train["x"].shape == (1347, 1, 8, 8) and test["x"].shape == (450, 1, 8, 8)
    for part in (train, test):
        assert part["x"].dtype == np.float32 and part["x"].min() == 0 and part["x"].max() == 1
    # Counts of the classes as load_digits() has them.
    counts = np.bincount(np.concatenate([train["labels"], test["labels"]]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("net, parameters", [("mlp", 50826), ("cnn", 13802)])
def test_nets_are_random_by_their_seed_alone(net, parameters):
    one, two, other = (nets.build(net, 64, seed) for seed in (0, 0, 1))
    assert one == two and one != other
    weights = [onnx.numpy_helper.to_array(t) for t in one.graph.initializer if "running" not in t.name]
    assert sum(w.size for w in weights) == parameters
    session = onnxruntime.InferenceSession(one.SerializeToString())
    y, = session.run(None, {"x": images.load()[0]["x"][:64]})
    assert y.shape == (64, 10) and 0.01 < y.std() < 2
    with pytest.raises(PruneError, match="--model: net: got rnn, expected cnn or mlp"):
        nets.build("rnn", 64, 0)
