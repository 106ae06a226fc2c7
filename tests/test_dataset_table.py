import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotiny.dataset import Reading, reading
from autotiny.dataset.pile import Pile
from autotiny.dataset.recordings import is_recordings, recordings
from autotiny.dataset.table import table
from autotiny.dataset.windows import growing, run_ends, window_starts, windows
from autotiny.errors import InvalidData


def written(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes, **asked: Any) -> Pile:
    return table(written(folder, text), Reading.of(**asked))


def classes(pile: Pile) -> list[Any]:
    assert pile.y is not None
    found: list[Any] = pile.y.tolist()
    return found


def test_numbers_and_a_class_written_with_decimals_and_no_header(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 30, (9, 12)).round(3)
    text = "".join(
        ",".join(f"{one:.3f}" for one in row) + f",{i % 3}.000\n" for i, row in enumerate(values)
    )
    pile = read(tmp_path, text)
    assert pile.x.shape == (9, 12)
    assert np.array_equal(pile.x, values)
    assert pile.y is not None
    assert pile.y.dtype == np.int64
    assert classes(pile) == [0, 1, 2] * 3
    assert (pile.groups, pile.parts, pile.labels) == (None, None, ())
    assert pile.notes == ("inputs: 12 columns; to predict: column 13",)


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n\n"])
def test_every_separator_line_end_and_a_byte_order_mark(
    separator: str, begin: str, end: str, tmp_path: Path
) -> None:
    rows = [["ax", "Label", '"a,b; c"'], ["1.5", "walk", "-2"], ["3", '"a ""run"""', "4e1"]]
    inner = end[:1] if end == "\n\n\n" else end
    text = begin + inner.join(separator.join(row) for row in rows) + end
    pile = read(tmp_path, text)
    assert pile.x.tolist() == [[1.5, -2], [3, 40]]
    assert classes(pile) == ["walk", 'a "run"']
    assert pile.targets == ("Label",)


def test_what_gives_two_rows_as_many_cells_is_the_separator(tmp_path: Path) -> None:
    pile = table(written(tmp_path, "a\ty\n1\tred, blue\n2\tred\n", "t.tsv"))
    assert classes(pile) == ["red, blue", "red"]
    assert read(tmp_path, "a,x;b,x;c,x;y\n1;2;3;0\n").x.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("header", "label", "targets"),
    [("a,LABEL,b", None, ["LABEL"]), ("a,b,Class", None, ["Class"]), ("a,target,y", None,
     ["target"]), ("x,b,Y", None, ["Y"]), ("a,b,c", "b", ["b"]), ("a,b,c", "2", ["b"]),
     ("a,b,c", "c,a", ["c", "a"]), ("a,b,c", "3, 1", ["c", "a"]), ('a,"b,c",c', "b,c", ["b,c"]),
     ("3,1,c", "c", ["c"])],
)  # fmt: skip
def test_the_label_is_named_numbered_or_has_a_usual_name(
    header: str, label: str | None, targets: list[str], tmp_path: Path
) -> None:
    head = header if "3,1" not in header else '"a","b",c'
    pile = read(tmp_path, f"{head}\n1,2,3\n4,5,6\n", label=label)
    assert list(pile.targets) == targets
    assert pile.x.shape == (2, 3 - len(targets))


def test_targets_are_whole_numbers_fractions_or_text(tmp_path: Path) -> None:
    text = "a,b,c,d\n1,2.0,0.5,x\n1,-3.000,1,y\n"
    for label, dtype, wanted in (
        ("b", np.int64, [2, -3]), ("c", np.float32, [0.5, 1]), ("d", "<U1", ["x", "y"]),
        ("b,c", np.float32, [[2, 0.5], [-3, 1]]), ("b,a", np.int64, [[2, 1], [-3, 1]]),
    ):  # fmt: skip
        ignored = {"b": "c,d", "c": "d", "d": "c", "b,c": "d", "b,a": "d"}[label]
        pile = read(tmp_path, text, label=label, ignore=ignored)
        assert pile.y is not None
        assert pile.y.dtype == dtype
        assert classes(pile) == wanted


