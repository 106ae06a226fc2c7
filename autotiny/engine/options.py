"""All ways in which the steps of a network can be computed, none of which changes a result.

A network falls into segments of ops that stand behind each other. A segment is computed by one of
several chains of steps: a convolution and the pooling behind it are one step, or two. Each place of
a chain is filled by one of its steps: kernel, form of the weights, memory, in place or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from autotiny.engine.coding import WEIGHTED, WORTH, saved_bytes
from autotiny.engine.entropy import Coding
from autotiny.engine.fusing import adds, with_windows_fused
from autotiny.engine.kernel import Site
from autotiny.engine.layers.rows import why_no_rows
from autotiny.engine.ops import coded
from autotiny.engine.ordering import with_least_memory
from autotiny.engine.schedules import plain_schedule
from autotiny.engine.trees import with_trees
from autotiny.engine.variants import VARIANTS
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Plain, Schedule, Step, Way, Weights

Place = tuple[Step, ...]
"""The steps of which one is chosen."""

Chain = tuple[Place, ...]
"""Places that are all filled, in the order of execution."""


@dataclass(frozen=True)
class Segment:
    """Ops that stand behind each other, and the chains of steps that compute them."""

    chains: tuple[Chain, ...]


def segments_of(graph: Graph, *, dsp: bool, given: Schedule | None = None) -> tuple[Segment, ...]:
    """The segments of a network, in the order of execution.

    Args:
        graph: with constants folded.
        dsp: whether the core has the DSP extension; kernels for cores without are left out then.
        given: plain steps whose order is kept, e.g. of stripes; else it is the one that keeps least
            alive.
    """
    apart = plain_schedule(graph)
    joined = given or apart
    with suppress(NotApplicable):
        apart = with_trees(graph, apart)
        joined = with_trees(graph, joined)
    with suppress(NotApplicable):
        joined = with_windows_fused(graph, joined)
    steps = list((joined if given else with_least_memory(graph, joined)).steps)
    alone = {op: step for step in apart.steps for op in step.ops}
    segments = []
    while steps:
        step = steps.pop(0)
        chains: list[Chain] = [(options(graph, step, dsp),)]
        members = sorted({alone[op] for op in step.ops}, key=lambda one: one.ops[0])
        if len(members) > 1 and not shares_weights(Site(graph, step)):
            chains.append(tuple(options(graph, one, dsp) for one in members))
        if steps and adds(graph, step, steps[0]):
            behind = steps.pop(0)
            total = replace(step, ops=step.ops + behind.ops)
            chains = [
                *((*chain, options(graph, behind, dsp)) for chain in chains),
                (options(graph, total, dsp),),
            ]
        segments.append(Segment(tuple(chains)))
    return tuple(segments)


def options(graph: Graph, step: Step, dsp: bool) -> Place:
    """All steps that compute the ops of a plain step; the plain one is the first."""
    site = Site(graph, step)
    return (
        tuple(dict.fromkeys(_options(site, dsp))) if site.op.kind in WEIGHTED else _in_place(site)
    )


def shares_weights(site: Site) -> bool:
    """Whether ops of other steps read the same weights, as stripes of one layer do.

    These are computed with plain weights in flash, whatever stripe it is.
    """
    if site.op.kind not in WEIGHTED:
        return False
    weights = site.op.inputs[1]
    return sum(weights in op.inputs for op in site.graph.ops) > 1


def _in_place(site: Site) -> Place:
    within = replace(site.step, in_place=True)
    return (site.step,) if why_no_rows(Site(site.graph, within)) else (site.step, within)


def _options(site: Site, dsp: bool) -> Iterator[Step]:
    """Of a layer: every way with plain weights in either memory, and with weights of any coding."""
    for way in _ways(site, dsp):
        here = site.by(way)
        if shares_weights(here):
            yield here.step
            continue
        stored = [Weights(), Weights(memory="sram")]
        if way.in_model_order:
            stored += _codings(here)
        for weights in stored:
            step = replace(here.step, weights=weights)
            yield step
            if not why_no_rows(Site(site.graph, step)):
                yield replace(step, in_place=True)


def _ways(site: Site, dsp: bool) -> Iterator[Way]:
    yield Plain()
    if site.addend is not None:
        return
    if site.arithmetic == "int8" and site.output.dtype == "int8":
        for variant in VARIANTS:
            if variant.way not in (Plain, Sparse) and not (dsp and variant.way.without_dsp):
                yield from variant.ways(site)
    if saved_bytes(site):
        yield Sparse()


def _codings(site: Site) -> list[Weights]:
    """Codings of weights that make them smaller."""
    if site.arithmetic not in ("int8", "int16", "hybrid") or coded.why_not(site):
        return []
    codings: list[Coding] = ["shared", "huffman", "ans"]
    worth = [one for one in codings if coded.coded(site, one).bytes + WORTH <= site.input(1).bytes]
    by_row = isinstance(site.step.kernel, Plain) and not coded.why_not_by_row(site)
    moments: list[Literal["row", "layer", "start"]] = ["layer", "start"]
    if by_row:
        moments.insert(0, "row")
    return [Weights(coding, decode) for coding, decode in product(worth, moments)]
