"""The page: self-contained, escaped, complete, and honest about what is missing."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import HOSTILE, Page, write_rows

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.provenance import RunFacts
from tinyfuse.core.results import Row, epsilon_of, unpack_survivors
from tinyfuse.core.statistics import accuracy_fields
from tinyfuse.report import render
from tinyfuse.report.trust import transfer_tables
from tinyfuse.report.view import view_of

pytestmark = pytest.mark.usefixtures("undrawn")

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def html(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the whole made-up run."""
    run = tmp_path_factory.mktemp("run")
    write_run(run, rows)
    return render(run).read_text(encoding="utf-8")


def write_run(run: Path, rows: list[Row]) -> None:
    """A run folder."""
    write_rows(run / "results.jsonl", rows)
    RunFacts(command="python -m tinyfuse.bench --out x", started="2026-01-31T12:00:00Z", data="embedded digits",
             finished="2026-01-31T12:04:12Z", wall_seconds=252.0, peak_memory_mib=1834.0,
             settings={"epsilons": [0.01, 0.1]}, versions={"tensorflow": "2.21.0"}).write(run / "run.json")


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    """Images are data, there are no links out, and the policy forbids everything else."""
    page = Page(html)
    images = page.attributes("img")
    assert len(images) == 12 and all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert all((link["href"] or "").startswith("#") for link in page.attributes("a"))
    assert not re.search(r"url\(|@import|https?://", html)
    for image in images:
        svg = base64.b64decode((image["src"] or "").split(",")[1]).decode()
        assert not re.findall(r'href="(?!#|data:image/png)', svg) and "<script" not in svg
        assert set(re.findall(r"url\(([^)])", svg)) <= {"#"}
    policy = next(meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta)
    assert policy and policy.startswith("default-src 'none'")


def test_the_policy_allows_exactly_our_script(html: str) -> None:
    """One inline script whose hash stands in the policy; otherwise sorting would silently do nothing."""
    page = Page(html)
    assert len(page.attributes("script")) == 1
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "unsafe-inline' 'unsafe" not in html and len("".join(page.scripts).splitlines()) < 30


def test_the_page_says_what_a_reader_needs(html: str) -> None:
    """Command, date, counts, executors, threat, durations, versions."""
    text = Page(html).text
    for needed in ("python -m tinyfuse.bench --out x", "2026-01-31", "embedded, official split, test part, 100 samples",
                   "4 min 12 s", "1.79 GiB", "TensorFlow Lite Micro", "XNNPACK", "L∞", "ε = 0.01, 0.03, 0.05, 0.1",
                   "pgd on the margin (20 steps)", "12 gradients or queries for each sample",
                   "pgd (40 steps, step 0.01)", "true labels", "each within floor(ε / scale) codes",
                   "then the device rounds them to codes",
                   "made on the float network and replayed", "version of tensorflow 2.21.0", "Training seed 0",
                   "worst case at ε = 0.05", "failed in quantize: conv2d_7: 1 channel uses 1 of 31 codes",
                   "Which bits should I ship?", "Ship this", "Most robust", "image : attacked alone",
                   "audio : attacked alone",
                   "last iterate only", "95 % Wilson",
                   "integers in twin (= TFLite Micro, 4,800 inputs re-run, 0 differing)",
                   "16 models, 4,800 adversarial inputs, 48,000 output codes, 0 differ."):
        assert needed in text, needed
    for wrong in ("incomplete", "Do not use", "Do not ship", "by transfer only", "unproven"):
        assert wrong not in text, wrong


def test_every_figure_names_executor_samples_and_seed(html: str) -> None:
    """Robustness is never shown without what judged it, on how much, and after which training."""
    captions = [image["alt"] or "" for image in Page(html).attributes("img")]
    for caption in captions:
        assert "twin (= TFLite Micro, 4,800 inputs re-run, 0 differing), n=100, training seed 0" in caption, caption