def test_groups_and_splits_are_columns(tmp_path: Path) -> None:
    text = "a,who,Split,y\n1,ann,train,0\n2,bob,Test,1\n3,ann,VAL,0\n4,bob,training,1\n"
    pile = read(tmp_path, text, group="who")
    assert pile.groups is not None
    assert pile.parts is not None
    assert pile.groups.tolist() == [0, 1, 0, 1]
    assert pile.parts.tolist() == [0, 2, 1, 0]
    assert pile.parts.dtype == np.uint8
    assert pile.x.tolist() == [[1], [2], [3], [4]]
    numbers = read(tmp_path, "a,set,y\n1,3,0\n2,4,1\n")
    assert numbers.parts is None
    assert numbers.x.tolist() == [[1, 3], [2, 4]]


def test_windows_straddle_no_group_label_or_split(tmp_path: Path) -> None:
    rows = [("a", 0)] * 5 + [("a", 1)] * 4 + [("b", 1)] * 7 + [("b", 0)]
    text = "v,who,y\n" + "".join(f"{i},{who},{y}\n" for i, (who, y) in enumerate(rows))
    pile = read(tmp_path, text, group="who", window=3)
    assert pile.x.shape == (4, 3, 1)
    assert pile.x[:, :, 0].tolist() == [[0, 1, 2], [5, 6, 7], [9, 10, 11], [12, 13, 14]]
    assert classes(pile) == [0, 1, 1, 1]
    assert pile.groups is not None
    assert pile.groups.tolist() == [0, 0, 1, 1]
    assert any("5 of 17 rows are in no window" in note for note in pile.notes)
    hopped = read(tmp_path, text, ignore="who", window=3, hop=2)
    assert hopped.x[:, 0, 0].tolist() == [0, 2, 5, 7, 9, 11, 13]
    assert hopped.groups is not None
    assert hopped.groups.tolist() == [0, 0, 1, 1, 1, 1, 1]
    lost = read(tmp_path, text + "".join(f"{i},b,7\n" for i in range(2)), group="who", window=3)
    assert any("has the label 7" in note for note in lost.notes)
    with pytest.raises(InvalidData, match=r"no 9 rows .* the most are 7, rows 11 to 17"):
        read(tmp_path, text, group="who", window=9)


def test_windows_of_several_targets_end_where_one_changes(tmp_path: Path) -> None:
    rows = [(0, 0)] * 4 + [(0, 1)] * 3 + [(1, 1)] * 4
    text = "v,p,q\n" + "".join(f"{i},{p},{q}\n" for i, (p, q) in enumerate(rows))
    pile = read(tmp_path, text, label="p,q", window=2)
    assert pile.x[:, 0, 0].tolist() == [0, 2, 4, 7, 9]
    assert classes(pile) == [[0, 0], [0, 0], [0, 1], [1, 1], [1, 1]]


def test_windows_that_the_machine_cannot_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "1,2,0\n" * 100)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 4000)
    assert table(path, Reading.of(window=50)).x.shape == (2, 50, 2)
    with pytest.raises(InvalidData, match="takes 20,400 bytes"):
        table(path, Reading.of(window=50, hop=1))


def test_columns_that_grow_are_told_and_kept(tmp_path: Path) -> None:
    rows = "".join(f"{i % 10},{0.1 * i},{i % 3},{i // 10},{i % 2}\n" for i in range(40))
    text = "count,time,v,who,y\n" + rows
    pile = read(tmp_path, text, group="who")
    assert pile.x.shape == (40, 3)
    told = [note for note in pile.notes if "grows" in note]
    assert told[0].startswith("grows from row to row: count, time;")
    assert not any("row: count" in note for note in read(tmp_path, text).notes)
    assert read(tmp_path, text, ignore="time,count").x.shape == (40, 2)


def test_a_column_without_a_name_goes_by_its_number(tmp_path: Path) -> None:
    text = ",a,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(20))
    pile = read(tmp_path, text)
    assert pile.notes[1].startswith("grows from row to row: 1; ")
    assert pile.notes[1].endswith("--ignore 1")
    assert read(tmp_path, text, ignore="1").x.shape == (20, 1)
    with pytest.raises(InvalidData, match="row 22, column 1 is empty"):
        read(tmp_path, text + ",1,2\n")


