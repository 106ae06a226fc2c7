"""How large a model from a file may be: said before anything of that size is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autotiny.doors import tensorflow
from autotiny.errors import InvalidModel

LARGEST_WEIGHTS = 256 << 20
"""Bytes of weights that are read from a file: a hundred times what a microcontroller holds."""

LARGEST_TENSOR = 1 << 26
"""Values in one tensor of one sample."""

UNSAVED = 1 << 20
"""Values that layers may keep besides the weights in a file: counters, seeds, tables."""


@contextmanager
def as_many_weights_as(saved: int, where: str) -> Iterator[None]:
    """Refuses inside, before it is allocated, a weight for which a file has no values.

    Args:
        saved: how many values of weights the file holds.
        where: the file, for the message.

    Raises:
        InvalidModel: what is built has more weights than twice `saved`, and `UNSAVED`.
    """
    tf = tensorflow()
    left = 2 * saved + UNSAVED
    refusals = []

    def create(following: Callable[..., Any], **options: Any) -> Any:
        nonlocal left
        size = _size(options.get("shape"), options.get("initial_value"))
        left -= size
        if left < 0:
            refusals.append(
                f"{where}: weight {options.get('name')!r:.80} would have {size:,} values, and the "
                f"file holds {saved:,} in all; it is damaged, save the model again"
            )
            raise InvalidModel(refusals[0])
        return following(**options)

    try:
        with tf.variable_creator_scope(create):
            yield
    except Exception as damage:
        if refusals:
            # Keras writes pages around what is raised inside a layer.
            raise InvalidModel(refusals[0]) from damage
        raise


def _size(shape: Any, value: Any) -> int:
    """How many values a variable will have, without computing its first ones."""
    tf = tensorflow()
    shape = None if shape is None else tf.TensorShape(shape)
    if shape is None or not shape.is_fully_defined():
        if callable(value):
            with tf.Graph().as_default():
                value = value()
        shape = tf.TensorShape(value.shape if hasattr(value, "shape") else tf.shape(value))
    return math.prod(int(size) for size in shape)


def check_activations(network: Any, where: str) -> None:
    """Refuses a network with a tensor too large to compute.

    Args:
        network: of Keras 2 or Keras 3, built.
        where: the file, for the message.
    """
    tf = tensorflow()
    for layer in getattr(network, "layers", ()):
        check_activations(layer, where)
        for node in getattr(layer, "_inbound_nodes", ()):
            # Keras 3 has a list of them, Keras 2 a structure.
            made = node.output_tensors if hasattr(node, "output_tensors") else node.outputs
            for tensor in tf.nest.flatten(made):
                size = math.prod(int(side) for side in tensor.shape[1:] if side is not None)
                if size > LARGEST_TENSOR:
                    raise InvalidModel(
                        f"{where}: layer {layer.name!r} gives {size:,} values for one sample; "
                        f"at most {LARGEST_TENSOR:,} are computed"
                    )
