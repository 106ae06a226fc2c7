"""Small data sets and networks, one for each kind of task, for `tasks.py`.

Signals are made from a seed; what scikit-learn ships with was measured by others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.graph import Array
from autotiny.model import keras

MOTIONS = ("rest", "walk", "run", "shake")
STEPS, CHANNELS = 128, 6
RATE_HZ = 50.0


@dataclass(frozen=True)
class Case:
    """One search.

    Attributes:
        name: of the row.
        model: the function of this file that builds the network, untrained.
        data: writes the data into a folder and gives the file or folder.
        options: further ones of `autotiny search`.
        origin: where the data is from.
        trials: how many; more where few of them beat the original and a trial takes seconds.
    """

    name: str
    model: str
    data: Callable[[Path], Path]
    options: tuple[str, ...] = ()
    origin: str = "made, seed 0"
    trials: int = 16


def layers() -> Any:
    """The layers of the Keras that autotiny trains with."""
    return keras().layers


def stacked(shape: tuple[int, ...], *parts: Any) -> Any:
    """A network of layers one behind the other."""
    return keras().Sequential([layers().InputLayer(shape), *parts])


# --- motion: windows of a table ------------------------------------------------------------------


def motion(kind: int, steps: int, draw: np.random.Generator) -> Array:
    """Acceleration (g) and turn rate (degrees a second) of one recording, (steps, 6)."""
    time = np.arange(steps) / RATE_HZ
    hertz = (0.2, 1.8, 2.8, 5.0)[kind] * draw.uniform(0.85, 1.15)
    size = (0.02, 0.35, 0.8, 1.2)[kind] * draw.uniform(0.7, 1.3)
    phase = draw.uniform(0, 2 * np.pi, CHANNELS)
    weights = draw.uniform(0.4, 1.0, CHANNELS)
    wave = np.sin(2 * np.pi * hertz * time[:, None] + phase) * weights * size
    wave[:, 3:] *= 80
    wave[:, 2] += 1.0
    noise = draw.normal(size=(steps, CHANNELS)) * ([0.15] * 3 + [12.0] * 3)
    values: Array = wave + noise
    return values


def motion_table(folder: Path) -> Path:
    """A time series: 60 recordings of 20 s by 15 people, a row a reading."""
    draw = np.random.default_rng(0)
    lines = ["ax,ay,az,gx,gy,gz,person,activity"]
    for recording in range(60):
        kind, person = recording % 4, recording // 4
        for row in motion(kind, 1024, draw):
            numbers = ",".join(f"{value:.3f}" for value in row)
            lines.append(f"{numbers},p{person},{MOTIONS[kind]}")
    path = folder / "motion.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


WINDOWS = ("--label", "activity", "--group", "person", "--window", str(STEPS), "--hop", "64")


def imu_conv1d() -> Any:
    """Convolutions over time: 158,000 MACs."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (STEPS, CHANNELS), l.BatchNormalization(), l.Conv1D(16, 5, 2, activation="relu"),
        l.Conv1D(24, 5, 2, activation="relu"), l.GlobalAveragePooling1D(), l.Dense(4),
    )  # fmt: skip


def imu_lstm() -> Any:
    """An LSTM of 16 units over what a convolution makes of four readings each."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (STEPS, CHANNELS), l.BatchNormalization(), l.Conv1D(16, 8, 4, activation="relu"),
        l.LSTM(16), l.Dense(4),
    )  # fmt: skip


def imu_gru() -> Any:
    """A GRU of 16 units over what a convolution makes of four readings each."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (STEPS, CHANNELS), l.BatchNormalization(), l.Conv1D(16, 8, 4, activation="relu"),
        l.GRU(16), l.Dense(4),
    )  # fmt: skip


# --- sound: a folder of WAV files ----------------------------------------------------------------

WORDS = ("down", "go", "left", "stop", "up", "yes")
SOUND_HZ = 16_000


def word(kind: int, pitch_hz: float, draw: np.random.Generator) -> Array:
    """One second with one word in it, (16000,) int16: a voice whose two formants glide."""
    glides = (
        ((700, 350), (1100, 900)), ((450, 400), (900, 750)), ((350, 550), (2100, 1700)),
        ((600, 800), (1300, 1100)), ((750, 650), (1250, 1250)), ((300, 500), (2300, 1900)),
    )[kind]  # fmt: skip
    length = int(SOUND_HZ * draw.uniform(0.35, 0.55))
    begin = draw.integers(0, SOUND_HZ - length)
    along = np.linspace(0, 1, length)
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * along))) / SOUND_HZ
    voice = np.zeros(length)
    for harmonic in range(1, 24):
        hertz = harmonic * pitch_hz
        level = sum(
            np.exp(-(((hertz - (a + (b - a) * along) * draw.uniform(0.95, 1.05)) / 120) ** 2))
            for a, b in glides
        )
        voice += level * np.sin(harmonic * phase)
    hiss = draw.normal(size=length) * (along > 0.8 if kind in (3, 5) else 0 * along)
    sound = draw.normal(size=SOUND_HZ) * draw.uniform(0.1, 1.2)
    sound[begin : begin + length] += (voice + 0.5 * hiss) * np.hanning(length)
    made: Array = np.clip(sound * draw.uniform(2000, 8000), -32768, 32767).astype(np.int16)
    return made


