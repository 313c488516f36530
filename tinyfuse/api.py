"""The steps of the main job, one call each: what the command line and a Python user do.

Every step takes and leaves files, so that each can be run on its own: ``train`` a network, ``convert`` it,
``attack`` either with its own gradients, ``select`` its bit widths, ``export`` and ``verify`` its firmware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import save_arrays

if TYPE_CHECKING:
    import numpy as np

    from tinyfuse.analyses import AnalysisSubject
    from tinyfuse.analyses.certificates.asked import Certified
    from tinyfuse.data import Dataset
    from tinyfuse.report.analysed import Analysed
    from tinyfuse.report.notebook import AttackRows, ChosenBits, ComparedExecutors, SmallestBudgets, VerifiedCores
    from tinyfuse.study.attack import AttackTask
    from tinyfuse.study.smallest_changes import SmallestChanges

LARGEST_CODES = 26


def train(name: str, dataset: Dataset, *, out: str | Path, output: str = "", signature: str = "",
          **settings: Any) -> Path:
    """Train a network and return the path of its ``.keras`` file.

    ``name``: one of the zoo, MODULE:FUNCTION (a function from the data set to a ``tf_keras`` or Keras model), or the
    path of a trained network that goes on; ``output`` and ``signature`` choose one of several. ``settings`` are those
    of :class:`tinyfuse.nn.train.TrainConfig`: epochs, batch_size, learning_rate, seed, objective, patience,
    class_weights, augment. An interrupted run goes on where it stopped; a network that is already there is returned as
    it is. A network that does not listen to one of its inputs is said to.
    """
    from tinyfuse.nn import zoo
    from tinyfuse.nn.train import TrainConfig, steps_per_epoch
    from tinyfuse.nn.train_or_load import train_or_load
    from tinyfuse.nn.train_own import train_own
    from tinyfuse.nn.zoo.user import Choice
    from tinyfuse.study.stages.alone import collapse_of

    config = TrainConfig(**settings)
    with progress(f"training {name}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        if name not in zoo.names():
            network = train_own(name, dataset, config, out, choice=Choice(output, signature), tick=advance,
                                report=console.print)
        else:
            network = train_or_load(name, dataset, config, out, tick=advance, report=console.print)
    if said := collapse_of(network, dataset):
        console.print(said, style="bold red", markup=False)
    return network.path


def convert(network: str | Path, recipe: str | Path, dataset: Dataset, **options: Any) -> Path:
    """Convert a ``.keras`` network with one ``recipe``; ``options`` are those of :func:`convert_many`."""
    return convert_many(network, [recipe], dataset, **options)[0]


def convert_many(network: str | Path, recipes: Sequence[str | Path], dataset: Dataset, *,
                 out: str | Path | None = None, calibration_samples: int = 200, proof_samples: int = 16,
                 qat_epochs: int = 2, output: str = "", signature: str = "") -> list[Path]:
    """Convert a network with each of ``recipes`` (``w6``, ``camera6-mic9-shared8``, a TOML path).

    ``network``: a ``.keras`` that was trained here, or anybody's ``.keras``, ``.h5``, SavedModel or float ``.tflite``;
    ``output`` and ``signature`` choose one of several of those. Returns the paths of the ``.tflite`` files; each is
    only written once it has passed its proof. ``dataset`` must be the one the network was trained on: activation ranges
    come from its training part. For a recipe with ``qat`` the network goes on training there first, ``qat_epochs``
    epochs, and is kept as ``<model>-<recipe>.keras`` beside the ``.tflite``; interrupted, that goes on where it
    stopped.
    """
    from tinyfuse.quantize.recipe import read_recipe
    from tinyfuse.study.open_subject import network_and_data
    from tinyfuse.study.rows import SAMPLE_SEED
    from tinyfuse.study.stages.convert import Converter

    wanted = [read_recipe(recipe) for recipe in recipes]
    found, dataset = network_and_data(Path(network), dataset, output, signature)
    converter = Converter(found, dataset, Path(out or Path(network).parent), calibration_samples,
                          dataset.test.balanced(proof_samples, seed=SAMPLE_SEED), qat_epochs)
    return [converter.publish(recipe).path for recipe in wanted]


def attack(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
           epsilon: float | Mapping[str, float] | None = None, codes: int | None = None, norm: str | None = None,
           threat: str = "codes", mask: Mapping[str, np.ndarray] | None = None, samples: int = 100,
           executors: Sequence[str] | None = None, source: str | Path | None = None, ensemble: bool = False,
           save: str | Path | None = None, output: str = "", signature: str = "", around_memory: bool = False,
           **settings: Any) -> AttackRows:
    """Attack a float network or a ``.tflite`` with its own gradients; return result rows.

    ``modality``: "all" inputs, or names separated by commas. ``epsilon`` is one budget, or one for each attacked input,
    in its own units (default: 0.03 of the range of its values); ``codes`` is a budget in whole codes of an integer
    model instead. ``norm``: "linf", "l2", "l2-joint" (one ball for all attacked inputs, in units of their budgets) or
    "l2-steps"; by default the first that the attack is defined for. ``threat`` (integer models): "codes", "real" or
    "naive", see threats/code_threats.py. ``settings`` are those of the attack: steps, step_size, loss, random_start,
    restarts, seed, queries, ...

    A ``.tflite`` needs no network: its twin is attacked, and ``executors`` judge the same codes again (default: TFLite
    Micro, where it is installed); with ``tflm`` among them, a single differing code is a :class:`ParityError`. With
    ``source``, or the threat "naive", the inputs are made on that ``.keras`` file instead (default: the one beside it)
    and replayed. ``ensemble`` takes the mean of the gradients of both; the attack "diva" looks for inputs that the
    integers alone get wrong. "universal" is one perturbation made on ``train_samples`` of the training part. ``save``:
    an ``.npz`` file for ``made``. ``output`` and ``signature`` choose one of several of somebody's float network.
    ``around_memory``: gradients take the memory of a network trained with "exfmem" for the identity (BPDA).
    Recordings are attacked by :func:`attack_wave`.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.study.attack import AttackTask
    from tinyfuse.study.check_attack import check_attack

    path, plan = Path(model), attack_of(attack, settings)
    norm = plan.norm_or_default(norm)
    executors = _default_executors() if executors is None else executors
    check_attack(path, plan, threat, executors, source, ensemble, codes)
    task = AttackTask(plan, dataset, samples, modality, epsilon, codes, norm, threat, mask or {}, around_memory)
    return _attacked(path, task, executors, source, ensemble or plan.needs_float, save, (output, signature))


