"""The measurements of a study as rows: sensitivities, curvature, trials. What the store holds is not repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinyfuse.attacks.profiles import STANDARD
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.results import Row, pack_survivors
from tinyfuse.nn.train import predict
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.recipe import Precision, precision
from tinyfuse.search import costs
from tinyfuse.search.groups import Unit, recipe
from tinyfuse.search.hessian import traces
from tinyfuse.search.sensitivity import REFERENCE, Question, measured
from tinyfuse.search.study import PART, Study, recipe_json
from tinyfuse.search.trial import Exam, Outcome, examine, modes_of

Tick = Callable[[str], None]
Place = tuple[str, int]
"""Part and bits; "" is the whole network at the reference width."""


def places(study: Study) -> list[Place]:
    """Everything whose sensitivity is measured."""
    return [("", REFERENCE), *((part.name, bits) for part in study.parts for bits in study.settings.widths
                               if bits != REFERENCE)]


def sensitivities(study: Study, tick: Tick) -> dict[Place, Row]:
    """Sensitivity rows by part and width."""
    settings = study.settings
    measure = {"n": settings.sensitivity_pairs, "attacked": settings.attacked_pairs,
               "steps": settings.sensitivity_steps, "epsilon": settings.epsilon}
    made = {place: study.convert(_alone(study, *place)) for place in places(study)}
    keys = {study.key("sensitivity", file=sha256_hex(found.data), part=place[0], bits=place[1], **measure): place
            for place, found in made.items()}
    missing = {key: place for key, place in keys.items() if not study.store.has(key)}
    question = _question(study) if missing else None
    counts = {"n": len(question.labels), "attacked": len(question.attacked_labels)} if question else {}
    tasks = {key: (made[place].data, " ".join(map(str, place)), question) for key, place in missing.items()}
    for key, found in study.each(measured, tasks):
        part, bits = missing[key]
        tick(f"{part} {bits} bits")
        study.store.append({
            "kind": "sensitivity", "key": key, "unit": part, "bits": bits, **measure, **counts,
            **dict.fromkeys(("attacked_image", "attacked_audio")), **found, **study.common()})
    return {keys[key]: row for key, row in study.rows("sensitivity", keys).items()}


def _alone(study: Study, part: str, bits: int) -> Precision:
    units = [Unit(other.name, (other,)) for other in study.parts]
    widths = {unit.name: bits if unit.name == part else REFERENCE for unit in units}
    return recipe("alone", units, widths, study.settings.methods)


def _question(study: Study) -> Question:
    pairs = study.training(study.settings.sensitivity_pairs)
    attacked = study.training(study.settings.attacked_pairs)
    return Question(pairs.inputs(), pairs.label, predict(study.network.model, pairs), attacked.inputs(), attacked.label,
                    study.modalities, study.settings.sensitivity_steps, study.settings.epsilon)


def rounding_errors(study: Study) -> dict[Place, float]:
    """Sum of (rounded - float)^2 over the weights of each part at each width."""
    found = {}
    for bits in study.settings.widths:
        made = study.convert(uniform(bits, study.settings.methods))
        for part in study.parts:
            error = made.codes[part.layer.name].real - part.layer.kernel
            found[part.name, bits] = float((error[..., part.start:part.stop]**2).sum())
    return found


def uniform(bits: int, methods: tuple[str, ...]) -> Precision:
    """The recipe with one width for all weights."""
    return precision("-".join([f"w{bits}", *methods]))


def curvature(study: Study, tick: Tick) -> dict[str, Row]:
    """Hessian rows by part."""
    settings = study.settings
    keys = {study.key("hessian", part=part.name, n=settings.hessian_pairs, probes=settings.hessian_probes): part
            for part in study.parts}
    if not all(study.store.has(key) for key in keys):
        pairs = study.training(settings.hessian_pairs)
        found = traces(study.network.model, study.parts, pairs, probes=settings.hessian_probes,
                       tick=lambda: tick("curvature"))
        for key, part in keys.items():
            trace = found[part.name]
            study.store.append({"kind": "hessian", "key": key, "unit": part.name, "trace": trace.trace,
                                "standard_error": trace.standard_error, "probes": trace.probes,
                                "weights": part.weights, "n": len(pairs), **study.common()})
    return {keys[key].name: row for key, row in study.rows("hessian", keys).items()}


def trials(study: Study, recipes: Sequence[Precision], tick: Tick, *, part: str = PART,
           pairs: int | None = None) -> dict[str, Row]:
    """Trial rows by the name of the recipe, on ``pairs`` (default: the settings') pairs of ``part``."""
    settings = study.settings
    chosen = study.judged(part, pairs or settings.trial_pairs)
    suite = STANDARD.with_steps(settings.trial_steps)
    made = {each.name: study.convert(each) for each in recipes}
    keys = {study.key("trial", file=sha256_hex(conversion.data), recipe=recipe_json(conversion.precision),
                      n=len(chosen), part=part, suite=repr(suite), epsilon=settings.epsilon): name
            for name, conversion in made.items()}
    missing = {key: name for key, name in keys.items() if not study.store.has(key)}
    exam = Exam(chosen.inputs(), chosen.label, modes_of(study.modalities), suite, settings.epsilon)
    for key, outcome in study.each(examine, {key: (made[name].data, name, exam) for key, name in missing.items()}):
        name = missing[key]
        tick(name)
        study.store.append(_trial_row(study, key, made[name], outcome, part))
    return {keys[key]: row for key, row in study.rows("trial", keys).items()}


def _trial_row(study: Study, key: str, made: Conversion, outcome: Outcome, part: str) -> Row:
    settings, needs = study.settings, costs.needs(made)
    survivors: Mapping[str, np.ndarray] = {"clean": outcome.clean, **outcome.robust}
    packed = {f"survivors_{name}": pack_survivors(survivors[name]) if name in survivors else None
              for name in ("clean", "image", "audio", "both")}
    return {"kind": "trial", "key": key, "precision": made.precision.name, "recipe": recipe_json(made.precision),
            "packed_bytes": needs["flash"], "stored_bytes": len(made.data),
            "ram_bytes": outcome.arena_bytes, "macs": needs["macs"],
            "profile": STANDARD.name, "steps": settings.trial_steps, "epsilon": settings.epsilon, "part": part,
            "n": len(outcome.clean), **packed, "seconds": round(outcome.seconds, 3), **study.common()}
