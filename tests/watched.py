"""The service with its files and sockets watched: `python -m tests.watched FILE`.

FILE gets a line for each file that is opened to be written and each connection that is tried, as Python sees them.
"""

import ipaddress
import os
import sys
from typing import Any

from app.cli.main import main

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")


def _is_address(host: Any) -> bool:
    """True for what need not be looked up, such as where to listen."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def watch(path: str) -> None:
    """Write down from now on what the process does to the outside."""
    found = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and (arguments[2] or 0) & _WRITES and arguments[0] != os.devnull:
            os.write(found, f"file {arguments[0]}\n".encode())
        elif event in _CALLS and not (event == "socket.getaddrinfo" and _is_address(arguments[0])):
            os.write(found, f"{event} {arguments}\n".encode())

    sys.addaudithook(hook)


if __name__ == "__main__":
    watch(sys.argv[1])
    sys.exit(main(["serve"]))
