"""The samplers, each a function of the study and not of the process."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from autotiny.cache import key_of
from autotiny.errors import UserError, unknown
from autotiny.space import answers_for, draw
from autotiny.study.job import EHVI, Job
from autotiny.study.proposing import Proposal, proposal

STARTUP_TRIALS = 10
"""Trials after which Optuna's samplers follow what they have learned."""

Drawing = Callable[[int, bool], BaseSampler]

OPTUNAS: dict[str, Drawing] = {
    "tpe": lambda seed, parallel: TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=parallel
    ),
    "nsga2": lambda seed, parallel: NSGAIISampler(seed=seed, population_size=STARTUP_TRIALS),
    "gp": lambda seed, parallel: GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
    "random": lambda seed, parallel: RandomSampler(seed=seed),
}

SAMPLERS = {
    EHVI: "weighs hundreds of sequences by their costs and what they should score",
    "tpe": "Optuna's tree-structured Parzen estimators",
    "nsga2": "Optuna's genetic algorithm",
    "gp": "Optuna's Gaussian processes; needs torch",
    "random": "chance alone",
}


NEEDS = {"gp": "torch"}
"""Packages that samplers import when they draw."""


class StudySampler(BaseSampler):
    """A sampler of Optuna whose draws hang on seed, study, trial and parameter alone.

    What a trial draws is the same whether the process has run since the first trial or was started
    for this one, so that a search that was killed goes on as if it had not been.
    `results/order_encoding.md` has random draws beside it.
    """

    def __init__(self, seed: int, *, kind: str = "tpe", parallel: bool = False) -> None:
        self._seed, self._kind, self._parallel = seed, kind, parallel

    def _drawing(self, trial: FrozenTrial, what: str) -> BaseSampler:
        seed = int(key_of(self._seed, trial.number, what)[:8], 16)
        return OPTUNAS[self._kind](seed, self._parallel)

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


class ProposingSampler(BaseSampler):
    """Answers the questions of a trial so that it draws what `proposal` proposes.

    Where that proposes nothing, chance draws a sequence. What a trial draws hangs on seed, study
    and number of the trial alone.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._answers: dict[int, dict[str, Any]] = {}
        self._proposals: dict[int, Proposal | None] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None: the answers of a trial hang together by its sequence."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What the sequence of a trial answers; it is proposed when the first question is asked."""
        if trial.number not in self._answers:
            self._answers = {trial.number: self._sequence(study, trial.number)}
        return self._answers[trial.number][param_name]

    def proposed(self, study: optuna.Study, number: int) -> Proposal | None:
        """What a trial was proposed, found anew where another process drew it."""
        if number not in self._proposals:
            self._proposals = {number: proposal(study, self._job, number)}
        return self._proposals[number]

    def _sequence(self, study: optuna.Study, number: int) -> dict[str, Any]:
        job, found = self._job, self.proposed(study, number)
        seed = int(key_of(job.seed, number)[:8], 16)
        recipe = found.recipe if found else None
        recipe = recipe or draw(job.space, job.model.start, seed)
        answers = answers_for(recipe, job.space, job.model.start)
        assert answers is not None, "what was drawn of a space can be drawn"
        return answers


def check_sampler(name: str) -> None:
    """Refuse a sampler that there is not.

    Raises:
        UserError: there is none of that name, or it needs a package that is not installed.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS, "autotiny search --help")
    package = NEEDS.get(name)
    if package and find_spec(package) is None:
        raise UserError(
            f"sampler = {name!r} needs the package {package}, which is not installed; "
            "install it, or choose another sampler"
        )


def sampler_for(job: Job, *, parallel: bool = False) -> BaseSampler:
    """The sampler of a job."""
    if job.sampler == EHVI:
        return ProposingSampler(job)
    return StudySampler(job.seed, kind=job.sampler, parallel=parallel)
