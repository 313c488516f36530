"""Attacks on recordings from the command line and Python: rows, what judges them, smallest budgets and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tinyfuse
from tinyfuse.attacks import misclassified
from tinyfuse.attacks.wave.scene import spent
from tinyfuse.cli import main as cli
from tinyfuse.core import toml
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import load_arrays
from tinyfuse.core.results import ResultStore, validate
from tinyfuse.core.statistics import accuracy_fields
from tinyfuse.data import Axis, Dataset, Input, Samples, register_source
from tinyfuse.data.sources import SOURCES
from tinyfuse.frontend.device_sound import Grid, sound_codes
from tinyfuse.frontend.fixed_sound import fixed_tables
from tinyfuse.frontend.normalisation import apply, fit, read_normalisation
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.spectrum import LogMel
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn import zoo
from tinyfuse.study import saved_waves
from tinyfuse.study.check_attack import BEFORE
from tinyfuse.study.frame_attack import open_eye
from tinyfuse.study.microphones import integer_table_of as read_table
from tinyfuse.study.microphones import listening
from tinyfuse.study.row_text import findings
from tinyfuse.study.saved_waves import read_waves
from tinyfuse.study.wave_minimal import ladder
from tinyfuse.threats.wave_budgets import WaveBudget

EAR = LogMel(rate=8000, length=800, window=200, hop=100, bands=8, fft=200, normalise="unit", amin=1e-6)
EYE = Picture(size=(6, 6), crop="stretch")
TONES = (500.0, 1500.0, 3000.0)


def recordings(count: int, seed: int) -> list[np.ndarray]:
    """Tones in noise, int16, whose pitch is their class; none is as long as another."""
    rng = np.random.default_rng(seed)
    clips = []
    for place in range(count):
        time = np.arange(int(rng.integers(700, 900))) / 8000
        sound = 0.1 * np.sin(2 * np.pi * TONES[place % 3] * time) + 0.03 * rng.standard_normal(len(time))
        clips.append(np.round(sound * 32768).astype(np.int16))
    return clips


def heard(seed: int = 0, limit: int | None = None) -> Dataset:
    """Tones, a picture whose brightest column is its class, and a thermometer that knows nothing."""
    del limit
    clips = {part: recordings(30, seed + place) for place, part in enumerate(("train", "validation", "test"))}
    values = {part: np.stack([EAR.features(clip) for clip in some]) for part, some in clips.items()}
    fitted = fit(EAR, values["train"])
    table = {"mic": {"mean": fitted.mean, "std": fitted.std, "low": fitted.low, "high": fitted.high}}
    eyes = [np.random.default_rng(seed + 50 + place).uniform(0, 0.6, (30, 6, 6, 1)) for place in range(3)]
    for pictures in eyes:
        pictures[np.arange(30), :, 2 * (np.arange(30) % 3)] += 0.35
    parts = [Samples({"eye": (np.round(eyes[place] * 255) / 255).astype(np.float32),
                      "heat": np.full((30, 2), 0.5, np.float32), "mic": apply(EAR, fitted, values[part])},
                     np.arange(30) % 3, np.arange(30) + 100 * place) for place, part in enumerate(clips)]
    inputs = (Input("eye", (6, 6, 1)), Input("heat", (2,)),
              Input("mic", EAR.shape, axes={name: Axis(*pair) for name, pair in EAR.axes.items()}))
    return Dataset("tones", inputs, ("low", "mid", "high"), parts[0], parts[1], parts[2], checksum="7" * 64, seed=seed,
                   fitted={name: {key: list(one) if isinstance(one, tuple) else one for key, one in own.items()}
                           for name, own in table.items()},
                   front_ends={"mic": EAR.table(), "eye": EYE.table()},
                   recording=lambda name, part, row: (clips[part][row].astype(np.float32) / 32768, 8000)
                   if name == "mic" else None)


def build(inputs: Mapping[str, Any], classes: int) -> Any:
    from tf_keras import layers

    flat = layers.Concatenate(name="both")([layers.Flatten(name="flat")(inputs["mic"]), inputs["heat"],
                                            layers.Flatten(name="seen")(inputs["eye"])])
    return layers.Dense(classes, name="head")(layers.Dense(12, activation="relu", name="hidden")(flat))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A listener in 8 bits, its float network beside it; "tones" is its data on the command line."""
    register_source("tones", lambda source, *, seed=0, limit=None: heard(seed, limit))
    zoo.register("listener", build)
    network = tinyfuse.train("listener", heard(), out=tmp_path_factory.mktemp("wave"), epochs=25, batch_size=10,
                             learning_rate=0.01)
    yield tinyfuse.convert(network, "w8", heard(), calibration_samples=20)
    del SOURCES["tones"], zoo.ZOO["listener"]


