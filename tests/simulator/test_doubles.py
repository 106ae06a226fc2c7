"""Double precision on the Cortex-M7: each instruction of the FPv5-D16 gives the bits it must.

Expected is what numpy's IEEE 754 arithmetic, exact fractions and the rules for NaNs in Arm's
"ARMv7-M Architecture Reference Manual" (DDI 0403), section A2.5, give.
"""

import math
import operator
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from assembly import assemble
from elftools.elf.elffile import ELFFile
from numpy.typing import NDArray
from tiny_model import expected, tiny_sources
from unicorn import UC_HOOK_CODE, arm_const

from autotiny.errors import FirmwareFault
from autotiny.firmware import link
from autotiny.simulator import measure_elf, run
from autotiny.simulator.cycles import CycleCounter
from autotiny.simulator.doubles import doubles_in
from autotiny.simulator.images import stored
from autotiny.simulator.processor import Processor
from autotiny.target import load_target

Bits = NDArray[np.uint64]

SIGN, QUIET = 1 << 63, 1 << 51
DEFAULT_NAN = 0x7FF8_0000_0000_0000
SPECIAL = (
    0.0, 1.0, 1.5, 0.1, 3.0, math.pi, 2.0**-53, 1 + 2.0**-52, 2.0**53 + 2, 6.02e23,
    2.0**-1022, 2.0**-1074, 2.0**-1022 - 2.0**-1074, 2.0**1023, sys.float_info.max, math.inf,
)  # fmt: skip
NANS = (DEFAULT_NAN, 0x7FF8_0000_0000_1234, 0xFFFA_0000_0000_0000, 0x7FF0_0000_0000_0001,
        0xFFF4_0000_0000_0000)  # fmt: skip
INVALID, DIVIDED, OVERFLOW, UNDERFLOW, INEXACT, DENORMAL = 1, 2, 4, 8, 16, 128
FLUSH_TO_ZERO, DEFAULT_NANS = 1 << 24, 1 << 25
TO_NEAREST, UP, DOWN, TO_ZERO = (mode << 22 for mode in range(4))


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def number(pattern: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", pattern))[0])


def is_nan(pattern: int) -> bool:
    return pattern & ~SIGN > 0x7FF << 52


def is_signaling(pattern: int) -> bool:
    return is_nan(pattern) and not pattern & QUIET


def values() -> list[int]:
    """Special values of both signs, and NaNs."""
    return [bits(sign * value) for value in SPECIAL for sign in (1, -1)] + list(NANS)


def pairs() -> Sequence[tuple[int, ...]]:
    """Special values against each other, and random ones of like and of any size."""
    generator = np.random.default_rng(0)
    like = generator.uniform(-2, 2, (200, 2)).view(np.uint64).tolist()
    anything = generator.integers(0, 1 << 64, (200, 2), np.uint64).tolist()
    return [*product(values(), repeat=2), *map(tuple, like), *map(tuple, anything)]


def singles() -> Sequence[tuple[int, ...]]:
    return [(a,) for a in values()] + [(a,) for a, _ in pairs()[-400:]]


def executed(
    operation: str, rows: Sequence[Sequence[int]], fpscr: int = 0
) -> tuple[list[int], list[int]]:
    """d0 and FPSCR behind an operation on d0, d1, d2, for each row of their bits.

    r3 may be used; FPSCR is set before each.
    """
    columns = np.zeros((len(rows), 3), np.uint64)
    columns[:, : len(rows[0])] = rows
    loop = (
        f"vmsr fpscr, r4; vldm r0!, {{d0-d2}}; {operation}; vstm r1!, {{d0}}; vmrs r3, fpscr; "
        "str r3, [r1], #8; subs r2, #1; bne 1b"
    )
    (code,) = assemble("cortex-m7", [f"1: {loop}"])
    target = load_target("stm32h743")
    sram = max(target.data_memories, key=lambda memory: memory.size_bytes)
    with Processor(target, {}) as processor:
        processor.write(target.flash.origin, code)
        end = target.flash.origin + len(code)
        processor.stop_at([end])
        results = sram.origin + columns.nbytes
        processor.write(sram.origin, columns.tobytes())
        for register, value in enumerate((sram.origin, results, len(rows), 0, fpscr)):
            processor.uc.reg_write(arm_const.UC_ARM_REG_R0 + register, value)
        assert processor.run(target.flash.origin) == end
        found = np.frombuffer(processor.read(results, 16 * len(rows)), np.uint64)
    return found[::2].tolist(), (found[1::2] & np.uint64(0xFFFF_FFFF)).tolist()


def check(
    operation: str,
    rows: Sequence[Sequence[int]],
    expected: Callable[..., int],
    fpscr: int = 0,
) -> None:
    """An operation's results have the expected bits."""
    found, _ = executed(operation, rows, fpscr)
    wrong = [
        f"{operation} of {[f'{v:#018x}' for v in row]}: {one:#018x}, not {right:#018x}"
        for row, one in zip(rows, found, strict=True)
        for right in [expected(*row)]
        if one != right
    ]
    assert not wrong, "\n".join(wrong[:10])


def chosen_nan(*operands: int) -> int | None:
    """The NaN that an operation on these operands gives: signaling ones first, made quiet."""
    for wanted in (is_signaling, is_nan):
        for operand in operands:
            if wanted(operand):
                return operand | QUIET
    return None


def negated(pattern: int) -> int:
    return pattern ^ SIGN


def arithmetic(compute: Callable[..., np.float64]) -> Callable[..., int]:
    """numpy's result, with NaNs as Arm has them."""

    def expected(*operands: int) -> int:
        nan = chosen_nan(*operands)
        if nan is not None:
            return nan
        with np.errstate(all="ignore"):
            result = float(compute(*(np.float64(number(operand)) for operand in operands)))
        return DEFAULT_NAN if math.isnan(result) else bits(result)

    return expected


ADD, SUBTRACT, MULTIPLY, DIVIDE = (
    arithmetic(compute) for compute in (operator.add, operator.sub, operator.mul, operator.truediv)
)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("vadd.f64 d0, d0, d1", ADD),
        ("vsub.f64 d0, d0, d1", SUBTRACT),
        ("vmul.f64 d0, d0, d1", MULTIPLY),
        ("vnmul.f64 d0, d0, d1", lambda a, b: negated(MULTIPLY(a, b))),
        ("vdiv.f64 d0, d0, d1", DIVIDE),
        ("vmaxnm.f64 d0, d0, d1", lambda a, b: extreme(a, b, 1)),
        ("vminnm.f64 d0, d0, d1", lambda a, b: extreme(a, b, -1)),
    ],
)
def test_arithmetic_of_two(operation: str, expected: Callable[..., int]) -> None:
    check(operation, pairs(), expected)


