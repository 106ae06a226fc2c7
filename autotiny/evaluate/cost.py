"""What a lowered model costs on a target: linked, executed, and read off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.engine import State
from autotiny.evaluate.program import MODEL, program_key, program_of, sources_of
from autotiny.metrics import Cost, LayerCost, StreamCost, missing, overshoot
from autotiny.model import Model
from autotiny.signal import Stream, streamed
from autotiny.simulator import SILENT, Tell, measure
from autotiny.target import Target, target_key


def cost(
    model: Model, target: Target, cache: Cache, tell: Tell = SILENT, stream: Stream | None = None,
    name: str = MODEL, state: State = "static",
) -> Cost:  # fmt: skip
    """Flash, SRAM, cycles and latency of the linked and executed firmware.

    What does not fit is told, before it is executed or where the figures come from the cache.

    Args:
        model: lowered.
        target: the microcontroller.
        cache: where figures are kept.
        tell: what is told meanwhile.
        stream: what the firmware takes in place of whole windows; figures are those of a hop.
        name: of the model's C, by which functions are sorted.
        state: who owns what the C writes to; the firmware has one instance of a caller's.
    """
    told: list[tuple[str, ...]] = []

    def misfit(misses: tuple[str, ...]) -> None:
        told.append(misses)
        tell.misfit(misses)

    def measured() -> dict[str, Any]:
        sources = sources_of(model, name=name, stream=stream, state=state)
        return measure(sources, target, tell=replace(tell, misfit=misfit)).to_dict()

    found = cost_from(remembered(cache, cost_key(model, target, stream, name, state), measured))
    lacking = missing(overshoot(found, target))
    if lacking and not told:
        tell.misfit(tuple(lacking))
    if stream is None:
        return found
    return replace(found, stream=stream_cost(model, target, found, stream))


def stream_cost(model: Model, target: Target, found: Cost, stream: Stream) -> StreamCost:
    """What the latency of a hop means for a core that listens without end."""
    program = program_of(model)
    changed = streamed(program.graph, program.schedule, stream.hop)
    duty = None if stream.hop_ms is None else found.latency_ms / stream.hop_ms
    return StreamCost(
        hop=stream.hop,
        window=changed.window,
        hop_ms=stream.hop_ms,
        duty_cycle=duty,
        energy_estimated_mj_per_second=None if duty is None else target.energy_mj(1000 * duty),
        parts=tuple(map(str, changed.parts)),
    )


def cost_key(
    model: Model, target: Target, stream: Stream | None = None, name: str = MODEL,
    state: State = "static",
) -> str:  # fmt: skip
    """A digest of all that a cost depends on: the program, the target, and the code from here on.

    This module imports what generates, links and measures, and nothing that knows the data.
    """
    hop = () if stream is None else (stream.hop,)
    named = () if name == MODEL else (name,)
    owned = () if state == "static" else (("state", state),)
    return key_of(
        "cost", program_key(model), *hop, *named, *owned, target_key(target), code_version(__name__)
    )


def cost_from(facts: dict[str, Any]) -> Cost:
    """The cost that `Cost.to_dict` wrote."""
    layers = tuple(LayerCost(**layer) for layer in facts["layers"])
    stream = facts.get("stream")
    if stream is not None:
        stream = StreamCost(**{**stream, "parts": tuple(stream["parts"])})
    return Cost(**{**facts, "layers": layers, "stream": stream})
