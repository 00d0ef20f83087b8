"""A Ray cluster on this machine, of several nodes that are processes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest

from tests.deploy.prometheus import free_port
from tests.server import ROOT

OBJECT_STORE = 200_000_000
_ATTEMPTS = 5
_PORTS = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")


@contextmanager
def make_cluster(nodes: int, cpus: int, serve: bool = True) -> Iterator[Any]:
    """Start a cluster, and join it; skip the test where Ray is not installed, except in CI."""
    if not os.environ.get("CI"):
        pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-ray.txt")
    import ray
    from ray import serve as ray_serve

    from app.engine import ray_cluster

    cluster = _started(nodes, cpus)
    try:
        ray_cluster.connect(cluster.address)
        if serve:
            ray_cluster.start_serve()
        yield cluster
        if serve:
            ray_serve.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()


def _started(nodes: int, cpus: int) -> Any:
    """Start the nodes. A busy machine may take longer than Ray waits for them."""
    from ray.cluster_utils import Cluster

    from app.engine.ray_cluster import prepare_environment

    prepare_environment()
    # Its processes import this checkout, whatever is installed.
    os.environ["PYTHONPATH"] = str(ROOT)
    # By default processes of models give way to all others of a machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    for attempt in range(_ATTEMPTS):
        cluster = Cluster()
        try:
            for number in range(nodes):
                options = {"include_dashboard": False} if not number else {}
                # Of ports that are known Ray need not wait to hear, for which it has no patience.
                ports = {f"{name}_port": free_port() for name in _PORTS}
                cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE, **options, **ports)
            return cluster
        except Exception:
            cluster.shutdown()
            # Ray forgets the processes of a node that did not start.
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "ray" in " ".join(process.cmdline()):
                        process.kill()
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(5)
    raise AssertionError
