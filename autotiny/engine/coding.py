"""Schedules whose weights are stored in other ways than one byte each.

Every function takes a schedule and returns a new one. It changes a step only where that saves
flash, and no result by a bit.
"""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site, Table
from autotiny.engine.ops import EMITTERS, sparse
from autotiny.engine.schedules import with_each
from autotiny.graph import Graph, Schedule, Step


def with_skipped_zeros(graph: Graph, schedule: Schedule, least_saving: float = 0.0) -> Schedule:
    """Leave the zero weights of int8 convolutions and dense layers out.

    Args:
        graph: the network.
        schedule: how it is computed so far; steps whose weights are coded already stay so.
        least_saving: share of a layer's constants that has to be saved, 0 to 1.

    Raises:
        NotApplicable: no step would save so much.
    """

    def skipping(site: Site) -> Step:
        if site.step.coding != "plain" or sparse.why_not(site):
            return site.step
        skips = sparse.skipping(site)
        saved = 1 - constant_bytes(skips) / constant_bytes(plain(site))
        return skips.step if saved > least_saving else site.step

    refusal = (
        "with_skipped_zeros: without its zeros no int8 convolution or dense layer takes "
        + (f"{least_saving:.0%} " if least_saving else "")
        + "less flash; prune_magnitude makes zeros"
    )
    return with_each(graph, schedule, skipping, refusal)


def plain(site: Site) -> Site:
    """The step with weights as the model stores them."""
    return Site(site.graph, Step(site.step.ops))


def constant_bytes(site: Site) -> int:
    """Bytes of all constants that a step reads."""
    kernel: Kernel = EMITTERS[site.op.kind, site.arithmetic](site)
    tables = (operand.what for operand in kernel.operands)
    return sum(what.values.nbytes for what in tables if isinstance(what, Table))
