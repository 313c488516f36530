"""The steps of own_scenarios_peers.py as other libraries do them; runs where those are, without tinyfuse.

    python peer_steps.py EPSILON     in the folder that own_scenarios_peers.py has filled

Prints a line of JSON for each step: [step, library and version, outcome]. A step that raises is an outcome too.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

QUERIES, CLASSES = 200, 4
EPSILON = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5


class Integers:
    """The int8 ``.tflite`` in LiteRT: scores of real inputs, one sample at a time; counts its questions."""

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter, self.asked = Interpreter("own_int8.tflite"), 0
        self.interpreter.allocate_tensors()
        self.places = {one["name"].removeprefix("serving_default_").split(":")[0]: one
                       for one in self.interpreter.get_input_details()}
        self.output = self.interpreter.get_output_details()[0]

    def scores(self, **real: np.ndarray) -> np.ndarray:
        """Real scores [k] of one sample."""
        for name, value in real.items():
            scale, zero = self.places[name]["quantization"]
            codes = np.clip(np.rint(value / scale) + zero, -128, 127).astype(np.int8)
            self.interpreter.set_tensor(self.places[name]["index"], codes[None])
        self.interpreter.invoke()
        self.asked += 1
        scale, zero = self.output["quantization"]
        return (self.interpreter.get_tensor(self.output["index"])[0].astype(np.float32) - zero) * scale


def art_attack() -> str:
    """HopSkipJump of the Adversarial Robustness Toolbox, which asks for decisions alone, sample by sample."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifier

    def broken(ask: Callable[[np.ndarray], np.ndarray], x: np.ndarray, label: int, low: float, high: float) -> bool:
        model = BlackBoxClassifier(lambda many: np.stack([ask(one) for one in many]), x.shape, CLASSES,
                                   clip_values=(low, high))
        attack = HopSkipJump(model, norm=np.inf, max_iter=10, max_eval=QUERIES, init_eval=50, verbose=False)
        made = attack.generate(x[None].astype(np.float32))[0]
        return bool(np.abs(made - x).max() <= EPSILON * (1 + 1e-6) and ask(made).argmax() != label)

    return judged(broken)


def foolbox_attack() -> str:
    """Repeated noise of Foolbox, the attack of it that needs neither gradients nor a smaller start inside a budget."""
    import eagerpy
    from foolbox import Misclassification
    from foolbox.attacks import LinfRepeatedAdditiveUniformNoiseAttack
    from foolbox.models import NumPyModel

    def broken(ask: Callable[[np.ndarray], np.ndarray], x: np.ndarray, label: int, low: float, high: float) -> bool:
        model = NumPyModel(lambda many: np.stack([ask(one) for one in many]), bounds=(low, high))
        given, wrong = eagerpy.astensor(x[None].astype(np.float32)), eagerpy.astensor(np.array([label]))
        attack = LinfRepeatedAdditiveUniformNoiseAttack(repeats=QUERIES)
        _, _, success = attack(model, given, Misclassification(wrong), epsilons=EPSILON)
        return bool(np.asarray(success.raw).reshape(-1)[0])

    return judged(broken)


def cleverhans_attack() -> str:
    """FGSM of CleverHans, which needs a function that TensorFlow can differentiate."""
    import tensorflow as tf
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

    net, held = Integers(), np.load("attacked.npz")

    def ask(many: np.ndarray) -> np.ndarray:
        return np.stack([net.scores(camera=held["camera"][0], mfcc=one) for one in many])

    def logits(x: Any) -> Any:
        return tf.numpy_function(ask, [x], tf.float32)

    fast_gradient_method(logits, tf.constant(held["mfcc"][:1]), EPSILON, np.inf)
    return "ran"


def judged(broken: Callable[..., bool]) -> str:
    """Which share of the samples an attack on ``mfcc`` leaves right, questions asked, CPU seconds."""
    net, held, begin, clean, left = Integers(), np.load("attacked.npz"), time.process_time(), 0, 0
    low, high = (float(bound) for bound in (held["mfcc"].min(), held["mfcc"].max()))
    for camera, mfcc, label in zip(held["camera"], held["mfcc"], held["label"], strict=True):
        if net.scores(camera=camera, mfcc=mfcc).argmax() == label:
            clean += 1

            def ask(x: np.ndarray, camera: np.ndarray = camera) -> np.ndarray:
                return net.scores(camera=camera, mfcc=np.asarray(x).reshape(49, 10))

            left += not broken(ask, mfcc, int(label), low, high)
    count = len(held["label"])
    return (f"{100 * left / count:.0f} % left of {100 * clean / count:.0f} %, as LiteRT answers; "
            f"{net.asked / count:.0f} questions for each sample, {time.process_time() - begin:.1f} CPU s; what closes "
            "over the other sensor and wraps the interpreter is the user's to write")


def opened(path: str) -> Any:
    """A Keras model, by the Keras that wrote it."""
    import keras
    import tf_keras

    return (keras if path.startswith("keras3") else tf_keras).models.load_model(path)


