"""SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM: layers with state that outlives an inference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import (
    ACTIVATION,
    FLAG,
    SIZE,
    Declared,
    Emitter,
    Ignored,
    OneOf,
    Real,
    Takes,
    alike,
)
from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import (
    Kernel,
    Operand,
    Site,
    c_type,
    initializer,
    scratch,
    table,
)
from autotiny.engine.layers.constants import bounds_float32, quantization_of
from autotiny.engine.ops.quantization import c_float
from autotiny.engine.ops.unary import logistic_samples
from autotiny.graph import Array, DType, Quantization, readers, variables

f32 = np.float32


def state_of(site: Site, name: str, position: int) -> Operand:
    """A pointer to state, which the kernel reads and writes."""
    index = site.op.inputs[position]
    tensor = site.graph.tensors[index]
    if index not in variables(site.graph):
        site.refuse(f"its state {tensor.name!r} is no variable")
    if len(readers(site.graph)[index]) > 1:
        site.refuse(f"its state {tensor.name!r} is shared with another op")
    return Operand(name, index, c_type(tensor.dtype))


# SVDF: inputs x, feature weights, time weights, bias, state


def svdf(site: Site) -> Kernel:
    """SVDF on int8, its state int8 or int16, and on float32."""
    filters, depth = site.constant(1).shape
    memory, rank = site.constant(2).shape[1], site.option("rank", 1)
    units = site.output.size
    place = site.step.weights.memory
    real = site.input(0).dtype == "float32"
    bias = site.constant(3).reshape(-1) if site.has_input(3) else np.zeros(units)
    operands = (
        site.reads("x"),
        site.reads("w_feature", 1),
        site.reads("w_time", 2),
        table("bias", bias.astype(np.float32 if real else np.int32), place),
        state_of(site, "state", 4),
        site.writes(),
    )
    if real:
        body = (
            f"at_svdf_f32(x, w_feature, w_time, bias, state, y, {depth}, {filters}, {memory}, "
            f"{rank}, {bounds_float32(site)});"
        )
        return Kernel(("recurrent.h",), body, operands)
    state = site.input(4).dtype
    if site.input(2).dtype != state:
        site.refuse(f"{state} state with {site.input(2).dtype} time weights is not computed")
    x, feature, time, past, y = (quantization_of(site, position) for position in (0, 1, 2, 4, None))
    first = f32(x.scale) * f32(feature.scale) / f32(past.scale)
    second = f32(past.scale) * f32(time.scale) / f32(y.scale)
    (m1, s1), (m2, s2) = (quantized_multiplier(float(ratio)) for ratio in (first, second))
    fields = initializer(
        depth=depth, filters=filters, memory=memory, rank=rank, zero=x.zero_point,
        state_zero=past.zero_point, out_zero=y.zero_point, multiplier1=m1, shift1=s1,
        multiplier2=m2, shift2=s2,
    )  # fmt: skip
    name = "s8" if state == "int8" else "s16"
    body = f"at_svdf_{name}(x, w_feature, w_time, bias, state, y,\n    (at_svdf){fields});"
    return Kernel(("recurrent.h",), body, operands)


# LSTM: inputs x, 4 weights, 4 recurrent weights, 3 peepholes, 4 biases, 2 of a projection, hidden
# state, cell state, 4 of a normalization; gates in the order input, forget, cell, output

WEIGHTS, RECURRENT, BIASES, HIDDEN, CELL = 1, 5, 12, 18, 19


def lstm(site: Site) -> Kernel:
    """UNIDIRECTIONAL_SEQUENCE_LSTM on int8, int16 and float32, in its plain form."""
    x = site.input(0)
    steps = x.shape[0] if site.option("time_major", False) else x.shape[1]
    units, depth = site.input(WEIGHTS).shape
    w = np.concatenate([site.constant(WEIGHTS + g).reshape(units, depth) for g in range(4)])
    r = np.concatenate([site.constant(RECURRENT + g).reshape(units, units) for g in range(4)])
    bias = np.concatenate([site.constant(BIASES + g).reshape(units) for g in range(4)])
    place = site.step.weights.memory
    if x.dtype == "float32":
        operands = (
            site.reads("x"), table("w", w, place), table("r", r, place), table("bias", bias, place),
            state_of(site, "hidden", HIDDEN), state_of(site, "cell", CELL),
            scratch("gates", 16 * units, "float"), site.writes(),
        )  # fmt: skip
        clip = c_float(float(site.option("cell_clip", 0.0)))
        sizes = f"{steps}, {depth}, {units}"
        body = f"at_lstm_f32(x, w, r, bias, hidden, cell, gates, y, {sizes}, {clip});"
        return Kernel(("recurrent.h",), body, operands)
    return _lstm_stored(site, steps, w, r, bias)


def _lstm_stored(site: Site, steps: int, w: Array, r: Array, bias: Array) -> Kernel:
    units, depth = len(w) // 4, w.shape[1]
    narrow = site.input(0).dtype == "int8"
    x, hidden, cell = (quantization_of(site, position) for position in (0, HIDDEN, CELL))
    half, full = 2.0**-12, 2.0**-15  # of the gates before and after their functions
    power = round(math.log2(cell.scale))
    if cell.zero_point or abs(math.log2(cell.scale) - power) > 1e-3:
        site.refuse(f"the scale {cell.scale} of its cell is no power of two")
    if site.output.quantization != hidden:
        site.refuse("its output and its hidden state have different scales")

    def gates(first: int, source: Quantization) -> list[tuple[int, int]]:
        weights = (quantization_of(site, first + g) for g in range(4))
        products = [f32(source.scale) * f32(w.scale) for w in weights]
        return [_short(site, float(p) / half, narrow) for p in products]

    for_x, for_h = gates(WEIGHTS, x), gates(RECURRENT, hidden)
    forget = quantized_multiplier(full * cell.scale / cell.scale)
    update = quantized_multiplier(full * full / cell.scale)
    out = quantized_multiplier(full * full / hidden.scale)
    shift = power + 12
    clip = float(site.option("cell_clip", 0.0))
    fields = initializer(
        steps=steps, depth=depth, units=units, zero=x.zero_point, hidden_zero=hidden.zero_point,
        multiplier=_list(m for m, _ in for_x), shift=_list(s for _, s in for_x),
        hidden_multiplier=_list(m for m, _ in for_h), hidden_shift=_list(s for _, s in for_h),
        forget_multiplier=forget[0], forget_shift=forget[1],
        update_multiplier=update[0], update_shift=update[1],
        out_multiplier=out[0], out_shift=out[1],
        cell_multiplier=3 << max(shift, 0), cell_shift=max(-shift, 0),
        clip=int(min(clip / cell.scale, 32767.0)),
    )  # fmt: skip
    place = site.step.weights.memory
    operands = (
        site.reads("x"), table("w", w, place), table("r", r, place),
        table("bias", bias.astype(np.int32 if narrow else np.int64), place),
        table("samples", logistic_samples(), place),
        state_of(site, "hidden", HIDDEN), state_of(site, "cell", CELL),
        scratch("gates", 10 * units, "int16_t"), site.writes(),
    )  # fmt: skip
    body = (
        f"at_lstm_{'s8' if narrow else 's16'}(x, w, r, bias, samples, hidden, cell, gates, y,\n"
        f"    (at_lstm){fields});"
    )
    return Kernel(("recurrent.h",), body, operands)


def _short(site: Site, real: float, narrow: bool) -> tuple[int, int]:
    """A multiplier of 31 bits, or of 15 where 64-bit sums are rescaled."""
    multiplier, shift = quantized_multiplier(real)
    if narrow:
        return multiplier, shift
    if shift >= 15:
        site.refuse("the scales of its weights are too large")
    return (0x7FFF if multiplier >= 0x7FFF0000 else (multiplier + (1 << 15)) >> 16), shift


def _list(values: Iterable[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def declared_svdf(dtype: DType) -> Declared:
    """What an SVDF must be."""
    real = dtype == "float32"
    past: tuple[DType, ...] = ("float32",) if real else ("int8", "int16")
    return Declared(
        inputs=(
            Takes("input", (dtype,), scales="one"),
            Takes("weights", (dtype,), (2, 2), constant=True, scales="one", symmetric=True),
            Takes("time weights", past, (2, 2), constant=True, scales="one", symmetric=True),
            Takes("bias", ("float32" if real else "int32",), constant=True, optional=True),
            Takes("state", past, scales="one"),
        ),
        outputs=(Takes("result", (dtype,), scales="one"),),
        shapes=shapes.svdf,
        options={**ACTIVATION, "rank": SIZE, "asymmetric_quantize_inputs": FLAG},
    )


def declared_lstm(dtype: DType) -> Declared:
    """What an LSTM must be: four full gates, without peepholes, projection or normalization."""
    real = dtype == "float32"
    weights = Takes(
        "weights", ("float32" if real else "int8",), (2, 2), constant=True, scales="one",
        symmetric=True,
    )  # fmt: skip
    biases: Mapping[DType, DType] = {"float32": "float32", "int8": "int32", "int16": "int64"}
    bias = Takes("bias", (biases[dtype],), constant=True)
    return Declared(
        inputs=(
            Takes("input", (dtype,), (3, 3), scales="one"),
            *[weights] * 8,
            *[Takes("a peephole", ())] * 3,
            *[bias] * 4,
            *[Takes("a projection", ())] * 2,
            Takes("hidden state", (dtype,), scales="one"),
            Takes("cell", ("float32" if real else "int16",), scales="one"),
            *[Takes("a normalization", ())] * 4,
        ),
        outputs=(Takes("result", (dtype,), scales="one"),),
        shapes=shapes.lstm,
        options={
            "fused_activation_function": OneOf(("TANH",)),
            "cell_clip": Real(0.0),
            "proj_clip": Real(),
            "time_major": FLAG,
            "asymmetric_quantize_inputs": FLAG,
            "diagonal_recurrent_tensors": OneOf((False,)),
            "intermediates": Ignored(tuple),
        },
    )


RECURRENT_OPS: Final[Mapping[tuple[str, str], Emitter]] = {
    **alike(declared_svdf, {("SVDF", "int8"): svdf, ("SVDF", "float32"): svdf}),
    **alike(
        declared_lstm,
        {
            ("UNIDIRECTIONAL_SEQUENCE_LSTM", "int8"): lstm,
            ("UNIDIRECTIONAL_SEQUENCE_LSTM", "int16"): lstm,
            ("UNIDIRECTIONAL_SEQUENCE_LSTM", "float32"): lstm,
        },
    ),
}
"""(kind, arithmetic) → emitter."""
