"""The whole way for every network of a matrix: train, convert and prove, measure the firmware, attack, check parity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tinyfuse.attacks import KerasTarget, misclassified
from tinyfuse.core import toml
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import DataError, ParityError, RecipeError, TinyfuseError
from tinyfuse.core.files import sha256_hex
from tinyfuse.nn.train import steps_per_epoch
from tinyfuse.nn.train_or_load import Network, obtain
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.recipe import Precision
from tinyfuse.study.rows import Subject
from tinyfuse.study.run import Run
from tinyfuse.study.stages.attack_stage import (
    FLOAT,
    Assault,
    attack_integer,
    attack_keras,
    attack_rounded,
    exchange,
    parity,
)
from tinyfuse.study.stages.convert_stage import IntegerFile, convert_network, failed_row
from tinyfuse.study.stages.exchange import Judge
from tinyfuse.study.stages.firmware_stage import measure_all
from tinyfuse.study.stages.interpreter_jobs import Judging, Pending, pending_clean

KERAS_BATCH = 40  # full batches of 50 round differently by place in the batch
ATTACK_STAGE = "attack"
_MILLION = 1_000_000


def sweep(run: Run, *, jobs: int, after_stage: Callable[[], None] = lambda: None) -> float:
    """Bring ``run`` to its end from wherever it stands; what its store already holds is not repeated.

    ``after_stage`` is called once the folder has accepted the networks, and after each stage. Returns the peak
    memory in MiB of the largest worker process.
    """
    networks = train_all(run)
    run = replace(run, dataset=networks[0].data_as_trained(run.dataset))
    after_stage()
    files = convert_all(run, networks)
    after_stage()
    measure_all(run, networks, files, jobs=jobs)
    after_stage()
    judging = Judging(run, jobs=jobs)
    attack_all(run, networks, files, judging, after_stage)
    with progress("running interpreters", judging.cost // _MILLION) as advance:
        return judging.finish(lambda cost, note: advance(cost // _MILLION, note=note))


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


def attack_all(run: Run, networks: list[Network], files: dict[str, list[IntegerFile]],
               judging: Judging, after_stage: Callable[[], None]) -> None:
    """Attack every network as float and as integers, and have its samples run by interpreters meanwhile.

    What cannot be attacked (gradients that are not finite, probabilities, inputs outside their threat) leaves a failed
    row; the rest goes on.
    """
    assaults = {network.name: Assault(run, network.name) for network in networks}
    total = sum(assaults[network.name].cells(name) for network in networks
                for name in (FLOAT, *(made.precision.name for made in files[network.name])))
    with progress("attacking", total) as advance:
        for network in networks:
            judging.start([*_attack_network(run, assaults[network.name], network, files[network.name],
                                            lambda note: advance(note=note)),
                           *pending_clean(run, network, files[network.name])])
            _attack_simulations(run, assaults[network.name], network)
            after_stage()


def _attack_network(run: Run, assault: Assault, network: Network, files: list[IntegerFile],
                    tick: Callable[[str], None]) -> list[Pending]:
    """First everything with its own gradients in threat model G, then replays, then threat model R."""
    subject = Subject(network.name, FLOAT, "keras", network.sha256)
    target = KerasTarget(network.model, batch_size=min(KERAS_BATCH, run.matrix.attack_pairs))
    judges, sources = {FLOAT: Judge(subject, target, None)}, {}
    _judge_clean(run, subject, target)
    with _failing(run, network, FLOAT):
        sources[FLOAT] = attack_keras(assault, subject, target, tick=tick)
    found = []
    for made in files:
        with _failing(run, network, made.precision.name):
            found.append(attack_integer(assault, made, source_sha256=network.sha256, tick=tick))
    for attacked in found:
        judges[attacked.subject.precision] = Judge(attacked.subject, attacked.target, attacked.target.grids)
        sources[attacked.subject.precision] = attacked.source
    exchange(assault, sources, judges)
    work: list[Pending] = []
    for attacked in found:
        with _failing(run, network, attacked.subject.precision):
            work += parity(assault, attacked, attack_rounded(assault, attacked, tick=tick))
    return work


@contextmanager
def _failing(run: Run, network: Network, precision: str) -> Iterator[None]:
    """Turn what makes the figures of one subject worthless into a failed row."""
    try:
        yield
    except (DataError, ParityError):
        raise
    except TinyfuseError as error:
        run.store.append(failed_row(run, network, precision, ATTACK_STAGE, str(error)))


def _attack_simulations(run: Run, assault: Assault, network: Network) -> None:
    """Recipes that only exist as a float simulation (scheme ``minmax``) are attacked white-box as floats."""
    for recipe in run.matrix.precisions_of(network.name):
        if recipe.scheme != "minmax":
            continue
        subject = _simulated(network, recipe)
        try:
            model = simulate(network.model, recipe)
        except RecipeError as error:
            run.store.append(failed_row(run, network, recipe.name, "simulate", str(error)))
            continue
        target = KerasTarget(model, batch_size=min(KERAS_BATCH, run.matrix.attack_pairs))
        with _failing(run, network, recipe.name):
            _judge_clean(run, subject, target)
            attack_keras(assault, subject, target, tick=lambda note: None)


def _simulated(network: Network, recipe: Precision) -> Subject:
    """The simulation of ``network`` under ``recipe``, which has a checksum of its own."""
    return Subject(network.name, recipe.name, "keras",
                   sha256_hex(f"{network.sha256} {toml.dumps(recipe.to_table())}".encode()))


def _judge_clean(run: Run, subject: Subject, target: KerasTarget) -> None:
    counts = {run.matrix.attack_pairs, run.matrix.clean_pairs, len(run.pairs)}
    run.judge_clean(subject, counts, subject.sha256,
                    lambda pairs: ~misclassified(target.logits(pairs.inputs), pairs.label))
