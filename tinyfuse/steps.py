"""The steps of the main job, one call each: what the command line and the public API do.

Every step takes and leaves files, so that each can be run on its own: ``train`` a network, ``convert`` it,
``attack`` either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.console import console, progress
from tinyfuse.errors import DataError, ModelError, UsageError, nearest
from tinyfuse.files import sha256_hex

if TYPE_CHECKING:
    from tinyfuse.data import Dataset
    from tinyfuse.results import Row

MODES: Mapping[str, tuple[str, ...]] = {"image": ("image",), "audio": ("audio",), "both": ("image", "audio")}


def train(name: str, dataset: Dataset, *, out: str | Path, **settings: Any) -> Path:
    """Train network ``name`` (image, audio, early, intermediate, late) and return the path of its ``.keras`` file.

    ``settings`` are those of :class:`tinyfuse.nn.train.TrainConfig`: epochs, batch_size, learning_rate, seed. A run
    that was interrupted goes on where it stopped; a network that is already there is returned as it is.
    """
    from tinyfuse.nn.obtain import obtain
    from tinyfuse.nn.train import TrainConfig, steps_per_epoch

    config = TrainConfig(**settings)
    with progress(f"training {name}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        return obtain(name, dataset, config, out, tick=advance, report=console.print).path


def convert(network: str | Path, recipe: str | Path, dataset: Dataset, *, out: str | Path | None = None,
            calibration_pairs: int = 200, proof_pairs: int = 16) -> Path:
    """Convert a ``.keras`` network with one ``recipe``; see :func:`convert_many`."""
    return convert_many(network, [recipe], dataset, out=out, calibration_pairs=calibration_pairs,
                        proof_pairs=proof_pairs)[0]


def convert_many(network: str | Path, recipes: Sequence[str | Path], dataset: Dataset, *,
                 out: str | Path | None = None, calibration_pairs: int = 200, proof_pairs: int = 16) -> list[Path]:
    """Convert a ``.keras`` network with each of ``recipes`` (``w6``, ``image6-audio9-shared8``, a TOML path).

    Returns the paths of the ``.tflite`` files; each is only written once it has passed its proof. ``dataset`` must
    be the one the network was trained on: activation ranges come from its training part.
    """
    from tinyfuse.evaluate.conversion import publish_proven
    from tinyfuse.nn.fusion import modalities_of
    from tinyfuse.nn.obtain import load_network
    from tinyfuse.quantize import convert as writer
    from tinyfuse.quantize.precision import precision

    wanted = [precision(recipe) for recipe in recipes]
    found = load_network(network)
    _same_data(network, found.table, dataset)
    calibration = dataset.train.balanced(calibration_pairs, seed=0)
    base = writer.baseline(found.model, calibration, inputs=modalities_of(found.name))
    pairs, folder = dataset.test.balanced(proof_pairs, seed=0), Path(out or Path(network).parent)
    return [publish_proven(writer.convert(base, recipe), found, pairs, folder, calibration_pairs=calibration_pairs).path
            for recipe in wanted]


def attack(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "both",
           epsilon: float | Mapping[str, float] = 0.03, norm: str = "linf", steps: int = 10,
           random_start: bool = False, pairs: int = 100, executors: Sequence[str] = ("tflm",),
           source: str | Path | None = None) -> list[Row]:
    """Attack a ``.keras`` network, or replay attacks on the network a ``.tflite`` came from; return result rows.

    ``epsilon`` is one budget, or one for each attacked modality, in input units. For a ``.tflite``, ``source`` is
    the ``.keras`` file whose gradients are used (default: the one beside it); the inputs are brought onto the
    integer model's input grid within the budget before ``executors`` judge them.
    """
    from tinyfuse.evaluate.rows import Subject
    from tinyfuse.evaluate.single import attack_float, replay_on, request
    from tinyfuse.integer.interpreters import EXECUTORS, load
    from tinyfuse.nn.obtain import load_network

    path = Path(model)
    for executor in executors:
        if executor not in EXECUTORS:
            raise UsageError(f"unknown executor '{executor}'{nearest(executor, EXECUTORS)}: choose from "
                             f"{', '.join(EXECUTORS)}")
    single = request(dataset, attack=attack, mode=modality, epsilon=_budget(modality, epsilon), norm=norm,
                     steps=steps, random_start=random_start, pairs=pairs)
    float_path = path if path.suffix == ".keras" else _source_of(path, source)
    network = load_network(float_path)
    _same_data(float_path, network.table, dataset)
    if float_path is path:
        return attack_float(network, single)[1]
    integer = load(path)
    found, rows = attack_float(network, single)
    name, _, recipe = path.stem.partition("__")
    for executor in executors:
        subject = Subject(name, recipe or path.stem, executor, sha256_hex(integer.data))
        rows += replay_on(integer, subject, found, single, seed=rows[0]["seed"])
    return rows


def sentence(row: Row) -> str:
    """One result row in words: what was judged, by whom, against what, and how many held."""
    against = "clean" if row["kind"] == "clean" else (
        f"{row['attack']} on {row['modality']}, {row['norm']} {row['epsilon']:g}, {row['criterion']}")
    share, low, high = (100 * row[name] for name in ("accuracy", "ci_low", "ci_high"))
    return (f"{row['model']} {row['precision']} in {row['executor']}: {against}: {row['correct']} of {row['n']} "
            f"correct, {share:.1f} % (95 % interval {low:.1f} to {high:.1f})")


def modalities_attacked(mode: str) -> tuple[str, ...]:
    """The modalities of ``mode``: image, audio or both."""
    if mode not in MODES:
        raise UsageError(f"unknown modality '{mode}'{nearest(mode, MODES)}: choose one of {', '.join(MODES)}")
    return MODES[mode]


def _budget(mode: str, epsilon: float | Mapping[str, float]) -> dict[str, float]:
    wanted = modalities_attacked(mode)
    if not isinstance(epsilon, Mapping):
        return dict.fromkeys(wanted, float(epsilon))
    if set(epsilon) != set(wanted):
        raise UsageError(f"modality '{mode}' needs a budget for {' and '.join(wanted)}; "
                         f"given: {', '.join(epsilon) or 'none'}")
    return {name: float(epsilon[name]) for name in wanted}


def _source_of(path: Path, source: str | Path | None) -> Path:
    """The float network that ``path`` was converted from, checked against the table beside it."""
    from tinyfuse import tables

    if not path.with_suffix(".toml").exists():
        if source is None:
            raise ModelError(f"{path}: no {path.with_suffix('.toml').name} here; name its float network with --source")
        return Path(source)
    table = tables.read(path.with_suffix(".toml"), ModelError)
    found = Path(source) if source is not None else path.with_name(f"{table.get('model')}.keras")
    if not found.is_file():
        raise ModelError(f"{found}: the float network of {path.name} is not there; name it with --source")
    if sha256_hex(found.read_bytes()) != table.get("float_sha256"):
        raise ModelError(f"{found} is not the network that {path.name} was converted from; name that one with --source")
    return found


def _same_data(network: str | Path, table: Mapping[str, object], dataset: Dataset) -> None:
    trained_on = table.get("data")
    if not isinstance(trained_on, Mapping) or trained_on.get("checksum") != dataset.checksum:
        name = trained_on.get("name") if isinstance(trained_on, Mapping) else "other data"
        raise DataError(f"{network} was trained on {name} with another split, seed or limit than the {dataset.name} "
                        "given; use the data it was trained on (its test part is only unseen there)")