def extreme(a: int, b: int, sign: int) -> int:
    """A number beats a quiet NaN, and +0 is larger than -0."""
    if is_signaling(a) or is_signaling(b) or (is_nan(a) and is_nan(b)):
        nan = chosen_nan(a, b)
        assert nan is not None
        return nan
    if is_nan(a) or is_nan(b):
        return b if is_nan(a) else a
    return max(a, b, key=lambda v: (sign * number(v), sign * math.copysign(1, number(v))))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("vsqrt.f64 d0, d0", arithmetic(np.sqrt)),
        ("vabs.f64 d0, d0", lambda a: a & ~SIGN),
        ("vneg.f64 d0, d0", negated),
        ("vmov.f64 d3, d0; vmov.f64 d0, d3", lambda a: a),
        ("vmov r3, r5, d0; vmov d0, r5, r3", lambda a: a >> 32 | (a & 0xFFFF_FFFF) << 32),
        ("vmov r3, s1; vmov.32 d0[0], r3", lambda a: (a >> 32) * 0x1_0000_0001),
        ("vmov.f64 d0, #-1.9375", lambda a: bits(-1.9375)),
        ("vpush {d0-d1}; vldr d0, [sp, #8]; add sp, #16", lambda a: 0),
    ],
)
def test_operations_on_one(operation: str, expected: Callable[..., int]) -> None:
    if "sp" in operation:
        operation = f"add r3, r1, #64; mov sp, r3; {operation}"
    check(operation, singles(), expected)


def nearest(exact: Fraction) -> float:
    """The double nearest to a fraction, ties to even: so Python divides integers."""
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def fused(addend: int, a: int, b: int) -> int:
    """addend + a · b, rounded once."""
    x, y, z = number(addend), number(a), number(b)
    meaningless = sorted((abs(y), abs(z))) == [0, math.inf]
    if meaningless and not is_signaling(addend):
        return DEFAULT_NAN
    nan = chosen_nan(addend, a, b)
    if nan is not None:
        return nan
    if math.isinf(x) or math.isinf(y) or math.isinf(z):
        return ADD(addend, bits(y * z) if math.isinf(y) or math.isinf(z) else 0)
    exact = Fraction(x) + Fraction(y) * Fraction(z)
    if exact == 0:
        return ADD(addend, bits(y * z)) if y * z == 0 else 0
    return bits(nearest(exact))


