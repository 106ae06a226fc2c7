"""ADD on int8 of two tensors of one shape (`kernels/add.h`), alone or behind a convolution."""

from __future__ import annotations

from collections.abc import Callable

from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch
from autotiny.engine.layers.sharing import made_anew
from autotiny.engine.layers.stored import sum_fields
from autotiny.engine.layers.window import window, window_struct
from autotiny.schedule import Step


def sum_call(site: Site, a: str, b: str, size: int) -> str:
    """A call of `at_add_s8` for `size` elements of both inputs of an ADD, as these names, to y."""
    q = sum_fields(site)
    # The larger scale is halved, exactly.
    halved_b = (q["b_multiplier"], q["b_shift"]) == (1 << 30, 0)
    other, halved = ("a", "b") if halved_b else ("b", "a")
    fields = initializer(
        a_zero=q[f"{other}_zero"], a_multiplier=q[f"{other}_multiplier"],
        a_shift=-q[f"{other}_shift"], b_zero=q[f"{halved}_zero"],
        multiplier=q["multiplier"], shift=-q["shift"], out_zero=q["out_zero"],
        low=q["low"], high=q["high"],
    )  # fmt: skip
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
    (last,) = (index for index in site.step.ops if site.graph.ops[index].kind == "ADD")
    add = Site(site.graph, Step((last,)))
    a, b = ("b" if index == site.addend else "row" for index in add.op.inputs)
    body = (
        f"for (int32_t r = 0; r < {shape['out_h']}; r++, b += {size}, y += {size}) {{\n"
        f"  {call('x', one_row, 'row')}\n"
        f"  {sum_call(add, a, b, size)}\n"
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
