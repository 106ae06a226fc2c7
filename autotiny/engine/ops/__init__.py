"""Every op that the engine computes: (kind, arithmetic) → what writes its kernel, what it must be.

`Site.arithmetic` says which arithmetic an op of a graph has.
"""

from __future__ import annotations

from autotiny.engine.declared import Emitter
from autotiny.engine.ops.binary import BINARY
from autotiny.engine.ops.gru import GRUS
from autotiny.engine.ops.layers import LAYERS
from autotiny.engine.ops.matmul import MATMUL
from autotiny.engine.ops.moving import MOVING
from autotiny.engine.ops.pooling import POOLING
from autotiny.engine.ops.quantization import QUANTIZATION
from autotiny.engine.ops.recurrent import RECURRENT_OPS
from autotiny.engine.ops.reducing import REDUCING
from autotiny.engine.ops.resizing import RESIZING
from autotiny.engine.ops.shape import RENAMING
from autotiny.engine.ops.signal import SIGNAL
from autotiny.engine.ops.softmax import SOFTMAX
from autotiny.engine.ops.stream import SHIFTING
from autotiny.engine.ops.tables import FUNCTIONS
from autotiny.engine.ops.transposed import TRANSPOSED
from autotiny.engine.ops.unary import UNARY

EMITTERS: dict[tuple[str, str], Emitter] = {
    **LAYERS,
    **POOLING,
    **SOFTMAX,
    **QUANTIZATION,
    **RENAMING,
    **UNARY,
    **BINARY,
    **MOVING,
    **RECURRENT_OPS,
    **GRUS,
    **REDUCING,
    **MATMUL,
    **RESIZING,
    **TRANSPOSED,
    **SIGNAL,
    **SHIFTING,
}

FUSING = {
    ("CONV_2D", "int8"): ("MAX_POOL_2D", "ADD"),
    ("CONV_2D", "float32"): ("MAX_POOL_2D",),
    **{(kind, "int8"): tuple(FUNCTIONS) for kind in FUNCTIONS},
}
"""Emitters that compute further ops of a step, and their kinds; others would leave them out."""
