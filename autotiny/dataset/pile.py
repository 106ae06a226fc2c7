"""Samples as a source holds them, before they are split."""

from __future__ import annotations

from dataclasses import dataclass, field

from autotiny.graph import Array


@dataclass(frozen=True, eq=False)
class Pile:
    """Samples as a source holds them, before they are split and before a task reads their targets.

    Attributes:
        name: what messages call it.
        x: (N, …) numbers as they are stored (int16 for sound, float64 for tables), not scaled.
        y: (N,) or (N, k) targets as stored: whole numbers (int64), fractions (float32), or text;
            None where there are none.
        labels: names of the classes in the order of their numbers where folders name them (`y`
            holds the numbers then), else ().
        groups: (N,) int64: samples of one group never straddle a split; None where each stands
            alone.
        parts: (N,) uint8, 0 train, 1 validation, 2 test, where the source says it; None where it
            is to be split.
        targets: names of the target columns, where there are some.
        notes: lines for the user: what was understood.
        factor: what stored numbers are usually multiplied by; None where their type says it.
        rate: samples a second of a recording; None where it is not known.
        recorded: whether samples are cut out of a recording.
    """

    name: str
    x: Array = field(repr=False)
    y: Array | None = field(default=None, repr=False)
    labels: tuple[str, ...] = ()
    groups: Array | None = field(default=None, repr=False)
    parts: Array | None = field(default=None, repr=False)
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    factor: float | None = None
    rate: int | None = None
    recorded: bool = False
