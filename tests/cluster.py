"""A Ray cluster on this machine, of several nodes that are processes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

OBJECT_STORE = 200_000_000
_ATTEMPTS = 5


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
    # By default processes of models give way to all others of a machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    for attempt in range(_ATTEMPTS):
        cluster = Cluster()
        try:
            for number in range(nodes):
                options = {"include_dashboard": False} if not number else {}
                cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE, **options)
            return cluster
        except Exception:
            cluster.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(5)
    raise AssertionError
