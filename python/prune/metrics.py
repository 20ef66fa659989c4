"""How good and how well calibrated the answers of a classifier are; everything is computed in double precision.

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


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: over the bins ((m-1)/bins, m/bins] of the confidence, the mean of the difference
    between accuracy and mean confidence, weighted by the examples of the bin. A confidence of 0 is in the first bin."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # The first upper edge that is not below; rounding may leave a confidence just above 1.
    bin_of = np.minimum(np.searchsorted(np.arange(1, bins + 1) / bins, confidence, side="left"), bins - 1)
    surplus = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def _nll(logs: np.ndarray, labels: np.ndarray) -> float:
    # 0.0 instead of -0.0 where every answer is certain.
    return float(-logs[np.arange(len(labels)), labels].mean()) + 0.0


def _brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    wanted = np.zeros_like(probabilities)
    wanted[np.arange(len(labels)), labels] = 1.0
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())
