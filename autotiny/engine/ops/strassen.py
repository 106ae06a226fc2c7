"""Matrix products by Strassen's algorithm (`kernels/strassen_s8.h`): 1×1 convolutions, dense rows.

Sums wrap at 32 bits and come out right, as the accumulators do fit: `packing.why_not_fast` proves
it. The factors fit lanes of 16 bits whatever the weights are: four inputs add up to at most
4 · 128, four weights doubled to at most 8 · 128.
"""

from __future__ import annotations

import numpy as np

from autotiny.engine import packing
from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.ops import gemm
from autotiny.engine.packing import Layer, Words

PIXELS, CHANNELS = 8, 4
"""Of one block; a step's rows are some blocks of pixels."""


def why_not(site: Site) -> str | None:
    """Why a convolution or dense layer cannot be computed so; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    if site.fused:
        return "something is fused into it"
    if (shape := gemm.product_shape(site)) is None:
        return "it is not 1×1 of stride 1"
    count, depth, out = shape
    if depth % 16 or out % CHANNELS:
        return "it needs a multiple of 16 inputs and of 4 outputs"
    if 7 * -(-count // PIXELS) * PIXELS >= 8 * count:
        return "its pixels fill blocks of eight too badly for fewer multiplications"
    return packing.why_not_fast(gemm.matrix(site), lanes=False)


def stream(made: Layer) -> Words:
    """The stream of `at_strassen`.

    For every four channels: of each of the seven products the start values of two channels and
    (pairs, 2) words; (multiplier, rounding, shift) a channel.
    """
    groups = len(made.bias) // CHANNELS
    # (groups, left and right channels, 2, pairs, which half of the inputs, 2)
    parts = packing.in_pairs(made.weights).reshape(groups, 2, 2, -1, 2, 2)
    b11, b21 = parts[:, 0, ..., 0, :], parts[:, 0, ..., 1, :]
    b12, b22 = parts[:, 1, ..., 0, :], parts[:, 1, ..., 1, :]
    t1, t3 = b12 - b11, b22 - b12
    t2 = b22 - t1
    factors = 2 * np.stack((b11, b21, b22, t2 - b21, t1, t2, t3), axis=1) & 0xFFFF
    words = (factors[..., 0] | factors[..., 1] << 16).swapaxes(2, 3)  # (groups, 7, pairs, 2)
    # P1 is part of all outputs, P5 of those of the right channels alone.
    left, right = 2 * made.bias.reshape(groups, 2, 2).swapaxes(0, 1)
    starts = np.zeros((groups, 7, 1, 2), np.int64)
    starts[:, 0, 0], starts[:, 4, 0] = left, right - left
    weights = np.concatenate((starts, words), axis=2).reshape(groups, -1)
    ends = np.array(packing.constants(made, slice(None))).reshape(groups, -1)
    blocks = np.concatenate((weights, ends), axis=1)
    return (blocks.reshape(-1) & 0xFFFFFFFF).astype(np.uint32)


def product(site: Site) -> Kernel:
    """CONV_2D or FULLY_CONNECTED; its step's method is "strassen"."""
    if why := why_not(site):
        site.refuse(f"Strassen's products are not computed: {why}")
    shape = gemm.product_shape(site)
    assert shape is not None
    count, depth, out = shape
    made = gemm.matrix(site)
    # More pixels at once read the weights less often, and take more room.
    groups = min(site.step.rows // PIXELS, -(-count // PIXELS))
    body = (
        f"at_strassen_{made.finish}_s8(x, w, y, v, m, {groups}, {count}, {depth}, {out},\n    "
        f"{made.low}, {made.high});"
    )
    operands = (
        site.reads("x"),
        table("w", stream(made), site.step.weights_in),
        site.writes(),
        scratch("v", 28 * depth * groups, "uint32_t"),
        scratch("m", 224 * groups, "int32_t"),
    )
    until = gemm.product_overlap(count, depth, out, PIXELS * groups)
    return Kernel(("strassen_s8.h",), body, operands, {("x", "y"): Overlap(until)})
