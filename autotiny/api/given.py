"""What a user gives, by name, path, number or object, as what the commands work with."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from autotiny.checked import arguments
from autotiny.dataset import Reading
from autotiny.errors import UserError
from autotiny.signal import Asked, asked_stream
from autotiny.simulator import FIRMWARE_ENDINGS
from autotiny.target import Target, load_target, with_wait_states

TargetSource: TypeAlias = Target | str | Path


def target_of(given: TargetSource, wait_states: int | None = None) -> Target:
    """A target, with other wait states of its flash where some are given."""
    target = given if isinstance(given, Target) else load_target(str(given))
    wait_states = arguments(wait_states=wait_states)["wait_states"]
    return target if wait_states is None else with_wait_states(target, wait_states)


def reading_of(
    scale: str | float | None, resize: str | tuple[int, int] | None, reading: Reading | None
) -> Reading:
    """How data is read, however that was said."""
    if reading is None:
        return Reading.of(scale, resize)
    if scale is not None or resize is not None:
        raise UserError("reading has scale and resize itself; give them there, or no reading")
    return reading


def asked_of(stream: str | None) -> Asked | None:
    """How often an answer is asked for, if that was said."""
    return None if stream is None else asked_stream(stream)


def is_firmware(model: object) -> bool:
    """Whether a name is that of a firmware, which `measure_elf` takes, rather than of a network."""
    return isinstance(model, (str, Path)) and str(model).lower().endswith(FIRMWARE_ENDINGS)


def is_recipe(model: object) -> bool:
    """Whether a name is that of a recipe, which has a network of its own."""
    return isinstance(model, (str, Path)) and str(model).endswith(".json")
