"""`autotiny tasks`: what a network may be asked to do, and what that is scored by."""

from __future__ import annotations

from autotiny.cli.options import Json
from autotiny.cli.printing import print_json, print_tables

EXAMPLES = ("autotiny tasks", "autotiny tasks --json")


def run(as_json: Json = False) -> None:
    """List the tasks, and the metrics of each."""
    from autotiny.report import catalogue

    if as_json:
        print_json(catalogue.task_facts())
        return
    print_tables(catalogue.task_table(), "", catalogue.METRICS_TEXT)
