"""Image to Text: a self-hosted service that turns an image into text.

This module only connects the parts: `build_service` makes a service of settings, `create_app` a Flask application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.api.auth import Keys
    from app.api.door import Door
    from app.api.downloads import Downloads
    from app.cache import Cache
    from app.config import Settings
    from app.engine.base import Engine
    from app.operations import Operations
    from app.service import Service
    from app.shared.state import SharedState
    from app.storage.base import Store
    from models.base import Placement
    from models.registry import Registry

__version__ = "0.1.0"
_INSTALL = "pip install 'image-to-text[scale]', or pip install -r requirements-scale.txt"


def build_service(settings: Settings) -> Service:
    """Return the service that the settings describe, without Flask.

    Raises:
        SettingsError: a setting names a model, a directory or a device that does not exist.
    """
    from app.config import SettingsError
    from app.decoding.pool import DecodingPool
    from app.fetching.client import Fetcher
    from app.service import Service
    from models.backends import check_placement
    from models.backends.threads import cores
    from models.base import Placement
    from models.budget import MemoryBudget
    from models.discovery import discover, with_local_paths, with_revisions
    from models.registry import Registry

    placement = Placement(settings.device, settings.precision, settings.runtime, settings.network_cache)
    try:
        check_placement(placement)
    except ValueError as error:
        raise SettingsError(f"DEVICE, PRECISION: {error}") from error
    try:
        models = with_local_paths(discover(), settings.model_paths)
    except ValueError as error:
        raise SettingsError(f"MODEL_PATHS: {error}") from error
    try:
        models = with_revisions(models, settings.model_revisions)
    except ValueError as error:
        raise SettingsError(f"MODEL_REVISIONS: {error}") from error
    aliases = {alias: model for model in models.values() for alias in model.aliases}
    named = {
        "DEFAULT_MODEL": {settings.default_model} - aliases.keys(),
        "PRELOAD": {*settings.preload} - aliases.keys(),
        "MODELS_ALLOWED": {*settings.models_allowed} - {"*"} - aliases.keys(),
        # Newer than all former names.
        "RAY_CPUS": settings.ray_cpus.keys() - {"*"},
        "RAY_GPUS": settings.ray_gpus.keys() - {"*"},
        "RAY_REPLICAS": settings.ray_replicas.keys() - {"*"},
    }
    for setting, wanted in named.items():
        if unknown := wanted - models.keys() - {"auto"}:
            raise SettingsError(f"{setting}: no model {', '.join(unknown)}; known: {', '.join(sorted(models))}")
    default = (models | aliases).get(settings.default_model)
    if default is not None and not default.turns_image_into_text:
        raise SettingsError(f"DEFAULT_MODEL: {settings.default_model} does not turn images into text")
    registry = Registry(models.values(), placement, MemoryBudget(settings.max_model_memory_bytes))
    fetcher = Fetcher(
        settings.max_upload_bytes,
        settings.fetch_timeout,
        settings.fetch_ports,
        settings.fetch_allow_hosts,
        settings.port,
    )
    pool = DecodingPool(cores(), settings.decode_timeout, settings.max_decode_bytes, settings.max_decoded_bytes)
    engine = _engine(settings, registry, placement)
    return Service(settings, registry, engine, _store(settings), fetcher, pool, _cache(settings))


def _engine(settings: Settings, registry: Registry, placement: Placement) -> Engine:
    """Return what runs the models."""
    from app.config import SettingsError
    from app.engine.local import LocalEngine

    if settings.engine == "local":
        return LocalEngine(registry, settings.queue_size, settings.model_idle_seconds)
    from app.engine import ray_cluster
    from app.engine.ray_serve import RayEngine, Room

    cpus, gpus, replicas = settings.ray_cpus, settings.ray_gpus, settings.ray_replicas

    def room_of(name: str) -> Room:
        return Room(
            cpus.get(name, cpus.get("*", Room.cpus)),
            gpus.get(name, gpus.get("*", Room.gpus)),
            replicas.get(name, replicas.get("*", Room.replicas)),
        )

    try:
        ray_cluster.connect(settings.ray_address)
        ray_cluster.start_serve()
    except ImportError as error:
        raise SettingsError("ENGINE=ray needs Ray: pip install 'image-to-text[ray]'") from error
    except ConnectionError as error:
        raise SettingsError(f"RAY_ADDRESS: no cluster answers at {settings.ray_address}: {error}") from error
    return RayEngine(registry, placement, settings.queue_size, room_of, __version__)


def build_operations(settings: Settings) -> Operations:
    """Return what runs the requests of a service.

    Raises:
        SettingsError: as `build_service` does.
    """
    from app.operations import Operations

    state = _state("SHARED_STATE", settings.shared_state) if settings.shared_state else None
    return Operations(settings.max_requests, settings.result_cache_bytes > 0, state)


def _store(settings: Settings) -> Store | None:
    """Return where uploads are kept; None if they are not."""
    from app.config import SettingsError
    from app.errors import StorageFailed
    from app.storage.local import LocalStore
    from app.storage.s3 import S3Store

    if not settings.save_uploads:
        return None
    limits = settings.max_store_bytes, settings.retention_days * 86_400
    try:
        local = settings.storage == "local"
        store = LocalStore(settings.images_dir, *limits) if local else S3Store(settings.s3_bucket, *limits)
    except ImportError as error:
        raise SettingsError(f"STORAGE=s3 needs {error.name}: {_INSTALL}") from error
    except StorageFailed as error:
        raise SettingsError(f"STORAGE=s3: {error}") from error
    store.open()
    return store


def _cache(settings: Settings) -> Cache:
    """Return where results are cached."""
    from app.cache import ResultCache
    from app.shared.cache import RedisCache

    if settings.result_cache == "memory" or not settings.result_cache_bytes:
        return ResultCache(settings.result_cache_bytes)
    return RedisCache(_state("RESULT_CACHE", settings.result_cache), __version__)


def _state(setting: str, url: str) -> SharedState:
    from app.config import SettingsError
    from app.shared.state import SharedState

    try:
        return SharedState(url)
    except ImportError as error:
        raise SettingsError(f"{setting} needs {error.name}: {_INSTALL}") from error
    except ValueError as error:
        raise SettingsError(f"{setting}: {error}") from error


def create_app(settings: Settings, service: Service | None = None, operations: Operations | None = None) -> Flask:
    """Return the Flask application of a service.

    Args:
        settings: what to build.
        service: answers the requests; built from the settings when it is None.
        operations: runs the requests. A caller that drains them at shutdown passes its own; None makes new ones.

    Raises:
        SettingsError: as build_service does.
    """
    from flask import Flask

    from app.api import auth, docs, health, images, metrics, models, native, problems, ui
    from app.api.downloads import Downloads

    keyring = auth.Keys(settings.read_keys())
    service = service or build_service(settings)
    operations = operations or build_operations(settings)
    downloads = Downloads(settings.models_allowed, keyring)
    doors = _doors(service, operations, downloads, settings.max_upload_bytes)
    app = Flask(__name__)
    _guard(app, settings, keyring, operations.state)
    problems.register(app, doors)
    for blueprint in (
        *(door.blueprint for door in doors),
        native.blueprint(service, operations, downloads, settings.image_formats, settings.max_upload_bytes),
        images.blueprint(service),
        models.blueprint(service, downloads),
        health.blueprint(service, operations),
        metrics.blueprint(service, operations, (settings.queue_size, settings.max_requests), __version__),
        docs.blueprint(__version__, {path: said for door in doors for path, said in door.paths.items()}),
        ui.blueprint(settings.max_upload_bytes, settings.image_formats, settings.max_pages),
    ):
        app.register_blueprint(blueprint)
    return app


def _doors(service: Service, operations: Operations, downloads: Downloads, max_bytes: int) -> list[Door]:
    """Return the front doors of other programs' protocols."""
    from app.api import azure_read, docling, huggingface, kserve, loaders, ollama, openai, photoprism
    from app.api.chat import Chat
    from app.api.reading import Reading

    chat = Chat(service, operations, downloads, max_bytes)
    reading = Reading(chat)
    return [
        openai.door(chat),
        ollama.door(chat),
        huggingface.door(chat),
        photoprism.door(chat),
        kserve.door(chat, __version__),
        azure_read.door(reading),
        docling.door(reading),
        loaders.door(reading),
    ]


