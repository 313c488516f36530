"""A study from trainings to its page: every job once, whatever stops it; other settings and small data are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyfuse.attacks.pgd import FGSM, PGD
from tinyfuse.attacks.profiles import Profile
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.workers import Bundle
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.report import study_page
from tinyfuse.study import papers
from tinyfuse.study.papers import STUDIES
from tinyfuse.study.papers.away import Made, task_of
from tinyfuse.study.papers.claims import Claim, Contrast, Curve
from tinyfuse.study.papers.jobs import AttackJob, ConvertJob, Site, TrainJob
from tinyfuse.study.papers.paper import Campaign, Figure, Panel, Paper, Training
from tinyfuse.study.papers.run_study import run_study, waves_of

IMAGE, AUDIO, ALL = ("image",), ("audio",), ("image", "audio")
SUITE = Profile("paper", (FGSM(), PGD(steps=2)), last_iterate=True)
CLAIM = Claim("superset", "Both are worse than one", "here", (
    Contrast("image minus both", Curve("fused", IMAGE, "pgd"), Curve("fused", ALL, "pgd")),))
PANEL = Panel("pgd", {"fused": Curve("fused", ALL, "pgd")})
NEVER = Panel("9 bits", {"fused": Curve("fused", ALL, "pgd", "w9"), "gone": Curve("gone", ALL, "pgd", "w9")})
TINY = Paper(
    name="tiny", title="A tiny paper", data="other data", aside="Nothing else.", inputs=ALL, samples=20, epochs=1,
    batch_size=50, trainings_needed=1, trainings=(Training("fused", "plain-late"), Training("seen", "plain-image")),
    campaigns=(Campaign(("fused", "seen"), ("float", "w6"), SUITE, (0.05, 0.1)),
               Campaign(("fused",), ("float",), SUITE, (0.05, 0.1), modes=(AUDIO,), masked=True),
               Campaign(("fused",), ("float", "minmax6"), SUITE, (0.05, 0.1), modes=(IMAGE,))),
    figures=(Figure("Fig 1", "Both", "down", ((PANEL, NEVER),)),),
    claims=(CLAIM,))


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """The page looks a study up by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(papers.STUDIES, "tiny", TINY)
        yield


def site(folder: Path, samples: int = 20) -> Site:
    return Site(folder, None, (("limit", 60),), samples)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study with one training of each network, finished."""
    folder = tmp_path_factory.mktemp("study")
    run_study(TINY, site(folder), (3,), quick=False)
    return folder


def test_what_is_needed_comes_first_and_nothing_twice() -> None:
    """Trainings and conversions before attacks on them; a network of one input has one mode; (image, float) once."""
    waves = list(waves_of(TINY, (0, 1)))
    jobs = [job for wave in waves for job in wave]
    assert [type(wave[0]) for wave in waves if wave][:3] == [TrainJob, ConvertJob, AttackJob]
    assert len(jobs) == len({job.identity for job in jobs})
    counts = {kind: sum(isinstance(job, kind) for job in jobs) for kind in (TrainJob, ConvertJob, AttackJob)}
    assert counts == {TrainJob: 4, ConvertJob: 4, AttackJob: 2 * (2 * 3 + 2 + 1 + 1)}


def test_rows_of_every_training_and_the_claim_before_them(done: Path) -> None:
    """The claim's checksum is in the first row; TFLite Micro agrees; padding was masked where it was asked for."""
    rows = ResultStore(done / "results.jsonl").rows()
    assert (done / "networks" / "seed-3" / "fused" / "plain-late.keras").exists()
    assert rows[0]["kind"] == "claim" and rows[0]["sha256"] == CLAIM.sha256
    attacks = [row for row in rows if row["kind"] == "attack"]
    assert len(attacks) == 10 * 2 * 2 and {row["seed"] for row in attacks} == {3}
    assert {row["precision"] for row in attacks} == {"float", "w6", "minmax6"}
    assert sum(bool(row["mask"]) for row in attacks) == 2 * 2
    parity = [row for row in rows if row["kind"] == "parity"]
    assert [row["differing"] for row in parity] == [0] * 4 * is_here(ORACLE)
    assert not [row for row in rows if row["kind"] == "failed"]


def test_a_study_goes_on_where_it_stood(done: Path) -> None:
    """A job whose rows are lost is done again with the same rows; the others are not."""
    before = ResultStore(done / "results.jsonl").rows()
    files = {path: path.stat().st_mtime_ns for path in sorted((done / "jobs").iterdir())}
    lost = next(path for path in files if '"kind": "attack"' in path.read_text())
    text = lost.read_text()
    lost.unlink()
    (done / "results.jsonl").unlink()
    run_study(TINY, site(done), (3,), quick=False)

    def plain(line: str) -> dict[str, object]:
        return {name: value for name, value in json.loads(line).items() if name != "seconds"}

    assert [plain(line) for line in lost.read_text().splitlines()] == [plain(line) for line in text.splitlines()]
    assert all(path.stat().st_mtime_ns == time for path, time in files.items() if path != lost)
    after = ResultStore(done / "results.jsonl").rows()
    assert {row["key"] for row in after} == {row["key"] for row in before}


