"""Files written into a folder, and never out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from autotiny.errors import UserError


def write_files(
    files: Mapping[str, bytes], folder: Path, generated: Collection[str] = ()
) -> list[Path]:
    """Write files by their names below a folder; their paths.

    Args:
        files: what is in them.
        folder: where to.
        generated: names of files that go where they are of an earlier act, and not of this one.

    Raises:
        UserError: one would lie outside; nothing is written then.
    """
    places = {name: _inside(folder, name) for name in files}
    stale = [_inside(folder, name) for name in generated if name not in files]
    for path in stale:
        path.unlink(missing_ok=True)
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