FEWER = [bits(sign * value) for value in SPECIAL[::2] for sign in (1, -1)] + list(NANS)
TRIPLES = [
    *product(FEWER, repeat=3),
    *((bits(-number(a) * number(b)), a, b) for a, b in pairs()[-400:]),  # leave the rounding error
]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("vfma", fused),
        ("vfms", lambda c, a, b: fused(c, negated(a), b)),
        ("vfnma", lambda c, a, b: fused(negated(c), negated(a), b)),
        ("vfnms", lambda c, a, b: fused(negated(c), a, b)),
        ("vmla", lambda c, a, b: ADD(c, MULTIPLY(a, b))),
        ("vmls", lambda c, a, b: ADD(c, negated(MULTIPLY(a, b)))),
        ("vnmla", lambda c, a, b: ADD(negated(c), negated(MULTIPLY(a, b)))),
        ("vnmls", lambda c, a, b: ADD(negated(c), MULTIPLY(a, b))),
    ],
)
def test_products_that_are_added(operation: str, expected: Callable[..., int]) -> None:
    check(f"{operation}.f64 d0, d1, d2", TRIPLES, expected)


EXACT: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "vadd": operator.add, "vsub": operator.sub, "vmul": operator.mul, "vdiv": operator.truediv,
}  # fmt: skip
FINITE = [(a, b) for a, b in pairs() if math.isfinite(number(a)) and math.isfinite(number(b))]


def exact_rows(operation: str) -> list[tuple[tuple[int, ...], Fraction]]:
    """Finite operands with their exact result, where it is not zero."""
    results = [
        (row, EXACT[operation](*(Fraction(number(operand)) for operand in row)))
        for row in FINITE
        if operation != "vdiv" or number(row[1])
    ]
    return [(row, exact) for row, exact in results if exact]


def directed(exact: Fraction, mode: int) -> float:
    """The double that a rounding mode of FPSCR gives."""
    value = nearest(exact)
    down = mode == DOWN or (mode == TO_ZERO and exact > 0)
    up = mode == UP or (mode == TO_ZERO and exact < 0)
    if (down and value > exact) or (up and value < exact):
        return math.nextafter(value, -math.inf if down else math.inf)
    return value


@pytest.mark.parametrize("operation", EXACT)
@pytest.mark.parametrize("mode", [TO_NEAREST, UP, DOWN, TO_ZERO])
def test_rounding_modes(operation: str, mode: int) -> None:
    rows = dict(exact_rows(operation))
    check(
        f"{operation}.f64 d0, d0, d1",
        list(rows),
        lambda *row: bits(directed(rows[row], mode)),
        mode,
    )


@pytest.mark.parametrize("operation", EXACT)
def test_cumulative_flags(operation: str) -> None:
    rows = dict(exact_rows(operation))
    _, found = executed(f"{operation}.f64 d0, d0, d1", list(rows))
    for (row, exact), flags in zip(rows.items(), found, strict=True):
        value = nearest(exact)
        expected = INEXACT if value != exact else 0
        expected |= OVERFLOW if math.isinf(value) else 0
        expected |= UNDERFLOW if value != exact and abs(exact) < 2.0**-1022 else 0
        assert flags == expected, (row, exact)


@pytest.mark.parametrize(
    ("operation", "operands", "flags"),
    [
        ("vadd.f64 d0, d0, d1", (math.inf, -math.inf), INVALID),
        ("vmul.f64 d0, d0, d1", (math.inf, 0.0), INVALID),
        ("vdiv.f64 d0, d0, d1", (0.0, 0.0), INVALID),
        ("vdiv.f64 d0, d0, d1", (1.0, 0.0), DIVIDED),
        ("vsqrt.f64 d0, d0", (-1.0,), INVALID),
        ("vsqrt.f64 d0, d0", (2.0,), INEXACT),
        ("vsqrt.f64 d0, d0", (-0.0,), 0),
        ("vrintx.f64 d0, d0", (0.5,), INEXACT),
        ("vrintr.f64 d0, d0", (0.5,), 0),
        ("vcvt.s32.f64 s0, d0", (0.5,), INEXACT),
        ("vcvt.s32.f64 s0, d0", (2.0**31,), INVALID),
        ("vcvt.u32.f64 s0, d0", (-1.0,), INVALID),
        ("vcvt.f32.f64 s0, d0", (1e300,), OVERFLOW | INEXACT),
        ("vcvt.f32.f64 s0, d0", (1e-300,), UNDERFLOW | INEXACT),
    ],
)
def test_what_each_flag_is_for(operation: str, operands: Sequence[float], flags: int) -> None:
    _, found = executed(operation, [[bits(value) for value in operands]])
    assert found == [flags]
    # a signaling NaN is invalid everywhere, a quiet one is not where a number is asked for
    _, found = executed(operation, [[NANS[-1]] * 2, [DEFAULT_NAN] * 2])
    assert found == [INVALID, INVALID if "32.f64 s" in operation and ".f32" not in operation else 0]


