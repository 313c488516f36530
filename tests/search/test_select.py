"""A whole selection on a small data set: within the budget, with its evidence, and again without measuring anew."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.integer.interpreters import load
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import Network, obtain
from tinyfuse.quantize.recipe import precision
from tinyfuse.report.selection import render_selection
from tinyfuse.search import instructions, measure
from tinyfuse.search import promote as finalists
from tinyfuse.search.budget import parse_budget
from tinyfuse.search.candidates import Candidate, Space
from tinyfuse.search.groups import widths_of
from tinyfuse.search.instructions import counted
from tinyfuse.search.rank import Ranking
from tinyfuse.search.record import to_json
from tinyfuse.search.select import Selection, select
from tinyfuse.search.settings import Settings
from tinyfuse.search.study import Study

SMALL = Settings(widths=(3, 8), grid=(3, 8), granularity="modality", methods=(), sensitivity_pairs=20,
                 attacked_pairs=10, sensitivity_steps=2, hessian_pairs=20, hessian_probes=2, trial_pairs=10,
                 trial_steps=2, finalists=1, final_pairs=20, final_steps=2, test_pairs=20, calibration_pairs=20)


@pytest.fixture(scope="module")
def network(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Network:
    config = TrainConfig(epochs=6, batch_size=20)
    return obtain("early", tiny_dataset, config, tmp_path_factory.mktemp("networks"))


def study_in(folder: Path, network: Network, dataset: Dataset, settings: Settings = SMALL) -> Study:
    return Study(network, dataset, settings, folder, ResultStore(folder / "results.jsonl"), jobs=1)


@pytest.fixture(scope="module")
def found(network: Network, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Selection:
    return select(study_in(tmp_path_factory.mktemp("study"), network, tiny_dataset), parse_budget("flash=60kB"))


def test_the_choice_keeps_the_budget_and_is_a_proven_file(found: Selection) -> None:
    assert re.fullmatch(r"early__robust-[0-9a-f]{6}-flash60kB\.tflite", found.path.name)
    assert load(found.path).grids.keys() == {"image", "audio"}
    assert found.finalists[0].needs["flash"] is not None and found.finalists[0].needs["flash"] <= 60_000
    widths = widths_of(found.study.units, found.chosen)
    assert widths["shared"] == 3  # with 8 bits the shared layers alone are larger
    assert "precision" in found.path.with_suffix(".toml").read_text()


def test_the_whole_grid_is_measured_and_the_choice_is_judged_on_other_pairs(found: Selection) -> None:
    assert len([name for name in found.trials if name.startswith("image")]) == 6  # of 8 combinations two are uniform
    assert {row["part"] for row in found.study.store.rows("trial")} == {"validation"}
    parts = {part: {row["part"] for row in ResultStore(found.study.folder / part / "results.jsonl").rows("attack")}
             for part in ("validation", "test")}
    assert parts == {"validation": {"validation"}, "test": {"test"}}


def test_allocations_around_the_budget_show_what_less_or_more_flash_is_worth(found: Selection) -> None:
    shares = {int(source.split()[2].rstrip("%")): found.trials[one.precision.name].needs["flash"] or 0
              for one in found.candidates.values() for source in one.sources if source.endswith("of flash")}
    assert 150 in shares and all(0 < size <= share / 100 * 60_000 for share, size in shares.items())


def test_the_reasons_name_the_cost_the_payer_the_runner_up_and_chance(found: Selection) -> None:
    said = " ".join(found.reasons)
    for words in ("packed bytes", "3 bits", "Chosen minus w8", "McNemar p", "n = ", "test pairs", "Checks on held-out"):
        assert words in said


def test_the_record_is_json(found: Selection) -> None:
    record = json.loads(json.dumps(to_json(found)))
    assert {unit["name"]: unit["bits"] for unit in record["units"]} == dict(widths_of(found.study.units, found.chosen))
    assert sum(trial["front"] for trial in record["trials"]) >= 1
    assert np.shape(record["sensitivity"]["costs"]["robust"]) == (11, 2)


def test_again_nothing_is_measured(found: Selection, network: Network, tiny_dataset: Dataset,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    for name in ("measured", "examine", "traces"):
        monkeypatch.setattr(measure, name, refuse)
    again = select(study_in(found.study.folder, network, tiny_dataset), parse_budget("flash=60kB"))
    assert (again.chosen, list(again.reasons)) == (found.chosen, list(found.reasons))


def test_another_epsilon_in_the_folder_is_refused(found: Selection, network: Network, tiny_dataset: Dataset) -> None:
    """Its rows would be compared with those of the first."""
    study = study_in(found.study.folder, network, tiny_dataset, SMALL.changed(epsilon=0.02))
    with pytest.raises(UsageError, match=r"epsilon = 0.03, but 0.02 is asked for; give another --out"):
        select(study, parse_budget("flash=60kB"))


def test_the_reference_and_the_grid_are_no_choice_where_their_widths_are_not(found: Selection, network: Network,
                                                                            tiny_dataset: Dataset) -> None:
    study = study_in(found.study.folder, network, tiny_dataset, SMALL.changed(widths=(3,), grid=(3, 8)))
    recipes = {name: one.precision for name, one in found.candidates.items()}
    out = finalists.barred(study, parse_budget("flash=1MB"), list(found.trials.values()), recipes)
    assert set(found.trials) - set(out) == {"w3"}
    assert found.candidates["w8"].sources[-2:] == ("reference", "grid")


def test_a_budget_of_instructions_holds_for_trials_too(found: Selection) -> None:
    """Trials do not run the firmware: what the sums say decides who goes on, and a width without a sum is unknown."""
    study, sizes = found.study, {"instructions": np.array([[5.0, 1.0], [5.0, 1.0], [30.0, 10.0]])}
    space = Space(study.units, (3, 8), study.allowed, sizes)
    known = {name: space.expected("instructions", one.precision) for name, one in found.candidates.items()}
    assert (known["w3"], known["w8"], known["image8-audio3-shared3"]) == (40, 12, 36)
    judged = {name: replace(one, needs={**one.needs, "instructions": known[name]})
              for name, one in found.trials.items()}
    few = finalists.chosen(study, parse_budget("instructions=20"), found.candidates, judged)
    assert all(known[one.precision.name] <= 20 for one in few)
    assert Space(study.units, (3,), study.allowed, sizes).expected("instructions", precision("w8")) is None
    assert space.expected("macs", precision("w8")) is None


def test_instructions_are_counted_once(found: Selection, network: Network, tiny_dataset: Dataset, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    if not setups([CORES["m4"]]):
        pytest.skip("no arm-none-eabi-gcc or no emulator for m4; install gcc-arm-none-eabi and qemu-system-arm")
    counts = counted(study_in(tmp_path, network, tiny_dataset), lambda note: None)
    assert set(counts) == {3, 8} and all(count > 1_000_000 for count in counts.values())
    monkeypatch.setattr(instructions, "measure", lambda *_: pytest.fail("counted again"))
    assert counted(study_in(tmp_path, network, tiny_dataset), lambda note: None) == counts


def test_the_largest_uniform_one_that_fits_goes_to_the_test(found: Selection) -> None:
    """It is what a user without a search would take."""
    judged = [replace(found.trials["w3"], name=name, needs={"flash": size})
              for name, size in (("mixed", 50), ("w4", 40), ("w5", 55), ("w6", 60))]
    candidates = {one.name: Candidate(precision("w4"), ("uniform",) if one.name[0] == "w" else ()) for one in judged}
    assert finalists.to_test(Ranking(judged, {}, "robust"), candidates, "w8") == ["mixed", "w4", "w6", "w8"]


def test_a_folder_of_something_else_is_refused(found: Selection, network: Network, tiny_dataset: Dataset,
                                               tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes((found.study.folder / "validation" / "results.jsonl").read_bytes())
    with pytest.raises(UsageError, match="something else than a selection; give another --out"):
        select(study_in(tmp_path, network, tiny_dataset), parse_budget("flash=60kB"))
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]


def test_choices_among_other_widths_have_names_of_their_own() -> None:
    """Otherwise the second would silently replace the first's .tflite."""
    labels = {Settings().changed(**change).label for change in (
        {}, {"granularity": "modality"}, {"widths": (4, 8)}, {"fixed": (("image", 8),)}, {"methods": ()})}
    assert len(labels) == 5 and Settings(trial_pairs=5).label == "robust"


