"""Schedules: which ops are computed, in which order, how, and what is fused.

Every function takes a schedule and returns a new one.
"""

from __future__ import annotations

from dataclasses import replace

from autotiny.engine.kernel import Site
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, needed_ops, read_once
from autotiny.schedule import Schedule, Step

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
    # the kernel of floats knows the bounds of the convolution alone
    if x.dtype == "float32" and pool.option("fused_activation_function", "NONE") != "NONE":
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
