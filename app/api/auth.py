"""Authentication by API key, for a service that has keys."""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterable

from flask import g, request

from app import context
from app.api.proxy import client_address
from app.errors import Unauthorized
from app.setting_types import ApiKey

_OPEN = ("/", "/healthz", "/readyz", "/docs")
_OPEN_FOLDERS = ("/static/", "/docs/")
"""What needs no key: whether the process lives and answers, which Kubernetes asks without one; the page and the
documentation, which ask a person for the key and hold no secret. /openapi.json is not among them."""

KEYS = "keys"
"""Under this name an application has its Keys among its extensions."""
Header = Callable[[str], str | None]
"""Returns the header of that name."""

_HEADERS = ("X-API-Key", "api-key", "Ocp-Apim-Subscription-Key")
"""Where clients put a key that is no bearer token: the last two are Azure's."""


def is_open() -> bool:
    """Return whether the current request needs no key."""
    # The preflight request of a browser (OPTIONS) carries no key.
    return request.path in _OPEN or request.path.startswith(_OPEN_FOLDERS) or request.method == "OPTIONS"


class Keys:
    """The API keys of the service. Without any, every request is allowed."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        self._digests = tuple(_digest(key.key) for key in self._keys)

    def check(self) -> None:
        """Refuse a request without a valid key.

        Raises:
            Unauthorized: the key is missing or unknown.
        """
        if self._digests and self.holder() is None and not is_open():
            raise Unauthorized(
                "this service needs a key: send one of its API_KEYS as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )

    def holder(self) -> ApiKey | None:
        """Return the key that the current request carries, if it is one of these."""
        if "key" not in g:
            g.key = self._find(request.headers.get)
            if g.key is not None:
                context.current().key = g.key.name or str(self._keys.index(g.key) + 1)
        key: ApiKey | None = g.key
        return key

    @property
    def have_rates(self) -> bool:
        """True when a key has a rate limit of its own."""
        return any(key.rate for key in self._keys)

    def opens(self, header: Header) -> bool:
        """True when the service has no keys, or a request with these headers carries one of them."""
        return not self._digests or self._find(header) is not None

    def client(self) -> str:
        """Return what tells one client from another: its key's name, its key, else its address.

        An IPv6 client controls at least a /64, so clients are told apart by that prefix.
        """
        if (key := self.holder()) is not None:
            return f"name {key.name}" if key.name else f"key {self._keys.index(key)}"
        if (address := client_address()) is None:
            return "nowhere"
        return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))

    def _find(self, header: Header) -> ApiKey | None:
        """Return the key that the request carries, or None. All keys are compared in constant time."""
        if not self._digests:
            return None
        given = _digest(_given(header))
        same = [hmac.compare_digest(given, digest) for digest in self._digests]
        return self._keys[same.index(True)] if any(same) else None


def _given(header: Header) -> str:
    # `request.authorization` would parse a key that contains = as parameters.
    scheme, _, key = (header("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return next((given for name in _HEADERS if (given := header(name))), "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
