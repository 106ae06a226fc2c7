"""Components that choose what stands before the network."""

from autotiny.components.signal._front import FrontComponent

__all__ = ["FrontComponent"]
