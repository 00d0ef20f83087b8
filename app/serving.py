"""Serves with waitress, and shuts down in order: refuses new requests, finishes those in work, ends the process."""

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from app import __version__, build_operations, build_service, create_app, logs, tracing
from app.api.auth import KEYS, Keys
from app.config import Settings, SettingsError, warn_of_strangers
from app.connections import Connection
from app.operations import Operations
from app.service import Service
from models.backends import allocator
from models.registry import State

log = logging.getLogger(__name__)

SocketMap = dict[int, Any]
"""waitress's open sockets by file descriptor: the listener, and a channel for each connection."""

_SPOOL_ABOVE = 1_000_000
_READ_AT_ONCE = 2**20
"""Bytes that are read from a connection at once. An upload takes half the processor time that it takes with waitress's
default of eight kilobytes."""
_SAME_SIGNAL = 1.0
"""Seconds within which a second signal counts as a repetition of the first."""
TIDY_EVERY = 60.0
"""Seconds between two removals of images that are too old."""
SPARE_THREADS = 8
"""Threads beyond those that requests in work can hold: for health, models, saved images and errors."""


def serve(settings: Settings) -> NoReturn:
    """Serve until SIGTERM or SIGINT, and end the process.

    Raises:
        SettingsError: it cannot start.
    """
    logs.configure(settings.log_level, settings.log_format)
    if settings.otel_exporter_otlp_endpoint:
        tracing.configure(__version__)
    warn_of_strangers()
    allocator.configure()
    listener = _listen(settings.host, settings.port)
    # With PORT=0 the system has chosen a port: use its number from here on.
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    service = build_service(settings)
    operations = build_operations(settings)
    sockets: SocketMap = {}
    application = create_app(settings, service, operations)
    server = create_server(
        application,
        map=sockets,
        sockets=[listener],
        threads=settings.max_requests + SPARE_THREADS,
        # Larger bodies and answers go through temporary files, unless the service may write nothing to disk.
        inbuf_overflow=_SPOOL_ABOVE if settings.save_uploads else sys.maxsize,
        outbuf_overflow=_SPOOL_ABOVE if settings.save_uploads else sys.maxsize,
        recv_bytes=_READ_AT_ONCE,
        connection_limit=settings.max_requests * 4 + 100,
        max_request_body_size=settings.max_body_bytes,
        channel_request_lookahead=1,
        ident=None,
        # app/api/proxy.py reads these headers, and only from trusted proxies.
        clear_untrusted_proxy_headers=False,
    )
    keys: Keys = application.extensions[KEYS]
    # One socket is one server.
    assert isinstance(server, BaseWSGIServer)
    server.channel_class = partial(Connection, keys.opens)  # type: ignore[assignment]
    loop = _Loop(sockets, service, operations, settings.shutdown_grace)
    loop.listen_to_signals()
    _say_hello(settings, service, listener)
    service.preload(settings.preload)
    threading.Thread(target=tidy_regularly, args=(service,), name="tidy", daemon=True).start()
    loop.run()
    tracing.close()
    _end()


def tidy_regularly(service: Service) -> NoReturn:
    """Remove old images regularly, without end. It runs in a thread of its own: removing thousands takes a second."""
    while True:
        time.sleep(TIDY_EVERY)
        try:
            service.tidy()
        except Exception:
            # Continue, because the next attempt may succeed.
            log.exception("cannot remove old images")


def _end() -> NoReturn:
    """End the process at once. A thread that loads or runs a model past the grace period cannot be stopped, and an
    ordinary exit of the interpreter would unload the libraries that it uses, and abort."""
    logging.shutdown()
    os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"HOST: there is no address {host}") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        # Binding does not suffice: two sockets can bind to a port, but only one can listen.
        listener.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"PORT: {port} on {host} is taken by another program: choose another PORT") from error
        raise SettingsError(f"HOST, PORT: cannot listen on {host}:{port} ({error.strerror})") from error
    return listener


def _say_hello(settings: Settings, service: Service, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%d (documentation at /docs)", f"[{host}]" if ":" in host else host, port)
    if settings.exposed and not settings.read_keys():
        log.warning("no API_KEYS are set: anyone who can reach this address may use the service")
    here = [entry.model.name for entry in service.models() if entry.state is not State.ABSENT]
    log.info("models on this machine: %s; default: %s", ", ".join(here) or "none", service.default().model.name)
    if settings.save_uploads:
        log.info("uploaded images are kept in %s", settings.images_dir)


class _Loop:
    """waitress's event loop, and the shutdown that a signal starts."""

    def __init__(self, sockets: SocketMap, service: Service, operations: Operations, grace: float) -> None:
        self._sockets = sockets
        self._service = service
        self._operations = operations
        self._grace = grace
        self._asked_at: float | None = None

    def listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self) -> None:
        while self._asked_at is None or (not self._idle() and time.monotonic() < self._asked_at + self._grace):
            wasyncore.loop(timeout=0.2, use_poll=True, map=self._sockets, count=1)
        self._service.close()
        # Requests that waited have their answers now: give the answers a second to be sent.
        end = time.monotonic() + 1
        while not self._idle() and time.monotonic() < end:
            wasyncore.loop(timeout=0.1, use_poll=True, map=self._sockets, count=1)
        log.info("stopped")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._asked_at is not None:
            # A parent process may pass on a signal that the whole process group has got, as make does with SIGTERM.
            if time.monotonic() > self._asked_at + _SAME_SIGNAL:
                log.info("%s again: stopping at once", signal.Signals(number).name)
                _end()
            return
        log.info("%s: finishing %d requests", signal.Signals(number).name, self._operations.in_work)
        self._asked_at = time.monotonic()
        self._operations.drain()
        self._service.stop_waiting()

    def _idle(self) -> bool:
        """Return whether no request is in work and all answers are sent."""
        channels = [entry for entry in self._sockets.values() if isinstance(entry, HTTPChannel)]
        unsent = any(channel.requests or channel.total_outbufs_len for channel in channels)
        return self._operations.in_work == 0 and not unsent
