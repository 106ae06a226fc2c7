"""ADD on int8 of two tensors of one shape (`kernels/add.h`), alone or behind a convolution."""

from __future__ import annotations

from collections.abc import Callable

from autotiny.engine.fixed_point import activation_range, quantized_multiplier
from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch
from autotiny.engine.layers.sharing import made_anew
from autotiny.engine.layers.window import window, window_struct
from autotiny.graph import Graph, Op


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


def sum_call(graph: Graph, op: Op, a: str, b: str, size: int) -> str:
    """A call of `at_add_s8` for `size` elements of both inputs of an ADD, as these names, to y."""
    q = sum_int8(graph, op)
    # The larger scale is halved, exactly.
    halved_b = (q["b_multiplier"], q["b_shift"]) == (1 << 30, 0)
    other, halved = ("a", "b") if halved_b else ("b", "a")
    common = ("multiplier", "shift", "out_zero", "low", "high")
    fields = initializer(
        **{f"a_{name}": q[f"{other}_{name}"] for name in ("zero", "multiplier", "shift")},
        b_zero=q[f"{halved}_zero"],
        **{name: q[name] for name in common},
    )
    names = {"a": a, "b": b}
    return f"at_add_s8({names[other]}, {names[halved]}, y, {size}, (at_sum_s8){fields});"


def summed(
    site: Site, header: str, call: Callable[[str, str, str], str], operands: tuple[Operand, ...]
) -> Kernel:
    """A convolution row by row, each row added to the fused ADD's other input where it is done.

    The sum may replace that input, as neither row is needed any more.

    Args:
        site: the step, whose `addend` that input is.
        header: of the convolution's kernel.
        call: (the image, the C value of its `at_window`, where outputs go) → the call of it.
        operands: what the call names, and `y`.
    """
    assert site.addend is not None
    shape = window(site, *site.input(1).shape[1:3])
    size = shape["out_w"] * shape["out_c"]
    one_row = window_struct(
        {**shape, "out_h": 1, "pad_top": f"{shape['pad_top']} - r * {shape['stride_h']}"}
    )
    (add,) = site.fused
    a, b = ("b" if index == site.addend else "row" for index in add.inputs)
    body = (
        f"for (int32_t r = 0; r < {shape['out_h']}; r++, b += {size}, y += {size}) {{\n"
        f"  {call('x', one_row, 'row')}\n"
        f"  {sum_call(site.graph, add, a, b, size)}\n"
        "}"
    )
    # Rows of the input are read under several rows of outputs, so these must not replace them.
    apart = site.addend != site.op.inputs[0] and all(
        made_anew(site.graph, tensor) for tensor in (site.addend, site.op.inputs[0])
    )
    return Kernel(
        (header, "add.h"),
        body,
        (*operands, site.reads_tensor("b", site.addend), scratch("row", size, "int8_t")),
        {("b", "y"): Overlap()} if apart else {},
    )
