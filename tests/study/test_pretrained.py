"""The networks that come with the package: good, known by their data, taken only where training would repeat them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data import Dataset, load
from tinyfuse.nn.network import load_network
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.zoo import FUSIONS
from tinyfuse.study import pretrained
from tinyfuse.study.pretrained import FOLDER, config_for, table_for, take, trained_list

SETTINGS = {"batch_size": TrainConfig.batch_size, "learning_rate": TrainConfig.learning_rate, "seed": 0}


@pytest.fixture(scope="module")
def embedded() -> Dataset:
    return load()


def test_each_is_what_its_list_and_card_say() -> None:
    names = trained_list().sha256
    assert set(names) == {"image", "audio", *FUSIONS}
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, digest in names.items():
        assert sha256_hex((FOLDER / f"{name}.keras").read_bytes()) == digest
        assert f"| {name} |" in card


def test_they_are_known_by_the_embedded_data_and_good(embedded: Dataset) -> None:
    for name in trained_list().sha256:
        table = table_for(name, embedded)
        assert table is not None
        assert table["accuracy"]["test"] >= (0.99 if name in FUSIONS else 0.97)
    network = load_network(FOLDER / "early.keras")
    samples = embedded.test.balanced(100)
    assert np.mean(predict(network.model, samples).argmax(1) == samples.label) >= 0.98


def test_a_run_takes_them_and_says_so(embedded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_for("early", embedded, None, SETTINGS)
    take("early", embedded, config, tmp_path, retrain=False)
    assert "comes with the package" in capsys.readouterr().err
    for suffix in (".keras", ".toml"):
        assert (tmp_path / f"early{suffix}").read_bytes() == (FOLDER / f"early{suffix}").read_bytes()
    with pytest.raises(UsageError, match="give another output folder"):
        take("early", embedded, config, tmp_path, retrain=True)


@pytest.mark.parametrize("why", ["epochs", "seed", "--retrain", "tf_keras"])
def test_other_settings_or_versions_train(why: str, embedded: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    config = config_for("late", embedded, 7 if why == "epochs" else None, SETTINGS | {"seed": int(why == "seed")})
    if why == "tf_keras":
        other = replace(trained_list(), versions={"tf_keras": "1.0"})
        monkeypatch.setattr(pretrained, "trained_list", lambda folder=FOLDER: other)
    take("late", embedded, config, tmp_path, retrain=why == "--retrain")
    assert not list(tmp_path.iterdir())
    assert why in capsys.readouterr().err


def test_other_data_train_as_ever(tiny_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_for("early", tiny_dataset, None, SETTINGS).epochs == pretrained.EPOCHS
    take("early", tiny_dataset, TrainConfig(), tmp_path, retrain=False)
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err


def test_half_a_training_is_not_replaced(embedded: Dataset, tmp_path: Path) -> None:
    (tmp_path / "early.checkpoint.npz").write_bytes(b"")
    take("early", embedded, config_for("early", embedded, None, SETTINGS), tmp_path, retrain=False)
    assert not (tmp_path / "early.keras").exists()
