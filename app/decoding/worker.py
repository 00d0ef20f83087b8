"""The program of a worker: it decodes one file after another, within its limits, until the service ends."""

import base64
import contextlib
import ctypes
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from PIL import AvifImagePlugin, Image

from app.decoding import images, pdf, pdf_layers
from app.decoding.protocol import Header, receive, send
from app.errors import InvalidImage, ServiceError, UnsupportedMedia

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""As malloc.h of glibc defines them."""
_MAX_KEPT_BLOCK, _MAX_KEPT = 32 * 2**20, 128 * 2**20
"""Bytes of the largest freed block that glibc keeps (its own maximum), and of all freed memory that it keeps."""
_PAUSE = 5.0
"""Seconds without a request after which freed memory is returned to the kernel."""

# The number of threads that libheif uses. libaom would start one for each core, and their stacks count as memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 4

Facts = dict[str, Any]


def main(seconds: float, memory: int) -> None:
    """Answer the requests that come through the socket at standard input.

    Args:
        seconds: of processor time, for each request.
        memory: bytes of address space for the whole process. macOS does not enforce it: there only the time and the
            number of pixels are limited.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # A core dump would be a copy of the file on the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # If the machine runs out of memory, Linux kills this process and not the service.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _keep_memory()
    service, worker = Connection(0), _Worker()
    with contextlib.suppress(EOFError, ConnectionError):
        send(service, {"ready": True})
        while True:
            if not service.poll(_PAUSE):
                _return_memory()
            header, data = receive(service, memory)
            # Unlike RLIMIT_CPU, the timer can be reset. A handler of its signal would not run while C code hangs.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            if "close" in header:
                worker.close()
            else:
                send(service, *worker.answer(header, data))
            signal.setitimer(signal.ITIMER_PROF, 0)
            # Do not hold the file here after it is closed.
            del data


class _File(Protocol):
    """A file that is open."""

    def facts(self) -> Facts:
        """Return facts about all pages."""

    def page(self, **arguments: Any) -> tuple[Facts, Image.Image | bytes | None]:
        """Return facts about a page, and the page as an RGB image; of a PDF, either, or a PDF."""

    def close(self) -> None:
        """Free what the file takes."""


class _ImageFile:
    """An image, or a TIFF of many frames."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def facts(self) -> Facts:
        return {}

    def page(self, **arguments: Any) -> tuple[Facts, Image.Image]:
        decoded = images.decode(self._data, **arguments)
        return {
            "format": decoded.format,
            "frames": decoded.frames,
            "size": decoded.size,
            "warnings": decoded.warnings,
            "jpeg": decoded.jpeg,
        }, decoded.image

    def close(self) -> None:
        self._data = b""


class _PdfFile:
    """A PDF."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stack = contextlib.ExitStack()
        self._document = self._stack.enter_context(pdf.opened(data))

    def facts(self) -> Facts:
        return {"sizes": pdf.sizes(self._document)}

    def page(self, **arguments: Any) -> tuple[Facts, Image.Image | bytes | None]:
        if "layers" in arguments:
            layers = base64.b64decode(arguments.pop("layers"))
            return {}, pdf_layers.lay_over(self._data, layers, **arguments)
        if arguments.pop("text", False):
            return pdf.text(self._document, **arguments), None
        return {}, pdf.render(self._document, **arguments)

    def close(self) -> None:
        self._stack.close()


_KINDS: dict[str, Callable[[bytes], _File]] = {"image": _ImageFile, "pdf": _PdfFile}


class _Worker:
    """Has one file open at a time."""

    def __init__(self) -> None:
        self._file: _File | None = None

    def answer(self, header: Header, data: bytes) -> tuple[Header, bytes]:
        """Handle a request. Return the header of the answer, and the pixels or the file."""
        try:
            facts, made = self._page(header, data)
            answer: Header = {"facts": facts, "size": made.size if isinstance(made, Image.Image) else None}
            pixels = made.tobytes() if isinstance(made, Image.Image) else made or b""
        except (InvalidImage, UnsupportedMedia) as error:
            answer, pixels = self._error(header, error), b""
        except MemoryError:
            too_large = InvalidImage("decoding the file takes more memory than is allowed")
            answer, pixels = self._error(header, too_large), b""
        return answer | {"is_open": self._file is not None}, pixels

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _error(self, header: Header, error: ServiceError) -> Header:
        if header["open"] is not None:
            # The service requests no further page of a file whose first page fails.
            self.close()
        return {"error": type(error).__name__, "detail": error.detail}

    def _page(self, header: Header, data: bytes) -> tuple[Facts, Image.Image | bytes | None]:
        if header["open"] is not None:
            self.close()
            self._file = _KINDS[header["open"]](data)
        assert self._file is not None
        if header["page"] is None:
            return self._file.facts(), None
        facts, made = self._file.page(**header["page"])
        if facts.get("frames") == 1:
            # There is no further page.
            self.close()
        return facts, made


def _keep_memory() -> None:
    """Make glibc keep freed memory for the next page. Getting it from the kernel again takes a third of the decoding
    time of a photo, or more."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _MAX_KEPT_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _MAX_KEPT)


def _return_memory() -> None:
    """Make glibc return freed memory to the kernel."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
