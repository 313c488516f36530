"""The classes of a package for C++: through them every code, of inputs and outputs, is Python's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from emitted import SANITIZE
from mixed_sensors import mixed_model

from tinyfuse.firmware.frontend_emit import front_end_sources
from tinyfuse.firmware.frontend_plan import FrontEnds, front_ends_of
from tinyfuse.firmware.frontend_proof import told_of
from tinyfuse.firmware.frontend_scenes import make_scenes, scene_bytes
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import IntegerModel

SCENES = 6
MAIN = """
#include <algorithm>
#include <cstdio>
#include <cstring>
#include "net_frontend.hpp"

using namespace tinyfuse::net;

static net_memory_t memory;
static SharedNetwork shared(memory.arena);
static Network owning;
static uint32_t given[1 << 16];
static const unsigned char *at = reinterpret_cast<const unsigned char *>(given);

static uint32_t word()
{
  uint32_t found;
  std::memcpy(&found, at, sizeof found);
  at += sizeof found;
  return found;
}

static const int16_t *sound(uint32_t &rate, uint32_t &count)
{
  rate = word();
  count = word();
  const unsigned char *const found = at;
  at += (2 * count + 3) / 4 * 4;
  return reinterpret_cast<const int16_t *>(found);
}

template <typename Tensor>
static void send(const Tensor &tensor)
{
  std::fwrite(tensor.data(), sizeof *tensor.data(), tensor.size(), stdout);
}

static bool stream(const int16_t *samples, uint32_t count)
{
  static mic_stream heard(memory);
  bool right = heard.feed(samples, heard.hop() + 1) == Status::wrong_size;
  heard.start();
  for (uint32_t first = 0; first + heard.hop() <= count; first += heard.hop()) {
    const Status fed = heard.feed(samples + first, heard.hop()), found = heard.codes();
    right = right && fed == found;
    if (found == Status::ok) {
      std::fwrite(shared.inputs().mic.data(), 1, mic_port::size(), stderr);
    }
  }
  return right;
}

static bool scene()
{
  static const uint32_t bytes[] = {1, 3, 2, 2, 2};
  const mic_recording mic(memory);
  const clip_recording clip(memory);
  const camera_camera camera(memory);
  const Inputs in = shared.inputs();
  uint32_t rate, count, clip_rate, clip_count;
  const int16_t *const samples = sound(rate, count), *const clipped = sound(clip_rate, clip_count);
  bool right = mic.hear(samples, count, rate + 1) == Status::wrong_rate && mic.hear(samples, count, rate) == Status::ok;
  right = right && clip.hear(clipped, 0, clip_rate) == Status::too_short;
  right = right && clip.hear(clipped, clip_count, clip_rate) == Status::ok;
  const uint32_t format = word(), stride = camera.width() * bytes[format];
  const Pixels pixels = static_cast<Pixels>(format);
  right = right && camera.see(at, camera.width() + 1, camera.height(), stride, pixels) == Status::wrong_size;
  right = right && camera.see(at, camera.width(), camera.height(), stride, pixels) == Status::ok;
  at += (camera.height() * stride + 3) / 4 * 4;
  int8_t gas[gas_port::size()];
  std::memcpy(gas, at, sizeof gas);
  at += (sizeof gas + 3) / 4 * 4;
  in.gas.assign(gas);
  float values[gas_port::size()];
  for (size_t place = 0; place < in.gas.size(); place++) {
    values[place] = in.gas.value(place);
    in.gas[place] = 0;
  }
  in.gas.assign(values);
  send(in.mic), send(in.clip), send(in.camera), send(in.gas);
  const Inputs same = owning.inputs();
  std::copy(in.mic.begin(), in.mic.end(), same.mic.begin());
  std::copy(in.clip.begin(), in.clip.end(), same.clip.begin());
  std::copy(in.camera.begin(), in.camera.end(), same.camera.begin());
  std::copy(in.gas.begin(), in.gas.end(), same.gas.begin());
  const Outputs out = shared.infer(), again = owning.infer();
  send(out.OUTPUT), send(again.OUTPUT);
  std::putchar(argmax(out));
  return right && stream(samples, count);
}

int main()
{
  bool right = std::fread(given, 1, sizeof given, stdin) > 0;
  for (uint32_t count = word(); count > 0; count--) {
    right = scene() && right;
  }
  return right ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def network() -> tuple[IntegerModel, FrontEnds]:
    model, origin = mixed_model()
    names = [port.name for port in model.inputs]
    return model, front_ends_of(program_of(model, "net"), names, origin, {"camera": (14, 18)})


def written(front_ends: FrontEnds, main: str, folder: Path) -> Path:
    """The sources of a package and a program of C++, in which OUTPUT is the output."""
    write_sources(front_ends.program, folder)
    for path, text in front_end_sources(front_ends).items():
        (folder / path).write_text(text, encoding="ascii")
    (folder / "main.cc").write_text(main.replace("OUTPUT", front_ends.program.output.name), encoding="ascii")
    return folder


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on PATH")
def test_every_code_is_pythons(network: tuple[IntegerModel, FrontEnds], tmp_path: Path) -> None:
    """Recordings, a stream, frames and values; in memory that is given and in the class's own; refusals as statuses."""
    model, front_ends = network
    folder, objects = written(front_ends, MAIN, tmp_path), []
    for command, source in ((["gcc", "-std=c99"], "net.c"), (["gcc", "-std=c99"], "net_frontend.c"),
                            (["g++", "-std=c++17", "-fno-exceptions", "-fno-rtti"], "main.cc")):
        objects.append(f"{Path(source).stem}.o")
        subprocess.run([*command, "-Wall", "-Wextra", "-Werror", *SANITIZE, "-c", source, "-o", objects[-1]],
                       cwd=folder, check=True)
    subprocess.run(["g++", *SANITIZE, *objects, "-o", "main"], cwd=folder, check=True)
    scenes = make_scenes(front_ends, SCENES)
    told = told_of(front_ends, model, scenes)
    done = subprocess.run([folder / "main"], input=scene_bytes(front_ends, scenes), capture_output=True, check=True)
    wanted, kind = [], front_ends.program.output.dtype
    for place, output in enumerate(told.outputs):
        wanted += [*told.inputs[4 * place: 4 * place + 4], output, output,
                   bytes([int(np.argmax(np.frombuffer(output, kind)))])]
    assert done.stdout == b"".join(wanted) and len(told.outputs) == SCENES
    assert done.stderr == b"".join(told.streams) != b""


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on PATH")
@pytest.mark.parametrize("wrong, said", [
    ("const float values[6] = {}; Network().inputs().gas.assign(values);", "assign"),
    ("mic_stream(memory).feed(samples);", "give whole hops"), ("Network().infer().OUTPUT[0] = 1;", "read-only"),
    ("Network first, second(first);", "deleted")])
def test_what_the_types_forbid_does_not_compile(network: tuple[IntegerModel, FrontEnds], wrong: str, said: str,
                                                tmp_path: Path) -> None:
    main = ('#include "net_frontend.hpp"\nusing namespace tinyfuse::net;\nstatic net_memory_t memory;\n'
            f"static int16_t samples[41];\nint main() {{ {wrong} }}\n")
    done = subprocess.run(["g++", "-std=c++17", "-fsyntax-only", "main.cc"], cwd=written(network[1], main, tmp_path),
                          capture_output=True, text=True, check=False)
    assert done.returncode and said in done.stderr, done.stderr
