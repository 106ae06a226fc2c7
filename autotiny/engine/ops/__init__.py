"""Every op that the engine computes: (kind, arithmetic) → what writes its kernel and checks it.

`Site.arithmetic` says which arithmetic an op of a graph has.
"""

from __future__ import annotations

from autotiny.engine import shapes
from autotiny.engine.kernel import Emitter, checked
from autotiny.engine.ops import (
    coded,
    compressed,
    convolution,
    dense,
    int8,
    int16,
    pooling,
    quantization,
    shape,
)
from autotiny.engine.ops import softmax as softmax_
from autotiny.engine.ops.binary import BINARY
from autotiny.engine.ops.matmul import MATMUL
from autotiny.engine.ops.moving import MOVING
from autotiny.engine.ops.recurrent import RECURRENT_OPS
from autotiny.engine.ops.reducing import REDUCING
from autotiny.engine.ops.resizing import RESIZING
from autotiny.engine.ops.transposed import TRANSPOSED
from autotiny.engine.ops.unary import UNARY

EMITTERS: dict[tuple[str, str], Emitter] = {
    ("CONV_2D", "int8"): Emitter(coded.decoding(int8.conv), shapes.conv),
    ("CONV_2D", "float32"): Emitter(convolution.conv_float32, shapes.conv),
    ("DEPTHWISE_CONV_2D", "int8"): Emitter(coded.decoding(int8.depthwise), shapes.depthwise),
    ("DEPTHWISE_CONV_2D", "float32"): Emitter(convolution.depthwise_float32, shapes.depthwise),
    ("FULLY_CONNECTED", "int8"): Emitter(coded.decoding(int8.fully_connected), shapes.dense),
    ("FULLY_CONNECTED", "float32"): Emitter(dense.dense_float32, shapes.dense),
    **{
        (kind, arithmetic): Emitter(layer, check)
        for kind, check in (
            ("CONV_2D", shapes.conv),
            ("DEPTHWISE_CONV_2D", shapes.depthwise),
            ("FULLY_CONNECTED", shapes.dense),
        )
        for arithmetic, layer in (
            ("int16", coded.decoding(int16.layer)),
            ("float16", compressed.half),
            ("hybrid", coded.decoding(compressed.hybrid)),
        )
    },
    **checked(
        shapes.pool,
        {
            (kind, arithmetic): emit
            for kind, emit in (
                ("MAX_POOL_2D", pooling.maximum),
                ("AVERAGE_POOL_2D", pooling.average),
            )
            for arithmetic in ("int8", "int16", "float32")
        },
    ),
    **checked(
        shapes.rows,
        {
            ("SOFTMAX", "int8"): softmax_.softmax_int8,
            ("SOFTMAX", "int16"): int16.softmax,
            ("SOFTMAX", "float32"): softmax_.softmax_float32,
        },
    ),
    **checked(
        shapes.same_size,
        {
            ("QUANTIZE", "float32"): quantization.quantize,
            ("QUANTIZE", "int8"): quantization.requantize,
            ("QUANTIZE", "uint8"): quantization.requantize,
            ("QUANTIZE", "int16"): quantization.requantize,
            ("QUANTIZE", "int32"): quantization.requantize,
            ("DEQUANTIZE", "int8"): quantization.dequantize,
            ("DEQUANTIZE", "uint8"): quantization.dequantize,
            ("DEQUANTIZE", "int16"): quantization.dequantize,
            **{
                (kind, dtype): shape.alias
                for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
                for dtype in ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")
            },
        },
    ),
    **UNARY,
    **BINARY,
    **MOVING,
    **RECURRENT_OPS,
    **REDUCING,
    **MATMUL,
    **RESIZING,
    **TRANSPOSED,
}

FUSING = {("CONV_2D", "int8"), ("CONV_2D", "float32")}
"""The emitters that compute the further ops of a step; the others would leave them out."""
