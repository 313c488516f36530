"""Front ends in C: from the sample to the output the codes are Python's, on this machine and on emulated cores."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from emitted import MODEL
from one_operator import Spec, Step, build
from PIL import Image
from rare_cases import plain_inputs

from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError, ParityError, UsageError
from tinyfuse.firmware import deploy
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.deploy import table_of
from tinyfuse.firmware.frontend_emit import front_end_sources, front_ends_in
from tinyfuse.firmware.frontend_plan import FrontEnds, front_ends_of
from tinyfuse.firmware.frontend_proof import FrontEndResult, on_core, on_host, told_of
from tinyfuse.firmware.frontend_scenes import Frame, codes_of_scene, make_scenes
from tinyfuse.firmware.measure import setups
from tinyfuse.firmware.metadata import read_metadata
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.toolchain import host_compiler
from tinyfuse.frontend.fixed_sound import FixedTables
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model

BEST = setups(list(CORES.values()))
SHARED: dict[str, Any] = {"rate": 8000, "length": 1000, "window": 100, "hop": 50}
TABLES: dict[str, dict[str, Any]] = {
    "mfcc": {"kind": "mfcc", **SHARED, "bands": 10, "coefficients": 6, "append_energy": True, "drop_first": True,
             "top_db": 60.0, "level_rms": 0.1, "placement": "loudest", "input_shape": [12, 12, 1]},
    "streaming": {"kind": "mfcc", **SHARED, "bands": 10, "coefficients": 6, "fft": 128, "hop": 40},
    "logmel": {"kind": "log-mel", **SHARED, "bands": 12, "fft": 120, "layout": "bands-first", "amin": 1e-6,
                "placement": "centre", "center": True},
    "spectrogram": {"kind": "spectrogram", **SHARED, "scale": "magnitude", "taper": "hamming"},
    "power": {"kind": "spectrogram", **SHARED, "scale": "power", "window": 96, "level_rms": 0.2},
    "waveform": {"kind": "waveform", "rate": 8000, "length": 500, "level_rms": 0.05},
    "grey": {"kind": "picture", "size": [12, 10]},
    "colour": {"kind": "picture", "size": [12, 10], "colour": "rgb", "crop": "pad", "resize": "bicubic",
               "input_shape": [400]}}


FIXED = {name: table for name, table in TABLES.items() if name not in ("spectrogram", "power", "grey", "colour")} | {
    "spectrogram": TABLES["spectrogram"] | {"scale": "decibel"},
    "waveform": {"kind": "waveform", "rate": 8000, "length": 500, "placement": "loudest"}}
"""What has no need of floating point."""
WIDE = ("spectrogram", "grey")
CAMERA = (31, 46)


def net_of(tables: dict[str, dict[str, Any]], cameras: dict[str, tuple[int, int]],
           arithmetic: str = "float") -> tuple[IntegerModel, FrontEnds]:
    """A network that has the front ends of ``tables``, each before one operator and an output of its own."""
    specs, origin = [], {"front_ends": {}, "fitted": {}}
    for name, table in tables.items():
        one, kind = read_front_end(table, "test"), np.int16 if name in WIDE else np.int8
        shape, low = [1, *one.shape], 0 if name in WIDE else -128
        grid = {"scale": [1 / 32767 if name in WIDE else 1 / 255], "zero_point": [low]}
        specs += [Spec(shape, kind, name=name, **grid), Spec(shape, kind, name=f"{name}_out", **grid)]
        count, loud = one.values_shape[-1], "bands" in table
        origin["front_ends"][name] = one.table()
        if one.kind != "picture":
            origin["fitted"][name] = {"mean": [-30.0 if loud else 0.1] * count, "std": [20.0 if loud else 0.5] * count,
                                      "low": -2.0, "high": 2.0}
    places = range(0, len(specs), 2)
    model = load_model(build(specs, [Step("RELU", [place], [place + 1]) for place in places], list(places),
                             [place + 1 for place in places]))
    names = [port.name for port in model.inputs]
    return model, front_ends_of(program_of(model, "net"), names, origin, cameras, arithmetic)


def written(front_ends: FrontEnds, folder: Path) -> Path:
    write_sources(front_ends.program, folder)
    for path, text in front_end_sources(front_ends).items():
        (folder / path).write_text(text, encoding="ascii")
    return folder


def exact(found: FrontEndResult | None) -> FrontEndResult:
    assert found is not None and found.compared["inputs"] and found.compared["outputs"]
    assert not any(found.differing.values()), found
    return found


@pytest.fixture(scope="module")
def kinds() -> dict[str, tuple[IntegerModel, FrontEnds]]:
    return {"float": net_of(TABLES, dict.fromkeys(("grey", "colour"), CAMERA)), "fixed": net_of(FIXED, {}, "fixed")}


@pytest.mark.skipif(not host_compiler(), reason="no C compiler")
@pytest.mark.parametrize("arithmetic, whole", [("float", {"logmel", "power", "waveform", "grey", "colour"}),
                                               ("fixed", {"logmel", "waveform"})])
def test_every_kind_is_exact_under_the_sanitizers(kinds: dict[str, tuple[IntegerModel, FrontEnds]], arithmetic: str,
                                                  whole: set[str], tmp_path: Path) -> None:
    model, front_ends = kinds[arithmetic]
    scenes = make_scenes(front_ends, 14)
    exact(on_host(front_ends, written(front_ends, tmp_path / "src"), tmp_path, scenes,
                  told_of(front_ends, model, scenes)))
    assert {part.name for part in front_ends.parts if part.cannot_stream} == whole


@pytest.mark.skipif(not BEST, reason="no cross compiler and emulator")
@pytest.mark.parametrize("core, arithmetic", [("m3", "float"), ("m4", "float"), ("m55", "float"), ("m0+", "fixed"),
                                              ("m55", "fixed"), ("rv32", "fixed")])
def test_every_kind_is_exact_on_a_core(kinds: dict[str, tuple[IntegerModel, FrontEnds]], core: str, arithmetic: str,
                                       tmp_path: Path) -> None:
    """Cores without floating point, with it, and with vectors of it that GCC must not use."""
    if core not in BEST:
        pytest.skip(f"nothing emulates {core} here")
    model, front_ends = kinds[arithmetic]
    scenes = make_scenes(front_ends, 6)
    exact(on_core(front_ends, written(front_ends, tmp_path / "src"), tmp_path, scenes,
                  told_of(front_ends, model, scenes), BEST[core], counted=False))


@pytest.mark.skipif(not host_compiler(), reason="no C compiler")
def test_inputs_of_other_types_keep_their_memory(tmp_path: Path) -> None:
    """The work of a front end lies behind the last byte of an int32 input, which the scenes fill."""
    model = load_model(plain_inputs(), name="plain")
    table = {"kind": "log-mel", "rate": 8000, "length": 100, "window": 50, "hop": 50, "bands": 3, "input_shape": [6],
             "normalise": "none"}
    front_ends = front_ends_of(program_of(model, "net"), [port.name for port in model.inputs],
                               {"front_ends": {"x2": table}})
    start, end = front_ends.work_offset, front_ends.work_offset + front_ends.work_bytes
    places = [(front_ends.program.plan.place(one.tensor), one.bytes) for one in front_ends.program.inputs]
    assert [size for _, size in places] == [24, 6, 6] and start < end
    assert all(place + size <= start or end <= place for place, size in places)
    scenes = make_scenes(front_ends, 4)
    exact(on_host(front_ends, written(front_ends, tmp_path / "src"), tmp_path, scenes,
                  told_of(front_ends, model, scenes)))


@pytest.fixture(scope="module")
def digits() -> tuple[IntegerModel, FrontEnds]:
    model = load_model(MODEL)
    program = program_of(model, "net")
    return model, front_ends_of(program, [port.name for port in model.inputs], table_of(MODEL, model),
                                {"image": (60, 80)})


def test_work_lies_in_the_arena_beside_the_inputs(digits: tuple[IntegerModel, FrontEnds]) -> None:
    front_ends = digits[1]
    start, end = front_ends.work_offset, front_ends.work_offset + front_ends.work_bytes
    assert front_ends.memory_bytes == front_ends.program.plan.arena_bytes and end <= front_ends.memory_bytes
    for member in front_ends.program.inputs:
        place = front_ends.program.plan.place(member.tensor)
        assert place + member.size <= start or end <= place


@pytest.mark.skipif("m4" not in BEST, reason="nothing emulates m4 here")
def test_a_decision_costs_little_beside_the_network(digits: tuple[IntegerModel, FrontEnds], tmp_path: Path) -> None:
    model, front_ends = digits
    scenes = make_scenes(front_ends, 6)
    found = exact(on_core(front_ends, written(front_ends, tmp_path / "src"), tmp_path, scenes,
                          told_of(front_ends, model, scenes), BEST["m4"]))
    each = found.instructions
    assert 0 < each["audio hop"] + each["audio codes"] <= 0.1 * each["network"]
    ring = 39 * 41 * 4
    assert found.stream_bytes["audio"] - ring <= 12_000 and found.flash is not None and found.flash.data == 0


@pytest.mark.skipif("m4" not in BEST, reason="nothing emulates m4 here")
def test_no_product_is_fused_with_a_sum_whatever_the_dialect(digits: tuple[IntegerModel, FrontEnds],
                                                             tmp_path: Path) -> None:
    """GCC fuses in its own dialects; a build system that knows nothing of the front end gives the same bits."""
    folder, setup = written(digits[1], tmp_path / "src"), BEST["m4"]
    made = setup.compiler.compile(setup.core, folder / "net_frontend.c", tmp_path / "made.s",
                                  ["-std=gnu11", "-O3", f"-I{folder}", "-S"])
    assert not re.search(r"\bv(fma|fms|fnma|fnms|mla|mls)", made.read_text())


@pytest.mark.skipif(not host_compiler(), reason="no C compiler")
def test_status_codes_say_what_is_wrong(digits: tuple[IntegerModel, FrontEnds], tmp_path: Path) -> None:
    folder = written(digits[1], tmp_path / "src")
    (tmp_path / "main.c").write_text("""#include "net_frontend.h"
