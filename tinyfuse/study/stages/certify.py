"""The certificate stage: what no attack can break of each integer model, on the very samples that are attacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tinyfuse.analyses.certificates.certify import METHODS, Certifier
from tinyfuse.analyses.certificates.record import Named, Question, certificate_rows
from tinyfuse.attacks.targets.anomaly import twin_target
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.checks.certificates import CERTIFY_STAGE
from tinyfuse.core.console import console
from tinyfuse.core.errors import ModelError, TinyfuseError
from tinyfuse.core.faults import log_fault
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.study.rows import failed_row
from tinyfuse.study.run import Run
from tinyfuse.study.stages.convert import IntegerFile
from tinyfuse.threats.budgets import spread
from tinyfuse.threats.modes import modes_of


def certify_all(run: Run, networks: Sequence[Network], files: Mapping[str, Sequence[IntegerFile]]) -> None:
    """Append the certificates of all ``files`` that the matrix asks for and that are missing; budgets rise.

    A model without bounds, such as one with an operator that has none, leaves a failed row with the reason.
    """
    for network in networks if run.matrix.certify else ():
        questions = list(_questions(run, network))
        for made in files[network.name]:
            try:
                _certify(run, network, made, questions)
            except OSError:
                raise
            except Exception as error:
                reason = str(error) if isinstance(error, TinyfuseError) else log_fault(error, run.folder)
                run.store.append(failed_row(run.log.scope, network.name, made.recipe.name, CERTIFY_STAGE, reason))


def _questions(run: Run, network: Network) -> Iterator[Question]:
    """Yield what an adversary may do: at each budget in each mode of attack, in each threat model of the matrix."""
    matrix = run.matrix
    for budget in matrix.certify:
        for names in modes_of(network.input_names).values():
            for world in matrix.threats if matrix.norm == "linf" else ("codes",):
                whole = spread(budget, network.input_names)
                yield Question(network.inputs, {name: whole[name] for name in names}, matrix.norm, world,
                               steps=matrix.steps, part=run.part)


def _certify(run: Run, network: Network, made: IntegerFile, questions: list[Question]) -> None:
    target = twin_target(load_model(made.path), run.dataset)
    if not isinstance(target, TwinTarget):
        raise ModelError("judged by a reconstruction error, which has no certificate")
    named = Named(network.name, made.recipe.name, made.table["sha256"], run.seed, run.dataset.checksum)
    console.print(f"certifying {network.name} {made.recipe.name}", markup=False)
    for _ in certificate_rows(named, Certifier(target, METHODS[:2]), run.judged(run.matrix.attack_samples), questions,
                              run.store):
        pass