def _guard(app: Flask, settings: Settings, keyring: Keys, state: SharedState | None) -> None:
    """Register what runs before and after every request: proxies first, as WSGI middleware, then in this order the log,
    limits, keys and origins."""
    from flask_cors import CORS

    from app.api import access, auth, csrf, proxy, rate_limit

    app.extensions[auth.KEYS] = keyring
    # An image in base64 is a third longer. `MAX_FIELD_BYTES` in app/api/bodies.py limits all other fields.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    if settings.trusted_hosts and settings.trusted_hosts != ("*",):
        # Always allow the loopback names, because health checks use them.
        app.config["TRUSTED_HOSTS"] = [*settings.trusted_hosts, "localhost", "127.0.0.1", "[::1]"]
    access.register(app)
    # Registered before the key check, so that the rate limit also holds for guessing keys.
    rate_limit.register(app, keyring, settings.rate_of_client, settings.requests_of_client, state)
    app.before_request(keyring.check)
    proxy.register(app, settings.trusted_proxies)
    if not settings.trusted_hosts and not settings.exposed:
        csrf.trust_local_hosts(app)
    origins = csrf.origins(settings.cors_origins)
    csrf.register(app, origins)
    if origins:
        CORS(app, origins=origins, expose_headers=["X-Request-ID", "Retry-After"])
