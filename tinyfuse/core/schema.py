"""The schema of result rows: one typed table for each kind, what its fields mean, and what its numbers may be."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict, get_args, get_type_hints

Executor = Literal["keras", "twin", "tflm", "litert", "litert-reference"]


class CommonRow(TypedDict):
    """What every row holds: ``seed`` is that of the training, ``data_checksum`` says which data were used."""

    key: Annotated[str, "what made the row, as 16 hexadecimal digits: a repeated run finds it and adds nothing"]
    model: Annotated[str, "the network"]
    seed: Annotated[int, "seed of the training"]
    data_checksum: Annotated[str, "which data were used"]


class ModelRow(CommonRow):
    """One (model, precision): what the file costs, and the proof that it computes what it should.

    ``bits``: mean weight bits of the layers that only one input reaches, by its name, and of "shared" ones.
    """

    kind: Literal["model"]
    precision: Annotated[str, "name of the recipe"]
    weight_bits_mean: Annotated[float, "mean bits of a weight"]
    bits: Annotated[dict[str, float],
                    'mean weight bits by input, of the layers that it alone reaches, and of "shared" ones']
    activation_bits: Annotated[float, "bits of an activation"]
    stored_bytes: Annotated[int, "size of the .tflite file"]
    packed_bytes: Annotated[int | None, "packed n-bit weights and what belongs to them"]
    arena_bytes: Annotated[int | None, "what TFLite Micro needs for its own arena"]
    firmware_arena_bytes: Annotated[int | None,
                                    "arena of the package that would be exported; null: the firmware lacks an "
                                    "operator"]
    macs: Annotated[int | None, "multiply-accumulates of one inference"]
    file: Annotated[str, "path of the .tflite in the folder of the run"]
    file_sha256: Annotated[str, "checksum of the .tflite"]
    max_abs_difference: Annotated[float | None,
                                  "largest difference of the integer model's outputs to the float network's"]
    n: Annotated[int, "samples of that comparison"]
    train_seconds: Annotated[float | None, "how long the network was trained"]


class OutcomeRow(CommonRow):
    """One evaluation of one executor on ``n`` samples: kind "clean", or "attack" at one budget.

    ``inputs``: what the network looks at, by name the width of its range of values. ``attacked``: names of the inputs
    that were attacked, in that order, and ``budget`` the epsilon of each. ``attack``: its name and every setting of it.
    ``source`` is the precision whose gradients made the inputs, "" for clean rows. ``criterion``: "union" is broken by
    anything in the suite ``profile`` at budgets up to this one, "replayed" is made for ``source`` and judged here.
    ``threat`` (see threats/code_threats.py) says what an adversary of an integer model writes: codes, or real values
    that the device rounds. ``queries``: gradients or forward passes for each sample. ``survivors`` holds "still
    classified correctly" sample by sample (see `pack_survivors`).
    """

    kind: Literal["clean", "attack"]
    precision: Annotated[str, "float, or the name of a recipe"]
    executor: Annotated[Executor, "what judged the inputs"]
    profile: Annotated[str, "name of the suite of attacks, empty for clean rows"]
    attack: Annotated[dict[str, Any], "the attack's name and every setting of it"]
    criterion: Annotated[Literal["clean", "any-iterate", "last-iterate", "union", "replayed"],
                         "clean; any-iterate; last-iterate (the literature's); union: broken by anything in the "
                         "suite, at any budget up to this one; replayed: made for another model"]
    source: Annotated[str, "the precision whose gradients made the inputs; another one than precision means transfer"]
    inputs: Annotated[dict[str, float], "what the network looks at: by name the width of its range of values"]
    attacked: Annotated[list[str], "names of the inputs that were attacked"]
    norm: Annotated[Literal["", "linf", "l2", "l2-joint", "l2-steps", "snr", "pcm", "masking", "pixels", "patch",
                            "brightness", "contrast", "rotation", "snr+pixels", "snr+patch", "pcm+pixels", "pcm+patch",
                            "masking+pixels", "masking+patch"],
                    "norm of the budget: linf, l2, l2-joint (all inputs in one ball) or l2-steps (each step of time); "
                    "of a recording snr, pcm or masking; of a frame pixels, patch, brightness, contrast or rotation; "
                    "of both at once one for each, such as snr+pixels"]
    budget: Annotated[dict[str, float], "ε of each attacked input, in its own units; of a recording: snr, the change's "
                      "length over the recording's (0.01 is 40 dB); pcm, steps of a 16-bit sample; masking, the "
                      "change's amplitude over what the recording masks (1 is 0 dB); of a frame levels of 255, "
                      "pixels of a side, per cent or degrees"]
    threat: Annotated[Literal["", "real", "codes", "naive", "wave", "frame", "wave,frame"],
                      "threat model: codes (G), real (R), naive (N), wave, frame or both (a recording, a camera's "
                      "frame, before the front end)"]
    mask: Annotated[str, "where the inputs may be changed; empty: everywhere"]
    queries: Annotated[int, "gradients or forward passes for each sample"]
    data: Annotated[str, "name of the data"]
    split: Annotated[str, "how the data were parted"]
    part: Annotated[str, "part of the data that was judged"]
    n: Annotated[int, "number of samples"]
    correct: Annotated[int, "samples still classified correctly"]
    accuracy: Annotated[float, "correct / n"]
    ci_low: Annotated[float, "lower end of the 95 % Wilson interval"]
    ci_high: Annotated[float, "upper end of the 95 % Wilson interval"]
    survivors: Annotated[str,
                         "still classified correctly, sample by sample: hexadecimal digits, eight samples a byte, the "
                         "first in the highest bit"]
    zero_gradient_share: Annotated[float | None, "share of samples whose gradient is 0 everywhere; null: not looked at"]
    seconds: Annotated[float, "how long the evaluation took"]


class ParityRow(CommonRow):
    """Executors ``a`` and ``b`` on the same codes: output values compared and differing; exact means 0.

    ``where``: "corners" are random corners of the attacked balls, where attacks left too few inputs.
    """

    kind: Literal["parity"]
    precision: Annotated[str, "name of the recipe"]
    a: Annotated[Executor, "one executor"]
    b: Annotated[Executor, "the other executor"]
    where: Annotated[Literal["clean", "adversarial", "corners"],
                     "what ran: clean inputs, adversarial ones, or random corners of the attacked balls"]
    samples: Annotated[int, "number of inputs"]
    values: Annotated[int, "output codes compared"]
    differing: Annotated[int, "output codes that differ; exact means 0"]
    max_abs: Annotated[int, "largest difference in codes"]
    argmax_differing: Annotated[int, "inputs with another class"]


class ProbeRow(CommonRow):
    """A measurement that a check needs and that is no accuracy; ``name`` is one of those in checks/run_checks.py."""

    kind: Literal["probe"]
    precision: Annotated[str, "float, or the name of a recipe"]
    executor: Annotated[Executor, "what was measured"]
    name: Annotated[str, "which measurement"]
    value: Annotated[float, "what was measured"]
    n: Annotated[int, "number of samples"]
    detail: Annotated[str, "where, in words"]


class FirmwareRow(CommonRow):
    """The exported firmware of one integer model on one emulated ``core``: what it costs, and whether it is exact.

    It was planned for ``optimize``, built by ``compiler`` and run by ``emulator``. ``flash_bytes`` are code, packed
    weights and tables together; ``ram_bytes`` the arena of the firmware and the high-water mark of its stack;
    ``instructions`` the most that one inference took. ``differing`` of the ``values`` output codes on ``samples``
    inputs are not TFLite Micro's. ``runtime_sha256`` names the sources that made it, ``file_sha256`` the ``.tflite``.
    """

    kind: Literal["firmware"]
    precision: Annotated[str, "name of the recipe"]
    core: Annotated[str, "the emulated core"]
    optimize: Annotated[str, "what the firmware was planned for"]
    compiler: Annotated[str, "what built it"]
    emulator: Annotated[str, "what ran it"]
    flash_bytes: Annotated[int, "code, packed weights and tables together"]
    code_bytes: Annotated[int, "code"]
    weight_bytes: Annotated[int, "packed weights"]
    table_bytes: Annotated[int, "tables"]
    ram_bytes: Annotated[int, "arena and stack"]
    arena_bytes: Annotated[int, "arena of the firmware"]
    stack_bytes: Annotated[int, "high-water mark of the stack"]
    instructions: Annotated[int, "the most that one inference took"]
    samples: Annotated[int, "number of inputs"]
    values: Annotated[int, "output codes compared with TFLite Micro"]
    differing: Annotated[int, "output codes that differ; exact means 0"]
    file_sha256: Annotated[str, "checksum of the .tflite"]
    runtime_sha256: Annotated[str, "checksum of the sources that made the firmware"]


class SensitivityRow(CommonRow):
    """What one unit of the search alone does to the network at ``bits``, all others at 8; "" and 8: all at 8.

    On ``n`` training samples, and on ``attacked_samples`` ones drawn anew with each input attacked alone by PGD of
    ``steps`` steps at L-inf ``epsilon``, threat model G, on the twin; the criteria: see search/sensitivity.py.
    """

    kind: Literal["sensitivity"]
    unit: Annotated[str, "layer or group of layers; empty: the network with 8 bits everywhere"]
    bits: Annotated[int, "its weight bits, all others having 8"]
    mse: Annotated[float, "mean squared error of the logits against the float network"]
    kl: Annotated[float, "divergence of the class probabilities"]
    cosine: Annotated[float, "1 minus the cosine of the logits"]
    margin: Annotated[float, "what the margin of the right class loses"]
    attacked_loss: Annotated[dict[str, float], "by input, the loss that PGD reaches with it attacked alone"]
    n: Annotated[int, "clean training samples"]
    attacked_samples: Annotated[int, "attacked training samples"]
    steps: Annotated[int, "steps of PGD"]
    epsilon: Annotated[float | dict[str, float], "budget of PGD, for every input or by input"]


class HessianRow(CommonRow):
    """Trace of the Hessian of the mean cross-entropy over one unit's weights, by ``probes`` sign vectors."""

    kind: Literal["hessian"]
    unit: Annotated[str, "layer or group of layers"]
    trace: Annotated[float, "trace of the Hessian of the mean cross-entropy over its weights"]
    standard_error: Annotated[float, "of the estimate"]
    probes: Annotated[int, "random sign vectors"]
    weights: Annotated[int, "weights of the unit"]
    n: Annotated[int, "training samples"]


