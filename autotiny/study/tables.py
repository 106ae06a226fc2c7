"""The tables of Optuna's databases, read and written for many processes at once.

Optuna makes objects of every row that it reads, and a session of every value that it writes. Where
many trials run, those that have not changed since are most of what is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Table, bindparam, func, literal, select, union_all, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

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
_NEW_OR_OPEN = select(_TRIALS.c.trial_id, _TRIALS.c.state, _TRIALS.c.datetime_start).where(
    _OF_STUDY
    & (
        _TRIALS.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
        | (_TRIALS.c.trial_id > bindparam("above"))
    )
)
# A parameter is never changed once it is there, and trials of autotiny report nothing on their way.
_KNOWN_OF = union_all(
    *(
        select(table.c.trial_id, table.c[key], value).where(
            table.c.trial_id.in_(bindparam("trials", expanding=True, literal_execute=True))
        )
        for table, key, value in (
            (_USER, "key", _USER.c.value_json),
            (_SYSTEM, "key", _SYSTEM.c.value_json),
            (_PARAMS, "param_name", literal("")),
        )
    )
)
_HEARD = (
    select(_BEATS.c.trial_id, _BEATS.c.heartbeat, func.now())
    .select_from(_BEATS.join(_TRIALS))
    .where(_OF_STUDY & (_TRIALS.c.state == TrialState.RUNNING))
)

_BEAT = update(_BEATS).where(_BEATS.c.trial_id == bindparam("trial")).values(heartbeat=func.now())


def beat(connection: Connection, trial_id: int) -> bool:
    """Write that a trial is being worked on; whether that was written before."""
    return connection.execute(_BEAT, {"trial": trial_id}).rowcount > 0


def stored(connection: Connection, study_id: int, above: int) -> dict[int, Rows]:
    """The rows of the trials that have not ended, and of those whose ids are above a number."""
    trials = connection.execute(_NEW_OR_OPEN, {"study_id": study_id, "above": above})
    found = {number: {tuple(row)} for number, *row in trials}
    for number, *row in connection.execute(_KNOWN_OF, {"trials": [*found]}) if found else ():
        found[number].add(tuple(row))
    return {number: frozenset(rows) for number, rows in found.items()}


@dataclass(frozen=True)
class Written:
    """What was found out about a trial, and is not in its database yet.

    Attributes:
        params: the value in Optuna's own form, and the distribution as JSON text, by name.
        user: attributes by name.
        system: Optuna's own attributes by name.
    """

    params: dict[str, tuple[float, str]] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)


def write(storage: RDBStorage, connection: Connection, trial_id: int, written: Written) -> None:
    """Write all of it; parameters that are there already stay as they are.

    Raises:
        KeyError: there is no such trial.
        UpdateFinishedTrialError: it has ended.
    """
    with Session(connection) as session:
        trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        storage.check_trial_is_updatable(trial_id, cast(TrialState, trial.state))
        there = {one.param_name for one in trial.params} if written.params else set()
        session.add_all(
            models.TrialParamModel(
                trial_id=trial_id, param_name=name, param_value=value, distribution_json=text
            )
            for name, (value, text) in written.params.items()
            if name not in there
        )
        kinds: tuple[tuple[Any, dict[str, Any]], ...] = (
            (models.TrialUserAttributeModel, written.user),
            (models.TrialSystemAttributeModel, written.system),
        )
        for kind, attrs in kinds:
            named = select(kind).where(kind.trial_id == trial_id, kind.key.in_([*attrs]))
            known = {one.key: one for one in session.scalars(named)} if attrs else {}
            for key, value in attrs.items():
                one = known.get(key) or kind(trial_id=trial_id, key=key)
                one.value_json = json.dumps(value)
                session.add(one)
        session.flush()


def silent(connection: Connection, study_id: int, grace: timedelta) -> set[int]:
    """The ids of running trials whose last heartbeat is longer ago; none of those without one."""
    return {
        number
        for number, beat, now in connection.execute(_HEARD, {"study_id": study_id})
        if now.replace(tzinfo=None) - beat > grace
    }
