"""Layers whose int8 weights are stored coded (`kernels/coded_s8.h`)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, wraps

import numpy as np

from autotiny.engine.entropy import CODINGS, Coded, Coding, encode, index_bits
from autotiny.engine.kernel import Emit, Kernel, Operand, Site, Table, kept, scratch, table
from autotiny.engine.layers.constants import dense_shape, quantization_of
from autotiny.engine.layers.matrix import finish_struct, matrix, why_not_fast
from autotiny.graph import Array


def decoding(emit: Emit) -> Emit:
    """An emitter that also takes coded weights, if the kernels of `emit` read them in model order.

    Dense layers can use each weight as it becomes plain; others have all of theirs made plain
    first, every time ("layer") or once ("start").
    """

    @wraps(emit)
    def emit_coded(site: Site) -> Kernel:
        if site.step.weights.coding not in CODINGS:
            return emit(site)
        if why := why_not(site):
            site.refuse(f"its weights are not stored {site.step.weights.coding}: {why}")
        if site.step.weights.decode == "row" and why_not_by_row(site) is None:
            return _dense_by_row(site)
        return _after_decoding(site, emit(_plain(site)))

    return emit_coded


def why_not(site: Site) -> str | None:
    """Why the weights of a layer cannot be stored coded; None if they can."""
    weights = site.input(1) if site.has_input(1) else None
    if weights is None or weights.data is None or weights.dtype != "int8":
        return "it has no constant int8 weights"
    return None


def why_not_by_row(site: Site) -> str | None:
    """Why weights cannot be used one by one as they become plain; None if they can."""
    if (site.op.kind, site.arithmetic, site.output.dtype) != ("FULLY_CONNECTED", "int8", "int8"):
        return "it is no dense layer on int8"
    if dense_shape(site)[0] != 1:
        return "it has several rows of inputs"
    made = matrix(site)
    zero = quantization_of(site, None).zero_point
    if why := why_not_fast(made, lanes=False):
        return why
    doubled = (2 * zero + 1) << made.shift
    if (np.abs(doubled) >= 1 << 31).any() or (made.rounding != doubled >> 1).any():
        return "a channel is next to constant"
    return None


def coded(site: Site, coding: Coding) -> Coded:
    """The weights of a layer in a coding."""
    weights = site.constant(1)
    # of a depthwise convolution, scales belong to columns
    rows = 1 if site.op.kind == "DEPTHWISE_CONV_2D" else len(weights)
    scales = quantization_of(site, 1).scales
    return _coded(weights.tobytes(), rows, coding, scales if len(scales) == rows else ())


@lru_cache(maxsize=64)
def _coded(weights: bytes, rows: int, coding: Coding, scales: tuple[float, ...]) -> Coded:
    return encode(np.frombuffer(weights, np.int8).reshape(rows, -1), coding, scales)


def _plain(site: Site) -> Site:
    return replace(
        site, step=replace(site.step, weights=replace(site.step.weights, coding="plain"))
    )


def _stored(site: Site) -> tuple[Coded, str, tuple[Operand, ...]]:
    """The coded weights, the arguments that name them in a call, and their operands."""
    coding = site.step.weights.coding
    assert coding in CODINGS
    stored = coded(site, coding)
    place = site.step.weights.memory
    operands = [table("stream", stored.stream, place), table("book", stored.book, place)]
    rows, symbols = stored.book.shape
    if coding == "shared":
        codes = str(index_bits(symbols))
    else:
        codes = "codes"
        operands.append(table(codes, stored.table, place))
    return stored, f"stream, {codes}, book, {symbols if rows > 1 else 0}", tuple(operands)


def _after_decoding(site: Site, plain: Kernel) -> Kernel:
    """The kernel of a layer, the table of its weights replaced by memory that is filled first."""
    stored, arguments, tables = _stored(site)
    weights = site.constant(1)
    rows, count = len(stored.book), weights.size
    call = f"@at_decode_{stored.coding}({arguments}, w, {rows}, {count // rows});"
    memory = scratch("w", count, "int8_t")
    if site.step.weights.decode == "start":  # the byte behind the weights says that they are there
        memory = kept("w", count + 1)
        call = f"if (!w[{count}]) {{\n  {call}\n  w[{count}] = 1;\n}}"
    operands = tuple(memory if _holds(one, weights) else one for one in plain.operands)
    if memory not in operands:
        site.refuse("its kernel reads the weights in an order of its own")
    return replace(
        plain,
        headers=("coded_s8.h", *plain.headers),
        body=f"{call}\n{plain.body}",
        operands=operands + tables,
    )


def _holds(operand: Operand, weights: Array) -> bool:
    return (
        operand.name == "w"
        and isinstance(operand.what, Table)
        and np.array_equal(operand.what.values, weights)
    )


def _dense_by_row(site: Site) -> Kernel:
    """FULLY_CONNECTED, each weight used as it becomes plain."""
    stored, arguments, tables = _stored(site)
    made = matrix(site)
    _, depth, out = dense_shape(site)
    each = len(quantization_of(site, 1).scales) > 1
    sparse = not stored.book[:, 0].any()
    body = (
        f"at_dense_coded_{stored.coding}(x, {arguments}, {int(sparse)}, bias, multiplier, shift, "
        f"{int(each)}, y, {depth}, {out},\n"
        f"    {quantization_of(site, None).zero_point}, {finish_struct(made)});"
    )
    scales, place = slice(None if each else 1), site.step.weights.memory
    operands = (
        site.reads("x"),
        *tables,
        table("bias", made.bias.astype(np.int32), place),
        table("multiplier", made.multiplier[scales].astype(np.int32), place),
        table("shift", made.shift[scales].astype(np.int8), place),
        site.writes(),
    )
    return Kernel(("coded_s8.h",), body, operands)
