"""Protection against server-side request forgery (SSRF): which URLs are fetched, and which addresses are dialled."""

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from app.errors import ForbiddenUrl

# Forbidden addresses that Python counts as global: Azure's metadata and DNS service, tunnel relays, and IPv6 protocol
# assignments and documentation.
_FORBIDDEN = tuple(
    map(
        ipaddress.ip_network,
        ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_6TO4 = ipaddress.ip_network("2002::/16")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Return whether an address is on the public internet. An IPv4 address that it embeds is checked too."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        # Only 2000::/3 is global unicast; the rest is local, reserved or unassigned. Within it, 6to4 embeds an IPv4
        # address, as does Teredo, which is among the protocol assignments.
        if address not in _GLOBAL_UNICAST or address in _6TO4:
            return False
        # An ISATAP address, with any prefix, ends in 0:5efe and an IPv4 address.
        if (int(address) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _FORBIDDEN if network.version == address.version)
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """Which hosts and ports may be dialled: public ones, and private hosts that the settings name."""

    ports: frozenset[int]
    allowed: frozenset[tuple[str, int | None]]
    own_port: int | None

    @classmethod
    def of(cls, ports: Iterable[int], allow_hosts: Iterable[str], own_port: int | None = None) -> Self:
        """Make a guard of ports, of `host` or `host:port` of private hosts, and of this service's own port."""
        return cls(frozenset(ports), frozenset(map(_host_and_port, allow_hosts)), own_port)

    def addresses(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        """Resolve a host, and return what to dial, as `getaddrinfo` does.

        Raises:
            ForbiddenUrl: the port, or any one of the addresses, is not allowed.
        """
        named = self._named(host, port)
        if not named and port not in self.ports:
            raise ForbiddenUrl(f"port {port} is not among FETCH_PORTS; for a server of your own see FETCH_ALLOW_HOSTS")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not named and not all(is_public(_address(info[4])) for info in found):
            raise ForbiddenUrl("the host is not a public one: see FETCH_ALLOW_HOSTS")
        return found

    def refuse_itself(self, host: str, dialled: tuple[Any, ...], own: tuple[Any, ...]) -> None:
        """Refuse a connection to this machine, even by a public address, before anything is sent.

        Args:
            host: the host of the URL. One that the settings allow may be on this machine, but not this service.
            dialled: the socket address of the other end.
            own: the socket address of this end.

        Raises:
            ForbiddenUrl: the other end is this machine.
        """
        here = dialled[0] == own[0] or _address(dialled).is_loopback
        if here and (dialled[1] == self.own_port or not self._named(host, dialled[1])):
            raise ForbiddenUrl("the URL leads back to this service or its machine")

    def _named(self, host: str, port: int) -> bool:
        return (host.lower(), None) in self.allowed or (host.lower(), port) in self.allowed


def _address(socket_address: tuple[Any, ...]) -> Address:
    return ipaddress.ip_address(str(socket_address[0]).split("%")[0])


def _host_and_port(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    return (parts.hostname or "", parts.port)


def check_url(url: str) -> None:
    """Refuse all but plain http and https URLs, because attackers exploit URLs that parsers read differently.

    Raises:
        ForbiddenUrl: with what is wrong.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ForbiddenUrl("the URL holds white space, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenUrl("the URL's host or port cannot be read") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise ForbiddenUrl("only http, https and data URLs are fetched")
    if "@" in parts.netloc:
        raise ForbiddenUrl("the URL holds a user name or password")
    if not parts.hostname or port == 0:
        raise ForbiddenUrl("the URL has no host, or port 0")
