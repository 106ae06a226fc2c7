import csv
import json
import threading
import urllib.request
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from rich.console import Console, RenderableType

from autotiny.components import COMPONENTS
from autotiny.dataset import AS_STORED
from autotiny.errors import UserError
from autotiny.metrics import Cost, LayerCost, Metrics
from autotiny.model import Level
from autotiny.recipe import Dropped, Recipe, read_recipe, step_data
from autotiny.report import catalogue, cost_table, layer_table, milliseconds, target_table
from autotiny.report.dashboard import note_text, serve, storage_url
from autotiny.report.facts import best_point, columns, csv_text, study_facts
from autotiny.report.files import write_study
from autotiny.report.live import SearchView, live_front_table, plain_line, progress_panel
from autotiny.report.page import markdown_table, report_text, times
from autotiny.report.plot import Dot, pareto_svg
from autotiny.report.summary import front_table, search_summary, seeds_text, why_nothing
from autotiny.report.tables import clock
from autotiny.space import load_space, space_names
from autotiny.study import (
    OUTCOMES,
    Effect,
    Point,
    Progress,
    Result,
    Seeds,
    Shortfall,
    TrialRecord,
    Worth,
)
from autotiny.study.bounds import NO_BOUNDS
from autotiny.study.preflight import Findings
from autotiny.study.record import RECORD
from autotiny.target import Correction, Target, load_target, target_names
from autotiny.tasks import ACCURACY, Classification, Drop, Regression

TARGET = load_target("stm32f746")
FLOAT32 = Recipe((COMPONENTS["float32"](),))


def printed(item: RenderableType, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, highlight=False)
    console.print(item)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


def cost(scale: float) -> Cost:
    weights, cycles = int(80_000 * scale), int(420_000 * scale)
    return Cost(
        flash_bytes=weights + 2000,
        weights_bytes=weights,
        code_bytes=2000,
        sram_bytes=9000,
        arena_bytes=8800,
        static_bytes=100,
        stack_bytes=100,
        instructions=cycles,
        cycles=cycles,
        latency_ms=cycles / 216_000,
        energy_estimated_mj=cycles / 500_000,
        layers=(LayerCost("conv_2d 26×26×12", cycles, cycles, cycles / 216_000, weights),),
    )


def point(trial: int, names: tuple[str, ...], accuracy: float, scale: float) -> Point:
    metrics = Metrics(cost(scale), accuracy, accuracy - 0.001)
    return Point(
        trial=trial,
        recipe=Recipe(tuple(COMPONENTS[name]() for name in names)),
        metrics=metrics,
        values=(accuracy, metrics.cost.latency_ms),
        runtimes=("autotiny", "litert") if "float16" in names else ("autotiny", "tflm", "litert"),
        within_budget=accuracy >= 0.96,
    )


def trial_of(found: Point) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        values=list(found.values),
        user_attrs={
            RECORD: TrialRecord(
                outcome="measured", recipe=found.recipe, metrics=found.metrics, values=found.values
            ).to_json()
        },
    )


