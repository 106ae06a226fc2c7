"""What a user does with autotiny, each a function; the command line parses, calls one and prints.

A command is a file here. Models and data are taken as names, paths, or objects: see `load_model`
and `load_dataset`.
"""

from autotiny.api.applying import apply
from autotiny.api.calibrating import Calibrated, calibrate
from autotiny.api.compiling import Compiled, compile  # noqa: A004 - the command's name
from autotiny.api.flashing import Flashed, flash
from autotiny.api.given import is_firmware
from autotiny.api.lowering import NOISE, STEPS_APART
from autotiny.api.measuring import Measurement, measure, measure_elf
from autotiny.api.ordering import order
from autotiny.api.scheduling import Schedules, schedule
from autotiny.api.searching import search, study_folder
from autotiny.api.taken import Taken
from autotiny.api.verifying import verify

__all__ = [
    "NOISE",
    "STEPS_APART",
    "Calibrated",
    "Compiled",
    "Flashed",
    "Measurement",
    "Schedules",
    "Taken",
    "apply",
    "calibrate",
    "compile",
    "flash",
    "is_firmware",
    "measure",
    "measure_elf",
    "order",
    "schedule",
    "search",
    "study_folder",
    "verify",
]