def test_every_line_is_sortable_by_every_column(html: str, rows: list[Row]) -> None:
    """Each heading's column number points at a cell of every row."""
    table = html[html.index('<table class="sortable">'):html.index("</tbody>", html.index('class="sortable"'))]
    body = table[table.index("<tbody>"):]
    lines = [row for row in re.findall(r"<tr.*?</tr>", body, re.S) if "failed" not in row]
    columns = sorted(int(number) for number in re.findall(r'data-column="(\d+)"', table))
    assert len(lines) == 19 and len(columns) == 23
    assert {row.count("<td") for row in lines} == {len(columns)} and columns == list(range(len(columns)))


def test_names_from_rows_are_escaped(rows: list[Row], make_run: MakeRun) -> None:
    """A model, a precision, a reason, a command and a data name full of markup stay text."""
    changed = [dict(row) for row in rows]
    for row in changed:
        row["model"] = HOSTILE if row["model"] == "late" else row["model"]
        row |= {name: HOSTILE for name in ("precision", "source") if row.get(name) == "w6"}
        row |= {"detail": HOSTILE} if row["kind"] == "probe" else {}
        row |= {"differing": 1, "max_abs": 1} if row["kind"] == "parity" else {}
        if row["kind"] == "failed":
            row["reason"] = row["stage"] = HOSTILE
        if "data" in row:
            row["data"] = HOSTILE
    facts = RunFacts(command=HOSTILE, started="<b>now", data=HOSTILE, settings={HOSTILE: [HOSTILE]},
                     versions={HOSTILE: HOSTILE})
    page = Page(render(make_run(changed, facts)).read_text(encoding="utf-8"))
    assert len(page.attributes("script")) == 1 and "alert" not in "".join(page.scripts)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all((image["src"] or "").startswith("data:") for image in page.attributes("img"))
    assert HOSTILE in page.text and "49" not in page.text.split(HOSTILE)[0][-10:]


def test_an_interrupted_run_says_what_is_missing(rows: list[Row], make_run: MakeRun) -> None:
    """A quarter of the rows, a torn last line, no end."""
    facts = RunFacts(command="c", started="2026-01-31T12:00:00Z")
    run = make_run(rows[:300], facts)
    with (run / "results.jsonl").open("a") as handle:
        handle.write('{"kind": "att')
    text = Page(render(run).read_text(encoding="utf-8")).text
    assert "This report is incomplete" in text and "interrupted or still going on" in text
    last = rows[299]
    assert re.search(rf"{last['model']} {last['precision']}: \d+ of \d+ results", text)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_first_rows_of_a_run_already_render(rows: list[Row], make_run: MakeRun, count: int) -> None:
    """No row, one model, one clean row, the first attacks."""
    html = render(make_run(rows[:count])).read_text(encoding="utf-8")
    assert ("nothing has been evaluated yet" in html) == (count == 0)


def test_without_facts(rows: list[Row], make_run: MakeRun) -> None:
    """Rows alone still make a page; damaged facts are named on it."""
    run = make_run(rows[:60], None)
    assert "run.json" in Page(render(run).read_text(encoding="utf-8")).text
    (run / "run.json").write_text("{")
    assert "not valid JSON" in Page(render(run).read_text(encoding="utf-8")).text


def test_only_float_rows(rows: list[Row], make_run: MakeRun) -> None:
    """Before any conversion there is nothing to pick, but curves and a table."""
    page = render(make_run([row for row in rows if row["precision"] == "float"])).read_text(encoding="utf-8")
    assert "Which bits should I ship?" not in page and "Robust accuracy: late" in page


def test_a_twin_that_is_not_exact_is_the_first_thing_to_read(rows: list[Row], make_run: MakeRun) -> None:
    """A banner above all numbers, the count in every caption, and no claim of equality anywhere."""
    changed = [{**row, "differing": 2, "max_abs": 1, "argmax_differing": 1} if row["kind"] == "parity" else row
               for row in rows if row["model"] == "audio"]
    html = render(make_run(changed)).read_text(encoding="utf-8")
    text = Page(html).text
    banner = text.index("Do not use these figures")
    assert banner < text.index("Which bits should I ship?") and "8 of 12,000 output codes differ" in text
    assert "NOT TFLite Micro: 8 output codes differ on 1,200 inputs re-run" in text
    assert "= TFLite Micro," not in text and 'class="bad"' in html
    assert "TFLite Micro judges adversarial inputs otherwise than the twin" in text[banner:banner + 1000]


