"""Small networks in int8, made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autotiny.components.alone import Layer, graph_of
from autotiny.graph import Graph

SAME: dict[str, int | str] = {
    "padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "RELU",
}  # fmt: skip
HALVED = {**SAME, "stride_h": 2, "stride_w": 2}


def mobile(size: int = 8, channels: int = 4) -> Graph:
    """A start as MobileNets have it, on an image of twice that size."""
    few, many = channels, 2 * channels
    once: dict[str, int | str] = {"depth_multiplier": 1}
    return graph_of(
        (1, 2 * size, 2 * size, 3),
        (
            Layer("CONV_2D", (few, 3, 3, 3), (1, size, size, few), HALVED),
            Layer("DEPTHWISE_CONV_2D", (1, 3, 3, few), (1, size, size, few), {**SAME, **once}),
            Layer("CONV_2D", (many, 1, 1, few), (1, size, size, many), SAME),
            Layer(
                "DEPTHWISE_CONV_2D", (1, 3, 3, many), (1, size // 2, size // 2, many),
                {**HALVED, **once},
            ),
        ),
    )  # fmt: skip


def deep(layers: int) -> Graph:
    """So many layers as MobileNets have them behind their start, of 25 widths."""
    found = []
    width = 16
    for k in range(layers // 2):
        image, wider = (1, 8, 8, width), 4 * (1 + 7 * k % 25)
        depthwise: dict[str, int | str] = {**SAME, "depth_multiplier": 1}
        found.append(Layer("DEPTHWISE_CONV_2D", (1, 3, 3, width), image, depthwise))
        found.append(Layer("CONV_2D", (wider, 1, 1, width), (1, 8, 8, wider), SAME))
        width = wider
    return graph_of((1, 8, 8, 16), tuple(found))


def repeated(layers: int) -> Graph:
    """So many layers of two kinds in turn, all of one width."""
    depthwise: dict[str, int | str] = {**SAME, "depth_multiplier": 1}
    both = (
        Layer("DEPTHWISE_CONV_2D", (1, 3, 3, 16), (1, 8, 8, 16), depthwise),
        Layer("CONV_2D", (16, 1, 1, 16), (1, 8, 8, 16), SAME),
    )
    return graph_of((1, 8, 8, 16), both * (layers // 2))


def halved() -> Graph:
    """A depthwise convolution whose image takes most of the memory, and which has few options."""
    shape: dict[str, int | str] = {**HALVED, "depth_multiplier": 1}
    layer = Layer("DEPTHWISE_CONV_2D", (1, 3, 3, 4), (1, 12, 12, 4), shape)
    return graph_of((1, 24, 24, 4), (layer,))


def two_layers(seed: int = 0, values: Sequence[int] = range(-127, 128)) -> Graph:
    """A depthwise convolution and a dense layer, which have few options; the seed draws weights."""
    graph = graph_of(
        (1, 6, 6, 8),
        (
            Layer("DEPTHWISE_CONV_2D", (1, 3, 3, 8), (1, 6, 6, 8), {**SAME, "depth_multiplier": 1}),
            Layer("FULLY_CONNECTED", (12, 288), (1, 12), {"fused_activation_function": "NONE"}),
        ),
    )
    dice = np.random.default_rng(seed)
    tensors = tuple(
        one
        if one.data is None or one.dtype != "int8"
        else replace(one, data=dice.choice(values, one.shape).astype(np.int8))
        for one in graph.tensors
    )
    return replace(graph, tensors=tensors)
