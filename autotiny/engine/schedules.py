"""Schedules: which ops are computed, in which order, how, and what is fused.

Every function takes a schedule and returns a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from autotiny.engine.kernel import Site
from autotiny.engine.ops import dots, gemm, strassen, winograd
from autotiny.engine.ordering import with_least_memory
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, Schedule, Step, needed_ops, read_once

Style = Literal["fastest", "smallest", "balanced"]

_SHAPE_ARGUMENTS = {"RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1}
"""Op kinds of which only so many inputs are data; the rest state the shape, which is known."""


def data_inputs(op: Op) -> tuple[int, ...]:
    """The tensors whose values an op needs, once all shapes are known."""
    return tuple(t for t in op.inputs[: _SHAPE_ARGUMENTS.get(op.kind)] if t >= 0)


def plain_schedule(graph: Graph) -> Schedule:
    """One step an op that the outputs need, each computed the plain way, in the graph's order.

    Shape arithmetic is none of them.
    """
    return Schedule(tuple(Step((index,)) for index in needed_ops(graph, data_inputs)))


def fuse(graph: Graph, schedule: Schedule) -> Schedule:
    """Let convolutions compute what stands before and behind them.

    A PAD that only a convolution reads becomes its padding; a max-pooling that alone reads a
    convolution is computed on its accumulators.

    Raises:
        NotApplicable: no convolution has such a neighbour.
    """
    steps = list(schedule.steps)
    for step in schedule.steps:
        op = graph.ops[step.ops[0]]
        makers = {Site(graph, other).output_index: other for other in steps}
        maker = makers.get(op.inputs[0])
        if maker is None:
            continue
        if _pools(graph, maker, step):
            steps[steps.index(maker)] = replace(maker, ops=maker.ops + step.ops)
            steps.remove(step)
        elif _pads(graph, maker, step):
            steps[steps.index(step)] = replace(step, ops=step.ops + maker.ops)
            steps.remove(maker)
    if len(steps) == len(schedule.steps):
        raise NotApplicable(
            "fuse: no convolution stands behind a PAD or before a max-pooling that reads it alone"
        )
    return Schedule(tuple(steps))


def _pads(graph: Graph, maker: Step, step: Step) -> bool:
    """Whether `maker` is a PAD with the stored zero that the convolution `step` can see to."""
    pad, conv = graph.ops[maker.ops[0]], graph.ops[step.ops[0]]
    if len(maker.ops) > 1 or pad.kind != "PAD":
        return False
    if conv.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or conv.text("padding") != "VALID":
        return False
    if not read_once(graph, pad.outputs[0]):
        return False
    paddings = graph.tensors[pad.inputs[1]].data
    if paddings is None or paddings.shape != (4, 2) or paddings.min() < 0:
        return False
    return not paddings[[0, 3]].any() and _same_quantization(graph, pad)


def _pools(graph: Graph, producer: Step, step: Step) -> bool:
    """Whether `step` is a max-pooling that can work on the accumulators of `producer`."""
    conv, pool = graph.ops[producer.ops[0]], graph.ops[step.ops[0]]
    if (conv.kind, pool.kind, len(step.ops)) != ("CONV_2D", "MAX_POOL_2D", 1):
        return False
    if Site(graph, producer).fused:
        return False
    x, w, y = (graph.tensors[index] for index in (*conv.inputs[:2], conv.outputs[0]))
    # weights that are computed from others are stored smaller (float16): their kernel pools nothing
    if w.data is None or not x.dtype == w.dtype == y.dtype or x.dtype not in ("int8", "float32"):
        return False
    if not read_once(graph, conv.outputs[0]):
        return False
    return _windows_are_apart(graph, pool) and _same_quantization(graph, pool)


def _windows_are_apart(graph: Graph, pool: Op) -> bool:
    """Whether no window reaches into padding, nor shares elements with another."""
    _, height, width, _ = graph.tensors[pool.inputs[0]].shape
    _, rows, columns, _ = graph.tensors[pool.outputs[0]].shape
    return all(
        taps <= stride and (count - 1) * stride + taps <= size
        for taps, stride, count, size in (
            (pool.integer("filter_height"), pool.integer("stride_h"), rows, height),
            (pool.integer("filter_width"), pool.integer("stride_w"), columns, width),
        )
    )


def _same_quantization(graph: Graph, op: Op) -> bool:
    x, y = graph.tensors[op.inputs[0]].quantization, graph.tensors[op.outputs[0]].quantization
    return x is y or (
        x is not None and y is not None and (x.scales, x.zero_points) == (y.scales, y.zero_points)
    )


def with_blocks(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 layers in register blocks: several pixels and channels at once.

    Raises:
        NotApplicable: no step is an int8 layer that can be computed in blocks.
    """
    refusal = "with_blocks: no int8 layer can be computed in blocks"
    return with_each(graph, schedule, _blocked, refusal)