def test_flush_to_zero() -> None:
    def flushed(pattern: int) -> int:
        return pattern & SIGN if abs(number(pattern)) < 2.0**-1022 else pattern

    def tiny(a: int, b: int) -> bool:
        """Before rounding, as the core looks at it."""
        if not (math.isfinite(number(a)) and math.isfinite(number(b))):
            return False
        return abs(Fraction(number(a)) * Fraction(number(b))) < 2.0**-1022

    def expected(a: int, b: int) -> int:
        a, b = flushed(a), flushed(b)
        return (a ^ b) & SIGN if tiny(a, b) else MULTIPLY(a, b)

    edge = (bits(1 - 2.0**-53), bits(2.0**-1022))  # would be rounded up to what is no subnormal
    check("vmul.f64 d0, d0, d1", [*pairs(), edge], expected, FLUSH_TO_ZERO)
    rows = [(1, bits(1.0)), (bits(2.0**-1000), bits(2.0**-1000)), (bits(1.0), bits(1.0))]
    _, found = executed("vmul.f64 d0, d0, d1", rows, FLUSH_TO_ZERO)
    assert [flags & 0xFF for flags in found] == [DENORMAL, UNDERFLOW, 0]


@pytest.mark.parametrize("operation", ["vadd", "vmul", "vdiv", "vmaxnm"])
def test_default_nans(operation: str) -> None:
    rows = [(a, b) for a, b in pairs() if (is_nan(a) and is_nan(b)) or is_signaling(a)]
    check(f"{operation}.f64 d0, d0, d1", rows, lambda a, b: DEFAULT_NAN, DEFAULT_NANS)


def even(value: Fraction) -> int:
    return round(value)


def away(value: Fraction) -> int:
    return int(math.copysign(math.floor(abs(value) + Fraction(1, 2)), value))


ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "a": away, "n": even, "p": math.ceil, "m": math.floor, "z": math.trunc,
}  # fmt: skip
BY_MODE: dict[int, Callable[[Fraction], int]] = {
    TO_NEAREST: even, UP: math.ceil, DOWN: math.floor, TO_ZERO: math.trunc,
}  # fmt: skip
BETWEEN = [
    bits(sign * value)
    for value in (0.5, 1.5, 2.5, 2.25, 0.49999999999999994, 2.0**52 - 0.5, 2.0**52 + 1,
                  *(2.0**power + more for power in (15, 16, 24, 31, 32)
                    for more in (-1, -0.5, -0.25, 0, 0.25, 0.5, 1)))
    for sign in (1, -1)
]  # fmt: skip
ROUNDED = [*((a,) for a in BETWEEN), *singles()]


def whole(rounding: Callable[[Fraction], int]) -> Callable[[int], int]:
    """A double rounded to a whole one, which keeps its sign."""

    def expected(a: int) -> int:
        if is_nan(a):
            return a | QUIET
        if math.isinf(number(a)):
            return a
        return bits(math.copysign(rounding(Fraction(number(a))), number(a)))

    return expected


@pytest.mark.parametrize("letter", ROUNDINGS)
def test_rounding_to_whole_doubles(letter: str) -> None:
    check(f"vrint{letter}.f64 d0, d0", ROUNDED, whole(ROUNDINGS[letter]))


@pytest.mark.parametrize("mode", BY_MODE)
def test_rounding_to_whole_doubles_as_fpscr_says(mode: int) -> None:
    for letter in "rx":
        check(f"vrint{letter}.f64 d0, d0", ROUNDED, whole(BY_MODE[mode]), mode)


def integer(
    rounding: Callable[[Fraction], int], kind: str, fraction_bits: int = 0
) -> Callable[[int], int]:
    """A double as an integer of 16 or 32 bits, or as a fixed-point number: saturated."""
    size = int(kind[1:])
    low, high = (-1 << size - 1, (1 << size - 1) - 1) if kind[0] == "s" else (0, (1 << size) - 1)

    def expected(a: int) -> int:
        if is_nan(a):
            return 0
        value = number(a)
        if math.isinf(value):
            return low if value < 0 else high
        return min(max(rounding(Fraction(value) * (1 << fraction_bits)), low), high)

    return expected


