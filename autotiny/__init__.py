"""Finds the sequence of optimizations that puts a neural network on a microcontroller best.

Everything that `__all__` lists is imported when it is first asked for, so that `import autotiny`
is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from autotiny.version import __version__

__all__ = [
    "Applied",
    "AutotinyError",
    "BoardReport",
    "BrokenPromise",
    "Cache",
    "Calibrated",
    "Comparison",
    "Compiled",
    "Component",
    "Cost",
    "Dataset",
    "FirmwareFault",
    "FlashFailed",
    "Flashed",
    "InvalidData",
    "InvalidModel",
    "LinkError",
    "Measurement",
    "Metrics",
    "Model",
    "Point",
    "Profile",
    "Progress",
    "Reading",
    "Recipe",
    "Result",
    "SavedRecipe",
    "Space",
    "Target",
    "TrainingDiverged",
    "UnsupportedOp",
    "UserError",
    "Worked",
    "Worth",
    "__version__",
    "apply",
    "calibrate",
    "compile",
    "flash",
    "load_dataset",
    "load_model",
    "load_space",
    "load_target",
    "measure",
    "measure_elf",
    "order",
    "read_recipe",
    "search",
    "verify",
    "work",
]

if TYPE_CHECKING:
    from autotiny.api import (
        Calibrated,
        Compiled,
        Flashed,
        Measurement,
        apply,
        calibrate,
        compile,  # noqa: A004 - the command's name
        flash,
        measure,
        measure_elf,
        order,
        search,
        verify,
    )
    from autotiny.cache import Cache
    from autotiny.components import Component
    from autotiny.dataset import Dataset, Reading, load_dataset
    from autotiny.errors import (
        AutotinyError,
        BrokenPromise,
        FirmwareFault,
        FlashFailed,
        InvalidData,
        InvalidModel,
        LinkError,
        TrainingDiverged,
        UnsupportedOp,
        UserError,
    )
    from autotiny.firmware.board_report import BoardReport
    from autotiny.metrics import Cost, Metrics
    from autotiny.model import Model, load_model
    from autotiny.recipe import Recipe, SavedRecipe, read_recipe
    from autotiny.simulator import Profile
    from autotiny.space import Space, load_space
    from autotiny.study import Applied, Comparison, Point, Progress, Result, Worked, Worth, work
    from autotiny.target import Target, load_target

_HOMES = {
    "api": (
        "Calibrated", "Compiled", "Flashed", "Measurement", "apply", "calibrate", "compile",
        "flash", "measure", "measure_elf", "order", "search", "verify",
    ),
    "cache": ("Cache",),
    "components": ("Component",),
    "dataset": ("Dataset", "Reading", "load_dataset"),
    "simulator": ("Profile",),
    "errors": (
        "AutotinyError", "BrokenPromise", "FirmwareFault", "FlashFailed", "InvalidData",
        "InvalidModel", "LinkError", "TrainingDiverged", "UnsupportedOp", "UserError",
    ),
    "firmware.board_report": ("BoardReport",),
    "metrics": ("Cost", "Metrics"),
    "model": ("Model", "load_model"),
    "recipe": ("Recipe", "SavedRecipe", "read_recipe"),
    "space": ("Space", "load_space"),
    "study": ("Applied", "Comparison", "Point", "Progress", "Result", "Worked", "Worth", "work"),
    "target": ("Target", "load_target"),
}  # fmt: skip
"""Which module each name comes from: what a type checker reads above, for the running program."""


if not TYPE_CHECKING:  # a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Import a name of `__all__` when it is first asked for."""
        for home, names in _HOMES.items():
            if name in names:
                found: object = getattr(import_module(f"autotiny.{home}"), name)
                globals()[name] = found
                return found
        raise AttributeError(f"module 'autotiny' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also the names that were not imported yet."""
    return sorted({*globals(), *__all__})
