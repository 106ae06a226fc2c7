"""Compute an LSTM or GRU that stands in the graph as separate ops, a copy a step, by one kernel.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, as LiteRT's UNIDIRECTIONAL_SEQUENCE_LSTM
computes it. The cells are found by what they compute, whoever wrote them and however the products
are split.

Integers change their value, for the better: the cell, which separate ops keep in the type of the
activations, gets 16 bits, and sums are no longer rounded between ops. Weights get one scale a gate.
The op keeps its state from one inference to the next, as in LiteRT; `<model>_reset` clears it.

A GRU (Cho et al., 2014; `graph.gru`) is found in the form that Keras gives it. In integers its
steps get common scales.

Lowerings fuse what they meet, so a Keras LSTM stays one op behind a rewrite of the frozen graph.
Not in int16, where LiteRT refuses the op that TensorFlow Lite Micro and the engine compute: this
component is for that, and for `.tflite` files.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import Component, Work
from autotiny.components.tflite._gru import with_grus
from autotiny.components.tflite._lstm import with_lstms
from autotiny.errors import NotApplicable
from autotiny.model import Level, Model, successor


@dataclass(frozen=True)
class FuseRecurrent(Component):
    """Turns chains of LSTM or GRU cells into one op each."""

    name = "fuse_recurrent"
    level = Level.TFLITE

    def apply(self, model: Model, work: Work) -> Model:
        """The model with every LSTM and GRU that was found as one op."""
        graph = with_grus(with_lstms(model.graph))
        if graph is model.graph:
            raise NotApplicable(
                "fuse_recurrent: no LSTM or GRU stands here as separate ops; they are the "
                "recurrent layers that have a kernel"
            )
        return successor(model, graph)
