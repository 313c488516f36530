"""Own networks, own data: what the libraries that people use today make of the same steps, beside tinyfuse.

    python benchmarks/own_scenarios_peers.py --python PYTHON

PYTHON has the peers (TensorFlow, Keras and tf_keras, ai-edge-quantizer, adversarial-robustness-toolbox, Foolbox,
CleverHans, tinymlgen, emlearn, hls4ml), in an environment of its own; one that is missing is said. Three groups of
steps, on the files of own_networks.py: attacks on one sensor of an int8 ``.tflite`` of two sensors, a float network in
five formats to bits by sensor and to C, folders of recordings and pictures. The network is trained, so that robust
accuracy means something. peer_steps.py is what runs in PYTHON; its calls are those that the peers' documents show.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from own_networks import _write_files, converted, folders, fusion

import tinyfuse
from tinyfuse.cli import main as cli
from tinyfuse.core.backend import stderr_silenced

EPSILON, SAMPLES = 0.5, 16
RECIPE = "camera4-mfcc6-shared8"
FORMATS = ("keras2.keras", "keras3.keras", "h5.h5", "saved", "float.tflite")
STEPS = Path(__file__).with_name("peer_steps.py")


def main() -> int:
    """Parse the options, make the files, let the peers and tinyfuse do every step, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has the peers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        with stderr_silenced(), contextlib.redirect_stdout(io.StringIO()):
            _make_files()
        print("| step | by | outcome |\n| --- | --- | --- |")
        for step, by, outcome in [*_ours(), *_theirs(args.python)]:
            print(f"| {step} | {by} | {outcome} |", flush=True)
    return 0


def _make_files() -> None:
    """The network of two sensors in every format, trained; its int8 file; attacked samples; folders by class."""
    import keras
    import tf_keras

    _write_files()
    data = tinyfuse.load_data("own.npz")
    tf_keras.utils.set_random_seed(0)
    model = fusion(tf_keras)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.legacy.Adam(0.01), loss)
    model.fit(dict(data.train.inputs), data.train.label, batch_size=24, epochs=6, verbose=0)
    model.save("keras2.keras")
    model.save("h5.h5")
    model.export("saved")
    third = fusion(keras)
    third.set_weights(model.get_weights())
    third.save("keras3.keras")
    Path("float.tflite").write_bytes(converted(model, full=False))
    Path("own_int8.tflite").write_bytes(converted(model))
    rows = data.test.balanced(SAMPLES, seed=0)
    np.savez("attacked.npz", label=rows.label, **rows.inputs)  # type: ignore[arg-type]
    folders()


def _ours() -> list[tuple[str, str, str]]:
    """What tinyfuse does with each step."""
    rows = []
    attack = ("attack", "own_int8.tflite", "--data", "own.npz", "--modality", "mfcc", "--epsilon", f"mfcc={EPSILON}",
              "--samples", str(SAMPLES), "--json")
    code, out, seconds = _run(attack)
    told = [row for row in map(json.loads, out.splitlines() if code in (0, 4) else []) if row["executor"] == "tflm"]
    left = {row.get("criterion", row["kind"]): _percent(row["correct"]) for row in told}
    rows.append(("attack", "tinyfuse, PGD through the integers", f"{left['any-iterate']} left of {left['clean']}, as "
                 f"TFLite Micro answers; {seconds:.1f} CPU s" if told else f"exit code {code}: {out}"))
    for path in FORMATS:
        code, out, _ = _run(("quantize", path, "--data", "own.npz", "--recipe", RECIPE, "--out", f"q_{path}"))
        (made, *_) = (*Path(f"q_{path}").glob("*.tflite"), Path())
        word = _bits_of(made) if code == 0 else out.splitlines()[-1]
        rows.append((f"{path} to bits by sensor", "tinyfuse", word))
        if path == FORMATS[0]:
            code, out, _ = _run(("export", str(made), "--data", "own.npz", "--out", "fw", "--vectors", "4"))
            checked = [line for line in out.splitlines() if "its C code" in line or "flash" in line]
            rows.append(("to C", "tinyfuse", "; ".join(checked) if code == 0 else out))
    data = tinyfuse.load_data("files")
    rows.append(("folders", "tinyfuse", repr(data)))
    return rows


def _run(words: Sequence[str]) -> tuple[int, str, float]:
    """Exit code, output and CPU seconds of a command."""
    out, error, begin = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = cli.main(list(words))
    return code, out.getvalue() or error.getvalue(), time.process_time() - begin


def _bits_of(made: Path) -> str:
    from tinyfuse.core import toml
    from tinyfuse.core.errors import ModelError

    layers: Any = toml.read(made.with_suffix(".toml"), ModelError)["layers"]
    return "weights of " + ", ".join(f"{one['name']} {'/'.join(map(str, sorted(set(one['bits'].values()))))}"
                                     for one in layers) + " bits"


def _percent(correct: Any) -> str:
    return f"{100 * float(correct) / SAMPLES:.0f} %"


def _theirs(python: str) -> list[tuple[str, str, str]]:
    """What the peers do, one process for all; lines of JSON on its output."""
    done = subprocess.run([python, str(STEPS), str(EPSILON)], capture_output=True, text=True, check=False)
    rows = [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith('["')]
    return [*rows, *([("peer_steps.py", python, done.stderr.strip().splitlines()[-1])] if done.returncode else [])]


if __name__ == "__main__":
    raise SystemExit(main())
