import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.dataset import Reading, reading
from autotiny.dataset.folders import holds
from autotiny.dataset.pile import Pile
from autotiny.dataset.sounds import SOUNDS, is_sounds, sounds
from autotiny.dataset.wav import frames_at, wav_header, wav_samples
from autotiny.errors import InvalidData
from autotiny.graph import Array


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def wav(
    samples: Array,
    rate: int = 8000,
    *,
    bits: int = 16,
    floats: bool = False,
    extended: bool = False,
) -> bytes:
    """A WAV file of samples in [-1, 1], (n,) or (n, channels)."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if floats:
        data = samples.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        data = np.round(samples * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = np.round(samples * (2.0 ** (bits - 1) - 1)).astype("<i8").reshape(-1, 1)
        data = whole.view(np.uint8)[:, : bits // 8].tobytes()
    tag = 3 if floats else 1
    align = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", 0xFFFE if extended else tag, channels, rate, rate * align, align, bits
    )
    if extended:
        guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        form += struct.pack("<HHI", 22, bits, 0) + guid
    inner = b"WAVE" + chunk(b"fmt ", form) + chunk(b"LIST", b"odd") + chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def tone(samples: int, rate: int = 8000, hertz: float = 440) -> Array:
    wave: Array = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)
    return wave


def folder_of(folder: Path, **files: bytes) -> Path:
    """Classes a and b; a key `a_x` is the file a/x.wav."""
    for name, content in files.items():
        label, _, stem = name.partition("_")
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{stem}.wav").write_bytes(content)
    return folder


def read(folder: Path, **asked: Any) -> Pile:
    return sounds(folder, Reading.of(**asked))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize(
    ("bits", "floats"), [(8, False), (16, False), (24, False), (32, False), (32, True), (64, True)]
)
def test_every_format_gives_the_same_sound(
    bits: int, floats: bool, channels: int, extended: bool, tmp_path: Path
) -> None:
    mono = tone(101)
    shares = np.arange(1, channels + 1) * 2 / (channels + 1)  # 1 on average
    samples = mono if channels == 1 else np.outer(mono, shares)
    path = tmp_path / "t.wav"
    path.write_bytes(wav(samples, bits=bits, floats=floats, extended=extended))
    header = wav_header(path)
    assert (header.rate, header.channels, header.bits) == (8000, channels, bits)
    assert (header.frames, header.floats) == (101, floats)
    found, beyond = wav_samples(path, header, 8000)
    assert found.dtype == np.int16
    assert not beyond
    assert np.abs(found - mono * 32768).max() <= (260 if bits == 8 else 2)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_stored_numbers_of_16_bits_are_kept_and_wider_ones_rounded(
    bits: int, tmp_path: Path
) -> None:
    whole = np.array([-32768, -1, 0, 1, 2, 32767])
    path = tmp_path / "t.wav"
    path.write_bytes(wav((whole << (bits - 16)) / (2.0 ** (bits - 1) - 1), bits=bits))
    assert wav_samples(path, wav_header(path), 8000)[0].tolist() == whole.tolist()
    path.write_bytes(wav(np.array([0.5, 0.25]) / 32768, bits=32, floats=True))
    assert wav_samples(path, wav_header(path), 8000)[0].tolist() == [0, 0]
    path.write_bytes(wav(np.array([0.75, -0.75]) / 32768, bits=32, floats=True))
    assert wav_samples(path, wav_header(path), 8000)[0].tolist() == [1, -1]


@pytest.mark.parametrize(("stored", "wanted"), [(44_100, 16_000), (8000, 16_000), (48_000, 44_100)])
def test_another_rate_is_the_same_sound(stored: int, wanted: int, tmp_path: Path) -> None:
    path = tmp_path / "t.wav"
    path.write_bytes(wav(tone(stored // 4 + 1, stored), stored))
    header = wav_header(path)
    found, _ = wav_samples(path, header, wanted)
    assert len(found) == frames_at(header, wanted)
    ideal = tone(len(found), wanted) * 32767
    assert np.abs(found - ideal)[400:-400].max() < 60


def test_folders_are_classes_and_all_sounds_get_the_rate_of_most(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "s", a_0=wav(tone(800)), a_1=wav(tone(1600, 16_000), 16_000),
        b_0=wav(tone(800)), b_1=wav(np.stack([tone(800)] * 2, 1)), b_2=wav(tone(800), bits=24),
    )  # fmt: skip
    assert is_sounds(folder)
    pile = read(folder)
    assert pile.x.shape == (5, 800)
    assert pile.x.dtype == np.int16
    assert pile.labels == ("a", "b")
    assert pile.y is not None
    assert pile.y.tolist() == [0, 0, 1, 1, 1]
    assert (pile.groups, pile.parts, pile.targets) == (None, None, ())
    assert np.abs(pile.x[1].astype(int) - pile.x[0])[50:-50].max() < 60
    assert pile.notes == (
        "sounds: 8,000 Hz, resampled from 16,000 Hz in 1 of 5 files",
        "1 of 5 files have several channels: averaged",
        "brought to 16 bit from 24 bit in 1 of 5 files",
        "windows: 5 of 800 samples (0.1 s), the length of 5 of 5 files",
    )
    assert read(folder, rate=16_000).x.shape == (5, 1600)


def test_of_two_rates_as_frequent_the_lower_is_taken(tmp_path: Path) -> None:
    one = wav(tone(1600, 16_000), 16_000)
    folder = folder_of(tmp_path / "s", a_0=one, a_1=one, b_0=wav(tone(800)), b_1=wav(tone(800)))
    assert read(folder).notes[0].startswith("sounds: 8,000 Hz, resampled from 16,000 Hz in 2 of 4")


def test_a_longer_sound_gives_windows_and_a_shorter_one_is_filled_up(tmp_path: Path) -> None:
    long, short = np.arange(1, 1001) / 32767, np.arange(1, 61) / 32767
    usual = wav(np.full(100, 7 / 32767))
    folder = folder_of(tmp_path / "s", a_0=usual, a_1=wav(long), b_0=usual, b_1=wav(short))
    pile = read(folder, hop=30)
    assert pile.x.shape == (1 + 31 + 1 + 1, 100)
    assert [row[0] for row in pile.x[1:32].tolist()] == list(range(1, 902, 30))
    assert pile.x[-1].tolist() == [*range(1, 61), *[0] * 40]
    assert pile.groups is not None
    assert pile.y is not None
    assert pile.groups.tolist() == [0] + [1] * 31 + [2, 3]
    assert pile.y.tolist() == [0] * 32 + [1] * 2
    assert any("1 of 4 files are shorter than a window" in note for note in pile.notes)
    assert any("1 of 4 files are longer than a window" in note for note in pile.notes)
    assert len(read(folder).x) == 13
    assert np.array_equal(read(folder, hop="3.75ms").x, pile.x)
    assert np.array_equal(read(folder, window="12.5ms", hop=30).x, pile.x)
    assert read(folder, window="0.0125s", hop="0.0125s").x.shape == (13, 100)
    with pytest.raises(InvalidData, match=r"a/0\.wav has 0.0125 s, less than half a window of 1 s"):
        read(folder, window="1s")
    assert len(read(folder, window=120).x) == 1 + 8 + 1 + 1
    with pytest.raises(InvalidData, match=r"b/1\.wav .* at most 120 samples"):
        read(folder, window=121)


def test_sounds_of_all_lengths_have_no_usual_one(tmp_path: Path) -> None:
    files = {
        f"{label}_{n}": wav(tone(n)) for label, n in zip("aabb", (80, 90, 99, 160), strict=True)
    }
    folder = folder_of(tmp_path / "s", **files)
    with pytest.raises(
        InvalidData, match=r"sounds of 0\.01 s to 0\.02 s, no two as long.*--window"
    ):
        read(folder)
    assert len(read(folder, window="10ms").x) == 5


def test_a_speaker_stays_in_one_split(tmp_path: Path) -> None:
    one = wav(tone(80))
    names = (
        "a_ann_nohash_0",
        "a_bob_nohash_0",
        "a_odd",
        "b_ann_nohash_0",
        "b_ann_nohash_1",
        "b_odd",
    )
    pile = read(folder_of(tmp_path / "s", **dict.fromkeys(names, one)))
    assert pile.groups is not None
    assert pile.groups.tolist() == [0, 1, 2, 0, 0, 3]
    assert pile.notes[-1] == "4 speakers, each of whom stays in one split"


def test_splits_are_kept_and_what_is_no_class_is_told(tmp_path: Path) -> None:
    one = wav(tone(80))
    for part in ("Train", "val", "test"):
        folder_of(tmp_path / part, a_0=one, b_0=one)
    (tmp_path / "Train" / "_background_noise_").mkdir()
    (tmp_path / "Train" / "_background_noise_" / "hum.wav").write_bytes(wav(tone(8)))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "test" / "a" / "notes.txt").write_text("x")
    pile = read(tmp_path)
    assert pile.parts is not None
    assert pile.parts.tolist() == [0, 0, 1, 1, 2, 2]
    assert pile.notes[-1] == "left out, as they are no classes: .cache/, _background_noise_/"


def test_sounds_that_go_beyond_full_scale_are_cut_and_told(tmp_path: Path) -> None:
    loud = wav(np.array([1.0, -1.0, 1.5, -2.0] * 20), bits=32, floats=True)
    quiet = wav(np.array([1.0, -1.0] * 40), bits=32, floats=True)
    pile = read(folder_of(tmp_path / "s", a_0=loud, b_0=quiet))
    assert pile.x[0, :4].tolist() == pile.x[1, :4].tolist() == [32767, -32768, 32767, -32768]
    assert "1 of 2 files go beyond full scale and are cut there" in pile.notes
    with pytest.raises(InvalidData, match=r"a/0\.wav holds NaN or infinity"):
        read(folder_of(tmp_path / "s", a_0=wav(np.array([np.nan] * 80), bits=32, floats=True)))


def changed(whole: bytes, old: bytes, new: bytes) -> bytes:
    assert old in whole
    return whole.replace(old, new, 1)


SOUND = wav(tone(100))
OTHER_FORM = wav(tone(100), 9000)[12:36]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty; remove it"),
        (b"ID3\4" * 9, "is no WAV file: it begins with 49443304; ffmpeg"),
        (SOUND[:100], "truncated or damaged: its header asks for 200 bytes, it holds 44 more"),
        (SOUND[:30], "truncated or damaged|lacks its format"),
        (wav(tone(0)), "a header and no sound"),
        (changed(SOUND, b"data", b"dame"), "lacks its sound"),
        (changed(SOUND, b"fmt ", b"fmt_"), "sound before its format"),
        (changed(SOUND, struct.pack("<I", len(SOUND) - 8), bytes(4)), "asks for 16 bytes"),
        (changed(SOUND, struct.pack("<HH", 1, 1), struct.pack("<HH", 7, 1)), "of format 7 with 16"),
        (changed(SOUND, struct.pack("<HH", 1, 1), struct.pack("<HH", 1, 0)), "0 channels"),
        (changed(SOUND, struct.pack("<HH", 2, 16), struct.pack("<HH", 3, 16)), "in 3 bytes"),
        (changed(SOUND, struct.pack("<I", 8000), bytes(4)), "has 0 samples a second"),
        (changed(SOUND, struct.pack("<I", 8000), b"\xff" * 4), "has 4,294,967,295 samples"),
        (changed(SOUND, struct.pack("<I", 200), struct.pack("<I", 199)), "no whole number"),
        (changed(SOUND, struct.pack("<I", 200), b"\xff" * 4), "asks for 4,294,967,295 bytes"),
        (chunk(b"RIFF", SOUND[8:36] + OTHER_FORM + SOUND[36:]), "holds two sounds"),
        (SOUND[:12] + chunk(b"junk", b"") * 1001 + SOUND[12:], "more than 1,000 parts"),
    ],
)  # fmt: skip
def test_a_damaged_sound_is_refused_by_name(content: bytes, match: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", a_0=SOUND, b_odd=content)
    with pytest.raises(InvalidData, match=match) as refused:
        read(folder)
    assert str(folder / "b" / "odd.wav") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", SOUNDS.refused)
def test_other_sound_files_are_refused_with_the_way_out(ending: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", a_0=SOUND, b_0=SOUND)
    (folder / "b" / f"x{ending.upper()}").write_bytes(b"x")
    with pytest.raises(InvalidData, match=r"of a kind that is not read; .*ffmpeg -i FILE NEW.wav"):
        read(folder)


def test_a_sound_of_one_sample_is_a_sound(tmp_path: Path) -> None:
    one = wav(tone(1) + 0.5)
    assert read(folder_of(tmp_path / "s", a_0=one, b_0=one)).x.tolist() == [[16384]] * 2


def test_a_link_to_nothing_is_refused_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", a_0=SOUND, b_0=SOUND)
    (folder / "b" / "1.wav").symlink_to(tmp_path / "nothing")
    with pytest.raises(InvalidData, match=r"1\.wav cannot be read \(No such file"):
        read(folder)


def test_what_sounds_cannot_do_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", a_0=SOUND, b_0=SOUND)
    with pytest.raises(InvalidData, match="--label 'x' is given, but a folder of sounds takes"):
        read(folder, label="x")
    with pytest.raises(InvalidData, match="at least two class folders with WAV files"):
        read(folder_of(tmp_path / "t", a_0=SOUND))
    (tmp_path / "u" / "a").mkdir(parents=True)
    assert not holds(tmp_path / "u", SOUNDS)


def test_a_header_takes_no_memory_that_the_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.wav"
    path.write_bytes(changed(wav(tone(99), bits=24), b"LIST\3\0\0\0", b"LIST\xff\xff\xff\xff"))
    tracemalloc.start()
    with pytest.raises(InvalidData, match="damaged"):
        wav_samples(path, wav_header(path), 8000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    folder = folder_of(tmp_path / "s", a_0=SOUND, b_0=SOUND)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 3000)
    assert len(read(folder).x) == 2
    with pytest.raises(InvalidData, match=r"s takes 3,600 bytes"):
        read(folder, window=50, hop=6)


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    dice = random.Random(0)
    bases = [wav(tone(40)), wav(tone(40), bits=24, extended=True), wav(tone(40), bits=32,
             floats=True), wav(np.stack([tone(40)] * 2, 1), bits=8)]  # fmt: skip
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        mutated = bytearray(dice.choice(bases))
        for _ in range(dice.randint(1, 2)):
            place = dice.randrange(len(mutated))
            what = dice.randrange(3)
            if what == 0:
                mutated[place] = dice.choice([0, 1, 3, 255, dice.randrange(256)])
            elif what == 1:
                del mutated[place : place + dice.randint(1, 8)]
            else:
                mutated[place:place] = dice.choice([b"data", b"fmt ", b"\xff\xff\xff\xff", b"\0"])
        folder = folder_of(tmp_path / "s", a_0=bases[0], b_0=bytes(mutated))
        try:
            pile = read(folder, window=20, rate=8000)
        except InvalidData as refused:
            assert "\n" not in str(refused)
            outcomes["refused"] += 1
        else:
            assert pile.x.shape[1] == 20
            outcomes["read"] += 1
    assert min(outcomes.values()) > 20
