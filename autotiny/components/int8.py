"""Lower to int8 only, ports included: what integer-only hardware and TensorFlow Lite Micro run.

LiteRT, "Post-training integer quantization", section "Integer only".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autotiny.components.calibrating import Method
from autotiny.components.lowering import Int8Lowering


@dataclass(frozen=True)
class Int8(Int8Lowering):
    """Weights, activations, input and output in int8.

    Attributes:
        calibration: samples that the ranges of activations are taken from.
        method: what ranges cover: all that was seen ("min_max"), all but the rarest values
            ("percentile"), or what loses least ("mse").
    """

    name = "int8"
    port_type = "int8"

    calibration: int = 100
    method: Method = "min_max"

    def configure(self, converter: Any, tf: Any) -> None:
        """Allows int8 ops only."""
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
