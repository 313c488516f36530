"""tinyfuse: networks that fuse several sensors, from training to a microcontroller, judged input by input."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyfuse.api import (
        analyse,
        attack,
        attack_frame,
        attack_scene,
        attack_wave,
        certify,
        compare,
        convert,
        export,
        minimal,
        minimal_frame,
        minimal_wave,
        profile,
        select,
        train,
        verify,
    )
    from tinyfuse.data import Dataset
    from tinyfuse.data import load as load_data
    from tinyfuse.report import render as write_report
    from tinyfuse.report.read_run import read

__version__ = "0.1.0"
__all__ = ["Dataset", "__version__", "analyse", "attack", "attack_frame", "attack_scene", "attack_wave", "certify",
           "compare", "convert", "export", "load_data", "minimal", "minimal_frame", "minimal_wave", "profile", "read",
           "select", "train", "verify", "write_report"]

_HOMES = {"load_data": ("tinyfuse.data", "load"), "Dataset": ("tinyfuse.data", "Dataset"),
          **{name: ("tinyfuse.api", name) for name in (
              "train", "convert", "attack", "attack_frame", "attack_scene", "attack_wave", "profile", "minimal",
              "minimal_frame", "minimal_wave", "compare", "analyse", "certify", "select", "export", "verify")},
          "read": ("tinyfuse.report.read_run", "read"),
          "write_report": ("tinyfuse.report", "render")}


def __getattr__(name: str) -> Any:
    """Load a public function when it is first asked for, so that ``import tinyfuse`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinyfuse' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """List what completion offers."""
    return __all__
