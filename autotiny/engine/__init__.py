"""The engine: a graph and a schedule become C that computes the network, bit for bit as specified.

    from autotiny.engine import generate, plain_schedule
    sources = generate(graph, plain_schedule(graph))
    sources.files["model.c"]

How to add an op
----------------
1. Write its kernel in `kernels/<name>.h`: plain C99, `AT_INLINE` functions prefixed `at_`, shapes
   above the loops, `#include "port.h"` for everything that depends on the core or the compiler.
   Shapes and scales are parameters; the generated code calls with constants, which the compiler
   bakes in. Large parameter sets are small structs, written by `kernel.initializer(...)`.
2. Write its emitter in `ops/<name>.py`: a function `Site → Kernel`. `Site` gives the op's tensors,
   options and the step; `site.refuse(why)` raises `UnsupportedOp`. The `Kernel` names the header,
   the body (a call), the operands (`site.reads("x")`, `site.writes()`, `table("w", array)`,
   `scratch("buffer", bytes)`) and, if the output may lie over an input that dies there, `overlaps`;
   a kernel that does nothing but rename memory gives `aliases` and no body.
3. Add one entry per arithmetic to the table of its file, see `EMITTERS` in `ops/__init__.py`:
   (kind, arithmetic) → emitter and what it relies on, `Declared` of `declared.py`.
4. Add a test in `tests/engine/`: generated cases against TensorFlow Lite Micro.

A faster way to compute layers on int8 is no op but a variant: see `variants`.

Offsets, deduplication of functions and constants, and the text are the business of `generate.py`
and `memory.py`; an emitter never sees an address.
"""

from __future__ import annotations

from autotiny.engine.coding import with_coded_weights, with_skipped_zeros
from autotiny.engine.fusing import fuse
from autotiny.engine.generate import check_name, check_supported, generate
from autotiny.engine.ordering import with_least_memory
from autotiny.engine.owner import State
from autotiny.engine.schedules import plain_schedule
from autotiny.engine.sources import Port, Raw, Sources
from autotiny.engine.styles import Style, schedule_for, with_room
from autotiny.engine.variants.blocks import with_blocks, with_expanded_weights
from autotiny.engine.variants.pairs import with_pairs
from autotiny.engine.variants.strassen import with_strassen
from autotiny.engine.variants.winograd import with_winograd

__all__ = [
    "Port",
    "Raw",
    "Sources",
    "State",
    "Style",
    "check_name",
    "check_supported",
    "fuse",
    "generate",
    "plain_schedule",
    "schedule_for",
    "with_blocks",
    "with_coded_weights",
    "with_expanded_weights",
    "with_least_memory",
    "with_pairs",
    "with_room",
    "with_skipped_zeros",
    "with_strassen",
    "with_winograd",
]
