"""Certificates of a small fusion network: no attack ever breaks a certified sample, and rows are made once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from row_makers import outcome

from tinyfuse import api
from tinyfuse.analyses import AnalysisSubject
from tinyfuse.analyses.certificates.asked import Certified, questions_of
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.certify import METHODS, Certifier, verdicts
from tinyfuse.analyses.certificates.radius import certified_radii
from tinyfuse.analyses.certificates.record import Named, check_labels
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.checks.certificates import broken_despite, is_certificate
from tinyfuse.checks.gating import check_run
from tinyfuse.checks.run_checks import run_checks
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError, GateError, ModelError, UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import ResultStore, row_key
from tinyfuse.data import Dataset
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.package import open_package
from tinyfuse.nn.network import open_network
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.rows import budget_of
from tinyfuse.study.run import Run
from tinyfuse.study.stages.certify import certify_all
from tinyfuse.study.stages.convert import IntegerFile
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat

SAMPLES = 12


@pytest.fixture(scope="module")
def certifier(small_twin: AnalysisSubject) -> Certifier:
    assert isinstance(small_twin.target, TwinTarget)
    return Certifier(small_twin.target, METHODS)


@pytest.fixture(scope="module")
def clean(small_twin: AnalysisSubject, half_known: Dataset) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Codes and what the twin answers for them, taken for the labels."""
    batch = small_twin.given(half_known.test.take(slice(SAMPLES)).inputs)
    return dict(batch), small_twin.target.logits(batch).argmax(axis=1)


def threat_of(certifier: Certifier, budget: dict[str, float], norm: str = "linf") -> Threat:
    grids = certifier.target.grids or {}
    box = {name: (float(grids[name].low), float(grids[name].high)) for name in budget}
    return Threat(NORMS[norm], budget, box, {}, lattice=True)


@pytest.mark.parametrize(("budget", "norm"), [
    ({"cam": 1.0, "mic": 1.0}, "linf"), ({"mic": 3.0}, "linf"), ({"cam": 6.0}, "l2"),
    ({"cam": 4.0, "mic": 2.0}, "l2-joint")])
