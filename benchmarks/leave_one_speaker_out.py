"""Accuracy of the audio network on a speaker it never heard, for each speaker of a folder's spoken digits.

The official split of FSDD shares its six speakers between training and test and flatters; this does not.
Each held-out speaker is one training. Accuracy is over distinct utterances.

    python benchmarks/leave_one_speaker_out.py --data DIR [--epochs 6] [--limit 20000]
    python benchmarks/leave_one_speaker_out.py --data DIR --study nakano2024 [--seeds 0-4] [--jobs 2] [--quick]

With ``--study`` every held-out speaker is a study of its own, in a folder of ``--out``, with all its trainings; then
each claim is told with how many of the speakers it holds for, in float and for the integers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from tinyfuse.cli import options, study
from tinyfuse.core.console import progress
from tinyfuse.core.statistics import wilson
from tinyfuse.data.digits.load import read
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, steps_per_epoch, train


def main() -> int:
    """Train once for each speaker and print one line for each, then the mean and the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=options.positive, help="default: 6, or the study's")
    parser.add_argument("--study", dest="name", help="judge its claims on each unheard speaker")
    parser.add_argument("--seeds", type=options.seeds)
    parser.add_argument("--samples", type=options.positive)
    parser.add_argument("--jobs", type=options.positive, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/speakers"))
    add_options(parser)
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Leave out each speaker in turn."""
    args.split = "speaker"
    speakers = read(args.data, args.spoken or "auto").spoken.speaker_names
    if args.name:
        return claims(args, speakers)
    shares = [held_out(args, name) for name in speakers]
    print(f"mean over {len(shares)} speakers {100 * np.mean(shares):.1f} %, worst {100 * min(shares):.1f} %")
    return 0


def claims(args: argparse.Namespace, speakers: tuple[str, ...]) -> int:
    """Run the study without each speaker, judged on that one; print a line for each claim and family of precisions."""
    from tinyfuse.report.study_page import verdict_table

    verdicts: dict[str, Counter[str]] = {}
    for speaker in speakers:
        given = vars(args) | {"held_out": speaker, "out": str(args.out / speaker), "cluster": None, "json": False}
        study.run(argparse.Namespace(**given))
        for claim in verdict_table(given["out"]):
            for family, one in claim["verdicts"].items():
                verdicts.setdefault(f"{claim['claim']}, {family}", Counter())[one["verdict"]] += 1
    for name, counted in verdicts.items():
        print(f"{name}: " + ", ".join(f"{verdict} for {count}" for verdict, count in counted.most_common())
              + f" of {len(speakers)} unheard speakers")
    return 0


def held_out(args: argparse.Namespace, speaker: str) -> float:
    """Accuracy on the distinct utterances of ``speaker`` after training on all others."""
    args.held_out = speaker
    dataset = load_from(args)
    config = TrainConfig(epochs=args.epochs or 6, batch_size=128, seed=args.seed)
    with progress(f"without {speaker}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        trained = train("audio", dataset, config, tick=advance)
    rows = np.unique(dataset.test.group, return_index=True)[1]
    chosen = dataset.test.take(rows)
    correct = int((predict(trained.model, chosen).argmax(1) == chosen.label).sum())
    low, high = wilson(correct, len(chosen))
    print(f"{speaker}: {correct} of {len(chosen)} utterances, {100 * correct / len(chosen):.1f} % "
          f"(95 % interval {100 * low:.1f} to {100 * high:.1f})", flush=True)
    return correct / len(chosen)


if __name__ == "__main__":
    raise SystemExit(main())