class TrialRow(CommonRow):
    """One candidate recipe, converted and judged on ``n`` held-out samples of ``part`` on the twin, threat model G.

    ``recipe`` is its TOML table as JSON. ``survivors`` hold "still correct" sample by sample (`pack_survivors`):
    "clean", and by mode of attack in the worst case over ``profile`` with ``steps`` steps at L-inf ``epsilon``.
    ``packed_bytes``: packed weights, biases and requantisation constants; ``ram_bytes``: the arena of the firmware.
    """

    kind: Literal["trial"]
    precision: Annotated[str, "name of the recipe"]
    recipe: Annotated[str, "the recipe as JSON"]
    packed_bytes: Annotated[int, "packed weights, biases and requantisation constants"]
    stored_bytes: Annotated[int, "size of the .tflite file"]
    ram_bytes: Annotated[int, "arena of the firmware"]
    macs: Annotated[int, "multiply-accumulates of one inference"]
    profile: Annotated[str, "name of the suite of attacks"]
    steps: Annotated[int, "steps of its iterated attacks"]
    epsilon: Annotated[float | dict[str, float], "L-inf budget of each attacked input, or by input"]
    part: Annotated[str, "part of the data that was judged"]
    n: Annotated[int, "number of samples"]
    survivors: Annotated[dict[str, str], "clean, and by mode of attack: still correct, sample by sample"]
    auc: Annotated[dict[str, float],
                   "of an autoencoder, clean and by mode of attack: share of pairs of an anomaly and a normal sample "
                   "whose errors are in order"]
    seconds: Annotated[float, "how long it took"]


