"""ADD of two tensors of one shape."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Overlap, Site
from autotiny.engine.layers.sums import sum_call

_IN_PLACE = {("a", "y"): Overlap(), ("b", "y"): Overlap()}


def add_int8(site: Site) -> Kernel:
    """ADD on int8."""
    if not site.input(0).shape == site.input(1).shape == site.output.shape:
        site.refuse("its inputs have different shapes")
    body = sum_call(site, "a", "b", site.output.size)
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    return Kernel(("add.h",), body, operands, _IN_PLACE)
