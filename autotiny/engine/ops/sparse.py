"""Layers on floats and on int16 without their zero weights (`kernels/sparse.h`).

Those on int8 are a variant of their kernels: `variants/sparse`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps

import numpy as np

from autotiny.engine.kernel import (
    Emit,
    Kernel,
    Operand,
    Overlap,
    Site,
    c_type,
    scratch,
    table,
)
from autotiny.engine.layers.constants import biases, bounds_float32
from autotiny.engine.layers.patches import overlap_until
from autotiny.engine.layers.window import window, window_struct
from autotiny.engine.ops import int16
from autotiny.engine.ops.layer import Layer, layer_of
from autotiny.engine.variants import sparse
from autotiny.engine.variants.sparse import PATCHES, Sparse
from autotiny.engine.variants.sparse.packing import bridged
from autotiny.graph import ITEM_BYTES, Array

STEP_BITS = (4, 8)
"""Of the step from one weight to the next."""

MOST_WEIGHTS = (1 << 16) - 1
"""Of one output, that are not zero."""


def skipping(emit: Emit) -> Emit:
    """An emitter that also leaves zero weights out, where the step says so."""

    @wraps(emit)
    def emit_sparse(site: Site) -> Kernel:
        if not isinstance(site.step.kernel, Sparse):
            return emit(site)
        if why := why_not(site):
            site.refuse(f"its zeros are not left out: {why}")
        return _emit(site)

    return emit_sparse


def why_not(site: Site) -> str | None:
    """Why a layer of any arithmetic cannot be computed so; None if it can."""
    if site.step.weights.coding != "plain":
        return f"its weights are stored {site.step.weights.coding}"
    if why := sparse.why_not_shaped(site):
        return why
    weights = site.input(1).data
    if weights is None:
        return "its weights are computed"
    if site.arithmetic == "int8":
        return sparse.why_not(site)
    if site.arithmetic not in ("float32", "float16", "int16"):
        return f"there is no such {site.arithmetic} kernel"
    if not np.isfinite(weights).all():
        return "a weight is not finite"
    if site.arithmetic == "int16" and int16.finish(site, layer_of(site)).zero_point:
        return "its input has a zero-point"
    if stored(weights).counts.max() > MOST_WEIGHTS:
        return f"an output has more than {MOST_WEIGHTS} weights that are not zero"
    return None


@dataclass(frozen=True, eq=False)
class Stored:
    """Weights without their zeros.

    Attributes:
        weights: those that are left, of one output after the other, in the order of the taps.
        steps: before each, how many taps lie between it and the one before.
        counts: (outputs,) of weights.
        bits: of a step; two of 4 bits share a byte.
    """

    weights: Array
    steps: Array
    counts: Array
    bits: int

    @property
    def bytes(self) -> int:
        """Bytes that they take."""
        return self.weights.nbytes + self.steps.nbytes


def stored(weights: Array) -> Stored:
    """The weights of a layer, (outputs, ...), with the steps that take least flash."""
    rows = weights.reshape(len(weights), -1)
    return min((_with_steps(rows, bits) for bits in STEP_BITS), key=lambda one: one.bytes)


def _with_steps(rows: Array, bits: int) -> Stored:
    weights, steps, counts = [], [], []
    for row in rows:
        places, between = bridged(np.flatnonzero(row), bits)
        if bits == 4:
            low, high = np.pad(between, (0, len(between) % 2)).reshape(-1, 2).T
            between = low | high << 4
        weights.append(row[places])
        steps.append(between.astype(np.uint8))
        counts.append(len(places))
    if not any(counts):  # C has no empty array
        weights, steps = [rows[0, :1]], [np.zeros(1, np.uint8)]
    return Stored(np.concatenate(weights), np.concatenate(steps), np.array(counts), bits)


def _emit(site: Site) -> Kernel:
    """CONV_2D, four outputs at a time, or FULLY_CONNECTED."""
    form, kept, place = layer_of(site), stored(site.constant(1)), site.step.weights.memory
    header, name, constants, bounds = _finish(site, form)
    operands = [
        site.reads("x"),
        table("w", kept.weights, place),
        table("steps", kept.steps, place),
        table("counts", kept.counts.astype(np.uint16), place),
        *constants,
        site.writes(),
    ]
    names = ", ".join(operand.name for operand in operands)
    if form.dense:
        body = f"@at_dense_sparse_{name}_{kept.bits}({names}, {form.channels}, {bounds});"
        return Kernel((header,), body, tuple(operands))
    shape = window(site, *site.input(1).shape[1:3])
    function = "at_conv_max_pool_sparse" if site.fused else "at_conv_sparse"
    body = (
        f"static const at_window s = {window_struct(shape).removeprefix('(at_window)')};\n"
        f"@{function}_{name}_{kept.bits}({names}, patches, &s, {bounds});"
    )
    x = site.input(0).dtype
    taps = shape["k_h"] * shape["k_w"] * shape["in_c"]
    operands.append(scratch("patches", PATCHES * taps * ITEM_BYTES[x], c_type(x)))
    overlap = Overlap(overlap_until(site, shape, ring=False, pixels=PATCHES))
    return Kernel((header,), body, tuple(operands), {("x", "y"): overlap})


def _finish(site: Site, form: Layer) -> tuple[str, str, tuple[Operand, ...], str]:
    """(header, name of the functions, constants, C of the bounds) of a layer's arithmetic."""
    if site.arithmetic == "int16":
        end = int16.finish(site, form)
        return "sparse_s16.h", f"s16_{end.name}", end.constants, end.bounds
    bias = table("bias", biases(site, form.channels).astype(np.float32), site.step.weights.memory)
    name = "f16" if site.arithmetic == "float16" else "f32"
    return "sparse_f32.h", name, (bias,), bounds_float32(site)
