"""Certificates of the deployed integers beside auto_LiRPA's of the float network: same weights, samples and budget.

    pip install "torch>=2.13" appdirs && pip install --no-deps auto_LiRPA==0.3
    python benchmarks/certificates_peers.py --data DIR --limit 60000 [--samples 1000] [--recursive]
        [--seconds-per-sample 15] [--methods IBP,CROWN-IBP] MODEL.tflite ...

The float network beside each ``.tflite`` (plain-late.keras of plain-late__w8.tflite), batch norms folded, becomes a
torch module layer by layer; its logits must be Keras's. auto_LiRPA (Xu et al. 2020) bounds it by IBP, CROWN-IBP and
CROWN in the ball of real values; we bound the integers by intervals, and by linear bounds where these do not suffice,
in threat models G (codes) and R (real values that the device rounds: the same ball as theirs, and half a code more).
A sample that theirs certifies and ours does not is either falsified on the integers (rounding truly costs it: the
device answers wrong, or codes within the budget make it) or open (our bound is too loose). Of the open ones it is
counted how many our lines would prove if no code were rounded, which is no proof: what roundings cost the bound.

auto_LiRPA 0.3 was made for torch 1.12 and numpy 1: four names that these had are put back before it is imported.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyfuse import api
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.branches import BRANCHES
from tinyfuse.analyses.certificates.certify import LEANS, Certifier
from tinyfuse.analyses.certificates.linear import SmallestArea
from tinyfuse.analyses.certificates.record import BY
from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Samples
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, open_network
from tinyfuse.nn.predict import predict
from tinyfuse.study.open_subject import model_and_data
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.threats.budgets import spread
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.modes import modes_of
from tinyfuse.threats.threat import Threat

METHODS = {"IBP": "IBP", "CROWN-IBP": "CROWN-IBP", "CROWN": "backward"}
BATCH = {"IBP": 50, "CROWN-IBP": 25, "CROWN": 5}
LOGITS = 1e-3
Module = Any


def load_peer() -> tuple[Any, Any, Any]:
    """Import torch and auto_LiRPA's three classes; UsageError with the way to get them."""
    if not hasattr(np.lib, "arraysetops"):
        sys.modules["numpy.lib.arraysetops"] = ModuleType("numpy.lib.arraysetops")
        sys.modules["numpy.lib.arraysetops"].isin = np.isin  # type: ignore[attr-defined]
    try:
        import torch
        from torch.onnx._internal.torchscript_exporter import _globals
        from torch.onnx._internal.torchscript_exporter import utils as exporter

        # By name, as torch.onnx has attributes of the same names that are other modules.
        import_module("torch.onnx.utils")._optimize_graph = exporter._optimize_graph  # type: ignore[attr-defined]
        import_module("torch.onnx.symbolic_helper")._set_opset_version = (  # type: ignore[attr-defined]
            lambda version: setattr(_globals.GLOBALS, "export_onnx_opset_version", version))
        torch._C.Node.__getitem__ = lambda node, key: getattr(node, node.kindOf(key))(key)
        from auto_LiRPA import BoundedModule, BoundedTensor
        from auto_LiRPA.perturbations import PerturbationLpNorm
    except ImportError as error:
        raise UsageError(f"the peer is not here ({error}); the first lines of this file install it") from None
    return BoundedModule, BoundedTensor, PerturbationLpNorm


