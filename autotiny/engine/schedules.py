"""Schedules: which ops are computed, in which order, how, and what is fused.

Every function takes a schedule and returns a new one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Literal

from autotiny.engine.kernel import Site
from autotiny.engine.ops import gemm, winograd
from autotiny.engine.ordering import with_least_memory
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, Schedule, Step

Style = Literal["fastest", "smallest", "balanced"]

_SHAPE_ARGUMENTS = {"RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1}
"""Op kinds of which only so many inputs are data; the rest state the shape, which is known."""


def data_inputs(op: Op) -> tuple[int, ...]:
    """The tensors whose values an op needs, once all shapes are known."""
    return tuple(t for t in op.inputs[: _SHAPE_ARGUMENTS.get(op.kind)] if t >= 0)


def needed_ops(graph: Graph) -> tuple[int, ...]:
    """The ops that the outputs depend on, in order; shape arithmetic is none of them."""
    wanted = set(graph.outputs)
    needed = []
    for index in reversed(range(len(graph.ops))):
        op = graph.ops[index]
        if wanted.intersection(op.outputs):
            needed.append(index)
            wanted.update(data_inputs(op))
    return tuple(reversed(needed))


def plain_schedule(graph: Graph) -> Schedule:
    """One step an op, each computed the plain way, in the order of the graph."""
    return Schedule(tuple(Step((index,)) for index in needed_ops(graph)))


def fuse(graph: Graph, schedule: Schedule) -> Schedule:
    """Let each max-pooling that alone reads a convolution become a part of its step.

    Raises:
        NotApplicable: no convolution is followed by a max-pooling that can be fused.
    """
    steps = list(schedule.steps)
    producers = {graph.ops[step.ops[-1]].outputs[0]: step for step in steps}
    for step in schedule.steps:
        producer = producers.get(graph.ops[step.ops[0]].inputs[0])
        if producer is not None and _pools(graph, producer, step):
            steps[steps.index(producer)] = replace(producer, ops=producer.ops + step.ops)
            steps.remove(step)
    if len(steps) == len(schedule.steps):
        raise NotApplicable("fuse: no max-pooling follows a convolution that nothing else reads")
    return Schedule(tuple(steps))


def _pools(graph: Graph, producer: Step, step: Step) -> bool:
    """Whether `step` is a max-pooling that can work on the accumulators of `producer`."""
    conv, pool = graph.ops[producer.ops[-1]], graph.ops[step.ops[0]]
    if (conv.kind, pool.kind, len(step.ops)) != ("CONV_2D", "MAX_POOL_2D", 1):
        return False
    x, w, y = (graph.tensors[index] for index in (*conv.inputs[:2], conv.outputs[0]))
    # weights that are computed from others are stored smaller (float16): their kernel pools nothing
    if w.data is None or not x.dtype == w.dtype == y.dtype or x.dtype not in ("int8", "float32"):
        return False
    if readers(graph, conv.outputs[0]) != 1 or conv.outputs[0] in graph.outputs:
        return False
    return _windows_are_apart(graph, pool) and _same_quantization(graph, pool)


def readers(graph: Graph, tensor: int) -> int:
    """How many ops read a tensor."""
    return sum(tensor in op.inputs for op in graph.ops)


def _windows_are_apart(graph: Graph, pool: Op) -> bool:
    """Whether no window reaches into padding, nor shares elements with another."""
    _, height, width, _ = graph.tensors[pool.inputs[0]].shape
    _, rows, columns, _ = graph.tensors[pool.outputs[0]].shape
    return all(
        int(pool.options[f"filter_{side}"]) <= stride  # type: ignore[arg-type]
        and (count - 1) * stride + int(pool.options[f"filter_{side}"]) <= size  # type: ignore[arg-type]
        for side, stride, count, size in (
            ("height", int(pool.options["stride_h"]), rows, height),  # type: ignore[arg-type]
            ("width", int(pool.options["stride_w"]), columns, width),  # type: ignore[arg-type]
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
    steps = tuple(_blocked(graph, step) for step in schedule.steps)
    if steps == schedule.steps:
        raise NotApplicable("with_blocks: no int8 layer can be computed in blocks")
    return Schedule(steps)


def _blocked(graph: Graph, step: Step) -> Step:
    site = Site(graph, step)
    if site.arithmetic != "int8" or site.output.dtype != "int8":
        return step
    if site.op.kind == "CONV_2D" and gemm.why_not(site) is None:
        rows, columns = best_block(site)
        return replace(step, method="im2col", rows=rows, columns=columns)
    if site.op.kind == "DEPTHWISE_CONV_2D" and gemm.why_not_depthwise(site) is None:
        return replace(step, rows=2)
    if site.op.kind == "FULLY_CONNECTED" and gemm.why_not_dense(site) is None:
        return replace(step, columns=8)
    return step


def best_block(site: Site) -> tuple[int, int]:
    """Pixels × channels of a convolution's blocks: 4 × 2, or 2 × 4 where that wastes less.

    Both take as many instructions; 4 × 2 reads each weight for twice as many pixels, which counts
    where flash has wait states. Pixels behind the last are computed for nothing.
    """
    if site.fused:
        return 4, 2
    _, height, width, _ = site.output.shape
    fours, twos = (-(-height * width // n) * n for n in (4, 2))
    return (4, 2) if fours <= 1.05 * twos else (2, 4)


def with_winograd(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 3×3 convolutions of stride 1 by exact Winograd filtering.

    Raises:
        NotApplicable: no step is a convolution that can be computed so.
    """
    steps = tuple(
        replace(step, method="winograd", rows=2, columns=2) if _filters(graph, step) else step
        for step in schedule.steps
    )
    if steps == schedule.steps:
        raise NotApplicable("with_winograd: no int8 3×3 convolution of stride 1 is eligible")
    return Schedule(steps)


