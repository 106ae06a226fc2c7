"""Clean copies of model files: the checked configuration, and weights that are plain numbers.

A framework is handed the copy and never the file itself, so that what was checked is what is
built: no second table of contents, no link to another file, nothing that was not looked at.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.errors import InvalidModel
from autotiny.model.allowed.config import checked_config
from autotiny.model.allowed.sizes import LARGEST_WEIGHTS
from autotiny.model.allowed.values import Json, read_json

LARGEST_TEXT = 16 << 20
LARGEST_CHUNK = 64 << 20
DEEPEST_GROUP = 40
MOST_OBJECTS = 100_000
NAMES = ("layer_names", "weight_names", "name")
"""Attributes that loading goes by; long lists are split into `layer_names0`, `layer_names1`, …"""


@dataclass(frozen=True)
class CleanCopy:
    """What was taken over from a model file.

    Attributes:
        config: the checked configuration.
        file: a file of the same kind that holds it, with the weights.
        weights: a file that holds the weights; the same one, if it is HDF5.
        keras3: whether Keras 3 wrote the file.
        values: how many weights it has.
    """

    config: dict[str, Json]
    file: Path
    weights: Path
    keras3: bool
    values: int


def clean_keras(path: Path, folder: Path) -> CleanCopy:
    """A clean copy of a `.keras` file in a folder.

    Raises:
        InvalidModel: it is damaged, too large, or holds what autotiny does not read from a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = _member(archive, "config.json", LARGEST_TEXT, path)
            metadata = _member(archive, "metadata.json", LARGEST_TEXT, path)
            weights = _member(archive, "model.weights.h5", LARGEST_WEIGHTS + LARGEST_TEXT, path)
    except InvalidModel:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, RuntimeError,
            NotImplementedError, zlib.error) as damage:  # fmt: skip
        raise InvalidModel(
            f"{path} is not a Keras file ({damage}); model.save('name.keras') writes one"
        ) from damage
    facts = read_json(metadata, str(path))
    version = str(facts.get("keras_version", "")) if isinstance(facts, dict) else ""
    checked = checked_config(config, str(path), version.startswith("3"))
    stored, copied = folder / "stored.h5", folder / "model.weights.h5"
    stored.write_bytes(weights)
    values = _copy_h5(stored, copied, str(path), None)
    stored.unlink()
    target = folder / "model.keras"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("config.json", json.dumps(checked))
        archive.writestr("metadata.json", json.dumps({"keras_version": version[:40]}))
        archive.write(copied, "model.weights.h5")
    return CleanCopy(checked, target, copied, version.startswith("3"), values)


