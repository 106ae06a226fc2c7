"""Literals of structs in generated C: C++ takes their fields in the order of the struct alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_STRUCT = re.compile(r"typedef struct \{(.*?)\} (at_\w+);", re.S)
_LITERAL = re.compile(r"(at_\w+)(?:\)| \w+ = )\{")


def misordered(files: Mapping[str, str]) -> list[str]:
    """The literals whose fields are not those of their struct, in its order, one line each."""
    structs = {
        name: fields
        for text in files.values()
        for body, name in _STRUCT.findall(text)
        for fields in [list(_declared(body))]
    }
    found = []
    for name, text in files.items():
        if name.endswith(".c"):
            for literal in _LITERAL.finditer(text):
                fields = _named(text, literal.end())
                known = structs.get(literal[1], fields)
                if fields and fields != known[: len(fields)]:
                    found.append(f"{literal[1]}: {' '.join(fields)}, not {' '.join(known)}")
    return found


def _declared(body: str) -> Iterator[str]:
    """The fields of a struct."""
    for declaration in re.sub(r"//.*|/\*.*?\*/", "", body).split(";"):
        for one in declaration.split(","):
            if one.strip():
                yield re.findall(r"\w+", one.partition("[")[0])[-1]


def _named(text: str, at: int) -> list[str]:
    """The fields that a literal names, without those of literals in it."""
    depth, fields = 1, []
    for part in re.finditer(r"[{}]|\.(\w+) =", text[at:]):
        depth += {"{": 1, "}": -1}.get(part[0], 0)
        if depth == 0:
            break
        if part[1] and depth == 1:
            fields.append(part[1])
    return fields