def _filters(graph: Graph, step: Step) -> bool:
    site = Site(graph, step)
    return (
        site.op.kind == "CONV_2D"
        and site.arithmetic == "int8"
        and site.output.dtype == "int8"
        and winograd.why_not(site) is None
    )


def with_expanded_weights(graph: Graph, schedule: Schedule) -> Schedule:
    """Store the weights of int8 convolutions as int16 pairs: twice the flash, nothing to unpack.

    Raises:
        NotApplicable: no step is a convolution whose weights can be stored so.
    """
    steps = tuple(_expanded(step) if _expands(graph, step) else step for step in schedule.steps)
    if steps == schedule.steps:
        raise NotApplicable("with_expanded_weights: no int8 convolution is eligible")
    return Schedule(steps)


def _expanded(step: Step) -> Step:
    return replace(step, method="im2col", rows=2, columns=4, expand_weights=True)


def _expands(graph: Graph, step: Step) -> bool:
    site = Site(graph, _expanded(step))
    return (
        step.method != "winograd"  # its weights are int16 in any case
        and site.op.kind == "CONV_2D"
        and site.arithmetic == "int8"
        and site.output.dtype == "int8"
        and gemm.why_not(site) is None
    )


def schedule_for(graph: Graph, style: Style, *, dsp: bool) -> Schedule:
    """A good schedule without any search.

    Args:
        graph: the network.
        style: "fastest" spends flash for instructions, "smallest" saves flash, "balanced" takes
            what is faster at no more flash.
        dsp: whether the core has the DSP extension (SMLAD), which blocks are made of.
    """
    wanted = [fuse]
    if dsp and style != "smallest":
        wanted.append(with_blocks)
    if dsp and style == "fastest":
        wanted.append(with_winograd)
    schedule = plain_schedule(graph)
    for change in wanted:
        with suppress(NotApplicable):
            schedule = change(graph, schedule)
    return with_least_memory(graph, schedule)
