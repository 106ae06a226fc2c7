"""Regions of a network that are computed stripe by stripe, of full rows, anywhere in it.

Of the tensors inside a region only the rows exist that the stripe at hand needs. Rows that the
next stripe needs as well are either kept, which takes SRAM and moves them, or computed again.

Huang and Baccelli, "msf-CNN: Patch-based Multi-Stage Fusion with Convolutional Neural Networks for
TinyML", NeurIPS 2025, fuse several regions so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.engine.cutting import CONVOLUTIONS, POOLINGS, Rewrite, Rows, Window, cut
from autotiny.errors import NotApplicable
from autotiny.graph import Array, Graph, Op
from autotiny.schedule import Schedule, Step

_ELEMENTWISE = (
    "ADD", "SUB", "MUL", "RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH",
    "QUANTIZE",
)  # fmt: skip


@dataclass(frozen=True)
class Region:
    """Steps of a schedule that are computed stripe by stripe.

    Attributes:
        first: the first step.
        last: the last one, whose result is the only tensor that passes on.
        patches: stripes of that result, at most: they have equal rows, the last one maybe fewer.
        keep: whether rows that two stripes need are kept, instead of being computed twice.
    """

    first: int
    last: int
    patches: int
    keep: bool = True


@dataclass(frozen=True)
class Link:
    """Which rows of a tensor an op reads for rows of its output.

    Attributes:
        read: the tensor.
        made: the output.
        stride: rows read on for each further row of the output.
        before: padding above the first row.
        taps: rows that one row of the output is computed from.
    """

    read: int
    made: int
    stride: int
    before: int
    taps: int


@dataclass(frozen=True, eq=False)
class Stripes:
    """The rows of each tensor of a region, stripe by stripe.

    Attributes:
        since: tensor → the first row that a stripe needs of it, for all stripes.
        ends: tensor → the row before which it ends.
        starts: tensor → the first row that a stripe computes itself.
    """

    since: Mapping[int, Array]
    ends: Mapping[int, Array]
    starts: Mapping[int, Array]


def with_regions(
    graph: Graph, schedule: Schedule, regions: Sequence[Region]
) -> tuple[Graph, Schedule]:
    """Compute regions stripe by stripe, and the other steps as they are.

    Args:
        graph: the network.
        schedule: its schedule; steps of regions are one op each, computed the plain way.
        regions: which; no two of them share a step.

    Raises:
        NotApplicable: a region cannot be cut.
    """
    build = Rewrite(graph)
    done = 0
    for region in sorted(regions, key=lambda region: region.first):
        if not done <= region.first <= region.last < len(schedule.steps):
            raise NotApplicable(
                f"with_regions: steps {region.first} to {region.last} are not steps of their own "
                f"among {len(schedule.steps)}; each step belongs to one region at most"
            )
        if why := why_not_cut(graph, schedule.steps[region.first : region.last + 1]):
            raise NotApplicable(f"with_regions: steps {region.first} to {region.last}: {why}")
        for step in schedule.steps[done : region.first]:
            build.keep(step)
        done = region.last + 1
        ops = [graph.ops[step.ops[0]] for step in schedule.steps[region.first : done]]
        build.join(_striped(build, ops, region), ops[-1].outputs[0])
    for step in schedule.steps[done:]:
        build.keep(step)
    return build.finished()


def _striped(build: Rewrite, ops: Sequence[Op], region: Region) -> list[int]:
    """The steps of a region; the tensors that are together its result."""
    graph, result = build.graph, ops[-1].outputs[0]
    if not region.keep:
        height = graph.tensors[result].shape[1]
        return [build.stripe(ops, result, rows) for rows in cut(height, region.patches)]
    found = kept_rows(graph, links_of(graph, ops), region.patches)
    held: dict[int, tuple[int, Rows]] = {}
    made: list[int] = []
    for stripe in range(len(found.ends[result])):
        ends, since = (
            {tensor: int(rows[stripe]) for tensor, rows in one.items()}
            for one in (found.ends, found.since)
        )
        build.advance(ops, ends, since, held)
        if result in held and held[result][0] not in made:
            made.append(held[result][0])
    return made


def links_of(graph: Graph, ops: Sequence[Op]) -> list[Link]:
    """The rows that ops read of images, in their order."""
    links = []
    for op in ops:
        for tensor in op.inputs:
            if tensor >= 0 and graph.tensors[tensor].data is None:
                stride, before, taps = 1, 0, 1
                if op.kind in (*CONVOLUTIONS, *POOLINGS):
                    window = Window.of(graph, op)
                    stride, before, taps = window.strides[0], window.before[0], window.taps[0]
                links.append(Link(tensor, op.outputs[0], stride, before, taps))
    return links


def kept_rows(graph: Graph, links: Sequence[Link], patches: int) -> Stripes:
    """The rows of stripes that keep what the next one needs.

    Each stripe moves all layers on by equal rows, so the first ones only prepare those at the end.
    """
    result = links[-1].made
    height = graph.tensors[result].shape[1]
    rows = -(-height // patches)
    ahead = _read_until(links, np.array([0]))
    early = max(int(-(-end[0] // rows)) for end in ahead.values())
    reached = _read_until(links, np.minimum(np.arange(1 - early, patches + 1) * rows, height))
    ends = {t: np.clip(end, 0, graph.tensors[t].shape[1]) for t, end in reached.items()}
    made = {link.made for link in links}
    begun = np.any([ends[tensor] > 0 for tensor in made], axis=0)
    more = np.any([np.diff(ends[tensor], prepend=0) > 0 for tensor in made], axis=0)
    ends = {tensor: end[begun & more] for tensor, end in ends.items()}
    starts = {tensor: np.concatenate(([0], end[:-1])) for tensor, end in ends.items()}
    return Stripes(_read_since(links, starts), ends, starts)


def computed_rows(graph: Graph, links: Sequence[Link], patches: int) -> Stripes:
    """The rows of stripes that compute all that they need themselves."""
    result = links[-1].made
    firsts, lasts = np.array(cut(graph.tensors[result].shape[1], patches)).T
    ends = {
        tensor: np.minimum(end, graph.tensors[tensor].shape[1])
        for tensor, end in _read_until(links, lasts).items()
    }
    starts = {result: firsts}
    for link in reversed(links):
        first = np.maximum(starts[link.made] * link.stride - link.before, 0)
        starts[link.read] = np.minimum(starts.get(link.read, first), first)
    return Stripes(starts, ends, starts)


def _read_until(links: Sequence[Link], ends: Array) -> dict[int, Array]:
    """Tensor → the row before which ends what rows of a result depend on."""
    found = {links[-1].made: ends}
    for link in reversed(links):
        end = (found[link.made] - 1) * link.stride - link.before + link.taps
        found[link.read] = np.maximum(found.get(link.read, end), end)
    return found


def _read_since(links: Sequence[Link], starts: Mapping[int, Array]) -> dict[int, Array]:
    """Tensor → the first row that rows from these on of the others depend on."""
    found = {links[-1].made: starts[links[-1].made]}
    for link in reversed(links):
        first = np.maximum(starts[link.made] * link.stride - link.before, 0)
        found[link.read] = np.minimum(found.get(link.read, first), first)
    return found


def why_not_cut(graph: Graph, steps: Sequence[Step]) -> str | None:
    """Why steps cannot be computed together, stripe by stripe; None if they can."""
    for step in steps:
        op = graph.ops[step.ops[0]]
        if not follows_rows(graph, op):
            return f"{op.kind} {graph.tensors[op.outputs[0]].name!r} has no rows to be cut into"
        if not can_be_cut(graph, step):
            return f"{op.kind} {graph.tensors[op.outputs[0]].name!r} is not computed the plain way"
    indices = {step.ops[0] for step in steps}
    read_outside = {t for i, op in enumerate(graph.ops) if i not in indices for t in op.inputs}
    made = {graph.ops[index].outputs[0] for index in indices}
    read = {t for index in indices for t in graph.ops[index].inputs}
    passing = made & {*graph.outputs, *read_outside} | made - read
    names = sorted(graph.tensors[tensor].name for tensor in passing)
    return None if len(names) == 1 else f"not one tensor passes on but {len(names)}: {names}"


def can_be_cut(graph: Graph, step: Step) -> bool:
    """Whether a step is an op of its own, computed the plain way, that can be cut into rows."""
    plain = replace(step, in_place=False) == Step(step.ops[:1])
    return plain and follows_rows(graph, graph.ops[step.ops[0]])


def follows_rows(graph: Graph, op: Op) -> bool:
    """Whether rows of an op's output follow from rows of its inputs."""
    if len(op.outputs) != 1 or all(t < 0 or graph.tensors[t].data is not None for t in op.inputs):
        return False
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if len(y.shape) != 4 or y.shape[0] != 1 or len(x.shape) != 4:
        return False
    if op.kind in CONVOLUTIONS:
        return all(t < 0 or graph.tensors[t].data is not None for t in op.inputs[1:])
    if op.kind in POOLINGS:
        return not any(Window.of(graph, op).sides(x.shape, y.shape))
    return op.kind in _ELEMENTWISE and all(
        tensor.shape == y.shape or (tensor.data is not None and tensor.size in (1, y.shape[3]))
        for tensor in (graph.tensors[t] for t in op.inputs)
    )
