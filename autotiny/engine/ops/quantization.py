"""QUANTIZE and DEQUANTIZE: between real and stored numbers, and from one scale to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import STORED, Declared, Emitter, Takes
from autotiny.engine.kernel import Emit, Kernel, Overlap, Site, c_type
from autotiny.engine.layers import stored
from autotiny.engine.layers.constants import quantization_of
from autotiny.engine.ops.tables import tabulated
from autotiny.graph import DType

SUFFIX: Final[Mapping[DType, str]] = {"int8": "s8", "int16": "s16", "uint8": "u8"}


def c_float(value: float) -> str:
    """A C constant that is exactly this float32."""
    return f"{np.format_float_scientific(np.float32(value), unique=True)}f"


def quantize(site: Site) -> Kernel:
    """QUANTIZE float32 to int8, int16 or uint8."""
    y = quantization_of(site, None)
    body = (
        f"at_quantize_{SUFFIX[site.output.dtype]}(x, y, {site.output.size}, {c_float(y.scale)}, "
        f"{y.zero_point});"
    )
    # The output is narrower: element i is written at or before the place of input i.
    return Kernel(("quantize.h",), body, (site.reads("x"), site.writes()), {("x", "y"): Overlap()})


def dequantize(site: Site) -> Kernel:
    """DEQUANTIZE int8, int16 or uint8 to float32."""
    x = quantization_of(site, 0)
    body = (
        f"at_dequantize_{SUFFIX[site.input(0).dtype]}(x, y, {site.output.size}, "
        f"{c_float(x.scale)}, {x.zero_point});"
    )
    return Kernel(("quantize.h",), body, (site.reads("x"), site.writes()))


def requantize(site: Site) -> Kernel:
    """QUANTIZE from one integer type or scale to another."""
    q = stored.quantize_fields(site)
    body = (
        f"AT_REQUANTIZE({c_type(site.input(0).dtype)}, {c_type(site.output.dtype)}, x, y, "
        f"{site.output.size}, {q['zero']}, {q['multiplier']},\n              {q['shift']}, "
        f"{q['out_zero']}, {q['low']}, {q['high']});"
    )
    narrower = site.output.bytes <= site.input(0).bytes
    overlaps = {("x", "y"): Overlap()} if narrower else {}
    return Kernel(("quantize.h",), body, (site.reads("x"), site.writes()), overlaps)


def _entry(emit: Emit, source: DType, results: tuple[DType, ...]) -> Emitter:
    return Emitter(
        emit,
        Declared(
            inputs=(Takes("input", (source,), scales="one"),),
            outputs=(Takes("result", results, scales="one"),),
            shapes=shapes.same_size,
        ),
    )


QUANTIZATION: Final[Mapping[tuple[str, str], Emitter]] = {
    ("QUANTIZE", "float32"): _entry(quantize, "float32", tuple(SUFFIX)),
    **{("QUANTIZE", dtype): _entry(tabulated(requantize), dtype, STORED) for dtype in STORED},
    **{("DEQUANTIZE", dtype): _entry(dequantize, dtype, ("float32",)) for dtype in SUFFIX},
}
"""(kind, arithmetic) → emitter."""
