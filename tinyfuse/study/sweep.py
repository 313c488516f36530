"""The whole way for every network of a matrix: train, convert, measure the firmware, attack, certify, check parity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.workers import Workers
from tinyfuse.data import Dataset
from tinyfuse.nn.network import Network, open_network
from tinyfuse.nn.train import steps_per_epoch
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.study.cells_ahead import attack_ahead
from tinyfuse.study.matrix import check_model, is_file
from tinyfuse.study.network_attacks import NetworkAttacks
from tinyfuse.study.pretrained import config_for, take
from tinyfuse.study.rows import check_budget, check_names
from tinyfuse.study.run import Run
from tinyfuse.study.scene_stage import attack_all_scenes, check_scenes
from tinyfuse.study.stages.certify import certify_all
from tinyfuse.study.stages.convert import IntegerFile, convert_network
from tinyfuse.study.stages.firmware import measure_all
from tinyfuse.study.stages.rejudge import Interpreters, pending_clean
from tinyfuse.study.worst_case import FLOAT
from tinyfuse.threats.budgets import spread

_MILLION = 1_000_000


def sweep(run: Run, workers: Workers, after_stage: Callable[[], None] = lambda: None, *,
          attack_here: bool = True) -> float:
    """Bring ``run`` to its end from wherever it stands; what its store already holds is not repeated.

    ``workers`` run interpreters and, unless it is ``attack_here``, the cells of all attacks. ``after_stage`` is called
    once the folder has accepted the networks, and after each stage. Returns the peak memory in MiB of the largest
    process that ran interpreters.
    """
    peak_mib = 0.0
    for number, one in enumerate(run.trainings()):
        peak_mib = max(peak_mib, _sweep_one(one, workers, after_stage, examples=number == 0, attack_here=attack_here))
    return peak_mib


def _sweep_one(run: Run, workers: Workers, after_stage: Callable[[], None], *, examples: bool,
               attack_here: bool) -> float:
    """Bring one training of every network to the end; ``examples``: show what the attacks look like."""
    names = [one.name for one in run.dataset.inputs]
    for epsilon in (*run.matrix.epsilons, *run.matrix.raw_epsilons, *run.matrix.certify):
        check_names(epsilon if isinstance(epsilon, Mapping) else names, names)
        check_budget(run.dataset.inputs, spread(epsilon, names), run.matrix.norm)
    check_scenes(run)
    networks = train_all(run)
    run = replace(run, dataset=run.dataset.as_trained(networks[0].table, str(networks[0].path)))
    after_stage()
    files = convert_all(run, networks)
    after_stage()
    measure_all(run, networks, files, jobs=workers.jobs)
    after_stage()
    interpreters = Interpreters(run, workers)
    if not attack_here:
        attack_ahead([(NetworkAttacks(run, network), files[network.name]) for network in networks], workers)
    attack_all(run, networks, files, interpreters, after_stage, examples=examples)
    attack_all_scenes(run, networks, files)
    certify_all(run, networks, files)
    with progress("running interpreters", interpreters.cost // _MILLION) as advance:
        return interpreters.finish(lambda cost, note: advance(cost // _MILLION, note=note))


def train_all(run: Run) -> list[Network]:
    """Train the networks of the matrix into ``run.models``, or take them from there, the package or files."""
    matrix, networks = run.matrix, list[Network]()
    settings = {"batch_size": matrix.batch_size, "learning_rate": matrix.learning_rate, "seed": run.seed,
                "objective": matrix.objective, "settings": matrix.settings}
    for name in matrix.models:
        check_model(name)
    for name in matrix.models:
        if is_file(name):
            networks.append(_own(name, run.dataset, {*matrix.models, *(one.name for one in networks)}))
            continue
        config = config_for(name, run.dataset, matrix.epochs, settings)
        take(name, run.dataset, config, run.models, retrain=run.retrain)
        with progress(f"training {name}", config.epochs * steps_per_epoch(run.dataset, config)) as advance:
            networks.append(train_or_load(name, run.dataset, config, run.models, tick=advance, report=console.print))
    return networks


def _own(file: str, dataset: Dataset, others: Collection[str]) -> Network:
    """Open a trained network; UsageError: it was trained on other data, or has the name of one of the ``others``."""
    network = open_network(file, dataset)
    if network.table["training"]["best_epoch"]:
        dataset.as_trained(network.table, file)
    if network.name in others:
        raise UsageError(f"{file}: another network of the matrix is called '{network.name}' too; rename the file")
    return network


def convert_all(run: Run, networks: Sequence[Network]) -> dict[str, list[IntegerFile]]:
    """Convert all ``networks``; return the integer models of each by its name."""
    total = sum(len(run.matrix.recipes_for(network.input_names)) for network in networks)
    with progress("converting", total) as advance:
        return {network.name: convert_network(run, network, lambda note: advance(note=note)) for network in networks}


def attack_all(run: Run, networks: Sequence[Network], files: Mapping[str, Sequence[IntegerFile]],
               interpreters: Interpreters, after_stage: Callable[[], None] = lambda: None, *,
               examples: bool = True) -> None:
    """Attack every network as float and as integers, and have its samples run by interpreters meanwhile.

    What cannot be attacked (gradients that are not finite, probabilities, inputs outside their threat) leaves a failed
    row; the rest goes on.
    """
    total = sum(NetworkAttacks(run, network).cells(name) for network in networks
                for name in (FLOAT, *(made.recipe.name for made in files[network.name])))
    with progress("attacking", total) as advance:
        for network in networks:
            attacks, made = NetworkAttacks(run, network), files[network.name]
            interpreters.start([*attacks.attack_all(made, lambda note: advance(note=note)),
                                *pending_clean(run, network, made)])
            attacks.attack_simulations()
            if examples and network is max(networks, key=lambda one: len(one.inputs)):
                attacks.show_examples(made)
            after_stage()
