"""What a lowered model costs, how well its C does, and where it parts from the float network.

Each figure is kept in the cache under a digest of everything it depends on.
"""

from autotiny.evaluate.agreement import Agreement, agreement, agreement_on, outputs
from autotiny.evaluate.build import write_build, write_project
from autotiny.evaluate.cost import cost, cost_from, cost_key
from autotiny.evaluate.parting import LayerError, Parting, first_parting, growth_db, parting, told
from autotiny.evaluate.program import MODEL, program_key, program_of, sources_of
from autotiny.evaluate.runtimes import has_float16, has_hybrid, runtimes
from autotiny.evaluate.score import (
    answers_on,
    outputs_of,
    real,
    score_key,
    score_on,
    stored,
    stored_rows,
)

__all__ = [
    "MODEL",
    "Agreement",
    "LayerError",
    "Parting",
    "agreement",
    "agreement_on",
    "answers_on",
    "cost",
    "cost_from",
    "cost_key",
    "first_parting",
    "growth_db",
    "has_float16",
    "has_hybrid",
    "outputs",
    "outputs_of",
    "parting",
    "program_key",
    "program_of",
    "real",
    "runtimes",
    "score_key",
    "score_on",
    "sources_of",
    "stored",
    "stored_rows",
    "told",
    "write_build",
    "write_project",
]
