"""Manifests of a package as each ecosystem checks them, by its own Python package where that is installed.

The dev extra brings kconfiglib; ``pip install platformio idf-component-manager`` brings the others and 25 packages of
theirs, and tests of what is missing are skipped. What they check is also said here in their rules' words.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dead_networks import network

from tinyfuse.firmware import deploy

VERSION = r"\d+\.\d+\.\d+"
NOT_HERE = "{0} is not here (pip install {0})"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "net.tflite").write_bytes(network(1))
    return deploy.export(folder / "net.tflite", folder / "net", vectors=1)


def test_arduino(package: Path) -> None:
    """The library specification of Arduino 1.5: its fields, their characters, and the header that it includes."""
    lines = [line.split("=", 1) for line in (package / "library.properties").read_text().splitlines()]
    found: dict[str, str] = dict(lines)
    assert len(found) == len(lines) and found.keys() == {
        "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
        "includes"}
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9 _.-]{0,62}", found["name"]) and re.fullmatch(VERSION, found["version"])
    assert found["sentence"].strip() and not found["paragraph"].startswith(found["sentence"])
    assert found["category"] in ("Display", "Communication", "Signal Input/Output", "Sensors", "Device Control",
                                 "Timing", "Data Storage", "Data Processing", "Other")
    assert "*" not in found["architectures"] and "avr" not in found["architectures"].split(",")
    assert (package / "src" / found["includes"]).is_file()
    assert (package / "examples" / "self_test" / "self_test.ino").is_file()


@pytest.mark.skipif(not shutil.which("cmake") or not shutil.which("c++"), reason="no cmake or C++ compiler on PATH")
def test_cmake_from_cxx(package: Path, tmp_path: Path) -> None:
    """A project of C++ alone takes the package as a subfolder, by the name of its target, and calls its class."""
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.13)\nproject(app LANGUAGES CXX)\nadd_subdirectory({package} net)\n"
        "add_executable(app main.cc)\ntarget_link_libraries(app PRIVATE tinyfuse::net)\n")
    (tmp_path / "main.cc").write_text(
        '#include <net.hpp>\nstatic tinyfuse::net::Network network;\nint main() {\n'
        "  network.inputs().x1.set(0, 1.0f);\n  const int found = argmax(network.infer());\n"
        "  return found >= 0 && found < NET_T18_SIZE ? 0 : 1;\n}\n")
    for command in (["cmake", "-S", tmp_path, "-B", tmp_path / "made"], ["cmake", "--build", tmp_path / "made"],
                    [tmp_path / "made" / "app"]):
        subprocess.run(command, check=True, capture_output=True)


def test_zephyr(package: Path) -> None:
    """Keys that zephyr/scripts/zephyr_module.py knows, and files where they point."""
    yaml = pytest.importorskip("yaml")
    module = yaml.safe_load((package / "zephyr" / "module.yml").read_text())
    assert module.keys() <= {"name", "build", "tests", "samples", "boards", "blobs", "security", "package-managers",
                             "runners"}
    assert re.fullmatch(r"[A-Za-z0-9_-]+", module["name"])
    assert module["build"].keys() <= {"cmake", "kconfig", "cmake-ext", "kconfig-ext", "depends", "settings"}
    assert (package / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (package / module["build"]["kconfig"]).is_file()


def test_zephyrs_kconfig(package: Path) -> None:
    kconfiglib = pytest.importorskip("kconfiglib", reason="kconfiglib, which Zephyr reads Kconfig with, is not here")
    found = kconfiglib.Kconfig(str(package / "zephyr" / "Kconfig"), warn_to_stderr=False)
    assert not found.warnings and {"NET", "ZEPHYR_NET_MODULE"} <= found.syms.keys()


def test_platformio(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pytest.importorskip("platformio.package.manifest.schema", reason=NOT_HERE.format("platformio"))
    from platformio.package.manifest.parser import ManifestParserFactory

    licences = {"licenses": [{"licenseId": "Apache-2.0"}]}  # it would fetch the list
    monkeypatch.setattr(schema.ManifestSchema, "load_spdx_licenses", staticmethod(lambda: licences))
    for name in ("library.json", "library.properties"):
        table = ManifestParserFactory.new_from_file(str(package / name)).as_dict()
        assert schema.ManifestSchema().load_manifest(table)["name"] == "net"


def test_platformio_without_its_package(package: Path) -> None:
    """Fields of library.json that its schema requires, and a header that exists."""
    found = json.loads((package / "library.json").read_text())
    assert re.fullmatch(r"[^:;/,@<>\\]{1,100}", found["name"]) and re.fullmatch(VERSION, found["version"])
    assert found["license"] == "Apache-2.0" and 1 <= len(found["description"]) <= 255
    assert (package / found["build"]["srcDir"] / found["headers"]).is_file()
    assert all((package / path).is_dir() for path in found["export"]["exclude"])


def test_esp_idf(package: Path) -> None:
    manager = pytest.importorskip("idf_component_tools.manager", reason=NOT_HERE.format("idf-component-manager"))
    assert manager.ManifestManager(str(package), name="net").validation_errors == []
