"""What copies of the service share, as real servers on free ports: Redis, and a store that speaks S3's protocol."""

import logging
import subprocess
import time
from pathlib import Path

import boto3
import redis
from moto.server import ThreadedMotoServer

from tests.deploy.prometheus import free_port, program


class RedisServer:
    """Debian's Redis, which keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        command = [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--dir", str(self.directory)], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while True:
            try:
                if self.client.ping():
                    return
            except redis.ConnectionError:
                assert self.process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(30)


class S3Server:
    """moto's server, in a thread of this process."""

    def __init__(self) -> None:
        # A line for each request is no news.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.environment = {
            "AWS_ENDPOINT_URL_S3": "http://{}:{}".format(*self._server.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id="somebody",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def make_bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def stop(self) -> None:
        self._server.stop()
