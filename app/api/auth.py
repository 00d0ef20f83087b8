"""Who may use the service: whoever has one of the keys, where there are any."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable

from flask import request

from app import context
from app.errors import Unauthorized

_OPEN = ("/", "/healthz", "/docs")
_OPEN_FOLDERS = ("/static/", "/docs/")
"""What needs no key: that the process lives, and the page and the documentation, which ask a person for the
key and hold no secret. /openapi.json is not among them."""


def is_open() -> bool:
    """True when the request is for what everyone may have."""
    # A browser asks with OPTIONS, which carries no key, whether it may ask.
    return request.path in _OPEN or request.path.startswith(_OPEN_FOLDERS) or request.method == "OPTIONS"


class Keys:
    """The keys that open the service; without any, it is open to all."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def check(self) -> None:
        """Refuse a request without a key; the log is told which key it is.

        Raises:
            Unauthorized: it has none, or not one of these.
        """
        known = self._known()
        if known is not None:
            context.current().key = str(known + 1)
        if self._digests and known is None and not is_open():
            raise Unauthorized(
                "this service needs a key: send one of its API_KEYS as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )

    def client(self) -> str:
        """Return what tells one client from another: its key, else its address.

        An IPv6 client controls at least a /64, so clients are told apart by that prefix.
        """
        if (known := self._known()) is not None:
            return f"key {known}"
        try:
            address = ipaddress.ip_address((request.remote_addr or "").split("%")[0])
        except ValueError:
            return "nowhere"
        return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))

    def _known(self) -> int | None:
        """Return which key came, in a time that does not tell how much of it is right."""
        given = _digest(_given())
        same = [hmac.compare_digest(given, digest) for digest in self._digests]
        return same.index(True) if any(same) else None


def _given() -> str:
    # Not `request.authorization`, which takes a key with = within for parameters.
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("X-API-Key") or request.headers.get("api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
