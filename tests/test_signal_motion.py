"""Front ends of motion: the same bits in Python and in C, and near to what real numbers give."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.signal
from front_ends import sources_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sounds import extremes

from autotiny.errors import InvalidData, UserError
from autotiny.firmware.host import build_host
from autotiny.firmware.linking import link
from autotiny.graph import Array
from autotiny.signal import BandFilter, Decimate, FrontEnd, Statistics
from autotiny.signal.decimate import MOST_FACTOR, MOST_TAPS
from autotiny.simulator import run
from autotiny.target import load_target

BAND = BandFilter(100, 0.5, 20.0)
FRONT_ENDS = (
    Decimate(4, 32), Decimate(2, 41), Decimate(8, 33, 100.0, "int8"), Decimate(64, 200, 1 / 16),
    BAND, BandFilter(1000, None, 2.0, 4), BandFilter(100, 49.5, None, 3),
    BandFilter(16000, 300.0, 3400.0, 4, 256.0, "int8"), BandFilter(100, 10.0, 10.2, 1, 1 / 16),
    Decimate(3, 20, 1 / 16, samples="int32"), Decimate(4, 32, 100.0, "int8", "int32"),
    BandFilter(100, 0.5, 20.0, 2, 1 / 16, samples="int32"),
    BandFilter(100, None, 5.0, 3, 200.0, "int8", "int32"),
    Statistics(64, 32), Statistics(200, 1, 256.0, "int8"), Statistics(2, 7, 1 / 16),
)  # fmt: skip

EMULATED = (
    Decimate(4, 32), Decimate(4, 32, samples="int32"), BAND, replace(BAND, samples="int32"),
    Statistics(64, 32),
)  # fmt: skip


def assert_same(front_end: FrontEnd, x: Array) -> None:
    found = build_host(sources_of(front_end, x.shape[1:])).predict(x)
    np.testing.assert_array_equal(found, front_end.features(x))


def samples_for(front_end: FrontEnd, x: Array) -> Array:
    """int16 samples in the type that a front end takes; those of int32 with bits behind them."""
    if front_end.samples == "int16":
        return x
    generator = np.random.default_rng(11)
    return np.asarray(x.astype(np.int64) * 65536 + generator.integers(0, 65536, x.shape), np.int32)


def channels_of(rows: Array, channels: int) -> Array:
    """Time series of some channels, (N, T, C), of which each row is in one."""
    rows = rows[: len(rows) // channels * channels]
    return np.ascontiguousarray(rows.reshape(-1, channels, rows.shape[1]).transpose(0, 2, 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=str)
@pytest.mark.everyday(7)
def test_c_and_python_compute_the_same_bits_of_extremes(front_end: FrontEnd, channels: int) -> None:
    assert_same(front_end, samples_for(front_end, channels_of(extremes(256), channels)))


@settings(max_examples=15, deadline=None)
@given(
    st.one_of(
        st.builds(
            lambda factor, taps, *others: (Decimate, (factor, taps, *others)),
            st.integers(2, MOST_FACTOR), st.integers(3, MOST_TAPS), st.floats(1 / 16, 1024),
            st.sampled_from(["int8", "int16"]), st.sampled_from(["int16", "int32"]),
        ),
        st.builds(
            lambda rate, low, high, *others: (
                BandFilter, (rate, low * rate, high * rate, *others),
            ),
            st.integers(100, 192_000), st.floats(0.002, 0.495), st.floats(0.002, 0.495),
            st.integers(1, 4), st.floats(1 / 16, 1024), st.sampled_from(["int8", "int16"]),
            st.sampled_from(["int16", "int32"]),
        ),
        st.builds(
            lambda frame, hop, step, dtype: (Statistics, (frame, hop, step, dtype)),
            st.integers(2, 500), st.integers(1, 600), st.floats(1 / 16, 1024),
            st.sampled_from(["int8", "int16"]),
        ),
    ),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_c_and_python_compute_the_same_bits_of_any_parameters(
    made: tuple[Any, tuple[Any, ...]], channels: int, seed: int
) -> None:
    kind, parameters = made
    try:
        front_end = kind(*parameters)
    except UserError:
        assume(False)
    generator = np.random.default_rng(seed)
    loud = generator.integers(-32768, 32768, (2, 520, channels))
    quiet = generator.normal(0, 3, (2, 520, channels)).round()
    x = np.concatenate((loud, quiet)).astype(np.int16)
    assert_same(front_end, samples_for(front_end, x))


@pytest.mark.parametrize("target", ["stm32l4r5", "stm32g0b1", "esp32c3"])
@pytest.mark.everyday(1)
def test_an_emulated_core_computes_the_same_bits(target: str) -> None:
    board = load_target(target)
    for channels in (1, 3):
        x = channels_of(extremes(128)[-6:], channels)
        for front_end in EMULATED:
            given = samples_for(front_end, x)
            ran = run(link(sources_of(front_end, x.shape[1:]), board), board, given)
            np.testing.assert_array_equal(ran.outputs, front_end.features(given))


def waves(samples: int) -> Array:
    """Three channels of motion in int16, (1, T, 3): walking over gravity, noise, a slow turn."""
    generator = np.random.default_rng(5)
    t = np.arange(samples) / 100
    walking = 16384 + 4000 * np.sin(2 * np.pi * 2 * t) + 1500 * np.sin(2 * np.pi * 13 * t)
    columns = (walking, generator.normal(0, 2000, samples), 9000 * np.sin(2 * np.pi * 0.1 * t))
    return np.round(np.stack(columns, -1)).clip(-32768, 32767).astype(np.int16)[None]


@pytest.mark.parametrize(("factor", "taps"), [(2, 40), (4, 32), (10, 101)])
def test_decimation_is_that_of_real_numbers(factor: int, taps: int) -> None:
    """Within half a step, and what 15 bits of a tap leave out."""
    x = waves(1000)
    wanted = scipy.signal.lfilter(scipy.signal.firwin(taps, 1 / factor), 1, x.astype(float), 1)
    error = Decimate(factor, taps).features(x) - wanted[:, taps - 1 :: factor]
    assert np.abs(error).max() < 3
    assert np.abs(error).mean() < 0.6


def test_decimation_leaves_constants_as_they_are_and_no_sum_overflows() -> None:
    for factor in range(2, MOST_FACTOR + 1):
        for taps in (3, 4, min(MOST_TAPS, 20 * factor + 1)):
            coefficients = Decimate(factor, taps).coefficients().astype(np.int64)
            assert coefficients.sum() == 1 << 15
            assert np.abs(coefficients).sum() * 32768 + 16 < 2**31
    for value in (-32768, 32767, 1):
        constant = np.full((40, 2), value, np.int16)
        assert (Decimate(4, 32).features(constant) == value).all()


@pytest.mark.parametrize("band", [(0.5, 20.0), (None, 5.0), (3.0, None), (0.2, 0.5), (0.2, 49.5)])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_filters_are_those_of_real_numbers(
    band: tuple[float | None, float | None], order: int
) -> None:
    """Within half a step, and little more: 12 more bits are kept between sections."""
    x = waves(1000)
    front_end = BandFilter(100, *band, order)
    edges = [edge for edge in band if edge is not None]
    kind = "band" if len(edges) == 2 else "high" if band[1] is None else "low"
    sos = scipy.signal.butter(
        order, edges if len(edges) == 2 else edges[0], kind, fs=100, output="sos"
    )
    start = scipy.signal.sosfilt_zi(sos)[:, None, :, None] * x[:, 0].astype(float)[:, None]
    wanted, _ = scipy.signal.sosfilt(sos, x.astype(float), 1, zi=start)
    error = front_end.features(x) - np.clip(wanted, -32768, 32767)
    assert np.abs(error).max() < 1
    assert np.abs(error).mean() < 0.3


def test_sections_are_held_by_their_bits() -> None:
    """Of any band: no section amplifies a frequency, nor any signal by as much as 4."""
    edges = np.geomspace(0.2, 49.5, 8).clip(0.2, 49.5).tolist()
    impulse = np.eye(1, 20_000)[0]
    for low, high, order in product((None, *edges[:-1]), (None, *edges), (1, 2, 3, 4)):
        if (low or 0.0) + 0.2 < (high or (49.5 if low else 0.0)):
            answer, most = impulse, []
            for b0, b1, b2, a1, a2, _ in BandFilter(100, low, high, order).sections() / 2.0**30:
                answer = scipy.signal.lfilter([b0, b1, b2], [1, -a1, -a2], answer)
                most.append((np.abs(np.fft.rfft(answer)).max(), np.abs(answer).sum()))
            assert np.max(most, 0)[0] < 1.001, (low, high, order)
            assert np.max(most, 0)[1] < 3.95, (low, high, order)


def test_a_constant_passes_low_filters_and_not_high_ones() -> None:
    x = np.full((5000, 1), 32001, np.int16)
    for order in (1, 2, 3, 4):  # of the lowest edge, where the gain hangs on few units of factors
        assert np.abs(BandFilter(100, None, 0.2, order).features(x) - 32001).max() <= 1
    x = np.full((50, 1), -32768, np.int16)
    assert (BandFilter(100, None, 5.0).features(x) == -32768).all()
    assert (BandFilter(100, 5.0, None).features(x) == 0).all()
    assert (BAND.features(x) == 0).all()


def test_statistics_are_those_of_real_numbers() -> None:
    x = waves(1000)
    found = Statistics(200, 100).features(x)[0].astype(float)
    assert found.shape == (9, 3, 6)
    for k in range(9):
        window = x[0, 100 * k : 100 * k + 200].astype(float)
        assert np.abs(found[k, :, 0] - window.mean(0)).max() <= 0.5
        for value, wanted in ((1, window.std(0)), (2, np.sqrt((window**2).mean(0)))):
            rounded_down = wanted - found[k, :, value]
            assert (rounded_down >= 0).all()
            assert (rounded_down < 1).all()
        np.testing.assert_array_equal(found[k, :, 3], window.min(0))
        np.testing.assert_array_equal(found[k, :, 4], window.max(0))
    walking = found[0, 0, 5] * Statistics(200, 100).crossing_scale
    assert abs(walking - 2 * 2 / 100) < 0.03  # 2 Hz, two crossings each, 100 samples a second


def test_samples_of_int32_have_16_more_bits() -> None:
    x = waves(1000)
    for front_end in (Decimate(4, 32), BAND):
        wide = replace(front_end, samples="int32")
        assert wide.scale == 65536 * front_end.scale
        shifted = x.astype(np.int32) * 65536
        np.testing.assert_array_equal(wide.features(shifted), front_end.features(x))
    fine = replace(BAND, samples="int32", step=1 / 16)
    quiet = fine.features((x / 256 * 65536).astype(np.int32))
    assert np.abs(quiet / 16 - BAND.features(x) / 256).max() < 0.1  # more than int16 could tell


def test_outputs_are_counted_in_steps() -> None:
    x = waves(400)
    coarse = Decimate(4, 32, 256.0, "int8")
    fine = Decimate(4, 32).features(x)
    assert coarse.scale == 256
    assert np.abs(256.0 * coarse.features(x) - fine).max() <= 129
    values = Statistics(200, 200, 256.0, "int8").features(x)
    assert np.abs(256.0 * values[..., :5] - Statistics(200, 200).features(x)[..., :5]).max() <= 128


@pytest.mark.parametrize(
    ("front_end", "change", "text"),
    [
        (Decimate(4, 32), {"factor": 1}, "factor is 1; set it to a whole number from 2 to 64"),
        (Decimate(4, 32), {"taps": 82}, "set taps to 81 or less, or raise the factor"),
        (Decimate(4, 32), {"taps": 2}, "taps is 2"),
        (Decimate(4, 32), {"step": 0.0}, "step is 0.0; set it to a number from 0.0625 to 1024"),
        (Decimate(4, 32), {"dtype": "int32"}, "dtype is 'int32'"),
        (BAND, {"samples": "int8"}, "samples is 'int8'; set it to 'int16' or 'int32'"),
        (BAND, {"rate": 0}, "rate is 0"),
        (BAND, {"order": 5}, "order is 5; set it to a whole number from 1 to 4"),
        (BAND, {"low_hz": 0.1}, "low_hz is 0.1; set it to a number from 0.2 to 49.5"),
        (BAND, {"high_hz": 49.6}, "high_hz is 49.6"),
        (BAND, {"low_hz": 20.0}, "the second must be higher by 0.2"),
        (BAND, {"low_hz": None, "high_hz": None}, "set one of them to a number from 0.2 to 49.5"),
        (Statistics(64, 32), {"frame": 1}, "frame is 1; set it to a whole number from 2 to 16384"),
        (Statistics(64, 32), {"hop": 0}, "hop is 0"),
    ],
)
def test_parameters_have_ranges(front_end: Any, change: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        replace(front_end, **change)


def test_samples_are_refused_that_are_none() -> None:
    with pytest.raises(InvalidData, match="of shape \\(…, T, C\\)"):
        BAND.features(np.zeros(10, np.int16))
    with pytest.raises(InvalidData, match="convert them to int16"):
        Statistics(8, 4).features(np.zeros((10, 2), np.int32))
    with pytest.raises(InvalidData, match="31 samples and the first output takes 32"):
        Decimate(4, 32).features(np.zeros((31, 2), np.int16))
