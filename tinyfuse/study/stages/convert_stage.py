"""The conversion step of a sweep: one int8 graph for each network, then every recipe, each with its proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core import toml
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import ModelError, TinyfuseError, UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row, row_key
from tinyfuse.data import Dataset, Pairs
from tinyfuse.nn.train import predict, steps_per_epoch
from tinyfuse.nn.train_or_load import Network
from tinyfuse.nn.zoo.fusion import modalities_of
from tinyfuse.quantize import qat
from tinyfuse.quantize.convert import Baseline, Conversion, baseline, convert
from tinyfuse.quantize.recipe import Precision
from tinyfuse.study.publish import describe, prove, publish
from tinyfuse.study.run import Run


@dataclass(frozen=True)
class IntegerFile:
    """A published integer model: its recipe, its ``.tflite`` and the table beside it."""

    precision: Precision
    path: Path
    table: dict[str, Any]


def convert_network(run: Run, network: Network, tick: Callable[[str], None]) -> list[IntegerFile]:
    """Convert ``network`` with every recipe of the matrix; recipes that fail become rows that say why."""
    proof_pairs = run.pairs.balanced(run.matrix.proof_pairs, seed=0)
    made: list[IntegerFile] = []
    graphs: dict[str, Baseline] = {}
    for recipe in run.matrix.precisions_of(network.name):
        tick(f"{network.name} {recipe.name}")
        if recipe.scheme == "minmax":
            continue
        found = _published(run, network, recipe)
        if found is None:
            try:
                trained = trained_with(network, recipe, run.dataset, run.models)
                found = publish_proven(convert(graph_of(trained, run.calibration(), graphs), recipe), trained,
                                       proof_pairs, run.models, calibration_pairs=run.matrix.calibration_pairs)
            except TinyfuseError as error:
                run.store.append(failed_row(run, network, recipe.name, "convert", str(error)))
                continue
        made.append(found)
        run.store.append(model_row(run, network, found))
    return made


def trained_with(network: Network, recipe: Precision, dataset: Dataset, folder: Path,
                 epochs: int = qat.EPOCHS) -> Network:
    """``network`` itself, or what ``epochs`` of training in ``folder`` make of it where ``recipe`` asks for that."""
    if qat.METHOD not in recipe.methods or qat.trained_for(network) == recipe:
        return network
    config = qat.settings(network, epochs)
    with progress(f"training {network.name} for {recipe.name}",
                  config.epochs * steps_per_epoch(dataset, config)) as advance:
        return qat.obtain(network, recipe, dataset, folder, epochs=epochs, tick=advance, report=console.print)


def graph_of(network: Network, calibration: Pairs, made: dict[str, Baseline]) -> Baseline:
    """The int8 graph of ``network`` from ``made``, by checksum, or made now and kept there."""
    if network.sha256 not in made:
        base = baseline(network.model, calibration, inputs=modalities_of(network.name))
        made[network.sha256] = replace(base, trained_for=qat.trained_for(network))
    return made[network.sha256]


def publish_proven(conversion: Conversion, network: Network, pairs: Pairs, folder: Path, *,
                   calibration_pairs: int) -> IntegerFile:
    """Prove ``conversion`` against its ``network`` on ``pairs``, then write it with all that it came from."""
    proof = prove(conversion, pairs, predict(network.model, pairs))
    table = network.table
    provenance = {"float_sha256": table.get("float_sha256", network.sha256), "data": table["data"],
                  "labels": table["labels"], "training": table["training"], "audio_features": table["audio_features"],
                  "calibration_pairs": calibration_pairs}
    if qat.METHOD in table:
        provenance[qat.METHOD] = table[qat.METHOD] | {"sha256": network.sha256}
    path = publish(conversion, proof, folder, provenance)
    return IntegerFile(conversion.precision, path, describe(conversion, proof) | provenance)


def _published(run: Run, network: Network, recipe: Precision) -> IntegerFile | None:
    """What an earlier run wrote, if it is whole; :class:`UsageError` if it has the name but other settings."""
    path = run.models / f"{network.name}__{recipe.name}.tflite"
    if not (path.exists() and path.with_suffix(".toml").exists()):
        return None
    table = toml.read(path.with_suffix(".toml"), ModelError)
    if table.get("sha256") != sha256_hex(path.read_bytes()):
        return None
    wanted = {"precision": recipe.to_table(), "float_sha256": network.sha256,
              "calibration_pairs": run.matrix.calibration_pairs}
    for key, value in wanted.items():
        if table.get(key) != value:
            raise UsageError(f"{path} was made with another {key}; give another output folder, or another recipe name")
    return IntegerFile(recipe, path, table)


def _branch_bits(table: dict[str, Any], branch: str) -> float | None:
    """Mean weight bits of the layers (or layer slices) of one branch, None if there are none."""
    layers = [layer for layer in table["layers"] if branch in layer["branches"]]
    if not layers:
        return None
    return float(np.average([layer["branches"][branch] for layer in layers], weights=[x["weights"] for x in layers]))


def model_row(run: Run, network: Network, made: IntegerFile) -> Row:
    """The row that says what ``made`` costs and how its proof went."""
    table = made.table
    weights = sum(layer["weights"] for layer in table["layers"])
    return {
        "kind": "model",
        "key": row_key({"kind": "model", "model": network.name, "precision": made.precision.name,
                        "sha256": table["sha256"], "seed": run.seed, "data": run.dataset.checksum}),
        "model": network.name, "precision": made.precision.name,
        "weight_bits_mean": sum(layer["weight_bits"] for layer in table["layers"]) / weights,
        **{f"bits_{branch}": _branch_bits(table, branch) for branch in ("image", "audio", "shared")},
        "activation_bits": table["activation_bits"], "stored_bytes": table["stored_bytes"],
        "packed_bytes": table["packed_bytes"], "arena_bytes": table["proof"]["arena_bytes"], "macs": table["macs"],
        "file": str(made.path.relative_to(run.folder)) if made.path.is_relative_to(run.folder) else made.path.name,
        "file_sha256": table["sha256"], "max_abs_difference": table["proof"]["max_abs_difference"],
        "n": table["proof"]["samples"], "seed": run.seed, "data_checksum": run.dataset.checksum,
        "train_seconds": network.train_seconds + table.get(qat.METHOD, {}).get("seconds", 0.0),
    }


def failed_row(run: Run, network: Network, recipe: str, stage: str, reason: str) -> Row:
    """The row of a recipe that could not be made at ``stage``; the report keeps showing it."""
    identity = {"kind": "failed", "model": network.name, "precision": recipe, "stage": stage,
                "seed": run.seed, "data_checksum": run.dataset.checksum, "reason": reason}
    return {**identity, "key": row_key(identity)}
