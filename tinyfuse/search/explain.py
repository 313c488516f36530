"""Why this choice, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tinyfuse.quantize.recipe import Precision
from tinyfuse.search import explain_terms as words
from tinyfuse.search.groups import widths_of
from tinyfuse.search.rank import Comparison, Judged, Ranking
from tinyfuse.search.study import PART, Study


def reasons(study: Study, ranking: Ranking, reference: Judged, tested: Sequence[Judged],
            comparisons: Mapping[str, Sequence[Comparison]], recipes: Mapping[str, Precision]) -> list[str]:
    """What was chosen, what the budget costs and who pays, the runner-up, chance, and what the checks say."""
    best = ranking.order[0]
    decisive = ("clean",) if ranking.objective == "clean" else (best.weaker, "both")
    return [*_choice(study, ranking, reference, recipes), *_rivals(ranking, comparisons[PART], decisive),
            *_tests(best, tested, comparisons["test"]), *words.warnings(best, tested[0])]


def _choice(study: Study, ranking: Ranking, reference: Judged, recipes: Mapping[str, Precision]) -> Iterator[str]:
    best = ranking.order[0]
    yield (f"Chosen: {best.name}. On {len(best.robust[best.weaker])} held-out pairs under attack and {len(best.clean)} "
           f"clean ones: {words.figures(best)}.")
    yield (f"{words.cost_of_budget(best, reference)} "
           f"{words.payers(study.units, widths_of(study.units, recipes[best.name]))}")
    if ranking.relaxed:
        yield (f"Every finalist loses more than {100 * study.settings.clean_loss:g} points of clean accuracy against "
               f"{reference.name}, so clean accuracy decided.")


def _rivals(ranking: Ranking, comparisons: Sequence[Comparison],
            decisive: Sequence[str]) -> Iterator[str]:
    others = ranking.order[1:]
    for name in dict.fromkeys(found.b for found in comparisons):
        role = "Runner-up" if others and name == others[0].name else "Beside it"
        said = "; ".join(words.significance(found) for found in comparisons if found.b == name and
                         found.what in decisive)
        yield f"{role}: {name}. Chosen minus {name} on held-out pairs, {said}."
    for one in others:
        if one.suspect and one.score(ranking.objective) > ranking.order[0].score(ranking.objective):
            yield (f"{one.name} scores higher but stands behind, as its robustness may be an artefact: "
                   f"{one.suspect[0].text}.")
    for name, why in ranking.left_out.items():
        yield f"Left out: {name}, {why}."


def _tests(best: Judged, tested: Sequence[Judged], comparisons: Sequence[Comparison]) -> Iterator[str]:
    first = tested[0]
    yield (f"On {len(first.robust[first.weaker])} attacked and {len(first.clean)} clean test pairs: "
           f"{words.figures(first)}.")
    for one in comparisons:
        if one.what in ("clean", best.weaker, "both"):
            yield f"Chosen minus {one.b} on test pairs, {words.significance(one)}."
