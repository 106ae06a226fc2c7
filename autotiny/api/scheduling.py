"""Solve which kernel computes each layer of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autotiny.api.given import TargetSource, reading_of, target_of
from autotiny.api.lowering import BEST, Given, lowered
from autotiny.api.notices import counted
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.dataset import DataSource, Reading
from autotiny.errors import NotApplicable, UserError
from autotiny.model import Level
from autotiny.solver import Point, Reason, executed_front, reasons_of, wish_from
from autotiny.study import model_name
from autotiny.target import Target


@dataclass(frozen=True)
class Schedules:
    """The front of schedules of a network on a target.

    Attributes:
        model: how it was asked for.
        target: the microcontroller.
        points: the fastest first, each linked and executed.
        reasons: of each point, how its layers are computed.
        calibration, constant_channels: as `Taken` has them.
    """

    model: str
    target: Target
    points: tuple[Point, ...]
    reasons: tuple[tuple[Reason, ...], ...]
    calibration: str | None
    constant_channels: str | None

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        points = zip(self.points, self.reasons, strict=True)
        return {
            "model": self.model,
            "target": self.target.name,
            "calibration": self.calibration,
            "constant_channels": self.constant_channels,
            "points": [
                {**point.to_dict(), "layers": [reason.to_dict() for reason in reasons]}
                for point, reasons in points
            ],
        }


def schedule(
    model: object,
    target: TargetSource,
    *,
    bounds: str = BEST,
    points: int = 64,
    patches: int = 0,
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Schedules:
    """Solve which kernel computes each layer: the front of latency, flash and SRAM of a network.

    Every option of every layer is measured on the target first, which takes a minute or two for a
    network of 30 layers; the cache keeps it for other networks with such layers.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`) that schedules nothing.
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        bounds: "best" for the target's memory, or e.g. "best:flash=40K,sram=12K".
        points: of the front, at most.
        patches: how many plans are solved, too, at most, that compute regions of the network in
            stripes, for less SRAM than whole layers take. Where nothing else keeps the bounds, the
            first one that does is.
        lowering: as `measure` takes it, and so on.
        seed: likewise.
        data: likewise.
        task: likewise.
        reading: likewise.
        calibration: likewise.
        keep_constant_channels: likewise.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is done, in words.
        on_notice: called with what the user should read before it begins.

    Raises:
        UserError: there is no such model or target, or no schedule keeps the bounds.
    """
    numbers = arguments(seed=seed, points=points, patches=patches)
    board, cache = target_of(target), cache or Cache()
    wish = wish_from(bounds)
    given = Given(
        model=model, lowering=lowering, seed=numbers["seed"], data=data,
        reading=reading_of(None, None, reading), task=task, calibration=calibration,
        keep_constant_channels=keep_constant_channels, stream=None, cache=cache,
        on_stage=on_stage, on_notice=on_notice,
    )  # fmt: skip
    found = lowered(given)
    if found.network.level is Level.PROGRAM:
        raise UserError(f"{model} is a recipe that schedules its network itself; nothing to solve")
    try:
        front = executed_front(
            found.network.graph, board, cache, wish,
            points=numbers["points"], patches=numbers["patches"],
            tell=counted(on_stage, "measuring kernels"),
            tell_executed=counted(on_stage, "executing the front"),
        )  # fmt: skip
    except NotApplicable as refusal:
        raise UserError(f"{model_name(model)}: {refusal}") from refusal
    executed = tuple(point for _, point in front)
    reasons = tuple(reasons_of(problem, point.predicted) for problem, point in front)
    return Schedules(
        model_name(model), board, executed, reasons, found.calibration, found.constant_channels
    )
