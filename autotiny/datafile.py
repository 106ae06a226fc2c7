"""TOML files that come with autotiny by name or are a user's own by path, and whole writing."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotiny.errors import UserError, shown, unknown
from autotiny.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


SCHEMA = 1
"""Version of these files; raised when an old file would mean something else."""


@dataclass(frozen=True)
class DataFiles:
    """The files of one kind.

    Attributes:
        folder: where those of autotiny lie.
        kind: what one stands for, e.g. "target".
        listing: the command that lists them.
    """

    folder: str
    kind: str
    listing: str

    def names(self) -> list[str]:
        """The names of all files that come with autotiny."""
        return sorted(path.stem for path in data_folder(self.folder).glob("*.toml"))

    def read(self, name_or_path: str) -> tuple[Path, dict[str, Any]]:
        """Where the file lies, and its content but for its schema number.

        Raises:
            UserError: there is no such file, it is not TOML, or of another schema.
        """
        path = Path(name_or_path)
        if path.suffix != ".toml" and len(path.parts) == 1:
            path = data_folder(self.folder) / f"{name_or_path}.toml"
            if not path.is_file():
                raise unknown(self.kind, name_or_path, self.names(), self.listing)
        if not path.is_file():
            raise UserError(
                f"there is no {self.kind} file {name_or_path!r}; give the path of a .toml file, "
                f"or a name that {self.listing!r} lists"
            )
        try:
            table = toml_of(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not TOML: {error}") from error
        schema = table.pop("schema", SCHEMA)  # files of 0.1.0 have none
        if type(schema) is not int or schema < 1:
            raise UserError(f"{path}: schema = {shown(schema)}; it must be {SCHEMA}, or left out")
        if schema > SCHEMA:
            raise UserError(
                f"{path}: schema = {shown(schema)}; written for a later autotiny, this is "
                f"{__version__} and reads schema {SCHEMA}: update autotiny"
            )
        return path, table


def toml_of(text: str) -> dict[str, Any]:
    """What a text in TOML says.

    Raises:
        ValueError: it is none.
        RecursionError: it is too deep.
    """
    table: dict[str, Any] = tomllib.loads(text)
    return table


def data_folder(name: str) -> Path:
    """The folder of data files: inside the installed package, else at the top of the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file in one act: whoever is interrupted, or finds the disk full, leaves the old one.

    Raises:
        OSError: as the system does.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
