"""What components were worth, in cells and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from autotiny.study import Effect, Result, Worth
from autotiny.tasks import Metric

MOST_ROWS = 12
"""Of the table in the report; `pareto.json` has all."""

UNCERTAIN = "?"
"""Stands where an effect cannot be told from nothing."""

HEADINGS = {
    "latency_ms": "latency %",
    "worst_latency_ms": "worst latency %",
    "flash_bytes": "flash %",
    "sram_bytes": "SRAM %",
    "energy_estimated_mj": "est. energy %",
    "balanced_ratio": "balanced %",
}


def listed(result: Result) -> list[Worth]:
    """What the table shows: of orders only those that make a difference."""
    known = [worth for worth in result.worth if not worth.note]
    return [worth for worth in known if worth.certain or not worth.is_order][:MOST_ROWS]


def worth_head(result: Result, shown: Sequence[Worth]) -> tuple[str, ...]:
    """The headings of the table."""
    metric = result.job.metric
    score = f"{metric.title}{', points' if metric.percent else ''}"
    return ("what", "with / without", score, *(HEADINGS[name] for name in _figures(result, shown)))


def worth_rows(result: Result, shown: Sequence[Worth]) -> list[tuple[str, ...]]:
    """A row for each."""
    names = _figures(result, shown)
    return [
        (
            _title(worth),
            f"{worth.trials_with} / {worth.trials_without}",
            _score_cell(worth, result.job.metric),
            *(_cell(worth.costs[name]) if name in worth.costs else "–" for name in names),
        )
        for worth in shown
    ]


def _figures(result: Result, shown: Sequence[Worth]) -> list[str]:
    """The costs that are known, those that were asked for first."""
    known = {name for worth in shown for name in worth.costs}
    return [name for name in dict.fromkeys((*result.job.figures, *HEADINGS)) if name in known]


def _title(worth: Worth) -> str:
    if worth.is_order:
        return f"{worth.name}, not behind it"
    return f"{worth.name} instead of {worth.instead}" if worth.instead else worth.name


def _score_cell(worth: Worth, metric: Metric) -> str:
    return _cell(worth.score, metric) if worth.score else "–"


def _cell(effect: Effect, metric: Metric | None = None) -> str:
    """A change and its interval, e.g. `−41 (−48 … −33)`; a cost's in percent."""
    mean, low, high = (_signed(one, metric) for one in (effect.mean, effect.low, effect.high))
    return f"{mean if effect.certain else UNCERTAIN} ({low} … {high})"


def _signed(value: float, metric: Metric | None) -> str:
    if metric is None:
        text = f"{abs(value):,.0f}" if abs(value) >= 10 else f"{abs(value):.1f}"
    else:
        text = metric.number(abs(value))
    return text if not text.strip("0.") else f"{'+' if value > 0 else '−'}{text}"


def worth_legend(result: Result) -> str:
    """How to read the table."""
    metric = result.job.metric
    better = "more" if metric.higher else "less"
    return (
        "The average change that each made to the sequences it was tried in, and its 95 % "
        f"interval; `{UNCERTAIN}` cannot be told from nothing. Of the {metric.title} on validation "
        f"{better} is better, of costs less. – stands where a component only changes how the "
        "network is computed, and where nothing alike was tried without it. With / without: "
        "different sequences that were tried. A model of all trials fills in what was not tried; "
        "an interval holds for sequences like these, on this model, data and target."
    )


def worth_rest(result: Result, shown: Sequence[Worth]) -> str:
    """What the table does not show, and why; "" where that is nothing."""
    reasons: dict[str, list[str]] = {}
    for worth in result.worth:
        if worth not in shown:
            reason = worth.note or (
                "in `pareto.json`" if worth.certain or not worth.is_order
                else "tried both ways round, and no difference can be told from nothing"
            )  # fmt: skip
            reasons.setdefault(reason, []).append(worth.name)
    return "\n".join(f"- {reason}: {', '.join(names)}" for reason, names in reasons.items())