def _member(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    """The bytes of the one member of a name."""
    found = [entry for entry in archive.infolist() if entry.filename == name]
    if not found:
        raise KeyError(f"there is no {name} in it")
    if len(found) > 1:
        raise InvalidModel(f"{path}: it holds {name} twice; save the model again")
    if found[0].file_size > limit:
        raise InvalidModel(
            f"{path}: its {name} of {found[0].file_size:,} bytes is too large to be a model's; "
            f"at most {limit:,} are read"
        )
    return archive.read(found[0])


def clean_h5(path: Path, folder: Path) -> CleanCopy:
    """A clean copy of an HDF5 file in a folder.

    Raises:
        InvalidModel: it is damaged, too large, or holds what autotiny does not read from a file.
    """
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            written = _attribute(file, "model_config", str(path))
            version = str(_attribute(file, "keras_version", str(path)) or "")
            backend = str(_attribute(file, "backend", str(path)) or "tensorflow")
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as damage:
        raise InvalidModel(
            f"{path} is not an HDF5 file, or is truncated; model.save('name.h5') writes one"
        ) from damage
    if written is None:
        raise InvalidModel(
            f"{path} holds weights but no architecture; use model.save, not model.save_weights"
        )
    config = checked_config(written, str(path), version.startswith("3"))
    target = folder / "model.h5"
    attributes = {"model_config": json.dumps(config), "keras_version": version[:40],
                  "backend": backend[:40]}  # fmt: skip
    values = _copy_h5(path, target, str(path), attributes)
    return CleanCopy(config, target, target, version.startswith("3"), values)


def clean_stored(path: Path, target: Path) -> int:
    """A copy of an HDF5 model of ours: its configuration as text, its weights as plain numbers.

    Returns how many weights there are. What the configuration names is for others to check.

    Raises:
        InvalidModel: it is damaged, too large, or links elsewhere.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = ("model_config", "keras_version", "backend")
            found = {name: _attribute(file, name, str(path)) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as damage:
        raise InvalidModel(f"{path} is not an HDF5 file, or is truncated") from damage
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidModel(f"{path} lacks its configuration, or it is no text")
    return _copy_h5(path, target, str(path), {name: str(value) for name, value in found.items()})


def _attribute(owner: Any, name: str, where: str) -> Json:
    """An attribute of an HDF5 object, text as `str`; None if there is none."""
    if name not in owner.attrs:
        return None
    written = owner.attrs.get_id(name)
    if math.prod(written.shape or ()) * written.get_type().get_size() > LARGEST_TEXT:
        raise InvalidModel(f"{where}: its {name} is too large to be a model's")
    value = owner.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _copy_h5(path: Path, target: Path, where: str, attributes: dict[str, str] | None) -> int:
    """Copies the weights of an HDF5 file, and gives how many there are.

    Args:
        path: the file.
        target: the new file.
        where: what messages call the file.
        attributes: of the new file, if it is a whole model, whose weights are in one group.
    """
    import h5py

    copied = _Copied(where)
    try:
        with h5py.File(path, "r") as source, h5py.File(target, "w") as clean:
            if attributes is None:
                copied.group(source, clean, 0)
                return copied.values
            clean.attrs.update(attributes)
            if "model_weights" in source:
                if not isinstance(source.get("model_weights", getlink=True), h5py.HardLink):
                    raise InvalidModel(f"{where}: its model_weights are a link to elsewhere")
                group = clean.create_group("model_weights")
                group.attrs.update({k: v for k, v in attributes.items() if k != "model_config"})
                copied.group(source["model_weights"], group, 0)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as damage:
        raise InvalidModel(
            f"{where}: its weights are damaged ({str(damage)[:100]}); save the model again"
        ) from damage
    return copied.values


class _Copied:
    """What was copied of an HDF5 file so far."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.values = 0
        self.bytes = 0
        self.objects = 0

    def group(self, source: Any, target: Any, depth: int) -> None:
        """Copies groups and datasets; anything that leads out of the file is refused."""
        import h5py

        if not isinstance(source, h5py.Group) or depth > DEEPEST_GROUP:
            raise InvalidModel(f"{self.where}: its weights are nested too deeply, or no group")
        for name in list(source.attrs):
            if name.rstrip("0123456789") in NAMES:
                value = _attribute(source, name, self.where)
                if not isinstance(value, str) and _holds_numbers(np.asarray(value)):
                    raise InvalidModel(f"{self.where}: its {name} are no names")
                target.attrs[name] = value
        for name in source:
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise InvalidModel(f"{self.where}: it holds more than {MOST_OBJECTS:,} weights")
            link = source.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                to = getattr(link, "filename", None) or getattr(link, "path", "")
                raise InvalidModel(
                    f"{self.where}: {name!r:.80} in it is a link to {str(to)!r:.80}; weights must "
                    "be in the file itself, save the model again"
                )
            item = source[name]
            if isinstance(item, h5py.Dataset):
                self.dataset(item, target, name)
            else:
                self.group(item, target.create_group(name), depth + 1)

    def dataset(self, item: Any, target: Any, name: str) -> None:
        """Copies the numbers of one weight."""
        called = f"{self.where}: weight {name!r:.80}"
        if item.is_virtual or item.external:
            raise InvalidModel(f"{called} lies in another file, which is not read")
        if item.shape is None or item.dtype.kind not in "fiub" or item.dtype.names:
            raise InvalidModel(f"{called} is of type {str(item.dtype)[:40]}, not of numbers")
        stored = item.id.get_storage_size()
        self.bytes += item.nbytes
        if self.bytes > LARGEST_WEIGHTS:
            raise InvalidModel(
                f"{called} brings the weights to {self.bytes:,} bytes; at most "
                f"{LARGEST_WEIGHTS:,} are read"
            )
        if item.chunks is None and stored < item.nbytes:
            raise InvalidModel(
                f"{called} claims {item.nbytes:,} bytes where the file has {stored:,}; "
                "save the model again"
            )
        if item.chunks and np.prod(item.chunks, dtype=float) * item.dtype.itemsize > LARGEST_CHUNK:
            raise InvalidModel(f"{called} is stored in pieces of more than {LARGEST_CHUNK:,} bytes")
        self.values += item.size
        target.create_dataset(name, data=item[()])


def _holds_numbers(names: np.ndarray[Any, Any]) -> bool:
    return bool(names.size) and names.dtype.kind not in "SOU"