def test_waves_are_rows_that_the_deployed_chain_judged(model: Path) -> None:
    """The rows' verdict is TFLite Micro's on the codes that C makes of the saved 16-bit samples, all within budget."""
    found = tinyfuse.attack_wave(model, heard(), epsilon={"mic": "15dB"}, samples=15, steps=5)
    assert all(validate(row) for row in found.rows)
    row = next(row for row in found.rows if row["kind"] == "attack" and row["executor"] == "tflm")
    assert (row["threat"], row["norm"], row["attacked"]) == ("wave", "snr", ["mic"])
    assert row["budget"]["mic"] == pytest.approx(10 ** (-15 / 20)) and "snr 15 dB, any-iterate, wave" in repr(found)
    made, integers = found.made, load_model(model)
    codes = {port.name: made[port.name] for port in integers.inputs}
    wrong = misclassified(open_executor(integers, "tflm").run(codes), made["label"])
    assert np.array_equal(wrong, made["broken"]) and wrong.any() and row["correct"] == int(np.sum(~wrong))
    clean = next(row for row in found.rows if row["kind"] == "clean" and row["executor"] == "tflm")
    assert clean["correct"] > row["correct"]
    for pair in zip(made["clean_wave_mic"], made["wave_mic"], strict=True):
        assert spent("snr", *pair, 8000) <= row["budget"]["mic"] * (1 + 1e-9)


