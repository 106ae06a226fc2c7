"""What stands before a network computes the same in training and in the firmware, and is data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from build import litert, single, tensor
from scipy.io import wavfile
from sounds import speech_like, tones

import autotiny
from autotiny.cache import Cache
from autotiny.components import COMPONENTS, LogMel, Mfcc, Work
from autotiny.components.signal.band_filter import BandFilter
from autotiny.components.signal.decimate import Decimate
from autotiny.components.signal.spectrogram import Spectrogram
from autotiny.components.signal.statistics import Statistics
from autotiny.dataset import Reading, check_fits
from autotiny.engine import Sources, generate, plain_schedule
from autotiny.errors import InvalidData, NotApplicable, UserError
from autotiny.evaluate.score import answers_on, outputs_of
from autotiny.firmware import build_host
from autotiny.graph import Array, Graph, Quantization, dequantize, quantize
from autotiny.model import Level, Model, keras, keras_model, predict
from autotiny.recipe import read_recipe
from autotiny.signal import Front, front_from, with_front, without_front
from autotiny.signal.front import options_of
from autotiny.study.listening import guessed, heard
from autotiny.tasks import Anomaly
from autotiny.tflite import write_tflite

RATE = 16_000
SOUND = Front((4000,), 1 / 32768, RATE)
MOTION = Front((120, 3), 1 / 4096, 50)

FRONTS = {
    "mfcc": (SOUND, (Mfcc(20.0, 10.0, 24, 8),), 3),
    "log_mel": (SOUND, (LogMel(20.0, 10.0, 16),), 2),
    "spectrogram": (SOUND, (Spectrogram(8.0, 8.0, 3000.0),), 3),
    "decimated": (SOUND, (Decimate(2, 4), Mfcc(20.0, 10.0, 24, 8)), 3),
    "decimated_later": (SOUND, (LogMel(20.0, 10.0, 16), Decimate(2, 4)), 3),
    "filtered": (SOUND, (BandFilter(0.02, 0.3, 2), Decimate(3, 4), LogMel(16.0, 16.0, 12)), 3),
    "motion": (MOTION, (Decimate(2, 3),), 2),
    "parts": (MOTION, (BandFilter(0.0, 0.2, 1), Statistics(6)), 2),
}


def front_of(name: str) -> Front:
    front, steps, rank = FRONTS[name]
    for step in steps:
        front = step.front(front, rank)
    return front


def recordings(front: Front) -> Array:
    """A few recordings of a front, as real numbers."""
    draw = np.random.default_rng(0)
    if len(front.takes) == 1:
        sound = speech_like(front.takes[0], -12.0).astype(np.float32)
        loud = draw.integers(-32768, 32768, front.takes)
        sounds = np.stack([sound, loud, np.zeros(front.takes)])
        return np.asarray(sounds * front.step, np.float32)
    moved = np.cumsum(draw.normal(0, 600, (3, *front.takes)), axis=1)
    return np.asarray(np.clip(moved, -32768, 32767).round() * front.step, np.float32)


def taking(front: Front, dtype: Any, scale: float | None = None, zero_point: int = 0) -> Graph:
    """A network that hands on what it takes, as another type or in other steps."""
    x = tensor((1, *front.gives), dtype, scale, zero_point)
    if dtype == "float32":
        return single("ABS", [x], tensor((1, *front.gives), dtype))
    return single("QUANTIZE", [x], tensor((1, *front.gives), "int8", 0.01, 5))


def host(graph: Graph, x: Array) -> Array:
    """What the C of a graph gives for real inputs, as stored."""
    sources = generate(graph, plain_schedule(graph))
    port = sources.inputs[0]
    given = x if port.quantization is None else quantize(x, port.quantization, port.dtype)
    return build_host(sources).predict(given.reshape(len(x), *port.shape[1:]))


@pytest.mark.parametrize("into", ["as they are", "other steps", "float32"])
@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.everyday(6)
def test_features_are_those_of_the_firmware(name: str, into: str) -> None:
    front = front_of(name)
    x = recordings(front)
    features = front.features(x)
    assert features.shape == (len(x), *front.gives)
    assert len(np.unique(features)) > 8
    dtype: Any = "float32" if into == "float32" else front.ends[-1].dtype
    scale = {"as they are": front.scale, "other steps": front.scale * 1.7}.get(into)
    network = taking(front, dtype, scale, 3 if into == "other steps" and dtype == "int8" else 0)
    whole = with_front(network, front)
    assert np.array_equal(host(whole, x), host(network, features))
    assert len(whole.ops) == len(front.ends) + len(network.ops) + (into != "as they are")


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_features_can_be_an_output_too(dtype: Any) -> None:
    front = front_of("decimated")
    x = recordings(front)
    network = taking(front, dtype, front.scale if dtype == "int8" else None)
    whole = with_front(network, front, shown=True)
    sources = generate(whole, plain_schedule(whole))
    answers, features = build_host(sources).predict_all([quantize(x, port_of(sources), "int16")])
    assert np.array_equal(dequantize(features, front.quantization), front.features(x))
    assert np.array_equal(answers, host(network, front.features(x)))
    # The network's own are what scores are made of, and what a .tflite has.
    assert np.array_equal(outputs_of(Model(Level.TFLITE, whole, ""), x).shape, answers.shape)
    assert without_front(whole).outputs == without_front(with_front(network, front)).outputs
    again = with_front(without_front(whole), front, shown=True)
    assert again.fingerprint() == whole.fingerprint()


def port_of(sources: Sources) -> Quantization:
    """What the numbers of a recording mean."""
    quantization = sources.inputs[0].quantization
    assert quantization is not None
    return quantization


def test_a_network_is_written_without_its_front_ends() -> None:
    front = front_of("decimated")
    network = taking(front, "int8", front.scale)
    whole = with_front(network, front)
    features = front.features(recordings(front))[:1]
    stored = quantize(features, front.quantization, "int8")
    (found,) = litert(write_tflite(whole), stored)
    assert np.array_equal(found, host(network, features))
    assert without_front(network) is network
    assert without_front(whole).fingerprint() == network.fingerprint()


@pytest.mark.parametrize("name", FRONTS)
def test_a_front_is_plain_data(name: str) -> None:
    front = front_of(name)
    assert front_from(json.loads(json.dumps(front.to_dict()))) == front
    assert front_from(json.loads(json.dumps(SOUND.to_dict()))) == SOUND


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("takes", None), ("takes", ["a"]), ("takes", [4001, 2]), ("step", 0), ("step", "nan"),
        ("rate", "fast"), ("gives", [1, 2]), ("scale", -1), ("scale", "inf"), ("zero_point", None),
        ("ends", 3), ("ends", [{"kind": "SHELL"}]), ("ends", [{"kind": "MFCC"}]),
        ("ends", [{"frame": 3}]),
    ],
)  # fmt: skip
def test_a_damaged_front_is_refused(part: str, value: Any) -> None:
    facts = {**front_of("mfcc").to_dict(), part: value}
    with pytest.raises(UserError):
        front_from(facts)


@pytest.mark.parametrize(
    ("option", "value"),
    [("frame", 1 << 40), ("hop", 0), ("filters", 1.5), ("rate", None), ("colour", 1)],
)
def test_a_damaged_front_end_is_refused(option: str, value: Any) -> None:
    facts = front_of("mfcc").to_dict()
    facts["ends"] = [{**facts["ends"][0], option: value}]
    with pytest.raises(UserError):
        front_from(facts)


# --- which front a network has -------------------------------------------------------------------


def network(*shape: int) -> Model:
    """A network that takes such features."""
    l = keras().layers  # noqa: E741 - reads as the layers it names
    parts = [l.InputLayer(shape), l.Flatten(), l.Dense(2, activation="softmax")]
    return keras_model(keras().Sequential(parts))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((49, 10, 1), (Mfcc(30.0, 20.0, coefficients=10),)),
        ((49, 10), (Mfcc(30.0, 20.0, coefficients=10),)),
        ((98, 40), (LogMel(25.0, 10.0, 40),)),
        ((32, 32, 3), ()),
        ((49, 257), ()),
        ((16000,), ()),
    ],
)
def test_the_usual_front_end_is_told_by_the_shape(wanted: tuple[int, ...], found: Any) -> None:
    front = Front((16000,), 1 / 32768, RATE)
    assert guessed(front, wanted) == found
    assert guessed(replace(front, rate=None), wanted) == ()


def test_a_front_end_that_was_told_by_the_shape_is_said() -> None:
    data = tones()
    model, said = heard(network(11, 10, 1), data, None)
    assert model.front is not None and model.front.gives == (11, 10, 1)
    assert model.start is Level.SIGNAL
    assert "front end: mfcc(" in said.notes[-1] and "--front names another" in said.notes[-1]
    asked, noted = heard(network(11, 10, 1), data, "mfcc(frame_ms=50, hop_ms=20, coefficients=10)")
    assert asked.front is not None and asked.front.ends != model.front.ends
    assert asked.fingerprint != model.fingerprint
    assert "--front" not in noted.notes[-1]


def test_a_network_of_samples_has_none() -> None:
    model, data = heard(network(4000, 1), tones(), None)
    assert model.front is not None and not model.front.ends
    assert model.front.gives == (4000, 1) and not data.notes
    assert heard(network(4000), replace(tones(), recorded=False), None)[0].front is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("mfcc(frame_ms=30", "mfcc"),
        ("int8", "must name front ends"),
        ("", "must name front ends"),
        ("mfcc(frame_ms=30, hop_ms=20, coefficients=13)", "makes 12×13×1"),
        ("mfcc(frame_ms=3000, hop_ms=20)", "frame_ms"),
        ("decimate(factor=5000)", "factor"),
    ],
)
def test_what_is_no_front_end_for_a_network_is_refused(asked: str, told: str) -> None:
    with pytest.raises((InvalidData, UserError)) as refusal:
        heard(network(11, 10, 1), tones(), asked)
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_front_end_before_what_is_no_recording_is_refused() -> None:
    with pytest.raises(InvalidData, match="no recordings"):
        heard(network(11, 10, 1), replace(tones(), recorded=False), "mfcc")
    with pytest.raises(UserError, match="rate of the samples is not known"):
        heard(network(11, 10, 1), replace(tones(), rate=None), "mfcc")


# --- what a search changes of it -----------------------------------------------------------------


def test_features_behind_a_decimation_cover_the_same_times() -> None:
    before, after = front_of("mfcc"), front_of("decimated")
    later = Decimate(2, 4).front(before, 3)
    # Bands that were chosen before reach up to half the rate, not .475 of it.
    assert replace(later, ends=()) == replace(after, ends=())
    assert later.ends[0] == after.ends[0]
    assert options_of(later.ends[1]) | {"high_hz": 3800.0} == options_of(after.ends[1])
    assert abs(later.gives[0] - before.gives[0]) <= 1
    assert later.rate_behind == RATE // 2


def test_features_take_the_place_of_features() -> None:
    before = front_of("decimated")
    after = LogMel(20.0, 10.0, 16).front(before, 3)
    assert [type(end).__name__ for end in after.ends] == ["Decimate", "LogMel"]
    with pytest.raises(NotApplicable):
        work = Work(tones(), seed=0, epochs=1, rehearse=True)
        Mfcc(20.0, 10.0, 24, 8).apply(replace(network(*before.gives), front=before), work)


# --- what is given back --------------------------------------------------------------------------


def autoencoder(front: Front) -> Model:
    """A network that gives features back, badly, behind what makes them."""
    l = keras().layers  # noqa: E741 - reads as the layers it names
    keras().utils.set_random_seed(0)
    size = front.gives[0] * front.gives[1]
    parts = [l.InputLayer(front.gives), l.Flatten(), l.Dense(8), l.Dense(size),
             l.Reshape(front.gives)]  # fmt: skip
    return replace(keras_model(keras().Sequential(parts)), front=front)


def test_anomalies_are_scored_on_features_which_the_firmware_gives() -> None:
    model = autoencoder(front_of("mfcc"))
    data = check_fits(model, tones())
    assert isinstance(data.task, Anomaly)
    assert model.front is not None
    lowered = COMPONENTS["float32"]().apply(model, Work(data))
    features = model.front.features(data.x_test)
    back = predict(model, features)
    expected = np.square(back - features).reshape(len(back), -1).mean(axis=1)
    truth, found = answers_on(lowered, data, "test")
    assert np.array_equal(truth, data.y_test)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    shown = generate(lowered.graph, plain_schedule(lowered.graph)).outputs
    assert [port.shape for port in shown] == [(1, *model.front.gives)] * 2


def test_features_of_another_shape_are_not_given_back() -> None:
    model = autoencoder(front_of("mfcc"))
    work = Work(check_fits(model, tones()), rehearse=True)
    with pytest.raises(NotApplicable, match="another shape"):
        Mfcc(40.0, 20.0, 24, 8).apply(model, work)


@pytest.mark.parametrize(
    ("labels", "swapped"),
    [
        (("anomaly", "normal"), True), (("broken", "OK"), True), (("normal", "odd"), False),
        (("a", "b"), False), (("good", "ok"), False), ((), False),
    ],
)  # fmt: skip
def test_the_class_called_normal_is_the_one_that_is_learned(
    labels: tuple[str, ...], swapped: bool
) -> None:
    before = replace(tones(), labels=labels)
    data = before.asked(Anomaly())
    assert np.array_equal(data.y_test, 1 - before.y_test if swapped else before.y_test)
    assert data.labels == (labels[::-1] if swapped else labels)
    assert data.asked(Anomaly()) is data
    learned, _ = data.task.learned(data.x_train, data.y_train)
    assert len(learned) == (data.y_train == 0).sum()


# --- what is written of it -----------------------------------------------------------------------


SPACE = """
schema = 1
title = "A front end and a lowering"
trains_at_most = 1
first = [[{ component = "decimate", factor = 2 }, { component = "int8", calibration = 12 }]]
[components.decimate]
factor = 2
[components.int8]
calibration = 12
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sounds, a network of features, and a space."""
    home = tmp_path_factory.mktemp("home")
    data = tones()
    for name in ("low", "high"):
        (home / "tones" / name).mkdir(parents=True)
    for at, (sound, kind) in enumerate(zip(data.x_train, data.y_train, strict=True)):
        file = home / "tones" / ("low", "high")[kind] / f"{at}.wav"
        wavfile.write(file, RATE, np.rint(sound * 32768).astype(np.int16))
    keras().utils.set_random_seed(0)
    network(11, 10, 1).keras.save(home / "net.h5")
    (home / "space.toml").write_text(SPACE)
    return home


def searched(home: Path, out: str) -> Path:
    """The recipe of a search that changes the front."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        autotiny.search(
            "net.h5", "tones", "stm32f746", out=out, epochs=1, trials=2, space="space.toml",
            solve=0, cache=Cache(home / "cache"),
            reading=Reading(front="mfcc(frame_ms=50, hop_ms=20)"),
        )  # fmt: skip
    recipes = (home / out / "recipes").glob("*.json")
    return next(path for path in recipes if "decimate" in read_recipe(path).recipe.names)


