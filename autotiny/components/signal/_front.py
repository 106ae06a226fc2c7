"""What components share that put a front end before a network: the front, the network for it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

from autotiny.components.base import Component, Work
from autotiny.components.keras._resizing import resized
from autotiny.components.keras._tuning import fine_tuned
from autotiny.errors import NotApplicable, UserError
from autotiny.model import KerasModel, Level, Model, keras, ports
from autotiny.signal import OF_SOUND, Front, FrontEnd, Statistics, arranged

LONGER = 4
"""What a network learned of other features is lost: so many times the epochs of a fine-tune."""

Shape = tuple[int, ...]


class FrontComponent(Component):
    """A component that changes what stands before the network, and fits the network to it."""

    level: ClassVar[Level] = Level.SIGNAL
    trains: ClassVar[bool] = True
    longer: ClassVar[int] = 1

    @abstractmethod
    def front(self, before: Front, rank: int) -> Front:
        """The front with this front end in it.

        Args:
            before: what stands before the network so far.
            rank: dimensions of what the network takes.

        Raises:
            UserError: it cannot be computed of such samples.
        """

    def apply(self, model: Model, work: Work) -> Model:
        """The network behind the front end, fine-tuned on its features."""
        if model.front is None:
            raise NotApplicable(f"{self.name}: the samples are no recordings")
        shape = ports(model)[0][0][0][1:]
        try:
            front = self.front(model.front, len(shape))
        except UserError as refusal:
            raise NotApplicable(f"{self.name}: {refusal}") from refusal
        if front == model.front:
            raise NotApplicable(f"{self.name}: the network has this front end already")
        keras().utils.set_random_seed(work.seed)
        try:
            network: KerasModel = resized(model.keras, front.gives)
        except ValueError as refusal:
            raise NotApplicable(
                f"{self.name}: the network cannot take {' × '.join(map(str, front.gives))} features"
            ) from refusal
        given_back = work.data.task.gives_back and front.gives != model.front.gives
        if network.output_shape != model.keras.output_shape or given_back:
            raise NotApplicable(f"{self.name}: the output would have another shape")
        data = work.data.through(front)
        work = replace(work, data=data, epochs=work.epochs * self.longer)
        return replace(fine_tuned(network, replace(model, front=front), work), front=front)


class Features(FrontComponent):
    """A component whose front end gives features, in the place of those that were there."""

    leaves: ClassVar[Level] = Level.KERAS
    longer: ClassVar[int] = LONGER

    @abstractmethod
    def end(self, before: Front) -> FrontEnd:
        """The front end behind those that give time series."""

    def front(self, before: Front, rank: int) -> Front:
        """The front with these features; values of the network are from −1 to 1."""
        series = _of(before, tuple(end for end in before.ends if not _gives_features(end)))
        end = self.end(series)
        found = end.output_shape(_taken(series, end))
        one = 1 / 128 if end.dtype == "int8" else 1 / 32768
        return series.followed_by(end, _as_input(found, rank), one)


class Series(FrontComponent):
    """A component whose front end gives a time series, behind those that do so already."""

    leaves: ClassVar[Level] = Level.SIGNAL

    @abstractmethod
    def end(self, before: Front) -> FrontEnd:
        """The front end."""

    def front(self, before: Front, rank: int) -> Front:
        """The front with it; features behind it cover the same times as before."""
        series = _of(before, tuple(end for end in before.ends if not _gives_features(end)))
        made = self.end(series)
        shape = made.output_shape(_taken(series, made))
        found = series.followed_by(made, _as_input(shape, rank), series.step)
        for features in before.ends[len(series.ends) :]:
            fitted = _at_rate(features, getattr(made, "factor", 1), found.rate_behind)
            gives = _as_input(fitted.output_shape(_taken(found, fitted)), rank)
            found = found.followed_by(fitted, gives, before.scale, before.zero_point)
        return found


def _gives_features(end: FrontEnd) -> bool:
    return isinstance(end, (*OF_SOUND, Statistics))


def _of(front: Front, ends: tuple[FrontEnd, ...]) -> Front:
    """The part of a front that gives a time series."""
    part = Front(front.takes, front.step, front.rate)
    for end in ends:
        part = part.followed_by(end, end.output_shape(_taken(part, end)), front.step)
    return part


def _taken(front: Front, end: FrontEnd) -> Shape:
    """What a front end behind a front takes."""
    return arranged(front.shapes[-1], end)


def _at_rate(end: FrontEnd, factor: int, rate: int | None) -> FrontEnd:
    """A front end that gives features, for a time series of fewer samples a second."""
    if factor == 1:
        return end
    facts: dict[str, object] = {"hop": max(1, round(end.hop / factor))}  # type: ignore[attr-defined]
    frame = end.frame / factor  # type: ignore[attr-defined]
    if isinstance(end, Statistics):
        return replace(end, frame=round(frame), **facts)  # type: ignore[arg-type]
    facts |= {"frame": 2 * round(frame / 2), "fft": None}
    if hasattr(end, "rate") and rate is not None:
        facts |= {"rate": rate, "high_hz": min(end.high_hz, rate / 2)}  # type: ignore[attr-defined]
    if hasattr(end, "bins"):
        facts |= {"bins": None}
    return replace(end, **facts)  # type: ignore[type-var]


def _as_input(shape: Shape, rank: int) -> Shape:
    """Features in the dimensions that a network's input has: those at the end are joined."""
    if len(shape) <= rank:
        return (*shape, *(1,) * (rank - len(shape)))
    joined = 1
    for size in shape[rank - 1 :]:
        joined *= size
    return (*shape[: rank - 1], joined)
