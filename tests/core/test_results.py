"""The result store: what goes in comes out, whatever happens to the process in between."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.results import (
    ResultStore,
    Row,
    epsilon_of,
    pack_survivors,
    row_key,
    unpack_survivors,
    validate,
)


def clean_row(number: int = 0, **changes: Any) -> Row:
    """A valid "clean" row with 3 of 5 correct."""
    return {
        "kind": "clean", "key": row_key({"number": number}), "model": "early", "precision": f"w{number}",
        "executor": "tflm", "profile": "", "attack": {"name": "none"}, "criterion": "clean", "source": "",
        "inputs": {"image": 1.0, "audio": 1.0}, "attacked": [], "norm": "", "budget": {}, "queries": 0, "mask": "",
        "threat": "", "data": "embedded", "data_checksum": "c", "split": "official", "part": "test", "n": 5, "seed": 0,
        "correct": 3, "accuracy": 0.6, "ci_low": 0.2, "ci_high": 0.9,
        "survivors": pack_survivors(np.array([1, 0, 1, 0, 1], bool)), "zero_gradient_share": None, "seconds": 0.25,
        **changes}


def attack_row(**changes: Any) -> Row:
    """A valid "attack" row on the image."""
    return clean_row(**{"kind": "attack", "attack": {"name": "fgsm", "loss": "margin", "step_size": None},
                        "criterion": "any-iterate", "source": "w0", "attacked": ["image"], "norm": "linf",
                        "budget": {"image": 0.1}, "threat": "codes", **changes})


def parity_row(**changes: Any) -> Row:
    """A valid "parity" row without a difference."""
    return {"kind": "parity", "key": row_key({"parity": 0}), "model": "early", "precision": "w8", "a": "twin",
            "b": "tflm", "where": "adversarial", "samples": 5, "values": 50, "differing": 0, "max_abs": 0,
            "argmax_differing": 0, "seed": 0, "data_checksum": "c", **changes}


def probe_row(**changes: Any) -> Row:
    """A valid "probe" row."""
    return {"kind": "probe", "key": row_key({"probe": 0}), "model": "early", "precision": "w8", "executor": "twin",
            "name": "double-steps", "value": -0.5, "n": 5, "detail": "both 0.1", "seed": 0, "data_checksum": "c",
            **changes}


def keys(store: ResultStore) -> list[str]:
    """The keys in the order of writing."""
    return [row["key"] for row in store.rows()]


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    """A second reader sees equal rows in the same order; numbers stay numbers."""
    store = ResultStore(tmp_path / "deep" / "results.jsonl")
    rows = [clean_row(number) for number in range(3)]
    assert all(store.append(row) for row in rows)
    assert ResultStore(store.path).rows() == rows


def test_a_known_key_is_written_once(tmp_path: Path) -> None:
    """Repeating a finished evaluation adds nothing, in this process and in the next."""
    store = ResultStore(tmp_path / "results.jsonl")
    assert store.append(clean_row(1))
    assert not store.append(clean_row(1, seconds=9.0))
    again = ResultStore(store.path)
    assert again.has(clean_row(1)["key"]) and not again.append(clean_row(1))
    assert len(store.path.read_text().splitlines()) == 1 and again.rows()[0]["seconds"] == 0.25


def test_numpy_scalars_are_plain_numbers(tmp_path: Path) -> None:
    """Rows straight from numpy can be written."""
    store = ResultStore(tmp_path / "results.jsonl")
    store.append(clean_row(n=np.int64(5), accuracy=np.float64(0.6),
                           attack={"name": "none", "random_start": np.bool_(False)}))
    assert ResultStore(store.path).rows() == [clean_row(attack={"name": "none", "random_start": False})]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_killed_anywhere_then_resumed(tmp_path: Path, data: st.DataObject) -> None:
    """Cut the file at any byte, open it, append all rows again: the same set of rows, each once."""
    path = tmp_path / "results.jsonl"
    path.unlink(missing_ok=True)
    rows = [clean_row(number) for number in range(4)]
    whole = ResultStore(path)
    for row in rows:
        whole.append(row)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    resumed = ResultStore(path)
    assert resumed.rows() == rows[:content[:cut].count(b"\n")]
    added = [resumed.append(row) for row in rows]
    assert sum(added) == 4 - content[:cut].count(b"\n")
    assert path.read_bytes() == content
    assert ResultStore(path).rows() == rows


def test_reading_never_changes_the_file(tmp_path: Path) -> None:
    """A report may look at a run while a line is being written."""
    store = ResultStore(tmp_path / "results.jsonl")
    store.append(clean_row(1))
    torn = store.path.read_bytes() + b'{"kind": "cle'
    store.path.write_bytes(torn)
    assert len(ResultStore(store.path)) == 1
    assert store.path.read_bytes() == torn


def test_two_writers_share_a_file(tmp_path: Path) -> None:
    """Appending continues after what another process wrote in the meantime."""
    first, second = ResultStore(tmp_path / "r.jsonl"), ResultStore(tmp_path / "r.jsonl")
    first.append(clean_row(1))
    second.append(clean_row(2))
    first.append(clean_row(3))
    assert keys(ResultStore(first.path)) == [clean_row(number)["key"] for number in (1, 2, 3)]


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"kind": []}', '{"kind": "clean"}', "", "\x00\x00", "[" * 5000],
                         ids=str.__repr__)
def test_damage_before_the_end_names_the_line(tmp_path: Path, line: str) -> None:
    """Only the last line may be torn; anything else must not be skipped silently."""
    path = tmp_path / "results.jsonl"
    good = json.dumps(clean_row())
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(DataError, match=r"results\.jsonl, line 2: ") as caught:
        ResultStore(path)
    assert "\n" not in str(caught.value)


def test_not_a_number_in_the_file_is_damage(tmp_path: Path) -> None:
    """Python's JSON reader would accept NaN."""
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(clean_row()).replace("0.25", "NaN") + "\n")
    with pytest.raises(DataError, match=r"line 1.*NaN"):
        ResultStore(path)


