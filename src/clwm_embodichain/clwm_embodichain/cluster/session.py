"""Ray for as long as something needs it: joined where an address is given, else started on this machine alone."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FOLDER = "/tmp"  # names of Unix sockets are short, so not where TMPDIR may point
_STORE, _STORE_OF_CORE = 80_000_000, 20_000_000  # bytes: about the least that Ray takes, and what a worker may fill
_ANSWER = 5.0  # s


class ClusterError(RuntimeError):
    """A cluster that cannot be used, or a part of it that was lost; the message says what to do."""


@contextmanager
def ray_session(address: str | None, cores: int) -> Iterator[None]:
    """Connect this process to the cluster at `address`, host:port, or to one that ends with the context.

    cores: of the one that is started, which listens to this machine only. Raises ClusterError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # Ray's way to say that no other machine joins. Without it Ray listens on every network, whatever address it is
        # given; it is read when ray is imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    else:
        _check_that_somebody_listens(address)
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # Ray would try for ten minutes
    ray = _ray()
    with tempfile.TemporaryDirectory(prefix="clwm-ray-", dir=_FOLDER, ignore_cleanup_errors=True) as folder:
        own: dict[str, Any] = {
            "num_cpus": cores,
            "object_store_memory": _STORE + cores * _STORE_OF_CORE,
            "include_dashboard": False,
            "_temp_dir": folder,
        }
        try:
            ray.init(address or "local", logging_level="ERROR", **({} if address else own))
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(f"Ray at {address or 'this machine'}: {' '.join(str(error).split())}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _check_that_somebody_listens(address: str) -> None:
    named = re.fullmatch(r"([^/\s]+):(\d+)", address)
    if named is None:
        raise ClusterError(f"--address is '{address}'; expected host:port of the machine with `ray start --head`")
    try:
        socket.create_connection((named[1], int(named[2])), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nobody answers at {address} ({error}); `ray start --head --port 6379` on one machine and `ray start "
            "--address HOST:6379` on the others make a cluster"
        ) from None


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise ClusterError(
            "--cluster ray needs the package ray, which is not installed; `pip install -e '.[cluster]'` installs it"
        ) from None
    return ray
