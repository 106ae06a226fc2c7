"""Every op that the engine computes: (kind, arithmetic) → the function that writes its kernel.

`Site.arithmetic` says which arithmetic an op of a graph has.
"""

from __future__ import annotations

from autotiny.engine.kernel import Emit
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

EMITTERS: dict[tuple[str, str], Emit] = {
    ("CONV_2D", "int8"): coded.decoding(int8.conv),
    ("CONV_2D", "float32"): convolution.conv_float32,
    ("DEPTHWISE_CONV_2D", "int8"): coded.decoding(int8.depthwise),
    ("DEPTHWISE_CONV_2D", "float32"): convolution.depthwise_float32,
    ("FULLY_CONNECTED", "int8"): coded.decoding(int8.fully_connected),
    ("FULLY_CONNECTED", "float32"): dense.dense_float32,
    ("MAX_POOL_2D", "int8"): pooling.maximum,
    ("MAX_POOL_2D", "float32"): pooling.maximum,
    ("AVERAGE_POOL_2D", "int8"): pooling.average,
    ("AVERAGE_POOL_2D", "float32"): pooling.average,
    ("SOFTMAX", "int8"): softmax_.softmax_int8,
    ("SOFTMAX", "float32"): softmax_.softmax_float32,
    ("QUANTIZE", "float32"): quantization.quantize,
    ("QUANTIZE", "int8"): quantization.requantize,
    ("QUANTIZE", "uint8"): quantization.requantize,
    ("QUANTIZE", "int16"): quantization.requantize,
    ("QUANTIZE", "int32"): quantization.requantize,
    ("DEQUANTIZE", "int8"): quantization.dequantize,
    ("DEQUANTIZE", "uint8"): quantization.dequantize,
    ("DEQUANTIZE", "int16"): quantization.dequantize,
    **{
        (kind, arithmetic): layer
        for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        for arithmetic, layer in (
            ("int16", coded.decoding(int16.layer)),
            ("float16", compressed.half),
            ("hybrid", coded.decoding(compressed.hybrid)),
        )
    },
    ("MAX_POOL_2D", "int16"): pooling.maximum,
    ("AVERAGE_POOL_2D", "int16"): pooling.average,
    ("SOFTMAX", "int16"): int16.softmax,
    **{
        (kind, dtype): shape.alias
        for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
        for dtype in ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")
    },
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
