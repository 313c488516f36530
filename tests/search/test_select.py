"""A whole selection on a small data set: within the budget, with its evidence, and again without measuring anew."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import DataError, ModelError, UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.strict import encode
from tinyfuse.core.workers import Processes
from tinyfuse.data import Dataset
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.quantize.recipe import read_recipe, uniform
from tinyfuse.report.selection import render_selection
from tinyfuse.search import costs, measure, promote, sensitivity
from tinyfuse.search.budget import parse_budget
from tinyfuse.search.candidates import MOST_COMBINATIONS, Candidate, Space, grid
from tinyfuse.search.groups import widths_of
from tinyfuse.search.rank import Judged, Ranking
from tinyfuse.search.record import FILE, SelectionRecord, read_selection
from tinyfuse.search.select import Selection, choose, gather, space_of, try_out
from tinyfuse.search.selection_study import SelectionStudy
from tinyfuse.search.settings import Settings

SMALL = Settings(widths=(3, 8), grid=(3, 8), granularity="modality", methods=(), sensitivity_samples=20,
                 attacked_samples=10, sensitivity_steps=2, hessian_samples=20, hessian_probes=2, trial_samples=10,
                 trial_steps=2, finalists=1, final_samples=20, final_steps=2, test_samples=20, calibration_samples=20,
                 epsilon={"image": 0.03, "audio": 0.02})
BUDGET = parse_budget("flash=36kB")
Tried = tuple[dict[str, Candidate], dict[str, Judged]]


@pytest.fixture(scope="module")
def network(thin_early: Network) -> Network:
    return thin_early


def study_in(folder: Path, network: Network, dataset: Dataset, settings: Settings = SMALL) -> SelectionStudy:
    return SelectionStudy(network, dataset, settings, folder, ResultStore(folder / "results.jsonl"), Processes())


@pytest.fixture(scope="module")
def study(network: Network, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> SelectionStudy:
    return study_in(tmp_path_factory.mktemp("study"), network, tiny_dataset)


@pytest.fixture(scope="module")
def found(study: SelectionStudy) -> Selection:
    return choose(study, BUDGET)


@pytest.fixture(scope="module")
def tried(study: SelectionStudy, found: Selection) -> Tried:
    """All candidates of the selection and how they did, by name; nothing is measured again."""
    assert found.record
    return try_out(study, space_of(study, BUDGET), BUDGET, gather(study))


def test_the_choice_keeps_the_budget_and_is_a_proven_file(study: SelectionStudy, found: Selection) -> None:
    assert re.fullmatch(r"early__robust-[0-9a-f]{6}-flash36kB\.tflite", found.path.name)
    assert load_model(found.path).grids.keys() == {"image", "audio"}
    assert 0 < (found.record.best.needs["flash"] or 0) <= 36_000
    widths = widths_of(study.units, found.chosen)
    assert widths["shared"] == 3  # with 8 bits the shared layers alone are larger
    assert "recipe" in found.path.with_suffix(".toml").read_text()


def test_the_whole_grid_is_measured_and_the_choice_is_judged_on_other_samples(study: SelectionStudy,
                                                                              found: Selection) -> None:
    mixed = [trial.name for trial in found.record.trials if trial.name.startswith("image")]
    assert len(mixed) == 6  # of 8 combinations two are uniform
    assert {row["part"] for row in study.store.rows("trial")} == {"validation"}
    parts = {part: {row["part"] for row in ResultStore(found.folder / part / "results.jsonl").rows("attack")}
             for part in ("validation", "test")}
    assert parts == {"validation": {"validation"}, "test": {"test"}}


def test_allocations_around_the_budget_show_what_less_or_more_flash_is_worth(found: Selection) -> None:
    shares = {int(source.split()[2].rstrip("%")): one.needs["flash"] or 0
              for one in found.record.trials for source in one.sources if source.endswith("of flash")}
    assert 150 in shares and all(0 < size <= share / 100 * 36_000 for share, size in shares.items())


def test_the_reasons_name_the_cost_the_payer_the_runner_up_and_chance(found: Selection) -> None:
    said = " ".join(found.record.reasons)
    assert "has 3 bits" in said or "Fewest (3)" in said  # uniform or not, which small trainings do not settle
    for words in ("packed bytes", "Chosen minus w8", "McNemar p", "n = ", "test samples",
                  "Checks on held-out"):
        assert words in said


def write(record: SelectionRecord, folder: Path) -> Path:
    (folder / FILE).write_text(json.dumps(encode(record)))
    return folder / FILE


def test_the_record_is_read_back_as_it_was_written(study: SelectionStudy, found: Selection, tmp_path: Path) -> None:
    record = read_selection(write(found.record, tmp_path))
    assert encode(record) == encode(found.record) and record.chosen == found.chosen.name
    assert {unit.name: unit.bits for unit in record.units} == dict(widths_of(study.units, found.chosen))
    assert sum(trial.front for trial in record.trials) >= 1
    assert record.modes == ["image", "audio", "all"] and record.branches == ("image", "audio", "shared")
    assert np.shape(record.sensitivity.costs["robust"]) == (6, 2)


def test_a_grid_of_many_branches_is_made_of_the_ends_of_its_widths() -> None:
    branches = ("camera", "mic", "imu", "shared")
    assert len(grid(branches[-3:], (6, 7, 8, 9), ())) == MOST_COMBINATIONS
    names = [recipe.name for recipe in grid(branches, (6, 7, 8, 9), ())]
    assert len(names) == 16 and names[:2] == ["w6", "camera6-mic6-imu6-shared9"]


def test_again_nothing_is_measured(found: Selection, network: Network, tiny_dataset: Dataset,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    for module, name in ((sensitivity, "measured"), (measure, "run_trial"), (measure, "traces")):
        monkeypatch.setattr(module, name, refuse)
    again = choose(study_in(found.folder, network, tiny_dataset), BUDGET)
    assert (again.chosen, again.record.reasons) == (found.chosen, found.record.reasons)


def test_the_most_certified_is_chosen_from_the_same_trials(found: Selection, network: Network, tiny_dataset: Dataset,
                                                           tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((sensitivity, "measured"), (measure, "run_trial"), (measure, "traces")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("measured again"))
    proved = choose(study_in(found.folder, network, tiny_dataset, SMALL.changed(objective="certified")), BUDGET).record
    for one in (*proved.validation, *proved.test):
        assert one.certified is not None
        assert one.certified.n == 20
        assert one.certified.value <= one.robust["all"].value
    assert proved.best.certified == max((one.certified for one in proved.validation if one.name != "w8"),
                                        key=lambda share: share.low)
    held, tested = (ResultStore(found.folder / part / "results.jsonl").rows("analysis", quantity="certified")
                    for part in ("validation", "test"))
    assert {row["settings"].get("part") for row in held} == {"validation"}  # no package may carry these
    assert {row["settings"].get("part") for row in tested} == {None}
    page = render_selection(write(proved, tmp_path).parent).read_text()
    assert "it is proved over the integers that no attack on all inputs within" in page
    assert "the share of samples that no attack on all inputs can break" in page
    assert "certified against any attack" in " ".join(proved.reasons)
    assert read_selection(tmp_path / FILE).best.certified == proved.best.certified


def test_a_network_without_bounds_is_refused_before_anything_is_measured(
        network: Network, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_bounds(*_: object) -> None:
        raise ModelError("LSTM has no bounds")

    monkeypatch.setattr(promote, "Certifier", without_bounds)
    with pytest.raises(ModelError, match="LSTM has no bounds"):
        choose(study_in(tmp_path, network, tiny_dataset, SMALL.changed(objective="certified")), BUDGET)
    assert not list(tmp_path.iterdir())


def test_another_epsilon_in_the_folder_is_refused(found: Selection, network: Network, tiny_dataset: Dataset) -> None:
    """Its rows would be compared with those of the first."""
    other = study_in(found.folder, network, tiny_dataset, SMALL.changed(epsilon=0.02))
    with pytest.raises(UsageError, match=r"epsilon = \{'image': 0.03, 'audio': 0.02\}, but 0.02 is asked"):
        choose(other, BUDGET)


def test_the_reference_and_the_grid_are_no_choice_where_their_widths_are_not(
        found: Selection, tried: Tried, network: Network, tiny_dataset: Dataset) -> None:
    candidates, judged = tried
    narrow = study_in(found.folder, network, tiny_dataset, SMALL.changed(widths=(3,), grid=(3, 8)))
    recipes = {name: one.recipe for name, one in candidates.items()}
    out = promote.barred(narrow, parse_budget("flash=1MB"), list(judged.values()), recipes)
    assert set(judged) - set(out) == {"w3"}
    assert candidates["w8"].sources[-2:] == ("reference", "grid")


def test_a_budget_of_instructions_holds_for_trials_too(study: SelectionStudy, tried: Tried) -> None:
    """Trials do not run the firmware: what the sums say decides who goes on, and a width without a sum is unknown."""
    sizes, (candidates, outcomes) = {"instructions": np.array([[5.0, 1.0], [5.0, 1.0], [30.0, 10.0]])}, tried
    space = Space(study.units, (3, 8), study.allowed, sizes)
    known = {name: space.expected("instructions", one.recipe) for name, one in candidates.items()}
    assert (known["w3"], known["w8"], known["image8-audio3-shared3"]) == (40, 12, 36)
    judged = {name: replace(one, needs={**one.needs, "instructions": known[name]})
              for name, one in outcomes.items()}
    few = promote.finalists(study, parse_budget("instructions=20"), candidates, judged)
    assert all((known[one.recipe.name] or 0) <= 20 for one in few)
    assert Space(study.units, (3,), study.allowed, sizes).expected("instructions", uniform(8)) is None
    assert space.expected("macs", uniform(8)) is None


def test_instructions_are_counted_once(network: Network, tiny_dataset: Dataset, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    if not setups([CORES["m4"]]):
        pytest.skip("no arm-none-eabi-gcc or no emulator for m4; install gcc-arm-none-eabi and qemu-system-arm")
    counts = costs.instructions_of(study_in(tmp_path, network, tiny_dataset))
    assert set(counts) == {3, 8} and all(count > 100_000 for count in counts.values())
    monkeypatch.setattr(costs, "measure", lambda *_: pytest.fail("counted again"))
    assert costs.instructions_of(study_in(tmp_path, network, tiny_dataset)) == counts


def test_the_largest_uniform_one_that_fits_goes_to_the_test(tried: Tried) -> None:
    """It is what a user without a search would take."""
    judged = [replace(tried[1]["w3"], name=name, needs={"flash": size})
              for name, size in (("mixed", 50), ("w4", 40), ("w5", 55), ("w6", 60))]
    candidates = {one.name: Candidate(uniform(4), ("uniform",) if one.name[0] == "w" else ()) for one in judged}
    assert promote.to_test(Ranking(judged, {}, "robust"), candidates, "w8") == ["mixed", "w4", "w6", "w8"]


def test_a_folder_of_something_else_is_refused(found: Selection, network: Network, tiny_dataset: Dataset,
                                               tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes((found.folder / "validation" / "results.jsonl").read_bytes())
    with pytest.raises(UsageError, match="something else than a selection; give another --out"):
        choose(study_in(tmp_path, network, tiny_dataset), BUDGET)
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]


def test_choices_among_other_widths_have_names_of_their_own() -> None:
    """Otherwise the second would silently replace the first's .tflite."""
    labels = {Settings().changed(**change).label for change in (
        {}, {"granularity": "modality"}, {"widths": (4, 8)}, {"fixed": (("image", 8),)}, {"methods": ()})}
    assert len(labels) == 5 and Settings(trial_samples=5).label == "robust"