def profile(model: str | Path, dataset: Dataset, suite: str = "standard", *, modality: str = "all",
            epsilon: float | Mapping[str, float] | None = None, norm: str = "linf", threat: str = "codes",
            steps: int | None = None, samples: int = 100, save: str | Path | None = None, output: str = "",
            signature: str = "", around_memory: bool = False) -> AttackRows:
    """Run a ``suite`` of attacks ("paper", "standard", "strong") on a ``.keras`` network or a ``.tflite``; return rows.

    A sample is robust if nothing in the suite breaks it, in ``modality`` or in one that changes less. ``steps``: those
    of the iterated attacks, if not the profile's own (the paper's are fixed). ``save``: an ``.npz`` file for ``made``.
    ``around_memory``: as of :func:`attack`.
    """
    from tinyfuse.attacks.profiles import profile as profile_named
    from tinyfuse.study.attack import AttackTask

    plan = profile_named(suite)
    plan.check_norm(norm)
    plan = plan if steps is None else plan.with_steps(steps)
    task = AttackTask(plan, dataset, samples, modality, epsilon, None, norm, threat, around_memory=around_memory)
    return _attacked(Path(model), task, (), None, False, save, (output, signature))


def _attacked(path: Path, task: AttackTask, executors: Sequence[str], source: str | Path | None, together: bool,
              save: str | Path | None, choice: tuple[str, str]) -> AttackRows:
    """Run ``task`` on the file at ``path``; ``together``: with the gradients of its float network as well."""
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.report.notebook import AttackRows
    from tinyfuse.study.attack import attack_model, attack_network, replay_on_model
    from tinyfuse.study.check_attack import check_saved
    from tinyfuse.study.open_subject import model_and_data, network_and_data, source_of

    check_saved(save)
    if task.around_memory and not is_network(path) and (together or source is None):
        raise UsageError(f"{path}: gradients go around the memory of a float network; give that, or as the --source of "
                         "inputs that are replayed on these integers")
    if is_network(path):
        network, dataset = network_and_data(path, task.dataset, *choice)
        result = attack_network(network, replace(task, dataset=dataset))
    else:
        own, dataset = model_and_data(path, task.dataset, choice[0])
        task = replace(task, dataset=dataset)
        if together or source or task.world == "naive":
            network, _ = network_and_data(source_of(path, source), dataset)
            result = (attack_model(own, task, executors, beside=network) if together else
                      replay_on_model(own, network, task, executors))
        else:
            result = attack_model(own, task, executors)
    if save is not None:
        save_arrays(save, result.made)
    return AttackRows.of(result)


