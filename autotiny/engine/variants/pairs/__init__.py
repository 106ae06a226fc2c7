"""Int8 convolutions and dense layers two dot products at a time (`dots_s8.h`).

For cores without the DSP extension; weights keep the order that they have in the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.kernel import Kernel, Overlap, Site, scratch
from autotiny.engine.layers.constants import dense_shape
from autotiny.engine.layers.matrix import channel_constants, matrix, why_not_fast
from autotiny.engine.layers.patches import overlap_until, row_ring, why_no_patches
from autotiny.engine.layers.window import window
from autotiny.engine.variants import lines, planes
from autotiny.engine.variants.variant import Variant, with_each
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Way


@dataclass(frozen=True)
class Pairs(Way):
    """Two output pixels, or two outputs of a dense layer, at a time."""

    in_model_order = True
    without_dsp = True


def with_pairs(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 layers two dot products at a time, as suits cores without the DSP extension.

    Raises:
        NotApplicable: no step is an int8 layer that can be computed so.
    """
    refusal = "with_pairs: no int8 layer can be computed in pairs"
    return with_each(graph, schedule, (chosen, planes.chosen, lines.chosen), refusal)


def chosen(site: Site) -> Pairs | None:
    """Pairs wherever they can be."""
    return None if why_not(site) else Pairs()


def why_not(site: Site) -> str | None:
    """Why a convolution or dense layer cannot be computed so; None if it can."""
    if site.op.kind == "FULLY_CONNECTED":
        if dense_shape(site)[0] != 1:
            return "it has several rows of inputs"
    elif site.op.kind == "CONV_2D":
        if site.fused:
            return "something is fused into it"
        if why := why_no_patches(site, window(site, *site.input(1).shape[1:3])):
            return why
    else:
        return "only convolutions and dense layers are computed so"
    return why_not_fast(matrix(site), lanes=False)


def emit(site: Site) -> Kernel:
    """CONV_2D or FULLY_CONNECTED."""
    if why := why_not(site):
        site.refuse(f"its dot products are not computed in pairs: {why}")
    return _dense(site) if site.op.kind == "FULLY_CONNECTED" else _conv(site)


def _conv(site: Site) -> Kernel:
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    rows, ring_bytes = row_ring(site, shape, slots=shape["k_h"])
    taps = shape["k_h"] * shape["k_w"] * shape["in_c"]
    body = (
        f"static const at_rows rows = {rows};\n"
        f"@at_conv_dots_{made.finish}(x, w, c, y, {'ring' if ring_bytes else 'y'}, patches, &rows, "
        f"{made.low}, {made.high});"
    )
    operands = [
        site.reads("x"),
        site.reads("w", 1),
        channel_constants(site, made),
        site.writes(),
        scratch("patches", 2 * taps, "int8_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    # Two pixels are read, then written; as pairs begin anew with each row, any pixel may end one.
    until = overlap_until(site, shape, ring=bool(ring_bytes), pixels=1)
    return Kernel(("dots_s8.h",), body, tuple(operands), {("x", "y"): Overlap(until)})


def _dense(site: Site) -> Kernel:
    _, depth, out = dense_shape(site)
    made = matrix(site)
    body = f"@at_dense_dots_{made.finish}(x, w, c, y, {depth}, {out}, {made.low}, {made.high});"
    operands = (site.reads("x"), site.reads("w", 1), channel_constants(site, made), site.writes())
    return Kernel(("dots_s8.h",), body, operands)


VARIANT = Variant(Pairs, __name__, why_not, emit, ("dots_s8.h",))
