"""Lower to int8 where an op has an int8 form, else float; the ports stay float.

LiteRT, "Post-training integer quantization", section "Integer with float fallback".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autotiny.components.lowering import Lowering


@dataclass(frozen=True)
class Int8FloatFallback(Lowering):
    """Weights and activations in int8, input and output in float32.

    Attributes:
        calibration: samples that the ranges of activations are taken from.
    """

    name = "int8_float_fallback"

    calibration: int = 100

    def configure(self, converter: Any, tf: Any) -> None:
        """Quantizes what can be."""
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
