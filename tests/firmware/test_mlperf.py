"""The package's application under MLPerf Tiny's protocol, spoken to as the benchmark's runner does.

The runner: https://github.com/mlcommons/tiny/tree/master/benchmark/runner (serial_device.py, device_under_test.py).
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.firmware.build import board_options
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import CORES, Core
from tinyfuse.firmware.deploy import export
from tinyfuse.firmware.toolchain import SANITIZE, STRICT, cross_compiler, host_compiler, run
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.twin import Twin

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits" / "early__w6.tflite"
APPLICATION = ("main", "protocol", "buffer", "submitter_implemented", "th_print")
CHUNK = 31  # bytes the runner sends in one command
SECONDS = 60.0
READY = "m-ready"


class Device:
    """A program that answers commands; ``command`` waits for its prompt as the runner does."""

    def __init__(self, start: list[str]) -> None:
        self.process = subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.received = b""
        self.greeting = self.answer()

    def command(self, text: str | bytes) -> list[str]:
        """The lines of the answer to ``text``, without the prompt."""
        assert self.process.stdin is not None
        self.process.stdin.write((text.encode() if isinstance(text, str) else text) + b"%")
        return self.answer()

    def answer(self) -> list[str]:
        lines: list[str] = []
        while READY not in lines:
            lines.append(self.line())
        assert lines[-1] == READY
        return lines[:-1]

    def line(self) -> str:
        assert self.process.stdout is not None
        end = time.monotonic() + SECONDS
        while b"\r\n" not in self.received:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            assert more, f"the device {'ended' if ready else 'is silent'} after {self.received!r}"
            self.received += more
        line, self.received = self.received.split(b"\r\n", 1)
        return line.decode("ascii")

    def load(self, data: bytes) -> list[str]:
        """As the runner: say how much comes, then send it in chunks."""
        lines = self.command(f"db load {len(data)}")
        for start in range(0, len(data), CHUNK):
            lines += self.command(f"db {data[start:start + CHUNK].hex()}")
        return lines

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(MODEL, tmp_path_factory.mktemp("mlperf") / "net", name="net", vectors=1)


@pytest.fixture(scope="module")
def board(package: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to start the application on an emulated Cortex-M4."""
    return for_core(package, CORES["m4"], tmp_path_factory.mktemp("m4"))


