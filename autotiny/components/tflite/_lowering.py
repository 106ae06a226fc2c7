"""What the six lowerings share: TensorFlow's converter, with a static result that repeats.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, is the arithmetic of the integer forms.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Protocol

import numpy as np

from autotiny import worker
from autotiny.components.base import Component, Work
from autotiny.components.frozen._loops import unrolled_loops
from autotiny.components.tflite._calibrating import Kept, Method, in_order, quantized
from autotiny.components.tflite._gru import with_grus
from autotiny.components.tflite._lstm import with_lstms
from autotiny.errors import NotApplicable
from autotiny.graph import Array, Graph
from autotiny.model import (
    KerasModel,
    Level,
    Model,
    Port,
    concrete_function,
    cut,
    freeze,
    graph_function,
    input_name,
    input_shapes,
    joined,
    keras,
    ports,
    restore,
    save,
    silent_stderr,
    successor,
    tensorflow,
    unrolled,
)
from autotiny.signal import with_front
from autotiny.tflite import read_tflite
from autotiny.worker import Limits

REHEARSAL_SAMPLES = 2

LIMITS = Limits(seconds=600)
WAY_OUT = (
    "try another lowering, or leave out of the network what the converter cannot take, such as a "
    "loop whose end depends on the input"
)
SAMPLES, LOWERED = "samples.npy", "lowered.tflite"


class TargetSpec(Protocol):
    """What a lowered model may consist of."""

    supported_ops: Sequence[object]
    supported_types: Sequence[object]


class Converter(Protocol):
    """The part of TensorFlow's `TFLiteConverter` that is used here."""

    optimizations: Sequence[object]
    target_spec: TargetSpec
    representative_dataset: Callable[[], Iterator[list[Array] | dict[str, Array]]]
    inference_input_type: object
    inference_output_type: object
    _experimental_calibrate_only: bool

    def convert(self) -> bytes:
        """The `.tflite`."""


class Lowering(Component):
    """A component that turns a trainable model or its frozen graph into a graph of level tflite.

    Attributes:
        fuses_lstm: whether the converter has an LSTM op in this number format.
    """

    fuses_lstm: ClassVar[bool] = True

    level: ClassVar[Level] = Level.GRAPH
    leaves: ClassVar[Level] = Level.TFLITE
    levels: ClassVar[tuple[Level, ...]] = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        """The model as the converter lowers it, batch 1, tensors named by place."""
        samples: Array | None = None
        if self.samples:
            count = REHEARSAL_SAMPLES if work.rehearse else self.samples
            shapes = input_shapes(model)
            samples = joined(cut(work.data.calibration(count, work.seed), shapes))
        graph = read_tflite(self.lowered(model, samples))
        if samples is not None:
            graph = self.refined(graph, samples)
        graph = with_lstms(graph) if self.fuses_lstm else graph
        # What is given back is compared with the features, on the board too.
        shown = work.data.task.gives_back
        graph = with_front(tidy(with_grus(graph)), model.front, shown=shown)
        notes = {**model.notes, "number_format": self.name}
        return replace(successor(model, graph), notes=notes)

    def lowered(self, model: Model, samples: Array | None) -> bytes:
        """The `.tflite`, made in the worker: what crashes the converter is an error here."""
        with TemporaryDirectory(prefix="autotiny-") as folder:
            save(model if self.keeps_layers(model) else freeze(model), Path(folder))
            if samples is not None:
                np.save(Path(folder, SAMPLES), samples)
            values = {entry.name: getattr(self, entry.name) for entry in fields(self)}  # type: ignore[arg-type]
            what = f"{self.name}: TensorFlow's converter"
            step = (type(self).__module__, type(self).__name__, values)
            if worker.ask(convert_into, folder, *step, what=what, limits=LIMITS, way_out=WAY_OUT):
                return Path(folder, LOWERED).read_bytes()
        return self.convert(model, samples)

    def keeps_layers(self, model: Model) -> bool:
        """Whether the converter is given Keras' layers: it makes one op of an LSTM then."""
        return self.fuses_lstm and model.level is Level.KERAS and _has_lstm(model.keras)

    def convert(self, model: Model, samples: Array | None) -> bytes:
        """The `.tflite`, made in this process."""
        converter = _converter(model, keeps_layers=self.keeps_layers(model))
        self.configure(converter)
        if samples is not None:
            named = self.keeps_layers(model)
            converter.representative_dataset = _representative(samples, ports(model)[0], named)
        return self.converted(converter, model, samples)

    def converted(self, converter: Converter, model: Model, samples: Array | None) -> bytes:
        """The converter's `.tflite`."""
        return _converted(converter, self.name)

    def refined(self, graph: Graph, samples: Array) -> Graph:
        """The lowered graph after what is decided on it with the calibration samples."""
        return graph

    @property
    def samples(self) -> int:
        """How many calibration samples are needed."""
        return int(getattr(self, "calibration", 0))

    def configure(self, converter: Converter) -> None:
        """Sets the converter's options."""
        raise NotImplementedError


