"""A model is written with its proof, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, ModelError, TinyfuseError
from tinyfuse.data import Dataset
from tinyfuse.nn.train import predict
from tinyfuse.nn.train_or_load import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import from_table, precision
from tinyfuse.study.publish import prove, publish
from tinyfuse.study.stages.convert_stage import publish_proven

Lively = Callable[[str], tuple[Any, Baseline]]


def test_the_file_travels_with_recipe_proof_and_provenance(lively: Lively, tiny_dataset: Dataset,
                                                           tmp_path: Path) -> None:
    model, base = lively("late")
    conversion = convert(base, precision("image6-audio8-shared8"))
    pairs = tiny_dataset.test.balanced(6, seed=0)
    proof = prove(conversion, pairs, predict(model, pairs))
    path = publish(conversion, proof, tmp_path, {"data": {"name": "tiny"}})
    table = toml.read(path.with_suffix(".toml"), TinyfuseError)
    assert path.name == "late__image6-audio8-shared8.tflite"
    assert from_table(table["precision"], "table") == conversion.precision
    assert table["data"] == {"name": "tiny"}
    assert table["stored_bytes"] == path.stat().st_size
    assert table["proof"]["samples"] == 6
    assert 0 < table["proof"]["max_abs_difference"] < 1
    assert set(table["proof"]["differing_codes"]) == {"twin", "litert", "litert-reference"}
    assert table["proof"]["differing_codes"]["twin"] == 0
    assert [layer["name"] for layer in table["layers"]] == [layer.name for layer in conversion.layers]


@pytest.mark.parametrize("fault", ["codes", "bytes", "logits"])
def test_what_fails_its_proof_is_not_published(fault: str, lively: Lively, tiny_dataset: Dataset,
                                               tmp_path: Path) -> None:
    model, base = lively("image")
    conversion, pairs = convert(base, precision("w6")), tiny_dataset.test.balanced(3, seed=0)
    if fault == "codes":
        conversion = replace(conversion, data=convert(base, precision("w7")).data)
    elif fault == "bytes":
        conversion = replace(conversion, data=conversion.data[:2000])
    else:
        from tf_keras import Model

        model = Model(model.input, model.get_layer("image_flatten").output)
    network = Network("image", model, tmp_path / "image.keras", {"sha256": "0"})
    with pytest.raises((ConversionError, ModelError)):
        publish_proven(conversion, network, pairs, tmp_path, calibration_pairs=40)
    assert not list(tmp_path.iterdir())
