"""What a network costs by the number of channels that each of its groups keeps."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from autotiny.components.keras._allocating import Cost
from autotiny.components.keras._channels import Axis, Ties
from autotiny.components.keras._weights import has_kernel, positions
from autotiny.graph import Array
from autotiny.model import KerasModel, keras

Width = tuple[int, Mapping[int, float]]
"""Of an axis: places that stay whatever is chosen, and places for each channel of a part."""


def channel_cost(
    network: KerasModel, ties: Ties, counts: Mapping[int, Sequence[int]], budget: str
) -> Cost:
    """What the levels of groups of channels cost in a network, but for what none of them changes.

    Args:
        network: the model.
        ties: which channels of it belong together.
        counts: channels of each group at each of its levels, by the root of a group.
        budget: "macs" or "weights".
    """
    parts = {root: part for part, root in enumerate(counts)}
    kept = [np.array(some, np.float64) for some in counts.values()]
    cost: dict[tuple[int, ...], Array] = defaultdict(lambda: np.zeros(()))
    for layer in network.layers:
        depthwise = isinstance(layer, keras().layers.DepthwiseConv2D)
        if layer.name not in ties.axis_in or not (depthwise or has_kernel(layer)):
            continue
        reads = _width(ties, ties.axis_in[layer.name], parts)
        if depthwise:
            reads = (1, {})  # each channel that it gives has a window on one that it reads
        fixed, slopes = reads
        others, other_slopes = _width(ties, ties.axis_out[layer.name], parts)
        each = math.prod(layer.weights[0].shape[:-2])
        if budget == "macs":
            each *= positions(layer)
        for a, slope in slopes.items():
            cost[a,] = cost[a,] + each * others * slope * kept[a]
            for b, other in other_slopes.items():
                low, high = sorted((a, b))
                of = (a,) if a == b else (low, high)
                product = kept[a] ** 2 if a == b else np.outer(kept[low], kept[high])
                cost[of] = cost[of] + each * slope * other * product
        for b, other in other_slopes.items():
            cost[b,] = cost[b,] + each * fixed * other * kept[b]
    return cost


def _width(ties: Ties, axis: Axis, parts: Mapping[int, int]) -> Width:
    roots = [ties.root(group) for group, _ in axis]
    places = Counter(root for root in roots if root in parts)
    fixed = len(roots) - places.total()
    return fixed, {parts[root]: count / ties.size[root] for root, count in places.items()}