def test_a_failed_check_is_in_the_banner_and_a_clean_drop_is_not(rows: list[Row], make_run: MakeRun) -> None:
    """Errors of the evaluation stop a reader; a bad model is a result."""
    mine = [row for row in rows if row["model"] == "audio"]
    changed = [{**row, "value": 0.2} if row["kind"] == "probe" and row["name"] == "unbounded" and
               row["precision"] == "w6" else row for row in mine]
    text = Page(render(make_run(changed)).read_text(encoding="utf-8")).text
    assert "audio w6: samples survive an attack that may change all inputs at will (20.0% of 30 samples" in text


def test_a_lost_model_stands_above_the_answer(rows: list[Row], make_run: MakeRun) -> None:
    """Its figures are right, so it is no failed check; nobody should ship it."""
    mine = [row for row in rows if row["model"] == "audio"]
    lost = [{**row, **accuracy_fields(np.arange(100) > 50)} if (row["kind"], row.get("precision"), row.get("executor"))
            == ("clean", "w6", "twin") else row for row in mine]
    text = Page(render(make_run(lost)).read_text(encoding="utf-8")).text
    place = text.index("Do not ship these: they lost clean accuracy in conversion, or no longer listen to an input. "
                       "audio w6: clean accuracy falls by")
    assert place < text.index("Which bits should I ship?") and "Do not use these figures" not in text


def test_a_twin_without_parity_rows_is_called_unproven(rows: list[Row], make_run: MakeRun) -> None:
    """Silence must not look like equality."""
    mine = [row for row in rows if row["model"] == "audio" and row["kind"] != "parity"]
    text = Page(render(make_run(mine)).read_text(encoding="utf-8")).text
    assert "its figures are unproven" in text and "twin (not compared with TFLite Micro here)" in text
    assert "TFLite Micro," not in text.replace("= TFLite Micro?", "")


def test_checks_that_were_not_made_are_listed(html: str) -> None:
    """With their point of the checklist and the reason; the probes that were made are in a table."""
    text = Page(html).text
    assert "point 1, outside-the-threat (A): no probe 'audit'" in text
    assert "point 6" not in text and "accuracy when the attack may change all inputs over their full range" in text
    assert "0.3 (image float; 90.0% against 20 random corners)" in text


def test_the_transfer_matrix_is_what_the_rows_say(rows: list[Row]) -> None:
    """Made for w6, judged on w8 and on w6 itself, at the table's budget; samples wrong when clean count as broken."""
    view = view_of(rows)
    table = next(table for table in transfer_tables(view) if table["title"] == "audio")
    assert table["sources"] == ["float", "w6", "w8", "worst case"] and [row["precision"] for row in table["rows"]] == [
        "float", "w6", "w7", "w8", "w9"]
    for target, criterion, column in (("w8", "replayed", 1), ("w6", "last-iterate", 1), ("float", "replayed", 2)):
        source = table["sources"][column]
        left = np.ones(100, dtype=bool)
        for row in rows:
            if (row["model"], row["precision"]) == ("audio", target) and row.get("executor") != "litert" and (
                    row["kind"] == "clean" or (row["kind"] == "attack" and row["attack"]["name"] == "pgd" and
                    (row["criterion"], row["source"]) == (criterion, source) and epsilon_of(row) <= 0.05)):
                left &= unpack_survivors(row["survivors"], row["n"])
        cells = next(row["cells"] for row in table["rows"] if row["precision"] == target)
        assert cells[column]["accuracy"].value == left.mean(), (target, source)
        assert cells[column]["own"] == (target == source)
    line = next(line for line in view.lines if (line.model, line.precision) == ("audio", "w7"))
    assert table["rows"][2]["cells"][3]["accuracy"] == line.robust_integer["audio"]


