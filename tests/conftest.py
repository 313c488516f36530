"""What several boxes' tests share: a small data set that can be learnt, and where the real data lies."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from tinyfuse.data import Dataset, FeatureScaling, Pairs, Variants
from tinyfuse.nn.zoo.fusion import build, modalities_of
from tinyfuse.quantize.convert import Baseline, baseline

# A slow machine is no failure.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with MNIST and FSDD: TINYFUSE_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("TINYFUSE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data at {folder}: set TINYFUSE_TEST_DATA to a folder with mnist/ and fsdd/")
    return folder


def make_pairs(n: int, seed: int) -> Pairs:
    """Pairs whose two halves each show their class: a blurred prototype with noise."""
    prototypes = np.random.default_rng(7).random((2, 10, 28, 28, 1))
    generator = np.random.default_rng(seed)
    label = np.arange(n) % 10
    image, audio = np.clip(0.5 * prototypes[:, label] + 0.5 * generator.random((2, n, 28, 28, 1)), 0, 1)
    ids = np.arange(n) + 10_000 * seed
    unknown = np.full(n, -1, np.int32)
    return Pairs(image.astype(np.float32), audio.astype(np.float32), label.astype(np.int64), unknown, unknown, ids, ids)


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """200 training, 40 validation and 60 test pairs."""
    train = make_pairs(200, 1)
    variants = Variants(np.stack([train.audio, np.roll(train.audio, 1, axis=1)], axis=1), np.arange(len(train)))
    scaling = FeatureScaling((0.0,) * 13, (1.0,) * 13, -1.0, 1.0)
    return Dataset("tiny", "official", 0, train, make_pairs(40, 2), make_pairs(60, 3), variants, scaling, (), "0" * 64)


def lively_network(name: str) -> Any:
    """Network ``name`` whose batch norm parameters and biases are random, so that folding them matters."""
    model, generator = build(name), np.random.default_rng(11)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            n = layer.gamma.shape[0]
            layer.set_weights([generator.uniform(0.5, 1.5, n), generator.normal(0, 0.3, n),
                               generator.normal(0, 0.3, n), generator.uniform(0.5, 2.0, n)])
        elif layer.name.endswith("_head"):
            layer.set_weights([layer.get_weights()[0], generator.normal(0, 0.5, 10)])
    return model


@pytest.fixture(scope="session")
def lively_model() -> Callable[[str], Any]:
    """Lively network by name, each made once."""
    return functools.cache(lively_network)


@pytest.fixture(scope="session")
def lively(tiny_dataset: Dataset, lively_model: Callable[[str], Any]) -> Callable[[str], tuple[Any, Baseline]]:
    """Network and int8 graph by name, each made once."""

    @functools.cache
    def make(name: str) -> tuple[Any, Baseline]:
        model = lively_model(name)
        return model, baseline(model, tiny_dataset.train.balanced(40, seed=0), inputs=modalities_of(name))

    return make


def pytest_report_header() -> str:
    """Which tools the firmware tests found."""
    from tinyfuse.firmware.cores import CORES
    from tinyfuse.firmware.machine import emulators
    from tinyfuse.firmware.toolchain import compilers, host_compiler

    found = {name for core in CORES.values() for name in emulators(core)}
    return (f"firmware toolchains: cross compilers {', '.join(compilers()) or 'none'}; emulators "
            f"{', '.join(sorted(found)) or 'none'}; on this machine {host_compiler() or 'no C compiler'}")