class AnalysisRow(CommonRow):
    """One figure that an analysis found of one model; docs/rows.md says what each ``quantity`` means.

    ``of``: what it is about, such as {"input": "mic", "class": "yes"}. ``value`` is null where there is none, such as
    the density of a class without spread. ``each`` goes sample by sample, in the order of the judged samples. The last
    row of an analysis has the quantity "seconds": how long it took.
    """

    kind: Literal["analysis"]
    precision: Annotated[str, "float, or the name of a recipe"]
    executor: Annotated[Executor, "what was analysed"]
    analysis: Annotated[str, "which analysis"]
    settings: Annotated[dict[str, Any], "every setting of it"]
    quantity: Annotated[str, "what was measured; all are listed below"]
    of: Annotated[dict[str, str], "what the figure is about: input, class, layer, ... by name"]
    value: Annotated[float | None, "what was measured; null: there is none"]
    low: Annotated[float | None, "lower end of its 95 % interval, where there is one"]
    high: Annotated[float | None, "upper end of its 95 % interval, where there is one"]
    each: Annotated[list[float | None] | None, "the same for each sample, in their order, where that makes sense"]
    status: Annotated[Literal["measured", "estimate", "certified"],
                      "certified is a proof; an estimate may err to the side that looks safe"]
    n: Annotated[int, "number of samples"]


