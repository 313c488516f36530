"""CMSIS-DSP's MFCC beside ours on the same emulated cores: instructions of a frame, and the error against librosa.

    pip download --no-deps --no-binary cmsisdsp cmsisdsp==1.10.3 && tar xzf cmsisdsp-1.10.3.tar.gz
    python benchmarks/frontend_peers.py cmsisdsp-1.10.3 [--core m0+,m3,m4,m7,m33,m55]

One frame of 512 samples at 16 kHz, 40 bands, 13 coefficients, from int16 to coefficients, all compiled with -O3.
CMSIS-DSP takes the logarithm of magnitudes, ours decibels of powers: each is compared with librosa's filters and
double precision by its own definition, in decibels of a coefficient. Frames: a swept tone in noise at four levels, 20
decibels apart. Nothing of CMSIS-DSP is part of this project; its intrinsics are those of the Arm C Language Extensions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.cli import options
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import temporary_folder
from tinyfuse.firmware.build import board_options
from tinyfuse.firmware.c_text import array, export_folder
from tinyfuse.firmware.cores import cores_of
from tinyfuse.firmware.frontend_emit import RUNTIME, tables_of
from tinyfuse.firmware.frontend_plan import Part
from tinyfuse.firmware.measure import Setup, setups
from tinyfuse.firmware.program import Member
from tinyfuse.frontend.device_sound import Grid, dct_matrix, sound_tables
from tinyfuse.frontend.fixed_sound import fixed_tables
from tinyfuse.frontend.normalisation import identity
from tinyfuse.frontend.spectrum import Mfcc
from tinyfuse.report.tables import markdown

FRONT_END = Mfcc(rate=16000, length=512, window=512, hop=512, bands=40, coefficients=13, normalise="none")
STEP_DB = 1 / 32
"""Of the int16 codes that ours writes: their rounding is part of its error."""
LEVELS_DB = (-6, -26, -46, -66)
FRAMES = 12
OFFSET = 1e-6
"""What CMSIS-DSP adds to magnitudes before the logarithm."""
DB_PER_NEPER = 20 / np.log(10)
GROUPS = ("BasicMath", "ComplexMath", "FastMath", "Matrix", "Statistics", "Support", "Transform")
INTRINSICS = ("qadd", "qsub", "qadd16", "qsub16", "qadd8", "qsub8", "shadd16", "shsub16", "qasx", "qsax", "shasx",
              "shsax", "smuad", "smuadx", "smusd", "smusdx", "smlad", "smladx", "smlsdx", "smlald", "smlaldx", "sxtb16")


@dataclass(frozen=True)
class Peer:
    """One implementation: the C of its ``main``, and what its records are multiplied by to be decibels."""

    name: str
    text: str
    dtype: str
    scale: float
    wanted: np.ndarray
    foreign: bool


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, metavar="DIR", help="unpacked source package of cmsisdsp")
    parser.add_argument("--core", metavar="NAMES", default="m0+,m3,m4,m7,m33,m55")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Print a line for each core and implementation."""
    if not (args.sources / "Source" / "TransformFunctions").is_dir():
        raise DataError(f"{args.sources} has no Source/TransformFunctions; give the unpacked sources of cmsisdsp")
    rows, heard = [], frames()
    with temporary_folder(None, "tinyfuse") as work:
        shim(work / "cmsis_compiler.h")
        for setup in setups(cores_of(args.core)).values():
            for peer in peers(heard):
                folder = work / f"{setup.core.name}-{peer.name}".replace(" ", "-")
                found, instructions, flash = measured(peer, setup, args.sources, folder, heard)
                error = np.abs(found - peer.wanted)
                by_level = error.reshape(len(LEVELS_DB), -1).max(axis=1)
                rows.append([setup.core.name, peer.name, str(instructions), str(flash),
                             f"{np.sqrt(np.mean(np.square(error))):.4f}", *(f"{one:.3f}" for one in by_level)])
    print(markdown(["core", "MFCC", "instructions", "flash", "RMS error in dB",
                    *(f"most at {level} dB" for level in LEVELS_DB)], rows, [0, 1]))
    return 0


def frames() -> np.ndarray:
    """Make int16 frames [n, 512], level by level."""
    rng, time = np.random.default_rng(0), np.arange(FRAMES * FRONT_END.length)
    sound = np.sin(time * time / 9e3) * np.hanning(len(time)) + 0.3 * np.sin(0.11 * time)
    sound += rng.normal(0, 0.02, len(time))
    sound /= np.abs(sound).max()
    both = [np.round(32767 * 10 ** (level / 20) * sound).reshape(FRAMES, -1) for level in LEVELS_DB]
    return np.concatenate(both).astype(np.int16)