@pytest.mark.parametrize(
    ("text", "asked", "match"),
    [
        ("a,y\n1,0\nx,1\n", {}, r"row 3, column 'a' is 'x'; a number is needed.*--ignore a"),
        ("a,y\n1,0\n\"\",1\n", {}, r"row 3, column 'a' is empty"),
        ("a,y\n1,0\n1,\n", {}, r"row 3, column 'y' is empty"),
        ("a,y\n1,0\nnan,1\n", {}, r"row 3, column 'a' is nan"),
        ("a,y\n1,0\n1e999,1\n", {}, r"row 3, column 'a' is inf"),
        ("a,y\n1,0\n1_0,1\n", {}, r"row 3, column 'a' is '1_0'"),
        ("a,y\n1,0\n1,nan\n", {}, r"row 3, column 'y' is 'nan'"),
        ("a,y\n1,0\n1,1e30\n", {}, r"reaches 1e\+30; whole numbers are below"),
        ("a,y\n1,0\n1,2,3\n", {}, r"row 3 has 3 cells, row 1 has 2"),
        ("a,y\n1,0\n\n1,2\n", {}, r"row 3 is empty"),
        ("a;y\n1;0\n1,5;2\n", {}, r"row 3, column 'a' is '1,5', with a decimal comma; write 1.5"),
        ("a;y\n1;0\n1;2,5\n1;3,5\n", {}, r"row 3, column 'y' is '2,5', .* comma; write 2.5"),
        ("1,2\n3,x\n3,4\n", {}, r"row 2, column 2 is 'x', all others are numbers"),
        ("0,1,label\n3,4,walk\n3,4,run\n", {}, r"row 1 has numbers, and 'label' in column 3"),
        ("label,0,1\n3,4,5\n3,4,5\n", {}, r"row 1, column 1 is 'label'.*if row 1 is a header"),
        ("a,b\n1,0\n", {}, r"no column is called label; --label NAME .*it has a, b"),
        ("x,y,z\n1,0,2\n", {}, r"no column is called label"),
        ("label,class,z\n1,0,2\n", {}, r"label and class could each be the label"),
        ("acc,y\n1,0\n", {"label": "ac"}, r"unknown column 'ac' of --label; did you mean 'acc'\?"),
        ("1,0\n1,0\n", {"label": "5"}, r"unknown column '5' of --label; .* no header.* 1 to 2"),
        ("acc,y\n1,0\n", {"label": "q"}, r"unknown column 'q' of --label; \S+t\.csv has acc, y"),
        ("1,2\n3,4\n", {"ignore": "1,2"}, r"no column left for the label"),
        ("a,a,y\n1,1,0\n", {"ignore": "a"}, r"2 columns 'a'; give --ignore the number"),
        ("a,y\n1,0\n", {"label": "y", "ignore": "y"}, r"'y' is --ignore and --label; give it one"),
        ("a,b,y\n1,0,1\n", {"group": "a,b"}, r"--group 'a,b' is two columns"),
        ("a,b,y\n1,0,1\n", {"label": "a,1"}, r"--label names column 'a' twice"),
        ("a,y\n1,0\n", {"ignore": "a"}, r"no column left for the inputs"),
        ("a,set,y\n1,train,0\n2,tets,1\n", {}, r"row 3, column 'set' is 'tets'; .*train, valid"),
        ("a,set,split,y\n1,train,test,0\n", {}, r"set and split both say the split"),
        ("a,b,c\n1,0,x\n1,1,y\n", {"label": "b,c"}, r"'b' holds numbers and column 'c' text"),
        ("a\0,y\n1,2\n", {}, r"column 1 is called 'a\\x00'"),
        ('"a\nb",y,c\n1,2,x\n', {}, r"row 3, column 'c' is 'x'"),
        ("a,b\nc,d\n", {}, r"does not begin with a row of numbers"),
        ("a,b\n", {}, r"does not begin with a row of numbers"),
        ("", {}, r"is empty"),
        ("\n\n", {}, r"is empty"),
        (b"a,y\n1,\xe9t\xe9\n", {}, r"not UTF-8 \(byte 0xe9\); save it as UTF-8"),
        ("a,y\n1,2\n".encode("utf-16"), {}, r"not UTF-8 \(byte 0xff\)"),
        ('a,y\n1,"2\n3,4\n', {}, r"no table: .*quotation marks"),
        ("a,y\n1," + "n" * 201 + "\n2,b\n2,b\n", {}, r"row 2.*201 characters"),
        ("a,y\n1,0\n", {"hop": "3"}, r"--hop 3 without --window"),
        ("a,y\n1,0\n", {"window": "1s"}, r"a table has no rate: give it in rows"),
        ("a,y\n1,0\n", {"rate": "16000"}, r"--rate '16000' is given, but a table takes --label"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_by_row_and_column(
    text: str | bytes, asked: dict[str, str], match: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match=match) as refused:
        read(tmp_path, text, **asked)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InvalidData, match=r"t\.csv cannot be read \(Is a directory\)"):
        table(tmp_path / "t.csv")


def test_rows_are_counted_as_an_editor_counts_lines(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="row 4, column 'a' is 'x'"):
        read(tmp_path, 'a,y\n1,"two\nlines"\nx,b\n')


def test_a_table_larger_than_the_machine_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "1,2,0\n" * 20_000)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 119_000)
    with pytest.raises(InvalidData, match="takes 120,000 bytes"):
        table(path)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 130_000)
    with pytest.raises(InvalidData, match="takes 131,072 bytes"):  # 2 floats in each of 16,384 rows
        table(path)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 170_000)
    assert len(table(path).x) == 20_000