#include <stdio.h>
static net_memory_t memory;
static int16_t samples[400];
static uint8_t frame[3 * 60 * 80];
static net_audio_stream_t stream;
int main(void)
{
  net_audio_start(&stream);
  const int found[] = {
    net_audio_hear(&memory, samples, 400, 8000), net_audio_hear(&memory, samples, 399, 8000),
    net_audio_hear(&memory, samples, 400, 16000), net_audio_hop(&stream, &memory, samples),
    net_audio_listen(&stream, &memory), net_image_see(&memory, frame, 80, 60, 240, NET_RGB888),
    net_image_see(&memory, frame, 60, 80, 240, NET_RGB888), net_image_see(&memory, frame, 80, 60, 239, NET_RGB888),
    net_image_see(&memory, frame, 80, 60, 240, (net_pixels_t)5)};
  for (unsigned i = 0; i < sizeof found / sizeof *found; i++) {
    printf("%d ", found[i]);
  }
  return 0;
}
""", encoding="ascii")
    subprocess.run([host_compiler() or "", "-fsanitize=address,undefined", f"-I{folder}", tmp_path / "main.c",
                    folder / "net.c", folder / "net_frontend.c", "-o", tmp_path / "main"], check=True)
    done = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "2", "3", "1", "1", "0", "4", "4", "5"]


@pytest.mark.skipif(not host_compiler(), reason="no C compiler")
def test_a_wrong_constant_is_found(tmp_path: Path) -> None:
    model, front_ends = net_of({"it": TABLES["streaming"]}, {})
    scenes, folder = make_scenes(front_ends, 5), written(front_ends, tmp_path / "src")
    source = folder / "runtime" / "tny_frontend_float.h"
    source.write_text(source.read_text().replace("0x1.815182p+1f", "0x1.8ff182p+1f"))
    found = on_host(front_ends, folder, tmp_path, scenes, told_of(front_ends, model, scenes), ["-O0"])
    assert found is not None
    with pytest.raises(ParityError, match=r"front ends on host: \d+ of \d+ codes of inputs"):
        found.check()


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"a camera for 'it'; inputs that are pictures: none"):
        net_of({"it": TABLES["mfcc"]}, {"it": (10, 10)})
    with pytest.raises(DataError, match=r"a camera of 5000x10 pixels; give 1 to 2048 each way; or export with"):
        net_of({"it": TABLES["grey"]}, {"it": (10, 5000)})
    with pytest.raises(DataError, match=r"input 'it': .*factors 2, 3 and 5.*--frontend none"):
        net_of({"it": TABLES["power"] | {"window": 98}}, {})


@pytest.mark.parametrize("given, words", [
    ("image=0x0", "a camera of 0x0 pixels"), ("mic=8x8", "a camera for 'mic'; inputs that are pictures: image"),
    ("loud", "--frontend 'loud'; give none alone, float or fixed, or what cameras give, such as camera=160x120")])
def test_export_refuses_other_front_ends(given: str, words: str, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(MODEL), "--out", str(tmp_path / "out"), "--random", "--frontend", given]) in (1, 2)
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options, arithmetic", [
    ({"board": "rp2040"}, "fixed"), ({"board": "rp2040", "frontend": "image=40x30,float"}, "float"), ({}, "float")])
def test_boards_without_floating_point_get_whole_numbers(options: dict[str, str], arithmetic: str,
                                                         tmp_path: Path) -> None:
    folder = deploy.export(MODEL, tmp_path / "early", vectors=1, **options)  # type: ignore[arg-type]
    table = read_metadata(folder / "metadata.json")
    assert table.front_ends["audio"].arithmetic == arithmetic
    front_ends = front_ends_in(table, program_of(load_model(MODEL), table.name))
    assert front_ends is not None and [isinstance(part.tables, FixedTables) for part in front_ends.parts] == [
        False, arithmetic == "fixed"]
    code = (folder / "src" / "early_w6_frontend.c").read_text()
    assert ("tny_frontend_bands_fixed.h" in code) == (arithmetic == "fixed") != ("float" in code)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy.export(MODEL, tmp_path_factory.mktemp("front") / "early", vectors=2, frontend="image=40x30")


@pytest.mark.skipif("m4" not in BEST, reason="nothing emulates m4 here")
def test_a_recording_and_a_picture_become_a_class_on_the_core(package: Path, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    samples, pixels = rng.normal(0, 3000, 6000).astype(np.int16), rng.integers(0, 256, (30, 40), dtype=np.uint8)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert cli.main(["verify", str(package), "--core", "m4", "--play",
                     f"audio={tmp_path / 'a.wav'},image={tmp_path / 'a.png'}"]) == 0
    said = capsys.readouterr().out
    model, table = load_model(MODEL), read_metadata(package / "metadata.json")
    front_ends = front_ends_in(table, program_of(model, table.name))
    assert front_ends is not None
    codes = codes_of_scene(front_ends, {"audio": samples, "image": Frame(pixels.reshape(-1), "grey")})
    logits = open_executor(model, "twin").run({name: one.reshape(1, 28, 28, 1) for name, one in codes.items()})[0]
    assert said.startswith(f"m4: class {int(np.argmax(logits))}; logits {' '.join(map(str, logits))};")
    soundfile.write(tmp_path / "b.wav", samples, 16000)
    assert cli.main(["verify", str(package), "--play", f"audio={tmp_path / 'b.wav'},image={tmp_path / 'a.png'}"]) == 1
    assert "1 channels at 16000 Hz; input 'audio' hears one channel at 8000 Hz" in capsys.readouterr().err
    for loud, told in ((1.5, "samples of up to 1.5, which 16 bits would clip"), (np.nan, "samples of up to nan")):
        soundfile.write(tmp_path / "c.wav", np.array([loud, *samples / 32768]), 8000, subtype="FLOAT")
        files = f"audio={tmp_path / 'c.wav'},image={tmp_path / 'a.png'}"
        assert cli.main(["verify", str(package), "--play", files]) == 1
        assert told in capsys.readouterr().err
    assert cli.main(["verify", str(package), "--play", f"audio={tmp_path / 'a.wav'}"]) in (1, 2)
    assert "no file for input 'image'; give image=FILE, audio=FILE" in capsys.readouterr().err


@pytest.mark.skipif("m4" not in BEST, reason="nothing emulates m4 here")
def test_verify_finds_a_wrong_front_end(package: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    copied = Path(shutil.copytree(package, tmp_path / "package"))
    source = copied / "src" / "early_w6_frontend.c"
    source.write_text(source.read_text().replace("int16_t image_codes[] = {\n  -128,",
                                                 "int16_t image_codes[] = {\n  -120,"))
    assert cli.main(["verify", str(copied), "--core", "m4", "--json"]) == 3
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["cores"]["m4"]["parity"] and found["front_ends"]["m4"]["differing_codes"]["inputs"] > 0
    assert found["changed_files"] == ["early_w6_frontend.c"] and "front ends on m4" in said.err
