"""The application of a package decides as its twin in Python, moment by moment, on this machine and on cores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from emitted import MODEL, SANITIZE
from mixed_sensors import mixed_model
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.firmware import deploy
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.frontend_plan import FrontEnds, front_ends_of
from tinyfuse.firmware.frontend_scenes import Frame
from tinyfuse.firmware.live_plan import Live, live_of
from tinyfuse.firmware.live_proof import Played, play_on_core, play_on_host
from tinyfuse.firmware.live_twin import Decision, LiveTwin, Moment, line_of
from tinyfuse.firmware.live_verify import MOMENTS, make_moments, prove_live
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.package import Package, open_package, write
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.vectors import make_vectors
from tinyfuse.integer.model import IntegerModel, load_model, random_codes

BEST = setups([CORES[name] for name in ("m4", "rv32")])
DIGITS = [str(digit) for digit in range(10)]


def voice(count: int, seed: int) -> np.ndarray:
    """A tone that rises and falls in some noise, int16."""
    rng, time = np.random.default_rng(seed), np.arange(count)
    tone = np.sin(0.2 * time + 40 * np.sin(time / 900)) * (0.55 + 0.45 * np.sin(time / 700))
    return np.asarray(9000 * tone + rng.normal(0, 200, count), np.int16)


def picture(shape: tuple[int, int], seed: int, *, dark: bool = False) -> Frame:
    """A ring on black, or darkness with a little noise."""
    rng, (rows, columns) = np.random.default_rng(seed), np.indices(shape)
    ring = np.abs(np.hypot(rows - shape[0] / 2, columns - shape[1] / 2 + seed) - shape[0] / 3) < 3
    bright = rng.integers(0, 9, shape) if dark else 220 * ring + rng.integers(0, 30, shape)
    return Frame(bright.astype(np.uint8).reshape(-1), "grey")


class App:
    """A network with its application, exported; what moments give on the host and on cores."""

    def __init__(self, live: Live, front_ends: FrontEnds | None, model: IntegerModel, folder: Path) -> None:
        self.live, self.front_ends, self.model, self.folder = live, front_ends, model, folder

    def told(self, moments: list[Moment]) -> list[Decision]:
        twin = LiveTwin(self.live, self.model)
        return [twin.decide(moment) for moment in moments]

    def played(self, where: str, work: Path, moments: list[Moment]) -> Played:
        if where == "host":
            found = play_on_host(self.live, self.front_ends, self.folder, work, moments, SANITIZE)
            return found if found is not None else pytest.skip("no C compiler")
        if where not in BEST:
            pytest.skip(f"nothing emulates {where} here")
        return play_on_core(self.live, self.front_ends, self.folder, work, moments, BEST[where])


@pytest.fixture(scope="module")
def digits(tiny_dataset: Dataset, listening_package: Path) -> App:
    model = load_model(MODEL)
    program, names = program_of(model, "net"), [port.name for port in model.inputs]
    front_ends = front_ends_of(program, names, deploy.table_of(MODEL, model), {"image": (120, 160)})
    means = model.codes_of({name: one[None] for name, one in tiny_dataset.train.means(names).items()})
    return App(live_of(model, program, front_ends, means, "tiny"), front_ends, model, listening_package)


def scene() -> list[Moment]:
    """A camera alone, then both; silence; darkness; a microphone that is gone; nothing at all; both again."""
    heard, quiet = voice(24 * 2000, 1), np.random.default_rng(1).integers(-9, 10, 2000).astype(np.int16)
    moments: list[Moment] = []
    for place in range(23):
        sound: np.ndarray | None = heard[2000 * place: 2000 * (place + 1)]
        sound = quiet if 6 <= place < 12 else None if place in (14, 15, 16) else sound
        frame = picture((120, 160), place // 4, dark=place in (12, 13))
        moments.append({"audio": sound, "image": None if place in (5, 16, 17) else frame})
    return moments


def test_every_decision_on_a_composed_scene_is_pythons(digits: App, tmp_path: Path) -> None:
    told = digits.told(scene())
    played = digits.played("m4", tmp_path, scene())
    played.check([line_of(one, DIGITS) for one in told])
    assert len(played.lines) == 23


def test_what_is_missing_or_silent_stands_at_its_mean_and_is_flagged(digits: App) -> None:
    """Each state is seen; with no sensor there is no vote, and old votes fade."""
    told = digits.told(scene())
    states = [tuple(one.sensors[name].state for name in ("audio", "image")) for one in told]
    assert states[:6] == [("waiting", "heard")] * 3 + [("heard", "heard")] * 2 + [("heard", "missing")]
    assert states[11:13] == [("silent", "heard"), ("heard", "silent")]
    assert states[14] == ("missing", "heard") and states[16] == ("missing", "missing")
    assert states[17] == ("waiting", "missing") and states[-1] == ("heard", "heard")
    assert told[16].now == -1 and told[16].now_confidence == 0 and told[17].confidence < told[15].confidence
    alone = told[14].sensors["image"]
    assert (alone.answer, alone.confidence) == (told[14].now, told[14].now_confidence)
    assert told[0].answer == -1  # one vote of five is below the threshold
    lost = digits.told([{**one, "audio": None} for one in scene()[:5]])
    dark = digits.told([{**one, "audio": np.zeros(2000, np.int16)} for one in scene()[:5]])
    assert [one.now for one in lost] == [one.now for one in dark] and dark[-1].sensors["audio"].state == "silent"


@pytest.mark.skipif("m4" not in BEST, reason="nothing emulates m4 here")
def test_a_recording_is_played_to_the_application(digits: App, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """A camera without a file is missing; what remains of the recording after the last decision is not heard."""
    sound = voice(4 * 2000 + 1999, 3)
    soundfile.write(tmp_path / "a.wav", sound, 8000)
    assert cli.main(["verify", str(digits.folder), "--play", f"audio={tmp_path / 'a.wav'}"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    told = digits.told([{"audio": sound[first:first + 2000], "image": None} for first in range(0, 8000, 2000)])
    assert lines == [line_of(one, DIGITS) for one in told]
    assert last.startswith("4 decisions on m4 are Python's; at most")
    soundfile.write(tmp_path / "b.wav", sound[:1999], 8000)
    assert cli.main(["verify", str(digits.folder), "--play", f"audio={tmp_path / 'b.wav'}"]) == 1
    assert "1999 samples are less than the 2000 of one decision" in capsys.readouterr().err


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> App:
    model, origin = mixed_model()
    program, names = program_of(model, "net"), [port.name for port in model.inputs]
    front_ends = front_ends_of(program, names, origin, {"camera": (13, 17)})
    live = live_of(model, program, front_ends, random_codes(model, 1, seed=2), "noise")
    vectors = make_vectors(model, random_codes(model, 1, seed=3))
    found = Package(model, program, vectors, "random codes", origin, front_ends=front_ends, live=live)
    return App(live, front_ends, model, write(found, tmp_path_factory.mktemp("live") / "mixed"))


def moments_of_mixed() -> Iterator[Moment]:
    rng = np.random.default_rng(5)
    for place in range(8):
        clip = voice(400, place) if place % 3 else np.zeros(400, np.int16)
        gas = rng.integers(-128, 128, 7).astype(np.int8) if place != 4 else np.full(7, 5, np.int8)
        camera = Frame(rng.integers(0, 256, 13 * 17 * 2, dtype=np.uint8), "rgb565")
        yield {"mic": None if place == 3 else voice(50 * 40, place), "clip": None if place == 5 else clip,
               "camera": None if place in (2, 5) else camera, "gas": None if place == 6 else gas}


def test_inputs_of_any_kind_and_number(mixed: App, tmp_path: Path) -> None:
    """A stream, whole recordings, a picture and plain codes; probabilities instead of logits; names of classes."""
    assert [one.kind for one in mixed.live.sensors] == ["stream", "recording", "picture", "codes"]
    assert mixed.live.probabilities
    moments = list(moments_of_mixed())
    told = mixed.told(moments)
    assert len({one.now for one in told}) > 1 and {one.sensors["gas"].state for one in told} == {"heard", "silent",
                                                                                                "missing"}
    played = mixed.played("host", tmp_path, moments)
    played.check([line_of(one, ['a"b', "two", "3"]) for one in told])
    with pytest.raises(ParityError, match=r"decision 1 on .* is '1: .*', in Python 'no'"):
        played.check([played.lines[0], "no"])


def test_one_sigmoid_is_two_classes(tmp_path: Path) -> None:
    specs = [Spec([1, 4], name="x"), Spec([1, 4], data=np.array([[9, -7, 5, 3]]), scale=[0.01]),
             Spec([1, 1], scale=[0.1]), Spec([1, 1], scale=[1 / 256], zero_point=[-128], name="alarm")]
    steps = [Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions"), Step("LOGISTIC", [2], [3])]
    model = load_model(build(specs, steps, [0], [3]))
    program = program_of(model, "net")
    live = live_of(model, program, None, {"x": np.zeros((1, 4), np.int8)}, "noise")
    app = App(live, None, model, tmp_path / "net")
    write(Package(model, program, make_vectors(model, random_codes(model, 1, seed=3)), "random codes", {}, live=live),
          app.folder)
    moments: list[Moment] = [{"x": np.array(row, np.int8)} for row in ([99, -9, 0, 1], [-99, 50, 0, 1], [3, 3, 3, 3])]
    told = app.told(moments)
    assert [one.now for one in told] == [1, 0, -1] and 500 < told[0].now_confidence < 1000
    app.played("host", tmp_path / "work", moments).check([line_of(one, ["0", "1"]) for one in told])


@pytest.mark.skipif("rv32" not in BEST, reason="nothing emulates rv32 here")
def test_verify_proves_the_application_or_finds_what_is_wrong(mixed: App, tmp_path: Path) -> None:
    package, ready = open_package(mixed.folder), {"rv32": BEST["rv32"]}
    (found,) = prove_live(package, ready, tmp_path / "right")
    found.check()
    assert len(found.wanted) == MOMENTS and all("missing" in "".join(found.wanted[place:place + 5]) for place in (1, 5))
    copied = Path(shutil.copytree(mixed.folder, tmp_path / "package"))
    source = copied / "examples" / "live" / "live.c"
    source.write_text(source.read_text().replace("* SHARE / sum", "* SHARE / (sum + 999u)"))
    (wrong,) = prove_live(replace(package, folder=copied), ready, tmp_path / "wrong")
    with pytest.raises(ParityError, match=rf"live on rv32: {wrong.differing} of {MOMENTS} decisions are not Python's"):
        wrong.check()


def test_moments_of_a_proof_are_enough_for_a_slow_stream(mixed: App) -> None:
    """A stream that takes 13 decisions to fill is heard before it is missing."""
    slow = replace(mixed.live, sensors=tuple(replace(one, hops=min(one.hops, 2)) for one in mixed.live.sensors))
    twin, moments = LiveTwin(slow, mixed.model), make_moments(slow, mixed.front_ends or FrontEnds(slow.program, (), 0))
    states = [twin.decide(moment).sensors["mic"].state for moment in moments]
    assert states[:12] == ["waiting"] * 12 and {*states[12:-1]} <= {"heard", "silent"} and states[-1] == "missing"


@pytest.mark.parametrize("options, words", [
    (["--application", "live", "--random"], "needs the training mean of each input; give the data"),
    (["--application", "lively"], "application 'lively' (did you mean 'live'?); allowed: live"),
    (["--frontend", "fixd"], "--frontend 'fixd'; give none alone, float or fixed, or what cameras give")])
def test_export_refuses_options_before_it_reads_data(options: list[str], words: str, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    out, data = str(tmp_path / "out"), str(tmp_path / "no.npz")
    assert cli.main(["export", str(MODEL), "--out", out, "--data", data, *options]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "out").exists()


def test_a_network_without_classes_has_no_application() -> None:
    model = load_model(build([Spec([1, 4], name="x"), Spec([1, 1]), Spec([1, 4], data=np.ones((1, 4)))],
                             [Step("FULLY_CONNECTED", [0, 2], [1], "FullyConnectedOptions")], [0], [1]))
    with pytest.raises(UsageError, match=r"votes on classes: .* \(it has 1 of int8_t\)"):
        live_of(model, program_of(model, "net"), None, random_codes(model, 1, seed=0), "noise")