@pytest.mark.parametrize("label", ["n;", "n\tm", 'a;"b'])
def test_a_separator_in_quotation_marks_is_none(tmp_path: Path, label: str) -> None:
    quoted = '"' + label.replace('"', '""') + '"'
    pile = read(tmp_path, f"0.5,{quoted}\n")
    assert pile.x.tolist() == [[0.5]]
    assert classes(pile) == [label]


cells = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(deadline=None, max_examples=60)
@given(
    values=st.integers(1, 5).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1)
    ),
    label=names.map(lambda text: "n" + text.strip()),
    separator=st.sampled_from(",;\t"),
    header=st.booleans(),
)
def test_what_was_written_is_read(
    values: list[list[float]],
    label: str,
    separator: str,
    header: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    quoted = '"' + label.replace('"', '""') + '"'
    head = separator.join([*(f"c{place}" for place in range(len(values[0]))), "label"]) + "\n"
    text = (head if header else "") + "".join(
        separator.join([*(repr(one) for one in row), quoted]) + "\n" for row in values
    )
    pile = read(tmp_path_factory.mktemp("t"), text)
    assert pile.x.tolist() == values
    assert classes(pile) == [label] * len(values)


@settings(deadline=None)
@given(
    key=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    window=st.integers(1, 8),
    hop=st.integers(1, 9),
)
def test_a_window_lies_in_one_run(key: list[int], window: int, hop: int) -> None:
    keys = np.array(key)
    starts = window_starts(run_ends([keys], len(keys)), window, hop)
    cut = windows(keys[:, None], starts, window, "t")[:, :, 0]
    assert (cut == cut[:, :1]).all()
    again = [
        begin
        for begin in range(len(key) - window + 1)
        if len(set(key[begin : begin + window])) == 1
    ]
    assert set(starts.tolist()) <= set(again)
    assert hop > 1 or starts.tolist() == again


def test_a_column_grows_only_if_it_does_in_each_run() -> None:
    x = np.stack([np.arange(200), np.arange(200) % 100, np.repeat(np.arange(100), 2)], 1)
    assert growing(x, np.array([0, 200])) == [0]
    assert growing(x, np.array([0, 100, 200])) == [0, 1]
    assert growing(x[:8], np.array([0, 8])) == [0, 1]
    assert growing(x[:7], np.array([0, 7])) == []
    assert growing(x[:10], np.arange(0, 11, 2)) == [0, 1]
    assert growing(x[:10], np.array([0, 1, 2, 4, 6, 8, 10])) == []
    late = np.r_[np.arange(150), 3][:, None]
    assert growing(late, np.array([0, 151])) == []


def test_damaged_tables_are_read_or_refused(tmp_path: Path) -> None:
    dice = random.Random(0)
    whole = b"a,b,who,split,y\n" + b"".join(
        b"%d,%.3f,p%d,%s,%s\n"
        % (i, dice.random(), i % 3, dice.choice([b"train", b"test"]), b"walk")
        for i in range(12)
    )
    outcomes = set()
    for _ in range(300):
        mutated = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(mutated))
            what = dice.randrange(4)
            if what == 0:
                mutated[place] = dice.randrange(256)
            elif what == 1:
                del mutated[place : place + dice.randint(1, 40)]
            elif what == 2:
                mutated[place:place] = dice.choice([b'"', b"\0", b"\n", b",", b"1e999", b"\xef"])
            else:
                mutated[place:place] = mutated[:place]
        try:
            pile = read(tmp_path, bytes(mutated), group="3")
        except InvalidData as refused:
            assert "\n" not in str(refused)
            outcomes.add("refused")
        else:
            assert np.isfinite(pile.x).all()
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


