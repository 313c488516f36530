"""Attention as products of matrices against attention as MUL and MEAN: what each costs on a core, and how exact it is.

    python benchmarks/attention_forms.py MMT.keras [--data DIR] [--core m4] [--samples 2000]

MMT.keras is a network ``mmt`` that ``tinyfuse train`` made. The second form needs no BATCH_MATMUL: Q K^T is the mean
over channels of q[a, 1, c] k[1, b, c], and the sum of values the mean over tokens of p[a, b, 1] v[1, b, c]; the
factors c and b are folded into the queries' batch norm and into the layer that reads the heads. Both forms have the
same weights and calibration samples. Prints a Markdown table: instructions, RAM and flash on the core, values of all
tensors of one inference, how far logits are from those of the float network (mean over samples and classes), accuracy.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.cli import options
from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Samples
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.firmware.cores import cores_of
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, dequantize, load_model
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.predict import predict
from tinyfuse.nn.zoo.resnet8 import keras
from tinyfuse.nn.zoo.token_layout import token_layout
from tinyfuse.nn.zoo.transformer import mmt
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

RECIPES = ("w8", "w6", "w4")
CALIBRATION_SAMPLES, VECTORS = 200, 2
HEAD = "| attention | weights | instructions | RAM, bytes | flash, bytes | values | logits off by | accuracy |"


@functools.cache
def mean_layer() -> Any:
    """Make the class of a layer that averages over one axis of a sample."""
    tf_keras = keras()

    class MeanOver(tf_keras.layers.Layer):  # type: ignore[misc,name-defined]
        """The mean over ``axis``, which goes."""

        def __init__(self, axis: int, **settings: Any) -> None:
            super().__init__(**settings)
            self.axis = axis

        def call(self, inputs: Any) -> Any:
            return tf_keras.backend.mean(inputs, axis=self.axis)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "axis": self.axis}

    return MeanOver


def by_means(queries: Any, keys: Any, values: Any, name: str) -> Any:
    """Compute softmax(Q K^T / c) V / b by broadcast products and means."""
    layers, mean = keras().layers, mean_layer()
    (rows, depth), columns = queries.shape[1:], keys.shape[1]
    q = layers.Reshape((rows, 1, depth), name=f"{name}_q")(queries)
    k, v = (layers.Reshape((1, columns, depth), name=f"{name}_{what}")(one)
            for what, one in (("k", keys), ("v", values)))
    score = mean(3, name=f"{name}_score")(layers.Multiply(name=f"{name}_qk")([q, k]))
    share = layers.Reshape((rows, columns, 1), name=f"{name}_share")(layers.Softmax(name=f"{name}_softmax")(score))
    return mean(2, name=f"{name}_sum")(layers.Multiply(name=f"{name}_pv")([share, v]))


def with_means(network: Network) -> Network:
    """Build the second form of ``network`` with its weights: the same function."""
    shapes = network.model.input_shape
    inputs = {one.name: keras().Input(shapes[one.name][1:], name=one.name) for one in network.inputs}
    layouts = {one.name: token_layout(one) for one in network.inputs}
    model = keras().Model(inputs, mmt(inputs, len(network.classes), layouts, by_means), name=network.name)
    for layer in network.model.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(_scaled(model, layer))
    return replace(network, model=model)


def _scaled(model: Any, layer: Any) -> list[np.ndarray]:
    """Weights of ``layer`` in ``model``, where sums have become means."""
    values = layer.get_weights()
    if "_query" in layer.name and layer.name.endswith("_bn"):
        depth = float(len(values[0]))
        return [depth * values[0], depth * values[1], *values[2:]]
    if layer.name.endswith("_attended"):
        share = model.get_layer(layer.name.removesuffix("_attended") + "_head1_share")
        return [float(share.output_shape[2]) * values[0], *values[1:]]
    return list(values)


def lines(form: str, network: Network, calibration: Samples, test: Samples, core: str) -> Iterator[str]:
    """Yield one row of the table for each recipe."""
    base, real = baseline(network, calibration), predict(network.model, test)
    for recipe in RECIPES:
        model = load_model(convert(base, read_recipe(recipe)).data, name=f"{network.name} {recipe}")
        codes = model.codes_of(test.inputs)
        found = dequantize(open_executor(model, "twin").run(codes), model.outputs[0])
        cost = measure(model, {name: values[:VECTORS] for name, values in codes.items()},
                       list(setups(cores_of(core)).values()), "ram")[core]
        if cost.differing:
            raise UsageError(f"{model.name}: {cost.differing} codes of the firmware differ from TFLite Micro's")
        off, right = np.abs(found - real).mean(), 100 * (found.argmax(1) == test.label).mean()
        yield (f"| {form} | {recipe} | {cost.instructions:,} | {cost.ram_bytes:,} | {cost.flash.flash:,} | "
               f"{_values(model):,} | {off:.3f} | {right:.2f} % |")


def _values(model: IntegerModel) -> int:
    return sum(int(np.prod(model.graph.tensors[index].shape)) for index in model.graph.computed)


def run(args: argparse.Namespace) -> int:
    """Measure both forms and print the table."""
    network, dataset = load_network(args.network), load_from(args)
    if network.name != "mmt":
        raise UsageError(f"{args.network} is '{network.name}'; give a network mmt")
    calibration = dataset.train.balanced(CALIBRATION_SAMPLES, seed=0)
    test = dataset.test.balanced(args.samples, seed=0)
    other = with_means(network)
    difference = np.abs(predict(network.model, test) - predict(other.model, test)).max()
    real = 100 * (predict(network.model, test).argmax(1) == test.label).mean()
    console.print(f"float: {real:.2f} %; logits of both forms differ by at most {difference:.2g}")
    print(HEAD, "| --- | --- |" + " ---: |" * 6, sep="\n")
    for form, one in (("BATCH_MATMUL", network), ("MUL and MEAN", other)):
        for line in lines(form, one, calibration, test, args.core):
            print(line, flush=True)
    return 0


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, metavar="MMT.keras")
    add_options(parser)
    parser.add_argument("--core", default="m4", metavar="NAME")
    parser.add_argument("--samples", type=int, default=2000, metavar="N")
    return options.guarded(run, parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