class Int8Lowering(Lowering):
    """A lowering to int8 whose ranges can be cut, and whose layers can be kept float.

    Attributes:
        port_type: type of input and output.
        method: see `calibrating`.
    """

    port_type: ClassVar[str]
    method: Method

    @property
    def kept_float(self) -> Kept:
        """The layers that stay float."""
        return "nothing"

    def converted(self, converter: Converter, model: Model, samples: Array | None) -> bytes:
        """The converter's `.tflite`, by way of its calibrated model where a choice asks for it."""
        plain = self.method == "min_max" and self.kept_float == "nothing"
        if plain or samples is None or model.traits.quantization_aware:
            # After quantization-aware training the ranges are trained, and every layer has one.
            return _converted(converter, self.name)
        converter._experimental_calibrate_only = True
        calibrated = _converted(converter, self.name)
        rows = fed_rows(samples, ports(model)[0])
        return quantized(calibrated, rows, self.method, self.kept_float, self.port_type)


def convert_into(folder: str, module: str, name: str, values: dict[str, Any]) -> bool:
    """In the worker: stores what a lowering makes of a stored model; False if it stays stored.

    That is one with layers of the user's own, whose code is in the other process alone.
    """
    try:
        step: Lowering = getattr(import_module(module), name)(**values)
        model = restore(Path(folder))
    except Exception:  # of whatever that code is
        return False
    file = Path(folder, SAMPLES)
    samples = np.load(file, allow_pickle=False) if file.exists() else None
    Path(folder, LOWERED).write_bytes(step.convert(model, samples))
    return True


def _converter(model: Model, *, keeps_layers: bool) -> Converter:
    lite = tensorflow().lite.TFLiteConverter
    if keeps_layers:
        # From Keras' own functions the converter makes one op of an LSTM layer; it takes the
        # detour over a SavedModel for that, seconds on a deep network, so only these go that way.
        network = unrolled(model.keras, keep_lstm=True)
        keeping: Converter = lite.from_concrete_functions([concrete_function(network)], network)
        return keeping
    frozen = unrolled_loops(freeze(model).frozen)
    converter: Converter = lite.from_concrete_functions([graph_function(frozen)])
    return converter


def _has_lstm(network: KerasModel) -> bool:
    return any(isinstance(layer, keras().layers.LSTM) for layer in network.layers)


def _representative(
    samples: Array, inputs: Sequence[Port], named: bool
) -> Callable[[], Iterator[list[Array] | dict[str, Array]]]:
    """Samples (N, …), one at a time, as an array for each input.

    Args:
        samples: inputs, those of several side by side.
        inputs: shape and type of each.
        named: whether the converter brings inputs into an order of its own, and wants their names.
    """

    def draw() -> Iterator[list[Array] | dict[str, Array]]:
        for number in range(len(samples)):
            arrays = fed_rows(samples[number : number + 1], inputs)
            if named and len(arrays) > 1:
                yield {input_name(place): array for place, array in enumerate(arrays)}
            else:
                yield arrays

    return draw


def fed_rows(samples: Array, inputs: Sequence[Port]) -> list[Array]:
    """Samples (N, …) as an array for each input, float32 where there is only one."""
    if len(inputs) == 1:
        return [np.ascontiguousarray(samples, dtype=np.float32)]
    parts = cut(samples, [shape[1:] for shape, _ in inputs])
    return [
        np.ascontiguousarray(part, dtype=kind)
        for part, (_, kind) in zip(parts, inputs, strict=True)
    ]


def _converted(converter: Converter, name: str) -> bytes:
    """The converter's bytes; what it cannot do is `NotApplicable` with its first line."""
    chatty = logging.getLogger("absl")
    level = chatty.level
    chatty.setLevel(logging.FATAL)
    try:
        with silent_stderr(), warnings.catch_warnings():
            # It misses statistics of inputs that fake quantization or calibration give it.
            warnings.simplefilter("ignore")
            return in_order(converter.convert())
    except (RuntimeError, ValueError, NotImplementedError) as refusal:
        raise NotApplicable(f"{name}: {_reason(refusal)}") from refusal
    except Exception as refusal:
        if type(refusal).__name__ != "ConverterError":
            raise
        raise NotApplicable(f"{name}: {_reason(refusal)}") from refusal
    finally:
        chatty.setLevel(level)


def _reason(refusal: Exception) -> str:
    lines = [line.strip() for line in str(refusal).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line] or lines or ["the converter refuses it"]
    # It names the line of Python that made an op: where autotiny stands concerns nobody.
    return re.sub(r"\S*\.py:[0-9]+:[0-9]+: ", "", telling[0])[:300]


def tidy(graph: Graph) -> Graph:
    """The graph with tensors named by place, so that the same network gives the same bytes.

    The converter's names hold counters of the process that built the model.
    """
    names: dict[int, str] = {}
    for kind, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for place, index in enumerate(indices):
            names.setdefault(index, kind if len(indices) == 1 else f"{kind}_{place}")
    roles: Mapping[int, str] = {1: "weights", 2: "bias"}
    for position, op in enumerate(graph.ops):
        label = f"{op.kind.lower()}_{position}"
        for place, index in enumerate(op.inputs):
            if index >= 0:
                names.setdefault(index, f"{label}/{roles.get(place, f'constant_{place}')}")
        for place, index in enumerate(op.outputs):
            names.setdefault(index, f"{label}/result_{place}" if place else label)
    tensors = tuple(
        replace(tensor, name=names.get(index, f"unused_{index}"))
        for index, tensor in enumerate(graph.tensors)
    )
    return replace(graph, tensors=tensors, name="model")
