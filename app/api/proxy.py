"""Reverse proxies: X-Forwarded headers are applied if they come from a trusted one, and say who the client is."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_WITH_PORT = re.compile(r"(?P<four>[0-9.]+):[0-9]+|\[(?P<six>[0-9a-f:.]+)\](:[0-9]+)?")


def register(app: Flask, trusted: Iterable[IPv4Network | IPv6Network]) -> None:
    """Apply X-Forwarded-For, -Proto, -Host and -Prefix of requests from the `trusted` networks. From other addresses
    they are ignored, because any client can send them."""
    networks = tuple(trusted)
    plain = app.wsgi_app
    proxied = ProxyFix(plain, x_for=0, x_proto=1, x_host=1, x_prefix=1)

    def is_trusted(address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in networks)
        except ValueError:
            return False

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = _plain(environ.get("REMOTE_ADDR", ""))
        if not is_trusted(environ["REMOTE_ADDR"]):
            return plain(environ, start_response)
        # Each proxy appends the address of its peer, so the client is the last address that is not a trusted proxy.
        said = [_plain(address) for address in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        hops = 1
        while hops < len(said) and is_trusted(said[-hops]):
            hops += 1
        environ["REMOTE_ADDR"] = said[-hops] or environ["REMOTE_ADDR"]
        return proxied(environ, start_response)

    app.wsgi_app = answer  # type: ignore[method-assign]


def client_address() -> IPv4Address | IPv6Address | None:
    """Return the address of the current request's client; None where the server knows none."""
    try:
        # After %, link-local addresses of IPv6 have the interface.
        return ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return None


def _plain(address: str) -> str:
    """Return an address without the port that some proxies add. An IPv4-mapped IPv6 address, as a service that listens
    on IPv6 sees it, becomes an IPv4 address."""
    address = address.strip().lower()
    if with_port := _WITH_PORT.fullmatch(address):
        address = with_port["four"] or with_port["six"]
    return address.removeprefix("::ffff:")
