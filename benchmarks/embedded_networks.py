"""Train the networks that come with the package on the embedded data, and write their list and card.

    python benchmarks/embedded_networks.py [NAME ...]

What is trained already is kept; delete a network to train it again. Minutes for each on one core.
"""

from __future__ import annotations

import sys

from tinyfuse.core import provenance, toml
from tinyfuse.core.console import console
from tinyfuse.core.files import write_text
from tinyfuse.core.statistics import wilson
from tinyfuse.data import load
from tinyfuse.data.samples import PARTS
from tinyfuse.nn.network import Network
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.nn.zoo.resnet8 import DIGIT_NETWORKS
from tinyfuse.study.pretrained import FOLDER, LIST

CONFIG = TrainConfig(epochs=60)
VERSIONS = ("tinyfuse", "tensorflow", "tf_keras")
CARD = """\
---
license: apache-2.0
library_name: tinyfuse
tags: [tinyml, audio, image, tflite, microcontroller]
metrics: [accuracy]
---
# The networks that come with the package

ResNet8 of MLPerf Tiny on the embedded digits, alone and fused at three depths. `tinyfuse bench` takes them instead of
training the same ones: same data, settings and versions (`networks.toml` holds checksums and versions, the `.toml`
beside each network everything else). `--retrain` trains.

**Data** The embedded set, official split: {data} samples.
scikit-learn's handwritten digits, enlarged to 28x28, and the spoken digits of a synthesiser as 39x13 MFCC, paired by
class.

**Training** {epochs} epochs of Adam with a cosine schedule from {rate}, batches of {batch}, seed {seed}; images rotated
and shifted, features of changed recordings; the best epoch on the validation part.

| network | inputs | test accuracy % (95 % interval) |
| --- | --- | ---: |
{rows}

On {n} test samples of the very speakers and writers that training saw: these networks show what the tool does. They
read no digits of people.

**Reproduce**: `python benchmarks/embedded_networks.py` (in a checkout, with this folder's networks deleted).
"""


def main(names: list[str]) -> None:
    """Train what is missing, then write the list and the card of all."""
    dataset = load()
    found = [train_or_load(name, dataset, CONFIG, FOLDER, report=console.print) for name in names or DIGIT_NETWORKS]
    if len(found) < len(DIGIT_NETWORKS):
        return
    versions = provenance.versions()
    write_text(FOLDER / LIST, toml.dumps({"versions": {name: versions[name] for name in VERSIONS},
                                          "sha256": {network.name: network.sha256 for network in found}}))
    table = found[0].table["data"]
    data = ", ".join(f"{table[f'{part}_samples']} {part}" for part in PARTS)
    write_text(FOLDER / "README.md", CARD.format(
        data=data, epochs=CONFIG.epochs, rate=CONFIG.learning_rate, batch=CONFIG.batch_size, seed=CONFIG.seed,
        n=table["test_samples"], rows="\n".join(map(_row, found))))


def _row(network: Network) -> str:
    share, n = network.table["accuracy"]["test"], network.table["data"]["test_samples"]
    low, high = wilson(round(share * n), n)
    return (f"| {network.name} | {', '.join(network.input_names)} | {100 * share:.1f} ({100 * low:.1f} to "
            f"{100 * high:.1f}) |")


if __name__ == "__main__":
    main(sys.argv[1:])
