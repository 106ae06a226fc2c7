import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from autotiny.checked import TABLE, Within, bounds_text, filled, hints_of, range_of
from autotiny.components import COMPONENTS
from autotiny.datafile import data_folder
from autotiny.errors import UserError
from autotiny.model import Level
from autotiny.recipe import Recipe, component_from, read_recipe, steps_from_text
from autotiny.report.catalogue import component_facts
from autotiny.space import load_space, space_names
from autotiny.target import load_target, target_names

OLD = Path(__file__).parent / "files_0_1_0"

SENSELESS = [
    ("prune_magnitude", "sparsity", -1), ("prune_magnitude", "sparsity", 1.5),
    ("prune_magnitude", "sparsity", math.nan), ("prune_channels", "ratio", 2),
    ("factorize_low_rank", "rank", 0), ("factorize_spatial", "rank", -0.5),
    ("quantize_aware", "learning_rate", 1e9), ("quantize_aware", "learning_rate", 0),
    ("quantize_aware", "learning_rate", math.inf), ("int8", "calibration", -5),
    ("int8", "keep_int16", -1), ("int16x8", "calibration", 0),
    ("int8_float_fallback", "calibration", 10**30), ("select_subnetwork", "width", 0),
    ("select_subnetwork", "depth", 2), ("cluster_weights", "clusters", 1),
    ("separate_convolutions", "multiplier", 0), ("reduce_input", "factor", 0),
    ("execute_patchwise", "patches", 0), ("execute_patchwise", "stages", -1),
    ("place_weights", "budget_bytes", -1), ("skip_zeros", "least_saving", 2),
    ("strassen", "pixels", 12), ("strassen", "least_depth", -1),
]  # fmt: skip


@dataclass(frozen=True)
class Inner:
    name: str
    size: Annotated[int, Within(ge=1)] = 1


@dataclass(frozen=True)
class Outer:
    share: Annotated[float, Within(gt=0, le=1)]
    inner: Inner | None = None
    parts: tuple[Inner, ...] = ()
    notes: dict[str, str] | None = None


def test_a_table_becomes_a_dataclass() -> None:
    table = {
        "share": 1, "inner": {"name": "a"}, "parts": [{"name": "b", "size": 2}], "notes": {"x": "y"}
    }  # fmt: skip
    found = filled(Outer, table, "file", TABLE)
    assert found == Outer(1.0, Inner("a"), (Inner("b", 2),), {"x": "y"})
    assert type(found.share) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": True}, "file: share = True; it must be a number"),
        ({"share": 0}, "file: share = 0; it must be above zero and at most 1"),
        ({"share": math.nan}, "file: share = nan; it must be a finite number"),
        ({"shares": 1}, "file: unknown key 'shares'; did you mean 'share'?"),
        ({"inner": {"name": "a", "size": 2.0}}, "file: inner: size = 2.0; it must be a whole"),
        ({"inner": 3}, "file: inner = 3; it must be a table"),
        ({"parts": [{"name": "b", "size": 0}]}, "file: parts 'b': size = 0; it must be at least 1"),
        ({"parts": [{"size": 1}]}, "file: parts 1: name is missing; it must be text"),
        ({"parts": "b"}, "file: parts = 'b'; it must be a list"),
        ({"notes": {"x": 1}}, "file: notes.x = 1; it must be text"),
        ({"share": "\ud800"}, "share = '\\ud800'; it must be a number"),
        ({"share": "9" * 5000}, "…; it must be a number"),
    ],
)
def test_what_breaks_a_rule_is_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refusal:
        filled(Outer, {"share": 0.5} | change, "file", TABLE)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, one) for kind in COMPONENTS.values() for one in hints_of(kind)]
)
def test_every_number_of_a_component_has_a_range_that_its_default_keeps(
    kind: Any, name: str
) -> None:
    hint, facts = hints_of(kind)[name], component_facts(kind)["parameters"][name]
    assert (range_of(hint) is None) == ("choices" in facts)
    assert facts["default"] == getattr(kind(), name)
    if "range" in facts:
        assert facts["range"] == bounds_text(hint)
        default = getattr(kind(), name)
        assert facts["low"] <= default <= facts["high"]


