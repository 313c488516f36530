"""tinyfuse: audio+image fusion networks from training to a microcontroller, judged per modality."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyfuse.data import load as load_data
    from tinyfuse.deploy import export, verify
    from tinyfuse.report import render as write_report
    from tinyfuse.selection import select
    from tinyfuse.steps import attack, convert, train

__version__ = "0.1.0"
__all__ = ["__version__", "attack", "convert", "export", "load_data", "select", "train", "verify", "write_report"]

_HOMES = {"load_data": ("tinyfuse.data", "load"), "train": ("tinyfuse.steps", "train"),
          "convert": ("tinyfuse.steps", "convert"), "attack": ("tinyfuse.steps", "attack"),
          "export": ("tinyfuse.deploy", "export"), "verify": ("tinyfuse.deploy", "verify"),
          "select": ("tinyfuse.selection", "select"), "write_report": ("tinyfuse.report", "render")}


def __getattr__(name: str) -> Any:
    """Load a public function when it is first asked for, so that ``import tinyfuse`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinyfuse' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
