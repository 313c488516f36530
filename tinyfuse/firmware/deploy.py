"""Write a firmware package from a ``.tflite``: what ``tinyfuse export`` does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.core.errors import InputsError, UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.firmware import boards
from tinyfuse.firmware.c_names import identifier_of
from tinyfuse.firmware.certified import Certified
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.frontend_plan import FrontEnds, front_ends_asked, read_asked
from tinyfuse.firmware.host import judge_on_host
from tinyfuse.firmware.live_plan import APPLICATIONS, Live, live_of
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.firmware.metadata import FILE, read_metadata
from tinyfuse.firmware.operators.plain_conv import ExactConv
from tinyfuse.firmware.package import Package, check_free, write
from tinyfuse.firmware.program import Program, program_of
from tinyfuse.firmware.toolchain import host_compiler
from tinyfuse.firmware.vectors import make_vectors
from tinyfuse.integer.model import IntegerModel, load_model, random_codes
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.tflite.names import display

if TYPE_CHECKING:
    from tinyfuse.data import Dataset


def export(model: str | Path, out: str | Path, *, dataset: Dataset | None = None, name: str | None = None,
           optimize: str = "ram", vectors: int = 200, board: str | None = None, force: bool = False,
           seed: int = 0, output: str | None = None, keep_constant: bool = False,
           frontend: str | None = None, application: str | None = None,
           certified: Certified | None = None, cores: int = 1) -> Path:
    """Write the firmware package of a ``.tflite`` as folder ``out`` and return its path.

    ``dataset`` gives the ``vectors`` test vectors; None: random codes. ``name`` (default: the file's) is the prefix of
    every C symbol; ``optimize`` is "ram", "speed" or "size"; ``force`` replaces an older package; ``output`` is the one
    of several outputs that names the class (default: the first). Channels that are constant whatever goes in are
    removed, unless ``keep_constant``. ``frontend``: None adds the front ends that the table beside the model has, for
    frames of the input's size; "none" adds none; "camera=160x120" says what a camera gives; "fixed" computes
    sounds in whole numbers, as is done for a ``board`` without floating point, "float" does not. ``application``:
    "live" adds ``examples/live``, which reads sensors and votes; it takes the training means of ``dataset``.
    ``certified`` travels with the package. ``cores``: 2 shares the network among two cores of one chip, where it has
    branches that share no input; verify runs both halves in either order.
    The same model, data and options give the same bytes.

    Raises:
        UsageError: an existing folder, no identifier, a ``board`` that the model does not fit or without so many
            ``cores``, or a network that two cores cannot share.
        ModelError: an operator or type without a kernel, or inputs that the data does not have.
        ParityError: the C code gives other codes than TFLite Micro for a vector; nothing is written then.
    """
    path, folder = Path(model), Path(out)
    check_free(folder, force=force)
    check_asked(frontend, application, data=dataset is not None)
    check_cores(board, cores)
    loaded = load_model(path, output=output)
    prefix = name or identifier_of(path.stem)
    program, beside = program_of(loaded, prefix, optimize, keep_constant=keep_constant,
                                 cores=cores), table_of(path, loaded)
    codes, source = _test_codes(path, loaded, beside, dataset, vectors, seed)
    arithmetic = "float" if board is None or boards.board(board).has_float else "fixed"
    front_ends = front_ends_asked(frontend, program, [port.name for port in loaded.inputs], beside, arithmetic)
    live = _live(application, path, loaded, program, front_ends, dataset)
    found = Package(loaded, program, make_vectors(loaded, codes), source, beside, keep_constant, front_ends, live,
                    certified)
    if board is not None:
        where, table = boards.board(board), found.metadata
        flash, ram = table.flash_bytes_about, table.ram_bytes_about
        if not where.fits(flash, ram):
            has = f"{where.flash_kib * boards.KIB} and {where.ram_kib * boards.KIB}"
            raise UsageError(f"{prefix} does not fit {where.title}: it needs about {flash} bytes of flash and {ram} of "
                             f"RAM; the board has {has}. Take fewer bits, a smaller model, or another board")
    judge_on_host(program, found.vectors)
    return write(found, folder, force=force)


def check_asked(frontend: str | None, application: str | None, *, data: bool) -> None:
    """Raise UsageError for what no model can be exported with; ``data``: whether there will be any."""
    read_asked(frontend)
    if application is not None and application not in APPLICATIONS:
        raise UsageError(f"application '{application}'{nearest(application, APPLICATIONS)}; allowed: "
                         f"{', '.join(APPLICATIONS)}")
    if application is not None and not data:
        raise UsageError("the application live needs the training mean of each input; give the data that the network "
                         "was trained on with --data, and no --random")


def check_cores(board: str | None, cores: int) -> None:
    """Raise UsageError if ``board`` has fewer ``cores`` of one kind."""
    if board is not None and (where := boards.board(board)).cores < cores:
        able = ", ".join(one.name for one in boards.BOARDS.values() if one.cores >= cores)
        raise UsageError(f"{where.title} has {where.cores} core of its kind, {cores} are asked for; boards with as "
                         f"many: {able or 'none'}")


def _live(application: str | None, path: Path, model: IntegerModel, program: Program, front_ends: FrontEnds | None,
          dataset: Dataset | None) -> Live | None:
    """Plan the application that was asked for."""
    if application is None or dataset is None:
        return None
    dataset = _scaled(dataset, table_of(path, model), path)
    means = dataset.train.means([port.name for port in model.inputs if port.name in dataset.train.inputs])
    codes = model.codes_of({name: one[None] for name, one in means.items()})
    return live_of(model, program, front_ends, codes, dataset.name)


def _scaled(dataset: Dataset, beside: Mapping[str, Any], path: Path) -> Dataset:
    """Scale ``dataset`` as in training where it is the same. For vectors and means others will do as they are."""
    data = beside.get("data")
    same = isinstance(data, Mapping) and data.get("checksum") == dataset.checksum
    return dataset.as_trained(beside, str(path)) if same else dataset


def _test_codes(path: Path, model: IntegerModel, beside: Mapping[str, Any], dataset: Dataset | None, count: int,
                seed: int) -> tuple[dict[str, np.ndarray], str]:
    """``count`` input codes and in words where they come from."""
    if dataset is None:
        return random_codes(model, count, seed=seed), f"uniform random codes, seed {seed}"
    dataset = _scaled(dataset, beside, path)
    samples = dataset.test.balanced(count, seed=seed)
    return model.codes_of(samples.inputs), f"test samples of {dataset.name}, seed {seed}"


def judged_line() -> str:
    """Say in one line whether packages that are exported on this machine have been run on it."""
    return ("its C code gives TFLite Micro's codes for all its vectors on this machine" if host_compiler() else
            "its C code has not been run, for this machine has no C compiler (gcc, clang or cc); run `tinyfuse verify`")


def named_lines(folder: str | Path, model: str | Path) -> list[str]:
    """Say in lines what of ``model`` has another name in C than it has itself."""
    table = read_metadata(Path(folder) / FILE)
    # The recipe stands behind two underscores in the names of our own files.
    pairs = [(Path(model).stem.replace("__", "_"), table.name),
             *((one.tensor, one.name) for one in (*table.inputs, *table.outputs))]
    renamed = [f"'{display(given)}' is {name}" for given, name in pairs if given != name]
    return [f"in C {', '.join(renamed)} (--name NAME gives the network another name)"] if renamed else []


def removed_lines(folder: str | Path) -> list[str]:
    """Say in lines what of the network is not computed, which sums can leave 32 bits, and which core does what."""
    table = read_metadata(Path(folder) / FILE)
    model = load_model(Path(folder) / "extras" / f"{table.name}.tflite")
    program = program_of(model, table.name, table.optimize, keep_constant=table.keep_constant_channels,
                         cores=table.cores)
    lines = [f"'{display(layer.name)}', channel {layer.leaves[0]}: sums up to {layer.leaves[1]} can leave 32 bits; its "
             "kernel is slow and wraps around as TFLite Micro's does. Give its output a larger scale, or a smaller bias"
             for layer in program.layers if isinstance(layer, ExactConv) and layer.leaves is not None]
    if program.left:
        gone = sum(model.graph.tensors[index].shape[-1] - len(left) for index, left in program.left.items())
        lines.append(f"{gone} constant channels (or without effect) are removed, the codes stay the same; "
                     f"{table.macs} multiply-accumulates are left (--keep-constant-channels computes all)")
    if program.schedule:
        names = {port.tensor: port.name for port in program.inputs}
        halves = [" and ".join(names[tensor] for tensor in half) for half in program.schedule.inputs]
        shares = [f"{amount / sum(program.schedule.work):.0%}" for amount in program.schedule.work]
        lines.append(f"two cores: core 0 takes {halves[0]}, about {shares[0]} of the work, core 1 takes {halves[1]}, "
                     f"{shares[1]}; the join behind them {shares[2]} (`tinyfuse verify` counts instructions)")
    return lines


def fits_data(model: str | Path, dataset: Dataset) -> bool:
    """Tell whether ``dataset`` has the inputs of ``model``."""
    try:
        load_model(model).codes_of(dataset.test.take(slice(1)).inputs)
    except InputsError:
        return False
    return True


def table_of(path: Path, model: IntegerModel) -> Mapping[str, Any]:
    """Read the table that ``tinyfuse quantize`` left beside the ``.tflite``, if it is of these very bytes."""
    return read_integer_table(path, sha256_hex(model.source))


def describe(folder: str | Path, board: str | None = None) -> list[str]:
    """Say in lines what a package needs; of ``board`` whether it fits, and its time if that can be counted here."""
    table = read_metadata(Path(folder) / FILE)
    lines = [f"arena {table.arena_bytes} bytes (TFLite Micro: {table.tflm_arena_bytes}), packed weights "
             f"{table.packed_weight_bytes} bytes (.tflite: {table.tflite_bytes})",
             f"with code and stack about {table.flash_bytes_about} bytes of flash and {table.ram_bytes_about} of "
             f"RAM; `tinyfuse verify {shlex.quote(str(folder))}` says exactly"]
    if board is None:
        return lines
    where = boards.board(board)
    ready, counted = setups([CORES[where.timing.counted_on]]) if where.timing else {}, None
    if ready:
        model = load_model(Path(folder) / "extras" / f"{table.name}.tflite")
        zeros = {port.name: np.zeros((1, *port.shape[1:]), port.dtype) for port in model.inputs}
        (cost,) = measure(model, zeros, list(ready.values()), table.optimize,
                           keep_constant=table.keep_constant_channels).values()
        counted = cost.instructions
    return [*lines, f"{where.title}: {where.verdict(table.flash_bytes_about, table.ram_bytes_about)}; "
                    f"{where.estimate(counted)}"]
