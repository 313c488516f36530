"""Front ends in C: how close to librosa over all recordings, what they cost on each core, and what a wave can reach.

    python benchmarks/frontend.py parity --data DIR [--model models/digits/audio__w8.tflite]
    python benchmarks/frontend.py wave --data DIR [--samples 50]
    python benchmarks/frontend.py cost [--model models/digits/early__w6.tflite] [--core m0+,m3,m4,m7,m33,m55]

``parity``: FSDD and the Speech Commands digits of DIR, through librosa and through the C code's arithmetic: input codes
apart, and classes of the network that differ. ``cost``: the package's front ends on emulated cores, exactness and
instructions of each stage. ``wave``: PGD on the samples of FSDD's test recordings through the float network of three
fusions, judged by the device's chain at 8 and 6 bits, with the distance in feature space that a wave reached. Each
prints a table of ``benchmarks/results/frontend.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.attacks.wave.attack_wave import attack_wave
from tinyfuse.attacks.wave.chains import DeviceChain
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.attacks.wave.scene import Scene, as_int16, save_wave, snr_db
from tinyfuse.attacks.wave.wave_target import WaveTarget
from tinyfuse.cli import options
from tinyfuse.core.errors import DataError, ParityError
from tinyfuse.core.files import temporary_folder
from tinyfuse.data.digits.corpus import Clips
from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.data.digits.load import read
from tinyfuse.firmware import deploy
from tinyfuse.firmware.frontend_plan import Part, front_ends_of
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.verify import verify
from tinyfuse.frontend.device_sound import FULL_SCALE, SoundTables, sound_codes
from tinyfuse.frontend.normalisation import apply, read_normalisation
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.nn.network import load_network
from tinyfuse.report.tables import markdown
from tinyfuse.threats.wave_budgets import WaveBudget

BATCH = 50


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("parity", "cost", "wave"))
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--samples", type=options.positive, default=50, metavar="N")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for waves as WAV files, some of each ratio")
    parser.add_argument("--core", metavar="NAMES")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Print the table that was asked for."""
    models = Path(__file__).resolve().parent.parent / "models" / "digits"
    if args.what == "cost":
        return cost(args.model or models / "early__w6.tflite", args.core)
    if args.data is None:
        raise DataError("no data; give --data DIR with FSDD or the Speech Commands digits")
    if args.what == "wave":
        return wave(args.data, models, args.samples, args.out)
    return parity(args.data, args.model or models / "audio__w8.tflite")


def parity(data: Path, path: Path) -> int:
    """Compare over all recordings of ``data``, as their int16 samples."""
    model = load_model(path)
    origin = deploy.table_of(path, model)
    (part,) = front_ends_of(program_of(model, "net"), [port.name for port in model.inputs], origin).parts
    rows = []
    for spoken in ("fsdd", "speech_commands"):
        mine, wanted, test = codes_of_all(data, spoken, part, origin["fitted"][part.name])
        apart = np.abs(mine - wanted)
        answers = [classes(model, part, codes) for codes in (mine, wanted)]
        differ = answers[0] != answers[1]
        rows.append([spoken, str(len(mine)), f"{apart.size}", f"{np.mean(apart == 0):.6f}",
                     f"{np.mean(apart <= 1):.6f}", str(apart.max()), f"{differ.sum()} of {differ.size}",
                     f"{differ[test].sum()} of {test.sum()}"])
    print(markdown(["recordings", "count", "codes", "equal", "within one", "most apart", "other classes",
                    "of the test part"], rows, [0]))
    return 0


