"""Behind a reverse proxy: whom to believe about where a request comes from."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def register(app: Flask, trusted: Iterable[IPv4Network | IPv6Network]) -> None:
    """Take X-Forwarded-For, -Proto and -Host for true when they come from these networks; from others they are what
    anyone could have written."""
    networks = tuple(trusted)
    plain = app.wsgi_app

    def is_trusted(address: str) -> bool:
        try:
            return any(ip_address(address.strip()) in network for network in networks)
        except ValueError:
            return False

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not is_trusted(environ.get("REMOTE_ADDR", "")):
            return plain(environ, start_response)
        # Each proxy adds at the end whom it heard from: the client is before the last run of trusted ones.
        said = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        hops = 1
        while hops < len(said) and is_trusted(said[-hops]):
            hops += 1
        return ProxyFix(plain, x_for=hops, x_proto=1, x_host=1)(environ, start_response)

    app.wsgi_app = answer  # type: ignore[method-assign]
