"""The environment variables that ROS reads, checked in one place before it starts, since a wrong one crashes it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from xml.etree import ElementTree

Environment = MutableMapping[str, str]

RANGES = ("LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT")
MEASURED_RMW = "rmw_fastrtps_cpp"
# Jazzy reads the first name only, later distributions the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_SWITCHES = ("RCUTILS_LOGGING_USE_STDOUT", "RCUTILS_LOGGING_BUFFERED_STREAM", "RCUTILS_COLORIZED_OUTPUT")
# Packages that come with ROS: its client library, its index and launch files, messages and what generates them.
ROS_PACKAGE = re.compile(r"rclpy|(ament|rosidl|launch)_\w+|launch|\w+_(msgs|srvs|interfaces)")
_HIGHEST_DOMAIN = 232  # the ports of a higher one do not exist
_IMPORT_TIMEOUT = 30.0  # s


class RosEnvironmentError(ValueError):
    """A setting with which ROS does not start. problem: which, its value, what was expected; remedy: what mends it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


def prepare(environment: Environment = os.environ, *, is_needed: bool = True) -> list[str]:
    """Make the environment one in which ROS starts, and return what was changed in it, a sentence each.

    Where the home or ROS's log folder cannot be written, a temporary folder takes its place.
    is_needed: False for what runs without ROS too, as from a wheel.
    Raises RosEnvironmentError for the first setting that is wrong.
    """
    if is_needed or importlib.util.find_spec("rclpy") is not None:
        for problem in problems(environment):
            raise problem
    return [*_with_a_home(environment), *_with_a_log_folder(environment)]


def problems(environment: Environment = os.environ) -> Iterator[RosEnvironmentError]:
    """All settings that are wrong."""
    for check in (_domain, _range, _peers, _profiles, _switches, _security, _python, _middleware):
        try:
            check(environment)
        except RosEnvironmentError as error:
            yield error


def discovery(environment: Environment = os.environ) -> str:
    """Who is found, for a message about somebody who was not: domain, reach, and what to set for other machines."""
    domain, reach = (
        environment.get("ROS_DOMAIN_ID") or "0",
        environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "SUBNET",
    )
    found = f"ROS_DOMAIN_ID {domain}"
    if reach == "LOCALHOST" or environment.get("ROS_LOCALHOST_ONLY") == "1":
        return (
            f"{found} of this machine only (ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST): for a driver on another machine "
            "export ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET on both; for one in a container start that with "
            "--network host --ipc host and the same user"
        )
    if reach == "OFF":
        return f"{found}, nobody else (ROS_AUTOMATIC_DISCOVERY_RANGE=OFF): export it as LOCALHOST or SUBNET"
    return f"{found} of this network (ROS_AUTOMATIC_DISCOVERY_RANGE={reach}); multicast must reach the other machine"


def _domain(environment: Environment) -> None:
    value = environment.get("ROS_DOMAIN_ID", "")
    if value and (not re.fullmatch(r"0|[1-9][0-9]{0,2}", value, re.ASCII) or int(value) > _HIGHEST_DOMAIN):
        raise RosEnvironmentError(
            f"ROS_DOMAIN_ID is {value!r}; expected a whole number from 0 to {_HIGHEST_DOMAIN}",
            "export the number that the robot's drivers use, or unset ROS_DOMAIN_ID for 0",
        )


def _range(environment: Environment) -> None:
    value = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    if value and value not in RANGES:
        raise RosEnvironmentError(
            f"ROS_AUTOMATIC_DISCOVERY_RANGE is {value!r}; expected one of {', '.join(RANGES)}",
            "export one of these, or unset it to find this machine's nodes only",
        )


def _peers(environment: Environment) -> None:
    for peer in filter(None, environment.get("ROS_STATIC_PEERS", "").split(";")):
        try:
            socket.getaddrinfo(peer, None)
        except (OSError, UnicodeError):
            raise RosEnvironmentError(
                f"ROS_STATIC_PEERS names {peer!r}, which is no host of this network; expected host names or addresses "
                "with semicolons between them",
                "correct or unset ROS_STATIC_PEERS",
            ) from None


