"""ONNX files as networks of Keras, trainable where the batch is an axis like no other.

The operators are those of ONNX's specification, https://onnx.ai/onnx/operators; images and rows
have their channels last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from autotiny.doors import tensorflow
from autotiny.errors import InvalidModel, UserError, shown
from autotiny.model.kerastypes import KerasModel
from autotiny.model.onnx.building import Built, built
from autotiny.model.onnx.files import read_proto

__all__ = ["Built", "constants_of", "read_onnx", "shapes_from"]

Shapes = Mapping[str, Sequence[int]]


def shapes_from(text: str | None) -> Shapes:
    """Shapes of inputs by name, from what a user writes; the name "" stands for the only input.

    Raises:
        UserError: it is no shape.
    """
    if text is None:
        return {}
    shapes: dict[str, Sequence[int]] = {}
    for part in text.split(","):
        name, _, sizes = part.rpartition("=")
        found = re.fullmatch(r"[0-9]{1,9}(?:[x×][0-9]{1,9})*", sizes.strip())
        numbers = [int(size) for size in re.split("[x×]", sizes)] if found else [0]
        if min(numbers) < 1 or name.strip() in shapes:
            raise UserError(
                f"--input-shape {shown(text)}; it must be sizes as 1x3x32x32, or those of several "
                "inputs by name, image=1x3x32x32,mask=1x32"
            )
        shapes[name.strip()] = numbers
    return shapes


def constants_of(network: KerasModel) -> int:
    """How many values a network holds that are no weights of layers: operands of functions."""
    calls = [call for layer in network.layers for call in layer._inbound_nodes]
    operands = tensorflow().nest.flatten([(call.call_args, call.call_kwargs) for call in calls])
    return sum(one.size for one in operands if isinstance(one, np.ndarray))


def read_onnx(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Built:
    """The network of an ONNX file.

    Args:
        path: the file.
        shapes: of inputs by name, where the file leaves them open.

    Raises:
        InvalidModel: it is no ONNX file, or holds what no firmware computes.
    """
    found = built(read_proto(path), str(path), shapes or {})
    ports = zip(found.network.inputs, found.network.input_names, found.inputs, strict=True)
    for tensor, name, axes in ports:
        batch = 1 if found.free else tensor.shape[0]
        if batch != 1:
            shape = [tensor.shape[axes.index(axis)] for axis in range(len(axes))]
            shape[axes[0]] = 1
            raise InvalidModel(
                f"{path}: input {name!r} has a batch of {batch}; firmware computes one "
                f"sample at a time: export it so, or try --input-shape {'x'.join(map(str, shape))}"
            )
    return found
