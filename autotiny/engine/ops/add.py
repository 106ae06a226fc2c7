"""ADD of two tensors of one shape."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Overlap, Site, initializer
from autotiny.engine.ops.stored import sum_fields

_IN_PLACE = {("a", "y"): Overlap(), ("b", "y"): Overlap()}


def _one_shape(site: Site) -> None:
    if not site.input(0).shape == site.input(1).shape == site.output.shape:
        site.refuse("its inputs have different shapes")


def add_int8(site: Site) -> Kernel:
    """ADD on int8."""
    _one_shape(site)
    q = sum_fields(site)
    # The larger scale is halved, exactly.
    halved = "b" if (q["b_multiplier"], q["b_shift"]) == (1 << 30, 0) else "a"
    other = "a" if halved == "b" else "b"
    fields = initializer(
        a_zero=q[f"{other}_zero"], a_multiplier=q[f"{other}_multiplier"],
        a_shift=-q[f"{other}_shift"], b_zero=q[f"{halved}_zero"],
        multiplier=q["multiplier"], shift=-q["shift"], out_zero=q["out_zero"],
        low=q["low"], high=q["high"],
    )  # fmt: skip
    body = f"at_add_s8({other}, {halved}, y, {site.output.size}, (at_sum_s8){fields});"
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    return Kernel(("add.h",), body, operands, _IN_PLACE)