def attack_wave(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
                epsilon: float | str | Mapping[str, float | str] | None = None, norm: str | None = None,
                samples: int = 100, air: str | None = None, frontend: str = "float",
                executors: Sequence[str] | None = None, source: str | Path | None = None,
                save: str | Path | None = None, out: str | Path | None = None, output: str = "", signature: str = "",
                **settings: Any) -> AttackRows:
    """Attack the recordings behind an input of a float network or a ``.tflite``; return result rows.

    The change is made through the gradient of the input's front end, which the table beside the model records, and is
    judged in 16-bit samples by the chain that is deployed: C's arithmetic of the front end and the integers, or librosa
    and the float network. ``modality`` names the input ("all": the only sound). ``epsilon``: "40dB" (below the
    recording, the default), "8steps" (of a 16-bit sample), or numbers in the unit of ``norm``: "snr", "pcm", "masking".
    ``air``: random conditions that the change has to work in, such as "shift=20,room=0.3,noise=25", see
    :mod:`tinyfuse.attacks.wave.air`; a recording counts as broken if most conditions that the attack did not see are.
    ``frontend``: arithmetic of the front end that a ``.tflite``'s package is exported with, "float" or "fixed".
    ``source``: the float network that makes the waves for a ``.tflite``. With a folder ``out`` the rows go to its
    ``results.jsonl`` and some recordings, as WAV files, to its ``waves``; a report plays them. Others as of
    :func:`attack`.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.attacks.wave.air import read_air
    from tinyfuse.core.results import ResultStore
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.report.notebook import AttackRows
    from tinyfuse.study.check_attack import check_wave_attack
    from tinyfuse.study.microphones import open_microphone
    from tinyfuse.study.saved_waves import keep_waves
    from tinyfuse.study.wave_attack import WaveTask, attack_recordings
    from tinyfuse.threats.modes import one_input
    from tinyfuse.threats.wave_budgets import read_wave_budget

    name, budget = read_wave_budget(epsilon, norm)
    plan = attack_of(attack, settings)
    check_wave_attack(Path(model), plan, executors or (), source, save, budget.norm)
    heard, dataset = open_microphone(Path(model), dataset, one_input(name, modality), source, (output, signature),
                                     frontend)
    others = () if is_network(Path(model)) else _default_executors() if executors is None else executors
    task = WaveTask(plan, dataset, samples, budget, read_air(air))
    result = attack_recordings(heard, task, others, ResultStore(None if out is None else Path(out) / "results.jsonl"))
    if save is not None:
        save_arrays(save, result.made)
    if out is not None:
        keep_waves(out, heard, task, result)
    return AttackRows.of(result)


def minimal_wave(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
                 largest: float | str | Mapping[str, float | str] | None = None, norm: str | None = None,
                 samples: int = 100, frontend: str = "float", source: str | Path | None = None,
                 **settings: Any) -> SmallestChanges:
    """Find, for each test recording, the smallest change (up to ``largest``) that fools a network or a ``.tflite``.

    Budgets are tried by 1 dB, or in steps of 16-bit samples, by default up to 0 dB or 4096 steps; see
    :func:`attack_wave`.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.study.check_attack import check_wave_attack
    from tinyfuse.study.microphones import open_microphone
    from tinyfuse.study.wave_attack import WaveTask
    from tinyfuse.study.wave_minimal import minimal_wave as search
    from tinyfuse.threats.modes import one_input
    from tinyfuse.threats.wave_budgets import LARGEST, read_wave_budget

    name, budget = read_wave_budget(largest, norm, LARGEST)
    plan = attack_of(attack, settings)
    check_wave_attack(Path(model), plan, (), source, None, budget.norm)
    heard, dataset = open_microphone(Path(model), dataset, one_input(name, modality), source, arithmetic=frontend)
    return search(heard, WaveTask(plan, dataset, samples, budget))


