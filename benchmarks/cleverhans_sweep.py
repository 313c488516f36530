"""Seconds of an FGSM sweep and of PGD against CleverHans 4.0 on the same network and inputs, in one run, as ratios.

The sweep attacks the image, the audio and both at ten budgets. CleverHans takes one input, so each modality needs a
closure, which it traces anew at every call. Needs the `dev` extra.

    python benchmarks/cleverhans_sweep.py [--pairs 100] [--steps 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyfuse import data
from tinyfuse.attacks import KerasTarget, Threat, fgsm, pgd
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.zoo.fusion import build

EPSILONS = [round(0.01 * step, 2) for step in range(1, 11)]
MODES = {"image": ("image",), "audio": ("audio",), "both": ("image", "audio")}


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    """How long ``action`` takes, and what it returns."""
    began = time.monotonic()
    result = action()
    return time.monotonic() - began, result


def as_one_tensor(batch: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """The inputs ``names`` side by side in the last axis."""
    return np.concatenate([batch[name] for name in names], axis=-1)


def closure(model: Any, batch: dict[str, np.ndarray], names: tuple[str, ...]) -> Callable[[Any], Any]:
    """The network as a function of one tensor that holds the inputs ``names``; the other input is fixed."""
    def logits(x: Any) -> Any:
        given = {name: x[..., index:index + 1] for index, name in enumerate(names)}
        return model({**batch, **given}, training=False)

    return logits


def main() -> int:
    """Print one line for each attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=options.positive, default=100)
    parser.add_argument("--steps", type=options.positive, default=20)
    args = parser.parse_args()
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    tf = tensorflow()
    pairs = data.load().test.balanced(args.pairs, seed=0)
    model, batch, label = build("early"), pairs.inputs(), pairs.label
    target = KerasTarget(model, batch_size=len(pairs))
    threats = [Threat("linf", dict.fromkeys(names, epsilon)) for names in MODES.values() for epsilon in EPSILONS]

    def theirs() -> list[np.ndarray]:
        return [np.asarray(fast_gradient_method(closure(model, batch, names), tf.constant(as_one_tensor(batch, names)),
                                                epsilon, np.inf, clip_min=0.0, clip_max=1.0, y=tf.constant(label)))
                for names in MODES.values() for epsilon in EPSILONS]

    ours_s, ours = seconds(lambda: fgsm(target, batch, label, threats))
    theirs_s, expected = seconds(theirs)
    equal = np.mean([np.array_equal(as_one_tensor(found.last, found.threat.modalities), x)
                     for found, x in zip(ours, expected, strict=True)])
    print(f"FGSM, 3 modes x 10 budgets, {len(pairs)} pairs: tinyfuse {ours_s:.1f} s, CleverHans {theirs_s:.1f} s, "
          f"ratio {theirs_s / ours_s:.1f}; {100 * equal:.0f} % of the {len(ours)} results bitwise equal")
    names, epsilon = MODES["both"], 0.05
    ours_s, found = seconds(lambda: pgd(target, batch, label, Threat("linf", dict.fromkeys(names, epsilon)),
                                        steps=args.steps, step_size=0.01))
    theirs_s, last = seconds(lambda: projected_gradient_descent(
        closure(model, batch, names), tf.constant(as_one_tensor(batch, names)), epsilon, 0.01, args.steps, np.inf,
        clip_min=0.0, clip_max=1.0, y=tf.constant(label)))
    same = np.mean(as_one_tensor(found.last, names) == np.asarray(last))
    print(f"PGD-{args.steps} on both, {len(pairs)} pairs: tinyfuse {ours_s:.1f} s, CleverHans {theirs_s:.1f} s, ratio "
          f"{theirs_s / ours_s:.1f}; {100 * same:.2f} % of coordinates of the last iterate bitwise equal")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