class ClaimRow(CommonRow):
    """A claim of a study, written before anything was measured; ``model`` is the study, ``seed`` that of the data."""

    kind: Literal["claim"]
    claim: Annotated[str, "name of the claim"]
    statement: Annotated[str, "what the paper states"]
    place: Annotated[str, "where the paper states it"]
    rule: Annotated[str, "how the verdict is made"]
    sha256: Annotated[str, "checksum of statement, contrasts and margin: everything that decides the verdict"]


class FailedRow(CommonRow):
    """One (model, precision) that could not be trained, converted or evaluated; reports keep showing it."""

    kind: Literal["failed"]
    precision: Annotated[str, "name of the recipe"]
    stage: Annotated[str, "where it failed"]
    reason: Annotated[str, "why"]


_TABLES = (ModelRow, OutcomeRow, ParityRow, ProbeRow, FirmwareRow, SensitivityRow, HessianRow, TrialRow, AnalysisRow,
           ClaimRow, FailedRow)
SCHEMAS: dict[str, dict[str, Any]] = {
    kind: hints for table in _TABLES for hints in [get_type_hints(table)] for kind in get_args(hints["kind"])}
MEANINGS: dict[str, dict[str, str]] = {
    kind: {name: hint.__metadata__[0] for name, hint in get_type_hints(table, include_extras=True).items()
           if hasattr(hint, "__metadata__")}
    for table in _TABLES for kind in get_args(get_type_hints(table)["kind"])}
"""By kind of row, what each field but "kind" means."""
ALL_FIELDS = sorted({name for schema in SCHEMAS.values() for name in schema})
COUNTS = ("stored_bytes", "packed_bytes", "arena_bytes", "firmware_arena_bytes", "flash_bytes", "code_bytes",
          "weight_bytes", "table_bytes", "ram_bytes", "stack_bytes", "macs", "instructions", "n", "steps", "correct",
          "seconds", "train_seconds", "epsilon", "queries", "samples", "values", "differing", "max_abs",
          "argmax_differing", "attacked_samples", "standard_error", "probes", "weights", "budget", "inputs", "bits")
SHARES = ("accuracy", "ci_low", "ci_high", "zero_gradient_share")
