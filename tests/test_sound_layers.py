"""A layer of mel levels at the head of a network becomes the front end that computes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sounds import tones

from autotiny.cache import Cache
from autotiny.errors import InvalidData
from autotiny.model import Level, Model, keras, keras_model, predict
from autotiny.model.keras3.own import whole_layer
from autotiny.study.replay import load_pair
from autotiny.study.sound_layers import sound_layer

USUAL = {
    "name": "mel", "trainable": True, "fft_length": 512, "sequence_stride": 160,
    "sequence_length": 512, "window": "hann", "sampling_rate": 16_000, "num_mel_bins": 24,
    "min_freq": 40.0, "max_freq": 7600.0, "power_to_db": True, "top_db": 80.0, "mag_exp": 2.0,
    "min_power": 1e-10, "ref_power": 1.0,
}  # fmt: skip


def network(**changed: Any) -> Model:
    """A network of sounds of a quarter of a second."""
    k = keras()
    k.utils.set_random_seed(0)
    x = sound = k.Input((4000,))
    x = whole_layer("MelSpectrogram", {**USUAL, **changed})(x)
    x = k.layers.Reshape((24, x.shape[2], 1))(x)
    x = k.layers.Conv2D(4, 3, 2, activation="relu")(x)
    x = k.layers.GlobalAveragePooling2D()(x)
    return keras_model(k.Model(sound, k.layers.Dense(2, activation="softmax")(x)))


def test_levels_are_those_of_the_layer() -> None:
    data = tones()
    model = network()
    layer = sound_layer(model, data)
    assert layer is not None and layer.front.gives == (26, 24)
    inner = keras().Model(model.keras.inputs, model.keras.get_layer("mel").output)
    x = data.x_test
    expected = inner.predict(x, verbose=0)
    found = layer.front.features(x).transpose(0, 2, 1)
    # The frames of both ends stand elsewhere; noise differs from frame to frame.
    inside = np.abs(np.median((found - expected)[:, :, 2:-2], axis=2))
    assert np.median(inside) < 0.5
    assert np.abs(inside).max() < 4


def test_the_network_behind_it_is_the_same(tmp_path: Path) -> None:
    model, data = load_pair(network(), tones(), seed=0, cache=Cache(tmp_path))
    assert model.start is Level.SIGNAL and model.front is not None
    assert "mel of the model is LOG_MEL(frame=512" in data.notes[-1]
    x = data.x_test
    before, after = predict(network(), x), predict(model, model.front.features(x))
    assert np.abs(before - after).max() < 0.1
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


def test_a_reference_of_power_moves_the_levels() -> None:
    plain, moved = sound_layer(network(), tones()), sound_layer(network(ref_power=100.0), tones())
    assert plain is not None and moved is not None
    x = tones().x_test
    apart = plain.front.features(x) - moved.front.features(x)
    assert np.allclose(apart, 20.0, atol=plain.front.scale / 2)


def test_sounds_of_another_rate_are_refused() -> None:
    with pytest.raises(InvalidData, match="give --rate 16000"):
        sound_layer(network(), replace(tones(), rate=8_000))
    unknown = sound_layer(network(), replace(tones(), rate=None))
    assert unknown is not None and unknown.front.rate == 16_000


@pytest.mark.parametrize(
    "changed",
    [
        {"power_to_db": False}, {"mag_exp": 1.0}, {"window": "hamming"}, {"ref_power": 1e-12},
        {"fft_length": 4096, "sequence_length": 4096},
    ],
)  # fmt: skip
def test_what_front_ends_do_not_compute_stays_a_layer(changed: dict[str, Any]) -> None:
    assert sound_layer(network(**changed), tones()) is None
