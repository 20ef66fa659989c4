"""The images: the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine
Learning Repository, CC BY 4.0), 8x8 pixels of 0 to 16, in the order and split of scikit-learn:
`train_test_split(..., test_size=0.25, random_state=0)` of `load_digits()`.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

TRAINING = 1347
CLASSES = 10


def load() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """1,347 examples to train with and 450 to test with: `x` f32 [examples, 1, 8, 8] of 0 to 1, `labels` i64."""
    with resources.files("prune").joinpath("data/digits.npz").open("rb") as stream, np.load(stream) as arrays:
        x = (arrays["images"].astype(np.float32) / np.float32(16))[:, None]
        labels = arrays["labels"].astype(np.int64)
    return ({"x": x[:TRAINING], "labels": labels[:TRAINING]}, {"x": x[TRAINING:], "labels": labels[TRAINING:]})
