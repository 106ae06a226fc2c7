"""What a user writes, checked in one way: tables become the dataclasses that state what may stand.

Whether a value has the type and the range of its field is msgspec's to decide: it keeps `true` out
of numbers and text out of both, and takes 0.7 MB and no other package. cattrs reads 1.5 as 1 and
`true` as 1; pydantic, made strict, wants instances in place of tables, and takes 10 MB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import lru_cache
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from autotiny.errors import LONGEST, UserError, nearest, shown

Within = msgspec.Meta
"""The bounds of a number, on its field: `sparsity: Annotated[float, Within(ge=0, lt=1)] = 0.5`.
A `description` says in errors what else than the type it must be."""

Seed: TypeAlias = Annotated[int, Within(ge=0, le=2**31 - 1)]
"""What decides everything random; libraries take 32 bits, and studies count up from it."""

Epochs: TypeAlias = Annotated[int, Within(ge=1, le=1_000_000)]
"""Upper limit of a fine-tune."""

NUMBERS: Mapping[str, Any] = {
    "seed": Seed,
    "epochs": Epochs,
    "trials": Annotated[int, Within(ge=1, le=1_000_000)] | None,
    "seeds": Annotated[int, Within(ge=1, le=10_000)],
    "solve": Annotated[int, Within(ge=0, le=64)],
    "points": Annotated[int, Within(ge=1, le=64)],
    "patches": Annotated[int, Within(ge=0, le=12)],
    "jobs": Annotated[int, Within(ge=1, le=256)] | None,
    "timeout": Annotated[float, Within(ge=0, le=1e9)] | None,
    "accuracy_drop": Annotated[float, Within(ge=0, le=1)] | None,
    "repeat": Annotated[int, Within(ge=1, le=1_000_000)] | None,
    "wait_states": Annotated[int, Within(ge=0, le=65_536)] | None,
}
"""The numbers that functions take, by their name there and in commands."""

_Record = TypeVar("_Record")
_WORDS = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false",
    dict: "a table", list: "a list",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What moves a terminal's cursor, or worse, when it is printed; line breaks and tabs do not."""
_MISFITS = (msgspec.ValidationError, UnicodeError)  # the latter for lone surrogates


@dataclass(frozen=True)
class Wording:
    """How errors about one kind of table read; texts for `str.format`.

    `place` is the table, `key` and `value` what stands in it, `rule` the rule in words, `type` the
    type as Python calls it, `near` the question whether a similar name was meant.

    Attributes:
        keys: what its keys are called.
        wrong: a value of a wrong type.
        outside: a number out of its range.
        choice: a word that is none of those allowed.
        missing: a key that is needed.
        unknown: a key that there is not.
        inner: what to call a table that stands in the table.
    """

    keys: str
    wrong: str
    outside: str
    choice: str
    missing: str
    unknown: str
    inner: str = "{place}: {key}"


TABLE = Wording(
    keys="keys",
    wrong="{place}: {key} = {value}; it must be {rule}",
    outside="{place}: {key} = {value}; it must be {rule}",
    choice="{place}: {key} = {value}; {near}it must be one of {choices}",
    missing="{place}: {key} is missing; it must be {rule}",
    unknown="{place}: unknown key {key!r}; {near}",
)
"""A table of a TOML file."""

_ARGUMENTS = Wording(
    keys="arguments",
    wrong="{key} = {value}; it must be {rule}",
    outside="{key} = {value}; it must be {rule}",
    choice="{key} = {value}; {near}it must be one of {choices}",
    missing="{key} is missing; it must be {rule}",
    unknown="unknown argument {key!r}; {near}",
)


def arguments(**given: Any) -> dict[str, Any]:
    """Numbers that were given to a function, each of the type and range that `NUMBERS` states.

    NumPy's numbers stand for Python's.

    Raises:
        UserError: one is not of that type, or out of its range.
    """
    return {
        name: fitted(_plain(value), NUMBERS[name], name, "", _ARGUMENTS)
        for name, value in given.items()
    }


def _plain(value: Any) -> Any:
    numpys = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if numpys else value


def filled(
    kind: type[_Record], table: Mapping[str, Any], place: str, wording: Wording, **given: Any
) -> _Record:
    """A dataclass from a table, each value of its field's type and range.

    A field is read from the key that its metadata names as "key", or else from that of its name.

    Args:
        kind: the dataclass; fields that are dataclasses, or tuples of them, are filled as well.
        table: what the user wrote.
        place: what errors call the table.
        wording: how they read.
        given: values of fields that do not stand in the table.

    Raises:
        UserError: a key is unknown or missing, or a value breaks the rule of its field.
    """
    record: object = kind
    hints = hints_of(record)
    keys = {_key(entry): entry for entry in _fields(kind) if entry.name not in given}
    for key in table:
        if key not in keys:
            near = near_to(key, keys) or f"known {wording.keys}: {', '.join(keys) or 'none'}"
            raise UserError(
                wording.unknown.format(place=place, key=key[:LONGEST], near=near.rstrip())
            )
    values = dict(given)
    for key, entry in keys.items():
        hint = hints[entry.name]
        if key in table:
            values[entry.name] = fitted(table[key], hint, key, place, wording)
        elif type(None) in get_args(hint):
            values[entry.name] = None
        elif entry.default is MISSING and entry.default_factory is MISSING:
            text = wording.missing.format(place=place, key=key, rule=_rule(hint), type=_type(hint))
            raise UserError(text)
    return kind(**values)


