"""The sampler, as a function of the study and not of the process."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from autotiny.cache import key_of

STARTUP_TRIALS = 10
"""Trials after which the sampler follows what it has learned."""


class StudySampler(BaseSampler):
    """Tree-structured Parzen estimators whose draws hang on seed, study, trial and parameter alone.

    What a trial draws is the same whether the process has run since the first trial or was started
    for this one, so that a search that was killed goes on as if it had not been.
    `results/order_encoding.md` has random draws beside it.
    """

    def __init__(self, seed: int, *, parallel: bool = False) -> None:
        self._seed, self._parallel = seed, parallel

    def _drawing(self, trial: FrozenTrial, what: str) -> TPESampler:
        seed = int(key_of(self._seed, trial.number, what)[:8], 16)
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=self._parallel)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together."""
        return self._drawing(trial, "").infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What is drawn together, in one order: the generator is asked once for each."""
        ordered = dict(sorted(search_space.items()))
        return self._drawing(trial, "").sample_relative(study, trial, ordered)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What is drawn for one parameter."""
        drawing = self._drawing(trial, param_name)
        return drawing.sample_independent(study, trial, param_name, param_distribution)
