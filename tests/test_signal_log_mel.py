"""Log-mel features: the same bits in Python and in C, and near to what real numbers give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from front_ends import sources_of
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sounds import LOUDNESS, extremes, levels_in_real_numbers, speech_like

from autotiny.engine.fixed_point import multiply, quantized_multiplier
from autotiny.errors import InvalidData, UserError
from autotiny.firmware.host import build_host
from autotiny.firmware.linking import link
from autotiny.graph import Array
from autotiny.signal import LogMel
from autotiny.signal.fourier import FFT_SIZES, Spectrum
from autotiny.signal.logarithm import log2
from autotiny.signal.mel import Bands
from autotiny.signal.rescaling import rescaled, rescaling
from autotiny.simulator import run
from autotiny.target import load_target

USUAL = LogMel(480, 320, 40, 16000, 20, 7600)


def assert_same(front_end: LogMel, x: Array) -> None:
    found = build_host(sources_of(front_end, x.shape[1:])).predict(x)
    np.testing.assert_array_equal(found, front_end.features(x))


@pytest.mark.parametrize("fft", FFT_SIZES)
@pytest.mark.everyday(2)
def test_c_and_python_compute_the_same_bits_of_extremes(fft: int) -> None:
    """Also where the most is added up: full-scale samples of the signs of each frequency."""
    front_end = LogMel(fft, fft // 2, 4, 16000, 0, 8000, fft, low_db=-150, dtype="int16")
    assert_same(front_end, extremes(2 * fft))


FRONT_ENDS = st.builds(
    lambda half, hop, filters, rate, low, high, longer, low_db, high_db, dtype: {
        "frame": 2 * half,
        "hop": hop,
        "filters": filters,
        "rate": rate,
        "low_hz": low * rate / 2,
        "high_hz": high * rate / 2,
        "fft": None if longer is None else Spectrum.size_of(2 * half) << longer,
        "low_db": low_db,
        "high_db": high_db,
        "dtype": dtype,
    },
    st.integers(4, 1024),
    st.integers(1, 700),
    st.integers(1, 128),
    st.integers(100, 192_000),
    st.floats(0, 0.9),
    st.floats(0.1, 1),
    st.none() | st.integers(0, 2),
    st.floats(-150, -12),
    st.floats(0, 30),
    st.sampled_from(["int8", "int16"]),
)


@settings(max_examples=25, deadline=None)
@given(FRONT_ENDS, st.integers(0, 2**32 - 1))
def test_c_and_python_compute_the_same_bits_of_any_parameters(
    parameters: dict[str, Any], seed: int
) -> None:
    try:
        front_end = LogMel(**parameters)
    except UserError:
        assume(False)
    generator = np.random.default_rng(seed)
    samples = front_end.frame + 2 * front_end.hop + 1
    loud = generator.integers(-32768, 32768, (2, samples))
    quiet = generator.normal(0, 10, (2, samples)).round()
    assert_same(front_end, np.concatenate((loud, quiet)).astype(np.int16))


@pytest.mark.parametrize("target", ["stm32l4r5", "stm32g0b1", "esp32c3"])
@pytest.mark.everyday(1)
def test_an_emulated_core_computes_the_same_bits(target: str) -> None:
    """With the DSP extension, on Armv6-M with products of 32 bits, and on RISC-V."""
    generator = np.random.default_rng(1)
    x = np.stack((generator.integers(-32768, 32768, 800), speech_like(800, -30))).astype(np.int16)
    for front_end in (USUAL, LogMel(200, 100, 20, 8000, 60, 3800, dtype="int16")):
        board = load_target(target)
        ran = run(link(sources_of(front_end, (800,)), board), board, x)
        np.testing.assert_array_equal(ran.outputs, front_end.features(x))


def levels_of(front_end: LogMel, features: Array) -> Array:
    return front_end.scale * (features.astype(np.float64) - front_end.zero_point)


@pytest.mark.parametrize("loudness", LOUDNESS)
def test_levels_are_those_of_real_numbers(loudness: float) -> None:
    """In int16, whose steps are 0.003 dB, of bands that are louder than −80 dB."""
    x = speech_like(16000, loudness)
    fine = replace(USUAL, dtype="int16")
    wanted = levels_in_real_numbers(fine, x)
    loud = wanted > -80
    error = np.abs(levels_of(fine, fine.features(x)) - wanted)[loud]
    assert loud.mean() > 0.5
    assert error.mean() < 0.0015
    assert error.max() < 0.03


@pytest.mark.parametrize("loudness", LOUDNESS)
def test_features_are_the_nearest_numbers(loudness: float) -> None:
    """int8 is off by half a step, and where the level lies between two by a little more."""
    x = speech_like(16000, loudness)
    steps = np.clip(levels_in_real_numbers(USUAL, x) / USUAL.scale + USUAL.zero_point, -128, 127)
    assert np.abs(USUAL.features(x) - steps).max() < 0.6


@pytest.mark.parametrize("fft", FFT_SIZES)
@pytest.mark.everyday(2)
def test_no_sum_overflows(fft: int) -> None:
    """Of the loudest sounds, in one band that adds up all frequencies and in four."""
    for filters in (1, 4):
        front_end = LogMel(fft, fft, filters, 16000, 0, 8000, low_db=-150, dtype="int16")
        for x in extremes(2 * fft):
            wanted = levels_in_real_numbers(front_end, x)
            error = np.abs(levels_of(front_end, front_end.features(x)) - wanted)
            assert error[wanted > -60].max(initial=0) < 0.1


def test_a_sine_of_full_scale_in_the_middle_of_a_band_is_0_db() -> None:
    narrow = LogMel(512, 512, 1, 16000, 970, 1031, 512)
    x = np.round(32767 * np.sin(2 * np.pi * 1000 / 16000 * np.arange(512))).astype(np.int16)
    assert abs(levels_of(narrow, narrow.features(x))) < 0.5


def test_bands_are_those_of_tensorflow() -> None:
    import tensorflow as tf

    for filters, rate, low, high, size in ((40, 16000, 20, 7600, 512), (10, 8000, 300, 4000, 256)):
        bands = Bands(filters, rate, low, high, size)
        wanted = tf.signal.linear_to_mel_weight_matrix(
            filters, size // 2 + 1, rate, low, high, tf.float64
        ).numpy()
        found = [bands.energies(one) for one in np.eye(size // 2 + 1).astype(np.uint64)]
        np.testing.assert_allclose(np.array(found) / 32768, wanted, atol=0.6 / 32768)


def test_logarithms_are_near() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate(
        (
            np.arange(1, 5000, dtype=np.uint64),
            (2.0 ** generator.uniform(0, 63.99, 100_000)).astype(np.uint64),
            np.uint64(2**64 - 1) - np.arange(100, dtype=np.uint64),
        )
    ).astype(np.uint64)
    assert np.abs(log2(x) / 32768 - np.log2(x.astype(np.longdouble))).max() < 2**-13
    assert log2(np.array([0, 1, 2], np.uint64)).tolist() == [0, 0, 32768]


@example(3, 0.25 - 2**-40)  # its multiplier rounds up to 2^31
@given(st.integers(-(2**30) + 1, 2**30 - 1), st.floats(2**-29, 0.4999))
def test_rescaling_is_that_of_networks(x: int, factor: float) -> None:
    multiplier, shift = quantized_multiplier(factor)
    by = rescaling(factor)
    assert (by.multiplier, by.shift) == (multiplier, shift)
    assert rescaled(np.array([x]), by).item() == multiply(x, multiplier, shift)


def test_the_ends_of_the_range_are_the_ends_of_the_type() -> None:
    for low, high in ((-90.0, 6.0), (-12.0, 30.0), (-150.0, 0.0)):
        small = replace(USUAL, low_db=low, high_db=high)
        ends = levels_of(small, np.array([-128, 127]))
        np.testing.assert_allclose(ends, (low, high), atol=small.scale / 2)
        wide = replace(small, dtype="int16")
        assert wide.zero_point == 0
        assert np.abs(levels_of(wide, np.array([-32767, 32767]))).max() == max(-low, high)


def test_digital_silence_is_the_lowest_level() -> None:
    assert (USUAL.features(np.zeros(480, np.int16)) == -128).all()


def test_recordings_are_treated_each_for_itself() -> None:
    x = np.stack([speech_like(2000, -20), speech_like(2000, -40)])
    together = USUAL.features(np.stack((x, x[::-1])))
    assert together.shape == USUAL.output_shape((2, 2, 2000)) == (2, 2, 5, 40)
    np.testing.assert_array_equal(together[1, 0], USUAL.features(x[1]))
    many = np.tile(x, (1000, 1))  # more than a part of them
    np.testing.assert_array_equal(USUAL.features(many)[-2:], together[0])
    dense = replace(USUAL, frame=2000, hop=1, filters=4)  # frames come in parts, too
    long = speech_like(6000, -20)
    assert dense.features(long).shape == (4001, 4)
    np.testing.assert_array_equal(dense.features(long)[3000:3500], dense.features(long[3000:5499]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"frame": 481}, "set it to 480 or 482"),
        ({"frame": 6}, "frame is 6; set it to a whole number from 8 to 2048"),
        ({"frame": 2050}, "frame is 2050"),
        ({"frame": 480.0}, "frame is 480.0; set it to a whole number"),
        ({"hop": 0}, "hop is 0; set it to a whole number from 1 to 16384"),
        ({"fft": 500}, "fft is 500; set it to None or 32 or 64"),
        ({"fft": 256}, "leave fft out, or set it to 512 or more"),
        ({"filters": 0}, "filters is 0"),
        ({"filters": 129}, "filters is 129"),
        ({"frame": 128}, "choose fewer filters, a longer fft"),
        ({"rate": 99}, "rate is 99"),
        ({"high_hz": 8001.0}, "high_hz is 8001.0; set it to a number from 0 to 8000"),
        ({"low_hz": 7600}, "the first must be lower"),
        ({"low_hz": float("nan")}, "low_hz is nan"),
        ({"low_db": 1.0}, "low_db is 1.0; set it to a number from -150 to 0"),
        ({"low_db": -5.9}, "they must be 12 dB apart"),
        ({"high_db": 31}, "high_db is 31"),
        ({"dtype": "int32"}, "dtype is 'int32'; set it to 'int8' or 'int16'"),
    ],
)
def test_parameters_have_ranges(change: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        replace(USUAL, **change)


def test_samples_are_refused_that_are_none() -> None:
    for x, text in (
        (np.zeros(480, np.float32), "convert them to int16"),
        (np.zeros(479, np.int16), "479 samples and the first output takes 480"),
        (np.array(3, np.int16), "of shape \\(\\)"),
    ):
        with pytest.raises(InvalidData, match=text):
            USUAL.features(x)
