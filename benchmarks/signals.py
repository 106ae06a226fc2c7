"""What front ends take of three boards, and how near their features are to real numbers.

    python benchmarks/signals.py [--peer NAME=BOARD=ELF]…

One second of sound at 16 kHz in frames of 30 ms every 20 ms, 40 mel bands; and of motion, 3
channels at 100 Hz. A peer is firmware of the same board whose function `infer` computes the same,
e.g. TensorFlow's microfrontend. Writes results/signals.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from writing import row

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from front_ends import sources_of  # noqa: E402 - of the tests
from sounds import LOUDNESS, levels_in_real_numbers, speech_like  # noqa: E402

from autotiny.signal import (  # noqa: E402
    BandFilter,
    Decimate,
    FrontEnd,
    LogMel,
    Mfcc,
    Spectrogram,
    Statistics,
)
from autotiny.simulator import measure, measure_elf  # noqa: E402
from autotiny.target import load_target  # noqa: E402

RESULT = ROOT / "results" / "signals.md"
BOARDS = ("stm32l4r5", "stm32f746", "stm32g0b1")
SOUND, MOTION = (16000,), (100, 3)
FRONT_ENDS: dict[str, tuple[FrontEnd, tuple[int, ...]]] = {
    "LogMel": (LogMel(480, 320, 40, 16000, 20, 7600), SOUND),
    "Mfcc, 13 coefficients": (Mfcc(480, 320, 40, 16000, 20, 7600, 13), SOUND),
    "Spectrogram, 257 frequencies": (Spectrogram(480, 320), SOUND),
    "Decimate by 4, 32 taps": (Decimate(4, 32), MOTION),
    "BandFilter, order 2, 0.5 to 20 Hz": (BandFilter(100, 0.5, 20.0), MOTION),
    "Statistics of 50 samples every 25": (Statistics(50, 25), MOTION),
}
FLOORS_DB = (-60, -80)


def costs(peers: list[tuple[str, str, str]]) -> list[str]:
    """A line a front end and board, then a line a peer."""
    lines = [row("front end", "board", "cycles", "ms", "flash", "of it tables", "working memory")]
    lines.append("|---|---|--:|--:|--:|--:|--:|")
    for name, (front_end, shape) in FRONT_ENDS.items():
        sources = sources_of(front_end, shape)
        scratch = sum(front_end.c_call(shape).scratch_bytes)
        for board in BOARDS:
            cost = measure(sources, load_target(board))
            figures = (f"{cost.cycles:,}", f"{cost.latency_ms:.2f}", f"{cost.flash_bytes:,}")
            work = f"{scratch:,} + {cost.stack_bytes} stack"
            lines.append(row(name, board, *figures, f"{cost.weights_bytes:,}", work))
            print(lines[-1], flush=True)
    for name, board, path in peers:
        found = measure_elf(path, load_target(board), function="infer", repeat=2)
        figures = (f"{found.cycles:,}", f"{found.latency_ms:.2f}", f"{found.flash_bytes:,}")
        lines.append(row(name, board, *figures, "", ""))
        print(lines[-1], flush=True)
    return lines


def errors() -> list[str]:
    """A line a loudness: how far levels are from real numbers, in dB."""
    lines = [row("dBFS", "bands above", "int16, mean", "greatest", "int8, mean", "greatest")]
    lines.append("|--:|--:|--:|--:|--:|--:|")
    for loudness in LOUDNESS:
        x = speech_like(16000, loudness)
        for floor in FLOORS_DB:
            cells = []
            for dtype in ("int16", "int8"):
                front_end = LogMel(480, 320, 40, 16000, 20, 7600, dtype=dtype)
                wanted = levels_in_real_numbers(front_end, x)
                steps = front_end.features(x).astype(np.float64) - front_end.zero_point
                error = np.abs(front_end.scale * steps - wanted)[wanted > floor]
                cells += [f"{error.mean():.4f}", f"{error.max():.4f}"]
            lines.append(row(f"{loudness:.0f}", f"{floor} dB", *cells))
    return lines


def main() -> None:
    """Write results/signals.md."""
    parser = argparse.ArgumentParser(description="What front ends cost, and how exact they are.")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BOARD=ELF")
    peers = [tuple(one.split("=", 2)) for one in parser.parse_args().peer]
    text = [
        "# Front ends", "", "`python benchmarks/signals.py [--peer NAME=BOARD=ELF]…`", "",
        "One second of sound at 16 kHz (49 frames of 30 ms, 20 to 7600 Hz), or of motion (3",
        "channels at 100 Hz); noise of full scale, `-O2`, caches warm, figures of the cycle model.",
        "Flash is that of the whole program, and working memory is without samples and features;",
        "both in bytes.", "",
        "The peer is tflite-micro's microfrontend with its kissfft, with 30 ms, 20 ms and 40",
        "channels and else its defaults, whose noise reduction is 1.6 % of the cycles; compiled",
        "by zig with autotiny's flags, and by GCC 12.2 at `-O2`. It allocates 9,744 bytes, counted",
        "on x86-64.",
        "", *costs(peers), "",
        "## Errors of LogMel", "",
        "Levels in dB, of sound like speech of that loudness, against the same in float64 (NumPy's",
        "FFT, TensorFlow's mel weights). A step is 0.376 dB in int8 and 0.003 dB in int16.", "",
        *errors(), "",
    ]  # fmt: skip
    RESULT.write_text("\n".join(text))


if __name__ == "__main__":
    main()
