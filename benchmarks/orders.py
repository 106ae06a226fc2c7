"""The order of instructions that a Cortex-M7 issues fastest, by the engine's own cycle model.

    python benchmarks/orders.py [--iterations N]

Straight-line pieces of the kernels are written down here in any order that computes right. Hill
climbing moves instructions past those that they do not depend on, and the cheapest order becomes
`strip_order_s8.h` and `row_pairs_order_s8.h`; the order of the taps of dense layers is printed, for
`dense_gemm_s8.h`. The same seeds give the same files.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from assembly import assemble  # noqa: E402 - of the tests
from micro_benchmarks import instructions  # noqa: E402

from autotiny.cores import CORES  # noqa: E402
from autotiny.cores.pipeline import block_cost, issue  # noqa: E402

CORE = "cortex-m7"
VARIANTS = ROOT / "autotiny" / "engine" / "variants"
TEMPORARIES = ("r2", "r3", "r12", "lr")
SEEDS = range(3)
MOVES = (-6, -4, -3, -2, -1, 1, 2, 3, 4, 6)

HELD = re.compile(r"held (\w+), (\d)")
"""A value from where it waits: AT_HELD of row_pairs_run_s8.h."""


def concrete(code: str) -> str:
    """An instruction as the assembler takes it, with operands of some layer."""
    code = HELD.sub(r"vmov \1, s\2", code)
    return code.replace("%c[pitch]", "416").replace("%c[next]", "32").replace("%c[second]", "800")


def accesses(code: str) -> tuple[set[str], set[str]]:
    """What an instruction reads and writes; "upper" is the row that must be stored last."""
    code = concrete(code)
    name = code.split()[0].split(".")[0]
    registers = re.findall(r"\b(?:r\d+|lr|sp|s\d)\b", code.split(None, 1)[1])
    reads, writes = set(registers[1:]), {registers[0]}
    if name in ("str", "strb"):
        reads, writes = set(registers), set()
        if name == "strb":
            (writes if registers[1] == "r3" else reads).add("upper")
        else:
            writes.add("stored")
    elif name in ("cmp", "bfi"):
        reads, writes = set(registers), {"flags"} if name == "cmp" else {registers[0]}
    elif name == "ssub8":
        writes.add("lanes")
    elif name == "sel":
        reads.add("lanes")
    if re.search(r"\]!|\], #", code):
        writes.add(registers[1])
    return reads, writes


def ordered(code: Sequence[str], iterations: int, *, loops: bool = False) -> list[str]:
    """The cheapest order found, of a piece that runs once or behind itself."""
    timing = CORES[CORE].timing
    effects = [accesses(one) for one in code]
    words = assemble(CORE, [concrete(one) for one in code])
    fixed = [
        [bool(a[1] & (b[0] | b[1]) or a[0] & b[1]) for b in effects] for a in effects
    ]  # whether two keep their order

    def cost(order: Sequence[int]) -> float:
        run = instructions(CORE, b"".join(words[i] for i in order))
        return block_cost(timing, run * 2, run)[0] if loops else issue(timing, run).end

    best, least = list(range(len(code))), cost(range(len(code)))
    for seed in SEEDS:
        dice = random.Random(seed)
        order = list(range(len(code)))
        now = cost(order)
        for _ in range(iterations):
            at, by = dice.randrange(len(order)), dice.choice(MOVES)
            trial, step = list(order), 1 if by > 0 else -1
            for place in range(at, at + by, step):
                beside = place + step
                if not 0 <= beside < len(trial) or fixed[trial[place]][trial[beside]]:
                    break
                trial[place], trial[beside] = trial[beside], trial[place]
            else:
                cycles = cost(trial)
                if cycles <= now or dice.random() < 0.01:
                    order, now = trial, cycles
                if now < least:
                    best, least = list(order), now
    print(f"{len(code)} instructions: {cost(range(len(code)))} → {least} cycles", flush=True)
    return [code[i] for i in best]


def scaled(sums: Sequence[str], finish: str, constants: Sequence[str]) -> list[str]:
    """Sums times the multiplier, rounded: the registers hold multiplier and rounding."""
    m, r = constants
    if finish == "relu":
        return [f"smmlar {a}, {a}, {m}, {r}" for a in sums]
    return [
        line
        for a in sums
        for line in (
            f"smmulr {a}, {a}, {m}",
            f"add.w {a}, {a}, {a}, asr #31",
            f"add.w {a}, {a}, {r}",
        )
    ]


def strip_tail(finish: str, bounds: Sequence[int]) -> list[str]:
    """From eight sums to two words of outputs; bounds are stack words, the upper one first."""
    code = [f"lsl.w r{i}, r{i}, #1" for i in range(4, 12)]
    for channel in range(4):
        names = [TEMPORARIES[(3 * channel + i) % 4] for i in range(3)]
        code += [f"ldr.w {name}, [r1, #{12 * channel + 4 * i}]" for i, name in enumerate(names)]
        sums = [f"r{4 + 2 * channel}", f"r{5 + 2 * channel}"]
        code += scaled(sums, finish, names[:2])
        code += [f"asr.w {a}, {a}, {names[2]}" for a in sums]
        code += [f"ssat {a}, #8, {a}" for a in sums]
    code += [f"bfi r{a}, r{a + 2}, #8, #24" for a in (4, 5, 8, 9)]
    code += [f"pkhbt r{a}, r{a}, r{a + 4}, lsl #16" for a in (4, 5)]
    for number, word in enumerate(bounds):
        code.append(f"ldr.w r6, [sp, #{word}]")
        for a in ("r4", "r5"):
            sides = (a, "r6") if number else ("r6", a)
            code += [f"ssub8 r7, {sides[0]}, {sides[1]}", f"sel {a}, {a}, r6"]
    return [
        *code, "ldr.w r2, [sp, #12]", "ldr.w r3, [sp, #16]", "ldr.w r12, [sp, #20]",
        "ldr.w lr, [sp, #24]", "str.w r5, [r2, r3]", "str.w r4, [r2]", "add.w r2, r2, r12",
        "str.w r2, [sp, #12]", "cmp.w r0, lr",
    ]  # fmt: skip


def column(n: int, upper: str, lower: str) -> list[str]:
    """The words of a column of both pairs of rows."""
    at = f"+{16 * n}" if n else ""
    first = f"[r0, #{16 * n}]" if n else "[r0]"
    return [f"ldr.w {upper}, {first}", f"ldr.w {lower}, [r0, #%c[pitch]{at}]"]


def square(upper: str, lower: str, a: str, b: str, start: str = "") -> list[str]:
    """A tap of both rows of outputs."""
    return [
        f"smlad {upper}, r2, {a}, {start or upper}", f"smlatb {lower}, r2, {a}, {start or lower}",
        f"smlabt {upper}, r3, {b}, {upper}", f"smlad {lower}, r3, {b}, {lower}",
    ]  # fmt: skip


def row_sums(stride: int) -> list[str]:
    """Two by two outputs of stride 1, or two of stride 2."""
    if stride == 1:
        left, right = ("r10", "r11"), ("r12", "lr")
        return [
            "held lr, 0", *column(0, "r2", "r3"), *square(*left, "r4", "r5", "lr"),
            *column(1, "r2", "r3"), *square(*right, "r4", "r5", "lr"), *square(*left, "r6", "r7"),
            *column(2, "r2", "r3"), *square(*left, "r8", "r9"), *square(*right, "r6", "r7"),
            *column(3, "r2", "r3"), "add.w r0, r0, #32", *square(*right, "r8", "r9"),
        ]  # fmt: skip
    return [
        "held r11, 0", *column(0, "r2", "r3"), *column(1, "r12", "lr"),
        "smlad r10, r2, r4, r11", "smlabt r10, r3, r5, r10", "smlad r10, r12, r6, r10",
        "smlabt r10, lr, r7, r10", *column(2, "r2", "r3"), *column(3, "r12", "lr"),
        "smlad r11, r2, r4, r11", "smlad r10, r2, r8, r10", "smlabt r11, r3, r5, r11",
        "smlabt r10, r3, r9, r10", "smlad r11, r12, r6, r11", "smlabt r11, lr, r7, r11",
        *column(4, "r2", "r3"), "add.w r0, r0, #64", "smlad r11, r2, r8, r11",
        "smlabt r11, r3, r9, r11",
    ]  # fmt: skip


def row_tail(stride: int, finish: str) -> list[str]:
    """Their outputs."""
    sums = ("r10", "r11", "r12", "lr") if stride == 1 else ("r10", "r11")
    shift = "r2" if stride == 1 else "r12"
    code = ["held r2, 1", "held r3, 2", *scaled(sums, finish, ("r2", "r3")), f"held {shift}, 3"]
    code += [f"asr.w {a}, {a}, {shift}" for a in sums] + [f"ssat {a}, #8, {a}" for a in sums]
    if stride == 2:
        return [*code, "strb.w r10, [r1]", "strb.w r11, [r1, #%c[next]]", "add r1, r1, #2*%c[next]"]
    return [
        *code, "held r3, 6", "add.w r3, r3, r1", "strb.w r11, [r3]", "strb.w lr, [r3, #%c[next]]",
        "strb.w r10, [r1]", "strb.w r12, [r1, #%c[next]]", "add r1, r1, #2*%c[next]",
    ]  # fmt: skip


def row_end(stride: int, finish: str) -> list[str]:
    """The last of an odd number of columns: an output of each row of stride 1, or one."""
    columns = (("r2", "r3", "r4", "r5"), ("r12", "lr", "r6", "r7"), ("r2", "r3", "r8", "r9"))
    sums = ("r10", "r11") if stride == 1 else ("r10",)
    code = ["held r10, 0", *(["held r11, 0"] if stride == 1 else [])]
    for n, (x, y, a, b) in enumerate(columns):
        code += [*column(n, x, y), f"smlad r10, {x}, {a}, r10", f"smlabt r10, {y}, {b}, r10"]
        if stride == 1:
            code += [f"smlatb r11, {x}, {a}, r11", f"smlad r11, {y}, {b}, r11"]
    code += ["held r2, 1", "held r3, 2", *scaled(sums, finish, ("r2", "r3")), "held r12, 3"]
    code += [f"asr.w {a}, {a}, r12" for a in sums] + [f"ssat {a}, #8, {a}" for a in sums]
    lower = ["held r3, 6", "add.w r3, r3, r1", "strb.w r11, [r3]"] if stride == 1 else []
    return [*code, *lower, "strb.w r10, [r1]"]


def dense_taps() -> list[str]:
    """Four taps of eight outputs; the first words of the next ones are loaded here."""
    code = ["sxtb16 r3, r2, ror #8", "ldr.w lr, [r1, #4]", "sxtb16 r2, r2"]
    for word in range(8):
        x, w = ("r2", "r3")[word // 4], ("r12", "lr")[word % 2]
        s, t = (f"r{4 + 2 * (word % 4) + i}" for i in range(2))
        ahead = "!" if word == 6 else ""
        load = f"ldr.w {w}, [r1, #{4 * word + 8}]{ahead}" if word < 7 else "ldr.w r2, [r0], #4"
        code += [f"smlad {s}, {x}, {w}, {s}", f"sxtb16 {w}, {w}", f"smlad {t}, {x}, {w}, {t}", load]
    return code


def macro(name: str, code: Sequence[str]) -> str:
    """A piece as a macro, three instructions a line."""
    lines, row = [], ""
    for one in code:
        held = HELD.fullmatch(one)
        if held or row.count("\\n") == 3:
            lines += [f'"{row}"'] if row else []
            row = ""
        if held:
            lines.append(f'AT_HELD("{held[1]}", {held[2]})')
        else:
            row += f"{one}\\n"
    lines += [f'"{row}"'] if row else []
    return f"#define {name} \\\n" + " \\\n".join(f"  {line}" for line in lines) + "\n"


def header(guard: str, what: str, macros: Sequence[str]) -> str:
    """A file of such macros."""
    return (
        "// Instructions in the order that a Cortex-M7 issues fastest; written by "
        f'benchmarks/orders.py.\n#ifndef {guard}\n#define {guard}\n\n#include "port.h"\n\n'
        f"#if AT_DSP && AT_LOADS_AHEAD\n// {what}\n{''.join(macros)}#endif\n\n#endif\n"
    )


def main() -> None:
    """Write the headers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--iterations", type=int, default=6000)
    n = parser.parse_args().iterations
    tails = {"RELU": ("relu", ()), "SIGNED": ("signed", ()), "CAP": ("relu", (32,)),
             "CLAMP": ("signed", (32, 28))}  # fmt: skip
    strips = [
        macro(f"AT_STRIP_TAIL_{name}", ordered(strip_tail(finish, bounds), n))
        for name, (finish, bounds) in tails.items()
    ]
    what = "From the sums of two pixels and four channels to their outputs."
    text = header("AT_STRIP_ORDER_S8_H", what, strips)
    (VARIANTS / "strip" / "strip_order_s8.h").write_text(text, encoding="utf-8")
    rows = []
    for stride in (1, 2):
        rows.append(macro(f"AT_ROW_MACS_{stride}", ordered(row_sums(stride), n)))
        for finish in ("relu", "signed"):
            code = ordered(row_tail(stride, finish), n)
            rows.append(macro(f"AT_ROW_{finish.upper()}_{stride}", code))
            code = ordered(row_end(stride, finish), n)
            rows.append(macro(f"AT_END_{finish.upper()}_{stride}", code))
    text = header("AT_ROW_PAIRS_ORDER_S8_H", "Sums and outputs of row_pairs_run_s8.h.", rows)
    (VARIANTS / "row_pairs" / "row_pairs_order_s8.h").write_text(text, encoding="utf-8")
    print(macro("AT_TAPS", ordered(dense_taps(), n, loops=True)))


if __name__ == "__main__":
    main()
