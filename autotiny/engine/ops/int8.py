"""Which of the int8 kernels a step asks for."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ops import convolution, dense, dots, gemm, sparse, strassen, winograd


def _blocked(site: Site) -> bool:
    return site.step.rows * site.step.columns > 1


def _paired(site: Site) -> bool:
    return site.step.rows * site.step.columns == 2


def conv(site: Site) -> Kernel:
    """CONV_2D."""
    if site.step.coding == "sparse":
        return sparse.conv(site)
    if site.step.method == "winograd":
        return winograd.conv(site)
    if site.step.method == "strassen":
        return strassen.product(site)
    if _paired(site):
        return dots.conv(site)
    return gemm.conv(site) if _blocked(site) else convolution.conv_int8(site)


def depthwise(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D."""
    return gemm.depthwise(site) if _blocked(site) else convolution.depthwise_int8(site)


def fully_connected(site: Site) -> Kernel:
    """FULLY_CONNECTED."""
    if site.step.coding == "sparse":
        return sparse.dense(site)
    if site.step.method == "strassen":
        return strassen.product(site)
    if _paired(site):
        return dots.dense(site)
    return gemm.dense(site) if _blocked(site) else dense.dense_int8(site)