def peers(heard: np.ndarray) -> Iterator[Peer]:
    """CMSIS-DSP's two, then ours, with what each should give [n, 13] in decibels."""
    from librosa.filters import mel

    matrix, filters = dct_matrix(FRONT_END).astype(np.float64), mel(sr=16000, n_fft=512, n_mels=40, norm=None)
    window = np.hanning(513)[:-1]
    magnitudes = np.abs(np.fft.rfft(heard / 32768 * window)) @ filters.T.astype(np.float64)
    theirs = DB_PER_NEPER * np.log(magnitudes + OFFSET) @ matrix.T
    yield Peer("CMSIS-DSP f32", cmsis_main(filters, matrix, window, 0), "<f4", DB_PER_NEPER, theirs, foreign=True)
    yield Peer("CMSIS-DSP q15", cmsis_main(filters, matrix, window, 32768), "<i2", DB_PER_NEPER / 128, theirs,
               foreign=True)
    mine = np.stack([FRONT_END.features(one, rate=16000)[0] for one in heard])
    low = -(1 << 15)
    member = Member("it", 0, 13, STEP_DB, 0, "int16_t", (-32768, 32767), "int16")
    for name, make in (("tinyfuse float", sound_tables), ("tinyfuse fixed", fixed_tables)):
        tables = make(FRONT_END, identity(FRONT_END, -1000.0, 1000.0), Grid(STEP_DB, 0, low, -low - 1))
        yield Peer(name, own_main("\n".join(tables_of(Part("it", member, tables))), name.split()[1]), "<i2", STEP_DB,
                   mine, foreign=False)


def shim(path: Path) -> None:
    """Write what CMSIS-DSP takes from CMSIS-Core: keywords, and intrinsics by their names in Arm's C extensions."""
    names = "\n".join(f"#define __{name.upper()}(...) __{name}(__VA_ARGS__)" for name in INTRINSICS)
    path.write_text(SHIM.replace("INTRINSICS", names))


SHIM = """
#include <stdint.h>
#include <arm_acle.h>
#define __ASM __asm
#define __ALIGNED(x) __attribute__((aligned(x)))
#define __WEAK __attribute__((weak))
#define __STATIC_FORCEINLINE static inline __attribute__((always_inline))
#define __STATIC_INLINE static inline
#define __CLZ(x) ((uint8_t)((x) == 0u ? 32 : __builtin_clz(x)))
#if __ARM_FEATURE_DSP
INTRINSICS
#define __PKHBT(a, b, by) (((uint32_t)(a) & 0xFFFFu) | (((uint32_t)(b) << (by)) & 0xFFFF0000u))
#define __PKHTB(a, b, by) (((uint32_t)(a) & 0xFFFF0000u) | (((uint32_t)((int32_t)(b) >> (by))) & 0xFFFFu))
#endif
#if __ARM_FEATURE_SAT
#define __SSAT(x, bits) __ssat(x, bits)
#define __USAT(x, bits) __usat(x, bits)
#else
static inline int32_t __SSAT(int32_t x, uint32_t bits)
{
  const int32_t most = (int32_t)((1u << (bits - 1u)) - 1u);
  return x > most ? most : x < -most - 1 ? -most - 1 : x;
}
static inline uint32_t __USAT(int32_t x, uint32_t bits)
{
  const int32_t most = (1 << bits) - 1;
  return (uint32_t)(x > most ? most : x < 0 ? 0 : x);
}
#endif
"""

LOOP = """
#include "board.h"
#include "records.h"
static uint32_t ticks;
int main(void)
{
  %(start)s
  for (uint32_t i = 0; i < %(frames)du; i++) {
    const int16_t *const samples = (const int16_t *)BOARD_VECTORS + 512u * i;
    board_restart();
    const uint32_t begun = board_now();
    %(body)s
    ticks += board_since(begun);
    send_record('O', found, sizeof found);
  }
  send_record('R', &ticks, sizeof ticks);
  return 0;
}
"""


