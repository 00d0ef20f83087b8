"""Connections: the body of a request without a key is read and forgotten.

waitress reads a whole request before the application sees it, in memory or in a temporary file. Here a request whose
headers carry no key is answered at once, and its body, which may go on for long, goes nowhere. It is read all the same:
a connection that is closed with bytes unread is reset, and the client never sees its answer.
"""

from collections.abc import Callable
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from app.api.auth import Header


class Connection(HTTPChannel):
    """A connection of waitress."""

    def __init__(self, opens: Callable[[Header], bool], *arguments: Any, **options: Any) -> None:
        """Args:
        opens: says whether a request with these headers may come in.
        arguments: waitress's own.
        options: likewise.
        """
        self.opens = opens
        self._unwanted: Any = None
        self._forgotten = 0
        super().__init__(*arguments, **options)

    def parser_class(self, adjustments: Any) -> "_Request":  # type: ignore[override]
        return _Request(adjustments, self)

    def received(self, data: bytes) -> bool:
        return bool(super().received(data[self.forget(data) :]))

    def refuse(self, body: Any) -> None:
        """Read the body that comes next, and keep nothing of it. `body` is what waitress would put it together with."""
        body.buf = _Nowhere()
        self._unwanted = body

    def forget(self, data: bytes) -> int:
        """Return how many bytes belong to the body that is not wanted."""
        if self._unwanted is None:
            return 0
        count: int = len(data) if self._unwanted.error else self._unwanted.received(data)
        self._forgotten += count
        if self._unwanted.completed:
            self._unwanted = None
        # A body in chunks may never end.
        self.will_close = self.will_close or self._forgotten > self.adj.max_request_body_size
        return count


class _Request(HTTPRequestParser):
    """A request of which the headers decide whether its body is kept."""

    def __init__(self, adjustments: Any, connection: Connection) -> None:
        super().__init__(adjustments)
        self._connection = connection

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        # The part of the body that came with the headers.
        return consumed + self._connection.forget(data[consumed:])

    def parse_header(self, header: bytes) -> None:
        super().parse_header(header)
        if self.body_rcv is not None and not self._connection.opens(self._header):
            self._connection.refuse(self.body_rcv)
            self.body_rcv, self.content_length, self.chunked = None, 0, False
            self.headers = {**self.headers, "CONTENT_LENGTH": "0"}
            if self.expect_continue:
                # After another answer than "100 Continue" some clients send the body and some do not: nobody can know.
                self.headers = {**self.headers, "CONNECTION": "close"}
                self.expect_continue = False

    def _header(self, name: str) -> str | None:
        found: str | None = self.headers.get(name.upper().replace("-", "_"))
        return found


class _Nowhere:
    """A buffer that stays empty."""

    def append(self, data: bytes) -> None:
        pass

    def __len__(self) -> int:
        return 0
