"""Lower to int16 activations with int8 weights: nearly the accuracy of floats, in integers.

LiteRT, "Post-training integer quantization with int16 activations".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.tflite._lowering import Converter, Lowering
from autotiny.model import tensorflow


@dataclass(frozen=True)
class Int16x8(Lowering):
    """Weights in int8, activations, input and output in int16.

    Attributes:
        calibration: samples that the ranges of activations are taken from.
    """

    name = "int16x8"
    fuses_lstm = False
    not_after = {  # noqa: RUF012 - a constant of the class
        "quantize_aware": "its trained ranges are those of int8, which int16 cannot take over",
    }

    calibration: Annotated[int, Within(ge=1, le=1_000_000)] = 100

    def configure(self, converter: Converter) -> None:
        """Allows ops of int16 activations only."""
        tf = tensorflow()
        mode = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [mode]
        converter.inference_input_type = converter.inference_output_type = tf.int16