def cmsis_main(filters: np.ndarray, matrix: np.ndarray, window: np.ndarray, full: int) -> str:
    """Write the program around arm_mfcc_f32, or with ``full`` scale arm_mfcc_q15."""
    used = [np.flatnonzero(row) for row in filters]
    weights = np.concatenate([row[places[0]:places[-1] + 1] for row, places in zip(filters, used, strict=True)])
    kind, suffix = ("q15_t", "q15") if full else ("float32_t", "f32")

    def numbers(name: str, values: np.ndarray) -> str:
        flat = values.reshape(-1)
        said = np.clip(np.round(flat * full), -full, full - 1).astype(int) if full else flat.astype(np.float32)
        return array(kind, name, [str(one) if full else f"{float(one).hex()}f" for one in said])

    tables = [numbers("window", window), numbers("weights", weights), numbers("matrix", matrix),
              array("uint32_t", "first", [places[0] for places in used]),
              array("uint32_t", "count", [places[-1] - places[0] + 1 for places in used])]
    take = "arm_copy_q15(samples, work, 512);" if full else "arm_q15_to_float(samples, work, 512);"
    rest = "" if full else "static float32_t more[514];"
    more = "static q31_t more[1024];" if full else ""
    body = f"{take}\n    {kind} found[13];\n    (void)arm_mfcc_{suffix}(&it, work, found, more);"
    start = f"(void)arm_mfcc_init_512_{suffix}(&it, 40, 13, matrix, first, count, weights, window);"
    return "\n".join(['#include "arm_math.h"', *tables, f"static arm_mfcc_instance_{suffix} it;",
                      f"static {kind} work[1024];", rest, more,
                      LOOP % {"start": start, "body": body, "frames": FRAMES * len(LEVELS_DB)}])


def own_main(tables: str, arithmetic: str) -> str:
    """Write the program around our front end with its ``tables``."""
    includes = "\n".join(f'#include "{header}"' for header in RUNTIME[arithmetic])
    one = "0" if arithmetic == "fixed" else "1.0f"
    body = f"""int16_t found[13];
    const tny_heard_t heard = {{samples, 0, 512}};
    tny_frame_powers(&it_front_end, &heard, 0, work, powers);
    tny_frame_codes(&it_front_end, powers, {one}, NULL, loud, found, 0, 1);"""
    return "\n".join([includes, tables, "static tny_real_t work[514], powers[40], loud[40];",
                      LOOP % {"start": "", "body": body, "frames": FRAMES * len(LEVELS_DB)}])


def measured(peer: Peer, setup: Setup, sources: Path, folder: Path, heard: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Run ``peer`` on one core: coefficients in decibels [n, 13], instructions of a frame, bytes of flash."""
    from elftools.elf.elffile import ELFFile

    folder.mkdir()
    (folder / "peer.c").write_text(peer.text)
    runtime = export_folder("runtime")
    include = [f"-I{runtime}", f"-I{runtime / 'frontend'}", "-Wno-unused-function"]
    if peer.foreign:
        include = [f"-I{folder.parent}", f"-I{sources / 'Include'}", f"-I{sources / 'PrivateInclude'}", "-w"]
    objects = foreign_objects(setup, sources, folder.parent, include) if peer.foreign else []
    harness = export_folder("harness")
    objects += [setup.compiler.compile(setup.core, source, folder / f"{source.stem}.o",
                                       ["-O3", *include, *board_options(setup.core)])
                for source in (folder / "peer.c", harness / "start.c", *setup.compiler.library())]
    program = setup.compiler.link(setup.core, [*objects, Path("-lm")], harness / "core.ld", folder / "peer.elf")
    ran = setup.emulator.run(setup.core, program, heard.astype("<i2").tobytes(), counted=True)
    found = np.stack([np.frombuffer(content, peer.dtype) for tag, content in ran.records if tag == "O"])
    ticks = next(np.frombuffer(content, "<u4")[0] for tag, content in ran.records if tag == "R")
    with program.open("rb") as stream:
        flash = sum(one["p_filesz"] for one in ELFFile(stream).iter_segments("PT_LOAD"))
    return found * peer.scale, round(float(ticks) * ran.instructions_per_tick / len(found)), flash


def foreign_objects(setup: Setup, sources: Path, work: Path, include: list[str]) -> list[Path]:
    """Compile CMSIS-DSP for one core, once."""
    found = []
    for name in (*(f"{group}Functions" for group in GROUPS), "CommonTables"):
        made = work / f"{setup.core.name}-{name}.o"
        if not made.exists():
            setup.compiler.compile(setup.core, sources / "Source" / name / f"{name}.c", made, ["-O3", *include])
        found.append(made)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
