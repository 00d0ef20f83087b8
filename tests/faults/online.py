"""The service on an internet of the tests' own: `python -m tests.faults.online FILE [CERTIFICATE]`.

FILE is JSON, `{"names": {name: answers}, "routes": {address: port}}`, and is read again at every lookup. The
certificate is trusted, in place of all that are.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

from requests import adapters

from app.cli.main import main
from tests.internet import Internet


class InternetOfFile(Internet):
    """Names that end in .test are those of the file; all others are looked up as ever."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def getaddrinfo(self, host: str, *arguments: Any, **options: Any) -> Any:
        found = json.loads(self._path.read_text(encoding="utf-8"))
        self.names, self.routes = found["names"], found["routes"]
        return super().getaddrinfo(host, *arguments, **options)

    def unknown(self, host: str, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".test"):
            return super().unknown(host, *arguments, **options)
        return self._resolve(host, *arguments, **options)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        adapters.DEFAULT_CA_BUNDLE_PATH = sys.argv[2]
    internet = InternetOfFile(Path(sys.argv[1]))
    socket.getaddrinfo = internet.getaddrinfo
    socket.socket.connect = lambda *arguments: internet.connect(*arguments)  # type: ignore[method-assign]
    sys.exit(main(["serve"]))
