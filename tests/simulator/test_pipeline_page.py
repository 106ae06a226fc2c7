"""results/pipeline.md is what benchmarks/pipeline.py writes."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_says_what_the_model_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pipeline = import_module("pipeline")
    for name in ("pipeline", "writing"):
        sys.modules.pop(name)
    told = (ROOT / "results" / "pipeline.md").read_text(encoding="utf-8")
    assert told.splitlines() == pipeline.page().splitlines(), "run benchmarks/pipeline.py again"
