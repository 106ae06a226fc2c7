import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.dataset import Reading, reading
from autotiny.dataset.npy import is_npy, npy_pile
from autotiny.errors import InvalidData
from autotiny.graph import Array

X = np.arange(60, dtype=np.int16).reshape(10, 3, 2)
Y = np.arange(10, dtype=np.uint8) % 3


def folder_of(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return folder


@pytest.mark.parametrize("capital", [False, True])
def test_a_folder_with_x_and_y_is_mapped(capital: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "d", **({"X": X, "Y": Y} if capital else {"x": X, "y": Y}))
    assert is_npy(str(folder))
    pile = npy_pile(str(folder))
    assert isinstance(pile.x, np.memmap)
    assert pile.x.dtype == np.int16
    assert np.array_equal(pile.x, X)
    assert pile.y is not None
    assert pile.y.dtype == np.int64
    assert pile.y.tolist() == Y.tolist()
    assert (pile.name, pile.groups, pile.parts, pile.labels) == ("d", None, None, ())
    assert pile.notes == (f"{'X' if capital else 'x'}.npy: 10 samples of 3×2, int16",)


def test_a_pair_is_named_by_its_paths_also_with_groups(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a,b", sound=X, truth=Y, who=np.array(list("bbaabbcccc")))
    pair = f"{folder}/sound.npy,{folder}/truth.npy"
    assert is_npy(pair)
    assert not is_npy(str(tmp_path / "x.npy"))
    assert np.array_equal(npy_pile(pair).x, X)
    assert npy_pile(pair).name == "sound"
    grouped = npy_pile(f"{pair},{folder}/who.npy").groups
    assert grouped is not None
    assert grouped.tolist() == [1, 1, 0, 0, 1, 1, 2, 2, 2, 2]
    folder_of(folder, x=X, y=Y, groups=np.arange(10) * 7)
    pile = npy_pile(str(folder))
    assert pile.groups is not None
    assert pile.groups.tolist() == list(range(10))


@pytest.mark.parametrize("name", ["val", "validation", None])
def test_splits_of_a_folder_are_kept(name: str | None, tmp_path: Path) -> None:
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:4] + 1, "y_test": Y[:4]}
    if name:
        arrays |= {f"x_{name}": X[:2] + 2, f"y_{name}": Y[:2]}
    pile = npy_pile(str(folder_of(tmp_path / "d", **arrays)))
    middle = 2 * bool(name)
    assert pile.parts is not None
    assert pile.y is not None
    assert pile.parts.dtype == np.uint8
    assert pile.parts.tolist() == [0] * 10 + [1] * middle + [2] * 4
    assert pile.x.dtype == np.int16
    assert np.array_equal(pile.x[-4:], X[:4] + 1)
    assert pile.y.tolist() == [*Y.tolist(), *Y[:middle].tolist(), *Y[:4].tolist()]


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (np.array([[1], [2]], np.int8), np.array([1, 2])),
        (np.array([True, False]), np.array([1, 0])),
        (np.array([0.5, 2]), np.array([0.5, 2], np.float32)), (np.array([b"a", b"bc"]),
         np.array(["a", "bc"])), (np.array(["a", "b"]), np.array(["a", "b"])),
        (np.array([[1.5, 2], [3, 4]]), np.array([[1.5, 2], [3, 4]], np.float32)),
    ],
)  # fmt: skip
def test_targets_are_whole_numbers_fractions_or_text(
    stored: Array, wanted: Array, tmp_path: Path
) -> None:
    y = npy_pile(str(folder_of(tmp_path / "d", x=X[:2], y=stored))).y
    assert y is not None
    assert y.dtype == wanted.dtype
    assert np.array_equal(y, wanted)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": X}, r"lacks y\.npy; x\.npy and y\.npy are needed"),
        ({"x_train": X, "y_train": Y}, r"lacks x_test\.npy"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "x_val": X},
         r"lacks y_validation\.npy"),
        ({"x": X, "y": Y, "x_train": X}, r"holds x\.npy and x_train\.npy; give"),
        ({"x": X, "X": X, "y": Y}, r"holds X\.npy and x\.npy, which mean the same"),
        ({"x": X, "y": Y[:9]}, r"x\.npy has 10 samples and .*y\.npy 9"),
        ({"x": X, "y": Y, "groups": Y[:9]}, r"x\.npy has 10 samples and .*groups\.npy 9"),
        ({"x": X, "y": Y, "groups": Y / 2}, r"groups\.npy .* float64; a whole number or name"),
        ({"x": X[:0], "y": Y[:0]}, r"[xy]\.npy holds no sample"),
        ({"x": np.array(3), "y": Y}, r"x\.npy holds one number"),
        ({"x": X, "y": X}, r"y\.npy has the shape \(10, 3, 2\)"),
        ({"x": X, "y": np.array([1.0, np.nan] * 5)}, r"y\.npy holds nan in row 1"),
        ({"x": X, "y": np.array([1.0, 1e300] * 5)}, r"y\.npy holds 1e\+300 in row 1"),
        ({"x": X, "y": np.array([2**63] * 10, np.uint64)}, r"y\.npy reaches 9223372036854775808"),
        ({"x": X, "y": np.array([{}] * 10)}, r"y\.npy is of type dtype\('O'\)|no \.npy file"),
        ({"x_train": X, "y_train": Y, "x_test": X / 2, "y_test": Y},
         r"x_test\.npy is float64, samples of 3×2, and .*x_train\.npy int16"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"samples of 2×2, and"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]}, r"y_test\.npy 3"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(
    arrays: dict[str, Any], match: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "d", **arrays)
    with pytest.raises(InvalidData, match=match) as refused:
        npy_pile(str(folder))
    assert "\n" not in str(refused.value)


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "d", x=X, y=Y)
    with pytest.raises(InvalidData, match=r"z\.npy is no file; give its path"):
        npy_pile(f"{folder}/x.npy,{folder}/z.npy")
    with pytest.raises(InvalidData, match=r"give x\.npy,y\.npy or"):
        npy_pile(f"{folder}/x.npy,{folder}/y")
    with pytest.raises(InvalidData, match=r"takes no such option"):
        npy_pile(str(folder), Reading.of(window=3))
    assert npy_pile(str(folder), Reading.of("1/255")).x.dtype == np.int16


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('a file was executed')",))


def test_a_hostile_array_executes_nothing_and_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "d", x=X, y=Y)
    pickled = pickle.dumps(Bomb())
    for content in (pickled, b"\x93NUMPY\x01\x00v\0" + b"{'descr': '|O'}".ljust(118) + pickled):
        (folder / "x.npy").write_bytes(content)
        with pytest.raises(InvalidData, match=r"x\.npy"):
            npy_pile(str(folder))
    np.save(folder / "x.npy", X)
    monkeypatch.setattr(reading, "memory_bytes", lambda: 4 * 200)
    with pytest.raises(InvalidData, match=r"x\.npy takes 240 bytes"):
        npy_pile(str(folder))


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    dice = random.Random(0)
    file = io.BytesIO()
    np.save(file, X)
    folder, outcomes = folder_of(tmp_path / "d", y=Y), set()
    for _ in range(300):
        mutated = bytearray(file.getvalue())
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(mutated))
            if dice.random() < 0.7:
                mutated[place] = dice.choice([0, 48, 57, 255, dice.randrange(256)])
            else:
                del mutated[place : place + dice.randint(1, 30)]
        (folder / "x.npy").write_bytes(mutated)
        try:
            npy_pile(str(folder))
            outcomes.add("read")
        except InvalidData as refused:
            assert "\n" not in str(refused)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
