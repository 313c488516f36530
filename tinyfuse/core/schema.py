"""The schema of result rows: one typed table for each kind, and what its numbers may be."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_args, get_type_hints

Executor = Literal["keras", "twin", "tflm", "litert", "litert-reference"]


class CommonRow(TypedDict):
    """What every row holds: ``seed`` is that of the training, ``data_checksum`` says which data were used."""

    key: str
    model: str
    seed: int
    data_checksum: str


class ModelRow(CommonRow):
    """One (model, precision): what the file costs, and the proof that it computes what it should.

    ``bits``: mean weight bits of the layers that only one input reaches, by its name, and of "shared" ones.
    """

    kind: Literal["model"]
    precision: str
    weight_bits_mean: float
    bits: dict[str, float]
    activation_bits: float
    stored_bytes: int
    packed_bytes: int | None
    arena_bytes: int | None
    macs: int | None
    file: str
    file_sha256: str
    max_abs_difference: float | None
    n: int
    train_seconds: float | None


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
    precision: str
    executor: Executor
    profile: str
    attack: dict[str, Any]
    criterion: Literal["clean", "any-iterate", "last-iterate", "union", "replayed"]
    source: str
    inputs: dict[str, float]
    attacked: list[str]
    norm: Literal["", "linf", "l2"]
    budget: dict[str, float]
    threat: Literal["", "real", "codes", "naive"]
    mask: str
    queries: int
    data: str
    split: str
    part: str
    n: int
    correct: int
    accuracy: float
    ci_low: float
    ci_high: float
    survivors: str
    zero_gradient_share: float | None
    seconds: float


class ParityRow(CommonRow):
    """Executors ``a`` and ``b`` on the same codes: output values compared and differing; exact means 0.

    ``where``: "corners" are random corners of the attacked balls, where attacks left too few inputs.
    """

    kind: Literal["parity"]
    precision: str
    a: Executor
    b: Executor
    where: Literal["clean", "adversarial", "corners"]
    samples: int
    values: int
    differing: int
    max_abs: int
    argmax_differing: int


class ProbeRow(CommonRow):
    """A measurement that a check needs and that is no accuracy; ``name`` is one of those in checks/run_checks.py."""

    kind: Literal["probe"]
    precision: str
    executor: Executor
    name: str
    value: float
    n: int
    detail: str


class FirmwareRow(CommonRow):
    """The exported firmware of one integer model on one emulated ``core``: what it costs, and whether it is exact.

    It was planned for ``optimize``, built by ``compiler`` and run by ``emulator``. ``flash_bytes`` are code, packed
    weights and tables together; ``ram_bytes`` the arena of the firmware and the high-water mark of its stack;
    ``instructions`` the most that one inference took. ``differing`` of the ``values`` output codes on ``samples``
    inputs are not TFLite Micro's. ``runtime_sha256`` names the sources that made it, ``file_sha256`` the ``.tflite``.
    """

    kind: Literal["firmware"]
    precision: str
    core: str
    optimize: str
    compiler: str
    emulator: str
    flash_bytes: int
    code_bytes: int
    weight_bytes: int
    table_bytes: int
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int
    instructions: int
    samples: int
    values: int
    differing: int
    file_sha256: str
    runtime_sha256: str


class SensitivityRow(CommonRow):
    """What one unit of the search alone does to the network at ``bits``, all others at 8; "" and 8: all at 8.

    On ``n`` training samples, and on ``attacked_samples`` ones drawn anew with each input attacked alone by PGD of
    ``steps`` steps at L-inf ``epsilon``, threat model G, on the twin; the criteria: see search/sensitivity.py.
    """

    kind: Literal["sensitivity"]
    unit: str
    bits: int
    mse: float
    kl: float
    cosine: float
    margin: float
    attacked_loss: dict[str, float]
    n: int
    attacked_samples: int
    steps: int
    epsilon: float


class HessianRow(CommonRow):
    """Trace of the Hessian of the mean cross-entropy over one unit's weights, by ``probes`` sign vectors."""

    kind: Literal["hessian"]
    unit: str
    trace: float
    standard_error: float
    probes: int
    weights: int
    n: int


class TrialRow(CommonRow):
    """One candidate recipe, converted and judged on ``n`` held-out samples of ``part`` on the twin, threat model G.

    ``recipe`` is its TOML table as JSON. ``survivors`` hold "still correct" sample by sample (`pack_survivors`):
    "clean", and by mode of attack in the worst case over ``profile`` with ``steps`` steps at L-inf ``epsilon``.
    ``packed_bytes``: packed weights, biases and requantisation constants; ``ram_bytes``: the arena of the firmware.
    """

    kind: Literal["trial"]
    precision: str
    recipe: str
    packed_bytes: int
    stored_bytes: int
    ram_bytes: int
    macs: int
    profile: str
    steps: int
    epsilon: float
    part: str
    n: int
    survivors: dict[str, str]
    seconds: float


class FailedRow(CommonRow):
    """One (model, precision) that could not be trained, converted or evaluated; reports keep showing it."""

    kind: Literal["failed"]
    precision: str
    stage: str
    reason: str


SCHEMAS: dict[str, dict[str, Any]] = {
    kind: hints for table in (ModelRow, OutcomeRow, ParityRow, ProbeRow, FirmwareRow, SensitivityRow, HessianRow,
                              TrialRow, FailedRow)
    for hints in [get_type_hints(table)] for kind in get_args(hints["kind"])}
ALL_FIELDS = sorted({name for schema in SCHEMAS.values() for name in schema})
COUNTS = ("stored_bytes", "packed_bytes", "arena_bytes", "flash_bytes", "code_bytes", "weight_bytes", "table_bytes",
          "ram_bytes", "stack_bytes", "macs", "instructions", "n", "steps", "correct", "seconds", "train_seconds",
          "epsilon", "queries", "samples", "values", "differing", "max_abs", "argmax_differing", "attacked_samples",
          "standard_error", "probes", "weights", "budget", "inputs", "bits")
SHARES = ("accuracy", "ci_low", "ci_high", "zero_gradient_share")
