"""Peak memory of training, converting and attacking on data larger than one would load: arrays and a folder of files.

    python benchmarks/large_data.py [--samples 75000] [--files 20000] [--folder DIR]

Makes a folder of ``.npy`` arrays of colour pictures (uint8, 96x96x3: 2 GB for 75,000, 8 GB as float32) and a folder of
grey PNG files by class, and the same with a tenth of them. Every step runs in a process of its own; its peak of
resident memory, as the kernel counts it, is printed beside the size of the data.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("still", "walk", "run", "fall")
SIDE = 96
MEBI = 1 << 20
SETTINGS = '[split]\nvalidation = 0.05\ntest = 0.05\n'


def make_arrays(path: Path, samples: int) -> int:
    """Write ``samples`` pictures by class, block by block; return their bytes."""
    folder = path.parent / f"{path.stem}-arrays"
    folder.mkdir(parents=True)
    pictures = np.lib.format.open_memmap(folder / "camera.npy", "w+", np.uint8, (samples, SIDE, SIDE, 3))
    rng, label = np.random.default_rng(0), np.arange(samples) % len(CLASSES)
    for start in range(0, samples, 1000):
        rows = slice(start, min(start + 1000, samples))
        block = rng.integers(0, 128, pictures[rows].shape, np.uint8)
        pictures[rows] = block + (label[rows, None, None, None] * 40).astype(np.uint8)
    pictures.flush()
    np.save(folder / "label.npy", np.array(CLASSES)[label])
    (folder / "dataset.toml").write_text(SETTINGS)
    folder.rename(path)
    return pictures.nbytes


def make_files(path: Path, files: int) -> int:
    """Write ``files`` grey pictures of 32x32 into folders of classes; return their values as float32 bytes."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (path / name).mkdir(parents=True)
    for index in range(files):
        place = index % len(CLASSES)
        pixels = rng.integers(0, 128, (32, 32), np.uint8) + np.uint8(40 * place)
        Image.fromarray(pixels).save(path / CLASSES[place] / f"{index:06d}.png", compress_level=1)
    (path / "dataset.toml").write_text(SETTINGS)
    return files * 32 * 32 * 4


def build(inputs: Any, classes: int) -> Any:
    """A small network of any one picture."""
    from tf_keras import layers

    x = next(iter(inputs.values()))
    x = layers.Conv2D(8, 3, strides=4, padding="same", activation="relu", name="first")(x)
    return layers.Dense(classes, name="head")(layers.GlobalAveragePooling2D(name="pool")(x))


def work(step: str, data: str, out: str) -> None:
    """Run one step in this process."""
    from tinyfuse import api, load_data
    from tinyfuse.nn import zoo

    zoo.register("small", build)
    dataset = load_data(data)
    network = Path(out) / "small.keras"
    if step == "train":
        api.train("small", dataset, out=out, epochs=1, batch_size=50)
    elif step == "convert":
        api.convert(network, "w6", dataset)
    elif step == "attack":
        api.attack(network.with_name("small__w6.tflite"), dataset, samples=200,
                   epsilon=0.05 * dataset.inputs[0].span, steps=5)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def measure(step: str, data: Path, out: Path) -> tuple[float, float]:
    """Run one step as a process: peak of resident memory in MiB, and seconds."""
    began = time.monotonic()
    process = subprocess.run([sys.executable, __file__, "--step", step, str(data), str(out)], capture_output=True,
                             text=True, check=False, env={**os.environ, "TINYFUSE_CACHE": str(out / "cache")})
    if process.returncode:
        sys.exit(process.stderr)
    return int(process.stdout.split()[-1]) / 1024, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=75_000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", help="where the data are made and removed again (default: a temporary folder)")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        work(*args.step)
        return
    root = Path(tempfile.mkdtemp(prefix="large-data-", dir=args.folder))
    try:
        print("| data | samples | MiB as float32 | step | peak MiB | s |\n|---|---|---|---|---|---|")
        for kind, make, count in (("arrays", make_arrays, args.samples), ("files", make_files, args.files)):
            for samples in (count // 10, count):
                data, out = root / f"{kind}-{samples}", root / f"out-{kind}-{samples}"
                size = make(data, samples) * (4 if kind == "arrays" else 1) / MEBI
                for step in ("load", "train", "convert", "attack"):
                    peak, seconds = measure(step, data, out)
                    print(f"| {kind} | {samples:,} | {size:,.0f} | {step} | {peak:,.0f} | {seconds:.0f} |", flush=True)
                shutil.rmtree(data)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
