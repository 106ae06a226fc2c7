"""What stands before a network that was made for features, and is given recordings."""

from __future__ import annotations

import math
from dataclasses import replace

from autotiny.cache import key_of
from autotiny.components import LogMel, Mfcc
from autotiny.components.signal import FrontComponent
from autotiny.dataset import Dataset
from autotiny.errors import InvalidData, UserError, shown
from autotiny.model import Level, Model, ports
from autotiny.recipe import step_text, steps_from_text
from autotiny.signal import Asked, Front, Stream, check_hop, window_of
from autotiny.tasks import shape_text

MOST_COEFFICIENTS, MOST_BANDS = 20, 128
"""So many values a frame are coefficients; more are bands."""

OVERLAPS = (1.5, 2.5, 3.0, 2.0, 1.0)
"""Hops in a frame, as is usual for speech: 30 ms every 20 ms, 25 or 30 ms every 10 ms."""


def heard(model: Model, data: Dataset, asked: str | None) -> tuple[Model, Dataset]:
    """A model with what stands before it where its data are recordings, and the data.

    Args:
        model: the network; one that takes the samples as they are has no front end.
        data: the samples.
        asked: front ends as a recipe's text has them, e.g. "mfcc(frame_ms=30, hop_ms=20)"; None
            chooses those that give what the network takes.

    Raises:
        UserError: what was asked is no front end.
        InvalidData: it gives another shape than the network takes, or the samples are no recording.
    """
    recorded = data.recorded and data.step > 0
    if asked is not None and not (recorded and model.level is Level.KERAS):
        what = "the samples are no recordings" if not recorded else f"the model is a {model.level}"
        raise InvalidData(
            f"--front {shown(asked)} is given, but {what}; front ends stand before Keras models "
            "that are given sounds or windows of a table: leave it out"
        )
    inputs = ports(model)[0]
    if not recorded or model.level is not Level.KERAS or len(inputs) != 1:
        return model, data
    wanted = inputs[0][0][1:]
    plain = Front(data.shape, data.step, data.rate)
    if asked is None and _bare(data.shape) == _bare(wanted):
        plain = replace(plain, takes=wanted, gives=())
        return behind(model, plain), data
    steps = _read(asked) if asked is not None else guessed(plain, wanted)
    if not steps:
        return model, data
    front = plain
    try:
        for step in steps:
            front = step.front(front, len(wanted))
    except UserError as refusal:
        raise InvalidData(f"--front {asked}: {refusal}") from refusal
    if front.gives != wanted:
        raise InvalidData(
            f"--front {asked} makes {shape_text(front.gives)} of samples of "
            f"{shape_text(data.shape)}, and the model takes {shape_text(wanted)}; choose frame_ms "
            "and hop_ms for that many frames, or another --window"
        )
    named = " → ".join(step_text(step) for step in steps)
    by = "" if asked is not None else ", as its shape tells; --front names another"
    note = f"front end: {named} makes {shape_text(wanted)} of {shape_text(data.shape)}{by}"
    return behind(model, front), replace(data, notes=(*data.notes, note))


def stream_of(model: Model, asked: Asked) -> Stream:
    """What a model of any level is to listen to, as it was asked for.

    Raises:
        UserError: the model takes no time series, the hop is longer than its window, or is a time
            and the rate of the samples is not known.
    """
    front = model.front
    shapes = [shape for shape, _ in ports(model)[0]] if front is None else [(1, *front.takes)]
    window = window_of(shapes, recorded=front is not None)
    stream = asked.at(None if front is None else front.rate)
    check_hop(stream.hop, window)
    return stream


def guessed(front: Front, wanted: tuple[int, ...]) -> tuple[FrontComponent, ...]:
    """The front end that gives what a network takes of sound; none where no usual one does."""
    shape = wanted[:-1] if len(wanted) == 3 and wanted[-1] == 1 else wanted
    if front.rate is None or math.prod(front.takes) != front.takes[0] or len(shape) != 2:
        return ()
    frames, values = shape
    millisecond = front.rate / 1000
    for unit in (millisecond, 1.0):  # hops of whole milliseconds are usual
        for overlap in OVERLAPS:
            longest = front.takes[0] / (frames - 1 + overlap)  # samples of a hop
            hop_ms = math.floor(longest / unit) * unit / millisecond
            found = _usual(overlap * hop_ms, hop_ms, values)
            if found is not None and _gives(found, front, wanted):
                return (found,)
    return ()


def _usual(frame_ms: float, hop_ms: float, values: int) -> FrontComponent | None:
    if values <= MOST_COEFFICIENTS:
        return Mfcc(frame_ms, hop_ms, coefficients=values)
    return LogMel(frame_ms, hop_ms, values) if values <= MOST_BANDS else None


def _gives(step: FrontComponent, front: Front, wanted: tuple[int, ...]) -> bool:
    try:
        return step.front(front, len(wanted)).gives == wanted
    except UserError:  # frames of a length, or so many bands, that are not computed
        return False


def _read(text: str) -> tuple[FrontComponent, ...]:
    steps = steps_from_text(text)
    found = tuple(step for step in steps if isinstance(step, FrontComponent))
    if len(found) != len(steps) or not steps:
        raise UserError(
            f'front = {shown(text)}; it must name front ends, e.g. "mfcc(frame_ms=30, hop_ms=20, '
            'coefficients=10)": those of level signal that autotiny components lists'
        )
    return found


def behind(model: Model, front: Front | None) -> Model:
    """A model behind a front; front ends are part of what its fingerprint is of."""
    if front is None:
        return model
    ends = (front.takes, front.step, *front.ends)
    fingerprint = key_of(model.fingerprint, ends)[:16] if front.ends else model.fingerprint
    return replace(model, front=front, fingerprint=fingerprint)


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape
