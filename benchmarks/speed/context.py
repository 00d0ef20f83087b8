"""What the sections of the speed benchmark share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed import NEW_TOKENS
from benchmarks.speed.client import Request, send
from benchmarks.speed.servers import Server

WARMING_UP = 3
"""Requests before those that are counted."""
QUEUE, BATCH = 32, 8
"""What the service has by default: requests that wait for a model, and requests in one batch."""
LENGTH = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}


@dataclass
class Context:
    """What a run of the benchmark has: checkpoints by name, an empty directory, and how much is to be measured.

    `share` scales the number of requests; at 1, sixteen to one client and four for each of many.
    """

    weights: Mapping[str, Path]
    directory: Path
    share: float = 1.0
    clients: Sequence[int] = (1, 4, 16, 64)
    throughput: dict[str, dict[int, float]] = field(default_factory=dict)

    def requests(self, clients: int) -> int:
        """Return how many requests so many clients send together."""
        return max(2, clients, round(max(16, 4 * clients) * self.share))

    def some(self, count: int) -> int:
        """Return a share of a count."""
        return max(2, round(count * self.share))


def answer(server: Server, request: Request) -> float:
    """Send a request and return the seconds until it was answered.

    Raises:
        RuntimeError: it was not.
    """
    status, body, seconds = send(server, request)
    if status != 200:
        raise RuntimeError(f"{server.label} answered {status}: {body[:500]!r}")
    return seconds
