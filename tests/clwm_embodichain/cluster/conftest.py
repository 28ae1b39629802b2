"""A Ray cluster on this machine that listens to nobody else, to which tests add nodes."""

import os
import shutil
import tempfile

import pytest

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
# A machine that is switched off is missed after a second and not after fifteen.
IMPATIENT = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 250, "health_check_failure_threshold": 4}
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # a token would be written into the home folder
}


class Nodes:
    """The first node, of one core, and another that can be lost and added again."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.address = cluster.address
        self.second = None

    def add(self):
        if self.second is None:
            self.second = self._cluster.add_node(**NODE)

    def lose(self):
        """As when it is switched off."""
        self._cluster.remove_node(self.second, allow_graceful=False)
        self.second = None


@pytest.fixture(scope="session")
def nodes():
    """This process is in a session on two nodes."""
    os.environ |= ENVIRONMENT
    utils = pytest.importorskip("ray.cluster_utils", reason="ray is not installed: pip install -e '.[cluster]'")
    from clwm_embodichain.cluster.session import ray_session

    folder = os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(dir="/tmp")
    os.makedirs(f"{folder}/ray")
    cluster = utils.Cluster(True, head_node_args=NODE | {"include_dashboard": False, "_system_config": IMPATIENT})
    with ray_session(cluster.address, 0):
        yield Nodes(cluster)
    cluster.shutdown()
    for name in (*ENVIRONMENT, "RAY_TMPDIR"):
        del os.environ[name]
    shutil.rmtree(folder)