@pytest.mark.parametrize(("component", "name", "value"), SENSELESS)
def test_what_makes_no_sense_is_refused_wherever_it_is_written(
    tmp_path: Path, component: str, name: str, value: float
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(f"[components.int8]\n[components.{component}]\n{name} = [{value!r}]\n")
    if component == "int8":
        path.write_text(f"[components.int8]\n{name} = [{value!r}]\n")
    span = tmp_path / "span.toml"
    high = value + 8 if math.isfinite(value) else value
    span.write_text(
        path.read_text().replace(f"[{value!r}]", f"{{ low = {value!r}, high = {high} }}")
    )
    for write in (
        lambda: COMPONENTS[component](**{name: value}),
        lambda: component_from({"component": component, name: value}),
        lambda: steps_from_text(json.dumps({"component": component, name: value})),
        lambda: load_space(str(path)),
        lambda: load_space(str(span)),
    ):
        with pytest.raises(UserError) as refusal:
            write()
        assert "it must be" in str(refusal.value) or "whole numbers" in str(refusal.value)
        assert name in str(refusal.value)


def test_a_range_is_refused_whose_steps_leave_the_multiples(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    for step, fits in (("", False), (", step = 4", False), (", step = 8", True)):
        path.write_text(
            f"[components.int8]\n[components.strassen]\npixels = {{ low = 8, high = 64{step} }}\n"
        )
        if fits:
            load_space(str(path))
        else:
            with pytest.raises(UserError, match="a multiple of 8"):
                load_space(str(path))


@pytest.mark.parametrize("text", ["first = [0.5]", 'first = ["int8"]', "first = [[[1]]]"])
def test_sequences_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(f"{text}\n[components.int8]\n")
    with pytest.raises(UserError, match="it must be"):
        load_space(str(path))


@pytest.mark.parametrize("odd", ["\\u001b[31mred", "bell\\u0007", "\\u009b2J"])
def test_text_that_moves_the_cursor_is_refused(tmp_path: Path, odd: str) -> None:
    text = (data_folder("targets") / "stm32f746.toml").read_text()
    path = tmp_path / "board.toml"
    path.write_text(f'advice = "{odd}"\n{text}')
    with pytest.raises(UserError, match=r"advice = .*; it must be text without control characters"):
        load_target(str(path))
    path.write_text(f'advice = "two\\nlines"\n{text}')
    assert load_target(str(path)).advice == "two\nlines"


def test_files_of_0_1_0_are_read() -> None:
    now, later = load_target("stm32f746"), "active_current_error_percent"
    before = {name: source for name, source in now.sources.items() if name != later}
    old = load_target(str(OLD / "stm32f746.toml"))
    since_then = ("clock", "serial", "programmers", "interrupts")
    before = {name: source for name, source in before.items() if name not in since_then}
    assert old == replace(
        now, active_current_error_percent=None, sources=before, clock={}, serial={}, programmers={},
        interrupts=0,
    )  # fmt: skip
    space, since = load_space("default"), {"remove_constant_channels", "spend_sram"}
    fronts = {name for name, kind in COMPONENTS.items() if kind.level is Level.SIGNAL}
    measured = {"separate_convolutions", "factorize_spatial", "factorize_low_rank"}
    fewer = {
        name: {key: kept for key, kept in ranges.items() if (name in measured) <= (key != "layers")}
        for name, ranges in space.components.items()
        if name not in since | fronts
    }
    first = tuple(
        Recipe(tuple(step for step in recipe.steps if step.name not in since))
        for recipe in space.first
        if not fronts & set(recipe.names)
    )
    assert load_space(str(OLD / "default.toml")) == replace(space, components=fewer, first=first)
    saved = read_recipe(OLD / "recipe.json")
    assert saved.recipe.names == (
        "prune_magnitude", "cluster_weights", "quantize_aware", "int8", "fuse_operators",
        "huffman_code",
    )  # fmt: skip
    written = json.loads((OLD / "recipe.json").read_text())
    assert json.loads(saved.to_json()) == written


@pytest.mark.parametrize("name", ["stm32f746", "default"])
@pytest.mark.parametrize(
    ("schema", "message"),
    [("2", "schema = 2; written for a later autotiny, this is"), ("0", "must be 1"),
     ("true", "must be 1"), ('"1"', "must be 1")],
)  # fmt: skip
def test_another_schema_is_refused_by_name(
    tmp_path: Path, name: str, schema: str, message: str
) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(f"schema = {schema}\n" + (OLD / path.name).read_text())
    with pytest.raises(UserError, match=message):
        (load_target if name == "stm32f746" else load_space)(str(path))


def test_a_recipe_of_another_schema_is_refused_before_its_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"schema": 2, "autotiny": "9.0"}')
    with pytest.raises(UserError, match=r"schema 2 is not 1: written by autotiny 9\.0"):
        read_recipe(path)


def test_what_comes_along_states_its_schema() -> None:
    root = Path(__file__).parents[1]
    files = [*(root / "targets").glob("*.toml"), *(root / "search_spaces").glob("*.toml")]
    assert len(files) == len(target_names()) + len(space_names())
    assert all("schema = 1\n" in path.read_text() for path in files)


@pytest.mark.parametrize("opening", ["a = " + "[" * 5000, "a = " + "{a=" * 3000])
def test_a_file_that_nests_without_end_is_refused(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(opening)
    with pytest.raises(UserError, match="is not TOML"):
        load_target(str(path))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not a recipe"):
        read_recipe(tmp_path / "deep.json")


def test_parameters_stay_as_they_were_given() -> None:
    for kind in COMPONENTS.values():
        made = kind()
        assert made == kind(**{entry.name: getattr(made, entry.name) for entry in fields(kind)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".toml", '[components]\n"{}" = 1\n'),
        (".toml", '[components."{}"]\n'),
        (".json", '{{"component": "{}"}}'),
    ],
)
def test_a_message_cuts_a_long_name(ending: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"long{ending}"
    path.write_text(text.format("y" * 100_000))
    with pytest.raises(UserError) as refused:
        if ending == ".toml":
            load_space(str(path))
        else:
            steps_from_text(path.read_text())
    assert len(str(refused.value)) < 600
