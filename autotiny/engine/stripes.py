"""Rewrites that cut layers into stripes of full rows, each computed by a step of its own.

The result is an ordinary graph: SLICE takes the rows that a stripe reads, PAD stands for the part
of the padding that it meets, a convolution without padding computes it, CONCATENATION joins the
stripes. In memory rows lie one behind the other, so slicing and joining are names for parts of one
buffer, and a PAD is computed by the convolution behind it. Only rows that two stripes need of a
layer between them cost something: they are moved, or computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import numpy as np

from autotiny.engine.cutting import Rewrite, Rows, cut
from autotiny.engine.generate import arena_bytes
from autotiny.engine.in_place import with_steps_in_place
from autotiny.engine.kernel import Site
from autotiny.engine.patch_plans import patch_plans
from autotiny.engine.regions import (
    Region,
    can_be_cut,
    follows_rows,
    why_not_cut,
    with_regions,
)
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Step


def with_patches(
    graph: Graph, schedule: Schedule, *, patches: int, stages: int = 0
) -> tuple[Graph, Schedule]:
    """Compute the first stages of a network, or others too, patch by patch.

    All of them are computed for one stripe of rows, then for the next, so that of the large tensors
    between them only stripes exist. Rows that two stripes need are kept or computed twice, whatever
    leaves the smaller arena. Where steps were in place, it is decided anew which are.

    Args:
        graph: the network.
        schedule: its schedule; stages are steps of one op each, computed the plain way.
        patches: stripes, at most: they have equal rows, the last one maybe fewer.
        stages: the stages end behind so many layers, or earlier where more than one tensor passes
            from there to the rest; 0 takes what leaves the smallest arena: the first stages, or
            regions anywhere in the network, see `patch_plans`.

    Raises:
        NotApplicable: no such rewrite makes the arena smaller.
    """
    wanted = list(_candidates(graph, schedule, patches, stages))
    if not wanted:
        raise NotApplicable(
            f"with_patches: no image passes through {stages or 'some'} layers that can be computed "
            "in stripes of rows (convolutions, poolings without padding, sums) to one tensor"
        )
    made = [with_regions(graph, schedule, regions) for regions in wanted]
    sizes = [arena_bytes(*one) for one in made]
    before = arena_bytes(graph, schedule)
    best = min(range(len(made)), key=lambda i: sizes[i])
    found, size = made[best], sizes[best]
    if any(step.in_place for step in schedule.steps):
        with suppress(NotApplicable):
            found = (found[0], with_steps_in_place(*found))
            size = arena_bytes(*found)
    if size >= before:
        layers = ", ".join(f"{one.first + 1} to {one.last + 1}" for one in wanted[best])
        raise NotApplicable(
            f"with_patches: the arena of {before} bytes would take {size} with the layers {layers} "
            f"in {patches} patches; its largest tensors lie elsewhere"
        )
    return found


def _candidates(
    graph: Graph, schedule: Schedule, patches: int, stages: int
) -> Iterator[tuple[Region, ...]]:
    """Regions that may leave the smallest arena; see `with_patches`."""
    steps = schedule.steps
    able = [can_be_cut(graph, step) for step in steps]
    first = able.index(True) if any(able) else len(steps)
    end = first + len(list(takewhile(bool, able[first:])))
    if all(graph.ops[step.ops[0]].kind in _PREPARING for step in steps[:first]):
        for last in _ends(graph, steps[first:end], stages):
            yield from ((Region(first, first + last, patches, keep),) for keep in (True, False))
    if not stages:
        yield from (plan.regions for plan in patch_plans(graph, schedule, most_patches=patches))


_PREPARING = ("RESHAPE", "EXPAND_DIMS", "QUANTIZE")
"""Kinds that may stand before the first stages."""


def _ends(graph: Graph, steps: Sequence[Step], stages: int) -> list[int]:
    """The last steps of stages that may be patches; see `with_patches`."""
    passing = {
        last: graph.tensors[graph.ops[steps[last].ops[0]].outputs[0]].bytes
        for last in range(len(steps))
        if why_not_cut(graph, steps[: last + 1]) is None
    }
    if stages:
        return [last for last in passing if last < stages][-1:]
    return [k for k in passing if all(passing[k] < passing[j] for j in passing if j < k)]


def with_two_cores(graph: Graph, schedule: Schedule) -> tuple[Graph, Schedule]:
    """Compute layers on two cores, each one half of the rows, or of the outputs of a dense layer.

    A step of core 1 runs at the same time as the step of core 0 before it. The halves read the
    whole input, so none of them may overwrite it.

    Raises:
        NotApplicable: no layer is worth it, or they are divided already.
    """
    if any(step.core for step in schedule.steps):
        raise NotApplicable("with_two_cores: the layers are divided already")
    build = Rewrite(graph)
    for step in schedule.steps:
        site = Site(graph, step)
        halves = _halves(site)
        if not halves:
            build.keep(step)
            continue
        region, result = (site.op, *site.fused), site.output_index
        likes = [replace(step, in_place=False, core=core) for core in range(len(halves))]
        if site.op.kind == "FULLY_CONNECTED":
            parts = [build.outputs_of(site.op, *one) for one in zip(halves, likes, strict=True)]
        else:
            for half in halves:  # before both, so that nothing is left to do between them
                build.slice(region, result, half)
            parts = [build.fused(region, result, *one) for one in zip(halves, likes, strict=True)]
        build.join(parts, result)
    changed = build.finished()
    if not any(step.core for step in changed[1].steps):
        raise NotApplicable(
            "with_two_cores: no convolution, pooling, sum or dense layer has two rows or outputs "
            f"and {_LEAST_WORK} multiplications"
        )
    return changed


_LEAST_WORK = 4096
"""Multiplications (elements, where there are none) for which handing over a half is a trifle."""


def _halves(site: Site) -> list[Rows]:
    """The rows, or outputs of a dense layer, of each core; none if the step stays whole."""
    step, graph, y = site.step, site.graph, site.output.shape
    if step.weights.coding not in ("plain", "shared") or step.weights.decode != "row":
        return []
    if len(y) < 2 or y[1] < 2 or _work(site) < _LEAST_WORK:
        return []
    if site.op.kind == "FULLY_CONNECTED":
        constant = all(t < 0 or graph.tensors[t].data is not None for t in site.op.inputs[1:])
        return cut(y[1], 2) if len(y) == 2 and y[0] == 1 and constant else []
    return cut(y[1], 2) if follows_rows(graph, site.op) else []


def _work(site: Site) -> int:
    weights = site.input(1).shape if site.has_input(1) else ()
    if site.op.kind == "CONV_2D":
        return site.output.size * int(np.prod(weights[1:]))
    if site.op.kind == "DEPTHWISE_CONV_2D":
        return site.output.size * int(np.prod(weights[1:3]))
    return site.input(1).size if site.op.kind == "FULLY_CONNECTED" else site.output.size
