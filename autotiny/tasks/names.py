"""Classes, counts and shapes for the reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autotiny.errors import shown

MOST_NAMED = 20
"""Classes that are described one by one."""


def class_name(number: int, labels: tuple[str, ...]) -> str:
    """A class as users know it: its number, with its name where the source has one."""
    name = labels[number] if number < len(labels) else str(number)
    name = name if name.isprintable() else shown(name)
    return name if name == str(number) else f"{number} = {name}"


def counted(names: Sequence[str], counts: Iterable[int]) -> str:
    """Names with how many samples each has."""
    return ", ".join(f"{name} ({n:,})" for name, n in zip(names, counts, strict=True))


def listed_missing(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:MOST_NAMED]) + (", …" * (len(names) > MOST_NAMED))


def shape_text(shape: Sequence[int]) -> str:
    """A shape for the reader, e.g. 28×28."""
    return "×".join(str(size) for size in shape) or "one value"


def output_name(name: str) -> str:
    """One of several outputs, by its name or its number."""
    return f"output {name}"