def with_pairs(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 layers two dot products at a time, as suits cores without the DSP extension.

    Raises:
        NotApplicable: no step is an int8 layer that can be computed so.
    """
    refusal = "with_pairs: no int8 layer can be computed in pairs"
    return with_each(graph, schedule, _paired, refusal)


def with_winograd(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 3×3 convolutions of stride 1 by exact Winograd filtering.

    Raises:
        NotApplicable: no step is a convolution that can be computed so.
    """
    refusal = "with_winograd: no int8 3×3 convolution of stride 1 is eligible"
    return with_each(graph, schedule, _filtered, refusal)


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

    def multiplied(site: Site) -> Step:
        if site.op.kind not in ("CONV_2D", "FULLY_CONNECTED") or strassen.why_not(site):
            return site.step
        if site.input(1).shape[-1] < least_depth:
            return site.step
        return replace(site.step, method="strassen", rows=pixels, columns=4, expand_weights=False)

    refusal = (
        "with_strassen: no 1×1 convolution and no dense layer of several rows has a multiple of "
        f"16 inputs, at least {least_depth}, of 4 outputs, and pixels that nearly fill eights"
    )
    return with_each(graph, schedule, multiplied, refusal)


def with_expanded_weights(graph: Graph, schedule: Schedule) -> Schedule:
    """Store the weights of int8 convolutions as int16 pairs: twice the flash, nothing to unpack.

    Raises:
        NotApplicable: no step is a convolution whose weights can be stored so.
    """
    refusal = "with_expanded_weights: no int8 convolution is eligible"
    return with_each(graph, schedule, _expanded, refusal)


def with_each(
    graph: Graph, schedule: Schedule, change: Callable[[Site], Step], refusal: str
) -> Schedule:
    """The schedule with every step on int8 changed; refused if all stay as they are."""
    sites = [Site(graph, step) for step in schedule.steps]
    steps = tuple(change(site) if _is_int8(site) else site.step for site in sites)
    if steps == schedule.steps:
        raise NotApplicable(refusal)
    return Schedule(steps)


def _is_int8(site: Site) -> bool:
    return site.arithmetic == "int8" and site.output.dtype == "int8"


def _blocked(site: Site) -> Step:
    kind, step = site.op.kind, site.step
    if step.expand_weights:  # these are blocks
        return step
    if kind == "CONV_2D" and gemm.why_not(site) is None:
        rows, columns = best_block(site)
        return replace(step, method="im2col", rows=rows, columns=columns)
    if kind == "CONV_2D":  # a large bias leaves two weights no room in a lane
        return _expanded(site)
    if kind == "DEPTHWISE_CONV_2D" and gemm.why_not_depthwise(site) is None:
        return replace(step, rows=2)
    if kind == "FULLY_CONNECTED" and gemm.why_not_dense(site) is None:
        rows, columns = best_block(site)
        return replace(step, method="direct", rows=rows, columns=columns)
    return step


def best_block(site: Site) -> tuple[int, int]:
    """Pixels × channels of a layer's blocks: 4 × 2, or 2 × 4 where that wastes less.

    Both take as many instructions; 4 × 2 reads each weight for twice as many pixels, which counts
    where flash has wait states. Pixels behind the last are computed for nothing. The single row of
    a dense layer is computed 1 × 8.
    """
    if site.fused:
        return 4, 2
    pixels = site.output.size // site.output.shape[-1]
    if pixels == 1 and site.op.kind == "FULLY_CONNECTED":
        return 1, 8
    fours, twos = (-(-pixels // n) * n for n in (4, 2))
    return (4, 2) if fours <= 1.05 * twos else (2, 4)


def _paired(site: Site) -> Step:
    kind, step = site.op.kind, site.step
    if kind == "CONV_2D" and dots.why_not(site) is None:
        return replace(step, method="im2col", rows=2, columns=1, expand_weights=False)
    if kind == "FULLY_CONNECTED" and dots.why_not(site) is None:
        return replace(step, method="direct", rows=1, columns=2)
    if kind == "DEPTHWISE_CONV_2D" and gemm.why_not_depthwise(site) is None:
        return replace(step, rows=2)
    return step


def _filtered(site: Site) -> Step:
    if site.op.kind != "CONV_2D" or winograd.why_not(site):
        return site.step
    return replace(site.step, method="winograd", rows=2, columns=2, expand_weights=False)


def _expanded(site: Site) -> Step:
    wide = gemm.widened(site)
    if site.op.kind != "CONV_2D" or gemm.why_not(wide):
        return site.step
    if site.step.method in ("winograd", "strassen"):  # their weights are int16 in any case
        return site.step
    return replace(wide.step, method="im2col", rows=2, columns=4)


def schedule_for(graph: Graph, style: Style, *, dsp: bool) -> Schedule:
    """A good schedule without any search.

    Args:
        graph: the network.
        style: "fastest" spends flash for instructions, "smallest" saves flash, "balanced" takes
            what is faster at no more flash.
        dsp: whether the core has the DSP extension (SMLAD), which blocks are made of.
    """
    wanted = [fuse]
    if style != "smallest":
        wanted.append(with_blocks if dsp else with_pairs)
    if dsp and style == "fastest":
        wanted.append(with_winograd)
    schedule = plain_schedule(graph)
    for change in wanted:
        with suppress(NotApplicable):
            schedule = change(graph, schedule)
    return with_least_memory(graph, schedule)
