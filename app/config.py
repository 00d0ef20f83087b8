"""Settings: one typed, frozen object, read from the environment and `.env` once at start, and from nowhere else."""

import difflib
import ipaddress
import logging
import math
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values, load_dotenv
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from app.scale_settings import ScaleSettings
from app.setting_types import (
    FORMATS,
    ApiKey,
    Device,
    Hosts,
    ImageFormats,
    ImagesDirectory,
    Keys,
    LogLevel,
    Names,
    Networks,
    OptionalCount,
    OptionalPath,
    Origins,
    Pairs,
    Paths,
    Ports,
    RateLimit,
    TrustedHosts,
    keys_of_text,
)

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
_SECRET = ("API_KEYS", "RESULT_CACHE", "SHARED_STATE")


class SettingsError(Exception):
    """Settings that the service cannot start with; one line for each mistake."""


class Settings(ScaleSettings):
    """The settings of the service. The description of each is its documentation."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=False, allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all of this machine's.")
    port: int = Field(5000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    default_model: str = Field(
        "auto",
        description="Model for requests that name none; auto is the first of blip-large, florence-2-base, blip-base, "
        "kosmos-2 and efficientnet-gru whose weights are on this machine.",
    )
    preload: Names = Field(
        ("blip-base",), description="Models to download and load at start, comma-separated; empty for none."
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Number format; auto is bfloat16 on a CPU that computes in it natively, float32 on others, and "
        "half precision on a GPU. float16 is for GPUs; int8 for CPUs, with the weights of decoders in 8 bits.",
    )
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="What networks run on; auto is OpenVINO on a CPU and torch on a GPU."
    )
    network_cache: OptionalPath = Field(
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
    models_allowed: Names = Field(
        ("auto",),
        description="Models that callers may have downloaded, comma-separated; auto: any for callers on this machine "
        "or with a key, none for others; * for any, empty for none. Chat clients start downloads of models named here.",
    )
    max_upload_mb: float = Field(200, gt=0, le=2000, description="Largest image in megabytes of 1,000,000 bytes.")
    max_image_pixels: int = Field(100_000_000, ge=1, description="Largest image in pixels.")
    max_pages: int = Field(50, ge=1, description="Most pages of a PDF or a TIFF.")
    pdf_dpi: int = Field(200, ge=36, le=1200, description="Resolution at which pages of a PDF are rendered.")
    decode_timeout: float = Field(
        4, gt=0, description="Seconds of processor time that decoding an image, or a page of a PDF, may take."
    )
    image_formats: ImageFormats = Field(FORMATS, description="Image formats to read, as Pillow names them.")
    fetch_allow_hosts: Hosts = Field(
        (), description="host[:port],...: private addresses that image_url may reach all the same; empty for none."
    )
    fetch_ports: Ports = Field((80, 443), description="Ports that image_url may reach.")
    fetch_timeout: float = Field(20, gt=0, description="Seconds that fetching an image_url may take in all.")
    save_uploads: bool = Field(True, description="Whether to keep uploaded images.")
    images_dir: ImagesDirectory = Field(Path("images"), description="Directory to keep them in.")
    model_idle_minutes: float = Field(
        30, ge=0, description="Minutes after which a model that nobody uses leaves memory; 0 for never."
    )
    max_model_memory_mb: float = Field(
        0,
        ge=0,
        description="Most megabytes of the weights of loaded models, as they are on disk; idle models are unloaded for "
        "others; 0 for no limit.",
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
    api_keys: Keys = Field((), description="Keys of which every request must carry one; empty for none.")
    api_keys_file: OptionalPath = Field(
        None, description="File with more of them, one on each line: KEY, or NAME:KEY [RATE] [REQUESTS AT ONCE]."
    )
    rate_limit: RateLimit = Field(
        "auto",
        description="Requests of one client, such as 300/minute; auto is none where only this machine can reach the "
        "service, and 300/minute elsewhere; none for no limit.",
    )
    client_requests: OptionalCount = Field(
        None, description="Requests of one client in work at once; auto as above, and 16; 0 for any number."
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks of reverse proxies whose X-Forwarded headers are trusted."
    )
    result_cache_mb: float = Field(
        64, ge=0, le=100_000, description="Memory of the cache of results in megabytes; 0 for no cache."
    )
    shutdown_grace: float = Field(30, ge=0, description="Seconds that running requests have after SIGTERM.")
    cors_origins: Origins = Field(
        (),
        description="Origins of other sites whose pages may use the service; https://*.photos.example for all below "
        "it, * for all.",
    )
    trusted_hosts: TrustedHosts = Field(
        (),
        description="Host names that requests must use; empty: local ones where only this machine can reach the "
        "service, else any; * for any.",
    )
    log_level: LogLevel = Field("INFO", description="How much to log.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or an object of JSON in each line."
    )
    otel_exporter_otlp_endpoint: str = Field(
        "", description="OpenTelemetry collector to send traces to, over HTTP; empty for none."
    )

    @field_validator("precision", "runtime")
    @classmethod
    def _no_int8_elsewhere(cls, value: str, info: ValidationInfo) -> str:
        device = info.data.get("device", "auto")
        if value == "int8" and device not in ("auto", "cpu"):
            raise ValueError(f"int8 is for CPUs: on {device} choose bfloat16 or float16")
        if value == "torch" and info.data.get("precision") == "int8":
            raise ValueError("torch has no int8: choose openvino, or another PRECISION")
        return value

    def read_keys(self) -> tuple[ApiKey, ...]:
        """Return the keys of API_KEYS and of API_KEYS_FILE. Its empty lines, and those that begin with #, are skipped.

        Raises:
            SettingsError: the file cannot be read, contains no key, or contains one that a header cannot carry.
        """
        keys = [ApiKey(key.get_secret_value()) for key in self.api_keys]
        if self.api_keys_file is not None:
            try:
                keys += keys_of_text(self.api_keys_file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} cannot be read") from error
            except ValueError as error:
                raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} {error}") from error
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
        """The rate limit of a client, in flask-limiter's notation; empty for none."""
        auto = "300/minute" if self.exposed else ""
        return {"auto": auto, "none": ""}.get(self.rate_limit, self.rate_limit)

    @property
    def requests_of_client(self) -> int:
        """The most requests of a client in work at once; 0 for no limit."""
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
        """The largest body of a request in bytes: an image in base64, and its other fields."""
        return self.max_upload_bytes // 3 * 4 + 2 * MEGABYTE

    @property
    def max_decode_bytes(self) -> int:
        """The memory of a decoding worker in bytes: three copies of the file, its pixels in all modes of the
        conversion, and the decoders with their threads."""
        return 3 * self.max_upload_bytes + 32 * self.max_image_pixels + 1000 * MEGABYTE

    @property
    def max_decoded_bytes(self) -> int:
        """The memory for decoded images in bytes: five of the largest images, or forty of 12 megapixels. A pixel takes
        four bytes."""
        return 5 * 4 * self.max_image_pixels

    @classmethod
    def read(cls, **overrides: Any) -> Self:
        """Read the settings from the environment and, for names that it lacks, from `.env` in the working directory.

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
    """Log the names in `.env` that are not settings: misspelled ones, and those for libraries and other programs."""
    known = [name.upper() for name in Settings.model_fields]
    others = [name for name in dotenv_values(Path(".env")) if name.upper() not in known]
    for name in [*others]:
        if meant := difflib.get_close_matches(name.upper(), known, 1, 0.75):
            log.warning(".env: %s is not a setting; did you mean %s?", name, meant[0])
            others.remove(name)
    if others:
        log.info(".env also sets %s, which are not settings of this service: left to libraries", ", ".join(others))


def _line(mistake: dict[str, Any]) -> str:
    """Describe a validation error in one line: the setting, what is wrong with it, and its value."""
    message = mistake["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not mistake["loc"]:
        # Of settings that do not fit together.
        return str(message)
    setting = str(mistake["loc"][0]).upper()
    # Keys and passwords must not get into logs.
    return f"{setting}: {message}" + ("" if setting in _SECRET else f" (got {mistake['input']!r})")