def test_shards_merge_by_concatenation(tmp_path: Path) -> None:
    """Shards of one run merge by concatenation, in either order."""
    stores = [ResultStore(tmp_path / name) for name in ("a", "b")]
    for store, numbers in zip(stores, ((1, 2), (2, 3)), strict=True):
        for number in numbers:
            store.append(clean_row(number))
    for first, second in (stores, stores[::-1]):
        (tmp_path / "all").write_bytes(first.path.read_bytes() + second.path.read_bytes())
        assert sorted(keys(ResultStore(tmp_path / "all"))) == sorted(clean_row(number)["key"] for number in (1, 2, 3))


def test_filters(tmp_path: Path) -> None:
    """Filters are equalities; a wrong name is an error with the nearest field."""
    store = ResultStore(tmp_path / "r.jsonl")
    store.append(clean_row(6))
    store.append(attack_row(key="b" * 16))
    assert keys(ResultStore(store.path)) == [clean_row(6)["key"], "b" * 16]
    assert [row["precision"] for row in store.rows("clean", executor="tflm", n=5)] == ["w6"]
    assert store.rows("attack", attacked=["audio"]) == []
    with pytest.raises(UsageError, match="did you mean 'precision'"):
        store.rows(precison="w6")


@pytest.mark.parametrize(("changes", "message"), [
    ({"budgets": {}}, "did you mean 'budget'"),
    ({"kind": "attak"}, "did you mean 'attack'"),
    ({"executor": "tflmm"}, "did you mean 'tflm'"),
    ({"seconds": math.nan}, "only finite"),
    ({"inputs": {"image": math.inf}}, "only finite"),
    ({"n": 5.0}, "'n' is 5.0; expected a whole number"),
    ({"n": True}, "expected a whole number"),
    ({"accuracy": "0.6"}, "expected a number"),
    ({"accuracy": 0.8}, "not 3 / 5"),
    ({"correct": 4, "accuracy": 0.8}, "do not hold 4"),
    ({"ci_low": 0.7}, "outside"),
    ({"ci_high": 1.1}, "share between 0 and 1"),
    ({"survivors": "ff"}, "zero-padded"),
    ({"survivors": "a800"}, "zero-padded"),
    ({"survivors": "zz"}, "hexadecimal"),
    ({"seconds": -1.0}, "at least 0"),
    ({"attacked": ["image"], "budget": {"image": 0.1}}, r"cannot have attacked \['image'\]"),
    ({"zero_gradient_share": "all"}, "'zero_gradient_share' is 'all'; expected a number"),
    ({"attack": {}}, "attack has no name"),
    ({"attack": {"name": "none", "step": {"size": math.inf}}}, "not finite"),
    ({"n": 10**400}, "not finite, or beyond"),
    ({"model": "\ud800"}, "not valid Unicode"),
    ({"attack": {"name": "none", "steps": {1, 2}}}, "no plain value"),
    ({"survivors": None}, "expected a text"),
])
def test_a_wrong_row_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Each refusal is one line that names the field; nothing is written."""
    store = ResultStore(tmp_path / "results.jsonl")
    with pytest.raises(DataError, match=message) as caught:
        store.append(clean_row(**changes))
    assert "\n" not in str(caught.value)
    assert not store.path.exists()


def test_parity_and_probes_are_rows_of_their_own(tmp_path: Path) -> None:
    """They come back as written and are found by their own fields; a probe may be negative."""
    store = ResultStore(tmp_path / "r.jsonl")
    for row in (parity_row(), probe_row(), clean_row()):
        assert store.append(row)
    again = ResultStore(store.path)
    assert again.rows("parity", a="twin") == [parity_row()] and again.rows(name="double-steps") == [probe_row()]


@pytest.mark.parametrize(("row", "message"), [
    (parity_row(where="everywhere"), "one of 'clean', 'adversarial'"),
    (parity_row(b="tlfm"), "did you mean 'tflm'"),
    (parity_row(differing=-1), "at least 0"),
    (parity_row(max_abs=0.5), "expected a whole number"),
    (parity_row(executor="twin"), "unknown field 'executor' in a 'parity' row"),
    (probe_row(value=math.nan), "only finite"),
    (probe_row(value=None), "expected a number"),
    (probe_row(nam="x"), "did you mean 'name'"),
    (probe_row(executor="keros"), "did you mean 'keras'"),
    (clean_row(queries=-1), "at least 0"),
    (clean_row(correct=0.5), "expected a whole number"),
    (clean_row(mask=None), "expected a text"),
    (attack_row(budget={"image": "0.1"}), "'budget'.image is '0.1'; expected a number"),
    (attack_row(budget={"image": -0.1}), "at least 0"),
    (attack_row(attacked=["image", 1]), "'attacked' is 1; expected a text"),
    (attack_row(criterion="unions"), "did you mean 'union'"),
    (attack_row(threat="code"), "did you mean 'codes'"),
])
def test_wrong_values_of_any_kind_are_refused(row: Row, message: str) -> None:
    """One line that names the field, or what was meant."""
    with pytest.raises(DataError, match=message) as caught:
        validate(row)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [
    {"executor": "twin"}, {"criterion": "union", "attack": {"name": "strong"}}, {"threat": "naive"},
    {"profile": "paper", "attack": {"name": "pgd", "loss": "margin", "restarts": 5}, "queries": 200, "mask": "pad"}])
def test_the_suite_of_an_attack_is_part_of_its_row(changes: dict[str, Any]) -> None:
    """What says how strong an attack was is kept."""
    assert validate(attack_row(**changes)) == attack_row(**changes)


def test_a_missing_field_is_refused() -> None:
    """Incomplete rows would fail much later, in the report."""
    row = clean_row()
    del row["seed"], row["data"]
    with pytest.raises(DataError, match="lacks seed, data"):
        validate(row)


@pytest.mark.parametrize("changes", [
    {"budget": {"image": 0.1, "audio": 0.1}}, {"budget": {}}, {"attacked": ["depth"], "budget": {"depth": 0.1}}])
def test_the_budget_is_that_of_the_attacked_inputs(changes: dict[str, Any]) -> None:
    """Otherwise the union over threat sets would be wrong."""
    assert epsilon_of(validate(attack_row(attacked=["image", "audio"], budget={"image": 0.1, "audio": 0.2}))) == 0.2
    assert epsilon_of(clean_row()) == 0.0
    with pytest.raises(DataError, match="expected a budget for each attacked input"):
        validate(attack_row(**changes))


def test_a_store_without_a_path_keeps_its_rows_in_memory() -> None:
    """What one attack measures needs no file."""
    store = ResultStore()
    assert store.append(clean_row()) and not store.append(clean_row())
    assert store.rows() == [clean_row()] and len(store) == 1


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """A directory in the place of the file stands for any failure of the system."""
    store = ResultStore(tmp_path / "results.jsonl")
    store.path.mkdir()
    with pytest.raises(DataError, match="cannot append"):
        store.append(clean_row())


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_survivors_round_trip(bits: list[bool]) -> None:
    """Packing and unpacking is exact for every length."""
    array = np.array(bits)
    assert np.array_equal(unpack_survivors(pack_survivors(array), len(bits)), array)


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none(), st.booleans())))
def test_row_key_does_not_depend_on_order(identity: dict[str, Any]) -> None:
    """The key identifies the content."""
    assert row_key(identity) == row_key(dict(reversed(identity.items())))
    assert len(row_key(identity)) == 16
    assert row_key(identity) != row_key({**identity, "another field": 1})


def test_row_key_by_value() -> None:
    """Equal numbers are equal whatever their type; text and numbers differ; NaN has no key."""
    assert row_key({"epsilon": 1, "n": 3}) == row_key({"n": np.int64(3), "epsilon": np.float32(1)})
    assert row_key({"epsilon": 0.1}) != row_key({"epsilon": 0.1 + 1e-12})
    assert row_key({"n": 1}) != row_key({"n": "1"})
    with pytest.raises(ValueError, match="JSON"):
        row_key({"n": math.nan})
