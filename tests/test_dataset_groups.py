"""Folders in class folders as groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from autotiny.dataset import Dataset, Reading, load_dataset
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.model import tensorflow

BY_FOLDER = Reading(group="folder")
PEOPLE = [f"person{number}" for number in range(8)]
SPLITS = ("train", "validation", "test")


def write_sound(path: Path, mark: int) -> None:
    wavfile.write(path.with_suffix(".wav"), 16000, np.full(400, 100 * mark, np.int16))


def write_recording(path: Path, mark: int) -> None:
    rows = "".join(f"{100 * mark / 32768},{row % 3}\n" for row in range(20))
    path.with_suffix(".csv").write_text(f"a,b\n{rows}")


def write_image(path: Path, mark: int) -> None:
    tf = tensorflow()
    pixels = np.full((4, 4, 1), mark, np.uint8)
    path.with_suffix(".png").write_bytes(tf.io.encode_png(pixels).numpy())


KINDS = {
    "sounds": (write_sound, BY_FOLDER, 32768 / 100),
    "recordings": (write_recording, Reading(group="folder", window="5"), 32768 / 100),
    "images": (write_image, BY_FOLDER, 255),
}


def people(x: Array, scale: float) -> set[int]:
    """Whose samples they are: the first value says it."""
    return set(np.rint(x.reshape(len(x), -1)[:, 0] * scale).astype(int).tolist())


def fill(folder: Path, kind: str, classes: tuple[str, ...] = ("walk", "run")) -> None:
    for label in classes:
        for mark, person in enumerate(PEOPLE):
            (folder / label / person).mkdir(parents=True)
            for number in range(3):
                KINDS[kind][0](folder / label / person / str(number), mark)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_in_class_folders_stays_in_one_split(kind: str, tmp_path: Path) -> None:
    fill(tmp_path, kind)
    _, reading, scale = KINDS[kind]
    for seed in range(5):
        data = load_dataset(tmp_path, seed, reading)
        found = [people(data.parts[split][0], scale) for split in SPLITS]
        assert set.union(*found) == set(range(8))
        assert sum(map(len, found)) == 8  # a person is one group in both classes
        assert all(set(np.unique(data.parts[split][1])) == {0, 1} for split in SPLITS)
    assert "8 groups by folder, each of which stays in one split" in data.notes


def test_a_file_in_no_inner_folder_stands_alone(tmp_path: Path) -> None:
    fill(tmp_path, "sounds")
    for number in range(10):
        write_sound(tmp_path / "run" / f"alone{number}", 50 + number)
    data: Dataset = load_dataset(tmp_path, 0, BY_FOLDER)
    assert sum(len(y) for _, y in data.parts.values()) == 58
    assert any("18 groups" in note for note in data.notes)


def test_groups_of_given_splits_are_looked_at(tmp_path: Path) -> None:
    fill(tmp_path / "train", "sounds")
    fill(tmp_path / "test", "sounds")
    data = load_dataset(tmp_path, 0, BY_FOLDER)
    assert any("groups are in several splits" in note for note in data.notes)


def test_what_cannot_be_grouped_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "deep", "sounds")
    with pytest.raises(InvalidData, match="give --group folder to keep each such folder"):
        load_dataset(tmp_path / "deep")
    with pytest.raises(InvalidData, match=r"person' is given, but .* has no columns; --group f"):
        load_dataset(tmp_path / "deep", 0, Reading(group="person"))
    for label in "ab":
        (tmp_path / "flat" / label).mkdir(parents=True)
        write_sound(tmp_path / "flat" / label / "0", 1)
    with pytest.raises(InvalidData, match=r"no class folder of .* has a folder in it; put the"):
        load_dataset(tmp_path / "flat", 0, BY_FOLDER)
    (tmp_path / "deep" / "run" / PEOPLE[0] / "deeper").mkdir()
    with pytest.raises(InvalidData, match="deeper is a folder in the folder of a group; move"):
        load_dataset(tmp_path / "deep", 0, BY_FOLDER)