def word_sounds(folder: Path) -> Path:
    """Six words of 20 speakers, six times each: 720 WAV files of a second."""
    from scipy.io import wavfile

    draw = np.random.default_rng(0)
    place = folder / "words"
    for name in WORDS:
        (place / name).mkdir(parents=True)
    for speaker in range(20):
        pitch_hz = draw.uniform(90, 230)
        for kind, name in enumerate(WORDS):
            for take in range(6):
                file = place / name / f"s{speaker:02d}_nohash_{take}.wav"
                wavfile.write(file, SOUND_HZ, word(kind, pitch_hz * draw.uniform(0.95, 1.05), draw))
    return place


def keywords() -> Any:
    """A small DS-CNN on 49 frames of 10 values, as MLPerf Tiny has it: 0.9 million MACs."""
    l = layers()  # noqa: E741 - reads as the layers it names
    parts: list[Any] = [l.Conv2D(32, (10, 4), 2, "same", use_bias=False)]
    for _ in range(3):
        parts += [
            l.BatchNormalization(), l.ReLU(),
            l.DepthwiseConv2D(3, padding="same", use_bias=False), l.BatchNormalization(), l.ReLU(),
            l.Conv2D(32, 1, use_bias=False),
        ]  # fmt: skip
    return stacked(
        (49, 10, 1), *parts, l.BatchNormalization(), l.ReLU(), l.GlobalAveragePooling2D(),
        l.Dense(len(WORDS), activation="softmax"),
    )  # fmt: skip


# --- values to predict ---------------------------------------------------------------------------


def sine_arrays(folder: Path) -> Path:
    """Y = sin(x) with noise, 1,000 samples."""
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 2 * np.pi, (1000, 1)).astype(np.float32)
    y = (np.sin(x) + draw.normal(0, 0.1, x.shape)).astype(np.float32)
    path = folder / "sine.npz"
    np.savez(path, x=x, y=y)
    return path


def sine() -> Any:
    """The network of TensorFlow Lite Micro's first example: two hidden layers of 16."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked((1,), l.Dense(16, activation="relu"), l.Dense(16, activation="relu"), l.Dense(1))


def tone_arrays(folder: Path) -> Path:
    """Frequency (Hz) and amplitude of a sine in noise, 2,000 samples of 64 readings."""
    draw = np.random.default_rng(0)
    hertz, size = draw.uniform(2, 10, 2000), draw.uniform(0.2, 1.0, 2000)
    time = np.arange(64) / 64
    wave = size[:, None] * np.sin(2 * np.pi * (hertz[:, None] * time + draw.random((2000, 1))))
    x = (wave + draw.normal(0, 0.05, wave.shape)).astype(np.float32)[..., None]
    path = folder / "tones.npz"
    np.savez(path, x=x, y=np.stack([hertz, 10 * size], axis=1).astype(np.float32))
    return path


def two_values() -> Any:
    """Convolutions over time, two values out."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (64, 1), l.Conv1D(12, 7, 2, activation="relu"), l.Conv1D(16, 5, 2, activation="relu"),
        l.Flatten(), l.Dense(24, activation="relu"), l.Dense(2),
    )  # fmt: skip


def diabetes_table(folder: Path) -> Path:
    """scikit-learn's diabetes data as a table: 442 patients (Efron et al., 2004)."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes()
    head = ",".join((*found.feature_names, "target"))
    rows = (
        ",".join(f"{value:.6g}" for value in (*x, y))
        for x, y in zip(found.data, found.target, strict=True)
    )
    path = folder / "diabetes.csv"
    path.write_text("\n".join((head, *rows)) + "\n")
    return path


def diabetes() -> Any:
    """Two hidden layers of 24."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (10,), l.BatchNormalization(), l.Dense(24, activation="relu"),
        l.Dense(24, activation="relu"), l.Dense(1),
    )  # fmt: skip


# --- yes and no ----------------------------------------------------------------------------------


