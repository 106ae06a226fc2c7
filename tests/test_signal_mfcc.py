"""Cepstral coefficients and spectrograms: the same bits in C, and near to real numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from front_ends import sources_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sounds import LOUDNESS, extremes, speech_like

from autotiny.errors import UserError
from autotiny.firmware.host import build_host
from autotiny.firmware.linking import link
from autotiny.graph import Array
from autotiny.signal import FrontEnd, LogMel, Mfcc, Spectrogram
from autotiny.simulator import run
from autotiny.target import load_target

USUAL = Mfcc(480, 320, 40, 16000, 20, 7600, 13)
FINE = replace(USUAL, dtype="int16")
LOG_MEL = LogMel(480, 320, 40, 16000, 20, 7600, dtype="int16")


def assert_same(front_end: FrontEnd, x: Array) -> None:
    found = build_host(sources_of(front_end, x.shape[1:])).predict(x)
    np.testing.assert_array_equal(found, front_end.features(x))


@pytest.mark.parametrize(
    "front_end",
    [
        USUAL,
        FINE,
        Mfcc(200, 100, 128, 44100, 0, 22050, 128, 2048, -150, 30, 180),
        Mfcc(256, 256, 8, 8000, 50, 4000, 8, None, -60, 0, 240, "int16"),
        Spectrogram(480, 320),
        Spectrogram(64, 32, 128, 3, 20, dtype="int16"),
        Spectrogram(32, 100, first=16),
    ],
    ids=str,
)
def test_c_and_python_compute_the_same_bits_of_extremes(front_end: FrontEnd) -> None:
    assert_same(front_end, extremes(1024))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(4, 400), st.integers(1, 700), st.integers(8, 64), st.integers(1, 64),
    st.floats(12, 180), st.floats(0, 1), st.sampled_from(["int8", "int16"]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_c_and_python_compute_the_same_bits_of_any_parameters(
    half: int, hop: int, filters: int, coefficients: int, apart: float, limit: float, dtype: Any,
    seed: int,
) -> None:  # fmt: skip
    high = min(30.0, apart)
    try:
        front_end = Mfcc(
            2 * half, hop, filters, 16000, 20, 8000, coefficients, 2048, high - apart, high,
            apart + limit * (min(1000, apart * filters / 2) - apart), dtype,
        )  # fmt: skip
    except UserError:
        assume(False)
    generator = np.random.default_rng(seed)
    loud = generator.integers(-32768, 32768, (2, 2 * half + hop))
    quiet = generator.normal(0, 10, (2, 2 * half + hop)).round()
    assert_same(front_end, np.concatenate((loud, quiet)).astype(np.int16))


@pytest.mark.parametrize("target", ["stm32l4r5", "stm32g0b1"])
def test_an_emulated_core_computes_the_same_bits(target: str) -> None:
    x = np.stack((speech_like(800, -10), speech_like(800, -50)))
    board = load_target(target)
    odd = Mfcc(256, 256, 9, 8000, 50, 4000, 8)
    for front_end in (USUAL, odd, Spectrogram(512, 256, first=1, bins=100)):
        ran = run(link(sources_of(front_end, (800,)), board), board, x)
        np.testing.assert_array_equal(ran.outputs, front_end.features(x))


def expected(x: Array) -> Array:
    """Coefficients of the levels of `LogMel`, computed by TensorFlow."""
    import tensorflow as tf

    levels = LOG_MEL.scale * LOG_MEL.features(x).astype(np.float64)
    levels = np.clip(levels, USUAL.low_db, USUAL.high_db)
    coefficients = tf.signal.mfccs_from_log_mel_spectrograms(levels)[..., :13].numpy()
    coefficients[..., 0] = (levels.mean(-1) + 42) * 192 / 48
    return np.asarray(coefficients)


@pytest.mark.parametrize("loudness", LOUDNESS)
def test_coefficients_are_those_of_tensorflow(loudness: float) -> None:
    """Off by less than 0.1 dB, and in int8 by little more than half a step of 1.5 dB."""
    x = speech_like(16000, loudness)
    wanted = expected(x)
    fine = FINE.scale * FINE.features(x)
    assert np.abs(fine - np.clip(wanted, -192, 192)).max() < 0.1
    assert np.abs(fine - np.clip(wanted, -192, 192)).mean() < 0.01
    steps = np.clip(wanted / USUAL.scale, -128, 127)
    assert np.abs(USUAL.features(x) - steps).max() < 0.6


@pytest.mark.parametrize("loudness", LOUDNESS)
def test_spectrograms_are_those_of_real_numbers(loudness: float) -> None:
    """Of frequencies above −80 dB, in int16, whose steps are 0.003 dB."""
    x = speech_like(16000, loudness)
    front_end = Spectrogram(512, 256, dtype="int16")
    frames = x[256 * np.arange(61)[:, None] + np.arange(512)].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    power = (np.abs(np.fft.rfft(frames * window)) / (32768 * 128)) ** 2
    wanted = 10 * np.log10(np.maximum(power, 1e-15))
    loud = wanted > -80
    error = np.abs(front_end.scale * front_end.features(x) - wanted)[loud]
    assert loud.sum() > 4000
    assert error.mean() < 0.01
    assert error.max() < 0.5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"filters": 7}, "filters is 7; set it to a whole number from 8 to 128"),
        ({"coefficients": 41}, "coefficients is 41; set it to a whole number from 1 to 40"),
        ({"limit_db": 95.0}, "96 dB apart; set it to a number from 96 to 1000"),
        ({"limit_db": 385.0, "filters": 8, "coefficients": 8}, "from 96 to 384"),
        ({"low_hz": 8000}, "the first must be lower"),
        ({"frame": 481}, "set it to 480 or 482"),
    ],
)
def test_parameters_have_ranges(change: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        replace(USUAL, **change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"first": 257}, "first is 257; set it to a whole number from 0 to 256"),
        ({"bins": 0}, "bins is 0; set it to a whole number from 1 to 257"),
        ({"first": 10, "bins": 248}, "set bins to 247 or less, or leave it out"),
        ({"low_db": -5.0}, "they must be 12 dB apart"),
    ],
)
def test_parameters_of_spectrograms_have_ranges(change: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        replace(Spectrogram(480, 320), **change)
