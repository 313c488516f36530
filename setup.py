"""Builds the package: the C runtime beside it becomes a part of it, so that nothing else is installed."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RUNTIME = "firmware_export"


class BuildWithRuntime(build_py):
    """Copies the C runtime and the templates of packages into ``tinyfuse`` (not into a checkout that is edited)."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "tinyfuse" / RUNTIME
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(__file__).parent / RUNTIME, target)


setup(cmdclass={"build_py": BuildWithRuntime})