def test_one_source_needs_no_matrix(rows: list[Row]) -> None:
    """Transfer from float alone is a column of the main table."""
    view = view_of([row for row in rows if row.get("source", "") in ("", "float", row["precision"])])
    assert transfer_tables(view) == []


def test_without_the_papers_profile_there_is_no_chapter_about_it(rows: list[Row], make_run: MakeRun) -> None:
    """Last iterates of other profiles are not the literature's protocol."""
    mine = [{**row, "profile": "raw"} if row.get("profile") == "paper" and row["criterion"] == "last-iterate" else row
            for row in rows if row["model"] == "image" and row.get("criterion") != "replayed"]
    page = render(make_run(mine)).read_text(encoding="utf-8")
    assert "literature" not in Page(page).text.split("How to reproduce")[0].replace("most of the literature", "")


def test_another_budget_can_be_asked_for(rows: list[Row], make_run: MakeRun) -> None:
    """The table's robust columns follow it."""
    text = Page(render(make_run(rows[:150]), epsilon=0.01).read_text(encoding="utf-8")).text
    assert "worst case at ε = 0.01" in text


def test_two_seeds_have_lines_of_their_own(rows: list[Row], make_run: MakeRun) -> None:
    """The figures keep to one seed; the table gets a column."""
    mine = [row for row in rows if row["model"] == "image"]
    twice = mine + [{**row, "seed": 1, "key": f"1{row['key'][1:]}", "data_checksum": "data1"} for row in mine]
    page = render(make_run(twice)).read_text(encoding="utf-8")
    assert page.count('<td data-sort="image" class="text">image</td>') == 10 and ">seed</button>" in page
    assert "a single training seed" not in page


def test_render_is_repeatable_and_writes_the_summary(rows: list[Row], make_run: MakeRun) -> None:
    """Same run, same bytes: a report can be compared."""
    run = make_run(rows[:150])
    first = render(run).read_bytes()
    assert render(run).read_bytes() == first
    with (run / "summary.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    for line, cells in zip(view_of(rows[:150]).summary, table, strict=True):
        assert (line.model, line.precision, line.executor) == (cells["model"], cells["precision"], cells["executor"])
        for name, found in (("robust_float", line.robust_float), ("robust_integer", line.robust_integer),
                            ("robust_real", line.robust_real), ("transfer", line.transfer)):
            assert cells[f"{name}_image"] == (str(found["image"].value) if "image" in found else "")
        assert (cells["rerun"], cells["differing"]) == (str(line.rerun), "0")
    assert any(cells["robust_real_image"] and cells["transfer_image"] for cells in table)


def test_not_a_run(tmp_path: Path) -> None:
    """One line, exit code 2; damage in the rows is one line, exit code 1."""
    with pytest.raises(UsageError, match=r"neither run\.json nor results\.jsonl"):
        render(tmp_path)
    (tmp_path / "results.jsonl").write_text("x\n")
    with pytest.raises(DataError, match="line 1"):
        render(tmp_path)


def test_facts_of_a_finished_run_are_on_the_page(rows: list[Row], make_run: MakeRun) -> None:
    """The memory of worker processes is named as such."""
    facts = RunFacts(command="c", started="2026-01-31T12:00:00Z", finished="2026-01-31T12:00:09Z", wall_seconds=8.64)
    text = Page(render(make_run(rows[:30], replace(facts, peak_memory_worker_mib=512.4))).read_text("utf-8")).text
    assert "8.6 s" in text and "largest worker process 512 MiB" in text


def test_one_budget_makes_no_curve(rows: list[Row], make_run: MakeRun) -> None:
    """Two points would be a line that nobody measured."""
    mine = [row for row in rows if row["model"] == "audio" and (row["kind"] != "attack" or epsilon_of(row) == 0.05)]
    page = render(make_run(mine)).read_text(encoding="utf-8")
    assert 'id="curves"' not in page and 'id="cost"' in page