def refused(outcome: str, reason: str) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.PRUNED,
        user_attrs={RECORD: TrialRecord(outcome=outcome, recipe=FLOAT32, reason=reason).to_json()},
    )


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> Result:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    baseline = point(0, ("float32",), 0.97, 1.0)
    front = (
        point(3, ("int8",), 0.95, 0.2),
        point(2, ("float16",), 0.965, 0.5),
        point(1, ("int16x8",), 0.972, 0.6),
    )
    study = optuna.create_study(directions=["maximize", "minimize"], study_name="a-study")
    for found in (baseline, front[2], front[1], front[0]):
        study.add_trial(trial_of(found))
    study.add_trial(refused("infeasible", "misses stm32f746 by 12 bytes of flash"))
    study.add_trial(refused("infeasible", "misses stm32f746 by 12 bytes of flash"))
    study.add_trial(refused("invalid", "no kernel for ERF at op 3"))
    job: Any = SimpleNamespace(
        objectives=("latency",),
        figures=("latency_ms",),
        value_names=("accuracy_validation", "latency_ms"),
        model=SimpleNamespace(
            fingerprint="f" * 16, source="cnn1", level=Level.KERAS, start=Level.KERAS
        ),
        data=SimpleNamespace(
            fingerprint="d" * 16,
            source="digits",
            reading=AS_STORED,
            described=lambda: ("digits", "classes: 0 (9)"),
            task=Classification(),
            labels=(),
            inputs=None,
            ports=(),
        ),
        target=TARGET,
        stream=None,
        bounds=NO_BOUNDS,
        space=load_space("default"),
        seed=7,
        floor=lambda score: score - 0.01,
        score_drop=Drop(0.01),
        metric=ACCURACY,
        candidate=lambda recipe: SimpleNamespace(model=SimpleNamespace(front=None)),
        epochs=5,
    )
    counts = dict.fromkeys(OUTCOMES, 0) | {"measured": 4, "infeasible": 2, "invalid": 1}

    def stub(_: Result, __: Point, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "model.tflite").write_bytes(b"x")

    monkeypatch.setattr(Result, "write_files", stub)
    monkeypatch.setattr(Result, "write_bundle", lambda *_: None)
    monkeypatch.setattr(
        Result, "details", lambda *_: [("Each class", [("class", "n"), ("a", "1")])]
    )
    return Result(
        study=study,
        job=job,
        front=front,
        baseline=baseline,
        best={"latency": front[1], "accuracy": front[2]},
        budget=0.96,
        shortfall=None,
        counts=counts,
        dropped={Dropped("fold_constants", "no op has only constant inputs | really"): 3},
        interrupted=False,
        seconds=61.0,
        cache_hits=30,
        cache_misses=12,
        findings=Findings((Dropped("use_winograd", "the model has no CONV_2D"),)),
    )


def test_every_file_of_a_study_is_written(result: Result, tmp_path: Path) -> None:
    stale = tmp_path / "recipes" / "trial_0099.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    written = {path.name for path in write_study(result, tmp_path)}
    assert written == {"report.md", "pareto.csv", "pareto.json", "pareto.svg", "best.json", "best"}
    assert all((tmp_path / name).exists() for name in written)
    assert not stale.exists()
    recipes = sorted(path.name for path in (tmp_path / "recipes").iterdir())
    assert recipes == [f"trial_000{number}.json" for number in range(4)]
    assert read_recipe(tmp_path / "best.json").recipe == result.front[1].recipe