def test_no_point_of_a_certified_ball_is_misclassified(certifier: Certifier, budget: dict[str, float], norm: str,
                                                       clean: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    (batch, labels), rng = clean, np.random.default_rng(0)
    threat = threat_of(certifier, budget, norm)
    found = verdicts(certifier, batch, labels, threat, steps=10)
    assert found.certified.any()
    assert not (found.certified & found.falsified).any()
    assert misclassified(certifier.target.logits(found.point), labels)[found.falsified].all()
    assert np.array_equal(found.open, ~found.certified & ~found.falsified)
    for trial in range(20):
        point = threat.realise(threat.random_point(batch, seed=trial, sample_ids=np.arange(SAMPLES)), batch)
        if norm == "linf" and trial % 2:
            point = {**batch, **{name: threat.boxed(name, batch[name] + size * rng.choice([-1, 1], batch[name].shape))
                                 .astype(np.float32) for name, size in budget.items()}}
        assert not misclassified(certifier.target.logits(point), labels)[found.certified].any()


def test_no_budget_certifies_what_is_right_and_methods_add_up(certifier: Certifier, clean: Any) -> None:
    batch, labels = clean
    grids = certifier.target.grids or {}
    assert np.all(certifier.proved(Ball.of(threat_of(certifier, {"cam": 0.0}), batch, grids), labels) == 1)
    wrong = (labels + 1) % 3
    assert not certifier.proved(Ball.of(threat_of(certifier, {"cam": 0.0}), batch, grids), wrong).any()
    ball = Ball.of(threat_of(certifier, {"cam": 4.0, "mic": 4.0}), batch, grids)
    counts = [int((Certifier(certifier.target, methods).proved(ball, labels) > 0).sum())
              for methods in (METHODS[:1], METHODS[:2], METHODS)]
    assert counts == sorted(counts)


def test_too_much_work_for_recursive_bounds_is_said_and_left_out(
        certifier: Certifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert certifier.methods == METHODS
    monkeypatch.setattr("tinyfuse.analyses.certificates.certify.MOST_PRODUCTS", 1000)
    assert Certifier(certifier.target, METHODS).methods == METHODS[:2]
    assert "certified without them" in capsys.readouterr().err


def test_radii_are_certified_and_no_smaller_than_any_that_bisection_tried(certifier: Certifier, clean: Any) -> None:
    batch, labels = clean
    quick, given = Certifier(certifier.target, METHODS[:1]), np.where(np.arange(SAMPLES) == 0, (labels + 1) % 3, labels)
    radii = certified_radii(quick, batch, given, ("cam",), 20)
    assert radii[0] == -1
    assert radii[1:].min() >= 0
    grids = certifier.target.grids or {}
    for k in range(21):
        safe = quick.proved(Ball.of(threat_of(certifier, {"cam": float(k)}), batch, grids), given) > 0
        assert np.array_equal(safe, radii >= k)  # intervals grow with the box


@pytest.fixture(scope="module")
def small_tflite(small_file: Path, half_known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certify") / "small__w8.tflite"
    path.write_bytes(convert(baseline(open_network(small_file, half_known), half_known.train), read_recipe("w8")).data)
    return path


def test_rows_are_kept_and_not_made_again(small_tflite: Path, half_known: Dataset, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"codes": {"cam": 1, "mic": 1}, "samples": SAMPLES, "radius": 4, "steps": 2,
                             "seconds_per_sample": 0.2, "out": tmp_path, "smooth": {"mic": 0.02}, "draws": 20}
    first = api.certify(small_tflite, half_known, **asked)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    *proofs, (smoothed,) = first.answers
    assert (smoothed["of"], smoothed["status"]) == ({"noise": "mic 0.02"}, "estimate")
    assert [rows[0]["of"]["attacked"] for rows in proofs] == ["cam", "mic", "all"]
    first.check()
    for rows in proofs:
        shares = {row["quantity"]: row["value"] for row in rows}
        assert shares["certified"] + shares["falsified"] + shares["open"] == pytest.approx(1)
        assert "by branches" in repr(first)
        by = [row["value"] for row in rows if row["quantity"].startswith("certified by ")]
        assert sum(by) == pytest.approx(shares["certified"])
        radii = {row["quantity"]: np.asarray(row["each"]) for row in rows if row["each"] is not None}
        assert np.all(radii["certified radius"] <= radii["unbroken radius"])
        assert "certified to unbroken % at codes 1: " in repr(first)
    monkeypatch.setattr("tinyfuse.analyses.certificates.record.verdicts", None)
    assert api.certify(small_tflite, half_known, **asked).rows == first.rows
    assert (tmp_path / "results.jsonl").read_text().splitlines() == lines


def test_an_attack_that_breaks_a_certified_sample_is_an_error(small_tflite: Path, half_known: Dataset) -> None:
    found = api.certify(small_tflite, half_known, codes=1, samples=SAMPLES, modality="cam", steps=2)
    certified = found.rows[0]
    safe, budget = np.asarray(certified["each"]) > 0, certified["settings"]["budget"]
    count = int(safe.sum())
    assert count
    own = {name: certified[name] for name in ("model", "precision", "seed", "data_checksum", "executor")}
    attack = outcome(~safe, attacked=["cam"], epsilon=budget, inputs={"cam": 1.0, "mic": 1.0}, threat="codes", **own)
    assert broken_despite([certified], [attack]) == (count, count)
    assert broken_despite([certified], [attack | {"mask": "cam rows 0-3"}]) == (count, count)  # less than allowed
    for other in ({"budget": {"cam": 1.0}}, {"budget": {"mic": 0.0001}}, {"executor": "keras"}, {"norm": "l2"}):
        assert broken_despite([certified], [attack | other]) == (0, 0)
    (flag,) = [flag for flag in run_checks([*found.rows, attack]) if flag.code == "Ce"]
    assert flag.level == "E"
    assert f"{count} of {count}" in flag.text
    store = ResultStore()
    store.append(attack)
    with pytest.raises(GateError, match=rf"broke certified samples \({count} verdicts\)"):
        Certified(found.answers, store).check()


def test_a_bench_certifies_what_it_attacks_once(small_tflite: Path, small_file: Path, half_known: Dataset,
                                                tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = Matrix(certify=(0.01,), attack_samples=10, steps=1, threats=("codes",))
    run = Run(tmp_path, tmp_path, matrix, half_known, 0, ResultStore(tmp_path / "results.jsonl"))
    network = open_network(small_file, half_known)
    made = IntegerFile(read_recipe("w8"), small_tflite, {"sha256": "0" * 64})
    certify_all(run, [network], {"small": [made]})
    proofs = [row for row in run.store.rows("analysis") if is_certificate(row)]
    assert [(row["of"]["attacked"], row["n"]) for row in proofs] == [("cam", 10), ("mic", 10), ("all", 10)]
    lines = len(run.store)
    certify_all(run, [network], {"small": [made]})
    assert len(run.store) == lines
    safe = np.asarray(proofs[0]["each"]) > 0
    assert safe.any()
    run.store.append(outcome(~safe, attacked=["cam"], epsilon=0.01, inputs={"cam": 1.0, "mic": 1.0}, threat="codes",
                             model="small", precision="w8", executor="twin", data_checksum=half_known.checksum))
    with pytest.raises(GateError, match=r"verdicts of attacks on certified samples: broken \(check Ce;"):
        check_run(run.store, run_checks(run.store.rows()))

    def without_bounds(*arguments: object) -> None:
        raise ModelError("LSTM has no bounds")

    monkeypatch.setattr("tinyfuse.study.stages.certify.Certifier", without_bounds)
    certify_all(run, [network], {"small": [made]})
    assert [(row["stage"], row["reason"]) for row in run.store.rows("failed")] == [("certify", "LSTM has no bounds")]


@pytest.mark.parametrize(("asked", "words"), [
    ({"epsilon": {"cam": 1.0, "mic": 0.1}}, "covers all of its 256 codes"),
    ({"epsilon": {"cam": 0.1}}, "no budget for the attacked input mic"),
    ({"codes": {"lens": 3}}, "no input 'lens'"),
    ({"codes": 2, "seconds_per_sample": -1.0}, "-1 seconds for each sample; give a number such as 10"),
    ({"codes": 2, "norm": "l2", "radius": 4}, "radius counts codes, in L-inf, not in l2")])
def test_bad_budgets_are_one_line(small_tflite: Path, half_known: Dataset, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        api.certify(small_tflite, half_known, samples=4, **asked)


def test_labels_beyond_the_outputs_are_one_line() -> None:
    with pytest.raises(UsageError, match="labels from 0 to 3, but the model has 3 outputs"):
        check_labels(np.arange(4), 3)


def test_questions_keep_each_input_its_budget(small_twin: AnalysisSubject) -> None:
    grids = load_model_grids(small_twin)
    common = {"norm": "linf", "world": "codes", "mask": {}, "steps": 1, "largest": 0, "seconds": 0.0}
    found = questions_of(small_twin.inputs, grids, "", {"cam": 0.1, "mic": 0.02}, None, common, budget_of)
    assert [dict(one.budget) for one in found] == [{"cam": 0.1}, {"mic": 0.02}, {"cam": 0.1, "mic": 0.02}]
    with pytest.raises(UsageError, match="a mask for 'cam', which is not attacked"):
        questions_of(small_twin.inputs, grids, "mic", None, 3, common | {"mask": {"cam": np.ones(1)}}, budget_of)
    only = questions_of(small_twin.inputs, grids, "mic", None, 3, common, budget_of)
    assert [dict(one.budget) for one in only] == [{"mic": pytest.approx(3 * grids["mic"].scale)}]


def load_model_grids(subject: AnalysisSubject) -> Any:
    assert subject.twin is not None
    return subject.twin.model.grids


def test_the_command_refuses_what_is_no_integer_model(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["certify", str(small_file)]) == 2
    assert "give one that ends in .tflite" in capsys.readouterr().err


@pytest.fixture(scope="module")
def proofs(small_tflite: Path, half_known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proofs")
    api.certify(small_tflite, half_known, codes=1, samples=SAMPLES, steps=2, out=folder)
    return folder


@pytest.mark.skipif(not setups([CORES["m4"]]), reason="no compiler or emulator for m4")
def test_a_certificate_travels_and_the_core_withstands_its_attacks(
        small_tflite: Path, half_known: Dataset, proofs: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    folder = api.export(small_tflite, tmp_path / "out", dataset=half_known, certificate=proofs, vectors=2)
    path = folder / "metadata.json"
    table = json.loads(path.read_text())
    certificates = table["certificates"]
    assert [one["attacked"] for one in certificates] == [["cam"], ["mic"], ["cam", "mic"]]
    assert all(one["data_checksum"] == half_known.checksum and one["n"] == SAMPLES for one in certificates)
    assert "extras/certified.bin" in table["files"]
    count = sum(len(one["answers"]) for one in certificates)
    assert open_package(folder).certified is not None
    certificates[0]["answers"][0] = (certificates[0]["answers"][0] + 1) % 3
    path.write_text(json.dumps(table))
    assert cli.main(["verify", str(folder), "--core", "m4"]) == 4
    said = capsys.readouterr()
    assert f"m4: 1 of {count} attacked inputs of certified samples change the class" in said.out
    assert "trust no certificate" in said.err
    (folder / "extras" / "certified.bin").write_bytes(bytes(8))
    with pytest.raises(DataError, match=r"certified\.bin is not the one of metadata\.json"):
        open_package(folder)


def test_certificates_of_other_files_data_or_places_are_one_line(small_tflite: Path, half_known: Dataset, proofs: Path,
                                                                 tmp_path: Path) -> None:
    def refused(given: Path, words: str, model: Path = small_tflite, dataset: Dataset | None = half_known) -> None:
        with pytest.raises(UsageError, match=words):
            api.export(model, tmp_path / "out", dataset=dataset, certificate=given)
        assert not (tmp_path / "out").exists()

    edited = tmp_path / "small__w8.tflite"
    edited.write_bytes(small_tflite.read_bytes() + bytes(4))
    refused(proofs, "certifies small w8, but not this very file", edited)
    refused(proofs, "on other data than half", dataset=replace(half_known, checksum="1" * 64))
    refused(proofs, "give the data that it was made on", dataset=None)
    refused(tmp_path, "no such file; give what `tinyfuse certify --out` wrote")
    asked: dict[str, Any] = {"samples": SAMPLES, "modality": "cam", "steps": 1}
    mask = {"cam": np.eye(8)[:, :, None]}
    api.certify(small_tflite, half_known, codes=1, mask=mask, out=tmp_path / "masked", **asked)
    refused(tmp_path / "masked", "only against changes within a mask")
    row = ResultStore(proofs / "results.jsonl").rows("analysis", quantity="certified")[0]
    named = Named(row["model"], row["precision"], sha256_hex(small_tflite.read_bytes()), row["seed"],
                  row["data_checksum"])
    common = named.common(settings=row["settings"] | {"part": "validation"}, of=row["of"], n=row["n"])
    held = {**row, "settings": common["settings"], "key": row_key({**common, "quantity": "certified"})}
    ResultStore(tmp_path / "held.jsonl").append(held)
    refused(tmp_path / "held.jsonl", "on the validation part of half; give certificates of test samples")
    api.certify(small_tflite, half_known, codes=200, out=tmp_path / "nothing", **asked)
    refused(tmp_path / "nothing", "certifies not one sample")
