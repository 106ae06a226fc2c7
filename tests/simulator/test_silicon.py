"""What `measure` says of its error is what the pages of comparisons found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from autotiny.cores import CORES
from autotiny.simulator import silicon
from autotiny.simulator.silicon import Compared, comparisons, expected_error

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("int8", "float32", "integer")


def test_what_is_told_stands_in_the_pages() -> None:
    rows = []
    for name in json.loads(silicon.SILICON.read_text(encoding="utf-8")):
        page = (ROOT / "results" / name).read_text(encoding="utf-8")
        table = page.split("## What to rely on", 1)[1].split("\n|", 1)[1].split("\n\n")[0]
        rows += [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]
        ]
    assert rows == [
        [one.core, one.arithmetic, str(one.cases), ", ".join(one.vendors),
         str(one.mean_percent), str(one.worst_percent)]
        for one in comparisons()
    ]  # fmt: skip
    assert len(rows) >= 4
    assert len({(one.core, one.arithmetic) for one in comparisons()}) == len(rows)


@pytest.mark.parametrize("core", CORES)
def test_every_core_is_compared_or_said_to_be_unverified(core: str) -> None:
    told = {text.split()[0]: text for text in expected_error(core).split("; ")}
    known = {one.arithmetic: one for one in comparisons() if one.core == core}
    assert set(told) == {"int8", "float32", *known}
    for kind, text in told.items():
        if kind in known:
            error = int(text.split("±")[1].split("%")[0])
            assert error - 1 < known[kind].worst_percent <= error
        else:
            assert "unverified" in text


def test_the_readme_tells_the_same() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in comparisons():
        figures = f"mean {one.mean_percent} %, worst {one.worst_percent} %"
        assert f"{figures} ({one.cases} of {', '.join(one.vendors)})" in readme
    assert readme.count("| unverified") == len(KINDS) * len(CORES) - len(comparisons())


@pytest.fixture
def relying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module("relying")
    for name in ("relying", "writing"):
        sys.modules.pop(name, None)


def test_errors_become_a_mean_and_a_worst_one_by_core_and_arithmetic(relying: Any) -> None:
    found = relying.reliance(
        [
            ("cortex-m7", "float32", "ST", 4.0),
            ("cortex-m4", "int8", "ST", 1.0),
            ("cortex-m4", "int8", "Bosch", -2.26),
            ("cortex-m4", "int8", "ST", 0.5),
        ]
    )
    assert found == [
        Compared("cortex-m4", "int8", 3, ("Bosch", "ST"), 1.3, 2.3),
        Compared("cortex-m7", "float32", 1, ("ST",), 4.0, 4.0),
    ]


def test_a_page_replaces_what_it_said_and_nothing_else(
    relying: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silicon, "SILICON", tmp_path / "silicon.json")
    comparisons.cache_clear()
    silicon.SILICON.write_text("{}")
    one, two, other = (
        relying.reliance([("cortex-m3", kind, "ST", error)])
        for kind, error in (("int8", 3.2), ("int8", 4.0), ("integer", 9.1))
    )
    try:
        relying.write_down("a.md", one)
        relying.write_down("b.md", other)
        relying.write_down("a.md", two)
        assert comparisons() == (*two, *other)
        assert expected_error("cortex-m3") == (
            "int8 ± 4 % (worst of 1 by ST); float32 unverified; integer ± 10 % (worst of 1 by ST)"
        )
    finally:
        comparisons.cache_clear()


def test_the_pages_and_what_is_told_are_written_alike(relying: Any) -> None:
    pages = json.loads(silicon.SILICON.read_text(encoding="utf-8"))
    for name in pages:
        rows = [Compared(**row) for row in pages[name]]
        page = (ROOT / "results" / name).read_text(encoding="utf-8")
        assert relying.reliance_table(rows) in page
