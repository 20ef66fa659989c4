"""SparseGPT, Wanda and OBS in float64, written from the statements of their papers; columns one by one, rows by NumPy."""

from __future__ import annotations

import numpy as np

BLOCK = 128


def hessian(x: np.ndarray, damping: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """H = 2/N XᵀX of rows x, damped, and which columns are dead."""
    x = x.astype(np.float64)
    h = 2 / len(x) * x.T @ x
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    return h + damping * np.mean(np.diag(h)) * np.eye(len(h)), dead


def upper_factor(h: np.ndarray) -> np.ndarray:
    """U upper triangular with UᵀU the inverse of h."""
    return np.linalg.cholesky(np.linalg.inv(h)).T


def even(count: int, part: int, whole: int) -> int:
    """Round half to even of count · part / whole."""
    return round(count * part / whole)


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """True for the `count` lowest scores; of equal ones the one with the higher index is pruned."""
    order = np.lexsort((-np.arange(scores.size), scores.ravel()))
    pruned = np.zeros(scores.size, bool)
    pruned[order[:count]] = True
    return pruned.reshape(scores.shape)


def select(scores: np.ndarray, pattern: str, count: int) -> np.ndarray:
    """Which elements of squared scores [rows, columns] are pruned, `count` units in all."""
    if "x" in pattern:
        rows, columns = map(int, pattern.split("x"))
        grid = scores.reshape(len(scores) // rows, rows, -1, columns).mean(axis=(1, 3))
        return np.kron(lowest(grid, count), np.ones((rows, columns), bool))
    pruned = np.zeros(scores.shape, bool)
    if ":" in pattern:
        n, m = map(int, pattern.split(":"))
        for start in range(0, scores.shape[1], m):
            part = scores[:, start:start + m]
            for row in range(len(scores)):
                pruned[row, start:start + m] = lowest(part[row], max(0, part.shape[1] - n))
        count -= pruned.sum()
        scores = np.where(pruned, np.inf, scores)
    return pruned | lowest(scores, count)


def imposed(pattern: str, shape: tuple[int, int]) -> int:
    if ":" not in pattern:
        return 0
    n, m = map(int, pattern.split(":"))
    return shape[0] * sum(max(0, min(m, shape[1] - start) - n) for start in range(0, shape[1], m))


def unit_size(pattern: str) -> int:
    return int(np.prod([int(size) for size in pattern.split("x")])) if "x" in pattern else 1


def sparsegpt(weight, xs, pattern, sparsity, damping=0.01, ranked=False, refit=False):
    """Mask and new weight of a matrix whose consecutive stretches of rows see the inputs in `xs`."""
    w = weight.astype(np.float64).copy()
    rows, columns = w.shape
    parts = [slice(i * rows // len(xs), (i + 1) * rows // len(xs)) for i in range(len(xs))]
    hs = [hessian(x, damping) for x in xs]
    us = [upper_factor(h) for h, _ in hs]
    for part, (_, dead) in zip(parts, hs):
        w[part, dead] = 0
    original = w.copy()
    diagonal = np.concatenate([np.repeat(np.diag(u)[None], p.stop - p.start, 0) for p, u in zip(parts, us)])
    units = rows * columns // unit_size(pattern)
    total = imposed(pattern, w.shape) if sparsity is None else round(sparsity * units)
    keep = np.ones(w.shape, bool)
    step = int(pattern.split(":")[1]) if ":" in pattern else BLOCK
    first = select((w / diagonal) ** 2, pattern, total) if ranked else None
    extra, given, seen = total - imposed(pattern, w.shape), 0, 0
    for begin in range(0, columns, BLOCK):
        end = min(begin + BLOCK, columns)
        errors = np.zeros((rows, end - begin))
        for start in range(begin, end, step):
            stop = min(start + step, end)
            own = imposed(pattern, (rows, stop - start))
            seen += rows * (stop - start) // unit_size(pattern) - own
            share = even(extra, seen, units - imposed(pattern, w.shape)) - given
            given += share
            count = first[:, start:stop].sum() // unit_size(pattern) if ranked else own + share
            scores = (w[:, start:stop] / diagonal[:, start:stop]) ** 2
            keep[:, start:stop] = ~select(scores, pattern, count)
            for i in range(start, stop):
                q = np.where(keep[:, i], w[:, i], 0)
                errors[:, i - begin] = (w[:, i] - q) / diagonal[:, i]
                for part, u in zip(parts, us):
                    w[part, i:end] -= np.outer(errors[part, i - begin], u[i, i:end])
                w[:, i] = q
        for part, u in zip(parts, us):
            w[part, end:] -= errors[part] @ u[begin:end, end:]
    if refit:
        for part, (h, _) in zip(parts, hs):
            for row in range(part.start, part.stop):
                kept = np.flatnonzero(keep[row])
                w[row, kept] = np.linalg.solve(h[np.ix_(kept, kept)], (h @ original[row])[kept])
    return keep, np.where(keep, w, 0)


def wanda(weight, x, pattern, sparsity):
    """The mask: scores |w| · sqrt(mean of squares), compared within rows of units."""
    norms = np.mean(x.astype(np.float64) ** 2, axis=0)
    scores = np.abs(weight.astype(np.float64)) * np.sqrt(norms)
    if "x" in pattern:
        height, width = map(int, pattern.split("x"))
        scores = scores.reshape(len(scores) // height, height, -1, width).mean(axis=(1, 3))
    total, pruned = round(sparsity * scores.size), np.zeros(scores.shape, bool)
    kept = scores.size - total
    for row in range(len(scores)):
        count = even(kept, row + 1, len(scores)) - even(kept, row, len(scores))
        pruned[row] = lowest(scores[row], scores.shape[1] - count)
    return ~(np.kron(pruned, np.ones((height, width), bool)) if "x" in pattern else pruned)


def fisher_blocks(shape, size: str) -> list[np.ndarray]:
    """The elements of each block: so many consecutive ones, or ROWSxCOLUMNS of the matrix."""
    rows, columns = shape
    if "x" not in size:
        return [np.arange(i, min(i + int(size), rows * columns)) for i in range(0, rows * columns, int(size))]
    high, wide = map(int, size.split("x"))
    return [np.add.outer(np.arange(i, min(i + high, rows)) * columns, np.arange(j, min(j + wide, columns))).ravel()
            for i in range(0, rows, high) for j in range(0, columns, wide)]


def inverse_fisher(gradients, damping) -> np.ndarray:
    """oBERT: from 1/damping · I, gradient by gradient (Woodbury)."""
    inverse = np.eye(gradients.shape[1]) / damping
    for g in gradients:
        v = inverse @ g
        inverse -= np.outer(v, v) / (len(gradients) + g @ v)
    return inverse


def obs(weight, gradients, size, pattern, sparsity, damping=1e-7, refit=False, prunes=None):
    """Mask, new weight and scores by gradients [examples, rows, columns]; `prunes` are the pruned elements if they are
    decided elsewhere."""
    w = weight.astype(np.float64).ravel()
    g = gradients.astype(np.float64).reshape(len(gradients), -1)
    units = np.arange(w.size).reshape(weight.shape)
    if "x" in pattern:
        high, wide = map(int, pattern.split("x"))
        units = units // weight.shape[1] // high * weight.shape[1] + units % weight.shape[1] // wide
    units, scores, change, blocks = units.ravel(), np.zeros(w.size), np.zeros(w.size), fisher_blocks(weight.shape, size)
    inverses, multipliers = [inverse_fisher(g[:, block], damping) for block in blocks], np.zeros(w.size)
    for block, inverse in zip(blocks, inverses):
        if "x" not in pattern:  # ([F^-1]_ii)^-1 w_i, and w_i² / (2 [F^-1]_ii)
            multipliers[block] = w[block] / np.diag(inverse)
            scores[block] = w[block] * multipliers[block] / 2
            continue
        for unit in np.unique(units[block]):
            q = np.flatnonzero(units[block] == unit)
            multipliers[block[q]] = np.linalg.solve(inverse[np.ix_(q, q)], w[block[q]])
            scores[block[q]] = w[block[q]] @ multipliers[block[q]] / 2 / len(q)
    scores = scores.reshape(weight.shape)
    if prunes is None:
        count = imposed(pattern, weight.shape) if sparsity is None else round(sparsity * len(np.unique(units)))
        prunes = select(scores, pattern, count)
    for block, inverse in zip(blocks, inverses):
        q = np.flatnonzero(prunes.ravel()[block])
        own = np.linalg.solve(inverse[np.ix_(q, q)], w[block[q]]) if refit else multipliers[block[q]]
        change[block] = -inverse[:, q] @ own
    return ~prunes, np.where(prunes, 0, (w + change).reshape(weight.shape)), scores


def squared_error(before, after, x) -> float:
    """Squared error of the layer's result, relative to the result."""
    x = x.astype(np.float64)
    return np.sum((x @ (before - after).T) ** 2) / np.sum((x @ before.astype(np.float64).T) ** 2)


def windows(x, kernel, stride=1, dilation=1) -> np.ndarray:
    """The im2col rows [n · oh · ow, c · kh · kw] of x [n, c, h, w], without padding."""
    n, c, h, w = x.shape
    oh, ow = ((size - dilation * (kernel - 1) - 1) // stride + 1 for size in (h, w))
    taps = [x[:, :, i * dilation:i * dilation + stride * (oh - 1) + 1:stride,
              j * dilation:j * dilation + stride * (ow - 1) + 1:stride] for i in range(kernel) for j in range(kernel)]
    return np.stack(taps, axis=2).transpose(0, 3, 4, 1, 2).reshape(n * oh * ow, c * kernel * kernel)
