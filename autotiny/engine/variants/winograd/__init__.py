"""CONV_2D with 3×3 filters of stride 1 by exact Winograd filtering (`winograd_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.layers.matrix import (
    Ints,
    Matrix,
    Words,
    constants,
    halfwords,
    matrix,
    why_not_fast,
    words_of,
)
from autotiny.engine.layers.patches import rows_struct, why_no_patches
from autotiny.engine.layers.window import window
from autotiny.engine.variants.variant import Variant, with_each
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Way

# Twice the matrix that transforms filters, so that it has no halves; both sides: four times.
FILTER = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], np.int64)
BIAS_PRODUCT = 5  # the one product, (1, 1), that adds to all four outputs

CACHED_BYTES = 16 << 10
"""Of weights that the data cache of a Cortex-M7 keeps."""


@dataclass(frozen=True)
class Cost:
    """Thousand cycles of a 3×3 convolution of 8×8 pixels, fitted to layers of 4 to 64 channels.

    Attributes:
        an_input, an_output, a_pair: by channels, and by pairs of an input and an output.
    """

    an_input: float
    an_output: float
    a_pair: float

    def of(self, in_c: int, out_c: int) -> float:
        """Of a layer."""
        return self.an_input * in_c + self.an_output * out_c + self.a_pair * in_c * out_c


COSTS = {
    False: (Cost(1.6, 4.8, 0.45), Cost(1.53, 1.12, 0.756)),
    True: (Cost(0.85, 1.7, 0.148), Cost(0.8, 0.62, 0.427)),
}
"""Filtered, and by strips of 8 pixels, with a tenth more for those that find no room; by whether
the core loads ahead: Cortex-M7 (stm32h7a3) or Cortex-M4 (stm32l4r5)."""


@dataclass(frozen=True)
class Winograd(Way):
    """Two by two outputs of four channels at a time, in the domain of the products.

    Attributes:
        pairs: of patches, for each reading of the weights; from 2 on, which are copied to SRAM for
            them. A pair takes 64 bytes an input channel, and 512 more.
    """

    pairs: int = 1

    stores_factors = True


def with_winograd(graph: Graph, schedule: Schedule, *, loads_ahead: bool | None = None) -> Schedule:
    """Compute int8 3×3 convolutions of stride 1 by exact Winograd filtering.

    Args:
        graph: the network.
        schedule: what to change.
        loads_ahead: whether the core issues a load beside a multiplication; None takes layers that
            are slower so on either kind of core, too.

    Raises:
        NotApplicable: no step is a convolution that can be computed so, and is faster.
    """
    refusal = "with_winograd: no int8 3×3 convolution of stride 1 is eligible"
    return with_each(graph, schedule, (partial(chosen, loads_ahead=loads_ahead),), refusal)


def chosen(site: Site, *, loads_ahead: bool | None) -> Winograd | None:
    """Filtering where it can be and pays."""
    if why_not(site):
        return None
    if loads_ahead is None:
        return Winograd()
    out_c, _, _, in_c = site.input(1).shape
    _, h, w, _ = site.output.shape
    patched = -(-h // 2) * 2 * in_fours(w)  # pixels that two patches at a time compute
    filtered, direct = COSTS[loads_ahead]
    made = patched * filtered.of(in_fours(in_c), in_fours(out_c))
    return Winograd() if made < h * w * direct.of(in_c, out_c) else None


def roomy(site: Site, loads_ahead: bool) -> tuple[Winograd, ...]:
    """Of filtering that was chosen already: fewer than four pairs are not worth copies.

    Nor is any number where a data cache keeps the weights.
    """
    if not isinstance(site.step.kernel, Winograd):
        return ()
    out_c, _, _, in_c = site.input(1).shape
    if loads_ahead and 32 * in_fours(in_c) * out_c <= CACHED_BYTES:
        return ()
    return (Winograd(8), Winograd(4))


def in_fours(number: int) -> int:
    """As many, and what fills the last four up."""
    return -(-number // 4) * 4


def why_not(site: Site) -> str | None:
    """Why a convolution cannot be computed so; None if it can."""
    if site.op.kind != "CONV_2D":
        return "it is no convolution"
    shape = window(site, *site.input(1).shape[1:3])
    if (shape["k_h"], shape["k_w"]) != (3, 3) or shape["stride_h"] != 1 or shape["stride_w"] != 1:
        return "it is not 3×3 of stride 1"
    if site.fused:
        return "something is fused into it"
    if shape["in_c"] < 4 or shape["out_c"] < 4:
        return "it has fewer than 4 input or output channels"
    if shape["in_c"] * 16 * 4 > 1 << 16:
        return "it has more than 1,024 input channels"
    if why := why_no_patches(site, shape):
        return why
    made = matrix(site)
    if why := why_not_fast(made, lanes=False):  # transformed, weights take 16 bits
        return why
    if (np.abs(transformed(made, shape["in_c"])) > 32767).any():
        return "a transformed weight leaves 16 bits"
    if (4 * made.reach >= 1 << 31).any():
        return "four times an accumulator may exceed 32 bits"
    return None


def transformed(made: Matrix, in_c: int) -> Ints:
    """(16, outputs, inputs in fours): four times the filters in the domain of the products."""
    filters = made.weights.reshape(-1, 3, 3, in_c)
    filters = np.pad(filters, ((0, 0), (0, 0), (0, 0), (0, in_fours(in_c) - in_c)))
    products: Ints = np.einsum("ai,kijc,bj->abkc", FILTER, filters, FILTER)
    return products.reshape(16, len(filters), -1)


def stream(made: Matrix, in_c: int) -> Words:
    """The stream of `at_winograd`; channels in the input transform's pairs (0, 2), (1, 3), …."""
    filters = transformed(made, in_c)
    order = np.arange(filters.shape[2]).reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(-1)
    words = halfwords(filters[:, :, order].reshape(16, len(made.bias), -1, 2))
    parts: list[Ints] = []
    for k in range(0, len(made.bias), 4):
        first = min(k, len(made.bias) - 4)
        channels = slice(first, first + 4)
        for product in range(16):
            start = 4 * made.bias[channels] if product == BIAS_PRODUCT else np.zeros(4, np.int64)
            parts.append(start)
            parts.append(words[product, channels].T.reshape(-1))
        parts.append(np.array(constants(made, channels), np.int64))
    return words_of(np.concatenate(parts))


