"""Processor seconds of an FGSM sweep and of PGD beside CleverHans 4.0, same network and inputs, one run, as ratios.

The sweep attacks the image, the audio and all at ten budgets. CleverHans takes one input, so each modality needs a
closure, which it traces anew at every call. Needs the `dev` extra.

The last figure of a line is the limit: what the network's own passes of our attack take, run alone. An attack that
computes the same gradients and judges the same inputs with this TensorFlow cannot be faster than they are.

    python benchmarks/cleverhans_sweep.py [--samples 100] [--steps 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyfuse import data
from tinyfuse.attacks import FGSM, PGD, Adversarial, KerasTarget, Threat
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.nn import zoo
from tinyfuse.threats.modes import ALL, modes_of

EPSILONS = [round(0.01 * step, 2) for step in range(1, 11)]
MODES = modes_of(("image", "audio"))


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds that ``action`` takes, and what it returns."""
    began = time.process_time()
    result = action()
    return time.process_time() - began, result


def limit(ours_s: float, theirs_s: float, passes: Callable[[], Any]) -> str:
    """Say how much of ``ours_s`` the ``passes`` of the network take alone, and the ratio that this allows."""
    alone, _ = seconds(passes)
    return (f"the network's passes alone take {alone:.1f} s of it ({100 * alone / ours_s:.0f} %), which allows "
            f"{theirs_s / alone:.1f} at most")


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
    parser.add_argument("--samples", type=options.positive, default=100)
    parser.add_argument("--steps", type=options.positive, default=20)
    args = parser.parse_args()
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    tf = tensorflow()
    dataset = data.load()
    samples = dataset.test.balanced(args.samples, seed=0)
    model, batch, label = zoo.build("early", dataset.inputs, len(dataset.classes)), samples.inputs, samples.label
    target = KerasTarget(model, batch_size=len(samples))
    threats = [Threat.of(dataset.inputs, dict.fromkeys(names, epsilon))
               for names in MODES.values() for epsilon in EPSILONS]

    def ours() -> list[Adversarial]:
        gradient = target.gradient(batch, label, target.inputs)
        return [FGSM().run(target, batch, label, threat, known=gradient) for threat in threats]

    def theirs() -> list[np.ndarray]:
        return [np.asarray(fast_gradient_method(closure(model, batch, names), tf.constant(as_one_tensor(batch, names)),
                                                epsilon, np.inf, clip_min=0.0, clip_max=1.0, y=tf.constant(label)))
                for names in MODES.values() for epsilon in EPSILONS]

    ours_s, made = seconds(ours)
    theirs_s, expected = seconds(theirs)
    equal = np.mean([np.array_equal(as_one_tensor(found.last, found.threat.attacked), x)
                     for found, x in zip(made, expected, strict=True)])
    print(f"FGSM, 3 modes x 10 budgets, {len(samples)} samples: tinyfuse {ours_s:.1f} s, CleverHans {theirs_s:.1f} s, "
          f"ratio {theirs_s / ours_s:.1f}; {100 * equal:.0f} % of the {len(made)} results bitwise equal; "
          + limit(ours_s, theirs_s, lambda: [target.gradient(batch, label, target.inputs),
                                             *(target.logits(batch) for _ in threats)]))
    names, epsilon = MODES[ALL], 0.05
    attack, threat = PGD(steps=args.steps, step_size=0.01), Threat.of(dataset.inputs, dict.fromkeys(names, epsilon))
    ours_s, found = seconds(lambda: attack.run(target, batch, label, threat))
    theirs_s, last = seconds(lambda: projected_gradient_descent(
        closure(model, batch, names), tf.constant(as_one_tensor(batch, names)), epsilon, 0.01, args.steps, np.inf,
        clip_min=0.0, clip_max=1.0, y=tf.constant(label)))
    same = np.mean(as_one_tensor(found.last, names) == np.asarray(last))
    print(f"PGD-{args.steps} on all, {len(samples)} samples: tinyfuse {ours_s:.1f} s, CleverHans {theirs_s:.1f} s, "
          f"ratio {theirs_s / ours_s:.1f}; {100 * same:.2f} % of coordinates of the last iterate bitwise equal; "
          + limit(ours_s, theirs_s, lambda: [*(target.gradient(batch, label, names) for _ in range(args.steps)),
                                             *(target.logits(batch) for _ in range(2))]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
