"""The Ray cluster: this process joins one, or starts one on this machine. Nothing is told to Ray's makers."""

import logging
import os
from typing import Any

log = logging.getLogger(__name__)

NAMESPACE = "image-to-text"
_ENVIRONMENT = {
    # Who starts a cluster by hand says `ray start --disable-usage-stats`.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Milliseconds that a busy machine has to start Ray's agent, without which no cluster starts.
    "RAY_agent_register_timeout_ms": "60000",
    # Seconds that a replica on a busy machine has to say how many jobs it holds, before another one is asked.
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",
}


def prepare_environment() -> None:
    """Set what Ray reads of the environment."""
    os.environ.update(_ENVIRONMENT)


def connect(address: str, **options: Any) -> None:
    """Join the cluster at an address, `auto` for that of this machine, unless this process has joined one; start one of
    its own if the address is empty.

    Raises:
        ConnectionError: there is no cluster.
        ImportError: Ray is not installed.
    """
    import ray

    if ray.is_initialized():
        return
    if not address:
        options |= {"include_dashboard": False}
    ray.init(
        address=address or "local",
        namespace=NAMESPACE,
        log_to_driver=False,
        configure_logging=False,
        **options,
    )
    log.info("Ray: %d CPUs and %d GPUs", *(ray.cluster_resources().get(kind, 0) for kind in ("CPU", "GPU")))


def start_serve() -> None:
    """Start Ray Serve on the cluster, without a server of its own for HTTP."""
    from ray import serve
    from ray.serve.config import ProxyLocation

    serve.start(proxy_location=ProxyLocation.Disabled)


def room_for(cpus: float, gpus: float) -> int:
    """Return how many processes that take so much the cluster has room for, one at least."""
    import ray

    there = ray.cluster_resources()
    counts = [there.get(kind, 0.0) // each for kind, each in (("CPU", cpus), ("GPU", gpus)) if each]
    return max(1, int(min(counts, default=1)))