def cancer_table(folder: Path) -> Path:
    """scikit-learn's breast cancer data as a table: 569 patients (Wolberg et al., 1995)."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [name.replace(" ", "_") for name in found.feature_names]
    rows = (
        ",".join((*(f"{value:.6g}" for value in x), found.target_names[y]))
        for x, y in zip(found.data, found.target, strict=True)
    )
    path = folder / "cancer.csv"
    path.write_text("\n".join((",".join((*names, "label")), *rows)) + "\n")
    return path


def yes_or_no() -> Any:
    """One sigmoid behind a hidden layer of 16."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (30,), l.BatchNormalization(), l.Dense(16, activation="relu"),
        l.Dense(1, activation="sigmoid"),
    )  # fmt: skip


def chord_arrays(folder: Path) -> Path:
    """Which of five tones sound at once, 2,000 samples of 128 readings."""
    draw = np.random.default_rng(0)
    y = (draw.random((2000, 5)) < 0.35).astype(np.uint8)
    time = np.arange(128) / 128
    phases = draw.random((2000, 5, 1))
    waves = np.sin(2 * np.pi * (np.array([4, 7, 11, 16, 23])[:, None] * time + phases))
    x = (y[..., None] * waves * draw.uniform(0.4, 1, (2000, 5, 1))).sum(axis=1)
    x = (x + draw.normal(0, 0.3, x.shape)).astype(np.float32)[..., None]
    path = folder / "chords.npz"
    np.savez(path, x=x, y=y)
    return path


def chords() -> Any:
    """Convolutions over time, five sigmoids."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (128, 1), l.Conv1D(16, 9, 2, activation="relu"), l.Conv1D(24, 7, 2, activation="relu"),
        l.GlobalMaxPooling1D(), l.Dense(5, activation="sigmoid"),
    )  # fmt: skip


# --- what is unlike the rest ---------------------------------------------------------------------


def machine_arrays(folder: Path) -> Path:
    """Spectra of a machine, 64 bands: 1,600 normal ones, 400 with an additional tone."""
    draw = np.random.default_rng(0)
    bands = np.arange(64)
    speed = draw.uniform(0.9, 1.1, (2000, 1))
    x = sum(
        size * np.exp(-((bands - place * speed) ** 2) / 6)
        for place, size in ((8, 1.0), (16, 0.7), (24, 0.5), (40, 0.3))
    )
    y = (np.arange(2000) % 5 == 0).astype(np.int32)
    odd = draw.uniform(28, 60, (2000, 1))
    x = x + y[:, None] * draw.uniform(0.1, 0.35, (2000, 1)) * np.exp(-((bands - odd) ** 2) / 4)
    x = (x + draw.normal(0, 0.04, x.shape)).astype(np.float32)
    path = folder / "machine.npz"
    np.savez(path, x=x, y=y)
    return path


def autoencoder() -> Any:
    """64 → 32 → 8 → 32 → 64."""
    l = layers()  # noqa: E741 - reads as the layers it names
    return stacked(
        (64,), l.Dense(32, activation="relu"), l.Dense(8, activation="relu"),
        l.Dense(32, activation="relu"), l.Dense(64),
    )  # fmt: skip


# --- a class at each place -----------------------------------------------------------------------


def shape_arrays(folder: Path) -> Path:
    """Discs and squares in noise, 1,000 images of 32×32, three classes with the background."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    x = draw.normal(0, 0.15, (1000, 32, 32, 1)).astype(np.float32)
    y = np.zeros((1000, 32, 32), np.int32)
    for number in range(1000):
        for kind in draw.choice(2, 2):
            row, column, size = draw.uniform(6, 26), draw.uniform(6, 26), draw.uniform(3, 6)
            far = (np.hypot, lambda a, b: np.maximum(abs(a), abs(b)))[kind](
                rows - row, columns - column
            )
            y[number][far < size] = kind + 1
        x[number, ..., 0] += (y[number] > 0) * 0.7
    path = folder / "shapes.npz"
    np.savez(path, x=x, y=y)
    return path


def unet() -> Any:
    """A small U-Net: two levels, 8 and 16 channels."""
    k, l = keras(), layers()  # noqa: E741 - reads as the layers it names

    def twice(x: Any, channels: int) -> Any:
        for _ in range(2):
            x = l.Conv2D(channels, 3, padding="same", activation="relu")(x)
        return x

    image = k.Input((32, 32, 1))
    first = twice(image, 8)
    second = twice(l.MaxPooling2D()(first), 16)
    inner = twice(l.MaxPooling2D()(second), 16)
    up = twice(l.Concatenate()([l.UpSampling2D()(inner), second]), 16)
    up = twice(l.Concatenate()([l.UpSampling2D()(up), first]), 8)
    return k.Model(image, l.Conv2D(3, 1)(up))


# --- two inputs ----------------------------------------------------------------------------------

BEARING_HZ = 4000.0


