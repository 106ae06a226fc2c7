"""What stands before a network: its front ends, one behind the other, as data and as arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from autotiny.errors import InvalidData, UserError, shown
from autotiny.graph import Array, Graph, Op, Quantization, Tensor, dequantize, quantize
from autotiny.graph.editing import compact
from autotiny.signal.band_filter import BandFilter
from autotiny.signal.decimate import Decimate
from autotiny.signal.front_end import FrontEnd
from autotiny.signal.log_mel import LogMel
from autotiny.signal.mfcc import Mfcc
from autotiny.signal.spectrogram import Spectrogram
from autotiny.signal.statistics import Statistics

Shape = tuple[int, ...]

FRONT_ENDS: Mapping[str, type[FrontEnd]] = {
    "BAND_FILTER": BandFilter,
    "DECIMATE": Decimate,
    "LOG_MEL": LogMel,
    "MFCC": Mfcc,
    "SPECTROGRAM": Spectrogram,
    "STATISTICS": Statistics,
}
"""By the kind of their op; LiteRT's schema has none of them."""

OF_SOUND = (LogMel, Mfcc, Spectrogram)
"""They take samples of one channel, (T,); the others take (T, C)."""


@dataclass(frozen=True)
class Front:
    """From samples as they are recorded to what a network takes.

    Attributes:
        takes: shape of a recorded sample, (T,) or (T, C).
        step: what a step of its int16 numbers means.
        rate: samples a second; None if that is not known.
        ends: the front ends; without any the network takes the samples as they are.
        gives: shape of what the network takes.
        scale: what a step of a feature means to the network.
        zero_point: the feature that means 0.
    """

    takes: Shape
    step: float
    rate: int | None = None
    ends: tuple[FrontEnd, ...] = ()
    gives: Shape = ()
    scale: float = 1.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        """Without front ends samples are handed on."""
        if not self.ends:
            for name, value in (("gives", self.takes), ("scale", self.step), ("zero_point", 0)):
                object.__setattr__(self, name, value)

    def __str__(self) -> str:
        found = []
        for end in self.ends:
            options = ", ".join(f"{name}={value}" for name, value in options_of(end).items())
            found.append(f"{kind_of(end)}({options})")
        return ", then ".join(found) or "no front end"

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """What each front end takes; at last what the last one gives."""
        found = [self.takes]
        for end in self.ends:
            found[-1] = arranged(found[-1], end)
            found.append(end.output_shape(found[-1]))
        return tuple(found)

    @property
    def rate_behind(self) -> int | None:
        """Samples a second of what the last front end gives, where it gives a time series."""
        rate = self.rate
        for end in self.ends:
            if rate is not None and isinstance(end, Decimate):
                rate //= end.factor
        return rate

    @property
    def quantization(self) -> Quantization:
        """What features mean to the network."""
        return Quantization((self.scale,), (self.zero_point,))

    def followed_by(self, end: FrontEnd, gives: Shape, scale: float, zero_point: int = 0) -> Front:
        """The same with one front end more."""
        return replace(
            self, ends=(*self.ends, end), gives=gives, scale=scale, zero_point=zero_point
        )

    def features(self, x: Array) -> Array:
        """What the network takes of recorded samples (N, *takes), float32: (N, *gives).

        The bits are those of the firmware.
        """
        if not self.ends:
            return x
        part = quantize(x, Quantization((self.step,), (0,)), "int16")
        for end, shape in zip(self.ends, self.shapes, strict=False):
            part = end.features(part.reshape(len(x), *shape))
        return dequantize(part, self.quantization).reshape(len(x), *self.gives)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data; `front_from` takes it."""
        ends = [{"kind": kind_of(end), **options_of(end)} for end in self.ends]
        return {**vars(self), "ends": ends}


def arranged(shape: Shape, end: FrontEnd | type[FrontEnd]) -> Shape:
    """A recorded sample's shape as a front end takes it: sound has no axis of channels.

    Raises:
        InvalidData: there are several channels, and the front end takes one.
    """
    kind = end if isinstance(end, type) else type(end)
    if issubclass(kind, OF_SOUND):
        if len(shape) == 2 and shape[1] != 1:
            raise InvalidData(
                f"samples have {shape[1]} channels; {kind.__name__} takes sound of one"
            )
        return shape[:1]
    return shape if len(shape) > 1 else (*shape, 1)


def kind_of(end: FrontEnd) -> str:
    """The kind of a front end's op."""
    return next(kind for kind, known in FRONT_ENDS.items() if known is type(end))


