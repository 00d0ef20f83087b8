"""Settings: defaults, where they come from, and what is said of mistakes."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pydantic import SecretStr, ValidationError

from app.config import Settings, SettingsError

DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 5000,
    "storage": "local",
    "s3_bucket": "",
    "result_cache": "memory",
    "shared_state": "",
    "engine": "local",
    "ray_address": "",
    "ray_cpus": {"*": 1.0},
    "ray_gpus": {"*": 0.0},
    "ray_replicas": {"*": (1, 1)},
    "default_model": "auto",
    "preload": ("blip-base",),
    "device": "auto",
    "precision": "auto",
    "runtime": "auto",
    "network_cache": Path("~/.cache/image-to-text"),
    "model_paths": {},
    "model_revisions": {},
    "models_allowed": ("auto",),
    "max_upload_mb": 200,
    "max_pages": 50,
    "pdf_dpi": 200,
    "decode_timeout": 4,
    "max_image_pixels": 100_000_000,
    "image_formats": ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"),
    "fetch_allow_hosts": (),
    "fetch_ports": (80, 443),
    "fetch_timeout": 20,
    "save_uploads": True,
    "images_dir": Path("images"),
    "model_idle_minutes": 30,
    "max_model_memory_mb": 0,
    "max_store_mb": 10_000,
    "retention_days": 0,
    "queue_size": 32,
    "result_cache_mb": 64,
    "max_requests": 128,
    "request_timeout": 120,
    "api_keys": (),
    "api_keys_file": None,
    "rate_limit": "auto",
    "client_requests": None,
    "trusted_proxies": (),
    "shutdown_grace": 30,
    "cors_origins": (),
    "trusted_hosts": (),
    "log_level": "INFO",
    "log_format": "text",
    "otel_exporter_otlp_endpoint": "",
}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory and an empty environment, which `.env` may fill."""
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ, clear=True):
        yield tmp_path


def mistakes(**environment: str) -> list[str]:
    """Return the lines that are said of an environment."""
    os.environ.update(environment)
    with pytest.raises(SettingsError) as caught:
        Settings.read()
    return str(caught.value).splitlines()


def test_defaults() -> None:
    assert dict(Settings.read()) == DEFAULTS


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", "0", 0),
        ("RESULT_CACHE", "redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
        ("SHARED_STATE", "rediss://host", "rediss://host"),
        ("ENGINE", "ray", "ray"),
        ("RAY_ADDRESS", "auto", "auto"),
        ("RAY_CPUS", "blip-base=0.5, *=2", {"blip-base": 0.5, "*": 2.0}),
        ("RAY_GPUS", "blip-base=1", {"blip-base": 1.0}),
        ("RAY_REPLICAS", "blip-base=0-8,*=2", {"blip-base": (0, 8), "*": (2, 2)}),
        ("DEFAULT_MODEL", "blip-base", "blip-base"),
        ("PRELOAD", "", ()),
        ("PRELOAD", " blip-base , rapidocr,", ("blip-base", "rapidocr")),
        ("DEVICE", "cpu", "cpu"),
        ("DEVICE", "cuda", "cuda"),
        ("DEVICE", "cuda:1", "cuda:1"),
        ("DEVICE", "mps", "mps"),
        ("PRECISION", "bfloat16", "bfloat16"),
        ("RUNTIME", "torch", "torch"),
        ("NETWORK_CACHE", "", None),
        ("NETWORK_CACHE", "/x", Path("/x")),
        ("MODEL_PATHS", "", {}),
        ("MODEL_PATHS", "a=/x", {"a": Path("/x")}),
        ("MODEL_PATHS", "a=/x, b = C:\\y=z ,", {"a": Path("/x"), "b": Path("C:\\y=z")}),
        ("MODEL_REVISIONS", "a=v1, b=0123abc", {"a": "v1", "b": "0123abc"}),
        ("MODELS_ALLOWED", "", ()),
        ("MODELS_ALLOWED", "auto, blip-base", ("auto", "blip-base")),
        ("MAX_UPLOAD_MB", "0.5", 0.5),
        ("MAX_IMAGE_PIXELS", "1", 1),
        ("MAX_PAGES", "1", 1),
        ("PDF_DPI", "300", 300),
        ("DECODE_TIMEOUT", "0.5", 0.5),
        ("IMAGE_FORMATS", "png,Jpeg", ("PNG", "JPEG")),
        ("FETCH_ALLOW_HOSTS", "nas.local,10.0.0.1:8080", ("nas.local", "10.0.0.1:8080")),
        ("FETCH_PORTS", "80,8080", (80, 8080)),
        ("FETCH_TIMEOUT", "0.5", 0.5),
        ("SAVE_UPLOADS", "false", False),
        ("SAVE_UPLOADS", "0", False),
        ("IMAGES_DIR", "/data/images", Path("/data/images")),
        ("MAX_STORE_MB", "0.5", 0.5),
        ("RETENTION_DAYS", "0.5", 0.5),
        ("QUEUE_SIZE", "1", 1),
        ("MAX_REQUESTS", "1000", 1000),
        ("REQUEST_TIMEOUT", "1", 1),
        ("API_KEYS", "a, b", (SecretStr("a"), SecretStr("b"))),
        ("API_KEYS_FILE", "/run/keys", Path("/run/keys")),
        ("API_KEYS_FILE", "", None),
        ("RATE_LIMIT", "5/second; 100/hour", "5/second; 100/hour"),
        ("CLIENT_REQUESTS", "auto", None),
        ("CLIENT_REQUESTS", "3", 3),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", (IPv4Network("10.0.0.0/8"), IPv6Network("::1/128"))),
        ("SHUTDOWN_GRACE", "0", 0),
        ("CORS_ORIGINS", "*", ("*",)),
        ("CORS_ORIGINS", "https://*.a.example", ("https://*.a.example",)),
        ("TRUSTED_HOSTS", "*", ("*",)),
        ("TRUSTED_HOSTS", "a.example,b.example", ("a.example", "b.example")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "json", "json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318", "http://localhost:4318"),
    ],
)
@pytest.mark.parametrize("source", ["environment", ".env"])
def test_a_setting(directory: Path, source: str, name: str, text: str, value: Any) -> None:
    if source == "environment":
        os.environ[name] = text
    else:
        (directory / ".env").write_text(f"# a comment\n\n{name}='{text}'\n", encoding="utf-8")
    assert dict(Settings.read()) == DEFAULTS | {name.lower(): value}


