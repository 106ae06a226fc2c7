"""What documents and published measurements say of each core, against the cycle model.

    PYTHONPATH=tests:tests/simulator python benchmarks/pipeline.py

assembles the micro-benchmarks of tests/micro_benchmarks.py, issues them through the model and
writes results/pipeline.md. The memory tables are those of tests/simulator/test_cycles_memory.py.
"""

from __future__ import annotations

from pathlib import Path

from micro_benchmarks import CASES, COUNTED, REFERENCES, UNDOCUMENTED, Case, model_cycles
from test_cycles_memory import FETCHES, LOOPS, ROUNDS, WAITS
from writing import row

PAGE = Path(__file__).resolve().parent.parent / "results" / "pipeline.md"
NAMES = {
    "cortex-m0plus": "Cortex-M0+", "cortex-m3": "Cortex-M3", "cortex-m4": "Cortex-M4",
    "cortex-m33": "Cortex-M33", "cortex-m7": "Cortex-M7", "rv32imc": "RV32IMC (ESP32-C3)",
}  # fmt: skip
ABSENT = {
    "cortex-m0plus": "Not in the instruction set: LDRD and STRD, indexed loads and stores, IT, "
    "multiply-accumulate, unaligned data, an FPU.",
    "cortex-m3": "Not in the core: SIMD, an FPU.",
    "rv32imc": "Not in the instruction set: load and store multiple, indexed loads and stores, "
    "predication, multiply-accumulate, an FPU.",
}
ARITHMETIC = (
    "These rows are worked out by hand from wait states, widths and sizes as a target file gives "
    "them. They check the arithmetic of the simulation, not silicon; what firmware loses on "
    "silicon is in [fidelity.md](fidelity.md)."
)


def number(cycles: float) -> str:
    """As short as it is exact."""
    return f"{cycles:.3f}".rstrip("0").rstrip(".")


def code(text: str) -> str:
    """Instructions in a cell."""
    return f"`{text}`"


def line(case: Case) -> str:
    """A micro-benchmark's line; what differs stands out."""
    found = number(model_cycles(case))
    model = found if found == number(case.cycles) else f"**{found}, differs**"
    cells = (case.what, code(case.code), case.counted, number(case.cycles), model, case.source)
    return row(*cells)


def differs(case: Case) -> bool:
    """Whether the model gives other cycles than the source."""
    return number(model_cycles(case)) != number(case.cycles)


def summary() -> list[str]:
    """Rows of each core, and those that differ."""
    lines = [row("core", "rows", "as the source says", "differ", "no document")]
    lines.append("|---|---|---|---|---|")
    others = {core: [one for one in CASES if one.core == core and differs(one)] for core in NAMES}
    for core, name in NAMES.items():
        total = sum(one.core == core for one in CASES)
        unknown = sum(one.core == core for one in UNDOCUMENTED)
        lines.append(row(name, total, total - len(others[core]), len(others[core]), unknown))
    lines += ["", "## Where the model differs", ""]
    lines += [row("core", "effect", "instructions", "source says", "model", "source")]
    lines.append("|---|---|---|---|---|---|")
    for core, name in NAMES.items():
        for one in others[core]:
            cells = (code(one.code), number(one.cycles), number(model_cycles(one)), one.source)
            lines.append(row(name, one.what, *cells))
    return lines


def section(core: str) -> list[str]:
    """Everything about a core."""
    cases = [case for case in CASES if case.core == core]
    unknown = [case for case in UNDOCUMENTED if case.core == core]
    lines = ["", f"## {NAMES[core]}", ""]
    lines += [f"- [{key}] {text}" for key, text in REFERENCES[core].items()]
    lines += ["", row("effect", "instructions", "counted", "source says", "model", "source")]
    lines += ["|---|---|---|---|---|---|", *map(line, cases)]
    if unknown:
        lines += ["", "No document known:", ""]
        lines += [row("effect", "instructions", "counted", "the model takes"), "|---|---|---|---|"]
        lines += [
            row(one.what, code(one.code), one.counted, number(model_cycles(one))) for one in unknown
        ]
    if core in ABSENT:
        lines += ["", ABSENT[core]]
    return lines


def memory() -> list[str]:
    """What the memory model's own cases check."""
    lines = ["", "## Memory", "", ARITHMETIC, "", "### Data", ""]
    lines.append(
        "Reads (r) and writes (w) at an offset in a memory at a cycle, and what they wait."
    )
    lines += ["", row("effect", "accesses: offset at cycle → waits"), "|---|---|"]
    for what, _, accesses in WAITS:
        told = [f"{kind} {offset} at {when} → {waits}" for kind, offset, when, waits in accesses]
        lines.append(row(what, "; ".join(told)))
    lines += [
        "",
        "### Fetches",
        "",
        "Cycles that fetches wait in a cold run and in the next one.",
        "",
    ]
    lines += [row("effect", "cold", "next"), "|---|---|---|"]
    lines += [row(what, cold, warm) for what, _, _, cold, warm in FETCHES]
    lines += ["", f"Two blocks that jump to each other {ROUNDS} times, 5 cycles a miss:", ""]
    lines += [row("effect", "all rounds"), "|---|---|"]
    lines += [row(what, cycles) for what, _, cycles in LOOPS]
    return [
        *lines,
        "",
        "Further tests of tests/simulator/test_cycles_memory.py: a data read goes before what a "
        "flash reads ahead; the accesses of a block are spread over its cycles; a load across a "
        "word border; random replacement; one predictor a branch.",
    ]


def page() -> str:
    """results/pipeline.md."""
    lines = [
        "# The cycle model against documents",
        "",
        "Written by `PYTHONPATH=tests:tests/simulator python benchmarks/pipeline.py`. Each row is "
        "a few instructions that show one effect, the cycles that a document or a published "
        "measurement gives, and those of the model, from memory that answers at once. "
        "tests/simulator/test_cycles_cores.py fails if the model gives anything else than what "
        "stands here, in a row that differs too.",
        "",
        *summary(),
        "",
        "## What is counted",
        "",
        *(f"- {name}: {text}" for name, text in COUNTED.items()),
    ]
    for core in NAMES:
        lines += section(core)
    return "\n".join([*lines, *memory(), ""])


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
