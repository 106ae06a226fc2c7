"""ADD of two tensors of one shape."""

from __future__ import annotations

from autotiny.engine.fixed_point import activation_range, quantized_multiplier
from autotiny.engine.kernel import Kernel, Overlap, Site, initializer
from autotiny.engine.layers.constants import quantization_of
from autotiny.graph import Graph, Op

_IN_PLACE = {("a", "y"): Overlap(), ("b", "y"): Overlap()}


def sum_int8(graph: Graph, op: Op) -> dict[str, int]:
    """The fields of `at_sum_s8` for an ADD."""
    tensors = [graph.tensors[index] for index in (*op.inputs, op.outputs[0])]
    a, b, y = (tensor.quantization for tensor in tensors)
    assert a is not None
    assert b is not None
    assert y is not None
    twice = 2.0 * max(a.scale, b.scale)
    a_multiplier, a_shift = quantized_multiplier(a.scale / twice)
    b_multiplier, b_shift = quantized_multiplier(b.scale / twice)
    multiplier, shift = quantized_multiplier(twice / ((1 << 20) * y.scale))
    low, high = activation_range(op.option("fused_activation_function", "NONE"), y, "int8")
    return {
        "a_zero": -a.zero_point,
        "a_multiplier": a_multiplier,
        "a_shift": -a_shift,
        "b_zero": -b.zero_point,
        "b_multiplier": b_multiplier,
        "b_shift": -b_shift,
        "multiplier": multiplier,
        "shift": -shift,
        "out_zero": y.zero_point,
        "low": low,
        "high": high,
    }


def _one_shape(site: Site) -> None:
    if not site.input(0).shape == site.input(1).shape == site.output.shape:
        site.refuse("its inputs have different shapes")


def add_int8(site: Site) -> Kernel:
    """ADD on int8."""
    _one_shape(site)
    for position in (0, 1, None):
        quantization_of(site, position)
    q = sum_int8(site.graph, site.op)
    # The larger scale is halved, exactly.
    halved = "b" if (q["b_multiplier"], q["b_shift"]) == (1 << 30, 0) else "a"
    other = "a" if halved == "b" else "b"
    common = ("multiplier", "shift", "out_zero", "low", "high")
    fields = initializer(
        **{f"a_{name}": q[f"{other}_{name}"] for name in ("zero", "multiplier", "shift")},
        b_zero=q[f"{halved}_zero"],
        **{name: q[name] for name in common},
    )
    body = f"at_add_s8({other}, {halved}, y, {site.output.size}, (at_sum_s8){fields});"
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    return Kernel(("add.h",), body, operands, _IN_PLACE)
