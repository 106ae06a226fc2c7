"""What `measure` says of its error is what the page of comparisons found."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotiny.cores import CORES
from autotiny.simulator.silicon import comparisons, expected_error

PAGE = Path(__file__).resolve().parents[2] / "results" / "fidelity.md"


def test_what_is_told_stands_in_the_page() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## What to rely on", 1)[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert rows == [
        [one.core, one.arithmetic, str(one.cases), ", ".join(one.vendors),
         str(one.mean_percent), str(one.worst_percent)]
        for one in comparisons()
    ]  # fmt: skip
    assert len(rows) >= 4


@pytest.mark.parametrize("core", CORES)
def test_every_core_is_compared_or_said_to_be_unverified(core: str) -> None:
    told = expected_error(core).split("; ")
    assert [text.split()[0] for text in told] == ["int8", "float32"]
    known = {one.arithmetic: one for one in comparisons() if one.core == core}
    for text, arithmetic in zip(told, ("int8", "float32"), strict=True):
        if arithmetic in known:
            error = int(text.split("±")[1].split("%")[0])
            assert error - 1 < known[arithmetic].worst_percent <= error
        else:
            assert "unverified" in text


def test_the_readme_tells_the_same() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    for one in comparisons():
        figures = f"mean {one.mean_percent} %, worst {one.worst_percent} %"
        assert f"{figures} ({one.cases} of {' and '.join(one.vendors)})" in readme
    assert readme.count("| unverified") == 2 * len(CORES) - len(comparisons())
