"""Which correction of predicted cycles holds out: one factor, or one with something more?

    python benchmarks/calibration.py

Takes the int8 binaries of results/fidelity.md: published against predicted milliseconds. A
"board" is one vendor's firmware on one board: four to six networks, as a user has selftests of.
Each network is predicted by the correction that the others give. "Together" is a board with all
firmware of both vendors on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from writing import row

from autotiny.firmware.calibration import mean

RESULTS = Path(__file__).parent.parent / "results"

STEPS = {"AD": 10, "IC": 16, "KWS": 13, "VWW": 31}
"""Steps of MLPerf Tiny's networks."""


@dataclass(frozen=True)
class Case:
    """A binary: its milliseconds, millions of instructions, and the share of waits for memories."""

    vendor: str
    board: str
    network: str
    instructions: float
    published: float
    predicted: float
    waits: float


Terms = Callable[[Case], Sequence[float]]

CORRECTIONS: dict[str, Terms] = {
    "none": lambda case: (),
    "a factor": lambda case: (case.predicted,),
    "and a time for each inference": lambda case: (case.predicted, 1),
    "and a time for each step": lambda case: (case.predicted, STEPS[case.network.split()[0]]),
    "and a time for each instruction": lambda case: (case.predicted, case.instructions),
    "a factor of the core, another of its memories": lambda case: (
        case.predicted * (1 - case.waits), case.predicted * case.waits
    ),
}  # fmt: skip
"""What is multiplied by the figures that are fitted."""


def cases() -> list[Case]:
    """The int8 rows of the page's table of cases."""
    found = []
    for text in (RESULTS / "fidelity.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if len(cells) == 12 and re.match(r"[\d.]+$", cells[3]) and "float" not in cells[2]:
            vendor, board, network, *numbers = cells[:6]
            instructions, published, predicted = map(float, numbers)
            *_, fetch, data = map(int, cells[11].split(" / "))
            waits = (fetch + data) / 100
            found.append(Case(vendor, board, network, instructions, published, predicted, waits))
    return found


def errors(board: Sequence[Case], terms: Terms) -> list[float]:
    """Of each network with the correction of the others, in per cent."""
    found = []
    for case in board:
        others = [other for other in board if other is not case]
        found.append(100 * abs(_corrected(case, others, terms) / case.published - 1))
    return found


def _corrected(case: Case, others: Sequence[Case], terms: Terms) -> float:
    found = terms(case)
    if not found:
        return case.predicted
    if len(found) == 1:
        return case.predicted * mean([other.published / other.predicted for other in others])
    published = np.array([[other.published] for other in others])
    rows = np.array([terms(other) for other in others]) / published  # each weighs the same
    return float(np.dot(found, np.linalg.lstsq(rows, np.ones(len(others)), rcond=None)[0]))


def boards(found: Sequence[Case], key: Callable[[Case], str]) -> list[list[Case]]:
    """Cases by board."""
    return [list(group) for _, group in groupby(sorted(found, key=key), key)]


def table(found: Iterable[Sequence[Case]]) -> list[str]:
    """A row a correction."""
    lines = [
        row("correction", "figures", "mean %", "worst %", "mean of the boards' worst %"),
        row(*["---"] * 5),
    ]
    found = list(found)
    for name, terms in CORRECTIONS.items():
        each = [errors(board, terms) for board in found]
        every = [error for board in each for error in board]
        worst = np.mean([max(board) for board in each])
        figures = len(terms(found[0][0]))
        lines.append(
            row(name, figures, f"{np.mean(every):.2f}", f"{max(every):.1f}", f"{worst:.1f}")
        )
    return lines


def main() -> None:
    """Write the page."""
    found = cases()
    alone = boards(found, lambda case: f"{case.vendor} {case.board}")
    together = boards(found, lambda case: case.board)
    better = sum(
        max(errors(board, CORRECTIONS["a factor"])) < max(errors(board, CORRECTIONS["none"]))
        for board in alone
    )
    text = [
        "# Which correction holds out", "",
        "Written by `python benchmarks/calibration.py`, from the cases of fidelity.md.", "",
        str(__doc__).split("calibration.py")[1].strip(), "",
        f"**One figure is what four to six networks can tell. A factor makes the worst smaller on "
        f"{better} of {len(alone)} boards, as the model was fitted on such firmware already; a "
        "second figure fits what is seen and fails on what is not. With eight to fourteen networks "
        "a second one fails no more, and the worst is still smallest with one.** `autotiny "
        "calibrate` has one factor, therefore, and says where it is no better than none.", "",
        f"## {len(alone)} boards with one vendor's firmware, {len(found)} networks", "",
        *table(alone), "",
        f"## Together: {len(together)} boards", "", *table(together), "",
    ]  # fmt: skip
    (RESULTS / "calibration.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
