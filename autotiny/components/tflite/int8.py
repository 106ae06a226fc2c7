"""Lower to int8 only, ports included: what integer-only hardware and TensorFlow Lite Micro run.

LiteRT, "Post-training integer quantization", section "Integer only".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.tflite._calibrating import Method
from autotiny.components.tflite._lowering import Converter, Int8Lowering
from autotiny.components.tflite._widening import with_wide_activations
from autotiny.graph import Array, Graph
from autotiny.model import tensorflow


@dataclass(frozen=True)
class Int8(Int8Lowering):
    """Weights, activations, input and output in int8.

    Attributes:
        calibration: samples that the ranges of activations are taken from.
        method: what ranges cover: all that was seen ("min_max"), all but the rarest values
            ("percentile"), or what loses least ("mse").
        keep_int16: so many activations, those whose rounding costs most, have 16 bits; the ops that
            write and read them compute in int16. See `widening`.
    """

    name = "int8"
    port_type = "int8"

    calibration: Annotated[int, Within(ge=1, le=1_000_000)] = 100
    method: Method = "min_max"
    keep_int16: Annotated[int, Within(ge=0, le=1_000_000)] = 0

    def configure(self, converter: Converter) -> None:
        """Allows int8 ops only."""
        tf = tensorflow()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8

    def refined(self, graph: Graph, samples: Array) -> Graph:
        """The graph with some activations in 16 bits."""
        if self.keep_int16 < 1:
            return graph
        return with_wide_activations(graph, self.keep_int16, samples)
