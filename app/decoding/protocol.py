"""Messages between the service and a worker: a header in JSON, then bytes as they are.

A request has the header `{"open": kind or null, "page": arguments or null}`. `open` makes the worker open the file
whose bytes follow, in place of the one before; without it, the request is for the file that is open. The answer is
`{"facts": ..., "size": ..., "is_open": ...}`, followed by the RGB pixels of the page, or where `size` is null by the
file that was made, if any; or `{"error": ..., "detail": ...,
"is_open": ...}`. The request `{"close": true}` has no answer.
"""

import json
from multiprocessing.connection import Connection
from typing import Any

Header = dict[str, Any]


def send(connection: Connection, header: Header, payload: bytes | memoryview = b"") -> None:
    """Send a header and the bytes that belong to it.

    Raises:
        OSError: the other end is gone, or does not read.
    """
    connection.send_bytes(json.dumps(header).encode())
    connection.send_bytes(payload)


def receive(connection: Connection, max_bytes: int) -> tuple[Header, bytes]:
    """Return a header and the bytes that belong to it, each of at most `max_bytes`.

    Raises:
        EOFError: the other end is gone.
        OSError: the message is longer, or breaks off.
        ValueError: the header is not JSON.
    """
    header = connection.recv_bytes(max_bytes)
    return json.loads(header), connection.recv_bytes(max_bytes)
