"""Lower to float weights of 16 bits: half the bytes, computed in 32-bit floats.

LiteRT, "Post-training float16 quantization".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autotiny.components.tflite._lowering import Lowering


@dataclass(frozen=True)
class Float16(Lowering):
    """Weights stored as float16, activations in float32."""

    name = "float16"

    def configure(self, converter: Any, tf: Any) -> None:
        """Allows float16 for constants."""
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
