"""What each column of a table is for: by its name, and by what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotiny.dataset.folders import SPLIT_NAMES
from autotiny.dataset.reading import Reading
from autotiny.errors import InvalidData, nearest, shown

LABEL_NAMES = ("label", "class", "target")
PART_NAMES = ("split", "set", "part")
PARTS = {name: part for part, names in enumerate(SPLIT_NAMES.values()) for name in names}
"""What the cells of a split column say → the number of the part."""

MOST_LISTED = 12


@dataclass(frozen=True)
class Columns:
    """What each column of a table is for; columns are places from 0.

    Attributes:
        names: of all; its number from 1 where a column has none.
        features: those that a sample is made of.
        labels: those that are to be predicted.
        group: whose rows of one value stay in one split.
        part: that says train, validation or test.
    """

    names: tuple[str, ...]
    features: tuple[int, ...]
    labels: tuple[int, ...] = ()
    group: int | None = None
    part: int | None = None

    @property
    def texts(self) -> tuple[int, ...]:
        """Those that are read as text."""
        return (*self.labels, *(one for one in (self.group, self.part) if one is not None))

    def called(self, place: int) -> str:
        """A column as messages call it: its name, or its number where it has none."""
        name = self.names[place]
        return f"column {name}" if name == str(place + 1) else f"column {shown(name)}"


def columns_of(
    names: tuple[str, ...] | None,
    first: Sequence[str],
    reading: Reading,
    where: str,
    *,
    labelled: bool,
) -> Columns:
    """What each column is for.

    Args:
        names: the header, if there is one.
        first: cells of the first row below it.
        reading: what the user says of them.
        where: the file, for messages.
        labelled: whether the class is told elsewhere, by the folder: no column holds it then.

    Raises:
        InvalidData: a column is unknown, meant twice, or it is open which one is the label.
    """
    if names is not None:
        names = tuple(" ".join(name.split()) for name in names)
        odd = [place for place, name in enumerate(names) if not name.isprintable()]
        if odd:
            raise InvalidData(
                f"{where}: column {odd[0] + 1} is called {shown(names[odd[0]])}; name it in "
                "characters that can be printed"
            )
    known = tuple(name or str(place + 1) for place, name in enumerate(names or [""] * len(first)))
    ignored = _places(reading.ignore, "ignore", known, names is not None, where)
    part = _part(names, first, ignored, where)
    group = _places(reading.group, "group", known, names is not None, where)
    if len(group) > 1:
        raise InvalidData(f"{where}: --group {shown(reading.group)} is two columns; give one")
    if labelled:
        labels: tuple[int, ...] = ()
        _check_no_label(known, ignored, where)
    elif reading.label is not None:
        labels = _places(reading.label, "label", known, names is not None, where)
    else:
        labels = (_usual_label(names, len(first), {*ignored, *group, part}, where),)
    roles = {"ignore": ignored, "label": labels, "group": group, "the split": (part,)}
    for place in range(len(known)):
        meant = [f"--{role}" if role in vars(reading) else role for role in roles
                 if place in roles[role]]  # fmt: skip
        if len(meant) > 1:
            raise InvalidData(
                f"{where}: column {shown(known[place])} is {meant[0]} and {meant[1]}; give it one"
            )
    taken = {place for places in roles.values() for place in places}
    features = tuple(place for place in range(len(known)) if place not in taken)
    if not features:
        raise InvalidData(
            f"{where} has no column left for the inputs; its columns are {listed(known)}"
        )
    return Columns(known, features, labels, group[0] if group else None, part)


def listed(names: Sequence[str]) -> str:
    """Names of columns for a message, the first of many."""
    first = ", ".join(name[:40] for name in names[:MOST_LISTED])
    return first + f", … ({len(names):,} columns)" * (len(names) > MOST_LISTED)


def _places(
    asked: str | None, option: str, names: Sequence[str], header: bool, where: str
) -> tuple[int, ...]:
    """The columns that an option names."""
    if asked is None:
        return ()
    whole = asked.strip()
    given = [whole] if whole in names else [one.strip() for one in whole.split(",")]
    places = [_place(one, option, names, header, where) for one in given if one]
    for place in places:
        if places.count(place) > 1:
            raise InvalidData(f"{where}: --{option} names column {shown(names[place])} twice")
    return tuple(places)


def _place(value: str, option: str, names: Sequence[str], header: bool, where: str) -> int:
    if names.count(value) > 1:
        raise InvalidData(
            f"{where} has {names.count(value)} columns {shown(value)}; give --{option} the number "
            f"of the one that is meant, the first is {names.index(value) + 1}"
        )
    if value in names:
        return names.index(value)
    if value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= len(names):
        return int(value) - 1
    if not header:
        raise InvalidData(
            f"unknown column {shown(value)} of --{option}; {where} has no header: give a number "
            f"from 1 to {len(names)}"
        )
    near = nearest(value, names)
    hint = f"did you mean {near!r}? " if near else ""
    raise InvalidData(
        f"unknown column {shown(value)} of --{option}; {hint}{where} has {listed(names)}"
    )


def _part(
    names: tuple[str, ...] | None, first: Sequence[str], ignored: Sequence[int], where: str
) -> int | None:
    """The column that says the split; a column of that name and of other values is a feature."""
    found = [
        place
        for place, name in enumerate(names or ())
        if name.casefold() in PART_NAMES
        and place not in ignored
        and first[place].strip().casefold() in PARTS
    ]
    if len(found) > 1:
        both = [names[place] for place in found[:2]] if names else []
        raise InvalidData(
            f"{where}: the columns {both[0]} and {both[1]} both say the split; --ignore {both[1]} "
            "leaves one out"
        )
    return found[0] if found else None


def _usual_label(
    names: tuple[str, ...] | None, width: int, taken: set[int | None], where: str
) -> int:
    """The label where none was named: by its name, or the last column where there are no names."""
    if names is None:
        last = next((place for place in reversed(range(width)) if place not in taken), None)
        if last is None:
            raise InvalidData(f"{where} has no column left for the label")
        return last
    folded = [name.casefold() for name in names]
    found = [place for place, name in enumerate(folded) if name in LABEL_NAMES]
    if not found and "z" not in folded:  # x, y, z are axes
        found = [place for place, name in enumerate(folded) if name == "y"]
    found = [place for place in found if place not in taken]
    if len(found) != 1:
        several = " and ".join(names[place] for place in found[:2])
        why = f"{several} could each be the label" if found else "no column is called label"
        raise InvalidData(f"{where}: {why}; --label NAME says which one is: it has {listed(names)}")
    return found[0]


def _check_no_label(names: Sequence[str], ignored: Sequence[int], where: str) -> None:
    """A column that holds the class would be an input that gives it away."""
    for place, name in enumerate(names):
        if name.casefold() in LABEL_NAMES and place not in ignored:
            raise InvalidData(
                f"{where} has a column {shown(name)}, and its folder names the class: --ignore "
                f"{name[:40]} leaves the column out"
            )
