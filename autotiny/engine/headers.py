"""The files of C that kernels need: those of `kernels/`, and each variant's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

from autotiny.engine.kernel import Kernel
from autotiny.engine.variants import VARIANTS


def headers_of(kernels: Sequence[Kernel]) -> list[str]:
    """The kernel headers used, each after those it includes itself."""
    seen: dict[str, None] = {}
    for kernel in kernels:
        for header in kernel.headers:
            if kernel.body:
                seen.setdefault(header)
    return [header for header in seen if header != "port.h"]


def kernel_text(header: str) -> str:
    """The text of a file of C: of the variant that names it, or of `kernels/`."""
    folder = resources.files("autotiny.engine").joinpath("kernels")
    for variant in VARIANTS:
        if header in variant.headers:
            folder = resources.files(variant.package)
    return folder.joinpath(header).read_text("utf-8")


def is_header(name: str) -> bool:
    """Whether there is a kernel header of that name."""
    kernels = resources.files("autotiny.engine").joinpath("kernels").joinpath(name)
    return kernels.is_file() or any(name in variant.headers for variant in VARIANTS)


def kernel_headers(kernels: Sequence[Kernel]) -> dict[str, str]:
    """The headers used and all they include."""
    files: dict[str, str] = {}
    pending = ["port.h", *headers_of(kernels)]
    while pending:
        header = pending.pop(0)
        if header not in files:
            files[header] = kernel_text(header)
            pending += re.findall(r'#include "([^"]+)"', files[header])
    return files
