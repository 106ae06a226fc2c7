"""How much of its score a best point may lose."""

import pytest

from autotiny.errors import UserError
from autotiny.tasks import ACCURACY, Drop, Metric, shown_metric, wanted_drop

MAE = shown_metric("mae")
assert MAE is not None


@pytest.mark.parametrize(
    ("metric", "asked", "of_ten", "text"),
    [
        (ACCURACY, None, 0.01, "1 %"),
        (ACCURACY, "2%", 0.02, "2 %"),
        (ACCURACY, "0.02", 0.02, "2 %"),
        (ACCURACY, 0.005, 0.005, "0.5 %"),
        (MAE, None, 0.5, "5 %"),
        (MAE, "2 %", 0.2, "2 %"),
        (MAE, "0.3", 0.3, "0.3"),
        (MAE, 3, 3.0, "3"),
    ],
)
def test_what_may_be_lost_of_a_score_of_ten(
    metric: Metric, asked: str | float | None, of_ten: float, text: str
) -> None:
    drop = wanted_drop(metric, asked, None)
    assert drop.of(-10 if metric is MAE else 10) == pytest.approx(of_ten)
    assert drop.text(metric) == text


@pytest.mark.parametrize("asked", ["", "abc", "-1", "1e999", "5 %%", "nan", float("inf"), "3..2"])
def test_what_is_no_amount_is_refused(asked: str | float) -> None:
    with pytest.raises(UserError, match="score_drop = "):
        wanted_drop(MAE, asked, None)  # type: ignore[arg-type]


def test_more_than_all_of_a_share_is_refused() -> None:
    with pytest.raises(UserError, match="it must be an amount of accuracy such as"):
        wanted_drop(ACCURACY, "101%", None)
    assert wanted_drop(ACCURACY, "100%", None) == Drop(1.0)


def test_the_old_name_is_for_shares_alone() -> None:
    assert wanted_drop(ACCURACY, None, 0.03) == Drop(0.03)
    with pytest.raises(UserError, match="for scores in percent, and mean absolute error is none"):
        wanted_drop(MAE, None, 0.03)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="exclude each other"):
        wanted_drop(ACCURACY, "1%", 0.03)
