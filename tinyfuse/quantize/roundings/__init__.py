"""How weights are brought to few bits: one method per file, registered here in the order of their use."""

from collections.abc import Callable
from dataclasses import dataclass

from tinyfuse.quantize.roundings import bias, gptq, mse
from tinyfuse.quantize.weight_codes import RoundedLayer


@dataclass(frozen=True)
class Rounding:
    """A method that a recipe can name: ``meaning`` says in a line what ``refine`` does to a layer.

    ``corrects_mean``: it takes back the mean error, so that the methods before it need not keep that small.
    """

    meaning: str
    refine: Callable[[RoundedLayer], RoundedLayer]
    corrects_mean: bool = False


ROUNDINGS = {
    "mse": Rounding("clip each channel's range where the squared rounding error is least", mse.refine),
    "gptq": Rounding("round weights one by one, each making up for the errors of those before it", gptq.refine),
    "bias": Rounding("correct biases for the mean error of the rounded weights", bias.refine, corrects_mean=True),
}
