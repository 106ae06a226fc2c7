"""Steps that compute what stands before and behind them.

Every function takes a schedule and returns a new one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from autotiny.engine.generate import arena_bytes
from autotiny.engine.kernel import Site
from autotiny.engine.trees import with_trees
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, read_once
from autotiny.schedule import Plain, Schedule, Step, Weights


def fuse(graph: Graph, schedule: Schedule) -> Schedule:
    """Let convolutions compute what stands before and behind them, and tables whole functions.

    A PAD that only a convolution reads becomes its padding; a max-pooling that alone reads a
    convolution is computed on its accumulators; a sum that alone reads one, row by row, if that
    makes the arena smaller. Ops that make a function of one int8 tensor, and leave nothing else
    behind, become a lookup in one table; see `trees`.

    Raises:
        NotApplicable: no steps can be joined so.
    """
    fused = schedule
    for change in (with_windows_fused, with_trees, with_sums_fused):
        with suppress(NotApplicable):
            fused = change(graph, fused)
    if fused == schedule:
        raise NotApplicable(
            "fuse: no convolution stands behind a PAD or before a max-pooling that reads it alone, "
            "nor before such a sum that would make the arena smaller, and no ops make one function "
            "of an int8 tensor"
        )
    return fused


def with_windows_fused(graph: Graph, schedule: Schedule) -> Schedule:
    """Let convolutions see to the PAD before them and the max-pooling behind them.

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
            "with_windows_fused: no convolution stands behind a PAD or before a max-pooling that "
            "reads it alone"
        )
    return Schedule(tuple(steps))


def with_sums_fused(graph: Graph, schedule: Schedule) -> Schedule:
    """Let plain convolutions on int8 add to their results, row by row, where the arena shrinks.

    The result of the convolution is no tensor any more, and the sum may replace what is added.
    Only as many sums are fused as the smallest arena needs; coded weights count as plain ones for
    that, so that it does not matter whether they are coded before or behind.

    Raises:
        NotApplicable: the arena would not become smaller.
    """
    working = [step for step in schedule.steps if not _slices(graph, step)]
    sums = [step for maker, step in pairwise(working) if adds(graph, maker, step)]
    if not sums:
        raise NotApplicable(
            "with_sums_fused: no sum follows a plain int8 convolution it reads alone"
        )

    def arena(sums: list[Step]) -> int:
        steps = _joined(graph, schedule, sums).steps
        return arena_bytes(graph, Schedule(tuple(replace(s, weights=Weights()) for s in steps)))

    before, least = arena([]), arena(sums)
    if least >= before:
        raise NotApplicable(
            f"with_sums_fused: the arena of {before} bytes stays; its largest tensors are not "
            "those of a sum that alone reads a plain int8 convolution"
        )
    for one in tuple(sums):
        others = [step for step in sums if step != one]
        if arena(others) <= least:
            sums = others
    return _joined(graph, schedule, sums)


def _slices(graph: Graph, step: Step) -> bool:
    """Whether a step only takes rows of a tensor, so that others may pass it."""
    return graph.ops[step.ops[0]].kind == "SLICE"


def _joined(graph: Graph, schedule: Schedule, sums: list[Step]) -> Schedule:
    """The schedule with each of these sums in one step with the convolution before it."""
    steps: list[Step] = []
    for step in schedule.steps:
        if step in sums:
            maker = next(one for one in reversed(steps) if not _slices(graph, one))
            steps.remove(maker)
            step = replace(maker, ops=maker.ops + step.ops)
        steps.append(step)
    return Schedule(tuple(steps))


def adds(graph: Graph, maker: Step, step: Step) -> bool:
    """Whether `step` is a sum that the convolution `maker` can add to its results."""
    conv, add = graph.ops[maker.ops[0]], graph.ops[step.ops[0]]
    if (conv.kind, add.kind, len(step.ops)) != ("CONV_2D", "ADD", 1):
        return False
    if maker.kernel != Plain() or maker.core != step.core:
        return False
    if conv.outputs[0] not in add.inputs or not read_once(graph, conv.outputs[0]):
        return False
    if graph.tensors[conv.inputs[1]].data is None:
        return False
    if any(graph.tensors[index].data is not None for index in add.inputs):
        return False
    images = [graph.tensors[index] for index in (*add.inputs, *add.outputs)]
    if any(image.shape != images[-1].shape for image in images):
        return False
    return all(image.dtype == "int8" for image in (graph.tensors[conv.inputs[0]], *images))


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
