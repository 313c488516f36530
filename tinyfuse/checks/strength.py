"""Does an attack do what its threat allows, and is it as strong as it can be?

Points 1, 2, 4 to 8, 10, 11, 19, 20, 24 and 25 of the checklist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tinyfuse.attacks import ATTACKS
from tinyfuse.checks.line_rows import Budget, LineRows, budget_of, grouped, populations, survivors_of, union, within
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register, register_probe
from tinyfuse.checks.sentences import budget_text, describe, points, where
from tinyfuse.core.results import Row, epsilon_of

_SETTING = ("executor", "source", "norm", "threat", "mask", "n")
_SERIES = (*_SETTING, "profile", "attack", "criterion", "attacked")
_NOISE_MARGIN = 0.002
_CONVERGED = {"double-steps": (0.005, "twice the steps change the accuracy by {}"),
              "double-restarts": (0.005, "twice the restarts change the accuracy by {}"),
              "double-steps-loss": (0.01, "twice the steps change the mean loss by {}")}


@register("A", 1, "outside-the-threat", "E", "adversarial inputs violate their budget, box, mask or code range")
def _outside_the_threat(line: LineRows) -> Answer:
    audits = line.probes("audit")
    audited = sum(row["n"] for row in audits)
    if not audited:
        return no_probe("audit") if not audits else Missing("no adversarial input was audited")
    violations = sum(row["value"] for row in audits)
    return Finding("E", f"{violations:.0f} of {audited} adversarial inputs are not allowed") if violations else None


@register("Z", 2, "zero-budget", "E", "an attack with ε = 0 does not reproduce the clean accuracy")
def _zero_budget_differs(line: LineRows) -> Answer:
    probe = line.worst("zero-budget")
    compared = probe is not None
    for row in line.attacks:
        clean = line.clean(row["executor"]).get(row["n"]) if epsilon_of(row) == 0 else None
        if clean is not None:
            compared = True
            changed = int(np.sum(clean != survivors_of(row)))
            if changed:
                return Finding("E", f"{describe(row)} with ε = 0 changes {changed} verdicts")
    if probe is not None and probe["value"]:
        return Finding("E", f"an attack with ε = 0 changes {probe['value']:.0f} of {probe['n']} verdicts{where(probe)}")
    return None if compared else Missing("no attack row with ε = 0 and no probe 'zero-budget'")


register_probe("F", 2, "fgsm-is-not-one-step", "E", "FGSM and one PGD step of the whole budget give different inputs",
               probe="fgsm-equals-pgd1",
               sentence="FGSM and one PGD step differ in {value:.0f} coordinates of {n} samples")
register_probe("La", 24, "own-labels", "W", "the attack took the model's own answers for labels, which leaks them",
               probe="label-source", sentence="the labels are not the true ones", right=1)
register_probe("Pa", 25, "padding", "W", "the perturbation lies in constant padding, which carries no information",
               probe="padding-share", sentence="{value:.1%} of the perturbation (L1) lies in constant padding",
               notable=0.05)


@register("M", 4, "not-monotone", "E", "a larger budget broke fewer samples than a smaller one")
def _not_monotone(line: LineRows) -> Answer:
    """An attack that loses what it broke is weak; a union holds all that smaller budgets broke, so it is wrong."""
    series = [rows for rows in grouped(line.attacks, _SERIES).values() if len(rows) > 1]
    if not series:
        return Missing("no attack was made at two budgets")
    found = [(_of_union(rows[0]), rows[0]["source"] == line.precision, _recovered(rows), describe(rows[0]))
             for rows in series]
    faults = [fault for fault in found if fault[2]]
    if not faults:
        return None
    union, own, share, what = max(faults)
    level = "E" if union else "W" if own and share > 0.01 else "I"
    return Finding(level, f"{share:.1%} of the samples are broken at some ε and survive a larger one ({what})")


@register("P", 5, "fgsm-beats-pgd", "W", "PGD missed samples that one FGSM step broke")
def _fgsm_beats_pgd(line: LineRows) -> Answer:
    one_step, many_steps = (_unions(_made_by(name, line.attacks), _SETTING) for name in ("fgsm", "pgd"))
    shares = {cell: float(np.mean(many_steps[cell] & ~broken)) for cell, broken in one_step.items()
              if cell in many_steps}
    if not shares:
        return Missing("no PGD row beside an FGSM row at the same budget")
    (executor, source, *_), _ = worst = max(shares, key=shares.__getitem__)
    # Replayed inputs were made for another network; one step often transfers better, which is no fault.
    level = "W" if source == line.precision and shares[worst] > 0.005 else "I"
    text = f"{shares[worst]:.1%} of the samples fall to FGSM but not to PGD ({executor}, gradients: {source})"
    return Finding(level, text) if shares[worst] else None


@register("U", 6, "unbounded-attack-fails", "E", "samples survive an attack that may change all inputs at will")
def _unbounded_attack_fails(line: LineRows) -> Answer:
    """Only where every value of every input may change: what an attack leaves alone may hold enough information."""
    found = [(float(row["value"]), row["n"], where(row)) for row in line.probes("unbounded")]
    found += [(float(np.mean(union(rows))), rows[0]["n"], f" ({describe(rows[0])})")
              for rows in populations(row for row in line.white_box if _changes_at_will(row)).values()]
    if not found:
        return no_probe("unbounded")
    left, n, detail = max(found, key=lambda one: one[0])
    return Finding("E", f"{left:.1%} of {n} samples survive changes over the full range{detail}") if left else None


@register("R", 7, "noise-beats-fgsm", "W", "random noise broke more samples than FGSM with the same budget")
def _noise_beats_fgsm(line: LineRows) -> Answer:
    compared = [(float(row["value"]), f"n={row['n']}{where(row)}") for row in line.probes("noise")]
    fgsm = populations(_made_by("fgsm", line.white_box))
    noise = populations(row for row in _made_by("corners", line.others) if row["criterion"] != "replayed")
    for row, steps in ((row, fgsm[key]) for key in noise.keys() & fgsm.keys() for row in noise[key]):
        same = [step for step in steps if budget_of(step) == budget_of(row)]
        if same:
            gap = float(row["accuracy"]) - float(np.mean(union(same)))
            compared.append((gap, f"n={row['n']} ({budget_text(budget_of(row))})"))
    if not compared:
        return Missing("no row of attack 'corners' beside one of FGSM at the same budget, and no probe 'noise'")
    gap, text = min(compared)
    found = f"random noise leaves {points(-gap)} fewer samples correct than FGSM, {text}"
    return Finding("W", found) if gap < -_NOISE_MARGIN else None


@register("B", 8, "fewer-inputs-beat-more", "E", "attacking more inputs broke fewer samples than attacking fewer")
def _fewer_inputs_beat_more(line: LineRows) -> Answer:
    """More inputs may want more steps; a union holds all that attacks on fewer inputs broke, so it is wrong."""
    if any(len(row["inputs"]) == 1 for row in line.rows if row["kind"] in ("clean", "attack")):
        return NO_MEANING
    unions, attacks = ([row for row in line.attacks if _of_union(row) == union] for union in (True, False))
    in_union = list(_more_and_fewer(unions, (*_SETTING, "profile")))
    by_attack = list(_more_and_fewer(attacks, _SETTING))
    if not in_union and not by_attack:
        return Missing("no budget at which some inputs and more of them were attacked")
    share, what = max(((float(np.mean(more & ~fewer)), what) for more, fewer, what in in_union), default=(0.0, ""))
    if share:
        return Finding("E", f"{share:.1%} of the samples survive the attack on more inputs but not the one on {what}")
    gap, what = max(((float(np.mean(more) - np.mean(fewer)), what) for more, fewer, what in by_attack),
                    default=(0.0, ""))
    text = f"the attack on more inputs leaves {points(gap)} more samples correct than the one on {what}"
    return Finding("W", text) if gap > 0 else None


@register("C", 10, "not-converged", "W", "more steps or restarts still change the result")
def _not_converged(line: LineRows) -> Answer:
    worst = max(line.probes(*_CONVERGED), key=lambda row: abs(row["value"]) / _CONVERGED[row["name"]][0], default=None)
    if worst is None:
        return no_probe("double-steps", "double-restarts")
    limit, sentence = _CONVERGED[worst["name"]]
    change = abs(worst["value"])
    size = f"{change:.1%}" if worst["name"] == "double-steps-loss" else points(change)
    return Finding("W", f"{sentence.format(size)}, n={worst['n']}{where(worst)}") if change > limit else None


register_probe("L", 11, "loss-falls", "W", "the loss falls while an attack should raise it", probe="loss-falls",
               sentence="the loss falls in {value:.1%} of the windows of steps, n={n}", limit=0.05)
# An active test (Zimmermann et al. 2022).
register_probe("Ac", 19, "misses-planted-examples", "W",
               "an attack missed adversarial examples planted within its reach",
               probe="planted", sentence="{off:.1%} of {n} planted examples were not found", right=1)
register_probe("Am", 20, "fails-on-known-models", "W", "an attack missed the known answer on an analytic model",
               probe="analytic", sentence="the attack missed the answer on {value:.0f} of {n} samples")


def _of_union(row: Row) -> bool:
    return bool(row["criterion"] == "union")


def _made_by(name: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["attack"]["name"] == name]


def _changes_at_will(row: Row) -> bool:
    """Whether an iterated attack on each sample, and on this model alone, may change every input at full range."""
    attack = ATTACKS.get(row["attack"]["name"])
    return (row["norm"] == "linf" and not row["mask"]
            and (attack is None or (attack.iterative and attack.in_suites))
            and all(size >= row["inputs"][name] for name, size in budget_of(row)))


def _recovered(rows: Sequence[Row]) -> float:
    """Share of samples that survive a budget although another within it broke them."""
    verdicts = [(budget_of(row), survivors_of(row)) for row in rows]
    recovered = np.zeros(rows[0]["n"], dtype=bool)
    for budget, survivors in verdicts:
        for smaller, before in verdicts:
            if smaller != budget and within(smaller, budget):
                recovered |= survivors & ~before
    return float(np.mean(recovered))


def _unions(rows: Iterable[Row], fields: Sequence[str]) -> dict[tuple[tuple[object, ...], Budget], np.ndarray]:
    """Survivors of all attacks together, by setting and budget."""
    unions: dict[tuple[tuple[object, ...], Budget], np.ndarray] = {}
    for setting, found in grouped(rows, fields).items():
        for row in found:
            cell = setting, budget_of(row)
            unions[cell] = unions.get(cell, np.True_) & survivors_of(row)
    return unions


def _more_and_fewer(rows: Iterable[Row], fields: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Survivors of an attack on several inputs, of one on some of them with the same budgets, and what that one was."""
    unions = _unions(rows, fields)
    for (setting, budget), more in unions.items():
        for (other, part), fewer in unions.items():
            if other == setting and _is_part(part, budget):
                spent = {name: f"{size:g}" for name, size in part if size}
                at = f"ε={min(spent.values())}" if len(set(spent.values())) == 1 else budget_text(part)
                yield more, fewer, f"{' and '.join(spent)} alone at {at} ({setting[0]})"


def _is_part(part: Budget, budget: Budget) -> bool:
    """Whether ``part`` attacks some of the inputs of ``budget``, each as much."""
    return part != budget and any(size for _, size in part) and all(
        size in (0.0, whole) for (_, size), (_, whole) in zip(part, budget, strict=True))
