"""Splits by `validation_list.txt` and `testing_list.txt`, as Speech Commands has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from autotiny.dataset import Dataset, Reading, load_dataset
from autotiny.errors import InvalidData

MOST = {"validation": range(3, 5), "test": range(5, 8)}
"""Numbers of the speakers of the lists."""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Two words of eight speakers, and a long clip of noise; a sound's values are its speaker's."""
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        for speaker in range(8):
            name = f"{speaker:08x}_nohash_0.wav"
            wavfile.write(tmp_path / label / name, 16000, np.full(800, 100 * speaker, np.int16))
    (tmp_path / "_background_noise_").mkdir()
    noise = np.zeros(160_000, np.int16)
    wavfile.write(tmp_path / "_background_noise_" / "white_noise.wav", 16000, noise)
    lists = {"validation": "validation_list.txt", "test": "testing_list.txt"}
    for split, name in lists.items():
        lines = [f"{label}/{speaker:08x}_nohash_0.wav\n" for label in ("yes", "no")
                 for speaker in MOST[split]]  # fmt: skip
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def speakers(data: Dataset, split: str) -> list[int]:
    x = data.parts[split][0]
    return sorted(np.rint(x[:, 0] * 32768 / 100).astype(int).tolist())


def test_lists_decide_the_splits(commands: Path) -> None:
    for seed in range(3):
        data = load_dataset(commands, seed)
        assert speakers(data, "train") == [0, 0, 1, 1, 2, 2]
        assert speakers(data, "validation") == [3, 3, 4, 4]
        assert speakers(data, "test") == [5, 5, 6, 6, 7, 7]
        assert data.labels == ("no", "yes")
    assert data.given
    assert "splits: by validation_list.txt and testing_list.txt" in data.notes
    assert "left out, as they are no classes: _background_noise_/" in data.notes
    assert not any("straddl" in note or "several splits" in note for note in data.notes)


def test_windows_of_one_file_are_in_its_split(commands: Path) -> None:
    data = load_dataset(commands, 0, Reading(window="400"))
    assert speakers(data, "test") == [5] * 4 + [6] * 4 + [7] * 4


def test_a_speaker_of_several_splits_is_told(commands: Path) -> None:
    path = commands / "testing_list.txt"
    path.write_text(path.read_text().replace("no/00000005", "no/00000001"))
    notes = load_dataset(commands).notes
    assert any("2 groups are in several splits" in note for note in notes)
    assert "8 speakers" in notes


def test_without_a_validation_list_it_comes_out_of_train(commands: Path) -> None:
    (commands / "validation_list.txt").unlink()
    data = load_dataset(commands)
    assert speakers(data, "test") == [5, 5, 6, 6, 7, 7]
    assert len(set(speakers(data, "train")) | set(speakers(data, "validation"))) == 5
    assert not set(speakers(data, "train")) & set(speakers(data, "validation"))


def test_entries_that_point_nowhere_are_counted(commands: Path) -> None:
    with (commands / "testing_list.txt").open("a") as file:
        file.write("\nno/ffffffff_nohash_0.wav\r\n_background_noise_/white_noise.wav\n")
    notes = load_dataset(commands).notes
    assert "testing_list.txt names 2 files that are not here, of 8" in notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("../outside.wav\n", r"testing_list.txt: line 1 is '../outside.wav', which leads out"),
        ("\nyes/../../o.wav\n", r"line 2 is 'yes/../../o.wav', which leads out of the folder"),
        ("/etc/passwd\n", r"line 1 is '/etc/passwd', which leads out"),
        ("maybe/1.wav\n", r"names no file that is here, such as 'maybe/1.wav'; its lines are"),
        ("no/00000003_nohash_0.wav\n", r"line 1 is .*, which validation_list.txt has too; remove"),
        ("\n \n", r"testing_list.txt names no file; fill it, or remove it"),
        ("\udcff", r"testing_list.txt is not UTF-8 \(byte 0xff\); save it as UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(commands: Path, text: str, message: str) -> None:
    (commands / "testing_list.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidData, match=message) as refusal:
        load_dataset(commands)
    assert "\n" not in str(refusal.value)


def test_lists_alone_or_beside_split_folders_are_refused(commands: Path, tmp_path: Path) -> None:
    (commands / "testing_list.txt").rename(tmp_path / "kept")
    with pytest.raises(InvalidData, match=r"has validation_list.txt and no testing_list.txt; add"):
        load_dataset(commands)
    for split in ("train", "test"):
        (commands / split).mkdir()
    (commands / "yes").rename(commands / "train" / "yes")
    (commands / "no").rename(commands / "train" / "no")
    (commands / "test" / "yes").mkdir()
    (tmp_path / "train" / "yes" / "00000000_nohash_0.wav").rename(
        commands / "test" / "yes" / "00000000_nohash_0.wav"
    )
    with pytest.raises(InvalidData, match="has both train/ and lists of files"):
        load_dataset(commands)