def motion(folder: Path, rows: int = 10, header: str = "t,ax,ay\n") -> Path:
    for number, label in enumerate(("still", "walk")):
        (folder / label).mkdir(parents=True)
        for file in range(3):
            text = "".join(f"{i},{number},{file}\n" for i in range(rows))
            (folder / label / f"{file}.csv").write_text(header + text)
    return folder


def test_recordings_in_class_folders_are_cut_and_each_is_a_group(tmp_path: Path) -> None:
    folder = motion(tmp_path / "m")
    assert is_recordings(folder)
    pile = recordings(folder, Reading.of(window=4, hop=3, ignore="t"))
    assert pile.x.shape == (18, 4, 2)
    assert pile.labels == ("still", "walk")
    assert classes(pile) == [0] * 9 + [1] * 9
    assert pile.groups is not None
    assert pile.groups.tolist() == np.repeat(np.arange(6), 3).tolist()
    assert pile.x[:, 0, 1].tolist() == np.tile(np.repeat(np.arange(3), 3), 2).tolist()
    assert any(note.startswith("grows from row to row: t;") for note in
               recordings(folder, Reading.of(window=4)).notes)  # fmt: skip
    (folder / "walk" / "3.csv").write_text("t,ax,ay\n0,1,2\n")
    assert "left out, 1 of 7: 3.csv" in recordings(folder, Reading.of(window=4)).notes[1]


def test_recordings_under_train_and_test_keep_their_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        motion(tmp_path / part)
    pile = recordings(tmp_path, Reading.of(window=5))
    assert pile.parts is not None
    assert pile.parts.tolist() == [0] * 12 + [2] * 12
    assert len(set(pile.groups.tolist())) == 12 if pile.groups is not None else False


def test_recordings_that_are_not_alike_are_refused(tmp_path: Path) -> None:
    folder = motion(tmp_path / "m")
    with pytest.raises(InvalidData, match="--window 128"):
        recordings(folder)
    with pytest.raises(InvalidData, match="no recording of still has 11 rows, the longest has 10"):
        recordings(folder, Reading.of(window=11))
    with pytest.raises(InvalidData, match="a folder of recordings takes --window"):
        recordings(folder, Reading.of(window=4, label="ax"))
    with pytest.raises(InvalidData, match="column 'Class', and its folder names the class"):
        recordings(motion(tmp_path / "c", header="t,Class,ay\n"), Reading.of(window=4))
    (folder / "walk" / "0.csv").write_text("t,ay,ax\n" + "1,2,3\n" * 9)
    with pytest.raises(InvalidData, match=r"has the columns t, ay, ax, .* has t, ax, ay"):
        recordings(folder, Reading.of(window=4))


def test_parquet_is_read_by_pyarrow_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidData, match="pip install pyarrow"):
        table(written(tmp_path, b"PAR1", "t.parquet"))


def test_a_parquet_file_is_a_table(tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    columns: dict[str, Any] = {
        "a": [1.5, 2.0, 3.0], "on": [True, False, True], "who": ["ann", "bob", "ann"],
        "split": arrow.array(["train", "test", "val"]).dictionary_encode(), "label": [3.0, 1.0, 2],
    }  # fmt: skip
    parquet.write_table(arrow.table(columns), path)
    pile = table(path, Reading.of(group="who"))
    assert pile.x.tolist() == [[1.5, 1], [2, 0], [3, 1]]
    assert classes(pile) == [3, 1, 2]
    assert pile.groups is not None
    assert pile.parts is not None
    assert pile.groups.tolist() == [0, 1, 0]
    assert pile.parts.tolist() == [0, 2, 1]
    for change, match in (
        ({"a": [1.0, None, 3.0]}, "row 2, column 'a' is empty"),
        ({"a": [1.0, np.nan, 3.0]}, "row 2, column 'a' is nan"),
        ({"a": ["x", "y", "z"]}, "column 'a' is of type 'string'; numbers are needed"),
        ({"label": [None, 1.0, 2.0]}, "row 1, column 'label' is empty"),
    ):
        parquet.write_table(arrow.table(columns | change), path)
        with pytest.raises(InvalidData, match=match):
            table(path, Reading.of(group="who"))
    whole = path.read_bytes()
    dice = random.Random(1)
    for _ in range(200):
        mutated = bytearray(whole)
        for _ in range(3):
            mutated[dice.randrange(len(mutated))] = dice.randrange(256)
        path.write_bytes(mutated)
        try:
            table(path, Reading.of(group="who"))
        except InvalidData as refused:
            assert "\n" not in str(refused)
