"""Metrics of classifiers and embeddings against scikit-learn, SciPy and loops over examples."""

from __future__ import annotations

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn.metrics")
optimize = pytest.importorskip("scipy.optimize")

from prune import metrics

EXACT = 1e-9


@pytest.fixture(params=[(0, 1.0), (1, 4.0), (2, 0.3)], ids=["seed0", "seed1-sharp", "seed2-flat"])
def answers(request):
    """Scores of 500 examples of 7 classes, right more often than not, and labels."""
    seed, scale = request.param
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, 500)
    logits = random.standard_normal((500, 7))
    logits[np.arange(500), labels] += 1.5
    return (scale * logits).astype(np.float32), labels


def probabilities(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def binned_error(confidence, right, bins=15):
    """By the definition, bin by bin."""
    total, worst = 0.0, 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / bins < c <= m / bins or (m == 1 and c == 0)]
        if inside:
            gap = abs(np.mean([right[i] for i in inside]) - np.mean([confidence[i] for i in inside]))
            total, worst = total + len(inside) / len(confidence) * gap, max(worst, gap)
    return total, worst


def test_accuracy_f1_top_k_nll_and_brier(answers):
    logits, labels = answers
    p, best = probabilities(logits), logits.argmax(axis=1)
    found = metrics.quality(logits, labels)
    assert found.accuracy == sklearn.accuracy_score(labels, best)
    assert abs(metrics.f1(logits, labels) - sklearn.f1_score(labels, best, average="macro")) < EXACT
    for k in (1, 2, 5):
        assert abs(metrics.top_k(logits, labels, k) - sklearn.top_k_accuracy_score(labels, logits, k=k)) < EXACT
    assert metrics.top_k(logits, labels, 7) == 1
    assert abs(found.nll - sklearn.log_loss(labels, p)) < EXACT
    each = sum(sklearn.brier_score_loss(labels == k, p[:, k]) for k in range(7))
    assert abs(found.brier - each) < EXACT


def test_f1_counts_only_classes_that_occur():
    logits, labels = np.eye(5)[[0, 1, 1, 2]], np.array([0, 1, 2, 2])
    expected = sklearn.f1_score(labels, logits.argmax(axis=1), average="macro", zero_division=0)
    assert abs(metrics.f1(logits, labels) - expected) < EXACT


def test_of_equal_scores_the_first_counts():
    logits = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert metrics.top_k(logits, np.array([0, 1]), 1) == 0.5 == metrics.accuracy(logits, np.array([0, 1]))
    assert metrics.top_k(logits, np.array([0, 1]), 2) == 1


def test_calibration_errors(answers):
    logits, labels = answers
    p = probabilities(logits)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    found = metrics.calibration(logits, labels)
    expected, worst = binned_error(confidence, right)
    assert abs(found.ece - expected) < EXACT and abs(found.maximum - worst) < EXACT
    assert abs(found.ece - metrics.quality(logits, labels).ece) < EXACT
    assert abs(found.signed - (confidence.mean() - right.mean())) < EXACT
    assert abs(found.overconfidence + found.underconfidence - found.ece) < EXACT
    assert abs(found.overconfidence - found.underconfidence - found.signed) < EXACT
    order = np.argsort(confidence, kind="stable")
    adaptive = sum(len(part) / 500 * abs(right[part].mean() - confidence[part].mean())
                   for part in np.array_split(order, 15))
    assert abs(found.adaptive - adaptive) < EXACT
    classwise = np.mean([binned_error(p[:, k], labels == k)[0] for k in range(7)])
    assert abs(found.classwise - classwise) < EXACT


def test_a_planted_miscalibration_is_flagged_and_chance_is_not():
    random = np.random.default_rng(3)
    logits = 2 * random.standard_normal((2000, 5))
    p = probabilities(logits)
    labels = np.array([random.choice(5, p=row) for row in p])
    assert metrics.calibration(logits, labels).verdict == "calibrated"
    assert metrics.calibration(3 * logits, labels).verdict == "overconfident"
    assert metrics.calibration(logits / 3, labels).verdict == "underconfident"
    # Fifty examples of it have a large error by chance alone.
    few = metrics.calibration(logits[:50], labels[:50])
    assert few.ece > 0.05 and few.verdict == "calibrated"


def test_bins_hold_their_upper_edge():
    bins = metrics.reliability(np.array([0.0, 0.25, 0.250001, 1.0, 1.0 + 1e-16]), np.ones(5, bool), 4)
    assert bins.counts.tolist() == [2, 1, 0, 2] and bins.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_temperature_is_where_the_slope_vanishes(answers):
    logits, labels = answers
    found = metrics.temperature(logits, labels)

    def slope(beta):
        p = probabilities(beta * logits.astype(np.float64))
        return ((p * logits).sum(axis=1) - logits[np.arange(500), labels]).mean()
    root = optimize.brentq(slope, 1e-2, 10, xtol=1e-14, rtol=1e-14)
    assert abs(np.log(found) + np.log(root)) < EXACT
    assert metrics.nll(logits / found, labels) <= metrics.nll(logits, labels)


def test_temperature_stays_finite_where_every_answer_is_right():
    assert metrics.temperature(np.eye(3), np.arange(3)) == pytest.approx(np.exp(-5))


def test_agreement_counts_flips_churn_and_divergence():
    before = np.log([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.4, 0.5, 0.1]])
    now = np.log([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.1, 0.7], [0.5, 0.4, 0.1]])
    found = metrics.agreement(before, now, np.array([0, 1, 2, 0]))
    assert (found.churn, found.lost, found.won, found.flips) == (0.5, 0.25, 0.25, 0.5)
    from scipy.stats import entropy
    assert abs(found.divergence - np.mean([entropy(np.exp(a), np.exp(b)) for a, b in zip(before, now)])) < EXACT
    assert metrics.agreement(now, now, np.array([0, 1, 2, 0])) == metrics.Agreement(0, 0, 0, 0)


def test_similarity_of_embeddings():
    random = np.random.default_rng(0)
    before = random.standard_normal((20, 8))
    now = before + random.standard_normal((20, 8))
    found = metrics.similarity(before, now)
    from sklearn.metrics.pairwise import cosine_similarity
    pairs = np.diag(cosine_similarity(before, now))
    assert abs(found.cosine - pairs.mean()) < EXACT and abs(found.lowest_cosine - pairs.min()) < EXACT
    nearest = []
    for vectors in (before, now):
        products = cosine_similarity(vectors)
        nearest.append([max((j for j in range(20) if j != i), key=lambda j: products[i, j]) for i in range(20)])
    assert found.neighbours == np.mean([a == b for a, b in zip(*nearest)])
    assert metrics.similarity(before[:2], now[:2]).neighbours is None
    assert metrics.similarity(before, np.zeros((20, 8))).cosine == 0
