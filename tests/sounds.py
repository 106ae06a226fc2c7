"""Sounds that front ends are tested with, and what they are in real numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autotiny.dataset import Dataset, Inputs
from autotiny.dataset.reading import Targets
from autotiny.dataset.samples import split_all
from autotiny.graph import Array
from autotiny.signal import LogMel

LOUDNESS = (-6.0, -30.0, -50.0)
"""Of sounds like speech, in dB of full scale."""


def extremes(samples: int) -> Array:
    """Sounds at the ends of int16, one a row: (N, samples)."""
    generator = np.random.default_rng(3)
    t = np.arange(samples)
    full = [np.full(samples, -32768), np.full(samples, 32767), np.zeros(samples)]
    impulses = [np.where(t == at, value, 0) for at in (0, 5, samples // 2) for value in (-32768, 1)]
    # the signs of frequencies, for all of which a transform adds up the most
    squares = [
        np.where(np.cos(2 * np.pi * k * (t + 0.1) / size) < 0, -32768, 32767)
        for size in (32, samples // 2)
        for k in (1, 2, size // 8, size // 4, size // 4 + 1, size // 2 - 1, size // 2)
    ]
    sines = [32767 * np.sin(2 * np.pi * f * t) for f in (0.01, 0.123, 0.25, 0.49)]
    noise = [
        generator.integers(-32768, 32768, samples),
        generator.choice([-32768, 32767], samples),
        generator.normal(0, 3, samples),
        generator.integers(-1, 2, samples),
    ]
    return np.round(np.stack([*full, *impulses, *squares, *sines, *noise])).astype(np.int16)


def tones() -> Dataset:
    """High and low tones of a quarter of a second at 16 kHz, in noise."""
    draw = np.random.default_rng(0)
    y = np.arange(40) % 2
    tone = np.sin(np.arange(4000) * (0.1 + 0.2 * y[:, None])) * 0.3
    x = (tone + draw.normal(0, 0.05, tone.shape)).astype(np.float32)
    inputs = Inputs("int16", -32768, 32767, 1 / 32768, asked=False)
    targets = Targets(y.astype(np.int32), count=2)
    return replace(split_all("tones", x, targets, 0, inputs), rate=16_000, recorded=True)


def speech_like(samples: int, loudness: float, rate: int = 16000) -> Array:
    """Voiced and unvoiced parts in turn, with the fall of a voice over frequency, over noise.

    Args:
        samples: how many, int16.
        loudness: root mean square of the loudest part, in dB of full scale.
        rate: samples a second.
    """
    generator = np.random.default_rng(7)
    t = np.arange(samples) / rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(
        (1 / k) * np.exp(-(((k * 120 - formant) / 400) ** 2)) * np.sin(k * phase)
        for k in range(1, 60)
        for formant in (500, 1500, 2500)
    )
    hiss = np.diff(generator.normal(0, 1, samples + 1))
    voiced = np.sin(2 * np.pi * 2 * t) > 0
    sound = np.where(voiced, voice / np.std(voice), 0.2 * hiss / np.std(hiss))
    sound = sound * (0.3 + 0.7 * np.abs(np.sin(2 * np.pi * 4 * t)))
    sound *= 32768 * 10 ** (loudness / 20) / np.std(sound)
    noise = generator.normal(0, 3, samples)
    return np.asarray(np.clip(np.round(sound + noise), -32768, 32767), np.int16)


def levels_in_real_numbers(front_end: LogMel, x: Array) -> Array:
    """What LogMel stands for, in dB, by NumPy and TensorFlow in float64.

    (T,) int16 → (frames, filters).
    """
    import tensorflow as tf

    spectrum = front_end.spectrum
    starts = front_end.hop * np.arange(spectrum.frames(len(x)))
    frames = x[starts[:, None] + np.arange(front_end.frame)].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front_end.frame) / front_end.frame)
    power = np.abs(np.fft.rfft(frames * window, spectrum.size)) ** 2
    weights = tf.signal.linear_to_mel_weight_matrix(
        front_end.filters, spectrum.half + 1, front_end.rate, front_end.low_hz, front_end.high_hz,
        tf.float64,
    ).numpy()  # fmt: skip
    full_scale = (32768 * window.sum() / 2) ** 2
    return np.asarray(10 * np.log10(np.maximum(power @ weights / full_scale, 1e-15)))