def test_saved_waves_are_played_by_the_report_alone_and_in_a_run(model: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """The WAV files are the very samples that were judged; a run folder shows them beside its own figures."""
    words = ["--data", "tones", "--threat", "wave", "--epsilon", "15dB", "--samples", "9", "--steps", "3"]
    assert cli.main(["attack", str(model), *words, "--out", str(tmp_path), "--save", str(tmp_path / "a.npz")]) == 0
    assert cli.main(["attack", str(model), *words, "--out", str(tmp_path)]) == 0  # adds nothing
    rows, made = ResultStore(tmp_path / "results.jsonl").rows(), load_arrays(tmp_path / "a.npz")
    assert sum(row["kind"] == "attack" for row in rows) == 2 and {row["threat"] for row in rows if "threat" in row} == {
        "wave"}
    first = read_waves(tmp_path)[0]
    assert first.before == first.label != first.after and first.ratio is not None and first.ratio >= 15
    samples, rate = soundfile.read(tmp_path / "waves" / first.attacked_file, dtype="int16")
    assert rate == 8000 and any(np.array_equal(samples, wave[:len(samples)]) for wave in made["wave_mic"])
    assert cli.main(["attack", str(model), "--data", "tones", "--threat", "frame", "--epsilon", "9deg", "--samples",
                     "6", "--out", str(tmp_path)]) == 0
    assert cli.main(["report", str(tmp_path)]) == 0
    page = Path(capsys.readouterr().out.split()[-1]).read_text()
    assert page.count("<audio controls") == 2 * len(read_waves(tmp_path)) and "snr 15 dB" in page
    assert "rotation 9 deg" in page
    clean = {**next(row for row in rows if row["kind"] == "clean"), "threat": "", "key": "0" * 16}
    ResultStore(tmp_path / "results.jsonl").append(clean)
    assert cli.main(["report", str(tmp_path)]) == 0
    assert "snr 15 dB" in Path(capsys.readouterr().out.split()[-1]).read_text()
    monkeypatch.setattr(saved_waves, "LONGEST", 650)
    assert cli.main(["attack", str(model), *words, "--epsilon", "16dB", "--out", str(tmp_path / "long")]) == 0
    assert (tmp_path / "long" / "waves").is_dir() and not read_waves(tmp_path / "long")
    (tmp_path / "waves" / "x.json").write_text('[{"clean_file": "../../a.wav"}]')
    assert cli.main(["report", str(tmp_path)]) == 1 and "x.json" in capsys.readouterr().err


def test_checks_know_which_of_two_ratios_allows_more(model: Path) -> None:
    """20 dB allows more than 40 dB, so a sample that only 40 dB broke is a fault."""
    found = tinyfuse.attack_wave(model, heard(), epsilon="20dB", samples=9, steps=2, executors=())
    weak = next(row for row in found.rows if row["kind"] == "attack")
    none, every = (accuracy_fields(np.full(9, right)) for right in (False, True))
    strong = {**weak, **every, "key": "1" * 16}
    rows = [*found.evidence[:1], {**weak, **none, "budget": {"mic": 0.01}}, strong]
    assert "M" in {flag.code for flag in findings(rows)}
    assert "M" not in {flag.code for flag in findings([rows[0], {**rows[1], **every}, {**strong, **none}])}


@pytest.mark.parametrize("norm", ["snr", "pcm"])
def test_smallest_changes_break_their_recordings_and_smaller_ones_were_not_seen_to(model: Path, norm: str) -> None:
    found = tinyfuse.minimal_wave(model.with_name("listener.keras"), heard(), norm=norm, samples=9, steps=5,
                                  largest={"snr": 0, "pcm": 3000}[norm])
    assert np.isfinite(found.sizes[found.sizes > 0]).all()
    clips, rows = recordings(30, 2), heard().test.balanced_rows(9, seed=0)
    for row, changed, size in zip(rows, found.made, found.sizes, strict=True):
        assert spent(norm, clips[row], changed, 8000) == pytest.approx(size)
    said = found.to_json()
    assert said["samples"] + said["wrong_when_clean"] == 9
    assert said["median"].endswith({"snr": "dB", "pcm": "steps"}[norm])
    rungs = ladder(WaveBudget(norm, 12))
    assert rungs[-1].amount == 12 and all(a.size < b.size for a, b in pairwise(rungs))


def test_one_change_for_all_recordings_is_judged_through_air_that_it_did_not_see(model: Path) -> None:
    found = tinyfuse.attack_wave(model, heard(), attack="universal", epsilon="5dB", samples=12, train_samples=18,
                                 epochs=3, air="shift=5,delay=5,room=0.05,draws=2")
    rows = [row for row in found.rows if row["kind"] == "attack"]
    assert {row["criterion"] for row in rows} == {"replayed"} and {row["executor"] for row in rows} == {"twin", "tflm"}
    assert all(row["attack"]["air"] == "shift=5,delay=5,room=0.05,draws=2" for row in found.rows)
    note, change = found.notes[rows[0]["key"]], (found.made["wave_mic"] - found.made["clean_wave_mic"]).astype(float)
    assert note["universal"]["train_samples"] == 18 and 0 <= note["wave"]["right"] <= note["wave"]["clean_right"] <= 1
    assert "through air shift=5" in repr(found) and "one perturbation made on 18" in repr(found)
    assert "training samples stay correct; changes are 5." in repr(found) and "% of all conditions" in repr(found)
    flat = change[:, 100:600] / np.linalg.norm(change[:, 100:600], axis=1, keepdims=True)
    assert (flat @ flat.T).min() > 0.95  # the same wave for all, as loud as each allows


def test_the_command_line_attacks_waves_of_both(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", "tones", "--threat", "wave", "--samples", "9"]
    assert cli.main(["attack", str(model), *common, "--attack", "fgsm", "--epsilon", "900steps", "--json",
                     "--source", str(model.with_name("listener.keras"))]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["source"] for row in rows if row["kind"] == "attack"} == {"float"}
    assert {row["criterion"] for row in rows} == {"clean", "replayed"} and rows[-1]["wave"]["budget"] == "900 steps"
    assert cli.main(["attack", str(model), *common, "--minimal", "--steps", "3", "--norm", "pcm"]) == 0
    assert "median smallest change pcm" in capsys.readouterr().out


@pytest.mark.parametrize(("budget", "camera"), [("60levels", (9, 14)), ("5px", (12, 12)), ("60deg", (12, 12)),
                                                ("90%", None)])
def test_frames_are_attacked_before_the_resize_and_judged_behind_it(model: Path, budget: str,
                                                                    camera: tuple[int, int] | None) -> None:
    """The rows' verdict is TFLite Micro's on the codes that C makes of the saved frames, all within budget."""
    steps: dict[str, Any] = {"steps": 5} if budget.endswith(("levels", "px")) else {}
    found = tinyfuse.attack_frame(model, heard(), epsilon={"eye": budget}, camera=camera, samples=12, **steps)
    row = next(row for row in found.rows if row["kind"] == "attack" and row["executor"] == "tflm")
    made, integers = found.made, load_model(model)
    wrong = misclassified(open_executor(integers, "tflm").run({one.name: made[one.name] for one in integers.inputs}),
                          made["label"])
    assert np.array_equal(wrong, made["broken"]) and row["threat"] == "frame" and all(map(validate, found.rows))
    change = np.abs(made["frame_eye"].astype(int) - made["clean_frame_eye"])
    assert made["frame_eye"].shape[1:3] == (camera or (6, 6)) and change.any()
    if budget == "60levels":
        assert change.max() == 60 and "pixels 60 levels, any-iterate, frame" in repr(found)
    if budget == "5px":
        assert (change.max(axis=(2, 3)) > 0).sum(axis=1).max() <= 5 and change.max() > 60


@pytest.mark.parametrize("frame", ["60levels", "6px"])
def test_recording_and_frame_are_attacked_at_once_each_within_its_own_budget(model: Path, frame: str) -> None:
    """The verdict is TFLite Micro's on the codes that C makes of the saved samples and frames; two break more than one.

    The device's front end is the fixed-point one here.
    """
    budget = {"mic": "15dB", "eye": frame}
    found = tinyfuse.attack_scene(model, heard(), epsilon=budget, samples=15, steps=5, camera=(9, 14),
                                  frontend="fixed")
    assert all(map(validate, found.rows)) and "snr+" in repr(found) and "15 dB of mic and " in repr(found)
    row = next(row for row in found.rows if row["kind"] == "attack" and row["executor"] == "tflm")
    assert (row["threat"], row["norm"]) == ("wave,frame", "snr+patch" if frame == "6px" else "snr+pixels")
    assert row["attack"]["frontend"] == "fixed" and row["attacked"] == ["mic", "eye"]
    made, integers, table = found.made, load_model(model), read_table(model)
    clips = [clip[:count] for clip, count in zip(made["wave_mic"], made["samples_mic"], strict=True)]
    port = {one.name: one for one in integers.inputs}
    grid = Grid(port["mic"].scale, port["mic"].zero_point, port["mic"].grid.low, port["mic"].grid.high)
    heard_codes = sound_codes(fixed_tables(EAR, read_normalisation(EAR, table["fitted"]["mic"], "mic"), grid), clips)
    assert np.array_equal(made["mic"].reshape(heard_codes.shape), heard_codes)
    codes = {name: made[name] for name in port}
    wrong = misclassified(open_executor(integers, "tflm").run(codes), made["label"])
    assert np.array_equal(wrong, made["broken"]) and row["correct"] == int(np.sum(~wrong))
    change = np.abs(made["frame_eye"].astype(int) - made["clean_frame_eye"])
    assert change.max() == 60 if frame == "60levels" else (change.max(axis=(2, 3)) > 0).sum(axis=1).max() <= 6
    for pair in zip(made["clean_wave_mic"], made["wave_mic"], strict=True):
        assert 0 < spent("snr", *pair, 8000) <= row["budget"]["mic"] * (1 + 1e-9)
    for name, one in (("mic", tinyfuse.attack_wave), ("eye", tinyfuse.attack_frame)):
        alone = one(model, heard(), epsilon=budget[name], samples=15, steps=5, executors=(),
                    **({"frontend": "fixed"} if name == "mic" else {"camera": (9, 14)}))
        assert wrong.sum() > alone.made["broken"].sum()


def test_a_matrix_attacks_before_the_front_end_too(model: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    """Each scene is rows of the float network and of the integers, once; the page of the run shows them."""
    scenes = ["mic=15dB", "eye=60levels", "mic=15dB,eye=60levels"]
    (tmp_path / "m.toml").write_text(toml.dumps({
        "models": [str(model.with_name("listener.keras"))], "recipes": ["w8"], "mixes": [], "threats": ["codes"],
        "epsilons": [0.1], "steps": 2, "attack_samples": 6, "clean_samples": 6, "parity_samples": 4,
        "transfer_from": [], "scenes": scenes, "scene_samples": 6, "frontend": "fixed"}))
    run = ["bench", "--data", "tones", "--matrix", str(tmp_path / "m.toml"), "--out", str(tmp_path / "run")]
    assert cli.main(run) == 0
    rows = ResultStore(tmp_path / "run" / "results.jsonl").rows("attack")
    found = sorted((row["threat"], row["executor"], row["attack"].get("frontend", "")) for row in rows
                   if "v" in row["threat"] or "f" in row["threat"])
    assert found == sorted((threat, executor, "fixed" if where and "wave" in threat else "")
                           for threat in ("wave", "frame", "wave,frame")
                           for executor, where in (("keras", 0), ("twin", 1), ("tflm", 1)))
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "snr 15 dB and pixels 60 levels" in page and "Attacks before the front end" in page
    text, kept = (tmp_path / "m.toml").read_text(), tmp_path / "run" / "results.jsonl"
    (tmp_path / "m.toml").write_text(text.replace("clean_samples = 6", "clean_samples = 7"))
    lines = kept.read_text().splitlines(keepends=True)  # of a run that was killed before TFLite Micro had judged
    kept.write_text("".join(line for line in lines if not {row["key"] for row in rows if row["executor"] == "tflm"
                                                           and row["threat"] in BEFORE} & {json.loads(line)["key"]}))
    assert cli.main(run) == 0
    again = ResultStore(kept).rows("attack")
    assert {row["key"]: row["survivors"] for row in again} == {row["key"]: row["survivors"] for row in rows}
    (tmp_path / "m.toml").write_text('scenes = ["audio=40dB"]\nmodels = ["early"]')
    assert cli.main(["bench", "--matrix", str(tmp_path / "m.toml"), "--out", str(tmp_path / "none")]) == 1
    assert "no recordings behind the input 'audio'" in capsys.readouterr().err.replace("\n", " ")


def test_smallest_changes_of_frames_break_them(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tinyfuse.minimal_frame(model, heard(), samples=9, steps=5)
    samples, clean = heard().test.balanced(9, seed=0), found.sizes == 0
    assert np.isfinite(found.sizes).all() and found.to_json()["wrong_when_clean"] == clean.sum()
    eye, _ = open_eye(model, heard(), "all", None)
    frames, made = eye.camera.frames_of(samples.inputs["eye"]), np.stack(found.made)
    others = {name: samples.inputs[name] for name in ("heat", "mic")}
    assert misclassified(eye.output(eye.inputs(made, others)), samples.label).all()
    assert np.array_equal(np.abs(made.astype(int) - frames).max(axis=(1, 2, 3)), found.sizes)
    assert cli.main(["attack", str(model), "--data", "tones", "--threat", "frame", "--minimal", "--norm", "rotation",
                     "--samples", "3"]) == 0
    assert "grid on the frame of eye: median smallest change rotation" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (["--epsilon", "mic=40dB"], "give --threat wave, frame or wave,frame, or a number"),
    (["--threat", "wave", "--codes", "2"], "--codes has no effect with --threat wave: it is about inputs behind"),
    (["--threat", "wave", "--epsilon", "mic=40"], "a budget of 40 without a unit; give 40dB (below the recording)"),
    (["--threat", "frame", "--epsilon", "8"], "a budget of 8 without a unit; give 8levels or 8px"),
    (["--threat", "wave,frame"], "give a budget of each, such as mic=40dB,camera=8levels"),
    (["--threat", "wave,frame", "--epsilon", "mic=40dB"], "without a budget of the frame"),
    (["--threat", "wave,frame", "--epsilon", "mic=40dB,eye=8"], "'8' is no budget of a recording or a frame"),
    (["--threat", "wave,frame", "--epsilon", "mic=40dB,heat=8steps"], "two budgets of a wave, 40dB and 8steps"),
    (["--threat", "wave,frame", "--epsilon", "mic=40dB,eye=5deg"], "not along a gradient beside a recording's"),
    (["--threat", "wave,frame", "--epsilon", "eye=40dB,mic=5px"], "'eye' is of kind picture, which hears nothing"),
    (["--threat", "wave,frame", "--epsilon", "40dB,5px", "--modality", "mic"], "--modality has no effect"),
    (["--threat", "wave,frame", "--epsilon", "40dB,5px", "--minimal"], "--minimal has no effect"),
    (["--threat", "wave,frame", "--epsilon", "40dB,5px", "--attack", "universal"], "of one wave for two sensors"),
    (["--threat", "frame", "--frontend", "fixed"], "--frontend has no effect with --threat frame"),
    (["--frontend", "fixed"], "--frontend has no effect without --threat wave"),
    (["--threat", "frame", "--minimal", "--out", "a"], "--out has no effect with --minimal"),
    (["--threat", "wave", "--epsilon", "mik=40dB"], "did you mean 'mic'"),
    (["--threat", "wave", "--modality", "heat"], "name one of mic with --modality, not 'heat'"),
    (["--threat", "frame", "--modality", "mic"], "name one of eye with --modality, not 'mic'"),
    (["--threat", "frame", "--camera", "big"], "give width and height"),
    (["--camera", "9x9"], "without --threat frame"),
    (["--threat", "frame", "--epsilon", "eye=20px", "--norm", "rotation"], "which counts deg"),
    (["--threat", "frame", "--air", "shift=1"], "no effect with --threat frame"),
    (["--threat", "frame", "--epsilon", "eye=1.5levels"], "give a whole number from 0 to 255"),
    (["--threat", "wave", "--norm", "linf"], "use one of snr, pcm, masking"),
    (["--threat", "wave", "--minimal", "--save", "a.npz"], "--save has no effect with --minimal"),
    (["--threat", "wave", "--attack", "diva"], "works on inputs, not on what is before"),
    (["--out", "x"], "--out has no effect without --threat wave or frame"),
    (["--threat", "wave", "--air", "room=9"], "air: room is 9; give 0 to 2"),
    (["--threat", "wave", "--air", "wind=9"], "give NAME=NUMBER of shift, delay, room"),
    (["--threat", "wave", "--air", "shift=3,draws=1.5"], "give draws once, as a whole number"),
    (["--threat", "wave", "--air", "shift=3,shift=4"], "give shift once"),
    (["--threat", "wave", "--epsilon", "mic=40dB", "--modality", "heat"], "name the same input, or leave out one"),
    (["--threat", "frame", "--epsilon", "eye=8levels", "--modality", "mic"], "name the same input, or leave out one"),
    (["--threat", "wave", "--attack", "square"], "does not keep to snr, which bounds changes in l2"),
    (["--threat", "frame", "--attack", "fgm"], "does not keep to pixels, which bounds changes in linf"),
    (["--threat", "frame", "--attack", "universal"], "universal is not made for frames"),
    (["--threat", "frame", "--epsilon", "5deg", "--steps", "3"], "on a grid of amounts, whatever the attack is"),
    (["--threat", "frame", "--epsilon", "5%", "--attack", "fgsm"], "leave out attack"),
    (["--threat", "wave", "--minimal", "--output", "x"], "--output has no effect with --minimal"),
])
def test_what_does_not_go_together_is_one_line(model: Path, capsys: pytest.CaptureFixture[str], words: list[str],
                                               said: str) -> None:
    assert cli.main(["attack", str(model), "--data", "tones", *words]) != 0
    error = capsys.readouterr().err.replace("\n", " ")
    assert said in error, error


def test_models_and_data_that_no_wave_reaches_are_one_line(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no front end is recorded beside it"):
        listening({}, "all", "foreign.tflite")
    with pytest.raises(UsageError, match="of kind picture, which hears nothing"):
        listening({"front_ends": {"eye": {"kind": "picture"}}}, "eye", "m.tflite")
    kept = tmp_path / "kept"
    with pytest.raises(UsageError, match="a patch of 20 px in frames of 6x6; give 1px to 6px"):
        tinyfuse.attack_frame(model, heard(), epsilon="20px", samples=4, executors=(), out=kept)
    assert not len(ResultStore(kept / "results.jsonl"))
    with pytest.raises(DataError, match="no recordings behind the input 'mic'"):
        tinyfuse.attack_wave(model, replace(heard(), recording=None), samples=4, executors=())