@pytest.fixture(scope="module")
def host(package: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to start it on this machine, under the sanitizers."""
    return for_host(package, tmp_path_factory.mktemp("host"))


def sources_of(package: Path) -> list[Path]:
    folder = package / "examples" / "mlperf_tiny"
    return [package / "src" / "net.c", *(folder / f"{one}.c" for one in APPLICATION)]


def for_host(package: Path, work: Path) -> list[str]:
    command = host_compiler()
    if command is None:
        pytest.skip("no C compiler on this machine")
    folder = package / "examples" / "mlperf_tiny"
    sources = [*sources_of(package), folder / "host" / "board_port.c"]
    run([command, *STRICT, *SANITIZE, f"-I{package / 'src'}", f"-I{folder}", *map(str, sources), "-o",
         str(work / "program")])
    return [str(work / "program")]


def for_core(package: Path, core: Core, work: Path) -> list[str]:
    if not shutil.which("arm-none-eabi-gcc") or not shutil.which("qemu-system-arm"):
        pytest.skip("the emulated serial port needs arm-none-eabi-gcc and qemu-system-arm on PATH")
    cross, harness = cross_compiler("arm-none-eabi-gcc"), export_folder("harness")
    folder = package / "examples" / "mlperf_tiny"
    defined = [*board_options(core), f"-I{folder}"]
    objects = [cross.compile(core, source, work / f"{source.stem}.o",
                             [*STRICT, "-Wpedantic", "-O2", f"-I{package / 'src'}", f"-I{folder}"])
               for source in sources_of(package)]
    objects += [cross.compile(core, harness / source, work / f"{source}.o",
                              ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", *defined])
                for source in ("start.c", "mlperf_port.c")]
    elf = cross.link(core, objects, harness / "core.ld", work / "program.elf")
    return ["qemu-system-arm", "-M", core.machine, "-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot",
            "-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart", "-kernel", str(elf)]


@pytest.fixture(params=["host", "board"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    found = Device(request.getfixturevalue(request.param))
    yield found
    found.close()


def samples(count: int) -> tuple[list[bytes], np.ndarray]:
    """Bytes to load, the inputs in the order of the model, and the twin's outputs."""
    model = load_model(MODEL)
    codes = random_codes(model, count, seed=5)
    loads = [b"".join(codes[port.name][row].tobytes() for port in model.inputs) for row in range(count)]
    return loads, Twin(model.graph).run(codes).astype(np.int64)


def results(lines: list[str]) -> list[str]:
    found = [match.group(1).split(",") for line in lines if (match := re.fullmatch(r"m-results-\[([^]]+)]", line))]
    assert len(found) == 1, lines
    return found[0]


def laps(lines: list[str]) -> list[int]:
    return [int(match.group(1)) for line in lines if (match := re.fullmatch(r"m-lap-us-([0-9]+)", line))]


def test_the_runner_finds_the_device(device: Device) -> None:
    assert device.greeting[0] == "m-timestamp-mode-performance" and device.greeting[-1] == "m-init-done"
    assert device.command("name") == ["m-name-dut-[unspecified]"]
    assert device.command("profile") == ["m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[net]"]
    assert {line.split(":")[0] for line in device.command("help")[1:]} == {
        "name", "profile", "timestamp", "help", "reset", "db", "infer", "results"}


def test_the_results_are_the_twins(device: Device, package: Path) -> None:
    """Dequantised to within half a millionth, so that the codes come back exactly; the order of the enum is kept."""
    output = json.loads((package / "metadata.json").read_text())["outputs"][0]
    loads, expected = samples(4)
    for data, codes in zip(loads, expected, strict=True):
        assert device.load(data) == [f"m-[Expecting {len(data)} bytes]", "m-load-done"]
        # More than one, because an inference overwrites its input.
        lines = device.command("infer 2 1")
        said = results(lines)
        values = np.array([float(one) for one in said])
        exact = output["scale"] * (codes - output["zero_point"])
        assert np.abs(values - exact).max() <= 0.51e-6
        assert np.array_equal(np.rint(values / output["scale"]).astype(np.int64) + output["zero_point"], codes)
        assert all(re.fullmatch(r"-?[0-9]+\.[0-9]{6}", one) for one in said)
        assert results(device.command("results")) == said


def test_an_inference_is_timed_as_the_runner_expects(device: Device) -> None:
    device.load(samples(1)[0][0])
    lines = device.command("infer 3 1")
    kinds = [re.sub(r"(?<=us-).*|(?<=results-).*", "*", line) for line in lines]
    assert kinds == ["m-warmup-start-1", "m-warmup-done", "m-infer-start-3", "m-lap-us-*", "m-lap-us-*", "m-infer-done",
                     "m-results-*"]
    start, end = laps(lines)
    assert end > start
    assert device.command("infer")[:3] == ["m-warmup-start-10", "m-warmup-done", "m-infer-start-1"]


def test_the_loaded_bytes_can_be_read_back(device: Device) -> None:
    device.load(bytes(range(100, 120)))
    assert device.command("db print") == ["m-buffer-64-65-66-67-68-69-6a-6b", "m-buffer-6c-6d-6e-6f-70-71-72-73"]
    assert device.command("db print 99 18") == ["m-buffer-76-77"]


BAD = {
    "dance": r"Unknown command: dance", "Name": "Unknown command", "namename": "Unknown command",
    "x" * 80: "Unknown command", "x" * 81: "at most 80 characters", "db " + "00" * 4000: "at most 80 characters",
    "db": "needs load, print or hexadecimal", "db load": "number of bytes above 0", "db load 0": "above 0",
    "db load -3": "above 0", "db load 1e3": "above 0", "db load 99999999999999999999": "above 0",
    "db load 1569": "1569 bytes are more than the 1568", "db load 999999999": "are more than",
    "db 00": "1 bytes, 0 expected", "db 0": "odd number", "db 0g": "not hexadecimal", "db print x": "takes a number",
    "infer": "load the 1568 bytes", "infer 0": "above 0", "infer -1 0": "above 0", "infer x": "above 0",
    "infer 1 x": "'x' is no number", "results": "none before infer"}


def test_bad_commands_are_answered_with_one_error(device: Device) -> None:
    for bad, message in BAD.items():
        lines = device.command(bad)
        assert len(lines) == 1 and re.match(r"e-\[.*" + message, lines[0]), (bad, lines)
    assert device.command("name") == ["m-name-dut-[unspecified]"]
    for empty in ("", " ", "\r\n", b"\x00\xff\x07"):
        assert device.command(empty) == []
    assert device.command("\r\n name \n") == ["m-name-dut-[unspecified]"]


def test_what_was_refused_changes_nothing(device: Device) -> None:
    """A damaged chunk can be sent again; too many bytes, or too few before infer, are refused."""
    device.command("db load 3")
    device.command("db 0102")
    for bad in ("db 03zz", "db 030", "db 0304"):
        assert device.command(bad)[0].startswith("e-[")
    assert device.command("db 03") == ["m-load-done"] and device.command("db print") == ["m-buffer-01-02-03"]
    assert device.command("db 04")[0].startswith("e-[")
    assert device.command("infer 1 0") == ["e-[infer: load the 1568 bytes of the input first]"]
    device.command("db load 99999")
    assert device.command("db 01")[0].startswith("e-[")


def test_reset_forgets_input_and_results(device: Device) -> None:
    device.load(samples(1)[0][0])
    device.command("infer 1 0")
    assert device.command("reset") == ["m-init-done"]
    assert device.command("results")[0].startswith("e-[") and device.command("infer 1 0")[0].startswith("e-[")


def test_noise_is_survived(device: Device) -> None:
    """Mutated commands are all answered; on this machine a sanitizer would end the program."""
    rng = np.random.default_rng(0)
    valid = [b"name", b"db load 40", b"db 00112233", b"db print 8 4", b"infer 1 0", b"results", b"reset", b"help"]
    for _ in range(300):
        text = bytearray(valid[rng.integers(len(valid))] * int(rng.integers(1, 3)))
        for place in rng.integers(0, len(text), rng.integers(0, 4)):
            text[place] = rng.choice([*b" 0f9-zl", 0, 13, 10, 255])
        device.command(bytes(text))
    loads, expected = samples(1)
    device.load(loads[0])
    assert len(results(device.command("infer 1 0"))) == expected.shape[1]


def test_the_clock_of_the_emulated_board_goes_beyond_its_counter(board: list[str]) -> None:
    """SysTick has 24 bits, 0.67 s at 25 MHz."""
    device = Device(board)
    start, before = time.monotonic(), laps(device.command("timestamp"))[0]
    time.sleep(1.6)
    after, seconds = laps(device.command("timestamp"))[0], time.monotonic() - start
    device.close()
    assert 1_500_000 < after - before < 1_000_000 * seconds + 500_000


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on PATH")
def test_the_submitters_half_is_valid_cxx(package: Path, tmp_path: Path) -> None:
    """So that the benchmark's own C++ half can take the place of protocol.c; pictures as unsigned bytes."""
    folder = package / "examples" / "mlperf_tiny"
    for name in ("submitter_implemented", "th_print", "main"):
        run(["g++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-DTH_UNSIGNED_BYTES=1",
             f"-I{package / 'src'}", "-c", str(folder / f"{name}.c"), "-o", str(tmp_path / f"{name}.o")])


@pytest.mark.skipif(not (shutil.which("cmake") and host_compiler()), reason="no cmake or no C compiler on PATH")
def test_cmake_builds_it_for_this_machine(package: Path, tmp_path: Path) -> None:
    """Pictures as unsigned bytes: what is loaded is 128 more than the codes."""
    run(["cmake", "-S", str(package / "examples" / "mlperf_tiny"), "-B", str(tmp_path),
         "-DCMAKE_C_FLAGS=-DTH_UNSIGNED_BYTES=1"])
    run(["cmake", "--build", str(tmp_path)])
    device = Device([str(tmp_path / "net_mlperf_tiny")])
    loads, expected = samples(3)
    device.load(bytes(byte ^ 0x80 for byte in loads[2]))
    values = [float(one) for one in results(device.command("infer 1 0"))]
    device.close()
    assert int(np.argmax(values)) == int(np.argmax(expected[2]))
