"""The Optuna study: which sequences are tried, what is measured, and the front they make."""

from autotiny.study.attribution import Effect, Worth
from autotiny.study.bounds import (
    Amounts,
    Bounds,
    Reserve,
    reserved,
    wanted_bounds,
    worst_latency_ms,
)
from autotiny.study.bundle import DRAFT, bundle_bytes, check_intact, folder_of
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import EHVI, EPOCHS, OBJECTIVES, Job, Objective, wanted_objectives
from autotiny.study.listening import stream_of
from autotiny.study.ordering import SEEDS, Comparison, Originals, compare_orders
from autotiny.study.planning import TRIALS
from autotiny.study.proxying import serve
from autotiny.study.record import OUTCOMES, TrialRecord, ended, measured
from autotiny.study.replay import (
    Applied,
    Rebuilt,
    apply_recipe,
    data_name,
    load_pair,
    model_name,
    rebuilt,
    samples_of,
)
from autotiny.study.result import (
    NearMiss,
    Point,
    Result,
    Shortfall,
    comment_of,
    threshold_of,
)
from autotiny.study.sampling import check_sampler
from autotiny.study.search import search
from autotiny.study.seeds import BEST_SEEDS, Seeds
from autotiny.study.solving import SOLVED_POINTS
from autotiny.study.sound_layers import sound_layer
from autotiny.study.storage import (
    default_study_name,
    open_storage,
    own_folder,
    quiet_optuna,
    shown_place,
    sqlite_url,
)
from autotiny.study.warm_start import check_warm_start
from autotiny.study.watching import Progress
from autotiny.study.working import Worked, work

__all__ = [
    "BEST_SEEDS",
    "DRAFT",
    "EHVI",
    "EPOCHS",
    "OBJECTIVES",
    "OUTCOMES",
    "SEEDS",
    "SOLVED_POINTS",
    "TRIALS",
    "Amounts",
    "Applied",
    "Bounds",
    "Comparison",
    "Effect",
    "Evaluator",
    "Job",
    "NearMiss",
    "Objective",
    "Originals",
    "Point",
    "Progress",
    "Rebuilt",
    "Reserve",
    "Result",
    "Seeds",
    "Shortfall",
    "TrialRecord",
    "Worked",
    "Worth",
    "apply_recipe",
    "bundle_bytes",
    "check_intact",
    "check_sampler",
    "check_warm_start",
    "comment_of",
    "compare_orders",
    "data_name",
    "default_study_name",
    "ended",
    "folder_of",
    "load_pair",
    "measured",
    "model_name",
    "open_storage",
    "own_folder",
    "quiet_optuna",
    "rebuilt",
    "reserved",
    "samples_of",
    "search",
    "serve",
    "shown_place",
    "sound_layer",
    "sqlite_url",
    "stream_of",
    "threshold_of",
    "wanted_bounds",
    "wanted_objectives",
    "work",
    "worst_latency_ms",
]
