"""The errors that autotiny raises on purpose, on one page.

Three kinds of "no" stay apart: `NotApplicable` means a component has nothing to do; a firmware
that is too big is a constraint and no error; everything below `UserError` is a mistake the user can
mend, and its message gives the value, the rule and the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 100
"""Characters of a value that a message shows."""


class AutotinyError(Exception):
    """Root of every error raised on purpose."""


class UserError(AutotinyError):
    """The command, a file or a value is wrong; the message says how to mend it."""


class InvalidModel(UserError):
    """A model file is truncated, hostile, or not what its ending says."""


class UnsupportedOp(UserError):
    """The engine has no kernel for an op of the model."""


class InvalidData(UserError):
    """A data set cannot be read, or does not fit the model."""


class MachineFault(UserError):
    """The machine failed and not the model: the same work may succeed the next time."""


class WorkerEnded(UserError):
    """A model crashed the process that works with it, or took longer than it may."""


class NotApplicable(AutotinyError):
    """A component has nothing to do on this model and drops out of the sequence."""


class TrainingDiverged(AutotinyError):
    """Fine-tuning produced NaN or infinity."""


class BrokenPromise(AutotinyError):
    """A component's result is not what it promises, e.g. pruned weights are no longer zero."""


class NoRoom(UserError):
    """A firmware does not fit the part."""


class FlashFailed(AutotinyError):
    """A tool could not write a firmware to a board."""


class FirmwareFault(AutotinyError):
    """The firmware ran off, looped for ever, or touched memory that the target lacks."""


class LinkError(AutotinyError):
    """The cross compiler or linker refused the generated sources: a bug, with its output."""


def shown(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write whole numbers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def nearest(value: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None if none is near."""
    return next(iter(get_close_matches(value, list(known), n=1)), None)


def unknown(kind: str, value: str, known: Iterable[str], listing: str) -> UserError:
    """The error for a name that is not in a list: the value, the nearest name, and how to list all.

    Args:
        kind: what the name stands for, e.g. "target".
        value: the name as given.
        known: the names there are.
        listing: the command that lists them, e.g. "autotiny targets".
    """
    names = list(known)
    near = nearest(value, names)
    hint = f"; did you mean {near!r}?" if near else ";"
    return UserError(f"unknown {kind} {shown(value)}{hint} {listing!r} lists all {len(names)}")
