"""The main job end to end: killed at any moment it loses nothing, repeats nothing and ends with the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm

from tinyfuse.checks.firmware_cost import MEASURED_ON
from tinyfuse.core.files import load_arrays
from tinyfuse.core.results import ResultStore
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.study.stages.examples import read_examples
from tinyfuse.study.worst_case import worst_case

MATRIX = """
models = ["image", "early"]
recipes = ["w6", "minmax5", "FINE"]
mixes = ["image9-audio6-shared8"]
executors = ["litert"]
transfer_from = ["float", "w6"]
epsilons = [0.02, 0.1]
steps = 2
attack_samples = 10
clean_samples = 20
raw_samples = 5
probe_samples = 4
parity_samples = 40
calibration_samples = 40
proof_samples = 2
epochs = 2
batch_size = 32
"""
FINE = """
name = "fine"

[weights]
image = 7
audio = 7
shared = 7

[[layers]]
pattern = "shared_block3_*"
bits = 5
"""
TIMED = ("seconds", "train_seconds")


def command(folder: Path, *jobs: str) -> list[str]:
    (folder.parent / "fine.toml").write_text(FINE)
    (folder.parent / "matrix.toml").write_text(MATRIX.replace("FINE", str(folder.parent / "fine.toml")))
    return ["bench", "--limit", "150", "--matrix", str(folder.parent / "matrix.toml"), "--out", str(folder), *jobs]


def finish(folder: Path, *jobs: str) -> str:
    done = warm.finish(command(folder, *jobs), folder.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows by key, without what depends on the clock."""
    rows = ResultStore(folder / "results.jsonl").rows()
    return {row["key"]: {name: value for name, value in row.items() if name not in TIMED} for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run but its page, which is drawn anew each time."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".html"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, finish(folder)  # interpreters in processes; what is killed below runs in one: the rows are the same


def killed_when(folder: Path, ready: Any) -> None:
    process = warm.start(command(folder, "--jobs", "1"), Path(os.devnull), Path(os.devnull))
    deadline = time.monotonic() + 300
    while process.is_alive() and time.monotonic() < deadline and not ready():
        time.sleep(0.02)
    process.kill()
    process.join()


def test_killed_in_training_in_conversion_and_in_attacks(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rows = folder / "results.jsonl"
    stages = [lambda: (folder / "models/early.checkpoint.npz").exists(),
              lambda: rows.exists() and b'"kind":"model"' in rows.read_bytes(),
              lambda: len(list((folder / "samples").glob("early__w6__standard-codes__*"))) >= 2]
    for ready in stages:
        killed_when(folder, ready)
        assert not (folder / "report/index.html").exists()
    before = rows.read_bytes()
    finish(folder, "--jobs", "1")
    after = rows.read_bytes()
    assert after.startswith(before[:before.rfind(b"\n") + 1])
    assert facts(folder) == facts(finished[0])


def test_a_second_run_adds_nothing(finished: tuple[Path, str]) -> None:
    """It sees that nothing is left to do, without data or TensorFlow; the page stays the one that is there."""
    page = finished[0] / "report/index.html"
    before, written = contents(finished[0]), page.stat().st_mtime_ns
    again = subprocess.run([sys.executable, "-m", "tinyfuse.bench", *command(finished[0])[1:]], capture_output=True,
                           text=True, check=True)
    assert f"nothing is left to do in {finished[0]}" in again.stderr.replace("\n", "")
    assert (contents(finished[0]), page.stat().st_mtime_ns, again.stdout) == (before, written, finished[1])


def test_what_a_run_leaves(finished: tuple[Path, str]) -> None:
    folder, table = finished
    for name in ("results.jsonl", "summary.csv", "run.json", "report/index.html", "models/early.keras",
                 "models/early.toml", "models/image__w6.tflite", "models/image__w6.toml",
                 "models/early__image9-audio6-shared8.tflite"):
        assert (folder / name).stat().st_size > 0, name
    assert [path.name for path in folder.rglob(".*")] == [".lock"]
    assert "image9-audio6-shared8" in table
    run = json.loads((folder / "run.json").read_text())
    assert run["finished"]
    assert 100 < run["peak_memory_mib"] < 4096
    assert "embedded, official split" in run["data"]


def test_the_rows_say_the_whole_matrix(finished: tuple[Path, str]) -> None:
    rows = list(facts(finished[0]).values())
    attacks = [row for row in rows if row["kind"] == "attack"]
    unions = [row for row in attacks if row["criterion"] == "union"]
    # 2 budgets x (1 mode x (float, minmax5, w6 in G and in R) + 3 modes x (float, minmax5, 3 recipes in G and in R))
    assert len(unions) == 2 * (1 * (2 + 2) + 3 * (2 + 2 * 3))
    assert {(row["executor"], row["threat"]) for row in unions} == {("keras", "real"), ("twin", "codes"),
                                                                    ("twin", "real")}
    assert all(row["source"] == row["precision"] for row in unions)
    full = [row for row in attacks if row["profile"] == "raw" and row["criterion"] == "last-iterate"]
    assert {(row["attack"]["name"], row["attack"].get("steps"), row["n"]) for row in full} == {
        ("fgsm", None, 5), ("pgd", 2, 5)}
    replayed = [row for row in attacks if row["criterion"] == "replayed"]
    ways = {(row["source"], row["executor"]) for row in replayed}
    assert ways >= {("float", "twin"), ("w6", "keras"), ("w6", "twin")}
    simulated = [row for row in attacks if row["precision"] == "minmax5"]
    assert {row["executor"] for row in simulated} == {"keras"}
    assert {row["source"] for row in simulated} == {"minmax5"}
    assert {row["n"] for row in rows if row["kind"] == "clean" and row["executor"] == "twin"} == {10, 20}


def test_every_integer_model_is_checked_against_tflite_micro(finished: tuple[Path, str]) -> None:
    rows = [row for row in facts(finished[0]).values() if row["kind"] == "parity"]
    assert {(row["model"], row["precision"]) for row in rows} == {
        ("image", "w6"), ("early", "w6"), ("early", "fine"), ("early", "image9-audio6-shared8")}
    assert all((row["a"], row["b"], row["differing"]) == ("twin", "tflm", 0) for row in rows)
    assert all(row["values"] == 10 * row["samples"] for row in rows)
    for model, precision in {(row["model"], row["precision"]) for row in rows}:
        mine = {row["where"]: row["samples"] for row in rows if (row["model"], row["precision"]) == (model, precision)}
        assert sum(mine.values()) == 40 and mine["adversarial"] > 0


def test_the_firmware_of_every_integer_model_is_measured(finished: tuple[Path, str]) -> None:
    """On each core that can be emulated here; the codes are TFLite Micro's, and the table has the columns."""
    tools = setups([CORES[name] for name in MEASURED_ON])
    rows = [row for row in facts(finished[0]).values() if row["kind"] == "firmware"]
    models = {("image", "w6"), ("early", "w6"), ("early", "fine"), ("early", "image9-audio6-shared8")}
    assert {(row["model"], row["precision"], row["core"]) for row in rows} == {
        (*model, core) for model in models for core in tools}
    assert all((row["samples"], row["values"], row["differing"]) == (3, 30, 0) for row in rows)
    assert all(f"{core.upper()}" in finished[1] for core in tools) and ("Minstr" in finished[1]) == bool(tools)


def test_saved_codes_give_the_verdicts_of_the_rows_again(finished: tuple[Path, str]) -> None:
    """What is on disk is what broke the model: judged again by TFLite Micro from the codes alone."""
    (path,) = finished[0].glob("samples/early__w6__standard-codes__all__0.1__*.npz")
    held = load_arrays(path)
    clean = load_arrays(next(finished[0].glob("samples/clean__10__*.npz")))
    model = load_model(finished[0] / "models/early__w6.tflite")
    codes = {name: held[name] for name in ("image", "audio")}
    start = {name: grid.quantise(clean[name])[held["rows"]] for name, grid in model.grids.items()}
    for name, grid in model.grids.items():
        assert np.abs(codes[name].astype(int) - start[name]).max(initial=0) <= grid.budget(0.1)
    wrong = open_executor(model, "tflm").run(codes).argmax(1) != clean["label"][held["rows"]]
    assert np.array_equal(wrong, held["broken"][held["rows"]])


def test_a_recipe_that_does_not_fit_a_network_is_a_row_with_its_reason(finished: tuple[Path, str]) -> None:
    (failed,) = (row for row in facts(finished[0]).values() if row["kind"] == "failed")
    assert (failed["model"], failed["precision"], failed["stage"]) == ("image", "fine", "convert")
    assert "no layer matches 'shared_block3_*'" in failed["reason"]
    assert failed["reason"].split(";")[0] in (finished[0] / "report/index.html").read_text().replace("&#39;", "'")


def test_worst_case_falls_with_the_budget_and_with_the_inputs(finished: tuple[Path, str]) -> None:
    rows = ResultStore(finished[0] / "results.jsonl").rows()
    for precision, executor in (("float", "keras"), ("w6", "twin")):
        curves = {mode: worst_case(rows, "early", precision, executor, mode) for mode in ("image", "audio", "all")}
        for curve in curves.values():
            assert [point.epsilon for point in curve] == [0.02, 0.1]
            assert curve[0].accuracy.value >= curve[1].accuracy.value
        for both, image, audio in zip(curves["all"], curves["image"], curves["audio"], strict=True):
            assert both.accuracy.value <= min(image.accuracy.value, audio.accuracy.value)


def test_another_seed_in_the_same_folder_is_refused(finished: tuple[Path, str]) -> None:
    before = contents(finished[0])
    done = warm.finish([*command(finished[0]), "--seed", "1"], finished[0].parent)
    assert done.returncode == 2
    assert "give another output folder" in done.stderr.replace("\n", " ")
    assert contents(finished[0]) == before


def test_what_an_attack_looks_like_is_kept(finished: tuple[Path, str]) -> None:
    """One sample for each input that both get right; TFLite Micro gives the verdict on the integers again."""
    examples = read_examples(finished[0])
    assert [one.facts.input.name for one in examples] == ["image", "audio"]
    model = load_model(finished[0] / f"models/early__{examples[0].facts.precision}.tflite")
    for one in examples:
        facts = one.facts
        assert facts.n == 10 and 0 < np.abs(one.attacked - one.clean).max() <= facts.epsilon + 1e-6
        assert {found["clean"].answer for found in facts.verdicts.values()} == {facts.label}
        clean = load_arrays(next(finished[0].glob("samples/clean__10__*.npz")))
        name = facts.input.name
        row = next(row for row in range(10) if np.array_equal(clean[name][row], one.clean))
        batch = {each: clean[each][row:row + 1] for each in model.grids}
        found = open_executor(model, "tflm").run(model.codes_of(batch | {name: one.attacked[None]}))
        assert str(found.argmax(1)[0]) == facts.verdicts["integer"]["attacked"].answer