def again(recipe: Path) -> autotiny.Applied:
    return autotiny.apply(recipe, recipe.parent / "again", cache=Cache(recipe.parent / "empty"))


@pytest.mark.slow
def test_a_recipe_with_front_ends_gives_the_same_bytes_again(home: Path) -> None:
    found = again(searched(home, "out"))
    assert (found.differences, found.notes) == ({}, ())
    assert found.how == "replayed from its bundle" and found.runtimes == ("autotiny",)
    header = (found.folder / "src" / "model.h").read_text()
    assert "then in the firmware DECIMATE(factor=2" in header and ", then MFCC(" in header


@pytest.mark.slow
def test_a_recipe_with_front_ends_is_done_again_from_its_data(home: Path) -> None:
    recipe, other = searched(home, "out"), Cache(home / "other")
    retrained = autotiny.apply(recipe, home / "retrained", retrain=True, cache=other)
    assert retrained.differences == {}


@pytest.mark.slow
def test_a_bundle_keeps_the_front_of_a_network_that_it_cannot_keep(home: Path) -> None:
    with mock.patch("autotiny.study.bundle.save_readable", return_value=False):
        found = again(searched(home, "unkept"))
    assert (found.differences, found.how) == ({}, "replayed from its bundle")


@pytest.mark.slow
def test_a_bundle_keeps_the_front_of_a_lowering_that_gives_other_bits(home: Path) -> None:
    from autotiny.components.tflite._lowering import Lowering

    recipe, lower = searched(home, "unlike"), Lowering.lowered

    def unlike(self: Lowering, model: Any, samples: Any) -> bytes:
        return lower(self, model, None if samples is None else samples * 1.01)

    with mock.patch.object(Lowering, "lowered", unlike):
        found = again(recipe)
    assert "other bits here" in found.notes[0]
    assert found.differences == {}
