"""What a lowered model costs on a target, and how accurate the same generated C is.

Each figure is kept in the cache under a digest of everything it depends on.
"""

from autotiny.evaluate.accuracy import (
    accuracy_key,
    accuracy_on,
    at_chance,
    best_guess,
    real,
    standard_error,
    stored,
)
from autotiny.evaluate.build import Build, build, write_build
from autotiny.evaluate.cost import cost, cost_from, cost_key
from autotiny.evaluate.program import program_key, program_of, sources_of
from autotiny.evaluate.runtimes import has_float16, has_hybrid, runtimes

__all__ = [
    "Build",
    "accuracy_key",
    "accuracy_on",
    "at_chance",
    "best_guess",
    "build",
    "cost",
    "cost_from",
    "cost_key",
    "has_float16",
    "has_hybrid",
    "program_key",
    "program_of",
    "real",
    "runtimes",
    "sources_of",
    "standard_error",
    "stored",
    "write_build",
]
