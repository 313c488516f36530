"""Data: samples of named inputs with labels, from a source that registers itself."""

from __future__ import annotations

from tinyfuse.data.dataset import Dataset
from tinyfuse.data.digits.composed import register_composed
from tinyfuse.data.digits.load import register_digits
from tinyfuse.data.own_source import register_own_data
from tinyfuse.data.samples import Axis, Batch, Input, Samples
from tinyfuse.data.sources import load, register_source

__all__ = ["Axis", "Batch", "Dataset", "Input", "Samples", "load", "register_source"]

register_composed()
register_digits()
register_own_data()