def _profiles(environment: Environment) -> None:
    for name in PROFILE_VARIABLES:
        if not (value := environment.get(name, "")):
            continue
        try:
            ElementTree.parse(value)
        except OSError as error:
            reason = f"which cannot be read ({error.strerror})"
        except (ElementTree.ParseError, ValueError) as error:
            reason = f"which is not XML ({error})"
        else:
            continue
        raise RosEnvironmentError(
            f"{name} is {value!r}, {reason}; expected a transport profile of Fast DDS",
            f"correct the path, or unset {name} for the project's own, config/fastdds.xml",
        )


def _switches(environment: Environment) -> None:
    for name in _SWITCHES:
        if (value := environment.get(name, "")) not in ("", "0", "1"):
            raise RosEnvironmentError(f"{name} is {value!r}; expected 0 or 1", f"correct or unset {name}")


def _security(environment: Environment) -> None:
    is_enforced = environment.get("ROS_SECURITY_STRATEGY") == "Enforce"
    keystore = environment.get("ROS_SECURITY_KEYSTORE", "")
    if environment.get("ROS_SECURITY_ENABLE") == "true" and is_enforced and not os.path.isdir(keystore):
        raise RosEnvironmentError(
            f"ROS_SECURITY_KEYSTORE is {keystore!r}, which is no folder, and ROS_SECURITY_STRATEGY=Enforce needs one",
            "make a keystore as docs/security.md says, or unset ROS_SECURITY_ENABLE",
        )


def _python(environment: Environment) -> None:
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        raise RosEnvironmentError("this Python has no rclpy", "run `make setup`")
    folders = [sys.prefix, *environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    if not any(Path(spec.origin).is_relative_to(folder) for folder in folders if folder):
        raise RosEnvironmentError(
            f"rclpy would be imported from {Path(spec.origin).parent}, by PYTHONPATH; expected that of {sys.prefix}",
            "unset PYTHONPATH, or open a shell in which no other ROS is sourced",
        )


def _middleware(environment: Environment) -> None:
    name = environment.get("RMW_IMPLEMENTATION", "")
    if name in ("", MEASURED_RMW):
        return
    # In a process of its own, since it does not outlive a library that is missing; it takes half a second.
    command = [sys.executable, "-c", "import rclpy; rclpy.init()"]
    done = subprocess.run(command, env={**environment}, capture_output=True, text=True, timeout=_IMPORT_TIMEOUT)
    if done.returncode:
        raise RosEnvironmentError(
            f"RMW_IMPLEMENTATION is {name!r}, which does not start here; measured with {MEASURED_RMW}",
            f"unset RMW_IMPLEMENTATION, or install {name} for this ROS",
        )


def _with_a_home(environment: Environment) -> list[str]:
    home, reason = environment.get("HOME", ""), "HOME is not set"
    if home:
        if not (reason := _why_not_writable(Path(home))):
            return []
        reason = f"the home folder {home} cannot be written ({reason})"
    environment["HOME"] = str(_private_folder())
    return [f"{reason}; logs and caches go to {environment['HOME']}"]


def _with_a_log_folder(environment: Environment) -> list[str]:
    folder = environment.get("ROS_LOG_DIR") or (environment.get("ROS_HOME") and f"{environment['ROS_HOME']}/log")
    if not folder:
        folder = f"{environment['HOME']}/.ros/log"
    if not (reason := _why_not_writable(Path(folder).expanduser())):
        return []
    environment["ROS_LOG_DIR"] = str(_private_folder() / "log")
    return [f"ROS's log folder {folder} cannot be written ({reason}); its logs go to {environment['ROS_LOG_DIR']}"]


def _why_not_writable(folder: Path) -> str:
    """Tried out, as rights say nothing of a full disk, a read-only file system, or what root may do in /proc."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return str(error.strerror)
    except RuntimeError as error:  # ~ of a user who is not known
        return str(error)
    return ""


def _private_folder() -> Path:
    """A folder of this user's in the temporary one, the same every time unless somebody else has taken its name."""
    try:
        folder = Path(tempfile.gettempdir()) / f"clwm-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        return folder if is_ours and not _why_not_writable(folder) else Path(tempfile.mkdtemp(prefix="clwm-"))
    except OSError as error:
        raise RosEnvironmentError(
            f"neither the home folder nor a temporary one can be written ({error.strerror})",
            "free some disk space, or export HOME and TMPDIR as folders that can be written",
        ) from None
