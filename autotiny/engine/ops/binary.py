"""Ops of two tensors that are broadcast against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine.fixed_point import INT_RANGE, activation_range, quantized_multiplier
from autotiny.engine.kernel import Emitter, Kernel, Overlap, Site, checked, initializer
from autotiny.engine.ops import add
from autotiny.engine.ops.convolution import bounds_float32, quantization_of
from autotiny.engine.shapes import no_check
from autotiny.graph import DType

SUFFIX: Final = {"int8": "s8", "int16": "s16", "int32": "s32", "float32": "f32"}
LEFT: Final = {"int8": 20, "int16": 15}
DIMENSIONS: Final = 5


def broadcast(site: Site) -> tuple[list[int], list[int], list[int]]:
    """Dimensions of the output and strides of the two inputs, as few as do, filled up in front."""
    shapes = [site.input(0).shape, site.input(1).shape]
    out = site.output.shape
    try:
        fits = np.broadcast_shapes(*shapes) == out
    except ValueError:
        fits = False
    if not fits:
        site.refuse(f"{shapes[0]} and {shapes[1]} do not broadcast to {out}")
    strides = []
    for shape in shapes:
        padded = (1,) * (len(out) - len(shape)) + shape
        steps = [int(np.prod(padded[i + 1 :], dtype=np.int64)) for i in range(len(padded))]
        strides.append([0 if n == 1 else step for n, step in zip(padded, steps, strict=True)])
    kept: list[tuple[int, int, int]] = []
    for n, a, b in zip(out, *strides, strict=True):
        if n == 1:
            continue
        if kept and kept[-1][1] == n * a and kept[-1][2] == n * b:
            kept[-1] = (kept[-1][0] * n, a, b)
        else:
            kept.append((n, a, b))
    if len(kept) > DIMENSIONS:
        site.refuse(f"{shapes[0]} and {shapes[1]} alternate in more than {DIMENSIONS} dimensions")
    kept = [(1, 0, 0)] * (DIMENSIONS - len(kept)) + kept
    return [n for n, _, _ in kept], [a for _, a, _ in kept], [b for _, _, b in kept]


def _kernel(site: Site, function: str, *arguments: str) -> Kernel:
    n, a, b = (", ".join(map(str, part)) for part in broadcast(site))
    shape = f"(at_broadcast){{{{{n}}}, {{{a}}}, {{{b}}}}}"
    body = f"{function}(a, b, y, {', '.join((shape, *arguments))});"
    # Where an input is not repeated, each of its elements is read before its place is written.
    overlaps = {
        (name, "y"): Overlap()
        for position, name in enumerate("ab")
        if site.input(position).shape == site.output.shape
        and site.input(position).dtype == site.output.dtype
    }
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    return Kernel(("binary.h",), body, operands, overlaps)


def _same_types(site: Site) -> DType:
    types = {site.input(0).dtype, site.input(1).dtype, site.output.dtype}
    if len(types) > 1:
        site.refuse(f"its tensors have different types: {', '.join(sorted(types))}")
    return site.output.dtype


def sum_stored(site: Site) -> Kernel:
    """ADD and SUB on int8 and int16."""
    dtype = _same_types(site)
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    twice = 2.0 * max(a.scale, b.scale)
    ratios = (a.scale / twice, b.scale / twice, twice / ((1 << LEFT[dtype]) * y.scale))
    (am, ash), (bm, bsh), (m, sh) = (quantized_multiplier(ratio) for ratio in ratios)
    if sh > 0:
        site.refuse("its output scale is too small for its inputs")
    low, high = activation_range(site.option("fused_activation_function", "NONE"), y, dtype)
    fields = initializer(
        left=LEFT[dtype], a_zero=-a.zero_point, a_multiplier=am, a_shift=ash,
        b_zero=-b.zero_point, b_multiplier=bm, b_shift=bsh,
        b_sign=1 if site.op.kind == "ADD" else -1,
        multiplier=m, shift=sh, out_zero=y.zero_point, low=low, high=high,
    )  # fmt: skip
    return _kernel(site, f"at_each_sum_{SUFFIX[dtype]}", f"\n    (at_sum){fields}")


def add_int8(site: Site) -> Kernel:
    """ADD on int8: the faster kernel where nothing is repeated."""
    same = site.input(0).shape == site.input(1).shape == site.output.shape
    return add.add_int8(site) if same else sum_stored(site)


def times_stored(site: Site) -> Kernel:
    """MUL on int8 and int16."""
    dtype = _same_types(site)
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    multiplier, shift = quantized_multiplier(a.scale * b.scale / y.scale)
    low, high = activation_range(site.option("fused_activation_function", "NONE"), y, dtype)
    fields = initializer(
        a_zero=-a.zero_point, b_zero=-b.zero_point, multiplier=multiplier, shift=shift,
        out_zero=y.zero_point, low=low, high=high,
    )  # fmt: skip
    return _kernel(site, f"at_each_times_{SUFFIX[dtype]}", f"\n    (at_times){fields}")


def prelu_stored(site: Site) -> Kernel:
    """PRELU on int8, and on int16 with int8 slopes."""
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    types = site.input(0).dtype, site.input(1).dtype
    if types not in (("int8", "int8"), ("int16", "int8")) or site.output.dtype != types[0]:
        site.refuse(f"{types[0]} with {types[1]} slopes is not computed")
    (m1, s1), (m2, s2) = (
        quantized_multiplier(ratio) for ratio in (a.scale / y.scale, a.scale * b.scale / y.scale)
    )
    low, high = INT_RANGE[site.output.dtype]
    fields = initializer(
        a_zero=-a.zero_point, b_zero=-b.zero_point, m1=m1, s1=s1, m2=m2, s2=s2,
        out_zero=y.zero_point, low=low, high=high,
    )  # fmt: skip
    name = "s8" if types[0] == "int8" else "s16_s8"
    return _kernel(site, f"at_each_slope_{name}", f"\n    (at_slope){fields}")


def order(site: Site) -> Kernel:
    """MAXIMUM and MINIMUM; stored numbers are compared as they are."""
    dtype = _same_types(site)
    scales = {quantization_of(site, which) for which in (0, 1, None)} if dtype in LEFT else set()
    if len(scales) > 1:
        site.refuse("its tensors have different scales")
    return _kernel(site, f"at_each_{site.op.kind.lower()}_{SUFFIX[dtype]}")


def real(site: Site) -> Kernel:
    """ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE and PRELU on float32."""
    _same_types(site)
    return _kernel(site, f"at_each_{site.op.kind.lower()}_f32", bounds_float32(site))


def whole(site: Site) -> Kernel:
    """ADD, SUB and MUL on int32."""
    _same_types(site)
    if site.option("fused_activation_function", "NONE") != "NONE":
        site.refuse("an activation on int32 is not computed")
    return _kernel(site, f"at_each_{site.op.kind.lower()}_s32", "INT32_MIN", "INT32_MAX")


BINARY: Final[Mapping[tuple[str, str], Emitter]] = checked(
    no_check,
    {
        ("ADD", "int8"): add_int8,
        ("ADD", "int16"): sum_stored,
        ("SUB", "int8"): sum_stored,
        ("SUB", "int16"): sum_stored,
        ("MUL", "int8"): times_stored,
        ("MUL", "int16"): times_stored,
        ("PRELU", "int8"): prelu_stored,
        ("PRELU", "int16"): prelu_stored,
        **{
            (kind, dtype): order
            for kind in ("MAXIMUM", "MINIMUM")
            for dtype in ("int8", "int16", "int32", "float32")
        },
        **{
            (kind, "float32"): real
            for kind in ("ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "PRELU")
        },
        **{(kind, "int32"): whole for kind in ("ADD", "SUB", "MUL")},
    },
)
"""(kind, arithmetic) → emitter."""
