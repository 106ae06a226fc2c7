"""The line that a selftest writes, as `c/selftest.c` makes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from autotiny.errors import UserError, shown

LONGEST_NAME = 48
"""Characters of a target's name that are told: they may take 12 of the line's 1,024 bytes each."""

_MOST = (1 << 53) - 1


@dataclass(frozen=True)
class BoardReport:
    """The line that a selftest writes.

    Attributes:
        autotiny: the version that made the firmware.
        model: prefix of the model's C symbols.
        target: name of the target that it was made for.
        clock_hz: of that target, for which its latency is stated.
        predicted_cycles: of an inference with warm caches, by the emulated core.
        predicted_first_cycles: of the first one after reset.
        predicted_stack_bytes: of an inference.
        outputs_equal: whether all samples gave the outputs of the host.
        counter: what counted the cycles: "dwt", "systick" or a CSR of RISC-V.
        samples: that were run.
        samples_right: that gave the outputs of the host.
        cycles: of the last one.
        first_cycles: of the first one.
        stack_bytes: how deep the stack went, with the frames of the selftest.
        running_hz: the clock that the part runs at, by its registers; 0 where the program sets
            none, and it is not known.
        target_key: of the target's figures by which it was predicted; "" in lines without it.
    """

    autotiny: str
    model: str
    target: str
    clock_hz: int
    predicted_cycles: int
    predicted_first_cycles: int
    predicted_stack_bytes: int
    outputs_equal: bool
    counter: str
    samples: int
    samples_right: int
    cycles: int
    first_cycles: int
    stack_bytes: int
    running_hz: int = 0
    target_key: str = ""

    @property
    def off_percent(self) -> float:
        """By how much more was predicted than counted, of what was counted."""
        return 100.0 * (self.predicted_cycles - self.cycles) / self.cycles

    @property
    def latency_us(self) -> float:
        """Of an inference: at the clock that the part says it runs at, or else the target's."""
        return 1e6 * self.cycles / (self.running_hz or self.clock_hz)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, for JSON."""
        return {**asdict(self), "off_percent": self.off_percent, "latency_us": self.latency_us}


def report_from(text: str) -> BoardReport:
    """The report of a line.

    Raises:
        UserError: a value is missing, or is none that a selftest writes.
    """
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise UserError(f"the line {shown(text)} is damaged; log it again") from error
    found = {}
    for entry in fields(BoardReport):
        value = facts.get(entry.name, None if entry.default is MISSING else entry.default)
        if not _ACCEPTED[str(entry.type)](value):
            raise UserError(
                f"{entry.name} = {shown(value)} in the line of the selftest; it must be "
                f"{_RULES[str(entry.type)]}: the line is damaged, or of another version"
            )
        if entry.name in _COUNTED and value == 0:
            raise UserError(f"{entry.name} = 0 in the line of the selftest; nothing was measured")
        found[entry.name] = value
    report = BoardReport(**found)
    if report.outputs_equal != (report.samples_right == report.samples):
        raise UserError(
            f"the line says outputs_equal = {report.outputs_equal} with {report.samples_right} of "
            f"{report.samples} samples right; it is damaged, log it again"
        )
    return report


_COUNTED = ("clock_hz", "samples", "cycles")

_ACCEPTED: dict[str, Callable[[object], bool]] = {
    "str": lambda value: isinstance(value, str) and value.isprintable() and len(value) <= 200,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int and 0 <= value <= _MOST,
}
_RULES = {
    "str": "a short text", "bool": "true or false", "int": f"a whole number from 0 to {_MOST}"
}  # fmt: skip
