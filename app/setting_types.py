"""The types of settings: they parse the texts of the environment, and refuse invalid values."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import limits
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
SENDABLE_KEYS = "keys of printable ASCII characters without spaces"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that opens the service.

    Attributes:
        key: what clients send.
        name: whose it is; keys of one name are one client. None for a key that is its own client.
        rate: how often the client may ask, in words of flask-limiter; empty for any number, None for RATE_LIMIT.
        at_once: how much it may ask at once; 0 for any number, None for CLIENT_REQUESTS.
    """

    key: str = field(repr=False)
    name: str | None = None
    rate: str | None = None
    at_once: int | None = None

    @classmethod
    def of_line(cls, line: str) -> "ApiKey":
        """Read a line of API_KEYS_FILE: `KEY`, or `NAME:KEY [RATE] [AT_ONCE]`, such as `scanner:3f9c 60/minute 4`.

        Raises:
            ValueError: it is neither.
        """
        words = line.split()
        name, colon, key = words[0].partition(":")
        if not colon and len(words) == 1 and is_sendable(name):
            return cls(name)
        if not colon or not re.fullmatch(r"[\w.-]{1,40}", name, re.ASCII) or not is_sendable(key):
            raise ValueError(f"should be {SENDABLE_KEYS}; NAME: before a key gives it a name")
        rates = [word for word in words[1:] if not word.isdecimal()]
        counts = [int(word) for word in words[1:] if word.isdecimal()]
        if len(rates) > 1 or len(counts) > 1:
            raise ValueError(f"behind the key of {name} may stand one rate, such as 60/minute, and one number")
        rate = _limits(rates[0]) if rates and rates[0] != "auto" else None
        return cls(key, name, "" if rate == "none" else rate, counts[0] if counts else None)


def keys_of_text(text: str) -> list[ApiKey]:
    """Read the lines of API_KEYS_FILE, without empty ones and those that begin with #.

    Raises:
        ValueError: one of them is no key, or there is none.
    """
    keys = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line and not line.startswith("#"):
            try:
                keys.append(ApiKey.of_line(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    if not keys:
        raise ValueError("contains no key")
    return keys


def is_sendable(key: str) -> bool:
    """Return whether a header can carry the key: printable ASCII characters without spaces."""
    return re.fullmatch(r"[!-~]+", key) is not None


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split_pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _split(value)]
    if any(not name.strip() or not meant.strip() for name, _, meant in pairs):
        raise ValueError("write name=value, and commas between several")
    return {name.strip(): meant.strip() for name, _, meant in pairs}


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _auto_is_none(value: Any) -> Any:
    return None if value == "auto" else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _not_empty(value: Any) -> Any:
    if value == "":
        raise ValueError("should name a directory; SAVE_UPLOADS=false keeps no images")
    return value


def _known_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise ValueError("should be auto, cpu, cuda, cuda:N or mps")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and not re.fullmatch(r"https?://(\*\.)?[^/\s*]+", origin):
            raise ValueError(
                "should be origins such as https://photos.example or https://*.photos.example, without a path, or *"
            )
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", host):
            raise ValueError("should be hosts such as nas.local, 10.0.0.7:8080 or [fd00::7], without http://")
    return value


def _hosts_or_all(value: tuple[str, ...]) -> tuple[str, ...]:
    return value if value == ("*",) else _hosts(value)


def _known_formats(value: tuple[str, ...]) -> tuple[str, ...]:
    value = tuple(name.upper() for name in value)
    if not value or not set(value) <= set(FORMATS):
        raise ValueError(f"should be some of {', '.join(FORMATS)}")
    return value


def _limits(value: str) -> str:
    if value not in ("auto", "none"):
        try:
            limits.parse_many(value)
        except ValueError:
            raise ValueError("should be auto, none, or limits such as 300/minute;5000/day") from None
    return value


def _redis_url(value: str) -> str:
    # The URL may hold a password, so the message does not repeat it.
    if not re.fullmatch(r"(rediss?|unix)://\S+", value):
        raise ValueError("should be the address of a Redis server, such as redis://localhost:6379/0")
    return value


def _ranges(value: Any) -> Any:
    """Read numbers by name: `1` and `1-8` as the least and the most."""
    if not isinstance(value, str):
        return value
    found = {}
    for name, given in _split_pairs(value).items():
        least, dash, most = given.partition("-")
        if not least.isdecimal() or (dash and not most.isdecimal()) or int(most or least) < max(int(least), 1):
            raise ValueError("should be name=2 or name=1-8, with * for all other names")
        found[name] = int(least), int(most or least)
    return found


def _sendable(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not all(is_sendable(key.get_secret_value()) for key in value):
        raise ValueError(f"should be {SENDABLE_KEYS}")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_split_pairs)]
Paths = Annotated[dict[str, Path], NoDecode, BeforeValidator(_split_pairs)]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
OptionalCount = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_auto_is_none)]
ImagesDirectory = Annotated[Path, BeforeValidator(_not_empty)]
Device = Annotated[str, AfterValidator(_known_device)]
ImageFormats = Annotated[Names, AfterValidator(_known_formats)]
Hosts = Annotated[Names, AfterValidator(_hosts)]
TrustedHosts = Annotated[Names, AfterValidator(_hosts_or_all)]
Origins = Annotated[Names, AfterValidator(_origins)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_split)]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_sendable)]
Amounts = Annotated[dict[str, Annotated[float, Field(ge=0, le=1000)]], NoDecode, BeforeValidator(_split_pairs)]
Ranges = Annotated[dict[str, tuple[int, int]], NoDecode, BeforeValidator(_ranges)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
RateLimit = Annotated[str, AfterValidator(_limits)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