def options_of(end: FrontEnd) -> dict[str, Any]:
    """The parameters of a front end that are set, as options of its op."""
    return {name: value for name, value in asdict(end).items() if value is not None}  # type: ignore[call-overload]


def front_end_from(kind: str, options: Mapping[str, Any]) -> FrontEnd:
    """The front end of an op.

    Raises:
        UserError: there is no such kind or parameter, or a parameter is out of range.
    """
    known = FRONT_ENDS.get(kind)
    if known is None:
        raise UserError(f"{shown(kind)} is no front end; those are {', '.join(FRONT_ENDS)}")
    names = getattr(known, "__dataclass_fields__", {})
    for name in options:
        if name not in names:
            raise UserError(f"{kind} has no parameter {shown(name)}; it has {', '.join(names)}")
    optional = {"fft", "bins", "low_hz", "high_hz"} & set(names)
    try:
        made: FrontEnd = known(**{**dict.fromkeys(optional), **options})
    except TypeError as missing:
        raise UserError(f"{kind} lacks a parameter: {missing}") from missing
    return made


def front_from(facts: Mapping[str, Any]) -> Front:
    """What `Front.to_dict` gave.

    Raises:
        UserError: it is none.
    """
    try:
        ends = tuple(
            front_end_from(end["kind"], {name: end[name] for name in end if name != "kind"})
            for end in facts["ends"]
        )
        rate = facts["rate"]
        front = Front(
            tuple(map(int, facts["takes"])), float(facts["step"]),
            None if rate is None else int(rate), ends,
            tuple(map(int, facts["gives"])), float(facts["scale"]), int(facts["zero_point"]),
        )  # fmt: skip
        fits = not ends or int(np.prod(front.shapes[-1])) == int(np.prod(front.gives))
    except (KeyError, TypeError, ValueError, OverflowError) as damage:
        raise UserError(f"a front end is damaged: {damage}") from damage
    if not fits or not 0 < front.step < np.inf or not 0 < front.scale < np.inf:
        raise UserError(f"a front end is damaged: it gives {front.gives}, {front.scale} a step")
    return front


def with_front(graph: Graph, front: Front | None, *, shown: bool = False) -> Graph:
    """A lowered network behind its front ends, whose input are the recorded samples in int16.

    Args:
        graph: the network.
        front: what stands before it.
        shown: whether the features are an output too, behind those of the network.
    """
    if front is None or not front.ends:
        return graph
    first, end = graph.inputs[0], front.ends[-1]
    taken = graph.tensors[first]
    tensors, ops = list(graph.tensors), []
    last = first
    if (taken.dtype, taken.quantization) != (end.dtype, front.quantization):
        last = len(tensors)
        gives = (1, *front.gives)
        tensors.append(Tensor(kind_of(end).lower(), gives, end.dtype, front.quantization))
        ops.append(Op("DEQUANTIZE" if taken.dtype == "float32" else "QUANTIZE", (last,), (first,)))
    # Behind the features, so that a graph without front ends is given them in the same order again.
    source = recorded = len(tensors)
    step = Quantization((front.step,), (0,))
    tensors.append(Tensor("recorded", (1, *front.takes), "int16", step))
    for place, (made, shape) in enumerate(zip(front.ends, front.shapes[1:], strict=True), 1):
        index = last if place == len(front.ends) else len(tensors)
        if index == len(tensors):
            tensors.append(Tensor(kind_of(made).lower(), (1, *shape), made.dtype, step))
        ops.insert(place - 1, Op(kind_of(made), (source,), (index,), options_of(made)))
        source = index
    return replace(
        graph,
        tensors=tuple(tensors),
        ops=(*ops, *graph.ops),
        inputs=(recorded, *graph.inputs[1:]),
        outputs=(*graph.outputs, last) if shown else graph.outputs,
    )


def without_front(graph: Graph) -> Graph:
    """The part of a graph behind its front ends, whose input are features."""
    ends = [op for op in graph.ops if op.kind in FRONT_ENDS]
    if not ends:
        return graph
    kept = tuple(op for op in graph.ops if op.kind not in FRONT_ENDS)
    inputs = (ends[-1].outputs[0], *graph.inputs[1:])
    outputs = tuple(graph.outputs[place] for place in answering(graph))
    return compact(replace(graph, ops=kept, inputs=inputs, outputs=outputs))


def answering(graph: Graph) -> tuple[int, ...]:
    """Places of the outputs that the network gives; features are none."""
    made = {index for op in graph.ops if op.kind in FRONT_ENDS for index in op.outputs}
    return tuple(place for place, index in enumerate(graph.outputs) if index not in made)
