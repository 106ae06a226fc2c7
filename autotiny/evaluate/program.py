"""A lowered model as a graph with its schedule, and as C."""

from __future__ import annotations

from collections.abc import Sequence

from autotiny.cache import key_of
from autotiny.engine import Raw, Sources, State, generate, plain_schedule
from autotiny.graph import Threshold
from autotiny.model import Level, Model, Program
from autotiny.signal import Stream

MODEL = "model"
"""The name of a model's C unless another one is asked for."""


def program_of(model: Model) -> Program:
    """A lowered model with its schedule; without one, each op is a step computed the plain way."""
    if model.level is Level.PROGRAM:
        return model.program
    if model.level is not Level.TFLITE:
        raise ValueError(f"a model of level {model.level} has to be lowered first")
    return Program(model.graph, plain_schedule(model.graph))


def sources_of(
    model: Model, *, name: str = MODEL, comment: str = "", threshold: Threshold = None,
    stream: Stream | None = None, class_names: Sequence[str] = (), state: State = "static",
    raw: Sequence[Raw | None] = (),
) -> Sources:  # fmt: skip
    """The C of a lowered model, for whole windows or for a stream; see `generate`.

    Raises:
        UserError: it takes no time series, or the stream's hop is longer than its window.
    """
    program = program_of(model)
    return generate(
        program.graph, program.schedule, name, comment=comment, threshold=threshold,
        hop=None if stream is None else stream.hop, class_names=class_names,
        state=state, raw=raw,
    )  # fmt: skip


def program_key(model: Model) -> str:
    """A digest of graph and schedule: all that the generated C depends on."""
    program = program_of(model)
    return key_of(program.graph.fingerprint(), program.schedule)
