"""Float networks through ai-edge-quantizer and through tinyfuse: what TensorFlow Lite Micro says of either file.

    python benchmarks/own_network_peers.py --python PYTHON

PYTHON has ai-edge-quantizer (0.10.0 was tried), in an environment of its own. The networks are those of own_networks.py
as float ``.tflite``. ai-edge-quantizer makes 8-bit activations with weights of 8 and of 4 bits, tinyfuse w8 and w4.
TensorFlow Lite Micro runs each file on the same samples; "error" is the largest difference of its outputs to those of
the float network, in percent of their range; "twin" are values of all tensors that the twin computes otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from own_networks import CLASSES, _write_files, converted, fusion

import tinyfuse
from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import TinyfuseError
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network, open_network
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

SAMPLES, CALIBRATION = 16, 20
PEER = """
import sys
import numpy as np
from ai_edge_quantizer import qtyping, quantizer, recipe
source, data, target, bits = sys.argv[1:]
held, made = np.load(data), quantizer.Quantizer(source)
if bits == "8":
    made.load_quantization_recipe(recipe.static_wi8_ai8())
else:
    made.add_static_config(regex=".*", operation_name=qtyping.TFLOperationName.ALL_SUPPORTED, activation_num_bits=8,
                           weight_num_bits=4)
rows = [{name: held[name][row:row + 1] for name in held.files} for row in range(len(held[held.files[0]]))]
made.quantize(made.calibrate({"serving_default": rows})).export_model(target)
"""
TFLM = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
file, data, target = sys.argv[1:]
interpreter, held = runtime.Interpreter.from_file(file, arena_size=16 << 20), np.load(data)
rows = []
for row in range(len(held["0"])):
    for place in range(len(held.files)):
        interpreter.set_input(held[str(place)][row:row + 1], place)
    interpreter.invoke()
    rows.append(np.array(interpreter.get_output(0)).ravel())
np.save(target, rows)
"""


def main() -> int:
    """Parse the options, write every file, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has ai-edge-quantizer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _write_files()
        data = tinyfuse.load_data("own.npz")
        with stderr_silenced():
            made = {name: open_network(_float_file(name, model), data) for name, model in _networks().items()}
        print("| network | by | weights | bytes | TFLite Micro | error, % | twin |\n| --- | --- | ---: | ---: | --- | "
              "---: | --- |")
        for name, network in made.items():
            held = {one.name: data.train.inputs[one.name][:CALIBRATION] for one in network.inputs}
            np.savez("held.npz", **held)  # type: ignore[arg-type]
            for bits in (8, 4):
                print(f"| {name} | ai-edge-quantizer | {bits} | {_peer(args.python, name, bits, network, data)} |")
                ours = convert(baseline(network, data.train.take(slice(0, CALIBRATION))), read_recipe(f"w{bits}"))
                file = Path(f"{name}_ours{bits}.tflite")
                file.write_bytes(ours.data)
                print(f"| {name} | tinyfuse | {bits} | {_judged(str(file), network, data)} |", flush=True)
    return 0


def _networks() -> dict[str, Any]:
    """Two sensors; a gate of one by the other; upsampling; a MobileNet."""
    tensorflow()
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    picture, sound = tf_keras.Input((32, 32, 3), name="camera"), tf_keras.Input((49, 10), name="mfcc")
    gate = layers.Dense(8, activation="sigmoid", name="gate")(layers.Flatten()(sound))
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, name="look")(picture))
    small = layers.Conv2D(2, 3, strides=4, name="before")(picture)
    large = layers.Conv2D(2, 3, name="after")(layers.UpSampling2D()(small))
    mobile = tf_keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, weights=None, classes=CLASSES,
                                             classifier_activation=None)
    return {"two sensors": fusion(tf_keras),
            "gated": tf_keras.Model([picture, sound], layers.Dense(CLASSES)(layers.Multiply()([gate, value]))),
            "upsampling": tf_keras.Model(picture, layers.Dense(CLASSES)(layers.Flatten()(large))),
            "MobileNet 0.25": tf_keras.Model(picture, mobile(picture))}


def _float_file(name: str, model: Any) -> str:
    Path(f"{name}.tflite").write_bytes(converted(model, full=False))
    return f"{name}.tflite"


def _peer(python: str, name: str, bits: int, network: Network, data: Any) -> str:
    target = f"{name}_peer{bits}.tflite"
    ended = subprocess.run([python, "-c", PEER, f"{name}.tflite", "held.npz", target, str(bits)], capture_output=True,
                           text=True, check=False)
    if ended.returncode:
        return f" | not written: {ended.stderr.strip().splitlines()[-1][:90]} | | "
    return _judged(target, network, data)


def _judged(file: str, network: Network, data: Any) -> str:
    """Bytes of a file, what TFLite Micro says, its error, what the twin says."""
    real = {one.name: data.test.inputs[one.name][:SAMPLES] for one in network.inputs}
    logits = np.asarray(network.model(real, training=False))
    size = Path(file).stat().st_size
    try:
        model = load_model(file)
        codes = model.codes_of(real)
        found = compare(model, ["tflm", "twin"], codes).differences[0]
        twin = f"{found.differing} of {found.values} differ"
    except TinyfuseError as error:
        twin = f"refused: {str(error).split(': ', 1)[-1][:110]}"
    outputs = _run_in_tflm(file, real)
    if isinstance(outputs, str):
        return f"{size} | {outputs} | | {twin}"
    return f"{size} | runs | {100 * np.abs(outputs - logits).max() / np.ptp(logits):.1f} | {twin}"


def _run_in_tflm(file: str, real: Mapping[str, np.ndarray]) -> np.ndarray | str:
    """Real outputs [n, k] of the whole file, or how TFLite Micro ended."""
    from tinyfuse.tflite import flatbuffer

    graph = flatbuffer.read(Path(file).read_bytes(), file).subgraphs[0]
    places = {}
    for place, index in enumerate(graph.inputs):
        tensor = graph.tensors[index]
        values = next(held for name, held in real.items() if name in tensor.name.decode())
        if tensor.type != flatbuffer.schema().TensorType.FLOAT32:
            values = np.clip(np.rint(values / tensor.quantization.scale[0]) + tensor.quantization.zeroPoint[0], -128,
                             127).astype(np.int8)
        places[str(place)] = values
    np.savez("given.npz", **places)
    ended = subprocess.run([sys.executable, "-c", TFLM, file, "given.npz", "out.npy"], capture_output=True, text=True,
                           check=False)
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if "tflite_micro" not in line and line.strip()]
        return f"does not run: {lines[0][:90] if lines else ended.returncode}"
    found, tensor = np.load("out.npy").astype(np.float64), graph.tensors[graph.outputs[0]]
    if tensor.type == flatbuffer.schema().TensorType.FLOAT32:
        return found
    return np.asarray((found - tensor.quantization.zeroPoint[0]) * tensor.quantization.scale[0])


if __name__ == "__main__":
    raise SystemExit(main())
