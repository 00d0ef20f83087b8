"""What most tests need: tiny checkpoints, eight pictures, and a running server."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from app.config import Settings
from app.decoding.pool import DecodingPool
from models.base import Placement
from models.discovery import discover
from tests.server import NETWORKS, ROOT, Server

if TYPE_CHECKING:
    from tests.shared import RedisServer, S3Server

INPUT = ROOT / "Input"

# Two files of tests run at a time, each with as many threads of torch as there are cores. Threads that wait for work
# sleep: by default they spin, and take ten times the processor time of the tiny networks. torch reads this when it is
# imported; servers get it from here.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny checkpoint of every published model: its directory by its name."""
    from tests.checkpoints import make_all

    return make_all(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def model_paths(checkpoints: dict[str, Path]) -> str:
    """MODEL_PATHS for all of them.

    Their networks are converted here, where torch is loaded already: a server starts a process for each.
    """
    for name, path in checkpoints.items():
        discover()[name].load(path, Placement("cpu", "float32", "openvino", NETWORKS))
    return ",".join(f"{name}={path}" for name, path in checkpoints.items())


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Eight different pictures of different sizes."""
    random = np.random.default_rng(0)

    def picture() -> Image.Image:
        small = random.integers(0, 256, (*random.integers(2, 9, size=2), 3), dtype=np.uint8)
        width, height = (int(side) for side in random.integers(60, 300, size=2))
        return Image.fromarray(small).resize((width, height))

    return [picture() for _ in range(8)]


@pytest.fixture(scope="session")
def pool() -> Iterator[DecodingPool]:
    """Two processes that decode, within the limits of the service's defaults."""
    pool = DecodingPool(2, 4.0, Settings().max_decode_bytes)
    yield pool
    pool.close()


@pytest.fixture
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers with settings of the test's own; they end with it."""
    servers: list[Server] = []

    def make(**settings: Any) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("server"), **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def make_odd(make_server: Callable[..., Server]) -> Callable[..., Server]:
    """Start servers with the models of `tests/odd.py`."""
    return partial(make_server, command=[sys.executable, "-m", "tests.odd"], pythonpath=ROOT)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_paths: str) -> Iterator[Server]:
    """A server with all models, shared by the tests that change nothing; it remembers nothing of other tests either."""
    running = Server(tmp_path_factory.mktemp("server"), model_paths=model_paths, result_cache_mb=0, log_level="DEBUG")
    yield running
    running.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["RedisServer"]:
    """A Redis server that tests share: each takes keys of its own."""
    from tests.shared import RedisServer

    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3Server"]:
    """A store that speaks S3's protocol: each test takes a bucket of its own."""
    from tests.shared import S3Server

    running = S3Server()
    yield running
    running.stop()


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Return an image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