def attack_frame(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
                 epsilon: float | str | Mapping[str, float | str] | None = None, norm: str | None = None,
                 samples: int = 100, camera: tuple[int, int] | None = None, executors: Sequence[str] | None = None,
                 save: str | Path | None = None, out: str | Path | None = None, output: str = "", signature: str = "",
                 **settings: Any) -> AttackRows:
    """Attack the camera's frames behind an input of a float network or a ``.tflite``; return result rows.

    ``camera``: (height, width) of the frames, by default the input's; each shows the sample's own picture, enlarged.
    ``epsilon``: "8levels" (of 255 for each pixel, the default), "20px" (a patch, tried at a few random places), "20%"
    (contrast), "15deg" (rotation), or numbers in the unit of ``norm``: "pixels", "patch", "brightness", "contrast",
    "rotation". The last three are tried on a grid; the others follow the gradient through the resize. Whole levels are
    judged by what Pillow makes of them for a float network, and C for integers. With a folder ``out`` the rows go to
    its ``results.jsonl``.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.core.results import ResultStore
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.report.notebook import AttackRows
    from tinyfuse.study.check_attack import check_frame_attack
    from tinyfuse.study.frame_attack import FrameTask, attack_frames, open_eye
    from tinyfuse.threats.frame_budgets import read_frame_budget
    from tinyfuse.threats.modes import one_input

    name, budget = read_frame_budget(epsilon, norm)
    plan = attack_of(attack, settings)
    check_frame_attack(Path(model), plan, executors or (), save, budget.norm, [*settings])
    eye, dataset = open_eye(Path(model), dataset, one_input(name, modality), camera, (output, signature))
    others = () if is_network(Path(model)) else _default_executors() if executors is None else executors
    task = FrameTask(plan, dataset, samples, budget, int(settings.get("seed", 0)))
    result = attack_frames(eye, task, others, ResultStore(None if out is None else Path(out) / "results.jsonl"))
    if save is not None:
        save_arrays(save, result.made)
    return AttackRows.of(result)


def minimal_frame(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
                  largest: float | str | Mapping[str, float | str] | None = None, norm: str | None = None,
                  samples: int = 100, camera: tuple[int, int] | None = None, **settings: Any) -> SmallestChanges:
    """Find, for each test sample's frame, the smallest change (up to ``largest``) that fools a network or ``.tflite``.

    In whole levels, pixels of a side, per cent or degrees; see :func:`attack_frame`.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.study.check_attack import check_frame_attack
    from tinyfuse.study.frame_attack import FrameTask, open_eye
    from tinyfuse.study.frame_minimal import minimal_frame as search
    from tinyfuse.threats.frame_budgets import FRAME_LARGEST, read_frame_budget
    from tinyfuse.threats.modes import one_input

    name, budget = read_frame_budget(largest, norm, FRAME_LARGEST)
    plan = attack_of(attack, settings)
    check_frame_attack(Path(model), plan, (), None, budget.norm, [*settings])
    eye, dataset = open_eye(Path(model), dataset, one_input(name, modality), camera)
    return search(eye, FrameTask(plan, dataset, samples, budget, int(settings.get("seed", 0))))


