"""`tinyfuse attack` and its Python calls: every figure names how it was made, and what was made can be run again."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse import api
from tinyfuse.attacks import KerasTarget, Threat, misclassified
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.checks.run_checks import Flag
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.core.files import load_arrays
from tinyfuse.core.results import Row, validate
from tinyfuse.data import Dataset
from tinyfuse.integer.interpreters import Interpreter, load
from tinyfuse.nn.train_or_load import load_network
from tinyfuse.study import minimal_budget as smallest
from tinyfuse.study import row_text as wording
from tinyfuse.threats.code_threats import reachable

PAIRS = 20
Attack = Callable[..., Any]


@pytest.fixture(scope="module")
def network(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained early fusion."""
    return api.train("early", tiny_dataset, out=tmp_path_factory.mktemp("attack"), epochs=10, batch_size=20)


@pytest.fixture(scope="module")
def model(network: Path, tiny_dataset: Dataset) -> Path:
    """The same in integers."""
    return api.convert(network, "w6", tiny_dataset, calibration_pairs=40)


@pytest.fixture(scope="module")
def attack(model: Path, tiny_dataset: Dataset) -> Attack:
    """`api.attack` on the integers, with few pairs and steps."""

    def run(**settings: Any) -> Any:
        free = settings.get("attack") in ("fgsm", "square", "corners", "universal")
        return api.attack(model, tiny_dataset, **{"pairs": PAIRS, **({} if free else {"steps": 3}), **settings})

    return run


