"""The conversion stage: one int8 graph for each network, then every recipe, each with its proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.checks.gating import CONVERT_STAGE
from tinyfuse.core import toml
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import ConversionError, ModelError, ParityError, TinyfuseError, UsageError
from tinyfuse.core.faults import log_fault
from tinyfuse.core.files import sha256_hex, write_bytes, write_text
from tinyfuse.core.results import Row, row_key
from tinyfuse.core.strict import encode
from tinyfuse.data import Dataset, Samples
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.executors import EXECUTORS, open_executor
from tinyfuse.integer.executors.installed import is_here, oracle_or_twin
from tinyfuse.integer.model import dequantize, load_model
from tinyfuse.nn.network import Network
from tinyfuse.nn.origin import SHARED
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import steps_per_epoch
from tinyfuse.quantize import qat
from tinyfuse.quantize.convert import Baseline, Conversion, baseline, convert, trained_for
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import QAT, Recipe
from tinyfuse.study.rows import SAMPLE_SEED, Subject, failed_row
from tinyfuse.study.run import Run


@dataclass(frozen=True)
class IntegerFile:
    """A published integer model: its recipe, its ``.tflite`` and the table beside it."""

    recipe: Recipe
    path: Path
    table: Mapping[str, Any]

    def subject(self, network: Network, executor: str) -> Subject:
        """Name the model as rows name it, judged by ``executor``."""
        return Subject.of(network, self.recipe.name, executor, self.table["sha256"])


@dataclass(frozen=True)
class Proof:
    """What was found when the integer model ran beside the float network on ``samples`` samples.

    ``max_abs_difference`` is the largest |float logit - dequantised TFLM logit|, ``agreement`` the share of
    equal arg-maxes; ``differing_codes`` counts, per executor, output codes unlike TFLM's.
    """

    samples: int
    max_abs_difference: float
    agreement: float
    differing_codes: Mapping[str, int]
    arena_bytes: int


@dataclass(frozen=True, eq=False)
class Converter:
    """Converts ``network`` into ``folder``: ranges from training samples of its ``dataset``, proven on ``proof``.

    ``graphs``: int8 graphs by the checksum of their network, which is made once for all recipes.
    """

    network: Network
    dataset: Dataset
    folder: Path
    calibration_samples: int
    proof: Samples
    qat_epochs: int = qat.EPOCHS
    graphs: dict[str, Baseline] = field(default_factory=dict)

    def publish(self, recipe: Recipe) -> IntegerFile:
        """Convert with ``recipe``, prove and write."""
        network = self._trained_for(recipe)
        if network.sha256 not in self.graphs:
            calibration = self.dataset.train.balanced(self.calibration_samples, seed=SAMPLE_SEED)
            self.graphs[network.sha256] = baseline(network, calibration)
        return publish_proven(convert(self.graphs[network.sha256], recipe), network, self.proof, self.folder,
                              calibration_samples=self.calibration_samples)

    def _trained_for(self, recipe: Recipe) -> Network:
        """Return the network itself, or what training makes of it where ``recipe`` asks for that."""
        if QAT not in recipe.methods or trained_for(self.network) == recipe:
            return self.network
        config = qat.settings(self.network, self.qat_epochs)
        with progress(f"training {self.network.name} for {recipe.name}",
                      config.epochs * steps_per_epoch(self.dataset, config)) as advance:
            return qat.train_or_load(self.network, recipe, self.dataset, self.folder, epochs=self.qat_epochs,
                                     tick=advance, report=console.print)


def convert_network(run: Run, network: Network, tick: Callable[[str], None] = lambda note: None) -> list[IntegerFile]:
    """Convert ``network`` with every recipe of the matrix; recipes that fail become rows that say why."""
    proof = run.everything.balanced(run.matrix.proof_samples, seed=SAMPLE_SEED)
    converter = Converter(network, run.dataset, run.models, run.matrix.calibration_samples, proof)
    made: list[IntegerFile] = []
    for recipe in run.matrix.recipes_for(network.input_names):
        tick(f"{network.name} {recipe.name}")
        if recipe.scheme == "minmax":
            continue
        found = _published(run, network, recipe)
        if found is None:
            try:
                found = converter.publish(recipe)
            except OSError:
                raise
            except Exception as error:
                reason = str(error) if isinstance(error, TinyfuseError) else log_fault(error, run.folder)
                run.store.append(failed_row(run.log.scope, network.name, recipe.name, CONVERT_STAGE, reason))
                continue
        made.append(found)
        if not run.store.has(_row_key(run, network, found)):
            run.store.append(model_row(run, network, found))
    return made


def publish_proven(conversion: Conversion, network: Network, samples: Samples, folder: Path, *,
                   calibration_samples: int) -> IntegerFile:
    """Prove ``conversion`` against its ``network`` on ``samples``, then write it with all that it came from.

    Writes ``<model>__<recipe>.tflite`` and beside it a ``.toml`` with its recipe, its proof, the bits and sizes of each
    layer and the origin of the network, so that the file never travels alone.
    """
    proof = prove(conversion, samples, predict(network.model, samples))
    table = describe(conversion, proof) | _origin(network, calibration_samples)
    path = folder / f"{conversion.model}__{conversion.recipe.name}.tflite"
    write_text(path.with_suffix(".toml"), toml.dumps(table))
    write_bytes(path, conversion.data)
    return IntegerFile(conversion.recipe, path, table)


def prove(conversion: Conversion, samples: Samples, float_logits: np.ndarray) -> Proof:
    """Check the codes in the file and run it in every installed executor on ``samples``; ``float_logits`` is [n, k].

    Without TFLite Micro the twin stands for it.

    Raises :class:`ConversionError` or :class:`ModelError` if the file is not what its recipe says or does not run.
    """
    check_written(conversion)
    model = load_model(conversion.data, name=f"{conversion.model}__{conversion.recipe.name}")
    codes = model.codes_of(samples.inputs)
    oracle = oracle_or_twin()
    outputs = {name: open_executor(model, name).run(codes) for name in EXECUTORS if is_here(name)}
    differing = int((outputs["twin"] != outputs[oracle]).sum())
    if differing:
        raise ParityError(f"{model.name}: the twin differs from TFLite Micro in {differing} output codes of "
                          f"{len(samples)} samples; it was not written, report this model")
    logits = dequantize(outputs[oracle], model.output)
    if conversion.softmax:
        from scipy.special import softmax

        float_logits = softmax(float_logits, axis=1)
    if float_logits.shape != logits.shape:
        raise ConversionError(f"{model.name}: {logits.shape[1]} logits; the float network has {float_logits.shape[1]}")
    return Proof(len(samples), float(np.abs(logits - float_logits).max()),
                 float(np.mean(logits.argmax(1) == float_logits.argmax(1))),
                 {name: int((out != outputs[oracle]).sum()) for name, out in outputs.items() if name != oracle},
                 tflm_arena_bytes(model))


def describe(conversion: Conversion, proof: Proof) -> dict[str, Any]:
    """Return the plain table of a converted model, without its origin.

    ``activation_bits``: mean width of what ReLUs hand on, by elements; layers name theirs where not all have 8 bits.
    """
    widths = conversion.activations
    plain = {one.bits for one in widths.values()} <= {8}
    return {
        "model": conversion.model,
        "sha256": sha256_hex(conversion.data),
        "activation_bits": 8 if plain else float(np.average([one.bits for one in widths.values()],
                                                            weights=[one.elements for one in widths.values()])),
        "stored_bytes": len(conversion.data),
        "packed_bytes": sum(layer.packed_bytes for layer in conversion.layers),
        "macs": sum(layer.macs for layer in conversion.layers),
        "recipe": conversion.recipe.to_table(),
        "proof": asdict(proof),
        "layers": [asdict(layer) | ({} if plain or layer.name not in widths else
                                    {"activation_bits": widths[layer.name].bits}) for layer in conversion.layers],
    }


def _origin(network: Network, calibration_samples: int) -> dict[str, Any]:
    """Say where an integer model comes from: data, training, and how its inputs are computed."""
    table = network.table
    origin = {"float_sha256": table.get("float_sha256") or network.sha256, "classes": list(network.classes),
              "inputs": encode(network.inputs), "calibration_samples": calibration_samples,
              "data": table["data"], "training": table["training"], "fitted": table.get("fitted", {})}
    origin |= {"front_ends": table["front_ends"]} if table.get("front_ends") else {}
    return origin | ({"qat": table["qat"] | {"sha256": network.sha256}} if table.get("qat") else {})


def _published(run: Run, network: Network, recipe: Recipe) -> IntegerFile | None:
    """Find what an earlier run wrote, if it is whole; :class:`UsageError` if it has the name but other settings."""
    path = run.models / f"{network.name}__{recipe.name}.tflite"
    if not (path.exists() and path.with_suffix(".toml").exists()):
        return None
    table = toml.read(path.with_suffix(".toml"), ModelError)
    if table.get("sha256") != sha256_hex(path.read_bytes()):
        return None
    wanted = {"recipe": recipe.to_table(), "float_sha256": network.sha256,
              "calibration_samples": run.matrix.calibration_samples}
    for key, value in wanted.items():
        if table.get(key) != value:
            raise UsageError(f"{path} was made with another {key}; give another output folder, or another recipe name")
    return IntegerFile(recipe, path, table)


def model_row(run: Run, network: Network, made: IntegerFile) -> Row:
    """Make the row that says what ``made`` costs, as it is and exported, and how its proof went."""
    table = made.table
    weights = sum(layer["weights"] for layer in table["layers"])
    return {
        "kind": "model",
        "key": _row_key(run, network, made),
        "model": network.name, "precision": made.recipe.name,
        "weight_bits_mean": sum(layer["weight_bits"] for layer in table["layers"]) / weights,
        "bits": _branch_bits(table["layers"], (*network.input_names, SHARED)),
        "activation_bits": table["activation_bits"], "stored_bytes": table["stored_bytes"],
        "packed_bytes": table["packed_bytes"], "arena_bytes": table["proof"]["arena_bytes"],
        "firmware_arena_bytes": firmware_arena_bytes(made.path), "macs": table["macs"],
        "file": str(made.path.relative_to(run.folder)) if made.path.is_relative_to(run.folder) else made.path.name,
        "file_sha256": table["sha256"], "max_abs_difference": table["proof"]["max_abs_difference"],
        "n": table["proof"]["samples"], "seed": run.seed, "data_checksum": run.dataset.checksum,
        "train_seconds": network.train_seconds + table.get("qat", {}).get("seconds", 0.0),
    }


def _row_key(run: Run, network: Network, made: IntegerFile) -> str:
    return row_key({"kind": "model", "model": network.name, "precision": made.recipe.name,
                    "sha256": made.table["sha256"], "seed": run.seed, "data": run.dataset.checksum})


def firmware_arena_bytes(path: Path) -> int | None:
    """Count the bytes of the arena that the firmware of the ``.tflite`` plans; None if it lacks an operator."""
    try:
        return program_of(load_model(path), "net").plan.arena_bytes
    except ModelError:
        return None


def _branch_bits(layers: list[dict[str, Any]], branches: tuple[str, ...]) -> dict[str, float]:
    """Average the weight bits of the layers (or layer slices) of each branch that has some."""
    own = {branch: [layer for layer in layers if branch in layer["bits"]] for branch in branches}
    return {branch: float(np.average([layer["bits"][branch] for layer in found],
                                     weights=[layer["weights"] for layer in found]))
            for branch, found in own.items() if found}
