"""Memory that data larger than it takes: measured of every process, for results/large_data.md.

    python benchmarks/large_data.py

It writes an `.npz` file, a network and a cache into a folder, and removes them at the end.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy
from writing import row

from autotiny.version import __version__

PAGE = Path(__file__).parents[1] / "results" / "large_data.md"
SHAPE = (64, 64, 1)
BLOCK_SAMPLES = 4000
POLL_SECONDS = 0.05
MOST_GIB = 2.0


NETWORK = f"""
from autotiny.model import keras

def small():
    layers = keras().layers
    return keras().Sequential([
        layers.Input({SHAPE}), layers.Conv2D(4, 8, strides=8, activation="relu"), layers.Flatten(),
        layers.Dense(2), layers.Softmax(),
    ])
"""
"""The worker trains what the function builds; what is saved of it is measured as it is."""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=5.25, help="Size of the data, in 10^9 bytes.")
    parser.add_argument("--folder", default=".", help="On a disk with twice that and 1 GB free.")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="large-", dir=Path(asked.folder).absolute()) as folder:
        samples = write_data(Path(folder) / "data.npz", asked.gb)
        (Path(folder) / "network.py").write_text(NETWORK)
        save = "import network; network.small().save('model.h5')"
        subprocess.run([sys.executable, "-c", save], cwd=folder, check=True)
        autotiny = [sys.executable, "-m", "autotiny"]
        both = ["--data", "data.npz", "--target", "stm32f746"]
        search = ["--trials", "2", "--epochs", "1", "--out", "out"]
        commands = {
            "measure": [*autotiny, "measure", "model.h5", *both],
            "search --trials 2 --epochs 1": [
                *autotiny, "search", "--model", "network:small", *both, *search,
            ],
        }  # fmt: skip
        measured = {name: run(command, Path(folder)) for name, command in commands.items()}
    PAGE.write_text(page(asked.gb, samples, measured), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def write_data(path: Path, gb: float) -> int:
    """Squares brighter or darker than their noise, float32, stored; gives how many there are."""
    samples = round(gb * 1e9 / (4 * math.prod(SHAPE)))
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, samples)
    with ZipFile(path, "w", ZIP_STORED) as archive:
        with archive.open("y.npy", "w") as file:
            npy.write_array(file, y)
        with archive.open("x.npy", "w", force_zip64=True) as file:
            facts = {"descr": "<f4", "fortran_order": False, "shape": (samples, *SHAPE)}
            npy.write_array_header_1_0(file, facts)
            for begin in range(0, samples, BLOCK_SAMPLES):
                block = y[begin : begin + BLOCK_SAMPLES]
                x = draw.random((len(block), *SHAPE), dtype=np.float32)
                x[:, 8:24, 8:24] += 0.1 * block[:, None, None, None]
                file.write(x.astype("<f4").tobytes())
    return samples


def run(command: list[str], folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of a command, and the most memory of its processes by kind, in GiB."""
    began, peaks = time.monotonic(), {"parent": 0.0}
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL) as popen:
        while popen.poll() is None:
            for kind, peak in peaks_of(popen.pid):
                peaks[kind] = max(peaks.get(kind, 0.0), peak)
            time.sleep(POLL_SECONDS)
    if popen.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {popen.returncode}")
    return time.monotonic() - began, peaks


def peaks_of(parent: int) -> Iterator[tuple[str, float]]:
    """The kind and `VmHWM` of a process and of all below it."""
    waiting = [parent]
    while waiting:
        process = waiting.pop()
        place = Path(f"/proc/{process}")
        with suppress(OSError):
            status = (place / "status").read_text()
            peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), "")
            worker = b"autotiny.worker" in (place / "cmdline").read_bytes()
            kind = "parent" if process == parent else "worker" if worker else "other"
            yield kind, int(peak.split()[1]) / (1 << 20) if peak else 0.0
            for task in (place / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())


def page(gb: float, samples: int, measured: dict[str, tuple[float, dict[str, float]]]) -> str:
    """The page of results/."""
    lines = [
        "# Large data", "",
        f"An `.npz` of {gb:g} GB, stored: {samples:,} samples of {'×'.join(map(str, SHAPE))} "
        f"float32, not split. The most memory (`VmHWM`) of autotiny {__version__}, of its worker, "
        "and of any other process below it (compiler, host program). Pages of files are in it.", "",
        "    python benchmarks/large_data.py", "",
        row("command", "minutes", "parent GiB", "worker GiB", "others GiB"),
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, (seconds, peaks) in measured.items():
        memory = (f"{peaks.get(kind, 0.0):.2f}" for kind in ("parent", "worker", "other"))
        lines.append(row(f"`{name}`", f"{seconds / 60:.1f}", *memory))
    worst = max(peak for _, peaks in measured.values() for peak in peaks.values())
    verdict = "stays below" if worst < MOST_GIB else "exceeds"
    return "\n".join([*lines, "", f"The largest {verdict} {MOST_GIB:g} GiB.", ""])


if __name__ == "__main__":
    main()