def attacked(rows: list[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if row["kind"] == "attack" and all(row[name] == wanted[name] for name in wanted)]


def broken_in(model: Path, made: dict[str, np.ndarray], prefix: str = "", executor: str = "tflm") -> np.ndarray:
    """Which of the saved inputs ``executor`` misclassifies."""
    integer = load(model)
    codes = {port.name: made[prefix + port.name] for port in integer.inputs}
    assert all(codes[port.name].dtype == port.dtype for port in integer.inputs)
    return misclassified(Interpreter(integer, executor).run(codes), made["label"])


def row_of(**changes: Any) -> Row:
    row = {"kind": "attack", "model": "early", "precision": "w6", "executor": "twin", "attack": "pgd",
           "modality": "both", "norm": "linf", "epsilon": 0.1, "epsilon_image": 0.1, "epsilon_audio": 0.1,
           "criterion": "any-iterate", "threat": "codes", "source": "w6", "mask": "", "n": 10, "correct": 5,
           "accuracy": 0.5, "ci_low": 0.2, "ci_high": 0.8, "seed": 0}
    return {**row, **changes}


@pytest.mark.parametrize(("changes", "note", "words"), [
    ({}, {}, "pgd on both, linf 0.1, any-iterate, codes (G): 5 of 10"),
    ({"threat": "real"}, {}, "any-iterate, real (R): 5"),
    ({"source": "float"}, {}, "codes (G), gradients of float: 5"),
    ({"source": "float", "attack": "square"}, {}, "codes (G), searched on float: 5"),
    ({"mask": "audio:12ab"}, {}, "codes (G), mask audio:12ab: 5"),
    ({"epsilon_audio": 0.02}, {}, "linf 0.1 of image and 0.02 of audio, any"),
    ({"modality": "audio", "epsilon_image": 0.0}, {}, "on audio, linf 0.1, any"),
    ({"threat": "naive"}, {"spent": {"audio": 0.10391}}, "linf 0.1 (rounding spends up to 0.1039 of audio), any"),
    ({"attack": "universal"}, {"universal": {"train_pairs": 200}}, "one perturbation made on 200 training pairs: 5"),
    ({"attack": "diva"}, {"evasive": {"count": 3, "n": 10, "rate": 0.3, "ci_low": 0.1, "ci_high": 0.6,
                                      "clean_count": 1, "float_stays_correct": 8}},
     "stays right on 8 of the same inputs; evasive rate 3 of 10, 30.0 % (95 % interval 10.0 to 60.0; 1 when clean)"),
])
def test_a_sentence_names_threat_model_origin_and_mask(changes: Row, note: Any, words: str) -> None:
    assert words in wording.sentence(row_of(**changes), note)


def test_saved_codes_break_what_they_are_said_to_break(attack: Attack, model: Path, tmp_path: Path) -> None:
    for settings in ({"modality": "audio", "epsilon": 0.1}, {"source": model.with_name("early.keras"), "epsilon": 0.1},
                     {"attack": "universal", "epsilon": 0.3, "epochs": 2, "train_pairs": 30},
                     {"attack": "diva", "epsilon": 0.1}):
        path = tmp_path / "sub" / "made.npz"
        rows = attack(**settings, save=path)
        made = load_arrays(path)
        again = broken_in(model, made)
        assert np.array_equal(again, made["broken"]) and again.any()
        assert np.array_equal(again, ~survivors_of(attacked(rows, executor="tflm")[-1]))
        assert all(validate(row) for row in rows)


def test_saved_inputs_of_a_network_are_real(network: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    rows = api.attack(network, tiny_dataset, pairs=PAIRS, steps=3, epsilon=0.1, save=tmp_path / "made.npz")
    made = load_arrays(tmp_path / "made.npz")
    assert made["image"].dtype == np.float32 and made["broken"].any()
    wrong = misclassified(KerasTarget(load_network(network).model, batch_size=PAIRS).logits(made), made["label"])
    assert np.array_equal(wrong, made["broken"])
    assert np.array_equal(~wrong, survivors_of(attacked(rows, criterion="any-iterate")[0]))


@pytest.mark.parametrize("profile", ["standard", "paper"])
def test_a_suite_saves_every_mode_in_full(profile: str, model: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    """A sample that one modality alone broke is not attacked again in both, but its codes are there."""
    rows = api.attack_profile(model, tiny_dataset, profile, pairs=PAIRS, epsilon=0.06, save=tmp_path / "made.npz",
                                steps=2 if profile == "standard" else None)
    made = load_arrays(tmp_path / "made.npz")
    clean = survivors_of(next(row for row in rows if row["kind"] == "clean"))
    for mode in ("image", "audio", "both"):
        again = broken_in(model, made, f"{mode}_")
        assert np.array_equal(again, made[f"{mode}_broken"])
        for row in attacked(rows, modality=mode, criterion="union"):
            assert np.array_equal(~again, survivors_of(row))
    assert made["both_broken"].sum() > max(1, (~clean).sum())
    start = load(model).grids["image"].quantise(tiny_dataset.test.balanced(PAIRS, seed=0).image)
    assert np.array_equal(made["audio_image"], start)


def test_the_step_is_the_one_that_was_taken(attack: Attack, model: Path) -> None:
    scale = load(model).grids["audio"].scale
    for settings, codes in (({"codes": 3, "steps": 20}, 1.0), ({"codes": 20, "steps": 5}, 10.0),
                            ({"codes": 9, "step_size": 2.6 * scale}, 2.0), ({"codes": 3, "attack": "fgsm"}, 3.0)):
        row = attacked(attack(modality="audio", executors=(), **settings))[0]
        assert row["step_size"] == pytest.approx(codes * scale)
    assert attacked(attack(attack="corners", draws=1, executors=()))[0]["step_size"] is None


def test_every_parameter_of_an_attack_is_in_its_key(attack: Attack) -> None:
    settings: list[dict[str, Any]] = [
        {"attack": "square", "queries": 2}, {"attack": "square", "queries": 3}, {"attack": "corners", "draws": 1},
        {"attack": "corners", "draws": 2}, {"attack": "mim", "momentum": 0.5}, {"attack": "mim", "momentum": 0.9},
        {"attack": "universal", "epochs": 1, "train_pairs": 10}, {"attack": "universal", "epochs": 1, "train_pairs": 9}]
    found = [attack(executors=(), epsilon=0.02, **each) for each in settings]
    assert len({row["key"] for rows in found for row in attacked(rows, criterion=rows[1]["criterion"])}) == 8
    assert len({row["key"] for rows in found for row in rows if row["kind"] == "clean"}) == 1
    usual, said = (attack(attack="corners", executors=(), **each)[1]["key"] for each in ({}, {"draws": 100}))
    assert usual == said


def test_replays_in_the_three_threat_models(attack: Attack, model: Path, tiny_dataset: Dataset) -> None:
    """Of a budget of 2.6 codes G may spend 2, while the device rounds real inputs (R) to 3 where it can."""
    grid, source = load(model).grids["audio"], model.with_name("early.keras")
    epsilon, clean = 2.6 * grid.scale, tiny_dataset.test.balanced(PAIRS, seed=0).audio
    start, moved = grid.quantise(clean), {}
    for threat in ("codes", "real", "naive"):
        rows = attack(threat=threat, source=source, modality="audio", epsilon=epsilon)
        (replayed,) = attacked(rows, criterion="replayed")
        assert (replayed["threat"], replayed["source"], replayed["executor"]) == (threat, "float", "tflm")
        moved[threat] = rows.made["audio"].astype(int)
        assert np.array_equal(~survivors_of(replayed), rows.made["broken"])
        assert [row["key"] for row in rows if row["key"] in rows.notes] == [replayed["key"]] * (threat == "naive")
        if threat == "naive":
            assert epsilon < rows.notes[replayed["key"]]["spent"]["audio"] <= epsilon + grid.scale / 2 + 1e-6
    low, high = reachable(Threat("linf", {"audio": epsilon}), "audio", clean, grid)
    assert np.abs(moved["codes"] - start).max() == 2 < np.abs(moved["real"] - start).max()
    assert (low <= moved["real"]).all() and (moved["real"] <= high).all()


def test_a_universal_perturbation_never_sees_the_test_part(attack: Attack, model: Path, tiny_dataset: Dataset) -> None:
    settings = {"attack": "universal", "epsilon": 0.2, "train_pairs": 40, "epochs": 2}
    rows = attack(**settings)
    part = tiny_dataset.test
    other = replace(tiny_dataset, test=replace(part, image=part.image[::-1].copy(), label=part.label[::-1].copy()))
    again = api.attack(model, other, pairs=PAIRS, **settings)
    for name in ("image", "audio"):
        assert rows.made[f"delta_{name}"].any()
        assert np.array_equal(rows.made[f"delta_{name}"], again.made[f"delta_{name}"])
    start = {name: grid.quantise(part.balanced(PAIRS, seed=0).inputs()[name]) for name, grid in
             load(model).grids.items()}
    for name, codes in start.items():
        assert np.array_equal(rows.made[name], np.clip(codes + rows.made[f"delta_{name}"], -128, 127))
    row = attacked(rows, executor="twin")[0]
    assert (row["criterion"], row["source"], row["attack"]) == ("replayed", "w6", "universal")
    assert rows.notes[row["key"]]["universal"]["train_pairs"] == 40


def test_evasive_inputs_fool_the_integers_alone(attack: Attack, network: Path, model: Path) -> None:
    """Samples that the float network has wrong when clean do not count, though DIVA mends some of them."""
    rows = attack(attack="diva", epsilon=0.1, steps=10)
    made = rows.made
    clean, beside = (survivors_of(row) for row in rows if row["executor"] == "keras")
    real = {name: grid.dequantise(made[name]) for name, grid in load(model).grids.items()}
    right = ~misclassified(KerasTarget(load_network(network).model, batch_size=PAIRS).logits(real), made["label"])
    evasive = clean & right & broken_in(model, made)
    assert np.array_equal(evasive, made["evasive"]) and evasive.any() and not clean.all()
    assert np.array_equal(right, beside)
    for executor in ("twin", "tflm"):
        (row,) = attacked(rows, executor=executor)
        note = rows.notes[row["key"]]["evasive"]
        assert (note["count"], note["n"], note["float_stays_correct"]) == (evasive.sum(), PAIRS, (clean & right).sum())
        assert note["ci_low"] < note["rate"] == evasive.mean() < note["ci_high"]
        assert row["source"] == "float+w6" and row["loss"] == "diva"


def test_an_ensemble_is_attacked_with_both_and_judged_by_the_integers(attack: Attack, model: Path) -> None:
    alone, rows = (attack(modality="audio", epsilon=0.05, ensemble=both) for both in (False, True))
    assert {row["source"] for row in attacked(rows)} == {"float+w6"}
    assert {row["executor"] for row in rows} == {"twin", "tflm"}
    assert not np.array_equal(alone.made["audio"], rows.made["audio"])
    assert np.array_equal(broken_in(model, rows.made), rows.made["broken"])


@pytest.mark.parametrize(("settings", "words"), [
    ({"epsilon": float("nan")}, "give 0 to 1"), ({"epsilon": -0.1}, "give 0 to 1"), ({"epsilon": 1.01}, "give 0 to 1")])
def test_budgets_that_are_none(settings: dict[str, Any], words: str, tiny_dataset: Dataset) -> None:
    for run in (api.attack, functools.partial(api.attack_profile, profile="standard")):
        with pytest.raises(UsageError, match=words):
            run("absent.tflite", tiny_dataset, **settings)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("x.tflite", {"attack": "universal", "threat": "naive"}, "use the threat model codes or real"),
    ("x.tflite", {"attack": "universal", "source": "x.keras"}, "leave out the source"),
    ("x.tflite", {"attack": "universal", "steps": 3}, "universal takes no 'steps'"),
    ("x.tflite", {"attack": "diva", "loss": "margin"}, "diva takes no 'loss'"),
    ("x.tflite", {"step_size": float("nan")}, "step_size is nan; give a finite number"),
    ("x.keras", {"attack": "diva"}, "give the .tflite"), ("x.keras", {"ensemble": True}, "give the .tflite"),
    ("x.tflite", {"attack": "square", "ensemble": True}, "use fgsm, pgd or mim"),
    ("x.tflite", {"threat": "reel"}, "did you mean 'real'"), ("x.tflite", {"save": "x.npy"}, "saved as .npz"),
])
def test_what_does_not_go_together(name: str, settings: dict[str, Any], words: str, tiny_dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=words):
        api.attack(name, tiny_dataset, **settings)


def test_a_smallest_budget_is_checked_code_by_code(model: Path, tiny_dataset: Dataset,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """One output code that differs is a parity error, also where the verdict stays what it was."""
    class Off(Interpreter):
        def run(self, codes: Any, tick: Any = None) -> np.ndarray:
            output = super().run(codes)
            lowest = output[0].argmin()
            output[0, lowest] += 1 if output[0, lowest] == -128 else -1
            return output

    settings: dict[str, Any] = {"attack": "fgsm", "pairs": 10, "largest": 30}
    assert api.minimal(model, tiny_dataset, **settings).judged
    monkeypatch.setattr(smallest, "Interpreter", Off)
    with pytest.raises(ParityError, match=r"1 of \d+ output codes"):
        api.minimal(model, tiny_dataset, **settings)


@pytest.mark.parametrize(("level", "code", "exit_code"), [("E", "J", 4), ("W", "J", 0), ("E", "D", 0)])
def test_an_error_of_the_checks_is_printed_and_ends_with_its_own_code(
        level: str, code: str, exit_code: int, model: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.data.load", lambda *args, **kwargs: tiny_dataset)
    monkeypatch.setattr(wording, "run_checks", lambda rows: [Flag(code, level, "early", "w6", 0, "it cannot be")])
    argv = ["attack", str(model), "--attack", "fgsm", "--pairs", "5"]
    assert cli.main(argv) == exit_code
    said = capsys.readouterr()
    name = {"E": "error", "W": "warning"}[level]
    assert said.out.splitlines()[-1] == f"{name} {code}, early w6: it cannot be" and len(said.out.splitlines()) == 6
    assert ("must not be trusted; the first: it cannot be" in said.err.replace("\n", " ")) == (exit_code == 4)
    assert cli.main([*argv, "--json"]) == exit_code
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 5
    assert all(row["flags"] == [{"code": code, "level": level, "text": "it cannot be"}] for row in rows)


def test_only_whole_attacks_on_single_samples_must_win_without_bound(attack: Attack) -> None:
    rows = attack(attack="fgsm", epsilon=0.0, executors=())
    weak = {"epsilon": 1.0, "epsilon_image": 1.0, "epsilon_audio": 1.0, "attack": "pgd"}
    for changes, flagged in ((weak, True), ({**weak, "mask": "audio:12"}, False), ({**weak, "attack": "diva"}, False)):
        found = wording.findings([rows[0], {**rows[1], **changes}])
        assert ("U" in {flag.code for flag in found}) == flagged
