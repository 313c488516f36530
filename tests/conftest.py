"""What several boxes' tests share: a small data set that can be learnt, and where the real data lies."""

from __future__ import annotations

import functools
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one worker for each core: more threads would only get into each other's way
    for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
                     "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_threads, "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from emitted import MODEL
from filelock import FileLock
from thin import thin_trunk

from tinyfuse.data import Dataset, Samples, load
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.firmware import deploy
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network, describe_training
from tinyfuse.nn.origin import seen_inputs
from tinyfuse.nn.train import TrainConfig, Trained
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.nn.zoo import resnet8
from tinyfuse.quantize.convert import Baseline, baseline

# A slow machine is no failure.
# Everybody's run of a commit draws the same examples; TINYFUSE_TEST_RANDOM draws others each time.
hypothesis.settings.register_profile("untimed", deadline=None, derandomize="TINYFUSE_TEST_RANDOM" not in os.environ)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with MNIST and FSDD: TINYFUSE_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("TINYFUSE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data at {folder}: set TINYFUSE_TEST_DATA to a folder with mnist/ and fsdd/")
    return folder


def _make_samples(n: int, seed: int) -> Samples:
    prototypes = np.random.default_rng(7).random((2, 10, 28, 28, 1))
    generator = np.random.default_rng(seed)
    label = np.arange(n) % 10
    image, audio = np.clip(0.5 * prototypes[:, label] + 0.5 * generator.random((2, n, 28, 28, 1)), 0, 1)
    inputs = {"image": image.astype(np.float32), "audio": audio.astype(np.float32)}
    return Samples(inputs, label.astype(np.int64), np.arange(n) + 10_000 * seed)


@pytest.fixture(scope="session")
def make_samples() -> Callable[[int, int], Samples]:
    """f(n, seed): samples whose two inputs each show their class, a blurred prototype with noise."""
    return _make_samples


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """200 training, 40 validation and 60 test samples of the digits' inputs."""
    train = _make_samples(200, 1)
    variants = np.stack([train.inputs["audio"], np.roll(train.inputs["audio"], 1, axis=1)], axis=1)
    fitted = {"audio": {"mean": [0.0] * 13, "std": [1.0] * 13, "low": -1.0, "high": 1.0}}
    return Dataset("tiny", INPUTS, tuple("0123456789"), train, _make_samples(40, 2), _make_samples(60, 3), "0" * 64,
                   "official", 0, Augmentation(train.inputs["image"], variants, np.arange(len(train))), fitted)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all worker processes of this run share, for what is made once; take a lock to write."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def real_digits(real_data: Path, shared_folder: Path) -> Dataset:
    """All of MNIST + FSDD; the first worker computes the features, the others find them in the cache."""
    with FileLock(shared_folder / "real_digits.lock"):
        return load(real_data)


@pytest.fixture(scope="session")
def thin_early(tiny_dataset: Dataset, shared_folder: Path) -> Network:
    """Early fusion with a tenth of the work, trained once on the tiny data set; nothing in its folder is changed."""
    with FileLock(shared_folder / "thin.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet8, "trunk", thin_trunk)
        return train_or_load("early", tiny_dataset, TrainConfig(epochs=10, batch_size=20), shared_folder / "thin")


@pytest.fixture(scope="session")
def listening_package(tiny_dataset: Dataset, shared_folder: Path) -> Path:
    """Early fusion at 6 bits, exported once with a camera of 160x120 and the live application; it stays as it is."""
    folder = shared_folder / "listening"
    with FileLock(shared_folder / "listening.lock"):
        return folder if folder.exists() else deploy.export(
            MODEL, folder, dataset=tiny_dataset, vectors=1, name="net", frontend="image=160x120", application="live")


def _lively_model(name: str, *, thin: bool = False) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if thin:
            patch.setattr(resnet8, "trunk", thin_trunk)
        model, generator = zoo.build(name, INPUTS, 10), np.random.default_rng(11)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            n = layer.gamma.shape[0]
            layer.set_weights([generator.uniform(0.5, 1.5, n), generator.normal(0, 0.3, n),
                               generator.normal(0, 0.3, n), generator.uniform(0.5, 2.0, n)])
        elif layer.name.endswith("_head"):
            layer.set_weights([layer.get_weights()[0], generator.normal(0, 0.5, 10)])
    return model


@pytest.fixture(scope="session")
def lively_model() -> Callable[..., Any]:
    """f(name, thin=False): a ``tf_keras`` model, whose batch norm parameters and biases are random, so that folding
    them matters; ``thin``: with a tenth of the work.
    """
    return functools.cache(_lively_model)


@pytest.fixture(scope="session")
def lively_network(tiny_dataset: Dataset, lively_model: Callable[..., Any]) -> Callable[..., Network]:
    """The same as a network that says it was trained on the tiny data set; it has no file."""

    @functools.cache
    def make(name: str, *, thin: bool = False) -> Network:
        model = lively_model(name, thin=thin) if thin else lively_model(name)
        table = describe_training(Trained(name, model, 1, 0.5, 0.5, 0.1), tiny_dataset, TrainConfig(epochs=1))
        seen = seen_inputs(model)
        return Network(name, model, tuple(one for one in INPUTS if one.name in seen), tiny_dataset.classes,
                       table | {"sha256": "0" * 64}, Path(f"{name}.keras"))

    return make


@pytest.fixture(scope="session")
def lively(tiny_dataset: Dataset,
           lively_network: Callable[..., Network]) -> Callable[..., tuple[Network, Baseline]]:
    """Lively network and its int8 graph by name, each made once."""

    @functools.cache
    def make(name: str, *, thin: bool = False) -> tuple[Network, Baseline]:
        network = lively_network(name, thin=thin) if thin else lively_network(name)
        return network, baseline(network, tiny_dataset.train.balanced(40, seed=0))

    return make


SLOW_FIRST = ("test_any_inputs", "test_docs", "test_real_data", "test_bench", "test_verify", "test_random_graphs",
              "test_select", "test_qat", "test_graph", "test_own_network", "test_cli", "test_studies", "test_program",
              "test_autoencoder", "test_attack", "test_certify", "test_waves", "test_models_again", "test_models")
"""Files that take longest: begun first, so that no worker is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the slowest files to the front; the order within a file stays."""
    items.sort(key=lambda item: SLOW_FIRST.index(item.path.stem) if item.path.stem in SLOW_FIRST else len(SLOW_FIRST))


def pytest_report_header() -> str:
    """Which tools the firmware tests found."""
    from tinyfuse.firmware.cores import CORES
    from tinyfuse.firmware.machine import emulators
    from tinyfuse.firmware.toolchain import compilers, host_compiler

    found = {name for core in CORES.values() for name in emulators(core)}
    return (f"firmware toolchains: cross compilers {', '.join(compilers()) or 'none'}; emulators "
            f"{', '.join(sorted(found)) or 'none'}; on this machine {host_compiler() or 'no C compiler'}")
