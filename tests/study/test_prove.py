"""A model is written with its proof, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, ModelError, TinyfuseError
from tinyfuse.core.strict import encode
from tinyfuse.data import Dataset
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import from_table, read_recipe
from tinyfuse.study.stages.convert import publish_proven

Lively = Callable[[str], tuple[Network, Baseline]]


def test_the_file_travels_with_recipe_proof_and_provenance(lively: Lively, tiny_dataset: Dataset,
                                                           tmp_path: Path) -> None:
    network, base = lively("late")
    conversion = convert(base, read_recipe("image6-audio8-shared8"))
    samples = tiny_dataset.test.balanced(6, seed=0)
    path = publish_proven(conversion, network, samples, tmp_path, calibration_samples=40).path
    table = toml.read(path.with_suffix(".toml"), TinyfuseError)
    assert path.name == "late__image6-audio8-shared8.tflite"
    assert from_table(table["recipe"], "table") == conversion.recipe
    assert (table["data"]["name"], table["float_sha256"], table["calibration_samples"]) == ("tiny", network.sha256, 40)
    assert (table["inputs"], table["fitted"]) == (encode(network.inputs), tiny_dataset.fitted)
    assert table["stored_bytes"] == path.stat().st_size
    assert table["proof"]["samples"] == 6
    assert 0 < table["proof"]["max_abs_difference"] < 1
    assert set(table["proof"]["differing_codes"]) == {"twin", "litert", "litert-reference"}
    assert table["proof"]["differing_codes"]["twin"] == 0
    assert [layer["name"] for layer in table["layers"]] == [layer.name for layer in conversion.layers]


@pytest.mark.parametrize("fault", ["codes", "bytes", "logits"])
def test_what_fails_its_proof_is_not_published(fault: str, lively: Lively, tiny_dataset: Dataset,
                                               tmp_path: Path) -> None:
    network, base = lively("image")
    conversion, samples = convert(base, read_recipe("w6")), tiny_dataset.test.balanced(3, seed=0)
    if fault == "codes":
        conversion = replace(conversion, data=convert(base, read_recipe("w7")).data)
    elif fault == "bytes":
        conversion = replace(conversion, data=conversion.data[:2000])
    else:
        from tf_keras import Model

        model = network.model
        network = replace(network, model=Model(model.input, model.get_layer("image_flatten").output))
    with pytest.raises((ConversionError, ModelError)):
        publish_proven(conversion, network, samples, tmp_path, calibration_samples=40)
    assert not list(tmp_path.iterdir())
