"""Accuracy of the audio network on a speaker it never heard, for each speaker of a folder's spoken digits.

The official split of FSDD shares its six speakers between training and test and flatters; this does not.
Each held-out speaker is one training. Accuracy is over distinct utterances.

    python benchmarks/leave_one_speaker_out.py --data DIR [--epochs 6] [--limit 20000]
"""

from __future__ import annotations

import argparse

import numpy as np

from tinyfuse.cli import options
from tinyfuse.core.console import progress
from tinyfuse.core.statistics import wilson
from tinyfuse.data.digits.load import read
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, steps_per_epoch, train


def main() -> int:
    """Train once for each speaker and print one line for each, then the mean and the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=options.positive, default=6)
    add_options(parser)
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Leave out each speaker in turn."""
    args.split = "speaker"
    speakers = read(args.data, args.spoken or "auto").spoken.speaker_names
    shares = [held_out(args, name) for name in speakers]
    print(f"mean over {len(shares)} speakers {100 * np.mean(shares):.1f} %, worst {100 * min(shares):.1f} %")
    return 0


def held_out(args: argparse.Namespace, speaker: str) -> float:
    """Accuracy on the distinct utterances of ``speaker`` after training on all others."""
    args.held_out = speaker
    dataset = load_from(args)
    config = TrainConfig(epochs=args.epochs, batch_size=128, seed=args.seed)
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
