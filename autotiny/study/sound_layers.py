"""A network whose first layer turns sound into features, and that layer as a front end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from autotiny.components.keras._rewriting import NewLayer, readers, rewrite
from autotiny.dataset import Dataset
from autotiny.errors import InvalidData, UserError
from autotiny.evaluate import agreement
from autotiny.model import KerasLayer, Level, Model, keras, predict, successor
from autotiny.model.keras3.own import unpacked
from autotiny.signal import Front, LogMel
from autotiny.study.listening import behind

COMPARED = 100
"""So many samples say how far outputs move; features of a sound take milliseconds."""

LEVELS = range(-128, 128)
"""The zero-points that int8 features can have."""


@dataclass(frozen=True)
class SoundLayer:
    """Keras' MelSpectrogram, the first layer of a network.

    Attributes:
        layer: the layer.
        front: what computes it in the firmware.
    """

    layer: KerasLayer
    front: Front

    def heard(self, model: Model, data: Dataset) -> tuple[Model, Dataset]:
        """The network behind the front end, and the data with a note of what that changes."""
        bare = behind(self.without(model), self.front)
        x = data.x_validation[:COMPARED]
        before, after = predict(model, x), predict(bare, self.front.features(x))
        apart = agreement(before.reshape(len(x), -1), after.reshape(len(x), -1)).rmse
        note = (
            f"front end: {self.layer.name} of the model is {self.front} in the firmware; outputs "
            f"on {len(x)} validation samples differ by {apart:.3g} (RMSE)"
        )
        return bare, replace(data, notes=(*data.notes, note))

    def without(self, model: Model) -> Model:
        """The network that takes the layer's result, each frame's bands together."""
        permute = keras().layers.Permute((2, 1), name=self.layer.name)
        network = rewrite(
            model.keras,
            lambda layer: [NewLayer(permute)] if layer.name == self.layer.name else None,
            shape=self.front.gives,
        )
        return successor(model, network)


def sound_layer(model: Model, data: Dataset) -> SoundLayer | None:
    """The first layer of a network where that makes levels of mel bands of sound; else None.

    Keras lets the first and the last frame stand half outside of the sound, mirrored there. Here
    all frames lie within it: as many as there were, a little closer to each other.

    Raises:
        InvalidData: the sounds have another rate than the layer is for.
    """
    layer = _first(model)
    facts = _facts(layer) if layer is not None else None
    if layer is None or facts is None or data.step <= 0:
        return None
    rate = int(facts["sampling_rate"])
    if data.rate is not None and data.rate != rate:
        raise InvalidData(
            f"{data.name} has sounds of {data.rate:,} Hz, and {layer.name} of the model is for "
            f"{rate:,} Hz: give --rate {rate}"
        )
    samples = int(layer.input_shape[1])
    filters, frames = (int(size) for size in layer.output_shape[1:])
    frame = int(facts["sequence_length"] or facts["fft_length"])
    hop = (samples - frame) // max(1, frames - 1)
    low_hz, high_hz = float(facts["min_freq"]), float(facts["max_freq"] or rate / 2)
    try:
        end = LogMel(frame, hop, filters, rate, low_hz, high_hz, int(facts["fft_length"]))
    except UserError:  # frames, or so many bands, that are not computed
        return None
    # 0 dB here is a sine of full scale; there it is what the window makes of one, over ref_power.
    full_scale = 32768 * data.step * frame / 4
    offset_db = 20 * math.log10(full_scale) - 10 * math.log10(float(facts["ref_power"]))
    zero_point = round(end.zero_point - offset_db / end.scale)
    if zero_point not in LEVELS or end.output_shape((samples,))[0] != frames:
        return None
    plain = Front((samples,), data.step, rate)
    front = plain.followed_by(end, (frames, filters), end.scale, zero_point)
    return SoundLayer(layer, front)


def _first(model: Model) -> KerasLayer | None:
    """The layer that alone reads the only input of a Keras model, where it takes sound."""
    if model.level is not Level.KERAS or len(model.keras.inputs) != 1:
        return None
    given = model.keras.inputs[0]
    reading = readers(model.keras)[given._keras_history.layer.name]
    return reading[0] if len(reading) == 1 and len(given.shape) == 2 else None


def _facts(layer: KerasLayer) -> dict[str, Any] | None:
    """The arguments of Keras' MelSpectrogram where its result is in dB; else None."""
    config = layer.get_config()
    if config.get("kind") != "MelSpectrogram":
        return None
    facts: dict[str, Any] = unpacked(config["arguments"])
    usual = facts["power_to_db"] and facts["mag_exp"] == 2.0 and facts["window"] == "hann"
    return facts if usual and facts["ref_power"] > 0 else None