def test_other_settings_data_or_claims_are_refused(done: Path) -> None:
    """One line that says what differs; nothing is trained."""
    changed = replace(TINY, epochs=2)
    with pytest.raises(UsageError, match="other settings"):
        run_study(changed, site(done), (3,), quick=False)
    with pytest.raises(UsageError, match="other claims"):
        run_study(replace(TINY, claims=(replace(CLAIM, margin=0.1),)), site(done), (3,), quick=False)


def test_data_and_seeds_that_do_not_fit_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    """With the number that there is."""
    with pytest.raises(UsageError, match="judges 5000 test samples and the data have"):
        run_study(replace(TINY, samples=5000), site(tmp_path, 5000), (0,), quick=False)
    with pytest.raises(UsageError, match="about lidar"):
        run_study(replace(TINY, inputs=("lidar",)), site(tmp_path), (0,), quick=False)
    with pytest.raises(UsageError, match="training seed 1 of 1, 1"):
        run_study(TINY, site(tmp_path), (1, 1), quick=False)
    assert not list(tmp_path.iterdir())


def test_the_page_begins_with_the_data_and_the_verdicts(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The claim with its checksum, its verdict for float and for integers, and the figure without what is not there."""
    assert cli.main(["report", str(done)]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert page.index("The paper: other data") < page.index("Both are worse than one") < page.index('<h2 id="f1">')
    assert CLAIM.sha256[:16] in page and "integers w6" in page and "data:image/svg+xml" in page
    assert "Training seed 3" in page and "Not measured: 9 bits; gone." in page
    verdicts = study_page.verdict_table(done)
    assert verdicts[0]["verdicts"].keys() == {"float", "w6"}
    assert verdicts[0]["verdicts"]["float"]["verdict"] in ("holds", "does not hold", "cannot be decided")


def test_every_study_can_be_made_quick() -> None:
    """Fewer jobs, and none that needs what is not trained."""
    for paper in STUDIES.values():
        short = paper.quick()
        jobs = [job for wave in waves_of(short, (0,)) for job in wave]
        trained = {job.training.name for job in jobs if isinstance(job, TrainJob)}
        assert jobs and {job.training.name for job in jobs} == trained


class Elsewhere:
    """Workers that see none of the files here; in truth this process, with what each task is given."""

    jobs, away, count = 1, True, 0

    def start(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Do each task when it is asked for."""
        for task in tasks:
            assert task is not None, "whatever came before has ended"
            self.count += 1
            yield task[0](*(one.path if isinstance(one, Bundle) else one for one in task[1]))


def test_a_study_goes_on_elsewhere(done: Path, tmp_path: Path) -> None:
    """A lost integer model, rows of a conversion and of an attack: made again, and nothing else; every row is there."""
    folder = shutil.copytree(done, tmp_path / "study")
    lost = [next(job for wave in waves_of(TINY, (3,)) for job in wave if isinstance(job, kind) and
                 job.training.name == "seen") for kind in (ConvertJob, AttackJob)]
    for job in lost:
        job.file(site(folder)).unlink()
    model = next((folder / "networks").rglob("seen__w6.tflite"))
    before = model.read_bytes()
    model.unlink()
    (folder / "results.jsonl").unlink()
    workers = Elsewhere()
    run_study(TINY, site(folder), (3,), quick=False, workers=workers)
    assert workers.count == 2 and model.read_bytes() == before
    plain = [sorted(({**row, "seconds": 0} for row in ResultStore(one / "results.jsonl").rows()), key=str)
             for one in (done, folder)]
    assert plain[0] == plain[1]


def test_other_data_elsewhere_and_files_outside_are_refused(done: Path, tmp_path: Path) -> None:
    """A worker's data have another checksum; a worker sends a file that belongs nowhere."""
    job = next(job for wave in waves_of(TINY, (3,)) for job in wave if isinstance(job, ConvertJob))
    function, (_, order, *rest) = task_of(job, site(done))
    with pytest.raises(DataError, match="the data of the study are others on a worker"):
        function(job, replace(order, checksum="0" * 64), *rest)
    with pytest.raises(DataError, match=r"a worker wrote \.\./x"):
        Made((), [], {"../x": b""}).write(tmp_path)
