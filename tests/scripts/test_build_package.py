"""The wheel has all that its commands read, and nothing that lies about; `make build` tries it in a new environment."""

import importlib
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
build_package = importlib.import_module("build_package")
PACKAGES = sorted(path.parent for path in ROOT.glob("src/*/clwm_*/__init__.py"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """{name: bytes} of a wheel of this checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("what is packed is what git knows: this is no checkout, or git is not installed")
    folder = tmp_path_factory.mktemp("package")
    build_package.copy_tracked(folder / "tree")
    wheel = folder / build_package.call_backend("build_wheel", folder / "tree", folder)
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_module_is_in_the_wheel_as_it_is_here(packed):
    assert len(PACKAGES) == 12
    tracked = build_package.tracked("src/*.py")
    for package in PACKAGES:
        for path in (path for path in tracked if package in path.parents):
            assert packed[str(path.relative_to(package.parent))] == path.read_bytes()


def test_configuration_and_the_shipped_model_are_in_the_wheel(packed):
    files = build_package.tracked("config", "models/nano")
    missing = [path.name for path in files if f"clwm_common/{path.relative_to(ROOT)}" not in packed]
    assert set(missing) <= {"training.png", "probe.png"}  # curves are for people


def test_the_wheel_brings_no_package_but_the_projects(packed):
    tops = {name.split("/")[0] for name in packed}
    assert tops == {package.name for package in PACKAGES} | {"clwm-0.1.0.dist-info"}


def test_the_wheel_installs_the_command_line(packed):
    assert b"clwm = clwm_bringup.__main__:main" in packed["clwm-0.1.0.dist-info/entry_points.txt"]
