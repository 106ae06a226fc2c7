"""WAV files: what the header says, checked against the file, and the samples as int16.

Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991; Microsoft,
"Multiple Channel Audio Data and WAVE Files", 2001.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from autotiny.dataset.reading import check_room
from autotiny.errors import InvalidData
from autotiny.graph import Array

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
BITS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
RATES = (1000, 384_000)
MOST_CHANNELS = 64
MOST_CHUNKS = 1000
FULL_SCALE = 1 << 15
TO_PCM = "ffmpeg -i FILE -c:a pcm_s16le NEW.wav writes one that is"


@dataclass(frozen=True)
class WavHeader:
    """What a WAV file holds.

    Attributes:
        rate: samples a second.
        channels: how many.
        bits: of a sample.
        floats: whether samples are fractions in [-1, 1], else whole numbers.
        frames: samples of each channel.
    """

    rate: int
    channels: int
    bits: int
    floats: bool
    frames: int


def wav_header(path: Path) -> WavHeader:
    """What the header says; no sample is read.

    Raises:
        InvalidData: it is no WAV file, damaged, or of a format that is not read.
    """
    try:
        with path.open("rb") as file:
            form, data = _chunks(file, path)
    except OSError as failure:
        raise InvalidData(
            f"{path} cannot be read ({failure.strerror}); mend or remove it"
        ) from failure
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack_from("<H", form, 24)
    if bits not in BITS.get(tag, ()):
        raise InvalidData(
            f"{path} is of format {tag} with {bits} bits; PCM of 8, 16, 24 or 32 bits and floats "
            f"are read: {TO_PCM}"
        )
    if not 1 <= channels <= MOST_CHANNELS or align != channels * bits // 8:
        raise InvalidData(
            f"{path} is damaged: {channels} channels of {bits} bits in {align} bytes; remove it or "
            "save it again"
        )
    if not RATES[0] <= rate <= RATES[1]:
        raise InvalidData(
            f"{path} has {rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are read: remove "
            "it or save it again"
        )
    if data < align:
        raise InvalidData(f"{path} has a header and no sound; remove it")
    if data % align:
        raise InvalidData(
            f"{path} is damaged: {data:,} bytes are no whole number of samples of {align} bytes; "
            "remove it or save it again"
        )
    return WavHeader(rate, channels, bits, tag == FLOAT, data // align)


def _chunks(file: IO[bytes], path: Path) -> tuple[bytes, int]:
    """The format chunk, and how many bytes of sound there are."""
    size = path.stat().st_size
    if size == 0:
        raise InvalidData(f"{path} is empty; remove it")
    start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise InvalidData(
            f"{path} is no WAV file: it begins with {start[:4].hex() or 'nothing'}; {TO_PCM}"
        )
    end = min(size, int.from_bytes(start[4:8], "little") + 8)  # SciPy reads no further
    form, data = b"", -1
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = head[:4], int.from_bytes(head[4:], "little")
        room = end - file.tell()
        if name in (b"fmt ", b"data") and length > room:
            raise InvalidData(
                f"{path} is truncated or damaged: its header asks for {length:,} bytes, it holds "
                f"{max(0, room):,} more; remove it or save it again"
            )
        if name == b"data":
            if data >= 0 or not form:
                raise InvalidData(
                    f"{path} is damaged: sound {'twice' if form else 'before its format'}; remove "
                    "it or save it again"
                )
            data = length
        begin = file.tell()
        if name == b"fmt " and not form:
            form = file.read(min(length, 40))
        file.seek(begin + length + length % 2)
    else:
        raise InvalidData(f"{path} has more than {MOST_CHUNKS:,} parts; remove it or save it again")
    if len(form) < 16 or data < 0:
        raise InvalidData(
            f"{path} is damaged: it lacks {'its format' if len(form) < 16 else 'its sound'}; "
            "remove it or save it again"
        )
    return form, data


def wav_samples(path: Path, header: WavHeader, rate: int) -> tuple[Array, bool]:
    """The samples, (n,) int16, channels averaged and brought to `rate`, n = `frames_at(…)`.

    Whole numbers of other widths keep their high bits, rounded; a fraction of 1 is 32768.

    Args:
        path: of the file.
        header: as `wav_header` read it.
        rate: samples a second that are wanted.

    Returns:
        The samples, and whether some were beyond full scale and are cut there.

    Raises:
        InvalidData: it is damaged, or holds NaN or infinity.
    """
    check_room(8 * header.channels * header.frames, str(path))
    stored = _stored(path, header)
    if stored.dtype == np.int16 and header.channels == 1 and header.rate == rate:
        return stored, False
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are refused below
        values = _scaled(stored).mean(axis=1)
    if not np.isfinite(values).all():
        raise InvalidData(f"{path} holds NaN or infinity; remove it or save it again")
    if header.rate != rate:
        from scipy.signal import resample_poly

        common = int(np.gcd(rate, header.rate))
        values = resample_poly(values, rate // common, header.rate // common)
    beyond = bool(np.abs(values).max() > FULL_SCALE + 0.5)
    whole: Array = np.clip(np.rint(values), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return whole, beyond


def frames_at(header: WavHeader, rate: int) -> int:
    """How many samples of a channel there are at another rate."""
    return -(-header.frames * rate // header.rate)


def _stored(path: Path, header: WavHeader) -> Array:
    """Samples as SciPy reads them: (frames,) or (frames, channels); 24 bits stand high in 32."""
    from scipy.io import wavfile

    # 24 bits cannot be mapped; bytes in memory are the most that a header can make SciPy take
    source = io.BytesIO(path.read_bytes()) if header.bits == 24 else path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, stored = wavfile.read(source, mmap=header.bits != 24)
    except (ValueError, TypeError, EOFError, OSError, struct.error) as damage:
        raise InvalidData(f"{path} is damaged ({damage}); remove it or save it again") from damage
    if rate != header.rate or stored.size != header.frames * header.channels:
        raise InvalidData(f"{path} is damaged: it holds two sounds; remove it or save it again")
    samples: Array = stored
    return samples


def _scaled(stored: Array) -> Array:
    """(frames, channels) float64, of which 32768 is full scale."""
    values = stored.reshape(len(stored), -1).astype(np.float64)
    if stored.dtype == np.uint8:
        return (values - 128) * 256
    if stored.dtype.kind == "f":
        return values * FULL_SCALE
    return values / 2.0 ** (8 * stored.dtype.itemsize - 16)
