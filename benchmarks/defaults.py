"""Every component with its defaults on every built-in network: is any worse in all figures at once?

    python benchmarks/defaults.py [--networks cnn1 …]

Each stands where it may in the sequence that a search knows to be good, int8 → fuse_operators →
block_gemm → spend_sram (in it already, it is taken out for the comparison; a lowering stands for
int8 and is compared with float32). Nothing is trained: shapes decide. Writes results/defaults.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from writing import row, step

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work, is_lowering, objection
from autotiny.dataset import synthetic
from autotiny.errors import AutotinyError
from autotiny.evaluate import cost
from autotiny.model import BUILTIN, Level, load_model
from autotiny.recipe import Recipe, apply
from autotiny.target import load_target

RESULT = Path(__file__).parent.parent / "results" / "defaults.md"
BOARDS = {"M4": "stm32l4r5", "M7": "stm32h743", "M0+": "rp2040"}
BEST = (step("int8"), step("fuse_operators"), step("block_gemm"), step("spend_sram"))
WORSE = 1.02
"""More than this share of what it was is worse."""

Figures = tuple[tuple[int, int, int], ...]
"""(flash, SRAM, cycles) on each board."""


def sequences(component: Component) -> tuple[Recipe, Recipe]:
    """Without and with a component, as near to the end as it may stand."""
    if is_lowering(type(component)):
        return Recipe((step("float32"), *BEST[1:])), Recipe((component, *BEST[1:]))
    if component in BEST:
        return Recipe(tuple(other for other in BEST if other != component)), Recipe(BEST)
    for place in range(len(BEST), -1, -1):
        steps = (*BEST[:place], component, *BEST[place:])
        if objection([type(one) for one in steps], Level.KERAS) is None:
            return Recipe(BEST), Recipe(steps)
    raise AssertionError(component)


@cache
def figures(recipe: Recipe, network: str) -> Figures:
    """What a sequence, applied for each board, costs there."""
    model, cache = load_model(network), Cache()
    work = Work(data=synthetic(model, samples=8), rehearse=True)
    found = []
    for target in map(load_target, BOARDS.values()):
        made = apply(recipe, model, replace(work, target=target), cache).model
        one = cost(made, target, cache)
        found.append((one.flash_bytes, one.sram_bytes, one.cycles))
    return tuple(found)


def lines(network: str) -> Iterator[tuple[str, bool]]:
    """A row for each component that acts on a network, and whether it is worse in all figures."""
    for kind in COMPONENTS.values():
        component = kind()
        without, with_it = sequences(component)
        if without == with_it:
            continue
        try:
            before, after = figures(without, network), figures(with_it, network)
        except AutotinyError as refusal:
            yield row(kind.name, network, f"refused: {refusal}", *("",) * 8), False
            continue
        if before == after:
            continue
        shares = [
            [a / b for a, b in zip(after_one, before_one, strict=True)]
            for after_one, before_one in zip(after, before, strict=True)
        ]
        suits = [load_target(board).usable_cores >= kind.cores for board in BOARDS.values()]
        worse = any(suit and min(board) > WORSE for suit, board in zip(suits, shares, strict=True))
        cells = (
            f"{100 * (share - 1):+.1f}" if suit else ""
            for suit, board in zip(suits, shares, strict=True)
            for share in board
        )
        yield row(kind.name, network, *cells, "✗" if worse else ""), worse


def main() -> None:
    """Write results/defaults.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=list(BUILTIN), choices=list(BUILTIN))
    networks = parser.parse_args().networks
    rows, failed = [], 0
    for network in networks:
        for line, worse in lines(network):
            rows.append(line)
            failed += worse
            print(line, flush=True)
    head = row(
        "component", "network",
        *(f"{figure} {core}" for core in BOARDS for figure in ("flash", "SRAM", "cycles")), "",
    )  # fmt: skip
    text = f"""\
# Every component with its defaults

`python benchmarks/defaults.py`

The change in percent by each component on {", ".join(networks)}; those that change nothing there
do not stand here. In the sequence {" → ".join(one.name for one in BEST)}, rehearsed, on
{", ".join(BOARDS.values())}; partition_cores needs two cores. ✗: flash, SRAM and cycles all more
than 2 % worse on one board; there are {failed} such rows.

"""
    table = [head, "|" + "---|" * 12, *rows, ""]
    RESULT.write_text(text + "\n".join(table), encoding="utf-8")


if __name__ == "__main__":
    main()
