"""The whole way for every network of a matrix: train, convert and prove, attack the float network, judge replays."""

from __future__ import annotations

from collections.abc import Callable

from tinyfuse import tables
from tinyfuse.attacks import KerasTarget, misclassified
from tinyfuse.console import console, progress
from tinyfuse.errors import RecipeError
from tinyfuse.evaluate.conversion import IntegerFile, convert_network, failed_row
from tinyfuse.evaluate.crafting import craft_all, plan
from tinyfuse.evaluate.judging import clean_path, judge_all, pending
from tinyfuse.evaluate.rows import CLEAN, Subject, outcome_key, outcome_row
from tinyfuse.evaluate.run import Run
from tinyfuse.evaluate.samples import load_clean
from tinyfuse.files import sha256_hex
from tinyfuse.nn.obtain import Network, obtain
from tinyfuse.nn.train import steps_per_epoch
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.precision import Precision

CRAFT_BATCH = 50


def sweep(run: Run, *, jobs: int, after_stage: Callable[[], None] = lambda: None) -> float:
    """Bring ``run`` to its end from wherever it stands; what its store already holds is not repeated.

    ``after_stage`` is called once the folder has accepted the networks, and after each stage. Returns the peak
    memory in MiB of the largest worker process.
    """
    networks = train_all(run)
    after_stage()
    files = convert_all(run, networks)
    after_stage()
    craft_networks(run, networks)
    after_stage()
    work = [item for network in networks for item in pending(run, network, files[network.name])]
    unit = 1_000_000
    with progress("judging integer models", sum(item.cost // unit for item in work)) as advance:
        return judge_all(run, work, jobs=jobs, tick=lambda cost, note: advance(cost // unit, note=note))


def train_all(run: Run) -> list[Network]:
    """The networks of the matrix, trained or taken from ``run.models``."""
    steps = run.config.epochs * steps_per_epoch(run.dataset, run.config)
    networks = []
    for name in run.matrix.models:
        with progress(f"training {name}", steps) as advance:
            networks.append(obtain(name, run.dataset, run.config, run.models, tick=advance, report=console.print))
    return networks


def convert_all(run: Run, networks: list[Network]) -> dict[str, list[IntegerFile]]:
    """Integer models of all ``networks`` by name."""
    total = sum(len(run.matrix.precisions_of(network.name)) for network in networks)
    with progress("converting", total) as advance:
        return {network.name: convert_network(run, network, lambda note: advance(note=note)) for network in networks}


def craft_networks(run: Run, networks: list[Network]) -> None:
    """Clean and adversarial rows of the float networks, and the saved inputs for the integer models.

    Recipes that only exist as a float simulation (scheme ``minmax``) are attacked white-box here as well.
    """
    clean = load_clean(clean_path(run, run.matrix.attack_pairs))
    variants = [(network, recipe) for network in networks
                for recipe in (None, *run.matrix.precisions_of(network.name))
                if recipe is None or recipe.scheme == "minmax"]
    subjects = [_float_subject(network, recipe) for network, recipe in variants]
    total = sum(len(plan(run.matrix, subject, run.samples, run.scope)) for subject in subjects)
    with progress("attacking float networks", total) as advance:
        for (network, recipe), subject in zip(variants, subjects, strict=True):
            try:
                model = network.model if recipe is None else simulate(network.model, recipe)
            except RecipeError as error:
                run.store.append(failed_row(run, network, subject.precision, "simulate", str(error)))
                continue
            target = KerasTarget(model, batch_size=min(CRAFT_BATCH, len(clean)))
            _judge_clean(run, subject, target)
            craft_all(target, clean, run.matrix, subject, run.samples, store=run.store, scope=run.scope,
                      tick=lambda note: advance(note=note))


def _float_subject(network: Network, recipe: Precision | None) -> Subject:
    """The float network, or its simulation under ``recipe``, which has a checksum of its own."""
    if recipe is None:
        return Subject(network.name, "float", "keras", network.sha256)
    rounded = sha256_hex(f"{network.sha256} {tables.dumps(recipe.to_table())}".encode())
    return Subject(network.name, recipe.name, "keras", rounded)


def _judge_clean(run: Run, subject: Subject, target: KerasTarget) -> None:
    for asked in sorted({run.matrix.attack_pairs, run.matrix.clean_pairs, len(run.dataset.test)}):
        pairs = run.judged(asked)
        key = outcome_key(subject, run.scope, CLEAN, len(pairs), subject.sha256)
        if not run.store.has(key):
            correct = ~misclassified(target.logits(pairs.inputs), pairs.label)
            run.store.append(outcome_row(key, subject, run.scope, CLEAN, correct, seconds=0.0))