def codes_of_all(data: Path, spoken: str, part: Part, fitted: dict[str, object],
                 ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute codes by C's arithmetic and by librosa's, int [n, size], and which recordings are of the test part."""
    tables = part.tables
    assert isinstance(tables, SoundTables)
    one, normalisation = tables.front_end, read_normalisation(tables.front_end, fitted, "fitted")
    corpus = read(data, spoken).spoken
    assert isinstance(corpus.voice, Clips)
    mine, wanted = [], []
    for clips in batches(corpus.voice, len(corpus)):
        mine.append(sound_codes(tables, clips).reshape(len(clips), -1).astype(np.int16))
        values = apply(one, normalisation, np.stack([one.features(clip, rate=one.rate) for clip in clips]))
        steps = np.round(values.reshape(len(clips), -1).astype(np.float64) / tables.grid.scale)
        wanted.append(np.clip(steps + tables.grid.zero_point, tables.grid.low, tables.grid.high).astype(np.int16))
    return np.concatenate(mine), np.concatenate(wanted), corpus.part == corpus.part.max()


def batches(voice: Clips, count: int) -> Iterator[list[np.ndarray]]:
    """Give the recordings as int16 samples, BATCH at a time."""
    for first in range(0, count, BATCH):
        clips = [voice.clip(row) for row in range(first, min(first + BATCH, count))]
        yield [np.clip(np.round(clip * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16) for clip in clips]


def classes(model: IntegerModel, part: Part, codes: np.ndarray) -> np.ndarray:
    """Ask the integers for the class of each row of codes."""
    (port,) = model.inputs
    executor = open_executor(model, "twin")
    found = [executor.run({port.name: rows.reshape(-1, *port.shape[1:]).astype(port.dtype)}).argmax(axis=1)
             for rows in np.array_split(codes, max(1, len(codes) // 100))]
    return np.concatenate(found)


def cost(path: Path, cores: str | None) -> int:
    """Export, verify on ``cores``, and print what each stage takes."""
    with temporary_folder(None, "tinyfuse") as work:
        found = verify(deploy.export(path, work / "package", vectors=1, frontend="image=160x120"), cores=cores)
    rows = []
    for one in found.front_ends:
        if one.core != "host":
            each = one.instructions
            decision = each["audio hop"] + each["audio codes"]
            rows.append([one.core, str(sum(one.compared.values())), str(sum(one.differing.values())),
                         *(str(each[name]) for name in ("audio", "audio hop", "audio codes", "image", "network")),
                         f"{decision / each['network']:.3f}", str(one.flash.flash if one.flash else 0),
                         str(one.stream_bytes["audio"])])
    print(markdown(["core", "codes", "differ", "whole recording", "hop", "codes of a decision", "frame 160x120",
                    "network", "decision / network", "flash", "stream RAM"], rows, [0]))
    if any(sum(one.differing.values()) for one in found.front_ends):
        raise ParityError("a code differs from Python's")
    return 0


def wave(data: Path, models: Path, count: int, out: Path | None) -> int:
    """Attack ``count`` recordings of the test part, each with a picture of its class, at several ratios."""
    corpus = read(data, "fsdd")
    assert isinstance(corpus.spoken.voice, Clips)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(corpus.spoken.part == corpus.spoken.part.max()))[:count]
    labels = corpus.spoken.label[rows]
    clips = [as_int16(corpus.spoken.voice.clip(row)) for row in rows]
    held = [np.flatnonzero((corpus.written.part == corpus.written.part.max()) & (corpus.written.label == label))
            for label in range(10)]
    images = np.stack([corpus.written.images[held[label][place]] for place, label in enumerate(labels)])
    scene = Scene("audio", FRONT_END, clips, {"image": (images / np.float32(255))[..., None].astype(np.float32)})
    table = []
    for name in ("early", "intermediate", "late"):
        table += [line for ratio in (None, *RATIOS_DB) for line in attacked(models, name, scene, labels, ratio, out)]
    print(markdown(["network", "bits", "least ratio in dB", "accuracy", "largest change of an input", "median of them"],
                   table, [0]))
    return 0


RATIOS_DB = (40.0, 30.0, 20.0, 10.0)


def attacked(models: Path, name: str, scene: Scene, labels: np.ndarray, ratio: float | None,
             out: Path | None) -> Iterator[list[str]]:
    """Attack one network at one ratio (None: not at all) and judge what comes out at 8 and 6 bits."""
    network = load_network(models / f"{name}.keras")
    fitted = read_normalisation(FRONT_END, network.table["fitted"]["audio"], name)
    sound, clips = DifferentiableSound(FRONT_END, fitted), scene.clips
    if ratio is not None:
        target = WaveTarget(KerasTarget.of(network), "audio", sound)
        clips = attack_wave(PGD(steps=20), target, scene, labels, WaveBudget("snr", ratio))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            save_wave(out / f"{name}-{ratio:.0f}dB-{labels[0]}.wav", clips[0], FRONT_END.rate)
    least = min(snr_db(*pair) for pair in zip(scene.clips, clips, strict=True))
    inputs = [apply(FRONT_END, fitted, np.stack([FRONT_END.features(clip) for clip in some]))
              for some in (scene.clips, clips)]
    far = np.abs(inputs[1] - inputs[0]).reshape(len(clips), -1).max(axis=1)
    for bits in ("w8", "w6"):
        model = load_model(models / f"{name}__{bits}.tflite")
        right = np.mean(DeviceChain(model, "audio", FRONT_END, fitted).logits(scene, clips).argmax(axis=1) == labels)
        yield [name, bits, "no attack" if ratio is None else f"{least:.1f}", f"{right:.3f}", f"{far.max():.3f}",
               f"{np.median(far):.3f}"]


if __name__ == "__main__":
    raise SystemExit(main())
