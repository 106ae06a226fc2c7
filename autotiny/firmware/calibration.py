"""One factor between what boards counted and what was predicted, and how well it holds out.

One, since a user has few selftests: with two figures (a share of the steps, of the instructions or
of the waits) the worst of four to six networks left out was off by 24 to 68 %, with one by 7.0 %,
with none by 7.3 % (results/calibration.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from autotiny.errors import UserError, shown
from autotiny.firmware.board_report import LONGEST_NAME, BoardReport
from autotiny.target import Correction, Target, short_key
from autotiny.version import __version__

LEAST, MOST = 0.1, 10.0
"""What counted ÷ predicted can be; beyond, something else is wrong than the model of the core."""

_AGAIN = "write its selftest anew with `compile --project`, run it and log it again"


@dataclass(frozen=True)
class Counted:
    """A model's selftest beside those of others.

    Attributes:
        log: where its line was found.
        report: the line.
        held_out_factor: counted ÷ predicted of the others; None where there are none.
    """

    log: str
    report: BoardReport
    held_out_factor: float | None = None

    @property
    def ratio(self) -> float:
        """Counted ÷ predicted cycles."""
        return self.report.cycles / self.report.predicted_cycles

    @property
    def held_out_percent(self) -> float | None:
        """By how much too many are predicted with the factor of the others, of what was counted."""
        factor = self.held_out_factor
        return None if factor is None else 100.0 * (factor / self.ratio - 1)


@dataclass(frozen=True)
class Calibration:
    """What selftests say of the predictions for a board.

    Attributes:
        counted: each model, in the order of the logs.
        factor: geometric mean of counted ÷ predicted.
    """

    counted: tuple[Counted, ...]
    factor: float

    @property
    def worst_percent(self) -> float:
        """The largest error as predicted, of what was counted."""
        return max(abs(one.report.off_percent) for one in self.counted)

    @property
    def held_out_percent(self) -> float | None:
        """The same with the factor of the others; None of a single model."""
        errors = [one.held_out_percent for one in self.counted]
        return max((abs(error) for error in errors if error is not None), default=None)

    def corrects(self, target: Target) -> Correction:
        """The correction of the target that was predicted for, its own factor in it.

        Raises:
            UserError: it is out of the range of corrections.
        """
        factor = round(self.factor * target.cycles_factor, 6)
        if not LEAST <= factor <= MOST:
            raise UserError(
                f"cycles_factor = {factor:g}, with the {target.cycles_factor:g} of {target.name}; "
                f"it must be from {LEAST:g} to {MOST:g}: calibrate the target it was made from"
            )
        error = self.held_out_percent
        percent = None if error is None else math.ceil(10 * error) / 10
        return Correction(factor, len(self.counted), percent)


def calibration(found: Iterable[tuple[str, BoardReport]], target: Target) -> Calibration:
    """The factor of selftests, and what the others say of each.

    Args:
        found: a log's name and a line of it each, the newest last: of one model it counts alone.
        target: that all must have been predicted for.

    Raises:
        UserError: a line is of another target, clock or version, or its outputs were wrong.
    """
    newest = {
        (one.target, one.model, one.predicted_cycles): Counted(log, one) for log, one in found
    }
    for one in newest.values():
        _check(one, target)
    counted = tuple(newest.values())
    ratios = [one.ratio for one in counted]
    if len(counted) > 1:
        others = (mean(ratios[:k] + ratios[k + 1 :]) for k in range(len(ratios)))
        counted = tuple(
            replace(one, held_out_factor=factor)
            for one, factor in zip(counted, others, strict=True)
        )
    return Calibration(counted, mean(ratios))


def mean(ratios: Sequence[float]) -> float:
    """The geometric mean, in which half as many cycles weigh as much as twice as many."""
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def _check(one: Counted, target: Target) -> None:
    """Refuse what says nothing of the predictions for a target."""
    refusal = _of_another(one.report, target) or _wrong(one.report)
    if refusal:
        raise UserError(f"{one.log}: {one.report.model}: {refusal}")


def _of_another(found: BoardReport, target: Target) -> str:
    """Why a prediction is not what would be predicted today; "" where it is."""
    if found.target != target.name[:LONGEST_NAME]:
        return (
            f"predicted for target {shown(found.target)}, not for {target.name!r}; all logs must "
            "be of one target, which --target names"
        )
    if found.autotiny != __version__:
        return (
            f"predicted by autotiny {found.autotiny}, this is {__version__} and may predict other "
            f"cycles; {_AGAIN}"
        )
    key = short_key(target)
    if found.clock_hz != target.clock_hz or found.target_key not in ("", key):
        return (
            f"predicted for another {target.name} (figures {found.target_key or 'unknown'}, "
            f"{found.clock_hz} Hz) than this one ({key}, {target.clock_hz} Hz); give its file by "
            f"--target, or {_AGAIN}"
        )
    return ""


def _wrong(found: BoardReport) -> str:
    """Why nothing follows from what was counted; "" where something does."""
    if not found.outputs_equal:
        wrong = found.samples - found.samples_right
        return (
            f"{wrong} of {found.samples} samples gave other outputs than on the host; all must be "
            f"equal, see `autotiny verify`"
        )
    if found.running_hz not in (0, found.clock_hz):
        return (
            f"ran at {found.running_hz / 1e6:g} MHz, and was predicted for {found.clock_hz / 1e6:g}"
            " MHz and its wait states; it must run at that clock: see `autotiny verify`"
        )
    if not found.predicted_cycles:
        return f"predicted_cycles = 0; it must be more: {_AGAIN}"
    ratio = found.cycles / found.predicted_cycles
    if not LEAST <= ratio <= MOST:
        return (
            f"{found.cycles:,} cycles counted, {ratio:.3g} times the {found.predicted_cycles:,} "
            f"predicted; it must be {LEAST:g} to {MOST:g} times: is it the board of this target?"
        )
    return ""
