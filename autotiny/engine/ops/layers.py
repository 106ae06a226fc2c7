"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: what they must be in each arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from autotiny.engine import shapes, variants
from autotiny.engine.declared import (
    ACTIVATION,
    FLAG,
    SIZE,
    STRIDES,
    TYPE,
    Declared,
    Emitter,
    Ignored,
    OneOf,
    Takes,
    Values,
)
from autotiny.engine.kernel import Emit, Site
from autotiny.engine.ops import coded, compressed, convolution, dense, int16, sparse
from autotiny.graph import DType

_DILATIONS: Final = {"dilation_h_factor": SIZE, "dilation_w_factor": SIZE}
OPTIONS: Final[Mapping[str, Mapping[str, Values]]] = {
    "CONV_2D": {**STRIDES, **_DILATIONS, **ACTIVATION, "quantized_bias_type": TYPE},
    "DEPTHWISE_CONV_2D": {**STRIDES, **_DILATIONS, **ACTIVATION, "depth_multiplier": Ignored(int)},
    "FULLY_CONNECTED": {
        **ACTIVATION,
        "weights_format": OneOf(("DEFAULT",)),
        "keep_num_dims": FLAG,
        "asymmetric_quantize_inputs": FLAG,
        "quantized_bias_type": TYPE,
    },
}

SHAPES: Final[Mapping[str, Callable[[Site], None]]] = {
    "CONV_2D": shapes.conv,
    "DEPTHWISE_CONV_2D": shapes.depthwise,
    "FULLY_CONNECTED": shapes.dense,
}

_TYPES: Final[Mapping[str, tuple[DType, tuple[DType, ...], tuple[DType, ...]]]] = {
    "int8": ("int8", ("int8", "int4"), ("int32",)),
    "int16": ("int16", ("int8", "int4"), ("int32", "int64")),
    "float32": ("float32", ("float32",), ("float32",)),
    "float16": ("float32", ("float16",), ("float32", "float16")),
    "hybrid": ("float32", ("int8",), ("float32",)),
}
"""Arithmetic → types of input and result, of weights, and of biases."""

_EMITS: Final[Mapping[tuple[str, str], Emit]] = {
    ("CONV_2D", "int8"): coded.decoding(variants.emit),
    ("CONV_2D", "float32"): sparse.skipping(convolution.conv_float32),
    ("DEPTHWISE_CONV_2D", "int8"): coded.decoding(variants.emit),
    ("DEPTHWISE_CONV_2D", "float32"): sparse.skipping(convolution.depthwise_float32),
    ("FULLY_CONNECTED", "int8"): coded.decoding(variants.emit),
    ("FULLY_CONNECTED", "float32"): sparse.skipping(dense.dense_float32),
    **{
        (kind, arithmetic): emit
        for kind in SHAPES
        for arithmetic, emit in (
            ("int16", sparse.skipping(coded.decoding(int16.layer))),
            ("float16", sparse.skipping(compressed.half)),
            ("hybrid", sparse.skipping(coded.decoding(compressed.hybrid))),
        )
    },
}


def declared(kind: str, arithmetic: str) -> Declared:
    """What a layer must be in an arithmetic."""
    data, weights, biases = _TYPES[arithmetic]
    is_dense = kind == "FULLY_CONNECTED"
    known = arithmetic not in ("int8", "float32")  # these two also take weights that are computed
    return Declared(
        inputs=(
            Takes("input", (data,), (1, 8) if is_dense else (4, 4), scales="one"),
            Takes(
                "weights", weights, (2, 2) if is_dense else (4, 4), constant=known,
                scales="channel", symmetric=True,
            ),
            Takes("bias", biases, constant=True, optional=True),
        ),
        outputs=(Takes("result", (data,), scales="one"),),
        shapes=SHAPES[kind],
        options=OPTIONS[kind],
    )  # fmt: skip


LAYERS: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, arithmetic): Emitter(emit, declared(kind, arithmetic))
    for (kind, arithmetic), emit in _EMITS.items()
}
"""(kind, arithmetic) → emitter."""