def tensorflow_convert(path: str) -> str:
    """TensorFlow's converter to int8, calibrated."""
    import tensorflow as tf

    if path.endswith(".tflite"):
        return "takes no .tflite"
    lite = tf.lite.TFLiteConverter
    made = lite.from_saved_model(path) if path == "saved" else lite.from_keras_model(opened(path))
    names = ["camera", "mfcc"]

    def rows() -> Iterator[Any]:
        with np.load("own.npz") as held:
            for row in range(20):
                yield {name: held[name][row:row + 1] for name in names}
    made.optimizations, made.representative_dataset = [tf.lite.Optimize.DEFAULT], rows
    made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    made.inference_input_type = made.inference_output_type = tf.int8
    return f"{len(made.convert())} bytes, int8 everywhere; it has no other number of bits for stock int8 kernels"


def quantizer(path: str) -> str:
    """ai-edge-quantizer: 4 bits for the camera's layers, 8 for the others."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer import quantizer as edge

    if not path.endswith(".tflite"):
        return "takes a float .tflite alone"
    made = edge.Quantizer(path)
    for pattern, bits in ((".*", 8), (".*(cam_).*", 4)):
        made.add_static_config(regex=pattern, operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                               activation_num_bits=8, weight_num_bits=bits)
    with np.load("own.npz") as held:
        rows = [{name: held[name][row:row + 1] for name in ("camera", "mfcc")} for row in range(20)]
    made.quantize(made.calibrate({"serving_default": rows})).export_model("edge.tflite", overwrite=True)
    return f"{Path('edge.tflite').stat().st_size} bytes; asked for 4 bits in cam_*, it has {held_bits()}; {in_tflm()}"


def held_bits() -> str:
    """Weights of the file by layer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(Path("edge.tflite").read_bytes())
    known = {schema.TensorType.INT4: 4, schema.TensorType.INT8: 8}
    found = {one.name.decode().split(";")[-1].split("/")[1]: known[one.type] for one in model.subgraphs[0].tensors
             if one.type in known and len(one.shape) > 1 and model.buffers[one.buffer].data is not None}
    return ", ".join(f"{name} {bits}" for name, bits in sorted(found.items()))


def in_tflm() -> str:
    """Whether TFLite Micro allocates and runs the file."""
    import subprocess

    code = ("from tflite_micro.python.tflite_micro import runtime as r; import numpy as np\n"
            "i = r.Interpreter.from_file('edge.tflite', arena_size=1 << 22)\n"
            "for p in (0, 1):\n"
            "    d = i.get_input_details(p)\n    i.set_input(np.zeros(d['shape'], d['dtype']), p)\ni.invoke()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return "TFLite Micro runs it" if done.returncode == 0 else f"TFLite Micro does not run it ({said(done.stderr)})"


def said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith((" ", "Traceback"))]
    return lines[0][:110] if lines else ""


def tinymlgen_c() -> str:
    """Let tinymlgen write the converter's file as an array."""
    from tinymlgen import port

    text = port(opened("keras2.keras"), optimize=False)
    return f"{len(text)} characters: the bytes of a float .tflite as a C array, for TFLite Micro to interpret; no check"


def emlearn_c() -> str:
    """Let emlearn write C of its own for networks of dense layers."""
    import emlearn

    emlearn.convert(opened("keras2.keras"), method="inline").save(file="net.h", name="net")
    return f"{Path('net.h').stat().st_size} bytes of C"


def hls4ml_c() -> str:
    """Let hls4ml write C++ for the synthesis of hardware."""
    import hls4ml

    model = opened("keras3.keras")
    settings = hls4ml.utils.config_from_keras_model(model, granularity="name")
    convert = hls4ml.converters.convert_from_keras_model
    convert(model, hls_config=settings, output_dir="hls", io_type="io_stream").write()
    return "C++ for the synthesis of an FPGA (fixed point of 16 bits by default), no microcontroller"


def keras_pictures() -> str:
    """Pictures in folders by class."""
    import keras

    made = keras.utils.image_dataset_from_directory("files/camera", image_size=(20, 24), verbose=False)
    return f"pictures of the classes {', '.join(made.class_names)} alone; no pairs with the other sensor"


def keras_recordings() -> str:
    """Recordings in folders by class."""
    import keras

    made = keras.utils.audio_dataset_from_directory("files/mic", output_sequence_length=16000, verbose=False)
    return f"waves {next(iter(made))[0].shape}"


STEPS: list[tuple[str, str, Callable[[], str]]] = [
    ("attack", "adversarial-robustness-toolbox", art_attack), ("attack", "foolbox", foolbox_attack),
    ("attack", "cleverhans", cleverhans_attack),
    *((f"{path} to bits by sensor", name, lambda path=path, run=run: run(path))  # type: ignore[misc]
      for path in ("keras2.keras", "keras3.keras", "h5.h5", "saved", "float.tflite")
      for name, run in (("tensorflow", tensorflow_convert), ("ai-edge-quantizer", quantizer))),
    ("to C", "tinymlgen", tinymlgen_c), ("to C", "emlearn", emlearn_c), ("to C", "hls4ml", hls4ml_c),
    ("folders", "keras", keras_pictures), ("folders", "keras", keras_recordings)]


def main() -> None:
    """Do every step, one after the other."""
    warnings.simplefilter("ignore")
    np.random.seed(0)
    for step, name, run in STEPS:
        version = ""
        try:
            version = metadata.version(name)
            outcome = run()
        except metadata.PackageNotFoundError:
            outcome = "not installed"
        except Exception as error:  # what a peer raises is what a user of it sees
            outcome = f"raises {type(error).__name__}: {' '.join(str(error).split())[-160:]}"
        print(json.dumps([step, f"{name} {version}", outcome]), flush=True)


if __name__ == "__main__":
    main()