def torch_module(model: Any, names: Sequence[str]) -> Module:
    """Build the folded ``tf_keras`` network ``model`` as a torch module of the inputs ``names``, layer by layer."""
    import torch

    class Built(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[tuple[Any, list[str], str]] = []
            for layer in model.layers:
                sources = layer.input if isinstance(layer.input, list) else [layer.input]
                for step in layer_modules(layer):
                    if isinstance(step, torch.nn.Module):
                        self.add_module(f"step{len(self.steps)}", step)
                    self.steps.append((step, [tensor.name for tensor in sources], layer.output.name))
                    sources = [layer.output]
            self.last = model.outputs[0].name

        def forward(self, *inputs: Any) -> Any:
            values = dict(zip(names, inputs, strict=True))
            for step, sources, target in self.steps:
                values[target] = step(*(values[name] for name in sources))
            return values[self.last]

    return Built().eval()


def layer_modules(layer: Any) -> Iterator[Callable[..., Any]]:
    """Yield what one Keras layer is in torch; maps are [n, channels, rows, columns] there."""
    import torch

    kind = type(layer).__name__
    if kind == "Conv2D":
        yield convolution(layer)
    elif kind == "Dense":
        yield dense(layer)
    elif kind == "ReLU":
        yield torch.nn.ReLU()
    elif kind == "Flatten":
        yield torch.nn.Flatten()
    elif kind == "Concatenate":
        yield lambda *parts: torch.cat(parts, dim=1)
    elif kind != "InputLayer":
        raise UsageError(f"{layer.name} is a {kind}; this comparison knows plain convolutional networks")
    if getattr(getattr(layer, "activation", None), "__name__", "linear") == "relu":
        yield torch.nn.ReLU()


def convolution(layer: Any) -> Module:
    """Keras pads more behind than before, torch the same on both sides: zeros before the kernel make up for it."""
    import torch

    kernel, bias = (np.asarray(one) for one in (layer.kernel, layer.bias))
    step, before = layer.strides[0], 0
    behind = 0
    if layer.padding == "same":
        total = max((-(-layer.input.shape[1] // step) - 1) * step + kernel.shape[0] - layer.input.shape[1], 0)
        before, behind = total // 2, total - total // 2
    kernel = np.pad(kernel, [(behind - before, 0), (behind - before, 0), (0, 0), (0, 0)])
    found = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[:2], stride=step, padding=behind)
    return filled(found, kernel.transpose(3, 2, 0, 1), bias)


def dense(layer: Any) -> Module:
    """Rows of the kernel go in the order of torch's flattened maps if a Flatten of maps comes before."""
    import torch

    kernel, bias = (np.asarray(one) for one in (layer.kernel, layer.bias))
    before = layer.inbound_nodes[0].inbound_layers
    if type(before).__name__ == "Flatten" and len(before.input.shape) == 4:
        rows, columns, channels = before.input.shape[1:]
        kernel = kernel.reshape(rows, columns, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    return filled(torch.nn.Linear(*kernel.shape), kernel.T, bias)


def filled(module: Module, kernel: np.ndarray, bias: np.ndarray) -> Module:
    """Set the weights of a torch layer."""
    import torch

    module.weight.data, module.bias.data = torch.tensor(kernel.copy()), torch.tensor(bias.copy())
    return module


@dataclass(frozen=True, eq=False)
class Peer:
    """The float ``network`` as a torch module under auto_LiRPA, on ``samples``."""

    network: Network
    samples: Samples
    module: Module

    @classmethod
    def of(cls, network: Network, samples: Samples) -> Peer:
        """Build it; its logits must be those of Keras."""
        import torch

        peer = cls(network, samples, torch_module(folded(network.model), network.input_names))
        with torch.no_grad():
            gap = np.abs(peer.module(*peer.maps(slice(None))).numpy() - predict(network.model, samples)).max()
        if gap > LOGITS:
            raise UsageError(f"{network.name}: the torch module differs from Keras by up to {gap:.2g} in a logit")
        return peer

    def maps(self, rows: slice) -> list[Any]:
        """The inputs of some samples, channels first."""
        import torch

        return [torch.tensor(np.moveaxis(self.samples.inputs[one.name][rows], -1, 1).copy())
                for one in self.network.inputs]

    def certified(self, method: str, budget: Mapping[str, float]) -> np.ndarray:
        """Return bool [n]: the lower bounds of all differences to the label's logit are above 0, by ``method``."""
        import torch

        bounded_module, bounded_tensor, ball = load_peer()
        model = bounded_module(self.module, tuple(self.maps(slice(2))), device="cpu")
        found = []
        for start in range(0, len(self.samples), BATCH[method]):
            rows = slice(start, start + BATCH[method])
            inputs = []
            for one, values in zip(self.network.inputs, self.maps(rows), strict=True):
                reach = budget.get(one.name, 0.0)
                low, high = (torch.clamp(values + side * reach, one.low, one.high) for side in (-1, 1))
                inputs.append(bounded_tensor(values, ball(norm=np.inf, x_L=low, x_U=high)))
            label = self.samples.label[rows]
            classes = np.eye(len(self.network.classes), dtype=np.float32)
            rows_of = np.stack([classes[right] - np.delete(classes, right, axis=0) for right in label])
            lower, _ = model.compute_bounds(x=tuple(inputs), C=torch.tensor(rows_of), method=METHODS[method],
                                            bound_upper=False)
            found.append((lower.detach().numpy() > 0).all(axis=1))
        return np.concatenate(found)


def ours(path: Path, dataset: Dataset, budget: Mapping[str, float], threat: str,
         asked: argparse.Namespace) -> tuple[dict[str, np.ndarray], float, int]:
    """Certify the integers; return bool [n] by quantity, the seconds of it all, and how many branches prove."""
    found = api.certify(path, dataset, epsilon=dict(budget), modality=",".join(budget), samples=asked.samples,
                        threat=threat, recursive=asked.recursive, seconds_per_sample=asked.seconds_per_sample)
    rows = {row["quantity"]: row for row in found.rows}
    branches = rows[BY + BRANCHES]["value"] * asked.samples if BY + BRANCHES in rows else 0
    return ({name: np.asarray(rows[name]["each"]) > 0 for name in ("certified", "falsified")},
            float(rows["seconds"]["value"]), round(branches))


def unrounded(path: Path, dataset: Dataset, budget: Mapping[str, float], threat: str, open_ones: np.ndarray,
              samples: Samples) -> int:
    """Count the ``open_ones`` (bool [n]) that our lines would prove if no code were rounded."""
    places = np.flatnonzero(open_ones)
    if not len(places):
        return 0
    own, _ = model_and_data(path, dataset)
    certifier, drawn = Certifier(own.twin), samples.take(places)
    allowed, batch = code_problem(Threat.of(own.inputs, budget, "linf"), drawn.inputs, own.twin.grids, threat)
    boxes = exact_boxes(certifier, Ball.of(allowed, batch, own.twin.grids))
    for index, affine in certifier.linear.affine.items():
        certifier.linear.affine[index] = replace(affine, slack=np.zeros_like(affine.slack))
    bounds = [certifier.by_lines(boxes, drawn.label, guide=SmallestArea(certifier.linear, lean)) for lean in LEANS]
    return int((np.maximum.reduce(bounds) > 0).all(axis=1).sum())


def exact_boxes(certifier: Certifier, ball: Ball) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Bound every tensor in real arithmetic: the weights and clamps of the integers, without a rounding."""
    intervals, ends = certifier.intervals, certifier.movement.ends
    found = dict(intervals.columns(ball.boxes))
    for index in intervals.order:
        affine = certifier.linear.affine[index]
        given = [found[source] for source in intervals.inputs_of[index]]
        if affine.slack.any():
            low, high = affine.span(*(end.astype(np.float64) for box in given for end in box))
        else:
            low, high = (affine.forth(*(box[side].astype(np.float64) for box in given)) for side in (0, 1))
        found[index] = np.clip(low, *ends[index]), np.clip(high, *ends[index])
    return found


def compared(path: Path, dataset: Dataset, asked: argparse.Namespace) -> Iterator[str]:
    """Yield lines of the table for each mode of attack."""
    network = open_network(path.with_name(f"{path.stem.split('__')[0]}.keras"), dataset)
    dataset = dataset.as_trained(network.table, str(path))
    samples = dataset.test.balanced(asked.samples, seed=SAMPLE_SEED)
    peer, given = Peer.of(network, samples), spread(asked.epsilon, network.input_names)
    for names in modes_of(network.input_names).values():
        budget = {name: given[name] for name in names}
        theirs, times = {}, {}
        for method in asked.methods:
            began = time.perf_counter()
            theirs[method] = peer.certified(method, budget)
            times[method] = time.perf_counter() - began
        best = np.logical_or.reduce(list(theirs.values()))
        for kind, threat in (("G", "codes"), ("R", "real")):
            own, seconds, branches = ours(path, dataset, budget, threat, asked)
            missed = best & ~own["certified"]
            counts = [*(int(flags.sum()) for flags in (*theirs.values(), best, own["certified"])), branches]
            left = missed & ~own["falsified"]
            split = [int(flags.sum()) for flags in (missed & own["falsified"], left, own["certified"] & ~best)]
            split.insert(2, unrounded(path, dataset, budget, threat, left, samples))
            within = ", ".join(f"{name} {size:.4g}" for name, size in budget.items())
            yield line([f"{path.parent.name} {path.stem.partition('__')[2]}", within, kind, *counts, *split,
                        *(f"{one:.1f}" for one in (*times.values(), seconds))])


def line(cells: Sequence[Any]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("models", nargs="+", metavar="MODEL.tflite")
    parser.add_argument("--epsilon", type=options.budgets, default={"image": 0.1, "audio": 0.02})
    parser.add_argument("--samples", type=options.positive, default=1000)
    parser.add_argument("--recursive", action="store_true", help="our bound by lines in every layer too")
    parser.add_argument("--seconds-per-sample", type=float, default=0.0, metavar="S", help="of our branch and bound")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS),
                        help=f"of theirs, from {', '.join(METHODS)} (default: all)")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    load_peer()
    dataset = load_from(args)
    head = ["model", "attacked within", "threat", *args.methods, "theirs, any", "ours", "of these by branches",
            "only theirs: broken as integers", "only theirs: open", "of these proved without roundings", "only ours",
            *(f"s {name}" for name in args.methods), "s ours"]
    print(f"{args.samples} test samples, counts\n\n{line(head)}\n{line(['---'] * len(head))}")
    for path in map(Path, args.models):
        for text in compared(path, dataset, args):
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    raise SystemExit(main())
