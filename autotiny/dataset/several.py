"""Samples of several inputs, or with several targets: arrays named x1 and x2, or x_<input>.

The inputs of a sample stand side by side as one flat row, and so do its targets; `Dataset.ports`
and `Dataset.answers` say how the rows are cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autotiny.dataset.pile import Pile
from autotiny.dataset.ports import Answer, InputPort, several_of
from autotiny.dataset.reading import Reading, Targets, scaled, targets_of
from autotiny.dataset.samples import Dataset, dataset_of
from autotiny.dataset.splitting import parts_of
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array
from autotiny.model import cut, joined
from autotiny.tasks import SPLITS

LARGEST_WHOLE = 1 << 24
"""Whole numbers up to it are exact in float32, as which targets stand side by side."""

SIDES = {"x": "inputs", "y": "targets"}


@dataclass(frozen=True, eq=False)
class _Side:
    """The arrays of one side, in the order of the ports: each of all splits, one behind the other.

    Attributes:
        names: of the ports; ("",) where there is one only.
        values: (N, …) a port.
        lengths: how many samples each split has.
    """

    names: tuple[str, ...]
    values: tuple[Array, ...]
    lengths: tuple[int, ...]


def from_ports(
    arrays: Mapping[str, Array], name: str, where: str, seed: int, reading: Reading,
    groups: Array | None = None,
) -> Dataset:  # fmt: skip
    """The data set of arrays of several inputs or targets, split by seed where they are not split.

    Args:
        arrays: by their names, as an `.npz` file has them.
        name: of the data.
        where: it lies, for messages.
        seed: decides which samples are train, validation and test.
        reading: how inputs are scaled.
        groups: (N,) numbers; samples of equal ones stay in one split.

    Raises:
        InvalidData: an array is missing, or is not as long as the others.
    """
    read = several_of(arrays)
    parts = tuple(part for part in ("", *SPLITS) if any(one.part == part for one in read.values()))
    if "" in parts and len(parts) > 1:
        odd = next(one for one, said in read.items() if said.part)
        raise InvalidData(
            f"{where} holds {odd} beside arrays that are not split; split all, or none"
        )
    if parts != ("",):
        parts = SPLITS if "validation" in parts else ("train", "test")
    x, y = (_side(side, arrays, parts, where) for side in "xy")
    _check_lengths(x, y, parts, where)
    ports, rows = _inputs(x, name, reading)
    answers, targets, first = _targets(y, name)
    given = None
    if parts != ("",):
        numbers = [SPLITS.index(part) for part in parts]
        given = np.repeat(numbers, x.lengths).astype(np.uint8)
    pile = Pile(name, rows, first.values, labels=first.names, groups=groups, parts=given)
    if groups is not None and len(groups) != len(rows):
        raise InvalidData(
            f"{where} has {len(rows)} samples but {len(groups)} groups; each sample needs one"
        )
    placed = parts_of(pile, seed)
    places = [np.flatnonzero(placed == number) for number in range(len(SPLITS))]
    found = dataset_of(
        name, tuple(rows[one] for one in places), tuple(targets.values[one] for one in places),
        targets.names, targets.count, None if len(ports) > 1 else ports[0].inputs,
        given=given is not None,
    )  # fmt: skip
    if len(ports) == 1:
        return replace(found, answers=answers)
    return replace(found, ports=ports, answers=answers)


def _side(side: str, arrays: Mapping[str, Array], parts: tuple[str, ...], where: str) -> _Side:
    """The arrays of inputs or targets."""
    read = {one: said for one, said in several_of(arrays).items() if said.side == side}
    names = list(dict.fromkeys(said.port for said in read.values()))
    numbers = [port for port in names if port.isdigit()]
    if numbers and len(numbers) < len(names):
        named = next(port for port in names if not port.isdigit())
        raise InvalidData(
            f"{where} holds {side}{numbers[0]} and {side}_{named}; number all, or name all as the "
            "network does"
        )
    names = sorted(names, key=int) if numbers else names
    by = {(said.port, said.part): arrays[one] for one, said in read.items()}
    twice = [one for one in read if one.endswith("_val") and f"{one}idation" in read]
    if twice:
        raise InvalidData(
            f"{where} holds {twice[0]} and {twice[0]}idation, which mean the same; give one"
        )
    lacking = [_array_name(side, port, part) for port in names for part in parts
               if (port, part) not in by]  # fmt: skip
    if lacking or not names:
        raise InvalidData(f"{where} lacks {(lacking or [side])[0]}; it holds {', '.join(arrays)}")
    values: list[Array] = []
    lengths: tuple[int, ...] = ()
    for port in names:
        own = [by[port, part] for part in parts]
        if len({one.shape[1:] for one in own}) > 1 or any(one.ndim == 0 for one in own):
            shapes = " and ".join(str(one.shape) for one in own)
            label = _array_name(side, port, "")
            raise InvalidData(f"{where}: the parts of {label} have the shapes {shapes}; all need "
                              "a row a sample, and samples of one shape")  # fmt: skip
        found = tuple(len(one) for one in own)
        lengths = lengths or found
        for part, length, first in zip(parts, found, lengths, strict=True):
            if length != first:
                raise InvalidData(
                    f"{where}: {_array_name(side, names[0], part)} has {first} samples, "
                    f"{_array_name(side, port, part)} {length}; each sample needs all of them"
                )
        values.append(own[0] if len(own) == 1 else np.concatenate(own))
    return _Side(tuple(names), tuple(values), lengths)


def _array_name(side: str, port: str, part: str) -> str:
    base = side + (port if port.isdigit() else f"_{port}" if port else "")
    return f"{base}_{part}" if part else base


def _check_lengths(x: _Side, y: _Side, parts: tuple[str, ...], where: str) -> None:
    for part, inputs, targets in zip(parts, x.lengths, y.lengths, strict=True):
        if inputs != targets:
            raise InvalidData(
                f"{where}: {_array_name('x', x.names[0], part)} has {inputs} samples, "
                f"{_array_name('y', y.names[0], part)} {targets}; each sample needs both"
            )


def _inputs(x: _Side, name: str, reading: Reading) -> tuple[tuple[InputPort, ...], Array]:
    """What was made of each input, and all of them side by side; one alone keeps its shape."""
    types = {one.dtype.name for one in x.values}
    if len(types) > 1 and reading.factor not in (None, 1.0):
        raise InvalidData(
            f"{name}: inputs are of several types, {', '.join(sorted(types))}, and --scale "
            f"{reading.scale} would scale all of them; give all in one type, or scaled already"
        )
    ports, parts = [], []
    for port, values in zip(x.names, x.values, strict=True):
        label = _array_name("x", port, "")
        rows = values.reshape(-1, 1) if values.ndim == 1 else values
        made, inputs = scaled({label: rows}, f"{name}: {label}", reading)
        ports.append(InputPort(port, rows.shape[1:], inputs))
        parts.append(made[label])
    return tuple(ports), joined(parts)


def _targets(y: _Side, name: str) -> tuple[tuple[Answer, ...], Targets, Targets]:
    """How targets are cut, all of them side by side, and those that decide the split.

    Classes are in every part; where several targets are classes, those of the first.
    """
    each = [
        targets_of(values, f"{name}: {_array_name('y', port, '')}")
        for port, values in zip(y.names, y.values, strict=True)
    ]
    if len(each) == 1:
        return (), each[0], each[0]
    answers = []
    for port, found in zip(y.names, each, strict=True):
        whole = found.values.dtype.kind != "f"
        if whole and np.abs(found.values.astype(np.float64)).max() > LARGEST_WHOLE:
            raise InvalidData(
                f"{name}: {_array_name('y', port, '')} has whole numbers beyond "
                f"{LARGEST_WHOLE:,}, which are not exact beside other targets; give them in a "
                "larger unit"
            )
        shape = tuple(found.values.shape[1:])
        answers.append(Answer(port, shape, whole, found.names, found.count))
    flat = joined([found.values.astype(np.float32) for found in each])
    classes = [found for found in each if found.values.ndim == 1 and found.values.dtype.kind != "f"]
    return tuple(answers), Targets(flat), (classes or each)[0]


def in_order(data: Dataset, inputs: Sequence[str], answers: Sequence[str]) -> Dataset:
    """The same samples with inputs and targets in the order of these names.

    Raises:
        InvalidData: the data has others.
    """
    changed: dict[str, Any] = {}
    for side, ports, wanted in (("x", data.ports, inputs), ("y", data.answers, answers)):
        names = [port.name for port in ports]
        if sorted(names) != sorted(wanted):
            raise InvalidData(
                f"{data.name} has the {SIDES[side]} {', '.join(map(shown, names)) or 'of one'}, "
                f"the model {', '.join(map(shown, wanted)) or 'one'}; name the arrays "
                f"{side}_<name> as the model does, or number them {side}1, {side}2, …"
            )
        order = [names.index(name) for name in wanted]
        if order == sorted(order):
            continue
        shapes = [port.shape for port in ports]
        changed["ports" if side == "x" else "answers"] = tuple(ports[place] for place in order)
        for split in SPLITS:
            stored = data.parts[split][0] if side == "x" else data.facts().parts[split]
            parts = cut(stored, shapes)
            rows = joined([parts[place] for place in order])
            changed[f"{side}_{split}"] = rows
    if "answers" in changed:
        changed["stored"] = {split: changed[f"y_{split}"] for split in SPLITS}
    return replace(data, **changed)


def answers_of(data: Dataset) -> list[dict[str, Array]]:
    """The targets of each output by split, (N, …), whole numbers where they are stored as such."""
    stored = data.facts().parts
    shapes = [answer.shape for answer in data.answers]
    each: list[dict[str, Array]] = [{} for _ in shapes]
    for split in SPLITS:
        cuts = cut(stored[split], shapes)
        for found, answer, values in zip(each, data.answers, cuts, strict=True):
            found[split] = np.rint(values).astype(np.int32) if answer.whole else values
    return each
