"""From generated C to firmware: laid out and linked for a target, or built for this machine."""

from autotiny.firmware.board import link_board
from autotiny.firmware.host import HostModel, build_host
from autotiny.firmware.linking import Firmware, link
from autotiny.firmware.project import export_project
from autotiny.firmware.selftest import link_selftest

__all__ = [
    "Firmware",
    "HostModel",
    "build_host",
    "export_project",
    "link",
    "link_board",
    "link_selftest",
]
