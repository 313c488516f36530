"""The front ends of a package: proven on scenes, and what the user recorded played to an emulated core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.core.files import temporary_folder
from tinyfuse.firmware.cores import cores_of
from tinyfuse.firmware.frontend_plan import FrontEnds, Part
from tinyfuse.firmware.frontend_proof import FrontEndResult, on_core, on_host, told_of
from tinyfuse.firmware.frontend_scenes import Frame, Raw, Scene, make_scenes
from tinyfuse.firmware.live_plan import Live, class_names
from tinyfuse.firmware.live_proof import Played, moments_of, play_on_core
from tinyfuse.firmware.live_twin import LiveTwin, line_of
from tinyfuse.firmware.measure import Setup, setups
from tinyfuse.firmware.package import Exported, open_package
from tinyfuse.frontend.device_picture import PictureTables

SCENES = 8


def prove(package: Exported, ready: Mapping[str, Setup], work: Path) -> tuple[FrontEndResult, ...]:
    """Run the front ends of ``package`` on scenes, here (unless its sources were changed) and on cores."""
    if package.front_ends is None:
        return ()
    scenes = make_scenes(package.front_ends, SCENES)
    return tuple(_run(package, package.front_ends, scenes, ready, work))


def _run(package: Exported, front_ends: FrontEnds, scenes: Sequence[Scene], ready: Mapping[str, Setup],
         work: Path) -> list[FrontEndResult]:
    sources, told = package.folder / "src", told_of(front_ends, package.model, scenes)
    here = None if package.changed else on_host(front_ends, sources, work / "front-host", scenes, told)
    return [*([here] if here else []), *(on_core(front_ends, sources, work / f"front-{name}", scenes, told, setup)
                                         for name, setup in ready.items())]


def play(folder: str | Path, files: Mapping[str, str | Path], core: str = "m4") -> FrontEndResult:
    """Play a recording (WAV) or picture (PNG) for each input of the package in ``folder`` to an emulated ``core``.

    ``files`` by input. The codes of inputs and outputs are compared with Python's; ``outputs`` are the network's codes.

    Raises:
        UsageError: another input, one without a file, no front end, or no emulator.
        DataError: a file that cannot be read, of another rate or size; one line says which is wanted.
    """
    package = open_package(folder)
    front_ends = package.front_ends
    names = [part.name for part in front_ends.parts] if front_ends else []
    if front_ends is None or len(names) < len(package.metadata.inputs):
        raise UsageError(f"{folder}: not every input has a front end, so nothing can be played; export again without "
                         "--frontend none")
    for name in [*files, *names]:
        if name not in names or name not in files:
            wrong = f"no file for input '{name}'" if name in names else f"input '{name}'{nearest(name, names)}"
            raise UsageError(f"{wrong}; give {', '.join(f'{one}=FILE' for one in names)}")
    scene = {part.member.name: read_raw(part, Path(files[part.name])) for part in front_ends.parts}
    setup = _setup(core)
    with temporary_folder(None, "tinyfuse") as work:
        return _run(package, front_ends, [scene], {core: setup}, work)[-1]


def play_live(package: Exported, live: Live, files: Mapping[str, str | Path], core: str = "m4") -> Played:
    """Play files to the application of ``package`` on an emulated ``core``; each line that it prints must be Python's.

    ``files`` by input; one without a file is missing. A recording flows, a picture stays.

    Raises:
        UsageError: another input, or no emulator. ParityError: another decision than Python's.
        DataError: a file that cannot be read, of another rate or size, or shorter than one decision.
    """
    parts = {part.name: part for part in (package.front_ends.parts if package.front_ends else ())}
    for name in files:
        if name not in parts:
            raise UsageError(f"input '{name}'{nearest(name, parts)}; give {', '.join(f'{one}=FILE' for one in parts)}")
    moments = moments_of(live, {part.member.name: read_raw(part, Path(files[name])) for name, part in parts.items()
                                if name in files})
    twin, classes = LiveTwin(live, package.model), class_names(live, package.metadata.provenance.get("classes") or ())
    with temporary_folder(None, "tinyfuse") as work:
        found = play_on_core(live, package.front_ends, package.folder, work, moments, _setup(core), counted=True)
    found.check([line_of(twin.decide(moment), classes) for moment in moments])
    return found


def _setup(core: str) -> Setup:
    (chosen,) = cores_of(core)
    ready = setups([chosen])
    if not ready:
        raise UsageError(f"no compiler or emulator for {chosen.name} here; pip install 'tinyfuse[emulator]'")
    return ready[chosen.name]


def read_raw(part: Part, path: Path) -> Raw:
    """Read what a microphone or camera gives from a file of sound or a picture; DataError says what is wanted."""
    return _frame(part.tables, path) if isinstance(part.tables, PictureTables) else _samples(part, path)


def _samples(part: Part, path: Path) -> np.ndarray:
    import soundfile

    wanted = part.tables.front_end.rate  # type: ignore[union-attr]
    try:
        values, rate = soundfile.read(path, dtype="float64", always_2d=True)
        samples = soundfile.read(path, dtype="int16", always_2d=True)[0]
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as sound; give a WAV file of {wanted} Hz") from error
    if rate != wanted or samples.shape[1] != 1:
        raise DataError(f"{path}: {samples.shape[1]} channels at {rate} Hz; input '{part.name}' hears one channel at "
                        f"{wanted} Hz: resample it first")
    if not np.abs(values).max(initial=0.0) <= 1:  # a comparison with NaN is false
        raise DataError(f"{path}: samples of up to {np.abs(values).max():.3g}, which 16 bits would clip; give finite "
                        "samples within a full scale of 1")
    return np.ascontiguousarray(samples[:, 0])


def _frame(tables: PictureTables, path: Path) -> Frame:
    from PIL import Image, UnidentifiedImageError

    height, width = tables.frame
    try:
        with Image.open(path) as image:
            if image.size != (width, height):
                raise DataError(f"{path}: {image.size[0]}x{image.size[1]} pixels; this package sees frames of "
                                f"{width}x{height}: resize it, or export with --frontend NAME="
                                f"{image.size[0]}x{image.size[1]}")
            grey = tables.channels == 1
            pixels = np.asarray(image.convert("L" if grey else "RGB"), np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture; give a PNG of {width}x{height} pixels") from error
    return Frame(pixels.reshape(-1), "grey" if grey else "rgb888")
