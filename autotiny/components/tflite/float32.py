"""Lower to 32-bit floats: the network as it was trained, the reference of every other form."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.tflite._lowering import Converter, Lowering


@dataclass(frozen=True)
class Float32(Lowering):
    """Weights and activations in float32."""

    name = "float32"
    not_after = {  # noqa: RUF012 - a constant of the class
        "quantize_aware": "floats would only simulate its integers, at the price of both",
    }

    def configure(self, converter: Converter) -> None:
        """The converter's defaults."""
