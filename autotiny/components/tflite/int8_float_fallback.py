"""Lower to int8 where an op has an int8 form, else float; the ports stay float.

LiteRT, "Post-training integer quantization", section "Integer with float fallback".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.tflite._calibrating import Kept, Method
from autotiny.components.tflite._lowering import Converter, Int8Lowering
from autotiny.model import tensorflow


@dataclass(frozen=True)
class Int8FloatFallback(Int8Lowering):
    """Weights and activations in int8, input and output in float32.

    Attributes:
        calibration: samples that the ranges of activations are taken from.
        method: what ranges cover: all that was seen ("min_max"), all but the rarest values
            ("percentile"), or what loses least ("mse").
        keep_float: layers with weights that stay float: "nothing", "first", "last" or "both".
    """

    name = "int8_float_fallback"
    port_type = "float32"

    calibration: Annotated[int, Within(ge=1, le=1_000_000)] = 100
    method: Method = "min_max"
    keep_float: Kept = "nothing"

    @property
    def kept_float(self) -> Kept:
        """The layers that stay float."""
        return self.keep_float

    def configure(self, converter: Converter) -> None:
        """Quantizes what can be."""
        converter.optimizations = [tensorflow().lite.Optimize.DEFAULT]