def lowest(size: int, expected: Callable[[int], int]) -> Callable[[int], int]:
    return lambda a: expected(a) & ((1 << size) - 1)


@pytest.mark.parametrize("kind", ["s32", "u32"])
@pytest.mark.parametrize("letter", ["", *"anpm"])
def test_conversion_to_integers(letter: str, kind: str) -> None:
    rounding = ROUNDINGS[letter or "z"]
    code = f"vcvt{letter}.{kind}.f64 s4, d0; vmov r3, s4; mov r5, #0; vmov d0, r3, r5"
    check(code, ROUNDED, lowest(32, integer(rounding, kind)), 0 if letter else UP)


@pytest.mark.parametrize("kind", ["s32", "u32"])
@pytest.mark.parametrize("mode", BY_MODE)
def test_conversion_to_integers_as_fpscr_says(mode: int, kind: str) -> None:
    code = f"vcvtr.{kind}.f64 s4, d0; vmov r3, s4; mov r5, #0; vmov d0, r3, r5"
    check(code, ROUNDED, lowest(32, integer(BY_MODE[mode], kind)), mode)


@pytest.mark.parametrize("kind", ["s16", "u16", "s32", "u32"])
def test_fixed_point(kind: str) -> None:
    size = int(kind[1:])
    for fraction_bits in (1, 7, size):
        check(
            f"vcvt.{kind}.f64 d0, d0, #{fraction_bits}",
            ROUNDED,
            lowest(64, integer(math.trunc, kind, fraction_bits)),
        )
        check(
            f"vcvt.f64.{kind} d0, d0, #{fraction_bits}",
            singles(),
            lambda a, bits_behind=fraction_bits: bits(signed(a, kind) / 2**bits_behind),
        )


def signed(pattern: int, kind: str) -> int:
    """The lowest bits as the integer that they are."""
    size = int(kind[1:])
    value = pattern & ((1 << size) - 1)
    return value - (1 << size) if kind[0] == "s" and value >> size - 1 else value


@pytest.mark.parametrize("kind", ["s32", "u32"])
def test_conversion_from_integers(kind: str) -> None:
    words = [(word,) for word in (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1234_5677)]
    check(f"vcvt.f64.{kind} d0, s0", words, lambda a: bits(float(signed(a, kind))))


FORMATS: dict[str, tuple[type[np.floating], int, int]] = {
    "f32": (np.float32, 32, 23), "f16": (np.float16, 16, 10),
}  # fmt: skip


def narrowed(name: str) -> Callable[[int], int]:
    kind, size, mantissa = FORMATS[name]

    def expected(a: int) -> int:
        if is_nan(a):
            payload = (a | QUIET) >> 52 - mantissa & ((1 << mantissa) - 1)
            return (a >> 63) << size - 1 | ((1 << size - 1 - mantissa) - 1) << mantissa | payload
        with np.errstate(all="ignore"):
            return int.from_bytes(kind(number(a)).tobytes(), "little")

    return expected


