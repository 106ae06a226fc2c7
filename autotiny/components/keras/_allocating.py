"""How much cheaper each part of a network is made, for the least loss within a budget.

An integer program: one level for each part, the sum of what they add to the loss as small as
possible, and the cost no higher than the budget. A cost may hang on the levels of two parts at
once, as the products between two layers do. Each pair of levels becomes a variable then, which is 1
exactly if both are chosen (Adams and Sherali, "A Tight Linearization and an Algorithm for Zero-One
Quadratic Programming Problems", 1986).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from autotiny.graph import Array
from autotiny.solver.quiet import silent_stdout

NODES = 2000
"""Of the search tree, at most: a limit of time would give another result on another machine."""

Budget: TypeAlias = Literal["layer", "macs", "weights"]
"""What keeps to a share: each layer, or the multiply-accumulates or weights of all together."""

Cost: TypeAlias = Mapping[tuple[int, ...], Array]
"""What levels take: an array over those of a part, or of two parts, the first one in front."""


def taken(cost: Cost, choice: Sequence[int]) -> float:
    """What a choice takes."""
    return float(sum(values[tuple(choice[k] for k in parts)] for parts, values in cost.items()))


def allocated(losses: Sequence[Array], cost: Cost, equal: Sequence[int]) -> list[int]:
    """The levels of least loss in all, one for each part, as places in its array.

    Args:
        losses: of each part, at each of its levels; what is not finite counts as worse than all
            that is.
        cost: what levels take.
        equal: a choice that takes just the budget; it stays where none is better.
    """
    worst = 2 * sum(float(part[np.isfinite(part)].max(initial=0)) for part in losses) or 1.0
    known = np.concatenate([np.where(np.isfinite(part), part, worst) for part in losses])
    ends = np.cumsum([len(part) for part in losses])
    starts = [0, *ends[:-1]]
    reached = float(sum(known[start + level] for start, level in zip(starts, equal, strict=True)))
    if reached <= 0:
        return list(equal)
    rows = _Rows()
    for start, end in zip(starts, ends, strict=True):
        rows.add(dict.fromkeys(range(start, end), 1.0), 1.0, 1.0)
    size = int(ends[-1])
    pairs: dict[tuple[int, ...], Array] = {}
    for parts in (of for of in cost if len(of) == 2):
        height, width = (len(losses[part]) for part in parts)
        both = pairs[parts] = size + np.arange(height * width).reshape(height, width)
        size += both.size
        for part, table in zip(parts, (both, both.T), strict=True):
            for level, chosen in enumerate(table):
                with_others = dict.fromkeys(chosen.tolist(), 1.0)
                rows.add({**with_others, starts[part] + level: -1.0}, 0.0, 0.0)
    most = max(taken(cost, equal), 1.0)
    entries: dict[int, float] = {}
    for of, values in cost.items():
        places = pairs[of] if len(of) == 2 else starts[of[0]] + np.arange(len(values))
        entries.update(zip(places.ravel().tolist(), (values / most).ravel().tolist(), strict=True))
    rows.add(entries, -np.inf, taken(cost, equal) / most)
    loss = np.zeros(size)
    loss[: len(known)] = known / reached
    allowed = np.where(loss > 1, 0.0, 1.0)  # dearer alone than the equal choice in all
    whole = np.arange(size) < len(known)
    with silent_stdout():
        done = milp(
            np.minimum(loss, 1),
            integrality=whole,
            bounds=Bounds(0, allowed),
            constraints=rows.constraint(size),
            options={"node_limit": NODES, "mip_rel_gap": 0},
        )
    if done.x is None:
        return list(equal)
    return [int(done.x[start:end].argmax()) for start, end in zip(starts, ends, strict=True)]


class _Rows:
    """Rows of a linear program, as they are added."""

    def __init__(self) -> None:
        self.entries: list[Mapping[int, float]] = []
        self.bounds: list[tuple[float, float]] = []

    def add(self, entries: Mapping[int, float], low: float, high: float) -> None:
        """One more, by the variables' places."""
        self.entries.append(entries)
        self.bounds.append((low, high))

    def constraint(self, size: int) -> LinearConstraint:
        """All of them, over so many variables."""
        places = [(row, column) for row, one in enumerate(self.entries) for column in one]
        values = [value for one in self.entries for value in one.values()]
        matrix = coo_array((values, np.array(places).T), shape=(len(self.entries), size))
        lower, upper = np.array(self.bounds).T
        return LinearConstraint(matrix.tocsr(), lower, upper)
