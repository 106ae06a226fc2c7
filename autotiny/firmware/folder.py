"""Files written into a folder, and never out of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autotiny.errors import UserError


def write_files(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files by their names below a folder; their paths.

    Raises:
        UserError: one would lie outside; nothing is written then.
    """
    places = {name: _inside(folder, name) for name in files}
    for name, content in files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_bytes(content)
    return list(places.values())


def _inside(folder: Path, name: str) -> Path:
    """The path of a file.

    Raises:
        UserError: a link in the folder leads out of it.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{name!r} would be written to {path.resolve()}, outside {folder}")
    return path
