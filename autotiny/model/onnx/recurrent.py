"""LSTM, GRU and RNN: layers of Keras, whose gates stand in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.node import Found, Node
from autotiny.model.onnx.values import Refused, Value, arranged, reshaped

KINDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "LSTM": ("LSTM", (0, 2, 3, 1)),
    "GRU": ("GRU", (0, 1, 2)),
    "RNN": ("SimpleRNN", (0,)),
}
"""The layer, and where each of Keras' gates stands among ONNX's: i o f c, z r h."""

USUAL: Mapping[str, list[str]] = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"],
}  # fmt: skip


def recurrent(node: Node) -> Found:
    """All outputs of a recurrent layer: (steps, directions, batch, units), and the last of them."""
    x = node.value()
    batch_first = bool(node.count("layout", 0))
    x = arranged(x, (0, 1, 2) if batch_first else (1, 0, 2))
    _check(node, x)
    units = node.count("hidden_size", node.needed(2).shape[-1])
    direction = node.word("direction", "forward")
    sequence = node.wanted[0]
    if any(node.wanted[2:]):
        raise Refused("the last state of the cell as an output")
    tensors = [
        _one(
            node, x.tensor, units, at, backward=direction == "reverse" or at == 1, sequence=sequence
        )
        for at in range(2 if direction == "bidirectional" else 1)
    ]
    found: list[Value] = []
    if sequence:
        found.append(_sequence(tensors, x.sizes, units, batch_first))
        if len(node.wanted) > 1 and node.wanted[1]:
            ends = [0 if direction == "reverse" or at == 1 else -1 for at in range(len(tensors))]
            tensors = [t[:, end, :] for t, end in zip(tensors, ends, strict=True)]
    else:
        found.append(x)  # nobody reads it
    if len(node.wanted) > 1:
        last = _joined(tensors) if node.wanted[1] else x.tensor
        if node.wanted[1]:
            last = reshaped(last, (x.sizes[0], len(tensors), units))
        found.append(Value(last, (0, 1, 2) if batch_first else (1, 0, 2)))
    return found + [x] * (len(node.wanted) - len(found))


def _check(node: Node, x: Value) -> None:
    usual = USUAL[node.kind]
    activations = [
        one.decode() if isinstance(one, bytes) else str(one)
        for one in node.attributes.get("activations", [])
    ]
    if any(one not in usual or one != usual[at % len(usual)] for at, one in enumerate(activations)):
        raise Refused(f"activations {activations}; {usual} are computed")
    if node.attributes.get("clip") or node.count("input_forget", 0):
        raise Refused("clip or input_forget")
    lengths = node.constant(4)
    if lengths is not None and (lengths != x.sizes[1]).any():
        raise Refused(f"sequences of {lengths.tolist()} steps of {x.sizes[1]}")
    for place in (5, 6, 7):
        start = node.constant(place)
        if start is not None and start.any():
            raise Refused("a first state that is not zero")


def _one(node: Node, tensor: Any, units: int, at: int, *, backward: bool, sequence: bool) -> Any:
    """One direction: (batch, steps, units) in the order of time, or (batch, units)."""
    kind, gates = KINDS[node.kind]
    inward, back = node.needed(1)[at], node.needed(2)[at]
    biases = node.constant(3)
    config: dict[str, Any] = {
        "units": units,
        "return_sequences": sequence,
        "use_bias": biases is not None,
    }
    count = len(gates)
    weights = [_gates(inward, gates, units).T, _gates(back, gates, units).T]
    if biases is not None:
        halves = biases[at].reshape(2, count * units)
        ordered = np.stack([_gates(half[:, None], gates, units)[:, 0] for half in halves])
        apart = node.kind == "GRU" and node.count("linear_before_reset", 0)
        weights.append(ordered if apart else ordered.sum(0))
        if node.kind == "GRU":
            config["reset_after"] = bool(apart)
    elif node.kind == "GRU":
        config["reset_after"] = bool(node.count("linear_before_reset", 0))
    part = "back" if backward and node.word("direction", "") == "bidirectional" else ""
    found = node.layer(kind, tensor, weights=weights, part=part, go_backwards=backward, **config)
    return tensorflow().reverse(found, axis=[1]) if backward and sequence else found


def _gates(x: Array, gates: tuple[int, ...], units: int) -> Array:
    """Rows of gates in Keras' order."""
    return x.reshape(len(gates), units, -1)[list(gates)].reshape(x.shape)


def _joined(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else keras().layers.Concatenate(axis=-1)(tensors)


def _sequence(tensors: list[Any], sizes: tuple[int, ...], units: int, batch_first: bool) -> Value:
    """All steps, (batch, steps, directions, units) as they lie."""
    flat = _joined(tensors)
    cut = reshaped(flat, (sizes[0], sizes[1], len(tensors), units))
    return Value(cut, (0, 1, 2, 3) if batch_first else (2, 0, 1, 3))
