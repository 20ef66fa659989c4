"""How good and how well calibrated the answers of a classifier are, and how alike those of two models; everything is
computed in double precision.

`logits` is an array [examples, classes] of scores before the softmax, `labels` holds the right class of each example.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

# Of equal width over the confidences (0, 1].
BINS = 15


@dataclass(frozen=True)
class Quality:
    """Share of right answers, mean negative log-likelihood, Brier score and expected calibration error."""

    accuracy: float
    nll: float
    brier: float
    ece: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def quality(logits: np.ndarray, labels: np.ndarray) -> Quality:
    """All figures of one set of answers."""
    logs = log_softmax(logits)
    return Quality(accuracy(logits, labels), _nll(logs, labels), _brier(np.exp(logs), labels),
                   ece(np.exp(logs), labels))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, along the last dimension."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of examples whose largest score is the right class's; of equal scores the first counts."""
    return float((np.argmax(logits, axis=-1) == labels).mean())


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the examples of -log of the right class's probability."""
    return _nll(log_softmax(logits), labels)


def brier(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the examples of the squared distance between probabilities and the right answer: 0 to 2."""
    return _brier(np.exp(log_softmax(logits)), labels)


def top_k(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of examples whose right class has one of the k largest scores; of equal scores the first count."""
    own = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < np.asarray(labels)[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    return float((rank < k).mean())


def f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur, as a label or an answer, of the harmonic mean of precision and recall."""
    answers = np.argmax(logits, axis=-1)
    hits, given, real = (np.bincount(v, minlength=logits.shape[1])
                         for v in (answers[answers == labels], answers, labels))
    occurs = given + real > 0
    return float((2 * hits[occurs] / (given + real)[occurs]).mean())


@dataclass(frozen=True)
class Bins:
    """Examples by confidence: edges, and for each bin the number of examples, their mean confidence and their accuracy
    (0 for empty bins)."""

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """By how much the confidence of each bin is above its accuracy, weighted by the share of its examples."""
        return self.counts / self.counts.sum() * (self.confidence - self.accuracy)


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Bins:
    """In bins ((m-1)/bins, m/bins] of equal width; a confidence of 0 is in the first."""
    # The first upper edge that is not below; rounding may leave a confidence just above 1.
    edges = np.arange(bins + 1) / bins
    return _binned(np.minimum(np.searchsorted(edges[1:], confidence, side="left"), bins - 1), edges, confidence, right)


def equal_mass(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Bins:
    """In bins of as nearly the same number of examples as can be, the larger first; in order of confidence, equal ones
    in that of the examples."""
    order = np.argsort(confidence, kind="stable")
    bin_of = np.empty(len(order), np.int64)
    parts = np.array_split(order, bins)
    for index, part in enumerate(parts):
        bin_of[part] = index
    upper = [float(confidence[part[-1]]) for part in parts if len(part)]
    return _binned(bin_of, np.array([0.0, *upper, *[1.0] * (bins - len(upper))]), confidence, right)


def _binned(bin_of: np.ndarray, edges: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> Bins:
    bins = len(edges) - 1
    counts = np.bincount(bin_of, minlength=bins)
    means = [np.bincount(bin_of, weights=v, minlength=bins) / np.maximum(counts, 1) for v in (confidence, right)]
    return Bins(edges, counts, *means)


@dataclass(frozen=True)
class Calibration:
    """Calibration errors: `ece` over bins of equal width, `maximum` of a bin, `adaptive` over bins of equal mass,
    `classwise` as the mean over classes of that of their probabilities, `signed` (mean confidence minus accuracy),
    `overconfidence` and `underconfidence` as the two parts of `ece`. `limit` is what 95 % of perfectly calibrated
    classifiers of the same confidences stay below."""

    ece: float
    maximum: float
    adaptive: float
    classwise: float
    signed: float
    overconfidence: float
    underconfidence: float
    limit: float

    @property
    def verdict(self) -> str:
        """Whether more than chance is wrong, and in which direction."""
        if self.ece <= self.limit:
            return "calibrated"
        return "overconfident" if self.overconfidence >= self.underconfidence else "underconfident"


def calibration(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """All calibration errors of one set of answers."""
    probabilities = np.exp(log_softmax(logits))
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    equal = reliability(confidence, right, bins)
    classwise = [np.abs(reliability(probabilities[:, k], labels == k, bins).gaps).sum() for k in range(logits.shape[1])]
    return Calibration(
        ece(probabilities, labels, bins), float(np.abs(equal.confidence - equal.accuracy)[equal.counts > 0].max()),
        float(np.abs(equal_mass(confidence, right, bins).gaps).sum()), float(np.mean(classwise)),
        float(equal.gaps.sum()),
        float(np.maximum(equal.gaps, 0).sum()), float(np.maximum(-equal.gaps, 0).sum()), chance(confidence, bins))


def chance(confidence: np.ndarray, bins: int = BINS, draws: int = 400) -> float:
    """The calibration error that 95 % of sets of examples do not exceed if each answer is right with the probability
    that its confidence says: few examples never lie exactly on the line. The same for the same confidences."""
    random = np.random.Generator(np.random.Philox(key=[0, 0]))
    errors = [np.abs(reliability(confidence, random.random(len(confidence)) < confidence, bins).gaps).sum()
              for _ in range(draws)]
    return float(np.quantile(errors, 0.95))


# Where the logarithm of a temperature is looked for.
_LOG_TEMPERATURE = 5.0


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number to divide scores by for the least NLL of these examples, within exp(-5) to exp(5). The NLL is convex
    in its inverse, so halving the interval by the sign of the slope finds it."""
    scores = np.asarray(logits, np.float64)
    own = scores[np.arange(len(labels)), labels]

    def slope(log_t: float) -> float:
        """Of the NLL by the inverse temperature."""
        return float(((np.exp(log_softmax(scores / np.exp(log_t))) * scores).sum(axis=1) - own).mean())

    low, high = -_LOG_TEMPERATURE, _LOG_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        # A positive slope says that a smaller inverse, a higher temperature, is better.
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True)
class Agreement:
    """A model beside another: shares of examples with another answer (`churn`), right before and wrong now (`lost`),
    the reverse (`won`), and the mean Kullback-Leibler divergence from the other's probabilities to its own (nats)."""

    churn: float
    lost: float
    won: float
    divergence: float

    @property
    def flips(self) -> float:
        """Share of answers that became right or wrong."""
        return self.lost + self.won


def agreement(before: np.ndarray, now: np.ndarray, labels: np.ndarray) -> Agreement:
    """Scores of two models for the same examples."""
    old, new = np.argmax(before, axis=-1), np.argmax(now, axis=-1)
    return Agreement(float((old != new).mean()), float(((old == labels) & (new != labels)).mean()),
                     float(((old != labels) & (new == labels)).mean()),
                     float(divergences(before, now).mean()))


@dataclass(frozen=True)
class Similarity:
    """Vectors of two models for the same examples: mean and least cosine, and the share of examples whose nearest other
    example is the same in both."""

    cosine: float
    lowest_cosine: float
    neighbours: float | None


def similarity(before: np.ndarray, now: np.ndarray) -> Similarity:
    """Vectors [examples, size]; a vector of zeros is like none. `neighbours` is None for less than three examples."""
    old, new = (_unit(np.asarray(v, np.float64)) for v in (before, now))
    found = cosines(before, now)
    neighbours = None
    if len(old) > 2:
        nearest = []
        for vectors in (old, new):
            products = vectors @ vectors.T
            np.fill_diagonal(products, -np.inf)
            nearest.append(products.argmax(axis=1))
        neighbours = float((nearest[0] == nearest[1]).mean())
    return Similarity(float(found.mean()), float(found.min()), neighbours)


def cosines(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Of each example's two vectors; a vector of zeros is at right angles to all."""
    return (_unit(np.asarray(before, np.float64)) * _unit(np.asarray(now, np.float64))).sum(axis=1)


def divergences(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """KL(before, now) of each example's probabilities, in nats, by their scores."""
    logs, other = log_softmax(before), log_softmax(now)
    return (np.exp(logs) * (logs - other)).sum(axis=-1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: the mean over bins of equal width of the difference between accuracy and mean
    confidence, weighted by the examples of the bin."""
    return float(np.abs(reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels,
                                    bins).gaps).sum())


def _nll(logs: np.ndarray, labels: np.ndarray) -> float:
    # 0.0 instead of -0.0 where every answer is certain.
    return float(-logs[np.arange(len(labels)), labels].mean()) + 0.0


def _brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    wanted = np.zeros_like(probabilities)
    wanted[np.arange(len(labels)), labels] = 1.0
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())
