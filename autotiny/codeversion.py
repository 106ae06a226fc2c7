"""Which code made a value: a digest for the key of everything that is kept in the cache.

What a value depends on is read from the imports of the module that made it; no list says it. So
an edit makes anew what hangs on it, and leaves the rest of the cache alone.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from autotiny.cache import digest, key_of

ROOT = Path(__file__).parent
PACKAGE = "autotiny"

_CHOICES = ".toml"
"""Targets and spaces: a user chooses among them, and what the chosen one says stands in the key.
An installed package holds them, a checkout has them beside it."""


@cache
def code_version(*modules: str) -> str:
    """A digest of modules and of everything within autotiny that they import, however deep.

    The source counts, with the data files that a module names, and the versions of the packages
    that are called. Imports inside functions count, those for type checkers do not. A name that
    a package hands on leads to the module that defines it, and not to all that the package imports.

    Args:
        modules: dotted names, as `__name__` and `__module__` give them.
    """
    reached = reachable(*modules)
    packages = sorted({name for module in reached for name in _source(module).packages})
    return key_of(
        source_version(*modules),
        *((package, _package_version(package)) for package in packages),
    )


@cache
def source_version(*modules: str) -> str:
    """The same of autotiny's source alone: one on every machine that has this autotiny."""
    return key_of(*((module, _source(module).digest) for module in reachable(*modules)))


def reachable(*modules: str) -> tuple[str, ...]:
    """The modules themselves and those of autotiny that they import, however deep; by name."""
    reached: set[str] = set()
    left = list(modules)
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left.extend(_definer(*wanted) for wanted in _source(module).wanted)
    return tuple(sorted(reached))


@dataclass(frozen=True)
class _Source:
    """What one module says.

    Attributes:
        digest: of its text and of the data files that it names.
        wanted: what it imports from autotiny: (module, name in it); "" is the module itself.
        hands_on: the names that it imports for others too, and where each comes from.
        packages: the packages of others that it imports.
    """

    digest: str
    wanted: frozenset[tuple[str, str]] = frozenset()
    hands_on: tuple[tuple[str, tuple[str, str]], ...] = ()
    packages: frozenset[str] = frozenset()


@cache
def _source(module: str) -> _Source:
    path = _path(module)
    if path is None:  # typed in by hand
        return _Source("")
    text = path.read_text(encoding="utf-8")
    known = key_of(hashlib.sha256(text.encode()).hexdigest(), *_data_files(path.parent, text))
    return replace(_imports(text, module, path.name == "__init__.py"), digest=known)


@cache
def _imports(text: str, module: str, inside: bool) -> _Source:
    """What a text says, but for its digest; `inside` of a package's own file."""
    tree = ast.parse(text)

    def imported(nodes: Iterable[ast.stmt]) -> list[tuple[str, str, str]]:
        return [found for node in nodes for found in _imported(node, module, inside)]

    imports, handed = imported(_statements(tree.body)), imported(tree.body)
    ours = {(where, name) for where, name, _ in imports if where.split(".")[0] == PACKAGE}
    others = {where.split(".")[0] for where, _, _ in imports} - {PACKAGE} - sys.stdlib_module_names
    return _Source(
        digest="",
        wanted=frozenset(ours),
        hands_on=tuple((alias, (where, name)) for where, name, alias in handed if alias),
        packages=frozenset(others),
    )


def _path(module: str) -> Path | None:
    """The file of a module: of autotiny, or of someone else's component."""
    first, *parts = module.split(".")
    if first != PACKAGE:
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file) if file and file.endswith(".py") else None
    place = ROOT.joinpath(*parts)
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _is_module(module: str) -> bool:
    path = _path(module)
    return path is not None and path.is_file()


def _definer(module: str, name: str) -> str:
    """The module that defines a name which another one hands on."""
    path = _path(module)
    if not name or path is None or path.name != "__init__.py":
        return module
    origin = dict(_source(module).hands_on).get(name)
    # A package that imports one of its own modules by name hands on the module.
    if origin and origin != (module, name) and origin[0].split(".")[0] == PACKAGE:
        return _definer(*origin)
    part = f"{module}.{name}"
    return part if _is_module(part) else module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, those inside others too, but for what only a type checker sees."""
    for node in body:
        yield node
        unseen = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in ("orelse",) if unseen else ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, part, []))
        for branch in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(branch.body)


def _imported(node: ast.stmt, module: str, inside: bool) -> Iterator[tuple[str, str, str]]:
    """(module, name in it, name it gets here) of what one statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, "", alias.asname or ""
    elif isinstance(node, ast.ImportFrom):
        where = node.module or ""
        if node.level:
            parts = module.split(".")
            above = parts[: len(parts) - node.level + inside]
            where = ".".join((*above, where) if where else above)
        for alias in node.names:
            yield where, alias.name, alias.asname or alias.name


def _data_files(folder: Path, text: str) -> list[tuple[str, str]]:
    """Name and digest of the files beside a module that it names, be it by their folder."""
    return [
        (file.relative_to(folder).as_posix(), _digest(file))
        for name, files in _data_beside(folder)
        if f'"{name}"' in text
        for file in files
    ]


@cache
def _data_beside(folder: Path) -> tuple[tuple[str, tuple[Path, ...]], ...]:
    """The data files of a folder, and its folders of them."""
    found = []
    for entry in sorted(folder.iterdir()):
        files = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        files = [file for file in files if file.is_file() and file.suffix != _CHOICES]
        if files and not any(file.suffix in (".py", ".pyc") for file in files):
            found.append((entry.name, tuple(files)))
    return tuple(found)


@cache
def _digest(file: Path) -> str:
    return digest(file)


@cache
def _package_version(package: str) -> str:
    """The version of what is imported under a name; "" if it is not installed."""
    try:
        found = metadata.version(package)
        # setuptools puts copies of its own on the path of a process that happens to import it.
        where = Path(str(metadata.distribution(package).locate_file("")))
        return "" if "_vendor" in where.parts else found
    except metadata.PackageNotFoundError:
        # Few are distributed under another name than they are imported by.
        starts = (f"{package}/__init__.py,", f"{package}.py,")
        holders = [d for d in metadata.distributions() if _holds(d.read_text("RECORD"), starts)]
        return " ".join(sorted({f"{each.name} {each.version}" for each in holders}))


def _holds(record: str | None, starts: tuple[str, ...]) -> bool:
    return record is not None and any(f"\n{start}" in f"\n{record}" for start in starts)
