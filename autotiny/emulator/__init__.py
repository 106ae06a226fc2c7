"""From generated C to measured figures: link for a target, execute, count.

`link` and `run` give firmware and what it did; `measure` gives its cost; `build_host` gives the
same arithmetic at the speed of this machine.
"""

from autotiny.emulator.cycles import CycleCounter
from autotiny.emulator.host import HostModel, build_host
from autotiny.emulator.machine import Run, run
from autotiny.emulator.measure import (
    SILENT,
    Measurement,
    Tell,
    measure,
    measure_firmware,
    measured_firmware,
)
from autotiny.emulator.profile import Profile, measure_elf, profile
from autotiny.emulator.toolchain import Firmware, link

__all__ = [
    "SILENT",
    "CycleCounter",
    "Firmware",
    "HostModel",
    "Measurement",
    "Profile",
    "Run",
    "Tell",
    "build_host",
    "link",
    "measure",
    "measure_elf",
    "measure_firmware",
    "measured_firmware",
    "profile",
    "run",
]
