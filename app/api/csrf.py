"""Pages of other sites may not use this service from somebody's browser: neither by posting to it, nor by a name of
theirs that leads to it (DNS rebinding)."""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import SecurityError

from app.errors import ForeignOrigin

_HARMLESS = ("GET", "HEAD", "OPTIONS")


def origins(allowed: Sequence[str]) -> list[re.Pattern[str]]:
    """Return patterns of the origins that CORS_ORIGINS allows: `*.` stands for one or more labels, `*` for all."""
    texts = (".*" if origin == "*" else re.escape(origin).replace(r"\*\.", r"([a-z0-9_-]+\.)+") for origin in allowed)
    # flask-cors matches the beginning only.
    return [re.compile(rf"(?:{text})\Z", re.IGNORECASE) for text in texts]


def register(app: Flask, allowed: Sequence[re.Pattern[str]]) -> None:
    """Refuse requests with an unsafe method from pages whose origin is neither this service's nor in `allowed`.

    CORS does not prevent them: a browser sends a plain form to any origin, and only hides the answer from the page.
    """

    def check_origin() -> None:
        origin = request.headers.get("Origin")
        if request.method in _HARMLESS or origin is None or any(pattern.match(origin) for pattern in allowed):
            return
        # The origin is compared as text: a malformed one differs, and is refused too.
        if origin.lower().partition("://")[2] != request.host.lower():
            raise ForeignOrigin(f"pages of {origin[:200]} may not use this service: see CORS_ORIGINS")

    app.before_request(check_origin)


def trust_local_hosts(app: Flask) -> None:
    """Refuse requests by a name that strangers can let lead to this machine."""

    def check_host() -> None:
        # Browsers always send one.
        host = request.headers.get("Host")
        if host and not _is_local(host):
            raise SecurityError(f"Host {host[:200]!r} is not trusted.")

    app.before_request(check_host)


def _is_local(host: str) -> bool:
    """True for an IP address, and for a name that is not one of the public DNS: they all have a dot."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost")
    return True
