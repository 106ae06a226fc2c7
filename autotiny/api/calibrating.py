"""Selftests of a user's board become a correction of its target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autotiny.api.verifying import BAUD, WAIT_SECONDS, report_lines
from autotiny.datafile import toml_of, write_whole
from autotiny.errors import UserError, shown
from autotiny.firmware.board_report import BoardReport, report_from
from autotiny.firmware.calibration import Calibration, calibration
from autotiny.target import TARGETS, Correction, Target, load_target, target_names
from autotiny.version import __version__


@dataclass(frozen=True)
class Calibrated:
    """A corrected target, and what it was corrected by.

    Attributes:
        target: as it is now.
        file: where it lies.
        calibration: each model's figures, and what they say together.
    """

    target: Target
    file: Path
    calibration: Calibration

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, for JSON."""
        return {
            "target": self.target.name,
            "file": str(self.file),
            "correction": asdict(self.target.correction) if self.target.correction else None,
            "factor": self.calibration.factor,
            "worst_percent": self.calibration.worst_percent,
            "held_out_percent": self.calibration.held_out_percent,
            "models": [
                {
                    "log": one.log, **one.report.to_dict(), "ratio": one.ratio,
                    "held_out_percent": one.held_out_percent,
                }
                for one in self.calibration.counted
            ],
        }  # fmt: skip


def calibrate(
    logs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    target: str | Path | None = None,
    overwrite: bool = False,
    baud: int = BAUD,
    wait_seconds: float = WAIT_SECONDS,
) -> Calibrated:
    """A target whose cycles, latency and energy are corrected by selftests of a board.

    All lines of all logs count; of one model (its name and predicted cycles) the last. Cycles are
    multiplied by the geometric mean of counted ÷ predicted, and by the factor that the target has
    already. The error that is stated, in percent, is the worst of the models, each predicted with
    the factor of the others; of one model it is unknown.

    Args:
        logs: as `verify` takes them: paths of logs, "-" for standard input, or serial ports.
        output: the .toml file that is written: the target's own with a table [correction].
        target: name, or path of a .toml file; by default what the logs say.
        overwrite: whether the output may replace a file.
        baud: of a serial port.
        wait_seconds: for a line from a port.

    Raises:
        UserError: a log is missing, damaged, of another target, clock or version of autotiny, or
            tells of wrong outputs; or the output cannot be written.
    """
    path = Path(output).expanduser()
    _check_output(path, overwrite=overwrite)
    given = [logs] if isinstance(logs, (str, Path)) else list(logs)
    if not given:
        raise UserError("no logs; give what `autotiny verify` reads of a selftest, one at least")
    found = [pair for log in given for pair in _reports(log, baud, wait_seconds)]
    base = load_target(str(target) if target is not None else _stated(*found[-1]))
    said = calibration(found, base)
    place, table = TARGETS.read(base.source)
    text = with_correction(place.read_text(encoding="utf-8"), table, said.corrects(base))
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return Calibrated(load_target(str(path)), path, said)


def _check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before a board is waited for."""
    if path.suffix != ".toml":
        raise UserError(f"output {shown(str(path))}; a target's file must end in .toml")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; give another name, or --overwrite to replace it")


def _reports(log: str | Path, baud: int, wait_seconds: float) -> Iterator[tuple[str, BoardReport]]:
    for line in report_lines(log, baud=baud, wait_seconds=wait_seconds):
        yield str(log), _report(log, line)


def _report(log: str | Path, line: str) -> BoardReport:
    try:
        return report_from(line)
    except UserError as error:
        raise UserError(f"{log}: {error}") from error


def _stated(log: str, report: BoardReport) -> str:
    """The target that a log names, if it is one of ours: what else it says is no path to open."""
    if report.target not in target_names():
        raise UserError(
            f"{log}: made for target {shown(report.target)}, which is none that comes with "
            "autotiny; give its file by --target"
        )
    return report.target


def with_correction(text: str, table: Mapping[str, Any], correction: Correction) -> str:
    """A target's file with a correction in the place of the one it may have; the rest as it was.

    Args:
        text: of the file.
        table: what it says.
        correction: that it shall have.

    Raises:
        UserError: its tables do not stand as those of autotiny's own files do.
    """
    source = (
        f"autotiny {__version__} calibrate, on a board of the user; cycles_error_percent: the "
        "worst of the models, each predicted with the factor of the others"
    )
    facts = {name: value for name, value in asdict(correction).items() if value is not None}
    kept = re.sub(r"^\[correction\].*?(?=^\[|\Z)", "", f"{text}\n", flags=re.M | re.S)
    kept = re.sub(r"^correction = .*\n", "", kept, flags=re.M)
    kept = re.sub(r"^\[sources\]\n", f'[sources]\ncorrection = "{source}"\n', kept, flags=re.M)
    lines = "".join(f"{name} = {value!r}\n" for name, value in facts.items())
    made = f"{kept.rstrip()}\n\n[correction]\n{lines}"
    wanted = {**table, "sources": {**table["sources"], "correction": source}, "correction": facts}
    try:
        read = {name: value for name, value in toml_of(made).items() if name != "schema"}
    except ValueError:
        read = {}
    if read != wanted:
        raise UserError(
            "no [correction] can be put into the target's file; [sources] must be a table with "
            "that line as its head, and an earlier [correction] likewise"
        )
    return made
