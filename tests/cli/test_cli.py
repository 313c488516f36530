"""The command line as a new user meets it: fast help, one line for each mistake, exit codes."""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from one_operator import Spec, Step, build
from row_makers import BOTH, outcome
from thin import thin_trunk

from tinyfuse.cli import main as cli
from tinyfuse.cli.main import VERBS
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset
from tinyfuse.nn.network import Network
from tinyfuse.nn.zoo import resnet8

ROOT = Path(__file__).resolve().parents[2]
EARLY = str(ROOT / "models/digits/early.keras")
HEAVY = ("tensorflow", "tf_keras", "keras", "librosa", "matplotlib", "sklearn")


WHAT_IS_LOADED = """
import json, os, sys
import numpy
from tinyfuse.cli.main import main

for line in sys.stdin:
    argv, heavy = json.loads(line)
    child = os.fork()
    if not child:  # as if it had been started with these words
        failed = []
        try:
            main(argv)
        except SystemExit:
            pass
        except BaseException as error:
            failed = [repr(error)]
        print("LOADED", *failed, *[name for name in heavy if name in sys.modules], flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def loaded_by() -> Iterator[Callable[..., list[str]]]:
    """f(ARGV): which heavy libraries ``python -m tinyfuse ARGV`` loads."""
    with subprocess.Popen([sys.executable, "-c", WHAT_IS_LOADED], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin and process.stdout
        given, said = process.stdin, process.stdout

        def ask(*argv: str) -> list[str]:
            given.write(json.dumps([argv, HEAVY]) + "\n")
            given.flush()
            return next(line for line in said if line.startswith("LOADED")).split()[1:]

        yield ask
        given.close()


def said_by(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    try:
        code = cli.main(list(argv))
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().err


@pytest.mark.parametrize("argv", [
    ("--help",), ("bench", "--help"), ("train", "--help"), ("ls", "recipes"), ("ls", "models"), ("ls", "executors"),
    ("doctor",), ("validate", str(ROOT / "models/digits/early.toml")),
    ("validate", str(ROOT / "benchmarks/matrices/digits.toml"))])
def test_light_verbs_load_nothing_heavy(argv: tuple[str, ...], loaded_by: Callable[..., list[str]]) -> None:
    assert loaded_by(*argv) == []


def test_a_report_draws_figures_without_tensorflow(tmp_path: Path, loaded_by: Callable[..., list[str]]) -> None:
    store = ResultStore(tmp_path / "results.jsonl")
    correct = np.arange(20) % 4 > 0
    for precision in ("float", "w6"):
        store.append(outcome(correct, precision=precision))
        for epsilon in (0.05, 0.1):
            store.append(outcome(correct, precision=precision, attacked=BOTH, epsilon=epsilon, criterion="union",
                                 attack={"name": "standard"}, threat="real" if precision == "float" else "codes"))
    assert loaded_by("report", str(tmp_path)) == ["matplotlib"]
    assert (tmp_path / "report/index.html").stat().st_size > 10_000


@pytest.mark.parametrize("file, words", [
    ("models/digits/early.toml", "network early, image 28x28x1, audio 28x28x1, 10 classes, trained on mnist+fsdd, ok"),
    ("models/digits/early__w6.toml", "integer model of early with w6, image 28x28x1, audio 28x28x1, ok"),
    ("models/selected/recipes/early__robust-flash32102.toml", "recipe robust-flash32102, ok"),
    ("benchmarks/matrices/digits.toml", "matrix of 3 models and 4 recipes, ok")])
def test_validate_says_what_a_file_is(file: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(ROOT / file)]) == 0
    assert capsys.readouterr().out == f"{ROOT / file}: {words}\n"


@pytest.mark.parametrize("name, text, code, words", [
    ("a.toml", "x = 1", 2, "is no recipe, matrix"), ("a.toml", "x = ", 2, "not valid TOML"),
    ("a.toml", 'name = "a"\n[weights]\nshared = 1\n', 2, "1 bits"), ("b.toml", "", 2, "b.toml: cannot be read"),
    ("a.toml", "epsilons = [-1.0]", 2, "at least 0"), ("a.toml", "models = ['early']\nstep = 3", 2, "did you mean"),
    ("a.toml", 'model = "a"\nclasses = []\nsha256 = ""\n', 1, "is missing"),
    ("metadata.json", "{", 1, "not valid JSON"),
    ("metadata.json", "{}", 1, "key 'format' is missing")])
def test_validate_names_what_is_wrong(name: str, text: str, code: int, words: str, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    if text:
        (tmp_path / name).write_text(text)
    found, said = said_by(capsys, "validate", str(tmp_path / name))
    assert (found, words in said.replace("\n", " ")) == (code, True), said


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, tinyfuse; print(*[name for name in {(*HEAVY, 'numpy')!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert f"tinyfuse {verb}" in capsys.readouterr().out


def test_ls_prints_what_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ls", "objectives"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "grad-align grad-align.weight" in listed and any("ogm.noise=true" in line for line in listed)
    assert cli.main(["ls", "models"]) == 0
    assert {"image", "audio", "early", "intermediate", "late"} <= set(capsys.readouterr().out.split())


def test_doctor_finds_everything_that_the_tests_run_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok   tflite-micro: 0.dev") for line in lines)
    assert any("tensorflow:" in line for line in lines)


@pytest.mark.parametrize(("argv", "code", "words"), [
    (["train", "erly", "--out", "x"], 2, "did you mean 'early'"),
    (["quantize", "x.keras", "--recipe", "w66"], 2, "unknown recipe 'w66'"),
    (["quantize", "x.keras", "--recipe", "absent.toml"], 2, "absent.toml: cannot be read"),
    (["attack", EARLY, "--modality", "imgae"], 2, "did you mean 'image'"),
    (["report", "no-such-run"], 2, "no-such-run"),
    (["bench", "--data", "no-such-folder"], 1, "no-such-folder"),
    (["bench", "--matrix", "absent.toml"], 2, "absent.toml: cannot be read"),
    (["bench", "--limit", "0"], 2, "limit 0 is too small"),
    (["bench", "--seed", "5000000000"], 2, "seed 5000000000 is out of range"),
    (["bench", "--seed", "-1"], 2, "seed -1 is out of range"),
    (["attack", "x.keras", "--epsilon", "1e400"], 2, "is not a budget"),
    (["attack", "x.keras", "--executor", "tflm"], 2, "are for a .tflite"),
    (["attack", "x.keras", "--profile", "standart"], 2, "did you mean 'standard'"),
    (["attack", "x.tflite", "--profile", "standard", "--codes", "2"], 2, "--codes has no effect"),
    (["attack", "x.tflite", "--minimal", "--norm", "l2"], 2, "--norm has no effect with --minimal"),
    (["attack", "x.tflite", "--minimal", "--save", "x.npz"], 2, "--save has no effect with --minimal"),
    (["attack", "x.tflite", "--codes", "3", "--epsilon", "0"], 2, "--epsilon has no effect with --codes"),
    (["attack", "x.tflite", "--save", "x.csv"], 2, "are saved as .npz"),
    (["attack", EARLY, "--profile", "standard", "--epsilon", "1.5"], 2, "its values lie in [0, 1]"),
    (["attack", "x.keras", "--attack", "diva"], 2, "give the .tflite"),
    (["attack", "x.tflite", "--attack", "univresal"], 2, "did you mean 'universal'"),
    (["attack", "x.keras", "--threat", "real"], 2, "--threat is about the codes of a .tflite"),
    (["attack", "x.keras", "--attack", "pdg"], 2, "did you mean 'pgd'"),
    (["attack", "x.keras", "--attack", "fgsm", "--queries", "5"], 2, "queries"),
    (["attack", "x.keras", "--codes", "3"], 2, "a budget in codes is for a"),
    (["attack", EARLY, "--epsilon", "1.5"], 2, "its values lie in [0, 1]"),
    (["attack", "x.keras", "--epsilon", "nan"], 2, "is not a budget"),
    (["attack", EARLY, "--mask", "audio=mfcc:9-40"], 2, "give A-B with 0 <= A <= B <= 12"),
    (["attack", EARLY, "--mask", "adio=valid"], 2, "did you mean 'audio'"),
    (["attack", "x.keras", "--loss", "marign"], 2, "did you mean 'margin'"),
    (["attack", "absent.tflite"], 1, "absent.tflite: cannot be read"),
    (["compare", "absent.tflite"], 1, "absent.tflite: cannot be read"),
    (["attack", "x.tflite", "--executor", "tfml"], 2, "did you mean 'tflm'"),
    (["attack", "x.keras", "--epsilon", "8/0"], 2, "is not a budget"),
    (["select", "--model", "early", "--budget", "flsh=60kB"], 2, "did you mean 'flash'"),
    (["select", "--model", "erly", "--budget", "flash=60kB"], 2, "did you mean 'early'"),
    (["select", "--model", "absent.keras", "--budget", "flash=60kB"], 1, "absent.keras: cannot be read"),
    (["select", "--model", "early", "--budget", "flash=60kB", "--widths", "1-8"], 2, "from 2 to 9"),
    (["select", "--model", "early", "--budget", "flash=60kB", "--widths", "x"], 2, "'x' are no widths"),
    (["select", "--model", "early", "--budget", "flash=60kB", "--methods", "gtpq"], 2, "did you mean 'gptq'"),
    (["select", "--model", "early", "--budget", "flash=60kB", "--fix", "image"], 2, "fixes nothing"),
    (["train", "late", "--out", "runs", "--objective", "adversarial", "--norm", "l3"], 2, "unknown norm 'l3'"),
    (["train", "late", "--out", "runs", "--objective", "adversarial", "--epsilon", "5"], 2, "covers its whole range"),
    (["train", "late", "--out", "runs", "--objective", "adversarial", "--epsilon", "imge=0.1"], 2,
     "did you mean 'image'"),
    (["train", "late", "--otu", "runs"], 2, "there is no option --otu (did you mean '--out'?)"),
    (["ls", "modles"], 2, "there is no 'modles' (did you mean 'models'?); allowed: models,"),
    (["study", "nakano2024", "--quick", "--table", "x.toml"], 2, "no option 'table'"),
    (["fly"], 2, "there is no 'fly'"),
    ([], 2, "required: VERB"),
])
def test_a_mistake_is_one_clear_line(argv: list[str], code: int, words: str, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.keras", "x.tflite"):
        (tmp_path / name).touch()
    found, said = said_by(capsys, *argv)
    assert (found, words in said.replace("\n", " ")) == (code, True), said
    assert "Traceback" not in said and "usage:" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.keras", "x.tflite"]


def test_a_matrix_with_a_wrong_key_or_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, words in [("epsilon = [0.1]", "did you mean 'epsilons'"), ("epsilons = [-1.0]", "at least 0"),
                        ("steps = 'ten'", "expected a whole number"), ("models = ['erly']", "did you mean 'early'"),
                        ("executors = ['tfml']", "did you mean 'tflm'"), ("recipes = ['w1']", "1 bits"),
                        ("models = [3]", "expected a text"), ("epsilons = ['a']", "expected a number")]:
        (tmp_path / "m.toml").write_text(text)
        code, said = said_by(capsys, "bench", "--matrix", str(tmp_path / "m.toml"), "--limit", "64",
                             "--out", str(tmp_path / "out"))
        assert (code, words in said) == (2, True), said
        assert not (tmp_path / "out").exists()


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained and loaded is thin."""
    monkeypatch.setattr(resnet8, "trunk", thin_trunk)


