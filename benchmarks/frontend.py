"""Front ends in C: how close to librosa over all recordings, what they cost on each core, and what a wave can reach.

    python benchmarks/frontend.py parity --data DIR [--model models/digits/audio__w8.tflite] [--arithmetic fixed]
    python benchmarks/frontend.py wave --data DIR [--samples 100]
        [--spoken speech_commands --models DIR --networks early,late]
    python benchmarks/frontend.py cost [--model models/digits/early__w6.tflite] [--core m0+,m3,m4,m7,m33,m55]
                                       [--arithmetic fixed]

``parity``: FSDD and the Speech Commands digits of DIR (``--spoken``: one of them), through librosa and through the C
code's arithmetic: input codes apart, and classes of the network that differ. ``cost``: the package's front ends on
emulated cores, exactness and instructions of each stage. ``wave``: three fusions at 8 and 6 bits under attacks on
FSDD's test recordings, on their features, and on recordings made to have the attacked features (``frontend_waves.py``);
with ``--spoken speech_commands`` those of speakers that training with ``--split speaker`` never heard, for networks in
``--models`` that were trained so. Each prints tables of ``benchmarks/results/frontend.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from frontend_waves import NETWORKS, SPOKEN, recordings, wave

from tinyfuse.cli import options
from tinyfuse.core.errors import DataError, ParityError
from tinyfuse.core.files import temporary_folder
from tinyfuse.data.digits.corpus import Clips
from tinyfuse.data.digits.load import read
from tinyfuse.firmware import deploy
from tinyfuse.firmware.frontend_plan import Part, front_ends_of
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.verify import verify
from tinyfuse.frontend.device_sound import FULL_SCALE, SoundTables, sound_codes
from tinyfuse.frontend.fixed_sound import ARITHMETICS
from tinyfuse.frontend.normalisation import apply, read_normalisation
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.report.tables import markdown

BATCH = 50


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("parity", "cost", "wave"))
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--spoken", choices=SPOKEN)
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder of the networks (default models/digits)")
    parser.add_argument("--networks", default=",".join(NETWORKS), metavar="NAMES")
    parser.add_argument("--samples", type=options.positive, default=100, metavar="N")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for waves as WAV files, some of each ratio")
    parser.add_argument("--core", metavar="NAMES")
    parser.add_argument("--arithmetic", choices=ARITHMETICS, default="float")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Print the table that was asked for."""
    models = args.models or Path(__file__).resolve().parent.parent / "models" / "digits"
    if args.what == "cost":
        return cost(args.model or models / "early__w6.tflite", args.core, args.arithmetic)
    if args.data is None:
        raise DataError("no data; give --data DIR with FSDD or the Speech Commands digits")
    if args.what == "wave":
        heard = recordings(args.data, args.samples, args.spoken or SPOKEN[0])
        return wave(*heard, models, args.networks.split(","), args.out)
    return parity(args.data, args.model or models / "audio__w8.tflite", args.arithmetic,
                  (args.spoken,) if args.spoken else SPOKEN)


def parity(data: Path, path: Path, arithmetic: str, corpora: tuple[str, ...]) -> int:
    """Compare over all recordings of ``corpora`` in ``data``, as their int16 samples."""
    model = load_model(path)
    origin = deploy.table_of(path, model)
    (part,) = front_ends_of(program_of(model, "net"), [port.name for port in model.inputs], origin,
                            arithmetic=arithmetic).parts
    rows = []
    for spoken in corpora:
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


def cost(path: Path, cores: str | None, arithmetic: str) -> int:
    """Export, verify on ``cores``, and print what each stage takes."""
    with temporary_folder(None, "tinyfuse") as work:
        found = verify(deploy.export(path, work / "package", vectors=1, frontend=f"image=160x120,{arithmetic}"),
                       cores=cores)
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


if __name__ == "__main__":
    raise SystemExit(main())
