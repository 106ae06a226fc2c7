"""From generated C to firmware: laid out and linked for a target, or built for this machine."""

from autotiny.firmware.board import link_board
from autotiny.firmware.folder import write_files
from autotiny.firmware.host import HostModel, build_host
from autotiny.firmware.layouts import LAYOUTS, check_layout, library
from autotiny.firmware.linking import Firmware, link
from autotiny.firmware.project import export_project
from autotiny.firmware.selftest import link_selftest

__all__ = [
    "LAYOUTS",
    "Firmware",
    "HostModel",
    "build_host",
    "check_layout",
    "export_project",
    "library",
    "link",
    "link_board",
    "link_selftest",
    "write_files",
]
