"""What is attacked or analysed, opened: a float network or an integer model, and the data that it was trained on."""

from __future__ import annotations

from pathlib import Path

from tinyfuse.attacks.targets.anomaly import twin_target
from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data import Dataset
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network, open_network
from tinyfuse.nn.zoo.user import Choice
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.study.attack import ModelSubject
from tinyfuse.study.rows import Subject


def network_and_data(path: Path, dataset: Dataset, output: str = "", signature: str = "") -> tuple[Network, Dataset]:
    """Load the network in ``path``, and ``dataset`` as it was trained on."""
    network = open_network(path, dataset, Choice(output, signature))
    return network, dataset.as_trained(network.table, str(path))


def model_and_data(path: Path, dataset: Dataset, output: str = "") -> tuple[ModelSubject, Dataset]:
    """Load the integer model in ``path``, and ``dataset`` as a table beside it says its network was trained on.

    ``output`` names the class, where the model has several.
    """
    model, digest = load_model(path, output=output or None), sha256_hex(path.read_bytes())
    table = read_integer_table(path, digest)
    dataset = dataset.as_trained(table, str(path)) if "data" in table else dataset
    model.codes_of(dataset.test.take(slice(1)).inputs)
    name, _, recipe = path.stem.partition("__")
    seed = int(table.get("training", {}).get("seed", 0))
    inputs = tuple(one for one in dataset.inputs if one.name in model.grids)
    subject = Subject(name, recipe or path.stem, "twin", digest, {one.name: one.span for one in inputs})
    return ModelSubject(twin_target(model, dataset), subject, seed, inputs), dataset


def source_of(path: Path, source: str | Path | None) -> Path:
    """Find the float network that ``path`` was converted from, checked against the table beside it."""
    table = read_integer_table(path, sha256_hex(path.read_bytes()))
    if not table:
        if source is None:
            raise ModelError(f"{path}: no {path.with_suffix('.toml').name} of this very file here; name its float "
                             "network with --source")
        return Path(source)
    found = Path(source) if source is not None else path.with_name(f"{table.get('model')}.keras")
    if not found.is_file():
        raise ModelError(f"{found}: the float network of {path.name} is not there; name it with --source")
    if sha256_hex(found.read_bytes()) != table.get("float_sha256"):
        raise ModelError(f"{found} is not the network that {path.name} was converted from; name that one with --source")
    return found