def emit(site: Site) -> Kernel:
    """CONV_2D."""
    if why := why_not(site):
        site.refuse(f"Winograd filtering is not computed: {why}")
    shape = window(site, 3, 3)
    made = matrix(site)
    columns = 2 * -(-shape["out_w"] // 2) + 2  # patches are whole: the last may reach further
    in_c = in_fours(shape["in_c"])
    pitch = max(shape["pad_left"] + shape["in_w"], columns) * in_c
    rows = rows_struct(site, shape, slots=4, pitch=pitch)
    pairs = min(site.way(Winograd).pairs, -(-shape["out_h"] // 2) * -(-shape["out_w"] // 4))
    copied = pairs > 1
    body = (
        f"static const at_rows rows = {rows};\n"
        f"@at_winograd_{made.finish}_s8(x, w, y, ring, v, m, {'block' if copied else 'v'}, "
        f"{pairs}, &rows,\n    {made.low}, {made.high});"
    )
    operands = [
        site.reads("x"),
        table("w", stream(made, shape["in_c"]), site.step.weights.memory),
        site.writes(),
        scratch("ring", 4 * pitch, "uint32_t"),
        scratch("v", 64 * in_c * pairs + 128, "uint32_t"),  # the next step is read ahead
        scratch("m", 512 * pairs, "int32_t"),
    ]
    if copied:
        operands.append(scratch("block", 4 * (76 + 32 * in_c), "uint32_t"))
    return Kernel(("winograd_s8.h",), body, tuple(operands), {("x", "y"): Overlap(_until(shape))})


def _until(shape: dict[str, int]) -> int:
    """How many bytes behind the start of the input the output may start.

    Before rows r and r + 1 are written, the input rows below r + 4 − padding are in the ring.
    """
    row = shape["in_w"] * shape["in_c"]
    rooms = [shape["in_h"] * row]
    for r in range(0, shape["out_h"] - 2, 2):
        loaded = r + 4 - shape["pad_top"]
        if loaded < shape["in_h"]:
            rooms.append(loaded * row - (r + 2) * shape["out_w"] * shape["out_c"])
    return min(rooms)


VARIANT = Variant(
    Winograd,
    __name__,
    why_not,
    emit,
    ("winograd_s8.h", "winograd_products_s8.h"),
    roomy,
    settings=lambda site: (Winograd(8), Winograd(4), Winograd()),
)
