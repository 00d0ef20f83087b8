"""Messages between the service and a process that decodes: a header in JSON, then bytes as they are."""

import json
import socket
import struct
from typing import Any

Header = dict[str, Any]

_LENGTHS = struct.Struct(">IQ")


def send(to: socket.socket, header: Header, payload: bytes | bytearray = b"") -> None:
    """Send a header and the bytes that go with it."""
    text = json.dumps(header).encode()
    to.sendall(_LENGTHS.pack(len(text), len(payload)) + text)
    to.sendall(payload)


def receive(sender: socket.socket, most: int) -> tuple[Header, bytearray]:
    """Return a header and the bytes that came with it.

    Raises:
        EOFError: the other end is gone.
        ValueError: not a message, or one of more than so many bytes.
    """
    header, payload = _LENGTHS.unpack(_read(sender, _LENGTHS.size))
    if header + payload > most:
        raise ValueError(f"a message of {header + payload} bytes")
    return json.loads(_read(sender, header)), _read(sender, payload)


def _read(sender: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        came = sender.recv_into(rest)
        if not came:
            raise EOFError
        rest = rest[came:]
    return data
