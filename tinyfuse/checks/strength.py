"""Are the attacks as strong as they can be? Points 4 to 8, 10, 11, 19 and 20 of the checklist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tinyfuse.attacks.registry import SPECIAL
from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import (
    Budget,
    Evidence,
    budget_of,
    budget_text,
    describe,
    grouped,
    points,
    populations,
    survivors_of,
    where,
    within,
)
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register
from tinyfuse.core.results import Row

_SERIES = ("executor", "profile", "attack", "criterion", "source", "modality", "norm", "threat", "mask", "loss",
           "steps", "random_start", "restarts", "attack_seed", "n")
_SETTING = ("executor", "source", "norm", "threat", "mask", "n")
_NOISE_MARGIN = 0.002
_CONVERGED = {probe_names.DOUBLE_STEPS: (0.005, "twice the steps change the accuracy by {}"),
              probe_names.DOUBLE_RESTARTS: (0.005, "twice the restarts change the accuracy by {}"),
              probe_names.DOUBLE_STEPS_LOSS: (0.01, "twice the steps change the mean loss by {}")}


@register("M", 4, "not-monotone", "E", "a larger budget broke fewer samples than a smaller one")
def _not_monotone(evidence: Evidence) -> Answer:
    """Before the union over budgets it happens; in a union it contradicts its definition."""
    series = [rows for rows in grouped(evidence.attacks, _SERIES).values() if len(rows) > 1]
    if not series:
        return Missing("no attack was made at two budgets")
    found = [(_of_union(rows[0]), rows[0]["source"] == evidence.line[1], _recovered(rows), describe(rows[0]))
             for rows in series]
    faults = [fault for fault in found if fault[2]]
    if not faults:
        return None
    union, own, share, what = max(faults)
    level = "E" if union else "W" if own and share > 0.01 else "I"
    return Finding(level, f"{share:.1%} of the samples are broken at some ε and survive a larger one ({what})")


@register("P", 5, "fgsm-beats-pgd", "W", "PGD missed samples that one FGSM step broke")
def _fgsm_beats_pgd(evidence: Evidence) -> Answer:
    one_step = _unions(row for row in evidence.attacks if row["attack"] == "fgsm")
    many_steps = _unions(row for row in evidence.attacks if row["attack"] == "pgd")
    cells = [(key, budget) for key in one_step.keys() & many_steps.keys()
             for budget in one_step[key].keys() & many_steps[key].keys()]
    if not cells:
        return Missing("no PGD row beside an FGSM row at the same budget")
    shares = {cell: float(np.mean(many_steps[cell[0]][cell[1]] & ~one_step[cell[0]][cell[1]])) for cell in cells}
    (executor, source, *_), _ = worst = max(cells, key=shares.__getitem__)
    # Replayed inputs were made for another network; one step often transfers better, which is no fault.
    level = "W" if source == evidence.line[1] and shares[worst] > 0.005 else "I"
    text = f"{shares[worst]:.1%} of the samples fall to FGSM but not to PGD ({executor}, gradients: {source})"
    return Finding(level, text) if shares[worst] else None


@register("U", 6, "unbounded-attack-fails", "E", "samples survive an attack that may change all inputs at will")
def _unbounded_attack_fails(evidence: Evidence) -> Answer:
    """Only where every value of every input may change: one modality alone, or what a mask leaves, may hold enough
    information; and not where one perturbation serves all samples or another model has to stay right.
    """
    probe = evidence.worst(probe_names.UNBOUNDED)
    left, n, detail = (probe["value"], probe["n"], where(probe)) if probe else (0.0, 0, "")
    whole = "both" if evidence.line[0] not in ("image", "audio") else evidence.line[0]
    at_will = [row for row in evidence.white_box
               if row["norm"] == "linf" and row["modality"] == whole and row["attack"] not in ("fgsm", *SPECIAL) and
               not row["mask"] and all(size >= 1 for size in budget_of(row) if size)]
    for rows in populations(at_will).values():
        share = float(np.mean(np.logical_and.reduce([survivors_of(row) for row in rows])))
        if share > left:
            left, n, detail = share, rows[0]["n"], f" ({describe(rows[0])})"
    if not at_will and probe is None:
        return no_probe(probe_names.UNBOUNDED)
    return Finding("E", f"{left:.1%} of {n} samples survive changes over the full range{detail}") if left else None


@register("R", 7, "noise-beats-fgsm", "W", "random noise broke more samples than FGSM with the same budget")
def _noise_beats_fgsm(evidence: Evidence) -> Answer:
    compared = [*_noise_rows(evidence), *((float(row["value"]), f"n={row['n']}{where(row)}")
                                          for row in evidence.probes(probe_names.NOISE))]
    if not compared:
        return Missing("no row of attack 'corners' beside one of FGSM at the same budget, and no probe 'noise'")
    gap, text = min(compared)
    if gap >= -_NOISE_MARGIN:
        return None
    return Finding("W", f"random noise leaves {points(-gap)} fewer samples correct than FGSM, {text}")


@register("B", 8, "one-modality-beats-both", "E", "attacking both modalities broke fewer samples than attacking one")
def _one_modality_beats_both(evidence: Evidence) -> Answer:
    """Of single attacks it happens; a union over attacks counts one modality alone as an attack on both."""
    unions, singles = ([row for row in evidence.attacks if _of_union(row) == union] for union in (True, False))
    in_union = list(_pairs_of_modes(unions, (*_SETTING, "profile")))
    alone = list(_pairs_of_modes(singles, _SETTING))
    if evidence.line[0] in ("image", "audio"):
        return NO_MEANING
    if not in_union and not alone:
        return Missing("no budget at which one modality and both were attacked")
    share, what = max(((float(np.mean(both & ~one)), what) for both, one, what in in_union), default=(0.0, ""))
    if share:
        return Finding("E", f"{share:.1%} of the samples survive the attack on both but not the one on {what}")
    gap, what = max(((float(np.mean(both) - np.mean(one)), what) for both, one, what in alone), default=(0.0, ""))
    text = f"the attack on both leaves {points(gap)} more samples correct than the one on {what}"
    return Finding("W", text) if gap > 0 else None


@register("C", 10, "not-converged", "W", "more steps or restarts still change the result")
def _not_converged(evidence: Evidence) -> Answer:
    found = evidence.probes(*_CONVERGED)
    if not found:
        return no_probe(probe_names.DOUBLE_STEPS, probe_names.DOUBLE_RESTARTS)
    worst = max(found, key=lambda row: abs(row["value"]) / _CONVERGED[row["name"]][0])
    limit, sentence = _CONVERGED[worst["name"]]
    change = abs(worst["value"])
    size = f"{change:.1%}" if worst["name"] == probe_names.DOUBLE_STEPS_LOSS else points(change)
    text = f"{sentence.format(size)}, n={worst['n']}{where(worst)}"
    return Finding("W", text) if abs(worst["value"]) > limit else None


@register("L", 11, "loss-falls", "W", "the loss falls while an attack should raise it")
def _loss_falls(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.LOSS_FALLS)
    if probe is None:
        return no_probe(probe_names.LOSS_FALLS)
    text = f"the loss falls in {probe['value']:.1%} of the windows of steps, n={probe['n']}{where(probe)}"
    return Finding("W", text) if probe["value"] > 0.05 else None


@register("Ac", 19, "misses-planted-examples", "W", "an attack missed adversarial examples planted within its reach")
def _misses_planted_examples(evidence: Evidence) -> Answer:
    """An active test (Zimmermann et al. 2022)."""
    found = evidence.probes(probe_names.PLANTED)
    if not found:
        return no_probe(probe_names.PLANTED)
    worst = min(found, key=lambda row: float(row["value"]))
    text = f"{1 - worst['value']:.1%} of {worst['n']} planted examples were not found{where(worst)}"
    return Finding("W", text) if worst["value"] < 1 else None


@register("Am", 20, "fails-on-known-models", "W", "an attack missed the known answer on an analytic model")
def _fails_on_known_models(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.ANALYTIC)
    if probe is None:
        return no_probe(probe_names.ANALYTIC)
    text = f"the attack missed the answer on {probe['value']:.0f} of {probe['n']} samples{where(probe)}"
    return Finding("W", text) if probe["value"] else None


def _of_union(row: Row) -> bool:
    return bool(row["criterion"] == "union")


def _recovered(rows: Sequence[Row]) -> float:
    """Share of samples that survive a budget although another within it broke them."""
    verdicts = [(budget_of(row), survivors_of(row)) for row in rows]
    recovered = np.zeros(rows[0]["n"], dtype=bool)
    for budget, survivors in verdicts:
        for smaller, before in verdicts:
            if smaller != budget and within(smaller, budget):
                recovered |= survivors & ~before
    return float(np.mean(recovered))


def _unions(rows: Iterable[Row],
            fields: Sequence[str] = _SETTING) -> dict[tuple[object, ...], dict[Budget, np.ndarray]]:
    """Survivors of all attacks together: by setting, then by budget."""
    unions: dict[tuple[object, ...], dict[Budget, np.ndarray]] = {}
    for setting, found in grouped(rows, fields).items():
        cells = unions.setdefault(setting, {})
        for row in found:
            cells[budget_of(row)] = cells.get(budget_of(row), np.True_) & survivors_of(row)
    return unions


def _pairs_of_modes(rows: Iterable[Row], fields: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Survivors of both, of one modality with the same budget, and what that one was."""
    for (executor, *_), unions in _unions(rows, fields).items():
        for (image, audio), both in unions.items():
            for name, budget in (("image", (image, 0.0)), ("audio", (0.0, audio))):
                if image and audio and budget in unions:
                    yield both, unions[budget], f"{name} alone at ε={max(budget):g} ({executor})"


def _noise_rows(evidence: Evidence) -> list[tuple[float, str]]:
    """Accuracy under random corners minus that under FGSM, and where, for each budget that has both."""
    fgsm = populations(row for row in evidence.white_box if row["attack"] == "fgsm")
    noise = populations(row for row in evidence.others if row["attack"] == "corners" and row["criterion"] != "replayed")
    compared = []
    for key in noise.keys() & fgsm.keys():
        for row in noise[key]:
            same = [survivors_of(other) for other in fgsm[key] if budget_of(other) == budget_of(row)]
            if same:
                gap = float(row["accuracy"]) - float(np.mean(np.logical_and.reduce(same)))
                compared.append((gap, f"n={row['n']} ({budget_text(budget_of(row))})"))
    return compared
