"""Ops of two tensors that are broadcast against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import (
    ACTIVATION,
    FLAG,
    NO_ACTIVATION,
    Declared,
    Emitter,
    Takes,
    Values,
)
from autotiny.engine.kernel import Emit, Kernel, Overlap, Site, initializer
from autotiny.engine.layers import stored
from autotiny.engine.layers.constants import bounds_float32
from autotiny.engine.ops import add
from autotiny.engine.ops.tables import COMPARED, tabulated
from autotiny.graph import DType

SUFFIX: Final[Mapping[DType, str]] = {
    "int8": "s8",
    "int16": "s16",
    "int32": "s32",
    "float32": "f32",
}
DIMENSIONS: Final = 5


def broadcast(site: Site) -> tuple[list[int], list[int], list[int]]:
    """Dimensions of the output and strides of the two inputs, as few as do, filled up in front."""
    sides = [site.input(0).shape, site.input(1).shape]
    out = site.output.shape
    strides = []
    for shape in sides:
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
        site.refuse(f"{sides[0]} and {sides[1]} alternate in more than {DIMENSIONS} dimensions")
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


def sum_stored(site: Site) -> Kernel:
    """ADD and SUB on int8 and int16."""
    return _stored(site, "sum", stored.sum_fields(site))


def add_int8(site: Site) -> Kernel:
    """ADD on int8: the faster kernel where nothing is repeated."""
    same = site.input(0).shape == site.input(1).shape == site.output.shape
    return add.add_int8(site) if same else sum_stored(site)


def times_stored(site: Site) -> Kernel:
    """MUL on int8 and int16."""
    return _stored(site, "times", stored.times_fields(site))


def prelu_stored(site: Site) -> Kernel:
    """PRELU on int8, and on int16 with int8 slopes."""
    return _stored(site, "slope", stored.slope_fields(site))


def _stored(site: Site, what: str, fields: Mapping[str, int]) -> Kernel:
    suffixes = [SUFFIX[site.input(position).dtype] for position in (0, 1)]
    name = "_".join(dict.fromkeys(suffixes))
    return _kernel(site, f"at_each_{what}_{name}", f"\n    (at_{what}){initializer(**fields)}")


def order(site: Site) -> Kernel:
    """MAXIMUM and MINIMUM; stored numbers are compared as they are."""
    return _kernel(site, f"at_each_{site.op.kind.lower()}_{SUFFIX[site.output.dtype]}")


def real(site: Site) -> Kernel:
    """ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE and PRELU on float32."""
    return _kernel(site, f"at_each_{site.op.kind.lower()}_f32", bounds_float32(site))


def whole(site: Site) -> Kernel:
    """ADD, SUB and MUL on int32."""
    return _kernel(site, f"at_each_{site.op.kind.lower()}_s32", "INT32_MIN", "INT32_MAX")


_SUMS: Final[Mapping[str, Values]] = {"pot_scale_int16": FLAG}
_OPTIONS: Final[Mapping[str, Mapping[str, Values]]] = {
    "ADD": {**ACTIVATION, **_SUMS},
    "SUB": {**ACTIVATION, **_SUMS},
    "MUL": ACTIVATION,
    "DIV": ACTIVATION,
}


def declared(kind: str, dtype: DType) -> Declared:
    """What an op of two tensors must be."""
    options = {**_OPTIONS.get(kind, {})}
    if dtype == "int32" and kind in _OPTIONS:
        options |= NO_ACTIVATION
    compared = kind in COMPARED  # stored numbers, as they are
    second: DType = "int8" if (kind, dtype) == ("PRELU", "int16") else dtype
    scales: Literal["any", "one", "same"] = "one"
    if compared or dtype == "int32":
        scales = "same" if compared else "any"
    return Declared(
        inputs=(Takes("input", (dtype,), scales=scales), Takes("other", (second,), scales=scales)),
        outputs=(Takes("result", (dtype,), scales=scales),),
        shapes=shapes.broadcast,
        options=options,
    )


_EMITS: Final[Mapping[tuple[str, DType], Emit]] = {
    ("ADD", "int8"): add_int8,
    ("ADD", "int16"): sum_stored,
    ("SUB", "int8"): sum_stored,
    ("SUB", "int16"): sum_stored,
    ("MUL", "int8"): times_stored,
    ("MUL", "int16"): times_stored,
    ("PRELU", "int8"): prelu_stored,
    ("PRELU", "int16"): prelu_stored,
    **{(kind, dtype): order for kind in COMPARED for dtype in SUFFIX},
    **{
        (kind, "float32"): real
        for kind in ("ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "PRELU")
    },
    **{(kind, "int32"): whole for kind in ("ADD", "SUB", "MUL")},
}

BINARY: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(tabulated(emit) if dtype == "int8" else emit, declared(kind, dtype))
    for (kind, dtype), emit in _EMITS.items()
}
"""(kind, arithmetic) → emitter."""
