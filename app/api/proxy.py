"""Behind a reverse proxy: whom to believe about where a request comes from."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_WITH_PORT = re.compile(r"(?P<four>[0-9.]+):[0-9]+|\[(?P<six>[0-9a-f:.]+)\](:[0-9]+)?")


def register(app: Flask, trusted: Iterable[IPv4Network | IPv6Network]) -> None:
    """Take X-Forwarded-For, -Proto, -Host and -Prefix for true when they come from these networks; from
    others they are what anyone could have written."""
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
        # Each proxy adds at the end whom it heard from: the client is before the last run of trusted ones.
        said = [_plain(address) for address in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        hops = 1
        while hops < len(said) and is_trusted(said[-hops]):
            hops += 1
        environ["REMOTE_ADDR"] = said[-hops] or environ["REMOTE_ADDR"]
        return proxied(environ, start_response)

    app.wsgi_app = answer  # type: ignore[method-assign]


def _plain(address: str) -> str:
    """Return an address as it is: without the port that some proxies add, and where the service listens on IPv6, those
    of IPv4 come within one of IPv6."""
    address = address.strip().lower()
    if with_port := _WITH_PORT.fullmatch(address):
        address = with_port["four"] or with_port["six"]
    return address.removeprefix("::ffff:")
