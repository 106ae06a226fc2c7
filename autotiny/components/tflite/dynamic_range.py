"""Lower to int8 weights with float activations, quantized while running where a product needs it.

LiteRT, "Post-training dynamic range quantization"; tensors under 1,024 elements stay float there.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.tflite._lowering import Converter, Lowering
from autotiny.model import tensorflow


@dataclass(frozen=True)
class DynamicRange(Lowering):
    """Weights in int8, activations in float32; needs no calibration."""

    name = "dynamic_range"

    def configure(self, converter: Converter) -> None:
        """Quantizes weights alone."""
        converter.optimizations = [tensorflow().lite.Optimize.DEFAULT]
