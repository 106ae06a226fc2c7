"""What a lowered model costs on a target, and how well the same generated C does.

Each figure is kept in the cache under a digest of everything it depends on.
"""

from autotiny.evaluate.build import Build, build, write_build
from autotiny.evaluate.cost import cost, cost_from, cost_key
from autotiny.evaluate.program import program_key, program_of, sources_of
from autotiny.evaluate.runtimes import has_float16, has_hybrid, runtimes
from autotiny.evaluate.score import answers_on, outputs_of, real, score_key, score_on, stored

__all__ = [
    "Build",
    "answers_on",
    "build",
    "cost",
    "cost_from",
    "cost_key",
    "has_float16",
    "has_hybrid",
    "outputs_of",
    "program_key",
    "program_of",
    "real",
    "runtimes",
    "score_key",
    "score_on",
    "sources_of",
    "stored",
    "write_build",
]