def test_who_wins(directory: Path) -> None:
    (directory / ".env").write_text("PORT=1\nHOST=::1\nQUEUE_SIZE=3\n", encoding="utf-8")
    os.environ |= {"PORT": "2", "HOST": "0.0.0.0"}
    settings = Settings.read(port=4)
    assert (settings.port, settings.host, settings.queue_size) == (4, "0.0.0.0", 3)


def test_an_empty_variable_wins_over_env_file(directory: Path) -> None:
    (directory / ".env").write_text("PRELOAD=blip-base\n", encoding="utf-8")
    os.environ["PRELOAD"] = ""
    assert Settings.read().preload == ()


def test_strangers_in_the_environment_are_ignored(directory: Path) -> None:
    (directory / ".env").write_text("SECRET_OF_ANOTHER_PROGRAM=1\n", encoding="utf-8")
    os.environ["NO_SETTING"] = "1"
    assert dict(Settings.read()) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "http"),
        ("STORAGE", "ftp"),
        ("RAY_CPUS", "blip-base"),
        ("RAY_REPLICAS", "blip-base=8-1"),
        ("RAY_REPLICAS", "blip-base=0"),
        ("RAY_REPLICAS", "8"),
        ("PORT", ""),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("DEVICE", "gpu"),
        ("DEVICE", "cuda:"),
        ("DEVICE", "cuda:x"),
        ("DEVICE", "xcuda"),
        ("DEVICE", ""),
        ("PRECISION", "int4"),
        ("MODEL_PATHS", "/x"),
        ("MODEL_PATHS", "a=/x,b="),
        ("MODEL_PATHS", "=/x"),
        ("MAX_UPLOAD_MB", "0"),
        ("MAX_UPLOAD_MB", "2001"),
        ("MAX_UPLOAD_MB", "nan"),
        ("MAX_IMAGE_PIXELS", "0"),
        ("IMAGE_FORMATS", "PNG,SVG"),
        ("IMAGE_FORMATS", ""),
        ("FETCH_PORTS", "0"),
        ("FETCH_PORTS", "x"),
        ("FETCH_TIMEOUT", "0"),
        ("FETCH_TIMEOUT", "inf"),
        ("SAVE_UPLOADS", "perhaps"),
        ("IMAGES_DIR", ""),
        ("QUEUE_SIZE", "0"),
        ("MAX_REQUESTS", "1001"),
        ("REQUEST_TIMEOUT", "inf"),
        ("SHUTDOWN_GRACE", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_mistake_is_one_line(name: str, text: str) -> None:
    (line,) = mistakes(**{name: text})
    assert line.startswith(f"{name}: ")
    assert line.endswith(f" (got {text!r})")


def test_int8_is_for_openvino_on_a_cpu() -> None:
    assert mistakes(PRECISION="int8", RUNTIME="torch")[0].startswith("RUNTIME: torch has no int8: choose openvino")
    assert mistakes(PRECISION="int8", DEVICE="cuda")[0].startswith("PRECISION: int8 is for CPUs: on cuda choose")


def test_several_mistakes_are_said_at_once() -> None:
    lines = mistakes(PORT="http", DEVICE="gpu", FETCH_PORTS="x,80,y", LOG_LEVEL="loud")
    assert [line.partition(":")[0] for line in lines] == ["PORT", "DEVICE", "FETCH_PORTS", "FETCH_PORTS", "LOG_LEVEL"]
    assert lines[1] == "DEVICE: should be auto, cpu, cuda, cuda:N or mps (got 'gpu')"


def test_an_unknown_override_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"^COLOUR: "):
        Settings.read(colour="red")


def test_an_env_file_that_is_not_text(directory: Path) -> None:
    (directory / ".env").write_bytes(b"HOST=\xff\xfe\n")
    (line,) = mistakes()
    assert line.startswith(".env: ")


def test_settings_are_frozen() -> None:
    settings = Settings.read()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    assert settings.port == DEFAULTS["port"]


@pytest.mark.parametrize(("megabytes", "expected"), [("200", 200_000_000), ("0.5", 500_000)])
def test_megabytes_are_millions_of_bytes(megabytes: str, expected: int) -> None:
    os.environ["MAX_UPLOAD_MB"] = megabytes
    settings = Settings.read()
    assert settings.max_upload_bytes == expected
    # The largest image fits as base64, in three bytes to four.
    assert settings.max_body_bytes > expected * 4 / 3 + 1_000_000
