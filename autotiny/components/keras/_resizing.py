"""A Keras model built anew for inputs of another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotiny.components.keras._rewriting import NewFunction, NewLayer, rewrite
from autotiny.model import KerasLayer, KerasModel, KerasTensor, keras

Shape = tuple[int, ...]


def resized(network: KerasModel, shape: Shape) -> KerasModel:
    """A model of one input for inputs of another shape, with the weights that still fit.

    Layers whose weights depend on the shape are initialized anew. A pooling over the whole picture
    covers the whole new one; a reshape that only adds or drops axes of 1 does so still.

    Args:
        network: the model; it stays as it is.
        shape: of an input, without the batch.

    Raises:
        ValueError: a layer finds no room, or takes other dimensions.
    """
    if tuple(network.inputs[0].shape[1:]) == shape:
        return rewrite(network, lambda _: None)
    whole = pools_whole(network)

    def substitute(layer: KerasLayer) -> Sequence[NewLayer | NewFunction]:
        if layer.name in whole:
            return [NewLayer(whole_pool(layer))]
        places = kept_axes(layer)
        if places is not None:
            return [NewFunction(lambda x: _reshaped(x, places, layer.name))]
        return [NewLayer(type(layer).from_config(layer.get_config()))]

    made = rewrite(network, substitute, shape=shape)
    for layer in network.layers:
        new = made.get_layer(layer.name) if layer.weights else layer
        weights = layer.get_weights()
        if new is not layer and [w.shape for w in weights] == [w.shape for w in new.get_weights()]:
            new.set_weights(weights)
    return made


def pools_whole(network: KerasModel) -> set[str]:
    """Names of the poolings of the whole picture."""
    layers = keras().layers
    return {
        layer.name
        for layer in network.layers
        if isinstance(layer, (layers.AveragePooling2D, layers.MaxPooling2D))
        and tuple(layer.pool_size) == tuple(layer.input_shape[1:3])
    }


def whole_pool(layer: KerasLayer) -> KerasLayer:
    """A pooling of the whole picture that does not name its size."""
    layers = keras().layers
    mean = isinstance(layer, layers.AveragePooling2D)
    pool = layers.GlobalAveragePooling2D if mean else layers.GlobalMaxPooling2D
    made: KerasLayer = pool(keepdims=True, name=layer.name)
    return made


def kept_axes(layer: KerasLayer) -> tuple[int | None, ...] | None:
    """For a reshape that only adds or drops axes of 1: the axis that each new one was, or None."""
    if not isinstance(layer, keras().layers.Reshape):
        return None
    before, after = layer.input_shape[1:], layer.output_shape[1:]
    wide = [axis for axis, size in enumerate(before) if size != 1]
    if [before[axis] for axis in wide] != [size for size in after if size != 1]:
        return None
    left = iter(wide)
    return tuple(None if size == 1 else next(left) for size in after)


def _reshaped(x: KerasTensor, places: tuple[int | None, ...], name: str) -> KerasTensor:
    shape = x.shape[1:]
    target = tuple(1 if axis is None else shape[axis] for axis in places)
    if math.prod(target) != math.prod(shape):
        raise ValueError(f"{name}: {shape} cannot become {target}")
    made: KerasTensor = keras().layers.Reshape(target, name=name)(x)
    return made
