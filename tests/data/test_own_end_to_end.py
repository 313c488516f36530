"""Own data through the verbs, from a file on disk: the same networks and codes whether they fit into memory or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.cli import main as cli
from tinyfuse.data import load, stored
from tinyfuse.nn import zoo


def build(inputs: Mapping[str, Any], classes: int) -> Any:
    from tf_keras import layers

    x = layers.Conv2D(4, 3, strides=2, name="eye")(inputs["camera"])
    x = layers.Flatten()(layers.ReLU()(x))
    y = layers.ReLU()(layers.Dense(6, name="feel")(layers.Flatten()(inputs["imu"])))
    return layers.Dense(classes, name="head")(layers.Concatenate()([x, y]))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("own")
    rng, label = np.random.default_rng(0), np.arange(240) % 3
    camera = (rng.integers(0, 120, (240, 9, 9, 1)) + 60 * label[:, None, None, None]).astype(np.uint8)
    imu = rng.normal(size=(240, 6, 2)) + label[:, None, None]
    np.savez(folder / "own.npz", camera=camera, imu=imu, label=np.array(["still", "walk", "run"])[label],
             group=np.arange(240) // 6)
    (folder / "own.toml").write_text('[inputs.camera]\nkind = "picture"\nsize = [9, 9]\n')
    zoo.register("duo", build)
    yield folder
    del zoo.ZOO["duo"]


def run(*words: object) -> None:
    assert cli.main([*map(str, words)]) == 0, words


def test_train_convert_attack_from_memory_and_from_disk(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    made = {}
    for place, loaded_bytes in (("memory", stored.LARGEST_LOADED_BYTES), ("disk", 1000)):
        monkeypatch.setattr(stored, "LARGEST_LOADED_BYTES", loaded_bytes)
        out, data = tmp_path / place, ("--data", own / "own.npz", "--seed", 2)
        on_disk = isinstance(load(own / "own.npz", seed=2).train.inputs["imu"], stored.StoredRows)
        assert on_disk == (place == "disk")
        run("train", "duo", *data, "--out", out, "--epochs", 3, "--batch-size", 20)
        run("quantize", out / "duo.keras", *data, "--recipe", "camera6-imu9-shared8", "--calibration-samples", 40)
        capsys.readouterr()
        model = out / "duo__camera6-imu9-shared8.tflite"
        run("attack", model, *data, "--samples", 12, "--modality", "imu", "--epsilon", 0.4, "--steps", 2, "--json")
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        made[place] = [(out / "duo.keras").read_bytes(), model.read_bytes(),
                       [(row["kind"], row["executor"], row.get("correct")) for row in rows]]
    assert made["memory"] == made["disk"]


def test_data_with_another_seed_are_refused(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "duo", "--data", own / "own.npz", "--out", tmp_path, "--epochs", 1, "--batch-size", 20)
    network = tmp_path / "duo.keras"
    assert cli.main(["attack", str(network), "--data", str(own / "own.npz"), "--seed", "1", "--samples", "4"]) == 1
    assert "was trained on own with another split, seed or limit" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "code", "told"), [
    (("--data", "nowhere.npz"), 1, "nowhere.npz: no such file or folder"),
    (("--table", "x.toml"), 2, "embedded: no option 'table'"),
    (("--data", "{own}", "--spoken", "fsdd"), 2, "no option 'spoken'"),
    (("--data", "{own}", "--table", "x.toml"), 1, "x.toml: cannot be read")])
def test_wrong_data_are_said_in_one_line(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                         words: tuple[str, ...], code: int, told: str) -> None:
    filled = [word.format(own=own / "own.npz") for word in words]
    assert cli.main(["train", "duo", "--out", str(tmp_path / "out"), *filled]) == code
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_validate_knows_a_dataset_toml(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("validate", own / "own.toml")
    assert "data set, inputs camera (picture), all classes, ok" in capsys.readouterr().out
    for text, told in (('classes = ["a", "a"]', "each class a name of its own"), ("[split]\ntest = 2", "split"),
                       ("[inputs.mic]\nlow = 'x'", "inputs.mic"), ("[inputs]\nmic = 3", "is no table"),
                       ("inputs = 3", "a table for each"), ("split = 1\nclases = 2", "did you mean 'classes'")):
        (tmp_path / "dataset.toml").write_text(text)
        assert cli.main(["validate", str(tmp_path / "dataset.toml")]) != 0, text
        assert told in (said := capsys.readouterr().err) and said.count("\n") == 1
