"""Which sparsity each layer gets so that the losses add up to least while the costs stay within a budget.

A knapsack with a choice for each layer, solved exactly on costs in whole steps: for every budget at once, so the least
losses over all budgets, the Pareto front, come with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

# Steps that the cost of the unpruned layers is counted in.
STEPS = 5000


@dataclass(frozen=True)
class Candidate:
    """What a layer may become: its sparsity (0: no mask), what that loses, and what it costs."""

    sparsity: float
    loss: float
    cost: float


class Front:
    """The best choices for all budgets. The first candidate of each layer is the unpruned one; candidates of equal loss
    are taken in their order."""

    def __init__(self, layers: Mapping[str, Sequence[Candidate]]):
        self.layers = layers
        self.dense = sum(candidates[0].cost for candidates in layers.values())
        self._step = self.dense / STEPS or 1.0
        self._costs = [[round(c.cost / self._step) for c in candidates] for candidates in layers.values()]
        # STEPS, but for rounding: what the unpruned layers need has to fit.
        self._most = most = sum(costs[0] for costs in self._costs)
        # Least loss within each budget, of the layers so far, and which candidate of each layer it takes.
        least = np.zeros(most + 1)
        self._taken: list[np.ndarray] = []
        for candidates, costs in zip(layers.values(), self._costs):
            best, taken = np.full(most + 1, np.inf), np.zeros(most + 1, np.int32)
            for index, (candidate, cost) in enumerate(zip(candidates, costs)):
                if cost > most:
                    continue
                now = candidate.loss + least[:most + 1 - cost]
                better = now < best[cost:]
                best[cost:][better] = now[better]
                taken[cost:][better] = index
            least = best
            self._taken.append(taken)
        self._least = least

    @property
    def lowest(self) -> float:
        """The least budget that something fits into."""
        return self._step * int(np.flatnonzero(np.isfinite(self._least))[0])

    def choose(self, budget: float) -> dict[str, Candidate]:
        """The candidate of each layer, for a budget of at least `lowest`."""
        left = min(self._most, round(budget / self._step))
        chosen: dict[str, Candidate] = {}
        for (name, candidates), taken, costs in reversed(list(zip(self.layers.items(), self._taken, self._costs))):
            chosen[name] = candidates[taken[left]]
            left -= costs[taken[left]]
        return {name: chosen[name] for name in self.layers}

    def points(self, count: int) -> list[tuple[float, float]]:
        """`count` points of the front from the least cost to that of the unpruned layers: cost and loss."""
        places = np.unique(np.linspace(round(self.lowest / self._step), self._most, count).round().astype(int))
        return [(place * self._step, float(self._least[place])) for place in places]
