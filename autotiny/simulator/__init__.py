"""Firmware, executed on an emulated core and counted: what a model costs on a target.

`run` says what a firmware did, `measure` what it costs, `profile` where its cycles went.
"""

from autotiny.simulator.cycles import CycleCounter
from autotiny.simulator.images import FIRMWARE_ENDINGS
from autotiny.simulator.machine import Run, run
from autotiny.simulator.measure import (
    SILENT,
    Measurement,
    Tell,
    measure,
    measure_firmware,
    measured_firmware,
)
from autotiny.simulator.profile import Profile, measure_elf, profile

__all__ = [
    "FIRMWARE_ENDINGS",
    "SILENT",
    "CycleCounter",
    "Measurement",
    "Profile",
    "Run",
    "Tell",
    "measure",
    "measure_elf",
    "measure_firmware",
    "measured_firmware",
    "profile",
    "run",
]