def test_the_csv_has_the_promised_columns(result: Result, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    with (tmp_path / "pareto.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*columns("accuracy"), "role")
    assert (tmp_path / "pareto.csv").read_bytes().startswith(b"\xef\xbb\xbftrial,")
    assert [int(row["trial"]) for row in rows] == [3, 2, 1, 0]
    assert [row["role"] for row in rows] == ["front"] * 3 + ["original"]
    kept = [str(point.within_budget) for point in result.front]
    assert [row["within_budget"] for row in rows[:3]] == kept
    assert rows[1]["runtimes"] == "autotiny+litert"
    assert int(rows[0]["flash_bytes"]) == result.front[0].metrics.cost.flash_bytes
    for row in rows:
        saved = read_recipe(tmp_path / row["recipe"])
        assert str(saved.recipe) == row["sequence"]
        assert saved.figures["cycles"] == int(row["cycles"])


def test_an_empty_front_still_has_a_header() -> None:
    assert csv_text([], TARGET) == "\ufeff" + ",".join((*columns("accuracy"), "role")) + "\n"


def test_the_json_says_the_same(result: Result, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    facts = json.loads((tmp_path / "pareto.json").read_text())
    assert facts == json.loads(json.dumps(study_facts(result)))
    assert [entry["trial"] for entry in facts["front"]] == [3, 2, 1]
    assert [entry["within_budget"] for entry in facts["front"]] == [False, True, True]
    assert facts["best"] == {
        "objective": "latency", "trial": 2, "within_budget": True, "recipe": "best.json",
    }  # fmt: skip
    assert facts["trials"]["infeasible"] == 2
    assert facts["baseline"]["trial"] == 0


def test_the_report_tells_what_was_found_and_what_was_not(result: Result) -> None:
    text = report_text(result)
    for said in (
        "STM32F746", "cnn1", "digits", "accuracy, latency", "accuracy 1 % below", "30 of 42",
        "(the original)", "**best**", "| infeasible | 4, 5 | misses stm32f746 by 12 bytes of flash",
        "| invalid | 6 | no kernel for ERF at op 3", "fold_constants | 3", "\\| really",
        "4 sequences say nothing yet; it takes 6: ", "tflm",
        "autotiny apply best.json", "pareto.svg", "95.00†", "† loses more than 1 %",
    ):  # fmt: skip
        assert said in text, said
    widths = {
        line.replace("\\|", "").count("|") for line in text.splitlines() if "(the orig" in line
    }
    assert widths == {14}


def test_the_report_names_the_least_violating_set(result: Result) -> None:
    short = Shortfall(0, result.front[0].recipe, cost(1), {"flash": 12_345})
    text = report_text(replace(result, front=(), best={}, baseline=None, shortfall=short))
    assert "misses by 12,345 bytes of flash" in text
    facts = study_facts(replace(result, front=(), best={}, shortfall=short))
    assert facts["shortfall"] is not None
    assert facts["shortfall"]["excess_bytes"] == {"flash": 12_345}
    assert facts["best"] is None


def worths() -> tuple[Worth, ...]:
    saves, none = Effect(-40.6, -48.2, -33.1), Effect(3.1, -0.04, 12.0)
    costs = {"flash_bytes": none, "sram_bytes": Effect(0, 0, 0), "latency_ms": saves}
    order = "cluster_weights before prune_magnitude"
    many = [Worth(f"pass_{k}", "", 3, 9, None, {"latency_ms": none}) for k in range(12)]
    return (
        Worth("reduce_input", "", 9, 3, Effect(-0.0123, -0.02, -0.005), costs),
        Worth("int8", "float32", 7, 5, Effect(0.001, -0.002, 0.004), costs),
        Worth(order, "", 2, 4, Effect(0.02, 0.01, 0.03), {"latency_ms": none}),
        Worth("huffman_code", "", 2, 10, None, {"latency_ms": Effect(1150, 900, 1400)}, True),
        *many,
        Worth("reduce_input before prune_channels", "", 2, 2, none, costs | {"latency_ms": none}),
        Worth("block_gemm", "", 12, 0, scheduled=True, note="always present"),
        Worth("fuse_operators", "", 12, 0, scheduled=True, note="always present"),
    )


def test_the_report_says_what_each_component_was_worth(result: Result) -> None:
    vars(result)["worth"] = worths()
    lines = report_text(result).splitlines()
    start = lines.index("## What each component was worth")
    section = lines[start : lines.index("## How the trials ended")]
    assert section[2:9] == [
        "| what | with / without | accuracy, points | latency % | flash % | SRAM % |",
        "| --- | --- | --- | --- | --- | --- |",
        "| reduce_input | 9 / 3 | −1.23 (−2.00 … −0.50) | −41 (−48 … −33) | ? (0.0 … +12) "
        "| ? (0.0 … 0.0) |",
        "| int8 instead of float32 | 7 / 5 | ? (−0.20 … +0.40) | −41 (−48 … −33) | ? (0.0 … +12) "
        "| ? (0.0 … 0.0) |",
        "| cluster_weights before prune_magnitude, not behind it | 2 / 4 | +2.00 (+1.00 … +3.00) "
        "| ? (0.0 … +12) | – | – |",
        "| huffman_code | 2 / 10 | – | +1,150 (+900 … +1,400) | – | – |",
        "| pass_0 | 3 / 9 | – | ? (0.0 … +12) | – | – |",
    ]
    assert sum(line.startswith("| ") for line in section) == 12 + 2
    assert [line for line in section if line.startswith("- ")] == [
        "- in `pareto.json`: pass_8, pass_9, pass_10, pass_11",
        "- tried both ways round, and no difference can be told from nothing: "
        "reduce_input before prune_channels",
        "- always present: block_gemm, fuse_operators",
    ]
    facts = study_facts(result)["worth"]
    assert len(facts) == len(worths())
    assert facts[0]["costs_percent"]["latency_ms"] == {"mean": -40.6, "low": -48.2, "high": -33.1}
    assert facts[-1]["note"] == "always present"


def test_effects_of_an_error_are_in_its_unit(result: Result) -> None:
    vars(result)["worth"] = (Worth("int8", "", 2, 2, Effect(-0.01234, -0.02, -1e-5)),)
    job: Any = SimpleNamespace(**{**vars(result.job), "metric": Regression.metrics[0]})
    vars(result)["job"] = job
    text = report_text(result)
    assert f"| what | with / without | {Regression.metrics[0].title} |" in text
    assert "−0.01234 (−0.02 … −1e-05)" in text
    assert "less is better" in text


def test_without_a_measured_trial_nothing_is_said_of_worth(result: Result) -> None:
    vars(result)["worth"] = ()
    assert "worth" not in report_text(result)


def test_why_nothing_was_found(result: Result) -> None:
    nothing = replace(result, front=(), best={}, baseline=None)
    assert why_nothing(nothing) == "nothing could be measured: no kernel for ERF at op 3"
    short = Shortfall(0, result.front[0].recipe, cost(1), {"sram": 9})
    told = why_nothing(replace(nothing, shortfall=short))
    assert told.startswith("nothing fits stm32f746: the smallest firmware, int8")
    assert "misses by 9 bytes of sram" in told


def test_a_search_is_summed_up_in_a_line(result: Result) -> None:
    assert search_summary(result) == (
        "7 trials in 1:01: 4 measured, 2 infeasible, 1 invalid; "
        "the cache answered 30 of 42 questions"
    )


def test_a_best_point_over_the_budget_is_said_to_be(result: Result) -> None:
    worse = replace(result, best={"latency": result.front[0]})
    assert best_point(worse) == result.front[0]
    assert "No point keeps within 1 %" in report_text(worse)


@pytest.mark.parametrize("width", [80, 160])
def test_the_front_fits_the_terminal(result: Result, width: int) -> None:
    lines = printed(front_table(result.front, result.baseline, TARGET, width=width), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for found in result.front:
        assert f"{found.metrics.cost.flash_bytes:,}" in text
    assert "original" in text
    assert "95.00†" in text
    assert "97.20†" not in text


@pytest.mark.parametrize("width", [80, 160])
def test_tables_fit_the_terminal(width: int) -> None:
    tables = [
        target_table([load_target(name) for name in target_names()]),
        cost_table(cost(1), TARGET),
        layer_table(cost(1)),
        catalogue.component_table(map(catalogue.component_facts, COMPONENTS.values()), width=width),
        catalogue.space_table(map(load_space, space_names())),
        *(catalogue.range_table(load_space(name)) for name in space_names()),
        *(catalogue.first_table(load_space(name)) for name in space_names()),
    ]
    tables += [
        catalogue.parameter_table(catalogue.component_facts(kind)) for kind in COMPONENTS.values()
    ]
    for made in tables:
        lines = printed(made, width)
        assert max(map(len, lines)) <= width
        assert "…" not in "\n".join(lines)


@pytest.mark.parametrize("target", [TARGET, replace(TARGET, active_current_error_percent=None)])
def test_no_energy_figure_stands_without_its_error(result: Result, target: Target) -> None:
    error = target.energy_error
    job: Any = SimpleNamespace(**{**vars(result.job), "target": target})
    result = replace(result, job=job)
    assert f"mJ {error}" in "\n".join(printed(cost_table(cost(1), target), 80))
    front = front_table(result.front, None, target, width=160)
    assert f"est. mJ {error}" in "\n".join(printed(front, 160))
    assert f"| est. mJ {error} |" in report_text(result)
    facts = study_facts(result)
    assert facts["baseline"] is not None
    for point in (facts["baseline"], *facts["front"]):
        assert point["active_current_error_percent"] == target.active_current_error_percent
    told = progress(3, target=target, objectives=("accuracy_validation", "energy_estimated_mj"))
    assert f"est. mJ 0.250 {error}" in plain_line(told)
    panel = "\n".join(printed(progress_panel(told, "0:12", "searching", 80, 24), 80))
    assert panel.count(f" {error}") == len(told.front)


def test_the_report_says_by_what_cycles_were_corrected(result: Result) -> None:
    assert "corrected" not in report_text(result)
    target = replace(TARGET, correction=Correction(1.25, 3, 2.0))
    job: Any = SimpleNamespace(**{**vars(result.job), "target": target})
    told = "Cycles and latency are corrected × 1.25 by 3 selftests, ± 2 %. Energy is"
    assert told in report_text(replace(result, job=job))


def test_every_component_says_what_it_does() -> None:
    for kind in COMPONENTS.values():
        facts = catalogue.component_facts(kind)
        assert facts["summary"].endswith((".", ":"))
        assert json.dumps(facts)
        assert all(entry["meaning"] for entry in facts["parameters"].values()), kind.name


def progress(done: int, points: int = 3, **changes: Any) -> Progress:
    sequence = " → ".join(COMPONENTS)
    recipe = Recipe(tuple(kind() for kind in COMPONENTS.values()))
    last = TrialRecord(done, recipe=recipe, outcome="measured", values=(0.95, 0.25))
    facts: dict[str, Any] = {
        "done": done,
        "total": 40,
        "counts": {"measured": done, "infeasible": 0},
        "cache_hits": 5,
        "cache_misses": 15,
        "front": tuple((n, sequence, (0.9 + n / 1000, 10 / (n + 1))) for n in range(points)),
        "objectives": ("accuracy_validation", "latency_ms"),
        "directions": ("maximize", "minimize"),
        "seconds_left": 155.0,
        "last": last,
        "target": TARGET,
    }
    return Progress(**{**facts, **changes})


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("points", [0, 3, 60])
def test_the_live_panel_fits_the_window(width: int, points: int) -> None:
    panel = progress_panel(progress(10, points), "0:12", "searching", width, 24)
    lines = printed(panel, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    assert "trials 10/40" in lines[0]
    assert "2:35 left" in lines[0]
    assert "5 of 20 answered" in lines[1]
    if points:
        best = f"{90 + (points - 1) / 10:.2f} %"
        assert best in "\n".join(lines), "the figures of the front are never cut"


@pytest.mark.parametrize("width", [80, 160])
def test_a_total_that_is_not_known_is_not_told(width: int) -> None:
    told = progress(10, 3, total=None, seconds_left=None)
    lines = printed(progress_panel(told, "0:12", "searching", width, 24), width)
    assert lines[0].split() == ["trials", "10", "0:12", "gone"]
    assert plain_line(told).startswith("[10] 10 ")


@pytest.mark.parametrize(("direction", "best"), [("maximize", "0.902"), ("minimize", "0.9")])
def test_the_study_says_which_value_of_an_own_metric_is_best(direction: str, best: str) -> None:
    names = ("nowhere.to_be_found:loss_validation", "latency_ms")
    told = progress(3, points=3, objectives=names, directions=(direction, "minimize"))
    first = printed(live_front_table(told, 5, 100), 100)[2]
    assert first.split()[1] == best


def test_plain_lines_where_there_is_no_terminal() -> None:
    console = Console(file=StringIO(), width=80)
    with SearchView(console) as view:
        view.stage("loading")
        view(progress(1))
        view(progress(2, last=None))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "loading"
    assert lines[1].startswith("[1/40] 1 ")
    assert "accuracy 95.00 %, ms 0.250" in lines[1]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("notes", "name"), [({"number_format": "float32"}, " (float32)"), ({}, "")]
)
def test_the_original_is_called_what_it_is(
    result: Result, notes: dict[str, str], name: str
) -> None:
    assert result.baseline is not None
    text = report_text(replace(result, baseline=replace(result.baseline, notes=notes)))
    assert f"Against the original{name} it takes 1/" in text


def test_a_refused_trial_gives_its_reason() -> None:
    last = TrialRecord(4, recipe=FLOAT32, outcome="infeasible", reason="too big")
    assert "4 float32: infeasible: too big" in plain_line(progress(5, last=last))
    assert "4 no sequence: failed" in plain_line(progress(5, last=TrialRecord(4)))


def test_the_plot_is_well_formed_and_holds_every_point(result: Result, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    text = (tmp_path / "pareto.svg").read_text()
    root = ElementTree.fromstring(text)
    titles = [element for element in root.iter() if element.tag.endswith("title")]
    assert len(titles) == 4
    assert "cnn1 on digits" in text


@pytest.mark.parametrize(
    "dots",
    [
        [],
        [Dot(1.0, 0.5, 100, "baseline", "<0>")],
        [Dot(1.0, 0.5, 0, "front"), Dot(1.0, 0.5, 0, "front")],
        [Dot(1e-6, 0.0, 1, "other"), Dot(1e4, 1.0, 10, "front", "1")],
    ],
)
def test_odd_plots_are_drawn(dots: list[Dot]) -> None:
    ElementTree.fromstring(pareto_svg(dots, "a & b", ACCURACY))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.000"), (0.0042, "0.0042"), (0.25, "0.250"), (22.316, "22.32"), (1500.4, "1,500")],
)
def test_latencies_are_readable(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_small_helpers() -> None:
    assert [clock(7), clock(155), clock(3755)] == ["0:07", "2:35", "1:02:35"]
    assert times(300, 100) == "1/3 of"
    assert times(100, 150) == "1.5 times"
    assert markdown_table(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |"


def test_where_a_study_lies(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    (tmp_path / "study.log").touch()
    database = f"sqlite:///{tmp_path.resolve() / 'study.db'}"
    assert storage_url(str(tmp_path)) == database
    assert storage_url(str(tmp_path / "study.db")) == database
    assert storage_url(str(tmp_path / "study.log")) == str(tmp_path / "study.log")
    assert storage_url("postgresql://host/base") == "postgresql://host/base"
    with pytest.raises(UserError, match="there is no study at"):
        storage_url(str(tmp_path / "none"))


def test_the_dashboard_serves_the_study_with_notes(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(directions=["maximize", "minimize"], storage=url, study_name="s")
    study.add_trial(trial_of(point(0, ("float32",), 0.97, 1.0)))
    study.add_trial(refused("infeasible", "misses stm32f746 by 12 bytes of flash"))
    ready: list[str] = []
    told = threading.Event()

    def on_ready(address: str) -> None:
        ready.append(address)
        told.set()

    threading.Thread(target=serve, args=(str(tmp_path), 0, on_ready), daemon=True).start()
    assert told.wait(60)
    assert ready[0].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(
        f"{ready[0].removesuffix('dashboard/')}api/studies/1?after=0"
    ) as page:
        shown = json.load(page)
    notes = [trial["note"]["body"] for trial in shown["trials"]]
    assert notes[0].startswith("**float32**")
    assert "misses stm32f746 by 12 bytes" in notes[1]


def test_a_taken_port_is_the_users_to_mend(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=url)
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="choose another --port"):
            serve(str(tmp_path), taken.getsockname()[1], print)


def test_a_note_of_a_trial_without_figures() -> None:
    text = note_text(TrialRecord.load(refused("invalid", "no kernel")))
    assert text == "**float32**\n\ninvalid: no kernel"
    assert step_data(COMPONENTS["float32"]()) == {"component": "float32"}


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.965, 0.963, 0.964), "trial 2 96.40 ± 0.06 %"),
        ((0.965, 0.957, 0.961), "trial 2 96.10 ± 0.23 %, so another seed may miss the budget"),
        ((0.965, 0.951, 0.954), "trial 2 95.67 ± 0.43 %, so it kept the budget by luck"),
    ],
)
def test_it_says_how_sure_a_score_is(result: Result, scores: tuple[float, ...], said: str) -> None:
    assert seeds_text(result) == ""
    within = sum(scores) / 3 >= 0.96
    again = replace(result.front[1], seeds=Seeds(scores), within_budget=within)
    result = replace(result, front=(result.front[0], again, result.front[2]))
    assert said in seeds_text(result)
    assert seeds_text(result) in report_text(result)
    by_seed = [point["validation_by_seed"] for point in study_facts(result)["front"]]
    assert by_seed == [[0.95], list(scores), [0.972]]
