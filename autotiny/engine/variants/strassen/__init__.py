"""Matrix products by Strassen's algorithm (`strassen_s8.h`): 1×1 convolutions, dense rows.

Sums wrap at 32 bits and come out right, as the accumulators do fit: `why_not_fast` proves
it. The factors fit lanes of 16 bits whatever the weights are: four inputs add up to at most
4 · 128, four weights doubled to at most 8 · 128.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.layers.matrix import (
    Matrix,
    Words,
    constants,
    halfwords,
    in_pairs,
    matrix,
    why_not_fast,
    words_of,
)
from autotiny.engine.layers.patches import product_overlap, product_shape
from autotiny.engine.variants.variant import Variant, with_each
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Way

PIXELS, CHANNELS = 8, 4
"""Of one block."""


@dataclass(frozen=True)
class Strassen(Way):
    """Seven products of halves of the inputs for eight.

    Attributes:
        pixels: how many each reading of the weights serves, a multiple of 8.
    """

    pixels: int

    stores_factors = True


def with_strassen(
    graph: Graph, schedule: Schedule, pixels: int = 32, least_depth: int = 192
) -> Schedule:
    """Compute int8 matrix products by Strassen's algorithm: seven multiplications for eight.

    Args:
        graph: the network.
        schedule: what to change.
        pixels: how many each reading of the weights serves, a multiple of 8; a pixel takes 3.5
            bytes an input and 28 more.
        least_depth: inputs of a product below which its additions cost more than they save.

    Raises:
        NotApplicable: no step is a 1×1 convolution or dense layer that can be computed so.
    """

    def chosen(site: Site) -> Strassen | None:
        if why_not(site) or site.input(1).shape[-1] < least_depth:
            return None
        return Strassen(pixels)

    refusal = (
        "with_strassen: no 1×1 convolution and no dense layer of several rows has a multiple of "
        f"16 inputs, at least {least_depth}, of 4 outputs, and pixels that nearly fill eights"
    )
    return with_each(graph, schedule, (chosen,), refusal)


def why_not(site: Site) -> str | None:
    """Why a convolution or dense layer cannot be computed so; None if it can."""
    if site.op.kind not in ("CONV_2D", "FULLY_CONNECTED"):
        return "only convolutions and dense layers are computed so"
    if site.fused:
        return "something is fused into it"
    if (shape := product_shape(site)) is None:
        return "it is not 1×1 of stride 1"
    count, depth, out = shape
    if depth % 16 or out % CHANNELS:
        return "it needs a multiple of 16 inputs and of 4 outputs"
    if 7 * -(-count // PIXELS) * PIXELS >= 8 * count:
        return "its pixels fill blocks of eight too badly for fewer multiplications"
    return why_not_fast(matrix(site), lanes=False)


def stream(made: Matrix) -> Words:
    """The stream of `at_strassen`.

    For every four channels: of each of the seven products the start values of two channels and
    (pairs, 2) words; (multiplier, rounding, shift) a channel.
    """
    groups = len(made.bias) // CHANNELS
    # (groups, left and right channels, 2, pairs, which half of the inputs, 2)
    parts = in_pairs(made.weights).reshape(groups, 2, 2, -1, 2, 2)
    b11, b21 = parts[:, 0, ..., 0, :], parts[:, 0, ..., 1, :]
    b12, b22 = parts[:, 1, ..., 0, :], parts[:, 1, ..., 1, :]
    t1, t3 = b12 - b11, b22 - b12
    t2 = b22 - t1
    factors = 2 * np.stack((b11, b21, b22, t2 - b21, t1, t2, t3), axis=1)
    words = halfwords(factors).swapaxes(2, 3)  # (groups, 7, pairs, 2)
    # P1 is part of all outputs, P5 of those of the right channels alone.
    left, right = 2 * made.bias.reshape(groups, 2, 2).swapaxes(0, 1)
    starts = np.zeros((groups, 7, 1, 2), np.int64)
    starts[:, 0, 0], starts[:, 4, 0] = left, right - left
    weights = np.concatenate((starts, words), axis=2).reshape(groups, -1)
    ends = np.array(constants(made, slice(None))).reshape(groups, -1)
    return words_of(np.concatenate((weights, ends), axis=1))


def emit(site: Site) -> Kernel:
    """CONV_2D or FULLY_CONNECTED."""
    if why := why_not(site):
        site.refuse(f"Strassen's products are not computed: {why}")
    shape = product_shape(site)
    assert shape is not None
    count, depth, out = shape
    made = matrix(site)
    # More pixels at once read the weights less often, and take more room.
    groups = min(site.way(Strassen).pixels // PIXELS, -(-count // PIXELS))
    body = (
        f"@at_strassen_{made.finish}_s8(x, w, y, v, m, {groups}, {count}, {depth}, {out},\n    "
        f"{made.low}, {made.high});"
    )
    operands = (
        site.reads("x"),
        table("w", stream(made), site.step.weights.memory),
        site.writes(),
        scratch("v", 28 * depth * groups, "uint32_t"),
        scratch("m", 224 * groups, "int32_t"),
    )
    until = product_overlap(count, depth, out, PIXELS * groups)
    return Kernel(("strassen_s8.h",), body, operands, {("x", "y"): Overlap(until)})


VARIANT = Variant(
    Strassen,
    __name__,
    why_not,
    emit,
    ("strassen_s8.h",),
    settings=lambda site: (Strassen(32), Strassen(8)),
)
