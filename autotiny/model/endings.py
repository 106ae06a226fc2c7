"""What a model's name says of it before anything is read."""

from __future__ import annotations

from pathlib import Path

from autotiny.errors import UserError

ONNX = ".onnx"
READ = (".keras", ".h5", ".hdf5", ONNX, ".tflite")
"""Endings of files that are read; a folder is a SavedModel."""

_TORCH = (
    "a PyTorch file, which runs code when it is read; "
    "torch.onnx.export(network.eval(), (example,), 'net.onnx') writes an ONNX file"
)
_PICKLE = "a pickle, which runs code when it is read; model.save('net.keras') writes a plain file"
_CORE_ML = "of Core ML, which nothing converts back; give the network it was made from"
CONVERTERS = {
    ".pt": _TORCH,
    ".pt2": _TORCH,
    ".pth": _TORCH,
    ".ckpt": "a checkpoint of weights alone; load it in Python and write model.save('net.keras')",
    ".safetensors": "a file of weights alone; load it in Python and write model.save('net.keras')",
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": _PICKLE,
    ".pb": "a TensorFlow graph; give the SavedModel folder that it lies in, or convert a frozen "
    "graph with tf.compat.v1.lite.TFLiteConverter.from_frozen_graph",
    ".mlmodel": _CORE_ML,
    ".mlpackage": _CORE_ML,
    ".xml": "an OpenVINO file; give the network it was made from",
    ".json": "no network file; model.save('net.keras') writes architecture and weights",
    ".npz": "a file of arrays; model.save('net.keras') writes architecture and weights",
}
"""What a file of another kind is, and how it becomes one that is read."""


def check_ending(model: object) -> None:
    """Refuse a model file of a kind that is not read, before data or a framework is loaded.

    Raises:
        UserError: its ending says so; the message names a converter.
    """
    if not isinstance(model, (str, Path)):
        return
    path = Path(model)
    ending = path.suffix.lower()
    if ending in CONVERTERS and (path.exists() or ":" not in str(model)):
        raise UserError(f"{path} is {CONVERTERS[ending]}")
    if path.is_file() and ending not in READ:
        raise UserError(
            f"{path} ends in {path.suffix or 'nothing'!r}; a model is a .keras, .h5, .onnx or "
            ".tflite file or a SavedModel folder"
        )
