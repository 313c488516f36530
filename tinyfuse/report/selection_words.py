"""What a selection did and what it does not say, in words with its own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tinyfuse.quantize.recipe import METHODS
from tinyfuse.report.selection_file import SelectionFile
from tinyfuse.report.selection_tables import PARTS
from tinyfuse.report.tables import percent
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import EXECUTORS, KINDS, NORM_TEXTS, integer_judge, profile_text, span, widest
from tinyfuse.search.budget import RESOURCES
from tinyfuse.search.candidates import AROUND, PROPOSED
from tinyfuse.search.sensitivity import REFERENCE

_OBJECTIVES = {
    "robust": "the mean accuracy under attacks on the weaker modality and on both, then clean",
    "clean": "clean accuracy, then the mean under attacks on the weaker modality and on both",
}
_PROFILE = "standard"


def facts(found: SelectionFile, views: Mapping[str, RunView]) -> list[tuple[str, str]]:
    """What was asked for and how figures were made: (term, text); ``views`` of the judged parts by name."""
    settings, data = found.settings, found.data
    methods = ", ".join(f"{name} ({METHODS[name]})" for name in settings.methods) or "nearest code"
    return [
        ("Network", f"{found.model}, {found.network[:12]}, training seed {found.training_seed}"),
        ("Data", f"{data.name}, {data.split} split, checksum {data.checksum[:12]}"),
        ("Budget", "; ".join(_limit(name, limit) for name, limit in found.budget.items())),
        ("Objective", f"{settings.objective}: {_OBJECTIVES[settings.objective]}; by the lower ends of 95 % intervals. "
                      f"A recipe that loses more than {100 * settings.clean_loss:g} points of clean accuracy against "
                      f"{REFERENCE} bits, or that a check rejects, is not chosen"),
        ("Choice", f"one width for each {settings.granularity}, from {', '.join(map(str, settings.widths))} bits"),
        ("Rounding", methods),
        ("Threat model", f"{NORM_TEXTS['linf']}, ε = {settings.epsilon:g} in units of the inputs (0 to 1), separately "
                         f"for each attacked modality. G: {KINDS['G']}; every candidate has the same 8-bit input grid, "
                         "so that all of them face the same codes"),
        *_attacks(views, settings.trial_steps),
        ("Executor", f"twin: {EXECUTORS['twin']}. {_proofs(views)}"),
        ("Samples", f"sensitivity: {found.sensitivity.pairs} training pairs, and {found.sensitivity.attacked} drawn "
                    f"anew and attacked; trials: {found.attacked('trials')} held-out pairs; finalists: "
                    f"{found.attacked('validation')} held-out pairs attacked, {_clean(found, 'validation')} clean; "
                    f"test: {found.attacked('test')} pairs attacked, {_clean(found, 'test')} clean"),
        ("Written", f"{found.file} and its recipe {found.chosen}.toml; on this page {found.best.name}"),
    ]


def steps(found: SelectionFile) -> list[str]:
    """How the choice was made, one sentence for each step."""
    settings = found.settings
    wanted = ", ".join(f"{count} by {name}" for name, count in PROPOSED[settings.objective].items())
    shares = " and ".join([", ".join(f"{share:.0%}" for share in AROUND[:-1]), f"{AROUND[-1]:.0%}"])
    other = f"; and one at {shares} of the budget of flash" * ("flash" in found.budget)
    grid = ", ".join(map(str, settings.grid))
    fusion = f" and all combinations of {grid} bits for image, audio and shared layers" * (len(found.modes) > 1)
    return [
        f"Sensitivity: each layer alone at each width, all others at {REFERENCE} bits. The integers of that very "
        f"network were compared with the float network, and attacked by PGD ({settings.sensitivity_steps} steps) with "
        "their own gradients.",
        f"Curvature: the trace of the Hessian over each layer by {settings.hessian_probes} random sign vectors on "
        f"{found.sensitivity.curvature_pairs} training pairs.",
        f"Allocation: the widths with the least sum of costs within the budget, by integer programming; the cheapest "
        f"{wanted}{other}.",
        f"Trials: these, the uniform widths within the budget{fusion} were converted and attacked on "
        f"{found.attacked('trials')} held-out pairs.",
        f"Finals: the best {settings.finalists}, the best and the largest uniform one and {REFERENCE} bits went "
        f"through the attacks, probes and checks of a bench run in threat model G on {found.attacked('validation')} "
        "held-out pairs; the best of them was chosen.",
        "Test: the chosen one and those that it is compared with were judged again on "
        f"{found.attacked('test')} test pairs, which decided nothing here.",
    ]


def limits(found: SelectionFile) -> Iterator[str]:
    """What the page does not say."""
    shares = [share for trial in found.trials for share in trial.robust.values()]
    yield (f"A trial has few pairs (n = {span(share.n for share in shares)}, 95 % intervals up to {widest(shares)}): "
           "most differences in the figures of trials are chance.")
    yield (f"The best of {len(found.trials)} trials is the best partly by luck (the winner's curse). {_luck(found)} "
           "Quote the figures on test pairs.")
    yield "The finalists were ranked on held-out pairs, so their figures there flatter the winner too, if less."
    yield (f"Sums of costs of single layers are an approximation: layers that are narrow together may do more, or "
           f"less, than each alone beside {REFERENCE} bits. The trials measure whole networks for this reason.")
    yield (f"One network, training seed {found.training_seed}: another training may rank layers otherwise, and its "
           "spread is not in any interval here.")
    yield ("p-values and intervals are those of single comparisons, not corrected for their number; “no” means not "
           "shown, not equal.")
    yield (f"Robust accuracies are upper bounds: what these attacks did not break at ε = {found.settings.epsilon:g}; "
           "another budget or norm may order recipes otherwise.")
    if "instructions" in found.budget:
        yield ("The instructions of a trial are estimated from those of uniform widths; those of a finalist are "
               "counted.")
    yield ("Instructions and memory are counted on an emulated core; the budget of flash counts packed weights, biases "
           "and requantisation constants, not code.")


def _luck(found: SelectionFile) -> str:
    """What became of the chosen one's figure from trial to test."""
    mode, best = found.best.weaker, found.best
    seen = [("on the pairs of its trial", next((one for one in found.trials if one.name == best.name), None)),
            ("as a finalist", best),
            ("on test pairs", next((one for one in found.test if one.name == best.name), None))]
    told = [f"{percent(share.value)} % {words} (n = {share.n})" for words, one in seen
            if one is not None and (share := one.robust.get(mode)) is not None]
    return f"With {mode} attacked, the chosen one had {', '.join(told)}."


def _limit(name: str, limit: int) -> str:
    return f"{name} {limit:,}" + (f" ({RESOURCES[name]})" if name in RESOURCES else "")


def _clean(found: SelectionFile, part: str) -> str:
    return span(one.clean.n for one in (found.test if part == "test" else found.validation))


def _attacks(views: Mapping[str, RunView], trial_steps: int) -> list[tuple[str, str]]:
    """The suite of the finals, which left its rows; trials run the same one with fewer steps."""
    rows = [row for view in views.values() for row in view.rows
            if row["kind"] == "attack" and row["profile"] == _PROFILE and row["executor"] == "twin"]
    trials = f"Trials: the same suite with {trial_steps} steps"
    return [("Attacks", f"{profile_text(_PROFILE, rows)}. {trials}")] if rows else []


def _proofs(views: Mapping[str, RunView]) -> str:
    told = [f"on {words} pairs {integer_judge(views[part].lines)}" for part, words in PARTS.items() if part in views]
    return f"Here: {'; '.join(told)}" if told else "The rows of its proof are not beside this page"
