"""TFLite FlatBuffers to `Graph` and back, without TensorFlow.

One table of facts, `schema.OPS`, drives both directions.
"""

from autotiny.tflite.read import read_tflite
from autotiny.tflite.schema import OPS
from autotiny.tflite.write import write_tflite

__all__ = ["OPS", "read_tflite", "write_tflite"]