def attack_scene(model: str | Path, dataset: Dataset, *, epsilon: str | Mapping[str, str], attack: str = "pgd",
                 norm: str | None = None, samples: int = 100, camera: tuple[int, int] | None = None,
                 air: str | None = None, frontend: str = "float", executors: Sequence[str] | None = None,
                 source: str | Path | None = None, save: str | Path | None = None, out: str | Path | None = None,
                 output: str = "", signature: str = "", **settings: Any) -> AttackRows:
    """Attack a recording and a camera's frame of each sample at once; return result rows.

    ``epsilon``: a budget of each with its unit, such as {"mic": "40dB", "camera": "8levels"} or the same as text; the
    frame's is in levels or px. ``norm``: that of the recording, if it is "masking". Others as of :func:`attack_wave`
    and :func:`attack_frame`.
    """
    from tinyfuse.attacks import attack_of
    from tinyfuse.attacks.wave.air import read_air
    from tinyfuse.core.results import ResultStore
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.report.notebook import AttackRows
    from tinyfuse.study.check_attack import check_scene_attack
    from tinyfuse.study.frame_attack import open_eye
    from tinyfuse.study.microphones import open_microphone
    from tinyfuse.study.saved_waves import keep_waves
    from tinyfuse.study.scene_attack import SceneTask, attack_scenes
    from tinyfuse.threats.modes import ALL
    from tinyfuse.threats.scene_budgets import read_scene_budget

    budget, plan, path = read_scene_budget(epsilon, norm), attack_of(attack, settings), Path(model)
    check_scene_attack(path, plan, executors or (), source, save, budget)
    assert budget.wave is not None and budget.frame is not None
    heard, known = open_microphone(path, dataset, budget.wave[0] or ALL, source, (output, signature), frontend)
    eye, _ = open_eye(path, dataset, budget.frame[0] or ALL, camera, (output, signature))
    others = () if is_network(path) else _default_executors() if executors is None else executors
    task = SceneTask(plan, known, samples, budget.wave[1], read_air(air), budget.frame[1],
                     int(settings.get("seed", 0)))
    result = attack_scenes(heard, eye, task, others, ResultStore(None if out is None else Path(out) / "results.jsonl"))
    if save is not None:
        save_arrays(save, result.made)
    if out is not None:
        keep_waves(out, heard, task, result)
    return AttackRows.of(result)


def _default_executors() -> tuple[str, ...]:
    """Name what judges attacked codes again: TFLite Micro, if it is installed; it is said if not."""
    from tinyfuse.integer.executors.installed import ORACLE, oracle_or_twin

    return (ORACLE,) if oracle_or_twin() == ORACLE else ()


def compare(model: str | Path, dataset: Dataset | None = None, *, executors: Sequence[str] | None = None,
            samples: int = 50, seed: int = 0) -> ComparedExecutors:
    """Say, tensor by tensor, where ``executors`` of one ``.tflite`` differ (default: all that are here and run it).

    On test ``samples`` of ``dataset``, or without one on random codes drawn with ``seed``. ``check()`` of the result
    raises :class:`ParityError` if the twin and TFLite Micro differ anywhere.
    """
    from tinyfuse.integer.compare import compare_model
    from tinyfuse.integer.executors.installed import check_here
    from tinyfuse.integer.model import load_model
    from tinyfuse.report.notebook import ComparedExecutors

    for name in executors or ():
        check_here(name)
    return ComparedExecutors.of(compare_model(load_model(model), executors, dataset, samples=samples, seed=seed))


def minimal(model: str | Path, dataset: Dataset, *, attack: str = "pgd", modality: str = "all",
            largest: int | None = None, mask: Mapping[str, np.ndarray] | None = None, samples: int = 100,
            **settings: Any) -> SmallestBudgets:
    """Find, for each test sample, the smallest budget in whole codes (up to ``largest``) that breaks a ``.tflite``."""
    from tinyfuse.attacks import SampleAttack, attack_of
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.report.notebook import SmallestBudgets
    from tinyfuse.study import minimal_budget as study
    from tinyfuse.study.open_subject import model_and_data
    from tinyfuse.study.rows import SAMPLE_SEED
    from tinyfuse.threats.modes import attacked_by

    path, plan = Path(model), attack_of(attack, settings)
    if is_network(path):
        raise UsageError(f"{path}: smallest budgets are counted in codes, so give a .tflite")
    if not isinstance(plan, SampleAttack):
        raise UsageError(f"smallest budgets are those of single samples and one model, which {attack} is not about")
    plan.check_norm("linf")
    own, dataset = model_and_data(path, dataset)
    attacked = attacked_by(modality, [one.name for one in own.inputs])
    return SmallestBudgets.of(study.minimal_budget(
        own.twin, dataset.test.balanced(samples, seed=SAMPLE_SEED), plan, attacked,
        LARGEST_CODES if largest is None else largest, mask or {}))


