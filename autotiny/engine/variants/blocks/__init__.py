"""Convolutions and dense layers on int8 as blocked matrix products (`gemm_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, scratch, table
from autotiny.engine.layers.constants import dense_shape
from autotiny.engine.layers.lanes import lane_stream
from autotiny.engine.layers.matrix import (
    Matrix,
    Tiling,
    dense_parts,
    in_pairs,
    matrix,
    why_not_fast,
)
from autotiny.engine.layers.patches import (
    overlap_until,
    pools_2x2,
    product_overlap,
    product_shape,
    row_ring,
    why_no_patches,
)
from autotiny.engine.layers.window import window
from autotiny.engine.variants import lines, planes
from autotiny.engine.variants.blocks.packing import expanded_stream
from autotiny.engine.variants.variant import Variant, with_each
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Way


@dataclass(frozen=True)
class Blocks(Way):
    """Several pixels and channels at once, in a register block.

    Attributes:
        rows: output pixels of a block.
        columns: output channels of a block.
        expanded: store int8 weights as int16 pairs: twice the flash, no unpacking in the inner
            loop.
    """

    rows: int
    columns: int
    expanded: bool = False


def with_blocks(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 layers in register blocks: several pixels and channels at once.

    Raises:
        NotApplicable: no step is an int8 layer that can be computed in blocks.
    """
    refusal = "with_blocks: no int8 layer can be computed in blocks"
    return with_each(graph, schedule, (chosen, planes.chosen, lines.chosen), refusal)


def with_expanded_weights(graph: Graph, schedule: Schedule) -> Schedule:
    """Store the weights of int8 convolutions as int16 pairs: twice the flash, nothing to unpack.

    Raises:
        NotApplicable: no step is a convolution whose weights can be stored so.
    """
    refusal = "with_expanded_weights: no int8 convolution is eligible"
    return with_each(graph, schedule, (expanded,), refusal)


def chosen(site: Site) -> Blocks | None:
    """The best blocks of a layer; weights that were expanded stay so."""
    if site.step.kernel == EXPANDED or site.op.kind not in ("CONV_2D", "FULLY_CONNECTED"):
        return None
    best = best_blocks(site)
    if why_not(site.by(best)) is None:
        return best
    return expanded(site)  # a large bias leaves two weights no room in a lane


def expanded(site: Site) -> Blocks | None:
    """Expanded blocks of a convolution whose weights are not stored as int16 in any case."""
    if site.op.kind != "CONV_2D" or site.step.kernel.stores_factors:
        return None
    return None if why_not(site.by(EXPANDED)) else EXPANDED


