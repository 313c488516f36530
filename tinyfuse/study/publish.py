"""From a conversion in memory to a file on disk, with its proof; what fails its proof is not written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, ParityError
from tinyfuse.core.files import sha256_hex, write_bytes, write_text
from tinyfuse.data import Pairs
from tinyfuse.integer.arena import tflm_arena_bytes
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.integer.interpreters import Interpreter, dequantize, load
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.layer_size import LayerSize
from tinyfuse.quantize.readback import check_written


@dataclass(frozen=True)
class Proof:
    """What was found when the integer model ran beside the float network on ``samples`` pairs.

    ``max_abs_difference`` is the largest |float logit - dequantised TFLM logit|, ``agreement`` the share of
    equal arg-maxes; ``differing_codes`` counts, per executor, output codes unlike TFLM's.
    """

    samples: int
    max_abs_difference: float
    agreement: float
    differing_codes: dict[str, int]
    arena_bytes: int


def prove(conversion: Conversion, pairs: Pairs, float_logits: np.ndarray) -> Proof:
    """Check the codes in the file and run it in every executor on ``pairs``; ``float_logits`` is [n, k].

    Raises :class:`ConversionError` or :class:`ModelError` if the file is not what its recipe says or does not run.
    """
    check_written(conversion)
    model = load(conversion.data, name=f"{conversion.model}__{conversion.precision.name}")
    codes = {name: grid.quantise(pairs.inputs()[name]) for name, grid in model.grids.items()}
    outputs = {executor: Interpreter(model, executor).run(codes) for executor in EXECUTORS}
    differing = int((outputs["twin"] != outputs["tflm"]).sum())
    if differing:
        raise ParityError(f"{model.name}: the twin differs from TFLite Micro in {differing} output codes of "
                          f"{len(pairs)} pairs; it was not written, report this model")
    logits = dequantize(outputs["tflm"], model.output)
    if float_logits.shape != logits.shape:
        raise ConversionError(f"{model.name}: {logits.shape[1]} logits; the float network has {float_logits.shape[1]}")
    return Proof(len(pairs), float(np.abs(logits - float_logits).max()),
                 float(np.mean(logits.argmax(1) == float_logits.argmax(1))),
                 {executor: int((out != outputs["tflm"]).sum()) for executor, out in outputs.items()
                  if executor != "tflm"}, tflm_arena_bytes(model))


def publish(conversion: Conversion, proof: Proof, folder: str | Path, provenance: Mapping[str, Any]) -> Path:
    """Write ``<model>__<recipe>.tflite`` and its ``.toml`` into ``folder``; return the path of the first.

    The table holds the recipe, each layer's bits and sizes, the proof and ``provenance`` (data, feature
    scaling, seed, float weights), so that the file never travels alone.
    """
    path = Path(folder) / f"{conversion.model}__{conversion.precision.name}.tflite"
    write_text(path.with_suffix(".toml"), toml.dumps(describe(conversion, proof) | dict(provenance)))
    write_bytes(path, conversion.data)
    return path


def describe(conversion: Conversion, proof: Proof) -> dict[str, Any]:
    """The TOML table of a converted model."""
    return {
        "model": conversion.model,
        "sha256": sha256_hex(conversion.data),
        "activation_bits": _activation_bits(conversion),
        "stored_bytes": len(conversion.data),
        "packed_bytes": sum(layer.packed_bytes for layer in conversion.layers),
        "macs": sum(layer.macs for layer in conversion.layers),
        "precision": conversion.precision.to_table(),
        "proof": asdict(proof),
        "layers": [_layer(conversion, layer) for layer in conversion.layers],
    }


def _activation_bits(conversion: Conversion) -> float:
    """Mean width of what ReLUs hand on, by elements; the whole number 8 where all have 8 bits."""
    if _plain(conversion):
        return 8
    given = conversion.activations.values()
    return float(np.average([one.bits for one in given], weights=[one.elements for one in given]))


def _layer(conversion: Conversion, layer: LayerSize) -> dict[str, Any]:
    """The table of one layer, with the width of its activations if some layer's are not 8 bits."""
    table, found = asdict(layer), conversion.activations.get(layer.name)
    if found is not None and not _plain(conversion):
        table["activation_bits"] = found.bits
    return table


def _plain(conversion: Conversion) -> bool:
    return {one.bits for one in conversion.activations.values()} <= {8}
