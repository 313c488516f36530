"""What is installed from a wheel, and on which versions of Python it may be."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("tinyfuse", "firmware_export", "setup.cfg", "setup.py", "MANIFEST.in", "pyproject.toml", "README.md",
           "LICENSE")
MODEL = ROOT / "models/digits/early__w6.tflite"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "src" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-build-isolation",
               "--no-deps", "--no-index", "--wheel-dir", str(folder / "made"), str(folder / "src")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "made").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as site-packages is after the installation."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_nothing_but_the_package_is_installed(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {"tinyfuse", "tinyfuse-0.1.0.dist-info"}
    assert (installed / "tinyfuse-0.1.0.dist-info/top_level.txt").read_text().split() == ["tinyfuse"]


@pytest.mark.parametrize(("ours", "there"), [
    ("firmware_export", "tinyfuse/firmware_export"), ("tinyfuse", "tinyfuse")])
def test_every_file_of_the_sources_is_in_it(ours: str, there: str, installed: Path) -> None:
    """Templates, headers, data and networks too: a forgotten kind of file is only missed by users."""
    files = {path.relative_to(ROOT / ours) for path in (ROOT / ours).rglob("*")
             if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")}
    missing = sorted(str(path) for path in files if not (installed / there / path).is_file())
    assert len(files) > 40 and not missing


def test_firmware_is_exported_from_it(installed: Path, tmp_path: Path) -> None:
    """The runtime is found inside the package."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = ("import sys, tinyfuse\nfrom tinyfuse.cli.main import main\nfrom tinyfuse.firmware.c_text import "
            "export_folder\nprint(tinyfuse.__file__, export_folder('runtime'))\n"
            f"sys.exit(main(['export', {str(MODEL)!r}, '--random', '--vectors', '2', '--out', 'made']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path,
                          check=False)
    assert done.returncode == 0, done.stderr
    package, runtime = done.stdout.splitlines()[0].split()
    assert Path(package).is_relative_to(installed) and Path(runtime).is_relative_to(installed / "tinyfuse")
    assert (tmp_path / "made/src/runtime/tny_core.h").is_file()


GONE = {"asynchat", "asyncore", "distutils", "imp", "smtpd",  # from Python 3.12
        "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "mailcap", "msilib", "nis", "nntplib",
        "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib", "lib2to3"}  # from Python 3.13
"""Modules of the standard library that a supported version no longer has."""


def test_the_sources_are_fit_for_every_version_that_is_named() -> None:
    """Newer versions warn of what this one lets pass, and lack some of its modules."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = [line.rsplit(" ", 1)[1] for line in config["metadata"]["classifiers"].split("\n") if "Python :: 3." in line]
    assert named == ["3.11", "3.12", "3.13"]
    for path in sorted((ROOT / "tinyfuse").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(text, str(path), feature_version=(3, 11))
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.partition(".")[0] for name in names} & GONE, path
