"""Inputs and targets of which a sample has several: their names, and how a flat row is cut."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from autotiny.dataset.reading import Inputs
from autotiny.tasks import SPLITS

SHORT = {"val": "validation"}


@dataclass(frozen=True)
class InputPort:
    """One of several inputs.

    Attributes:
        name: as the data calls it: a number from 1, or the name of the network's input.
        shape: of one sample.
        inputs: how it was stored, and what was made of it.
    """

    name: str
    shape: tuple[int, ...]
    inputs: Inputs


@dataclass(frozen=True)
class Answer:
    """One of several targets.

    Attributes:
        name: as the data calls it: a number from 1, or the name of the network's output.
        shape: of one sample; () for one value.
        whole: whether they are stored as whole numbers.
        labels: names of the classes, where the source has them.
        count: how many classes there are, where the source says it.
    """

    name: str
    shape: tuple[int, ...]
    whole: bool
    labels: tuple[str, ...] = ()
    count: int | None = None


@dataclass(frozen=True)
class PortArray:
    """What the name of an array says, e.g. x_vibration_train.

    Attributes:
        side: "x" or "y".
        port: which of several, "" if there is one only.
        part: "train", "validation" or "test"; "" if they are not split.
    """

    side: str
    port: str
    part: str


def port_array(name: str) -> PortArray | None:
    """What the name of an array says; None if it is not the name of inputs or targets."""
    base, _, last = name.rpartition("_")
    part = SHORT.get(last, last)
    if part not in SPLITS or not base:
        base, part = name, ""
    found = re.fullmatch(r"([xy])(?:([1-9][0-9]?)|_([^/\\]{1,100}))?", base)
    return found and PortArray(found[1], found[2] or found[3] or "", part)


def several_of(names: Collection[str]) -> dict[str, PortArray]:
    """The arrays of a source with several inputs or targets, by their names; else nothing.

    Beside a plain x or y, arrays such as x_mean are not read, as any other name is not.
    """
    found = {name: one for name in names if (one := port_array(name)) is not None}
    plain = {one.side for one in found.values() if not one.port}
    read = {name: one for name, one in found.items() if not one.port or one.side not in plain}
    return read if any(one.port for one in read.values()) else {}