def certify(model: str | Path, dataset: Dataset, *, epsilon: float | Mapping[str, float] | None = None,
            codes: float | Mapping[str, float] | None = None, modality: str = "", norm: str = "linf",
            threat: str = "codes", mask: Mapping[str, np.ndarray] | None = None, samples: int = 100,
            recursive: bool = False, seconds_per_sample: float = 0.0, steps: int = 20, radius: int = 0,
            smooth: Mapping[str, float] | None = None, draws: int = 1000,
            out: str | Path | None = None) -> Certified:
    """Prove for how many test ``samples`` no change within a budget changes the class that a ``.tflite`` answers.

    ``epsilon``: one budget or one by input, in its units, or ``codes`` in whole codes. ``modality``: names between
    commas or "all"; by default each input alone, then all. ``threat``: "codes" or "real". ``recursive``: bound every
    layer by lines where nothing else suffices. ``steps``: of the PGD that looks for counterexamples.
    ``seconds_per_sample``: of branch and bound for each sample that is still open. ``radius``: search each sample's
    largest certified budget up to so many codes. ``smooth``: by input, the noise with which the model is
    also smoothed on so many ``draws``. With ``out`` the rows go to its ``results.jsonl``.
    """
    from tinyfuse.analyses.certificates.asked import Certified, questions_of
    from tinyfuse.analyses.certificates.certify import METHODS, Certifier
    from tinyfuse.analyses.certificates.record import Named, certificate_rows, smoothed_row
    from tinyfuse.attacks.targets.twin_target import TwinTarget
    from tinyfuse.core.results import ResultStore
    from tinyfuse.study.open_subject import model_and_data
    from tinyfuse.study.rows import SAMPLE_SEED, budget_of

    own, dataset = model_and_data(Path(model), dataset)
    if not isinstance(own.twin, TwinTarget):
        raise UsageError(f"{model} is judged by a reconstruction error, which has no certificate; give a classifier")
    questions = questions_of(own.inputs, own.twin.model.grids, modality, epsilon, codes,
                             {"norm": norm, "world": threat, "mask": mask or {}, "steps": steps, "largest": radius,
                              "seconds": seconds_per_sample}, budget_of)
    certifier = Certifier(own.twin, METHODS if recursive else METHODS[:-1])
    store = ResultStore(None if out is None else Path(out) / "results.jsonl")
    named = Named(own.subject.model, own.subject.precision, own.subject.sha256, own.seed, dataset.checksum)
    drawn = dataset.test.balanced(samples, seed=SAMPLE_SEED)
    answers = list(certificate_rows(named, certifier, drawn, questions, store))
    if smooth:
        answers.append([smoothed_row(named, own.twin, drawn, smooth, draws, store)])
    return Certified(answers, store)


