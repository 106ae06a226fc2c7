"""Which instructions need a double-precision FPU, as an FPv5-SP or FPv4-SP has none.

Arm, "ARMv7-M Architecture Reference Manual" (DDI 0403), sections A6.4 to A6.7: floating-point data
processing. Loads, stores and moves of 64-bit registers are not among them: each of these FPUs has
them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def doubles_in(code: bytes) -> NDArray[np.int64]:
    """Where an instruction that computes in double precision could stand.

    Every even offset counts as the begin of an instruction. So some of what is found are constants
    or second halves; nobody executes those.

    Args:
        code: Thumb code, little-endian.

    Returns:
        Offsets in bytes.
    """
    words = np.frombuffer(code, "<u2", len(code) // 2)
    first, second = words[:-1], words[1:]
    # data processing of coprocessor 11; bit 4 would make it a move of a core register
    computes = (first & 0xEF00 == 0xEE00) & (second & 0x0F10 == 0x0B00)
    # VCVT.F64.F32 names coprocessor 10, the precision of its operand
    widens = (first & 0xFFBF == 0xEEB7) & (second & 0x0FD0 == 0x0AC0)
    return 2 * np.flatnonzero(computes | widens)
