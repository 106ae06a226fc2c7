"""What a network takes of a target."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from autotiny.metrics import Cost, missing, overshoot
from autotiny.simulator.silicon import latency_error
from autotiny.study import Reserve
from autotiny.target import Target


@dataclass(frozen=True)
class Taken:
    """What a network takes of a target.

    Attributes:
        model: how it was asked for.
        target: the microcontroller.
        schedule: what kernels and memory plan were chosen for; `OWN` where a recipe decided them.
        cost: flash, SRAM, cycles, latency, and what each layer takes of them.
        calibration: what the ranges of an integer network were found with: the name of the data,
            or `NOISE`; None where nothing was calibrated.
        constant_channels: how many of them were removed, in words; None where none were.
        reserve: what of the target belongs to other programs.
    """

    model: str
    target: Target
    schedule: str
    cost: Cost
    calibration: str | None
    constant_channels: str | None
    reserve: Reserve

    @property
    def misses(self) -> tuple[str, ...]:
        """What the target lacks, in words; empty where the firmware fits."""
        return tuple(missing(overshoot(self.reserve.beside(self.cost), self.target)))

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        asked = {
            "model": self.model, "target": self.target.name,
            "flash_wait_states": self.target.flash.wait_states, "schedule": self.schedule,
            "calibration": self.calibration, "constant_channels": self.constant_channels,
            "reserved": asdict(self.reserve),
        }  # fmt: skip
        error = {
            "latency_error": latency_error(self.target),
            "active_current_error_percent": self.target.active_current_error_percent,
        }
        return {**asked, **self._more(), **self.cost.to_dict(), **error}

    def _more(self) -> dict[str, object]:
        return {}