def widened(name: str) -> Callable[[int], int]:
    kind, size, mantissa = FORMATS[name]

    def expected(a: int) -> int:
        pattern = a & ((1 << size) - 1)
        value = float(np.frombuffer(pattern.to_bytes(size // 8, "little"), kind)[0])
        if not math.isnan(value):
            return bits(value)
        payload = (pattern & ((1 << mantissa) - 1)) << 52 - mantissa
        return (pattern >> size - 1) << 63 | 0x7FF << 52 | QUIET | payload

    return expected


NARROW = [
    (bits(sign * value),)
    for value in (1 + 2.0**-24, 1 + 2.0**-24 + 2.0**-50, 2.0**-149, 2.0**-150, 3 * 2.0**-151,
                  2.0**128, 2.0**128 - 2.0**103, 65519.99, 65520.0, 1 + 2.0**-11,
                  1 + 2.0**-11 + 2.0**-40, 2.0**-24, 2.0**-25, 2.0**-25 + 2.0**-60)
    for sign in (1, -1)
]  # fmt: skip


def test_conversion_between_precisions() -> None:
    low = "mov r5, #0; vmov s0, r3; vmov s1, r5"
    rows = [*NARROW, *singles()]
    check(f"vcvt.f32.f64 s4, d0; vmov r3, s4; {low}", rows, narrowed("f32"))
    zero = "mov r3, #0; vmov s4, r3"
    check(f"{zero}; vcvtb.f16.f64 s4, d0; vmov r3, s4; {low}", rows, narrowed("f16"))
    check(
        f"{zero}; vcvtt.f16.f64 s4, d0; vmov r3, s4; {low}",
        rows,
        lambda a: narrowed("f16")(a) << 16,
    )
    singles_of = [(narrowed("f32")(a),) for (a,) in rows] + [(0x7F80_0001,), (0xFFBF_FFFF,)]
    check("vcvt.f64.f32 d0, s0", singles_of, widened("f32"))
    halves = [(half,) for half in range(0, 1 << 16, 7)]
    check("vcvtb.f64.f16 d0, s0", halves, widened("f16"))
    check("vcvtt.f64.f16 d0, s0", [(half << 16,) for (half,) in halves],
          lambda a: widened("f16")(a >> 16))  # fmt: skip


def compared(a: int, b: int) -> str:
    """The flags NZCV behind a comparison."""
    x, y = number(a), number(b)
    return "0110" if x == y else "1000" if x < y else "0010" if x > y else "0011"


@pytest.mark.parametrize("operation", ["vcmp", "vcmpe"])
@pytest.mark.parametrize("other", ["d1", "#0"])
def test_comparison(operation: str, other: str) -> None:
    rows = pairs() if other == "d1" else [(a, 0) for (a,) in singles()]
    objects = is_nan if operation == "vcmpe" else is_signaling
    _, found = executed(f"{operation}.f64 d0, {other}", rows)
    for (a, b), flags in zip(rows, found, strict=True):
        invalid = INVALID if objects(a) or objects(b) else 0
        assert flags == int(compared(a, b), 2) << 28 | invalid, (hex(a), hex(b))


HOLDS: dict[str, Callable[[str], bool]] = {
    "eq": lambda nzcv: nzcv[1] == "1",
    "ge": lambda nzcv: nzcv[0] == nzcv[3],
    "gt": lambda nzcv: nzcv[1] == "0" and nzcv[0] == nzcv[3],
    "vs": lambda nzcv: nzcv[3] == "1",
}


@pytest.mark.parametrize("condition", HOLDS)
def test_selection_and_conditions(condition: str) -> None:
    compare = "vcmp.f64 d0, d1; vmrs apsr_nzcv, fpscr"
    rows = [(a, b, bits(2.75)) for a, b in pairs()]
    holds = HOLDS[condition]
    check(
        f"{compare}; vsel{condition}.f64 d0, d1, d2",
        rows,
        lambda a, b, c: b if holds(compared(a, b)) else c,
    )
    check(
        f"{compare}; itt {condition}; vadd{condition}.f64 d0, d1, d2; vneg{condition}.f64 d0, d0",
        rows,
        lambda a, b, c: negated(ADD(b, c)) if holds(compared(a, b)) else a,
    )


LOOP = (
    "movs r2, #50; 1: vadd.f64 d0, d0, d1; vcvt.f64.s32 d4, s6; vmul.f64 d2, d0, d0; "
    "vcmpe.f64 d2, d1; vmrs apsr_nzcv, fpscr; ite gt; vdivgt.f64 d2, d2, d1; vsqrtle.f64 d2, d2; "
    "vfma.f64 d0, d2, d1; vstr d0, [r1]; subs r2, #1; bne 1b"
)


@pytest.mark.parametrize("simulate_memory", [False, True])
@pytest.mark.parametrize("shift", [0, 996, 1010])
def test_instructions_are_counted_exactly(shift: int, simulate_memory: bool) -> None:
    target = load_target("stm32h743")
    (code,) = assemble("cortex-m7", [LOOP])
    with Processor(target, {}) as processor:
        start = target.flash.origin + shift  # the loop crosses a border at which blocks end
        end = start + len(code)
        processor.write(start, code)
        processor.stop_at([end])
        processor.uc.reg_write(arm_const.UC_ARM_REG_R1, target.data_memories[0].origin)
        counter = CycleCounter(target, simulate_memory=simulate_memory).attach(processor.uc)
        counter.switch_at(end, 1)
        processor.run(start)
        assert counter.report().buckets[0].instructions == 1 + 50 * 12


PROGRAM = """
typedef unsigned int word;
volatile double start = 0.3, steps = 40, results[4];
volatile word counts[2];

__attribute__((noinline)) static double root(double value) {
  double guess = value;
  while (guess * guess - value > 1e-12) guess = 0.5 * (guess + value / guess);
  return guess;
}

__attribute__((noinline)) void compute(void) {
  double x = start, sum = 0;
  for (int k = 1; k <= (int)steps; k++) {
    x = 3.9 * x * (1 - x);
    sum += (float)x / (double)k;
  }
  results[0] = x;
  results[1] = sum;
  results[2] = root(sum);
  results[3] = x > 0.5 ? -sum : sum;
  counts[0] = (word)(x * 4e9);
  counts[1] = (word)(int)(sum * -1e12);
}

void _start(void) { compute(); for (;;) {} }
"""

LINK = """
SECTIONS {
  .text 0x08000000 : { *(.text*) *(.rodata*) }
  .data 0x20000000 : { *(.data*) *(.bss*) }
  /DISCARD/ : { *(.ARM.exidx*) *(.eh_frame*) }
}
"""


def computed() -> tuple[list[float], list[int]]:
    """What the program leaves in `results` and `counts`."""
    x, total = 0.3, 0.0
    for k in range(1, 41):
        x = 3.9 * x * (1 - x)
        total += float(np.float32(x)) / k
    guess = total
    while guess * guess - total > 1e-12:
        guess = 0.5 * (guess + total / guess)
    results = [x, total, guess, -total if x > 0.5 else total]
    return results, [int(x * 4e9), max(int(total * -1e12), -(1 << 31)) & 0xFFFF_FFFF]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled for a Cortex-M7 with double precision."""
    folder = tmp_path_factory.mktemp("doubles")
    (folder / "program.c").write_text(PROGRAM)
    (folder / "link.ld").write_text(LINK)
    options = (
        "-target thumb-freestanding-eabihf -mcpu=cortex_m7+fp_armv8d16 -O2 -ffp-contract=off "
        "-ffreestanding -fno-unwind-tables -nostdlib -T link.ld program.c -o program.elf"
    )
    command = [sys.executable, "-m", "ziglang", "cc", *options.split()]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "program.elf"


def test_a_program_that_computes_in_double_precision(program: Path) -> None:
    target = load_target("stm32h743")
    with BytesIO(program.read_bytes()) as file, Processor(target, {}) as processor:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".symtab")

        def address(name: str) -> int:
            return int(symbols.get_symbol_by_name(name)[0]["st_value"]) & ~1

        processor.load(stored(elf))
        processor.set_register("sp", target.data_memories[0].end)
        end = address("_start") | 1
        processor.uc.reg_write(arm_const.UC_ARM_REG_LR, end)
        processor.stop_at([end & ~1])
        instructions = []
        processor.uc.hook_add(UC_HOOK_CODE, lambda uc, at, size, data: instructions.append(at))
        processor.run(address("compute"))
        results = struct.unpack("<4d", processor.read(address("results"), 32))
        counts = struct.unpack("<2I", processor.read(address("counts"), 8))
    assert (list(results), list(counts)) == computed()
    measured = measure_elf(program, target, function="compute")
    # besides, it counts what an IT block skips
    assert measured.instructions == pytest.approx(len(instructions), abs=3)
    assert {one.name for one in measured.functions} == {"compute", "root"}


def test_a_core_without_double_precision_refuses(program: Path) -> None:
    with pytest.raises(
        FirmwareFault,
        match=r"stops in (compute|root) \(0x0800[0-9a-f]{4}\): stm32f746 with fpu = 'fpv5-sp-d16' "
        r"has no instruction 'vcvt\.s32\.f64 s\d+, d\d+'",
    ):
        measure_elf(program, load_target("stm32f746"), function="compute")
    with pytest.raises(FirmwareFault, match="the emulated cortex-m4 has no instruction 'vcvt"):
        measure_elf(program, load_target("stm32f407"), function="compute")


def test_what_is_never_executed_is_not_refused(tmp_path: Path) -> None:
    target = load_target("stm32f746")
    start = "static void relu(int8_t *x) {"
    double = 'if (x[0] == 100) __asm volatile(".short 0xee31, 0x0b02");'
    assert start in tiny_model.PROGRAM
    firmware = link(tiny_sources(tiny_model.PROGRAM.replace(start, f"{start} {double}")), target)
    rows = np.random.default_rng(1).integers(-128, 128, (3, 24), dtype=np.int8)
    np.testing.assert_array_equal(run(firmware, target, rows).outputs, expected(rows))


DOUBLE = (
    "vadd.f64 d0, d1, d2; vsub.f64 d15, d1, d14; vmul.f64 d0, d1, d2; vnmul.f64 d0, d1, d2; "
    "vdiv.f64 d0, d1, d2; vsqrt.f64 d0, d1; vabs.f64 d0, d1; vneg.f64 d0, d1; vmov.f64 d0, d1; "
    "vmov.f64 d0, #1.0; vfma.f64 d0, d1, d2; vfnms.f64 d0, d1, d2; vmla.f64 d0, d1, d2; "
    "vnmls.f64 d0, d1, d2; vcmp.f64 d0, d1; vcmpe.f64 d0, #0; vcvt.f64.f32 d0, s3; "
    "vcvt.f64.f32 d13, s2; vcvt.f32.f64 s3, d2; vcvt.s32.f64 s3, d2; vcvtr.u32.f64 s0, d1; "
    "vcvt.f64.u32 d0, s3; vcvt.f64.s16 d0, d0, #3; vcvt.u32.f64 d0, d0, #5; "
    "vcvtb.f64.f16 d0, s3; vcvtt.f16.f64 s3, d0; vcvta.s32.f64 s1, d2; vrintz.f64 d0, d1; "
    "vrintm.f64 d0, d1; vseleq.f64 d0, d1, d2; vmaxnm.f64 d0, d1, d2; vminnm.f64 d0, d1, d2"
)
NOT_DOUBLE = (
    "vldr d0, [r0]; vstr d1, [r0]; vldm r0!, {d0-d2}; vpush {d8}; vmov r0, r1, d2; "
    "vmov d2, r0, r1; vmov.32 d1[1], r0; vmov.32 r0, d1[0]; vmov s0, s1, r2, r3; vmov s0, r1; "
    "vadd.f32 s0, s1, s2; vcvt.s32.f32 s0, s1; vcvt.f32.u32 s0, s1; vcvtb.f32.f16 s0, s1; "
    "vsqrt.f32 s0, s1; vcmp.f32 s0, s1; vmov.f32 s0, s1; vmov.f32 s0, #1.0; vmrs r0, fpscr; "
    "vmsr fpscr, r0; vseleq.f32 s0, s1, s2; vrintz.f32 s0, s1; nop; muls r0, r1, r0; ldr r0, [r1]"
)


def test_what_needs_double_precision() -> None:
    wanted, others = DOUBLE.split("; "), NOT_DOUBLE.split("; ")
    codes = assemble("cortex-m7", [*wanted, *others])
    found = [doubles_in(code).size > 0 for code in codes]
    assert found == [True] * len(wanted) + [False] * len(others)
    at_odd_words = doubles_in(b"\0\xbf" + codes[0] + codes[-3] + codes[1])
    assert at_odd_words.tolist() == [2, 8]
    assert doubles_in(b"").size == 0


def executes(name: str, code: bytes) -> bool:
    """Whether a target's core has an instruction."""
    target = load_target(name)
    with Processor(target, {}) as processor:
        start = target.flash.origin
        processor.write(start, code)
        processor.stop_at([start + len(code)])
        for register in range(13):  # r0 to r12
            address = target.data_memories[0].origin + 1024
            processor.uc.reg_write(arm_const.UC_ARM_REG_R0 + register, address)
        try:
            processor.run(start)
        except FirmwareFault as fault:
            assert "has no instruction" in str(fault)
            return False
        return True


def test_what_a_single_precision_core_lacks() -> None:
    """Unicorn's Cortex-M33 computes in single precision: another witness for `doubles_in`."""
    generator = np.random.default_rng(5)
    seen = set()
    for _ in range(400):
        first = int(generator.choice([0xEE00, 0xFE00])) | int(generator.integers(0x100))
        second = 0x0A00 | int(generator.integers(0x1_0000)) & 0xF1FF
        code = struct.pack("<2H", first, second)
        if executes("stm32h743", code):
            lacks = not executes("stm32u575", code)
            assert (doubles_in(code).size > 0) == lacks, code.hex(" ")
            seen.add(lacks)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "code",
    [
        "ee31 0bb2",  # vadd.f64 d0, d17, d18
        "ef22 0841",  # vadd.i32 q0, q1, q0 of the M-profile vector extension
        "f021 e001",  # dls lr, r1 of the same
    ],
)
def test_what_no_cortex_m7_has(code: str) -> None:
    words = bytes.fromhex(code)
    assert not executes("stm32h743", b"".join(words[k : k + 2][::-1] for k in (0, 2)))
