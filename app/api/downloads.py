"""Which models a caller may have downloaded: gigabytes, on the disk of whoever runs the service."""

from collections.abc import Sequence

from app.api.auth import Keys
from app.api.proxy import client_address


class Downloads:
    """What MODELS_ALLOWED says."""

    def __init__(self, allowed: Sequence[str], keys: Keys) -> None:
        """Args:
        allowed: names of models; `*` for any, `auto` for any that a caller on this machine or with a key asks for.
        keys: tell whether the current caller has one.
        """
        self.named = frozenset(allowed) - {"auto", "*"}
        """Models that anyone may have downloaded."""
        self._any_for_all = "*" in allowed
        self._any_for_some = "auto" in allowed
        self._keys = keys

    def of_caller(self) -> frozenset[str] | None:
        """Return the models that the current caller may have downloaded; None for any."""
        if self._any_for_all or (self._any_for_some and (self._keys.holder() is not None or _is_here())):
            return None
        return self.named


def _is_here() -> bool:
    address = client_address()
    return address is not None and address.is_loopback
