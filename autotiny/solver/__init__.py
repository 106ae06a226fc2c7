"""The best schedule of a network for a target: options measured, then chosen by an integer program.

    problem = tabled(graph, target, cache)
    best(problem, target, Wish(flash_bytes=40 << 10)).schedule

1. `options`: what can compute each step (`engine.options`), and what it takes of flash and SRAM.
2. `measuring`: programs that mix options are linked and executed: cycles, stack and code of each.
3. `items`: the options at their places; `memory`: what their steps need of the arena.
4. `program`: the integer program; `problem`, `cuts`, `beside`: with plans of the arena; `front`:
   solved under many bounds; `best`: under a user's.
5. `patched`: the same of regions in stripes, where a bound needs them.
"""

from autotiny.solver.best import Wish, best, bounds_of, nearest, tabled, wish_from
from autotiny.solver.confirming import Point, confirmed
from autotiny.solver.front import front_of
from autotiny.solver.patched import executed_front, solved
from autotiny.solver.problem import Problem, Solution
from autotiny.solver.reasons import Reason, reasons_of

__all__ = [
    "Point",
    "Problem",
    "Reason",
    "Solution",
    "Wish",
    "best",
    "bounds_of",
    "confirmed",
    "executed_front",
    "front_of",
    "nearest",
    "reasons_of",
    "solved",
    "tabled",
    "wish_from",
]