def fitted(value: Any, hint: Any, key: str, place: str, wording: Wording) -> Any:
    """A value as its type wants it: lists become tuples, whole numbers may stand for floats.

    Raises:
        UserError: it is not of that type, or out of its range.
    """
    if type(None) in get_args(hint):
        if value is None:
            return None
        hint = Union[tuple(one for one in get_args(hint) if one is not type(None))]  # noqa: UP007
    record = next((one for one in (hint, *get_args(hint)) if is_dataclass(one)), None)
    if isinstance(record, type) and isinstance(value, dict):
        return filled(record, value, wording.inner.format(place=place, key=key), wording)
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        item, *_ = get_args(hint)
        names = [_name_of(key, one, index, record) for index, one in enumerate(value)]
        return tuple(
            fitted(one, item, name, place, wording) for one, name in zip(value, names, strict=True)
        )
    if get_origin(hint) in (dict, Mapping) and isinstance(value, dict):
        _, item = get_args(hint)
        return {
            name: fitted(one, item, f"{key}.{name}", place, wording) for name, one in value.items()
        }
    if isinstance(value, str) and _CONTROL.search(value):
        rule = "text without control characters"
        text = wording.wrong.format(place=place, key=key, value=shown(value), rule=rule, type=rule)
        raise UserError(text)
    infinite = isinstance(value, float) and not math.isfinite(value) and hint is not Any
    try:
        if not infinite:
            return msgspec.convert(value, hint)
    except _MISFITS:
        pass
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if choices and isinstance(value, str):
        text, rule = wording.choice, ""
    elif _fits(value, bare(hint)):
        text, rule = wording.outside, "a finite number" if infinite else bounds_text(hint)
    else:
        text, rule = wording.wrong, _rule(hint)
    raise UserError(
        text.format(
            place=place,
            key=key,
            value=shown(value),
            rule=rule,
            type=_type(hint),
            near=near_to(value, choices),
            choices=", ".join(map(str, choices)),
        )
    )


def _name_of(key: str, item: Any, index: int, record: object) -> str:
    """What errors call an entry of a list: a table by its own name, if it has one."""
    if record is not None and isinstance(item, dict):
        return f"{key} {shown(item.get('name', index + 1))}"
    return f"{key}[{index}]"


def _fits(value: Any, hint: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except _MISFITS:
        return False
    return True


def near_to(value: Any, known: Iterable[Any]) -> str:
    """The question whether the nearest of some names was meant, or nothing if none is near."""
    near = nearest(str(value), map(str, known))
    return f"did you mean {near!r}? " if near else ""


@lru_cache
def hints_of(kind: object) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges."""
    hints = get_type_hints(kind, include_extras=True)
    return {entry.name: hints[entry.name] for entry in _fields(kind)}  # type: ignore[arg-type]


def bare(hint: Any) -> Any:
    """A type without its range."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def range_of(hint: Any) -> Within | None:
    """The range that a type states."""
    return next((one for one in get_args(hint) if isinstance(one, Within)), None)


def bounds_text(hint: Any) -> str:
    """The range of a type in words, e.g. "from 0 to 1"; "" if it has none."""
    bounds = range_of(hint)
    if bounds is None:
        return ""
    zero = "zero" if bounds.gt == 0 else bounds.gt
    low = f"above {zero}" if bounds.ge is None else f"at least {bounds.ge}"
    high = f"below {bounds.lt}" if bounds.le is None else f"at most {bounds.le}"
    has_low = bounds.ge is not None or bounds.gt is not None
    has_high = bounds.le is not None or bounds.lt is not None
    ends = " and ".join([*([low] if has_low else []), *([high] if has_high else [])])
    if bounds.ge is not None and bounds.le is not None:
        ends = f"from {bounds.ge} to {bounds.le}"
    several = f"a multiple of {bounds.multiple_of}" if bounds.multiple_of is not None else ""
    return f"{several} {ends}".strip()


def _rule(hint: Any) -> str:
    """What a value of a type must be, in words; its own, if it has some."""
    stated = range_of(hint)
    if stated is not None and stated.description:
        return stated.description
    if hint == int | float:
        return "a number"
    if is_dataclass(hint):
        return "a table"
    plain = bare(hint)
    origin = get_origin(plain) or plain
    if origin is Literal:
        return "text"
    return _WORDS.get({tuple: list, Mapping: dict}.get(origin, origin), str(origin))


def _type(hint: Any) -> str:
    """What a value of a type must be, as Python calls it."""
    plain = bare(hint)
    if is_dataclass(plain):
        return "dict"
    if get_origin(plain) is Literal:
        return " or ".join(map(repr, get_args(plain)))
    origin = get_origin(plain) or plain
    return {tuple: "list", Mapping: "dict"}.get(origin) or str(getattr(origin, "__name__", plain))


def _fields(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind)


def _key(entry: Field[Any]) -> str:
    return str(entry.metadata.get("key", entry.name))