def analyse(model: str | Path, dataset: Dataset, *, analyses: Sequence[str] = (),
            settings: Mapping[str, Mapping[str, Any]] | None = None, samples: int = 100, out: str | Path | None = None,
            output: str = "", signature: str = "") -> Analysed:
    """Analyse a float network or a ``.tflite`` on test ``samples``; return rows, which draw their own figures.

    ``analyses``: names of :data:`tinyfuse.analyses.ANALYSES`, all that the model can carry by default; ``settings`` of
    each by its name. With a folder ``out`` the rows go to its ``results.jsonl``, where an interrupted run goes on, and
    everything in that file is shown on its page ``analyses.html``.
    """
    from tinyfuse.analyses.run_analyses import analyses_of, fitting, run_analyses
    from tinyfuse.core.results import ResultStore
    from tinyfuse.report.analysed import Analysed, write_page
    from tinyfuse.study.rows import SAMPLE_SEED

    chosen = analyses_of(analyses, settings or {})
    subject = _analysed(Path(model), dataset, output, signature)
    chosen = fitting(chosen, subject, asked=bool(analyses), report=console.print)
    store = ResultStore(None if out is None else Path(out) / "results.jsonl")
    drawn = subject.dataset.test.balanced(samples, seed=SAMPLE_SEED)
    rows = run_analyses(chosen, subject, drawn, store)
    return Analysed(rows, None if out is None else write_page(store.rows("analysis"), out))


def _analysed(path: Path, dataset: Dataset, output: str, signature: str) -> AnalysisSubject:
    """Load what is in ``path`` as the subject of an analysis."""
    from tinyfuse.analyses import AnalysisSubject
    from tinyfuse.nn.zoo.user import is_network
    from tinyfuse.study.open_subject import model_and_data, network_and_data

    if is_network(path):
        return AnalysisSubject.of_network(*network_and_data(path, dataset, output, signature))
    own, dataset = model_and_data(path, dataset, output)
    name = own.subject
    return AnalysisSubject(name.model, name.precision, name.sha256, own.seed, own.inputs, dataset, own.twin)


def select(model: str | Path, dataset: Dataset, *, budget: str | Sequence[str], **options: Any) -> ChosenBits:
    """Choose the weight bits of ``model`` within ``budget`` and write the report; see ``tinyfuse.search.run``.

    Raises :class:`GateError` if the checks do not trust the figures of what was chosen; everything is written then.
    """
    from tinyfuse.report.notebook import ChosenBits
    from tinyfuse.report.selection import render_selection
    from tinyfuse.search.run import select as search

    found = search(model, dataset, budget=budget, **options)
    render_selection(found.folder)
    found.check()
    return ChosenBits.of(found)


def export(model: str | Path, out: str | Path, *, dataset: Dataset | None = None,
           certificate: str | Path | None = None, **options: Any) -> Path:
    """Write the firmware package of a ``.tflite`` as folder ``out``; see :func:`tinyfuse.firmware.deploy.export`.

    ``certificate``: the folder that `certify` wrote, or that of a bench run. What it proves of this very file, on the
    test samples of ``dataset``, travels with the package; `verify` has the cores answer attacked inputs of it.
    """
    from tinyfuse.firmware import deploy

    if certificate is None:
        return deploy.export(model, out, dataset=dataset, **options)
    from tinyfuse.attacks.targets.twin_target import TwinTarget
    from tinyfuse.firmware.package import check_free
    from tinyfuse.study.carried_certificates import carried
    from tinyfuse.study.open_subject import model_and_data

    check_free(Path(out), force=options.get("force", False))
    if dataset is None:
        raise UsageError("a certificate is about samples: give the data that it was made on with --data, not --random")
    own, seen = model_and_data(Path(model), dataset, options.get("output") or "")
    if not isinstance(own.twin, TwinTarget):
        raise UsageError(f"{model} is judged by a reconstruction error, which has no certificate; leave it out")
    certified = carried(Path(certificate), own.twin, own.inputs, own.subject.sha256, seen)
    return deploy.export(model, out, dataset=dataset, certified=certified, **options)


def verify(package: str | Path, *, cores: str | None = None, compiler: str | None = None,
           emulator: str | None = None) -> VerifiedCores:
    """Compile and run an exported ``package`` on emulated ``cores``; see :func:`tinyfuse.firmware.verify.verify`.

    ``check()`` of the result raises :class:`ParityError` if a code differs from TFLite Micro's, and :class:`GateError`
    if a certificate of the package is broken.
    """
    from tinyfuse.firmware import verify as firmware
    from tinyfuse.report.notebook import VerifiedCores

    return VerifiedCores.of(firmware.verify(package, cores=cores, compiler=compiler, emulator=emulator))
