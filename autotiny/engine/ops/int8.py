"""Which of the int8 kernels a step asks for."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ops import convolution, gemm


def _blocked(site: Site) -> bool:
    return site.step.rows * site.step.columns > 1


def conv(site: Site) -> Kernel:
    """CONV_2D."""
    return gemm.conv(site) if _blocked(site) else convolution.conv_int8(site)
