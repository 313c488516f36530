"""The steps of the main job, one call each: what the command line and the public API do.

Every step takes and leaves files, so that each can be run on its own: ``train`` a network, ``convert`` it,
``attack`` either with its own gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import DataError, ModelError, UsageError
from tinyfuse.core.files import save_arrays, sha256_hex

if TYPE_CHECKING:
    import numpy as np

    from tinyfuse.data import Dataset
    from tinyfuse.integer.interpreters import IntegerModel
    from tinyfuse.nn.train_or_load import Network
    from tinyfuse.study.attack_one import Rows, Single
    from tinyfuse.study.minimal_budget import Smallest

TRAIN_PAIRS = 200


def train(name: str, dataset: Dataset, *, out: str | Path, **settings: Any) -> Path:
    """Train network ``name`` (image, audio, early, intermediate, late) and return the path of its ``.keras`` file.

    ``settings`` are those of :class:`tinyfuse.nn.train.TrainConfig`: epochs, batch_size, learning_rate, seed. A run
    that was interrupted goes on where it stopped; a network that is already there is returned as it is.
    """
    from tinyfuse.nn.train import TrainConfig, steps_per_epoch
    from tinyfuse.nn.train_or_load import obtain

    config = TrainConfig(**settings)
    with progress(f"training {name}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        return obtain(name, dataset, config, out, tick=advance, report=console.print).path


def convert(network: str | Path, recipe: str | Path, dataset: Dataset, *, out: str | Path | None = None,
            calibration_pairs: int = 200, proof_pairs: int = 16, qat_epochs: int = 2) -> Path:
    """Convert a ``.keras`` network with one ``recipe``; see :func:`convert_many`."""
    return convert_many(network, [recipe], dataset, out=out, calibration_pairs=calibration_pairs,
                        proof_pairs=proof_pairs, qat_epochs=qat_epochs)[0]


def convert_many(network: str | Path, recipes: Sequence[str | Path], dataset: Dataset, *,
                 out: str | Path | None = None, calibration_pairs: int = 200, proof_pairs: int = 16,
                 qat_epochs: int = 2) -> list[Path]:
    """Convert a ``.keras`` network with each of ``recipes`` (``w6``, ``image6-audio9-shared8``, a TOML path).

    Returns the paths of the ``.tflite`` files; each is only written once it has passed its proof. ``dataset`` must
    be the one the network was trained on: activation ranges come from its training part. For a recipe with ``qat`` the
    network goes on training there first, ``qat_epochs`` epochs, and is kept as ``<model>-<recipe>.keras`` beside the
    ``.tflite``; interrupted, that goes on where it stopped.
    """
    from tinyfuse.nn.train_or_load import load_network
    from tinyfuse.quantize import convert as writer
    from tinyfuse.quantize.recipe import precision
    from tinyfuse.study.stages.convert_stage import graph_of, publish_proven, trained_with

    wanted = [precision(recipe) for recipe in recipes]
    found = load_network(network)
    dataset = same_data(network, found.table, dataset)
    calibration, graphs = dataset.train.balanced(calibration_pairs, seed=0), dict[str, writer.Baseline]()
    pairs, folder = dataset.test.balanced(proof_pairs, seed=0), Path(out or Path(network).parent)
    paths = []
    for recipe in wanted:
        trained = trained_with(found, recipe, dataset, folder, qat_epochs)
        conversion = writer.convert(graph_of(trained, calibration, graphs), recipe)
        paths.append(publish_proven(conversion, trained, pairs, folder, calibration_pairs=calibration_pairs).path)
    return paths


def attack(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "both",
           epsilon: float | Mapping[str, float] = 0.03, codes: int | None = None, norm: str = "linf",
           threat: str = "codes", mask: Mapping[str, np.ndarray] | None = None, pairs: int = 100,
           executors: Sequence[str] = ("tflm",), source: str | Path | None = None, ensemble: bool = False,
           save: str | Path | None = None, **parameters: Any) -> Rows:
    """Attack a ``.keras`` network or a ``.tflite`` with its own gradients; return result rows.

    ``epsilon`` is one budget, or one for each attacked modality, in input units; ``codes`` is a budget in whole codes
    of an integer model instead. ``threat`` (integer models): "codes", "real" or "naive", see threats/code_threats.py.
    ``parameters`` go to the attack: steps, step_size, loss, random_start, restarts, seed, queries, ...

    A ``.tflite`` needs no network: its twin is attacked, and ``executors`` judge the same codes again; with ``tflm``
    among them, a single differing code is a :class:`ParityError`. With ``source``, or the threat "naive", the inputs
    are made on that ``.keras`` file instead (default: the one beside it) and replayed. ``ensemble`` takes the mean of
    the gradients of both; the attack "diva" looks for inputs that the integers alone get wrong. "universal" is one
    perturbation made on ``train_pairs`` (200) pairs of the training part. ``save``: an ``.npz`` file for ``made``.
    """
    from tinyfuse.attacks import Threat
    from tinyfuse.integer.interpreters import load
    from tinyfuse.study.attack_arguments import budget_of, check_attack
    from tinyfuse.study.attack_one import Single
    from tinyfuse.threats.code_threats import whole_codes

    path = Path(model)
    check_attack(path, attack, threat, executors, source, ensemble, codes, parameters)
    _check_save(save)
    dataset = _data_of(path, dataset)
    wanted = budget_of(modality, 0.0 if codes is not None else epsilon, norm)
    integer = None if path.suffix == ".keras" else load(path)
    budget = wanted if codes is None or integer is None else whole_codes(codes, tuple(wanted), integer.grids)
    given = {"train_pairs": TRAIN_PAIRS, **parameters} if attack == "universal" else parameters
    single = Single(attack, given, Threat(norm, budget, mask=mask), modality, dataset, pairs, threat, _mask_name(mask))
    rows = (_attack_float(path, single) if integer is None else
            _attack_integer(path, integer, single, executors, source, ensemble))
    return _saved(rows, save)


def _attack_float(path: Path, single: Single) -> Rows:
    from tinyfuse.study.attack_one import attack_float
    from tinyfuse.study.attack_special import universal_on_float

    network = _float_network(path, single.dataset)
    return universal_on_float(network, single) if single.attack == "universal" else attack_float(network, single)[1]


def _attack_integer(path: Path, integer: IntegerModel, single: Single, executors: Sequence[str],
                    source: str | Path | None, ensemble: bool) -> Rows:
    from tinyfuse.attacks import TwinTarget
    from tinyfuse.study.attack_one import Rows, attack_float, attack_twin, check_inputs, replay_on
    from tinyfuse.study.attack_special import attack_diva, universal_on_twin
    from tinyfuse.study.rows import Subject

    subject, dataset = Subject(*_names(path), "twin", sha256_hex(integer.data)), single.dataset
    seed = _recorded_seed(path)
    if single.attack == "universal":
        return universal_on_twin(integer, subject, single, seed=seed, executors=executors)
    if not (ensemble or source or single.attack == "diva" or single.domain == "naive"):
        return attack_twin(integer, subject, single, seed=seed, executors=executors)
    # The interpreters trust a file and may end the process on a hostile one; what the twin accepts is sound.
    TwinTarget(integer)
    check_inputs(integer, dataset)
    network = _float_network(_source_of(path, source), dataset)
    if single.attack == "diva":
        return attack_diva(integer, network, subject, single, seed=seed, executors=executors)
    if ensemble:
        return attack_twin(integer, subject, single, seed=seed, executors=executors, beside=network)
    found, rows = attack_float(network, single)
    replayed = replay_on(integer, subject, executors, found, single, seed=rows[0]["seed"], made_by=network.sha256)
    return Rows([*rows, *replayed], replayed.made, replayed.notes)


def attack_profile(model: str | Path, dataset: Dataset, profile: str, *, modality: str = "both", epsilon: float = 0.03,
                   norm: str = "linf", threat: str = "codes", steps: int | None = None, pairs: int = 100,
                   save: str | Path | None = None) -> Rows:
    """Run a suite of attacks ("paper", "standard", "strong") on a ``.keras`` network or a ``.tflite``; return rows.

    A sample is robust if nothing in the suite breaks it, in ``modality`` or in one that changes less. ``steps``: those
    of the iterated attacks, if not the profile's own (the paper's are fixed). ``save``: an ``.npz`` file for ``made``.
    """
    from tinyfuse.attacks import KerasTarget, Threat, TwinTarget
    from tinyfuse.attacks.profiles import profile as profile_named
    from tinyfuse.integer.interpreters import load
    from tinyfuse.study.attack_arguments import budget_of
    from tinyfuse.study.attack_one import BATCH, Single, check_inputs
    from tinyfuse.study.attack_suite import attack_suite
    from tinyfuse.study.rows import Subject

    path, suite = Path(model), profile_named(profile)
    dataset = _data_of(path, dataset)
    suite = suite if steps is None else suite.with_steps(steps)
    _check_save(save)
    single = Single("", {}, Threat(norm, budget_of(modality, epsilon, norm)), modality, dataset, pairs, threat)
    if path.suffix == ".keras":
        network = _float_network(path, dataset)
        subject = Subject(network.name, "float", "keras", network.sha256)
        return _saved(attack_suite(subject, KerasTarget(network.model, batch_size=min(BATCH, pairs)), suite, single,
                                   seed=int(network.table["training"]["seed"])), save)
    integer = load(path)
    check_inputs(integer, dataset)
    subject = Subject(*_names(path), "twin", sha256_hex(integer.data))
    return _saved(attack_suite(subject, TwinTarget(integer), suite, single, seed=_recorded_seed(path)), save)


def minimal(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "both",
            largest: int | None = None, mask: Mapping[str, np.ndarray] | None = None, pairs: int = 100,
            **parameters: Any) -> Smallest:
    """Find, for each test pair, the smallest budget in whole codes (up to ``largest``) that breaks a ``.tflite``."""
    from tinyfuse.attacks.registry import SPECIAL
    from tinyfuse.integer.interpreters import load
    from tinyfuse.study.attack_arguments import check_parameters, modalities_attacked
    from tinyfuse.study.minimal_budget import smallest

    path = Path(model)
    if path.suffix == ".keras":
        raise UsageError(f"{path}: smallest budgets are counted in codes, so give a .tflite")
    if attack in SPECIAL:
        raise UsageError(f"smallest budgets are those of single samples and one model, which {attack} is not about")
    check_parameters(attack, parameters)
    dataset = _data_of(path, dataset)
    integer = load(path)
    return smallest(integer, dataset, attack=attack, modalities=modalities_attacked(modality), mask=mask, pairs=pairs,
                    largest=26 if largest is None else largest, parameters=parameters)


def _check_save(save: str | Path | None) -> None:
    if save is not None and Path(save).suffix != ".npz":
        raise UsageError(f"{save}: attacked inputs are saved as .npz; give a name that ends so")


def _saved(rows: Rows, save: str | Path | None) -> Rows:
    if save is not None:
        save_arrays(save, rows.made)
    return rows


def _float_network(path: Path, dataset: Dataset) -> Network:
    """The network in ``path``, which must have been trained on ``dataset``."""
    from tinyfuse.nn.train_or_load import load_network

    network = load_network(path)
    same_data(path, network.table, dataset)
    return network


def _data_of(path: Path, dataset: Dataset) -> Dataset:
    """``dataset`` with the feature scaling in the table beside ``path``, if there is one."""
    from tinyfuse.core import toml

    beside = path.with_suffix(".toml")
    return same_data(path, toml.read(beside, ModelError), dataset) if beside.exists() else dataset


def _names(path: Path) -> tuple[str, str]:
    """Model and recipe from a file name such as early__w6.tflite."""
    name, _, recipe = path.stem.partition("__")
    return name, recipe or path.stem


def _mask_name(mask: Mapping[str, np.ndarray] | None) -> str:
    from tinyfuse.attacks import Threat

    if not mask:
        return ""
    described = Threat("linf", dict.fromkeys(mask, 0.0), mask=mask).describe()
    return ",".join(f"{name}:{described[f'mask_{name}']}" for name in mask)


def _recorded_seed(path: Path) -> int:
    """The training seed in the table beside a ``.tflite`` (0 without one)."""
    from tinyfuse.core import toml

    if not path.with_suffix(".toml").exists():
        return 0
    table = toml.read(path.with_suffix(".toml"), ModelError)
    training = table.get("training")
    return int(training.get("seed", 0)) if isinstance(training, Mapping) else 0


def _source_of(path: Path, source: str | Path | None) -> Path:
    """The float network that ``path`` was converted from, checked against the table beside it."""
    from tinyfuse.core import toml

    if not path.with_suffix(".toml").exists():
        if source is None:
            raise ModelError(f"{path}: no {path.with_suffix('.toml').name} here; name its float network with --source")
        return Path(source)
    table = toml.read(path.with_suffix(".toml"), ModelError)
    found = Path(source) if source is not None else path.with_name(f"{table.get('model')}.keras")
    if not found.is_file():
        raise ModelError(f"{found}: the float network of {path.name} is not there; name it with --source")
    if sha256_hex(found.read_bytes()) != table.get("float_sha256"):
        raise ModelError(f"{found} is not the network that {path.name} was converted from; name that one with --source")
    return found


def same_data(network: str | Path, table: Mapping[str, Any], dataset: Dataset) -> Dataset:
    """``dataset`` with the feature scaling that ``network`` was trained with; DataError if that was other data."""
    from tinyfuse.data import FeatureScaling

    trained_on = table.get("data")
    if not isinstance(trained_on, Mapping) or trained_on.get("checksum") != dataset.checksum:
        name = trained_on.get("name") if isinstance(trained_on, Mapping) else "other data"
        raise DataError(f"{network} was trained on {name} with another split, seed or limit than the {dataset.name} "
                        "given; use the data it was trained on (its test part is only unseen there)")
    fitted = table.get("audio_features")
    return dataset if fitted is None else dataset.scaled_as(FeatureScaling.from_table(fitted))
