"""What a result was made with: versions and the processor, on which the bits of a training hang."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "ai-edge-litert", "keras", "numpy", "optuna", "scikit-learn", "tensorflow",
    "tensorflow-model-optimization", "tf-keras", "unicorn", "ziglang",
)  # fmt: skip
"""Those whose version what a search finds hangs on."""

TELLING = (
    "sse4_1", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni",
    "avx512_bf16", "amx_tile", "asimd", "asimddp", "sve",
)  # fmt: skip
"""Features of a processor by which numeric libraries choose their code."""

SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES")
"""Variables by which those libraries are told to choose otherwise; named where they are set."""


def made_with() -> dict[str, str]:
    """Versions and the processor, by name: what to compare when figures differ."""
    found = {"python": platform.python_version(), **packages()}
    name, features = processor()
    found |= {"system": f"{platform.system()} {platform.machine()}", "CPU": name}
    found["CPU features"] = " ".join(features)
    return found | {name: os.environ[name] for name in SWITCHES if name in os.environ}


def packages() -> dict[str, str]:
    """The versions of `PACKAGES`, of those that are installed."""
    found = {}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def processor() -> tuple[str, tuple[str, ...]]:
    """The name of this machine's processor, and which of the telling features it has."""
    lines: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            lines.setdefault(key.strip().lower(), value.strip())
    words = set(lines.get("flags", lines.get("features", "")).split())
    name = lines.get("model name") or platform.processor() or platform.machine()
    return name, tuple(word for word in TELLING if word in words)


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What differs, in words: "numpy was 1.26.4 and is 2.1.0"."""
    names = {**then, **now}
    return tuple(
        f"{name} was {then.get(name, 'not set')} and is {now.get(name, 'not set')}"
        for name in names
        if then.get(name) != now.get(name)
    )
