"""Data: image+audio pairs of written and spoken digits, from the embedded set, a folder or a download."""

from __future__ import annotations

from tinyfuse.data.digits.features import FeatureScaling, padding_mask
from tinyfuse.data.digits.load import assemble, load
from tinyfuse.data.digits.pairs import MODALITIES, Dataset, Pairs, Variants

__all__ = ["MODALITIES", "Dataset", "FeatureScaling", "Pairs", "Variants", "assemble", "load", "padding_mask"]
