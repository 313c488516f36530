"""What the documents say is so: commands run, links resolve, tables are those of the code."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinyfuse.analyses import ANALYSES
from tinyfuse.attacks import ATTACKS
from tinyfuse.checks.run_checks import CHECKS, LEVELS
from tinyfuse.cli import main as cli
from tinyfuse.data.sources import SOURCES
from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.integer.operators import OPERATORS
from tinyfuse.nn.objectives import PARTS
from tinyfuse.nn.zoo import ZOO
from tinyfuse.quantize.recipe import EXAMPLE
from tinyfuse.report.columns import COLUMNS

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SLOW = ("bench", "select", "study")
"""Verbs that tests of their own run from end to end; here their commands are parsed."""
WITH_DATA = ("train", "quantize", "attack", "certify", "compare", "analyse", "select", "export", "bench")
REGISTRIES: list[Any] = [ANALYSES, ATTACKS, BUILDERS, COLUMNS, PARTS, OPERATORS, SOURCES, ZOO]
CHEAP = {"train": ["--epochs", "1"], "quantize": ["--calibration-samples", "20"], "attack": ["--samples", "4"],
         "certify": ["--samples", "4"], "compare": ["--samples", "4"], "analyse": ["--samples", "8"],
         "export": ["--vectors", "4"]}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    """The ``tinyfuse`` command lines of a page, on few of the embedded samples."""
    lines = [line for block in blocks(path, "sh") for line in block.splitlines() if line.startswith("tinyfuse ")]
    found = []
    for line in lines:
        words = shlex.split(re.sub(r"--data DIR |--samples \d+", "", line), comments=True)[1:]
        verb = words[0]
        cheap = CHEAP.get(verb, [])
        found.append([*words, *([] if cheap[:1] and cheap[0] in words else cheap),
                      *(["--limit", "200"] if verb in WITH_DATA else [])])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working folder for all pages: what one has trained another uses."""
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(scope="module")
def done() -> set[tuple[str, ...]]:
    """The commands that ran: several pages begin with the same ones."""
    return set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_commands_run(page: Path, folder: Path, done: set[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch,
                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    for command in commands(page):
        if command[0] in SLOW or any(word.startswith("runs/docs/select") for word in command):
            cli.build_parser().parse_args(command)
            continue
        if tuple(command) not in done:
            assert cli.main(command) == 0, (command, capsys.readouterr().err)
            done.add(tuple(command))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_python_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other; what they register is gone afterwards."""
    monkeypatch.chdir(folder)
    before = [(registry, registry.copy()) for registry in REGISTRIES]
    names: dict[str, object] = {"__name__": f"docs_{page.stem}"}
    monkeypatch.setitem(sys.modules, f"docs_{page.stem}", ModuleType(f"docs_{page.stem}"))
    try:
        for block in blocks(page, "python"):
            exec(compile(block, str(page), "exec"), names)
    finally:
        for registry, known in before:
            registry.clear()
            registry.extend(known) if isinstance(registry, list) else registry.update(known)


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*/README.md"), *ROOT.glob("models/*/README.md"),
                                  ROOT / "CONTRIBUTING.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            name, _, anchor = target.partition("#")
            found = (page.parent / name).resolve() if name else page
            assert found.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


def test_the_site_lists_every_page() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {path.name for path in DOCS.glob("*.md")} == set(re.findall(r"([\w-]+\.md)$", config, flags=re.MULTILINE))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_recipe_is_the_one_of_the_help_text() -> None:
    assert blocks(DOCS / "recipes.md", "toml recipe") == [EXAMPLE]


def test_every_check_is_explained() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\w+) \| (.+) \|$", (DOCS / "threats.md").read_text(encoding="utf-8"),
                      flags=re.MULTILINE)
    assert set(rows) == {(check.code, str(check.number), LEVELS[check.level], check.title) for check in CHECKS.values()}


def test_every_column_is_explained() -> None:
    text = (DOCS / "rows.md").read_text(encoding="utf-8")
    missing = [column.title for column in COLUMNS if column.meaning.replace("{}", "BRANCH") not in text]
    assert not missing
