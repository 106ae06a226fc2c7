"""A pair of components both ways round, as tables and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TypedDict

from rich.table import Table

from autotiny.recipe import step_text
from autotiny.report.tables import AT_CHANCE, CHANCE_TEXT, milliseconds, table
from autotiny.study.ordering import Comparison, Difference, Order
from autotiny.tasks import shown_metric

NAMES = {
    "flash_bytes": "flash B",
    "sram_bytes": "SRAM B",
    "latency_ms": "ms",
}
"""What the table calls the figures, but for scores."""

LETTERS = ("A → B", "B → A")


class OrderFacts(TypedDict):
    """One way round."""

    sequence: str
    objection: str
    figures: dict[str, dict[str, float]]
    runs: list[dict[str, object]]


class ComparisonFacts(TypedDict):
    """What `order --json` writes."""

    model: str
    data: str
    target: str
    seeds: int
    epochs: int
    first: str
    second: str
    commute: bool
    orders: list[OrderFacts]
    differences: dict[str, dict[str, float | bool]]


def comparison_facts(found: Comparison) -> ComparisonFacts:
    """What `order --json` writes."""
    differences = {figure: found.difference(figure) for figure in found.figures}
    return {
        "model": found.model,
        "data": found.data,
        "target": found.target.name,
        "seeds": found.seeds,
        "epochs": found.epochs,
        "first": step_text(found.first),
        "second": step_text(found.second),
        "commute": found.commute,
        "orders": [_order_facts(found, order) for order in found.orders],
        "differences": {
            figure: {**asdict(entry), "beyond_noise": entry.beyond_noise}
            for figure, entry in differences.items()
            if entry
        },
    }


def _order_facts(found: Comparison, order: Order) -> OrderFacts:
    spreads = {figure: found.spread(order, figure) for figure in found.figures}
    return {
        "sequence": str(order.recipe),
        "objection": order.objection,
        "figures": {figure: asdict(entry) for figure, entry in spreads.items() if entry},
        "runs": [
            {
                "seed": one.seed,
                "failure": one.failure,
                "dropped": [asdict(entry) for entry in one.dropped],
                **(
                    {name: one.metrics.to_dict()[name] for name in (*found.figures, "at_chance")}
                    if one.metrics
                    else {}
                ),
            }
            for one in order.repetitions
        ],
    }


def comparison_table(found: Comparison) -> Table:
    """One line a figure: both orders, and what the second gives more than the first."""
    made = table("figure", *LETTERS, "difference", "beyond noise", left=("figure", "beyond noise"))
    for figure in found.figures:
        entry = found.difference(figure)
        made.add_row(
            name_of(figure),
            *(_spread_text(found, order, figure) for order in found.orders),
            difference_text(figure, entry) if entry else "–",
            beyond_text(entry) if entry else "–",
        )
    return made


def name_of(figure: str) -> str:
    """What the table calls a figure."""
    metric = shown_metric(figure)
    if metric is None:
        return NAMES[figure]
    return f"{'test' if figure.endswith('_test') else 'valid'} {metric.heading}"


def _spread_text(found: Comparison, order: Order, figure: str) -> str:
    spread = found.spread(order, figure)
    if spread is None:
        return "–"
    mark = AT_CHANCE if figure == found.figures[0] and order.at_chance else ""
    return with_noise(figure, spread.mean, spread.deviation) + mark


def with_noise(figure: str, mean: float, noise: float) -> str:
    """A mean and what it is uncertain by; where nothing is uncertain, the mean alone."""
    return value_of(figure, mean) + (f" ± {value_of(figure, noise)}" if noise else "")


def value_of(figure: str, value: float) -> str:
    """A value or a difference in the unit of its line."""
    if metric := shown_metric(figure):
        return metric.number(value)
    if figure.endswith("_bytes"):
        return f"{value:,.0f}"
    return f"-{milliseconds(-value)}" if value < 0 else milliseconds(value)


def difference_text(figure: str, entry: Difference) -> str:
    """A difference with its sign and its standard error."""
    sign = "+" if entry.mean > 0 else ""
    differs = entry.mean or entry.error
    return sign + with_noise(figure, entry.mean, entry.error) if differs else "none"


def beyond_text(entry: Difference) -> str:
    """Whether a difference is more than noise."""
    if entry.seeds < 2:
        return "unknown: one seed"
    return "yes" if entry.beyond_noise else "no"


def comparison_lines(found: Comparison) -> list[str]:
    """What the letters mean, which orders are legal, and whether order can matter at all."""
    lines = [f"A = {step_text(found.first)}, B = {step_text(found.second)}"]
    for letters, order in zip(LETTERS, found.orders, strict=True):
        verdict = f"illegal: {order.objection}" if order.objection else str(order.recipe)
        lines.append(f"{letters}: {verdict}")
    if found.commute:
        lines.append("They commute: both orders are the same work and give the same bytes.")
    return lines


def remark_lines(found: Comparison) -> list[str]:
    """What the signs mean, and what dropped out, failed or learned nothing."""
    count = f"{found.seeds} seeds" if found.seeds > 1 else "1 seed"
    lines = [f"mean ± standard deviation over {count}; difference ± its standard error"]
    for letters, order in zip(LETTERS, found.orders, strict=True):
        for reason, seeds in order.reasons.items():
            under = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
            lines.append(f"{letters}: {reason} ({under})")
    if any(order.at_chance for order in found.orders):
        lines.append(f"{AT_CHANCE} under at least one seed {CHANCE_TEXT}")
    return lines
