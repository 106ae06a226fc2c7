"""The search on real input: trained, converted, linked, executed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.model import Model
from autotiny.recipe import write_recipe
from autotiny.study import TrialRecord, apply_recipe, load_pair, quiet_optuna, search
from autotiny.study.holding import is_held
from autotiny.target import load_target


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def pair(cache: Cache) -> tuple[Model, Dataset]:
    return load_pair("cnn1", "digits", seed=0, cache=cache)


def run(pair: tuple[Model, Dataset], cache: Cache, out: Path, **more: Any) -> Any:
    arguments: dict[str, Any] = {"space": "post_training", "trials": 3, "solve": 0} | more
    target = load_target("stm32f746")
    return search(*pair, target, out=out, cache=cache, **arguments)


def test_a_recipe_gives_the_same_bytes_and_figures_again(
    pair: tuple[Model, Dataset], cache: Cache, tmp_path: Path
) -> None:
    result = run(pair, cache, tmp_path)
    best = result.best["latency"]
    assert best.metrics.score_test > 0.9
    assert best.metrics.cost.latency_ms < result.baseline.metrics.cost.latency_ms / 2
    assert best.metrics.cost.flash_bytes < result.baseline.metrics.cost.flash_bytes / 2
    write_recipe(result.saved_recipe(best), tmp_path / "best.json")
    result.write_files(best, tmp_path / "first")
    # A cold cache does all the work again, training included.
    applied = apply_recipe(tmp_path / "best.json", tmp_path / "again", cache=Cache(tmp_path / "c"))
    assert not applied.differences
    assert applied.metrics == best.metrics
    first, again = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("first", "again")
    )
    assert {"model.tflite", "firmware.elf", "model.c", "weights.c"} <= set(first)
    assert first == again


def test_a_recipe_for_another_model_is_refused(
    pair: tuple[Model, Dataset], cache: Cache, tmp_path: Path
) -> None:
    result = run(pair, cache, tmp_path, trials=1)
    path = tmp_path / "r.json"
    write_recipe(result.saved_recipe(result.baseline), path)
    content = json.loads(path.read_text())
    content["model"]["fingerprint"] = "0" * 16
    path.write_text(json.dumps(content))
    with pytest.raises(Exception, match="model 'cnn1' is not what the recipe was found with"):
        apply_recipe(path, tmp_path / "x", cache=cache)


@pytest.mark.slow
def test_two_processes_share_a_study(
    pair: tuple[Model, Dataset], cache: Cache, tmp_path: Path
) -> None:
    told: list[int] = []
    result = run(
        pair,
        cache,
        tmp_path,
        trials=8,
        jobs=2,
        on_trial=lambda progress: told.append(progress.done),
    )
    assert len(result.study.trials) >= 8
    assert TrialRecord.load(result.study.trials[0]).sequence == "float32"
    assert told == sorted(told)
    assert told[-1] >= 8
    assert len({TrialRecord.load(trial).recipe_key for trial in result.study.trials}) >= 8


SCRIPT = """
import sys
from autotiny.study import load_pair, search
from autotiny.cache import Cache
from autotiny.target import load_target
if __name__ == "__main__":
    cache = Cache(sys.argv[1])
    pair = load_pair("cnn1", "digits", seed=0, cache=cache)
    def tell(progress):
        print(progress.done, flush=True)
    result = search(*pair, load_target("stm32f746"), out=sys.argv[2], space="post_training",
                    trials=500, jobs=int(sys.argv[3]), cache=cache, on_trial=tell, solve=0)
    print("interrupted", result.interrupted, len(result.front), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupting_keeps_finished_trials(
    pair: tuple[Model, Dataset], cache: Cache, tmp_path: Path, jobs: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(cache.folder), str(tmp_path / "out"), str(jobs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("3"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait(120) == 0
    assert "interrupted True" in rest
    storage = f"sqlite:///{tmp_path / 'out' / 'study.db'}"
    (summary,) = optuna.get_all_study_summaries(storage=storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    kept = [trial for trial in study.trials if TrialRecord.load(trial).outcome == "measured"]
    assert len(kept) >= 3


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(
    pair: tuple[Model, Dataset], cache: Cache, tmp_path: Path
) -> None:
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(cache.folder), str(out), "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("4"):
            process.kill()
            break
    process.wait(60)
    for _ in range(120):  # Those that were started hold their locks as long as they live.
        if not [path for path in out.glob(".*.locks/*") if is_held(path.parent, path.name)]:
            break
        time.sleep(0.5)
    else:
        pytest.fail("processes are left")
    with quiet_optuna():
        result = run(pair, cache, out, trials=8)
    states = Counter(trial.state.name for trial in result.study.trials)
    assert states["RUNNING"] == 0
    assert sum(result.counts.values()) - result.counts["repeated"] >= 8
    assert result.baseline is not None