def test_a_fixed_width_survives_into_the_page(found: Selection, tmp_path: Path) -> None:
    write(replace(found.record, settings=found.record.settings.changed(fixed=(("shared", 3),))), tmp_path)
    assert "<html" in render_selection(tmp_path).read_text()


def test_a_network_that_was_trained_for_a_recipe_has_no_widths_to_choose(network: Network, tiny_dataset: Dataset,
                                                                        tmp_path: Path) -> None:
    table = {**network.table, "qat": {}, "recipe": read_recipe("w4-qat").to_table()}
    with pytest.raises(UsageError, match=r"give the float network early\.keras"):
        study_in(tmp_path, replace(network, table=table), tiny_dataset)


def test_limits_that_cannot_be_met_together(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    other = study_in(tmp_path, network, tiny_dataset, SMALL.changed(widths=(3, 9), grid=(3,)))
    sizes = {"flash": np.array([[3.0, 9.0]] * 3), "macs": np.array([[2.0, 1.0]] * 3)}  # narrow is slow here
    space = Space(other.units, (3, 9), other.allowed, sizes)
    with pytest.raises(UsageError, match="not together"):
        space.check_reachable(parse_budget("flash=10,macs=4"))
    space.check_reachable(parse_budget("flash=15,macs=5"))


def test_impossible_budgets_say_the_smallest_reachable_size(network: Network, tiny_dataset: Dataset,
                                                            tmp_path: Path) -> None:
    fresh = study_in(tmp_path, network, tiny_dataset)
    smallest = sum(-(-unit.weights * 3 // 8) for unit in fresh.units)
    with pytest.raises(UsageError, match=r"smallest reachable is (\d+), with widths 3, 8") as caught:
        choose(fresh, parse_budget("flash=9kB"))
    assert smallest < int(str(caught.value).split("reachable is ")[1].split(",")[0]) < 1.2 * smallest
    with pytest.raises(UsageError, match=r"smallest reachable arena is \d+ bytes"):
        choose(fresh, parse_budget("ram=1kB"))


def test_a_fixed_width_is_kept_and_counts_for_the_smallest_size(network: Network, tiny_dataset: Dataset,
                                                                tmp_path: Path) -> None:
    fixed = study_in(tmp_path, network, tiny_dataset, SMALL.changed(fixed=(("shared", 8),)))
    with pytest.raises(UsageError, match=r"smallest reachable is [45]\d{4}"):
        choose(fixed, BUDGET)
    unknown = study_in(tmp_path, network, tiny_dataset, SMALL.changed(fixed=(("shaerd", 8),)))
    with pytest.raises(UsageError, match="did you mean 'shared'"):
        choose(unknown, BUDGET)


def test_too_few_samples(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    few = replace(tiny_dataset, validation=tiny_dataset.validation.balanced(10, seed=0))
    with pytest.raises(DataError, match="10 validation samples are too few"):
        study_in(tmp_path, network, few)


@pytest.mark.parametrize(("change", "message"), [
    ({"objective": "robst"}, "did you mean 'robust'"), ({"granularity": "layers"}, "did you mean 'layer'"),
    ({"widths": (1, 8)}, "from 2 to 9"), ({"widths": (8, 8)}, "once"), ({"methods": ("qat",)}, "may use"),
    ({"methods": ("gtpq",)}, "did you mean 'gptq'"), ({"clean_loss": 1.5}, "between 0 and 1"),
    ({"methods": ("gptq", "mse")}, "in the order"), ({"hessian_probes": 1}, "at least 2"), ({"core": "m5"}, "m55"),
    ({"trial_samples": 0}, "at least 1"), ({"trial_sampels": 5}, "did you mean 'trial_samples'"),
    ({"fixed": (("image", 5),)}, "cannot have 5 bits"),
])
def test_bad_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SMALL.changed(**change)


def test_a_budget_below_one_code_or_above_the_range_of_an_input(network: Network, tiny_dataset: Dataset,
                                                                tmp_path: Path) -> None:
    for epsilon in (0.003, 1.5):
        with pytest.raises(UsageError, match=r"'image' it lies between one input code, 0\.0039\d*, and its range, 1"):
            study_in(tmp_path, network, tiny_dataset, SMALL.changed(epsilon=epsilon))
