"""Settings: one typed, frozen object, read from the environment and `.env` once at start, and from nowhere else."""

import difflib
import ipaddress
import logging
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import limits
from dotenv import dotenv_values, load_dotenv
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
_SENDABLE = re.compile(r"[!-~]+")
_SENDABLE_KEYS = "keys of printable ASCII characters without spaces"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")


class SettingsError(Exception):
    """Settings that the service cannot start with; one line for each mistake."""


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


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
Paths = Annotated[dict[str, Path], NoDecode, BeforeValidator(_split_pairs)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_split_pairs)]


class Settings(BaseSettings):
    """What the person who runs the service can choose. The description of each is its documentation."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=False, allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all of this machine's.")
    port: int = Field(5000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    default_model: str = Field(
        "auto",
        description="Model for requests that name none; auto is the first of blip-large, blip-base, kosmos-2 "
        "and flickr8k-gru whose weights are on this machine.",
    )
    preload: Names = Field(
        ("blip-base",), description="Models to download and load at start, comma-separated; empty for none."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Number format; auto is bfloat16 on a CPU that computes in it natively, float32 on others, and "
        "half precision on a GPU. float16 is for GPUs; int8 for CPUs, with the weights of decoders in 8 bits.",
    )
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="What networks run on; auto is OpenVINO on a CPU and torch on a GPU."
    )
    network_cache: Path | None = Field(
        Path("~/.cache/image-to-text"),
        description="Directory for networks converted to OpenVINO, as large as the weights at most; empty for none: "
        "they are converted at each start.",
    )
    model_paths: Paths = Field(
        {},
        description="name=directory,...: load that model from a local directory instead of the hub; a new name is a "
        "model of its own, its family read from config.json.",
    )
    model_revisions: Pairs = Field(
        {}, description="name=revision,...: take that model's weights from this commit, tag or branch on the hub."
    )
    max_upload_mb: float = Field(200, gt=0, le=2000, description="Largest image in megabytes of 1,000,000 bytes.")
    max_image_pixels: int = Field(100_000_000, ge=1, description="Largest image in pixels.")
    max_pages: int = Field(50, ge=1, description="Most pages of a PDF or a TIFF.")
    pdf_dpi: int = Field(200, ge=36, le=1200, description="Resolution at which pages of a PDF are rendered.")
    decode_timeout: float = Field(
        4, gt=0, description="Seconds of processor time that decoding an image, or a page of a PDF, may take."
    )
    image_formats: Names = Field(FORMATS, description="Image formats to read, as Pillow names them.")
    fetch_allow_hosts: Names = Field(
        (), description="host[:port],...: private addresses that image_url may reach all the same; empty for none."
    )
    fetch_ports: Ports = Field((80, 443), description="Ports that image_url may reach.")
    fetch_timeout: float = Field(20, gt=0, description="Seconds that fetching an image_url may take in all.")
    save_uploads: bool = Field(True, description="Whether to keep the images that come.")
    images_dir: Path = Field(Path("images"), description="Directory to keep them in.")
    model_idle_minutes: float = Field(
        30, ge=0, description="Minutes after which a model that nobody uses leaves memory; 0 for never."
    )
    max_model_memory_mb: float = Field(
        0,
        ge=0,
        description="Most megabytes that the weights of loaded models may have, as they are on disk; what is idle "
        "makes room for others; 0 for no limit.",
    )
    max_store_mb: float = Field(
        10_000, ge=0, description="Megabytes that all images kept may take; the oldest go first; 0 for any number."
    )
    retention_days: float = Field(0, ge=0, description="Days after which a kept image is removed; 0 for never.")
    queue_size: int = Field(32, ge=1, description="Requests that may wait for one model; more get 429.")
    max_requests: int = Field(128, ge=1, le=1000, description="Requests in work at once over all models.")
    request_timeout: float = Field(
        120, gt=0, description="Seconds that a request may wait for a busy model before it gets 503."
    )
    api_keys: Secrets = Field((), description="Keys of which every request must carry one; empty for none.")
    api_keys_file: OptionalPath = Field(None, description="File with more of them, one on each line.")
    rate_limit: str = Field(
        "auto",
        description="Requests of one client, such as 300/minute; auto is none where only this machine can reach the "
        "service, and 300/minute elsewhere; none for no limit.",
    )
    client_requests: Annotated[int | None, BeforeValidator(_auto_is_none)] = Field(
        None, ge=0, description="Requests of one client in work at once; auto as above, and 16; 0 for any number."
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks of reverse proxies whose X-Forwarded headers are believed."
    )
    result_cache_mb: float = Field(
        64, ge=0, le=100_000, description="Memory for results, for images that come again; 0 remembers none."
    )
    shutdown_grace: float = Field(30, ge=0, description="Seconds that running requests have after SIGTERM.")
    cors_origins: Names = Field((), description="Origins of other sites whose pages may use the service; * for all.")
    trusted_hosts: Names = Field((), description="Host names that requests must use; empty allows any.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much to log.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or an object of JSON in each line."
    )
    otel_exporter_otlp_endpoint: str = Field(
        "", description="OpenTelemetry collector to send traces to, over HTTP; empty for none."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("network_cache", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("images_dir", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("should name a directory; SAVE_UPLOADS=false keeps no images")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
            raise ValueError("should be auto, cpu, cuda, cuda:N or mps")
        return value

    @field_validator("precision", "runtime")
    @classmethod
    def _no_int8_elsewhere(cls, value: str, info: ValidationInfo) -> str:
        device = info.data.get("device", "auto")
        if value == "int8" and device not in ("auto", "cpu"):
            raise ValueError(f"int8 is for CPUs: on {device} choose bfloat16 or float16")
        if value == "torch" and info.data.get("precision") == "int8":
            raise ValueError("torch has no int8: choose openvino, or another PRECISION")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError("should be origins such as https://photos.example, without a path, or *")
        return value

    @field_validator("fetch_allow_hosts", "trusted_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", host):
                raise ValueError("should be hosts such as nas.local, 10.0.0.7:8080 or [fd00::7], without http://")
        return value

    @field_validator("image_formats")
    @classmethod
    def _known_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        value = tuple(name.upper() for name in value)
        if not value or not set(value) <= set(FORMATS):
            raise ValueError(f"should be some of {', '.join(FORMATS)}")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _limits(cls, value: str) -> str:
        if value not in ("auto", "none"):
            try:
                limits.parse_many(value)
            except ValueError:
                raise ValueError("should be auto, none, or limits such as 300/minute;5000/day") from None
        return value

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_SENDABLE.fullmatch(key.get_secret_value()) for key in value):
            raise ValueError(f"should be {_SENDABLE_KEYS}")
        return value

    def read_keys(self) -> tuple[str, ...]:
        """Return the keys of API_KEYS and of API_KEYS_FILE, where empty lines and lines with # do not count.

        Raises:
            SettingsError: the file cannot be read, holds none, or one that cannot be sent.
        """
        keys = [key.get_secret_value() for key in self.api_keys]
        if self.api_keys_file is not None:
            try:
                lines = [line.strip() for line in self.api_keys_file.read_text(encoding="utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} cannot be read") from error
            found = [line for line in lines if line and not line.startswith("#")]
            if not found:
                raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} holds no key")
            if not all(map(_SENDABLE.fullmatch, found)):
                raise SettingsError(
                    f"API_KEYS_FILE: {self.api_keys_file} should hold {_SENDABLE_KEYS}, one on each line"
                )
            keys += found
        return tuple(keys)

    @property
    def exposed(self) -> bool:
        """True when others than this machine can reach the service."""
        try:
            loopback = ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            loopback = self.host.lower() == "localhost"
        return not loopback or bool(self.trusted_proxies)

    @property
    def rate_of_client(self) -> str:
        """What one client may send, in words of flask-limiter; empty for any number."""
        auto = "300/minute" if self.exposed else ""
        return {"auto": auto, "none": ""}.get(self.rate_limit, self.rate_limit)

    @property
    def requests_of_client(self) -> int:
        """How many requests of one client may be in work; 0 for any number."""
        auto = 16 if self.exposed else 0
        return auto if self.client_requests is None else self.client_requests

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mb * MEGABYTE)

    @property
    def max_model_memory_bytes(self) -> int | None:
        return int(self.max_model_memory_mb * MEGABYTE) or None

    @property
    def model_idle_seconds(self) -> float:
        return self.model_idle_minutes * 60 or math.inf

    @property
    def result_cache_bytes(self) -> int:
        return int(self.result_cache_mb * MEGABYTE)

    @property
    def max_store_bytes(self) -> int:
        return int(self.max_store_mb * MEGABYTE)

    @property
    def max_body_bytes(self) -> int:
        """The largest request: an image in base64, with room for the fields beside it."""
        return self.max_upload_bytes // 3 * 4 + 2 * MEGABYTE

    @property
    def max_decode_bytes(self) -> int:
        """Memory of a worker that decodes: the file thrice, its pixels in all the modes they pass through, and the
        decoders with their threads."""
        return 3 * self.max_upload_bytes + 32 * self.max_image_pixels + 1000 * MEGABYTE

    @property
    def max_decoded_bytes(self) -> int:
        """Memory for decoded images in bytes, of which a pixel takes four: five of the largest, or forty of 12
        megapixels."""
        return 5 * 4 * self.max_image_pixels

    @classmethod
    def read(cls, **overrides: Any) -> Self:
        """Read the settings from the environment and, where that says nothing, from `.env` in this directory.

        Args:
            overrides: settings that win over both, by name.

        Raises:
            SettingsError: with one line for each mistake.
        """
        try:
            load_dotenv(Path(".env"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f".env: cannot be read: {error}") from None
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError("\n".join(_line(dict(mistake)) for mistake in error.errors())) from None


def warn_of_strangers() -> None:
    """Say in the log which names in `.env` are no settings: slips, or meant for the libraries and other programs."""
    known = [name.upper() for name in Settings.model_fields]
    others = [name for name in dotenv_values(Path(".env")) if name.upper() not in known]
    for name in [*others]:
        if meant := difflib.get_close_matches(name.upper(), known, 1, 0.75):
            log.warning(".env: %s is not a setting; did you mean %s?", name, meant[0])
            others.remove(name)
    if others:
        log.info(".env also sets %s: no settings of this service, so left to libraries", ", ".join(others))


def _line(mistake: dict[str, Any]) -> str:
    """Say one mistake in one line: the setting, what is wrong with it, and what it was."""
    setting = str(mistake["loc"][0]).upper()
    message = mistake["msg"].removeprefix("Value error, ").removeprefix("Input ")
    # A key belongs into no log.
    return f"{setting}: {message}" + ("" if setting == "API_KEYS" else f" (got {mistake['input']!r})")
