"""Lower to float weights of 16 bits: half the bytes, computed in 32-bit floats.

LiteRT, "Post-training float16 quantization".
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.tflite._lowering import Converter, Lowering
from autotiny.model import tensorflow


@dataclass(frozen=True)
class Float16(Lowering):
    """Weights stored as float16, activations in float32."""

    name = "float16"

    def configure(self, converter: Converter) -> None:
        """Allows float16 for constants."""
        tf = tensorflow()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
