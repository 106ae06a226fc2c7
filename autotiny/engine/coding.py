"""Schedules whose weights are stored in other ways than one byte each.

Every function takes a schedule and returns a new one. It changes a step only where that saves
flash, and no result by a bit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from autotiny.engine.entropy import Coding
from autotiny.engine.kernel import Kernel, Site, Table
from autotiny.engine.layers.matrix import matrix
from autotiny.engine.ops import EMITTERS, coded, sparse
from autotiny.engine.variants.sparse import Sparse
from autotiny.engine.variants.sparse.packing import least_bytes
from autotiny.engine.variants.variant import parted
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.schedule import Plain, Schedule, Step

DENSE = ("FULLY_CONNECTED",)
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", *DENSE)

WORTH = 128
"""Bytes that a coded layer has to save: about as many are lost to the code that decodes it."""


SPARSE_CODE = {"CONV_2D": 1200, "FULLY_CONNECTED": 400}
"""Bytes that the kernels of sparse layers take on a Cortex-M4, about: what they have to save."""


def with_skipped_zeros(graph: Graph, schedule: Schedule, least_saving: float = 0.0) -> Schedule:
    """Leave the zero weights of convolutions and dense layers out.

    Args:
        graph: the network.
        schedule: how it is computed so far; steps whose weights are coded already stay so.
        least_saving: share of what a layer's constants take so far that has to be saved, 0 to 1.

    Raises:
        NotApplicable: no step would save so much, or too few to pay for the kernel.
    """
    graph = fold(graph)  # float16 weights are a layer's own then
    parts = [parted(graph, step) for step in schedule.steps]
    sites = [Site(graph, first) for first, *_ in parts]
    savings = ((k, saved_bytes(site, least_saving)) for k, site in enumerate(sites))
    saves = {k: saved for k, saved in savings if saved}
    if not saves:
        raise NotApplicable(
            "with_skipped_zeros: without its zeros no convolution or dense layer takes "
            + (f"{least_saving:.0%} " if least_saving else "")
            + "less flash; prune_magnitude makes zeros"
        )
    once = {(_layer(sites[k]), sites[k].op.inputs[1]): saved for k, saved in saves.items()}
    totals: Counter[tuple[str, str]] = Counter()
    for (layer, _), saved in once.items():
        totals[layer] += saved
    worth = [layer for layer, total in totals.items() if total > SPARSE_CODE[layer[0]]]
    if not worth:
        (kind, _), total = totals.most_common(1)[0]
        raise NotApplicable(
            f"with_skipped_zeros: zeros left out save {total:,} bytes of {kind} weights, less than "
            f"the {SPARSE_CODE[kind]:,} of the kernel for it; prune_magnitude makes more zeros"
        )
    steps: list[Step] = []
    for k, (site, whole) in enumerate(zip(sites, schedule.steps, strict=True)):
        taken = k in saves and _layer(site) in worth
        steps += (replace(site.step, kernel=Sparse()), *parts[k][1:]) if taken else (whole,)
    return Schedule(tuple(steps))


def _layer(site: Site) -> tuple[str, str]:
    return site.op.kind, site.arithmetic


def saved_bytes(site: Site, least_saving: float = 0.0) -> int:
    """Bytes that a step saves without its zeros; 0 where it stays as it is."""
    if site.op.kind not in SPARSE_CODE or sparse.why_not(site):
        return 0
    before = constant_bytes(site)
    if site.arithmetic == "int8" and least_bytes(matrix(site).weights) >= before:
        return 0
    after = constant_bytes(site.by(Sparse()))
    return before - after if after < (1 - least_saving) * before else 0


def with_coded_weights(
    graph: Graph,
    schedule: Schedule,
    coding: Coding,
    decode: Literal["row", "layer", "start"] = "row",
    layers: Literal["all", "dense"] = "all",
) -> Schedule:
    """Store int8 weights as indices into a codebook, or entropy-coded.

    Args:
        graph: the network.
        schedule: how it is computed so far; of coded weights, only indices are coded anew. What
            was computed in blocks no longer is: decoders give the weights in model order.
        coding: how they are stored.
        decode: when they become plain; "layer" for what cannot be done by row.
        layers: all that have int8 weights, or dense ones, which use each weight once.

    Raises:
        NotApplicable: no layer would take less flash.
    """
    sites = [Site(graph, step) for step in schedule.steps]
    chosen = DENSE if layers == "dense" else WEIGHTED
    steps = tuple(
        _coded(site, coding, decode) if site.op.kind in chosen else site.step for site in sites
    )
    if steps == schedule.steps:
        raise NotApplicable(
            f"with_coded_weights: no layer takes {WORTH} bytes less flash with its int8 weights "
            f"stored as {coding}; cluster_weights and prune_magnitude make them fewer values"
        )
    return Schedule(steps)


def _coded(site: Site, coding: Coding, decode: Literal["row", "layer", "start"]) -> Step:
    step = site.step
    if site.arithmetic not in ("int8", "int16", "hybrid") or coded.why_not(site):
        return step
    if step.kernel.stays:
        return step
    if step.weights.coding == "plain":
        before = site.input(1).bytes
    elif step.weights.coding == "shared" and coding != "shared":
        before = coded.coded(site, "shared").bytes
    else:
        return step
    if coded.coded(site, coding).bytes + WORTH > before:
        return step
    if decode == "row" and coded.why_not_by_row(site):
        decode = "layer"
    kernel = Plain() if decode == "row" or not step.kernel.in_model_order else step.kernel
    weights = replace(step.weights, coding=coding, decode=decode)
    return replace(step, kernel=kernel, weights=weights)


def constant_bytes(site: Site) -> int:
    """Bytes of all constants that a step reads."""
    kernel: Kernel = EMITTERS[site.op.kind, site.arithmetic].emit(site)
    tables = (operand.what for operand in kernel.operands)
    return sum(what.values.nbytes for what in tables if isinstance(what, Table))
