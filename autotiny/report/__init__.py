"""What people and programs read: tables, the live view, plots, and the files of a study.

`catalogue` and what reads a study are imported by their own names: they need more than tables do.
"""

from autotiny.report.tables import (
    CHANCE_TEXT,
    calibrated_table,
    console,
    cost_table,
    kilobytes,
    layer_table,
    memory_table,
    milliseconds,
    profile_table,
    source_table,
    stall_table,
    target_facts,
    target_table,
    verified_table,
    working,
)

__all__ = [
    "CHANCE_TEXT",
    "calibrated_table",
    "console",
    "cost_table",
    "kilobytes",
    "layer_table",
    "memory_table",
    "milliseconds",
    "profile_table",
    "source_table",
    "stall_table",
    "target_facts",
    "target_table",
    "verified_table",
    "working",
]