def test_a_fixed_width_survives_into_the_page(found: Selection, tmp_path: Path) -> None:
    record = {**to_json(found), "settings": {**to_json(found)["settings"], "fixed": (("shared", 3),)}}
    (tmp_path / "selection.json").write_text(json.dumps(record))
    assert "<html" in render_selection(tmp_path).read_text()


def test_a_network_that_was_trained_for_a_recipe_has_no_widths_to_choose(network: Network, tiny_dataset: Dataset,
                                                                        tmp_path: Path) -> None:
    table = {**network.table, "qat": {}, "precision": precision("w4-qat").to_table()}
    with pytest.raises(UsageError, match=r"give the float network early\.keras"):
        study_in(tmp_path, replace(network, table=table), tiny_dataset)


def test_limits_that_cannot_be_met_together(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    study = study_in(tmp_path, network, tiny_dataset, SMALL.changed(widths=(3, 9), grid=(3,)))
    sizes = {"flash": np.array([[3.0, 9.0]] * 3), "macs": np.array([[2.0, 1.0]] * 3)}  # narrow is slow here
    space = Space(study.units, (3, 9), study.allowed, sizes)
    with pytest.raises(UsageError, match="not together"):
        space.check_reachable(parse_budget("flash=10,macs=4"))
    space.check_reachable(parse_budget("flash=15,macs=5"))


def test_impossible_budgets_say_the_smallest_reachable_size(network: Network, tiny_dataset: Dataset,
                                                            tmp_path: Path) -> None:
    study = study_in(tmp_path, network, tiny_dataset)
    smallest = sum(-(-unit.weights * 3 // 8) for unit in study.units)
    with pytest.raises(UsageError, match=r"smallest reachable is (\d+), with widths 3, 8") as caught:
        select(study, parse_budget("flash=9kB"))
    assert smallest < int(str(caught.value).split("reachable is ")[1].split(",")[0]) < 1.2 * smallest
    with pytest.raises(UsageError, match=r"smallest reachable arena is \d+ bytes"):
        select(study, parse_budget("ram=5kB"))


def test_a_fixed_width_is_kept_and_counts_for_the_smallest_size(network: Network, tiny_dataset: Dataset,
                                                                tmp_path: Path) -> None:
    fixed = study_in(tmp_path, network, tiny_dataset, SMALL.changed(fixed=(("shared", 8),)))
    with pytest.raises(UsageError, match=r"smallest reachable is 8\d{4}"):
        select(fixed, parse_budget("flash=60kB"))
    unknown = study_in(tmp_path, network, tiny_dataset, SMALL.changed(fixed=(("shaerd", 8),)))
    with pytest.raises(UsageError, match="did you mean 'shared'"):
        select(unknown, parse_budget("flash=60kB"))


def test_too_few_pairs(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    few = replace(tiny_dataset, validation=tiny_dataset.validation.balanced(10, seed=0))
    with pytest.raises(DataError, match="10 validation pairs are too few"):
        study_in(tmp_path, network, few)


@pytest.mark.parametrize(("change", "message"), [
    ({"objective": "robst"}, "did you mean 'robust'"), ({"granularity": "layers"}, "did you mean 'layer'"),
    ({"widths": (1, 8)}, "from 2 to 9"), ({"widths": (8, 8)}, "once"), ({"methods": ("qat",)}, "may use"),
    ({"methods": ("gtpq",)}, "did you mean 'gptq'"), ({"epsilon": 0.003}, "one input code, 1/255"),
    ({"methods": ("gptq", "mse")}, "in the order"), ({"hessian_probes": 1}, "at least 2"), ({"core": "m5"}, "m55"),
    ({"trial_pairs": 0}, "at least 1"), ({"trial_pars": 5}, "did you mean 'trial_pairs'"),
    ({"fixed": (("image", 5),)}, "cannot have 5 bits"),
])
def test_bad_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SMALL.changed(**change)
