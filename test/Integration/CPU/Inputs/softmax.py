#!/usr/bin/env python3
"""Writes inputs of softmax.mlir with infinities and NaN, and its results as NumPy computes them.

Usage: softmax.py INPUTS.npz RESULTS.npz
"""
import sys

import numpy as np

rng = np.random.default_rng(3)
x = 6 * rng.standard_normal((12, 45, 37)).astype("f4")
x[0, 7, 3] = np.nan
x[0, :, 4] = -np.inf
x[0, 2:, 5] = -np.inf
x[1, 9, 6] = np.inf
x[1, 3, 7] = 3e38  # all others vanish
x[2, :, 8] = -3e38  # and here all count the same
x[2, :, 9] = np.linspace(-100, 0, 45)
with np.errstate(invalid="ignore", over="ignore"):
    e = np.exp((x - x.max(axis=1, keepdims=True)).astype("f8"))
    y = (e / e.sum(axis=1, keepdims=True)).astype("f4")
assert np.isnan(y).any(axis=1).sum() == 3
np.savez(sys.argv[1], x=x)
np.savez(sys.argv[2], y=y)
