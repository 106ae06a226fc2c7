"""The C of front ends has a defined meaning, stays in its arrays, and no compiler complains."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from front_ends import program_of
from sounds import extremes
from test_signal_motion import FRONT_ENDS, channels_of, samples_for

from autotiny.signal import BandFilter, Decimate, FrontEnd, LogMel, Mfcc, Spectrogram, Statistics

SOUND: tuple[FrontEnd, ...] = (
    LogMel(480, 320, 40, 16000, 20, 7600),
    *(
        LogMel(size, size // 2, 4, 16000, 0, 8000, low_db=-150, dtype="int16")
        for size in (32, 64, 128, 256, 512, 1024, 2048)
    ),
    LogMel(100, 60, 8, 16000, 20, 7600, 1024),
    Mfcc(200, 100, 128, 44100, 0, 22050, 128, 2048, -150, 30, 180),
    Mfcc(480, 320, 40, 16000, 20, 7600, 13, dtype="int16"),
    Spectrogram(64, 32, 128, 3, 20, dtype="int16"),
    Spectrogram(2048, 2048),
)
MOTION: tuple[FrontEnd, ...] = (*FRONT_ENDS, Statistics(2048, 1))
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes")
SANITIZED = ("gcc", "-std=c99", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ARM = (
    ("cortex-m4", "-O2"), ("cortex-m0plus", "-Os"),
    *(
        pytest.param(*one, marks=pytest.mark.slow)
        for one in (
            ("cortex-m4", "-Os"), ("cortex-m4", "-O0"), ("cortex-m7", "-O3"),
            ("cortex-m0plus", "-O2"), ("cortex-m3", "-O2"),
        )
    ),
)  # fmt: skip


def test_every_front_end_is_here() -> None:
    kinds = {LogMel, Mfcc, Spectrogram, Decimate, BandFilter, Statistics}
    assert {type(one) for one in (*SOUND, *MOTION)} == kinds


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
@pytest.mark.parametrize("front_end", (*SOUND, *MOTION), ids=str)
@pytest.mark.everyday(6)
def test_extremes_are_exact_and_the_sanitizers_silent(front_end: FrontEnd, tmp_path: Path) -> None:
    x = extremes(2150)
    if front_end in MOTION:
        x = samples_for(front_end, channels_of(x, 2))
    written(program_of(front_end, x.shape[1:]), tmp_path)
    command = [*SANITIZED, *WARNINGS, "program.c", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "program"], input=x.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    features = front_end.features(x)
    found = np.frombuffer(done.stdout, features.dtype).reshape(features.shape)
    np.testing.assert_array_equal(found, features)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs GCC for Arm")
@pytest.mark.parametrize(("core", "optimize"), ARM)
@pytest.mark.everyday(1)
def test_gcc_for_arm_compiles_it_without_a_warning(
    core: str, optimize: str, tmp_path: Path
) -> None:
    for front_end in (*SOUND, *MOTION):
        shape = (2150,) if front_end in SOUND else (2150, 3)
        written(program_of(front_end, shape), tmp_path)
        command = ["arm-none-eabi-gcc", "-std=gnu11", optimize, f"-mcpu={core}", "-mthumb"]
        subprocess.run([*command, *WARNINGS, "-c", "program.c"], cwd=tmp_path, check=True)


def written(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
