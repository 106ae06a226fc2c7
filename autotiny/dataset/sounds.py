"""Sounds: WAV files in one folder a class, brought to one rate and cut into windows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotiny.dataset.folders import ClassFiles, Kind, holds, listed
from autotiny.dataset.pile import Pile
from autotiny.dataset.reading import AS_STORED, Reading, check_room
from autotiny.dataset.wav import WavHeader, frames_at, wav_header, wav_samples
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import empty, let_go

SOUNDS = Kind(
    "WAV file", "WAV files", (".wav",),
    (".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mp3", ".oga", ".ogg",
     ".opus", ".webm", ".wma"),
    "save it as WAV (ffmpeg -i FILE NEW.wav)", ("_background_noise_",),
)  # fmt: skip
OPTIONS = ("window", "hop", "rate", "group")
FULL_SCALE = 1 / 32768
"""Of 16 bits: sounds go from −1 to 1."""

SPEAKER = re.compile(r"(.+)_nohash_[0-9]+")
"""Names of the files of Google's Speech Commands. Warden, "Speech Commands", 2018."""


def is_sounds(folder: Path) -> bool:
    """Whether class folders hold sounds."""
    return holds(folder, SOUNDS)


def sounds(folder: Path, reading: Reading = AS_STORED) -> Pile:
    """Windows of sounds: x is (N, samples) int16, the folder is the class.

    Windows of one file form a group, and files `<speaker>_nohash_<n>.wav` of one speaker do. A
    file that is shorter than a window is filled up with zeros at its end, but not by more than
    half. Where folders in class folders are the groups, they alone are.

    Args:
        folder: of class folders, or of train/ and test/ (and validation/) with such.
        reading: the rate, by default that of most files, of several the lowest; the window, by
            default the length of most files; and the hop, by default the window.

    Raises:
        InvalidData: a file is damaged, too short, or of a kind that is not read.
    """
    reading.check_only(OPTIONS, "a folder of sounds")
    found = listed(folder, SOUNDS, reading.group)
    headers = [wav_header(path) for path in found.files]
    rate = reading.hertz or _usual_rate(headers)
    lengths = np.array([frames_at(header, rate) for header in headers])
    window = reading.steps("window", rate) or _usual_length(lengths, rate, folder)
    hop = reading.steps("hop", rate) or window
    _check_lengths(found.files, lengths, window, rate)
    counts = np.maximum(0, lengths - window) // hop + 1
    values = int(counts.sum()) * window
    check_room(4 * values, str(folder), in_file=2 * values)
    x = empty((int(counts.sum()), window), np.int16, str(folder))
    begin, cut = 0, 0
    for path, header, count in zip(found.files, headers, counts.tolist(), strict=True):
        samples, beyond = wav_samples(path, header, rate)
        for place in range(count):
            one = samples[place * hop : place * hop + window]
            x[begin + place, : len(one)] = one
        begin, cut = begin + count, cut + beyond
        let_go(x)
    files = np.repeat(np.arange(len(headers)), counts)
    speakers = _speakers(found.files) if found.groups is None else found.groups
    groups = files if speakers is None else speakers[files]
    notes = (
        *_stored_notes(headers, rate, cut),
        *_window_notes(lengths, counts, window, hop, rate),
        *(found.group_notes or _group_notes(speakers, counts, found.parts)),
        *found.split_notes,
        *_left_out(found),
    )
    return Pile(
        folder.name, x, found.classes[files], found.labels,
        groups if speakers is not None or counts.max() > 1 else None,
        None if found.parts is None else found.parts[files], (), notes, FULL_SCALE,
        rate, True,
    )  # fmt: skip


def _usual_rate(headers: Sequence[WavHeader]) -> int:
    counts = Counter(header.rate for header in headers)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _usual_length(lengths: Array, rate: int, folder: Path) -> int:
    """The length of most files, of several the shortest; where all differ, none is usual."""
    counts = Counter(lengths.tolist())
    length = min(counts, key=lambda one: (-counts[one], one))
    if counts[length] == 1 < len(lengths):
        raise InvalidData(
            f"{folder} has sounds of {_seconds(lengths.min(), rate)} to "
            f"{_seconds(lengths.max(), rate)}, no two as long; give the length of a sample, e.g. "
            "--window 1s"
        )
    return int(length)


def _check_lengths(files: Sequence[Path], lengths: Array, window: int, rate: int) -> None:
    for path, length in zip(files, lengths.tolist(), strict=True):
        if 2 * length < window:
            raise InvalidData(
                f"{path} has {_seconds(length, rate)}, less than half a window of "
                f"{_seconds(window, rate)}; remove it, or give a --window of at most "
                f"{2 * length:,} samples"
            )


def _speakers(files: Sequence[Path]) -> Array | None:
    """(files,) a number for each speaker; a file without one stands alone; None if all do."""
    found = [SPEAKER.fullmatch(path.stem) for path in files]
    if not any(found):
        return None
    order: dict[str | Path, int] = {}
    keys = [one[1] if one else path for one, path in zip(found, files, strict=True)]
    return np.array([order.setdefault(key, len(order)) for key in keys], np.int64)


def _stored_notes(headers: Sequence[WavHeader], rate: int, cut: int) -> list[str]:
    """What was made of the files."""
    every = len(headers)
    others = Counter(header.rate for header in headers if header.rate != rate)
    resampled = ", ".join(f"from {one:,} Hz in {n:,}" for one, n in sorted(others.items()))
    notes = [f"sounds: {rate:,} Hz"]
    if others:
        notes = [f"sounds: {rate:,} Hz, resampled {resampled} of {every:,} files"]
    channels = sum(header.channels > 1 for header in headers)
    if channels:
        notes.append(f"{channels:,} of {every:,} files have several channels: averaged")
    wide = Counter(
        f"{header.bits} bit{' float' * header.floats}" for header in headers if header.bits != 16
    )
    if wide:
        kinds = ", ".join(f"{kind} in {n:,}" for kind, n in sorted(wide.items()))
        notes.append(f"brought to 16 bit from {kinds} of {every:,} files")
    if cut:
        notes.append(f"{cut:,} of {every:,} files go beyond full scale and are cut there")
    return notes


def _window_notes(lengths: Array, counts: Array, window: int, hop: int, rate: int) -> list[str]:
    short, long = lengths < window, lengths > window
    notes = [
        f"windows: {counts.sum():,} of {window:,} samples ({_seconds(window, rate)}), the length "
        f"of {(lengths == window).sum():,} of {len(lengths):,} files"
    ]
    if short.any():
        notes.append(
            f"{short.sum():,} of {len(lengths):,} files are shorter than a window: filled up with "
            "zeros"
        )
    if long.any():
        rest = (lengths - (counts - 1) * hop - window)[long].sum()
        notes.append(
            f"{long.sum():,} of {len(lengths):,} files are longer than a window: one every "
            f"{_seconds(hop, rate)}; {_seconds(rest, rate)} at their ends are in none"
        )
    return notes


def _group_notes(speakers: Array | None, counts: Array, parts: Array | None) -> list[str]:
    if speakers is not None:
        kept = ", each of whom stays in one split" if parts is None else ""
        return [f"{speakers.max() + 1:,} speakers{kept}"]
    return ["windows of one file stay in one split"] if counts.max() > 1 else []


def _left_out(found: ClassFiles) -> list[str]:
    names = sorted({f"{one.name}/" for one in found.left_out})
    return [f"left out, as they are no classes: {', '.join(names)}"] if names else []


def _seconds(samples: int, rate: int) -> str:
    return f"{samples / rate:.4g} s"
