"""`tinyfuse attack` and its Python calls: every figure names how it was made, and what was made can be run again."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from thin import thin_trunk

from tinyfuse import api
from tinyfuse.attacks import KerasTarget, Threat, misclassified
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.checks.run_checks import Flag
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.core.files import load_arrays
from tinyfuse.core.results import Row, validate
from tinyfuse.data import Dataset
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.zoo import resnet8
from tinyfuse.study import minimal_budget, row_text
from tinyfuse.study.attack import AttackResult
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.threats.code_threats import reachable
from tinyfuse.threats.norms import norm_of

COUNT = 20
Attack = Callable[..., AttackResult]


@pytest.fixture(scope="module", autouse=True)
def _thin() -> Iterator[None]:
    """Networks are loaded as they were trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet8, "trunk", thin_trunk)
        yield


@pytest.fixture(scope="module")
def network(thin_early: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared thin early fusion, in a folder of its own."""
    folder = tmp_path_factory.mktemp("attack")
    shutil.copy(thin_early.path.with_suffix(".toml"), folder)
    return Path(shutil.copy(thin_early.path, folder))


@pytest.fixture(scope="module")
def model(network: Path, tiny_dataset: Dataset) -> Path:
    """The same in integers."""
    return api.convert(network, "w6", tiny_dataset, calibration_samples=40)


@pytest.fixture(scope="module")
def attack(model: Path, tiny_dataset: Dataset) -> Attack:
    """`api.attack` on the integers, with few samples and steps."""

    def run(**settings: Any) -> AttackResult:
        free = settings.get("attack") in ("fgsm", "fgm", "square", "corners", "universal", "universal-pgd")
        return api.attack(model, tiny_dataset, **{"samples": COUNT, **({} if free else {"steps": 3}), **settings})

    return run


def attacked(rows: list[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if row["kind"] == "attack" and all(row[name] == wanted[name] for name in wanted)]


def broken_in(model: Path, made: Mapping[str, np.ndarray], prefix: str = "", executor: str = "tflm") -> np.ndarray:
    """Which of the saved inputs ``executor`` misclassifies."""
    integer = load_model(model)
    codes = {port.name: made[prefix + port.name] for port in integer.inputs}
    assert all(codes[port.name].dtype == port.dtype for port in integer.inputs)
    return misclassified(open_executor(integer, executor).run(codes), made["label"])


def row_of(**changes: Any) -> Row:
    row = {"kind": "attack", "model": "early", "precision": "w6", "executor": "twin", "attack": {"name": "pgd"},
           "inputs": {"image": 1.0, "audio": 1.0}, "attacked": ["image", "audio"], "norm": "linf",
           "budget": {"image": 0.1, "audio": 0.1}, "criterion": "any-iterate", "threat": "codes", "source": "w6",
           "mask": "", "n": 10, "correct": 5, "accuracy": 0.5, "ci_low": 0.2, "ci_high": 0.8, "seed": 0}
    return {**row, **changes}


@pytest.mark.parametrize(("changes", "note", "words"), [
    ({}, {}, "pgd on all, linf 0.1, any-iterate, codes (G): 5 of 10"),
    ({"threat": "real"}, {}, "any-iterate, real (R): 5"),
    ({"source": "float"}, {}, "codes (G), gradients of float: 5"),
    ({"source": "float", "attack": {"name": "square"}}, {}, "codes (G), searched on float: 5"),
    ({"mask": "audio:12ab"}, {}, "codes (G), mask audio:12ab: 5"),
    ({"budget": {"image": 0.1, "audio": 0.02}}, {}, "linf 0.1 of image and 0.02 of audio, any"),
    ({"attacked": ["audio"], "budget": {"audio": 0.1}}, {}, "on audio, linf 0.1, any"),
    ({"threat": "naive"}, {"spent": {"audio": 0.10391}}, "linf 0.1 (rounding spends up to 0.1039 of audio), any"),
    ({"attack": {"name": "universal"}}, {"universal": {"train_samples": 200}},
     "one perturbation made on 200 training samples: 5"),
    ({"attack": {"name": "diva"}}, {"evasive": {"count": 3, "n": 10, "rate": 0.3, "ci_low": 0.1, "ci_high": 0.6,
                                      "clean_count": 1, "float_stays_correct": 8}},
     "stays right on 8 of the same inputs; evasive rate 3 of 10, 30.0 % (95 % interval 10.0 to 60.0; 1 when clean)"),
])
def test_a_sentence_names_threat_model_origin_and_mask(changes: Row, note: Any, words: str) -> None:
    assert words in row_text.sentence(row_of(**changes), note)


@pytest.mark.parametrize(("settings", "norm"), [
    ({"attack": "pgd", "norm": "l2-joint", "epsilon": {"image": 3.0, "audio": 1.0}}, "l2-joint"),
    ({"attack": "fgm", "epsilon": 3.0}, "l2"),
    ({"attack": "universal-pgd", "epsilon": 1.0, "epochs": 2, "train_samples": 30}, "l2-steps"),
])
def test_integers_are_attacked_in_euclidean_balls(attack: Attack, model: Path, tiny_dataset: Dataset, settings: Any,
                                                  norm: str) -> None:
    """Rows name the norm, the codes are TFLite Micro's verdict, and a joint budget is spent jointly."""
    found = attack(**settings, samples=10)
    rows = attacked(found.rows, executor="tflm")
    assert {row["norm"] for row in rows} == {norm} and all(validate(row) for row in found.rows)
    assert np.array_equal(broken_in(model, found.made), found.made["broken"])
    if norm == "l2-joint":
        integer = load_model(model)
        clean = integer.codes_of(tiny_dataset.test.balanced(10, seed=SAMPLE_SEED).inputs)
        change = {port.name: (found.made[port.name] - clean[port.name].astype(float)) * port.scale
                  for port in integer.inputs}
        shares = norm_of(norm).shares(change, settings["epsilon"])
        assert 0.5 < shares.max() <= 1 + 1e-6


def test_saved_codes_break_what_they_are_said_to_break(attack: Attack, model: Path, tmp_path: Path) -> None:
    for settings in ({"modality": "audio", "epsilon": 0.1}, {"source": model.with_name("early.keras"), "epsilon": 0.1},
                     {"attack": "universal", "epsilon": 0.3, "epochs": 2, "train_samples": 30},
                     {"attack": "diva", "epsilon": 0.1}):
        path = tmp_path / "sub" / "made.npz"
        rows = attack(**settings, save=path).rows
        made = load_arrays(path)
        again = broken_in(model, made)
        assert np.array_equal(again, made["broken"]) and again.any()
        assert np.array_equal(again, ~survivors_of(attacked(rows, executor="tflm")[-1]))
        assert all(validate(row) for row in rows)


def test_saved_inputs_of_a_network_are_real(network: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    rows = api.attack(network, tiny_dataset, samples=COUNT, steps=3, epsilon=0.1, save=tmp_path / "made.npz").rows
    made = load_arrays(tmp_path / "made.npz")
    assert made["image"].dtype == np.float32 and made["broken"].any()
    wrong = misclassified(KerasTarget(load_network(network).model, batch_size=COUNT).logits(made), made["label"])
    assert np.array_equal(wrong, made["broken"])
    assert np.array_equal(~wrong, survivors_of(attacked(rows, criterion="any-iterate")[0]))


@pytest.mark.parametrize("profile", ["standard", "paper"])
def test_a_suite_saves_every_mode_in_full(profile: str, model: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    """A sample that one input alone broke is not attacked again in both, but its codes are there."""
    rows = api.profile(model, tiny_dataset, profile, samples=COUNT, epsilon=0.06, save=tmp_path / "made.npz",
                              steps=2 if profile == "standard" else None).rows
    made = load_arrays(tmp_path / "made.npz")
    clean = survivors_of(next(row for row in rows if row["kind"] == "clean"))
    for mode, names in (("image", ["image"]), ("audio", ["audio"]), ("all", ["image", "audio"])):
        again = broken_in(model, made, f"{mode}_")
        assert np.array_equal(again, made[f"{mode}_broken"])
        for row in attacked(rows, attacked=names, criterion="union"):
            assert np.array_equal(~again, survivors_of(row))
    assert made["all_broken"].sum() > max(1, (~clean).sum())
    start = load_model(model).grids["image"].quantise(tiny_dataset.test.balanced(COUNT, seed=0).inputs["image"])
    assert np.array_equal(made["audio_image"], start)


def test_the_step_is_the_one_that_was_taken(attack: Attack, model: Path) -> None:
    scale = load_model(model).grids["audio"].scale
    for settings, codes in (({"codes": 3, "steps": 20}, 1.0), ({"codes": 20, "steps": 5}, 10.0),
                            ({"codes": 9, "step_size": 2.6 * scale}, 2.0), ({"codes": 3, "attack": "fgsm"}, 3.0)):
        row = attacked(attack(modality="audio", executors=(), **settings).rows)[0]
        assert row["attack"]["step_size"] == pytest.approx(codes * scale)
    assert "step_size" not in attacked(attack(attack="corners", draws=1, executors=()).rows)[0]["attack"]


def test_every_parameter_of_an_attack_is_in_its_key(attack: Attack) -> None:
    settings: list[dict[str, Any]] = [
        {"attack": "square", "queries": 2}, {"attack": "square", "queries": 3}, {"attack": "corners", "draws": 1},
        {"attack": "corners", "draws": 2}, {"attack": "mim", "momentum": 0.5}, {"attack": "mim", "momentum": 0.9},
        {"attack": "universal", "epochs": 1, "train_samples": 10},
        {"attack": "universal", "epochs": 1, "train_samples": 9}]
    found = [attack(executors=(), epsilon=0.02, **each).rows for each in settings]
    assert len({row["key"] for rows in found for row in attacked(rows, criterion=rows[1]["criterion"])}) == 8
    assert len({row["key"] for rows in found for row in rows if row["kind"] == "clean"}) == 1
    usual, said = (attack(attack="corners", executors=(), **each).rows[1]["key"] for each in ({}, {"draws": 100}))
    assert usual == said


def test_replays_in_the_three_threat_models(attack: Attack, model: Path, tiny_dataset: Dataset) -> None:
    """Of a budget of 2.6 codes G may spend 2, while the device rounds real inputs (R) to 3 where it can."""
    grid, source = load_model(model).grids["audio"], model.with_name("early.keras")
    epsilon, clean = 2.6 * grid.scale, tiny_dataset.test.balanced(COUNT, seed=0).inputs["audio"]
    start, moved = grid.quantise(clean), {}
    for threat in ("codes", "real", "naive"):
        found = attack(threat=threat, source=source, modality="audio", epsilon=epsilon)
        (replayed,) = attacked(found.rows, criterion="replayed")
        assert (replayed["threat"], replayed["source"], replayed["executor"]) == (threat, "float", "tflm")
        moved[threat] = found.made["audio"].astype(int)
        assert np.array_equal(~survivors_of(replayed), found.made["broken"])
        noted = [row["key"] for row in found.rows if row["key"] in found.notes]
        assert noted == [replayed["key"]] * (threat == "naive")
        if threat == "naive":
            assert epsilon < found.notes[replayed["key"]]["spent"]["audio"] <= epsilon + grid.scale / 2 + 1e-6
    low, high = reachable(Threat.of(tiny_dataset.inputs, {"audio": epsilon}), "audio", clean, grid)
    assert np.abs(moved["codes"] - start).max() == 2 < np.abs(moved["real"] - start).max()
    assert (low <= moved["real"]).all() and (moved["real"] <= high).all()


def test_a_universal_perturbation_never_sees_the_test_part(attack: Attack, model: Path, tiny_dataset: Dataset) -> None:
    settings = {"attack": "universal", "epsilon": 0.2, "train_samples": 40, "epochs": 2}
    found = attack(**settings)
    part = tiny_dataset.test
    other = replace(tiny_dataset, test=part.take(np.arange(len(part))[::-1]))
    again = api.attack(model, other, samples=COUNT, **settings)
    for name in ("image", "audio"):
        assert found.made[f"delta_{name}"].any()
        assert np.array_equal(found.made[f"delta_{name}"], again.made[f"delta_{name}"])
    start = {name: grid.quantise(part.balanced(COUNT, seed=0).inputs[name]) for name, grid in
             load_model(model).grids.items()}
    for name, codes in start.items():
        assert np.array_equal(found.made[name], np.clip(codes + found.made[f"delta_{name}"], -128, 127))
    row = attacked(found.rows, executor="twin")[0]
    assert (row["criterion"], row["source"], row["attack"]["name"]) == ("replayed", "w6", "universal")
    assert found.notes[row["key"]]["universal"]["train_samples"] == 40


def test_evasive_inputs_fool_the_integers_alone(attack: Attack, network: Path, model: Path) -> None:
    """Samples that the float network has wrong when clean do not count, though DIVA mends some of them."""
    result = attack(attack="diva", epsilon=0.1, steps=10)
    rows, made = result.rows, result.made
    clean, beside = (survivors_of(row) for row in rows if row["executor"] == "keras")
    real = {name: grid.dequantise(made[name]) for name, grid in load_model(model).grids.items()}
    right = ~misclassified(KerasTarget(load_network(network).model, batch_size=COUNT).logits(real), made["label"])
    evasive = clean & right & broken_in(model, made)
    assert np.array_equal(evasive, made["evasive"]) and evasive.any() and not clean.all()
    assert np.array_equal(right, beside)
    for executor in ("twin", "tflm"):
        (row,) = attacked(rows, executor=executor)
        note = result.notes[row["key"]]["evasive"]
        assert (note["count"], note["n"], note["float_stays_correct"]) == (evasive.sum(), COUNT, (clean & right).sum())
        assert note["ci_low"] < note["rate"] == evasive.mean() < note["ci_high"]
        assert row["source"] == "float+w6" and row["attack"]["name"] == "diva"


def test_an_ensemble_is_attacked_with_both_and_judged_by_the_integers(attack: Attack, model: Path) -> None:
    alone, rows = (attack(modality="audio", epsilon=0.05, ensemble=both) for both in (False, True))
    assert {row["source"] for row in attacked(rows.rows)} == {"float+w6"}
    assert {row["executor"] for row in rows.rows} == {"twin", "tflm"}
    assert not np.array_equal(alone.made["audio"], rows.made["audio"])
    assert np.array_equal(broken_in(model, rows.made), rows.made["broken"])


@pytest.mark.parametrize(("settings", "words"), [
    ({"epsilon": float("nan")}, "give 0 to 1"), ({"epsilon": -0.1}, "give 0 to 1"), ({"epsilon": 1.01}, "give 0 to 1")])
def test_budgets_that_are_none(settings: dict[str, Any], words: str, model: Path, tiny_dataset: Dataset) -> None:
    for run in (api.attack, functools.partial(api.profile, suite="standard")):
        with pytest.raises(UsageError, match=words):
            run(model, tiny_dataset, **settings)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("x.tflite", {"attack": "universal", "threat": "naive"}, "use the threat model codes or real"),
    ("x.tflite", {"attack": "universal", "source": "x.keras"}, "leave out the source"),
    ("x.tflite", {"attack": "universal", "steps": 3}, "universal: unknown key 'steps'"),
    ("x.tflite", {"attack": "diva", "loss": "margin"}, "diva: unknown key 'loss'"),
    ("x.tflite", {"step_size": float("nan")}, "step_size is nan; give at least 0"),
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
    class Off:
        def __init__(self, *names: Any) -> None:
            self.inner = open_executor(*names)

        def run(self, codes: Any) -> np.ndarray:
            output = self.inner.run(codes)
            lowest = output[0].argmin()
            output[0, lowest] += 1 if output[0, lowest] == -128 else -1
            return output

    settings: dict[str, Any] = {"attack": "fgsm", "samples": 10, "largest": 30}
    assert api.minimal(model, tiny_dataset, **settings).rejudged
    monkeypatch.setattr(minimal_budget, "open_executor", Off)
    with pytest.raises(ParityError, match=r"1 of \d+ output codes"):
        api.minimal(model, tiny_dataset, **settings)


@pytest.mark.parametrize(("level", "code", "exit_code"), [("E", "J", 4), ("W", "J", 0), ("E", "D", 0)])
def test_an_error_of_the_checks_is_printed_and_ends_with_its_own_code(
        level: str, code: str, exit_code: int, model: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.cli.attack.load_from", lambda args: tiny_dataset)
    monkeypatch.setattr(row_text, "run_checks", lambda rows: [Flag(code, level, "early", "w6", 0, "it cannot be")])
    argv = ["attack", str(model), "--attack", "fgsm", "--samples", "5"]
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
    rows = attack(attack="fgsm", epsilon=0.0, executors=()).rows
    weak = {"budget": {"image": 1.0, "audio": 1.0}, "attack": {"name": "pgd"}}
    for changes, flagged in ((weak, True), ({**weak, "mask": "audio:12"}, False),
                             ({**weak, "attack": {"name": "diva"}}, False)):
        found = row_text.findings([rows[0], {**rows[1], **changes}])
        assert ("U" in {flag.code for flag in found}) == flagged
