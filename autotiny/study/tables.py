"""The tables of Optuna's databases, read and written for many processes at once.

Optuna makes objects of every row that it reads, and a session of every value that it writes. Where
many trials run, those that have not changed since are most of what is read.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import cast

from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.engine import Connection

Rows = frozenset[tuple[object, ...]]
"""All that is stored of a trial, to compare with what was stored before."""

_TRIALS, _PARAMS, _USER, _SYSTEM, _BEATS = (
    cast(Table, kind.__table__)
    for kind in (
        models.TrialModel, models.TrialParamModel, models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel, models.TrialHeartbeatModel,
    )
)  # fmt: skip
_OF_STUDY = _TRIALS.c.study_id == bindparam("study_id")
_NEW_OR_OPEN = _OF_STUDY & (
    _TRIALS.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
    | (_TRIALS.c.trial_id > bindparam("above"))
)
# A parameter is never changed once it is there, and trials of autotiny report nothing on their way.
_STORED = tuple(
    select(*(table.c[name] for name in ("trial_id", *names)))
    .select_from(_TRIALS if table is _TRIALS else table.join(_TRIALS))
    .where(_NEW_OR_OPEN)
    for table, *names in (
        (_TRIALS, "state", "datetime_start"),
        (_PARAMS, "param_name"),
        (_USER, "key", "value_json"),
        (_SYSTEM, "key", "value_json"),
    )
)
_HEARD = (
    select(_BEATS.c.trial_id, _BEATS.c.heartbeat, func.now())
    .select_from(_BEATS.join(_TRIALS))
    .where(_OF_STUDY & (_TRIALS.c.state == TrialState.RUNNING))
)


def stored(connection: Connection, study_id: int, above: int) -> dict[int, Rows]:
    """The rows of the trials that have not ended, and of those whose ids are above a number."""
    found: defaultdict[int, set[tuple[object, ...]]] = defaultdict(set)
    for statement in _STORED:
        for number, *row in connection.execute(statement, {"study_id": study_id, "above": above}):
            found[number].add(tuple(row))
    return {number: frozenset(rows) for number, rows in found.items()}


def silent(connection: Connection, study_id: int, grace: timedelta) -> set[int]:
    """The ids of running trials whose last heartbeat is longer ago; none of those without one."""
    return {
        number
        for number, beat, now in connection.execute(_HEARD, {"study_id": study_id})
        if now.replace(tzinfo=None) - beat > grace
    }
