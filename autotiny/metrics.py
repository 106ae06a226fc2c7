"""What is measured of a firmware, with units in the names, and how far it overshoots a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from autotiny.graph import Threshold
from autotiny.target import Target

STACK_MARGIN_BYTES = 128
"""What stays free below the deepest stack that was measured: an interrupt's frame with the FPU's
registers takes 108 bytes on Cortex-M."""


@dataclass(frozen=True)
class LayerCost:
    """One step of the firmware as it was executed."""

    name: str
    instructions: int
    cycles: int
    latency_ms: float
    weights_bytes: int


@dataclass(frozen=True)
class StreamCost:
    """What a firmware that listens without end takes; its latency is that of a hop.

    Attributes:
        hop: samples from one answer to the next.
        window: samples that an answer is for.
        hop_ms: the time between answers; None where the rate of the samples is not known.
        duty_cycle: latency ÷ hop_ms, the share of the time in which the core computes.
        energy_estimated_mj_per_second: of that share alone, an estimate.
        parts: what is computed anew at every hop and what is kept, in words.
    """

    hop: int
    window: int
    hop_ms: float | None
    duty_cycle: float | None
    energy_estimated_mj_per_second: float | None
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What a linked and executed firmware takes of a target; known before any training.

    Attributes:
        flash_bytes: every byte of the ELF that lies in flash, code, constants and initial data.
        weights_bytes: the constants of the model among them.
        code_bytes: the rest: flash_bytes − weights_bytes.
        sram_bytes: arena_bytes + static_bytes + stack_bytes.
        arena_bytes: the model's working memory, its input and output included.
        static_bytes: .data and .bss without the arena.
        stack_bytes: high-water mark of the painted stack.
        instructions: executed for one inference.
        cycles: the cycle model's figure for one inference, repeated (warm caches).
        latency_ms: cycles ÷ clock.
        energy_estimated_mj: active current × supply voltage × latency, an estimate.
        layers: one entry a step of the program.
        unplaced_bytes: bytes of SRAM without a place, the margin below the stack among them;
            memories with gaps between them can lack room for one array even where they hold enough
            in total.
        cold_cycles: of the first inference after reset, with empty caches.
        cores: how many cores compute at the same time.
        stream: of a firmware that takes a hop of samples; None of one that takes whole windows.
    """

    flash_bytes: int
    weights_bytes: int
    code_bytes: int
    sram_bytes: int
    arena_bytes: int
    static_bytes: int
    stack_bytes: int
    instructions: int
    cycles: int
    latency_ms: float
    energy_estimated_mj: float
    layers: tuple[LayerCost, ...] = ()
    unplaced_bytes: int = 0
    cold_cycles: int = 0
    cores: int = 1
    stream: StreamCost | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Metrics:
    """A cost, and the score of the same generated C.

    Attributes:
        cost: flash, SRAM, cycles and latency.
        score_validation: on the split that the search sees, in the unit of the metric.
        score_test: on the split that only reports see.
        at_chance: whether the best answer that knows no input does as well on validation.
        metric: the name of the score, e.g. "accuracy".
        error_validation: standard error of the score on validation.
        threshold: from which output on the answer is yes, of several outputs one each; None where
            the task has none.
        outputs: the scores of each output, where there are several: by its name and metric.
    """

    cost: Cost
    score_validation: float
    score_test: float | None = None
    at_chance: bool = False
    metric: str = "accuracy"
    error_validation: float = 0.0
    threshold: Threshold = None
    outputs: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, for JSON; scores are named after their metric."""
        validation, test = score_names(self.metric)
        return {
            "metric": self.metric,
            validation: self.score_validation,
            test: self.score_test,
            "error_validation": self.error_validation,
            "at_chance": self.at_chance,
            "threshold": self.threshold,
            **({"outputs": dict(self.outputs)} if self.outputs else {}),
            **self.cost.to_dict(),
        }


def score_names(metric: str) -> tuple[str, str]:
    """How the figures of a metric are called, on validation and on test."""
    return f"{metric}_validation", f"{metric}_test"


def overshoot(cost: Cost, target: Target) -> dict[str, int]:
    """By how much a cost exceeds the target, per resource; zero or negative where it fits.

    A firmware fits where its flash, its SRAM with `STACK_MARGIN_BYTES` below the measured stack,
    and its cores are there, and where it answers before the next hop of a stream is due. In bytes,
    but for the cores of a program that uses several, and microseconds of time.
    """
    sram = cost.sram_bytes + STACK_MARGIN_BYTES - target.sram_bytes
    excess = {
        "flash": cost.flash_bytes - target.flash_bytes,
        "sram": max(sram, cost.unplaced_bytes) if cost.unplaced_bytes else sram,
    }
    if cost.cores > 1:
        excess["cores"] = cost.cores - target.usable_cores
    if cost.stream and cost.stream.hop_ms is not None:
        excess["time"] = math.ceil(1000 * (cost.latency_ms - cost.stream.hop_ms))
    return excess


def missing(excess: Mapping[str, int]) -> list[str]:
    """What a target lacks, in words: "12 bytes of sram", "1 core"."""
    return [_amount(name, size) for name, size in excess.items() if size > 0]


def _amount(name: str, size: int) -> str:
    if name == "time":
        return f"{size:,} µs of time for each hop, so it does not keep up"
    if name == "cores":
        return f"{size} core{'s' * (size > 1)}"
    return f"{size:,} byte{'s' * (size > 1)} of {name}"