def best_blocks(site: Site) -> Blocks:
    """Pixels × channels of a layer's blocks: 4 × 2, or 2 × 4 where that wastes less.

    Both take as many instructions; 4 × 2 reads each weight for twice as many pixels, which counts
    where flash has wait states. Pixels behind the last are computed for nothing. The single row of
    a dense layer is computed 1 × 8.
    """
    if site.fused:
        return Blocks(4, 2)
    pixels = site.output.size // site.output.shape[-1]
    if pixels == 1 and site.op.kind == "FULLY_CONNECTED":
        return Blocks(1, 8)
    fours, twos = (-(-pixels // n) * n for n in (4, 2))
    return Blocks(4, 2) if fours <= 1.05 * twos else Blocks(2, 4)


EXPANDED = Blocks(2, 4, expanded=True)


def settings(site: Site) -> tuple[Blocks, ...]:
    """All blocks that a layer can be computed in."""
    if site.op.kind == "FULLY_CONNECTED":
        return (best_blocks(site),) if dense_shape(site)[0] == 1 else (Blocks(4, 2), Blocks(2, 4))
    return (Blocks(4, 2),) if site.fused else (Blocks(4, 2), Blocks(2, 4), EXPANDED)


def why_not(site: Site) -> str | None:
    """Why a layer cannot be computed in its step's blocks; None if it can."""
    if site.op.kind == "FULLY_CONNECTED":
        rows, depth, _ = dense_shape(site)
        if depth % 4:
            return "its inputs do not fill words"
        return why_not_fast(matrix(site), dense=rows == 1)
    if site.op.kind != "CONV_2D":
        return "only convolutions and dense layers are computed so"
    wide = site.way(Blocks).expanded
    shape = window(site, *site.input(1).shape[1:3])
    if why := why_no_patches(site, shape):
        return why
    if site.fused and wide:
        return "its weights are expanded and a pooling is fused into it"
    if site.fused and (shape["out_c"] % 2 or not pools_2x2(site)):
        return "only 2×2 max-pooling over an even number of channels is fused into blocks"
    return why_not_fast(matrix(site), lanes=not wide)


def emit(site: Site) -> Kernel:
    """CONV_2D in blocks of 2 pixels × 4 channels or 4 × 2, the latter before max-pooling.

    FULLY_CONNECTED: of one row in blocks of 8 outputs, the rest by 2; of several as a 1×1.
    """
    if site.op.kind == "CONV_2D":
        _check_blocks(site)
    if why := why_not(site):
        site.refuse(f"its blocks are not computed: {why}")
    if site.op.kind == "FULLY_CONNECTED":
        return _dense(site)
    shape = window(site, *site.input(1).shape[1:3])
    if product_shape(site) and shape["in_c"] % 4 == 0 and not site.fused:
        return _product(site)
    if shape["in_c"] == 1 and planes.why_no_plane(shape) is None:
        return planes.of_one_channel(site, shape)
    return _patches(site, shape)


def _check_blocks(site: Site) -> None:
    blocks = site.way(Blocks)
    sizes = ((4, 2),) if site.fused else ((2, 4), (4, 2))
    if blocks.expanded:
        sizes = ((2, 4),)
    if (blocks.rows, blocks.columns) not in sizes:
        site.refuse(f"blocks of {blocks.rows} × {blocks.columns} are not computed")


def _dense(site: Site) -> Kernel:
    rows, depth, out = dense_shape(site)
    if rows > 1:
        _check_blocks(site)
        return _product(site)
    made = matrix(site)
    parts = dense_parts(made)
    tiling = Tiling(out, 8, 2)
    sizes = f"{depth}, {tiling.blocks}, {tiling.left}"
    bounds = f", {made.low}, {made.high}"
    if parts > 1:
        body = f"@at_dense_cut_s8(x, w, y, {sizes}{bounds}, {parts});"
    else:
        bounds = bounds if made.finish == "clamp" else ""
        body = f"@at_dense_{made.finish}_s8(x, w, y, {sizes}{bounds});"
    stream = table("w", lane_stream(made, in_pairs(made.weights), tiling), site.step.weights.memory)
    operands = (site.reads("x"), stream, site.writes())
    return Kernel(("dense_gemm_s8.h",), body, operands, reads_past=4)


def _product(site: Site) -> Kernel:
    """A 1×1 convolution, or a dense layer of several rows."""
    shape = product_shape(site)
    assert shape is not None
    count, depth, out = shape
    made = matrix(site)
    blocks, tiling = site.way(Blocks), _tiling(site, made)
    pairs = in_pairs(made.weights).shape[1]
    body = (
        f"@at_pointwise_{tiling.finish(made)}_{_suffix(blocks)}(x, w, y, columns, {count}, "
        f"{depth}, {out}, {pairs},\n    {made.low}, {made.high});"
    )
    operands = (
        site.reads("x"),
        _stream(site, made, tiling),
        site.writes(),
        scratch("columns", 4 * blocks.rows * pairs, "uint32_t"),
    )
    until = product_overlap(count, depth, out, blocks.rows)
    return Kernel(("conv_gemm_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _patches(site: Site, shape: dict[str, int]) -> Kernel:
    made = matrix(site)
    pooled = bool(site.fused)
    blocks, tiling = site.way(Blocks), _tiling(site, made)
    pairs = in_pairs(made.weights).shape[1]
    rows, ring_bytes = row_ring(site, shape, slots=shape["k_h"] + pooled * shape["stride_h"])
    run = shape["k_w"] * shape["in_c"]
    words = -(-shape["k_h"] * run // 4)  # of a patch
    spread = 2 * words  # pairs that a column is written to
    # The last row is written by whole words, and all of them are read by words.
    written = (shape["k_h"] - 1) * run + -(-run // 4) * 4
    joined = 0 if run % 4 == 0 else max(written, 4 * words)
    operands = [
        site.reads("x"),
        _stream(site, made, tiling),
        site.writes(),
        scratch("columns", 4 * blocks.rows * max(pairs, spread), "uint32_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    operands += [scratch("joined", joined, "int8_t")] if joined else []
    kind = "max_pool" if pooled else tiling.finish(made)
    body = (
        f"static const at_rows rows = {rows};\n"
        f"@at_conv_gemm_{kind}_{_suffix(blocks)}(x, w, y, {'ring' if ring_bytes else 'y'}, "
        f"columns, {'joined' if joined else 'y'}, &rows, {pairs},\n    {made.low}, {made.high});"
    )
    until = overlap_until(site, shape, ring=bool(ring_bytes), pixels=blocks.rows)
    return Kernel(
        ("conv_gemm_s8.h",),
        body,
        tuple(operands),
        {("x", "y"): Overlap(until)},
        reads_past=0 if ring_bytes else -run % 4,
    )


def _tiling(site: Site, made: Matrix) -> Tiling:
    columns = site.way(Blocks).columns
    return Tiling(len(made.bias), columns, columns)


def _stream(site: Site, made: Matrix, tiling: Tiling) -> Operand:
    if site.way(Blocks).expanded:
        words = expanded_stream(made, tiling)
    else:
        words = lane_stream(made, in_pairs(made.weights), tiling)
    return table("w", words, site.step.weights.memory)


def _suffix(blocks: Blocks) -> str:
    """The end of the kernels' names."""
    return f"{blocks.rows}x{blocks.columns}{'_expanded' if blocks.expanded else ''}"


VARIANT = Variant(
    Blocks,
    __name__,
    why_not,
    emit,
    ("conv_gemm_s8.h", "gemm_s8.h", "dense_gemm_s8.h"),
    settings=settings,
)
