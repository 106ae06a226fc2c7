"""Low-pass and decimate the input inside the network, so that every layer behind it has less to do.

The mean of each cell is the box filter of decimation (Crochiere and Rabiner, "Multirate Digital
Signal Processing", 1983). It stands in the graph: the firmware's input stays, and needs no code
outside the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._resizing import pools_whole, whole_pool
from autotiny.components.keras._rewriting import NewLayer, rewrite
from autotiny.components.keras._tuning import fine_tuned
from autotiny.components.keras._weights import has_kernel
from autotiny.errors import NotApplicable
from autotiny.graph import Array
from autotiny.model import KerasLayer, KerasModel, KerasTensor, Level, Model, keras, tensorflow


@dataclass(frozen=True)
class ReduceInput(Component):
    """Puts an average pooling before the first convolutions, and fits the layers behind it.

    Attributes:
        factor: samples that become one, along each axis.
        axes: "all" for images; "first" for spectrograms, whose first axis is time.
    """

    name = "reduce_input"
    level = Level.KERAS
    trains = True
    not_after = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    factor: Annotated[int, Within(ge=1, le=4096)] = 2
    axes: Literal["all", "first"] = "all"

    def apply(self, model: Model, work: Work) -> Model:
        """The model on a smaller input, fine-tuned."""
        first = first_convolutions(model.keras)
        if not first or self.factor < 2:
            raise NotApplicable(
                "reduce_input: no convolution reads the input"
                if not first
                else "reduce_input: a factor of 1 reduces nothing"
            )
        try:
            network = self._reduced(model.keras, first)
        except ValueError as refusal:
            raise NotApplicable(
                f"reduce_input: a factor of {self.factor} leaves too little for the layers behind"
            ) from refusal
        if network.output_shape != model.keras.output_shape:
            raise NotApplicable(
                "reduce_input: the output has a value for each place of the input, and would have "
                "fewer"
            )
        return fine_tuned(network, model, work)

    def _reduced(self, network: KerasModel, first: set[str]) -> KerasModel:
        """The rebuilt network. ValueError if a layer finds no room."""
        flattened = {
            layer.name: flatten
            for layer in network.layers
            if (flatten := _flatten_before(layer)) is not None
        }
        whole = pools_whole(network)

        def substitute(layer: KerasLayer) -> list[NewLayer] | None:
            if layer.name in first:
                copy = type(layer).from_config(layer.get_config())
                return [NewLayer(self._decimation(layer)), NewLayer(copy, layer.get_weights())]
            if layer.name in flattened:
                # Its input gets smaller: the weights follow when the new shapes are known.
                return [NewLayer(type(layer).from_config(layer.get_config()))]
            if layer.name in whole:
                return [NewLayer(whole_pool(layer))]
            return None

        reduced = rewrite(network, substitute)
        for name, flatten in flattened.items():
            kernel, *bias = network.get_layer(name).get_weights()
            smaller = reduced.get_layer(flatten.name).input_shape
            kernel = _shrunk(kernel, flatten.input_shape, smaller)
            reduced.get_layer(name).set_weights([kernel, *bias])
        return reduced

    def _decimation(self, layer: KerasLayer) -> KerasLayer:
        layers = keras().layers
        name = f"{layer.name}_reduced"
        across = self.factor if self.axes == "all" else 1
        pooling: KerasLayer = (
            layers.AveragePooling1D(self.factor, name=name)
            if isinstance(layer, layers.Conv1D)
            else layers.AveragePooling2D((self.factor, across), name=name)
        )
        return pooling


def first_convolutions(network: KerasModel) -> set[str]:
    """Names of the convolutions that read the input, directly or reshaped."""
    layers = keras().layers
    found = set()
    for layer in network.layers:
        if not isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D)):
            continue
        before: KerasLayer | None = layer
        while before is not None and not isinstance(before, layers.InputLayer):
            before = _only_source(before)
            if before is not None and has_kernel(before):
                before = None
        if before is not None:
            found.add(layer.name)
    return found


def _only_source(layer: KerasLayer) -> KerasLayer | None:
    """The layer whose result a layer reads, or None if there are several."""
    sources: list[KerasTensor] = tensorflow().nest.flatten(layer._inbound_nodes[-1].keras_inputs)
    return sources[0]._keras_history.layer if len(sources) == 1 else None


def _flatten_before(layer: KerasLayer) -> KerasLayer | None:
    """The flattening whose result a dense layer reads, through activations and dropout at most."""
    layers = keras().layers
    if type(layer) is not layers.Dense:
        return None
    before = _only_source(layer)
    while isinstance(before, (layers.Activation, layers.ReLU, layers.Dropout)):
        before = _only_source(before)
    return before if isinstance(before, layers.Flatten) else None


def _shrunk(kernel: Array, before: tuple[int, ...], after: tuple[int, ...]) -> Array:
    """A dense kernel for a smaller picture: weights of the places that become one are added up.

    Args:
        kernel: (places × channels, units).
        before: (batch, places …, channels) in front of the flattening.
        after: the same of the smaller network.
    """
    places = kernel.reshape(*before[1:], kernel.shape[1])
    for axis, (old, new) in enumerate(zip(before[1:-1], after[1:-1], strict=True)):
        places = np.moveaxis(np.tensordot(_gathering(old, new), places, (1, axis)), 0, axis)
    return places.reshape(-1, kernel.shape[1])


def _gathering(old: int, new: int) -> Array:
    """The (new, old) matrix that adds up what falls into each of `new` equal parts."""
    edges = np.arange(new + 1) * old / new
    low = np.maximum(edges[:-1, None], np.arange(old)[None])
    high = np.minimum(edges[1:, None], np.arange(1, old + 1)[None])
    overlap: Array = np.clip(high - low, 0, None).astype(np.float32)
    return overlap