def bearing_arrays(folder: Path) -> Path:
    """Vibration of a bearing beside speed, load and temperature: sound, or one of three faults.

    A fault knocks at a multiple of the shaft's frequency, so that speed tells which fault a
    frequency belongs to: 2,000 windows of 256 readings.
    """
    draw = np.random.default_rng(0)
    orders = (0.0, 3.6, 5.4, 8.1)  # knocks a revolution: none, outer ring, inner ring, ball
    y = draw.integers(0, len(orders), 2000)
    hertz = draw.uniform(20, 40, len(y))
    load = draw.uniform(0, 1, len(y))
    time = np.arange(256) / BEARING_HZ
    shaft = 0.4 * np.sin(2 * np.pi * (hertz[:, None] * time + draw.uniform(0, 1, (len(y), 1))))
    knocking = np.array(orders)[y] * hertz
    phase = (knocking[:, None] * time + draw.uniform(0, 1, (len(y), 1))) % 1
    ringing = np.exp(-6 * phase) * np.sin(2 * np.pi * 4 * phase)
    knocks = (0.8 + load)[:, None] * ringing * (y > 0)[:, None]
    vibration = shaft + knocks + draw.normal(0, 0.15, shaft.shape)
    warmth = 0.3 * load + 0.2 * (y > 0) + draw.normal(0, 0.1, len(y))
    conditions = np.stack([hertz / 40, load, warmth], axis=1)
    path = folder / "bearing.npz"
    np.savez(
        path, x_vibration=vibration[..., None].astype(np.float32),
        x_conditions=conditions.astype(np.float32), y=y,
    )  # fmt: skip
    return path


def bearing() -> Any:
    """A Conv1D network over the vibration, joined with the operating conditions before its end."""
    k, l = keras(), layers()  # noqa: E741 - reads as the layers it names
    vibration = k.Input((256, 1), name="vibration")
    conditions = k.Input((3,), name="conditions")
    x = l.Conv1D(8, 9, 2, activation="relu")(vibration)
    x = l.Conv1D(16, 7, 2, activation="relu")(x)
    x = l.MaxPooling1D(2)(x)
    x = l.Conv1D(16, 5, activation="relu")(x)
    x = l.Flatten()(l.MaxPooling1D(2)(x))
    x = l.Concatenate()([x, l.Dense(8, activation="relu")(conditions)])
    x = l.Dense(24, activation="relu")(x)
    return k.Model([vibration, conditions], l.Dense(4, activation="softmax")(x))


# --- two outputs ---------------------------------------------------------------------------------


def gait_arrays(folder: Path) -> Path:
    """Windows of motion, each with what a person does and how fast it is: 1,200 of 128 × 6."""
    draw = np.random.default_rng(0)
    kinds = draw.integers(0, len(MOTIONS), 1200)
    x = np.stack([motion(kind, STEPS, draw) for kind in kinds]).astype(np.float32)
    x /= (1, 1, 1, 80, 80, 80)
    speed = np.abs(np.diff(x[..., :3], axis=1)).mean(axis=(1, 2)) * 10
    path = folder / "gait.npz"
    np.savez(path, x=x, y_activity=kinds, y_speed=speed)
    return path


def two_outputs() -> Any:
    """One trunk with two heads: four classes, and one value."""
    k, l = keras(), layers()  # noqa: E741 - reads as the layers it names
    window = k.Input((STEPS, CHANNELS), name="window")
    x = l.Conv1D(12, 5, 2, activation="relu")(window)
    x = l.MaxPooling1D(2)(x)
    x = l.Conv1D(16, 5, activation="relu")(x)
    x = l.Flatten()(l.MaxPooling1D(2)(x))
    x = l.Dense(16, activation="relu")(x)
    activity = l.Dense(len(MOTIONS), activation="softmax", name="activity")(x)
    return k.Model(window, [activity, l.Dense(1, name="speed")(x)])


CASES = (
    Case("words, front end searched", "keywords", word_sounds, ("--epochs", "3"), trials=24),
    Case("motion, Conv1D", "imu_conv1d", motion_table, WINDOWS),
    Case("motion, LSTM", "imu_lstm", motion_table, WINDOWS),
    Case("motion, GRU", "imu_gru", motion_table, WINDOWS),
    Case("sine", "sine", sine_arrays),
    Case("diabetes", "diabetes", diabetes_table, origin="scikit-learn", trials=48),
    Case("two values", "two_values", tone_arrays, trials=48),
    Case("yes or no", "yes_or_no", cancer_table, origin="scikit-learn"),
    Case("several at once", "chords", chord_arrays),
    Case("anomalies", "autoencoder", machine_arrays, ("--task", "anomaly")),
    Case("a class at each place", "unet", shape_arrays),
    Case("two inputs", "bearing", bearing_arrays),
    Case("two outputs", "two_outputs", gait_arrays, ("--metric", "accuracy,r2")),
)