@pytest.fixture
def tiny_data(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every verb load the tiny data set."""
    monkeypatch.setattr("tinyfuse.data.sources.load", functools.partial(_given, tiny_dataset))


def _given(dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
    return dataset


@pytest.mark.usefixtures("tiny_data", "thin")
def test_steps_one_by_one(tmp_path: Path, thin_early: Network, capsys: pytest.CaptureFixture[str]) -> None:
    out = shutil.copytree(thin_early.path.parent, tmp_path / "early")
    assert cli.main(["train", "early", "--out", str(out), "--epochs", "10", "--batch-size", "20"]) == 0
    network = capsys.readouterr().out.strip()  # it was trained before with these settings
    assert cli.main(["quantize", network, "--recipe", "w6", "--recipe", "image6-audio9-shared8",
                     "--calibration-samples", "40"]) == 0
    files = capsys.readouterr().out.split()
    assert [Path(file).name for file in files] == ["early__w6.tflite", "early__image6-audio9-shared8.tflite"]
    assert cli.main(["attack", files[1], "--attack", "fgsm", "--modality", "audio", "--epsilon", "8/255",
                     "--samples", "20", "--executor", "tflm", "--executor", "litert"]) == 0
    said = capsys.readouterr().out
    assert "early image6-audio9-shared8 in twin: fgsm on audio, linf 0.0313725, any-iterate, codes (G):" in said
    assert "early image6-audio9-shared8 in tflm: fgsm on audio, linf 0.0313725, any-iterate" in said
    assert "in litert: clean" in said
    assert "warning S, early image6-audio9-shared8: only seed 0 was trained" in said
    assert cli.main(["attack", files[1], "--codes", "3", "--threat", "real", "--modality", "image", "--samples", "10",
                     "--mask", "image=rows:4-20", "--loss", "margin", "--steps", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    attacked = [row for row in rows if row["kind"] == "attack"]
    assert {row["threat"] for row in attacked} == {"real"} and all(row["mask"] for row in attacked)
    assert attacked[0]["budget"] == {"image": pytest.approx(3 / 255, rel=1e-6)}
    assert attacked[0]["attack"]["loss"] == "margin"
    same = {row["executor"]: row["survivors"] for row in attacked if row["criterion"] == "any-iterate"}
    assert same["twin"] == same["tflm"]
    assert cli.main(["attack", files[0], "--source", network, "--modality", "audio", "--samples", "10"]) == 0
    assert "in tflm: pgd on audio, linf 0.03, replayed" in capsys.readouterr().out
    assert cli.main(["attack", files[0], "--threat", "naive", "--modality", "audio", "--samples", "10", "--json"]) == 0
    assert '"threat": "naive"' in capsys.readouterr().out
    for model in (network, files[0]):
        assert cli.main(["attack", model, "--profile", "strong", "--steps", "2", "--samples", "5", "--epsilon", "0.02",
                         "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        unions = {"+".join(row["attacked"]): row["correct"] for row in rows if row["criterion"] == "union"}
        assert set(unions) == {"image", "audio", "image+audio"} and unions["image+audio"] <= min(unions.values())
    assert cli.main(["attack", files[0], "--minimal", "--codes", "6", "--attack", "fgsm",
                     "--samples", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["codes"]) == 10 and all(k is None or 0 <= k <= 6 for k in found["codes"])
    assert cli.main(["attack", network, "--norm", "l2", "--epsilon", "image=0.5,audio=1", "--steps", "2", "--samples",
                     "10", "--json"]) == 0
    assert '"norm": "l2"' in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_data", "thin")
def test_an_integer_model_needs_its_own_float_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["train", "image", "--out", str(tmp_path / "0"), "--epochs", "1", "--batch-size", "50"])
    cli.main(["quantize", str(tmp_path / "0/image.keras"), "--recipe", "w8", "--calibration-samples", "40"])
    code, said = said_by(capsys, "attack", str(tmp_path / "0/image__w8.tflite"), "--modality", "image",
                         "--source", str(ROOT / "models/digits/image.keras"), "--samples", "10")
    assert (code, "is not the network" in said.replace("\n", " ")) == (1, True), said
    code, said = said_by(capsys, "attack", str(tmp_path / "0/image.keras"), "--modality", "audio", "--samples", "10")
    assert (code, "choose one of image" in said.replace("\n", " ")) == (2, True), said


@pytest.mark.usefixtures("thin")
def test_a_network_is_attacked_on_the_data_it_was_trained_on(tmp_path: Path, tiny_dataset: Dataset,
                                                             monkeypatch: pytest.MonkeyPatch,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.data.sources.load", functools.partial(_given, tiny_dataset))
    assert cli.main(["train", "image", "--out", str(tmp_path), "--epochs", "1", "--batch-size", "50"]) == 0
    other = replace(tiny_dataset, checksum="1" * 64)
    monkeypatch.setattr("tinyfuse.data.sources.load", functools.partial(_given, other))
    for argv in (["attack", str(tmp_path / "image.keras"), "--modality", "image"],
                 ["quantize", str(tmp_path / "image.keras"), "--recipe", "w8"]):
        code, said = said_by(capsys, *argv)
        assert (code, "another split, seed or limit" in said.replace("\n", " ")) == (1, True), said


def test_a_folder_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = said_by(capsys, "bench", "--quick", "--limit", "100", "--out", "/proc/none")
    assert (code, "/proc/none" in said, "Traceback" in said) == (1, True, False), said


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m tinyfuse ls recipes | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("tiny_data")
def test_bench_refuses_a_folder_with_results_when_told_not_to_resume(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("")
    assert cli.main(["bench", "--no-resume", "--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]


def test_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """TFLite Micro's package is a pre-release: without it the rest works, so that is no failure."""
    needs = ["numpy>=2", 'tflite-micro==0.dev1; extra == "oracle"', 'pandas>=2; extra == "notebook"',
             'pytest==1; extra == "dev"', "no-such-thing>=3"]
    versions = {"numpy": "1.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "requires", lambda name: needs)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/x/tinyfuse-numba-1")
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "FAIL numpy: 1.0 (>=2 is needed)" in said and "FAIL no-such-thing: not installed" in said
    assert "ok   tflite-micro: not installed (TFLite Micro itself" in said and "pip install 'tinyfuse[oracle]'" in said
    assert "compiled anew in every process" in said and "pytest" not in said


@pytest.mark.parametrize("argv", [
    ("attack", "absent.keras"), ("attack", EARLY, "--modality", "imgae"), ("attack", EARLY, "--attack", "pdg"),
    ("attack", EARLY, "--epsilon", "image=3"), ("attack", EARLY, "--executor", "tflm"), ("attack", "network.onnx"),
    ("attack", str(ROOT / "models/digits/early__w6.tflite"), "--epsilon", "imgae=0.1"), ("compare", "network.pt"),
    ("compare", str(ROOT / "models/digits/early__w6.tflite"), "--executor", "tfml"),
    ("quantize", EARLY, "--recipe", "w66"), ("quantize", "absent.keras", "--recipe", "w6"),
    ("train", "erly", "--out", "x"), ("select", "--model", "absent.keras", "--budget", "flash=60kB"),
    ("export", "absent.tflite", "--out", "x"), ("verify", "absent"), ("bench", "--matrix", "absent.toml"),
    ("report", "absent")], ids=" ".join)
def test_a_mistake_is_named_before_anything_heavy_is_loaded(argv: tuple[str, ...],
                                                            loaded_by: Callable[..., list[str]]) -> None:
    """A wrong file, name or option is said within the time that Python and numpy take."""
    assert loaded_by(*argv) == []


def test_own_inputs_have_their_own_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A budget goes by the input's name, may be larger than 1, and lies within the range of its values."""
    specs = [Spec((1, 6), name="mfcc", scale=[0.5]), Spec((1, 6), name="y", scale=[0.5])]
    model = tmp_path / "own.tflite"
    model.write_bytes(build(specs, [Step("RELU", [0], [1])], [0], [1]))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", mfcc=rng.uniform(-60, 60, (60, 6)).astype(np.float32), label=np.arange(60) % 6)
    common = ["attack", str(model), "--data", str(tmp_path / "own.npz"), "--attack", "fgsm", "--samples", "6"]
    assert cli.main([*common, "--epsilon", "mfcc=20", "--modality", "mfcc", "--json"]) in (0, 4)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["budget"].get("mfcc") for row in rows if row["kind"] == "attack"} == {20.0}
    assert cli.main([*common, "--json"]) in (0, 4)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (span,) = {row["inputs"]["mfcc"] for row in rows}
    assert {row["budget"].get("mfcc") for row in rows if row["kind"] == "attack"} == {0.03 * span} and span > 100
    for wrong, words in (("mfcc=500", "its values lie in [-"), ("mfc=1", "did you mean 'mfcc'")):
        code, said = said_by(capsys, *common, "--epsilon", wrong)
        assert (code, words in said.replace("\n", " ")) == (2, True), said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_tables_print_on_any_terminal(encoding: str, tmp_path: Path) -> None:
    """A bench that fails at its last line, the table, has worked for nothing."""
    store = ResultStore(tmp_path / "results.jsonl")
    correct = np.arange(20) % 4 > 0
    for precision in ("float", "w6"):
        store.append(outcome(correct, precision=precision))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    commands = [["report", str(tmp_path), "--markdown"], ["report", str(tmp_path / "ü – ∞")], ["--help"]]
    for argv in commands if encoding == "ascii" else commands[:1]:
        done = subprocess.run([sys.executable, "-m", "tinyfuse", *argv], capture_output=True, env=environment,
                              check=False)
        assert done.returncode in (0, 2) and b"Traceback" not in done.stderr, done.stderr
        assert (done.stdout + done.stderr).decode(encoding)


def test_a_name_that_is_no_text_is_one_line() -> None:
    """File names are bytes; those that are not UTF-8 reach Python as halves of surrogate pairs."""
    done = subprocess.run([sys.executable, "-m", "tinyfuse", "compare", b"caf\xe9.tflite"], capture_output=True,
                          check=False)
    assert done.returncode == 1 and b"cannot be read" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("given", ["0", "many", "-3", "1.5"])
def test_a_count_is_a_whole_number_of_at_least_one(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["attack", "m.tflite", f"--samples={given}"])
    assert f"'{given}' is not a whole number of at least 1" in capsys.readouterr().err


def test_an_adversary_without_budget_is_taken_at_its_word() -> None:
    from tinyfuse.cli.train import settings_of

    given = argparse.Namespace(objective="adversarial", set=[], epsilon=0.0, norm=None)
    assert settings_of(given) == {"adversarial": {"budget": 0.0}}
