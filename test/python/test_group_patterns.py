"""Masks of `transposable` and V:N:M against an exhaustive search, or the statement word for word, in NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from test_select_masks import SHAPES, decided, draw

KINDS = ("plain", "ties", "signed zeros", "all equal", "infinities", "wide range", "empty weight")


def squares(rows: int, columns: int, n: int) -> np.ndarray:
    """All masks of a rectangle with at most n in each row and column that keep as many as can be kept, those that keep an
    earlier element first."""
    lines = [bits for bits in itertools.product((1, 0), repeat=columns) if sum(bits) <= n]
    masks = np.array([m for m in itertools.product(lines, repeat=rows) if np.sum(m, axis=0).max() <= n])
    counts = masks.sum(axis=(1, 2))
    return masks[counts == counts.max()]


def best(scores: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The first of the masks with the largest sum of absolute values, as multiples of 2^-46 of the power of two below the
    largest. Python's integers make sums exact."""
    values = [float(s) for s in np.abs(scores).flat]
    largest = max((v for v in values if np.isfinite(v)), default=0.0)
    shift = 47 - math.frexp(largest)[1]
    exact = [int(math.ldexp(v, shift)) if np.isfinite(v) else 2 ** 100 for v in values]
    return max(masks, key=lambda m: sum(itertools.compress(exact, m.flat)))


def transposable(weight: np.ndarray, n: int, m: int) -> np.ndarray:
    matrix = weight.reshape(len(weight), -1)
    mask = np.zeros(matrix.shape, bool)
    known = {}
    for i in range(0, matrix.shape[0], m):
        for j in range(0, matrix.shape[1], m):
            square = matrix[i:i + m, j:j + m]
            if square.shape not in known:
                known[square.shape] = squares(*square.shape, n)
            mask[i:i + m, j:j + m] = best(square, known[square.shape])
    return mask.reshape(weight.shape)


def v_n_m(weight: np.ndarray, v: int, n: int, m: int) -> np.ndarray:
    matrix = np.abs(weight.reshape(len(weight), -1))
    mask = np.zeros(matrix.shape, bool)
    for i in range(0, matrix.shape[0], v):
        for j in range(0, matrix.shape[1], m):
            block = matrix[i:i + v, j:j + m]
            sums = np.zeros(block.shape[1])
            for row in block:
                sums += row
            columns = np.sort(np.argsort(-sums, kind="stable")[:4])
            for k, row in enumerate(block):
                kept = columns[np.argsort(-row[columns], kind="stable")[:n]]
                mask[i + k, j + kept] = True
    return mask.reshape(weight.shape)


def decide(tools, weights: dict, pattern: str, more: str = "") -> dict[str, np.ndarray]:
    return decided(tools, weights, [(name, name, f"by(#prune.magnitude<l1>) as({pattern}){more}") for name in weights])


def test_there_are_ninety_masks():
    assert len(squares(4, 4, 2)) == 90


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_transposable_masks_are_the_best(tools, kind, n):
    weights = draw(kind, n)
    for name, mask in decide(tools, weights, f"#prune.transposable<{n}, 4>").items():
        np.testing.assert_array_equal(mask, transposable(weights[name], n, 4), name)


@pytest.mark.parametrize("n, m", [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3), (2, 2)])
def test_squares_of_other_sizes_are_the_best(tools, n, m):
    for kind in ("plain", "ties"):
        weights = draw(kind, m)
        for name, mask in decide(tools, weights, f"#prune.transposable<{n}, {m}>").items():
            np.testing.assert_array_equal(mask, transposable(weights[name], n, m), name)


@pytest.mark.parametrize("n, m", [(1, 5), (2, 6), (3, 7), (4, 8), (2, 8), (7, 8)])
def test_large_squares_are_the_best(tools, n, m):
    """By linear programming, whose optimum over squares is a mask: all vertices are integral."""
    optimize = pytest.importorskip("scipy.optimize")
    weights = {name: w for name, w in draw("plain", n).items() if name in ("wide", "conv")}
    for name, mask in decide(tools, weights, f"#prune.transposable<{n}, {m}>").items():
        matrix, found = np.abs(weights[name].reshape(len(mask), -1)).astype(float), mask.reshape(len(mask), -1)
        for i, j in itertools.product(range(0, matrix.shape[0], m), range(0, matrix.shape[1], m)):
            square, kept = matrix[i:i + m, j:j + m], found[i:i + m, j:j + m]
            rows, columns = square.shape
            lines = np.concatenate([np.repeat(np.eye(rows), columns, axis=1), np.tile(np.eye(columns), rows)])
            count = min(rows * min(n, columns), columns * min(n, rows))
            assert kept.sum() == count and kept.sum(axis=0).max() <= n and kept.sum(axis=1).max() <= n
            solved = optimize.linprog(-square.ravel(), A_ub=lines, b_ub=np.full(len(lines), n), bounds=(0, 1),
                                      A_eq=np.ones((1, square.size)), b_eq=[count])
            assert (square * kept).sum() == pytest.approx(-solved.fun, rel=1e-9)


@pytest.mark.parametrize("v, n, m", [(1, 2, 4), (4, 2, 8), (5, 1, 6), (3, 3, 5), (64, 2, 16), (2, 4, 8)])
@pytest.mark.parametrize("kind", ["plain", "ties", "signed zeros", "all equal", "infinities"])
def test_v_n_m_masks_are_those_of_the_statement(tools, kind, v, n, m):
    weights = draw(kind, v)
    for name, mask in decide(tools, weights, f"#prune.v_n_m<{v}, {n}, {m}>").items():
        np.testing.assert_array_equal(mask, v_n_m(weights[name], v, n, m), name)


@pytest.mark.parametrize("n, m", [(1, 4), (2, 8), (4, 8)])
def test_n_of_m_of_other_sizes(tools, n, m):
    weights = draw("ties", m)
    for name, mask in decide(tools, weights, f"#prune.n_of_m<{n}, {m}>").items():
        matrix, found = np.abs(weights[name].reshape(len(mask), -1)), mask.reshape(len(mask), -1)
        for row, kept in zip(matrix, found):
            for j in range(0, len(row), m):
                wanted = np.zeros(len(row[j:j + m]), bool)
                wanted[np.argsort(-row[j:j + m], kind="stable")[:n]] = True
                np.testing.assert_array_equal(kept[j:j + m], wanted)


@pytest.mark.parametrize("pattern, legal", [
    ("#prune.transposable<2, 4>", lambda w: transposable(w, 2, 4)), ("#prune.v_n_m<4, 2, 8>", lambda w: v_n_m(w, 4, 2, 8))])
def test_targets_beyond_the_pattern_keep_the_largest_of_what_it_leaves(tools, pattern, legal):
    weights = draw("plain", 9)
    for name, mask in decide(tools, weights, pattern, " sparsity(0.8)").items():
        left = np.where(legal(weights[name]), np.abs(weights[name]), -1).ravel()
        wanted = np.zeros(mask.size, bool)
        wanted[np.argsort(-left, kind="stable")[:mask.size - int(np.round(0.8 * mask.size))]] = True
        np.testing.assert_array_equal(mask.ravel(), wanted, name)


def test_shapes_have_ragged_edges():
    """Otherwise the tests above would say nothing about them."""
    matrices = [(s[0], int(np.prod(s[1:]))) for s in SHAPES.values()]
    assert any(r % 4 and c % 4 for r, c in matrices) and any(r % 4 == 0 and c % 4 for r, c in matrices)
