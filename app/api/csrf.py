"""Pages of other sites may not post to this service from somebody's browser."""

from collections.abc import Sequence

from flask import Flask, request

from app.errors import ForeignOrigin

_HARMLESS = ("GET", "HEAD", "OPTIONS")


def register(app: Flask, allowed: Sequence[str]) -> None:
    """Refuse requests that change something and come from a page of an origin that is neither ours nor `allowed`.

    CORS alone does not: a browser sends a plain form to any address before it asks whether the page may see the answer.
    """

    def check_origin() -> None:
        origin = request.headers.get("Origin")
        if request.method in _HARMLESS or origin is None or "*" in allowed or origin in allowed:
            return
        # Not parsed: what is no origin at all is a stranger's as well.
        if origin.lower().partition("://")[2] != request.host.lower():
            raise ForeignOrigin(f"pages of {origin[:200]} may not use this service: see CORS_ORIGINS")

    app.before_request(check_origin)
